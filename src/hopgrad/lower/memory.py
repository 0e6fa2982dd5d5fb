"""The memory of a program: one block for all temporary values, laid out before anything runs.

A value lives from the step that makes it to the last one that reads it; memory of a dead value is used again. A kernel
that reads a value for the last time, element for element where it writes another, writes into the same memory; if what
it writes is a result, the value before lives in the result's memory from the beginning. And a value that is dead before
a result is written may live in the result's memory until then.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hopgrad.aval import Aval
from hopgrad.lower.fuse import CallStep, KernelStep, Schedule
from hopgrad.lower.nest import Access, Gather, Load, Nest, by_rows
from hopgrad.lower.views import View

ALIGNMENT = 64
"""Of the block, and of large values in it."""

MOST = 2000
"""Of how many values the layout is sought in another way, too, if the first one is not the best that can be."""


@dataclass(slots=True)
class Layout:
    """Where temporary values are: offsets in the block, or in the output in whose memory they live."""

    offsets: dict[int, int]
    shared: dict[int, tuple[int, int]]
    """Temporary buffers that live in an output's memory: the output's buffer, and the offset in it."""
    size: int
    live: int
    """The most bytes of temporary values that are alive at once: no layout can do with less."""


def touched(step: KernelStep | CallStep) -> tuple[list[int], list[int]]:
    """(buffers that a step reads, buffers that it writes)."""
    if isinstance(step, KernelStep):
        return [b for nest in step.nests for b in read(nest)], [b for nest in step.nests for b in written(nest)]
    reads = [v.buffer for v in step.operands if isinstance(v, View)]
    writes = [*step.written, step.result] if step.result >= 0 else list(step.written)
    if step.scratch >= 0:
        writes.append(step.scratch)
    return reads, writes


def plan(schedule: Schedule, lends: bool = True, placed: Container[int] = ()) -> Layout:
    """Lay out the memory of a schedule.

    `lends`: values may live in results that are not written yet, but for those in `placed`, which have a place already.
    """
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    work: list[Nest | CallStep] = []
    spans: list[range] = []
    """For each kernel and call those of its step."""
    for step in schedule.steps:
        own: Sequence[Nest | CallStep] = step.nests if isinstance(step, KernelStep) else [step]
        spans += [range(len(work), len(work) + len(own))] * len(own)
        work += own
    for k, one in enumerate(work):
        reads, writes = (read(one), written(one)) if isinstance(one, Nest) else touched(one)
        for b in (*reads, *writes):
            born.setdefault(b, k)
            dies[b] = k
    leader: dict[int, int] = {}
    """For each buffer whose memory it lives in."""

    def find(b: int) -> int:
        while b in leader:
            b = leader[b]
        return b

    for k, one in enumerate(work):
        if isinstance(one, Nest):
            taken: set[int] = set()
            for new, last in in_place(one):
                old = find(last)
                if born[new] != k or dies[old] != k or new in leader or old in taken or find(new) == old:
                    continue
                if schedule.buffers[old].role != "temporary":
                    continue
                together = [it for it in work[spans[k].start : spans[k].stop] if isinstance(it, Nest)]
                if len(together) > 1 and not by_rows(together, {last}):
                    continue  # later parts would read it at this place
                if not _as_large(schedule.buffers[new].aval, schedule.buffers[old].aval):
                    continue  # a kernel may write a part only
                if schedule.buffers[new].role == "output":
                    if new in placed:
                        continue
                    leader[old] = new
                    born[new] = min(born[new], born[old])
                elif schedule.buffers[new].role == "temporary":
                    leader[new] = old
                    dies[old] = dies[new]
                taken.add(old)
    # What follows each other part by part does so at the same time.
    born = {b: spans[k].start for b, k in born.items()}
    dies = {b: spans[k].stop - 1 for b, k in dies.items()}
    temporary = [b for b in born if schedule.buffers[b].role == "temporary"]
    shared = {b: (find(b), 0) for b in temporary if schedule.buffers[find(b)].role == "output"}
    groups = [b for b in temporary if find(b) == b]
    sizes = {b: buffer.bytes for b, buffer in enumerate(schedule.buffers)}
    by_python = {step.result for step in schedule.steps if isinstance(step, CallStep) and step.native is None}
    outputs = [b for b in born if schedule.buffers[b].role == "output" and b not in by_python]
    outputs = [b for b in outputs if b not in placed]
    large = [b for b in groups if sizes[b] >= ALIGNMENT]  # others are not worth the trouble, which is for each call
    guests = _guests(large, outputs if lends else [], sizes, born, dies)
    groups = [b for b in groups if b not in guests]
    shared |= {b: guests[find(b)] for b in temporary if find(b) in guests}
    live = _live(groups, sizes, born, dies, len(work))
    offsets, size = _by_step(groups, sizes, born, dies, len(work))
    if size > live and len(groups) <= MOST:
        offsets, size = min((offsets, size), _by_size(groups, sizes, born, dies), key=lambda found: found[1])
    return Layout({b: offsets[find(b)] for b in temporary if b not in shared}, shared, size, live)


def _as_large(new: Aval, old: Aval) -> bool:
    """Whether two values lie in memory alike, element for element, whatever their shapes."""
    return new.dtype == old.dtype and new.size == old.size


def _guests(
    groups: Sequence[int], outputs: Sequence[int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int]
) -> dict[int, tuple[int, int]]:
    """Values that are dead before an output is written, with the smallest one that has room for them, and where in it.

    As long as one of those goes that are alive when there is least memory left.
    """
    found: dict[int, tuple[int, int]] = {}
    stays: dict[int, dict[int, int]] = {output: {} for output in sorted(outputs, key=sizes.__getitem__)}
    alive = np.zeros(max(dies.values(), default=0) + 1, np.int64)
    for b in groups:
        alive[born[b] : dies[b] + 1] += sizes[b]
    left = dict.fromkeys(sorted(groups, key=lambda b: (-sizes[b], born[b])))
    while True:
        peak = int(np.argmax(alive))
        for b in [b for b in left if born[b] <= peak <= dies[b]]:
            del left[b]  # outputs only fill up, so it is asked for once
            place = _room(b, stays, sizes, born, dies)
            if place is not None:
                found[b] = place
                alive[born[b] : dies[b] + 1] -= sizes[b]
                break
        else:
            return found


def _room(
    b: int, stays: dict[int, dict[int, int]], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int]
) -> tuple[int, int] | None:
    """The first output that has room for a value, and where."""
    for output, offsets in stays.items():
        if sizes[b] <= sizes[output] and dies[b] < born[output]:
            at = _free(b, offsets, sizes, born, dies)
            if at + sizes[b] <= sizes[output]:
                offsets[b] = at
                return output, at
    return None


def _free(b: int, offsets: Mapping[int, int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int]) -> int:
    """The first place for a value that is free for as long as it lives, given where others are."""
    at, alignment = 0, _alignment(sizes[b])
    meets = [(start, o) for o, start in offsets.items() if born[b] <= dies[o] and born[o] <= dies[b]]
    for start, o in sorted(meets):
        if _up(at, alignment) + sizes[b] <= start:
            break
        at = max(at, start + sizes[o])
    return _up(at, alignment)


def in_place(nest: Nest) -> list[tuple[int, int]]:
    """Pairs of a buffer that is written and one that is read at the same place, and nowhere else."""
    reads: dict[int, set[Access]] = {}
    for v in nest.values:
        if isinstance(v, Load):
            reads.setdefault(v.access.slot, set()).add(v.access)
    elsewhere = set(written(nest))
    elsewhere.update(v.access.slot for v in nest.values if isinstance(v, Gather))  # it is read anywhere
    found = []
    for store in nest.stores:
        for slot, accesses in reads.items():
            (one, *more) = accesses
            same = not more and (one.strides, one.offset, one.kind) == (
                store.access.strides, store.access.offset, store.access.kind,
            )  # fmt: skip
            if same and slot not in elsewhere:
                found.append((store.access.slot, slot))
    return found


def read(nest: Nest) -> list[int]:
    """The buffers that a kernel reads."""
    return [v.access.slot for v in nest.values if isinstance(v, (Load, Gather))]


def written(nest: Nest) -> list[int]:
    """The buffers that a kernel writes to."""
    stores = [s.access.slot for s in nest.stores]
    return stores + [r.access.slot for r in nest.reduces] + [s.access.slot for s in nest.scatters]


def _alignment(size: int) -> int:
    """At least that of an element, and no more than what costs an eighth of the size."""
    return 1 << max(1, min(size, 8), min(size // 8, ALIGNMENT)).bit_length() >> 1


def _up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _events(groups: Sequence[int], at: dict[int, int], count: int) -> list[list[int]]:
    out: list[list[int]] = [[] for _ in range(count)]
    for b in groups:
        out[at[b]].append(b)
    return out


def _by_step(
    groups: Sequence[int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int], count: int
) -> tuple[dict[int, int], int]:
    """Offsets, step by step: the smallest gap that is large enough."""
    starts, ends = _events(groups, born, count), _events(groups, dies, count)
    offsets: dict[int, int] = {}
    gaps: list[tuple[int, int]] = []
    """Where they begin and end."""
    top = 0
    for k in range(count):
        for b in sorted(starts[k], key=lambda b: -sizes[b]):
            need, alignment = sizes[b], _alignment(sizes[b])
            fitting = [(end - at, at, end) for at, end in gaps if _up(at, alignment) + need <= end]
            if fitting:
                _, at, end = min(fitting)
            else:  # the last gap grows, if there is one at the end
                at, end = gaps[-1] if gaps and gaps[-1][1] == top else (top, top)
            offsets[b] = start = _up(at, alignment)
            if at < end:
                gaps.remove((at, end))
            gaps = _merged([*gaps, (at, start), (start + need, end)])
            top = max(top, start + need)
        gaps = _merged([*gaps, *[(offsets[b], offsets[b] + sizes[b]) for b in ends[k]]])
    return offsets, top


def _merged(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for at, end in sorted(gaps):
        if at >= end:
            continue
        if out and out[-1][1] == at:
            out[-1] = (out[-1][0], end)
        else:
            out.append((at, end))
    return out


def _by_size(
    groups: Sequence[int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int]
) -> tuple[dict[int, int], int]:
    """Offsets, the largest values first, each at the first place that is free for as long as it lives."""
    offsets: dict[int, int] = {}
    for b in sorted(groups, key=lambda b: (-sizes[b], born[b])):
        offsets[b] = _free(b, offsets, sizes, born, dies)
    return offsets, max((offsets[b] + sizes[b] for b in groups), default=0)


def _live(groups: Sequence[int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int], count: int) -> int:
    starts, ends = _events(groups, born, count), _events(groups, dies, count)
    now = most = 0
    for k in range(count):
        now += sum(sizes[b] for b in starts[k])
        most = max(most, now)
        now -= sum(sizes[b] for b in ends[k])
    return most
