"""A computation by the layers of a network: calls of modules, and of functions of `hopgrad.nn`, as groups of values.

A group is a run of values that follow each other in the order of computation, so a picture of groups has no cycles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING

from hopgrad.graph.sites import Layer, Step

if TYPE_CHECKING:
    from hopgrad.show.analysis import Analysis

__all__ = ["Group", "Layers"]

MAX_BOXES = 40
"""Groups are opened, the outermost first, while no more boxes than these are seen."""


@dataclass(eq=False)
class Group:
    """One call of a layer.

    Attributes:
        layer: What was called; None for all of the computation.
        backward: Whether its values were made by differentiating it (a gradient inside of the function).
        items: Values and groups in their order.
    """

    layer: Layer | None
    backward: bool = False
    items: list[int | Group] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What it is called."""
        return f"{self.layer}{', backward' if self.backward else ''}"

    @property
    def nodes(self) -> Iterator[int]:
        """All its values."""
        stack: list[int | Group] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Group):
                stack.extend(reversed(item.items))
            else:
                yield item

    @property
    def names(self) -> list[str]:
        """By what it can be named: how it is reached, and its kind."""
        return [] if self.layer is None else [name for name in self.layer if name]

    @property
    def groups(self) -> list[Group]:
        """The groups directly inside."""
        return [item for item in self.items if isinstance(item, Group)]

    @property
    def contains_layers(self) -> bool:
        """Whether it mainly puts layers together, as `hopgrad.nn.Sequential` does."""
        named = [g for g in self.groups if g.layer is not None and (g.layer.name or (g.is_step and g.contains_layers))]
        return bool(named) and len(self.items) <= 2 * len(self.groups)

    @property
    def is_step(self) -> bool:
        """Whether it is a step of a loop."""
        return isinstance(self.layer, Step)


class Layers:
    """The groups of a computation."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self.root = _grouped(analysis)

    def __bool__(self) -> bool:
        """Whether there are modules: of a computation with none, every hop is told."""
        return self._named

    @cached_property
    def _named(self) -> bool:
        return any(group.layer is not None and group.layer.name for group in _all(self.root))

    @cached_property
    def opened(self) -> set[Group]:
        """Which groups are taken apart so that layers are seen, not what contains them."""
        found = {self.root}
        shown = sum(1 for item in self.root.items if item not in self._analysis.graph.inputs)
        queue = self.root.groups
        while queue:
            group = min(queue, key=lambda g: len(g.items))
            queue.remove(group)
            if group.contains_layers and shown + len(group.items) - 1 <= MAX_BOXES:
                found.add(group)
                shown += len(group.items) - 1
                queue += group.groups
        return found

    @property
    def outline(self) -> Iterator[tuple[int, Group]]:
        """The groups that are seen and those that they lie in, each with its depth, in the order of computation."""
        for way in _ways(self.root):
            if len(way) > 1 and all(group in self.opened for group in way[:-1]):
                yield len(way) - 2, way[-1]

    def seen(self, opened: set[Group]) -> Iterator[int | Group]:
        """What is seen if these groups are taken apart: values and closed groups, in the order of computation."""
        stack: list[int | Group] = list(reversed(self.root.items))
        while stack:
            item = stack.pop()
            if isinstance(item, Group) and item in opened:
                stack.extend(reversed(item.items))
            else:
                yield item

    @cached_property
    def links(self) -> list[int | Group]:
        """What is seen if groups that give several values are taken apart as well: each is a link of the chain rule."""
        opened, before = set(self.opened), 0
        while before < len(opened):
            before = len(opened)
            opened.update(g for g in self.seen(set(opened)) if isinstance(g, Group) and len(self.results(g)) > 1)
        return list(self.seen(opened))

    def taken_apart(self, names: Sequence[str]) -> set[Group]:
        """The groups to open so that those of these names (``model[0]``, or ``cross_entropy``) are seen hop by hop.

        Steps of loops that lie in them stay closed: they have names of their own (``step 3 of 64``).
        """
        found = set(self.opened)
        for name in names:
            ways = [way for way in _ways(self.root) if name in way[-1].names]
            if not ways:
                known = dict.fromkeys(way[-1].names[0] for way in _ways(self.root) if way[-1].names)
                raise ValueError(f"no layer is called {name!r}: there are {', '.join(known) or 'none'}")
            for way in ways:
                found.update(way)
                inside = (more[1:] for more in _ways(way[-1]))
                found.update(more[-1] for more in inside if more and not any(group.is_step for group in more))
        return found

    def results(self, group: Group) -> list[int]:
        """The values that a group gives: those that are used outside of it."""
        inside = set(group.nodes)
        used = {n for n in inside if not self._users.get(n, set()) <= inside}
        return sorted(used | ({self._analysis.output} & inside))

    def result(self, group: Group) -> int:
        """The value that stands for a group: the last one that it gives."""
        found = max(self.results(group), default=max(group.nodes))
        builder = self._analysis.graph.builder
        if group.is_step and builder.hop(found).name == "reshape":  # a row of what the loop gives
            return self._analysis.visible(builder.args(found)[0])
        return found

    def parameters(self, group: Group) -> list[int]:
        """The parameters that are used in a group alone: inputs that are parts of an argument, or of a module."""
        inside = set(group.nodes)
        known = [n for n in self._analysis.graph.inputs if n in self._analysis.reached]
        return [n for n in known if n in self._users and self._users[n] <= inside]

    @cached_property
    def _users(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for edge in self._analysis.edges:
            found.setdefault(edge.source, set()).add(edge.target)
        return found


def _all(root: Group) -> Iterator[Group]:
    return (way[-1] for way in _ways(root))


def _ways(root: Group) -> Iterator[tuple[Group, ...]]:
    """Each group with all that it lies in, outermost first."""
    stack: list[tuple[Group, ...]] = [(root,)]
    while stack:
        way = stack.pop()
        yield way
        stack.extend((*way, group) for group in reversed(way[-1].groups))


def _grouped(analysis: Analysis) -> Group:
    builder = analysis.graph.builder
    root = Group(None)
    if not builder.sites.modules:
        root.items.extend(analysis.nodes)
        return root
    calls_at = cache(builder.sites.layers)  # many values come from few places
    open_: list[tuple[object, Group]] = []
    for node in analysis.nodes:
        if node in analysis.graph.inputs:
            root.items.append(node)
            continue
        # What a gradient inside of the function computes belongs to the hop that it differentiates.
        calls = calls_at(builder.made_at(node))
        if not calls and node in builder.constants and open_:
            open_[-1][1].items.append(node)  # a constant from nowhere goes along
            continue
        keys = [(call, not builder.site[node]) for call in calls]
        depth = 0
        while depth < min(len(keys), len(open_)) and open_[depth][0] == keys[depth]:
            depth += 1
        del open_[depth:]
        for key in keys[depth:]:
            (_, layer), backward = key
            group = Group(layer, backward)
            (open_[-1][1] if open_ else root).items.append(group)
            open_.append((key, group))
        (open_[-1][1] if open_ else root).items.append(node)
    return root
