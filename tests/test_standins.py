"""What traced functions are handed in place of Python's and NumPy's own: values, types, errors as without a trace."""

# ruff: noqa: E721, UP003, UP018, UP045  # these ways of asking for types are what is tested

from __future__ import annotations

import builtins
import collections
import copy
import fractions
import functools
import io
import itertools
import math
import numbers
import operator
import os
import random
import re
import statistics
import time
import typing
import warnings
from collections.abc import Callable
from math import hypot as distance
from math import sin
from typing import Any

import numpy as np
import numpy.linalg as la
import numpy.random as npr
import pytest
import scipy
import scipy.special as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import array, errstate, float32, seterr, zeros
from numpy.random import default_rng, normal, randn
from scipy.special import expit, logsumexp

import hopgrad as hg
import hopgrad.numpy as hnp
from hopgrad.errors import HopgradError, NotDifferentiableError, TraceError
from hopgrad.standins import builtins_stand_in, is_pure, stand_in
from hopgrad.trace import context

x3 = np.array([0.4, -1.2, 2.3])
to_float = float


def outcome(f: Callable[..., Any], *args: Any) -> Any:
    """What `f` returns when it is traced, with the types that it has there."""
    (_, found), _ = hg.value_and_grad(lambda *a: (np.sum(a[0]) * 1.0, f(*a)), tuple(range(len(args))), has_aux=True)(
        *args
    )
    return found


def assert_same(found: Any, wanted: Any) -> None:
    """Equal in type and, up to rounding, in value."""
    assert type(found) is type(wanted)
    if isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, np.ndarray | np.generic):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, 1e-13, 1e-300)
    elif isinstance(wanted, float):
        np.testing.assert_allclose(found, wanted, 2e-14, 1e-300)
        assert math.copysign(1.0, found) == math.copysign(1.0, wanted) or math.isnan(wanted)
    else:
        assert found == wanted


def check(f: Callable[..., Any], *args: Any, smooth: bool = True) -> None:
    """Value and type as without a trace; the gradient against finite differences of the untraced function."""
    assert_same(outcome(f, *args), f(*args))
    if smooth:
        hg.check_grads(f, args)


def notes(f: Callable[..., Any], *args: Any) -> list[str]:
    """Why a trace of `f` counts for one call only."""

    def traced(*a: Any) -> Any:
        f(*a)
        trace = context.current()
        assert trace is not None
        return np.sum(a[0]) * 1.0, [*trace.once]

    (_, found), _ = hg.value_and_grad(traced, has_aux=True)(*args)
    return list(found)


# -- math ------------------------------------------------------------------------------------------------------------

MATH: dict[str, tuple[Any, ...]] = {
    "acos": (0.3,), "acosh": (1.7,), "asin": (-0.3,), "asinh": (0.7,), "atan": (0.7,), "atan2": (0.7, -1.2),
    "atanh": (0.3,), "cbrt": (-1.7,), "copysign": (0.7, -1.2), "cos": (0.7,), "cosh": (0.7,), "degrees": (0.7,),
    "dist": ([0.7, 1.5], (-0.2, 0.9)), "erf": (0.7,), "erfc": (0.7,), "exp": (0.7,), "exp2": (0.7,), "expm1": (1e-9,),
    "fabs": (-0.7,), "fmod": (-7.3, 2.1), "gamma": (2.7,), "hypot": (0.7, -1.2), "lgamma": (2.7,), "log": (2.7,),
    "log10": (2.7,), "log1p": (1e-9,), "log2": (2.7,), "pow": (1.7, 2.3), "prod": ([1.7, 2.3, -0.4],),
    "radians": (40.0,), "remainder": (7.3, 2.1), "sin": (0.7,), "sinh": (0.7,), "sqrt": (2.7,), "tan": (0.7,),
    "tanh": (0.7,), "fsum": ([0.1, 1e100, 0.2, -1e100],),
}  # fmt: skip
PIECEWISE: dict[str, tuple[Any, ...]] = {
    "ceil": (2.3,), "floor": (-2.3,), "trunc": (-2.7,), "isclose": (1.0, 1.0 + 1e-10), "isfinite": (2.0,),
    "isinf": (2.0,), "isnan": (2.0,), "modf": (-2.7,), "frexp": (-5.3,),
}  # fmt: skip
OF_INTEGERS = {"comb", "factorial", "gcd", "isqrt", "lcm", "perm"}
OTHERS = {"nextafter", "ulp", "ldexp"}


def test_every_function_of_math_is_tested() -> None:
    names = {name for name in dir(math) if callable(getattr(math, name)) and not name.startswith("_")}
    assert names == MATH.keys() | PIECEWISE.keys() | OF_INTEGERS | OTHERS


@pytest.mark.parametrize("name", [*MATH, *PIECEWISE])
def test_math_function(name: str) -> None:
    args = {**MATH, **PIECEWISE}[name]

    def f(*a: Any) -> Any:
        return getattr(math, name)(*a)

    check(f, *args, smooth=name in MATH and name != "fsum")
    single = [np.float32(v) if isinstance(v, float) else v for v in args]
    if name == "trunc":
        with pytest.raises(TypeError, match="__trunc__"):
            hg.grad(f)(np.float32(2.5))
    elif name not in ("dist", "prod", "fsum"):
        assert_same(outcome(f, *map(np.float64, args)), f(*map(np.float64, args)))
        assert_same(outcome(f, *map(np.array, args)), f(*map(np.array, args)))
        found, wanted = outcome(f, *single), f(*single)
        assert type(found) is type(wanted)
        np.testing.assert_allclose(found, wanted, 1e-14)


