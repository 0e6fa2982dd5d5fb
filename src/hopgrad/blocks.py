"""Jacobians made of many small blocks of one kind: functions that do the same for every row of a batch.

Bundle adjustment is one: an observation's residuals depend on one camera and one point, which are picked by indices.
Of such a function the values between the picked rows and the residuals have one axis in common, along which nothing is
mixed. All other axes are short. So every value is taken apart into single numbers along that axis (`_Unrolled`), where
it is plain to see which depends on which; each block's elements are then found by reverse mode from one result at a
time, for the whole axis at once, and are written where the sparse array has them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hopgrad.differentiate import pull, transplant
from hopgrad.errors import NotDifferentiableError
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, Expr, catalogue, ones
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import Elementwise
from hopgrad.graph.operators import broadcast_to
from hopgrad.hops.shape import Operand, Slice, concatenate, index, reshape, scatter, selection
from hopgrad.hops.surface import cast

Array = np.ndarray[Any, Any]

MOST = 4000
"""How many numbers all values together may be taken apart into."""
WHOLE = 2000
"""How many hops may become one native kernel: compiling takes longer the larger it is."""

_PICKING = frozenset({"reshape", "transpose", "broadcast_to", "index"})
_AS_IT_IS = frozenset({"convert", "enter", "stop_gradient"})
_ALL = Slice(None, None, None)


class _NotOfBlocks(Exception):  # noqa: N818 - not an error: the function is of another kind
    """The function does not do the same along one axis, as far as can be seen."""


@dataclass
class Blocks:
    """A Jacobian of blocks: values of the graph that give the sparse array's parts."""

    data: int
    """The elements by rows."""
    columns: int | None
    """Their columns, where these depend on integers that the function gets; else they are `fixed`."""
    sorted: int | None
    """Whether columns ascend in each row, as they did when this was made."""
    fixed: Array
    starts: Array
    """Where each row begins."""
    whole: bool = False
    """Whether one native kernel is to compute it: its elements have most of what they are computed from in common."""


def blocks(builder: Builder, outputs: Sequence[int], inputs: Sequence[int], known: Mapping[int, Any]) -> Blocks | None:
    """The Jacobian of all outputs' elements by all inputs' elements, if it is one of blocks of one kind; else None.

    Args:
        builder: Holds the values; what computes the Jacobian is appended.
        outputs: Their elements are the rows, one output after the other.
        inputs: Their elements are the columns.
        known: Values of inputs and others, for which the places of the elements are found.
    """
    try:
        before = len(builder)
        found = _Finder(builder, outputs, inputs, known).found()
        wanted = [node for node in (found.data, found.columns, found.sorted) if node is not None]
        found.whole = len(reachable(builder, wanted, before)) <= WHOLE
        return found
    except (_NotOfBlocks, NotDifferentiableError):
        return None


@dataclass
class _Term:
    """A value whose elements are (summands of) results: `rows` tells which, -1 for those that nobody takes."""

    node: int
    rows: Array


@dataclass
class _Entry:
    """An element of all blocks: its values along the common axis, with their rows and columns."""

    value: Expr
    rows: Array
    columns: Expr


