"""Entry points: which arguments they take, what they give back, and that everything else goes to the fallback."""

import copy
import ctypes
import gc
import inspect
import pickle
import subprocess
import sys
import textwrap
import threading
import weakref
from collections import namedtuple

import numpy as np
import pytest

from hopgrad.lower.entry import (
    MISSING,
    Array,
    Entry,
    Function,
    Items,
    Keys,
    Number,
    Read,
    Same,
    UnsupportedError,
    native,
)
from hopgrad.lower.machine import Source, load

pytestmark = pytest.mark.skipif(native() is None, reason="this interpreter has no native entry points")

# y[k] = 2 x[k] + 1 over params[0] doubles, from slot params[1] to slot params[2]
LINE = Source("""
define i32 @NAME(ptr %slots, ptr %params) {
start:
  %size = load i64, ptr %params
  %from_at = getelementptr i64, ptr %params, i64 1
  %from = load i64, ptr %from_at
  %to_at = getelementptr i64, ptr %params, i64 2
  %to = load i64, ptr %to_at
  %x_at = getelementptr ptr, ptr %slots, i64 %from
  %x = load ptr, ptr %x_at
  %y_at = getelementptr ptr, ptr %slots, i64 %to
  %y = load ptr, ptr %y_at
  br label %next
next:
  %k = phi i64 [ 0, %start ], [ %after, %body ]
  %more = icmp slt i64 %k, %size
  br i1 %more, label %body, label %end
body:
  %from_k = getelementptr double, ptr %x, i64 %k
  %to_k = getelementptr double, ptr %y, i64 %k
  %v = load double, ptr %from_k
  %w = fmul double %v, 2.0
  %r = fadd double %w, 1.0
  store double %r, ptr %to_k
  %after = add i64 %k, 1
  br label %next
end:
  ret i32 0
}
""")

# copies params[0] bytes from slot params[1] to slot params[2]
COPY = Source("""
declare ptr @memcpy(ptr, ptr, i64)
define i32 @NAME(ptr %slots, ptr %params) {
  %size = load i64, ptr %params
  %from_at = getelementptr i64, ptr %params, i64 1
  %from = load i64, ptr %from_at
  %to_at = getelementptr i64, ptr %params, i64 2
  %to = load i64, ptr %to_at
  %x_at = getelementptr ptr, ptr %slots, i64 %from
  %x = load ptr, ptr %x_at
  %y_at = getelementptr ptr, ptr %slots, i64 %to
  %y = load ptr, ptr %y_at
  %done = call ptr @memcpy(ptr %y, ptr %x, i64 %size)
  ret i32 0
}
""")

# goes on if the double in slot params[0] is positive
POSITIVE = Source("""
define i32 @NAME(ptr %slots, ptr %params) {
  %slot = load i64, ptr %params
  %x_at = getelementptr ptr, ptr %slots, i64 %slot
  %x = load ptr, ptr %x_at
  %v = load double, ptr %x
  %positive = fcmp ogt double %v, 0.0
  %code = select i1 %positive, i32 0, i32 7
  ret i32 %code
}
""")


def program(*steps):
    """Address of a program, and what keeps it alive."""
    params = [(ctypes.c_int64 * max(1, len(values)))(*values) for _, values in steps]
    words = [
        word
        for (source, _), values in zip(steps, params, strict=True)
        for word in (load([source])[0].address, ctypes.addressof(values))
    ]
    table = (ctypes.c_uint64 * (len(words) + 2))(*words, 0, 0)
    return ctypes.addressof(table), (table, params)


def entry(steps, slots, arguments, results, **others):
    address, alive = program(*steps)
    others["keep"] = (*others.get("keep", ()), alive)
    return Entry(program=address, slots=slots, arguments=arguments, results=results, **others)


def f(x, *others):
    """Made from."""


class Fallback(Exception):  # noqa: N818 - it is no error
    pass


def fallback(*args, **keywords):
    raise Fallback(args, keywords)


def function(*entries, fallback=fallback):
    made = Function(fallback, f, "gradient of f")
    made.entries = entries
    return made


