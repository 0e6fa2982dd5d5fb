"""New hops, defined in the form that hopgrad's own have: one decorated function whose body is the local gradient.

In difference to the catalogue's, these bodies are plain NumPy: they are called with traced values. What they return is
a formula in the graph, so derivatives of every order follow.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, update_wrapper
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval, aval, aval_of, broadcast_shapes, normalize_axes
from hopgrad.errors import DtypeError, GraphError, ShapeError, TraceError
from hopgrad.graph.builder import Builder, Expr, Params, catalogue
from hopgrad.graph.hop import REAL, Elementwise, Function, General, Hop, Interval, Notation, On, Reduction
from hopgrad.graph.operators import Linear, Operator
from hopgrad.hops.surface import as_float, cast, lift, promote
from hopgrad.notation.latex import tex_text
from hopgrad.trace import context, ufuncs
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.tracer import ARRAY, SCALAR, Tracer, call, current_node, has_traced, leaves_of, on_real

_lock = threading.Lock()


class Map(NamedTuple):
    """A linear map in both readings: ``push`` takes a tangent of the operand, ``pull`` a cotangent of the result."""

    push: Callable[[Any], Any]
    pull: Callable[[Any], Any]


# -- bodies ----------------------------------------------------------------------------------------------------------


class _Formula(Trace):
    """What the tracers of a body belong to: they write to a builder, and have no values."""

    def __init__(self, builder: Builder) -> None:
        super().__init__(None)
        self.builder = builder

    def site(self, node: int, frame: FrameType | None) -> None:
        """The formula belongs to the hop in the user's program, which has a place already."""

    def settle(self, node: int, frame: FrameType | None) -> Any:
        """Only constants have a value."""
        try:
            return self.concrete(node)
        except UnknownValueError:
            self.refuse(TraceError(
                "the body of a hop is a formula for all values: it cannot branch on one; use np.where"
                f"\n  at {context.where(frame)}"))  # fmt: skip

    def tracer(self, value: Any) -> Any:
        """A handle as a traced value; other things as they are."""
        return Tracer(self, value.id, ARRAY if value.shape else SCALAR) if isinstance(value, Expr) else value

    def expr(self, value: Any, dtype: np.dtype[Any]) -> Expr | float:
        """A traced value as a handle; a Python number as it is."""
        if type(value) in (int, float):
            return value
        if type(value) is Tracer:
            return cast(Expr(self.builder, current_node(value)), dtype)
        return self.builder.constant(value, dtype)

    def factor(self, value: Any, dtype: np.dtype[Any]) -> Any:
        """What a body returned for one operand, in the form that hops take."""
        if value is None:
            return None
        if isinstance(value, On):
            mask = self.expr(value.mask, np.dtype(bool))
            return On(mask, self.expr(value.factor, dtype))  # type: ignore[arg-type]  # a mask is no Python number
        if inspect.isfunction(value):
            return lambda: self.factor(self.run(value), dtype)
        return self.expr(value, dtype)

    def run(self, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """A function of the user on traced values in place of handles."""
        with context.within(self):
            return function(*map(self.tracer, args), **{k: self.tracer(v) for k, v in keywords.items()})


def _chosen(hop: Hop, params: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in params.items() if k in hop.wants}


def _computed(hop: Hop, arrays: Sequence[Any], found: Any, params: dict[str, Any]) -> Any:
    """A result of the user's value function, with the shape and dtype that the hop has."""
    like = hop.infer(*map(aval_of, arrays), **params)
    array = np.asarray(found)
    if array.shape != like.shape:
        raise ShapeError(f"the value function of {hop.name} gave shape {array.shape}, where {like.shape} is expected")
    array = array.astype(like.dtype, copy=False)
    return array if like.shape else array[()]


class _Mapped(Elementwise):
    """An elementwise hop of the user's."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        floats = dict.fromkeys(a.dtype for a in avals if a.is_float)
        if len(floats) > 1:
            raise DtypeError(f"{self.name}: operands have dtypes {' and '.join(map(str, floats))}")
        return aval(broadcast_shapes(*[a.shape for a in avals]), next(iter(floats), np.dtype(float)))

    @cached_property
    def function(self) -> Callable[..., Any]:
        def compute(*arrays: Any, **params: Any) -> Any:
            with context.within(None):
                return _computed(self, arrays, self.value(*arrays, **params), params)

        return compute

    @property
    def ufunc(self) -> Any:
        return self.value if isinstance(self.value, np.ufunc) else None

    def _local(self, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]) -> Any:
        formula = _Formula(out.builder)
        given = {**dict(params), "out": out, "active": tuple(active)}
        local = formula.run(self.body, *args, **_chosen(self, given))
        if isinstance(local, tuple) and not isinstance(local, On):
            return tuple(formula.factor(v, out.dtype) for v in local)
        return formula.factor(local, out.dtype)


class _Reduced(Reduction):
    """A reduction of the user's."""

    @cached_property
    def function(self) -> Callable[..., Any]:
        def compute(array: Any, *, axes: tuple[int, ...], keepdims: bool, **params: Any) -> Any:
            axis = None if len(axes) == np.ndim(array) else axes[0] if len(axes) == 1 else axes
            with context.within(None):
                found = self.value(array, axis=axis, keepdims=keepdims, **params)
                return _computed(self, [array], found, {"axes": axes, "keepdims": keepdims, **params})

        return compute

    def _local(self, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]) -> Any:
        formula = _Formula(out.builder)
        given = dict(params)
        if "out" in self.wants:
            kept = tuple(1 if k in given["axes"] else n for k, n in enumerate(args[0].shape))
            given["out"] = out if out.shape == kept else catalogue["reshape"](out, shape=kept)
        return formula.factor(formula.run(self.body, *args, **_chosen(self, given)), out.dtype)


