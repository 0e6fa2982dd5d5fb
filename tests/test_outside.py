"""Plain Python and NumPy code, as people write it: what a traced function reads from outside is right, and is seen."""

import abc
import contextlib
import dataclasses
import functools
import math
import sys
import types
from collections.abc import Callable, Iterator
from math import exp, sin
from typing import Any, NamedTuple

import numpy as np
import numpy.linalg as la
import pytest
from numpy import array, zeros

import hopgrad as hg

RATE = 2.0
BASIS = np.array([1.0, 2.0, 3.0])
X = np.array([0.5, -1.0, 2.0])


def gradient(f: Callable[..., Any], x: Any) -> Any:
    """Central differences."""
    x = np.asarray(x, float)
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-6
        found[place] = (f((x + step)[()]) - f((x - step)[()])) / 2e-6
    return found


def agree(f: Callable[..., Any], x: Any = X) -> None:
    """Value and gradient are right, at two calls of one transform."""
    g = hg.value_and_grad(f)
    for at in (x, x * 1.5, x):
        value, derivative = g(at)
        assert value == f(at)
        np.testing.assert_allclose(derivative, gradient(f, at), rtol=1e-6, atol=1e-8)


def replayed(g: Any) -> int:
    return sum(int(line.split()[-2]) for line in g.report().splitlines() if "replayed" in line)


# -- NumPy's and Python's own functions ------------------------------------------------------------------------------


def test_arrays_are_filled_with_traced_values() -> None:
    def f(x: Any) -> Any:
        a = np.zeros(3)
        b = zeros((2, 3))
        c = np.empty_like(a)
        for i in range(3):
            a[i] = x[i] ** 2
            b[0, i] = x[i] * a[i]
            c[i] = np.sin(x[i])
        b[1] = a + c
        return np.sum(b * array([x, c]))

    agree(f)


def test_python_numbers_and_math() -> None:
    def f(x: Any) -> Any:
        return math.sqrt(x) * sin(x) + exp(-x) * float(x) + abs(x) ** 1.5 + sum([x, x * x]) + max(x, 1.0) + round(x, 2)

    value, derivative = hg.value_and_grad(f)(1.3)
    assert value == pytest.approx(f(1.3), rel=1e-15)
    assert type(value) is float
    smooth = gradient(lambda x: f(x) - round(float(x), 2), 1.3)
    assert derivative == pytest.approx(float(smooth), rel=1e-6)


def test_imports_inside_of_functions() -> None:
    def f(x: Any) -> Any:
        import math as m

        import numpy as xp
        from numpy import full, ones

        a = ones(3)
        a[1] = m.cos(x[1])
        b = xp.zeros(3)
        b[:] = full(3, x[0])
        return (a * b).sum()

    agree(f)


def test_other_names_of_numpys_modules() -> None:
    agree(lambda x: la.norm(x) + np.linalg.norm(np.asarray([x[0], x[1]])))


def test_shadowed_names_are_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "sum", lambda v: v[0] * 10)
    agree(lambda x: sum(x) + len(x))


# -- functions -------------------------------------------------------------------------------------------------------


def filled(x: Any, n: int = 3) -> Any:
    a = np.zeros(n)
    a[:] = x
    return a


def decorated(f: Any) -> Any:
    @functools.wraps(f)
    def inner(*args: Any, **keywords: Any) -> Any:
        buffer = np.zeros(1)
        buffer[0] = np.sum(f(*args, **keywords))
        return buffer[0] * RATE

    return inner


@decorated
def loss(x: Any) -> Any:
    return filled(x) ** 2


def fibonacci(n: int, x: Any) -> Any:
    return x if n < 2 else fibonacci(n - 1, x) + fibonacci(n - 2, x) * x


def rows(x: Any) -> Iterator[Any]:
    for i in range(len(x)):
        a = np.zeros(2)
        a[0] = x[i]
        yield a


@contextlib.contextmanager
def scope(x: Any) -> Iterator[Any]:
    yield filled(x)


def test_helpers_decorators_recursion_generators_and_contexts() -> None:
    agree(lambda x: np.sum(filled(x) ** 2))
    agree(loss)
    agree(lambda x: fibonacci(6, x), 0.7)
    agree(lambda x: np.sum(np.stack([r**2 for r in rows(x)])))

    def with_context(x: Any) -> Any:
        with scope(x) as a:
            return np.sum(a**3)

    agree(with_context)


