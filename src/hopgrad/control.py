"""Loops and branches that are one hop each: `scan`, `fori_loop`, `while_loop`, `cond` and `switch`.

Plain Python loops and ``if`` differentiate as they are; they are recorded step by step. The functions here record the
body once, whatever the number of steps, so that the graph stays small, and leave the choice of a branch or the end
of a loop to the values of the run. They have JAX's signatures, and work on plain values as well.

A body is called with traced values and must be a function of them and of what it captures: what it prints or appends
happens once, and it cannot write to arrays that were made outside of it.
"""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.aval import Aval, aval, aval_of
from hopgrad.calling import Level, finished, name_modules, parameter_names, title_of
from hopgrad.differentiate import transplant
from hopgrad.errors import DtypeError, HopgradError, ShapeError
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM, Compound
from hopgrad.hops.control import SCAN, SWITCH, WHILE, emit
from hopgrad.hops.shape import reshape
from hopgrad.hops.surface import cast
from hopgrad.outside import outside_of
from hopgrad.trace import context
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.tracer import (
    ARRAY,
    PYTHON,
    SCALAR,
    Tracer,
    current_node,
    is_traced,
    memory_of,
    real,
    real_data,
    with_place,
)

__all__ = ["cond", "fori_loop", "scan", "switch", "while_loop"]


# -- values ------------------------------------------------------------------------------------------------------------


@dataclass
class Value:
    """One leaf of a carry, an operand or a result: where it is in the graph, and what it stands for."""

    node: int
    like: Aval
    kind: int
    name: str
    """As error messages call it: ``carry["h"][0]``."""
    title: str = ""
    """As the graph calls it."""


@dataclass
class Nest:
    """Leaves with their structure."""

    leaves: list[Value]
    structure: tree.Structure
    title: str = ""
    """How modules in it are reached."""

    def rebuilt(self, values: Sequence[Any]) -> Any:
        """Other leaves in the same structure."""
        return tree.unflatten(self.structure, values)


