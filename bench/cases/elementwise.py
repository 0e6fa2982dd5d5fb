"""Elementwise chains that a compiler can fuse into one loop: bound by the functions in them, or by memory."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case

SIZES = (100, 10_000, 1_000_000, 10_000_000)


def sine(x: Array) -> Array:
    return np.sum(np.sin((x + 1) ** 2))


def sine_by_hand(x: Array) -> Array:
    z = x + 1
    return np.cos(z * z) * (2 * z)


def sine_casadi(x: Array) -> Array:
    import casadi

    return casadi.sum1(casadi.sin((x + 1) ** 2))


def mixture(x: Array) -> Array:
    return np.sum(np.exp(-x * x) * np.cos(3 * x) + np.tanh(x) * np.log(1 + x * x))


def mixture_by_hand(x: Array) -> Array:
    square = x * x
    bell, tanh = np.exp(-square), np.tanh(x)
    return (
        -bell * (2 * x * np.cos(3 * x) + 3 * np.sin(3 * x))
        + (1 - tanh * tanh) * np.log(1 + square)
        + tanh * (2 * x) / (1 + square)
    )


def mixture_casadi(x: Array) -> Array:
    import casadi

    return casadi.sum1(
        casadi.exp(-x * x) * casadi.cos(3 * x) + casadi.tanh(x) * casadi.log(1 + x * x),
    )


def residual(x: Array, y: Array, w: Array) -> Array:
    r = x - y
    return 0.5 * np.sum(w * r * r) + 0.01 * np.sum(x * x)


def residual_by_hand(x: Array, y: Array, w: Array) -> Array:
    return w * (x - y) + 0.02 * x


def residual_casadi(x: Array, y: Array, w: Array) -> Array:
    import casadi

    r = x - y
    return 0.5 * casadi.sum1(w * r * r) + 0.01 * casadi.sumsqr(x)


def cases(dtype: type[np.floating], suffix: str) -> tuple[Case, ...]:
    """The three chains in one precision; CasADi has double precision only."""
    skip = {"CasADi": "no single precision"} if dtype is np.float32 else {}
    up_to = {"CasADi": 1_000_000}
    return (
        Case(
            f"elementwise/sine-{suffix}",
            sine,
            make=lambda n, rng: (rng.normal(size=n).astype(dtype),),
            sizes=SIZES,
            by_hand=sine_by_hand,
            casadi=sine_casadi,
            skip=skip,
            up_to=up_to,
        ),
        Case(
            f"elementwise/mixture-{suffix}",
            mixture,
            make=lambda n, rng: (rng.normal(size=n).astype(dtype),),
            sizes=SIZES,
            by_hand=mixture_by_hand,
            casadi=mixture_casadi,
            skip=skip,
            up_to=up_to,
        ),
        Case(
            f"elementwise/memory-{suffix}",
            residual,
            make=lambda n, rng: tuple(rng.normal(size=n).astype(dtype) for _ in range(3)),
            sizes=SIZES,
            by_hand=residual_by_hand,
            casadi=residual_casadi,
            skip=skip,
            up_to=up_to,
            traffic=lambda n: 4 * n * np.dtype(dtype).itemsize,  # reads x, y and w, writes the gradient
        ),
    )


CASES = (*cases(np.float64, "f64"), *cases(np.float32, "f32"))