def missed(call, *args, **keywords):
    """Whether a call went to the fallback, with the very same arguments."""
    try:
        call(*args, **keywords)
    except Fallback as found:
        given, named = found.args
        assert len(given) == len(args)
        assert all(a is b for a, b in zip(given, args, strict=True))
        assert named == keywords
        return True
    return False


IN_OUT = [("input", 0), ("output", 0)]


def on_float():
    return entry([(LINE, [1, 0, 1])], IN_OUT, [Number(0, float)], Number(0, float))


def on_array(size=6, shape=None, strides=None, **others):
    shape = (size,) if shape is None else shape
    strides = (8,) if strides is None else strides
    given, made = Array(0, "f8", shape, strides), Array(0, np.float64, shape)
    return entry([(LINE, [size, 0, 1])], IN_OUT, [given], made, **others)


def copies(given, made, size):
    return function(entry([(COPY, [size, 0, 1])], IN_OUT, [given], made))


# -- arguments and results ---------------------------------------------------------------------------------------------


def test_float():
    g = function(on_float())
    assert g(1.5) == 4.0
    assert type(g(1.5)) is float
    assert np.isnan(g(float("nan")))
    for other in (
        1,
        True,
        np.float64(1.5),
        np.float32(1.5),
        "1.5",
        None,
        np.array(1.5),
        1j,
        type("F", (float,), {})(1),
    ):
        assert missed(g, other)


def test_wrong_counts_and_keywords():
    g = function(on_float())
    assert missed(g)
    assert missed(g, 1.0, 2.0)
    assert missed(g, x=1.0)
    assert missed(g, 1.0, y=2.0)
    assert g(*[1.5]) == 4.0
    assert g(*[1.5], **{}) == 4.0


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5),
        np.float32(-2.25),
        np.float16(3),
        np.int8(-3),
        np.uint64(2**63),
        np.bool_(True),
        np.complex64(1 - 2j),
        np.complex128(1 - 2j),
        1 - 2j,
        1.5,
    ],
)
def test_numbers(value):
    kind = type(value)
    g = copies(Number(0, kind), Number(0, kind), np.dtype(kind).itemsize)
    assert g(value) == value
    assert type(g(value)) is kind
    assert missed(g, np.asarray(value))
    assert missed(g, object())


def test_python_results():
    slots = [("input", 0), ("input", 1), ("output", 0), ("output", 1)]
    made = Items([Number(0, int), Number(1, bool), Same(None), Same("text")])
    given = [Number(0, np.int64), Number(1, np.bool_)]
    g = function(entry([(COPY, [8, 0, 2]), (COPY, [1, 1, 3])], slots, given, made))
    assert g(np.int64(-(2**62)), np.bool_(True)) == (-(2**62), True, None, "text")
    assert g(np.int64(5), np.bool_(False))[1] is False


def test_numbers_that_do_not_fit():
    for kind in (np.clongdouble, str, object, np.str_, np.datetime64):
        with pytest.raises(UnsupportedError):
            copies(Number(0, kind), Number(0, kind), 8)
    with pytest.raises(UnsupportedError):
        copies(Number(0, int), Number(0, int), 8)


def test_array():
    g = function(on_array())
    x = np.arange(6.0)
    y = g(x)
    np.testing.assert_array_equal(y, 2 * x + 1)
    assert type(y) is np.ndarray
    assert y.flags.c_contiguous
    assert y.flags.writeable
    assert y.flags.owndata
    assert g(x) is not y
    assert y.dtype is np.dtype("f8")
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(g(read_only), y)


class Sub(np.ndarray):
    pass


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return raw[1:].view(x.dtype)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.view(Sub),
        lambda x: np.ma.masked_array(x),
        lambda x: x.astype(">f8"),
        lambda x: x.astype("f4"),
        lambda x: x.astype("i8"),
        lambda x: x[:-1],
        lambda x: x[None],
        lambda x: np.repeat(x, 2)[::2],
        lambda x: x[::-1],
        lambda x: np.broadcast_to(x[:1], 6),
        unaligned,
        list,
        tuple,
        lambda x: x[0],
        lambda x: np.array(None),
        lambda x: np.zeros(6, [("a", "f8")]),
        lambda x: None,
    ],
)
def test_arrays_of_other_kinds(change):
    assert missed(function(on_array()), change(np.arange(6.0)))


