"""Arrays of two to four long rows, such as the coordinates of many points, computed row by row.

Where a program takes such rows apart, computes with single ones and puts them together again, what it computes for the
whole array and what it computes for one row have different shapes, and would be computed by different loops. As rows,
all are of one shape, and one loop goes over the points. (Compilers call this scalar replacement of aggregates.)
"""

from __future__ import annotations

from collections.abc import Sequence

from hopgrad.aval import Shape
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import Elementwise
from hopgrad.hops.shape import Slice, broadcast_to, concatenate, index, reshape, transpose
from hopgrad.simplify.driver import Simplified, simplify
from hopgrad.simplify.indexing import picks_of

MOST = 4
"""Rows of an array that is computed by rows."""

LEAST = 16
"""Elements of a row."""

_SUMS = {"sum": "add", "max": "maximum", "min": "minimum", "any": "logical_or", "all": "logical_and"}


def by_rows(made: Simplified) -> Simplified:
    """The same with arrays of a few long rows as their rows, if the graph takes such arrays apart."""
    order = reachable(made.builder, made.outputs)
    split = _split(made.builder, order)
    return _Rows(made, order, split).written() if split else made


def _axis(shape: Shape) -> int | None:
    """Along which axis there are a few rows."""
    if len(shape) > 1:
        size = 1
        for n in shape:
            size *= n
        for axis in (0, len(shape) - 1):
            if 1 < shape[axis] <= MOST and size >= LEAST * shape[axis]:
                return axis
    return None


def _is_mapped(builder: Builder, node: int) -> bool:
    hop = builder.hop(node)
    return bool(builder.args(node)) and (hop.name == "convert" or (isinstance(hop, Elementwise) and bool(hop.lowering)))


def _split(builder: Builder, order: Sequence[int]) -> dict[int, int]:
    """The values that are computed by rows, and along which axis: those that are used with single rows of their own."""
    avals = builder.avals
    axes = {n: axis for n in order if _is_mapped(builder, n) and (axis := _axis(avals[n].shape)) is not None}
    groups = {n: n for n in axes}

    def group(n: int) -> int:
        while groups[n] != n:
            groups[n] = n = groups[groups[n]]
        return n

    taken: dict[int, list[int]] = {}
    turned: dict[int, int] = {}
    for node in order:
        name, args, params, like = builder.hop(node).name, builder.args(node), dict(builder.params(node)), avals[node]
        if node in axes:
            for a in args:
                same = turned.get(a, a)
                if same in axes and avals[a].shape == like.shape:
                    groups[group(same)] = group(node)
                elif a in taken:
                    taken[a].append(node)
        elif name == "concatenate":
            if params["axis"] == _axis(like.shape) and any(avals[a].shape[params["axis"]] == 1 for a in args):
                taken[node] = []
        elif not args or args[0] not in axes:
            continue
        elif name == "transpose":
            if _axis(like.shape) == params["axes"].index(axes[args[0]]):
                turned[node] = args[0]
        elif name == "index" and len(args) == 1 and _row(builder, node, axes[args[0]]) is not None:
            taken[node] = [args[0]]
    found = {group(n) for users in taken.values() for n in users}
    return {n: axis for n, axis in axes.items() if group(n) in found}


def _row(builder: Builder, node: int, axis: int) -> int | None:
    """Which row along an axis an index takes, if that is all it does."""
    shape = builder.avals[builder.args(node)[0]].shape
    picks = picks_of(dict(builder.params(node))["items"], shape)
    number = None if picks is None or None in picks else picks[axis]
    if picks is None or not isinstance(number, int):
        return None
    others = [(p, n) for k, (p, n) in enumerate(zip(picks, shape, strict=True)) if k != axis]
    return number if all(p == range(n) for p, n in others) else None


