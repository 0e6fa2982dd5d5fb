"""How a function is called: on fresh tracers in place of its arguments, or by a trace that was kept.

A transform (`hopgrad.transforms`) says what to make of a traced call. Here is what all of them share: reading the
arguments, running the user's function, giving back values (outermost call) or tracers (inside another trace, by putting
the actual arguments in place of the fresh inputs), and keeping traces from call to call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import inspect
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from hopgrad import entries, tree
from hopgrad.aval import Aval, aval, aval_of
from hopgrad.backend import LARGE, Fallback, NativePlan, backend, pays
from hopgrad.differentiate import substitute
from hopgrad.errors import DtypeError, HopgradError, TraceError
from hopgrad.evaluate import Plan, evaluate
from hopgrad.graph.builder import Builder, Expr
from hopgrad.graph.graph import Graph, Guard
from hopgrad.graph.operators import all_finite
from hopgrad.hops.control import looped
from hopgrad.lower import report
from hopgrad.lower.entry import Function
from hopgrad.lower.program import Program
from hopgrad.outside import SCALARS, Outside, array_token, is_copyable, is_ours, outside_of, users_class
from hopgrad.replay import Recorded, Replays
from hopgrad.rewrite import merged
from hopgrad.standins import is_pure, stand_in
from hopgrad.trace import context, homes
from hopgrad.trace.context import Trace, tracing
from hopgrad.trace.tracer import ARRAY, PYTHON, SCALAR, Tracer, current_node, real

Argnums = int | str | Sequence[int | str]
NOTHING: Argnums = range(0)
"""The argnums of a transform that differentiates nothing."""


# -- arguments -------------------------------------------------------------------------------------------------------


@dataclass
class Leaf:
    """One array or number among the arguments, and the fresh input that stands for it."""

    node: int
    kind: int
    name: str
    actual: Any
    """What the caller gave: a concrete value, or the tracer of an outer trace."""


@dataclass
class Output:
    """One leaf of the function's result: a value of the graph, or None where it is no number (and ``other`` it is)."""

    node: int | None
    kind: int
    other: Any = None


class Asked(NamedTuple):
    """What was evaluated for the first call of a trace, for which native code can be made."""

    nodes: tuple[int, ...]
    added: bool = False
    """Whether it depends on inputs that the transform added."""
    finite: bool = False
    """Whether native code has to make sure that all of it is finite, or else leave it to the interpreter."""
    whole: bool = False
    """Whether kernels may have any size, since most of what is computed is needed for all of it."""


@dataclass
class Call:
    """A function traced at its arguments: the fresh inputs, the results, and how to come back from them.

    ``known`` holds values for the actual arguments by id: of the inputs, and of what the function's guards asked for.
    ``derived`` is what transforms made of the trace, to be used again when it is replayed.
    """

    trace: Trace
    leaves: list[Leaf]
    structures: list[tree.Structure]
    """Structure of each differentiated argument, in order of ``argnums``."""
    single: bool
    begin: int = 0
    """How many values the graph had before it."""
    outputs: list[Output] = field(default_factory=list)
    structure: Any = None
    aux: tuple[list[Output], Any] = ((), None)  # type: ignore[assignment]  # empty
    known: dict[int, Any] = field(default_factory=dict)
    derived: dict[Any, Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    held: list[Any] = field(default_factory=list)
    """Arrays that belong to the caller, so that a result must be a copy of them."""
    replayed: bool = False
    asked: list[Asked] = field(default_factory=list)
    native: bool = False
    """Whether native code is wanted for this call."""
    unable: Fallback = field(default_factory=Fallback)
    """Whether it could be made, for the trace and what is derived from it."""
    results: Sequence[Any] | None = None
    """What was asked for, computed for this call by native code."""
    writes: list[tuple[int, int]] = field(default_factory=list)
    """For arrays of the caller that the function writes to: what they hold in the end, and the input."""

    @property
    def builder(self) -> Builder:
        """The builder that holds it all."""
        return self.trace.builder

    @property
    def inputs(self) -> list[int]:
        """Ids of the fresh inputs."""
        return [leaf.node for leaf in self.leaves]

    def expr(self, node: int) -> Expr:
        """A handle."""
        return Expr(self.builder, node)

    def regroup(self, values: Sequence[Any]) -> Any:
        """One value for each leaf, in the structure of the arguments: alone for an int argnums, else a tuple."""
        rest = iter(values)
        groups = [tree.unflatten(s, [next(rest) for _ in range(s.num_leaves)]) for s in self.structures]
        return groups[0] if self.single else tuple(groups)

    def derive(self, name: Any, make: Callable[[], Any]) -> Any:
        """What `make` appends to the graph, made once however often the trace is replayed."""
        with self.lock:
            if name not in self.derived:
                self.derived[name] = make()
            return self.derived[name]

    @property
    def plans(self) -> list[NativePlan]:
        """What was compiled for parts of a call."""
        with self.lock:
            found = [made.native for made in self.derived.values() if isinstance(made, Computation)]
        return [plan for plan in found if plan is not None]

    def again(self, actual: Sequence[Any], known: dict[int, Any], results: Sequence[Any] | None = None) -> Call:
        """The same trace for other arguments of the same kind."""
        leaves = [Leaf(leaf.node, leaf.kind, leaf.name, v) for leaf, v in zip(self.leaves, actual, strict=False)]
        held = list(known.values()) if results is None else []
        return replace(self, leaves=leaves, known=known, held=held, replayed=True, results=results)


def positions(
    f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], keywords: dict[str, Any]
) -> list[int | str]:
    """Each chosen argument as a position in `args` or a name in `keywords`."""
    if argnums is NOTHING:
        return []
    chosen = [argnums] if isinstance(argnums, (int, str)) else list(argnums)
    if not chosen:
        raise ValueError("argnums is empty: name at least one argument to differentiate by")
    names = parameter_names(f)
    found: list[int | str] = []
    for which in chosen:
        place: int | str = which
        if isinstance(place, str) and place not in keywords and place in names:
            place = names.index(place)
        if isinstance(place, int) and place < 0:
            place += len(args)
        if isinstance(place, int) and place >= len(args) and place < len(names):
            place = names[place]
        if (isinstance(place, int) and not 0 <= place < len(args)) or (
            isinstance(place, str) and place not in keywords
        ):
            raise ValueError(
                f"argnums names argument {which!r} of {title_of(f)}, but it was called with {len(args)} positional"
                f" arguments{' and ' + ', '.join(keywords) if keywords else ''}"
            )
        found.append(place)
    if len(set(found)) != len(found):
        raise ValueError(f"argnums {argnums!r} names an argument twice")
    return found


