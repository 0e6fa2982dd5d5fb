"""The tracer: what a user's function computes with while it is traced.

It answers to operators, methods, indexing and NumPy's protocols as the value it stands for would, and records a hop
for each. What NumPy does not let it take part in (``float(x)``, ``np.array([x, y])``, writing into a plain array) is
refused with the line and the cure, never answered with a plain number: that would lose the gradient silently.

An array to which nothing traced was written yet, as ``np.zeros(3)`` of ``hopgrad.numpy`` gives, is a tracer over real
data. NumPy computes with it at once, and nothing is recorded.
"""

from __future__ import annotations

import opcode
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from hopgrad.aval import Aval, Several, Shape, aval_of
from hopgrad.errors import DtypeError, HopgradError, NotDifferentiableError, ShapeError, TraceError
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import ITEM
from hopgrad.graph.operators import broadcast_to as to_shape
from hopgrad.hops import functions as fn
from hopgrad.hops import linalg
from hopgrad.hops import shape as sh
from hopgrad.hops.surface import Surface, array_of, cast, lift, means_more, newer, refusals, refused, surfaces
from hopgrad.trace import context, memory, ufuncs
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.keys import parse, repeated
from hopgrad.trace.memory import Memory, Path, Step, Strides

ARRAY, SCALAR, PYTHON = 0, 1, 2
"""What a traced value stands for: an array, a NumPy scalar, or a Python number (weak in promotion)."""

REAL = -1
"""The id of an array with real data: it is no value of the graph."""


def _of_memory(name: str) -> Any:
    """An attribute that says where the elements lie."""
    return property(lambda tracer: _in_memory(tracer, name, sys._getframe(1)))


def _in_memory(tracer: Tracer, name: str, frame: FrameType) -> Any:
    data = real_data(tracer)
    if data is not None:
        shared = memory_of(tracer)
        found = getattr(shared.expose(data) if name in ("data", "ctypes") else data, name)
        return shared.expose(found) if type(found) is np.ndarray else found
    if tracer._kind != ARRAY and name not in ("ctypes", "data"):
        return getattr(tracer.dtype.type(), name)
    like = _laid_out_alike(tracer) if name in ("flags", "strides") else None
    if like is None:
        tracer._refuse("the memory (data, base, ctypes; flags and strides where they are not known)",
                       "leave questions about it out of the traced function", frame)  # fmt: skip
    return getattr(like, name)


def _laid_out_alike(tracer: Tracer) -> np.ndarray[Any, Any] | None:
    """An array whose elements lie as those of a traced one do in NumPy, as far as that is known."""
    shared = memory_of(tracer)
    if type(shared.home) is not Tracer and shared.home is not None and not any(s.rest for s in tracer._path):
        return memory.window(shared.home, tracer._path)
    aval, strides = tracer._aval, strides_of(tracer)
    if strides is None:
        return None
    if not tracer._path:
        order: Any = "C" if memory.is_contiguous(aval.shape, strides) else "F"
        like = np.empty(aval.shape, aval.dtype, order)
        if memory.is_contiguous(aval.shape, strides, order):
            return like
    steps = tuple(s * aval.dtype.itemsize for s in strides)
    return np.lib.stride_tricks.as_strided(np.empty(1, aval.dtype), aval.shape, steps)


