"""The transforms: grad and its family, from functions to functions, by way of graphs.

Each one traces the user's function on fresh inputs, differentiates graph to graph, and then either evaluates (outermost
call) or puts the actual arguments in place of the fresh inputs (inside another trace). The second is what makes
nesting to any order safe: a derivative is always taken with respect to inputs that nobody else has.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

import numpy as np

from hopgrad import tree
from hopgrad.aval import Aval, aval, aval_of
from hopgrad.differentiate import Pullback, pull, push, substitute, transplant
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.evaluate import evaluate, evaluate_sweep, residuals
from hopgrad.graph.builder import Builder, Expr, ones, zeros
from hopgrad.graph.graph import Graph, Guard
from hopgrad.trace import context
from hopgrad.trace.context import Trace, tracing
from hopgrad.trace.tracer import ARRAY, PYTHON, SCALAR, Tracer, converted, current_node

__all__ = [
    "check_grads",
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

Argnums = int | str | Sequence[int | str]


# -- arguments -------------------------------------------------------------------------------------------------------


@dataclass
class Leaf:
    """One array or number among the differentiated arguments, and the fresh input that stands for it."""

    node: int
    kind: int
    name: str
    actual: Any
    """What the caller gave: a concrete value, or the tracer of an outer trace."""


@dataclass
class Output:
    """One leaf of the function's result: a value of the graph, or None where it is no number (and ``other`` it is)."""

    node: int | None
    kind: int
    other: Any = None


@dataclass
class Call:
    """A function traced at its arguments: the fresh inputs, the results, and how to come back from them."""

    trace: Trace
    leaves: list[Leaf]
    structures: list[tree.Structure]
    """Structure of each differentiated argument, in order of ``argnums``."""
    single: bool
    outputs: list[Output] = field(default_factory=list)
    structure: Any = None

    @property
    def builder(self) -> Builder:
        """The builder that holds it all."""
        return self.trace.builder

    @property
    def inputs(self) -> list[int]:
        """Ids of the fresh inputs."""
        return [leaf.node for leaf in self.leaves]

    def expr(self, node: int) -> Expr:
        """A handle."""
        return Expr(self.builder, node)

    def regroup(self, values: Sequence[Any]) -> Any:
        """One value for each leaf, in the structure of the arguments: alone for an int argnums, else a tuple."""
        rest = iter(values)
        groups = [tree.unflatten(s, [next(rest) for _ in range(s.num_leaves)]) for s in self.structures]
        return groups[0] if self.single else tuple(groups)


def positions(
    f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], keywords: dict[str, Any]
) -> list[int | str]:
    """Each chosen argument as a position in `args` or a name in `keywords`."""
    chosen = [argnums] if isinstance(argnums, (int, str)) else list(argnums)
    if not chosen:
        raise ValueError("argnums is empty: name at least one argument to differentiate by")
    names = _parameter_names(f)
    found: list[int | str] = []
    for which in chosen:
        place: int | str = which
        if isinstance(place, str) and place not in keywords and place in names:
            place = names.index(place)
        if isinstance(place, int) and place < 0:
            place += len(args)
        if isinstance(place, int) and place >= len(args) and place < len(names):
            place = names[place]
        if (isinstance(place, int) and not 0 <= place < len(args)) or (
            isinstance(place, str) and place not in keywords
        ):
            raise ValueError(
                f"argnums names argument {which!r} of {_title(f)}, but it was called with {len(args)} positional"
                f" arguments{' and ' + ', '.join(keywords) if keywords else ''}"
            )
        found.append(place)
    if len(set(found)) != len(found):
        raise ValueError(f"argnums {argnums!r} names an argument twice")
    return found


def _check_function(f: Any, verb: str) -> None:
    if not callable(f):
        raise TypeError(f"{verb} needs a function, not {type(f).__name__}")


def _title(f: Any) -> str:
    return getattr(f, "__name__", None) or type(f).__name__


@functools.lru_cache(maxsize=1024)
def _cached_names(f: Any) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        return tuple(p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds)
    except (TypeError, ValueError):  # builtins and ufuncs may have no signature
        return ()


def _parameter_names(f: Any) -> tuple[str, ...]:
    try:
        return _cached_names(f)
    except TypeError:  # an unhashable callable
        return ()