def test_closures_partials_and_functions_as_arguments() -> None:
    weights = np.array([3.0, 2.0, 1.0])

    def weigh(x: Any) -> Any:
        out = np.empty(3)
        out[:] = x * weights
        return out

    def apply(f: Any, x: Any) -> Any:
        return np.sum(f(x))

    agree(functools.partial(apply, weigh))
    agree(lambda x: apply(functools.partial(filled, n=3), x))
    g = hg.grad(lambda x, f: np.sum(f(x)))
    np.testing.assert_array_equal(g(X, weigh), weights)
    np.testing.assert_array_equal(g(X, filled), np.ones(3))
    np.testing.assert_array_equal(g(X, weigh), weights)


def test_mutual_recursion_in_a_closure() -> None:
    def even(n: int, x: Any) -> Any:
        return x if n == 0 else odd(n - 1, x) * x

    def odd(n: int, x: Any) -> Any:
        return x + 1 if n == 0 else even(n - 1, x) + x

    agree(lambda x: even(5, x), 0.8)


def test_shared_variables_of_closures() -> None:
    total: Any = 0.0
    count = 0

    def add(v: Any) -> None:
        nonlocal total, count
        total = total + v
        count += 1

    def f(x: Any) -> Any:
        nonlocal total
        total = 0.0
        for v in x:
            add(v**2)
        return total * count

    g = hg.grad(f)
    np.testing.assert_array_equal(g(X), 2 * X * 3)
    assert (total, count) == (np.sum(X**2), 3)
    np.testing.assert_array_equal(g(X), 2 * X * 6)
    assert count == 6


def test_a_function_may_keep_state_in_its_attributes() -> None:
    def f(x: Any) -> Any:
        f.calls += 1  # type: ignore[attr-defined]
        return x * f.calls  # type: ignore[attr-defined]

    f.calls = 0  # type: ignore[attr-defined]
    g = hg.grad(f)
    assert [g(1.0), g(1.0), g(1.0)] == [1.0, 2.0, 3.0]


def test_a_function_made_inside_can_be_returned_and_used() -> None:
    def f(x: Any) -> Any:
        def later(t: float) -> Any:
            return np.zeros(2) + t * RATE

        return x * 2, later

    _, later = hg.grad(f, has_aux=True)(1.0)
    np.testing.assert_array_equal(later(3.0), [6.0, 6.0])


def test_class_bodies_and_eval_inside_of_functions() -> None:
    def f(x: Any) -> Any:
        class Local:
            base = np.zeros(3)
            rate = RATE

        return np.sum((x + Local.base) * Local.rate) * eval("RATE")

    agree(f)


# -- classes ---------------------------------------------------------------------------------------------------------


class Layer(abc.ABC):
    scale = 1.0

    def __init__(self, n: int) -> None:
        self.buffer = np.zeros(n)
        self.calls = 0

    @abc.abstractmethod
    def forward(self, x: Any) -> Any: ...

    def __call__(self, x: Any) -> Any:
        return self.forward(x) * self.scale


class Square(Layer):
    def __init__(self, n: int, factor: float = 2.0) -> None:
        super().__init__(n)
        self.factor = factor

    @property
    def twice(self) -> float:
        return 2 * self.factor

    @staticmethod
    def raised(x: Any) -> Any:
        out = np.zeros_like(x)
        out[:] = x**2
        return out

    @classmethod
    def of(cls, n: int) -> "Square":
        return cls(n, 3.0)

    def forward(self, x: Any) -> Any:
        self.buffer[:] = self.raised(x)
        return self.buffer * self.twice


