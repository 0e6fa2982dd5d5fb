"""Shared memory, as NumPy has it: which traced arrays are views of which, and what a write to one does to the others.

A graph knows values only, so ``a[1:] += y`` has to become a new value for ``a`` and for every view of it. Each array
that was viewed or written to has a `Memory`: its current value and how often it changed. An array is a memory with a
*path* into it, the hops by which NumPy would read it out. Reading follows the path again after a change; writing goes
back along it.

An array that nothing traced was written to yet (``np.zeros(3)`` of ``hopgrad.numpy``) keeps real NumPy data instead,
which NumPy reads and writes itself; only when a traced value is written does it become a value of the graph.

An array that the function did not make, an argument or one of the surrounding program, has a *home*: the caller's own
array, which has to hold the final value when the call is over.

Whether NumPy copies depends on strides (``a.T.reshape(-1)`` does, ``a.reshape(-1)`` does not). They are followed as far
as they are known. Where they are not, two memories are in *doubt*: writing to one makes reading the other an error.
"""

from __future__ import annotations

import weakref
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from hopgrad.aval import Shape
from hopgrad.graph.builder import Builder, Params, catalogue
from hopgrad.graph.hop import Hop
from hopgrad.hops.shape import Items, Slice, reshape, selection

Strides = tuple[int, ...]
"""Steps from element to element along each axis, counted in elements."""

Verdict = Literal["view", "copy", "doubt"]


class Step(NamedTuple):
    """One hop of a path; `rest` are its operands besides the array.

    With `element` they are traced integers that choose along one axis each, as in ``a[k]``: NumPy makes a view.
    """

    hop: Hop
    params: Params
    rest: tuple[int, ...]
    element: bool = False


Path = tuple[Step, ...]


