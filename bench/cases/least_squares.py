"""Polynomials by least squares: by Horner's loop in Python (GradBench's llsq), and by NumPy's own evaluation."""

from __future__ import annotations

import numpy as np

from bench import cpp
from bench.case import Array, Case
from bench.gradbench.llsq import primal


def horner_by_hand(x: Array, n: int) -> Array:
    t = np.linspace(-1.0, 1.0, n)
    value = np.zeros(n)
    for coefficient in x[::-1]:
        value = value * t + coefficient
    term = value - np.sign(t)
    gradient = np.empty_like(x)
    for j in range(len(x)):
        gradient[j] = np.sum(term)
        term *= t
    return gradient


def horner_torch(x: Array, n: int) -> Array:
    import torch

    t = torch.linspace(-1.0, 1.0, n, dtype=x.dtype)
    polynomial = torch.zeros(n, dtype=x.dtype)
    for coefficient in x.flip(0):
        polynomial = polynomial * t + coefficient
    return 0.5 * torch.sum((torch.sign(t) - polynomial) ** 2)


def misfit(coefficients: Array, t: Array, y: Array) -> Array:
    return np.mean((np.polyval(coefficients, t) - y) ** 2)


def misfit_by_hand(coefficients: Array, t: Array, y: Array) -> tuple[Array, Array]:
    away = np.polyval(coefficients, t) - y
    gradient, term = np.empty_like(coefficients), 2 * away / len(t)
    for i in reversed(range(len(coefficients))):
        gradient[i] = np.sum(term)
        term *= t
    return np.mean(away**2), gradient


def misfit_in_steps(coefficients: Array, t: Array, y: Array) -> Array:
    """For libraries without `polyval`."""
    value = 0 * t
    for i in range(coefficients.shape[0]):
        value = value * t + coefficients[i]
    return ((value - y) ** 2).mean()


def misfit_casadi(coefficients: Array, t: Array, y: Array) -> Array:
    import casadi

    value = 0 * t
    for i in range(coefficients.shape[0]):
        value = value * t + coefficients[i]
    return casadi.sumsqr(value - y) / t.numel()


def make(n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    return rng.normal(size=8), rng.uniform(-1, 1, size=n), rng.normal(size=n)


CASES = (
    Case(
        "least-squares/horner",
        primal,
        make=lambda n, rng: (rng.random(128), n),
        sizes=(64, 1024, 16_392),
        label=lambda n: f"{n:,} points, 128 powers",
        by_hand=horner_by_hand,
        cpp=cpp.llsq,
        torch=horner_torch,
    ),
    Case(
        "least-squares/polyval",
        misfit,
        make,
        sizes=(100, 10_000, 1_000_000),
        label=lambda n: f"{n:,} points, 8 powers",
        want="value_and_grad",
        by_hand=misfit_by_hand,
        torch=misfit_in_steps,
        casadi=misfit_casadi,
        skip={"autograd": "has no polyval"},
        up_to={"CasADi": 10_000},
    ),
)