class _Free(General):
    """A hop of the user's that is given by linear maps."""

    rule: Callable[..., Any]
    """The user's rule for shape and dtype of the result."""

    def infer(self, *avals: Aval, **params: Any) -> Aval:
        found = self.rule(*avals, **params)
        return aval(tuple(found.shape), found.dtype)

    @cached_property
    def function(self) -> Callable[..., Any]:
        def compute(*arrays: Any, **params: Any) -> Any:
            with context.within(None):
                return _computed(self, arrays, self.value(*arrays, **params), params)

        return compute

    def operator(
        self, index: int, args: Sequence[Expr], out: Expr, params: Params, active: Sequence[bool]
    ) -> Operator | None:
        formula = _Formula(out.builder)
        given = {**dict(params), "out": out, "active": tuple(active)}
        local = formula.run(self.body, *args, **_chosen(self, given))
        if isinstance(local, tuple) and not isinstance(local, Map):
            local = local[index]
        if inspect.isfunction(local):
            local = formula.run(local)
        if local is None:
            return None
        if not isinstance(local, Map):
            raise GraphError(
                f"the body of {self.name} returned a {type(local).__name__} for operand {index}, not a Map"
            )
        found: Map = local
        source = args[index].aval

        def through(function: Callable[[Any], Any], like: Aval, what: str) -> Callable[[Expr], Expr]:
            def apply(value: Expr) -> Expr:
                made = formula.expr(formula.run(function, value), like.dtype)
                made = made if isinstance(made, Expr) else formula.builder.constant(made, like.dtype)
                if made.shape != like.shape:
                    raise ShapeError(
                        f"{self.name}: {what} gave shape {made.shape} for operand {index}, where {like.shape} is"
                        " expected"
                    )
                return made

            return apply

        return Linear(source, out.aval, through(found.push, out.aval, "push"), through(found.pull, source, "pull"))


# -- what users call -------------------------------------------------------------------------------------------------


class Defined:
    """A hop as a function: it computes on plain values, and records the hop on traced ones."""

    _accounts_for_itself = True

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        update_wrapper(self, hop.body)
        parameters = inspect.signature(hop.body).parameters.values()
        self._defaults = {
            p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
        }

    def __repr__(self) -> str:
        return repr(self.hop)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        params = {**self._defaults, **keywords}
        for name, value in params.items():
            if name in _RESERVED or (name not in self.hop.wants and name not in ("axis", "keepdims")):
                raise TypeError(f"{self.hop.name}() got an unexpected keyword argument {name!r}")
            if any(type(v) is Tracer for v in leaves_of(value)) or not isinstance(value, Hashable):
                raise TypeError(f"{self.hop.name}(): the parameter {name} must be a plain, hashable value")
        if any(isinstance(a, Expr) for a in args):
            return self.emit(*args, **params)
        if has_traced(args):
            value = self.hop.value
            if not params and isinstance(value, np.ufunc) and ufuncs.hop_of_ufunc.get(value) is self.hop:
                return value(*args)
            return call(self.emit, args, params, sys._getframe(1))
        for leaf in leaves_of(args):
            if type(leaf) is Tracer:
                return on_real(leaf._trace, self.plain, args, params)
        return self.plain(*args, **params)

    def emit(self, *args: Any, **params: Any) -> Expr:
        """Record the hop on handles."""
        self._count(args)
        return self.hop(*[as_float(x) for x in promote(list(args))], **params)

    def plain(self, *args: Any, **params: Any) -> Any:
        """Compute."""
        self._count(args)
        value = self.hop.value
        if isinstance(value, np.ufunc) and not params and not _of_objects(value):
            return value(*args)
        dtype = np.result_type(*[a if type(a) in (int, float) else np.asarray(a).dtype for a in args])
        dtype = dtype if dtype.kind == "f" else np.dtype(float)
        return self.hop.function(*[np.asarray(a, dtype) for a in args], **params)

    def _count(self, args: Sequence[Any]) -> None:
        want = len(self.hop.domain)
        if len(args) != want:
            raise TypeError(f"{self.hop.name}() takes {want} operand{'s' * (want != 1)} but {len(args)} were given")


