"""Modules as nested structures: parameters, names, static parts, layers that are plain functions."""

import dataclasses
import doctest
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import network_cases as cases
import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, optim, random, tree
from hopgrad.errors import DtypeError, ShapeError


def small(rng: Any = 0) -> nn.Sequential:
    rng = np.random.default_rng(rng)
    return nn.Sequential(nn.Linear(4, 8, rng=rng, dtype=float), nn.relu, nn.Linear(8, 3, rng=rng, dtype=float))


def loss(model: Any, x: Any) -> Any:
    return np.mean(model(x) ** 2)


x = np.random.default_rng(1).normal(size=(5, 4))


def test_gradient_has_the_models_structure_and_its_static_parts() -> None:
    model = small()
    gradient = hg.grad(loss)(model, x)
    assert type(gradient) is nn.Sequential
    assert gradient[1] is nn.relu
    assert tree.flatten(gradient)[1] == tree.flatten(model)[1]
    for name, g in nn.named_parameters(gradient).items():
        moved = dict(nn.named_parameters(model))
        step = 1e-6 * np.random.default_rng(2).normal(size=g.shape)
        up, down = ({**moved, name: moved[name] + sign * step} for sign in (1, -1))
        difference = loss(nn.with_parameters(model, up), x) - loss(nn.with_parameters(model, down), x)
        assert difference / 2 == pytest.approx(np.sum(g * step), rel=1e-6)


def test_a_trace_is_kept_for_a_model_that_is_an_argument_and_for_one_that_is_captured() -> None:
    model = small()
    by_model, by_input = hg.grad(loss), hg.grad(lambda x: loss(model, x))
    for _ in range(3):
        by_model(model, x)
        by_input(x)
    for found in (by_model, by_input):
        assert "1 trace kept" in found.report()
        assert "traced anew" not in found.report()
    model[0].weight[...] *= 2.0
    np.testing.assert_allclose(by_input(x), hg.grad(loss, argnums=1)(model, x), rtol=1e-12)


def test_a_function_that_is_a_layer_is_traced_as_the_users_own() -> None:
    scale = np.ones(3)

    def layer(x: Any) -> Any:
        y = np.zeros(x.shape)
        y[...] = scale * x
        return y

    model = nn.Sequential(nn.Linear(4, 3, rng=0, dtype=float), layer)
    value = hg.value_and_grad(loss)
    for factor in (1.0, 1.0, 3.0, 0.5):
        scale[...] = factor
        found, gradient = value(model, x)
        assert found == pytest.approx(loss(model, x), rel=1e-12)
        assert gradient[1] is layer
        h = x @ model[0].weight.T + model[0].bias
        np.testing.assert_allclose(gradient[0].bias, factor**2 * h.sum(0) * 2 / h.size, rtol=1e-12)


@dataclasses.dataclass
class Net:
    first: nn.Linear
    rest: list[nn.Linear]
    activation: Any = nn.static(np.tanh)
    scale: float = nn.static(2.0)

    def __call__(self, x: Any) -> Any:
        x = self.activation(self.first(x))
        for layer in self.rest:
            x = x + self.scale * layer(x)
        return x


def net(**static: Any) -> Net:
    rng = np.random.default_rng(3)
    return Net(
        nn.Linear(4, 6, rng=rng, dtype=float), [nn.Linear(6, 6, rng=rng, dtype=float) for _ in range(2)], **static
    )


def test_any_dataclass_is_a_module() -> None:
    gradient = hg.grad(loss)(net(), x)
    assert gradient.activation is np.tanh
    assert gradient.scale == 2.0
    assert list(nn.named_parameters(gradient)) == [
        "first.weight", "first.bias", "rest.0.weight", "rest.0.bias", "rest.1.weight", "rest.1.bias",
    ]  # fmt: skip
    assert nn.num_parameters(net()) == 4 * 6 + 6 + 2 * (36 + 6)


