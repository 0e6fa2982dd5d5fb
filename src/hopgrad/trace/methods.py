"""What tracers do with ufuncs: operators, the ufunc protocol, and the methods that NumPy has as functions, too.

The tracer's class is completed here, above the functions that record for it: imports point downwards only.
"""

from __future__ import annotations

import numbers
import operator as operator_
import sys
from types import FrameType
from typing import Any

import numpy as np

from hopgrad.aval import Shape, normalize_axes
from hopgrad.errors import HopgradError, NotDifferentiableError, TraceError
from hopgrad.graph.builder import Builder, Expr, Params, catalogue
from hopgrad.hops import bits
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import Surface, cast, lift, means_more, refused, surfaces
from hopgrad.trace import context, memory, ufuncs
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.memory import Memory
from hopgrad.trace.tracer import (
    ARRAY,
    PYTHON,
    SCALAR,
    Tracer,
    array,
    as_array,
    attach,
    bare,
    call,
    call_function,
    check_lent,
    check_places,
    check_writable,
    current_node,
    decline,
    dress,
    fitted,
    fixed_key,
    has_traced,
    is_ordered,
    is_traced,
    is_writable,
    large_integer,
    leaves_of,
    located,
    on_real,
    on_values,
    parsed,
    perform,
    plain_key,
    real_data,
    refuse_plain,
    settled,
    shown,
    store,
    trace_of,
    with_integers,
    with_place,
    write,
)

# -- ufuncs ----------------------------------------------------------------------------------------------------------


def _elementwise(
    ufunc: np.ufunc, operands: tuple[Any, ...], frame: FrameType | None, operator: bool = False, dtype: Any = None
) -> Any:
    """A ufunc on each element. An operator between Python numbers gives a Python number again."""
    trace: Trace | None = None
    tokens: list[Any] = []
    nodes: list[int] = []
    python = operator
    ordered = True
    for value in operands:
        cls = type(value)
        if cls is Tracer:
            shared = value._memory
            if shared is None:
                node = value._id
            elif shared.data is not None and not is_traced(value):
                return _with_real(ufunc, operands, frame, operator, dtype)
            else:
                node = current_node(value)
                ordered = ordered and is_ordered(value)
            if trace is not value._trace:
                if trace is not None:
                    raise TraceError("values of two different traces (of two threads?) cannot be combined")
                trace = value._trace
            nodes.append(node)
            kind = trace.builder.avals[node].dtype
            if value._kind == PYTHON:
                tokens.append(_PYTHON_TYPES[kind.kind])
            else:
                tokens.append(kind)
                python = False
        elif cls is float or cls is int:
            tokens.append(cls)
            nodes.append(-1)
        elif cls is bool:
            tokens.append(ufuncs.BOOL)
            nodes.append(-1)
        elif cls is complex:
            tokens.append(cls)
            nodes.append(-1)
        elif cls is np.ndarray and value.dtype.kind in "fiubc":
            python = False
            ordered = ordered and (value.ndim < 2 or value.flags.c_contiguous)
            tokens.append(value.dtype)
            nodes.append(-1)
        elif isinstance(value, np.generic) and value.dtype.kind in "fiubc":
            python = False
            tokens.append(value.dtype)
            nodes.append(-1)
        else:
            return _with_stranger(ufunc, operands, frame, operator, dtype)
    assert trace is not None
    if trace.closed:
        trace.check_open()
    if python and ufunc in ufuncs.ARITHMETIC:
        tokens = [int if t is ufuncs.BOOL else t for t in tokens]
    if python and ufunc in _RAISING and context.is_handled(frame, trace.root):
        _raise_as_python(trace, ufunc, operands, frame)
    builder = trace.builder
    avals = builder.avals
    params: Params = ()
    try:
        dtypes = ufuncs.loop(ufunc, tuple(tokens), dtype)
        hop = ufuncs.find_hop(ufunc, dtypes)
        if ufunc is np.power and nodes[1] < 0 and (exponent := ufuncs.fixed_exponent(operands[1], dtypes)) is not None:
            hop, nodes, params = catalogue["constant_power"], nodes[:1], (("exponent", exponent),)
        for k, node in enumerate(nodes):
            if node < 0:
                value = operands[k]
                if type(value) is np.ndarray:
                    nodes[k] = memory.constant(builder, value.astype(dtypes[k], copy=False))
                else:
                    nodes[k] = builder.constant(value, dtypes[k]).id
            elif avals[node].dtype is not dtypes[k]:
                nodes[k] = cast(Expr(builder, node), dtypes[k]).id
        node = (
            builder.emit(hop, nodes, params) if hop is not None else _composed(ufunc, builder, nodes, operands, dtypes)
        )
    except HopgradError as error:
        found = None
        if isinstance(error, NotDifferentiableError):
            found = on_values(trace, ufunc, operands, {} if dtype is None else {"dtype": dtype}, frame)
        if found is None:
            raise located(trace, error, frame) from None
        return found[0].item() if python and isinstance(found[0], np.generic) else found[0]
    trace.site(node, frame)
    shape = avals[node].shape
    if not shape:
        return Tracer(trace, node, PYTHON if python else SCALAR)
    result = Tracer(trace, node, ARRAY)
    if not ordered and len(shape) > 1:
        attach(result, Memory(node, layout=None))
    return result


