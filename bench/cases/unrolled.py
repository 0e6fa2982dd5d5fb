"""A plain Python loop over a small state, unrolled by tracing: Euler steps of a wave's phases."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def drift(x: Array, w: Array, steps: int) -> Array:
    for _ in range(steps):
        x = x + 0.01 * np.sin(w * x)
    return np.sum(x * x)


def drift_by_hand(x: Array, w: Array, steps: int) -> tuple[Array, Array]:
    visited = []
    for _ in range(steps):
        visited.append(x)
        x = x + 0.01 * np.sin(w * x)
    by_x, by_w = 2 * x, np.zeros_like(w)
    for x in reversed(visited):
        back = 0.01 * by_x * np.cos(w * x)
        by_w += back * x
        by_x = by_x + back * w
    return by_x, by_w


def drift_casadi(x: Array, w: Array, steps: int) -> Array:
    import casadi

    for _ in range(steps):
        x = x + 0.01 * casadi.sin(w * x)
    return casadi.sumsqr(x)


CASES = (
    Case(
        "unrolled-loop",
        drift,
        make=lambda steps, rng: (rng.normal(size=8), rng.normal(size=8), steps),
        sizes=(30, 100, 300),
        label=lambda steps: f"{steps} steps of 8",
        argnums=(0, 1),
        by_hand=drift_by_hand,
        casadi=drift_casadi,
        first_size=300,  # JAX takes seconds here, and minutes where a step has two results that feed the next
    ),
)
