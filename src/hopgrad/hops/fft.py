"""Discrete Fourier transforms: three hops along one axis, and ``numpy.fft`` made of them.

A transform is linear, and its matrix exp(−2πi jk/n) is symmetric, so that it is its own transpose. Of the transform of
real numbers only the half of the results is kept that determines the others: what is left out counts in the weights of
its transpose, which is the way back from such a half to real numbers, and the other way round.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.fft

from hopgrad.aval import Aval, aval, normalize_axis
from hopgrad.batch import along_axis
from hopgrad.errors import DtypeError, ShapeError
from hopgrad.graph.builder import Expr, zeros
from hopgrad.graph.hop import COMPLEX, Case, Draw, Function, general
from hopgrad.graph.operators import Linear, Operator
from hopgrad.hops import elementwise as ew
from hopgrad.hops.arrange import roll
from hopgrad.hops.reduce import lines
from hopgrad.hops.shape import concatenate, slice_axis
from hopgrad.hops.surface import as_float, cast, lift, surface

Norm = Literal["backward", "ortho", "forward"]
"""Which direction is divided by n: that from frequencies back, both by √n, or that to frequencies."""

_DUAL: dict[Any, Norm] = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}
"""The norm with which the other direction is divided by the same."""

# -- hops ------------------------------------------------------------------------------------------------------------


def _transform(z: Any, *, axis: int, norm: Norm, inverse: bool) -> Any:
    return (np.fft.ifft if inverse else np.fft.fft)(z, axis=axis, norm=norm)


def _transformed(z: Aval, *, axis: int, **params: Any) -> Aval:
    if z.dtype.kind != "c":
        raise DtypeError(f"fft of {z!r}, which is not complex")
    if not z.shape[axis]:
        raise ShapeError(f"fft along axis {axis} of {z!r}, which has no elements")
    return z


def _draw_transform(draw: Draw) -> Case:
    return Case(axis=draw([0, 1]), norm=draw(["backward", "ortho", "forward"]), inverse=draw([False, True]))


@general(_transform, Function("fft", r"\operatorname{fft}", "Fourier transform"), infer=_transformed, domain=(COMPLEX,),
         batch=along_axis, sample=_draw_transform)  # fmt: skip
def fft(z: Expr, *, axis: int, norm: Norm, inverse: bool) -> Operator:
    """Linear, with a symmetric matrix: pushing and pulling are the transform itself."""

    def both(t: Expr) -> Expr:
        return fft(t, axis=axis, norm=norm, inverse=inverse)

    return Linear(z.aval, z.aval, both, both, lines(z.aval, (axis,)))


def _half(n: int) -> int:
    """How many frequencies determine all of n, if these are those of real numbers."""
    return n // 2 + 1


def _weights(n: int, like: Aval, axis: int) -> Any:
    """How often each frequency of a half counts in the whole, along an axis of as many axes as `like` has."""
    counts = np.full(_half(n), 2, ew.complex_of(like.dtype))
    counts[0] = 1
    if n % 2 == 0:
        counts[-1] = 1
    return counts.reshape([-1 if k == axis else 1 for k in range(like.ndim)])


def _real_transform(x: Any, *, axis: int, norm: Norm) -> Any:
    return np.fft.rfft(x, axis=axis, norm=norm)


def _resized(shape: Sequence[int], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


def _real_transformed(x: Aval, *, axis: int, **params: Any) -> Aval:
    if x.dtype.kind != "f":
        raise DtypeError(f"rfft of {x!r}, which is not real")
    n = x.shape[axis]
    if not n:
        raise ShapeError(f"rfft along axis {axis} of {x!r}, which has no elements")
    return aval(_resized(x.shape, axis, _half(n)), ew.complex_of(x.dtype))


@general(_real_transform, Function("rfft", r"\operatorname{rfft}", "Fourier transform"), infer=_real_transformed,
         batch=along_axis,
         sample=lambda draw: Case(axis=draw([0, 1]), norm=draw(["backward", "ortho", "forward"])))  # fmt: skip
def rfft(x: Expr, *, out: Expr, axis: int, norm: Norm) -> Operator:
    """Re Σₖ cₖ exp(−2πi jk/n) is the transform back of the conjugates, each divided by how often it counts there."""
    n = x.shape[axis]

    def pull(ct: Expr) -> Expr:
        return irfft(ew.conjugate(ct) / _weights(n, x.aval, axis), n=n, axis=axis, norm=_DUAL[norm])

    return Linear(x.aval, out.aval, lambda t: rfft(t, axis=axis, norm=norm), pull, lines(x.aval, (axis,)))


def _real_inverse(z: Any, *, n: int, axis: int, norm: Norm) -> Any:
    return np.fft.irfft(z, n, axis, norm)


def _real_again(z: Aval, *, n: int, axis: int, norm: Norm) -> Aval:
    if z.dtype.kind != "c":
        raise DtypeError(f"irfft of {z!r}, which is not complex")
    if n < 1 or z.shape[axis] != _half(n):
        raise ShapeError(f"irfft to {n} elements along axis {axis} of {z!r}")
    return aval(_resized(z.shape, axis, n), ew.parts_of(z.dtype))


def _draw_inverse(draw: Draw) -> Case:
    shape, n, axis = draw([((2, 3), 4, 1), ((2, 3), 5, 1), ((2, 3), 3, 0), ((1, 2), 1, 0)])
    return Case(shape, n=n, axis=axis, norm=draw(["backward", "ortho", "forward"]))


@general(_real_inverse, Function("irfft", r"\operatorname{irfft}", "Fourier transform"), infer=_real_again,
         domain=(COMPLEX,), batch=along_axis, sample=_draw_inverse)  # fmt: skip
def irfft(z: Expr, *, out: Expr, n: int, axis: int, norm: Norm) -> Operator:
    """The conjugated transform, times how often each frequency counts; real where no imaginary part is read."""

    def pull(ct: Expr) -> Expr:
        return ew.conjugate(rfft(ct, axis=axis, norm=_DUAL[norm])) * _weights(n, z.aval, axis)

    return Linear(z.aval, out.aval, lambda t: irfft(t, n=n, axis=axis, norm=norm), pull, lines(z.aval, (axis,)))


# -- along one axis --------------------------------------------------------------------------------------------------


def _norm(norm: Any) -> Norm:
    if norm not in _DUAL:
        raise ValueError(f'Invalid norm value {norm}; should be "backward","ortho" or "forward".')
    return _DUAL[_DUAL[norm]]


def _as_complex(x: Expr) -> Expr:
    return cast(x, np.result_type(x.dtype, 1j))


def _length(n: Any) -> int:
    count = operator.index(n)
    if count < 1:
        raise ValueError(f"Invalid number of FFT data points ({count}) specified.")
    return count


def _fitted(x: Expr, n: int, axis: int) -> Expr:
    """Cut off, or with zeros behind, so that the axis has this length."""
    have = x.shape[axis]
    if n < have:
        found: Expr = slice_axis(x, axis, 0, n, 1)
        return found
    if n == have:
        return x
    return concatenate(x, zeros(x.builder, aval(_resized(x.shape, axis, n - have), x.dtype)), axis=axis)


def _along(x: Any, n: Any, axis: Any, norm: Any, inverse: bool = False) -> Expr:
    z = _as_complex(lift(x))
    axis = normalize_axis(axis, z.ndim)
    count = _length(z.shape[axis] if n is None else n)
    return fft(_fitted(z, count, axis), axis=axis, norm=_norm(norm), inverse=inverse)


@surface(np.fft.fft)
def transform(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Expr:
    return _along(a, n, axis, norm)


@surface(np.fft.ifft)
def inverse(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Expr:
    return _along(a, n, axis, norm, inverse=True)


@surface(np.fft.rfft)
def real_transform(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Expr:
    x = as_float(lift(a))
    if x.dtype.kind == "c":
        raise TypeError(f"np.fft.rfft takes real numbers, not {x.dtype}")
    x = cast(x, np.result_type(x.dtype, np.float32))
    axis = normalize_axis(axis, x.ndim)
    count = _length(x.shape[axis] if n is None else n)
    return rfft(_fitted(x, count, axis), axis=axis, norm=_norm(norm))


@surface(np.fft.irfft)
def real_inverse(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Expr:
    z = _as_complex(lift(a))
    axis = normalize_axis(axis, z.ndim)
    count = _length(2 * (z.shape[axis] - 1) if n is None else n)
    return irfft(_fitted(z, _half(count), axis), n=count, axis=axis, norm=_norm(norm))


@surface(np.fft.hfft)
def hermitian(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Expr:
    return real_inverse(ew.conjugate(_as_complex(lift(a))), n, axis, _DUAL[_norm(norm)])


@surface(np.fft.ihfft)
def hermitian_inverse(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Expr:
    return ew.conjugate(real_transform(a, n, axis, _DUAL[_norm(norm)]))


# -- along several axes ----------------------------------------------------------------------------------------------


def _lengths(x: Expr, s: Any, axes: Any, halved: bool = False) -> list[tuple[int, int]]:
    """Pairs of an axis and its length, as NumPy reads ``s`` and ``axes``; `halved`: there is a half along the last."""
    if axes is None:
        if s is not None:
            warnings.warn("`axes` should not be `None` if `s` is not `None`", DeprecationWarning, stacklevel=2)
        axes = range(-(x.ndim if s is None else len(s)), 0)
    places = [normalize_axis(k, x.ndim) for k in axes]
    if s is None:
        lengths = [x.shape[k] for k in places]
        if halved:
            lengths[-1] = 2 * (lengths[-1] - 1)
    else:
        lengths = [x.shape[k] if n in (-1, None) else operator.index(n) for n, k in zip(s, places, strict=False)]
        if len(s) != len(places):
            raise ValueError("Shape and axes have different lengths.")
    return list(zip(places, lengths, strict=True))


def _over(a: Any, s: Any, axes: Any, norm: Any, inverse: bool = False) -> Expr:
    x = lift(a)
    for axis, n in reversed(_lengths(x, s, axes)):
        x = _along(x, n, axis, norm, inverse)
    return x


@surface(np.fft.fftn)
def transform_over(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Expr:
    return _over(a, s, axes, norm)


@surface(np.fft.ifftn)
def inverse_over(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Expr:
    return _over(a, s, axes, norm, inverse=True)


@surface(np.fft.rfftn)
def real_transform_over(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Expr:
    x = lift(a)
    *others, (last, n) = _lengths(x, s, axes)
    x = real_transform(x, n, last, norm)
    for axis, n in reversed(others):
        x = _along(x, n, axis, norm)
    return x


@surface(np.fft.irfftn)
def real_inverse_over(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Expr:
    x = lift(a)
    *others, (last, length) = _lengths(x, s, axes, halved=True)
    for axis, n in others:
        x = _along(x, n, axis, norm, inverse=True)
    return real_inverse(x, length, last, norm)


def _plane(function: Any) -> Any:
    def adapter(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Expr:
        found: Expr = function(a, s, axes, norm)
        return found

    return adapter


surface(np.fft.fft2)(_plane(transform_over))
surface(np.fft.ifft2)(_plane(inverse_over))
surface(np.fft.rfft2)(_plane(real_transform_over))
surface(np.fft.irfft2)(_plane(real_inverse_over))

# -- order of frequencies --------------------------------------------------------------------------------------------


def _shifted(x: Any, axes: Any, sign: int) -> Expr:
    z = lift(x)
    places = range(z.ndim) if axes is None else axes if np.iterable(axes) else (axes,)
    return roll(z, [sign * (z.shape[k] // 2) for k in places], tuple(places))


@surface(np.fft.fftshift, array=True)
def shift(x: Any, axes: Any = None) -> Expr:
    return _shifted(x, axes, 1)


@surface(np.fft.ifftshift, array=True)
def unshift(x: Any, axes: Any = None) -> Expr:
    return _shifted(x, axes, -1)
