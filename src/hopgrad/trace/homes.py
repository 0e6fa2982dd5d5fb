"""Arrays that a traced function did not make: its arguments, and arrays of the surrounding program.

Writing to one is to be seen by the caller, as in NumPy. Inside, such an array is a memory like any other; it knows its
*home*, the caller's own array, and when the transform is over, the home gets the final value. In the meantime the home
holds the old one, so nobody may look at it under another name: two homes that overlap can be read, but not written to.
"""

from __future__ import annotations

from collections.abc import Collection
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from hopgrad.differentiate import substitute
from hopgrad.errors import TraceError
from hopgrad.graph.graph import reachable
from hopgrad.trace import context, memory
from hopgrad.trace.context import Trace
from hopgrad.trace.memory import Memory
from hopgrad.trace.tracer import (
    ARRAY,
    REAL,
    Tracer,
    attach,
    check_writable,
    known_value,
    memory_of,
    real_data,
    refuse_plain,
    strides_of,
    write,
)


def argument(tracer: Tracer, given: Any) -> None:
    """Make the fresh tracer of an argument stand for what the caller gave, if that is an array."""
    if tracer._kind != ARRAY or not isinstance(given, np.ndarray):  # tracers of arrays say that they are, too
        return
    trace = tracer._trace
    name = dict(trace.builder.params(tracer._id)).get("name", "")
    outer = _outer(given)
    if outer is None:
        shared = Memory(tracer._id, layout=memory.strides_of_array(given), writable=given.flags.writeable)
        shared.inner = trace.nested and trace.wrt is not None and tracer._id in trace.wrt
    else:
        whole = memory_of(outer)
        data = real_data(outer)
        writable = whole.writable if data is None else data.flags.writeable
        if data is None and not memory.is_writable(outer._path):
            writable = False
        shared = Memory(tracer._id, layout=strides_of(outer), writable=writable)
        shared.inner = True
        whole.lent += 1
    shared.home = given
    shared.name = f"the array {name}" if name else "an argument"
    _check_unwritten(trace, shared, None)
    trace.homes.append(shared)
    attach(tracer, shared)


def _check_unwritten(trace: Trace, shared: Memory, frame: FrameType | None) -> None:
    """Refuse an array that has elements in common with one that was written to: it would show the old ones."""
    for other in trace.homes:
        if any(other is written for written in trace.dirty) and memory.overlapping(shared, other):
            trace.refuse(TraceError(
                f"{shared.name} is read here after {other.name}, with which it has elements in common, was written to:"
                f" copy one of them first\n  at {context.where(frame)}"))  # fmt: skip


def _outer(home: Any) -> Tracer | None:
    """A home that is an array of the outer function; None for one that is NumPy's."""
    return home if type(home) is Tracer else None


def captured(trace: Trace, array: np.ndarray[Any, Any], name: str = "", frame: FrameType | None = None) -> Tracer:
    """A plain array of the surrounding program, as the traced function sees it: a tracer over the array itself.

    NumPy reads it and writes plain values to it directly. Once a traced value is written, the array is a value of the
    graph, and gets its final value when the outermost call is over.
    """
    result = Tracer(trace, REAL, ARRAY)
    for shared in trace.homes:
        if shared.home is array and shared.captured:
            result = Tracer(trace, REAL if shared.data is not None else shared.node, ARRAY)
            attach(result, shared)
            return result
    shared = Memory(REAL, array, writable=array.flags.writeable)
    shared.home = array
    shared.captured = True
    shared.name = f"the array {name}" if name else "an array that is not an argument"
    _check_unwritten(trace, shared, frame)
    for other in trace.homes:
        if not other.captured and memory.overlapping(shared, other):
            # An argument. Its values are needed as they are, so NumPy must not write to them on its own.
            shared.data = array.view()
            shared.data.flags.writeable = False
    trace.homes.append(shared)
    attach(result, shared)
    return result


class Mark(NamedTuple):
    """The state of a trace when a transform begins."""

    homes: int
    values: int


def enter(trace: Trace) -> Mark:
    """Call when a transform begins, and `leave` with the answer when it is over."""
    return Mark(len(trace.homes), len(trace.builder))


def leave(trace: Trace, mark: Mark, frame: FrameType | None = None, write_back: bool = True) -> None:
    """Give the homes that were written to since the mark their final values.

    Everything that needs their old values must have been computed. Inside an outer function, what stands for its
    values takes these on, and captured arrays stay written to until the outer function is over.
    """
    over = [shared for shared in trace.homes[mark.homes :] if shared.inner or not trace.nested]
    trace.homes[mark.homes :] = [shared for shared in trace.homes[mark.homes :] if shared not in over]
    done = [shared for shared in trace.dirty if shared in over]
    kept = [shared for shared in trace.dirty if shared not in over]
    trace.dirty = kept
    write_back = write_back and not trace.refusals
    for shared in over:
        if (outer := _outer(shared.home)) is not None:
            memory_of(outer).lent -= 1
    if trace.nested:
        nodes = outside(trace, [shared.node for shared in (*done, *kept)], mark.values)
        for shared, node in zip(kept, nodes[len(done) :], strict=True):
            if node != shared.node:
                shared.change(node, context.where(frame))
        for shared, node in zip(done, nodes[: len(done)], strict=True):
            _put_back(trace, shared.home, node, frame, write_back)
    elif write_back:
        with np.errstate(all="ignore"):  # the user saw the warnings before
            values = [trace.concrete(shared.node) for shared in done]
        for shared, value in zip(done, values, strict=True):
            shared.home[...] = value


def _put_back(trace: Trace, home: Any, node: int, frame: FrameType | None, write_back: bool) -> None:
    """An array of the outer function, which was an argument of an inner one, takes its final value."""
    if type(home) is Tracer:
        outer = memory_of(home)
        outer.lost = ""
        outer.version += 1
        if write_back:
            check_writable(home, frame)
            write(home, Tracer(trace, node, ARRAY), frame)
    elif write_back:
        value = known_value(Tracer(trace, node, ARRAY), "writing to a plain array", frame)
        if value is None:
            refuse_plain(trace, frame)
        home[...] = value


def outside(trace: Trace, nodes: list[int], since: int = 0, own: Collection[int] = ()) -> list[int]:
    """Values in terms of the outer function: what inner ones made as inputs is a value of it here.

    A value that an inner function hands out in another way than by returning it, such as in an outer list or array,
    still refers to that function's inputs. Inputs before `since`, and the function's `own`, stay.
    """
    builder, standing = trace.builder, trace.standing
    found: set[int] = set()
    todo = nodes
    while todo:
        inner = [n for n in reachable(builder, todo, since) if n in standing and n not in found and n not in own]
        found.update(inner)
        todo = [standing[n] for n in inner]
    replaced: dict[int, int] = {}
    for node in sorted(found):  # what an input stands for was made before it
        (replaced[node],) = substitute(builder, [standing[node]], replaced)
    return substitute(builder, nodes, replaced)
