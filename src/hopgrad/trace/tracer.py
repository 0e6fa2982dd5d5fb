"""The tracer: what a user's function computes with while it is traced.

It answers to operators, methods, indexing and NumPy's protocols as the value it stands for would, and records a hop for
each. What NumPy does not let it take part in (``float(x)``, ``np.array([x, y])``, writing into a plain array) is refused
with the line and the cure, never answered with a plain number: that would lose the gradient silently.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from hopgrad.aval import Aval, Shape
from hopgrad.errors import DtypeError, HopgradError, NotDifferentiableError, ShapeError, TraceError
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.hop import Hop
from hopgrad.hops import functions as fn
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import Surface, cast, lift, surfaces
from hopgrad.trace import context
from hopgrad.trace.context import Trace

ARRAY, SCALAR, PYTHON = 0, 1, 2
"""What a traced value stands for: an array, a NumPy scalar, or a Python number (weak in promotion)."""


class Tracer:
    """Stands for an array, a NumPy scalar or a Python number while a function is traced."""

    __slots__ = ("__weakref__", "_id", "_kind", "_parent", "_seen", "_trace", "_version", "_writable")

    def __init__(self, trace: Trace, node: int, kind: int) -> None:
        self._trace = trace
        self._id = node
        self._kind = kind
        self._parent: tuple[Tracer, View] | None = None
        self._version = 0
        self._seen = 0
        self._writable = kind == ARRAY

    # -- what it stands for ------------------------------------------------------------------------------------------

    @property
    def __class__(self) -> Any:
        """The class that the value would have, so that ``isinstance(x, np.ndarray)`` takes the same branch."""
        if self._kind == ARRAY:
            return np.ndarray
        dtype = self._aval.dtype
        return dtype.type if self._kind == SCALAR else {"f": float, "b": bool, "i": int, "c": complex}[dtype.kind]

    @property
    def _aval(self) -> Aval:
        return self._trace.builder.avals[self._id]

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self._aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy dtype."""
        return self._aval.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._aval.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._aval.size

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._aval.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        """The axes reversed."""
        return _call(fn.transpose, (self,), {}, sys._getframe(1), array=True, view=_TRANSPOSE)

    @property
    def mT(self) -> Any:  # noqa: N802 - NumPy's name
        """The last two axes exchanged."""
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> Any:
        """The real part."""
        return self

    @property
    def imag(self) -> Any:
        """The imaginary part, zeros."""
        return _call(fn.imag, (self,), {}, sys._getframe(1))

    @property
    def flat(self) -> Any:
        """The elements in order."""
        return iter(self.ravel())

    @property
    def flags(self) -> NoReturn:
        """Memory layout, which a traced value does not have."""
        self._refuse("the memory layout (flags)", "leave questions of layout out of the traced function")

    def __repr__(self) -> str:
        if self._trace.closed:
            return f"<traced {self._aval!r}, of a function that has returned>"
        return repr(self._trace.concrete(current_node(self)))

    def __str__(self) -> str:
        return repr(self) if self._trace.closed else str(self._trace.concrete(current_node(self)))

    def __format__(self, spec: str) -> str:
        return repr(self) if self._trace.closed else format(self._trace.concrete(current_node(self)), spec)

    # -- refusals ----------------------------------------------------------------------------------------------------

    def _refuse(self, need: str, cure: str, frame: FrameType | None = None) -> NoReturn:
        place = context.where(frame or sys._getframe(2))
        self._trace.refuse(TraceError(f"{need} of a traced value is needed, but its gradient would be lost"
                                      f" there; {cure}\n  at {place}"))  # fmt: skip

    def __bool__(self) -> bool:
        if self._aval.size != 1 and self._kind == ARRAY:
            raise ValueError("The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()")
        self._refuse("the truth value", "use np.where(condition, a, b) in place of `if`, np.minimum/np.maximum in"
                     " place of min/max, & and | in place of and/or")  # fmt: skip

    def __float__(self) -> float:
        self._refuse("a plain float", "use NumPy's functions on the value itself (np.sin instead of math.sin); to fill"
                     " an array with traced values use `import hopgrad.numpy as np`, whose np.zeros can be"
                     " filled, or build it with np.stack")  # fmt: skip

    def __int__(self) -> int:
        self._refuse("a plain int", "np.floor or x.astype(int) stay traced")

    def __index__(self) -> int:
        self._refuse("an index", "pass the integer as an argument that is not differentiated, or use np.take")

    def __complex__(self) -> complex:
        self._refuse("a plain complex number", "use NumPy's functions on the value itself")

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self._refuse("a plain NumPy array", "NumPy does not let traced values take part in np.array([x, y]),"
                     " np.asarray(x), np.full(n, x) or a[i:j] = x on a plain array: use `import hopgrad.numpy as"
                     " np`, or np.stack([x, y]), np.ones(n) * x")  # fmt: skip

    def item(self, *args: Any) -> Any:
        """One element: as a traced scalar, since a plain number would lose the gradient."""
        if not args:
            if self.size != 1:
                raise ValueError("can only convert an array of size 1 to a Python scalar")
            return self.reshape(-1)[0]
        return self.ravel()[args[0]] if len(args) == 1 and not isinstance(args[0], tuple) else self[args]

    def tolist(self) -> Any:
        """Nested lists of traced scalars."""
        return self if self.ndim == 0 else [v.tolist() for v in self]

    @property
    def __hash__(self) -> Any:  # type: ignore[override]
        """Arrays have no hash; a traced number has none either, because equal values may not be equal functions."""
        if self._kind == ARRAY:
            return None
        return self._unhashable

    def _unhashable(self) -> NoReturn:
        self._refuse("the hash", "a traced value cannot be a key of a dict or member of a set")

    def __contains__(self, item: Any) -> bool:
        return bool((self == item).any())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(self.shape[0]))

    # -- NumPy's protocols -------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        return _ufunc(self._trace, ufunc, method, inputs, keywords, sys._getframe(1))

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        return call_function(self._trace, function, args, keywords, sys._getframe(1))

    # -- indexing ----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        frame = sys._getframe(1)
        items, arrays, basic = _items(self, key, frame)

        def pick(x: Expr) -> Expr:
            found: Expr = sh.index(x, *[lift(a, x.builder) for a in arrays], items=items)
            return found

        # Only basic indexing that leaves an array makes a view; an element is copied out.
        whole = basic and (Ellipsis in key if isinstance(key, tuple) else key is Ellipsis)
        view = View(pick, lambda x, v: sh.put(x, v, items=items)) if basic else None
        return _call(pick, (self,), {}, frame, array=whole, view=view)

    def __setitem__(self, key: Any, value: Any) -> None:
        frame = sys._getframe(1)
        self._check_writable(frame)
        if isinstance(key, Tracer) and key.dtype == bool:
            chosen = lambda x, c, v: fn.where(c, cast(_fitted(v, x, frame), x.dtype), x)  # noqa: E731 - one line says it
            if key.shape != self.shape or np.ndim(value) > 0:
                self._refuse("the number of chosen elements", "use np.where(mask, value, array)", frame)
            _write(self, _call(chosen, (self, key, value), {}, frame))
            return
        items, arrays, _ = _items(self, key, frame)

        def put(x: Expr, v: Any) -> Expr:
            places = [lift(a, x.builder) for a in arrays]
            place = catalogue["index"].infer(x.aval, *[p.aval for p in places], items=items)
            source = cast(lift(v, x.builder), x.dtype)
            extra = source.ndim - place.ndim
            if extra > 0 and all(n == 1 for n in source.shape[:extra]):
                source = sh.reshape(source, shape=source.shape[extra:])
            written: Expr = sh.put(x, fn.broadcast_to(source, place.shape), *places, items=items)
            return written

        if arrays and _repeats(self, items, arrays):
            self._refuse("assignment to the same place twice", "make the indices distinct, or use np.add.at", frame)
        _write(self, _call(put, (self, value), {}, frame))

    def _check_writable(self, frame: FrameType | None) -> None:
        root = self
        while root._parent is not None:
            if root._parent[1].put is None:
                break
            root = root._parent[0]
        if self._kind != ARRAY:
            raise TypeError(f"'{type(self._aval.dtype.type()).__name__}' object does not support item assignment")
        if not root._writable or (root._parent is not None):
            what = "an argument of the function" if root._parent is None else "a view that is read-only or may be a copy"
            error = TraceError(f"assignment into {what} is not supported: copy it first (x = x.copy())"
                               f"\n  at {context.where(frame)}")  # fmt: skip
            self._trace.refuse(error)

    # -- methods, as ndarray has them --------------------------------------------------------------------------------

    def copy(self, order: str = "C") -> Any:
        """A copy that can be written to."""
        return _call(fn.copy, (self,), {}, sys._getframe(1), array=self._kind == ARRAY)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def astype(self, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True) -> Any:
        """Converted to a dtype; a conversion to integers has no derivative."""
        return _call(cast, (self, np.dtype(dtype)), {}, sys._getframe(1), array=self._kind == ARRAY)

    def reshape(self, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
        """As ``ndarray.reshape``."""
        target = shape[0] if len(shape) == 1 else shape
        source = self.shape
        back = View(
            lambda x: fn.reshape(x, target, order),
            (lambda x, v: fn.reshape(v, source)) if order == "C" and _contiguous(self) else None,
        )
        return _call(fn.reshape, (self, target, order), {}, sys._getframe(1), array=True, view=back)

    def ravel(self, order: Any = "C") -> Any:
        """As ``ndarray.ravel``."""
        source = self.shape
        put = (lambda x, v: fn.reshape(v, source)) if order in ("C", "K") and _contiguous(self) else None
        return _call(fn.ravel, (self, order), {}, sys._getframe(1), array=True,
                     view=View(lambda x: fn.ravel(x, order), put))  # fmt: skip

    def flatten(self, order: Any = "C") -> Any:
        """As ``ndarray.flatten``: a copy."""
        return _call(fn.ravel, (self, order), {}, sys._getframe(1), array=True)

    def transpose(self, *axes: Any) -> Any:
        """As ``ndarray.transpose``."""
        order = None if not axes or axes[0] is None else axes[0] if isinstance(axes[0], (tuple, list)) else axes
        view = View(
            lambda x: fn.transpose(x, order),
            lambda x, v: fn.transpose(v, None if order is None else np.argsort([k % x.ndim for k in order]).tolist()),
        )
        return _call(fn.transpose, (self, order), {}, sys._getframe(1), array=True, view=view)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """As ``ndarray.swapaxes``."""
        swap = View(lambda x: fn.swapaxes(x, axis1, axis2), lambda x, v: fn.swapaxes(v, axis1, axis2))
        return _call(fn.swapaxes, (self, axis1, axis2), {}, sys._getframe(1), array=True, view=swap)

    def squeeze(self, axis: Any = None) -> Any:
        """As ``ndarray.squeeze``."""
        view = View(lambda x: fn.squeeze(x, axis), lambda x, v: sh.reshape(v, shape=x.shape))
        return _call(fn.squeeze, (self, axis), {}, sys._getframe(1), array=True, view=view)

    def fill(self, value: Any) -> None:
        """Write one value everywhere."""
        self[...] = value

    def dot(self, b: Any, out: Any = None) -> Any:
        """As ``ndarray.dot``."""
        return _call(fn.dot, (self, b), {}, sys._getframe(1))

    def view(self, *args: Any, **keywords: Any) -> NoReturn:
        """Bits read as another type have no derivative."""
        self._refuse("the memory (view)", "use astype to convert")

    # -- in place ----------------------------------------------------------------------------------------------------

    def _update(self, ufunc: np.ufunc, other: Any, frame: FrameType) -> Any:
        """``a += b``: an array is written to, so all its names and views see it; a number is replaced."""
        if self._kind != ARRAY:
            return _operate(ufunc, self, other, frame)
        self._check_writable(frame)
        result = _operate(ufunc, self, other, frame)
        if result.shape != self.shape:
            raise ShapeError(f"{ufunc.__name__}: a result of shape {result.shape} does not fit in place into {self.shape}"
                             f"\n  at {context.where(frame)}")  # fmt: skip
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DtypeError(f"{ufunc.__name__}: {result.dtype} does not fit in place into {self.dtype}"
                             f"\n  at {context.where(frame)}")  # fmt: skip
        _write(self, _call(cast, (result, self.dtype), {}, frame))
        return self


class View:
    """How a view is read from its parent and, unless it is read-only, how writing to it changes the parent."""

    __slots__ = ("get", "put")

    def __init__(self, get: Callable[[Expr], Expr], put: Callable[[Expr, Expr], Expr] | None) -> None:
        self.get = get
        self.put = put


_TRANSPOSE = View(fn.transpose, lambda x, v: fn.transpose(v))


def _contiguous(tracer: Tracer) -> bool:
    """Whether NumPy would surely reshape without copying: an array of its own, not a slice or transpose."""
    return tracer._parent is None


def _root(tracer: Tracer) -> Tracer:
    while tracer._parent is not None:
        tracer = tracer._parent[0]
    return tracer


def current_node(tracer: Tracer) -> int:
    """The tracer's current value: a view is read again if its array was written to since."""
    if tracer._parent is None:
        return tracer._id
    root = _root(tracer)
    if tracer._seen == root._version:
        return tracer._id
    chain = []
    while tracer._parent is not None and tracer._seen != root._version:
        chain.append(tracer)
        tracer = tracer._parent[0]
    builder = root._trace.builder
    for view in reversed(chain):
        assert view._parent is not None
        parent, how = view._parent
        view._id = how.get(builder.expr(parent._id)).id
        view._seen = root._version
    return chain[0]._id


def _write(tracer: Tracer, value: Tracer) -> None:
    """Give `tracer` a new value, and so the array that it is a view of."""
    root = _root(tracer)
    builder = root._trace.builder
    new = value._id
    while tracer._parent is not None:
        parent, how = tracer._parent
        assert how.put is not None
        new = how.put(builder.expr(current_node(parent)), builder.expr(new)).id
        tracer = parent
    tracer._id = new
    root._version += 1


def _fitted(value: Any, x: Expr, frame: FrameType | None) -> Expr:
    return lift(value, x.builder)


def _repeats(tracer: Tracer, items: sh.Items, arrays: list[Any]) -> bool:
    """Whether an index names a place twice."""
    probe = np.arange(tracer.size).reshape(tracer.shape)
    chosen = probe[sh.selection(items, arrays)]
    return bool(np.unique(chosen).size != chosen.size)


def _items(tracer: Tracer, key: Any, frame: FrameType | None) -> tuple[sh.Items, list[Any], bool]:
    """An index as hashable items, its index arrays, and whether it is basic (no arrays)."""
    parts = list(key) if isinstance(key, tuple) else [key]
    consumed = sum(
        (np.ndim(p) if np.asarray(p).dtype == bool else 1)
        for p in parts
        if p is not None and p is not Ellipsis and not isinstance(p, (slice, Tracer))
    ) + sum(1 for p in parts if isinstance(p, (slice, Tracer)))
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    items: list[Any] = []
    arrays: list[Any] = []
    for part in parts:
        if part is Ellipsis:
            items.extend([sh.Slice(None, None, None)] * (tracer.ndim - consumed))
        elif part is None:
            items.append(None)
        elif type(part) is int:
            items.append(part)
        elif isinstance(part, slice):
            ends = [None if v is None else v.__index__() for v in (part.start, part.stop, part.step)]
            items.append(sh.Slice(*ends))
        elif isinstance(part, Tracer):
            tracer._refuse("an index", "indices must not depend on differentiated values: pass them as arguments that are"
                           " not differentiated, or use np.where / np.take with integer arrays", frame)  # fmt: skip
        elif np.ndim(part) == 0 and np.asarray(part).dtype != bool:
            items.append(part.__index__())
        else:
            array = np.array(part)
            if array.size == 0 and isinstance(part, (list, tuple)):
                array = array.astype(np.intp)
            if array.dtype == bool:
                if array.ndim == 0:
                    raise NotDifferentiableError("indexing with a single bool is not supported on traced values")
                for places in array.nonzero():
                    items.append(sh.Operand(len(arrays)))
                    arrays.append(places)
            elif array.dtype.kind in "iu":
                items.append(sh.Operand(len(arrays)))
                arrays.append(array)
            else:
                raise IndexError("arrays used as indices must be of integer (or boolean) type")
    while items and items[-1] == sh.Slice(None, None, None):
        items.pop()
    probe = np.broadcast_to(np.int8(0), tracer.shape)
    try:
        probe[sh.selection(tuple(items), arrays)]
    except IndexError as error:
        raise IndexError(f"{error}\n  at {context.where(frame)}") from None
    return tuple(items), arrays, not arrays


# -- recording ------------------------------------------------------------------------------------------------------------


def _wrap(trace: Trace, value: Any, frame: FrameType | None, array: bool, kind: int | None = None) -> Any:
    """Handles in a surface's answer become tracers, with their place in the user's code."""
    if isinstance(value, Expr):
        trace.site(value.id, frame)
        if kind is None:
            kind = ARRAY if array or trace.builder.avals[value.id].shape else SCALAR
        return Tracer(trace, value.id, kind)
    if isinstance(value, (tuple, list)):
        return type(value)([_wrap(trace, v, frame, array) for v in value])
    return value


def unwrap(value: Any) -> Any:
    """Tracers, in nested lists and tuples too, become handles."""
    if type(value) is Tracer:
        return Expr(value._trace.builder, current_node(value), value._kind == PYTHON)
    if type(value) in (list, tuple):
        return type(value)([unwrap(v) for v in value])
    return value


def _call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    frame: FrameType | None,
    array: bool = False,
    view: View | None = None,
) -> Any:
    """Run an adapter on handles, with errors that name the user's line, and wrap its answer."""
    subject = args[0]
    trace = subject._trace if type(subject) is Tracer else _trace_of(args)
    trace.check_open()
    try:
        out = function(*[unwrap(a) for a in args], **{k: unwrap(v) for k, v in keywords.items()})
    except HopgradError as error:
        raise _located(error, frame) from None
    result = _wrap(trace, out, frame, array)
    if view is not None and type(result) is Tracer and result._kind == ARRAY:
        result._parent = (subject, view)
        result._seen = _root(subject)._version
    return result


