"""A chain of linear differential equations by the classical Runge-Kutta method; its last value by all rates."""

from __future__ import annotations

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem

END = 2.0


def slope(x: Array, y: Array) -> Array:
    """Each value grows by its rate times the one before it, the first one by its rate alone."""
    return x * np.concatenate([np.ones(1), y[:-1]])


def primal(x: Array, steps: int) -> Array:
    h = END / steps
    y = np.zeros(len(x))
    for _ in range(steps):
        k1 = slope(x, y)
        k2 = slope(x, y + h / 2 * k1)
        k3 = slope(x, y + h / 2 * k2)
        k4 = slope(x, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def last(x: Array, steps: int) -> Array:
    return primal(x, steps)[-1]


gradient = hg.grad(last)


def read(input: Input) -> tuple[Array, int]:
    return np.array(input["x"], dtype=float), int(input["s"])


CALLS = {"primal": Problem(hg.compile(primal), read), "gradient": Problem(gradient, read)}
