"""The outside world as the functions of one trace see it."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.aval import aval_of
from hopgrad.errors import TraceError
from hopgrad.outside.code import effects, is_library, is_ours, methods_mention
from hopgrad.outside.objects import Objects, has_attributes, is_copy, is_copyable, put_slots, users_class
from hopgrad.outside.reads import (
    LIMIT,
    MISSING,
    SCALARS,
    Content,
    Equal,
    Get,
    Input,
    Part,
    Parts,
    Read,
    Window,
    attributes_of,
    content_of,
    contents_of,
    window_of,
)
from hopgrad.standins import Cached, builtins_stand_in, is_as_users, is_pure, stand_in
from hopgrad.trace import context, homes, memory
from hopgrad.trace.context import Trace
from hopgrad.trace.memory import Memory
from hopgrad.trace.tracer import ARRAY, Tracer, memory_of, shown

_RAW = ("__name__", "__file__", "__package__", "__spec__", "__loader__", "__doc__")
_CACHED = type(functools.lru_cache(maxsize=0)(len))
_READS_ALL = frozenset({"eval", "exec", "globals", "vars"})

# -- namespaces ------------------------------------------------------------------------------------------------------


_BLOCK = 1 << 16


def _are_equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays of one shape have equal elements, NaN being equal to NaN; block by block, to save memory."""
    nan = a.dtype.kind in "fc"
    if a.size <= _BLOCK or not a.ndim:
        return bool(np.array_equal(a, b, equal_nan=nan))
    rows = max(1, _BLOCK * len(a) // a.size)
    return all(np.array_equal(a[k : k + rows], b[k : k + rows], equal_nan=nan) for k in range(0, len(a), rows))


class Globals(dict[str, Any]):
    """A module's globals as copies see them. Python asks `__getitem__` because this is no exact dict."""

    __slots__ = ("_fixed", "_given", "_outside", "_real", "stored")

    def __init__(self, outside: Outside, real: dict[str, Any]) -> None:
        self.stored: set[str] = set()
        """Names to which copies assign. Python does not ask us there: it puts them into this dict itself."""
        super().__init__({name: real[name] for name in _RAW if name in real})
        dict.__setitem__(self, "__builtins__", outside.builtins)
        self._outside = outside
        self._real = real
        self._given: dict[str, tuple[Any, Any]] = {}
        self._fixed = is_as_users(str(real.get("__name__")))
        """Whether this is a module of hopgrad's own, which never changes."""

    def __getitem__(self, name: str) -> Any:
        real = self._real
        outside = self._outside
        if outside.trace.closed:  # a function made inside was kept
            return real[name]
        if self.stored:
            self.settle()
        value = real.get(name, MISSING)
        known = self._given.get(name)
        if known is not None and known[0] is value:
            if value is MISSING:
                raise KeyError(name)
            return known[1]
        if known is not None:
            outside.trace.only_once(f"the global {name} changes during the call", sys._getframe(1))
        get: Get = functools.partial(real.get, name, MISSING)
        if value is MISSING:  # a builtin, as long as no global hides it
            if not self._fixed:
                outside.reads.append(Read(get, MISSING))
            self._given[name] = (MISSING, MISSING)
            raise KeyError(name)
        known_reads = len(outside.reads)
        handed = outside.hand(value, get, name, sys._getframe(1))
        if self._fixed:
            del outside.reads[known_reads:]
        self._given[name] = (value, handed)
        return handed

    def settle(self) -> None:
        """Pass on to the module what was assigned to its globals."""
        for name in self.stored:
            value = self.pop(name, MISSING)
            if value is not MISSING:
                self._outside.made_inside(value)
                self._real[name] = value

    def plain(self) -> None:
        """Have everything as an ordinary dict too, for class bodies and ``eval``, which do not ask."""
        for name, value in self._real.items():
            if name not in self:
                dict.__setitem__(self, name, value)


class Module(types.ModuleType):
    """A module of the user's as copies see it: what is read from it counts as read from outside."""

    def __init__(self, outside: Outside, real: types.ModuleType) -> None:
        super().__init__(real.__name__, real.__doc__)
        object.__setattr__(self, "_hopgrad", (outside, real))

    def __getattribute__(self, name: str) -> Any:
        outside, real = object.__getattribute__(self, "_hopgrad")
        value = getattr(real, name)
        if name[:2] == "__" or outside.trace.closed:
            return value
        get: Get = functools.partial(getattr, real, name, MISSING)
        known_reads = len(outside.reads)
        handed = outside.hand(value, get, f"{real.__name__}.{name}", sys._getframe(1))
        if is_as_users(real.__name__):
            del outside.reads[known_reads:]
        return handed

    def __setattr__(self, name: str, value: Any) -> None:
        outside, real = object.__getattribute__(self, "_hopgrad")
        outside.trace.only_once(f"assigns to {real.__name__}.{name}", sys._getframe(1))
        outside.made_inside(value)
        outside.watch(vars(real))
        setattr(real, name, value)


# -- handing out -----------------------------------------------------------------------------------------------------


class _Cell:
    """A captured cell and the one that stands for it in all copies."""

    __slots__ = ("cell", "handed", "name", "new", "value")

    def __init__(self, cell: types.CellType, value: Any, name: str) -> None:
        self.cell = cell
        self.value = value
        self.name = name
        self.new = types.CellType()
        self.handed: Any = MISSING


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
        self.arguments: dict[int, Tracer] = {}
        """Arguments that are not differentiated, by identity of the array."""
        self.objects = Objects(self)
        self.builtins = builtins_stand_in()
        self._import = self.builtins["__import__"]
        self.builtins["__import__"] = self._imported
        self._globals: dict[int, Globals] = {}
        self._handed: dict[int, tuple[Any, Any]] = {}
        """By identity of the original, which it keeps alive: the original and what is handed out for it."""
        self._nodes: dict[int, int] = {}
        """The input that stands for a captured array, by identity."""
        self.arrays: list[tuple[np.ndarray[Any, Any], int]] = []
        """Arrays of the caller and the inputs that stand for them."""
        self._cells: dict[int, _Cell] = {}
        self._assigned: list[types.CellType] = []
        """Original cells that copies assign to directly."""
        self._wholes: dict[int, tuple[Memory, np.ndarray[Any, Any]]] = {}
        """By identity of the memory, which it keeps alive: arrays made inside that are kept outside."""
        self._contents: list[tuple[Content, str, FrameType | None]] = []
        self._containers: list[tuple[Any, list[Any], Any, list[Any]]] = []
        """Captured lists and dicts of which there are copies: (own, its items, copy, its items)."""
        self._watched: list[Any] = []
        """Containers and objects in which traced values may be kept."""
        self._inside: dict[int, Any] = {}
        """Values that the traced code put where it reads them again, by identity."""
        self._packages: set[str] = set()
        self.modules: dict[str, Any] = {}
        """Captured modules by the names under which they were read, if modules are wanted."""
        self._reached: dict[int, tuple[str, str]] = {}
        """By identity of their parts, modules and arrays: how these are reached, and called for short."""

    # -- values ------------------------------------------------------------------------------------------------------

    def hand(self, value: Any, get: Get, name: str, frame: FrameType | None) -> Any:
        """What user code gets that reads `value` from outside, under `name`; the read is recorded."""
        cls = type(value)
        if cls in SCALARS or (isinstance(value, np.generic) and cls.__module__ == "numpy"):
            self.reads.append(Equal(get, value))
            return value
        if cls is Tracer or id(value) in self._inside:
            return value
        if cls is np.ndarray and value.dtype.kind in "fiubc":
            return self._array(value, get, name)
        if self.trace.builder.sites.modules is not None:
            self._name_module(value, name)
        if cls is FunctionType:
            self.reads.append(Read(get, value))
            if type(value.__globals__) is Globals:
                return value
            if is_ours(value) or is_pure(value):
                return stand_in(value)
            if self._is_users(value):
                return self.function(value, frame)
            if not is_pure(sys.modules.get(str(value.__globals__.get("__name__")))):
                self.trace.only_once(f"calls {name}, which may depend on more than its arguments", frame)
            # What a library made of a user's function, such as a context manager, calls that one.
            return self.function(value, frame) if value.__closure__ else value
        if cls in (tuple, list, dict, set, frozenset) or (isinstance(value, tuple) and hasattr(value, "_make")):
            return self._container(value, get, name, frame)
        if cls is functools.partial:
            self.reads.append(Read(get, value))
            return self._memo(value, lambda: self._partial(value, name, frame))
        if cls is types.SimpleNamespace:
            self.reads.append(Read(get, value))
            return self._memo(value, lambda: self._namespace(value, name, frame))
        if cls is _CACHED:
            self.reads.append(Read(get, value))
            return self._memo(value, lambda: self._cached(value, name, frame))
        if cls is types.ModuleType and not is_library(value.__name__):
            self.reads.append(Read(get, value))
            return self._memo(value, lambda: Module(self, value))
        kind: Any = value if isinstance(value, type) else cls
        if is_copy(kind):
            return value
        if is_copyable(kind):
            self.reads.append(Read(get, value))
            if kind is value:
                return self.objects.copy(value, frame)
            view = self.objects.view(value, frame)
            if id(value) in self._reached and callable(value):
                self.trace.builder.sites.name_module(view, cls, self._reached[id(value)][0])
            return view
        if cls is types.MethodType and type(value.__func__) is FunctionType and self._is_users(value.__func__):
            self.reads.append(Read(get, value))
            owner = self.hand(value.__self__, lambda: value.__self__, f"{name}.__self__", frame)
            method = types.MethodType(self.function(value.__func__, frame), owner)
            tree.stand_for(method, value)
            return method
        other = stand_in(value)
        if other is not value or is_pure(value) or is_ours(value):
            self.reads.append(Read(get, value))
            return other
        if cls is np.ndarray and (content := content_of(value)) is not None:
            self._contents.append((Content(get, value, content), name, frame))
            self.reads.append(self._contents[-1][0])
            return value
        if has_attributes(value):
            self.watch(value)
        what = "a class" if isinstance(value, type) else f"of type {cls.__name__}"
        self.trace.only_once(f"reads {name}, {what}, whose state cannot be checked", frame)
        return value

    def _cached(self, value: Any, name: str, frame: FrameType | None) -> Any:
        """A function with ``functools.lru_cache``: its own cache serves plain arguments, another one the rest."""
        traced = self.hand(value.__wrapped__, lambda: value.__wrapped__, name, frame)

        @functools.wraps(value)
        def plain(*args: Any, **keywords: Any) -> Any:
            if not all(type(v) in SCALARS for v in (*args, *keywords.values())):
                return NotImplemented

            def get() -> Any:
                with context.within(None):
                    return value(*args, **keywords)

            return self.hand(get(), get, f"{name}()", sys._getframe(2))

        return Cached(traced, **value.cache_parameters(), plain=plain)

    def root(self, f: Any, frame: FrameType | None) -> Any:
        """The function to run in place of `f`, the one to differentiate."""
        if is_ours(f):
            return f
        if type(f) is FunctionType:
            if (other := stand_in(f)) is not f:
                return other
            self._packages.add(str(f.__globals__.get("__name__", "")).partition(".")[0])
            return self.function(f, frame)
        return self.hand(f, lambda: f, getattr(f, "__qualname__", type(f).__name__), frame)

    def adopt(self, value: Any, frame: FrameType | None) -> None:
        """Give objects in a nested value that was rebuilt for the function the copies of their classes.

        Functions that such an object holds, which are part of the structure, become copies, too.
        """
        stack = [value]
        while stack:
            item = stack.pop()
            cls: Any = type(item)
            if cls in (list, tuple):
                stack.extend(item)
            elif isinstance(item, dict):
                stack.extend(item.values())
            elif hasattr(cls, "__dataclass_fields__") and is_copyable(cls):
                for name, held in list(vars(item).items()):
                    handed = self._functions(held, f"{cls.__name__}.{name}", frame)
                    if handed is not held:
                        object.__setattr__(item, name, handed)
                stack.extend(vars(item).values())
                object.__setattr__(item, "__class__", self.objects.copy(cls, frame))

    def _functions(self, value: Any, name: str, frame: FrameType | None) -> Any:
        """A function that an argument holds as it is handed out; of a tuple of them, each."""
        if type(value) is tuple:
            handed = tuple([self._functions(v, f"{name}[{k}]", frame) for k, v in enumerate(value)])
            return value if all(a is b for a, b in zip(handed, value, strict=True)) else handed
        if type(value) in (FunctionType, types.MethodType, functools.partial):
            return self._given(value, name, frame)
        return value

    def _given(self, value: Any, name: str, frame: FrameType | None) -> Any:
        """What is handed out for a value that is given; that it is this one need not be checked again."""

        def get() -> Any:
            return value

        count = len(self.reads)
        handed = self.hand(value, get, name, frame)
        own = is_as_users(str(getattr(value, "__module__", "")))
        self.reads[count:] = [] if own else [read for read in self.reads[count:] if read.get is not get]
        return handed

    def made_inside(self, value: Any) -> None:
        """Note a value that traced code keeps outside: when it is read again, it is the same."""
        if type(value) not in SCALARS:
            self._inside[id(value)] = value

    def watch(self, value: Any) -> None:
        """Look at the end whether traced values were kept in a container or an object of the user's."""
        self._watched.append(value)

    def _memo(self, value: Any, make: Callable[[], Any]) -> Any:
        known = self._handed.get(id(value))
        if known is None:
            known = self._handed[id(value)] = (value, make())
        return known[1]

    def _name_module(self, value: Any, name: str) -> None:
        """Note how a captured module is reached, and what it is made of; nothing else has such parts."""
        cls: Any = type(value)
        if id(value) in self._reached or not is_copyable(cls) or not callable(value) or tree.is_leaf(value):
            return
        name = name.removesuffix(".__self__")
        self.modules.setdefault(name, value)
        leaves, structure = tree.flatten(value)
        for path, part in [*tree.containers(value), *zip(tree.paths(structure), leaves, strict=True)]:
            if callable(part) or (type(part) is np.ndarray and part.dtype.kind in "fc"):
                self._reached.setdefault(id(part), (tree.format_path(path, name), tree.leaf_name(name, path)))

    def _array(self, value: np.ndarray[Any, Any], get: Get, name: str) -> Any:
        is_parameter = id(value) in self._reached
        place = None if is_parameter else window_of(value)
        if place is not None:
            # Another view of the same array may be captured, too, and what is written to one is seen in both.
            owner, key = place
            whole = self._array(owner, functools.partial(_owner, get), name)
            self.reads.append(Window(get, value))
            return self._memo(value, lambda: whole[key])
        if not self.inputs and not is_parameter:
            return homes.captured(self.trace, value)

        def traced() -> Tracer:
            title = self._reached[id(value)][1] if is_parameter else name
            node = self._nodes[id(value)] = self.trace.builder.input(aval_of(value), title).id
            self.trace.give(node, value)
            if is_parameter and self.trace.wrt is not None:
                self.trace.wrt.add(node)
            made = Tracer(self.trace, node, ARRAY)
            homes.argument(made, value)
            self.arrays.append((value, node))
            return made

        made = self._memo(value, traced)
        self.reads.append(Input(get, value, self._nodes[id(value)]))
        return made

    def parameters(self) -> dict[int, str]:
        """The inputs that stand for parameters of captured modules, with how these are reached."""
        return {node: self._reached[key][0] for key, node in self._nodes.items() if key in self._reached}

    def input_of(self, array: Any) -> int | None:
        """The input that stands for a captured array."""
        return self._nodes.get(id(array))

    def _container(self, value: Any, get: Get, name: str, frame: FrameType | None) -> Any:
        """A tuple, list, dict or set: itself if it holds plain values only, else with its items as handed out."""
        known = self._handed.get(id(value))
        content = content_of(value) if known is None else None
        if content is not None:
            read = Content(get, value, content)
            self.reads.append(read)
            if type(value) is not frozenset:  # a tuple may hold a list
                self._contents.append((read, name, frame))
                self.watch(value)
            return value
        if known is not None:
            self.reads.append(Parts(get, value))
            return known[1]
        if len(value) > LIMIT:
            self.watch(value)
            self.trace.only_once(f"reads {name}, whose state cannot be checked", frame)
            return value
        self.reads.append(Parts(get, value))
        if isinstance(value, dict):
            made: Any = {}
            for k, v in value.items():
                made[self._key(k, get, frame)] = self.hand(v, Part(get, k), f"{name}[{k!r}]", frame)
            old, new = list(value.values()), list(made.values())
        elif isinstance(value, (set, frozenset)):
            old = list(value)
            new = [self._key(v, get, frame) for v in old]
            made = type(value)(new)
        else:
            old = list(value)
            new = [self.hand(v, Part(get, k), f"{name}[{k}]", frame) for k, v in enumerate(old)]
            made = list(new) if type(value) is list else tuple(new)
        if isinstance(value, frozenset):
            pass
        elif isinstance(value, tuple):
            same = all(a is b for a, b in zip(old, new, strict=True))
            made = value if same else made if type(value) is tuple else type(value)(*made)
        else:
            self._containers.append((value, old, made, new))
        self._handed[id(value)] = (value, made)
        if made is not value:
            self._inside[id(made)] = made
        return made

    def _key(self, key: Any, get: Get, frame: FrameType | None) -> Any:
        """A key of a dict: functions, classes and objects are looked up by what is handed out for them."""
        return key if type(key) in SCALARS else self.hand(key, lambda: key, "a key", frame)

    def _namespace(self, value: types.SimpleNamespace, name: str, frame: FrameType | None) -> types.SimpleNamespace:
        made = types.SimpleNamespace()
        self._handed[id(value)] = (value, made)
        attributes = vars(value)
        seen = self._container(attributes, functools.partial(vars, value), f"vars({name})", frame)
        vars(made).update(seen)
        self._containers.append((attributes, list(attributes.values()), vars(made), list(seen.values())))
        return made

    def _partial(self, value: functools.partial[Any], name: str, frame: FrameType | None) -> Any:
        inner = self.hand(value.func, lambda: value.func, f"{name}.func", frame)
        args = self.hand(value.args, lambda: value.args, f"{name}.args", frame)
        made = functools.partial(inner, *args, **self.hand(value.keywords, lambda: value.keywords, name, frame))
        tree.stand_for(made, value)
        return made

    def _imported(self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """`__import__` inside of copies."""
        found = self._import(name, globals, locals, fromlist, level)
        if type(found) is types.ModuleType and not self.trace.closed:
            get: Get = functools.partial(sys.modules.get, found.__name__, MISSING)
            return self.hand(found, get, found.__name__, sys._getframe(1))
        return found

    # -- functions ---------------------------------------------------------------------------------------------------

    def function(self, f: FunctionType, frame: FrameType | None) -> Any:
        """The copy of a user's function; what it is made of (defaults, closure) counts as read."""
        if type(f.__globals__) is Globals:
            return f
        known = self._handed.get(id(f))
        if known is not None:
            return known[1]
        code = f.__code__
        stores, free, plain = effects(code)
        self.reads.append(Read(functools.partial(getattr, f, "__code__"), code))
        attributes = attributes_of(f)
        content = content_of(attributes)
        if content is None:
            self.trace.only_once(f"{f.__name__} has attributes", frame)
        else:
            read = Content(functools.partial(attributes_of, f), attributes, content)
            self.reads.append(read)
            self._contents.append((read, f"an attribute of {f.__name__}", frame))
        self.watch(f)
        if stores:
            self.trace.only_once(f"{f.__name__} assigns to the global {', '.join(sorted(stores))}", frame)
            if plain or methods_mention(f.__globals__, stores):
                # These would not see what a copy assigns before the call is over.
                self._handed[id(f)] = (f, f)
                self.watch(f.__globals__)
                self._assigned.extend(f.__closure__ or ())
                return f
        seen: dict[str, Any] = f.__globals__
        if self._is_users(f):
            seen = self._globals_of(f, stores, plain)
            if plain and not _READS_ALL.isdisjoint(code.co_names):
                self.trace.only_once(f"{f.__name__} calls eval, exec, globals or vars", frame)
        cells = list(zip(f.__closure__ or (), code.co_freevars, strict=True))
        own = [self._cell(cell, name, name in free, frame) for cell, name in cells]
        made = FunctionType(code, seen, f.__name__, None, tuple(own))
        self._handed[id(f)] = (f, made)  # before the closure is filled, which may hold the function itself
        tree.stand_for(made, f)
        made.__dict__ = f.__dict__
        made.__qualname__ = f.__qualname__
        made.__module__ = f.__module__
        if f.__defaults__:
            get: Get = functools.partial(getattr, f, "__defaults__")
            made.__defaults__ = self.hand(f.__defaults__, get, f"the defaults of {f.__name__}", frame)
        if f.__kwdefaults__:
            get = functools.partial(getattr, f, "__kwdefaults__")
            made.__kwdefaults__ = dict(self.hand(f.__kwdefaults__, get, f"the defaults of {f.__name__}", frame))
        for cell, name in cells:
            entry = self._cells.get(id(cell))
            if entry is not None and entry.handed is MISSING:
                entry.handed = ...  # it is being filled
                entry.handed = self.hand(entry.value, functools.partial(contents_of, cell), name, frame)
                entry.new.cell_contents = entry.handed
        return made

    def _globals_of(self, f: FunctionType, stores: frozenset[str], plain: bool) -> Globals:
        """The globals of a function's copy."""
        real = f.__globals__
        seen = self._globals.get(id(real))
        if seen is None:
            seen = self._globals[id(real)] = Globals(self, real)
        if stores:
            seen.stored |= stores
            self.watch(real)
        if plain:
            seen.plain()
        return seen

    def _cell(self, cell: types.CellType, name: str, assigned: bool, frame: FrameType | None) -> types.CellType:
        """The cell that stands for a captured one in all copies; `finish` passes on what they assign to it."""
        if name == "__class__":  # of super(), which looks for what comes after the class itself
            return cell
        if assigned:
            self.trace.only_once(f"assigns to the outer variable {name}", frame)
        known = self._cells.get(id(cell))
        if known is not None:
            return known.new
        value = contents_of(cell)
        if value is MISSING:
            self.trace.only_once(f"{name} is not assigned yet", frame)
            self._assigned.append(cell)
            return cell
        entry = self._cells[id(cell)] = _Cell(cell, value, name)
        return entry.new

    def _is_users(self, f: FunctionType) -> bool:
        module = str(f.__globals__.get("__name__", ""))
        return module.partition(".")[0] in self._packages or not is_library(module)

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self, error: BaseException | None = None) -> None:
        """At the end of a trace: pass on what copies did to variables, containers and objects, as actual values.

        Args:
            error: An exception that ends the trace, and is to be told instead of what is found here.

        Raises:
            TraceError: something of which there is a copy was changed by code that is not traced itself.
        """
        stale = ""
        for entry in self._cells.values():
            if contents_of(entry.cell) is not entry.value:
                stale = f"the captured variable {entry.name}"
                continue
            now = contents_of(entry.new)
            if now is not entry.handed and entry.handed is not MISSING:
                self.trace.only_once(f"assigns to the outer variable {entry.name}", None)
                if now is MISSING:
                    del entry.cell.cell_contents
                else:
                    entry.cell.cell_contents = now
                    self._assigned.append(entry.cell)
        for globals_ in self._globals.values():
            globals_.settle()
        for own, old, made, new in self._containers:
            stale = self._return_items(own, old, made, new) or stale
        for cell in self._assigned:
            content = contents_of(cell)
            if content is not MISSING:
                cell.cell_contents = self.outer(content)
        for value in [*self._watched, *self.objects.views()]:
            self._put_values(value)
            put_slots(value, self.outer)
        for cls, name in self.objects.attributes:
            if name in vars(cls):
                setattr(cls, name, self.outer(vars(cls)[name]))
        for read, name, frame in self._contents:
            if not read.holds({}):
                self.trace.only_once(f"{name} changes during the call", frame)
        self._contents.clear()  # frames keep what their variables hold: arguments and results
        copied = [(array, self.trace.known[node]) for array, node in self.arrays if node not in self.trace.lent]
        if self.trace.is_stale or not all(_are_equal(before, array) for array, before in copied):
            stale = "an array of the caller"
        if error is not None:
            chain = [error]  # with those that it was raised from, or while they were handled
            for one in chain:
                one.args = self.outer(one.args)
                self._put_values(one)
                chain += [e for e in (one.__cause__, one.__context__) if e is not None and e not in chain]
        elif stale:
            raise TraceError(
                f"{stale} was changed while the function was traced, by code that is not traced itself: return the new"
                " value instead"
            )

    def _return_items(self, own: Any, old: list[Any], made: Any, new: list[Any]) -> str:
        """Do to a captured list or dict what was done to its copy."""
        if isinstance(own, set) and len(made) == len(new) and all(v in made for v in new):
            return ""
        now = list(made.values()) if isinstance(made, dict) else list(made)
        keys = isinstance(made, dict) and len(made) != len(own)  # a key that is exchanged has another value
        if not keys and len(now) == len(new) and all(a is b for a, b in zip(now, new, strict=True)):
            return ""
        was = list(own.values()) if isinstance(own, dict) else list(own)
        if len(was) != len(old) or any(a is not b for a, b in zip(was, old, strict=True)):
            return f"a captured {type(own).__name__}"
        self.trace.only_once(f"changes a captured {type(own).__name__}", None)
        originals = {id(b): a for a, b in zip(old, new, strict=True)}
        items = [originals[id(v)] if id(v) in originals else self.outer(v) for v in now]
        if isinstance(own, dict):
            names = [self.outer(k) for k in made]
            own.clear()
            own.update(zip(names, items, strict=True))
        elif isinstance(own, set):
            own.clear()
            own.update(items)
        else:
            own[:] = items
        return ""

    def _put_values(self, container: Any) -> None:
        """Traced values that were kept outside (a history, ``self.last = x``) become what they stand for."""
        stack, seen = [container], {id(container)}
        while stack:
            item = stack.pop()
            if type(item) is tuple:
                stack.extend(v for v in item if type(v) in (list, dict, tuple))
                continue
            if not isinstance(item, (list, dict, deque)):
                if not has_attributes(item):
                    continue
                item = item.__dict__
            for key, value in list(item.items() if isinstance(item, dict) else enumerate(item)):
                if isinstance(value, (list, dict, deque)):
                    if id(value) not in seen:
                        seen.add(id(value))
                        stack.append(value)
                elif (outer := self.outer(value)) is not value:
                    self.trace.only_once("keeps values outside of the function", None)
                    item[key] = outer

    def _whole(self, shared: Memory) -> np.ndarray[Any, Any]:
        """The array outside that a memory stands for. One that was made inside is made there once for all its views."""
        home = shared.home
        if type(home) is Tracer:
            home = self.outer(home)
        if type(home) is np.ndarray:
            return home
        if id(shared) not in self._wholes:
            data = shared.data if shared.data is not None else self.trace.concrete(shared.node)
            self._wholes[id(shared)] = (shared, np.array(data))
        return self._wholes[id(shared)][1]

    def original(self, copy: Any) -> Any:
        """What a copy was handed out for; anything else itself."""
        return next((own for own, made in self._handed.values() if made is copy), copy)

    def outer(self, value: Any) -> Any:
        """What a value of the traced function is to the world outside."""
        cls = type(value)
        if cls in SCALARS:
            return value
        if cls is Tracer:
            if value._trace is not self.trace:
                return value
            found = shown(value)
            if not isinstance(found, np.ndarray):
                return found
            shared = memory_of(value)
            whole = self._whole(shared)
            return memory.window(whole, value._path) if value._path else whole
        if cls in (list, dict):
            self._put_values(value)
        elif cls is tuple or (isinstance(value, tuple) and hasattr(value, "_make")):
            parts = [self.outer(v) for v in value]
            same = all(a is b for a, b in zip(parts, value, strict=True))
            return value if same else tuple(parts) if cls is tuple else value._make(parts)
        elif cls is FunctionType:
            if type(value.__globals__) is Globals:
                own = self.original(value)
                if own is not value:
                    return own
                for cell in value.__closure__ or ():  # made inside
                    content = contents_of(cell)
                    if type(content) is Tracer:
                        cell.cell_contents = self.outer(content)
        elif isinstance(value, type):
            return users_class(value)
        elif is_copy(cls):
            real = self.objects.real(value)
            if real is value:  # made inside
                object.__setattr__(value, "__class__", users_class(cls))
                self._put_values(value)
                put_slots(value, self.outer)
            return real
        return value


def _owner(get: Get) -> Any:
    """The array of which a captured one is a view."""
    return getattr(get(), "base", MISSING)


def outside_of(trace: Trace, inputs: bool = False) -> Outside:
    """The outside world of a trace, made on the first occasion."""
    if trace.outside is None:
        trace.outside = Outside(trace, inputs)
    found: Outside = trace.outside
    return found
