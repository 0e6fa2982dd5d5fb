"""The cost of k-means, squared distances to the nearest centre, and Newton's step of the centres.

The Hessian is diagonal, so that its product with ones is all of it.
"""

from __future__ import annotations

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem


def cost(centres: Array, points: Array) -> Array:
    lengths = np.sum(points**2, axis=1)[:, None] + np.sum(centres**2, axis=1)
    return np.sum(np.min(lengths - 2 * points @ centres.T, axis=1))


def direction(centres: Array, points: Array) -> Array:
    """The gradient by the Hessian's diagonal."""
    gradient = hg.grad(lambda centres: cost(centres, points))
    slope, curvature = hg.jvp(gradient, (centres,), (np.ones_like(centres),))
    return slope / curvature


def read(input: Input) -> tuple[Array, Array]:
    return np.array(input["centroids"], dtype=float), np.array(input["points"], dtype=float)


CALLS = {"cost": Problem(hg.compile(cost), read), "dir": Problem(hg.compile(direction), read)}
