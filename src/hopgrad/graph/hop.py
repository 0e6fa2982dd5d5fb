"""The hop record: everything hopgrad knows about one elementary operation, in one definition.

Hops are classed by their linearity, because half of all rules follow from it: `Elementwise` (one factor an
operand), `Reduction` (weights, then a sum), `Structural` (linear, given with its transpose) and `General` (each
operand's operator spelled out). A definition is one decorated function whose body is the local gradient:

    @elementwise(np.sin, notation=Function("sin"))
    def sin(x):
        \"\"\"The sine turned by a quarter.\"\"\"
        return cos(x)

The decorator gives value, notation, domain and traits; the body's docstring says why the derivative has that form. The
body gets its operands as `Expr` and, if it asks by these keyword names, ``out`` (the hop's own result), ``active``
(which operands are being differentiated) and the hop's static parameters.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

from hopgrad.aval import Aval, Several, Shape, aval, aval_of, broadcast_shapes, several
from hopgrad.errors import DtypeError, GraphError, TraceError
from hopgrad.graph.builder import Builder, Expr, Params, catalogue, zeros
from hopgrad.graph.operators import Cotangent, Linear, Operator, Scale, Support, Weighted, spread

# -- notation, as data -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notation:
    """How a hop is written. `form` names a printing rule of ``hopgrad.notation``; the rest are its words.

    ``symbol`` is plain text, ``tex`` LaTeX where it differs, ``rule`` the name under which schools teach the
    derivative ("power rule").
    """

    form: str
    symbol: str = ""
    tex: str = ""
    rule: str = ""


def Function(symbol: str, tex: str = "", rule: str = "") -> Notation:  # noqa: N802 - reads as a constructor
    """Written ``sin x``, ``sin(x+1)``."""
    return Notation("function", symbol, tex, rule)


def Infix(symbol: str, tex: str = "", rule: str = "") -> Notation:  # noqa: N802 - reads as a constructor
    """Written ``a + b``; the symbol decides precedence."""
    return Notation("infix", symbol, tex, rule)


# -- domains ---------------------------------------------------------------------------------------------------------


class Interval(NamedTuple):
    """Where an operand's derivative exists and tests may sample it; infinite ends mean "everything"."""

    low: float = -np.inf
    high: float = np.inf


class Matrices(Interval):
    """A domain of matrices instead of single numbers: positive definite ones."""

    __slots__ = ()


class Plane(Interval):
    """A domain of complex numbers, whose real and imaginary parts lie in the interval."""

    __slots__ = ()


REAL = Interval()
POSITIVE = Interval(0.0, np.inf)
DEFINITE = Matrices()
COMPLEX = Plane()


# -- traits ----------------------------------------------------------------------------------------------------------

TRAITS = {
    "odd": "f(−x) = −f(x)",
    "even": "f(−x) = f(x)",
    "commutative": "f(a, b) = f(b, a)",
    "bounded": "all values lie in a finite interval",
    "flat": "constant between its jumps: the derivative is 0 wherever there is one",
    "kink": "continuous, with corners",
    "piecewise": "smooth between jumps",
    "predicate": "the result is boolean",
    "select": "the first operand is a condition: boolean, whatever the dtype of the others",
    "nonempty": "has no value where nothing is reduced",
    "partial": "may leave elements of an operand unused, so supports begin here",
    "mixing": "the transposed map adds up elements, with positive weights",
    "real": "of real numbers only: what it is of complex ones is made of other hops",
    "conjugating": "of complex numbers it depends on their conjugates, too, so it is not analytic",
    "hidden": "left out of stories",
    "certain": "true whenever it has a value at all, so that no reader needs to be told",
    "raises": "raises LinAlgError where it has no value, so it is computed when it is recorded",
}
"""Every word that may stand among a hop's traits, and what it says."""


# -- what tests try --------------------------------------------------------------------------------------------------

