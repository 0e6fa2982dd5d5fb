"""Functions written with plain NumPy work as they are, or are refused with the line and the cure."""

from __future__ import annotations

import builtins
import contextlib
import copy
import math
import operator
import pickle
import re
import statistics
import struct
import types
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from random import Random
from typing import Any

import calls
import numpy as np
import programs
import pytest
import scipy.special
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.linalg import LinAlgError

import hopgrad as hg
import hopgrad.numpy as hnp
from hopgrad import tree
from hopgrad.errors import HopgradError, NotDifferentiableError, TraceError
from hopgrad.hops.surface import refusals, surfaces
from hopgrad.trace import memory
from hopgrad.trace.tracer import Tracer, strides_of

x3 = np.array([0.4, -1.2, 2.3])


def outcome(f: Callable[..., Any], *args: Any) -> Any:
    """What `f` returns when it is traced, with the types that it has there."""
    with np.errstate(all="ignore"):
        traced = hg.value_and_grad(
            lambda *a: (np.sum(np.real(a[0])) * 1.0, f(*a)), tuple(range(len(args))), has_aux=True
        )
        (_, found), _ = traced(*args)
    return found


def assert_same(found: Any, wanted: Any) -> None:
    """Equal in type, dtype, shape, and value up to rounding."""
    assert type(found) is type(wanted)
    if isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, np.ndarray | np.generic):
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        digits = 1e-5 if wanted.dtype == np.float32 else 2e-3 if wanted.dtype == np.float16 else 1e-12
        np.testing.assert_allclose(found, wanted, digits, 1e-14)
    elif isinstance(wanted, float | int):
        np.testing.assert_allclose(found, wanted, 1e-12, 1e-14)
    else:
        assert found == wanted


def function_of(call: str) -> tuple[Callable[..., Any], list[Any]]:
    """An expression as a function of its variables, and their values."""
    names = [name for name in calls.VARIABLES if re.search(rf"(?<![\w.']){name}(?![\w(=']|:)", call)]
    assert names, f"{call} has no variables"
    f = eval(f"lambda {', '.join(names)}: {call}", dict(calls.FIXED))
    return f, [calls.VARIABLES[name] for name in names]


def check(call: str) -> None:
    """Types, values and derivatives of a call against NumPy and finite differences."""
    f, args = function_of(call)
    with np.errstate(all="ignore"):
        wanted = f(*args)
    assert_same(outcome(f, *args), wanted)
    leaves = tree.flatten(wanted)[0]
    numbers = (float, complex, np.ndarray, np.generic)
    smooth = all(isinstance(v, numbers) and np.asarray(v).dtype.kind in "fc" for v in leaves)
    if leaves and smooth and not any(np.isnan(a).any() for a in args):
        single = "float32" in call
        hg.check_grads(f, args, **({"rtol": 1e-2, "atol": 1e-2} if single else {}))


# -- every function of NumPy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", calls.ARRAY_CALLS)
def test_array_function(call: str) -> None:
    check(call)


@pytest.mark.parametrize("call", [call for call in calls.REAL_CALLS if "like=" not in call])
def test_array_function_of_single_precision(call: str) -> None:
    """The kinds, dtypes and shapes of what NumPy gives; Python's own numbers stay double."""
    f, args = function_of(call)
    single = [v if type(v) in (float, complex) else v.astype(np.float32) for v in args]
    with np.errstate(all="ignore"):
        wanted = f(*single)
    found = outcome(f, *single)
    for one, other in zip(tree.flatten(found)[0], tree.flatten(wanted)[0], strict=True):
        assert type(one) is type(other)
        if isinstance(other, np.ndarray | np.generic):
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, 2e-4, 1e-4)


@pytest.mark.parametrize("call", calls.ARRAY_CALLS)
def test_array_function_called_by_a_library(call: str) -> None:
    """With NumPy itself, not with what stands for it: the same values, or a refusal."""
    f, args = function_of(call)
    f = types.FunctionType(f.__code__, {**calls.FIXED, "__name__": "numpy.somewhere", "__builtins__": builtins})
    with np.errstate(all="ignore"):
        wanted = f(*args)
    try:
        found = outcome(lambda *values: f(*values), *args)
    except HopgradError as error:
        assert "<string>" in str(error) or "test_tracing.py" in str(error)  # noqa: PT017 - or it is right
        return
    assert_same(found, wanted)


def rounded(value: Any) -> Any:
    """Integers in place of an array's elements, which have no derivative."""
    return np.floor(value * 3).astype(int) if np.ndim(value) else value


@pytest.mark.parametrize("call", [c for c in calls.REAL_CALLS if "like=" not in c and not re.search(r"\bN\b", c)])
def test_array_function_of_integers(call: str) -> None:
    """The dtypes, shapes and values of what NumPy gives, where it gives anything; or a refusal."""
    f, args = function_of(call)
    with np.errstate(all="ignore"):
        try:
            wanted = f(*map(rounded, args))
        except (TypeError, ValueError, LinAlgError):
            return
    try:
        found = outcome(lambda *values: f(*map(rounded, values)), *args)
    except HopgradError as error:
        assert re.search("does not fit into an array|complex results", str(error))  # noqa: PT017 - or it is right
        return
    assert_same(found, wanted)


MORE = {**calls.ON_MATRICES, **calls.SEVERAL_RESULTS, **calls.ON_INTEGERS, **calls.OTHER_UFUNCS}


@pytest.mark.parametrize("call", [call for group in MORE.values() for call in group])
def test_ufunc_with_axes_or_several_results(call: str) -> None:
    check(call)


ELEMENTWISE = sorted(calls.UFUNCS.keys() - calls.REFUSED_UFUNCS - calls.STRINGS - MORE.keys())


def operands_for(name: str, like: Any) -> list[Any]:
    ufunc = calls.UFUNCS[name]
    if name in calls.ON_BOOLEANS:
        like = like > 0
    elif name in calls.POSITIVE_ONLY:
        like = abs(like) + (1.1 if name == "arccosh" else 0.2)
    elif name in calls.UNIT_ONLY:
        like = like / (2 * np.max(np.abs(like)))
    return [like, (like if name in calls.ON_BOOLEANS else abs(like) * 0.7 + 0.35)][: ufunc.nin]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_ufunc(name: str) -> None:
    ufunc = calls.UFUNCS[name]
    for value in (1.3, np.float64(-0.7), np.float32(0.9), np.array(1.7), x3, x3.astype(np.float32), x3[:, None] * x3):
        args = operands_for(name, value)
        if name in calls.ON_BOOLEANS:
            assert_same(outcome(lambda v, n=name: calls.UFUNCS[n](*operands_for(n, v)), value), ufunc(*args))
            continue
        with np.errstate(all="ignore"):
            wanted = ufunc(*args)
        assert_same(outcome(ufunc, *args), wanted)
        if np.asarray(wanted).dtype == np.float64:
            hg.check_grads(ufunc, args)


