"""Stories printed: plain or coloured text, LaTeX, Markdown, and the sections of a page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from hopgrad.notation import RELATION, Infix, Term, latex, latex_rows, latex_width, mathml, tex_text, text
from hopgrad.show.story import Line, Section

Paint = Callable[[str, str], str]
"""(text, role) → text, with the colours of the role: "title", "formula", "value", "note", "bad"."""


def plain(words: str, role: str) -> str:
    """No colours."""
    return words


def width(words: str) -> int:
    """Columns that a text takes in a terminal: combining marks take none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in words)


def as_text(title: str, sections: Sequence[Section], paint: Paint = plain, columns: int = 110) -> str:
    """The story for a terminal or a log."""
    out = [paint(title, "title"), ""]
    for section in sections:
        out.append(paint(section.title, "bad" if section.key == "health" else "title"))
        if section.intro:
            out += ["  " + row for row in _folded(section.intro, columns - 2)]
        formulas = [text(line.formula) if line.formula is not None else "" for line in section.lines]
        short = [width(f) for f, line in zip(formulas, section.lines, strict=True) if (line.value or line.note)]
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
    used = width(f"= {line.value}   {line.note}" if line.value else line.note)
    if len(rows) == 1 and width(formula) <= pad and pad + 4 + used <= columns:
        rows[0] += " " * (pad - width(formula)) + "  " + tail
    elif pad + 4 + used <= columns:
        rows.append(" " * (pad + 4) + tail)
    else:
        if line.value and len(rows) == 1 and width(formula) <= pad:
            rows[0] += " " * (pad - width(formula)) + f"  = {paint(line.value, 'value')}"
        elif line.value:
            rows.append(f"      = {paint(line.value, 'value')}")
        rows += ["      " + paint(row, "note") for row in _folded(line.note, columns - 6) if line.note]
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


# -- LaTeX ------------------------------------------------------------------------------------------------------

_PREAMBLE = r"""\documentclass[fleqn]{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{amsmath,amssymb,iftex}
\ifPDFTeX
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
FOREIGN\fi
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\setlength{\mathindent}{1em}
\setlength{\jot}{5pt}
\setlength{\emergencystretch}{3em}
"""

# In points at 10 points a letter: the width of a line, and the widest left-hand side that others are aligned to.
_ROOM = 458.0
_LEFT_ROOM = 120.0
_LETTER = 5.1
_LONG_NOTE = 45
_PORTION = 20_000  # characters
_BREAKS = re.compile(r"[+/)]|\$-\$|\$\\cdot\$")


def as_latex(title: str, sections: Sequence[Section], standalone: bool = False) -> str:
    """The story for amsmath: aligned formulas in each section. With `standalone` a whole document."""
    out = []
    for section in sections:
        out.append(rf"\paragraph{{{tex_text(section.title)}.}}")
        if section.intro:
            out.append(tex_text(section.intro))
        if any(line.formula is not None for line in section.lines):
            for rows in _portions(_tex_rows(section.lines)):
                out += [r"\begin{alignat*}{2}", " \\\\\n".join(rows), r"\end{alignat*}"]
        elif section.lines:
            out.append(r"\begin{itemize}")
            out += [rf"\item {tex_text(line.prose or '…')}" for line in section.lines]
            out.append(r"\end{itemize}")
    body = "\n".join(out) + "\n"
    if not standalone:
        return body
    # Formulas in the heading are plain text, and most have no spaces at which it could be broken.
    words = _BREAKS.sub(r"\g<0>\\allowbreak{}", tex_text(title))
    heading = rf"\section*{{\raggedright {words}}}"
    preamble = _PREAMBLE.replace("FOREIGN", "".join(map(_declared, _foreign(heading + body))))
    return f"{preamble}\\begin{{document}}\n{heading}\n\n{body}\\end{{document}}\n"


# Accents that every font encoding of pdfLaTeX can put on a letter, and what it has besides.
_ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")
_LETTERS = frozenset("ßæÆøØåÅœŒłŁı¡¿§£")


def _foreign(words: str) -> list[str]:
    """The characters that pdfLaTeX has no letter for in its usual fonts."""

    def known(c: str) -> bool:
        parts = unicodedata.normalize("NFD", c)
        accented = len(parts) == 2 and parts[0].isascii() and parts[1] in _ACCENTS
        return c.isascii() or c in _LETTERS or accented

    return sorted({c for c in words if not known(c)})


