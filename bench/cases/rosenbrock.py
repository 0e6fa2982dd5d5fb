"""Rosenbrock's valley in n dimensions: gradient, and Hessian times vector."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case

SIZES = (2, 1_000, 1_000_000)


def rosenbrock(x: Array) -> Array:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def gradient_by_hand(x: Array) -> Array:
    a = x[:-1]
    r = x[1:] - a * a
    g = np.zeros_like(x)
    g[:-1] = -400 * a * r - 2 * (1 - a)
    g[1:] += 200 * r
    return g


def hvp_by_hand(x: Array, v: Array) -> Array:
    a, va, vb = x[:-1], v[:-1], v[1:]
    r, dr = x[1:] - a * a, vb - 2 * a * va
    h = np.zeros_like(x)
    h[:-1] = -400 * (va * r + a * dr) + 2 * va
    h[1:] += 200 * dr
    return h


def rosenbrock_casadi(x: Array) -> Array:
    import casadi

    a, b = x[:-1], x[1:]
    return 100 * casadi.sumsqr(b - a**2) + casadi.sumsqr(1 - a)


CASES = (
    Case(
        "rosenbrock/gradient",
        rosenbrock,
        make=lambda n, rng: (rng.normal(size=n),),
        sizes=SIZES,
        by_hand=gradient_by_hand,
        casadi=rosenbrock_casadi,
    ),
    Case(
        "rosenbrock/hvp",
        rosenbrock,
        make=lambda n, rng: (rng.normal(size=n), rng.normal(size=n)),
        sizes=SIZES,
        want="hvp",
        by_hand=hvp_by_hand,
        casadi=rosenbrock_casadi,
    ),
)
