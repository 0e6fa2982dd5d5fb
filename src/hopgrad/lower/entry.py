"""CPython entry points: functions that run a native program with no Python code between call and result.

A `Function` is what users call. It has *entries*, each for one kind of arguments: how many, of which nesting, types,
dtypes, shapes and strides, and what must be unchanged outside of them. The first entry that fits runs its program. When
none does, when a guard of the program fails or memory runs out, the function's `__call__` gets the very same arguments.

All entries run through one native function (`entry_code`), which reads a descriptor that is written here, from
patterns (`entry_form`). Where an interpreter's structures are unknown (`entry_native`), there are no entries, and every
call goes to `__call__`.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import CellType, FunctionType, MethodType
from typing import Any

import numpy as np

from hopgrad.lower import entry_native, results
from hopgrad.lower.entry_code import SLOTS, Build, Check, Fetch, Header, call_source, release_source
from hopgrad.lower.entry_form import (
    MISSING,
    Array,
    Fields,
    Items,
    Keys,
    Length,
    Number,
    Pattern,
    Read,
    Same,
    Slot,
    UnsupportedError,
)
from hopgrad.lower.entry_native import WORD, Structures
from hopgrad.lower.machine import Loaded, load

__all__ = [
    "MISSING",
    "Array",
    "Entry",
    "Fields",
    "Function",
    "Items",
    "Keys",
    "Length",
    "Number",
    "Pattern",
    "Read",
    "Same",
    "Slot",
    "UnsupportedError",
]


class Function(entry_native.Callable):  # type: ignore[misc]  # a class made at run time
    """A callable that looks like a function made from another one, and runs its entries natively.

    Args:
        fallback: Called when no entry fits.
        wrapped: The function whose name, module, docstring and signature it shows.
        text: What it is, for its repr: ``"gradient of f"``.
    """

    __slots__ = ("__call__", "__dict__", "__weakref__", "_entries", "_text")

    __call__: Callable[..., Any]
    """The fallback, as a slot: so calling an instance calls it with no Python frame of its own between."""

    def __init__(self, fallback: Callable[..., Any], wrapped: Any, text: str) -> None:
        self.__call__ = fallback
        functools.update_wrapper(self, wrapped)
        self._text = text

    def __init_subclass__(cls) -> None:
        entry_native.use_vectorcall(cls)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Tried in this order. May be set at any time: calls that run go on with the entries they began with."""
        return getattr(self, "_entries", ())

    @entries.setter
    def entries(self, entries: Iterable[Entry]) -> None:
        made = tuple(entries)
        if not all(type(entry) is Entry for entry in made):
            raise TypeError("a function's entries are made by Entry")
        self._entries = made
        found = native()
        if made and found is not None:
            entry_native.set_vectorcall(self, found.call.address)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> str:
        # As functions: copied as themselves, pickled by name.
        return getattr(self, "__qualname__", self._text)

    def __repr__(self) -> str:
        return f"<{self._text}>"


entry_native.use_vectorcall(Function)


@dataclass(frozen=True)
class Native:
    """The entry function, the destructor of descriptors, and the structures that they are for."""

    call: Loaded
    release: Loaded
    structures: Structures


@functools.cache
def native() -> Native | None:
    """The native functions, compiled for the structures found in this process; None where there can be none."""
    probe = Function(str, str, "")
    marks: Any = (Entry,)
    probe._entries = marks
    found = entry_native.structures(probe, {"ENTRIES": marks, "FALLBACK": str})
    if found is None:
        return None
    call, release = load([call_source(found.offsets), release_source(found.offsets)])
    return Native(call, release, found)


# -- entries -----------------------------------------------------------------------------------------------------------