def _located(error: HopgradError, frame: FrameType | None) -> HopgradError:
    """The same error with the user's line."""
    text = str(error)
    place = context.where(frame)
    return error if "\n  at " in text or not place else type(error)(f"{text}\n  at {place}")


def _trace_of(value: Any) -> Trace:
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is Tracer:
            return item._trace
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
    raise TraceError("no operand is traced")


# -- array functions --------------------------------------------------------------------------------------------------------

_VIEWS: dict[Any, str] = {
    np.reshape: "reshape", np.ravel: "ravel", np.transpose: "transpose", np.swapaxes: "swapaxes",
    np.squeeze: "squeeze",
}  # fmt: skip


def call_function(trace: Trace, function: Any, args: Any, keywords: dict[str, Any], frame: FrameType | None) -> Any:
    """A NumPy function on arguments among which are traced values."""
    found = surfaces.get(function)
    name = f"{getattr(function, '__module__', 'numpy').replace('numpy', 'np')}.{function.__name__}"
    if found is None:
        error = NotDifferentiableError(f"{name} is not supported on traced values\n  at {context.where(frame)}")
        trace.refuse(error)
    out = keywords.pop("out", None) if "out" in keywords else None
    result = apply_surface(trace, found, args, keywords, frame, name)
    # NumPy's views of an array stay views, so that writing to them is seen in the array.
    if function in _VIEWS and type(args[0]) is Tracer and type(result) is Tracer:
        return getattr(args[0], _VIEWS[function])(*args[1:], **keywords)
    return result if out is None else _store(trace, out, result, frame)


