"""Traces kept from call to call: one for each path that the user's code took, chosen by its guards.

Running the user's Python code is the slow part of a gradient, and it need not be run again for arguments of the same
kind if (1) all that it read from outside is as it was (`hopgrad.outside`), and (2) all questions that it asked about
values (``if x > 0``) have the same answers. Both are checked at every call, in the order of the trace, before anything
that comes after them. What fails a check is traced anew; a trace is never trusted for its last answer.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from hopgrad.backend import LARGE, NativePlan, pays, rounds_alike
from hopgrad.batch import one_by_one
from hopgrad.errors import RetraceWarning
from hopgrad.evaluate import extend
from hopgrad.graph.graph import Guard
from hopgrad.lower.report import summary
from hopgrad.outside import Read
from hopgrad.trace import context
from hopgrad.trace.context import Trace

PATHS = 8
"""How many traces are kept for one kind of arguments, and how many misses in a row end the attempt."""

KINDS = 32
"""For how many kinds of arguments traces are kept."""

FUNCTIONS = 32
"""For how many functions `Repeated` keeps what was made."""

VALUES = 5_000_000
"""How many values (hops) all traces of one function may have together: about a gigabyte."""


class Recorded:
    """A trace with what has to hold for it to be replayed; `call` is the transform's own."""

    def __init__(self, trace: Trace, call: Any, inputs: Sequence[int], steady: bool = False) -> None:
        self.call = call
        self.steady = steady
        self.inputs = tuple(inputs)
        self.builder = trace.builder
        self.standing = trace.standing
        self.guards: list[Guard] = list(trace.guards.values())
        self.reads: list[Read] = list(trace.outside.reads) if trace.outside is not None else []
        self.interpreted = 0
        self.seconds = 0.0
        """How long the interpreter took for that."""
        self.later: Callable[..., bool] | None = None
        """Compiles a large trace, when that pays."""
        self.thorough: Callable[..., bool] | None = None
        """Compiles it again, with what was left out of lean code."""
        self.entry: Any = None
        """The entry point of its own."""
        self.failed: Guard | None = None
        self.native: NativePlan | None = None
        self._prepared: NativePlan | None = None
        self._lean = True
        self.entered = "called from Python"
        """How native code is reached."""
        self.trusted = True
        """Whether native code checks the guards."""

    def compile(
        self,
        nodes: Sequence[int],
        guards: Sequence[Guard],
        actual: Sequence[Any],
        more: Mapping[int, Any],
        checks: Sequence[int],
        targets: Mapping[int, int],
        whole: bool = False,
    ) -> bool:
        """Have native code for some values, if that pays by now: whether the matter is settled.

        It checks the guards, if it is sure to answer them as NumPy does: a sum that
        is rounded otherwise may decide ``if total == 1`` otherwise. Else the interpreter checks them first.

        Args:
            nodes: What to compute.
            guards: In terms of the inputs.
            actual: Values of the inputs, of the kind to compile for.
            more: Values of inputs that the transform added, by id.
            checks: Values that have to be true, whatever rounding does.
            targets: Which of the values, by their number, are written to which inputs.
            whole: Whether kernels may have any size.
        """
        arrays: dict[int, Any] = {}
        if not all(read.holds(arrays) for read in self.reads):
            return True
        known = {**dict(zip(self.inputs, actual, strict=True)), **arrays, **more}
        self.trusted = rounds_alike(self.builder, [guard.node for guard in guards])
        asked: list[tuple[int, Any]] = [(node, np.True_) for node in checks]
        if self.trusted:
            asked += [(guard.node, guard.value) for guard in guards]
        with self.call.unable:
            if self._prepared is None:
                self._prepared = NativePlan(self.builder, nodes, list(known), asked, targets, whole, lean=self._lean)
            if not self.steady and not pays(self._prepared.size, self.seconds):
                return False
            self._prepared.prepare(known)
            self.native, self._prepared = self._prepared, None
        return True

    def distrust(self) -> None:
        """Lean code could not compute what was asked for: have it compiled with everything."""
        if self.native is not None and self.native.lean and self._lean:
            self._lean = False
            self.later, self.thorough = self.thorough, None

    @property
    def is_due(self) -> bool:
        """Whether to try and `compile` a large trace now."""
        if self.steady:
            return True
        if self._prepared is None:
            return len(self.builder) <= LARGE or self.interpreted > 0
        return pays(self._prepared.size, self.seconds)

    @property
    def replayed(self) -> int:
        """How often it was replayed, by native code or by the interpreter."""
        return self.interpreted + (self.native.runs if self.native is not None else 0)

    @property
    def plans(self) -> list[NativePlan]:
        """What was compiled: for the whole call, and for parts of it."""
        return [plan for plan in (self.native, *self.call.plans) if plan is not None]

    def told(self) -> list[str]:
        """What was compiled, in a few lines."""
        lines = []
        if self.later is not None:
            large = "large: compiled when the interpreter's replays have taken as long as compiling would take"
            lines.append(large if len(self.builder) > LARGE else "compiled when native code is asked for")
        tries = [self.call.unable, *[plan.unable for plan in self.plans]]
        lines += [f"by NumPy: {found.reason}" for found in tries if found.reason]
        for plan in self.plans:
            for program in plan.programs:
                lines += summary(program)
        lines += [f"for one value of a batch after the other: {name}" for name in one_by_one(self.builder)]
        if self.native is not None:
            if not self.trusted:
                lines.append("guards by NumPy first: what they depend on may be rounded otherwise by native code")
            lines.append(self.entered)
        return lines

    def given(self, actual: Sequence[Any]) -> dict[int, Any] | None:
        """Values of the inputs, if everything that was read from outside is as it was; else None."""
        arrays: dict[int, Any] = {}
        for read in self.reads:
            if not read.holds(arrays):
                return None
        known: dict[int, Any] = dict(zip(self.inputs, actual, strict=True))
        known.update(arrays)
        return known

    def holds(self, known: dict[int, Any]) -> bool:
        """Whether all guards hold; what they need is put into `known`."""
        for guard in self.guards:
            if not agrees(extend(self.builder, guard.node, known, self.standing), guard.value):
                self.failed = guard
                return False
        return True

    def place(self, guard: Guard) -> str:
        """The line of a guard."""
        found = self.builder.sites.location(guard.site)
        return context.describe(found) if found else "an unknown place"


