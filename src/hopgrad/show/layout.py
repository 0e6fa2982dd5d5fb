"""Layered drawing of directed acyclic graphs, with room kept for the labels of edges.

The method is that of Sugiyama, Tagawa & Toda ("Methods for visual understanding of hierarchical
system structures", 1981). Its steps, each a function here:

1. `_rank` chooses layers so that edges are short in total (network simplex, after Gansner, Koutsofios,
   North & Vo, "A technique for drawing directed graphs", 1993, called GKNV below);
2. `_split` makes an edge a chain of virtual nodes, one in each layer that it passes. Its label is the
   last of them, in a layer of labels just before the node that the edge goes to;
3. `_order` arranges each layer so that few edges cross (GKNV again);
4. `_place` makes edges straight (Brandes & Köpf, "Fast and simple horizontal coordinate assignment",
   2001);
5. `_route` draws the edges through the room that is left.

Here a drawing grows along an axis u from operands to results, a layer is a strip across that axis, and v
is the coordinate along the strip. All that a drawing promises follows from that: boxes lie side by side
in strips, an edge passes a strip at a v of its own, and it bends only where no box is in the way.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from math import inf, isfinite, sqrt
from random import Random
from typing import Literal, NamedTuple

import numpy as np

Point = tuple[float, float]

# Bounds on the work for large graphs. Small ones never reach them.
_PIVOTS = 2_500_000  # pivots in `_simplex` times nodes and edges
_DUMMIES = 30_000  # virtual nodes in `_split`
_SWEEPS = 250_000  # sweeps in `_order` times segments of edges
_RELAXES = 100_000  # rounds in `_relax` times nodes


class Edge(NamedTuple):
    """An edge from an operand to its use, perhaps with a label of some width and height."""

    source: int
    target: int
    label: tuple[float, float] | None = None


@dataclass(frozen=True)
class Layout:
    """A drawing inside the rectangle from (0, 0) to (width, height).

    Attributes:
        width: The extent in x, which grows to the right.
        height: The extent in y, which grows downwards.
        centers: The centre of each node's box.
        paths: Each edge as a chain of cubic Bézier curves: a start, then three points for every curve.
        labels: The centre of each edge's label, None for an edge without one.
    """

    width: float
    height: float
    centers: list[Point]
    paths: list[list[Point]]
    labels: list[Point | None]


def layout(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[Edge],
    *,
    direction: Literal["right", "down"] = "right",
    layer_gap: float = 24.0,
    node_gap: float = 20.0,
    pinned: Collection[int] = (),
) -> Layout:
    """Draw a directed acyclic graph.

    Boxes of nodes and labels are disjoint, and the curve of an edge meets none of them but its own two
    nodes and its own label, through whose middle it goes. Equal arguments give equal drawings.

    Args:
        sizes: Width and height of each node's box.
        edges: Each goes from a lower to a higher number. Several may join the same two nodes.
        direction: Where a result is drawn as seen from its operands.
        layer_gap: The least distance between layers, those of labels included.
        node_gap: The distance between nodes within a layer; labels and edges get half of it.
        pinned: Nodes that stay in the first layer if they have no operands and are first used nearby.

    Raises:
        ValueError: If an edge joins anything else, or a size or a gap is not a usable number.
    """
    _check(sizes, edges, layer_gap, node_gap)
    if down := direction == "down":  # the u axis is y
        sizes = [(height, width) for width, height in sizes]
        edges = [Edge(s, t, label and (label[1], label[0])) for s, t, label in edges]
    groups = _components(len(sizes), edges)
    local = {node: k for nodes, _ in groups for k, node in enumerate(nodes)}
    chosen, parts = set(pinned), []
    for nodes, arcs in groups:
        own = [Edge(local[edges[k].source], local[edges[k].target], edges[k].label) for k in arcs]
        keep = [local[node] for node in nodes if node in chosen]
        parts.append(_draw([sizes[node] for node in nodes], own, keep, layer_gap, node_gap))
    width, height, corners = _pack([(part.width, part.height) for part in parts], 2 * node_gap)

    centers: list[Point] = [(0.0, 0.0)] * len(sizes)
    paths: list[list[Point]] = [[] for _ in edges]
    labels: list[Point | None] = [None] * len(edges)
    for (nodes, arcs), part, (du, dv) in zip(groups, parts, corners, strict=True):

        def put(point: Point, du: float = du, dv: float = dv) -> Point:
            u, v = point[0] + du, point[1] + dv
            return (v, u) if down else (u, v)

        for node, center in zip(nodes, part.centers, strict=True):
            centers[node] = put(center)
        for arc, path, label in zip(arcs, part.paths, part.labels, strict=True):
            paths[arc] = [put(point) for point in path]
            labels[arc] = label and put(label)
    if down:
        width, height = height, width
    return Layout(width, height, centers, paths, labels)


def _check(sizes: Sequence[tuple[float, float]], edges: Sequence[Edge], layer_gap: float, node_gap: float) -> None:
    for size in (*sizes, *(edge.label for edge in edges if edge.label is not None)):
        if not all(isfinite(side) and side >= 0 for side in size):
            raise ValueError(f"a box of size {size}")
    for gap in (layer_gap, node_gap):
        if not (isfinite(gap) and gap > 0):
            raise ValueError(f"a gap of {gap}; gaps are positive")
    for source, target, _ in edges:
        if not (0 <= source < len(sizes) and 0 <= target < len(sizes)):
            raise ValueError(f"edge {source} -> {target} between nodes 0 to {len(sizes) - 1}")
        if source >= target:
            raise ValueError(f"edge {source} -> {target}: it must go to a higher number, so that no cycle can be")


def _components(count: int, edges: Sequence[Edge]) -> list[tuple[list[int], list[int]]]:
    """The nodes and edges of each connected component, both in ascending order."""
    lead = list(range(count))
    for source, target, _ in edges:
        _join(lead, source, target)
    groups: dict[int, tuple[list[int], list[int]]] = {}
    for node in range(count):
        groups.setdefault(_find(lead, node), ([], []))[0].append(node)
    for k, edge in enumerate(edges):
        groups[_find(lead, edge.source)][1].append(k)
    return list(groups.values())


def _find(lead: list[int], node: int) -> int:
    """The representative of a node's set."""
    while lead[node] != node:
        lead[node] = lead[lead[node]]
        node = lead[node]
    return node