def test_strided_arrays():
    x = np.arange(24.0).reshape(4, 6)[::2, ::-1]
    g = copies(Array(0, float, x.shape, x.strides), Array(0, float, ()), 8)
    assert g(x)[()] == 5.0
    assert missed(g, x.copy())


def test_strides_of_single_elements_are_ignored():
    g = function(on_array(shape=(1, 6), strides=(48, 8)))
    x = np.arange(6.0)
    odd = np.lib.stride_tricks.as_strided(x, (1, 6), (1000, 8))
    np.testing.assert_array_equal(g(odd), 2 * x[None] + 1)


def test_arrays_without_axes():
    g = function(on_array(1, (), ()))
    y = g(np.array(1.5))
    assert type(y) is np.ndarray
    assert y.shape == ()
    assert y == 4.0
    assert missed(g, 1.5)
    assert missed(g, np.float64(1.5))
    assert missed(g, np.array([1.5]))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)])
def test_empty_arrays(shape):
    x = np.zeros(shape)
    g = function(on_array(0, shape, x.strides))
    assert g(x).shape == shape
    assert missed(g, np.zeros((1, *shape)))


def test_dtypes_that_are_copies():
    x = pickle.loads(pickle.dumps(np.arange(6.0)))
    copied = x.dtype.newbyteorder("=") if x.dtype is np.dtype("f8") else x.dtype
    y = np.arange(6.0).view(np.dtype("f8", metadata={"a": 1}))
    np.testing.assert_array_equal(function(on_array())(x), 2 * x + 1)
    np.testing.assert_array_equal(function(on_array())(y), 2 * x + 1)
    g = copies(Array(0, copied, (6,), (8,)), Array(0, copied, (6,)), 48)
    assert g(x).dtype is np.dtype("f8")


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "f2", "f4", "i8", "c8", "c16", "q", "l", "g"])
def test_dtypes(dtype):
    x = np.array([[1, 0, 3]], dtype)
    g = copies(Array(0, dtype, x.shape, x.strides), Array(0, dtype, x.shape), x.nbytes)
    np.testing.assert_array_equal(g(x), x)
    assert g(x).dtype == x.dtype


@pytest.mark.parametrize("dtype", [">f8", object, "S3", "M8[s]", [("a", "f8")]])
def test_dtypes_that_do_not_fit(dtype):
    given = Array(0, dtype, (2,), (8,))
    with pytest.raises(UnsupportedError):
        copies(given, Array(0, float, (2,)), 16)


@pytest.mark.parametrize("value", [3, -1, 10**30, "text", b"text", 1.5, np.float64(1.5), None, True, np.sin, float])
def test_static_arguments(value):
    g = function(entry([(LINE, [1, 0, 1])], IN_OUT, [Number(0, float), Same(value)], Number(0, float)))
    assert g(1.5, value) == 4.0
    for other in (4, "other", 1.0, False, object(), np.float64(2), [], np.arange(3)):
        assert missed(g, 1.5, other)


def test_static_arguments_are_compared_exactly():
    def on(value):
        return function(entry([], [], [Same(value)], Same(None)))

    assert on(10**30)(int("1" + "0" * 30)) is None
    assert on("some text")("".join(["some ", "text"])) is None
    assert on(0.0)(0.0) is None
    assert missed(on(0.0), -0.0)
    assert on(float("nan"))(float("nan")) is None
    assert missed(on(1), True)
    assert missed(on(1), 1.0)
    assert missed(on(1), np.int64(1))
    assert missed(on(True), 1)
    assert missed(on(None), 0)
    mutable = [1]
    assert on(mutable)(mutable) is None
    assert missed(on(mutable), [1])


Pair = namedtuple("Pair", "a b")


