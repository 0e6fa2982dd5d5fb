"""Loops of networks are written out to be explained: steps are groups, and all numbers are those of the loop."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn
from hopgrad.show.layers import Group
from hopgrad.show.loops import written_out
from hopgrad.show.schema import from_json

X = np.random.default_rng(0).normal(size=(4, 2, 3))


def groups(story: Any) -> list[Group]:
    found, stack = [], [story._analysis.layers.root]
    while stack:
        found.append(stack.pop())
        stack.extend(reversed(found[-1].groups))
    return found[1:]


def titles(story: Any) -> list[str]:
    return [group.title for group in groups(story)]


def agree(story: Any, wanted: Any) -> None:
    for found, expected in zip(hg.tree.flatten(story.gradient)[0], hg.tree.flatten(wanted)[0], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def mean_square(model: Any, x: Any) -> Any:
    return np.mean(model(x)[0] ** 2)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("both", [False, True])
def test_recurrent_networks_open_to_their_steps(kind: Any, both: bool) -> None:
    model = kind(3, 5, num_layers=2, bidirectional=both, rng=0, dtype=np.float64)
    story = hg.explain(mean_square, wrt="model")(model, X)
    agree(story, hg.grad(mean_square)(model, X))
    np.testing.assert_allclose(story.value, mean_square(model, X), rtol=1e-12)
    found = titles(story)
    assert found[0] == f"model: {kind.__name__}"
    assert [t for t in found if t.startswith("step")] == [f"step {k} of 4" for k in (1, 2, 3, 4)] * (4 if both else 2)
    steps = [g for g in groups(story) if g.is_step]
    assert all(g.groups[0].title == "sigmoid" for g in steps if kind is not nn.RNN)
    # The last value of a step is its state, whose adjoint flows back from all later steps.
    layers = story._analysis.layers
    assert all(story.graph.builder.avals[layers.result(step)].shape == (2, 5) for step in steps)


def test_a_backward_loop_makes_its_steps_from_the_end() -> None:
    layer = nn.Linear(3, 3, rng=0, dtype=np.float64)

    def loss(layer: Any, x: Any) -> Any:
        last, rows = hg.scan(lambda h, row: (np.tanh(layer(h) + row), h * row), x[0], x, reverse=True)
        return np.sum(last) + np.sum(rows * np.arange(4.0)[:, None])

    x = X[:, 0]
    story = hg.explain(loss)(layer, x)
    agree(story, hg.grad(loss, argnums=(0, 1))(layer, x))
    first = next(g for g in groups(story) if g.title == "step 1 of 4")
    builder = story.graph.builder
    taken = [dict(builder.params(n))["items"] for n in first.nodes if builder.hop(n).name == "index"]
    assert taken == [(3,)]


@dataclasses.dataclass
class Deep:
    """Blocks one after the other, with the parameters of all of them stacked."""

    blocks: nn.TransformerBlock

    def __call__(self, x: Any) -> Any:
        return hg.scan(lambda x, block: (block(x, causal=True), None), x, self.blocks)[0]


def deep(count: int) -> Deep:
    made = [nn.TransformerBlock(4, 2, 8, norm_first=True, rng=k, dtype=np.float64) for k in range(count)]
    return Deep(hg.tree.map(lambda *leaves: np.stack(leaves), *made))


def test_a_block_that_is_scanned_over_its_parameters_opens() -> None:
    model, x = deep(3), np.random.default_rng(1).normal(size=(1, 3, 4))
    story = hg.explain(lambda model, x: np.sum(model(x) ** 2), wrt="model")(model, x)
    agree(story, hg.grad(lambda model: np.sum(model(x) ** 2))(model))
    found = titles(story)
    assert found.count("model.blocks: TransformerBlock") == 3
    assert found.count("model.blocks.self_attn: MultiheadAttention") == 3
    where = found.index("step 2 of 3")
    assert found[where : where + 3] == [
        "step 2 of 3", "model.blocks: TransformerBlock", "model.blocks.norm1: LayerNorm",
    ]  # fmt: skip


def test_long_loops_are_written_at_their_ends() -> None:
    model = nn.RNN(3, 5, rng=0, dtype=np.float64)
    x = np.random.default_rng(1).normal(size=(5000, 1, 3))
    story = hg.explain(mean_square, wrt="model")(model, x)
    agree(story, hg.grad(mean_square)(model, x))
    found = titles(story)
    assert found[1:3] == ["step 1 of 5000", "step 2 of 5000"]
    assert found[-1] == "step 5000 of 5000"
    (between,) = [title for title in found if title.startswith("steps ")]
    first, last = between.split()[1], between.split()[3]
    assert found.index(between) == int(first)
    assert found[found.index(between) + 1] == f"step {int(last) + 1} of 5000"
    assert 1000 < len(story.graph.hops) < 2500
    assert story.svg(opened=["model"])


def test_loops_in_loops() -> None:
    layer = nn.Linear(2, 2, rng=0, dtype=np.float64)

    def loss(layer: Any, x: Any) -> Any:
        def turn(h: Any, row: Any) -> Any:
            h = hg.scan(lambda h, _: (np.tanh(layer(h)), None), h + row, length=2)[0]
            return h, h

        return np.sum(hg.scan(turn, np.zeros(2), x)[1] ** 2)

    x = X[:3, 0, :2]
    story = hg.explain(loss)(layer, x)
    agree(story, hg.grad(loss, argnums=(0, 1))(layer, x))
    found = [t for t in titles(story) if t.startswith("step")]
    assert found == [
        "step 1 of 3", "step 1 of 2", "step 2 of 2", "step 2 of 3", "step 1 of 2", "step 2 of 2", "step 3 of 3",
        "step 1 of 2", "step 2 of 2",
    ]  # fmt: skip
    assert titles(story).count("layer: Linear") == 1 + 6  # what all steps need of it is computed before


def test_a_gradient_inside_of_a_loop_and_a_loop_in_a_gradient() -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=0, dtype=np.float64), nn.tanh, nn.Linear(3, 1, rng=1, dtype=np.float64))

    def down(model: Any, x: Any) -> Any:
        return hg.scan(lambda x, _: (x - 0.1 * hg.grad(lambda x: np.sum(model(x)))(x), None), x, length=3)[0]

    def loss(model: Any, x: Any) -> Any:
        return np.sum(down(model, x) ** 2)

    x = X[0, 0, :2]
    story = hg.explain(loss)(model, x)
    agree(story, hg.grad(loss, argnums=(0, 1))(model, x))
    assert "model: Sequential, backward" in titles(story)

    def slope(model: Any, x: Any) -> Any:
        return np.sum(
            hg.grad(lambda x: np.sum(hg.scan(lambda x, _: (np.tanh(x * model[0].bias[:2]), x), x, length=3)[1]))(x) ** 2
        )

    story = hg.explain(slope)(model, x)
    agree(story, hg.grad(slope, argnums=(0, 1))(model, x))


def test_steps_are_boxes_that_open() -> None:
    model = nn.LSTM(3, 5, rng=0)
    story = hg.explain(mean_square, wrt="model")(model, X.astype(np.float32))
    closed, steps, hops = (
        story.svg(opened=opened).count('class="node') for opened in ([], ["model"], ["model", "step 2 of 4"])
    )
    assert closed < steps < hops
    assert "step 1 of 4" in story.svg(opened=["model"])
    step = next(g for g in groups(story) if g.title == "step 2 of 4")
    assert hops == steps - 1 + len(list(step.nodes))
    with pytest.raises(ValueError, match="no layer is called 'step 9 of 4'"):
        story.svg(opened=["step 9 of 4"])


def test_files_and_texts_have_the_steps() -> None:
    model = nn.GRU(3, 2, rng=0)
    story = hg.explain(mean_square, wrt="model")(model, X.astype(np.float32))
    data = json.loads(story.json())
    kinds = [site["layer"]["kind"] for site in data["graph"]["sites"] if "layer" in site]
    steps = dict.fromkeys(kind for kind in kinds if kind.startswith("step"))
    assert list(steps) == [f"step {k} of 4" for k in range(1, 5)]
    read = from_json(story.json())
    assert read.graph.text().count("matmul") == story.graph.text().count("matmul")
    for suffix in ("html", "tex", "md", "dot"):
        assert story.render(suffix)


def test_branches_that_were_taken_are_told_as_before() -> None:
    layer = nn.Linear(3, 3, rng=0)

    def loss(layer: Any, x: Any) -> Any:
        if np.sum(x) > -1e6:
            x = x * 2
        y = hg.scan(lambda h, _: (layer(h), None), x, length=2)[0]
        return np.sum(y) if np.max(y) < 1e6 else np.sum(x)

    story = hg.explain(loss)(layer, X[0].astype(np.float32))
    assert len(story.conditions) == 2
    assert story.conditions[0].text.endswith("> −1000000")


def test_loops_of_no_network_stay_one_hop() -> None:
    story = hg.explain(lambda x: hg.scan(lambda h, r: (h * r, None), 1.0, x)[0])(np.arange(1.0, 4.0))
    assert any(node.hop.name == "scan" for node in story.graph)
    graph = hg.graph_of(lambda x: np.sin(x) * x)(1.0)
    assert written_out(graph)[0] is graph


def test_no_step_and_one_step() -> None:
    layer = nn.Linear(3, 3, rng=0, dtype=np.float64)
    for length in (0, 1):

        def loss(layer: Any, x: Any, length: int = length) -> Any:
            last, rows = hg.scan(lambda h, _: (layer(h), h), x, length=length)
            return np.sum(last**2) + np.sum(rows)

        story = hg.explain(loss, wrt=["layer", "x"])(layer, X[0])
        agree(story, hg.grad(loss, argnums=(0, 1))(layer, X[0]))
        assert titles(story).count("step 1 of 1") == length
