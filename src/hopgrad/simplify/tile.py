"""Loops over large arrays, cut into tiles: all steps for some elements first, which stay in the nearest cache.

A loop whose steps compute element by element reads and writes its arrays once a step. Where the steps are done for a
tile of a thousand elements after the other, only registers and the first cache are busy (loop interchange; Wolf and
Lam, "A data locality optimizing algorithm", 1991). What the steps add up over all elements is added up over the tiles.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hopgrad.aval import Aval, Shape, aval
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM, Elementwise
from hopgrad.hops.control import SCAN, Loop, emit
from hopgrad.hops.shape import Slice, concatenate, index, reshape
from hopgrad.simplify.driver import Simplified

TILE = 1024
"""Elements in a tile."""

LEAST = 8
"""How many tiles there are at least: what is smaller stays in the second cache as it is."""

STEPS = 8
"""How many steps a loop has at least."""

_ONE, _TILED, _SUM = "one value", "tiled", "sum"


def tiled(made: Simplified) -> Simplified:
    """The same with its loops over large arrays in tiles, if there are any."""
    order = reachable(made.builder, made.outputs)
    found: dict[int, _Tiling] = {}
    for node in order:
        if made.builder.hop(node) is SCAN:
            tiling = _tiling(made, node, order)
            if tiling is not None:
                found[node] = tiling
    cuts = {node: functools.partial(_cut, tiling) for node, tiling in found.items()}
    return written(made, order, cuts, "loops in tiles") if cuts else made


@dataclass
class _Tiling:
    """A loop that can be cut: which values of its body are tiled, and along how many elements."""

    loop: Loop
    shape: Shape
    kinds: dict[int, str] = field(default_factory=dict)
    """What each value of the body is."""

    @property
    def size(self) -> int:
        """How many elements there are."""
        size = 1
        for n in self.shape:
            size *= n
        return size


def _tiling(made: Simplified, node: int, order: Sequence[int]) -> _Tiling | None:
    """How a loop is cut, if all that it computes is elementwise, or a sum over all elements that no step uses."""
    builder = made.builder
    loop = Loop(builder.params(node))
    body = loop.body
    if loop.counted or loop.length < STEPS:
        return None
    avals = body.builder.avals
    large = [avals[n].shape for n in body.inputs[: loop.consts + loop.carries] if avals[n].shape]
    if not large or any(shape != large[0] for shape in large):
        return None
    found = _Tiling(loop, large[0])
    if found.size < LEAST * TILE:
        return None
    for place, n in enumerate(body.inputs):
        if avals[n].shape and place >= loop.consts + loop.carries:
            return None
        found.kinds[n] = _TILED if avals[n].shape else _ONE
    for n in body.order:
        kind = found.kinds.get(n) or _kind(body.builder, n, found)
        if kind is None:
            return None
        found.kinds[n] = kind
    for place, n in enumerate(body.outputs):
        kind = found.kinds[n]
        if place >= loop.carries:
            if kind is _TILED:
                return None
        elif kind is _SUM or (kind is _TILED) != bool(avals[body.inputs[loop.consts + place]].shape):
            return None
    shown = len(body.outputs)
    for user in order:
        if node in builder.args(user) and dict(builder.params(user)).get("index", shown) >= shown:
            return None  # the values before each step are wanted
    return found


def _kind(builder: Builder, node: int, found: _Tiling) -> str | None:
    hop, like = builder.hop(node), builder.avals[node]
    kinds = [found.kinds[a] for a in builder.args(node)]
    if hop.name == "constant":
        return _ONE if like.size == 1 and not like.shape else None
    if _SUM in kinds:
        return None
    if isinstance(hop, Elementwise) or hop.name == "convert":
        if _TILED in kinds:
            return _TILED if like.shape == found.shape else None
        return _ONE if not like.shape else None
    if hop.name == "broadcast_to":
        return _TILED if like.shape == found.shape and kinds == [_ONE] else None
    if hop.name == "sum" and kinds == [_TILED]:
        return _SUM if not like.shape else None
    return None


Writer = Callable[[Sequence[Expr], Builder], Sequence[Expr | None]]
"""What gives a hop's results, from its operands in the builder that is written."""