def test_nested_structures():
    def lines(count):
        return [(LINE, [1, k, count + k]) for k in range(count)]

    slots = [("input", k) for k in range(5)] + [("output", k) for k in range(5)]
    given = [
        Keys({"a": Items([Number(0, float), Array(1, "f8", (), ())], list), "b": Keys({}), 3: Same(None)}),
        Items([Number(2, float), Items([Number(3, np.float64)]), Items([Same(1), Number(4, float)], Pair), Items([])]),
    ]
    made = Keys(
        {
            "first": Items([Number(0, float), Array(1, "f8", ())], list),
            "rest": Items([Number(2, float), Items([Number(3, np.float64)]), Items([Same(1), Number(4, float)], Pair)]),
            "none": Items([Keys({}), Items([]), Items([], list)]),
        }
    )
    g = function(entry(lines(5), slots, given, made))
    first = {"a": [1.0, np.array(2.0)], "b": {}, 3: None}
    second = (3.0, (np.float64(4.0),), Pair(1, 5.0), ())
    result = g(first, second)
    assert list(result) == ["first", "rest", "none"]
    assert result["first"][0] == 3.0
    assert result["first"][1][()] == 5.0
    assert result["rest"] == (7.0, (9.0,), Pair(1, 11.0))
    assert type(result["rest"][2]) is Pair
    assert result["none"] == ({}, (), [])
    assert g(dict(reversed(first.items())), second)["rest"] == result["rest"]
    assert g(first, second)["none"][0] is not result["none"][0]

    assert missed(g, first | {"c": 1.0}, second)
    assert missed(g, {"a": first["a"], "b": {}}, second)
    assert missed(g, {"a": first["a"], "b": {}, "c": None}, second)
    assert missed(g, {"a": first["a"], "b": {}, 3: 0}, second)
    assert missed(g, {"a": first["a"], "b": {1: 2}, 3: None}, second)
    assert missed(g, {"a": tuple(first["a"]), "b": {}, 3: None}, second)
    assert missed(g, type("D", (dict,), {})(first), second)
    assert missed(g, {"a": [*first["a"], 1.0], "b": {}, 3: None}, second)
    assert missed(g, first, list(second))
    assert missed(g, first, (*second[:2], (1, 5.0), ()))
    assert missed(g, first, second[:3])
    assert missed(g, first, (3.0, (np.float64(4.0),), Pair(2, 5.0), ()))


class Odd:
    """A key that looks like another one to the hash table, and changes the dict when it is compared."""

    def __init__(self, like, act):
        self.hash, self.act = hash(like), act

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        return self.act() if isinstance(other, str) else self is other


def test_keys_that_run_code():
    g = function(entry([(LINE, [6, 0, 1])], IN_OUT, [Keys({"a": Array(0, "f8", (6,), (8,))})], Array(0, "f8", (6,))))

    def fail():
        raise RuntimeError("compared")

    assert missed(g, {Odd("a", fail): np.arange(6.0)})
    given = {}
    given[Odd("a", lambda: bool(given.clear()))] = np.arange(6.0)
    assert missed(g, given)


def test_builders():
    made = Items([Array(0, "f8", (6,)), Same(3)], lambda *items: dict(zip("ab", items, strict=True)))
    g = function(entry([(LINE, [6, 0, 1])], IN_OUT, [Array(0, "f8", (6,), (8,))], made))
    result = g(np.arange(6.0))
    np.testing.assert_array_equal(result["a"], 2 * np.arange(6.0) + 1)
    assert result["b"] == 3


def test_exceptions_of_builders_propagate():
    def build(*items):
        raise KeyError("built")

    given, made = Array(0, "f8", (6,), (8,)), Array(0, "f8", (6,))
    slots = [*IN_OUT, ("output", 1)]
    steps = [(LINE, [6, 0, 1]), (LINE, [6, 0, 2])]
    g = function(entry(steps, slots, [given], Items([made, Items([Same(1)], build), Array(1, "f8", (6,))])))
    x = np.arange(6.0)
    before = sys.getrefcount(x)
    for _ in range(100):
        with pytest.raises(KeyError, match="built"):
            g(x)
    assert sys.getrefcount(x) == before


def test_slots():
    constant = np.array([1.0, 2.0])
    slots = [("fixed", constant.ctypes.data), ("arena", 64), ("input", 0), ("output", 0), ("output", 0), ("input", 0)]
    steps = [(LINE, [2, 2, 1]), (LINE, [2, 1, 3]), (COPY, [8, 0, 4]), (COPY, [8, 5, 1])]
    given, made = Array(0, "f8", (2,), (8,)), Array(0, "f8", (2,))
    g = function(entry(steps, slots, [given], made, arena=128, keep=[constant]))
    np.testing.assert_array_equal(g(np.array([5.0, 6.0])), [1.0, 27.0])