_RAISING: dict[np.ufunc, Any] = {
    np.divide: operator_.truediv, np.floor_divide: operator_.floordiv, np.remainder: operator_.mod,
    np.power: operator_.pow,
}  # fmt: skip


def _raise_as_python(trace: Trace, ufunc: np.ufunc, operands: tuple[Any, ...], frame: FrameType | None) -> None:
    """Raise what Python raises where NumPy gives infinity: division by zero, a power that is too large.

    Where nobody would catch it, the gradient is of more use. That nothing was raised is a guard.
    """
    try:
        a, b = [trace.concrete(current_node(v)).item() if type(v) is Tracer else v for v in operands]
    except UnknownValueError:
        return
    try:
        _RAISING[ufunc](a, b)
    except (ZeroDivisionError, OverflowError):
        for value in operands if ufunc is np.power else operands[1:]:
            if type(value) is Tracer:
                settled(value, frame)
        raise
    deciding = np.isfinite(np.power(*operands)) if ufunc is np.power else operands[1]
    if type(deciding) is Tracer:
        bool(deciding)


_PYTHON_TYPES: dict[str, Any] = {"f": float, "i": int, "b": ufuncs.BOOL, "c": complex}


def _with_real(ufunc: np.ufunc, operands: tuple[Any, ...], frame: FrameType | None, operator: bool, dtype: Any) -> Any:
    """A ufunc where some arrays have real data: these count as plain ones; if all have, NumPy computes."""
    trace = trace_of(operands)
    plain = tuple(real_data(v) if type(v) is Tracer and not is_traced(v) else as_array(v) for v in operands)
    if not any(type(v) is Tracer for v in plain):
        if operator and any(getattr(type(v), "__array_ufunc__", ()) is None for v in plain):
            return NotImplemented
        return dress(trace, ufunc(*plain, dtype=dtype), {}, plain)
    return _elementwise(ufunc, plain, frame, operator, dtype)


def _with_stranger(
    ufunc: np.ufunc, operands: tuple[Any, ...], frame: FrameType | None, operator: bool, dtype: Any
) -> Any:
    """A ufunc with something among its operands that is neither number nor array."""
    trace = trace_of(operands)
    made: list[Any] = []
    for value in operands:
        if means_more(type(value)):
            error = refused(f"{type(value).__name__} with {ufuncs.name_of(ufunc)}", "use np.asarray on it first")
            raise located(trace, error, frame)
        if operator and isinstance(value, (list, tuple)) and _keeps_off_lists(ufunc, operands):
            return NotImplemented
        if type(value) in (list, tuple) and has_traced(value):
            value = array(value)
        elif isinstance(value, numbers.Rational) and not isinstance(value, (int, np.generic, Tracer)):
            value = float(value)  # a Fraction, as Python's floats have it
        elif type(value) not in (float, int, bool, complex, Tracer):
            if getattr(type(value), "__array_ufunc__", np.ndarray.__array_ufunc__) is not np.ndarray.__array_ufunc__:
                return NotImplemented
            data = np.asarray(value)
            if data.dtype.kind not in "fiubc":
                if operator and ufunc in (np.equal, np.not_equal) and (value is None or isinstance(value, str)):
                    answer = np.full(_trace_shape(operands), ufunc is np.not_equal)
                    return answer if answer.shape else bool(answer)
                return NotImplemented
            value = data
        made.append(value)
    return _elementwise(ufunc, tuple(made), frame, operator, dtype)


def _keeps_off_lists(ufunc: np.ufunc, operands: tuple[Any, ...]) -> bool:
    """Whether the operator is Python's own, which knows nothing of lists; NumPy's scalars leave * to them as well."""
    kinds = [v._kind for v in operands if type(v) is Tracer]
    return PYTHON in kinds or (ufunc is np.multiply and SCALAR in kinds)


