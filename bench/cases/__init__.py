"""The cases, one module a family."""

from __future__ import annotations

from bench.case import Case
from bench.cases import (
    black_scholes,
    bundle,
    elementwise,
    gaussian_process,
    gmm,
    hand,
    kmeans,
    least_squares,
    logistic,
    logsumexp,
    lstm,
    minors,
    mlp,
    nbody,
    networks,
    ode,
    overhead,
    reductions,
    rosenbrock,
    softmax,
    stacks,
    stencil,
    training,
    unrolled,
)

FAMILIES = (
    overhead,
    elementwise,
    reductions,
    logsumexp,
    softmax,
    rosenbrock,
    logistic,
    nbody,
    black_scholes,
    kmeans,
    mlp,
    gaussian_process,
    stacks,
    stencil,
    unrolled,
    least_squares,
    gmm,
    bundle,
    hand,
    lstm,
    ode,
    minors,
    networks,
    training,
)

CASES: dict[str, Case] = {case.name: case for family in FAMILIES for case in family.CASES}