def check_function(f: Any, verb: str) -> None:
    """Raise `TypeError` unless `f` can be called."""
    if not callable(f):
        raise TypeError(f"{verb} needs a function, not {type(f).__name__}")


def title_of(f: Any) -> str:
    """What messages call a function."""
    return getattr(f, "__name__", None) or type(f).__name__


def parameter_names(f: Any) -> tuple[str, ...]:
    """Names of the parameters that can be given by position, as far as they are known."""
    # Nothing is remembered: that would keep functions alive, and what they captured.
    if type(f) is types.MethodType:
        return parameter_names(f.__func__)[1:]
    if type(f) is FunctionType and "__signature__" not in vars(f):
        if "__wrapped__" in vars(f):
            return parameter_names(vars(f)["__wrapped__"])
        return f.__code__.co_varnames[: f.__code__.co_argcount]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        return tuple(p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds)
    except (TypeError, ValueError):  # builtins and ufuncs may have no signature
        return ()


def as_input(value: Any, where: str) -> tuple[Aval, int, Any]:
    """(abstract value, kind, value) of something to differentiate by; an error that names it if that cannot be."""
    if type(value) is Tracer:
        if not value._aval.is_float:
            raise DtypeError(
                f"{where} is traced with dtype {value._aval.dtype}: only floating-point values can be differentiated"
            )
        return value._aval, value._kind, value
    if type(value) is float or type(value) is int:
        return aval((), np.float64), PYTHON, np.float64(value)
    if type(value) is complex:
        return aval((), np.complex128), PYTHON, np.complex128(value)
    if isinstance(value, np.ma.MaskedArray):
        raise DtypeError(f"{where} is a masked array: pass x.filled(0.0) or x.data, and the mask apart")
    if isinstance(value, np.matrix):
        raise DtypeError(f"{where} is an np.matrix: pass np.asarray(x)")
    if isinstance(value, (np.ndarray, np.generic)):
        kind = value.dtype.kind
        if kind in "iu":
            raise DtypeError(
                f"{where} has integer dtype {value.dtype}: a derivative needs floating point, pass x.astype(float)"
            )
        if kind not in "fc":
            raise DtypeError(f"{where} has dtype {value.dtype}, by which nothing can be differentiated")
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        if isinstance(value, np.ndarray):
            value = np.asarray(value)
            return aval(value.shape, value.dtype), ARRAY, value
        return aval_of(value), SCALAR, value
    name = type(value).__module__.partition(".")[0]
    cure = {"pandas": "pass x.to_numpy()", "torch": "pass x.numpy()", "jax": "pass np.asarray(x)"}.get(
        name, "give a float, a NumPy array, or a list, tuple or dict of them; leave it out of argnums otherwise"
    )
    raise DtypeError(f"{where} is of type {type(value).__name__}, by which nothing can be differentiated: {cure}")


@dataclass
class Arguments:
    """The arguments of a call, read: those to differentiate by, and the others, leaf by leaf.

    ``key`` says of what kind they are: a trace may be replayed for other arguments of the same key. It is None where
    an argument is an object whose state cannot be checked.
    """

    places: list[int | str]
    chosen: list[tuple[str, tree.Structure, list[tuple[Aval, int, Any]]]]
    """For each argument to differentiate by: its name, structure, and leaves (shape and dtype, kind, value)."""
    rest: dict[int | str, tuple[tree.Structure, list[Any]]]
    """The other arguments: structure and leaves."""
    key: tuple[Any, ...] | None

    def actual(self) -> list[Any]:
        """The values of all inputs that a trace has, in order."""
        found = [value for _, _, leaves in self.chosen for _, _, value in leaves]
        return found + [_as_data(leaf)[2] for _, leaves in self.rest.values() for leaf in leaves if _is_data(leaf)]