def _trace_shape(operands: tuple[Any, ...]) -> Shape:
    return next(v._aval.shape for v in operands if type(v) is Tracer)


def _composed(ufunc: Any, builder: Builder, nodes: list[int], operands: Any, dtypes: Any) -> int:
    """Ufuncs that are another hop in disguise."""
    args = [Expr(builder, node) for node in nodes]
    if dtypes[0].kind == "c" and ufunc in ufuncs.of_complex:
        return ufuncs.of_complex[ufunc](*args).id
    if ufunc is np.float_power:
        exponent = None if type(operands[1]) is Tracer else ufuncs.fixed_exponent(operands[1], dtypes)
        return (catalogue["power"](*args) if exponent is None else args[0] ** exponent).id
    if ufunc in ufuncs.composed:
        return ufuncs.composed[ufunc](*args).id
    what = " of integers" if ufunc in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert) else ""
    raise refused(ufuncs.name_of(ufunc) + what)


def _ufunc(
    trace: Trace, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any], frame: FrameType
) -> Any:
    """``__array_ufunc__`` in full: with keywords, and the ufunc's own methods."""
    if not any(is_traced(v) for v in leaves_of((inputs, keywords))):
        return on_real(trace, getattr(ufunc, method), inputs, keywords)
    trace.check_open()
    # (A key may be a tuple of traced values, and no array.)
    inputs = tuple(v if method == "at" and k == 1 else as_array(v) for k, v in enumerate(inputs))
    keywords = dict(keywords)
    name = ufuncs.name_of(ufunc)
    out = keywords.pop("out", None)
    chosen = keywords.pop("where", True)
    for option in ("order", "subok"):
        keywords.pop(option, None)
    if method == "__call__":
        return _called(trace, ufunc, inputs, keywords, out, chosen, frame)
    keep: dict[str, Any] = {k: keywords.pop(k) for k in ("keepdims", "initial") if k in keywords}
    axis = keywords.pop("axis", inputs[1] if len(inputs) > 1 else 0) if method in ("reduce", "accumulate") else 0
    dtype = keywords.pop("dtype", None)
    if method == "reduce" and ufunc in ufuncs.reductions:
        if chosen is not True:
            keep["where"] = chosen
        if keep.get("initial", 0) is None:
            del keep["initial"]
        if dtype is not None:
            keep["dtype"] = dtype
        found = Surface(ufuncs.reductions[ufunc])
        result = perform(found, (inputs[0], axis), {**keep, **keywords}, frame, ufunc)
        return result if out is None else store(trace, out, result, frame)
    if method == "accumulate" and ufunc in ufuncs.accumulations:
        result = perform(Surface(ufuncs.accumulations[ufunc]), (inputs[0], axis, dtype), keywords, frame, ufunc)
        return result if out is None else store(trace, out, result, frame)
    # NumPy's own np.power.reduce leaves elements out.
    if ufunc is np.power and method in ("reduce", "reduceat"):
        trace.refuse(
            with_place(refused(f"{name}.{method}", "np.power.accumulate(...)[-1] is what it should be"), frame)
        )
    if method in ("reduce", "accumulate") and ufunc.nin == 2 and ufunc.nout == 1 and ufunc.signature is None:
        several = _reduced if method == "reduce" else _accumulated
        result = several(ufunc, inputs[0], axis, dtype, chosen=chosen, frame=frame, **keep)
        return result if out is None else store(trace, out, result, frame)
    if method == "reduceat":
        axis = keywords.pop("axis", inputs[2] if len(inputs) > 2 else 0)
        result = _reduced_at(ufunc, inputs[0], inputs[1], axis, dtype, frame)
        return result if out is None else store(trace, out, result, frame)
    if method == "outer" and ufunc.nin == 2 and ufunc.signature is None:
        a, b = inputs
        wide = np.reshape(a, np.shape(a) + (1,) * np.ndim(b)) if np.ndim(b) else a
        result = _elementwise(ufunc, (wide, b), frame, False, dtype)
        return result if out is None else store(trace, out, result, frame)
    if method == "at":
        target, key, *value = inputs
        if type(target) is not Tracer:
            refuse_plain(trace, frame)
        if target._kind == ARRAY and not is_writable(target):
            # NumPy does not look at the flag here.
            trace.refuse(with_place(refused(f"{name}.at of an array that is read-only"), frame))
        if ufunc in (np.add, np.subtract):
            _add_at(target, key, value[0], ufunc is np.subtract, frame)
        else:
            _each_at(ufunc, target, key, value, frame)
        return None
    if out is not None:
        keywords["out"] = out
    given = {
        **keep,
        **keywords,
        **({} if dtype is None else {"dtype": dtype}),
        **({} if chosen is True else {"where": chosen}),
    }
    if method in ("reduce", "accumulate"):
        given["axis"], inputs = axis, inputs[:1]
    return decline(trace, getattr(ufunc, method), inputs, given, refused(f"{name}.{method}"), frame)


