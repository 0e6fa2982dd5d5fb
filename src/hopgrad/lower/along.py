"""What goes along an axis as native steps: cumulative sums, places of the largest and smallest, orders, searches.

What compares does not depend on dtypes: elements become whole numbers of the same order. Sorting these by their digits
(radix sort) keeps equal ones in their order; in short lines the smaller ones are counted.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Sequence
from math import prod as product
from typing import Any, NamedTuple

import numpy as np

from hopgrad.lower.blas import Code
from hopgrad.lower.lines import Axis, axes_of, folded, head, head_size, lines, scaled
from hopgrad.lower.machine import Source, Step, machine
from hopgrad.lower.views import View


class Kind(NamedTuple):
    """A dtype in memory: LLVM's name of it, its bytes, and whether it has a sign."""

    name: str
    size: int
    signed: bool = True

    @property
    def floats(self) -> bool:
        """Whether it has NaN."""
        return self.name in ("double", "float")

    @property
    def word(self) -> str:
        """LLVM's name of whole numbers of its size."""
        return f"i{8 * self.size}"

    @property
    def lowest(self) -> int:
        """The smallest one of these."""
        return -(2 ** (8 * self.size - 1))

    def many(self, lanes: int) -> str:
        """LLVM's type of some elements."""
        return _many(self.name, lanes)


KINDS = {
    np.dtype(np.float64): Kind("double", 8),
    np.dtype(np.float32): Kind("float", 4),
    np.dtype(np.int64): Kind("i64", 8),
    np.dtype(np.int32): Kind("i32", 4),
    np.dtype(bool): Kind("i8", 1, False),
}
POSITION = KINDS[np.dtype(np.int64)]
"""The kind of positions."""


def _many(name: str, lanes: int) -> str:
    return f"<{lanes} x {name}>" if lanes > 1 else name


def _splat(value: str, kind: str, lanes: int) -> str:
    return value if lanes == 1 else f"splat ({kind} {value})"


def _load(code: Code, kind: Kind, place: str, lanes: int = 1) -> str:
    return code.new(f"load {kind.many(lanes)}, ptr {place}, align {kind.size}")


def _store(code: Code, kind: Kind, value: str, place: str, lanes: int = 1) -> None:
    code.line(f"store {kind.many(lanes)} {value}, ptr {place}, align {kind.size}")


def _select(code: Code, condition: str, kind: str, a: str, b: str, lanes: int = 1) -> str:
    whole = _many(kind, lanes)
    return code.new(f"select {_many('i1', lanes)} {condition}, {whole} {a}, {whole} {b}")


def _spread(code: Code, value: str, kind: str, lanes: int) -> str:
    if lanes == 1:
        return value
    whole = _many(kind, lanes)
    first = code.new(f"insertelement {whole} poison, {kind} {value}, i64 0")
    return code.new(f"shufflevector {whole} {first}, {whole} poison, <{lanes} x i32> zeroinitializer")


def _noted(name: str, batch: Sequence[Axis], n: int) -> str:
    return f"{name} {''.join(f'{axis[0]}·' for axis in batch)}{n}"


# -- cumulative sums -------------------------------------------------------------------------------------------------


def cumsum(dtype: np.dtype[Any], x: View, out: View, axis: int) -> Step | None:
    """Sums of the first elements of each line, added in order, as NumPy does: they are equal to the last bit."""
    kind = KINDS.get(dtype)
    if kind is None:
        return None
    views, sizes = (x, out), (kind.size, kind.size)
    batch = folded(axes_of(views, [k for k in range(len(x.shape)) if k != axis]))
    (along,) = axes_of(views, [axis])
    rows = bool(batch) and batch[-1][1:] == (1, 1)  # several lines at once
    width = batch.pop() if rows else (1, 1, 1)
    words = [*head(views, sizes, batch), *scaled(along, sizes), width[0]]
    count = product(x.shape)
    return Step(_cumsum(kind, rows, len(batch)), words, count, 0, _noted("cumsum", [*batch, width], along[0]))


