"""Loop nests: the kernels that fused hops become.

A `Nest` is a computation over a rectangular range of places: values are loaded, computed, stored and reduced. Its text
depends on its structure alone; slots, sizes, strides, offsets and captured numbers become parameters. Before it is
written, axes of length 1 are dropped, the others are ordered so that memory is walked through in its order, and merged
where they are contiguous for every access.

The innermost loop is vectorized here, with a masked step for what is left over: so an element's value does not depend
on where in the array it stands. Values that do not depend on inner axes are computed outside of the inner loops. Sums
along the innermost axes are added up in blocks, and the blocks' sums with compensation (Neumaier 1974), which is more
accurate than the pairwise sums of NumPy; a sum over outer axes alone is added up row by row, as NumPy does it.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hopgrad.lower import scalar
from hopgrad.lower.machine import Effort, Source, machine
from hopgrad.lower.scalar import Code, Value
from hopgrad.simplify.sums import SHORT

BLOCK = 128
"""How many vectors are added up before their sum is added to the total."""

_APART = 1.5
"""From how many additions and other accesses on, for each access to elements that do not lie side by side, vectors are
worth it."""

_APART_TINY = 8
"""The same where compiling it costs more than running it."""

TINY = 16
"""How many elements there are at most where a kernel makes one or two steps: then the best code is no faster."""

SMALL = 2048
"""How many elements a small array has at most."""

_MASKED = ("tiny", "small")
"""Forms of kernels in which all vectors have masks."""

CACHED = 2**17
"""From how many elements on arrays do not stay in the nearer caches."""

FAR = 40 << 20
"""From how many bytes on what a kernel reads and writes does not stay in any cache."""

_LONG = 32
"""How many vectors a loop has at least before it matters that they are aligned."""

FEW = 512
"""So many elements at most are added up without that."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a value stands in memory: element ``offset + Σ index · stride`` of a slot, in elements."""

    slot: int
    kind: str
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def row(self) -> Row:
        """What it has in common with all that differ from it by their offset alone."""
        return self.slot, self.strides


Row = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Load:
    """A value from memory."""

    access: Access


@dataclass(frozen=True, slots=True)
class Number:
    """A captured number: a parameter of the kernel, unless it is 0, ±1 or ±2."""

    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class Compute:
    """A hop's lowering over earlier values, given by their places in the list; `kind` is that of the result."""

    lowering: str
    operands: tuple[int, ...]
    kind: str
    params: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Convert:
    """An earlier value as another kind."""

    operand: int
    kind: str


@dataclass(frozen=True, slots=True)
class Position:
    """The index along an axis of the nest."""

    axis: int
    kind: str = "i64"


class Index(NamedTuple):
    """An index that is computed: a value, the length of the axis that it goes along, and that axis's stride."""

    value: int
    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class Gather:
    """A value from memory, at a place that is the access's moved by computed indices."""

    access: Access
    indices: tuple[Index, ...]


Entry = Load | Number | Compute | Convert | Position | Gather


def operands(entry: Entry) -> tuple[int, ...]:
    """The places in the list of what a value is made of."""
    if isinstance(entry, Compute):
        return entry.operands
    if isinstance(entry, Convert):
        return (entry.operand,)
    return tuple(index.value for index in entry.indices) if isinstance(entry, Gather) else ()


def renumbered(entry: Entry, at: Mapping[int, int] | Sequence[int]) -> Entry:
    """The same value where those that it is made of stand in other places."""
    if isinstance(entry, Compute):
        return replace(entry, operands=tuple(at[o] for o in entry.operands))
    if isinstance(entry, Convert):
        return replace(entry, operand=at[entry.operand])
    if isinstance(entry, Gather):
        return replace(entry, indices=tuple(index._replace(value=at[index.value]) for index in entry.indices))
    return entry


@dataclass(frozen=True, slots=True)
class Store:
    """A value goes to memory at each place."""

    value: int
    access: Access


