"""The memory of a program: one block for all temporary values, laid out before anything runs.

A value lives from the step that makes it to the last one that reads it; memory of a dead value is used again. A kernel
that reads a value for the last time, element for element where it writes another, writes into the same memory; if what
it writes is a result, the value before lives in the result's memory from the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hopgrad.lower.fuse import CallStep, KernelStep, Schedule
from hopgrad.lower.nest import Access, Gather, Load, Nest
from hopgrad.lower.views import View

ALIGNMENT = 64


@dataclass
class Layout:
    """Where temporary values are: offsets in the block, or the output in whose memory they live."""

    offsets: dict[int, int]
    shared: dict[int, int]
    """Temporary buffers that live in an output's memory, and the output's buffer."""
    size: int
    live: int
    """The most bytes of temporary values that are alive at once: no layout can do with less."""


def touched(step: KernelStep | CallStep) -> tuple[list[int], list[int]]:
    """(buffers that a step reads, buffers that it writes)."""
    if isinstance(step, KernelStep):
        nest = step.nest
        reads = [v.access.slot for v in nest.values if isinstance(v, (Load, Gather))]
        return reads, _written(nest)
    reads = [v.buffer for v in step.operands if isinstance(v, View)]
    writes = [*step.written, step.result] if step.result >= 0 else list(step.written)
    if step.scratch >= 0:
        writes.append(step.scratch)
    return reads, writes


def plan(schedule: Schedule) -> Layout:
    """Lay out the memory of a schedule."""
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    for k, step in enumerate(schedule.steps):
        reads, writes = touched(step)
        for b in (*reads, *writes):
            born.setdefault(b, k)
            dies[b] = k
    leader: dict[int, int] = {}
    """For each buffer whose memory it lives in."""

    def find(b: int) -> int:
        while b in leader:
            b = leader[b]
        return b

    for k, step in enumerate(schedule.steps):
        if isinstance(step, KernelStep):
            for new, old in _in_place(step.nest):
                if born[new] != k or dies[find(old)] != k or find(new) == find(old):
                    continue
                if schedule.buffers[find(old)].role != "temporary":
                    continue
                if schedule.buffers[new].aval is not schedule.buffers[find(old)].aval:
                    continue  # a kernel may write a part only
                if schedule.buffers[new].role == "output":
                    leader[find(old)] = new
                    born[new] = min(born[new], born[old])
                elif schedule.buffers[new].role == "temporary":
                    leader[new] = find(old)
                    dies[find(old)] = dies[new]
    temporary = [b for b in born if schedule.buffers[b].role == "temporary"]
    shared = {b: find(b) for b in temporary if schedule.buffers[find(b)].role == "output"}
    groups = [b for b in temporary if find(b) == b]
    sizes = {b: schedule.buffers[b].bytes for b in groups}
    offsets, size = _assign(groups, sizes, born, dies, len(schedule.steps))
    live = _live(groups, sizes, born, dies, len(schedule.steps))
    return Layout({b: offsets[find(b)] for b in temporary if b not in shared}, shared, size, live)


def _in_place(nest: Nest) -> list[tuple[int, int]]:
    """Pairs of a buffer that is written and one that is read at the same place, and nowhere else."""
    reads: dict[int, set[Access]] = {}
    for v in nest.values:
        if isinstance(v, Load):
            reads.setdefault(v.access.slot, set()).add(v.access)
    written = set(_written(nest))
    written.update(v.access.slot for v in nest.values if isinstance(v, Gather))  # it is read anywhere
    found = []
    taken: set[int] = set()
    for store in nest.stores:
        for slot, accesses in reads.items():
            (one, *more) = accesses
            same = not more and (one.strides, one.offset, one.kind) == (
                store.access.strides, store.access.offset, store.access.kind,
            )  # fmt: skip
            if same and slot not in written and slot not in taken:
                taken.add(slot)
                found.append((store.access.slot, slot))
                break
    return found


def _written(nest: Nest) -> list[int]:
    """The buffers that a kernel writes to."""
    stores = [s.access.slot for s in nest.stores]
    return stores + [r.access.slot for r in nest.reduces] + [s.access.slot for s in nest.scatters]


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _events(groups: Sequence[int], at: dict[int, int], count: int) -> list[list[int]]:
    out: list[list[int]] = [[] for _ in range(count)]
    for b in groups:
        out[at[b]].append(b)
    return out


def _assign(
    groups: Sequence[int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int], count: int
) -> tuple[dict[int, int], int]:
    """Offsets, step by step: the smallest gap that is large enough."""
    starts, ends = _events(groups, born, count), _events(groups, dies, count)
    offsets: dict[int, int] = {}
    gaps: list[tuple[int, int]] = []
    top = 0
    for k in range(count):
        for b in sorted(starts[k], key=lambda b: -sizes[b]):
            need = _rounded(sizes[b])
            fitting = [(n, at) for at, n in gaps if n >= need]
            if fitting:
                n, at = min(fitting)
                gaps.remove((at, n))
                if n > need:
                    gaps.append((at + need, n - need))
            elif gaps and max(gaps)[0] + max(gaps)[1] == top:  # the last gap grows
                at, n = max(gaps)
                gaps.remove((at, n))
                top = at + need
            else:
                at = top
                top += need
            offsets[b] = at
        gaps = _merged([*gaps, *[(offsets[b], _rounded(sizes[b])) for b in ends[k]]])
    return offsets, top


def _merged(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for at, n in sorted(gaps):
        if n == 0:
            continue
        if out and out[-1][0] + out[-1][1] == at:
            out[-1] = (out[-1][0], out[-1][1] + n)
        else:
            out.append((at, n))
    return out


def _live(groups: Sequence[int], sizes: dict[int, int], born: dict[int, int], dies: dict[int, int], count: int) -> int:
    starts, ends = _events(groups, born, count), _events(groups, dies, count)
    now = most = 0
    for k in range(count):
        now += sum(_rounded(sizes[b]) for b in starts[k])
        most = max(most, now)
        now -= sum(_rounded(sizes[b]) for b in ends[k])
    return most