class Tracer:
    """Stands for an array, a NumPy scalar or a Python number while a function is traced."""

    __slots__ = ("__weakref__", "_born", "_id", "_kind", "_memory", "_path", "_seen", "_trace")

    _path: Path
    _seen: int

    def __init__(self, trace: Trace, node: int, kind: int) -> None:
        self._trace = trace
        self._id = node
        self._kind = kind
        self._born = trace.body
        self._memory: Memory | None = None  # until it is viewed or written to; then _path and _seen have values too

    # -- what it stands for ------------------------------------------------------------------------------------------

    @property  # type: ignore[misc]  # Python's own attribute may be assigned to; here it depends on the kind
    def __class__(self) -> Any:
        """The class that the value would have, so that ``isinstance(x, np.ndarray)`` takes the same branch."""
        if self._kind == ARRAY:
            return np.ndarray
        dtype = self._aval.dtype
        return dtype.type if self._kind == SCALAR else {"f": float, "b": bool, "i": int, "c": complex}[dtype.kind]

    @property
    def _aval(self) -> Aval:
        if self._id == REAL and (data := real_data(self)) is not None:
            return aval_of(data)
        return self._trace.builder.avals[current_node(self) if self._id == REAL else self._id]

    @property
    def _writable(self) -> bool:
        return self._memory is None or bool(self._memory.writable)

    @_writable.setter
    def _writable(self, value: bool) -> None:
        """Whether the array can be written to. Where NumPy would write, but nobody could see it, that is refused."""
        if self._kind == ARRAY:
            attach(self, Memory(self._id, layout=None, writable=value or None))
            if not value:
                memory_of(self).name = "an argument of the function (or a view of one)"

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self._aval.shape

    @shape.setter
    def shape(self, value: Any) -> None:
        _set_shape(self, value, sys._getframe(2))

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
        aval = self._aval
        return aval.size * aval.dtype.itemsize

    @property
    def device(self) -> str:
        """As NumPy's arrays have it."""
        return "cpu"

    @property
    def T(self) -> Any:  # noqa: N802 - NumPy's name
        """The axes reversed."""
        return _transpose(self, None, sys._getframe(1))

    @property
    def mT(self) -> Any:  # noqa: N802 - NumPy's name
        """The last two axes exchanged."""
        return perform(surfaces[np.matrix_transpose], (self,), {}, sys._getframe(1), np.matrix_transpose)

    @property
    def real(self) -> Any:
        """The real part: of real numbers the value itself, of complex ones a view."""
        return _part(self, "real", sys._getframe(1)) if self._aval.dtype.kind == "c" else self

    @real.setter
    def real(self, value: Any) -> None:
        if self._kind != ARRAY:
            raise AttributeError(f"attribute 'real' of {self.__class__.__name__!r} objects is not writable")
        if not is_writable(self):
            # NumPy does not look at the flag here.
            self._refuse(
                "the memory (assignment to the real part of a read-only array)", "copy it first", sys._getframe(2)
            )
        if self._aval.dtype.kind == "c":
            self.real[...] = value
        else:
            self[...] = value

    @property
    def imag(self) -> Any:
        """The imaginary part: of complex numbers a view, of real ones zeros, which cannot be written to."""
        if self._aval.dtype.kind == "c":
            return _part(self, "imag", sys._getframe(1))
        none = np.zeros(self._aval.shape, self._aval.dtype)
        none.flags.writeable = False
        return none if self._kind == ARRAY else none[()] if self._kind == SCALAR else none.item()

    @imag.setter
    def imag(self, value: Any) -> None:
        if self._kind != ARRAY:
            raise AttributeError(f"attribute 'imag' of {self.__class__.__name__!r} objects is not writable")
        if self._aval.dtype.kind != "c":
            raise TypeError("array does not have imaginary part to set")
        self.imag[...] = value

    @property
    def flat(self) -> Flat:
        """The elements in order, to read and to write."""
        return Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        Flat(self)[:] = value

    @property
    def flags(self) -> Flags:
        """How the elements lie, and whether they can be written to."""
        return Flags(self, sys._getframe(1))

    strides, base = _of_memory("strides"), _of_memory("base")
    data, ctypes = _of_memory("data"), _of_memory("ctypes")

    def __repr__(self) -> str:
        if _is_over(self):
            return f"<traced {self._aval!r}, of a function that has returned>"
        return repr(_text_of(self, sys._getframe(1)))

    def __str__(self) -> str:
        return repr(self) if _is_over(self) else str(_text_of(self, sys._getframe(1)))

    def __format__(self, spec: str) -> str:
        return repr(self) if _is_over(self) else format(_text_of(self, sys._getframe(1)), spec)

    # -- refusals ----------------------------------------------------------------------------------------------------

    def _refuse(self, need: str, cure: str, frame: FrameType | None = None) -> NoReturn:
        frame = frame or sys._getframe(2)
        caller = context.library_call(frame)
        module, _, name = caller.rpartition(".")
        if f"{module}:{name}" in surfaces:
            cure = f"use hopgrad.{caller}"
        elif caller.startswith("scipy."):
            cure = "it takes plain values only, so write the formula with NumPy's functions"
        need = f"{caller}: {need}" if caller else need
        self._trace.refuse(TraceError(f"{need} of a traced value is needed, but its gradient would be lost there:"
                                      f" {cure}\n  at {context.where(frame)}"))  # fmt: skip

    def __bool__(self) -> bool:
        if (data := real_data(self)) is not None:
            return bool(data)
        if self._kind == ARRAY and self._aval.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()"
            )
        frame = sys._getframe(1)
        # Later code depends on the truth only: other numbers that are not zero take the same path.
        truth = self if self._aval.dtype.kind == "b" else call(lambda x: x != 0, (self,), {}, frame)
        return bool(settled(truth, frame))

    def __float__(self) -> float:
        if (data := real_data(self)) is not None:
            return float(data)
        if self._aval.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        if (value := known_value(self, "a float", sys._getframe(1))) is not None:
            return float(value)
        if _is_formatting(sys._getframe(1)):
            return float(_text_of(self, sys._getframe(1)))
        self._refuse("a plain float", "use NumPy's functions on the value itself (np.sin instead of math.sin); to fill"
                     " an array with traced values use `import hopgrad.numpy as np`, whose np.zeros can be"
                     " filled, or build it with np.stack")  # fmt: skip

    def __int__(self) -> int:
        if (data := real_data(self)) is not None:
            return int(data)
        if self._aval.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        frame = sys._getframe(1)
        if self._aval.dtype.kind in "iub":
            return int(settled(self, frame))
        if (large := large_integer(self, frame)) is not None:
            return large
        # The integer is what later code depends on: other values that are rounded to it take the same path.
        whole = call(lambda x: cast(x, np.dtype(np.int64)), (self,), {}, frame)
        return int(settled(whole, frame))

    def __index__(self) -> int:
        if (data := real_data(self)) is not None:
            return data.__index__()
        kind = self._aval.dtype.kind
        if kind == "b" and self._kind != PYTHON:
            raise TypeError(f"'{self.__class__.__name__}' object cannot be interpreted as an integer")
        if kind not in "iub" or (self._kind == ARRAY and self._aval.shape):
            if self._kind != PYTHON:
                raise TypeError("only integer scalar arrays can be converted to a scalar index")
            self._refuse("a plain integer", "leave the argument that it comes from out of argnums: what is not"
                         " differentiated stays a plain integer")  # fmt: skip
        return int(settled(self, sys._getframe(1)))

    def __complex__(self) -> complex:
        if (data := real_data(self)) is not None:
            return complex(data)
        if self._aval.size != 1:
            raise TypeError("only length-1 arrays can be converted to Python scalars")
        if (value := known_value(self, "a complex number", sys._getframe(1))) is not None:
            return complex(value)
        self._refuse("a plain complex number", "use NumPy's functions on the value itself")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        if (data := real_data(self)) is not None:
            # The real data and no copy, as np.asarray would share it. While it is referred to, it stays real.
            if copy or dtype not in (None, data.dtype):
                if copy is False:
                    raise ValueError("Unable to avoid copy while creating an array as requested.")
                return np.array(data, dtype=dtype)
            return memory_of(self).expose(data)
        if (value := known_value(self, "an array", sys._getframe(1))) is not None:
            shared = self._memory
            own = shared is not None and type(shared.home) is np.ndarray and shared not in self._trace.dirty
            if own and not any(step.rest for step in self._path) and memory.is_writable(self._path):
                # The caller's own memory: what other code writes to it is noticed when the trace is over.
                value = memory.window(shared.home, self._path)  # type: ignore[union-attr]  # there is one
            return np.array(value, dtype, copy=copy or None)
        self._refuse("a plain NumPy array", "NumPy does not let traced values take part in np.array([x, y]),"
                     " np.asarray(x), np.full(n, x) or a[i:j] = x on a plain array: use `import hopgrad.numpy as"
                     " np`, or np.stack([x, y]), np.ones(n) * x")  # fmt: skip

    def __dlpack__(self, **keywords: Any) -> Any:
        if (data := real_data(self)) is not None:
            return memory_of(self).expose(data).__dlpack__(**keywords)
        self._refuse("the memory (DLPack)", "only NumPy's own functions can be differentiated")

    def __dlpack_device__(self) -> tuple[int, int]:
        return np.zeros(0).__dlpack_device__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if (data := real_data(self)) is not None:
            return data.__reduce_ex__(protocol)
        self._refuse("a pickled copy", "return it from the function instead")

    def item(self, *args: Any) -> Any:
        """One element: as a traced Python number, since a plain one would lose the gradient."""
        if (data := real_data(self)) is not None:
            return data.item(*args)
        if not args:
            if self._aval.size != 1:
                raise ValueError("can only convert an array of size 1 to a Python scalar")
            args = (0,)
        if self._kind != ARRAY:
            return python_number(self)
        if len(args) == 1 and not isinstance(args[0], tuple):
            return python_number(self.flatten()[args[0]])
        return python_number(self[args[0] if len(args) == 1 else args])

    def tolist(self) -> Any:
        """Nested lists of traced Python numbers."""
        if (data := real_data(self)) is not None:
            return data.tolist()
        return [v.tolist() for v in self] if self._aval.shape else self.item()

    @property
    def __hash__(self) -> Any:
        """Arrays have no hash; nor have traced floats, because equal values may not be equal functions."""
        return None if self._kind == ARRAY else self._hash

    def _hash(self) -> int:
        frame = sys._getframe(1)
        value = settled(self, frame) if self._aval.dtype.kind in "iub" else known_value(self, "a hash", frame)
        if value is None:
            self._refuse("the hash", "a traced value cannot be a key of a dict or member of a set", frame)
        return hash(value[()] if isinstance(value, np.ndarray) else value)

    def __contains__(self, item: Any) -> bool:
        if self._kind != ARRAY:
            raise TypeError(f"argument of type {self.__class__.__name__!r} is not iterable")
        return bool((self == item).any())

    def __len__(self) -> int:
        shape = self._aval.shape
        if not shape:
            raise TypeError("len() of unsized object")
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self._aval.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(self._aval.shape[0]))

    # -- NumPy's protocols -------------------------------------------------------------------------------------------

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        frame = sys._getframe(1)
        for cls in types:
            if cls is not Tracer and cls is not np.ndarray:
                if not issubclass(cls, np.ndarray):
                    return NotImplemented
                if means_more(cls):
                    error = refused(f"{cls.__name__} with {name_of(function)}", "use np.asarray on it first")
                    raise located(self._trace, error, frame)
        return call_function(self._trace, function, args, keywords, frame)

    # -- indexing ----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        frame = sys._getframe(1)
        plain = key if type(key) is int else plain_key(key, frame)
        if type(plain) is not int and (chosen := _single_bool(plain)) is not None:
            return self[np.newaxis][np.zeros(int(chosen), np.intp)]
        data = real_data(self)
        if data is not None and not has_traced(plain):
            return _real_item(self, data, plain)
        self._trace.check_open()
        builder = self._trace.builder
        node = current_node(self)
        items, arrays = parsed(self, plain, frame)
        found: Expr = sh.index(Expr(builder, node), *[lift(a, builder) for a in arrays], items=items)
        if arrays:
            check_places(self._trace, found.id, frame)
        # NumPy makes a view where there are no arrays of indices, and traced integers are none.
        view = not arrays or is_element(key, arrays)
        # An element is copied out as a scalar, unless the key has an ellipsis.
        array = any(k is Ellipsis for k in key) if isinstance(key, tuple) else key is Ellipsis
        self._trace.site(found.id, frame)
        kind = ARRAY if found.aval.shape or array else SCALAR
        result = Tracer(self._trace, found.id, kind)
        if kind == ARRAY and self._kind == ARRAY:
            if view:
                rest = builder.args(found.id)[1:]
                step = Step(catalogue["index"], (("items", items),), rest, bool(rest))
                attach(result, memory_of(self), (*_path_of(self), step))
            elif found.aval.ndim > 1:
                attach(result, Memory(found.id, layout=None))
        return result

    def __setitem__(self, key: Any, value: Any) -> None:
        frame = sys._getframe(1)
        plain = plain_key(key, frame, masks=False)
        value = as_array(value)
        if (whole := _single_bool(plain)) is not None:
            np.broadcast_shapes(np.shape(value), (int(whole), *self._aval.shape))
            if whole:
                self[np.newaxis][...] = value
            return
        if isinstance(plain, Expr) and plain.dtype == bool:
            if np.ndim(value) <= max(self._aval.ndim - plain.ndim, 0) or np.size(value) == 1:
                check_writable(self, frame)
                write(self, _masked(self, plain, value, frame), frame)
                return
            plain = self._trace.settle(plain.id, frame)
        elif any(isinstance(part, Expr) and part.shape for part in (plain if type(plain) is tuple else (plain,))):
            plain = fixed_key(self._trace, plain, frame)
        if not is_traced(self) and not has_traced((plain, value)):
            check_lent(self, frame)
            real_data(self)[plain] = bare(value)  # type: ignore[index]  # it has data
            return
        check_writable(self, frame)
        items, arrays = parsed(self, plain, frame)
        if any(isinstance(a, Expr) for a in arrays) and not all(isinstance(a, Expr) for a in arrays):
            items, arrays = parsed(self, fixed_key(self._trace, plain, frame), frame)
        if type(value) is Tracer and value._memory is not None and value._memory is self._memory:
            # `a[i] += v` first changes the view a[i], and then assigns it to the place where it is already.
            rest = tuple(a.id for a in arrays if isinstance(a, Expr))
            step = Step(catalogue["index"], (("items", items),), rest, bool(rest))
            resolve(value, frame)
            if len(rest) == len(arrays) and value._path == (*self._path, static_step(self._trace, step, frame)):
                return
        chosen = repeated(items, arrays, self._aval.shape) if arrays and not has_traced(arrays) else None

        def written(x: Expr, v: Any) -> Expr:
            places = [lift(a, x.builder) for a in arrays]
            place = catalogue["index"].infer(x.aval, *[p.aval for p in places], items=items)
            v = fitted(v, x, place.shape)
            if chosen is None:
                ids = tuple(p.id for p in places)
                return Expr(x.builder, memory.put(x.builder, x.id, v.id, items, ids))
            # Of several values for one place NumPy keeps the last.
            _, last = np.unique(chosen.ravel()[::-1], return_index=True)
            last = chosen.size - 1 - last
            flat = sh.index(fn.reshape(v, -1), lift(last, x.builder), items=(sh.Operand(0),))
            spots = lift(chosen.ravel()[last], x.builder)
            line = sh.put(fn.reshape(x, -1), flat, spots, items=(sh.Operand(0),))
            return fn.reshape(line, x.shape)

        made = call(written, (self, value), {}, frame)
        if has_traced(arrays):
            check_places(self._trace, made._id, frame)
        write(self, made, frame)

    def __delitem__(self, key: Any) -> NoReturn:
        raise ValueError("cannot delete array elements")

    # -- methods, as ndarray has them --------------------------------------------------------------------------------

    def copy(self, order: Any = "C") -> Any:
        """A copy that can be written to."""
        if (data := real_data(self)) is not None:
            return real(self._trace, data.copy(order))
        if self._kind != ARRAY:
            return self
        result = _wrap(self._trace, unwrap(self), sys._getframe(1), True)
        _lay_out(result, self, order)
        return result

    def __copy__(self) -> Any:
        return self.copy() if self._kind == ARRAY else self

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy() if self._kind == ARRAY else self

    def astype(
        self, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """Converted to a dtype; a conversion to integers has no derivative."""
        dtype = np.dtype(dtype)
        if not np.can_cast(self._aval.dtype, dtype, casting):
            raise TypeError(f"Cannot cast array data from {self._aval.dtype!r} to {dtype!r} according to the rule"
                            f" {casting!r}")  # fmt: skip
        if not copy and dtype == self._aval.dtype:
            return self
        if (data := real_data(self)) is not None:
            return real(self._trace, data.astype(dtype, order))
        frame = sys._getframe(1)
        if dtype.kind not in "fiubc":
            self._trace.refuse(with_place(refused(f"conversion to {dtype}"), frame))
        result = call(cast, (self, dtype), {}, frame, array=self._kind == ARRAY)
        if self._kind == ARRAY:
            _lay_out(result, self, order)
        return result

    def reshape(self, *shape: Any, order: Any = "C", copy: Any = None) -> Any:
        """As ``ndarray.reshape``."""
        target = shape[0] if len(shape) == 1 else shape
        return _reshape(self, target, order, copy, sys._getframe(1))

    def ravel(self, order: Any = "C") -> Any:
        """As ``ndarray.ravel``."""
        return _ravel(self, order, sys._getframe(1))

    def flatten(self, order: Any = "C") -> Any:
        """As ``ndarray.flatten``: a copy."""
        frame = sys._getframe(1)
        if (data := real_data(self)) is not None:
            return real(self._trace, data.flatten(order))
        return call(fn.ravel, (self, _order(self, order, frame)), {}, frame, array=True)

    def transpose(self, *axes: Any) -> Any:
        """As ``ndarray.transpose``."""
        order = None if not axes or axes[0] is None else axes[0] if isinstance(axes[0], (tuple, list)) else axes
        return _transpose(self, order, sys._getframe(1))

    def squeeze(self, axis: Any = None) -> Any:
        """As ``ndarray.squeeze``."""
        return _squeeze(self, axis, sys._getframe(1))

    def view(self, *args: Any, **keywords: Any) -> Any:
        """The same elements; read as another type they have no derivative."""
        if args or keywords:
            if (data := real_data(self)) is not None:
                return memory_of(self).expose(data).view(*args, **keywords)
            if (args, keywords) not in (((self._aval.dtype,), {}), ((np.ndarray,), {}), ((), {"type": np.ndarray})):
                self._refuse("the memory (view)", "use astype to convert")
        return self[...]

    def conj(self) -> Any:
        """The complex conjugate: of real numbers the value itself."""
        return np.conjugate(self) if self._aval.dtype.kind == "c" else self

    conjugate = conj

    def fill(self, value: Any) -> None:
        """Write one value everywhere."""
        if np.ndim(as_array(value)):
            raise ValueError("fill needs one value")
        if self._kind == ARRAY:  # of a number NumPy fills a copy
            self[...] = value

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """As ``ndarray.compress``."""
        return perform(surfaces[np.compress], (condition, self, axis, out), {}, sys._getframe(1), np.compress)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """As ``ndarray.put``."""
        np.put(self, indices, values, mode)  # type: ignore[arg-type]  # it stands for an array

    def setflags(self, write: Any = None, align: Any = None, uic: Any = None) -> None:
        """Make an array read-only, or take that back. Other views of the same elements stay as they are."""
        if self._kind != ARRAY or write is None:
            return
        shared = memory_of(self)
        path = self._path
        if is_traced(self):
            current_node(self)  # what was written before is seen
        if shared.captured and shared.data is not None and not path:  # the caller's own flag
            shared.data.setflags(write=write)
        elif not write:
            if is_writable(self):
                attach(self, shared, (*path, memory.read_only(self._aval.shape)))
        elif not is_writable(self):
            before = path[:-1] if path and path[-1] == memory.read_only(self._aval.shape) else path
            if shared.writable is False or not memory.is_writable(before):
                raise ValueError("cannot set WRITEABLE flag to True of this array")
            attach(self, shared, before)

    def to_device(self, device: str, /, *, stream: Any = None) -> Any:
        """As NumPy's arrays have it: there is one device."""
        np.zeros(0).to_device(device, stream=stream)  # type: ignore[arg-type]  # NumPy says what it does not know
        return self


class Flags:
    """``ndarray.flags``."""

    __slots__ = ("_frame", "_tracer")

    def __init__(self, tracer: Tracer, frame: FrameType) -> None:
        self._tracer = tracer
        self._frame = frame

    @property
    def writeable(self) -> bool:
        """Whether the array can be written to."""
        return self._tracer._kind == ARRAY and is_writable(self._tracer)

    @writeable.setter
    def writeable(self, value: Any) -> None:
        self._tracer.setflags(write=bool(value))

    def __getattr__(self, name: str) -> Any:
        return getattr(_in_memory(self._tracer, "flags", self._frame), name)

    def __getitem__(self, name: str) -> Any:
        return self.writeable if name in ("WRITEABLE", "W") else _in_memory(self._tracer, "flags", self._frame)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in ("WRITEABLE", "W"):
            self.writeable = value

    def __repr__(self) -> str:
        return repr(_in_memory(self._tracer, "flags", self._frame))


# -- arrays of real data ---------------------------------------------------------------------------------------------


def real(trace: Trace, data: np.ndarray[Any, Any]) -> Tracer:
    """A traced array over real data of its own, to which traced values can be written."""
    result = Tracer(trace, REAL, ARRAY)
    attach(result, Memory(REAL, data, writable=data.flags.writeable))
    return result


def real_data(tracer: Tracer) -> np.ndarray[Any, Any] | None:
    """The real data that an array still has."""
    return None if is_traced(tracer) else memory.window(tracer._memory.data, tracer._path)  # type: ignore[union-attr, arg-type]


def as_array(value: Any) -> Any:
    """A list with traced values in it as the array that NumPy would make of it."""
    return array(value) if type(value) in (list, tuple) and has_traced(value) else value


def bare(value: Any) -> Any:
    """Real data in place of the tracers that have some, in nested lists too."""
    if type(value) is Tracer:
        return real_data(value)
    if type(value) in (list, tuple):
        return type(value)([bare(v) for v in value])
    return value


def is_traced(value: Any) -> bool:
    """Whether something is a value of the graph: no plain value, and no array with real data."""
    if type(value) is not Tracer:
        return False
    shared = value._memory
    # An element of real data at a traced place is a value of the graph.
    return shared is None or shared.data is None or any(step.element for step in value._path)


def has_traced(value: Any) -> bool:
    """Whether there are values of the graph in nested lists, tuples and dicts."""
    return any(isinstance(v, Expr) or is_traced(v) for v in leaves_of(value))


def leaves_of(value: Any) -> Iterator[Any]:
    """What nested lists, tuples and dicts hold, without an order."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.values())
        elif type(item) in (list, tuple):
            stack.extend(item)
        else:
            yield item


def dress(trace: Trace, value: Any, known: dict[int, Any], arrays: Sequence[Any]) -> Any:
    """What NumPy made of real data: new arrays can be filled; `known` gives back arguments by their identity."""
    if isinstance(value, (list, tuple)):
        made = [dress(trace, v, known, arrays) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if id(value) in known:
        return known[id(value)]
    if type(value) is not np.ndarray or value.dtype.kind not in "fiubc":
        return value
    if value.base is None:
        return real(trace, value)
    # A view of an argument stays as it is: whoever else holds that memory has to see what is written.
    for given in arrays:
        if isinstance(given, np.ndarray) and np.may_share_memory(value, given):
            owner = known.get(id(given))
            return memory_of(owner).expose(value) if type(owner) is Tracer and not is_traced(owner) else value
    return real(trace, value.copy("K"))


def on_real(trace: Trace, function: Callable[..., Any], args: Any, keywords: Any) -> Any:
    """NumPy's own function on real data."""
    known: dict[int, Any] = {}

    def bare(value: Any) -> Any:
        if type(value) is Tracer:
            data = real_data(value)
            known[id(data)] = value
            return data
        if type(value) in (list, tuple):
            return type(value)([bare(v) for v in value])
        if isinstance(value, np.ndarray):
            known[id(value)] = value
        return value

    plain, named = [bare(v) for v in args], {k: bare(v) for k, v in keywords.items()}
    return dress(trace, function(*plain, **named), known, list(leaves_of((plain, named))))


def _real_item(tracer: Tracer, data: np.ndarray[Any, Any], key: Any) -> Any:
    found = data[key]
    if not isinstance(found, np.ndarray):
        return found
    items, arrays = parse(key, data.shape)
    if arrays:
        return real(tracer._trace, found if found.base is None else found.copy())
    result = Tracer(tracer._trace, REAL, ARRAY)
    attach(result, memory_of(tracer), (*tracer._path, Step(catalogue["index"], (("items", items),), ())))
    return result


def _into_graph(trace: Trace, shared: Memory, frame: FrameType | None) -> None:
    """Give up real data for a value of the graph, since a traced value is to be written."""
    assert shared.data is not None
    if shared.shared:
        trace.refuse(TraceError(
            "a traced value cannot be written into an array that plain NumPy code still refers to (a result of"
            f" np.asarray or a view made by it): the plain one would not see it. Copy the array first"
            f"\n  at {context.where(frame)}"))  # fmt: skip
    shared.layout = memory.strides_of_array(shared.data)
    shared.change(memory.constant(trace.builder, shared.data), "")
    shared.data = None


# -- values that are known -------------------------------------------------------------------------------------------


def known_value(tracer: Tracer, what: str, frame: FrameType | None) -> Any:
    """The value for the actual inputs, if no derivative is lost with it; None otherwise.

    Integers and booleans are recorded as guards. Floats that depend on no input that is differentiated by may change
    from call to call, so they make the trace one of this call only.
    """
    trace = tracer._trace
    trace.check_open()
    node = current_node(tracer)
    if trace.active(node):
        return None
    try:
        if tracer._aval.dtype.kind in "iub":
            trace.concrete(node)
            return trace.settle(node, frame)
        value = trace.concrete(node)
    except UnknownValueError:
        return None
    if trace.builder.hop(node).name != "constant":
        trace.only_once(f"{what} of data needs plain values", frame)
    return value


def decline(trace: Trace, function: Any, args: Any, keywords: Any, error: HopgradError, frame: FrameType | None) -> Any:
    """What has no derivative here: NumPy's own answer where none is asked for, else the error, which is remembered."""
    made = on_values(trace, function, args, keywords, frame)
    if made is None:
        trace.refuse(error if "\n  at " in str(error) else with_place(error, frame))
    return made[0]


def on_values(
    trace: Trace, function: Any, args: Any, keywords: Any, frame: FrameType | None, flat: bool = False
) -> tuple[Any] | None:
    """NumPy's own function on the values for the actual inputs; None if a derivative would be lost.

    None is lost of a function that is constant between its jumps (`flat`).
    """
    leaves = [v for v in leaves_of((args, keywords)) if is_traced(v)]
    trace.check_open()
    found: dict[int, Any] = {}
    name = name_of(function)
    for leaf in leaves:
        node = current_node(leaf)
        if not flat or leaf._aval.dtype.kind in "iub":
            value = known_value(leaf, name, frame)
            if value is None:
                return None
        else:
            try:
                value = trace.concrete(node)
            except UnknownValueError:
                return None
            trace.only_once(f"{name} of traced values gives plain ones", frame)
        if leaf._kind == PYTHON:
            found[id(leaf)] = value.item() if isinstance(value, (np.ndarray, np.generic)) else value
        else:
            # Nobody is to write to the values that are known.
            found[id(leaf)] = view = np.asarray(value).view()
            view.flags.writeable = False
            if leaf._kind == SCALAR:
                found[id(leaf)] = view[()]
    target = keywords.get("out")
    if target is not None:
        keywords = {k: v for k, v in keywords.items() if k != "out"}

    def bare(value: Any) -> Any:
        if type(value) is Tracer:
            return found[id(value)] if id(value) in found else real_data(value)
        return type(value)([bare(v) for v in value]) if type(value) in (list, tuple) else value

    plain, named = [bare(v) for v in args], {k: bare(v) for k, v in keywords.items()}
    result = function(*plain, **named)
    known = {id(found[id(leaf)]): leaf for leaf in leaves if leaf._kind == ARRAY}
    known.update({id(v): v for v in leaves_of((plain, named)) if isinstance(v, np.ndarray) and id(v) not in known})
    values = [(leaf, found[id(leaf)]) for leaf in leaves if leaf._kind == ARRAY]

    def dressed(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            made = [dressed(v) for v in value]
            return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
        if type(value) is np.ndarray and id(value) not in known and value.base is not None:
            for leaf, given in values:
                if np.may_share_memory(given, value) and value.dtype.kind in "fiubc":
                    # A view, of which part nobody knows.
                    part = Tracer(trace, memory.constant(trace.builder, value), ARRAY)
                    _doubt(part, leaf)
                    return part
        return dress(trace, value, known, list(leaves_of((plain, named))))

    answer = dressed(result)
    return (answer if target is None else store(trace, target, answer, frame),)


# -- memory ----------------------------------------------------------------------------------------------------------


def attach(tracer: Tracer, shared: Memory, path: Path = ()) -> None:
    """Make an array a part of a memory."""
    tracer._memory = shared
    tracer._path = path
    if shared.born < 0:
        shared.born = tracer._born
    tracer._seen = shared.version


def memory_of(tracer: Tracer) -> Memory:
    """The memory that an array is a part of, made on the first occasion."""
    if tracer._memory is None:
        attach(tracer, Memory(tracer._id))
    assert tracer._memory is not None
    return tracer._memory


def _path_of(tracer: Tracer) -> Path:
    return () if tracer._memory is None else tracer._path


def current_node(tracer: Tracer) -> int:
    """The tracer's current value: a view is read again if its array was written to since."""
    shared = tracer._memory
    if shared is None:
        return tracer._id
    builder = tracer._trace.builder
    if shared.data is not None:
        if is_traced(tracer):
            return memory.follow(builder, memory.constant(builder, shared.data), tracer._path)
        return memory.constant(builder, memory.window(shared.data, tracer._path))
    if tracer._seen != shared.version:
        if shared.lost:
            tracer._trace.refuse(TraceError(f"{shared.lost}\n  at {context.where(sys._getframe(1))}"))
        tracer._id = memory.follow(builder, shared.node, tracer._path)
        tracer._seen = shared.version
    return tracer._id


def _is_of_body(tracer: Tracer) -> bool:
    """Whether the array was made in the body of a loop or branch that is traced now."""
    shared = tracer._memory
    while shared is not None and type(shared.home) is Tracer:  # an argument of a nested function
        tracer = shared.home
        shared = tracer._memory
    born = tracer._born if shared is None else shared.born
    return born == tracer._trace.body and (shared is None or shared.home is None)


def check_lent(tracer: Tracer, frame: FrameType | None) -> None:
    """Raise if a write to the array would not be seen where it is known under another name."""
    trace, shared = tracer._trace, tracer._memory
    if trace.body and not _is_of_body(tracer):
        trace.refuse(TraceError(
            "the body of a scan, while_loop, fori_loop, cond or switch, or a function under vmap, writes here to an"
            " array that was made outside of it. It is traced once, for all steps or rows: make the array a part of the"
            f" carry or of the result instead, or use a plain Python loop\n  at {context.where(frame)}"))  # fmt: skip
    if shared is None:
        return
    if shared.lent:
        trace.refuse(TraceError(
            "an array is written to here while a function that is differentiated inside has it as an argument, under"
            f" another name: write to the argument\n  at {context.where(frame)}"))  # fmt: skip
    if shared.writable is None:
        trace.refuse(TraceError(
            f"assignment into {shared.name or 'an array of which some views were made read-only (setflags)'} is not"
            f" supported: copy it first (x = x.copy())\n  at {context.where(frame)}"))  # fmt: skip
    if shared.home is not None and not any(shared is other for other in trace.dirty):
        for other in trace.homes:
            if other is not shared and memory.overlapping(shared, other):
                trace.refuse(TraceError(
                    f"{shared.name} is written to here, but {other.name} has elements in common with it, as far as"
                    f" that is known: copy one of them first\n  at {context.where(frame)}"))  # fmt: skip


def check_writable(tracer: Tracer, frame: FrameType | None) -> None:
    """Raise unless traced values can be written to the array, and make it a value of the graph."""
    trace, shared = tracer._trace, tracer._memory
    if tracer._kind != ARRAY:
        raise TypeError(f"'{type(tracer._aval.dtype.type()).__name__}' object does not support item assignment")
    trace.check_open()
    check_lent(tracer, frame)
    if shared is None:
        return
    resolve(tracer, frame)
    if shared.writable is False or not memory.is_writable(tracer._path):
        raise ValueError("assignment destination is read-only")
    if shared.data is not None:
        if not real_data(tracer).flags.writeable:  # type: ignore[union-attr]  # it has data
            raise ValueError("assignment destination is read-only")
        _into_graph(trace, shared, frame)
    if shared.home is not None and not any(shared is other for other in trace.dirty):
        _first_write(trace, shared, frame)
    current_node(tracer)


def is_writable(tracer: Tracer) -> bool:
    """Whether NumPy lets the array be written to."""
    if (data := real_data(tracer)) is not None:
        return bool(data.flags.writeable)
    return tracer._memory is None or (tracer._memory.writable is not False and memory.is_writable(tracer._path))


def _first_write(trace: Trace, shared: Memory, frame: FrameType | None) -> None:
    """Note that the caller's array has to be given its new value at the end. Until then nobody may read the old one."""
    if type(shared.home) is Tracer:
        outer = memory_of(shared.home)
        if outer.data is not None:
            _into_graph(trace, outer, frame)
        outer.lose(
            f"this array is an argument of a function that is differentiated inside, which assigned to it at"
            f" {context.where(frame)}: use the argument here"
        )
    trace.dirty.append(shared)


def static_step(trace: Trace, step: Step, frame: FrameType | None) -> Step:
    """The step with the values of its traced integers, on which what is traced next depends."""
    params = dict(step.params)
    items = tuple(
        int(trace.settle(step.rest[item.number], frame)) if isinstance(item, sh.Operand) else item
        for item in params["items"]
    )
    return Step(step.hop, (("items", items),), ())


def resolve(tracer: Tracer, frame: FrameType | None) -> None:
    """Turn an element at a traced place into one at a fixed place, to which can be written."""
    if any(step.element for step in tracer._path):
        trace = tracer._trace
        tracer._path = tuple(static_step(trace, step, frame) if step.element else step for step in tracer._path)


def write(tracer: Tracer, value: Tracer, frame: FrameType | None) -> None:
    """Give an array, and so what it is a view of, a new value. It was checked with `_check_writable`."""
    shared = memory_of(tracer)
    node = memory.replace(tracer._trace.builder, shared.node, tracer._path, value._id)
    tracer._trace.site(node, frame)
    shared.change(node, context.where(frame) if shared.group else "")
    tracer._id, tracer._seen = value._id, shared.version


def strides_of(tracer: Tracer) -> Strides | None:
    """The strides that the array has in NumPy, in elements, as far as they are known."""
    shared = tracer._memory
    shape = tracer._aval.shape
    if shared is None:
        return memory.c_strides(shape)
    builder = tracer._trace.builder
    if shared.data is not None:
        if is_traced(tracer):
            return None
        data = memory.window(shared.data, tracer._path)
        found = memory.strides_of_array(data)
        return memory.c_strides(shape) if found == "C" else found
    whole = builder.avals[shared.node].shape
    strides = memory.c_strides(whole) if shared.layout == "C" else shared.layout
    return memory.judge(whole, strides, tracer._path)[1]


def is_ordered(tracer: Tracer) -> bool:
    """Whether a ufunc makes an array in C order of this one, as far as that is known."""
    if tracer._aval.ndim < 2:
        return True
    strides = strides_of(tracer)
    return strides is not None and memory.keeps_order(tracer._aval.shape, strides)


def _lay_out(result: Tracer, source: Tracer, order: Any) -> None:
    """Note the layout of a copy that NumPy makes in this order."""
    shape = result._aval.shape
    if len(shape) > 1 and order == "F":
        attach(result, Memory(result._id, layout=memory.c_strides(shape[::-1])[::-1]))
    elif order not in ("C", None) and not is_ordered(source):
        attach(result, Memory(result._id, layout=None))


def _link(result: Tracer, subject: Any, aliasing: str) -> None:
    """Note what an array shares with the one that NumPy makes it from."""
    if type(subject) is not Tracer or subject._kind != ARRAY or result._kind != ARRAY:
        return
    shared = memory_of(subject)
    path = memory.walk(result._trace.builder, result._id, current_node(subject))
    if path is None:
        return
    shape, strides = subject._aval.shape, strides_of(subject)
    verdict, found = memory.judge(shape, strides, path, contiguous=aliasing == "ravel")
    if verdict == "view":
        attach(result, shared, (*subject._path, *path))
    elif verdict == "copy":
        if found is not None and not memory.is_contiguous(result._aval.shape, found):
            attach(result, Memory(result._id, layout=found))
    else:
        _doubt(result, subject)


def _doubt(result: Tracer, subject: Tracer) -> None:
    """Note that an array may or may not be a view of another one."""
    if result._kind == ARRAY and subject._kind == ARRAY:
        if result._memory is None:
            attach(result, Memory(result._id, layout=None))
        memory_of(subject).doubt(memory_of(result))


def _set_shape(tracer: Tracer, shape: Any, frame: FrameType | None) -> None:
    """``a.shape = ...``: another shape for this array object, never a copy."""
    if tracer._kind != ARRAY:
        raise AttributeError(f"attribute 'shape' of {tracer.__class__.__name__!r} objects is not writable")
    shared = memory_of(tracer)
    if shared.home is not None and not tracer._path:
        tracer._refuse(f"another shape for {shared.name} itself", "use x = x.reshape(shape)", frame)
    view = _reshape(tracer, shape, "C", None, frame)
    if view._memory is not shared or shared.group:
        if view._memory is shared or (view._memory is not None and view._memory.group):
            tracer._refuse("the memory layout", "use a = a.reshape(shape)", frame)
        raise AttributeError("Incompatible shape for in-place modification. Use `.reshape()` to make a copy with the"
                             " desired shape.")  # fmt: skip
    tracer._id, tracer._path, tracer._seen = view._id, view._path, view._seen


def _part(tracer: Tracer, name: str, frame: FrameType | None) -> Tracer:
    """The real or imaginary part of complex numbers; of an array it is a view."""
    hop = catalogue[name]
    if (data := real_data(tracer)) is not None:
        found = Tracer(tracer._trace, REAL, ARRAY)
    else:
        found = call(hop, (tracer,), {}, frame, array=tracer._kind == ARRAY)
        found._kind = tracer._kind
    if data is not None or tracer._kind == ARRAY:
        attach(found, memory_of(tracer), (*_path_of(tracer), Step(hop, (), ())))
    return found


class Flat:
    """The elements of a traced array in C order, as ``ndarray.flat``."""

    __slots__ = ("_array",)

    def __init__(self, array: Tracer) -> None:
        self._array = array

    def __len__(self) -> int:
        return self._array._aval.size

    def __iter__(self) -> Iterator[Any]:
        line = self._array.flatten()
        return (line[k] for k in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        found = self._array.flatten()[key]
        return found.copy() if isinstance(found, np.ndarray) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        value = as_array(value)
        array = self._array
        frame = sys._getframe(1)
        if array._kind != ARRAY:
            return  # NumPy writes to a copy
        if not is_traced(array) and not has_traced((value, plain_key(key, frame))):
            check_lent(array, frame)
            real_data(array).flat[bare(key)] = bare(value)  # type: ignore[union-attr]  # it has data
            return
        places = np.arange(array._aval.size)[fixed_key(array._trace, plain_key(key, frame), frame)]
        count = np.size(places)
        if not count:
            return
        if not np.size(value):
            raise ValueError("Error setting single item of array.")
        if type(value) is Tracer and value._memory is not None and value._memory is array._memory:
            resolve(value, frame)
            resolve(array, frame)
            if value._path != array._path:
                array._refuse("the order in which NumPy copies (flat, from a part of the same array)",
                              "copy the values first", frame)  # fmt: skip
        # NumPy repeats values, and leaves out those that are too many.
        line, values = array.flatten(), np.ravel(value)
        line[places] = values[np.arange(count) % np.size(value)] if np.ndim(places) else values[0]
        array[...] = line.reshape(array._aval.shape)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return self._array.flatten().__array__(dtype, copy)

    def copy(self) -> Any:
        """A copy as an array."""
        return self._array.flatten()


# -- keys ------------------------------------------------------------------------------------------------------------


def plain_key(key: Any, frame: FrameType | None = None, masks: bool = True) -> Any:
    """A key without tracers: real data, or handles of integers. Masks are settled, but for a mask alone if told so."""
    if type(key) is tuple:
        return tuple(plain_key(part, frame) for part in key)
    if type(key) is Tracer:
        if not is_traced(key):
            return real_data(key)
        if key._aval.dtype == bool and (masks or not key._aval.shape):
            return settled(key, frame)
        return unwrap(key)
    if type(key) is list and any(type(part) is Tracer for part in leaves_of(key)):
        if not has_traced(key):
            return bare(key)
        found = array_of(unwrap(key))
        return trace_of(key).settle(found.id, frame) if found.dtype == bool else found
    return key


def _single_bool(key: Any) -> bool | None:
    """The value of a key that is one boolean: the array itself under a new axis, or nothing of it."""
    if isinstance(key, (bool, np.bool_)) or (type(key) is np.ndarray and key.dtype == bool and not key.shape):
        return bool(key)
    return None


def fixed_key(trace: Trace, key: Any, frame: FrameType | None) -> Any:
    """A plain key with the values of handles, on which what is traced next depends."""
    if type(key) is tuple:
        return tuple(fixed_key(trace, part, frame) for part in key)
    return trace.settle(key.id, frame) if isinstance(key, Expr) else key


def is_element(key: Any, arrays: Sequence[Any]) -> bool:
    """Whether all indices in a key that are not plain are traced integers (0-d arrays of NumPy's are arrays)."""
    if not all(isinstance(a, Expr) and not a.shape for a in arrays):
        return False
    return not any(type(part) is Tracer and part._kind == ARRAY for part in (key if type(key) is tuple else (key,)))


def check_places(trace: Trace, node: int, frame: FrameType | None) -> None:
    """Raise NumPy's own error if traced indices do not fit: here, where the user's code expects it."""
    builder = trace.builder
    hop, items = builder.hop(node), dict(builder.params(node)).get("items", ())
    if hop.name not in ("index", "put") or not any(isinstance(item, sh.Operand) for item in items):
        return
    first, *rest = builder.args(node)
    places = rest[hop.name == "put" :]
    try:
        values = [trace.concrete(place) for place in places]
    except UnknownValueError:
        return
    try:
        np.broadcast_to(np.int8(0), builder.avals[first].shape)[sh.selection(items, values)]
    except IndexError as error:
        for place in places:
            trace.settle(place, frame)  # the error decides what comes next
        raise IndexError(f"{error}\n  at {context.where(frame)}") from None


def check_raises(trace: Trace, first: int, answer: Any, frame: FrameType | None) -> None:
    """Raise what new values, from `first` on, raise for the actual inputs: here, where the user's code expects it.

    Which of both happened is a guard, since the path of the program may depend on it.
    """
    builder = trace.builder
    if trace.failed:  # what raised once does so again, though it is no new value
        wanted = [v.id for v in leaves_of(answer) if isinstance(v, Expr)]
        again = trace.failed.intersection(reachable(builder, wanted, min(trace.failed)))
        if again:
            trace.concrete(min(again))
    for node in range(first, len(builder)):
        hop, params = builder.hop(node), builder.params(node)
        if "raises" not in hop.traits or dict(params).get("strict") is False:
            continue
        value = ITEM(builder.expr(node), index=0).id if isinstance(builder.avals[node], Several) else node
        try:
            trace.concrete(value)
        except UnknownValueError:
            continue
        except np.linalg.LinAlgError:
            trace.failed.update((node, value))
            operands = [builder.expr(a) for a in builder.args(node)]
            trace.settle(linalg.has_value(hop.name, operands, params).id, frame)
            raise
        trace.settle(linalg.exists(builder.expr(value)).id, frame)


def parsed(tracer: Tracer, key: Any, frame: FrameType | None) -> tuple[sh.Items, list[Any]]:
    """`parse`, with errors that name the line."""
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, Expr) and part.dtype.kind not in "iu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
    try:
        return parse(key, tracer._aval.shape)
    except IndexError as error:
        raise IndexError(f"{error}\n  at {context.where(frame)}") from None
    except HopgradError as error:
        raise located(tracer._trace, error, frame) from None


def _masked(tracer: Tracer, mask: Expr, value: Any, frame: FrameType | None) -> Tracer:
    """The array with a value written where a traced mask says."""
    shape = tracer._aval.shape
    if mask.shape != shape[: mask.ndim]:
        raise IndexError(f"boolean index of shape {mask.shape} does not fit shape {shape}\n  at {context.where(frame)}")

    def chosen(x: Expr, v: Any) -> Expr:
        v = fitted(v, x, shape[mask.ndim :])
        wide = fn.reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim))
        return fn.where(wide, v, x)

    return call(chosen, (tracer, value), {}, frame)