def read_arguments(
    f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], keywords: dict[str, Any]
) -> Arguments:
    """Flatten the arguments of a call, and check those to differentiate by."""
    places = positions(f, argnums, args, keywords)
    names = parameter_names(f)
    out = Arguments(places, [], {}, None)
    key: list[Any] | None = []
    for place in places:
        title = place if isinstance(place, str) else names[place] if place < len(names) else f"x{place}"
        leaves, structure = tree.flatten(keywords[place] if isinstance(place, str) else args[place])
        paths = tree.paths(structure)
        read = [as_input(v, tree.format_path(path, title)) for v, path in zip(leaves, paths, strict=True)]
        out.chosen.append((title, structure, read))
        if key is not None:
            key.append((place, structure, *[(kind, array_token(v) if kind == ARRAY and type(v) is np.ndarray else like)
                                            for like, kind, v in read]))  # fmt: skip
    everything: list[tuple[int | str, Any]] = [*enumerate(args), *keywords.items()]
    for place, value in everything:
        if place in places:
            continue
        leaves, structure = tree.flatten(value)
        out.rest[place] = (structure, leaves)
        for leaf in leaves:
            token = token_of(leaf)
            if token is None:
                key = None
            elif key is not None:
                key.append(token)
        if key is not None:
            key.append((place, structure))
    if key is not None:
        seen: dict[int, int] = {}
        arrays = [v for _, _, found in out.chosen for _, _, v in found] + [
            v for _, found in out.rest.values() for v in found
        ]
        # Which arguments are one array: code may ask, and a write to one is seen in the other.
        key.append(tuple(seen.setdefault(id(v), k) for k, v in enumerate(arrays) if type(v) is np.ndarray))
        out.key = tuple(key)
    return out


def _is_data(leaf: Any) -> bool:
    """Whether an argument that is not differentiated can be an input all the same: a number or an array of them."""
    cls = type(leaf)
    return cls in (float, complex) or (
        (cls is np.ndarray or isinstance(leaf, np.generic)) and leaf.dtype.kind in "fiubc" and leaf.dtype.isnative
    )


def _as_data(leaf: Any) -> tuple[Aval, int, Any]:
    if type(leaf) in (float, complex):
        found = np.asarray(leaf)[()]
        return aval((), found.dtype), PYTHON, found
    return aval_of(leaf), ARRAY if type(leaf) is np.ndarray else SCALAR, leaf


def token_of(leaf: Any) -> Any:
    """What of an argument that is not differentiated a trace depends on; None if that cannot be told."""
    cls: Any = type(leaf)
    if cls is np.ndarray and _is_data(leaf):
        return array_token(leaf)
    if _is_data(leaf):
        return cls
    if cls in (int, bool, str, bytes, type(None), np.dtype) or isinstance(leaf, type):
        return (cls, leaf)
    if cls is FunctionType or is_copyable(cls) or (callable(leaf) and (is_pure(leaf) or is_ours(leaf))):
        return _Same(leaf)
    return None


class _Same:
    """Equal to itself for the same object alone, whatever equality that has."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


def start_call(
    f: Callable[..., Any],
    running: Trace,
    argnums: Argnums,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    has_aux: bool = False,
    read: Arguments | None = None,
) -> Call:
    """Run `f` on fresh tracers in place of the chosen arguments.

    With `read` the other arguments that are numbers and arrays become inputs too, so that the trace can be replayed
    with other ones.
    """
    data = read is not None
    read = read or read_arguments(f, argnums, args, keywords)
    outside = outside_of(running, inputs=data)
    frame = sys._getframe(1)
    new_args, new_keywords = list(args), dict(keywords)
    call = Call(running, [], [], isinstance(argnums, (int, str)), len(running.builder), known=running.known)
    if argnums is NOTHING and not running.nested:
        running.wrt = set()

    def give(place: int | str, value: Any) -> None:
        if isinstance(place, str):
            new_keywords[place] = value
        else:
            new_args[place] = value

    copies: list[_Copy] = []
    for place, (title, structure, leaves) in zip(read.places, read.chosen, strict=True):
        own = keywords[place] if isinstance(place, str) else args[place]
        originals = tree.flatten(own)[0]
        tracers = trace_leaves(call, leaves, originals, structure, title)
        call.structures.append(structure)
        copies.append(_Copy(own, tree.unflatten(structure, tracers), structure, tracers, originals))
        give(place, copies[-1].made)
        name_modules(running, title, copies[-1].made)
    names = parameter_names(f)
    for place, (structure, originals) in read.rest.items():
        title = place if isinstance(place, str) else names[place] if place < len(names) else f"x{place}"
        own = keywords[place] if isinstance(place, str) else args[place]
        found = [_outer_argument(call, outside, v, title, data, frame) for v in originals]
        if leaves_change(own) or any(new is not v for new, v in zip(found, originals, strict=True)):
            copies.append(_Copy(own, tree.unflatten(structure, found), structure, found, originals))
            give(place, copies[-1].made)
            name_modules(running, title, copies[-1].made)
    for copy in copies:
        outside.adopt(copy.made, frame)
    running.sited = len(call.builder)  # inputs have no place in the code
    result = outside.root(f, frame)(*new_args, **new_keywords)
    changed = [copy for copy in copies if copy.is_changed()]
    if changed and _holds_twice([*args, *keywords.values()]):
        running.refuse(TraceError(
            f"{title_of(f)} changes a list, dict or object among its arguments, of which one is given twice: the change"
            " would not be seen under the other name. Give each argument a copy of its own (copy.deepcopy)"
        ))  # fmt: skip
    for copy in changed:
        copy.return_changes(call, frame)
    aux = None
    if has_aux:
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"with has_aux=True {title_of(f)} must return a pair (value, aux), not {type(result).__name__}"
            )
        result, aux = result
        extra, structure = tree.flatten(aux)
        call.aux = [as_output(call, leaf) for leaf in extra], structure
    finish_call(call, result)
    return call


def name_modules(trace: Trace, title: str, value: Any) -> None:
    """Note how the modules in a value are reached, if that is wanted: ``model.blocks[0]``."""
    sites = trace.builder.sites
    if sites.modules is not None:
        for path, item in tree.containers(value):
            if callable(item):
                sites.name_module(item, users_class(type(item)), tree.format_path(path, title))


def leaves_change(value: Any) -> bool:
    """Whether an argument is a container that a function may change."""
    return isinstance(value, (list, dict)) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _holds_twice(values: list[Any]) -> bool:
    """Whether a container that can change is found in two places among nested values."""
    seen: set[int] = set()
    stack = list(values)
    while stack:
        item = stack.pop()
        if leaves_change(item):
            if id(item) in seen:
                return True
            seen.add(id(item))
        if isinstance(item, (list, tuple)):
            stack.extend(item)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif leaves_change(item):
            stack.extend(getattr(item, entry.name, None) for entry in dataclasses.fields(item))
    return False


@dataclass
class _Copy:
    """A nested argument and the copy that the function gets: what the function changes in it, the caller is to see."""

    own: Any
    made: Any
    structure: tree.Structure
    leaves: list[Any]
    originals: list[Any]

    def is_changed(self) -> bool:
        """Whether the function changed its list, dict or object, or something in it."""
        if not leaves_change(self.own) and type(self.own) is not tuple:
            return False
        now, structure = tree.flatten(self.made)
        return structure != self.structure or any(a is not b for a, b in zip(now, self.leaves, strict=True))

    def return_changes(self, call: Call, frame: FrameType | None) -> None:
        """Do to the caller's lists, dicts and objects what the function did to its own."""
        call.trace.only_once("changes a list, dict or object that is an argument", frame)
        unchanged = {id(new): old for new, old in zip(self.leaves, self.originals, strict=True)}
        self._update(self.own, self.made, lambda v: unchanged[id(v)] if id(v) in unchanged else _value(call, v, frame))

    def _update(self, own: Any, made: Any, value: Callable[[Any], Any]) -> Any:
        """`own` as `made` is: the same object, if it is one of the caller's that can change."""
        if type(own) is not users_class(type(made)):
            own = None
        if type(made) is list:
            old: list[Any] = own if own is not None else []
            old[:] = [self._update(old[k] if k < len(old) else None, v, value) for k, v in enumerate(made)]
            return old
        if isinstance(made, dict):
            was = dict(own) if own is not None else {}
            now = {k: self._update(was.get(k), v, value) for k, v in made.items()}
            if own is None:
                return now
            own.clear()
            own.update(now)
            return own
        if type(made) is tuple:
            return tuple(self._update(own[k] if own is not None and k < len(own) else None, v, value)
                         for k, v in enumerate(made))  # fmt: skip
        if own is not None and dataclasses.is_dataclass(made):
            for entry in dataclasses.fields(made):
                was, new = getattr(own, entry.name), getattr(made, entry.name)
                object.__setattr__(own, entry.name, self._update(was, new, value))
            return own
        return value(made)