def _called(
    trace: Trace, ufunc: np.ufunc, inputs: tuple[Any, ...], keywords: dict[str, Any], out: Any, chosen: Any, frame: Any
) -> Any:
    """A ufunc called with keywords, or one with several results or axes of its own."""
    dtype = keywords.pop("dtype", None)
    keywords.pop("casting", None)
    if keywords.pop("signature", None) is not None or (keywords and ufunc.signature is None):
        error = refused(
            f"{ufuncs.name_of(ufunc)}({', '.join(keywords) or 'signature'}=)", "use dtype=, or leave it out"
        )
        return decline(trace, ufunc, inputs, {**keywords, "dtype": dtype, "out": out}, error, frame)
    dtype = None if dtype is None else np.dtype(dtype)
    if chosen is not True:
        if out is None or all(o is None for o in out):
            error = refused(f"{ufuncs.name_of(ufunc)}(where=) without out=", "it leaves values undefined")
            trace.refuse(with_place(error, frame))
        # What is not wanted is not computed: it could warn, or be infinite.
        harmless = 0.5 if ufunc is np.arctanh else 1
        inputs = tuple(np.where(chosen, v, harmless) if np.ndim(v) else v for v in inputs)
    axes = keywords.pop("axes", None)
    if axes is not None:
        inputs, last = _moved(ufunc, inputs, axes)
        found = _called(trace, ufunc, inputs, {"dtype": dtype, **keywords}, None, True, frame)
        results = found if last is None else np.moveaxis(found, range(-len(last), 0), last)
    elif not has_traced(inputs):
        results = ufunc(*map(bare, inputs), dtype=dtype, **keywords)
    elif ufunc in ufuncs.products:
        if dtype is not None:
            inputs = tuple(v.astype(dtype) if hasattr(v, "astype") else v for v in inputs)
        results = perform(ufuncs.products[ufunc], inputs, keywords, frame, ufunc)
    elif ufunc is np.divmod:
        results = tuple(_elementwise(u, inputs, frame, False, dtype) for u in (np.floor_divide, np.remainder))
    elif ufunc is np.modf:
        whole = _elementwise(np.trunc, inputs, frame, False, dtype)
        results = (_elementwise(np.subtract, (inputs[0], whole), frame), whole)
    elif ufunc is np.frexp:
        results = perform(Surface(bits.frexp), (np.add(inputs[0], 0, dtype=dtype),), {}, frame, ufunc)
    elif (each := ufuncs.results(ufunc)) is not None:
        if dtype is not None:
            inputs = tuple(v.astype(dtype) if hasattr(v, "astype") else v for v in inputs)
        results = perform(each, inputs, keywords, frame, ufunc)
    elif ufunc.nout > 1 or ufunc.signature is not None:
        made = on_values(trace, ufunc, inputs, {} if dtype is None else {"dtype": dtype}, frame)
        if made is None:
            cure = "use np.vectorize" if "O" in "".join(ufunc.types) else ""
            trace.refuse(with_place(refused(ufuncs.name_of(ufunc), cure), frame))
        results = made[0]
    else:
        results = _elementwise(ufunc, inputs, frame, False, dtype)
    if out is None:
        return results
    made = results if isinstance(results, tuple) else (results,)
    stored = []
    for target, result in zip(out if isinstance(out, tuple) else (out,), made, strict=True):
        if chosen is not True and target is not None:
            result = np.where(chosen, result, target)
        stored.append(store(trace, target, result, frame))
    return tuple(stored) if isinstance(results, tuple) else stored[0]


def _moved(ufunc: np.ufunc, inputs: tuple[Any, ...], axes: Any) -> tuple[tuple[Any, ...], tuple[int, ...] | None]:
    """Operands with the axes that ``axes=`` names for vectors and matrices at the end, and these axes of the result."""
    each = [tuple(k) if np.iterable(k) else (k,) for k in axes]
    moved = [np.moveaxis(v, k, range(-len(k), 0)) for v, k in zip(inputs, each, strict=False)]
    last = each[ufunc.nin] if len(each) > ufunc.nin else None
    if last is None and not str(ufunc.signature).endswith("->()"):
        raise ValueError("axes should be a list with an entry for all inputs and outputs")
    return tuple(moved), last or None