@functools.cache
def _cumsum(kind: Kind, rows: bool, rank: int) -> Source:
    code = Code()
    size, step, out_step, width = (code.word(head_size(2, rank) + j) for j in range(4))
    with lines(code, 2, rank) as (x, out):
        if rows:
            _rows(code, kind, x, None, out, width)
            with code.loop("1", size) as row:
                target = code.at(out, row.index, out_step)
                before = code.at(target, code.new(f"sub i64 0, {out_step}"))
                _rows(code, kind, code.at(x, row.index, step), before, target, width)
        else:
            first = _load(code, kind, x)
            _store(code, kind, first, out)
            with code.loop("1", size, 1, [(kind.name, first)]) as place:
                total = _add(code, kind, place.values[0], _load(code, kind, code.at(x, place.index, step)))
                _store(code, kind, total, code.at(out, place.index, out_step))
                place.following = [total]
    return code.source()


def _rows(code: Code, kind: Kind, source: str, before: str | None, target: str, width: str) -> None:
    """A row of sums: the row before (if there is one) plus a row of elements, vector by vector."""
    lanes = machine().width // kind.size
    whole = code.new(f"and i64 {width}, {-lanes}")
    for start, stop, count in (("0", whole, lanes), (whole, width, 1)):
        with code.loop(start, stop, count) as column:
            found = _load(code, kind, code.at(source, column.index, kind.size), count)
            if before is not None:
                known = _load(code, kind, code.at(before, column.index, kind.size), count)
                found = _add(code, kind, known, found, count)
            _store(code, kind, found, code.at(target, column.index, kind.size), count)


def _add(code: Code, kind: Kind, a: str, b: str, lanes: int = 1) -> str:
    word = "fadd" if kind.floats else "add" if kind.signed else "or"
    return code.new(f"{word} {kind.many(lanes)} {a}, {b}")


# -- whole numbers of the same order -----------------------------------------------------------------------------------


def _number(code: Code, kind: Kind, value: str, lanes: int = 1, turned: bool = False) -> str:
    """A whole number with sign for an element: of the same order, or of the opposite one (`turned`).

    NaN is the largest in both, and −0 is 0.
    """
    word = _many(kind.word, lanes)
    found = value
    if kind.floats:
        whole = kind.many(lanes)
        positive = code.new(f"fadd {whole} {value}, {_splat('0.0', kind.name, lanes)}")
        bits = code.new(f"bitcast {whole} {positive} to {word}")
        sign = code.new(f"ashr {word} {bits}, {_splat(str(8 * kind.size - 1), kind.word, lanes)}")
        flips = code.new(f"lshr {word} {sign}, {_splat('1', kind.word, lanes)}")
        found = code.new(f"xor {word} {bits}, {flips}")
    if turned:
        found = code.new(f"xor {word} {found}, {_splat('-1', kind.word, lanes)}")
    if kind.floats:
        nan = code.new(f"fcmp uno {kind.many(lanes)} {value}, {value}")
        largest = _splat(str(-1 - kind.lowest), kind.word, lanes)
        found = _select(code, nan, kind.word, largest, found, lanes)
    return found


# -- the place of the largest or smallest ----------------------------------------------------------------------------

_LANES = 16
"""Of a line in which elements lie side by side: several vectors, as a comparison takes some time."""


