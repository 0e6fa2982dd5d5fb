"""Products of matrices that loops make one step at a time, made outside of them or once.

- A carry to which each step only adds a product, as the gradient of a matrix is in a backward loop, is one product of
  all steps' factors: of stacked rows, behind the loop. So are sums of what is stacked anyway.
- A product that a backward loop computes again from what the forward loop was given is stored by that one instead.
- A matrix that all steps read transposed is transposed before the loop.

Rows are stacked only as far as they take no more memory than the rows that the loop reads and writes as it is. As with
sums and products of matrices elsewhere (`hopgrad.simplify`), additions may come in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from hopgrad.differentiate import transplant
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM
from hopgrad.hops.control import SCAN, Loop, emit
from hopgrad.hops.shape import reshape, transposed
from hopgrad.simplify.driver import Simplified, simplify
from hopgrad.simplify.tile import written

LEAST = 8
"""How many terms each element of a product has at least: less is computed again sooner than it is read."""


def unlooped(made: Simplified) -> Simplified:
    """The same with such products taken out of its loops, if there are any."""
    order = reachable(made.builder, made.outputs)
    loops: dict[int, _Steps] = {}
    for node in order:
        if made.builder.hop(node) is SCAN and _has_products(made.builder, node):
            loops[node] = _Steps(made, node, order)
    for node, steps in loops.items():
        for first in loops:
            if first < node:
                steps.read_from(loops[first])
    for steps in loops.values():
        steps.sink()
        steps.turn()
    read = {id(first) for steps in loops.values() for first, _ in steps.known.values()}
    found = {node: steps.write for node, steps in loops.items() if steps.changed or id(steps) in read}
    return written(made, order, found, "products taken out of loops") if found else made


def _has_products(builder: Builder, node: int) -> bool:
    loop = Loop(builder.params(node))
    body = loop.body
    return not loop.counted and loop.length > 1 and any(body.builder.hop(n).name == "matmul" for n in body.order)


_Rows = tuple[str, int]
"""Values of all steps: ("x", number) of an array that is given, ("y", value of the body) of one that is stacked."""


@dataclass
class _Product:
    """A carry that is a product: aᵀb of all steps' rows of a and b."""

    factors: tuple[_Rows, _Rows]


@dataclass
class _Sum:
    """A carry that is a sum of what is stacked, over the steps and these axes of a step's value."""

    rows: _Rows
    axes: tuple[int, ...]