def _declared(c: str) -> str:
    """Lets pdfLaTeX set the character by its number, where it would stop with an error."""
    return rf"\DeclareUnicodeCharacter{{{ord(c):04X}}}{{\texttt{{U+{ord(c):04X}}}}}" + "\n"


def portable(tex: str) -> str:
    """LaTeX for documents of whatever preamble: foreign characters only for engines that can set them."""
    for c in _foreign(tex):
        tex = tex.replace(c, rf"{{\ifdefined\Umathchar {c}\else\texttt{{U+{ord(c):04X}}}\fi}}")
    return tex


def _portions(rows: Sequence[tuple[str, str]]) -> Iterator[list[str]]:
    """The rows in portions: TeX holds all of an alignment in its memory."""
    portion: list[str] = []
    size, before = 0, ""
    for left, right in rows:
        if portion and size + len(right) > _PORTION:
            yield portion
            portion, size = [], 0
        if not left and not portion and before:
            # A portion that begins inside of a formula keeps the place of its signs.
            portion.append(rf"\hphantom{{{before}}} {right}")
        else:
            portion.append(f"{left} {right}".strip())
        before = left or before
        size += len(right)
    if portion:
        yield portion


@dataclass
class _Rows:
    """One line of a story as rows of an alignment: left-hand side, right-hand sides, and the remark behind the last."""

    left: str
    right: list[str]
    last: float  # width of the last row
    wide: float  # width of the widest
    note: str


