"""Loops and branches as native steps: `scan`, `while_loop` and `cond` run programs of their own.

A body is compiled to a program like any other. The step that runs it has, in its scratch memory, the body's table of
slots and its temporary values, so a loop is no more than: run the body, move some addresses in its table, and again.
Three things can move:

- rows: an array whose first axis is the steps goes on by one row;
- carries that are needed once only: two places change their roles, so nothing is copied;
- carries whose values before all steps are wanted stand in the rows of one array, each step reading a row and writing
  the next one.

What a body computes from constants alone is computed before the loop, by a program of its own. All of these steps
share two functions (`_loop`, `_branch`), which read what to do from their words.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval, aval
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Graph, reachable
from hopgrad.hops.control import Loop, Scan, Switch, While, dependencies
from hopgrad.lower.blas import Code
from hopgrad.lower.fuse import VIEWS, Fuser
from hopgrad.lower.machine import Source, Step
from hopgrad.lower.memory import ALIGNMENT
from hopgrad.lower.pool import LEAST, MOST, PART, processors
from hopgrad.lower.program import Inner, NotNativeError, address_of, runner
from hopgrad.lower.scalar import KINDS
from hopgrad.lower.straight import LONGEST, Need, joined, written
from hopgrad.lower.views import View, c_strides

WORD = 8

_MOST_ZEROS = 2**27
"""How many bytes of rows are made zero at most."""

_FLOPS, _SCRATCH = 16, 2**24
"""Operations of a body in a nanosecond, about; how much scratch memory all parts of a loop have at most."""


def place(fuser: Fuser, node: int) -> bool:
    """Have a loop or branch computed natively, if that is possible."""
    hop = fuser.builder.hop(node)
    if not isinstance(hop, (Scan, While, Switch)):
        return False
    try:
        _place_switch(fuser, node) if isinstance(hop, Switch) else _Placed(fuser, node).place()
    except NotNativeError:
        return False
    return True


# -- bodies ------------------------------------------------------------------------------------------------------------


class _Given(NamedTuple):
    """What an input of a body is: a value of the surrounding program, a constant, or a row or carry."""

    view: View | None
    like: Aval
    constant: Any = None
    level: int = 0
    """From when on it is there."""


class _Bodies:
    """Graphs over the same inputs, as programs: first what is computed once, then each of the graphs.

    Args:
        fuser: Of the surrounding program.
        graphs: Graphs and the numbers of those of their outputs that are wanted.
        given: The inputs, None for one that no wanted output needs.
        moving: Inputs that are not the same in all steps; none of a branch, of which there is one step.
    """

    def __init__(
        self,
        fuser: Fuser,
        graphs: Sequence[tuple[Graph, Sequence[int]]],
        given: Sequence[_Given | None],
        moving: Sequence[int] = (),
    ) -> None:
        builder, ends, number = joined(graphs, [None if g is None else (g.like, g.constant) for g in given])
        once = _once(builder, ends, {node for node, k in number.items() if k in moving}) if moving else []
        self.builder = builder
        self.given = given
        self.moving = moving
        self.number = number
        """The inputs that are needed, by id."""
        self.place = {node: k for k, node in enumerate(once)}
        """Values that are computed once, by id."""
        self._fuser = fuser
        self.once = self._program(once, [])
        rest = iter(ends)
        self.parts = [self._program([next(rest) for _ in wanted], once) for _, wanted in graphs]

    def _program(self, outputs: Sequence[int], once: Sequence[int]) -> Inner:
        """A program for some outputs, from those inputs and values computed once that it needs."""
        avals = self.builder.avals
        inputs: dict[int, tuple[int, ...] | None] = {}
        known = set(once) | set(self.number)
        for node in reachable(self.builder, outputs, known=known):
            if node in self.place and node in once:
                inputs[node] = c_strides(avals[node].shape)
            elif node in self.number:
                given = self.given[self.number[node]]
                assert given is not None
                inputs[node] = c_strides(given.like.shape) if given.view is None else given.view.strides
        return Inner(self.builder, outputs, inputs, self._fuser.library, self._fuser.compound)

    @property
    def programs(self) -> list[Inner]:
        """All of them."""
        return [self.once, *self.parts]

    @property
    def views(self) -> list[View]:
        """What they read of the surrounding program's memory."""
        return [given.view for given in self.given if given is not None and given.view is not None]

    def tables(self, words: _Words) -> list[int]:
        """Tables of slots for all of them, with what does not move in it."""
        tables = [words.table(program) for program in self.programs]
        for number, node in enumerate(self.place):
            like = self.builder.avals[node]
            place = words.room(like.size * like.dtype.itemsize)
            slots = _slots([self.once], tables[:1], "output", number) + self._reading(tables, node)
            for slot in slots:
                words.add("local", slot, place)
        for k, given in enumerate(self.given):
            if given is not None and given.view is not None and k not in self.moving:
                words.outer(self.inputs(tables, k), given.view, given.like.dtype.itemsize)
        return tables

    def header(self, tables: Sequence[int], words: _Words) -> dict[str, int]:
        """The words for the programs of a loop. The answer of its test is in the scratch memory."""
        names = ("once", "body", "test")
        found: dict[str, int] = {}
        for name, program, table in zip(names, self.programs, tables, strict=False):
            found |= {name: program.address, f"{name}_table": table}
        if len(self.parts) == 2:
            found["answer"] = words.room(1)
            for slot in _slots(self.parts[1:], tables[2:], "output", 0):
                words.add("local", slot, found["answer"])
        return found

    def inputs(self, tables: Sequence[int], k: int) -> list[int]:
        """Where in the tables an input's address is."""
        return [place for node, number in self.number.items() if number == k for place in self._reading(tables, node)]

    def outputs(self, tables: Sequence[int], number: int) -> list[int]:
        """Where in its table the address of an output of the first graph is."""
        return _slots(self.parts[:1], tables[1:2], "output", number)

    def _reading(self, tables: Sequence[int], node: int) -> list[int]:
        found: list[int] = []
        for program, table in zip(self.programs, tables, strict=True):
            if node in program.inputs:
                found += _slots([program], [table], "input", list(program.inputs).index(node))
        return found


