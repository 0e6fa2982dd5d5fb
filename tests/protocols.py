"""What NumPy does not dispatch, as people write it. Each function of 3 numbers has the right gradient or none.

`RIGHT` must be right. `SAFE` may be refused instead: with the line, and also if the function swallows the refusal.
`FOREIGN` is C code that looks at the type itself and raises an error of its own, which a function can swallow.
"""

from __future__ import annotations

import array
import cmath
import copy
import ctypes
import decimal
import fractions
import io
import itertools
import json
import math
import operator
import pickle
import random
import statistics
import struct
from collections.abc import Callable
from functools import reduce
from math import sin as sine
from typing import Any

import numpy as np
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse
import scipy.special
import scipy.stats
from numpy import array as new_array
from numpy import zeros as new_zeros

Function = Callable[[Any], Any]
RIGHT: dict[str, Function] = {}
SAFE: dict[str, Function] = {}
FOREIGN: dict[str, Function] = {}


def right(f: Function) -> Function:
    RIGHT[f.__name__.replace("_", " ").strip()] = f
    return f


def safe(f: Function) -> Function:
    SAFE[f.__name__.replace("_", " ").strip()] = f
    return f


def foreign(f: Function) -> Function:
    FOREIGN[f.__name__.replace("_", " ").strip()] = f
    return f


# -- arrays made of traced values --------------------------------------------------------------------------------------


@right
def np_array(x):
    return np.sum(np.sin(np.array([x[0], 2.0, x[1] * x[2]])))


@right
def np_array_nested(x):
    R = np.array([[np.cos(x[0]), -np.sin(x[0])], [np.sin(x[0]), np.cos(x[0])]])
    return (R @ np.array([x[1], 1.0]))[0]


@right
def np_array_of_arrays(x):
    return np.sum(np.array([x, 2 * x, np.ones(3)]) ** 2)


@right
def np_array_imported_by_name(x):
    return np.prod(new_array([x[0], x[1], 3.0]))


@right
def np_array_with_dtype(x):
    return np.sum(np.array([x[0], 1], dtype=float) ** 2) + np.array(x, dtype=np.float64)[1]


@right
def np_array_with_ndmin(x):
    return np.sum(np.array([x[0], x[1]], ndmin=2) @ np.array([[x[2]], [1.0]]))


@right
def np_array_is_a_copy(x):
    y = np.array(x)
    y[0] = 5.0
    return np.sum(y * x)


@right
def np_asarray(x):
    return np.sum(np.asarray(x) ** 2) + np.sum(np.asarray([x[0], x[1]])) + np.asanyarray(x)[2]


@right
def np_asarray_is_no_copy(x):
    y = x * 1.0
    z = np.asarray(y, dtype=float)
    z[0] = 7.0
    return np.sum(y * y)


@right
def np_ascontiguousarray(x):
    return np.sum(np.ascontiguousarray(x[::-1]) * np.array([1.0, 2.0, 3.0]))


@right
def np_full(x):
    return np.sum(np.full(3, x[0]) * x) + np.sum(np.full((2, 3), x)) + np.sum(np.full_like(x, x[1]))


@right
def np_r_and_c(x):
    return np.sum(np.r_[x, 1.0, x[0]] ** 2) + np.sum(np.c_[x, np.ones(3)] ** 2)


@right
def np_vectorize(x):
    return np.sum(np.vectorize(lambda t: t * t if t > 0 else -t)(x))


@np.vectorize
def huber(t: Any, delta: Any = 1.0) -> Any:
    return 0.5 * t * t if abs(t) < delta else delta * (abs(t) - 0.5 * delta)


@safe
def np_vectorize_at_module_level(x):
    return np.sum(huber(x))


@right
def np_vectorize_as_a_decorator(x):
    @np.vectorize
    def g(t):
        return max(t, 0.0) ** 2

    return np.sum(g(x))


@safe
def np_frompyfunc(x):
    return np.sum(np.frompyfunc(lambda t: t * t, 1, 1)(x))


@safe
def np_apply_along_axis(x):
    return np.sum(np.apply_along_axis(lambda row: row * row.sum(), 0, x))


