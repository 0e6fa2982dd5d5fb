"""The gallery: its examples are right, its pages are whole, and what its texts say is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from exploring import AUDIT, AXE

import hopgrad as hg
from hopgrad.cli import main
from hopgrad.gallery import EXAMPLES, Example, pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def named(name: str) -> Example:
    return next(example for example in EXAMPLES if example.name == name)


@pytest.fixture(scope="module", autouse=True)
def native() -> Iterator[None]:
    """Networks are trained as a user would have them trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_BACKEND", "native")
        yield


@pytest.fixture(scope="module")
def folder(native: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gallery") / "below"
    assert main(["gallery", "-o", str(made)]) == 0
    return made


PROGRAMS = [example for example in EXAMPLES if example.wrt != ("model",)]
NETWORKS = [example for example in EXAMPLES if example.wrt == ("model",)]


def test_there_are_twelve_programs_and_six_networks_with_texts() -> None:
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES)
    assert (len(PROGRAMS), len(NETWORKS)) == (12, 6)
    for example in EXAMPLES:
        assert example.title
        assert len(example.look) > 80
        assert not re.search(r"\s\s", example.look)


@pytest.mark.parametrize("example", NETWORKS, ids=lambda e: e.name)
def test_gradients_of_networks_agree_with_differences_along_a_direction(example: Example) -> None:
    rng = np.random.default_rng(0)
    leaves, structure = hg.tree.flatten({**example.at})
    leaves = [v.astype(float) if np.asarray(v).dtype.kind == "f" else v for v in leaves]
    at = hg.tree.unflatten(structure, leaves)
    story = hg.explain(example.function, wrt="model")(**at)
    arrays, inner = hg.tree.flatten(at["model"])
    along = [rng.normal(size=a.shape) / np.sqrt(hg.nn.num_parameters(at["model"])) for a in arrays]

    def moved(t: float) -> Any:
        return example.function(
            **{**at, "model": hg.tree.unflatten(inner, [a + t * d for a, d in zip(arrays, along, strict=True)])}
        )

    numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6
    found = sum(np.sum(g * d) for g, d in zip(hg.tree.flatten(story.gradient)[0], along, strict=True))
    assert found == pytest.approx(float(numeric), rel=1e-4, abs=1e-8)
    assert story._analysis.layers


def test_networks_are_trained_alike_each_time() -> None:
    made = named("two-moons")
    first, second = (hg.tree.flatten(made.made()["model"])[0] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_examples_are_the_users_code() -> None:
    text = pages.explained(named("rosenbrock")).text()
    assert "side = 1 − x" in text
    assert "off = y − z = y − x²" in text
    assert "displacement" in named("physics").code
    assert named("neural-ode").code.count("def ") >= 4
    assert '"""' not in "".join(example.code for example in EXAMPLES)


@pytest.mark.parametrize("example", PROGRAMS, ids=lambda e: e.name)
def test_gradients_agree_with_finite_differences(example: Example) -> None:
    names = list(example.wrt)

    def f(*values: Any) -> Any:
        return example.function(**{**example.at, **dict(zip(names, values, strict=True))})

    values = [example.at[name] for name in names]
    if example.name == "where-nan":
        values = [np.array([0.25, 4.0])]  # differences around the NaN are NaN
    with np.errstate(invalid="ignore"):
        hg.check_grads(f, values, order=1)


def test_the_texts_say_what_is_so() -> None:
    loss = pages.explained(named("cross-entropy"))
    assert abs(np.sum(loss.gradient)) < 1e-12
    assert abs(pages.explained(named("vanishing")).gradient) < 4.0**-12
    where = pages.explained(named("where-nan"))
    assert where.gradient.tolist() == [0.0, 1.0, 0.25]
    assert any(np.isnan(trouble.value) for trouble in where._analysis.troubles)
    newton = pages.explained(named("newton"))
    assert newton.conditions
    assert abs(newton.gradient - 0.5 / np.sqrt(2)) < 1e-6
    twice = pages.explained(named("used-twice"))._analysis
    assert twice.path_count == 3
    assert twice.naive_cost > twice.cost
    weights = pages.explained(named("attention"))
    assert weights._analysis.path_count > 3


def test_the_index_links_to_a_page_for_each(folder: Path) -> None:
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<h2><a href="([^"]+)"', index)) == {f"{e.name}.html" for e in EXAMPLES}
    for example in EXAMPLES:
        assert (folder / f"{example.name}.html").stat().st_size > 10_000
        assert escape(example.title) in index
    assert "def chain(x: Any)" in index
    assert '"""' not in index
    assert "default-src 'none'" in index


def test_places_that_are_no_folder_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["gallery", "-o", str(file)]) == 2
    assert "this is not a directory" in capsys.readouterr().err
    assert main(["gallery", "-o", str(file / "below")]) == 2
    assert "cannot write to" in capsys.readouterr().err


@pytest.mark.browser
def test_the_index_and_its_pages_open(browser: Browser, folder: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    try:
        page.goto((folder / "index.html").as_uri())
        assert page.locator("li img").count() == len(EXAMPLES)
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        if AXE.exists():
            page.evaluate(AXE.read_text(encoding="utf-8"))
            assert page.evaluate(AUDIT) == []
        for example in EXAMPLES:
            page.goto((folder / f"{example.name}.html").as_uri())
            page.locator("h1").wait_for()
        assert problems == []
    finally:
        page.close()