def apply_surface(
    trace: Trace, found: Surface, args: Any, keywords: dict[str, Any], frame: FrameType | None, name: str
) -> Any:
    """Run a surface on user arguments."""
    trace.check_open()
    try:
        answer = found.function(*[unwrap(a) for a in args], **{k: unwrap(v) for k, v in keywords.items()})
    except HopgradError as error:
        raise _located(error, frame) from None
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise NotDifferentiableError(f"{name}: {error}\n  at {context.where(frame)}") from None
    return _wrap(trace, answer, frame, found.array)


def _store(trace: Trace, out: Any, result: Any, frame: FrameType | None) -> Any:
    """Honour ``out=``."""
    out = out[0] if isinstance(out, tuple) else out
    if out is None:
        return result
    if type(out) is Tracer:
        out._check_writable(frame)
        _write(out, _call(lambda v: fn.broadcast_to(cast(v, out.dtype), out.shape), (result,), {}, frame))
        return out
    trace.refuse(TraceError(
        "a traced value cannot be written into a plain NumPy array (out=, or += on it): the gradient would be lost."
        " Make the array with `import hopgrad.numpy as np`, or write a = a + b\n  at " + context.where(frame)
    ))  # fmt: skip


# -- ufuncs -----------------------------------------------------------------------------------------------------------------