def agrees(value: Any, expected: Any) -> bool:
    """Whether a guard holds."""
    if isinstance(expected, np.ndarray):
        return bool(np.array_equal(value, expected, equal_nan=expected.dtype.kind in "fc"))
    return bool(value == expected)


class _Kept:
    """What is kept for one kind of arguments: traces, the one used last at the end."""

    __slots__ = ("asks", "hits", "misses", "once", "traces")

    def __init__(self) -> None:
        self.traces: list[Recorded] = []
        self.misses = 0
        """Traces in a row that were made without a replay between them."""
        self.hits = 0
        """Replays of the kept traces when the last one was made."""
        self.asks: str | None = None
        """Why no traces are kept any more: too many paths."""
        self.once: dict[str, str] = {}
        """Why a trace of this function counts for one call only, and where."""


class Replays:
    """The traces kept for one transformed function. Threads may use it at the same time.

    `steady` ones are compiled at once, whatever that costs, and compute the very call that they were made at.
    """

    def __init__(self, title: str, steady: bool = False) -> None:
        self.title = title
        self.steady = steady
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._last: _Kept | None = None

    def kept(self, key: Hashable) -> _Kept:
        """The traces for one kind of arguments; the kind that was not used for longest is forgotten."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = _Kept()
                if len(self._kept) > KINDS:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(key)
            self._last = found
            return found

    def note(self, key: Hashable, once: dict[str, str]) -> None:
        """Note why calls are traced anew; a key of None stands for arguments of which no trace can be kept."""
        with self._lock:
            found = self._kept.setdefault(key, _Kept())
            found.once.update(once)
            if len(self._kept) > KINDS:
                self._kept.popitem(last=False)

    def replay(
        self,
        kept: _Kept,
        actual: Sequence[Any],
        finish: Callable[[Any, dict[int, Any], Sequence[Any] | None], Any],
        native: bool,
        more: Callable[[Any], dict[int, Any]] | None = None,
    ) -> Any:
        """``(result, trace)`` by the kept trace whose reads and guards hold, or None.

        `finish` gets the values of the inputs and, if native code has computed them, of what was compiled; `more`
        gives values of inputs that the transform added. What the trace raises is not passed on: the user's code, run
        again, may handle it.
        """
        for recorded in reversed(kept.traces[:]):
            start = time.perf_counter()
            try:
                known = recorded.given(actual)
                if known is None:
                    continue
                fast = recorded.native if native else None
                if not (fast is not None and recorded.trusted) and not recorded.holds(known):
                    continue
                values = None
                if fast is not None:
                    values = fast.run({**known, **more(recorded.call)} if more else known)
                if values is None and fast is not None:
                    if not recorded.holds(known):
                        continue
                    recorded.distrust()
                result = finish(recorded.call, known, values)
            except Exception:
                return None
            with self._lock:
                if values is None:
                    recorded.interpreted += 1
                    recorded.seconds += time.perf_counter() - start
                if kept.traces and kept.traces[-1] is not recorded and recorded in kept.traces:
                    kept.traces.remove(recorded)
                    kept.traces.append(recorded)
            return result, recorded
        return None

    def keep(self, kept: _Kept, trace: Trace, call: Any, inputs: Sequence[int]) -> Recorded | None:
        """Keep a new trace if it can be replayed."""
        with self._lock:
            if trace.once:
                kept.once.update(trace.once)
                kept.traces.clear()
                return None
            hits = sum(recorded.replayed for recorded in kept.traces)
            kept.misses = 0 if not kept.traces or hits != kept.hits else kept.misses
            kept.misses += bool(kept.traces)
            recorded = Recorded(trace, call, inputs, self.steady)
            # What belongs to the first call alone.
            trace.outside = None
            trace.known = {}
            trace.lent = {}
            call.known = {}
            failed = next((t for t in reversed(kept.traces) if t.failed is not None), None)
            if kept.misses > PATHS and failed is not None and failed.failed is not None:
                kept.asks = failed.place(failed.failed)
                kept.traces.clear()
            else:
                kept.traces.append(recorded)
                del kept.traces[:-PATHS]
                kept.hits = sum(one.replayed for one in kept.traces)
                self._bound()
                return recorded
        warnings.warn(
            f"{self.title} took another path at each of {PATHS + 1} calls in a row, so it is traced anew from now on"
            f" at each call, which is slower. What decides last is {kept.asks}. Where that is min, max or sorted of"
            " Python, np.minimum, np.maximum and np.sort need no branch; np.where chooses by value",
            RetraceWarning,
            stacklevel=4,
        )
        return None

    def _bound(self) -> None:
        """Forget the oldest traces if all together are too large."""
        total = 0
        for kept in reversed(self._kept.values()):
            for k in range(len(kept.traces) - 1, -1, -1):
                total += len(kept.traces[k].builder)
                if total > VALUES:
                    del kept.traces[: k + 1]
                    break

    def latest(self) -> Recorded | None:
        """The trace that was made or replayed last in Python."""
        with self._lock:
            found = [recorded for kept in self._kept.values() for recorded in kept.traces]
        return found[-1] if found else None

    def report(self) -> str:
        """What is kept and what is not, in words: for each kind of arguments the paths, or why there are none."""
        lines = [self.title]
        with self._lock:
            items = list(self._kept.values())
        if not items:
            lines.append("  not called yet")
        for kept in items:
            if kept.once:
                lines.append("  traced anew at each call:")
                lines.extend(f"    {reason}{f' (at {place})' if place else ''}" for reason, place in kept.once.items())
            elif kept.asks is not None:
                lines.append(f"  traced anew at each call: too many paths, at {kept.asks}")
            else:
                count = len(kept.traces)
                lines.append(f"  {count} trace{'s' if count != 1 else ''} kept, chosen by guards:")
                for recorded in reversed(kept.traces):
                    places = list(dict.fromkeys(recorded.place(guard) for guard in recorded.guards))
                    told = "; ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
                    asked = f"{len(recorded.guards)} guards at {told}" if places else "no guards"
                    lines.append(f"    {asked}: replayed {recorded.replayed} times")
                    lines.extend(f"      {line}" for line in recorded.told())
        return "\n".join(lines)


class Repeated:
    """What is made for a function that is given again and again: by `vjp` and `jvp`, which get it with its arguments.

    It is made when the function is given for the second time. Before that the function is only remembered, weakly: many
    a function is there for a single call, and should be neither kept nor compiled. What is made refers to its function,
    so it is kept for the last few functions only.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._seen: dict[int, weakref.ref[Any]] = {}
        self._made: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def made(self, f: Any) -> Any:
        """What was made for this function so far, or None."""
        with self._lock:
            return self._made.get(id(f), (f, None))[1]

    def of(self, f: Any) -> Any:
        """What was made for this function; None if it is seen for the first time, or cannot be remembered."""
        key = id(f)
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key][1]
            seen = self._seen.pop(key, None)
            if seen is None or seen() is not f:
                with contextlib.suppress(TypeError):  # of what has no room for weak references
                    self._seen[key] = weakref.ref(f, lambda _: self._seen.pop(key, None))
                return None
            self._made[key] = f, self._make(f)
            if len(self._made) > FUNCTIONS:
                self._made.popitem(last=False)
            return self._made[key][1]
