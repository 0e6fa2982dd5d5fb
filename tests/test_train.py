"""Training: where batches come from, what the loop does, and that nothing is lost when it is interrupted."""

from __future__ import annotations

import dataclasses
import doctest
import io
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, optim, tree
from hopgrad.errors import ShapeError
from hopgrad.files import FileError
from hopgrad.train import (
    Checkpoints,
    CheckpointWarning,
    DataWarning,
    Fit,
    History,
    Moment,
    NonFiniteError,
    activity,
    batches,
    evaluate,
    fit,
    progress,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.3

LINE = {"w": np.zeros(3), "b": np.zeros(1)}


def loss(model: Any, x: Any, y: Any) -> Any:
    return np.mean((x @ model["w"] + model["b"][0] - y) ** 2)


def same(a: Any, b: Any) -> None:
    """Equal to the last bit."""
    (first, structure), (second, other) = tree.flatten(a), tree.flatten(b)
    assert structure == other
    for x, y in zip(first, second, strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def same_run(a: Fit, b: Fit) -> None:
    same(a.model, b.model)
    same(a.optimizer_state, b.optimizer_state)
    same(a.history.arrays(), b.history.arrays())
    assert a.history.evaluations == b.history.evaluations
    assert (a.epochs, a.steps, a.stopped) == (b.epochs, b.steps, b.stopped)


# -- batches -----------------------------------------------------------------------------------------------------------


def test_every_row_comes_once_an_epoch() -> None:
    source = batches((np.arange(10), np.arange(10.0)), 3, seed=5)
    assert source.length == 4
    orders = []
    for epoch in range(3):
        found = list(source.epoch(epoch))
        assert [len(x) for x, _ in found] == [3, 3, 3, 1]
        orders.append(np.concatenate([x for x, _ in found]).tolist())
        assert sorted(orders[-1]) == list(range(10))
        for x, y in found:
            np.testing.assert_array_equal(x, y)
    assert orders[0] != orders[1] != orders[2]
    again = batches((np.arange(10), np.arange(10.0)), 3, seed=5)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in again.epoch(2)]), orders[2])
    other = batches((np.arange(10), np.arange(10.0)), 3, seed=6)
    assert np.concatenate([x for x, _ in other.epoch(2)]).tolist() != orders[2]


def test_an_epoch_can_begin_anywhere() -> None:
    source = batches(np.arange(11), 2)
    whole = [x.tolist() for (x,) in source.epoch(3)]
    for start in range(7):
        assert [x.tolist() for (x,) in source.epoch(3, start)] == whole[start:]


def test_options_of_batches() -> None:
    plain = batches(np.arange(5), 2, shuffle=False)
    assert [x.tolist() for (x,) in plain.epoch(1)] == [[0, 1], [2, 3], [4]]
    dropped = batches(np.arange(5), 2, shuffle=False, drop_last=True)
    assert dropped.length == 2
    assert [x.tolist() for (x,) in dropped.epoch(0)] == [[0, 1], [2, 3]]
    (cast,) = next(batches(np.arange(4.0), 4, dtype=np.dtype(np.float32)).epoch(0))
    assert cast.dtype == np.float32
    (kept,) = next(batches(np.arange(4), 4, dtype=np.dtype(np.float32)).epoch(0))
    assert kept.dtype == np.int64
    ((named,),) = [tuple(batches({"x": np.arange(3), "y": np.eye(3)}, 5).epoch(0))]
    assert named[0]["x"].shape == (3,)