def _join(lead: list[int], a: int, b: int) -> bool:
    """Unite the sets of two nodes; whether they were different ones."""
    a, b = _find(lead, a), _find(lead, b)
    lead[max(a, b)] = min(a, b)
    return a != b


def _pack(extents: list[tuple[float, float]], gap: float) -> tuple[float, float, list[Point]]:
    """Put rectangles in rows along u that are about as long as the longest; the whole and their corners."""
    area = sum((du + gap) * (dv + gap) for du, dv in extents)
    limit = max([sqrt(1.5 * area), *(du for du, _ in extents)])
    u = v = width = height = 0.0
    corners = []
    for du, dv in extents:
        if u + du > limit:
            u, v, height = 0.0, v + height + gap, 0.0
        corners.append((u, v))
        width, height = max(width, u + du), max(height, dv)
        u += du + gap
    return width, v + height, corners


def _draw(
    sizes: list[tuple[float, float]], edges: list[Edge], pinned: list[int], layer_gap: float, node_gap: float
) -> Layout:
    """Draw a connected graph in u and v."""
    ranks = _rank(len(sizes), [(s, t) for s, t, _ in edges], pinned)
    net = _split(sizes, edges, ranks, node_gap)
    _order(net)
    (width, height), points, paths = _route(net, _place(net), layer_gap, node_gap)
    labels = [points[chain[-2]] if edge.label else None for edge, chain in zip(edges, net.chains, strict=True)]
    return Layout(width, height, points[: len(sizes)], paths, labels)


# ---------------------------------------------------------------------------------------------- layers


def _rank(count: int, arcs: list[tuple[int, int]], pinned: list[int]) -> list[int]:
    """A rank for each node: higher than those of its operands, with a small sum of differences over arcs.

    The network simplex method of GKNV, with a spanning forest in place of their spanning tree: a tree that
    does not span is then a set of nodes that may move as one, like the part of a tree behind an edge.
    """
    into: list[list[int]] = [[] for _ in range(count)]
    outof: list[list[int]] = [[] for _ in range(count)]
    for s, t in arcs:
        into[t].append(s)
        outof[s].append(t)
    rank = [0] * count
    for node in reversed(range(count)):
        rank[node] = min((rank[t] for t in outof[node]), default=1) - 1
    for node in range(count):
        if into[node] and len(into[node]) >= len(outof[node]):
            rank[node] = max(rank[s] for s in into[node]) + 1
    rank = _simplex(rank, arcs, [len(a) - len(b) for a, b in zip(into, outof, strict=True)])
    first = min(rank)
    for node in pinned:
        if not into[node] and rank[node] <= first + 2:
            rank[node] = first
    dense = {r: k for k, r in enumerate(sorted(set(rank)))}
    return [dense[r] for r in rank]


