"""Memory of large results: what the user has dropped is used for the next one of the same size.

The system takes arrays of 32 MB and more back as soon as they are gone, and gives others page by page, filled with
zeros: writing to new memory takes several times as long as writing to memory that is there. So entry points have NumPy
make such arrays with a memory handler (NEP 49) that keeps the last blocks that came back: two of 128 MB at most, which
the system may take any time it needs memory (``MADV_FREE``). An array owns its memory, as any other; a handler that the
user has chosen stays in force.

All of this happens under the interpreter's lock. Blocks are those of the C library, and their sizes are its own.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Sequence

from hopgrad.lower import entry_native
from hopgrad.lower.entry_native import WORD
from hopgrad.lower.machine import Effort, Source, load, machine

LEAST = 32 << 20
"""From how many bytes on the C library gives memory back to the system at once, whatever was asked for before."""

MOST = 128 << 20
"""How many bytes a block has at most that is kept."""

_PAGE = 4096
_FREE = 8  # Linux's MADV_FREE

# Words: the handler, then two blocks.
_NEW = """
declare ptr @hopgrad.numpy.new_array(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare ptr @hopgrad.numpy.set_handler(ptr)
declare ptr @hopgrad.numpy.get_handler()
declare void @PyErr_Clear()
declare void @Py_DecRef(ptr)
@hopgrad.numpy.default_handler = external global ptr
@hopgrad.results = external global [3 x ptr]

; As NumPy's function, with the handler in place of the default one.
define ptr @NAME(ptr %type, ptr %dtype, i32 %axes, ptr %shape, ptr %strides, ptr %data, i32 %flags, ptr %object) {
start:
  %current = call ptr @hopgrad.numpy.get_handler()
  %default = load ptr, ptr @hopgrad.numpy.default_handler
  %ordinary = icmp eq ptr %current, %default
  br i1 %ordinary, label %change, label %make
change:
  %handler = load ptr, ptr @hopgrad.results
  %before = call ptr @hopgrad.numpy.set_handler(ptr %handler)
  br label %make
make:
  %changed = phi ptr [ null, %start ], [ %before, %change ]
  %made = call ptr @hopgrad.numpy.new_array(
    ptr %type, ptr %dtype, i32 %axes, ptr %shape, ptr %strides, ptr %data, i32 %flags, ptr %object)
  %unchanged = icmp eq ptr %changed, null
  br i1 %unchanged, label %end, label %restore
restore:
  %own = call ptr @hopgrad.numpy.set_handler(ptr %changed)
  call void @Py_DecRef(ptr %own)
  call void @Py_DecRef(ptr %changed)
  br label %end
end:
  call void @Py_DecRef(ptr %current)
  ret ptr %made
}
"""

_MALLOC = f"""
declare ptr @malloc(i64)
declare i64 @malloc_usable_size(ptr)
@hopgrad.results = external global [3 x ptr]

; A block that was kept, if it is hardly larger, or a new one.
define ptr @NAME(ptr %context, i64 %size) {{
start:
  %large = icmp uge i64 %size, {LEAST}
  br i1 %large, label %next, label %new
next:
  %k = phi i64 [ 1, %start ], [ %after, %other ]
  %at = getelementptr ptr, ptr @hopgrad.results, i64 %k
  %block = load ptr, ptr %at
  %there = call i64 @malloc_usable_size(ptr %block)
  %more = sub i64 %there, %size
  %fits = icmp ult i64 %more, {2 * _PAGE}
  br i1 %fits, label %take, label %other
other:
  %after = add i64 %k, 1
  %again = icmp ult i64 %after, 3
  br i1 %again, label %next, label %new
take:
  store ptr null, ptr %at
  ret ptr %block
new:
  %made = call ptr @malloc(i64 %size)
  ret ptr %made
}}
"""

_CALLOC = """
declare ptr @calloc(i64, i64)
define ptr @NAME(ptr %context, i64 %count, i64 %size) {
  %made = call ptr @calloc(i64 %count, i64 %size)
  ret ptr %made
}
"""

_REALLOC = """
declare ptr @realloc(ptr, i64)
define ptr @NAME(ptr %context, ptr %block, i64 %size) {
  %made = call ptr @realloc(ptr %block, i64 %size)
  ret ptr %made
}
"""

_FREE_BLOCK = f"""
declare void @free(ptr)
declare i64 @malloc_usable_size(ptr)
declare i32 @madvise(ptr, i64, i32)
@hopgrad.results = external global [3 x ptr]

; The block is kept, and the older one of two goes.
define void @NAME(ptr %context, ptr %block, i64 %given) {{
start:
  %size = call i64 @malloc_usable_size(ptr %block)
  %above = sub i64 %size, {LEAST}
  %kept = icmp ule i64 %above, {MOST - LEAST}
  br i1 %kept, label %keep, label %drop
keep:
  %address = ptrtoint ptr %block to i64
  %end = add i64 %address, %size
  %inside = add i64 %address, {_PAGE - 1}
  %first = and i64 %inside, {-_PAGE}
  %last = and i64 %end, {-_PAGE}
  %length = sub i64 %last, %first
  %pages = inttoptr i64 %first to ptr
  %code = call i32 @madvise(ptr %pages, i64 %length, i32 {_FREE})
  %newer_at = getelementptr ptr, ptr @hopgrad.results, i64 1
  %older_at = getelementptr ptr, ptr @hopgrad.results, i64 2
  %newer = load ptr, ptr %newer_at
  %older = load ptr, ptr %older_at
  store ptr %block, ptr %newer_at
  store ptr %newer, ptr %older_at
  br label %drop
drop:
  %gone = phi ptr [ %block, %start ], [ %older, %keep ]
  call void @free(ptr %gone)
  ret void
}}
"""


class _Handler(ctypes.Structure):
    """NumPy's ``PyDataMem_Handler``, version 1."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        ("malloc", ctypes.c_void_p),
        ("calloc", ctypes.c_void_p),
        ("realloc", ctypes.c_void_p),
        ("free", ctypes.c_void_p),
    )


_KIND = ctypes.create_string_buffer(b"mem_handler")


def new_array(found: entry_native.Structures, sizes: Sequence[int]) -> int:
    """The address of the function that makes arrays of so many bytes: NumPy's, or one that uses memory again."""
    if max(sizes, default=0) < LEAST or not found.handlers or sys.platform != "linux":
        return found.new_array
    return _keeping(found)


@functools.cache
def _keeping(found: entry_native.Structures) -> int:
    """The function that makes arrays whose memory is kept."""
    words, described = entry_native.allocate(3 * WORD), entry_native.allocate(ctypes.sizeof(_Handler))
    if words is None or described is None:
        raise MemoryError
    ctypes.memset(words, 0, 3 * WORD)
    add = machine().llvm.add_symbol
    for name, address in {**found.handlers, "new_array": found.new_array}.items():
        add(f"hopgrad.numpy.{name}", address)
    add("hopgrad.results", words)
    loaded = load([Source(text, effort=Effort.NONE) for text in (_NEW, _MALLOC, _CALLOC, _REALLOC, _FREE_BLOCK)])
    new, *functions = [one.address for one in loaded]
    handler = _Handler(b"hopgrad", 1, None, *functions)
    ctypes.memmove(described, ctypes.addressof(handler), ctypes.sizeof(handler))
    capsule = entry_native.new_capsule(described, ctypes.addressof(_KIND), None)
    ctypes.c_uint64.from_address(words).value = id(capsule)
    for used in (capsule, _KIND, *loaded):  # arrays may outlive this module
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(used))
    return new
