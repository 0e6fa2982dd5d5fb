"""Sparse Jacobians against dense ones: patterns, layouts, both ways of finding them, and what changes between calls."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_arrays import program
from scipy import sparse

import hopgrad as hg
from hopgrad import blocks, tree
from hopgrad.sparsity import coloring

rng = np.random.default_rng(5)
X = rng.normal(size=9)


@pytest.fixture(autouse=True, scope="module")
def kept_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels on disk, in a place of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def dense(f: Callable[..., Any], argnums: Any, *args: Any) -> Any:
    """The whole Jacobian of all results by all arguments, as one matrix."""
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    leaves, _ = tree.flatten(f(*args))
    found = hg.jacobian(f, tuple(chosen), backend="numpy")(*args)
    rows = tree.flatten(found)[0]
    sizes = [np.size(leaf) for k in chosen for leaf in tree.flatten(args[k])[0]]
    width = len(sizes)
    lines = []
    for k, leaf in enumerate(leaves):
        own = rows[k * width : (k + 1) * width]
        lines.append(np.hstack([np.reshape(b, (np.size(leaf), n)) for b, n in zip(own, sizes, strict=True)]))
    return np.vstack(lines)


def check(f: Callable[..., Any], *args: Any, argnums: Any = 0, blocky: bool | None = None, rtol: float = 1e-9) -> Any:
    """Compare in both ways of computing, several times; `blocky`: whether it is to be found as one of blocks."""
    wanted = dense(f, argnums, *args)
    for backend in ("numpy", "native"):
        jacobian = hg.sparse_jacobian(f, argnums, backend=backend)
        for _ in range(3):
            found = jacobian(*args)
            assert isinstance(found, sparse.csr_array)
            assert found.shape == wanted.shape
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found.toarray(), wanted, rtol, rtol)
            canonical(found)
    if blocky is not None:
        assert is_blocky(f, argnums, *args) is blocky
    return found


def canonical(found: Any) -> None:
    """Columns ascend in each row."""
    assert found.indptr[0] == 0
    assert found.indptr[-1] == found.indices.size == found.data.size
    steps = np.diff(found.indices.astype(np.int64))
    inside = np.ones(max(0, found.indices.size - 1), bool)
    ends = found.indptr[1:-1]
    inside[ends[(ends > 0) & (ends < found.indices.size)] - 1] = False
    assert (steps[inside] > 0).all()
    assert found.has_canonical_format


def is_blocky(f: Callable[..., Any], argnums: Any, *args: Any) -> bool:
    graph = hg.graph_of(f, argnums)(*args)
    known = dict(
        zip(graph.inputs, [leaf for k in np.atleast_1d(argnums) for leaf in tree.flatten(args[k])[0]], strict=True)
    )
    return blocks.blocks(graph.builder, graph.outputs, graph.inputs, known) is not None


# -- patterns ----------------------------------------------------------------------------------------------------------

W = rng.normal(size=(4, 3))
FUNCTIONS: dict[str, tuple[Callable[..., Any], Any, bool | None]] = {
    "elementwise": (lambda x: np.sin(x) * 2.0, X, True),
    "neighbours": (lambda x: x[1:] ** 2 - x[:-1], X, True),
    "stencil": (lambda x: x[2:] - 2.0 * x[1:-1] * x[:-2], X, True),
    "stencil in two directions": (lambda x: x[1:, 1:] * x[:-1, :-1] - x[1:, :-1] ** 2, rng.normal(size=(4, 5)), None),
    "twice": (lambda x: np.diff(np.sin(np.diff(x))), X, False),
    "parts": (lambda x: np.concatenate([x[1:] * x[:-1], np.sin(x), [x[0] * x[-1]]]), X, None),
    "number in all": (lambda x: x[1:] * x[0] + np.exp(x[0]), X, True),
    "rows": (lambda x: np.sum(x**2, axis=1), rng.normal(size=(5, 3)), True),
    "columns": (lambda x: np.sum(x**2, axis=0) * x[0], rng.normal(size=(3, 5)), True),
    "norms": (lambda x: np.linalg.norm(x, axis=1), rng.normal(size=(5, 3)), None),
    "softmax": (lambda x: np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True), rng.normal(size=(4, 3)), None),
    "product": (lambda x: x @ W, rng.normal(size=(5, 4)), None),
    "product from the left": (lambda x: W @ x, rng.normal(size=(3, 6)), None),
    "einsum": (lambda x: np.einsum("bi,ij,bj->b", x, W @ W.T, x), rng.normal(size=(5, 4)), None),
    "diagonal": (lambda x: np.einsum("ii->i", x) ** 2, rng.normal(size=(4, 4)), None),
    "cumsum": (lambda x: np.cumsum(x, axis=0) * x, rng.normal(size=(4, 3)), None),
    "fixed places": (lambda x: x[[3, 1, 1]] * x[[0, 1, 2]], X, True),
    "written": (lambda x: _written(x), X, None),
    "triangle": (lambda x: np.tril(x) @ np.ones(4), rng.normal(size=(4, 4)), None),
    "sorted": (lambda x: np.sort(x) * np.arange(9.0), X, None),
    "largest": (lambda x: np.max(x.reshape(3, 3), axis=0), X, None),
    "chosen": (lambda x: np.where(x > 0.0, x**2, x[::-1]), X, None),
    "loop": (lambda x: hg.scan(lambda c, v: (np.tanh(c + v), c * v), 0.5, x)[1], X, None),
    "inverse": (lambda x: np.linalg.inv(x.reshape(3, 3) + 4.0 * np.eye(3)), X, None),
    "map": (lambda x: hg.vmap(lambda v: np.array([v[0] * v[1], np.sin(v[2])]))(x), rng.normal(size=(6, 3)), True),
    "map over the last axis": (lambda x: hg.vmap(lambda v: v[0] * v[1:], 1, 1)(x), rng.normal(size=(3, 6)), True),
    "empty rows": (lambda x: np.concatenate([np.zeros(2), x[:1] ** 2, np.ones(3)]), X, None),
    "nothing used": (lambda x: np.ones(4), X, None),
    "flat": (lambda x: np.floor(x) + np.sign(x), X, None),
    "as it is": (lambda x: x[::-1], X, None),
    "number": (lambda x: np.sum(x * x), X, None),
    "of a number": (lambda x: np.sin(x) * np.arange(3.0), 0.5, None),
    "of one element": (lambda x: x * x, np.ones(1), None),
    "nothing": (lambda x: x * 2.0, np.ones(0), None),
    "no rows": (lambda x: x[:0] * 2.0, X, None),
    "integers between": (lambda x: x * np.arange(9) + x.astype(int), X, None),
}  # fmt: skip


def _written(x: Any) -> Any:
    y = np.zeros(6)
    y[1:4] = x[:3] ** 2
    y[::2] += x[5:8]
    y[5] = 1.0
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_patterns(name: str) -> None:
    f, x, blocky = FUNCTIONS[name]
    check(f, x, blocky=blocky)


def test_what_is_not_there_is_not_stored() -> None:
    assert hg.sparse_jacobian(lambda x: x[1:] ** 2 - x[:-1])(X).nnz == 16
    assert hg.sparse_jacobian(lambda x: np.diff(np.sin(np.diff(x))))(X).nnz == 21
    assert hg.sparse_jacobian(lambda x: x @ W)(np.ones((5, 4))).nnz == 60
    assert hg.sparse_jacobian(np.floor)(X).nnz == 0
    # What is zero by chance is.
    assert hg.sparse_jacobian(lambda x: x**2)(np.zeros(5)).nnz == 5


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_random_programs(random: Any) -> None:
    made = program(random, random.randint(1, 4))
    if made.dtype is np.float32:
        return
    source = made.source.rpartition("\n    return ")[0]
    names = ", ".join(
        sorted(
            {line.strip().partition(" =")[0] for line in source.split("\n")[1:] if " = " in line} & set(source.split())
        )
    )
    scope: dict[str, Any] = {"np": np}
    last = (names.split(", ") if names else ["x0"])[-1]
    exec(f"{source}\n    return {last} * 1.0", scope)
    f, args = scope["f"], made.arguments(0)
    floats = tuple(range(len(args) - 1))
    with np.errstate(all="ignore"):
        wanted = dense(f, floats, *args)
        if not np.isfinite(wanted).all() or not wanted.size:
            return
        for backend in ("numpy", "native"):
            jacobian = hg.sparse_jacobian(f, floats, backend=backend)  # type: ignore[arg-type]
            for _ in range(2):
                found = jacobian(*args)
                np.testing.assert_allclose(
                    found.toarray(), wanted, 1e-8, 1e-9 * (1.0 + np.abs(wanted).max()), str(made)
                )
                canonical(found)


# -- blocks that are picked by indices ---------------------------------------------------------------------------------


def residual(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    moved = point * camera[0] + camera[1:4]
    plane = moved[:2] / (3.0 + moved[2] ** 2)
    return weight * (plane * (1.0 + camera[4] * np.sum(plane**2)) - feature)


def mapped(cameras: Any, points: Any, weights: Any, features: Any, seen_by: Any, seen: Any) -> Any:
    found = hg.vmap(residual)(cameras[seen_by], points[seen], weights, features)
    return found.ravel(), 1.0 - weights * weights


def whole_table(cameras: Any, points: Any, weights: Any, features: Any, seen_by: Any, seen: Any) -> Any:
    def one(i: Any, j: Any, weight: Any, feature: Any) -> Any:
        return residual(cameras[i], points[j], weight, feature)

    return hg.vmap(one)(seen_by, seen, weights, features), 1.0 - weights * weights


def scene(n: int, m: int, p: int, dtype: Any = np.float64) -> tuple[Any, ...]:
    numbers = np.random.default_rng(n + m + p)
    arrays = [numbers.normal(size=shape).astype(dtype) for shape in ((n, 5), (m, 3), (p,), (p, 2))]
    return (*arrays, numbers.integers(0, n, p), numbers.integers(0, m, p))


@pytest.mark.parametrize("f", [mapped, whole_table], ids=lambda f: f.__name__)
@pytest.mark.parametrize("size", [(3, 7, 20), (2, 2, 1), (1, 1, 4)], ids=str)
def test_bundles(f: Callable[..., Any], size: tuple[int, int, int]) -> None:
    args = scene(*size)
    found = check(f, *args, argnums=(0, 1, 2))
    if size[2] > 4:
        assert found.nnz == 2 * 9 * size[2] + size[2]  # of the 3 shifts a coordinate has but two: its own and the depth
    check(f, *args[:-2], args[-2][::-1], args[-1], argnums=(1, 2))


def test_bundles_in_single_precision() -> None:
    args = scene(3, 7, 20, np.float32)
    found = check(mapped, *args, argnums=(0, 1, 2), rtol=2e-5)
    assert found.data.dtype == np.float32


def test_indices_are_read_at_each_call() -> None:
    args = scene(3, 7, 20)
    for backend in ("numpy", "native"):
        jacobian = hg.sparse_jacobian(mapped, (0, 1, 2), backend=backend)  # type: ignore[arg-type]
        jacobian(*args)
        for seed in range(3):
            numbers = np.random.default_rng(seed)
            new = (*args[:4], numbers.integers(0, 3, 20), numbers.integers(0, 7, 20))
            np.testing.assert_allclose(jacobian(*new).toarray(), dense(mapped, (0, 1, 2), *new), 1e-9, 1e-12)


def test_places_counted_from_the_end() -> None:
    args = scene(3, 7, 20)
    new = (*args[:4], args[4] - 3, args[5] - 7)
    jacobian = hg.sparse_jacobian(mapped, (0, 1, 2))
    wanted = jacobian(*args).toarray()
    for _ in range(2):
        np.testing.assert_allclose(jacobian(*new).toarray(), wanted, 1e-12, 1e-14)


def test_blocks_are_few_kernels() -> None:
    jacobian = hg.sparse_jacobian(mapped, (0, 1, 2), backend="native")
    args = scene(30, 70, 5000)
    for _ in range(2):
        jacobian(*args)
    found = re.search(r"(\d+) loops and 0 calls", jacobian.report())
    assert found
    assert int(found[1]) <= 4
    assert "called through an entry point of its own" in jacobian.report()


def test_order_and_duplicates_that_indices_bring() -> None:
    def pairs(x: Any, first: Any, second: Any) -> Any:
        return np.sin(x[first]) * x[second] ** 2

    x = rng.normal(size=6)
    first, second = np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4])
    for backend in ("numpy", "native"):
        jacobian = hg.sparse_jacobian(pairs, backend=backend)  # type: ignore[arg-type]
        for a, b in (
            (first, second),
            (first, second),
            (second, first),
            (first, np.array([1, 0, 3, 3])),
            (first, first),
        ):
            found = jacobian(x, a, b)
            np.testing.assert_allclose(found.toarray(), dense(pairs, 0, x, a, b), 1e-9)
            canonical(found)


def test_runtime_places_of_results() -> None:
    def placed(x: Any, k: Any) -> Any:
        y = np.zeros(9)
        np.add.at(y, k, x**2)
        return y

    for backend in ("numpy", "native"):
        jacobian = hg.sparse_jacobian(placed, backend=backend)  # type: ignore[arg-type]
        for k in (np.arange(9), np.arange(9)[::-1], np.zeros(9, int), np.arange(9) // 2):
            np.testing.assert_allclose(jacobian(X, k).toarray(), dense(placed, 0, X, k), 1e-9)


def test_results_belong_to_the_caller() -> None:
    jacobian = hg.sparse_jacobian(lambda x: x[1:] * x[:-1])
    first = jacobian(X)
    wanted = first.toarray()
    first.indices[:] = 0
    first.indptr[:] = 0
    first.data[:] = 0
    np.testing.assert_array_equal(jacobian(X).toarray(), wanted)


# -- Hessians and the rest ---------------------------------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@pytest.mark.parametrize("f", [rosenbrock, lambda x: np.sum(np.sin(x) ** 2), lambda x: np.sum(x) ** 2, np.sum])
def test_hessians(f: Callable[..., Any]) -> None:
    for backend in ("numpy", "native"):
        hessian = hg.sparse_hessian(f, backend=backend)  # type: ignore[arg-type]
        for _ in range(2):
            found = hessian(X)
            np.testing.assert_allclose(found.toarray(), hg.hessian(f)(X), 1e-9, 1e-12)
            canonical(found)
    assert hg.sparse_hessian(rosenbrock)(X).nnz == 25


def test_nested_arguments_and_formats() -> None:
    def f(p: Any, s: float) -> Any:
        return {"a": p["w"] * s, "b": np.array([p["b"] * p["w"][0]])}

    args = ({"w": np.arange(1.0, 4.0), "b": 2.0}, 3.0)
    wanted = dense(f, (0, 1), *args)
    for kind, made in (("csr", sparse.csr_array), ("csc", sparse.csc_array), ("coo", sparse.coo_array)):
        found = hg.sparse_jacobian(f, (0, 1), format=kind)(*args)  # type: ignore[arg-type]
        assert isinstance(found, made)
        np.testing.assert_allclose(found.toarray(), wanted)


def test_mixed_precision() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y, np.sin(x[1:]) * x[:-1]

    x, y = np.arange(1.0, 5.0, dtype=np.float32), np.arange(4.0)
    found = hg.sparse_jacobian(f, (0, 1))
    for _ in range(2):
        assert found(x, y).dtype == np.float64
        np.testing.assert_allclose(found(x, y).toarray(), dense(f, (0, 1), x, y), 1e-6)


def test_rows_made_of_several_blocks() -> None:
    def f(x: Any, k: Any) -> Any:
        y = np.zeros(5)
        y[:4] += np.sin(x[k])
        y[1:] += x[k] ** 2
        return y

    jacobian = hg.sparse_jacobian(f)
    for k in (np.array([0, 1, 2, 3]), np.array([3, 2, 1, 0]), np.array([1, 1, 1, 1])):
        for _ in range(2):
            found = jacobian(X, k)
            np.testing.assert_allclose(found.toarray(), dense(f, 0, X, k), 1e-9)
            canonical(found)


def test_infinite_derivatives() -> None:
    x = np.array([0.0, 4.0])
    for f in (np.sqrt, lambda x: np.sqrt(x) * x[::-1], lambda x: np.where(x > 0.0, np.sqrt(x), 0.0)):
        np.testing.assert_array_equal(hg.sparse_jacobian(f)(x).toarray(), dense(f, 0, x))


def test_captured_state_is_read_at_each_call() -> None:
    scale = np.ones(9)
    jacobian = hg.sparse_jacobian(lambda x: x * scale)
    for value in (1.0, 2.0, 3.0):
        scale[:] = value
        np.testing.assert_array_equal(jacobian(X).toarray(), value * np.eye(9))


def test_rules_for_one_mode_only() -> None:
    @hg.custom_vjp
    def twice(x: Any) -> Any:
        return x * 2.0

    twice.defvjp(lambda x: (x * 2.0, None), lambda _, ct: (ct * 3.0,))
    np.testing.assert_array_equal(hg.sparse_jacobian(lambda x: twice(x))(X).toarray(), 3.0 * np.eye(9))


def test_wrong_uses() -> None:
    with pytest.raises(hg.TraceError, match="inside another transform"):
        hg.grad(lambda x: np.sum(hg.sparse_jacobian(np.sin)(x).data))(X)
    with pytest.raises(hg.DtypeError, match="of real numbers"):
        hg.sparse_jacobian(lambda x: x * 1j)(X)
    with pytest.raises(ValueError, match="format is"):
        hg.sparse_jacobian(np.sin, format="dense")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="needs a function"):
        hg.sparse_jacobian(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="returned a str"):
        hg.sparse_jacobian(lambda x: "text")(X)
    with pytest.raises(hg.DtypeError, match="integer dtype"):
        hg.sparse_jacobian(np.sin)(np.arange(3))


def test_colorings() -> None:
    for _ in range(30):
        rows = sparse.random_array((20, 30), density=0.1, rng=rng, format="csr").astype(bool)
        colors, count = coloring(rows)
        assert colors.max(initial=-1) < count
        for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
            own = colors[rows.indices[start:end]]
            assert len(set(own)) == len(own)
    banded = sparse.diags_array([np.ones(100)] * 3, offsets=[-1, 0, 1], shape=(100, 100), format="csr")
    assert coloring(banded)[1] == 3


def test_large_banded() -> None:
    x = rng.normal(size=50_000)
    found = hg.sparse_jacobian(lambda x: np.diff(np.diff(x) ** 3))(x)
    step = np.diff(x) ** 2 * 3.0
    np.testing.assert_allclose(found.diagonal(), step[:-1])
    np.testing.assert_allclose(found.diagonal(2), step[1:])
    assert found.nnz == 3 * (x.size - 2)


def test_the_page_about_batching_runs() -> None:
    page = Path(__file__).parents[1] / "docs" / "batching.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 10
    assert not found.failed


def test_large_values_beside_places_from_a_table() -> None:
    """The first call waits for native code, so that what the trace knew of the places is dropped."""
    table, places = np.array([3, 1, 2, 7]), np.array([2, 0, 3])

    def f(x: Any, places: Any) -> Any:
        wide = np.sin(x[:, None] + np.linspace(0.0, 1.0, 80_000))
        return np.cumsum(np.sum(wide, axis=1))[table[places]]

    x = rng.normal(size=9)
    jacobian = hg.sparse_jacobian(f, backend="native")
    for moved in (places, places, places[::-1].copy()):
        wanted = np.cumsum(np.diag(np.sum(np.cos(x[:, None] + np.linspace(0.0, 1.0, 80_000)), axis=1)), axis=0)
        np.testing.assert_allclose(jacobian(x, moved).toarray(), wanted[table[moved]])