def as_input(value: Any, where: str) -> tuple[Aval, int, Any]:
    """(abstract value, kind, value) of something to differentiate by; an error that names it if that cannot be."""
    if type(value) is Tracer:
        if value._aval.dtype.kind != "f":
            raise DtypeError(
                f"{where} is traced with dtype {value._aval.dtype}: only floating-point values can be differentiated"
            )
        return value._aval, value._kind, value
    if type(value) is float or type(value) is int:
        return aval((), np.float64), PYTHON, np.float64(value)
    if isinstance(value, np.ma.MaskedArray):
        raise DtypeError(f"{where} is a masked array: pass x.filled(0.0) or x.data, and the mask apart")
    if isinstance(value, np.matrix):
        raise DtypeError(f"{where} is an np.matrix: pass np.asarray(x)")
    if isinstance(value, (np.ndarray, np.generic)):
        kind = value.dtype.kind
        if kind in "iu":
            raise DtypeError(
                f"{where} has integer dtype {value.dtype}: a derivative needs floating point, pass x.astype(float)"
            )
        if kind == "c":
            raise DtypeError(f"{where} is complex: differentiate by its real and imaginary parts")
        if kind != "f":
            raise DtypeError(f"{where} has dtype {value.dtype}, by which nothing can be differentiated")
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        if isinstance(value, np.ndarray):
            value = np.asarray(value)
            return aval(value.shape, value.dtype), ARRAY, value
        return aval_of(value), SCALAR, value
    name = type(value).__module__.partition(".")[0]
    cure = {"pandas": "pass x.to_numpy()", "torch": "pass x.numpy()", "jax": "pass np.asarray(x)"}.get(
        name, "give a float, a NumPy array, or a list, tuple or dict of them; leave it out of argnums otherwise"
    )
    raise DtypeError(f"{where} is of type {type(value).__name__}, by which nothing can be differentiated: {cure}")


def start_call(
    f: Callable[..., Any],
    running: Trace,
    argnums: Argnums,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    has_aux: bool = False,
) -> tuple[Call, Any]:
    """Run `f` on fresh tracers in place of the chosen arguments. Returns the call and the auxiliary output."""
    places = positions(f, argnums, args, keywords)
    names = _parameter_names(f)
    new_args, new_keywords = list(args), dict(keywords)
    call = Call(running, [], [], isinstance(argnums, (int, str)))
    for place in places:
        title = place if isinstance(place, str) else names[place] if place < len(names) else f"x{place}"
        value = keywords[place] if isinstance(place, str) else args[place]
        tracers, structure = trace_argument(call, value, title)
        call.structures.append(structure)
        if isinstance(place, str):
            new_keywords[place] = tracers
        else:
            new_args[place] = tracers
    result = f(*new_args, **new_keywords)
    aux = None
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"with has_aux=True {_title(f)} must return a pair (value, aux), not {type(result).__name__}"
            )
        result, aux = result
    finish_call(call, result)
    return call, aux


def trace_argument(call: Call, value: Any, title: str) -> tuple[Any, tree.Structure]:
    """The same nested value with fresh tracers for its leaves."""
    leaves, structure = tree.flatten(value)
    tracers = []
    paths = tree.paths(structure)
    for leaf, path in zip(leaves, paths, strict=True):
        like, kind, actual = as_input(leaf, tree.format_path(path, title))
        name = leaf_name(title, path)
        node = call.builder.input(like, name).id
        call.leaves.append(Leaf(node, kind, name, actual))
        tracer = Tracer(call.trace, node, kind)
        tracer._writable = False
        tracers.append(tracer)
        if type(actual) is not Tracer:
            call.trace.known[node] = actual
        else:
            call.trace.standing[node] = current_node(actual)
    call.trace.sited = len(call.builder)  # inputs have no place in the code
    return tree.unflatten(structure, tracers), structure


def leaf_name(title: str, path: tree.Path) -> str:
    """How an input is called: ``x``, ``W1`` for ``params["W1"]``, ``x[0]`` for a list's item."""
    name = title
    for key in path:
        word = key.name
        name = word if word.isidentifier() else f"{name}[{word}]"
    return name