def test_a_static_field_selects_the_trace() -> None:
    value = hg.value_and_grad(loss)
    for found in (net(), net(scale=0.5), net(activation=lambda x: np.maximum(x, 0.1 * x)), net()):
        for _ in range(2):
            assert value(found, x)[0] == pytest.approx(loss(found, x), rel=1e-12)


def test_functions_come_out_of_a_compiled_step_as_they_went_in() -> None:
    slope = 0.5
    model = nn.Sequential(net(activation=lambda x: np.maximum(x, slope * x)), lambda x: slope * x)
    optimizer = optim.SGD(0.1)
    state = optimizer.init(model)

    @hg.compile
    def step(model: Any, state: Any) -> Any:
        return optimizer.update(hg.grad(loss)(model, x), state, model)

    moved = model
    for _ in range(4):
        moved, state = step(moved, state)
    assert moved[0].activation is model[0].activation
    assert moved[1] is model[1]
    assert "1 trace kept" in step.report()


def test_what_a_static_function_reads_is_checked_at_each_call() -> None:
    slope = 0.5

    def leaky(x: Any) -> Any:
        return np.maximum(x, slope * x)

    model, value = net(activation=leaky), hg.value_and_grad(loss)
    for new in (0.5, 0.5, 0.1):
        slope = new
        assert value(model, x)[0] == pytest.approx(loss(model, x), rel=1e-12)


def test_a_function_may_exchange_a_field_of_its_argument() -> None:
    model = net(activation=lambda x: x * 1.5)
    own = model.activation

    def step(model: Any) -> Any:
        model.first = model.first.replace(bias=model.first.bias + 1.0)
        return loss(model, x)

    before = model.first.bias
    hg.value_and_grad(step)(model)
    np.testing.assert_array_equal(model.first.bias, before + 1.0)
    assert model.activation is own


def test_a_static_field_has_to_be_hashable() -> None:
    with pytest.raises(TypeError, match=r"Net\.scale is a static field and holds a list: it must be hashable"):
        hg.grad(loss)(net(scale=[1.0]), x)


def test_structures_that_differ_in_a_static_field_say_so() -> None:
    with pytest.raises(ShapeError, match=r"scale=2\.0.*scale=3\.0"):
        tree.map(lambda a, b: a, net(), net(scale=3.0))


def test_names_are_those_of_state_dicts_and_lead_back() -> None:
    model = small()
    named = nn.named_parameters(model)
    assert {n: a.shape for n, a in named.items()} == {
        "0.weight": (8, 4), "0.bias": (8,), "2.weight": (3, 8), "2.bias": (3,),
    }  # fmt: skip
    again = nn.with_parameters(small(7), named)
    np.testing.assert_array_equal(again(x), model(x))
    with pytest.raises(KeyError, match=r"missing: 0\.bias; unknown: 0\.biass"):
        nn.with_parameters(model, {n.replace("0.bias", "0.biass"): a for n, a in named.items()})
    with pytest.raises(ShapeError, match=r"0\.bias has shape \(9,\), but that of the model is \(8,\)"):
        nn.with_parameters(model, {**named, "0.bias": np.zeros(9)})


def test_replace_and_repr() -> None:
    layer = nn.Linear(2, 3, rng=0)
    assert repr(layer) == "Linear(weight=float32[3, 2], bias=float32[3])"
    bare = layer.replace(bias=None)
    assert bare.bias is None
    assert bare.weight is layer.weight
    assert layer.bias is not None
    with pytest.raises(TypeError, match="Linear has no field 'wait', only weight, bias"):
        layer.replace(wait=1)


