"""From a graph to a list of steps: which hops are computed together, and which values stand in memory.

Elementwise hops are *virtual*: they are computed where their value is needed, inside the kernel that needs it. What has
to stand in memory makes kernels: results, what is reduced, operands of products and of hops that NumPy computes.
Everything has a *level*: one more than the deepest kernel that it needs. What is needed on one level over places of one
shape goes into one kernel. A virtual value that several kernels need is computed in each of them if that is cheap, else
stored by the first one. Views (slices, transposes, broadcasts, reshapes) are no work at all: they are other ways of
addressing what they are views of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Several, Shape, aval
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import Elementwise, Hop, Reduction
from hopgrad.hops.shape import Operand
from hopgrad.lower import scalar
from hopgrad.lower.machine import Step
from hopgrad.lower.nest import (
    CACHED,
    SMALL,
    Access,
    Check,
    Compute,
    Convert,
    Entry,
    Gather,
    Index,
    Load,
    Nest,
    Number,
    Position,
    Reduce,
    Scatter,
    Store,
)  # fmt: skip
from hopgrad.lower.scalar import KINDS
from hopgrad.lower.views import (
    Axis,
    Map,
    View,
    broadcast,
    c_strides,
    identity,
    outside,
    picked,
    reduced,
    reshaped_strides,
    through,
    view_through,
)  # fmt: skip
from hopgrad.simplify.sums import SHORT

LARGEST = 64
"""How many hops a value may be computed from without anything on the way being stored."""
LARGEST_SMALL = 40
"""The same for numbers and small arrays: their kernels cost more to compile than to run."""
MOST_VALUES = 160
"""How many values a kernel with loops has at most, so that it stays in the processor's registers and caches."""
MOST_ACCESSES = 24
LARGEST_OF_ALL = 512
"""Loops are not cut at all if they compute no more values than this all together: one large kernel takes LLVM less
time than small ones that compute again what others do."""
MANY = 16
"""How many elements the arrays have that count there."""
DEAR = 15
"""From what cost on (in additions) a value is stored instead of computed again."""
DEAR_SMALL = 2
"""The same for numbers and small arrays, whose memory is at hand."""
DEAR_LATER = 30
"""The same for large arrays that are needed again `LATER` levels later, when they have left the caches: a function of
the vector library takes no longer than writing its values to memory and reading them, which stay there all the time."""
LATER = 12
MOST_COST = 1 << 20
"""Costs are not counted beyond this: what is needed in many ways would have them grow without bounds."""
DEAR_ALONE = 4
"""The same for what a loop of its own has to store, since kernels need parts of it only."""
READ = 2
"""What reading a large array costs that a value is computed from."""
ROW = 256
"""How long a row is at most that takes less time than a function of one number."""

FEW = 4
"""A value of which only some part smaller than this is needed is not stored for that."""

VIEWS = frozenset({"reshape", "transpose", "broadcast_to", "index"})

# -- buffers and steps -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Buffer:
    """Memory of a value: an argument, a constant, a result, or part of the call's own block."""

    aval: Aval
    role: str
    """"input", "constant", "output", "temporary", or "object": whatever NumPy returns."""
    number: int = -1
    """Of the input or output."""
    data: np.ndarray[Any, Any] | None = None
    """Of a constant."""

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.aval.size * self.aval.dtype.itemsize


@dataclass
class KernelStep:
    """Loop nests: one, or some that follow each other part by part."""

    nests: list[Nest]
    level: int
    parts: Any = None
    """They in parts, if they are large (`hopgrad.lower.parts`)."""


@dataclass
class CallStep:
    """A hop that NumPy (or a library, natively) computes from values in memory."""

    node: int
    hop: Hop
    params: dict[str, Any]
    operands: list[View | int]
    """Views of memory, or ids of values that are objects of Python."""
    result: int
    """A buffer; −1 if the result is no array."""
    level: int
    wanted: tuple[int, ...] = ()
    """Of a hop with several results: those that somebody takes."""
    native: Step | None = None
    """How a library computes it, called natively; None: NumPy does."""
    scratch: int = -1
    """The buffer that the library works in, if it needs one."""
    written: list[int] = field(default_factory=list)
    """Of a native hop with several results: the buffers that it writes to."""
    parts: Any = None
    """It in parts, if it is large and native (`hopgrad.lower.parts`)."""


Library = Callable[[Hop, dict[str, Any], Sequence[View], View, Sequence[np.dtype[Any]]], Step | None]
"""Finds the native form of a hop, given its operands and result in memory, and the dtypes of these."""

Compounds = Callable[["Fuser", int], bool]
"""Places a hop with several results that can be computed natively, and says whether it did."""


@dataclass
class Schedule:
    """What to do, in order, and with which memory; `views` tells where each stored value is."""

    buffers: list[Buffer]
    steps: list[KernelStep | CallStep]
    views: dict[int, View]
    outputs: list[int]
    """The buffer of each result."""


@dataclass
class _Kernel:
    """A kernel in the making."""

    shape: Shape
    level: int
    nest: Nest
    memo: dict[tuple[int, Map], int] = field(default_factory=dict)


@dataclass
class _Sink:
    """Something that a kernel has to do: store or reduce a value."""

    node: int
    level: int
    shape: Shape
    target: View
    reduce: tuple[str, frozenset[int]] | None = None
    expected: float | None = None
    at: tuple[Any, tuple[int, ...], bool] | None = None
    """Index items, index arrays, and whether to add, where the places are computed."""
    again: bool = False
    """Whether the value is computed once more, wherever it may be stored."""


@dataclass
class _Costs:
    """What values cost to compute from those in memory."""

    own: dict[int, int] = field(default_factory=dict)
    reads: dict[int, frozenset[int]] = field(default_factory=dict)
    """The buffers of large arrays that a value is computed from; of one that is stored, its own."""


