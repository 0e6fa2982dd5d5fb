"""A mixture of Gaussians with a Wishart prior: gradient in all parameters. The problem is GradBench's."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import cpp
from bench.case import Array, Case
from bench.gradbench.gmm import objective


def by_hand(
    alpha: Array,
    mu: Array,
    q: Array,
    l: Array,  # noqa: E741
    x: Array,
    gamma: float,
    m: int,
) -> tuple[Array, ...]:
    (n, d), k = x.shape, len(alpha)
    columns, rows = np.triu_indices(d, 1)
    diagonal = np.arange(d)
    scales = np.exp(q)
    Q = np.zeros((k, d, d))
    Q[:, diagonal, diagonal], Q[:, rows, columns] = scales, l
    turned = (Q.reshape(-1, d) @ x.T).reshape(k, d, n)
    turned -= Q @ mu[:, :, None]
    beta = (alpha + np.sum(q, axis=1))[:, None] - 0.5 * np.einsum("kdn,kdn->kn", turned, turned)
    share = np.exp(beta - np.max(beta, axis=0))
    share /= np.sum(share, axis=0)
    prior = np.exp(alpha - np.max(alpha))
    turned *= share[:, None, :]
    summed = np.sum(turned, axis=2)
    by_Q = summed[:, :, None] * mu[:, None, :] - (turned.reshape(-1, n) @ x).reshape(k, d, d)
    total = np.sum(share, axis=1)
    by_mu = (summed[:, None, :] @ Q)[:, 0, :]
    by_q = total[:, None] + by_Q[:, diagonal, diagonal] * scales - gamma**2 * scales**2 + m
    return total - n * prior / np.sum(prior), by_mu, by_q, by_Q[:, rows, columns] - gamma**2 * l


def triangles_jax(q: Array, l: Array) -> Array:  # noqa: E741
    import jax.numpy as jnp

    k, d = q.shape
    columns, rows = np.triu_indices(d, 1)
    diagonal = np.arange(d)
    return jnp.zeros((k, d, d)).at[:, diagonal, diagonal].set(jnp.exp(q)).at[:, rows, columns].set(l)


def objective_torch(alpha: Array, mu: Array, q: Array, l: Array, x: Array, gamma: Array, m: int) -> Array:  # noqa: E741
    import torch

    (n, d), k = x.shape, len(alpha)
    columns, rows = torch.triu_indices(d, d, 1)
    Q = torch.diag_embed(torch.exp(q))
    Q[:, rows, columns] = l
    apart = (x - mu[:, None, :]) @ Q.mT
    beta = (alpha + q.sum(1))[:, None] - 0.5 * (apart**2).sum(2)
    freedom = torch.tensor(0.5 * (d + m + 1), dtype=torch.float64)
    constant = k * (2 * freedom * d * (torch.log(gamma) - 0.5 * np.log(2.0)) - torch.special.multigammaln(freedom, d))
    prior = constant - 0.5 * gamma**2 * ((torch.exp(q) ** 2).sum() + (l**2).sum()) + m * q.sum()
    mixture = torch.logsumexp(beta, 0).sum() - n * (0.5 * d * np.log(2 * np.pi) + torch.logsumexp(alpha, 0))
    return mixture + prior


def make(size: tuple[int, int, int], rng: np.random.Generator) -> tuple[Any, ...]:
    d, k, n = size
    alpha, mu, q = rng.normal(size=k), rng.random((k, d)), rng.normal(size=(k, d))
    return alpha, mu, q, rng.normal(size=(k, d * (d - 1) // 2)), rng.normal(size=(n, d)), 1.0, 0


CASES = (
    Case(
        "gmm",
        objective,
        make,
        sizes=((2, 5, 1000), (10, 25, 1000), (32, 50, 1000), (2, 5, 100_000), (64, 100, 1000), (128, 200, 1000)),
        label=lambda size: "d {}, k {}, n {:,}".format(*size),
        argnums=(0, 1, 2, 3),
        by_hand=by_hand,
        cpp=cpp.gmm,
        torch=objective_torch,
        instead={name: {"triangles": triangles_jax} for name in ("JAX", "JAX device")},
        skip={"autograd": "has no assignment to elements"},
    ),
)