def test_memory_mapped_files_are_read_row_by_row(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(30.0).reshape(10, 3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for (x,) in batches(mapped, 4, seed=1).epoch(0):
        assert type(x) is np.ndarray
        np.testing.assert_array_equal(x[:, 1] - x[:, 0], 1)
    found = fit(
        {"w": np.zeros(3)}, lambda m, x: np.mean((x @ m["w"] - 1) ** 2), mapped, optimizer=optim.SGD(1e-4), epochs=2
    )
    assert found.steps == 2


def test_arrays_in_any_layout() -> None:
    base = np.arange(60.0).reshape(10, 6)
    for array in (base, base[::-1], base[:, ::2], np.asfortranarray(base), base.T.copy().T):
        found = np.concatenate([x for (x,) in batches(array, 3).epoch(0)])
        np.testing.assert_array_equal(found[np.argsort(found[:, 0])], array[np.argsort(array[:, 0])])


def generated() -> Iterator[Any]:
    for k in range(0, 50, 10):
        yield X[k : k + 10], Y[k : k + 10]


class Repeatable:
    """An iterable without a length that can be read again."""

    def __iter__(self) -> Iterator[Any]:
        return generated()


@pytest.mark.parametrize(
    "data", [list(generated()), Repeatable(), lambda epoch: generated()], ids=["list", "iterable", "function"]
)
def test_ready_batches_give_the_same_as_arrays(data: Any) -> None:
    options: dict[str, Any] = {"optimizer": optim.Adam(0.1), "epochs": 3}
    wanted = fit(LINE, loss, (X, Y), batch_size=10, shuffle=False, **options)
    same_run(fit(LINE, loss, data, **options), wanted)


def test_an_iterator_counts_once() -> None:
    found = fit(LINE, loss, generated(), optimizer=optim.SGD(0.1))
    assert (found.steps, found.epochs, found.stopped) == (5, 1, "done")
    with pytest.warns(DataWarning, match="ended after 5 steps, before the 3 epochs that were asked for: an iter"):
        found = fit(LINE, loss, generated(), optimizer=optim.SGD(0.1), epochs=3)
    assert (found.steps, found.epochs, found.stopped) == (5, 1, "data ended")
    with pytest.warns(DataWarning, match="ended after 5 steps, before the 9 steps that were asked for$"):
        fit(LINE, loss, lambda epoch: generated() if epoch == 0 else [], optimizer=optim.SGD(0.1), steps=9)
    found = fit(LINE, loss, generated(), optimizer=optim.SGD(0.1), steps=3)
    assert (found.steps, found.epochs, found.stopped) == (3, 0, "done")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ((X, Y[:-1]), ShapeError, r"data\[0\] has 50 rows, but data\[1\] has 49"),
        ((X, 3.0), ShapeError, r"data\[1\] is of type float and has no first axis"),
        ({"x": np.array(1.0)}, ShapeError, r'data\["x"\] is of type ndarray and has no first axis'),
        ((), ShapeError, "data holds no arrays"),
        (3.0, ShapeError, "data is of type float"),
        (np.zeros((0, 3)), ShapeError, "data has no rows"),
        ([], ValueError, "the data gave no batch"),
        (lambda epoch: 3, TypeError, r"data\(0\) gave a value of type int, which is no iterable"),
    ],
)
def test_bad_data(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fit(LINE, loss, data, optimizer=optim.SGD(0.1), epochs=1)


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_is_the_loop_that_one_would_write() -> None:
    optimizer = optim.Adam(0.05)
    found = fit(LINE, loss, (X, Y), optimizer=optimizer, epochs=4, batch_size=8, seed=3)
    model, state = LINE, optimizer.init(LINE)
    losses, norms = [], []
    for epoch in range(4):
        order = np.random.default_rng([3, epoch]).permutation(50)
        for k in range(0, 50, 8):
            rows = order[k : k + 8]
            value, gradient = hg.value_and_grad(loss)(model, X[rows], Y[rows])
            losses.append(value)
            norms.append(np.sqrt(sum(np.sum(g**2) for g in gradient.values())))
            model, state = optimizer.update(gradient, state, model)
    np.testing.assert_allclose(found.history.loss, losses, 1e-12)
    np.testing.assert_allclose(found.history.gradient_norm, norms, 1e-12)
    np.testing.assert_allclose(found.model["w"], model["w"], 1e-12)
    assert found.history.values("loss")[0] == pytest.approx(np.average(losses[:7], weights=[8] * 6 + [2]))
    assert LINE["w"].tolist() == [0.0, 0.0, 0.0]


def test_networks_stay_in_single_precision() -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.tanh, nn.Linear(4, 1, rng=1))
    for optimizer in (optim.Adam(1e-2), optim.SGD(optim.schedules.cosine(0.1, 100), momentum=0.9)):
        found = fit(model, lambda m, x, y: np.mean((m(x)[:, 0] - y) ** 2), (X, Y), optimizer=optimizer, epochs=2)
        assert {leaf.dtype for leaf in tree.flatten(found.model)[0]} == {np.dtype(np.float32)}
        assert found.history.values("loss")[1] < found.history.values("loss")[0]


def test_steps_and_epochs_are_bounds() -> None:
    options: dict[str, Any] = {"optimizer": optim.SGD(0.1), "batch_size": 10}
    assert fit(LINE, loss, (X, Y), steps=7, **options).steps == 7
    assert fit(LINE, loss, (X, Y), steps=7, epochs=1, **options).steps == 5
    exact = fit(LINE, loss, (X, Y), steps=10, **options)
    assert (exact.epochs, len(exact.history.evaluations)) == (2, 2)
    none = fit(LINE, loss, (X, Y), epochs=0, **options)
    assert none.steps == 0
    same(none.model, LINE)


def test_the_gradient_is_shortened() -> None:
    found = fit(LINE, loss, (X, 1000 * Y), optimizer=optim.SGD(1.0), steps=1, max_norm=0.5)
    moved = np.sqrt(sum(np.sum(v**2) for v in found.model.values()))
    assert moved == pytest.approx(0.5, rel=1e-6)
    assert found.history.gradient_norm[0] > 100


