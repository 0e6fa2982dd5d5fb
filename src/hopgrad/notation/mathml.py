"""Terms as MathML Core."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hopgrad.notation.terms import (
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
    split_primes,
    symbol_parts,
)


def mathml(term: Term, display: bool = False) -> str:
    """The term as a MathML Core element; all names escaped, so that it is well-formed XML whatever they are.

    >>> mathml(Symbol("x"))
    '<math><mi>x</mi></math>'
    """
    return f'<math display="block">{_mml(term)}</math>' if display else f"<math>{_mml(term)}</math>"


def _row(*items: str) -> str:
    return items[0] if len(items) == 1 else f"<mrow>{''.join(items)}</mrow>"


def _xml(words: str) -> str:
    """Escaped; what XML cannot hold at all, such as control characters, is replaced."""
    return escape("".join(c if c.isprintable() or c in " \u2061\u2062" else "\ufffd" for c in words))


def _mo(sign: str, **attributes: str) -> str:
    words = "".join(f' {k}="{v}"' for k, v in attributes.items())
    return f"<mo{words}>{_xml(sign)}</mo>"


def _mml_fenced(inside: str, left: str, right: str) -> str:
    # A stretched bracket has more room around it, even where it has nothing to stretch for.
    stretchy = "true" if any(high in inside for high in ("<mfrac", "<mtable", "<msqrt", "<mroot")) else "false"
    return _row(_mo(left, form="prefix", stretchy=stretchy), inside, _mo(right, form="postfix", stretchy=stretchy))


def _mml_symbol(name: str, bar: bool) -> str:
    base, sub = symbol_parts(name)
    base, primes = split_primes(base)
    core = f"<mi>{_xml(base)}</mi>"
    if bar:
        core = f'<mover>{core}<mo stretchy="{"true" if len(base) > 1 else "false"}">¯</mo></mover>'
    below = f"<{'mn' if sub.isdigit() else 'mi'}>{_xml(sub)}</{'mn' if sub.isdigit() else 'mi'}>"
    above = f"<mo>{primes}</mo>"
    if sub and primes:
        return f"<msubsup>{core}{below}{above}</msubsup>"
    return f"<msub>{core}{below}</msub>" if sub else f"<msup>{core}{above}</msup>" if primes else core


def _mml(term: Term) -> str:
    match term:
        case Symbol(name, bar):
            return _mml_symbol(name, bar)
        case Number(text):
            return f"<mn>{_xml(text.replace('-', '−'))}</mn>"
        case Word(text):
            return '<mi mathvariant="normal">e</mi>' if text == "e" else f"<mtext>{_xml(text)}</mtext>"
        case Infix(operator, _, items, _):
            sign = "\u2062" if operator in ("", "@") else operator  # an invisible times
            between = _mo(sign) if operator != "@" else '<mspace width="0.17em"/>'
            return _row(*_joined([_mml(item) for item in items], between))
        case Prefix(operator, _, item):
            return _row(_mo(operator, form="prefix"), _mml(item))
        case Power(base, exponent):
            return f"<msup>{_mml(base)}{_mml(exponent)}</msup>"
        case Fraction(top, bottom):
            return f"<mfrac>{_mml(top)}{_mml(bottom)}</mfrac>"
        case Derivative(top, bottom, partial, order):
            d = f'<mi mathvariant="normal">{"∂" if partial else "d"}</mi>'
            upper = f"<msup>{d}<mn>{order}</mn></msup>" if order > 1 else d
            lower = _mml(behind_d(bottom))
            lower = f"<msup>{lower}<mn>{order}</mn></msup>" if order > 1 else lower
            gaps = ['<mspace width="0.17em"/>' if isinstance(part, Apply) else "" for part in (top, bottom)]
            return f"<mfrac>{_row(upper, gaps[0], _mml(behind_d(top)))}{_row(d, gaps[1], lower)}</mfrac>"
        case Root(item, degree):
            return f"<mroot>{_mml(item)}<mn>{degree}</mn></mroot>" if degree else f"<msqrt>{_mml(item)}</msqrt>"
        case Fence(item, left, right):
            return _mml_fenced(_mml(item), left, right)
        case Apply(function, _, arguments, raised):
            name = f'<mi mathvariant="normal">{_xml(function)}</mi>'
            if raised is not None:
                name = f"<msup>{name}{_mml(raised)}</msup>"
            inside = _row(*_joined([_mml(argument) for argument in arguments], _mo(",")))
            return _row(name, _mo("\u2061"), _mml_fenced(inside, "(", ")"))
        case Indexed(base, mark, raised):
            if raised:
                return f"<msup>{_mml(base)}<mo>⊤</mo></msup>"
            return f"<msub>{_mml(base)}<mtext>{_xml(mark)}</mtext></msub>"
        case Cases(condition, then, otherwise):
            cell, when = '<mtd class="left">', _row("<mtext>if\u00a0</mtext>", _mml(condition))
            lines = (
                f"<mtr>{cell}{_mml(then)}</mtd>{cell}{when}</mtd></mtr>"
                f"<mtr>{cell}{_mml(otherwise)}</mtd>{cell}<mtext>otherwise</mtext></mtd></mtr>"
            )
            return _row(_mo("{", form="prefix"), f"<mtable>{lines}</mtable>")
        case _:
            raise TypeError(f"no MathML form for {term!r}")


def _joined(items: Sequence[str], between: str) -> list[str]:
    return [part for k, item in enumerate(items) for part in ((between, item) if k else (item,))]