def _value(trace: Trace, leaf: Any, name: str, title: str = "") -> Value:
    """A leaf as a value of the graph."""
    builder = trace.builder
    if type(leaf) is Tracer:
        if leaf._trace is not trace:
            leaf._trace.check_open()
        node = current_node(leaf)
        return Value(node, builder.avals[node], leaf._kind, name, title)
    if isinstance(leaf, Expr):
        return Value(leaf.id, leaf.aval, PYTHON if leaf.weak else SCALAR, name, title)
    kind = PYTHON if type(leaf) in (int, float, bool, complex) else ARRAY if isinstance(leaf, np.ndarray) else SCALAR
    if kind != PYTHON and not (isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fiubc"):
        what = f"an array of dtype {leaf.dtype}" if isinstance(leaf, np.ndarray) else f"of type {type(leaf).__name__}"
        raise DtypeError(f"{name} is {what}: only numbers, booleans and arrays of them can be in a loop or branch")
    if isinstance(leaf, (np.ma.MaskedArray, np.matrix)):
        raise DtypeError(f"{name} is of type {type(leaf).__name__}: pass np.asarray of it")
    if kind == ARRAY and leaf.size and not trace.nested:
        # Outside of all traces: what is evaluated at once need not be copied and hashed.
        data = np.asarray(leaf, leaf.dtype.newbyteorder("="))
        fresh = builder.input(aval_of(data), title or "c")
        trace.known[fresh.id] = data
        return Value(fresh.id, fresh.aval, kind, name, title)
    made = builder.constant(leaf)
    return Value(made.id, made.aval, kind, name, title)


def _nest(trace: Trace, value: Any, name: str, title: str = "") -> Nest:
    """A nested value as values of the graph. `name` is for messages, `title` for the graph."""
    leaves, structure = tree.flatten(value)
    paths = tree.paths(structure)
    return Nest(
        [
            _value(trace, leaf, tree.format_path(path, name), tree.leaf_name(title or name, path))
            for leaf, path in zip(leaves, paths, strict=True)
        ],
        structure,
        trace.builder.sites.reached(value) or title or name,
    )


def _converted(trace: Trace, value: Value, like: Aval, kind: int) -> Value:
    """A weak number as the value of another dtype that the loop needs."""
    if value.like is like and value.kind == kind:
        return value
    return replace(value, node=cast(trace.builder.expr(value.node), like.dtype).id, like=like, kind=kind)


@contextlib.contextmanager
def _placed(frame: FrameType | None) -> Iterator[None]:
    """Errors that do not tell their place yet tell that of the loop or branch."""
    try:
        yield
    except HopgradError as error:
        if "\n  at " in str(error) or not context.where(frame):
            raise
        raise with_place(error, frame) from error.__cause__


# -- bodies ------------------------------------------------------------------------------------------------------------


@dataclass
class Body:
    """A function traced on fresh inputs, in the builder of the trace: `start` is the builder's size before."""

    start: int
    inputs: list[int]
    result: Any


def _trace_body(
    trace: Trace, f: Callable[..., Any], nests: Sequence[tuple[Nest, str]], frame: FrameType | None
) -> Body:
    """Run `f` once on tracers that have no values. If `f` must not write to the arrays of a nest, it has a name."""
    builder = trace.builder
    start = len(builder)
    inputs: list[int] = []
    with trace.inside_body():
        args = []
        for nest, fixed in nests:
            tracers = []
            for leaf in nest.leaves:
                node = builder.input(leaf.like, leaf.title).id
                inputs.append(node)
                tracer = Tracer(trace, node, leaf.kind)
                if fixed and leaf.kind == ARRAY:
                    shared = memory_of(tracer)
                    shared.writable = None
                    shared.name = fixed
                tracers.append(tracer)
            args.append(nest.rebuilt(tracers))
            name_modules(trace, nest.title, args[-1])
        trace.sited = len(builder)  # inputs have no place in the code
        return Body(start, inputs, f(*args))


def _outputs(trace: Trace, value: Any, name: str) -> Nest:
    """The result of a body."""
    with trace.inside_body():
        leaves, structure = tree.flatten(value)
        found = []
        for leaf, path in zip(leaves, tree.paths(structure), strict=True):
            if type(leaf) is np.ndarray:
                leaf = real(trace, leaf)
            found.append(_value(trace, leaf, tree.format_path(path, name)))
        return Nest(found, structure)


def _captured(builder: Builder, body: Body, outputs: Sequence[int], hoist: bool) -> list[int]:
    """The outer values that a body needs. With `hoist` also what it computed from such values alone."""
    inside = set(body.inputs)
    outer: set[int] = set()
    for node in reachable(builder, outputs, body.start):
        args = builder.args(node)
        if node in inside:
            continue
        if not args:
            if builder.hop(node).name == "input":  # an array of the surrounding program that was read here first
                outer.add(node)
            continue
        if not hoist or not inside.isdisjoint(args):
            inside.add(node)
            outer.update(args)
    outer.update(outputs)
    return sorted(node for node in outer - inside if node not in builder.constants)


def _closed(builder: Builder, body: Body, captured: Sequence[int], outputs: Sequence[int]) -> Graph:
    """The body as a graph of its own: a function of captured values and inputs."""
    target = Builder()
    target.sites = builder.sites
    known = {node: target.input(builder.avals[node], _name_of(builder, node)).id for node in (*captured, *body.inputs)}
    moved = transplant(builder, outputs, target, known, start=body.start, places=True)
    return Graph(target, [known[node] for node in (*captured, *body.inputs)], moved)


def _name_of(builder: Builder, node: int) -> str:
    if builder.hop(node).name == "input":
        return str(dict(builder.params(node))["name"])
    return builder.sites.name(builder.site[node]) or "c"


# -- giving back -------------------------------------------------------------------------------------------------------


def _finish(
    trace: Trace,
    hop: Compound,
    operands: Sequence[int],
    params: dict[str, Any],
    results: Sequence[Value],
    frame: FrameType | None,
) -> list[Any]:
    """The results of a loop or branch: traced, or plain where nothing traced goes in."""
    builder = trace.builder
    whole = emit(hop, [builder.expr(n) for n in operands], params, builder)
    nodes = [ITEM(whole, index=k).id for k in range(len(results))]
    plain = not trace.nested or all(n in builder.constants for n in operands)
    if not nodes:
        return []
    if plain:
        for node in nodes:
            trace.site(node, frame)
        values = evaluate(builder, nodes, trace.known)
        taken = {id(v) for v in trace.known.values()}
        found = [finished(v, result.kind, taken) for v, result in zip(values, results, strict=True)]
        return [real(trace, v) if trace.nested and isinstance(v, np.ndarray) else v for v in found]
    made = []
    for node, result in zip(nodes, results, strict=True):
        trace.site(node, frame)
        made.append(Tracer(trace, node, result.kind))
    return made


def _function(trace: Trace, f: Any, frame: FrameType | None) -> Callable[..., Any]:
    """A body as a function that sees the outside world as traced functions do."""
    if not callable(f):
        raise TypeError(f"the body of a loop or branch must be a function, not {type(f).__name__}")
    found: Callable[..., Any] = outside_of(trace).root(f, frame)
    return found


# -- carries -----------------------------------------------------------------------------------------------------------

_ORDER = "biufc"


def _merge(first: Value, later: Value, what: str) -> tuple[Aval, int]:
    """What a carry has to be that starts as one value and is replaced by another; Python numbers adapt."""
    if first.like is later.like:
        return first.like, later.kind if first.kind == PYTHON else first.kind
    if first.like.shape != later.like.shape:
        raise ShapeError(
            f"{what} has shape {first.like.shape} before a step, but {later.like.shape} after it: each step has to keep"
            " it"
        )
    old, new = _ORDER.index(first.like.dtype.kind), _ORDER.index(later.like.dtype.kind)
    if later.kind == PYTHON and new <= old:
        return first.like, first.kind
    if first.kind == PYTHON and old <= new:
        return later.like, later.kind
    raise DtypeError(
        f"{what} has dtype {first.like.dtype} before a step, but {later.like.dtype} after it: each step has to keep it"
        " (convert one of them with astype)"
    )


def _same_structure(first: tree.Structure, later: tree.Structure, what: str) -> None:
    if first != later:
        raise ShapeError(f"{what} is {first.text} before a step, but {later.text} after it: each step has to keep it")


def _steady(
    trace: Trace,
    init: Nest,
    run: Callable[[Nest], tuple[Body, Nest, Any]],
    what: str,
) -> tuple[Nest, Body, Nest, Any]:
    """Trace a body until the carry that goes in and the one that comes out agree: Python numbers may adapt to it."""
    while True:
        body, carry, rest = run(init)
        _same_structure(init.structure, carry.structure, what)
        merged = [_merge(a, b, a.name) for a, b in zip(init.leaves, carry.leaves, strict=True)]
        if all(a.like is like and a.kind == kind for a, (like, kind) in zip(init.leaves, merged, strict=True)):
            after = [
                replace(_converted(trace, b, a.like, a.kind), kind=b.kind if b.kind != PYTHON else a.kind)
                for a, b in zip(init.leaves, carry.leaves, strict=True)
            ]
            return init, body, Nest(after, carry.structure), rest
        adapted = [_converted(trace, a, *one) for a, one in zip(init.leaves, merged, strict=True)]
        init = replace(init, leaves=adapted)


# -- loops -------------------------------------------------------------------------------------------------------------


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Apply ``f(carry, x) -> (carry, y)`` along the first axis of `xs`: ``(last carry, all y stacked)``.

    As this loop, but recorded as one hop, with a body that is traced once::

        ys = []
        for x in xs:
            init, y = f(init, x)
            ys.append(y)
        return init, np.stack(ys)

    Args:
        f: Called with traced values. Its carry has to keep structure, shapes and dtypes.
        init: The first carry: a number, an array, or nested containers of them. Python numbers adapt to the dtype that
            `f` gives.
        xs: Arrays with a first axis of one length, in nested containers; None if there are none.
        length: The number of steps, needed if `xs` is None.
        reverse: Go from the last row to the first; the y stay with their x.

    Returns:
        The last carry and the y, stacked along a new first axis; both in the structures that `f` returns.

    Raises:
        ShapeError: a carry changes its structure or shape, or `xs` have different lengths; the message names it.
        DtypeError: a carry changes its dtype.

    >>> import numpy as np
    >>> scan(lambda total, x: (total + x, total * x), 0.0, np.array([1.0, 2.0, 3.0]))
    (np.float64(6.0), array([0., 2., 9.]))
    """
    frame = sys._getframe(1)
    with Level() as trace, _placed(frame):
        step = _function(trace, f, frame)
        names = (*parameter_names(f), "carry", "x")
        carry = _nest(trace, init, "carry", names[0])
        rows = _nest(trace, xs, "xs", names[1] if len(names) > 3 else "x")
        steps = _length(rows, length)
        slices = replace(rows, leaves=[replace(v, like=aval(v.like.shape[1:], v.like.dtype)) for v in rows.leaves])
        for leaf in slices.leaves:
            leaf.kind = ARRAY if leaf.like.shape else SCALAR

        def run(before: Nest) -> tuple[Body, Nest, Nest]:
            body = _trace_body(trace, step, [(before, ""), (slices, "a row of xs")], frame)
            if not isinstance(body.result, tuple) or len(body.result) != 2:
                raise TypeError(
                    f"scan needs a function that returns a pair (carry, y); {title_of(f)} returned"
                    f" {tree.flatten(body.result)[1].text}"
                )
            return body, _outputs(trace, body.result[0], "carry"), _outputs(trace, body.result[1], "y")

        return _scanned(trace, carry, rows, run, steps, reverse, frame)


def _scanned(
    trace: Trace,
    init: Nest,
    rows: Nest,
    run: Callable[[Nest], tuple[Body, Nest, Nest]],
    length: int,
    reverse: bool,
    frame: FrameType | None,
) -> tuple[Any, Any]:
    builder = trace.builder
    first, body, carry, ys = _steady(trace, init, run, "the carry")
    outputs = [v.node for v in (*carry.leaves, *ys.leaves)]
    captured = _captured(builder, body, outputs, hoist=length > 0)
    graph = _closed(builder, body, captured, outputs)
    stacked = [replace(v, kind=ARRAY) for v in ys.leaves]
    last = carry.leaves if length else first.leaves
    operands = [*captured, *[v.node for v in first.leaves], *[v.node for v in rows.leaves]]
    params = {
        "body": graph, "consts": len(captured), "carries": len(first.leaves), "counted": False, "length": length,
        "reverse": bool(reverse),
    }  # fmt: skip
    found = _finish(trace, SCAN, operands, params, [*last, *stacked], frame)
    return carry.rebuilt(found[: len(last)]), ys.rebuilt(found[len(last) :])


def _length(rows: Nest, length: int | None) -> int:
    """The number of steps, on which all must agree."""
    found = None if length is None else operator.index(length)
    source = "length"
    if found is not None and found < 0:
        raise ValueError(f"scan: length is {found}, but a loop cannot have fewer than 0 steps")
    for leaf in rows.leaves:
        if not leaf.like.shape:
            raise ShapeError(
                f"scan: {leaf.name} is a single number: xs needs arrays, along whose first axis the loop goes"
            )
        if found is None:
            found, source = leaf.like.shape[0], leaf.name
        elif leaf.like.shape[0] != found:
            told = f"length is {found}" if source == "length" else f"{source} has {found}"
            raise ShapeError(f"scan: {leaf.name} has {leaf.like.shape[0]} rows, but {told}")
    if found is None:
        raise ValueError("scan: without xs the number of steps is not known: say length=…")
    return found


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Apply ``body_fun(i, value) -> value`` for i = lower, …, upper − 1, and give the last value.

    As this loop, but recorded as one hop, with a body that is traced once::

        for i in range(lower, upper):
            init_val = body_fun(i, init_val)
        return init_val

    Args:
        lower: The first i.
        upper: The end, not included. Where a bound is not known when the body is traced (it depends on the carry of an
            outer loop), this is a `while_loop`, and so has no reverse mode.
        body_fun: Called with traced values; see `scan` about the value, which is its carry. ``i`` acts as a Python int.
        init_val: The first value.

    Raises:
        ShapeError: the value changes its structure or shape; the message names the part.
        DtypeError: the value changes its dtype.

    >>> fori_loop(0, 5, lambda i, total: total + i * i, 0.0)
    30.0
    """
    frame = sys._getframe(1)
    with Level() as trace, _placed(frame):
        step = _function(trace, body_fun, frame)
        bounds = [_bound(trace, bound, name, frame) for bound, name in ((lower, "lower"), (upper, "upper"))]
        names = (*parameter_names(body_fun), "i", "value")
        value = _nest(trace, init_val, "value", names[1] if len(names) > 3 else "value")
        counter = _value(trace, bounds[0], "lower", names[0])
        known = [bound for bound in bounds if type(bound) is int]
        if len(known) < 2:
            return _unknown_bounds(trace, step, counter, _value(trace, bounds[1], "upper", "upper"), value, frame)
        carry = Nest([counter, *value.leaves], value.structure)

        def run(before: Nest) -> tuple[Body, Nest, Nest]:
            return *_counted(trace, step, before, frame), _outputs(trace, None, "y")

        _, empty = tree.flatten(None)
        carry = replace(carry, structure=_with_counter(value.structure))
        result, _ = _scanned(trace, carry, Nest([], empty), run, max(0, known[1] - known[0]), False, frame)
        return result[1]


def _with_counter(structure: tree.Structure) -> tree.Structure:
    """The structure of (i, value)."""
    return tree.flatten((0, tree.unflatten(structure, [0] * structure.num_leaves)))[1]


def _counted(trace: Trace, step: Callable[..., Any], before: Nest, frame: FrameType | None) -> tuple[Body, Nest]:
    """One step with a counter as the first part of the carry."""
    body = _trace_body(trace, lambda carry: (carry[0] + 1, step(*carry)), [(before, "")], frame)
    result = _outputs(trace, body.result, "carry")
    for leaf in result.leaves:
        leaf.name = leaf.name.replace("carry[1]", "value", 1)
    return body, result


def _bound(trace: Trace, bound: Any, name: str, frame: FrameType | None) -> Any:
    """A bound as a plain int if it is known, else as a traced int."""
    if type(bound) is Tracer:
        node = current_node(bound)
        like = trace.builder.avals[node]
        if like.shape or like.dtype.kind not in "iu":
            raise DtypeError(f"fori_loop: {name} is {like!r}, but an integer is needed")
        try:
            trace.concrete(node)
        except UnknownValueError:
            return Tracer(trace, cast(trace.builder.expr(node), np.dtype(np.int64)).id, PYTHON)
        return int(trace.settle(node, frame))
    try:
        return operator.index(bound)
    except TypeError:
        raise DtypeError(f"fori_loop: {name} is of type {type(bound).__name__}, but an integer is needed") from None


def _unknown_bounds(
    trace: Trace, step: Callable[..., Any], counter: Value, upper: Value, value: Nest, frame: FrameType | None
) -> Any:
    carry = Nest([counter, *value.leaves], _with_counter(value.structure))
    end = trace.builder.expr(upper.node)
    i = carry.leaves[0]
    result = _while(
        trace,
        lambda before: _trace_body(trace, lambda c: c[0] < Tracer(trace, end.id, PYTHON), [(before, "")], frame),
        lambda before: _counted(trace, step, replace(before, leaves=[replace(i), *before.leaves[1:]]), frame),
        carry,
        None,
        frame,
    )
    return result[1]


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    max_steps: int | None = None,
) -> Any:
    """Apply ``body_fun(value) -> value`` as long as ``cond_fun(value)`` holds, and give the last value.

    As this loop, but recorded as one hop, with functions that are traced once::

        while cond_fun(init_val):
            init_val = body_fun(init_val)
        return init_val

    Args:
        cond_fun: Gives a boolean (or a number, of which it is asked whether it is not 0).
        body_fun: Called with traced values; see `scan` about the value, which is its carry.
        init_val: The first value.
        max_steps: How many steps there can be at most. Reverse mode (grad, vjp) needs this, because it has to keep the
            values of all steps; they take memory as they are made. Forward mode works without.

    Raises:
        ShapeError: the value changes its structure or shape; the message names the part.
        DtypeError: the value changes its dtype.
        LoopError: the condition still holds after `max_steps` steps.
        NotDifferentiableError: in reverse mode, without `max_steps`.

    >>> while_loop(lambda x: x < 100.0, lambda x: x * 3.0, 1.0)
    243.0
    """
    frame = sys._getframe(1)
    if max_steps is not None:
        max_steps = operator.index(max_steps)
        if max_steps < 0:
            raise ValueError(f"while_loop: max_steps is {max_steps}, but there cannot be fewer than 0 steps")
    with Level() as trace, _placed(frame):
        test, step = _function(trace, cond_fun, frame), _function(trace, body_fun, frame)
        names = (*parameter_names(body_fun), "value")

        def run(before: Nest) -> tuple[Body, Nest]:
            body = _trace_body(trace, step, [(before, "")], frame)
            return body, _outputs(trace, body.result, "value")

        return _while(
            trace,
            lambda before: _trace_body(trace, test, [(before, "the value of while_loop")], frame),
            run,
            _nest(trace, init_val, "value", names[0]),
            max_steps,
            frame,
        )