class Entry(tuple[Any, ...]):
    """How a `Function` calls a program for one kind of arguments: a capsule with the descriptor, and what it refers to.

    A tuple, since tuples are never cleared: while somebody holds the entry, nothing that native code looks at is gone.

    Args:
        program: Address of the program: pairs (step, params), ended by a null pointer.
        slots: What each slot of the program has.
        arguments: The positional arguments; there are none by keyword.
        results: What to return.
        reads: What must hold outside of the arguments; looked at first, in order.
        arena: Bytes for the program's buffers, which are aligned to 64.
        unlock: Whether to release the GIL while the program runs.
        keep: What the program needs to be alive.

    Raises:
        UnsupportedError: it cannot be done natively here.
    """

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __new__(
        cls,
        *,
        program: int,
        slots: Sequence[Slot],
        arguments: Sequence[Pattern],
        results: Pattern,
        reads: Sequence[Read] = (),
        arena: int = 0,
        unlock: bool = False,
        keep: Sequence[Any] = (),
    ) -> Entry:
        found = native()
        if found is None:
            raise UnsupportedError("this interpreter has no native entry points")
        writer = _Writer(found.structures, slots)
        for read in reads:
            writer.read(read)
        for k, argument in enumerate(arguments):
            writer.match(Fetch.ARGUMENT, k, 0, argument)
        writer.build(results)
        words = writer.words(program, len(arguments), arena, unlock)
        address = entry_native.allocate(WORD * len(words))
        if address is None:
            raise MemoryError
        ctypes.memmove(address, (ctypes.c_uint64 * len(words))(*words), WORD * len(words))
        return super().__new__(
            cls, (entry_native.new_capsule(address, None, found.release.address), *writer.kept.values(), *keep)
        )

    def __repr__(self) -> str:
        return f"<entry at {id(self):#x}>"