Draw = Callable[[Sequence[Any]], Any]
"""Picks one of several choices; a sweep makes it pick each of them in turn."""


class Case:
    """One use of a hop for tests to try, written as a call: ``Case((2, 3), (3, 4), subscripts="ij,jk->ik")``.

    Operands are given by their shapes, index operands as arrays; with none given, tests take shapes that every hop of
    the class accepts.
    """

    def __init__(self, *operands: Shape | np.ndarray[Any, Any], **params: Any) -> None:
        self.operands = operands
        self.params = params

    def __repr__(self) -> str:
        operands = [str(a.tolist() if isinstance(a, np.ndarray) else a) for a in self.operands]
        return f"({', '.join([*operands, *[f'{k}={v}' for k, v in self.params.items()]])})"


# -- the record ------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Hop:
    """One elementary operation. See the module's text; the subclasses below say what `body` returns.

    ``value`` is a function of NumPy arrays (a NumPy or SciPy ufunc where there is one, or "module:name" to import it
    when first used). ``traits`` are words of `TRAITS`, which tests, docs and simplification read. ``kink`` says in
    words what the derivative is where there is none. ``sample`` draws a `Case` for tests, where the hop has parameters
    or does not take operands of just any shapes.
    """

    name: str
    value: Any
    body: Callable[..., Any]
    notation: Notation
    domain: tuple[Interval, ...] = (REAL,)
    traits: frozenset[str] = frozenset()
    kink: str = ""
    pure: bool = True
    sample: Callable[[Draw], Case] | None = None
    growth: Callable[..., Any] | None = None
    """(log f)′, for hops whose value overflows where this is still finite: a function of operands and parameters."""
    elasticity: Callable[..., Any] | None = None
    """d log f / d log x for each operand, for hops through which relative changes pass well: numbers or thunks."""
    lowering: str = ""
    """How native code computes one element: an expression over the instructions of ``hopgrad.lower.scalar``. The
    operands are a, b, c, … (x, if there is only one), the static parameters have their names; ``m = …;`` gives a part a
    name. Of a reduction: the name of the way in which two elements are put together."""
    parts: Callable[..., Any] | None = None
    """The same value made of simpler hops (a function of operands and parameters), for native code."""
    batch: Callable[..., Any] | None = None
    """How it is computed for many values of some operands at once: a rule of ``hopgrad.batch``. Elementwise hops and
    reductions need none; of others without one the values are computed one after the other."""
    degrees: int = 0
    """Of elementwise hops: how many operands, from the first on, are orders or degrees. These may be integers, for
    which ufuncs have loops of their own, beside operands of other dtypes."""

    wants: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.body).parameters.values()
        self.wants = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        if self.name in catalogue:
            raise GraphError(f"hop {self.name!r} is defined twice")
        if unknown := self.traits - TRAITS.keys():
            raise GraphError(f"hop {self.name!r} has unknown traits: {', '.join(sorted(unknown))}")
        catalogue[self.name] = self

    def __repr__(self) -> str:
        return f"<hop {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _defined, (self.__module__, self.name)

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function that computes the value from NumPy arrays."""
        if isinstance(self.value, str):
            module, _, name = self.value.partition(":")
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
            return found
        function: Callable[..., Any] = self.value
        return function

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        """Shape and dtype of the result; raises `ShapeError` or `DtypeError`."""
        raise NotImplementedError

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        """The local gradient with respect to operand `index`, or None where it is identically zero."""
        raise NotImplementedError

    def push(self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]) -> Expr | None:
        """Forward mode through this hop: the sum of what its operands push."""
        active = [t is not None for t in tangents]
        total: Expr | None = None
        for index, tangent in enumerate(tangents):
            if tangent is None:
                continue
            operator = self.operator(index, args, out, params, active)
            if operator is not None:
                share = operator.push(tangent)
                total = share if total is None else total + share
        return total

    def __call__(self, *args: Any, **params: Any) -> Expr:
        """Emit this hop. Numbers among the operands become constants of the first handle's dtype.

        With no handle among the operands, it computes on the given arrays instead: formulas made of hops serve both.
        """
        for first in args:
            if isinstance(first, Expr):
                break
        else:
            value: Expr = self.function(*args, **params)
            return value
        builder = first.builder
        ids = [a.id if isinstance(a, Expr) else _constant(builder, a, first.dtype).id for a in args]
        return Expr(builder, builder.emit(self, ids, tuple(sorted(params.items())) if params else ()))

    @property
    def differentiable(self) -> bool:
        """Whether a derivative can pass through at all."""
        return "flat" not in self.traits

    def check_complex(self) -> None:
        """Raise if this hop is one of real numbers only."""
        if "real" in self.traits:
            raise DtypeError(f"{self.name} of complex numbers")

    @cached_property
    def ufunc(self) -> Any:
        """The NumPy or SciPy ufunc that computes the value, if one does."""
        return self.function if isinstance(self.function, np.ufunc) else None

    def _local(self, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]) -> Any:
        if not self.wants:
            return self.body(*args)
        given = dict(params)
        if "out" in self.wants:
            given["out"] = out
        if "active" in self.wants:
            given["active"] = tuple(active)
        return self.body(*args, **{k: v for k, v in given.items() if k in self.wants})

    def _chosen(self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]) -> Any:
        """The body's answer for one operand. Thunks keep the other operands' formulas unbuilt."""
        return _of_operand(index, self._local(args, out, params, active))

    def relative(self, index: int, args: Sequence[Expr], params: Params) -> Any:
        """The factor from a change of an operand (`growth`) or its relative change (`elasticity`) to the result's."""
        rule = self.growth or self.elasticity
        assert rule is not None
        return _of_operand(index, rule(*args, **dict(params)))

    def told(self, params: Params, count: int) -> Sequence[int]:
        """Which of `count` operands stories tell about; the others are there for derivatives only."""
        return range(count)

    def falling(self, params: Params) -> Sequence[int]:
        """The operands with which, as they grow beyond all bounds, the result falls towards 0."""
        if self.elasticity is None:
            return ()
        factors = self.elasticity(*[None] * len(self.domain), **dict(params))
        factors = factors if isinstance(factors, tuple) else (factors,)
        return [k for k, factor in enumerate(factors) if isinstance(factor, (int, float)) and factor < 0]


