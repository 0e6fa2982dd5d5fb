"""The structures of CPython and NumPy that entry points read, found and checked in this process.

Everything here is looked for in objects of known contents before it is relied on. Where something is not where it
should be, and in free-threaded or debug builds, `structures` finds nothing, and there are no native entry points.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

WORD = 8

_Pointer, _Object = ctypes.c_void_p, ctypes.py_object
new_capsule = ctypes.PYFUNCTYPE(_Object, _Pointer, _Pointer, _Pointer)(("PyCapsule_New", ctypes.pythonapi))
allocate = ctypes.PYFUNCTYPE(_Pointer, ctypes.c_size_t)(("PyMem_RawMalloc", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(_Pointer, _Object, _Pointer)(("PyCapsule_GetPointer", ctypes.pythonapi))
_new_type = ctypes.PYFUNCTYPE(_Object, _Pointer)(("PyType_FromSpec", ctypes.pythonapi))
_HAVE_VECTORCALL = 1 << 11
_FLAGS = 168  # of a type, in bytes
FUNCTION_FIELDS = ("__code__", "__closure__", "__defaults__", "__kwdefaults__")


def word(address: int) -> int:
    """The 64 bits at an address."""
    return ctypes.c_uint64.from_address(address).value


def _words(address: int, count: int) -> list[int]:
    return list((ctypes.c_uint64 * count).from_address(address))


def _int(address: int) -> int:
    return ctypes.c_int.from_address(address).value


def _offset(owner: Any, value: int, size: int) -> int:
    """At which byte of an object's first ones a word stands."""
    return WORD * _words(id(owner), size // WORD).index(value)


def _supported() -> bool:
    """Whether this interpreter's structures may be read: CPython, 64 bits, with its lock, not for debugging."""
    return (
        sys.implementation.name == "cpython"
        and ctypes.sizeof(_Pointer) == WORD
        and sys.byteorder == "little"
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and not hasattr(sys, "gettotalrefcount")
    )


def _base() -> type:
    """A type with one word of memory for the function that calls instances natively; null, it is not used."""

    class Member(ctypes.Structure):
        _fields_ = (
            ("name", ctypes.c_char_p),
            ("type", ctypes.c_int),
            ("offset", ctypes.c_ssize_t),
            ("flags", ctypes.c_int),
            ("doc", ctypes.c_char_p),
        )

    class TypeSlot(ctypes.Structure):
        _fields_ = (("slot", ctypes.c_int), ("value", _Pointer))

    class Spec(ctypes.Structure):
        _fields_ = (
            ("name", ctypes.c_char_p),
            ("size", ctypes.c_int),
            ("item_size", ctypes.c_int),
            ("flags", ctypes.c_uint),
            ("slots", _Pointer),
        )

    header = object.__basicsize__
    readonly, ssize, members_slot, call_slot, default, base_type = 1, 19, 72, 50, 1 << 18, 1 << 10
    members = (Member * 2)(Member(b"__vectorcalloffset__", ssize, header, readonly, None))
    call = ctypes.cast(ctypes.pythonapi.PyVectorcall_Call, _Pointer).value
    slots = (TypeSlot * 3)(TypeSlot(members_slot, ctypes.addressof(members)), TypeSlot(call_slot, call))
    flags = default | base_type | _HAVE_VECTORCALL
    name = b"hopgrad.lower.entry.Callable"
    spec = Spec(name, header + WORD, 0, flags, ctypes.addressof(slots))
    made = _new_type(ctypes.addressof(spec))
    made._memory = (name, spec, members, slots)  # CPython 3.11 keeps the name by its address
    return made


Callable: Any = _base() if _supported() else object
"""What a class of callables inherits from, for `use_vectorcall` and `set_vectorcall`; else ``object``."""


def use_vectorcall(cls: type) -> None:
    """Let calls use the native word of a class's instances, where it is not null; the base's flag is not inherited."""
    if issubclass(cls, Callable) and Callable is not object:
        flags = ctypes.c_ulong.from_address(id(cls) + _FLAGS)
        if flags.value == cls.__flags__:
            flags.value |= _HAVE_VECTORCALL


def set_vectorcall(instance: Any, address: int) -> None:
    """The native function that calls an instance."""
    ctypes.c_uint64.from_address(id(instance) + object.__basicsize__).value = address


@dataclass(frozen=True, eq=False)
class Structures:
    """Offsets for `entry_code`; offsets of attributes of functions and cells; functions of NumPy."""

    offsets: Mapping[str, int]
    fields: Mapping[str, int]
    new_array: int
    new_scalar: int
    handlers: Mapping[str, int]
    """Of NumPy's memory handlers: functions that set and get the one in force, and where the default one is."""


def structures(instance: Any, slots: Mapping[str, Any]) -> Structures | None:
    """What was found, or None if anything is not as expected; an instance's slots are found by their values."""
    if Callable is object or not type(instance).__flags__ & _HAVE_VECTORCALL:
        return None
    try:
        offsets = _objects() | _arrays()
        for name, value in slots.items():
            offsets[name] = _offset(instance, id(value), type(instance).__basicsize__)
        fields = _fields()
    except ValueError:
        return None
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]  # which its stubs do not know

    table = _words(_capsule_pointer(_multiarray_umath._ARRAY_API, None), 307)
    if table[2] != id(np.ndarray) or word(word(table[306]) + WORD) != id(type(_multiarray_umath._ARRAY_API)):
        return None
    handlers = {"set_handler": table[304], "get_handler": table[305], "default_handler": table[306]}
    return Structures(offsets, fields, table[94], table[60], handlers)


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("unknown structures")


