"""The graph that is being written, and what rules may ask of it and do to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Shape
from hopgrad.graph.builder import Builder, Params, catalogue
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import Elementwise, Hop, Structural
from hopgrad.simplify.rules import Plan, Trial, plan_of, table

# Results that are folded have at most as many elements as the first number says, operands together the second.
SMALL, LARGE = 4096, 1 << 20

# How deep rules may be within rules: what is made then stays as it is, so that no depth of the graph is recursed over.
DEPTH = 50


@dataclass
class Call:
    """A hop that is about to be written: rules read it, and may say that something else shall stand for it."""

    hop: Hop
    args: tuple[int, ...]
    params: Params
    aval: Aval

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return self.aval.shape

    @property
    def kind(self) -> str:
        """What numbers the result has, by NumPy's letter: b, i, u, f or c."""
        return self.aval.dtype.kind


class Draft:
    """A new builder with what is needed of another one, simplified. All ids here are of the new one, unless told."""

    def __init__(self, source: Builder, outputs: Sequence[int]) -> None:
        self.source = source
        self.outputs = outputs
        self.builder = Builder()
        self.builder.sites = source.sites
        self.builder.stages = list(source.stages)
        self.origins: list[int] = []
        """For each new value one of the source that it stands for. Those of the current value follow at its end."""
        self.counts = dict.fromkeys((found.name for found in table), 0)
        self.folded = 0
        self.shared = 0
        self.users: set[int] = set()
        """Values made for something else that stand for hops of the user's own as well."""
        self.current = -1
        """The value of the source for which something is being written."""
        self.user = True
        """Whether what is being written stands for a hop of the user's own."""
        self._by_kind: list[tuple[str, Plan | None]] = []
        self._depth = 0
        self._numbers: dict[int, Any] = {}
        self._remembered: dict[int, Any] = {}

    # -- asking ------------------------------------------------------------------------------------------------------

    def aval(self, node: int) -> Aval:
        """Shape and dtype of a value."""
        return self.builder.avals[node]

    def shape(self, node: int) -> Shape:
        """Shape of a value."""
        return self.builder.avals[node].shape

    def name(self, node: int) -> str:
        """The name of the hop that makes a value; "number" for a constant without axes."""
        return self._of_kind(self.builder.kind[node])[0]

    def args(self, node: int) -> tuple[int, ...]:
        """Operands of a value."""
        return self.builder.args(node)

    def params(self, node: int) -> dict[str, Any]:
        """Parameters of the hop that makes a value."""
        return dict(self.builder.params(node))

    def of(self, node: int, name: str) -> int | None:
        """The (first) operand of a value that is made by the hop of this name."""
        return self.builder.args_flat[self.builder.start[node]] if self.name(node) == name else None

    def number(self, node: int) -> Any:
        """The number that a value is in all places, as a NumPy scalar, or None. Bits decide: 0.0 is not -0.0."""
        if node not in self._numbers:
            self._numbers[node] = self._number(node)
        return self._numbers[node]

    def _number(self, node: int) -> Any:
        while self.name(node) == "broadcast_to":
            (node,) = self.args(node)
        data = self.builder.constants.get(node)
        if data is None or not data.size or data.dtype.hasobject:
            return None
        line = data.reshape(-1)
        if data.size > 1:
            rows = line.view(np.uint8).reshape(data.size, -1)
            if not (np.array_equal(rows[0], rows[-1]) and (rows == rows[0]).all()):
                return None
        return line[0]

    def remembered(self, node: int, work: Callable[[], Any]) -> Any:
        """What `work` gave for a value when it was first asked for."""
        if node not in self._remembered:
            self._remembered[node] = work()
        return self._remembered[node]

    def single(self, node: int) -> bool:
        """Whether a value is used once, as far as the source tells: then changing it costs nobody else anything."""
        return node >= len(self.origins) or self._used[0][self.origins[node]] <= 1

    @property
    def added_further(self) -> bool:
        """Whether the value that is being written is only a term of a longer sum, as far as the source tells."""
        uses, users = self._used
        user = users[self.current]
        return uses[self.current] == 1 and user >= 0 and self.source.hop(user).name == "add"

    @cached_property
    def scatters(self) -> bool:
        """Whether anything is written into zeros at all."""
        return any(hop.name == "scatter" for hop, _ in self.source.kinds)

    @cached_property
    def _used(self) -> tuple[list[int], list[int]]:
        """How often each value of the source is used, and by which other one last (-1: none)."""
        source, uses = self.source, [0] * len(self.source)
        users = [-1] * len(self.source)
        for node in reachable(source, self.outputs):
            for arg in source.args_flat[source.start[node] : source.start[node + 1]]:
                uses[arg] += 1
                users[arg] = node
        for node in self.outputs:
            uses[node] += 1
        return uses, users

    # -- writing -----------------------------------------------------------------------------------------------------

    def make(self, name: str, *args: int, **params: Any) -> int:
        """A hop, with all rules applied to it."""
        return self.again(catalogue[name], args, tuple(sorted(params.items())))

    def again(self, hop: Hop, args: Sequence[int], params: Params) -> int:
        """As `make`, for a hop at hand."""
        avals = self.builder.avals
        result = hop.infer(*[avals[a] for a in args], **dict(params))
        return self.write(self.builder.kind_of(hop, params), tuple(args), result)

    def constant(self, value: Any, dtype: Any = None) -> int:
        """A constant."""
        return self.builder.constant(value, dtype).id

    def fill(self, value: Any, like: Aval) -> int:
        """A number in all places."""
        return self.broadcast(self.constant(value, like.dtype), like.shape)

    def broadcast(self, node: int, shape: Shape) -> int:
        """Broadcast, if the shape is not the right one already."""
        return node if self.shape(node) == shape else self.make("broadcast_to", node, shape=shape)

    def reshape(self, node: int, shape: Shape) -> int:
        """Reshaped, if the shape is not the right one already."""
        return node if self.shape(node) == shape else self.make("reshape", node, shape=shape)

    def transpose(self, node: int, axes: Sequence[int]) -> int:
        """Transposed, if that changes anything."""
        axes = tuple(axes)
        return node if axes == tuple(range(len(axes))) else self.make("transpose", node, axes=axes)

    def write(self, kind: int, args: tuple[int, ...], result: Aval) -> int:
        """The value of a hop: what a rule has for it, an equal one that exists, or a new one."""
        builder, seen = self.builder, self._by_kind
        # What is asked of operands stands there too, so all kinds have to be in the list, not this one alone.
        plan = seen[kind][1] if len(seen) == len(builder.kinds) else self._of_kind(kind)[1]
        if plan is not None:
            if plan.exchangeable:
                args = self._ordered(args, result)
            kinds, by_operand = builder.kind, plan.by_operand
            trials = plan.always
            constant = plan.foldable
            for a in args:
                name = seen[kinds[a]][0]
                if name in by_operand:
                    trials = [*trials, *[t for t in by_operand[name] if t not in trials]]
                if constant and name != "number" and name != "constant":
                    constant = False
            if plan.same and len(set(args)) < len(args):
                trials = trials + plan.same
            if constant or trials:
                found = self._fold(kind, args, result) if constant else None
                if found is None and trials and self._depth < DEPTH:
                    self._depth += 1
                    found = self._try(trials, kind, args, result)
                    self._depth -= 1
                if found is not None:
                    return found
        before = len(builder.avals)
        node = builder.place(kind, args, result)
        if node < before:
            self.shared += 1
            if self.user:
                self.users.add(node)
        return node

    def _ordered(self, args: tuple[int, ...], result: Aval) -> tuple[int, ...]:
        """The operands of a commutative hop in their canonical order: older ones first, numbers last."""
        a, b = args
        kinds, by_kind = self.builder.kind, self._by_kind
        last = by_kind[kinds[a]][0] == "number", a
        return (b, a) if last > (by_kind[kinds[b]][0] == "number", b) and result.dtype.kind != "c" else args

    # -- rules -------------------------------------------------------------------------------------------------------

    def _of_kind(self, kind: int) -> tuple[str, Plan | None]:
        """The name that operand patterns know, and the rules, of a kind."""
        seen, kinds = self._by_kind, self.builder.kinds
        while len(seen) < len(kinds):
            hop, params = kinds[len(seen)]
            number = hop.name == "constant" and not dict(params)["value"].shape
            seen.append(("number" if number else hop.name, plan_of(hop)))
        return seen[kind]

    def _fold(self, kind: int, args: tuple[int, ...], result: Aval) -> int | None:
        """A hop of constants, computed, if it is small and computes as it should."""
        if not args or result.size > SMALL or sum(self.builder.avals[a].size for a in args) > LARGE:
            return None
        hop, params = self.builder.kinds[kind]
        constants = self.builder.constants
        try:
            # Beside the floating-point flags, some of NumPy's functions warn in words; its ufuncs do not.
            flags = isinstance(hop, (Elementwise, Structural))
            with nullcontext() if flags else warnings.catch_warnings():
                if not flags:
                    warnings.simplefilter("error")
                value = np.asarray(hop.function(*[constants[a][()] for a in args], **dict(params)))
        except Exception:  # whatever is wrong with it is the caller's to see, when it is computed
            return None
        if value.shape != result.shape or value.dtype != result.dtype:
            return None
        self.folded += 1
        return self.constant(value)

    def _try(self, trials: list[Trial], kind: int, args: tuple[int, ...], result: Aval) -> int | None:
        seen, kinds = self._by_kind, self.builder.kind
        names = [seen[kinds[a]][0] for a in args]
        call: Call | None = None
        for trial in trials:
            operands = args[::-1] if trial.exchanged else args
            if not trial.matches(names[::-1] if trial.exchanged else names, operands):
                continue
            if call is None:
                hop, params = self.builder.kinds[kind]
                call = Call(hop, args, params, result)
            found = trial.rule
            node = found.function(self, call, *operands, **dict(call.params))
            if node is not None:
                assert self.builder.avals[node] is result, f"{found.name}: {self.builder.avals[node]!r}, not {result!r}"
                self.counts[found.name] += 1
                return node
        return None