def _defined(module: str, name: str) -> Hop:
    """A hop by its name and the module that defines it."""
    importlib.import_module(module)
    return catalogue[name]


def _of_operand(index: int, local: Any) -> Any:
    if isinstance(local, tuple) and not isinstance(local, On):
        local = local[index]
    return local() if inspect.isfunction(local) else local


def _constant(builder: Builder, value: Any, dtype: np.dtype[Any]) -> Expr:
    return builder.constant(value, None if isinstance(value, (np.ndarray, np.generic)) else dtype)


class On(NamedTuple):
    """A factor that counts only where `mask` holds; elsewhere the derivative is structurally zero."""

    mask: Expr
    factor: Expr | float = 1


class Elementwise(Hop):
    """Operands broadcast. The body returns each operand's factor (a thunk, `Expr`, number, `On`; None: flat)."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        same = avals[1 if "select" in self.traits else self.degrees :]
        first = same[-1]
        if first.dtype.kind == "c":
            self.check_complex()
        shape = first.shape
        for other in avals:
            if other.shape != shape:
                shape = broadcast_shapes(*[a.shape for a in avals])
                break
        for other in same:
            if other.dtype != first.dtype:
                raise DtypeError(f"{self.name}: operands have dtypes {' and '.join(str(a.dtype) for a in same)}")
        if "predicate" in self.traits:
            return aval(shape, bool)
        return first if shape == first.shape else aval(shape, first.dtype)

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        factor = self._chosen(index, args, out, params, active)
        if factor is None:
            return None
        if isinstance(factor, On):
            return Scale(args[index].aval, out.aval, factor.factor, factor.mask)
        return Scale(args[index].aval, out.aval, factor)


class Reduction(Hop):
    """Reduces the axes in the parameter ``axes`` of its operand. The body returns the weights (or `On`)."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        (source,) = avals
        if source.dtype.kind == "c":
            self.check_complex()
        axes: tuple[int, ...] = params["axes"]
        if params["keepdims"]:
            shape = tuple(1 if k in axes else n for k, n in enumerate(source.shape))
        else:
            shape = tuple(n for k, n in enumerate(source.shape) if k not in axes)
        dtype = params.get("dtype") or source.dtype
        if "predicate" in self.traits:
            dtype = np.dtype(bool)
        return aval(shape, dtype)

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        weights = self._chosen(index, args, out, params, active)
        if weights is None:
            return None
        given = dict(params)
        axes, keepdims = given["axes"], given["keepdims"]
        source = args[0].aval
        if isinstance(weights, On):
            return Weighted(source, out.aval, weights.factor, axes, keepdims, weights.mask)
        return Weighted(source, out.aval, weights, axes, keepdims)


