"""Products of matrices as native steps: BLAS where it pays, a loop written on the spot where its overhead counts.

A product is a sum over an index that both operands have. So all that matters of an index is its length and how far it
moves in the memory of the two operands and of the result: an `Axis`. ``matmul`` and ``einsum`` are two notations for
a list of them. Axes that lie one behind the other in memory become one, whether they are rows, columns, terms of
the sum or a batch of products; what is then left beside rows, columns and sum are loops around the product.

BLAS stores matrices by columns, and takes the addresses of all its arguments. These are the step's own words: a number
stands at the beginning of its word on little-endian machines, and so does a character. So one function does for all
dtypes, sizes and transpositions, and the address of the routine is a word, too.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.machinery
import importlib.util
import math
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from hopgrad.lower.machine import Effort, Source, Step, load, machine
from hopgrad.lower.pool import LEAST, MOST, PART, processors
from hopgrad.lower.views import View


class Axis(NamedTuple):
    """An index: its length, and the strides with which it moves in both operands and the result, 0 if it does not."""

    size: int
    a: int
    b: int
    out: int


NONE = Axis(1, 0, 0, 0)
LIMIT = 2**31  # of C's int

# With vectors of 32 bytes and more the kernel below is faster than OpenBLAS up to products of 64×64 matrices, beyond
# which that takes several threads; with shorter ones up to 16×16. Its second operand stays in the first-level cache.
_FEW, _FEWER = 2**18, 2**12
_CACHE = 2**15


@dataclass(frozen=True)
class Kind:
    """A dtype: what LLVM calls it, its bytes, the letter that BLAS and LAPACK begin their names with."""

    name: str
    size: int
    letter: str
    pack: str = field(repr=False, default="d")

    def bits(self, number: float) -> int:
        """A number as a word that begins with it."""
        return int.from_bytes(struct.pack("<" + self.pack, number).ljust(8, b"\0"), "little")


KINDS = {
    np.dtype(np.float64): Kind("double", 8, "d", "d"),
    np.dtype(np.float32): Kind("float", 4, "s", "f"),
}
"""The dtypes that have products in BLAS. (Complex ones have, too; there is no native code for those.)"""


# -- routines --------------------------------------------------------------------------------------------------------


@functools.cache
def _module(module: str) -> Any:
    """A module of SciPy's that exports C functions.

    Only the module itself is loaded, by its file: importing ``scipy.linalg`` takes five times as long. Where that does
    not work, it is imported as usual.
    """
    name = f"scipy.linalg.{module}"
    found: Any = sys.modules.get(name)
    if found is None:
        with contextlib.suppress(Exception):
            found = _by_file(name)
    if found is None:
        found = importlib.import_module(name)
    return found


def _by_file(name: str) -> Any:
    scipy = importlib.util.find_spec("scipy")
    for folder in (scipy.submodule_search_locations if scipy else None) or ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = os.path.join(folder, *name.split(".")[1:]) + suffix
            if os.path.exists(path):
                spec = importlib.util.spec_from_file_location(name, path)
                assert spec is not None
                assert spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                sys.modules.pop(name, None)  # so that SciPy finds nothing half done when it is imported as a whole
                return module
    return None


_capsule = ctypes.pythonapi.PyCapsule_GetPointer
_capsule.restype = ctypes.c_void_p
_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]
_capsule_name = ctypes.pythonapi.PyCapsule_GetName
_capsule_name.restype = ctypes.c_char_p
_capsule_name.argtypes = [ctypes.py_object]


@functools.cache
def routine(module: str, name: str) -> int:
    """The address of a routine of ``cython_blas`` or ``cython_lapack``, whose integers are C's ``int``."""
    capsule = _module(module).__pyx_capi__[name]
    return int(_capsule(capsule, _capsule_name(capsule)) or 0)


@functools.cache
def threads() -> tuple[int, int]:
    """The functions of OpenBLAS that tell and set how many threads it takes; zeros with another library."""
    with contextlib.suppress(OSError):
        library = ctypes.CDLL(_module("cython_blas").__file__)  # what this was linked with is found by it, too
        for prefix in ("scipy_openblas", "openblas"):
            found = [getattr(library, f"{prefix}_{verb}_num_threads", None) for verb in ("get", "set")]
            if None not in found:
                get, put = (int(ctypes.cast(function, ctypes.c_void_p).value or 0) for function in found)  # type: ignore[arg-type]
                return get, put
    return 0, 0


# Whoever is first to call keeps the library to one thread, whoever is last sets free what was held. Several threads of
# the user may call at once.
_LOCKED = """
define void @NAME(ptr %words) {{
entry:
  %calls.at = getelementptr i64, ptr %words, i64 1
  %held.at = getelementptr i64, ptr %words, i64 2
  %get.at = getelementptr i64, ptr %words, i64 3
  %set.at = getelementptr i64, ptr %words, i64 4
  %get = load ptr, ptr %get.at
  %set = load ptr, ptr %set.at
  br label %lock
lock:
  %got = cmpxchg ptr %words, i64 0, i64 1 acquire monotonic
  %ours = extractvalue {{ i64, i1 }} %got, 1
  br i1 %ours, label %change, label %wait
wait:
  %yielded = call i32 @sched_yield()
  br label %lock
change:
  %calls = load i64, ptr %calls.at
  {text}
leave:
  store atomic i64 0, ptr %words release, align 8
  ret void
}}
declare i32 @sched_yield()
"""

_HOLD = _LOCKED.format(
    text="""
  %more = add i64 %calls, 1
  store i64 %more, ptr %calls.at
  %first = icmp eq i64 %calls, 0
  br i1 %first, label %hold, label %leave
hold:
  %held = call i32 %get()
  store i32 %held, ptr %held.at
  call void %set(i32 1)
  br label %leave
"""
)

