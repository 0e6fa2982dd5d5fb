"""Large kernels in parts, which threads can run side by side.

A kernel is cut along its outermost loop. The parts are the same text with other sizes and offsets, and there are as
many of them as the work is worth, whatever the number of threads. What is put together along that loop gets a place for
each part, and a small kernel puts those together.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from hopgrad.aval import aval
from hopgrad.lower import nest as nests
from hopgrad.lower import scalar
from hopgrad.lower.fuse import Buffer, CallStep, KernelStep, Schedule
from hopgrad.lower.machine import Loaded, Source, table
from hopgrad.lower.nest import Access, Compute, Gather, Load, Nest, Position, Reduce
from hopgrad.lower.scalar import KINDS
from hopgrad.lower.views import c_strides

LEAST = 16_000
"""How much work (in nanoseconds, about) a kernel is at least that is cut."""

PART = 6_000
"""How much work a part is at least."""

MOST = 32
"""How many parts there are at most."""

_GRAIN = 64
"""Parts of a single loop are multiples of this, so that vectors are whole."""

_DTYPES = {kind: dtype for dtype, kind in KINDS.items()}


def work(nest: Nest) -> float:
    """About how many nanoseconds a kernel takes."""
    cost = sum(scalar.cost(v.lowering) for v in nest.values if isinstance(v, Compute))
    return math.prod(nest.shape) * (0.015 * cost + 0.1 * len(set(nest.accesses())))


def cut(schedule: Schedule) -> None:
    """Have the large kernels of a schedule in parts.

    What a kernel adds up in memory that is not contiguous is added up elsewhere first, as it is for parts.
    """
    steps = []
    for step in schedule.steps:
        steps.append(step)
        if isinstance(step, KernelStep) and step.nest.shape:
            large = work(step.nest) >= LEAST
            if large or step.nest.reduces:
                steps += _cut(schedule, step, large)
        elif isinstance(step, CallStep) and step.native is not None and step.native.parts:
            step.parts = Parts([(step.native.source, params) for params in step.native.parts])
    schedule.steps = steps


def _cut(schedule: Schedule, step: KernelStep, large: bool) -> list[KernelStep]:
    """Give a step its parts, if it is large; what has to be done afterwards."""
    nest = nests.arranged(step.nest)
    if not nest.shape:
        return []
    length = nest.shape[0]
    grain = _GRAIN if len(nest.shape) == 1 else 1
    sizes = {r: _kept(nest, r) for r in nest.reduces if 0 in r.axes}
    count = min(MOST, int(work(nest) / PART), length // grain) if large else 1
    if sizes:  # putting the results together should be little beside the work
        count = min(count, math.prod(nest.shape) // (4 * sum(math.prod(size) for size in sizes.values())))
    if nest.scatters or any(isinstance(v, Position) and v.axis == 0 for v in nest.values):
        count = 1
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
        strides = tuple(0 if d in r.axes else next(inner) for d in range(len(nest.shape)))
        targets[r] = Access(slot, r.access.kind, strides)
        every = Access(slot, r.access.kind, (size, *c_strides(kept)))
        target = tuple(s for d, s in enumerate(r.access.strides) if d not in r.axes)
        whole = Nest((count, *kept), [Load(every)])
        whole.reduces = [Reduce(r.way, 0, frozenset({0}), replace(r.access, strides=(0, *target)))]
        after.append(KernelStep(whole, step.level))
    nest.reduces = [replace(r, access=targets[r]) if r in targets else r for r in nest.reduces]
    step.nest = nest
    if count > 1:
        places = [k * (length // grain) // count * grain for k in range(count)] + [length]
        partial = {targets[r].slot: math.prod(kept) for r, kept in sizes.items()}
        made = [_part(nest, start, end, k, partial) for k, (start, end) in enumerate(pairwise(places))]
        step.parts = Parts([nests.write(nest) for nest in made])
    return after


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
    """The parts of a step, as a table that the pool's threads take them from."""

    def __init__(self, written: Sequence[tuple[Source, list[int]]]) -> None:
        self.count = len(written)
        self._table = table([params for _, params in written])
        self.address = ctypes.addressof(self._table)
        self.source = written[0][0]
        assert all(source == self.source for source, _ in written)

    def connect(self, loaded: Mapping[Source, Loaded]) -> None:
        """Fill in the code."""
        for k in range(self.count):
            self._table[2 * k] = loaded[self.source].address