def test_math_with_plain_and_traced_arguments() -> None:
    check(lambda t: math.atan2(1, t) + math.hypot(t, 3, 4.0) + math.pow(2, t) + math.pow(t, 2) + math.log(t, 3), 1.7)
    check(lambda t: math.log(5, t) + math.log(t, t + 1) + math.copysign(t, -2.0) + math.hypot(t), 1.7)
    check(lambda t: math.dist((1, 2, t), [t, 0, 1]) + math.prod([t, t], start=2) + math.prod([], start=t), 1.7)
    check(lambda t: math.ldexp(t, 3) + math.ldexp(t, -1050) + math.ldexp(t * 1e-300, 1010), 1.7)
    check(lambda t: math.atan2(fractions.Fraction(1, 3), t) + math.fmod(t, True), 1.7)
    check(lambda t: sin(t) + distance(t, 2.0), 1.7)
    check(lambda t: math.sin(t[0]) * t + math.exp(t[1]), x3)
    check(lambda t: math.sin(np.sum(t)) + math.sqrt(t @ t), x3)


def test_math_of_whole_numbers() -> None:
    check(lambda t: math.comb(int(t), 2) * t + math.factorial(math.floor(t)) + math.gcd(round(t), 6), 4.7)
    check(lambda t: t * math.perm(math.floor(t), 2) + math.isqrt(math.ceil(t)) * t + math.lcm(int(t), 3), 4.7)
    check(lambda t: [math.floor(t), math.ceil(t), math.trunc(t), math.floor(t) * 0.5], 4.7, smooth=False)
    for f in (math.factorial, math.isqrt, math.gcd):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            hg.grad(lambda t, f=f: f(t) * 1.0)(3.0)


@pytest.mark.parametrize(
    "call",
    ["log(t-5)", "log(t-t)", "sqrt(-t)", "acos(t)", "asin(t)", "acosh(t-1)", "atanh(t)", "log10(-t)", "log2(t-9)",
     "log1p(-t)", "exp(t*1000)", "expm1(t*1000)", "exp2(t*2000)", "sinh(t*1000)", "cosh(t*1000)", "pow(-t,0.5)",
     "pow(t*1e300,2)", "pow(t-t,-1)", "fmod(t,0.0)", "remainder(t,0.0)", "gamma(t-t)", "gamma(t*1000)",
     "lgamma(-t+t)", "sin(t*1e308*10)", "cos(t*math.inf)", "floor(t*math.inf)", "ceil(t*math.nan)", "ldexp(t,5000)",
     "log(t,1)", "log(t,t-t)", "log(2,t-5)", "dist([t],[1,2])", "isclose(t,1,rel_tol=-1)", "sin(t,t)", "sin()",
     "atan2(t)", "sin([t])", "atan2(t,'a')", "sin(t*[1,2])", "hypot(t,'a')", "fsum([t,'a'])", "fsum(t)",
     "ldexp(t,0.5)", "trunc(t*math.inf)", "frexp(t,t)"],
)  # fmt: skip
def test_math_raises_what_it_raises(call: str) -> None:
    f = eval(f"lambda t: math.{call}", {"math": math, "np": np})
    with np.errstate(all="ignore"):
        with pytest.raises(Exception) as wanted:  # noqa: PT011  # whichever it is
            f(1.7)
        with pytest.raises(wanted.type) as found:
            hg.grad(f)(1.7)
    if wanted.type in (ValueError, OverflowError):
        assert str(found.value) == str(wanted.value)


def test_what_math_raised_can_be_caught_and_is_looked_at_again() -> None:
    def f(t: float) -> float:
        try:
            return math.log(t - 2.0)
        except ValueError:
            return 3.0 * t

    g = hg.grad(f)
    assert g(1.0) == 3.0
    assert g(3.0) == 1.0
    assert g(2.5) == 2.0
    assert g(1.5) == 3.0
    for bad in (-1.0, 0.0):
        root = hg.grad(lambda t: math.sqrt(t - 1.0))
        assert root(2.0) == 0.5
        with pytest.raises(ValueError, match="math domain error"):
            root(bad)

    def logistic(t: float) -> float:
        try:
            return 1.0 / (1.0 + math.exp(-t))
        except OverflowError:
            return 0.0 * t

    g = hg.grad(logistic)
    for t in (0.0, -1000.0, 1.0):
        np.testing.assert_allclose(g(t), hg.grad(expit)(t), 1e-12)


def test_infinities_and_nan_go_through_math() -> None:
    for t in (math.inf, -math.inf, math.nan, 0.0, -0.0):
        for name in ("exp", "atan", "tanh", "fabs", "sqrt", "log1p", "erf", "isnan", "isinf", "isfinite", "cbrt"):
            f = getattr(math, name)
            with np.errstate(all="ignore"):
                try:
                    wanted = f(t)
                except ValueError:
                    continue
                assert_same(outcome(lambda v, f=f: f(v), t), wanted)
    for a, b in ((math.inf, math.inf), (math.inf, 1.0), (0.0, 1e-12), (1.0, 1.0 + 1e-9), (1.0, 1.1), (-math.inf, 2.0)):
        for keywords in ({}, {"abs_tol": 1e-10}, {"rel_tol": 0.2}):
            with np.errstate(all="ignore"):
                found = outcome(lambda t, s, k=keywords: math.isclose(t, s, **k), a, b)
            assert found is math.isclose(a, b, **keywords)


def test_remainder_and_fmod_are_exact() -> None:
    for x, y in itertools.product((0.5, 1.5, -2.5, 7.3, 1e17, 123456.789, 3.0), (1.0, -2.0, 0.3, 3.0)):
        assert_same(outcome(math.remainder, x, y), math.remainder(x, y))
        assert_same(outcome(math.fmod, x, y), math.fmod(x, y))


def test_frexp_depends_on_the_power_of_two_only() -> None:
    def f(t: float) -> Any:
        mantissa, exponent = math.frexp(t)
        return mantissa * 1.5**exponent

    g = hg.value_and_grad(f)
    for t in (0.7, 0.9, 3.0, -3.0, 1e-300, 1e300, 0.0):
        value, slope = g(t)
        assert value == f(t)
        assert slope == (1.0 if t == 0 else math.ldexp(1.5 ** math.frexp(t)[1], -math.frexp(t)[1]))


