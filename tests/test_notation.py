"""Formulas: what is printed means what was meant, and nothing in a name can break a printer."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopgrad.hops  # noqa: F401 - fills the catalogue
from hopgrad import notation
from hopgrad.aval import aval
from hopgrad.evaluate import evaluate_all
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.notation import (
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
    latex,
    latex_rows,
    latex_width,
    mathml,
    number,
    rewritten,
    runs,
    symbol_parts,
    symbol_tex,
    tex_text,
    text,
    write,
)
from hopgrad.show.expression import parse

# -- what is printed can be read again -------------------------------------------------------------------------------

UNARY = ["negative", "exp", "exp2", "log", "sqrt", "cbrt", "sin", "cos", "tanh", "absolute", "expit", "log1p", "floor"]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "maximum",
    "minimum",
    "remainder",
    "floor_divide",
    "arctan2",
]
EXPONENTS = [2, 3, -1, 0.5, -2, 1.5, 10]
NUMBERS = [1.0, 2.0, -1.0, 0.5, -3.0, 1e-12, 2.5e20, float(np.pi)]
SPELLED = {"|": "abs", "⌊": "floor", "⌈": "ceil"}
RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿˣⁱ", "0123456789+-()nxi", strict=True))

Tree = tuple[Any, ...]


def trees() -> st.SearchStrategy[Tree]:
    leaves = st.one_of(st.sampled_from([("x",), ("y",), ("beta",)]), st.sampled_from([("number", v) for v in NUMBERS]))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(UNARY), inner),
            st.tuples(st.sampled_from(BINARY), inner, inner),
            st.tuples(st.just("constant_power"), st.sampled_from(EXPONENTS), inner),
        ),
        max_leaves=7,
    )


def built(tree: Tree) -> tuple[Builder, Expr, Term]:
    """The tree as a graph, and as the formula that is written for it."""
    builder = Builder()
    inputs = {name: builder.input(aval((), float), name) for name in ("x", "y", "beta")}

    def build(tree: Tree) -> tuple[Expr, Term]:
        head, *rest = tree
        if head in inputs:
            return inputs[head], Symbol(head)
        if head == "number":
            return builder.constant(rest[0]), number(rest[0], 17)
        params = {"exponent": rest.pop(0)} if head == "constant_power" else {}
        operands = [build(part) for part in rest]
        values, terms = [v for v, _ in operands], [t for _, t in operands]
        return catalogue[head](*values, **params), write(catalogue[head], terms, params, [v.aval for v in values])

    return builder, *build(tree)


def spelled(term: Term) -> Term:
    """Signs that only people read, such as |x| and sin², as functions."""
    match term:
        case Fence(item, left, _) if left in SPELLED:
            return Apply(SPELLED[left], "", (item,))
        case Apply(function, tex, arguments, raised) if raised is not None:
            return Power(Fence(Apply(function, tex, arguments)), raised)
        case Apply("σ", tex, arguments, None):
            return Apply("expit", tex, arguments)
    return term


def readable(printed: str) -> str:
    """Printed text in the spelling that formulas have as input: signs for multiplying, brackets after roots."""
    printed = re.sub(rf"[{''.join(RAISED)}]+", lambda m: f"^({''.join(RAISED[c] for c in m[0])})", printed)
    printed = printed.replace("2π", "(2π)").replace(" mod ", " % ")
    printed = re.sub(r"(?<![\w.])([0-9]+(?:\.[0-9]+)?|π)(?=[A-Za-zα-ω(√∛π])", r"\1*", printed)
    roots = {"√": "sqrt", "∛": "cbrt"}
    while (found := re.search(r"[√∛]", printed)) is not None:
        end = atom_end(printed, found.end())
        inside = printed[found.end() : end]
        printed = f"{printed[: found.start()]}{roots[found[0]]}({inside}){printed[end:]}"
    return printed.replace("β", "beta")


def atom_end(printed: str, start: int) -> int:
    """Where the name, number or bracket that begins at `start` ends."""
    end = re.compile(r"[\w.]*").match(printed, start).end()  # type: ignore[union-attr]
    depth = 0
    while end < len(printed) and (depth or printed[end] == "("):
        depth += {"(": 1, ")": -1}.get(printed[end], 0)
        end += 1
        if not depth:
            break
    return end


@given(trees(), st.floats(0.2, 3.0), st.floats(0.2, 3.0), st.floats(0.2, 3.0))
def test_printed_text_means_the_same(tree: Tree, x: float, y: float, beta: float) -> None:
    builder, result, term = built(tree)
    values = {"x": x, "y": y, "beta": beta}
    printed = readable(text(rewritten(term, spelled)))
    formula = parse(printed)
    with np.errstate(all="ignore"):
        wanted, *near = (
            evaluate_all(builder, [result.id], dict(enumerate(v * scale for v in values.values())))
            for scale in (1.0, 1 + 1e-9, 1 - 1e-9)
        )
        found = formula.evaluate({name: values[name] for name in formula.names})
    # Regrouping a product changes its last digit, which is much beside infinities and on steps.
    assume(all(np.isfinite(v).all() for v in wanted.values()))
    assume(all(np.isclose(v[result.id], wanted[result.id], rtol=1e-6, atol=1e-6) for v in near))
    assert found == pytest.approx(float(wanted[result.id]), rel=1e-5, abs=1e-5), printed


def test_the_reader_of_the_property_test_sees_a_lost_bracket() -> None:
    """The property is worth something only if printing without brackets fails it."""
    wrong = Infix("·", r"\cdot", (Infix("+", "+", (Symbol("x"), Symbol("y")), 1), Symbol("x")), 2)
    assert parse(readable(text(wrong))).evaluate({"x": 2.0, "y": 1.0}) == 4.0  # and not 6


@pytest.mark.parametrize(
    ("term", "printed"),
    [
        (notation.power(Symbol("x"), number(2.5e20)), "x^(2.5·10²⁰)"),
        (notation.power(Symbol("x"), notation.product([Fence(Symbol("a")), Fence(Symbol("b"))])), "x^((a)·(b))"),
        (notation.power(Symbol("x"), notation.product([number(2), Symbol("beta")])), "x^(2β)"),
        (notation.power(Symbol("y"), Symbol("x_in")), "y^x_in"),
        (notation.power(Symbol("y"), Symbol("x_1")), "y^(x₁)"),
        (notation.power(notation.power(Symbol("x"), number(2)), number(3)), "(x²)³"),
    ],
)
def test_exponents_keep_their_brackets(term: Term, printed: str) -> None:
    assert text(term) == printed


def test_a_modulus_is_no_plain_factor() -> None:
    inner = write(catalogue["remainder"], [Symbol("y"), Symbol("z")], {})
    assert text(write(catalogue["multiply"], [Symbol("x"), inner], {})) == "x · (y mod z)"
    assert text(write(catalogue["add"], [inner, Symbol("x")], {})) == "y mod z + x"


# -- names -----------------------------------------------------------------------------------------------------------

HOSTILE = [
    'a"b', "back\\slash", "new\nline", "<b>&amp;</b>", "]]>", "[x](y){z}", "变", "é", "$x$ %", "`tick`", "#35;",
    "a_b_c", "tab\t\x00nul", "}{", "\\end{align*}", "~^", "-->", "a--b", "𝛼", "ą", "it's", "\ud800", "\u202eabc",
    "^^41", "??`", "\u0304", " ", "′", "x′", "β₁", "x²", "d", "e", "π",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("bar", [False, True])
def test_mathml_is_well_formed_whatever_the_names(name: str, bar: bool) -> None:
    symbol = Symbol(name, bar)
    everything: list[Term] = [
        symbol,
        Word(name),
        Apply(name, name, (symbol, Word(name)), symbol),
        Indexed(symbol, f"[{name}]"),
        Derivative(symbol, symbol, True, 2),
        Cases(Infix(name, name, (symbol, symbol), 0), Root(symbol), Fence(Fraction(symbol, symbol), "|", "|")),
        Prefix("−", "-", symbol),
        Number("−1.5"),
    ]
    for term in everything:
        root = ET.fromstring(mathml(term, display=True))
        assert root.tag == "math"
        check_arity(root)


def check_arity(element: ET.Element) -> None:
    """MathML gives a meaning to exactly so many children."""
    wanted = {"mfrac": 2, "msup": 2, "msub": 2, "msubsup": 3, "mover": 2, "mroot": 2}.get(element.tag)
    assert wanted in (None, len(element)), ET.tostring(element)
    for child in element:
        check_arity(child)


@given(trees())
def test_mathml_of_formulas_is_well_formed(tree: Tree) -> None:
    check_arity(ET.fromstring(mathml(built(tree)[2])))


def test_mathml_shows_primes_as_primes() -> None:
    assert mathml(Symbol("y′")) == "<math><msup><mi>y</mi><mo>′</mo></msup></math>"
    assert mathml(Symbol("x_1")) == "<math><msub><mi>x</mi><mn>1</mn></msub></math>"
    assert mathml(Symbol("x_in")) == "<math><msub><mi>x</mi><mi>in</mi></msub></math>"


@pytest.mark.parametrize(
    ("name", "tex"),
    [
        ("x", "x"), ("x_1", "x_{1}"), ("W2", "W_{2}"), ("beta_in", r"\beta_{\mathrm{in}}"), ("x_β", r"x_{\beta}"),
        ("a_b_c", r"\mathit{a\_b\_c}"), ("w-in", r"\textit{w-in}"), ("p['W']", r"\textit{p['W']}"), ("y′′", "y''"),
        ("f(x_1)", r"\textit{f(x\_1)}"), ("{%}", r"\textit{\{\%\}}"), ("变", r"\textit{变}"),
    ],
)  # fmt: skip
def test_names_in_latex(name: str, tex: str) -> None:
    assert symbol_tex(name) == tex


def test_only_plain_names_have_subscripts() -> None:
    assert symbol_parts("x_in") == ("x", "in")
    assert symbol_parts("f(x_in)") == ("f(x_in)", "")
    assert symbol_parts("p[a_b]") == ("p[a_b]", "")


@pytest.mark.parametrize("words", HOSTILE)
def test_words_in_latex_have_no_signs_that_mean_something(words: str) -> None:
    escaped = tex_text(words)
    # What is left when whole commands and formulas are taken away is plain.
    rest = re.sub(r"\\[a-z]+\{\}|-\{\}-|\\[{}%#&_$]|\$[^$]*\$", "", escaped)
    assert not set(rest) & set("\\{}%#&_$^~\n\t\x00"), escaped


@pytest.mark.parametrize(
    ("words", "tex"),
    [
        ("10⁻⁷ and x₁₂", "10$^{-7}$ and x$_{12}$"),
        ("relative difference 8e-13", r"relative difference $8 \cdot 10^{-13}$"),
        ("x1e-5", "x1e-5"),
        ("a → b −∞", r"a $\to$ b $-\infty$"),
        ("A₁ᵀ²", r"A$_{1}$$^\top$$^{2}$"),
        ("ij,jk->ik", r"ij,jk$\to$ik"),
        ("--", "-{}-"),
    ],
)
def test_words_in_latex(words: str, tex: str) -> None:
    assert tex_text(words) == tex


# -- LaTeX -----------------------------------------------------------------------------------------------------------

x, y, z = map(Symbol, "xyz")
half: Callable[[Term], Term] = lambda term: Fraction(term, Number("2"))  # noqa: E731


@pytest.mark.parametrize(
    ("term", "tex"),
    [
        (half(x), r"\frac{x}{2}"),
        (half(half(x)), r"\frac{x / 2}{2}"),
        (half(notation.add(x, half(y))), r"\frac{x + \frac{y}{2}}{2}"),
        (half(notation.add(x, half(notation.add(y, half(z))))), r"\dfrac{x + \dfrac{y + \dfrac{z}{2}}{2}}{2}"),
        (half(Fence(half(x))), r"\frac{(x / 2)}{2}"),
        (Derivative(half(x), x), r"\frac{\mathrm{d} (x / 2)}{\mathrm{d}x}"),
        (Derivative(y, x, True, 2), r"\frac{\partial^{2} y}{\partial x^{2}}"),
        (Power(Word("e"), half(x)), r"\mathrm{e}^{x / 2}"),
        (Power(Word("e"), Cases(x, y, z)), None),
        (Apply("Σ", r"\sum", (x, Word("axis 0"))), r"\sum_{\text{axis 0}}(x)"),
        (Apply("sin", r"\sin", (half(x),), Number("2")), r"\sin^{2}\left(\frac{x}{2}\right)"),
        (Indexed(x, "[0]"), "x_{[0]}"),
        (Indexed(x, "[1:, None]"), r"x_{[\mathtt{1:, None}]}"),
        (Indexed(x, "ᵀ", True), r"x^{\top}"),
        (Fence(x, "‖", "‖"), r"\|x\|"),
        (Cases(x, half(y), z), r"\begin{cases} \dfrac{y}{2} & \text{if } x \\[1ex] z & \text{otherwise} \end{cases}"),
    ],
)
def test_latex(term: Term, tex: str | None) -> None:
    if tex is None:
        assert latex(term).startswith(r"\exp\left(")
    else:
        assert latex(term) == tex


@given(trees(), st.floats(40, 400))
def test_rows_of_latex_have_the_same_signs(tree: Tree, room: float) -> None:
    term = built(tree)[2]
    rows = latex_rows(term, room)
    assert rows == [latex(term)] or latex_width(term) > max(room, 60)
    for row in (*rows, latex(term, room)):
        assert row.count("{") == row.count("}")
        assert row.count(r"\left") == row.count(r"\right")
        assert row.count(r"\begin") == row.count(r"\end")
    letters = re.findall("[a-z]+|[0-9]", plain(latex(term)))
    assert re.findall("[a-z]+|[0-9]", plain(" ".join(rows))) == letters


def plain(tex: str) -> str:
    """Without what only says how a formula is set."""
    return re.sub(r"\\(begin|end)\{aligned\}|\\(left|right|qquad|quad|dfrac|frac)|[{}/&\\ ]", " ", tex)


def test_long_sums_are_broken_at_their_signs() -> None:
    long = notation.total([Symbol(f"x_{k}") for k in range(60)])
    rows = latex_rows(long, 200)
    assert len(rows) > 5
    assert rows[0].startswith("x_{0} + x_{1}")
    assert all(row.startswith(r"\quad + ") for row in rows[1:])


def test_very_deep_formulas_are_printed() -> None:
    deep: Term = x
    for _ in range(180):
        deep = Apply("sin", r"\sin", (deep,))
    for printed in (text(deep), latex(deep), latex(deep, 300), mathml(deep), str(runs(deep))):
        assert printed.count("sin") == 180
