"""The page: one self-contained HTML file with the picture, the story in MathML and the table of values.

It loads nothing and runs no script; a content security policy says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hopgrad.notation import Symbol, equation, mathml, value_text
from hopgrad.show.analysis import Analysis
from hopgrad.show.picture import svg
from hopgrad.show.render import as_html
from hopgrad.show.story import Section, bar

MAX_ROWS = 2_000
"""The table of values shows this many, from both ends, and counts the rest."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = """
:root{color-scheme:light dark;--ink:#1a1a1a;--soft:#595959;--paper:#fff;--line:#d5dae0;--accent:#005a8c;--bad:#b00020}
@media (prefers-color-scheme:dark){:root{--ink:#ececec;--soft:#b0b6bc;--paper:#16191d;--line:#3a424b;--accent:#7cc4f0;
--bad:#ff8a8a}}
body{margin:0 auto;max-width:72rem;padding:1.5rem;color:var(--ink);background:var(--paper);
font:16px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
h1{font-size:1.35rem;margin:0 0 1rem}
h2{font-size:1.05rem;margin:1.6rem 0 .4rem;color:var(--accent)}
.health h2{color:var(--bad)}
math{font-size:1.08em;font-family:"STIX Two Math","Latin Modern Math","Cambria Math","DejaVu Math TeX Gyre",math}
.picture,.wide{overflow-x:auto}
.picture svg{display:block;max-width:none}
table{border-collapse:collapse}
td.formula math{math-style:normal}
table.story .wide{max-width:calc(min(72rem,100vw) - 4rem);padding:.2rem 0}
table.story td{padding:.22rem 1.2rem .22rem 0;vertical-align:middle}
td.value{font-variant-numeric:tabular-nums;white-space:nowrap}
td.note,.where,p.foot{color:var(--soft);font-size:.9rem}
table.nodes{width:100%;font-size:.92rem}
table.nodes th,table.nodes td{border-bottom:1px solid var(--line);padding:.3rem .8rem .3rem 0;text-align:left}
table.nodes th{color:var(--soft);font-weight:600}
details{margin:.6rem 0}summary{cursor:pointer;color:var(--accent)}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.92em}
@media print{body{max-width:none;padding:0}.picture svg{max-width:100%;height:auto}}
"""


def page(analysis: Analysis, title: str, sections: Sequence[Section]) -> str:
    """The page as text."""
    picture = svg(analysis, title)
    back = svg(analysis, f"{title}, with the adjoints flowing back", adjoints=True)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{escape(title)}</h1>",
            f'<div class="picture">{picture}</div>',
            f'<details><summary>The adjoints flowing back</summary><div class="picture">{back}</div></details>',
            f'<div class="wide">{as_html(sections)}</div>',
            _table(analysis),
            '<p class="foot">Made by hopgrad.</p>',
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _table(analysis: Analysis) -> str:
    nodes = analysis.nodes
    half = MAX_ROWS // 2
    kept = nodes if len(nodes) <= MAX_ROWS else [*nodes[:half], *nodes[-half:]]
    rows = [
        '<section class="values"><h2>All values</h2><div class="wide"><table class="nodes">',
        "<thead><tr><th>value</th><th>shape, dtype</th><th>number</th><th>adjoint</th><th>where</th></tr></thead>",
        "<tbody>",
    ]
    for position, node in enumerate(kept):
        if position == half and len(nodes) > MAX_ROWS:
            rows.append(f'<tr><td colspan="5">… {len(nodes) - MAX_ROWS:,} more values …</td></tr>')
        rows.append(_node_row(analysis, node))
    rows.append("</tbody></table></div></section>")
    return "\n".join(rows)


def _node_row(analysis: Analysis, node: int) -> str:
    graph = analysis.graph
    name = analysis.symbol(node)
    made = bool(graph.builder.args(node))
    term = equation(name, analysis.hop_term(node)) if made else name
    place = graph.node(node).location if made else None
    where = f"{escape(str(place))}: <code>{escape(place.span)}</code>" if place and place.line else ""
    active = analysis.back.adjoints.get(node) is not None
    adjoint = ""
    if active and isinstance(name, Symbol):
        adjoint = f"{mathml(bar(analysis, node))} = {escape(value_text(analysis.adjoint(node)))}"
    return (
        f'<tr data-node="{node}"><td>{mathml(term)}</td><td>{escape(repr(graph.builder.avals[node]))}</td>'
        f"<td>{escape(value_text(analysis.value(node)))}</td><td>{adjoint}</td>"
        f'<td class="where">{where}</td></tr>'
    )
