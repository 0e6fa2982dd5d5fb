"""What tests of the explorer look at in its page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
"""Opens the page of an explanation: what the fixture `opened` gives."""


def node(page: "Page", name: str) -> Any:
    """The box of a value, by the name that stands in it."""
    return page.locator("g.node").filter(
        has=page.locator("text.name", has_text=re.compile(rf"^{re.escape(name)}( =|$)"))
    )


def document(page: "Page") -> Any:
    return json.loads(page.locator("#explanation").text_content() or "")


def texts(place: Any) -> list[str]:
    return [words.strip() for words in place.all_text_contents()]


def state(page: "Page") -> dict[str, str]:
    page.wait_for_timeout(90)  # the address follows a little later
    found: dict[str, str] = page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
    return found


def number(words: str) -> float:
    """A number as the page writes it."""
    plain = words.replace("−", "-").replace("∞", "inf").replace("×10", "e")
    return float(plain.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))


AXE = Path(__file__).parents[1] / "explorer" / "node_modules" / "axe-core" / "axe.min.js"

AUDIT = """async (part) => {
  const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
  const found = await axe.run(part ?? document, {runOnly: rules});
  return found.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(" | "));
}"""
"""The rules that the page breaks, or a part of it, given by a selector."""