def position(dtype: np.dtype[Any], x: View, out: View, axes: Sequence[int], largest: bool) -> Step | None:
    """The place of the first largest (or smallest) element of each line, counted in C order; of the first NaN."""
    kind = KINDS.get(dtype)
    if kind is None:
        return None
    rest = [k for k in range(len(x.shape)) if k not in axes]
    kept = rest if len(out.shape) == len(x.shape) else range(len(rest))
    found = [(x.shape[k], x.strides[k], out.strides[j]) for k, j in zip(rest, kept, strict=True)]
    batch, inner = folded(found), folded(axes_of([x], axes)) or [(1, 1)]
    side_by_side = len(inner) == 1 and inner[0][1] == 1
    together = not side_by_side and bool(batch) and batch[-1][1:] == (1, 1)
    width = batch.pop()[0] if together else 1
    words = [*head((x, out), (kind.size, 8), batch), width]
    words += [word for axis in inner for word in scaled(axis, [kind.size])]
    source = _position(kind, largest, side_by_side, together, len(inner), len(batch))
    note = _noted("argmax" if largest else "argmin", [*batch, (width,)], product(axis[0] for axis in inner))
    return Step(source, words, product(x.shape), 0, note)


@functools.cache
def _position(kind: Kind, largest: bool, side_by_side: bool, together: bool, axes: int, rank: int) -> Source:
    code = Code()
    start = head_size(2, rank)
    width = code.word(start)
    inner = [(code.word(start + 1 + 2 * k), code.word(start + 2 + 2 * k)) for k in range(axes)]
    first = _First(code, kind, largest)
    with lines(code, 2, rank) as (x, out):
        if side_by_side:
            _store(code, POSITION, first.within(x, inner[0][0]), out)
        else:
            lanes = 2 * machine().width // max(kind.size, 4) if together else 1
            whole = code.new(f"and i64 {width}, {-lanes}")
            for begin, end, count in [("0", whole, lanes), (whole, width, 1)][: 1 + together]:
                with code.loop(begin, end, count) as column:
                    found = first.each(code.at(x, column.index, kind.size), inner, count)
                    _store(code, POSITION, found, code.at(out, column.index, 8), count)
    return code.source()


class _First:
    """The places of the first largest or smallest elements: those of the largest `_number`."""

    def __init__(self, code: Code, kind: Kind, largest: bool) -> None:
        self.code = code
        self.kind = kind
        self.turned = not largest

    def _load(self, place: str, lanes: int = 1) -> str:
        return _number(self.code, self.kind, _load(self.code, self.kind, place, lanes), lanes, self.turned)

    def _better(self, value: str, here: str, known: Sequence[str], lanes: int = 1) -> list[str]:
        """A number and its place, if it is better than the best one that is known, else that one and its place."""
        code, word = self.code, self.kind.word
        best, place = known
        wins = code.new(f"icmp sgt {_many(word, lanes)} {value}, {best}")
        return [_select(code, wins, word, value, best, lanes), _select(code, wins, "i64", here, place, lanes)]

    def each(self, start: str, axes: Sequence[tuple[str, str]], lanes: int) -> str:
        """The places in some lines that begin side by side, each with axes of any strides."""
        code = self.code
        places = _many("i64", lanes)
        kinds = [_many(self.kind.word, lanes), places, places]
        carried = [self._load(start, lanes), *["zeroinitializer" if lanes > 1 else "0"] * 2]
        with contextlib.ExitStack() as stack:
            loops = []
            for size, stride in axes:
                loops.append(stack.enter_context(code.loop("0", size, 1, list(zip(kinds, carried, strict=True)))))
                start, carried = code.at(start, loops[-1].index, stride), loops[-1].values
            here = carried[2]
            following = code.new(f"add {places} {here}, {_splat('1', 'i64', lanes)}")
            loops[-1].following = [*self._better(self._load(start, lanes), here, carried[:2], lanes), following]
            for outer, inner in itertools.pairwise(loops):
                outer.following = inner.values
        return loops[0].values[1]

    def within(self, start: str, size: str) -> str:
        """The place in a line of elements side by side."""
        code, kind = self.code, self.kind
        lanes = _LANES
        places = _many("i64", lanes)
        whole = code.new(f"and i64 {size}, {-lanes}")
        best = _spread(code, self._load(start), kind.word, lanes)
        steps = f"<{', '.join(f'i64 {k}' for k in range(lanes))}>"
        carried = [(_many(kind.word, lanes), best), (places, "zeroinitializer")]
        with code.loop("0", whole, lanes, carried) as loop:
            value = self._load(code.at(start, loop.index, kind.size), lanes)
            here = code.new(f"add {places} {_spread(code, loop.index, 'i64', lanes)}, {steps}")
            loop.following = self._better(value, here, loop.values, lanes)
        best, place = loop.values
        while lanes > 1:
            lanes //= 2
            best, place = self._joined(best, place, lanes)
        with code.loop(whole, size, 1, [(kind.word, best), ("i64", place)]) as rest:
            value = self._load(code.at(start, rest.index, kind.size))
            rest.following = self._better(value, rest.index, rest.values)
        return rest.values[1]

    def _joined(self, best: str, place: str, lanes: int) -> tuple[str, str]:
        """The better ones of both halves of a vector: of equal ones, those that come first."""
        code, word, truth = self.code, self.kind.word, _many("i1", lanes)
        (a, b), (i, j) = self._halves(best, word, lanes), self._halves(place, "i64", lanes)
        more = code.new(f"icmp sgt {_many(word, lanes)} {b}, {a}")
        equal = code.new(f"icmp eq {_many(word, lanes)} {b}, {a}")
        earlier = code.new(f"icmp slt {_many('i64', lanes)} {j}, {i}")
        wins = code.new(f"or {truth} {more}, {code.new(f'and {truth} {equal}, {earlier}')}")
        return _select(code, wins, word, b, a, lanes), _select(code, wins, "i64", j, i, lanes)

    def _halves(self, value: str, kind: str, lanes: int) -> tuple[str, str]:
        whole = _many(kind, 2 * lanes)

        def half(first: int) -> str:
            if lanes == 1:
                return self.code.new(f"extractelement {whole} {value}, i64 {first}")
            chosen = f"<{', '.join(f'i32 {first + k}' for k in range(lanes))}>"
            return self.code.new(f"shufflevector {whole} {value}, {whole} poison, <{lanes} x i32> {chosen}")

        return half(0), half(lanes)


