"""Powers with a constant exponent, which cost many times a multiplication.

What NumPy computes for ``x**p`` depends: for arrays p = −1, 0, ½, 1, 2 are the reciprocal, ones, the root, x and the
square; everything else, and all of it for its scalars, is C's pow. These differ at −0.0 and −∞ for p = ½ (the root
gives −0.0 and NaN, pow 0.0 and ∞), and in the last place otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import ANY, rule
from hopgrad.simplify.signs import nonnegative

# The largest powers that are written as products, so that the error stays below 4 and 8 units in the last place.
_HIGHEST, _LOWEST = 8, -4


@rule("constant_power")
def small_power(draft: Draft, call: Call, x: int, *, exponent: Any) -> int | None:
    """x⁰ → 1, x¹ → x, xⁿ → products of x (within n/2 units in the last place), x⁻ⁿ → (1/x)ⁿ (n units), √x and x√x.

    1/x comes first, because xⁿ would overflow before its reciprocal is 0. Roots are taken where NumPy takes them; for
    others x must be known not to be negative or −0.0.
    """
    return _power(draft, call, x, exponent, rooted=bool(call.shape))


@rule("power", ANY, "number")
def power_with_a_constant_exponent(draft: Draft, call: Call, x: int, p: int) -> int | None:
    """As small powers; here NumPy always computes pow."""
    return _power(draft, call, x, draft.number(p), rooted=False)


def _power(draft: Draft, call: Call, x: int, exponent: Any, rooted: bool) -> int | None:
    if call.kind not in "fiu" or not isinstance(exponent, (int, float, np.integer, np.floating)):
        return None
    p = float(exponent)
    if p == 0:
        return draft.fill(1, call.aval)
    if p.is_integer() and 0 < p <= _HIGHEST:
        return _product(draft, x, int(p))
    if call.kind != "f":
        return None
    if p.is_integer() and _LOWEST <= p < 0:
        return _product(draft, _reciprocal(draft, x), -int(p))
    if p == 0.5 and rooted:
        return draft.make("sqrt", x)
    if p in (0.5, 1.5, -0.5, -1.5) and nonnegative(draft, x):
        if abs(p) == 0.5:
            root = draft.make("sqrt", x)
            return root if p > 0 else _reciprocal(draft, root)
        base = x if p > 0 else _reciprocal(draft, x)
        return draft.make("multiply", base, draft.make("sqrt", base))
    return None


def _reciprocal(draft: Draft, x: int) -> int:
    return draft.make("divide", draft.constant(1, draft.aval(x).dtype), x)


def _product(draft: Draft, x: int, power: int) -> int:
    """By squaring: x⁶ is (x²)²·x²."""
    result: int | None = None
    while True:
        if power & 1:
            result = x if result is None else draft.make("multiply", x, result)
        power >>= 1
        if not power:
            assert result is not None
            return result
        x = draft.make("multiply", x, x)