def _accumulated(ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, *, chosen: Any, frame: FrameType | None) -> Any:
    """``ufunc.accumulate``: one element after the other."""
    lines = np.moveaxis(a, axis, 0)
    found = list(lines[:1])
    for line in lines[1:]:
        found.append(_elementwise(ufunc, (found[-1], line), frame, False, dtype))
    return np.moveaxis(np.stack(found), 0, axis) if found else np.array(a, dtype)


def _reduced(
    ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, *, chosen: Any, frame: FrameType | None, initial: Any = None,
    keepdims: Any = False,
) -> Any:  # fmt: skip
    """``ufunc.reduce`` of a ufunc that is no hop of its own kind of sum: one element after the other."""
    # Whether it takes these axes at all is for NumPy to say.
    begin: Any = {} if initial is None else {"initial": 1}
    shape = np.shape(ufunc.reduce(np.ones(np.shape(a)), axis=axis, keepdims=keepdims, **begin))
    axes = normalize_axes(axis, np.ndim(a))
    lines = np.moveaxis(a, axes, range(len(axes)))
    lines = np.reshape(lines, (-1, *np.shape(lines)[len(axes) :]))
    masks: Any = True
    if chosen is not True:
        if initial is None and ufunc.identity is None:
            raise ValueError(f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a where mask"
                             " one has to specify 'initial'")  # fmt: skip
        masks = np.moveaxis(np.broadcast_to(chosen, np.shape(a)), axes, range(len(axes)))
        masks = np.reshape(masks, np.shape(lines))
    rest = list(lines)
    found = ufunc.identity if initial is None else initial
    first = 0
    if found is None or (chosen is True and initial is None):
        found, first = rest[0], 1
    for k, line in enumerate(rest[first:]):
        now = _elementwise(ufunc, (found, line), frame, False, dtype)
        found = now if masks is True else np.where(masks[k], now, found)
    return np.reshape(found, shape) if np.shape(found) != shape else found


def _reduced_at(ufunc: np.ufunc, a: Any, indices: Any, axis: int, dtype: Any, frame: FrameType | None) -> Any:
    """``ufunc.reduceat``: each part reduced that begins at an index and ends at the next one."""
    known = with_integers(trace_of((a, indices)), indices, frame) if has_traced(indices) else None
    places = np.asarray(bare(indices) if known is None else known)
    lines = np.moveaxis(a, axis, 0)
    n = len(lines)
    if any(k < 0 or k >= n for k in places):
        wrong = next(k for k in places if k < 0 or k >= n)
        raise IndexError(f"index {wrong} out-of-bounds in {ufunc.__name__}.reduceat [0, {n})")
    ends = [*places[1:], n]
    parts = [ufunc.reduce(lines[k : max(end, k + 1)], axis=0, dtype=dtype) for k, end in zip(places, ends, strict=True)]
    return np.moveaxis(np.stack(parts), 0, axis) if parts else np.moveaxis(lines[:0], 0, axis)


def _add_at(target: Tracer, key: Any, value: Any, negative: bool, frame: FrameType | None) -> None:
    """``np.add.at``: places that are named twice are added to twice."""
    if _truncated(np.subtract if negative else np.add, target, key, [value], frame):
        return
    check_writable(target, frame)
    items, arrays = parsed(target, plain_key(key, frame), frame)

    def added(x: Expr, v: Any) -> Expr:
        places = [lift(p, x.builder) for p in arrays]
        place = catalogue["index"].infer(x.aval, *[p.aval for p in places], items=items)
        spread = sh.scatter(fitted(v, x, place.shape), *places, items=items, shape=x.shape)
        return x - spread if negative else x + spread

    if has_traced(arrays):
        there = call(lambda x: sh.index(x, *[lift(p, x.builder) for p in arrays], items=items), (target,), {}, frame)
        check_places(target._trace, there._id, frame)
    write(target, call(added, (target, value), {}, frame), frame)


