"""Pictures for Graphviz, TikZ and Mermaid: complete, telling kinds apart, and safe whatever the names are."""

import linecache
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY

import hopgrad as hg
from hopgrad.show import export

HOSTILE = [
    'a"b', "back\\slash", "new\nline", "<b>&amp;</b>", "]]>", "[x](y){z}", "变量", "é", "$x$ %", "`tick`", "#35;",
    '"]; evil --> n2', "}\\end{tikzpicture}", "~^", "%% comment", "𝛼", "ą", "\\input{x}", "a--b", "it's", "\ud800x",
    "\u202eabc", "end", "1. list", "^^41", "??`", "tab\t\x00nul", "\\N", "subgraph", "click n1 href", "|pipe|",
]  # fmt: skip


def missing(program: str) -> bool:
    return shutil.which(program) is None


needs_dot = pytest.mark.skipif(missing("dot"), reason="Graphviz is not installed: its reading of DOT was not tested")
needs_latex = pytest.mark.skipif(missing("pdflatex"), reason="pdflatex is not installed: no TikZ picture was compiled")


def net(W: Any, b: Any, x: Any) -> Any:
    return np.sum(np.tanh(x @ W + b) * np.arange(2.0))


@pytest.fixture
def scalar() -> Any:
    return hg.explain("where(x > y, sin((x+1)^2)*y, x/y)", wrt="x", x=1.5, y=0.5)


@pytest.fixture
def arrays() -> Any:
    return hg.explain(net, wrt=["W", "b"])(np.ones((3, 2)), np.zeros(2), np.ones((4, 3)))


@pytest.fixture
def hostile() -> Any:
    def f(p: dict[str, Any]) -> Any:
        total = 1.0
        for k, name in enumerate(p):
            total = total * np.sin(p[name]) if k % 2 else total + p[name]
        return total

    return hg.explain(f)({name: 0.5 + k for k, name in enumerate(HOSTILE)})


def both(explanation: Any) -> list[str]:
    return [explanation.dot(), explanation.mermaid()]


# -- what they show --------------------------------------------------------------------------------------------------


def test_dot_in_full() -> None:
    assert hg.explain("sin((x+1)^2)", x=0.5).dot() == (
        "digraph {\n"
        "  rankdir=LR\n"
        "  node [fontname=serif]\n"
        "  edge [fontname=serif, fontsize=11]\n"
        '  n0 [label="x\\n0.5", shape=ellipse]\n'
        '  n2 [label="z = x + 1\\n1.5", shape=box]\n'
        '  n3 [label="h = z²\\n2.25", shape=box]\n'
        '  n4 [label="y = sin(h)\\n0.778073", shape=box, peripheries=2]\n'
        '  n0 -> n2 [label="dz/dx = 1"]\n'
        '  n2 -> n3 [label="dh/dz = 2z\\n= 3"]\n'
        '  n3 -> n4 [label="dy/dh = cos(h)\\n= −0.628174"]\n'
        "}\n"
    )


def test_mermaid_in_full() -> None:
    assert hg.explain("sin((x+1)^2)", x=0.5).mermaid() == (
        "flowchart LR\n"
        '  n0(["x<br/>0.5"])\n'
        '  n2["z = x + 1<br/>1.5"]\n'
        '  n3["h = z²<br/>2.25"]\n'
        '  n4[["y = sin(h)<br/>0.778073"]]\n'
        '  n0 -->|"dz/dx = 1"| n2\n'
        '  n2 -->|"dh/dz = 2z<br/>= 3"| n3\n'
        '  n3 -->|"dy/dh = cos(h)<br/>= −0.628174"| n4\n'
    )


def test_every_value_and_every_use_is_there(scalar: Any, arrays: Any) -> None:
    for explanation in (scalar, arrays):
        analysis = explanation._analysis
        for words in both(explanation):
            for node in analysis.nodes:
                assert re.search(rf"^  n{node}\W", words, re.M)
            for edge in analysis.edges:
                assert re.search(rf"^  n{edge.source} -.*\bn{edge.target}\b", words, re.M)


