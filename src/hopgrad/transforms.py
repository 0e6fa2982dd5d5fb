"""The transforms: grad and its family, from functions to functions, by way of graphs.

Each one traces the user's function on fresh inputs, differentiates graph to graph, and then either computes (outermost
call, by native code when a trace is used again) or puts the actual arguments in place of the fresh inputs (inside
another trace). The second is what makes nesting to any order safe: a derivative is always taken with respect to inputs
that nobody else has.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import numpy as np

from hopgrad import batch, entries, tree
from hopgrad.aval import Aval, aval
from hopgrad.backend import Backend, NativePlan
from hopgrad.backend import backend as backend_in_force
from hopgrad.calling import (
    NOTHING,
    Argnums,
    Asked,
    Call,
    Direction,
    Leaf,
    Level,
    Output,
    Transformed,
    as_input,
    check_function,
    computation,
    finished,
    float_arguments,
    give_back,
    outer_guards,
    returned,
    run,
    start_call,
    title_of,
    token_of,
    transform,
    wraps,
)
from hopgrad.differentiate import Pullback, analytic, pull, push, transplant
from hopgrad.errors import DtypeError, NotDifferentiableError, ShapeError
from hopgrad.evaluate import evaluate, evaluate_sweep, fixed
from hopgrad.graph.builder import Expr, ones, zeros
from hopgrad.graph.graph import Graph, reachable
from hopgrad.hops import custom
from hopgrad.hops.shape import reshape, transposed
from hopgrad.lower.entry import Function
from hopgrad.replay import Repeated, Replays
from hopgrad.rewrite import merged
from hopgrad.trace import context
from hopgrad.trace.tracer import ARRAY, PYTHON, SCALAR, Tracer, converted, current_node

__all__ = [
    "check_grads",
    "compile",
    "elementwise_grad",
    "grad",
    "graph_of",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "vjp",
]


def _scalar_output(call: Call, f: Any, verb: str) -> Output:
    """The one scalar result that a gradient needs, or an error that says what to use instead."""
    if len(call.outputs) != 1 or call.structure != tree.flatten(0.0)[1]:
        raise TypeError(
            f"{verb} needs a function with one scalar result; {title_of(f)} returned {call.structure.text}."
            " Use has_aux=True for (value, extra), or jacobian / vjp"
        )
    output = call.outputs[0]
    if output.node is None:
        raise TypeError(f"{verb} needs a scalar result; {title_of(f)} returned {type(output.other).__name__}")
    like = call.builder.avals[output.node]
    if like.shape != ():
        raise ShapeError(
            f"{verb} needs a scalar result; {title_of(f)} returned shape {like.shape}. Use jacobian(f) for all its"
            " derivatives, vjp(f, x) for a weighted sum of them, elementwise_grad(f) if each result depends on its own"
            " element only"
        )
    if like.dtype.kind == "c":
        raise DtypeError(
            f"{verb} needs a real result; {title_of(f)} returned {like.dtype}. Take np.real, np.imag or np.abs of it,"
            " or use jacobian, jvp or vjp"
        )
    if like.dtype.kind != "f":
        raise DtypeError(f"{verb} needs a floating-point result; {title_of(f)} returned {like.dtype}")
    return output


# -- the function itself ---------------------------------------------------------------------------------------------


def compile(f: Callable[..., Any], *, backend: Backend | None = None, steady: bool = False) -> Callable[..., Any]:
    """The same function, traced once for each kind of arguments and run as native code from then on.

    Args:
        f: A function of numbers, arrays and nested structures of them, written with plain NumPy.
        backend: "native" or "numpy"; by default as `hopgrad.use_backend` says.
        steady: Whether native code computes the first call with arguments of a kind, too. Else NumPy does, so that
            its result may differ in the last bits from that of the same call later or in another process. (The first
            call of a function that writes to its arguments is NumPy's all the same.)

    Returns:
        A function of the same arguments and with the same results, but that these are new arrays, never views of the
        arguments. What the function writes to its arguments it writes in place, without copies where possible. Its
        ``report()`` tells what was compiled.

    >>> import numpy as np
    >>> norm = compile(lambda x: np.sqrt(np.sum(x**2)))
    >>> float(norm(np.array([3.0, 4.0])))
    5.0
    """
    check_function(f, "compile")
    return transform(f, NOTHING, "compiled {}", returned, way=backend, steady=steady)


# -- grad ------------------------------------------------------------------------------------------------------------


def grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, backend: Backend | None = None
) -> Callable[..., Any]:
    """The function that computes the gradient of `f`.

    Args:
        f: Returns a scalar (or, with `has_aux`, a pair of a scalar and anything else). Written with plain NumPy.
        argnums: Which arguments to differentiate by: a position or a name, or several. By a complex number x + i y
            the derivative is ∂f/∂x − i ∂f/∂y.
        has_aux: Whether `f` returns ``(value, aux)``; then the result is ``(gradient, aux)``.
        backend: "native" or "numpy"; by default as `hopgrad.use_backend` says.

    Returns:
        A function of the same arguments. Its result has the structure, shapes and dtypes of the chosen argument (a
        tuple of them if `argnums` is a sequence).

    Raises:
        ShapeError: the result of `f` is not a scalar.
        DtypeError: an argument to differentiate by is not floating-point.

    >>> import numpy as np
    >>> grad(lambda x: np.sin((x + 1) ** 2))(0.5)
    -1.8845208681682175
    >>> grad(lambda w, x: np.sum((x @ w) ** 2))(np.array([1.0, 2.0]), np.eye(2))
    array([2., 4.])
    >>> grad(grad(lambda x: x**3))(2.0)
    12.0
    """
    check_function(f, "grad")

    def gradient(call: Call, frame: FrameType | None) -> Any:
        _, derivative, aux = _value_and_grad(call, f, frame, aside=1)
        return (derivative, aux) if has_aux else derivative

    return transform(f, argnums, "gradient of {}", gradient, has_aux, backend)


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, backend: Backend | None = None
) -> Callable[..., Any]:
    """As `grad`, but the new function returns ``(value, gradient)``, which fits ``scipy.optimize.minimize(jac=True)``.

    With `has_aux` it returns ``((value, aux), gradient)``.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (9.0, 6.0)
    """

    def both(call: Call, frame: FrameType | None) -> Any:
        value, derivative, aux = _value_and_grad(call, f, frame)
        return ((value, aux), derivative) if has_aux else (value, derivative)

    return transform(f, argnums, "value and gradient of {}", both, has_aux, backend)


def _value_and_grad(call: Call, f: Any, frame: FrameType | None, aside: int = 0) -> tuple[Any, Any, Any]:
    """Value, gradient and auxiliary output of a traced call; with `aside` the value is not wanted (see `give_back`)."""

    def derive() -> tuple[list[int], list[int]]:
        output = _scalar_output(call, f, "grad")
        assert output.node is not None
        seed = ones(call.builder, call.builder.avals[output.node])
        (short,) = merged(call.builder, [output.node], call.inputs)
        back = pull(call.builder, {short: seed}, call.inputs)
        real = [o for o in call.aux[0] if o.node is not None]
        nodes = [short, *adjoints(call, back), *[o.node for o in real if o.node is not None]]
        return nodes, [output.kind, *[leaf.kind for leaf in call.leaves], *[o.kind for o in real]]

    nodes, kinds = call.derive("gradient", derive)
    value, *found = give_back(call, nodes, kinds, frame, aside=aside)
    rest = iter(found[len(call.leaves) :])
    extras, structure = call.aux
    aux = [next(rest) if o.node is not None else o.other for o in extras]
    return (
        value,
        call.regroup(found[: len(call.leaves)]),
        tree.unflatten(structure, aux) if structure else None,
    )


def adjoints(call: Call, back: Pullback) -> list[int]:
    """The inputs' adjoints, zeros where there are none."""
    return [
        back.adjoints[leaf.node].id
        if leaf.node in back.adjoints
        else zeros(call.builder, call.builder.avals[leaf.node]).id
        for leaf in call.leaves
    ]


def elementwise_grad(
    f: Callable[..., Any], argnums: Argnums = 0, *, backend: Backend | None = None
) -> Callable[..., Any]:
    """The derivative of each result element by its own input element, for functions that work element by element.

    More exactly: the gradient of the sum of the result. For ``f`` elementwise the two are the same.

    >>> import numpy as np
    >>> elementwise_grad(np.sin)(np.array([0.0, np.pi]))
    array([ 1., -1.])
    """

    def derivative(call: Call, frame: FrameType | None) -> Any:
        def derive() -> list[int]:
            seeds: dict[int, Expr] = {}
            for output in float_outputs(call, f):
                _check_elementwise(call, output, f)
                one = ones(call.builder, call.builder.avals[output.node])
                seeds[output.node] = seeds[output.node] + one if output.node in seeds else one
            return adjoints(call, pull(call.builder, seeds, call.inputs))

        nodes = call.derive("elementwise", derive)
        return call.regroup(give_back(call, nodes, [leaf.kind for leaf in call.leaves], frame))

    return transform(f, argnums, "elementwise derivative of {}", derivative, way=backend)


def _check_elementwise(call: Call, output: Output, f: Any) -> None:
    """A result of another shape than an argument cannot belong to it element by element."""
    avals = call.builder.avals
    assert output.node is not None
    for leaf in call.leaves:
        if avals[leaf.node].shape != avals[output.node].shape:
            raise ShapeError(
                f"elementwise_grad: {title_of(f)} made a result of shape {avals[output.node].shape} from {leaf.name} of"
                f" shape {avals[leaf.node].shape}, so it does not work element by element: use jacobian"
            )
        if avals[output.node].dtype.kind == "c":
            _check_analytic(call, output, leaf, f)
            if avals[leaf.node].dtype.kind != "c":
                raise DtypeError(
                    f"elementwise_grad needs a real result for real arguments; {title_of(f)} returned"
                    f" {avals[output.node].dtype}: take its real or imaginary part, or use jvp"
                )


def _check_analytic(call: Call, output: Output, leaf: Leaf, f: Any) -> None:
    """A derivative of a complex result by a complex argument is a number only of an analytic function."""
    builder = call.builder
    assert output.node is not None
    both = builder.avals[output.node].dtype.kind == builder.avals[leaf.node].dtype.kind == "c"
    if both and not analytic(builder, leaf.node, output.node):
        raise DtypeError(
            f"{title_of(f)} is not an analytic function of {leaf.name}, so that its derivative by this complex argument"
            " is no complex number: take the real and the imaginary part of the result, or use jvp or vjp"
        )


def float_outputs(call: Call, f: Any) -> list[Any]:
    """The results, which must all be floating-point arrays or numbers."""
    for output in call.outputs:
        if output.node is None:
            raise TypeError(f"{title_of(f)} returned a {type(output.other).__name__}, which has no derivative")
        if not call.builder.avals[output.node].is_float:
            raise DtypeError(
                f"{title_of(f)} returned dtype {call.builder.avals[output.node].dtype}, which has no derivative"
            )
    return call.outputs


# -- products with the Jacobian --------------------------------------------------------------------------------------


def _match(call: Call, leaves: Sequence[Leaf | Output], value: Any, structure: Any, what: str) -> list[Any]:
    """The leaves of a tangent or cotangent, checked against the shapes that they belong to."""
    found, given = tree.flatten(value)
    if given != structure:
        raise ShapeError(f"{what} has structure {given!r}, but {structure!r} is needed")
    out: list[Any] = []
    for leaf, item in zip(leaves, found, strict=True):
        assert leaf.node is not None
        like = call.builder.avals[leaf.node]
        if np.shape(item) != like.shape:
            raise ShapeError(f"{what} has shape {np.shape(item)}, but {like.shape} is needed")
        if np.result_type(item).kind == "c" and like.dtype.kind != "c":
            raise DtypeError(f"{what} is complex, but what it belongs to is of dtype {like.dtype}")
        if type(item) is Tracer:
            out.append(converted(item, like.dtype))
        else:
            out.append(np.asarray(item, like.dtype) if like.shape else like.dtype.type(item))
    return out


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, backend: Backend | None = None
) -> tuple[Any, Any]:
    """Forward mode: the value of `f` and its derivative in one direction (the Jacobian times `tangents`).

    Args:
        f: A function of ``len(primals)`` arguments. Called with the same one again, `jvp` keeps its traces.
        primals: The arguments, a tuple or list.
        tangents: A direction for each, of the same structure and shapes.
        backend: "native" or "numpy"; by default as `hopgrad.use_backend` says.

    Returns:
        ``(value, tangent of the value)``.

    >>> import numpy as np
    >>> jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    primals, tangents = tuple(primals), tuple(tangents)
    if len(primals) != len(tangents):
        raise ShapeError(f"jvp: {len(primals)} primals but {len(tangents)} tangents")
    repeated = _TANGENTS.of(f) if context.current() is None else None
    if repeated is not None:
        answer: tuple[Any, Any] = repeated(*primals, tangents, **_chosen(backend))
        return answer
    with Level() as running:
        call = start_call(f, running, tuple(range(len(primals))), primals, {})
        return _Tangents(f, tangents).finish(call, sys._getframe(1))


def _chosen(way: Backend | None) -> dict[str, str]:
    """The backend as a keyword, which passes over entry points, unless it is native code as everywhere."""
    found = backend_in_force(way)
    return {} if found == "native" == backend_in_force() else {"way": found}


@dataclass
class _Tangents:
    """What `jvp` makes of a traced call."""

    f: Any
    tangents: tuple[Any, ...]

    def derived(self, call: Call) -> tuple[list[int], list[int]]:
        """Values and tangents of the results, and the inputs that stand for the tangents of the arguments."""

        def derive() -> tuple[list[int], list[int]]:
            builder = call.builder
            outputs = [o.node for o in float_outputs(call, self.f)]
            seeds = {leaf.node: builder.input(builder.avals[leaf.node], f"d{leaf.name}") for leaf in call.leaves}
            moved = push(builder, seeds, outputs)
            nodes = [moved[n].id if n in moved else zeros(builder, builder.avals[n]).id for n in outputs]
            return [*outputs, *nodes], [seed.id for seed in seeds.values()]

        found: tuple[list[int], list[int]] = call.derive("tangent", derive)
        return found

    def given(self, call: Call) -> dict[int, Any]:
        """The tangents of the arguments, by input."""
        structure = tree.flatten(call.regroup([0.0] * len(call.leaves)))[1]
        leaves = _match(call, call.leaves, self.tangents, structure, "the tangent")
        return dict(zip(self.derived(call)[1], leaves, strict=True))

    def finish(self, call: Call, frame: FrameType | None) -> tuple[Any, Any]:
        """Value and tangent."""
        nodes, _ = self.derived(call)
        found = give_back(call, nodes, [o.kind for o in call.outputs] * 2, frame, self.given(call))
        n = len(call.outputs)
        return tree.unflatten(call.structure, found[:n]), tree.unflatten(call.structure, found[n:])


def _tangent(f: Any) -> Transformed:
    """`jvp` of one function: takes its arguments, then the tuple of their tangents."""
    replays = Replays(f"tangent of {title_of(f)}")

    def function(*args: Any, way: str | None = None) -> Any:
        *primals, tangents = args
        own = _Tangents(f, tangents)
        direction = Direction(tangents, lambda call: own.derived(call)[1], own.given, lambda rest, last: [*rest, last])
        return run(
            f, replays, tuple(range(len(primals))), tuple(primals), {}, lambda call: own.finish(call, None), way=way,
            target=made, direction=direction,
        )  # fmt: skip

    made = Transformed(function, f, "tangent of {}", replays)
    return made


_TANGENTS = Repeated(_tangent)


def vjp(
    f: Callable[..., Any], *primals: Any, backend: Backend | None = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Reverse mode: the value of `f`, and the function that pulls a cotangent of it back to the arguments.

    Called with the same function again, `vjp` keeps its traces.

    Returns:
        ``(value, pullback)``; ``pullback(cotangent)`` takes the structure of the value and returns a tuple with one
        entry for each of `primals`.

    >>> import numpy as np
    >>> value, pullback = vjp(lambda x: x**2, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    repeated = _PULLBACKS.of(f) if context.current() is None else None
    if repeated is not None:
        answer: tuple[Any, Callable[[Any], tuple[Any, ...]]] = repeated(*primals, **_chosen(backend))
        return answer
    with Level() as running:
        call = start_call(f, running, tuple(range(len(primals))), primals, {})
        call.native = backend_in_force(backend) == "native"
        return _value_and_pullback(call, f, sys._getframe(1))


def _pullbacks(f: Any) -> Transformed:
    """`vjp` of one function."""
    replays = Replays(f"value and pullback of {title_of(f)}")

    def function(*primals: Any, way: str | None = None) -> Any:
        argnums = tuple(range(len(primals)))
        return run(
            f, replays, argnums, primals, {}, lambda call: _value_and_pullback(call, f, None), way=way, target=made
        )

    made = Transformed(function, f, "value and pullback of {}", replays)
    return made


_PULLBACKS = Repeated(_pullbacks)


def report(f: Callable[..., Any]) -> str:
    """What `jvp` and `vjp` keep for a function: as ``report()`` of what the other transforms make.

    >>> import numpy as np
    >>> def cube(x):
    ...     return x**3
    >>> _ = [jvp(cube, (2.0,), (1.0,)) for _ in range(3)]
    >>> print(report(cube))
    tangent of cube
      1 trace kept, chosen by guards:
        no guards: replayed 1 times
          ...
    """
    kept = [made for made in (_TANGENTS.made(f), _PULLBACKS.made(f)) if made is not None]
    if not kept:
        return f"jvp and vjp of {title_of(f)}\n  nothing is kept: they keep traces from the second call on"
    return "\n".join(made.report() for made in kept)


class _Pullback:
    """Takes a cotangent of a value to the cotangents of the arguments, by what was kept when the value was computed."""

    made_by_hopgrad = True
    __slots__ = ("_back", "_kept")

    def __init__(self, back: Callable[[tuple[Any, ...], Any], tuple[Any, ...]], kept: tuple[Any, ...]) -> None:
        self._back = back
        self._kept = kept

    def __call__(self, cotangent: Any) -> tuple[Any, ...]:
        return self._back(self._kept, cotangent)


def _value_and_pullback(call: Call, f: Any, frame: FrameType | None) -> tuple[Any, Any]:
    """What `vjp` makes of a traced call."""
    outputs = float_outputs(call, f)
    nested = call.trace.nested

    def derive() -> _Back:
        builder = call.builder
        seeds = [builder.input(builder.avals[o.node], "ct") for o in outputs]
        total: dict[int, Expr] = {}
        for output, seed in zip(outputs, seeds, strict=True):
            total[output.node] = total[output.node] + seed if output.node in total else seed
        return _Back(call, f, adjoints(call, pull(builder, total, call.inputs)), [seed.id for seed in seeds])

    back: _Back = call.derive("pullback", derive)
    kept = [] if nested else back.kept
    kinds = [ARRAY if call.builder.avals[n].shape else SCALAR for n in kept]
    found = give_back(call, [*[o.node for o in outputs], *kept], [*[o.kind for o in outputs], *kinds], frame)
    value, rest = tree.unflatten(call.structure, found[: len(outputs)]), tuple(found[len(outputs) :])
    way = back.inside if nested else back.function if call.native else back.interpreted
    make = functools.partial(_Pullback, way)
    return value, entries.Made(make, rest) if call.results is entries.MARKED else make(rest)


class _Back:
    """The way back from cotangents of a function's results to those of its arguments, for one trace.

    What does not depend on the cotangents is computed with the value, and kept.
    """

    def __init__(self, call: Call, f: Any, nodes: list[int], seeds: list[int]) -> None:
        self.call = call
        self.nodes = nodes
        self.seeds = seeds
        self.kinds = [leaf.kind for leaf in call.leaves]
        self.function = Function(self.native, f, f"pullback of {title_of(f)}")
        self.used = False

    @functools.cached_property
    def kept(self) -> list[int]:
        """What is kept of the value's computation."""
        return fixed(self.call.builder, self.nodes, self.seeds)

    def inside(self, kept: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
        """Within the outer function's trace."""
        call = self.call
        call.trace.check_open()
        more = dict(zip(self.seeds, self._given(cotangent), strict=True))
        frame = sys._getframe(2)
        return tuple(call.regroup(_inside(call, lambda: give_back(call, self.nodes, self.kinds, frame, more))))

    def interpreted(self, kept: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
        """By the interpreter."""
        return self._pulled(kept, cotangent, False, sys._getframe(2))

    def native(self, kept: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
        """By native code; what is done once only is not worth compiling."""
        native, self.used = self.used, True
        return self._pulled(kept, cotangent, native, sys._getframe(2))

    def _pulled(self, kept: tuple[Any, ...], cotangent: Any, native: bool, frame: FrameType) -> tuple[Any, ...]:
        call, builder = self.call, self.call.builder
        chosen = dict(zip([*self.kept, *self.seeds], [*kept, *self._given(cotangent)], strict=True))
        later = context.current()
        if later is not None and any(type(chosen[seed]) is Tracer for seed in self.seeds):
            replaced = {
                node: current_node(v) if type(v) is Tracer else later.builder.constant(v).id
                for node, v in chosen.items()
            }
            pulled = []
            moved = transplant(builder, self.nodes, later.builder, replaced)
            for node, kind in zip(moved, self.kinds, strict=True):
                later.site(node, frame)
                pulled.append(Tracer(later, node, kind))
            return tuple(call.regroup(pulled))
        if native:
            way = computation(call, self.nodes, list(chosen))
            values = way.run(chosen, True)
            if way.native is not None:
                self._enter(way.native, kept, cotangent, chosen)
        else:
            values = evaluate(builder, self.nodes, chosen)
        taken = {id(v) for v in chosen.values()}
        return tuple(call.regroup([finished(v, kind, taken) for v, kind in zip(values, self.kinds, strict=True)]))

    def _given(self, cotangent: Any) -> list[Any]:
        """The leaves of a cotangent."""
        return _match(self.call, self.call.outputs, cotangent, self.call.structure, "the cotangent")

    def _enter(self, plan: NativePlan, kept: tuple[Any, ...], cotangent: Any, chosen: dict[int, Any]) -> None:
        """An entry point for cotangents of one kind, if there is none, and can be one."""
        call = self.call

        def make() -> None:
            arguments = [entries.marked(kept, iter(self.kept)), entries.marked(cotangent, iter(self.seeds))]
            answer = tuple(call.regroup([entries.Result(k, kind) for k, kind in enumerate(self.kinds)]))
            made = entries.entry_for(plan, chosen, arguments, answer, ())
            if made is not None:
                self.function.entries = (made, *self.function.entries[: entries.MOST - 1])

        call.derive(("entered", *[token_of(leaf) for leaf in tree.flatten(cotangent)[0]]), make)


def _inside(call: Call, work: Callable[[], Any]) -> Any:
    """Do `work` as when the transform was at work inside its outer function."""
    before, call.trace.nested = call.trace.nested, True
    try:
        return work()
    finally:
        call.trace.nested = before


# -- whole Jacobians -------------------------------------------------------------------------------------------------


def jacobian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    mode: Literal["forward", "reverse"] | None = None,
    backend: Backend | None = None,
) -> Callable[..., Any]:
    """The function that computes all derivatives of `f`'s results by an argument.

    Args:
        f: Returns an array (or a nested structure of arrays).
        argnums: As in `grad`.
        mode: "forward" costs one sweep for each input element, "reverse" one for each result element; None takes the
            cheaper one. Of complex results of real arguments only "forward" gives the derivatives, of real results of
            complex arguments only "reverse" (∂f/∂x − i ∂f/∂y, as `grad`). Functions from complex to complex numbers
            have to be analytic.
        backend: "native" or "numpy"; by default as `hopgrad.use_backend` says.

    Returns:
        A function; its result has shape ``result.shape + argument.shape`` (for nested structures: the argument's
        structure inside the result's).

    >>> import numpy as np
    >>> jacobian(lambda x: x**2)(np.array([1.0, 3.0]))
    array([[2., 0.],
           [0., 6.]])
    """
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f"mode is 'forward', 'reverse' or None, not {mode!r}")
    return _jacobian(f, argnums, mode, "Jacobian of {}", backend)


def _jacobian(
    f: Callable[..., Any], argnums: Argnums, mode: str | None, title: str, way: Backend | None, symmetric: bool = False
) -> Callable[..., Any]:
    """The transform; `symmetric` if `f` is a gradient, so that blocks of its derivatives need not be transposed."""

    def derivatives(call: Call, frame: FrameType | None) -> Any:
        outputs = float_outputs(call, f)
        pairs = [(output, leaf) for output in outputs for leaf in call.leaves]
        for output, leaf in pairs:
            _check_analytic(call, output, leaf, f)
        kinds = [_block_kind(call, output, leaf) for output, leaf in pairs]
        blocks: list[Any]
        if call.results is entries.MARKED:
            if not call.replayed:
                forward, free = _direction(call, outputs, mode)
                _ask(call, outputs, forward, forward and free, symmetric)
            blocks = [entries.Result(k, kind) for k, kind in enumerate(kinds)]
        elif call.results is not None:
            blocks = give_back(call, (), kinds, frame)
        else:
            blocks = [
                block if type(block) is Tracer else finished(np.asarray(block, order="C"), kind)
                for block, kind in zip(_all_blocks(call, outputs, mode, symmetric, frame), kinds, strict=True)
            ]
        width = len(call.leaves)
        rows = [call.regroup(blocks[k * width : (k + 1) * width]) for k in range(len(outputs))]
        return tree.unflatten(call.structure, rows)

    return transform(f, argnums, title, derivatives, way=way)


def _block_kind(call: Call, output: Output, leaf: Leaf) -> int:
    """What the derivatives of one result by one input are: numbers only if both are."""
    assert output.node is not None
    avals = call.builder.avals
    if avals[output.node].shape or avals[leaf.node].shape or ARRAY in (output.kind, leaf.kind):
        return ARRAY
    return max(output.kind, leaf.kind) if PYTHON in (output.kind, leaf.kind) else SCALAR


def _all_blocks(
    call: Call, outputs: Sequence[Output], mode: str | None, symmetric: bool, frame: FrameType | None
) -> list[Any]:
    """The derivatives of each result by each input, in the cheaper mode, or as `mode` says."""
    forward, free = _direction(call, outputs, mode)

    def blocks(forward: bool) -> list[Any]:
        return _blocks(call, outputs, forward, symmetric, lambda nodes, seed: _swept(call, nodes, seed, frame))

    found = blocks(forward)
    if forward and free and not call.trace.nested and not all(bool(np.isfinite(block).all()) for block in found):
        # Unit tangents have zeros that meet infinite derivatives; reverse mode knows which to trust.
        forward = False
        found = blocks(False)
    if call.native and not call.replayed and not call.trace.nested:
        _ask(call, outputs, forward, forward and free, symmetric)
    return found


def _direction(call: Call, outputs: Sequence[Output], mode: str | None) -> tuple[bool, bool]:
    """Whether the sweeps are made in forward mode, and whether the other mode would do as well."""
    mode = _mode_for_complex(call, outputs, mode)
    if mode is not None:
        return mode == "forward", False
    avals = call.builder.avals
    inside = sum(avals[n].size for n in call.inputs)
    outside = sum(avals[o.node].size for o in outputs if o.node is not None)
    return inside <= outside and _has_forward(call, outputs), True


def _has_forward(call: Call, outputs: Sequence[Output]) -> bool:
    """Whether there are rules for forward mode."""
    try:
        _seeds(call, outputs, True)
    except NotDifferentiableError:
        return False
    return True


def _ask(call: Call, outputs: Sequence[Output], forward: bool, finite: bool, symmetric: bool) -> None:
    """Have native code compute all sweeps in one, if that does not take too much memory."""
    avals = call.builder.avals
    seeds = _seeds(call, outputs, forward)
    if all(avals[seed].size <= batch.bound(call.builder, nodes, seed) for nodes, seed in seeds):
        every = _blocks(call, outputs, forward, symmetric, lambda nodes, seed: _in_one(call, nodes, seed))
        call.asked.append(Asked(tuple([block.id for block in every]), finite=finite))


def _mode_for_complex(call: Call, outputs: Sequence[Output], mode: str | None) -> str | None:
    """The mode that complex results of real arguments need, or real results of complex ones; `mode` if any will do.

    One sweep gives a complex number for each real one of the other side: that is where it has to start.
    """
    avals = call.builder.avals
    results = [avals[o.node].dtype.kind for o in outputs if o.node is not None]
    kinds = {(kind, avals[n].dtype.kind) for kind in results for n in call.inputs}
    needed = [name for name, pair in (("forward", ("c", "f")), ("reverse", ("f", "c"))) if pair in kinds]
    if len(needed) > 1:
        raise DtypeError(
            "some results are complex and some arguments, but not all of them: ask for the derivatives of the real and"
            " the complex results, or by the real and the complex arguments, one after the other"
        )
    if needed and mode not in (None, *needed):
        what = "complex results of real" if mode == "reverse" else "real results of complex"
        raise DtypeError(f"the derivatives of {what} arguments need mode={needed[0]!r}")
    return needed[0] if needed else mode


def _seeds(call: Call, outputs: Sequence[Output], forward: bool) -> list[tuple[list[int], int]]:
    """For each input (forward mode) or result (reverse mode) one sweep: what it gives, and the seed it starts from."""
    builder = call.builder
    nodes = [o.node for o in outputs if o.node is not None]

    def column(node: int) -> tuple[list[int], int]:
        seed = builder.input(builder.avals[node], "t")
        moved = push(builder, {node: seed}, nodes)
        return [moved[n].id if n in moved else zeros(builder, builder.avals[n]).id for n in nodes], seed.id

    def row(node: int) -> tuple[list[int], int]:
        seed = builder.input(builder.avals[node], "ct")
        return adjoints(call, pull(builder, {node: seed}, call.inputs, units=True)), seed.id

    if forward:
        return [call.derive(("column", n), functools.partial(column, n)) for n in call.inputs]
    return [call.derive(("row", n), functools.partial(row, n)) for n in nodes]


def _blocks(
    call: Call,
    outputs: Sequence[Output],
    forward: bool,
    symmetric: bool,
    sweep: Callable[[list[int], int], Sequence[Any]],
) -> list[Any]:
    """The derivatives of each result by each input, made of what `sweep` gives for all unit vectors.

    A tangent for each unit vector is a column of the block, and so a row where all blocks together are symmetric.
    """
    avals = call.builder.avals
    symmetric = symmetric and forward and _has_symmetry(call, outputs)
    found = [sweep(nodes, seed) for nodes, seed in _seeds(call, outputs, forward)]
    blocks = []
    for k, output in enumerate(outputs):
        for n, leaf in enumerate(call.leaves):
            assert output.node is not None
            block = found[n][k] if forward and not symmetric else found[k][n]
            if forward and not symmetric:  # the unit vectors' axis goes last
                block = transposed(block, (*range(1, block.ndim), 0))
            blocks.append(reshape(block, shape=avals[output.node].shape + avals[leaf.node].shape))
    return blocks


def _has_symmetry(call: Call, outputs: Sequence[Output]) -> bool:
    """Whether the derivatives of a gradient are those of a function, and not what a user's rules say."""
    nodes = [o.node for o in outputs if o.node is not None]
    hops = {call.builder.hop(n) for n in reachable(call.builder, nodes)}
    return len(outputs) == len(call.leaves) and all(hop.__module__ != custom.__name__ for hop in hops)


def _in_one(call: Call, nodes: Sequence[int], seed: int) -> list[Expr]:
    """Values of `nodes` for all unit vectors in place of `seed`, along a first axis, as values of the graph."""
    builder = call.builder
    with builder.passing("sweep"):
        every = batch.units(builder, builder.avals[seed])
    return batch.batched(builder, nodes, {seed: every})


def _swept(call: Call, nodes: Sequence[int], seed: int, frame: FrameType | None) -> list[Any]:
    """Values of `nodes` for all unit vectors in place of `seed`, along a first axis."""
    builder = call.builder
    like = builder.avals[seed]
    if not like.size:
        return [np.zeros((0, *builder.avals[n].shape), builder.avals[n].dtype) for n in nodes]
    if call.trace.nested:
        return give_back(call, [value.id for value in _in_one(call, nodes, seed)], [ARRAY] * len(nodes), frame)
    if call.replayed and call.native:
        return _in_parts(call, nodes, seed)
    found = evaluate_sweep(builder, nodes, call.known, [seed], ([unit] for unit in _basis(like)))
    return [np.stack(values) for values in zip(*found, strict=True)]


def _basis(like: Aval) -> Iterator[Any]:
    for k in range(like.size):
        unit = np.zeros(like.size, like.dtype)
        unit[k] = 1
        yield unit.reshape(like.shape) if like.shape else unit[0]


def _in_parts(call: Call, nodes: Sequence[int], seed: int) -> list[Any]:
    """As `_swept`, for many unit vectors at once. What does not depend on them is computed once."""
    builder = call.builder
    like = builder.avals[seed]

    def derive() -> tuple[list[int], list[int], int]:
        count = min(like.size, batch.bound(builder, nodes, seed))
        some = builder.input(aval((count, *like.shape), like.dtype), "units")
        wide = [value.id for value in batch.batched(builder, nodes, {seed: some})]
        return fixed(builder, wide, [some.id]), wide, some.id

    kept, wide, some = call.derive(("parts", seed), derive)
    inputs = [n for n in call.known if builder.hop(n).name == "input"]
    known = dict(zip(kept, computation(call, kept, inputs).run(call.known, call.native), strict=True))
    sweep = computation(call, wide, [*kept, some])
    count = builder.avals[some].shape[0]
    found = []
    for start in range(0, like.size, count):
        units = np.eye(count, like.size, start, like.dtype).reshape(count, *like.shape)
        found.append(sweep.run({**known, some: units}, call.native))
    return [np.concatenate(parts)[: like.size] for parts in zip(*found, strict=True)]


def hessian(f: Callable[..., Any], argnums: int | str = 0, *, backend: Backend | None = None) -> Callable[..., Any]:
    """The function that computes all second derivatives of a scalar function: forward mode over reverse mode.

    Its result has shape ``argument.shape + argument.shape``.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 3.0]))
    array([[0., 6.],
           [6., 2.]])
    """
    return wraps(f, "Hessian of {}")(
        _jacobian(grad(f, argnums), argnums, None, "Hessian of {}", backend, symmetric=True)
    )


def hvp(f: Callable[..., Any], argnums: int = 0, *, backend: Backend | None = None) -> Callable[..., Any]:
    """The Hessian of a scalar function times a vector, without the Hessian: forward mode over reverse mode.

    ``hvp(f)(x, v, *rest)`` computes ``hessian(f)(x, *rest) @ v`` at a few times the cost of `f`; it fits ``hessp`` of
    ``scipy.optimize.minimize``. Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    check_function(f, "hvp")
    backend_in_force(backend)
    replays = Replays(f"Hessian-vector product of {title_of(f)}")

    def vector(call: Call, seeds: Sequence[int], v: Any) -> dict[int, Any]:
        return dict(zip(seeds, _match(call, call.leaves, v, call.structures[0], "the vector"), strict=True))

    def seeds_of(call: Call) -> Sequence[int]:
        found = call.derived.get(("hvp", True)) or call.derived["hvp", False]  # where forward mode has no rule
        seeds: Sequence[int] = found[1]
        return seeds

    def finish(call: Call, v: Any, frame: FrameType | None) -> Any:
        def derive(forward: bool) -> tuple[list[int], list[int]]:
            builder = call.builder
            output = _scalar_output(call, f, "hvp")
            assert output.node is not None
            seed = ones(builder, builder.avals[output.node])
            first = adjoints(call, pull(builder, {output.node: seed}, call.inputs))
            seeds = [
                builder.input(builder.avals[n], f"d{leaf.name}") for n, leaf in zip(first, call.leaves, strict=False)
            ]
            if forward:
                moved = push(builder, dict(zip(call.inputs, seeds, strict=False)), first)
                nodes = [moved[n].id if n in moved else zeros(builder, builder.avals[n]).id for n in first]
            else:
                total: dict[int, Expr] = {}
                for node, tangent in zip(first, seeds, strict=False):
                    total[node] = total[node] + tangent if node in total else tangent
                nodes = adjoints(call, pull(builder, total, call.inputs, units=True))
            return nodes, [seed.id for seed in seeds]

        def product(forward: bool) -> list[Any]:
            nodes, seeds = call.derive(("hvp", forward), lambda: derive(forward))
            more = vector(call, seeds, v)
            return give_back(call, nodes, [leaf.kind for leaf in call.leaves], frame, more, finite=forward)

        try:
            found = product(True)
        except NotDifferentiableError:  # no rule for forward mode
            return call.regroup(product(False))
        checked = call.trace.nested or call.results is not None  # native code has checked it itself
        if not checked and not all(np.isfinite(leaf).all() for leaf in found):
            # Zeros of v may have met infinite derivatives. A Hessian is symmetric, and reverse mode knows which zeros
            # to trust.
            found = product(False)
        return call.regroup(found)

    def arranged(marked: list[Any], v: Any) -> list[Any]:
        return [marked.pop(argnums), v, *marked]

    def product(x: Any, v: Any, *rest: Any, **keywords: Any) -> Any:
        frame = sys._getframe(1)
        args = list(rest)
        args.insert(argnums if argnums >= 0 else len(args) + 1 + argnums, x)
        if context.current() is not None:
            with Level() as running:
                return finish(start_call(f, running, argnums, tuple(args), keywords), v, frame)
        own = Direction(v, seeds_of, lambda call: vector(call, seeds_of(call), v), arranged)
        return run(
            f, replays, argnums, tuple(args), keywords, lambda call: finish(call, v, frame), way=backend, target=made,
            direction=own,
        )  # fmt: skip

    made = Transformed(product, f, "Hessian-vector product of {}", replays)
    return made


# -- tracing and checking --------------------------------------------------------------------------------------------


def graph_of(f: Callable[..., Any], argnums: Argnums | None = None) -> Callable[..., Graph]:
    """The function that records `f` at its arguments as a `Graph`, without differentiating.

    Args:
        f: Any function of NumPy values.
        argnums: Which arguments become inputs; None: all positional arguments that hold floating-point values.

    >>> print(graph_of(lambda x: x * 2.0 + 1.0)(3.0))
    graph(x: float64) -> y:
      z: float64 = multiply(x, 2.0)
      y: float64 = add(z, 1.0)
    """

    @wraps(f, "graph of {}")
    def record(*args: Any, **keywords: Any) -> Graph:
        chosen = float_arguments(args) if argnums is None else argnums
        with Level() as running:
            call = start_call(f, running, chosen, args, keywords)
            outputs = [o.node for o in call.outputs if o.node is not None]
            guards = outer_guards(running)
        return Graph(call.builder, call.inputs, outputs, guards)

    return record


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("forward", "reverse"),
    *,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> None:
    """Check derivatives of `f` at `args` against finite differences along random directions, up to `order`.

    Central differences of fourth order with the step eps^(1/5) of the argument's dtype: about 11 digits in float64.

    Raises:
        AssertionError: the two differ; the message gives both numbers.

    >>> import numpy as np
    >>> check_grads(lambda x: np.exp(np.sin(x)), (0.3,), order=2)
    """
    args = tuple(args)
    leaves, structure = tree.flatten(args)
    checked = [as_input(v, tree.format_path(p, "args")) for v, p in zip(leaves, tree.paths(structure), strict=True)]
    single = any(like.dtype in (np.float32, np.complex64) for like, _, _ in checked)
    rtol = (2e-2 if single else 1e-6) if rtol is None else rtol
    atol = (2e-2 if single else 1e-7) if atol is None else atol
    random = np.random.default_rng(seed)
    step = float(np.finfo(np.float32 if single else np.float64).eps) ** 0.2

    def direction(values: Sequence[Any]) -> list[Any]:
        return [_normal(random, np.shape(v), np.asarray(v).dtype) for v in values]

    points = [np.asarray(value, like.dtype)[()] for like, _, value in checked]
    v = direction(points)

    def along(t: float) -> list[Any]:
        moved = [p + np.asarray(p).dtype.type(t) * d for p, d in zip(points, v, strict=True)]
        return [_wide(x) for x in tree.flatten(f(*tree.unflatten(structure, moved)))[0]]

    pairs = [(along(k * step), along(-k * step)) for k in (1, 2)]
    numeric = [
        (8 * (a - b) - (c - d)) / (12 * step)
        for a, b, c, d in zip(pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1], strict=True)
    ]
    tangents = tree.unflatten(structure, v)

    def primals() -> Any:
        return tree.unflatten(structure, [p.copy() for p in points])  # the function may write to its arguments

    if "forward" in modes:
        pushed = tree.flatten(jvp(f, primals(), tangents)[1])[0]
        for got, want in zip(pushed, numeric, strict=True):
            np.testing.assert_allclose(got, want, rtol, atol, err_msg="forward mode against finite differences")
    if "reverse" in modes:
        value, pullback = vjp(f, *primals())
        outputs, out_structure = tree.flatten(value)
        weights = direction(outputs)
        pulled = tree.flatten(pullback(tree.unflatten(out_structure, weights)))[0]
        got = sum(float(np.sum(np.real(_wide(a) * b))) for a, b in zip(pulled, v, strict=True))
        want = sum(float(np.sum(np.real(_wide(a) * b))) for a, b in zip(weights, numeric, strict=True))
        scale = sum(float(np.sum(np.abs(a * b))) for a, b in zip(weights, numeric, strict=True))
        np.testing.assert_allclose(got, want, rtol, atol + rtol * scale,
                                   err_msg="reverse mode against finite differences")  # fmt: skip
    if order > 1:
        n = len(args)

        def derivative(*primals: Any) -> Any:
            return jvp(f, primals[:n], tangents)[1]

        check_grads(derivative, primals(), order - 1, modes, rtol=rtol, atol=atol, seed=seed + 1)


def _wide(value: Any) -> np.ndarray[Any, Any]:
    """A value in double precision."""
    return np.asarray(value, np.result_type(value, np.float64))


def _normal(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Normally distributed numbers, of complex ones both parts."""
    found = random.standard_normal(shape)
    return np.asarray(found + 1j * random.standard_normal(shape) if dtype.kind == "c" else found, dtype)[()]
