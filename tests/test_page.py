"""The page: one file, offline, escaped, its formulas real MathML."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from gallery import GALLERY

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_VOID = {"meta", "br", "hr", "img", "input", "link"}


class _Balance(HTMLParser):
    """Checks that every element is closed, and collects what the page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.suspicious: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        if tag in ("script", "link", "iframe", "object", "img") or any(
            name.startswith("on") or (name in ("src", "href") and not (value or "").startswith("#"))
            for name, value in attrs
        ):
            self.suspicious.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", GALLERY)
def test_it_is_whole_and_loads_nothing(name: str) -> None:
    html = GALLERY[name]().html()
    parser = _Balance()
    parser.feed(html)
    assert not parser.open
    assert not parser.suspicious
    assert "default-src 'none'" in html
    assert "<b>" not in html


@pytest.mark.parametrize("name", GALLERY)
def test_formulas_are_well_formed(name: str) -> None:
    html = GALLERY[name]().html()
    formulas = html.split("<math")[1:]
    assert formulas
    for formula in formulas:
        ET.fromstring("<math" + formula.partition("</math>")[0] + "</math>")


def test_it_has_the_story_and_the_table() -> None:
    html = GALLERY["chain"]().html()
    for title in (
        "The steps",
        "The chain rule",
        "The parts",
        "The whole",
        "Dynamic programming",
        "The cost",
        "All values",
    ):
        assert title in html
    assert "gallery.py" in html, "the table says where a value is computed"


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
        assert page.locator("section.parts tr").count() >= 1
        # Pictures and formulas scroll inside their own boxes; the page itself never does sideways.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.locator("summary").click()
        assert page.locator("details svg").is_visible()
    finally:
        page.close()