_hop_of_ufunc: dict[Any, Hop] = {}
_SPECIAL_NAMES = {hop.value.partition(":")[2]: hop for hop in catalogue.values() if isinstance(hop.value, str)}


def _fill_ufuncs() -> None:
    for hop in catalogue.values():
        if isinstance(hop.value, np.ufunc):
            _hop_of_ufunc[hop.value] = hop
    # Other names of the same functions. (NumPy's clip is a function that calls a ufunc of its own.)
    for ufunc, name in {
        np.fabs: "absolute", np.conjugate: "", np.positive: "", np.radians: "deg2rad", np.degrees: "rad2deg",
        np.matmul: "matmul", np.bitwise_and: "logical_and", np.bitwise_or: "logical_or",
        np.bitwise_xor: "logical_xor", np.invert: "logical_not",
    }.items():  # fmt: skip
        if name:
            _hop_of_ufunc[ufunc] = catalogue[name]


_fill_ufuncs()


def _find_hop(ufunc: np.ufunc) -> Hop | None:
    hop = _hop_of_ufunc.get(ufunc)
    if hop is None:
        special = _SPECIAL_NAMES.get(ufunc.__name__) or (
            catalogue["digamma"] if ufunc.__name__ == "psi" else None
        )
        if special is not None and special.function is ufunc:
            hop = _hop_of_ufunc[ufunc] = special
    return hop