def _value(call: Call, value: Any, frame: FrameType | None) -> Any:
    """A value of the traced function as its caller has it: an actual one, or a tracer of the outer function."""
    if type(value) is not Tracer:
        return tree.original(value)
    if call.trace.nested:
        return give_back(call, [current_node(value)], [value._kind], frame)[0]
    return finished(call.trace.concrete(current_node(value)), value._kind)


def _outer_argument(call: Call, outside: Outside, value: Any, title: str, data: bool, frame: FrameType | None) -> Any:
    """An argument that is not differentiated, as the function gets it."""
    if type(value) is Tracer:
        return value
    trace = call.trace
    if data and _is_data(value):
        like, kind, actual = _as_data(value)
        node = trace.builder.input(like, title).id
        if id(value) in outside.arguments:  # the same array twice
            outside.data.append(node)
            trace.known[node] = actual
            return outside.arguments[id(value)]
        if kind == ARRAY:
            trace.give(node, actual)
        else:
            trace.known[node] = actual
        tracer = Tracer(trace, node, kind)
        if kind == ARRAY:
            homes.argument(tracer, value)
            outside.arguments[id(value)] = tracer
            outside.arrays.append((value, node))
        outside.data.append(node)
        return tracer
    if type(value) is np.ndarray and value.dtype.kind in "fiubc":
        return homes.captured(trace, value)
    if type(value) in (FunctionType, types.MethodType, functools.partial) or is_copyable(
        value if isinstance(value, type) else type(value)
    ):
        return outside.hand(value, lambda: value, title, frame)
    return stand_in(value)  # for a random generator: one whose arrays can be filled


def trace_argument(call: Call, value: Any, title: str) -> tuple[Any, tree.Structure]:
    """The same nested value with fresh tracers for its leaves."""
    originals, structure = tree.flatten(value)
    paths = tree.paths(structure)
    leaves = [as_input(v, tree.format_path(path, title)) for v, path in zip(originals, paths, strict=True)]
    return tree.unflatten(structure, trace_leaves(call, leaves, originals, structure, title)), structure


def trace_leaves(
    call: Call, leaves: list[tuple[Aval, int, Any]], originals: list[Any], structure: tree.Structure, title: str
) -> list[Tracer]:
    """Fresh tracers for the leaves of an argument to differentiate by."""
    trace = call.trace
    tracers = []
    for (like, kind, actual), original, path in zip(leaves, originals, tree.paths(structure), strict=True):
        name = tree.leaf_name(title, path)
        # Made first, since values are computed in the order of their ids.
        given = -1
        if type(actual) is Tracer:
            given = current_node(actual)
        elif trace.nested:
            given = trace.builder.constant(actual).id
        node = trace.builder.input(like, name).id
        if trace.wrt is None:
            trace.wrt = set()
        trace.wrt.add(node)
        call.leaves.append(Leaf(node, kind, name, actual))
        tracer = Tracer(trace, node, kind)
        homes.argument(tracer, original)
        tracers.append(tracer)
        if given >= 0:
            trace.standing[node] = given
        elif kind == ARRAY:
            trace.give(node, actual)
        else:
            trace.known[node] = actual
    trace.sited = len(trace.builder)  # inputs have no place in the code
    return tracers