_FREE = _LOCKED.format(
    text="""
  %less = sub i64 %calls, 1
  store i64 %less, ptr %calls.at
  %last = icmp eq i64 %less, 0
  br i1 %last, label %free, label %leave
free:
  %held = load i32, ptr %held.at
  call void %set(i32 %held)
  br label %leave
"""
)


class _Hold:
    """What keeps OpenBLAS to one thread while it is called: the threads of the pool share the work, not its own.

    The words are a lock, how many calls are under way, how many threads there were before the first of them, and the
    functions that tell and set that.
    """

    def __init__(self) -> None:
        self.words = (ctypes.c_int64 * 5)(0, 0, 0, *threads())
        self._loaded = load([Source(text, Effort.NONE) for text in (_HOLD, _FREE)])
        self.params = [*(one.address for one in self._loaded), ctypes.addressof(self.words)]
        """The words of a step that calls: two functions and what they are given."""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        """No call is under way in a child."""
        self.words[0] = self.words[1] = 0


@functools.cache
def hold() -> _Hold:
    """That of this process."""
    return _Hold()


# -- text ------------------------------------------------------------------------------------------------------------


class Loop:
    """A loop that is being written: its index, and values that it carries along: set `following` in the body."""

    def __init__(self, index: str, values: list[str]) -> None:
        self.index = index
        self.values = values
        self.following: list[str] = values


