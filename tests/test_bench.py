"""The benchmark's cases are right and complete. Nothing here needs the other tools, and nothing is timed."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import hopgrad as hg
from bench import cpp, survey
from bench.__main__ import CASES as RUN_CASES
from bench.case import Case, leaves, mapped
from bench.cases import CASES, FAMILIES, mlp
from bench.measure import arrays, difference, disagreeing, measure
from bench.report import markdown
from bench.tools import PEERS, TOOLS, ByHand, Call, Cpp, Hopgrad
from bench.worker import STATUS, peak_memory

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
STEP = 1e-7


def in_double(value: Any) -> Any:
    """Finite differences in single precision would say little."""
    single = isinstance(value, np.ndarray | np.generic) and value.dtype == np.float32
    return value.astype(np.float64) if single else value


def smallest(case: Case) -> tuple[Any, ...]:
    return mapped(in_double, case.arguments(case.sizes[0]))


def moved(value: Any, direction: Any, by: float) -> Any:
    steps = leaves(direction)
    return mapped(lambda x: x + by * next(steps), value)


def slope(f: Callable[[Any], Any], x: Any, direction: Any) -> Any:
    """The derivative of `f` along a direction, by central differences."""
    ahead, behind = f(moved(x, direction, STEP)), f(moved(x, direction, -STEP))
    return (ahead - behind) / (2 * STEP)


def inner(a: Any, b: Any) -> float:
    return sum(float(np.sum(x * y)) for x, y in zip(leaves(a), leaves(b), strict=True))


def check_gradient(f: Callable[..., Any], args: tuple[Any, ...], argnum: int, gradient: Any) -> None:
    rng = np.random.default_rng(7)
    for _ in range(3):
        direction = mapped(lambda x: rng.normal(size=np.shape(x)), args[argnum])
        found = slope(lambda x: f(*args[:argnum], x, *args[argnum + 1 :]), args[argnum], direction)
        np.testing.assert_allclose(inner(gradient, direction), found, rtol=1e-5, atol=1e-7)


@each_case
def test_hopgrads_result_agrees_with_finite_differences(case: Case) -> None:
    args = smallest(case)
    result = Hopgrad().prepare(case, args)()
    if case.want == "hvp":
        x, v, *rest = args
        expected = slope(lambda x: hg.grad(case.function)(x, *rest), x, v)
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5 * np.max(np.abs(expected)))
    elif case.want in ("step", "training"):  # Adam's first moment is a decayed gradient
        params, mean, _, _, x, labels = args
        moments = (list(leaves(part)) for part in (result[2], mean))
        gradient = [(new - mlp.DECAY * old) / (1 - mlp.DECAY) for new, old in zip(*moments, strict=True)]
        check_gradient(case.function, (params, x, labels), 0, gradient)
    elif case.want == "sparse_jacobian":
        starts, columns, values = result
        count = len(case.argnums)
        parameters, rest = list(args[:count]), args[count:]
        shape = len(starts) - 1, sum(part.size for part in parameters)
        direction = mapped(np.cos, parameters)
        expected = slope(lambda parameters: np.concatenate(case.function(*parameters, *rest)), parameters, direction)
        found = sparse.csr_array((values, columns, starts), shape) @ np.concatenate([np.ravel(d) for d in direction])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    elif case.want == "jacobian":
        direction = np.cos(args[0])
        np.testing.assert_allclose(
            result @ direction, slope(lambda x: case.function(x, *args[1:]), args[0], direction), 1e-5, 1e-6
        )
    else:
        value, gradient = result if case.want == "value_and_grad" else (case.function(*args), result)
        np.testing.assert_allclose(value, case.function(*args), rtol=1e-12)
        argnums = (case.argnums,) if isinstance(case.argnums, int) else case.argnums
        gradients = (gradient,) if isinstance(case.argnums, int) else gradient
        for argnum, part in zip(argnums, gradients, strict=True):
            check_gradient(case.function, args, argnum, part)


@each_case
def test_what_is_derived_by_hand_agrees(case: Case) -> None:
    if case.by_hand is None:
        pytest.skip("not derived by hand")
    args = case.arguments(case.sizes[0])
    results = [arrays(tool.prepare(case, args)()) for tool in (Hopgrad(), ByHand())]
    assert difference(*results) <= 1


@pytest.fixture(scope="module")
def cpp_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    library = tmp_path_factory.mktemp("cpp") / "peers.so"
    source = Path(cpp.__file__).with_name("peers.cpp")
    options = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run([compiler, *options, source, "-o", library], check=True)
    return library


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.cpp], ids=lambda case: case.name)
def test_what_is_written_in_cpp_agrees(case: Case, cpp_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpp, "LIBRARY", cpp_library)
    cpp.loaded.cache_clear()
    args = case.arguments(case.sizes[0])
    results = [arrays(tool.prepare(case, args)()) for tool in (Hopgrad(), Cpp())]
    cpp.loaded.cache_clear()
    assert difference(*results) <= 1


@each_case
def test_the_function_alone_is_called_with_its_arguments(case: Case) -> None:
    if case.want not in ("step", "training"):
        args = case.arguments(case.sizes[0])
        assert all(np.isfinite(part).all() for part in arrays(Hopgrad().function(case, args)()))


@each_case
def test_each_case_is_complete(case: Case) -> None:
    tools = {tool.name for tool in TOOLS}
    assert len(set(case.sizes)) >= 3
    assert len({case.label(size) for size in case.sizes}) == len(case.sizes)
    assert set(case.skip) | set(case.up_to) <= tools
    assert set(case.up_to.values()) <= set(case.sizes)
    assert case.first_size is None or case.first_size in case.sizes
    assert case.by_hand or case.cpp or case.torch or case.want == "hvp"
    assert (case.want in ("step", "training")) == (case.program is not None)
    assert case.excuse("hopgrad", case.sizes[-1]) is None
    first, again = (list(leaves(case.arguments(case.sizes[0]))) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_no_case_is_lost() -> None:
    assert RUN_CASES is CASES
    assert len(CASES) == sum(len(family.CASES) for family in FAMILIES)
    assert {"C++", "JAX", "PyTorch", "torch.compile", "autograd", "CasADi"} == {tool.name for tool in PEERS}


def test_a_tool_that_disagrees_is_named() -> None:
    right, wrong = [np.array([1.0, 2.0])], [np.array([1.0, 2.1])]
    assert disagreeing({"a": right, "b": right, "c": right}) == {}
    assert set(disagreeing({"a": wrong, "b": right, "c": right})) == {"a"}
    assert difference(right, [np.array([1.0])]) == np.inf
    assert difference(right, [np.array([1.0, np.nan])]) == np.inf
    single = [np.array([1.0, 2.00001], dtype=np.float32)]
    assert difference(right, single) < 1


def test_every_call_is_measured() -> None:
    calls = {"one": Call(abs, (1.0,)), "other": Call(sorted, ([2, 1],))}
    assert all(0 < seconds < 1 for seconds in measure(calls, budget=0.01).values())


def test_the_report_shows_failures_and_ratios() -> None:
    tools = {"hopgrad": {"seconds": 1e-6}, "JAX": {"seconds": 8e-6}, "PyTorch": {"fails": "ValueError: no"}}
    row = {"size": "10", "tools": {**tools, "CasADi": {"skipped": "too large"}}, "functions": {"hopgrad": 4e-7}}
    first = {"hopgrad": 0.01, "JAX": 0.05}
    result = {"case": "some", "rows": [row], "first_size": "10", "first_calls": first, "first_call_warm": 0.001}
    result["peaks"] = [{"size": "10", "bytes": {"hopgrad": 2_000_000, "JAX": 12_345_678, "PyTorch": 3_000_000}}]
    about = {"processor": "p", "cores": 2, "system": "s", "python": "3"}
    run = {"date": "d", "machine": about, "versions": {}, "load": [0, 1], "quick": False, "results": [result]}
    text = markdown(run)
    skipped, failed = "CasADi: too large (some)", "some (10), PyTorch fails: ValueError: no"
    for part in ("8.00×", "5.00×", failed, skipped, "1.00 ms", "2.50×", "12.3 MB", "1.50×"):
        assert part in text


@pytest.mark.skipif(not STATUS.exists(), reason="reads what Linux tells of a process")
def test_the_peak_of_memory_holds_the_gradient() -> None:
    case = CASES["elementwise/memory-f64"]
    peak = peak_memory(case, Hopgrad(), case.sizes[-1])
    assert peak is not None
    assert peak >= 8 * case.sizes[-1]


@pytest.mark.parametrize("name", [*survey.GRADIENTS, *survey.OTHERS])
def test_the_functions_of_the_survey_have_derivatives(name: str) -> None:
    import scipy.linalg
    import scipy.special

    transform, text, argument = (
        ("d.grad(f)", *survey.GRADIENTS[name]) if name in survey.GRADIENTS else survey.OTHERS[name]
    )
    names = {"np": np, "special": scipy.special, "linalg": scipy.linalg}
    ours = survey.Differentiators(hg.grad, hg.jacobian, hg.hessian, hg.vmap)
    x = survey.arguments(np.float64)[argument]
    found = survey.made(transform, text, ours, names)(x)
    assert np.isfinite(found).all()
    if transform == "d.grad(f)":
        f = survey.made("f", text, ours, names)
        direction = np.random.default_rng(3).normal(size=x.shape)
        expected = (f(x + 1e-7 * direction) - f(x - 1e-7 * direction)) / 2e-7
        np.testing.assert_allclose(np.sum(found * direction), expected, 5e-3, 1e-3)
