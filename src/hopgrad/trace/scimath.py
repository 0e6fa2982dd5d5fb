"""``np.emath``: functions that become complex where real numbers have no value. That none does is a guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.hops.surface import refused
from hopgrad.trace.context import Trace
from hopgrad.trace.tracer import array, as_array, has_traced, name_of, on_real, special, with_place


def _negative(x: Any) -> Any:
    return x < 0


def _outside(x: Any) -> Any:
    return np.abs(x) > 1


def _real(function: Any, plain: Callable[..., Any], *leaves: Callable[[Any], Any] | None) -> Callable[..., Any]:
    """`plain`, where no argument leaves the domain of the real function."""

    def ask(trace: Trace, frame: Any, *args: Any) -> Any:
        if not has_traced(args):
            return on_real(trace, function, args, {})
        args = tuple(as_array(v) for v in args)
        args = tuple(array(v) if has_traced(v) else np.asarray(v) for v in args)
        for value, leave in zip(args, leaves, strict=True):
            if leave is not None and bool(np.any(leave(value))):
                cure = "use the function of the same name in np, which gives NaN there"
                trace.refuse(with_place(refused(f"{name_of(function)} with complex results", cure), frame))
        return plain(*args)

    return ask


def _power(x: Any, p: Any) -> Any:
    # Integers have no negative powers.
    whole = p.dtype.kind in "iu" and bool(np.any(p < 0))
    return np.power(x, p * 1.0 if whole else p)


special.update({
    np.emath.sqrt: _real(np.emath.sqrt, np.sqrt, _negative),
    np.emath.log: _real(np.emath.log, np.log, _negative),
    np.emath.log2: _real(np.emath.log2, np.log2, _negative),
    np.emath.log10: _real(np.emath.log10, np.log10, _negative),
    np.emath.logn: _real(np.emath.logn, lambda n, x: np.log(x) / np.log(n), _negative, _negative),
    np.emath.power: _real(np.emath.power, _power, _negative, None),
    np.emath.arccos: _real(np.emath.arccos, np.arccos, _outside),
    np.emath.arcsin: _real(np.emath.arcsin, np.arcsin, _outside),
    np.emath.arctanh: _real(np.emath.arctanh, np.arctanh, _outside),
})  # fmt: skip
