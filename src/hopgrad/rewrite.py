"""Values that are the same, written in different ways, made one before a sweep differentiates all of them.

A recursion that hands parts of an array on (minors of a matrix, halves of a line) makes the same part in many ways: the
second column of what is left without the first, and the first column of what is left without the second. Native code
would find out that both are the same, but their adjoints would be computed apart all the same, and theirs again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from hopgrad.graph.builder import Builder, catalogue
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import ITEM, Compound

Array = np.ndarray[Any, Any]

MOVES = frozenset({"index", "reshape", "transpose", "broadcast_to", "concatenate"})
"""Hops whose elements are elements of their operands."""

FEW = 200
"""From how many moves on the same parts are looked for."""

SMALL = 4096
"""Elements of the arrays that are looked at."""

WORTH = 0.7
"""The part of all values that may be left if it is to be worth it."""


def merged(builder: Builder, outputs: Sequence[int], wrt: Sequence[int]) -> Sequence[int]:
    """The outputs, or equal values that are made of fewer.

    Values that are the same elements of the same arrays become one, and so does what is computed from them in the same
    way; a single element is taken from its array at once. What `wrt` is made of is not looked at.
    """
    order = reachable(builder, outputs, min(wrt, default=0))
    if sum(builder.hop(n).name in MOVES for n in order) < FEW:
        return outputs
    found = _Same(builder, order)
    return found.written(outputs) if found.count < WORTH * len(order) else outputs


class _Same:
    """Which values are the same: two of a kind with the same operands, or with the same elements in the same shape.

    Elements have a number each, by which moves are followed: those of a value that is no move are numbered anew.
    """

    def __init__(self, builder: Builder, order: Sequence[int]) -> None:
        self.builder = builder
        self.order = order
        self.first: dict[int, int] = {}
        """For each value the first one that is the same."""
        self._numbers: dict[int, Array] = {}
        self._starts: list[int] = []
        self._owners: list[int] = []
        self._next = 0
        seen: dict[Any, int] = {}
        for node in order:
            hop = builder.hop(node)
            args = [self.first.get(a, a) for a in builder.args(node)]
            key: Any = node
            if hop.name in MOVES and self._is_followed(node, args):
                places = () if hop.name == "concatenate" else args[1:]
                numbers = [self._of(a) for a in args[: len(args) - len(places)]]
                numbers += [builder.constants[a] for a in places]
                made = self._numbers[node] = np.asarray(hop.function(*numbers, **dict(builder.params(node))))
                key = (builder.avals[node], made.tobytes())
            elif hop.pure and args and not isinstance(hop, Compound) and hop is not ITEM:
                key = (builder.kind[node], *args)
            self.first[node] = seen.setdefault(key, node)
        self.count = len(seen)

    def _is_followed(self, node: int, args: Sequence[int]) -> bool:
        avals, constants = self.builder.avals, self.builder.constants
        moved = args if self.builder.hop(node).name == "concatenate" else args[:1]
        small = all(avals[n].size <= SMALL for n in (node, *moved))
        return small and all(a in constants for a in args[len(moved) :])

    def _of(self, node: int) -> Array:
        """The numbers of a value's elements."""
        if node not in self._numbers:
            like = self.builder.avals[node]
            self._starts.append(self._next)
            self._owners.append(node)
            self._numbers[node] = np.arange(self._next, self._next + like.size).reshape(like.shape)
            self._next += like.size
        return self._numbers[node]

    def _element(self, node: int) -> tuple[int, tuple[int, ...]] | None:
        """The array that a single element is one of, and its place there."""
        if self.builder.hop(node).name not in MOVES or node not in self._numbers or self.builder.avals[node].shape:
            return None
        number = int(self._numbers[node])
        k = bisect_right(self._starts, number) - 1
        owner = self._owners[k]
        shape = self.builder.avals[owner].shape
        return owner, tuple(int(i) for i in np.unravel_index(number - self._starts[k], shape))

    def _made_of(self, node: int) -> list[int]:
        element = self._element(node)
        args = [element[0]] if element else self.builder.args(node)
        return [self.first.get(a, a) for a in args]

    def written(self, outputs: Sequence[int]) -> list[int]:
        """The outputs, made of one of each."""
        needed = {self.first[n] for n in outputs}
        for node in reversed(self.order):
            if node in needed:
                needed.update(self._made_of(node))
        new: dict[int, int] = {}
        for node in self.order:
            if node in needed:
                new[node] = self._one(node, [new.get(a, a) for a in self._made_of(node)])
        return [new[self.first[n]] for n in outputs]

    def _one(self, node: int, args: Sequence[int]) -> int:
        """A value made of other ones. It stands for the user's hop, warnings and place included."""
        builder = self.builder
        element = self._element(node)
        before = len(builder)
        if element is None:
            made = (
                node
                if tuple(args) == builder.args(node)
                else builder.place(builder.kind[node], args, builder.avals[node])
            )
        else:
            (made,) = args
            if element[1]:
                made = builder.emit(catalogue["index"], args, (("items", element[1]),))
        if made >= before:
            builder.site[made], builder.stage[made] = builder.site[node], builder.stage[node]
        return made
