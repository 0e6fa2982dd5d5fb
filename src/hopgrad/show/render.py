"""Stories printed: plain or coloured text, LaTeX, Markdown, and the sections of a page."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from html import escape

from hopgrad.notation import Infix, Term, latex, mathml, text
from hopgrad.show.story import Line, Section

Paint = Callable[[str, str], str]
"""(text, role) → text, with the colours of the role: "title", "formula", "value", "note", "bad"."""


def plain(words: str, role: str) -> str:
    """No colours."""
    return words


def width(words: str) -> int:
    """Columns that a text takes in a terminal: combining marks take none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words
    )


def as_text(title: str, sections: Sequence[Section], paint: Paint = plain, columns: int = 110) -> str:
    """The story for a terminal or a log."""
    out = [paint(title, "title"), ""]
    for section in sections:
        out.append(paint(section.title, "bad" if section.key == "health" else "title"))
        if section.intro:
            out += ["  " + row for row in _folded(section.intro, columns - 2)]
        formulas = [text(line.formula) if line.formula is not None else "" for line in section.lines]
        short = [
            width(f) for f, line in zip(formulas, section.lines, strict=True) if (line.value or line.note)
        ]
        pad = min(max(short, default=0), 44)
        for formula, line in zip(formulas, section.lines, strict=True):
            out += _row(formula, line, pad, paint, columns)
        out.append("")
    return "\n".join(row.rstrip() for row in out).rstrip() + "\n"


def _row(formula: str, line: Line, pad: int, paint: Paint, columns: int) -> list[str]:
    if line.formula is None:
        return ["  " + paint(row, "note") for row in _folded(line.prose, columns - 2)]
    lines = _folded(formula, columns - 2, indent="      ")
    rows = ["  " + paint(row, "formula") for row in lines]
    tail = (f"= {paint(line.value, 'value')}" if line.value else "") + (
        f"{'   ' if line.value else ''}{paint(line.note, 'note')}" if line.note else ""
    )
    if not tail:
        return rows
    if len(rows) == 1 and width(formula) <= pad:
        rows[0] += " " * (pad - width(formula)) + "  " + tail
    else:
        rows.append(" " * (pad + 4) + tail)
    return rows


def _folded(words: str, columns: int, indent: str = "") -> list[str]:
    """Lines of at most `columns`, broken at spaces."""
    rows, row = [], ""
    for word in words.split(" "):
        if row and width(row) + 1 + width(word) > columns:
            rows.append(row)
            row = indent + word
        else:
            row = f"{row} {word}" if row else word
    return [*rows, row]


# -- LaTeX ----------------------------------------------------------------------------------------------------------------

_PREAMBLE = r"""\documentclass{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{amsmath,amssymb}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
"""


def as_latex(title: str, sections: Sequence[Section], standalone: bool = False) -> str:
    """The story for amsmath: one align* a section. With `standalone` a whole document."""
    out = []
    for section in sections:
        out.append(rf"\paragraph{{{_tex_prose(section.title)}.}}")
        if section.intro:
            out.append(_tex_prose(section.intro))
        rows = [row for line in section.lines if line.formula is not None for row in _tex_rows(line)]
        if rows:
            out += [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]
        prose = [line for line in section.lines if line.formula is None]
        if prose:
            out.append(r"\begin{itemize}")
            out += [rf"\item {_tex_prose(line.prose)}" for line in prose]
            out.append(r"\end{itemize}")
    body = "\n".join(out) + "\n"
    if not standalone:
        return body
    return f"{_PREAMBLE}\\begin{{document}}\n\\section*{{{_tex_prose(title)}}}\n\n{body}\\end{{document}}\n"


def _tex_rows(line: Line) -> list[str]:
    """One or more rows of an align: long sums and products are broken at their operators."""
    assert line.formula is not None
    rows = [f"& {row}" for row in _broken(line.formula)]
    tail = rf" = {_tex_value(line.value)}" if line.value else ""
    note = rf" \qquad \text{{{_tex_prose(line.note)}}}" if line.note else ""
    if note and len(line.note) > 45:
        rows[-1] += tail
        rows.append(rf"& \qquad \text{{{_tex_prose(line.note)}}}")
    else:
        rows[-1] += tail + note
    return rows