def _slots(programs: Sequence[Inner], tables: Sequence[int], role: str, number: int) -> list[int]:
    """Where in the tables the addresses of an input or output are."""
    pairs = zip(programs, tables, strict=True)
    return [table + WORD * k for program, table in pairs for k in program.places(role, number)]


def _once(builder: Builder, outputs: Sequence[int], varying: set[int]) -> list[int]:
    """What the outputs need that does not depend on `varying` inputs; of views, what they are views of."""
    depends = set(varying)
    found: set[int] = set()

    def ask(node: int) -> None:
        while builder.hop(node).name in VIEWS and len(builder.args(node)) == 1:
            (node,) = builder.args(node)
        if builder.hop(node).name != "input" and node not in builder.constants:
            found.add(node)

    for node in reachable(builder, outputs):
        args = builder.args(node)
        if not depends.isdisjoint(args):
            depends.add(node)
            for a in args:
                if a not in depends:
                    ask(a)
    for node in outputs:
        if node not in depends:
            ask(node)
    return sorted(found)


class _Words:
    """The words of a loop or branch in the making. Places are relative to the step's scratch memory."""

    def __init__(self) -> None:
        self.size = 0
        self.lists: dict[str, list[tuple[int, ...]]] = {name: [] for name in _LISTS}

    def add(self, name: str, *words: int) -> None:
        """An entry of a list."""
        assert len(words) == len(_LISTS[name])
        self.lists[name].append(words)

    def room(self, size: int) -> int:
        """Memory in the scratch."""
        found = self.size
        self.size += -(-size // ALIGNMENT) * ALIGNMENT
        return found

    def table(self, program: Inner) -> int:
        """Room for the slots and temporary values of a program, with what is known of them."""
        table = self.room(WORD * len(program.buffers))
        arena = self.room(program.layout.size)
        for k, buffer in enumerate(program.buffers):
            if buffer.data is not None:
                self.add("fixed", table + WORD * k, address_of(buffer.data))
        for k, offset in program.layout.offsets.items():
            self.add("local", table + WORD * k, arena + offset)
        return table

    def outer(self, places: Sequence[int], view: View, size: int, row: int = 0) -> None:
        """Have words be the address of what a view shows, elements of a size; of the row where steps begin."""
        for place in places:
            self.add("outer", place, view.buffer, view.offset * size, row)

    def step(
        self, fuser: Fuser, source: Source, header: dict[str, int], flops: int, note: str, programs: Sequence[Inner],
        times: int = 1, parts: Sequence[tuple[int, int]] = (),
    ) -> tuple[Step, int]:  # fmt: skip
        """The step, and the buffer of its scratch memory; parts are steps that are made side by side: from, to."""
        size = max(1, self.size)
        scratch = fuser.temporary(aval((size * max(1, len(parts)),), np.uint8))
        words = {"run": runner()[0].address, "scratch": scratch} | header
        made = [
            self._params(words | {"limit": stop - first, "part": number * size}, first)
            for number, (first, stop) in enumerate(parts)
        ]
        return Step(source, self._params(words), flops, note=note, programs=programs, times=times, parts=made), scratch

    def _params(self, header: dict[str, int], first: int = 0) -> list[int]:
        """All words, where rows begin with the first one that is meant."""
        rows = [(place, slot, offset + first * row, row) for place, slot, offset, row in self.lists["outer"]]
        entries: list[int] = []
        start = len(_HEADER) + 2 * len(_LISTS)
        lists: list[int] = []
        for found in (self.lists | {"outer": rows}).values():
            lists += [len(found), start + len(entries)]
            entries += [word for entry in found for word in entry]
        return [*[header.get(name, 0) for name in _HEADER], *lists, *entries]


# -- steps -------------------------------------------------------------------------------------------------------------

_HEADER = (
    "run", "scratch", "part", "limit", "reverse", "slot", "offset", "once", "once_table", "test", "test_table",
    "answer", "body", "body_table",
)  # fmt: skip
"""The words at the beginning: the runner of programs; the scratch memory, and where in it a part of the loop has its
own; how many steps; where their number, or that of a branch, is; the programs, each with the place of its table of
slots."""

_LISTS = {
    "fixed": ("place", "word"),
    "local": ("place", "target"),
    "outer": ("place", "slot", "offset", "row"),
    "start": ("slot", "place", "bytes"),
    "advance": ("place", "stride"),
    "swap": ("place", "other"),
    "mirror": ("place", "source"),
    "copy": ("source", "slot", "offset", "bytes"),
    "zero": ("slot", "offset", "row"),
    "count": ("slot", "offset"),
    "branch": ("program", "table"),
}  # fmt: skip
"""Lists behind them, by their number of entries and the index of the first, and what an entry says:

before the loop, words, addresses of scratch memory and of the outer program's memory that are written to places, and
what is copied to where a place says;
after each step, words that grow, change places, follow others;
at the end, what is copied, which rows are zero because no step was made for them, where the number of steps goes.
"""


class _Writer(Code):
    """Text of steps that read such words."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = self.at(self.slot(_HEADER.index("scratch")), self.header("part"))

    def header(self, name: str, kind: str = "i64") -> str:
        """A word at the beginning."""
        return self.word(_HEADER.index(name), kind)

    @contextlib.contextmanager
    def entries(self, name: str) -> Iterator[list[str]]:
        """A loop over a list, with the words of an entry."""
        index = len(_HEADER) + 2 * list(_LISTS).index(name)
        count, start = self.word(index), self.word(index + 1)
        with self.loop("0", count) as loop:
            first = self.add(start, self.mul(loop.index, len(_LISTS[name])))
            yield [self.at_word("%params", self.add(first, k)) for k in range(len(_LISTS[name]))]

    def at_word(self, base: str, index: str, kind: str = "i64") -> str:
        """A word of a table."""
        return self.new(f"load {kind}, ptr {self.new(f'getelementptr i64, ptr {base}, i64 {index}')}")

    def place(self, offset: str) -> str:
        """An address in the scratch memory."""
        return self.at(self.scratch, offset)

    def in_slot(self, slot: str, offset: str) -> str:
        """An address in the outer program's memory."""
        return self.at(self.at_word("%slots", slot, "ptr"), offset)

    def run(self, program: str, table: str) -> None:
        """Run a program; leave if it fails."""
        runner = self.header("run", "ptr")
        bad = self.new(f"call i32 {runner}(ptr {self.place(table)}, ptr {program})")
        self.leave_if(self.new(f"icmp ne i32 {bad}, 0"))

    def run_named(self, name: str) -> None:
        """Run one of the programs at the beginning of the words."""
        self.run(self.header(name, "ptr"), self.header(f"{name}_table"))

    def copy(self, target: str, source: str, size: str) -> None:
        """Copy some bytes."""
        self.line(f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, i1 false)")

    def tables(self, first: str) -> None:
        """Fill the tables of slots; rows begin at a step."""
        with self.entries("fixed") as (place, word):
            self.line(f"store i64 {word}, ptr {self.place(place)}")
        with self.entries("local") as (place, target):
            self.line(f"store ptr {self.place(target)}, ptr {self.place(place)}")
        with self.entries("outer") as (place, slot, offset, row):
            address = self.in_slot(slot, self.add(offset, self.mul(row, first)))
            self.line(f"store ptr {address}, ptr {self.place(place)}")
        with self.entries("start") as (slot, place, size):
            target = self.new(f"load ptr, ptr {self.place(place)}")
            self.copy(target, self.in_slot(slot, "0"), size)

    def move(self) -> None:
        """What moves after a step."""
        with self.entries("advance") as (place, stride):
            here = self.place(place)
            before = self.new(f"load i64, ptr {here}")
            self.line(f"store i64 {self.add(before, stride)}, ptr {here}")
        with self.entries("swap") as (one, other):
            here, there = self.place(one), self.place(other)
            values = self.new(f"load i64, ptr {here}"), self.new(f"load i64, ptr {there}")
            self.line(f"store i64 {values[1]}, ptr {here}")
            self.line(f"store i64 {values[0]}, ptr {there}")
        with self.entries("mirror") as (place, source):
            value = self.new(f"load i64, ptr {self.place(source)}")
            self.line(f"store i64 {value}, ptr {self.place(place)}")

    def finish(self, made: str, limit: str) -> None:
        """What is done when all steps were made."""
        with self.entries("copy") as (source, slot, offset, size):
            found = self.new(f"load ptr, ptr {self.place(source)}")
            self.copy(self.in_slot(slot, offset), found, size)
        left = self.new(f"sub i64 {limit}, {made}")
        with self.entries("zero") as (slot, offset, row):
            target = self.in_slot(slot, self.add(offset, self.mul(row, made)))
            size = self.mul(row, left)
            self.line(f"call void @llvm.memset.p0.i64(ptr {target}, i8 0, i64 {size}, i1 false)")
        with self.entries("count") as (slot, offset):
            self.line(f"store i64 {made}, ptr {self.in_slot(slot, offset)}")

    def step(self) -> Source:
        """The finished step."""
        return self.source(
            "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
            "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
        )


@functools.cache
def _loop(counted: bool) -> Source:
    """A loop of a number of steps, which with `counted` is a value of the program."""
    code = _Writer()
    limit = code.header("limit")
    steps = limit
    if counted:
        steps = code.new(f"load i64, ptr {code.in_slot(code.header('slot'), code.header('offset'))}")
    code.tables(code.mul(code.header("reverse"), code.new(f"sub i64 {steps}, 1")))
    code.run_named("once")
    with code.loop("0", steps):
        code.run_named("body")
        code.move()
    code.finish(steps, limit)
    return code.step()


@functools.cache
def _while() -> Source:
    """Steps as long as a test says so. It fails if there are too many."""
    code = _Writer()
    limit = code.header("limit")
    code.tables("0")
    code.run_named("once")
    for line in ("br label %start", "start:", "br label %test", "test:"):
        code.line(line)
    code.line("%made = phi i64 [0, %start], [%next, %again]")
    code.run_named("test")
    answer = code.new(f"load i8, ptr {code.place(code.header('answer'))}")
    code.line(f"br i1 {code.new(f'icmp ne i8 {answer}, 0')}, label %more, label %end")
    code.line("more:")
    code.leave_if(code.new(f"icmp sge i64 %made, {limit}"))
    code.run_named("body")
    code.move()
    for line in ("br label %again", "again:", "%next = add i64 %made, 1", "br label %test", "end:"):
        code.line(line)
    code.finish("%made", limit)
    return code.step()


@functools.cache
def _branch(kind: str) -> Source:
    """One of several programs, chosen by a number of a kind."""
    code = _Writer()
    stored = "i8" if kind == "i1" else kind
    number = code.new(f"load {stored}, ptr {code.in_slot(code.header('slot'), code.header('offset'))}")
    if stored != "i64":
        number = code.new(f"sext {stored} {number} to i64")
    below = code.new(f"icmp slt i64 {number}, 0")
    number = code.min(code.new(f"select i1 {below}, i64 0, i64 {number}"), code.header("limit"))
    code.tables("0")
    start = code.word(len(_HEADER) + 2 * list(_LISTS).index("branch") + 1)
    first = code.add(start, code.mul(number, 2))
    code.run(code.at_word("%params", first, "ptr"), code.at_word("%params", code.add(first, 1)))
    return code.step()


# -- loops -------------------------------------------------------------------------------------------------------------


class _Placed:
    """A `scan` or `while_loop` that is given its place in a program."""

    def __init__(self, fuser: Fuser, node: int) -> None:
        self.fuser = fuser
        self.node = node
        self.loop = loop = Loop(fuser.builder.params(node))
        avals = loop.body.builder.avals
        self.inputs = [avals[n] for n in loop.body.inputs]
        self.outputs = [avals[n] for n in loop.body.outputs]
        self.items = fuser.items_of(node)
        self.need = need = Need(loop, list(self.items))
        self.count, self.consts, self.starts, self.xs = loop.split(fuser.builder.args(node))
        self.first_x = loop.consts + loop.carries
        self.operands = [*self.count, *[self.consts[k] for k in need.fixed], *[self.starts[k] for k in need.carries]]
        self.operands += [self.xs[k - self.first_x] for k in need.rows]
        _check(fuser, self.operands)
        if any(not self.outputs[k].size or self.outputs[k].dtype not in KINDS for k in need.stacked):
            raise NotNativeError
        self.words = _Words()
        self.results: dict[int, View] = {}
        self.reads: list[View] = []
        self.writes: list[int] = []
        self.level = max(_levels(fuser, self.operands), default=0)

    def place(self) -> None:
        """Do it."""
        if not self._as_one_function():
            self._as_programs()

    def _as_one_function(self) -> bool:
        """Whether the loop is small enough for that; where steps do not need each other, threads are better."""
        fuser, loop, need = self.fuser, self.loop, self.need
        if not need.carries:
            return False
        rows = [k for k in self.items if k >= loop.carries and (need.cond is None or k != loop.carries)]
        zeroed = {k: need.counted and self._shows_all_rows(k) for k in rows}
        constants = {k: c for k in need.fixed if (c := _known(fuser.builder, self.consts[k])) is not None}
        found = written(loop, need, constants, list(self.items), zeroed)
        if found is None:
            return False
        views: dict[tuple[str, int], View] = {}

        def view(name: str, k: int) -> View:
            if (name, k) not in views:
                if name == "result":
                    views[name, k] = self._home(k)
                else:
                    operands = {"const": self.consts, "start": self.starts, "count": self.count}
                    node = self.xs[k - self.first_x] if name == "row" else operands[name][k]
                    views[name, k] = self._in_order(node, rows=name == "row")
                    self.reads.append(views[name, k])
            return views[name, k]

        words = []
        for param in found.params:
            if isinstance(param, int):
                words.append(param)
                continue
            what, name, k = param
            seen = view(name, k)
            size = fuser.buffers[seen.buffer].aval.dtype.itemsize
            words.append({"slot": seen.buffer, "offset": seen.offset * size, "row": (*seen.strides, 0)[0] * size}[what])
        flops = max(1, LONGEST if loop.endless else loop.length) * found.flops
        note = f"{self._told()}, as one function"
        step = Step(found.source, words, flops, note=note, lowerings=found.lowerings)
        fuser.call(self.node, step, self.reads, self.writes, self.results, self.level)
        return True

    def _in_order(self, node: int, rows: bool) -> View:
        """Where a value is, in C order; of rows each one by itself."""
        fuser = self.fuser
        view = fuser.store(node)
        self.level = max(self.level, fuser.avail[node])
        first = int(rows)
        pairs = zip(view.shape[first:], view.strides[first:], c_strides(view.shape)[first:], strict=True)
        if all(n == 1 or stride == own for n, stride, own in pairs):
            return view
        like = fuser.builder.avals[node]
        own = View(fuser.temporary(like), like.shape, c_strides(like.shape))
        self.level = max(self.level, fuser.write(node, own))
        return own

    def _told(self) -> str:
        """What the loop is, in words."""
        name = "scan" if self.need.cond is None else "while_loop"
        return f"{name} of {'any number of' if self.loop.endless else self.loop.length} steps"

    def _as_programs(self) -> None:
        """With programs for the body and the test."""
        fuser, loop, words, need = self.fuser, self.loop, self.words, self.need
        given: list[_Given | None] = [None] * len(self.inputs)
        for k in need.fixed:
            given[k] = _constant(fuser, self.consts[k], again=loop.length != 1)
        for k in need.carries:
            given[loop.consts + k] = _Given(None, self.inputs[loop.consts + k])
        for k in need.rows:
            view = fuser.store(self.xs[k - self.first_x])
            given[k] = _Given(View(view.buffer, view.shape[1:], view.strides[1:], view.offset), self.inputs[k])
        self.bodies = bodies = _Bodies(fuser, need.graphs(loop), given, range(loop.consts, len(given)))
        self.reads += bodies.views
        self.tables = bodies.tables(words)
        for k in need.rows:
            self._read_rows(k)
        for number, k in enumerate(need.wanted):
            if k < loop.carries:
                self._carry(number, k)
            else:
                self._write_rows(number, k)
        header = bodies.header(self.tables, words)
        header |= {"limit": LONGEST if loop.endless else loop.length, "reverse": int(loop.reverse)}
        if loop.counted:
            count = fuser.store(self.count[0])
            header |= {"slot": count.buffer, "offset": count.offset * WORD}
            self.reads.append(count)
        if need.cond is not None and loop.carries in self.items:
            words.add("count", self._home(loop.carries).buffer, 0)
        source = _while() if need.cond is not None else _loop(loop.counted)
        times = max(1, header["limit"])
        flops = times * sum(program.flops for program in bodies.parts)
        note = f"{self._told()}, each of {_told(bodies.parts)}"
        parts = self._parts(flops)
        step, scratch = words.step(fuser, source, header, flops, note, bodies.programs, times, parts)
        level = max([self.level, *_levels(fuser, self.operands), *[one.level for one in given if one is not None]])
        fuser.call(self.node, step, self.reads, [*self.writes, scratch], self.results, level)

    def _parts(self, flops: int) -> list[tuple[int, int]]:
        """Steps that threads can make side by side, if none needs what another one computes."""
        loop, work = self.loop, flops / _FLOPS
        if self.need.carries or self.need.counted or loop.reverse or work < LEAST:
            return []
        count = min(MOST, processors(), loop.length, int(work / PART), _SCRATCH // max(1, self.words.size))
        return list(pairwise(k * loop.length // count for k in range(count + 1))) if count > 1 else []

    def _home(self, number: int) -> View:
        """Memory for a result."""
        home = self.results[number] = self.fuser.home(self.items[number])
        self.writes.append(home.buffer)
        return home

    def _advance(self, places: Sequence[int], row: int) -> None:
        for place in places:
            self.words.add("advance", place, -row if self.loop.reverse else row)

    def _zero(self, number: int, rows: View, size: int) -> None:
        """Have rows of a result be zero that no step was made for, unless nobody sees them."""
        if self._shows_all_rows(number):
            offset = rows.offset * self.fuser.builder.avals[self.items[number]].dtype.itemsize
            self.words.add("zero", rows.buffer, offset, size)

    def _shows_all_rows(self, number: int) -> bool:
        """Whether anybody but loops of as many steps reads a result that has a row for each step."""
        builder, item = self.fuser.builder, self.items[number]
        counts = self.count or [self.items.get(self.loop.carries)]

        def skips(user: int) -> bool:
            inner = builder.hop(user)
            if not isinstance(inner, Scan) or not dict(builder.params(user))["counted"]:
                return False
            return builder.args(user)[0] == counts[0] and builder.args(user)[1:].count(item) > 0

        if item not in self.fuser.outputs and all(map(skips, self.fuser.users[item])):
            return False
        like = builder.avals[item]
        if like.size * like.dtype.itemsize > _MOST_ZEROS:
            raise NotNativeError  # NumPy's zeros cost nothing as long as nobody looks at them
        return True

    def _read_rows(self, k: int) -> None:
        """An array whose rows are read."""
        view, size = self.fuser.store(self.xs[k - self.first_x]), self.inputs[k].dtype.itemsize
        places = self.bodies.inputs(self.tables, k)
        self.words.outer(places, view, size, view.strides[0] * size)
        self._advance(places, view.strides[0] * size)

    def _write_rows(self, number: int, k: int) -> None:
        """An array whose rows are written."""
        like, home = self.outputs[k], self._home(k)
        row = like.size * like.dtype.itemsize
        places = self.bodies.outputs(self.tables, number)
        self.words.outer(places, home, like.dtype.itemsize, row)
        self._advance(places, row)
        if self.need.counted:
            self._zero(k, home, row)

    def _carry(self, number: int, k: int) -> None:
        """A carry: where a step reads it (now) and where it writes it (then)."""
        fuser, loop, words = self.fuser, self.loop, self.words
        like = self.outputs[k]
        size, strides = like.dtype.itemsize, c_strides(like.shape)
        row = like.size * size
        now, *same_now = [*self.bodies.inputs(self.tables, loop.consts + k)] or [words.room(WORD)]
        then, *same_then = self.bodies.outputs(self.tables, number)
        if k in self.need.before:
            # Rows of one array. There is one row more than steps, for the last value.
            buffer = fuser.temporary(aval((loop.length + 1, *like.shape), like.dtype))
            self.writes.append(buffer)
            rows = [View(buffer, like.shape, strides, t * like.size) for t in (0, 1)]
            moved = row if loop.reverse else 0
            self.results[self.need.shown + k] = View(
                buffer, (loop.length, *like.shape), (like.size, *strides), rows[loop.reverse].offset
            )
            words.outer([now, *same_now], rows[loop.reverse], size, moved)
            words.outer([then, *same_then], rows[not loop.reverse], size, moved)
            self._advance((now, then), row)
            if self.need.counted:
                self._zero(self.need.shown + k, View(buffer, like.shape, strides, moved // size), row)
            first = View(buffer, like.shape, strides, loop.length * like.size if loop.reverse else 0)
            end = View(buffer, like.shape, strides, 0 if loop.reverse else loop.length * like.size)
            if self.need.counted and loop.reverse:
                first = View(fuser.temporary(like), like.shape, strides)
                self.writes.append(first.buffer)
                words.add("start", first.buffer, now, row)
        else:
            pair = [View(fuser.temporary(like), like.shape, strides) for _ in range(2)]
            self.writes += [view.buffer for view in pair]
            words.outer([now, *same_now], pair[0], size)
            words.outer([then, *same_then], pair[1], size)
            words.add("swap", now, then)
            first, end = pair[0], pair[loop.length % 2]
        for place in same_now:
            words.add("mirror", place, now)
        for place in same_then:
            words.add("mirror", place, then)
        self.level = max(self.level, fuser.write(self.starts[k], first))
        if k in self.items:
            if self.need.counted:
                end = self._home(k)
                words.add("copy", now, end.buffer, 0, row)
            self.results[k] = end


def _check(fuser: Fuser, nodes: Sequence[int]) -> None:
    """See that native code can read some values."""
    for node in nodes:
        like = fuser.builder.avals[node]
        if not fuser.is_readable(node) or like.dtype not in KINDS or not like.size:
            raise NotNativeError


def _levels(fuser: Fuser, nodes: Sequence[int]) -> list[int]:
    """From when on the values in memory are there."""
    return [fuser.avail[node] for node in nodes if node in fuser.views]


def _known(builder: Builder, node: int) -> Any:
    """The number that a value is known to be, or None."""
    constant = builder.constants.get(node)
    return None if constant is None or constant.shape else constant.item()


def _constant(fuser: Fuser, node: int, again: bool = False) -> _Given:
    """An operand that is the same in all steps: in memory, or a number that is known.

    A transposed matrix that is read `again` and again is copied once: products read what lies in order faster.
    """
    like = fuser.builder.avals[node]
    constant = _known(fuser.builder, node)
    if constant is not None:
        return _Given(None, like, constant)
    view = fuser.store(node)
    if again and len(view.shape) == 2 and view.strides[0] == 1 < view.strides[1]:
        own = View(fuser.temporary(like), like.shape, c_strides(like.shape))
        return _Given(own, like, level=fuser.write(node, own))
    return _Given(view, like)


def _told(programs: Sequence[Inner]) -> str:
    count = sum(len(program.schedule.steps) for program in programs)
    return f"{count} steps" if count != 1 else "one step"


# -- branches ----------------------------------------------------------------------------------------------------------


def _place_switch(fuser: Fuser, node: int) -> None:
    """`cond` and `switch`."""
    builder = fuser.builder
    branches: tuple[Graph, ...] = dict(builder.params(node))["branches"]
    chooser, *operands = builder.args(node)
    items = fuser.items_of(node)
    wanted = sorted(items)
    used = sorted(set().union(*[dependencies(branch)[k] for branch in branches for k in wanted]))
    needed = [chooser, *[operands[k] for k in used]]
    _check(fuser, needed)
    if any(not like.size or like.dtype not in KINDS for like in (builder.avals[n] for n in items.values())):
        raise NotNativeError
    given: list[_Given | None] = [None] * len(operands)
    for k in used:
        given[k] = _constant(fuser, operands[k])
    made = [_Bodies(fuser, [(branch, wanted)], given) for branch in branches]
    words = _Words()
    results = {k: fuser.home(items[k]) for k in wanted}
    for bodies in made:
        tables = bodies.tables(words)
        for number, k in enumerate(wanted):
            words.outer(bodies.outputs(tables, number), results[k], 1)
        words.add("branch", bodies.parts[0].address, tables[1])
    chosen = fuser.store(chooser)
    like = builder.avals[chooser]
    header = {"limit": len(branches) - 1, "slot": chosen.buffer, "offset": chosen.offset * like.dtype.itemsize}
    programs = [program for bodies in made for program in bodies.programs]
    note = f"one of {len(branches)} branches, of {_told(programs)} together"
    flops = max(program.flops for program in programs)
    step, scratch = words.step(fuser, _branch(KINDS[like.dtype]), header, flops, note, programs)
    reads = [chosen, *[view for bodies in made for view in bodies.views]]
    level = max(_levels(fuser, needed), default=0)
    fuser.call(node, step, reads, [*[view.buffer for view in results.values()], scratch], results, level)
