"""Mathematical notation: one tree of terms, printed as plain text, as styled runs (for pictures), LaTeX and MathML.

Parentheses are decided once, when a term is put into a slot of another (`fit`), so the printers cannot differ in
meaning. How a hop is written stands in its definition (`hopgrad.graph.hop.Notation`); `write` turns that into terms.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval
from hopgrad.graph.hop import Hop
from hopgrad.graph.names import split_name

# How tightly a term holds together, loosest first.
RELATION, SUM, PRODUCT, APPLY, POWER, ATOM = range(6)

# -- terms --------------------------------------------------------------------------------------------------------------


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


# -- building -----------------------------------------------------------------------------------------------------------


def fit(term: Term, strength: int) -> Term:
    """`term`, in parentheses if it holds together less tightly than its slot needs."""
    return term if term.strength >= strength else Fence(term)


def number(value: float, digits: int = 7) -> Term:
    """A number, in at most so many digits; π where it is exactly π.

    >>> [text(number(v)) for v in (2.0, -0.5, 3.141592653589793, 1e-12, 1.1283791670955126)]
    ['2', '−0.5', 'π', '10⁻¹²', '1.128379']
    """
    value = float(value) + 0.0  # a negative zero is shown as 0
    if math.isnan(value):
        return Word("NaN")
    if math.isinf(value):
        return Word("∞") if value > 0 else Prefix("−", "-", Word("∞"))
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
        if _is_plain(a) and _may_follow(b):
            return Infix("", "", (a, fit(b, APPLY) if not isinstance(b, Infix) else _inner(b)), PRODUCT)
        if isinstance(a, Prefix) and a.operator == "−":
            return Prefix("−", "-", product([a.item, b], sign, tex))
        if isinstance(b, Prefix) and b.operator == "−" and not isinstance(b.item, Word):
            return Prefix("−", "-", product([a, b.item], sign, tex))
        factors = (a, b)
    fitted = [fit(f, PRODUCT) if k == 0 or not isinstance(f, Fraction) else f for k, f in enumerate(factors)]
    return Infix(sign, tex, tuple(fitted), PRODUCT)


def _inner(term: Infix) -> Term:
    return (
        term
        if term.level == PRODUCT and term.operator == "" and not _is_plain(term.items[0])
        else Fence(term)
    )


def _is_plain(term: Term) -> bool:
    return isinstance(term, Number) and term.strength == ATOM


def _may_follow(term: Term) -> bool:
    """Whether a term may stand right behind a number: not if it begins with a digit itself."""
    first = term
    while True:
        if isinstance(first, Number):
            return first.text.startswith("π")
        if isinstance(first, (Fraction, Derivative, Prefix, Cases)):
            return False
        if isinstance(first, Symbol) and len(_primes(symbol_parts(first.name)[0])[0]) > 1:
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


# -- hops ---------------------------------------------------------------------------------------------------------------


def write(hop: Hop, arguments: Sequence[Term], params: Mapping[str, Any], avals: Sequence[Aval] = ()) -> Term:
    """How `hop` applied to `arguments` is written. `avals` tells arrays from scalars where that matters."""
    form = _FORMS.get(hop.notation.form)
    if form is None:
        return Apply(hop.name, _upright(hop.name), tuple(arguments))
    return form(hop, tuple(arguments), dict(params), tuple(avals))


def _function(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    order = params.get("order")
    name, tex = hop.notation.symbol, hop.notation.tex
    if order is not None:
        name = name.replace("⁽ⁿ⁾", f"⁽{_to_raised(str(order))}⁾").replace("ₙ", _to_lowered(str(order)))
        tex = tex.replace("(n)", f"({order})").replace("_n", f"_{{{order}}}")
    return Apply(name, tex, args + _axis_words(params, avals))


def _axis_words(params: dict[str, Any], avals: tuple[Aval, ...]) -> tuple[Term, ...]:
    axes = params.get("axes")
    words = []
    if axes is not None and avals and len(axes) != avals[0].ndim:
        words.append(Word("axis " + ", ".join(map(str, axes))))
    if params.get("axis") is not None and avals and avals[0].ndim > 1:
        words.append(Word(f"axis {params['axis']}"))
    if params.get("ddof"):
        words.append(Word(f"ddof {params['ddof']}"))
    return tuple(words)


def _infix(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    a, b = args
    if hop.name == "add":
        return add(a, b)
    if hop.name == "subtract":
        return subtract(a, b)
    if hop.name == "multiply":
        if len(avals) == 2 and all(v.ndim for v in avals):
            led = isinstance(b, Infix) and not b.operator  # 2x holds together
            return product((fit(a, PRODUCT), b if led else fit(b, APPLY)), "⊙", r"\odot", keep=True)
        return product((a, b))
    symbol, tex = hop.notation.symbol, hop.notation.tex
    if "predicate" in hop.traits:
        return Infix(symbol, tex, (fit(a, SUM), fit(b, SUM)), RELATION)
    # As a factor it needs brackets: unlike products, x · (y mod z) cannot be regrouped.
    return Infix(symbol, tex, (fit(a, PRODUCT), fit(b, APPLY)), SUM)


def _prefix(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    if hop.name == "negative":
        return negated(args[0])
    return Prefix(hop.notation.symbol, hop.notation.tex, fit(args[0], APPLY))


def _power(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return power(args[0], args[1] if len(args) == 2 else number(params["exponent"]))


def _fraction(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return quotient(*args)


def _exponential(base: str) -> Callable[..., Term]:
    def form(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
        return Power(Number("2") if base == "2" else Word("e"), args[0])

    return form


def _root(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Root(args[0], hop.notation.tex if hop.notation.tex.isdigit() else "")


_FENCES = {"|": ("|", "|"), "⌊": ("⌊", "⌋"), "⌈": ("⌈", "⌉"), "‖": ("‖", "‖")}


def _fence(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    words = _axis_words(params, avals)
    if words:
        return Apply(hop.name, _upright(hop.name), args + words)
    return Fence(args[0], *_FENCES[hop.notation.symbol])


def _cases(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Cases(*args)


def _same(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return args[0]


def _call(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    words: list[Term] = [*_axis_words(params, avals)]
    if "shape" in params:
        words.append(Word("×".join(map(str, params["shape"])) or "scalar"))
    if "items" in params:
        moved = 2 if hop.name == "put" else 1
        words.append(Word(index_text(params["items"], args[moved:])))
        args = args[:moved]
    return Apply(hop.notation.symbol, _upright(hop.notation.symbol), (*args, *words))


def _transpose(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    axes = params["axes"]
    n = len(axes)
    if n >= 2 and axes == (*range(n - 2), n - 1, n - 2):
        return Indexed(
            fit(args[0], POWER + 1 if isinstance(args[0], (Power, Root)) else POWER), "ᵀ", raised=True
        )
    return Apply("transpose", _upright("transpose"), (*args, Word(", ".join(map(str, axes)))))


def index_text(items: Sequence[Any], arrays: Sequence[Term] = ()) -> str:
    """An index as Python writes it; `arrays` are the terms of index arrays.

    >>> index_text((0, (1, None, None), None))
    '0, 1:, None'
    """

    def one(item: Any) -> str:
        if isinstance(item, tuple) and len(item) == 3:
            start, stop, step = ("" if v is None else str(v) for v in item)
            return f"{start}:{stop}" + (f":{step}" if step not in ("", "1") else "")
        if isinstance(item, tuple):
            return text(arrays[item[0]]) if item[0] < len(arrays) else "…"
        return str(item)

    return ", ".join(map(one, items)) or "…"


def _index(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Indexed(fit(args[0], POWER), f"[{index_text(params['items'], args[1:])}]")


def _big(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    words = _axis_words(params, avals)
    return Apply(hop.notation.symbol, hop.notation.tex, args + words)


def _matrix_product(
    hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]
) -> Term:
    a, b = (fit(args[0], PRODUCT), fit(args[1], APPLY))
    return Infix("@", "", (a if not isinstance(a, Fraction) else Fence(a), b), PRODUCT)


def _einsum(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Apply("einsum", _upright("einsum"), (Word(params["subscripts"]), *args))


_FORMS: dict[str, Callable[..., Term]] = {
    "function": _function, "infix": _infix, "prefix": _prefix, "power": _power, "fraction": _fraction,
    "exp": _exponential("e"), "exp2": _exponential("2"), "root": _root, "fence": _fence, "cases": _cases,
    "convert": _same, "call": _call, "transpose": _transpose, "index": _index, "big": _big,
    "product": _matrix_product, "einsum": _einsum,
}  # fmt: skip


def _upright(name: str) -> str:
    return rf"\operatorname{{{tex_text(name)}}}"


# -- printing: runs and text --------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """A stretch of a label: its text, whether it is a variable (italic), and its height (+1 raised, −1 lowered)."""

    text: str
    italic: bool = False
    rise: int = 0


_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "lam": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ",
    "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ",
    "Omega": "Ω",
}  # fmt: skip
_RAISED = str.maketrans("0123456789+-−()nxi", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿˣⁱ")
_LOWERED = str.maketrans("0123456789+-()", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎")


def _to_raised(plain: str) -> str:
    return plain.translate(_RAISED)


def _to_lowered(plain: str) -> str:
    return plain.translate(_LOWERED)


def runs(term: Term) -> list[Run]:
    """The term on one line, as styled stretches."""
    out: list[Run] = []
    _linear(term, out, 0, True)
    return out


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
    return _GREEK.get(base, base), sub


def _primes(base: str) -> tuple[str, str]:
    """A name and the primes behind it: y′′ is the letter y, twice primed."""
    letters = base.rstrip("′")
    return letters, base[len(letters) :]


def _linear(term: Term, out: list[Run], rise: int, loose: bool) -> None:
    """Append the runs of `term`. `loose`: operators of sums get spaces around them."""

    def put(text: str, italic: bool = False, shift: int = 0) -> None:
        out.append(Run(text, italic, rise + shift))

    match term:
        case Symbol(name, bar):
            base, sub = symbol_parts(name)
            letter, primes = _primes(base)
            if bar:
                base = (
                    f"{letter}\u0304" if len(letter) == 1 else "".join(f"{c}\u0305" for c in letter)
                ) + primes
            put(base, True)
            if sub and rise and sub.isdigit():
                put(_to_lowered(sub))  # lowered inside raised text: the digits' own small forms
            elif sub and rise:
                put(f"_{sub}")
            elif sub:
                put(sub, False, -1)
        case Number(text) | Word(text):
            put(text.replace("-", "−") if isinstance(term, Number) else text)
        case Infix(operator, _, items, level):
            gap = " " if loose and (level <= SUM or operator == "@") or level == RELATION else ""
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
    if isinstance(term, (Apply, Root, Cases)) or (
        isinstance(term, Symbol) and len(_primes(symbol_parts(term.name)[0])[0]) > 1
    ):
        out.append(Run(" ", False, rise))
    _linear(_behind_d(term), out, rise, False)


def _behind_d(term: Term) -> Term:
    return term if isinstance(term, Derivative) else fit(term, APPLY)


# -- printing: LaTeX -------------------------------------------------------------------------------------------------

_TEX_SYMBOLS = {v: f"\\{k}" for k, v in _GREEK.items() if k != "lam"}
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
    base, primes = _primes(base)
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

    >>> print(latex(power(add(Symbol("x"), number(1)), number(2))))
    (x + 1)^{2}
    """
    return _tex(term, room, _DISPLAY)


