"""How hops are written: the printing rules that the forms in their definitions name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hopgrad.aval import Aval, Several
from hopgrad.graph.hop import Hop
from hopgrad.notation.latex import tex_text
from hopgrad.notation.terms import (
    APPLY,
    POWER,
    PRODUCT,
    RELATION,
    SUM,
    Apply,
    Cases,
    Fence,
    Fraction,
    Indexed,
    Infix,
    Number,
    Power,
    Prefix,
    Root,
    Term,
    Word,
    add,
    fit,
    negated,
    number,
    power,
    product,
    quotient,
    subtract,
)
from hopgrad.notation.text import text, to_lowered, to_raised


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
        name = name.replace("⁽ⁿ⁾", f"⁽{to_raised(str(order))}⁾").replace("ₙ", to_lowered(str(order)))
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
        return Indexed(fit(args[0], POWER + 1 if isinstance(args[0], (Power, Root)) else POWER), "ᵀ", raised=True)
    return Apply("transpose", _upright("transpose"), (*args, Word(", ".join(map(str, axes)))))


def _inverse(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Power(_raisable(args[0]), Number("−1"))


def _raisable(base: Term) -> Term:
    """In brackets if there is something above it already."""
    return fit(base, POWER + 1) if isinstance(base, (Power, Root, Indexed)) else base


def _pseudoinverse(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Power(_raisable(args[0]), Word("+"))


def _solve(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Infix("@", "", (Power(_raisable(args[0]), Number("−1")), fit(args[1], APPLY)), PRODUCT)


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


def _matrix_product(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    a, b = (fit(args[0], PRODUCT), fit(args[1], APPLY))
    return Infix("@", "", (a if not isinstance(a, Fraction) else Fence(a), b), PRODUCT)


def _einsum(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Apply("einsum", _upright("einsum"), (Word(params["subscripts"]), *args))


def _loop(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    return Apply(hop.notation.symbol, _upright(hop.notation.symbol), args)


def _titled(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    """A function of the user's, by its own name."""
    owner = params["rule"] if "rule" in params else params["box"]
    chosen = hop.told(tuple(sorted(params.items())), len(args))
    return Apply(owner.title, _upright(owner.title), tuple(args[k] for k in chosen))


def _item(hop: Hop, args: tuple[Term, ...], params: dict[str, Any], avals: tuple[Aval, ...]) -> Term:
    if avals and isinstance(avals[0], Several) and len(avals[0].avals) == 1:
        return args[0]
    whole = args[0] if isinstance(args[0], Apply) else fit(args[0], POWER)
    return Indexed(whole, f"[{params['index']}]")


_FORMS: dict[str, Callable[..., Term]] = {
    "function": _function, "infix": _infix, "prefix": _prefix, "power": _power, "fraction": _fraction,
    "exp": _exponential("e"), "exp2": _exponential("2"), "root": _root, "fence": _fence, "cases": _cases,
    "convert": _same, "call": _call, "transpose": _transpose, "index": _index, "big": _big,
    "inverse": _inverse, "pseudoinverse": _pseudoinverse, "solve": _solve,
    "product": _matrix_product, "einsum": _einsum, "loop": _loop, "item": _item, "titled": _titled,
}  # fmt: skip


def _upright(name: str) -> str:
    return rf"\operatorname{{{tex_text(name)}}}"