@lru_cache(maxsize=4096)
def _loop(ufunc: np.ufunc, tokens: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    """The dtypes to which NumPy converts the operands; a Python number's type stands for itself (NEP 50)."""
    if all(isinstance(t, type) for t in tokens):
        tokens = tuple(np.dtype(t) for t in tokens)
    return ufunc.resolve_dtypes((*tokens, *[None] * ufunc.nout))[: ufunc.nin]


def _operand(builder: Builder, value: Any, dtype: np.dtype[Any]) -> int:
    if type(value) is Tracer:
        node = current_node(value)
        return node if builder.avals[node].dtype is dtype else cast(Expr(builder, node), dtype).id
    if isinstance(value, np.ndarray) and value.dtype != dtype:
        value = value.astype(dtype)
    return builder.constant(value, dtype).id


def _operate(ufunc: np.ufunc, a: Any, b: Any, frame: FrameType | None, operator: bool = True) -> Any:
    """A binary ufunc, or an operator: an operator between Python numbers gives a Python number again."""
    return _elementwise(ufunc, (a, b), frame, operator)


def _elementwise(ufunc: np.ufunc, operands: tuple[Any, ...], frame: FrameType | None, operator: bool = False) -> Any:
    trace: Trace | None = None
    tokens: list[Any] = []
    python = operator
    scalar = True
    for value in operands:
        if type(value) is Tracer:
            if trace is not value._trace:
                if trace is not None:
                    raise TraceError("values of two different traces (of two threads?) cannot be combined")
                trace = value._trace
            dtype = trace.builder.avals[value._id].dtype
            if value._kind == PYTHON:
                tokens.append(_PYTHON_TYPES[dtype.kind])
            else:
                tokens.append(dtype)
                python = False
        elif type(value) in (float, int, bool, complex):
            tokens.append(type(value) if type(value) is not bool else np.dtype(bool))
        else:
            python = False
            if not isinstance(value, (np.ndarray, np.generic)):
                value = np.asarray(value)
            if value.dtype == object:
                return NotImplemented
            tokens.append(value.dtype)
    assert trace is not None
    if trace.closed:
        trace.check_open()
    hop = _hop_of_ufunc.get(ufunc) or _find_hop(ufunc)
    try:
        dtypes = _loop(ufunc, tuple(tokens))
    except TypeError as error:
        raise DtypeError(f"{error}\n  at {context.where(frame)}") from None
    builder = trace.builder
    try:
        if hop is None:
            node = _composed(trace, ufunc, operands, dtypes, frame)
        elif ufunc is np.power and (exponent := _fixed_exponent(operands[1], dtypes)) is not None:
            base = _operand(builder, operands[0], dtypes[0])
            node = builder.emit(catalogue["constant_power"], (base,), (("exponent", exponent),))
        else:
            args = [_operand(builder, v, d) for v, d in zip(operands, dtypes, strict=True)]
            node = builder.emit(hop, args)
    except HopgradError as error:
        raise _located(error, frame) from None
    if builder.avals[node].shape:
        kind = ARRAY
    else:
        kind = PYTHON if python else SCALAR
    trace.site(node, frame)
    return Tracer(trace, node, kind)


_PYTHON_TYPES: dict[str, Any] = {"f": float, "i": int, "u": int, "b": np.dtype(bool), "c": complex}


def _fixed_exponent(value: Any, dtypes: tuple[np.dtype[Any], ...]) -> float | None:
    """The exponent as a Python number, if it is one fixed real number."""
    if type(value) is Tracer or np.ndim(value) or np.asarray(value).dtype.kind not in "iuf":
        return None
    exponent: float = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    if dtypes[0].kind in "iu" and exponent < 0:
        raise ValueError("Integers to negative integer powers are not allowed.")
    return int(exponent) if float(exponent).is_integer() and abs(exponent) < 2**53 else float(exponent)


def _composed(trace: Trace, ufunc: Any, operands: Any, dtypes: Any, frame: FrameType | None) -> int:
    """Ufuncs that are another hop in disguise."""
    builder = trace.builder
    args = [Expr(builder, _operand(builder, v, d)) for v, d in zip(operands, dtypes, strict=True)]
    if ufunc in (np.positive, np.conjugate):
        return args[0].id
    if ufunc is np.square:
        return (args[0] ** 2).id
    if ufunc is np.reciprocal:
        return (1 / args[0]).id
    if ufunc is np.float_power:
        exponent = _fixed_exponent(operands[1], dtypes)
        return (catalogue["power"](*args) if exponent is None else args[0] ** exponent).id
    trace.refuse(NotDifferentiableError(
        f"{ufunc.__name__} is not supported on traced values\n  at {context.where(frame)}"
    ))  # fmt: skip


_REDUCTIONS: dict[Any, Callable[..., Any]] = {
    np.add: fn.sum, np.multiply: fn.prod, np.maximum: fn.max, np.minimum: fn.min,
    np.logical_and: fn.all, np.logical_or: fn.any, np.logaddexp: fn.logsumexp,
}  # fmt: skip


def _ufunc(
    trace: Trace, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: dict[str, Any], frame: FrameType
) -> Any:
    """``__array_ufunc__``: calls, and the ufunc's own methods."""
    trace.check_open()
    keywords = dict(keywords)
    out = keywords.pop("out", None)
    chosen = keywords.pop("where", True)
    if method == "__call__":
        dtype = keywords.pop("dtype", None)
        for name in ("casting", "order", "subok"):
            keywords.pop(name, None)
        if keywords:
            trace.refuse(NotDifferentiableError(
                f"np.{ufunc.__name__}({', '.join(keywords)}=) is not supported on traced values"
                f"\n  at {context.where(frame)}"))  # fmt: skip
        if dtype is not None:
            inputs = tuple(_call(cast, (v, dtype), {}, frame) if type(v) is Tracer else v for v in inputs)
        if ufunc is np.matmul:
            result = _call(fn.matmul, inputs, {}, frame)
        elif ufunc is np.divmod:
            result = tuple(_elementwise(u, inputs, frame) for u in (np.floor_divide, np.remainder))
        elif ufunc is np.modf:
            whole = _elementwise(np.trunc, inputs, frame)
            result = (_elementwise(np.subtract, (inputs[0], whole), frame), whole)
        else:
            result = _elementwise(ufunc, inputs, frame)
        if chosen is not True:
            if out is None:
                trace.refuse(NotDifferentiableError(
                    f"np.{ufunc.__name__}(where=) without out= leaves values undefined\n  at {context.where(frame)}"))  # fmt: skip
            result = _call(fn.where, (chosen, result, out[0]), {}, frame)
        return result if out is None else _store(trace, out, result, frame)
    if method == "reduce" and ufunc in _REDUCTIONS:
        axis = keywords.pop("axis", inputs[1] if len(inputs) > 1 else 0)
        if chosen is not True:
            keywords["where"] = chosen
        if keywords.get("dtype", 0) is None:
            del keywords["dtype"]
        result = apply_surface(trace, Surface(_REDUCTIONS[ufunc], False), (inputs[0], axis), keywords, frame,
                               f"np.{ufunc.__name__}.reduce")  # fmt: skip
        return result if out is None else _store(trace, out, result, frame)
    if method == "accumulate" and ufunc is np.add:
        axis = keywords.pop("axis", inputs[1] if len(inputs) > 1 else 0)
        return _call(fn.cumsum, (inputs[0], axis), {}, frame)
    if method == "outer" and ufunc.nin == 2:
        a, b = inputs
        b = b if isinstance(b, Tracer) else np.asarray(b)
        lined = a if not isinstance(a, Tracer) and np.ndim(a) == 0 else np.reshape(a, np.shape(a) + (1,) * b.ndim)
        return _elementwise(ufunc, (lined, b), frame)
    if method == "at" and ufunc is np.add and type(inputs[0]) is Tracer:
        target, key, value = inputs
        target._check_writable(frame)
        items, arrays, _ = _items(target, key, frame)

        def add_at(x: Expr, v: Any) -> Expr:
            places = [lift(p, x.builder) for p in arrays]
            place = catalogue["index"].infer(x.aval, *[p.aval for p in places], items=items)
            spread = fn.broadcast_to(cast(lift(v, x.builder), x.dtype), place.shape)
            return x + sh.scatter(spread, *places, items=items, shape=x.shape)

        _write(target, _call(add_at, (target, value), {}, frame))
        return None
    trace.refuse(NotDifferentiableError(
        f"np.{ufunc.__name__}.{method} is not supported on traced values\n  at {context.where(frame)}"
    ))  # fmt: skip


# -- operators and methods, generated ---------------------------------------------------------------------------------------

_OPERATORS: dict[str, np.ufunc] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_COMPARISONS: dict[str, np.ufunc] = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
_UNARY: dict[str, np.ufunc] = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}

