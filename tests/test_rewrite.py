"""Values that are the same, written in different ways: merged before a sweep, with the same results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from random_arrays import program

import hopgrad as hg
from hopgrad import rewrite
from hopgrad.errors import HopgradError

rng = np.random.default_rng(17)


@pytest.fixture(autouse=True, scope="module")
def kept_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels on disk, in a place of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def by_delete(A: Any) -> Any:
    if len(A) == 1:
        return A[0, 0]
    return sum((-1) ** j * A[0, j] * by_delete(np.delete(A[1:], j, axis=1)) for j in range(len(A)))


def by_concatenate(A: Any) -> Any:
    if A.shape == (2, 2):
        return A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
    total = 0.0
    for j in range(len(A)):
        minor = np.concatenate([A[1:, :j], A[1:, j + 1 :]], axis=1)
        total += (-1) ** j * A[0, j] * by_concatenate(minor)
    return total


def by_mask(A: Any) -> Any:
    if len(A) == 1:
        return A[0, 0]
    columns = np.arange(len(A))
    return sum((-1) ** j * A[0, j] * by_mask(A[1:][:, columns != j]) for j in columns)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("determinant", [by_delete, by_concatenate, by_mask])
def test_minors_of_minors(determinant: Callable[[Any], Any], backend: Any) -> None:
    A = rng.normal(size=(6, 6))
    wanted = np.linalg.det(A) * np.linalg.inv(A).T
    both = hg.value_and_grad(determinant, backend=backend)
    single = both(A.astype(np.float32))[1]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, wanted, rtol=2e-3, atol=2e-3)
    for _ in range(3):
        value, gradient = both(A)
        np.testing.assert_allclose(value, np.linalg.det(A), rtol=1e-11)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-10, atol=1e-12)
    if backend == "native":
        assert len(list(both.graph)) < 1200  # of six times 2⁵ products; there are 720 paths


def test_second_order() -> None:
    A, V = rng.normal(size=(5, 5)), rng.normal(size=(5, 5))
    gradient = lambda A: np.linalg.det(A) * np.linalg.inv(A).T  # noqa: E731
    wanted = (gradient(A + 1e-5 * V) - gradient(A - 1e-5 * V)) / 2e-5
    product = hg.hvp(by_concatenate)
    for _ in range(3):
        np.testing.assert_allclose(product(A, V), wanted, rtol=1e-6, atol=1e-7)
    value, tangent = hg.jvp(by_concatenate, (A,), (V,))
    np.testing.assert_allclose(value, np.linalg.det(A), rtol=1e-11)
    np.testing.assert_allclose(tangent, np.sum(gradient(A) * V), rtol=1e-10)


def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "FEW", 0)
    monkeypatch.setattr(rewrite, "WORTH", 10)


def test_what_is_not_taken_stays_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same element, taken in two ways: once under a choice that leaves it out, once not used at all."""

    def f(x: Any) -> Any:
        again = np.concatenate([x[2:], x[:2]])
        return np.sum(np.where(x > 0, np.sqrt(x), 0.0)) + np.sum(np.sqrt(again)[3:]) + x[1:][0] * again[-1]

    x = np.array([4.0, 9.0, 0.0, 1.0, 16.0])
    wanted = hg.grad(f, backend="numpy")(x)
    assert np.isfinite(wanted).all()
    always(monkeypatch)
    for backend in ("numpy", "native"):
        gradient = hg.grad(f, backend=backend)  # type: ignore[arg-type]
        for _ in range(2):
            np.testing.assert_allclose(gradient(x), wanted, rtol=1e-15)


def test_draws_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch)
    f = lambda x: np.sum(x * np.random.normal(size=3)) + np.sum(x * np.random.normal(size=3))  # noqa: E731
    np.random.seed(3)
    wanted = np.random.normal(size=3) + np.random.normal(size=3)
    np.random.seed(3)
    np.testing.assert_allclose(hg.grad(f)(np.ones(3)), wanted)


@pytest.mark.parametrize("seed", range(80))
def test_random_programs_keep_their_gradients(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(Random(seed), 4 + seed % 12)
    f, numbers = made.function(), tuple(range(len(made.shapes)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            plain = hg.value_and_grad(f, numbers, backend="numpy")(*made.arguments(0))
        except (HopgradError, np.linalg.LinAlgError):
            pytest.skip("no derivative")
        always(monkeypatch)
        value, found = hg.value_and_grad(f, numbers, backend="numpy")(*made.arguments(0))
    digits = 1e-9 if made.dtype == np.float64 else 1e-3
    np.testing.assert_allclose(value, plain[0], rtol=digits)
    for one, other in zip(found, plain[1], strict=True):
        usual = np.abs(other[np.isfinite(other)])
        np.testing.assert_allclose(one, other, rtol=digits, atol=digits * np.max(usual, initial=1.0))