def _while(
    trace: Trace,
    test: Callable[[Nest], Body],
    step: Callable[[Nest], tuple[Body, Nest]],
    init: Nest,
    max_steps: int | None,
    frame: FrameType | None,
) -> Any:
    builder = trace.builder
    first, body, carry, _ = _steady(trace, init, lambda before: (*step(before), None), "the value")
    condition = test(first)
    answer = _truth(trace, condition.result, "while_loop: the result of the condition", frame)
    outputs = [v.node for v in carry.leaves]
    # Not even what does not change from step to step is computed if there is no step.
    captured = sorted(
        {*_captured(builder, body, outputs, hoist=False), *_captured(builder, condition, [answer], hoist=False)}
    )
    params = {
        "body": _closed(builder, body, captured, outputs), "cond": _closed(builder, condition, captured, [answer]),
        "consts": len(captured), "carries": len(outputs), "max_steps": max_steps,
    }  # fmt: skip
    operands = [*captured, *[v.node for v in first.leaves]]
    return carry.rebuilt(_finish(trace, WHILE, operands, params, carry.leaves, frame))


def _truth(trace: Trace, value: Any, what: str, frame: FrameType | None) -> int:
    """The truth of a single value, as a boolean value of the graph."""
    found = _value(trace, value, what)
    if found.like.size != 1:
        raise ShapeError(f"{what} has shape {found.like.shape}, but a single value is needed")
    single = trace.builder.expr(found.node)
    if found.like.shape:
        single = reshape(single, shape=())
    node = cast(single, np.dtype(bool)).id
    trace.site(node, frame)
    return node