def test_every_function_is_differentiated_or_refused_by_name() -> None:
    """Fails when NumPy has a function that is in none of the lists: put it in one."""
    covered = {re.match(r"[\w.]+", call)[0] for call in calls.ARRAY_CALLS}  # type: ignore[index]  # they all are calls
    known = covered | calls.REFUSED_FUNCTIONS
    open_ones = {
        calls.names_of(f)
        for f in calls.FUNCTIONS
        if calls.names_of(f) not in known
        and not any(calls.names_of(f).startswith(m + ".") for m in calls.REFUSED_MODULES)
    }
    assert not open_ones
    assert not covered & calls.REFUSED_FUNCTIONS
    names = {calls.names_of(f) for f in calls.FUNCTIONS}
    assert {calls.names_of(f) for f in [*surfaces, *refusals] if callable(f)} <= names | calls.REFUSED_FUNCTIONS
    everything = [*ELEMENTWISE, *MORE, *calls.REFUSED_UFUNCS, *calls.STRINGS]
    assert sorted(everything) == sorted(calls.UFUNCS)


def is_refused(function: Any) -> bool:
    name = calls.names_of(function)
    return name in calls.REFUSED_FUNCTIONS or any(name.startswith(m + ".") for m in calls.REFUSED_MODULES)


@pytest.mark.parametrize("function", [f for f in calls.FUNCTIONS if is_refused(f)], ids=calls.names_of)
def test_refuses_a_function_by_name(function: Any) -> None:
    def f(x: Any) -> Any:
        # As NumPy calls it, whatever the function's other arguments are.
        return Tracer.__array_function__(x, function, (Tracer,), (x,), {})  # the user's line

    with pytest.raises(NotDifferentiableError) as caught:
        hg.grad(f)(x3)
    message = str(caught.value)
    assert message.startswith(f"{calls.names_of(function)} is not supported on traced values")
    assert "test_tracing.py" in message
    assert "# the user's line" in message


@pytest.mark.parametrize("name", sorted(calls.REFUSED_UFUNCS | calls.STRINGS))
def test_refuses_a_ufunc_by_name(name: str) -> None:
    ufunc = calls.UFUNCS[name]
    with pytest.raises(HopgradError, match=name) as caught:
        hg.grad(lambda x: Tracer.__array_ufunc__(x, ufunc, "__call__", *[x] * ufunc.nin))(x3)
    assert "test_tracing.py" in str(caught.value)


@pytest.mark.parametrize(
    ("method", "ufunc"),
    [("reduceat", np.power), ("reduce", np.power)],
)
def test_refuses_a_ufunc_method_by_name(method: str, ufunc: np.ufunc) -> None:
    name = f"np.{ufunc.__name__}.{method}"
    with pytest.raises(NotDifferentiableError, match=re.escape(name)):
        hg.grad(lambda x: getattr(ufunc, method)(x.copy(), *([[0, 1]] if method == "reduceat" else [])))(x3)


UFUNC_METHODS = """
np.add.reduce(A) np.add.reduce(A,1) np.add.reduce(A,axis=None) np.add.reduce(A,axis=(0,1),keepdims=True)
np.add.reduce(x,initial=2.0) np.add.reduce(x,where=m) np.multiply.reduce(A,axis=1) np.maximum.reduce(A)
np.minimum.reduce(A,axis=None,initial=0.1) np.logical_and.reduce(x>0) np.logical_or.reduce(A>0,axis=1)
np.logaddexp.reduce(x) np.logaddexp.reduce(A,axis=1) np.add.reduce(x,dtype=np.float32) np.add.accumulate(x)
np.add.accumulate(A,1) np.multiply.accumulate(A,axis=1) np.add.outer(x,y) np.multiply.outer(A,x)
np.subtract.outer(s,x) np.power.outer(p,w) np.multiply.outer(w,x) np.greater.outer(x,y)
np.add.at(a:=x.copy(),[0,0,2],1.0) or a np.add.at(a:=x.copy(),k,y) or a
np.subtract.at(a:=A.copy(),(0,[1,1]),x[:2]) or a np.multiply.at(a:=x.copy(),[0,0,2],y) or a
np.divide.at(a:=A.copy(),(0,[1,1]),p[:2]) or a np.maximum.at(a:=x.copy(),[0,1,0],y) or a
np.minimum.at(a:=A.copy(),[1,1],x) or a np.negative.at(a:=x.copy(),[0,0,2]) or a
np.power.at(a:=p.copy(),[1,1],2.0) or a np.multiply.at(a:=x.copy(),np.argsort(y),w) or a
np.add.at(a:=x.copy(),np.argmax(A,0),y) or a np.add.at(a:=x.copy(),np.argmax(x),s) or a
np.add.at(a:=x.copy(),slice(1,None),s) or a
np.add(x,y,out=(a:=x.copy())) np.multiply(x,2.0,x.copy()) np.add(x,y,where=m,out=x.copy())
np.log(x,where=x>0,out=np.zeros_like(x)) np.divide(x,v,out=np.zeros_like(x),where=m)
np.sqrt(x,out=np.ones_like(x),where=x>0) np.arctanh(x,where=np.abs(x)<1,out=np.zeros_like(x))
np.add(x,y,dtype=np.float32) np.multiply(x,2,dtype=float) np.sin(x,dtype=np.float64)
np.add(x,1,casting='unsafe',dtype=np.float32) np.divmod(x,p,out=(x.copy(),y.copy()))
np.matmul(A,B,out=np.zeros_like(A@B)) np.exp(x,order='C') np.add(x,y,subok=True)
np.maximum.accumulate(x) np.minimum.accumulate(A,axis=1) np.logaddexp.accumulate(x) np.subtract.reduce(x)
np.subtract.reduce(A,axis=1) np.divide.reduce(p) np.hypot.reduce(x) np.hypot.accumulate(x) np.fmax.reduce(N)
np.fmin.reduce(A,axis=1) np.subtract.accumulate(x) np.subtract.reduceat(L,[0,3])
np.add.reduceat(L,[0,3],out=np.zeros_like(x[:2]))
np.subtract.reduce(A,axis=1,keepdims=True) np.subtract.reduce(x,initial=s) np.fmax.reduce(A,axis=None)
np.fmax.reduce(A,axis=(0,1),keepdims=True) np.hypot.reduce(A,1,where=M) np.fmin.reduce(A,where=M,initial=s,axis=0)
np.subtract.reduce(x,dtype=np.float32) np.maximum.accumulate(A,axis=1,out=np.zeros_like(A))
np.divide.reduceat(p,[0,2,1])
"""


@pytest.mark.parametrize("call", re.split(r"\s+(?=np\.(?:\w+\.)?\w+\()", UFUNC_METHODS.strip()))
def test_ufunc_methods_and_keywords(call: str) -> None:
    check(call)