class Code:
    """The text of a step while it is written. Addresses and strides are in bytes there."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def new(self, text: str) -> str:
        """An instruction with a result, and the name of that."""
        self._count += 1
        self.lines.append(f"%v{self._count} = {text}")
        return f"%v{self._count}"

    def line(self, text: str) -> None:
        """An instruction without a result, or a label."""
        self.lines.append(text)

    def address(self, index: int) -> str:
        """Where a word of the step is."""
        return self.new(f"getelementptr i64, ptr %params, i64 {index}")

    def word(self, index: int, kind: str = "i64") -> str:
        """A word of the step."""
        return self.new(f"load {kind}, ptr {self.address(index)}")

    def slot(self, index: int) -> str:
        """The address that is in the slot whose number is a word of the step."""
        return self.new(f"load ptr, ptr {self.new(f'getelementptr ptr, ptr %slots, i64 {self.word(index)}')}")

    def add(self, x: str, y: str | int) -> str:
        """The sum of two numbers."""
        return self.new(f"add i64 {x}, {y}")

    def mul(self, x: str, y: str | int) -> str:
        """The product of two numbers."""
        return self.new(f"mul i64 {x}, {y}")

    def min(self, x: str, y: str) -> str:
        """The smaller one of two numbers."""
        return self.new(f"select i1 {self.new(f'icmp slt i64 {x}, {y}')}, i64 {x}, i64 {y}")

    def below(self, start: str, stop: str, lanes: int) -> str:
        """A mask of those of some numbers from `start` on that are below `stop`."""
        kind = f"<{lanes} x i32>"
        left = self.new(f"trunc i64 {self.new(f'sub i64 {stop}, {start}')} to i32")
        first = self.new(f"insertelement {kind} poison, i32 {left}, i64 0")
        lefts = self.new(f"shufflevector {kind} {first}, {kind} poison, {kind} zeroinitializer")
        return self.new(f"icmp slt {kind} <{', '.join(f'i32 {j}' for j in range(lanes))}>, {lefts}")

    def at(self, base: str, offset: str, *strides: str | int) -> str:
        """An address moved by an offset, times a stride if that is given."""
        for stride in strides:
            offset = self.mul(offset, stride)
        return self.new(f"getelementptr i8, ptr {base}, i64 {offset}")

    def leave_if(self, condition: str) -> None:
        """Leave the step, and with it the program, if this holds."""
        self._count += 1
        leave, stay = f"leave{self._count}", f"stay{self._count}"
        self.lines += [f"br i1 {condition}, label %{leave}, label %{stay}", f"{leave}:", "ret i32 1", f"{stay}:"]

    @contextlib.contextmanager
    def loop(self, start: str, stop: str, step: int = 1, carried: Sequence[tuple[str, str]] = ()) -> Iterator[Loop]:
        """A loop over an index, which carries values along: pairs of type and first value."""
        self._count += 1
        mark = self._count
        made = Loop(f"%i{mark}", [f"%x{mark}.{k}" for k in range(len(carried))])
        self.lines += [f"br label %pre{mark}", f"pre{mark}:", f"br label %head{mark}", f"head{mark}:"]
        place = len(self.lines)
        test = self.new(f"icmp slt i64 {made.index}, {stop}")
        self.lines += [f"br i1 {test}, label %body{mark}, label %done{mark}", f"body{mark}:"]
        yield made
        self.lines += [f"br label %latch{mark}", f"latch{mark}:"]
        following = self.add(made.index, step)
        self.lines += [f"br label %head{mark}", f"done{mark}:"]
        joined = [("i64", start), *carried]
        names, ends = [made.index, *made.values], [following, *made.following]
        self.lines[place:place] = [
            f"{name} = phi {kind} [{first}, %pre{mark}], [{end}, %latch{mark}]"
            for name, (kind, first), end in zip(names, joined, ends, strict=True)
        ]

    def source(self, *declared: str) -> Source:
        """The finished step."""
        body = "\n".join(self.lines)
        return Source("\n".join([*declared, "define i32 @NAME(ptr %slots, ptr %params) {", body, "ret i32 0", "}\n"]))


# -- batches ---------------------------------------------------------------------------------------------------------

# The words of a product begin with those of its operands (slot and offset of a, b and out) and of each loop around it
# (length and strides). Then come those of the routine or of the kernel.


def head_length(rank: int) -> int:
    """How many these are."""
    return 6 + 4 * rank


def head_words(kind: Kind, views: Iterable[View], batch: Sequence[Axis]) -> list[int]:
    """These words themselves."""
    places = [word for view in views for word in (view.buffer, view.offset * kind.size)]
    return places + [word for axis in batch for word in _scaled(axis, kind)]


def _scaled(axis: Axis, kind: Kind) -> tuple[int, int, int, int]:
    return axis.size, axis.a * kind.size, axis.b * kind.size, axis.out * kind.size


@contextlib.contextmanager
def each(code: Code, rank: int) -> Iterator[list[str]]:
    """Loops over a batch; in them, where the matrices are, and the number along the innermost axis."""
    number = "0"
    places = [code.at(code.slot(2 * k), code.word(2 * k + 1)) for k in range(3)]
    axes = [[code.word(6 + 4 * k + j) for j in range(4)] for k in range(rank)]
    with contextlib.ExitStack() as stack:
        for size, *strides in axes:
            loop = stack.enter_context(code.loop("0", size))
            places = [code.at(place, loop.index, stride) for place, stride in zip(places, strides, strict=True)]
            number = loop.index
        yield [*places, number]


# -- steps that call BLAS --------------------------------------------------------------------------------------------

_GEMM = "{1} {2} {3} {4} {5} {6} b {7} a {8} {9} out {10}"
_GEMV = "{1} {2} {3} {4} a {5} b {6} {7} out {8}"


_THREADED = 2**13
"""From how many multiplications on OpenBLAS may take several threads: vectors and matrices before matrices only."""


@contextlib.contextmanager
def _holding(code: Code, index: int, large: bool) -> Iterator[None]:
    """Calls by one thread each; for the words from an index on see `_Hold`."""
    words = code.word(index + 2, "ptr") if large else ""
    if large:
        code.line(f"call void {code.word(index, 'ptr')}(ptr {words})")
    yield
    if large:
        code.line(f"call void {code.word(index + 1, 'ptr')}(ptr {words})")


@functools.cache
def _call(form: str, rank: int, large: bool, adds: bool = False) -> Source:
    """A step that calls a routine for each product of a batch; `form` lists operands and words that it is given.

    What `adds` puts the products along the innermost axis of the batch together: from the second one on, β is 1, which
    stands behind the other words.
    """
    code = Code()
    start = head_length(rank)
    target = code.word(start, "ptr")
    start += 3
    given = {str(k): code.address(start + k) for k in range(1, 11) if f"{{{k}}}" in form}
    one = code.address(start + 11) if adds else ""
    with _holding(code, start - 2, large), each(code, rank) as (*places, number):
        given |= dict(zip(("a", "b", "out"), places, strict=True))
        if adds:
            begins = code.new(f"icmp eq i64 {number}, 0")
            given["9"] = code.new(f"select i1 {begins}, ptr {given['9']}, ptr {one}")
        code.line(f"call void {target}({', '.join('ptr ' + given[name.strip('{}')] for name in form.split())})")
    return code.source()


@functools.cache
def _dot(kind: str, accumulates: bool, rank: int, large: bool) -> Source:
    """A step that calls ``dot`` for each product of a batch."""
    code = Code()
    start = head_length(rank)
    target = code.word(start, "ptr")
    start += 3
    n, x, y = (code.address(start + k) for k in (1, 2, 3))
    scales = _Scales(code, kind, accumulates, start + 4)
    with _holding(code, start - 2, large), each(code, rank) as (a, b, out, _):
        total = code.new(f"call {kind} {target}(ptr {n}, ptr {a}, ptr {x}, ptr {b}, ptr {y})")
        scales.put([total], [out])
    return code.source(*scales.declared)


class Vectors:
    """Instructions on some elements at once, in a step that is being written."""

    def __init__(self, code: Code, kind: str) -> None:
        self.code = code
        self.kind = kind
        self.bytes = 8 if kind == "double" else 4
        self._declared: dict[str, None] = {}

    @property
    def declared(self) -> list[str]:
        """Declarations of what was called."""
        return list(self._declared)

    def type(self, lanes: int) -> str:
        """LLVM's type of some elements."""
        return f"<{lanes} x {self.kind}>" if lanes > 1 else self.kind

    def call(self, stem: str, lanes: int, result: str, *arguments: str) -> str:
        """A call of an intrinsic function whose name ends with the type of elements; arguments with their types."""
        name = f"@llvm.{stem}.{f'v{lanes}' if lanes > 1 else ''}f{8 * self.bytes}{'.p0' if 'masked' in stem else ''}"
        kinds = ", ".join(argument.rpartition(" ")[0] for argument in arguments)
        self._declared[f"declare {result} {name}({kinds})"] = None
        return f"call {result} {name}({', '.join(arguments)})"

    def spread(self, value: str, lanes: int) -> str:
        """A number in all lanes."""
        if lanes == 1:
            return value
        whole = self.type(lanes)
        first = self.code.new(f"insertelement {whole} poison, {self.kind} {value}, i64 0")
        return self.code.new(f"shufflevector {whole} {first}, {whole} poison, <{lanes} x i32> zeroinitializer")

    def muladd(self, x: str, y: str, z: str, lanes: int) -> str:
        """X y + z, rounded once where the processor can."""
        whole = self.type(lanes)
        return self.code.new(self.call("fmuladd", lanes, whole, f"{whole} {x}", f"{whole} {y}", f"{whole} {z}"))

    def load(self, place: str, lanes: int = 1, mask: str = "") -> str:
        """Some elements from memory; those that a mask leaves out are not touched."""
        whole = self.type(lanes)
        if not mask:
            return self.code.new(f"load {whole}, ptr {place}, align {self.bytes}")
        given = f"ptr {place}", f"i32 {self.bytes}", f"<{lanes} x i1> {mask}", f"{whole} zeroinitializer"
        return self.code.new(self.call("masked.load", lanes, whole, *given))

    def store(self, value: str, place: str, lanes: int = 1, mask: str = "") -> None:
        """Some elements into memory, but for those that a mask leaves out."""
        whole = self.type(lanes)
        if mask:
            given = f"{whole} {value}", f"ptr {place}", f"i32 {self.bytes}", f"<{lanes} x i1> {mask}"
            self.code.line(self.call("masked.store", lanes, "void", *given))
        else:
            self.code.line(f"store {whole} {value}, ptr {place}, align {self.bytes}")


