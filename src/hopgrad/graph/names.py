"""A unique name for every value: the user's own where there is one, else short letters in the order of computation.

A name that is taken gets a subscript (y, y₁, y₂). Values without a name are z, h, u, v, w while there are few, then
v₁, v₂, …; a single result without a name is y. Constants have no name, except arrays, which are c, c₁, ….
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

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
    for node in graph.inputs:
        names[node] = namer.take(str(dict(builder.params(node))["name"]))
    open_ = []
    for node in graph.order:
        if node in names:
            continue
        if node in builder.constants:
            if builder.avals[node].shape:
                names[node] = namer.take("c")
            continue
        wanted = sites.name(builder.site[node])
        if wanted:
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