def _tex_rows(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """Left and right parts of the rows of an alignat.

    Long sums and products are broken at their operators; remarks are aligned where they fit.
    """
    lefts = [_sides(line.formula)[0][1] for line in lines if line.formula is not None]
    indent = max((w for w in map(latex_width, lefts) if w <= _LEFT_ROOM), default=0.0)
    room = _ROOM - indent
    found = [None if line.formula is None else _rows(line, room) for line in lines]
    short = [rows for rows in found if rows and rows.note and len(rows.note) <= _LONG_NOTE]
    widest = max((rows.wide for rows in found if rows), default=0.0)
    aligned = widest + 20 + max((_LETTER * len(rows.note) for rows in short), default=0.0) <= room
    out = []
    for line, rows in zip(lines, found, strict=True):
        if rows is None:
            words = line.prose or "…"
            if len(words) <= _LONG_NOTE:
                out.append(("", rf"& \text{{{tex_text(words)}}}"))
            else:  # without a width of its own, as below
                folded = _folded(words, int(room / _LETTER) - 4, indent="  ")
                out += [("", rf"& \rlap{{\text{{{tex_text(row)}}}}}") for row in folded]
            continue
        own = [f"& {right}" for right in rows.right]
        if rows.note and len(rows.note) <= _LONG_NOTE and rows.last + 20 + _LETTER * len(rows.note) <= room:
            gap = r" &\qquad& " if aligned else r" \qquad "
            own[-1] += rf"{gap}\text{{{tex_text(rows.note)}}}"
        elif rows.note:
            # Without a width of their own, so that they do not push the column of remarks away.
            folded = _folded(rows.note, int(room / _LETTER) - 4)
            own += [rf"& \quad \rlap{{\text{{{tex_text(row)}}}}}" for row in folded]
        out += [(rows.left if k == 0 else "", row) for k, row in enumerate(own)]
    return out


def _sides(formula: Term) -> list[tuple[str, Term]]:
    """The sides of an equation, each with the sign before it; of anything else, that alone."""
    if isinstance(formula, Infix) and formula.level == RELATION and len(formula.items) > 1:
        return [("", formula.items[0]), *[(formula.tex, item) for item in formula.items[1:]]]
    return [("", formula)]


def _rows(line: Line, room: float) -> _Rows:
    assert line.formula is not None
    (_, first), *sides = _sides(line.formula)
    right: list[str] = []
    left, used, wide = latex(first), 0.0, 0.0
    row = ""
    if latex_width(first) > _LEFT_ROOM:
        broken = latex_rows(first, room)
        left, right, wide = "", broken, min(room, latex_width(first))
    pieces: list[tuple[str, Term | str]] = [*sides, *([("=", line.value)] if line.value else [])]
    for sign, side in pieces:
        length = (_LETTER * len(side) if isinstance(side, str) else latex_width(side)) + 14
        if row and used + length > room:
            right.append(row)
            row, used = "", 0.0
        parts = [tex_value(side)] if isinstance(side, str) else latex_rows(side, room - 14)
        *full, end = [f"{sign} {parts[0]}", *parts[1:]]
        if full:
            right += full
            length = room  # how long the last of several rows is, is not known
        row = f"{row} {end}" if row else end
        used += length
        wide = max(wide, min(used, room))
    right.append(row)
    return _Rows(left, right, used, wide, line.note)


_PLAIN_VALUE = re.compile(r"[][0-9.,:\s−·×∞…⁰¹²³⁴-⁹⁻]+")
_VALUE_SIGNS = {"−": "{-}", "·": r" \cdot ", "×": r"{\times}", "∞": r"\infty ", "…": r" \;\dots\; ", ":": r"{:}\; "}


def tex_value(words: str) -> str:
    r"""A value as `value_text` writes it, in LaTeX's mathematics: numbers and lists of them as such, all else as text.

    >>> print(tex_value("−1.5·10⁻⁷"), tex_value("True"))
    {-}1.5 \cdot 10^{-7} \text{True}
    """
    if not _PLAIN_VALUE.fullmatch(words):
        return rf"\text{{{tex_text(words)}}}"
    out = []
    for raised, part in groupby(words.replace(" ", ""), "⁰¹²³⁴⁵⁶⁷⁸⁹⁻".__contains__):
        digits = "".join(part)
        if raised:
            out.append(f"^{{{unicodedata.normalize('NFKC', digits).replace('−', '-')}}}")
        else:
            out.append("".join(_VALUE_SIGNS.get(c, c) for c in digits).replace(",", ", "))
    return "".join(out).strip()


# -- Markdown and HTML ------------------------------------------------------------------------------------------

_MARKDOWN = str.maketrans({c: f"\\{c}" for c in r"\`*_[]<>$|~#&"})


def _markdown(words: str) -> str:
    """Words that Markdown shall leave as they are."""
    return " ".join(words.translate(_MARKDOWN).split())


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """The story in Markdown with dollar-sign mathematics."""
    out = [f"# {_markdown(title)}", ""]
    for section in sections:
        out += [f"## {_markdown(section.title)}", ""]
        if section.intro:
            out += [_markdown(section.intro), ""]
        for line in section.lines:
            if line.formula is None:
                out.append(f"- {_markdown(line.prose)}" if line.prose else "- …")
                continue
            formula = latex(line.formula) + (f" = {tex_value(line.value)}" if line.value else "")
            out.append(f"- ${formula}$" + (f" — {_markdown(line.note)}" if line.note else ""))
        out.append("")
    return "\n".join(out)


_LONG = 45


def as_html(sections: Sequence[Section]) -> str:
    """The story as HTML sections with MathML formulas."""
    out = []
    for section in sections:
        out.append(f'<section class="{section.key}"><h2>{escape(section.title)}</h2>')
        if section.intro:
            out.append(f"<p>{escape(section.intro)}</p>")
        if section.lines:
            out.append('<table class="story">')
            out += map(_html_row, section.lines)
            out.append("</table>")
        out.append("</section>")
    return "\n".join(out)


def _html_row(line: Line) -> str:
    mark = f' data-node="{line.node}"' if line.node is not None else ""
    if line.formula is None:
        return f'<tr{mark}><td class="prose" colspan="3">{escape(line.prose)}</td></tr>'
    value = f"= {escape(line.value)}" if line.value else ""
    if line.formula.size > _LONG:
        # A long formula scrolls in a row of its own, so that its value stays in sight.
        return (
            f'<tr{mark}><td class="formula" colspan="3"><div class="wide">{mathml(line.formula)}</div></td></tr>'
            + (f'<tr{mark}><td></td><td class="value">{value}</td><td class="note">{escape(line.note)}</td></tr>'
               if value or line.note else "")
        )  # fmt: skip
    return (
        f'<tr{mark}><td class="formula">{mathml(line.formula)}</td><td class="value">{value}</td>'
        f'<td class="note">{escape(line.note)}</td></tr>'
    )
