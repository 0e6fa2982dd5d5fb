"""Functions with derivative rules of their own: `custom_vjp` and `custom_jvp`, with JAX's conventions.

At a call inside a traced function, both the function and its rule are traced: the rule as a graph of its own, from
fresh cotangents (or tangents). What is recorded is data, so derivatives of any order and transforms inside transforms
need no further call of the user's Python code. See ``hopgrad.hops.custom`` for what is recorded.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from hopgrad import tree
from hopgrad.errors import DtypeError, HopgradError, NotDifferentiableError, ShapeError, TraceError
from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM
from hopgrad.hops.custom import ENTER, RULED, RULED_ALL, STOP_GRADIENT, Rule
from hopgrad.hops.surface import cast
from hopgrad.outside import outside_of
from hopgrad.trace import context, memory
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.memory import Memory
from hopgrad.trace.tracer import ARRAY, PYTHON, SCALAR, Tracer, attach, current_node, is_traced, strides_of

_DEPTH = 3
"""How often a function may be called in its own rule with other arguments, one call inside the other."""


_LEAF = tree.flatten(0.0)[1]


class _Running(NamedTuple):
    """A rule that is being traced."""

    owner: Any
    nodes: tuple[int, ...]
    others: list[Any]
    rule: Rule
    called: list[int]
    """Filled when the function is called in its own rule."""


_running: ContextVar[tuple[_Running, ...]] = ContextVar("hopgrad_rules", default=())


@dataclass
class _Result:
    """One leaf of a result: a value of the graph, or None where it is no number (and ``other`` it is)."""

    node: int | None
    kind: int
    other: Any
    layout: Any = "C"


class _Arguments:
    """The arguments of one call, leaf by leaf: those with traced values are operands, the others stay as they are."""

    def __init__(self, owner: _Custom, trace: Trace, args: tuple[Any, ...]) -> None:
        self.args = args
        fixed = owner._fixed(len(args))
        self.places = [k for k in range(len(args)) if k not in fixed]
        self.fixed = [args[k] for k in sorted(fixed)]
        self.structures: list[tree.Structure] = []
        self.leaves: list[Any] = []
        self.names: list[str] = []
        for k in self.places:
            leaves, structure = tree.flatten(args[k])
            self.structures.append(structure)
            self.leaves.extend(leaves)
            title = owner._names[k] if k < len(owner._names) else f"argument {k}"
            self.names.extend(tree.format_path(path, title) for path in tree.paths(structure))
        self.traced = [k for k, leaf in enumerate(self.leaves) if is_traced(leaf)]
        for k in self.traced:
            if self.leaves[k]._trace is not trace:
                self.leaves[k]._trace.check_open()
                raise TraceError("values of two different traces (of two threads?) cannot be combined")
        self.nodes = [current_node(self.leaves[k]) for k in self.traced]

    def groups(self, leaves: Sequence[Any]) -> list[Any]:
        """One nested value for each differentiated argument."""
        rest = iter(leaves)
        return [tree.unflatten(s, [next(rest) for _ in range(s.num_leaves)]) for s in self.structures]

    def full(self, leaves: Sequence[Any]) -> list[Any]:
        """All arguments, with other leaves."""
        args = list(self.args)
        for k, value in zip(self.places, self.groups(leaves), strict=True):
            args[k] = value
        return args

    def others(self) -> list[Any]:
        """What else the call depends on: leaves that are no operands, and arguments that are not differentiated."""
        traced = set(self.traced)
        return [*self.fixed, *[leaf for k, leaf in enumerate(self.leaves) if k not in traced]]


def _same(first: Sequence[Any], second: Sequence[Any]) -> bool:
    if len(first) != len(second):
        return False
    for a, b in zip(first, second, strict=True):
        if a is b:
            continue
        if type(a) is not type(b) or not isinstance(a, (int, float, bool, str, np.ndarray, np.generic)):
            return False
        if not np.array_equal(a, b):
            return False
    return True


class _Custom:
    """What both decorators have in common."""

    _kind = ""
    _accounts_for_itself = True

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        if not callable(f):
            raise TypeError(f"{self._kind} needs a function, not {type(f).__name__}")
        functools.update_wrapper(self, f)
        self.f = f
        self.nondiff_argnums = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        self._title = getattr(f, "__name__", None) or type(f).__name__
        self._signature: inspect.Signature | None
        try:
            self._signature = inspect.signature(f)
        except (TypeError, ValueError):  # builtins and ufuncs may have none
            self._signature = None
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = self._signature.parameters.values() if self._signature else ()
        self._names = [p.name for p in parameters if p.kind in kinds]

    def __repr__(self) -> str:
        return f"<{self._kind} {self._title}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _fixed(self, count: int) -> set[int]:
        """The arguments that are not differentiated, as positions from 0 on."""
        found = {k + count if k < 0 else k for k in self.nondiff_argnums}
        if any(not 0 <= k < count for k in found):
            raise ValueError(
                f"nondiff_argnums {self.nondiff_argnums} of {self._title} do not fit a call with {count} arguments"
            )
        return found

    def _bound(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, with defaults."""
        if self._signature is None:
            if keywords:
                raise TypeError(f"{self._title} has no signature that Python knows: call it without keywords")
            return args
        bound = self._signature.bind(*args, **keywords)
        bound.apply_defaults()
        if bound.kwargs:
            names = ", ".join(bound.kwargs)
            raise TypeError(
                f"{self._kind}: {self._title} takes {names} by keyword only, which a rule cannot take: make"
                " it an ordinary parameter"
            )
        return bound.args

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if not self._is_ready():
            raise TypeError(f"{self._title} has no rule yet: call {self._title}.{self._how} first")
        given = self._bound(args, keywords)
        trace = context.current()
        if trace is None:
            return _detached(self.f(*given), given)
        frame = sys._getframe(1)
        trace.check_open()
        try:
            return self._record(trace, _Arguments(self, trace, given), frame)
        except (HopgradError, ValueError) as error:
            place = context.where(frame)
            if not isinstance(error, HopgradError):
                if "read-only" not in str(error):
                    raise
                error = TraceError(
                    f"{self._title} or its {self._kind} rule writes into an argument, which a function with a rule"
                    " cannot do: copy it first (x = x.copy())"
                )
            if "\n  at " in str(error) or not place:
                raise error
            trace.refuse(type(error)(f"{error}\n  at {place}"))

    _how = ""

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _handed(self, trace: Trace, name: str, frame: FrameType | None) -> Any:
        """One of the user's functions, as a traced function sees it."""
        return outside_of(trace).hand(
            getattr(self, name), functools.partial(getattr, self, name), f"{self._title}.{name}", frame
        )

    def _record(self, trace: Trace, args: _Arguments, frame: FrameType | None) -> Any:
        others = args.others()
        mine = [r for r in _running.get() if r.owner is self]
        for outer in mine:
            if outer.nodes == tuple(args.nodes) and _same(outer.others, others):
                outer.called.append(1)
                return self._without_rule(trace, args, outer.rule, frame)
        rule = Rule(self._title, self._kind == "custom_jvp", 0, len(args.nodes))
        if len(mine) >= _DEPTH or not args.traced:
            rule.reason = f"calls it again with other arguments, {_DEPTH} times over"
            return self._without_rule(trace, args, rule, frame)
        return self._with_rule(trace, args, rule, frame)

    def _without_rule(self, trace: Trace, args: _Arguments, rule: Rule, frame: FrameType | None) -> Any:
        """Record a call by the function alone: its rule is traced elsewhere, or it has no traced arguments."""
        mark = len(trace.builder)
        entered = _entered(trace, args, rule, stop=rule.forward)
        out = self._handed(trace, "f", frame)(*args.full(entered))
        results, structure = _results(trace, out, bool(args.traced))
        found = [r for r in results if r.node is not None]
        if not found or not (args.traced or any(is_traced(v) for v in tree.flatten(out)[0])):
            return out
        _count(rule, len(found))
        captured = _captured(trace.builder, [r.node for r in found if r.node is not None], mark, rule)
        return _joined(trace, args, rule, results, structure, captured, [], True, frame)

    def _with_rule(self, trace: Trace, args: _Arguments, rule: Rule, frame: FrameType | None) -> Any:
        raise NotImplementedError

    def _complain(self, cls: type[HopgradError], text: str) -> HopgradError:
        return cls(f"{self._kind} rule of {self._title}: {text}")


