"""A long short-term memory (GradBench's lstm): as a loop in Python, as a scan, and Hessian times vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import cpp
from bench.case import Array, Case
from bench.gradbench.lstm import objective, objective_by_python


def make(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    layers, steps = size
    main, extra, state = (rng.normal(size=shape) for shape in ((2 * layers, 56), (3, 14), (2 * layers, 14)))
    return main, extra, state, rng.integers(2, size=(steps + 1, 14)).astype(float)


def make_with_vector(size: tuple[int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    main, *rest = make(size, rng)
    return main, rng.normal(size=main.shape), *rest


SHARED: dict[str, Any] = {"argnums": (0, 1), "label": lambda size: "{} layers, {:,} steps".format(*size)}
NO_SCAN = "has no loop that is traced once"
SLOW = (2, 10)  # JAX compiles every step of a loop in Python: a hundred take it minutes

CASES = (
    Case(
        "lstm/loop",
        objective_by_python,
        make,
        sizes=((2, 10), (2, 100), (2, 1000)),
        cpp=cpp.lstm,
        up_to={"JAX": SLOW, "JAX device": SLOW, "autograd": SLOW},
        first_size=SLOW,
        **SHARED,
    ),
    Case(
        "lstm/scan",
        objective,
        make,
        sizes=((2, 100), (2, 1_000), (4, 1_000), (2, 10_000)),
        cpp=cpp.lstm,
        skip={"PyTorch": NO_SCAN, "autograd": NO_SCAN},
        **SHARED,
    ),
    Case(
        "lstm/hvp",
        objective,
        make_with_vector,
        sizes=((2, 10), (2, 100), (2, 1_000)),
        label=SHARED["label"],
        want="hvp",
        skip={"PyTorch": NO_SCAN, "autograd": NO_SCAN},
    ),
)
