import copy
import dataclasses
import pickle
import threading
import time
from collections import OrderedDict, defaultdict, namedtuple
from functools import cached_property, partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopgrad import errors, tree
from hopgrad.errors import HopgradError, ShapeError

Point = namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Layer:
    W: object
    bias: object = 0.0


@dataclasses.dataclass
class Checked:
    scale: float
    square: float = dataclasses.field(init=False)

    def __post_init__(self):
        if self.scale <= 0:
            raise ValueError("scale must be positive")
        self.square = self.scale**2

    @cached_property
    def cube(self):
        return self.scale**3


@dataclasses.dataclass(slots=True)
class Slotted:
    a: object
    late: object = dataclasses.field(init=False)


@dataclasses.dataclass
class ArrayLike:
    data: list

    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype)


CASES = [
    (1.0, [1.0], ["x"]),
    ("text", ["text"], ["x"]),
    (None, [], []),
    ([], [], []),
    ([1, (2, [3])], [1, 2, 3], ["x[0]", "x[1][0]", "x[1][1][0]"]),
    ({"W": [1], "b": None}, [1], ['x["W"][0]']),
    ({0: 1, (1, 2): 2}, [1, 2], ["x[0]", "x[(1, 2)]"]),
    (OrderedDict(b=1, a=2), [1, 2], ['x["b"]', 'x["a"]']),
    (defaultdict(list, a=1), [1], ['x["a"]']),
    (Point(1, [2]), [1, 2], ["x.x", "x.y[0]"]),
    ({"W": [Layer(1, 2)]}, [1, 2], ['x["W"][0].W', 'x["W"][0].bias']),
    (Checked(3.0), [3.0, 9.0], ["x.scale", "x.square"]),
]


@pytest.mark.parametrize(("value", "leaves", "shown"), CASES, ids=lambda case: repr(case)[:30])
def test_round_trip(value, leaves, shown):
    found, structure = tree.flatten(value)
    assert found == leaves
    assert structure.num_leaves == len(leaves)
    assert [tree.format_path(path) for path in tree.paths(structure)] == shown
    rebuilt = tree.unflatten(structure, found)
    assert rebuilt == value
    assert type(rebuilt) is type(value)
    assert tree.flatten_like(structure, value) == leaves


nested = st.recursive(
    st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Layer, inner, inner)
    ),
    max_leaves=20,
)


@given(nested)
def test_any_nesting_round_trips(value):
    leaves, structure = tree.flatten(value)
    assert tree.unflatten(structure, leaves) == value
    assert all(type(leaf) is int for leaf in leaves)
    again = tree.flatten(copy.deepcopy(value))[1]
    assert again == structure
    assert hash(again) == hash(structure)
    assert tree.flatten_like(structure, value) == leaves
    assert tree.map(lambda a, b: a - b, value, value) == tree.unflatten(structure, [0] * len(leaves))
    # Each path leads to its leaf when it is run as code.
    for path, leaf in zip(tree.paths(structure), leaves, strict=True):
        assert eval(tree.format_path(path), {"x": value}) == leaf


def test_structures_can_be_keys():
    def structure(value):
        return tree.flatten(value)[1]

    assert {structure([1, {"a": 2}]): "hit"}[structure([8, {"a": 9}])] == "hit"
    different = [
        1,
        [1],
        (1,),
        {"a": 1},
        {"b": 1},
        OrderedDict(a=1),
        None,
        [None],
        Point(1, 2),
        [1, [2]],
        [[1, 2]],
    ]
    assert len({structure(value) for value in different}) == len(different)
    # The order of the keys is the order of the leaves, so it counts.
    assert structure({"a": 1, "b": 2}) != structure({"b": 2, "a": 1})
    assert pickle.loads(pickle.dumps(structure(Layer([1], 2)))) == structure(Layer([1], 2))


def test_repr():
    value = {"W": [1, (2,), ()], 0: None, "p": Point(1, Layer(2, 3))}
    assert repr(tree.flatten(OrderedDict(k=1))[1]) == 'Structure(OrderedDict("k": *))'
    assert repr(tree.flatten(value)[1]) == (
        'Structure({"W": [*, (*,), ()], 0: None, "p": Point(x=*, y=Layer(W=*, bias=*))})'
    )
    assert len(repr(tree.flatten(list(range(10_000)))[1])) < 300


def test_names_and_kinds_of_keys():
    path = tree.paths(tree.flatten({"W": [Layer(1)]})[1])[0]
    assert [(key.kind, key.value, key.name) for key in path] == [
        ("item", "W", "W"),
        ("index", 0, "0"),
        ("attribute", "W", "W"),
    ]
    assert tree.format_path(path, "params") == 'params["W"][0].W'