def _truncated(ufunc: np.ufunc, target: Tracer, key: Any, values: list[Any], frame: FrameType | None) -> bool:
    """Do ``ufunc.at`` on integers where each step's result is rounded: no derivative passes, so NumPy may do it."""
    tokens = tuple(v._aval.dtype if type(v) is Tracer else np.asarray(v).dtype for v in (target, *values))
    if np.can_cast(ufuncs.loop(ufunc, tokens)[-1], target._aval.dtype, "same_kind"):
        return False
    trace = target._trace
    check_writable(target, frame)
    data = np.array(shown(target))
    trace.only_once(f"{ufuncs.name_of(ufunc)}.at rounds", frame)
    key = fixed_key(trace, plain_key(key, frame), frame)
    try:
        ufunc.at(data, key, *[shown(v) if type(v) is Tracer else v for v in values])
    except UnknownValueError:
        trace.refuse(with_place(refused(f"{ufuncs.name_of(ufunc)}.at of floats to integers"), frame))
    write(target, Tracer(trace, memory.constant(trace.builder, data), ARRAY), frame)
    return True


def _each_at(ufunc: np.ufunc, target: Tracer, key: Any, value: list[Any], frame: FrameType | None) -> None:
    """``ufunc.at``: a place that is named twice is changed twice, in order."""
    if _truncated(ufunc, target, key, value, frame):
        return
    trace = target._trace
    size, shape = target._aval.size, target._aval.shape
    key = fixed_key(trace, plain_key(key, frame), frame)
    places: np.ndarray[Any, Any] = np.arange(size).reshape(shape)[key]
    values = [np.ravel(np.broadcast_to(v, places.shape)) for v in value]
    line = places.ravel()
    # The number of times that the place was named before.
    order = np.argsort(line, kind="stable")
    ranks = np.arange(line.size) - np.searchsorted(line[order], line[order])
    turn = np.empty_like(ranks)
    turn[order] = ranks
    for k in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == k)
        there = line[now]
        old = target.flat[there]
        made = _elementwise(ufunc, (old, *[v[now] for v in values]), frame) if has_traced(
            (old, values)) else ufunc(bare(old), *[bare(v[now]) for v in values])  # fmt: skip
        target.flat[there] = made


def _update(tracer: Tracer, ufunc: np.ufunc, other: Any, frame: FrameType) -> Any:
    """``a += b``: an array is written to, so all its names and views see it; a number is replaced."""
    if tracer._kind != ARRAY:
        return _elementwise(ufunc, (tracer, other), frame, True)
    if not is_traced(tracer) and not has_traced(other):
        if any(getattr(type(v), "__array_ufunc__", ()) is None for v in (other,)):
            return NotImplemented
        check_lent(tracer, frame)
        data = real_data(tracer)
        ufunc(data, bare(other), out=data)
        return tracer
    check_writable(tracer, frame)
    result = _elementwise(ufunc, (tracer, other), frame, True)
    if result is not NotImplemented:
        store(tracer._trace, tracer, result, frame)
        return tracer
    return result


def _whole(ufunc: np.ufunc, tracer: Tracer, frame: FrameType | None) -> Any:
    """``round(x)``, ``math.floor(x)``: a Python integer."""
    if tracer._kind == ARRAY:
        if ufunc not in (np.floor, np.ceil):
            raise TypeError(f"type numpy.ndarray doesn't define __{'round' if ufunc is np.rint else 'trunc'}__ method")
        if tracer._aval.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        tracer = tracer.reshape(())[()]  # as math.floor does with what __float__ gives
        if type(tracer) is not Tracer:
            return int(ufunc(tracer))
    if (large := large_integer(tracer, frame)) is not None:
        return large
    rounded = _elementwise(ufunc, (tracer,), frame)
    result = call(cast, (rounded, np.dtype(np.int64)), {}, frame)
    result._kind = PYTHON
    return result


# -- operators and methods, generated --------------------------------------------------------------------------------

_OPERATORS: dict[str, np.ufunc] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
_COMPARISONS: dict[str, np.ufunc] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
_UNARY: dict[str, np.ufunc] = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}

_METHODS = (
    "sum", "prod", "mean", "var", "std", "max", "min", "argmax", "argmin", "any", "all", "cumsum", "cumprod", "clip",
    "round", "take", "repeat", "trace", "diagonal", "swapaxes", "dot", "choose",
)  # fmt: skip
"""Methods that are the function of the same name."""

_REFUSED_METHODS = {
    "sort": "", "argsort": "", "partition": "", "argpartition": "", "searchsorted": "", "resize": "use np.resize",
    "nonzero": "its shape depends on values: use np.where(condition, a, b)", "byteswap": "", "getfield": "",
    "setfield": "", "tobytes": "", "tofile": "", "dump": "", "dumps": "", "as_integer_ratio": "",
    "hex": "",
}  # fmt: skip

_FUNCTIONS = frozenset({"argsort", "argpartition", "searchsorted", "nonzero"})
"""Those that are the function of the same name."""

