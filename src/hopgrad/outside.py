"""What a traced function reads from outside itself: globals, closure cells, default arguments, modules.

NumPy does not let a traced value take part in ``np.zeros(3)[0] = x`` or ``math.sin(x)``, and a trace that was made
while ``scale`` was 2 is wrong when it is 3. Both are answered in one place, by running a *copy* of the user's function:
the same code over globals, builtins and cells that are ours. Each read of an outside value comes here, and is

* answered with a stand-in (``hopgrad.numpy`` for ``numpy``, a traced array for a captured one, a copy in turn for a
  helper function), and
* recorded with what it has to be when the trace is replayed. Where that cannot be told (an object with state), the
  trace counts for one call only, and says why.

Where a copy does not reach (methods, other libraries) the user's code meets plain NumPy, and what would lose a
gradient there is refused.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
import types
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from hopgrad.aval import aval_of
from hopgrad.errors import TraceError
from hopgrad.standins import builtins_stand_in, is_pure, stand_in
from hopgrad.trace import homes
from hopgrad.trace.context import Trace
from hopgrad.trace.tracer import ARRAY, Tracer, shown

MISSING: Any = object()
"""In place of a value that is not there."""

_SCALARS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range, slice)
_RAW = ("__name__", "__file__", "__package__", "__spec__", "__loader__", "__doc__")

Get = Callable[[], Any]
"""Reads again what was read."""


# -- what has to hold ------------------------------------------------------------------------------------------------


class Read:
    """A value that was read from outside, and what must hold of the value there at a replay."""

    __slots__ = ("get", "value")

    def __init__(self, get: Get, value: Any) -> None:
        self.get = get
        self.value = value

    def holds(self, arrays: dict[int, Any]) -> bool:
        """Whether the trace may be replayed; arrays that it takes as inputs are put into `arrays` by node."""
        return self.get() is self.value


class Equal(Read):
    """An immutable value: equal in type and every bit (0.0 is not -0.0, NaN is NaN)."""

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return now is self.value or same(now, self.value)


class Content(Read):
    """A container, or an array that is no input: equal all through to what it was."""

    __slots__ = ("content",)

    def __init__(self, get: Get, value: Any, content: Any) -> None:
        super().__init__(get, value)
        self.content = content

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return type(now) is type(self.value) and content_of(now) == self.content


class Input(Read):
    """An array that the trace takes as an input, `node`: another array of the same kind will do."""

    __slots__ = ("node", "token")

    def __init__(self, get: Get, value: Any, node: int) -> None:
        super().__init__(get, None)  # the trace must not keep the array alive
        self.node = node
        self.token = array_token(value)

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        if type(now) is not np.ndarray or array_token(now) != self.token:
            return False
        # The array may have been read in several places.
        return arrays.setdefault(self.node, now) is now


def array_token(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    """What of an array a trace depends on, besides the numbers in it."""
    flags = array.flags
    return (array.dtype, array.shape, None if flags.c_contiguous else array.strides, flags.writeable)


def same(first: Any, second: Any) -> bool:
    """Whether two immutable values are the same in type and bits."""
    if type(first) is not type(second):
        return False
    if isinstance(first, (float, np.floating)):
        return np.asarray(first).tobytes() == np.asarray(second).tobytes()
    if isinstance(first, (complex, np.generic)):
        return np.asarray(first).tobytes() == np.asarray(second).tobytes()
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


class _StateError(Exception):
    """The value has state that cannot be compared."""


def content_of(value: Any, limit: int = 2000) -> Any:
    """Everything in nested containers of plain values, to compare; None if there is anything else or too much."""
    parts: list[Any] = []
    stack = [value]
    while stack:
        item = stack.pop()
        cls = type(item)
        if cls in _SCALARS or isinstance(item, np.generic):
            parts.append((cls, np.asarray(item).tobytes() if isinstance(item, (float, complex, np.generic)) else item))
        elif cls in (list, tuple):
            parts.append((cls, len(item)))
            stack.extend(reversed(item))
        elif cls is dict:
            if not all(type(k) in _SCALARS for k in item):
                return None
            parts.append((cls, tuple((type(k), k) for k in item)))
            stack.extend(reversed(item.values()))
        elif cls in (set, frozenset) and all(type(k) in _SCALARS for k in item):
            parts.append((cls, frozenset((type(k), k) for k in item)))
        elif cls is np.ndarray and item.dtype.kind in "SUmM":
            parts.append((array_token(item), item.tobytes()))
        else:
            return None
        if len(parts) > limit:
            return None
    return tuple(parts)


# -- code ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _codes(code: CodeType) -> tuple[CodeType, ...]:
    """A code object and those of the functions and classes defined inside it."""
    found = [code]
    for inner in found:
        found.extend(c for c in inner.co_consts if isinstance(c, CodeType))
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def _effects(code: CodeType) -> tuple[frozenset[str], frozenset[str], bool]:
    """(globals and free variables that it assigns to, whether it needs its globals as an ordinary dict)."""
    import dis  # not needed until a function is traced

    stores, free, plain = set(), set(), False
    for inner in _codes(code):
        plain = plain or not {"eval", "exec", "globals", "vars"}.isdisjoint(inner.co_names)
        for step in dis.get_instructions(inner):
            if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                stores.add(step.argval)
            elif step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in inner.co_freevars:
                free.add(step.argval)
            elif step.opname == "LOAD_BUILD_CLASS":
                plain = True
    return frozenset(stores), frozenset(free & set(code.co_freevars)), plain


def _methods_mention(module: dict[str, Any], names: frozenset[str]) -> bool:
    """Whether a class of the module reads one of these globals, itself or through the module's functions."""
    functions = {k: v for k, v in module.items() if type(v) is FunctionType and v.__globals__ is module}
    mentioned = set(names)
    while True:
        more = {k for k, v in functions.items() if k not in mentioned and _mentions(v, mentioned)}
        if not more:
            break
        mentioned |= more
    for value in list(module.values()):
        if isinstance(value, type) and value.__module__ == module.get("__name__"):
            for member in vars(value).values():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if type(member) is FunctionType and _mentions(member, mentioned):
                    return True
    return False