class custom_vjp(_Custom):  # noqa: N801 - a decorator, under the name that JAX gave it
    """A function whose derivative in reverse mode is given by a rule.

    Args:
        f: Any function of numbers, arrays and nested structures of them.
        nondiff_argnums: Positions of arguments that are passed on as they are and never differentiated: functions,
            strings, sizes.

    ``f.defvjp(fwd, bwd)`` gives the rule. ``fwd`` takes the arguments of `f` and returns ``(out, residuals)``: the
    result of `f`, and whatever ``bwd`` needs. ``bwd(*nondiff, residuals, cotangent)`` returns a tuple with a cotangent
    for each of the other arguments, of the argument's structure and shapes, or None for zero. Integer results have the
    cotangent zeros. Where `f` is called inside a function that is traced, ``fwd`` runs in its place; its code, and
    that of ``bwd``, is differentiated for derivatives of higher order.

    Raises:
        NotDifferentiableError: in forward mode, of which the rule says nothing; or if the result depends on a
            differentiated value that `f` uses without having it as an argument.
        ShapeError: a cotangent has another shape or structure than its argument.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> @hg.custom_vjp
    ... def clipped(x):
    ...     return x
    >>> clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1, 1),))
    >>> hg.grad(lambda x: clipped(x) ** 2)(3.0)
    1.0
    """

    _kind = "custom_vjp"
    _how = "defvjp(fwd, bwd)"

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rule; see the class."""
        self.fwd, self.bwd = fwd, bwd

    def _is_ready(self) -> bool:
        return self.fwd is not None

    def _with_rule(self, trace: Trace, args: _Arguments, rule: Rule, frame: FrameType | None) -> Any:
        builder = trace.builder
        mark = len(builder)
        entered = _entered(trace, args, rule)
        running = _Running(self, tuple(current_node(entered[k]) for k in args.traced), args.others(), rule, [])
        token = _running.set((*_running.get(), running))
        try:
            pair = self._handed(trace, "fwd", frame)(*args.full(entered))
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise self._complain(TraceError, f"fwd must return (out, residuals), not {type(pair).__name__}")
            out, residuals = pair
            results, structure = _results(trace, out, True)
            nodes = [r.node for r in results if r.node is not None]
            if not nodes:
                return out
            _count(rule, len(nodes))
            rule.floats = [k for k, node in enumerate(nodes) if builder.avals[node].is_float]
            backward = self._handed(trace, "bwd", frame)
            settled = len(builder), len(trace.refusals)
            fresh = [builder.input(builder.avals[nodes[k]], "ct").id for k in rule.floats]
            try:
                with trace.inside_body():
                    cotangent = _dressed(trace, results, structure, nodes, rule.floats, fresh)
                    found = backward(*args.fixed, residuals, cotangent)
            except HopgradError as error:
                if not _needs_value(error):
                    raise
                # It asks for the value of a cotangent, which is known at the time of some derivatives.
                del trace.refusals[settled[1] :]
                found = None
        finally:
            _running.reset(token)
        if found is None:
            held = self._postpone(trace, args, rule, results, structure, nodes, residuals, backward)
        else:
            cotangents = self._cotangents(trace, args, found)
            targets = [c for c in cotangents if c is not None]
            rule.places = _numbered(cotangents)
            rule.body, held = _extracted(builder, fresh, targets)
        captured = _captured(builder, [*nodes, *held], mark, rule)
        if running.called:
            _note_first(trace, rule, [current_node(entered[k]) for k in args.traced], held, mark)
        return _joined(trace, args, rule, results, structure, captured, held, False, frame)

    def _cotangents(self, trace: Trace, args: _Arguments, found: Any) -> list[int | None]:
        """What ``bwd`` returned, as a value of the graph (or None) for each operand."""
        if not isinstance(found, (tuple, list)) or len(found) != len(args.places):
            got = f"{len(found)} of them" if isinstance(found, (tuple, list)) else type(found).__name__
            raise self._complain(
                ShapeError,
                f"bwd must return a tuple of {len(args.places)} cotangents, one for each argument, not {got}",
            )
        leaves: list[Any] = []
        for k, structure, value in zip(args.places, args.structures, found, strict=True):
            title = self._names[k] if k < len(self._names) else f"argument {k}"
            leaves.extend(self._leaves_like(structure, value, title))
        out: list[int | None] = []
        traced = dict(zip(args.traced, args.nodes, strict=True))
        for k, leaf in enumerate(leaves):
            node = _checked(self, trace, leaf, args.leaves[k], args.names[k], "bwd gave a cotangent")
            if k in traced:
                like = trace.builder.avals[traced[k]]
                out.append(
                    None if node is None or not like.is_float else cast(Expr(trace.builder, node), like.dtype).id
                )
        return out

    def _leaves_like(self, structure: tree.Structure, value: Any, title: str) -> list[Any]:
        """The leaves of a cotangent in the order of the argument's; None anywhere stands for zero all below."""
        if value is None:
            return [None] * structure.num_leaves
        leaves, given = tree.flatten(value)
        if given == structure:
            return leaves
        found: list[Any] = []
        for path in tree.paths(structure):
            item = value
            for key in path:
                if item is None:
                    break
                try:
                    item = getattr(item, str(key.value)) if key.kind == "attribute" else item[key.value]
                except (AttributeError, KeyError, IndexError, TypeError):
                    item = structure  # nothing that could be a cotangent
                    break
            found.append(item)
        some = [item for item in found if item is not None]
        if len(some) != len(leaves) or any(item is structure or tree.flatten(item)[1] != _LEAF for item in some):
            raise self._complain(
                ShapeError,
                f"bwd gave a cotangent of structure {given.text} for {title}, which has structure {structure.text}",
            )
        return found

    def _postpone(
        self,
        trace: Trace,
        args: _Arguments,
        rule: Rule,
        results: list[_Result],
        structure: tree.Structure,
        nodes: list[int],
        residuals: Any,
        backward: Callable[..., Any],
    ) -> list[int]:
        """Have ``bwd`` run when the derivative is taken. Returns the residuals that are values of the graph."""
        leaves, shape = tree.flatten(residuals)
        leaves = [leaf.copy() if type(leaf) is np.ndarray else leaf for leaf in leaves]
        traced = [k for k, leaf in enumerate(leaves) if is_traced(leaf)]
        kinds = [leaves[k]._kind for k in traced]

        def late(builder: Builder, held: Sequence[int], given: Sequence[int]) -> list[int | None]:
            if builder is not trace.builder or trace.closed or context.current() is not trace:
                raise self._complain(
                    NotDifferentiableError,
                    "bwd asks for the value of the cotangent, which is not known here: use np.where, or give"
                    " external functions in it their like=",
                )
            now = list(leaves)
            for k, node, kind in zip(traced, held, kinds, strict=True):
                now[k] = Tracer(trace, node, kind)
            cotangent = _dressed(trace, results, structure, nodes, rule.floats, list(given))
            return self._cotangents(trace, args, backward(*args.fixed, tree.unflatten(shape, now), cotangent))

        rule.late = late
        return [current_node(leaves[k]) for k in traced]


