"""Programs: the steps of a graph compiled, with their memory, ready to run."""

from __future__ import annotations

import ctypes
import functools
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Shape
from hopgrad.graph.builder import Builder
from hopgrad.graph.hop import Compound
from hopgrad.lower import memory, nest, parts, targets
from hopgrad.lower.fuse import Buffer, CallStep, Compounds, Fuser, KernelStep, Library, Schedule
from hopgrad.lower.machine import RUN, Effort, Hole, Loaded, Source, give_back, load, table
from hopgrad.lower.pool import SPLIT, pool
from hopgrad.lower.views import View

LARGE = 1 << 23
"""From how many bytes of temporary values on memory is given back first that making the program needed."""

COUNT = Source("""
define i32 @NAME(ptr %slots, ptr %params) {
  %runs = load ptr, ptr %params
  %one = atomicrmw add ptr %runs, i64 1 monotonic
  ret i32 0
}
""", Effort.NONE)  # fmt: skip
"""The last step of a program: it counts the runs that came so far; its parameter is the counter's address."""

GATE = Source("""
define i32 @NAME(ptr %slots, ptr %params) {
  %left = load ptr, ptr %params
  %before = load i64, ptr %left
  %after = sub i64 %before, 1
  store i64 %after, ptr %left
  %is_last = icmp eq i64 %before, 1
  %bad = zext i1 %is_last to i32
  ret i32 %bad
}
""", Effort.NONE)  # fmt: skip
"""The first step of a program whose kernels are to be made better later: it counts down the runs until then, and has
one call fall back to Python, which sees to it. Threads may disturb each other, but somebody counts down from 1."""


@functools.cache
def runner() -> tuple[Loaded, Callable[[int, int], int]]:
    """The native function that runs the steps of a program one after the other."""
    (loaded,) = load([RUN])
    call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p)(loaded.address)
    return loaded, call


@dataclass(slots=True)
class Segment:
    """Steps that run natively without a break."""

    table: Any
    address: int
    entry: int
    """Where calls begin that do not come from Python: at the gate, if there is one."""


HEAVY = 1_000_000
"""How much work (in nanoseconds, about) a kernel does at a call if LLVM's full effort is to pay at once."""

PATIENCE = 100
"""How many nanoseconds, about, a program has run before its kernels are made better, for each character of their text:
a small part of what that takes."""

_CALLING = 50
"""How many nanoseconds a step takes, about, beside its work."""

_SPEED = 4
"""How many operations libraries make in a nanosecond."""


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
        self.written_to = frozenset(self.targets.values())
        """The numbers of inputs whose arrays are written to."""
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
        self.flops = sum(nest.flops for step in schedule.steps if isinstance(step, KernelStep) for nest in step.nests)
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
        parts.cut(found, self.placed)
        return found

    @functools.cached_property
    def written(self) -> list[tuple[Source, list[int]] | None]:
        """The text and the parameters of each step that is native."""
        return [_written(step, self.repeated) for step in self.schedule.steps]

    @functools.cached_property
    def sources(self) -> list[Source]:
        """The distinct kernels, those of inner programs too."""
        found = [pair[0] for pair in self.written if pair is not None]
        found += [source for one in self.cut for source in one.sources]
        for program in self.inner:
            found += program.sources
        return list(dict.fromkeys(found))

    @property
    def holes(self) -> list[Hole]:
        """Where code goes that its steps run."""
        return [hole for one in [*self.inner, *self.cut] for hole in one.holes]

    def work(self, times: int = 1) -> Counter[Source]:
        """About how many nanoseconds each of the kernels takes, of a program that runs so many times at a call."""
        found: Counter[Source] = Counter()
        for step, pair in zip(self.schedule.steps, self.written, strict=True):
            if isinstance(step, KernelStep):
                assert pair is not None
                sources = [pair[0]] if step.parts is None else step.parts.kernels
                for one, source in zip(step.nests, sources, strict=True):
                    found[source] += times * (_CALLING + round(parts.work(one)))
            elif step.native is not None:
                own = _CALLING * step.native.times if step.native.programs else step.native.flops // _SPEED
                found[step.native.source] += times * (_CALLING + own)
                for program in step.native.programs:
                    found += program.work(times * step.native.times)
        return found

    def forget(self) -> None:
        """Drop what is not needed to run."""
        for name in ("schedule", "written", "sources"):
            vars(self).pop(name, None)
        for program in self.inner:
            program.forget()