def test_buffers_are_aligned():
    address = Source("""
define i32 @NAME(ptr %slots, ptr %params) {
  %x_at = getelementptr ptr, ptr %slots, i64 0
  %x = load ptr, ptr %x_at
  %y_at = getelementptr ptr, ptr %slots, i64 1
  %y = load ptr, ptr %y_at
  %number = ptrtoint ptr %x to i64
  store i64 %number, ptr %y
  ret i32 0
}
""")
    for size in range(1, 9):
        made = Items([Number(0, int), *[Same(None)] * size])
        g = function(entry([(address, [])], [("arena", 0), ("output", 0)], [], made, arena=8))
        assert g()[0] % 64 == 0


def test_mistakes_are_errors():
    with pytest.raises(ValueError, match="nowhere"):
        entry([], [("input", 1)], [Number(0, float)], Same(None))
    with pytest.raises(ValueError, match="twice"):
        entry([], IN_OUT, [Number(0, float), Number(0, float)], Same(None))
    with pytest.raises(ValueError, match="no slot"):
        entry([], [], [], Array(0, float, (2,)))
    with pytest.raises(ValueError, match="strides"):
        entry([], [], [Array(0, float, (2,))], Same(None))
    with pytest.raises(UnsupportedError, match="keys"):
        entry([], [], [Keys({1.5: Same(None)})], Same(None))
    with pytest.raises(UnsupportedError, match="arguments"):
        entry([], [], [Items([], set)], Same(None))
    with pytest.raises(TypeError, match="Entry"):
        function().entries = [()]


# -- guards, reads and chains ------------------------------------------------------------------------------------------


def test_guards():
    number = entry([(LINE, [1, 0, 1]), (POSITIVE, [1])], IN_OUT, [Number(0, float)], Number(0, float))
    g = function(number)
    assert g(1.5) == 4.0
    assert missed(g, -1.5)
    slots = [*IN_OUT, ("output", 1)]
    made = Items([Array(0, "f8", (6,)), Array(1, "f8", (6,))])
    h = function(entry([(POSITIVE, [0]), (LINE, [6, 0, 1])], slots, [Array(0, "f8", (6,), (8,))], made))
    assert h(np.ones(6))[0][0] == 3.0
    assert missed(h, -np.ones(6))


def test_reads_of_dicts():
    names = {"a": np, "b": 1}
    g = function(
        entry(
            [(LINE, [1, 0, 1])],
            IN_OUT,
            [Number(0, float)],
            Number(0, float),
            reads=[Read(names, "a", Same(np)), Read(names, "b", Same(1)), Read(names, "c", Same(MISSING))],
        )
    )
    assert g(1.5) == 4.0
    names["c"] = 1
    assert missed(g, 1.5)
    del names["c"]
    names["b"] = True
    assert missed(g, 1.5)
    names["b"] = 1
    assert g(1.5) == 4.0
    del names["a"]
    assert missed(g, 1.5)
    names["a"] = np
    assert g(1.5) == 4.0


def test_reads_of_cells_and_functions():
    rate, scale = 0.1, np.ones(2)

    def user(x, y=2):
        return x * rate * scale

    cells = dict(zip(user.__code__.co_freevars, user.__closure__, strict=True))
    reads = [
        Read(user, "__code__", Same(user.__code__)),
        Read(user, "__defaults__", Items([Same(2)])),
        Read(user, "__kwdefaults__", Same(None)),
        Read(user, "__closure__", Same(user.__closure__)),
        Read(cells["rate"], "cell_contents", Same(0.1)),
        Read(cells["scale"], "cell_contents", Same(scale)),
    ]
    g = function(entry([], [], [], Same(None), reads=reads))
    assert g() is None
    rate = 0.2
    assert missed(g)
    rate = float("0.1")
    assert g() is None
    del rate
    assert missed(g)
    rate = 0.1
    scale = np.ones(2)
    assert missed(g)
    scale = reads[-1].pattern.value
    user.__defaults__ = (3,)
    assert missed(g)
    user.__defaults__ = None
    assert missed(g)
    user.__defaults__ = (2,)
    assert g() is None
    user.__kwdefaults__ = {}
    assert missed(g)
    user.__kwdefaults__ = None
    user.__code__ = user.__code__.replace(co_name="other")
    assert missed(g)