def _simplex(start: list[int], arcs: list[tuple[int, int]], pull: list[int]) -> list[int]:
    """Shorten the arcs by pivots; `pull` has what a step to a lower rank would gain at each node."""
    count = len(start)
    rank = np.array(start)
    source, target = np.array(arcs, dtype=np.int64).reshape(-1, 2).T
    lead = list(range(count))
    forest: list[set[int]] = [set() for _ in range(count)]  # neighbours along some of the arcs of length 1
    for s, t in arcs:
        if start[t] == start[s] + 1 and _join(lead, s, t):
            forest[s].add(t)
            forest[t].add(s)
    for _ in range(1 + _PIVOTS // (count + len(arcs))):
        # Walk the forest depth first: the nodes that hang from an arc are then consecutive.
        walk: list[int] = []
        parent = [-2] * count
        for root in range(count):
            if parent[root] != -2:
                continue
            parent[root] = -1
            stack = [root]
            while stack:
                node = stack.pop()
                walk.append(node)
                for other in forest[node]:
                    if other != parent[node]:
                        parent[other] = node
                        stack.append(other)
        # Cutting the arc to the parent frees a part to move away from it: what would that gain?
        gain, size = pull.copy(), [1] * count
        most, best = 0, -1
        for k in range(count - 1, -1, -1):
            node = walk[k]
            above = parent[node]
            if above >= 0:
                gain[above] += gain[node]
                size[above] += size[node]
            value = abs(gain[node]) if above < 0 else gain[node] if node < above else -gain[node]
            if value > most:
                most, best = value, k
        if best < 0:
            break
        node = walk[best]
        part = np.zeros(count, dtype=bool)
        part[walk[best : best + size[node]]] = True
        down = gain[node] > 0
        stops = np.flatnonzero(part[target] & ~part[source] if down else part[source] & ~part[target])
        slack = rank[target[stops]] - rank[source[stops]] - 1
        first = int(slack.argmin())
        rank[part] += -slack[first] if down else slack[first]
        if parent[node] >= 0:
            forest[node].remove(parent[node])
            forest[parent[node]].remove(node)
        s, t = arcs[stops[first]]
        forest[s].add(t)
        forest[t].add(s)
    return [int(r) for r in rank]


@dataclass
class _Net:
    """A layered graph. Nodes from `real` on are virtual: points of edges, labels among them.

    `chains` has the nodes along each edge. A tracked edge is too long to have one in every layer: it
    has two, where its long straight part starts and stops. They are in no layer and have no neighbours.
    """

    real: int
    level: list[int]
    size: list[Point]  # in u and v
    reach: list[float]  # how far a node keeps others away in v, measured from its centre
    up: list[list[int]]  # neighbours in the layer before
    down: list[list[int]]  # neighbours in the layer after
    chains: list[list[int]]
    tracked: set[int]
    layers: list[list[int]] = field(default_factory=list)
    pos: list[int] = field(default_factory=list)  # within the layer


def _split(sizes: list[Point], edges: list[Edge], ranks: list[int], node_gap: float) -> _Net:
    """Put virtual nodes on the edges: a label before the target, and a point in every other layer passed."""
    twins = Counter((s, t) for s, t, _ in edges)
    boxes = [label or ((0.0, 0.0) if twins[s, t] > 1 else None) for s, t, label in edges]
    labelled = [0] * (max(ranks) + 1)  # by rank, whether a layer of labels comes before it
    for (_, t, _), box in zip(edges, boxes, strict=True):
        if box:
            labelled[ranks[t]] = 1
    shift = list(accumulate(labelled))
    level = [rank + shift[rank] for rank in ranks]

    spans = [level[t] - level[s] - 1 for s, t, _ in edges]
    tracked, room = set[int](), _DUMMIES
    for k in sorted(range(len(edges)), key=spans.__getitem__):
        room -= spans[k]
        if room < 0 and spans[k] > 2:
            tracked.add(k)

    size, chains = list(sizes), []
    up: list[list[int]] = [[] for _ in sizes]
    down: list[list[int]] = [[] for _ in sizes]
    for k, (s, t, _) in enumerate(edges):
        levels = list(range(level[s] + 1, level[t]))
        if k in tracked:
            levels = [levels[0], levels[-1]]
        chain = [s, *range(len(level), len(level) + len(levels)), t]
        chains.append(chain)
        level += levels
        size += [(0.0, 0.0)] * len(levels)
        up += [[] for _ in levels]
        down += [[] for _ in levels]
        if box := boxes[k]:
            size[-1] = box
        if k not in tracked:
            for a, b in pairwise(chain):
                down[a].append(b)
                up[b].append(a)
    pad = node_gap / 2
    reach = [dv / 2 + (pad if k < len(sizes) else pad / 2) for k, (_, dv) in enumerate(size)]
    return _Net(len(sizes), level, size, reach, up, down, chains, tracked)


# --------------------------------------------------------------------------------------------- crossings


def _order(net: _Net) -> None:
    """Arrange the layers so that few edges cross, by sweeps in both directions from several starts."""
    work = _SWEEPS // (1 + sum(map(len, net.up)))
    rounds = max(2, min(24, work))
    fewest: float = inf
    chance = Random(0)
    for start in range(max(2, min(12, work // 60))):
        back, ahead = (net.down, net.up) if start % 2 else (net.up, net.down)
        if start > 1:
            back = [chance.sample(others, len(others)) for others in back]
        layers, pos = _walk(net, back, ahead)
        for k in range(rounds + 1):
            if k % 2:
                for layer in layers[1:]:
                    _sort(layer, net.up, pos, k % 4 == 3)
            elif k:
                for layer in layers[-2::-1]:
                    _sort(layer, net.down, pos, k % 4 == 0)
            if rounds == 24:
                _transpose(layers, net, pos)
            crossings = sum(_crossings(layer, net.down, pos) for layer in layers)
            if crossings < fewest:
                fewest, net.layers, net.pos = crossings, [layer.copy() for layer in layers], pos.copy()
            if not fewest:
                return


def _walk(net: _Net, back: list[list[int]], ahead: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Layers, and places in them, as found by a depth-first search, which draws a tree without a crossing."""
    layers: list[list[int]] = [[] for _ in range(max(net.level) + 1)]
    pos = [-1] * len(net.level)
    for root in range(net.real):
        stack = [] if ahead[root] else [root]
        while stack:
            node = stack.pop()
            if pos[node] < 0:
                layer = layers[net.level[node]]
                pos[node] = len(layer)
                layer.append(node)
                stack += reversed(back[node])
    return layers, pos


def _sort(layer: list[int], near: list[list[int]], pos: list[int], swap: bool) -> None:
    """Sort by the mean place of neighbours; nodes without any keep their place. `swap` reverses ties."""
    keys: dict[int, float] = {}
    for node in layer:
        if others := near[node]:
            keys[node] = pos[others[0]]
            if len(others) > 1:
                keys[node] = sum([pos[other] for other in others]) / len(others)
    moved = iter(sorted(reversed(keys) if swap else keys, key=keys.__getitem__))
    layer[:] = [next(moved) if node in keys else node for node in layer]
    for k, node in enumerate(layer):
        pos[node] = k


def _crossings(layer: list[int], down: list[list[int]], pos: list[int]) -> int:
    """How many edges cross right after a layer.

    These are the inversions among the places of their ends (Barth, Jünger & Mutzel, "Simple and efficient
    bilayer cross counting", 2002).
    """
    count = 0
    ends: list[int] = []
    for node in layer:
        for end in sorted([pos[other] for other in down[node]]):
            if ends and end < ends[-1]:
                count += len(ends) - bisect_right(ends, end)
                insort(ends, end)
            else:
                ends.append(end)
    return count


def _transpose(layers: list[list[int]], net: _Net, pos: list[int]) -> None:
    """Exchange neighbours in a layer for as long as that avoids crossings."""

    def excess(a: list[int], b: list[int]) -> int:
        """Crossings of edges to places `a` and `b`, if those to `a` come first, less those if `b` does."""
        return sum([bisect_left(b, end) + bisect_right(b, end) - len(b) for end in a])

    dirty = set(range(len(layers)))
    while dirty:
        again = set()
        for k in sorted(dirty):
            layer = layers[k]
            ends = [[sorted([pos[end] for end in near[node]]) for near in (net.up, net.down)] for node in layer]
            for i in range(len(layer) - 1):
                if excess(ends[i][0], ends[i + 1][0]) + excess(ends[i][1], ends[i + 1][1]) > 0:
                    layer[i : i + 2], ends[i : i + 2] = layer[i : i + 2][::-1], ends[i : i + 2][::-1]
                    pos[layer[i]], pos[layer[i + 1]] = i, i + 1
                    again |= {k - 1, k, k + 1}
        dirty = again & set(range(len(layers)))


# ------------------------------------------------------------------------------------------- coordinates


def _place(net: _Net) -> list[float]:
    """The coordinate v of each node in a layer: the mean of the middle two of four extreme placements."""
    members = [node for layer in net.layers for node in layer]
    barred = _conflicts(net)
    minor = _minor(net)
    runs = []
    for near, layers in ((net.up, net.layers), (net.down, net.layers[::-1])):
        near = [
            sorted([other for other in others if (node, other) not in minor], key=net.pos.__getitem__)
            for node, others in enumerate(near)
        ]
        for sign in (1, -1):
            root = _align(layers, near, net.pos, sign, barred)
            runs.append(_compact(layers, root, net.reach, sign))
    places = np.array(runs)
    low, high = places[:, members].min(1), places[:, members].max(1)
    narrow = int((high - low).argmin())
    places[::2] += (low[narrow] - low[::2])[:, None]
    places[1::2] += (high[narrow] - high[1::2])[:, None]
    places.sort(axis=0)
    start = [float(x) for x in places[1:3].mean(axis=0)]
    # Both ways have the distances between nodes, so their mean has them, and it keeps a symmetry.
    ways = [_relax(net, start.copy(), minor, sign) for sign in (1, -1)]
    return [(a + b) / 2 for a, b in zip(*ways, strict=True)]


def _relax(net: _Net, v: list[float], minor: set[tuple[int, int]], sign: int) -> list[float]:
    """Bring rows of aligned nodes, in the order of v times `sign`, as near to their neighbours as is free.

    Only rows of virtual nodes and those joined by minor edges alone move, which nothing has put in place yet.
    """
    for _ in range(max(1, min(8, _RELAXES // len(v)))):
        row = [-1] * len(v)
        rows: list[list[int]] = []
        for layer in net.layers:
            for node in layer:
                for other in net.up[node]:
                    if abs(v[other] - v[node]) < 1e-6:
                        row[node] = row[other]
                        rows[row[other]].append(node)
                        break
                else:
                    row[node] = len(rows)
                    rows.append([node])
        rows.sort(key=lambda members: sign * v[members[0]])
        still = True
        for members in rows:
            edge = min(members) >= net.real
            ends = [
                (node, end)
                for node in ((members[0], members[-1]) if edge else members)
                for end in (*net.up[node], *net.down[node])
                if row[end] != row[node]
            ]
            if not ends or not (edge or minor.issuperset(ends)):
                continue
            low, high = -inf, inf
            for node in members:
                layer, k = net.layers[net.level[node]], net.pos[node]
                if k:
                    low = max(low, v[layer[k - 1]] + net.reach[layer[k - 1]] + net.reach[node])
                if k + 1 < len(layer):
                    high = min(high, v[layer[k + 1]] - net.reach[layer[k + 1]] - net.reach[node])
            goals = sorted([v[end] for _, end in ends])
            middle = (goals[(len(goals) - 1) // 2], goals[len(goals) // 2])
            here = v[members[0]]
            goal = max(low, min(min(middle[::sign], key=lambda end: abs(end - here)), high))
            if abs(goal - here) > 1e-6 and low <= high:
                still = False
                for node in members:
                    v[node] = goal
        if still:
            break
    return v


def _minor(net: _Net) -> set[tuple[int, int]]:
    """Both ways round, the ends of edges at nodes from which another edge starts a longer path on that side.

    Nodes are not aligned along these. So a drawing has a straight spine, to which the rest is joined.
    """
    ends = [(chain[0], chain[-1]) for chain in net.chains]
    before, after = [0] * net.real, [0] * net.real
    for s, t in sorted(ends, key=lambda end: end[1]):
        before[t] = max(before[t], before[s] + 1)
    for s, t in sorted(ends, reverse=True):
        after[s] = max(after[s], after[t] + 1)
    minor: set[tuple[int, int]] = set()
    for chain in net.chains:
        s, t = chain[0], chain[-1]
        if after[t] + 1 < after[s]:
            minor |= {(s, chain[1]), (chain[1], s)}
        if before[s] + 1 < before[t]:
            minor |= {(t, chain[-2]), (chain[-2], t)}
    return minor


def _conflicts(net: _Net) -> set[tuple[int, int]]:
    """Both ways round, the edges that cross one between two virtual nodes, which is to be straight."""
    barred: set[tuple[int, int]] = set()
    pos, real = net.pos, net.real
    for before, layer in pairwise(net.layers):
        low = done = 0
        for k, node in enumerate(layer):
            straight = node >= real and net.up[node][0] >= real
            if not straight and k + 1 < len(layer):
                continue
            high = pos[net.up[node][0]] if straight else len(before)
            for other in layer[done : k + 1]:
                for end in net.up[other]:
                    if not low <= pos[end] <= high and (other < real or end < real):
                        barred |= {(other, end), (end, other)}
            low, done = high, k + 1
    return barred


def _align(
    layers: list[list[int]], near: list[list[int]], pos: list[int], sign: int, barred: set[tuple[int, int]]
) -> list[int]:
    """Hang each node on a middle neighbour in the layer before if that is free; the first of each such row."""
    root = list(range(len(pos)))
    for layer in layers[1:]:
        last = -inf
        for node in layer[::sign]:
            others = near[node]
            if not others:
                continue
            middle = (others[(len(others) - 1) // 2], others[len(others) // 2])
            for other in middle[::sign]:
                if sign * pos[other] > last and (node, other) not in barred:
                    root[node] = root[other]
                    last = sign * pos[other]
                    break
    return root


def _compact(layers: list[list[int]], root: list[int], reach: list[float], sign: int) -> list[float]:
    """Push rows of aligned nodes together towards v = -inf (`sign` 1) or inf, then back where that is free.

    This longest path through rows replaces the recursion of the paper, which its authors have since found
    to be wrong for some graphs (Brandes, Walter & Zink, "Erratum", 2020).
    """
    after: list[list[tuple[int, float]]] = [[] for _ in root]
    waits = [0] * len(root)
    for layer in layers:
        for a, b in pairwise(layer[::sign]):
            after[root[a]].append((root[b], reach[a] + reach[b]))
            waits[root[b]] += 1
    place = [0.0] * len(root)
    queue = [node for node, first in enumerate(root) if node == first and not waits[node]]
    for row in queue:
        for other, gap in after[row]:
            place[other] = max(place[other], place[row] + gap)
            waits[other] -= 1
            if not waits[other]:
                queue.append(other)
    for row in reversed(queue):
        if after[row]:
            place[row] = max(place[row], min([place[other] - gap for other, gap in after[row]]))
    return [sign * place[row] for row in root]


# ------------------------------------------------------------------------------------------------ curves


def _route(
    net: _Net, v: list[float], layer_gap: float, node_gap: float
) -> tuple[Point, list[Point], list[list[Point]]]:
    """Fix the coordinate u and draw the edges: the extent of the whole, the centres of nodes, the curves."""
    _lay_tracks(net, v, node_gap)
    top = min(y - dv / 2 for y, (_, dv) in zip(v, net.size, strict=True))
    v = [y - top for y in v]
    depth = max(net.level) + 1
    thick, steep = [0.0] * depth, [0.0] * depth
    for node, level in enumerate(net.level):
        thick[level] = max(thick[level], net.size[node][0] / 2)
        for other in net.down[node]:
            steep[level] = max(steep[level], abs(v[node] - v[other]))
    # Where edges are steep, a wider gap makes them less so.
    gaps = [max(layer_gap, min(rise / 6, 3 * layer_gap)) for rise in steep]
    middle = [thick[0]]
    for k in range(1, depth):
        middle.append(middle[-1] + thick[k - 1] + gaps[k - 1] + thick[k])

    def border(node: int, side: int, goal: float, whole: bool) -> float:
        """The u beside a node from where to bend to v = `goal`: past boxes on the way, or the `whole` layer."""
        level, layer = net.level[node], net.layers[net.level[node]]
        out = thick[level] if whole else net.size[node][0] / 2
        step = 1 if goal > v[node] else -1
        k = net.pos[node] + step
        while out < thick[level] and 0 <= k < len(layer):
            other = layer[k]
            if step * (v[other] - goal) >= net.reach[other]:
                break
            out = max(out, net.size[other][0] / 2)
            k += step
        return middle[level] + side * out

    paths = []
    starts, stops = _ports(net, v, node_gap, 0), _ports(net, v, node_gap, -1)
    for edge, (chain, start, stop) in enumerate(zip(net.chains, starts, stops, strict=True)):
        path = [(middle[net.level[chain[0]]] + net.size[chain[0]][0] / 2, start)]
        for a, b in pairwise(chain):
            y = path[-1][1]
            z = stop if b == chain[-1] else v[b]
            if abs(z - y) < 1e-6:
                continue
            leave, enter = border(a, 1, z, edge in net.tracked), border(b, -1, y, edge in net.tracked)
            _straight(path, leave, y)
            half = (leave + enter) / 2
            path += [(half, y), (half, z), (enter, z)]
        _straight(path, middle[net.level[chain[-1]]] - net.size[chain[-1]][0] / 2, stop)
        paths.append(path)
    width = middle[-1] + thick[-1]
    height = max(y + dv / 2 for y, (_, dv) in zip(v, net.size, strict=True))
    return (width, height), [(middle[net.level[node]], y) for node, y in enumerate(v)], paths


def _straight(path: list[Point], u: float, v: float) -> None:
    """Go on to a point in a straight line."""
    (a, b) = path[-1]
    if u > a:
        path += [((2 * a + u) / 3, (2 * b + v) / 3), ((a + 2 * u) / 3, (b + 2 * v) / 3), (u, v)]


def _lay_tracks(net: _Net, v: list[float], node_gap: float) -> None:
    """Place the long parts of tracked edges above all else, as few tracks as do, nested ones inside."""
    if not net.tracked:
        return
    parts = sorted([net.chains[k][1:3] for k in sorted(net.tracked)], key=lambda part: net.level[part[0]])
    pitch = max(net.size[stop][1] for _, stop in parts) + node_gap / 2
    top = min(v[node] - net.reach[node] for layer in net.layers for node in layer)
    busy: list[tuple[int, int]] = []  # tracks by their last level
    tracks = []
    for start, stop in parts:
        tracks.append(heappop(busy)[1] if busy and busy[0][0] < net.level[start] else len(busy))
        heappush(busy, (net.level[stop], tracks[-1]))
    for part, track in zip(parts, tracks, strict=True):
        for node in part:
            v[node] = top - pitch * (len(busy) - track - 0.5)


def _ports(net: _Net, v: list[float], node_gap: float, side: int) -> list[float]:
    """Where each edge leaves its source (`side` 0) or enters its target (`side` -1): the coordinate v.

    The edges at a side of a box spread around its middle, or around the one among them that can be straight.
    """
    owners: list[list[int]] = [[] for _ in range(net.real)]
    for edge, chain in enumerate(net.chains):
        owners[chain[side]].append(edge)
    beyond = [chain[1 if side == 0 else -2] for chain in net.chains]
    ports = [0.0] * len(net.chains)
    for node, own in enumerate(owners):
        own.sort(key=lambda edge: v[beyond[edge]])
        room = 0.4 * net.size[node][1]
        center, fixed = v[node], (len(own) - 1) / 2
        for k, edge in enumerate(own):
            off = v[beyond[edge]] - v[node]
            if abs(off) < (min(node_gap / 4, room) if beyond[edge] >= net.real else 1e-6):
                center, fixed = v[node] + off, k
        room -= abs(center - v[node])
        step = min(node_gap / 2, room / max(fixed, len(own) - 1 - fixed, 0.5))
        for k, edge in enumerate(own):
            ports[edge] = center + (k - fixed) * step
    return ports
