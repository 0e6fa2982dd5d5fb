"""`vmap`: a function of single values as a function of batches of them.

The function is traced once, on values that stand for a row each, and what it computes is then batched hop by hop
(``hopgrad.batch``): no loop over rows is left, and the result is an ordinary part of the graph, which all transforms
differentiate, map again, explain and compile.
"""

from __future__ import annotations

import dataclasses
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from hopgrad import tree
from hopgrad.aval import aval
from hopgrad.backend import Backend
from hopgrad.batch import spread
from hopgrad.calling import (
    NOTHING,
    Level,
    check_function,
    parameter_names,
    returned,
    title_of,
    transform,
    wraps,
)
from hopgrad.errors import DtypeError, HopgradError, ShapeError
from hopgrad.graph.builder import Expr
from hopgrad.graph.operators import broadcast_to
from hopgrad.hops.shape import transposed
from hopgrad.outside import outside_of
from hopgrad.trace import context
from hopgrad.trace.context import Mapped, Trace
from hopgrad.trace.tracer import ARRAY, SCALAR, Tracer, current_node, memory_of, with_place

__all__ = ["vmap"]

Axes = Any
"""An axis, None, or containers of them as the values have them."""


def vmap(
    f: Callable[..., Any], in_axes: Axes = 0, out_axes: Axes = 0, *, backend: Backend | None = None
) -> Callable[..., Any]:
    """The function that computes `f` for every row of its arguments at once.

    As the results of this loop, stacked, but without a loop: what `f` computes is written once for whole batches::

        np.stack([f(row) for row in x])

    It can be differentiated, mapped again and compiled like any other function, and `f` may itself contain gradients
    and other transforms: ``vmap(grad(loss), in_axes=(None, 0))`` gives the gradient of each example.

    Args:
        f: A function of numbers, arrays and nested structures of them, written with plain NumPy, for a single row. It
            is traced once for all rows: a Python branch may not depend on them (use `np.where` or `hopgrad.cond`), and
            what it prints or counts is printed or counted once. Random numbers are drawn for each row.
        in_axes: Which axis of each positional argument the rows lie along (negative ones count from the end); None for
            arguments that all rows have in common. One number is for all arguments; a tuple or list has one entry for
            each, an entry for a nested argument may be nested in the same way. Arguments given by keyword are mapped
            over their first axis.
        out_axes: Where the results of the rows are to lie: a number, or nested as the result. None for a result that
            is the same for all rows, of which then there is one.
        backend: "native" or "numpy"; by default as `hopgrad.use_backend` says.

    Returns:
        A function of the same arguments, each mapped one with one axis more. So have its results, which are arrays.

    Raises:
        ShapeError: the arguments have different numbers of rows, or not the axis; the message names the argument.
        DtypeError: an argument to be mapped is no array; a result is no number.
        TraceError: a branch depends on the row.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> vmap(np.dot)(np.eye(2), np.array([[3.0, 4.0], [5.0, 6.0]]))
    array([3., 6.])
    >>> vmap(hg.grad(lambda x: x**3))(np.array([1.0, 2.0, 3.0]))
    array([ 3., 12., 27.])
    >>> vmap(lambda a, x: a * x, in_axes=(None, -1), out_axes=1)(2.0, np.ones((2, 3))).shape
    (2, 3)
    """
    check_function(f, "vmap")
    _check_axes(in_axes, "in_axes")
    _check_axes(out_axes, "out_axes")

    @wraps(f, "batched {}")
    def mapped(*args: Any, **keywords: Any) -> Any:
        frame = sys._getframe(1)
        with Level() as trace:
            try:
                return _mapped(trace, f, in_axes, out_axes, args, keywords, frame)
            except HopgradError as error:
                if "\n  at " in str(error) or not context.where(frame):
                    raise
                raise with_place(error, frame) from error.__cause__

    return transform(mapped, NOTHING, "batched {}", returned, way=backend)