def finish_call(call: Call, result: Any) -> None:
    """Note the function's results as values of the graph."""
    leaves, call.structure = tree.flatten(result)
    call.outputs = [as_output(call, leaf) for leaf in leaves]
    # Functions that were differentiated inside may have handed out values in another way than by returning them: these
    # depend on inputs of their own, which stand for values of this function.
    since = max(call.inputs, default=call.begin - 1) + 1
    if any(fresh >= since for fresh in call.trace.standing):
        outputs = [o for o in (*call.outputs, *call.aux[0]) if o.node is not None]
        nodes = homes.outside(call.trace, [o.node for o in outputs if o.node is not None], since)
        for output, node in zip(outputs, nodes, strict=True):
            output.node = node


def as_output(call: Call, value: Any) -> Output:
    """A result leaf as a value of the graph."""
    if type(value) is Tracer:
        if value._trace is not call.trace:
            value._trace.check_open()
        node, own = current_node(value), call.inputs
        if own and any(n not in own for n in call.trace.standing):
            (node,) = homes.outside(call.trace, [node], own[0], own)  # it may have come out of a function inside
        return Output(node, value._kind)
    if type(value) in (int, float, bool, complex):
        return Output(call.builder.constant(value).id, PYTHON)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiubc":
        return Output(call.builder.constant(value).id, ARRAY if isinstance(value, np.ndarray) else SCALAR)
    outside = call.trace.outside
    if type(value) not in SCALARS and outside is not None:
        # At a replay it would be the same object again, which may hold values of this call.
        call.trace.only_once(f"returns a {type(value).__name__}", None)
        if not call.trace.nested:
            value = outside.outer(value)
    return Output(None, ARRAY, value)


# -- coming back -----------------------------------------------------------------------------------------------------


def give_back(
    call: Call,
    nodes: Sequence[int],
    kinds: Sequence[int],
    frame: FrameType | None,
    more: Mapping[int, Any] | None = None,
    aside: int = 0,
    finite: bool = False,
    whole: bool = False,
) -> list[Any]:
    """Values of `nodes` for the actual arguments: numbers and arrays, or tracers inside an outer trace.

    `more` gives values of further inputs (cotangents, tangents), by id. So many nodes as `aside` says, at the front,
    are wanted for NumPy's warnings only: native code, which gives none, leaves them out: they come back as None. With
    `finite` native code gives only results that are; of others the interpreter has to be asked. With `whole` its
    kernels may have any size.
    """
    if context.current() is not call.trace or not call.trace.nested:
        given = {**call.known, **more} if more else call.known
        values: Sequence[Any]
        if call.results is entries.MARKED:
            if not call.replayed:
                call.asked.append(Asked(tuple(nodes[aside:]), bool(more), finite, whole))
            return [*[None] * aside, *[entries.Result(k, kind) for k, kind in enumerate(kinds[aside:])]]
        if call.results is not None:
            taken: set[int] = set()
            found = [finished(v, k, taken) for v, k in zip(call.results, kinds[aside:], strict=True)]
            return [*[None] * aside, *found]
        if call.replayed:
            inputs = [n for n in given if call.builder.hop(n).name == "input"]
            values = computation(call, nodes, inputs).run(given, call.native)
        else:
            call.asked.append(Asked(tuple(nodes[aside:]), bool(more), finite, whole))
            values = Plan(call.builder, nodes, given).run(given)
        taken = {id(v) for v in (*call.held, *(more or {}).values())}
        return [finished(v, k, taken) for v, k in zip(values, kinds, strict=True)]
    given = {leaf.node: leaf.actual for leaf in call.leaves}
    given.update(more or {})
    builder = call.builder
    # What an argument was when the call began: it may have been written to since.
    standing = call.trace.standing
    replaced = {
        n: standing[n] if n in standing else current_node(v) if type(v) is Tracer else builder.constant(v).id
        for n, v in given.items()
    }
    moved = substitute(builder, nodes, replaced)
    out = []
    for node, kind in zip(moved, kinds, strict=True):
        if _depends(builder, node):
            call.trace.site(node, frame)
            out.append(Tracer(call.trace, node, kind))
        else:
            # Nothing of the outer function's inputs enters: a plain number can be used anywhere.
            value = finished(evaluate(builder, [node], {})[0], kind)
            out.append(real(call.trace, value) if type(value) is np.ndarray else value)
    return out


def returned(call: Call, frame: FrameType | None) -> Any:
    """What the function itself returned."""
    real = [o for o in call.outputs if o.node is not None]
    nodes: Sequence[int] = [o.node for o in real if o.node is not None]
    if not call.trace.nested:
        nodes = call.derive("returned", lambda: merged(call.builder, nodes, call.inputs))
    found = iter(give_back(call, nodes, [o.kind for o in real], frame))
    leaves = [o.other if o.node is None else next(found) for o in call.outputs]
    return tree.unflatten(call.structure, leaves)


