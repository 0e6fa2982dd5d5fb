"""Loops whose values are all small, as one function: every element is a value in a register.

The body of such a loop does so little that calling its kernels and moving addresses between them is most of the work.
So its hops are written out element by element into one function, with the loop around them, and loops within loops too:
LLVM sees the whole. Arrays are arrays of numbers of values here, so that whatever moves elements (slices, transposes,
joining) is computed by NumPy while the text is written.

What such a function reads and writes of the program's memory lies in C order; its parameters say where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Several
from hopgrad.differentiate import transplant
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import Elementwise, Hop, Reduction
from hopgrad.hops.control import Loop, Scan, While, dependencies, needed_carries
from hopgrad.hops.shape import Operand, selection
from hopgrad.lower import scalar
from hopgrad.lower.expand import expanded
from hopgrad.lower.fuse import VIEWS, fits
from hopgrad.lower.machine import Source
from hopgrad.lower.scalar import KINDS, PLAIN_NUMBERS, SIZES, Code, Value, bits
from hopgrad.simplify import simplify

LONGEST = 10**8
"""How many steps a loop without a bound makes natively: then it is left to Python, where it can be interrupted."""

MOST = 16
"""How many elements an array has at most."""

_MOST_CALLS = 4
"""The same for arguments of functions of the math library: of more, vectors are faster."""

_LONGEST_TEXT = 4000
"""How many lines a function has at most."""

Numbers = np.ndarray[Any, Any]
"""An array of the numbers of values."""


class NotStraightError(Exception):
    """Something is too large, or has no such form."""


def joined(
    graphs: Sequence[tuple[Graph, Sequence[int]]], given: Sequence[tuple[Aval, Any] | None]
) -> tuple[Builder, list[int], dict[int, int]]:
    """Graphs over the same inputs, simplified in one builder: (it, their outputs, which input an id is).

    Args:
        graphs: With the numbers of those of their outputs that are wanted.
        given: What the inputs are, with the number that one is known to be or None; None for one that is not needed.
    """
    builder = Builder()
    inputs = [
        None if g is None else builder.input(g[0], "x").id if g[1] is None else builder.constant(g[1], g[0].dtype).id
        for g in given
    ]
    ends: list[int] = []
    for graph, wanted in graphs:
        known = {node: here for node, here in zip(graph.inputs, inputs, strict=True) if here is not None}
        ends += transplant(graph.builder, [graph.outputs[k] for k in wanted], builder, known)
    free = {node: k for k, node in enumerate(inputs) if node is not None and node not in builder.constants}
    wide, moved, kept = expanded(builder, ends, frozenset(free))
    made = simplify(wide, moved, frozenset(kept.values()))
    numbers = {made.inputs[kept[node]]: k for node, k in free.items() if kept.get(node) in made.inputs}
    return made.builder, made.outputs, numbers


class Need:
    """What of a loop has to be computed for some of its results, and from which inputs of its body."""

    def __init__(self, loop: Loop, items: Sequence[int]) -> None:
        needs = dependencies(loop.body)
        self.cond: Graph | None = loop.given.get("cond")
        tested = dependencies(self.cond)[0] if self.cond is not None else set()
        # A while loop counts its steps, between the carries and their values before each step.
        self.shown = loop.carries + 1 if self.cond is not None else len(loop.body.outputs)
        self.stacked = [k for k in items if loop.carries <= k < self.shown] if self.cond is None else []
        """Results of steps."""
        self.before = {k - self.shown for k in items if k >= self.shown}
        """Carries whose values before all steps are wanted."""
        last = [k for k in items if k < loop.carries]
        asked = tested.union(*[needs[k] for k in self.stacked], [loop.consts + k for k in (*self.before, *last)])
        self.carries = needed_carries(needs[: loop.carries], loop.consts, asked)
        self.wanted = [*self.carries, *self.stacked]
        used = sorted(tested.union(*[needs[k] for k in self.wanted]))
        self.fixed = [k for k in used if k < loop.consts]
        self.rows = [k for k in used if k >= loop.consts + loop.carries]
        self.counted = self.cond is not None or loop.counted
        """Whether only the run tells how many steps are made."""

    def graphs(self, loop: Loop) -> list[tuple[Graph, Sequence[int]]]:
        """The body and the test, with what is wanted of them."""
        return [(loop.body, self.wanted), *([(self.cond, [0])] if self.cond is not None else [])]


@dataclass
class Straight:
    """A loop as one function.

    `params` say what its words are: a number, or of something in memory, by name and number, "slot", "offset" (in
    bytes) or "row" (the bytes between two rows).
    """

    source: Source
    params: list[tuple[str, str, int] | int]
    flops: int
    """Of one step, those of loops within once."""
    lowerings: list[str]
    """What is computed, to read."""


def written(
    loop: Loop, need: Need, constants: Mapping[int, Any], items: Sequence[int], zeroed: Mapping[int, bool]
) -> Straight | None:
    """The function for some results of a loop, or None if it is not as small as that.

    Args:
        loop: The loop.
        need: What of it.
        constants: Inputs of the body that are known numbers.
        items: The results that are wanted, by number.
        zeroed: For those of them that have a row for each step, whether rows without a step have to be zero.
    """
    try:
        return _Outermost(loop, need, constants, items, zeroed).written()
    except NotStraightError:
        return None


@dataclass
class _Scope:
    """The values of a graph as far as they are there."""

    builder: Builder
    known: dict[int, Any]
    """Numbers of values by id; of a hop with several results, a dict of those by number."""


@dataclass
class _Prepared:
    """A loop's body and test, ready to be written."""

    builder: Builder
    outputs: list[int]
    test: int | None
    numbers: dict[int, int]
    """Which input an id is."""
    fixed: list[int] = field(default_factory=list)
    """What does not change from step to step, in order."""


