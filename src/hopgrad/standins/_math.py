"""What stands for Python's ``math``: its functions on traced numbers, with Python floats as results.

On plain numbers they are ``math``'s own. On traced ones they are hops, and raise what ``math`` raises for the actual
values: a ``ValueError`` outside the domain, an ``OverflowError``. That it was not raised is then a guard of the trace.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from hopgrad.graph.builder import catalogue
from hopgrad.hops import functions as fn
from hopgrad.hops.surface import cast, lift, refused
from hopgrad.numpy._classes import python_float
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.tracer import (
    PYTHON,
    SCALAR,
    Tracer,
    call,
    current_node,
    has_traced,
    is_traced,
    settled,
    trace_of,
    with_place,
)

ANYWHERE, CHECKED = "anywhere", "checked"

_UNARY: dict[str, tuple[str, str]] = {
    **{name: (name, ANYWHERE) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: (name, ANYWHERE) for name in ("exp", "exp2", "expm1", "cbrt")},
    **{f"a{name}": (f"arc{name}", ANYWHERE) for name in ("tan", "sinh")},
    **{f"a{name}": (f"arc{name}", CHECKED) for name in ("sin", "cos", "cosh", "tanh")},
    **{name: (name, CHECKED) for name in ("log", "log2", "log10", "log1p", "sqrt", "gamma")},
    "fabs": ("absolute", ANYWHERE), "degrees": ("rad2deg", ANYWHERE), "radians": ("deg2rad", ANYWHERE),
    "erf": ("erf", ANYWHERE), "erfc": ("erfc", ANYWHERE), "lgamma": ("gammaln", CHECKED),
}  # fmt: skip
"""By name: the hop, and whether a number can be outside the domain. Overflow is looked for everywhere."""

_OVERFLOWING = frozenset({"exp", "exp2", "expm1", "sinh", "cosh", "degrees"})

_BINARY: dict[str, tuple[str, str]] = {
    "atan2": ("arctan2", ANYWHERE), "copysign": ("copysign", ANYWHERE), "fmod": ("fmod", CHECKED),
}  # fmt: skip


def _float(value: Any) -> Any:
    """What ``math`` makes of an argument: a plain or a traced Python float."""
    if type(value) is Tracer:
        return python_float(value)
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"must be real number, not {type(value).__name__}")
    return float(value)


def _actual(values: Iterable[Any]) -> list[Any] | None:
    """The values for the actual inputs, or None if they are not known."""
    try:
        return [v._trace.concrete(current_node(v)).item() if type(v) is Tracer else v for v in values]
    except UnknownValueError:
        return None


def _checked(function: Callable[..., Any], values: list[Any], guard: bool, frame: FrameType | None) -> bool:
    """Have `function` raise what it raises for the actual values, and whether there has to be a guard that it did not.

    If it raises, the trace depends on these very values.
    """
    actual = _actual(values)
    if actual is None:
        return False
    try:
        found = function(*actual)
    except (ValueError, OverflowError):
        for value in values:
            if type(value) is Tracer:
                settled(value, frame)
        raise
    if guard and not math.isfinite(found):
        # Infinities go in or out in ways of their own.
        for value in values:
            if type(value) is Tracer:
                settled(value, frame)
        return False
    return guard


def _elementwise(hop: str, values: list[Any], frame: FrameType | None) -> Any:
    """A hop of Python floats."""
    made: Tracer = call(_apply, (hop, *values), {}, frame)
    return Tracer(made._trace, made._id, PYTHON)


def _apply(hop: str, *values: Any) -> Any:
    builder = next(v.builder for v in values if hasattr(v, "builder"))
    return catalogue[hop](*[cast(lift(v, builder), np.dtype(float)) for v in values])


def _traced(values: Iterable[Any]) -> bool:
    return any(type(v) is Tracer and is_traced(v) for v in values)


def _function(name: str, hop: str, domain: str, count: int) -> Callable[..., Any]:
    plain = getattr(math, name)
    guard = domain is CHECKED or name in _OVERFLOWING

    @functools.wraps(plain)
    def compute(*args: Any) -> Any:
        if len(args) != count or not _traced(args):
            return plain(*args)
        frame = sys._getframe(1)
        values = [_float(v) for v in args]
        guarded = _checked(plain, values, guard, frame)
        result = _elementwise(hop, values, frame)
        if guarded:
            _finite(result, frame)
        return result

    return compute


def _finite(result: Any, frame: FrameType | None) -> None:
    """A guard that a result is finite."""
    settled(_elementwise_bool("isfinite", result, frame), frame)


def _elementwise_bool(hop: str, value: Any, frame: FrameType | None) -> Any:
    made: Tracer = call(_apply, (hop, value), {}, frame)
    return Tracer(made._trace, made._id, PYTHON)


MEMBERS: dict[str, Any] = {
    **{name: _function(name, hop, domain, 1) for name, (hop, domain) in _UNARY.items() if hasattr(math, name)},
    **{name: _function(name, hop, domain, 2) for name, (hop, domain) in _BINARY.items()},
}
"""By name: what stands for the functions of ``math`` that take part in traces."""


def _member(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function for traced values, which takes the frame first. `math`'s own gets all others."""
    name = function.__name__.strip("_")
    plain = getattr(math, name)

    @functools.wraps(plain)
    def compute(*args: Any, **keywords: Any) -> Any:
        if not has_traced((args, keywords)):
            return plain(*args, **keywords)
        return function(sys._getframe(1), *args, **keywords)

    MEMBERS[name] = compute
    return function