_CHANGES = frozenset({"resize", "byteswap", "setfield"})
"""Those that change the array."""

_ONLY_ARRAYS = frozenset({
    "__len__", "__setitem__", "__delitem__", "__dlpack__", "__dlpack_device__", "mT", "ctypes", "dot", "partition",
    "argpartition",
})  # fmt: skip
_ASSIGNABLE = frozenset({"shape", "dtype", "strides", "real", "imag"})
_ONLY_NUMBERS = frozenset({"is_integer", "as_integer_ratio", "hex"})
_EVERYWHERE = frozenset({"real", "imag", "conjugate", "is_integer", "as_integer_ratio", "hex"})


class _MissingError(AttributeError, TypeError):
    """Both, since ``hasattr(x, "__len__")`` looks for the first and ``len(x)`` is to raise the second."""


class _Member:
    """An attribute that only some kinds of values have, so that ``hasattr`` takes the same branch as it would."""

    def __init__(self, name: str, wrapped: Any) -> None:
        self._name = name
        self._wrapped = wrapped

    def __get__(self, tracer: Any, owner: Any = None) -> Any:
        if tracer is None:
            return self._wrapped
        kind = tracer._kind
        name = self._name
        if (name not in _EVERYWHERE and kind == PYTHON) or (kind != ARRAY and name in _ONLY_ARRAYS) or (
            kind == ARRAY and name in _ONLY_NUMBERS
        ):  # fmt: skip
            raise _MissingError(f"{tracer.__class__.__name__!r} object has no attribute {name!r}")
        return self._wrapped.__get__(tracer, owner)

    def __set__(self, tracer: Any, value: Any) -> None:
        if isinstance(self._wrapped, property) and self._wrapped.fset is not None:
            self._wrapped.fset(tracer, value)
        elif tracer._kind == ARRAY and self._name in _ASSIGNABLE:
            tracer._refuse(f"assignment to the attribute {self._name}", "use reshape or astype, and a new name")
        else:
            raise AttributeError(f"attribute {self._name!r} is not writable")


def _floor(self: Tracer) -> Any:
    return _whole(np.floor, self, sys._getframe(1))


def _ceil(self: Tracer) -> Any:
    return _whole(np.ceil, self, sys._getframe(1))


def _trunc(self: Tracer) -> Any:
    return _whole(np.trunc, self, sys._getframe(1))


def _round(self: Tracer, digits: int | None = None) -> Any:
    frame = sys._getframe(1)
    if digits is None:
        return _whole(np.rint, self, frame)
    if self._kind == ARRAY:
        raise TypeError("type numpy.ndarray doesn't define __round__ method")
    if self._kind == PYTHON and self._aval.dtype.kind == "f":
        # Python rounds to the nearest decimal number, NumPy by a multiplication: 2.675 is less than 2.675 there.
        digits = digits.__index__()
        result = call(lambda x: catalogue["round_digits"](x, digits=digits), (self,), {}, frame)
    else:
        result = call(fn.round, (self, digits), {}, frame)
    result._kind = self._kind
    return result


def _is_integer(self: Tracer) -> bool:
    frame = sys._getframe(1)
    if self._aval.dtype.kind != "f":
        return True
    whole = _elementwise(np.equal, (self, _elementwise(np.trunc, (self,), frame)), frame)
    return bool(_elementwise(np.logical_and, (whole, _elementwise(np.isfinite, (self,), frame)), frame))