class Structural(Hop):
    """A linear rearrangement. The body is the transposed map: it takes the cotangent, then the operands.

    Written with hops alone, the transposed map also acts on boolean arrays, and so moves supports. The trait "partial"
    marks maps that may leave elements of the operand unused (their support begins here), "mixing" those that add
    elements up. With several operands the body also takes ``index``.
    """

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        return aval(tuple(self.shape(*avals, **params)), self._dtype(avals))

    def shape(self, *avals: Aval, **params: Any) -> Sequence[int]:
        """The shape of the result."""
        raise NotImplementedError

    def _dtype(self, avals: Sequence[Aval]) -> np.dtype[Any]:
        moved = avals[: self.moved]
        for other in moved[1:]:
            if other.dtype != moved[0].dtype:
                raise DtypeError(f"{self.name}: operands have dtypes {moved[0].dtype} and {other.dtype}")
        return moved[0].dtype

    moved: int | None = None
    """How many operands are moved (None: all); the rest are indices."""

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        given = dict(params)
        if "index" in self.wants:
            given["index"] = index

        def pull(cotangent: Any) -> Any:
            return self.body(cotangent, *args, **given)

        def mask(support: Support) -> Support:
            if support is None:
                if "partial" not in self.traits:
                    return None
                support = np.ones(out.shape, bool)
            moved: Support = spread(support, pull, out.dtype) if "mixing" in self.traits else pull(support)
            return moved

        def push(tangent: Expr) -> Expr:
            found = self.push(args, out, params, [tangent if k == index else None for k in range(len(args))])
            assert found is not None
            return found

        return Linear(args[index].aval, out.aval, push, pull, mask)

    def push(self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]) -> Expr | None:
        count = len(args) if self.moved is None else self.moved
        moved = [
            zeros(out.builder, a.aval) if t is None else t for a, t in zip(args[:count], tangents[:count], strict=True)
        ]
        return self(*moved, *args[count:], **dict(params))


class Multilinear(Hop):
    """A product: linear in each operand. The body is the transposed map of operand ``index``.

    `reach` tells which elements of an operand a support of the result touches.
    """

    reach: Callable[..., Support] | None = None

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        given = dict(params)

        def push(tangent: Expr) -> Expr:
            return self(*args[:index], tangent, *args[index + 1 :], **given)

        def pull(cotangent: Expr) -> Expr:
            found: Expr = self.body(cotangent, *args, index=index, **given)
            return found

        def mask(support: Support) -> Support:
            if support is None or self.reach is None:
                return None
            return self.reach(support, *args, index=index, **given)

        return Linear(args[index].aval, out.aval, push, pull, mask, infinite=True)


