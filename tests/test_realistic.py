"""Programs written for NumPy alone are differentiated as they are: values, derivatives, side effects."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import realistic
from numpy.testing import assert_allclose
from realistic import Case

import hopgrad as hg
from hopgrad import tree

CASES = realistic.cases()
# A story of ten thousand hops is long to write and nobody reads it.
SMALL = [
    "american put", "cubic spline", "gauss in place", "heat equation", "income tax", "kalman filter",
    "kepler by newton", "levinson", "orbit", "soft histogram", "time warping",
]  # fmt: skip


@pytest.fixture(autouse=True)
def module_state() -> Iterator[None]:
    """The programs' module is as it was, whatever was traced: same objects, same contents."""
    before = dict(vars(realistic))
    arrays = {k: v.copy() for k, v in before.items() if isinstance(v, np.ndarray)}
    yield
    after = dict(vars(realistic))
    assert after.keys() == before.keys()
    assert all(after[k] is before[k] for k in before)
    for name, array in arrays.items():
        assert type(after[name]) is np.ndarray
        np.testing.assert_array_equal(after[name], array)


def places(case: Case) -> tuple[int, ...]:
    return (case.argnums,) if isinstance(case.argnums, int) else case.argnums


def chosen(case: Case, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(copy.deepcopy(args[k]) for k in places(case))


def by_chosen(case: Case, args: tuple[Any, ...]) -> Callable[..., Any]:
    """The program as a function of the arguments to differentiate by."""

    function, spots = case.function, places(case)

    def f(*values: Any) -> Any:
        full = list(copy.deepcopy(args))
        for k, value in zip(spots, values, strict=True):
            full[k] = value
        return function(*full)

    return f


def direction(values: Any, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return tree.map(lambda v: float(d) if np.ndim(d := random.standard_normal(np.shape(v))) == 0 else d, values)


def moved(values: Any, towards: Any, step: float) -> Any:
    return tree.map(lambda v, d: v + step * d, values, towards)


def inner(first: Any, second: Any) -> float:
    pairs = zip(tree.flatten(first)[0], tree.flatten(second)[0], strict=True)
    return float(sum(np.sum(np.asarray(a) * b) for a, b in pairs))


def slope(f: Callable[[Any], Any], values: Any, towards: Any, step: float) -> Any:
    """The derivative along a direction by central differences of fourth order, with nothing but NumPy."""
    near = np.subtract(f(moved(values, towards, step)), f(moved(values, towards, -step)))
    far = np.subtract(f(moved(values, towards, 2 * step)), f(moved(values, towards, -2 * step)))
    return (8 * near - far) / (12 * step)


def assert_same(found: Any, wanted: Any, exact: bool = True) -> None:
    """Equal in type and in structure, and to the last bit (or nearly)."""
    ours, structure = tree.flatten(found)
    theirs, expected = tree.flatten(wanted)
    assert structure == expected
    for one, other in zip(ours, theirs, strict=True):
        assert type(one) is type(other)
        if exact:
            np.testing.assert_array_equal(one, other, strict=True)
        else:
            assert_allclose(one, other, rtol=1e-13, atol=1e-14)


def gradient_is_right(case: Case, args: tuple[Any, ...], gradient: Any) -> None:
    """Against differences along three directions."""
    gradient = (gradient,) if isinstance(case.argnums, int) else gradient
    f, values = by_chosen(case, args), chosen(case, args)
    for seed in range(3):
        towards = direction(values, seed)
        wanted = slope(lambda v: f(*copy.deepcopy(v)), values, towards, 2e-4)
        assert_allclose(inner(gradient, towards), wanted, rtol=2e-6, atol=2e-7)


every = pytest.mark.parametrize("name", CASES)


def test_the_programs_know_of_numpy_alone() -> None:
    modules = set()
    for node in ast.walk(ast.parse(Path(realistic.__file__).read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).partition(".")[0])
    assert modules <= {"__future__", "collections", "dataclasses", "functools", "itertools", "math", "numpy", "typing"}
    assert len(CASES) >= 30


@every
def test_the_value_is_numpys(name: str) -> None:
    case = CASES[name]
    for args in (case.args, *case.others):
        wanted = case.function(*copy.deepcopy(args))
        value, gradient = hg.value_and_grad(case.function, case.argnums)(*copy.deepcopy(args))
        assert_same(value, wanted, case.exact)
        values = chosen(case, args)
        values = values[0] if isinstance(case.argnums, int) else values
        assert tree.flatten(gradient)[1] == tree.flatten(values)[1]
        for one, other in zip(tree.flatten(gradient)[0], tree.flatten(values)[0], strict=True):
            assert type(one) is type(other)
            assert np.shape(one) == np.shape(other)


@every
def test_the_gradient_is_that_of_differences(name: str) -> None:
    case = CASES[name]
    for args in (case.args, *case.others):
        gradient_is_right(case, args, hg.grad(case.function, case.argnums)(*copy.deepcopy(args)))


@every
def test_both_modes_agree_with_differences(name: str) -> None:
    case = CASES[name]
    hg.check_grads(by_chosen(case, case.args), chosen(case, case.args), rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.smooth])
def test_second_derivatives(name: str) -> None:
    case = CASES[name]
    f, values = by_chosen(case, case.args), chosen(case, case.args)
    gradient = hg.grad(f, tuple(range(len(values))))
    towards, weights = direction(values, 0), direction(values, 1)
    wanted = slope(lambda v: inner(gradient(*copy.deepcopy(v)), weights), values, towards, 2e-4)
    _, product = hg.jvp(gradient, copy.deepcopy(values), towards)  # forward over reverse
    assert_allclose(inner(product, weights), wanted, rtol=2e-6, atol=2e-6)
    again = hg.grad(lambda *v: inner_of(gradient(*v), weights), tuple(range(len(values))))  # reverse over reverse
    assert_allclose(inner(again(*copy.deepcopy(values)), towards), wanted, rtol=2e-6, atol=2e-6)


def inner_of(first: Any, second: Any) -> Any:
    """As `inner`, of values that are traced."""
    pairs = zip(tree.flatten(first)[0], tree.flatten(second)[0], strict=True)
    total: Any = 0.0
    for a, b in pairs:
        total = total + np.sum(a * b)
    return total


@every
def test_arguments_are_changed_where_numpy_changes_them(name: str) -> None:
    case = CASES[name]
    for args in (case.args, *case.others):
        wanted, given = copy.deepcopy(args), copy.deepcopy(args)
        leaves = [id(v) for v in tree.flatten(given)[0] if isinstance(v, np.ndarray)]
        case.function(*wanted)
        hg.grad(case.function, case.argnums)(*given)
        assert_same(given, wanted)
        assert leaves == [id(v) for v in tree.flatten(given)[0] if isinstance(v, np.ndarray)]
        if not case.writes:
            assert_same(given, args)


@every
def test_other_inputs_may_take_another_path(name: str) -> None:
    """One transform for all inputs, in turn: each answer is that of a transform that saw nothing else."""
    case = CASES[name]
    kept = hg.value_and_grad(case.function, case.argnums)
    inputs = [case.args, *case.others]
    fresh = [hg.value_and_grad(case.function, case.argnums)(*copy.deepcopy(args)) for args in inputs]
    for turn in (inputs, inputs[::-1], inputs):
        for args in turn:
            k = next(k for k, other in enumerate(inputs) if other is args)
            value, gradient = kept(*copy.deepcopy(args))
            assert_same(value, fresh[k][0])
            assert_same(gradient, fresh[k][1], exact=False)


@every
def test_small_steps_between_calls(name: str) -> None:
    """As an optimizer calls it: inputs nearby, where the path is mostly the same one."""
    case = CASES[name]
    kept = hg.value_and_grad(case.function, case.argnums)
    for k in range(3):
        args = list(copy.deepcopy(case.args))
        values = chosen(case, case.args)
        for place, value in zip(places(case), moved(values, direction(values, k), 1e-3 * k), strict=True):
            args[place] = value
        value, gradient = kept(*copy.deepcopy(args))
        assert_same(value, case.function(*copy.deepcopy(args)), case.exact)
        gradient_is_right(case, tuple(args), gradient)


@pytest.mark.parametrize("name", SMALL)
def test_the_story_of_a_program(name: str) -> None:
    case = CASES[name]
    story = hg.explain(case.function, wrt=case.argnums)(*copy.deepcopy(case.args))
    wanted, gradient = hg.value_and_grad(case.function, case.argnums)(*copy.deepcopy(case.args))
    assert_allclose(story.value, wanted, rtol=1e-14)
    for one, other in zip(tree.flatten(story.gradient)[0], tree.flatten(gradient)[0], strict=True):
        assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    assert str(story)