def _prepared(loop: Loop, need: Need, constants: Mapping[int, Any]) -> _Prepared:
    avals = loop.body.builder.avals
    used = {*need.fixed, *[loop.consts + k for k in need.carries], *need.rows}
    given = [(avals[n], constants.get(k)) if k in used else None for k, n in enumerate(loop.body.inputs)]
    builder, ends, numbers = joined(need.graphs(loop), given)
    test = ends[-1] if need.cond is not None else None
    outputs = ends[:-1] if need.cond is not None else ends
    varying = {node for node, k in numbers.items() if k >= loop.consts}
    fixed = []
    for node in reachable(builder, ends):
        if not varying.isdisjoint(builder.args(node)):
            varying.add(node)
        elif node not in varying and node not in numbers:
            fixed.append(node)
    return _Prepared(builder, outputs, test, numbers, fixed)


class _Writer(Code):
    """Writes hops over values in registers."""

    def __init__(self) -> None:
        super().__init__()
        self.entry: list[str] = []
        self.values: list[Value] = []
        self.memo: dict[Any, int] = {}
        """Numbers of what was computed and is there at the current place."""
        self.numbers: dict[tuple[int, str], int] = {}
        """Those of numbers that are known."""
        self.params: list[tuple[str, str, int] | int] = []
        self.flops = 0
        self.lowerings: list[str] = []

    # -- values --------------------------------------------------------------------------------------------------

    def keep(self, value: Value) -> int:
        """The number of a new value."""
        self.values.append(value)
        return len(self.values) - 1

    def param(self, what: tuple[str, str, int] | int) -> str:
        """A word, loaded at the beginning."""
        name, at = self.fresh("p"), self.fresh("at")
        self.entry.append(f"  {at} = getelementptr i64, ptr %params, i64 {len(self.params)}")
        self.entry.append(f"  {name} = load i64, ptr {at}")
        self.params.append(what)
        return name

    def number(self, value: float, kind: str) -> int:
        """A number that is known: part of the text if it is a plain one, else a parameter."""
        key = bits(value) if kind[0] != "i" else int(value), kind
        if key in self.numbers:
            return self.numbers[key]
        plain = kind == "i1" or (value in PLAIN_NUMBERS and (value != 0 or math.copysign(1.0, value) > 0))
        if plain:
            made = scalar.constant(value, kind)
        elif kind[0] == "i":
            word = self.param(int(value))
            made = Value(word, kind) if kind == "i64" else self._first(f"trunc i64 {word} to {kind}", kind)
        else:
            made = self._first(f"bitcast i64 {self.param(bits(value))} to double", "double")
            made = self._first(f"fptrunc double {made.name} to float", kind) if kind == "float" else made
        self.numbers[key] = self.keep(made)
        return self.numbers[key]

    def _first(self, text: str, kind: str) -> Value:
        """An instruction at the beginning."""
        name = self.fresh("n")
        self.entry.append(f"  {name} = {text}")
        return Value(name, kind)

    def computed(self, lowering: str, operands: Sequence[int], kind: str, params: tuple[tuple[str, Any], ...]) -> int:
        """The number of a lowering's value for some operands."""
        key = (lowering, tuple(operands), kind, params)
        found = self.memo.get(key)
        if found is None:
            named = dict(params)
            if "exponent" in named and named["exponent"] not in scalar.FIXED_POWERS:
                named["exponent"] = self.values[self.number(named["exponent"], kind)]
            made = scalar.write(self, lowering, [self.values[o] for o in operands], named, kind)
            found = self.memo[key] = self.keep(made)
            self.flops += 1
        return found

    def converted(self, operand: int, kind: str) -> int:
        """A value as another kind."""
        key = ("convert", operand, kind)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self.keep(scalar.convert(self, self.values[operand], kind))
        return found

    # -- hops ----------------------------------------------------------------------------------------------------

    def compute(self, scope: _Scope, node: int) -> None:
        """Write a node's value, given those of its operands."""
        if len(self.lines) > _LONGEST_TEXT:
            raise NotStraightError
        builder = scope.builder
        like, hop, params = builder.avals[node], builder.hop(node), dict(builder.params(node))
        args = [scope.known[a] for a in builder.args(node)]
        if isinstance(like, Several):
            scope.known[node] = self._loop_inside(scope, node, hop)
            return
        if hop.name == "item":
            scope.known[node] = args[0][params["index"]]
            return
        kind = _kind(like)
        constant = builder.constants.get(node)
        found: Iterable[int]
        if constant is not None:
            found = [self.number(v.item(), kind) for v in np.asarray(constant).flat]
        elif hop.name == "convert":
            found = [self.converted(a, kind) for a in args[0].flat]
        elif isinstance(hop, Elementwise) and hop.lowering:
            found = self._elementwise(hop, [builder.avals[a].dtype for a in builder.args(node)], args, like,
                                      builder.params(node))  # fmt: skip
        elif isinstance(hop, Reduction) and hop.lowering in scalar.REDUCERS:
            found = self._reduced(hop, params, args[0], builder.avals[builder.args(node)[0]], like)
        elif hop.name == "matmul":
            found = self._product(args, kind)
        elif hop.name == "scatter" and len(args) == 1:
            whole = np.full(like.shape, self.number(0.0, kind))
            whole[selection(params["items"])] = args[0]
            found = whole.flat
        elif hop.name in _MOVES and not any(isinstance(item, Operand) for item in params.get("items", ())):
            found = hop.function(*args, **params).flat
        else:
            raise NotStraightError
        scope.known[node] = np.fromiter(found, np.intp, like.size).reshape(like.shape)

    def _elementwise(
        self, hop: Elementwise, dtypes: Sequence[np.dtype[Any]], args: Sequence[Numbers], like: Aval, params: Any
    ) -> list[int]:
        assert hop.lowering is not None
        calls = scalar.cost(hop.lowering) >= scalar.FUNCTION
        if not fits(hop, dtypes) or (calls and like.size > _MOST_CALLS):
            raise NotStraightError
        self.lowerings.append(hop.lowering)
        every = np.broadcast_arrays(*args)
        return [
            self.computed(hop.lowering, one, _kind(like), params) for one in zip(*[a.flat for a in every], strict=True)
        ]

    def _reduced(self, hop: Reduction, params: dict[str, Any], x: Numbers, like: Aval, whole: Aval) -> list[int]:
        way = hop.lowering
        assert way is not None
        kind = _kind(whole)
        if way in ("any", "all"):
            x = np.array([self.converted(v, kind) for v in x.flat], np.intp).reshape(x.shape)
        elif like.dtype != whole.dtype or like.dtype.kind not in "fi":
            raise NotStraightError
        kept = [k for k in range(x.ndim) if k not in params["axes"]]
        lines = x.transpose([*kept, *params["axes"]]).reshape(whole.size, -1)
        if not lines.shape[1]:
            raise NotStraightError
        return [self._together(line, scalar.REDUCERS[way].lowering, kind) for line in lines]

    def _together(self, line: Numbers, lowering: str, kind: str) -> int:
        total = int(line[0])
        for v in line[1:]:
            total = self.computed(lowering, (total, int(v)), kind, ())
        return total

    def _product(self, args: Sequence[Numbers], kind: str) -> list[int]:
        a, b = args
        if a.ndim != 2 or b.ndim != 2 or not a.shape[1]:
            raise NotStraightError
        found = []
        for row in a:
            for column in b.T:
                terms = [self.computed("a * b", (int(x), int(y)), kind, ()) for x, y in zip(row, column, strict=True)]
                found.append(self._together(np.array(terms, np.intp), "a + b", kind))
        return found

    # -- loops ---------------------------------------------------------------------------------------------------

    def _loop_inside(self, scope: _Scope, node: int, hop: Hop) -> dict[int, Numbers]:
        """A loop among the values of another one: what it makes of its carries, and how many steps it took."""
        if not isinstance(hop, (Scan, While)):
            raise NotStraightError
        builder = scope.builder
        loop = Loop(builder.params(node))
        users = [
            n for n in range(node + 1, len(builder)) if builder.hop(n).name == "item" and builder.args(n) == (node,)
        ]
        items = [dict(builder.params(n))["index"] for n in users]
        need = Need(loop, items)
        count, consts, starts, _ = loop.split(builder.args(node))
        if need.stacked or need.before or need.rows:
            raise NotStraightError
        constants = {
            k: c.item() for k in need.fixed if (c := builder.constants.get(consts[k])) is not None and not c.shape
        }
        ready = _prepared(loop, need, constants)
        inner = _Scope(ready.builder, {n: scope.known[consts[k]] for n, k in ready.numbers.items() if k < loop.consts})
        steps = self.values[int(scope.known[count[0]])].name if loop.counted else None
        ends, made = self.loop(loop, need, ready, inner, {k: scope.known[starts[k]] for k in need.carries}, steps)
        found = {k: ends[k] for k in items if k < loop.carries}
        if need.cond is not None:
            found[loop.carries] = np.array(self.keep(Value(made, "i64")))
        return found

    def loop(
        self, loop: Loop, need: Need, ready: _Prepared, scope: _Scope, starts: Mapping[int, Numbers], steps: str | None,
        begin: Callable[[str, Mapping[int, Numbers]], Mapping[int, Numbers]] | None = None,
        end: Callable[[str, Mapping[int, Numbers]], None] | None = None,
    ) -> tuple[dict[int, Numbers], str]:  # fmt: skip
        """Write a loop: the last values of its carries, and how many steps were made.

        Args:
            loop: The loop.
            need: What of it.
            ready: Its body and test.
            scope: Of the body, with what is the same in all steps.
            starts: The first values of carries.
            steps: How many there are to be, if only the run tells.
            begin: Gets the number of a step and the carries before it; gives the values of rows, by input.
            end: Gets the number of a step and its results, by number.
        """
        body = ready.builder
        for node in ready.fixed:
            self.compute(scope, node)
        avals = [loop.body.builder.avals[n] for n in loop.body.inputs]
        places = {
            k: [self._place(_kind(avals[loop.consts + k]), self.values[int(v)].name) for v in values.flat]
            for k, values in starts.items()
        }
        counter = self._place("i64", "0")
        limit = str(LONGEST if loop.endless else loop.length)
        head, inside, done = self.fresh("L"), self.fresh("L"), self.fresh("L")
        self.line(f"br label {head}")
        self.label(head)
        outer = self.memo
        self.memo = dict(outer)
        made = self.new(f"load i64, ptr {counter}")
        carries = {k: self._loaded(k, avals[loop.consts + k], places) for k in starts}
        inner = _Scope(body, dict(scope.known))
        inner.known |= {n: carries[k - loop.consts] for n, k in ready.numbers.items() if k - loop.consts in carries}
        if ready.test is None:
            more = self.new(f"icmp slt i64 {made}, {steps or limit}")
        else:
            self._graph(inner, [ready.test])
            more = self.values[int(inner.known[ready.test])].name
        self.line(f"br i1 {more}, label {inside}, label {done}")
        self.label(inside)
        if ready.test is not None:
            self.leave_if(f"icmp sge i64 {made}, {limit}")
        rows = begin(made, carries) if begin is not None else {}
        inner.known |= {n: rows[k] for n, k in ready.numbers.items() if k in rows}
        self._graph(inner, ready.outputs)
        results = dict(zip(need.wanted, [inner.known[n] for n in ready.outputs], strict=True))
        if end is not None:
            end(made, results)
        for k, slots in places.items():
            for place, v in zip(slots, results[k].flat, strict=True):
                value = self.values[int(v)]
                self.line(f"store {value.kind} {value.name}, ptr {place}")
        self.line(f"store i64 {self.new(f'add i64 {made}, 1')}, ptr {counter}")
        self.line(f"br label {head}")
        self.label(done)
        self.memo = outer
        return carries, made

    def _place(self, kind: str, first: str) -> str:
        """Where something that changes from step to step stands: LLVM makes registers of that."""
        name = self.fresh("m")
        self.entry.append(f"  {name} = alloca {kind}")
        self.line(f"store {kind} {first}, ptr {name}")
        return name

    def _loaded(self, k: int, like: Aval, places: Mapping[int, Sequence[str]]) -> Numbers:
        kind = _kind(like)
        found = [self.keep(Value(self.new(f"load {kind}, ptr {place}"), kind)) for place in places[k]]
        return np.array(found, np.intp).reshape(like.shape)

    def _graph(self, scope: _Scope, outputs: Sequence[int]) -> None:
        for node in reachable(scope.builder, outputs, known=scope.known):
            if node not in scope.known:
                self.compute(scope, node)

    def leave_if(self, condition: str) -> None:
        """End the program if this holds."""
        leave, stay = self.fresh("L"), self.fresh("L")
        self.line(f"br i1 {self.new(condition)}, label {leave}, label {stay}")
        self.label(leave)
        self.line("ret i32 1")
        self.label(stay)


