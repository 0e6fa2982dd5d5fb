"""The page: one file, offline, escaped; for readers without scripts the picture and the story as they are."""

import base64
import gc
import gzip
import hashlib
import json
import re
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gallery import GALLERY

import hopgrad as hg
from hopgrad.show.page import asset

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_VOID = {"meta", "br", "hr", "img", "input", "link"}


class _Balance(HTMLParser):
    """Checks that every element is closed, and collects what the page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.suspicious: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "meta" and ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"] or ""
        if tag in self.inside and ("type", "application/json") not in attrs:
            self.inside[tag].append("")
        if tag in ("link", "iframe", "object", "img") or any(
            name.startswith("on") or name == "style" or (name in ("src", "href") and not (value or "").startswith("#"))
            for name, value in attrs
        ):
            self.suspicious.append(tag)

    def handle_data(self, data: str) -> None:
        found = self.inside.get(self.open[-1]) if self.open else None
        if found and not data.startswith("{"):
            found[-1] += data

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", GALLERY)
def test_it_is_whole_and_loads_nothing(name: str) -> None:
    html = GALLERY[name]().html()
    parser = _Balance()
    parser.feed(html)
    assert not parser.open
    assert not parser.suspicious
    assert parser.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in parser.policy
    for kind, texts in parser.inside.items():
        allowed = re.search(rf"{kind}-src ([^;]*)", parser.policy)
        assert allowed
        assert texts
        for text in texts:
            assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in allowed[1]
    assert "<b>" not in html


def test_its_data_are_the_document_and_its_script_is_small() -> None:
    explanation = GALLERY["hostile names"]()
    found = re.search(r'<script type="application/json" id="explanation">(.*?)</script>', explanation.html(), re.DOTALL)
    assert found
    assert "<" not in found[1]
    assert json.loads(found[1]) == json.loads(explanation.json())
    assert len(gzip.compress(asset("explorer.js").encode())) <= 150_000


@pytest.mark.parametrize("name", GALLERY)
def test_formulas_are_well_formed(name: str) -> None:
    html = GALLERY[name]().html()
    formulas = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL).split("<math")[1:]
    assert formulas
    for formula in formulas:
        ET.fromstring("<math" + formula.partition("</math>")[0] + "</math>")


def test_it_has_the_story_for_readers_without_scripts() -> None:
    html = GALLERY["chain"]().html()
    for title in (
        "The steps",
        "The chain rule",
        "The parts",
        "The whole",
        "Dynamic programming",
        "The cost",
    ):
        assert title in html


def test_a_page_of_a_hundred_thousand_values_is_written_in_seconds() -> None:
    def long(x: Any) -> Any:
        for _ in range(50_000):
            x = np.sin(x) * 1.01
        return x

    explanation = hg.explain(long)(0.5)
    collecting = gc.isenabled()
    start = time.process_time()  # of this process alone, whatever else the machine does
    html = explanation.html()
    assert time.process_time() - start < 8, "3 s where the machine has nothing else to do"
    assert gc.isenabled() == collecting
    assert len(html) < 40_000_000


@pytest.mark.browser
@pytest.mark.parametrize("name", ["chain", "network", "infinite", "hostile names"])
def test_it_opens_without_errors(browser: "Browser", name: str) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith("about:") else None)
    try:
        page.set_content(GALLERY[name]().html())
        assert problems == []
        assert page.locator("g.node").count() >= 2
        # Pictures and formulas scroll inside their own boxes; the page itself never does sideways.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        page.close()
