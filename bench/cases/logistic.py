"""Logistic regression with a ridge: mean negative log-likelihood, value and gradient."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def loss(w: Array, X: Array, y: Array) -> Array:
    margins = y * (X @ w)
    return np.mean(np.logaddexp(0.0, -margins)) + 0.01 * np.sum(w * w)


def loss_by_hand(w: Array, X: Array, y: Array) -> tuple[Array, Array]:
    margins = y * (X @ w)
    value = np.mean(np.logaddexp(0.0, -margins)) + 0.01 * (w @ w)
    weights = -y / (1 + np.exp(margins)) / len(y)
    return value, X.T @ weights + 0.02 * w


def loss_torch(w: Array, X: Array, y: Array) -> Array:
    import torch

    return torch.mean(torch.nn.functional.softplus(-y * (X @ w))) + 0.01 * torch.sum(w * w)


def loss_casadi(w: Array, X: Array, y: Array) -> Array:
    import casadi

    margins = y * (X @ w)
    losses = casadi.log(1 + casadi.exp(-casadi.fabs(margins))) + casadi.fmax(-margins, 0)
    return casadi.sum1(losses) / y.numel() + 0.01 * casadi.sumsqr(w)


def make(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, Array, Array]:
    samples, features = size
    X = rng.normal(size=size)
    return rng.normal(size=features) / 4, X, np.where(rng.random(samples) < 0.5, -1.0, 1.0)


CASES = (
    Case(
        "logistic-regression",
        loss,
        make,
        sizes=((100, 10), (2_000, 50), (20_000, 200)),
        want="value_and_grad",
        by_hand=loss_by_hand,
        torch=loss_torch,
        casadi=loss_casadi,
        up_to={"CasADi": (2_000, 50)},
    ),
)