_RESERVED = ("out", "active", "axes")


class _DefinedReduction(Defined):
    def emit(self, *args: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> Expr:
        (x,) = args
        x = as_float(lift(x))
        return self.hop(x, axes=normalize_axes(axis, x.ndim), keepdims=bool(keepdims), **params)

    def plain(self, *args: Any, axis: Any = None, keepdims: bool = False, **params: Any) -> Any:
        (x,) = args
        array = np.asarray(x)
        array = array if array.dtype.kind == "f" else array.astype(float)
        return self.hop.function(array, axes=normalize_axes(axis, array.ndim), keepdims=bool(keepdims), **params)


class _DefinedFreely(Defined):
    def emit(self, *args: Any, **params: Any) -> Expr:
        self._count(args)
        builder = next(a.builder for a in args if isinstance(a, Expr))
        return self.hop(*[lift(a, builder) for a in args], **params)

    def plain(self, *args: Any, **params: Any) -> Any:
        self._count(args)
        return self.hop.function(*map(np.asarray, args), **params)


def _of_objects(ufunc: np.ufunc) -> bool:
    """Whether a ufunc is a Python function, as ``np.frompyfunc`` makes them."""
    return all("O" in kinds for kinds in ufunc.types)


# -- decorators ------------------------------------------------------------------------------------------------------


def elementwise(
    value: Callable[..., Any],
    notation: Notation | str | None = None,
    *,
    name: str | None = None,
    domain: Sequence[Interval | tuple[float, float]] | None = None,
    traits: Sequence[str] = (),
    kink: str = "",
) -> Callable[[Callable[..., Any]], Defined]:
    """Define a hop that works element by element.

    The decorated function is the local gradient: it takes the operands and returns for each of them (a tuple if there
    are several) the factor by which a small change is multiplied: an array or number, a function without arguments
    that returns it (called only if that operand is differentiated), `On` for a factor that counts only where a mask
    holds, None where the derivative is zero. It is written with NumPy, as any function to be differentiated, and must
    be a formula for all values. By keyword-only names it may ask for ``out``, the hop's own result, ``active``, which
    operands are differentiated, and for static parameters of the hop, hashable values that `value` gets as well.

    Args:
        value: Computes the hop from arrays, which may have to be broadcast, and static parameters: a ufunc (SciPy's,
            one from C, ``np.frompyfunc``), which itself then takes traced values too, or any function.
        notation: How the hop is written: the name as text, or a `Notation` such as ``Function("J₀", "J_0")``.
        name: Of the hop, if not that of the function.
        domain: For each operand the interval on which the derivative exists.
        traits: Words of ``hopgrad.graph.hop.TRAITS``.
        kink: In words, what the derivative is where there is none.

    Returns:
        A decorator that returns a function of the operands: it computes on plain values and records the hop on traced
        ones, of the dtype that NumPy's promotion gives (floating-point in any case).

    Raises:
        GraphError: another hop has this name.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> @hg.custom.elementwise(lambda x: x * np.abs(x), "sq")
    ... def signed_square(x):
    ...     return 2 * np.abs(x)
    >>> signed_square(-3.0), hg.grad(signed_square)(-3.0), hg.grad(hg.grad(signed_square))(-3.0)
    (np.float64(-9.0), 6.0, -2.0)
    """

    def decorate(body: Callable[..., Any]) -> Defined:
        count = _operands(body)
        given = tuple(Interval(*d) for d in domain) if domain is not None else (REAL,) * count
        if len(given) != count:
            raise GraphError(f"{body.__name__} has {count} operands, but domain {len(given)} intervals")
        hop = _define(_Mapped, value, notation, body, name, domain=given, traits=frozenset(traits), kink=kink)
        if isinstance(value, np.ufunc) and value.nout == 1 and value.signature is None:
            before = ufuncs.hop_of_ufunc.get(value)
            if before is None or catalogue.get(before.name) is not before:
                ufuncs.hop_of_ufunc[value] = hop
        return Defined(hop)

    return decorate


def reduction(
    value: Callable[..., Any],
    notation: Notation | str | None = None,
    *,
    name: str | None = None,
    traits: Sequence[str] = (),
    kink: str = "",
) -> Callable[[Callable[..., Any]], Defined]:
    """Define a hop that reduces axes to one number each, as ``np.sum`` does.

    The decorated function is the local gradient: it takes the operand and returns the derivative of the result by each
    element, an array that broadcasts to the operand's shape. By keyword-only names it may ask for ``out``, the result
    with the reduced axes kept as length 1, ``axes``, a tuple of them, and static parameters.

    Args:
        value: ``value(x, axis=None, keepdims=False)`` as NumPy's reductions have it, with any static parameters.
        notation: As in `elementwise`.
        name: As in `elementwise`.
        traits: As in `elementwise`.
        kink: As in `elementwise`.

    Returns:
        A decorator that returns a function ``(x, axis=None, keepdims=False)``.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> @hg.custom.reduction(lambda x, axis, keepdims: np.sqrt(np.mean(x * x, axis=axis, keepdims=keepdims)), "rms")
    ... def rms(x, *, out, axes):
    ...     return x / out / np.prod([x.shape[k] for k in axes])
    >>> hg.grad(rms)(np.array([3.0, 4.0])).round(4)
    array([0.4243, 0.5657])
    """

    def decorate(body: Callable[..., Any]) -> Defined:
        return _DefinedReduction(_define(_Reduced, value, notation, body, name, traits=frozenset(traits), kink=kink))

    return decorate


def general(
    value: Callable[..., Any],
    notation: Notation | str | None = None,
    *,
    infer: Callable[..., Any],
    name: str | None = None,
    traits: Sequence[str] = (),
    kink: str = "",
) -> Callable[[Callable[..., Any]], Defined]:
    """Define a hop by linear maps: anything that is neither elementwise nor a reduction.

    The decorated function takes the operands and returns for each of them (a tuple if there are several) a
    ``Map(push, pull)``, or a function without arguments that returns it, or None where the derivative is zero:
    ``push`` maps a change of the operand to that of the result, ``pull`` a cotangent of the result to one of the
    operand: the transposed map. Both are written with NumPy. Keyword-only names as in `elementwise`.

    Args:
        value: Computes the hop from arrays and static parameters.
        notation: As in `elementwise`.
        infer: Shape and dtype of the result from those of the operands, and static parameters: returns anything that
            has ``shape`` and ``dtype``, such as ``aval(shape, dtype)``.
        name: As in `elementwise`.
        traits: As in `elementwise`.
        kink: As in `elementwise`.

    Returns:
        A decorator that returns a function of the operands.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> from hopgrad.custom import Map
    >>> @hg.custom.general(lambda x: x[::-1].copy(), "flip", infer=lambda x: x)
    ... def backwards(x):
    ...     return Map(push=lambda t: t[::-1], pull=lambda ct: ct[::-1])
    >>> hg.grad(lambda x: backwards(x)[0] ** 2)(np.array([1.0, 2.0, 3.0]))
    array([0., 0., 6.])
    """

    def decorate(body: Callable[..., Any]) -> Defined:
        domain = (REAL,) * _operands(body)
        hop = _define(_Free, value, notation, body, name, domain=domain, traits=frozenset(traits), kink=kink)
        hop.rule = infer  # type: ignore[attr-defined]  # data of this definition
        return _DefinedFreely(hop)

    return decorate


def _operands(body: Callable[..., Any]) -> int:
    """The number of operands that a body takes."""
    parameters = inspect.signature(body).parameters.values()
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _define(
    kind: type[Hop],
    value: Callable[..., Any],
    notation: Notation | str | None,
    body: Callable[..., Any],
    name: str | None,
    **fields: Any,
) -> Hop:
    if not callable(value):
        raise TypeError(f"a hop's value must be a function of arrays, not {type(value).__name__}")
    name = name or body.__name__.rstrip("_")
    notation = notation or name
    notation = Function(notation) if isinstance(notation, str) else notation
    if not notation.tex:
        notation = dataclasses.replace(notation, tex=rf"\operatorname{{{tex_text(notation.symbol)}}}")
    with _lock:
        known = catalogue.pop(name, None)
        try:
            # The same function, defined again: a cell of a notebook that is run twice, a module that is reloaded.
            again = (
                getattr(known, "__qualname__", None) == body.__qualname__
                and getattr(known, "__module__", None) == body.__module__
            )
            if known is not None and not again:
                raise GraphError(
                    f"a hop {name!r} is defined in {known.__module__} already: choose another name with name="
                )
            hop = kind(name, value, body, notation, **fields)
        except BaseException:
            if known is not None:
                catalogue[name] = known
            raise
    hop.__doc__ = body.__doc__
    hop.__module__ = body.__module__
    hop.__qualname__ = body.__qualname__  # type: ignore[attr-defined]  # as functions have it
    return hop