@dataclass(frozen=True, slots=True)
class Reduce:
    """A value is put together over some axes (`REDUCERS`); the access has stride 0 along them."""

    way: str
    value: int
    axes: frozenset[int]
    access: Access
    few: bool = False
    """Whether what is put together in a register is not more than a block for each lane."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """A value goes to memory at a place that is the access's moved by computed indices, or is added to what is there.

    One after the other, in the order of the loops.
    """

    value: int
    access: Access
    indices: tuple[Index, ...]
    adds: bool


@dataclass(frozen=True, slots=True)
class Check:
    """A guard: the program ends here unless the value, of a nest without axes, is this one."""

    value: int
    expected: float


@dataclass
class Nest:
    """A kernel before it is written: `values` in order of computation, over a range of `shape`."""

    shape: tuple[int, ...]
    values: list[Entry] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    reduces: list[Reduce] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    scatters: list[Scatter] = field(default_factory=list)
    part: bool = False
    """Whether it is one of several that differ in sizes and offsets only."""
    form: str = ""
    """"tiny" and "small": compiling it costs more than running it; "narrow": vectors of half a cache line are better
    than longer ones."""
    streams: bool = False
    """Whether what it writes goes past the caches: memory that will be overwritten need not be read first."""

    def accesses(self) -> list[Access]:
        """All places in memory that it touches."""
        found = [v.access for v in self.values if isinstance(v, (Load, Gather))]
        found += [s.access for s in self.stores] + [r.access for r in self.reduces]
        return found + [s.access for s in self.scatters]

    def only(self, stores: Sequence[Store], reduces: Sequence[Reduce]) -> Nest:
        """The kernel that does these of its stores and reductions alone, and computes what they need."""
        needed = {s.value for s in stores} | {r.value for r in reduces}
        for k in range(len(self.values) - 1, -1, -1):
            if k in needed:
                needed.update(operands(self.values[k]))
        at = {k: place for place, k in enumerate(sorted(needed))}
        made = replace(self, values=[renumbered(self.values[k], at) for k in at], checks=[], scatters=[])
        made.stores = [replace(s, value=at[s.value]) for s in stores]
        made.reduces = [replace(r, value=at[r.value]) for r in reduces]
        return made

    @property
    def flops(self) -> int:
        """Operations on all elements together, functions counted as one."""
        count = 1
        for n in self.shape:
            count *= n
        return count * (sum(isinstance(v, Compute) for v in self.values) + len(self.reduces) + len(self.scatters))

    def __str__(self) -> str:
        """The loop form, for reading."""
        letters = "ijklmnopqrstuvw"
        out = [
            f"for {', '.join(f'{c} < {n}' for c, n in zip(letters, self.shape, strict=False))}:"
            if self.shape
            else "once:"
        ]

        def place(access: Access, indices: Sequence[Index] = ()) -> str:
            terms = [f"v{i.value}" if i.stride == 1 else f"{i.stride} v{i.value}" for i in indices]
            terms += [c if s == 1 else f"{s}{c}" for c, s in zip(letters, access.strides, strict=False) if s]
            terms += [str(access.offset)] if access.offset or not terms else []
            return f"slot{access.slot}[{' + '.join(terms)}]"

        for k, v in enumerate(self.values):
            if isinstance(v, Load):
                text = place(v.access)
            elif isinstance(v, Gather):
                text = place(v.access, v.indices)
            elif isinstance(v, Position):
                text = letters[v.axis]
            elif isinstance(v, Number):
                text = repr(v.value)
            elif isinstance(v, Convert):
                text = f"{v.kind}(v{v.operand})"
            else:
                named = {c: f"v{o}" for c, o in zip("abcdefgh", v.operands, strict=False)}
                named |= {"x": f"v{v.operands[0]}"} if len(v.operands) == 1 else {}
                given = ", ".join(f"{a} = {b}" for a, b in [*named.items(), *v.params] if a in v.lowering)
                text = f"{v.lowering}   where {given}"
            out.append(f"    v{k} = {text}")
        out += [f"    {place(s.access)} = v{s.value}" for s in self.stores]
        out += [f"    {place(r.access)} = {r.way}(v{r.value})" for r in self.reduces]
        out += [f"    {place(s.access, s.indices)} {'+=' if s.adds else '='} v{s.value}" for s in self.scatters]
        out += [f"    leave unless v{c.value} == {c.expected}" for c in self.checks]
        return "\n".join(out)


# -- arranging the axes ----------------------------------------------------------------------------------------------


LARGEST = 256
"""How many values a nest has at most after short axes were written out."""


def arranged(nest: Nest) -> Nest:
    """The same with its axes ordered by stride and merged; an innermost one that is short is written out."""
    found = _merged(nest)
    while len(found.shape) > 1 and found.shape[-1] <= SHORT and not found.scatters:
        if len(found.values) * found.shape[-1] > 4 * LARGEST:
            break
        made = _merged(_written_out(found))
        if len(made.values) > LARGEST:
            break
        found = made
    found.reduces = [replace(r, few=_innermost_count(found, r) <= FEW) for r in found.reduces]
    size = math.prod(found.shape)
    found.streams = bool(found.stores and found.shape) and found.shape[-1] >= 16 * _LONG and footprint([found]) >= FAR
    found.form = "tiny" if size <= TINY else "small" if size <= SMALL else "narrow" if _crosses(found) else ""
    return found


def _crosses(nest: Nest) -> bool:
    """Whether a kernel reads the same large array at neighbouring places, and does little else.

    Not all of these can be aligned, and a vector as long as a line of the cache always lies in two if it is not.
    """
    if math.prod(nest.shape) <= CACHED:
        return False
    if any(isinstance(v, Compute) and scalar.cost(v.lowering) >= scalar.FUNCTION for v in nest.values):
        return False
    rows = [v.access for v in nest.values if isinstance(v, Load) and v.access.strides and v.access.strides[-1] == 1]
    return len({access.slot for access in rows}) < len(set(rows))


def footprint(kernels: Sequence[Nest]) -> int:
    """How many bytes of memory some kernels read and write."""
    sizes: dict[int, int] = {}
    for nest in kernels:
        for a in nest.accesses():
            count = math.prod(n for n, stride in zip(nest.shape, a.strides, strict=True) if stride)
            sizes[a.slot] = max(sizes.get(a.slot, 0), count * scalar.SIZES.get(a.kind, 1))
    return sum(sizes.values())


def by_rows(kernels: Sequence[Nest], slots: Container[int]) -> bool:
    """Whether some kernels touch memory row by row of their outermost loops: each row a stretch of its own, for all.

    Args:
        kernels: Arranged; the shortest of the outermost loops goes over rows, others over as many places in each row.
        slots: Those of the memory.
    """
    rows = min(nest.shape[0] for nest in kernels)
    strides, first, last = set(), math.inf, -math.inf
    for nest in kernels:
        each = nest.shape[0] // rows
        for access in nest.accesses():
            if access.slot in slots:
                ends = [s * (n - 1) for s, n in zip(access.strides, (each, *nest.shape[1:]), strict=True)]
                strides.add(access.strides[0] * each)
                first = min(first, access.offset + sum(min(end, 0) for end in ends))
                last = max(last, access.offset + sum(max(end, 0) for end in ends))
    return len(strides) == 1 and last - first < min(strides)


def _innermost_count(nest: Nest, reduce: Reduce) -> int:
    """How many elements are put together by the innermost loops that a reduction goes over."""
    count = 1
    for d in range(len(nest.shape) - 1, -1, -1):
        if d not in reduce.axes:
            break
        count *= nest.shape[d]
    return count


def _written_out(nest: Nest) -> Nest:
    """The same without its innermost axis: what was done at each place along it is done at once."""
    last = len(nest.shape) - 1
    made = Nest(nest.shape[:-1], checks=nest.checks)
    place: dict[Entry, int] = {}

    def add(entry: Entry) -> int:
        if entry not in place:
            place[entry] = len(made.values)
            made.values.append(entry)
        return place[entry]

    def at(access: Access, k: int) -> Access:
        return replace(access, strides=access.strides[:-1], offset=access.offset + k * access.strides[-1])

    moved: list[list[int]] = []
    """The values at each place."""
    for k in range(nest.shape[-1]):
        here: list[int] = []
        for v in nest.values:
            entry = renumbered(v, here)
            if isinstance(entry, (Load, Gather)):
                entry = replace(entry, access=at(entry.access, k))
            elif isinstance(entry, Position) and entry.axis == last:
                entry = Number(k, entry.kind)
            here.append(add(entry))
        moved.append(here)
    for s in nest.stores:
        # Without a stride along the axis it is the last one that stays.
        every = enumerate(moved) if s.access.strides[-1] else [(0, moved[-1])]
        made.stores += [Store(here[s.value], at(s.access, k)) for k, here in every]
    for r in nest.reduces:
        kind, access = r.access.kind, at(r.access, 0)
        if last not in r.axes:
            made.reduces += [replace(r, value=h[r.value], access=at(r.access, k)) for k, h in enumerate(moved)]
            continue
        total = moved[0][r.value]
        for here in moved[1:]:
            total = add(Compute(scalar.REDUCERS[r.way].lowering, (total, here[r.value]), kind))
        axes = r.axes - {last}
        if axes:
            made.reduces.append(replace(r, value=total, axes=axes, access=access))
        else:
            made.stores.append(Store(total, access))
    return made


def _dependencies(nest: Nest) -> list[frozenset[int]]:
    """The axes along which each value changes."""
    found: list[frozenset[int]] = []
    for v in nest.values:
        own = {v.axis} if isinstance(v, Position) else set()
        if isinstance(v, (Load, Gather)):
            own = {d for d, stride in enumerate(v.access.strides) if stride}
        found.append(frozenset(own).union(*[found[k] for k in operands(v)]))
    return found


def _merged(nest: Nest) -> Nest:
    accesses = nest.accesses()
    rank = len(nest.shape)
    pinned = {v.axis for v in nest.values if isinstance(v, Position)}
    """Axes whose index is a value: these are not merged."""
    order = [d for d in range(rank) if nest.shape[d] != 1]

    depends = _dependencies(nest)
    computed = [i for v in nest.values if isinstance(v, Gather) for i in v.indices]
    computed += [i for s in nest.scatters for i in s.indices]

    def reach(d: int) -> float:
        return sum(abs(a.strides[d]) for a in accesses) + sum(abs(i.stride) for i in computed if d in depends[i.value])

    order.sort(key=reach, reverse=True)
    groups: list[list[int]] = []
    for d in order:
        if groups and d not in pinned and groups[-1][-1] not in pinned:
            last = groups[-1][-1]
            joined = all(a.strides[last] == a.strides[d] * nest.shape[d] for a in accesses)
            if joined and all((last in r.axes) == (d in r.axes) for r in nest.reduces):
                groups[-1].append(d)
                continue
        groups.append([d])
    shape = []
    for group in groups:
        n = 1
        for d in group:
            n *= nest.shape[d]
        shape.append(n)

    def moved(access: Access) -> Access:
        return replace(access, strides=tuple(access.strides[group[-1]] for group in groups))

    stores = [replace(s, access=moved(s.access)) for s in nest.stores]
    reduces = []
    for r in nest.reduces:
        axes = frozenset(k for k, g in enumerate(groups) if g[0] in r.axes)
        if axes:
            reduces.append(replace(r, access=moved(r.access), axes=axes))
        else:  # one element is put together of
            stores.append(Store(r.value, moved(r.access)))
    scatters = [replace(s, access=moved(s.access)) for s in nest.scatters]
    number = {group[0]: k for k, group in enumerate(groups)}
    values: list[Entry] = []
    for v in nest.values:
        if isinstance(v, (Load, Gather)):
            values.append(replace(v, access=moved(v.access)))
        elif isinstance(v, Position):
            values.append(Position(number[v.axis]) if v.axis in number else Number(0, "i64"))
        else:
            values.append(v)
    return Nest(tuple(shape), values, stores, reduces, nest.checks, scatters)


# -- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes one nest as LLVM's text, and collects its parameters."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.code = Code()
        self.params: list[int] = []
        self.rank = len(nest.shape)
        self.entry: list[str] = []
        """Instructions at the very beginning: parameters, and memory for accumulators."""
        self.levels = self._levels()
        kinds = {self._kind(v) for v in nest.values} | {a.kind for a in nest.accesses()}
        largest = max((scalar.SIZES[k] for k in kinds), default=8)
        self.width = min(machine().width, 32) if nest.form == "narrow" else machine().width
        self.lanes = self.width // max(largest, 4) if self.rank and not self._moves() else 1
        self.values: dict[int, Value] = {}
        self.sizes = [self._param(n) for n in nest.shape]
        self.slots: dict[int, str] = {}
        """The addresses of what is in the slots."""
        self.pointers: dict[tuple[Row, int], str] = {}
        """Where rows are at the indices of so many loops."""
        self.strides: dict[tuple[Row, int], str] = {}
        self.offsets: dict[Access, str] = {}
        rows = Counter(access.row for access in set(nest.accesses()))
        self.shared = {row for row, count in rows.items() if count > 1}
        """Rows of several accesses, which differ by their offsets."""
        self.here: dict[Row, str] = {}
        """Where rows are at the current index of the innermost loop."""
        self.indices: dict[int, str] = {}
        """The index of each loop that is open but the innermost one."""
        self.bad = ""
        """Where it is noted that an index is out of bounds."""
        self.streamed: Access | None = None
        """What is written past the caches, by whole vectors that are aligned."""
        self.mask: str | None = None
        self.count = ""
        """With a mask, the number of places that are there, in all lanes."""
        self.index = ""

    def _moves(self) -> bool:
        """Whether it mostly moves elements that do not lie side by side: then vectors only have to be taken apart."""
        nest = self.nest
        apart = {a for a in nest.accesses() if a.strides[-1] not in (0, 1) and not _is_shuffled(a)}
        work = sum(scalar.cost(v.lowering) for v in nest.values if isinstance(v, Compute))
        together = len(set(nest.accesses()) - apart)
        return work + together < len(apart) * (_APART_TINY if nest.form == "tiny" else _APART)

    # -- parameters and memory -----------------------------------------------------------------------------------

    def _param(self, value: int) -> str:
        """A parameter of 64 bits, loaded at the beginning."""
        place = len(self.params)
        self.params.append(value)
        name, at = self.code.fresh("p"), self.code.fresh("at")
        self.entry.append(f"  {at} = getelementptr i64, ptr %params, i64 {place}")
        self.entry.append(f"  {name} = load i64, ptr {at}")
        return name

    def _alloca(self, type_: str) -> str:
        name = self.code.fresh("m")
        self.entry.append(f"  {name} = alloca {type_}")
        return name

    def _pointer(self, access: Access) -> None:
        """The address of the first element of an access's row, its strides, and its offset from there."""
        row = access.row
        if access.slot not in self.slots:
            slot, at, base = self._param(access.slot), self.code.fresh("at"), self.code.fresh("b")
            self.entry.append(f"  {at} = getelementptr ptr, ptr %slots, i64 {slot}")
            self.entry.append(f"  {base} = load ptr, ptr {at}")
            self.slots[access.slot] = base
        if (row, 0) not in self.pointers:
            self.pointers[row, 0] = self.slots[access.slot]
            for d, stride in enumerate(access.strides):
                if stride not in (0, 1):
                    self.strides[row, d] = str(stride) if stride in _SHUFFLED else self._param(stride)
        if access.offset:
            offset = self._param(access.offset)
            if access.row in self.shared:
                self.offsets[access] = offset
            else:  # the row begins there
                moved = self.code.fresh("b")
                base, memory = self.pointers[access.row, 0], scalar.memory_kind(access.kind)
                self.entry.append(f"  {moved} = getelementptr {memory}, ptr {base}, i64 {offset}")
                self.pointers[access.row, 0] = moved

    def _step(self, access: Access, d: int, index: str) -> str:
        """The offset of an index along an axis, in elements."""
        stride = self.strides.get((access.row, d))
        return index if stride is None else self.code.new(f"mul i64 {index}, {stride}")

    def _moved(self, access: Access, base: str, offset: str) -> str:
        """An address so many elements on."""
        return self.code.new(f"getelementptr {scalar.memory_kind(access.kind)}, ptr {base}, i64 {offset}")

    def _row_at(self, access: Access, level: int) -> str:
        """Where an access's row is for the indices of the loops down to `level`."""
        while (found := self.pointers.get((access.row, level))) is None:
            level -= 1
        return found

    def _offset_from(self, access: Access, at: str) -> str:
        """An access's address, given where its row is."""
        offset = self.offsets.get(access)
        return at if offset is None else self._moved(access, at, offset)

    def _at(self, access: Access, level: int) -> str:
        """The address for the indices of the loops down to `level`."""
        return self._offset_from(access, self._row_at(access, level))

    def _inside(self, access: Access) -> str:
        """The address at the current index of the innermost loop."""
        at = self.here.get(access.row)
        if at is None:
            offset = self._step(access, self.rank - 1, self.index)
            at = self.here[access.row] = self._moved(access, self._row_at(access, self.rank - 1), offset)
        return self._offset_from(access, at)

    def _advance(self, level: int, index: str) -> None:
        """Addresses inside of the loop `level` (counted from 1), which is not the innermost one."""
        for access in {access.row: access for access in self.nest.accesses()}.values():
            if access.strides[level - 1]:
                offset = self._step(access, level - 1, index)
                self.pointers[access.row, level] = self._moved(access, self._row_at(access, level - 1), offset)

    # -- values --------------------------------------------------------------------------------------------------

    def _kind(self, entry: Entry) -> str:
        return entry.access.kind if isinstance(entry, (Load, Gather)) else entry.kind

    def _levels(self) -> list[int]:
        """For each value how many loops it is in."""
        levels: list[int] = []
        for v in self.nest.values:
            if isinstance(v, (Load, Gather)):
                own = max((d + 1 for d, s in enumerate(v.access.strides) if s), default=0)
                levels.append(max(own, *[levels[i.value] for i in v.indices]) if isinstance(v, Gather) else own)
            elif isinstance(v, Position):
                levels.append(v.axis + 1)
            elif isinstance(v, Number):
                levels.append(0)
            elif isinstance(v, Convert):
                levels.append(levels[v.operand])
            else:
                levels.append(max((levels[o] for o in v.operands), default=0))
        return levels

    def _number(self, v: Number) -> Value:
        whole = v.kind[0] == "i"
        if v.kind == "i1" or v.value in scalar.PLAIN_NUMBERS:
            return scalar.constant(v.value, v.kind)
        bits = int(v.value) if whole else scalar.bits(v.value)
        word = self._param(bits)
        name = self.code.fresh("n")
        if whole:
            if v.kind == "i64":
                return Value(word, v.kind)
            self.entry.append(f"  {name} = trunc i64 {word} to {v.kind}")
            return Value(name, v.kind)
        self.entry.append(f"  {name} = bitcast i64 {word} to double")
        if v.kind == "float":
            short = self.code.fresh("n")
            self.entry.append(f"  {short} = fptrunc double {name} to float")
            name = short
        return Value(name, v.kind)

    def _compute(self, level: int, lanes: int) -> None:
        """Write the values that belong into the loop `level`."""
        code = self.code
        for k, v in enumerate(self.nest.values):
            if self.levels[k] != level:
                continue
            if isinstance(v, Load):
                self.values[k] = self._load(v.access, level, lanes)
            elif isinstance(v, Gather):
                self.values[k] = self._gather(v, level, lanes)
            elif isinstance(v, Position):
                self.values[k] = self._position(v, lanes)
            elif isinstance(v, Number):
                self.values[k] = self._number(v)
            elif isinstance(v, Convert):
                self.values[k] = scalar.convert(code, self.values[v.operand], v.kind)
            else:
                operands = [self.values[o] for o in v.operands]
                params = dict(v.params)
                if "exponent" in params and params["exponent"] not in scalar.FIXED_POWERS:
                    params["exponent"] = self._number(Number(params["exponent"], v.kind))
                self.values[k] = scalar.write(code, v.lowering, operands, params, v.kind)

    def _load(self, access: Access, level: int, lanes: int) -> Value:
        code, kind = self.code, access.kind
        innermost = lanes > 1 or (level == self.rank and level > 0)
        memory = scalar.memory_kind(kind)
        if not innermost or not access.strides or not access.strides[-1]:
            at = self._at(access, level)
            return scalar.from_memory(code, Value(code.new(f"load {memory}, ptr {at}"), memory), kind)
        stride = access.strides[-1]
        if lanes == 1:
            return scalar.from_memory(code, Value(code.new(f"load {memory}, ptr {self._inside(access)}"), memory), kind)
        if stride == 1 and (self.mask is None or kind != "i1"):
            return scalar.from_memory(code, self._load_vector(self._inside(access), memory, lanes, self.mask), kind)
        if _is_shuffled(access):
            return self._load_every_second(access, lanes) if stride == 2 else self._load_backwards(access, lanes)
        base = self._at(access, self.rank - 1)
        parts = []
        for lane in range(lanes):
            index = code.new(f"add i64 {self.index}, {lane}") if lane else self.index
            if self.mask is not None:  # an element that is there, in place of those that are not
                inside = code.new(f"extractelement <{lanes} x i1> {self.mask}, i64 {lane}")
                index = code.new(f"select i1 {inside}, i64 {index}, i64 {self.index}")
            at = self._moved(access, base, self._step(access, self.rank - 1, index))
            parts.append(Value(code.new(f"load {memory}, ptr {at}"), memory))
        return scalar.from_memory(code, scalar.gathered(code, parts), kind)

    def _load_every_second(self, access: Access, lanes: int) -> Value:
        """Two vectors, the second of which ends with the last element that is wanted, and what is wanted of both."""
        code, kind = self.code, access.kind
        first = self._inside(access)
        second = self._moved(access, first, str(lanes - 1))
        even = [k // 2 if k % 2 == 0 else _NOWHERE for k in range(lanes)]
        odd = [(lanes + k) // 2 if k % 2 else _NOWHERE for k in range(lanes)]
        masks = [None, None] if self.mask is None else [self._among(even), self._among(odd)]
        a, b = (self._load_vector(at, kind, lanes, mask) for at, mask in zip((first, second), masks, strict=True))
        return _shuffled(code, a, b, [*range(0, lanes, 2), *range(lanes + 1, 2 * lanes, 2)])

    def _load_backwards(self, access: Access, lanes: int) -> Value:
        """The vector that ends with the first element, turned round."""
        code = self.code
        at = self._moved(access, self._inside(access), str(1 - lanes))
        turned = [*range(lanes - 1, -1, -1)]
        value = self._load_vector(at, access.kind, lanes, None if self.mask is None else self._among(turned))
        return _shuffled(code, value, value, turned)

    def _load_vector(self, at: str, memory: str, lanes: int, mask: str | None) -> Value:
        """Neighbouring elements; with a mask, only those that are there."""
        code, whole, align = self.code, f"<{lanes} x {memory}>", scalar.SIZES.get(memory, 1)
        if mask is None:
            return code.value(memory, lanes, f"load {whole}, ptr {at}, align {align}")
        name = f"llvm.masked.load.v{lanes}{_suffix(memory)}.p0"
        called = code.declare(name, f"declare {whole} @{name}(ptr, i32, <{lanes} x i1>, {whole})")
        other = "zeroinitializer" if memory[0] == "i" else f"splat ({memory} {scalar.literal(1.0, memory)})"
        given = f"ptr {at}, i32 {align}, <{lanes} x i1> {mask}, {whole} {other}"
        return code.value(memory, lanes, f"call {whole} {called}({given})")

    def _store_every_second(self, access: Access, value: Value) -> None:
        """Two vectors with a gap after each element, where nothing is written."""
        code, lanes = self.code, value.lanes
        at = self._inside(access)
        for half in range(2):
            places = [half * lanes // 2 + k // 2 for k in range(lanes)]
            mask = self._among([k if n % 2 == 0 else _NOWHERE for n, k in enumerate(places)])
            self._store_vector(at, _shuffled(code, value, value, places), mask)
            at = self._moved(access, at, str(lanes))

    def _store_backwards(self, access: Access, value: Value) -> None:
        """The vector turned round, where its first element comes last."""
        at = self._moved(access, self._inside(access), str(1 - value.lanes))
        turned = [*range(value.lanes - 1, -1, -1)]
        self._store_vector(
            at, _shuffled(self.code, value, value, turned), None if self.mask is None else self._among(turned)
        )

    def _store_vector(self, at: str, value: Value, mask: str | None, streams: bool = False) -> None:
        """To neighbouring elements; with a mask, only to those that are there."""
        code, align = self.code, scalar.SIZES.get(value.kind, 1)
        if mask is None:
            way = f"align {self.width}, !nontemporal !0" if streams else f"align {align}"
            code.line(f"store {value.type} {value.name}, ptr {at}, {way}")
            return
        name = f"llvm.masked.store.v{value.lanes}{_suffix(value.kind)}.p0"
        called = code.declare(name, f"declare void @{name}({value.type}, ptr, i32, <{value.lanes} x i1>)")
        given = f"{value.type} {value.name}, ptr {at}, i32 {align}, <{value.lanes} x i1> {mask}"
        code.line(f"call void {called}({given})")

    def _among(self, places: Sequence[int]) -> str:
        """Which of some places are there, as a mask."""
        if self.mask is None:
            return f"<{', '.join('i1 0' if k == _NOWHERE else 'i1 1' for k in places)}>"
        numbers = f"<{', '.join(f'i64 {k}' for k in places)}>"
        return self.code.new(f"icmp slt <{len(places)} x i64> {numbers}, {self.count}")

    def _position(self, v: Position, lanes: int) -> Value:
        if v.axis + 1 < self.rank:
            return Value(self.indices[v.axis + 1], "i64")
        return self._innermost_index(lanes)

    def _innermost_index(self, lanes: int) -> Value:
        """The index along the innermost axis, in all lanes."""
        if lanes == 1:
            return Value(self.index, "i64")
        steps = ", ".join(f"i64 {k}" for k in range(lanes))
        first = scalar.spread(self.code, Value(self.index, "i64"), lanes)
        return self.code.value("i64", lanes, f"add {first.type} {first.name}, <{steps}>")

    def _is_in_row(self, access: Access, indices: Sequence[Index], lanes: int) -> bool:
        """Whether the places of a vector lie side by side, since the indices are the same for all of them."""
        return lanes > 1 and access.strides[-1] == 1 and all(self.values[i.value].lanes == 1 for i in indices)

    def _in_row(self, access: Access, indices: Sequence[Index]) -> str:
        """The address of the first of them."""
        base, offset = self._offsets(access, indices, self.rank, 1)
        return self.code.new(f"getelementptr {scalar.memory_kind(access.kind)}, ptr {base}, i64 {offset.name}")

    def _offsets(self, access: Access, indices: Sequence[Index], level: int, lanes: int) -> tuple[str, Value]:
        """(address, offsets from there in elements) of places with computed indices.

        Negative indices count from the end. Those out of bounds are noted, and go to the first element.
        """
        code = self.code
        zero = scalar.constant(0, "i64")
        total: Value | None = None
        for index in indices:
            value = scalar.convert(code, self.values[index.value], "i64")
            size = Value(self._param(index.size), "i64")
            from_end = scalar.arithmetic(code, "+", value, size)
            value = scalar.select(code, scalar.compare(code, "<", value, zero), from_end, value)
            good = scalar.logical(
                code, "and", scalar.compare(code, ">=", value, zero), scalar.compare(code, "<", value, size)
            )
            self._note(good)
            value = scalar.select(code, good, value, zero)
            step = scalar.arithmetic(code, "*", value, Value(self._param(index.stride), "i64"))
            total = step if total is None else scalar.arithmetic(code, "+", total, step)
        assert total is not None
        innermost = level == self.rank and level > 0
        if innermost and access.strides[-1]:
            along = self._innermost_index(lanes)
            stride = self.strides.get((access.row, self.rank - 1))
            if stride is not None:
                along = scalar.arithmetic(code, "*", along, Value(stride, "i64"))
            total = scalar.arithmetic(code, "+", total, along)
        if innermost and lanes > 1 and self.mask is not None:  # an element that is there
            total = scalar.select(code, Value(self.mask, "i1", lanes), scalar.spread(code, total, lanes), zero)
        return self._at(access, min(level, self.rank - 1) if innermost else level), total

    def _note(self, good: Value) -> None:
        """Note where something is not good: then the kernel's work does not count."""
        code = self.code
        if not self.bad:
            self.bad = self._alloca("i1")
            self.entry.append(f"  store i1 false, ptr {self.bad}")
        wrong = scalar.logical(code, "xor", good, scalar.constant(1, "i1"))
        if self.mask is not None and wrong.lanes > 1:
            wrong = scalar.logical(code, "and", wrong, Value(self.mask, "i1", wrong.lanes))
        name = wrong.name
        if wrong.lanes > 1:
            suffix = f"v{wrong.lanes}i1"
            called = code.declare(
                f"llvm.vector.reduce.or.{suffix}", f"declare i1 @llvm.vector.reduce.or.{suffix}({wrong.type})"
            )
            name = code.new(f"call i1 {called}({wrong.type} {wrong.name})")
        before = code.new(f"load i1, ptr {self.bad}")
        code.line(f"store i1 {code.new(f'or i1 {before}, {name}')}, ptr {self.bad}")

    def _gather(self, v: Gather, level: int, lanes: int) -> Value:
        code, memory = self.code, scalar.memory_kind(v.access.kind)
        if self._is_in_row(v.access, v.indices, lanes) and (self.mask is None or v.access.kind != "i1"):
            found = self._load_vector(self._in_row(v.access, v.indices), memory, lanes, self.mask)
            return scalar.from_memory(code, found, v.access.kind)
        base, offsets = self._offsets(v.access, v.indices, level, lanes)
        parts = []
        for k in range(offsets.lanes):
            offset = offsets if offsets.lanes == 1 else scalar.lane(code, [offsets], k)[0]
            at = code.new(f"getelementptr {memory}, ptr {base}, i64 {offset.name}")
            parts.append(Value(code.new(f"load {memory}, ptr {at}"), memory))
        found = parts[0] if len(parts) == 1 else scalar.gathered(code, parts)
        return scalar.from_memory(code, found, v.access.kind)

    def _scatter(self, s: Scatter, lanes: int) -> None:
        """One place after the other, since some may be the same, unless they lie side by side."""
        code, kind = self.code, s.access.kind
        memory = scalar.memory_kind(kind)
        value = scalar.spread(code, self.values[s.value], lanes)
        # What is masked at the end of a row reaches into the next one, which would wait for it.
        if (
            self._is_in_row(s.access, s.indices, lanes)
            and kind != "i1"
            and (self.mask is None or self.nest.form in _MASKED)
        ):
            at = self._in_row(s.access, s.indices)
            if s.adds:
                value = scalar.arithmetic(code, "+", self._load_vector(at, kind, lanes, self.mask), value)
            self._store_vector(at, value, self.mask)
            return
        base, offsets = self._offsets(s.access, s.indices, self.rank, lanes)
        offsets = scalar.spread(code, offsets, lanes)
        for k in range(lanes):
            after = ""
            if self.mask is not None:
                inside = code.new(f"extractelement <{lanes} x i1> {self.mask}, i64 {k}")
                there, after = code.fresh("L"), code.fresh("L")
                code.line(f"br i1 {inside}, label {there}, label {after}")
                code.label(there)
            one, offset = (value, offsets) if lanes == 1 else scalar.lane(code, [value, offsets], k)
            at = code.new(f"getelementptr {memory}, ptr {base}, i64 {offset.name}")
            if s.adds:
                before = scalar.from_memory(code, Value(code.new(f"load {memory}, ptr {at}"), memory), kind)
                one = scalar.arithmetic(code, "+", before, one)
            one = scalar.to_memory(code, one)
            code.line(f"store {memory} {one.name}, ptr {at}")
            if after:
                code.line(f"br label {after}")
                code.label(after)

    def _store(self, access: Access, value: Value, lanes: int) -> None:
        """At the current place of the innermost loop."""
        code, kind = self.code, access.kind
        value = scalar.to_memory(code, scalar.spread(code, value, lanes))
        memory = scalar.memory_kind(kind)
        if not self.rank:
            code.line(f"store {memory} {value.name}, ptr {self._at(access, 0)}")
            return
        if lanes == 1:
            code.line(f"store {memory} {value.name}, ptr {self._inside(access)}")
            return
        if access.strides[-1] == 1:
            self._store_vector(self._inside(access), value, self.mask, access == self.streamed)
            return
        if _is_shuffled(access):
            (self._store_every_second if access.strides[-1] == 2 else self._store_backwards)(access, value)
            return
        base = self._at(access, self.rank - 1)
        for lane in range(lanes):
            after = ""
            if self.mask is not None:
                inside = code.new(f"extractelement <{lanes} x i1> {self.mask}, i64 {lane}")
                there, after = code.fresh("L"), code.fresh("L")
                code.line(f"br i1 {inside}, label {there}, label {after}")
                code.label(there)
            index = code.new(f"add i64 {self.index}, {lane}") if lane else self.index
            at = self._moved(access, base, self._step(access, self.rank - 1, index))
            part = code.new(f"extractelement {value.type} {value.name}, i64 {lane}")
            code.line(f"store {memory} {part}, ptr {at}")
            if after:
                code.line(f"br label {after}")
                code.label(after)

    # -- loops ---------------------------------------------------------------------------------------------------

    def write(self) -> tuple[Source, list[int]]:
        code = self.code
        for access in dict.fromkeys(self.nest.accesses()):
            self._pointer(access)
        self.sums = {r: _Accumulator(self, r) for r in self.nest.reduces}
        for sum_ in self.sums.values():
            if sum_.in_memory:
                sum_.clear_memory()
        self._compute(0, 1)
        self._open(0)
        if self.rank:
            self._loop(1)
        else:
            for s in self.nest.stores:
                self._store(s.access, self.values[s.value], 1)
            for scatter in self.nest.scatters:
                self._scatter(scatter, 1)
            for sum_ in self.sums.values():
                sum_.add(self.values[sum_.reduce.value])
        self._close(0)
        bad = "0"
        if self.bad:
            bad = code.new(f"zext i1 {code.new(f'load i1, ptr {self.bad}')} to i32")
        for check in self.nest.checks:
            value = self.values[check.value]
            expected = scalar.constant(check.expected, "i1") if value.kind == "i1" else self._number(
                Number(check.expected, value.kind))  # fmt: skip
            wrong = scalar.compare(code, "!=", value, expected)
            word = code.new(f"zext i1 {wrong.name} to i32")
            bad = word if bad == "0" else code.new(f"or i32 {bad}, {word}")
        if self.streamed is not None:
            code.line("fence seq_cst")  # who is told that the kernel is done has to see what it wrote
        code.line(f"ret i32 {bad}")
        body = "\n".join([*self.entry, *code.lines])
        declared = "\n".join(code.declared.values())
        attributes = "attributes #0 = { nounwind willreturn memory(none) }"
        if self.streamed is not None:
            attributes += "\n!0 = !{i32 1}"  # what "nontemporal" refers to
        text = f"{declared}\ndefine i32 @NAME(ptr %slots, ptr %params) {{\nentry:\n{body}\n}}\n{attributes}\n"
        effort = Effort.NONE if self.nest.form == "tiny" and self.rank else Effort.BEST
        return Source(text, effort), self.params

    def _open(self, level: int) -> None:
        for sum_ in self.sums.values():
            if not sum_.plain and sum_.outer == level:
                sum_.clear()

    def _close(self, level: int) -> None:
        for sum_ in self.sums.values():
            if not sum_.plain and sum_.outer == level:
                sum_.finish()

    def _loop(self, level: int) -> None:
        if level == self.rank:
            self._innermost()
            return
        code = self.code
        counter = self._counter()
        head, body, end = code.fresh("L"), code.fresh("L"), code.fresh("L")
        code.line(f"br label {head}")
        code.label(head)
        index = code.new(f"load i64, ptr {counter}")
        more = code.new(f"icmp slt i64 {index}, {self.sizes[level - 1]}")
        code.line(f"br i1 {more}, label {body}, label {end}")
        code.label(body)
        self.indices[level] = index
        self._advance(level, index)
        self._compute(level, 1)
        self._open(level)
        self._loop(level + 1)
        self._close(level)
        code.line(f"store i64 {code.new(f'add i64 {index}, 1')}, ptr {counter}")
        code.line(f"br label {head}")
        code.label(end)

    def _counter(self, start: str = "0") -> str:
        counter = self._alloca("i64")
        self.code.line(f"store i64 {start}, ptr {counter}")
        return counter

    def _innermost(self) -> None:
        """Whole vectors, in blocks where sums are added up, and a masked vector for what is left over."""
        if any(s.compensated for s in self.sums.values()):
            self._in_blocks()
            return
        if self.lanes == 1:
            self._one_by_one()
            return
        if self.nest.form in _MASKED and self.width == 64:
            self._all_masked()
            return
        code, n, lanes = self.code, self.sizes[-1], self.lanes
        counter = self._counter()
        head, body, end = code.fresh("L"), code.fresh("L"), code.fresh("L")
        some, rest, done = code.fresh("L"), code.fresh("L"), code.fresh("L")
        bound = self._counter()
        first = self._unaligned()
        if first is None:
            code.line(f"br label {head}")
        else:
            # The masked vector comes first, so that the others are aligned.
            code.line(f"store i64 {first}, ptr {bound}")
            code.line(f"br i1 {code.new(f'icmp sgt i64 {first}, 0')}, label {rest}, label {head}")
        code.label(head)
        self.index = code.new(f"load i64, ptr {counter}")
        following = code.new(f"add i64 {self.index}, {lanes}")
        code.line(f"br i1 {code.new(f'icmp sle i64 {following}, {n}')}, label {body}, label {end}")
        code.label(body)
        self._places(lanes)
        code.line(f"store i64 {following}, ptr {counter}")
        code.line(f"br label {head}")
        code.label(end)
        code.line(f"br i1 {code.new(f'icmp slt i64 {self.index}, {n}')}, label {some}, label {done}")
        code.label(some)
        code.line(f"store i64 {n}, ptr {bound}")
        code.line(f"br label {rest}")
        code.label(rest)
        self.index = code.new(f"load i64, ptr {counter}")
        stop = code.new(f"load i64, ptr {bound}")
        self._masked(code.new(f"sub i64 {stop}, {self.index}"))
        code.line(f"store i64 {stop}, ptr {counter}")
        code.line(f"br label {head}")
        code.label(done)

    def _one_by_one(self) -> None:
        """Without vectors."""
        code = self.code
        counter = self._counter()
        head, body, end = code.fresh("L"), code.fresh("L"), code.fresh("L")
        code.line(f"br label {head}")
        code.label(head)
        self.index = code.new(f"load i64, ptr {counter}")
        code.line(f"br i1 {code.new(f'icmp slt i64 {self.index}, {self.sizes[-1]}')}, label {body}, label {end}")
        code.label(body)
        self._places(1)
        code.line(f"store i64 {code.new(f'add i64 {self.index}, 1')}, ptr {counter}")
        code.line(f"br label {head}")
        code.label(end)

    def _all_masked(self) -> None:
        """Every vector with a mask, which costs nothing where there are registers for masks: half the code."""
        code, n = self.code, self.sizes[-1]
        counter = self._counter()
        head, body, end = code.fresh("L"), code.fresh("L"), code.fresh("L")
        code.line(f"br label {head}")
        code.label(head)
        self.index = code.new(f"load i64, ptr {counter}")
        left = code.new(f"sub i64 {n}, {self.index}")
        code.line(f"br i1 {code.new(f'icmp sgt i64 {left}, 0')}, label {body}, label {end}")
        code.label(body)
        self._masked(left)
        code.line(f"store i64 {code.new(f'add i64 {self.index}, {self.lanes}')}, ptr {counter}")
        code.line(f"br label {head}")
        code.label(end)

    def _unaligned(self) -> str | None:
        """How many places stand before the first one where what is written is aligned, if that matters.

        Where vectors cross the lines of the cache, a loop over large arrays takes up to twice the time. Sums in
        registers must not depend on where arrays are, so that two runs give the same.
        """
        if any(not s.plain for s in self.sums.values()):
            return None
        every = [s.access for s in self.nest.stores] + [r.access for r in self.nest.reduces]
        written = [access for access in every if access.strides[-1] == 1]
        sizes = [scalar.SIZES[access.kind] * self.lanes for access in written]
        if not written or max(sizes) < self.width:
            return None
        code, access = self.code, written[sizes.index(max(sizes))]
        address = code.new(f"ptrtoint ptr {self._at(access, self.rank - 1)} to i64")
        before = code.new(f"and i64 {code.new(f'sub i64 0, {address}')}, {self.width - 1}")
        places = code.new(f"lshr i64 {before}, {scalar.SIZES[access.kind].bit_length() - 1}")
        if self.nest.streams and any(s.access == access for s in self.nest.stores):
            self.streamed = access
            return places
        long = code.new(f"icmp sgt i64 {self.sizes[-1]}, {_LONG * self.lanes}")
        return code.new(f"select i1 {long}, i64 {places}, i64 0")

    def _masked(self, count: str) -> None:
        """A vector of which some places are there."""
        code, lanes = self.code, self.lanes
        last = scalar.spread(code, Value(count, "i64"), lanes)
        steps = ", ".join(f"i64 {k}" for k in range(lanes))
        self.mask = code.new(f"icmp slt <{lanes} x i64> <{steps}>, {last.name}")
        self.count = last.name
        self._places(lanes)
        self.mask = None

    def _in_blocks(self) -> None:
        code, n, lanes = self.code, self.sizes[-1], self.lanes
        counter = self._counter()
        whole = code.new(f"and i64 {n}, {-lanes}")
        outer_head, outer_end, inside = code.fresh("L"), code.fresh("L"), code.fresh("L")
        code.line(f"br label {outer_head}")
        code.label(outer_head)
        begin = code.new(f"load i64, ptr {counter}")
        left = code.new(f"icmp slt i64 {begin}, {whole}")
        code.line(f"br i1 {left}, label {inside}, label {outer_end}")
        code.label(inside)
        last = code.new(f"add i64 {begin}, {BLOCK * lanes}")
        over = code.new(f"icmp slt i64 {last}, {whole}")
        limit = code.new(f"select i1 {over}, i64 {last}, i64 {whole}")
        head, body, end = code.fresh("L"), code.fresh("L"), code.fresh("L")
        code.line(f"br label {head}")
        code.label(head)
        self.index = code.new(f"load i64, ptr {counter}")
        more = code.new(f"icmp slt i64 {self.index}, {limit}")
        code.line(f"br i1 {more}, label {body}, label {end}")
        code.label(body)
        self._places(lanes)
        code.line(f"store i64 {code.new(f'add i64 {self.index}, {lanes}')}, ptr {counter}")
        code.line(f"br label {head}")
        code.label(end)
        self._add_blocks()
        code.line(f"br label {outer_head}")
        code.label(outer_end)
        if lanes == 1:
            return
        rest, done = code.fresh("L"), code.fresh("L")
        some = code.new(f"icmp slt i64 {whole}, {n}")
        code.line(f"br i1 {some}, label {rest}, label {done}")
        code.label(rest)
        self.index = whole
        self._masked(code.new(f"sub i64 {n}, {whole}"))
        self._add_blocks()
        code.line(f"br label {done}")
        code.label(done)

    def _add_blocks(self) -> None:
        for sum_ in self.sums.values():
            if sum_.compensated:
                sum_.add_block()

    def _places(self, lanes: int) -> None:
        """Everything that is done for one vector of places."""
        self.here.clear()
        self._compute(self.rank, lanes)
        for s in self.nest.stores:
            self._store(s.access, self.values[s.value], lanes)
        for scatter in self.nest.scatters:
            self._scatter(scatter, lanes)
        for sum_ in self.sums.values():
            sum_.add(scalar.spread(self.code, self.values[sum_.reduce.value], lanes))


class _Accumulator:
    """Where a reduction is put together: in a register over the innermost loops that it reduces, then in memory.

    ``outer`` is the loop inside of which the register counts; ``plain``: the innermost axis is kept, so there is none.
    """

    def __init__(self, writer: _Writer, reduce: Reduce) -> None:
        self.writer = writer
        self.reduce = reduce
        self.kind = reduce.access.kind
        self.neutral = scalar.REDUCERS[reduce.way].neutral
        self.put_together = scalar.REDUCERS[reduce.way].write
        rank = writer.rank
        self.outer = rank
        while self.outer and self.outer - 1 in reduce.axes:
            self.outer -= 1
        self.plain = self.outer == rank and rank > 0
        self.in_memory = any(axis < self.outer for axis in reduce.axes)
        real = self.kind in ("double", "float")
        self.compensated = reduce.way == "sum" and not self.plain and not reduce.few and real and rank > 0
        lanes = writer.lanes
        type_ = self.kind if lanes == 1 else f"<{lanes} x {self.kind}>"
        self.type = type_
        self.register = "" if self.plain else writer._alloca(type_)
        self.high, self.low = (writer._alloca(type_), writer._alloca(type_)) if self.compensated else ("", "")

    def _neutral(self, lanes: int = 1) -> Value:
        return scalar.constant(self.neutral, self.kind, lanes)

    def clear_memory(self) -> None:
        """Write the neutral number to all places of the result, in a nest of its own."""
        access = self.reduce.access
        kept = [d for d in range(self.writer.rank) if d not in self.reduce.axes]
        code, writer = self.writer.code, self.writer
        at = writer._at(access, 0)
        ends = []
        for d in kept:
            counter = writer._counter()
            head, body, end = code.fresh("L"), code.fresh("L"), code.fresh("L")
            code.line(f"br label {head}")
            code.label(head)
            index = code.new(f"load i64, ptr {counter}")
            more = code.new(f"icmp slt i64 {index}, {writer.sizes[d]}")
            code.line(f"br i1 {more}, label {body}, label {end}")
            code.label(body)
            at = writer._moved(access, at, writer._step(access, d, index))
            ends.append((index, counter, head, end))
        value = scalar.to_memory(code, self._neutral())
        code.line(f"store {value.type} {value.name}, ptr {at}")
        for index, counter, head, end in reversed(ends):
            code.line(f"store i64 {code.new(f'add i64 {index}, 1')}, ptr {counter}")
            code.line(f"br label {head}")
            code.label(end)

    def clear(self) -> None:
        """Begin."""
        lanes = self.writer.lanes
        code = self.writer.code
        for place in (self.register, self.high, self.low):
            if place:
                neutral = self._neutral(lanes)
                code.line(f"store {neutral.type} {neutral.name}, ptr {place}")

    def add(self, value: Value) -> None:
        """One more vector of places."""
        code, writer = self.writer.code, self.writer
        if writer.mask is not None:
            # Without the freeze LLVM 22 joins this with the masked load of the value, and may do that after a store to
            # the same place.
            value = code.value(value.kind, value.lanes, f"freeze {value.type} {value.name}")
            value = scalar.select(code, Value(writer.mask, "i1", value.lanes), value, self._neutral(value.lanes))
        if self.plain:
            before = writer._load(self.reduce.access, writer.rank, value.lanes)
            writer._store(self.reduce.access, self.put_together(code, before, value), value.lanes)
            return
        before = Value(code.new(f"load {self.type}, ptr {self.register}"), self.kind, value.lanes)
        after = self.put_together(code, before, value)
        code.line(f"store {self.type} {after.name}, ptr {self.register}")

    def add_block(self) -> None:
        """high + low += register, without an error; then the register begins again."""
        code, type_ = self.writer.code, self.type
        a = code.new(f"load {type_}, ptr {self.high}")
        b = code.new(f"load {type_}, ptr {self.register}")
        s = code.new(f"fadd {type_} {a}, {b}")
        bb = code.new(f"fsub {type_} {s}, {a}")
        da = code.new(f"fsub {type_} {a}, {code.new(f'fsub {type_} {s}, {bb}')}")
        db = code.new(f"fsub {type_} {b}, {bb}")
        error = code.new(f"fadd {type_} {da}, {db}")
        # Infinite sums have no error to speak of.
        known = code.new(f"fcmp ord {type_} {error}, {error}")
        mask = "i1" if self.writer.lanes == 1 else f"<{self.writer.lanes} x i1>"
        error = code.new(f"select {mask} {known}, {type_} {error}, {type_} zeroinitializer")
        low = code.new(f"load {type_}, ptr {self.low}")
        code.line(f"store {type_} {s}, ptr {self.high}")
        code.line(f"store {type_} {code.new(f'fadd {type_} {low}, {error}')}, ptr {self.low}")
        neutral = self._neutral(self.writer.lanes)
        code.line(f"store {type_} {neutral.name}, ptr {self.register}")

    def finish(self) -> None:
        """The lanes put together, and into memory."""
        code, writer = self.writer.code, self.writer
        total = self._total(self.high if self.compensated else self.register)
        if self.compensated:
            total = scalar.arithmetic(code, "+", total, self._total(self.low))
        access = self.reduce.access
        at = writer._at(access, self.outer)
        memory = scalar.memory_kind(self.kind)
        if self.in_memory:
            before = scalar.from_memory(code, Value(code.new(f"load {memory}, ptr {at}"), memory), self.kind)
            total = self.put_together(code, before, total)
        value = scalar.to_memory(code, total)
        code.line(f"store {memory} {value.name}, ptr {at}")

    def _total(self, place: str) -> Value:
        code, lanes = self.writer.code, self.writer.lanes
        whole = Value(code.new(f"load {self.type}, ptr {place}"), self.kind, lanes)
        if lanes == 1:
            return whole
        while lanes > 1:
            lanes //= 2
            halves = [scalar.part(code, whole, k * lanes, lanes) for k in range(2)]
            whole = self.put_together(code, *halves)
        return whole


_FLOATS = ("float", "double")
_SHUFFLED = (2, -1)
"""Strides of rows that are read and written by whole vectors, the elements of which change places."""


def _is_shuffled(access: Access) -> bool:
    return access.strides[-1] in _SHUFFLED and access.kind in _FLOATS


_NOWHERE = 1 << 62
"""A place that no loop has."""


def _shuffled(code: Code, a: Value, b: Value, lanes: Sequence[int]) -> Value:
    """Some lanes of two values."""
    mask = f"<{len(lanes)} x i32> <{', '.join(f'i32 {k}' for k in lanes)}>"
    return code.value(a.kind, len(lanes), f"shufflevector {a.type} {a.name}, {b.type} {b.name}, {mask}")


def _suffix(memory: str) -> str:
    return {"double": "f64", "float": "f32"}.get(memory, memory)


class _Signs:
    """Stands for the numbers of a nest that become parameters: equal structures have equal signs.

    So a kernel is written once for all nests of its structure, and its parameters tell which number goes where.
    """

    def __init__(self, part: bool) -> None:
        self.part = part
        self.actual: dict[int, int] = {}
        """The numbers by their signs."""
        self.accesses: dict[Access, Access] = {}
        self.slots: dict[int, int] = {}
        self.rows: dict[Row, tuple[int, ...]] = {}

    def whole(self, value: int) -> int:
        """The sign of an integer."""
        sign = (1 << 40) + len(self.actual)
        self.actual[sign] = value
        return sign

    def number(self, value: float, kind: str) -> float:
        """The sign of a captured number; what is part of the text is its own."""
        negative_zero = value == 0 and math.copysign(1.0, value) < 0  # equal to 0, but another number
        if kind == "i1" or (value in scalar.PLAIN_NUMBERS and not negative_zero):
            return value
        if kind[0] == "i":
            return self.whole(int(value))
        sign = 1e200 * (1 + len(self.actual))
        self.actual[scalar.bits(sign)] = scalar.bits(value)
        return sign

    def access(self, access: Access) -> Access:
        """The same place with signs."""
        found = self.accesses.get(access)
        if found is None:
            strides = self.rows.get(access.row)
            if strides is None:
                # What is read and written by whole vectors is another text.
                last = len(access.strides) - 1
                plain = [s in (0, 1) or (s in _SHUFFLED and d == last) for d, s in enumerate(access.strides)]
                strides = tuple([s if own else self.whole(s) for s, own in zip(access.strides, plain, strict=True)])
                self.rows[access.row] = strides
            offset = self.whole(access.offset) if access.offset or self.part else 0
            slot = self.slots.get(access.slot)
            if slot is None:
                slot = self.slots[access.slot] = self.whole(access.slot)
            found = self.accesses[access] = Access(slot, access.kind, strides, offset)
        return found

    def indices(self, indices: Sequence[Index]) -> tuple[Index, ...]:
        """Computed indices with signs."""
        return tuple([Index(i.value, self.whole(i.size), self.whole(i.stride)) for i in indices])

    def entry(self, v: Entry) -> Entry:
        """A value with signs."""
        if isinstance(v, Load):
            return Load(self.access(v.access))
        if isinstance(v, Number):
            return Number(self.number(v.value, v.kind), v.kind)
        if isinstance(v, Gather):
            return Gather(self.access(v.access), self.indices(v.indices))
        if isinstance(v, Compute) and v.params:
            params = dict(v.params)
            if "exponent" in params and params["exponent"] not in scalar.FIXED_POWERS:
                params["exponent"] = self.number(params["exponent"], v.kind)
            return replace(v, params=tuple(params.items()))
        return v

    def nest(self, nest: Nest) -> Nest:
        """The whole with signs."""
        kinds = [v.access.kind if isinstance(v, (Load, Gather)) else v.kind for v in nest.values]
        return Nest(
            tuple([self.whole(n) for n in nest.shape]),
            [self.entry(v) for v in nest.values],
            [replace(s, access=self.access(s.access)) for s in nest.stores],
            [replace(r, access=self.access(r.access)) for r in nest.reduces],
            [replace(c, expected=self.number(c.expected, kinds[c.value])) for c in nest.checks],
            [replace(s, access=self.access(s.access), indices=self.indices(s.indices)) for s in nest.scatters],
            form=nest.form, streams=nest.streams,
        )  # fmt: skip


@functools.lru_cache(maxsize=512)
def _written(
    shape: tuple[int, ...],
    values: tuple[Any, ...],
    stores: tuple[Any, ...],
    reduces: tuple[Any, ...],
    checks: tuple[Any, ...],
    scatters: tuple[Any, ...],
    form: str,
    streams: bool,
) -> tuple[Source, list[int]]:
    """The kernel of a nest with signs, and the signs of its parameters."""
    nest = Nest(
        shape, list(values), list(stores), list(reduces), list(checks), list(scatters), form=form, streams=streams
    )
    return _Writer(nest).write()


def write(nest: Nest) -> tuple[Source, list[int]]:
    """The kernel of a nest and its parameters."""
    signs = _Signs(nest.part)
    made = signs.nest(nest)
    source, words = _written(
        made.shape, tuple(made.values), tuple(made.stores), tuple(made.reduces), tuple(made.checks),
        tuple(made.scatters), made.form, made.streams,
    )  # fmt: skip
    return source, [signs.actual[word] for word in words]
