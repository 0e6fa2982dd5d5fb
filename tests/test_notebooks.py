"""The notebooks run from the first cell to the last, and hold what they show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import hopgrad as hg

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")
    monkeypatch.syspath_prepend(str(FOLDER))
    sys.modules.pop("run", None)
    return __import__("run")


def kinds(notebook: dict[str, Any]) -> list[list[str]]:
    """For each cell, the kinds of its outputs."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [[output.get("name") or "+".join(output["data"]) for output in cell["outputs"]] for cell in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_shows_what_it_holds(path: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = hg.train.fit

    def short(*args: Any, steps: int | None = None, epochs: int | None = None, **options: Any) -> Any:
        return fit(*args, steps=steps and 30, epochs=epochs and 1, **options)

    monkeypatch.setattr(hg.train, "fit", short)
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kinds(run.execute(path)) == kinds(kept)
    pictures = [k for cell in kinds(kept) for k in cell if "html" in k or "svg" in k]
    assert len(pictures) >= 2  # the history, and the network by layers
    assert kept["nbformat"] == 4
    assert len({cell["id"] for cell in kept["cells"]}) == len(kept["cells"])
    assert path.stat().st_size < 200_000


def test_there_is_one_for_each_example() -> None:
    names = {"two_moons", "digits_cnn", "autoencoder", "characters", "physics", "neural_ode"}
    assert {path.stem for path in NOTEBOOKS} == names
    for name in names:
        assert (FOLDER.parent / f"{name}.py").exists()


def test_an_error_in_a_cell_is_told_with_its_line(run: Any, tmp_path: Path) -> None:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": ["x = 1\n", "x / 0"], "outputs": []}
    path = tmp_path / "broken.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(ZeroDivisionError) as caught:
        run.execute(path)
    assert caught.traceback[-1].path == "<broken[1]>" or "broken[1]" in str(caught.traceback[-1])