def test_fsum_rounds_once() -> None:
    values = [0.1] * 10 + [1e16, 1.0, -1e16]
    assert outcome(lambda *v: math.fsum(v), *values) == math.fsum(values)
    assert hg.grad(lambda v: math.fsum(v))(np.array(values)).tolist() == [1.0] * 13
    assert hg.grad(lambda v: math.fsum(t * t for t in v))(x3).tolist() == (2 * x3).tolist()
    assert outcome(lambda t: math.fsum([1, 2.5]) * t, 1.0) == 3.5


def test_what_has_no_derivative_is_refused_by_name() -> None:
    for f in (math.ulp, lambda t: math.nextafter(t, 2.0)):
        with pytest.raises(NotDifferentiableError, match=r"math\.\w+ is not supported on traced values"):
            hg.grad(f)(1.5)


def test_math_in_captured_functions_and_objects() -> None:
    table: dict[str, Any] = {"f": math.exp}
    compose = functools.partial(math.pow, 2.0)
    check(lambda t: compose(t) + functools.reduce(math.hypot, [t, 1.0, t]) + sum(map(math.sin, [t, 2.0])), 1.3)
    assert math.sin(table["f"](0.0)) == math.sin(1.0)


# -- float and type --------------------------------------------------------------------------------------------------


def test_float_of_a_traced_value() -> None:
    check(lambda t: float(t) ** 2, 1.7)
    check(lambda t: float(t[0]) * float(np.sum(t)) + float(t.max()), x3)
    check(lambda t: to_float(t) * 2, np.float64(1.7))
    check(lambda t: sum(map(float, t)) + sum(float(v) for v in t), x3)
    check(lambda t: float(t > 1.0) * t + float(True) * t + float(round(t)) * t, 1.7)
    check(lambda t: float(np.array(t)) * t, 1.7)
    check(lambda t: float(zeros(())) + t, 1.7)
    assert type(outcome(lambda t: float(t), np.float32(0.1))) is float
    assert outcome(lambda t: float(t), np.float32(0.1)) == float(np.float32(0.1))
    with pytest.raises(TypeError, match="only"):
        hg.grad(lambda t: float(t))(x3)


def test_float_is_still_the_class() -> None:
    def f(t: Any) -> Any:
        class Length(float):
            def twice(self) -> float:
                return 2 * self

        class Mixed(float, numbers.Number):
            pass

        found = [
            isinstance(1.0, float), isinstance(1, float), isinstance(np.float64(1), float), isinstance(t, float),
            isinstance(t, (int, float)), isinstance("a", (int, float)), issubclass(bool, float), issubclass(float,
            float),
            issubclass(np.float64, float), isinstance(float, type), float == float, float is float,
            float.fromhex("0x1.8p3"), float("1e3"), float(), float.__name__, type(t) is float, type(1.5) is float,
            type(t) == float, type(t) in (int, float), type(1) is int, type("") is str, {float: "f"}[type(t)],
            Length(3).twice(), isinstance(Length(3), float), Length.__mro__[1] == float, type(Length(3)) is Length,
            isinstance(Mixed(2.0), float), np.zeros(2, float).dtype == float, np.dtype(float) == np.float64,
            np.issubdtype(np.float64, float), np.finfo(float).eps, float.__mro__[-1] is object,
            hash(float) == hash(float),
            float | None, typing.Optional[float], list[float], repr(float), callable(float), 1.5.is_integer(),
            float.is_integer(2.0), type(t).__name__, np.array([1, 2]).astype(float), type(float), isinstance(type,
            type),
            type("Made", (), {"a": 3}).a, type("Made", (float,), {})(2.0) * 2, copy.deepcopy(float) is float,
        ]  # fmt: skip
        match t:
            case int():
                found.append("int")
            case float(value):
                found.append(value * 2)
        return [
            str(v) if isinstance(v, type) or not isinstance(v, float | int | str | np.ndarray) else v for v in found
        ]

    for argument in (1.5, 2.5):
        assert_same(outcome(f, argument), f(argument))


def test_types_of_traced_values() -> None:
    def f(t: Any, v: Any, a: Any) -> Any:
        return [
            type(t) is float, type(v) is np.float64, type(a) is np.ndarray, type(v) is np.float32,
            type(a[0]) is np.float64,
            type(t > 1) is bool, type(round(t)) is int, type(v > 1) is np.bool_, type(np.float32(v)) is float32,
            type(a * 2).__name__, isinstance(v, np.floating), isinstance(a, np.ndarray), type([]) is list,
            type(np.float64(1)) is np.float64, type(np.int64(3)) is np.int64, isinstance(np.int64(3), np.integer),
            np.float64 is np.double, np.isscalar(t), isinstance(t, numbers.Real), type(np.array(v).sum()) is np.float64,
        ]  # fmt: skip

    assert outcome(f, 1.5, np.float64(2.0), x3) == f(1.5, np.float64(2.0), x3)


def test_number_types_convert() -> None:
    def f(t: Any) -> Any:
        return [
            np.float64(t), np.float32(t), np.float16(t), np.int64(t), np.int32(t * 3), np.bool_(t), np.intp(t),
            np.uint8(t),
            np.float64([t, 1.0]), np.float32(np.array([t, 2.0])), np.longdouble(t), np.float64("1.5"), np.int64(7),
            np.single(t), np.int_(t), np.double(), np.bool_(0.0), np.float64(np.float32(t)),
        ]  # fmt: skip

    assert_same(outcome(f, 1.75), f(1.75))
    check(lambda t: np.float64(t) * np.float64([t, 2.0]) @ np.float64([1.0, t]) + np.int64(t) * t, 1.7)
    for plain in (np.int64, np.bool_, np.float32, np.uint8):
        made = stand_in(plain)
        assert np.dtype(made) == np.dtype(plain)
        assert np.zeros(2, made).dtype == plain
        assert made == plain