class _Scales(Vectors):
    """α and β of a product: the words from `index` on. A result that is not accumulated is never read."""

    def __init__(self, code: Code, kind: str, accumulates: bool, index: int) -> None:
        super().__init__(code, kind)
        self.alpha = code.word(index, kind)
        self.beta = code.word(index + 1, kind) if accumulates else ""
        self.begins = ""
        """Whether these are the first terms of several, to which others are added; always, if empty."""

    def put(self, values: Sequence[str], places: Sequence[str], lanes: int = 1, mask: str = "") -> None:
        """Results into memory, scaled, and added to what is there. All is read before anything is written."""
        whole = self.type(lanes)
        alpha = self.spread(self.alpha, lanes)
        values = [self.code.new(f"fmul {whole} {value}, {alpha}") for value in values]
        if self.beta or self.begins:
            old = [self.load(place, lanes, mask) for place in places]
            scale = self.beta
            if self.begins:
                one = f"0x{struct.pack('>d', 1.0).hex()}"
                scale = self.code.new(f"select i1 {self.begins}, {self.kind} {scale or one}, {self.kind} {one}")
            if not self.beta:
                old = [self.code.new(f"select i1 {self.begins}, {whole} zeroinitializer, {whole} {x}") for x in old]
            beta = self.spread(scale, lanes)
            values = [self.muladd(beta, x, value, lanes) for x, value in zip(old, values, strict=True)]
        for value, place in zip(values, places, strict=True):
            self.store(value, place, lanes, mask)


# -- the kernel for small matrices -----------------------------------------------------------------------------------

_ROWS = 4
"""Rows of a block. With two vectors in each of them that is as many sums as keep a processor busy that starts two
additions in each cycle, and has their results after four."""


def vector_bytes() -> int:
    """Of the longest vectors; other steps keep to shorter ones, for which there are more functions."""
    return 64 if "+avx512f" in machine().features.split(",") else machine().width


@functools.cache
def _kernel(kind: Kind, packed: bool, turned: bool, accumulates: bool, rank: int) -> Source:
    """A step that multiplies small matrices, in blocks of rows times vectors of columns kept in registers.

    Columns of b and of the result have stride 1; `packed`: those of b have not, so b is copied into scratch memory;
    `turned`: but its rows have.
    """
    code = Code()
    start = head_length(rank)
    m, n, k, a_row, out_row, a_term, b_term, b_column = (code.word(start + j) for j in range(8))
    scales = _Scales(code, kind.name, accumulates, start + 8)
    scratch = code.at(code.slot(start + 11), code.word(start + 10)) if packed else ""
    lanes = vector_bytes() // kind.size
    with each(code, rank) as (a, b, out, _):
        if packed:
            if turned:
                _transpose(code, scales, (b, b_column), scratch, k, n)
            else:
                _pack(code, scales, (b, b_term, b_column), scratch, k, n)
            b, b_term = scratch, code.mul(n, kind.size)
        _rows(code, scales, (a, a_row, a_term), (b, b_term), (out, out_row), (m, n, k), lanes)
    return code.source(*scales.declared)


_DEPTH, _BAND = 256, 512
"""Terms and rows of the blocks of large matrices: what is multiplied with a block of b stays in the second cache."""


@functools.cache
def _panels(kind: Kind, turned: bool, accumulates: bool, rank: int) -> Source:
    """A step that multiplies large matrices, in blocks of b that are copied first (Goto and van de Geijn 2008).

    A block is as wide as the sums that are kept in registers, and stays in the first cache. Columns of the result have
    stride 1, and columns of b, or its rows if it is `turned`.
    """
    code = Code()
    start = head_length(rank)
    lanes = vector_bytes() // kind.size
    wide = 2 * lanes
    panel = code.new(f"alloca [{_DEPTH * wide} x {kind.name}], align 64")
    m, n, k, a_row, out_row, a_term, b_term, b_column = (code.word(start + j) for j in range(8))
    scales = _Scales(code, kind.name, accumulates, start + 8)
    with each(code, rank) as (a, b, out, _), code.loop("0", k, _DEPTH) as chunk, code.loop("0", m, _BAND) as band:
        terms = code.min(code.new(f"sub i64 {k}, {chunk.index}"), str(_DEPTH))
        rows = code.min(code.new(f"sub i64 {m}, {band.index}"), str(_BAND))
        scales.begins = code.new(f"icmp eq i64 {chunk.index}, 0")
        left = code.at(code.at(a, band.index, a_row), chunk.index, a_term)
        right, target = code.at(b, chunk.index, b_term), code.at(out, band.index, out_row)
        with code.loop("0", n, wide) as strip:
            columns = code.min(code.new(f"sub i64 {n}, {strip.index}"), str(wide))
            source = code.at(right, strip.index, b_column)
            if turned:
                _transpose(code, scales, (source, b_column), panel, terms, columns)
            else:
                _copy(code, scales, (source, b_term), panel, terms, columns)
            place = code.at(target, strip.index, kind.size), out_row
            line = code.mul(columns, kind.size)
            _rows(code, scales, (left, a_row, a_term), (panel, line), place, (rows, columns, terms), lanes)
    return code.source(*scales.declared)