class General(Hop):
    """Anything else. The body returns the operator of each operand (a thunk or an `Operator`)."""

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        found: Operator | None = self._chosen(index, args, out, params, active)
        return found


class Source(Hop):
    """Inputs and constants: no operands, no derivative."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        value: Aval = params["value"]
        return value


class Compound(Hop):
    """A hop with several results, such as a loop. Its value is a tuple, from which `ITEM` hops take single results.

    It may own graphs as parameters: closed ones, in builders of their own, whose inputs are given by the operands. The
    first `shown` results are what the hop is for; those after them are there for derivatives (a loop's values on the
    way) and are computed only if somebody takes them.
    """

    def __init__(self, name: str, notation: Notation, doc: str, **fields: Any) -> None:
        super().__init__(name, None, _no_local, notation, **fields)
        self.__doc__ = doc

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        """Shape and dtype of each result."""
        raise NotImplementedError

    def infer(self, *avals: Aval, **params: Any) -> Several:
        return several(self.results(*avals, **params))

    def shown(self, params: Params) -> int:
        """How many of the results, from the first on, are not only for derivatives."""
        raise NotImplementedError

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        """A function from the operands' values to the results. Those not in `wanted` (ascending) may be anything."""
        raise NotImplementedError

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        """Which results change with the operands marked in `active`; more than needed does no harm."""
        raise NotImplementedError

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        """Reverse mode: a cotangent (or None: structurally zero) of each result → one of each operand in `active`."""
        raise NotImplementedError

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        """Forward mode: a tangent (or None: zero) of each operand → one of each result."""
        raise NotImplementedError

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Emit this hop; the shown results. With no handle among the operands it computes, as other hops do."""
        given = tuple(sorted(params.items()))
        if not any(isinstance(a, Expr) for a in args):
            return self.function(*args, **params)[: self.shown(given)]
        builder = next(a.builder for a in args if isinstance(a, Expr))
        ids = [a.id if isinstance(a, Expr) else builder.constant(a).id for a in args]
        return self.split(Expr(builder, builder.emit(self, ids, given)), given)

    takes: frozenset[str] = frozenset()
    """The names of its parameters."""

    def part(self, args: Sequence[Expr], out: Expr, params: Params, result: int, number: int) -> Operator | None:
        """The local gradient of one result with respect to one operand; None where it is identically zero."""
        only = [k == number for k in range(len(args))]
        return Part(self, args, out, params, result, number) if self.reach(params, only)[result] else None

    def split(self, out: Expr, params: Params) -> tuple[Expr, ...]:
        """The shown results of this hop's value."""
        return tuple(ITEM(out, index=k) for k in range(self.shown(params)))

    @property
    def function(self) -> Callable[..., Any]:
        """All results from NumPy arrays."""

        def compute(*args: Any, **params: Any) -> tuple[Any, ...]:
            count = len(self.results(*[aval_of(a) for a in args], **params))
            return tuple(self.bind(tuple(sorted(params.items())), range(count))(*args))

        return compute


class Part(Operator):
    """What one operand of a `Compound` hop contributes to one of its results: see `Compound.part`."""

    def __init__(
        self, hop: Compound, args: Sequence[Expr], out: Expr, params: Params, result: int, number: int
    ) -> None:
        assert isinstance(out.aval, Several)
        super().__init__(args[number].aval, out.aval.avals[result])
        self._hop, self._args, self._out, self._params = hop, args, out, params
        self._place, self._number, self._count = result, number, len(out.aval.avals)

    def push(self, tangent: Expr) -> Expr:
        tangents = [tangent if k == self._number else None for k in range(len(self._args))]
        found = self._hop.push_all(self._args, self._out, self._params, tangents)[self._place]
        return zeros(tangent.builder, self.result) if found is None else found

    def pull(self, cotangent: Expr, support: Support = None) -> Expr:
        cotangents = [(cotangent, support) if k == self._place else None for k in range(self._count)]
        active = [k == self._number for k in range(len(self._args))]
        found = self._hop.pull_all(self._args, self._out, self._params, cotangents, active)[self._number]
        return zeros(cotangent.builder, self.source) if found is None else found[0]


