"""Convolutions: the hop for every window of sums, and its native step, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from test_blas import as_view, laid_out, numbers, run

import hopgrad as hg
from hopgrad.hops.products import convolve as hop
from hopgrad.lower import convolve

LENGTHS = [1, 2, 3, 7, 33, 100, 1000]


def windows(n: int, m: int) -> list[tuple[int, int]]:
    """(start, length) of those that have all elements in them: the largest, the smallest, and one between."""
    low, high = sorted((n, m))
    return sorted({(0, n + m - 1), (low - 1, high - low + 1), ((low - 1) // 2, high), (0, high)})


def exact(a: Any, v: Any, start: int, length: int) -> Any:
    return np.convolve(a.astype(np.longdouble), v.astype(np.longdouble))[start : start + length]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_window(n: int, dtype: Any) -> None:
    for m, (step, other) in itertools.product(LENGTHS, ((1, 1), (-1, 2), (2, -1))):
        a, v = (laid_out(numbers((k,), dtype, k), None, [s]) for k, s in ((n, step), (m, other)))
        for start, length in windows(n, m):
            out = laid_out(np.full(length, np.nan, dtype))
            made = convolve.convolve(a.dtype, as_view(0, a), as_view(1, v), as_view(2, out), start)
            assert made is not None
            assert run(made, [a, v, out]) == 0
            wanted = exact(a, v, start, length)
            scale = exact(abs(a), abs(v), start, length)
            bound = 2 * np.sqrt(min(n, m)) * np.finfo(dtype).eps * scale + np.finfo(dtype).tiny
            assert (abs(out - wanted) <= bound).all()
            assert (abs(hop.function(a, v, start=start, length=length) - wanted) <= bound).all()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_what_is_beyond_the_ends_is_not_multiplied(backend: Any) -> None:
    random = np.random.default_rng(0)
    for n, m in ((5, 3), (80, 40), (3, 60), (70, 70)):
        a, v = (random.choice([1.0, 2.0, np.inf, np.nan, 0.0], size, p=[0.5, 0.4, 0.04, 0.01, 0.05]) for size in (n, m))
        for mode in ("full", "same", "valid"):
            fast = hg.compile(lambda a, v, mode=mode: np.convolve(a, v, mode), backend=backend)
            with np.errstate(invalid="ignore"):
                wanted = np.convolve(a, v, mode)
                for _ in range(2):
                    np.testing.assert_array_equal(fast(a, v), wanted)


def test_windows_that_leave_elements_out_are_refused() -> None:
    for start, length in ((-1, 4), (2, 2), (0, 2), (0, 5)):
        with pytest.raises(hg.ShapeError, match="no window"):
            hop.infer(*[hg.aval.aval((n,), np.float64) for n in (3, 2)], start=start, length=length)


def filtered(x: Any, w: Any) -> Any:
    smooth = np.convolve(x, w, "same")
    edges = np.convolve(np.tanh(smooth), w[::-1] * 2.0, "valid")
    return np.sum(edges**2) + np.sum(np.correlate(x * x, w, "full") ** 3) + np.sum(np.correlate(w, smooth, "same"))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "m"), [(9, 3), (200, 21), (7, 7), (1, 1)])
def test_derivatives(n: int, m: int, dtype: Any) -> None:
    """Native code has those of the interpreter, to the second order, and does without NumPy."""
    x, w, v = numbers((n,), dtype), numbers((m,), dtype, 1) / np.sqrt(m).astype(dtype), numbers((n,), dtype, 2)
    close = 1e-11 if dtype == np.float64 else 2e-4
    with hg.use_backend("numpy"):
        wanted, turned = hg.grad(filtered, (0, 1))(x, w), hg.hvp(filtered)(x, v, w)
    with hg.use_backend("native"):
        fast, faster = hg.grad(filtered, (0, 1)), hg.hvp(filtered)
        for _ in range(3):
            found, change = fast(x, w), faster(x, v, w)
        assert "by NumPy" not in fast.report() + faster.report()
    for one, other in ((found[0], wanted[0]), (found[1], wanted[1]), (change, turned)):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, close, close * float(np.abs(other).max()))
    if dtype == np.float64:
        hg.check_grads(filtered, (x, w), 2)
