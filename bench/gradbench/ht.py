"""Hand tracking: how far points are from those of a hand's skin that they belong to, differentiated by its pose.

The skin hangs on bones that turn about each other; a place on it moves with the bones by given weights. In the simple
variant a point belongs to a vertex of the skin, in the other one to a place in a triangle, given by two numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem

FINGERS, FIRST, BONES = 5, 2, 4  # the first finger's first bone, and bones of a finger, of which the last one is stiff


class Hand(NamedTuple):
    """A model of a hand."""

    parents: Array
    relatives: Array
    """Where bones stand, seen from their parents: (bones, 4, 4)."""
    inverses: Array
    """From the space of the hand at rest to that of each bone: (bones, 4, 4)."""
    positions: Array
    """Vertices of the skin at rest: (vertices, 4), the last one being 1."""
    weights: Array
    """How much vertices hang on bones: (vertices, bones)."""
    triangles: Array
    side: Array
    """(−1, 1, 1) for a hand that is mirrored, else ones."""


def turned(x: Array, z: Array, y: Array) -> Array:
    """The rotation about three axes, one after the other."""
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(x), -np.sin(x)], [0.0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0.0, np.sin(y)], [0.0, 1.0, 0.0], [-np.sin(y), 0.0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0.0], [np.sin(z), np.cos(z), 0.0], [0.0, 0.0, 1.0]])
    return about_z @ about_y @ about_x


def rotation(turn: Array) -> Array:
    """The rotation about an axis by an angle, the axis' length."""
    angle = np.sqrt(np.sum(turn**2))
    if angle < 1e-4:
        return np.eye(3)
    x, y, z = turn / angle
    across = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across


def angles(theta: Array, bones: int) -> Array:
    """Of each bone: a finger's first one has two, the next two one."""
    found = np.zeros((bones, 3))
    for finger in range(FINGERS):
        bone, bend = FIRST + BONES * finger, theta[6 + 4 * finger :]
        found[bone, 0] = bend[0]
        found[bone, 1] = bend[1]
        found[bone + 1, 0] = bend[2]
        found[bone + 2, 0] = bend[3]
    return found


def skin(theta: Array, hand: Hand) -> Array:
    """Vertices of the skin."""
    bones = len(hand.parents)
    bent = angles(theta, bones)
    frames: list[Array] = []
    for bone in range(bones):
        joint = np.eye(4)
        joint[:3, :3] = turned(*bent[bone])
        frame = hand.relatives[bone] @ joint
        frames.append(frame if hand.parents[bone] < 0 else frames[hand.parents[bone]] @ frame)
    moved = np.zeros((3, len(hand.positions)))
    for frame, inverse, weights in zip(frames, hand.inverses, hand.weights.T, strict=True):
        moved = moved + ((frame @ inverse)[:3] @ hand.positions.T) * weights
    return (rotation(theta[:3]) @ (hand.side[:, None] * moved)).T + theta[3:6]


def objective(theta: Array, us: Array, hand: Hand, correspondences: Array, points: Array) -> Array:
    vertices = skin(theta, hand)
    if len(us) == 0:
        return np.ravel(points - vertices[correspondences])
    first, second, third = np.moveaxis(vertices[hand.triangles[correspondences]], 1, 0)
    u, v = us[:, :1], us[:, 1:]
    return np.ravel(points - (u * first + v * second + (1 - u - v) * third))


def moved_objective(shift: Array, theta: Array, us: Array, *rest: Any) -> Array:
    """All places in triangles moved by the same: each one's residuals depend on no other."""
    return objective(theta, us + shift, *rest)


by_places = hg.jacobian(moved_objective, (0, 1))
by_pose = hg.jacobian(objective)


def jacobian(theta: Array, us: Array, *rest: Any) -> Array:
    """The derivatives by each point's own two numbers, if it has them, and by the pose."""
    if len(us) == 0:
        return by_pose(theta, us, *rest)
    return np.concatenate(by_places(np.zeros(2), theta, us, *rest), axis=1)


def read(input: Input) -> tuple[Any, ...]:
    data = input["data"]
    model = data["model"]
    names = ("base_relatives", "inverse_base_absolutes", "base_positions", "weights")
    floats = [np.array(model[name], dtype=float) for name in names]
    parents, triangles = (np.array(model[name], dtype=int) for name in ("parents", "triangles"))
    side = np.array([-1.0 if model["is_mirrored"] else 1.0, 1.0, 1.0])
    hand = Hand(parents, *floats, triangles.reshape(-1, 3), side)
    places = np.array(input["us"], dtype=float).reshape(-1, 2)
    points = np.array(data["points"], dtype=float)
    return np.array(input["theta"], dtype=float), places, hand, np.array(data["correspondences"], dtype=int), points


CALLS = {"objective": Problem(hg.compile(objective), read), "jacobian": Problem(jacobian, read)}