class custom_jvp(_Custom):  # noqa: N801 - a decorator, under the name that JAX gave it
    """A function whose derivative is given by a rule for tangents, which serves both modes.

    Args:
        f: Any function of numbers, arrays and nested structures of them.
        nondiff_argnums: Positions of arguments that are passed on as they are and never differentiated.

    ``f.defjvp(rule)`` gives the rule, and returns it, so it can be used as a decorator:
    ``rule(*nondiff, primals, tangents)`` takes tuples with one entry for each of the other arguments and returns
    ``(out, tangent of out)``. The tangent of the result has to be linear in the tangents of the arguments; reverse
    mode transposes it. ``f.defjvps(*rules)`` gives one rule for each argument, ``rule(tangent, out, *primals)``, None
    for an argument whose derivative is zero; their results are added up.

    Raises:
        NotDifferentiableError: the rule is not linear in the tangents; or the result depends on a differentiated
            value that `f` uses without having it as an argument.
        ShapeError: a tangent has another shape or structure than the result.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> @hg.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1.0 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t * (1 - 1 / (1 + np.exp(x)))
    >>> hg.grad(log1pexp)(100.0)
    1.0
    """

    _kind = "custom_jvp"
    _how = "defjvp(rule)"

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self.rule: Callable[..., Any] | None = None
        self.rules: tuple[Callable[..., Any] | None, ...] | None = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule; see the class."""
        self.rule, self.rules = rule, None
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Set one rule for each argument; see the class."""
        if self.nondiff_argnums:
            raise TypeError(f"defjvps cannot be used with nondiff_argnums: call {self._title}.defjvp(rule)")
        self.rules, self.rule = rules, None

    def _is_ready(self) -> bool:
        return self.rule is not None or self.rules is not None

    def _with_rule(self, trace: Trace, args: _Arguments, rule: Rule, frame: FrameType | None) -> Any:
        builder = trace.builder
        mark = len(builder)
        out = self._handed(trace, "f", frame)(*args.full(_entered(trace, args, rule, stop=True)))
        results, structure = _results(trace, out, True)
        nodes = [r.node for r in results if r.node is not None]
        if not nodes:
            return out
        _count(rule, len(nodes))
        rule.floats = [k for k, node in enumerate(nodes) if builder.avals[node].is_float]
        entered = _entered(trace, args, rule)
        inner = [current_node(entered[k]) for k in args.traced]
        rule.moving = [k for k, node in enumerate(inner) if builder.avals[node].is_float]
        running = _Running(self, tuple(inner), args.others(), rule, [])
        token = _running.set((*_running.get(), running))
        try:
            primals = tuple(args.groups(entered))
            fresh = [builder.input(builder.avals[inner[k]], "t").id for k in rule.moving]
            tangents = list(map(_zero_like, args.leaves))
            for k, node in zip(rule.moving, fresh, strict=True):
                place = args.traced[k]
                tangents[place] = Tracer(trace, node, entered[place]._kind)
            with trace.inside_body():
                pair = self._applied(trace, args, primals, tuple(args.groups(tangents)), frame)
        finally:
            _running.reset(token)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise self._complain(TraceError, f"it must return (out, tangent of out), not {type(pair).__name__}")
        moved = self._tangents(trace, pair, results, structure, nodes)
        chosen = [moved[k] for k in rule.floats]
        rule.places = _numbered(chosen)
        rule.body, held = _extracted(builder, fresh, [node for node in chosen if node is not None])
        captured = _captured(builder, [*nodes, *held], mark, rule)
        if running.called:
            _note_first(trace, rule, inner, held, mark)
        return _joined(trace, args, rule, results, structure, captured, held, False, frame)

    def _applied(
        self,
        trace: Trace,
        args: _Arguments,
        primals: tuple[Any, ...],
        tangents: tuple[Any, ...],
        frame: FrameType | None,
    ) -> Any:
        """What the rule returns, or the sum of what the rules of the arguments return."""
        if self.rules is None:
            return self._handed(trace, "rule", frame)(*args.fixed, primals, tangents)
        if len(self.rules) != len(primals):
            raise self._complain(ShapeError, f"defjvps got {len(self.rules)} rules for {len(primals)} arguments")
        out = self(*primals)
        handed = self._handed(trace, "rules", frame)
        total: Any = None
        for one, tangent in zip(handed, tangents, strict=True):
            if one is not None:
                share = one(tangent, out, *primals)
                total = share if total is None else tree.map(np.add, total, share)
        return out, tree.map(_zero_like, out) if total is None else total

    def _tangents(
        self, trace: Trace, pair: Any, results: list[_Result], structure: tree.Structure, nodes: list[int]
    ) -> list[int | None]:
        """The tangents that the rule returned, as a value of the graph (or None) for each result that is a number."""
        out: list[int | None] = []
        for what, value in zip(("out", "a tangent"), pair, strict=True):
            leaves, given = tree.flatten(value)
            if given != structure:
                raise self._complain(
                    ShapeError, f"it returned {what} of structure {given.text}, but the result is {structure.text}"
                )
            out = []
            numbers = iter(nodes)
            for leaf, result, path in zip(leaves, results, tree.paths(structure), strict=True):
                if result.node is None:
                    continue
                like = trace.builder.avals[next(numbers)]
                name = tree.format_path(path, "the result")
                found = _checked(self, trace, leaf, like, name, f"it returned {what}")
                out.append(
                    None if found is None or not like.is_float else cast(Expr(trace.builder, found), like.dtype).id
                )
        return out


