"""Learning rates that depend on the step: functions from the number of steps made before to a rate.

They take the place of an optimizer's ``lr``. They are functions of a traced number as well as of a plain one, so a
compiled step is not traced anew when the rate changes.

>>> rate = warmup(cosine(0.1, 100), 10)
>>> [round(float(rate(step)), 6) for step in (0, 5, 10, 60, 110, 500)]
[0.01, 0.06, 0.1, 0.05, 0.0, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["Schedule", "constant", "cosine", "exponential", "linear", "one_cycle", "piecewise", "polynomial", "step"]
__all__ += ["warmup"]

Schedule = Callable[[Any], Any]


def _steps(steps: Any, name: str = "steps") -> int:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"{name} must be a positive integer, but is {steps!r}")
    return int(steps)


def _rate(rate: Any, name: str = "lr") -> float:
    if not 0 <= rate < math.inf:
        raise ValueError(f"{name} must be finite and not negative, but is {rate!r}")
    return float(rate)


def _done(count: Any, steps: int) -> Any:
    """The fraction of the steps that were made, up to 1."""
    return np.minimum(count, steps) / float(steps)


def constant(lr: float) -> Schedule:
    """Always the same."""
    rate = _rate(lr)
    return lambda count: rate + 0.0 * count


def step(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """Multiplied by `factor` after every so many steps (PyTorch's ``StepLR``)."""
    rate, every = _rate(lr), _steps(every, "every")
    return lambda count: rate * factor ** (count // every)


def exponential(lr: float, factor: float) -> Schedule:
    """Multiplied by `factor` after each step (``ExponentialLR``)."""
    rate = _rate(lr)
    return lambda count: rate * factor ** (count * 1.0)


def linear(lr: float, steps: int, last: float = 0.0) -> Schedule:
    """Along a line from `lr` to `last` in so many steps, and `last` from then on (``LinearLR``)."""
    return polynomial(lr, steps, 1.0, last)


def polynomial(lr: float, steps: int, power: float = 1.0, last: float = 0.0) -> Schedule:
    """last + (lr − last)(1 − t)^power, where t goes from 0 to 1 in so many steps (``PolynomialLR``)."""
    first, last, steps = _rate(lr), _rate(last, "last"), _steps(steps)
    return lambda count: last + (first - last) * (1.0 - _done(count, steps)) ** power


def cosine(lr: float, steps: int, last: float = 0.0) -> Schedule:
    """Half a cosine from `lr` down to `last` in so many steps, and `last` from then on.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), without restarts
    (``CosineAnnealingLR``).
    """
    first, last, steps = _rate(lr), _rate(last, "last"), _steps(steps)
    return lambda count: last + (first - last) * (1.0 + np.cos(np.pi * _done(count, steps))) / 2.0


def warmup(schedule: Schedule | float, steps: int) -> Schedule:
    """So many steps up a line to where `schedule` begins, which counts its steps from there.

    Goyal et al., "Accurate, large minibatch SGD" (2017).
    """
    follow: Schedule = schedule if callable(schedule) else constant(schedule)
    steps = _steps(steps)
    first = float(follow(0))

    def rate(count: Any) -> Any:
        rising = first * np.minimum(count + 1, steps) / float(steps)
        return np.where(count < steps, rising, follow(np.maximum(count - steps, 0)))

    return rate


def piecewise(schedules: Sequence[Schedule | float], starts: Sequence[int]) -> Schedule:
    """One schedule after the other: each but the first begins at its start, and counts its steps from there."""
    parts: list[Schedule] = [s if callable(s) else constant(s) for s in schedules]
    if not parts or len(starts) != len(parts) - 1 or list(starts) != sorted({_steps(s, "a start") for s in starts}):
        raise ValueError(f"{len(parts)} schedules need one start less, in rising order, but got {list(starts)}")

    def rate(count: Any) -> Any:
        found = parts[0](count)
        for part, start in zip(parts[1:], starts, strict=True):
            found = np.where(count < start, found, part(np.maximum(count - start, 0)))
        return found

    return rate


def one_cycle(
    lr: float, steps: int, rising: float = 0.3, first_divisor: float = 25.0, last_divisor: float = 1e4
) -> Schedule:
    """Up from lr/first_divisor to `lr` and down to lr/(first_divisor·last_divisor), both along half a cosine.

    Smith and Topin, "Super-convergence" (2018), as PyTorch's ``OneCycleLR``; `rising` is the part of the steps that
    go up.
    """
    highest, steps = _rate(lr), _steps(steps)
    if not 0 <= rising <= 1:
        raise ValueError(f"rising must be between 0 and 1, but is {rising}")
    first = highest / first_divisor
    last = first / last_divisor
    top = rising * steps - 1.0
    end = steps - 1.0

    def between(a: float, b: float, t: Any) -> Any:
        return b + (a - b) / 2.0 * (1.0 + np.cos(np.pi * t))

    def rate(count: Any) -> Any:
        count = np.minimum(count, end)
        up = between(first, highest, np.clip(count / top, 0.0, 1.0) if top > 0 else 1.0)
        down = between(highest, last, np.clip((count - top) / (end - top), 0.0, 1.0) if end > top else 0.0)
        return np.where(count <= top, up, down)

    return rate
