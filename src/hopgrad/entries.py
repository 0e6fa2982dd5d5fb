"""Entry points for kept traces: what has to hold for one, and what its call gives, told to `hopgrad.lower.entry`.

Whatever an entry point cannot check by itself (an attribute of an object, a list of arrays) is checked by the Python
code that every `Function` falls back to: that is slower, and right for everything.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from hopgrad import outside, tree
from hopgrad.backend import NativePlan
from hopgrad.lower import entry
from hopgrad.outside import reads
from hopgrad.trace import context
from hopgrad.trace.tracer import ARRAY, PYTHON

MOST = 16
"""How many entry points one function has at most; the one that was made first goes."""

LONG = 20_000
"""From how many operations on the interpreter's lock is released."""


@dataclass(frozen=True)
class Result:
    """Stands for a result of a program, to see where in the answer of a call it is."""

    number: int
    kind: int


@dataclass(frozen=True)
class Made:
    """Stands for what a function makes of a part of the answer, once the results are there."""

    function: Callable[[Any], Any]
    part: Any


MARKED: Any = object()
"""In place of a program's values: the answer of a call is wanted with `Result`s in it."""


@dataclass(frozen=True)
class Argument:
    """Stands for a number or array among the arguments, `node` in the graph."""

    value: Any
    node: int | None


def entry_for(
    plan: NativePlan,
    given: dict[int, Any],
    arguments: Sequence[Any],
    answer: Any,
    recorded: Sequence[reads.Read],
) -> Any:
    """The entry point of a native plan, or None where there can be none.

    Args:
        plan: What was compiled.
        given: Values of the inputs, by id, as the arguments and captured arrays give them.
        arguments: The positional arguments, with an `Argument` in place of each leaf.
        answer: What the call returns, with a `Result` in place of each of the plan's values.
        recorded: What was read from outside.
    """
    values = [given[key] for key in plan.keys]
    if any(type(v) is np.ndarray and not v.flags.aligned for v in values):
        return None  # it is copied first
    program = plan.program(values)
    if not program.is_native or len(program.parts) != 1 or program.unplaced:
        return None
    if any(target not in plan.keys for target in plan.targets.values()):
        return None  # an array that is written to and not read
    (segment,) = program.parts
    maker = _Maker(plan, given)
    try:
        found = [made for read in recorded if (made := maker.read(read)) is not None]
        made = [maker.argument(value) for value in arguments]
        if maker.arrays > 1 and any(_tells_arrays_apart(read.value) for read in recorded):
            return None
        results = maker.result(answer)
        slots = maker.slots(program)
        return entry.Entry(
            program=segment.entry,  # type: ignore[union-attr]  # native programs have segments only
            slots=slots,
            arguments=made,
            results=results,
            # While a function is traced, or the interpreter is asked for, entry points are passed over.
            reads=[entry.Read(context.state, "blocked", entry.Same(0)), *found],
            arena=maker.arena,
            unlock=program.flops > LONG,
            keep=[program],
        )
    except entry.UnsupportedError:
        return None


def _tells_arrays_apart(code: Any) -> bool:
    """Whether code may ask if two arrays are the same one, which an entry point does not look at."""
    if type(code) is not CodeType:
        return False
    if not {"id", "shares_memory", "may_share_memory"}.isdisjoint(code.co_names):
        return True
    plain = False
    for step in dis.get_instructions(code):
        if step.opname == "IS_OP" and not plain:
            return True
        # A constant and a class are no arrays.
        plain = step.opname == "LOAD_CONST" or (step.opname == "LOAD_ATTR" and step.argval == "__class__")
    return any(_tells_arrays_apart(inner) for inner in code.co_consts)