class Computation:
    """Values of a trace that are computed often, beside those of its first call; native code starts from `inputs`."""

    def __init__(self, builder: Builder, nodes: Sequence[int], inputs: Sequence[int], unable: Fallback) -> None:
        self._builder = builder
        self._nodes = nodes
        self._inputs = inputs
        self._seconds = 0.0
        self._plan: Plan | None = None
        self._prepared: NativePlan | None = None
        self._lean = True
        self._unable = unable
        self.native: NativePlan | None = None
        """Native code for it, once there is any."""

    def run(self, given: Mapping[int, Any], native: bool) -> Sequence[Any]:
        """The values: by native code, if it is wanted, can be made and pays, else by the interpreter."""
        if native and self.native is None and not self._unable.reason:
            with self._unable:
                if self._prepared is None and (len(self._builder) <= LARGE or self._seconds):
                    self._prepared = NativePlan(self._builder, self._nodes, self._inputs, lean=self._lean)
                if self._prepared is not None and pays(self._prepared.size, self._seconds):
                    self.native, self._prepared = self._prepared, None
        found = self.native.run(given) if native and self.native is not None else None
        if found is not None:
            return found
        if native and self.native is not None and self.native.lean:
            self._lean = False
            self.native = None
            return self.run(given, native)
        start = time.perf_counter()
        if self._plan is None or not given.keys() >= set(self._plan.inputs):
            self._plan = Plan(self._builder, self._nodes, frozenset(given))  # at times what guards asked for is known
        values = self._plan.run(given)
        self._seconds += time.perf_counter() - start
        return values


def computation(call: Call, nodes: Sequence[int], inputs: Sequence[int]) -> Computation:
    """The way to values of `nodes`, one for a trace."""
    found: Computation = call.derive(
        ("computed", *nodes), lambda: Computation(call.builder, nodes, inputs, call.unable)
    )
    return found


def _depends(builder: Builder, node: int) -> bool:
    return any(builder.hop(n).name == "input" for n in Graph(builder, (), (node,)).order)


def finished(value: Any, kind: int, taken: set[int] | None = None) -> Any:
    """A result as the user gets it: the kind of number that NumPy would give, in memory of its own.

    `taken` are the ids of arrays that others hold; the result's is added.
    """
    taken = set() if taken is None else taken
    if kind == PYTHON:
        return value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    if kind == SCALAR:
        return value[()] if isinstance(value, np.ndarray) else value
    array = np.asarray(value)
    # In C order, whatever order it was computed in: inside an outer function nobody could know it.
    shared = array.base is not None or not array.flags.writeable or not array.flags.c_contiguous
    shared = shared or not array.flags.owndata
    if shared or id(array) in taken:
        return array.copy()
    taken.add(id(array))
    return array


# -- calling ---------------------------------------------------------------------------------------------------------


class Level:
    """Enters the running trace, in which values stay symbolic (see `give_back`), or a new one.

    At the end arrays of the caller that the function wrote to get what was written.
    """

    def __enter__(self) -> Trace:
        self._outer = context.current() is not None
        self._context = tracing(sys._getframe(1))
        running: Trace = self._context.__enter__()
        self._before = running.nested
        running.nested = self._outer
        self._running = running
        self._mark = homes.enter(running)
        return running

    def __exit__(self, *error: Any) -> Any:
        try:
            if not self._outer and self._running.outside is not None:
                self._running.outside.finish(error[1])
            homes.leave(self._running, self._mark)
        finally:
            self._running.nested = self._before
            left = self._context.__exit__(*error)
        return left


Finish = Callable[[Call, FrameType | None], Any]
"""What a transform makes of a traced call: it derives from the graph (once a trace) and gives the values back."""


@dataclass
class Direction:
    """An argument of a transform's own beside those of the user's function: a vector to multiply by.

    ``seeds`` are the inputs that stand for its leaves; ``values`` the leaves by these; ``arranged`` puts the vector
    among the other arguments.
    """

    value: Any
    seeds: Callable[[Call], Sequence[int]]
    values: Callable[[Call], dict[int, Any]]
    arranged: Callable[[list[Any], Any], list[Any]]


class Transformed(Function):
    """What a transform makes of a user's function: run by its native entry points where they fit, else in Python."""

    made_by_hopgrad = True

    def __init__(self, fallback: Callable[..., Any], f: Any, title: str, replays: Replays) -> None:
        check_function(f, title.partition(" of")[0])
        super().__init__(fallback, f, title.format(title_of(f)))
        self.lock = threading.Lock()
        self.__doc__ = _docstring(f, title)
        self._replays = replays

    def report(self) -> str:
        """Which traces are kept and why others are not; what was compiled, with its cost; what NumPy computes."""
        return self._replays.report()

    @property
    def graph(self) -> Graph:
        """The graph that native code was made of last: simplified, with what guards ask among its outputs."""
        return self._plan().graph

    @property
    def kernels(self) -> list[str]:
        """The loops that were compiled last, each distinct one once."""
        return report.kernels(self._program())

    @property
    def llvm(self) -> str:
        """The same as LLVM's text."""
        return report.llvm(self._program())

    @property
    def asm(self) -> str:
        """The same as machine code in the assembler's notation."""
        return report.asm(self._program())

    @property
    def plan(self) -> str:
        """The steps that were compiled last, in order, and where their values are."""
        return report.plan(self._program())

    def _plan(self) -> NativePlan:
        found = self._replays.latest()
        if found is None or not found.plans:
            raise HopgradError("nothing was compiled yet: call it first; `report()` tells why if nothing ever is")
        return found.native or found.plans[-1]

    def _program(self) -> Program:
        return self._plan().programs[-1]


def transform(
    f: Callable[..., Any],
    argnums: Argnums,
    title: str,
    finish: Finish,
    has_aux: bool = False,
    way: str | None = None,
    steady: bool = False,
) -> Callable[..., Any]:
    """The function that traces `f` at its arguments, or finds a trace that holds for them, and finishes the call."""
    backend(way)
    replays = Replays(title.format(title_of(f)), steady)

    def transformed(*args: Any, **keywords: Any) -> Any:
        frame = sys._getframe(1)
        if context.current() is not None:
            with Level() as running:
                return finish(start_call(f, running, argnums, args, keywords, has_aux), frame)
        return run(f, replays, argnums, args, keywords, lambda call: finish(call, frame), has_aux, way, made)

    made = Transformed(transformed, f, title, replays)
    return made


