"""Least squares: a polynomial against the sign of its argument, at equally spaced points."""

from __future__ import annotations

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem


def primal(x: Array, n: int) -> Array:
    t = np.linspace(-1.0, 1.0, n)
    polynomial = np.zeros(n)
    for coefficient in x[::-1]:  # Horner
        polynomial = polynomial * t + coefficient
    return 0.5 * np.sum((np.sign(t) - polynomial) ** 2)


gradient = hg.grad(primal)


def read(input: Input) -> tuple[Array, int]:
    return np.array(input["x"]), int(input["n"])


CALLS = {"primal": Problem(hg.compile(primal), read), "gradient": Problem(gradient, read)}