class _Finder:
    def __init__(
        self, builder: Builder, outputs: Sequence[int], inputs: Sequence[int], known: Mapping[int, Any]
    ) -> None:
        self.builder, self.outputs, self.inputs, self.known = (builder, outputs, inputs, known)
        self.depends: set[int] = set(inputs)
        self.picked: set[int] = set(inputs)
        """Values each of whose elements is an input's element."""
        for node in reachable(builder, outputs, min(inputs)) if inputs else ():
            args = builder.args(node)
            if node in self.depends or self.depends.isdisjoint(args) or not builder.avals[node].is_float:
                continue
            if not builder.hop(node).differentiable:
                continue
            self.depends.add(node)
            if builder.hop(node).name in _PICKING and args[0] in self.picked:
                self.picked.add(node)

    def base(self, node: int) -> tuple[int, Array]:
        """What a value is picked of without index arrays, and the numbers of the elements that are."""
        builder, chain = self.builder, [node]
        while builder.hop(node).name in _PICKING and len(builder.args(node)) == 1:
            (node,) = builder.args(node)
            chain.append(node)
        shape = builder.avals[node].shape
        numbers = np.arange(builder.avals[node].size).reshape(shape)
        for later in reversed(chain[:-1]):
            numbers = builder.hop(later).function(numbers, **dict(builder.params(later)))
        return node, np.asarray(numbers)

    def found(self) -> Blocks:
        terms: list[_Term] = []
        start = 0
        for node in self.outputs:
            like = self.builder.avals[node]
            terms += self._terms(node, np.arange(start, start + like.size).reshape(like.shape))
            start += like.size
        total = start
        if not terms:
            raise _NotOfBlocks
        unrolled = _Unrolled(self, [term.node for term in terms])
        entries = list(unrolled.entries(terms))
        return self._placed(entries, unrolled.count, total)

    def _terms(self, output: int, rows: Array) -> Iterator[_Term]:
        """An output as a sum of values whose elements are moved."""
        builder = self.builder
        todo = [_Term(output, rows)]
        while todo:
            node, rows = (term := todo.pop()).node, term.rows
            if node not in self.depends:
                continue
            hop, args, params = (builder.hop(node), builder.args(node), dict(builder.params(node)))
            shapes = [builder.avals[a].shape for a in args]
            fixed = [builder.constants.get(a) for a in args[1:]]
            if node in self.picked:
                yield term
            elif hop.name == "reshape":
                todo.append(_Term(args[0], rows.reshape(shapes[0])))
            elif hop.name == "transpose":
                todo.append(_Term(args[0], np.transpose(rows, np.argsort(params["axes"]))))
            elif hop.name == "concatenate":
                ends = np.cumsum([shape[params["axis"]] for shape in shapes])[:-1]
                parts = np.split(rows, ends, params["axis"])
                todo += [_Term(a, part) for a, part in zip(args, parts, strict=True)]
            elif hop.name == "scatter" and all(v is not None for v in fixed):
                todo.append(_Term(args[0], rows[selection(params["items"], fixed)]))
            elif hop.name == "index" and all(v is not None for v in fixed):
                wide = np.full(shapes[0], -1)
                places = selection(params["items"], fixed)
                wide[places] = rows
                if not np.array_equal(wide[places], rows):  # an element that is taken twice
                    raise _NotOfBlocks
                todo.append(_Term(args[0], wide))
            elif hop.name == "add" and shapes[0] == shapes[1]:
                todo += [_Term(a, rows) for a in args]
            else:
                yield term

    # -- where elements stand ------------------------------------------------------------------------------------------

    def _placed(self, entries: list[_Entry], n: int, total: int) -> Blocks:
        """The sparse array made of the entries."""
        builder = self.builder
        if not entries or not n:
            raise _NotOfBlocks
        labels = evaluate(builder, [entry.columns.id for entry in entries], self.known)
        columns = np.stack([np.broadcast_to(np.ravel(label), n) for label in labels])
        rows = np.stack([entry.rows for entry in entries])
        fixed = all(_is_fixed(builder, entry.columns) for entry in entries)
        dtype = np.result_type(*[builder.avals[node].dtype for node in (*self.outputs, *self.inputs)])
        values = [cast(broadcast_to(entry.value, (n, 1)), dtype) for entry in entries]
        kept = np.flatnonzero(rows.ravel() >= 0)
        order = kept[np.lexsort((columns.ravel()[kept], rows.ravel()[kept]))]
        high, low = rows.ravel()[order], columns.ravel()[order]
        new = np.ones(order.size, bool)
        new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        if not new.all() and not fixed:
            raise _NotOfBlocks
        starts = np.zeros(total + 1, np.int64)
        np.cumsum(np.bincount(high[new], minlength=total), out=starts[1:])
        kind = np.int32 if max(order.size, int(columns.max()) + 1) < 2**31 else np.int64
        if not new.all():
            places = np.cumsum(new) - 1
            whole = index(_line(values), builder.constant(order), items=(Operand(0),))
            data = scatter(whole, builder.constant(places), items=(Operand(0),), shape=(int(new.sum()),))
            return Blocks(data.id, None, None, low[new].astype(kind), starts.astype(kind))
        tiles = _tiles(order, len(entries), n)
        if tiles is None:
            take = builder.constant(order)
            data = index(_line(values), take, items=(Operand(0),))
        else:
            data = _tiled(values, tiles, n)
        if fixed:
            return Blocks(data.id, None, None, low.astype(kind), starts.astype(kind))
        names = [catalogue["convert"](broadcast_to(entry.columns, (n, 1)), dtype=np.dtype(kind)) for entry in entries]
        if tiles is None:
            found = index(_line(names), take, items=(Operand(0),))
            later, before = (index(found, items=(part,)) for part in (Slice(1, None, 1), Slice(None, -1, 1)))
            rising = (later > before) | builder.constant(high[1:] != high[:-1])
        else:
            found = _tiled(names, tiles, n)
            ends = np.cumsum([n * len(tile) for tile in tiles])
            steps = np.concatenate(
                [np.arange(e - n * len(tile), e, len(tile)) for e, tile in zip(ends, tiles, strict=True)]
            )
            if (high[steps[1:]] == high[steps[1:] - 1]).any():  # a row with elements of several blocks
                raise _NotOfBlocks
            rising = None
            for tile in tiles:
                for first, second in itertools.pairwise(tile):
                    if (rows[first] == rows[second]).any():
                        step = names[second] > names[first]
                        rising = step if rising is None else rising & step
        ascending = None
        if rising is not None:
            ascending = catalogue["all"](rising, axes=tuple(range(rising.ndim)), keepdims=False).id
        return Blocks(data.id, found.id, ascending, low.astype(kind), starts.astype(kind))