# -- recording -------------------------------------------------------------------------------------------------------


def _needs_value(error: BaseException | None) -> bool:
    """Whether the reason of an error is that a value is not known."""
    while error is not None:
        if isinstance(error, UnknownValueError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _entered(trace: Trace, args: _Arguments, rule: Rule, stop: bool = False) -> list[Any]:
    """The leaves of the arguments as the function or its rule gets them."""
    builder = trace.builder
    leaves = list(args.leaves)
    rule.calls += 1
    for k, node in zip(args.traced, args.nodes, strict=True):
        tracer = leaves[k]
        inside = builder.emit(ENTER, (node,), (("call", rule.calls), ("rule", rule)))
        if stop:
            inside = builder.emit(STOP_GRADIENT, (inside,))
        made = leaves[k] = Tracer(trace, inside, tracer._kind)
        if tracer._kind == ARRAY:
            attach(made, Memory(inside, layout=strides_of(tracer), writable=False))
    return leaves


def _results(trace: Trace, out: Any, wanted: bool) -> tuple[list[_Result], tree.Structure]:
    """The leaves of a result; plain numbers and arrays become constants if they are `wanted` in the graph."""
    leaves, structure = tree.flatten(out)
    found = []
    for leaf in leaves:
        if type(leaf) is Tracer:
            if leaf._trace is not trace:
                leaf._trace.check_open()
            strides = strides_of(leaf) if leaf._kind == ARRAY and leaf._aval.ndim > 1 else None
            plain = leaf._aval.ndim < 2 or (strides is not None and memory.is_contiguous(leaf._aval.shape, strides))
            found.append(_Result(current_node(leaf), leaf._kind, None, "C" if plain else None))
        elif wanted and type(leaf) in (int, float, bool):
            found.append(_Result(trace.builder.constant(leaf).id, PYTHON, None))
        elif wanted and isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind in "fiub":
            kind = ARRAY if isinstance(leaf, np.ndarray) else SCALAR
            layout = "C" if leaf.flags.c_contiguous else None
            found.append(_Result(memory.constant(trace.builder, np.asarray(leaf)), kind, None, layout))
        else:
            found.append(_Result(None, ARRAY, leaf))
    return found, structure


def _count(rule: Rule, results: int) -> None:
    if rule.results and rule.results != results:
        raise ShapeError(
            f"{rule.kind} rule of {rule.title}: it returns {results} arrays or numbers, but the function {rule.results}"
        )
    rule.results = results


def _dressed(
    trace: Trace,
    results: list[_Result],
    structure: tree.Structure,
    nodes: Sequence[int],
    floats: Sequence[int],
    given: Sequence[int],
) -> Any:
    """Cotangents in the structure of the result: zeros for integers, None for what is no number."""
    by_number = dict(zip(floats, given, strict=True))
    leaves: list[Any] = []
    number = 0
    for result in results:
        if result.node is None:
            leaves.append(None)
            continue
        if number in by_number:
            leaves.append(Tracer(trace, by_number[number], result.kind))
        else:
            leaves.append(np.zeros(trace.builder.avals[nodes[number]].shape)[()])
        number += 1
    return tree.unflatten(structure, leaves)


def _zero_like(leaf: Any) -> Any:
    """The tangent of something that does not move."""
    if type(leaf) is Tracer or isinstance(leaf, (np.ndarray, np.generic, float, int, bool, complex)):
        dtype = _dtype_of(leaf)
        return np.zeros(np.shape(leaf), dtype if dtype.kind in "fc" else np.float64)[()]
    return None


def _dtype_of(leaf: Any) -> np.dtype[Any]:
    if type(leaf) is Tracer:
        return leaf._aval.dtype
    found: np.dtype[Any] = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return found


def _checked(owner: _Custom, trace: Trace, leaf: Any, like: Any, name: str, what: str) -> int | None:
    """A leaf that the rule returned, as a value of the graph; None where it is zero or belongs to no number."""
    if leaf is None:
        return None
    if type(leaf) is not Tracer and not isinstance(leaf, (np.ndarray, np.generic, float, int, bool, complex)):
        raise owner._complain(DtypeError, f"{what} of type {type(leaf).__name__} for {name}")
    shape = (
        getattr(like, "shape", ()) if isinstance(like, (int, float, bool, complex)) or hasattr(like, "shape") else None
    )
    if shape is None:
        return None
    if np.shape(leaf) != shape:
        raise owner._complain(ShapeError, f"{what} of shape {np.shape(leaf)} for {name}, which has shape {shape}")
    dtype = _dtype_of(leaf)
    if dtype.kind not in "fiubc" or (dtype.kind == "c" and _dtype_of(like).kind != "c"):
        raise owner._complain(DtypeError, f"{what} of dtype {dtype} for {name}")
    if type(leaf) is Tracer:
        return current_node(leaf)
    return memory.constant(trace.builder, np.asarray(leaf))


def _numbered(nodes: Sequence[int | None]) -> list[int | None]:
    """For each entry that is there, its number among these."""
    count = iter(range(len(nodes)))
    return [None if node is None else next(count) for node in nodes]


def _extracted(builder: Builder, fresh: Sequence[int], outputs: Sequence[int]) -> tuple[Graph, list[int]]:
    """The graph from fresh inputs to `outputs`, and the values that it needs besides, which become inputs too."""
    dependent = set(fresh)
    held: dict[int, None] = {}
    order = reachable(builder, outputs, min(fresh)) if fresh else []
    for node in order:
        args = builder.args(node)
        if not dependent.isdisjoint(args):
            dependent.add(node)
            held.update(dict.fromkeys(a for a in args if a not in dependent and a not in builder.constants))
    held.update(dict.fromkeys(n for n in outputs if n not in dependent and n not in builder.constants))
    inner = Builder()
    inner.sites = builder.sites
    moved = {n: inner.input(builder.avals[n], "d").id for n in fresh}
    moved |= {n: inner.input(builder.avals[n], "r").id for n in held}
    _copy(builder, [n for n in order if n in dependent], inner, moved)
    made = [moved[n] if n in moved else inner.constant(builder.constants[n]).id for n in outputs]
    return Graph(inner, [moved[n] for n in (*fresh, *held)], made), list(held)


def _copy(builder: Builder, nodes: Sequence[int], inner: Builder, moved: dict[int, int]) -> None:
    """Emit values again in another builder."""
    for node in nodes:
        if node in moved:
            continue
        ids = []
        for a in builder.args(node):
            if a not in moved:
                moved[a] = inner.constant(builder.constants[a]).id
            ids.append(moved[a])
        before = len(inner)
        hop, params = builder.kinds[builder.kind[node]]
        new = moved[node] = inner.emit(hop, ids, params)
        if new >= before:
            inner.site[new] = builder.site[node]


def _captured(builder: Builder, outputs: Sequence[int], mark: int, rule: Rule) -> list[int]:
    """Values from before `mark`, other than the arguments, on which `outputs` depend."""
    found = dict.fromkeys(n for n in outputs if n < mark and n not in builder.constants)
    for node in reachable(builder, outputs, mark):
        hop, params = builder.kinds[builder.kind[node]]
        if hop is ENTER and params[1][1] is rule:
            continue
        found.update(dict.fromkeys(a for a in builder.args(node) if a < mark and a not in builder.constants))
    return list(found)


def _note_first(trace: Trace, rule: Rule, entered: Sequence[int], held: Sequence[int], mark: int) -> None:
    """Note how the residuals are made from the arguments, for calls of the function in its own rule."""
    builder = trace.builder
    inner = Builder()
    inner.sites = builder.sites
    moved = {n: inner.input(builder.avals[n], "x").id for n in entered}
    inputs = list(moved.values())
    order = [n for n in reachable(builder, held, mark, moved) if n not in moved and n not in builder.constants]
    stray = dict.fromkeys(a for n in order for a in builder.args(n) if a < mark and a not in builder.constants)
    stray.update(dict.fromkeys(n for n in held if n < mark))
    if stray:
        before = [n for n in reachable(builder, list(stray)) if n < mark and n not in builder.constants]
        order = [*before, *order]
    for node in order:
        if builder.hop(node).name != "input":
            continue
        if node in trace.standing or trace.wrt is None or node in trace.wrt:
            rule.reason = "uses values that are not among its arguments"
            return
        moved[node] = inner.input(builder.avals[node], "a").id
        inputs.append(moved[node])
        rule.held.append(node)
    _copy(builder, order, inner, moved)
    outputs = [moved[n] if n in moved else inner.constant(builder.constants[n]).id for n in held]
    rule.home = builder
    rule.first = Graph(inner, inputs, outputs)


def _joined(
    trace: Trace,
    args: _Arguments,
    rule: Rule,
    results: list[_Result],
    structure: tree.Structure,
    captured: Sequence[int],
    held: Sequence[int],
    inner: bool,
    frame: FrameType | None,
) -> Any:
    """Record the hop that joins the results of a call to its rule, and give back its results as traced values."""
    builder = trace.builder
    nodes = [r.node for r in results if r.node is not None]
    operands = [*nodes, *args.nodes, *captured, *held]
    params = (("captured", len(captured)), ("inner", inner), ("rule", rule))
    if len(nodes) == 1:
        made = [builder.emit(RULED, operands, params)]
    else:
        whole = builder.emit(RULED_ALL, operands, params)
        trace.site(whole, frame)
        made = [builder.emit(ITEM, (whole,), (("index", k),)) for k in range(len(nodes))]
    rest = iter(made)
    leaves: list[Any] = []
    for result in results:
        if result.node is None:
            leaves.append(result.other)
            continue
        node = next(rest)
        trace.site(node, frame)
        tracer = Tracer(trace, node, result.kind)
        if result.kind == ARRAY and result.layout != "C":
            attach(tracer, Memory(node, layout=result.layout))
        leaves.append(tracer)
    return tree.unflatten(structure, leaves)


def _detached(out: Any, args: tuple[Any, ...]) -> Any:
    """A result that shares no memory with the arguments, as it is where it is traced."""
    given = [leaf for leaf in tree.flatten(args)[0] if isinstance(leaf, np.ndarray)]

    def own(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and any(np.may_share_memory(leaf, array) for array in given):
            return leaf.copy("K")
        return leaf

    return tree.map(own, out) if given else out