# -- builtins --------------------------------------------------------------------------------------------------------

NUMBER = [
    "abs(t)", "abs(-t)", "round(t)", "round(t,2)", "round(t*100,-1)", "round(-t,0)", "round(t,ndigits=1)",
    "divmod(t,0.3)",
    "divmod(-7,t)", "divmod(t,s)", "pow(t,2)", "pow(2,t)", "pow(t,s)", "pow(round(t*10),3,7)", "pow(t,2,None)",
    "min(t,s)",
    "max(t,s,1.5)", "min([t,s,0])", "max([t,s],key=lambda v:-v)", "min([],default=t)", "max((t,2*t,s),default=3)",
    "min(t,1,key=abs)", "sum([t,s])", "sum([t,2,s],1)", "sum((t,s),start=s)", "sum(v*v for v in (t,s,1))", "sum([])*t",
    "sorted([t,s,1.0])", "sorted([t,s,1.0],reverse=True)", "sorted([t,s,-3],key=lambda v:v*v)", "list(reversed([t,s]))",
    "[*map(lambda v:v*2,[t,s])]", "[*filter(lambda v:v>1,[t,s,2])]", "[*zip([t],[s])]", "[*enumerate([t,s])]",
    "all([t,s])", "any([0,t-t])", "all([t>0,s>0])", "any(v>1 for v in (t,s))", "bool(t)", "not t", "int(t)", "int(-t)",
    "bool(t-t)", "t if t>s else s", "t and s", "(t-t) or s", "isinstance(t,float)", "str(t)", "repr(t)", "f'{t:.3f}'",
    "'%.2f'%s", "'{:>10.4g}'.format(t)", "format(t,'.1e')", "ascii(t)", "len([t,s])", "callable(t)",
    "hasattr(t,'real')",
    "t.real+t.imag", "t.conjugate()", "[0,1,2,3][round(t)]", "[*range(int(t*3))]", "'ab'*int(t)", "t==t", "t!=s",
    "t<s<9",
    "t in [t,s]", "[t,s].index(s)", "[s,t].count(t)", "tuple([t,s])", "list((t,s))", "dict(a=t)['a']",
    "{'k':t}|{'j':s}",
    "iter([t]).__next__()", "next(iter([t,s]))", "slice(1,3).stop*t", "getattr(t,'real')", "+t", "-t", "t//s", "t%s",
    "-t%s",
    "-t//s", "t//1", "7//t", "t**2", "t**0.5", "2**t", "t**-1", "round(t)**2", "round(t)//2", "round(t*7)%4",
    "-round(t*7)%4",
    "~round(t)", "round(t)+True", "(t>1)+(s>1)", "True*t", "(t>1)*s", "t>1 and s>0", "not t>1", "abs(round(-t*3))",
    "round(round(t*7),-1)", "float(round(t*7))/2", "round(t)/2", "min(round(t),2)", "sum([t>1,s>1])",
    "operator.add(t,s)", "operator.mul(t,2)", "operator.neg(t)", "operator.itemgetter(1)([t,s])",
    "operator.truediv(1,t)",
    "operator.mod(t,s)", "operator.pow(t,s)", "operator.lt(t,s)", "operator.not_(t)", "operator.truth(t)",
    "operator.iadd(t,s)", "operator.attrgetter('real')(t)", "operator.floordiv(t,s)", "operator.abs(-t)",
    "functools.reduce(operator.mul,[t,s,2])", "functools.reduce(lambda a,b:a+b*t,[1,2,3],s)",
    "[*itertools.accumulate([t,s,2])]", "[*itertools.accumulate([t,s],operator.mul,initial=1.0)]",
    "[*itertools.chain([t],[s])]", "[*itertools.product([t],[s,1])]", "[*itertools.combinations([t,s,1],2)]",
    "[*itertools.takewhile(lambda v:v<2,[t,s,9])]", "[*itertools.starmap(pow,[(t,2),(s,3)])]",
    "[*itertools.islice([t,s],1)]", "[*itertools.pairwise([t,s,t])]", "[*itertools.repeat(t,2)]",
    "[*itertools.zip_longest([t],[s,1],fillvalue=s)]", "copy.copy(t)", "copy.deepcopy([t,[s]])", "copy.copy([t,s])",
    "collections.deque([t,s])[1]", "collections.Counter(a=2)['a']*t", "collections.OrderedDict(a=t)['a']",
    "collections.ChainMap({'a':t})['a']", "fractions.Fraction(1,2)*t", "sum([t]*3)/3", "max(1,min(t,2))",
    "[v for v in sorted({'a':t,'b':s}.items(),key=lambda p:p[1])][0][1]", "max(range(3),key=lambda k:[t,s,1][k])",
    "pow(t,True)", "divmod(round(t*9),4)", "sum(itertools.chain([t],(s,)))", "any([])", "all(())", "round(True*t)",
]  # fmt: skip


@pytest.mark.parametrize("code", NUMBER)
def test_builtin_on_numbers(code: str) -> None:
    f = eval(f"lambda t, s: {code}", dict(globals()))
    for args in ((1.7, 0.6), (2.5, 2.5), (0.30000000000000004, 1.115)):
        assert_same(outcome(f, *args), f(*args))
    for args in ((np.float64(1.7), np.float64(0.6)), (1.7, np.float64(0.6))):
        assert_same(outcome(f, *args), f(*args))