class _Rows:
    """Writes a graph with some of its values as rows."""

    def __init__(self, made: Simplified, order: Sequence[int], split: dict[int, int]) -> None:
        self._made, self._order, self._split = made, order, split
        self._source = made.builder
        self._builder = Builder()
        self._moved: dict[int, int] = {}
        self._rows: dict[int, list[Expr]] = {}
        self._parts: dict[tuple[int, int, int], Expr] = {}

    def written(self) -> Simplified:
        """The new graph, simplified once more."""
        source, builder, made = self._source, self._builder, self._made
        inputs = {node: old for old, node in made.inputs.items()}
        origins: list[int] = []
        given: dict[int, int] = {}
        for node in self._order:
            if node in inputs or source.hop(node).name == "input":
                name = str(dict(source.params(node)).get("name", "x"))
                self._moved[node] = given[node] = builder.input(source.avals[node], name).id
            elif node in source.constants:
                self._moved[node] = builder.share(source.constants[node])
            elif node in self._split:
                self._rows[node] = self._mapped(node)
            else:
                found = self._of_rows(node)
                if found is None:
                    args = [self._whole(a).id for a in source.args(node)]
                    self._moved[node] = builder.emit(source.hop(node), args, source.params(node))
                else:
                    self._moved[node] = found.id
            origins += [node] * (len(builder.avals) - len(origins))
        outputs = [self._whole(node).id for node in made.outputs]
        origins += [made.outputs[0]] * (len(builder.avals) - len(origins))
        again = simplify(builder, outputs, frozenset(given.values()))
        return Simplified(
            again.builder,
            again.outputs,
            {old: again.inputs[given[n]] for old, n in made.inputs.items() if given.get(n) in again.inputs},
            {new: made.origins[origins[old]] for new, old in again.origins.items()},
            [*made.passes, ("arrays by rows", len(self._split)), *again.passes],
        )

    def _whole(self, node: int) -> Expr:
        """A value as it was, put together from its rows if need be."""
        if node not in self._moved:
            shape, axis = self._source.avals[node].shape, self._split[node]
            line = (*shape[:axis], 1, *shape[axis + 1 :])
            parts = [reshape(row, shape=line) for row in self._rows[node]]
            self._moved[node] = concatenate(*parts, axis=axis).id
        return Expr(self._builder, self._moved[node])

    def _part(self, node: int, axis: int, number: int) -> Expr:
        """A row of any value."""
        if self._split.get(node) == axis:
            return self._rows[node][number]
        key = (node, axis, number)
        if key not in self._parts:
            self._parts[key] = self._part_of(node, axis, number)
        return self._parts[key]

    def _part_of(self, node: int, axis: int, number: int) -> Expr:
        source = self._source
        if source.hop(node).name == "concatenate" and dict(source.params(node))["axis"] == axis:
            for part in source.args(node):
                count = source.avals[part].shape[axis]
                if number < count:
                    return self._part(part, axis, number)
                number -= count
        if source.hop(node).name == "transpose":
            axes = dict(source.params(node))["axes"]
            row = self._part(source.args(node)[0], axes[axis], number)
            rest = [k for k in axes if k != axes[axis]]
            return transpose(row, axes=tuple([sorted(rest).index(k) for k in rest])) if len(rest) > 1 else row
        x = self._whole(node)
        if x.shape[axis] == 1:
            return reshape(x, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))
        return index(x, items=(*[Slice(None, None, None)] * axis, number))

    def _mapped(self, node: int) -> list[Expr]:
        """The rows of a value computed element by element."""
        source, axis = self._source, self._split[node]
        shape = source.avals[node].shape
        line = (*shape[:axis], *shape[axis + 1 :])
        rows = []
        for number in range(shape[axis]):
            operands = []
            for a in source.args(node):
                small = source.avals[a].shape
                at = axis - (len(shape) - len(small))
                if at < 0:
                    operands.append(self._whole(a))
                else:
                    operands.append(self._part(a, at, number if small[at] > 1 else 0))
            ids = [x.id for x in operands]
            row = Expr(self._builder, self._builder.emit(source.hop(node), ids, source.params(node)))
            rows.append(row if row.shape == line else broadcast_to(row, shape=line))
        return rows

    def _of_rows(self, node: int) -> Expr | None:
        """A value that is made of the rows of another, if it is."""
        source = self._source
        name, args, params = source.hop(node).name, source.args(node), dict(source.params(node))
        if len(args) != 1 or args[0] not in self._split:
            return None
        (x,) = args
        axis = self._split[x]
        if name == "index":
            number = _row(source, node, axis)
            return None if number is None else self._rows[x][number]
        if name in _SUMS and axis in params["axes"] and source.avals[x].dtype == source.avals[node].dtype:
            total, *others = self._rows[x]
            for row in others:
                total = catalogue[_SUMS[name]](total, row)
            rest = tuple(k - (k > axis) for k in params["axes"] if k != axis)
            if rest:
                total = catalogue[name](total, axes=rest, keepdims=False)
            return reshape(total, shape=source.avals[node].shape)
        return None