@safe
def np_fromiter(x):
    return np.sum(np.fromiter((v * v for v in x), float))


@safe
def np_fromfunction(x):
    return np.sum(np.fromfunction(lambda i, j: x[0] * i + x[1] * j, (2, 3)))


@safe
def object_array(x):
    a = np.array([x[0], 2.0], dtype=object)
    return np.sum(a * a)


@safe
def object_array_filled(x):
    a = np.empty(2, dtype=object)
    a[0], a[1] = x[0], x[1]
    return np.sum(np.multiply(a, a))


@safe
def np_array_then_inverse(x):
    return np.sum(np.linalg.inv(np.array([[x[0], 1.0], [2.0, x[1]]])))


@right
def np_stack_of_numbers(x):
    return np.sum(np.stack([x[0], 2.0, x[1]]) ** 2) + np.sum(np.concatenate([[x[0]], x, [1.0]]) ** 2)


@right
def np_hstack_of_numbers(x):
    return np.sum(np.hstack([x[0], 1.0]) ** 2) + np.sum(np.vstack([[x[0], 1.0], [2.0, x[1]]]) ** 2)


@right
def np_float64(x):
    return np.float64(x[0]) * 3 + np.float64(x[1] * x[2])


@right
def lists_of_traced_values(x):
    values = [t * t for t in x]
    values[0] = x[1] * 3
    values.append(2.0)
    values += [x[2], 1.0]
    return np.sum(values) + np.mean(values[:2]) + sum(values) + np.dot(values[:3], [1.0, 2.0, 3.0]) + values.pop(0)


@right
def lists_filled_by_index(x):
    y = [0.0] * 3
    for k in range(3):
        y[k] = x[k] * (y[k - 1] if k else 1.0)
    return y[2] + y[1]


@right
def tables_of_lists(x):
    memo = {}
    for i in range(4):
        for j in range(4):
            memo[i, j] = 1.0 if i == 0 or j == 0 else memo[i - 1, j] * x[0] + memo[i, j - 1] * x[1]
    return memo[3, 3]


@safe
def np_sin_of_a_list(x):
    return np.sum(np.sin([x[0], x[1]]))


@safe
def np_add_of_lists(x):
    return np.sum(np.add([x[0], 1.0], [2.0, x[1]]) * np.maximum([x[0], x[1]], 0.1))


@right
def an_array_times_a_list(x):
    return np.sum(np.ones(2) * [x[0], x[1]]) + np.sum(x * [1.0, 2.0, 3.0])


@right
def rows_to_an_array(x):
    rows = []
    for k in range(3):
        rows.append(np.sin(k * x))  # noqa: PERF401 - that is the case
    return np.sum(np.array(rows).T @ np.arange(3.0))


# -- writing traced values into plain arrays ---------------------------------------------------------------------------


@right
def element_of_zeros(x):
    y = np.zeros(3)
    y[0] = x[0] ** 2
    y[-1] = x[1]
    return np.sum(y * y)


@right
def element_of_zeros_imported_by_name(x):
    y = new_zeros(3)
    y[1] = x[0] ** 2
    return np.sum(y)


@right
def slice_of_empty(x):
    y = np.empty((2, 3))
    y[0] = x
    y[1, :2] = x[1:] ** 2
    y[1, 2] = 0.0
    return np.sum(y**2)


@right
def mask_of_a_plain_array(x):
    y = np.arange(4.0)
    y[np.array([True, False, True, True])] = x
    return np.sum(y**2)


@right
def places_of_a_plain_array(x):
    y = np.ones(4)
    y[[0, 2]] = x[:2]
    y[np.array([3, 3])] += x[2]
    return np.sum(y**2)


@right
def plain_array_in_place(x):
    y = np.ones(3)
    y += x
    y *= x
    y[1:] -= 2 * x[:-1]
    y /= 3.0
    return np.sum(y**2)


@right
def plain_array_through_aliases(x):
    y = np.zeros((2, 3))
    row, flat, kept = y[0], y.ravel(), {"y": y}
    y[0] = x
    flat[4] = x[1]
    row *= 2.0
    return np.sum(kept["y"] ** 2) + flat[0] + np.sum(y.T[2])