# -- orders ----------------------------------------------------------------------------------------------------------

_SHORT = 64
"""The length up to which a line is sorted by counting."""
_BUCKETS = 256


def order(dtypes: Sequence[np.dtype[Any]], keys: Sequence[View], out: View, axis: int) -> Step | None:
    """The order of the elements of each line by several keys, the last of which counts most; equal ones stay."""
    kinds = [KINDS.get(dtype) for dtype in dtypes]
    found = [kind for kind in kinds if kind is not None]
    if len(found) < len(kinds):
        return None
    views, sizes = [*keys, out], [*[kind.size for kind in found], 8]
    batch = folded(axes_of(views, [k for k in range(len(out.shape)) if k != axis]))
    (along,) = axes_of(views, [axis])
    n = along[0]
    short = n <= _SHORT
    words = [*head(views, sizes, batch), *scaled(along, sizes)]
    passes = [n if short else 2 + kind.size for kind in found]
    work = 32 * n + (0 if short else 8 * _BUCKETS * max(kind.size for kind in found))
    note = _noted("order", batch, n)
    return Step(_order(tuple(found), short, len(batch)), words, product(out.shape) * sum(passes), work, note)


@functools.cache
def _order(kinds: tuple[Kind, ...], short: bool, rank: int) -> Source:
    code = Code()
    count = len(kinds)
    start = head_size(count + 1, rank)
    size, *steps = (code.word(start + j) for j in range(count + 2))
    scratch = code.slot(start + count + 2)
    pairs, others = scratch, code.at(scratch, size, 16)
    counts = code.at(others, size, 16)
    with lines(code, count + 1, rank) as (*keys, out):
        source, target = pairs, others
        for k, (kind, key, step) in enumerate(zip(kinds, keys, steps, strict=False)):
            given = _Keys(code, kind, key, step, size, counts, first=k == 0)
            source, target = (given.counted if short else given.sorted)(source, target)
        with code.loop("0", size) as place:
            found = code.new(f"load i64, ptr {code.at(code.at(source, place.index, 16), '8')}")
            _store(code, POSITION, found, code.at(out, place.index, steps[-1]))
    return code.source()