class Item(Hop):
    """One result of a `Compound` hop. The sweeps know it: it has no local gradient of its own."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        (source,) = avals
        if not isinstance(source, Several):
            raise GraphError(f"item of {source!r}, which is not several values")
        index = params["index"]
        if type(index) is not int or not 0 <= index < len(source.avals):
            raise GraphError(f"item {index!r} of {source!r}")
        return source.avals[index]


def _item(values: Sequence[Any], *, index: int) -> Any:
    return values[index]


def _no_value(*, name: str = "", **params: Any) -> Any:
    raise TraceError(
        f"an input has no value here: {name}. If it is one of the body of a loop or branch, the body keeps a traced"
        " value elsewhere: return it from the body instead"
    )


def _no_local() -> None:
    return None


INPUT = Source("input", _no_value, _no_local, Notation("input"), pure=False, traits=frozenset({"flat"}))
CONSTANT = Source("constant", _no_value, _no_local, Notation("constant"), traits=frozenset({"flat"}))
ITEM = Item("item", _item, _no_local, Notation("item"))


# -- decorators ------------------------------------------------------------------------------------------------------


def elementwise(value: Any, notation: Notation, **fields: Any) -> Callable[[Callable[..., Any]], Elementwise]:
    """Define an elementwise hop; see `Elementwise` for what the body returns."""
    return _decorator(Elementwise, value, notation, fields)


def reduction(value: Any, notation: Notation, **fields: Any) -> Callable[[Callable[..., Any]], Reduction]:
    """Define a reduction over axes; see `Reduction`."""
    return _decorator(Reduction, value, notation, fields)


def structural(
    value: Any,
    notation: Notation,
    *,
    shape: Callable[..., Sequence[int]],
    moved: int | None = None,
    **fields: Any,
) -> Callable[[Callable[..., Any]], Structural]:
    """Define a linear rearrangement whose result has the shape ``shape(*avals, **params)``; see `Structural`."""

    def decorate(body: Callable[..., Any]) -> Structural:
        hop = _decorator(Structural, value, notation, fields)(body)
        hop.shape = shape  # type: ignore[method-assign]  # data of this definition, not behaviour of the class
        hop.moved = moved
        return hop

    return decorate


def multilinear(
    value: Any,
    notation: Notation,
    *,
    infer: Callable[..., Aval],
    reach: Callable[..., Support] | None,
    **fields: Any,
) -> Callable[[Callable[..., Any]], Multilinear]:
    """Define a product; see `Multilinear`."""

    def decorate(body: Callable[..., Any]) -> Multilinear:
        hop = _decorator(Multilinear, value, notation, fields)(body)
        hop.infer = infer  # type: ignore[method-assign]  # data of this definition, not behaviour of the class
        hop.reach = reach
        return hop

    return decorate


def general(
    value: Any, notation: Notation, *, infer: Callable[..., Aval], **fields: Any
) -> Callable[[Callable[..., Any]], General]:
    """Define a hop by the operators of its operands; see `General`."""

    def decorate(body: Callable[..., Any]) -> General:
        hop = _decorator(General, value, notation, fields)(body)
        hop.infer = infer  # type: ignore[method-assign]  # data of this definition, not behaviour of the class
        return hop

    return decorate


H = TypeVar("H", bound=Hop)


def _decorator(
    kind: type[H], value: Any, notation: Notation, fields: dict[str, Any]
) -> Callable[[Callable[..., Any]], H]:
    traits = frozenset(fields.pop("traits", ()))

    def decorate(body: Callable[..., Any]) -> H:
        hop = kind(body.__name__.rstrip("_"), value, body, notation, traits=traits, **fields)
        hop.__doc__ = body.__doc__
        hop.__module__ = body.__module__
        return hop

    return decorate
