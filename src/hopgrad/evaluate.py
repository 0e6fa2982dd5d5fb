"""The interpreter: every hop computed by NumPy, in order. The reference that all faster ways must agree with."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hopgrad.aval import aval
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import reachable
from hopgrad.graph.hop import ITEM, Compound

# NumPy's scalars compute with Python's operators several times as fast as with ufuncs; the results are the same.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "negative": operator.neg, "less": operator.lt, "less_equal": operator.le, "greater": operator.gt,
    "greater_equal": operator.ge, "equal": operator.eq, "not_equal": operator.ne,
}  # fmt: skip
_SYMBOLS = dict(zip(_OPERATORS.values(), ("+", "-", "*", "/", "-", "<", "<=", ">", ">=", "==", "!="), strict=True))
_SCALARS = (aval((), np.float64), aval((), np.float32))

Step = tuple[int, Callable[..., Any], dict[str, Any], Sequence[int], Sequence[int], bool]
"""(value, function, its parameters, operands, values that nobody needs afterwards, whether warnings are silent)."""


class Plan:
    """How to compute some values from others, worked out once, to run as often as wanted.

    ``inputs`` are those of the given values that are really needed, ``constants`` the constants. Floating-point
    warnings follow ``np.errstate`` for the user's own hops, as in plain NumPy; hops made by passes are silent, since
    the user did not write the 1/√x that belongs to a √x. Of a hop with several results only those that somebody
    takes are computed.

    Args:
        builder: Holds the values.
        outputs: What to compute.
        inputs: Values that will be given (inputs, or any others: what these are made of is not computed).
        keep: Whether every value on the way stays in the dict that `fill` fills; else dead values are freed.
    """

    def __init__(
        self, builder: Builder, outputs: Sequence[int], inputs: Container[int] = (), *, keep: bool = False
    ) -> None:
        self.builder = builder
        self.outputs = tuple(outputs)
        self.inputs: list[int] = []
        self.constants: dict[int, Any] = {}
        self._order = array("i")
        self._wanted: dict[int, list[int]] = {}
        self._last: array[int] | None = None
        self._steps: list[Step] | None = None
        self._runs = 0
        order = reachable(builder, outputs, known=inputs)
        kinds, kind, args, start, stage = builder.kinds, builder.kind, builder.args_flat, builder.start, builder.stage
        constants = builder.constants
        last = None if keep else array("i", bytes(4 * (order[-1] + 1 if order else 0)))
        stages = set()
        for node in order:
            if node in inputs:
                self.inputs.append(node)
                continue
            if node in constants:
                self.constants[node] = constants[node][()]  # a scalar, not an array, where it is one
                continue
            self._order.append(node)
            stages.add(stage[node] != 0)
            first, end = start[node], start[node + 1]
            if last is not None:
                for k in range(first, end):
                    last[args[k]] = node
            hop, params = kinds[kind[node]]
            if hop is ITEM:
                wanted = self._wanted.setdefault(args[first], [])
                if params[0][1] not in wanted:
                    wanted.append(params[0][1])
        if last is not None:
            for node in (*self.outputs, *self.constants):
                last[node] = 0
            self._last = last
        self.silent = False not in stages
        """Whether all hops are silent: then whoever runs the plan often can silence NumPy once, and say so."""

    def run(self, inputs: Mapping[int, Any]) -> list[Any]:
        """The values of the outputs."""
        values = self.start(inputs)
        self.fill(values)
        return [values[node] for node in self.outputs]

    def start(self, inputs: Mapping[int, Any]) -> dict[int, Any]:
        """The dict to `fill`. Python's floats become NumPy's, which know infinity."""
        given = {node: inputs[node] for node in self.inputs}
        for node, value in given.items():
            if type(value) is float:
                given[node] = np.float64(value)
        return {**self.constants, **given}

    def fill(self, values: dict[int, Any], quiet: bool = False) -> None:
        """Compute the outputs into a dict that holds `inputs` and `constants`. `quiet`: NumPy is silent already."""
        self._runs += 1
        if self._runs > 1 and self._steps is None:  # one run of a large graph needs no list of its steps
            self._steps = list(self._generate())
        silent = quiet
        before: dict[str, Any] | None = None
        try:
            for node, function, keywords, args, dead, silence in self._steps or self._generate():
                if silence is not silent and not quiet:
                    if before is None:
                        before = np.geterr()  # type: ignore[assignment]  # a typed dict
                    silent = silence
                    np.seterr(all="ignore") if silent else np.seterr(**before)  # type: ignore[arg-type]
                values[node] = function(*[values[a] for a in args], **keywords)
                for a in dead:
                    values.pop(a, None)
        finally:
            if before is not None:
                np.seterr(**before)

    def compiled(self, inputs: Sequence[int], limit: int = 2000) -> Callable[..., tuple[Any, ...]] | None:
        """The plan as one Python function from values of `inputs` to those of the outputs: the same calls, faster.

        None where that is not possible: more than `limit` hops, or warnings that are silent for some of them only. If
        they are for all (`silent`), the caller has to silence NumPy.
        """
        if len(self._order) > limit:
            return None
        scope: dict[str, Any] = {f"v{node}": value for node, value in self.constants.items()}
        lines = [f"def run({', '.join(f'v{node}' for node in inputs)}):"]
        for node, function, keywords, args, dead, silence in self._generate():
            if silence is not self.silent:
                return None
            operands = [f"v{a}" for a in args]
            symbol = _SYMBOLS.get(function)
            if symbol is not None:
                words = f" {symbol} ".join(operands) if len(operands) == 2 else symbol + operands[0]
            else:
                scope[f"f{node}"] = function
                scope.update({f"k{node}_{name}": value for name, value in keywords.items()})
                words = f"f{node}({', '.join([*operands, *[f'{name}=k{node}_{name}' for name in keywords]])})"
            lines.append(f"    v{node} = {words}")
            if dead:
                lines.append(f"    del {', '.join({f'v{a}' for a in dead})}")
        lines.append(f"    return ({''.join(f'v{node}, ' for node in self.outputs)})")
        exec(compile("\n".join(lines), "<plan>", "exec"), scope)  # made of ids and the names of hops' parameters
        run: Callable[..., tuple[Any, ...]] = scope["run"]
        return run

    def _generate(self) -> Iterator[Step]:
        builder = self.builder
        kinds, kind, args_flat, start, stage = (
            builder.kinds, builder.kind, builder.args_flat, builder.start, builder.stage,
        )  # fmt: skip
        last = self._last
        avals = builder.avals
        calls: dict[int, tuple[Callable[..., Any], dict[str, Any], Callable[..., Any] | None]] = {}
        nothing: tuple[int, ...] = ()
        for node in self._order:
            which = kind[node]
            call = calls.get(which)
            if call is None:
                hop, params = kinds[which]
                if isinstance(hop, Compound):  # not kept: it depends on which results are wanted
                    call = hop.bind(params, tuple(sorted(self._wanted.get(node, ())))), {}, None
                else:
                    call = calls[which] = (hop.function, dict(params), _OPERATORS.get(hop.name))
            function, keywords, scalar = call
            args = args_flat[start[node] : start[node + 1]]
            if scalar is not None and not avals[node].shape and avals[args[0]] in _SCALARS:
                function = scalar
            dead = nothing if last is None else [a for a in args if last[a] == node]
            yield node, function, keywords, args, dead, stage[node] != 0


def evaluate(builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any]) -> list[Any]:
    """The values of `outputs`, given those of the inputs that they need, as by a `Plan`."""
    return Plan(builder, outputs, inputs).run(inputs)


def evaluate_all(builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any]) -> dict[int, Any]:
    """As `evaluate`, keeping every value on the way, by id."""
    plan = Plan(builder, outputs, inputs, keep=True)
    values = plan.start(inputs)
    plan.fill(values)
    return values


def evaluate_sweep(
    builder: Builder,
    outputs: Sequence[int],
    inputs: Mapping[int, Any],
    varying: Sequence[int],
    sweep: Iterable[Sequence[Any]],
) -> Iterator[list[Any]]:
    """The values of `outputs` again and again, for other values of the inputs `varying` each time.

    What does not depend on these is computed once.
    """
    values = residuals(builder, outputs, inputs, varying)
    plan = Plan(builder, outputs, values.keys() | set(varying))
    for given in sweep:
        yield plan.run({**values, **dict(zip(varying, given, strict=True))})


def residuals(
    builder: Builder, outputs: Sequence[int], inputs: Mapping[int, Any], varying: Sequence[int]
) -> dict[int, Any]:
    """All values that `outputs` can be computed from once the inputs `varying` are known, and that need not these."""
    known = fixed(builder, outputs, varying)
    return dict(zip(known, evaluate(builder, known, inputs), strict=True))


def fixed(builder: Builder, outputs: Sequence[int], varying: Sequence[int]) -> list[int]:
    """What `residuals` are: constants need not be kept, and of what is broadcast that which it is made of is enough."""
    depends = set(varying)
    found: set[int] = set(outputs) - depends
    for node in reachable(builder, outputs):
        args = builder.args(node)
        if not depends.isdisjoint(args):
            depends.add(node)
            found.update(args)
    found -= depends
    for node in sorted(found, reverse=True):
        small = node
        while builder.hop(small).name == "broadcast_to":
            (small,) = builder.args(small)
        if small is not node:
            found.remove(node)
            found.add(small)
    return sorted(found - builder.constants.keys())


def extend(builder: Builder, node: int, known: dict[int, Any], standing: Mapping[int, int]) -> Any:
    """The value of `node`, and into `known` all on the way to it that was missing. `standing` maps inputs to values.

    The cost is that of what is missing, so a program can be followed value by value. The tuple of a hop with several
    results does not stay in `known`, because some of its results may not have been computed; its items do.

    Raises:
        KeyError: it needs an input that is neither known nor stands for another value; the key is its id.
    """
    args_flat, start = builder.args_flat, builder.start
    missing: set[int] = set()
    stack = [node]
    while stack:
        top = stack.pop()
        if top in known or top in missing:
            continue
        missing.add(top)
        if top in standing:
            stack.append(standing[top])
        elif builder.hop(top).name == "input":
            raise KeyError(top)
        else:
            stack.extend(args_flat[start[top] : start[top + 1]])
    before = np.geterr()
    silent = False
    tuples: list[int] = []
    try:
        for top in sorted(missing):
            if top in standing:
                known[top] = known[standing[top]]
                continue
            if top in builder.constants:
                known[top] = builder.constants[top]
                continue
            if (builder.stage[top] != 0) is not silent:
                silent = not silent
                np.seterr(all="ignore") if silent else np.seterr(**before)
            hop, params = builder.kinds[builder.kind[top]]
            args = args_flat[start[top] : start[top + 1]]
            if isinstance(hop, Compound):
                tuples.append(top)
                # What is shown is likely to be asked for next.
                items = dict(_items(builder, top))
                shown = range(hop.shown(params))
                wanted = sorted({*shown, *[items[n] for n in items.keys() & missing]})
                known[top] = values = hop.bind(params, wanted)(*[known[a] for a in args])
                known.update({n: values[k] for n, k in items.items() if k in shown})
            elif top not in known:
                known[top] = hop.function(*[known[a] for a in args], **dict(params))
    finally:
        if silent:
            np.seterr(**before)
        for top in tuples:
            known.pop(top, None)
    return known[node]


def _items(builder: Builder, node: int) -> Iterator[tuple[int, int]]:
    """Values that take a result of `node`, each with the number of the result."""
    for other in range(node + 1, len(builder)):
        hop, params = builder.kinds[builder.kind[other]]
        if hop is ITEM and builder.args_flat[builder.start[other]] == node:
            yield other, params[0][1]
