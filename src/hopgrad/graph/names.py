"""A unique name for every value: the user's own where there is one, else short letters in the order of computation.

A name that is taken gets a subscript (y, y₁, y₂). Values without a name are z, h, u, v, w while there are few, then
v₁, v₂, …; a single result without a name is y. Constants have no name, except arrays, which are c, c₁, …. An array
that was written to is a new value under the same name: after ``a[0] = v``, a is a₁.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING

from hopgrad.aval import Several
from hopgrad.graph.hop import ITEM, Compound

if TYPE_CHECKING:
    from hopgrad.graph.graph import Graph

LETTERS = ("z", "h", "u", "v", "w")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_PLAIN = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_NUMBERED = re.compile(r"(.*?)_?([0-9]+)$")


def subscript(number: int) -> str:
    """A number in subscript digits.

    >>> subscript(12)
    '₁₂'
    """
    return str(number).translate(_SUBSCRIPTS)


def split_name(name: str) -> tuple[str, str]:
    """Base and subscript of a name; ``x1``, ``x_1`` and ``x₁`` are written alike, so they count as one.

    >>> split_name("x₁"), split_name("w_out"), split_name("alpha")
    (('x', '1'), ('w', 'out'), ('alpha', ''))
    """
    plain = name.translate(_PLAIN)
    found = _NUMBERED.fullmatch(plain)
    if found and found[1].strip("_"):
        return found[1], found[2]
    base, _, rest = plain.strip("_").partition("_")
    return (base, rest) if base and rest and "_" not in rest else (plain, "")


class _Namer:
    def __init__(self) -> None:
        self.taken: set[tuple[str, str]] = set()
        self.next: dict[str, Iterator[int]] = {}

    def take(self, wanted: str) -> str:
        """`wanted`, or with the first free subscript."""
        key = split_name(wanted)
        if key not in self.taken:
            self.taken.add(key)
            return wanted
        base = wanted if not key[1] else key[0]
        numbers = self.next.setdefault(base, count(1))
        while True:
            number = next(numbers)
            key = (base, str(number))
            if key not in self.taken:
                self.taken.add(key)
                return base + subscript(number)


def name_values(graph: Graph) -> dict[int, str]:
    """Names of all values of `graph`, by id."""
    builder, sites = graph.builder, graph.builder.sites
    namer = _Namer()
    names: dict[int, str] = {}
    own: dict[int, str] = {}  # the user's own names, without subscripts
    for node in graph.inputs:
        own[node] = str(dict(builder.params(node))["name"])
        names[node] = namer.take(own[node])
    open_ = []
    for node in graph.order:
        if node in names:
            continue
        if node in builder.constants:
            if builder.avals[node].shape:
                names[node] = namer.take("c")
            continue
        if isinstance(builder.avals[node], Several):
            names[node] = namer.take(builder.hop(node).name)
            continue
        wanted = sites.name(builder.site[node]) or _written(graph, node, own) or _unpacked(graph, node)
        if wanted:
            own[node] = wanted
            names[node] = namer.take(wanted)
        else:
            open_.append(node)
    results = [n for n in graph.outputs if n in open_[-1:]] if len(graph.outputs) == 1 else []
    for node in results:
        names[node] = namer.take("y")
        open_.remove(node)
    letters = [c for c in LETTERS if (c, "") not in namer.taken]
    if len(open_) <= len(letters):
        names.update(zip(open_, map(namer.take, letters), strict=False))
    else:
        numbers = count(1)
        for node in open_:
            number = next(k for k in numbers if ("v", str(k)) not in namer.taken)
            namer.taken.add(("v", str(number)))
            names[node] = "v" + subscript(number)
    return names


def _unpacked(graph: Graph, node: int) -> str | None:
    """The variable for one of several results that are assigned together, as in ``carry, ys = scan(…)``."""
    builder = graph.builder
    hop, params = builder.kinds[builder.kind[node]]
    if hop is not ITEM:
        return None
    whole, whole_params = builder.kinds[builder.kind[builder.args(node)[0]]]
    targets = builder.sites.unpacked(builder.site[node])
    index: int = params[0][1]
    known = isinstance(whole, Compound) and whole.shown(whole_params) == len(targets)
    return targets[index] if known and index < len(targets) and targets[index] != "_" else None


_REARRANGING = ("reshape", "transpose")


def _written(graph: Graph, node: int, own: Mapping[int, str]) -> str | None:
    """The variable whose elements were written to, for the array's new value."""
    builder = graph.builder
    hop = builder.hop(node).name
    if hop not in ("put", "where"):  # a write to an index, or to a mask
        return None
    variable, alone = builder.sites.written(abs(builder.site[node]))
    if hop == "where":
        return variable if alone and builder.site[node] > 0 else None
    # Writing to a view makes a new value for the view, and from it one for the array that it belongs to.
    before = own.get(builder.args(node)[0], "")
    return (None if _holds_view(graph, node) else variable) or (before if before.isidentifier() else None)


def _holds_view(graph: Graph, node: int) -> bool:
    """Whether what is put into an array is the new value of a view of it."""
    builder = graph.builder
    site = abs(builder.site[node])
    part = builder.args(node)[1]
    while builder.hop(part).name in _REARRANGING and abs(builder.site[part]) == site:
        part = builder.args(part)[0]
    return builder.hop(part).name == "put" and abs(builder.site[part]) == site