def test_dicts_match_by_key_and_keep_the_first_order():
    result = tree.map(lambda a, b: (a, b), {"b": 1, "a": 2}, {"a": 20, "b": 10})
    assert list(result.items()) == [("b", (1, 10)), ("a", (2, 20))]
    result = tree.map(lambda a, b: a + b, defaultdict(int, a=1), defaultdict(lambda: 5, a=2))
    assert result == {"a": 3}
    assert result.default_factory is int


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1], 1, "nesting differs at tree: expected [*], got a leaf"),
        (1, None, "nesting differs at tree: expected a leaf, got None"),
        ([1, [2]], [1, (2,)], "nesting differs at tree[1]: expected [*], got (*,)"),
        ({"W": [1, 2]}, {"W": [1]}, 'nesting differs at tree["W"]: expected [*, *], got [*]'),
        ({"a": 1}, {"b": 1}, 'nesting differs at tree: expected {"a": *}, got {"b": *}'),
        ([{"p": Layer(1, [2])}], [{"p": Layer(1, 2)}], 'at tree[0]["p"].bias: expected [*], got a leaf'),
    ],
)
def test_mismatch_names_the_path(first, second, message):
    with pytest.raises(ShapeError) as caught:
        tree.map(lambda a, b: a, first, second)
    assert message in str(caught.value)


def test_wrong_number_of_leaves():
    with pytest.raises(ShapeError, match="has 2 leaves, got 1"):
        tree.unflatten(tree.flatten([1, 2])[1], [1])


def test_only_exact_types_and_values_are_containers():
    class MyList(list):
        pass

    for leaf in [MyList([1]), np.zeros(2), Layer, "ab", {1, 2}, ArrayLike([1])]:
        assert tree.flatten(leaf)[0][0] is leaf


def test_dataclass_is_rebuilt_without_running_its_checks():
    original = Checked(2.0)
    assert original.cube == 8.0
    negative = tree.map(lambda leaf: -leaf, original)
    assert (negative.scale, negative.square) == (-2.0, -4.0)
    assert negative.cube == -8.0  # computed anew, not copied from the original
    assert type(tree.map(str, Layer(1, 2))) is Layer
    unset = tree.map(str, Slotted(1))
    assert unset.a == "1"
    assert not hasattr(unset, "late")


def test_register():
    class Box:
        def __init__(self, items, label):
            self.items, self.label = items, label

    tree.register(Box, lambda box: (box.items, box.label), lambda label, items: Box(items, label))
    leaves, structure = tree.flatten([Box([1, [2]], "a")])
    assert leaves == [1, 2]
    assert [tree.format_path(path) for path in tree.paths(structure)] == ["x[0][0]", "x[0][1][0]"]
    assert tree.unflatten(structure, "xy")[0].label == "a"
    assert structure != tree.flatten([Box([1, [2]], "b")])[1]
    with pytest.raises(ShapeError, match=r"at tree\[0\]"):
        tree.map(lambda a, b: a, [Box([1], "a")], [Box([1], "b")])
    for taken in (Box, list, type(None)):
        with pytest.raises(ValueError, match="already a container"):
            tree.register(taken, lambda value: ([], None), lambda static, children: None)


def test_register_from_many_threads():
    class Once:
        pass

    outcomes = []
    barrier = threading.Barrier(8)

    def run():
        barrier.wait()
        try:
            tree.register(Once, lambda value: ((), None), lambda static, children: Once())
            outcomes.append(True)
        except ValueError:
            outcomes.append(False)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_deep_nesting():
    depth = 100_000
    value = 1.0
    for _ in range(depth):
        value = [value]
    start = time.perf_counter()
    leaves, structure = tree.flatten(value)
    assert leaves == [1.0]
    assert hash(structure) == hash(tree.flatten(value)[1])
    assert structure == tree.flatten(value)[1]
    result = tree.map(lambda a, b: a + b, value, value)
    for _ in range(depth):
        (result,) = result
    assert result == 2.0
    assert len(tree.paths(structure)[0]) == depth
    assert repr(structure).startswith("Structure([[[[")
    with pytest.raises(ShapeError):
        tree.flatten_like(structure, tree.unflatten(structure, [[]]))
    assert time.perf_counter() - start < 20


def test_value_that_contains_itself():
    loop = [1]
    loop.append({"again": (loop,)})
    with pytest.raises(ValueError, match="a list contains itself"):
        tree.flatten(loop)
    shared = [1]
    assert tree.flatten([shared, shared, (), ((), None)])[0] == [1, 1]


def test_every_error_is_a_hopgrad_error_and_a_built_in_one():
    built_in = {
        "TraceError": TypeError,
        "AxisError": IndexError,
        "ShapeError": ValueError,
        "DtypeError": TypeError,
        "NotDifferentiableError": TypeError,
        "ExpressionError": ValueError,
        "GraphError": AssertionError,
        "LoopError": RuntimeError,
    }
    assert set(errors.__all__) == {*built_in, "HopgradError", "NativeCodeWarning", "RetraceWarning"}
    for name, base in built_in.items():
        assert issubclass(getattr(errors, name), HopgradError)
        assert issubclass(getattr(errors, name), base)


def test_map_accepts_partials_and_single_trees():
    assert tree.map(partial(max, 3), (1, 5)) == (3, 5)
