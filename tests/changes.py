"""Functions whose surroundings change between two calls, in every way that Python has.

Each case is a factory: it sets everything back to the beginning and returns ``(f, change)``. ``f(x)`` is ``c * x**2``
with a factor c that depends on something outside; ``change()`` changes that. So the value says whether c is up to date,
and the gradient has to be ``2 * value / x``.
"""

from __future__ import annotations

import array
import collections
import contextlib
import contextvars
import dataclasses
import decimal
import enum
import functools
import importlib
import io
import itertools
import logging
import math
import operator
import os
import pathlib
import random
import sys
import tempfile
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

Made = tuple[Callable[..., Any], Callable[[], Any]]
CASES: dict[str, Callable[[], Made]] = {}


def case(make: Callable[[], Made]) -> Callable[[], Made]:
    CASES[make.__name__.replace("_", " ").strip()] = make
    return make


# -- closures ----------------------------------------------------------------------------------------------------------


@case
def closure_scalar_rebound() -> Made:
    k = 2.0

    def f(x):
        return k * x**2

    def change():
        nonlocal k
        k += 1.0

    return f, change


@case
def closure_scalar_turns_negative_zero() -> Made:
    k = 0.0

    def f(x):
        return np.copysign(3.0, k) * x**2

    def change():
        nonlocal k
        k = -k

    return f, change


@case
def closure_scalar_turns_nan() -> Made:
    k = 1.0

    def f(x):
        return (2.0 if math.isnan(k) else 3.0) * x**2

    def change():
        nonlocal k
        k = math.nan

    return f, change


@case
def closure_int_becomes_bool() -> Made:
    k: Any = 1

    def f(x):
        return (5.0 if k is True else 7.0) * x**2

    def change():
        nonlocal k
        k = True

    return f, change


@case
def closure_array_rebound() -> Made:
    w = np.array([1.0, 2.0])

    def f(x):
        return np.sum(w * x) * x

    def change():
        nonlocal w
        w = w + 1.0

    return f, change


@case
def closure_array_mutated() -> Made:
    w = np.array([1.0, 2.0])

    def f(x):
        return np.sum(w * x) * x

    def change():
        w[0] += 1.0

    return f, change


@case
def closure_array_mutated_through_a_view() -> Made:
    base = np.arange(6.0)
    w = base[1:4]

    def f(x):
        return np.sum(w * x) * x

    def change():
        base[:] = base * 2.0

    return f, change


@case
def closure_array_changes_shape_and_dtype() -> Made:
    w: Any = np.array([1, 2])
    versions = iter([np.array([1.5, 2.5]), np.array([[1.0], [2.0]]), np.float32([3.0]), np.array(4.0), 5])

    def f(x):
        return np.sum(w * x * x)

    def change():
        nonlocal w
        w = next(versions)

    return f, change


