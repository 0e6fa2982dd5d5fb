"""NumPy's functions that write in place, make arrays that can be filled, print, or call functions of the user."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from hopgrad.graph.builder import Expr
from hopgrad.hops import functions as fn
from hopgrad.hops import linalg_functions
from hopgrad.hops.pad import pad_widths
from hopgrad.hops.surface import Surface, refusals, refused, surfaces
from hopgrad.trace import memory
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.tracer import (
    ARRAY,
    Tracer,
    array,
    as_array,
    bare,
    call,
    check_writable,
    decline,
    fitted,
    has_traced,
    memory_of,
    name_of,
    on_real,
    on_values,
    perform,
    real,
    refuse_plain,
    settled,
    shown,
    special,
    store,
    strides_of,
    trace_of,
    with_integers,
    with_place,
    write,
)

# -- making ----------------------------------------------------------------------------------------------------------


def _like(function: Any) -> Callable[..., Any]:
    """``np.zeros_like`` and its sisters: nothing of the prototype's values enters, so the new array has real data."""

    def make(trace: Trace, frame: Any, prototype: Any, *args: Any, **keywords: Any) -> Any:
        if has_traced((args, keywords)):  # np.full_like
            return perform(surfaces[function], (prototype, *args), keywords, frame, function)
        if type(prototype) is not Tracer:
            return on_real(trace, function, (prototype, *args), keywords)
        aval, strides = prototype._aval, strides_of(prototype)
        steps = None if strides is None else tuple(s * aval.dtype.itemsize for s in strides)
        # NumPy looks at shape, dtype and strides only.
        probe = np.zeros((), aval.dtype)
        like = np.lib.stride_tricks.as_strided(probe, aval.shape, steps or (0,) * aval.ndim, writeable=False)
        result = real(trace, function(like, *args, **keywords))
        if strides is None and result._aval.ndim > 1:
            # Real data has a layout, and that of this array is not known.
            shared = memory_of(result)
            assert shared.data is not None
            result._id = shared.node = memory.constant(trace.builder, shared.data)
            shared.data = shared.layout = None
        return result

    return make


special.update({f: _like(f) for f in (np.zeros_like, np.ones_like, np.full_like)})
special[np.empty_like] = _like(np.zeros_like)


def _copy(trace: Trace, frame: Any, a: Any, order: Any = "K", subok: bool = False) -> Any:
    return a.copy(order) if type(a) is Tracer and a._kind == ARRAY else array(a)


special[np.copy] = _copy

# -- in place --------------------------------------------------------------------------------------------------------


