"""The functions of ``scipy.signal``, with SciPy's signatures, made of hops."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from hopgrad.aval import normalize_axis
from hopgrad.graph.builder import Expr
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import elementwise as ew
from hopgrad.hops import fft, pad, statistics
from hopgrad.hops import functions as fn
from hopgrad.hops import linalg as la
from hopgrad.hops.filters import linear_filter
from hopgrad.hops.shape import slice_axis
from hopgrad.hops.surface import as_float, cast, find_builder, lift, promote, refuse, refused, surface

_MODULE = "scipy.signal:"

# -- operands --------------------------------------------------------------------------------------------------------


def _signals(*values: Any) -> list[Expr]:
    """Handles of one dtype, that of floats at least."""
    return promote([as_float(x) for x in promote(values)])


def _part(x: Expr, start: int | None, stop: int | None, axis: int, step: int = 1) -> Any:
    return slice_axis(x, axis % x.ndim, start, stop, step)


def _reversed(x: Expr) -> Any:
    """Turned round along all axes."""
    for axis in range(x.ndim):
        x = _part(x, None, None, axis, -1)
    return x


def _zeros(like: Expr, shape: Sequence[int]) -> Any:
    return to_shape(like.builder.constant(0, like.dtype), tuple(shape))


# -- convolution -----------------------------------------------------------------------------------------------------

_FEW = 64
"""So many terms are added up one by one in several dimensions; more of them by Fourier transforms."""


def _full(x: Expr, y: Expr) -> Any:
    """All sums of products, added up."""
    if x.ndim == 1:
        return statistics.convolve(x, y)
    if y.size > x.size:
        x, y = y, x
    if y.size > _FEW:
        return _by_transforms(x, y, range(x.ndim))
    wide = pad.pad(x, [(n - 1, n - 1) for n in y.shape])
    found: Any = None
    for place in product(*[range(n) for n in y.shape]):
        moved = wide
        for axis, k in enumerate(place):
            start = y.shape[axis] - 1 - k
            moved = _part(moved, start, start + x.shape[axis] + y.shape[axis] - 1, axis)
        term = fn.reshape(_element(y, place), (1,) * x.ndim) * moved
        found = term if found is None else found + term
    return found


def _element(x: Expr, place: Sequence[int]) -> Any:
    for axis, k in enumerate(place):
        x = _part(x, k, k + 1, axis)
    return fn.reshape(x, ())


def _by_transforms(x: Expr, y: Expr, axes: Sequence[int]) -> Any:
    """The same by the product of Fourier transforms. Along the other axes operands broadcast."""
    from scipy.fft import next_fast_len

    axes = [k for k in axes if x.shape[k] != 1 and y.shape[k] != 1]
    if not axes:
        return x * y
    whole = [x.shape[k] + y.shape[k] - 1 for k in axes]
    real = x.dtype.kind != "c"
    lengths = [next_fast_len(n, real) for n in whole]
    ahead, back = (fft.real_transform_over, fft.real_inverse_over) if real else (fft.transform_over, fft.inverse_over)
    found = back(ahead(x, lengths, axes) * ahead(y, lengths, axes), lengths, axes)
    for k, n in zip(axes, whole, strict=True):
        found = _part(found, 0, n, k)
    return cast(found, x.dtype)


def _in_mode(found: Expr, x: Expr, y: Expr, mode: str, axes: Sequence[int] | None = None) -> Any:
    """What SciPy keeps of the full convolution."""
    if mode == "full":
        return found
    if mode not in ("same", "valid"):
        raise ValueError("acceptable mode flags are 'valid', 'same', or 'full'")
    for k in range(found.ndim) if axes is None else axes:
        keep = x.shape[k] if mode == "same" else x.shape[k] - y.shape[k] + 1
        start = (found.shape[k] - keep) // 2
        found = _part(found, start, start + keep, k)
    return found


def _ordered(x: Expr, y: Expr, mode: str, axes: Sequence[int] | None = None) -> tuple[Expr, Expr]:
    """For mode "valid" the larger one first; SciPy wants one to be that along all axes."""
    if mode != "valid":
        return x, y
    places = range(x.ndim) if axes is None else axes
    if all(x.shape[k] >= y.shape[k] for k in places):
        return x, y
    if not all(y.shape[k] >= x.shape[k] for k in places):
        raise ValueError("For 'valid' mode, one must be at least as large as the other in every dimension")
    return y, x


def _convolved(x: Expr, y: Expr, mode: str, method: str) -> Any:
    if x.ndim != y.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    if method not in ("auto", "direct", "fft"):
        raise ValueError("Acceptable method flags are 'auto', 'direct', or 'fft'.")
    if not x.ndim:
        return x * y
    if not x.size or not y.size:
        return _zeros(x, (0,))
    x, y = _ordered(x, y, mode)
    if method == "auto":
        from scipy.signal import choose_conv_method

        method = choose_conv_method(*[np.broadcast_to(np.zeros((), v.dtype), v.shape) for v in (x, y)], mode=mode)  # type: ignore[call-overload]  # it reads shapes and dtypes
    found = _full(x, y) if method == "direct" else _by_transforms(x, y, range(x.ndim))
    return _in_mode(found, x, y, mode)


@surface(_MODULE + "convolve")
def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Expr:
    """``scipy.signal.convolve``: Σ in1ₖ in2ₙ₋ₖ, in any number of dimensions. Linear in both operands.

    By the method that SciPy takes; in several dimensions, more than 64 terms are added up by Fourier transforms.
    """
    x, y = _signals(in1, in2)
    return _convolved(x, y, mode, method)


@surface(_MODULE + "correlate")
def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Expr:
    """``scipy.signal.correlate``: the convolution with in2 conjugated and turned round."""
    x, y = _signals(in1, in2)
    if x.ndim != y.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    return _convolved(x, _reversed(ew.conj(y)), mode, method)


@surface(_MODULE + "fftconvolve")
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Expr:
    """``scipy.signal.fftconvolve``: the convolution by Fourier transforms, over some axes if they are given."""
    x, y = _signals(in1, in2)
    if x.ndim != y.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    if not x.ndim:
        return x * y
    if not x.size or not y.size:
        return _zeros(x, (0,))
    places = list(range(x.ndim))
    if axes is not None:
        places = [normalize_axis(k, x.ndim) for k in (axes if np.iterable(axes) else (axes,))]
    x, y = _ordered(x, y, mode, places)
    moved = [k for k in places if x.shape[k] != 1 and y.shape[k] != 1]
    return _in_mode(_by_transforms(x, y, places), x, y, mode, moved if mode == "valid" else places)


@surface(_MODULE + "oaconvolve")
def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Expr:
    """``scipy.signal.oaconvolve``: as `fftconvolve`; it only differs in how SciPy computes it."""
    return fftconvolve(in1, in2, mode, axes)


_BOUNDARIES = {"fill": "constant", "pad": "constant", "wrap": "wrap", "circular": "wrap", "symm": "symmetric",
               "symmetric": "symmetric"}  # fmt: skip


def _in_plane(x: Expr, y: Expr, mode: str, boundary: str, fillvalue: Any, shift: int) -> Any:
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError("convolve2d inputs must both be 2-D arrays")
    if boundary not in _BOUNDARIES:
        raise ValueError("Acceptable boundary flags are 'fill', 'circular' (or 'wrap'), and 'symmetric' (or 'symm').")
    if mode not in ("full", "same", "valid"):
        raise ValueError("Acceptable mode flags are 'valid', 'same', or 'full'.")
    kind = _BOUNDARIES[boundary]
    around = [(n - 1, n - 1) for n in y.shape]
    if mode == "valid":
        wide = x
    elif kind == "constant":
        fill = lift(fillvalue, x.builder)
        wide = pad.pad(x, around, constant_values=cast(fill, x.dtype))
    else:
        wide = pad.pad(x, around, kind)
    found = _full(wide, y)
    for k in range(2):
        found = _part(found, y.shape[k] - 1, wide.shape[k], k)  # where all terms are there
        if mode == "same":
            start = (y.shape[k] - 1 + shift) // 2
            found = _part(found, start, start + x.shape[k], k)
    return found


@surface(_MODULE + "convolve2d")
def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Expr:
    """``scipy.signal.convolve2d``: a convolution in the plane, with something beyond the boundary."""
    x, y = _signals(in1, in2)
    if x.ndim == y.ndim == 2:
        x, y = _ordered(x, y, mode)
    return _in_plane(x, y, mode, boundary, fillvalue, 0)


@surface(_MODULE + "correlate2d")
def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Expr:
    """``scipy.signal.correlate2d``: as `convolve2d`, with in2 conjugated and turned round."""
    x, y = _signals(in1, in2)
    swapped = False
    if x.ndim == y.ndim == 2:
        first, second = _ordered(x, y, mode)
        swapped = first is not x
        x, y = first, second
    found = _in_plane(x, _reversed(ew.conj(y)), mode, boundary, fillvalue, 1)
    return _reversed(ew.conj(found)) if swapped else found


# -- filters ---------------------------------------------------------------------------------------------------------


def _moved(x: Expr, axis: int) -> tuple[Expr, int]:
    """The signal with time along the last axis."""
    axis = normalize_axis(axis, x.ndim)
    return fn.moveaxis(x, axis, -1), axis


def _coefficients(value: Expr) -> Expr:
    x = fn.reshape(value, (1,)) if not value.ndim else value
    if x.ndim != 1 or not x.size:
        raise ValueError("the coefficients of a filter must be one-dimensional, and at least one")
    return x


def _longer(c: Expr, count: int) -> Any:
    return fn.concatenate([c, _zeros(c, (count - c.size,))]) if c.size < count else c


def _appended(x: Expr, count: int) -> Any:
    return fn.concatenate([x, _zeros(x, (*x.shape[:-1], count))], -1)


def _run(b: Expr, a: Expr, x: Expr, zi: Expr | None) -> tuple[Any, Any]:
    """The filtered signal, along the last axis, and what the filter holds at the end, by what it held before.

    In the transposed direct form, the delays add to the result as if they were input of the filter 1/a.
    """
    n = x.shape[-1]
    y = linear_filter(b, a, x)
    if zi is None:
        return y, None
    count = max(b.size, a.size)
    first = _part(a, 0, 1, 0)
    kept = _part(zi, 0, n, -1) if count - 1 > n else _appended(zi, n - count + 1)
    y = y + linear_filter(first, a, kept)
    if count == 1:
        return y, zi
    unit = first.builder.constant(np.ones(1, first.dtype))
    later = [
        _part(linear_filter(_longer(c, count), unit, _appended(v, count - 1)), n, n + count - 1, -1)
        for c, v in ((b, x), (a, y))
    ]
    left = (later[0] - later[1]) / first
    if count - 1 > n:
        left = left + _appended(_part(zi, n, None, -1), n)
    return y, left


@surface(_MODULE + "lfilter")
def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """``scipy.signal.lfilter``: the signal after a digital filter; with `zi`, also what the filter holds at the end.

    Derivatives by coefficients, signal and initial state: the transpose of a filter is the same filter with the time
    turned round, so reverse mode takes as long as the filter.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> from hopgrad.scipy.signal import lfilter
    >>> hg.grad(lambda x: lfilter([1.0], [1.0, -0.5], x)[2])(np.zeros(3))
    array([0.25, 0.5 , 1.  ])
    """
    operands = _signals(*[v for v in (b, a, x, zi) if v is not None])
    b, a, x = _coefficients(operands[0]), _coefficients(operands[1]), operands[2]
    if not x.ndim:
        raise ValueError("object of too small depth for desired array")
    line, axis = _moved(x, axis)
    if zi is None:
        return fn.moveaxis(_run(b, a, line, None)[0], -1, axis)
    state = operands[3]
    count = max(b.size, a.size) - 1
    if state.ndim != x.ndim:
        raise ValueError("object of too small depth for desired array")
    state = fn.moveaxis(state, axis, -1)
    if state.shape[-1] != count:
        raise ValueError(f"Unexpected shape for zi: along the axis of the filter it must have {count} elements.")
    found, left = _run(b, a, line, to_shape(state, (*line.shape[:-1], count)))
    return fn.moveaxis(found, -1, axis), fn.moveaxis(left, -1, axis)


def _sections(sos: Expr) -> list[tuple[Expr, Expr]]:
    if sos.ndim != 2 or sos.shape[1] != 6:
        raise ValueError("sos array must be shape (n_sections, 6)")
    rows = [fn.take(sos, k, 0) for k in range(sos.shape[0])]
    return [(_part(row, 0, 3, 0), _part(row, 3, 6, 0)) for row in rows]


@surface(_MODULE + "sosfilt")
def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """``scipy.signal.sosfilt``: one filter of second order after the other; see `lfilter`."""
    operands = _signals(*[v for v in (sos, x, zi) if v is not None])
    sections, (line, axis) = _sections(operands[0]), _moved(operands[1], axis)
    if zi is None:
        for b, a in sections:
            line = linear_filter(b, a, line)
        return fn.moveaxis(line, -1, axis)
    state = operands[2]
    if state.ndim != operands[1].ndim + 1:
        raise ValueError(f"Invalid zi shape {state.shape} for {len(sections)} sections.")
    state = fn.moveaxis(state, axis + 1, -1)
    if state.shape[0] != len(sections) or state.shape[-1] != 2:
        raise ValueError(f"Invalid zi shape {state.shape} for {len(sections)} sections.")
    left = []
    for k, (b, a) in enumerate(sections):
        line, rest = _run(b, a, line, to_shape(fn.take(state, k, 0), (*line.shape[:-1], 2)))
        left.append(rest)
    return fn.moveaxis(line, -1, axis), fn.moveaxis(fn.stack(left), -1, axis + 1)


@surface(_MODULE + "lfilter_zi")
def lfilter_zi(b: Any, a: Any) -> Expr:
    """``scipy.signal.lfilter_zi``: the state in which a filter answers constants by constants."""
    b, a = (_coefficients(v) for v in _signals(b, a))
    first = _part(a, 0, 1, 0)
    count = max(b.size, a.size)
    b, a = _longer(b / first, count), _longer(a / first, count)
    n = count - 1
    if not n:
        return _zeros(a, (0,))
    # 1 − Cᵀ with the companion matrix C: the first column holds the coefficients, ones stand above the diagonal.
    fixed = np.eye(n) - np.eye(n, k=1)
    column = fn.reshape(_part(a, 1, None, 0), (n, 1)) * np.eye(1, n, dtype=a.dtype)
    right = _part(b, 1, None, 0) - _part(a, 1, None, 0) * _part(b, 0, 1, 0)
    found: Expr = la.solve(column + a.builder.constant(fixed.astype(a.dtype)), right)
    return found


@surface(_MODULE + "sosfilt_zi")
def sosfilt_zi(sos: Any) -> Expr:
    """``scipy.signal.sosfilt_zi``: as `lfilter_zi`, of filters of second order one after the other."""
    (x,) = _signals(sos)
    scale: Any = None
    found = []
    for b, a in _sections(x):
        state = lfilter_zi(b, a)
        found.append(state if scale is None else scale * state)
        gain = fn.sum(b) / fn.sum(a)
        scale = gain if scale is None else scale * gain
    return fn.stack(found)


def _extended(line: Expr, padtype: Any, padlen: Any, taps: int) -> tuple[int, Any]:
    """The signal, longer at both ends, and by how much."""
    if padtype not in ("even", "odd", "constant", None):
        raise ValueError(f"Unknown value '{padtype}' given to padtype. padtype must be 'even', 'odd', 'constant', or"
                         " None.")  # fmt: skip
    edge = 0 if padtype is None else 3 * taps if padlen is None else operator.index(padlen)
    n = line.shape[-1]
    if n <= edge:
        raise ValueError(f"The length of the input vector x must be greater than padlen, which is {edge}.")
    if not edge:
        return edge, line
    first, last = _part(line, 0, 1, -1), _part(line, n - 1, n, -1)
    before = _part(_part(line, 1, edge + 1, -1), None, None, -1, -1)
    after = _part(_part(line, n - edge - 1, n - 1, -1), None, None, -1, -1)
    if padtype == "odd":
        before, after = 2 * first - before, 2 * last - after
    elif padtype == "constant":
        before, after = to_shape(first, before.shape), to_shape(last, after.shape)
    return edge, fn.concatenate([before, line, after], -1)


@surface(_MODULE + "filtfilt")
def filtfilt(b: Any, a: Any, x: Any, axis: int = -1, padtype: Any = "odd", padlen: Any = None, method: str = "pad",
             irlen: Any = None) -> Expr:  # fmt: skip
    """``scipy.signal.filtfilt``: a filter forwards, then backwards; method="gust" is refused."""
    if method != "pad":
        raise refused(f"scipy.signal.filtfilt(method={method!r})", "method='pad' is")
    b, a, x = _signals(b, a, x)
    b, a = _coefficients(b), _coefficients(a)
    line, axis = _moved(x, axis)
    edge, line = _extended(line, padtype, padlen, max(a.size, b.size))
    state = lfilter_zi(b, a)
    for _ in range(2):
        line, _ = _run(b, a, line, state * _part(line, 0, 1, -1))
        line = _part(line, None, None, -1, -1)
    return fn.moveaxis(_part(line, edge, line.shape[-1] - edge, -1), -1, axis)


@surface(_MODULE + "sosfiltfilt")
def sosfiltfilt(sos: Any, x: Any, axis: int = -1, padtype: Any = "odd", padlen: Any = None) -> Expr:
    """``scipy.signal.sosfiltfilt``: as `filtfilt`, of filters of second order; `sos` is a plain array."""
    if isinstance(sos, Expr):
        raise refused("scipy.signal.sosfiltfilt with traced coefficients", "use sosfilt twice")
    plain = np.asarray(sos)
    coefficients, x = _signals(lift(sos, find_builder([x])), x)
    sections = _sections(coefficients)
    taps = 2 * len(sections) + 1 - min(int((plain[:, 2] == 0).sum()), int((plain[:, 5] == 0).sum()))
    line, axis = _moved(x, axis)
    edge, line = _extended(line, padtype, padlen, taps)
    states = sosfilt_zi(coefficients)
    for _ in range(2):
        first = _part(line, 0, 1, -1)
        for k, (b, a) in enumerate(sections):
            line, _ = _run(b, a, line, fn.take(states, k, 0) * first)
        line = _part(line, None, None, -1, -1)
    return fn.moveaxis(_part(line, edge, line.shape[-1] - edge, -1), -1, axis)


# -- smoothing, trends -----------------------------------------------------------------------------------------------


def _plainly(what: str, *values: Any) -> None:
    if any(isinstance(v, Expr) for v in values):
        raise refused(f"{what} that is traced", "give plain numbers")


@surface(_MODULE + "detrend")
def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: bool = False) -> Expr:
    """``scipy.signal.detrend``: the signal less its mean, or less the best lines between breakpoints. Linear."""
    _plainly("scipy.signal.detrend with a breakpoint", bp)
    if type not in ("linear", "l", "constant", "c"):
        raise ValueError("Trend type must be 'linear' or 'constant'.")
    (x,) = _signals(data)
    if type in ("constant", "c"):
        return x - fn.mean(x, axis, keepdims=True)
    line, axis = _moved(x, axis)
    n = line.shape[-1]
    ends = np.unique(np.concatenate([[0], np.atleast_1d(bp), [n]])).astype(int)
    if np.any(ends > n):
        raise ValueError("Breakpoints must be less than length of data along given axis.")
    pieces = []
    for start, stop in pairwise(ends):
        count = stop - start
        # The projection on lines, by an orthonormal basis.
        basis = np.linalg.svd(np.stack([np.ones(count), np.arange(1, count + 1) / count], -1), full_matrices=False)
        q = basis[0][:, basis[1] > 1e-12 * basis[1][:1]].astype(x.dtype)
        piece = _part(line, int(start), int(stop), -1)
        pieces.append(piece - fn.matmul(fn.matmul(piece, q), x.builder.constant(q.T.copy())))
    return fn.moveaxis(fn.concatenate(pieces, -1), -1, axis)


_MODES = {"mirror": "reflect", "constant": "constant", "nearest": "edge", "wrap": "wrap"}


@surface(_MODULE + "savgol_filter")
def savgol_filter(x: Any, window_length: int, polyorder: int, deriv: int = 0, delta: Any = 1.0, axis: int = -1,
                  mode: str = "interp", cval: Any = 0.0) -> Expr:  # fmt: skip
    """``scipy.signal.savgol_filter``: at each place the polynomial that fits its surroundings best. Linear.

    Source: Savitzky and Golay, Smoothing and differentiation of data by simplified least squares procedures, 1964.
    """
    from scipy.signal import savgol_coeffs

    if mode not in ("mirror", "constant", "nearest", "interp", "wrap"):
        raise ValueError("mode must be 'mirror', 'constant', 'nearest' 'wrap' or 'interp'.")
    _plainly("scipy.signal.savgol_filter with an argument", window_length, polyorder, deriv, delta, cval)
    (x,) = _signals(x)
    weights = savgol_coeffs(window_length, polyorder, deriv=deriv, delta=delta)
    line, axis = _moved(x, axis)
    n = line.shape[-1]
    if mode == "interp" and window_length > n:
        raise ValueError("If mode is 'interp', window_length must be less than or equal to the size of x.")
    half = window_length // 2
    before, after = window_length - 1 - half, half
    around = [(0, 0)] * (line.ndim - 1) + [(before, after)]
    kind = _MODES.get(mode, "constant")
    given = {"constant_values": cval} if mode == "constant" else {}
    wide = pad.pad(line, around, kind, **given)
    constant = x.builder.constant(weights.astype(x.dtype))
    unit = x.builder.constant(np.ones(1, x.dtype))
    found = _part(linear_filter(constant, unit, wide), window_length - 1, None, -1)
    if mode == "interp" and half:
        # At the ends the polynomials of the first and last windows, at the places where no window is centred.
        powers = np.vander(np.arange(window_length, dtype=float), polyorder + 1, increasing=True)
        fit = np.linalg.pinv(powers)

        def at(places: Any) -> Any:
            rows = [
                [np.prod(np.arange(k - deriv + 1, k + 1)) * p ** (k - deriv) if k >= deriv else 0.0
                 for k in range(polyorder + 1)]
                for p in places
            ]  # fmt: skip
            matrix = np.array(rows, float).reshape(len(places), polyorder + 1) @ fit / delta**deriv
            return x.builder.constant(matrix.T.astype(x.dtype).copy())

        places = np.arange(window_length, dtype=float)
        head = fn.matmul(_part(line, 0, window_length, -1), at(places[:half]))
        tail = fn.matmul(_part(line, n - window_length, n, -1), at(places[window_length - half :]))
        found = fn.concatenate([head, _part(found, half, n - half, -1), tail], -1)
    return fn.moveaxis(found, -1, axis)


# -- analytic signals, other rates -----------------------------------------------------------------------------------


@surface(_MODULE + "hilbert")
def hilbert(x: Any, N: Any = None, axis: int = -1) -> Expr:
    """``scipy.signal.hilbert``: the analytic signal, of which `x` is the real part. Linear."""
    (x,) = _signals(x)
    if x.dtype.kind == "c":
        raise ValueError("x must be real.")
    n = x.shape[axis] if N is None else operator.index(N)
    if n <= 0:
        raise ValueError("N must be positive.")
    line, axis = _moved(x, axis)
    weights = np.zeros(n)
    weights[0] = 1
    weights[1 : (n + 1) // 2] = 2
    if n % 2 == 0:
        weights[n // 2] = 1
    spectrum = fft.transform(line, n)
    found = fft.inverse(spectrum * x.builder.constant(weights.astype(spectrum.dtype)), n)
    return fn.moveaxis(found, -1, axis)


@surface(_MODULE + "upfirdn")
def upfirdn(h: Any, x: Any, up: int = 1, down: int = 1, axis: int = -1, mode: Any = None, cval: Any = 0) -> Expr:
    """``scipy.signal.upfirdn``: zeros between the samples, a filter, and every so many of the results."""
    if mode not in (None, "constant", "zero") or (mode == "constant" and cval):
        raise refused(f"scipy.signal.upfirdn(mode={mode!r})", "extend the signal before, with np.pad")
    h, x = _signals(h, x)
    up, down = operator.index(up), operator.index(down)
    if h.ndim != 1 or not h.size:
        raise ValueError("h must be 1-D with non-zero length")
    if up < 1 or down < 1:
        raise ValueError("Both up and down must be >= 1")
    line, axis = _moved(x, axis)
    n = line.shape[-1]
    if up > 1:
        spaced = fn.concatenate([fn.expand_dims(line, -1), _zeros(x, (*line.shape, up - 1))], -1)
        line = _part(fn.reshape(spaced, (*line.shape[:-1], n * up)), 0, (n - 1) * up + 1, -1)
    unit = x.builder.constant(np.ones(1, x.dtype))
    found = linear_filter(h, unit, _appended(line, h.size - 1))
    return fn.moveaxis(_part(found, None, None, -1, down), -1, axis)


@surface(_MODULE + "resample_poly")
def resample_poly(x: Any, up: int, down: int, axis: int = 0, window: Any = ("kaiser", 5.0), padtype: str = "constant",
                  cval: Any = None) -> Expr:  # fmt: skip
    """``scipy.signal.resample_poly``: another rate of samples, by a filter between zeros."""
    from math import gcd

    from scipy.signal import firwin

    if padtype not in ("constant", "mean", "minimum", "maximum", "median") or cval:
        raise refused(f"scipy.signal.resample_poly(padtype={padtype!r})", "padtype='constant' and 'mean' are")
    if padtype in ("minimum", "maximum", "median"):
        raise refused(f"scipy.signal.resample_poly(padtype={padtype!r})", "take it away before and add it after")
    (x,) = _signals(x)
    if int(up) != up or int(down) != down or up < 1 or down < 1:
        raise ValueError("up and down must be >= 1")
    common = gcd(int(up), int(down))
    up, down = int(up) // common, int(down) // common
    if up == down == 1:
        return x
    axis = normalize_axis(axis, x.ndim)
    n = x.shape[axis]
    count = -(-n * up // down)
    if isinstance(window, (Expr, list, np.ndarray)):
        h = lift(window, x.builder)
        h = cast(h, np.result_type(h.dtype, x.dtype)) * up
    else:
        largest = max(up, down)
        weights = firwin(20 * largest + 1, 1.0 / largest, window=window).astype(x.dtype) * up
        h = x.builder.constant(weights)
    half = (h.size - 1) // 2
    before = down - half % down
    first = (half + before) // down
    after = 0
    while ((n - 1) * up + h.size + before + after - 1) // down + 1 < count + first:
        after += 1
    h = fn.concatenate([_zeros(h, (before,)), h, _zeros(h, (after,))])
    background = fn.mean(x, axis, keepdims=True) if padtype == "mean" else None
    found = upfirdn(h, x if background is None else x - background, up, down, axis)
    found = _part(found, first, first + count, axis)
    return found if background is None else found + background


@surface(_MODULE + "decimate")
def decimate(x: Any, q: int, n: Any = None, ftype: Any = "iir", axis: int = -1, zero_phase: bool = True) -> Expr:
    """``scipy.signal.decimate``: every q-th sample, after a filter that SciPy designs."""
    from scipy.signal import cheby1, firwin

    (x,) = _signals(x)
    q = operator.index(q)
    if ftype == "fir":
        weights = firwin((20 * q if n is None else operator.index(n)) + 1, 1.0 / q, window="hamming").astype(x.dtype)
        if zero_phase:
            return resample_poly(x, 1, q, axis, weights)
        found = upfirdn(weights, x, 1, q, axis)
        return _part(found, 0, -(-x.shape[axis] // q), axis)
    if ftype != "iir":
        raise refused("scipy.signal.decimate with a system of one's own", "use filtfilt, and every q-th sample")
    sos = cheby1(8 if n is None else operator.index(n), 0.05, 0.8 / q, output="sos").astype(x.dtype)
    found = sosfiltfilt(sos, x, axis) if zero_phase else sosfilt(sos, x, axis)
    return _part(found, None, None, axis, q)


@surface(_MODULE + "resample")
def resample(x: Any, num: int, t: Any = None, axis: int = 0, window: Any = None, domain: str = "time") -> Expr:
    """``scipy.signal.resample``: another number of samples of a periodic signal, by Fourier transforms. Linear."""
    if domain != "time" or window is not None or t is not None:
        raise refused("scipy.signal.resample with t, a window or domain='freq'", "leave them out")
    (x,) = _signals(x)
    num = operator.index(num)
    line, axis = _moved(x, axis)
    n = line.shape[-1]
    count = min(n, num)
    half = count // 2 + 1
    if x.dtype.kind != "c":
        weights = np.ones(half)
        if count % 2 == 0 and num != n:
            weights[count // 2] = 2 if num < n else 0.5
        spectrum = _part(fft.real_transform(line), 0, half, -1)
        found = fft.real_inverse(spectrum * weights.astype(spectrum.dtype) * (num / n), num)
        return fn.moveaxis(cast(found, x.dtype), -1, axis)
    spectrum = fft.transform(line)
    # By which each frequency of the result is made of those of the signal.
    ahead = np.arange(half)
    behind = np.arange(half, count) - count
    places, weights = np.zeros(num, int), np.zeros(num)
    places[ahead], weights[ahead] = ahead, 1
    places[behind], weights[behind] = behind % n, 1
    extra: Any = None
    if count % 2 == 0 and num > n:
        weights[count // 2] = 0.5
        places[num - count // 2], weights[num - count // 2] = count // 2, 0.5
    elif count % 2 == 0 and num < n:
        both = np.zeros(num)
        both[-count // 2] = 1
        extra = _part(spectrum, n - count // 2, n - count // 2 + 1, -1) * both.astype(spectrum.dtype)
    moved = fn.take(spectrum, places, -1) * weights.astype(spectrum.dtype)
    moved = moved if extra is None else moved + extra
    return fn.moveaxis(fft.inverse(moved * (num / n), num), -1, axis)


# -- what is refused -------------------------------------------------------------------------------------------------

for _name, _cure in {
    "deconvolve": "solve the linear system of scipy.linalg.convolution_matrix",
    "medfilt": "use np.median over np.lib.stride_tricks.sliding_window_view", "medfilt2d": "", "order_filter": "",
    "wiener": "", "symiirorder1": "use lfilter", "symiirorder2": "use lfilter",
    "stft": "use np.fft.rfft of windows of the signal", "istft": "", "spectrogram": "use np.fft.rfft of windows",
    "welch": "use np.fft.rfft of windows", "csd": "use np.fft.rfft of windows", "periodogram": "use np.fft.rfft",
    "coherence": "use np.fft.rfft of windows", "lombscargle": "", "hilbert2": "use hilbert along both axes",
    "czt": "use np.fft.fft", "zoom_fft": "use np.fft.fft", "freqz": "use np.polyval on the unit circle",
    "find_peaks": "its results are places: give it plain values", "argrelmax": "give it plain values",
    "argrelmin": "give it plain values", "argrelextrema": "give it plain values",
}.items():  # fmt: skip
    refuse(_cure, _MODULE + _name)
