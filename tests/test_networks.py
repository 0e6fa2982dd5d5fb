"""Layers, activations, losses and optimizers train as PyTorch's do: the same losses, step by step, to ten digits."""

import types
from typing import Any

import network_cases as cases
import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, optim, tree


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")


GOLDEN = np.load(cases.GOLDEN)


def train(case: cases.Layer, optimizer: Any = optim.SGD(0.03, momentum=0.5), clip: Any = None) -> Any:  # noqa: B008
    make, loss, x = case
    model = cases.prepared(make())
    state = optimizer.init(model)

    @hg.compile
    def step(model: Any, state: Any) -> Any:
        value, gradient = hg.value_and_grad(loss)(model, x)
        return value, *optimizer.update(clip(gradient) if clip else gradient, state, model)

    losses = []
    for _ in range(cases.STEPS):
        value, model, state = step(model, state)
        losses.append(value)
    return np.array(losses)


def agrees(found: Any, name: str) -> None:
    assert np.isfinite(GOLDEN[name]).all()
    assert GOLDEN[name].std() > 1e-6  # something was learned
    np.testing.assert_allclose(found, GOLDEN[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", cases.LAYERS)
def test_layers(name: str) -> None:
    agrees(train(cases.LAYERS[name]), f"layer {name}")


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_activations(name: str) -> None:
    agrees(train(cases.activated(name)), f"activation {name}")


@pytest.mark.parametrize("name", cases.LOSSES)
def test_losses(name: str) -> None:
    agrees(train(cases.lossy(name)), f"loss {name}")


@pytest.mark.parametrize("name", cases.OPTIMIZERS)
def test_optimizers(name: str) -> None:
    agrees(train(cases.optimized(), cases.OPTIMIZERS[name]), f"optimizer {name}")


@pytest.mark.parametrize("how", ["value", "norm"])
def test_clipping(how: str) -> None:
    agrees(train(cases.optimized(), clip=cases.clipped(how)), f"clip {how}")


def test_batch_norm() -> None:
    norm = cases.prepared(nn.BatchNorm(4, dtype=float))
    statistics = norm.init()
    optimizer = optim.SGD(0.03, momentum=0.5)
    state = optimizer.init(norm)

    def loss(norm: Any, statistics: Any, training: bool) -> Any:
        y, statistics = norm(cases.images, statistics, training)
        return nn.mse(y, cases.fill("target", y.shape)), statistics

    value_and_grad = hg.value_and_grad(loss, has_aux=True)
    losses = []
    for _ in range(cases.STEPS):
        (value, statistics), gradient = value_and_grad(norm, statistics, True)
        norm, state = optimizer.update(gradient, state, norm)
        losses.append(value)
    agrees(losses, "batchnorm losses")
    np.testing.assert_allclose(statistics.mean, GOLDEN["batchnorm mean"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(statistics.variance, GOLDEN["batchnorm variance"], rtol=1e-12)
    np.testing.assert_allclose(loss(norm, statistics, False)[0], GOLDEN["batchnorm after"], rtol=1e-10)


def test_no_layer_activation_loss_or_optimizer_is_without_a_case() -> None:
    made = {type(layer).__name__ for make, _, _ in cases.LAYERS.values() for layer in parts(make())}
    made |= {name.partition(" ")[0] for name in (*cases.LAYERS, *cases.ACTIVATIONS, *cases.LOSSES)}
    elsewhere = {"BatchNorm", "BatchStatistics"}  # below
    elsewhere |= {"Dropout", "dropout"}  # its random numbers are not PyTorch's; see test_nn.py
    elsewhere |= {"conv", "conv_transpose", "attention", "causal_mask", "AttentionCache", "RecurrentLayer"}  # inside
    elsewhere |= {"cosine_similarity"}  # inside of cosine_embedding
    tools = {"Module", "Rng", "Summary", "summary", "named_parameters", "num_parameters", "with_parameters", "static"}
    tools |= {"initializers", "losses"}
    public = {name for name in vars(nn) if not name.startswith("_")} - MODULES
    assert public - made - elsewhere - tools == set()
    used = {type(optimizer).__name__ for optimizer in cases.OPTIMIZERS.values()}
    every = {n for n, v in vars(optim).items() if isinstance(v, type) and issubclass(v, optim.Optimizer)}
    assert every - used == {"Optimizer", "Lion"}  # PyTorch has no Lion; test_optim.py has its paper's
    schedules = set(optim.schedules.__all__) - {"Schedule", "constant", "piecewise", "warmup"}  # see test_optim.py
    assert schedules <= set(cases.OPTIMIZERS)


MODULES = {n for n, v in vars(nn).items() if isinstance(v, types.ModuleType) and n not in ("initializers", "losses")}


def parts(model: Any) -> Any:
    """A module and those inside it."""
    return [item for _, item in tree.containers(model) if callable(item)]


def test_every_case_has_its_numbers_and_every_number_its_case() -> None:
    names = {
        *(f"layer {n}" for n in cases.LAYERS),
        *(f"activation {n}" for n in cases.ACTIVATIONS),
        *(f"loss {n}" for n in cases.LOSSES),
        *(f"optimizer {n}" for n in cases.OPTIMIZERS),
        "clip value", "clip norm", "batchnorm losses", "batchnorm mean", "batchnorm variance", "batchnorm after",
    }  # fmt: skip
    assert names == set(GOLDEN.files)