ON_ARRAYS = [
    "sum(x)", "sum(x,1.0)", "min(x)", "max(x)", "sorted(x)", "sorted(x,key=abs)", "max(x,key=lambda v:-v)", "len(x)",
    "list(x)", "tuple(x)", "[*reversed(x)]", "[*enumerate(x)]", "[*zip(x,x)]", "[*map(abs,x)]", "[*filter(None,x)]",
    "abs(x)", "pow(x,2)", "divmod(x,0.7)", "all(x)", "any(x<0)", "all(x<0)", "any(v>2 for v in x)",
    "[v.item() for v in x]", "x.tolist()", "sum(v*k for k,v in enumerate(x))", "copy.copy(x)", "copy.deepcopy(x)",
    "copy.deepcopy({'a':[x,x]})['a'][1]", "functools.reduce(operator.mul,x)", "[*itertools.accumulate(x)]",
    "operator.matmul(x,x)", "operator.getitem(x,1)", "x[0] in x", "isinstance(x,np.ndarray)",
    "[*itertools.pairwise(x)]",
    "min(x.tolist())", "sum([x,x])", "sum([x,1,x])", "max(abs(v) for v in x)", "[*iter(x)]", "next(iter(x))",
    "operator.iadd(x.copy(),1)", "x[-len(x):]", "sum(x[k] for k in range(len(x)))", "math.fsum(x)", "math.prod(x)",
    "math.dist(x,x*2)", "float(x[1])", "type(x[0]).__name__", "str(x)", "f'{x}'", "repr(x)", "f'{x[0]:.2f}'",
]  # fmt: skip


@pytest.mark.parametrize("code", ON_ARRAYS)
def test_builtin_on_arrays(code: str) -> None:
    f = eval(f"lambda x: {code}", dict(globals()))
    assert_same(outcome(f, x3), f(x3))