def finish_call(call: Call, result: Any) -> None:
    """Note the function's results as values of the graph."""
    leaves, call.structure = tree.flatten(result)
    call.outputs = [as_output(call, leaf) for leaf in leaves]


def as_output(call: Call, value: Any) -> Output:
    """A result leaf as a value of the graph."""
    if type(value) is Tracer:
        if value._trace is not call.trace:
            value._trace.check_open()
        return Output(current_node(value), value._kind)
    if type(value) in (int, float, bool):
        return Output(call.builder.constant(value).id, PYTHON)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiubc":
        return Output(call.builder.constant(value).id, ARRAY if isinstance(value, np.ndarray) else SCALAR)
    return Output(None, ARRAY, value)


# -- coming back -----------------------------------------------------------------------------------------------------


def give_back(
    call: Call,
    nodes: Sequence[int],
    kinds: Sequence[int],
    frame: FrameType | None,
    more: Mapping[int, Any] | None = None,
) -> list[Any]:
    """Values of `nodes` for the actual arguments: numbers and arrays, or tracers inside an outer trace.

    `more` gives values of further inputs (cotangents, tangents), by id.
    """
    given: dict[int, Any] = {leaf.node: leaf.actual for leaf in call.leaves}
    given.update(more or {})
    if context.current() is not call.trace or not call.trace.nested:
        concrete = {n: v for n, v in given.items() if type(v) is not Tracer}
        values = evaluate(call.builder, nodes, {**call.trace.known, **concrete})
        taken = {id(v) for v in concrete.values()}
        return [finished(v, k, taken) for v, k in zip(values, kinds, strict=True)]
    builder = call.builder
    replaced = {n: current_node(v) if type(v) is Tracer else builder.constant(v).id for n, v in given.items()}
    moved = substitute(builder, nodes, replaced)
    out = []
    for node, kind in zip(moved, kinds, strict=True):
        if _depends(builder, node):
            call.trace.site(node, frame)
            out.append(Tracer(call.trace, node, kind))
        else:
            # Nothing of the outer function's inputs enters: a plain number can be used anywhere.
            out.append(finished(evaluate(builder, [node], {})[0], kind))
    return out


def _depends(builder: Builder, node: int) -> bool:
    return any(builder.hop(n).name == "input" for n in Graph(builder, (), (node,)).order)


def finished(value: Any, kind: int, taken: set[int] | None = None) -> Any:
    """A result as the user gets it: the kind of number that NumPy would give, in memory of its own.

    `taken` are the ids of arrays that others hold; the result's is added.
    """
    taken = set() if taken is None else taken
    if kind == PYTHON:
        return value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    if kind == SCALAR:
        return value[()] if isinstance(value, np.ndarray) else value
    array = np.asarray(value)
    shared = array.base is not None or not array.flags.writeable or not array.flags.owndata
    if shared or id(array) in taken:
        return array.copy()
    taken.add(id(array))
    return array


def _scalar_output(call: Call, f: Any, verb: str) -> Output:
    """The one scalar result that a gradient needs, or an error that says what to use instead."""
    if len(call.outputs) != 1 or call.structure != tree.flatten(0.0)[1]:
        raise TypeError(
            f"{verb} needs a function with one scalar result; {_title(f)} returned {call.structure.text}."
            " Use has_aux=True for (value, extra), or jacobian / vjp"
        )
    output = call.outputs[0]
    if output.node is None:
        raise TypeError(f"{verb} needs a scalar result; {_title(f)} returned {type(output.other).__name__}")
    like = call.builder.avals[output.node]
    if like.shape != ():
        raise ShapeError(
            f"{verb} needs a scalar result; {_title(f)} returned shape {like.shape}. Use jacobian(f) for all its"
            " derivatives, vjp(f, x) for a weighted sum of them, elementwise_grad(f) if each result depends on its own"
            " element only"
        )
    if like.dtype.kind != "f":
        raise DtypeError(f"{verb} needs a floating-point result; {_title(f)} returned {like.dtype}")
    return output


# -- grad ------------------------------------------------------------------------------------------------------------