def test_linear_takes_any_leading_axes_and_sizes() -> None:
    layer = nn.Linear(4, 3, rng=0, dtype=float)
    for shape in ((4,), (0, 4), (2, 3, 4)):
        given = np.random.default_rng(0).normal(size=shape)
        np.testing.assert_allclose(layer(given), given @ layer.weight.T + layer.bias, rtol=1e-15)
        assert hg.grad(lambda layer, x: np.sum(layer(x)))(layer, given).weight.shape == (3, 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 3, rng=0), ValueError, "in_features must be 1 or more, but is 0"),
        (lambda: nn.Linear(2.0, 3, rng=0), TypeError, "in_features must be an integer, not float"),
        (lambda: nn.Linear(2, 3, rng=None), TypeError, "rng must be"),
        (lambda: nn.Linear(2, 3, rng=0, dtype=int), hg.DtypeError, "floating-point dtype, not int64"),
        (lambda: nn.Linear(2, 3, rng=0)(np.ones((2, 5))), ShapeError, r"last axis has 2 elements, .* is \(2, 5\)"),
        (lambda: nn.Linear(2, 3, rng=0)(1.0), ShapeError, r"its shape is \(\)"),
        (lambda: nn.Sequential(3), TypeError, "layer 0 of Sequential is of type int"),
        (lambda: nn.Embedding(3, 2, rng=0)(np.array([3])), IndexError, "out of bounds"),
    ],
)
def test_bad_input_is_told(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_embedding_adds_up_the_gradients_of_rows_that_are_used_again() -> None:
    table = nn.Embedding(5, 2, rng=0, dtype=float)
    gradient = hg.grad(lambda t: np.sum(t(np.array([[1, 1], [4, 1]]))))(table)
    np.testing.assert_array_equal(gradient.weight, np.array([0, 3, 0, 0, 1.0])[:, None] * np.ones((1, 2)))


@pytest.mark.parametrize(
    ("initializer", "deviation"),
    [
        (nn.initializers.glorot_uniform, np.sqrt(2 / (300 + 200))),
        (nn.initializers.glorot_normal, np.sqrt(2 / (300 + 200))),
        (nn.initializers.he_uniform, np.sqrt(2 / 300)),
        (nn.initializers.he_normal, np.sqrt(2 / 300)),
        (nn.initializers.lecun_uniform, np.sqrt(1 / 300)),
        (nn.initializers.lecun_normal, np.sqrt(1 / 300)),
        (nn.initializers.normal(0.02), 0.02),
        (nn.initializers.uniform(-3, 3), np.sqrt(3)),
        (nn.initializers.truncated_normal(0.5), 0.5 * 0.8796256610342398),  # of the normal cut at two deviations
        (nn.initializers.orthogonal(), 1 / np.sqrt(300)),
    ],
)
def test_initializers_have_their_variance(initializer: Any, deviation: float) -> None:
    found = initializer((200, 300), np.random.default_rng(0), np.float64)
    assert found.std() == pytest.approx(deviation, rel=0.01)
    assert abs(found.mean()) < 4 * deviation / np.sqrt(found.size)
    assert initializer((200, 300), np.random.default_rng(0), np.float32).dtype == np.float32
    assert initializer((0, 3), np.random.default_rng(0), np.float32).shape == (0, 3)


def test_orthogonal_is_orthogonal_either_way() -> None:
    for shape in ((3, 7), (7, 3), (4, 2, 3)):
        w = nn.initializers.orthogonal(2.0)(shape, np.random.default_rng(0), np.float64).reshape(shape[0], -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


def test_the_page_about_networks_is_right() -> None:
    page = Path(__file__).parents[1] / "docs" / "networks.md"
    found = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 5
    assert found.failed == 0


# -- dropout -----------------------------------------------------------------------------------------------------------


def test_dropout_leaves_out_what_the_key_says_and_keeps_the_mean() -> None:
    layer, key, ones = nn.Dropout(0.25), random.key(2), np.ones((100, 200))
    y = layer(ones, key)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert y.mean() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_array_equal(y, layer(ones, key))
    np.testing.assert_array_equal(hg.grad(lambda x: np.sum(layer(x, key)))(ones), y)
    np.testing.assert_array_equal(layer(ones), ones)
    np.testing.assert_array_equal(nn.Dropout(1.0)(ones, key), 0 * ones)
    assert layer(ones.astype(np.float32), key).dtype == np.float32
    with pytest.raises(ValueError, match=r"p is a probability, but is 1\.5"):
        nn.Dropout(1.5)


def test_sequential_gives_each_layer_a_key_of_its_own() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5), nn.relu))
    key, ones = random.key(0), np.ones(1000)
    y = model(ones, key)
    inner = nn.Dropout(0.5)(ones, random.fold_in(random.fold_in(key, 1), 0))
    np.testing.assert_array_equal(y, nn.Dropout(0.5)(ones, random.fold_in(key, 0)) * inner)
    assert 0.2 < (y > 0).mean() < 0.3
    np.testing.assert_array_equal(model(ones), ones)