class _Outermost(_Writer):
    """The loop that is the step, between the program's memory and registers."""

    def __init__(
        self, loop: Loop, need: Need, constants: Mapping[int, Any], items: Sequence[int], zeroed: Mapping[int, bool]
    ) -> None:
        super().__init__()
        self.outer = loop
        self.need = need
        self.constants = constants
        self.items = items
        self.zeroed = zeroed
        self.avals = [loop.body.builder.avals[n] for n in loop.body.inputs]
        self.outs = [loop.body.builder.avals[n] for n in loop.body.outputs]
        self.memory: dict[tuple[str, int], str] = {}
        self.strides: dict[tuple[str, int], str] = {}

    def written(self) -> Straight:
        """The whole."""
        loop, need = self.outer, self.need
        ready = _prepared(loop, need, self.constants)
        consts = {k: self._read("const", k, self.avals[k]) for k in ready.numbers.values() if k < loop.consts}
        scope = _Scope(ready.builder, {n: consts[k] for n, k in ready.numbers.items() if k in consts})
        starts = {k: self._read("start", k, self.avals[loop.consts + k]) for k in need.carries}
        steps = None
        if loop.counted:
            steps = self.new(f"load i64, ptr {self._address('count', 0)}")
        total = steps or str(loop.length)

        def row(made: str) -> str:
            return self.new(f"sub i64 {self.new(f'sub i64 {total}, 1')}, {made}") if loop.reverse else made

        def begin(made: str, carries: Mapping[int, Numbers]) -> Mapping[int, Numbers]:
            here = row(made)
            for k in sorted(need.before):
                self._write("result", need.shown + k, carries[k], here)
            return {k: self._read("row", k, self.avals[k], here) for k in need.rows if k in ready.numbers.values()}

        def end(made: str, results: Mapping[int, Numbers]) -> None:
            here = row(made)
            for k in need.stacked:
                self._write("result", k, results[k], here)

        ends, made = self.loop(loop, need, ready, scope, starts, steps, begin, end)
        for k in self.items:
            if k < loop.carries:
                self._write("result", k, ends[k])
            elif k < need.shown and need.cond is not None:
                self.line(f"store i64 {made}, ptr {self._address('result', k)}")
            elif need.counted and self.zeroed[k]:
                self._clear(k, made)
        self.line("ret i32 0")
        declared = "\n".join(self.declared.values())
        body = "\n".join([*self.entry, *self.lines])
        attributes = "attributes #0 = { nounwind willreturn memory(none) }"
        text = f"{declared}\ndefine i32 @NAME(ptr %slots, ptr %params) {{\nentry:\n{body}\n}}\n{attributes}\n"
        return Straight(Source(text), self.params, self.flops, list(dict.fromkeys(self.lowerings)))

    # -- memory --------------------------------------------------------------------------------------------------

    def _address(self, name: str, k: int) -> str:
        """Where something begins in the program's memory."""
        found = self.memory.get((name, k))
        if found is None:
            slot, offset = self.param(("slot", name, k)), self.param(("offset", name, k))
            at, base, found = self.fresh("at"), self.fresh("b"), self.fresh("b")
            self.entry.append(f"  {at} = getelementptr ptr, ptr %slots, i64 {slot}")
            self.entry.append(f"  {base} = load ptr, ptr {at}")
            self.entry.append(f"  {found} = getelementptr i8, ptr {base}, i64 {offset}")
            self.memory[name, k] = found
        return found

    def _elements(self, name: str, k: int, like: Aval, row: str | None) -> list[tuple[str, str]]:
        """(kind, address) of all elements, of a row if one is given."""
        base, kind = self._address(name, k), scalar.memory_kind(_kind(like))
        if row is not None:
            stride = self.strides.get((name, k))
            if stride is None:
                stride = self.strides[name, k] = self.param(("row", name, k))
            base = self.new(f"getelementptr i8, ptr {base}, i64 {self.new(f'mul i64 {row}, {stride}')}")
        return [(kind, self.new(f"getelementptr {kind}, ptr {base}, i64 {j}")) for j in range(like.size)]

    def _read(self, name: str, k: int, like: Aval, row: str | None = None) -> Numbers:
        kind = _kind(like)
        found = []
        for memory, at in self._elements(name, k, like, row):
            value = Value(self.new(f"load {memory}, ptr {at}"), memory)
            found.append(self.keep(scalar.from_memory(self, value, kind)))
        return np.array(found, np.intp).reshape(like.shape)

    def _like(self, k: int) -> Aval:
        """What a result is, or a row of one."""
        loop, shown = self.outer, self.need.shown
        return self.avals[loop.consts + k - shown] if k >= shown else self.outs[k]

    def _write(self, name: str, k: int, numbers: Numbers, row: str | None = None) -> None:
        for (memory, at), v in zip(self._elements(name, k, self._like(k), row), numbers.flat, strict=True):
            value = scalar.to_memory(self, self.values[int(v)])
            self.line(f"store {memory} {value.name}, ptr {at}")

    def _clear(self, k: int, made: str) -> None:
        """Have the rows of a result be zero that no step was made for: those behind."""
        like = self._like(k)
        size = like.size * SIZES[_kind(like)]
        left = self.new(f"mul i64 {self.new(f'sub i64 {self.outer.length}, {made}')}, {size}")
        at = self.new(f"getelementptr i8, ptr {self._address('result', k)}, i64 {self.new(f'mul i64 {made}, {size}')}")
        name = self.declare("llvm.memset.p0.i64", "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        self.line(f"call void {name}(ptr {at}, i8 0, i64 {left}, i1 false)")


_MOVES = VIEWS | {"concatenate", "put"}


def _kind(like: Aval) -> str:
    kind = KINDS.get(like.dtype)
    if kind is None or like.size > MOST:
        raise NotStraightError
    return kind
