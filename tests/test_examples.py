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
    """The script of that name."""
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def network(name: str) -> Any:
    """What it trains."""
    return importlib.import_module(f"hopgrad.gallery.networks.{name}")


def test_two_moons() -> None:
    module = network("two_moons")
    rng = np.random.default_rng(1)
    x, labels = module.moons(500, 0.15, rng)
    model = module.network(rng)
    losses = module.train(model, x, labels, 300, 64, rng)
    assert losses[-1] < 0.2 * losses[0]
    assert example("two_moons").accuracy(model, *module.moons(500, 0.15, rng)) > 0.97
    assert example("two_moons").picture(model).count("\n") == 19


def test_digits_by_a_convolutional_network() -> None:
    found = network("digits_cnn").fit(1)
    assert found.history.values("accuracy")[-1] > 0.7  # 99.4 % after 15 epochs


def test_autoencoder() -> None:
    module = network("autoencoder")
    found = module.fit(40)
    assert module.loss(found.model, module.images()[1]) < example("autoencoder").by_components()
    assert len(found.history) == 40 * 45


def test_physics() -> None:
    module = example("physics")
    found = network("physics").fit(600)
    assert found.history.loss[-1] < found.history.loss[0] / 5
    t = np.linspace(0, 4, 2001)
    u = module.exact(t)
    left = np.gradient(np.gradient(u, t), t) + 2 * module.GAMMA * np.gradient(u, t) + module.OMEGA**2 * u
    assert np.abs(left[2:-2]).max() < 1e-4  # so it is judged by a solution


def test_neural_ode() -> None:
    found = network("neural_ode").fit(100)
    assert found.history.loss[-1] < found.history.loss[0] / 5


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformer that takes little time."""
    for name, value in {"CONTEXT": 16, "WIDTH": 16, "BLOCKS": 1}.items():
        monkeypatch.setattr(network("characters"), name, value)


def test_characters(small: None) -> None:
    module = network("characters")
    found = module.fit(60)
    _, test, letters = module.pieces()
    assert 3.0 < module.bits_per_character(found.model, test) < np.log2(len(letters)) - 1
    text = module.continued(found.model, letters, "The ", 10)
    assert text.startswith("The ")
    assert len(text) == 14


@pytest.mark.parametrize("name", ["two_moons", "digits_cnn", "autoencoder", "characters", "physics", "neural_ode"])
def test_the_scripts_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small: None
) -> None:
    count = "--epochs=1" if name in ("digits_cnn", "autoencoder") else "--steps=10"
    monkeypatch.setattr(sys, "argv", [f"{name}.py", count, "--out", str(tmp_path)])
    example(name).main()
    assert (tmp_path / f"{name}.html").stat().st_size > 100_000
    assert f"{name}.html" in capsys.readouterr().out
    if name != "two_moons":
        assert (tmp_path / f"{name}.svg").exists()
