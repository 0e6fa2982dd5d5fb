"""Functions that are not looked into: C libraries, simulators, anything that needs plain numbers."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Sequence
from types import FrameType, FunctionType
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.aval import Aval, aval, aval_of
from hopgrad.errors import DtypeError, TraceError
from hopgrad.graph.hop import ITEM
from hopgrad.hops.custom import EXTERNAL, STOP_GRADIENT, Box
from hopgrad.outside import outside_of
from hopgrad.outside.world import Globals
from hopgrad.trace import context
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.memory import Memory
from hopgrad.trace.tracer import (
    ARRAY,
    PYTHON,
    SCALAR,
    Tracer,
    attach,
    current_node,
    dress,
    is_ordered,
    is_traced,
    real,
    real_data,
)

_PYTHON_TYPES = {"f": float, "i": int, "b": bool}


class external:  # noqa: N801 - a decorator
    """A function that is called with plain numbers and arrays, never traced ones, and not looked into.

    Args:
        function: Takes and returns numbers, arrays and nested structures of them; it must not write into its arguments
            nor return other memory than it made. While a function is traced it is called once, with the actual values,
            to find out the shapes and dtypes of its result; whenever the trace is replayed, it is called with the
            new ones, and must return the same shapes.
        like: What the result is like, for places where the actual values are not known (the body of a loop that is
            traced once for all rounds, the cotangent in a derivative rule): an array or number of the same shape and
            dtype, anything else that has ``shape`` and ``dtype`` (``hopgrad.custom.aval``), nested as the result is;
            or a function that returns this and takes the arguments, of which only shapes and dtypes count.

    It has no derivative by itself: a function with a rule (`custom_vjp`, `custom_jvp`) gives it one.

    Raises:
        NotDifferentiableError: a derivative through it is asked for.
        TraceError: the actual values are not known, and ``like`` is missing; or it wrote into its arguments.
        ShapeError: later results differ in shape or structure.

    >>> import math
    >>> import hopgrad as hg
    >>> @hg.custom_vjp
    ... def gamma(x):
    ...     return hg.external(math.gamma)(x)
    >>> def fwd(x):
    ...     y = gamma(x)
    ...     return y, y * hg.external(lambda x: (math.lgamma(x + 1e-6) - math.lgamma(x - 1e-6)) / 2e-6)(x)
    >>> gamma.defvjp(fwd, lambda slope, ct: (slope * ct,))
    >>> round(hg.grad(gamma)(1.0), 6)
    -0.577216
    """

    _accounts_for_itself = True

    def __init__(self, function: Callable[..., Any], like: Any = None) -> None:
        if not callable(function):
            raise TypeError(f"external needs a function, not {type(function).__name__}")
        functools.update_wrapper(self, function, updated=())
        trace = context.current()
        # Made inside a traced function, it is given the copy that is traced.
        self.function = function if trace is None else _original(trace, function)
        self.like = like
        self._title = getattr(function, "__name__", None) or type(function).__name__

    def __repr__(self) -> str:
        return f"<external {self._title}>"

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        trace = context.current()
        leaves, structure = tree.flatten((args, keywords))
        if trace is None or not any(is_traced(leaf) for leaf in leaves):
            return self._plain(trace, leaves, structure, sys._getframe(1))
        return self._record(trace, leaves, structure, sys._getframe(1))

    def _plain(self, trace: Trace | None, leaves: list[Any], structure: tree.Structure, frame: FrameType) -> Any:
        """A call without traced values."""
        known = {id(data): leaf for leaf in leaves if type(leaf) is Tracer and (data := real_data(leaf)) is not None}
        bare = [real_data(leaf) if type(leaf) is Tracer else leaf for leaf in leaves]
        args, keywords = tree.unflatten(structure, bare)
        with context.within(None):
            result = self.function(*args, **keywords)
        if trace is None:
            return result
        trace.only_once(f"calls the external function {self._title} on plain values", frame)
        return dress(trace, result, known, [v for v in bare if isinstance(v, np.ndarray)])

    def _record(self, trace: Trace, leaves: list[Any], structure: tree.Structure, frame: FrameType) -> Any:
        trace.check_open()
        traced = [k for k, leaf in enumerate(leaves) if is_traced(leaf)]
        if any(leaves[k]._trace is not trace for k in traced):
            raise TraceError("values of two different traces (of two threads?) cannot be combined")
        nodes = [current_node(leaves[k]) for k in traced]
        kinds = [leaves[k]._kind for k in traced]
        plain = [_snapshot(leaf) for leaf in leaves]

        def gather(values: Sequence[Any]) -> Any:
            given = [leaf.copy() if type(leaf) is np.ndarray else leaf for leaf in plain]
            for k, value, kind in zip(traced, values, kinds, strict=True):
                given[k] = _as_kind(value, kind)
            return tree.unflatten(structure, given)

        def called(*args: Any, **keywords: Any) -> Any:
            with context.within(None):
                return self.function(*args, **keywords)

        box = Box(self._title, called, gather, len(nodes), trace)
        values: list[Any] | None
        try:
            values = [trace.concrete(node) for node in nodes]
        except UnknownValueError as error:
            values = None
            if self.like is None:
                refusal = TraceError(
                    f"the external function {self._title} cannot be called to find out the shape of its result, because"
                    " the values of its arguments are not known here (in the body of a loop or branch, or in a"
                    " derivative rule): give it an example of the result, external(function, like=example)"
                    f"\n  at {context.where(frame)}"
                )
                trace.refusals.append(refusal)
                raise refusal from error
        result = self._called(trace, box, values, frame) if self.like is None and values is not None else None
        if self.like is None:
            expected = result
        else:
            args, keywords = tree.unflatten(structure, leaves)
            expected = self.like(*args, **keywords) if callable(self.like) else self.like
        results, box.structure = tree.flatten(expected)
        found = [_described(leaf, self._title) for leaf in results]
        box.avals = tuple(like for like, _ in found)
        builder = trace.builder
        whole = builder.emit(EXTERNAL, nodes, (("box", box),))
        trace.site(whole, frame)
        items = [builder.emit(ITEM, (whole,), (("index", k),)) for k in range(len(found))]
        if result is not None:
            assert values is not None
            arrays = box.leaves(result)
            box.remember(values, arrays)
            trace.known.update(zip(items, arrays, strict=True))
        made = []
        for node, (like, kind), leaf in zip(items, found, results, strict=True):
            trace.site(node, frame)
            tracer = Tracer(trace, node, kind)
            if kind == ARRAY and like.ndim > 1 and not (self.like is None and leaf.flags.c_contiguous):
                attach(tracer, Memory(node, layout=None))
            made.append(tracer)
        return tree.unflatten(box.structure, made)

    def _called(self, trace: Trace, box: Box, values: list[Any], frame: FrameType) -> Any:
        """The result for the actual values, and a check that the arguments are still what they were."""
        positional, named = box.gather(values)
        given = tree.flatten((positional, named))[0]
        before = [leaf.copy() if type(leaf) is np.ndarray else None for leaf in given]
        with context.within(None):
            result = self.function(*positional, **named)
        for leaf, old in zip(given, before, strict=True):
            if old is not None and not np.array_equal(leaf, old, equal_nan=leaf.dtype.kind in "fc"):
                trace.refuse(TraceError(
                    f"the external function {self._title} writes into an argument, which cannot be recorded: have it"
                    f" return a new array instead\n  at {context.where(frame)}"))  # fmt: skip
        return result


def _original(trace: Trace, f: Any) -> Any:
    """The user's own function of which `f` is a copy; for one that a copy defines, the same over the real globals.

    Raises:
        TraceError: it refers to a traced value.
    """
    if type(f) is not FunctionType or type(f.__globals__) is not Globals:
        return f
    own = outside_of(trace).original(f)
    if own is not f:
        return own
    cells = []
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            cells.append(cell)
            continue
        if type(value) is Tracer:
            data = real_data(value)
            if data is None:
                trace.refuse(TraceError(
                    f"the external function {f.__name__} refers to the traced value {name}, but is to get plain values"
                    " only: pass it as an argument"))  # fmt: skip
            cells.append(types.CellType(data))
        elif value is f:  # it calls itself
            cells.append(types.CellType())
        elif type(value) is FunctionType:
            cells.append(types.CellType(_original(trace, value)))
        else:
            cells.append(cell)
    made = FunctionType(f.__code__, f.__globals__._real, f.__name__, f.__defaults__, tuple(cells))
    made.__kwdefaults__ = f.__kwdefaults__
    for k, cell in enumerate(f.__closure__ or ()):
        if cells[k] is not cell and cell.cell_contents is f:
            cells[k].cell_contents = made
    return made


def _snapshot(leaf: Any) -> Any:
    """An argument that is not traced, as it is now."""
    if type(leaf) is Tracer:
        return None if is_traced(leaf) else np.array(real_data(leaf))
    return leaf.copy() if type(leaf) is np.ndarray else leaf


def _as_kind(value: Any, kind: int) -> Any:
    """A value as the function would get it without tracing; an array is a copy."""
    if kind == ARRAY:
        return np.array(value)
    scalar = np.asarray(value)[()]
    return scalar.item() if kind == PYTHON else scalar


def _described(leaf: Any, title: str) -> tuple[Aval, int]:
    """(abstract value, kind) of a leaf of a result, or of what it is said to be like."""
    if type(leaf) is Tracer:
        return leaf._aval, leaf._kind
    if type(leaf) in (float, int, bool):
        return aval_of(leaf), PYTHON
    if isinstance(leaf, (np.ndarray, np.generic)):
        found = aval_of(leaf)
        kind = ARRAY if isinstance(leaf, np.ndarray) else SCALAR
    elif hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        found = aval(tuple(leaf.shape), leaf.dtype)
        kind = ARRAY if found.shape else SCALAR
    else:
        raise TraceError(
            f"the external function {title} returned a {type(leaf).__name__}: its result must be real numbers and"
            " arrays"
        )
    if found.dtype.kind not in "fiub":
        raise DtypeError(f"the external function {title} returned dtype {found.dtype}, which cannot be traced")
    return found, kind


def stop_gradient(x: Any) -> Any:
    """The same value, which counts as constant: no derivative passes through.

    Args:
        x: A number, an array or a nested structure of them.

    Returns:
        The same numbers in the same structure; arrays are copies.

    >>> import hopgrad as hg
    >>> hg.grad(lambda x: x * hg.stop_gradient(x))(3.0)
    3.0
    """
    frame = sys._getframe(1)

    def stopped(leaf: Any) -> Any:
        if type(leaf) is not Tracer:
            return leaf.copy("K") if isinstance(leaf, np.ndarray) else leaf
        trace = leaf._trace
        if (data := real_data(leaf)) is not None:
            return real(trace, data.copy("K"))
        trace.check_open()
        node = trace.builder.emit(STOP_GRADIENT, (current_node(leaf),))
        trace.site(node, frame)
        made = Tracer(trace, node, leaf._kind)
        if leaf._kind == ARRAY and not is_ordered(leaf):
            attach(made, Memory(node, layout=None))
        return made

    return tree.map(stopped, x)
