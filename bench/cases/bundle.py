"""Bundle adjustment (GradBench's ba): the gradient of the sum of squares that an optimizer makes small.

The sparse Jacobian, which GradBench times, is built by hand from gradients in `bench.gradbench.ba`.
"""

from __future__ import annotations

import numpy as np

from bench import cpp
from bench.case import Array, Case
from bench.gradbench.ba import squares


def make(size: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    n, m, p = size
    camera = np.array([0.1, -0.2, 0.3, 0.0, 0.0, -5.0, 1.5, 0.1, -0.1, 0.02, -0.01])
    cameras = camera + 0.01 * rng.normal(size=(n, 11))
    places = np.arange(p)
    return cameras, rng.normal(size=(m, 3)), rng.random(p), rng.normal(size=(p, 2)), places % n, places % m


CASES = (
    Case(
        "bundle-adjustment",
        squares,
        make,
        sizes=((3, 20, 50), (49, 7_776, 31_843), (257, 65_132, 225_911)),
        label=lambda size: "{} cameras, {:,} points, {:,} seen".format(*size),
        argnums=(0, 1, 2),
        cpp=cpp.ba,
    ),
)