class _Keys:
    """The keys of a line: pairs of a whole number without sign, which has the order of the key, and a place."""

    def __init__(self, code: Code, kind: Kind, place: str, step: str, size: str, counts: str, first: bool) -> None:
        self.code = code
        self.kind = kind
        self.place = place
        self.step = step
        self.size = size
        self.counts = counts
        self.first = first
        self.digits = kind.size

    def _read(self, pairs: str, index: str) -> str:
        """The pair at an index is filled in; the number in it."""
        code = self.code
        pair = code.at(pairs, index, 16)
        at = code.at(pair, "8")
        if self.first:
            code.line(f"store i64 {index}, ptr {at}")
        line = index if self.first else code.new(f"load i64, ptr {at}")
        number = _number(code, self.kind, _load(code, self.kind, code.at(self.place, line, self.step)))
        number = code.new(f"xor {self.kind.word} {number}, {self.kind.lowest}")
        if self.kind.size < 8:
            number = code.new(f"zext {self.kind.word} {number} to i64")
        code.line(f"store i64 {number}, ptr {pair}")
        return number

    def counted(self, source: str, target: str) -> tuple[str, str]:
        """Sorted by counting how many come before each: where the sorted pairs are, and the other memory."""
        code = self.code
        with code.loop("0", self.size) as place:
            self._read(source, place.index)
        with code.loop("0", self.size) as place:
            pair = code.at(source, place.index, 16)
            key = code.new(f"load i64, ptr {pair}")
            before = self._smaller(source, key, "ule", "0", place.index, "0")
            after = code.add(place.index, 1)
            before = self._smaller(source, key, "ult", after, self.size, before)
            code.line(f"store <2 x i64> {self._pair(pair)}, ptr {code.at(target, before, 16)}, align 8")
        return target, source

    def _smaller(self, source: str, key: str, condition: str, start: str, stop: str, known: str) -> str:
        code = self.code
        with code.loop(start, stop, 1, [("i64", known)]) as other:
            value = code.new(f"load i64, ptr {code.at(source, other.index, 16)}")
            less = code.new(f"icmp {condition} i64 {value}, {key}")
            other.following = [code.add(other.values[0], code.new(f"zext i1 {less} to i64"))]
        return other.values[0]

    def _pair(self, place: str) -> str:
        return self.code.new(f"load <2 x i64>, ptr {place}, align 8")

    def sorted(self, source: str, target: str) -> tuple[str, str]:
        """Sorted by digits, the lowest first; not at all if they are sorted already."""
        code = self.code
        with code.loop("0", str(_BUCKETS * self.digits)) as place:
            code.line(f"store i64 0, ptr {code.at(self.counts, place.index, 8)}")
        with code.loop("0", self.size, 1, [("i64", "0"), ("i1", "false")]) as place:
            key = self._read(source, place.index)
            falls = code.new(f"icmp ult i64 {key}, {place.values[0]}")
            place.following = [key, code.new(f"or i1 {place.values[1]}, {falls}")]
            for k in range(self.digits):
                bucket = self._bucket(code.at(self.counts, str(8 * _BUCKETS * k)), key, str(8 * k))
                code.line(f"store i64 {code.add(code.new(f'load i64, ptr {bucket}'), 1)}, ptr {bucket}")
        digits = _select(code, place.values[1], "i64", str(self.digits), "0")
        with code.loop("0", digits, 1, [("ptr", source), ("ptr", target)]) as digit:
            here, there = digit.values
            counts, shift = code.at(self.counts, digit.index, 8 * _BUCKETS), code.mul(digit.index, 8)
            first = self._bucket(counts, code.new(f"load i64, ptr {here}"), shift)
            # A digit that all have in common changes nothing.
            same = code.new(f"icmp eq i64 {code.new(f'load i64, ptr {first}')}, {self.size}")
            self._moved(here, there, counts, shift, same)
            digit.following = [_select(code, same, "ptr", a, b) for a, b in ((here, there), (there, here))]
        return digit.values[0], digit.values[1]

    def _bucket(self, counts: str, key: str, shift: str) -> str:
        code = self.code
        digit = code.new(f"and i64 {code.new(f'lshr i64 {key}, {shift}')}, {_BUCKETS - 1}")
        return code.at(counts, digit, 8)

    def _moved(self, here: str, there: str, counts: str, shift: str, same: str) -> None:
        """All pairs moved to their buckets, unless nothing would change."""
        code = self.code
        buckets = _select(code, same, "i64", "0", str(_BUCKETS))
        with code.loop("0", buckets, 1, [("i64", "0")]) as bucket:
            place = code.at(counts, bucket.index, 8)
            count = code.new(f"load i64, ptr {place}")
            code.line(f"store i64 {bucket.values[0]}, ptr {place}")
            bucket.following = [code.add(bucket.values[0], count)]
        with code.loop("0", _select(code, same, "i64", "0", self.size)) as line:
            pair = self._pair(code.at(here, line.index, 16))
            found = self._bucket(counts, code.new(f"extractelement <2 x i64> {pair}, i64 0"), shift)
            free = code.new(f"load i64, ptr {found}")
            code.line(f"store i64 {code.add(free, 1)}, ptr {found}")
            code.line(f"store <2 x i64> {pair}, ptr {code.at(there, free, 16)}, align 8")


