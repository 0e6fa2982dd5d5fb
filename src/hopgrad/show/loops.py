"""Loops of a network written out, step by step, so that what happens in them is seen as all else is.

A `hopgrad.scan` is one hop, whatever its number of steps. To be told, it becomes its steps again: each is a group of
its own among the layers, and the gradient is seen going back from step to step. Of a long loop the first and the last
steps are written out, and those between stay one hop.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM
from hopgrad.graph.sites import Step
from hopgrad.hops.control import SCAN, Loop, emit
from hopgrad.hops.shape import Slice, concatenate, index, reshape

__all__ = ["written_out"]

MAX_HOPS = 2000
"""So many hops are written of all loops together."""

Sited = Callable[[int], int]
"""The site of what is written for a site of a body."""


def written_out(graph: Graph, room: int = MAX_HOPS) -> tuple[Graph, dict[int, int]]:
    """A graph with its loops written out, as far as there is room; and what stands there for its inputs.

    Loops that a pass made, such as the gradient of a loop inside of the function, stay as they are.
    """
    source = graph.builder
    wanted = [*graph.outputs, *[guard.node for guard in graph.guards]]
    if not any(_is_told(source, node) for node in reachable(source, wanted)):
        return graph, {node: node for node in graph.inputs}
    target = Builder()
    target.sites = copy.copy(source.sites)
    moved = {n: target.input(source.avals[n], str(dict(source.params(n))["name"])).id for n in graph.inputs}
    sizes = _Writer(target).write(source, wanted, moved, lambda site: site, room)
    target.sites.hits = {(moved[node], site) for node, site in source.sites.hits if node in moved}
    guards = [guard._replace(node=moved[guard.node], before=sizes(guard.before)) for guard in graph.guards]
    made = Graph(target, [moved[n] for n in graph.inputs], [moved[n] for n in graph.outputs], guards)
    return made, {node: moved[node] for node in graph.inputs}


def _is_told(builder: Builder, node: int) -> bool:
    """Whether a value is a loop of the user's own."""
    if builder.hop(node) is not SCAN or builder.stage[node]:
        return False
    loop = Loop(builder.params(node))
    return not loop.counted and loop.length > 0 and loop.body.builder.sites is builder.sites


class _Ends(NamedTuple):
    """How many steps are written out at the beginning, and from which one on again."""

    first: int
    last: int


def _ends(loop: Loop, room: int) -> _Ends:
    body = loop.body
    size = len(body.hops) + len(body.inputs) - loop.consts + len(body.outputs)  # with rows taken and put together
    each = room // (2 * size)
    if loop.length * size <= room or 2 * each + 1 >= loop.length:
        return _Ends(loop.length, loop.length)
    return _Ends(each, loop.length - each)


class _Writer:
    """Copies values into a builder, and in place of loops their steps."""

    def __init__(self, target: Builder) -> None:
        self.target = target

    def write(
        self, source: Builder, outputs: Sequence[int], moved: dict[int, int], sited: Sited, room: int
    ) -> Callable[[int], int]:
        """Copy what `outputs` need, all of which is noted in `moved`.

        The result tells the size that the target had when the source had another one.
        """
        order = reachable(source, outputs, known=moved)
        # What a pass made is told by what it was made for.
        origins = {source.origin[n] for n in order if source.stage[n] and source.origin[n] >= 0}
        order = reachable(source, sorted({*outputs, *origins}), known=moved)
        loops = [n for n in order if _is_told(source, n)]
        room //= max(len(loops), 1)
        results: dict[int, Sequence[int]] = {}
        begun = []
        for node in order:
            begun.append(len(self.target))
            if node in moved:
                continue
            args = source.args(node)
            hop, params = source.kinds[source.kind[node]]
            if hop is ITEM and args[0] in results:
                moved[node] = results[args[0]][dict(params)["index"]]
            elif node in loops and _ends(Loop(params), room).first:
                results[node] = self._loop(source, node, [moved[a] for a in args], sited, room)
            else:
                moved[node] = self._copied(source, node, moved, sited)
        return lambda size: begun[k] if (k := bisect_left(order, size)) < len(order) else len(self.target)

    def _copied(self, source: Builder, node: int, moved: dict[int, int], sited: Sited) -> int:
        target = self.target
        before = len(target)
        if node in source.constants:
            new = target.share(source.constants[node])
        else:
            hop, params = source.kinds[source.kind[node]]
            with target.passing(source.stages[source.stage[node]]):
                target.made_for(moved.get(source.origin[node], -1))
                new = target.emit(hop, [moved[a] for a in source.args(node)], params)
        site = source.site[node]
        if new >= before and (site or not (source.stage[node] or node in source.constants)):  # these go along
            target.site[new] = -sited(-site) if site < 0 else sited(site)
        return new

    def _loop(self, source: Builder, node: int, operands: Sequence[int], sited: Sited, room: int) -> Sequence[int]:
        """The results of a loop, which is written out."""
        target = self.target
        params = source.params(node)
        loop = Loop(params)
        ends = _ends(loop, room)
        room = max(room // (loop.length + ends.first - ends.last) - len(loop.body.hops), 0)
        call = sited(abs(source.site[node]))
        _, consts, carries, xs = loop.split([target.expr(n) for n in operands])
        rows: list[list[Expr]] = []  # of all results that are stacked, in the order of the steps
        step = 0
        while step < loop.length:
            before = len(target)
            end = ends.last if step == ends.first else step + 1
            number = f"step {end}" if end == step + 1 else f"steps {step + 1} to {end}"
            place = target.sites.inside(call, Step("", f"{number} of {loop.length}"))
            taken = (loop.length - end, loop.length - step) if loop.reverse else (step, end)
            if end == step + 1:
                known = {n: x.id for n, x in zip(loop.body.inputs, (*consts, *carries), strict=False)}
                slices = loop.body.inputs[loop.consts + loop.carries :]
                known |= {n: index(x, items=(taken[0],)).id for n, x in zip(slices, xs, strict=True)}
                self._place(before, place)
                self.write(loop.body.builder, loop.body.outputs, known, self._below(sited, call, place), room)
                found = [target.expr(known[n]) for n in loop.body.outputs]
                before = len(target)
                stacked = [reshape(x, shape=(1, *x.shape)) for x in (*found[loop.carries :], *carries)]
            else:
                parts = [index(x, items=(Slice(*taken, 1),)) for x in xs]
                whole = emit(SCAN, [*consts, *carries, *parts], {**dict(params), "length": end - step}, target)
                count = len(loop.body.outputs) + loop.carries
                found = [ITEM(whole, index=k) for k in range(count)]
                stacked = found[loop.carries :]
            self._place(before, place)
            carries = found[: loop.carries]
            rows.append(stacked)
            step = end
        before = len(target)
        columns = zip(*(reversed(rows) if loop.reverse else rows), strict=True)
        whole_rows = [column[0] if len(column) == 1 else concatenate(*column, axis=0) for column in columns]
        for made in range(before, len(target)):
            target.site[made] = call
        return [x.id for x in (*carries, *whole_rows)]

    def _place(self, before: int, site: int) -> None:
        """New values are parts of a call."""
        for made in range(before, len(self.target)):
            self.target.site[made] = -site

    def _below(self, sited: Sited, call: int, place: int) -> Sited:
        return lambda site: self.target.sites.moved(sited(site), call, place)
