"""Programs: the steps of a graph compiled, with their memory, ready to run."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Shape
from hopgrad.graph.builder import Builder
from hopgrad.graph.hop import Compound
from hopgrad.lower import memory, nest, parts, targets
from hopgrad.lower.fuse import Buffer, CallStep, Compounds, Fuser, KernelStep, Library, Schedule
from hopgrad.lower.machine import Effort, Loaded, Source, load, table
from hopgrad.lower.pool import SPLIT, pool
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
def runner() -> tuple[Loaded, Callable[[int, int], int]]:
    """The native function that runs the steps of a program one after the other."""
    (loaded,) = load([Source(_RUN)])
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)
    return loaded, call


@dataclass(slots=True)
class Segment:
    """Steps that run natively without a break."""

    table: Any
    address: int


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


class NotNativeError(Exception):
    """Something has no native form."""


class Steps:
    """The steps for some outputs of a graph, and where their values are: everything but machine code.

    What to do, and the text of it, takes more memory than the code, so it is worked out anew for whoever asks later.

    Args:
        builder: Simplified.
        outputs: What to compute.
        inputs: Values that will be given, in the order in which they are given; each with its strides in elements,
            None for what is no array.
        checks: Values that have to be what they were.
        library: Finds native forms of hops that are no loop nests.
        compound: Finds those of hops with several results.
        targets: For results that go into arrays of the caller: by number, the number of the input.
        whole: Whether kernels may have any size, since what they compute has most of its values in common.
    """

    def __init__(
        self,
        builder: Builder,
        outputs: Sequence[int],
        inputs: Mapping[int, tuple[int, ...] | None],
        checks: Sequence[tuple[int, float]] = (),
        library: Library | None = None,
        compound: Compounds | None = None,
        targets: Mapping[int, int] | None = None,
        whole: bool = False,
    ) -> None:
        self.builder = builder
        self.inputs = dict(inputs)
        self.targets = dict(targets or {})
        self._asked = (tuple(outputs), tuple(checks), library, compound, whole)
        self.placed: dict[int, int] = {}
        """Results that may be computed in the memory of an input, where an entry point says so: both as buffers."""
        schedule = self.schedule
        self.layout = memory.plan(schedule, self.lends, self.placed)
        self.buffers = schedule.buffers
        self.outputs = schedule.outputs
        native = [step.native for step in schedule.steps if isinstance(step, CallStep) and step.native is not None]
        self.inner: list[Inner] = [program for step in native for program in step.programs]
        """The programs that its own steps run."""
        self.cut = [step.parts for step in schedule.steps if step.parts is not None]
        """The steps that are in parts."""
        self.flops = sum(step.nest.flops for step in schedule.steps if isinstance(step, KernelStep))
        self.flops += sum(step.flops for step in native)
        """Operations on numbers, functions counted as one."""
        self.is_native = None not in self.written
        """Whether it runs without any step of NumPy."""

    repeated = False
    """Whether its steps are run many times at a call, so that good code is worth more of LLVM's time."""

    lends = True
    """Whether values may live anywhere in the memory of a result that is not written yet."""

    @functools.cached_property
    def schedule(self) -> Schedule:
        """What to do, in order."""
        outputs, checks, library, compound, whole = self._asked
        found = Fuser(self.builder, outputs, self.inputs, checks, library, compound, whole).schedule()
        if self.targets:
            self.placed = targets.put_last(found, self.targets)
        parts.cut(found)
        return found

    @functools.cached_property
    def written(self) -> list[tuple[Source, list[int]] | None]:
        """The text and the parameters of each step that is native."""
        return [_written(step, self.repeated) for step in self.schedule.steps]

    @functools.cached_property
    def sources(self) -> list[Source]:
        """The distinct kernels, those of inner programs too."""
        found = [pair[0] for pair in self.written if pair is not None] + [one.source for one in self.cut]
        for program in self.inner:
            found += program.sources
        return list(dict.fromkeys(found))

    def _connect(self, loaded: Mapping[Source, Loaded]) -> None:
        """Fill in the code of what its steps run."""
        for program in self.inner:
            program.connect(loaded)
        for one in self.cut:
            one.connect(loaded)

    def forget(self) -> None:
        """Drop what is not needed to run."""
        for name in ("schedule", "written", "sources"):
            vars(self).pop(name, None)
        for program in self.inner:
            program.forget()