def test_a_state_goes_from_step_to_step() -> None:
    def with_state(model: Any, state: Any, x: Any, y: Any) -> Any:
        mean = 0.9 * state["mean"] + 0.1 * x.mean(axis=0)
        return np.mean(((x - mean) @ model["w"] + model["b"][0] - y) ** 2), {"mean": mean}

    first = {"mean": np.zeros(3)}

    def error(model: Any, state: Any, x: Any, y: Any) -> Any:
        return np.mean(np.abs((x - state["mean"]) @ model["w"] + model["b"][0] - y))

    data = (X, Y)
    found = fit(
        LINE,
        with_state,
        data,
        optimizer=optim.SGD(0.1),
        epochs=3,
        state=first,
        validation=data,
        metrics={"error": error},
    )
    mean = np.zeros(3)
    for epoch in range(3):
        for x, _ in batches((X, Y), 32).epoch(epoch):
            mean = 0.9 * mean + 0.1 * x.mean(axis=0)
    np.testing.assert_allclose(found.state["mean"], mean, 1e-12)
    assert set(found.history.evaluations[-1].values) == {"loss", "validation_loss", "error"}
    assert first["mean"].tolist() == [0, 0, 0]


def test_keys_differ_by_step_and_go_on_where_they_were(way: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")

    def dropped(model: Any, x: Any, y: Any, key: Any = None) -> Any:
        return loss(model, nn.dropout(x, 0.5, key), y)

    given: dict[str, Any] = {"optimizer": optim.SGD(0.05), "epochs": 3, "batch_size": 25, "validation": (X, Y)}
    whole = fit(LINE, dropped, (X, Y), **given, shuffle=False)
    model, root = LINE, hg.random.key(0)
    for step in range(6):
        rows = slice(25, 50) if step % 2 else slice(0, 25)
        key = hg.random.fold_in(root, step)
        value, gradient = hg.value_and_grad(dropped)(model, X[rows], Y[rows], key)
        assert whole.history.loss[step] == pytest.approx(value, rel=1e-12)
        model = tree.map(lambda p, g: p - 0.05 * g, model, gradient)
    assert whole.history.values("validation_loss")[-1] == pytest.approx(loss(whole.model, X, Y))  # nothing left out
    assert fit(LINE, dropped, (X, Y), **given, shuffle=False, seed=1).history.loss[1] != whole.history.loss[1]
    fit(LINE, dropped, (X, Y), **given, shuffle=False, steps=3, checkpoints=tmp_path)
    same_run(fit(LINE, dropped, (X, Y), **given, shuffle=False, checkpoints=tmp_path, resume=True), whole)


def test_validation_is_weighted_by_samples() -> None:
    metrics = {"largest": lambda m, x, y: np.max(y), "count": lambda m, x, y: float(len(y))}
    found = fit(
        LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=1, validation=(X[:7], Y[:7]), metrics=metrics, batch_size=4
    )
    values = found.history.evaluations[0].values
    assert values["largest"] == pytest.approx((4 * Y[:4].max() + 3 * Y[4:7].max()) / 7)
    assert values["count"] == pytest.approx((4 * 4 + 3 * 3) / 7)
    assert values["validation_loss"] == pytest.approx(loss(found.model, X[:7], Y[:7]))
    assert evaluate(found.model, {"validation_loss": loss}, (X[:7], Y[:7])) == pytest.approx(
        {"validation_loss": values["validation_loss"]}
    )


def test_patience_ends_and_the_best_model_is_kept() -> None:
    # The validation loss falls until w passes 1, and rises from then on.
    def simple(w: Any, x: Any) -> Any:
        return -np.mean(x) * w

    def held(w: Any, x: Any) -> Any:
        return (w - 1.0) ** 2

    options: dict[str, Any] = {
        "optimizer": optim.SGD(0.25),
        "epochs": 50,
        "validation": np.ones(1),
        "validation_loss": held,
    }
    found = fit(np.float64(0.0), simple, np.ones(4), patience=3, **options)
    assert found.stopped == "patience"
    assert found.epochs == 4 + 3
    assert float(found.model) == 1.0
    last = fit(np.float64(0.0), simple, np.ones(4), patience=3, keep_best=False, **options)
    assert float(last.model) == 1.75
    best = fit(np.float64(0.0), simple, np.ones(4), keep_best=True, **{**options, "epochs": 9})
    assert (float(best.model), best.stopped) == (1.0, "done")
    largest = fit(np.float64(0.0), simple, np.ones(4), patience=2, mode="max", **options)
    assert float(largest.model) == 0.25


def test_callbacks_see_everything_and_stop() -> None:
    seen: list[Moment] = []
    found = fit(
        LINE,
        loss,
        (X, Y),
        optimizer=optim.SGD(0.1),
        epochs=5,
        batch_size=25,
        callbacks=lambda moment: seen.append(moment),
    )
    assert [m.event for m in seen] == ["step", "step", "epoch"] * 5
    assert [m.epoch for m in seen] == [e for e in range(5) for _ in range(3)]
    assert [m.loss for m in seen if m.event == "step"] == found.history.loss.tolist()
    assert seen[2].values.keys() == {"loss"}
    stopped = fit(
        LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=5, callbacks=[lambda m: m.step == 3, lambda m: None]
    )
    assert (stopped.steps, stopped.stopped) == (3, "callback")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "how long to train"),
        ({"epochs": -1}, ValueError, "epochs must be an integer from 0 on, but is -1"),
        ({"epochs": 1.5}, ValueError, "epochs must be an integer"),
        ({"epochs": 1, "batch_size": 0}, ValueError, "batch_size must be an integer from 1 on"),
        ({"epochs": 1, "seed": -1}, ValueError, "seed must be an integer from 0 on"),
        ({"epochs": 1, "patience": 0}, ValueError, "patience must be an integer from 1 on"),
        ({"epochs": 1, "max_norm": 0.0}, ValueError, "max_norm must be a positive number"),
        ({"epochs": 1, "mode": "least"}, ValueError, "mode must be 'min' or 'max'"),
        ({"epochs": 1, "monitor": "accuracy"}, ValueError, "what is measured is loss"),
        ({"epochs": 1, "metrics": {"a": loss}}, ValueError, "give validation="),
        ({"epochs": 1, "validation": generated()}, ValueError, "validation is read again in each epoch"),
        ({"epochs": 1, "validation": (X, Y), "metrics": {"a": 3}}, TypeError, "metric 'a' must be a function"),
        ({"epochs": 1, "validation": (X, Y), "metrics": {"a": lambda m, x, y: x}}, ValueError, "one number is needed"),
        ({"epochs": 1, "resume": True}, ValueError, "resume=True needs checkpoints="),
        ({"epochs": 1, "batch_size": 99, "drop_last": True}, ValueError, "drop_last leaves no batch"),
        ({"epochs": 1, "loss": 3}, TypeError, "loss must be a function, not int"),
        ({"epochs": 1, "optimizer": optim.Adam}, TypeError, "such as optim.Adam.*, not the class Adam"),
        ({"epochs": 1, "optimizer": "adam"}, TypeError, "one with init and update, .*, not str"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"model": LINE, "loss": loss, "data": (X, Y), "optimizer": optim.SGD(0.1), **options}
    with pytest.raises(error, match=message):
        fit(given.pop("model"), given.pop("loss"), given.pop("data"), **given)