def _mentions(f: FunctionType, names: set[str]) -> bool:
    return any(not names.isdisjoint(code.co_names) for code in _codes(f.__code__))


@functools.cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[name] for name in ("purelib", "platlib"))


def _is_library(module: str) -> bool:
    """Whether a module is not the user's own: part of Python, or installed."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return True
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None) or ""
    return top in ("hopgrad", "numpy", "scipy") or file.startswith(_libraries())


def _is_ours(f: FunctionType) -> bool:
    """Whether a function was made by hopgrad, such as the gradient of a user's: what that one reads is recorded."""
    return str(f.__globals__.get("__name__", "")).partition(".")[0] == "hopgrad"


class _Globals(dict[str, Any]):
    """A module's globals as copies see them. Python asks `__getitem__` because this is no exact dict."""

    __slots__ = ("_given", "_outside", "_real", "stored")

    def __init__(self, outside: Outside, real: dict[str, Any]) -> None:
        self.stored: set[str] = set()
        """Names to which copies assign. Python does not ask us there: it puts them into this dict itself."""
        super().__init__({name: real[name] for name in _RAW if name in real})
        dict.__setitem__(self, "__builtins__", outside.builtins)
        self._outside = outside
        self._real = real
        self._given: dict[str, tuple[Any, Any]] = {}

    def __getitem__(self, name: str) -> Any:
        real = self._real
        if self._outside.trace.closed:  # a function made inside was kept
            return real[name]
        if self.stored:
            self.settle()
        value = real.get(name, MISSING)
        known = self._given.get(name)
        if known is not None and known[0] is value:
            if value is MISSING:
                raise KeyError(name)
            return known[1]
        if known is not None or name in self.stored:
            self._outside.trace.only_once(f"the global {name} changes during the call", sys._getframe(1))
        get: Get = functools.partial(real.get, name, MISSING)
        if value is MISSING:  # a builtin, as long as no global hides it
            self._outside.reads.append(Read(get, MISSING))
            self._given[name] = (MISSING, MISSING)
            raise KeyError(name)
        handed = self._outside.hand(value, get, name, sys._getframe(1))
        self._given[name] = (value, handed)
        return handed

    def settle(self) -> None:
        """Pass on to the module what was assigned to its globals."""
        for name in self.stored:
            value = self.pop(name, MISSING)
            if value is not MISSING:
                self._real[name] = value

    def plain(self) -> None:
        """Have everything as an ordinary dict too, for class bodies and ``eval``, which do not ask."""
        for name, value in self._real.items():
            if name not in self:
                dict.__setitem__(self, name, value)


