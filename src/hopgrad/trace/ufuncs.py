"""Ufuncs: which hop each one is, and to which dtypes it converts its operands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hopgrad.errors import DtypeError
from hopgrad.graph.builder import Expr, catalogue
from hopgrad.graph.hop import Hop
from hopgrad.hops import bits, order, statistics
from hopgrad.hops import elementwise as ew
from hopgrad.hops import functions as fn
from hopgrad.hops.surface import Surface, cast, find_builder, hops_of_results, lift, newer, token

BOOL = np.dtype(bool)

ARITHMETIC = frozenset({
    np.add, np.subtract, np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.negative, np.positive,
    np.absolute,
})  # fmt: skip
"""Where Python takes its bools as integers."""

hop_of_ufunc: dict[Any, Hop] = {hop.value: hop for hop in catalogue.values() if isinstance(hop.value, np.ufunc)}

# Other names of the same functions.
hop_of_ufunc.update({np.fabs: ew.absolute, np.radians: ew.deg2rad, np.degrees: ew.rad2deg})
hop_of_ufunc.pop(np.matmul, None)  # it has axes of its own; see `products`

# On booleans the bitwise ufuncs are the logical ones; on integers there is no hop.
_BITWISE: dict[Any, Hop] = {
    np.bitwise_and: ew.logical_and, np.bitwise_or: ew.logical_or, np.bitwise_xor: ew.logical_xor,
    np.invert: ew.logical_not,
}  # fmt: skip

# By the name in scipy.special. SciPy itself is not imported here. It has ufuncs of its own for some that NumPy has.
_SPECIAL = {hop.value.partition(":")[2]: hop for hop in catalogue.values() if isinstance(hop.value, str)}
_SPECIAL |= {name: catalogue[name] for name in ("cbrt", "exp2", "expm1", "log1p")}
_SPECIAL |= {"psi": catalogue["digamma"], "round": ew.rint}

composed: dict[Any, Callable[..., Expr]] = {
    np.positive: lambda x: x,
    np.conjugate: lambda x: x,  # of real numbers
    np.square: lambda x: x**2,
    np.reciprocal: lambda x: 1 / x,
    np.ldexp: bits.ldexp,
}
"""Ufuncs that are another hop in disguise."""

of_complex: dict[Any, Callable[..., Expr]] = {
    np.absolute: ew.magnitude,
    np.conjugate: ew.conjugate,
    np.sign: ew.direction,
}
"""Ufuncs that are something else of complex numbers than of real ones."""

products: dict[Any, Surface] = {
    np.matmul: Surface(fn.matmul, contiguous=True),
    np.vecdot: Surface(fn.vecdot),
    newer("matvec"): Surface(fn.matvec),
    newer("vecmat"): Surface(fn.vecmat),
}
"""Ufuncs on vectors and matrices instead of elements."""

reductions: dict[Any, Callable[..., Any]] = {
    np.add: fn.sum, np.multiply: fn.prod, np.maximum: fn.max, np.minimum: fn.min,
    np.logical_and: fn.all, np.logical_or: fn.any, np.logaddexp: fn.logsumexp,
    np.fmax: statistics.nanmax, np.fmin: statistics.nanmin,
}  # fmt: skip
accumulations: dict[Any, Callable[..., Any]] = {
    np.add: fn.cumsum, np.multiply: fn.cumprod,
    np.maximum: order.running(True, False), np.minimum: order.running(False, False),
    np.fmax: order.running(True, True), np.fmin: order.running(False, True),
}  # fmt: skip


def find_hop(ufunc: np.ufunc, dtypes: tuple[np.dtype[Any], ...]) -> Hop | None:
    """The hop that a ufunc is, for operands of these dtypes."""
    hop = hop_of_ufunc.get(ufunc)
    if dtypes[0].kind == "c" and ufunc in of_complex:
        return None
    if dtypes[0] == BOOL and ufunc in _BITWISE:
        return _BITWISE[ufunc]
    if hop is None and ufunc.__name__ == "clip" and ufunc.nin == 3:
        hop = hop_of_ufunc[ufunc] = ew.clip  # private in NumPy, where np.clip is a function that calls it
    if hop is None:
        special = _SPECIAL.get(ufunc.__name__)
        if special is not None and name_of(ufunc).startswith("scipy."):
            hop = hop_of_ufunc[ufunc] = special
    return hop


def name_of(ufunc: np.ufunc) -> str:
    """Its public name, such as ``np.sin`` or ``scipy.special.jv``."""
    name = ufunc.__name__
    if getattr(np, name, None) is ufunc:
        return f"np.{name}"
    special = sys.modules.get("scipy.special")
    return f"scipy.special.{name}" if getattr(special, name, None) is ufunc else name


@lru_cache(maxsize=4096)
def loop(
    ufunc: np.ufunc, tokens: tuple[Any, ...], dtype: np.dtype[Any] | None = None, casting: Any = "same_kind"
) -> tuple[np.dtype[Any], ...]:
    """The dtypes to which NumPy converts the operands; a Python number's type stands for itself (NEP 50)."""
    if all(isinstance(t, type) for t in tokens):
        tokens = tuple(np.dtype(t) for t in tokens)
    slots = (*tokens, *[None] * ufunc.nout)
    options: dict[str, Any] = {"casting": casting}
    if dtype is not None:
        options["signature"] = (*[None] * ufunc.nin, *[dtype] * ufunc.nout)
    try:
        found = ufunc.resolve_dtypes(slots, **options)
    except TypeError as error:
        raise DtypeError(str(error)) from None
    if any(d.kind == "O" for d in found):
        # A Python function (np.frompyfunc), which has no dtypes of its own: what it computes with are numbers.
        common = np.result_type(*[np.zeros((), t).item() if isinstance(t, type) else t for t in tokens])
        return (common if common.kind == "f" else np.dtype(float),) * ufunc.nin
    return found[: ufunc.nin]


def results(ufunc: np.ufunc) -> Surface | None:
    """A ufunc with several results, each of which is a hop of its own."""
    hops = hops_of_results.get(name_of(ufunc))
    if hops is None:
        return None

    def adapter(*operands: Any) -> tuple[Expr, ...]:
        builder = find_builder(operands)
        dtypes = loop(ufunc, tuple(token(v) for v in operands))
        given = [cast(lift(v, builder), dtype) for v, dtype in zip(operands, dtypes, strict=True)]
        return tuple(hop(*given) for hop in hops)

    return Surface(adapter)


def fixed_exponent(value: Any, dtypes: tuple[np.dtype[Any], ...]) -> float | None:
    """The exponent as a Python number, if it is one fixed real number."""
    if np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
        return None
    exponent: float = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    if dtypes[0].kind in "iu" and exponent < 0:
        raise ValueError("Integers to negative integer powers are not allowed.")
    return int(exponent) if float(exponent).is_integer() and abs(exponent) < 2**53 else float(exponent)