class Fuser:
    """Makes the schedule for some outputs of a graph, given the strides of its inputs.

    Args:
        builder: A graph that was simplified.
        outputs: What to compute; each gets memory of its own.
        inputs: Nodes whose values are given, with their strides in elements; None for one that is no array.
        checks: Nodes that have to have a value for the program to go on (guards).
        library: Finds native forms of hops that are no loop nests.
        compound: Finds those of hops with several results.
        whole: Whether kernels may have any size.
        once: Values that are computed once and stored, whatever that costs.
    """

    def __init__(
        self,
        builder: Builder,
        outputs: Sequence[int],
        inputs: dict[int, tuple[int, ...] | None],
        checks: Sequence[tuple[int, float]] = (),
        library: Library | None = None,
        compound: Compounds | None = None,
        whole: bool = False,
        once: frozenset[int] = frozenset(),
    ) -> None:
        self._asked = (builder, outputs, inputs, checks, library, compound, whole)
        self.builder = builder
        self.whole = whole
        self.once = once
        self.deciding: dict[int, set[tuple[int, Map]]] = {}
        """Values of inexact functions that something without continuity depends on, and where kernels compute them."""
        self.given = inputs
        self.order = reachable(builder, [*outputs, *[node for node, _ in checks]], known=inputs)
        self.buffers: list[Buffer] = []
        self.views: dict[int, View] = {}
        self.objects: set[int] = set()
        """Values that are objects of Python."""
        self.avail: dict[int, int] = {}
        """The level from which on a stored value can be read."""
        self.ready: dict[int, int] = {}
        """The level from which on a virtual value can be computed."""
        self.stored_at: dict[int, int] = {}
        """The level of the kernel that stores a virtual value."""
        self._cut_kinds: set[int] = set()
        self.cut: set[int] = set()
        """Virtual values that are read from memory even by kernels which could compute them."""
        self.cones: dict[int, frozenset[int]] = {}
        """What a virtual value is computed from without being read from memory; gone when its last user is placed."""
        self.cost: dict[int, int] = {}
        self.sinks: list[_Sink] = []
        self.calls: list[CallStep] = []
        self._called: set[int] = set()
        """The hops of those."""
        self.checks = checks
        self.library = library
        self.compound = compound
        self.joined: dict[int, View] = {}
        """Where arrays are that are put together from parts."""
        self.results: dict[int, dict[int, View]] = {}
        """Of a native hop with several results: where each of them is."""
        self.wanted: dict[int, int] = {}
        """Virtual values that the first kernel which computes them is to store, and its level."""
        self._uses()
        self._output_of: dict[int, int] = {}
        self.output_buffers = [self._buffer(Buffer(builder.avals[node], "output", k)) for k, node in enumerate(outputs)]
        self.outputs = list(outputs)
        for node, buffer in zip(outputs, self.output_buffers, strict=True):
            self._output_of.setdefault(node, buffer)

    def schedule(self) -> Schedule:
        """The whole."""
        left = {node: len(users) for node, users in self.users.items()}
        for node in self.order:
            self._place(node)
            if node not in self.given:
                for a in set(self.builder.args(node)):
                    left[a] -= 1
                    if not left[a]:
                        self.cones.pop(a, None)
        self._results()
        self._store_what_is_dear()
        kernels = self._kernels()
        steps: list[KernelStep | CallStep] = [*kernels, *self.calls]
        steps.sort(key=lambda s: s.level)
        several = [node for node, places in self.deciding.items() if len(places) > 1]
        if several:
            return Fuser(*self._asked, once=self.once.union(several)).schedule()
        return Schedule(self.buffers, steps, self.views, self.output_buffers)

    # -- what is what ----------------------------------------------------------------------------------------------

    def _uses(self) -> None:
        """Who uses each value."""
        builder = self.builder
        self.users: dict[int, list[int]] = {node: [] for node in self.order}
        for node in self.order:
            if node not in self.given:
                for a in dict.fromkeys(builder.args(node)):
                    self.users[a].append(node)
        self._many = sum(
            builder.avals[node].size >= MANY and self._is_virtual(node, builder.hop(node))
            for node in self.order
            if type(builder.avals[node]) is Aval
        )
        """How many values are computed over many places."""

    def _buffer(self, buffer: Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def _is_native(self, node: int) -> bool:
        """Whether a value is of a dtype that kernels compute with."""
        like = self.builder.avals[node]
        return like.dtype in KINDS and like.size > 0

    def _is_nothing(self, node: int, hop: Hop, params: dict[str, Any], args: Sequence[int]) -> bool:
        """Whether a value has no elements, and nothing can go wrong with it."""
        avals = self.builder.avals
        like = avals[node]
        if isinstance(like, Several) or like.size or like.dtype not in KINDS:
            return False
        picks = any(isinstance(item, Operand) for item in params.get("items", ()))
        return not picks and ("raises" not in hop.traits or not any(avals[a].size for a in args))

    def _is_virtual(self, node: int, hop: Hop) -> bool:
        builder = self.builder
        if hop.name == "convert" or (isinstance(hop, Elementwise) and hop.lowering):
            if hop.name != "convert" and not fits(hop, [builder.avals[a].dtype for a in builder.args(node)]):
                return False
            return self._is_native(node) and all(builder.avals[a].dtype in KINDS for a in builder.args(node))
        return False

    def _place(self, node: int) -> None:
        """Decide how a value comes about."""
        builder = self.builder
        like = builder.avals[node]
        hop = builder.hop(node)
        args = builder.args(node)
        params = dict(builder.params(node))
        if node in self.given:
            strides = self.given[node]
            if strides is None:
                self.objects.add(node)
                self.avail[node] = 0
                return
            k = self._buffer(Buffer(like, "input", list(self.given).index(node)))
            self._stored(node, View(k, like.shape, strides), 0)
        elif node in builder.constants:
            if not like.shape and like.dtype in KINDS:
                self.ready[node], self.cones[node], self.cost[node] = 0, _NOTHING, 0
            else:
                k = self._buffer(Buffer(like, "constant", data=builder.constants[node]))
                self._stored(node, View(k, like.shape, c_strides(like.shape)), 0)
        elif self._is_nothing(node, hop, params, args):
            self._stored(node, self.home(node), 0)
        elif self._is_virtual(node, hop):
            self._place_virtual(node, hop, args)
        elif hop.name in VIEWS and len(args) == 1 and self._place_view(node, hop.name, params, args[0]):
            pass
        elif (
            isinstance(hop, Reduction)
            and hop.lowering in scalar.REDUCERS
            and self._reduces(node, args[0], hop.lowering)
        ):
            self._place_reduction(node, hop.lowering, frozenset(params["axes"]), params["keepdims"], args[0])
        elif isinstance(like, Several) and self.compound is not None and self.compound(self, node):
            pass
        elif hop.name == "item" and args[0] in self.results:
            self._stored(node, self.results[args[0]][params["index"]], self.avail[args[0]])
        elif hop.name == "concatenate" and self._is_native(node):
            self._place_joined(node, params["axis"], args)
        elif hop.name == "exists" and args[0] not in self.objects:
            # Its operand is computed, and the step that does so ends the program if there is no value.
            if args[0] not in self.avail:
                self.store(args[0])
            self.ready[node], self.cones[node], self.cost[node] = self.avail[args[0]], _NOTHING, 0
        elif hop.name == "triangle" and self._is_native(node):
            self._place_virtual(node, hop, args)
        elif hop.name == "index" and self._is_picked(node, params["items"], args[1:]):
            self._place_picked(node, args)
        elif hop.name in ("put", "scatter") and self._is_picked(node, params["items"], args[2 - (hop.name != "put") :]):
            self._place_written(node, hop.name, params, args)
        elif hop.name in ("put", "scatter") and self._is_window(node, params["items"], args):
            self._place_window(node, hop.name, params, args)
        else:
            self._place_call(node, hop, params, args)

    def _reduces(self, node: int, source: int, way: str) -> bool:
        """Whether a reduction can be part of a kernel."""
        like, whole = self.builder.avals[source], self.builder.avals[node]
        if not like.size or not whole.size or like.dtype not in KINDS or whole.dtype not in KINDS:
            return False
        return way in ("any", "all") or (like.dtype == whole.dtype and like.dtype.kind in "fi")

    def _stored(self, node: int, view: View, level: int) -> None:
        self.views[node] = view
        self.avail[node] = level

    def home(self, node: int) -> View:
        """New memory for a value, in C order: that of the result, if it is one."""
        like = self.builder.avals[node]
        buffer = self._output_of.get(node)
        if buffer is None:
            buffer = self._buffer(Buffer(like, "temporary"))
        return View(buffer, like.shape, c_strides(like.shape))

    def _is_picked(self, node: int, items: Any, arrays: Sequence[int]) -> bool:
        """Whether an index with arrays of integers can be part of a kernel."""
        avals = self.builder.avals
        operands = sum(isinstance(item, Operand) for item in items)
        return (
            self._is_native(node)
            and 0 < operands == len(arrays)
            and avals[self.builder.args(node)[0]].size > 0
            and avals[self.builder.args(node)[0]].dtype in KINDS
            and all(avals[a].dtype.kind == "i" and avals[a].dtype in KINDS and avals[a].size for a in arrays)
        )

    def _place_picked(self, node: int, args: Sequence[int]) -> None:
        """Elements at computed places: computed where they are needed, from a source in memory."""
        source, *arrays = args
        if source not in self.avail:
            self.store(source)
        levels = [self._level(a, self.builder.avals[node].shape) for a in arrays]
        self.ready[node] = max(self.avail[source], *levels)
        inner = [a for a in arrays if a in self.ready and a not in self.cut]
        self.cost[node] = 4 * len(arrays) + sum(self.cost[a] for a in inner)
        self.cones[node] = frozenset((node,)).union(*[self.cones[a] for a in inner])

    def _place_written(self, node: int, hop: str, params: dict[str, Any], args: Sequence[int]) -> None:
        """``put`` and ``scatter`` at computed places."""
        builder = self.builder
        value, arrays = (args[0], args[1:]) if hop == "scatter" else (args[1], args[2:])
        home, level = self._zeros(node) if hop == "scatter" else self._base_of(node, args[0])
        part = builder.avals[value]
        levels = [self._level(a, part.shape) for a in (value, *arrays)]
        after = max(level + 1, *levels)
        if part.size:
            adds = hop == "scatter"  # of booleans that is "or"
            self.sinks.append(_Sink(value, after, part.shape, home, at=(params["items"], tuple(arrays), adds)))
        self._stored(node, home, after + 1)

    def _zeros(self, node: int, window: Map | None = None, lengths: Shape = ()) -> tuple[View, int]:
        """New memory full of zeros, but for a window if that is given, and the level at which it is written."""
        like = self.builder.avals[node]
        home = self.home(node)
        zero = self.builder.constant(0, like.dtype).id
        self.ready[zero], self.cones[zero], self.cost[zero] = 0, _NOTHING, 0
        parts = [home] if window is None or like.size <= SMALL else outside(home, window, lengths)
        for part in parts:
            self.sinks.append(_Sink(zero, 0, part.shape, part))
        return home, 0

    # -- virtual values --------------------------------------------------------------------------------------------

    def _level(self, node: int, shape: Shape) -> int:
        """When a value can be used over places of a shape.

        One that is stored and has this shape can be used at once, by the very kernel that stores it.
        """
        at_once = node in self.ready and node not in self.cut and self.builder.avals[node].shape == shape
        return self.ready[node] if at_once or node not in self.avail else self.avail[node]

    def _place_virtual(self, node: int, hop: Hop, args: Sequence[int]) -> None:
        like = self.builder.avals[node]
        own = scalar.cost(hop.lowering) if hop.lowering else 1
        for a in args:  # what would be computed over and over again along an axis is stored
            self._keep_if_repeated(a, like)
        self.ready[node] = max((self._level(a, like.shape) for a in args), default=0)
        inner = [a for a in args if a in self.ready and a not in self.cut]
        self.cost[node] = own + sum(self.cost[a] for a in inner)
        cone = frozenset((node,)).union(*[self.cones[a] for a in inner])
        self.cones[node] = cone
        if hop.name in _DECISIONS:
            self._decide(args)
        if node in self.once:
            self._cut(node)
            return
        if self._is_whole_at(like.size):
            return
        largest = LARGEST if like.size > SMALL else LARGEST_SMALL
        kind = self.builder.kind[node]
        # Cuts of a loop that was written out are made at the same place of each step, so that their kernels are alike.
        if len(cone) > largest or (2 * len(cone) > largest and kind in self._cut_kinds):
            self._cut_kinds.add(kind)
            self._cut(node)

    def _decide(self, args: Sequence[int]) -> None:
        """Note what the answer to a question, such as which is larger, depends on.

        Functions of the vector library and scalar ones, or vectors of other lengths, may differ in the last place. If
        a value were computed by both, it might not be equal to itself, and no element of an array to the largest one.
        """
        for a in args:
            for node in self.cones.get(a, _NOTHING) if a not in self.cut else ():
                lowering = self.builder.hop(node).lowering
                if node not in self.cut and lowering and scalar.cost(lowering) >= scalar.FUNCTION:
                    self.deciding.setdefault(node, set())

    def _is_whole_at(self, size: int) -> bool:
        """Whether what is computed over so many places may become one kernel of any size."""
        return self.whole or (size >= MANY and self._many <= LARGEST_OF_ALL)

    def _cut(self, node: int) -> None:
        """Store a value, and have everybody read it."""
        self.cut.add(node)
        self.store(node)

    def _keep_if_repeated(self, node: int, large: Aval) -> None:
        """Store a virtual value that is broadcast along an outer axis, unless it is cheap.

        And functions that are the same along short rows: one at a time they would take longer than the row.
        """
        if node not in self.ready or node in self.cut or self.cost[node] < DEAR or not self.builder.avals[node].shape:
            return
        small = self.builder.avals[node].shape
        lead = len(large.shape) - len(small)
        inner = [k for k, n in enumerate(small) if n != 1]
        if not inner:
            return
        last = lead + inner[-1]
        outer = range(last)
        outside = any(large.shape[d] != 1 and (d < lead or small[d - lead] == 1) for d in outer)
        alike = prod(large.shape[last + 1 :])
        if outside or (SHORT < alike <= ROW and self.builder.avals[node].size >= MANY and self._calls(node)):
            self._cut(node)

    def _calls(self, node: int) -> bool:
        """Whether functions of the math library are among what a virtual value is computed from."""
        lowerings = [self.builder.hop(n).lowering for n in self.cones[node] if n not in self.cut]
        return any(text and scalar.cost(text) >= scalar.FUNCTION for text in lowerings)

    def _place_view(self, node: int, hop: str, params: dict[str, Any], source: int) -> bool:
        builder = self.builder
        like, whole = builder.avals[source], builder.avals[node]
        if isinstance(like, Several) or (source in self.avail and source not in self.views):
            return False
        if hop != "reshape" and source in self.ready and len(self.users[source]) > 1:
            again = sum(builder.avals[user].size for user in self.users[source]) - like.size
            near = like.size <= CACHED
            if 2 * again * self.cost[source] > DEAR * like.size and (near or self.cost[source] >= DEAR):
                self._cut(source)  # else it would be computed for each view by itself
        if source in self.ready and source not in self.cut:
            places = through(hop, params, like, whole, identity(whole.ndim))
            if places is not None and whole.size:
                if hop == "broadcast_to":
                    self._keep_if_repeated(source, whole)
                if source not in self.cut:
                    self.ready[node], self.cost[node] = self.ready[source], self.cost[source]
                    self.cones[node] = self.cones[source]
                    return True
            self.store(source)
        view = view_through(hop, params, like, whole, self.views[source])
        if view is None:
            if like.dtype not in KINDS or not whole.size:
                return False
            # The elements in C order can be looked at in any shape.
            home = View(self._buffer(Buffer(like, "temporary")), like.shape, c_strides(like.shape))
            self.sinks.append(_Sink(source, self.avail[source], like.shape, home))
            self._stored(node, View(home.buffer, whole.shape, c_strides(whole.shape)), self.avail[source] + 1)
            return True
        self._stored(node, view, self.avail[source])
        return True

    def store(self, node: int) -> View:
        """Have a value in memory."""
        if node in self.views:
            return self.views[node]
        like = self.builder.avals[node]
        hop = self.builder.hop(node).name
        if hop in ("transpose", "reshape") and node not in self._output_of:
            # What it is a view of is stored: others may need that, and libraries read either.
            (source,) = self.builder.args(node)
            seen = self.store(source)
            found = view_through(hop, dict(self.builder.params(node)), self.builder.avals[source], like, seen)
            assert found is not None
            self.stored_at[node] = self.stored_at[source]
            self._stored(node, found, self.avail[source])
            return found
        home = self.home(node)
        level = self.stored_at[node] = self.ready[node]
        self.sinks.append(_Sink(node, level, like.shape, home))
        self._stored(node, home, level + 1)
        return home

    # -- the other kinds -------------------------------------------------------------------------------------------

    def _place_reduction(self, node: int, way: str, axes: frozenset[int], keepdims: bool, source: int) -> None:
        like = self.builder.avals[source]
        if way in ("max", "min"):
            self._decide((source,))
        count = prod(like.shape[k] for k in axes)
        if axes and count <= SHORT:  # the few elements are put together wherever the result is needed
            virtual = source in self.ready and source not in self.cut
            self.ready[node] = self._level(source, self.builder.avals[node].shape)
            self.cost[node] = count * (self.cost[source] if virtual else 1) + count
            self.cones[node] = frozenset((node,)).union(self.cones[source] if virtual else _NOTHING)
            return
        home = self.home(node)
        level = self._level(source, like.shape)
        if not axes:
            self.sinks.append(_Sink(source, level, like.shape, home))
        else:
            strides = list(home.strides)
            wide = [0 if k in axes else (strides[k] if keepdims else strides.pop(0)) for k in range(like.ndim)]
            target = View(home.buffer, like.shape, tuple(wide))
            self.sinks.append(_Sink(source, level, like.shape, target, (way, axes)))
        self._stored(node, home, level + 1)

    def _joined(self, node: int) -> View:
        """Memory for arrays that are joined: part of that for others, if they are only joined to these."""
        found = self.joined.get(node)
        if found is None:
            users = self.users[node]
            args = self.builder.args(users[0]) if len(users) == 1 else ()
            inside = args.count(node) == 1 and self.builder.hop(users[0]).name == "concatenate"
            if inside and node not in self._output_of and self._is_native(users[0]):
                whole, axis = self._joined(users[0]), dict(self.builder.params(users[0]))["axis"]
                before = sum(self.builder.avals[a].shape[axis] for a in args[: args.index(node)])
                offset = whole.offset + before * whole.strides[axis]
                found = View(whole.buffer, self.builder.avals[node].shape, whole.strides, offset)
            elif self._is_flattened(node, users):
                line = self._joined(users[0])  # joined to others as a line: its elements lie there one after the other
                shape = self.builder.avals[node].shape
                found = View(line.buffer, shape, c_strides(shape), line.offset)
            else:
                found = self.home(node)
            self.joined[node] = found
        return found

    def _is_flattened(self, node: int, users: Sequence[int]) -> bool:
        """Whether a value is needed as a line only, which is joined to others."""
        if len(users) != 1 or node in self._output_of or self.builder.hop(users[0]).name != "reshape":
            return False
        (line,) = users
        last = self.users[line]
        return (
            len(last) == 1
            and self.builder.avals[line].ndim == self.builder.avals[last[0]].ndim == 1
            and self.builder.hop(last[0]).name == "concatenate"
            and self.builder.args(last[0]).count(line) == 1
            and line not in self._output_of
            and self._is_native(last[0])
        )

    def _place_joined(self, node: int, axis: int, args: Sequence[int]) -> None:
        home = self._joined(node)
        start = latest = 0
        for a in args:
            like = self.builder.avals[a]
            part = View(home.buffer, like.shape, home.strides, home.offset + start * home.strides[axis])
            start += like.shape[axis]
            if self.views.get(a) == part:  # it is there already
                latest = max(latest, self.avail[a] - 1)
                continue
            if not like.size:
                continue
            a, part = self._without_new_axes(a, part)
            level = self._level(a, part.shape)
            latest = max(latest, level)
            self.sinks.append(_Sink(a, level, part.shape, part))
        self._stored(node, home, latest + 1)

    def _without_new_axes(self, node: int, target: View) -> tuple[int, View]:
        """What is written to memory, without axes of length 1 that it only has there."""
        builder = self.builder
        while node in self.ready and node not in self.avail and builder.hop(node).name == "reshape":
            (source,) = builder.args(node)
            strides = reshaped_strides(target.shape, target.strides, builder.avals[source].shape)
            assert strides is not None  # only reshapes of that kind are virtual
            node, target = source, View(target.buffer, builder.avals[source].shape, strides, target.offset)
        return node, target

    def _is_window(self, node: int, items: Any, args: Sequence[int]) -> bool:
        if not self._is_native(node) or any(isinstance(item, Operand) for item in items):
            return False
        return all(a in self.views or a in self.ready for a in args)

    def _place_window(self, node: int, hop: str, params: dict[str, Any], args: Sequence[int]) -> None:
        """``put`` and ``scatter`` at a fixed place: the whole first, then the part."""
        builder = self.builder
        like = builder.avals[node]
        value = args[-1] if hop == "scatter" else args[1]
        part = builder.avals[value]
        if hop == "scatter":
            window = through("index", {"items": params["items"]}, like, part, identity(part.ndim))
            home, level = self._zeros(node, window, part.shape)
        else:
            home, level = self._base_of(node, args[0])
        target = view_through("index", {"items": params["items"]}, like, part, home)
        assert target is not None
        after = max(level + 1, self._level(value, part.shape))
        if part.size:
            self.sinks.append(_Sink(value, after, part.shape, target))
        self._stored(node, home, after + 1)

    def _base_of(self, node: int, source: int) -> tuple[View, int]:
        """Where to write into a copy of `source`: into itself, if nobody else reads it; and its level."""
        old = self.views.get(source)
        alone = self.users[source] == [node] and source not in self._output_of and node not in self._output_of
        if alone and old is not None and self.buffers[old.buffer].role == "temporary" and self._owns(source, old):
            return old, self.avail[source] - 1
        home = self.home(node)
        like = self.builder.avals[node]
        level = self._level(source, like.shape)
        self.sinks.append(_Sink(source, level, like.shape, home))
        return home, level

    def _owns(self, node: int, view: View) -> bool:
        """Whether a value is the only one in its buffer."""
        return sum(v.buffer == view.buffer for v in self.views.values()) == 1

    def _place_call(self, node: int, hop: Hop, params: dict[str, Any], args: Sequence[int]) -> None:
        """Whatever is no loop nest."""
        like = self.builder.avals[node]
        for a in args:
            if a not in self.avail:
                self.store(a)
        level = max((self.avail[a] for a in args), default=0)
        again = {a for a in args if self._is_left_for(node, a, level)}
        operands = [self._stored_again(a, level + 1) if a in again else self.views.get(a, a) for a in args]
        level += 2 * bool(again)
        wanted: tuple[int, ...] = ()
        native = self._native_call(node, hop, params, args, operands)
        if isinstance(like, Several):
            self.objects.add(node)
            wanted = tuple(sorted({dict(self.builder.params(u))["index"] for u in self.users[node]}))
            buffer = -1
        elif native is not None:
            buffer = self.views[node].buffer
        else:
            role = "output" if node in self._output_of else "object"
            buffer = self._output_of[node] if role == "output" else self._buffer(Buffer(like, "object"))
            self.views[node] = View(buffer, like.shape, c_strides(like.shape))
        self.avail[node] = level + 1
        scratch = -1
        if native is not None and native.work:
            scratch = self._buffer(Buffer(aval((native.work,), np.uint8), "temporary"))
            native.use(scratch)
        self.calls.append(CallStep(node, hop, params, operands, buffer, level, wanted, native, scratch))
        self._called.add(node)

    def _source(self, node: int) -> tuple[int, list[int]]:
        """What a value is a transposed or reshaped view of, and the views on the way, the last one first."""
        way: list[int] = []
        while self.builder.hop(node).name in ("transpose", "reshape") and self.builder.args(node)[0] in self.views:
            way.append(node)
            (node,) = self.builder.args(node)
        return node, way

    def _is_left_for(self, node: int, operand: int, level: int) -> bool:
        """Whether the memory of an operand is better used for others until a call needs it, and it computed once more.

        It is large, was stored long ago for calls alone, and is cheap to compute from what stays in memory anyway.
        """
        source, _ = self._source(operand)
        like = self.builder.avals[source]
        if (
            source not in self.stored_at
            or source in self.once
            or source in self._output_of
            or like.size < CACHED
            or level - self.stored_at[source] < LATER
            or self.cost[source] >= DEAR_LATER
        ):
            return False
        before = self._users_in_memory(source) - {node}
        if not before <= self._called or max(before, default=node) >= node:
            return False
        cone = [source]
        for value in cone:
            for a in self.builder.args(value):
                if a in self.ready and a not in self.stored_at:
                    cone.append(a)
                elif not self._is_needed_after(a, node):
                    return False
        return True

    def _is_needed_after(self, node: int, call: int) -> bool:
        """Whether a value in memory stays there beyond a call, since what comes later is computed from it."""
        source, _ = self._source(node)
        if source in self.given or source in self.builder.constants:
            return True
        values, seen = [source], {source}
        for value in values:
            for user in self.users[value]:
                if user > call:
                    return True
                if user not in seen and user not in self.stored_at and (user in self.ready or user in self.views):
                    seen.add(user)
                    values.append(user)
        return False

    def _users_in_memory(self, node: int) -> set[int]:
        """The hops that need a value, or a transposed or reshaped view of it."""
        found: set[int] = set()
        values = [node]
        for value in values:
            for user in self.users[value]:
                if self.builder.hop(user).name in ("transpose", "reshape"):
                    values.append(user)
                else:
                    found.add(user)
        return found

    def _stored_again(self, operand: int, level: int) -> View:
        """New memory for a value that is in memory already, computed once more by the kernels of a level."""
        source, way = self._source(operand)
        like = self.builder.avals[source]
        view = View(self.temporary(like), like.shape, c_strides(like.shape))
        self.sinks.append(_Sink(source, level, like.shape, view, again=True))
        for node in reversed(way):
            (before,) = self.builder.args(node)
            params = dict(self.builder.params(node))
            avals = self.builder.avals
            found = view_through(self.builder.hop(node).name, params, avals[before], avals[node], view)
            assert found is not None  # as it was for the memory before
            view = found
        return view

    # -- what those need that place hops with several results

    def items_of(self, node: int) -> dict[int, int]:
        """The results of a hop with several that somebody takes: their ids by number."""
        return {dict(self.builder.params(user))["index"]: user for user in self.users[node]}

    def is_readable(self, node: int) -> bool:
        """Whether a value is, or can be, in memory where native code finds it."""
        return node in self.views or node in self.ready

    def temporary(self, like: Aval) -> int:
        """Memory that is not a result."""
        return self._buffer(Buffer(like, "temporary"))

    def write(self, node: int, target: View) -> int:
        """Have a value written somewhere, and the level from which on it is there."""
        node, target = self._without_new_axes(node, target)
        level = self._level(node, target.shape)
        self.sinks.append(_Sink(node, level, target.shape, target))
        return level + 1

    def call(
        self, node: int, native: Step, reads: Sequence[View], writes: Sequence[int], results: dict[int, View],
        level: int,
    ) -> None:  # fmt: skip
        """Have a native step compute the results of a hop, by number, from values that are there at a level."""
        self.results[node] = results
        self.avail[node] = level + 1
        params = dict(self.builder.params(node))
        step = CallStep(node, self.builder.hop(node), params, list(reads), -1, level, tuple(results), native)
        step.written = list(writes)
        self.calls.append(step)

    def _native_call(
        self, node: int, hop: Hop, params: dict[str, Any], args: Sequence[int], operands: Sequence[View | int]
    ) -> Step | None:
        """The native form of a hop, with memory for its result."""
        views = [v for v in operands if isinstance(v, View)]
        if self.library is None or not self._is_native(node) or len(views) < len(operands):
            return None
        home = self.home(node)
        found = self.library(hop, params, views, home, [self.builder.avals[a].dtype for a in (*args, node)])
        if found is not None:
            self.views[node] = home
        return found

    def _results(self) -> None:
        """See that each result is in memory of its own."""
        for node, buffer in zip(self.outputs, self.output_buffers, strict=True):
            if node not in self.avail:
                self.store(node)
            view = self.views.get(node)
            if view is not None and view.buffer == buffer:
                continue
            like = self.builder.avals[node]
            target = View(buffer, like.shape, c_strides(like.shape))
            if view is not None and like.dtype in KINDS and like.size:
                self.sinks.append(_Sink(node, self.avail[node], like.shape, target))
            else:
                given = node if view is None else view
                self.calls.append(CallStep(node, _COPY, {}, [given], buffer, self.avail[node]))
        for node, expected in self.checks:
            target = View(-1, (), ())
            self.sinks.append(_Sink(node, self._level(node, ()), (), target, expected=expected))

    # -- kernels ---------------------------------------------------------------------------------------------------

    def _store_what_is_dear(self) -> None:
        """Virtual values that kernels of several levels need are stored by the first of them, if they are dear.

        Where that computes parts only, they are stored by themselves. Who needs a few elements does not count. From the
        level after that of its storing on nobody needs a value's operands: so those that are needed last are asked
        first, and of what is stored for others' sake that is left out again which is cheap given the rest.
        """
        avals = self.builder.avals
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        whole: dict[int, int] = {}
        """The level of the first kernel that needs all of a value."""

        def ask(node: int, low: int, high: int, all_from: int | None) -> None:
            first[node] = min(first.get(node, low), low)
            last[node] = max(last.get(node, high), high)
            if all_from is not None:
                whole[node] = min(whole.get(node, all_from), all_from)

        alone = _Costs()
        """If no more values are stored."""
        for node in self.order:
            self._add_cost(node, alone)
        for sink in self.sinks:
            for node in self.builder.args(sink.node) if sink.again else (sink.node,):
                if node in alone.own:
                    ask(node, sink.level, sink.level, sink.level if avals[node].shape == sink.shape else None)

        def is_dear(node: int, costs: _Costs, limit: int) -> bool:
            if whole.get(node) != first[node]:
                return costs.own[node] >= max(DEAR_ALONE, limit)
            reading = READ * len(costs.reads.get(node, _NOTHING)) if avals[node].size > SMALL else 0
            return costs.own[node] + reading >= limit

        chosen: dict[int, int] = {}
        """By value: from what cost on it is to be stored."""
        for node in reversed(self.order):
            if node not in first or node not in alone.own:
                continue
            high = min(last[node], self.stored_at.get(node, last[node]))
            limit = self._limit(node, high - first[node])
            hop = self.builder.hop(node)
            if first[node] < high and is_dear(node, alone, limit) and hop.name not in VIEWS:
                chosen[node] = limit
                high = first[node]
            alike = whole.get(node) if isinstance(hop, Elementwise) else None
            for a in self.builder.args(node):
                if a in self.ready and a not in self.cut and FEW * avals[node].size >= avals[a].size:
                    ask(a, first[node], high, alike if avals[a].shape == avals[node].shape else None)
        rest = _Costs()
        for node in self.order:
            self._add_cost(node, rest)
            if node in chosen and is_dear(node, rest, chosen[node]):
                if whole.get(node) == first[node]:
                    self.wanted[node] = first[node]
                else:
                    self.store(node)
                rest.own[node], rest.reads[node] = 0, frozenset((-node,))

    def _add_cost(self, node: int, costs: _Costs) -> None:
        """Note what a virtual value costs that is not stored, given the costs of those that it is made of."""
        avals = self.builder.avals
        if node in self.views and avals[node].size > SMALL:
            costs.reads[node] = frozenset((self.views[node].buffer,))
        if node not in self.ready or node in self.builder.constants:
            return
        args, hop = self.builder.args(node), self.builder.hop(node)
        if node in self.stored_at:
            costs.own[node] = 0
            return
        own = sum(costs.own.get(a, 0) for a in args)
        if isinstance(hop, Reduction):
            own = avals[args[0]].size // avals[node].size * (1 + own)
        else:
            own += scalar.cost(hop.lowering) if hop.lowering else 0
        costs.own[node] = min(own, MOST_COST)
        costs.reads[node] = _NOTHING.union(*[costs.reads.get(a, _NOTHING) for a in args])

    def _limit(self, node: int, levels: int) -> int:
        """From what cost on a value is stored that is needed again so many levels later."""
        size = self.builder.avals[node].size
        if size <= SMALL:
            return DEAR_SMALL
        return DEAR_LATER if size >= CACHED and levels >= LATER else DEAR

    def _kernels(self) -> list[KernelStep]:
        """Sinks of one level over places of one shape go into one kernel, up to a size."""
        self.sinks.sort(key=lambda s: s.level)  # stable
        open_: dict[tuple[int, Shape], _Kernel] = {}
        made: list[_Kernel] = []
        for sink in self.sinks:
            key = (sink.level, sink.shape)
            kernel = open_.get(key)
            if kernel is None or self._is_full(kernel):
                kernel = open_[key] = _Kernel(sink.shape, sink.level, Nest(sink.shape))
                made.append(kernel)
            self._compute(kernel, sink)
        return [KernelStep([k.nest], k.level) for k in made]

    def _is_full(self, kernel: _Kernel) -> bool:
        if self._is_whole_at(prod(kernel.shape)):
            return False
        if not kernel.shape:
            return len(kernel.nest.values) > MOST_VALUES
        return len(kernel.nest.values) > MOST_VALUES or len(set(kernel.nest.accesses())) > MOST_ACCESSES

    def _compute(self, kernel: _Kernel, sink: _Sink) -> None:
        value = self._value(kernel, sink.node, identity(len(sink.shape)), sink.again)
        nest = kernel.nest
        if sink.expected is not None:
            nest.checks.append(Check(value, sink.expected))
            return
        target = sink.target
        like = self.buffers[target.buffer].aval
        kind = KINDS[like.dtype]
        access = Access(target.buffer, kind, target.strides, target.offset)
        if KINDS[self.builder.avals[sink.node].dtype] != kind:  # "any" of numbers
            value = self._append(nest, Convert(value, kind))
        if sink.at is not None:
            items, arrays, adds = sink.at
            indices, access = self._picked(kernel, target, kind, items, arrays, identity(len(sink.shape)))
            nest.scatters.append(Scatter(value, access, indices, adds))
            return
        if sink.reduce is None:
            nest.stores.append(Store(value, access))
            return
        way, axes = sink.reduce
        nest.reduces.append(Reduce(way, value, axes, access))

    def _picked(
        self, kernel: _Kernel, view: View, kind: str, items: Any, arrays: Sequence[int], places: Map
    ) -> tuple[tuple[Index, ...], Access]:
        """Computed indices, whose values are computed first, and the access that they move."""
        found = picked(view.shape, items, [self.builder.avals[a].shape for a in arrays], places)
        strides, offset = view.mapped(found.places, len(kernel.shape))
        indices = []
        for axis, number in found.operands:
            shape = self.builder.avals[arrays[number]].shape
            value = self._value(kernel, arrays[number], broadcast(found.arrays, shape, found.shape))
            indices.append(Index(value, view.shape[axis], view.strides[axis]))
        return tuple(indices), Access(view.buffer, kind, strides, offset)

    def _index(self, kernel: _Kernel, axis: Axis) -> int:
        """The value of an index that a map gives."""
        nest = kernel.nest
        offset = self._append(nest, Number(axis.offset, "i64"))
        if axis.dim < 0:
            return offset
        along = self._append(nest, Position(axis.dim))
        if axis.step != 1:
            step = self._append(nest, Number(axis.step, "i64"))
            along = self._append(nest, Compute("a * b", (along, step), "i64"))
        return along if not axis.offset else self._append(nest, Compute("a + b", (along, offset), "i64"))

    def _is_loaded(self, kernel: _Kernel, node: int) -> bool:
        """Whether a kernel reads a value from memory: if it was stored before."""
        return node in self.views and (node not in self.ready or kernel.level > self.stored_at[node])

    def _value(self, kernel: _Kernel, node: int, places: Map, again: bool = False) -> int:
        """The place of a value in a kernel's list; what it is made of comes before it. Iterative: chains are long.

        `again`: it is not read from memory itself.
        """
        memo, nest = kernel.memo, kernel.nest
        stack: list[tuple[int, Map]] = [(node, places)]
        while stack:
            top = stack[-1]
            if top in memo:
                stack.pop()
                continue
            current, at = top
            if self._is_loaded(kernel, current) and not (again and current == node):
                memo[top] = self._append(nest, self._load(current, at, len(kernel.shape)))
                stack.pop()
                continue
            constant = self.builder.constants.get(current)
            if constant is not None:
                memo[top] = self._append(nest, Number(constant.item(), KINDS[constant.dtype]))
                stack.pop()
                continue
            if self.builder.hop(current).name == "exists":
                memo[top] = self._append(nest, Number(1, "i1"))
                stack.pop()
                continue
            needed = self._operands(current, at)
            missing = [n for n in needed if n not in memo]
            if missing:
                stack.extend(reversed(missing))
                continue
            stack.pop()
            hop = self.builder.hop(current)
            if hop.name in VIEWS and len(self.builder.args(current)) == 1:
                memo[top] = memo[needed[0]]
                continue
            kind = KINDS[self.builder.avals[current].dtype]
            operands = tuple(memo[n] for n in needed)
            params = dict(self.builder.params(current))
            entry: Entry
            if isinstance(hop, Reduction):
                memo[top] = self._put_together(nest, hop.lowering, operands, kind)
                continue
            if hop.name == "index":
                source, *arrays = self.builder.args(current)
                indices, access = self._picked(kernel, self.views[source], kind, params["items"], arrays, at)
                entry = Gather(access, indices)
            elif hop.name == "triangle":
                wins = "<=" if params["lower"] else ">="
                row, column = (self._index(kernel, axis) for axis in at[-2:])
                entry = Compute(f"select(b - a {wins} k, c, 0)", (row, column, *operands), kind, (("k", params["k"]),))
            elif hop.name == "convert":
                entry = Convert(operands[0], kind)
            else:
                entry = Compute(hop.lowering, operands, kind, self.builder.params(current))
                if current in self.deciding:
                    self.deciding[current].add((id(kernel), at))
            memo[top] = self._append(nest, entry)
            if self.wanted.get(current) == kernel.level and self._is_whole(kernel, current, at):
                self._keep(kernel, current, memo[top])
        return memo[node, places]

    def _put_together(self, nest: Nest, way: str, operands: Sequence[int], kind: str) -> int:
        """A reduction of a few values."""
        if way in ("any", "all"):
            operands = [self._append(nest, Convert(o, kind)) for o in operands]
        total = operands[0]
        for o in operands[1:]:
            total = self._append(nest, Compute(scalar.REDUCERS[way].lowering, (total, o), kind))
        return total

    def _is_whole(self, kernel: _Kernel, node: int, places: Map) -> bool:
        """Whether a kernel computes a value at all of its places, each once."""
        return self.builder.avals[node].shape == kernel.shape and places == identity(len(kernel.shape))

    def _keep(self, kernel: _Kernel, node: int, value: int) -> None:
        """Store a value that a kernel computes anyway, for later ones."""
        del self.wanted[node]
        home = self.home(node)
        self._stored(node, home, kernel.level + 1)
        self.stored_at[node] = kernel.level
        kind = KINDS[self.builder.avals[node].dtype]
        kernel.nest.stores.append(Store(value, Access(home.buffer, kind, home.strides)))

    def _append(self, nest: Nest, entry: Entry) -> int:
        nest.values.append(entry)
        return len(nest.values) - 1

    def _load(self, node: int, places: Map, rank: int) -> Load:
        view = self.views[node]
        strides, offset = view.mapped(places, rank)
        return Load(Access(view.buffer, KINDS[self.builder.avals[node].dtype], strides, offset))

    def _operands(self, node: int, places: Map) -> list[tuple[int, Map]]:
        builder = self.builder
        hop, args = builder.hop(node), builder.args(node)
        like = builder.avals[node]
        if isinstance(hop, Reduction):
            return [
                (args[0], found) for found in reduced(builder.avals[args[0]].shape, places, dict(builder.params(node)))
            ]
        if hop.name == "index" and len(args) > 1:
            _, *arrays = args
            items = dict(builder.params(node))["items"]
            shapes = [builder.avals[a].shape for a in arrays]
            way = picked(builder.avals[args[0]].shape, items, shapes, places)
            return [(a, broadcast(way.arrays, shape, way.shape)) for a, shape in zip(arrays, shapes, strict=True)]
        if hop.name in VIEWS:
            found = through(hop.name, dict(builder.params(node)), builder.avals[args[0]], like, places)
            assert found is not None
            return [(args[0], found)]
        return [(a, broadcast(places, builder.avals[a].shape, like.shape)) for a in args]


_NOTHING: frozenset[int] = frozenset()


def _copy(x: Any) -> Any:
    return np.array(x)


class _Copy:
    """A stand-in for a hop: copies what kernels cannot."""

    name = "copy"
    function = staticmethod(_copy)


_COPY: Any = _Copy()

_DECISIONS = frozenset("""
    equal not_equal less less_equal greater greater_equal maximum minimum fmax fmin clip sign floor ceil trunc rint
    floor_divide remainder fmod heaviside
""".split())  # fmt: skip  # noqa: SIM905 - a list of words
"""Hops that are not continuous, or whose derivatives are not."""

_TRUTHS = frozenset({"add", "multiply", "maximum", "minimum"})
"""Hops whose lowering is right for booleans, too, besides comparisons and predicates."""
_WHOLE = _TRUTHS | {"subtract", "negative", "absolute", "sign", "floor_divide", "remainder", "fmod", "random_bits"}
"""Those whose lowering is right for integers."""


def fits(hop: Hop, dtypes: Sequence[np.dtype[Any]]) -> bool:
    """Whether a lowering is right for the dtypes of the operands."""
    kinds = {d.kind for d in dtypes}
    if kinds == {"f"} or "predicate" in hop.traits or hop.name == "where":
        return True
    return hop.name in (_TRUTHS if kinds == {"b"} else _WHOLE if kinds == {"i"} else ())


__all__ = ["Buffer", "CallStep", "Fuser", "KernelStep", "Schedule"]
