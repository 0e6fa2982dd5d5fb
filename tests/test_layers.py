"""A network is explained by its layers, which open to hops: names, groups, numbers, pictures, and files."""

from __future__ import annotations

import dataclasses
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, train
from hopgrad.notation import text
from hopgrad.show.schema import from_json

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
Y = np.array([0, 1, 1, 0])


def classify(model: Any, x: Any, y: Any) -> Any:
    return nn.cross_entropy(model(x), y)


def classifier() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3, rng=0), nn.gelu, nn.Linear(3, 3, rng=1), nn.gelu, nn.Linear(3, 2, rng=2))


def outline(story: Any) -> list[tuple[int, str]]:
    return [(depth, group.title) for depth, group in story._analysis.layers.outline]


def test_layers_have_the_names_by_which_they_are_reached() -> None:
    story = hg.explain(classify, wrt="model")(classifier(), X, Y)
    assert outline(story) == [
        (0, "model: Sequential"), (1, "model[0]: Linear"), (1, "gelu"), (1, "model[2]: Linear"), (1, "gelu"),
        (1, "model[4]: Linear"), (0, "cross_entropy"),
    ]  # fmt: skip
    assert story.title.startswith("classify(model, x)   at x = 4×2")
    assert "input, 3×3, model[2].weight" in story.text()


def test_their_numbers_are_those_of_the_activity() -> None:
    model = classifier()
    story = hg.explain(classify, wrt="model")(model, X, Y)
    activity = train.activity(classify, model, X, Y)
    layers = story._analysis.layers
    for _, group in layers.outline:
        if group.layer.kind == "Linear":
            found = activity[group.layer.name.removeprefix("model[").removesuffix("]")]
            np.testing.assert_allclose(story._analysis.value(layers.result(group)), found.output, rtol=1e-6)
            np.testing.assert_allclose(story._analysis.adjoint(layers.result(group)), found.gradient, rtol=1e-5)
            names = [story._analysis.reached[n] for n in layers.parameters(group) if n in story._analysis.reached]
            assert names == [f"{group.layer.name}.weight", f"{group.layer.name}.bias"]


def test_a_model_is_explained_by_itself() -> None:
    model = classifier()
    story = hg.explain(model)(X)
    np.testing.assert_array_equal(story.value, model(X))
    wanted = hg.grad(lambda model, x: np.sum(model(x)), argnums=(0, 1))(model, X)
    for found, expected in zip(hg.tree.flatten(story.gradient)[0], hg.tree.flatten(wanted)[0], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert story.title.startswith("Sequential(model, x)")


@dataclasses.dataclass
class Twins:
    """A module of one's own: nothing is inherited, one layer is used twice, and layers are in dicts."""

    shared: nn.Linear
    heads: dict[str, nn.Linear]
    scale: Any

    def __call__(self, x: Any) -> Any:
        for _ in range(2):
            x = np.tanh(self.shared(x))
        return self.heads["left"](x) * self.scale + self.heads["right"](x)


def test_modules_of_ones_own() -> None:
    model = Twins(
        nn.Linear(2, 2, rng=0), {"left": nn.Linear(2, 1, rng=1), "right": nn.Linear(2, 1, rng=2)}, np.float32(2)
    )
    story = hg.explain(model)(X)
    titles = [title for _, title in outline(story)]
    assert titles[0] == "model: Twins"
    assert titles.count("model.shared: Linear") == 2
    assert 'model.heads["left"]: Linear' in titles
    assert 'model.heads["right"]: Linear' in titles
    layers = story._analysis.layers
    used = [n for _, g in layers.outline if g.title == "model.shared: Linear" for n in layers.parameters(g)]
    assert "model.shared.bias" not in [story._analysis.reached.get(n) for n in used]  # both calls use it


def test_a_transformer_is_seen_by_blocks_and_their_layers() -> None:
    block = nn.TransformerBlock(4, 2, 8, activation=nn.gelu, norm_first=True, rng=0)
    story = hg.explain(lambda model, x: np.sum(model(x, causal=True)), wrt="model")(
        block, np.ones((1, 3, 4), np.float32)
    )
    assert [title for depth, title in outline(story) if depth == 1] == [
        "model.norm1: LayerNorm", "model.self_attn: MultiheadAttention", "model.norm2: LayerNorm",
        "model.linear1: Linear", "gelu", "model.linear2: Linear",
    ]  # fmt: skip
    assert not story.troubles  # the mask's −∞ is meant


def test_a_gradient_inside_of_the_loss_goes_back_through_the_layers() -> None:
    model = nn.Sequential(nn.Linear(1, 3, rng=0), nn.tanh, nn.Linear(3, 1, rng=1))

    def loss(model: Any, t: Any) -> Any:
        slope = hg.elementwise_grad(lambda t: model(t[:, None])[:, 0])
        return np.mean((slope(t) + t) ** 2)

    titles = {title for _, title in outline(hg.explain(loss, wrt="model")(model, np.linspace(0, 1, 5)))}
    assert "model: Sequential, backward" in titles


def chain(story: Any) -> list[str]:
    (section,) = [section for section in story.sections if section.key == "chain"]
    return [text(line.formula).replace("∂ ", "∂") for line in section.lines]


def test_the_chain_rule_goes_from_layer_to_layer() -> None:
    story = hg.explain(classify, wrt="model")(classifier(), X, Y)
    assert chain(story)[:3] == [
        "∂y/∂v₁₆ = ∂y/∂v₁₉ · ∂v₁₉/∂v₁₆", "∂y/∂v₁₁ = ∂y/∂v₁₆ · ∂v₁₆/∂v₁₁", "∂y/∂v₈ = ∂y/∂v₁₁ · ∂v₁₁/∂v₈",
    ]  # fmt: skip
    assert chain(story)[-1] == "∂y/∂weight = ∂y/∂v₃ · ∂v₃/∂weight"
    assert len(chain(story)) == 4 + 6


def test_ways_past_a_layer_add_up() -> None:
    block = nn.TransformerBlock(4, 2, 8, norm_first=True, rng=0)
    story = hg.explain(lambda model, x: np.mean(model(x)), wrt="model")(block, np.ones((1, 3, 4), np.float32))
    sums = [line for line in chain(story) if " + " in line]
    assert len(sums) == 1  # x goes past the attention too, but nothing is differentiated by it
    assert sums[0].count("∂y/") == 3


@dataclasses.dataclass
class Both:
    """A layer that gives two values, of which one is made of the other."""

    inner: nn.Linear

    def __call__(self, x: Any) -> Any:
        a = self.inner(x)
        return a, np.tanh(a)


def test_what_gives_two_values_is_no_link_of_the_chain() -> None:
    def loss(model: Any, x: Any) -> Any:
        a, b = model(x)
        return np.sum(a * b)

    found = chain(hg.explain(loss, wrt="model")(Both(nn.Linear(2, 2, rng=0)), X))
    # Directly through the product, and through the tanh.
    assert "∂y/∂a₂ = ∂y/∂h · ∂h/∂a₂ + ∂y/∂z · ∂z/∂a₂" in found


def test_convolutions_and_pools_are_explained() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, rng=0), nn.relu, nn.MaxPool2d(2), nn.Flatten())
    story = hg.explain(model)(np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32))
    assert "model[2]: MaxPool2d" in story.text()
    for suffix in ("html", "tex", "md", "dot", "json"):
        assert story.render(suffix)