def _broken(term: Term, limit: int = 70) -> list[str]:
    """The term in pieces that fit a line each."""
    if term.size <= limit or not isinstance(term, Infix):
        return [latex(term)]
    rows: list[str] = []
    for k, item in enumerate(term.items):
        operator = f"{term.tex} " if k else ""
        inner = _broken(item, limit) if isinstance(item, Infix) and item.level <= 2 else [latex(item)]
        if k == 0:
            rows += inner
        elif rows and len(_bare(rows[-1])) + len(_bare(inner[0])) < limit:
            rows[-1] += f" {operator}{inner[0]}"
            rows += inner[1:]
        else:
            rows.append(rf"\quad {operator}{inner[0]}")
            rows += inner[1:]
    return rows


def _bare(tex: str) -> str:
    """Roughly what is seen of a formula: commands count as one letter."""
    out, skip = [], False
    for c in tex:
        if c == "\\":
            skip = True
            out.append("x")
        elif skip and c.isalpha():
            continue
        else:
            skip = False
            if c not in "{}^_ ":
                out.append(c)
    return "".join(out)


_TEX_CHARACTERS = {
    "−": "$-$", "∞": r"$\infty$", "·": r"$\cdot$", "×": r"$\times$", "…": r"\dots{}", "√": r"$\surd$", "∂": r"$\partial$",
    "→": r"$\to$", "±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "σ": r"$\sigma$", "Σ": r"$\Sigma$", "\u0304": "",
    "_": r"\_", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$", "{": r"\{", "}": r"\}", "^": r"\^{}", "~": r"\~{}",
    "\\": r"\textbackslash{}", "<": r"$<$", ">": r"$>$", "|": r"$|$", "′": "$'$", "⊙": r"$\odot$", "¬": r"$\lnot$",
    "≠": r"$\neq$", "⌊": r"$\lfloor$", "⌋": r"$\rfloor$", "⌈": r"$\lceil$", "⌉": r"$\rceil$", "‖": r"$\|$", "∛": r"$\sqrt[3]{}$",
    "ᵀ": r"$^\top$", "∧": r"$\land$", "∨": r"$\lor$", "⁻": r"$^-$",
    **{c: f"$^{k}$" for k, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}, **{c: f"$_{k}$" for k, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}  # fmt: skip
_GREEK_LETTERS = dict(
    zip("αβγδεζηθικλμνξπρτυφχψωΓΔΘΛΞΠΦΨΩ",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho tau upsilon phi chi psi omega Gamma"
        " Delta Theta Lambda Xi Pi Phi Psi Omega".split(), strict=True))  # fmt: skip


def _tex_prose(words: str) -> str:
    """Text for LaTeX, whatever characters it has."""
    out = []
    for c in words:
        if c in _TEX_CHARACTERS:
            out.append(_TEX_CHARACTERS[c])
        elif c in _GREEK_LETTERS:
            out.append(f"$\\{_GREEK_LETTERS[c]}$")
        else:
            out.append(c if c.isascii() or c.isalpha() and ord(c) < 0x250 else "?")
    return "".join(out)


def _tex_value(words: str) -> str:
    return rf"\text{{{_tex_prose(words)}}}"


# -- Markdown and HTML ----------------------------------------------------------------------------------------------------


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The story in Markdown with dollar-sign mathematics."""
    out = [f"# {title}", ""]
    for section in sections:
        out += [f"## {section.title}", ""]
        if section.intro:
            out += [section.intro, ""]
        for line in section.lines:
            if line.formula is None:
                out.append(f"- {line.prose}" if line.prose else "- …")
                continue
            tail = (f" = {line.value}" if line.value else "") + (f" — {line.note}" if line.note else "")
            out.append(f"- ${latex(line.formula)}${tail}")
        out.append("")
    return "\n".join(out)


def as_html(sections: Sequence[Section]) -> str:
    """The story as HTML sections with MathML formulas."""
    out = []
    for section in sections:
        out.append(f'<section class="{section.key}"><h2>{escape(section.title)}</h2>')
        if section.intro:
            out.append(f"<p>{escape(section.intro)}</p>")
        if section.lines:
            out.append('<table class="story">')
            for line in section.lines:
                out.append(_html_row(line))
            out.append("</table>")
        out.append("</section>")
    return "\n".join(out)


def _html_row(line: Line) -> str:
    mark = f' data-node="{line.node}"' if line.node is not None else ""
    if line.formula is None:
        return f'<tr{mark}><td class="prose" colspan="3">{escape(line.prose)}</td></tr>'
    value = f"= {escape(line.value)}" if line.value else ""
    return (
        f'<tr{mark}><td class="formula">{mathml(line.formula)}</td><td class="value">{value}</td>'
        f'<td class="note">{escape(line.note)}</td></tr>'
    )
