"""Stories as text, LaTeX and Markdown: compared with golden files, and compiled by a real LaTeX.

``HOPGRAD_UPDATE_GOLDEN=1`` writes the golden files anew; look at what changed before you keep it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY

import hopgrad as hg
from hopgrad.notation import Symbol, equation, latex, latex_width, number, total
from hopgrad.show.render import as_latex, as_markdown, portable, tex_value
from hopgrad.show.story import Line, Section

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("HOPGRAD_UPDATE_GOLDEN") == "1"

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed: no LaTeX was compiled"
)

Make = Callable[[], Any]


def net(W1: Any, b1: Any, W2: Any, b2: Any, x: Any, t: Any) -> Any:
    hidden = np.tanh(x @ W1 + b1)
    y = hidden @ W2 + b2
    return np.mean((y - t) ** 2)


def ramp(*shape: int) -> Any:
    return np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


NET = (ramp(3, 4), ramp(4), ramp(4, 2), ramp(2), ramp(5, 3), ramp(5, 2))


def doubled(x: Any) -> Any:
    for _ in range(50):
        x = x + x
    return x


def formula(words: str, order: int = 1, **values: float) -> Make:
    return lambda: hg.explain(words, order=order, **values)


def function(f: Callable[..., Any], *args: Any) -> Make:
    return lambda: hg.explain(f)(*args)


# -- golden files ----------------------------------------------------------------------------------------------------

STORIES: dict[str, Make] = {
    "chain": formula("sin((x+1)**2)", x=0.5),
    "product": formula("x*sin(x)/sqrt(x)", x=2.0),
    "two_variables": formula("x^2*y + sin(x*y)", x=1.5, y=-0.7),
    "net": function(net, *NET),
    "doubled": function(doubled, 0.25),
    "infinite": formula("sqrt(x)**2 + log(x)", x=0.0),
    "branches": GALLERY["branches"],
}


def machine_independent(words: str) -> str:
    """Without the digits in which machines differ, and without numbers of lines."""
    words = re.sub(r"\bline [0-9]+", "line N", words)
    words = re.sub(r"(relative difference )\S+( \\cdot 10\^\{-?\d+\}\$)?", r"\1tiny", words)
    return re.sub(r"[0-9]+\.[0-9]{5,}", lambda m: f"{float(m[0]):.5g}", words)


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("form", ["txt", "tex"])
def test_the_story_is_as_before(name: str, form: str) -> None:
    explanation = STORIES[name]()
    found = machine_independent(explanation.text() if form == "txt" else explanation.latex())
    golden = GOLDEN / f"{name}.{form}"
    if UPDATE:
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8"), (
        f"{golden.name} differs: if the new story is right, set HOPGRAD_UPDATE_GOLDEN=1 and run this test again"
    )


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.iterdir() if path.suffix in (".txt", ".tex")} == STORIES.keys()


# -- compiled --------------------------------------------------------------------------------------------------------


def layers(x: Any, w_in: Any, w_out: Any, alpha_1: Any) -> Any:
    hidden_state = np.tanh(w_in * x + alpha_1)
    return 1 / (1 + np.exp(-w_out * hidden_state))


def contracted(A: Any, B: Any, v: Any) -> Any:
    return np.sum(np.einsum("ij,jk,k->i", A, B, v) ** 2)


def indexed(x: Any) -> Any:
    return x[0] * x[-1] + np.sum(x[1:3] ** 2) - np.max(x[::2])


def normed(x: Any, A: Any) -> Any:
    return np.linalg.norm(A.T @ x - 1) + np.sum(np.abs(x))


def softmax_loss(logits: Any, targets: Any) -> Any:
    p = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    p = p / np.sum(p, axis=1, keepdims=True)
    return -np.mean(np.sum(targets * np.log(p), axis=1))


def long_product(x: Any) -> Any:
    y = x
    for k in range(8):
        y = y * np.sin(x + k)
    return y


def newton(x: Any) -> Any:
    y = x
    for _ in range(3):
        y = (y + 2 / y) / 2
    return y


def branching(x: Any, scale: Any) -> Any:
    total = x[0] * int(scale)
    if np.sum(np.sin(x) * np.cos(x) / (1 + x * x)) + np.sum(np.exp(-x) * np.tanh(x)) > -100.5 * scale - np.max(x):
        total = total * 2
    for v in x:
        if abs(v * v * v - np.sin(v) * np.cos(v) + np.exp(-v)) > 1e-3 * abs(v) and v < scale:
            total = total + v
    return total if np.all(x > 0) and total > 0 else scale


def with_names(p: dict[str, Any]) -> Any:
    result = 1.0
    for value in p.values():
        result = np.sin(value) + result
    return result


NAMES = ["a_b", "$x$", "{", "}", "%", "变量", "é", "ж", "\\", "^^41", "#&~", "<|>", "long name of a value " * 2, "𝛼"]

COMPILED: dict[str, Make] = {
    **STORIES,
    "paths": formula("(x*sin(x) + x^2)*exp(x)/(1+x)", x=0.7),
    "cases": formula("where(x > 0, where(x<1, sin(x)^2, log(x)), x^2)", x=0.7),
    "powers": formula("sin(x)^3*cos(x)^2 + tanh(x)^2/sin(x)^0.5", x=0.7),
    "fractions": formula("1/(1+1/(1+1/(1+x/(2+x))))", x=0.7),
    "greek": formula(
        "alpha_1*exp(-beta*(x_in-mu)^2/(2*sigma^2))", alpha_1=1.5, beta=2.0, x_in=0.3, mu=0.1, sigma=0.9
    ),
    "special": formula("gammaln(x)*digamma(x)+erf(x)+log1p(x)+log2(x)+cbrt(x)+abs(x)+floor(x)", x=1.3),
    "large numbers": formula("1e20*x + 1e-12*x^2 - 2.5e8", x=1e10),
    "modulus": formula("x % 3 + max(x, y, 2) + hypot(x,y) + arctan2(y, x)", x=4.5, y=1.0),
    "second order": formula("x^3*sin(x)", order=2, x=0.7),
    "third order": formula("exp(-x^2)", order=3, x=0.7),
    "layers": function(layers, 0.3, 0.4, 0.5, 0.6),
    "einsum": function(contracted, ramp(3, 4), ramp(4, 2), ramp(2)),
    "index": function(indexed, ramp(5)),
    "norm": function(normed, ramp(3), ramp(3, 4)),
    "softmax": function(softmax_loss, ramp(4, 3), np.eye(3)[[0, 1, 2, 0]]),
    "long product": function(long_product, 0.3),
    "newton": function(newton, 1.3),
    "boundary": GALLERY["boundary"],
    "until": GALLERY["until"],
    "branching": function(branching, ramp(4) + 2.0, 3.5),
    "names": lambda: hg.explain(with_names)({name: 0.1 * k for k, name in enumerate(NAMES)}),
}  # fmt: skip


def compiled(document: str, folder: Path) -> str:
    """The log of pdflatex, which must have succeeded."""
    (folder / "story.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "story.tex"],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-3000:]
    return log


@needs_latex
@pytest.mark.parametrize("name", COMPILED)
def test_latex_compiles_and_fits_the_page(name: str, tmp_path: Path) -> None:
    log = compiled(COMPILED[name]().latex(standalone=True), tmp_path)
    assert "Missing character" not in log
    assert "invalid in math mode" not in log
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([0-9.]+)pt", log)]
    assert max(wide, default=0) < 5, wide


@needs_latex
def test_latex_without_a_preamble_needs_amsmath_only(tmp_path: Path) -> None:
    body = STORIES["net"]().latex()
    assert r"\documentclass" not in body
    compiled(
        "\n".join([r"\documentclass{article}\usepackage{amsmath}\begin{document}", body, r"\end{document}"]), tmp_path
    )


@needs_latex
def test_widths_are_estimated_well(tmp_path: Path) -> None:
    """Within a fifth, and rather too wide than too narrow, for what is broken by them."""
    stories = [make().sections for name, make in COMPILED.items() if name != "names"]
    formulas = [line.formula for sections in stories for section in sections for line in section.lines]
    terms = [term for term in formulas if term is not None and term.size < 250][:1500]
    boxes = [rf"\setbox0\hbox{{$\displaystyle {portable(latex(term))}$}}\typeout{{W\the\wd0}}" for term in terms]
    preamble = r"\documentclass{article}\usepackage{amsmath,amssymb}\usepackage[T1]{fontenc}\begin{document}"
    log = compiled("\n".join([preamble, *boxes, r"x\end{document}"]), tmp_path)
    widths = [float(points) for points in re.findall(r"^W([0-9.]+)pt", log, re.M)]
    assert len(widths) == len(terms)
    ratios = [latex_width(term) / width for term, width in zip(terms, widths, strict=True) if width > 100]
    assert np.quantile(ratios, 0.01) > 0.93
    assert np.quantile(ratios, 0.5) < 1.15
    assert max(ratios) < 1.4


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "tex"),
    [
        ("0.5", "0.5"),
        ("−1.5·10⁻⁷", r"{-}1.5 \cdot 10^{-7}"),
        ("∞", r"\infty"),
        ("[1, −2, 4]", "[1, {-}2, 4]"),
        ("3×4: −1.27 … 1.3", r"3{\times}4{:}\; {-}1.27 \;\dots\; 1.3"),
        ("NaN", r"\text{NaN}"),
        ("True", r"\text{True}"),
        ("0×3 (empty)", r"\text{0$\times$3 (empty)}"),
    ],
)
def test_values_in_latex(value: str, tex: str) -> None:
    assert tex_value(value) == tex


def test_foreign_characters_only_where_they_can_be_set() -> None:
    assert portable("naïve") == "naïve"
    assert portable("变") == r"{\ifdefined\Umathchar 变\else\texttt{U+53D8}\fi}"
    assert r"\DeclareUnicodeCharacter{53D8}" in as_latex("变", [], standalone=True)


def test_sides_are_aligned_and_remarks_stand_in_a_column() -> None:
    lines = [
        Line(equation(Symbol("x"), number(1)), note="one"),
        Line(equation(Symbol("y"), Symbol("x"), number(1)), value="1"),
        Line(Symbol("z"), value="2", note="two"),
    ]
    body = as_latex("", [Section("key", "Title", lines)])
    assert body == (
        "\\paragraph{Title.}\n\\begin{alignat*}{2}\n"
        "x & = 1 &\\qquad& \\text{one} \\\\\ny & = x = 1 = 1 \\\\\nz & = 2 &\\qquad& \\text{two}\n"
        "\\end{alignat*}\n"
    )


def test_long_formulas_are_broken_and_long_remarks_get_rows_of_their_own() -> None:
    long = total([Symbol(f"x_{k}") for k in range(60)])
    body = as_latex("", [Section("key", "Title", [Line(equation(Symbol("y"), long), value="1", note="remark " * 20)])])
    rows = body.splitlines()[2:-1]
    assert rows[0].startswith("y & = x_{0} + x_{1}")
    assert all(row.startswith(r"& \quad + x") for row in rows[1:3])
    assert any(row.endswith("= 1 \\\\") for row in rows)
    assert rows[-1].startswith(r"& \quad \rlap{\text{remark")


def test_what_is_left_out_stands_where_it_was() -> None:
    lines = [Line(Symbol("x"), value="1"), Line(prose="… 5 more …"), Line(Symbol("y"), value="2")]
    rows = as_latex("", [Section("key", "Title", lines)]).splitlines()
    assert rows[3] == r"& \text{\dots{} 5 more \dots{}} \\"


def test_huge_stories_are_set_in_portions() -> None:
    lines = [Line(equation(Symbol("y"), total([Symbol(f"x_{k}")] * 300))) for k in range(20)]
    body = as_latex("", [Section("key", "Title", lines)])
    portions = body.split(r"\begin{alignat*}{2}")[1:]
    assert len(portions) > 1
    assert all(len(portion) < 25_000 for portion in portions)
    assert any(portion.startswith("\n\\hphantom{y} &") for portion in portions)


def test_markdown_leaves_names_as_they_are() -> None:
    line = Line(Symbol("a_b"), value="1", note="see *this* _and_ <that> $5 [x](y) `code` a|b")
    words = as_markdown("f(*a*, <b>)", [Section("key", "Steps # 1", [line, Line(), Line(prose="a_b")])])
    assert words == (
        "# f(\\*a\\*, \\<b\\>)\n\n## Steps \\# 1\n\n"
        r"- $a_{b} = 1$ — see \*this\* \_and\_ \<that\> \$5 \[x\](y) \`code\` a\|b"
        "\n- …\n- a\\_b\n"
    )
