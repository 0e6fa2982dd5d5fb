"""Call overhead: so little work that what is timed is the call."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def chain(x: Array, depth: int) -> Array:
    for _ in range(depth):
        x = np.sin((x + 1) ** 2)
    return x


def chain_by_hand(x: float, depth: int) -> float:
    slope = 1.0
    for _ in range(depth):
        slope *= np.cos((x + 1) ** 2) * 2 * (x + 1)
        x = np.sin((x + 1) ** 2)
    return slope


def chain_casadi(x: Array, depth: int) -> Array:
    import casadi

    for _ in range(depth):
        x = casadi.sin((x + 1) ** 2)
    return x


def vector(x: Array) -> Array:
    return np.sum(np.sin((x + 1) ** 2))


def vector_by_hand(x: Array) -> Array:
    z = x + 1
    return np.cos(z * z) * (2 * z)


def vector_casadi(x: Array) -> Array:
    import casadi

    return casadi.sum1(casadi.sin((x + 1) ** 2))


def penalty(params: dict[str, Array]) -> Array:
    total = 0.0
    for value in params.values():
        total = total + np.sum(value**2)
    return total


def penalty_by_hand(params: dict[str, Array]) -> dict[str, Array]:
    return {name: 2 * value for name, value in params.items()}


def penalty_casadi(params: dict[str, Array]) -> Array:
    import casadi

    return sum(casadi.sumsqr(value) for value in params.values())


def make_params(count: int, rng: np.random.Generator) -> tuple[dict[str, Array]]:
    return ({f"w{i:02}": rng.normal(size=8) for i in range(count)},)


CASES = (
    Case(
        "overhead/scalar",
        chain,
        make=lambda depth, rng: (0.5, depth),
        sizes=(1, 4, 16),
        label=lambda depth: f"sin((x+1)²) {depth} deep",
        by_hand=chain_by_hand,
        casadi=chain_casadi,
    ),
    Case(
        "overhead/vector",
        vector,
        make=lambda n, rng: (rng.normal(size=n),),
        sizes=(4, 16, 64),
        label=lambda n: f"{n} elements",
        by_hand=vector_by_hand,
        casadi=vector_casadi,
    ),
    Case(
        "overhead/dict",
        penalty,
        make=make_params,
        sizes=(5, 20, 80),
        label=lambda n: f"{n} arrays of 8",
        by_hand=penalty_by_hand,
        casadi=penalty_casadi,
    ),
)