class Network:
    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self.names = {"first": layers[0]}
        self.weights = {"w": np.array([1.0, 2.0, 3.0])}

    def loss(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return np.sum(x * self.weights["w"])


def test_objects_made_inside() -> None:
    def f(x: Any) -> Any:
        layer = Square(3)
        assert isinstance(layer, Square)
        assert isinstance(layer, Layer)
        assert type(layer) is Square
        return np.sum(layer(x)) + np.sum(Square.of(3)(x))

    agree(f)


def test_objects_from_outside() -> None:
    net = Network([Square(3), Square(3, 0.5)])
    g = hg.grad(net.loss)
    expected = 4 * X**3 * 4**2 * 1.0 * net.weights["w"]
    np.testing.assert_allclose(g(X), expected)
    np.testing.assert_array_equal(net.layers[0].buffer, X**2)
    np.testing.assert_array_equal(net.layers[1].buffer, (4 * X**2) ** 2)
    assert type(net.layers[0]) is Square
    assert type(net.layers[0].buffer) is np.ndarray
    net.layers[0].factor = 1.0
    np.testing.assert_allclose(g(X), expected / 4)
    net.weights["w"][0] = 10.0
    np.testing.assert_allclose(g(X)[0], expected[0] / 4 * 10)
    Layer.scale = 2.0
    try:
        np.testing.assert_allclose(g(X)[0], expected[0] / 4 * 10 * 8)
    finally:
        Layer.scale = 1.0
    assert replayed(g) == 1  # the array's new contents needed no new trace


def test_state_of_objects_is_checked_at_each_call() -> None:
    class Holder:
        k = 1.0

        def __init__(self) -> None:
            self.rate = 2.0

        def loss(self, x: Any) -> Any:
            return x * self.rate * self.k * getattr(self, "extra", 1.0)

    holder = Holder()
    g = hg.grad(holder.loss)
    assert [g(1.0), g(2.0)] == [2.0, 2.0]
    assert replayed(g) == 1
    holder.rate = 3.0
    assert g(1.0) == 3.0
    Holder.k = 2.0
    assert g(1.0) == 6.0
    holder.extra = 10.0  # type: ignore[attr-defined]
    assert g(1.0) == 60.0
    holder.k = 5.0
    assert g(1.0) == 150.0
    Holder.loss = lambda self, x: x * 7  # type: ignore[method-assign]
    assert hg.grad(holder.loss)(1.0) == 7.0
    assert hg.grad(lambda x: holder.loss(x))(1.0) == 7.0


def test_methods_that_change_their_object_do_so_at_each_call() -> None:
    class Counter:
        def __init__(self) -> None:
            self.calls = 0
            self.history: list[Any] = []
            self.last: Any = None

        def loss(self, x: Any) -> Any:
            self.calls += 1
            self.last = x * 2
            self.history.append(x)
            self.history.append(self)
            return x * self.calls

    counter = Counter()
    g = hg.grad(counter.loss)
    assert [g(1.0), g(2.0)] == [1.0, 2.0]
    assert counter.calls == 2
    assert counter.last == 4.0
    assert type(counter.last) is float
    assert counter.history == [1.0, counter, 2.0, counter]
    assert counter.history[1] is counter


def test_objects_that_leave_the_function_are_of_the_users_class() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        layer = Square(3)
        value = np.sum(layer(x))
        kept.append(layer)
        return value, layer

    _, layer = hg.grad(f, has_aux=True)(X)
    for found in (layer, kept[0]):
        assert type(found) is Square
        np.testing.assert_array_equal(found.buffer, X**2)
        assert type(found.buffer) is np.ndarray


@dataclasses.dataclass
class Parameters:
    w: Any
    rate: float = 2.0

    def predict(self, x: Any) -> Any:
        out = np.zeros(3)
        out[:] = x * self.w
        return out * self.rate

    def doubled(self) -> "Parameters":
        return dataclasses.replace(self, w=self.w * 2)


def test_dataclasses_as_arguments_and_captured() -> None:
    p = Parameters(BASIS.copy())
    found = hg.grad(lambda p, x: np.sum(p.predict(x)))(p, X)
    assert type(found) is Parameters
    np.testing.assert_array_equal(found.w, 2 * X)
    assert found.rate == np.sum(X * BASIS)
    np.testing.assert_array_equal(hg.grad(lambda x, p: np.sum(p.predict(x)))(X, p), 2 * BASIS)
    g = hg.grad(lambda x: np.sum(p.doubled().predict(x)))
    np.testing.assert_array_equal(g(X), 4 * BASIS)
    p.rate = 3.0
    np.testing.assert_array_equal(g(X), 6 * BASIS)
    _, made = hg.value_and_grad(lambda x: (np.sum(x), Parameters(x, 1.0)), has_aux=True)(X)[0]
    assert type(made) is Parameters
    np.testing.assert_array_equal(made.w, X)


class Pair(NamedTuple):
    first: Any
    second: Any

    def product(self) -> Any:
        return self.first * self.second


def test_named_tuples() -> None:
    pair = Pair(2.0, BASIS)
    agree(lambda x: np.sum(Pair(x, pair.second).product()) * pair.first)


def test_isinstance_and_equality_take_the_branch_of_plain_python() -> None:
    shared = Square(3)
    layers = [shared, Square(3, 5.0)]
    table = {"a": shared}
    pool = {shared}

    def f(x: Any) -> Any:
        assert layers[0] is table["a"]
        assert layers[0] == shared
        assert layers[0] != layers[1]
        assert isinstance(shared, Layer)
        assert isinstance(layers[1], Square)
        assert not isinstance(shared, Network)
        assert issubclass(Square, Layer)
        assert shared in pool
        assert type(shared) is Square
        assert shared.__class__ is Square
        assert isinstance(x, np.ndarray)
        assert type(x) is np.ndarray
        return np.sum(x * len(pool))

    agree(f)


class Vector:
    __slots__ = ("x", "y")

    def __init__(self, x: Any, y: Any) -> None:
        self.x = x
        self.y = y

    def __add__(self, other: "Vector") -> "Vector":
        return Vector(self.x + other.x, self.y + other.y)

    def dot(self, other: "Vector") -> Any:
        both = np.zeros(2)
        both[0] = self.x * other.x
        both[1] = self.y * other.y
        return np.sum(both)


class Weighted(Vector):
    __slots__ = ("w",)

    def dot(self, other: Vector) -> Any:
        return super().dot(other) * self.w


def test_objects_with_slots() -> None:
    up = Weighted(1.0, 2.0)
    up.w = 3.0

    def f(x: Any) -> Any:
        v = Vector(x, x * x) + up
        return up.dot(v), v

    g = hg.value_and_grad(f, has_aux=True)
    for w in (3.0, 3.0, 5.0):
        up.w = w
        (value, v), derivative = g(0.5)
        assert value == pytest.approx(w * (1.5 + 2 * 2.25))
        assert derivative == pytest.approx(w * (1 + 4 * 0.5))
        assert type(v) is Vector
        assert v.y == 2.25

    def moved(x: Any) -> Any:
        up.x = x * 2
        return up.dot(up)

    h = hg.grad(moved)
    assert [h(1.0), h(2.0)] == [40.0, 80.0]
    assert up.x == 4.0


REGISTRY: list[type] = []


class Plugin:
    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        REGISTRY.append(cls)


class Scaled(Plugin):
    def run(self, x: Any) -> Any:
        a = np.zeros(3)
        a[:] = x * RATE
        return a


def test_hooks_for_subclasses_are_not_called_for_copies() -> None:
    plugin = Scaled()
    agree(lambda x: np.sum(plugin.run(x) + Scaled().run(x)))
    assert [Scaled] == REGISTRY


def test_keys_and_members_that_are_functions_classes_and_objects() -> None:
    layer = Square(3)
    rates = {filled: 2.0, Square: 3.0, layer: 4.0, "name": 5.0}
    chosen = {filled, layer}

    def f(x: Any) -> Any:
        assert fibonacci not in rates
        assert filled in chosen
        assert layer in chosen
        return np.sum(x * (rates[filled] + rates[Square] + rates[layer] + rates.get("name", 0.0)))

    agree(f)


class Counting:
    def __init__(self) -> None:
        self.reads = 0

    def __get__(self, owner: Any, cls: Any = None) -> Any:
        self.reads += 1
        return self.reads


@functools.cache
def binomial(n: int, k: int) -> int:
    return 1 if k in (0, n) else binomial(n - 1, k - 1) + binomial(n - 1, k)


@functools.cache
def legendre(n: int, x: Any) -> Any:
    return x**n if n < 2 else ((2 * n - 1) * x * legendre(n - 1, x) - (n - 1) * legendre(n - 2, x)) / n


@functools.lru_cache
def workspace(n: int) -> Any:
    return np.zeros(n)


class Tabulated:
    @functools.lru_cache  # noqa: B019
    def times(self, k: Any) -> Any:
        return k * 2.0


TABULATED = Tabulated()


def test_functions_with_a_cache() -> None:
    """They are computed once for each argument, a traced number too, and their own caches serve plain ones."""
    binomial.cache_clear()
    agree(lambda x: binomial(40, 20) * 1e-9 * x + legendre(30, x) + legendre(30, x), 0.3)
    assert binomial.cache_info().currsize == 440
    agree(lambda x: np.sum(x) * TABULATED.times(3) + TABULATED.times(x[0]) * TABULATED.times(x[0]))

    def inside(x: Any) -> Any:
        @functools.cache
        def doubled(n: int, value: Any) -> Any:
            return value if n == 0 else doubled(n - 1, value) + doubled(n - 1, value)

        return doubled(30, x) * 1e-9 + doubled.cache_info().currsize

    agree(inside, 0.7)

    def kept(x: Any) -> Any:
        workspace(3)[0] += 1.0
        workspace(3)[1:] = x[1:]
        return np.sum(workspace(3) * x)

    g = hg.value_and_grad(kept)
    for count in (1.0, 2.0, 3.0):
        value, slope = g(X)
        now = workspace(3)
        wanted = [count, 2 * X[1], 2 * X[2]]
        np.testing.assert_allclose(slope, wanted)
        np.testing.assert_array_equal(now, [count, X[1], X[2]])
        assert value == np.sum(now * X)

    def cleared(x: Any) -> Any:
        binomial.cache_clear()
        return x * binomial(4, 2) + binomial.cache_info().currsize

    assert hg.value_and_grad(cleared)(2.0) == (cleared(2.0), 6.0)


def test_descriptors_and_cached_properties() -> None:
    class Owner:
        count = Counting()

        @functools.cached_property
        def table(self) -> Any:
            a = np.zeros(3)
            a[:] = BASIS * RATE
            return a

    owner = Owner()
    g = hg.grad(lambda x: np.sum(x * owner.count))
    assert [g(X)[0], g(X)[0]] == [1.0, 2.0]
    agree(lambda x: np.sum(x * owner.table))
    assert type(vars(owner)["table"]) is np.ndarray


def test_assignments_to_attributes_of_a_class() -> None:
    class Settings:
        rate = 1.0
        last: Any = None

    def f(x: Any) -> Any:
        Settings.rate += 1.0
        Settings.last = x * 2
        return x * Settings.rate

    g = hg.grad(f)
    assert [g(1.0), g(2.0)] == [2.0, 3.0]
    assert Settings.rate == 3.0
    assert Settings.last == 4.0


# -- containers and modules ------------------------------------------------------------------------------------------


def test_captured_containers_of_arrays() -> None:
    params: dict[str, Any] = {"w": [np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0])], "name": "a"}
    log: list[Any] = [np.zeros(3)]

    def f(x: Any) -> Any:
        for w in params["w"]:
            x = x * w
        log[0][:] = x
        log.append(np.sum(x))
        params["seen"] = len(log)
        return np.sum(x)

    g = hg.grad(f)
    np.testing.assert_array_equal(g(X), [1.0, 2.0, 3.0])
    params["w"][0][0] = 5.0
    np.testing.assert_array_equal(g(X), [5.0, 2.0, 3.0])
    params["w"].append(np.array([2.0, 2.0, 2.0]))
    np.testing.assert_array_equal(g(X), [10.0, 4.0, 6.0])
    np.testing.assert_array_equal(log[0], X * [10.0, 4.0, 6.0])
    assert len(log) == 4
    assert params["seen"] == 4
    assert type(log[-1]) is np.float64


