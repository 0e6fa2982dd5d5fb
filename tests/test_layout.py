import math
import random
from unittest import mock

import pytest
from geometry import Box, check, distinct, hits, overlaps, sample
from hypothesis import given
from hypothesis import strategies as st

from hopgrad.show.layout import Edge, Layout, layout

NODE_GAP = 20.0  # the default; labels get half of it
LABEL = (30.0, 14.0)

lengths = st.one_of(st.just(30.0), st.floats(0.0, 200.0))
boxes = st.tuples(lengths, lengths)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[Edge]]:
    sizes = draw(st.lists(boxes, max_size=12))
    if len(sizes) < 2:
        return sizes, []
    targets = st.integers(1, len(sizes) - 1)
    pairs = targets.flatmap(lambda target: st.tuples(st.integers(0, target - 1), st.just(target)))
    labels = st.none() | boxes
    edges = st.builds(lambda pair, label: Edge(*pair, label), pairs, labels)
    return sizes, draw(st.lists(edges, max_size=24))


def boxes_of(count: int) -> list[tuple[float, float]]:
    return [(40.0, 28.0)] * count


def chain(count: int, label: tuple[float, float] | None = LABEL) -> list[Edge]:
    return [Edge(k, k + 1, label) for k in range(count - 1)]


def binary_tree(depth: int) -> list[Edge]:
    """The leaves are the first nodes, the root is the last."""
    edges = []
    first, width = 0, 2**depth
    while width > 1:
        edges += [Edge(first + k, first + width + k // 2, LABEL) for k in range(width)]
        first, width = first + width, width // 2
    return edges


def mirrored(drawing: Layout, order: list[int]) -> bool:
    """Whether the drawing is its own mirror image when node k is seen as node order[k]."""
    return all(
        math.isclose(x, drawing.centers[other][0]) and math.isclose(y, drawing.height - drawing.centers[other][1])
        for (x, y), other in zip(drawing.centers, order, strict=True)
    )


# -- what holds for every graph ---------------------------------------------------------------------------


@given(graphs(), st.sampled_from(["right", "down"]), st.sets(st.integers(0, 11)))
def test_nothing_overlaps(graph, direction, pinned):
    sizes, edges = graph
    drawing = layout(sizes, edges, direction=direction, pinned=pinned)
    check(sizes, edges, drawing, direction=direction, gap=NODE_GAP / 2)
    nodes = [Box.around(center, size) for center, size in zip(drawing.centers, sizes, strict=True)]
    assert overlaps(nodes, NODE_GAP) == []


@given(graphs(), st.floats(1.0, 50.0), st.floats(1.0, 50.0))
def test_gaps_are_kept(graph, layer_gap, node_gap):
    sizes, edges = graph
    drawing = layout(sizes, edges, layer_gap=layer_gap, node_gap=node_gap)
    check(sizes, edges, drawing, gap=min(layer_gap, node_gap / 2))


@given(graphs(), st.integers(0, 30))
def test_nothing_overlaps_where_long_edges_have_tracks(graph, limit):
    sizes, edges = graph
    with mock.patch("hopgrad.show.layout._DUMMIES", limit):  # as in a large graph
        drawing = layout(sizes, edges)
    check(sizes, edges, drawing, gap=NODE_GAP / 2)


@given(graphs())
def test_layout_is_deterministic(graph):
    assert layout(*graph) == layout(*graph)


@given(graphs())
def test_down_is_right_with_the_axes_exchanged(graph):
    sizes, edges = graph
    right = layout(sizes, edges)
    turned = [(height, width) for width, height in sizes]
    down = layout(turned, [Edge(s, t, label and label[::-1]) for s, t, label in edges], direction="down")
    assert (down.height, down.width) == (right.width, right.height)
    assert [(y, x) for x, y in down.centers] == right.centers
    assert [[(y, x) for x, y in path] for path in down.paths] == right.paths
    assert [point and point[::-1] for point in down.labels] == right.labels


@given(graphs())
def test_results_are_drawn_behind_their_operands(graph):
    sizes, edges = graph
    centers = layout(sizes, edges).centers
    for source, target, _ in edges:
        assert centers[source][0] + sizes[source][0] / 2 < centers[target][0] - sizes[target][0] / 2


# -- what certain graphs look like ------------------------------------------------------------------------


def test_no_nodes():
    assert layout([], []) == Layout(0.0, 0.0, [], [], [])


def test_one_node_fills_the_drawing():
    assert layout([(40.0, 28.0)], []) == Layout(40.0, 28.0, [(20.0, 14.0)], [], [])


@pytest.mark.parametrize("label", [None, LABEL])
def test_a_chain_is_a_straight_line(label):
    edges = chain(6, label)
    drawing = layout(boxes_of(6), edges)
    assert drawing.height == 28.0
    assert {y for _, y in drawing.centers} == {14.0}
    assert all(y == 14.0 for path in drawing.paths for _, y in path)
    assert all(len(path) == 4 for path in drawing.paths)
    assert [x for x, _ in drawing.centers] == sorted(x for x, _ in drawing.centers)


@pytest.mark.parametrize("label", [None, LABEL])
def test_a_diamond_is_symmetric(label):
    edges = [Edge(0, 1, label), Edge(0, 2, label), Edge(1, 3, label), Edge(2, 3, label)]
    drawing = layout(boxes_of(4), edges)
    check(boxes_of(4), edges, drawing)
    assert mirrored(drawing, [0, 2, 1, 3])
    assert drawing.centers[1][1] < drawing.centers[2][1]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_a_binary_tree_is_symmetric(depth):
    edges = binary_tree(depth)
    sizes = boxes_of(2 ** (depth + 1) - 1)
    drawing = layout(sizes, edges)
    check(sizes, edges, drawing)
    order, first, width = [], 0, 2**depth
    while width:
        order += [first + width - 1 - k for k in range(width)]
        first, width = first + width, width // 2
    assert mirrored(drawing, order)
    heights = [y for _, y in drawing.centers]
    for k, (source, target, _) in enumerate(edges[::2]):
        assert source == edges[2 * k + 1].source - 1
        assert math.isclose(heights[target], (heights[source] + heights[source + 1]) / 2)


@pytest.mark.parametrize("label", [None, LABEL])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_edges_between_the_same_nodes_are_apart(count, label):
    edges = [Edge(0, 1, label)] * count + [Edge(0, 2, label)] * count + [Edge(1, 2, label)]
    drawing = layout(boxes_of(3), edges)
    check(boxes_of(3), edges, drawing, gap=NODE_GAP / 2)
    assert distinct(drawing.paths, 4.0)
    assert len(set(drawing.labels)) == (1 if label is None else len(edges))


def test_a_skipping_edge_leaves_the_long_way_straight():
    # x * sin(x) + 1: the line from x through sin, mul and add is straight.
    edges = [Edge(0, 1, LABEL), Edge(0, 2, LABEL), Edge(1, 2, LABEL), Edge(2, 4, LABEL), Edge(3, 4, LABEL)]
    drawing = layout(boxes_of(5), edges)
    check(boxes_of(5), edges, drawing)
    assert len({drawing.centers[k][1] for k in (0, 1, 2, 4)}) == 1
    assert len(drawing.paths[0]) == len(drawing.paths[2]) == len(drawing.paths[3]) == 4


def test_operands_are_in_order_from_the_top():
    drawing = layout(boxes_of(4), [Edge(0, 3, LABEL), Edge(1, 3, LABEL), Edge(2, 3, LABEL)])
    heights = [y for _, y in drawing.centers]
    assert heights[0] < heights[1] < heights[2]


def test_two_chains_between_the_same_nodes_do_not_cross():
    edges = [Edge(0, 1), Edge(0, 2), *(Edge(k, k + 2) for k in range(1, 19)), Edge(19, 21), Edge(20, 21)]
    drawing = layout(boxes_of(22), edges)
    check(boxes_of(22), edges, drawing)
    upper, lower = ({drawing.centers[k][1] for k in range(first, 21, 2)} for first in (1, 2))
    assert len(upper) == len(lower) == 1
    assert max(upper) < min(lower)


def test_a_constant_stands_just_before_its_use():
    # Nodes 2 and 5 join the chain of 0, 1, 3, 4 and 6.
    edges = [Edge(0, 1, LABEL), Edge(1, 3, LABEL), Edge(2, 3, LABEL), Edge(3, 4, LABEL), Edge(4, 6, LABEL)]
    edges.append(Edge(5, 6, LABEL))
    centers = layout(boxes_of(7), edges).centers
    assert centers[2][0] == centers[1][0]
    assert centers[5][0] == centers[4][0]


def test_a_pinned_node_stays_in_the_first_layer_if_its_use_is_near():
    edges = [Edge(0, 3), Edge(3, 4), Edge(1, 4), Edge(4, 5), Edge(5, 6), Edge(6, 7), Edge(2, 7)]
    free = layout(boxes_of(8), edges).centers
    pinned = layout(boxes_of(8), edges, pinned=[1, 2, 4]).centers
    assert free[1][0] == free[3][0]
    assert pinned[1][0] == pinned[0][0] < free[1][0]
    assert pinned[2][0] == pinned[6][0]  # its use is far away
    assert pinned[4][0] == free[4][0]  # it has operands


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_a_fan_is_symmetric(count):
    edges = [Edge(0, k, LABEL) for k in range(1, count + 1)]
    edges += [Edge(k, count + 1, LABEL) for k in range(1, count + 1)]
    drawing = layout(boxes_of(count + 2), edges)
    check(boxes_of(count + 2), edges, drawing, gap=NODE_GAP / 2)
    assert mirrored(drawing, [0, *range(count, 0, -1), count + 1])


def test_components_do_not_mix():
    edges = [Edge(0, 2), Edge(2, 4), Edge(1, 3), Edge(3, 5)]
    drawing = layout(boxes_of(7), edges)
    check(boxes_of(7), edges, drawing)
    first, second = ({drawing.centers[k][1] for k in nodes} for nodes in ([0, 2, 4], [1, 3, 5]))
    assert len(first) == len(second) == 1
    assert first != second


# -- large graphs -----------------------------------------------------------------------------------------


def test_a_very_long_chain():
    count = 20_000
    drawing = layout(boxes_of(count), chain(count))
    assert drawing.height == 28.0
    assert {y for _, y in drawing.centers} == {14.0}


def test_thousands_of_isolated_nodes_fill_a_rectangle():
    drawing = layout(boxes_of(3000), [])
    check(boxes_of(3000), [], drawing, gap=NODE_GAP)
    assert 0.5 < drawing.width / drawing.height < 3.0


def test_a_value_used_very_often():
    edges = [Edge(0, k, LABEL) for k in range(1, 1000)]
    drawing = layout(boxes_of(1000), edges)
    check(boxes_of(1000), edges, drawing, gap=NODE_GAP / 2)


def random_edges(count: int, degree: int, window: int) -> list[Edge]:
    source = random.Random(1)
    targets = [source.randrange(1, count) for _ in range(degree * count)]
    return [Edge(source.randrange(max(0, t - window), t), t, LABEL if source.random() < 0.9 else None) for t in targets]


def reverse_mode(depth: int) -> tuple[int, list[Edge]]:
    """A chain of products and, behind it, their derivatives, in which each factor is used again."""
    pairs = []
    forward, value, count = [], 0, 1
    for _ in range(depth):
        weight, product = count, count + 1
        pairs += [(value, product), (weight, product)]
        forward.append((value, weight))
        value, count = product, count + 2
    for operand, weight in reversed(forward):
        pairs += [(value, count), (operand, count), (value, count + 1), (weight, count + 1)]
        value, count = count + 1, count + 2
    return count, [Edge(*pair, LABEL) for pair in pairs]


@pytest.mark.parametrize("window", [10, 100, 10_000])
@pytest.mark.slow
def test_ten_thousand_nodes(window):
    edges = random_edges(10_000, 2, window)
    drawing = layout(boxes_of(10_000), edges)
    check(boxes_of(10_000), edges, drawing, gap=NODE_GAP / 2)


@pytest.mark.parametrize("depth", [100, 1000])
def test_the_graph_of_a_gradient(depth):
    count, edges = reverse_mode(depth)
    drawing = layout(boxes_of(count), edges)
    check(boxes_of(count), edges, drawing, gap=NODE_GAP / 2)


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edges",
    [
        [Edge(1, 1)],
        [Edge(0, 1), Edge(1, 0)],
        [Edge(0, 1), Edge(1, 2), Edge(2, 0)],
        [Edge(0, 3)],
        [Edge(-1, 2)],
    ],
)
def test_edges_that_are_none(edges):
    with pytest.raises(ValueError, match="edge"):
        layout(boxes_of(3), edges)


@pytest.mark.parametrize("size", [(-1.0, 2.0), (1.0, math.nan), (math.inf, 1.0)])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="size"):
        layout([size], [])
    with pytest.raises(ValueError, match="size"):
        layout(boxes_of(2), [Edge(0, 1, size)])


@pytest.mark.parametrize("gaps", [{"layer_gap": 0.0}, {"node_gap": -1.0}, {"node_gap": math.nan}])
def test_gaps_that_are_none(gaps):
    with pytest.raises(ValueError, match="gap"):
        layout(boxes_of(2), [Edge(0, 1)], **gaps)


# -- the checks themselves --------------------------------------------------------------------------------


def test_overlaps_are_found():
    squares = [Box.around((x, 0.0), (10.0, 10.0)) for x in (0.0, 9.0, 21.0)]
    assert overlaps(squares) == [(0, 1)]
    assert overlaps(squares, 3.0) == [(0, 1), (1, 2)]


def test_hits_are_found():
    line = [(0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 0.0)]
    arc = [(0.0, 0.0), (0.0, 40.0), (30.0, 40.0), (30.0, 0.0)]
    squares = [Box.around((15.0, y), (4.0, 4.0)) for y in (0.0, 2.0, 10.0, 30.0)]
    assert hits([line, arc], squares) == {(0, 0), (1, 3)}
    assert sample(arc)[:, 1].max() == pytest.approx(30.0)
