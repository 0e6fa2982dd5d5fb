"""Terms as LaTeX, on one line or broken into rows."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from hopgrad.notation.terms import (
    APPLY,
    GREEK,
    PRODUCT,
    Apply,
    Cases,
    Derivative,
    Fence,
    Fraction,
    Indexed,
    Infix,
    Number,
    Power,
    Prefix,
    Root,
    Symbol,
    Term,
    Word,
    behind_d,
    fit,
    split_primes,
    symbol_parts,
)

_TEX_SYMBOLS = {v: f"\\{k}" for k, v in GREEK.items() if k != "lam"}
_TEX_DELIMITERS = {"|": "|", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "‖": r"\|",
                   "(": "(", ")": ")"}  # fmt: skip
_TEX_CHARACTERS = {
    "\\": r"$\backslash$", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "`": r"\textasciigrave{}", "…": r"\dots{}",
    "\u2061": "",
    **{c: f"${tex}$" for c, tex in {
        "<": "<", ">": ">", "|": "|", "−": "-", "′": "'", "∞": r"\infty", "·": r"\cdot", "×": r"\times", "√": r"\surd",
        "∛": r"\sqrt[3]{}", "∂": r"\partial", "→": r"\to", "←": r"\leftarrow", "±": r"\pm", "≤": r"\leq", "≥": r"\geq",
        "≠": r"\neq", "≈": r"\approx", "⊙": r"\odot", "¬": r"\lnot", "∧": r"\land", "∨": r"\lor", "⊻": r"\veebar",
        "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "‖": r"\|", "ᵀ": r"^\top", "•": r"\bullet",
        "½": r"\tfrac12", "⅔": r"\tfrac23", **_TEX_SYMBOLS,
    }.items()},
}  # fmt: skip
_TEX_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣⁱ", "0123456789+-()nxi", strict=True))
_TEX_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙ", "0123456789+-()n", strict=True))
_BETWEEN_FORMULAS = re.compile(r"(?<!\\)\$\$(?![\^_'])")
_POWER_OF_TEN = re.compile(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?)e([+-])0*([0-9]+)(?!\w)")


def tex_text(words: str) -> str:
    r"""Plain words for LaTeX's text mode, whatever characters are in them.

    >>> print(tex_text("x_1 = −2·10⁻⁷ & so on"))
    x\_1 = $-$2$\cdot$10$^{-7}$ \& so on
    """
    out: list[str] = []
    for table, part in _stretches(words.replace("->", "→")):
        if table == 1:
            out.append(f"$^{{{''.join(_TEX_RAISED[c] for c in part)}}}$")
        elif table == -1:
            out.append(f"$_{{{''.join(_TEX_LOWERED[c] for c in part)}}}$")
        else:
            out += [_TEX_CHARACTERS[c] if c in _TEX_CHARACTERS else _tex_letter(c) for c in part]
    # Formulas side by side become one; two hyphens would become a dash.
    joined = _BETWEEN_FORMULAS.sub("", "".join(out)).replace("--", "-{}-")
    return _POWER_OF_TEN.sub(lambda m: rf"${m[1]} \cdot 10^{{{m[2].strip('+')}{m[3]}}}$", joined)


def _stretches(words: str) -> Iterator[tuple[int, str]]:
    """Runs of raised (1), lowered (−1) and other (0) characters."""

    def height(c: str) -> int:
        return 1 if c in _TEX_RAISED else -1 if c in _TEX_LOWERED else 0

    for table, part in groupby(words, height):
        yield table, "".join(part)


def _tex_letter(c: str) -> str:
    if c.isspace():
        return " "
    if unicodedata.combining(c):
        return ""
    # LaTeX stops at control characters; whether other foreign ones are shown is a matter of fonts.
    return c if c.isprintable() else "?"


def _tex_word(plain: str) -> str:
    symbol = {"∞": r"\infty", "e": r"\mathrm{e}", "…": r"\dots", "π": r"\pi", "d": r"\mathrm{d}"}.get(plain)
    return symbol or rf"\text{{{tex_text(plain)}}}"


_UPRIGHT, _WORDS = r"\mathrm", r"\text"


def symbol_tex(name: str, bar: bool = False) -> str:
    r"""A variable's name in LaTeX.

    >>> print(symbol_tex("beta_1"), symbol_tex("loss"), symbol_tex("z", bar=True))
    \beta_{1} \mathit{loss} \bar{z}
    """
    base, sub = symbol_parts(name)
    base, primes = split_primes(base)
    core = _tex_name(base, r"\mathit", r"\textit")
    if bar:
        core = rf"\bar{{{core}}}" if len(base) == 1 else rf"\overline{{{core}}}"
    core += "'" * len(primes)
    if not sub:
        return core
    return f"{core}_{{{sub}}}" if sub.isdigit() else f"{core}_{{{_tex_name(sub, _UPRIGHT, _WORDS)}}}"


def _tex_name(name: str, font: str, words: str) -> str:
    """A name in a font of mathematics, or as words where mathematics would set its characters as operators."""
    if name in _TEX_SYMBOLS:
        return _TEX_SYMBOLS[name]
    if len(name) == 1 and name.isascii() and name.isalpha():
        return name
    if name.isascii() and name.replace("_", "a").isalnum():
        return f"{font}{{{_TEX_CHARACTERS['_'].join(name.split('_'))}}}"
    return f"{words}{{{tex_text(name)}}}"


class _Style(NamedTuple):
    """How a piece of LaTeX is set: its size, 0 display, 1 text, 2 script and 3 smaller.

    `flat`: fractions get a slash, as in exponents. `tall`: nested fractions keep their full size.
    """

    level: int = 0
    flat: bool = False
    tall: bool = False

    @property
    def scale(self) -> float:
        return (1.0, 1.0, 0.7, 0.5)[self.level]

    def within(self, part: Term) -> _Style:
        """Of the numerator or denominator of a fraction: one that is a fraction itself gets a slash."""
        if self.tall:
            return self
        return _Style(min(self.level + 1, 3), self.flat or isinstance(part, Fraction))

    @property
    def enclosed(self) -> _Style:
        """Between brackets: within a fraction no second one is built up."""
        return self._replace(flat=self.flat or (self.level > 0 and not self.tall))

    @property
    def raised(self) -> _Style:
        """In an exponent or index."""
        return _Style(max(2, min(self.level + 1, 3)), flat=True)


_DISPLAY = _Style()


def latex(term: Term, room: float = math.inf) -> str:
    r"""The term in LaTeX (amsmath), without dollar signs.

    What is wider than `room` points (by estimate, at 10 points a letter) is broken inside its brackets; `latex_rows`
    breaks it into several formulas instead.

    >>> from hopgrad.notation import add, number, power
    >>> print(latex(power(add(Symbol("x"), number(1)), number(2))))
    (x + 1)^{2}
    """
    return _tex(term, room, _DISPLAY)


def latex_rows(term: Term, room: float) -> list[str]:
    r"""The term in rows of at most `room` points each, as far as its operators allow; later rows are indented.

    >>> from hopgrad.notation import total
    >>> for row in latex_rows(total([Symbol(name) for name in ("first", "second", "third")]), 70):
    ...     print(row)
    \mathit{first} + \mathit{second}
    \quad + \mathit{third}
    """
    return _tex_rows(term, room, _DISPLAY)


def latex_width(term: Term) -> float:
    """About how many points wide LaTeX sets the term at 10 points, rather too much than too little."""
    return _span(term, _DISPLAY)


_INDENT = 10.0
_LEAST = 60.0  # no formula is broken into rows narrower than this


def _tex_rows(term: Term, room: float, style: _Style) -> list[str]:
    room = max(room, _LEAST)
    rows: list[str] = []
    row, used = "", 0.0
    todo = [("", 0, term)]  # operator in front, its level, term; the next one last
    while todo:
        lead, level, item = todo.pop()
        wide = _span(item, style) + (_span_operator(lead, style) if lead else 0)
        if row and used + wide <= room:
            row, used = f"{row} {lead} {_tex(item, math.inf, style)}", used + wide
            continue
        if row:
            rows.append(row)
            row = ""
        indent = _INDENT * (2 if level == PRODUCT else 1) if rows else 0.0
        parts = _split(lead, level, item) if wide > room - indent else []
        if parts:
            todo += reversed(parts)
            continue
        inside = room - indent - (_span_operator(lead, style) if lead else 0)
        shift = "" if not rows else r"\qquad " if level == PRODUCT else r"\quad "
        row = shift + f"{lead} {_tex(item, inside, style)}".strip()
        used = indent + wide
    return [*rows, row] if row else rows


def _split(lead: str, level: int, term: Term) -> list[tuple[str, int, Term]]:
    """The terms that an operator joins, each with the operator before it; nothing if there is no such operator."""
    if isinstance(term, Prefix) and isinstance(term.item, Infix):
        parts = _split("", level, term.item)
        return [(lead, level, Prefix(term.operator, term.tex, parts[0][2])), *parts[1:]] if parts else []
    if not isinstance(term, Infix) or not term.operator:
        return []
    first, *others = term.items
    return [(lead, level, first), *[(term.tex, term.level, item) for item in others]]


def _stacked(rows: Sequence[str]) -> str:
    if len(rows) == 1:
        return rows[0]
    inside = r" \\ & ".join(rows)
    return rf"\begin{{aligned}} & {inside} \end{{aligned}}"


def _tex(term: Term, room: float, style: _Style) -> str:
    tight = room < math.inf and _span(term, style) > room
    if not tight:
        room = math.inf
    room = max(room, _LEAST)
    match term:
        case Symbol(name, bar):
            return symbol_tex(name, bar)
        case Number(text):
            return text.replace("π", r"\pi ").strip() if "π" in text else text
        case Word(text):
            return _tex_word(text)
        case Infix(operator, tex, items, _):
            if tight and operator:
                # amsmath's rows are displays; they are indented once, as there is little room.
                rows = _tex_rows(term, room, style._replace(level=0))
                return _stacked([row.replace(r"\qquad", r"\quad", 1) for row in rows])
            between = r"\," if operator == "@" else "" if not operator else f" {tex} "
            rooms = [room - _span(term, style) + _span(item, style) for item in items] if tight else [room] * len(items)
            return between.join(_tex(item, space, style) for item, space in zip(items, rooms, strict=True))
        case Prefix(_, tex, item):
            return f"{tex}{' ' if tex.startswith(chr(92)) else ''}{_tex(item, room - 8, style)}"
        case Power(base, exponent):
            if base == Word("e") and _is_long(exponent):
                return _tex(Apply("exp", r"\exp", (exponent,)), room, style)
            above = _tex(exponent, math.inf, style.raised)
            return f"{_tex(base, room - _span(exponent, style.raised), style)}^{{{above}}}"
        case Fraction(top, bottom):
            return _tex_fraction(term, top, bottom, room, style)
        case Derivative():
            return _tex_derivative(term, room, style)
        case Root(item, degree):
            sign = rf"\sqrt[{degree}]" if degree else r"\sqrt"
            return f"{sign}{{{_tex(item, room - 9, style)}}}"
        case Fence(item, left, right):
            return _tex_fenced(_tex(item, room - 14, style.enclosed), _TEX_DELIMITERS[left], _TEX_DELIMITERS[right])
        case Apply():
            return _tex_apply(term, room, style)
        case Indexed(base, mark, raised):
            if raised:
                return rf"{_tex(base, room - 6, style)}^{{\top}}"
            name = _tex(base, room - _span_words(mark, style.raised), style)
            # A name may have a subscript of its own, and LaTeX allows one only.
            return rf"{f'{{{name}}}' if '_' in name else name}_{{{_tex_index(mark[1:-1])}}}"
        case Cases():
            return _tex_cases(term, room, style)
        case _:
            raise TypeError(f"no LaTeX form for {term!r}")


def _is_long(exponent: Term) -> bool:
    """Whether a power of e is better written exp(…): raised text should be short."""
    found = [exponent]
    for term in found:
        if isinstance(term, (Cases, Derivative)) or (isinstance(term, Power) and term.base == Word("e")):
            return True
        found += term.parts
    return exponent.size > 12


def _fractions(term: Term) -> int:
    """How many fractions are built up one inside the other, outside of brackets."""
    if isinstance(term, Fraction):
        return 1 + max(_fractions(part) for part in term.parts)
    return max(map(_fractions, term.parts)) if isinstance(term, (Infix, Prefix)) else 0


def _fraction_style(term: Term, style: _Style) -> _Style:
    """Three in one keep their size, else the innermost would be too small to read."""
    return style._replace(tall=True) if style.level == 0 and _fractions(term) > 2 else style


def _tex_fraction(term: Term, top: Term, bottom: Term, room: float, style: _Style) -> str:
    if style.flat:
        upper, lower = fit(top, PRODUCT), fit(bottom, APPLY)
        spare = room - 5 - _span(upper, style) - _span(lower, style)
        rooms = [max(room / 3, spare + _span(part, style)) for part in (upper, lower)]
        return f"{_tex(upper, rooms[0], style)} / {_tex(lower, rooms[1], style)}"
    style = _fraction_style(term, style)
    parts = [_tex(part, room - 3, style.within(part)) for part in (top, bottom)]
    return rf"{chr(92)}{'d' if style.tall else ''}frac{{{parts[0]}}}{{{parts[1]}}}"


def _tex_derivative(term: Derivative, room: float, style: _Style) -> str:
    d = r"\partial " if term.partial else r"\mathrm{d}"
    raised = f"^{{{term.order}}}" if term.order > 1 else ""
    inside = _Style(min(style.level + 1, 3), flat=True)
    top = f"{d.strip()}{raised} {_tex(behind_d(term.top), room - 12, inside)}"
    bottom = f"{d}{_tex(behind_d(term.bottom), room - 12, inside)}{raised}"
    return f"{top} / {bottom}" if style.flat else rf"\frac{{{top}}}{{{bottom}}}"


def _tex_apply(term: Apply, room: float, style: _Style) -> str:
    name, (arguments, below) = term.tex, _arguments(term)
    name += f"_{{{', '.join(_tex_word(a.text) for a in below)}}}" if below else ""
    if term.raised is not None:
        name += f"^{{{_tex(term.raised, math.inf, style.raised)}}}"
    if room == math.inf or len(arguments) == 1:
        inside = room if room == math.inf else room - _span(term, style) + _span(arguments[0], style.enclosed)
        written = []
        for argument in arguments:  # formulas may be so deep that the frame of a comprehension counts
            written.append(_tex(argument, inside, style.enclosed))  # noqa: PERF401
        return name + _tex_fenced(", ".join(written), "(", ")")
    rows, used = [""], 0.0
    for k, argument in enumerate(arguments):
        wide = _span(argument, style.enclosed) + 5
        if rows[-1] and used + wide > room - 20:
            rows, used = [*rows, ""], 0.0
        comma = ", " if k < len(arguments) - 1 else ""
        rows[-1] += _tex(argument, room - 20, style.enclosed) + comma
        used += wide
    return name + _tex_fenced(_stacked([row.strip() for row in rows]), "(", ")")


def _arguments(term: Apply) -> tuple[tuple[Term, ...], tuple[Word, ...]]:
    """The arguments, and those that stand below the sign: the axes of a sum or product."""
    if term.tex not in (r"\sum", r"\prod"):
        return term.arguments, ()
    below = tuple(a for a in term.arguments[1:] if isinstance(a, Word))
    return tuple(a for a in term.arguments if a not in below), below


def _tex_cases(term: Cases, room: float, style: _Style) -> str:
    inside = _cases_style(term, style)
    room -= 20 + max(_span(term.condition, inside) + 10, 45)
    gap = r" \\[1ex] " if inside.tall else r" \\ "
    return (
        rf"\begin{{cases}} {_tex(term.then, room, inside)} & \text{{if }} {_tex(term.condition, math.inf, inside)}"
        rf"{gap}{_tex(term.otherwise, room, inside)} & \text{{otherwise}} \end{{cases}}"
    )


def _cases_style(term: Cases, style: _Style) -> _Style:
    """Text size, but with fractions in full size."""
    high = not style.flat and max(_fractions(term.then), _fractions(term.otherwise)) > 0
    return _Style(tall=True) if high else style._replace(level=max(style.level, 1))


def _tex_index(mark: str) -> str:
    return rf"[{mark}]" if mark.isdigit() else rf"[\mathtt{{{tex_text(mark).replace('$', '')}}}]"


def _tex_fenced(inside: str, left: str, right: str) -> str:
    """Delimiters that grow only where something inside is high."""
    left, right = (d + " " if d.startswith("\\") and d[1].isalpha() else d for d in (left, right))
    if any(mark in inside for mark in ("frac{", r"\begin", "^{", r"\sum", r"\prod")):
        return rf"\left{left}{inside}\right{right}".rstrip()
    return f"{left}{inside}{right}".rstrip()


# Widths in points at 10 points, after the Computer Modern fonts; upper case and operators separately.
_NARROW = frozenset("ijlftrI.,:;'|!()[]/ ")
_WIDE = frozenset("mwMW@%…∞Σ")
_OPERATORS = {r"\cdot": 7.3, "+": 12.3, "-": 12.3, r"\odot": 12.3, "/": 5.0, r"\,": 1.7, r"\bmod": 32.0}


def _span_words(words: str, style: _Style) -> float:
    def one(c: str) -> float:
        if unicodedata.combining(c):
            return 0.0
        known = c.isascii() or c in _TEX_CHARACTERS or c in _TEX_LOWERED or c in _TEX_RAISED
        if not known and not unicodedata.normalize("NFD", c)[0].isascii():
            return 34.0  # for pdfLaTeX, which has most letters of other scripts by their numbers only
        return 3.6 if c in _NARROW else 8.9 if c in _WIDE else 7.3 if c.isupper() else 5.3

    return sum(map(one, words)) * style.scale


def _span_operator(tex: str, style: _Style) -> float:
    return _OPERATORS.get(tex, 13.5 if len(tex) < 12 else 26.0) * style.scale


def _span_brackets(inside: float, style: _Style) -> float:
    """Brackets around much are likely to be large."""
    return (8 + min(6.0, inside / 20)) * style.scale


# Breaking a formula asks for the widths of its parts again and again. By identity, as comparing terms takes long; the
# term is kept beside its width, so that its id cannot become another's.
_spans: dict[tuple[int, _Style], tuple[Term, float]] = {}


def _span(term: Term, style: _Style) -> float:
    """Estimated width in points."""
    found = _spans.get((id(term), style))
    if found is None or found[0] is not term:
        found = (term, _measured(term, style))
        if len(_spans) >= 20_000:
            _spans.clear()
        _spans[id(term), style] = found
    return found[1]


def _measured(term: Term, style: _Style) -> float:
    match term:
        case Symbol(name, _):
            base, sub = symbol_parts(name)
            return _span_words(base, style) + (_span_words(sub, style.raised) + 0.5 if sub else 0) + 0.5
        case Number(text) | Word(text):
            return _span_words(text, style)
        case Infix(operator, tex, items, _):
            gap = _span_operator(r"\," if operator == "@" else tex, style) if operator else 0.0
            return sum(_span(item, style) for item in items) + gap * (len(items) - 1)
        case Prefix(_, _, item):
            return 8 * style.scale + _span(item, style)
        case Power(base, exponent):
            if base == Word("e") and _is_long(exponent):
                return _span(Apply("exp", r"\exp", (exponent,)), style)
            return _span(base, style) + _span(exponent, style.raised)
        case Fraction(top, bottom):
            if style.flat:
                return _span(fit(top, PRODUCT), style) + 5 * style.scale + _span(fit(bottom, APPLY), style)
            style = _fraction_style(term, style)
            return max(_span(part, style.within(part)) for part in (top, bottom)) + 3
        case Derivative(top, bottom, _, _):
            inside = _Style(min(style.level + 1, 3), flat=True)
            widths = [_span(behind_d(part), inside) + 8 * inside.scale for part in (top, bottom)]
            return sum(widths) + 5 if style.flat else max(widths) + 3
        case Root(item, _):
            return 9 * style.scale + _span(item, style)
        case Fence(item, _, _):
            inner = _span(item, style.enclosed)
            return inner + _span_brackets(inner, style)
        case Apply(function, _, _, raised):
            arguments, below = _arguments(term)
            above = 0.0 if raised is None else _span(raised, style.raised)
            between = 5 * (len(arguments) - 1) * style.scale
            inner = 0.0
            for argument in arguments:
                inner += _span(argument, style.enclosed)
            head = _span_words(function, style) + sum(_span(word, style.raised) for word in below)
            return head + above + inner + between + _span_brackets(inner, style)
        case Indexed(base, mark, _):
            return _span(base, style) + _span_words(mark, style.raised) * 1.1
        case Cases(condition, then, otherwise):
            inside = _cases_style(term, style)
            left = max(_span(then, inside), _span(otherwise, inside))
            return 20 + left + max(_span(condition, inside) + 10, 45)
        case _:
            return sum(_span(part, style) for part in term.parts)
