"""The builder: columns of hops in SSA form, where equal subexpressions exist once.

A graph of 10⁷ hops has to fit in memory, so there are no node objects: a value is an integer id into a few columns
(``kind``, ``args``, ``avals``, …), and ids are in topological order because operands exist before their use. `Expr` is
the handle with which hop definitions write formulas; `hopgrad.graph.graph.Graph` is the read-only view.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hopgrad.aval import Aval, Shape, aval_of
from hopgrad.graph.sites import Sites

if TYPE_CHECKING:
    from hopgrad.graph.hop import Hop

Params = tuple[tuple[str, Any], ...]
"""Static parameters of a hop as sorted (name, value) pairs, hashable."""

# Every hop by its name. Filled by the definitions in ``hopgrad.hops``; formulas find operators such as + here.
catalogue: dict[str, Hop] = {}

_NO_ARGUMENT = 0xFFFFFFFF


class Builder:
    """An append-only SSA program under construction; pure hops are interned.

    Columns, one entry a value: ``kind`` (index into ``kinds``, the distinct pairs of hop and parameters), ``args``
    (operand ids, flat, from ``start[k]`` to ``start[k + 1]``), ``avals``, ``site`` (see `Sites`; 0 for none, negative
    for a part of a call whose result is another value) and ``origin`` with ``stage`` (for a value made by a
    pass: the value it was made for, and the pass in ``stages``).
    """

    def __init__(self) -> None:
        self.kinds: list[tuple[Hop, Params]] = []
        self.kind = array("i")
        self.args_flat = array("i")
        self.start = array("q", [0])
        self.avals: list[Aval] = []
        self.site = array("i")
        self.origin = array("i")
        self.stage = array("b")
        self.stages: list[str] = ["trace"]
        self.sites = Sites()
        self.constants: dict[int, np.ndarray[Any, Any]] = {}
        self._kind_ids: dict[tuple[Hop, Params], int] = {}
        self._interned: dict[Any, int] = {}
        self._constant_ids: dict[Any, int] = {}
        self.adjoints: set[int] = set()
        """What reverse sweeps ended in: the cotangents of the values that they were asked about."""
        self._origin = -1
        self._stage = 0

    def __len__(self) -> int:
        return len(self.avals)

    # -- reading ---------------------------------------------------------------------------------------------------

    def hop(self, node: int) -> Hop:
        """The hop that makes a value."""
        return self.kinds[self.kind[node]][0]

    def made_at(self, node: int) -> int:
        """The site of a value; of one that a pass made, that of the value that it was made for."""
        while not self.site[node] and self.stage[node] and 0 <= self.origin[node] < node:
            node = self.origin[node]
        return self.site[node]

    def params(self, node: int) -> Params:
        """The static parameters of the hop that makes a value."""
        return self.kinds[self.kind[node]][1]

    def args(self, node: int) -> tuple[int, ...]:
        """The operand ids of a value."""
        return tuple(self.args_flat[self.start[node] : self.start[node + 1]])

    # -- writing ---------------------------------------------------------------------------------------------------

    def emit(self, hop: Hop, args: Sequence[int], params: Params = ()) -> int:
        """The id of ``hop(*args, **params)``: a new value, or the equal one that exists already."""
        kinds = self._kind_ids
        kind = kinds.get((hop, params))
        if kind is None:
            kind = kinds[hop, params] = len(self.kinds)
            self.kinds.append((hop, params))
        return self.place(kind, args)

    def kind_of(self, hop: Hop, params: Params = ()) -> int:
        """The number in ``kinds`` of a hop with its parameters."""
        kind = self._kind_ids.get((hop, params))
        if kind is None:
            kind = self._kind_ids[hop, params] = len(self.kinds)
            self.kinds.append((hop, params))
        return kind

    def place(self, kind: int, args: Sequence[int], result: Aval | None = None) -> int:
        """As `emit`, by the number of the kind; the shape rule is not asked if its answer is given.

        This is the fast way to copy values from another builder.
        """
        count = len(args)
        key: Any
        # Packing operands into one integer halves the memory of the table against a tuple.
        if count == 2:
            key = (kind << 32 | args[0]) << 32 | args[1]
        elif count == 1:
            key = (kind << 32 | args[0]) << 32 | _NO_ARGUMENT
        else:
            key = (kind, *args)
        hop, params = self.kinds[kind]
        if hop.pure:
            found = self._interned.get(key)
            if found is not None:
                return found
        if result is None:
            avals = self.avals
            if params:
                result = hop.infer(*[avals[a] for a in args], **dict(params))
            else:
                result = hop.infer(*[avals[a] for a in args])
        node = self._append(kind, args, result)
        if hop.pure:
            self._interned[key] = node
        return node

    def share(self, data: np.ndarray[Any, Any]) -> int:
        """A constant that holds a read-only array itself. Large ones are not compared with others."""
        if data.nbytes <= 4096:
            return self.constant(data).id
        params = (("index", len(self.avals)), ("value", aval_of(data)))
        node = self.emit(catalogue["constant"], (), params)
        self.constants[node] = data
        return node

    def _append(self, kind: int, args: Sequence[int], result: Aval) -> int:
        node = len(self.avals)
        self.kind.append(kind)
        self.args_flat.extend(args)
        self.start.append(len(self.args_flat))
        self.avals.append(result)
        self.site.append(0)
        self.origin.append(self._origin)
        self.stage.append(self._stage)
        return node

    def input(self, like: Aval, name: str) -> Expr:
        """A new input. Inputs are never interned: two inputs are two values, whatever they are called."""
        return Expr(self, self.emit(catalogue["input"], (), (("name", name), ("value", like))))

    def constant(self, value: Any, dtype: Any = None) -> Expr:
        """A constant, interned by shape, dtype and bit pattern (0.0 is not -0.0). The array is copied."""
        data = np.array(value, dtype=dtype, order="C", copy=True)
        raw = data.tobytes()
        key = (
            data.shape,
            data.dtype.str,
            raw if len(raw) <= 64 else hashlib.blake2b(raw, digest_size=16).digest(),
        )
        node = self._constant_ids.get(key)
        if node is None:
            data.flags.writeable = False
            # The node's parameter is its own id: what it holds stands in ``constants``.
            params = (("index", len(self.avals)), ("value", aval_of(data)))
            node = self.emit(catalogue["constant"], (), params)
            self.constants[node] = data
            self._constant_ids[key] = node
        return Expr(self, node)

    def expr(self, node: int) -> Expr:
        """The handle of a value."""
        return Expr(self, node)

    @contextmanager
    def passing(self, stage: str) -> Iterator[None]:
        """Within this block new values belong to the pass called `stage`; set their origin with `made_for`."""
        before = self._stage, self._origin
        if stage not in self.stages:
            self.stages.append(stage)
        self._stage = self.stages.index(stage)
        try:
            yield
        finally:
            self._stage, self._origin = before

    def made_for(self, node: int) -> None:
        """New values are made on behalf of `node` from here on (-1: of none)."""
        self._origin = node


class Expr:
    """A handle on a value: what hop definitions compute with. Operators emit hops; nothing is evaluated.

    Operands of one elementwise hop must have one dtype; Python numbers take the dtype of the other operand.
    """

    __slots__ = ("builder", "id", "weak")
    __hash__ = None  # type: ignore[assignment]  # == is an operator here, as on arrays
    __array_ufunc__ = None  # an array on the left must leave the operator to us

    def __init__(self, builder: Builder, id: int, weak: bool = False) -> None:
        self.builder = builder
        self.id = id
        self.weak = weak

    @property
    def aval(self) -> Aval:
        """Shape and dtype."""
        return self.builder.avals[self.id]

    @property
    def shape(self) -> Shape:
        """Shape."""
        return self.builder.avals[self.id].shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.builder.avals[self.id].ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.builder.avals[self.id].size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype."""
        return self.builder.avals[self.id].dtype

    @property
    def constant(self) -> np.ndarray[Any, Any] | None:
        """The array, if this is a constant."""
        return self.builder.constants.get(self.id)

    def __bool__(self) -> bool:
        raise TypeError("a value of the graph has no truth value: what depends on it must be a hop")

    def __repr__(self) -> str:
        return f"Expr({self.builder.hop(self.id).name} %{self.id}: {self.aval!r})"

    def __add__(self, other: Any) -> Expr:
        return catalogue["add"](self, other)

    def __radd__(self, other: Any) -> Expr:
        return catalogue["add"](other, self)

    def __sub__(self, other: Any) -> Expr:
        return catalogue["subtract"](self, other)

    def __rsub__(self, other: Any) -> Expr:
        return catalogue["subtract"](other, self)

    def __mul__(self, other: Any) -> Expr:
        return catalogue["multiply"](self, other)

    def __rmul__(self, other: Any) -> Expr:
        return catalogue["multiply"](other, self)

    def __truediv__(self, other: Any) -> Expr:
        return catalogue["divide"](self, other)

    def __rtruediv__(self, other: Any) -> Expr:
        return catalogue["divide"](other, self)

    def __neg__(self) -> Expr:
        return catalogue["negative"](self)

    def __pow__(self, exponent: float) -> Expr:
        return catalogue["constant_power"](self, exponent=exponent)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return catalogue["equal"](self, other)

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return catalogue["not_equal"](self, other)

    def __lt__(self, other: Any) -> Expr:
        return catalogue["less"](self, other)

    def __le__(self, other: Any) -> Expr:
        return catalogue["less_equal"](self, other)

    def __gt__(self, other: Any) -> Expr:
        return catalogue["greater"](self, other)

    def __ge__(self, other: Any) -> Expr:
        return catalogue["greater_equal"](self, other)

    def __and__(self, other: Any) -> Expr:
        return catalogue["logical_and"](self, other)

    def __or__(self, other: Any) -> Expr:
        return catalogue["logical_or"](self, other)

    def __invert__(self) -> Expr:
        return catalogue["logical_not"](self)


def zeros(builder: Builder, like: Aval) -> Expr:
    """Zeros of a shape and dtype: a scalar constant, broadcast, so that a large array costs nothing in the graph."""
    scalar = builder.constant(0, like.dtype)
    return scalar if not like.shape else catalogue["broadcast_to"](scalar, shape=like.shape)


def ones(builder: Builder, like: Aval) -> Expr:
    """Ones of a shape and dtype, as `zeros`."""
    scalar = builder.constant(1, like.dtype)
    return scalar if not like.shape else catalogue["broadcast_to"](scalar, shape=like.shape)
