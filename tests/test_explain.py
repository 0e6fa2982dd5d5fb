"""The story: its order, its wording, its numbers, and what it does with large, broken and odd functions."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY, branches, chain, doubled, until
from hypothesis import given, settings
from hypothesis import strategies as st

import hopgrad as hg
from hopgrad.notation import text
from hopgrad.show.explanation import Explanation
from hopgrad.show.guards import _mask_text
from hopgrad.show.schema import from_json
from hopgrad.trace.tracer import settled


def lines(story: Explanation, key: str) -> list[str]:
    """The formulas and sentences of one section."""
    (section,) = [s for s in story.sections if s.key == key]
    return [text(line.formula) if line.formula is not None else line.prose for line in section.lines]


def test_the_story_of_the_first_function() -> None:
    story = hg.explain(chain)(0.5)
    assert [s.key for s in story.sections] == ["steps", "chain", "spelled", "parts", "whole", "adjoints", "cost"]
    assert lines(story, "steps") == ["x", "z = x + 1", "h = z² = (x+1)²", "y = sin(h) = sin((x+1)²)"]
    assert lines(story, "chain") == ["dy/dx = dy/dh · dh/dz · dz/dx"]
    assert lines(story, "spelled") == ["dy/dx = d sin((x+1)²)/d(x+1)² · d(x+1)²/d(x+1) · d(x+1)/dx"]
    assert lines(story, "parts") == ["dy/dh = cos(h)", "dh/dz = 2z", "dz/dx = 1"]
    assert lines(story, "whole")[:2] == ["dy/dx = cos((x+1)²) · 2(x+1) · 1", "dy/dx = 2(x+1) · cos((x+1)²)"]
    (parts,) = [s for s in story.sections if s.key == "parts"]
    assert [(line.note, line.value) for line in parts.lines] == [
        ("sine", "−0.628174"), ("power rule", "3"), ("sum rule", ""),
    ]  # fmt: skip
    (whole,) = [s for s in story.sections if s.key == "whole"]
    assert whole.lines[-1].value == "−1.884520868"
    assert whole.lines[-1].note.startswith("finite differences −1.88452086")


def test_a_formula_and_a_function_tell_the_same_story() -> None:
    formula = hg.explain("z = x + 1; h = z^2; sin(h)", x=0.5)
    assert [lines(formula, s.key) for s in formula.sections] == [
        lines(hg.explain(chain)(0.5), s.key) for s in formula.sections
    ]
    assert lines(hg.explain(lambda x: np.sin((x + 1) ** 2))(0.5), "steps") == lines(formula, "steps")


def test_several_paths_are_summed() -> None:
    story = hg.explain("z = sin(x); x*z", x=2.0)
    assert lines(story, "chain") == ["dy/dx = ∂y/∂x + ∂y/∂z · dz/dx"]
    assert lines(story, "adjoints")[-1].startswith("x\u0304 = y\u0304 · z + z\u0304 · cos(x) = 1 · 0.909297")


def test_partial_derivatives_where_there_are_several_inputs() -> None:
    story = hg.explain("x*y", x=2, y=3)
    assert lines(story, "parts") == ["∂y₁/∂x = y", "∂y₁/∂y = x"]
    # ∂f/∂x as a whole and by the last hop alone must not look the same.
    story = hg.explain("E - e*sin(E)", E=0.7, e=0.3)
    assert lines(story, "chain")[0] == "∂y/∂E = ∂(E−h)/∂E + ∂y/∂h · ∂h/∂z · ∂z/∂E"


def test_two_to_the_fifty_paths() -> None:
    story = hg.explain(doubled)(1.0)
    assert story.gradient == 2.0**50
    assert lines(story, "cost") == [
        "paths from the result to the inputs: 1,125,899,906,842,624",
        "multiplications for the sum over all paths: 56,294,995,342,131,200",
        "multiplications done, one for each edge: 100",
    ]
    assert "x + x + x + x" in story.text()
    assert len(story.text()) < 40_000


def test_matrix_pullbacks() -> None:
    story = hg.explain(lambda A, B: (A @ B).sum())(np.ones((2, 3)), np.ones((3, 4)))
    parts = lines(story, "parts")
    assert parts[1:] == ["A\u0304 += z\u0304 @ Bᵀ", "B\u0304 += Aᵀ @ z\u0304"]
    assert "2×3" in story.text()


def test_reasons_for_zeros() -> None:
    story = hg.explain(lambda x, y, z: np.floor(x) + z)(1.5, 2.0, 3.0)
    assert story.gradient == (0.0, 0.0, 1.0)
    assert story.zeros["y"] == "the result does not use it"
    assert "cut by floor" in story.zeros["x"]
    assert "test_explain.py" in story.zeros["x"]


def test_where_nan_and_infinity_are_born() -> None:
    story = GALLERY["infinite"]()
    found = lines(story, "health")
    assert found[0].startswith("infinity is born at u = log(x), where x = 0")
    assert "gallery.py" in found[0]
    assert any("z = √x: dz/dx = ∞" in line for line in found)
    assert np.isnan(story.gradient)
    assert "health" not in [s.key for s in hg.explain(chain)(0.5).sections]
    nan = hg.explain("0*log(x)", x=0)
    assert any(line.startswith("NaN is born at y = 0z") for line in lines(nan, "health")) or "NaN" in nan.text()


def test_higher_orders() -> None:
    story = hg.explain(chain, order=2)(0.5)
    assert story.gradient == pytest.approx(2 * np.cos(2.25) - 9 * np.sin(2.25))
    assert "dy′/dx = 2cos((x+1)²) − 4(x+1)² · sin((x+1)²)" in lines(story, "whole")
    assert hg.explain("x^4", x=2.0, order=4).gradient == pytest.approx(24.0)
    with pytest.raises(ValueError, match="choose it with wrt"):
        hg.explain("x*y", x=1, y=2, order=2)
    assert hg.explain("x*y^3", x=1, y=2, order=2, wrt="y").gradient == pytest.approx(12.0)
    with pytest.raises(ValueError, match="order is 1 or more"):
        hg.explain("x", x=1, order=0)


@pytest.mark.parametrize("name", GALLERY)
def test_every_form_of_every_story(name: str, tmp_path: Path) -> None:
    story = GALLERY[name]()
    for suffix in ("svg", "html", "tex", "tikz", "dot", "mmd", "md", "json", "txt"):
        path = story.save(tmp_path / f"out.{suffix}")
        assert path.stat().st_size > 20
    assert [p.suffix for p in tmp_path.iterdir() if p.name.startswith(".")] == [], "no half-written file stays behind"
    bundle = story._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/svg+xml", "text/latex"}


def test_saving_is_all_or_nothing(tmp_path: Path) -> None:
    story = GALLERY["chain"]()
    with pytest.raises(ValueError, match=r"unknown format '\.exe': choose one of"):
        story.save(tmp_path / "out.exe")
    with pytest.raises(FileNotFoundError):
        story.save(tmp_path / "missing" / "out.svg")
    assert list(tmp_path.iterdir()) == []


def test_bad_requests_are_named() -> None:
    with pytest.raises(hg.ExpressionError, match="x needs a value: x=…"):
        hg.explain("sin(x)")
    with pytest.raises(hg.ExpressionError, match="wrt is an option of explain: give the variable another name"):
        hg.explain("wrt*x", x=1.0)
    with pytest.raises(hg.ExpressionError, match="no variable y"):
        hg.explain("sin(x)", x=1, y=2)
    with pytest.raises(hg.ExpressionError, match="no variable to differentiate by"):
        hg.explain("1 + 2")
    with pytest.raises(TypeError, match="one result"):
        hg.explain(lambda x: (x, x))(1.0)
    with pytest.raises(hg.DtypeError, match="has no derivative"):
        hg.explain(lambda x: x > 1)(1.0)
    with pytest.raises(hg.DtypeError, match="nothing to differentiate by"):
        hg.explain(lambda x: x)("text")
    with pytest.raises(ValueError, match="argnums names argument 'q'"):
        hg.explain("sin(x)", x=1.0, wrt="q")


def test_gradients_have_the_arguments_structure() -> None:
    story = hg.explain(lambda p, k: p["a"] * np.sum(p["b"]) * k, wrt="p")({"a": 2.0, "b": np.ones(3)}, 4.0)
    assert story.gradient["a"] == 12.0
    np.testing.assert_array_equal(story.gradient["b"], [8.0, 8.0, 8.0])
    assert isinstance(story.gradient["a"], float)
    assert isinstance(story.value, float)


# -- branches --------------------------------------------------------------------------------------------------------


def conditions(f: Any, *args: Any, **options: Any) -> list[str]:
    return [c.text for c in hg.explain(f, **options)(*args).conditions]


def test_the_branches_that_were_taken_are_told() -> None:
    story = hg.explain(branches)(2.0, 1.0)
    assert [s.key for s in story.sections][-3:] == ["guards", "adjoints", "cost"]
    assert lines(story, "guards") == ["x > 0", "z ≤ 3"]
    (section,) = [s for s in story.sections if s.key == "guards"]
    assert section.intro == "This gradient holds while"
    assert re.fullmatch(r'line \d+: "if x > 0 and not z > 3:"', section.lines[0].note)
    words = story.text()
    assert re.search(r'This gradient holds while\n  x > 0  line \d+: "if x > 0', words)
    assert r"\text{for } x > 0 \\ & \text{and } z \leq 3" in story._repr_latex_()
    assert "# Where it holds" in story.markdown()


def test_functions_without_branches_have_no_conditions() -> None:
    story = hg.explain(chain)(0.5)
    assert story.conditions == []
    assert "holds" not in story.text() + story.svg() + story.dot() + story.mermaid() + story.tikz()


def test_what_does_not_hold_is_told_the_other_way_round() -> None:
    def compared(x: Any, y: Any) -> Any:
        asked = [x > y, x < y, x >= y]
        asked = [bool(q) for q in asked]
        asked = [q for q in (x <= y, x == y, x != y) if q]
        return x * y

    assert conditions(compared, 1.0, 2.0) == ["x ≤ y", "x < y", "x < y", "x ≤ y", "x ≠ y", "x ≠ y"]
    assert conditions(compared, 2.0, 1.0) == ["x > y", "x ≥ y", "x ≥ y", "x > y", "x ≠ y", "x ≠ y"]
    assert conditions(compared, 2.0, 2.0)[-2:] == ["x = y", "x = y"]


def test_comparisons_with_nan_are_not_turned_round() -> None:
    def f(x: Any) -> Any:
        z = np.log(x)
        return x if z > 0 else 2 * x

    with np.errstate(all="ignore"):
        assert conditions(f, -1.0) == ["not log(x) > 0"]


def test_compound_conditions() -> None:
    def f(x: Any) -> Any:
        norm = np.sqrt(np.sum(x**2))
        if np.all(x > 0) and np.logical_or(norm > 9, x[0] > 5):
            return norm
        if np.logical_and(norm > 0.1, norm < 5):
            return np.sum(x)
        return np.sum(x * x)

    first = ["all(x > 0)", "√(Σ(x²)) ≤ 9 ∧ x[0] ≤ 5"]
    assert conditions(f, np.array([1.0, 2.0])) == [*first, "√(Σ(x²)) > 0.1 ∧ √(Σ(x²)) < 5"]
    assert conditions(f, np.array([-9.0, 2.0])) == ["not all(x > 0)", "not ((√(Σ(x²)) > 0.1) ∧ (√(Σ(x²)) < 5))"]


def test_whole_numbers_that_were_asked_for() -> None:
    def f(x: Any, k: Any) -> Any:
        n, m = int(x), int(np.floor(k))
        return x * n + k * m

    assert conditions(f, 3.5, 2.5) == ["int(x) = 3", "⌊k⌋ = 2"]
    assert conditions(f, 3.5, 2.5, wrt="k") == ["⌊k⌋ = 2"], "others do not matter to the gradient"
    assert conditions(lambda x: x[int(np.argmax(x))], np.array([1.0, 5.0, 2.0])) == ["argmax(x) = 1"]


def test_truth_of_numbers() -> None:
    assert conditions(lambda x: x * x if x else -x, 2.0) == ["x ≠ 0"]
    assert conditions(lambda x: x * x if x else -x, 0.0) == ["x = 0"]


def test_a_loop_is_told_in_one_line() -> None:
    story = hg.explain(until)(2.0)
    (line,) = lines(story, "guards")
    assert re.fullmatch(r"while abs\(x \* x - a\) > 1e-9: true 4 times, then false \(line \d+\)", line)
    assert "This gradient holds while abs(x * x - a)" in story.dot()


def test_many_conditions_are_counted() -> None:
    def warped(x: Any, y: Any) -> Any:
        far = [[0.0 if i == j == 0 else 1e9 for j in range(len(y) + 1)] for i in range(len(x) + 1)]
        for i in range(1, len(x) + 1):
            for j in range(1, len(y) + 1):
                far[i][j] = abs(x[i - 1] - y[j - 1]) + min(far[i - 1][j], far[i][j - 1], far[i - 1][j - 1])
        return far[-1][-1]

    (told,) = conditions(warped, np.array([1.0, 2.5, 3.0, 4.5]), np.array([1.5, 3.5, 3.0]))
    assert re.fullmatch(r"min\(far.*\): true \d+ times, false \d+ times \(line \d+\)", told)

    source = "def f(x):\n" + "".join(f"    if x > {k}:\n        x = x * 1.0\n" for k in range(30)) + "    return x\n"
    space: dict[str, Any] = {}
    exec(compile(source, "nowhere.py", "exec"), space)
    story = hg.explain(space["f"])(10.0)
    assert len(story.conditions) == 30
    found = lines(story, "guards")
    assert len(found) == 10
    assert found[-1] == "… and 21 more conditions hold"
    assert any(line.endswith(" ≤ 10") for line in found), "what lies at a boundary is not left out"
    assert "and 27 more conditions hold" in story.dot()


def test_arrays_that_were_asked_for() -> None:
    def f(x: Any) -> Any:
        settled(x > 0, sys._getframe())
        settled(np.argmax(np.outer(x, x), axis=0), sys._getframe())
        return np.sum(x)

    story = hg.explain(f)(np.array([1.0, -2.0, 3.0]))
    mask, positions = lines(story, "guards")
    assert re.fullmatch(r"the mask x > 0 is \[T, F, T\] \(line \d+\)", mask)
    assert positions.startswith("argmax(")
    assert positions.endswith(", axis 0) = [2, 1, 2]")
    assert "guard: x > 0.0 is [ True False True]" in str(story.graph)
    (guard, _) = from_json(story.json()).guards
    np.testing.assert_array_equal(guard.value, [True, False, True])


def test_masks_are_shown_in_short() -> None:
    assert _mask_text(np.array([True, False, True])) == "[T, F, T]"
    assert _mask_text(np.eye(4) > 0) == "true at 4 of 4×4"
    assert _mask_text(np.ones(100) > 0) == "true at 100 of 100"


@pytest.mark.parametrize(
    ("f", "at", "near"),
    [
        (lambda x: x if x > 0 else -x, 0.0, True),
        (lambda x: x if x > 0 else -x, 1e-17, False),
        (lambda x: x if x > 1 else -x, 1 + 2e-16, True),
        (lambda x: x if x - 0.1 - 0.2 > 0 else -x, 0.1 + 0.2, True),
        (lambda x: x if x == 2 else -x, 2.0, True),
        (lambda x: x if np.floor(x) == 2 else -x, 2.5, False),
        (lambda x: x if np.floor(x) == 2 else -x, 2.0, True),
        (lambda x: x * int(x), 3.0, True),
        (lambda x: x * int(x), 0.0, False),
        (lambda x: x * int(np.rint(x)), 0.5, True),
        (lambda x: x * int(np.rint(x)), 1.0, False),
        (lambda x: x[int(np.argmax(x))], np.array([5.0, 5.0, 1.0]), True),
        (lambda x: x[int(np.argmax(x))], np.array([5.0, 1.0, 1.0]), False),
        (lambda x: x.sum() if np.all(x > 0) else x[0], np.array([1.0, 0.0]), True),
        (lambda x: x if x > np.inf else -x, np.inf, False),
    ],
)
def test_values_at_a_boundary_are_pointed_out(f: Any, at: Any, near: bool) -> None:
    with np.errstate(all="ignore"):
        story = hg.explain(f)(at)
        assert story.conditions[0].boundary == near
        for words in (story.text(columns=300), story.latex(), story.svg(), story.dot(), story.mermaid(), story.tikz()):
            assert ("boundary" in words) == near


def test_conditions_over_names_that_only_they_use() -> None:
    def f(x: Any) -> Any:
        gap = np.sum(np.sin(x) * np.cos(x) / (1 + x * x) + np.exp(-x) * np.tanh(x) - np.log1p(x * x) + x**3)
        if gap > -100:
            return np.sum(x)
        return x[0]

    assert conditions(f, np.array([1.0, 2.0])) == ["gap > −100"], "too long to write out"


def test_conditions_of_second_derivatives() -> None:
    assert conditions(lambda x: x**3 if x > 0 else x, 2.0, order=2) == ["x > 0"]


def test_the_text_of_a_graph_has_its_guards() -> None:
    words = str(hg.graph_of(branches)(2.0, 1.0))
    assert words.endswith("  guard: x > 0.0 is True\n  guard: z > 3.0 is False")
    (last,) = str(hg.graph_of(lambda x: x[int(np.argmax(x * 2))])(np.array([1.0, 2.0]))).splitlines()[-1:]
    assert last.startswith("  guard: argmax(multiply(x, 2.0), ")
    assert last.endswith(" is 1")
    assert "more guards" in hg.graph_of(until)(2.0).text(limit=3)


# -- arrays that were written to -------------------------------------------------------------------------------------


def steps(f: Any, *args: Any) -> list[str]:
    return [line.partition(" = put")[0] for line in lines(hg.explain(f)(*args), "steps") if "put" in line]


def test_arrays_written_in_place_keep_their_names() -> None:
    def f(x: Any) -> Any:
        a = np.exp(x)
        a[1:] += x[0]
        a[0] = b = x[1]
        return np.sum(a * b)

    assert steps(f, np.arange(3.0)) == ["a₁", "a₂"]


def test_views_that_are_written_to_and_their_arrays() -> None:
    def f(x: Any) -> Any:
        a = np.exp(x)
        view = a[1:]
        view[0] = x[0]
        copied = view.copy()
        copied[1] *= x[1]
        return np.sum(a) * np.sum(copied)

    assert steps(f, np.arange(3.0)) == ["view₁", "a₁", "copied"]


def test_no_name_is_made_up_for_what_is_no_variable() -> None:
    def f(x: Any) -> Any:
        held = [np.sin(x)]
        held[0][1] = x[0]
        return np.sum(held[0])

    (name,) = steps(f, np.arange(3.0))
    assert name in "zhuvw"


_ATOMS = st.sampled_from(["x", "y", "2", "0.5"])
_FORMULAS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{}({})".format, st.sampled_from(["sin", "exp", "tanh", "sqrt", "abs", "log"]), inner),
        st.builds("({})^{}".format, inner, st.sampled_from(["2", "3", "-1"])),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(_FORMULAS)
def test_any_formula_is_explained(formula: str) -> None:
    formula = f"x*y + {formula}"  # so that both variables occur, x first
    with np.errstate(all="ignore"):
        story = hg.explain(formula, x=1.3, y=0.7)
        assert all((story.text(), story.latex(), story.svg(), story.html()))
        both: Any = hg.grad(lambda x, y: hg_eval(formula, x, y), (0, 1))(1.3, 0.7)
    np.testing.assert_allclose(story.gradient, both, rtol=1e-12)
    (whole,) = [s for s in story.sections if s.key == "whole"]
    assert len(whole.lines) >= 2


def hg_eval(formula: str, x: Any, y: Any) -> Any:
    from hopgrad.show.expression import parse

    return parse(formula).evaluate({"x": x, "y": y})


COMPLEX: dict[str, tuple[Any, Any]] = {
    "analytic, then a size": (lambda z: np.abs(np.exp(z)), 1 + 2j),
    "conjugates": (lambda z: (z * np.conj(z)).real, 1 + 2j),
    "constants": (lambda z: np.real(z**2 + (2 - 1j) * z), 1 + 2j),
    "on the way between real numbers": (lambda x: np.abs(np.exp(1j * x) + 2), 0.3),
    "a branch": (lambda z: np.abs(z) if np.abs(z) > 1 else z.real, 1 + 2j),
    "arrays": (lambda z: np.sum(np.abs(z) ** 2 * np.angle(z)), np.array([0.3 + 2.5j, 1.7 - 0.3j, -0.3 + 1.7j])),
    "single precision": (lambda z: np.sum(np.abs(z) ** 2), np.array([0.3 + 2.5j, 1.7], np.complex64)),
    "matrices": (lambda z: np.linalg.norm(z @ z), np.array([[1.0, 2j], [0.5 - 1j, 3.0]])),
    "eigenvalues": (lambda a: np.sum(np.abs(np.linalg.eigvals(a))), np.array([[1.0, 2.0], [-3.0, 0.5]])),
    "a spectrum": (lambda x: np.sum(np.abs(np.fft.fft(x)) ** 2), np.array([0.3, 1.7, -0.3, 2.5])),
    "a filter": (
        lambda x: np.sum(np.fft.ifft(np.fft.fft(x) * np.exp(1j * x)).real ** 3), np.array([0.3, 1.7, -0.3, 2.5]),
    ),
    "half a spectrum": (
        lambda x: np.sum(np.fft.irfft(np.fft.rfft(x) * 2)[1:] ** 3), np.array([0.3, 1.7, -0.3, 2.5]),
    ),
    "a constant array": (lambda x: np.sum((x * np.array([1j, 2.0, 3 - 1j])).imag), np.array([0.3, 1.7, -0.3])),
    "a kink": (lambda z: np.abs(z), 0j),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers_are_explained(name: str) -> None:
    f, point = COMPLEX[name]
    story = hg.explain(f)(point)
    np.testing.assert_allclose(story.gradient, hg.grad(f)(point), 1e-6 if name == "single precision" else 1e-14, 1e-15)
    analysis = story._analysis
    check = analysis.check(analysis.wrt[0])
    assert check is not None
    assert name == "a kink" or check.error < (1e-3 if name == "single precision" else 1e-7)
    for write in (story.text, story.latex, story.svg, story.html, story.dot, story.tikz, story.mermaid, story.json):
        assert write()
    assert story.svg(adjoints=True)
    again = from_json(story.json())
    assert any(again.graph.builder.avals[n].dtype.kind == "c" for n in again.graph.order)
    # What is not multiplying is not told as a product.
    assert not any("simplified" in line.note for s in story.sections if s.key == "whole" for line in s.lines)


def test_a_complex_story_says_what_comes_back() -> None:
    story = hg.explain(lambda z: (z * np.conj(z)).real)(1 + 2j)
    assert lines(story, "steps")[1:3] == ["h = conj(z)", "u = z · h = z · conj(z)"]
    assert lines(story, "parts") == ["u\u0304 += y\u0304", "∂u/∂z = h", "∂u/∂h = z", "z\u0304 += conj(h\u0304)"]
    (whole,) = [s for s in story.sections if s.key == "whole"]
    assert "d/da − i d/db" in whole.intro
    assert whole.lines[-1].value == "2−4i"
    assert lines(story, "adjoints")[-1] == "z\u0304 = u\u0304 · h + conj(h\u0304)"
    # Of what comes back to a real number, the real part counts.
    story = hg.explain(lambda x: np.exp(1j * x).imag)(0.3)
    assert lines(story, "adjoints")[-1].startswith("x\u0304 = Re(")
    assert whole.lines[-1].note.startswith("finite differences along (1 + i)/√2: 4.2426406")