def _mapped(
    trace: Trace,
    f: Callable[..., Any],
    in_axes: Axes,
    out_axes: Axes,
    args: tuple[Any, ...],
    keywords: Mapping[str, Any],
    frame: FrameType | None,
) -> Any:
    """What a mapped function is inside a trace."""
    arguments = list(_arguments(f, in_axes, args, keywords))
    rows = [row for one in arguments for row in one.rows if row is not None]
    count = _count(rows)
    builder = trace.builder
    every = [_in_front(_value(trace, row), row.axis) for row in rows]
    batch = Mapped(count, {})
    with trace.mapping(batch):
        tracers = []
        for row, whole in zip(rows, every, strict=True):
            node = builder.input(aval(whole.shape[1:], whole.dtype), row.title).id
            batch.along[node] = whole.id
            tracer = Tracer(trace, node, ARRAY if whole.ndim > 1 else SCALAR)
            if whole.ndim > 1:
                shared = memory_of(tracer)
                shared.writable = None
                shared.name = f"{row.name}, a row of a batch under vmap,"
            tracers.append(tracer)
        trace.sited = len(builder)  # inputs have no place in the code
        given = iter(tracers)
        handed = [one.rebuilt(given) for one in arguments]
        names = list(keywords)
        function = outside_of(trace).root(f, frame)
        found = function(*handed[: len(args)], **dict(zip(names, handed[len(args) :], strict=True)))
        results, structure = tree.flatten(found)
        nodes = [_result(trace, f, leaf, path) for leaf, path in zip(results, tree.paths(structure), strict=True)]
    axes = list(_axes_of(out_axes, found, "out_axes", "the result"))
    parts = spread(builder, nodes, {n: builder.expr(whole) for n, whole in batch.along.items()}, count)
    answer = []
    for leaf, (x, differs), axis, path in zip(results, parts, axes, tree.paths(structure), strict=True):
        name = tree.format_path(path, "the result")
        if axis is None:
            if differs:
                raise ShapeError(f"vmap: {name} differs from row to row, but its out_axes is None")
            answer.append(leaf if type(leaf) is not Tracer else _given(trace, x, leaf._kind, frame))
            continue
        whole = x if differs else broadcast_to(x, (count, *x.shape))
        answer.append(_given(trace, _at(whole, axis, name), ARRAY, frame))
    return tree.unflatten(structure, answer)


# -- arguments -------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """A leaf of an argument that is mapped, and the axis of its rows."""

    value: Any
    axis: int
    name: str
    """As messages call it."""
    title: str
    """As the graph calls it."""


class _Argument(NamedTuple):
    """An argument: its leaves, and for each the row that it is, or None."""

    leaves: list[Any]
    structure: tree.Structure
    rows: list[_Row | None]

    def rebuilt(self, tracers: Iterator[Tracer]) -> Any:
        """The argument for a single row."""
        leaves = [leaf if row is None else next(tracers) for leaf, row in zip(self.leaves, self.rows, strict=True)]
        return tree.unflatten(self.structure, leaves)


def _arguments(
    f: Callable[..., Any], in_axes: Axes, args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> Iterator[_Argument]:
    """All arguments, read, with the axes of their rows."""
    if isinstance(in_axes, (tuple, list)):
        if len(in_axes) != len(args):
            raise ValueError(
                f"vmap: in_axes has {len(in_axes)} entries, but {title_of(f)} was called with {len(args)} positional"
                " arguments"
            )
        axes: Sequence[Axes] = in_axes
    else:
        axes = [in_axes] * len(args)
    names = parameter_names(f)
    titles = [names[k] if k < len(names) else f"x{k}" for k in range(len(args))]
    for value, own, title in (
        *zip(args, axes, titles, strict=True),
        *[(value, 0, name) for name, value in keywords.items()],
    ):
        leaves, structure = tree.flatten(value)
        rows = [
            None if axis is None else _row(leaf, axis, tree.format_path(path, title), tree.leaf_name(title, path))
            for leaf, axis, path in zip(
                leaves, _axes_of(own, value, "in_axes", title), tree.paths(structure), strict=True
            )
        ]
        yield _Argument(leaves, structure, rows)


def _row(value: Any, axis: int, name: str, title: str) -> _Row:
    if type(value) is Tracer:
        shape = value._aval.shape if value._kind == ARRAY else None
    elif isinstance(value, (np.ma.MaskedArray, np.matrix)):
        raise DtypeError(f"vmap: {name} is of type {type(value).__name__}: pass np.asarray of it")
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        shape = value.shape
    elif isinstance(value, (int, float, complex, np.generic)):
        shape = None
    else:
        what = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise DtypeError(f"vmap: {name} is {what}, which has no rows: give None for it in in_axes")
    if not shape:
        raise ShapeError(f"vmap: {name} is a single number, which has no rows: give None for it in in_axes")
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"vmap: {name} has shape {shape}, so it has no axis {axis}")
    return _Row(value, axis % len(shape), name, title)