def _in_place(function: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how a traced array is written to. Real data NumPy writes to itself, and plain arrays are refused."""

    def decorate(written: Callable[..., Any]) -> Callable[..., Any]:
        first = list(inspect.signature(written).parameters)[1]

        def run(trace: Trace, frame: Any, *args: Any, **keywords: Any) -> Any:
            target, *args = args or [keywords.pop(first)]  # type: ignore[assignment]  # the rest of them
            if not has_traced((target, args, keywords)):
                return on_real(trace, function, (target, *args), keywords)
            if type(target) is not Tracer:
                refuse_plain(trace, frame)
            if target._kind != ARRAY and function in (np.copyto, np.place, np.putmask):
                raise TypeError(
                    f"{function.__name__}() argument 1 must be numpy.ndarray, not {target.__class__.__name__}"
                )
            args = tuple(as_array(v) for v in args)
            return written(frame, target, *args, **{k: as_array(v) for k, v in keywords.items()})

        special[function] = run
        return written

    return decorate


@_in_place(np.copyto)
def _copyto(frame: Any, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    given = src._aval.dtype if type(src) is Tracer else np.asarray(src).dtype
    if type(src) not in (int, float, bool) and not np.can_cast(given, dst._aval.dtype, casting):
        raise TypeError(f"Cannot cast from {given} to {dst._aval.dtype} according to the rule {casting!r}")
    if src is dst and where is True:
        return  # before NumPy looks whether it can be written to
    check_writable(dst, frame)
    shape = dst._aval.shape

    def copied(x: Expr, v: Any, mask: Any) -> Expr:
        v = fitted(v, x, shape)
        return v if mask is True else fn.where(mask, v, x)

    write(dst, call(copied, (dst, src, where), {}, frame), frame)


@_in_place(np.putmask)
def _putmask(frame: Any, a: Any, mask: Any, values: Any) -> None:
    shape = a._aval.shape
    if np.shape(mask) != shape:
        raise ValueError("putmask: mask and data must be the same size")
    if np.size(values) == 1 or np.shape(values) == shape:
        _copyto(frame, a, np.reshape(values, ()) if np.size(values) == 1 else values, "unsafe", np.not_equal(mask, 0))
    elif np.size(values):
        # The value at each place, repeated over all of them; the mask chooses.
        line = np.ravel(values)[np.arange(a._aval.size) % np.size(values)]
        _copyto(frame, a, np.reshape(line, shape), "unsafe", np.not_equal(mask, 0))


def _putmask_safely(trace: Trace, frame: Any, a: Any, mask: Any, values: Any) -> None:
    """Arrays are converted to larger dtypes only; lists are arrays of the right one from the beginning."""
    if isinstance(values, np.ndarray) and values.ndim and not np.can_cast(values.dtype, a.dtype):
        raise TypeError(f"Cannot cast array data from {values.dtype!r} to {a.dtype!r} according to the rule 'safe'")
    _putmask_unchecked(trace, frame, a, mask, values)


_putmask_unchecked = special[np.putmask]
special[np.putmask] = _putmask_safely


@_in_place(np.place)
def _place(frame: Any, arr: Any, mask: Any, vals: Any) -> None:
    shape = arr._aval.shape
    if np.size(mask) != arr._aval.size:
        raise ValueError("place: mask and data must be the same size")
    chosen = np.reshape(np.not_equal(mask, 0), shape)
    if np.size(vals) == 1:
        _copyto(frame, arr, np.reshape(vals, ()), "unsafe", chosen)
        return
    places = np.flatnonzero(plain(chosen, frame))
    if places.size:
        if not np.size(vals):
            raise ValueError("Cannot insert from an empty array!")
        arr.flat[places] = np.ravel(vals)[np.arange(places.size) % np.size(vals)]


@_in_place(np.put)
def _put(frame: Any, a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    if a._kind != ARRAY:
        return  # NumPy writes to a copy
    places = np.asarray(plain(ind, frame)).ravel()
    places = places.astype(np.intp, casting="same_kind" if places.size else "unsafe")
    size = a._aval.size
    if mode == "wrap":
        places = places % size
    elif mode == "clip":
        places = places.clip(0, size - 1)
    if places.size and np.size(v):
        a.flat[places] = np.ravel(v)[np.arange(places.size) % np.size(v)]


@_in_place(np.fill_diagonal)
def _fill_diagonal(frame: Any, a: Any, val: Any, wrap: bool = False) -> None:
    shape = a._aval.shape
    if len(shape) < 2:
        raise ValueError("array must be at least 2-d")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    step = shape[1] + 1 if len(shape) == 2 else 1 + sum(np.cumprod(shape[:-1]).tolist())
    a.flat[: None if wrap or len(shape) > 2 else shape[1] * shape[1] : step] = val


@_in_place(np.put_along_axis)
def _put_along_axis(frame: Any, arr: Any, indices: Any, values: Any, axis: Any) -> None:
    indices = plain(indices, frame)
    if axis is None:
        arr.flat[np.ravel(indices)] = np.broadcast_to(values, np.shape(indices))
    else:
        arr[fn.along_axis(indices, arr._aval.shape, axis)] = values


def _nan_to_num(trace: Trace, frame: Any, x: Any, copy: bool = True, *args: Any, **keywords: Any) -> Any:
    """Without a copy, the array is written to."""
    if not has_traced((x, args, keywords)):
        return on_real(trace, np.nan_to_num, (x, copy, *args), keywords)
    found = perform(surfaces[np.nan_to_num], (x, True, *args), keywords, frame, np.nan_to_num)
    if copy or type(x) is not Tracer or x._kind != ARRAY:
        return found
    check_writable(x, frame)
    x[...] = found
    return x


special[np.nan_to_num] = _nan_to_num


def _clip(trace: Trace, frame: Any, *args: Any, where: Any = True, **keywords: Any) -> Any:
    """With ``where=`` the other elements stay as they are in `out`."""
    if where is True:
        return perform(surfaces[np.clip], args, keywords, frame, np.clip)
    args, out = args[:3], args[3] if len(args) > 3 else keywords.pop("out", None)
    if out is None:
        trace.refuse(with_place(refused("np.clip(where=) without out=", "it leaves values undefined"), frame))
    found = np.clip(*args, **keywords)
    return store(trace, out, np.where(where, found, out), frame)


special[np.clip] = _clip


def _meshgrid(trace: Trace, frame: Any, *xi: Any, copy: Any = True, **keywords: Any) -> Any:
    """Without a copy, each grid is a view of the coordinates that it repeats."""
    found = surfaces[np.meshgrid]
    keywords["copy"] = bool(copy)
    return perform(found if copy else found._replace(aliasing="each"), xi, keywords, frame, np.meshgrid)


special[np.meshgrid] = _meshgrid


def _pad(trace: Trace, frame: Any, array: Any, pad_width: Any, mode: Any = "constant", **keywords: Any) -> Any:
    """A function for a mode writes to one line after the other, as in NumPy; all others are a surface."""
    if not callable(mode):
        return perform(surfaces[np.pad], (array, pad_width, mode), keywords, frame, np.pad)
    array = as_array(array)
    widths = pad_widths(pad_width, np.ndim(array))
    found: Any = real(
        trace, np.zeros([a + n + b for (a, b), n in zip(widths, np.shape(array), strict=True)], array.dtype)
    )
    found[tuple(slice(a, a + n) for (a, _), n in zip(widths, np.shape(array), strict=True))] = array
    for axis, pair in enumerate(widths):
        lines = np.moveaxis(found, axis, -1)
        for place in np.ndindex(np.shape(lines)[:-1]):
            mode(lines[place], pair, axis, keywords)
    return found


special[np.pad] = _pad


def _sharing(function: Any) -> Callable[..., Any]:
    """Whether arrays have elements in common, or may have: from what is known of views."""

    def ask(trace: Trace, frame: Any, a: Any, b: Any, /, max_work: Any = None) -> bool:
        # What shares memory in this call need not do so in the next one.
        trace.only_once("asks whether arrays share memory", frame)
        found = _parts(a, b)
        if found is None:
            trace.refuse(with_place(refused(name_of(function), "the layout of one of the arrays is not known"), frame))
        return bool(found and function(*found, max_work=max_work))

    return ask


def _parts(a: Any, b: Any) -> tuple[Any, Any] | tuple[()] | None:
    """Two arrays as parts of the same memory, or of one laid out alike; () if they have none in common; None: unknown.

    Values that are no arrays have memory of their own.
    """
    if any(type(v) is Tracer and v._kind != ARRAY for v in (a, b)):
        return ()
    tracers = [v for v in (a, b) if type(v) is Tracer]
    for tracer in tracers:
        memory_of(tracer)
    steps = [step for tracer in tracers for step in tracer._path]
    probes: dict[int, Any] = {}
    (root, part), (other_root, other_part) = (memory.region(v, probes) for v in (a, b))
    if root is not other_root:
        return None if root is not None and other_root is not None and root in (other_root.group or ()) else ()
    if any((step.rest and not step.element) or step.hop.name in ("real", "imag") for step in steps):
        return None
    return part, other_part


special.update({f: _sharing(f) for f in (np.shares_memory, np.may_share_memory)})

# -- what depends on values -------------------------------------------------------------------------------------------


def plain(value: Any, frame: Any) -> Any:
    """Integers and booleans with their values, on which what is traced next depends."""
    found = with_integers(trace_of(value), value, frame) if has_traced(value) else None
    return real_of(value) if found is None else found


def real_of(value: Any) -> Any:
    """Arrays of real data as NumPy has them."""
    return bare(value) if type(value) is Tracer and not has_traced(value) else value


def _nonzero(trace: Trace, frame: Any, a: Any) -> Any:
    if type(a) is Tracer and has_traced(a):
        mask = plain(np.not_equal(a, 0), frame)
        return tuple(fillable(trace, k) for k in np.nonzero(mask))
    return on_real(trace, np.nonzero, (a,), {})


def fillable(trace: Trace, value: Any) -> Any:
    """A new array of plain values, to which traced ones can be written."""
    return real(trace, value if value.base is None else value.copy()) if type(value) is np.ndarray else value


def _where(trace: Trace, frame: Any, condition: Any, *args: Any, **keywords: Any) -> Any:
    if not args and not keywords:
        return _nonzero(trace, frame, condition)
    if not has_traced((condition, args, keywords)):
        return on_real(trace, np.where, (condition, *args), keywords)
    return perform(surfaces[np.where], (condition, *args), keywords, frame, np.where)


def _compress(trace: Trace, frame: Any, condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    if has_traced(condition):
        condition = plain(np.not_equal(as_array(condition), 0), frame)
    if not has_traced((a, out)):
        return on_real(trace, np.compress, (condition, a, axis, out), {})
    return perform(surfaces[np.compress], (condition, a, axis, out), {}, frame, np.compress)


def _trim_zeros(trace: Trace, frame: Any, filt: Any, trim: str = "fb", **keywords: Any) -> Any:
    if not has_traced(filt):
        return on_real(trace, np.trim_zeros, (filt, trim), keywords)
    filt = as_array(filt)
    # NumPy trims a mask in the same way.
    mask = plain(np.not_equal(filt, 0), frame)
    numbers = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    left = np.trim_zeros(numbers, trim, **keywords)  # type: ignore[arg-type]  # NumPy checks it
    first = [0] * left.ndim
    if left.size:
        corner = np.argwhere(left != 0)[0]
        first = np.argwhere(numbers == left[tuple(corner)])[0] - corner
    return filt[tuple(slice(int(k), int(k) + n) for k, n in zip(first, left.shape, strict=True))]


def call_plainly(trace: Trace, function: Any, args: Any, keywords: Any, frame: Any) -> Any:
    """A function without a surface: on real data, or where no derivative is lost."""
    if not has_traced((args, keywords)):
        return on_real(trace, function, args, keywords)
    return decline(trace, function, args, keywords, refused(name_of(function), refusals.get(function, "")), frame)


special.update({
    np.nonzero: _nonzero,
    np.where: _where,
    np.compress: _compress,
    np.trim_zeros: _trim_zeros,
    np.flatnonzero: lambda trace, frame, a: _nonzero(trace, frame, np.ravel(a))[0],
    np.argwhere: lambda trace, frame, a: np.transpose(
        _nonzero(trace, frame, a) if np.ndim(a) else _nonzero(trace, frame, np.atleast_1d(a))
    )[:, : np.ndim(a)],
    np.extract: lambda trace, frame, condition, arr: np.take(
        np.ravel(arr), _nonzero(trace, frame, np.ravel(condition))[0]
    ),
})  # fmt: skip


def flat(function: Any) -> Callable[..., Any]:
    """A function whose results are integers, so that no derivative is lost with them: NumPy's own answer."""

    def ask(trace: Trace, frame: Any, *args: Any, **keywords: Any) -> Any:
        if not has_traced((args, keywords)):
            return on_real(trace, function, args, keywords)
        found = on_values(trace, function, args, keywords, frame, flat=True)
        if found is None:
            trace.refuse(with_place(refused(name_of(function), refusals.get(function, "")), frame))
        return found[0]

    return ask


_FLAT = (
    np.linalg.matrix_rank, np.ix_, np.ravel_multi_index, np.unravel_index, np.packbits, np.unpackbits,
    np.min_scalar_type,
)  # fmt: skip
special.update({f: flat(f) for f in _FLAT if f not in surfaces and f not in special})


def _bincount(trace: Trace, frame: Any, x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    """Counts are integers; sums of weights are linear in these."""
    if weights is None or not has_traced(weights):
        return flat(np.bincount)(trace, frame, x, weights, minlength)
    places = np.asarray(plain(x, frame))
    if places.shape != np.shape(weights) or places.ndim != 1:
        raise ValueError("The weights and list don't have the same length.")
    found = real(trace, np.zeros(np.bincount(places, None, int(minlength)).size))
    np.add.at(found, places, weights)  # type: ignore[arg-type]  # it stands for an array
    return found


special[np.bincount] = _bincount


def _lstsq(trace: Trace, frame: Any, a: Any, b: Any, rcond: Any = None) -> Any:
    """The shapes of the results depend on the rank, which is a plain number. Where it is not known, it is full."""
    if not has_traced((a, b, rcond)):
        return on_real(trace, np.linalg.lstsq, (a, b, rcond), {})
    found = perform(Surface(linalg_functions.lstsq_rank), (a, b, rcond), {}, frame, np.linalg.lstsq)
    if type(found) is tuple:
        return found  # NumPy's own answer, since no derivative is asked for
    try:
        trace.concrete(found._id)
        rank, keywords = settled(found, frame), {"rank": int(settled(found, frame))}
    except UnknownValueError:
        rank, keywords = np.int32(min(np.shape(a))), {}
    solve = Surface(linalg_functions.lstsq, contiguous=True)
    x, residuals, s = perform(solve, (a, b, rcond), keywords, frame, np.linalg.lstsq)
    return x, residuals, rank, s


special[np.linalg.lstsq] = _lstsq

# -- results that are real or complex, depending on values ------------------------------------------------------------


def _is(condition: Any, frame: Any) -> bool:
    """Whether something holds for the actual inputs, on which what is traced next depends; not where nobody knows."""
    if type(condition) is not Tracer:
        return bool(condition)
    try:
        return bool(settled(condition, frame))
    except UnknownValueError:
        return False


def _eig(function: Any, complex_: Any) -> Callable[..., Any]:
    """Eigenvalues, and what comes with them, as real numbers if NumPy gives them so."""

    def make(trace: Trace, frame: Any, a: Any) -> Any:
        if not has_traced(a):
            return on_real(trace, function, (a,), {})
        found = perform(Surface(complex_, contiguous=True), (a,), {}, frame, function)
        w = found[0] if isinstance(found, tuple) else found
        if a._aval.dtype.kind == "c" or not _is(np.all(w.imag == 0), frame):
            return found
        return type(found)(*[v.real for v in found]) if isinstance(found, tuple) else found.real

    return make


special[np.linalg.eig] = _eig(np.linalg.eig, linalg_functions.eig)
special[np.linalg.eigvals] = _eig(np.linalg.eigvals, linalg_functions.eigvals)


def _real_if_close(trace: Trace, frame: Any, a: Any, tol: Any = 100) -> Any:
    if not has_traced(a):
        return on_real(trace, np.real_if_close, (a, tol), {})
    if a._aval.dtype.kind != "c":
        return a
    least = np.finfo(a._aval.dtype).eps * tol if tol > 1 else tol
    return a.real if _is(np.all(np.abs(a.imag) < least), frame) else a


def _roots(trace: Trace, frame: Any, p: Any) -> Any:
    """The eigenvalues of the companion matrix, as in NumPy."""
    if not has_traced(p):
        return on_real(trace, np.roots, (p,), {})
    p = np.atleast_1d(p)
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    places = np.flatnonzero(plain(np.not_equal(p, 0), frame))
    if not places.size:
        return np.array([])
    none = len(p) - int(places[-1]) - 1
    p = p[int(places[0]) : int(places[-1]) + 1]
    if p.dtype.kind not in "fc":
        p = p.astype(float)
    if len(p) < 2:
        return np.zeros(none)
    below = np.eye(len(p) - 2, len(p) - 1, dtype=p.dtype)
    roots = np.linalg.eigvals(np.concatenate([np.reshape(-p[1:] / p[0], (1, -1)), below]))
    return np.hstack([roots, np.zeros(none, roots.dtype)])


def _poly(trace: Trace, frame: Any, seq_of_zeros: Any) -> Any:
    """The product of what vanishes at each root, as in NumPy."""
    if not has_traced(seq_of_zeros):
        return on_real(trace, np.poly, (seq_of_zeros,), {})
    roots = np.atleast_1d(seq_of_zeros)
    if roots.ndim == 2 and roots.shape[0] == roots.shape[1] and roots.shape[0]:
        roots = np.linalg.eigvals(roots)
    elif roots.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    elif roots.dtype.kind not in "fc":
        roots = roots.astype(float)
    if not len(roots):
        return 1.0
    one = np.ones(1, roots.dtype)
    found: Any = one
    for k in range(len(roots)):
        found = np.convolve(found, np.concatenate([one, -roots[k : k + 1]]))
    if roots.dtype.kind == "c" and _is(np.all(np.sort(roots) == np.sort(np.conjugate(roots))), frame):
        return found.real.copy()
    return found


special.update({np.real_if_close: _real_if_close, np.roots: _roots, np.poly: _poly})

# -- printing --------------------------------------------------------------------------------------------------------


def _printed(function: Any) -> Callable[..., Any]:
    """Printing shows the value for the actual inputs; a replay would not print it."""

    def show(trace: Trace, frame: Any, a: Any, *args: Any, **keywords: Any) -> Any:
        trace.only_once("makes text of a value", frame)
        return function(np.asarray(shown(a)) if type(a) is Tracer else a, *args, **keywords)

    return show


special.update({f: _printed(f) for f in (np.array_repr, np.array_str, np.array2string)})

# -- functions of functions ------------------------------------------------------------------------------------------


def _apply_along_axis(trace: Trace, frame: Any, func1d: Any, axis: Any, arr: Any, *args: Any, **keywords: Any) -> Any:
    """Each line through `func1d`, which may be any function of NumPy; the results take the line's place."""
    axis = axis.__index__() % np.ndim(arr)
    lines = np.moveaxis(arr, axis, -1)
    lead = np.shape(lines)[:-1]
    found = [func1d(lines[place], *args, **keywords) for place in np.ndindex(*lead)]
    inside = np.shape(found[0])
    stacked = np.reshape(np.stack(found), (*lead, *inside))
    return np.moveaxis(stacked, range(len(lead), len(lead) + len(inside)), range(axis, axis + len(inside)))


def _apply_over_axes(trace: Trace, frame: Any, func: Any, a: Any, axes: Any) -> Any:
    value = a
    for axis in axes if np.iterable(axes) else (axes,):
        axis = axis % np.ndim(a)
        found = func(value, axis)
        value = found if np.ndim(found) == np.ndim(value) else np.expand_dims(found, axis)
    return value


def _piecewise(trace: Trace, frame: Any, x: Any, condlist: Any, funclist: Any, *args: Any, **keywords: Any) -> Any:
    """Each function gets the elements where its condition holds."""
    if not has_traced((x, condlist, funclist, args, keywords)):
        return on_real(trace, np.piecewise, (x, condlist, funclist, *args), keywords)
    x = np.asanyarray(x) if type(x) is not Tracer else array(x)
    if not isinstance(condlist[0], (list, np.ndarray)) and np.ndim(x):
        condlist = [condlist]
    conditions = [plain(np.not_equal(c, 0), frame) for c in condlist]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    elif len(funclist) != len(conditions):
        n = len(conditions)
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    found = real(trace, np.zeros(np.shape(x), x.dtype))
    for condition, function in zip(conditions, funclist, strict=True):
        if not callable(function):
            found[condition] = function
        elif np.size(chosen := x[condition]):
            found[condition] = function(chosen, *args, **keywords)
    return found


special[np.piecewise] = _piecewise
special[np.apply_along_axis] = _apply_along_axis
special[np.apply_over_axes] = _apply_over_axes