def _written(step: KernelStep | CallStep, repeated: bool) -> tuple[Source, list[int]] | None:
    """The text and the parameters of a step, if it is native."""
    if step.parts is not None:
        return SPLIT, step.parts.words
    if isinstance(step, KernelStep):
        (one,) = step.nests
        source, params = nest.write(nest.arranged(one))
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

    @property
    def holes(self) -> list[Hole]:
        """Where code goes, its own too."""
        own = [Hole(self._table, k, pair[0]) for k, pair in enumerate(self.written) if pair is not None]
        return own + super().holes

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
        if self.layout.size >= LARGE:
            give_back()
        self.seconds = time.perf_counter() - start

    # -- making ----------------------------------------------------------------------------------------------------

    def _native(self) -> None:
        """Group the steps, and compile."""
        self.parts: list[Segment | CallStep] = []
        self._runs = (ctypes.c_int64 * 1)()
        self._left = (ctypes.c_int64 * 1)()
        """How many runs are left until kernels that were made with little effort are made better."""
        self._loaded: list[Loaded] = []
        work = self.work()
        light = {s for s, nanoseconds in work.items() if s.effort == Effort.BEST and nanoseconds < HEAVY}
        holes = self.holes
        group: list[tuple[Source, list[int]]] = []

        def close() -> None:
            if not group:
                return
            steps = table([params for _, params in group])
            holes.extend(Hole(steps, k, source) for k, (source, _) in enumerate(group))
            start = ctypes.addressof(steps)
            behind = start + 16 if group[0][0] is GATE else start
            self.parts.append(Segment(steps, behind, start))
            group.clear()

        if light and self.is_native:
            group.append((GATE, [ctypes.addressof(self._left)]))
        if self.targets:
            group.append((targets.APART, self._spans()))
        for pair, step in zip(self.written, self.schedule.steps, strict=True):
            if pair is not None:
                group.append(pair)
            else:
                close()
                assert isinstance(step, CallStep)
                self.parts.append(step)
        group += [(targets.COPY, words) for words in self._copies()]
        group.append((COUNT, [ctypes.addressof(self._runs)]))
        close()
        loaded = self._fill(holes, light)
        patience = PATIENCE * sum(len(source.text) for source in {hole.source for hole in self._rough})
        self._left[0] = math.ceil(patience / max(1000, work.total()))
        if SPLIT in loaded:
            pool().start()
        self.kernels = len(self.sources)
        """How many distinct kernels there are."""
        self.stored = sum(loaded[source].stored for source in self.sources)
        """How many of them came from disk."""

    def _fill(self, holes: Sequence[Hole], light: Collection[Source] = ()) -> dict[Source, Loaded]:
        """Compile, and write the addresses. What was made with little effort is noted, to be made better later."""
        sources = list(dict.fromkeys(hole.source for hole in holes))
        loaded = dict(zip(sources, load(sources, light), strict=True))
        for hole in holes:
            hole.fill(loaded[hole.source])
        rough = {source for source, one in loaded.items() if one.symbol != source.symbol}
        self._rough = [hole for hole in holes if hole.source in rough]
        self._loaded += loaded.values()  # what other threads run meanwhile has to stay
        return loaded

    def improve(self) -> None:
        """Have LLVM's full effort for kernels that were made with little."""
        self._fill(self._rough)

    def _spans(self) -> list[int]:
        """The parameters of the step that looks whether arrays overlap."""
        strides, written = list(self.inputs.values()), self.written_to
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

        None if what was computed does not count: a guard does not hold, or a library's function failed. Results that
        may be computed in the memory of an input are, and come back as that array.

        Raises:
            ValueError: an array that is to be written to is read-only.
        """
        if self._rough:
            self._left[0] -= 1
            if self._left[0] <= 0:
                self.improve()
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
            if number in self.written_to and not data.flags.writeable:
                raise ValueError("assignment destination is read-only")
        for k, buffer in table.outputs:
            place = self.placed.get(k)
            data = np.empty(buffer.aval.shape, buffer.aval.dtype) if place is None else arrays[place]
            arrays[k] = data
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
                if call(address, part.address):
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