def test_aliases_among_what_is_captured() -> None:
    held = types.SimpleNamespace()
    table = {"a": np.zeros(3)}
    same = table["a"]

    class Owner:
        def __init__(self) -> None:
            self.a = same

    owner = Owner()

    def f(x: Any, a: Any = same) -> Any:
        table["a"][:] = x
        same[0] = 10.0
        owner.a[1] *= 2
        return np.sum(a * x)

    del held
    np.testing.assert_array_equal(hg.grad(f)(X), [10.0, 4 * X[1], 2 * X[2]])
    np.testing.assert_array_equal(same, [10.0, 2 * X[1], X[2]])


def test_modules_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_users_module")
    text = """
import numpy as np
K = 2.0
W = np.ones(3)
def f(x):
    a = np.zeros(3)
    a[:] = x * K * W
    return a
"""
    exec(text, vars(module))
    monkeypatch.setitem(sys.modules, "a_users_module", module)

    def by_name(x: Any) -> Any:
        return np.sum(module.f(x)) * module.K

    def imported(x: Any) -> Any:
        import a_users_module  # type: ignore[import-not-found]
        from a_users_module import K, f

        return np.sum(f(x)) * K * a_users_module.K

    for f, power in ((by_name, 2), (imported, 3)):
        g = hg.grad(f)
        module.K = 2.0  # type: ignore[attr-defined]
        np.testing.assert_array_equal(g(X), np.full(3, 2.0**power))
        np.testing.assert_array_equal(g(X), np.full(3, 2.0**power))
        module.K = 3.0  # type: ignore[attr-defined]
        np.testing.assert_array_equal(g(X), np.full(3, 3.0**power))
        assert replayed(g) == 1
