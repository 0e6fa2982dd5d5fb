"""Reading and writing at fixed places: indices by integers and slices compose, cancel, or do not meet."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import prod
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

from hopgrad.aval import Aval, Shape, aval
from hopgrad.hops.shape import Items, Operand, Slice
from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import ANY, rule

Pick = int | range | None
"""What is picked on one axis: one place, several, or (None) an axis of length 1 is made."""

# Sums of windows are cut into boxes for arrays of more elements, and into so many boxes at most: each is a loop of its
# own.
_SMALL = 512
_BOXES = 32

_FEWEST = 3  # scatters that become one
_WINDOW = 8  # places in a window that are taken one by one

# How many writes are looked through for the one that wrote what is read.
_DEPTH = 16


def picks_of(items: Items, shape: Shape) -> list[Pick] | None:
    """What an index picks, one entry for each axis that is read or made; None if it holds arrays."""
    found: list[Pick] = []
    axis = 0
    for item in items:
        if isinstance(item, (Operand, EllipsisType)):
            return None
        if item is None:
            found.append(None)
            continue
        n = shape[axis]
        found.append(range(n)[slice(*item)] if isinstance(item, Slice) else range(n)[item])
        axis += 1
    return found + [range(n) for n in shape[axis:]]


def items_of(picks: Sequence[Pick], shape: Shape) -> Items:
    """The index that picks this, in its shortest form."""
    items: list[Any] = []
    axis = 0
    for pick in picks:
        if isinstance(pick, range):
            items.append(_slice(pick, shape[axis]))
        else:
            items.append(pick)
        axis += pick is not None
    while items and items[-1] == _ALL:
        items.pop()
    return tuple(items)


_ALL = Slice(None, None, None)


def _slice(pick: range, n: int) -> Slice:
    if pick == range(n):
        return _ALL
    if not pick:
        return Slice(0, 0, 1)
    if len(pick) == 1:
        return Slice(pick.start, pick.start + 1, 1)
    stop = pick.start + len(pick) * pick.step
    return Slice(pick.start, stop if stop >= 0 else None, pick.step)


def _length(pick: Pick) -> int:
    return 1 if pick is None else len(pick) if isinstance(pick, range) else -1


def read(draft: Draft, node: int, picks: Sequence[Pick]) -> int:
    """An index by picks; nothing if they pick everything."""
    items = items_of(picks, draft.shape(node))
    return draft.make("index", node, items=items) if items else node


def compose(first: Sequence[Pick], second: Sequence[Pick]) -> list[Pick] | None:
    """What `second` picks of what `first` picks; None if it cannot be said in one index."""
    found: list[Pick] = []
    rest = iter(second)
    for pick in first:
        if isinstance(pick, int):
            found.append(pick)
            continue
        then = next(rest)
        while then is None:
            found.append(None)
            then = next(rest)
        if pick is not None:
            found.append(pick[then] if isinstance(then, int) else pick[then.start : _end(then) : then.step])
        elif isinstance(then, range):
            if len(then) != 1:
                return None
            found.append(None)
    return found + list(rest)


def _end(pick: range) -> int | None:
    stop = pick.start + len(pick) * pick.step
    return stop if stop >= 0 else None


def _apart(first: Pick, second: Pick) -> bool:
    """Whether two picks of one axis have no place in common, as far as is easily seen."""
    a = range(first, first + 1) if isinstance(first, int) else first
    b = range(second, second + 1) if isinstance(second, int) else second
    if a is None or b is None:
        return False
    if not a or not b:
        return True
    if max(a[0], a[-1]) < min(b[0], b[-1]) or max(b[0], b[-1]) < min(a[0], a[-1]):
        return True
    if len(a) == 1:
        return a[0] not in b
    if len(b) == 1:
        return b[0] not in a
    return abs(a.step) == abs(b.step) and (a[0] - b[0]) % abs(a.step) != 0


def apart(first: Sequence[Pick], second: Sequence[Pick]) -> bool:
    """Whether two indices of one array certainly have no place in common. Neither makes axes."""
    return any(_apart(a, b) for a, b in zip(first, second, strict=True))


def within(inner: Sequence[Pick], outer: Sequence[Pick]) -> list[Pick] | None:
    """How `inner` is read from what `outer` picks, if all of it is in there. Neither makes axes."""
    found: list[Pick] = []
    for a, b in zip(inner, outer, strict=True):
        if b is None or a is None:
            return None
        if isinstance(b, int):
            if a != b:
                return None
        elif isinstance(a, int):
            if a not in b:
                return None
            found.append(b.index(a))
        else:
            if not a or a[0] not in b or a[-1] not in b or (len(a) > 1 and a.step % b.step):
                return None
            start, step = b.index(a[0]), a.step // b.step if len(a) > 1 else 1
            stop = start + len(a) * step
            found.append(range(start, stop, step))
    return found


def _backwards(picks: Sequence[Pick]) -> bool:
    return any(isinstance(p, range) and len(p) > 1 and p.step < 0 for p in picks)


# -- indices that are arrays -----------------------------------------------------------------------------------------


@rule(("index", "put"), among=("constant", "number"))
def index_in_equal_steps(draft: Draft, call: Call, *args: int, items: Items) -> int | None:
    """An index array that is fixed, and goes in equal steps, is a slice; one without axes is an integer."""
    return _sliced(draft, call, args, items)


@rule("scatter", among=("constant", "number"))
def scatter_in_equal_steps(draft: Draft, call: Call, *args: int, items: Items, shape: Shape) -> int | None:
    """As for an index. By arrays it adds to 0.0, so that of −0.0 it makes 0.0, and by slices it does not."""
    return _sliced(draft, call, args, items, shape=shape)


def _sliced(draft: Draft, call: Call, args: tuple[int, ...], items: Items, **params: Any) -> int | None:
    moved = 2 if call.hop.name == "put" else 1
    place = next((k for k, item in enumerate(items) if isinstance(item, Operand)), None)
    # With other integers or arrays beside it, the axes of the result stand in another order.
    if place is None or len(args) != moved + 1 or any(not isinstance(item, (Slice, Operand)) for item in items):
        return None
    data = draft.builder.constants.get(args[moved])
    if data is None or data.ndim > 1 or data.dtype.kind not in "iu" or not data.size:
        return None
    n = (params["shape"] if call.hop.name == "scatter" else draft.shape(args[0]))[place]
    line = [int(k) + n * (k < 0) for k in data.reshape(-1)[:2]]
    step = line[1] - line[0] if len(line) > 1 else 1
    found = range(line[0], line[0] + step * data.size, step) if step else None
    if found is None or not 0 <= found[0] < n or not 0 <= found[-1] < n:
        return None
    if not np.array_equal(np.where(data < 0, data + n, data).reshape(-1), found):
        return None
    item = _slice(found, n) if data.ndim else found[0]
    return draft.make(call.hop.name, *args[:moved], items=(*items[:place], item, *items[place + 1 :]), **params)


@rule("index", among=("constant",))
def index_of_windows(draft: Draft, call: Call, *args: int, items: Items) -> int | None:
    """Windows that begin in equal steps, as an array of their places, are slices side by side."""
    found = _windows(draft, call, args, items, draft.shape(args[0]))
    if found is None:
        return None
    axis, slices = found
    shape = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    parts = [draft.reshape(draft.make("index", args[0], items=one), shape) for one in slices]
    return draft.make("concatenate", *parts, axis=axis)


@rule("scatter", among=("constant",))
def scatter_of_windows(draft: Draft, call: Call, *args: int, items: Items, shape: Shape) -> int | None:
    """As for an index; the windows overlap, so what lies in several is added up."""
    like = draft.aval(args[0])
    found = _windows(draft, like, args, items, shape)
    if found is None:
        return None
    axis, slices = found
    total = -1
    for k, one in enumerate(slices):
        place = (*[Slice(None, None, None)] * axis, k)
        part = draft.make("scatter", draft.make("index", args[0], items=place), items=one, shape=shape)
        total = part if total < 0 else draft.make("add", total, part)
    return total


def _windows(
    draft: Draft, result: Call | Aval, args: tuple[int, ...], items: Items, shape: Shape
) -> tuple[int, list[Items]] | None:
    """The axis of the places in a window, and for each place the slice of all windows, if there are few places."""
    place = next((k for k, item in enumerate(items) if isinstance(item, Operand)), None)
    if place is None or len(args) != 2 or any(not isinstance(item, (Slice, Operand)) for item in items):
        return None
    data = draft.builder.constants.get(args[1])
    if (
        data is None
        or data.ndim != 2
        or data.dtype.kind not in "iu"
        or not data.size
        or len(result.shape) != len(shape) + 1
    ):
        return None
    short = int(data.shape[1] <= data.shape[0])
    rows = np.moveaxis(np.where(data < 0, data + shape[place], data), short, 0)
    if len(rows) > _WINDOW or rows.shape[1] < 2 * len(rows):
        return None
    step = int(rows[0, 1] - rows[0, 0])
    steps = step * np.arange(rows.shape[1])
    if step <= 0 or (rows < 0).any() or (rows >= shape[place]).any() or (rows != rows[:, :1] + steps).any():
        return None
    spans = [range(int(row[0]), int(row[-1]) + 1, step) for row in rows]
    return place + short, [(*items[:place], _slice(span, shape[place]), *items[place + 1 :]) for span in spans]


# -- reading ---------------------------------------------------------------------------------------------------------


@rule("index")
def index_of_everything(draft: Draft, call: Call, x: int, *arrays: int, items: Items) -> int | None:
    """Reading everything in order, at most with axes of length 1 added or left out, is a reshape."""
    picks = picks_of(items, draft.shape(x))
    if picks is None or draft.aval(x).size != call.aval.size:
        return None
    return None if _backwards(picks) else draft.reshape(x, call.shape)


@rule("index", "index")
def index_of_an_index(draft: Draft, call: Call, x: int, *arrays: int, items: Items) -> int | None:
    """A view of a view is a view."""
    inner = draft.args(x)
    if len(inner) > 1:
        return None
    first = picks_of(draft.params(x)["items"], draft.shape(inner[0]))
    second = picks_of(items, draft.shape(x))
    if first is None or second is None:
        return None
    both = compose(first, second)
    return None if both is None else read(draft, inner[0], both)


@rule("reshape", "index")
def reshape_of_an_index(draft: Draft, call: Call, x: int, *, shape: Shape) -> int | None:
    """A stretch of length 1 whose axis is left out is one place."""
    inner, *arrays = draft.args(x)
    picks = picks_of(draft.params(x)["items"], draft.shape(inner))
    if arrays or picks is None:
        return None
    left = draft.aval(x).ndim - len(shape)
    found: list[Pick] = []
    for pick in picks:
        if left > 0 and not isinstance(pick, int) and _length(pick) == 1:
            left -= 1
            if pick is None:
                continue
            pick = pick[0]
        found.append(pick)
    kept = tuple([_length(pick) for pick in found if not isinstance(pick, int)])
    return read(draft, inner, found) if kept == shape and found != picks else None


@rule("index", "broadcast_to")
def index_of_broadcast(draft: Draft, call: Call, x: int, *arrays: int, items: Items) -> int | None:
    """What was broadcast is read, and broadcast."""
    (inner,) = draft.args(x)
    shape, small = draft.shape(x), draft.shape(inner)
    picks = picks_of(items, shape)
    if picks is None:
        return None
    axis = len(small) - len(shape)
    found: list[Pick] = []
    for pick in picks:
        if pick is None:
            if axis >= 0:
                found.append(None)
            continue
        if axis >= 0:
            whole: Pick = 0 if isinstance(pick, int) else range(1)
            found.append(whole if small[axis] == 1 else pick)
        axis += 1
    return draft.broadcast(read(draft, inner, found), call.shape)


@rule("index", "concatenate")
def index_of_joined(draft: Draft, call: Call, x: int, *arrays: int, items: Items) -> int | None:
    """What lies within one part is read from there."""
    picks = picks_of(items, draft.shape(x))
    if picks is None:
        return None
    axis = draft.params(x)["axis"]
    place = [k for k, p in enumerate(picks) if p is not None][axis]
    pick = picks[place]
    assert pick is not None
    if isinstance(pick, range) and not pick:
        return None
    parts = draft.args(x)
    ends = draft.remembered(x, lambda: list(accumulate(draft.shape(a)[axis] for a in parts)))
    first, last = (pick, pick) if isinstance(pick, int) else (pick[0], pick[-1])
    number = bisect_right(ends, first)
    if number != bisect_right(ends, last):
        return None
    start = ends[number - 1] if number else 0
    moved = pick - start if isinstance(pick, int) else range(pick.start - start, pick.stop - start, pick.step)
    picks[place] = moved
    return read(draft, parts[number], picks)


@rule("index", ("put", "scatter"))
def index_of_written(draft: Draft, call: Call, x: int, *arrays: int, items: Items) -> int | None:
    """What was written there last, or what was there before if nothing was: without the whole array."""
    shape = draft.shape(x)
    wanted = picks_of(items, shape)
    node = x
    for _ in range(_DEPTH):
        name, args = draft.name(node), draft.args(node)
        if name not in ("put", "scatter"):
            return draft.make("index", node, *arrays, items=items)
        count = 2 if name == "put" else 1
        written = draft.params(node)["items"]
        if written == items and args[count:] == arrays and (name == "put" or not arrays):
            return args[count - 1]
        picks = picks_of(written, shape)
        if wanted is None or picks is None:
            return None
        places = [p for p in picks if p is not None], [p for p in wanted if p is not None]
        if not apart(*places):
            inside = None if None in picks or None in wanted else within(wanted, picks)
            if inside is None:
                return None if node == x else draft.make("index", node, items=items)
            return read(draft, args[count - 1], inside)
        if name == "scatter":
            return draft.fill(0, call.aval)
        node = args[0]
    return None


# -- joined arrays ---------------------------------------------------------------------------------------------------

_FEW = 8  # parts


@rule(("isfinite", "isnan"), "concatenate")
def question_of_joined(draft: Draft, call: Call, x: int) -> int | None:
    """What is asked of large joined arrays is asked of each, where it is computed."""
    parts = draft.args(x)
    if call.aval.size <= _SMALL or len(parts) > _FEW:
        return None
    return draft.make("concatenate", *[draft.make(call.hop.name, a) for a in parts], axis=draft.params(x)["axis"])


@rule(("isfinite", "isnan"), ("reshape", "transpose"))
def question_of_moved(draft: Draft, call: Call, x: int) -> int | None:
    """What is asked of elements is asked where they are computed."""
    (inner,) = draft.args(x)
    return draft.make(draft.name(x), draft.make(call.hop.name, inner), **draft.params(x))


@rule(("all", "any"), "concatenate")
def answers_joined(draft: Draft, call: Call, x: int, *, axes: tuple[int, ...], keepdims: bool) -> int | None:
    """Whether something holds everywhere in large joined arrays: in all of them."""
    parts = draft.args(x)
    if draft.aval(x).size <= _SMALL or len(parts) > _FEW or draft.params(x)["axis"] not in axes:
        return None
    found = [draft.make(call.hop.name, a, axes=axes, keepdims=keepdims) for a in parts]
    for other in found[1:]:
        found[0] = draft.make("logical_and" if call.hop.name == "all" else "logical_or", found[0], other)
    return found[0]


# -- writing ---------------------------------------------------------------------------------------------------------


@rule("put")
def put_everywhere(draft: Draft, call: Call, x: int, v: int, *arrays: int, items: Items) -> int | None:
    """Writing everything, in order."""
    picks = picks_of(items, call.shape)
    if picks is None or draft.aval(v).size != call.aval.size:
        return None
    return None if _backwards(picks) else draft.reshape(v, call.shape)


@rule("scatter")
def scatter_everywhere(draft: Draft, call: Call, v: int, *arrays: int, items: Items, shape: Shape) -> int | None:
    """Writing everything into zeros, in order."""
    picks = picks_of(items, shape)
    if picks is None or draft.aval(v).size != call.aval.size:
        return None
    return None if _backwards(picks) else draft.reshape(v, shape)


@rule("put", "put")
def put_twice(draft: Draft, call: Call, x: int, v: int, *arrays: int, items: Items) -> int | None:
    """What is written at the same place as before is all that counts."""
    before, _, *others = draft.args(x)
    if draft.params(x)["items"] != items or tuple(others) != arrays or not draft.single(x):
        return None
    return draft.again(call.hop, (before, v, *arrays), call.params)


@rule("put", ANY, "index")
def put_back(draft: Draft, call: Call, x: int, v: int, *arrays: int, items: Items) -> int | None:
    """Writing what is there already."""
    same = draft.args(v) == (x, *arrays) and draft.params(v)["items"] == items
    return x if same and not arrays else None


# -- sums of what is written -----------------------------------------------------------------------------------------


@rule("add", among=("scatter", "add"))
def sum_of_written(draft: Draft, call: Call, *_: int) -> int | None:
    """A sum of arrays that are zero but for one place each, all different, is put together from these places.

    That is how the cotangent of an array arises that a program reads element by element: n additions of whole arrays.
    A place is a stretch of the first axis, or a single element. What is written to the same place is added first. Of
    large arrays windows that overlap are cut into boxes, each the sum of what covers it.
    """
    if call.kind == "b" or not call.shape or not draft.scatters or draft.added_further:
        return None
    pieces: list[int] = []
    others: list[int] = []
    stack = [*call.args[::-1]]
    while stack:
        node = stack.pop()
        whole = draft.shape(node) == call.shape  # and not broadcast
        if whole and draft.name(node) == "scatter" and len(draft.args(node)) == 1:
            pieces.append(node)
        elif whole and draft.name(node) == "add" and draft.single(node):
            stack += draft.args(node)[::-1]
        elif draft.number(node) != 0:
            others.append(node)
    if len(pieces) < 2:
        return None
    written = _put_together(draft, pieces, call.shape)
    if written is None:
        return _in_equal_steps(draft, pieces, others, call.shape) or _boxed(draft, pieces, others, call.shape)
    for node in others[1:]:
        others[0] = draft.make("add", others[0], node)
    return draft.broadcast(draft.make("add", others[0], written), call.shape) if others else written


def _put_together(draft: Draft, pieces: Sequence[int], shape: Shape) -> int | None:
    """The sum of scatters to disjoint stretches of the first axis, or to single elements."""
    picks = [picks_of(draft.params(node)["items"], shape) for node in pieces]
    flat = all(found is not None and all(isinstance(p, int) for p in found) for found in picks)
    line = (prod(shape),) if flat else shape
    found: dict[tuple[int, int], int] = {}
    for node, pick in zip(pieces, picks, strict=True):
        place = _linear(pick, shape) if flat else _stretch(pick, shape)
        if place is None:
            return None
        (v,) = draft.args(node)
        found[place] = draft.make("add", found[place], v) if place in found else v
    parts: list[int] = []
    end = 0
    for (start, stop), v in sorted(found.items()):
        if start < end:
            return None
        if start > end:
            parts.append(_zeros(draft, v, (start - end, *line[1:])))
        parts.append(draft.reshape(v, (stop - start, *line[1:])))
        end = stop
    if end < line[0]:
        parts.append(_zeros(draft, parts[-1], (line[0] - end, *line[1:])))
    return draft.reshape(draft.make("concatenate", *parts, axis=0), shape)


def _in_equal_steps(draft: Draft, pieces: Sequence[int], others: Sequence[int], shape: Shape) -> int | None:
    """Scatters whose places differ in one integer, which goes in equal steps, as a scatter of all to a slice."""
    groups: dict[tuple[int, Items], list[int]] = {}
    for node in pieces:
        items = draft.params(node)["items"]
        for k, item in enumerate(items):
            if type(item) is int and Ellipsis not in items:
                groups.setdefault((k, (*items[:k], *items[k + 1 :])), []).append(node)
    (number, rest), group = max(groups.items(), key=lambda pair: len(pair[1]), default=((0, ()), []))
    axis = sum(item is not None for item in rest[:number])
    values = {draft.params(node)["items"][number] % shape[axis]: draft.args(node)[0] for node in group}
    line = sorted(values)
    if len(line) < _FEWEST or len(line) < len(group):
        return None
    step = line[1] - line[0]
    if line != list(range(line[0], line[0] + step * len(line), step)):
        return None
    place = sum(type(item) is not int for item in rest[:number])
    parts = []
    for k in line:
        inner = draft.shape(values[k])
        parts.append(draft.reshape(values[k], (*inner[:place], 1, *inner[place:])))
    items = (*rest[:number], _slice(range(line[0], line[-1] + 1, step), shape[axis]), *rest[number:])
    total = draft.make("scatter", draft.make("concatenate", *parts, axis=place), items=items, shape=shape)
    for node in (*[p for p in pieces if p not in group], *others):
        total = draft.make("add", total, node)
    return draft.broadcast(total, shape)


class _Term(NamedTuple):
    """A value that covers a box of an array, the axes of which it has all: ranges of places."""

    node: int
    box: tuple[range, ...]


def _boxed(draft: Draft, pieces: Sequence[int], others: Sequence[int], shape: Shape) -> int | None:
    """The sum of scatters to boxes, and of whole arrays, in boxes that each term covers or leaves out."""
    terms = []
    for node in pieces:
        box = _box(picks_of(draft.params(node)["items"], shape))
        if box is None:
            return None
        (v,) = draft.args(node)
        terms.append(_Term(draft.reshape(v, tuple(map(len, box))), box))
    if prod(shape) <= _SMALL and (others or not _tiled(terms, shape)):
        return None
    whole = tuple(map(range, shape))
    terms += [_Term(draft.broadcast(node, shape), whole) for node in others]
    if _count(terms, 0, shape) > _BOXES:
        return None
    return _assembled(draft, terms, (), shape)


def _tiled(terms: Sequence[_Term], shape: Shape) -> bool:
    """Whether each place is covered once."""

    def apart(a: _Term, b: _Term) -> bool:
        return any(p.stop <= q.start or q.stop <= p.start for p, q in zip(a.box, b.box, strict=True))

    covered = sum(prod(map(len, term.box)) for term in terms)
    return covered == prod(shape) and all(apart(a, b) for k, a in enumerate(terms) for b in terms[:k])


def _box(picks: Sequence[Pick] | None) -> tuple[range, ...] | None:
    """The places of an index that picks a contiguous stretch of each axis."""
    if picks is None:
        return None
    box = [range(p, p + 1) if isinstance(p, int) else p for p in picks if p is not None]
    return tuple(box) if all(p and p.step == 1 for p in box) else None


def _intervals(terms: Sequence[_Term], axis: int, n: int) -> list[tuple[range, list[_Term]]]:
    """An axis cut where terms begin and end, with the terms that cover each part."""
    ends = sorted({0, n, *[end for term in terms for end in (term.box[axis].start, term.box[axis].stop)]})
    parts = [range(a, b) for a, b in pairwise(ends)]
    return [(part, [t for t in terms if part[0] in t.box[axis]]) for part in parts]


def _count(terms: Sequence[_Term], axis: int, shape: Shape) -> int:
    """How many boxes that makes."""
    if axis == len(shape) or not terms:
        return 1
    return sum(_count(covering, axis + 1, shape) for _, covering in _intervals(terms, axis, shape[axis]))


def _assembled(draft: Draft, terms: Sequence[_Term], place: tuple[range, ...], shape: Shape) -> int:
    """The sum of some terms at a place that is known along the first axes."""
    axis = len(place)
    if axis == len(shape):
        total = -1
        for term in terms:
            picks = [range(p.start - b.start, p.stop - b.start) for p, b in zip(place, term.box, strict=True)]
            part = read(draft, term.node, picks)
            total = part if total < 0 else draft.make("add", total, part)
        return total
    parts = []
    for places, covering in _intervals(terms, axis, shape[axis]):
        if covering:
            parts.append(_assembled(draft, covering, (*place, places), shape))
        else:
            parts.append(_zeros(draft, terms[0].node, (*map(len, place), len(places), *shape[axis + 1 :])))
    return parts[0] if len(parts) == 1 else draft.make("concatenate", *parts, axis=axis)


def _zeros(draft: Draft, like: int, shape: Shape) -> int:
    return draft.fill(0, aval(shape, draft.aval(like).dtype))


def _linear(picks: Sequence[Pick] | None, shape: Shape) -> tuple[int, int]:
    """The place of one element among all."""
    place = 0
    for pick, n in zip(picks or (), shape, strict=True):
        assert isinstance(pick, int)
        place = place * n + pick
    return place, place + 1


def _stretch(picks: Sequence[Pick] | None, shape: Shape) -> tuple[int, int] | None:
    """The rows that are picked, if they are picked as a whole and in order."""
    if picks is None or [p for p in picks[1:] if p is not None] != [range(n) for n in shape[1:]]:
        return None
    first = picks[0]
    if isinstance(first, int):
        return first, first + 1
    return (first.start, first.stop) if first and first.step == 1 else None