def fitted(value: Any, x: Expr, shape: Shape) -> Expr:
    """A value converted and broadcast to a place of `x`; leading axes of length 1 may be too many, as in NumPy."""
    source = cast(lift(value, x.builder), x.dtype)
    extra = source.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in source.shape[:extra]):
        source = fn.reshape(source, source.shape[extra:])
    return to_shape(source, shape)


# -- recording -------------------------------------------------------------------------------------------------------


def _wrap(trace: Trace, value: Any, frame: FrameType | None, array: bool) -> Any:
    """Handles in a surface's answer become tracers, with their place in the user's code."""
    if isinstance(value, Expr):
        aval = value.aval
        trace.site(value.id, frame)
        kind = ARRAY if array or aval.shape else PYTHON if value.weak else SCALAR
        return Tracer(trace, value.id, kind)
    if isinstance(value, (tuple, list)):
        made = [_wrap(trace, v, frame, array) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return value


def unwrap(value: Any) -> Any:
    """Tracers, in nested lists and tuples too, become handles, or real data where they have some."""
    if type(value) is Tracer:
        if not is_traced(value):
            return real_data(value)
        return Expr(value._trace.builder, current_node(value), value._kind == PYTHON)
    if type(value) in (list, tuple):
        return type(value)([unwrap(v) for v in value])
    return value


_NAMES = [name for name, _ in opcode._nb_ops]  # type: ignore[attr-defined]  # Python's own table of operators
_REMAINDER = frozenset(k for k, name in enumerate(_NAMES) if "REMAINDER" in name)


def _is_formatting(frame: FrameType) -> bool:
    """Whether the code that asks for a float is at a ``%``: of numbers that is the tracer's, so it is ``"%g" % x``."""
    code, place = frame.f_code.co_code, frame.f_lasti
    return code[place] == opcode.opmap["BINARY_OP"] and code[place + 1] in _REMAINDER


def _is_over(tracer: Tracer) -> bool:
    return tracer._trace.closed and is_traced(tracer)


def settled(tracer: Tracer, frame: FrameType | None) -> Any:
    """The value for the actual inputs, which later code may depend on: recorded as a guard."""
    tracer._trace.check_open()
    return tracer._trace.settle(current_node(tracer), frame)


def large_integer(tracer: Tracer, frame: FrameType | None) -> int | None:
    """The Python integer that a traced number is rounded to if it does not fit into 64 bits; errors as of ``int``.

    Smaller ones, and those that are not known, are None.
    """
    if tracer._aval.dtype.kind != "f":
        return None
    try:
        value = float(tracer._trace.concrete(current_node(tracer)))
    except UnknownValueError:
        return None
    if abs(value) < 2.0**63:
        return None
    settled(tracer, frame)  # what comes next depends on it
    return int(value)


def shown(tracer: Tracer) -> Any:
    """What printing shows: the value for the actual inputs."""
    if (data := real_data(tracer)) is not None:
        return data
    value = tracer._trace.concrete(current_node(tracer))
    if tracer._kind == PYTHON:
        return value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    return np.asarray(value)[()] if tracer._kind == SCALAR else np.asarray(value)


class _Unknown:
    """In place of a value that nobody knows yet."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return self.text


def _text_of(tracer: Tracer, frame: FrameType | None) -> Any:
    """What printing shows. The text of an integer may become a key, so the value is recorded as a guard."""
    if is_traced(tracer):
        if tracer._aval.dtype.kind in "iub" and not tracer._aval.shape:
            known_value(tracer, "", frame)
        else:
            tracer._trace.only_once("makes text of a value", frame)
    elif tracer._aval.shape:
        tracer._trace.only_once("makes text of an array", frame)  # which np.set_printoptions changes
    try:
        return shown(tracer)
    except UnknownValueError:
        return _Unknown(f"<traced {tracer._aval!r} in the body of a loop or branch>")


def call(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    frame: FrameType | None,
    array: bool = False,
) -> Any:
    """Run an adapter on handles, with errors that name the user's line, and wrap its answer."""
    trace = trace_of(args)
    trace.check_open()
    try:
        out = function(*[unwrap(a) for a in args], **{k: unwrap(v) for k, v in keywords.items()})
        return _wrap(trace, out, frame, array)
    except HopgradError as error:
        raise located(trace, error, frame) from None


def located(trace: Trace, error: HopgradError, frame: FrameType | None) -> HopgradError:
    """The same error with the user's line. What NumPy would have computed is recorded as a refusal."""
    text = str(error)
    place = context.where(frame) if trace.explicit is None else ""  # a formula tells its own places
    found = error if "\n  at " in text or not place else type(error)(f"{text}\n  at {place}")
    if isinstance(error, (NotDifferentiableError, TraceError)) and error not in trace.refusals:
        trace.refusals.append(found)
    return found


def trace_of(value: Any) -> Trace:
    """The trace of the first tracer in nested containers."""
    for item in leaves_of(value):
        if type(item) is Tracer:
            return item._trace
    raise TraceError("no operand is traced")


def converted(tracer: Tracer, dtype: np.dtype[Any]) -> Tracer:
    """The same in another dtype."""
    if tracer._aval.dtype == dtype:
        return tracer
    made: Tracer = call(cast, (tracer, dtype), {}, sys._getframe(1), array=tracer._kind == ARRAY)
    return made


def python_number(tracer: Any) -> Any:
    """A traced number as the Python number that it is equal to."""
    if type(tracer) is not Tracer:
        return tracer.item()
    kind = tracer._aval.dtype.kind
    made = converted(tracer, np.dtype({"f": float, "b": bool, "c": complex}.get(kind, int)))
    return Tracer(made._trace, made._id, PYTHON)


# -- array functions -------------------------------------------------------------------------------------------------


def call_function(trace: Trace, function: Any, args: Any, keywords: dict[str, Any], frame: FrameType | None) -> Any:
    """A NumPy function on arguments among which are traced values."""
    keywords = dict(keywords)
    name = name_of(function)
    if function in special:
        return special[function](trace, frame, *args, **keywords)
    found = surfaces.get(function)
    if not any(is_traced(v) for v in leaves_of((args, keywords))):
        return _on_real_arrays(trace, function, found, args, keywords, frame)
    if found is None:
        return decline(trace, function, args, keywords, refused(name, refusals.get(function, "")), frame)
    return perform(found, args, keywords, frame, function)


def with_place(error: HopgradError, frame: FrameType | None) -> HopgradError:
    """The same error with the user's line."""
    return type(error)(f"{error}\n  at {context.where(frame)}")


def name_of(function: Any) -> str:
    """The public name of a function of NumPy or SciPy, such as ``np.linalg.inv``."""
    if isinstance(function, np.ufunc | str):
        return ufuncs.name_of(function) if isinstance(function, np.ufunc) else function
    module = getattr(function, "__module__", None) or "numpy"
    if module.startswith("scipy."):
        module = ".".join(module.split(".")[:2])  # without the private ones in which SciPy keeps them
    return f"{module.replace('numpy', 'np', 1)}.{getattr(function, '__name__', function)}"


def perform(found: Surface, args: Any, keywords: dict[str, Any], frame: FrameType | None, function: Any) -> Any:
    """Run a surface on user arguments: ``out=``, what the results share with arguments, errors with their place."""
    trace = trace_of((args, keywords))
    if not any(is_traced(v) for v in leaves_of((args, keywords))):
        return _on_real_arrays(trace, function, found, args, keywords, frame)
    trace.check_open()
    args, keywords = tuple(args), dict(keywords)
    out = keywords.pop("out", None)
    casting = keywords.get("casting", "safe") if function is np.einsum else "same_kind"
    place = found.out
    if place is not None and len(args) > place:
        out = args[place]
        args = (*args[:place], None, *args[place + 1 :])
    if not has_traced((args, keywords)):
        return store(trace, out, on_real(trace, function, args, keywords), frame)
    first = len(trace.builder)
    try:
        # Of arrays with real data too: a result that is a view of one is to be known by its node.
        given = [
            Expr(trace.builder, current_node(a)) if found.aliasing and type(a) is Tracer else unwrap(a) for a in args
        ]
        answer = found.function(*given, **{k: unwrap(v) for k, v in keywords.items()})
        check_raises(trace, first, answer, frame)
        result = _wrap(trace, answer, frame, found.array)
    except (HopgradError, TypeError, AttributeError) as error:
        if any(error is refusal for refusal in trace.refusals):
            raise
        plain = with_integers(trace, (args, keywords), frame)
        if plain is not None:
            if has_traced(plain) or not callable(function):
                result = perform(found, plain[0], plain[1], frame, function)
            else:
                result = on_real(trace, function, plain[0], plain[1])
            return result if out is None else store(trace, out, result, frame)
        if not isinstance(error, HopgradError):
            if "unexpected keyword argument" not in str(error):
                raise
            error = NotDifferentiableError(f"{name_of(function)}: {error}")
        answer = None
        if not isinstance(error, (ShapeError, DtypeError)):
            answer = on_values(trace, function, args, keywords, frame)
        if answer is None:
            raise located(trace, error, frame) from None
        return answer[0] if out is None else store(trace, out, answer[0], frame)
    for node in range(first, len(trace.builder)):
        check_places(trace, node, frame)
    made = [v for v in (result if isinstance(result, (tuple, list)) else (result,)) if type(v) is Tracer]
    subjects = args or tuple(keywords.values())
    for k, one in enumerate(made):
        if one._kind != ARRAY:
            continue
        if found.aliasing == "doubt":
            arrays = [v for v in subjects if type(v) is Tracer]
            if len(arrays) == 1:  # of several operands NumPy makes a new array
                _doubt(one, arrays[0])
        elif found.aliasing and keywords.get("copy") is not True:
            _link(one, subjects[k] if found.aliasing == "each" else subjects[0], found.aliasing)
        # (Of stacks of stacks NumPy keeps the order.)
        if one._memory is None and one._aval.ndim > (3 if found.contiguous else 1):
            attach(one, Memory(one._id, layout=None))
    return result if out is None else store(trace, out, result, frame, casting)


def with_integers(trace: Trace, value: Any, frame: FrameType | None) -> Any:
    """Nested containers with the values of traced integers and booleans in their place; None if there are none."""
    if not any(is_traced(v) and v._aval.dtype.kind in "iub" for v in leaves_of(value)):
        return None

    def plain(value: Any) -> Any:
        if is_traced(value) and value._aval.dtype.kind in "iub":
            return shown(value) if known_value(value, "", frame) is not None else settled(value, frame)
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return type(value)([plain(v) for v in value]) if type(value) in (list, tuple) else value

    return plain(value)


def _on_real_arrays(
    trace: Trace, function: Any, found: Surface | None, args: Any, keywords: Any, frame: FrameType | None
) -> Any:
    """NumPy's own function on real data, with views of it that are known to be views."""
    if found is None or not found.aliasing:
        return on_real(trace, function, args, keywords)
    if found.aliasing == "doubt":
        result = on_real(trace, function, args, keywords)
    else:
        result = _real_view(trace, function, found, args, keywords)
    plain = [v for v in leaves_of(result) if type(v) is np.ndarray]
    subjects = [v for v in leaves_of((args, keywords)) if type(v) is Tracer]
    if not plain or not subjects:
        return result
    hidden = [t._memory for t in subjects if any(np.may_share_memory(real_data(t), v) for v in plain)]
    del result, plain
    shared = [owner for owner in hidden if owner is not None]
    if not shared or any(owner.shared for owner in shared):
        return on_real(trace, function, args, keywords)
    # Views such as a diagonal's are known as values of the graph.
    for owner in shared:
        if owner.data is not None:
            _into_graph(trace, owner, frame)
    return perform(found, args, keywords, frame, function)


def _real_view(trace: Trace, function: Any, found: Surface, args: Any, keywords: Any) -> Any:
    """A function that makes views, on real data: the same path in a builder of its own tells which part each one is."""
    result = on_real(trace, function, args, keywords)
    subjects = list(args or keywords.values())
    made = result if isinstance(result, (tuple, list)) else (result,)
    dressed = []
    for k, one in enumerate(made):
        subject = subjects[k] if found.aliasing == "each" else subjects[0]
        if type(one) is not np.ndarray or type(subject) is not Tracer or subject._memory is None:
            dressed.append(one)
            continue
        shared = subject._memory
        scratch = Builder()
        source = scratch.input(subject._aval, "x")
        given = {id(subject): source}
        answer = found.function(
            *[given.get(id(a), unwrap(a)) for a in args],
            **{n: given.get(id(a), unwrap(a)) for n, a in keywords.items()},
        )
        part = answer[k] if isinstance(answer, (tuple, list)) else answer
        path = memory.walk(scratch, part.id, source.id)
        if path is None or any(step.rest for step in path) or not _same_part(one, shared.data, subject._path + path):
            dressed.append(one)
            continue
        view = Tracer(trace, REAL, ARRAY)
        attach(view, shared, (*subject._path, *path))
        dressed.append(view)
    return type(result)(dressed) if isinstance(result, (tuple, list)) else dressed[0]


def _same_part(view: np.ndarray[Any, Any], data: Any, path: Path) -> bool:
    """Whether a path into real data leads to the same elements as a view that NumPy made."""
    found = memory.window(data, path)
    first, second = view.__array_interface__, found.__array_interface__
    steps = zip(view.shape, view.strides, found.strides, strict=False)
    return (first["data"], first["shape"]) == (second["data"], second["shape"]) and (
        not view.size or all(one == other for n, one, other in steps if n != 1)
    )


def store(trace: Trace, out: Any, result: Any, frame: FrameType | None, casting: Any = "same_kind") -> Any:
    """Honour ``out=``."""
    out = out[0] if isinstance(out, tuple) else out
    if out is None:
        return result
    if type(out) is not Tracer:
        refuse_plain(trace, frame)
    check_writable(out, frame)
    shape, dtype = out._aval.shape, out._aval.dtype
    if np.broadcast_shapes(np.shape(result), shape) != shape:
        raise ShapeError(f"a result of shape {np.shape(result)} does not fit into an array of shape {shape}"
                         f"\n  at {context.where(frame)}")  # fmt: skip
    given = result._aval.dtype if type(result) is Tracer else np.asarray(result).dtype
    if not np.can_cast(given, dtype, casting):
        raise DtypeError(f"{given} does not fit into an array of {dtype}\n  at {context.where(frame)}")
    write(out, call(lambda o, v: fitted(v, o, shape), (out, result), {}, frame), frame)
    return out


def refuse_plain(trace: Trace, frame: FrameType | None) -> NoReturn:
    """Refuse to write a traced value into a plain array."""
    trace.refuse(TraceError(
        "a traced value cannot be written into a plain NumPy array (out=, np.copyto, or += on it): the gradient would"
        f" be lost. Make the array with `import hopgrad.numpy as np`, or write a = a + b\n  at {context.where(frame)}"
    ))  # fmt: skip


def _order(tracer: Any, order: Any, frame: FrameType | None) -> str:
    """The order in which NumPy reads the elements, C or F: A and K go by the memory layout."""
    if order in ("C", "F", None) or type(tracer) is not Tracer:
        return order or "C"
    strides, shape = strides_of(tracer), tracer._aval.shape
    if strides is not None and order in ("A", "K"):
        if memory.is_contiguous(shape, strides):
            return "C"
        if memory.is_contiguous(shape, strides, "F"):
            return "F"
        if order == "A":
            return "C"
    if not is_traced(tracer):
        return str(order)  # NumPy makes a copy
    tracer._refuse(f"the memory layout (order={order!r})", "say order='C' or order='F'", frame)


def _reshape(tracer: Any, shape: Any, order: Any, copy: Any, frame: FrameType | None) -> Any:
    keywords = {"order": _order(tracer, order, frame), **({} if copy is None else {"copy": copy})}
    return perform(surfaces[np.reshape], (tracer, shape), keywords, frame, np.reshape)


def _squeeze(tracer: Any, axis: Any, frame: FrameType | None) -> Any:
    if type(tracer) is Tracer and tracer._kind == SCALAR:
        return tracer
    return perform(surfaces[np.squeeze], (tracer, axis), {}, frame, np.squeeze)


def _transpose(tracer: Any, axes: Any, frame: FrameType | None) -> Any:
    if type(tracer) is Tracer and tracer._kind == SCALAR:
        return tracer
    return perform(surfaces[np.transpose], (tracer, axes), {}, frame, np.transpose)


def _ravel(tracer: Any, order: Any, frame: FrameType | None) -> Any:
    return perform(surfaces[np.ravel], (tracer, _order(tracer, order, frame)), {}, frame, np.ravel)


# -- functions that need more than handles ---------------------------------------------------------------------------


def array(value: Any, dtype: Any = None, *, copy: Any = True, order: Any = "K", ndmin: int = 0, **_: Any) -> Any:
    """``np.array`` that takes traced values, alone or in nested lists. Without any it gives a plain array.

    An array of the right dtype is copied only if `copy` says so, as in NumPy.
    """
    if not has_traced(value):
        if type(value) is not Tracer:
            return np.array(bare(value), dtype, copy=copy, order=order, ndmin=ndmin)
        data = real_data(value)
        found = np.array(data, dtype, copy=copy, order=order)
        same: Tracer = value if found is data else real(value._trace, found)
        return same.reshape((1,) * (ndmin - found.ndim) + found.shape) if ndmin > found.ndim else same
    frame = sys._getframe(1)
    if type(value) is Tracer:
        shape = value._aval.shape
        made = None
        if value._kind == ARRAY and not copy and dtype in (None, value._aval.dtype):
            strides = strides_of(value)
            if order == "K" or (strides is not None and memory.is_contiguous(shape, strides, order)):
                made = value
        if made is None:
            made = call(lambda x: cast(x, dtype) if dtype is not None else x, (value,), {}, frame, array=True)
            _lay_out(made, value, order)
            if not copy and order != "K" and strides_of(value) is None:
                _doubt(made, value)
    else:
        if copy is False:
            raise ValueError("Unable to avoid copy while creating an array as requested.")
        made = call(lambda x: array_of(x, dtype), (value,), {}, frame, array=True)
    return made.reshape((1,) * (ndmin - made._aval.ndim) + made._aval.shape) if ndmin > made._aval.ndim else made


CONVERSIONS: dict[Any, dict[str, Any]] = {
    np.array: {},
    np.asarray: {"copy": None},
    np.asanyarray: {"copy": None},
    np.ascontiguousarray: {"copy": None, "order": "C", "ndmin": 1},
    np.asfortranarray: {"copy": None, "order": "F", "ndmin": 1},
}
"""NumPy's ways to make an array of something, and what they say to `array`."""


special: dict[Any, Callable[..., Any]] = {
    np.reshape: lambda trace, frame, a, /, shape=None, order="C", *, newshape=None, copy=None: _reshape(
        a, newshape if shape is None else shape, order, copy, frame
    ),
    np.ravel: lambda trace, frame, a, order="C": _ravel(a, order, frame),
    np.squeeze: lambda trace, frame, a, axis=None: _squeeze(a, axis, frame),
    np.transpose: lambda trace, frame, a, axes=None: _transpose(a, axes, frame),
    newer("astype"): lambda trace, frame, x, dtype, /, *, copy=True, device=None: x.astype(dtype, copy=copy),
    np.real: lambda trace, frame, val: val.real,
    np.imag: lambda trace, frame, val: val.imag,
    **{
        function: lambda trace, frame, *args, _given=given, **keywords: array(*args, **{**_given, **keywords})
        for function, given in CONVERSIONS.items()
    },
}
"""Functions that need to know more than the values of their arguments; they take the trace and the frame first."""
