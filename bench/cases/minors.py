"""A determinant by expansion along its first row: a recursion over single numbers, differentiated by the matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.case import Array, Case


def minor(A: Array, row: int, columns: Sequence[int]) -> Array:
    """The determinant of some columns of the last rows."""
    if row == len(A) - 1:
        return A[row, columns[0]]
    total = 0.0
    for k, column in enumerate(columns):
        term = A[row, column] * minor(A, row + 1, [*columns[:k], *columns[k + 1 :]])
        total = total - term if k % 2 else total + term
    return total


def determinant(A: Array) -> Array:
    return minor(A, 0, range(len(A)))


def by_hand(A: Array) -> Array:
    return np.linalg.det(A) * np.linalg.inv(A).T


CASES = (
    Case(
        "minors",
        determinant,
        make=lambda n, rng: (rng.uniform(size=(n, n)),),
        sizes=(4, 5, 6, 7),
        by_hand=by_hand,
        up_to={**dict.fromkeys(("JAX", "JAX device"), 5), **dict.fromkeys(("PyTorch", "autograd"), 6)},
    ),
)