def test_what_where_leaves_out_is_not_computed() -> None:
    # The idiom is there to avoid warnings, and warnings are errors here.
    f = lambda x: np.sum(np.log(x, out=np.zeros_like(x), where=x > 0))  # noqa: E731 - one line says it
    value, gradient = hg.value_and_grad(f)(np.array([0.0, 2.0, -1.0]))
    assert value == np.log(2.0)
    np.testing.assert_array_equal(gradient, [0.0, 0.5, 0.0])


def test_where_without_out_is_refused() -> None:
    with pytest.raises(NotDifferentiableError, match=r"np\.log\(where=\) without out= is not supported .* undefined"):
        hg.grad(lambda x: np.sum(np.log(x, where=x > 0)))(x3)


def test_scipy_special_ufuncs() -> None:
    for function in (scipy.special.expit, scipy.special.erf, scipy.special.gammaln, scipy.special.psi):
        hg.check_grads(function, (np.array([0.4, 1.3]),))
        assert_same(outcome(function, 0.7), function(0.7))
    with pytest.raises(
        NotDifferentiableError, match=r"special\.mathieu_a is not supported on traced values\n  at .*mathieu_a\(1, x\)"
    ):
        hg.grad(lambda x: scipy.special.mathieu_a(1, x))(0.7)


# -- operators and promotion -----------------------------------------------------------------------------------------

TRACED = [
    1.3, np.float32(1.3), np.float64(1.3), np.float16(1.3), np.array(1.3, np.float32), np.array(1.3),
    np.array([1.5, 0.5, 2.5], np.float32), np.array([1.5, 0.5, 2.5]),
]  # fmt: skip
OTHERS = [
    2, 2.0, True, np.float32(2), np.float64(2), np.int64(2), np.int8(2), np.bool_(True), np.array(2), np.array(2.0),
    np.array(2, np.float32), *[np.array([1, 2, 3]).astype(d) for d in ("f4", "f8", "i8", "i1", "u1", "?", "f2")],
    [1, 2, 3], [1.0, 2.0, 3.0], (1, 2, 3),
]  # fmt: skip
BINARY: list[Callable[..., Any]] = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, divmod, np.add, np.subtract,
    np.multiply, np.divide, np.floor_divide, np.remainder, np.power, np.divmod, np.maximum, np.hypot, np.arctan2,
    np.logaddexp, np.copysign, np.heaviside, np.float_power, np.fmod, np.greater, np.logical_and, np.fmin,
]  # fmt: skip


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_promotes_as_numpy_does(function: Callable[..., Any]) -> None:
    """Kind and dtype of each pair of kinds, in both orders (NEP 50); where NumPy raises, so does the traced one."""
    for value in TRACED:
        for other in OTHERS:
            for f in (lambda x, o=other: function(x, o), lambda x, o=other: function(o, x)):
                with np.errstate(all="ignore"):
                    try:
                        wanted = f(value)
                    except (TypeError, ValueError) as error:
                        with pytest.raises(TypeError if isinstance(error, TypeError) else ValueError):
                            outcome(f, value)
                        continue
                try:
                    assert_same(outcome(f, value), wanted)
                except AssertionError as error:
                    raise AssertionError(f"{value!r} with {other!r}: {error}") from None


@pytest.mark.parametrize("function", [operator.iadd, operator.imul, operator.itruediv, operator.ipow, operator.imod])
def test_in_place_operators_promote_as_numpy_does(function: Callable[..., Any]) -> None:
    def f(x: Any, other: Any) -> Any:
        return function(x.copy() if isinstance(x, np.ndarray) else x, other)

    for value in TRACED:
        for other in OTHERS:
            with np.errstate(all="ignore"):
                try:
                    wanted = f(value, other)
                except (TypeError, ValueError) as error:
                    with pytest.raises(TypeError if isinstance(error, TypeError) else ValueError):
                        outcome(lambda x, o=other: f(x, o), value)
                    continue
            assert_same(outcome(lambda x, o=other: f(x, o), value), wanted)


OPERATORS = """
+x -x abs(x) -s +s abs(s) abs(n) x@y A@B A@x x@B B.T@x w@x x@w x//0.7 x%0.7 3.1//p 3.1%p s//0.4 s%0.4 divmod(s,0.4)
divmod(A,0.3) divmod(3.1,p) p**2 p**-1 p**0.5 2**x p**y s**2 s**0.5 2.5**s p**np.float64(2) p**np.array(3) round(s)
round(s,1) round(n) round(n,1) round(np.float32(2.0)*n,1) math.floor(s) math.ceil(s) math.trunc(s) math.floor(n)
(x>0)&(y>0) (x>0)|(y>0) (x>0)^(y>0) ~(x>0) (s>0)&(t>0) (s>0)|(t>0) (s>0)+(t<0) (s>0)-(t>0) (s>0)*s (s>0)*(t<0)+(s>0)
(s>0)/2 -(s>0) +(s>0) abs(s>0) (s>0)**2 (s>0)+1 (n>0)+(n>1) (n>0)*s s*Fraction(1,3) Fraction(1,3)*n (s)==None
(s)!=None (x)==None (x)!=None (s)=='a' (n)==None (x)=='a' s<t s<=t (s)==s x<y x<=1 1>x 0<s A.T@A np.float32(2)*s
np.float32(2)*x x*[1,2,3] [1,2,3]*x x+[s,t,1.0] (1,2,3)-x sum(x) sum(A) statistics.fmean([1.0,2.0])*s
math.prod([s,t,2.0]) len(A)*s len(x[1:])*s [*A][1] max([1,2])*s x[0] x[-1] x[1:] x[::-1] x[::2] x[...] x[None]
x[:,None] A[0] A[:,1] A[0,1] A[...,0] A[-1,::-1] x[[0,2]] x[k] A[:,[0,2]] A[[0,1],[1,2]] x[m] A[M] A[0,m]
x[np.array([0,2])] x[np.int64(1)] T[0,:,1] T[[0,1],:,[1,2]] T[:,[0,1]] T[...,None,0] A[:,m] x[()] n[()] n[...] z[()]
z[...] x[[]] x[1:1] A[np.argmax(A)%2] x[np.argmax(x)] A[np.argmax(A,axis=0),[0,1,2]] A[:,np.argmax(x)] x[np.array(1)]
A[np.array(1)] x[np.argmax(x)-1] A[(0,1)] x.flat[1] A.flat[1:4] A.flat[[0,5]] list(A.flat)[3] len(A.flat)*s
"""


@pytest.mark.parametrize("call", OPERATORS.split())
def test_operator(call: str) -> None:
    calls.FIXED.update(math=math, Fraction=Fraction, statistics=statistics)
    check(call)