@case
def closure_array_reshaped_in_place() -> Made:
    w = np.arange(6.0)

    def f(x):
        return w.shape[0] * np.sum(w) * x**2

    def change():
        w.resize((w.size // 2, 2) if w.ndim == 1 else (w.size,))

    return f, change


@case
def plain_work_on_a_captured_array() -> Made:
    W = np.eye(2)

    def f(x):
        return np.sum((x * np.ones(2)) @ (2 * W)) * x

    def change():
        W[0, 1] += 1.0

    return f, change


@case
def norm_of_a_captured_array() -> Made:
    W = np.eye(2)

    def f(x):
        return x**2 * np.linalg.norm(W @ W.T) * float(W.sum())

    def change():
        W[0, 1] += 1.0

    return f, change


@case
def length_of_a_captured_array_as_a_loop_bound() -> Made:
    w = np.ones(2)

    def f(x):
        total = 0.0
        for _ in range(len(w)):
            total = total + x * x
        return total

    def change():
        nonlocal w
        w = np.ones(len(w) + 1)

    return f, change


@case
def branch_on_a_captured_array() -> Made:
    w = np.array([1.0, 5.0])

    def f(x):
        return 2.0 * x**2 if w[0] < w[1] else 3.0 * x**2

    def change():
        w[0] += 3.0

    return f, change


@case
def integers_that_index() -> Made:
    places = np.array([0, 1])
    w = np.array([1.0, 10.0, 100.0])

    def f(x):
        return np.sum(w[places]) * x**2

    def change():
        places[0] = (places[0] + 1) % 3

    return f, change


@case
def mask_that_selects() -> Made:
    mask = np.array([True, False, True])
    w = np.array([1.0, 10.0, 100.0])

    def f(x):
        return np.sum((w * x * x)[mask])

    def change():
        np.logical_not(mask, out=mask)

    return f, change


@case
def closure_of_a_helper() -> Made:
    k = 2.0

    def factor():
        return k

    def helper(x):
        return factor() * x

    def f(x):
        return helper(x) * x

    def change():
        nonlocal k
        k += 1.0

    return f, change


@case
def cell_shared_by_two_functions() -> Made:
    count = 0

    def f(x):
        nonlocal count
        count += 1
        return count * x**2

    def change():
        nonlocal count
        count = 10

    return f, change


# -- globals -----------------------------------------------------------------------------------------------------------

SCALE: Any = 2.0
WEIGHTS: Any = np.array([1.0, 2.0])
TABLE: dict[str, Any] = {}
CALLS = 0


def helper(x: Any) -> Any:
    return 2.0 * x


def other_helper(x: Any) -> Any:
    return 5.0 * x


plain_helper = helper


@case
def global_scalar() -> Made:
    global SCALE
    SCALE = 2.0

    def change():
        global SCALE
        SCALE += 1.0

    return lambda x: SCALE * x**2, change


@case
def global_scalar_of_another_type() -> Made:
    global SCALE
    SCALE = 2

    def change():
        global SCALE
        SCALE = np.float32(1.1) if SCALE == 2 else "three"

    return lambda x: (len(SCALE) if isinstance(SCALE, str) else SCALE) * x**2, change


@case
def global_array_mutated() -> Made:
    global WEIGHTS
    WEIGHTS = np.array([1.0, 2.0])

    def change():
        WEIGHTS[1] *= 3.0

    return lambda x: np.sum(WEIGHTS * x) * x, change


@case
def global_array_rebound() -> Made:
    global WEIGHTS
    WEIGHTS = np.array([1.0, 2.0])

    def change():
        global WEIGHTS
        WEIGHTS = np.append(WEIGHTS, 3.0)

    return lambda x: np.sum(WEIGHTS * x) * x, change


@case
def global_deleted_and_made() -> Made:
    globals().pop("LATER", None)

    def f(x):
        try:
            return LATER * x**2  # type: ignore[name-defined]  # that is the case
        except NameError:
            return x**2

    def change():
        globals()["LATER"] = globals().get("LATER", 1.0) + 1.0

    return f, change


@case
def global_through_globals() -> Made:
    globals()["SCALE"] = 2.0

    def change():
        globals()["SCALE"] = globals()["SCALE"] + 1.0

    return lambda x: globals()["SCALE"] * x**2, change


@case
def global_counter_written_by_the_function() -> Made:
    global CALLS
    CALLS = 0

    def f(x):
        global CALLS
        CALLS += 1
        return CALLS * x**2

    def change():
        global CALLS
        CALLS = 10

    return f, change


@case
def global_helper_rebound() -> Made:
    globals()["helper"] = plain_helper

    def change():
        globals()["helper"] = other_helper if helper is plain_helper else plain_helper

    return lambda x: helper(x) * x, change


@case
def helper_s_code_replaced() -> Made:
    def inner(x):
        return 2.0 * x

    def change():
        inner.__code__ = (lambda x: 7.0 * x).__code__

    return lambda x: inner(x) * x, change


@case
def builtin_shadowed() -> Made:
    globals().pop("abs", None)

    def f(x):
        return abs(-3.0) * x**2

    def change():
        globals()["abs"] = lambda v: 11.0

    return f, change


@case
def evaluated_text() -> Made:
    globals()["SCALE"] = 2.0

    def change():
        globals()["SCALE"] += 1.0

    return lambda x: eval("SCALE * x**2", globals(), {"x": x}), change


# -- defaults ----------------------------------------------------------------------------------------------------------


@case
def default_replaced() -> Made:
    def f(x, k=2.0):
        return k * x**2

    def change():
        f.__defaults__ = (f.__defaults__[0] + 1.0,)  # type: ignore[index]  # it has one

    return f, change


@case
def keyword_default_replaced() -> Made:
    def f(x, *, k=2.0):
        return k * x**2

    def change():
        f.__kwdefaults__["k"] += 1.0  # type: ignore[index]  # it has one

    return f, change


@case
def mutable_default_of_the_function() -> Made:
    def f(x, seen=[1.0]):  # noqa: B006 - that is the case
        seen.append(1.0)
        return len(seen) * x**2

    def change():
        f.__defaults__[0].clear()  # type: ignore[index]  # it has one

    return f, change


@case
def array_default_mutated() -> Made:
    w = np.array([1.0, 2.0])

    def f(x, w=w):
        return np.sum(w * x) * x

    def change():
        w[0] += 1.0

    return f, change


@case
def default_of_a_helper() -> Made:
    def inner(x, k=2.0):
        return k * x

    def change():
        inner.__defaults__ = (inner.__defaults__[0] + 1.0,)  # type: ignore[index]  # it has one

    return lambda x: inner(x) * x, change


# -- objects -----------------------------------------------------------------------------------------------------------


class Model:
    """An object with state of all sorts."""

    shared = 2.0

    def __init__(self, k: Any = 2.0, w: Any = None) -> None:
        self.k = k
        self.w = np.array([1.0, 2.0]) if w is None else w
        self.parts: list[Any] = []

    def __call__(self, x: Any) -> Any:
        return self.k * x**2

    def loss(self, x: Any) -> Any:
        return self.k * x**2

    def weighted(self, x: Any) -> Any:
        return np.sum(self.w * x) * x

    @property
    def doubled(self) -> Any:
        return 2 * self.k

    @classmethod
    def by_class(cls, x: Any) -> Any:
        return cls.shared * x**2

    @staticmethod
    def static(x: Any) -> Any:
        return SCALE * x**2


class Slotted:
    """Without a dict."""

    __slots__ = ("k",)

    def __init__(self, k: float) -> None:
        self.k = k


class Dynamic:
    """Attributes that are made when asked for."""

    def __init__(self) -> None:
        self.hidden = {"k": 2.0}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["hidden"][name]
        except KeyError:
            raise AttributeError(name) from None


class Descriptor:
    """Counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    def __get__(self, owner: Any, kind: Any) -> Any:
        self.reads += 1
        return float(self.reads)


@dataclasses.dataclass
class Settings:
    """Values by name."""

    k: float = 2.0
    names: tuple[str, ...] = ("a",)


def _bump(target: Any, name: str = "k", by: float = 1.0) -> Callable[[], None]:
    return lambda: setattr(target, name, getattr(target, name) + by)


@case
def bound_method_s_self() -> Made:
    model = Model()
    return model.loss, _bump(model)


@case
def callable_object() -> Made:
    model = Model()
    return model, _bump(model)


@case
def attribute_of_a_captured_object() -> Made:
    model = Model()
    return (lambda x: model.k * x**2), _bump(model)


@case
def array_attribute_mutated() -> Made:
    model = Model()

    def change():
        model.w += 1.0

    return model.weighted, change


@case
def array_attribute_rebound() -> Made:
    model = Model()

    def change():
        model.w = model.w + 1.0

    return model.weighted, change


@case
def property_over_an_attribute() -> Made:
    model = Model()
    return (lambda x: model.doubled * x**2), _bump(model)


@case
def class_attribute() -> Made:
    Model.shared = 2.0
    return Model.by_class, _bump(Model, "shared")


@case
def class_attribute_hidden_by_an_instance() -> Made:
    Model.shared = 2.0
    model = Model()

    def change():
        model.shared = 9.0

    return (lambda x: model.shared * x**2), change


@case
def inherited_attribute() -> Made:
    class Base:
        k = 2.0

    class Child(Base):
        pass

    child = Child()
    return (lambda x: child.k * x**2), _bump(Base)


@case
def slot() -> Made:
    slotted = Slotted(2.0)
    return (lambda x: slotted.k * x**2), _bump(slotted)


@case
def dataclass_field() -> Made:
    settings = Settings()
    return (lambda x: settings.k * x**2), _bump(settings)


@case
def dynamic_attribute() -> Made:
    dynamic = Dynamic()

    def change():
        dynamic.hidden["k"] += 1.0

    return (lambda x: dynamic.k * x**2), change


@case
def descriptor_that_counts() -> Made:
    class Holder:
        k = Descriptor()

    holder = Holder()
    return (lambda x: holder.k * x**2), lambda: None


@case
def attribute_by_getattr() -> Made:
    model = Model()
    name = "k"
    return (lambda x: getattr(model, name) * x**2), _bump(model)


@case
def attribute_by_operator() -> Made:
    model = Model()
    read = operator.attrgetter("k")
    return (lambda x: read(model) * x**2), _bump(model)


@case
def attribute_through_the_dict() -> Made:
    model = Model()
    return (lambda x: vars(model)["k"] * x**2), _bump(model)


@case
def attribute_that_appears() -> Made:
    model = Model()

    def change():
        model.extra = getattr(model, "extra", 1.0) + 4.0  # type: ignore[attr-defined]  # that is the case

    return (lambda x: (model.extra if hasattr(model, "extra") else 1.0) * x**2), change


@case
def object_in_a_list_of_an_object() -> Made:
    model = Model()
    model.parts = [Model(2.0), Model(3.0)]
    return (lambda x: sum(part.k for part in model.parts) * x**2), _bump(model.parts[1])


@case
def method_replaced_on_the_class() -> Made:
    class Local:
        def go(self, x):
            return 2.0 * x**2

    local = Local()

    def change():
        Local.go = lambda self, x: 5.0 * x**2  # type: ignore[method-assign]  # that is the case

    return (lambda x: local.go(x)), change


@case
def method_replaced_on_the_instance() -> Made:
    model = Model()

    def change():
        model.loss = lambda x: 5.0 * x**2  # type: ignore[method-assign]  # that is the case

    return (lambda x: model.loss(x)), change


@case
def class_of_an_object_changed() -> Made:
    class One:
        def k(self):
            return 1.0

    class Two:
        def k(self):
            return 2.0

    thing: Any = One()

    def change():
        thing.__class__ = Two

    return (lambda x: thing.k() * x**2), change


@case
def state_of_the_function_itself() -> Made:
    def f(x):
        f.calls += 1
        return f.calls * x**2

    f.calls = 0

    def change():
        f.calls = 10

    return f, change


@case
def object_changed_during_the_call() -> Made:
    model = Model(1.0)

    def f(x):
        model.k *= 2.0
        return model.k * x**2

    def change():
        model.k = 3.0

    return f, change


@case
def enum_member() -> Made:
    class Mode(enum.Enum):
        SLOW = 2.0
        FAST = 3.0

    current = {"mode": Mode.SLOW}

    def change():
        current["mode"] = Mode.FAST

    return (lambda x: (4.0 if current["mode"] is Mode.FAST else current["mode"].value) * x**2), change


@case
def namespace() -> Made:
    space = types.SimpleNamespace(k=2.0, inner=types.SimpleNamespace(k=1.0))
    return (lambda x: (space.k + space.inner.k) * x**2), _bump(space.inner)


# -- containers --------------------------------------------------------------------------------------------------------


@case
def value_in_a_dict() -> Made:
    cfg = {"lr": 2.0}

    def change():
        cfg["lr"] += 1.0

    return (lambda x: cfg["lr"] * x**2), change


@case
def value_in_a_nested_dict() -> Made:
    cfg = {"a": {"b": [1.0, {"c": 2.0}]}}

    def change():
        cfg["a"]["b"][1]["c"] += 1.0  # type: ignore[index]  # it is a dict

    return (lambda x: cfg["a"]["b"][1]["c"] * x**2), change


@case
def key_in_a_dict() -> Made:
    cfg: dict[str, float] = {}

    def change():
        cfg["k"] = 3.0

    return (lambda x: (2.0 if "k" in cfg else 1.0) * x**2), change


@case
def dict_with_a_default() -> Made:
    cfg: dict[str, float] = {}

    def change():
        cfg["k"] = cfg.get("k", 1.0) + 1.0

    return (lambda x: cfg.get("k", 1.0) * x**2), change


@case
def order_of_a_dict() -> Made:
    cfg = {"a": 1.0, "b": 2.0}

    def f(x):
        total = 0.0
        for place, value in enumerate(cfg.values()):
            total += place * value
        return total * x**2

    def change():
        cfg["a"] = cfg.pop("a")
        cfg["b"] = cfg.pop("b") + 0.5

    return f, change


@case
def default_dict_that_fills() -> Made:
    seen: Any = collections.defaultdict(float)

    def f(x):
        seen["n"] += 1.0
        return seen["n"] * x**2

    return f, seen.clear


@case
def global_dict() -> Made:
    TABLE.clear()
    TABLE["k"] = 2.0

    def change():
        TABLE["k"] += 1.0

    return (lambda x: TABLE["k"] * x**2), change


@case
def array_in_a_dict() -> Made:
    params = {"W": np.eye(2)}

    def change():
        params["W"][0, 0] += 1.0

    return (lambda x: np.sum(params["W"]) * x**2), change


@case
def element_of_a_list() -> Made:
    values = [1.0, 2.0]

    def change():
        values[0] += 1.0

    return (lambda x: sum(values) * x**2), change


@case
def length_of_a_list() -> Made:
    values = [1.0]
    return (lambda x: len(values) * x**2), (lambda: values.append(1.0))


@case
def list_of_arrays() -> Made:
    values = [np.ones(2), np.ones(3)]

    def change():
        values[1][0] += 1.0

    return (lambda x: sum(np.sum(v * x) for v in values) * x), change


@case
def list_in_a_tuple() -> Made:
    values: tuple[Any, ...] = ([1.0], 2.0)

    def change():
        values[0][0] += 1.0

    return (lambda x: values[0][0] * values[1] * x**2), change


@case
def members_of_a_set() -> Made:
    members = {1.0, 2.0}

    def change():
        members.add(len(members) + 1.0)

    return (lambda x: (sum(members) + (3.0 in members)) * x**2), change


@case
def deque_that_rotates() -> Made:
    ring = collections.deque([1.0, 2.0, 3.0])

    def f(x):
        ring.rotate(1)
        return ring[0] * x**2

    return f, (lambda: ring.rotate(1))


@case
def list_filled_by_the_function() -> Made:
    log: list[float] = []

    def f(x):
        log.append(1.0)
        return len(log) * x**2

    return f, log.clear


@case
def dict_of_functions() -> Made:
    table: dict[str, Callable[[Any], Any]] = {"go": lambda x: 2.0 * x}

    def change():
        table["go"] = lambda x: 3.0 * x

    return (lambda x: table["go"](x) * x), change


@case
def user_s_mapping() -> Made:
    class Config(dict[str, float]):
        def __getitem__(self, key):
            return 10 * super().__getitem__(key)

    cfg = Config(k=2.0)

    def change():
        cfg["k"] = 3.0

    return (lambda x: cfg["k"] * x**2), change


# -- functions of functions --------------------------------------------------------------------------------------------


@case
def partial_s_array() -> Made:
    w = np.array([1.0, 2.0])

    def f(w, x):
        return np.sum(w * x) * x

    def change():
        w[0] += 1.0

    return functools.partial(f, w), change


@case
def decorated_helper() -> Made:
    k = [2.0]

    def scaled(inner):
        @functools.wraps(inner)
        def wrapper(*args):
            return k[0] * inner(*args)

        return wrapper

    @scaled
    def square(x):
        return x * x

    def change():
        k[0] += 1.0

    return square, change


@case
def cached_helper() -> Made:
    k = 2.0

    @functools.lru_cache
    def factor():
        return k

    def change():
        nonlocal k
        k += 1.0
        factor.cache_clear()

    return (lambda x: factor() * x**2), change


@case
def class_made_in_the_function() -> Made:
    k = 2.0

    def f(x):
        class Local:
            def factor(self):
                return k

        return Local().factor() * x**2

    def change():
        nonlocal k
        k += 1.0

    return f, change


@case
def comprehension_over_a_captured_list() -> Made:
    values = [1.0, 2.0]

    def change():
        values[:] = [v + 1.0 for v in values]

    return (lambda x: np.sum(np.array([v * x for v in values])) * x), change


@case
def context_manager_of_the_user() -> Made:
    levels = [2.0]

    @contextlib.contextmanager
    def level():
        yield levels[-1]

    def f(x):
        with level() as k:
            return k * x**2

    return f, (lambda: levels.append(levels[-1] + 1.0))


# -- modules -----------------------------------------------------------------------------------------------------------


def _module() -> Any:
    module: Any = types.ModuleType("changing_module")
    exec("k = 2.0\ndef scaled(x):\n    return k * x\n", vars(module))
    sys.modules["changing_module"] = module
    return module


@case
def attribute_of_a_module() -> Made:
    module = _module()
    return (lambda x: module.k * x**2), _bump(module)


@case
def global_of_another_module_s_function() -> Made:
    module = _module()
    return (lambda x: module.scaled(x) * x), _bump(module)


@case
def function_of_a_module_replaced() -> Made:
    module = _module()

    def change():
        module.scaled = lambda x: 7.0 * x

    return (lambda x: module.scaled(x) * x), change


@case
def module_imported_in_the_function() -> Made:
    module = _module()

    def f(x):
        import changing_module  # type: ignore[import-not-found]  # made above

        return changing_module.k * x**2

    return f, _bump(module)


@case
def name_imported_in_the_function() -> Made:
    module = _module()

    def f(x):
        from changing_module import k

        return k * x**2

    return f, _bump(module)


# -- the world outside -------------------------------------------------------------------------------------------------


@case
def numpy_s_global_random_state() -> Made:
    np.random.seed(3)
    return (lambda x: np.random.normal() * x**2), (lambda: np.random.seed(5))


@case
def numpy_s_random_arrays() -> Made:
    np.random.seed(3)
    return (lambda x: np.sum(np.random.rand(3) * x) * x), (lambda: np.random.seed(5))


@case
def generator_captured() -> Made:
    rng = np.random.default_rng(3)
    return (lambda x: rng.normal() * x**2), (lambda: rng.random(2))


@case
def generator_made_in_the_function() -> Made:
    seed = 3

    def f(x):
        return np.random.default_rng(seed).normal(size=3).sum() * x**2

    def change():
        nonlocal seed
        seed += 1

    return f, change


@case
def random_branch() -> Made:
    rng = np.random.default_rng(3)
    return (lambda x: 2.0 * x**2 if rng.random() < 0.5 else 3.0 * x**2), (lambda: rng.random())


@case
def shuffled_order() -> Made:
    rng = np.random.default_rng(3)
    w = np.array([1.0, 10.0, 100.0])

    def f(x):
        return w[rng.permutation(3)[0]] * x**2

    return f, (lambda: rng.random())


@case
def python_s_random_state() -> Made:
    random.seed(3)
    return (lambda x: random.random() * x**2), (lambda: random.seed(5))


@case
def environment_variable() -> Made:
    os.environ["CHANGING_FACTOR"] = "2"

    def change():
        os.environ["CHANGING_FACTOR"] += "1"

    return (lambda x: float(os.environ["CHANGING_FACTOR"]) * x**2), change


@case
def context_variable() -> Made:
    level: contextvars.ContextVar[float] = contextvars.ContextVar("level", default=2.0)
    return (lambda x: level.get() * x**2), (lambda: level.set(level.get() + 1.0))


@case
def thread_local() -> Made:
    local = threading.local()
    local.k = 2.0
    return (lambda x: local.k * x**2), _bump(local)


@case
def counter_of_the_standard_library() -> Made:
    counter = itertools.count(1)
    return (lambda x: next(counter) * x**2), (lambda: next(counter))


@case
def iterator_used_up() -> Made:
    numbers = iter(range(1, 100))

    def f(x):
        total = 0.0
        for n in numbers:
            total = total + n * x * x
            if n % 3 == 0:
                break
        return total

    return f, (lambda: next(numbers))


@case
def generator_of_the_user() -> Made:
    def count():
        k = 1.0
        while True:
            yield k
            k += 1.0

    numbers = count()
    return (lambda x: next(numbers) * x**2), (lambda: next(numbers))


@case
def cycle_of_batches() -> Made:
    batches = itertools.cycle([np.array([1.0, 2.0]), np.array([3.0]), np.array([4.0, 5.0])])
    return (lambda x: np.sum(next(batches) * x) * x), (lambda: next(batches))


@case
def numpy_s_error_state() -> Made:
    np.seterr(all="warn")

    def f(x):
        return (2.0 if np.geterr()["divide"] == "warn" else 3.0) * x**2

    return f, (lambda: np.seterr(divide="ignore"))


@case
def recursion_on_a_depth() -> Made:
    depth = 2

    def power(x, n):
        return x if n == 0 else power(x, n - 1) * 1.5

    def change():
        nonlocal depth
        depth += 1

    return (lambda x: power(x, depth) * x), change


# -- code that is reached by other ways than a global or a closure -----------------------------------------------------


class Reader:
    """Reads a global in every kind of method."""

    def __init__(self) -> None:
        self.rule: Any = lambda x: SCALE * x

    def method(self, x: Any) -> Any:
        return SCALE * x

    @property
    def scale(self) -> Any:
        return SCALE

    def __mul__(self, x: Any) -> Any:
        return SCALE * x

    def __len__(self) -> int:
        return int(SCALE)

    def __bool__(self) -> bool:
        return SCALE > 2.0

    def __getitem__(self, key: Any) -> Any:
        return SCALE + key

    def __iter__(self) -> Iterator[Any]:
        yield from (1.0, SCALE)

    def __contains__(self, key: Any) -> bool:
        return bool(key == SCALE)

    def __float__(self) -> float:
        return float(SCALE)

    def __index__(self) -> int:
        return int(SCALE)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([SCALE, 1.0])

    def __eq__(self, other: object) -> bool:
        return bool(SCALE > 2.0)

    def __enter__(self) -> Any:
        return SCALE

    def __exit__(self, *error: Any) -> None:
        pass

    def __format__(self, text: str) -> str:
        return str(SCALE)


class ReaderChild(Reader):
    """Calls its parent."""

    def method(self, x: Any) -> Any:
        return 2.0 * super().method(x)


READER = Reader()
READERS: dict[str, Callable[[Any], Any]] = {
    "a method": lambda x: READER.method(x) * x,
    "an inherited method": lambda x: ReaderChild().method(x) * x,
    "an unbound method": lambda x: Reader.method(READER, x) * x,
    "a property": lambda x: READER.scale * x**2,
    "an operator": lambda x: (READER * x) * x,
    "its length": lambda x: len(READER) * x**2,
    "its truth": lambda x: (5.0 if READER else 3.0) * x**2,
    "an item": lambda x: READER[1.0] * x**2,
    "iteration": lambda x: sum(v * x for v in READER) * x,
    "membership": lambda x: (5.0 if 3.0 in READER else 4.0) * x**2,
    "its float": lambda x: float(READER) * x**2,
    "its index": lambda x: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0][READER] * x**2,
    "its array": lambda x: np.sum(np.asarray(READER)) * x**2,
    "its array in an operation": lambda x: np.sum(np.multiply([x, x], READER)) * x,
    "equality": lambda x: (5.0 if READER == 1 else 4.0) * x**2,
    "a context": lambda x: READER.__enter__() * x**2,
    "formatting": lambda x: float(f"{READER}") * x**2,
    "a function in an attribute": lambda x: READER.rule(x) * x,
    "a function in a dict": lambda x: RULES["go"](x) * x,
    "a function in a list": lambda x: RULES["all"][0](x) * x,
    "a key function": lambda x: max([2.0, 3.0], key=RULES["key"]) * x**2,
    "a mapped function": lambda x: sum(map(RULES["go"], [x, x])) * x,
    "np.vectorize": lambda x: np.sum(SCALED(np.ones(2))) * x**2,
    "np.vectorize of it": lambda x: np.sum(SCALED(x)) * x,
    "np.frompyfunc": lambda x: float(SCALED_OBJECTS(2.0)) * x**2,
    "np.apply_along_axis": lambda x: np.sum(np.apply_along_axis(RULES["go"], 0, np.ones(3))) * x**2,
    "functools.partial": lambda x: PARTIAL(x) * x,
    "functools.reduce": lambda x: functools.reduce(RULES["pair"], [1.0, 2.0, x]) * x,
    "single dispatch": lambda x: dispatched(2) * x**2,
    "a cached property": lambda x: Lazy().value * x**2,
    "a descriptor": lambda x: Described.value * x**2,
    "a metaclass": lambda x: Meta("Made", (), {}).scale * x**2,
    "a dynamic attribute": lambda x: Anything().whatever * x**2,
    "a named tuple": lambda x: Pair(1.0, 2.0).total() * x**2,
    "a class made by call": lambda x: Point(x).scaled * x,
}
RULES: dict[str, Any] = {
    "go": lambda v: SCALE * v,
    "all": [lambda v: SCALE * v],
    "key": lambda v: -v if SCALE > 2 else v,
    "pair": lambda a, b: SCALE * a * b if isinstance(a, float) else a * b,
}
SCALED = np.vectorize(lambda t: SCALE * t)
SCALED_OBJECTS = np.frompyfunc(lambda t: SCALE * t, 1, 1)
PARTIAL = functools.partial(lambda k, v: SCALE * k * v, 1.0)


@functools.singledispatch
def dispatched(value: Any) -> Any:
    return 1.0


@dispatched.register
def _(value: int) -> Any:
    return SCALE


class Lazy:
    """Computes its value once."""

    @functools.cached_property
    def value(self) -> Any:
        return SCALE


class _Describes:
    def __get__(self, owner: Any, kind: Any) -> Any:
        return SCALE


class Described:
    """Has a descriptor of its class."""

    value = _Describes()


class Meta(type):
    """Has a property that its classes have."""

    @property
    def scale(cls) -> Any:
        return SCALE


class Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return SCALE


class Pair(NamedTuple):
    """Two numbers."""

    a: float
    b: float

    def total(self) -> Any:
        return SCALE * (self.a + self.b)


@dataclasses.dataclass
class Point:
    """Works after it is made."""

    x: Any
    scaled: Any = None

    def __post_init__(self) -> None:
        self.scaled = SCALE * self.x


def _reading(f: Callable[[Any], Any]) -> Callable[[], Made]:
    def make() -> Made:
        global SCALE
        SCALE = 2.0

        def change():
            global SCALE
            SCALE += 1.0

        return f, change

    return make


CASES.update({f"global read by {name}": _reading(f) for name, f in READERS.items()})


@case
def attribute_of_a_helper_function() -> Made:
    def inner(x):
        return inner.k * x

    inner.k = 2.0
    return (lambda x: inner(x) * x), _bump(inner)


@case
def array_without_axes() -> Made:
    k = np.array(2.0)

    def change():
        k[...] += 1.0

    return (lambda x: k * x**2), change


@case
def array_of_objects() -> Made:
    k = np.array([2.0, None], dtype=object)

    def change():
        k[0] += 1.0

    return (lambda x: k[0] * x**2), change


@case
def array_with_fields() -> Made:
    k = np.zeros(2, dtype=[("a", float), ("b", int)])

    def change():
        k["a"] += 1.0

    return (lambda x: (1.0 + np.sum(k["a"])) * x**2), change


@case
def array_of_words() -> Made:
    k = np.array(["low", "low"])

    def change():
        k[0] = "up"

    return (lambda x: (2.0 if k[0] == "up" else 1.0) * x**2), change


@case
def masked_array() -> Made:
    k = np.ma.masked_array([1.0, 2.0], [False, True])

    def change():
        k.mask = False
        k.data[0] += 1.0

    return (lambda x: float(k.sum()) * x**2), change


@case
def array_of_the_standard_library() -> Made:
    k = array.array("d", [2.0])

    def change():
        k[0] += 1.0

    return (lambda x: k[0] * x**2), change


@case
def bytes_that_change() -> Made:
    k = bytearray(b"ab")

    def change():
        k[0] += 1

    return (lambda x: float(k[0]) * x**2), change


@case
def array_in_a_frozen_dataclass() -> Made:
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        w: Any

    frozen = Frozen(np.ones(2))

    def change():
        frozen.w[0] += 1.0

    return (lambda x: np.sum(frozen.w * x) * x), change


@case
def array_in_a_named_tuple() -> Made:
    pair = Pair(np.ones(2), 1.0)  # type: ignore[arg-type]  # that is the case

    def change():
        pair.a[0] += 1.0  # type: ignore[index]  # that is the case

    return (lambda x: np.sum(pair.a * x) * x), change


@case
def polynomial_of_numpy() -> Made:
    p = np.poly1d([1.0, 2.0])

    def change():
        p[0] = p[0] + 1.0

    return (lambda x: p(1.0) * x**2), change


@case
def spline_of_scipy() -> Made:
    spline = CubicSpline(np.arange(4.0), np.array([1.0, 2.0, 4.0, 3.0]))

    def change():
        spline.c[...] += 1.0

    return (lambda x: float(spline(1.5)) * x**2), change


@case
def partial_s_keywords() -> Made:
    def f(x, k=1.0):
        return k * x**2

    part = functools.partial(f, k=2.0)

    def change():
        part.keywords["k"] += 1.0

    return part, change


@case
def partial_s_arguments_in_a_helper() -> Made:
    w = np.ones(2)
    part = functools.partial(np.multiply, w)

    def change():
        w[0] += 1.0

    return (lambda x: np.sum(part(x)) * x), change


@case
def method_of_a_list() -> Made:
    values = [1.0, 2.0]
    count = values.__len__
    return (lambda x: count() * x**2), (lambda: values.append(1.0))


@case
def method_of_a_dict() -> Made:
    cfg = {"k": 2.0}
    read = cfg.get

    def change():
        cfg["k"] += 1.0

    return (lambda x: read("k") * x**2), change


@case
def method_of_an_array() -> Made:
    w = np.ones(2)
    total = w.sum

    def change():
        w[0] += 1.0

    return (lambda x: total() * x**2), change


@case
def view_of_a_dict() -> Made:
    cfg = {"k": 2.0}
    values = cfg.values()

    def change():
        cfg["k"] += 1.0

    return (lambda x: sum(values) * x**2), change


@case
def read_only_view_of_a_dict() -> Made:
    cfg = {"k": 2.0}
    view = types.MappingProxyType(cfg)

    def change():
        cfg["k"] += 1.0

    return (lambda x: view["k"] * x**2), change


@case
def chain_of_dicts() -> Made:
    first: dict[str, float] = {}
    chain = collections.ChainMap(first, {"k": 2.0})

    def change():
        first["k"] = first.get("k", 2.0) + 1.0

    return (lambda x: chain["k"] * x**2), change


@case
def weak_reference() -> Made:
    model = Model()
    reference = weakref.ref(model)
    return (lambda x: reference().k * x**2), _bump(model)


@case
def random_state_of_numpy_s_old_kind() -> Made:
    state = np.random.RandomState(3)
    return (lambda x: state.normal() * x**2), (lambda: state.rand())


@case
def random_state_of_python_s_kind() -> Made:
    state = random.Random(3)
    return (lambda x: state.random() * x**2), (lambda: state.random())


@case
def method_of_a_generator() -> Made:
    draw = np.random.default_rng(3).normal
    return (lambda x: draw() * x**2), (lambda: draw())


@case
def environment_by_getenv() -> Made:
    os.environ["CHANGING_FACTOR"] = "2"

    def change():
        os.environ["CHANGING_FACTOR"] += "1"

    return (lambda x: float(os.getenv("CHANGING_FACTOR", "0")) * x**2), change


@case
def level_of_a_logger() -> Made:
    logger = logging.getLogger("changes")
    logger.setLevel(10)

    def change():
        logger.setLevel(logger.level + 10)

    return (lambda x: (2.0 if logger.isEnabledFor(15) else 1.0) * x**2), change


@case
def precision_of_decimals() -> Made:
    decimal.getcontext().prec = 3

    def change():
        decimal.getcontext().prec += 1

    return (lambda x: float(decimal.Decimal(1) / decimal.Decimal(3)) * x**2), change


@case
def contents_of_a_file() -> Made:
    path = pathlib.Path(tempfile.gettempdir()) / f"changes-{os.getpid()}.txt"
    path.write_text("2")

    def f(x):
        with open(path) as file:
            return float(file.read()) * x**2

    def change():
        path.write_text(path.read_text() + "1")

    return f, change


@case
def contents_of_a_file_by_numpy() -> Made:
    path = pathlib.Path(tempfile.gettempdir()) / f"changes-{os.getpid()}.npy"
    np.save(path, np.ones(2))

    def change():
        np.save(path, np.load(path) + 1.0)

    return (lambda x: np.sum(np.load(path)) * x**2), change


@case
def stream_that_is_read_on() -> Made:
    stream = io.StringIO("\n".join(map(str, range(1, 60))))
    return (lambda x: float(stream.readline()) * x**2), stream.readline


@case
def recursion_limit() -> Made:
    sys.setrecursionlimit(1000)
    return (lambda x: (sys.getrecursionlimit() / 1000) * x**2), (
        lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 500)
    )


@case
def module_replaced_in_sys_modules() -> Made:
    _module()

    def f(x):
        return importlib.import_module("changing_module").k * x**2

    def change():
        k = sys.modules["changing_module"].k
        _module().k = k + 1.0

    return f, change


@case
def local_function_s_global() -> Made:
    global SCALE
    SCALE = 2.0

    def f(x):
        def inner(v):
            return SCALE * v

        return inner(x) * x

    def change():
        global SCALE
        SCALE += 1.0

    return f, change


@case
def closure_in_a_closure() -> Made:
    k = 2.0

    def outer():
        def middle():
            def inner():
                return k

            return inner

        return middle

    def change():
        nonlocal k
        k += 1.0

    return (lambda x: outer()()() * x**2), change


@case
def cell_set_by_the_function_for_another() -> Made:
    state = 1.0

    def step():
        nonlocal state
        state *= 1.5
        return state

    def f(x):
        before = state
        step()
        return (state - before) * x**2

    def change():
        nonlocal state
        state = 3.0

    return f, change


@case
def memo_of_the_user() -> Made:
    memo: dict[int, float] = {}

    def fib(n):
        if n not in memo:
            memo[n] = n if n < 2 else fib(n - 1) + fib(n - 2)
        return memo[n]

    def change():
        memo[7] = memo[7] + 1.0

    return (lambda x: fib(7) * x**2), change


@case
def deleted_attribute() -> Made:
    model = Model()
    model.shared = 5.0

    def change():
        if "shared" in vars(model):
            del model.shared

    return (lambda x: model.shared * x**2), change


# -- scratch memory ----------------------------------------------------------------------------------------------------


@case
def scratch_buffer_reused() -> Made:
    buffer = np.zeros(3)

    def f(x):
        total = 0.0
        for k in range(3):
            buffer[:] = k + 1.0
            total = total + np.sum(buffer * x)
        return total * x

    return f, (lambda: buffer.fill(9.0))


@case
def scratch_buffer_read_before_it_is_written() -> Made:
    buffer = np.ones(3)

    def f(x):
        y = np.sum(buffer * x)
        buffer[:] = np.arange(3.0)
        return y * x

    return f, (lambda: buffer.fill(9.0))


@case
def scratch_buffer_filled_by_out() -> Made:
    buffer = np.zeros(2)
    w = np.array([1.0, 2.0])

    def f(x):
        np.multiply(w, 2.0, out=buffer)
        y = np.sum(buffer * x)
        np.add(buffer, 100.0, out=buffer)
        return y * x

    def change():
        w[0] += 1.0

    return f, change


@case
def array_that_grows_with_each_call() -> Made:
    state = np.array([1.0])

    def f(x):
        state[0] *= 2.0
        return state[0] * x**2

    return f, (lambda: state.fill(1.5))


@case
def global_array_written_by_the_function() -> Made:
    global WEIGHTS
    WEIGHTS = np.array([1.0, 2.0])

    def f(x):
        WEIGHTS[0] += 1.0
        return np.sum(WEIGHTS) * x**2

    return f, (lambda: WEIGHTS.fill(0.5))


@case
def memory_shared_with_bytes() -> Made:
    raw = bytearray(np.array([1.0, 2.0]).tobytes())
    w = np.frombuffer(raw)

    def change():
        np.frombuffer(raw)[:] += 1.0

    return (lambda x: np.sum(w * x) * x), change


# -- arguments ---------------------------------------------------------------------------------------------------------


def numbers() -> Iterator[float]:
    yield from (1.0, 2.0, 3.0)


def _kinds(x: Any, k: Any) -> Any:
    factor = {bool: 2.0, int: 3.0, float: 4.0, str: 5.0, type(None): 6.0}.get(type(k), 7.0)
    return (factor + (k if type(k) in (int, float) else 0)) * x**2


def _filled(x: Any, a: Any, b: Any) -> Any:
    a[0] = 3.0
    return (a[0] + b[0]) * x**2


def _overlapping() -> list[tuple[Any, ...]]:
    one = np.array([1.0, 2.0])
    return [(one, np.array([1.0, 2.0])), (one, one), (one, one[:1]), (one, one[1:]), (one, one.copy())]


class Odd:
    """Compares equal to everything, and has no hash."""

    def __init__(self, k: float) -> None:
        self.k = k

    def __eq__(self, other: object) -> bool:
        return True


ARGUMENTS: dict[str, tuple[Callable[..., Any], Callable[[], list[tuple[Any, ...]]]]] = {
    "numbers of other kinds": (
        _kinds, lambda: [(1,), (True,), (1.0,), (np.float64(1),), ("1",), (None,), (0.0,), (-0.0,), (0,), (False,)]
    ),
    "signed zeros": (lambda x, k: np.copysign(2.0, k) * x**2, lambda: [(0.0,), (-0.0,), (0.0,)]),
    "text": (lambda x, mode: (2.0 if mode == "double" else 3.0) * x**2, lambda: [("double",), ("triple",)]),
    "an array": (lambda x, w: np.sum(w) * x**2, lambda: [(np.ones(2),), (np.ones(3),), (np.array([1, 2]),)]),
    "an array of integers as places": (
        lambda x, k: np.array([1.0, 10.0, 100.0])[k].sum() * x**2,
        lambda: [(np.array([0, 1]),), (np.array([1, 1]),), (np.array([True, False, True]),)],
    ),
    "a list": (lambda x, w: sum(w) * len(w) * x**2, lambda: [([1.0, 2.0],), ([1.0, 3.0],), ([1.0],)]),
    "a dict": (lambda x, w: w["k"] * x**2, lambda: [({"k": 1.0},), ({"k": 2.0},), ({"k": np.ones(1)[0]},)]),
    "an object": (lambda x, model: model.k * x**2, lambda: [(Model(1.0),), (Model(2.0),), (Slotted(3.0),)]),
    "objects that compare equal": (lambda x, odd: odd.k * x**2, lambda: [(Odd(1.0),), (Odd(2.0),)]),
    "a function": (
        lambda x, go: go(x) * x, lambda: [(lambda v: v * 2.0,), (lambda v: v * 3.0,), (abs,), (np.negative,)]
    ),
    "a generator": (lambda x, g: sum(v * x for v in g) * x, lambda: [(numbers(),), (iter([5.0]),), (numbers(),)]),
    "a range": (lambda x, r: sum(v for v in r) * x**2, lambda: [(range(3),), (range(4),), (range(0, 9, 4),)]),
    "a flag": (lambda x, fast: (2.0 if fast else 3.0) * x**2, lambda: [(True,), (False,), (np.bool_(True),), ([],)]),
    "a random generator": (
        lambda x, rng: rng.normal() * x**2,
        lambda: [(np.random.default_rng(1),), (np.random.default_rng(1),), (np.random.default_rng(2),)],
    ),
    "arrays that overlap": (_filled, _overlapping),
    "several": (lambda x, *ks: sum(ks) * x**2, lambda: [(1.0,), (1.0, 2.0), (), (2.0, 1.0)]),
}  # fmt: skip
