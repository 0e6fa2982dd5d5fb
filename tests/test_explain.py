"""The story: its order, its wording, its numbers, and what it does with large, broken and odd functions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY, chain, doubled
from hypothesis import given, settings
from hypothesis import strategies as st

import hopgrad as hg
from hopgrad.notation import text
from hopgrad.show.explanation import Explanation


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
    assert set(bundle) == {"text/plain", "image/svg+xml", "text/latex"}


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