def grad(f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """The function that computes the gradient of `f`.

    Args:
        f: Returns a scalar (or, with `has_aux`, a pair of a scalar and anything else). Written with plain NumPy.
        argnums: Which arguments to differentiate by: a position or a name, or several.
        has_aux: Whether `f` returns ``(value, aux)``; then the result is ``(gradient, aux)``.

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
    _check_function(f, "grad")
    inner = value_and_grad(f, argnums, has_aux=has_aux)

    @_wraps(f, "gradient of {}")
    def gradient(*args: Any, **keywords: Any) -> Any:
        value, derivative = inner(*args, **keywords)
        return (derivative, value[1]) if has_aux else derivative

    return gradient


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """As `grad`, but the new function returns ``(value, gradient)``, which fits ``scipy.optimize.minimize(jac=True)``.

    With `has_aux` it returns ``((value, aux), gradient)``.

    >>> value_and_grad(lambda x: x * x)(3.0)
    (9.0, 6.0)
    """

    @_wraps(f, "value and gradient of {}")
    def both(*args: Any, **keywords: Any) -> Any:
        frame = sys._getframe(1)
        with Level() as running:
            call, aux = start_call(f, running, argnums, args, keywords, has_aux)
            output = _scalar_output(call, f, "grad")
            assert output.node is not None
            seed = ones(call.builder, call.builder.avals[output.node])
            back = pull(call.builder, {output.node: seed}, call.inputs)
            nodes = [output.node, *_adjoints(call, back)]
            kinds = [output.kind, *[leaf.kind for leaf in call.leaves]]
            extra, structure = tree.flatten(aux)
            extras = [as_output(call, leaf) for leaf in extra]
            real = [o for o in extras if o.node is not None]
            found = give_back(
                call, [*nodes, *[o.node for o in real if o.node is not None]], [*kinds, *[o.kind for o in real]], frame
            )
        value, gradient = found[0], call.regroup(found[1 : len(nodes)])
        if not has_aux:
            return value, gradient
        rest = iter(found[len(nodes) :])
        aux = tree.unflatten(structure, [next(rest) if o.node is not None else o.other for o in extras])
        return (value, aux), gradient

    return both


def _adjoints(call: Call, back: Pullback) -> list[int]:
    """The inputs' adjoints, zeros where there are none."""
    return [
        back.adjoints[leaf.node].id
        if leaf.node in back.adjoints
        else zeros(call.builder, call.builder.avals[leaf.node]).id
        for leaf in call.leaves
    ]


class Level:
    """Enters the running trace, in which values stay symbolic (see `give_back`), or a new one."""

    def __enter__(self) -> Trace:
        self._outer = context.current() is not None
        self._context = tracing(sys._getframe(1))
        running: Trace = self._context.__enter__()
        self._before = running.nested
        running.nested = self._outer
        self._running = running
        return running

    def __exit__(self, *error: Any) -> Any:
        self._running.nested = self._before
        return self._context.__exit__(*error)


def _wraps(f: Any, title: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    _check_function(f, title.partition(" of")[0])

    def decorate(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        with contextlib.suppress(AttributeError, TypeError):  # of callables without the usual attributes
            wrapper = functools.wraps(f)(wrapper)
        text = (getattr(f, "__doc__", None) or "").strip()
        wrapper.__doc__ = f"The {title.format(_title(f))}." + (f"\n\n{text}" if text else "")
        return wrapper

    return decorate


def elementwise_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The derivative of each result element by its own input element, for functions that work element by element.

    More exactly: the gradient of the sum of the result. For ``f`` elementwise the two are the same.

    >>> import numpy as np
    >>> elementwise_grad(np.sin)(np.array([0.0, np.pi]))
    array([ 1., -1.])
    """

    @_wraps(f, "elementwise derivative of {}")
    def derivative(*args: Any, **keywords: Any) -> Any:
        frame = sys._getframe(1)
        with Level() as running:
            call, _ = start_call(f, running, argnums, args, keywords)
            seeds: dict[int, Expr] = {}
            for output in _float_outputs(call, f):
                _check_elementwise(call, output, f)
                one = ones(call.builder, call.builder.avals[output.node])
                seeds[output.node] = seeds[output.node] + one if output.node in seeds else one
            back = pull(call.builder, seeds, call.inputs)
            found = give_back(call, _adjoints(call, back), [leaf.kind for leaf in call.leaves], frame)
        return call.regroup(found)

    return derivative


def _check_elementwise(call: Call, output: Output, f: Any) -> None:
    """A result of another shape than an argument cannot belong to it element by element."""
    avals = call.builder.avals
    assert output.node is not None
    for leaf in call.leaves:
        if avals[leaf.node].shape != avals[output.node].shape:
            raise ShapeError(
                f"elementwise_grad: {_title(f)} made a result of shape {avals[output.node].shape} from {leaf.name} of"
                f" shape {avals[leaf.node].shape}, so it does not work element by element: use jacobian"
            )


def _float_outputs(call: Call, f: Any) -> list[Any]:
    """The results, which must all be floating-point arrays or numbers."""
    for output in call.outputs:
        if output.node is None:
            raise TypeError(f"{_title(f)} returned a {type(output.other).__name__}, which has no derivative")
        if call.builder.avals[output.node].dtype.kind != "f":
            raise DtypeError(
                f"{_title(f)} returned dtype {call.builder.avals[output.node].dtype}, which has no derivative"
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
        if type(item) is Tracer:
            out.append(converted(item, like.dtype))
        else:
            out.append(np.asarray(item, like.dtype) if like.shape else like.dtype.type(item))
    return out


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Forward mode: the value of `f` and its derivative in one direction (the Jacobian times `tangents`).

    Args:
        f: A function of ``len(primals)`` arguments.
        primals: The arguments, a tuple or list.
        tangents: A direction for each, of the same structure and shapes.

    Returns:
        ``(value, tangent of the value)``.

    >>> import numpy as np
    >>> jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    """
    frame = sys._getframe(1)
    primals, tangents = tuple(primals), tuple(tangents)
    if len(primals) != len(tangents):
        raise ShapeError(f"jvp: {len(primals)} primals but {len(tangents)} tangents")
    with Level() as running:
        call, _ = start_call(f, running, tuple(range(len(primals))), primals, {})
        structure = tree.flatten(primals)[1]
        given = _match(call, call.leaves, tangents, structure, "the tangent")
        seeds = {leaf.node: call.builder.input(call.builder.avals[leaf.node], f"d{leaf.name}") for leaf in call.leaves}
        outputs = _float_outputs(call, f)
        moved = push(call.builder, seeds, [o.node for o in outputs])
        nodes = [
            moved[o.node].id if o.node in moved else zeros(call.builder, call.builder.avals[o.node]).id for o in outputs
        ]
        more = {seeds[leaf.node].id: v for leaf, v in zip(call.leaves, given, strict=True)}
        found = give_back(call, [*[o.node for o in outputs], *nodes], [o.kind for o in outputs] * 2, frame, more)
    n = len(outputs)
    return tree.unflatten(call.structure, found[:n]), tree.unflatten(call.structure, found[n:])


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """Reverse mode: the value of `f`, and the function that pulls a cotangent of it back to the arguments.

    Returns:
        ``(value, pullback)``; ``pullback(cotangent)`` takes the structure of the value and returns a tuple with one
        entry for each of `primals`.

    >>> import numpy as np
    >>> value, pullback = vjp(lambda x: x**2, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    return _vjp(f, primals, sys._getframe(1))


def _vjp(
    f: Callable[..., Any], primals: tuple[Any, ...], frame: FrameType | None, units: bool = False
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """As `vjp`; with `units`, zeros of the cotangent are no support (see `pull`)."""
    # The pullback may be called after the caller has changed his arrays.
    primals = tree.map(lambda leaf: leaf.copy() if type(leaf) is np.ndarray else leaf, primals)
    with Level() as running:
        call, _ = start_call(f, running, tuple(range(len(primals))), primals, {})
        outputs = _float_outputs(call, f)
        seeds = [call.builder.input(call.builder.avals[o.node], "ct") for o in outputs]
        total: dict[int, Expr] = {}
        for output, seed in zip(outputs, seeds, strict=True):
            total[output.node] = total[output.node] + seed if output.node in total else seed
        back = pull(call.builder, total, call.inputs, units=units)
        nodes, kinds = _adjoints(call, back), [leaf.kind for leaf in call.leaves]
        nested = running.nested
        if nested:
            found = give_back(call, [o.node for o in outputs], [o.kind for o in outputs], frame)
        else:
            needed = [*[o.node for o in outputs], *nodes]
            known = residuals(call.builder, needed, call.trace.known, [seed.id for seed in seeds])
            taken = {id(v) for v in known.values()}
            found = [finished(known[o.node], o.kind, taken) for o in outputs]

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        """Cotangent of the value → cotangents of the arguments."""
        given = _match(call, outputs, cotangent, call.structure, "the cotangent")
        later = context.current()
        if nested:
            call.trace.check_open()
            more = {seed.id: v for seed, v in zip(seeds, given, strict=True)}
            pulled = _inside(call, lambda: give_back(call, nodes, kinds, sys._getframe(1), more))
        elif later is not None and any(type(v) is Tracer for v in given):
            replaced = {node: later.builder.constant(v).id for node, v in known.items()}
            for seed, v in zip(seeds, given, strict=True):
                replaced[seed.id] = current_node(v) if type(v) is Tracer else later.builder.constant(v).id
            moved = transplant(call.builder, nodes, later.builder, replaced)
            pulled = []
            for node, kind in zip(moved, kinds, strict=True):
                later.site(node, sys._getframe(1))
                pulled.append(Tracer(later, node, kind))
        else:
            chosen = {**known, **{seed.id: v for seed, v in zip(seeds, given, strict=True)}}
            taken = {id(v) for v in chosen.values()}
            values = evaluate(call.builder, nodes, chosen)
            pulled = [finished(v, kind, taken) for v, kind in zip(values, kinds, strict=True)]
        return tuple(call.regroup(pulled))

    return tree.unflatten(call.structure, found), pullback


def _inside(call: Call, work: Callable[[], Any]) -> Any:
    """Do `work` as when the transform was at work inside its outer function."""
    before, call.trace.nested = call.trace.nested, True
    try:
        return work()
    finally:
        call.trace.nested = before


# -- whole Jacobians -------------------------------------------------------------------------------------------------


def jacobian(
    f: Callable[..., Any], argnums: Argnums = 0, *, mode: Literal["forward", "reverse"] | None = None
) -> Callable[..., Any]:
    """The function that computes all derivatives of `f`'s results by an argument.

    Args:
        f: Returns an array (or a nested structure of arrays).
        argnums: As in `grad`.
        mode: "forward" costs one sweep for each input element, "reverse" one for each result element; None takes the
            cheaper one.

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

    @_wraps(f, "Jacobian of {}")
    def derivatives(*args: Any, **keywords: Any) -> Any:
        frame = sys._getframe(1)
        with Level() as running:
            call, _ = start_call(f, running, argnums, args, keywords)
            outputs = _float_outputs(call, f)
            avals = call.builder.avals
            inside = sum(avals[n].size for n in call.inputs)
            outside = sum(avals[o.node].size for o in outputs)
            forward = mode == "forward" or (mode is None and inside <= outside)
            blocks = (_columns if forward else _rows)(call, outputs, frame)
            if forward and mode is None and not running.nested and not _all_finite(blocks):
                # Unit tangents have zeros that meet infinite derivatives; reverse mode knows which zeros to trust.
                blocks = _rows(call, outputs, frame)
        by_output = []
        for row, output in enumerate(outputs):
            parts = []
            for column, leaf in enumerate(call.leaves):
                shape = avals[output.node].shape + avals[leaf.node].shape
                block = blocks[row][column]
                scalar = not shape and output.kind != ARRAY and leaf.kind != ARRAY
                block = block if type(block) is Tracer else np.reshape(block, shape)
                kind = max(output.kind, leaf.kind) if PYTHON in (output.kind, leaf.kind) else SCALAR
                parts.append(finished(block, kind) if scalar and type(block) is not Tracer else block)
            by_output.append(call.regroup(parts))
        return tree.unflatten(call.structure, by_output)

    return derivatives


def _basis(like: Aval) -> Iterator[Any]:
    for k in range(like.size):
        unit = np.zeros(like.size, like.dtype)
        unit[k] = 1
        yield unit.reshape(like.shape) if like.shape else unit[0]


def _columns(call: Call, outputs: list[Any], frame: FrameType | None) -> list[list[Any]]:
    """Forward mode: blocks[output][leaf], each leaf's unit vectors pushed one by one."""
    builder = call.builder
    blocks: list[list[Any]] = [[] for _ in outputs]
    for leaf in call.leaves:
        like = builder.avals[leaf.node]
        seed = builder.input(like, f"d{leaf.name}")
        moved = push(builder, {leaf.node: seed}, [o.node for o in outputs])
        nodes = [moved[o.node].id if o.node in moved else zeros(builder, builder.avals[o.node]).id for o in outputs]
        found = _sweeps(call, nodes, seed.id, like, frame)
        for row, output in enumerate(outputs):
            blocks[row].append(_assemble([v[row] for v in found], builder.avals[output.node], like, -1))
    return blocks


def _all_finite(blocks: list[list[Any]]) -> bool:
    return all(bool(np.isfinite(block).all()) for row in blocks for block in row)


def _rows(call: Call, outputs: list[Any], frame: FrameType | None) -> list[list[Any]]:
    """Reverse mode: blocks[output][leaf], each output's unit vectors pulled one by one."""
    builder = call.builder
    blocks: list[list[Any]] = []
    for output in outputs:
        like = builder.avals[output.node]
        seed = builder.input(like, "ct")
        back = pull(builder, {output.node: seed}, call.inputs, units=True)
        found = _sweeps(call, _adjoints(call, back), seed.id, like, frame)
        blocks.append(
            [_assemble([v[k] for v in found], builder.avals[leaf.node], like, 0) for k, leaf in enumerate(call.leaves)]
        )
    return blocks


def _sweeps(call: Call, nodes: list[int], seed: int, like: Aval, frame: FrameType | None) -> list[list[Any]]:
    """Values of `nodes` for each unit vector in place of `seed`. What does not depend on it is computed once."""
    if call.trace.nested:
        kinds = [ARRAY] * len(nodes)
        return [give_back(call, nodes, kinds, frame, {seed: unit}) for unit in _basis(like)]
    given = {**call.trace.known, **{leaf.node: leaf.actual for leaf in call.leaves}}
    return list(evaluate_sweep(call.builder, nodes, given, [seed], ([unit] for unit in _basis(like))))


def _assemble(parts: list[Any], like: Aval, unit: Aval, axis: int) -> Any:
    """Stack the results of one sweep each: along the last axes for columns (−1), the first for rows (0)."""
    if not parts:
        return np.zeros(like.shape + unit.shape if axis else unit.shape + like.shape, like.dtype)
    stacked = np.stack(parts, axis=like.ndim if axis else 0)
    return np.reshape(stacked, like.shape + unit.shape if axis else unit.shape + like.shape)


def hessian(f: Callable[..., Any], argnums: int | str = 0) -> Callable[..., Any]:
    """The function that computes all second derivatives of a scalar function: forward mode over reverse mode.

    Its result has shape ``argument.shape + argument.shape``.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 3.0]))
    array([[0., 6.],
           [6., 2.]])
    """
    return _wraps(f, "Hessian of {}")(jacobian(grad(f, argnums), argnums))


def hvp(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The Hessian of a scalar function times a vector, without the Hessian: forward mode over reverse mode.

    ``hvp(f)(x, v, *rest)`` computes ``hessian(f)(x, *rest) @ v`` at a few times the cost of `f`; it fits ``hessp`` of
    ``scipy.optimize.minimize``. Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    gradient = grad(f, argnums)

    @_wraps(f, "Hessian-vector product of {}")
    def product(x: Any, v: Any, *rest: Any, **keywords: Any) -> Any:
        def of_chosen(value: Any) -> Any:
            args = list(rest)
            args.insert(argnums if argnums >= 0 else len(args) + 1 + argnums, value)
            return gradient(*args, **keywords)

        found = jvp(of_chosen, (x,), (v,))[1]
        if context.current() is None and not all(np.isfinite(leaf).all() for leaf in tree.flatten(found)[0]):
            # Zeros of v may have met infinite derivatives. A Hessian is symmetric, and reverse mode knows which zeros
            # to trust.
            (found,) = _vjp(of_chosen, (x,), sys._getframe(1), units=True)[1](v)
        return found

    return product


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

    @_wraps(f, "graph of {}")
    def record(*args: Any, **keywords: Any) -> Graph:
        chosen = float_arguments(args) if argnums is None else argnums
        with Level() as running:
            call, _ = start_call(f, running, chosen, args, keywords)
            outputs = [o.node for o in call.outputs if o.node is not None]
            guards = outer_guards(running)
        return Graph(call.builder, call.inputs, outputs, guards)

    return record


def outer_guards(trace: Trace) -> list[Guard]:
    """The guards of a trace in terms of its own inputs: those that nested transforms made stand for other values."""
    actual: dict[int, int] = {}
    for fresh, node in sorted(trace.standing.items()):
        (actual[fresh],) = substitute(trace.builder, [node], actual)
    guards = list(trace.guards.values())
    nodes = substitute(trace.builder, [g.node for g in guards], actual)
    return [guard._replace(node=node) for guard, node in zip(guards, nodes, strict=True)]


def float_arguments(args: Sequence[Any]) -> tuple[int, ...]:
    """Positions of arguments all of whose leaves are floating-point; if there are none, those of Python ints too."""

    def is_float(leaf: Any) -> bool:
        dtype = leaf._aval.dtype if type(leaf) is Tracer else getattr(leaf, "dtype", None)
        return type(leaf) is float or (dtype is not None and np.dtype(dtype).kind == "f")

    def fits(value: Any, ints: bool) -> bool:
        leaves = tree.flatten(value)[0]
        return bool(leaves) and all(is_float(v) or (ints and type(v) is int) for v in leaves)

    found = tuple(k for k, v in enumerate(args) if fits(v, False)) or tuple(
        k for k, v in enumerate(args) if fits(v, True)
    )
    if not found:
        raise DtypeError("no argument is a floating-point number or array: there is nothing to differentiate by")
    return found


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
    single = any(like.dtype == np.float32 for like, _, _ in checked)
    rtol = (2e-2 if single else 1e-6) if rtol is None else rtol
    atol = (2e-2 if single else 1e-7) if atol is None else atol
    random = np.random.default_rng(seed)
    step = float(np.finfo(np.float32 if single else np.float64).eps) ** 0.2

    def direction(values: Sequence[Any]) -> list[Any]:
        return [np.asarray(random.standard_normal(np.shape(v)), np.asarray(v).dtype)[()] for v in values]

    points = [np.asarray(value, like.dtype)[()] for like, _, value in checked]
    v = direction(points)

    def along(t: float) -> list[Any]:
        moved = [p + np.asarray(p).dtype.type(t) * d for p, d in zip(points, v, strict=True)]
        return [np.asarray(x, np.float64) for x in tree.flatten(f(*tree.unflatten(structure, moved)))[0]]

    pairs = [(along(k * step), along(-k * step)) for k in (1, 2)]
    numeric = [
        (8 * (a - b) - (c - d)) / (12 * step)
        for a, b, c, d in zip(pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1], strict=True)
    ]
    primals, tangents = tree.unflatten(structure, points), tree.unflatten(structure, v)
    if "forward" in modes:
        pushed = tree.flatten(jvp(f, primals, tangents)[1])[0]
        for got, want in zip(pushed, numeric, strict=True):
            np.testing.assert_allclose(got, want, rtol, atol, err_msg="forward mode against finite differences")
    if "reverse" in modes:
        value, pullback = vjp(f, *primals)
        outputs, out_structure = tree.flatten(value)
        weights = direction(outputs)
        pulled = tree.flatten(pullback(tree.unflatten(out_structure, weights)))[0]
        got = sum(float(np.sum(np.asarray(a, np.float64) * b)) for a, b in zip(pulled, v, strict=True))
        want = sum(float(np.sum(np.asarray(a, np.float64) * b)) for a, b in zip(weights, numeric, strict=True))
        scale = sum(float(np.sum(np.abs(a * b))) for a, b in zip(weights, numeric, strict=True))
        np.testing.assert_allclose(got, want, rtol, atol + rtol * scale,
                                   err_msg="reverse mode against finite differences")  # fmt: skip
    if order > 1:
        n = len(args)

        def derivative(*primals: Any) -> Any:
            return jvp(f, primals[:n], tangents)[1]

        check_grads(derivative, args, order - 1, modes, rtol=rtol, atol=atol, seed=seed + 1)
