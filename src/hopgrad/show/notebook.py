"""Explanations in notebooks: a static output that needs neither trust nor a kernel, and the explorer in a frame.

Of notebooks that it does not trust, JupyterLab shows no SVG and runs no scripts (https://github.com/jupyterlab/jupyterlab
issue 9650), but it shows images and formulas in HTML; so do notebooks that were exported to pages. So the picture is an
image, in which no script could run anyway.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape


class Explorer:
    """The explorer as the output of a notebook's cell: see `Explanation.explore`.

    Its page stands in a frame of its own, apart from the notebook: it can run its scripts and save files, no more.
    """

    def __init__(self, page: str, title: str, height: int) -> None:
        self._page = page
        self._title = title
        self._height = height

    def __repr__(self) -> str:
        return f"<Explorer of {self._title}>"

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="{escape(self._title)}" sandbox="allow-scripts allow-downloads"'
            f' style="width:100%;height:{self._height}px;border:0" srcdoc="{escape(self._page)}"></iframe>'
        )


def static(title: str, picture: str, formulas: Sequence[str]) -> str:
    """A picture in SVG, as an image, and formulas in LaTeX below it: HTML without anything that needs trust."""
    data = base64.b64encode(picture.encode()).decode("ascii")
    rows = r" \\ ".join(f"& {formula}" for formula in formulas)
    below = escape(rf"$$\begin{{aligned}}{rows}\end{{aligned}}$$") if formulas else ""
    return f'<div><img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}"><div>{below}</div></div>'