def test_reads_that_are_inputs():
    names = {"w": np.arange(6.0)}
    given, made = Array(0, "f8", (6,), (8,)), Array(0, "f8", (6,))
    g = function(entry([(LINE, [6, 0, 1])], IN_OUT, [], made, reads=[Read(names, "w", given)]))
    np.testing.assert_array_equal(g(), 2 * np.arange(6.0) + 1)
    names["w"] = np.ones(6)
    np.testing.assert_array_equal(g(), np.full(6, 3.0))
    names["w"] = np.ones(7)
    assert missed(g)


def test_reads_that_do_not_fit():
    for owner, name in ((f, "__name__"), (Odd, "x"), ([], 0)):
        with pytest.raises(UnsupportedError):
            entry([], [], [], Same(None), reads=[Read(owner, name, Same(1))])


def test_chains():
    first, second, third = on_float(), on_array(6), on_array(4)
    g = function(first, second, third)
    assert g(1.5) == 4.0
    assert g(np.zeros(6)).shape == (6,)
    assert g(np.zeros(4)).shape == (4,)
    assert missed(g, np.zeros(5))
    assert missed(g, None)
    assert g.entries == (first, second, third)
    g.entries = [entry for entry in g.entries if entry is not second]
    assert missed(g, np.zeros(6))
    assert g(np.zeros(4)).shape == (4,)
    g.entries = ()
    assert missed(g, 1.5)


def test_an_entry_lives_while_it_runs():
    def build(x):
        g.entries = ()
        gc.collect()
        return [x]

    g = function(entry([(LINE, [1, 0, 1])], IN_OUT, [Number(0, float)], Items([Number(0, float)], build)))
    assert g(1.5) == [4.0]
    assert missed(g, 1.5)


def test_calls_inside_calls():
    def build(x):
        return (x, g(x)) if x < 100 else (x,)

    g = function(entry([(LINE, [1, 0, 1])], IN_OUT, [Number(0, float)], Items([Number(0, float)], build)))
    assert g(20.0) == (41.0, (83.0, (167.0,)))


def test_memory_that_cannot_be_had():
    g = function(entry([], [], [], Same(None), arena=1 << 62))
    assert missed(g)
    huge = Array(0, "f8", (1 << 45,))
    h = function(entry([(LINE, [1, 0, 1])], IN_OUT, [Number(0, float)], Items([Number(1, float), huge])))
    assert missed(h, 1.5)


# -- the callable ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", [(), (on_float,)])
def test_it_looks_like_a_function(entries):
    def user(x: float, y: int = 2) -> float:
        """What it does."""
        return x

    user.extra = 3
    g = Function(user, user, "gradient of user")
    g.entries = [make() for make in entries]
    assert callable(g)
    assert g.__name__ == "user"
    assert g.__qualname__ == user.__qualname__
    assert g.__module__ == __name__
    assert g.__doc__ == "What it does."
    assert g.__wrapped__ is user
    assert g.extra == 3
    assert repr(g) == "<gradient of user>"
    assert inspect.signature(g) == inspect.signature(user)
    assert copy.copy(g) is g
    assert copy.deepcopy([g])[0] is g
    g.report = lambda: "said"
    assert g.report() == "said"
    assert g(7) == 7
    assert g(x=7) == 7
    assert g.__call__(7) == 7
    assert hash(g) == hash(g)
    with pytest.raises(TypeError, match="missing"):
        g()
    with pytest.raises(TypeError, match="unexpected"):
        g(7, z=3)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(g)
    method = type("C", (), {"g": g, "__init__": lambda self: None})()
    assert method.g() is method


def pickled(x):
    return x


pickled = Function(pickled, pickled, "gradient of pickled")


def test_it_is_pickled_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or inspect.getmodule(f))
    monkeypatch.setattr(sys.modules[__name__], "pickled", pickled, raising=False)
    assert pickle.loads(pickle.dumps(pickled)) is pickled


