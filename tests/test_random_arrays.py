"""Random programs over arrays, computed by native code as by the interpreter: values, gradients, Hessian products.

Where they differ by more than rounding, the same program in a longer floating-point format tells which one is right.

``HOPGRAD_EXAMPLES=10000 pytest tests/test_random_arrays.py`` looks for longer than the tests usually do.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_arrays import Program, program

import hopgrad as hg
from hopgrad import tree
from hopgrad.errors import HopgradError

EXAMPLES = int(os.environ.get("HOPGRAD_EXAMPLES", "120"))

DIGITS = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
"""How far results may differ, relative to the largest element."""

Transform = Callable[..., Callable[..., Any]]


def gradient(f: Callable[..., Any], count: int, backend: Any) -> Callable[..., Any]:
    return hg.value_and_grad(f, tuple(range(count)), backend=backend)


def product(f: Callable[..., Any], count: int, backend: Any) -> Callable[..., Any]:
    """The Hessian by the first argument times a vector that is as easy to make."""
    multiplied = hg.hvp(f, 0)

    def call(*args: Any) -> Any:
        with hg.use_backend("numpy") if backend == "numpy" else contextlib.nullcontext():
            return multiplied(args[0], np.cos(args[0]), *args[1:])

    return call


def flat(value: Any) -> list[Any]:
    return [np.asarray(leaf) for leaf in tree.flatten(value)[0]]


def far(one: Any, other: Any, digits: float) -> float:
    """How far values differ, in units of what rounding explains; infinite where they are of another kind."""
    if one.shape != other.shape or not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return np.inf
    usual = np.isfinite(other)
    if not np.array_equal(one[~usual], other[~usual], equal_nan=True):
        return np.inf
    # Values are about 1, and what cancels leaves their rounding.
    scale = float(np.max(np.abs(other), initial=0.0, where=usual)) + 0.01
    return float(np.max(np.abs(one - other), initial=0.0, where=usual)) / (digits * scale)


def check(program: Program) -> tuple[str, str]:
    """("right", "rounding", "refused" or "wrong", in which way)."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", hg.NativeCodeWarning)
        found = [of(program, transform) for transform in (gradient, product)]
    return next((outcome for outcome in found if outcome[0] != "right"), found[0])


def of(program: Program, transform: Transform) -> tuple[str, str]:
    f, count = program.function(), len(program.shapes)
    slow, fast = transform(f, count, "numpy"), transform(f, count, "native")
    digits = DIGITS[np.dtype(program.dtype)]
    outcome = ("right", "")
    for call in (0, 0, 1, 2):
        args = program.arguments(call)
        try:
            wanted = flat(slow(*args))
        except (HopgradError, np.linalg.LinAlgError) as error:
            return "refused", f"{type(error).__name__}: {error}"
        found = flat(fast(*args))
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            if one.dtype != other.dtype:
                return "wrong", f"{transform.__name__} {number} has dtype {one.dtype} instead of {other.dtype}"
            if far(one, other, digits) > 1:
                longer = [a.astype(np.longdouble) for a in args[:-1]]
                try:
                    exact = flat(transform(f, count, "numpy")(*longer, args[-1]))[number]
                except TypeError:  # there is no linear algebra of longer numbers
                    exact = other
                ours, numpys = far(one, exact, digits), far(other, exact, digits)
                told = f"{transform.__name__} {number} at call {call}: off by {ours:.3g}, NumPy by {numpys:.3g}"
                if ours > 100 * max(1.0, numpys):
                    return "wrong", f"{told}\n{one!r}\ninstead of\n{other!r}"
                outcome = ("rounding", told)
    if transform is gradient:
        assert "compiled in" in fast.report()  # type: ignore[attr-defined]
    return outcome


@st.composite
def programs(draw: st.DrawFn) -> Program:
    return program(Random(draw(st.integers(0, 1 << 30))), draw(st.integers(2, 14)))


@pytest.fixture(autouse=True, scope="module")
def native() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_BACKEND", "native")
        patch.setenv("HOPGRAD_CACHE_DIR", "")
        yield


def test_random_arrays() -> None:
    counts: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES <= 1000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def run(program: Program) -> None:
        kind, detail = check(program)
        counts[kind] += 1
        assert kind != "wrong", f"{detail}\n\n{program}"

    run()
    print(dict(counts))
    assert counts["refused"] + counts["rounding"] < 0.1 * sum(counts.values())
