"""Convolutions of two lines as a native step: sums of products, for a block of neighbouring results at once.

A term of all results of a block takes one element of the shorter line and neighbouring elements of the longer one. At
the ends some results have no such term. What they do not have is left out, not multiplied by zero: that would be NaN if
the other factor were infinite.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from hopgrad.lower.blas import KINDS, LIMIT, Code, Kind, Vectors, vector_bytes
from hopgrad.lower.machine import Source, Step
from hopgrad.lower.views import View

_VECTORS = 4
"""Sums at once, of a block or, in a smaller one, of every second or fourth term: they keep a processor busy."""
_TERMS = 256
"""How many are added up one by one; then these sums are, so that errors stay small."""


def convolve(dtype: np.dtype[Any], a: View, v: View, out: View, start: int) -> Step | None:
    """The step for sums of a[i] v[k − i] over i, for k from `start` on; None for other dtypes than floats."""
    kind = KINDS.get(dtype)
    if kind is None or out.strides != (1,) or max(*a.shape, *v.shape, *out.shape) >= LIMIT:
        return None
    long, short = (a, v) if a.shape > v.shape else (v, a)
    packed = long.strides != (1,)
    words = [word for view in (long, short, out) for word in (view.buffer, view.offset * kind.size, *view.shape)]
    words += [long.strides[0] * kind.size, short.strides[0] * kind.size, start]
    (n,), (m,), (length,) = long.shape, short.shape, out.shape
    count = 2 * min(m, length) * min(n, length)
    note = f"{kind.letter} convolve {n} {m} -> {length}"
    vectors = min(_VECTORS, 1 << (-(-length * kind.size // vector_bytes()) - 1).bit_length())
    return Step(_source(kind, packed, vectors), words, count, n * kind.size if packed else 0, note)


@functools.cache
def _source(kind: Kind, packed: bool, width: int) -> Source:
    code = Code()
    vectors = Vectors(code, kind.name)
    long, short, out = (code.at(code.slot(3 * k), code.word(3 * k + 1)) for k in range(3))
    n, m, length = (code.word(3 * k + 2) for k in range(3))
    long_stride, stride, start = (code.word(k) for k in (9, 10, 11))
    if packed:
        line = code.slot(12)
        with code.loop("0", n) as place:
            element = vectors.load(code.at(long, place.index, long_stride))
            vectors.store(element, code.at(line, place.index, kind.size))
        long = line
    lanes = width * vector_bytes() // kind.size
    terms = _Terms(vectors, long, n, short, stride, lanes)
    with code.loop("0", length, lanes) as block:
        first = code.add(block.index, start)
        last = code.add(first, lanes)
        # Terms that some results have, and among them those that all have.
        low = _max(code, code.add(code.new(f"sub i64 {first}, {n}"), 1), "0")
        high = code.min(last, m)
        whole = code.min(_max(code, code.new(f"sub i64 {last}, {n}"), low), high)
        rest = code.min(_max(code, code.add(first, 1), whole), high)
        total = terms.some("zeroinitializer", first, low, whole)
        total = terms.all(total, first, whole, rest, _VECTORS // width)
        total = terms.some(total, first, rest, high)
        mask = code.below(block.index, length, lanes)
        vectors.store(total, code.at(out, block.index, kind.size), lanes, mask)
    return code.source(*vectors.declared)


def _max(code: Code, x: str, y: str) -> str:
    return code.new(f"select i1 {code.new(f'icmp sgt i64 {x}, {y}')}, i64 {x}, i64 {y}")


class _Terms:
    """The terms of a block of results."""

    def __init__(self, vectors: Vectors, long: str, n: str, short: str, stride: str, lanes: int) -> None:
        self.vectors = vectors
        self.code = vectors.code
        self.long = long
        self.n = n
        self.short = short
        self.stride = stride
        self.lanes = lanes

    def _factors(self, place: str, term: str, mask: str = "") -> tuple[str, str]:
        vectors = self.vectors
        elements = vectors.load(self.code.at(self.long, place, vectors.bytes), self.lanes, mask)
        factor = vectors.load(self.code.at(self.short, term, self.stride))
        return elements, vectors.spread(factor, self.lanes)

    def some(self, total: str, first: str, start: str, stop: str) -> str:
        """A sum with terms added that some of the results have."""
        code, lanes, kind = self.code, self.lanes, self.vectors.type(self.lanes)
        with code.loop(start, stop, 1, [(kind, total)]) as term:
            place = code.new(f"sub i64 {first}, {term.index}")
            before, inside = code.below(place, "0", lanes), code.below(place, self.n, lanes)
            mask = code.new(f"xor <{lanes} x i1> {before}, {inside}")
            more = self.vectors.muladd(*self._factors(place, term.index, mask), term.values[0], lanes)
            term.following = [code.new(f"select <{lanes} x i1> {mask}, {kind} {more}, {kind} {term.values[0]}")]
        return term.values[0]

    def all(self, total: str, first: str, start: str, stop: str, parts: int) -> str:
        """A sum with terms added that all results have, in so many parts."""
        code, kind = self.code, self.vectors.type(self.lanes)
        with code.loop(start, stop, _TERMS, [(kind, total)]) as block:
            end = code.min(code.add(block.index, _TERMS), stop)
            even = code.add(block.index, code.new(f"and i64 {code.new(f'sub i64 {end}, {block.index}')}, {-parts}"))
            with code.loop(block.index, even, parts, [(kind, "zeroinitializer")] * parts) as term:
                terms = [code.add(term.index, k) for k in range(parts)]
                term.following = [self._added(first, k, x) for k, x in zip(terms, term.values, strict=True)]
            with code.loop(even, end, 1, [(kind, term.values[0])]) as rest:
                rest.following = [self._added(first, rest.index, rest.values[0])]
            block.following = [block.values[0]]
            for x in (rest.values[0], *term.values[1:]):
                block.following = [code.new(f"fadd {kind} {block.following[0]}, {x}")]
        return block.values[0]

    def _added(self, first: str, term: str, total: str) -> str:
        place = self.code.new(f"sub i64 {first}, {term}")
        return self.vectors.muladd(*self._factors(place, term), total, self.lanes)
