"""A determinant by expansion along its first row, differentiated by the matrix.

Minors of the last rows belong to several columns; each is computed once.
"""

from __future__ import annotations

import functools

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem


def primal(A: Array) -> Array:
    n = len(A)

    @functools.cache
    def minor(columns: tuple[int, ...]) -> Array:
        """The determinant of these columns of the last rows."""
        row = n - len(columns)
        if row == n:
            return 1.0
        total = 0.0
        for k, column in enumerate(columns):
            term = A[row, column] * minor(columns[:k] + columns[k + 1 :])
            total = total - term if k % 2 else total + term
        return total

    return minor(tuple(range(n)))


gradient = hg.grad(primal)


def read(input: Input) -> tuple[Array]:
    n = int(input["ell"])
    return (np.array(input["A"], dtype=float).reshape(n, n),)


def write(gradient: Array) -> list[float]:
    found: list[float] = gradient.ravel().tolist()
    return found


CALLS = {"primal": Problem(hg.compile(primal), read), "gradient": Problem(gradient, read, write)}