def test_a_block_with_dropout_is_reproducible_and_without_a_key_has_none() -> None:
    block = nn.TransformerBlock(8, 2, 16, dropout=0.3, rng=0, dtype=float)
    x, key = np.random.default_rng(0).normal(size=(2, 5, 8)), random.key(1)
    np.testing.assert_array_equal(block(x, key=key), block(x, key=key))
    assert np.abs(block(x, key=key) - block(x)).max() > 0.1
    np.testing.assert_array_equal(block(x), block.replace(dropout=0.0)(x, key=key))


# -- attention ---------------------------------------------------------------------------------------------------------


def test_decoding_with_a_cache_gives_what_a_causal_call_gives() -> None:
    block = nn.TransformerBlock(8, 2, 16, norm_first=True, rng=0, dtype=float)
    x = np.random.default_rng(0).normal(size=(3, 6, 8))
    whole = block(x, causal=True)
    cache = block.self_attn.init_cache(3, 7)
    step = hg.compile(lambda block, x, cache: block.decode(x, cache))
    for start, stop in ((0, 2), (2, 3), (3, 4), (4, 5), (5, 6)):
        y, cache = step(block, x[:, start:stop], cache)
        np.testing.assert_allclose(y, whole[:, start:stop], rtol=1e-12, atol=1e-13)
    assert int(cache.count) == 6
    assert step.report().count("trace kept") == 2  # for two places and for one


def test_attention_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        nn.MultiheadAttention(8, 3, rng=0)
    with pytest.raises(ShapeError, match=r"three axes, but its shape is \(5, 8\)"):
        nn.MultiheadAttention(8, 2, rng=0)(np.ones((5, 8), np.float32))


# -- all layers --------------------------------------------------------------------------------------------------------


ONE_ORDER = {"rnn", "gru", "lstm", "lstm batch first", "transformer", "transformer norm first"}
"""Second derivatives of these take long to trace; their parts are checked elsewhere."""


@pytest.mark.parametrize("name", cases.LAYERS)
def test_gradients_of_layers_agree_with_differences(name: str) -> None:
    make, loss, x = cases.LAYERS[name]
    model = cases.prepared(make())
    kinks = "max" in name or name in ("conv2d twice", "transformer")
    if not kinks:
        hg.check_grads(lambda m: loss(m, x), (model,), order=1 if name in ONE_ORDER else 2)
        return
    draw = np.random.default_rng(0)
    directions = tree.map(lambda a: draw.normal(size=a.shape), model)
    up, down = (tree.map(lambda a, d, s=s: a + s * d, model, directions) for s in (1e-7, -1e-7))
    gradient = hg.grad(lambda m: loss(m, x))(model)
    slope = sum(np.sum(g * d) for g, d in zip(tree.flatten(gradient)[0], tree.flatten(directions)[0], strict=True))
    assert slope == pytest.approx((loss(up, x) - loss(down, x)) / 2e-7, rel=1e-6)


