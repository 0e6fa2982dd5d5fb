"""Differential equations by the classical Runge-Kutta method.

Predators and prey (Lotka and Volterra), differentiated by start and rates, and a chain of values each of which grows by
a rate times the one before it, differentiated by all rates.
"""

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


def chain_slope(x: Array, y: Array) -> Array:
    return x * np.concatenate([x[:1] * 0 + 1, y[:-1]])


def chain_step(x: Array, y: Array, h: float) -> Array:
    k1 = chain_slope(x, y)
    k2 = chain_slope(x, y + h / 2 * k1)
    k3 = chain_slope(x, y + h / 2 * k2)
    k4 = chain_slope(x, y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def chain(x: Array, steps: int) -> Array:
    y = 0 * x
    for _ in range(steps):
        y = chain_step(x, y, 2 / steps)
    return np.sum(y * y)


def chain_scan(x: Array, steps: int) -> Array:
    y, _ = hg.scan(lambda y, _: (chain_step(x, y, 2 / steps), None), 0 * x, None, length=steps)
    return np.sum(y * y)


def chain_by_hand(x: Array, steps: int) -> Array:
    h, y, by_x = 2 / steps, 0 * x, 0 * x
    before = lambda y: np.concatenate([[1.0], y[:-1]])  # noqa: E731

    def pulled(y: Array, by_k: Array) -> Array:
        """From a slope to its place; adds to the rates' gradient."""
        by_x[:] += by_k * before(y)
        return np.concatenate([(by_k * x)[1:], [0.0]])

    visited = []
    for _ in range(steps):
        visited.append(y)
        y = chain_step(x, y, h)
    by_y = 2 * y
    for y in reversed(visited):
        k1 = chain_slope(x, y)
        k2 = chain_slope(x, y + h / 2 * k1)
        k3 = chain_slope(x, y + h / 2 * k2)
        by_4 = pulled(y + h * k3, h / 6 * by_y)
        by_3 = pulled(y + h / 2 * k2, h / 3 * by_y + h * by_4)
        by_2 = pulled(y + h / 2 * k1, h / 3 * by_y + h / 2 * by_3)
        by_1 = pulled(y, h / 6 * by_y + h / 2 * by_2)
        by_y = by_y + by_1 + by_2 + by_3 + by_4
    return by_x


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
    Case(
        "rate-chain",
        chain,
        make=lambda size, rng: (rng.uniform(size=size[0]), size[1]),
        sizes=((1_000, 10), (1_000, 100), (10_000, 100), (100_000, 10)),
        by_hand=chain_by_hand,
        jax=chain_scan,  # a loop of a hundred steps takes it minutes
        label=lambda size: f"{size[0]:,}, {size[1]} steps",
    ),
)