def written(made: Simplified, order: Sequence[int], found: Mapping[int, Writer], done: str) -> Simplified:
    """The graph with some hops of several results written otherwise; `done` is the name for that."""
    source, builder = made.builder, Builder()
    moved: dict[int, int] = {}
    items: dict[int, Sequence[Expr | None]] = {}
    inputs = {node: old for old, node in made.inputs.items()}
    for node in order:
        if node in inputs or source.hop(node).name == "input":
            name = str(dict(source.params(node)).get("name", "x"))
            moved[node] = builder.input(source.avals[node], name).id
        elif node in source.constants:
            moved[node] = builder.share(source.constants[node])
        elif node in found:
            items[node] = found[node]([Expr(builder, moved[a]) for a in source.args(node)], builder)
        elif source.hop(node) is ITEM and source.args(node)[0] in items:
            item = items[source.args(node)[0]][dict(source.params(node))["index"]]
            assert item is not None
            moved[node] = item.id
        else:
            moved[node] = builder.emit(source.hop(node), [moved[a] for a in source.args(node)], source.params(node))
    given = {old: moved[node] for old, node in made.inputs.items() if node in moved}
    origins = {new: made.origins[old] for old, new in moved.items() if old in made.origins}
    passes = [*made.passes, (done, len(found))]
    return Simplified(builder, [moved[node] for node in made.outputs], given, origins, passes)


def _cut(tiling: _Tiling, operands: Sequence[Expr], builder: Builder) -> list[Expr | None]:
    """The results of a loop, from its tiles and the rest."""
    loop, count = tiling.loop, tiling.size // TILE
    whole = count * TILE
    kinds = [tiling.kinds[n] for n in loop.body.inputs]
    flat = [reshape(x, shape=(tiling.size,)) if k is _TILED else x for x, k in zip(operands, kinds, strict=True)]

    def part(start: int, stop: int) -> list[Expr]:
        span = Slice(start, stop, None)
        return [index(x, items=(span,)) if k is _TILED else x for x, k in zip(flat, kinds, strict=True)]

    # A loop over the tiles: what is not tiled is a constant, and each tile a row.
    inner = Builder()
    parts = part(0, whole)
    fixed = [k for k, kind in enumerate(kinds) if kind is not _TILED]
    rows = [k for k, kind in enumerate(kinds) if kind is _TILED]
    values = {k: inner.input(parts[k].aval, "const") for k in fixed}
    values |= {k: inner.input(aval((TILE,), parts[k].dtype), "tile") for k in rows}
    one = _loop(tiling, [values[k] for k in range(len(kinds))], TILE, inner)
    body = Graph(inner, [values[k].id for k in (*fixed, *rows)], [x.id for x in one])
    given = [*[parts[k] for k in fixed], *[reshape(parts[k], shape=(count, TILE)) for k in rows]]
    tiles = emit(SCAN, given, {
        "body": body, "consts": len(fixed), "carries": 0, "length": count, "reverse": False, "counted": False,
    }, builder)  # fmt: skip
    rest = _loop(tiling, part(whole, tiling.size), tiling.size - whole, builder) if whole < tiling.size else None
    found: list[Expr | None] = []
    for place, node in enumerate(loop.body.outputs):
        all_tiles = ITEM(tiles, index=place)
        if tiling.kinds[node] is _TILED:
            line = reshape(all_tiles, shape=(whole,))
            line = line if rest is None else concatenate(line, rest[place], axis=0)
            found.append(reshape(line, shape=tiling.shape))
        elif tiling.kinds[node] is _SUM:
            total = catalogue["sum"](all_tiles, axes=(0,), keepdims=False)
            found.append(total if rest is None else total + rest[place])
        else:  # it is the same in all tiles
            found.append(index(all_tiles, items=(0,)))
    return found


def _loop(tiling: _Tiling, operands: Sequence[Expr], size: int, builder: Builder) -> list[Expr]:
    """The loop for so many elements."""
    loop, source = tiling.loop, tiling.loop.body.builder
    body = Builder()
    moved: dict[int, int] = {}

    def like(node: int) -> Aval:
        return aval((size,), source.avals[node].dtype) if tiling.kinds[node] is _TILED else source.avals[node]

    for node in loop.body.inputs:
        moved[node] = body.input(like(node), "x").id
    for node in loop.body.order:
        if node in moved:
            continue
        hop, params = source.hop(node), source.params(node)
        if node in source.constants:
            moved[node] = body.share(source.constants[node])
            continue
        if hop.name == "broadcast_to":
            params = (("shape", (size,)),)
        elif hop.name == "sum":
            params = (("axes", (0,)), ("keepdims", False))
        moved[node] = body.emit(hop, [moved[a] for a in source.args(node)], params)
    graph = Graph(body, [moved[n] for n in loop.body.inputs], [moved[n] for n in loop.body.outputs])
    made = emit(SCAN, operands, {**loop.given, "body": graph}, builder)
    return [ITEM(made, index=k) for k in range(len(graph.outputs))]