@pytest.mark.parametrize("name", ["conv2d", "layernorm", "lstm", "transformer", "maxpool2d"])
def test_single_precision_stays_single(name: str) -> None:
    make, _, x = cases.LAYERS[name]
    model = tree.map(lambda a: a.astype(np.float32), cases.prepared(make()))

    def loss(model: Any, x: Any) -> Any:
        y = model(x)
        return np.mean((y[0] if isinstance(y, tuple) else y) ** 2)

    value_and_grad = hg.value_and_grad(loss)
    for _ in range(2):
        value, gradient = value_and_grad(model, x.astype(np.float32))
        assert value.dtype == np.float32
        assert {leaf.dtype for leaf in tree.flatten(gradient)[0]} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, rng=0)(np.ones((1, 2, 8, 8))), ShapeError, r"shape \(n, 3, height, width\)"),
        (lambda: nn.Conv2d(3, 4, 9, rng=0)(np.ones((1, 3, 8, 8))), ShapeError, "window of .* is larger"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2, rng=0), ValueError, "2 groups do not divide 3 channels in"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3), rng=0), ValueError, "kernel_size needs 2 values"),
        (lambda: nn.Conv1d(3, 4, 3, padding="full", rng=0), ValueError, "must be 'same', 'valid' or integers"),
        (lambda: nn.Conv1d(3, 4, 3, stride=2, padding="same", rng=0), ValueError, "needs stride 1"),
        (lambda: nn.ConvTranspose1d(3, 4, 3, output_padding=1, rng=0)(np.ones((1, 3, 8))), ValueError, "less than"),
        (lambda: nn.MaxPool2d(2, padding=2), ValueError, "more than half"),
        (lambda: nn.LayerNorm(4)(np.ones((2, 3))), ShapeError, r"ends with \(4,\), but it is \(2, 3\)"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "3 groups do not divide 4 channels"),
        (lambda: nn.BatchNorm(3)(np.ones((1, 3)), nn.BatchNorm(3).init()), ShapeError, "more than one value"),
        (lambda: nn.LSTM(3, 4, rng=0)(np.ones((5, 2, 4))), ShapeError, r"\(time, batch, 3\)"),
        (lambda: nn.mse(np.ones((3, 1)), np.ones(3)), ShapeError, r"one shape, not \(3, 1\) and \(3,\)"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), np.array([0, 3])), IndexError, "out of bounds"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), np.array([0, -1])), IndexError, "out of bounds"),
        (lambda: nn.cross_entropy(np.ones((2, 3)), np.array([0])), ShapeError, r"\(n, classes, …\)"),
        (lambda: nn.nll(np.ones((2, 3)), np.ones(2)), hg.DtypeError, "numbers of classes as integers"),
        (lambda: nn.mse(np.ones(2), np.ones(2), "average"), ValueError, "reduction must be"),
        (lambda: nn.glu(np.ones(3)), ShapeError, "even size"),
    ],
)
def test_layers_and_losses_tell_bad_input(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_losses_and_activations_are_stable_far_out() -> None:
    far = np.array([[1e4, -1e4, 0.0]])
    for loss in (
        lambda y: nn.cross_entropy(y, np.array([1])),
        lambda y: nn.bce_with_logits(y, np.ones((1, 3))),
        lambda y: nn.soft_margin(y, -np.ones((1, 3))),
    ):
        value, gradient = hg.value_and_grad(loss)(far)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    for name, activation in cases.ACTIVATIONS.items():
        if name != "glu":
            assert np.isfinite(activation(far)).all(), name
            assert np.isfinite(hg.grad(lambda y, f=activation: np.sum(f(y)))(far)).all(), name


def test_the_first_values_of_layers_are_pytorchs_distributions() -> None:
    conv = nn.Conv2d(16, 32, 5, rng=0)
    bound = 1 / np.sqrt(16 * 25)
    assert 0.99 * bound < np.abs(conv.weight).max() <= bound
    assert np.abs(conv.bias).max() <= bound
    lstm = nn.LSTM(4, 25, rng=0)
    assert 0.19 < np.abs(lstm.layers[0].weight_ih).max() <= 0.2
    he = nn.Conv2d(16, 32, 5, rng=0, init=nn.initializers.he_normal)
    assert he.weight.std() == pytest.approx(np.sqrt(2 / 400), rel=0.05)
    assert not he.bias.any()


def test_summary_tells_shapes_parameters_and_operations() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=0), nn.relu, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10, rng=0)
    )
    found = nn.summary(model, np.ones((2, 1, 8, 8), np.float32))
    assert [(r.name, r.kind, r.input, r.output, r.parameters) for r in found.rows] == [
        ("", "Sequential", (2, 1, 8, 8), (2, 10), nn.num_parameters(model)),
        ("0", "Conv2d", (2, 1, 8, 8), (2, 4, 8, 8), 40),
        ("2", "MaxPool2d", (2, 4, 8, 8), (2, 4, 4, 4), 0),
        ("3", "Flatten", (2, 4, 4, 4), (2, 64), 0),
        ("4", "Linear", (2, 64), (2, 10), 650),
    ]
    assert found.rows[1].flops == 2 * 2 * 64 * 4 * 9 + 2 * 4 * 64  # products, and the bias
    assert found.rows[4].flops == 2 * 2 * 64 * 10 + 20
    assert found.rows[0].flops == sum(r.flops for r in found.rows[1:]) + 2 * 4 * 64  # and relu
    lstm = nn.summary(nn.LSTM(3, 4, rng=0), np.ones((6, 2, 3), np.float32)).rows[0]
    assert lstm.flops > 2 * 6 * 2 * 16 * (3 + 4)
    nested = nn.summary(nn.TransformerBlock(8, 2, 16, rng=0), np.ones((1, 5, 8), np.float32))
    assert [(r.name, r.depth) for r in nested.rows][:3] == [("", 0), ("self_attn", 1), ("self_attn.out_proj", 2)]


