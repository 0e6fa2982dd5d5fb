"""Checks of drawings: boxes that overlap, curves that run into boxes, and what every layout promises."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from math import floor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hopgrad.show.layout import Edge, Layout

Point = tuple[float, float]

SLACK = 1e-6  # rounding may move anything by that much


class Box(NamedTuple):
    """A rectangle given by its sides."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, center: Point, size: tuple[float, float]) -> "Box":
        (x, y), (width, height) = center, size
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def grown(self, by: float) -> "Box":
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)


def overlaps(boxes: Sequence[Box], gap: float = 0.0) -> list[tuple[int, int]]:
    """The pairs of boxes that are less than `gap` apart in x as well as in y."""
    found = []
    active: list[int] = []
    for k in sorted(range(len(boxes)), key=lambda k: boxes[k].left):  # a sweep along x
        box = boxes[k].grown(gap - SLACK)
        active = [other for other in active if boxes[other].right > box.left]
        found += [(k, other) for other in active if boxes[other].bottom > box.top and boxes[other].top < box.bottom]
        active.append(k)
    return sorted((min(pair), max(pair)) for pair in found)


def sample(path: Sequence[Point], per_curve: int = 32) -> NDArray[np.float64]:
    """Points along a chain of cubic Bézier curves: a start, then three points for every curve."""
    assert len(path) % 3 == 1, f"{len(path)} points are no chain of cubic curves"
    points = np.asarray(path, dtype=np.float64)
    a, b, c, d = (points[k : len(points) - 3 + k : 3, None] for k in range(4))
    t = np.linspace(0.0, 1.0, per_curve + 1)[1:, None]
    curves = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return np.concatenate([points[:1], curves.reshape(-1, 2)])


def hits(paths: Sequence[Sequence[Point]], boxes: Sequence[Box]) -> set[tuple[int, int]]:
    """The pairs of a path and a box such that the path goes through the inside of the box."""
    if not paths or not boxes:
        return set()
    samples = [sample(path) for path in paths]
    points = np.concatenate(samples)
    owners = np.repeat(np.arange(len(paths)), [len(part) for part in samples])
    # Sort the points into square cells, so that a box looks only at the cells that it covers.
    side = max(1.0, float(np.median([max(box.right - box.left, box.bottom - box.top) for box in boxes])))
    cells = np.floor(points / side).astype(np.int64)
    order = np.lexsort((cells[:, 1], cells[:, 0]))
    edges = 1 + np.flatnonzero(np.any(np.diff(cells[order], axis=0), axis=1))
    content: dict[tuple[int, int], NDArray[np.int64]] = {}
    for part in np.split(order, edges):
        x, y = cells[part[0]]
        content[int(x), int(y)] = part
    found = set()
    for k, box in enumerate(boxes):
        left, top, right, bottom = box.grown(-SLACK)
        for x in range(floor(left / side), floor(right / side) + 1):
            for y in range(floor(top / side), floor(bottom / side) + 1):
                if (part := content.get((x, y))) is not None:
                    px, py = points[part].T
                    inside = (left < px) & (px < right) & (top < py) & (py < bottom)
                    found |= {(int(owner), k) for owner in owners[part[inside]]}
    return found


def check(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[Edge],
    drawing: Layout,
    *,
    direction: str = "right",
    gap: float = 0.0,
) -> None:
    """Assert all that a layout promises: `gap` is the least distance between any two boxes."""
    assert len(drawing.centers) == len(sizes)
    assert len(drawing.paths) == len(drawing.labels) == len(edges)
    nodes = [Box.around(center, size) for center, size in zip(drawing.centers, sizes, strict=True)]
    labels = {}
    for k, (edge, center) in enumerate(zip(edges, drawing.labels, strict=True)):
        assert (edge.label is None) == (center is None)
        if edge.label is not None and center is not None:
            labels[k] = Box.around(center, edge.label)
    boxes = [*nodes, *labels.values()]
    assert overlaps(boxes, gap) == []

    # A curve may pass no box but its own label, which it does pass.
    passed = hits(drawing.paths, boxes)
    own = {(edge, len(nodes) + k) for k, edge in enumerate(labels)}
    assert passed - own == set()
    ahead = 0 if direction == "right" else 1
    for edge, k in own:
        points = sample(drawing.paths[edge])
        middle = np.add(boxes[k][:2], boxes[k][2:]) / 2
        across = np.interp(middle[ahead], points[:, ahead], points[:, 1 - ahead])
        assert abs(across - middle[1 - ahead]) < SLACK

    # Curves go from the side of one box to the facing side of another, forwards all the way.
    for edge, path in zip(edges, drawing.paths, strict=True):
        source, target = nodes[edge.source], nodes[edge.target]
        assert abs(path[0][ahead] - source[2 + ahead]) < SLACK
        assert abs(path[-1][ahead] - target[ahead]) < SLACK
        assert source[1 - ahead] - SLACK <= path[0][1 - ahead] <= source[3 - ahead] + SLACK
        assert target[1 - ahead] - SLACK <= path[-1][1 - ahead] <= target[3 - ahead] + SLACK
        along = [point[ahead] for point in path]
        assert all(a <= b + SLACK for a, b in pairwise(along))

    inside = Box(0.0, 0.0, drawing.width, drawing.height).grown(SLACK)
    corners = [corner for box in boxes for corner in (box[:2], box[2:])]
    for x, y in [*corners, *(point for path in drawing.paths for point in path)]:
        assert inside.left <= x <= inside.right
        assert inside.top <= y <= inside.bottom


def distinct(paths: Collection[Sequence[Point]], least: float) -> bool:
    """Whether any two of the curves are at least `least` apart somewhere."""
    curves = [sample(path, 64) for path in paths]
    for k, one in enumerate(curves):
        for other in curves[:k]:
            distances = np.hypot(*(one[:, None] - other[None]).transpose(2, 0, 1))
            if distances.min(axis=1).max() < least:
                return False
    return True
