"""Factorizations as native steps, against NumPy: all shapes, batches and layouts, and in programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from agreeing import both
from test_blas import as_view, laid_out, numbers, run

import hopgrad as hg
from hopgrad.aval import aval
from hopgrad.backend import NativePlan
from hopgrad.graph.builder import Builder, catalogue
from hopgrad.lower import factors
from hopgrad.lower.blas import KINDS

FLOATS = pytest.mark.parametrize("dtype", [np.float64, np.float32])
SHAPES = [(1, 1), (2, 2), (3, 2), (2, 3), (40, 40), (60, 7), (7, 60), (4, 3, 3), (2, 3, 5, 4), (2, 1, 1, 6)]


def check(
    hop: str, params: dict[str, Any], a: np.ndarray, wanted: Sequence[np.ndarray], numbers: Sequence[int]
) -> None:
    """A step gives those of the results that are asked for; it writes one at a time, so that no other is touched."""
    for number in numbers:
        out = laid_out(np.zeros_like(wanted[number]))
        step = factors.factorization(hop, KINDS[a.dtype], params, as_view(0, a), {number: as_view(1, out)})
        assert step is not None
        assert run(step, [a, out]) == 0
        close = 2e3 * np.finfo(a.dtype).eps
        np.testing.assert_allclose(out, wanted[number], close, close * float(np.abs(wanted[number]).max()))


def moved(values: np.ndarray) -> list[np.ndarray]:
    swapped = (*range(values.ndim - 2), values.ndim - 1, values.ndim - 2)
    return [laid_out(values), laid_out(values, swapped), laid_out(values, None, [-1] * values.ndim)]


@FLOATS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_numpy(shape: tuple[int, ...], dtype: Any) -> None:
    for a in moved(numbers(shape, dtype)):
        check("svd", {"full": False}, a, np.linalg.svd(a, full_matrices=False), (0, 1, 2))
        check("singular_values", {}, a, [np.linalg.svd(a, compute_uv=False)], (0,))
        check("qr", {}, a, np.linalg.qr(a), (0, 1))
        if shape[-1] == shape[-2]:
            for lower in (True, False):
                check("eigh", {"lower": lower}, a, np.linalg.eigh(a, "L" if lower else "U"), (0, 1))


def test_what_does_not_converge_ends_the_program() -> None:
    a, out = np.full((3, 3), np.nan), np.zeros(3)
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.svd(a)
    step = factors.factorization("singular_values", KINDS[a.dtype], {}, as_view(0, a), {0: as_view(1, out)})
    assert step is not None
    assert run(step, [a, out]) == 1
    fast = hg.value_and_grad(lambda x: np.sum(np.linalg.svd(x)[1]), backend="native")
    for _ in range(3):
        assert fast(np.eye(3))[0] == 3
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError):
            fast(a)
    assert factors.factorization("svd", KINDS[a.dtype], {}, as_view(0, a[:0]), {}) is None
    assert factors.factorization("svd", None, {}, as_view(0, a), {}) is None


def deficient(n: int, rank: int) -> np.ndarray:
    found: np.ndarray = numbers((n, rank), float, 5) @ numbers((rank, n), float, 6)
    return found


@FLOATS
@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_cofactors_and_pseudoinverses(n: int, dtype: Any) -> None:
    """They are made of other hops; matrices of less than full rank, and such that are not finite, among others."""
    a = np.stack([numbers((n, n), float), *(deficient(n, rank) for rank in range(n)), np.eye(n)]).astype(dtype)
    t = numbers(a.shape, dtype, 1)
    broken = a.copy()
    broken[0, 0, 0], broken[-1] = np.nan, np.inf
    cofactors, change, pinv = (catalogue[name] for name in ("cofactors", "cofactors_change", "pinv"))
    close = 1e-13 if dtype == np.float64 else 1e-5
    for hop, given, params in (
        (cofactors, [a], {}), (cofactors, [broken], {}), (change, [a, t], {}), (change, [broken, t], {}),
        (pinv, [a], {"rcond": 1e-5}),
    ):  # fmt: skip
        builder = Builder()
        operands = [builder.input(aval(x.shape, dtype), "x") for x in given]
        values = {node.id: x for node, x in zip(operands, given, strict=True)}
        plan = NativePlan(builder, [hop(*operands, **params).id], list(values))
        found = both(plan, values)
        assert plan.programs[0].is_native
        with np.errstate(all="ignore"):
            wanted = hop.function(*given, **params)
        scale = max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
        np.testing.assert_allclose(found[0], wanted, 100 * close, 100 * close * scale)


def spectral(a: Any) -> Any:
    w, v = np.linalg.eigh(a @ a.T)
    return np.sum(np.log(w + 1) * np.arange(1.0, 4.0)) + np.sum((v**2) @ np.diag([1.0, 2.0, 3.0]) * a[:, :3])


def low_rank(a: Any) -> Any:
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return np.sum(((u * s**2) @ vh) ** 2) + np.linalg.norm(a, "nuc") + np.linalg.norm(a, 2)


def determined(a: Any) -> Any:
    return np.linalg.det(a[:, :3]) ** 2 + np.linalg.det(a[:2, 1:3] * 2.0) * np.linalg.det(a.T @ a + np.eye(5))


def least(a: Any) -> Any:
    return np.sum(np.linalg.pinv(a) ** 2 * a.T)


def orthogonal(a: Any) -> Any:
    q, r = np.linalg.qr(a)
    return np.sum(np.sin(q) * a[:, :3]) + np.sum(np.abs(np.diagonal(r)) ** 1.5)


@FLOATS
@pytest.mark.parametrize("function", [spectral, low_rank, determined, least, orthogonal])
def test_derivatives(function: Callable[[Any], Any], dtype: Any) -> None:
    a, v = numbers((3, 5), dtype), numbers((3, 5), dtype, 1)
    close = 1e-10 if dtype == np.float64 else 2e-3
    with hg.use_backend("numpy"):
        wanted, turned = hg.value_and_grad(function)(a), hg.hvp(function)(a, v)
    with hg.use_backend("native"):
        fast, faster = hg.value_and_grad(function), hg.hvp(function)
        for _ in range(3):
            found, change = fast(a), faster(a, v)
        assert "by NumPy" not in fast.report() + faster.report()
    np.testing.assert_allclose(found[0], wanted[0], close)
    np.testing.assert_allclose(found[1], wanted[1], close, close * float(np.abs(wanted[1]).max()))
    np.testing.assert_allclose(change, turned, close, close * float(np.abs(turned).max()))