def boxes(picture: str) -> list[str]:
    root = ET.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    nodes = [g for g in root.iter(f"{space}g") if g.get("class", "").startswith("node")]
    return [g.findtext(f"{space}title", "").partition("\n")[0] for g in nodes]


def test_the_picture_is_by_layers_and_opens_to_hops() -> None:
    story = hg.explain(classify, wrt="model")(classifier(), X, Y)
    closed = boxes(story.svg())
    assert [box.partition(", ")[0].rpartition(": ")[0].partition(": ")[0] for box in closed if "hops" in box] == [
        "model[0]", "gelu", "model[2]", "gelu", "model[4]", "cross_entropy",
    ]  # fmt: skip
    assert len(closed) == 6  # x and the parameters are told in the boxes of those that use them
    opened = boxes(story.svg(opened=["model[2]"]))
    assert len(opened) == 5 + 5  # a transposition, a product, a sum, and two parameters
    assert len(boxes(story.svg(opened=["gelu"]))) == 4 + 2 * 5
    assert len(boxes(story.svg(layers=False))) == len(story._analysis.nodes)
    assert "explanation" in story.html()
    with pytest.raises(ValueError, match=r"no layer is called 'model\[9\]': there are model, model\[0\]"):
        story.svg(opened=["model[9]"])
    with pytest.raises(ValueError, match="not by layers"):
        story.svg(opened=["model[0]"], layers=False)


def test_without_modules_every_hop_is_drawn() -> None:
    story = hg.explain(lambda x: nn.softmax(x)[0])(np.array([1.0, 2.0]))
    assert not story._analysis.layers
    assert len(boxes(story.svg())) == len(story._analysis.nodes)
    assert story.sections[0].key == "steps"


def test_a_layer_in_which_something_breaks_is_marked() -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=0), lambda x: np.log(x - 100), nn.Linear(2, 1, rng=1))
    with np.errstate(all="ignore"):
        story = hg.explain(model)(X)
    assert "born" in story.svg()
    model = nn.Sequential(
        nn.Linear(2, 2, rng=0).replace(bias=np.array([3e38, 3e38], np.float32)), nn.Linear(2, 1, rng=1)
    )
    with np.errstate(all="ignore"):
        story = hg.explain(model)(X * np.float32(1e38))
    assert "infinite or NaN is born here" in story.svg()


def test_a_file_keeps_the_layers() -> None:
    story = hg.explain(classify, wrt="model")(classifier(), X, Y)
    data = json.loads(story.json())
    layers = {(site["layer"]["name"], site["layer"]["kind"]) for site in data["graph"]["sites"] if "layer" in site}
    assert {("model", "Sequential"), ("model[4]", "Linear"), ("", "gelu"), ("", "cross_entropy")} <= layers
    assert [node.get("path") for node in data["graph"]["nodes"][:2]] == ["model[0].weight", "model[0].bias"]
    graph = from_json(story.json()).graph
    sites = graph.builder.sites
    found = [str(layer) for node in graph.order for _, layer in sites.layers(graph.builder.site[node])]
    assert "model[4]: Linear" in found


def test_groups_hold_all_values_once() -> None:
    story = hg.explain(classify, wrt="model")(classifier(), X, Y)
    assert list(story._analysis.layers.root.nodes) == story._analysis.nodes


@pytest.mark.parametrize("name", ["two_moons", "digits_cnn", "autoencoder", "characters", "physics", "neural_ode"])
def test_the_examples_are_drawn_by_layers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
    sys.modules.pop(name, None)
    story = __import__(name).explained()
    assert 3 <= len(boxes(story.svg())) <= 60
    assert any("model" in box for box in boxes(story.svg()))
