"""The log posterior of a mixture of Gaussians with a Wishart prior, differentiated by all its parameters.

The precision matrices are QᵀQ. Each Q is lower triangular; q holds the logarithms of its diagonal, l what is below it,
column by column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem, plain


def triangles(q: Array, l: Array) -> Array:  # noqa: E741 - its name in the protocol
    """The matrices Q, one for each component."""
    k, d = q.shape
    columns, rows = np.triu_indices(d, 1)
    diagonal = np.arange(d)
    Q = np.zeros((k, d, d))
    Q[:, diagonal, diagonal] = np.exp(q)
    Q[:, rows, columns] = l
    return Q


def log_sum_exp(a: Array, axis: int) -> Array:
    top = np.max(a, axis=axis, keepdims=True)
    return np.log(np.sum(np.exp(a - top), axis=axis)) + np.squeeze(top, axis)


def log_prior(q: Array, l: Array, gamma: float, m: int) -> Array:  # noqa: E741
    """Wishart's density of the precision matrices."""
    k, d = q.shape
    freedom = d + m + 1
    log_gamma = 0.25 * d * (d - 1) * np.log(np.pi) + np.sum(special.gammaln(0.5 * (freedom - np.arange(d))))
    constant = k * (freedom * d * (np.log(gamma) - 0.5 * np.log(2.0)) - log_gamma)
    return constant - 0.5 * gamma**2 * (np.sum(np.exp(q) ** 2) + np.sum(l**2)) + m * np.sum(q)


def objective(alpha: Array, mu: Array, q: Array, l: Array, x: Array, gamma: float, m: int) -> Array:  # noqa: E741
    n, d = x.shape
    Q = triangles(q, l)
    turned = np.reshape(np.reshape(Q, (-1, d)) @ x.T, (-1, d, n)) - Q @ mu[:, :, None]  # one product for all components
    beta = (alpha + np.sum(q, axis=1))[:, None] - 0.5 * np.sum(turned**2, axis=1)
    constant = -n * (0.5 * d * np.log(2 * np.pi) + log_sum_exp(alpha, 0))
    return constant + np.sum(log_sum_exp(beta, 0)) + log_prior(q, l, gamma, m)


jacobian = hg.grad(objective, (0, 1, 2, 3))


def read(input: Input) -> tuple[Any, ...]:
    q = np.array(input["q"], dtype=float)
    below = np.array(input["l"], dtype=float).reshape(len(q), -1)  # empty lists in one dimension
    arrays = [np.array(input[name], dtype=float) for name in ("alpha", "mu", "x")]
    return arrays[0], arrays[1], q, below, arrays[2], float(input["gamma"]), int(input["m"])


def write(gradients: tuple[Array, ...]) -> Any:
    return plain(dict(zip(("alpha", "mu", "q", "l"), gradients, strict=True)))


CALLS = {"objective": Problem(hg.compile(objective), read), "jacobian": Problem(jacobian, read, write)}
