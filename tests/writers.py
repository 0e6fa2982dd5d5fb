"""Functions of 3 numbers that change the world as they go: arguments, captured arrays, containers, objects, globals."""

from __future__ import annotations

import copy
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg.blas
import scipy.ndimage

Function = Callable[[Any], Any]
WRITERS: dict[str, Function] = {}
# Captured arrays with elements in common, one of which is written to: the other one sees it, or is refused.
OVERLAPPING = ("a captured array by another name", "a captured view through an object")

SCRATCH = np.arange(4.0)
HEAD = SCRATCH[:2]
LOG: list[Any] = []
TABLE: dict[str, Any] = {}
COUNT = 0


class Machine:
    """An object with an array, a number and a history."""

    def __init__(self) -> None:
        self.state = np.arange(3.0)
        self.shared = SCRATCH
        self.head = SCRATCH[:2]
        self.last: Any = None
        self.history: list[Any] = []

    def step(self, x: Any) -> Any:
        self.state[1:] += x[1:]
        self.last = x[0] * 2.0
        self.history.append(np.sum(x))
        return np.sum(self.state**2) * self.last


MACHINE = Machine()


def reset() -> None:
    global COUNT
    SCRATCH[:] = np.arange(4.0)
    LOG.clear()
    TABLE.clear()
    COUNT = 0
    MACHINE.__init__()  # type: ignore[misc]  # as it was


def world() -> list[Any]:
    """A copy of everything that a writer may change."""
    return copy.deepcopy([SCRATCH, LOG, TABLE, COUNT, MACHINE.state, MACHINE.last, MACHINE.history])


def writer(f: Function) -> Function:
    WRITERS[f.__name__.replace("_", " ")] = f
    return f


@writer
def elements_of_the_argument(x):
    x[0] = x[1] * 2
    x[2] += 1
    return np.sum(x**2)


@writer
def the_argument_in_place(x):
    x *= 2
    tail = x[1:]
    tail[:] = 0.5
    return np.sum(x) * x[0]


@writer
def the_argument_reversed(x):
    x[:] = x[::-1]
    return np.sum(x * np.arange(3.0))


@writer
def the_argument_by_out(x):
    np.multiply(x, 2.0, out=x)
    np.add(x, SCRATCH[1:], out=SCRATCH[1:])
    return np.sum(SCRATCH[1:] * x)


@writer
def the_argument_swapped(x):
    x[0], x[2] = x[2], x[0]
    return x[0] * 2 + x[1] * x[2]


@writer
def the_argument_only_read(x):
    y = x
    y = y * 2.0
    y[0] = 1.0
    return np.sum(y**2)


@writer
def a_captured_array(x):
    SCRATCH[0] = x[1] * 2
    SCRATCH[2] += 1
    return np.sum(SCRATCH**2) * x[0]


@writer
def a_captured_array_by_another_name(x):
    HEAD[0] = 7.0
    y = np.sum(SCRATCH) * x[0]
    SCRATCH[1] = 5.0
    return y * np.sum(HEAD)


@writer
def a_captured_array_through_an_object(x):
    MACHINE.shared[0] = 3.0
    SCRATCH[1] = 4.0
    return (SCRATCH[0] + MACHINE.shared[1]) * x[0] ** 2


@writer
def a_captured_view_through_an_object(x):
    MACHINE.head[0] = x[1]
    SCRATCH[1] = 4.0
    return (SCRATCH[0] + MACHINE.head[1]) * x[0] ** 2


@writer
def a_captured_array_by_pieces(x):
    SCRATCH[:2], SCRATCH[2:] = SCRATCH[2:].copy(), x[:2]
    return np.sum(SCRATCH**2)


@writer
def a_captured_array_by_its_methods(x):
    SCRATCH.fill(2.0)
    SCRATCH.put([1], 5.0)
    SCRATCH[::-1].sort()
    return SCRATCH[0] * x[0] ** 2


@writer
def a_captured_array_row_by_row(x):
    for row in SCRATCH.reshape(2, 2):
        row += x[0]
    return np.sum(SCRATCH**2)


@writer
def a_list(x):
    LOG.append(x[0] * 2)
    LOG.append(np.sum(x))
    LOG.extend([x, 1.0])
    return LOG[0] * LOG[1]


@writer
def a_dict(x):
    TABLE["k"] = x * 2
    TABLE["n"] = TABLE.get("n", 0) + 1
    TABLE.setdefault("all", []).append(x[0])
    return np.sum(TABLE["k"] ** 2)


@writer
def an_attribute(x):
    MACHINE.last = x[0] * 2
    return MACHINE.last**2 * x[1]