def _array_ufunc(self: Tracer, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
    frame = sys._getframe(1)
    if method == "__call__" and not keywords and ufunc.signature is None and ufunc.nout == 1:
        return _elementwise(ufunc, inputs, frame)
    return _ufunc(self._trace, ufunc, method, inputs, keywords, frame)


def _define() -> None:
    def binary(ufunc: np.ufunc) -> tuple[Any, Any, Any]:
        def forward(self: Tracer, other: Any) -> Any:
            return _elementwise(ufunc, (self, other), sys._getframe(1), True)

        def reflected(self: Tracer, other: Any) -> Any:
            return _elementwise(ufunc, (other, self), sys._getframe(1), True)

        def in_place(self: Tracer, other: Any) -> Any:
            return _update(self, ufunc, other, sys._getframe(1))

        return forward, reflected, in_place

    for name, ufunc in _OPERATORS.items():
        forward, reflected, in_place = binary(ufunc)
        setattr(Tracer, f"__{name}__", forward)
        setattr(Tracer, f"__r{name}__", reflected)
        setattr(Tracer, f"__i{name}__", in_place)
    for name, ufunc in _COMPARISONS.items():
        setattr(Tracer, f"__{name}__", binary(ufunc)[0])

    def unary(ufunc: np.ufunc) -> Any:
        return lambda self: _elementwise(ufunc, (self,), sys._getframe(1), True)

    for name, ufunc in _UNARY.items():
        setattr(Tracer, f"__{name}__", unary(ufunc))

    def method(name: str) -> Any:
        function = getattr(np, name)

        def call(self: Tracer, *args: Any, **keywords: Any) -> Any:
            return perform(surfaces[function], (self, *args), keywords, sys._getframe(1), function)

        return call

    for name in _METHODS:
        setattr(Tracer, name, method(name))

    def refusing(name: str, cure: str) -> Any:
        def call(self: Tracer, *args: Any, **keywords: Any) -> Any:
            frame = sys._getframe(1)
            data = real_data(self)
            if data is not None and not has_traced((args, keywords)):
                check_lent(self, frame)
                return on_real(self._trace, getattr(np.ndarray, name), (self, *args), keywords)
            kind = "ndarray" if self._kind == ARRAY else self.__class__.__name__
            if self._kind == ARRAY and name in ("sort", "partition"):
                # In place: the result of the function is written back.
                function = getattr(np, name)
                axis = {"axis": -1, **keywords} if len(args) < 1 + (name == "partition") else keywords
                check_writable(self, frame)
                self[...] = call_function(self._trace, function, (self, *args), axis, frame)
                return None
            if name in _FUNCTIONS:
                return call_function(self._trace, getattr(np, name), (self, *args), keywords, frame)
            made = None
            if name not in _CHANGES:
                method = getattr(np.generic if self._kind == SCALAR else np.ndarray, name, None)
                method = getattr(float, name) if method is None or self._kind == PYTHON else method
                made = on_values(self._trace, method, (self, *args), keywords, frame)
            if made is None:
                self._trace.refuse(with_place(refused(f"{kind}.{name}", cure), frame))
            return made[0]

        return call

    for name, cure in _REFUSED_METHODS.items():
        setattr(Tracer, name, refusing(name, cure))

    def matmul(self: Tracer, other: Any) -> Any:
        return _product(self, other, self, sys._getframe(1))

    def rmatmul(self: Tracer, other: Any) -> Any:
        return _product(other, self, self, sys._getframe(1))

    def imatmul(self: Tracer, other: Any) -> Any:
        frame = sys._getframe(1)
        result = _product(self, other, self, frame)
        return result if self._kind != ARRAY or result is NotImplemented else store(self._trace, self, result, frame)

    def divmod_(self: Tracer, other: Any) -> Any:
        return _divided((self, other), sys._getframe(1))

    def rdivmod(self: Tracer, other: Any) -> Any:
        return _divided((other, self), sys._getframe(1))

    more = {"matmul": matmul, "rmatmul": rmatmul, "imatmul": imatmul, "divmod": divmod_, "rdivmod": rdivmod}
    protocol = {"floor": _floor, "ceil": _ceil, "trunc": _trunc, "round": _round, "array_ufunc": _array_ufunc}
    for name, answer in protocol.items():
        setattr(Tracer, f"__{name}__", answer)
    for name, function in more.items():
        setattr(Tracer, f"__{name}__", function)

    Tracer.is_integer = _is_integer  # type: ignore[attr-defined]  # completed here, as the rest

    # Not __iter__: where it is missing, Python iterates by indices, and takes their error for the end.
    special = ("__len__", "__getitem__", "__setitem__", "__delitem__", "__dlpack__", "__dlpack_device__")
    hidden = {name for name in vars(Tracer) if not name.startswith("_")}
    for name in (*hidden, *special):
        setattr(Tracer, name, _Member(name, vars(Tracer)[name]))


def _divided(operands: tuple[Any, Any], frame: FrameType | None) -> Any:
    """The ``divmod`` of two operands."""
    whole = _elementwise(np.floor_divide, operands, frame, True)
    return whole if whole is NotImplemented else (whole, _elementwise(np.remainder, operands, frame, True))


def _product(a: Any, b: Any, tracer: Tracer, frame: FrameType | None) -> Any:
    """The ``@`` operator."""
    if any(getattr(type(v), "__array_ufunc__", ()) is None for v in (a, b)):
        return NotImplemented
    if means_more(type(a)) or means_more(type(b)):
        raise located(tracer._trace, refused("np.matrix or a masked array", "use np.asarray on it first"), frame)
    return perform(ufuncs.products[np.matmul], (a, b), {}, frame, np.matmul)


_define()
