"""Terms, and how they are put together.

Parentheses are decided once, when a term is put into a slot of another (`fit`), so the printers cannot differ in
meaning.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from hopgrad.graph.names import split_name

# How tightly a term holds together, loosest first.
RELATION, SUM, PRODUCT, APPLY, POWER, ATOM = range(6)

# -- terms -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Term:
    """A piece of notation."""

    @property
    def strength(self) -> int:
        """How tightly it holds together, one of the levels above."""
        return ATOM

    @property
    def parts(self) -> tuple[Term, ...]:
        """The terms inside."""
        return ()

    @property
    def size(self) -> int:
        """Number of symbols in it."""
        return sum(part.size for part in self.parts) + 1


@dataclass(frozen=True, slots=True)
class Symbol(Term):
    """A variable; its name may carry a subscript. With `bar` it is the adjoint of that variable."""

    name: str
    bar: bool = False


@dataclass(frozen=True, slots=True)
class Number(Term):
    """A number as text, such as ``2``, ``0.5``, ``π``, ``1.5e-8``."""

    text: str

    @property
    def strength(self) -> int:
        return SUM if self.text.startswith("-") else PRODUCT if "e" in self.text else ATOM


@dataclass(frozen=True, slots=True)
class Word(Term):
    """Upright text: a name of an axis, an ellipsis."""

    text: str


@dataclass(frozen=True, slots=True)
class Infix(Term):
    """Terms with an operator between them. An empty operator means juxtaposition, as in 2x."""

    operator: str
    tex: str
    items: tuple[Term, ...]
    level: int

    @property
    def strength(self) -> int:
        return self.level

    @property
    def parts(self) -> tuple[Term, ...]:
        return self.items

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items) + len(self.items) - 1


@dataclass(frozen=True, slots=True)
class Prefix(Term):
    """An operator before a term."""

    operator: str
    tex: str
    item: Term

    @property
    def strength(self) -> int:
        return SUM

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.item,)


@dataclass(frozen=True, slots=True)
class Power(Term):
    """A superscript."""

    base: Term
    exponent: Term

    @property
    def strength(self) -> int:
        return POWER

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.base, self.exponent)


@dataclass(frozen=True, slots=True)
class Fraction(Term):
    """A quotient."""

    top: Term
    bottom: Term

    @property
    def strength(self) -> int:
        return PRODUCT

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.top, self.bottom)


@dataclass(frozen=True, slots=True)
class Derivative(Term):
    """d top / d bottom, or with ∂; `order` 2 and more for higher derivatives of one variable."""

    top: Term
    bottom: Term
    partial: bool = False
    order: int = 1

    @property
    def strength(self) -> int:
        return APPLY

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.top, self.bottom)


@dataclass(frozen=True, slots=True)
class Root(Term):
    """A square root or, with a degree, a higher one."""

    item: Term
    degree: str = ""

    @property
    def strength(self) -> int:
        return POWER

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.item,)


@dataclass(frozen=True, slots=True)
class Fence(Term):
    """A term between delimiters; round ones where grouping needs them."""

    item: Term
    left: str = "("
    right: str = ")"

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.item,)

    @property
    def size(self) -> int:
        return self.item.size if self.left == "(" else self.item.size + 1


@dataclass(frozen=True, slots=True)
class Apply(Term):
    """A function applied to arguments; `raised` is a power written on its name, as in sin²(x)."""

    function: str
    tex: str
    arguments: tuple[Term, ...]
    raised: Term | None = None

    @property
    def strength(self) -> int:
        return APPLY

    @property
    def parts(self) -> tuple[Term, ...]:
        return self.arguments


@dataclass(frozen=True, slots=True)
class Indexed(Term):
    """An array with an index or superscript mark written as text: x[0], Aᵀ."""

    base: Term
    mark: str
    raised: bool = False

    @property
    def strength(self) -> int:
        return POWER

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.base,)


@dataclass(frozen=True, slots=True)
class Cases(Term):
    """One of two terms, by a condition."""

    condition: Term
    then: Term
    otherwise: Term

    @property
    def parts(self) -> tuple[Term, ...]:
        return (self.condition, self.then, self.otherwise)


# -- names ---------------------------------------------------------------------------------------------------------

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "lam": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ",
    "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω",
}  # fmt: skip
_IDENTIFIER = re.compile(r"\w+′*")


@lru_cache(maxsize=65536)
def symbol_parts(name: str) -> tuple[str, str]:
    """Base (Greek letters as such) and subscript of a name.

    >>> symbol_parts("beta_1"), symbol_parts("W2"), symbol_parts("loss")
    (('β', '1'), ('W', '2'), ('loss', ''))
    """
    if not _IDENTIFIER.fullmatch(name):
        return name, ""
    base, sub = split_name(name)
    return GREEK.get(base, base), sub


def split_primes(base: str) -> tuple[str, str]:
    """A name and the primes behind it: y′′ is the letter y, twice primed."""
    letters = base.rstrip("′")
    return letters, base[len(letters) :]


# -- building --------------------------------------------------------------------------------------------------------


def fit(term: Term, strength: int) -> Term:
    """`term`, in parentheses if it holds together less tightly than its slot needs."""
    return term if term.strength >= strength else Fence(term)


def number(value: Any, digits: int = 7) -> Term:
    """A number, in at most so many digits; π where it is exactly π.

    >>> from hopgrad.notation import text
    >>> [text(number(v)) for v in (2.0, -0.5, 3.141592653589793, 1e-12, 1.1283791670955126)]
    ['2', '−0.5', 'π', '10⁻¹²', '1.128379']
    >>> [text(number(v)) for v in (2 - 1j, 0.5j, 3 + 0j)]
    ['2 − i', '0.5i', '3']
    """
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        real, imag = float(value.real), float(value.imag)
        if imag == 0:
            return number(real, digits)
        size = number(abs(imag), digits)
        part: Term = Word("i") if size == Number("1") else product([size, Word("i")])
        part = negated(part) if imag < 0 else part
        return part if real == 0 else add(number(real, digits), part)
    value = float(value) + 0.0  # a negative zero is shown as 0
    if math.isnan(value):
        return Word("NaN")
    if math.isinf(value):
        return Word("∞") if value > 0 else Prefix("−", "-", Word("∞"))
    if value == math.e:
        return Word("e")
    for constant, symbol in ((math.pi, "π"), (2 * math.pi, "2π")):
        if value == constant:
            return Number(symbol)
    found = f"{value:.{digits}g}"
    mantissa, _, power = found.partition("e")
    if power:
        scale = Power(Number("10"), Number(str(int(power))))
        if mantissa in ("1", "-1"):
            return scale if mantissa == "1" else Prefix("−", "-", scale)
        factor = Number(mantissa.lstrip("-"))
        whole = Infix("·", r"\cdot", (factor, scale), PRODUCT)
        return Prefix("−", "-", whole) if mantissa.startswith("-") else whole
    return Prefix("−", "-", Number(found[1:])) if found.startswith("-") else Number(found)


def total(terms: Sequence[Term]) -> Term:
    """A sum, with signs drawn out: a + −b is written a − b."""
    if not terms:
        return Number("0")
    out = terms[0]
    for term in terms[1:]:
        out = add(out, term)
    return out


def add(a: Term, b: Term) -> Term:
    """a + b."""
    if isinstance(b, Prefix) and b.operator == "−":
        return subtract(a, b.item)
    return Infix("+", "+", (a if a.strength > RELATION else Fence(a), fit(b, SUM)), SUM)


def subtract(a: Term, b: Term) -> Term:
    """a − b."""
    return Infix("−", "-", (fit(a, SUM), fit(b, PRODUCT)), SUM)


def product(factors: Sequence[Term], sign: str = "·", tex: str = r"\cdot", *, keep: bool = False) -> Term:
    """A product. A leading number is juxtaposed, as in 2x, unless `keep` asks for every sign to be written."""
    if not factors:
        return Number("1")
    if len(factors) == 1:
        return factors[0]
    if not keep and len(factors) == 2:
        a, b = factors
        if _is_plain(b) and not _is_plain(a):
            a, b = b, a  # x·2 is written 2x
        if _is_plain(a) and a != Number("1") and _may_follow(b):
            return Infix("", "", (a, fit(b, APPLY) if not isinstance(b, Infix) else _inner(b)), PRODUCT)
        if isinstance(a, Prefix) and a.operator == "−":
            return Prefix("−", "-", product([a.item, b], sign, tex))
        if isinstance(b, Prefix) and b.operator == "−" and not isinstance(b.item, Word):
            return Prefix("−", "-", product([a, b.item], sign, tex))
        factors = (a, b)
    fitted = [fit(f, PRODUCT) if k == 0 or not isinstance(f, Fraction) else f for k, f in enumerate(factors)]
    return Infix(sign, tex, tuple(fitted), PRODUCT)


def _inner(term: Infix) -> Term:
    return term if term.level == PRODUCT and term.operator == "" and not _is_plain(term.items[0]) else Fence(term)


def _is_plain(term: Term) -> bool:
    return isinstance(term, Number) and term.strength == ATOM


def _may_follow(term: Term) -> bool:
    """Whether a term may stand right behind a number: not if it begins with a digit itself."""
    first = term
    while True:
        if isinstance(first, Number):
            return first.text.startswith("π")
        if isinstance(first, (Fraction, Derivative, Prefix, Cases)) or first == Word("e"):  # 2e might be a float
            return False
        if isinstance(first, Symbol) and len(split_primes(symbol_parts(first.name)[0])[0]) > 1:
            return False
        if isinstance(first, (Power, Indexed)):
            first = first.base
        elif isinstance(first, Infix):
            if first.level != PRODUCT:
                return True  # it will stand in parentheses
            first = first.items[0]
        else:
            return True


def quotient(a: Term, b: Term) -> Term:
    """a over b; the sign of the numerator is drawn in front."""
    if isinstance(a, Prefix) and a.operator == "−":
        return Prefix("−", "-", quotient(a.item, b))
    return Fraction(a, b)


def negated(a: Term) -> Term:
    """−a."""
    if isinstance(a, Prefix) and a.operator == "−":
        return a.item
    return Prefix("−", "-", fit(a, PRODUCT))


_RAISED_NAMES = frozenset(("sin", "cos", "tan", "sinh", "cosh", "tanh", "log"))


def power(base: Term, exponent: Term) -> Term:
    """A power; that of a sine is written sin²(x)."""
    if isinstance(base, Apply) and base.raised is None and base.function in _RAISED_NAMES:
        if isinstance(exponent, Number) and exponent.text.isdigit():
            return Apply(base.function, base.tex, base.arguments, exponent)
        return Power(Fence(base), exponent)
    if isinstance(base, (Power, Root)):
        return Power(Fence(base), exponent)
    return Power(fit(base, POWER), exponent)


def equation(*sides: Term) -> Term:
    """a = b = c."""
    return Infix("=", "=", tuple(sides), RELATION)


def rewritten(term: Term, change: Callable[[Term], Term]) -> Term:
    """The term with `change` applied to every part, innermost first."""
    changes: dict[str, Any] = {}
    for part in fields(term):
        value = getattr(term, part.name)
        if isinstance(value, Term):
            changes[part.name] = rewritten(value, change)
        elif isinstance(value, tuple) and value and isinstance(value[0], Term):
            changes[part.name] = tuple(rewritten(v, change) for v in value)
    return change(replace(term, **changes) if changes else term)


def behind_d(term: Term) -> Term:
    """What stands behind a d, in parentheses where d would not reach all of it."""
    return term if isinstance(term, Derivative) else fit(term, APPLY)