# -- branches ----------------------------------------------------------------------------------------------------------


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """``true_fun(*operands)`` if `pred` holds, else ``false_fun(*operands)``; only that one is run.

    If `pred` is a traced value, both are traced once, and must return the same structure, shapes and dtypes; Python
    numbers adapt. If it is a plain one, this is no more than a call of one of them.

    Args:
        pred: A boolean (or a number, of which it is asked whether it is not 0).
        true_fun: Called with traced values.
        false_fun: Called with traced values.
        operands: Numbers and arrays, in nested containers.

    Raises:
        ShapeError: the results differ in structure or shape; the message names the part.
        DtypeError: the results differ in dtype.

    >>> import hopgrad as hg
    >>> def f(x):
    ...     return cond(x > 1.0, lambda x: x**2, lambda x: 3.0 * x, x)
    >>> hg.grad(f)(2.0), hg.grad(f)(0.5)
    (4.0, 3.0)
    """
    frame = sys._getframe(1)
    if not is_traced(pred):
        return _plain_branch([false_fun, true_fun], int(_single(pred, "cond: pred", bool)), operands)
    with Level() as trace, _placed(frame):
        index = _truth(trace, pred, "cond: pred", frame)
        return _branch(trace, index, [false_fun, true_fun], ["false_fun", "true_fun"], operands, frame)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """``branches[index](*operands)``; only that branch is run. An index out of range means the first or the last one.

    If the index is a traced value, all branches are traced once, and must return the same structure, shapes and dtypes;
    Python numbers adapt. If it is a plain one, this is no more than a call of one of them.

    Args:
        index: An integer. It is clamped: unlike in a list, −1 means the first branch.
        branches: Functions, called with traced values.
        operands: Numbers and arrays, in nested containers.

    Raises:
        ShapeError: the results differ in structure or shape; the message names the part.
        DtypeError: the results differ in dtype, or the index is no integer.

    >>> switch(1, [lambda x: x + 1.0, lambda x: x * 10.0], 5.0)
    50.0
    """
    frame = sys._getframe(1)
    if not branches:
        raise ValueError("switch: there are no branches")
    if not is_traced(index):
        number = _single(index, "switch: the index", operator.index)
        return _plain_branch(branches, min(max(number, 0), len(branches) - 1), operands)
    with Level() as trace, _placed(frame):
        found = _value(trace, index, "switch: the index")
        if found.like.shape or found.like.dtype.kind not in "iu":
            raise DtypeError(f"switch: the index is {found.like!r}, but a single integer is needed")
        return _branch(
            trace, found.node, list(branches), [f"branches[{k}]" for k in range(len(branches))], operands, frame
        )