def run(
    f: Callable[..., Any],
    replays: Replays,
    argnums: Argnums,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    finish: Callable[[Call], Any],
    has_aux: bool = False,
    way: str | None = None,
    target: Any = None,
    direction: Direction | None = None,
) -> Any:
    """An outermost call: by a kept trace, or traced anew."""
    read = read_arguments(f, argnums, args, keywords)
    kept = replays.kept(read.key) if read.key is not None else None
    if kept is not None and (kept.once or kept.asks is not None):
        kept = None
    actual = read.actual() if kept is not None else []
    one = _Run(replays, kept, read, actual, args, finish, backend(way) == "native", target, direction)
    found = one.replay()
    if found is not None:
        result, recorded = found
        if one.native:
            one.compile_later(recorded)
        return result
    with Level() as running:
        running.lends = kept is not None and one.native
        call = start_call(f, running, argnums, args, keywords, has_aux, read if kept is not None else None)
        result, put_off = one.first_result(running, call)
    listed = outside_of(running).objects.listed
    if kept is not None:
        result = one.keep(running, call, result, put_off, bool(keywords))
    elif running.once:
        replays.note(read.key, running.once)
    if listed:
        del running, call  # these hold copies of classes
        gc.collect()
    return result


@dataclass
class _Run:
    """One call: what it was called with, and the traces that there are for arguments of this kind."""

    replays: Replays
    kept: Any
    """None if no trace can be kept."""
    read: Arguments
    actual: list[Any]
    args: tuple[Any, ...]
    finish: Callable[[Call], Any]
    native: bool
    target: Any
    direction: Direction | None

    def replay(self) -> tuple[Any, Recorded] | None:
        """The result by a kept trace, and which."""
        if self.kept is None:
            return None
        more = self.direction.values if self.direction else None
        found: tuple[Any, Recorded] | None = self.replays.replay(self.kept, self.actual, self._again, self.native, more)
        return found

    def _again(self, call: Call, known: dict[int, Any], results: Sequence[Any] | None) -> Any:
        count = len(call.writes)
        later = results[len(results) - count :] if results is not None and count else None
        results = results[: len(results) - count] if later is not None and results is not None else results
        again = replace(call.again(self.actual, known, results), native=self.native)
        arrays = [v for n, v in known.items() if call.builder.hop(n).name == "input" and isinstance(v, np.ndarray)]
        if any(sum(np.may_share_memory(known[place], v) for v in arrays) > 1 for _, place in call.writes):
            raise TraceError("an array that is written to overlaps another one")  # traced anew, it says which
        return _written(again, self.finish, later)

    def compile_later(self, recorded: Recorded) -> None:
        """Compile a trace that was replayed, if that was put off and is due."""
        compile_it = recorded.later
        if compile_it is not None and recorded.is_due:
            recorded.later = None  # other threads go on without it
            if not compile_it(recorded, self.actual, self.read, self.args, self.finish, self.direction):
                recorded.later = compile_it

    def first_result(self, running: Trace, call: Call) -> tuple[Any, bool]:
        """What the function gives at a trace that was just made, or that native code is to compute it.

        What it writes to arrays of the caller is put off with it.
        """
        call.native = self.native
        keeps = self.kept is not None
        inputs = (*call.inputs, *outside_of(running).data)
        arrays = {id(v): n for n, v in zip(inputs, self.actual, strict=False)}
        for memory in running.dirty if keeps else ():
            place = arrays.get(id(memory.home), outside_of(running).input_of(memory.home))
            if place is None:
                running.only_once("writes to an array of the caller that had to be converted", frame=None)
            else:
                call.writes.append((memory.node, place))
        put_off = self.native and keeps and not running.once and _is_large(running)
        call.results = entries.MARKED if put_off else None
        if not put_off:
            running.own()
        result = self.finish(call)
        if put_off:
            running.dirty.clear()
        return result, put_off

    def keep(self, running: Trace, call: Call, result: Any, put_off: bool, by_name: bool) -> Any:
        """Keep a new trace, and compile it: the result."""
        world = outside_of(running)
        inputs = {node: array for array, node in world.arrays}
        inputs.update(zip((*call.inputs, *world.data), self.actual, strict=False))
        if put_off:
            running.known.clear()  # not needed any more: calls inside refer to it, too
            running.lent.clear()
            call.results = None
        guards, data = outer_guards(running), list(world.data)
        recorded = self.replays.keep(self.kept, running, call, [*call.inputs, *data])
        found = None
        if recorded is not None and len(call.asked) == 1 and call.asked[0].added is (self.direction is not None):
            recorded.later = functools.partial(_compile, call.asked[0], guards, data, None if by_name else self.target)
            if self.native:
                self.compile_later(recorded)
            # What was written would be written twice.
            if recorded.later is None and (put_off or (self.replays.steady and not call.writes)):
                found = self.replay()
        if found is not None:
            return found[0]
        if put_off:
            return _written(replace(call, known=inputs, held=list(inputs.values())), self.finish)
        return result


_MUCH = 1 << 22
"""Bytes of values from which on the first call waits for native code instead of storing all of them."""


_LONG = 20_000
"""Hops within loops from which on it waits, too, as the interpreter needs microseconds for each."""


