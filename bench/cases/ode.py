"""Predators and prey (Lotka and Volterra) by the classical Runge-Kutta method, differentiated by start and rates."""

from __future__ import annotations

from typing import Any

import numpy as np

import hopgrad as hg
from bench.case import Array, Case

STEP = 0.01


def field(y: Array, rates: Array) -> Array:
    a, b, c, d = rates
    prey, predators = y
    return np.array([a * prey - b * prey * predators, c * prey * predators - d * predators])


def step(y: Array, rates: Array) -> Array:
    k1 = field(y, rates)
    k2 = field(y + 0.5 * STEP * k1, rates)
    k3 = field(y + 0.5 * STEP * k2, rates)
    k4 = field(y + STEP * k3, rates)
    return y + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def by_loop(y: Array, rates: Array, steps: int) -> Array:
    for _ in range(steps):
        y = step(y, rates)
    return np.sum(y * y)


def by_scan(y: Array, rates: Array, steps: int) -> Array:
    y, _ = hg.scan(lambda y, _: (step(y, rates), None), y, None, length=steps)
    return np.sum(y * y)


def by_hand(y: Array, rates: Array, steps: int) -> tuple[Array, Array]:
    a, b, c, d = rates
    by_rates = np.zeros(4)

    def pulled(y: Array, by_k: Array) -> Array:
        """From a slope to its place; adds to the rates' gradient."""
        by_prey, by_predators = by_k
        both = y[0] * y[1]
        by_rates[:] += by_prey * y[0], -by_prey * both, by_predators * both, -by_predators * y[1]
        return np.array(
            [
                by_prey * (a - b * y[1]) + by_predators * c * y[1],
                -by_prey * b * y[0] + by_predators * (c * y[0] - d),
            ]
        )

    visited = []
    for _ in range(steps):
        visited.append(y)
        y = step(y, rates)
    by_y = 2 * y
    for y in reversed(visited):
        k1 = field(y, rates)
        k2 = field(y + 0.5 * STEP * k1, rates)
        k3 = field(y + 0.5 * STEP * k2, rates)
        by_4 = pulled(y + STEP * k3, STEP / 6 * by_y)
        by_3 = pulled(y + 0.5 * STEP * k2, STEP / 3 * by_y + STEP * by_4)
        by_2 = pulled(y + 0.5 * STEP * k1, STEP / 3 * by_y + 0.5 * STEP * by_3)
        by_1 = pulled(y, STEP / 6 * by_y + 0.5 * STEP * by_2)
        by_y = by_y + by_1 + by_2 + by_3 + by_4
    return by_y, by_rates


def field_torch(y: Array, rates: Array) -> Array:
    import torch

    a, b, c, d = rates
    prey, predators = y
    return torch.stack([a * prey - b * prey * predators, c * prey * predators - d * predators])


def make(steps: int, rng: np.random.Generator) -> tuple[Array, Array, int]:
    return rng.uniform(0.5, 1.5, size=2), rng.uniform(0.5, 1.0, size=4), steps


SHARED: dict[str, Any] = {
    "make": make,
    "label": lambda steps: f"{steps:,} steps",
    "argnums": (0, 1),
    "by_hand": by_hand,
    "instead": {"PyTorch": {"field": field_torch}},
}
SLOW = 10  # steps; JAX compiles each of them: a hundred take it minutes

CASES = (
    Case(
        "runge-kutta/loop",
        by_loop,
        sizes=(10, 100, 1_000),
        up_to={"JAX": SLOW, "JAX device": SLOW},
        first_size=SLOW,
        **SHARED,
    ),
    Case(
        "runge-kutta/scan",
        by_scan,
        sizes=(100, 1_000, 10_000),
        skip=dict.fromkeys(("PyTorch", "autograd"), "has no loop that is traced once"),
        **SHARED,
    ),
)