def _single(value: Any, what: str, convert: Callable[[Any], Any]) -> Any:
    """A plain condition or index."""
    value = real_data(value) if type(value) is Tracer else value
    shape = np.shape(value)
    if shape and (convert is not bool or np.size(value) != 1):
        raise ShapeError(f"{what} has shape {shape}, but a single value is needed")
    try:
        return convert(value)
    except TypeError:
        raise DtypeError(f"{what} is of type {type(value).__name__}, but an integer is needed") from None


def _plain_branch(branches: Sequence[Callable[..., Any]], number: int, operands: Sequence[Any]) -> Any:
    if not all(map(callable, branches)):
        raise TypeError("the branches of cond and switch must be functions")
    return branches[number](*operands)


def _branch(
    trace: Trace,
    index: int,
    functions: Sequence[Callable[..., Any]],
    names: Sequence[str],
    operands: Sequence[Any],
    frame: FrameType | None,
) -> Any:
    builder = trace.builder
    titles = parameter_names(functions[-1])
    nests = [
        _nest(trace, value, f"operands[{k}]", titles[k] if k < len(titles) else f"x{k}")
        for k, value in enumerate(operands)
    ]
    start = len(builder)
    bodies: list[Body] = []
    results: list[Nest] = []
    for f, name in zip(functions, names, strict=True):
        body = _trace_body(
            trace, _function(trace, f, frame), [(nest, "an operand of a branch") for nest in nests], frame
        )
        # What one branch computed first and another one too belongs to both of them, so they all start at one place.
        bodies.append(replace(body, start=start))
        results.append(_outputs(trace, body.result, f"the result of {name}"))
    merged = _agreed(trace, results, names)
    outputs = [[v.node for v in nest.leaves] for nest in merged]
    captured = sorted(
        {n for body, out in zip(bodies, outputs, strict=True) for n in _captured(builder, body, out, hoist=False)}
    )
    graphs = tuple(_closed(builder, body, captured, out) for body, out in zip(bodies, outputs, strict=True))
    given = [index, *captured, *[v.node for nest in nests for v in nest.leaves]]
    return merged[0].rebuilt(_finish(trace, SWITCH, given, {"branches": graphs}, merged[0].leaves, frame))