def test_callables_without_a_name():
    class Model:
        def __call__(self, x):
            return x

    g = Function(Model(), Model(), "gradient of Model")
    assert g(3) == 3
    assert copy.deepcopy(g) is g


def test_subclasses():
    class Kind(Function):
        pass

    g = Kind(fallback, f, "kind of f")
    g.entries = [on_float()]
    assert g(1.5) == 4.0
    assert missed(g, 1)
    assert Kind.__flags__ & (1 << 11)


def test_an_instance_without_its_parts_is_no_crash():
    g = Function.__new__(Function)
    with pytest.raises((AttributeError, TypeError)):
        g(1.0)
    g.entries = [on_float()]
    assert g(1.5) == 4.0
    with pytest.raises(ReferenceError):
        g(1)


def test_cycles_are_collected():
    x = np.arange(6.0)

    def make():
        def user(x):
            return cycle

        def fallback(*args):
            return g

        g = Function(fallback, user, "gradient of user")
        user.gradient = g
        cycle = {"g": g}
        reads = [Read(cycle, "g", Same(g)), Read(fallback.__closure__[0], "cell_contents", Same(g))]
        g.entries = [on_array(reads=reads, keep=[g, cycle]), on_float()]
        assert g(x)[1] == 3.0
        assert g(1) is g
        return weakref.ref(g), weakref.ref(user)

    watched = make()
    gc.collect()
    assert [it() for it in watched] == [None, None]


def test_calls_while_it_is_collected():
    """A finalizer of the same cycle calls the function, before and after its parts are cleared."""
    seen = []

    class Last:
        def __init__(self, g):
            self.g = g

        def __del__(self):
            seen.append(self.g(1.5))

    for _ in range(20):
        g = Function(lambda *args: args, f, "gradient of f")
        last = Last(g)
        g.entries = [entry([(LINE, [1, 0, 1])], IN_OUT, [Number(0, float)], Number(0, float), keep=[last])]
        del g, last
        gc.collect()
    assert seen == [4.0] * 20


# -- leaks, threads, exceptions ----------------------------------------------------------------------------------------


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def big():
    """Twenty arrays in a dict, to the same."""
    slots = [("input", k) for k in range(20)] + [("output", k) for k in range(20)]
    given = [Keys({f"w{k}": Array(k, "f8", (k,), (8,)) for k in range(20)})]
    made = Keys({f"w{k}": Array(k, "f8", (k,)) for k in range(20)})
    steps = [(LINE, [k, k, 20 + k]) for k in range(20)]
    return function(entry(steps, slots, given, made))


def test_twenty_arrays():
    given = {f"w{k}": np.random.default_rng(k).standard_normal(k) for k in range(20)}
    result = big()(given)
    assert list(result) == list(given)
    for key, value in given.items():
        np.testing.assert_array_equal(result[key], 2 * value + 1)


def test_reference_counts_stay():
    kinds = (np.dtype("f8"), np.float64, Pair, np.ndarray)
    made = Items([Number(0, np.float64), Array(1, "f8", (6,)), Items([Same(MISSING), Number(2, float)], Pair)])
    slots = [*[("input", k) for k in range(3)], *[("output", k) for k in range(3)]]
    steps = [(LINE, [1, 0, 3]), (LINE, [6, 1, 4]), (LINE, [1, 2, 5]), (POSITIVE, [0])]
    second = Items([Array(1, "f8", (6,), (8,)), Number(2, float)], list)
    given = Keys({"key one": Number(0, np.float64), "key two": second})
    argument = {"key one": np.float64(1.5), "key two": [np.arange(6.0), 2.5]}
    negative = argument | {"key one": np.float64(-1.5)}
    wrong = argument | {"key two": [np.arange(6.0), 2]}
    g = function(entry(steps, slots, [given], made))
    table = big()
    arrays = {f"w{k}": np.zeros(k) for k in range(20)}
    watched = [
        *kinds, *argument, *argument.values(), argument, negative, wrong, MISSING, g, g.entries, *g.entries[0],
        argument["key two"][0], argument["key two"][1], arrays, *arrays, *arrays.values(), table, *table.entries[0],
    ]  # fmt: skip

    def work(count):
        for _ in range(count):
            g(argument)
            table(arrays)
            for bad in (negative, wrong, None):
                missed(g, bad)

    work(10)
    gc.collect()
    before = [sys.getrefcount(it) for it in watched]
    work(1000)
    gc.collect()
    after = [sys.getrefcount(it) for it in watched]
    assert after == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat():
    x = np.arange(1000.0)
    g = function(on_array(1000))
    table = big()
    arrays = {f"w{k}": np.zeros(k) for k in range(20)}

    def work(count):
        for _ in range(count):
            g(x)
            table(arrays)
            missed(g, None)

    work(10_000)
    before = resident()
    work(100_000)
    assert resident() - before < 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_entries_are_freed():
    x = np.zeros(6)

    def work(count):
        for _ in range(count):
            function(on_array(arena=100_000))(x)

    work(100)
    before = resident()
    work(2000)  # 200 MB if their blocks were kept
    assert resident() - before < 4 << 20


