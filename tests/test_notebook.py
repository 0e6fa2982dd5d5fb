"""Explanations in notebooks: what a cell shows, trusted or not, and the explorer in its frame."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from gallery import GALLERY

import hopgrad as hg

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.mark.parametrize("name", ["chain", "network", "branches", "hostile names", "infinite"])
def test_the_static_output_is_a_picture_and_formulas(name: str) -> None:
    explanation = GALLERY[name]()
    bundle = explanation._repr_mimebundle_()
    json.dumps(bundle, allow_nan=False).encode()  # as a notebook's file holds it
    html = bundle["text/html"]
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert found
    picture = base64.b64decode(found[1]).decode()
    assert picture == bundle["image/svg+xml"]
    assert ET.fromstring(picture).tag.endswith("svg")
    # What a notebook that is not trusted leaves out.
    for word in ("<script", "<svg", "<iframe", "<style", "onload", "javascript:"):
        assert word not in html
    assert r"\begin{aligned}" in html
    tags = re.findall(r"<(/?\w+)", html)
    assert tags == ["div", "img", "div", "/div", "/div"]


def test_the_formulas_are_those_of_the_derivation() -> None:
    bundle = hg.explain("sin((x+1)^2)", x=0.5)._repr_mimebundle_()
    assert r"\cos" in bundle["text/latex"]
    assert r"\cos" in bundle["text/html"]
    assert "&amp; " in bundle["text/html"]


def test_the_explorer_stands_in_a_sandbox() -> None:
    explanation = hg.explain("sin((x+1)^2)", x=0.5)
    explorer = explanation.explore(height=400)
    html = explorer._repr_html_()
    assert html.count("<") == 2
    assert 'sandbox="allow-scripts allow-downloads"' in html
    assert "height:400px" in html
    with pytest.raises(ValueError, match="height is a number of pixels, not 0"):
        explanation.explore(height=0)


def test_names_cannot_leave_the_frame() -> None:
    explanation = hg.explain(lambda **k: k["'\"></iframe><script>"] * 2.0)(**{"'\"></iframe><script>": 2.0})
    html = explanation.explore()._repr_html_()
    assert html.count("<") == 2
    assert "<script>" not in explanation._repr_mimebundle_()["text/html"]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page(viewport={"width": 1000, "height": 900})
    problems: list[str] = []
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield made
    made.close()
    assert problems == []


@pytest.mark.browser
def test_the_picture_shows_without_scripts(browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1000, "height": 900})
    try:
        made = context.new_page()
        made.set_content(GALLERY["network"]()._repr_mimebundle_()["text/html"])
        box = made.locator("img").bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 50
    finally:
        context.close()


@pytest.mark.browser
def test_the_explorer_runs_in_its_frame(page: Page) -> None:
    explanation = hg.explain(lambda x, w: np.sum(np.tanh(w * x) ** 2))(np.array([0.5, -1.0]), 2.0)
    page.set_content(explanation.explore(height=600)._repr_html_())
    frame = page.frame_locator("iframe")
    frame.locator("h1").wait_for()
    (inner,) = [f for f in page.frames if f.parent_frame is not None]
    assert inner.evaluate("self.origin") == "null"
    assert page.locator("iframe").bounding_box()["height"] == 600  # type: ignore[index]