def _copy(code: Code, vectors: Vectors, matrix: tuple[str, str], target: str, rows: str, columns: str) -> None:
    """Copy a matrix that lies in memory row by row, given by its place and rows' stride, with no gaps between rows."""
    place, stride = matrix
    lanes, line = vector_bytes() // vectors.bytes, code.mul(columns, vectors.bytes)
    with code.loop("0", rows) as row:
        source, to = code.at(place, row.index, stride), code.at(target, row.index, line)
        with code.loop("0", columns, lanes) as column:
            inside = code.below(column.index, columns, lanes)
            shift = code.mul(column.index, vectors.bytes)
            vectors.store(vectors.load(code.at(source, shift), lanes, inside), code.at(to, shift), lanes, inside)


def _rows(
    code: Code, scales: _Scales, left: tuple[str, str, str], right: tuple[str, str], target: tuple[str, str],
    sizes: tuple[str, str, str], lanes: int,
) -> None:  # fmt: skip
    """A product in blocks of rows times vectors of columns kept in registers.

    Places of a, with strides of rows and terms, of b, with that of terms, and of the result, with that of rows; how
    many rows, columns and terms there are.
    """
    rows, columns, terms = sizes
    last, whole = code.add(rows, -1), code.new(f"and i64 {columns}, {-2 * lanes}")
    with code.loop("0", rows, _ROWS) as block:
        # Beyond the last row it is taken again: the same results are stored twice.
        numbers = [code.min(code.add(block.index, r), last) for r in range(_ROWS)]
        lefts = [code.at(left[0], r, left[1]) for r in numbers], left[2]
        outs = [code.at(target[0], r, target[1]) for r in numbers]
        with code.loop("0", whole, 2 * lanes) as column:
            _block(code, scales, column.index, 2 * lanes, "", lefts, right, outs, terms)
        with code.loop(whole, columns, lanes) as column:
            mask = code.below(column.index, columns, lanes)
            _block(code, scales, column.index, lanes, mask, lefts, right, outs, terms)


def _pack(code: Code, scales: _Scales, matrix: tuple[str, str, str], target: str, rows: str, columns: str) -> None:
    """Copy a matrix, given by its place and its strides, so that it lies there row by row."""
    place, row_stride, column_stride = matrix
    with code.loop("0", rows) as row:
        source, line = code.at(place, row.index, row_stride), code.at(target, row.index, columns, scales.bytes)
        with code.loop("0", columns) as column:
            element = scales.load(code.at(source, column.index, column_stride))
            code.line(f"store {scales.kind} {element}, ptr {code.at(line, column.index, scales.bytes)}")


def _transpose(code: Code, vectors: Vectors, matrix: tuple[str, str], target: str, rows: str, columns: str) -> None:
    """Copy a matrix that lies in memory column by column, given by its place and columns' stride, row by row.

    In squares as wide as a vector, which are transposed in registers by exchanging halves, quarters and so on.
    """
    place, stride = matrix
    lanes = vector_bytes() // vectors.bytes
    whole, line = vectors.type(lanes), code.mul(columns, vectors.bytes)
    last = code.add(columns, -1), code.add(rows, -1)
    with code.loop("0", rows, lanes) as row:
        inside = code.below(row.index, rows, lanes)
        source = code.at(place, row.index, vectors.bytes)
        with code.loop("0", columns, lanes) as column:
            beyond = code.below(column.index, columns, lanes)
            # Beyond the last column or row it is taken again; the rows are written from there to the first.
            places = [code.at(source, code.min(code.add(column.index, k), last[0]), stride) for k in range(lanes)]
            square = [vectors.load(at, lanes, inside) for at in places]
            for step in [2**j for j in range(lanes.bit_length() - 1)]:
                for k in range(lanes):
                    if not k & step:
                        pair = square[k], square[k + step]
                        upper = [j if not j & step else lanes + j - step for j in range(lanes)]
                        for number, mask in ((k, upper), (k + step, [j + step for j in upper])):
                            picked = ", ".join(f"i32 {j}" for j in mask)
                            square[number] = code.new(
                                f"shufflevector {whole} {pair[0]}, {whole} {pair[1]}, <{lanes} x i32> <{picked}>"
                            )
            for k in reversed(range(lanes)):
                at = code.at(target, code.min(code.add(row.index, k), last[1]), line)
                vectors.store(square[k], code.at(at, column.index, vectors.bytes), lanes, beyond)


def _block(
    code: Code, scales: _Scales, column: str, lanes: int, mask: str, left: tuple[list[str], str],
    right: tuple[str, str], outs: list[str], terms: str,
) -> None:  # fmt: skip
    """Some rows of the result in the columns that are covered by a vector."""
    shift = code.mul(column, scales.bytes)
    source = code.at(right[0], shift)
    kind = scales.type(lanes)
    with code.loop("0", terms, 1, [(kind, "zeroinitializer")] * len(outs)) as term:
        vector = scales.load(code.at(source, term.index, right[1]), lanes, mask)
        move = code.mul(term.index, left[1])
        factors = [scales.spread(scales.load(code.at(place, move)), lanes) for place in left[0]]
        sums = zip(factors, term.values, strict=True)
        term.following = [scales.muladd(factor, vector, total, lanes) for factor, total in sums]
    scales.put(term.values, [code.at(place, shift) for place in outs], lanes, mask)


# -- from axes to steps ----------------------------------------------------------------------------------------------