class _Writer:
    """A descriptor in the making: `kept` is all it has the address of."""

    def __init__(self, found: Structures, slots: Sequence[Slot]) -> None:
        self.found = found
        self.slots = list(slots)
        self.kept: dict[int, Any] = {}
        self.cells: dict[tuple[str, int], int] = {}
        """Offsets of numbers in a block."""
        self.filled: set[tuple[str, int]] = set()
        self.first_cell = _up(SLOTS + WORD * len(self.slots), 16)
        self.held = self.depth = self.deepest = 0
        self.sizes: list[int] = []
        """Bytes of the arrays that are made."""
        self.matching: list[int] = []
        self.making: list[int] = []
        self.building: list[int] = []

    def address(self, value: Any) -> int:
        """The address of an object, which is kept."""
        self.kept[id(value)] = value
        return id(value)

    def places(self, kind: str, number: int) -> list[tuple[int, int]]:
        """Where in a block the slots of an input or a result are, and the offset that each shows."""
        self._once(kind, number)
        return [
            (SLOTS + WORD * k, slot[2] if len(slot) == 3 else 0)
            for k, slot in enumerate(self.slots)
            if slot[:2] == (kind, number)
        ]

    def cell(self, kind: str, number: int) -> int:
        """Where in a block the number of an input or a result is."""
        self._once(kind, number)
        place = self.cells[kind, number] = self.first_cell + 16 * len(self.cells)
        return place

    def _once(self, kind: str, number: int) -> None:
        if (kind, number) in self.filled:
            raise ValueError(f"{kind} {number} is there twice")
        self.filled.add((kind, number))

    # -- matching

    def read(self, read: Read) -> None:
        owner, name, pattern = read.owner, read.name, read.pattern
        if type(owner) is dict:
            self.match(Fetch.READ, self.address(owner), self.key(name), pattern)
            return
        if name == "__class__":
            self.match(Fetch.FIELD, self.address(owner) + WORD, 0, Same(pattern.value))  # type: ignore[union-attr]
            return
        known: tuple[str, ...] = ()
        if type(owner) is FunctionType:
            known = entry_native.FUNCTION_FIELDS
        elif type(owner) is CellType:
            known = ("cell_contents",)
        if name not in known:
            raise UnsupportedError(f"{name} of {type(owner).__name__} cannot be read natively")
        if isinstance(pattern, Same) and pattern.value is None and type(owner) is FunctionType:
            pattern = Same(MISSING)  # a null pointer in the function, which Python shows as None
        self.match(Fetch.FIELD, self.address(owner) + self.found.fields[name], 0, pattern)

    def key(self, key: Any) -> int:
        if type(key) not in (str, int):  # looking others up may run Python code
            raise UnsupportedError(f"keys of type {type(key).__name__}")
        return self.address(key)

    def match(self, fetch: Fetch, a: int, b: int, pattern: Pattern) -> None:
        """Write the instructions that fetch an object and check it."""

        def write(check: Check, *words: int) -> None:
            self.matching.extend((fetch, 5 + len(words), a, b, check, *words))

        if isinstance(pattern, Same):
            value = pattern.value
            kind = type(value)
            if value is MISSING:
                write(Check.SAME, 0)
            elif kind in (int, str, bytes):
                write(Check.EQUAL, self.address(kind), self.address(value))
            elif kind in (float, np.float64):
                write(Check.BITS, self.address(kind), entry_native.word(self.address(value) + 16))
            else:
                write(Check.SAME, self.address(value))
        elif isinstance(pattern, Number):
            size = _size(pattern.type)
            if pattern.type in (int, bool):
                raise UnsupportedError("Python's ints as inputs")
            write(Check.NUMBER, self.address(pattern.type), self.cell("input", pattern.number), int(size > WORD))
        elif isinstance(pattern, Array):
            dtype = _dtype(pattern.dtype)
            strides = pattern.strides
            if strides is None or len(strides) != len(pattern.shape):
                raise ValueError("an input's strides are missing")
            places = [place for place, _ in self.places("input", pattern.number)]
            axes = [word for axis in zip(pattern.shape, strides, strict=True) for word in axis]
            flags = _ALIGNED | (_WRITEABLE if pattern.written else 0)
            form = (flags << 32 | dtype.num, len(pattern.shape), len(places), *places, *axes)
            write(Check.ARRAY, id(np.ndarray), self.address(dtype), *form)
            self.held += 1
        elif isinstance(pattern, Items):
            container: Any = pattern.type
            if container is not list and not (isinstance(container, type) and issubclass(container, tuple)):
                raise UnsupportedError(f"arguments of type {container}")
            write(Check.ITEMS, self.address(container), len(pattern.items))
            place, self.held = self.held, self.held + 1
            for k, item in enumerate(pattern.items):
                self.match(Fetch.LIST if container is list else Fetch.TUPLE, place, k, item)
        elif isinstance(pattern, Fields):
            write(Check.OBJECT, self.address(pattern.type))
            place, self.held = self.held, self.held + 1  # its dict
            for name, item in pattern.items.items():
                self.match(Fetch.KEY, place, self.key(name), item)
        elif isinstance(pattern, Length):
            write(Check.ITEMS, id(dict), pattern.count)
            self.held += 1
        else:
            assert isinstance(pattern, Keys)
            write(Check.ITEMS, id(dict), len(pattern.items))
            place, self.held = self.held, self.held + 1
            for key, item in pattern.items.items():
                self.match(Fetch.KEY, place, self.key(key), item)

    # -- building

    def build(self, pattern: Pattern) -> None:
        """Write the instructions that put a result on the stack: ``[number, length, operand, items used, ...]``."""

        def write(op: Build, operand: int, items: int, *words: int) -> None:
            self.building.extend((op, 4 + len(words), operand, items, *words))
            self.depth += 1 - items
            self.deepest = max(self.deepest, self.depth)

        if isinstance(pattern, Same):
            write(Build.CONSTANT, self.address(pattern.value), 0)
        elif isinstance(pattern, Number):
            _size(pattern.type)
            cell = self.cell("output", pattern.number)
            op = _BUILT.get(pattern.type)
            if op is not None:
                write(op, cell, 0)
            else:
                write(Build.SCALAR, cell, 0, self.address(_dtype(pattern.type)))
        elif isinstance(pattern, Array):
            places = self.places("output", pattern.number)
            if not places:
                raise ValueError(f"result {pattern.number} has no slot")
            shape = pattern.shape
            length = 4 + 2 * len(places) + len(shape)
            dtype = self.address(_dtype(pattern.dtype))
            self.making.extend(
                (dtype, length, len(shape), len(places), *[word for pair in places for word in pair], *shape)
            )
            self.sizes.append(math.prod(shape) * _dtype(pattern.dtype).itemsize)
            write(Build.ARRAY, 0, 0)
        elif isinstance(pattern, Items):
            for item in pattern.items:
                self.build(item)
            count = len(pattern.items)
            if pattern.type in (tuple, list):
                write(Build.TUPLE if pattern.type is tuple else Build.LIST, 0, count)
            else:
                write(Build.CALL, self.address(pattern.type), count)
        elif isinstance(pattern, Keys):
            for item in pattern.items.values():
                self.build(item)
            keys = [self.key(key) for key in pattern.items]
            write(Build.DICT, self.address(dict.fromkeys(pattern.items)), len(keys), *keys)
        else:
            raise UnsupportedError(f"a result given by {type(pattern).__name__}")

    # -- all of it

    def words(self, program: int, count: int, arena: int, unlock: bool) -> list[int]:
        """The descriptor."""
        held = self.first_cell + 16 * len(self.cells)
        arrays = held + WORD * self.held
        stack = arrays + WORD * len(self.sizes)
        buffers = _up(stack + WORD * self.deepest, 64)
        header = dict.fromkeys(Header, 0)
        matching = [*self.matching, *[0] * 8]  # ends with an instruction that is read as a whole
        building = [*self.building, *[0] * 8]
        header |= {
            Header.COUNT: count,
            Header.SIZE: buffers + arena + 64,
            Header.SLOTS: len(self.slots),
            Header.PROGRAM: program,
            Header.UNLOCKED: int(unlock),
            Header.HELD: held,
            Header.ARRAYS: arrays,
            Header.STACK: stack,
            Header.OUTPUTS: len(self.sizes),
            Header.MAKE: len(header) + len(matching),
            Header.BUILD: len(header) + len(matching) + len(self.making),
            Header.FILL: len(header) + len(matching) + len(self.making) + len(building),
            Header.NEW_ARRAY: results.new_array(self.found, self.sizes),
            Header.NEW_SCALAR: self.found.new_scalar,
            Header.ARRAY_TYPE: id(np.ndarray),
        }
        fill = [word for slot in self.slots for word in self._fill(slot, buffers)]
        words = [*header.values(), *matching, *self.making, *building, *fill]
        return [word % (1 << 64) for word in words]

    def _fill(self, slot: Slot, buffers: int) -> tuple[int, int]:
        """What a slot has from the beginning: whether it is relative to the block, and the value."""
        kind, value, *offset = slot
        if kind == "fixed":
            return 0, value
        if kind == "arena":
            return 1, buffers + value
        if (kind, value) not in self.filled:
            raise ValueError(f"{kind} {value} is nowhere among the {'arguments' if kind == 'input' else 'results'}")
        return (1, self.cells[kind, value] + sum(offset)) if (kind, value) in self.cells else (0, 0)


_ALIGNED, _WRITEABLE = 0x100, 0x400  # NumPy's flags of arrays
_BUILT = {float: Build.FLOAT, complex: Build.COMPLEX, int: Build.INT, bool: Build.BOOL}


def _up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _size(kind: type) -> int:
    """Bytes of a value of this type, at most 16."""
    size = np.dtype(kind).itemsize if kind in _BUILT or issubclass(kind, np.generic) else 0
    if not 0 < size <= 16 or np.dtype(kind).kind not in "biufc":
        raise UnsupportedError(f"numbers of type {kind.__name__}")
    return size


def _dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype as NumPy's own object, of numbers in native byte order."""
    made = np.dtype(dtype)
    if made.kind not in "biufc" or not made.isnative:
        raise UnsupportedError(f"arrays of dtype {made}")
    return np.dtype(made.type)