def _objects() -> dict[str, int]:
    """Tuples, lists, dicts, numbers and capsules."""
    first, second = object(), object()
    pair, items, table = (first, second), [first, second, first], {"a": first, "b": second}
    capsule = new_capsule(WORD, None, None)
    _require([word(id(it) + 16) for it in (pair, items, table)] == [2, 3, 2])
    _require(all(word(id(it) + 8) == id(type(it)) for it in (pair, items, table, capsule, 1.5)))
    _require(_words(word(id(items) + 24), 3) == [id(first), id(second), id(first)])
    whole, real, single, short = 1.25, np.float64(1.25), np.float32(1.25), np.int16(-3)
    _require(ctypes.c_double.from_address(id(whole) + 16).value == 1.25)
    _require(ctypes.c_double.from_address(id(real) + 16).value == 1.25)
    _require(ctypes.c_float.from_address(id(single) + 16).value == 1.25)
    _require(ctypes.c_int16.from_address(id(short) + 16).value == -3)
    return {
        "TUPLE_ITEMS": _offset(pair, id(first), pair.__sizeof__()),
        "LIST_ITEMS": 24,
        "CAPSULE": _offset(capsule, WORD, 32),
    }


def _arrays() -> dict[str, int]:
    """Arrays and their dtypes."""
    array = np.zeros((3, 5), np.float32)[:, ::2]
    address, dtype = id(array), array.dtype
    swapped = dtype.newbyteorder(">")
    _require(word(address + 8) == id(np.ndarray) and _int(address + 24) == 2)
    shape, strides = _words(address + 32, 2)
    _require(_words(shape, 2) == [3, 3] and _words(strides, 2) == [20, 8])
    _require(_int(address + 64) & 0xFFF == array.flags.num & 0xFFF)
    for it, order in ((dtype, b"="), (swapped, b">")):
        _require(_int(id(it) + 28) == dtype.num and ctypes.c_char.from_address(id(it) + 26).value == order)
    data = array.__array_interface__["data"][0]
    return {
        "DATA": _offset(array, data, 64),
        "AXES": 24,
        "SHAPE": 32,
        "STRIDES": 40,
        "DTYPE": _offset(array, id(dtype), 64),
        "FLAGS": 64,
        "DTYPE_ORDER": 26,
        "DTYPE_NUMBER": 28,
    }


def _fields() -> dict[str, int]:
    """Attributes of functions and of cells."""
    mark = object()

    def given(x: Any = mark, *, y: Any = mark) -> Any:
        return mark

    (cell,) = given.__closure__ or ()
    size = type(given).__basicsize__
    fields = {name: _offset(given, id(getattr(given, name)), size) for name in FUNCTION_FIELDS}
    return fields | {"cell_contents": _offset(cell, id(mark), 24)}
