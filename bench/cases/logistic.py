"""Logistic regression with a ridge: mean negative log-likelihood, value and gradient; Hessian times vector."""

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


def hvp_by_hand(w: Array, v: Array, X: Array, y: Array) -> Array:
    p = 1 / (1 + np.exp(y * (X @ w)))
    return X.T @ (p * (1 - p) * (X @ v)) / len(y) + 0.02 * v


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


def make_with_vector(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    w, X, y = make(size, rng)
    return w, rng.normal(size=w.shape), X, y


SIZES = ((100, 10), (2_000, 50), (20_000, 200))

CASES = (
    Case(
        "logistic-regression",
        loss,
        make,
        sizes=SIZES,
        want="value_and_grad",
        by_hand=loss_by_hand,
        torch=loss_torch,
        casadi=loss_casadi,
        up_to={"CasADi": (2_000, 50)},
    ),
    Case(
        "logistic-regression/hvp",
        loss,
        make_with_vector,
        sizes=SIZES,
        want="hvp",
        by_hand=hvp_by_hand,
        torch=loss_torch,
        casadi=loss_casadi,
        up_to={"CasADi": (2_000, 50)},
    ),
)