class _Module(types.ModuleType):
    """A module of the user's as copies see it: what is read from it counts as read from outside."""

    def __init__(self, outside: Outside, real: types.ModuleType) -> None:
        super().__init__(real.__name__, real.__doc__)
        object.__setattr__(self, "_hopgrad", (outside, real))

    def __getattribute__(self, name: str) -> Any:
        outside, real = object.__getattribute__(self, "_hopgrad")
        if name.startswith("__"):
            return getattr(real, name)
        value = getattr(real, name)
        get: Get = functools.partial(getattr, real, name, MISSING)
        return outside.hand(value, get, f"{real.__name__}.{name}", sys._getframe(1))

    def __setattr__(self, name: str, value: Any) -> None:
        outside, real = object.__getattribute__(self, "_hopgrad")
        outside.trace.only_once(f"assigns to {real.__name__}.{name}", sys._getframe(1))
        setattr(real, name, value)


# -- handing out -----------------------------------------------------------------------------------------------------


class Outside:
    """The outside world as the user's functions see it during one trace.

    Args:
        trace: The trace in progress.
        inputs: Whether captured arrays become inputs of the trace, so that it can be replayed with other contents; else
            they are real data, and constants of the graph.
    """

    def __init__(self, trace: Trace, inputs: bool) -> None:
        self.trace = trace
        self.inputs = inputs
        self.reads: list[Read] = []
        self.data: list[int] = []
        """Inputs of the trace that stand for arguments that are not differentiated, in order."""
        self.builtins = builtins_stand_in()
        self._globals: dict[int, _Globals] = {}
        self._handed: dict[int, tuple[Any, Any]] = {}
        """By identity of the original, which it keeps alive: the original and what is handed out for it."""
        self._nodes: dict[int, int] = {}
        self._cells: dict[int, tuple[types.CellType, Any, types.CellType, Any, str]] = {}
        """By identity: a captured cell, its content, the cell that stands for it, the content of that, and the name."""
        self._filled: set[int] = set()
        self._contents: list[tuple[Content, str, FrameType | None]] = []
        self._containers: list[Any] = []
        self._assigned: list[types.CellType] = []
        self._packages: set[str] = set()

    def hand(self, value: Any, get: Get, name: str, frame: FrameType | None) -> Any:
        """What user code gets that reads `value` from outside, under `name`; the read is recorded."""
        cls = type(value)
        if cls in _SCALARS or (isinstance(value, np.generic) and cls.__module__ == "numpy"):
            self.reads.append(Equal(get, value))
            return value
        if cls is Tracer:
            return value
        if cls is np.ndarray and value.dtype.kind in "fiub":
            return self._array(value, get, name)
        if cls is tuple:
            parts = [self.hand(v, _Part(get, k), f"{name}[{k}]", frame) for k, v in enumerate(value)]
            self.reads.append(_Length(get, value))
            return value if all(a is b for a, b in zip(parts, value, strict=True)) else tuple(parts)
        if cls is FunctionType:
            self.reads.append(Read(get, value))
            if _is_ours(value) or is_pure(value):
                return stand_in(value)
            if self._is_users(value):
                return self.function(value, frame)
            self.trace.only_once(f"calls {name}, which may depend on more than its arguments", frame)
            return value
        if cls is functools.partial:
            self.reads.append(Read(get, value))
            return self._partial(value, name, frame)
        other = stand_in(value)
        if other is not value or is_pure(value):
            self.reads.append(Read(get, value))
            return other
        if cls is types.ModuleType and not _is_library(value.__name__):
            self.reads.append(Read(get, value))
            return self._memo(value, lambda: _Module(self, value))
        if cls in (list, dict, set, frozenset) or cls is np.ndarray:
            content = content_of(value)
            if content is not None:
                read = Content(get, value, content)
                self.reads.append(read)
                self._contents.append((read, name, frame))
                if cls in (list, dict):
                    self._containers.append(value)
                return value
            if cls in (list, dict):
                self._containers.append(value)
        if cls is types.MethodType and type(value.__func__) is FunctionType and self._is_users(value.__func__):
            self.trace.only_once(f"reads {name}, a method of an object with state", frame)
            self._watch(value.__self__)
            return types.MethodType(self.function(value.__func__, frame), value.__self__)
        self._watch(value)
        what = "a class" if isinstance(value, type) else f"of type {cls.__name__}"
        self.trace.only_once(f"reads {name}, {what}, whose state cannot be checked", frame)
        return value

    def root(self, f: Any, frame: FrameType | None) -> Any:
        """The function to run in place of `f`, the one to differentiate."""
        if type(f) is FunctionType:
            if type(f.__globals__) is _Globals:
                return f
            if _is_ours(f):
                return f
            self._packages.add(str(f.__globals__.get("__name__", "")).partition(".")[0])
            return self.function(f, frame)
        if type(f) is types.MethodType or type(f) is functools.partial or isinstance(f, type):
            return self.hand(f, lambda: f, getattr(f, "__qualname__", "the function"), frame)
        other = stand_in(f)
        if other is not f or is_pure(f):
            return other
        called = type(f).__call__
        self.trace.only_once(f"is an object of type {type(f).__name__}, whose state cannot be checked", frame)
        self._watch(f)
        if type(called) is FunctionType and not _is_library(called.__module__ or ""):
            return types.MethodType(self.function(called, frame), f)
        return f

    def function(self, f: FunctionType, frame: FrameType | None) -> Any:
        """The copy of a user's function; what it is made of (defaults, closure) counts as read."""
        if type(f.__globals__) is _Globals:
            return f
        known = self._handed.get(id(f))
        if known is not None:
            return known[1]
        code = f.__code__
        stores, free, plain = _effects(code)
        self.reads.append(Read(functools.partial(getattr, f, "__code__"), code))
        if stores:
            self.trace.only_once(f"{f.__name__} assigns to the global {', '.join(sorted(stores))}", frame)
            if plain or _methods_mention(f.__globals__, stores):
                # These would not see what a copy assigns before the call is over.
                self._handed[id(f)] = (f, f)
                self._containers.append(f.__globals__)
                self._assigned.extend(f.__closure__ or ())
                return f
        seen = self._globals.get(id(f.__globals__))
        if seen is None:
            seen = self._globals[id(f.__globals__)] = _Globals(self, f.__globals__)
        if stores:
            seen.stored |= stores
            self._containers.append(f.__globals__)
        if plain:
            seen.plain()
            if not {"eval", "exec", "globals", "vars"}.isdisjoint(code.co_names):
                self.trace.only_once(f"{f.__name__} calls eval, exec, globals or vars", frame)
        own = [
            self._cell(cell, name, name in free, frame)
            for cell, name in zip(f.__closure__ or (), code.co_freevars, strict=True)
        ]
        made = FunctionType(code, seen, f.__name__, None, tuple(own))
        self._handed[id(f)] = (f, made)  # before the closure is filled, which may hold the function itself
        made.__dict__ = f.__dict__
        self._containers.append(f.__dict__)
        made.__qualname__ = f.__qualname__
        made.__module__ = f.__module__
        if f.__defaults__:
            made.__defaults__ = self.hand(f.__defaults__, functools.partial(getattr, f, "__defaults__"),
                                          f"the defaults of {f.__name__}", frame)  # fmt: skip
        if f.__kwdefaults__:
            made.__kwdefaults__ = {
                key: self.hand(v, _Part(functools.partial(getattr, f, "__kwdefaults__"), key), key, frame)
                for key, v in f.__kwdefaults__.items()
            }
        for new, cell, name in zip(own, f.__closure__ or (), code.co_freevars, strict=True):
            if new is not cell and id(cell) not in self._filled:
                self._filled.add(id(cell))
                new.cell_contents = self.hand(cell.cell_contents, functools.partial(_contents, cell), name, frame)
                self._cells[id(cell)] = (cell, cell.cell_contents, new, new.cell_contents, name)
        return made

    def _cell(self, cell: types.CellType, name: str, assigned: bool, frame: FrameType | None) -> types.CellType:
        """The cell that stands for a captured one in all copies; `finish` passes on what they assign to it."""
        if assigned:
            self.trace.only_once(f"assigns to the outer variable {name}", frame)
        known = self._cells.get(id(cell))
        if known is not None:
            return known[2]
        try:
            value = cell.cell_contents
        except ValueError:
            self.trace.only_once(f"{name} is not assigned yet", frame)
            self._assigned.append(cell)
            return cell
        new = types.CellType()
        self._cells[id(cell)] = (cell, value, new, MISSING, name)
        return new

    def _partial(self, value: functools.partial[Any], name: str, frame: FrameType | None) -> Any:
        inner = self.hand(value.func, lambda: value.func, f"{name}.func", frame)
        args = [
            self.hand(v, _Part(lambda: value.args, k), f"{name}.args[{k}]", frame) for k, v in enumerate(value.args)
        ]
        named = {
            k: self.hand(v, _Part(lambda: value.keywords, k), f"{name}.keywords[{k!r}]", frame)
            for k, v in value.keywords.items()
        }
        return functools.partial(inner, *args, **named)

    def _array(self, value: np.ndarray[Any, Any], get: Get, name: str) -> Any:
        if not self.inputs:
            return homes.captured(self.trace, value)

        def traced() -> Tracer:
            node = self._nodes[id(value)] = self.trace.builder.input(aval_of(value), name).id
            # A copy, since user code that runs unseen may write to the array.
            self.trace.known[node] = value.copy("K")
            made = Tracer(self.trace, node, ARRAY)
            homes.argument(made, value)
            return made

        made = self._memo(value, traced)
        self.reads.append(Input(get, value, self._nodes[id(value)]))
        return made

    def _memo(self, value: Any, make: Callable[[], Any]) -> Any:
        known = self._handed.get(id(value))
        if known is None:
            known = self._handed[id(value)] = (value, make())
        return known[1]

    def _watch(self, value: Any) -> None:
        """Look at the end whether traced values were kept in an object of the user's."""
        if isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, types.ModuleType):
            self._containers.append(value)

    def _is_users(self, f: FunctionType) -> bool:
        module = str(f.__globals__.get("__name__", ""))
        return module.partition(".")[0] in self._packages or not _is_library(module)

    def input_of(self, array: Any) -> int | None:
        """The input that stands for a captured array."""
        return self._nodes.get(id(array))

    def finish(self, failed: bool = False) -> None:
        """At the end of a trace: pass on what copies assigned to outer variables, as actual values.

        Args:
            failed: An exception ends the trace, and is to be told instead of what is found here.

        Raises:
            TraceError: a captured variable was assigned to by code that the copies do not share it with.
        """
        stale = ""
        for cell, value, new, handed, name in self._cells.values():
            if _contents(cell) is not value:
                stale = name
                continue
            now = _contents(new)
            if now is not handed:
                self.trace.only_once(f"assigns to the outer variable {name}", None)
                if now is MISSING:
                    del cell.cell_contents
                else:
                    cell.cell_contents = now
                    self._assigned.append(cell)
        for globals_ in self._globals.values():
            globals_.settle()
        for container in self._containers:
            self._put_values(container)
        for cell in self._assigned:
            content = _contents(cell)
            if content is not MISSING:
                cell.cell_contents = self._outer(content)
        if stale and not failed:
            raise TraceError(
                f"the captured variable {stale} was assigned to while the function was traced, by code that is not"
                " traced itself: return the new value instead"
            )
        for read, name, frame in self._contents:
            if content_of(read.value) != read.content:
                self.trace.only_once(f"{name} changes during the call", frame)

    def _put_values(self, container: Any) -> None:
        """Traced values that were kept outside (a history, ``self.last = x``) become what they stand for."""
        stack, seen = [container], {id(container)}
        while stack:
            item = stack.pop()
            if type(item) is list:
                pairs: list[tuple[Any, Any]] = list(enumerate(item))
            elif not isinstance(item, dict):
                item = vars(item)
                pairs = list(item.items())
            else:
                pairs = list(item.items())
            for key, value in pairs:
                if type(value) in (list, dict):
                    if id(value) not in seen:
                        seen.add(id(value))
                        stack.append(value)
                elif (outer := self._outer(value)) is not value:
                    self.trace.only_once("keeps values outside of the function", None)
                    item[key] = outer

    def _outer(self, value: Any) -> Any:
        """What a value of the traced function is to the world outside."""
        if type(value) is Tracer and value._trace is self.trace:
            shared = value._memory
            if shared is not None and type(shared.home) is np.ndarray and not value._path:
                return shared.home
            found = shown(value)
            return found.copy() if isinstance(found, np.ndarray) else found
        if type(value) in (list, dict):
            self._put_values(value)
        elif type(value) is tuple:
            parts = [self._outer(v) for v in value]
            return value if all(a is b for a, b in zip(parts, value, strict=True)) else tuple(parts)
        elif type(value) is FunctionType and type(value.__globals__) is _Globals:
            return next((own for own, made in self._handed.values() if made is value), value)
        return value


def _contents(cell: types.CellType) -> Any:
    """What a cell holds, if anything."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


class _Part:
    """Reads an item of something else that was read."""

    __slots__ = ("_get", "_key")

    def __init__(self, get: Get, key: Any) -> None:
        self._get = get
        self._key = key

    def __call__(self) -> Any:
        try:
            return self._get()[self._key]
        except (IndexError, KeyError, TypeError):
            return MISSING


class _Length(Read):
    """A tuple, whose parts are recorded one by one."""

    def holds(self, arrays: dict[int, Any]) -> bool:
        now = self.get()
        return type(now) is tuple and len(now) == len(self.value)


def outside_of(trace: Trace, inputs: bool = False) -> Outside:
    """The outside world of a trace, made on the first occasion."""
    if trace.outside is None:
        trace.outside = Outside(trace, inputs)
    found: Outside = trace.outside
    return found