def test_edges_without_gradient_are_told_apart(scalar: Any) -> None:
    active = len(scalar._analysis.active_edges)
    idle = len(scalar._analysis.edges) - active
    assert idle > 0
    assert scalar.dot().count("style=dashed, arrowhead=empty") == scalar.mermaid().count("-.->") == idle
    assert scalar.mermaid().count("-->|") == active
    assert scalar.tikz().count("->, dashed") == idle


def test_kinds_of_values_are_told_apart(arrays: Any) -> None:
    kinds = {
        "dot": ["shape=ellipse]", "shape=ellipse, style=dashed", "shape=note", "shape=box]", "peripheries=2"],
        "mermaid": ['(["', "class n", '[/"', '["', '[["'],
        "tikz": [r"\node[hop input,", r"\node[hop given,", r"\node[hop constant,", r"\node[hop value,", "hop result,"],
    }
    for form, marks in kinds.items():
        words = arrays.render(form)
        for mark in marks:
            assert mark in words, (form, mark)


def test_arrays_show_what_flows_back(arrays: Any) -> None:
    for words in both(arrays):
        assert "xᵀ @ " in words
        assert "(1−" in words  # tanh: 1 − h²
    assert r"x^{\top}" in arrays.tikz()


def test_long_formulas_are_shortened() -> None:
    explanation = hg.explain(lambda x: np.sum(np.concatenate([x] * 60)))(np.ones(2))
    for words in both(explanation):
        assert "concatenate(…)" in words
    assert r"\operatorname{concatenate}(\dots)" in explanation.tikz()


def test_infinite_and_missing_numbers() -> None:
    explanation = hg.explain("sqrt(x)^2 + log(x)", x=0.0)
    assert "= ∞" in explanation.dot()
    assert "-∞" not in explanation.dot()
    assert r"= \infty" in explanation.tikz()


@pytest.fixture
def branches() -> Any:
    return GALLERY["branches"]()


def test_the_branches_it_holds_for_are_told(branches: Any) -> None:
    assert '  label="This gradient holds while x > 0 and z ≤ 3"\n' in branches.dot()
    assert '  holds["This gradient holds while x #62; 0 and z ≤ 3"]\n' in branches.mermaid()
    assert r"{This gradient holds while $x > 0$ \\[2pt] and $z \leq 3$};" in branches.tikz()
    words = GALLERY["boundary"]().dot()
    assert "while x ≤ 0 (at the boundary: the derivative may jump here)" in words


def test_no_code_breaks_a_caption() -> None:
    space: dict[str, Any] = {}
    code = """def f(x):\n    while x < (5 + 0 * len('"];}<b>%\\\\|`')):\n        x = x * 1.5\n    return x\n"""
    linecache.cache["<hostile>"] = (len(code), None, code.splitlines(True), "<hostile>")
    exec(compile(code, "<hostile>", "exec"), space)
    explanation = hg.explain(space["f"])(1.0)
    assert "true 4 times, then false" in explanation.dot()
    label = next(line for line in explanation.dot().splitlines() if line.startswith("  label"))
    assert re.fullmatch(r'  label="(?:[^"\\]|\\.)*"', label)
    caption = next(line for line in explanation.mermaid().splitlines() if line.startswith("  holds"))
    assert re.fullmatch(r"""  holds\["(?:[^"#&<>;`*_~$|{}\[\]\\\n-]|#\d+;)*"\]""", caption)
    assert explanation.tikz().count(r"\end{") == 1
    assert "<b>" not in explanation.html()


# -- hostile names ---------------------------------------------------------------------------------------------------


def test_no_name_breaks_a_line_of_dot(hostile: Any) -> None:
    string = r'"(?:[^"\\\n]|\\.)*"'
    line = rf"  n\d+( -> n\d+)? \[(label={string}(, )?)?((shape|style|peripheries|arrowhead)=\w+(, )?)*\]"
    head, *lines, tail = hostile.dot().splitlines()
    assert (head, tail) == ("digraph {", "}")
    for words in lines[3:]:
        assert re.fullmatch(line, words), words


