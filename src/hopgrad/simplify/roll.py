"""Loops that were written out by tracing, put together again: the same hops over and over become one `scan`.

A Python loop of a thousand steps leaves a thousand copies of its body in a graph. In the order of the ids they lie one
behind the other, so they show as a stretch of values that repeats with a period: each *window* has the same hops, and
what an operand is follows from the number of the window. It may be

- a value of the same window, or the one at the same place of an earlier window, which the loop carries along;
- the same value in all windows;
- a constant for each window, or a row of an array;
- a value of another such loop, at a window that moves along: so a backward loop reads what the forward loop computed.

Where all operands are of these kinds, the stretch is a `scan`, whose body is compiled once. The values are those of the
same hops in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from hopgrad.aval import aval
from hopgrad.graph.builder import Builder, Expr, catalogue, zeros
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM
from hopgrad.hops.control import SCAN, emit
from hopgrad.hops.shape import Items, Slice
from hopgrad.simplify.driver import Simplified

LEAST = 600
"""How many values a graph has at least that is looked through: what is short is faster as straight code."""

STEPS = 16
"""How many windows a loop has at least."""

_GRAM = 6
"""Of so many hops in a row those are compared that may be the beginnings of two windows."""
_TRIES = 4
_DEPTH = 4
"""How many steps back a carry may reach."""
_LARGEST_CONSTANT = 1_000_000


def rolled(made: Simplified) -> Simplified:
    """The same with its written-out loops put together, if there are any."""
    order = reachable(made.builder, made.outputs)
    if len(order) < LEAST:
        return made
    finder = _Finder(made.builder, order)
    finder.find()
    return _Rewriter(made, finder).write() if finder.loops else made


# -- finding -----------------------------------------------------------------------------------------------------------


@dataclass
class _Row:
    """An operand that is a row of an array for each window: of a constant, of an array, or of another loop."""

    loop: int = -1
    place: int = -1
    """In the window of that loop."""
    first: int = 0
    step: int = 1
    """Which of its windows comes first, and how it goes on."""
    data: Any = None
    """Of constants."""
    node: int = -1
    items: Items = ()
    number: int = -1
    """An index of an array, and which of its items goes on from window to window."""


@dataclass
class _Loop:
    """A stretch of the order that repeats."""

    start: int
    period: int
    steps: int
    operands: dict[tuple[int, int], Any] = field(default_factory=dict)
    """By place in the window and number of the operand: a place in the same window (an int), a key of `carries`, the
    same value always (a tuple of one), or a `_Row`."""
    rows: dict[int, _Row] = field(default_factory=dict)
    """Places of the window whose values are read from an array."""

    @property
    def end(self) -> int:
        """Where the order goes on behind it."""
        return self.start + self.period * self.steps


_NOTHING = -1
"""Stands for a first value that nobody reads."""


@dataclass(frozen=True)
class _Carry:
    """A value of an earlier window: its place there, and what stands for it in the first windows."""

    place: int
    first: tuple[int, ...]


class _Finder:
    """Looks for loops in the order of a graph."""

    def __init__(self, builder: Builder, order: Sequence[int]) -> None:
        self.builder = builder
        self.order = [n for n in order if n not in builder.constants and builder.hop(n).name != "input"]
        self.position = {node: k for k, node in enumerate(self.order)}
        self.loops: list[_Loop] = []
        self.owner: dict[int, tuple[int, int, int]] = {}
        """For each value of a loop: the number of the loop, the window, the place in it."""
        self._signs = self._signed()

    def _signed(self) -> list[int]:
        """Equal numbers for hops that may be at one place of two windows."""
        builder = self.builder
        numbers: dict[Any, int] = {}
        found = []
        for node in self.order:
            key: Any = builder.kind[node]
            if builder.hop(node).name == "index":
                items = dict(builder.params(node))["items"]
                key = tuple("#" if type(item) is int else item for item in items)
            found.append(numbers.setdefault((key, builder.avals[node]), len(numbers)))
        return found

    def find(self) -> None:
        """All loops, from the beginning on; of several periods the shortest that will do."""
        signs, n = self._signs, len(self.order)
        following = [-1] * n
        seen: dict[tuple[int, ...], int] = {}
        for k in range(n - _GRAM, -1, -1):
            gram = tuple(signs[k : k + _GRAM])
            following[k] = seen.get(gram, -1)
            seen[gram] = k
        work, most = 0, 30 * n
        at = 0
        while at < n and work < most:
            after = following[at]
            found = None
            for _ in range(_TRIES):
                if after < 0 or found is not None:
                    break
                period = after - at
                run = 0
                while at + run + period < n and signs[at + run] == signs[at + run + period]:
                    run += 1
                steps = run // period + 1
                work += run
                if steps >= STEPS:
                    found = self._loop(at, period, steps)
                    work += 3 * steps * period
                after = following[after]
            if found is None:
                at += 1
                continue
            number = len(self.loops)
            self.loops.append(found)
            for k in range(found.steps):
                for place in range(found.period):
                    self.owner[self.order[found.start + k * found.period + place]] = number, k, place
            at = found.end

    def _loop(self, start: int, period: int, steps: int) -> _Loop | None:
        """The loop that begins here, as many windows of it as are regular; the first two may not be."""
        for _ in range(3):
            loop = _Loop(start, period, steps)
            regular = self._fit(loop)
            if len(loop.rows) == period:
                return None  # nothing is computed
            if regular >= STEPS:
                loop.steps = regular
                if regular < steps:
                    loop = _Loop(start, period, regular)
                    if self._fit(loop) < regular:
                        return None
                return loop
            start, steps = start + period, steps - 1
            if steps < STEPS:
                return None
        return None

    def _fit(self, loop: _Loop) -> int:
        """Tell of what kind the operands are, and how many windows that holds for."""
        builder, regular = self.builder, loop.steps
        args, starts = builder.args_flat, builder.start
        for place in range(loop.period):
            nodes = self.order[loop.start + place : loop.end : loop.period]
            first = starts[nodes[0]]
            count = starts[nodes[0] + 1] - first
            if any(starts[n + 1] - starts[n] != count for n in nodes):
                return 0
            if builder.hop(nodes[0]).name == "index" and len({builder.kind[n] for n in nodes}) > 1:
                row, held = self._indexed(nodes)
                if row is None:
                    return 0
                loop.rows[place] = row
                regular = min(regular, held)
                continue
            for number in range(count):
                kind, held = self._operand(loop, place, [args[starts[n] + number] for n in nodes])
                loop.operands[place, number] = kind
                regular = min(regular, held)
                if regular < STEPS:
                    return 0
        return regular

    def _indexed(self, nodes: Sequence[int]) -> tuple[_Row | None, int]:
        """A row of an array for each window, by an integer that goes in equal steps."""
        builder = self.builder
        source = builder.args(nodes[0])
        read = takewhile(lambda n: builder.hop(n).name == "index", nodes)
        every = [dict(builder.params(n))["items"] for n in read]
        varying = [k for k, item in enumerate(every[0]) if type(item) is int and item != every[1][k]]
        if len(source) != 1 or len(varying) != 1 or Ellipsis in every[0]:
            return None, 0
        (axis,) = varying
        first, step = every[0][axis], every[1][axis] - every[0][axis]
        held = 0
        for node, items in zip(nodes, every, strict=False):
            same = (*items[:axis], *items[axis + 1 :]) == (*every[0][:axis], *every[0][axis + 1 :])
            value = first + held * step
            if builder.args(node) != source or not same or items[axis] != value or (value < 0) != (first < 0):
                break
            held += 1
        return _Row(node=source[0], items=every[0], number=axis, first=first, step=step), held

    def _operand(self, loop: _Loop, place: int, values: Sequence[int]) -> tuple[Any, int]:
        """What an operand is, and for how many windows."""
        position, constants, avals = self.position, self.builder.constants, self.builder.avals
        probe = _DEPTH + 1  # a window by which carries are what they stay
        there = position.get(values[probe], -1)
        distance = there - loop.start - probe * loop.period
        if there >= loop.start and distance < place:  # of the same window, or an earlier one
            depth = -(distance // loop.period)
            offset = distance + depth * loop.period
            like = avals[values[probe]]
            first = [v for v in values[:depth] if position.get(v, -1) < loop.start and avals[v] is like]
            if depth <= _DEPTH and len(first) == depth:
                held = depth
                while held < len(values) and position.get(values[held], -1) == (
                    loop.start + (held - depth) * loop.period + offset
                ):
                    held += 1
                return (_Carry(offset, tuple(values[:depth])) if depth else offset), held
            return None, 0
        if values[1] == values[0]:
            held = next((k for k, v in enumerate(values) if v != values[0]), len(values))
            return (values[0],), held if position.get(values[0], -1) < loop.start else 0
        if values[0] in constants:
            like = avals[values[0]]
            held = next(
                (k for k, v in enumerate(values) if v not in constants or avals[v] is not like),
                len(values),
            )
            if held * like.size > _LARGEST_CONSTANT:
                return None, 0
            return _Row(data=[constants[v] for v in values[:held]]), held
        if all(self.builder.hop(v).name == "index" and position[v] < loop.start for v in values[:2]):
            row, held = self._indexed(values)
            if row is not None:
                return row, held
        owners = self.owner.get(values[0]), self.owner.get(values[1])
        if owners[0] is None or owners[1] is None:
            return None, 0
        (number, window, offset), step = owners[0], owners[1][1] - owners[0][1]
        held = 0
        while held < len(values) and self.owner.get(values[held]) == (number, window + held * step, offset):
            held += 1
        return (_Row(number, offset, window, step) if step else None), held


# -- writing -----------------------------------------------------------------------------------------------------------


class _Rewriter:
    """Writes a graph with its loops as scans."""

    def __init__(self, made: Simplified, finder: _Finder) -> None:
        self.made = made
        self.source = made.builder
        self.finder = finder
        self.owner = finder.owner
        self.builder = Builder()
        self.moved: dict[int, int] = {}
        self.stacked: list[dict[int, int]] = [{} for _ in finder.loops]
        """For each loop by place: the values of all windows, in one array."""
        self.last: list[dict[int, int]] = [{} for _ in finder.loops]
        """For each loop by place: the value of the last window."""
        self._wanted()

    def _wanted(self) -> None:
        """Which values of loops others need: of all windows, or of the last one only."""
        loops, owner, source = self.finder.loops, self.owner, self.source
        self.all_wanted: list[set[int]] = [set() for _ in loops]
        self.last_wanted: list[set[int]] = [set() for _ in loops]

        def want(node: int) -> None:
            found = owner.get(node)
            if found is not None:
                number, window, place = found
                last = window == loops[number].steps - 1
                (self.last_wanted if last else self.all_wanted)[number].add(place)

        for node in self.finder.order:
            if node not in owner:
                for a in source.args(node):
                    want(a)
        for node in self.made.outputs:
            want(node)
        for loop in loops:
            for operand in (*loop.operands.values(), *loop.rows.values()):
                if isinstance(operand, _Carry):
                    for a in operand.first:
                        want(a)
                elif isinstance(operand, tuple):
                    want(operand[0])
                elif isinstance(operand, _Row) and operand.loop >= 0:
                    self.all_wanted[operand.loop].add(operand.place)
                elif isinstance(operand, _Row) and operand.node >= 0:
                    want(operand.node)

    def write(self) -> Simplified:
        """All of it."""
        made, source, builder, moved = self.made, self.source, self.builder, self.moved
        inputs = {node: old for old, node in made.inputs.items()}
        starts = {loop.start: k for k, loop in enumerate(self.finder.loops)}
        order = self.finder.order
        for node in reachable(source, made.outputs):
            if node in inputs or source.hop(node).name == "input":
                moved[node] = builder.input(source.avals[node], str(dict(source.params(node)).get("name", "x"))).id
            elif node in source.constants:
                moved[node] = builder.share(source.constants[node])
        at = 0
        while at < len(order):
            number = starts.get(at)
            if number is not None:
                self._scan(number)
                at = self.finder.loops[number].end
                continue
            node = order[at]
            joined = self._joined(node)
            moved[node] = self._copied(node) if joined is None else joined
            at += 1
        given = {old: moved[node] for old, node in made.inputs.items() if node in moved}
        outputs = [self.value(node) for node in made.outputs]
        origins = {new: made.origins[old] for old, new in moved.items() if old in made.origins}
        passes = [*made.passes, ("loops put together", len(self.finder.loops))]
        return Simplified(builder, outputs, given, origins, passes)

    def value(self, node: int) -> int:
        """A value in the new graph."""
        found = self.moved.get(node)
        if found is None:
            number, window, place = self.owner[node]
            if window == self.finder.loops[number].steps - 1 and place in self.last[number]:
                return self.last[number][place]
            found = self.moved[node] = self._index(self.stacked[number][place], (window,))
        return found

    def _index(self, node: int, items: Items) -> int:
        return self.builder.emit(catalogue["index"], [node], (("items", items),))

    def _copied(self, node: int) -> int:
        source = self.source
        return self.builder.emit(source.hop(node), [self.value(a) for a in source.args(node)], source.params(node))

    def _joined(self, node: int) -> int | None:
        """Values of a loop that are put together are rows of what holds them all."""
        source = self.source
        if source.hop(node).name != "concatenate":
            return None
        axis, args = dict(source.params(node))["axis"], source.args(node)
        owners = [self._owner_of_line(a, axis) for a in args]
        if len([one for one in owners if one is not None]) < STEPS:
            return None
        parts: list[int] = []
        at = 0
        while at < len(args):
            first = owners[at]
            if first is None:
                parts.append(self.value(args[at]))
                at += 1
                continue
            number, window, place = first
            step = count = 1
            for following in owners[at + 1 :]:
                if following is None or (following[0], following[2]) != (number, place):
                    break
                if count == 1:
                    step = following[1] - window
                if following[1] != window + count * step:
                    break
                count += 1
            rows = self._rows(self.stacked[number][place], window, step, count)
            parts.append(self._moved(rows, 0, axis))
            at += count
        if len(parts) == 1:
            return parts[0]
        return self.builder.emit(catalogue["concatenate"], parts, (("axis", axis),))

    def _owner_of_line(self, node: int, axis: int) -> tuple[int, int, int] | None:
        """Whose value an array of length 1 along an axis is, if it is one of a loop's that is stacked."""
        source = self.source
        if source.hop(node).name != "reshape":
            return None
        (inner,) = source.args(node)
        found, shape = self.owner.get(inner), source.avals[inner].shape
        if found is None or source.avals[node].shape != (*shape[:axis], 1, *shape[axis:]):
            return None
        return found if found[2] in self.stacked[found[0]] else None

    def _moved(self, node: int, start: int, end: int) -> int:
        """With an axis at another place."""
        if start == end:
            return node
        axes = [k for k in range(self.builder.avals[node].ndim) if k != start]
        axes.insert(end, start)
        return self.builder.emit(catalogue["transpose"], [node], (("axes", tuple(axes)),))

    def _rows(self, node: int, first: int, step: int, count: int) -> int:
        """Some rows of an array."""
        length = self.builder.avals[node].shape[0]
        if (first, step, count) == (0, 1, length):
            return node
        stop = first + count * step
        return self._index(node, (Slice(first, stop if stop >= 0 else None, step),))

    # -- one loop

    def _scan(self, number: int) -> None:
        """The loop as a hop."""
        loop, source = self.finder.loops[number], self.source
        order = self.finder.order
        body = Builder()
        template = order[loop.start : loop.start + loop.period]
        avals = [source.avals[node] for node in template]
        carries: dict[_Carry, list[int]] = {}
        """The values one step back, two steps back and so on, in the body."""
        last = sorted(self.last_wanted[number])
        for operand in loop.operands.values():
            if isinstance(operand, _Carry):
                carries.setdefault(operand, [])
        carried = {carry.place for carry in carries}
        for place in last:
            if place not in carried and place not in self.all_wanted[number]:
                carries[_Carry(place, (_NOTHING,))] = []
        fixed = list(dict.fromkeys(o[0] for o in loop.operands.values() if isinstance(o, tuple)))
        consts = {node: body.input(source.avals[node], "const").id for node in fixed}
        for carry, values in carries.items():
            values += [body.input(avals[carry.place], "carry").id for _ in carry.first]
        rows: dict[Any, int] = {}
        arrays: dict[int, int] = {}
        """Arrays whose rows are read, with what stands for a row in the body."""
        for key, operand in [*loop.operands.items(), *loop.rows.items()]:
            if isinstance(operand, _Row):
                array = self._array(operand, loop.steps)
                if array not in arrays:
                    like = self.builder.avals[array]
                    arrays[array] = body.input(aval(like.shape[1:], like.dtype), "row").id
                rows[key] = arrays[array]
        # The body.
        here: list[int] = []
        for place, node in enumerate(template):
            if place in loop.rows:
                here.append(rows[place])
                continue
            args = []
            for k in range(len(source.args(node))):
                operand = loop.operands[place, k]
                if isinstance(operand, int):
                    args.append(here[operand])
                elif isinstance(operand, _Carry):
                    args.append(carries[operand][len(operand.first) - 1])
                elif isinstance(operand, tuple):
                    args.append(consts[operand[0]])
                else:
                    args.append(rows[place, k])
            here.append(body.emit(source.hop(node), args, source.params(node)))
        outputs, starts = [], []
        for carry, values in carries.items():
            outputs += [here[carry.place], *values[:-1]]
            starts += [
                zeros(self.builder, avals[carry.place]).id if node == _NOTHING else self.value(node)
                for node in reversed(carry.first)
            ]
        inputs = [*consts.values(), *[v for values in carries.values() for v in values], *arrays.values()]
        stacked = sorted(self.all_wanted[number])
        graph = Graph(body, inputs, [*outputs, *[here[place] for place in stacked]])
        operands = [Expr(self.builder, n) for n in (*[self.value(node) for node in fixed], *starts, *arrays)]
        whole = emit(SCAN, operands, {
            "body": graph, "consts": len(fixed), "carries": len(outputs), "length": loop.steps, "counted": False,
            "reverse": False,
        }, self.builder)  # fmt: skip
        at = 0
        for carry in carries:
            self.last[number].setdefault(carry.place, ITEM(whole, index=at).id)
            at += len(carry.first)
        for place in stacked:
            self.stacked[number][place] = ITEM(whole, index=at).id
            at += 1

    def _array(self, row: _Row, steps: int) -> int:
        """The array whose rows an operand is."""
        builder = self.builder
        if row.data is not None:
            return builder.constant(np.stack(row.data[:steps])).id
        if row.loop >= 0:
            return self._rows(self.stacked[row.loop][row.place], row.first, row.step, steps)
        stop = row.first + steps * row.step
        before, after = row.items[: row.number], row.items[row.number + 1 :]
        found = self._index(
            self.value(row.node),
            (*before, Slice(row.first, stop if (stop < 0) == (row.first < 0) else None, row.step), *after),
        )
        return self._moved(found, sum(type(item) is not int for item in before), 0)
