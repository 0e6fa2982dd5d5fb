"""Gradients in hand-written C++, called through ctypes: a peer without any tool for derivatives.

``make bench`` compiles ``peers.cpp`` for this machine if there is a compiler. Each function takes the arguments of the
case that it belongs to and gives new arrays, as all tools do.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

import numpy as np

from bench.case import Array

LIBRARY = Path(__file__).parent / "peers.so"
COMPILER = LIBRARY.with_suffix(".txt")  # what made it, in its own words


def version() -> str:
    """The compiler that made the library."""
    return COMPILER.read_text().strip() if COMPILER.exists() else "none"


@functools.cache
def loaded() -> ctypes.CDLL:
    """The library."""
    return ctypes.CDLL(str(LIBRARY))


def call(name: str, *args: Any) -> None:
    """One of its functions on sizes, numbers and arrays."""
    getattr(loaded(), name)(*map(passed, args))


def passed(value: Any) -> Any:
    """An argument as C++ takes it."""
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    return ctypes.c_int64(value) if isinstance(value, int) else ctypes.c_double(value)


def dense(*arrays: Array) -> list[Array]:
    """The arrays as C++ reads them; they are copied only if their elements do not lie one after the other."""
    return [np.ascontiguousarray(array) for array in arrays]


def lse(x: Array) -> Array:
    """The gradient of log Σ exp x."""
    (x,) = dense(x)
    by_x = np.empty_like(x)
    call("lse", x.size, x, by_x)
    return by_x


def llsq(x: Array, n: int) -> Array:
    """The gradient of `bench.gradbench.llsq`."""
    (x,) = dense(x)
    by_x = np.empty_like(x)
    call("llsq", x.size, n, x, by_x)
    return by_x


def gmm(alpha: Array, mu: Array, q: Array, l: Array, x: Array, gamma: float, m: int) -> list[Array]:  # noqa: E741
    """The gradients of `bench.gradbench.gmm`."""
    parameters = dense(alpha, mu, q, l)
    (x,) = dense(x)
    gradients = [np.empty_like(part) for part in parameters]
    n, d = x.shape
    call("gmm", d, len(alpha), n, m, gamma, x, *parameters, *gradients)
    return gradients


def ba(cameras: Array, points: Array, weights: Array, features: Array, seen_by: Array, seen: Array) -> list[Array]:
    """The gradients of the squares of `bench.gradbench.ba`."""
    parameters = dense(cameras, points, weights)
    rest = dense(features, seen_by, seen)
    gradients = [np.empty_like(part) for part in parameters]
    call("ba", len(cameras), len(points), len(weights), *parameters, *rest, *gradients)
    return gradients


def ba_jacobian(
    cameras: Array, points: Array, weights: Array, features: Array, seen_by: Array, seen: Array
) -> list[Array]:
    """The sparse Jacobian of `bench.gradbench.ba` by rows: where each begins, columns, values."""
    parts = dense(cameras, points, weights, features, seen_by, seen)
    p = len(weights)
    found = [np.empty(3 * p + 1, np.int32), np.empty(29 * p, np.int32), np.empty(29 * p)]
    call("ba_jacobian", len(cameras), len(points), p, *parts, *found)
    return found


def lstm(main: Array, extra: Array, state: Array, sequence: Array) -> list[Array]:
    """The gradients of `bench.gradbench.lstm`."""
    parameters = dense(main, extra)
    rest = dense(state, sequence)
    gradients = [np.empty_like(part) for part in parameters]
    call("lstm", len(main) // 2, *sequence.shape, *parameters, *rest, *gradients)
    return gradients