@dataclass
class _Steps:
    """A loop, its body simplified, and what shall be done to it."""

    made: Simplified
    node: int
    order: Sequence[int]
    saved: list[int] = field(default_factory=list)
    """Values of the body that are stacked, too."""
    known: dict[int, tuple[_Steps, int]] = field(default_factory=dict)
    """Values of the body that are read from another loop's results instead: the loop, and the value there."""
    sunk: dict[int, _Product | _Sum] = field(default_factory=dict)
    """Carries that are computed behind the loop."""
    turned: dict[int, int] = field(default_factory=dict)
    """Transposes of constants in the body, with the number of the constant."""

    def __post_init__(self) -> None:
        outer = self.made.builder
        self.loop = Loop(outer.params(self.node))
        self.args = outer.args(self.node)
        body = self.loop.body
        simple = simplify(body.builder, body.outputs, frozenset(body.inputs))
        self.builder = simple.builder
        self.inputs = [simple.inputs.get(node, -1) for node in body.inputs]
        """Ids, -1 for one that is not needed."""
        self.outputs = simple.outputs
        self.shown = len(self.outputs)
        self.items = {
            dict(outer.params(user))["index"]
            for user in self.order
            if outer.hop(user) is ITEM and outer.args(user)[0] == self.node
        }
        """Numbers of the results that somebody takes."""
        self.results: dict[int, Expr] = {}
        """What was stacked of `saved`, when it is written."""

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.saved or self.known or self.sunk or self.turned)

    @property
    def first_x(self) -> int:
        """The number of the first array among the inputs."""
        return self.loop.consts + self.loop.carries

    def wanted(self) -> list[int]:
        """What a step has to compute."""
        stacked = [k for k in range(self.loop.carries, self.shown) if k in self.items]
        return [*[self.outputs[k] for k in range(self.loop.carries) if k not in self.sunk],
                *[self.outputs[k] for k in stacked], *self.saved]  # fmt: skip

    def uses(self) -> dict[int, list[int]]:
        """For each value of the body the values that need it; -1 stands for a result."""
        found: dict[int, list[int]] = {}
        for node in reachable(self.builder, self.wanted(), known=self.known):
            for a in () if node in self.known else self.builder.args(node):
                found.setdefault(a, []).append(node)
        for node in self.wanted():
            found.setdefault(node, []).append(-1)
        return found

    def bytes(self, node: int) -> int:
        """The size of all steps' values."""
        like = self.builder.avals[node]
        return self.loop.length * like.size * like.dtype.itemsize

    def room(self) -> int:
        """How much memory more rows may take."""
        rows = [node for node in self.inputs[self.first_x :] if node >= 0]
        rows += [self.outputs[k] for k in range(self.loop.carries, self.shown) if k in self.items]
        rows += [self.inputs[self.loop.consts + k - self.shown] for k in self.items if k >= self.shown]
        return sum(self.bytes(node) for node in rows if node >= 0) - sum(self.bytes(node) for node in self.saved)

    # -- products that another loop has made -----------------------------------------------------------------------

    def read_from(self, first: _Steps) -> None:
        """Read dear values from another loop that computes them from the same operands."""
        same = self._same_inputs(first)
        if first.loop.length != self.loop.length or not any(k >= self.first_x for k in same):
            return
        there = set(reachable(first.builder, first.outputs))
        size = max(there, default=-1) + 1
        moved = {self.inputs[k]: first.inputs[j] for k, j in same.items()}
        for node in reachable(self.builder, self.wanted(), known=self.known):
            args = self.builder.args(node)
            if node not in moved and args and all(a in moved for a in args):
                hop, params = self.builder.kinds[self.builder.kind[node]]
                twin = first.builder.emit(hop, [moved[a] for a in args], params)
                if twin < size and twin in there:
                    moved[node] = twin
        uses = self.uses()
        room = first.room()
        for node in list(moved):
            if self.builder.hop(node).name != "matmul" or node not in uses:
                continue
            if self.builder.avals[self.builder.args(node)[0]].shape[-1] < LEAST:
                continue
            # What is added to it is read along with it.
            while len(uses[node]) == 1 and (user := uses[node][0]) in moved:
                if self.builder.avals[user] is not self.builder.avals[node]:
                    break
                node = user
            twin = moved[node]
            if twin not in first.stacked:
                room -= first.bytes(twin)
                if room < 0:
                    return
                first.saved.append(twin)
            self.known[node] = first, twin

    def _same_inputs(self, first: _Steps) -> dict[int, int]:
        """By the numbers of this body's inputs, those of the other one that have the same values in the same step."""
        outer = self.made.builder
        theirs = {arg: k for k, arg in enumerate(first.args) if not first.loop.consts <= k < first.first_x}
        found: dict[int, int] = {}
        for k, (arg, node) in enumerate(zip(self.args, self.inputs, strict=True)):
            carried = self.loop.consts <= k < self.first_x
            if node < 0 or carried:
                continue
            other = theirs.get(arg)
            if other is not None and (other < first.loop.consts) == (k < self.loop.consts):
                found[k] = other
            elif k >= self.first_x and outer.hop(arg) is ITEM and outer.args(arg)[0] == first.node:
                number = dict(outer.params(arg))["index"] - first.shown
                if number >= 0:
                    found[k] = first.loop.consts + number
        return {k: j for k, j in found.items() if first.inputs[j] >= 0}

    # -- sums of products ------------------------------------------------------------------------------------------

    def sink(self) -> None:
        """Have carries that are sums of products computed behind the loop, then those that are sums of stacked rows."""
        terms = {k: term for k in range(self.loop.carries) if (term := self._term(k)) is not None}
        for k, term in terms.items():
            factors = self._factors(term)
            if factors is None or not self.known.keys().isdisjoint(factors):
                continue
            rows = [self._rows(node) for node in factors]
            new = {node for kind, node in rows if kind == "y" and node not in self.stacked}
            if sum(map(self.bytes, new)) <= self.room():
                self.saved += sorted(new)
                self.sunk[k] = _Product((rows[0], rows[1]))
        for k, term in terms.items():
            if k in self.sunk:
                continue
            axes: tuple[int, ...] = ()
            if self.builder.hop(term).name == "sum" and not dict(self.builder.params(term))["keepdims"]:
                axes = dict(self.builder.params(term))["axes"]
                (term,) = self.builder.args(term)
            elif self.builder.hop(term).name == "reshape":
                (term,) = self.builder.args(term)
            if term in self.stacked or (self._rows(term)[0] == "x" and term not in self.known):
                self.sunk[k] = _Sum(self._rows(term), axes)

    @property
    def stacked(self) -> set[int]:
        """Values of the body that are stacked."""
        return {*self.saved, *[self.outputs[k] for k in range(self.loop.carries, self.shown) if k in self.items]}

    def _term(self, k: int) -> int | None:
        """What each step adds to a carry, if it does nothing else, and nobody asks for the values on the way."""
        given, out = self.inputs[self.loop.consts + k], self.outputs[k]
        if k not in self.items or self.shown + k in self.items or self.builder.hop(out).name != "add":
            return None
        args, uses = self.builder.args(out), self.uses()
        if args.count(given) != 1 or uses[given] != [out] or uses[out] != [-1]:
            return None
        term = args[1 - args.index(given)]
        like = self.builder.avals
        return term if like[term] is like[out] and like[out].dtype.kind == "f" else None

    def _factors(self, term: int) -> tuple[int, int] | None:
        """The values a and b of a step if the term is aᵀb, or all products of two vectors' elements."""
        builder = self.builder
        shape = builder.avals[term].shape
        if len(shape) != 2 or 1 in shape or builder.hop(term).name not in ("matmul", "multiply"):
            return None
        a, b = builder.args(term)
        if builder.hop(term).name == "matmul":
            return (builder.args(a)[0], b) if builder.hop(a).name == "transpose" else None
        if builder.avals[a].shape != (shape[0], 1):
            a, b = b, a
        if builder.avals[a].shape != (shape[0], 1) or builder.avals[b].size != shape[1]:
            return None
        return self._line(a), self._line(b)

    def _line(self, node: int) -> int:
        """A vector as a row, whatever axes of length 1 it has."""
        found, builder = node, self.builder
        while builder.hop(node).name in ("reshape", "transpose"):
            (node,) = builder.args(node)
            if builder.avals[node].shape[-1:] == (builder.avals[node].size,):
                found = node
        return found

    def _rows(self, node: int) -> _Rows:
        number = self.inputs.index(node) if node in self.inputs else -1
        return ("x", number - self.first_x) if number >= self.first_x else ("y", node)

    # -- transposed matrices ---------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Have constants that are only read transposed, by products, transposed before the loop."""
        uses = self.uses()
        for k in range(self.loop.consts):
            users = uses.get(self.inputs[k], [])
            if len(users) == 1 and users[0] >= 0 and self.builder.hop(users[0]).name == "transpose":
                (node,) = users
                products = all(user >= 0 and self.builder.hop(user).name == "matmul" for user in uses[node])
                if products and self.builder.avals[node].ndim == 2 and node not in self.known:
                    self.turned[node] = k

    # -- writing ---------------------------------------------------------------------------------------------------

    def write(self, operands: Sequence[Expr], builder: Builder) -> list[Expr | None]:
        """The loop's results, from its operands."""
        loop, first_x, like = self.loop, self.first_x, self.builder.avals
        kept = [k for k in range(loop.carries) if k not in self.sunk]
        stacked = [k for k in range(loop.carries, self.shown) if k in self.items]
        consts = [(self.inputs[k], operands[k]) for k in range(loop.consts) if k not in self.turned.values()]
        consts += [(node, transposed(operands[k], (1, 0))) for node, k in self.turned.items()]
        carries = [(self.inputs[loop.consts + k], operands[loop.consts + k]) for k in kept]
        xs = [*zip(self.inputs[first_x:], operands[first_x:], strict=True)]
        xs += [(node, other.results[there]) for node, (other, there) in self.known.items()]
        consts, xs = ([pair for pair in group if pair[0] >= 0] for group in (consts, xs))
        body = Builder()
        inputs = [
            body.input(given.aval if node < 0 else like[node], "x").id for node, given in (*consts, *carries, *xs)
        ]
        moved = {node: new for (node, _), new in zip((*consts, *carries, *xs), inputs, strict=True) if node >= 0}
        outputs = transplant(self.builder, self.wanted(), body, moved)
        more = {"body": Graph(body, inputs, outputs), "consts": len(consts), "carries": len(kept)}
        whole = emit(SCAN, [given for _, given in (*consts, *carries, *xs)], {**loop.given, **more}, builder)
        found: list[Expr | None] = [None] * (self.shown + loop.carries)
        for place, k in enumerate(kept):
            found[k] = ITEM(whole, index=place)
            if self.shown + k in self.items:
                found[self.shown + k] = ITEM(whole, index=len(outputs) + place)
        for place, k in enumerate(stacked, len(kept)):
            found[k] = self.results[self.outputs[k]] = ITEM(whole, index=place)
        for place, node in enumerate(self.saved, len(kept) + len(stacked)):
            self.results[node] = ITEM(whole, index=place)
        for k, recipe in self.sunk.items():
            start = operands[loop.consts + k]
            value = reshape(self._behind(recipe, operands[first_x:]), shape=start.shape)
            found[k] = value if _is_zero(start) else start + value
        return found

    def _behind(self, recipe: _Product | _Sum, xs: Sequence[Expr]) -> Expr:
        """A carry that is computed behind the loop, without its first value."""

        def rows(found: _Rows) -> Expr:
            return xs[found[1]] if found[0] == "x" else self.results[found[1]]

        if isinstance(recipe, _Sum):
            value: Expr = catalogue["sum"](rows(recipe.rows), axes=(0, *[k + 1 for k in recipe.axes]), keepdims=False)
            return value
        a, b = [reshape(x, shape=(prod(x.shape[:-1]), x.shape[-1])) for x in map(rows, recipe.factors)]
        value = catalogue["matmul"](transposed(a, (1, 0)), b)
        return value


def _is_zero(x: Expr) -> bool:
    builder, node = x.builder, x.id
    while builder.hop(node).name == "broadcast_to":
        (node,) = builder.args(node)
    return node in builder.constants and not builder.constants[node].any()
