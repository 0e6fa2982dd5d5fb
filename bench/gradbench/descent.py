"""Gradient descent that adapts its step, as the nested problems of GradBench have it, and the ways to differentiate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopgrad as hg
from bench.case import Array

CLOSE = 1e-5
FIRST_STEP = 1e-5
MOST_STEPS = 100_000
PATIENCE = 10  # steps without a change before they are doubled

Function = Callable[[Array], Array]
Derivative = Callable[[Function], Function]


def forward(f: Function) -> Function:
    return hg.jacobian(f, mode="forward")


MODES: dict[str, Derivative] = {"f": forward, "r": hg.grad}
VARIANTS = [outer + inner for outer in MODES for inner in MODES]


def lowest(f: Function, gradient: Function, start: Array) -> Array:
    """Where descent from `start` ends: a step that does not go down is halved, ten that do are followed by longer ones.

    It ends where the gradient or the step is short.
    """

    def goes_on(state: Any) -> Array:
        *_, done = state
        return np.logical_not(done)

    def step(state: Any) -> Any:
        x, height, slope, rate, count, _ = state
        new = x - rate * slope
        new_height = f(new)
        patient = count == PATIENCE
        done = (length(slope) <= CLOSE) | (~patient & (length(x - new) <= CLOSE))
        lower = new_height < height
        moves = lower & ~patient & ~done
        x, height, slope = (
            np.where(moves, after, before) for after, before in ((new, x), (new_height, height), (gradient(new), slope))
        )
        rate = np.where(patient, 2 * rate, np.where(lower, rate, rate / 2))
        return x, height, slope, rate, np.where(moves, count + 1, 0), done

    start_state = (start, f(start), gradient(start), FIRST_STEP, 0, False)
    x, *_ = hg.while_loop(goes_on, step, start_state, max_steps=MOST_STEPS)
    return x


def length(x: Array) -> Array:
    return np.sqrt(np.sum(x * x))
