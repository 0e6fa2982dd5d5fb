"""What an entry point matches among its arguments and builds of its results, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal


class UnsupportedError(ValueError):
    """What an entry is asked for cannot be checked or built natively."""


MISSING: Final = object()
"""The value of what is not there: a dict's key, a cell's contents."""


@dataclass(frozen=True)
class Number:
    """Input or result `number`: a value without axes of exactly this type, whose slot holds it.

    Inputs: ``float``, ``complex`` and NumPy's scalar types; results also ``int`` (from an i64) and ``bool`` (an i8).
    """

    number: int
    type: type


@dataclass(frozen=True)
class Array:
    """Input or result `number`: exactly an ndarray, aligned and in native byte order, whose slot has its address.

    Strides (in bytes) are asked for in inputs, except along axes of one element. Results are new, in C order, and need
    none. NumPy aligns data to 16 bytes at best.
    """

    number: int
    dtype: Any
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    written: bool = False
    """Of an input: whether it has to be writeable."""


@dataclass(frozen=True, eq=False)
class Same:
    """What must be this object (or `MISSING`), or an equal one if it is an int, float, str or bytes; in results, it."""

    value: Any


@dataclass(frozen=True)
class Items:
    """A tuple or list of this length; or a named tuple. In results `type` may be anything to call with the items."""

    items: Sequence[Pattern]
    type: Callable[..., Any] = tuple


@dataclass(frozen=True)
class Keys:
    """A dict with exactly these keys, in any order. Keys are strings or ints."""

    items: Mapping[Any, Pattern]


@dataclass(frozen=True)
class Fields:
    """An object of exactly this class, with these attributes in its ``__dict__``; others do not matter."""

    items: Mapping[str, Pattern]
    type: type


@dataclass(frozen=True)
class Length:
    """A dict of so many items, whatever they are."""

    count: int


Pattern = Number | Array | Same | Items | Keys | Fields | Length


@dataclass(frozen=True, eq=False)
class Read:
    """What must hold outside of the arguments: of a dict's item, an attribute of a cell or a function, or a class.

    The name ``__class__`` asks for the class of any object.
    """

    owner: Any
    name: Any
    pattern: Pattern


Slot = tuple[Literal["input", "output", "fixed", "arena"], int] | tuple[Literal["output"], int, int]
"""What a slot of the program has: an input or a result by number, an address, or an offset in the arena.

Of a result there may be an offset, in bytes: what lives in its memory until it is written.
"""