@right
def alias_sees_an_update(x):
    buf = np.ones(3)
    alias, part = buf, buf[1:]
    buf += x
    return np.sum(alias**2) + np.sum(part)


@right
def aliases_of_traced_arrays(x):
    a = x * 2.0
    b = a
    c = a[::2]
    a += x
    c *= 3.0
    return np.sum(b**2) + np.sum(a * c[0])


@right
def alias_inside_a_helper(x):
    def add(target, amount):
        target += amount

    buf = np.zeros(3)
    add(buf, x)
    add(buf[1:], x[0])
    return np.sum(buf**2)


@right
def in_a_list_of_arrays(x):
    layers = [np.zeros(2), np.zeros(3)]
    for k, layer in enumerate(layers):
        layer[:] = x[: len(layer)] * (k + 1)
    return sum(np.sum(layer**2) for layer in layers)


class Cache:
    """Has an array of its own."""

    def __init__(self, n: int) -> None:
        self.values = np.zeros(n)
        self.used = 0

    def put(self, value: Any) -> None:
        self.values[self.used] = value
        self.used += 1


@right
def in_an_object(x):
    cache = Cache(3)
    for value in x:
        cache.put(value * value)
    return np.sum(cache.values)


def _running_sums(x: Any) -> Any:
    y = np.zeros(len(x))
    for k in range(len(x)):
        y[k] = x[k] + (y[k - 1] if k else 0.0)
    return y


FUNCTIONS = {"sums": _running_sums, "list": [_running_sums], "pair": (_running_sums, 2.0)}


class Options:
    """Has functions for attributes."""

    rule = staticmethod(_running_sums)

    def __init__(self, function: Any) -> None:
        self.function = function


OPTIONS = Options(_running_sums)


@right
def in_a_function_of_a_dict(x):
    return np.sum(FUNCTIONS["sums"](x) ** 2) + np.sum(FUNCTIONS["list"][0](x)) * FUNCTIONS["pair"][1]


@right
def in_a_function_of_an_object(x):
    return np.sum(OPTIONS.function(x) ** 2) + np.sum(Options.rule(x) ** 3)


@right
def in_a_function_called_by_another(x):
    return np.sum(sum(map(_running_sums, [x, 2 * x])) ** 2)


@right
def in_a_property(x):
    class Spread:
        def __init__(self, data):
            self.data = data

        @property
        def sums(self):
            return _running_sums(self.data)

        @classmethod
        def of(cls, data):
            made = np.zeros(3)
            made[:2] = data[:2]
            return cls(made)

        def __len__(self):
            return len(self.data)

        def __getitem__(self, k):
            out = np.zeros(1)
            out[0] = self.data[k]
            return out[0]

        def __add__(self, other):
            total = np.zeros(3)
            total += self.data
            total += other
            return Spread(total)

    s = Spread.of(x) + x
    return np.sum(s.sums**2) + s[0] * len(s) + sum(Spread(x))


class Vector:
    """Two coordinates with operators, as people write them."""

    def __init__(self, x: Any, y: Any) -> None:
        self.data = np.array([x, y])

    def __add__(self, other: Any) -> Any:
        return Vector(*(self.data + other.data))

    def __mul__(self, k: Any) -> Any:
        out = np.empty(2)
        for i in range(2):
            out[i] = k * self.data[i]
        return Vector(out[0], out[1])

    __rmul__ = __mul__

    @property
    def norm(self) -> Any:
        return math.sqrt(sum(float(v) ** 2 for v in self.data))


@right
def in_operators_of_a_class(x):
    a, b = Vector(x[0], x[1]), Vector(1.0, x[2])
    return (2.0 * a + b * x[0]).norm


class Base:
    """Has a template method."""

    def run(self, x: Any) -> Any:
        state = np.zeros(3)
        for k in range(3):
            state[k] = self.step(x, k)
        return np.sum(state**2)

    def step(self, x: Any, k: Any) -> Any:
        raise NotImplementedError


