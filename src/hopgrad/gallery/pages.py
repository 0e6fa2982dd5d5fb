"""The gallery as files: a page for each example, and an index with their pictures."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from hopgrad.gallery.examples import EXAMPLES, Example
from hopgrad.show.explanation import Explanation, explain

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = """
:root{color-scheme:light dark;--ink:#1a1a1a;--soft:#595959;--paper:#fff;--line:#d5dae0;--accent:#005a8c}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--soft:#b0b6bc;--paper:#16191d;--line:#3a424b;--accent:#7cc4f0}}
body{margin:0 auto;max-width:72rem;padding:1.5rem;color:var(--ink);background:var(--paper);
font:16px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
ul{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1.2rem;list-style:none;padding:0}
li{border:1px solid var(--line);border-radius:.5rem;padding:1rem;display:flex;flex-direction:column}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:.6rem 0 .2rem}
a{color:var(--accent)}
img{width:100%;height:11rem;object-fit:contain}
img.tall{object-fit:cover;object-position:top}
p{margin:.2rem 0}li p{color:var(--soft);font-size:.95rem}
details{margin-top:auto;padding-top:.6rem}summary{cursor:pointer;color:var(--accent)}
pre{overflow-x:auto;font:.85rem/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
"""


def explained(example: Example) -> Explanation:
    """The explanation of an example at its point.

    >>> from hopgrad.gallery import EXAMPLES
    >>> round(float(explained(EXAMPLES[0]).gradient), 6)
    -1.884521
    """
    found: Explanation = explain(example.function, wrt=example.wrt)(**example.at)
    return found


def write(directory: str | os.PathLike[str]) -> Path:
    """Write ``index.html`` and a page for each example into a directory, which is made if it is missing.

    Returns:
        The path of the index.

    Raises:
        OSError: if something cannot be written.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for example in EXAMPLES:
        explanation = explained(example)
        explanation.save(folder / f"{example.name}.html")
        pictures[example.name] = explanation.svg()
    index = folder / "index.html"
    index.write_text("\n".join(_index(pictures)), encoding="utf-8")
    return index


def _index(pictures: dict[str, str]) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Gradients to explore</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield "<h1>Gradients to explore</h1>"
    yield "<p>Small programs in plain NumPy, and networks, which open from layers to hops."
    yield "Each page shows how the gradient comes about, step by step.</p>\n<ul>"
    for example in EXAMPLES:
        yield _entry(example, pictures[example.name])
    yield "</ul>\n</main>\n</body>\n</html>\n"


def _entry(example: Example, picture: str) -> str:
    # As an image a picture runs nothing, and its ids cannot clash with those of others.
    data = base64.b64encode(picture.encode()).decode("ascii")
    width, height = (float(found) for found in re.findall(r'\b(?:width|height)="([0-9.]+)', picture)[:2])
    shape = ' class="tall"' if height > width else ""
    image = f'<img{shape} src="data:image/svg+xml;base64,{data}" alt="">'
    page = f"{example.name}.html"
    return (
        f'<li><a href="{page}" tabindex="-1" aria-hidden="true">{image}</a>'
        f'<h2><a href="{page}">{escape(example.title)}</a></h2><p>{escape(example.look)}</p>'
        f"<details><summary>The code</summary><pre>{escape(example.code)}</pre></details></li>"
    )
