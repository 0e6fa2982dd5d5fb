"""The logarithm of a sum of exponentials."""

from __future__ import annotations

import numpy as np

import hopgrad as hg
from bench.case import Array
from bench.gradbench.problem import Input, Problem


def primal(x: Array) -> Array:
    top = np.max(x)
    return np.log(np.sum(np.exp(x - top))) + top


gradient = hg.grad(primal)


def read(input: Input) -> tuple[Array]:
    return (np.array(input["x"]),)


CALLS = {"primal": Problem(hg.compile(primal), read), "gradient": Problem(gradient, read)}
