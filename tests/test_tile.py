"""Loops over large arrays in tiles: the interpreter's values, and only where no step mixes elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreeing import agreeing
from hypothesis import given, settings
from hypothesis import strategies as st

import hopgrad as hg
from hopgrad.simplify import roll, rolled, tile, tiled


@pytest.fixture(autouse=True)
def small_tiles(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "kernels"))
    monkeypatch.setattr(roll, "LEAST", 0)
    monkeypatch.setattr(tile, "TILE", 4)
    monkeypatch.setattr(tile, "LEAST", 2)


def check(f: Callable[..., Any], *args: Any) -> int:
    """The interpreter's values, from the graph in tiles and natively; how many loops were cut."""
    made = agreeing(lambda made: tiled(rolled(made)), f, *args, double=1e-12, single=1e-5)
    return dict(made.passes).get("loops in tiles", 0)


def horner(x: Any, c: Any) -> Any:
    value = np.zeros_like(x)
    for k in range(20):
        value = value * x + c[k]
    return np.sum(value * value)


C = np.cos(np.arange(20.0))


@pytest.mark.parametrize("size", [7, 8, 9, 12, 31])
def test_polynomials(size: int) -> None:
    x = np.linspace(-1, 1, size)
    tiles = [check(horner, x, C), check(hg.grad(horner, 1), x, C), check(hg.value_and_grad(horner, 1), x, C)]
    assert tiles == ([0, 0, 0] if size < 8 else [1, 2, 2])


def test_axes_and_precision() -> None:
    x = np.linspace(-1, 1, 30).reshape(5, 3, 2)
    assert check(horner, x, C) == 1
    assert check(hg.grad(horner, 1), x.astype(np.float32), C.astype(np.float32)) == 2


@pytest.mark.parametrize("reverse", [False, True])
def test_several_carries(reverse: bool) -> None:
    def f(x: Any, y: Any, rate: Any) -> Any:
        def step(state: Any, c: Any) -> Any:
            x, v, t = state
            v = v - 0.1 * rate * np.sin(x) * y
            return (x + 0.1 * v + c, v, t * 0.9 + c), (np.sum(x * v), t)

        (x, v, t), (energies, times) = hg.scan(step, (x, np.zeros_like(x), 1.0), C, reverse=reverse)
        return x, v, t, energies, times

    assert check(f, np.linspace(0, 1, 13), np.linspace(1, 2, 13), 0.7) == 1


def test_a_carry_that_begins_as_one_number() -> None:
    def f(x: Any) -> Any:
        return hg.scan(lambda s, c: (s * 0.5 + x * c, None), np.broadcast_to(1.5, x.shape), C)[0]

    assert check(f, np.linspace(0, 1, 10)) == 1


STAYS: dict[str, Callable[..., Any]] = {
    "rows": lambda x, c: hg.scan(lambda s, a: (np.sin(s + a), s), x, c)[1],
    "shifted": lambda x, c: hg.scan(lambda s, a: (np.concatenate([s[1:], s[:1]]) * a, None), x, c)[0],
    "normed": lambda x, c: hg.scan(lambda s, a: (s / np.sum(s * s) + a, None), x, c)[0],
    "sum that goes on": lambda x, c: hg.scan(lambda s, a: ((s[0] * a, s[1] + np.sum(s[0])), None), (x, 0.0), c)[0],
    "largest": lambda x, c: hg.scan(lambda s, a: (s * a, np.max(s)), x, c)[1],
    "product": lambda x, c: hg.scan(lambda s, a: (np.outer(x, x) @ s * a, None), x, c)[0],
    "two sizes": lambda x, c: hg.scan(lambda s, a: ((s[0] * a, s[1] + a), None), (x, x[:9]), c)[0],
    "one axis": lambda x, c: hg.scan(lambda s, a: (s * a, np.sum(s, axis=0)), np.outer(x, x[:3]), c)[1],
}


@pytest.mark.parametrize("name", STAYS)
def test_what_mixes_elements_stays(name: str) -> None:
    assert check(STAYS[name], np.linspace(0.5, 1, 12), C) == 0


def test_derivatives_of_nonlinear_loops() -> None:
    def f(x: Any) -> Any:
        return np.sum(hg.scan(lambda s, c: (np.sin(s) * c, None), x, C)[0])

    check(hg.grad(f), np.linspace(0, 1, 11))
    check(lambda x: hg.jvp(f, (x,), (np.ones_like(x),)), np.linspace(0, 1, 11))


STEPS: list[Callable[[Any, Any, Any, Any], Any]] = [
    lambda s, x, a, c: s * x + c,
    lambda s, x, a, c: np.maximum(s, 0.3 * x) - a,
    lambda s, x, a, c: np.where(s > c, s, x * a),
    lambda s, x, a, c: np.tanh(s + c) / (1.5 + np.cos(x)),
    lambda s, x, a, c: 0.5 * s + c * a,
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(range(len(STEPS))), min_size=1, max_size=3), st.integers(8, 21), st.booleans())
def test_random_loops(steps: list[int], size: int, summed: bool) -> None:
    def f(x: Any, a: Any) -> Any:
        def step(state: Any, c: Any) -> Any:
            s, t = state
            for k in steps:
                s = STEPS[k](s, x, t, c)
            return (s, 0.7 * t + c), np.sum(s) if summed else t

        (s, t), rows = hg.scan(step, (x, a), C)
        return s, t, rows

    assert check(f, np.linspace(-1, 1, size), 0.3) == 1