@pytest.mark.parametrize("unlock", [False, True])
def test_threads(unlock):
    size = 500
    given, made = Array(0, "f8", (size,), (8,)), Array(0, "f8", (size,))
    slots = [*IN_OUT, ("arena", 0)]
    steps = [(LINE, [size, 0, 2]), (LINE, [size, 2, 1])]
    twice = entry(steps, slots, [Items([given], list)], made, arena=8 * size, unlock=unlock)
    g = function(twice, fallback=lambda given: 2 * (2 * given[0] + 1) + 1)
    wrong = []
    start = threading.Barrier(9)

    def work(seed):
        rng = np.random.default_rng(seed)
        start.wait()
        for _ in range(300):
            x = rng.standard_normal(size)
            if not np.array_equal(g([x]), 2 * (2 * x + 1) + 1):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    while any(thread.is_alive() for thread in threads):
        g.entries = ()
        g.entries = (twice,)
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_unlocked_program_holds_its_inputs():
    """Another thread empties the list while the program runs."""
    size = 2_000_000
    given, made = Array(0, "f8", (size,), (8,)), Array(0, "f8", (size,))
    steps = [(LINE, [size, 0, 1])] * 20
    g = function(entry(steps, IN_OUT, [Items([given], list)], made, unlock=True))
    seen = []
    for _ in range(3):
        argument = [np.zeros(size)]
        thread = threading.Thread(target=lambda a=argument: seen.append(g(a)), daemon=True)
        thread.start()
        argument.clear()
        thread.join()
    assert all((y == 1.0).all() for y in seen)


def test_exceptions_of_the_fallback():
    g = function(on_float(), on_array())
    x = np.zeros(3)
    before = sys.getrefcount(x)
    for _ in range(100):
        with pytest.raises(Fallback):
            g(x)
        assert g(1.5) == 4.0
    assert sys.getrefcount(x) == before


SCRIPT = """
import gc, sys
sys.path[:0] = {paths!r}
import numpy as np
import test_entry as t

for make in (t.on_float, t.on_array):
    g = t.function(make())
    for x in (1.5, np.arange(6.0), None, 1):
        t.missed(g, x)
kept = g, t.big()  # outlive the modules
t.test_nested_structures(); t.test_reference_counts_stay(); t.test_guards(); t.test_chains()
t.test_builders(); t.test_exceptions_of_builders_propagate(); t.test_keys_that_run_code(); t.test_cycles_are_collected()
t.test_calls_while_it_is_collected(); t.test_memory_that_cannot_be_had(); t.test_threads(True)
class Late:
    def __del__(self, g=g, x=np.arange(6.0)):
        assert g(x)[1] == 3.0
late = Late()
late.itself = late
print("done")
"""


@pytest.mark.parametrize("options", [["-X", "dev"], []])
def test_with_a_checking_allocator(options, tmp_path):
    """In another process, which ends with entries alive."""
    from pathlib import Path

    script = tmp_path / "script.py"
    paths = [path for path in sys.path if path] + [str(Path(__file__).parent)]
    script.write_text(textwrap.dedent(SCRIPT.format(paths=paths)))
    environment = {"PYTHONMALLOC": "debug", "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, *options, str(script)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert "Error" not in done.stderr
