"""Hand tracking: residuals of points on a hand's skin, which hangs on 22 bones, and their Jacobian by its pose."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.case import Array, Case

FINGERS, BONES = 5, 4
PARENTS = (-1, 0, *[1 if k % BONES == 0 else k + 1 for k in range(FINGERS * BONES)])  # a forearm, a wrist, fingers


def matrix(rows: list[list[Any]]) -> Array:
    return np.array(rows)


def turned(x: Array, z: Array) -> Array:
    """The rotation about the first axis, then about the third one."""
    cx, sx, cz, sz = np.cos(x), np.sin(x), np.cos(z), np.sin(z)
    zero, one = 0 * cx, 0 * cx + 1
    return matrix(
        [[cz, -sz * cx, sz * sx, zero], [sz, cz * cx, -cz * sx, zero], [zero, sx, cx, zero], [zero] * 3 + [one]]
    )


def rotation(turn: Array) -> Array:
    """The rotation about an axis by an angle, the axis' length."""
    angle = np.sqrt(np.sum(turn**2))
    x, y, z = turn / angle
    zero, c, s = 0 * x, 1 - np.cos(angle), np.sin(angle)
    across = matrix([[zero, -z, y], [z, zero, -x], [-y, x, zero]])
    one = matrix([[zero + 1, zero, zero], [zero, zero + 1, zero], [zero, zero, zero + 1]])
    return one + s * across + c * across @ across


def residuals(
    theta: Array, relatives: Array, inverses: Array, positions: Array, weights: Array, points: Array, seen: Array
) -> Array:
    frames: list[Array] = []
    for bone, parent in enumerate(PARENTS):
        finger, joint = divmod(bone - 2, BONES)
        bends = theta[6 + 4 * finger :] if bone >= 2 else theta
        frame = relatives[bone]
        if bone >= 2 and joint == 0:
            frame = frame @ turned(bends[0], bends[1])
        elif bone >= 2 and joint < 3:
            frame = frame @ turned(bends[1 + joint], 0 * bends[0])
        frames.append(frame if parent < 0 else frames[parent] @ frame)
    moved = 0.0
    for bone, frame in enumerate(frames):
        moved = moved + weights[:, bone] * ((frame @ inverses[bone])[:3] @ positions)
    vertices = (rotation(theta[:3]) @ moved).T + theta[3:6]
    return (points - vertices[seen]).ravel()


def matrix_torch(rows: list[list[Any]]) -> Array:
    import torch

    return torch.stack([torch.stack(row) for row in rows])


def residuals_torch(theta: Array, *rest: Array) -> Array:
    import torch

    from bench.tools import over

    return over(residuals, np=torch, matrix=matrix_torch)(theta, *rest)


def make(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    vertices, count = size
    relatives = np.tile(np.eye(4), (len(PARENTS), 1, 1))
    relatives[:, :3] += 0.2 * rng.normal(size=(len(PARENTS), 3, 4))
    absolutes: list[Array] = []
    for relative, parent in zip(relatives, PARENTS, strict=True):
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
    positions = np.vstack([rng.normal(size=(3, vertices)), np.ones(vertices)])
    weights = rng.dirichlet(np.ones(len(PARENTS)), vertices)
    inverses = np.linalg.inv(np.array(absolutes))
    theta, points = 0.3 * rng.normal(size=26), rng.normal(size=(count, 3))
    return theta, relatives, inverses, positions, weights, points, rng.integers(vertices, size=count)


CASES = (
    Case(
        "hand-tracking",
        residuals,
        make,
        sizes=((544, 100), (544, 1_600), (10_000, 1_600)),
        want="jacobian",
        torch=residuals_torch,
        skip={
            "autograd": "one sweep for each residual: minutes",
            "JAX device": "compiles as long as JAX once more",
        },
        label=lambda size: f"{size[0]:,} vertices, {size[1]:,} points",
    ),
)
