"""What is computed twice natively is equal to itself: no tie falls, and no largest element is lost, by a last digit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hopgrad as hg

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "arctan": np.arctan,
    "exp": np.exp,
    "power": lambda x: np.abs(x) ** 2.5,
}

USES: dict[str, Callable[[Any], Any]] = {
    "max": lambda v: np.max(v) * 3 + np.sum(v),
    "max of rows": lambda v: np.sum(np.max(v, axis=-1, keepdims=True) * v),
    "min of columns": lambda v: np.sum(np.min(v, axis=0) * 3) + np.sum(v),
    "range": lambda v: np.ptp(v) + np.sum(v * v),
    "norm": lambda v: np.linalg.norm(v.ravel(), np.inf) + np.sum(v),
    "equal": lambda v: np.sum(np.where(v == v.max(), v * 5, v)),
    "clip": lambda v: np.sum(np.clip(v, v.min() * 1.1, v.max() * 0.9)),
    "argmax": lambda v: v.ravel()[np.argmax(v)] * 4 + np.sum(v),
    "with an element": lambda v: np.sum(np.maximum(v.ravel()[0], v)) + np.sum(v),
    "reshaped": lambda v: np.max(v.reshape(-1, 1), axis=0)[0] + np.sum(v),
    "turned": lambda v: np.sum(np.max(v.T, axis=0) * 2) + np.sum(v),
    "every second": lambda v: np.max(v[..., ::2]) + np.sum(v),
    "later": lambda v: np.max(v * 2 + 1) + np.sum(v * 2 + 1),
    "steps": lambda v: np.sum(np.floor(v * 8) / 8 * v + (v * 8 - np.floor(v * 8)) * v),
}


@pytest.mark.parametrize("shape", [(1, 4), (3,), (5, 3), (1003,), (50, 37)])
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_the_interpreter(name: str, use: str, shape: tuple[int, ...]) -> None:
    def f(x: Any) -> Any:
        return USES[use](FUNCTIONS[name](x))

    g, wanted = hg.grad(f, backend="native"), hg.grad(f, backend="numpy")
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.uniform(0.1, 2, size=shape)
        g(x)
        np.testing.assert_allclose(g(x), wanted(x), 1e-10, 1e-10)
