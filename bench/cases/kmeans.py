"""The cost of k-means: squared distances to the nearest centre, differentiated by the centres once and twice."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def cost(centres: Array, points: Array) -> Array:
    apart = points[:, None, :] - centres[None, :, :]
    return np.sum(np.min(np.sum(apart * apart, axis=2), axis=1))


def cost_by_hand(centres: Array, points: Array) -> tuple[Array, Array]:
    apart = points[:, None, :] - centres[None, :, :]
    distances = np.sum(apart * apart, axis=2)
    nearest = np.argmin(distances, axis=1)
    rows = np.arange(len(points))
    gradient = np.zeros_like(centres)
    np.add.at(gradient, nearest, -2 * apart[rows, nearest])
    return np.sum(distances[rows, nearest]), gradient


def cost_torch(centres: Array, points: Array) -> Array:
    import torch

    apart = points[:, None, :] - centres[None, :, :]
    return torch.sum(torch.amin(torch.sum(apart * apart, dim=2), dim=1))


def make(size: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array]:
    n, k, d = size
    return rng.normal(size=(k, d)), rng.normal(size=(n, d))


def with_ones(size: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, Array, Array]:
    centres, points = make(size, rng)
    return centres, np.ones_like(centres), points


CASES = (
    Case(
        "k-means",
        cost,
        make,
        sizes=((100, 5, 2), (2_000, 10, 8), (20_000, 25, 16)),
        want="value_and_grad",
        by_hand=cost_by_hand,
        torch=cost_torch,
    ),
    Case(  # the Hessian is diagonal, so this is all of it: Newton's step divides the gradient by it
        "k-means/hessian",
        cost,
        make=with_ones,
        sizes=((1_000, 10, 8), (1_000, 100, 16), (10_000, 10, 8), (10_000, 100, 16)),
        want="hvp",
        torch=cost_torch,
    ),
)
