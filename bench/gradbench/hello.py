"""The square of a number, and its derivative."""

from __future__ import annotations

import hopgrad as hg
from bench.gradbench.problem import Input, Problem


def square(x: float) -> float:
    return x * x


double = hg.grad(square)


def read(input: Input) -> tuple[float]:
    return (float(input),)


CALLS = {"square": Problem(hg.compile(square), read), "double": Problem(double, read)}