# -- searches --------------------------------------------------------------------------------------------------------


_SEARCHES = 8
"""How many go on together, since each waits for memory at every step."""


def search(dtype: np.dtype[Any], line: View, wanted: View, out: View, right: bool) -> Step | None:
    """Where elements would have to be inserted in a sorted line: before equal ones, or (`right`) after them."""
    kind = KINDS.get(dtype)
    if kind is None:
        return None
    views, sizes = (wanted, out), (kind.size, 8)
    batch = folded(axes_of(views, range(len(out.shape))))
    together = bool(batch) and batch[-1][1:] == (1, 1)
    width = batch.pop()[0] if together else 1
    (n,), (stride,) = line.shape, line.strides
    words = [*head(views, sizes, batch), line.buffer, line.offset * kind.size, n, stride * kind.size, width]
    count = product(out.shape) * n.bit_length()
    note = _noted("searchsorted", [*batch, (width,)], n)
    return Step(_search(kind, right, together, len(batch)), words, count, 0, note)


@functools.cache
def _search(kind: Kind, right: bool, together: bool, rank: int) -> Source:
    code = Code()
    start = head_size(2, rank)
    line = code.at(code.slot(start), code.word(start + 1))
    size, stride, width = (code.word(start + j) for j in (2, 3, 4))
    searches = _Searches(code, kind, line, stride, right)
    lanes = _SEARCHES if together else 1
    whole = code.new(f"and i64 {width}, {-lanes}")
    with lines(code, 2, rank) as (wanted, out):
        for begin, end, count in [("0", whole, lanes), (whole, width, 1)][: 1 + together]:
            with code.loop(begin, end, count) as place:
                value = _load(code, kind, code.at(wanted, place.index, kind.size), count)
                found = searches.found(value, size, count)
                _store(code, POSITION, found, code.at(out, place.index, 8), count)
    return code.source(*searches.declared)


