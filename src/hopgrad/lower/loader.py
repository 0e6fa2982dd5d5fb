"""Machine code into memory: functions side by side in blocks of our own, and the memory of those nobody uses again.

LLVM's linker gives each object file pages of its own and keeps its tables, some 60 kB for a kernel of 400 bytes. What
kernels want of a linker is little: in static code of the large model, every reference (to a constant, to a function of
the C library) is an address of 64 bits. So `place` reads object files in the form ELF and writes these addresses. Other
forms, processors and references it leaves alone: LLVM links those.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

BLOCK = 1 << 20
"""Bytes of a block; it takes memory only as far as it is used."""

_ALIGNMENT = 64
_ELF64_LITTLE, _X86_64 = b"\x7fELF\x02\x01", 62
_HEADER, _SECTION, _SYMBOL = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ")
_RELOCATION, _WORD = struct.Struct("<QQq"), struct.Struct("<Q")
_CONTENTS, _SYMBOLS, _RELOCATIONS, _ZEROS = 1, 2, 4, 8
"""Kinds of sections. Tables for unwinding have another one: native code raises nothing."""
_IN_MEMORY = 2
_ADDRESS = 1
"""The kind of a reference that is an address of 64 bits."""
_ELSEWHERE = 0
"""In place of the section of a symbol that the file does not have."""


class _UnknownError(Exception):
    """An object file has something that is not known here."""


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class _ObjectFile:
    """An object file, read: what of it has to be in memory, `size` bytes, and what has to be written there."""

    def __init__(self, image: bytes) -> None:
        if sys.platform != "linux" or image[:6] != _ELF64_LITTLE:
            raise _UnknownError
        _, _, processor, _, _, _, start, _, _, _, _, _, count, _ = _HEADER.unpack_from(image)
        if processor != _X86_64:
            raise _UnknownError
        self._image = image
        sections = [_Section(*_SECTION.unpack_from(image, start + k * _SECTION.size)) for k in range(count)]
        self.offsets: dict[int, int] = {}
        """Where in memory a section begins."""
        self.size = 0
        for k, section in enumerate(sections):
            if section.flags & _IN_MEMORY and section.kind in (_CONTENTS, _ZEROS):
                self.offsets[k] = _up(self.size, section.alignment)
                self.size = self.offsets[k] + section.size
        self.contents = {k: self._bytes(sections[k]) for k in self.offsets if sections[k].kind == _CONTENTS}
        (table,) = [section for section in sections if section.kind == _SYMBOLS]
        names = self._bytes(sections[table.link])
        self.symbols = [
            (names[name : names.index(b"\0", name)].decode(), home, value)
            for name, _, _, home, value, _ in _SYMBOL.iter_unpack(self._bytes(table))
        ]
        """(name, section, offset in it)."""
        self.references: list[tuple[int, int, int]] = []
        """(where in memory the address of a symbol has to be written, which, how much to add)."""
        for section in sections:
            if section.kind == _RELOCATIONS and section.info in self.offsets:
                for where, what, more in _RELOCATION.iter_unpack(self._bytes(section)):
                    if what & 0xFFFFFFFF != _ADDRESS:
                        raise _UnknownError
                    self.references.append((self.offsets[section.info] + where, what >> 32, more))

    def _bytes(self, section: _Section) -> bytes:
        return self._image[section.offset : section.offset + section.size]

    def offset(self, symbol: str) -> int:
        """Where in memory one of the file's own symbols is."""
        (found,) = [self.offsets[home] + value for name, home, value in self.symbols if name == symbol]
        return found

    def linked(self, base: int, address_of: Callable[[str], int | None]) -> bytearray:
        """What has to be in memory from `base` on."""
        memory = bytearray(self.size)
        for k, contents in self.contents.items():
            memory[self.offsets[k] : self.offsets[k] + len(contents)] = contents
        for where, which, more in self.references:
            name, home, value = self.symbols[which]
            if home in self.offsets:
                address: int | None = base + self.offsets[home] + value
            else:
                address = address_of(name) if home == _ELSEWHERE else None
            if address is None:
                raise _UnknownError
            _WORD.pack_into(memory, where, (address + more) % (1 << 64))
        return memory


class Code:
    """A function in memory, which is used again when this object is gone."""

    __slots__ = ("address", "freed", "place")

    def __init__(self, address: int, place: tuple[int, int], freed: deque[tuple[int, int]]) -> None:
        self.address = address
        self.place = place
        self.freed = freed

    def __del__(self) -> None:
        self.freed.append(self.place)


class Blocks:
    """Memory for machine code. Only one thread at a time may place something in it."""

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int]] = []
        """Free memory, by address: where, and how much."""
        self.freed: deque[tuple[int, int]] = deque()
        """What came back since. A destructor may run at any time, so it does no more than append to this."""

    def place(self, image: bytes, symbol: str, address_of: Callable[[str], int | None]) -> Code | None:
        """Put a function into memory; None if that cannot be done here.

        Args:
            image: The object file that has the function.
            symbol: Its name.
            address_of: Where a function is that the file does not have.
        """
        try:
            file = _ObjectFile(image)
            size = _up(file.size, _ALIGNMENT)
            start = self._take(size)
            code = Code(start + file.offset(symbol), (start, size), self.freed)
            memory = file.linked(start, address_of)
        except (_UnknownError, OSError):  # OSError: memory may not hold code here
            return None
        ctypes.memmove(start, bytes(memory), len(memory))
        return code

    def _take(self, size: int) -> int:
        """Memory from the first gap that is large enough."""
        while self.freed:
            self.gaps.append(self.freed.popleft())
        self.gaps = _merged(self.gaps)
        found = next((gap for gap in self.gaps if gap[1] >= size), None)
        if found is None:
            found = _block(max(size, BLOCK))
            self.gaps.append(found)
        start, length = found
        self.gaps[self.gaps.index(found)] = (start + size, length - size)
        return start


def _block(size: int) -> tuple[int, int]:
    access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=access)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))  # code may run to the very end of the process
    return ctypes.addressof(ctypes.c_char.from_buffer(memory)), size


def _merged(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Gaps by address, those that touch as one."""
    found: list[tuple[int, int]] = []
    for start, size in sorted(gaps):
        if found and sum(found[-1]) == start:
            found[-1] = (found[-1][0], found[-1][1] + size)
        elif size:
            found.append((start, size))
    return found


def _up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment if alignment else size
