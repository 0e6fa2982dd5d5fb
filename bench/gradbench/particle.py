"""A charge that flies by two others: where one of these has to be for it to hit the origin, by gradient descent.

Four variants: forward (f) or reverse mode (r) for the descent, and for the force, the potential's gradient.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.descent import MODES, VARIANTS, Derivative, length, lowest
from bench.gradbench.problem import Input, Problem

START, VELOCITY = np.array([0.0, 8.0]), np.array([0.75, 0.0])
STEP = 0.1
MOST_STEPS = 10_000


def miss(w: Array, derivative: Derivative) -> Array:
    """The square of the place where the charge meets the first axis, by Euler's method."""
    charges = np.array([10.0, 10.0 - w]), np.array([10.0, 0.0])

    def potential(x: Array) -> Array:
        return sum(1 / length(x - charge) for charge in charges)

    slope = derivative(potential)

    def goes_on(state: tuple[Array, Array]) -> Array:
        x, velocity = state
        return (x + STEP * velocity)[1] > 0

    def step(state: tuple[Array, Array]) -> Any:
        x, velocity = state
        return x + STEP * velocity, velocity - STEP * slope(x)

    x, velocity = hg.while_loop(goes_on, step, (START, VELOCITY), max_steps=MOST_STEPS)
    x = x + STEP * velocity
    return (x[0] - x[1] / velocity[1] * velocity[0]) ** 2


def best_place(w: float, variant: str) -> Array:
    outer, inner = (MODES[mode] for mode in variant)

    def squared(w: Array) -> Array:
        return miss(w[0], inner)

    return lowest(squared, outer(squared), np.array([w]))[0]


def read(input: Input) -> tuple[float]:
    return (float(input["w"]),)


CALLS = {variant: Problem(hg.compile(functools.partial(best_place, variant=variant)), read) for variant in VARIANTS}
