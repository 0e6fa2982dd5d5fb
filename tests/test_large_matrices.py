"""Linear algebra beyond the sweep of small matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopgrad as hg


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("shape", [(48, 48), (103, 103), (2, 51, 51)])
def test_pullbacks_of_large_cholesky_factors(shape: tuple[int, ...], upper: bool) -> None:
    """By halves: as the derivative forwards says, to second order."""
    rng = np.random.default_rng(0)
    n = shape[-1]
    root, weights, t, u = (rng.normal(size=shape) for _ in range(4))
    a = root @ np.swapaxes(root, -1, -2) + n * np.eye(n)

    def f(a: Any) -> Any:
        return np.sum(weights * np.linalg.cholesky(a, upper=upper) ** 2)

    for backend in ("numpy", "native"):
        for gradient in (hg.grad(f, backend=backend)(a), hg.grad(f, backend=backend)(a)):
            along = hg.jvp(f, (a,), (t,))[1]
            assert np.sum(gradient * t) == pytest.approx(along, rel=1e-10)
        twice = hg.hvp(f, backend=backend)(a, t)
        assert np.sum(twice * u) == pytest.approx(hg.jvp(lambda a: hg.jvp(f, (a,), (t,))[1], (a,), (u,))[1], rel=1e-9)
