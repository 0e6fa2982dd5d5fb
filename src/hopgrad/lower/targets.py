"""Results that go into arrays of the caller: computed there, where that is safe, or copied there at the end.

A kernel may write into the memory of an input if it computes each element from the same element at most, and nothing
reads the input afterwards. Such kernels go to the end of the program, and after them nothing can fail: a program that
ends early leaves the caller's arrays as they were.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence

from hopgrad.lower.fuse import CallStep, KernelStep, Schedule
from hopgrad.lower.machine import Source
from hopgrad.lower.memory import touched
from hopgrad.lower.nest import Gather, Load
from hopgrad.lower.parts import work

COPIED = 0.4
"""About how many nanoseconds it takes to write an element to new memory and copy it to where it belongs."""

COPY = Source(
    """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i32 @NAME(ptr %slots, ptr %params) {
  %from = load i64, ptr %params
  %to_at = getelementptr i64, ptr %params, i64 1
  %to = load i64, ptr %to_at
  %size_at = getelementptr i64, ptr %params, i64 2
  %size = load i64, ptr %size_at
  %source_at = getelementptr ptr, ptr %slots, i64 %from
  %source = load ptr, ptr %source_at
  %target_at = getelementptr ptr, ptr %slots, i64 %to
  %target = load ptr, ptr %target_at
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %size, i1 false)
  ret i32 0
}
"""
)
"""A step that copies: from a slot, to a slot, so many bytes."""

APART = Source(
    """