def _written(step: KernelStep | CallStep, repeated: bool) -> tuple[Source, list[int]] | None:
    """The text and the parameters of a step, if it is native."""
    if step.parts is not None:
        return SPLIT, [pool().address, step.parts.address, step.parts.count]
    if isinstance(step, KernelStep):
        source, params = nest.write(nest.arranged(step.nest))
        return replace(source, effort=Effort.BEST) if repeated else source, params
    return (step.native.source, step.native.params) if step.native is not None else None


class Inner(Steps):
    """A program that a step of another one runs. It is native, and has its code from the other one.

    Raises:
        NotNativeError: a step of it has no native form.
    """

    lends = False
    repeated = True

    def __init__(
        self,
        builder: Builder,
        outputs: Sequence[int],
        inputs: Mapping[int, tuple[int, ...] | None],
        library: Library | None,
        compound: Compounds | None,
    ) -> None:
        super().__init__(builder, outputs, inputs, (), library, compound)
        if not self.is_native:
            raise NotNativeError
        self._table = table([pair[1] for pair in self.written if pair is not None])
        self.address = ctypes.addressof(self._table)

    def connect(self, loaded: Mapping[Source, Loaded]) -> None:
        """Fill in the code."""
        self._connect(loaded)
        for k, pair in enumerate(self.written):
            assert pair is not None
            self._table[2 * k] = loaded[pair[0]].address

    def places(self, role: str, number: int) -> list[int]:
        """The slots of an input or output: its own, and of what lives in an output's memory."""
        own = [k for k, b in enumerate(self.buffers) if b.role == role and b.number == number]
        return own + [k for k, (output, _) in self.layout.shared.items() if output in own]


