"""Programs: the steps of a graph compiled, with their memory, ready to run."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Shape
from hopgrad.graph.builder import Builder
from hopgrad.graph.hop import Compound
from hopgrad.lower import memory, nest
from hopgrad.lower.fuse import Buffer, CallStep, Fuser, KernelStep, Library, Schedule
from hopgrad.lower.machine import Loaded, Source, load
from hopgrad.lower.views import View

_RUN = """
define i32 @NAME(ptr %program, ptr %slots) {
entry:
  br label %head
head:
  %at = phi ptr [%program, %entry], [%next, %done]
  %step = load ptr, ptr %at
  %last = icmp eq ptr %step, null
  br i1 %last, label %end, label %go
go:
  %after = getelementptr ptr, ptr %at, i64 1
  %params = load ptr, ptr %after
  %bad = call i32 %step(ptr %slots, ptr %params)
  %fine = icmp eq i32 %bad, 0
  br i1 %fine, label %done, label %end
done:
  %next = getelementptr ptr, ptr %at, i64 2
  br label %head
end:
  %result = phi i32 [0, %head], [%bad, %go]
  ret i32 %result
}
"""


_COUNT = """
define i32 @NAME(ptr %slots, ptr %params) {
  %runs = load ptr, ptr %params
  %one = atomicrmw add ptr %runs, i64 1 monotonic
  ret i32 0
}
"""
"""The last step of a program: it counts the runs that came so far; its parameter is the counter's address."""


@functools.cache
def _runner() -> tuple[Loaded, Callable[[int, int], int]]:
    """The native function that runs the steps of a program one after the other."""
    (loaded,) = load([Source(_RUN)])
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)
    return loaded, call


@dataclass(slots=True)
class Segment:
    """Steps that run natively without a break."""

    table: Any
    """Pairs of step and parameters, ended by zeros; then the parameters."""
    address: int
    functions: list[Loaded]


class _Slots(NamedTuple):
    """The addresses of values, as far as they are the same for all calls, and what is to be filled in."""

    template: np.ndarray[Any, Any]
    placed: np.ndarray[Any, Any]
    """Temporary values, and their offsets in the block."""
    offsets: np.ndarray[Any, Any]
    inputs: list[tuple[int, int]]
    """Slots and numbers."""
    objects: list[tuple[int, int]]
    """Inputs that are no arrays: node and number."""
    outputs: list[tuple[int, Buffer]]