def _is_large(trace: Trace) -> bool:
    """Whether the values of a trace take much memory if each is stored, as the interpreter does, or its loops long."""
    if len(trace.builder) > LARGE:  # compiled later, if at all
        return False
    if sum(a.size * a.dtype.itemsize for a in trace.builder.avals if type(a) is Aval) > _MUCH:
        return True
    return looped(trace.builder) > _LONG


def _compile(
    asked: Asked,
    guards: list[Guard],
    data: list[int],
    target: Any,
    recorded: Recorded,
    actual: Sequence[Any],
    read: Arguments,
    args: tuple[Any, ...],
    finish: Callable[[Call], Any],
    direction: Direction | None,
) -> bool:
    """Make native code for a trace, and an entry point for the function that users call, unless it is too early."""
    call: Call = recorded.call
    checks = [all_finite(call.expr(node)).id for node in asked.nodes] if asked.finite else []
    nodes = [*asked.nodes, *[node for node, _ in call.writes]]
    targets = {len(asked.nodes) + k: place for k, (_, place) in enumerate(call.writes)}
    more = direction.values(call) if direction else {}
    if not recorded.compile(nodes, guards, actual, more, checks, targets, asked.whole):
        return False
    if recorded.native is not None and recorded.native.lean:
        recorded.thorough = functools.partial(_compile, asked, guards, data, target)
    if target is not None:
        _enter(target, recorded, call, read, data, args, actual, finish, direction)
    return True


def _enter(
    target: Any,
    recorded: Recorded,
    call: Call,
    read: Arguments,
    data: Sequence[int],
    args: tuple[Any, ...],
    actual: Sequence[Any],
    finish: Callable[[Call], Any],
    direction: Direction | None,
) -> None:
    """Give the function that users call an entry point for a trace that was compiled, if there can be one."""
    known = recorded.given(actual)
    if recorded.native is None or known is None or not recorded.trusted:
        return
    if direction is not None:
        known.update(direction.values(call))
    chosen, others = iter(call.inputs), iter(data)
    nodes: dict[int | str, list[int | None]] = {
        place: [next(chosen) for _ in leaves] for place, (_, _, leaves) in zip(read.places, read.chosen, strict=True)
    }
    for place, (_, leaves) in read.rest.items():
        nodes[place] = [next(others) if _is_data(leaf) else None for leaf in leaves]
    arguments = [entries.marked(value, iter(nodes[place])) for place, value in enumerate(args)]
    if direction is not None:
        arguments = direction.arranged(arguments, entries.marked(direction.value, iter(direction.seeds(call))))
    answer = finish(call.again(actual, known, entries.MARKED))
    made = entries.entry_for(recorded.native, known, arguments, answer, recorded.reads)
    if made is not None:
        with target.lock:
            kept = [one for one in target.entries if one is not recorded.entry]
            target.entries = (made, *kept[: entries.MOST - 1])
        recorded.entry = made
        recorded.entered = "called through an entry point of its own, without Python"


def wraps(f: Any, title: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `functools.wraps`, with a docstring that says what was made of `f`."""
    check_function(f, title.partition(" of")[0])

    def decorate(wrapper: Callable[..., Any]) -> Callable[..., Any]:
        with contextlib.suppress(AttributeError, TypeError):  # of callables without the usual attributes
            wrapper = functools.wraps(f)(wrapper)
        wrapper.__doc__ = _docstring(f, title)
        return wrapper

    return decorate


def _docstring(f: Any, title: str) -> str:
    text = (getattr(f, "__doc__", None) or "").strip()
    return f"The {title.format(title_of(f))}." + (f"\n\n{text}" if text else "")


def _written(call: Call, finish: Callable[[Call], Any], values: Sequence[Any] | None = None) -> Any:
    """Finish a call, and then write to the caller's arrays what the function writes to them.

    `values` are what is written, if native code has computed it.
    """
    if not call.writes:
        return finish(call)
    targets = [call.known[place] for _, place in call.writes]
    result = finish(call)
    if values is None:
        found = evaluate(call.builder, [n for n, _ in call.writes], call.known)
        # What is written to one array may be what was in another one.
        values = [v.copy() if any(np.may_share_memory(v, t) for t in targets) else v for v in found]
    for target, value in zip(targets, values, strict=True):
        if value is not target:  # else it was computed there
            target[...] = value
    return result


def outer_guards(trace: Trace) -> list[Guard]:
    """The guards of a trace in terms of its own inputs: those that nested transforms made stand for other values."""
    actual: dict[int, int] = {}
    for fresh, node in sorted(trace.standing.items()):
        (actual[fresh],) = substitute(trace.builder, [node], actual)
    guards = list(trace.guards.values())
    nodes = substitute(trace.builder, [g.node for g in guards], actual)
    return [guard._replace(node=node) for guard, node in zip(guards, nodes, strict=True)]


def float_arguments(args: Sequence[Any]) -> tuple[int, ...]:
    """Positions of arguments all of whose leaves are floating-point; if there are none, those of Python ints too."""

    def is_float(leaf: Any) -> bool:
        dtype = leaf._aval.dtype if type(leaf) is Tracer else getattr(leaf, "dtype", None)
        return type(leaf) in (float, complex) or (dtype is not None and np.dtype(dtype).kind in "fc")

    def fits(value: Any, ints: bool) -> bool:
        leaves = tree.flatten(value)[0]
        return bool(leaves) and all(is_float(v) or (ints and type(v) is int) for v in leaves)

    found = tuple(k for k, v in enumerate(args) if fits(v, False)) or tuple(
        k for k, v in enumerate(args) if fits(v, True)
    )
    if not found:
        raise DtypeError("no argument is a floating-point number or array: there is nothing to differentiate by")
    return found
