"""Sums, products, quotients and signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.graph.hop import Hop
from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import ANY, rule

# Of complex numbers only what concerns both parts alike is simplified: (1 + 0i)·(∞ + 0i) is NaN + NaN i to NumPy.
REAL = "fiu"


def _power_of_two(c: Any) -> bool:
    return bool(np.isfinite(c)) and abs(np.frexp(np.float64(c))[0]) == 0.5


# -- neutral elements ------------------------------------------------------------------------------------------------


@rule("multiply", ANY, "number")
def times_one(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """x·1 → x and x·(−1) → −x."""
    number = draft.number(c)
    if number == 1 and call.kind in "fiub":
        return draft.broadcast(x, call.shape)
    return draft.make("negative", x) if number == -1 and call.kind in "fi" else None


@rule("add", ANY, "number")
def plus_zero(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """x + (−0.0) → x, and for integers x + 0 → x. x + 0.0 stays, because −0.0 + 0.0 is 0.0."""
    number = draft.number(c)
    return x if number == 0 and call.kind in "fiub" and (call.kind != "f" or np.signbit(number)) else None


@rule("subtract", ANY, "number")
def minus_zero(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """x − 0.0 → x. x − (−0.0) stays."""
    number = draft.number(c)
    return x if number == 0 and call.kind in REAL and not (call.kind == "f" and np.signbit(number)) else None


@rule("subtract", "number", ANY)
def from_zero(draft: Draft, call: Call, c: int, x: int) -> int | None:
    """−0.0 − x → −x, and for integers 0 − x → −x. 0.0 − x stays, because 0.0 − 0.0 is 0.0."""
    number = draft.number(c)
    return draft.make("negative", x) if number == 0 and call.kind in "fi" and (
        call.kind == "i" or np.signbit(number)) else None  # fmt: skip


@rule("divide", ANY, "number")
def over_a_constant(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """x/1 → x, and x/c → x·(1/c) for powers of two, whose reciprocals are exact."""
    number = draft.number(c)
    if call.kind != "f" or not _power_of_two(number):
        return None
    inverse = 1 / number
    if not np.isfinite(inverse) or inverse * number != 1:
        return None
    return draft.make("multiply", x, draft.constant(inverse))


# -- signs -----------------------------------------------------------------------------------------------------------


@rule("negative", "negative")
def minus_minus(draft: Draft, call: Call, x: int) -> int:
    """−(−x) → x."""
    return draft.args(x)[0]


@rule("add", ANY, "negative")
def plus_minus(draft: Draft, call: Call, a: int, b: int) -> int:
    """a + (−b) → a − b."""
    return draft.make("subtract", a, draft.args(b)[0])


@rule("subtract", ANY, "negative")
def minus_negative(draft: Draft, call: Call, a: int, b: int) -> int:
    """a − (−b) → a + b."""
    return draft.make("add", a, draft.args(b)[0])


@rule(("multiply", "divide"), "negative", "negative")
def both_negative(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """(−a)·(−b) → a·b and (−a)/(−b) → a/b."""
    return draft.make(call.hop.name, draft.args(a)[0], draft.args(b)[0]) if call.kind in REAL else None


@rule(("multiply", "divide"), "negative", "number")
def negative_and_constant(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """(−x)·c → x·(−c) and (−x)/c → x/(−c)."""
    return draft.make(call.hop.name, draft.args(x)[0], _negated(draft, c)) if call.kind == "f" else None


@rule("divide", "number", "negative")
def constant_over_negative(draft: Draft, call: Call, c: int, x: int) -> int | None:
    """c/(−x) → (−c)/x."""
    return draft.make("divide", _negated(draft, c), draft.args(x)[0]) if call.kind == "f" else None


@rule("negative", ("multiply", "divide"))
def negative_of_a_multiple(draft: Draft, call: Call, x: int) -> int | None:
    """−(c·x) → (−c)·x, −(x/c) → x/(−c) and −(c/x) → (−c)/x."""
    if call.kind != "f" or not draft.single(x):
        return None
    name, (a, b) = draft.name(x), draft.args(x)
    if draft.name(b) == "number":
        return draft.make(name, a, _negated(draft, b))
    return draft.make(name, _negated(draft, a), b) if draft.name(a) == "number" else None


def _negated(draft: Draft, c: int) -> int:
    return draft.constant(-draft.number(c))


def _even(hop: Hop) -> bool:
    return "even" in hop.traits


@rule(_even, "negative")
def even_function(draft: Draft, call: Call, x: int) -> int:
    """f(−x) → f(x) for even functions."""
    return draft.again(call.hop, draft.args(x), call.params)


# -- constants -------------------------------------------------------------------------------------------------------


@rule("multiply", "multiply", "number")
def two_constant_factors(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """(x·a)·c → x·(a·c), for integers, and for floats if one of a and c is a power of two (one rounding less).

    Both must be at least 1, or both at most 1, in magnitude, lest one undoes an overflow or underflow of the other.
    """
    first, second = draft.args(x)
    if draft.name(first) == "number":
        first, second = second, first
    if draft.name(second) != "number" or call.kind not in REAL:
        return None
    a, b = draft.number(second), draft.number(c)
    if call.kind == "f":
        both = np.abs([a, b])
        if not (np.isfinite(both).all() and (both > 0).all() and (_power_of_two(a) or _power_of_two(b))):
            return None
        if not ((both >= 1).all() or (both <= 1).all()) or not np.isfinite(a * b) or a * b == 0:
            return None
    return draft.make("multiply", first, draft.constant(a * b))