class Program:
    """Native code for some outputs of a graph.

    Args:
        builder: Simplified.
        outputs: What to compute.
        inputs: Values that will be given, in the order in which they are given to `run`; each with its strides in
            elements, None for what is no array.
        checks: Values that have to be what they were, else `run` gives None.
        library: Finds native forms of hops that are no loop nests.
    """

    def __init__(
        self,
        builder: Builder,
        outputs: Sequence[int],
        inputs: Mapping[int, tuple[int, ...] | None],
        checks: Sequence[tuple[int, float]] = (),
        library: Library | None = None,
    ) -> None:
        start = time.perf_counter()
        self.builder = builder
        self.inputs = dict(inputs)
        self._asked = (tuple(outputs), tuple(checks), library)
        schedule = self.schedule()
        self.layout = memory.plan(schedule)
        self.buffers = schedule.buffers
        self.outputs = schedule.outputs
        self.flops = sum(_flops(step) for step in schedule.steps)
        """Operations on numbers, functions counted as one."""
        self._native(schedule)
        self.seconds = time.perf_counter() - start

    # -- making ----------------------------------------------------------------------------------------------------

    def schedule(self) -> Schedule:
        """What to do, in order: worked out anew, since it takes more memory than the code that is made of it."""
        outputs, checks, library = self._asked
        return Fuser(self.builder, outputs, self.inputs, checks, library).schedule()

    def _native(self, schedule: Schedule) -> None:
        """Compile, and group the steps."""
        written = [native(step) for step in schedule.steps]
        *steps, count = load([*[pair[0] for pair in written if pair is not None], Source(_COUNT, quick=True)])
        loaded = iter(steps)
        self.kernels = len(set(steps))
        """How many distinct kernels there are."""
        self.stored = sum(one.stored for one in set(steps))
        """How many of them came from disk."""
        self.parts: list[Segment | CallStep] = []
        self._runs = (ctypes.c_int64 * 1)()
        group: list[tuple[Loaded, list[int]]] = []

        def close() -> None:
            if group:
                self.parts.append(_segment(group))
                group.clear()

        for pair, step in zip(written, schedule.steps, strict=True):
            if pair is not None:
                group.append((next(loaded), pair[1]))
            else:
                close()
                assert isinstance(step, CallStep)
                self.parts.append(step)
        group.append((count, [ctypes.addressof(self._runs)]))
        close()

    @functools.cached_property
    def _slots(self) -> _Slots:
        """Which entry points do not need."""
        buffers = self.buffers
        template = np.zeros(max(1, len(buffers)), np.uint64)
        for k, buffer in enumerate(buffers):
            if buffer.role == "constant":
                assert buffer.data is not None
                template[k] = _address(buffer.data)
        by_python = {s.result for s in self.parts if isinstance(s, CallStep)}
        return _Slots(
            template,
            np.array(list(self.layout.offsets), np.intp),
            np.array(list(self.layout.offsets.values()), np.uint64),
            [(k, b.number) for k, b in enumerate(buffers) if b.role == "input"],
            [(node, k) for k, (node, strides) in enumerate(self.inputs.items()) if strides is None],
            [(k, b) for k, b in enumerate(buffers) if b.role == "output" and k not in by_python],
        )

    @property
    def runs(self) -> int:
        """How often the program ran to its end, from Python or from an entry point."""
        return self._runs[0]

    @property
    def is_native(self) -> bool:
        """Whether it runs without any step of NumPy."""
        return all(isinstance(part, Segment) for part in self.parts)

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, given: Sequence[Any]) -> list[Any] | None:
        """The outputs for values of the inputs, arrays of the strides that were said.

        None if what was computed does not count: a guard does not hold, or a library's function failed.
        """
        table = self._slots
        slots = table.template.copy()
        block = np.empty(self.layout.size + memory.ALIGNMENT, np.uint8)
        base = _address(block)
        base += -base % memory.ALIGNMENT
        slots[table.placed] = table.offsets + np.uint64(base)
        arrays: dict[int, Any] = {}
        for k, number in table.inputs:
            arrays[k] = data = np.asarray(given[number])
            slots[k] = _address(data)
        for k, buffer in table.outputs:
            arrays[k] = data = np.empty(buffer.aval.shape, buffer.aval.dtype)
            slots[k] = _address(data)
        for k, (output, offset) in self.layout.shared.items():
            slots[k] = int(slots[output]) + offset
        objects: dict[int, Any] = {}
        for node, number in table.objects:
            objects[node] = given[number]
        address = _address(slots)
        _, call = _runner()
        for part in self.parts:
            if isinstance(part, Segment):
                if call(part.address, address):
                    return None
            else:
                self._call(part, slots, block, base, arrays, objects)
        return [arrays[b] for b in self.outputs]

    def _call(
        self, step: CallStep, slots: Any, block: Any, base: int, arrays: dict[int, Any], objects: dict[int, Any]
    ) -> None:
        """A step that NumPy computes."""
        operands = []
        for operand in step.operands:
            if isinstance(operand, View):
                operands.append(self._array(operand, slots, arrays, block))
            else:
                operands.append(objects[operand])
        if isinstance(step.hop, Compound):
            function = step.hop.bind(tuple(sorted(step.params.items())), step.wanted)
            found = function(*operands)
        else:
            with np.errstate(all="ignore"):
                found = step.hop.function(*operands, **step.params)
        if step.result < 0:
            objects[step.node] = found
            return
        like = self.buffers[step.result].aval
        array = np.ascontiguousarray(found, like.dtype).reshape(like.shape)
        if not array.flags.owndata or not array.flags.writeable or any(array is o for o in operands):
            array = array.copy()
        arrays[step.result] = array
        slots[step.result] = _address(array)

    def _array(self, view: View, slots: Any, arrays: dict[int, Any], block: Any) -> Any:
        """The values that a view shows, as NumPy sees them: a scalar, if there are no axes."""
        buffer = self.buffers[view.buffer]
        dtype = buffer.aval.dtype
        owner = arrays.get(view.buffer, block if buffer.data is None else buffer.data)
        strides = tuple(s * dtype.itemsize for s in view.strides)
        address = int(slots[view.buffer]) + view.offset * dtype.itemsize
        return np.asarray(_Memory(owner, address, view.shape, strides, dtype.str))[()]


def native(step: KernelStep | CallStep) -> tuple[Source, list[int]] | None:
    """The text and the parameters of a step, if it is native."""
    if isinstance(step, KernelStep):
        return nest.write(nest.arranged(step.nest))
    return (step.native.source, step.native.params) if step.native is not None else None


def _flops(step: KernelStep | CallStep) -> int:
    if isinstance(step, KernelStep):
        return step.nest.flops
    return step.native.flops if step.native is not None else 0


def _segment(group: Sequence[tuple[Loaded, list[int]]]) -> Segment:
    """The table of some steps, each given with its parameters."""
    first = 2 * len(group) + 2
    words = [word for _, params in group for word in params]
    table = (ctypes.c_int64 * (first + len(words)))(*[0] * first, *words)
    address = ctypes.addressof(table)
    for k, (function, params) in enumerate(group):
        table[2 * k], table[2 * k + 1] = function.address, address + 8 * first
        first += len(params)
    return Segment(table, address, [function for function, _ in group])


class _Memory:
    """Elements from an address on, for NumPy; keeps alive what they belong to."""

    def __init__(self, owner: Any, address: int, shape: Shape, strides: tuple[int, ...], dtype: str) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, True), "shape": shape, "strides": strides, "typestr": dtype, "version": 3,
        }  # fmt: skip


def _address(array: Any) -> int:
    found: int = array.__array_interface__["data"][0]
    return found
