"""Bundle adjustment (GradBench's ba): the gradient of the sum of squares, and the sparse Jacobian.

GradBench wants the elements that are always zero, too: `bench.gradbench.ba` puts them in.
"""

from __future__ import annotations

import numpy as np

from bench import cpp
from bench.case import Array, Case
from bench.gradbench.ba import objective, squares


def make(size: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    n, m, p = size
    camera = np.array([0.1, -0.2, 0.3, 0.0, 0.0, -5.0, 1.5, 0.1, -0.1, 0.02, -0.01])
    cameras = camera + 0.01 * rng.normal(size=(n, 11))
    places = np.arange(p)
    return cameras, rng.normal(size=(m, 3)), rng.random(p), rng.normal(size=(p, 2)), places % n, places % m


SIZES = ((3, 20, 50), (49, 7_776, 31_843), (257, 65_132, 225_911))
NOT_SPARSE = "no sparse Jacobians from the function as it is"


def label(size: tuple[int, int, int]) -> str:
    return "{} cameras, {:,} points, {:,} seen".format(*size)


CASES = (
    Case("bundle-adjustment", squares, make, sizes=SIZES, label=label, argnums=(0, 1, 2), cpp=cpp.ba),
    Case(
        "bundle-adjustment, sparse Jacobian", objective, make, sizes=SIZES, label=label, want="sparse_jacobian",
        argnums=(0, 1, 2), cpp=cpp.ba_jacobian,
        skip=dict.fromkeys(("JAX", "JAX device", "PyTorch", "autograd", "CasADi"), NOT_SPARSE),
    ),
)  # fmt: skip
