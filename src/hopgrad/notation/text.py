"""Terms as plain text and, for pictures, as styled runs; values in short."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from hopgrad.notation.terms import (
    APPLY,
    ATOM,
    PRODUCT,
    RELATION,
    SUM,
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
    number,
    rewritten,
    split_primes,
    symbol_parts,
)


class Run(NamedTuple):
    """A stretch of a label: its text, whether it is a variable (italic), and its height (+1 raised, −1 lowered)."""

    text: str
    italic: bool = False
    rise: int = 0


_RAISED = str.maketrans("0123456789+-−()nxi", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿˣⁱ")
_LOWERED = str.maketrans("0123456789+-()", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎")


def to_raised(plain: str) -> str:
    """In superscript letters, where there are such."""
    return plain.translate(_RAISED)


def to_lowered(plain: str) -> str:
    """In subscript digits, where there are such."""
    return plain.translate(_LOWERED)


def runs(term: Term) -> list[Run]:
    """The term on one line, as styled stretches."""
    out: list[Run] = []
    _linear(term, out, 0, True)
    return out


def _plain_exponential(term: Term) -> Term:
    """Plain text has few raised letters, so e^(−x·y) is written exp(−x·y)."""
    if isinstance(term, Power) and term.base == Word("e"):
        return Apply("exp", r"\exp", (term.exponent,))
    return term


def _has_exponential(term: Term) -> bool:
    stack = [term]
    while stack:
        part = stack.pop()
        if isinstance(part, Power) and part.base == Word("e"):
            return True
        stack += part.parts
    return False


def text(term: Term) -> str:
    """The term as plain text, with Unicode superscripts where there are such.

    >>> from hopgrad.notation import add, power
    >>> text(power(add(Symbol("x"), number(1)), number(2)))
    '(x+1)²'
    """
    return _in_line(runs(rewritten(term, _plain_exponential) if _has_exponential(term) else term), 0)


def _in_line(row: Iterable[Run], level: int) -> str:
    """Runs as text; those higher or lower than `level` in raised or lowered letters, or behind ^ and _."""
    out = []
    for away, group in groupby(row, key=lambda run: (run.rise > level) - (run.rise < level)):
        if away:
            out.append(_shifted(_in_line(group, level + away), away))
        else:
            out += [run.text for run in group]
    return "".join(out)


def _shifted(plain: str, rise: int) -> str:
    if all(ord(c) in (_RAISED if rise > 0 else _LOWERED) for c in plain):
        return plain.translate(_RAISED if rise > 0 else _LOWERED)
    word = plain.isidentifier() and "·" not in plain  # to Python that is a letter
    single = word or plain.isdecimal() or _closing(plain) == len(plain) - 1
    return f"{'^' if rise > 0 else '_'}{plain if single else f'({plain})'}"


def _closing(plain: str) -> int:
    """Where the bracket closes with which the text begins, or −1."""
    depth = 0
    for k, c in enumerate(plain):
        depth += (c == "(") - (c == ")")
        if depth <= 0:
            return k if c == ")" else -1
    return -1


def _linear(term: Term, out: list[Run], rise: int, loose: bool) -> None:
    """Append the runs of `term`. `loose`: operators of sums get spaces around them."""

    def put(text: str, italic: bool = False, shift: int = 0) -> None:
        out.append(Run(text, italic, rise + shift))

    match term:
        case Symbol(name, bar):
            base, sub = symbol_parts(name)
            letter, primes = split_primes(base)
            if bar:
                base = (f"{letter}\u0304" if len(letter) == 1 else "".join(f"{c}\u0305" for c in letter)) + primes
            put(base, True)
            if sub and rise and sub.isdigit():
                put(to_lowered(sub))  # lowered inside raised text: the digits' own small forms
            elif sub and rise:
                put(f"_{sub}")
            elif sub:
                put(sub, False, -1)
        case Number(text) | Word(text):
            put(text.replace("-", "−") if isinstance(term, Number) else text)
        case Infix(operator, _, items, level):
            gap = " " if (loose and (level <= SUM or operator == "@")) or level == RELATION else ""
            if operator in ("⊙", "mod", "fmod", "∧", "∨", "//", "·") and (loose or operator != "·"):
                gap = " "
            for k, item in enumerate(items):
                if k and operator:
                    put(f"{gap}{operator}{gap}")
                _linear(item, out, rise, loose)
        case Prefix(operator, _, item):
            put(operator)
            _linear(item, out, rise, loose)
        case Power(base, exponent):
            _linear(base, out, rise, False)
            _linear(exponent, out, rise + 1, False)
        case Fraction(top, bottom):
            _linear(Fence(top) if isinstance(top, Fraction) else fit(top, PRODUCT), out, rise, False)
            put("/")
            _linear(fit(bottom, APPLY), out, rise, False)
        case Derivative(top, bottom, partial, order):
            d = "∂" if partial else "d"
            put(d)
            if order > 1:
                put(str(order), False, 1)
            _differential(top, out, rise)
            put("/")
            put(d)
            _differential(bottom, out, rise)
            if order > 1:
                put(str(order), False, 1)
        case Root(item, degree):
            put("∛" if degree == "3" else "√")
            _linear(fit(item, ATOM), out, rise, False)
        case Fence(item, left, right):
            put(left)
            _linear(item, out, rise, False)
            put(right)
        case Apply(function, _, arguments, raised):
            put(function)
            if raised is not None:
                _linear(raised, out, rise + 1, False)
            put("(")
            for k, argument in enumerate(arguments):
                if k:
                    put(", ")
                _linear(argument, out, rise, False)
            put(")")
        case Indexed(base, mark, _):
            _linear(base, out, rise, False)
            put(mark)
        case Cases(condition, then, otherwise):
            put("{")
            _linear(then, out, rise, False)
            put(" if ")
            _linear(condition, out, rise, False)
            put(", else ")
            _linear(otherwise, out, rise, False)
            put("}")
        case _:
            raise TypeError(f"no text form for {term!r}")


def _differential(term: Term, out: list[Run], rise: int) -> None:
    """What stands behind a d: dz, d(x+1), d sin(x)."""
    first = term.base if isinstance(term, Indexed) else term
    if isinstance(first, (Apply, Root, Cases)) or (
        isinstance(term, Symbol) and len(split_primes(symbol_parts(term.name)[0])[0]) > 1
    ):
        out.append(Run(" ", False, rise))
    _linear(behind_d(term), out, rise, False)


def value_text(value: Any, digits: int = 6) -> str:
    """A value in short: a number in `digits` digits, an array by its shape and range.

    >>> value_text(0.7780731968879212), value_text(np.array([1.0, 2.0, 4.0]))
    ('0.778073', '[1, 2, 4]')
    >>> value_text(-0.0)
    '−0'
    """
    array = np.asarray(value)
    if array.dtype == bool and not array.ndim:
        return str(bool(array))
    if not array.ndim:
        return _short(array[()], digits)
    if array.size <= 6 and array.ndim == 1:
        return "[" + ", ".join(_short(v, 4) for v in array) + "]"
    shape = "×".join(map(str, array.shape))
    if not array.size:
        return f"{shape} (empty)"
    finite = array[np.isfinite(array)] if array.dtype.kind in "fc" else array
    bad = array.size - finite.size
    of_complex = array.dtype.kind == "c"  # which have no order: told by their sizes
    finite = np.abs(finite) if of_complex else finite
    spread = f"{_short(finite.min(), 3)} … {_short(finite.max(), 3)}" if finite.size else "none finite"
    spread = f"|·| {spread}" if of_complex and finite.size else spread
    note = f", {bad} not finite" if bad else ""
    return f"{shape}: {spread}{note}"


def _short(value: Any, digits: int) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value)).replace("-", "−")
    if value == 0 and np.signbit(np.real(value)) and not np.iscomplexobj(value):
        return "−0"  # which 1/x and sqrt can tell from 0
    return text(number(value, digits)).replace(" ", "")