def _is_fixed(builder: Builder, x: Expr) -> bool:
    return all(builder.hop(n).name != "input" for n in reachable(builder, [x.id]))


def _line(columns: Sequence[Expr]) -> Expr:
    """All numbers of one column after the other."""
    whole: Expr = concatenate(*columns, axis=0) if len(columns) > 1 else columns[0]
    found: Expr = reshape(whole, shape=(whole.size,))
    return found


def _tiles(order: Array, count: int, n: int) -> list[list[int]] | None:
    """The entries in groups whose values are interleaved, if that is what the order of all numbers comes to.

    A group of s entries fills n·s places: first the first number of each, then the second of each, and so on.
    """
    if order.size != count * n:
        return None
    tiles: list[list[int]] = []
    place = 0
    while place < order.size:
        size = 1
        while place + size < order.size and n > 1 and order[place + size] != order[place] + 1:
            size += 1
        if n == 1:
            size = order.size - place
        members = order[place : place + size]
        end = place + n * size
        if (members % n).any() or end > order.size:
            return None
        if not np.array_equal(order[place:end].reshape(n, size), members + np.arange(n)[:, None]):
            return None
        tiles.append((members // n).tolist())
        place = end
    return tiles


def _tiled(values: Sequence[Expr], tiles: Sequence[Sequence[int]], n: int) -> Expr:
    """The numbers of each group in columns side by side, as one line."""
    parts = []
    for tile in tiles:
        columns = [values[e] for e in tile]
        parts.append(reshape(concatenate(*columns, axis=1) if len(tile) > 1 else columns[0], shape=(n * len(tile),)))
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=0)


# -- taking values apart -----------------------------------------------------------------------------------------------


class _Axes:
    """Which axes of values are one and the same axis; those along which something is mixed are short ones."""

    def __init__(self) -> None:
        self.parent: dict[tuple[int, int], tuple[int, int]] = {}
        self.short: set[tuple[int, int]] = set()

    def find(self, axis: tuple[int, int]) -> tuple[int, int]:
        """What stands for all that are the same."""
        self.parent.setdefault(axis, axis)
        while self.parent[axis] != axis:
            self.parent[axis] = self.parent[self.parent[axis]]
            axis = self.parent[axis]
        return axis

    def join(self, first: tuple[int, int], second: tuple[int, int]) -> None:
        """Note that two are the same."""
        self.parent[self.find(first)] = self.find(second)

    def mixed(self, axis: tuple[int, int]) -> None:
        """Note that something is mixed along an axis."""
        self.short.add(axis)

    def is_short(self, axis: tuple[int, int]) -> bool:
        """Whether something is mixed along it, or along one that is the same."""
        root = self.find(axis)
        return any(self.find(other) == root for other in self.short)


@dataclass
class _Unrolled:
    """Values between what is picked of the inputs and the terms of the results, as numbers along a common axis."""

    finder: _Finder
    wanted: Sequence[int]
    count: int = 0
    scratch: Builder = field(default_factory=Builder)

    def __post_init__(self) -> None:
        builder, finder = self.finder.builder, self.finder
        inner: set[int] = set()
        leaves: set[int] = set()
        todo = list(dict.fromkeys(self.wanted))
        while todo:
            node = todo.pop()
            if node in inner or node in leaves:
                continue
            if node in finder.picked or node not in finder.depends:
                leaves.add(node)
            else:
                inner.add(node)
                todo += builder.args(node)
        self.inner, self.leaves = sorted(inner), sorted(leaves)
        self.axes = _Axes()
        for node in self.inner:
            self._relate(node)
        self._choose()

    def _relate(self, node: int) -> None:
        """Which axes of a value and its operands are the same, and along which something is mixed."""
        builder, axes = self.finder.builder, self.axes
        hop, args, params = (builder.hop(node), builder.args(node), dict(builder.params(node)))
        like = builder.avals[node].shape
        shapes = [builder.avals[a].shape for a in args]
        if isinstance(hop, Elementwise) or hop.name in _AS_IT_IS or hop.name == "broadcast_to":
            for a, shape in zip(args, shapes, strict=True):
                for k, length in enumerate(shape):
                    if length == like[k + len(like) - len(shape)]:
                        axes.join((a, k), (node, k + len(like) - len(shape)))
                    else:
                        axes.mixed((a, k))
            return
        (x, *rest), (shape, *_) = args, shapes
        pairs: list[tuple[int, int]] = []
        if hop.name == "transpose":
            pairs = [(k, place) for place, k in enumerate(params["axes"])]
        elif hop.name == "reshape":
            before = {int(np.prod(like[:k])): k for k, length in enumerate(like) if length != 1}
            for k, length in enumerate(shape):
                place = before.get(int(np.prod(shape[:k])))
                if place is not None and length == like[place]:
                    pairs.append((k, place))
        elif hop.name == "sum":
            kept = [k for k in range(len(shape)) if k not in params["axes"]]
            pairs = [(k, k if params["keepdims"] else place) for place, k in enumerate(kept)]
        elif hop.name == "concatenate":
            pairs = [(k, k) for k in range(len(like)) if k != params["axis"]]
            for a in rest:
                for k in range(len(like)):
                    axes.join((a, k), (node, k)) if k != params["axis"] else axes.mixed((a, k))
        elif hop.name == "index" and not rest:
            pairs = _whole_axes(params["items"], shape, like)
        elif hop.name == "scatter" and not rest:
            pairs = [(b, a) for a, b in _whole_axes(params["items"], like, shape)]
        else:
            raise _NotOfBlocks
        for a, b in pairs:
            axes.join((x, a), (node, b))
        for k in set(range(len(shape))) - {a for a, _ in pairs}:
            axes.mixed((x, k))
        for k in set(range(len(like))) - {b for _, b in pairs}:
            axes.mixed((node, k))

    def _choose(self) -> None:
        """Find the common axis: the longest along which nothing is mixed and that all results have."""
        builder, axes = self.finder.builder, self.axes
        best: tuple[int, int] | None = None
        for k, length in enumerate(builder.avals[self.wanted[0]].shape):
            root = axes.find((self.wanted[0], k))
            if length > self.count and not axes.is_short(root):
                best, self.count = root, length
        if best is None:
            raise _NotOfBlocks
        for node in self.wanted[1:]:
            # Results that have nothing in common may count their rows together.
            likes = [(node, k) for k, n in enumerate(builder.avals[node].shape) if n == self.count]
            if all(axes.find(axis) != axes.find(best) for axis in likes):
                free = [axis for axis in likes if not axes.is_short(axis)]
                if not free:
                    raise _NotOfBlocks
                axes.join(free[0], best)
        best = axes.find(best)
        self.place: dict[int, int | None] = {}
        size = 0
        for node in (*self.inner, *self.leaves):
            shape = builder.avals[node].shape
            own = [k for k in range(len(shape)) if axes.find((node, k)) == best]
            if len(own) > 1 or (not own and node in self.wanted):
                raise _NotOfBlocks
            self.place[node] = own[0] if own else None
            size += int(np.prod(shape, dtype=np.int64)) // (shape[own[0]] if own else 1)
        if size > MOST:
            raise _NotOfBlocks

    def _part(self, x: Expr, axis: int | None, number: tuple[int, ...]) -> Expr:
        """The numbers of a value along the common axis, at some place of the others, as a column."""
        items: tuple[Any, ...] = number if axis is None else (*number[:axis], _ALL, *number[axis:])
        found: Expr = index(x, items=items) if items != (_ALL,) and items else x
        return found if axis is None else reshape(found, shape=(self.count, 1))

    def _short_shape(self, node: int) -> tuple[int, ...]:
        shape, axis = self.finder.builder.avals[node].shape, self.place[node]
        return shape if axis is None else (*shape[:axis], *shape[axis + 1 :])

    def entries(self, terms: Sequence[_Term]) -> Iterator[_Entry]:
        """The elements of all blocks."""
        finder, builder, scratch = self.finder, self.finder.builder, self.scratch
        values: dict[int, Any] = {}
        actual: dict[int, int] = {}
        columns: dict[int, Expr] = {}
        numbered = self._numbered()
        same: dict[tuple[int, bytes], Expr] = {}
        for node in self.leaves:
            like, axis = builder.avals[node], self.place[node]
            cells = values[node] = np.empty(self._short_shape(node), object)
            moving = node in finder.picked
            if moving:
                base, places = finder.base(node)
                places = places[..., None] if axis is None else np.moveaxis(places, axis, -1)
            for number in np.ndindex(cells.shape):
                part = self._part(builder.expr(node), axis, number)
                if moving:
                    key = base, places[number].tobytes()
                    if key in same:  # picked twice, in other ways
                        cells[number] = same[key]
                        continue
                    part = broadcast_to(part, (self.count, 1))
                    fresh = scratch.input(part.aval, "x")
                    same[key] = fresh
                    columns[fresh.id] = self._part(numbered[node], axis, number)
                elif node in builder.constants and not part.ndim:
                    fresh = scratch.constant(builder.constants[node][number], like.dtype)
                else:
                    fresh = scratch.input(part.aval, "c")
                if fresh.id not in scratch.constants:
                    actual[fresh.id] = part.id
                cells[number] = fresh
        for node in self.inner:
            values[node] = self._unrolled(node, [values[a] for a in builder.args(node)])
        found: list[tuple[int, Array, Expr]] = []
        for term in terms:
            axis = self.place[term.node]
            assert axis is not None
            rows = np.moveaxis(term.rows, axis, -1)
            for number in np.ndindex(values[term.node].shape):
                y = values[term.node][number]
                if (rows[number] < 0).all():
                    continue
                y = broadcast_to(y, (self.count, 1))
                if y.id in columns:
                    found.append((ones(scratch, y.aval).id, rows[number], columns[y.id]))
                    continue
                back = pull(scratch, {y.id: ones(scratch, y.aval)}, list(columns))
                for seen, adjoint in back.adjoints.items():
                    if seen in columns:
                        found.append((adjoint.id, rows[number], columns[seen]))
        with builder.passing("gradient"):
            moved = transplant(scratch, [node for node, _, _ in found], builder, actual)
        for made, (_, rows, column) in zip(moved, found, strict=True):
            yield _Entry(builder.expr(made), rows, column)

    def _numbered(self) -> dict[int, Expr]:
        """For what is picked of the inputs the columns of its elements."""
        builder, inputs = self.finder.builder, self.finder.inputs
        sizes = [builder.avals[n].size for n in inputs]
        starts = np.cumsum([0, *sizes])
        kind = np.int32 if starts[-1] < 2**31 else np.int64
        replaced = {
            n: builder.constant(np.arange(start, start + size, dtype=kind).reshape(builder.avals[n].shape)).id
            for n, start, size in zip(inputs, starts, sizes, strict=False)
        }
        moved: dict[int, int] = dict(replaced)
        nodes = [node for node in self.leaves if node in self.finder.picked]
        for node in reachable(builder, nodes, min(inputs)):
            if node in self.finder.picked and node not in moved:
                source, *arrays = builder.args(node)
                if source in replaced and _picks_rows(builder, node):
                    moved[node] = _rows_numbered(builder, arrays[0], builder.constants[replaced[source]]).id
                    continue
                moved[node] = builder.emit(builder.hop(node), [moved[source], *arrays], builder.params(node))
        return {n: builder.expr(moved[n]) for n in nodes}

    def _unrolled(self, node: int, operands: list[Any]) -> Any:
        """A value's numbers, given those of its operands: arrays of handles, without the common axis."""
        builder = self.finder.builder
        hop, args, params = (builder.hop(node), builder.args(node), dict(builder.params(node)))
        axis, shape = self.place[node], self._short_shape(node)

        def without(k: int, own: int | None) -> int:
            return k if own is None or k < own else k - 1

        if isinstance(hop, Elementwise) or hop.name in _AS_IT_IS:
            # Axes are counted from behind: a common axis behind others counts as one that is not there.
            wide = np.broadcast_arrays(*[self._aligned(x, a, node) for x, a in zip(operands, args, strict=True)])
            found = np.empty(shape, object)
            for number in np.ndindex(shape):
                found[number] = hop(*[x[number] for x in wide], **params)
            return found
        x, own = operands[0], self.place[args[0]]
        if hop.name == "broadcast_to":
            return np.broadcast_to(self._aligned(x, args[0], node), shape)
        if hop.name == "transpose":
            return np.transpose(x, [without(k, own) for k in params["axes"] if k != own])
        if hop.name == "reshape":
            return x.reshape(shape)
        if hop.name == "sum":
            gone = tuple(without(k, own) for k in params["axes"])
            if not x.size:
                raise _NotOfBlocks
            found = np.empty(shape, object)  # a sum over all axes is no array
            found[...] = np.add.reduce(x, axis=gone, keepdims=params["keepdims"]) if gone else x
            return found
        if hop.name == "concatenate":
            return np.concatenate(operands, axis=without(params["axis"], axis))
        full, cut = (builder.avals[node].shape, axis) if hop.name == "scatter" else (builder.avals[args[0]].shape, own)
        items = _without_axis(params["items"], full, cut)
        if hop.name == "index":
            found = np.empty(shape, object)
            found[...] = x[selection(items)]
            return found
        found = np.empty(shape, object)
        found[...] = self.scratch.constant(0, builder.avals[node].dtype)
        found[selection(items)] = x
        return found

    def _aligned(self, x: Any, operand: int, node: int) -> Any:
        """An operand's numbers with axes as the result has them, of length 1 where it has none."""
        builder = self.finder.builder
        like, shape = builder.avals[node].shape, builder.avals[operand].shape
        own, axis = self.place[operand], self.place[node]
        full = list(shape)
        if own is not None:
            full[own] = 1
        wide = [1] * (len(like) - len(shape)) + full
        if axis is not None:
            if wide[axis] != 1:
                raise _NotOfBlocks
            del wide[axis]
        elif own is not None:
            raise _NotOfBlocks
        return x.reshape(wide)


def _picks_rows(builder: Builder, node: int) -> bool:
    """Whether a value is made of whole rows, picked by one array."""
    if builder.hop(node).name != "index" or len(builder.args(node)) != 2:
        return False
    first, *rest = dict(builder.params(node))["items"]
    return isinstance(first, Operand) and all(item in (_ALL, Ellipsis) for item in rest)


def _rows_numbered(builder: Builder, places: int, numbers: Array) -> Expr:
    """``numbers[places]`` of numbers that count through all elements: worked out, which is faster than read."""
    row = numbers[:1].size
    k = catalogue["convert"](builder.expr(places), dtype=numbers.dtype)
    k = catalogue["where"](k < 0, k + len(numbers), k)
    k = reshape(k, shape=(*k.shape, *[1] * (numbers.ndim - 1)))
    found: Expr = k * row + builder.constant(numbers[0])
    return found


def _whole_axes(items: Any, shape: Sequence[int], like: Sequence[int]) -> list[tuple[int, int]]:
    """The axes that an index without arrays takes whole, as (of what is indexed, of what it gives)."""
    pairs = []
    source = place = 0
    for item in items:
        if item is None:
            place += 1
        elif isinstance(item, int):
            source += 1
        elif isinstance(item, Slice):
            if range(shape[source])[slice(*item)] == range(shape[source]):
                pairs.append((source, place))
            source, place = source + 1, place + 1
    return pairs + [(source + k, place + k) for k in range(len(shape) - source)]


def _without_axis(items: Any, shape: Sequence[int], axis: int | None) -> tuple[Any, ...]:
    """An index without the item of an axis that it takes whole."""
    found = []
    source = 0
    for item in items:
        if item is not None and not isinstance(item, type(Ellipsis)):
            if source != axis:
                found.append(item)
            source += 1
        elif item is None:
            found.append(item)
    return tuple(found)