def fold(axes: Iterable[Axis]) -> list[Axis]:
    """Axes from the outermost in memory to the innermost; those that go on where the next one ends are one with it."""
    found: list[Axis] = []
    for axis in sorted(axes, key=lambda x: (abs(x.out), abs(x.a), abs(x.b)), reverse=True):
        if found and all(o == axis.size * i for o, i in zip(found[-1][1:], axis[1:], strict=True)):
            outer = found.pop()
            axis = axis._replace(size=outer.size * axis.size)
        found.append(axis)
    return found


def _pick(axes: list[Axis]) -> Axis:
    """The axis that becomes rows or columns; it is taken out of the list."""
    if not axes:
        return NONE
    best = max(axes, key=lambda x: (x.out == 1, 1 in (x.a, x.b), x.size))
    axes.remove(best)
    return best


class _Product(NamedTuple):
    """A product of a kind of numbers: rows, columns and terms, loops around it, operands and result, α and β."""

    kind: Kind
    m: Axis
    n: Axis
    k: Axis
    batch: list[Axis]
    a: View
    b: View
    out: View
    alpha: float
    beta: float

    @property
    def turned(self) -> _Product:
        """Everything transposed: the product of b and a, in this order."""
        n, m, k, *batch = (axis._replace(a=axis.b, b=axis.a) for axis in (self.m, self.n, self.k, *self.batch))
        return self._replace(m=m, n=n, k=k, batch=batch, a=self.b, b=self.a)

    @property
    def views(self) -> tuple[View, View, View]:
        """Operands and result."""
        return self.a, self.b, self.out

    @property
    def scales(self) -> list[int]:
        """The words for α and β."""
        return [self.kind.bits(self.alpha), self.kind.bits(self.beta)]

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return 2 * math.prod(axis.size for axis in (self.m, self.n, self.k, *self.batch))

    @property
    def work(self) -> float:
        """About how many nanoseconds it takes: arithmetic, or reading the operands."""
        m, n, k = self.m.size, self.n.size, self.k.size
        read = math.prod(axis.size for axis in self.batch) * (m * k + k * n + m * n)
        return self.kind.size * max(self.flops / 250, read / 20)

    def noted(self, text: str) -> str:
        """What it is, to read."""
        times = "".join(f"{axis.size}·" for axis in self.batch)
        return f"{text} {times}{self.m.size}x{self.k.size}x{self.n.size}"

    def part(self, number: int, start: int, stop: int) -> _Product:
        """Some of the rows (0), columns (1) or of a loop around it (2 and so on)."""
        axes = [self.m, self.n, *self.batch]
        axis = axes[number]
        axes[number] = axis._replace(size=stop - start)
        moved = zip(self.views, axis[1:], strict=True)
        a, b, out = (replace(view, offset=view.offset + start * stride) for view, stride in moved)
        return self._replace(m=axes[0], n=axes[1], batch=axes[2:], a=a, b=b, out=out)

    def parts(self) -> list[_Product]:
        """It in parts for several threads, if it is large: as equal as can be, and with as little done twice."""
        count = processors()
        most = min(MOST, int(self.work / PART))
        if count < 2 or self.work < LEAST:
            return []
        found = []
        for number, axis in enumerate((self.m, self.n, *self.batch)):
            # If rows are cut, each part copies all columns, and the other way round.
            grain, cost = ((8, 1.1), (32, 1.1), (1, 1.0))[min(number, 2)]
            limit = min(most, count if number < 2 else 4 * count)
            units = axis.size // grain
            if axis.out and min(limit, units) > 1:
                parts = min(limit, units)
                time = -(-parts // count) * -(-units // parts) / units
                found.append((cost * time, -axis.size, number, parts, units, grain))
        if not found:
            return []
        *_, number, parts, units, grain = min(found)
        size = (self.m, self.n, *self.batch)[number].size
        places = [*(k * units // parts * grain for k in range(parts)), size]
        return [self.part(number, start, stop) for start, stop in pairwise(places)]


def _product(
    dtype: np.dtype[Any], axes: Sequence[Axis], a: View, b: View, out: View, alpha: float, beta: float
) -> Step | None:
    """The step for a product of which all axes are known."""
    kind = KINDS.get(dtype)
    if kind is None:
        return None
    if 0 in out.shape:
        return _small(_Product(kind, NONE._replace(size=0), NONE, NONE, [], a, b, out, alpha, beta))
    axes = [axis for axis in axes if axis.size != 1]
    inner = fold(axis for axis in axes if not axis.out)
    rows = fold(axis for axis in axes if axis.out and axis.a and not axis.b)
    columns = fold(axis for axis in axes if axis.out and axis.b and not axis.a)
    batch = [axis for axis in axes if axis.out and bool(axis.a) == bool(axis.b)]
    if len(inner) > 1:
        return None
    m, n, k = _pick(rows), _pick(columns), inner[0] if inner else NONE
    made = _Product(kind, m, n, k, fold([*batch, *rows, *columns]), a, b, out, alpha, beta)
    # Results are stored by rows here, which is by columns for BLAS: it gets everything turned round.
    if n.size > 1 and (m.out == 1 or m.size == 1):
        made = made.turned
    found = None
    if k.size == 0 or _is_small(made):
        # Vectors of columns pay for a single row, too.
        found = _small(made.turned if made.m.out == 1 == made.m.a else made)
    return found or _large(made)


_SHORT, _TERMS, _UNPACKED, _LARGE, _LARGEST = 64, 512, 10**6, 2**26, 2**28
"""OpenBLAS multiplies without copying factors first up to so many multiplications, where vectors have 64 bytes. Copies
do not pay if an axis has at most the first number of places, unless the sum has more terms than the second, or what is
multiplied does not stay in the caches, as with more multiplications than the fourth. Up to the last one, copying blocks
of one factor only is faster than OpenBLAS, which copies both."""


def _is_small(product: _Product) -> bool:
    """Whether the kernel is faster than BLAS; where BLAS would use several threads, it is not."""
    kind, m, n, k, *_ = product
    if n.size == 1:
        return k.size * m.size <= (16 if m.size == 1 else 100)
    few = _FEW if vector_bytes() > 16 else _FEWER
    return m.size * n.size * k.size <= few and n.size * k.size * kind.size <= _CACHE and k.size <= _CACHE // 16


def _small(product: _Product) -> Step | None:
    """The step with the kernel for small matrices."""
    kind, _, n, k, batch, *_ = product
    if n.size > 1 and n.out != 1:
        return None
    packed = n.size > 1 and n.b != 1
    source = _kernel(kind, packed, k.b == 1, product.beta != 0, len(batch))
    work = max(n.size * k.size, 1) * kind.size if packed else 0
    return _own(product, source, product.noted(f"{kind.letter} kernel"), work)


def _own(product: _Product, source: Source, note: str, work: int = 0) -> Step:
    """The step with a kernel of our own, each part of which has scratch memory of its own."""
    kind, m, n, k, *_ = product

    def words(p: _Product, number: int) -> list[int]:
        strides = [stride * kind.size for stride in (m.a, m.out, k.a, k.b, n.b)]
        sizes = [p.m.size, p.n.size, k.size]
        return [*head_words(kind, p.views, p.batch), *sizes, *strides, *p.scales, number * work]

    parts = [words(part, number) for number, part in enumerate(product.parts())]
    return Step(source, words(product, 0), product.flops, work * max(1, len(parts)), note, parts=parts)


def _stored(rows: int, row_stride: int, columns: int, column_stride: int) -> tuple[str, int] | None:
    """How BLAS has to read memory for a matrix, whose columns it expects one after the other: flag and distance."""
    for flag, length, stride, count, distance in (
        ("N", rows, row_stride, columns, column_stride),
        ("T", columns, column_stride, rows, row_stride),
    ):
        if (length == 1 or stride == 1) and (count == 1 or distance >= length):
            return flag, length if count == 1 else distance
    return None


def _vector(view: View, axis: Axis, stride: int) -> tuple[View, int] | None:
    """A vector as BLAS takes it: from its lowest address, even if it goes backwards."""
    if axis.size == 1:
        return view, 1
    if stride < 0:
        view = View(view.buffer, view.shape, view.strides, view.offset + (axis.size - 1) * stride)
    return (view, stride) if stride else None


def _in_blocks(m: Axis, n: Axis, k: Axis, batch: list[Axis]) -> tuple[Axis, Axis, list[Axis]]:
    """A product with a short axis in equal blocks of rows and columns, each small enough not to be copied first."""
    short = min(m.size, n.size, k.size) <= _SHORT and k.size <= _TERMS
    if not (short and _UNPACKED < m.size * n.size * k.size <= _LARGE) or vector_bytes() < 64:
        return m, n, batch
    sizes = [
        (rows, columns) for rows in _parts(m.size) for columns in _parts(n.size) if rows * columns * k.size <= _UNPACKED
    ]
    if not sizes:
        return m, n, batch
    rows, columns = max(sizes, key=lambda size: (size[0] * size[1], min(*size, 32), size[1]))
    more = [
        Axis(m.size // rows, m.a * rows, 0, m.out * rows),
        Axis(n.size // columns, 0, n.b * columns, n.out * columns),
    ]
    return m._replace(size=rows), n._replace(size=columns), [*batch, *[axis for axis in more if axis.size > 1]]


def _in_turns(m: Axis, n: Axis, k: Axis, straight: bool) -> tuple[Axis, list[Axis]]:
    """A long sum for few results in equal parts that are added up, each small enough not to be copied first."""
    count = -(-m.size * n.size * k.size // _UNPACKED)
    if min(m.size, n.size) > _SHORT // 2 or k.size <= _TERMS or vector_bytes() < 64:
        return k, []
    for parts in range(count, min(8 * count, k.size // (_SHORT if straight else 2 * _TERMS)) + 1):
        if k.size % parts == 0 and parts > 1:
            terms = k.size // parts
            return k._replace(size=terms), [Axis(parts, k.a * terms, k.b * terms, 0)]
    return k, []


def _parts(size: int) -> list[int]:
    """The lengths of equal parts, multiples of 16 unless it is one part."""
    return [size // parts for parts in range(1, size // 16 + 1) if size % parts == 0 and (size // parts) % 16 == 0] or [
        size
    ]


def _large(product: _Product) -> Step | None:
    """The step that calls BLAS or copies blocks itself, or None where strides or sizes are not of their kind."""
    made = _blocked(product)
    if _pays(product, made):
        source = _panels(product.kind, product.n.b != 1, product.beta != 0, len(product.batch))
        return _own(product, source, product.noted(f"{product.kind.letter} blocks"))
    found = _called(made)
    if found is None:
        return None
    name, source, params = found
    parts = [_called(part) for part in made.parts()] if threads()[0] else []
    alike = [part[2] for part in parts if part is not None and part[1] == source]
    return Step(source, params, made.flops, 0, made.noted(name), parts=alike if len(alike) == len(parts) else ())


def _pays(product: _Product, blocked: _Product) -> bool:
    """Whether a kernel of our own is faster than BLAS: where that would copy blocks, but for very large matrices."""
    _, m, n, k, *_ = product
    count = m.size * n.size * k.size
    if vector_bytes() < 64 or m.size < 32 or n.size < 32 or n.out != 1 or count > _LARGEST:
        return False
    if n.b != 1:
        return k.b == 1
    return blocked == product and count > _UNPACKED and 1 in (m.a, k.a)


def _blocked(product: _Product) -> _Product:
    """The product in blocks, where that is faster, as loops around it."""
    _, m, n, k, batch, *_ = product
    first = _stored(n.size, n.b, k.size, k.b)
    if m.size == 1 or n.size == 1 or first is None:
        return product
    straight = first[0] == "N"
    if straight:
        m, n, batch = _in_blocks(m, n, k, batch)
    k, turns = _in_turns(m, n, k, straight)
    return product._replace(m=m, n=n, k=k, batch=[*batch, *turns])


def _called(product: _Product) -> tuple[str, Source, list[int]] | None:
    """A call of BLAS: what is called, the text of the step, its parameters."""
    kind, m, n, k, batch, a, b, out, *_ = product
    alpha, beta = product.scales
    rank, large = len(batch), m.size * n.size * k.size > _THREADED and bool(threads()[0])
    if m.size == 1:  # a sum of products
        x, y = _vector(a, k, k.a), _vector(b, k, k.b)
        if x is None or y is None:
            return None
        product = product._replace(a=x[0], b=y[0])
        name, shown, source = "dot", "", _dot(kind.name, product.beta != 0, rank, large)
        integers = [k.size, x[1], y[1]]
        words = [*integers, alpha, beta]
    elif n.size == 1:  # a matrix times a vector
        x, y = _vector(b, k, k.b), _vector(out, m, m.out)
        matrix = _stored(m.size, m.a, k.size, k.a)
        if x is None or y is None or matrix is None:
            return None
        product = product._replace(b=x[0], out=y[0])
        flag, distance = matrix
        name, shown, source = "gemv", f" {flag}", _call(_GEMV, rank, large)
        lengths = (m.size, k.size) if flag == "N" else (k.size, m.size)
        words = [ord(flag), *lengths, alpha, distance, x[1], beta, y[1]]
        integers = [*lengths, distance, x[1], y[1]]
    else:
        first = _stored(n.size, n.b, k.size, k.b)
        second = _stored(k.size, k.a, m.size, m.a)
        target = _stored(n.size, n.out, m.size, m.out)
        if first is None or second is None or target is None or target[0] != "N":
            return None
        adds = any(not axis.out for axis in batch)  # sums in turns
        name, shown, source = "gemm", f" {first[0]} {second[0]}", _call(_GEMM, rank, large, adds)
        words = [ord(first[0]), ord(second[0]), n.size, m.size, k.size, alpha, first[1], second[1], beta, target[1]]
        words += [kind.bits(1.0)] * adds
        integers = [n.size, m.size, k.size, first[1], second[1], target[1]]
    if not all(-LIMIT < number < LIMIT for number in integers):
        return None
    name = kind.letter + name
    held = hold().params if large else (0, 0, 0)
    params = [*head_words(kind, product.views, batch), routine("cython_blas", name), *held, *words]
    return name + shown, source, params


# -- notations -------------------------------------------------------------------------------------------------------


def writable(out: View) -> bool:
    """Whether no element of a result is written twice, as far as strides of 0 go."""
    return all(stride or size < 2 for size, stride in zip(out.shape, out.strides, strict=True)) or 0 in out.shape


def batch_of(rank: int, a: View, b: View, out: View) -> list[Axis]:
    """The axes before the matrices, along which operands are repeated where they are shorter or have none."""

    def strides(view: View) -> list[int]:
        own = max(len(view.shape) - 2, 0)
        moves = [0 if n == 1 else s for n, s in zip(view.shape[:own], view.strides[:own], strict=True)]
        return [0] * (rank - own) + moves

    found = zip(out.shape[:rank], strides(a), strides(b), out.strides[:rank], strict=True)
    return [Axis(*axis) for axis in found]


def matmul(dtype: np.dtype[Any], a: View, b: View, out: View, *, alpha: float = 1.0, beta: float = 0.0) -> Step | None:
    """The step for out = α a b + β out, with the shapes of NumPy's ``matmul``; None if there is none.

    There is none for other dtypes than float64 and float32, and, but for small matrices, for operands neither rows nor
    columns of which have stride 1: copy these first. The result must not overlap with an operand. If β is 0, what
    the result was does not matter.
    """
    lead = len(out.shape) - (len(a.shape) > 1) - (len(b.shape) > 1)
    axes = batch_of(lead, a, b, out)
    if len(a.shape) > 1:
        axes.append(Axis(a.shape[-2], a.strides[-2], 0, out.strides[lead]))
    if len(b.shape) > 1:
        axes.append(Axis(b.shape[-1], 0, b.strides[-1], out.strides[-1]))
    axes.append(Axis(a.shape[-1], a.strides[-1], b.strides[max(len(b.shape) - 2, 0)], 0))
    return _product(dtype, axes, a, b, out, alpha, beta) if writable(out) else None


def einsum(dtype: np.dtype[Any], subscripts: str, operands: Sequence[View], out: View) -> Step | None:
    """The step for a contraction of two operands, given with an arrow, that is a product of matrices; else None.

    None, too, where no index is summed over, since that is elementwise, or one that a single operand has; and where the
    indices that are summed over do not lie one behind the other in memory.
    """
    left, _, result = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != 2 or len(operands) != 2 or not writable(out):
        return None
    axes: dict[str, Axis] = {}
    for place, term, view in zip((1, 2, 3), (*terms, result), (*operands, out), strict=True):
        for letter, size, stride in zip(term, view.shape, view.strides, strict=True):
            known = list(axes.get(letter, NONE))
            if size != 1:  # an index of length 1 is repeated to meet a longer one
                known[0] = size
                known[place] += stride  # an index that comes twice goes along the diagonal
            axes[letter] = Axis(*known)
    summed = [letter for letter in axes if letter not in result]
    if not summed or any(letter not in term for letter in summed for term in terms):
        return None
    a, b = operands
    return _product(dtype, list(axes.values()), a, b, out, 1.0, 0.0)
