"""The gallery: its examples are right, its pages are whole, and what its texts say is so."""

from __future__ import annotations

import re
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gallery") / "below"
    assert main(["gallery", "-o", str(made)]) == 0
    return made


def test_there_are_twelve_with_texts() -> None:
    assert len({example.name for example in EXAMPLES}) == 12
    for example in EXAMPLES:
        assert example.title
        assert len(example.look) > 80
        assert not re.search(r"\s\s", example.look)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
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
        assert page.locator("li img").count() == 12
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
