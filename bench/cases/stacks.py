"""Many small matrices: the likelihood of points, each with a covariance of its own, as of measurements with errors."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def likelihood(factors: Array, points: Array) -> Array:
    """Negative log-likelihood, but for a constant, of points (n, k) under covariances A Aᵀ + I, given A (n, k, k)."""
    covariances = factors @ np.swapaxes(factors, 1, 2) + np.eye(factors.shape[1])
    solved = np.linalg.solve(covariances, points[:, :, None])
    return 0.5 * np.sum(points * solved[:, :, 0]) + 0.5 * np.sum(np.linalg.slogdet(covariances)[1])


def likelihood_by_hand(factors: Array, points: Array) -> Array:
    covariances = factors @ np.swapaxes(factors, 1, 2) + np.eye(factors.shape[1])
    inverses = np.linalg.inv(covariances)
    solved = inverses @ points[:, :, None]
    return (inverses - solved * np.swapaxes(solved, 1, 2)) @ factors


def likelihood_torch(factors: Array, points: Array) -> Array:
    import torch

    covariances = factors @ factors.transpose(1, 2) + torch.eye(factors.shape[1], dtype=factors.dtype)
    solved = torch.linalg.solve(covariances, points[:, :, None])
    return 0.5 * torch.sum(points * solved[:, :, 0]) + 0.5 * torch.sum(torch.linalg.slogdet(covariances)[1])


def make(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    n, k = size
    return rng.normal(size=(n, k, k)), rng.normal(size=(n, k))


CASES = (
    Case(
        "stacks",
        likelihood,
        make,
        sizes=((100, 3), (10_000, 2), (10_000, 3), (2_000, 6)),
        by_hand=likelihood_by_hand,
        torch=likelihood_torch,
        label=lambda size: f"{size[0]:,} matrices {size[1]}×{size[1]}",
    ),
)
