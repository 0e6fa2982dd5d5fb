"""Large steps in parts, which threads can run side by side.

A kernel is cut along its outermost loop. The parts are the same text with other sizes and offsets, and there are as
many of them as the work is worth, whatever the number of threads. What is put together along that loop gets a place for
each part, and a small kernel puts those together. Steps that call a library, and loops, bring parts of their own, the
same text with other words; one thread alone runs them as a whole.

Where several kernels go row by row over more memory than caches hold, and what one writes another reads at the same
rows, they become one step: a part of it is all of them for some rows, which stay in a near cache meanwhile.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hopgrad.aval import aval
from hopgrad.lower import nest as nests
from hopgrad.lower import scalar
from hopgrad.lower.fuse import Buffer, CallStep, KernelStep, Schedule
from hopgrad.lower.machine import RUN, Hole, Source, table
from hopgrad.lower.memory import in_place, read, touched, written
from hopgrad.lower.nest import Access, Compute, Gather, Load, Nest, Position, Reduce
from hopgrad.lower.pool import LEAST, MOST, PART, pool
from hopgrad.lower.scalar import KINDS
from hopgrad.lower.views import c_strides

_GRAIN = 64
"""Parts of a single loop are multiples of this, so that vectors are whole."""

Written = tuple[Source, list[int]]
"""The text of a step, and its parameters."""

STRIP = 1 << 18
"""About how many bytes a part has where several kernels follow each other, so that they stay in a near cache."""

MOST_STRIPS = 512
"""How many parts there are at most then."""

LOOK = 8
"""How many groups of steps back a kernel may go."""

_DTYPES = {kind: dtype for dtype, kind in KINDS.items()}


def work(nest: Nest) -> float:
    """About how many nanoseconds a kernel takes."""
    cost = sum(scalar.cost(v.lowering) for v in nest.values if isinstance(v, Compute))
    return math.prod(nest.shape) * (0.015 * cost + 0.1 * len(set(nest.accesses())))


def cut(schedule: Schedule, placed: Mapping[int, int]) -> None:
    """Have the large kernels of a schedule in parts.

    What a kernel adds up in memory that is not contiguous is added up elsewhere first, as it is for parts.

    Args:
        schedule: Its steps are changed.
        placed: Buffers that are in the memory of others.
    """
    steps = []
    for step in _joined(schedule.steps, placed):
        steps.append(step)
        if isinstance(step, CallStep):
            native = step.native
            if native is not None and native.parts:
                parts = [[(native.source, params)] for params in native.parts]
                step.parts = Parts(parts, (native.source, native.params))
        elif step.nests[0].shape:
            steps += _cut(schedule, step)
    schedule.steps = steps


class _Group:
    """Steps that may become one; ``kernels`` are their loops, arranged, if these go row by row."""

    def __init__(self, step: KernelStep | CallStep, kernels: list[Nest]) -> None:
        self.steps = [step]
        self.kernels = kernels
        self.reads, self.writes = map(set, touched(step))
        self.fails = not kernels
        """Whether it can end the program."""

    def add(self, step: KernelStep, kernel: Nest) -> None:
        """One more."""
        self.steps.append(step)
        self.kernels.append(kernel)
        self.reads.update(read(kernel))
        self.writes.update(written(kernel))

    def joined(self) -> list[KernelStep | CallStep]:
        """Its steps, or the one that does all of it."""
        kernels = self.kernels
        if len(kernels) < 2 or nests.footprint(kernels) < nests.FAR or _count(kernels) < max(2, _strips(kernels)):
            return self.steps
        for k, nest in enumerate(kernels):
            before = {b for other in kernels[:k] for b in written(other)}
            after = {b for other in kernels[k + 1 :] for b in read(other)}
            over = {old for _, old in in_place(nest)}
            nest.streams = nest.streams and before.isdisjoint(over) and after.isdisjoint(written(nest))
        return [KernelStep(kernels, self.steps[0].level)]


def _joined(steps: Sequence[KernelStep | CallStep], placed: Mapping[int, int]) -> list[KernelStep | CallStep]:
    """The steps, with kernels that can follow each other part by part in one.

    A kernel goes to the latest group that it fits in, past a few that have nothing to do with it.
    """
    groups: list[_Group] = []
    for step in steps:
        nest = _by_rows(step)
        fitting = None
        if nest is not None:
            reads, writes = set(read(nest)), set(written(nest))
            writes.update([placed[b] for b in writes if b in placed])
            for group in reversed(groups[-LOOK:]):
                if group.kernels and _fit([*group.kernels, nest], placed):
                    fitting = group
                if fitting or reads & group.writes or writes & (group.reads | group.writes):
                    break
                if group.fails and not writes.isdisjoint(placed):
                    break  # nothing of the caller's changes before all that may fail
        if fitting is None:
            groups.append(_Group(step, [] if nest is None else [nest]))
        else:
            assert isinstance(step, KernelStep)
            assert nest is not None
            fitting.add(step, nest)
    return [step for group in groups for step in group.joined()]


def _by_rows(step: KernelStep | CallStep) -> Nest | None:
    """The loops of a step, arranged, if they can be cut and cannot fail."""
    if not isinstance(step, KernelStep):
        return None
    (nest,) = step.nests
    if nest.checks or nest.scatters or any(isinstance(v, Gather) for v in nest.values):
        return None
    nest = nests.arranged(nest)
    return nest if nest.shape and _has_parts(nest) else None


def _has_parts(nest: Nest) -> bool:
    """Whether a kernel can be cut."""
    return not nest.scatters and not any(isinstance(v, Position) and v.axis == 0 for v in nest.values)


def _fit(kernels: Sequence[Nest], placed: Mapping[int, int]) -> bool:
    """Whether some kernels can be done one after the other for a row of their outermost loops, then for the next row.

    What one of them writes and another one touches has to be in memory row by row, with the same rows for all, and
    there has to be such a value, or one that several read.
    """
    rows = min(nest.shape[0] for nest in kernels)
    if any(nest.shape[0] % rows for nest in kernels):
        return False
    homes: dict[int, set[int]] = {}
    """The buffers at one place in memory."""
    users: dict[int, set[int]] = {}
    for k, nest in enumerate(kernels):
        for b in (*read(nest), *written(nest)):
            home = placed.get(b, b)
            homes.setdefault(home, set()).add(b)
            users.setdefault(home, set()).add(k)
    shared = [home for home, found in users.items() if len(found) > 1]
    changed = {placed.get(b, b) for nest in kernels for b in written(nest)}
    if not all(nests.by_rows(kernels, homes[home]) for home in changed.intersection(shared)):
        return False
    return len(kernels) == 1 or any(len(kernels) - 1 in users[home] for home in shared)


def _count(kernels: Sequence[Nest]) -> int:
    """How many parts some kernels have, which can be done part by part."""
    works = sum(map(work, kernels))
    rows = min(nest.shape[0] for nest in kernels)
    if works < LEAST:
        return 1
    count = min(MOST, _even(int(works / PART)))
    if len(kernels) > 1:
        count = max(count, _strips(kernels))
    count = min(count, rows // _grain(kernels))
    kept = sum(math.prod(_kept(nest, r)) for nest in kernels for r in nest.reduces if 0 in r.axes)
    if kept:  # putting the results together should be little beside the work
        count = min(count, sum(math.prod(nest.shape) for nest in kernels) // (4 * kept))
    return count


def _strips(kernels: Sequence[Nest]) -> int:
    """How many parts it takes for what they read and write to stay in a near cache."""
    return min(nests.footprint(kernels) // STRIP, MOST_STRIPS)


def _grain(kernels: Sequence[Nest]) -> int:
    """Of how many rows parts are multiples."""
    return _GRAIN if all(len(nest.shape) == 1 for nest in kernels) else 1


def _cut(schedule: Schedule, step: KernelStep) -> list[KernelStep]:
    """Give a step its parts, if it is large; what has to be done afterwards."""
    if work(step.nests[0]) < LEAST and not step.nests[0].reduces and len(step.nests) == 1:
        return []
    kernels = [nests.arranged(nest) for nest in step.nests]
    if not kernels[0].shape:
        return []
    sizes = {r: _kept(nest, r) for nest in kernels for r in nest.reduces if 0 in r.axes}
    rows = min(nest.shape[0] for nest in kernels)
    count = _count(kernels) if all(map(_has_parts, kernels)) else 1
    length = -(-rows // (max(count, 1) * _grain(kernels))) * _grain(kernels)
    count = -(-rows // length)
    if count < 2:
        count, sizes = 1, {r: size for r, size in sizes.items() if r.access.strides[-1] not in (0, 1)}
        if not sizes:
            return []
    after = []
    targets: dict[Reduce, Access] = {}
    for r, kept in sizes.items():
        size = math.prod(kept)
        schedule.buffers.append(Buffer(aval((count, size), _DTYPES[r.access.kind]), "temporary"))
        slot = len(schedule.buffers) - 1
        inner = iter(c_strides(kept))
        strides = tuple(0 if d in r.axes else next(inner) for d in range(len(r.access.strides)))
        targets[r] = Access(slot, r.access.kind, strides)
        every = Access(slot, r.access.kind, (size, *c_strides(kept)))
        target = tuple(s for d, s in enumerate(r.access.strides) if d not in r.axes)
        whole = Nest((count, *kept), [Load(every)])
        whole.reduces = [Reduce(r.way, 0, frozenset({0}), replace(r.access, strides=(0, *target)))]
        after.append(KernelStep([whole], step.level))
    step.nests = kernels
    for nest in kernels:
        nest.reduces = [replace(r, access=targets[r]) if r in targets else r for r in nest.reduces]
    if count > 1:
        partial = {targets[r].slot: math.prod(kept) for r, kept in sizes.items()}
        step.parts = Parts(list(zip(*[_written(nest, rows, length, partial) for nest in kernels], strict=True)))
    return after


def _written(nest: Nest, rows: int, length: int, partial: Mapping[int, int]) -> list[Written]:
    """The parts of a kernel, of so many rows each but for the last one, which may be shorter."""
    each, count = nest.shape[0] // rows, -(-rows // length)

    def part(k: int) -> Written:
        start, end = k * length, min((k + 1) * length, rows)
        return nests.write(_part(nest, start * each, end * each, k, partial))

    (source, first), (_, second), last = part(0), part(1), part(count - 1)
    # Only offsets are different, and these by as much from one part to the next.
    between = [[a + k * (b - a) for a, b in zip(first, second, strict=True)] for k in range(count - 1)]
    assert source == last[0]
    return [*[(source, params) for params in between], last]


def _even(count: int) -> int:
    """About so many parts, which two and four threads can share evenly."""
    return max(2, 4 * round(count / 4))


def _kept(nest: Nest, reduce: Reduce) -> tuple[int, ...]:
    return tuple(n for d, n in enumerate(nest.shape) if d not in reduce.axes)


def _part(nest: Nest, start: int, end: int, number: int, partial: Mapping[int, int]) -> Nest:
    """A part of a kernel. Where each part has a place for its results, these are of the sizes given by slot."""

    def moved(access: Access) -> Access:
        if access.slot in partial:
            return replace(access, offset=number * partial[access.slot])
        return replace(access, offset=access.offset + start * access.strides[0])

    made = replace(nest, shape=(end - start, *nest.shape[1:]), part=True)
    made.values = [replace(v, access=moved(v.access)) if isinstance(v, (Load, Gather)) else v for v in nest.values]
    made.stores = [replace(s, access=moved(s.access)) for s in nest.stores]
    made.reduces = [replace(r, access=moved(r.access)) for r in nest.reduces]
    return made


class Parts:
    """The parts of a step, as a table that the pool's threads take them from; `whole` is what one thread alone does.

    A part is what is done one after the other.
    """

    def __init__(self, parts: Sequence[Sequence[Written]], whole: Written | None = None) -> None:
        self.count = len(parts)
        self._several = [table([params for _, params in part]) for part in parts] if len(parts[0]) > 1 else []
        self.kernels = [source for source, _ in parts[0]]
        """The texts of what a part does."""
        self._written = [one for part in parts for one in part] + ([] if whole is None else [whole])
        self._table = table([[]] * self.count if self._several else [params for _, params in self._written])
        for k, program in enumerate(self._several):
            self._table[2 * k + 1] = ctypes.addressof(program)
        address = ctypes.addressof(self._table)
        alone = (address, self.count) if whole is None else (address + 16 * self.count, 1)
        self.words = [pool().address, address, self.count, *alone]
        """The parameters of the step that has them run."""

    @property
    def sources(self) -> list[Source]:
        """What has to be compiled."""
        return [*self.kernels, *([RUN] if self._several else [])]

    @property
    def holes(self) -> list[Hole]:
        """Where the code's addresses go."""
        if not self._several:
            return [Hole(self._table, k, source) for k, (source, _) in enumerate(self._written)]
        inner = [Hole(program, k, source) for program in self._several for k, source in enumerate(self.kernels)]
        return [*inner, *[Hole(self._table, k, RUN) for k in range(self.count)]]
