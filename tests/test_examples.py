"""The examples about training run and learn, with fewer steps than they make by themselves."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")
    monkeypatch.syspath_prepend(str(FOLDER))


def example(name: str) -> Any:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_two_moons() -> None:
    module = example("two_moons")
    rng = np.random.default_rng(1)
    x, labels = module.moons(500, 0.15, rng)
    model = module.network(rng)
    losses = module.train(model, x, labels, 300, 64, rng)
    assert losses[-1] < 0.2 * losses[0]
    assert module.accuracy(model, *module.moons(500, 0.15, rng)) > 0.97
    assert module.picture(model).count("\n") == 19


def test_digits_by_a_convolutional_network(tmp_path: Path) -> None:
    found = example("digits_cnn").run(1, tmp_path)
    assert found.history.values("accuracy")[-1] > 0.7  # 99.4 % after 15 epochs
    assert (tmp_path / "digits_cnn.svg").exists()


def test_autoencoder(tmp_path: Path) -> None:
    found, error, linear = example("autoencoder").run(40, tmp_path)
    assert error < linear  # than by principal components
    assert len(found.history) == 40 * 45


def test_physics(tmp_path: Path) -> None:
    module = example("physics")
    found, _ = module.run(600, tmp_path)
    assert found.history.loss[-1] < found.history.loss[0] / 5
    t = np.linspace(0, 4, 2001)
    u = module.exact(t)
    left = np.gradient(np.gradient(u, t), t) + 2 * module.GAMMA * np.gradient(u, t) + module.OMEGA**2 * u
    assert np.abs(left[2:-2]).max() < 1e-4  # so it is judged by a solution


def test_neural_ode(tmp_path: Path) -> None:
    module = example("neural_ode")
    found, _ = module.run(100, tmp_path)
    assert found.history.loss[-1] < found.history.loss[0] / 5


def test_characters(tmp_path: Path) -> None:
    module = example("characters")
    module.CONTEXT, module.WIDTH, module.BLOCKS = 16, 16, 1
    found, bits, letters = module.run(60, tmp_path)
    assert 3.0 < bits < np.log2(len(letters)) - 1
    text = module.continued(found.model, letters, "The ", 10)
    assert text.startswith("The ")
    assert len(text) == 14