def _agreed(trace: Trace, results: Sequence[Nest], names: Sequence[str]) -> list[Nest]:
    """The results of all branches in the same dtypes; Python numbers adapt to the others'."""
    first = results[0]
    for nest, name in zip(results, names, strict=True):
        if nest.structure != first.structure:
            raise ShapeError(
                f"the branches return different structures: {names[0]} {first.structure.text}, {name}"
                f" {nest.structure.text}"
            )
    columns = []
    for leaves in zip(*[nest.leaves for nest in results], strict=True):
        strong = [v for v in leaves if v.kind != PYTHON] or sorted(
            leaves, key=lambda v: _ORDER.index(v.like.dtype.kind), reverse=True
        )
        like = strong[0].like
        kind = ARRAY if any(v.kind == ARRAY for v in leaves) else strong[0].kind
        for v in leaves:
            if v.like.shape != like.shape:
                raise ShapeError(f"{strong[0].name} has shape {like.shape}, but {v.name} has {v.like.shape}")
            fits = v.like is like or (
                v.kind == PYTHON and _ORDER.index(v.like.dtype.kind) <= _ORDER.index(like.dtype.kind)
            )
            if not fits:
                raise DtypeError(
                    f"{strong[0].name} has dtype {like.dtype}, but {v.name} has {v.like.dtype}: convert one of them"
                    " with astype"
                )
        columns.append([_converted(trace, v, like, kind) for v in leaves])
    return [Nest([column[k] for column in columns], first.structure) for k in range(len(results))]