_log = MEMBERS["log"]


@_member
def log(frame: FrameType, x: Any, base: Any = None, /) -> Any:
    return _log(x) if base is None else _quotient(_log(x), _log(base))


def _quotient(a: Any, b: Any) -> Any:
    if type(b) is not Tracer and b == 0:
        raise ZeroDivisionError("float division by zero")
    return a / b


@_member
def pow(frame: FrameType, x: Any, y: Any, /) -> Any:
    values = [_float(x), _float(y)]
    guarded = _checked(math.pow, values, True, frame)
    result = values[0] ** values[1]
    if guarded:
        _finite(result, frame)
    return result


@_member
def hypot(frame: FrameType, *coordinates: Any) -> Any:
    values = [_float(v) for v in coordinates]
    found = _elementwise("absolute", values[:1], frame) if type(values[0]) is Tracer else abs(values[0])
    for value in values[1:]:
        traced = _traced((found, value))
        found = _elementwise("hypot", [found, value], frame) if traced else math.hypot(found, value)
    return found


@_member
def dist(frame: FrameType, p: Any, q: Any, /) -> Any:
    first, second = [_float(v) for v in p], [_float(v) for v in q]
    if len(first) != len(second):
        raise ValueError("both points must have the same number of dimensions")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return hypot(frame, *differences) if _traced(differences) else math.hypot(*differences)


def _fsum(seq: Iterable[Any], /) -> Any:
    values = seq if isinstance(seq, (list, tuple)) else list(seq)
    if not has_traced(values):
        return math.fsum(values)
    numbers = [_float(v) for v in values]
    frame = sys._getframe(1)
    _checked(lambda *parts: math.fsum(parts), numbers, False, frame)
    result = call(lambda *parts: _apply_fsum(parts), tuple(numbers), {}, frame)
    return Tracer(result._trace, result._id, PYTHON)


def _apply_fsum(parts: tuple[Any, ...]) -> Any:
    builder = next(v.builder for v in parts if hasattr(v, "builder"))
    line = fn.stack([cast(lift(v, builder), np.dtype(float)) for v in parts])
    return catalogue["fsum"](line, axes=(0,), keepdims=False)


MEMBERS["fsum"] = functools.wraps(math.fsum)(_fsum)


@_member
def isclose(frame: FrameType, a: Any, b: Any, *, rel_tol: Any = 1e-09, abs_tol: Any = 0.0) -> Any:
    if not has_traced((rel_tol, abs_tol)) and (rel_tol < 0 or abs_tol < 0):
        raise ValueError("tolerances must be non-negative")
    a, b = _float(a), _float(b)
    size = abs(a - b)
    near = np.logical_or(size <= rel_tol * np.maximum(abs(a), abs(b)), size <= abs_tol)
    near = np.logical_and(near, np.logical_not(np.logical_or(np.isinf(a), np.isinf(b))))
    return _python_bool(np.logical_or(near, np.equal(a, b)))


def _python_bool(value: Any) -> Any:
    return Tracer(value._trace, value._id, PYTHON) if type(value) is Tracer else bool(value)


for _name in ("isnan", "isinf", "isfinite"):

    def _ask(frame: FrameType, x: Any, /, _hop: str = _name) -> Any:
        return _elementwise_bool(_hop, _float(x), frame)

    _ask.__name__ = _name
    _member(_ask)


