"""N bodies: the softened potential energy of all pairs; its gradient is minus the force. Hessian times vector."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def energy(positions: Array, masses: Array) -> Array:
    apart = positions[:, None, :] - positions[None, :, :]
    distance = np.sqrt(np.sum(apart * apart, axis=2) + 0.01)
    return -0.5 * np.sum(masses[:, None] * masses[None, :] / distance)


def energy_by_hand(positions: Array, masses: Array) -> Array:
    apart = positions[:, None, :] - positions[None, :, :]
    square = np.sum(apart * apart, axis=2) + 0.01
    pull = masses[:, None] * masses[None, :] / (square * np.sqrt(square))
    return np.sum(pull[:, :, None] * apart, axis=1)


def hvp_by_hand(positions: Array, v: Array, masses: Array) -> Array:
    apart = positions[:, None, :] - positions[None, :, :]
    moved = v[:, None, :] - v[None, :, :]
    square = np.sum(apart * apart, axis=2) + 0.01
    pull = masses[:, None] * masses[None, :] / (square * np.sqrt(square))
    change = -3 * pull / square * np.sum(apart * moved, axis=2)
    return np.sum(pull[:, :, None] * moved + change[:, :, None] * apart, axis=1)


def energy_casadi(positions: Array, masses: Array) -> Array:
    import casadi

    n = masses.numel()
    total = 0
    for i in range(n):
        for j in range(n):
            distance = casadi.sqrt(casadi.sumsqr(positions[i, :] - positions[j, :]) + 0.01)
            total -= 0.5 * masses[i] * masses[j] / distance
    return total


def make(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.normal(size=(n, 3)), rng.random(n)


def make_with_vector(n: int, rng: np.random.Generator) -> tuple[Array, ...]:
    positions, masses = make(n, rng)
    return positions, rng.normal(size=(n, 3)), masses


CASES = (
    Case(
        "n-body",
        energy,
        make,
        sizes=(4, 32, 256),
        by_hand=energy_by_hand,
        casadi=energy_casadi,
        up_to={"CasADi": 32},
    ),
    Case(
        "n-body/hvp",
        energy,
        make_with_vector,
        sizes=(4, 32, 256),
        want="hvp",
        by_hand=hvp_by_hand,
    ),
)