def test_no_name_breaks_a_line_of_mermaid(hostile: Any) -> None:
    plain = r'''"(?:[^"#&<>;`*_~$|{}\[\]\\\n-]|#\d+;|<br/>)*"'''
    node = rf"  n\d+(\(\[{plain}\]\)|\[\[{plain}\]\]|\[{plain}\])"
    for words in hostile.mermaid().splitlines()[1:]:
        assert re.fullmatch(rf"{node}|  n\d+ (-\.->|-->\|{plain}\|) n\d+", words), words


def test_no_name_ends_the_tikzpicture(hostile: Any) -> None:
    words = hostile.tikz()
    assert words.count(r"\end{") == words.count(r"\begin{")
    assert r"\input" not in words
    assert words.isprintable() or {c for c in words if not c.isprintable()} == {"\n"}
    for line in words.splitlines()[8:-1]:
        assert re.match(r"\\(draw|node)\[", line)
        assert line.endswith(";")


@needs_dot
@pytest.mark.parametrize("which", ["scalar", "arrays", "hostile", "branches"])
def test_graphviz_reads_it(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    explanation = request.getfixturevalue(which)
    done = subprocess.run(
        ["dot", "-Tsvg"], input=explanation.dot().encode("utf-8", "replace"), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    svg = done.stdout.decode()
    assert svg.count('class="node"') == len(explanation._analysis.nodes)
    assert svg.count('class="edge"') == len(explanation._analysis.edges)
    if which == "hostile":
        assert "p[&lt;b&gt;&amp;amp;&lt;/b&gt;]" in svg
        assert "p[back\\slash]" in svg


@needs_latex
@pytest.mark.parametrize("which", ["scalar", "arrays", "hostile", "branches", "large"])
def test_latex_compiles_the_tikzpicture(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if which == "large":
        explanation = hg.explain(lambda x: sum(np.sin(x * k) for k in range(200)))(0.5)
    else:
        explanation = request.getfixturevalue(which)
    document = "\n".join([
        r"\documentclass{article}",
        r"\usepackage{amsmath,amssymb}",
        r"\usepackage{tikz}",
        r"\begin{document}",
        explanation.tikz() + r"\end{document}",
    ])  # fmt: skip
    (tmp_path / "picture.tex").write_text(document, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "picture.tex"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


# -- large graphs ----------------------------------------------------------------------------------------------------


def chain(x: Any, hops: int) -> Any:
    for _ in range(hops // 2):
        x = np.sin(x) * 1.01
    return x


def test_large_graphs_take_linear_time() -> None:
    seconds = []
    for hops in (1000, 10_000):
        explanation = hg.explain(chain, wrt="x")(0.5, hops)
        start = time.perf_counter()
        words = [explanation.dot(), explanation.mermaid(), explanation.tikz()]
        seconds.append(time.perf_counter() - start)
    assert words[0].count("label=") == 2 * hops + 1
    assert seconds[1] < 40 * max(seconds[0], 0.05)
    assert seconds[1] < 30


def test_a_large_tikzpicture_shows_the_ends() -> None:
    explanation = hg.explain(chain, wrt="x")(0.5, 1000)
    words = explanation.tikz()
    nodes = words.count(r"\node[hop value") + words.count(r"\node[hop input")
    assert nodes == export.MAX_DRAWN
    assert "801 more" in words
    assert max(float(n) for n in re.findall(r"\(([0-9.]+),", words) + re.findall(r",([0-9.]+)\)", words)) < 16383


def test_the_gap_of_a_large_tikzpicture_is_joined_to_both_ends() -> None:
    """A value in front of the gap that many hidden ones use has one edge into it, drawn as active."""
    explanation = hg.explain(lambda x: sum(np.sin(x * k) for k in range(300)))(0.5)
    words = explanation.tikz()
    assert words.count(r"\draw") < 1000
    assert "->, dashed" not in words