class _Maker:
    """Patterns of what an entry point matches and makes."""

    def __init__(self, plan: NativePlan, given: dict[int, Any]) -> None:
        self.leaf_of: dict[int, int] = {}
        """The number of an input of the entry point, by node."""
        self.given = given
        self.keys = plan.keys
        self.written = set(plan.targets.values())
        self.avals = plan.output_avals
        self.arrays = 0
        self.answered: set[int] = set()
        self.dropped: dict[int, int] = {}
        self.arena = 0

    def slots(self, program: Any) -> list[Any]:
        """What each buffer of the program is; the results are told before."""
        self.arena = program.layout.size
        found: list[Any] = []
        for k, buffer in enumerate(program.buffers):
            if buffer.role == "input":
                leaf = self.leaf_of.get(self.keys[buffer.number])
                if leaf is None:
                    raise entry.UnsupportedError("an input that is no argument")
                found.append(("input", leaf))
            elif k in program.placed and buffer.number not in self.answered:
                found.append(("input", self.leaf_of[self.keys[program.buffers[program.placed[k]].number]]))
            elif buffer.role == "output":
                found.append(self.output(buffer))
            elif buffer.role == "constant":
                found.append(("fixed", buffer.data.__array_interface__["data"][0]))
            elif k in program.layout.shared:
                output, offset = program.layout.shared[k]
                kind, place = self.output(program.buffers[output])
                found.append((kind, place, offset) if kind == "output" else (kind, place + offset))
            else:
                found.append(("arena", program.layout.offsets.get(k, 0)))
        return found

    def output(self, buffer: Any) -> Any:
        """Where a result is: one that is not part of the answer gets memory that is thrown away."""
        if buffer.number in self.answered:
            return "output", buffer.number
        if buffer.number not in self.dropped:
            self.dropped[buffer.number] = self.arena
            self.arena += -(-buffer.bytes // 64) * 64
        return "arena", self.dropped[buffer.number]

    # -- arguments

    def argument(self, value: Any) -> Any:
        """The pattern of an argument with its leaves marked."""
        if type(value) is Argument:
            return self.leaf(value)
        if type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_make")):
            return entry.Items([self.argument(v) for v in value], type(value))
        if type(value) is dict:
            return entry.Keys({k: self.argument(v) for k, v in value.items()})
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.fields(value)
        if value is None:
            return entry.Same(None)
        raise entry.UnsupportedError(f"arguments of type {type(value).__name__}")

    def fields(self, value: Any) -> Any:
        """The pattern of an object of a dataclass: its fields, those included that belong to the structure."""
        cls = type(value)
        if not cls.__dictoffset__ or "__getattribute__" in {name for base in cls.__mro__[:-1] for name in vars(base)}:
            raise entry.UnsupportedError(f"arguments of type {cls.__name__}")
        return entry.Fields({name: self.held(v) for name, v in vars(value).items()}, cls)

    def held(self, value: Any) -> Any:
        """The pattern of what an object holds: of leaves as among arguments; of the rest, that it is what it was."""
        if type(value) in (tuple, list):
            return entry.Items([self.held(v) for v in value], type(value))
        if type(value) is dict:
            return entry.Keys({k: self.held(v) for k, v in value.items()})
        if type(value) is Argument or dataclasses.is_dataclass(value):
            return self.argument(value)
        return entry.Same(value)

    def leaf(self, argument: Argument) -> Any:
        """The pattern of a leaf: a number or array of the same kind, else this very object."""
        value = argument.value
        if argument.node is None:
            return entry.Same(value)
        if np.asarray(value).dtype != np.asarray(self.given[argument.node]).dtype:
            raise entry.UnsupportedError("a value that is converted first")
        number = self.leaf_of.setdefault(argument.node, len(self.leaf_of))
        if type(value) is float or isinstance(value, np.generic):
            return entry.Number(number, type(value))
        if type(value) is not np.ndarray:
            raise entry.UnsupportedError(f"arguments of type {type(value).__name__}")
        self.arrays += 1
        return entry.Array(number, value.dtype, value.shape, value.strides, argument.node in self.written)

    # -- results

    def result(self, value: Any) -> Any:
        """The pattern of an answer with its leaves marked."""
        if type(value) is Result:
            self.answered.add(value.number)
            like = self.avals[value.number]
            if value.kind == ARRAY:
                return entry.Array(value.number, like.dtype, like.shape)
            if value.kind == PYTHON:
                types: dict[str, type] = {"f": float, "b": bool, "i": int}
                if like.dtype.kind not in types or (like.dtype.kind != "b" and like.dtype.itemsize != 8):
                    raise entry.UnsupportedError(f"numbers of dtype {like.dtype}")
                return entry.Number(value.number, types[like.dtype.kind])
            return entry.Number(value.number, like.dtype.type)
        if type(value) in (tuple, list):
            return entry.Items([self.result(v) for v in value], type(value))
        if isinstance(value, tuple) and hasattr(value, "_make"):
            return entry.Items([self.result(v) for v in value], type(value))
        if type(value) is dict:
            return entry.Keys({k: self.result(v) for k, v in value.items()})
        if type(value) is Made:
            return entry.Items([self.result(value.part)], value.function)
        if not tree.is_leaf(value):
            parts, build = tree.opened(value)
            return entry.Items([self.result(part) for part in parts], build)
        if type(value) in outside.SCALARS:
            return entry.Same(value)
        raise entry.UnsupportedError(f"results of type {type(value).__name__}")

    # -- reads

    def read(self, read: reads.Read) -> Any:
        """What has to hold outside; None if it does anyhow."""
        kind, get = type(read), read.get
        if type(get) is functools.partial and get.func is outside.names_of:
            return _class_read(get.args[0])
        if type(get) is functools.partial and get.func is outside.member_of and kind in (reads.Read, reads.Equal):
            return None  # that is looked at with all members of the class
        if type(get) is reads.Part and type(get.whole()) is tuple and kind in (reads.Read, reads.Equal):
            return None  # the tuple is looked at
        owner, name = self._place(get)
        pattern: entry.Pattern
        if kind is reads.Input:
            node = read.node  # type: ignore[attr-defined]
            if node in self.leaf_of:
                raise entry.UnsupportedError("an array that is read in two places")
            number = self.leaf_of.setdefault(node, len(self.leaf_of))
            now = read.get()
            if type(now) is not np.ndarray:
                raise entry.UnsupportedError("an array that is gone")
            self.arrays += 1
            pattern = entry.Array(number, now.dtype, now.shape, now.strides, node in self.written)
        elif kind is reads.Content:
            pattern = self.content(read.value)
        elif kind is reads.Parts and type(get()) is tuple:
            pattern = entry.Same(get())
        elif kind in (reads.Read, reads.Equal):
            value = entry.MISSING if read.value is reads.MISSING else read.value
            pattern = entry.Same(value)
            if type(value) in (complex, range) or (isinstance(value, np.generic) and type(value) is not np.float64):
                raise entry.UnsupportedError(f"{value!r} in a variable")  # equal, but another object
        else:
            raise entry.UnsupportedError(f"{kind.__name__}")
        return entry.Read(owner, name, pattern)

    def content(self, value: Any) -> Any:
        """The pattern of a container of plain values."""
        if type(value) in (tuple, list):
            return entry.Items([self.content(v) for v in value], type(value))
        if type(value) is dict:
            return entry.Keys({k: self.content(v) for k, v in value.items()})
        if type(value) in (int, float, str, bytes, bool, type(None), np.float64):
            return entry.Same(value)
        raise entry.UnsupportedError(f"contents of type {type(value).__name__}")

    def _place(self, get: Callable[[], Any]) -> tuple[Any, Any]:
        """The object that something was read from, and the name under which it is there."""
        if type(get) is functools.partial:
            function, args = get.func, get.args
            owner = getattr(function, "__self__", None)
            if type(owner) is dict and getattr(function, "__name__", "") == "get":
                return owner, args[0]
            if function is getattr and type(args[0]) is FunctionType:
                return args[0], args[1]
            if function is getattr and type(args[0]) is ModuleType:
                return vars(args[0]), args[1]
            if function is type:
                return args[0], "__class__"
            if function is reads.contents_of and type(args[0]) is CellType:
                return args[0], "cell_contents"
            if function is reads.attributes_of and type(args[0]) is FunctionType:
                # The dict of a function's attributes, as an item of a dict.
                return {"__dict__": args[0].__dict__}, "__dict__"
        raise entry.UnsupportedError(f"something that is read in another way: {get}")


def _class_read(cls: type) -> Any:
    """That a class of the user's has the members that it has."""
    (members,) = gc.get_referents(vars(cls))  # a view is all that Python shows of the dict
    if type(members) is not dict:
        raise entry.UnsupportedError(f"the class {cls.__name__}")
    pattern = entry.Keys({name: entry.Same(member) for name, member in members.items()})
    return entry.Read({"members": members}, "members", pattern)


def marked(value: Any, nodes: Iterator[int | None]) -> Any:
    """A nested argument with its leaves marked, given the node of each leaf."""
    leaves, structure = tree.flatten(value)
    return tree.unflatten(structure, [Argument(leaf, next(nodes)) for leaf in leaves])
