"""Reductions that feed elementwise work: along rows, along columns, and over everything."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case

SIZES = ((30, 30), (300, 300), (2000, 1500))


def row_spread(x: Array) -> Array:
    """Each row centred and scaled by its standard deviation, as in layer normalization."""
    centred = x - np.mean(x, axis=1, keepdims=True)
    variance = np.mean(centred * centred, axis=1, keepdims=True)
    return np.sum((centred / np.sqrt(variance + 1e-5)) ** 3)


def row_spread_by_hand(x: Array) -> Array:
    centred = x - np.mean(x, axis=1, keepdims=True)
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=1, keepdims=True) + 1e-5)
    z = centred * scale
    back = 3 * z * z
    return scale * (back - np.mean(back, axis=1, keepdims=True) - z * np.mean(back * z, axis=1, keepdims=True))


def column_spread(x: Array) -> Array:
    """The logarithm of each column's variance, weighted by its mean."""
    mean = np.mean(x, axis=0)
    variance = np.mean((x - mean) ** 2, axis=0)
    return np.sum(mean * np.log(variance))


def column_spread_by_hand(x: Array) -> Array:
    mean = np.mean(x, axis=0)
    centred = x - mean
    variance = np.mean(centred * centred, axis=0)
    return np.log(variance) / len(x) + centred * (mean / variance * (2 / len(x)))


def norm(x: Array) -> Array:
    return np.sqrt(np.sum(x * x)) + np.mean(x)


def norm_by_hand(x: Array) -> Array:
    return x / np.sqrt(np.sum(x * x)) + 1 / x.size


def norm_casadi(x: Array) -> Array:
    import casadi

    return casadi.sqrt(casadi.sumsqr(x)) + casadi.sum1(casadi.sum2(x)) / x.numel()


def make(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array]:
    return (rng.normal(1.0, 1.0, size=size),)


CASES = (
    Case("reductions/rows", row_spread, make, SIZES, by_hand=row_spread_by_hand),
    Case("reductions/columns", column_spread, make, SIZES, by_hand=column_spread_by_hand),
    Case("reductions/all", norm, make, SIZES, by_hand=norm_by_hand, casadi=norm_casadi),
)