@writer
def an_array_of_an_object(x):
    MACHINE.state[0] = 5.0
    MACHINE.state = MACHINE.state * 2
    return np.sum(MACHINE.state) * x[0] ** 2


@writer
def a_method_that_writes(x):
    return MACHINE.step(x) + MACHINE.step(x * 2.0)


@writer
def a_global(x):
    global COUNT
    COUNT += 1
    return x[0] ** 2 * COUNT


@writer
def a_global_array_rebound(x):
    global SCRATCH
    before = SCRATCH
    SCRATCH = SCRATCH + x[0]
    y = np.sum(SCRATCH**2)
    SCRATCH = before
    return y


@writer
def a_global_of_traced_values(x):
    global COUNT
    COUNT = x[0] * 3.0
    return COUNT * x[1]


@writer
def an_array_before_an_error_that_is_caught(x):
    try:
        SCRATCH[1] = x[0]
        LOG.append("begun")
        raise KeyError(x[1])
    except KeyError:
        LOG.append("caught")
    return SCRATCH[1] ** 2


@writer
def an_array_before_an_error(x):
    SCRATCH[1] = x[0]
    LOG.append(x[1])
    x[2] = 9.0
    if x[0] > 0:
        raise ValueError("after the writing")
    return SCRATCH[1]


# -- by code that is not traced ----------------------------------------------------------------------------------------

FOREIGN: dict[str, Function] = {}


def foreign(f: Function) -> Function:
    FOREIGN[f.__name__.replace("_", " ")] = f
    return f


@foreign
def an_iterator_of_numpy(x):
    with np.nditer(SCRATCH, op_flags=["readwrite"]) as elements:
        for element in elements:
            element[...] = 2 * element
    return np.sum(SCRATCH) * x[0]


@foreign
def random_numbers_in_place(x):
    np.random.default_rng(0).random(out=SCRATCH)
    return np.sum(SCRATCH) * x[0]


@foreign
def a_random_order(x):
    np.random.default_rng(0).shuffle(SCRATCH)
    return SCRATCH[0] * x[0]


@foreign
def a_routine_of_blas(x):
    scipy.linalg.blas.daxpy(np.ones(4), SCRATCH, a=2.0)
    return np.sum(SCRATCH) * x[0]


@foreign
def strides_by_hand(x):
    np.lib.stride_tricks.as_strided(SCRATCH, (2,), (16,))[:] = 7.0
    return np.sum(SCRATCH) * x[0]


@foreign
def output_of_a_filter(x):
    scipy.ndimage.gaussian_filter(np.full(4, 3.0), 1.0, output=SCRATCH)
    return np.sum(SCRATCH) * x[0]


@foreign
def overwriting_solver(x):
    square = SCRATCH.reshape(2, 2)
    scipy.linalg.lapack.dgesv(square.T, np.ones(2), overwrite_a=True)
    return np.sum(SCRATCH) * x[0]


@foreign
def masked_array_without_copy(x):
    np.ma.array(SCRATCH, copy=False)[0] = 6.0
    return np.sum(SCRATCH) * x[0]


@foreign
def a_requirement(x):
    np.require(SCRATCH, requirements="W")[0] = 4.0
    return np.sum(SCRATCH) * x[0]


@foreign
def more_axes(x):
    np.atleast_2d(SCRATCH)[0, 1] = 5.0
    np.expand_dims(SCRATCH, 0)[0, 2] = 6.0
    return np.sum(SCRATCH) * x[0]


@foreign
def not_a_number_in_place(x):
    SCRATCH[0] = np.nan
    np.nan_to_num(SCRATCH, copy=False, nan=2.0)
    return np.sum(SCRATCH) * x[0]


@foreign
def a_buffer(x):
    np.frombuffer(SCRATCH)[:] = 9.0
    return np.sum(SCRATCH) * x[0]


@foreign
def a_memoryview(x):
    memoryview(SCRATCH)[0] = 9.0
    return np.sum(SCRATCH) * x[0]


@foreign
def packed_numbers(x):
    struct.pack_into("d", SCRATCH, 0, 5.0)
    return np.sum(SCRATCH) * x[0]


@foreign
def other_types(x):
    SCRATCH.view(np.int64)[0] = 0
    SCRATCH.view([("a", float)])["a"][1] = 6.0
    return np.sum(SCRATCH) * x[0]


@foreign
def a_vectorized_function(x):
    np.vectorize(lambda k: SCRATCH.__setitem__(int(k), 3.0) or 0.0)(np.arange(2))
    return np.sum(SCRATCH) * x[0]


@foreign
def a_file(x):
    io.BytesIO(np.ones(4).tobytes()).readinto(SCRATCH)
    return np.sum(SCRATCH) * x[0]