for _name in ("floor", "ceil", "trunc"):

    def _whole(frame: FrameType, x: Any, /, _name: str = _name) -> Any:
        plain = getattr(math, _name)
        if _name == "trunc" and x._kind != PYTHON:
            # The one that does not convert to float: not all of NumPy's numbers have it.
            plain(np.ones(x._aval.shape, x._aval.dtype)[() if x._kind == SCALAR else ...])
        value = _float(x)
        if x._aval.dtype.kind in "biu":
            return x if type(x) is Tracer and x._kind == PYTHON else _as_int(x, frame)
        _checked(plain, [value], False, frame)
        return plain(value)

    _whole.__name__ = _name
    _member(_whole)


def _as_int(x: Tracer, frame: FrameType | None) -> Tracer:
    made: Tracer = call(lambda v: cast(v, np.dtype(np.int64)), (x,), {}, frame)
    return Tracer(made._trace, made._id, PYTHON)


@_member
def modf(frame: FrameType, x: Any, /) -> Any:
    value = _float(x)
    whole = _elementwise("trunc", [value], frame)
    return value - whole, whole


@_member
def remainder(frame: FrameType, x: Any, y: Any, /) -> Any:
    """What is left of x below ±y/2: computed from x modulo 2y, so that nothing is rounded."""
    values = [_float(x), _float(y)]
    guarded = _checked(math.remainder, values, True, frame)
    size = abs(values[1])
    rest = _elementwise("fmod", [values[0], size * 2], frame)
    times = _elementwise("rint", [rest / size], frame)
    result = rest - size * times
    if guarded:
        _finite(result, frame)
    return result


@_member
def frexp(frame: FrameType, x: Any, /) -> Any:
    value = _float(x)
    actual = _actual([value])
    number = settled(value, frame) if actual is None else actual[0]  # which refuses what is not known
    if number == 0 or not math.isfinite(number):
        settled(value, frame)
        return value, 0
    exponent = math.frexp(number)[1]
    # The exponent is a plain number as long as the value stays between two powers of 2.
    size = abs(value)
    low = math.ldexp(0.5, exponent)
    settled(size >= low, frame)
    if exponent < 1024:
        settled(size < math.ldexp(1.0, exponent), frame)
    return _scaled(value, -exponent), exponent


@_member
def ldexp(frame: FrameType, x: Any, i: Any, /) -> Any:
    value = _float(x)
    exponent = i.__index__() if type(i) is Tracer else i
    if not isinstance(exponent, int):
        raise TypeError("Expected an int as second argument to ldexp.")
    if type(value) is not Tracer:
        return math.ldexp(value, exponent)
    guarded = _checked(lambda v: math.ldexp(v, exponent), [value], True, frame)
    result = _scaled(value, exponent)
    if guarded:
        _finite(result, frame)
    return result


def _scaled(value: Any, exponent: int) -> Any:
    """value times 2 to the exponent, in steps that are numbers themselves."""
    while abs(exponent) > 1000:
        step = 1000 if exponent > 0 else -1000
        value, exponent = value * math.ldexp(1.0, step), exponent - step
        if abs(exponent) > 4000:  # nothing is left, or all is infinite
            exponent = 1000 if exponent > 0 else -1000
    return value * math.ldexp(1.0, exponent)


@_member
def factorial(frame: FrameType, x: Any, /) -> Any:
    return math.factorial(_index(x))


@_member
def comb(frame: FrameType, n: Any, k: Any, /) -> Any:
    return math.comb(_index(n), _index(k))


@_member
def perm(frame: FrameType, n: Any, k: Any = None, /) -> Any:
    return math.perm(_index(n), None if k is None else _index(k))


@_member
def gcd(frame: FrameType, *integers: Any) -> Any:
    return math.gcd(*map(_index, integers))


@_member
def lcm(frame: FrameType, *integers: Any) -> Any:
    return math.lcm(*map(_index, integers))


@_member
def isqrt(frame: FrameType, n: Any, /) -> Any:
    return math.isqrt(_index(n))


def _index(value: Any) -> Any:
    """A traced integer as the plain one that it is: the path of the program depends on it."""
    if type(value) is not Tracer:
        return value
    if value._aval.dtype.kind == "f":
        raise TypeError(f"{value.__class__.__name__!r} object cannot be interpreted as an integer")
    return value.__index__()


def _refuse(trace: Trace, what: str, cure: str, frame: FrameType | None) -> NoReturn:
    trace.refuse(with_place(refused(what, cure), frame))


@_member
def nextafter(frame: FrameType, x: Any, y: Any, /) -> Any:
    _refuse(trace_of([x, y]), "math.nextafter", "", frame)


@_member
def ulp(frame: FrameType, x: Any, /) -> Any:
    _refuse(trace_of([x]), "math.ulp", "use np.finfo(float).eps * abs(x)", frame)
