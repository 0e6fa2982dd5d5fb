"""Linear algebra on stacks of small matrices, several at a time: the interpreter's values, anywhere in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopgrad as hg
from hopgrad.backend import NativePlan
from hopgrad.evaluate import evaluate
from hopgrad.lower import report, stacks

RNG = np.random.default_rng(0)

UNARY: dict[str, Any] = {
    "inv": np.linalg.inv,
    "det": np.linalg.det,
    "sign": lambda a: np.linalg.slogdet(a)[0],
    "logarithm": lambda a: np.linalg.slogdet(a)[1],
    "lower": lambda a: np.linalg.cholesky(a @ np.swapaxes(a, -1, -2) + np.eye(a.shape[-1], dtype=a.dtype)),
    "upper": lambda a: np.linalg.cholesky(a @ np.swapaxes(a, -1, -2) + np.eye(a.shape[-1], dtype=a.dtype), upper=True),
}


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of few matrices are computed so whatever their size."""
    monkeypatch.setattr(stacks, "_MANY", 1)


def both(f: Any, *given: Any) -> tuple[list[Any], list[Any], str]:
    """What native code finds, what the interpreter finds, and the steps of native code."""
    graph = hg.graph_of(f)(*given)
    inputs = dict(zip(graph.inputs, given, strict=True))
    plan = NativePlan(graph.builder, graph.outputs, list(inputs))
    found = plan.run(inputs)
    assert found is not None
    return found, list(evaluate(graph.builder, graph.outputs, inputs)), "\n".join(map(report.plan, plan.programs))


def agree(f: Any, *given: Any, used: bool = True) -> None:
    found, expected, steps = both(f, *given)
    assert ("at a time" in steps) == used, steps
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        close = 1e-9 if other.dtype == np.float64 else 2e-3
        np.testing.assert_allclose(one, other, close, close * float(np.max(np.abs(other), initial=1.0)))


def in_memory(way: str, a: Any) -> Any:
    """The same values elsewhere in memory."""
    if a.ndim < 2:
        return a
    if way == "by columns":
        return np.swapaxes(np.ascontiguousarray(np.swapaxes(a, -1, -2)), -1, -2)
    if way == "with gaps":
        return np.repeat(np.repeat(a, 2, -1), 3, 0)[::3, ..., ::2]
    if way == "backwards":
        return np.ascontiguousarray(a[::-1])[::-1]
    if way == "along the first":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0)
    return a


WAYS = ("as it is", "by columns", "with gaps", "backwards", "along the first")


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", range(1, stacks.MOST + 1))
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_matrix(name: str, n: int, dtype: Any) -> None:
    for count in (8, 9, 23):
        a = RNG.normal(size=(count, n, n)).astype(dtype) + 2 * np.eye(n, dtype=dtype)
        agree(UNARY[name], a)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", UNARY)
def test_anywhere_in_memory(name: str, way: str) -> None:
    a = in_memory(way, RNG.normal(size=(19, 3, 3)) + np.eye(3))
    agree(UNARY[name], a)
    agree(UNARY[name], np.stack([a, 2 * a, a + 1]))


SYSTEMS = {
    "a column each": ((17, 3, 3), (17, 3, 1)),
    "columns": ((17, 3, 3), (17, 3, 2)),
    "one matrix for all": ((3, 3), (17, 3, 2)),
    "one side for all": ((17, 3, 3), (3, 2)),
    "a vector for all": ((17, 3, 3), (3,)),
    "stacks of stacks": ((5, 1, 3, 3), (1, 17, 3, 1)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_systems(name: str, way: str) -> None:
    shapes = SYSTEMS[name]
    a, b = RNG.normal(size=shapes[0]) + 2 * np.eye(3), RNG.normal(size=shapes[1])
    agree(np.linalg.solve, in_memory(way, a), in_memory(way, b))


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_systems_of_any_size(n: int, dtype: Any) -> None:
    a, b = RNG.normal(size=(11, n, n)).astype(dtype) + 2 * np.eye(n, dtype=dtype), RNG.normal(size=(11, n, 3))
    agree(np.linalg.solve, a, b.astype(dtype))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shapes", [((20, 3, 2), (20, 2, 3)), ((20, 2, 2), (2, 1)), ((20, 1, 3), (20, 3, 1)),
                                    ((20, 2, 3), (3,)), ((3,), (20, 3, 2)), ((4, 20, 2, 2), (20, 2, 2))])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products(shapes: Any, way: str, dtype: Any) -> None:
    a, b = (in_memory(way if len(shape) > 2 else "", RNG.normal(size=shape).astype(dtype)) for shape in shapes)
    agree(lambda a, b: a @ b, a, b)


