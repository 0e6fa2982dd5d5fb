"""Random numbers as a function of a counter and a key: no state, so a program that uses them can be replayed."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.graph.hop import REAL, Case, Function, elementwise

INTEGER = np.dtype(np.int64)
"""Of counters, keys and results."""

_WORD = 0xFFFFFFFF
_MULTIPLIER, _WEYL, _ROUNDS = 0xD256D193, 0x9E3779B9, 10


def philox(low: Any, high: Any, key: Any) -> tuple[Any, Any]:
    """Two words of 32 bits from two words and a key, all of them as uint64: Philox2x32-10.

    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
    """
    for round_ in range(_ROUNDS):
        product = np.uint64(_MULTIPLIER) * low
        bumped = (key + np.uint64(round_ * _WEYL & _WORD)) & np.uint64(_WORD)
        low, high = (product >> np.uint64(32)) ^ bumped ^ high, product & np.uint64(_WORD)
    return low, high


def _random_bits(counter: Any, key: Any, *, dtype: np.dtype[Any]) -> Any:
    counter, key = (np.asarray(v, INTEGER).view(np.uint64) for v in (counter, key))
    word, half = np.uint64(_WORD), np.uint64(32)
    low, high = philox(counter & word, (counter ^ key) >> half, key & word)
    bits = (low << np.uint64(21)) | (high >> np.uint64(11))
    return bits.view(INTEGER)[()]


# The same over whole numbers of 64 bits in native code, where >> brings in zeros.
_LOWERING = "; ".join([
    f"c = a & {_WORD}; h = (a ^ b) >> 32; k = b & {_WORD}",
    *[
        f"p = c * {_MULTIPLIER}; c = (p >> 32) ^ ((k + {n * _WEYL & _WORD}) & {_WORD}) ^ h; h = p & {_WORD}"
        for n in range(_ROUNDS)
    ],
    "c * 2097152 + (h >> 11)",
])  # fmt: skip

_SAMPLE = Case(np.array([[0, 1], [2**40, -1]]), np.array([12345, 2**52 + 7]), dtype=INTEGER)


@elementwise(_random_bits, Function("bits", r"\operatorname{bits}"), traits=("flat",), domain=(REAL, REAL),
             lowering=_LOWERING, sample=lambda draw: _SAMPLE)  # fmt: skip
def random_bits(counter: Expr, key: Expr, *, dtype: np.dtype[Any]) -> Any:
    """53 random bits for each counter and key: whole numbers, so the derivative is 0."""
    return None, None