# -- numbers that are not finite ---------------------------------------------------------------------------------------


def test_the_layer_the_hop_and_the_batch_are_named(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    x = np.ones((12, 3), np.float32)
    x[9, 1] = -5.0  # then the second layer's input is negative

    @dataclasses.dataclass
    class Net:
        first: nn.Linear
        second: nn.Linear

        def __call__(self, x: Any) -> Any:
            h = np.sqrt(self.first(x))
            return self.second(h)

    first = nn.Linear(3, 2, rng=0)
    net = Net(first.replace(weight=np.ones_like(first.weight), bias=np.zeros_like(first.bias)), nn.Linear(2, 1, rng=1))

    def net_loss(net: Net, x: Any) -> Any:
        return np.mean(net(x) ** 2)

    with pytest.raises(NonFiniteError) as caught:
        fit(net, net_loss, x, optimizer=optim.SGD(1e-3), epochs=1, batch_size=4, shuffle=False, checkpoints=tmp_path)
    error = caught.value
    assert (error.step, error.epoch, error.batch) == (2, 0, 2)
    message = str(error)
    assert "the loss is nan at step 3 (epoch 1, batch 3)" in message
    assert "in layer first: NaN is born at h = √v₃, where v₃ = 4×2: −3 … 3" in message
    assert "test_train.py" in message
    np.testing.assert_array_equal(error.data[0], x[8:])
    assert all(np.isfinite(leaf).all() for leaf in tree.flatten(error.model)[0])
    assert len(Checkpoints(tmp_path).files) == 1
    again = pickle.loads(pickle.dumps(NonFiniteError("m", step=3, births=["here"])))
    assert (str(again), again.step, again.births) == ("m", 3, ["here"])


def test_bad_data_is_told_from_bad_hops() -> None:
    y = Y.copy()
    y[7] = np.nan
    with pytest.raises(
        NonFiniteError, match=r"the batch itself has 1 infinite or NaN elements in batch\[1\], the first at \[7\]"
    ):
        fit(LINE, loss, (X, y), optimizer=optim.SGD(0.1), epochs=1, batch_size=50, shuffle=False)
    with pytest.raises(
        NonFiniteError, match=r"the model itself has 1 infinite or NaN elements in \[\"b\"\], the first at \[0\]"
    ):
        fit({"w": np.zeros(3), "b": np.full(1, np.inf)}, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=1)


def test_a_gradient_that_is_infinite_stops_before_the_step() -> None:
    model = {"w": np.zeros(3)}
    with pytest.raises(NonFiniteError, match="the norm of the gradient is inf") as caught:
        fit(model, lambda m, x: np.mean(x) * np.sum(np.sqrt(m["w"])), X + 5, optimizer=optim.SGD(0.1), epochs=1)
    assert "in the derivative, infinity is born" in str(caught.value)
    same(caught.value.model, model)


# -- layer by layer ----------------------------------------------------------------------------------------------------


def test_activations_and_gradients_by_layer() -> None:
    @dataclasses.dataclass
    class Net:
        first: nn.Linear
        rest: list[nn.Linear]

        def __call__(self, x: Any) -> Any:
            h = np.tanh(self.first(x))
            return self.rest[0](self.rest[0](h) + h)

    net = Net(nn.Linear(3, 4, rng=0, dtype=np.float64), [nn.Linear(4, 4, rng=1, dtype=np.float64)])

    def net_loss(net: Net, x: Any) -> Any:
        return np.mean(net(x) ** 2)

    found = activity(net_loss, net, X[:6])
    assert found.loss == pytest.approx(net_loss(net, X[:6]))
    assert [layer.name for layer in found.layers] == ["first", "rest.0", "rest.0 (2)", "model"]
    assert [layer.kind for layer in found.layers] == ["Linear", "Linear", "Linear", "Net"]
    np.testing.assert_allclose(found["first"].output, net.first(X[:6]))
    np.testing.assert_allclose(found["model"].output, net(X[:6]))
    last = 2 * net(X[:6]) / 24
    before = last @ net.rest[0].weight
    np.testing.assert_allclose(found["rest.0 (2)"].gradient, last)
    np.testing.assert_allclose(found["rest.0"].gradient, before)
    slope = 1 - np.tanh(net.first(X[:6])) ** 2
    np.testing.assert_allclose(found["first"].gradient, (before @ net.rest[0].weight + before) * slope)
    by_bias = hg.grad(net_loss)(net, X[:6]).first.bias
    assert found["first"].parameters["bias"] == pytest.approx(
        (np.sqrt(np.mean(net.first.bias**2)), np.sqrt(np.mean(by_bias**2)))
    )
    assert "rest.0 (2)  Linear" in repr(found)
    with pytest.raises(KeyError, match="no layer is called 'second'"):
        found["second"]


# -- checkpoints -------------------------------------------------------------------------------------------------------


def noisy(model: Any, x: Any, y: Any) -> Any:
    """A loss that draws from the global generator, so its state is part of the training."""
    return loss(model, x + 0.1 * np.random.normal(size=x.shape), y)


def options(**more: Any) -> dict[str, Any]:
    return {"optimizer": optim.Adam(optim.schedules.cosine(0.1, 60)), "batch_size": 8, "seed": 4, "epochs": 6,
            "validation": (X[:20], Y[:20]), "keep_best": True, **more}  # fmt: skip


@pytest.fixture(params=["numpy", "native"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOPGRAD_BACKEND", request.param)
    return str(request.param)


@pytest.mark.parametrize("first", [1, 3, 7, 8, 20, 41])
def test_goes_on_to_the_last_bit(first: int, way: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    np.random.seed(7)
    random.seed(7)
    whole = fit(LINE, noisy, (X, Y), **options())
    after = np.random.random(), random.random()
    np.random.seed(7)
    random.seed(7)
    part = fit(LINE, noisy, (X, Y), **options(steps=first, checkpoints=tmp_path))
    assert part.steps == first
    np.random.seed(1)
    random.seed(1)
    same_run(fit(LINE, noisy, (X, Y), **options(checkpoints=tmp_path, resume=True)), whole)
    assert (np.random.random(), random.random()) == after


def test_a_finished_training_can_be_prolonged(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    whole = fit(LINE, loss, (X, Y), **options())
    fit(LINE, loss, (X, Y), **options(epochs=2, checkpoints=tmp_path))
    same_run(fit(LINE, loss, (X, Y), **options(checkpoints=tmp_path, resume=True)), whole)
    again = fit(LINE, loss, (X, Y), **options(checkpoints=tmp_path, resume=True))
    assert again.steps == whole.steps
    same(again.model, whole.model)


def test_streams_go_on_where_they_were(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    given: dict[str, Any] = {"optimizer": optim.Adam(0.1), "epochs": 4}
    whole = fit(LINE, loss, Repeatable(), **given)
    fit(LINE, loss, Repeatable(), **given, steps=8, checkpoints=tmp_path)
    same_run(fit(LINE, loss, Repeatable(), **given, checkpoints=tmp_path, resume=True), whole)


def test_patience_counts_across_a_resumption(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    given: dict[str, Any] = {"optimizer": optim.SGD(0.25), "validation": np.ones(1), "patience": 3}
    given["validation_loss"] = lambda w, x: (w[0] - 1.0) ** 2
    start, falling = np.zeros(1), lambda w, x: -np.mean(x) * w[0]
    whole = fit(start, falling, np.ones(4), epochs=50, **given)
    fit(start, falling, np.ones(4), epochs=5, checkpoints=tmp_path, **given)
    same_run(fit(start, falling, np.ones(4), epochs=50, checkpoints=tmp_path, resume=True, **given), whole)
    assert whole.model.tolist() == [1.0]


def test_which_files_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    kept = Checkpoints(tmp_path, every=2, last=2, best=1)
    fit(
        LINE,
        loss,
        (X, Y),
        optimizer=optim.SGD(lambda k: np.where(k < 12, 0.1, -0.3)),
        epochs=6,
        batch_size=13,
        checkpoints=kept,
    )
    names = [path.name for path in kept.files]
    # The rate turns negative after the third epoch, so the loss rises from there on.
    assert names == ["step-000000012.safetensors", "step-000000022.safetensors", "step-000000024.safetensors"]
    best = kept.best_file()
    assert best is not None
    assert best.name == names[0]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    fit(LINE, loss, (X, Y), **options(epochs=1, checkpoints=tmp_path))
    with pytest.raises(ValueError, match="holds checkpoints: say resume=True to go on"):
        fit(LINE, loss, (X, Y), **options(checkpoints=tmp_path))


def test_another_training_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    fit(LINE, loss, (X, Y), **options(epochs=1, checkpoints=tmp_path))
    with pytest.raises(FileError, match=r"batch_size was 8, is now 9\n  seed was 4, is now 5"):
        fit(LINE, loss, (X, Y), **options(batch_size=9, seed=5, checkpoints=tmp_path, resume=True))
    with pytest.raises(FileError, match=r"shape of model\.w: \(3,\) in the file, \(4,\) here"):
        fit({"w": np.zeros(4), "b": np.zeros(1)}, loss, (X, Y), **options(checkpoints=tmp_path, resume=True))
    with pytest.raises(FileError, match=r"not asked for: optimizer\.slots\.mean\.w"):
        fit(LINE, loss, (X, Y), **options(optimizer=optim.SGD(0.1), checkpoints=tmp_path, resume=True))


def test_a_damaged_file_is_passed_over(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    kept = Checkpoints(tmp_path, every=1, last=3, best=0)
    whole = fit(LINE, loss, (X, Y), **options())
    fit(LINE, loss, (X, Y), **options(steps=20, checkpoints=kept))
    cut, changed = kept.files[-1], kept.files[-2]
    cut.write_bytes(cut.read_bytes()[:-100])
    data = bytearray(changed.read_bytes())
    data[-20] ^= 1  # within an array: the header is as it was
    changed.write_bytes(bytes(data))
    (tmp_path / ".step-000000021.safetensors.x7").write_bytes(b"half")
    with pytest.warns(CheckpointWarning) as told:
        found = fit(LINE, loss, (X, Y), **options(checkpoints=kept, resume=True))
    assert "step-000000020.safetensors is damaged" in str(told[0].message)
    assert "checksum" in str(told[1].message)
    assert "going on from step-000000018.safetensors instead" in str(told[1].message)
    same_run(found, whole)
    assert not list(tmp_path.glob(".step*"))
    for path in kept.files:
        path.write_bytes(b"nothing")
    with pytest.warns(CheckpointWarning), pytest.raises(FileError, match="is damaged"):
        fit(LINE, loss, (X, Y), **options(checkpoints=kept, resume=True))


def test_a_full_disk_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    replace, full = os.replace, {"now": True}

    def refuse(source: Any, target: Any) -> None:
        if full["now"]:
            raise OSError(28, "No space left on device")
        replace(source, target)

    def empty(moment: Moment) -> None:
        full["now"] = moment.step < 8

    monkeypatch.setattr(os, "replace", refuse)
    options: dict[str, Any] = {"optimizer": optim.Adam(1e-2), "epochs": 3, "batch_size": 10}
    with pytest.warns(CheckpointWarning, match="no checkpoint of step 5: .*No space left on device.*goes on"):
        found = fit(LINE, loss, (X, Y), checkpoints=tmp_path, callbacks=empty, **options)
    same_run(found, fit(LINE, loss, (X, Y), **options))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000015.safetensors"]  # and nothing half written


def test_a_file_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safetensors = pytest.importorskip("safetensors")
    numpy = pytest.importorskip("safetensors.numpy")

    def refuse(*args: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(numpy, "save_file", refuse)
    with pytest.raises(OSError, match=r"could not be written: .*No space left"):
        hg.files.save(tmp_path / "a.safetensors", LINE)
    assert not list(tmp_path.iterdir())


def test_options_of_checkpoints() -> None:
    for name, value in (("every", 0), ("last", 0), ("best", -1), ("every", 2.0)):
        with pytest.raises(ValueError, match=f"{name} must be an integer"):
            Checkpoints("folder", **{name: value})


# -- processes that end early ------------------------------------------------------------------------------------------

SCRIPT = textwrap.dedent("""
    import os, sys, time
    import numpy as np
    from hopgrad import nn, optim
    from hopgrad.train import Checkpoints, fit

    folder, result, pause, optimizer, kind = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 4)).astype(np.float32)
    y = np.sin(x.sum(axis=1, keepdims=True))
    model = nn.Sequential(nn.Linear(4, 16, rng=0), nn.tanh, nn.Dropout(0.1), nn.Linear(16, 1, rng=1))
    optimizer = {
        "sgd": optim.SGD(0.05, momentum=0.9, nesterov=True), "adam": optim.Adam(1e-2, amsgrad=True),
        "adamw": optim.AdamW(optim.schedules.warmup(optim.schedules.cosine(1e-2, 60), 10)), "lion": optim.Lion(1e-3),
        "rmsprop": optim.RMSprop(1e-3, momentum=0.5, centered=True), "adagrad": optim.Adagrad(1e-2),
        "lbfgs": optim.LBFGS(0.1),
    }[optimizer]

    def by_epoch(epoch):
        order = np.random.default_rng(epoch).permutation(96).reshape(6, 16)
        return ((x[rows], y[rows]) for rows in order)

    if kind == "file":
        if not os.path.exists(folder + ".npy"):
            np.save(folder + ".npy", x)
        data = np.load(folder + ".npy", mmap_mode="r"), y
    else:
        data = (x, y) if kind == "arrays" else by_epoch

    def loss(model, x, y, key=None):
        return np.mean((model(x, key) - y) ** 2)

    def wait(moment):
        print(moment.step, flush=True)
        time.sleep(pause)

    found = fit(model, loss, data, optimizer=optimizer, epochs=12, batch_size=16, validation=(x, y),
                patience=50, callbacks=wait, checkpoints=Checkpoints(folder, every=2), resume=True)
    leaves = [leaf for layer in (found.model[0], found.model[3]) for leaf in (layer.weight, layer.bias)]
    np.savez(result, *leaves, found.history.loss, found.history.values("validation_loss"))
    print(found.stopped, flush=True)
""")
KILLS = int(os.environ.get("HOPGRAD_KILLS", "0"))
"""With HOPGRAD_KILLS=8 the trainings of all optimizers are killed 56 times; without it three of them twice."""
TRAININGS = [
    ("adam", "arrays"), ("adamw", "file"), ("lbfgs", "function"), ("sgd", "function"), ("rmsprop", "arrays"),
    ("adagrad", "function"), ("lion", "file"),
]  # fmt: skip


def start(
    folder: Path, result: Path, pause: float, optimizer: str = "adam", kind: str = "arrays"
) -> subprocess.Popen[str]:
    environment = {**os.environ, "HOPGRAD_BACKEND": "native", "HOPGRAD_CACHE_DIR": str(result.parent / "kernels")}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(result), str(pause), optimizer, kind],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def saved(path: Path) -> list[bytes]:
    with np.load(path) as archive:
        return [archive[name].tobytes() for name in sorted(archive)]


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("optimizer", "kind"), TRAININGS[: None if KILLS else 3])
def test_kill_at_random_moments_loses_nothing(optimizer: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    finished(start(tmp_path / "whole", tmp_path / "whole.npz", 0.0, optimizer, kind))
    moments = random.Random(f"{optimizer} {kind}")
    reached = 0
    for _ in range(KILLS or 2):
        process = start(tmp_path / "killed", tmp_path / "killed.npz", 0.004, optimizer, kind)
        assert process.stdout is not None
        for _ in range(moments.randrange(3, 14)):
            line = process.stdout.readline()
            reached = int(line) if line.strip().isdigit() else reached
        time.sleep(moments.uniform(0.0, 0.01))  # in the middle of a step, or of writing a file
        process.kill()
        process.communicate()
        kept = Checkpoints(tmp_path / "killed").files
        # A file is written after every second step, so at most two steps are lost.
        assert kept
        assert int(kept[-1].name[5:14]) >= reached - 2
    first = finished(start(tmp_path / "killed", tmp_path / "killed.npz", 0.0, optimizer, kind)).split()[0]
    assert first == "done" or int(first) > 1  # it did go on
    assert saved(tmp_path / "killed.npz") == saved(tmp_path / "whole.npz")


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_ctrl_c_saves_and_stops(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    finished(start(tmp_path / "whole", tmp_path / "whole.npz", 0.0))
    process = start(tmp_path / "cut", tmp_path / "cut.npz", 0.02)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGINT)
    lines += finished(process).splitlines()
    assert lines[-1].strip() == "interrupted"
    steps = int(lines[-2])
    assert steps < 20  # of 72
    assert Checkpoints(tmp_path / "cut").files[-1].name == f"step-{steps:09d}.safetensors"
    finished(start(tmp_path / "cut", tmp_path / "cut.npz", 0.0))
    assert saved(tmp_path / "cut.npz") == saved(tmp_path / "whole.npz")


def test_results_that_are_nan_are_told_once() -> None:
    with pytest.warns(DataWarning, match="at the end of epoch 1 validation_loss is NaN") as told:
        found = fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=3, validation=(X * np.nan, Y))
    assert len(told) == 1
    assert np.isnan(found.history.values("validation_loss")).all()


def test_a_loss_that_does_not_take_the_batch_is_told_so() -> None:
    with pytest.raises(TypeError, match=r"the loss takes \(model, x\), but a batch has 2 parts, so that it is"):
        fit(LINE, lambda model, x: np.sum(x @ model["w"]), (X, Y), optimizer=optim.SGD(0.1), epochs=1)
    with pytest.raises(TypeError, match=r"called as loss\(model, …\): missing a required argument: 'y'"):
        fit(LINE, loss, X, optimizer=optim.SGD(0.1), epochs=1)
    with pytest.raises(TypeError, match=r"called as loss\(model, state, …, …\)"):
        fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=1, state=np.zeros(1))


def test_what_is_born_in_a_loop_is_told_with_its_step() -> None:
    model = nn.Sequential(nn.Linear(2, 2, rng=0, dtype=np.float64))

    def grown(model: Any, x: Any) -> Any:
        return np.sum(hg.scan(lambda h, _: (model(h) ** 2 * 1e60, None), x, length=6)[0])

    with pytest.raises(NonFiniteError, match=r"in layer \[0\], step [3-6] of 6: infinity is born at"):
        fit(model, grown, [np.ones(2)], optimizer=optim.SGD(0.1), epochs=1)


def test_the_handler_of_ctrl_c_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=1)
    assert signal.getsignal(signal.SIGINT) is before


def test_works_in_other_threads() -> None:
    found: list[Fit] = []
    thread = threading.Thread(target=lambda: found.append(fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=1)))
    thread.start()
    thread.join()
    assert found[0].steps == 2


# -- what is shown -----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, progress: bool | None) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=3, validation=(X, Y), progress=progress)
    return stream.getvalue()


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), None) == ""
    assert shown(monkeypatch, io.StringIO(), False) == ""
    lines = shown(monkeypatch, io.StringIO(), True).splitlines()
    assert len(lines) == 2  # the first epoch and the last: there is no hurry
    assert lines[0].startswith("epoch 1/3  step 2/6  loss ")
    assert lines[1].startswith("epoch 3/3  step 6/6  loss ")
    assert "validation loss" in lines[1]
    assert "steps/s" in lines[1]


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.display(True, 600, 60, 0) as shown:
        for step in range(600):
            now[0] += 0.5
            shown.step(step + 1, step // 10, 1.0)
            if step % 10 == 9:
                shown.epoch(step // 10, {"loss": 2.0})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + 600 * 0.5 // progress.QUIET
    assert "  loss 1  (2 steps/s, " in lines[1]
    assert lines[1].endswith(": loss 2")  # of the epoch before


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, Terminal(), None)
    assert "6/6" in text
    assert "epoch 3/3  loss" in text
    assert "steps/s" in text


def test_one_line_in_a_terminal_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    text = shown(monkeypatch, Terminal(), None)
    assert text.count("\n") == 1
    *_, last = text.split("\r")
    assert last.startswith("epoch 3/3  step 6/6  loss ")
    assert {len(line.rstrip("\n")) for line in text.split("\r")[1:]} == {shutil.get_terminal_size().columns - 1}


def test_one_output_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs: list[list[str]] = []

    class Handle:
        def display(self, data: dict[str, str], raw: bool) -> None:
            assert raw
            outputs.append([data["text/plain"]])

        def update(self, data: dict[str, str], raw: bool) -> None:
            outputs[-1].append(data["text/plain"])

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(DisplayHandle=Handle))
    monkeypatch.setattr(progress, "REFRESH", 0.0)
    assert shown(monkeypatch, io.StringIO(), None) == ""
    ((first, *_, last),) = outputs
    assert first.startswith("epoch 1/3  step 1/6  loss ")
    assert last.startswith("epoch 3/3  step 6/6  loss ")
    assert shown(monkeypatch, io.StringIO(), False) == ""
    del shell.kernel  # a terminal's IPython
    assert shown(monkeypatch, io.StringIO(), None) == ""
    assert len(outputs) == 1


def test_the_history_as_picture_and_table(tmp_path: Path) -> None:
    found = fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), epochs=300, validation=(X, Y), batch_size=10,
                metrics={"error <&>": lambda m, x, y: np.mean(np.abs(x @ m["w"] - y))})  # fmt: skip
    path = found.history.save(tmp_path / "history.svg")
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"loss", "metrics", "gradient norm", "validation", "error <&>", "batches"} <= words
    assert len(path.read_text()) < 100_000  # 1500 steps are thinned
    rows = found.history.save(tmp_path / "history.csv").read_text().splitlines()
    assert rows[0] == "step,loss,gradient_norm"
    assert float(rows[7].split(",")[1]) == found.history.loss[6]
    assert len(rows) == 1501
    with pytest.raises(ValueError, match=r"known are \.svg and \.csv"):
        found.history.save(tmp_path / "history.png")
    for history in (History(), fit(LINE, loss, (X, Y), optimizer=optim.SGD(0.1), steps=1).history):
        ET.fromstring(history.svg())


def test_the_page_about_training_is_right() -> None:
    page = Path(__file__).parents[1] / "docs" / "training.md"
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testfile(str(page), module_relative=False, optionflags=flags, encoding="utf-8")
    assert found.attempted > 15
    assert not found.failed
