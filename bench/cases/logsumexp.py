"""The logarithm of a sum of exponentials, made safe by its largest term."""

from __future__ import annotations

import numpy as np

from bench import cpp
from bench.case import Array, Case


def logsumexp(x: Array) -> Array:
    top = np.max(x)
    return np.log(np.sum(np.exp(x - top))) + top


def logsumexp_by_hand(x: Array) -> Array:
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def logsumexp_casadi(x: Array) -> Array:
    import casadi

    return casadi.logsumexp(x)


CASES = (
    Case(
        "logsumexp",
        logsumexp,
        make=lambda n, rng: (rng.random(n),),
        sizes=(2_500, 80_000, 1_280_000),
        by_hand=logsumexp_by_hand,
        casadi=logsumexp_casadi,
        cpp=cpp.lse,
    ),
)
