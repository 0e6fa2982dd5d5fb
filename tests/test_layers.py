"""A network is explained by its layers, which open to hops: names, groups, numbers, pictures, and files."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, train
from hopgrad.gallery import EXAMPLES, Example
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


MODEL = classifier()


@dataclasses.dataclass
class Task:
    """A loss that is a method of what holds the model."""

    model: nn.Sequential

    def loss(self, x: Any, y: Any) -> Any:
        return classify(self.model, x, y)


def test_captured_modules_are_seen_as_those_that_are_arguments() -> None:
    given = hg.explain(classify, wrt="model")(MODEL, X, Y)
    model = MODEL
    captured = {
        "a cell": hg.explain(lambda x, y: classify(model, x, y))(X, Y),
        "a global": hg.explain(lambda x, y: nn.cross_entropy(MODEL(x), y))(X, Y),
        "nothing but them": hg.explain(lambda: classify(model, X, Y))(),
    }
    for name, story in captured.items():
        title = "MODEL" if name == "a global" else "model"
        assert outline(story) == [(d, t.replace("model", title)) for d, t in outline(given)], name
        assert f"input, 3×3, {title}[2].weight" in story.text()
        for found, wanted in zip(
            *(hg.tree.flatten(m)[0] for m in (story.captured[title], given.gradient)), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
        layers = boxes(story.svg())
        assert len(layers) == (6 if name == "nothing but them" else 7)
        assert "weight" in story.svg()
    np.testing.assert_allclose(captured["a cell"].gradient, hg.grad(lambda x: classify(model, x, Y))(X), rtol=1e-5)
    assert isinstance(captured["nothing but them"].gradient, nn.Sequential)
    assert given.captured == {}


def test_captured_modules_can_be_what_is_differentiated_by() -> None:
    model = MODEL
    story = hg.explain(lambda x, y: classify(model, x, y), wrt="model")(X, Y)
    assert isinstance(story.gradient, nn.Sequential)
    assert len(story._analysis.wrt) == 6
    gradients = hg.explain(lambda x, y: classify(model, x, y), wrt=["x", "model"])(X, Y).gradient
    assert gradients[0].shape == X.shape
    only = hg.explain(lambda x, y: classify(model, x, y), wrt="x")(X, Y)
    assert only.captured == {}
    assert "model[0]: Linear" in only.text()
    with pytest.raises(ValueError, match="argnums names argument 'modell'"):
        hg.explain(lambda x, y: classify(model, x, y), wrt="modell")(X, Y)


def test_modules_are_found_in_what_is_captured() -> None:
    task = Task(MODEL)
    titles = [title for _, title in outline(hg.explain(task.loss)(X, Y))]
    assert "Task.model[2]: Linear" in titles
    layers = [nn.Linear(2, 3, rng=0), nn.Linear(3, 2, rng=1)]
    story = hg.explain(lambda x: layers[1](np.tanh(layers[0](x))))(X)
    assert [title for _, title in outline(story)] == ["layers[0]: Linear", "layers[1]: Linear"]
    inner = hg.explain(lambda x: np.sum(hg.grad(lambda x: np.sum(MODEL(x)))(x) ** 2))(X)
    assert {"MODEL: Sequential", "MODEL: Sequential, backward"} <= {title for _, title in outline(inner)}
    assert hg.tree.flatten(inner.captured["MODEL"])[0][0].any()


def test_captured_arrays_of_no_module_stay_constants() -> None:
    weights = {"W": np.ones((2, 2))}
    scale = np.full(2, 3.0)
    story = hg.explain(lambda x: x @ weights["W"] * scale)(np.ones(2))
    assert not story._analysis.layers
    assert len(story.graph.inputs) == 1
    assert story.captured == {}


def test_what_a_captured_module_is_changed_to_is_kept() -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=0))
    before = model[0].weight.copy()

    def halved(x: Any) -> Any:
        y = np.sum(model(x))
        model[0].weight[...] *= 0.5
        return y

    story = hg.explain(halved)(X)
    np.testing.assert_array_equal(model[0].weight, before / 2)
    assert float(story.value) == pytest.approx(float(np.sum(X @ before.T + model[0].bias)), rel=1e-5)


def test_without_data_a_model_tells_what_it_is_made_of() -> None:
    block = nn.TransformerBlock(4, 2, 8, activation=nn.gelu, norm_first=True, rng=0)
    shown = hg.explain(block)
    assert repr(shown).splitlines() == [
        "model: TransformerBlock (172 parameters)",
        "  model.self_attn: MultiheadAttention  in_proj_weight 12×4  in_proj_bias 12 (80 parameters)",
        "    model.self_attn.out_proj: Linear  weight 4×4  bias 4",
        "  model.linear1: Linear  weight 8×4  bias 8",
        "  model.linear2: Linear  weight 4×8  bias 4",
        "  model.norm1: LayerNorm  weight 4  bias 4",
        "  model.norm2: LayerNorm  weight 4  bias 4",
        "  gelu",
        "To see values and gradients, give it data: explain(model)(x)",
    ]
    assert len(boxes(shown.svg())) == 8
    assert shown._repr_mimebundle_().keys() == {"text/plain", "image/svg+xml"}
    twins = Twins(nn.Linear(2, 2, rng=0), {"left": nn.Linear(2, 1, rng=1)}, np.float32(2))
    assert '  model.heads["left"]: Linear  weight 1×2  bias 1' in repr(hg.explain(twins)).splitlines()
    assert "weight_hh_l1 10×5" not in repr(hg.explain(nn.RNN(3, 5, num_layers=1, rng=0)))
    assert "weight_hh_l1 5×5" in repr(hg.explain(nn.RNN(3, 5, num_layers=2, rng=0)))


def test_boxes_of_a_model_lie_in_each_other() -> None:
    root = ET.fromstring(hg.explain(nn.Sequential(*[nn.Linear(9, 9, rng=0)] * 30)).svg())
    space = "{http://www.w3.org/2000/svg}"
    found = [g.find(f"{space}rect") for g in root.iter(f"{space}g") if g.get("class", "").startswith("node")]
    places = [[float(r.get(key, "0")) for key in ("x", "y", "width", "height")] for r in found if r is not None]
    x, y, w, h = places[0]
    for a, b, c, d in places[1:]:
        assert x < a and y < b and a + c < x + w and b + d < y + h  # noqa: PT018
    assert w < 800
    inner = places[1:]
    for k, (a, b, c, d) in enumerate(inner):
        for a2, b2, c2, d2 in inner[k + 1 :]:
            assert a + c < a2 or a2 + c2 < a or b + d < b2 or b2 + d2 < b


def test_without_arguments_it_is_told_what_to_give() -> None:
    assert repr(hg.explain(classify)) == "<explain(classify): call it with the arguments of classify>"
    with pytest.raises(TypeError, match=r"in a second call: explain\(f\)\(…\)"):
        hg.explain(classify, X)
    with pytest.raises(TypeError, match=r"explain\(f\)\(x=…\)"):
        hg.explain(classify, x=X)
    with pytest.raises(TypeError, match=r"explain\(classify\)\(…\)\.svg\(\)"):
        hg.explain(classify).svg()
    with pytest.raises(TypeError, match="by name"):
        hg.explain("x^2", 3)
    assert hg.explain(classify)._repr_mimebundle_().keys() == {"text/plain"}


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
    assert "model.shared.bias" in texts_of(story.svg())  # in a box of its own, with the derivative by it
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


def texts_of(picture: str) -> list[str]:
    """The lines in a picture's boxes."""
    return ["".join(element.itertext()) for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


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
    assert len(closed) == 1 + 6  # x, and layers: their parameters are told in their boxes
    opened = boxes(story.svg(opened=["model[2]"]))
    assert len(opened) == 1 + 5 + 5  # a transposition, a product, a sum, and two parameters
    assert len(boxes(story.svg(opened=["gelu"]))) == 1 + 4 + 2 * 5
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


NETWORKS = [example for example in EXAMPLES if example.wrt == ("model",)]


@pytest.mark.parametrize("example", NETWORKS, ids=lambda e: e.name)
def test_the_networks_of_the_gallery_are_drawn_by_layers(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")
    story = hg.explain(example.function, wrt="model")(**example.at)
    assert 3 <= len(boxes(story.svg())) <= 60
    assert any("model" in box for box in boxes(story.svg()))


def test_there_are_six_networks_in_the_gallery() -> None:
    assert len(NETWORKS) == 6


def test_of_a_large_network_some_gradients_are_checked() -> None:
    model = nn.Sequential(*[nn.Linear(64, 64, rng=k) for k in range(6)])
    small = hg.explain(model)(np.ones((2, 64), np.float32))._analysis
    assert all(small.check(node) is not None for node in small.wrt)
    large = hg.explain(model)(np.ones((20_000, 64), np.float32))._analysis
    checked = [large.check(node) is not None for node in large.wrt]
    assert checked == [True] * sum(checked) + [False] * (len(checked) - sum(checked))
    assert 1 <= sum(checked) < 4


def test_heat_maps_have_few_digits() -> None:
    story = hg.explain(nn.Linear(40, 40, rng=0))(np.ones((1, 40), np.float32))
    summary = next(
        n["value"]["summary"] for n in json.loads(story.json())["graph"]["nodes"] if n.get("input") == "weight"
    )
    assert summary["picture"]["data"][0] == float(f"{summary['first'][0]:.4g}") != summary["first"][0]
