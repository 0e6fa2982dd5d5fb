"""Five-point stencils on a square grid: one application, and heat spreading in place for ten steps."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def roughness(u: Array) -> Array:
    laplacian = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
    return 0.5 * np.sum(laplacian * laplacian)


def roughness_by_hand(u: Array) -> Array:
    laplacian = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
    g = np.zeros_like(u)
    g[:-2, 1:-1] += laplacian
    g[2:, 1:-1] += laplacian
    g[1:-1, :-2] += laplacian
    g[1:-1, 2:] += laplacian
    g[1:-1, 1:-1] -= 4 * laplacian
    return g


def roughness_casadi(u: Array) -> Array:
    import casadi

    n = u.size1()
    inner, up, down = slice(1, n - 1), slice(0, n - 2), slice(2, n)
    return 0.5 * casadi.sumsqr(u[up, inner] + u[down, inner] + u[inner, up] + u[inner, down] - 4 * u[inner, inner])


def heat(start: Array, target: Array) -> Array:
    u = np.copy(start)
    for _ in range(10):
        flow = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
        u[1:-1, 1:-1] += 0.2 * flow
    return np.sum((u - target) ** 2)


def heat_by_hand(start: Array, target: Array) -> Array:
    u = np.copy(start)
    for _ in range(10):
        flow = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
        u[1:-1, 1:-1] += 0.2 * flow
    g = 2 * (u - target)
    for _ in range(10):
        back = 0.2 * g[1:-1, 1:-1]
        g[:-2, 1:-1] += back
        g[2:, 1:-1] += back
        g[1:-1, :-2] += back
        g[1:-1, 2:] += back
        g[1:-1, 1:-1] -= 4 * back
    return g


def heat_jax(start: Array, target: Array) -> Array:
    u = start
    for _ in range(10):
        flow = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
        u = u.at[1:-1, 1:-1].add(0.2 * flow)
    return np.sum((u - target) ** 2)


def heat_torch(start: Array, target: Array) -> Array:
    import torch

    u = torch.clone(start)
    for _ in range(10):
        flow = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]
        u[1:-1, 1:-1] += 0.2 * flow
    return torch.sum((u - target) ** 2)


def make_grid(n: int, rng: np.random.Generator) -> tuple[Array]:
    return (rng.normal(size=(n, n)),)


def make_grids(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.normal(size=(n, n)), rng.normal(size=(n, n))


def square(n: int) -> str:
    return f"{n}×{n}"


CASES = (
    Case(
        "stencil/laplacian",
        roughness,
        make_grid,
        sizes=(32, 256, 2048),
        label=square,
        by_hand=roughness_by_hand,
        casadi=roughness_casadi,
        up_to={"CasADi": 256},
    ),
    Case(
        "stencil/heat-in-place",
        heat,
        make_grids,
        sizes=(32, 256, 1024),
        label=square,
        by_hand=heat_by_hand,
        jax=heat_jax,
        torch=heat_torch,
        skip={"autograd": "no assignment to slices"},
    ),
)