def test_booleans_between_python_numbers_count_as_python_has_it() -> None:
    sign = lambda x: (x > 0) - (x < 0)  # noqa: E731 - one line says it
    assert outcome(sign, -2.0) == -1
    assert type(outcome(sign, -2.0)) is int
    assert hg.grad(lambda x: x * ((x > 0) + (x > 1)))(3.0) == 2.0
    # NumPy's booleans are another matter, and raise in NumPy too.
    with pytest.raises(TypeError, match="subtract"):
        hg.grad(sign)(np.float64(-2.0))


def test_an_operator_leaves_strangers_to_themselves() -> None:
    class Unit:
        __array_ufunc__ = None

        def __rmul__(self, other: Any) -> str:
            return "unit"

        def __radd__(self, other: Any) -> str:
            return "sum"

    for value in (1.3, np.float64(1.3), x3):
        assert outcome(lambda x: x * Unit(), value) == "unit"
        assert outcome(lambda x: x + Unit(), value) == "sum"

    class Word:
        def __radd__(self, other: Any) -> str:
            return "word"

    assert outcome(lambda x: x + Word(), 1.3) == "word"
    with pytest.raises(TypeError, match="unsupported operand"):
        hg.grad(lambda x: x * object())(1.3)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    MATRIX = np.matrix([1.0, 2.0, 3.0])


@pytest.mark.parametrize("other", [np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]), MATRIX], ids=["masked", "matrix"])
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_masked_arrays_and_matrices_are_refused(other: Any) -> None:
    for f in (
        lambda x: x * other, lambda x: other * x, lambda x: x @ other.T, lambda x: np.add(x, other),
        lambda x: np.concatenate([np.atleast_2d(x), np.atleast_2d(other)]), lambda x: np.where(x > 0, x, other),
        lambda x: fill(x.copy(), slice(None), other), lambda x: np.dot(x, other.T), lambda x: [other, x][1].clip(other),
    ):  # fmt: skip
        with pytest.raises(HopgradError, match=r"MaskedArray|matrix|masked array|numpy.ma"):
            hg.grad(lambda x, f=f: np.sum(f(x)))(x3)


# -- methods and attributes ------------------------------------------------------------------------------------------

METHODS = """
x.sum() A.sum(0) A.sum(axis=1,keepdims=True) A.sum(0,None,None) A.prod(1) A.mean() A.mean(axis=0) A.var(ddof=1)
A.std(0) A.max() A.max(axis=1) A.min(0) x.argmax() A.argmin(1) (A>0).any() (A>0).all(axis=0) A.cumsum() A.cumsum(1)
A.cumprod(0) x.clip(-1,1) x.clip(max=0.5) (A*10).round() (A*100).round(-2) A.take([0,5]) A.take([0,1],axis=1)
A.repeat(2) A.repeat([1,2],axis=0) S.trace() S.trace(1) S.diagonal() T.diagonal(0,1,2) A.conj() A.conjugate() A.copy()
A.copy('F') A.astype(np.float32) A.astype(int) A.astype('f8',copy=False) A.reshape(3,2) A.reshape((3,2)) A.reshape(-1)
A.reshape(3,2,order='F') A.reshape(6,copy=True) A.ravel() A.ravel('F') A.flatten() A.flatten('F') T.transpose()
T.transpose(1,0,2) T.transpose((2,0,1)) T.transpose(None) T.swapaxes(0,2) A[None].squeeze() A[None].squeeze(0)
A.dot(B) x.dot(y) x.dot(2.0) A.T T.mT A.real A.imag A.shape A.ndim A.size A.dtype A.itemsize A.nbytes A.device
A.tolist() x.tolist() s.real s.imag s.conjugate() n.real n.sum() n.shape n.ndim n.item() A[0].item(1) A.item(4)
A.item((1,2)) z.item() z.tolist() A.compress([True,False,True],axis=1) x.compress(m) A.view() x.to_device('cpu')
copy.copy(A) copy.deepcopy(A) copy.deepcopy(s) x.__array_namespace__().sum(x) x.__abs__() x.__add__(1) x.__len__()*s
A.sum(axis=0,out=np.zeros_like(x)) A.cumsum(1,out=np.zeros_like(A)) n.astype(np.float32) n.round(1) n.copy()
n.reshape(1) n.flatten() n.clip(0,0.5) n.T n.squeeze() n.dtype n.size n.max() n.tolist() z.sum() z.reshape(1) z.copy()
z.T z+0 z*x z.mean() z.real
"""


@pytest.mark.parametrize("call", METHODS.split())
def test_method(call: str) -> None:
    calls.FIXED.update(copy=copy)
    check(call)


REFUSED_METHODS = ["byteswap", "dump", "dumps", "getfield", "resize", "setfield", "tobytes", "tofile"]
OF_MEMORY = ["base", "ctypes", "data"]
# They would hand out the memory, so that NumPy asks __array__ instead, which is refused.
ABSENT = {"__array_interface__", "__array_struct__", "__array_finalize__", "__array_wrap__", "__array_priority__",
          "__dlpack__", "__dlpack_device__", "__setstate__", "__class_getitem__", "__buffer__"}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_METHODS)
def test_refuses_a_method_by_name(name: str) -> None:
    with pytest.raises(
        NotDifferentiableError, match=rf"^ndarray\.{name} is not supported on traced values.*\n  at .*test_trac"
    ):
        hg.grad(lambda x: getattr(x.copy(), name)(0))(x3)


