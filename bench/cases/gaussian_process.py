"""A Gaussian process: the negative log-likelihood by Cholesky, value and gradient by its hyperparameters."""

from __future__ import annotations

import numpy as np

from bench.case import Array, Case


def likelihood(theta: Array, X: Array, y: Array) -> Array:
    """Logarithms of length, amplitude and noise in, negative log-likelihood out (without its constant)."""
    length, amplitude, noise = np.exp(theta[0]), np.exp(theta[1]), np.exp(theta[2])
    apart = X[:, None, :] - X[None, :, :]
    K = amplitude**2 * np.exp(-0.5 * np.sum(apart * apart, axis=2) / length**2)
    L = np.linalg.cholesky(K + (noise**2 + 1e-6) * np.eye(len(X)))
    z = np.linalg.solve(L, y)
    return 0.5 * np.sum(z * z) + np.sum(np.log(np.diag(L)))


def likelihood_by_hand(theta: Array, X: Array, y: Array) -> tuple[Array, Array]:
    length, amplitude, noise = np.exp(theta)
    apart = X[:, None, :] - X[None, :, :]
    scaled = np.sum(apart * apart, axis=2) / length**2
    K = amplitude**2 * np.exp(-0.5 * scaled)
    L = np.linalg.cholesky(K + (noise**2 + 1e-6) * np.eye(len(X)))
    half = np.linalg.inv(L)
    inverse = half.T @ half
    alpha = inverse @ y
    back = 0.5 * (inverse - alpha[:, None] * alpha)
    gradient = np.array([np.sum(back * K * scaled), 2 * np.sum(back * K), 2 * noise**2 * np.trace(back)])
    return 0.5 * (y @ alpha) + np.sum(np.log(np.diag(L))), gradient


def likelihood_torch(theta: Array, X: Array, y: Array) -> Array:
    import torch

    length, amplitude, noise = torch.exp(theta)
    apart = X[:, None, :] - X[None, :, :]
    K = amplitude**2 * torch.exp(-0.5 * torch.sum(apart * apart, dim=2) / length**2)
    L = torch.linalg.cholesky(K + (noise**2 + 1e-6) * torch.eye(len(X), dtype=X.dtype))
    z = torch.linalg.solve_triangular(L, y[:, None], upper=False)
    return 0.5 * torch.sum(z * z) + torch.sum(torch.log(torch.diagonal(L)))


def likelihood_casadi(theta: Array, X: Array, y: Array) -> Array:
    import casadi

    n = y.numel()
    length, amplitude, noise = (casadi.exp(theta[i]) for i in range(3))
    K = type(theta)(n, n)
    for i in range(n):
        for j in range(n):
            K[i, j] = amplitude**2 * casadi.exp(-0.5 * casadi.sumsqr(X[i, :] - X[j, :]) / length**2)
        K[i, i] += noise**2 + 1e-6
    R = casadi.chol(K)
    z = casadi.solve(R.T, y)
    return 0.5 * casadi.sumsqr(z) + casadi.sum1(casadi.log(casadi.diag(R)))


def make(n: int, rng: np.random.Generator) -> tuple[Array, ...]:
    X = rng.uniform(-2, 2, size=(n, 2))
    y = np.sin(2 * X[:, 0]) + np.cos(X[:, 1]) + 0.1 * rng.normal(size=n)
    return np.array([0.1, -0.2, -1.5]), X, y


CASES = (
    Case(
        "gaussian-process",
        likelihood,
        make,
        sizes=(16, 100, 400),
        want="value_and_grad",
        by_hand=likelihood_by_hand,
        torch=likelihood_torch,
        casadi=likelihood_casadi,
        up_to={"CasADi": 16},
    ),
)