_METHODS: dict[str, Callable[..., Any]] = {
    "sum": fn.sum, "prod": fn.prod, "mean": fn.mean, "var": fn.var, "std": fn.std, "max": fn.max, "min": fn.min,
    "argmax": fn.argmax, "argmin": fn.argmin, "any": fn.any, "all": fn.all, "cumsum": fn.cumsum, "clip": fn.clip,
    "round": fn.round, "take": fn.take, "repeat": fn.repeat, "trace": fn.trace, "diagonal": fn.diagonal,
    "conj": fn.real, "conjugate": fn.real,
}  # fmt: skip


def _define() -> None:
    def binary(ufunc: np.ufunc) -> tuple[Any, Any, Any]:
        def forward(self: Tracer, other: Any) -> Any:
            return _elementwise(ufunc, (self, other), sys._getframe(1), True)

        def reflected(self: Tracer, other: Any) -> Any:
            return _elementwise(ufunc, (other, self), sys._getframe(1), True)

        def in_place(self: Tracer, other: Any) -> Any:
            return self._update(ufunc, other, sys._getframe(1))

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

    def method(function: Callable[..., Any]) -> Any:
        def call(self: Tracer, *args: Any, **keywords: Any) -> Any:
            out = keywords.pop("out", None)
            result = _call(function, (self, *args), keywords, sys._getframe(1))
            return result if out is None else _store(self._trace, out, result, sys._getframe(1))

        return call

    for name, function in _METHODS.items():
        setattr(Tracer, name, method(function))

    def matmul(self: Tracer, other: Any) -> Any:
        return _call(fn.matmul, (self, other), {}, sys._getframe(1))

    def rmatmul(self: Tracer, other: Any) -> Any:
        return _call(fn.matmul, (other, self), {}, sys._getframe(1))

    def divmod_(self: Tracer, other: Any) -> Any:
        frame = sys._getframe(1)
        return tuple(_elementwise(u, (self, other), frame, True) for u in (np.floor_divide, np.remainder))

    def round_(self: Tracer, digits: int | None = None) -> Any:
        return _call(fn.round, (self, digits or 0), {}, sys._getframe(1))

    for name, function in {"matmul": matmul, "rmatmul": rmatmul, "divmod": divmod_, "round": round_}.items():
        setattr(Tracer, f"__{name}__", function)


_define()