class Child(Base):
    """Fills in the step."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def step(self, x: Any, k: Any) -> Any:
        buf = np.zeros(2)
        buf[0] = x[k]
        return self.factor * buf.sum()


CHILD = Child(3.0)


@right
def in_inherited_methods(x):
    return CHILD.run(x) + Child(2.0).run(x * 2)


def relu(v: Any) -> Any:
    return np.maximum(v, 0.0)


SCALES = {relu: 2.0, np.tanh: 3.0, Base: 4.0, Child: 5.0}
MEMBERS = {relu, Child}
RULES = {np.sin: np.cos}


@right
def functions_and_classes_as_keys(x):
    y = x[0] * SCALES.get(relu, 9.0) + x[1] * SCALES.get(np.tanh, 9.0) + x[2] * SCALES.get(type(CHILD), 9.0)
    known = (relu in MEMBERS) + 2 * (Child in MEMBERS) + 4 * (relu in SCALES) + 8 * (_running_sums in SCALES)
    return y * known + RULES.get(np.sin, np.exp)(x[0])


@right
def functions_and_classes_as_objects(x):
    same = (relu is next(iter(SCALES))) + 2 * (type(CHILD) is Child) + 4 * (CHILD.__class__ is Child)
    same += 8 * (FUNCTIONS["sums"] is _running_sums) + 16 * (OPTIONS.function is _running_sums)
    same += 32 * ([relu, _running_sums].index(_running_sums)) + 64 * (Child.__name__ == "Child")
    same += 128 * (relu.__name__ == "relu") + 256 * isinstance(CHILD, Base) + 512 * issubclass(type(CHILD), Base)
    return same * x[0] ** 2


@right
def bases_of_classes(x):
    return x[0] ** 2 * ((Child.__mro__[1] is Base) + 2 * (type(CHILD).__bases__ == (Base,)))


@right
def subclasses_as_a_registry(x):
    return x[0] * CHILD.run(x) * len(Base.__subclasses__())


@right
def in_a_generator(x):
    def rows():
        buf = np.zeros(3)
        for k in range(3):
            buf[k] = x[k] ** 2
            yield buf.copy()

    return np.sum(np.array(list(rows())) * np.arange(3.0))


@right
def into_a_copy_of_a_captured_array(x):
    table = TABLE.copy()
    table[0] = x
    return np.sum(table**2)


@right
def into_like_arrays(x):
    a, b, c = np.zeros_like(TABLE), np.empty_like(TABLE), np.ones_like(x)
    a[0], b[...], c[1] = x, x, x[0]
    return np.sum(a**2) + np.sum(b**2) + np.sum(c**2)


@right
def into_eye_and_diag(x):
    E, D = np.eye(3), np.diag([1.0, 2.0, 3.0])
    E[0, 1:] = x[1:]
    D[np.diag_indices(3)] = x
    return np.sum((E @ D) ** 2)


@right
def into_linspace_and_arange(x):
    a, b = np.linspace(0, 1, 4), np.arange(3.0)
    a[1:] += x
    b[0] = x[2]
    return np.sum(a**2) * np.sum(b)


@safe
def into_an_integer_array(x):
    y = np.zeros(3, dtype=int)
    y[0] = x[0]
    return np.sum(y * x)


@safe
def into_a_structured_array(x):
    y = np.zeros(2, dtype=[("a", float), ("b", float)])
    y["a"][0] = x[0]
    return np.sum(y["a"])


@safe
def into_an_array_of_the_standard_library(x):
    y = array.array("d", [0.0, 0.0])
    y[0] = x[0]
    return y[0] * 2.0


@safe
def into_a_ctypes_array(x):
    y = (ctypes.c_double * 2)()
    y[0] = x[0]
    return y[0] * 2.0


@foreign
def into_a_memoryview(x):
    y = np.zeros(3)
    memoryview(y)[0] = x[0]
    return np.sum(y)


@safe
def into_a_masked_array(x):
    y = np.ma.zeros(3)
    y[0] = x[0]
    return y.sum()


@safe
def into_a_matrix(x):
    y = np.asmatrix(np.zeros((2, 2)))
    y[0, 0] = x[0]
    return y.sum()


@safe
def into_flat(x):
    y = np.zeros((2, 2))
    y.flat[1] = x[0]
    y.flat[2:] = x[1:]
    return np.sum(y**2)


@safe
def into_a_plain_array_by_methods(x):
    y = np.zeros(3)
    y.fill(x[0])
    y.put([1], x[1])
    return np.sum(y**2)


@safe
def into_a_field_of_a_record(x):
    record = np.rec.array([(1.0, 2.0)], dtype=[("a", float), ("b", float)])
    record.a[0] = x[0]
    return record.a.sum()


# -- out= and its relatives --------------------------------------------------------------------------------------------


@right
def ufunc_out(x):
    buf = np.zeros(3)
    y = np.multiply(x, x, out=buf)
    np.add(y, 1.0, buf)
    np.exp(buf, out=(buf,))
    return np.sum(buf) + np.sum(y)


@right
def ufunc_out_into_a_view(x):
    buf = np.zeros((2, 3))
    np.sin(x, out=buf[1])
    np.add(buf[1], x, out=buf[0])
    return np.sum(buf**2)


@right
def ufunc_out_with_where(x):
    buf = np.full(3, 5.0)
    np.log(x, out=buf, where=x > 0)
    return np.sum(buf**2)


@right
def reduction_out(x):
    buf, total = np.zeros(3), np.zeros(())
    np.cumsum(x, out=buf)
    np.sum(x * x, out=total)
    return np.sum(buf**2) * total


@right
def product_out(x):
    buf = np.zeros((3, 3))
    np.outer(x, x, out=buf)
    np.matmul(buf, buf, out=buf.copy())
    y = np.zeros(3)
    np.dot(np.ones((3, 3)) * 0.5, x, out=y)
    return np.sum(buf) + np.sum(y**2)


@right
def clip_and_round_out(x):
    buf = np.zeros(3)
    np.clip(x, -1.0, 1.0, out=buf)
    x.clip(-2.0, 2.0, out=buf[:])
    return np.sum(buf**2)


@right
def method_out(x):
    buf = np.zeros(())
    (x * x).sum(out=buf)
    return buf * 2.0


@right
def copyto_and_place(x):
    buf = np.zeros(3)
    np.copyto(buf, x)
    np.fill_diagonal(M := np.zeros((3, 3)), x)
    np.add.at(buf, [0, 0, 1], x)
    return np.sum(buf**2) + np.sum(M**2)


@safe
def put_and_its_kind(x):
    buf = np.zeros(4)
    np.put(buf, [1, 2], x[:2])
    np.putmask(buf, np.array([True, False, False, True]), x[2])
    np.place(buf, np.array([False, False, False, True]), x[:1])
    return np.sum(buf**2)


@safe
def put_along_axis(x):
    buf = np.zeros((1, 3))
    np.put_along_axis(buf, np.array([[2]]), x[0], axis=1)
    return np.sum(buf**2)


@safe
def joins_with_out(x):
    a, b, c = np.zeros(6), np.zeros((2, 3)), np.zeros(2)
    np.concatenate([x, x], out=a)
    np.stack([x, 2 * x], out=b)
    np.take(x, [0, 2], out=c)
    return np.sum(a**2) + np.sum(b**2) + np.sum(c**2)


@safe
def einsum_out(x):
    buf = np.zeros(())
    np.einsum("i,i->", x, x, out=buf)
    return buf * 1.0


@safe
def statistics_out(x):
    buf = np.zeros(())
    np.mean(x * x, out=buf)
    a = buf * 1.0
    np.std(x, out=buf)
    return a + buf


BUFFER = np.zeros(3)
TABLE = np.arange(6.0).reshape(2, 3)


@right
def captured_buffer_as_out(x):
    np.multiply(x, x, out=BUFFER)
    return np.sum(BUFFER) * 2.0


@right
def captured_buffer_written_to(x):
    BUFFER[:] = x
    BUFFER[1:] *= 2.0
    return np.sum(BUFFER**2)


@right
def captured_buffer_in_place(x):
    global BUFFER
    BUFFER *= 0.0
    BUFFER += x
    return np.sum(BUFFER**2)


@right
def captured_buffer_through_a_helper(x):
    _store(x)
    return np.sum(BUFFER**2)


def _store(x: Any) -> None:
    BUFFER[:] = x * 2.0


# -- plain numbers -----------------------------------------------------------------------------------------------------


@right
def math_sin(x):
    return math.sin(x[0]) * math.exp(x[1]) + sine(x[2])


@right
def math_of_python_floats(x):
    a, b, c = (float(v) for v in x)
    return math.sqrt(a * a + b * b) + math.hypot(a, c) + math.atan2(a, b) + math.pow(c, 2) + math.log(c) + math.fabs(b)


@right
def builtin_float(x):
    return float(x[0]) * float(x[1] ** 2) + float(np.sum(x))


@right
def item(x):
    return x[0].item() ** 2 + x.item(1) + np.sum(x).item() + x.max().item() * 2


@right
def tolist(x):
    a, b, c = x.tolist()
    return a * b * c + sum(x.tolist())


@right
def builtin_functions(x):
    low, high = min(x), max(x)
    return abs(low) * high + sum(x) + pow(x[2], 2) + sum(sorted(x)[:2]) + divmod(x[2], 2.0)[1] + round(x[2]) * x[0]


@right
def float_attributes(x):
    return x[0].real * x[1].conjugate() + x[2] * float(x[1].is_integer())


@right
def formatting_changes_nothing(x):
    label = f"{x[0]:.3f} {x[1]!r} {x}"
    return np.sum(x**2) * (1.0 if label else 2.0)


@safe
def percent_format(x):
    label = "%.3f" % x[0]  # noqa: UP031 - that is the case
    return np.sum(x**2) * len(label)


@safe
def builtin_int(x):
    return np.sum(x**2) * int(x[2])


@safe
def builtin_complex(x):
    return abs(complex(x[0], x[1]))


@safe
def cmath_functions(x):
    return cmath.exp(x[0]).real


@foreign
def decimal_number(x):
    return float(decimal.Decimal(x[0])) ** 2


@safe
def fraction(x):
    return float(fractions.Fraction(x[0])) ** 2


@safe
def integer_ratio(x):
    top, bottom = x[0].as_integer_ratio()
    return top / bottom * x[1]


@safe
def hexadecimal(x):
    return float.fromhex(float(x[0]).hex()) * x[1]


@safe
def statistics_mean(x):
    return statistics.mean(x) * statistics.fmean(list(x))


@safe
def statistics_stdev(x):
    return statistics.stdev([x[0], x[1], x[2]])


@safe
def fsum(x):
    return math.fsum(x) + math.prod(x) + math.dist(x, [0.0, 0.0, 0.0])


@safe
def packed(x):
    return struct.unpack("d", struct.pack("d", x[0]))[0] * 2.0


@safe
def pickled(x):
    return np.sum(pickle.loads(pickle.dumps(x)) ** 2)


@foreign
def written_as_json(x):
    return json.loads(json.dumps(float(x[0]))) * 2.0


@safe
def bytes_and_back(x):
    return np.sum(np.frombuffer(x.tobytes()) ** 2)


@safe
def saved_and_loaded(x):
    file = io.BytesIO()
    np.save(file, x)
    file.seek(0)
    return np.sum(np.load(file) ** 2)


@right
def deepcopied(x):
    y = copy.deepcopy(x)
    y[0] = copy.copy(x)[1]
    return np.sum(y**2)


@safe
def viewed_as_integers(x):
    return np.sum(x.view(np.int64) * x)


@foreign
def memoryview_of_it(x):
    return memoryview(x)[0] * 2.0


@foreign
def through_dlpack(x):
    return np.sum(np.from_dlpack(x) ** 2)


@safe
def np_random_normal(x):
    return np.random.default_rng(0).normal(x[0], 1.0)


@safe
def np_random_legacy(x):
    np.random.seed(0)
    return np.random.normal(x[0]) + np.random.uniform(0, x[2])


@safe
def np_random_arrays(x):
    return np.sum(np.random.default_rng(0).normal(x, 1.0, size=3))


@safe
def np_random_choice_and_shuffle(x):
    rng = np.random.default_rng(0)
    y = x * 1.0
    rng.shuffle(y)
    return y[0] + rng.choice(x) * 2.0


@safe
def python_s_random(x):
    rng = random.Random(0)
    return rng.uniform(0.0, x[0]) + rng.gauss(x[1], 1.0) * x[2]


@safe
def python_s_choice_and_shuffle(x):
    rng = random.Random(0)
    y = list(x)
    rng.shuffle(y)
    return rng.choice(y) * y[0]


@safe
def searchsorted_on_knots(x):
    return np.searchsorted(np.array([0.0, 1.0, 2.0]), x[0]) * x[0]


@safe
def digitize_and_histogram(x):
    return np.sum(np.bincount(np.digitize(x, [0.0, 1.0]), weights=x) * np.arange(3.0))


@safe
def unique_and_sorting(x):
    return np.sum(np.unique(x) * np.arange(3.0)) + x[np.argsort(x)][0] * 2.0


@safe
def polynomials(x):
    return np.polyval(x, 2.0) + np.sum(np.polyfit([0.0, 1.0, 2.0], x, 1))


@safe
def polynomial_class(x):
    return np.polynomial.Polynomial(x)(2.0)


@safe
def isinstance_of_the_abc(x):
    import numbers

    return x[0] ** 2 if isinstance(float(x[0]), numbers.Real) else x[1]


# -- what dispatches ---------------------------------------------------------------------------------------------------


@right
def functions_that_dispatch(x):
    a = np.stack([x, x**2]) + np.concatenate([x, x[:0]])
    b = np.where(x > 0, x, np.zeros_like(x)) + np.linspace(x[0], x[1], 3)
    c = np.block([[x, x], [np.ones(3), x]])
    e = np.add.reduce(x * x)
    t = x * 1.0
    np.add.at(t, [0, 0], x[1])
    return np.sum(a) + np.sum(b) + np.sum(c**2) + e + np.sum(t**2)


@safe
def np_interp(x):
    return np.sum(np.interp([0.5, 1.5], np.arange(3.0), x)) + np.interp(x[0], [0.0, 1.0], [1.0, 3.0])


@right
def scipy_s_ufuncs(x):
    return np.sum(scipy.special.expit(x) + scipy.special.erf(x)) + scipy.special.gammaln(x[2])


@safe
def scipy_special_functions(x):
    return scipy.special.logsumexp(x) + scipy.special.softmax(x)[0] + scipy.special.log_softmax(x)[1]


@safe
def scipy_logsumexp_of_a_list(x):
    return scipy.special.logsumexp([x[0], x[1]])


@safe
def scipy_stats_normal(x):
    return scipy.stats.norm.logpdf(x[0]) + scipy.stats.norm(loc=x[1]).logpdf(0.3)


@safe
def scipy_stats_others(x):
    return scipy.stats.gamma.logpdf(2.0, x[2]) + scipy.stats.multivariate_normal.logpdf(x, np.zeros(3))


@safe
def scipy_stats_of_samples(x):
    return scipy.stats.zscore(x)[0] + scipy.stats.skew(x) + scipy.stats.gmean(x**2)


@safe
def scipy_linalg_functions(x):
    A = np.outer(x, x) + np.eye(3)
    return np.sum(scipy.linalg.inv(A)) + scipy.linalg.det(A) + scipy.linalg.solve(A, x)[0]


@safe
def scipy_linalg_norm(x):
    return scipy.linalg.norm(x) + scipy.linalg.norm(np.outer(x, x))


@right
def scipy_linalg_cholesky(x):
    A = np.outer(x, x) + np.eye(3)
    return np.sum(scipy.linalg.cholesky(A)) + scipy.linalg.cho_solve(scipy.linalg.cho_factor(A), x)[0]


@right
def scipy_linalg_matrices(x):
    return (
        np.sum(scipy.linalg.expm(np.outer(x, x)))
        + np.sum(scipy.linalg.toeplitz(x))
        + np.sum(scipy.linalg.block_diag(x, x) ** 2)
    )


@right
def scipy_linalg_triangular(x):
    return np.sum(scipy.linalg.solve_triangular(np.tril(np.outer(x, x) + np.eye(3)), x, lower=True))


@right
def scipy_signal_convolve(x):
    return np.sum(scipy.signal.convolve(x, np.array([1.0, 2.0])) ** 2)


@right
def scipy_signal_lfilter(x):
    return np.sum(scipy.signal.lfilter([1.0, 0.5], [1.0, -0.3], x) ** 2)


@right
def scipy_interpolation(x):
    return scipy.interpolate.interp1d(np.arange(3.0), x)(0.5) + scipy.interpolate.CubicSpline(np.arange(3.0), x)(0.5)


@safe
def scipy_interpolation_at_a_place(x):
    return scipy.interpolate.CubicSpline(np.arange(3.0), [1.0, 4.0, 2.0])(x[0])


@right
def scipy_quad_with_a_bound(x):
    return scipy.integrate.quad(lambda t: t * t, 0.0, x[2])[0]


@right
def scipy_quad_with_a_parameter(x):
    return scipy.integrate.quad(lambda t: t * x[0], 0.0, 1.0)[0]


@right
def scipy_trapezoid(x):
    return scipy.integrate.trapezoid(x**2) + np.trapezoid(x, dx=0.5)


@right
def scipy_solve_ivp(x):
    return scipy.integrate.solve_ivp(lambda t, y: -x[0] * y, (0.0, 1.0), [x[1]], rtol=1e-10, atol=1e-12).y[0, -1]


@safe
def scipy_brentq(x):
    return scipy.optimize.brentq(lambda t: t**3 - x[2], 0.0, 5.0)


@safe
def scipy_minimize(x):
    return scipy.optimize.minimize_scalar(lambda t: (t - x[0]) ** 2).x


@safe
def scipy_ndimage(x):
    return np.sum(scipy.ndimage.gaussian_filter(x, 1.0) ** 2)


@safe
def scipy_fft(x):
    return np.sum(np.abs(scipy.fft.fft(x)) ** 2)


@safe
def numpy_fft(x):
    return np.sum(np.abs(np.fft.rfft(x)) ** 2)


@safe
def scipy_sparse(x):
    return np.sum((scipy.sparse.csr_matrix(np.eye(3)) @ x) ** 2)


@safe
def scipy_sparse_made_of_it(x):
    return scipy.sparse.csr_matrix(np.outer(x, x)).sum()


@safe
def numpy_linalg_functions(x):
    A = np.outer(x, x) + np.eye(3)
    return np.linalg.det(A) + np.linalg.slogdet(A)[1] + np.linalg.solve(A, x)[0] + np.linalg.norm(A)


@safe
def masked_arrays(x):
    return np.ma.masked_less(x, 0.0).sum()


@safe
def matrices(x):
    return (np.asmatrix(x) * np.asmatrix(x).T).sum()


@safe
def complex_numbers(x):
    z = x[0] + 1j * x[1]
    return np.abs(z) ** 2 + np.real(z * z) + np.imag(np.exp(z))


@safe
def python_s_tools(x):
    total = reduce(operator.mul, x)
    running = list(itertools.accumulate(x, operator.add))
    pairs = sum(a * b for a, b in itertools.combinations(x, 2))
    return total + running[-1] * running[0] + pairs + sum(map(math.cos, x)) + sum(filter(lambda t: t > 0, x))


@safe
def python_s_sorting(x):
    order = sorted(range(3), key=lambda k: x[k])
    best = max(zip(x, range(3), strict=True))
    values = list(x)
    values.sort(reverse=True)
    return x[order[0]] * 2 + best[0] * best[1] + values[0]


@safe
def traced_keys(x):
    return {x[0]: 1.0, x[1]: 2.0}[x[0]] * x[2]


@safe
def membership(x):
    return np.sum(x**2) if x[0] in [1.0, 2.0] else np.sum(x)


@safe
def asserts_and_checks(x):
    assert np.all(np.isfinite(x))
    assert np.allclose(x, x)
    assert not np.array_equal(x, np.zeros(3))
    np.testing.assert_allclose(x, x)
    return np.sum(x**2)