class Memory:
    """The elements that an array and its views share.

    Attributes: ``node`` is the value of the graph that they have now, or ``data`` the real array until a traced value
    is written; ``version`` counts changes; ``layout`` is "C", the strides, or None where they are not known;
    ``writable`` is False for arrays that NumPy makes read-only, None if only some views are; ``group`` lists the
    memories of which this one may or may not be a part; ``lost`` says why it cannot be read any more.

    ``home`` is the array of the caller that this memory stands for: a NumPy array, or the tracer of an outer function;
    None for arrays made inside; with `inner` it is the argument of a function differentiated inside. ``name`` is what
    messages call it, ``holders`` how many refer to the data from outside, and ``lent`` counts the inner functions that
    have it as an argument at the moment. ``born`` is the body of a loop or branch in which it was made (`Trace.body`),
    -1 until an array is attached to it.
    """

    __slots__ = (
        "born",
        "captured",
        "data",
        "exposed",
        "group",
        "home",
        "inner",
        "layout",
        "lent",
        "lost",
        "name",
        "node",
        "version",
        "writable",
    )  # fmt: skip

    def __init__(
        self,
        node: int,
        data: np.ndarray[Any, Any] | None = None,
        layout: Strides | Literal["C"] | None = "C",
        writable: bool | None = True,
    ) -> None:
        self.node = node
        self.data = data
        self.version = 0
        self.layout = layout
        self.writable = writable
        self.group: list[Memory] | None = None
        self.lost = ""
        self.home: Any = None
        self.name = ""
        self.captured = False
        self.exposed: list[weakref.ref[_Holder]] = []
        self.inner = False
        self.lent = 0
        self.born = -1

    def doubt(self, other: Memory) -> None:
        """Note that the two may or may not have elements in common."""
        mine, theirs = self.group or [self], other.group or [other]
        group = [*mine, *[memory for memory in theirs if memory not in mine]]
        for memory in group:
            memory.group = group

    def change(self, node: int, place: str) -> None:
        """Give the whole memory a new value."""
        self.node = node
        self.version += 1
        for other in self.group or ():
            if other is not self:
                other.lose(
                    "whether NumPy copied this array or made a view of another one, which was assigned to at"
                    f" {place}, depends on its memory layout, which is not known: copy it before (y = x.copy())"
                )

    def lose(self, why: str) -> None:
        """Its value is not known any more: reading it is an error that says why."""
        self.lost = why
        self.version += 1

    @property
    def shared(self) -> bool:
        """Whether plain NumPy arrays refer to the real data, so that they would miss traced values written here."""
        return any(holder() is not None for holder in self.exposed)

    def expose(self, view: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A part of the real data for code that is not traced; for as long as it is referred to, the data stays."""
        holder = _Holder(view)
        self.exposed = [known for known in self.exposed if known() is not None]
        self.exposed.append(weakref.ref(holder))
        return np.asarray(holder)


class _Holder:
    """NumPy keeps this alive as long as the array made of it, and all views of that one."""

    __slots__ = ("__array_interface__", "__weakref__", "_view")

    def __init__(self, view: np.ndarray[Any, Any]) -> None:
        self._view = view
        self.__array_interface__ = view.__array_interface__


# -- paths -----------------------------------------------------------------------------------------------------------

_MOVES = frozenset({"reshape", "transpose", "index", "broadcast_to"})
_SMALL = 64  # elements; a smaller constant is easier to read as it is
_WHOLE = (Slice(None, None, None), Slice(None, None, 1))


def walk(builder: Builder, node: int, source: int) -> Path | None:
    """The path from `source` to `node`, or None if `node` is no mere rearrangement of it."""
    steps = []
    while node != source:
        hop = builder.hop(node)
        if hop.name not in _MOVES or node < source:
            return None
        first, *rest = builder.args(node)
        steps.append(Step(hop, builder.params(node), tuple(rest)))
        node = first
    return tuple(reversed(steps))


def follow(builder: Builder, node: int, path: Path) -> int:
    """Read: the value at the end of the path that starts at `node`."""
    for step in path:
        if step != read_only(builder.avals[node].shape):
            node = builder.emit(step.hop, (node, *step.rest), step.params)
    return node


def read_only(shape: Shape) -> Step:
    """The step to an array that has all the elements, but cannot be written to."""
    return Step(catalogue["broadcast_to"], (("shape", shape),), ())


def is_writable(path: Path) -> bool:
    """Whether each element of the array has one place of its own. NumPy makes other views read-only."""
    return not any((step.rest and not step.element) or step.hop.name == "broadcast_to" for step in path)


def replace(builder: Builder, node: int, path: Path, value: int) -> int:
    """Write: `node` with `value` at the end of the path."""
    if not path:
        return value
    inside = [node]
    for step in path[:-1]:
        inside.append(follow(builder, inside[-1], (step,)))
    for step, whole in zip(reversed(path), reversed(inside), strict=True):
        shape = builder.avals[whole].shape
        params = dict(step.params)
        if step.hop.name == "reshape":
            value = builder.emit(step.hop, (value,), (("shape", shape),))
        elif step.hop.name == "transpose":
            back = tuple(int(k) for k in np.argsort(params["axes"]))
            value = builder.emit(step.hop, (value,), (("axes", back),))
        elif step.hop.name in ("real", "imag"):
            z, new = builder.expr(whole), builder.expr(value)
            parts = (new, catalogue["imag"](z)) if step.hop.name == "real" else (catalogue["real"](z), new)
            value = catalogue["cartesian"](*parts).id
        else:
            value = put(builder, whole, value, params["items"])
    return value


def put(builder: Builder, node: int, value: int, items: Items, places: tuple[int, ...] = ()) -> int:
    """`node` with `value` written at an index; `value` itself where that is everything."""
    if all(item is None or item in _WHOLE for item in items):
        shape = builder.avals[node].shape
        return value if builder.avals[value].shape == shape else reshape(builder.expr(value), shape=shape).id
    return builder.emit(catalogue["put"], (node, value, *places), (("items", items),))


def window(data: np.ndarray[Any, Any], path: Path) -> np.ndarray[Any, Any]:
    """The real view at the end of a path into real data; the whole where a traced place follows."""
    for step in path:
        if step.element:
            return data
        params = dict(step.params)
        if step.hop.name == "index":
            data = data[(*selection(params["items"]), Ellipsis)]  # with an ellipsis an element is a view too
        else:
            data = step.hop.function(data, **params)
    return data


def constant(builder: Builder, data: np.ndarray[Any, Any]) -> int:
    """Real data as a value of the graph; many equal elements are stored once."""
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    if data.size > _SMALL and data.dtype.kind in "fiubc":
        first = data.flat[0]
        if (data == first).all() and not (_has_minus_zero(data.real) or _has_minus_zero(data.imag)):
            scalar = builder.constant(first).id
            return builder.emit(catalogue["broadcast_to"], (scalar,), (("shape", data.shape),))
    return builder.constant(data).id


def _has_minus_zero(data: np.ndarray[Any, Any]) -> bool:
    return data.dtype.kind == "f" and data.flat[0] == 0 and bool(np.signbit(data).any())


# -- strides ---------------------------------------------------------------------------------------------------------


def c_strides(shape: Shape) -> Strides:
    """The strides of an array in C order.

    >>> c_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def is_contiguous(shape: Shape, strides: Strides, order: str = "C") -> bool:
    """Whether the elements lie without gaps in this order; axes of length 1 do not count, as in NumPy."""
    if 0 in shape:
        return True
    step = 1
    axes = list(zip(shape, strides, strict=True))
    for n, stride in reversed(axes) if order == "C" else axes:
        if n != 1 and stride != step:
            return False
        step *= n
    return True


def keeps_order(shape: Shape, strides: Strides) -> bool:
    """Whether a ufunc on an array of these strides, which keeps their order, gives an array in C order."""
    steps = [s for n, s in zip(shape, strides, strict=True) if n != 1]
    return 0 in shape or (all(s > 0 for s in steps) and all(a >= b for a, b in pairwise(steps)))


def reshaped(shape: Shape, strides: Strides, new: Shape) -> Strides | None:
    """The strides of a reshaped view, or None where NumPy has to copy.

    The rule of ``_attempt_nocopy_reshape`` in NumPy's ``shape.c``: axes that are merged must lie without gaps.

    >>> reshaped((2, 3), (3, 1), (6,)), reshaped((3, 2), (1, 3), (6,))
    ((1,), None)
    """
    if is_contiguous(shape, strides):
        return c_strides(new)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    found: list[int] = []
    first = 0
    k = 0
    while k < len(new) and first < len(old):
        count, end = new[k], first + 1
        have, stop = old[first][0], k + 1
        while count != have:
            if count < have:
                count *= new[stop]
                stop += 1
            else:
                have *= old[end][0]
                end += 1
        for j in range(first, end - 1):
            if old[j][1] != old[j + 1][0] * old[j + 1][1]:
                return None
        steps = [old[end - 1][1]]
        for n in reversed(new[k + 1 : stop]):
            steps.append(steps[-1] * n)
        found.extend(reversed(steps))
        k, first = stop, end
    last = found[-1] if found else 1
    return (*found, *[last] * (len(new) - k))


def judge(
    shape: Shape, strides: Strides | None, path: Path, contiguous: bool = False
) -> tuple[Verdict, Strides | None]:
    """Whether NumPy reads a path from an array of these strides as a view or by copying, and the strides of the result.

    With `contiguous` it copies whatever is not contiguous, as ``np.ravel`` does even where a view would do.
    """
    verdict: Verdict = "view"
    for step in path:
        params = dict(step.params)
        if step == read_only(shape):
            continue
        if (step.rest and not step.element) or step.hop.name == "broadcast_to":
            # A read-only view, whose strides nobody asks for, unless NumPy is to reshape it.
            moved = any(later.hop.name == "reshape" for later in path[path.index(step) + 1 :])
            return ("doubt" if moved else verdict), None
        if step.hop.name == "reshape":
            new: Shape = params["shape"]
            if strides is None:
                if contiguous or [n for n in new if n != 1] != [n for n in shape if n != 1]:
                    verdict = "doubt"
            else:
                gaps = contiguous and not is_contiguous(shape, strides)
                strides = None if gaps else reshaped(shape, strides, new)
                if strides is None:
                    verdict, strides = "copy", c_strides(new)
            shape = new
        elif step.hop.name == "transpose":
            shape = tuple(shape[k] for k in params["axes"])
            strides = None if strides is None else tuple(strides[k] for k in params["axes"])
        elif step.hop.name in ("real", "imag"):
            strides = None if strides is None else tuple(2 * s for s in strides)
        else:
            shape, strides = _selected(shape, strides, params["items"])
    return verdict, strides


def _selected(shape: Shape, strides: Strides | None, items: Items) -> tuple[Shape, Strides | None]:
    if strides is None:
        return _selected(shape, c_strides(shape), items)[0], None
    lengths: list[int] = []
    steps: list[int] = []
    axis = 0
    for item in items:
        if item is None:
            lengths.append(1)
            steps.append(0)
            continue
        if isinstance(item, Slice):
            start, stop, step = slice(*item).indices(shape[axis])
            lengths.append(len(range(start, stop, step)))
            steps.append(strides[axis] * step)
        axis += 1
    return (*lengths, *shape[axis:]), (*steps, *strides[axis:])


def strides_of_array(array: np.ndarray[Any, Any]) -> Strides | Literal["C"] | None:
    """The layout of a real array; None where its steps are no multiples of an element (a field of records)."""
    if array.flags.c_contiguous:
        return "C"
    if any(s % array.itemsize for s in array.strides):
        return None
    return tuple(s // array.itemsize for s in array.strides)


# -- homes -----------------------------------------------------------------------------------------------------------


def overlapping(first: Memory, second: Memory) -> bool:
    """Whether the homes of two memories may have elements in common, unless one is the home of the other."""
    if second in (first.group or ()):
        return True
    for one, other in ((first, second), (second, first)):
        while hasattr(type(one.home), "_memory"):
            one = one.home._memory
            if one is other:
                return False  # it cannot be read while the other one is written to
    probes: dict[int, np.ndarray[Any, Any]] = {}
    (root, part), (other_root, other_part) = region(first.home, probes), region(second.home, probes)
    if root is not other_root:
        return root is not None and other_root is not None and root in (other_root.group or ())
    try:
        work: Any = 10_000  # NumPy's stubs know only its two constants
        return bool(np.shares_memory(part, other_part, max_work=work))
    except (np.exceptions.TooHardError, OverflowError):
        return True


def region(home: Any, probes: dict[int, np.ndarray[Any, Any]]) -> tuple[Memory | None, np.ndarray[Any, Any]]:
    """Which part of which memory an array is (None: of real memory), as an array in that memory or one laid out alike.

    `home` is a NumPy array, or a tracer with a memory.
    """
    path: Path = ()
    while hasattr(type(home), "_memory"):  # a tracer: it says that it is an np.ndarray
        shared: Memory = home._memory
        path = (*home._path, *path)
        if shared.data is not None:
            home = shared.data
        elif shared.home is not None:
            home = shared.home
        else:
            shape = home._trace.builder.avals[shared.node].shape
            return shared, window(probes.setdefault(id(shared), np.empty(shape, np.int8)), path)
    return None, window(home, path)
