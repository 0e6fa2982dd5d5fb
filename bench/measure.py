"""Timing several calls side by side, and checking that they computed the same."""

from __future__ import annotations

import math
import timeit
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.case import leaves
from bench.tools import Call

SAMPLE = 1e-3  # seconds; a sample of a faster call is a loop of calls
ROUNDS = 3  # at least; slow calls get no more
TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-4}


class Sampler:
    """Times one call and keeps the best."""

    def __init__(self, call: Call) -> None:
        names = [f"a{i}" for i in range(len(call.args))]
        values = dict(zip(names, call.args, strict=True))
        # The call is written out, as a user writes it: unpacking arguments would cost more than the fastest call takes.
        self.timer = timeit.Timer(f"call({', '.join(names)})", globals={"call": call.function, **values})
        once = self.timer.timeit(1)
        if once < 10 * SAMPLE:  # cold caches make the first call slow
            once = min(self.timer.repeat(3, 1))
        self.number = max(1, math.ceil(SAMPLE / max(once, 1e-8)))
        self.best = math.inf
        self.spent = 0.0

    def sample(self) -> None:
        """One more sample."""
        elapsed = self.timer.timeit(self.number)
        self.spent += elapsed
        self.best = min(self.best, elapsed / self.number)


def measure(calls: Mapping[str, Call], budget: float) -> dict[str, float]:
    """The least seconds a call takes, for each.

    The calls take turns, so that a slow spell of the machine falls on all of them. Each gets an equal share of `budget`
    seconds, and at least a few samples whatever they take.
    """
    samplers = {name: Sampler(call) for name, call in calls.items()}
    share = budget / max(1, len(samplers))
    rounds, due = 0, list(samplers.values())
    while due:
        for sampler in due[rounds % len(due) :] + due[: rounds % len(due)]:
            sampler.sample()
        rounds += 1
        due = [s for s in samplers.values() if s.spent < share or rounds < ROUNDS]
    return {name: sampler.best for name, sampler in samplers.items()}


def arrays(result: Any) -> list[np.ndarray[Any, Any]]:
    """A result as flat arrays, whatever containers, shapes and array types the tool uses."""
    return [np.ravel(np.array(leaf)) for leaf in leaves(result)]  # a copy: some tools update their results in place


def difference(ours: Sequence[np.ndarray[Any, Any]], theirs: Sequence[np.ndarray[Any, Any]]) -> float:
    """The largest difference of two results, in units of the tolerance: at most 1 when they agree.

    Each array is compared relative to its largest element; the coarser of the two precisions counts.
    """
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        return math.inf
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        tolerance = max(TOLERANCE[np.result_type(x, np.float32)] for x in (a, b))
        scale = float(np.max(np.abs(b), initial=1e-30))
        error = float(np.max(np.abs(a - b), initial=0.0))
        worst = max(worst, error / (scale * tolerance)) if math.isfinite(error) else math.inf
    return worst


def disagreeing(results: Mapping[str, Sequence[np.ndarray[Any, Any]]]) -> dict[str, float]:
    """The tools that differ from what most tools found, with their difference in units of the tolerance."""
    if not results:
        return {}
    differences = {a: {b: difference(results[b], results[a]) for b in results} for a in results}
    reference = max(results, key=lambda name: sum(d <= 1 for d in differences[name].values()))
    return {name: d for name, d in differences[reference].items() if d > 1}
