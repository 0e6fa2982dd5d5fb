"""The page: one self-contained HTML file on which an explanation is explored.

Its script (written in TypeScript in ``explorer/``, built into ``assets/``) reads the explanation from the JSON document
of ``docs/schema.md`` that stands in the page. Nothing is loaded: a content security policy allows that script and that
style sheet by their hashes, and nothing else. Readers without scripts see the picture and the story as they are.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from hopgrad.show.analysis import Analysis
from hopgrad.show.picture import svg
from hopgrad.show.render import as_html
from hopgrad.show.schema import to_json
from hopgrad.show.story import Section

MAX_DRAWN = 300
"""Of graphs with more values no picture is drawn for readers without scripts."""


def page(analysis: Analysis, title: str, sections: Sequence[Section]) -> str:
    """The page as text."""
    style, script = asset("explorer.css"), asset("explorer.js")
    still = f'<div class="wide">{as_html(sections)}</div>'
    if len(analysis.nodes) <= MAX_DRAWN:
        still = f'<div class="picture">{svg(analysis, title)}</div>{still}'
    styles = [style, *re.findall(r"<style>(.*?)</style>", still, re.DOTALL)]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy([script], styles)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            f'<noscript><main class="still"><h1>{escape(title)}</h1>{still}</main></noscript>',
            f'<script type="application/json" id="explanation">{inert(to_json(analysis, title, sections))}</script>',
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


@cache
def asset(name: str) -> str:
    """A built file of the explorer, as text that may stand in its element of a page."""
    words = files("hopgrad.show").joinpath("assets", name).read_text(encoding="utf-8").strip()
    if re.search(r"</(script|style)|<!--", words, re.IGNORECASE):
        raise AssertionError(f"{name} would end the element that it stands in")
    return words


def inert(json: str) -> str:
    """JSON that means the same and cannot end the element that it stands in, whatever its strings hold."""
    return json.replace("<", "\\u003c")


def policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """The content security policy of a page with these scripts and style sheets."""
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)};"
        " img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Iterable[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests)