class Program(Steps):
    """Native code for some outputs of a graph; for the arguments see `Steps`. `run` gives None if a check fails."""

    def __init__(
        self,
        builder: Builder,
        outputs: Sequence[int],
        inputs: Mapping[int, tuple[int, ...] | None],
        checks: Sequence[tuple[int, float]] = (),
        library: Library | None = None,
        compound: Compounds | None = None,
        targets: Mapping[int, int] | None = None,
        whole: bool = False,
    ) -> None:
        start = time.perf_counter()
        super().__init__(builder, outputs, inputs, checks, library, compound, targets, whole)
        self._native()
        self.forget()
        self.seconds = time.perf_counter() - start

    # -- making ----------------------------------------------------------------------------------------------------

    def _native(self) -> None:
        """Compile, and group the steps."""
        *found, count, apart, copy = load(
            [*self.sources, Source(_COUNT, effort=Effort.NONE), targets.APART, targets.COPY]
        )
        loaded = dict(zip(self.sources, found, strict=True))
        self._loaded = [*found, count, apart, copy]
        self.kernels = len(found)
        """How many distinct kernels there are."""
        self.stored = sum(one.stored for one in found)
        """How many of them came from disk."""
        self._connect(loaded)
        if SPLIT in loaded:
            pool().start()
        self.parts: list[Segment | CallStep] = []
        group: list[tuple[Loaded, list[int]]] = []
        self._runs = (ctypes.c_int64 * 1)()

        def close() -> None:
            if not group:
                return
            steps = table([params for _, params in group])
            for k, (function, _) in enumerate(group):
                steps[2 * k] = function.address
            self.parts.append(Segment(steps, ctypes.addressof(steps)))
            group.clear()

        if self.targets:
            group.append((apart, self._spans()))
        for pair, step in zip(self.written, self.schedule.steps, strict=True):
            if pair is not None:
                group.append((loaded[pair[0]], pair[1]))
            else:
                close()
                assert isinstance(step, CallStep)
                self.parts.append(step)
        group += [(copy, words) for words in self._copies()]
        group.append((count, [ctypes.addressof(self._runs)]))
        close()

    def _spans(self) -> list[int]:
        """The parameters of the step that looks whether arrays overlap."""
        strides, written = list(self.inputs.values()), set(self.targets.values())
        found: list[int] = []
        for k, buffer in enumerate(self.buffers):
            if buffer.role != "input" or strides[buffer.number] is None:
                continue
            shape, steps = buffer.aval.shape, strides[buffer.number] or ()
            ends = targets.span(shape, steps, buffer.aval.dtype.itemsize) if len(shape) == len(steps) else None
            if ends is not None:
                found += [k, *ends, int(buffer.number in written)]
        return [len(found) // 4, *found]

    def _copies(self) -> list[list[int]]:
        """The parameters of steps that copy results to where they belong, if they cannot be computed there."""
        inputs = {b.number: k for k, b in enumerate(self.buffers) if b.role == "input"}
        strides = list(self.inputs.values())
        found = []
        self.unplaced = set()
        for result, number in self.targets.items():
            output, target = self.outputs[result], inputs.get(number)
            if output in self.placed:
                continue
            like = self.buffers[output].aval
            if (
                target is None
                or not _is_in_c_order(like.shape, strides[number])
                or like is not self.buffers[target].aval
            ):
                self.unplaced.add(result)
            elif like.size and target is not None:
                found.append([output, target, self.buffers[output].bytes])
        return found

    unplaced: set[int]
    """Results that go into arrays of the caller, but not by native code."""

    @functools.cached_property
    def _slots(self) -> _Slots:
        """Which entry points do not need."""
        buffers = self.buffers
        template = np.zeros(max(1, len(buffers)), np.uint64)
        for k, buffer in enumerate(buffers):
            if buffer.data is not None:
                template[k] = address_of(buffer.data)
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

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, given: Sequence[Any]) -> list[Any] | None:
        """The outputs for values of the inputs, arrays of the strides that were said.

        None if what was computed does not count: a guard does not hold, or a library's function failed.
        """
        table = self._slots
        slots = table.template.copy()
        block = np.empty(self.layout.size + memory.ALIGNMENT, np.uint8)
        base = address_of(block)
        base += -base % memory.ALIGNMENT
        slots[table.placed] = table.offsets + np.uint64(base)
        arrays: dict[int, Any] = {}
        for k, number in table.inputs:
            arrays[k] = data = np.asarray(given[number])
            slots[k] = address_of(data)
        for k, buffer in table.outputs:
            arrays[k] = data = np.empty(buffer.aval.shape, buffer.aval.dtype)
            slots[k] = address_of(data)
        for k, (output, offset) in self.layout.shared.items():
            slots[k] = int(slots[output]) + offset
        objects: dict[int, Any] = {}
        for node, number in table.objects:
            objects[node] = given[number]
        address = address_of(slots)
        _, call = runner()
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
        slots[step.result] = address_of(array)

    def _array(self, view: View, slots: Any, arrays: dict[int, Any], block: Any) -> Any:
        """The values that a view shows, as NumPy sees them: a scalar, if there are no axes."""
        buffer = self.buffers[view.buffer]
        dtype = buffer.aval.dtype
        owner = arrays.get(view.buffer, block if buffer.data is None else buffer.data)
        strides = tuple(s * dtype.itemsize for s in view.strides)
        address = int(slots[view.buffer]) + view.offset * dtype.itemsize
        return np.asarray(_Memory(owner, address, view.shape, strides, dtype.str))[()]


def _is_in_c_order(shape: Shape, strides: tuple[int, ...] | None) -> bool:
    step = 1
    for n, s in zip(reversed(shape), reversed(strides or ()), strict=True):
        if n > 1 and s != step:
            return False
        step *= n
    return True


class _Memory:
    """Elements from an address on, for NumPy; keeps alive what they belong to."""

    def __init__(self, owner: Any, address: int, shape: Shape, strides: tuple[int, ...], dtype: str) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, True), "shape": shape, "strides": strides, "typestr": dtype, "version": 3,
        }  # fmt: skip


def address_of(array: Any) -> int:
    """Where the elements of an array are."""
    found: int = array.__array_interface__["data"][0]
    return found