LISTS = st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.5, 2.675, 0.1, 1e16, -7.25]), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(LISTS, st.integers(-1, 3))
def test_builtins_on_lists(values: list[float], digits: int) -> None:
    def f(*v: Any) -> Any:
        mixed = [*v, 1, 0.5, True]
        return [
            sum(mixed), min(mixed), max(mixed), sorted(mixed), [round(t, digits) for t in v], [round(t) for t in v],
            [divmod(t, 0.7) for t in v], sorted(v, key=lambda t: (abs(t), t)), max(v, key=abs), any(v), all(v),
            [t for t in v if t > 0], sorted(range(len(v)), key=v.__getitem__), [int(t) for t in v], math.fsum(mixed),
            [t % 3 for t in v], [t // 3 for t in v], sum(sorted(v)[: len(v) // 2]), min(v, default=1),
            [abs(t) for t in v],
        ]  # fmt: skip

    assert_same(outcome(f, *values), f(*values))


def test_gradients_through_builtins() -> None:
    check(lambda x: sum(sorted(x)[:2]) * max(x) + min(x, key=abs) ** 2 + sum(abs(v) for v in x), x3)
    check(lambda x: functools.reduce(lambda a, b: a * math.exp(b), x, 1.0), x3)
    check(lambda x: math.fsum(float(v) ** k for k, v in enumerate(x, 1)), x3)
    check(lambda x: pow(x[0], 3) + divmod(x[2], 0.7)[1] + round(x[1], 1) + x[1], x3)


def test_python_s_rounding_is_not_numpy_s() -> None:
    assert outcome(lambda t: round(t, 2), 2.675) == 2.67
    assert outcome(lambda t: round(t, 2), np.float64(2.675)) == round(np.float64(2.675), 2)
    assert hg.grad(lambda t: round(t, 2) * t)(2.675) == 2.67


def test_pow_of_three() -> None:
    with pytest.raises(TypeError, match="3rd argument not allowed"):
        hg.grad(lambda t: pow(t, 2, 3))(2.0)
    assert pow(base=2, exp=5) == outcome(lambda t: pow(base=2, exp=5), 1.0)


def test_what_takes_plain_numbers_only_refuses() -> None:
    for f in (statistics.mean, statistics.fmean, statistics.stdev, lambda v: complex(v[0]), lambda v: hash(v[0]),
              lambda v: fractions.Fraction(v[0])):  # fmt: skip
        with pytest.raises((HopgradError, TypeError)):
            hg.grad(lambda v, f=f: f([v, 2 * v]) * 1.0)(1.5)


# -- NumPy and SciPy -------------------------------------------------------------------------------------------------


def fill(make: Callable[[], Any]) -> Callable[[Any], Any]:
    def f(x: Any) -> Any:
        a = make()
        a[0] = x[0]
        a[1:] *= x[1]
        return a @ a

    return f


def test_plain_numpy_is_filled() -> None:
    check(fill(lambda: np.zeros(3)), x3)
    check(fill(lambda: zeros(3)), x3)
    check(fill(lambda: np.array([1.0, 2.0, 3.0])), x3)
    check(fill(lambda: array([1.0, 2.0, 3.0])), x3)
    check(fill(lambda: la.inv([[2.0, 1.0], [0.0, 1.0]])[0]), x3)
    check(fill(lambda: np.linalg.eigh([[2.0, 1.0], [1.0, 1.0]]).eigenvectors[:, 0]), x3)
    check(fill(lambda: np.add([1.0, 2.0], 1.0)), x3)
    check(fill(lambda: np.cumsum([1.0, 2.0, 3.0])), x3)
    check(fill(lambda: np.meshgrid([1.0, 2.0], [3.0, 4.0])[1][0]), x3)
    check(fill(lambda: np.mgrid[0:3.0]), x3)
    check(fill(lambda: np.add.accumulate([1.0, 2.0, 3.0])), x3)
    check(fill(lambda: np.vectorize(math.sin)([1.0, 2.0])), x3)
    check(fill(lambda: np.arange(1.0, 4.0)), x3)


def test_lists_of_traced_values_are_arrays() -> None:
    check(lambda x: la.norm([x[0], x[1]]) + np.maximum.reduce([x[0], 2.0, x[1]]) + np.add.reduce([x[0], x[1]]), x3)
    check(lambda x: np.stack([[x[0], 1.0], [2.0, x[1]]]).sum() + np.array([x[0], x[1]]) @ [x[1], 2.0], x3)
    check(lambda x: np.polyval([x[0], x[1]], 2.0) + np.mean([x[0], x[1]]) + np.r_[x, x[0]].sum(), x3)
    check(lambda x: np.multiply.outer([x[0], 1.0], [x[1], 2.0]).sum() + np.asarray_chkfinite([x[0], 1.0])[0], x3)


def test_arange_of_traced_numbers() -> None:
    for args in ((2.3,), (0.5, 2.4), (0.5, 2.4, 0.3), (2.3, 0.5, -0.4), (1, 2.3), (0, 4, 2.3), (1.0, 0.5)):
        f = lambda *a: np.arange(*a)  # noqa: E731
        given_ = [float(a) for a in args]
        assert_same(outcome(f, *given_), f(*given_))
        hg.check_grads(lambda *a: np.sum(np.arange(*a) ** 2), given_)
    assert_same(outcome(lambda t: np.arange(0, t, dtype=np.float32), 2.5), np.arange(0, 2.5, dtype=np.float32))
    assert_same(outcome(lambda t: np.arange(round(t)), 2.6), np.arange(3))
    g = hg.grad(lambda t: np.sum(np.arange(0.0, t) * t))
    assert [g(2.5), g(3.5), g(2.2)] == [3.0, 6.0, 3.0]


def test_scipy_s_functions() -> None:
    check(lambda x: logsumexp(x) + sp.softmax(x)[0] + scipy.special.log_softmax(x)[1] + sp.polygamma(1, x[2]), x3)
    check(lambda x: expit(x).sum() + scipy.special.expit(x[0]) + sp.logsumexp([x[0], 2.0]), x3)
    assert notes(lambda x: scipy.special.expit(x), x3) == []
    assert notes(lambda x: scipy.stats.norm.logpdf(x[0]) + scipy.stats.skew(x), x3) == []
    assert notes(lambda x: x[0] + scipy.stats.bootstrap.__name__.count("x"), x3) == [
        "uses scipy.stats.bootstrap, which may draw random numbers"
    ]
    assert notes(lambda x: x[0] + scipy.stats.norm.rvs(), x3) == ["draws random numbers (scipy.stats)"]


def test_imports_inside_a_function() -> None:
    def f(x: Any) -> Any:
        import math as m
        from math import exp

        import numpy as n
        import numpy.linalg as q
        import scipy.special as s
        from numpy import ones
        from scipy.special import logsumexp as total

        a = ones(3)
        a[0] = x[0]
        return m.sin(x[1]) + exp(x[0]) + q.norm(a) + n.zeros(2).sum() + s.expit(x[2]) + total(a)

    check(f, x3)
    assert notes(f, x3) == []

    def g(x: Any) -> Any:
        import random

        return x * random.random()

    assert notes(g, 1.0)


square_root = np.vectorize(lambda t: math.sqrt(t) if t > 0 else 0.0)
counted = np.frompyfunc(lambda a: a * a, 1, 1)
polynomial = np.poly1d([1.0, -2.0, 3.0])


def test_objects_of_numpy_made_outside() -> None:
    check(lambda x: square_root(x).sum() + square_root(x[2]), x3)
    check(lambda x: polynomial(x[0]) + polynomial(x).sum(), x3)
    with pytest.raises(NotDifferentiableError, match="not supported on traced values"):
        hg.grad(lambda x: np.sum(counted(x)))(x3)
    with pytest.raises(NotDifferentiableError, match="not supported on traced values"):
        hg.grad(lambda x: np.sum(np.frompyfunc(lambda a: a, 1, 1)(x)))(x3)
    with pytest.raises(HopgradError):
        hg.grad(lambda x: np.poly1d([x[0], 1.0])(2.0))(x3)


def test_arrays_of_objects_are_refused_for_good() -> None:
    def f(x: Any) -> Any:
        try:
            return np.sum(np.array([x[0], 2.0], dtype=object))
        except TypeError:
            return np.sum(x)

    with pytest.raises(NotDifferentiableError, match="an array of dtype object is not supported on traced values"):
        hg.grad(f)(x3)


class Vector:
    """Says how it is to be made an array."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.scale * np.ones(3)


vector = Vector(2.0)


def test_objects_that_are_arrays() -> None:
    check(lambda x: np.asarray(vector) @ x + np.sum(np.multiply(x, vector)), x3)
    check(lambda t: np.sum(np.asarray(Vector(t)) ** 2) + np.add(Vector(t), 1.0).sum(), 1.5)


def test_testing_looks_at_the_values() -> None:
    def f(x: Any) -> Any:
        np.testing.assert_allclose(x, x3)
        np.testing.assert_array_equal(np.zeros(2), [0, 0])
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(x, 0.0)
        return x @ x

    assert hg.grad(f)(x3).tolist() == (2 * x3).tolist()


# -- random numbers --------------------------------------------------------------------------------------------------

generator = np.random.default_rng(3)
REASON = "draws random numbers (np.random)"


def test_drawing_counts_for_one_call() -> None:
    for f in (
        lambda: np.random.normal(), lambda: normal(), lambda: randn(2), lambda: npr.rand(), lambda: np.random.seed(1),
        lambda: np.random.default_rng(), lambda: default_rng().normal(), lambda: npr.RandomState(),
        lambda: np.random.get_state(), lambda: npr.permutation(3), lambda: np.random.default_rng(None),
        lambda: generator.normal(), lambda: np.random.SeedSequence(), lambda: np.random.Generator(npr.PCG64()),
    ):  # fmt: skip
        assert notes(lambda t, f=f: f(), 1.0) == [REASON]
    for f in (
        lambda: np.random.default_rng(0).normal(size=3), lambda: npr.RandomState(3).rand(2),
        lambda: npr.default_rng([1, 2]),
        lambda: np.random.Generator(npr.PCG64(5)).random(), lambda: default_rng(npr.SeedSequence(4)).integers(3),
    ):  # fmt: skip
        assert notes(lambda t, f=f: f(), 1.0) == []


def test_draws_are_those_of_numpy() -> None:
    def f(x: Any) -> Any:
        np.random.seed(5)
        noise = np.random.standard_normal(3)
        noise[0] = x[0]
        rng = np.random.default_rng(7)
        more = rng.uniform(size=(2, 3))
        more[1] *= x
        picked = rng.choice(x, 2, replace=False) + rng.permutation(x)[:2] + np.random.permutation(x)[:2]
        mixed = x.copy()
        rng.shuffle(mixed)
        plain = np.arange(4)
        rng.shuffle(plain)
        np.random.shuffle(mixed)
        return (noise * x).sum() + more.sum() + picked @ mixed[:2] + plain[0] * x[0] + rng.choice([x[0], x[1]])

    check(f, x3)

    def g(x: Any) -> Any:
        rng = np.random.RandomState(3)
        rows = rng.permutation(x) * rng.rand(3, 1)
        return rows + rng.choice(x[0], size=(3, 3), p=[0.2, 0.3, 0.5])

    check(g, np.outer(x3, x3))


def test_functions_that_are_replaced_for_a_while_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, hook = hg.grad(lambda x: x * np.random.normal()), hg.grad(lambda x: x * np.seventh(1.0))
    with monkeypatch.context() as patched:
        patched.setattr(np.random, "normal", lambda: 7.0)
        patched.setattr(np, "seventh", lambda t: 7 * t, raising=False)
        assert draw(1.0) == hook(1.0) == 7.0
        patched.setattr(np, "seventh", lambda t: 14 * t)
        assert hook(1.0) == 14.0
    np.random.seed(1)
    drawn = draw(1.0)
    np.random.seed(1)
    assert drawn == np.random.normal()
    with pytest.raises(AttributeError):
        hook(1.0)


def test_drawing_again_gives_other_numbers() -> None:
    g = hg.grad(lambda x: x * np.random.standard_normal())
    assert g(1.0) != g(1.0)
    np.random.seed(1)
    first = g(1.0)
    np.random.seed(1)
    assert g(1.0) == first
    drawn = hg.grad(lambda x: x * generator.standard_normal())
    assert drawn(1.0) != drawn(1.0)


@pytest.mark.parametrize("code", [
    "np.random.normal(t)", "np.random.normal(0,t,3)", "normal(loc=t)", "npr.uniform(0,t)", "generator.exponential(t)",
    "default_rng(0).normal(t,1.0)", "npr.gamma(2.0,t)", "npr.poisson(t)", "npr.multivariate_normal([t,0.0],np.eye(2))",
    "np.random.RandomState(0).laplace(t)"])  # fmt: skip
def test_traced_parameters_are_refused_with_the_cure(code: str) -> None:
    f = eval(f"lambda t: np.sum({code})", dict(globals()))

    def swallowed(t: Any) -> Any:
        try:
            return f(t)
        except TypeError:
            return t

    for g in (f, swallowed):
        with pytest.raises(NotDifferentiableError, match=r"random|rng") as found:
            hg.grad(g)(1.5)
        if "normal(" in code and "multi" not in code:
            assert "standard_normal(size)" in str(found.value)


# -- error handling and warnings -------------------------------------------------------------------------------------


def test_errors_come_where_numpy_raises_them() -> None:
    def f(x: Any) -> Any:
        y = 3.0 * x
        try:
            with np.errstate(all="raise"):
                y = np.log(x - 5.0)
                y = y * 2.0
        except FloatingPointError:
            y = y + 1.0
        return np.sum(y)

    check(f, x3)
    check(f, x3 + 10.0)

    def g(x: Any) -> Any:
        before = np.seterr(divide="raise")
        try:
            return 1.0 / (x - x)
        except FloatingPointError:
            return x * 2.0
        finally:
            seterr(**before)

    check(g, np.float64(2.0))

    def h(x: Any) -> Any:
        try:
            return np.sqrt(-x)
        except FloatingPointError:
            return x * 2.0

    with np.errstate(all="raise"):
        check(h, np.float64(2.0))

    gradient = hg.grad(h)
    for _ in range(2):
        with np.errstate(all="raise"):
            assert gradient(np.float64(2.0)) == 2.0
        with np.errstate(all="ignore"):
            assert math.isnan(gradient(np.float64(2.0)))


def test_warnings_follow_errstate() -> None:
    def f(x: Any) -> Any:
        with errstate(divide="ignore", invalid="ignore"):
            y = np.log(x)
        return np.sum(np.where(x > 0, y, 0.0))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hg.grad(f)(np.array([2.0, 0.0, -1.0])).tolist() == [0.5, 0.0, 0.0]

    def g(x: Any) -> Any:
        y = np.log(x)
        with np.errstate(all="ignore"):
            z = np.sqrt(x)
        return y + z

    with pytest.warns(RuntimeWarning, match="divide by zero encountered in log") as found:
        hg.value_and_grad(g)(np.float64(0.0))
    assert len(found) == 1
    assert "changes or reads NumPy's error handling" in notes(f, x3)

    @np.errstate(invalid="ignore")
    def quiet(x: Any) -> Any:
        return np.log(x)

    def h(x: Any) -> Any:
        @np.errstate(invalid="ignore")
        def inner(v: Any) -> Any:
            return np.log(v)

        return np.where(x > 0, inner(x), x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hg.grad(h)(np.float64(-1.0)) == 1.0
        assert math.isnan(quiet(-1.0))


def test_settings_are_as_before_after_an_error() -> None:
    before = np.geterr()

    def f(x: Any) -> Any:
        with np.errstate(all="raise"):
            return np.log(x)

    with pytest.raises(FloatingPointError):
        hg.grad(f)(np.float64(-1.0))
    assert np.geterr() == before


def test_filters_of_warnings() -> None:
    def f(x: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = np.log(x)
        return np.where(x > 0, y, x)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hg.grad(f)(np.float64(-1.0)) == 1.0

    def g(x: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                return np.log(x)
            except RuntimeWarning:
                return x * 3.0

    check(g, np.float64(-1.0))
    check(g, np.float64(1.0))

    def h(x: Any) -> Any:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            y = np.log(x)
        return y if not found else x * 3.0

    check(h, np.float64(-1.0))

    def w(x: Any) -> Any:
        warnings.warn("careful", UserWarning, stacklevel=2)
        return x * 2.0

    with pytest.warns(UserWarning, match="careful"):
        hg.grad(w)(1.0)


# -- effects ---------------------------------------------------------------------------------------------------------


def test_what_has_effects_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert notes(lambda t: print(f"t = {t}"), 1.5) == ["makes text of a value", "prints"]
    assert capsys.readouterr().out == "t = 1.5\n"
    assert notes(lambda t: print(t, end="", file=io.StringIO()), 1.5)
    path = tmp_path / "a.txt"
    path.write_text("1 2")

    def read(t: Any) -> None:
        with open(path) as file:
            assert file.read() == "1 2"

    assert "opens a file" in notes(read, 1.0)
    assert "reads a file" in notes(lambda t: np.loadtxt(path), 1.0)
    assert notes(lambda t: id(t), 1.0) == ["asks for an id()"]
    assert notes(lambda t: time.time(), 1.0)
    assert notes(lambda t: random.random(), 1.0)
    assert notes(lambda t: os.getpid(), 1.0)
    assert notes(lambda t: vars(test_purity), 1.0)


scale = 3.0


def test_code_from_a_text() -> None:
    def f(t: Any) -> Any:
        a = 2.0
        return (
            eval("a * math.sin(t) + np.zeros(2).sum() * scale") + eval("u * 2", {"u": t}) + eval("v", {}, {"v": a * t})
        )

    check(f, 1.7)
    assert "runs code from a text (eval)" in notes(f, 1.7)

    def g(t: Any) -> Any:
        space: dict[str, Any] = {"t": t, "math": math}
        exec("y = math.exp(t)\ndef h(v): return v * float(t)", space)
        return space["y"] * space["h"](2.0)

    check(g, 1.7)

    def h(t: Any) -> Any:
        u = 2.0 * t
        names = locals()
        return names["u"] + vars()["t"] * ("u" in dir()) + globals()["scale"] * t

    check(h, 1.7)


def test_outside_a_trace_they_are_the_originals() -> None:
    space = builtins_stand_in()
    assert space.keys() == vars(builtins).keys()
    assert space["float"](3) == 3.0
    assert space["type"](3.0) is space["float"]
    assert space["pow"](2, 5, 3) == 2
    assert space["__import__"]("os") is os
    namespace = stand_in(math)
    assert dir(namespace) == dir(math)
    for name, args in {**MATH, **PIECEWISE}.items():
        assert getattr(namespace, name)(*args) == getattr(math, name)(*args)
    assert namespace.pi is math.pi
    assert namespace.__name__ == "math"
    with pytest.raises(AttributeError):
        namespace.no_such_name


def test_stand_ins() -> None:
    assert stand_in(np) is hnp
    assert stand_in(np.zeros) is hnp.zeros
    assert stand_in(np.random) is hnp.random
    assert stand_in(la) is hnp.linalg
    assert stand_in(np.linalg.norm) is hnp.linalg.norm
    assert stand_in(np.fft) is hnp.fft
    assert stand_in(np.fft.rfft) is hnp.fft.rfft
    assert stand_in(np.float32) is hnp.float32
    assert stand_in(np.vectorize) is hnp.vectorize
    assert stand_in(np.r_) is hnp.r_
    assert stand_in(normal) is hnp.random.normal
    assert stand_in(logsumexp) is hg.scipy.special.logsumexp
    assert stand_in(expit) is expit
    for same in (3, "a", os, len, x3, np.ndarray, np.pi, OSError, operator.add, re, np.floating, test_stand_ins):
        assert stand_in(same) is same
    for value in (hnp, hnp.zeros, stand_in(math), stand_in(float), stand_in(math.sin)):
        assert stand_in(value) is value


def test_purity() -> None:
    pure = [
        np, np.zeros, np.sin, np.add, math, math.sin, operator.add, operator, itertools, itertools.chain, functools,
        functools.reduce, collections.Counter, collections, typing, numbers, copy, copy.deepcopy, len, sum, sorted, int,
        float, dict, ValueError, isinstance, getattr, print, sp, sp.expit, expit, scipy, np.linalg, np.linalg.inv,
        hg.grad,
        np.ndarray, np.float64, str.join, "a".join, re.compile("a"), operator.itemgetter(1), functools.partial,
        fractions.Fraction, np.dtype(float), 3, None, "a", stand_in(math), stand_in(float), np.random, normal, warnings,
        np.lib.stride_tricks.sliding_window_view, np.seterr, typing.Any, scipy.linalg.expm, re.match, re,
    ]  # fmt: skip
    impure = [
        time, time.time, random, random.random, os, os.getcwd, setattr, delattr, test_purity, x3, [], {}, [].append,
        counted, object(), lambda t: t, collections.Counter(), polynomial, scipy.optimize, scipy.stats.bootstrap,
    ]  # fmt: skip
    assert [v for v in pure if not is_pure(v)] == []
    assert [v for v in impure if is_pure(v)] == []


def test_refusals_tell_the_cure() -> None:
    with pytest.raises(TraceError, match="plain float"):
        hg.grad(lambda v: statistics.fmean([v, v]))(1.0)