def test_products_are_those_of_single_ones_to_the_last_bit() -> None:
    a, b = RNG.normal(size=(40, 3, 3)), RNG.normal(size=(40, 3, 2))
    together = both(lambda a, b: a @ b, a, b)[0][0]
    for k in range(40):
        np.testing.assert_array_equal(together[k], both(lambda a, b: a @ b, a[k], b[k])[0][0])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", UNARY)
def test_derivatives(name: str, order: int) -> None:
    def f(a: Any) -> Any:
        return np.sum(np.sin(UNARY[name](a)))

    a = RNG.normal(size=(9, 3, 3)) + 2 * np.eye(3)
    agree(hg.grad(f) if order == 1 else hg.hvp(f), *[a, RNG.normal(size=a.shape)][:order], used=name != "sign")


def test_rows_change_places() -> None:
    orders = [np.eye(4)[list(order)] for order in np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
              if len(set(order)) == 4]  # fmt: skip
    a = np.array(orders) * RNG.uniform(0.5, 2.0, (24, 1, 4))
    for f in (np.linalg.inv, np.linalg.det, UNARY["sign"]):
        agree(f, a)


def test_determinants_out_of_range() -> None:
    scales = 10.0 ** np.array([0, 120, -120, 300, -300, 150, 0, -150, 200, 1])
    a = np.zeros((10, 3, 3))
    a[:, [0, 1, 2], [1, 0, 2]] = np.stack([scales, 1 / scales, scales], 1)
    a[6, 0, 1] = 0.0  # singular
    with np.errstate(all="ignore"):
        for f in (np.linalg.det, UNARY["sign"], UNARY["logarithm"]):
            agree(f, a)
    a[2, 0, 1] = np.nan
    a[3, 1, 0] = np.inf
    for f in (np.linalg.det, UNARY["sign"], UNARY["logarithm"]):
        with np.errstate(all="ignore"):
            found, expected, _ = both(f, a)
        np.testing.assert_allclose(found[0], expected[0], 1e-9)


@pytest.mark.parametrize("f", [np.linalg.inv, lambda a: np.linalg.solve(a, np.ones((3, 1))), np.linalg.cholesky])
def test_errors_are_those_of_numpy(f: Any) -> None:
    a = np.tile(np.eye(3), (20, 1, 1))
    g = hg.compile(f, backend="native")
    g(a)
    np.testing.assert_allclose(g(a), f(a))
    for place in (0, 7, 19):
        bad = a.copy()
        bad[place, 2, 2] = 0.0
        with pytest.raises(np.linalg.LinAlgError):
            g(bad)
    np.testing.assert_allclose(g(a), f(a))


def test_what_only_derivatives_need_is_nan() -> None:
    a = np.tile(np.eye(2), (16, 1, 1)) * RNG.uniform(1, 2, (16, 1, 1))
    a[5] = [[1.0, 2.0], [2.0, 4.0]]
    f = hg.grad(lambda a: np.sum(np.where(np.arange(16) == 5, 0.0, np.linalg.slogdet(a)[1])))
    with np.errstate(all="ignore"):
        agree(f, a)


@pytest.fixture
def threads() -> Iterator[None]:
    before = hg.get_num_threads()
    yield
    hg.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_parts_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "LEAST", 20)
    monkeypatch.setattr(stacks, "PART", 5)
    a = RNG.normal(size=(701, 3, 3)) + np.eye(3)
    g = hg.compile(np.linalg.inv, backend="native")
    g(a)
    seen = set()
    for count in (1, 2, 3):
        hg.set_num_threads(count)
        seen |= {g(a).tobytes() for _ in range(20)}
    assert len(seen) == 1
    assert "parts" in g.plan
    np.testing.assert_allclose(g(a), np.linalg.inv(a), 1e-9)


@given(st.integers(1, 5), st.integers(8, 30), st.integers(0, 2**32 - 1), st.booleans())
def test_random_stacks(n: int, count: int, seed: int, turned: bool) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, n, n)) * 10.0 ** rng.integers(-3, 3, (count, 1, 1))
    a = np.swapaxes(a, 1, 2) if turned else a

    def f(a: Any) -> Any:
        return np.linalg.solve(a, np.ones((n, 2))), np.linalg.det(a)

    found, expected, _ = both(f, a)
    scale = np.linalg.cond(a).max()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, 1e-13 * scale, 1e-13 * scale * float(np.max(np.abs(other))))
