"""Prices of European calls by Black and Scholes: the derivatives by all five inputs (the Greeks)."""

from __future__ import annotations

import numpy as np
from scipy import special

from bench.case import Array, Case


def normal_cdf(x: Array) -> Array:
    return 0.5 * (1 + special.erf(x / 1.4142135623730951))


def total_price(spot: Array, strike: Array, years: Array, rate: Array, sigma: Array) -> Array:
    spread = sigma * np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate + 0.5 * sigma**2) * years) / spread
    d2 = d1 - spread
    return np.sum(spot * normal_cdf(d1) - strike * np.exp(-rate * years) * normal_cdf(d2))


def greeks_by_hand(spot: Array, strike: Array, years: Array, rate: Array, sigma: Array) -> tuple[Array, ...]:
    root = np.sqrt(years)
    spread = sigma * root
    d1 = (np.log(spot / strike) + (rate + 0.5 * sigma**2) * years) / spread
    discount = np.exp(-rate * years)
    inside = normal_cdf(d1 - spread)
    vega = spot * np.exp(-0.5 * d1 * d1) * (root / 2.5066282746310002)
    owed = strike * discount * inside
    return normal_cdf(d1), -discount * inside, 0.5 * vega * sigma / years + rate * owed, years * owed, vega


def total_price_casadi(spot: Array, strike: Array, years: Array, rate: Array, sigma: Array) -> Array:
    import casadi

    def cdf(x: Array) -> Array:
        return 0.5 * (1 + casadi.erf(x / 1.4142135623730951))

    spread = sigma * casadi.sqrt(years)
    d1 = (casadi.log(spot / strike) + (rate + 0.5 * sigma**2) * years) / spread
    return casadi.sum1(spot * cdf(d1) - strike * casadi.exp(-rate * years) * cdf(d1 - spread))


def make(n: int, rng: np.random.Generator) -> tuple[Array, ...]:
    ranges = ((80, 120), (80, 120), (0.1, 2), (0.0, 0.1), (0.1, 0.5))
    return tuple(rng.uniform(low, high, size=n) for low, high in ranges)


CASES = (
    Case(
        "black-scholes",
        total_price,
        make,
        sizes=(100, 10_000, 1_000_000),
        argnums=(0, 1, 2, 3, 4),
        by_hand=greeks_by_hand,
        casadi=total_price_casadi,
        up_to={"CasADi": 10_000},
    ),
)
