"""``np.emath``: functions that become complex where real numbers have no value. Whether one does is a guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.trace.context import Trace
from hopgrad.trace.tracer import array, as_array, has_traced, on_real, special


def _negative(x: Any) -> Any:
    return x < 0


def _outside(x: Any) -> Any:
    return np.abs(x) > 1


def _widened(value: Any, leave: Callable[[Any], Any] | None) -> Any:
    """The argument, as complex numbers if one of its elements leaves the domain of the real function."""
    if leave is None or value.dtype.kind == "c" or not bool(np.any(leave(value))):
        return value
    return value.astype(np.result_type(value.dtype, np.complex64))


def _wide(function: Any, plain: Callable[..., Any], *leaves: Callable[[Any], Any] | None) -> Callable[..., Any]:
    """`plain`, of complex numbers where an argument leaves the domain of the real function."""

    def ask(trace: Trace, frame: Any, *args: Any) -> Any:
        if not has_traced(args):
            return on_real(trace, function, args, {})
        args = tuple(as_array(v) for v in args)
        args = tuple(array(v) if has_traced(v) else np.asarray(v) for v in args)
        return plain(*(_widened(value, leave) for value, leave in zip(args, leaves, strict=True)))

    return ask


def _power(x: Any, p: Any) -> Any:
    # Integers have no negative powers.
    whole = p.dtype.kind in "iu" and bool(np.any(p < 0))
    return np.power(x, p * 1.0 if whole else p)


special.update({
    np.emath.sqrt: _wide(np.emath.sqrt, np.sqrt, _negative),
    np.emath.log: _wide(np.emath.log, np.log, _negative),
    np.emath.log2: _wide(np.emath.log2, np.log2, _negative),
    np.emath.log10: _wide(np.emath.log10, np.log10, _negative),
    np.emath.logn: _wide(np.emath.logn, lambda n, x: np.log(x) / np.log(n), _negative, _negative),
    np.emath.power: _wide(np.emath.power, _power, _negative, None),
    np.emath.arccos: _wide(np.emath.arccos, np.arccos, _outside),
    np.emath.arcsin: _wide(np.emath.arcsin, np.arcsin, _outside),
    np.emath.arctanh: _wide(np.emath.arctanh, np.arctanh, _outside),
})  # fmt: skip