class _Searches:
    """Binary searches that make the same steps, whatever they find."""

    def __init__(self, code: Code, kind: Kind, line: str, stride: str, right: bool) -> None:
        self.code = code
        self.kind = kind
        self.line = line
        self.stride = stride
        self.right = right
        self.declared: dict[str, None] = {}

    def found(self, value: str, size: str, lanes: int) -> str:
        """How many elements of the line come before a value."""
        code, places = self.code, _many("i64", lanes)
        steps = code.new(f"sub i64 64, {self._leading_zeros(size)}")
        first = "zeroinitializer" if lanes > 1 else "0"
        with code.loop("0", steps, 1, [(places, first), ("i64", size)]) as loop:
            low, left = loop.values
            # Of those that are left, the first half comes before the value if its last element does.
            half = code.new(f"sub i64 {left}, {code.new(f'lshr i64 {left}, 1')}")
            step = _spread(code, half, "i64", lanes)
            last = code.new(f"add {places} {low}, {_spread(code, code.add(half, -1), 'i64', lanes)}")
            goes = self._before(self._at(last, lanes), value, lanes)
            further = code.new(f"add {places} {low}, {step}")
            loop.following = [
                _select(code, goes, "i64", further, low, lanes),
                code.new(f"sub i64 {left}, {half}"),
            ]
        return loop.values[0]

    def _leading_zeros(self, size: str) -> str:
        self.declared["declare i64 @llvm.ctlz.i64(i64, i1)"] = None
        return self.code.new(f"call i64 @llvm.ctlz.i64(i64 {size}, i1 false)")

    def _at(self, places: str, lanes: int) -> str:
        """The elements of the line at some places."""
        code, kind = self.code, self.kind
        if lanes == 1:
            return _load(code, kind, code.at(self.line, places, self.stride))
        whole, pointers = kind.many(lanes), f"<{lanes} x ptr>"
        offsets = code.new(f"mul <{lanes} x i64> {places}, {_spread(code, self.stride, 'i64', lanes)}")
        at = code.new(f"getelementptr i8, ptr {self.line}, <{lanes} x i64> {offsets}")
        name = f"@llvm.masked.gather.v{lanes}{kind.name.replace('double', 'f64').replace('float', 'f32')}.v{lanes}p0"
        self.declared[f"declare {whole} {name}({pointers}, i32, <{lanes} x i1>, {whole})"] = None
        every = _splat("true", "i1", lanes)
        given = f"{pointers} {at}, i32 {kind.size}, <{lanes} x i1> {every}, {whole} poison"
        return code.new(f"call {whole} {name}({given})")

    def _before(self, element: str, value: str, lanes: int) -> str:
        """Whether an element comes before a value, NaN last; equal ones do if the search is for the right end."""
        if self.right:
            after = self._less(value, element, lanes)
            return self.code.new(f"xor {_many('i1', lanes)} {after}, {_splat('true', 'i1', lanes)}")
        return self._less(element, value, lanes)

    def _less(self, a: str, b: str, lanes: int) -> str:
        code, kind, whole = self.code, self.kind, self.kind.many(lanes)
        if not kind.floats:
            return code.new(f"icmp {'s' if kind.signed else 'u'}lt {whole} {a}, {b}")
        less = code.new(f"fcmp ult {whole} {a}, {b}")
        return code.new(f"and {_many('i1', lanes)} {less}, {code.new(f'fcmp ord {whole} {a}, {a}')}")


# -- hops ------------------------------------------------------------------------------------------------------------


def lower(
    hop: str, params: dict[str, Any], operands: Sequence[View], out: View, dtypes: Sequence[np.dtype[Any]]
) -> Step | None:
    """The step for a hop that goes along an axis, or None if it has no native form. `dtypes` are the operands'."""
    if hop == "cumsum":
        return cumsum(dtypes[0], operands[0], out, params["axis"])
    if hop in ("argmax", "argmin"):
        return position(dtypes[0], operands[0], out, params["axes"], hop == "argmax")
    if hop in ("argsort", "lexsort"):
        return order(dtypes, operands, out, params["axis"])
    if hop == "searchsorted" and dtypes[0] == dtypes[1]:
        return search(dtypes[0], operands[0], operands[1], out, params["side"] == "right")
    return None