@pytest.mark.parametrize("name", ["base", "ctypes", "data"])
def test_memory_is_not_to_be_had(name: str) -> None:
    with pytest.raises(TraceError, match=r"the memory .* is needed"):
        hg.grad(lambda x: getattr(x, name))(x3)
    # Debuggers look at all attributes: that must not end the trace.
    assert hg.grad(lambda x: [hasattr(x, "nothing"), np.sum(x)][1])(x3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("part", [
    "x", "x.T", "x[1:]", "x[:, 1]", "x[::-1]", "x * 2", "(x * 2).T", "(x * 2)[:, ::2]", "x.reshape(-1)", "x.copy()",
    "x.copy('F')", "np.zeros((3, 4)).T", "np.ones_like(x)", "np.asfortranarray(x)",
])  # fmt: skip
@pytest.mark.parametrize("order", ["C", "F"])
def test_flags_and_strides_are_numpys(part: str, order: Any) -> None:
    find = eval(f"lambda x: {part}", {"np": np})

    def asked(x: Any) -> Any:
        array = find(x)
        names = ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE")
        return tuple(bool(array.flags[name]) for name in names), array.strides

    x = np.array(X, order=order)
    if part.startswith(("x * 2", "(x * 2)", "np.ones_like")) and order == "F":
        return  # the layout of results is followed in C order only
    assert outcome(asked, x) == asked(x)


@pytest.mark.parametrize("value", [1.3, np.float64(1.3), x3], ids=["float", "float64", "ndarray"])
def test_has_the_attributes_that_the_value_has(value: Any) -> None:
    hidden = {
        "__getnewargs__",
        "__getformat__",
        "__slots__",
        "__weakref__",
        "__module__",
        "__annotations__",
        "__dict__",
    }
    # Iteration by indices would take their error for the end where __iter__ is missing.
    always = {"__iter__", "__contains__", "__array__", "__array_ufunc__", "__array_function__", "__array_namespace__"}
    here: dict[str, bool] = {}

    def f(x: Any) -> Any:
        # By class, as asking for a property may be refused.
        here.update({name: hasattr(type(x), name) for name in dir(value)})
        here.update({name: hasattr(x, name) for name in dir(value) if name not in (*OF_MEMORY, "mT")})
        here.update(
            {f"+{name}": hasattr(x, name) for name in dir(np.ndarray) if name not in dir(value) and name[0] != "_"}
        )
        return np.sum(x)

    hg.grad(f)(value)
    missing = {name for name, there in here.items() if not there and name[0] != "+"} - hidden - ABSENT - always
    extra = {name[1:] for name, there in here.items() if there and name[0] == "+"} - always
    assert missing <= {"as_integer_ratio", "fromhex", "from_number", "newbyteorder", "__divmod__", "__getstate__"} | {
        name for name in dir(float) if name not in dir(np.ndarray)
    }
    assert not extra


def test_isinstance_and_friends_take_the_same_branch() -> None:
    def kinds(x: Any) -> tuple[Any, ...]:
        return (
            isinstance(x, np.ndarray), isinstance(x, np.generic), isinstance(x, float), isinstance(x, int | float),
            isinstance(x, np.floating), np.isscalar(x), np.ndim(x), np.shape(x), np.size(x), np.iterable(x),
            callable(x),
            hasattr(x, "__len__"), hasattr(x, "shape"), hasattr(x, "sum"), hasattr(x, "__getitem__"), x is None,
        )  # fmt: skip

    for value in (1.3, np.float64(1.3), np.float32(1.3), np.array(1.3), x3, np.ones((2, 3))):
        assert outcome(kinds, value) == kinds(value)
    found = outcome(lambda x: (isinstance(x > 0, bool), isinstance(round(x), int), (x > 0) is True), 1.3)
    assert found == (True, True, False)


def test_iteration_over_a_number_raises() -> None:
    for value in (1.3, np.float64(1.3), np.array(1.3)):
        for f in (lambda x: list(x), lambda x: [*x], lambda x: sum(v for v in x), lambda x: len(x), lambda x: x[0]):
            with pytest.raises((TypeError, IndexError)):
                f(value)
            with pytest.raises((TypeError, IndexError)):
                hg.grad(lambda x, f=f: f(x) or x)(value)


def test_printing_shows_the_value_and_records_nothing() -> None:
    shown: list[str] = []

    def f(x: Any) -> Any:
        y = x * 2.0
        shown.extend(
            [f"{y}", repr(y), str(y), "%s" % y, f"{y[0]:.2f}", format(y[1], ".1e"), repr(y[0]), np.array2string(y)]  # noqa: UP031
        )
        return np.sum(y)

    graph = hg.graph_of(f)(np.array([1.5, 0.25]))
    y = np.array([3.0, 0.5])
    assert shown == [f"{y}", repr(y), str(y), str(y), "3.00", "5.0e-01", repr(y[0]), np.array2string(y)]
    assert [graph.builder.hop(n).name for n in graph.hops] == ["multiply", "sum"]
    assert outcome(lambda x: f"{x:.3f} {x!r} {x + 1}", 0.5) == "0.500 0.5 1.5"


def test_a_value_that_outlives_its_function_says_so() -> None:
    kept: list[Any] = []

    class Keeper:
        __slots__ = ("value",)

    def f(x: Any) -> Any:
        keeper = Keeper()
        keeper.value = x
        kept.append(lambda: keeper.value)
        return x * x

    hg.grad(f)(3.0)
    value = kept[0]()
    assert repr(value) == "<traced float64, of a function that has returned>"
    assert f"{value:.3f}" == repr(value)
    with pytest.raises(TraceError, match="used after its function had returned"):
        value + 1
    with pytest.raises(TraceError, match="used after its function had returned"):
        np.sin(value)


# -- refusals --------------------------------------------------------------------------------------------------------


def plain(n: int) -> Any:
    """A plain array, as a library may make one that knows nothing of tracing."""
    return pickle.loads(pickle.dumps(np.zeros(n)))


REFUSALS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("write an element", lambda x: fill(plain(3), 0, x[0]), "of a traced value is needed"),
    ("write a slice", lambda x: fill(plain(3), slice(None), x), "of a traced value is needed"),
    ("write a mask", lambda x: fill(plain(3), np.array([True, False, True]), x[:2]), "of a traced value is needed"),
    ("out=", lambda x: np.multiply(x, x, out=plain(3)), r"write a = a \+ b"),
    ("+=", lambda x: plus(plain(3), x), r"write a = a \+ b"),
    ("np.copyto", lambda x: np.copyto(plain(3), x) or x[0], r"write a = a \+ b"),
    ("np.add.at", lambda x: np.add.at(plain(3), [0], x[0]) or x[0], r"write a = a \+ b"),
    ("np.fill_diagonal", lambda x: np.fill_diagonal(plain(4).reshape(2, 2), x[0]) or x[0], "traced value is needed"),
    ("np.random", lambda x: np.random.default_rng(0).normal(x[0]), "of a traced value is needed"),
    ("library", lambda x: struct.pack("d", x[0]), "a plain float of a traced value is needed"),
    ("hash", lambda x: {x[0]: 1}, "cannot be a key of a dict"),
    ("set", lambda x: {x[0], x[1]}, "member of a set"),
    ("view", lambda x: x.view(np.int64), "use astype"),
    ("shape of an argument", lambda x: setattr(x, "shape", (3, 1)), "another shape for the argument x itself"),
    ("pickle", lambda x: copy.copy(x).__reduce_ex__(2), "return it from the function"),
    ("stats", lambda x: scipy.stats.wald.logpdf(x[0]), "scipy.stats.wald.logpdf"),
    ("frompyfunc", lambda x: np.frompyfunc(lambda t: t * 2, 1, 1)(x), "is not supported"),
    ("fixed index", lambda x: np.take(x, x), "integer"),
]  # fmt: skip


def fill(array: Any, key: Any, value: Any) -> Any:
    array[key] = value
    return np.sum(array)


def plus(array: Any, value: Any) -> Any:
    array += value
    return np.sum(array)


