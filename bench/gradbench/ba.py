"""Bundle adjustment: how far projected points are from where cameras saw them, and all derivatives of that.

A camera has 11 numbers: a rotation (axis times angle), its centre, focal length, principal point and two coefficients
of radial distortion. Observation i is one of a point by a camera, with a weight and the place in the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem

CAMERA, POINT = 11, 3
BLOCK = CAMERA + POINT + 1  # what a residual depends on
SHIFT = 7  # where a camera's principal point is


def rotated(rotation: Array, x: Array) -> Array:
    """Points turned about an axis (Rodrigues 1840), columns of three rows each."""
    square = np.sum(rotation * rotation, axis=0)
    turns = square > 0
    angle = np.sqrt(np.where(turns, square, 1.0))
    axis = rotation / angle
    along = np.sum(axis * x, axis=0) * (1 - np.cos(angle))
    turned = x * np.cos(angle) + cross(axis, x) * np.sin(angle) + axis * along
    return np.where(turns, turned, x + cross(rotation, x))


def cross(a: Array, b: Array) -> Array:
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def residuals(cameras: Array, points: Array, weights: Array, features: Array) -> Array:
    """The two residuals of each observation, given the camera and the point of each: a row for each coordinate."""
    camera = cameras.T
    x = rotated(camera[:3], points.T - camera[3:6])
    plane = x[:2] / x[2]
    square = np.sum(plane * plane, axis=0)
    distorted = plane * (1 + camera[9] * square + camera[10] * square * square)
    return weights * (distorted * camera[6] + camera[7:9] - features.T)


def objective(
    cameras: Array, points: Array, weights: Array, features: Array, seen_by: Array, seen: Array
) -> tuple[Array, Array]:
    """Residuals one observation after the other, and the weights' own."""
    found = residuals(cameras[seen_by], points[seen], weights, features)
    return found.T.ravel(), 1 - weights * weights


def squares(cameras: Array, points: Array, weights: Array, features: Array, seen_by: Array, seen: Array) -> Array:
    """Half the sum of all squares: what an optimizer makes small."""
    found, own = objective(cameras, points, weights, features, seen_by, seen)
    return 0.5 * (np.sum(found * found) + np.sum(own * own))


sparse_jacobian = hg.sparse_jacobian(objective, (0, 1, 2))


@hg.compile
def filled(part: Array, first: Array, second: Array) -> Array:
    """What belongs to the rows of the sparse Jacobian, with more in the place of the other coordinate's shift."""
    p = len(first)
    inner = 2 * p * (BLOCK - 1)
    rows = part[:inner].reshape(p, 2, BLOCK - 1)
    row = [
        np.concatenate([rows[:, k, :gap], more[:, None], rows[:, k, gap:]], axis=1)
        for k, (gap, more) in enumerate(((SHIFT + 1, first), (SHIFT, second)))
    ]
    return np.concatenate([np.concatenate(row, axis=1).ravel(), part[inner:]])


def jacobian(
    cameras: Array, points: Array, weights: Array, features: Array, seen_by: Array, seen: Array
) -> tuple[Array, Array, Array]:
    """The sparse Jacobian by rows: where each row begins, columns, values.

    GradBench has all 15 elements of an observation in each of its rows; the one that is always zero is put in.
    """
    p = len(weights)
    found = sparse_jacobian(cameras, points, weights, features, seen_by, seen)
    shifts = (CAMERA * seen_by + SHIFT).astype(found.indices.dtype)
    zeros = np.zeros(p)
    begins = np.concatenate([BLOCK * np.arange(2 * p), 2 * p * BLOCK + np.arange(p + 1)])
    return begins, filled(found.indices, shifts + 1, shifts), filled(found.data, zeros, zeros)


def read(input: Input) -> tuple[Array, ...]:
    n, m, p = (int(input[name]) for name in "nmp")
    cameras, points, weights, features = (
        np.tile(np.array(input[name], dtype=float), (count, 1))
        for name, count in (("cam", n), ("x", m), ("w", p), ("feat", p))
    )
    return cameras, points, weights[:, 0], features, np.arange(p) % n, np.arange(p) % m


def write(result: tuple[Array, Array]) -> Any:
    found, own = result
    return {
        "reproj_error": {"elements": found[:2].tolist(), "repeated": len(own)},
        "w_err": {"element": float(own[0]), "repeated": len(own)},
    }


def write_jacobian(result: tuple[Array, Array, Array]) -> Any:
    """The first observation's two rows and the last entry, as all tools of GradBench give it."""
    shown = 2 * BLOCK
    return {
        name: [*part[:shown].tolist(), part[-1].item()]
        for name, part in zip(("rows", "cols", "vals"), result, strict=True)
    }


CALLS = {
    "objective": Problem(hg.compile(objective), read, write),
    "jacobian": Problem(jacobian, read, write_jacobian),
}