def latex_rows(term: Term, room: float) -> list[str]:
    r"""The term in rows of at most `room` points each, as far as its operators allow; later rows are indented.

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
            return rf"{_tex(base, room - _span_words(mark, style.raised), style)}_{{{_tex_index(mark[1:-1])}}}"
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
    top = f"{d.strip()}{raised} {_tex(_behind_d(term.top), room - 12, inside)}"
    bottom = f"{d}{_tex(_behind_d(term.bottom), room - 12, inside)}{raised}"
    return f"{top} / {bottom}" if style.flat else rf"\frac{{{top}}}{{{bottom}}}"


def _tex_apply(term: Apply, room: float, style: _Style) -> str:
    name, (arguments, below) = term.tex, _arguments(term)
    name += f"_{{{', '.join(_tex_word(a.text) for a in below)}}}" if below else ""
    if term.raised is not None:
        name += f"^{{{_tex(term.raised, math.inf, style.raised)}}}"
    if room == math.inf or len(arguments) == 1:
        inside = room if room == math.inf else room - _span(term, style) + _span(arguments[0], style.enclosed)
        return name + _tex_fenced(", ".join(_tex(a, inside, style.enclosed) for a in arguments), "(", ")")
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
    return mark if mark.isdigit() else rf"[\mathtt{{{tex_text(mark).replace('$', '')}}}]"


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
        if not c.isascii() and unicodedata.east_asian_width(c) in "WF":
            return 11.0
        return 3.6 if c in _NARROW else 8.9 if c in _WIDE else 7.3 if c.isupper() else 5.3

    return sum(map(one, words)) * style.scale


def _span_operator(tex: str, style: _Style) -> float:
    return _OPERATORS.get(tex, 13.5 if len(tex) < 12 else 26.0) * style.scale


def _span_brackets(inside: float, style: _Style) -> float:
    """Brackets around much are likely to be large."""
    return (8 + min(6.0, inside / 20)) * style.scale


def _span(term: Term, style: _Style) -> float:
    """Estimated width in points."""
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
            widths = [_span(_behind_d(part), inside) + 8 * inside.scale for part in (top, bottom)]
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
            inner = sum(_span(a, style.enclosed) for a in arguments)
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


# -- printing: MathML ------------------------------------------------------------------------------------------------


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
    return _row(_mo(left, form="prefix"), inside, _mo(right, form="postfix"))


def _mml_symbol(name: str, bar: bool) -> str:
    base, sub = symbol_parts(name)
    base, primes = _primes(base)
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
            lower = _mml(_behind_d(bottom))
            lower = f"<msup>{lower}<mn>{order}</mn></msup>" if order > 1 else lower
            return f"<mfrac>{_row(upper, _mml(_behind_d(top)))}{_row(d, lower)}</mfrac>"
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
            return f"<msub>{_mml(base)}<mtext>{_xml(mark[1:-1])}</mtext></msub>"
        case Cases(condition, then, otherwise):
            cell, when = '<mtd style="text-align:left">', _row("<mtext>if\u00a0</mtext>", _mml(condition))
            lines = (
                f"<mtr>{cell}{_mml(then)}</mtd>{cell}{when}</mtd></mtr>"
                f"<mtr>{cell}{_mml(otherwise)}</mtd>{cell}<mtext>otherwise</mtext></mtd></mtr>"
            )
            return _row(_mo("{", form="prefix"), f"<mtable>{lines}</mtable>")
        case _:
            raise TypeError(f"no MathML form for {term!r}")


def _joined(items: Sequence[str], between: str) -> list[str]:
    return [part for k, item in enumerate(items) for part in ((between, item) if k else (item,))]


def value_text(value: Any, digits: int = 6) -> str:
    """A value in short: a number in `digits` digits, an array by its shape and range.

    >>> value_text(0.7780731968879212), value_text(np.array([1.0, 2.0, 4.0]))
    ('0.778073', '[1, 2, 4]')
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
    spread = f"{_short(finite.min(), 3)} … {_short(finite.max(), 3)}" if finite.size else "none finite"
    note = f", {bad} not finite" if bad else ""
    return f"{shape}: {spread}{note}"


def _short(value: Any, digits: int) -> str:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value)).replace("-", "−")
    return text(number(value, digits)).replace(" ", "")