def test_functions_in_a_model_stay_the_same_functions() -> None:
    def act(x: Any) -> Any:
        return np.tanh(x)

    model = nn.Sequential(
        nn.Linear(2, 3, rng=0), act, functools.partial(np.multiply, 2.0), functools.partial(act), nn.relu
    )
    step = hg.compile(lambda model, x: (hg.grad(lambda m: np.sum(m(x)))(model), model))
    for _ in range(2):
        for made in step(model, np.ones((4, 2), np.float32)):
            assert tree.flatten(made)[1] == tree.flatten(model)[1]
            assert all(a is b for a, b in zip(made.layers[1:], model.layers[1:], strict=True))


# -- errors tell the way to the layer ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Stacked:
    """A model of one's own with layers in a dict."""

    parts: dict[str, nn.Sequential]

    def __call__(self, x: Any) -> Any:
        return self.parts["right"](self.parts["left"](x))


def test_an_error_in_a_layer_tells_how_it_is_reached() -> None:
    left = nn.Sequential(nn.Linear(2, 4, rng=0), np.tanh)
    right = nn.Sequential(nn.Linear(4, 3, rng=0), nn.LayerNorm(5))
    model = Stacked({"left": left, "right": right})
    x = np.ones((6, 2), np.float32)

    def loss(model: Any, x: Any) -> Any:
        return np.sum(model(x))

    def captured(x: Any) -> Any:
        return np.sum(model(x))

    way = r'LayerNorm needs .*\(6, 3\)\n  in layer parts\["right"\](\.layers)?\[1\] of the Stacked'
    calls: list[Callable[[], Any]] = [
        lambda: model(x), lambda: hg.grad(loss)(model, x), lambda: hg.compile(loss)(model, x),
        lambda: hg.compile(captured)(x), lambda: hg.explain(model)(x), lambda: nn.summary(model, x),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ShapeError, match=way):
            call()
    with pytest.raises(ShapeError, match=r"shape is \(6, 3\)$"):  # alone it is reached by itself
        nn.Linear(2, 4, rng=0)(np.ones((6, 3), np.float32))
    block = nn.TransformerBlock(4, 2, 8, rng=0)
    with pytest.raises(ShapeError, match="in layer self_attn of the TransformerBlock"):
        block(np.ones((1, 3, 5), np.float32))


def test_embeddings_take_integers() -> None:
    with pytest.raises(DtypeError, match="integers, not float64"):
        nn.Embedding(4, 2, rng=0)(np.ones(3))
    assert nn.Embedding(4, 2, rng=0)([1, 2]).shape == (2, 2)