def _shape(row: _Row) -> tuple[int, ...]:
    found: tuple[int, ...] = row.value._aval.shape if type(row.value) is Tracer else row.value.shape
    return found


def _count(rows: Sequence[_Row]) -> int:
    """The number of rows, on which all must agree."""
    if not rows:
        raise ValueError("vmap: in_axes maps no argument: at least one array with rows is needed")
    first = rows[0]
    count = _shape(first)[first.axis]
    for row in rows[1:]:
        if _shape(row)[row.axis] != count:
            raise ShapeError(
                f"vmap: {first.name} has {count} rows (axis {first.axis} of shape {_shape(first)}), but {row.name} has"
                f" {_shape(row)[row.axis]} (axis {row.axis} of shape {_shape(row)})"
            )
    return count


def _value(trace: Trace, row: _Row) -> Expr:
    if type(row.value) is Tracer:
        return trace.builder.expr(current_node(row.value))
    return trace.builder.constant(np.asarray(row.value, row.value.dtype.newbyteorder("=")))


def _in_front(x: Expr, axis: int) -> Expr:
    found: Expr = transposed(x, (axis, *[k for k in range(x.ndim) if k != axis]))
    return found


# -- axes ------------------------------------------------------------------------------------------------------------


def _check_axes(axes: Axes, name: str) -> None:
    """Raise unless these are axes, or containers of them."""
    for leaf in tree.flatten(axes)[0]:
        if isinstance(leaf, bool) or not hasattr(type(leaf), "__index__"):
            raise TypeError(f"vmap: {name} has axes as integers or None, not {leaf!r}")


def _axes_of(axes: Axes, value: Any, name: str, title: str) -> Iterator[int | None]:
    """The axis of each leaf of a value; what is no container stands for all leaves of the part at its place."""
    if axes is None or hasattr(type(axes), "__index__"):
        axis = None if axes is None else operator.index(axes)
        yield from [axis] * len(tree.flatten(value)[0])
        return
    parts, own = _children(value), _children(axes)
    if parts is None or own is None or parts.keys() != own.keys():
        raise ValueError(
            f"vmap: {name} is {tree.flatten(axes)[1].text} for {title}, which is {tree.flatten(value)[1].text}: it"
            " needs the same containers, down to a number or None"
        )
    for key, part in parts.items():
        yield from _axes_of(own[key], part, name, f"{title}[{key!r}]")


def _children(value: Any) -> dict[Any, Any] | None:
    """The parts of a container, in the order of its leaves."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (tuple, list)):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
    return None


# -- results ---------------------------------------------------------------------------------------------------------


def _result(trace: Trace, f: Callable[..., Any], leaf: Any, path: tree.Path) -> int:
    """A leaf of the result as a value of the graph."""
    if type(leaf) is Tracer:
        if leaf._trace is not trace:
            leaf._trace.check_open()
        return current_node(leaf)
    if isinstance(leaf, (bool, int, float, complex, np.generic, np.ndarray)) and np.asarray(leaf).dtype.kind in "fiubc":
        return trace.builder.constant(leaf).id
    raise DtypeError(
        f"vmap: {title_of(f)} returned a {type(leaf).__name__} ({tree.format_path(path, 'the result')}), of which there"
        " is no batch: return numbers and arrays"
    )


def _at(whole: Expr, axis: int, name: str) -> Expr:
    """The rows along the axis that is asked for."""
    if not -whole.ndim <= axis < whole.ndim:
        raise ShapeError(f"vmap: {name} has shape {whole.shape} with its rows first, so they cannot lie along {axis}")
    axis %= whole.ndim
    found: Expr = transposed(whole, (*range(1, axis + 1), 0, *range(axis + 1, whole.ndim)))
    return found


def _given(trace: Trace, x: Expr, kind: int, frame: FrameType | None) -> Tracer:
    trace.site(x.id, frame)
    return Tracer(trace, x.id, kind)