define i32 @NAME(ptr %slots, ptr %params) {
start:
  %count = load i64, ptr %params
  %first = getelementptr i64, ptr %params, i64 1
  br label %outer
outer:
  %i = phi i64 [ 0, %start ], [ %after, %outer_next ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %one, label %good
one:
  %entry = getelementptr [4 x i64], ptr %first, i64 %i
  %slot = load i64, ptr %entry
  %low_at = getelementptr i64, ptr %entry, i64 1
  %low = load i64, ptr %low_at
  %high_at = getelementptr i64, ptr %entry, i64 2
  %high = load i64, ptr %high_at
  %written_at = getelementptr i64, ptr %entry, i64 3
  %written = load i64, ptr %written_at
  %is_written = icmp ne i64 %written, 0
  br i1 %is_written, label %place, label %outer_next
place:
  %base_at = getelementptr i64, ptr %slots, i64 %slot
  %base = load i64, ptr %base_at
  %start_of = add i64 %base, %low
  %end_of = add i64 %base, %high
  br label %inner
inner:
  %j = phi i64 [ 0, %place ], [ %next, %apart ]
  %rest = icmp slt i64 %j, %count
  br i1 %rest, label %other, label %outer_next
other:
  %other_entry = getelementptr [4 x i64], ptr %first, i64 %j
  %other_slot = load i64, ptr %other_entry
  %other_low_at = getelementptr i64, ptr %other_entry, i64 1
  %other_low = load i64, ptr %other_low_at
  %other_high_at = getelementptr i64, ptr %other_entry, i64 2
  %other_high = load i64, ptr %other_high_at
  %other_base_at = getelementptr i64, ptr %slots, i64 %other_slot
  %other_base = load i64, ptr %other_base_at
  %other_start = add i64 %other_base, %other_low
  %other_end = add i64 %other_base, %other_high
  %before = icmp ult i64 %start_of, %other_end
  %behind = icmp ult i64 %other_start, %end_of
  %meets = and i1 %before, %behind
  %different = icmp ne i64 %i, %j
  %bad = and i1 %meets, %different
  br i1 %bad, label %fail, label %apart
apart:
  %next = add i64 %j, 1
  br label %inner
outer_next:
  %after = add i64 %i, 1
  br label %outer
good:
  ret i32 0
fail:
  ret i32 1
}
"""
)
"""A step that fails if an array that is written to overlaps another one: how many arrays there are, and for each its
slot, where its elements begin and end, in bytes from its address, and whether it is written to."""


def put_last(schedule: Schedule, targets: Mapping[int, int]) -> dict[int, int]:
    """Have kernels that can write into inputs come last; for each result that goes there, the input (as buffers).

    Args:
        schedule: Its steps are put in another order. Where a kernel writes such a result, and something else that is
            needed before (whether a gradient is finite, say), it becomes two if that costs less than copying.
        targets: By the number of a result, the number of the input that it is for.
    """
    inputs = {b.number: k for k, b in enumerate(schedule.buffers) if b.role == "input"}
    wanted = {schedule.outputs[result]: inputs[number] for result, number in targets.items() if number in inputs}
    wanted = {b: i for b, i in wanted.items() if schedule.buffers[b].role == "output"}
    ordered: list[tuple[KernelStep | CallStep, bool]] = []
    """From the end, with whether something that can fail needs it."""
    needed: set[int] = set()
    for step in reversed(schedule.steps):
        if _can_fail(step) or not needed.isdisjoint(touched(step)[1]):
            for part, is_needed in _split(step, {b for b in wanted if b not in needed}):
                ordered.append((part, is_needed))
                if is_needed:
                    needed.update(touched(part)[0])
        else:
            ordered.append((step, False))
    first: list[KernelStep | CallStep] = []
    last: list[KernelStep] = []
    moved = set(wanted)
    for step, is_needed in reversed(ordered):
        reads, writes = touched(step)
        if not is_needed and isinstance(step, KernelStep) and not moved.isdisjoint((*reads, *writes)):
            last.append(step)
            moved.update(writes)
        else:
            first.append(step)
    schedule.steps = [*first, *last]
    found: dict[int, int] = {}
    written = [b for step in schedule.steps for b in touched(step)[1]]
    for k, step in enumerate(last):
        later = {b for other in last[k + 1 :] for b in touched(other)[0]}
        (nest,) = step.nests
        for store in nest.stores:
            output = store.access.slot
            target = wanted.get(output)
            if target is None or target in later or target in found.values() or written.count(output) > 1:
                continue
            loads = {v.access for v in nest.values if isinstance(v, Load) and v.access.slot == target}
            same = all(
                (a.strides, a.offset, a.kind) == (store.access.strides, store.access.offset, store.access.kind)
                for a in loads
            )
            if same and schedule.buffers[output].aval is schedule.buffers[target].aval:
                found[output] = target
    return found


def _can_fail(step: KernelStep | CallStep) -> bool:
    """Whether a program may end at a step, or one of its elements is written more than once."""
    if not isinstance(step, KernelStep):
        return True
    (nest,) = step.nests
    return bool(nest.checks or nest.scatters or any(isinstance(v, Gather) for v in nest.values))


def _split(step: KernelStep | CallStep, wanted: Container[int]) -> list[tuple[KernelStep | CallStep, bool]]:
    """A step that is needed, without what it writes to some buffers; before it that, which is not needed."""
    if not isinstance(step, KernelStep) or _can_fail(step):
        return [(step, True)]
    (nest,) = step.nests
    late = [s for s in nest.stores if s.access.slot in wanted]
    if not late:
        return [(step, True)]
    early = nest.only([s for s in nest.stores if s not in late], nest.reduces)
    update = nest.only(late, ())
    copying = COPIED * len(late) * math.prod(nest.shape)
    if work(early) + work(update) > work(nest) + copying:
        return [(step, True)]
    return [(KernelStep([update], step.level), False), (KernelStep([early], step.level), True)]


def span(shape: Sequence[int], strides: Sequence[int], size: int) -> tuple[int, int] | None:
    """Where the elements of an array begin and end, in bytes from its address; None if there are none."""
    if 0 in shape:
        return None
    ends = [(n - 1) * s * size for n, s in zip(shape, strides, strict=True)]
    return sum(min(e, 0) for e in ends), sum(max(e, 0) for e in ends) + size