@pytest.mark.parametrize(("f", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refuses_with_line_and_cure(f: Callable[[Any], Any], message: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, about what it then does not do
        with pytest.raises((TypeError, IndexError), match=message) as caught:
            hg.grad(f)(x3.copy())
    if isinstance(caught.value, HopgradError):
        assert re.search(r"\n  at \S*test_tracing.py:\d+ in ", str(caught.value))


@pytest.mark.parametrize(
    ("name", "f"), [r[:2] for r in REFUSALS if r[0] != "fixed index"], ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_swallowed_refusal_is_raised_at_the_end(name: str, f: Callable[[Any], Any]) -> None:
    def swallowing(x: Any) -> Any:
        try:
            f(x)
        except Exception:
            return np.sum(x)
        return np.sum(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "frompyfunc":
            return
        with pytest.raises(HopgradError):
            hg.grad(swallowing)(x3.copy())


def test_errors_that_numpy_raises_too_can_be_caught() -> None:
    def f(x: Any) -> Any:
        for wrong in (
            lambda: x @ np.ones(5),
            lambda: x[7],
            lambda: np.reshape(x, 7),
            lambda: len(x[0]),
            lambda: x["a"],
            lambda: bool(x),
        ):
            with pytest.raises((ValueError, IndexError, TypeError)):
                wrong()
        return np.sum(x * x)

    np.testing.assert_array_equal(hg.grad(f)(x3), 2 * x3)


def test_errors_name_the_user_s_line() -> None:
    with pytest.raises(
        ValueError, match=r"(?s)inner lengths 3 and 5\n  at .*test_tracing.py:\d+ in <lambda>: .*np.ones\(5\)"
    ):
        hg.grad(lambda x: x @ np.ones(5))(x3)
    with pytest.raises(IndexError, match=r"(?s)index 7 is out of bounds.*\n  at .*test_tracing.py:\d+ in <lambda>"):
        hg.grad(lambda x: x[7])(x3)


def test_a_plain_array_counts_as_it_was_when_used() -> None:
    def f(x: Any) -> Any:
        weights = np.array([1.0, 2.0, 3.0])
        y = np.sum(x * weights)
        weights[:] = 100.0
        return y

    np.testing.assert_array_equal(hg.grad(f)(x3), [1, 2, 3])


# -- in place --------------------------------------------------------------------------------------------------------


def both(f: Callable[..., Any], *args: Any) -> None:
    """Value and gradient of an in-place function against plain NumPy."""
    value, _ = hg.value_and_grad(f)(*args)
    np.testing.assert_allclose(value, f(*[copy.deepcopy(a) for a in args]), 1e-12)
    hg.check_grads(f, args)


X = np.arange(12.0).reshape(3, 4) / 7 - 0.6
W = np.cos(np.arange(12.0)).reshape(3, 4)

VIEWS = """
a | a[...] | a[1:] | a[:, 1] | a[1] | a[::-1] | a[1:, ::2] | a[None] | a[:, None, 1:] | a.T | a.reshape(4, 3)
| a.reshape(-1) | a.ravel() | a.view() | a.transpose(1, 0) | a.swapaxes(0, 1) | a[None].squeeze(0) | a.mT
| np.expand_dims(a, 1) | np.moveaxis(a, 0, 1) | np.rollaxis(a, 1) | np.swapaxes(a, 0, 1) | np.transpose(a)
| np.squeeze(a[None]) | np.atleast_1d(a) | np.atleast_2d(a[0]) | np.atleast_3d(a) | np.split(a, 3)[1]
| np.array_split(a, 2, 1)[1] | np.hsplit(a, 2)[0] | np.vsplit(a, 3)[2] | np.dsplit(a.reshape(3, 2, 2), 2)[1]
| np.unstack(a)[1] | np.flip(a) | np.flip(a, 1) | np.fliplr(a) | np.flipud(a) | np.rot90(a) | np.rot90(a, 2)
| np.rot90(a, 3) | np.rot90(a, 0) | np.real(a) | np.real_if_close(a) | a.real | a.conj() | np.reshape(a, 12)
| np.ravel(a) | np.ravel(a.T, "K") | np.permute_dims(a, (1, 0)) | np.matrix_transpose(a) | a.astype(float, copy=False)
| np.astype(a, float, copy=False) | np.linalg.matrix_transpose(a) | a[1:].reshape(2, 2, 2)[0].T[1]
| a.T[1:3].T[::-1, 0] | [*a][2] | np.broadcast_arrays(a, a)[0] | a.reshape(2, 6)[1].reshape(3, 2)
| np.linalg.matrix_power(a[:, :3], 1) | a[0, ...] | a[1, 1, ...] | a.T.T | np.diff(a, 0)
"""
COPIES = """
a.copy() | np.copy(a) | a.flatten() | a.T.ravel() | a.T.reshape(-1) | a[[0, 1]] | a[[True, False, True]] | +a
| a * 1.0 | np.positive(a) | a.astype(float) | np.reshape(a, 12, copy=True) | a[:, 1:].reshape(-1) | a.take([0, 1])
| np.tile(a, 1) | np.concatenate([a]) | np.roll(a, 0) | np.where(True, a, 0.0) | np.clip(a, None, None)
| np.nan_to_num(a) | np.triu(a) | np.ravel(a, "F") | a[::2].ravel() | a.ravel("F") | np.repeat(a, 1, 0)
| np.resize(a, (3, 4)) | np.stack([a]) | a[np.array(1)] | np.conjugate(a) | np.meshgrid(a[0], a[1])[0] | np.abs(a)
"""


@pytest.mark.parametrize("view", [v.strip() for v in VIEWS.split("|")])
def test_writing_through_a_view_is_seen_in_the_array(view: str) -> None:
    part = eval(f"lambda a: {view}", {"np": np})
    plain = X.copy()
    assert np.shares_memory(part(plain), plain), "no view in NumPy"

    def through(x: Any) -> Any:
        a = x * 1.5
        b = part(a)
        b[...] = np.sin(b) + x[0, 0]
        b *= 2.0
        return np.sum(a * W) + np.sum(part(a) ** 2)

    def seen(x: Any) -> Any:
        a = x * 1.5
        b = part(a)
        a[...] = np.cos(a)
        a[1:, 1:] -= x[0, 1]
        return np.sum(b * b) + np.sum(a * W)

    both(through, X)
    both(seen, X)


@pytest.mark.parametrize("expression", [v.strip() for v in COPIES.split("|")])
def test_a_copy_is_a_copy(expression: str) -> None:
    make = eval(f"lambda a: {expression}", {"np": np})
    plain = X.copy()
    assert not np.shares_memory(make(plain), plain), "a view in NumPy"

    def f(x: Any) -> Any:
        a = x * 1.5
        b = make(a)
        b[...] = b * 2.0 + x[0, 0]
        a *= 3.0
        return np.sum(a * W) + np.sum(b**2)

    both(f, X)


@pytest.mark.parametrize("expression", ["np.einsum('ij->ji', a)", "(a.T + 1).reshape(-1)", "a[:, [0, 1, 2]].ravel()"])
def test_where_copy_or_view_is_not_known_nothing_is_guessed(expression: str) -> None:
    make = eval(f"lambda a: {expression}", {"np": np})
    inner = eval(f"lambda a: {re.sub(r'[.](reshape|ravel)[(].*', '', expression)}", {"np": np})

    def alone(x: Any) -> Any:
        b = make(x * 1.5)
        b[...] = b * 2.0 + x[0, 0]
        return np.sum(b**2)

    def doubtful(x: Any) -> Any:
        a = x * 1.5 if "einsum" in expression else inner(x * 1.5)
        b = make(a) if "einsum" in expression else a.reshape(-1)
        b[...] = b * 2.0
        return np.sum(a)

    both(alone, X)
    with pytest.raises(
        TraceError, match=r"whether NumPy copied .* was assigned to at \S+test_tracing.py:\d+ .*copy it before"
    ):
        hg.grad(doubtful)(X)


def test_the_graph_names_the_line_of_an_assignment() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        a[0] = x[1]
        a[1:] += 2.0
        return np.sum(a)

    graph = hg.graph_of(f)(x3)
    first = f.__code__.co_firstlineno
    lines = [
        (node.hop.name, node.location.line - first) for node in graph if node.location and node.hop.name != "constant"
    ]
    assert [line for name, line in lines if name == "put"] == [2, 3]
    assert ("sum", 4) in lines


def test_aliases_see_an_update() -> None:
    def f(x: Any) -> Any:
        a = x * 2.0
        b = a
        c = a[1:]
        a += x[0]
        c *= b[0]
        b[0] = c[1]
        return np.sum(a * np.arange(3.0)) + np.sum(b) + np.sum(c)

    both(f, x3)


def test_numbers_are_replaced_not_written_to() -> None:
    def f(x: Any) -> Any:
        s = x[0]
        t = s
        s += 1.0
        n = np.sum(x)
        m = n
        n *= 2.0
        return s * t + n * m

    both(f, x3)


def test_rows_of_a_loop_are_views() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        for row in a:
            row += row[0]
        for k, row in enumerate(a):
            row[k] = x[k, 0]
        return np.sum(a * W)

    both(f, X)


def test_elements_taken_by_traced_indices() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        a[np.argmax(a)] = 0.5 * x[0]
        a[np.argmin(a)] += x[1]
        return np.sum(a**2) + x[np.argmax(x)] * 3.0

    both(f, x3)


def test_a_place_named_twice_gets_the_last_value() -> None:
    def f(x: Any) -> Any:
        a = np.zeros_like(x)
        a[[0, 0, 2, 0]] = x[0] * np.array([1.0, 2.0, 3.0, 4.0])
        a[[1, 1]] += x[1]
        b = x * 1.0
        b[[0, 0]] = [x[1], x[2]]
        return np.sum(a**2) + np.sum(b**3)

    both(f, x3)


def test_masks_and_fancy_assignment() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        a[a > 0.5] = 0.1 * x[0, 0]
        a[a[:, 0] > 0] *= 2.0
        a[np.array([True, False, True])] = x[0]
        a[[0, 2], [1, 3]] = x[1, :2]
        a[:, [0, 1]] -= x[:, 2:]
        a[1, :, None] = x[0, :, None] ** 2
        return np.sum(a * W)

    both(f, X)

    def g(x: Any) -> Any:
        a = x * 1.0
        a[a > 0.5] = 0.1 * x[0, 0]
        a[a[:, 0] > 0] = x[1]
        a[np.array([True, False, True])] = x[0]
        a[[0, 2], [1, 3]] = x[1, :2]
        a[:, [0, 1]] -= x[:, 2:]
        a[1, :] = x[0, :] ** 2
        a[0, :2] = [x[1, 1], 3.0]
        return np.sum(a * W)

    both(g, X)


def test_a_matrix_product_in_place() -> None:
    def f(x: Any) -> Any:
        a = x[:, :3] * 1.0
        b = a.T
        a @= x[:, 1:]
        return np.sum(b * b)

    both(f, X)


def test_flat_reads_and_writes() -> None:
    def f(x: Any) -> Any:
        a = x.T * 1.0
        a.flat[3] = x[0, 0] * 2
        a.flat[::5] = x[1, 1]
        a.flat[[1, 2]] = x[2, :2]
        b = x * 1.0
        b.flat = np.arange(12.0) * x[0, 1]
        return np.sum(a.flat[2:7] ** 2) + np.sum(a) + sum(v * v for v in a.flat) + np.sum(b * W)

    both(f, X)


def refused_to_write(a: Any, value: Any) -> float:
    """1 if NumPy does not let the first element be written to, else 0."""
    try:
        a[0] = value
    except ValueError:
        return 1.0
    return 0.0


def test_a_read_only_array_cannot_be_written_to() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        b = a[1:]
        if x[0] > 0:
            a.setflags(write=False)
        else:
            a.flags.writeable = False
        found = refused_to_write(a, 7.0) + 2 * refused_to_write(a[1:], 7.0) + 4 * refused_to_write(a.copy(), 7.0)
        found += 8 * refused_to_write(b, x[0]) + 16 * a.flags.writeable + 32 * b.flags["WRITEABLE"]
        a.flags.writeable = True
        return np.sum(a * x) + found + 64 * refused_to_write(a, x[1]) + np.sum(a * a)

    both(f, x3)
    both(f, -x3)

    def plain(x: Any) -> Any:
        a = np.zeros(3)
        b = a[1:]
        a.flags.writeable = False
        b[0] = x[1]
        return refused_to_write(a, x[0]) + np.sum(a * x)

    both(plain, x3)


def test_the_kind_of_a_result_does_not_depend_on_aliases() -> None:
    # Equal values are one value of the graph, but not one array.
    def f(x: Any) -> Any:
        a, b = x * 2.0, x * 2.0
        a[0] = 7.0
        c = np.atleast_1d(b, a)[0]
        c[1] = 5.0
        return np.sum(a * np.arange(3.0)) + 10 * np.sum(b * np.arange(3.0))

    both(f, x3)


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.sampled_from("CF"), st.integers(3, 12))
@example(Random(946), "C", 9)
@example(Random(3309), "F", 12)
def test_random_programs_are_right_or_refused(random: Random, order: Any, steps: int) -> None:
    x = np.array(np.random.default_rng(3).normal(size=(3, 4)), order=order)  # no ties, which evenly spaced numbers have
    text = programs.program(random, x, steps)
    layouts: list[tuple[Any, ...]] = []
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = programs.compiled(text, np, lambda a: layouts.append((a.shape, a.strides, a.itemsize)))
        left, given = x.copy("K"), x.copy("K")
        wanted = plain(left)
        remaining = iter(layouts)

        def look(array: Any) -> None:
            """Strides that are known are NumPy's."""
            shape, strides, itemsize = next(remaining)
            known = strides_of(array) if type(array) is Tracer else None
            if known is not None and 0 not in shape:
                lengths = [k for k, n in enumerate(shape) if n != 1]
                assert [known[k] * itemsize for k in lengths] == [strides[k] for k in lengths], text

        try:
            value, gradient = hg.value_and_grad(programs.compiled(text, hnp, look))(given)
        except HopgradError:
            return
        silent = programs.compiled(text, np, lambda a: None)
        direction = np.random.default_rng(0).normal(size=x.shape)

        def along(step: float) -> Any:
            return silent(np.array(x + step * direction, order=order))

        numeric = [(along(h) - along(-h)) / (2 * h) for h in (1e-5, 1e-6)]
    if not np.isfinite(wanted) or abs(wanted) > 1e8:
        return
    np.testing.assert_allclose(value, wanted, 1e-9, 1e-13, err_msg=text)
    np.testing.assert_allclose(given, left, 1e-9, err_msg=text)
    # At jumps (rounding, masks) the two differences do not agree.
    if np.allclose(*numeric, rtol=1e-5, atol=1e-6):
        np.testing.assert_allclose(np.sum(gradient * direction), numeric[0], 1e-3, 1e-4, err_msg=text)


# -- memory ----------------------------------------------------------------------------------------------------------


def strided(random: Random) -> np.ndarray[Any, Any]:
    """A small array of any strides that slicing and transposing give."""
    array = np.arange(48.0).reshape(random.choice([(48,), (4, 12), (2, 4, 6), (2, 2, 3, 4)]))
    for _ in range(random.randrange(3)):
        axes = list(range(array.ndim))
        random.shuffle(axes)
        array = array.transpose(axes)
        key = [slice(None, None, random.choice([1, 1, 2, -1])) for _ in axes]
        array = array[tuple(key)]
        if random.random() < 0.3:
            array = array[:, None]
    return array


def shapes_of(size: int) -> Iterator[tuple[int, ...]]:
    for first in range(1, size + 1):
        if size % first == 0:
            yield (first, size // first)
            for second in range(1, size // first + 1):
                if size // first % second == 0:
                    yield (first, second, size // first // second)


@given(st.randoms(use_true_random=False))
def test_reshaping_copies_where_numpy_copies(random: Random) -> None:
    array = strided(random)
    strides = tuple(s // 8 for s in array.strides)
    for new in [(array.size,), *shapes_of(array.size)]:
        made = array.reshape(new)
        found = memory.reshaped(array.shape, strides, new)
        assert (found is not None) == np.shares_memory(made, array)
        if found is not None:
            assert [s for s, n in zip(found, new, strict=True) if n != 1] == [
                s // 8 for s, n in zip(made.strides, new, strict=True) if n != 1
            ]
    assert memory.is_contiguous(array.shape, strides) == array.flags.c_contiguous
    assert memory.is_contiguous(array.shape, strides, "F") == array.flags.f_contiguous
    if memory.keeps_order(array.shape, strides):
        assert (array + 1).flags.c_contiguous


def test_equal_elements_are_stored_once() -> None:
    def f(x: Any) -> Any:
        a = hnp.zeros((1000, 1000))
        a[0] = x[0]
        return np.sum(a) + np.sum(np.ones_like(a) * x[1])

    graph = hg.graph_of(f)(x3)
    assert max(graph.builder.constants[n].size for n in graph.order if n in graph.builder.constants) == 1


def test_many_arrays_are_joined_in_reasonable_time() -> None:
    x = np.linspace(0.0, 1.0, 5000)
    gradient = hg.grad(lambda x: np.sum(np.stack([v * v for v in x]) * np.arange(5000.0)))(x)
    np.testing.assert_allclose(gradient, 2 * x * np.arange(5000.0))
    graph = hg.graph_of(lambda x: np.concatenate([x, x, x]))(x3)
    assert [graph.builder.hop(n).name for n in graph.hops] == ["concatenate"]


def test_whether_arrays_share_memory_is_numpy_s_answer() -> None:
    def answers(x: Any, y: Any) -> list[bool]:
        a = np.zeros((3, 4))
        a[0] = x[0]
        pairs = [
            (x, x[1:]), (x[::2], x[1::2]), (x, x + 0), (x, y), (x[:1], x[1:]), (a, a.T), (a[0], a[1]), (a[:, 0], a[1]),
            (a.reshape(-1)[4:], a[2]), (a, a.copy()), (x, np.ones(3)), (x[0], x), (a[:, ::2], a[:, 1::2]),
        ]  # fmt: skip
        return [ask(*pair) for pair in pairs for ask in (np.shares_memory, np.may_share_memory)]

    found: list[bool] = []

    def f(x: Any, y: Any) -> Any:
        found[:] = answers(x, y)
        return np.sum(x * y)

    gradient = hg.grad(f)
    gradient(x3, x3 + 1)
    assert found == answers(x3, x3 + 1)
    # It is asked anew at each call.
    other = hg.grad(lambda x, y: np.sum(x) * (2.0 if np.shares_memory(x, y) else 1.0))
    assert other(x3, x3.copy())[0] == 1
    assert other(x3, x3)[0] == 2


def test_grids_that_are_views_see_what_is_written() -> None:
    def f(x: Any) -> Any:
        a = x.copy()
        first, second = np.meshgrid(a, a[:2], copy=False)
        a[0] = a[1] * 3
        return np.sum(first * second) + np.sum(first**2)

    assert hg.value_and_grad(f)(x3)[0] == f(x3)
    hg.check_grads(f, (x3,), order=2)


def test_pad_with_a_function_writes_to_one_line_after_the_other() -> None:
    def f(x: Any) -> Any:
        def around(line: Any, width: Any, axis: int, given: Any) -> None:
            line[: width[0]] = line[width[0]] * given["factor"] + axis
            line[len(line) - width[1] :] = np.sum(line)

        return np.pad(np.outer(x, x), [(1, 2), (0, 1)], around, factor=x[1])

    np.testing.assert_allclose(hg.vjp(f, x3)[0], f(x3), 1e-14)
    hg.check_grads(f, (x3,), order=2)


def test_the_memory_of_a_number_is_not_that_of_another_one() -> None:
    for f in (lambda x: memoryview(x), lambda x: memoryview(x[0]), lambda x: x[0].data):

        def swallowing(x: Any, f: Any = f) -> Any:
            with contextlib.suppress(TypeError):
                f(x)
            return np.sum(x)

        with pytest.raises(TraceError, match="the memory"):
            hg.grad(swallowing)(x3)


def test_polynomials_fitted_through_points_that_are_differentiated() -> None:
    y = np.cos(x3)
    hg.check_grads(lambda x: np.polyfit(x, y, 1, w=[1.0, 2.0, 1.0]), (x3,), order=2)
    # Where they have not full rank, the solution jumps.
    with pytest.warns(np.exceptions.RankWarning), pytest.raises(NotDifferentiableError, match="full rank"):
        hg.grad(lambda x: np.polyfit(0 * x + 1, y, 1)[0])(x3)
