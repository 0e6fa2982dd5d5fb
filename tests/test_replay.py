"""Traces are kept from call to call, one for each path, and give the answers that a fresh trace gives."""

import contextlib
import copy
import functools
import math
import threading
import types
import warnings
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad.errors import TraceError
from hopgrad.replay import PATHS

SCALE = 2.0
WEIGHTS = np.array([1.0, 2.0, 3.0])
ORDER = np.array([2, 0, 1])
SETTINGS: dict[str, Any] = {"rate": 0.5, "layers": [1, 2]}
TABLE: dict[str, Any] = {"w": np.array([1.0, 2.0, 3.0])}
HISTORY: list[Any] = []
BUFFER = np.zeros(3)
PAIR = (2.0, np.array([1.0, 1.0, 4.0]))
COUNT = 0


def helper(x: Any) -> Any:
    return x * SCALE


class Model:
    def __init__(self) -> None:
        self.k = 2.0
        self.last: Any = None

    def loss(self, x: Any) -> Any:
        self.last = x * self.k
        return self.last**2

    def __call__(self, x: Any) -> Any:
        return x**2 * self.k


MODEL = Model()
X = np.array([0.5, -1.0, 2.0])


def traces(g: Any) -> int:
    """How many traces a transformed function keeps."""
    return sum(int(line.split()[0]) for line in g.report().splitlines() if "kept" in line)


def replayed(g: Any) -> int:
    """How many calls were answered by a kept trace."""
    return sum(int(line.split()[-2]) for line in g.report().splitlines() if "replayed" in line)


# -- paths -----------------------------------------------------------------------------------------------------------


def branches(x: Any) -> Any:
    if x > 1:
        return x**2
    if x > 0:
        return 3 * x
    return -x


def test_a_trace_is_kept_for_each_path_and_chosen_by_its_guards() -> None:
    g = hg.grad(branches)
    for x in (2.0, 0.5, -1.0, 3.0, 0.7, -2.0, 2.5):
        assert g(x) == hg.grad(branches)(x)
    assert traces(g) == 3
    assert replayed(g) == 4
    assert "x > 1" in g.report()


def test_nan_takes_the_path_that_it_takes_in_python() -> None:
    g = hg.grad(branches)
    assert g(2.0) == 4.0
    assert g(math.nan) == -1.0
    assert g(2.0) == 4.0


@pytest.mark.parametrize("transform", [hg.grad, hg.value_and_grad, hg.jacobian, hg.hessian, hg.elementwise_grad])
def test_every_transform_replays(transform: Any) -> None:
    g = transform(branches)
    first = g(2.0)
    assert np.array_equal(g(2.0), first)
    assert np.array_equal(g(-3.0), transform(branches)(-3.0))
    assert np.array_equal(g(5.0), transform(branches)(5.0))
    assert replayed(g) == 2


def test_hvp_replays_with_other_vectors() -> None:
    def f(x: Any) -> Any:
        return np.sum(x**3) if x[0] > 0 else np.sum(x**2)

    g = hg.hvp(f)
    for x in (X, -X, 2 * X, -2 * X):
        for v in (np.ones(3), np.array([0.0, 1.0, 2.0])):
            np.testing.assert_array_equal(g(x, v), hg.hvp(f)(x, v))
    assert traces(g) == 2
    assert replayed(g) == 6


def test_other_kinds_of_arguments_have_traces_of_their_own() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.stack([np.sum(v**2) for v in x])) if isinstance(x, (list, tuple)) else np.sum(x**2)

    g = hg.grad(f)
    for x in (1.0, np.float32(1.0), X, X[:2], np.asfortranarray(np.ones((2, 3))), np.ones((2, 3)), [1.0, 2.0], (1.0,)):
        for _ in range(2):
            assert repr(g(x)) == repr(hg.grad(f)(x))
    assert replayed(g) == 8


def test_static_arguments_select_a_trace() -> None:
    def power(x: Any, n: int, negative: bool = False, mode: str = "sum") -> Any:
        total = x
        for _ in range(n):
            total = total * x
        total = -total if negative else total
        return total if mode == "sum" else total * 2

    g = hg.grad(power)
    assert [g(2.0, n) for n in (1, 2, 3, 1, 2)] == [4.0, 12.0, 32.0, 4.0, 12.0]
    assert g(2.0, 1, True) == -4.0
    assert g(2.0, 1, negative=True) == -4.0
    assert g(2.0, 1, mode="mean") == 8.0
    assert replayed(g) == 2


def test_data_may_change_without_a_new_trace() -> None:
    def loss(w: Any, x: Any, labels: Any, rate: float) -> Any:
        return rate * np.sum((x @ w)[labels] ** 2)

    g = hg.grad(loss)
    random = np.random.default_rng(0)
    w = random.standard_normal(3)
    for rate in (0.1, 0.2, 0.3):
        x, labels = random.standard_normal((5, 3)), random.integers(0, 5, 4)
        np.testing.assert_allclose(g(w, x, labels, rate), 2 * rate * x[labels].T @ (x @ w)[labels])
    assert traces(g) == 1


def test_too_many_paths_end_the_attempt_with_one_warning() -> None:
    def counting(x: Any) -> Any:
        n = 0.0
        while n < x:
            n += 1.0
        return n * x

    g = hg.grad(counting)
    with pytest.warns(hg.RetraceWarning, match=r"while n < x") as caught:
        found = [g(float(k)) for k in range(3 * PATHS)]
    assert found == [float(k) for k in range(3 * PATHS)]
    assert len(caught) == 1
    assert "too many paths" in g.report()
    assert traces(g) == 0


def test_the_number_of_traces_is_bounded() -> None:
    def steps(x: Any) -> Any:
        return x * int(x)

    g = hg.grad(steps)
    for k in range(PATHS + 4):
        assert g(k + 0.5) == k
        assert g(k + 0.25) == k  # a hit in between, so that the attempt goes on
    assert traces(g) == PATHS


def test_replays_of_newton_take_as_many_steps_as_are_needed() -> None:
    def root(a: Any) -> Any:
        x = a
        while abs(x * x - a) > 1e-10:
            x = 0.5 * (x + a / x)
        return x

    g = hg.grad(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hg.RetraceWarning)
        for a in (2.0, 2.1, 9.0, 100.0, 1e-3, 2.0, 50.0, 1.5):
            assert g(a) == pytest.approx(0.5 / math.sqrt(a), rel=1e-6)


# -- captured state --------------------------------------------------------------------------------------------------


def test_a_changed_global_scalar(monkeypatch: pytest.MonkeyPatch) -> None:
    g = hg.grad(lambda x: helper(x) ** 2)
    assert g(1.0) == 8.0
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert g(1.0) == 18.0
    monkeypatch.setitem(globals(), "SCALE", 2)
    assert g(1.0) == 8.0


def test_a_captured_array_is_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    g = hg.grad(lambda x: np.sum(x * (2 * WEIGHTS)[ORDER]))
    weights = WEIGHTS.copy()
    for _ in range(3):
        np.testing.assert_array_equal(g(X), 2 * weights[ORDER])
        WEIGHTS[0] += 1.0
        weights[0] += 1.0
    WEIGHTS[:] = [1.0, 2.0, 3.0]
    monkeypatch.setitem(globals(), "ORDER", np.array([0, 0, 0]))
    np.testing.assert_array_equal(g(X), [2.0, 2.0, 2.0])
    monkeypatch.setitem(globals(), "WEIGHTS", np.array([1.0, 5.0]))
    np.testing.assert_array_equal(g(X), [2.0, 2.0, 2.0])
    monkeypatch.setitem(globals(), "ORDER", np.array([1, 1, 0]))
    np.testing.assert_array_equal(g(X), [10.0, 10.0, 2.0])


def test_a_changed_closure() -> None:
    factor: Any = 2.0
    offset = np.array([1.0, 0.0, 0.0])

    def f(x: Any) -> Any:
        return np.sum((factor * x + offset) ** 2)

    g = hg.grad(f)
    np.testing.assert_array_equal(g(X), 2 * factor * (factor * X + offset))
    factor = 3.0
    np.testing.assert_array_equal(g(X), 2 * factor * (factor * X + offset))
    offset[1] = 4.0
    np.testing.assert_array_equal(g(X), 2 * factor * (factor * X + offset))
    factor = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(g(X), 2 * factor * (factor * X + offset))


def test_a_changed_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    g = hg.grad(lambda x: helper(x))
    assert g(1.0) == 2.0
    monkeypatch.setitem(globals(), "helper", lambda x: x * 7)
    assert g(1.0) == 7.0
    other = types.FunctionType((lambda x: x * 9).__code__, globals())
    monkeypatch.setitem(globals(), "helper", other)
    assert g(1.0) == 9.0
    other.__code__ = (lambda x: x * 11).__code__
    assert g(1.0) == 11.0


def test_a_global_that_hides_a_builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    g = hg.grad(lambda x: abs(x))
    assert g(-1.0) == -1.0
    monkeypatch.setitem(globals(), "abs", lambda x: 5 * x)
    assert g(-1.0) == 5.0


def test_a_changed_default() -> None:
    def f(x: Any, k: Any = 2.0, *, w: Any = WEIGHTS) -> Any:
        return np.sum(x * k * w)

    g = hg.grad(f)
    np.testing.assert_array_equal(g(X), 2 * WEIGHTS)
    f.__defaults__ = (3.0,)
    np.testing.assert_array_equal(g(X), 3 * WEIGHTS)
    f.__kwdefaults__["w"] = np.ones(3)
    np.testing.assert_array_equal(g(X), [3.0, 3.0, 3.0])


def test_a_changed_dict_list_and_tuple(monkeypatch: pytest.MonkeyPatch) -> None:
    g = hg.grad(lambda x: np.sum(x * SETTINGS["rate"] * len(SETTINGS["layers"])))
    np.testing.assert_array_equal(g(X), np.full(3, 1.0))
    monkeypatch.setitem(SETTINGS, "rate", 2.0)
    np.testing.assert_array_equal(g(X), np.full(3, 4.0))
    monkeypatch.setitem(SETTINGS, "layers", [1])
    np.testing.assert_array_equal(g(X), np.full(3, 2.0))
    g = hg.grad(lambda x: np.sum(x * PAIR[0] * PAIR[1]))
    np.testing.assert_array_equal(g(X), [2.0, 2.0, 8.0])
    PAIR[1][0] = 5.0
    np.testing.assert_array_equal(g(X), [10.0, 2.0, 8.0])
    PAIR[1][0] = 1.0
    assert replayed(g) == 1


def test_arrays_in_a_dict_are_read_at_each_call() -> None:
    g = hg.grad(lambda x: np.sum(x * (2 * TABLE["w"])))
    np.testing.assert_array_equal(g(X), [2.0, 4.0, 6.0])
    TABLE["w"][0] = 9.0
    np.testing.assert_array_equal(g(X), [18.0, 4.0, 6.0])
    TABLE["w"][0] = 1.0
    assert replayed(g) == 1


def test_attributes_are_read_at_each_call() -> None:
    model = Model()
    for f in (model, model.loss, lambda x: x * MODEL.k, functools.partial(Model.loss, model)):
        owner = MODEL if isinstance(f, types.FunctionType) else model
        g = hg.grad(f)
        for k in (2.0, 3.0, 2.0):
            owner.k = k
            assert g(1.5) == hg.grad(f)(1.5)


def test_an_attribute_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("settings_of_a_user")
    module.k = 2.0  # type: ignore[attr-defined]
    exec("def double(x):\n    return x * k", vars(module))

    def f(x: Any) -> Any:
        return module.double(x) * module.k

    g = hg.grad(f)
    assert [g(1.0), g(1.0)] == [4.0, 4.0]
    module.k = 3.0  # type: ignore[attr-defined]
    assert g(1.0) == 9.0
    assert replayed(g) == 1


def test_assignments_to_outer_variables_happen_at_each_call() -> None:
    calls = 0

    def f(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x * calls

    g = hg.grad(f)
    assert [g(1.0), g(1.0), g(1.0)] == [1.0, 2.0, 3.0]
    assert calls == 3
    assert "calls" in g.report()


def test_assignments_to_globals_happen_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "COUNT", 0)

    def f(x: Any) -> Any:
        global COUNT
        COUNT += 1
        return x * COUNT

    g = hg.grad(f)
    assert [g(1.0), g(1.0)] == [1.0, 2.0]
    assert COUNT == 2


def test_what_is_kept_outside_has_actual_values() -> None:
    HISTORY.clear()
    model = Model()
    last: Any = None

    def f(x: Any) -> Any:
        nonlocal last
        HISTORY.append(x * 2)
        last = x + 1
        f.seen = x  # type: ignore[attr-defined]
        return model.loss(x)

    g = hg.grad(f)
    assert [g(1.0), g(2.0)] == [8.0, 16.0]
    assert HISTORY == [2.0, 4.0]
    assert last == 3.0
    assert f.seen == 2.0  # type: ignore[attr-defined]
    assert hg.grad(model.loss)(3.0) == 24.0
    assert model.last == 6.0


def test_random_numbers_are_drawn_at_each_call() -> None:
    random = np.random.default_rng(0)
    g = hg.grad(lambda x, r: x * r.standard_normal())
    expected = np.random.default_rng(0).standard_normal(3).tolist()
    assert [g(1.0, random) for _ in range(3)] == expected
    g = hg.grad(lambda x: x * np.random.standard_normal())
    np.random.seed(0)
    first = [g(1.0), g(1.0)]
    np.random.seed(0)
    assert first == [np.random.standard_normal(), np.random.standard_normal()]
    assert "random" in g.report()


def test_generators_that_are_arguments_give_arrays_to_fill() -> None:
    def f(x: Any, tools: Any) -> Any:
        rng = tools["rng"]
        cloud = rng.normal(size=3)
        cloud[0] = x[1] * tools["scale"]
        return np.sum(cloud * x) + rng.choice(x) + np.sum(rng.permutation(x) * np.arange(3.0))

    for make in (np.random.default_rng, np.random.RandomState):
        given, plain = ({"rng": make(4), "scale": 2.0} for _ in range(2))
        g = hg.value_and_grad(f)
        for k in range(1, 4):
            value, slope = g(k * X, given)
            before = copy.deepcopy(plain)
            assert value == pytest.approx(f(k * X, plain), rel=1e-14)
            near = [(f(k * X + d, copy.deepcopy(before)) - f(k * X - d, copy.deepcopy(before))) / 2e-6
                    for d in 1e-6 * np.eye(3)]  # fmt: skip
            np.testing.assert_allclose(slope, near, rtol=1e-6)


def test_the_text_of_an_array_follows_numpys_settings() -> None:
    g = hg.grad(lambda x: x * len(str(np.array([1 / 3]))))
    for digits in (3, 5, 3):
        with np.printoptions(precision=digits):
            assert g(1.0) == digits + 4


def test_division_by_zero_is_handled_by_the_users_code() -> None:
    def f(x: float) -> float:
        try:
            return 1 / (x - 2.0)
        except ZeroDivisionError:
            return 3 * x

    def g(x: float) -> float:
        found = 0.0
        with contextlib.suppress(ArithmeticError):
            found = x + x % (2.0 - x)
        with contextlib.suppress(OverflowError):
            found += (x * 1e100) ** (4 * x)
        try:
            return found + 5 // (x - 1.5) + (x - 3) ** -2
        except ZeroDivisionError:
            return found * x

    for function in (f, g):
        transform = hg.value_and_grad(function)
        for x in (1.2, 2.0, 0.25, 2.0, 1.5, 3.0, 0.3):
            near = 3.0 if function is f and x == 2 else (function(x + 1e-7) - function(x - 1e-7)) / 2e-7
            value, slope = transform(x)
            assert value == function(x)
            if abs(near) < 1e6 or function is f:
                assert slope == pytest.approx(near, rel=1e-5)
    with np.errstate(divide="ignore"):
        assert hg.value_and_grad(lambda x: 1 / x)(0.0) == (np.inf, -np.inf)  # where nobody looks, NumPy's answer


def test_printing_happens_at_each_call(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        print(f"x is {x:.1f}")
        return x * x

    g = hg.grad(f)
    g(1.0)
    g(2.0)
    assert capsys.readouterr().out == "x is 1.0\nx is 2.0\n"


# -- arguments -------------------------------------------------------------------------------------------------------


def test_writes_to_arguments_reach_the_caller_at_each_call() -> None:
    def f(x: Any, out: Any) -> Any:
        out[:] = x * 2
        x += 1
        return np.sum(x * out)

    g = hg.grad(f)
    for k in (1.0, 2.0, 3.0):
        x, out = np.full(3, k), np.zeros(3)
        np.testing.assert_array_equal(g(x, out), np.full(3, 2 * k + 2 * (k + 1)))
        np.testing.assert_array_equal(x, np.full(3, k + 1))
        np.testing.assert_array_equal(out, np.full(3, 2 * k))
    assert replayed(g) == 2


def test_a_captured_buffer_gets_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        BUFFER[:] = x**2
        return np.sum(BUFFER * x)

    g = hg.grad(f)
    for k in (1.0, 2.0):
        np.testing.assert_array_equal(g(k * X), 3 * (k * X) ** 2)
        np.testing.assert_array_equal(BUFFER, (k * X) ** 2)


def test_lists_and_dicts_of_the_caller_are_changed_as_without_tracing() -> None:
    def f(p: Any, log: Any) -> Any:
        p["w"] = p["w"] * 2
        log.append(p["w"][0])
        log.append("done")
        return np.sum(p["w"] ** 2)

    g = hg.grad(f)
    for _ in range(2):
        p, log = {"w": np.array([1.0, 2.0])}, []
        np.testing.assert_array_equal(g(p, log)["w"], [8.0, 16.0])
        np.testing.assert_array_equal(p["w"], [2.0, 4.0])
        assert log == [2.0, "done"]


def test_a_list_that_is_given_twice_is_not_changed_under_one_name_only() -> None:
    def f(first: Any, second: Any) -> Any:
        if len(first) < 3:
            first.append(3.0)
        return sum(second) * first[0]

    both, other = [1.0, 2.0], [1.0, 2.0]
    g = hg.grad(f, (0, 1))
    assert g([1.0, 2.0], other) == ([3.0, 0.0], [1.0, 1.0])
    with pytest.raises(TraceError, match="given twice"):
        g(both, both)
    assert both == [1.0, 2.0]
    three = [1.0, 2.0, 3.0]
    assert g(three, three) == ([6.0, 0.0, 0.0], [1.0, 1.0, 1.0])

    def h(p: Any) -> Any:
        p["a"][0] = p["b"][0] * 2
        return p["a"][0] * p["b"][0]

    row = [5.0]
    with pytest.raises(TraceError, match="given twice"):
        hg.grad(h)({"a": row, "b": row})


def test_exceptions_hold_actual_values() -> None:
    class DivergedError(Exception):
        def __init__(self, value: Any) -> None:
            super().__init__(value)
            self.last = {"x": value}

    def f(x: Any) -> Any:
        try:
            raise DivergedError(x * 2)
        except DivergedError as error:
            raise ValueError(x.sum()) from error

    with pytest.raises(ValueError, match=r"1\.5") as caught:
        hg.grad(f)(X)
    assert type(caught.value.args[0]) is np.float64
    cause = caught.value.__cause__
    assert isinstance(cause, DivergedError)
    assert type(cause.args[0]) is np.ndarray
    np.testing.assert_array_equal(cause.last["x"], 2 * X)


def test_errors_are_of_the_class_that_numpy_raises() -> None:
    def f(x: Any) -> Any:
        for wrong in (lambda x: x.sum(axis=3), lambda x: np.concatenate([x, x], axis=2), lambda x: np.flip(x, 1)):
            try:
                wrong(x)
            except np.exceptions.AxisError:
                x = x * 2
        return x.sum()

    assert hg.value_and_grad(f)(X)[0] == f(X) == 8 * X.sum()


def test_results_are_new_arrays_at_each_call() -> None:
    g = hg.value_and_grad(lambda x: (np.sum(x * 3), x), has_aux=True)
    (_, aux), first = g(X)
    (_, again), second = g(X)
    first[:] = 0
    aux[:] = 0
    np.testing.assert_array_equal(second, [3.0, 3.0, 3.0])
    np.testing.assert_array_equal(again, X)
    assert not np.shares_memory(again, X)


# -- failures --------------------------------------------------------------------------------------------------------


def test_an_exception_leaves_the_traces_usable() -> None:
    def f(x: Any) -> Any:
        if x < 0:
            raise ValueError("negative")
        return x * x

    g = hg.grad(f)
    assert g(2.0) == 4.0
    with pytest.raises(ValueError, match="negative"):
        g(-1.0)
    assert g(3.0) == 6.0


def test_what_raises_at_a_replay_is_handled_by_the_users_code() -> None:
    def f(x: Any, k: Any) -> Any:
        try:
            return x[k]
        except IndexError:
            return x[0] * 10

    g = hg.grad(f)
    for k in (np.int64(0), np.int64(7), np.int64(1), np.int64(9)):
        np.testing.assert_array_equal(g(X, k), hg.grad(f)(X, k))


def test_threads_may_share_a_function() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.sum(w * x**2) if x[0] > 0 else np.sum(w * x**3)

    g = hg.grad(f)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for _ in range(40):
                x, w = random.standard_normal(3), random.standard_normal(3)
                expected = 2 * w * x if x[0] > 0 else 3 * w * x**2
                np.testing.assert_allclose(g(x, w), expected, rtol=1e-12)
        except BaseException as error:  # told below
            errors.append(error)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors


def test_the_function_may_call_its_own_gradient() -> None:
    def f(x: Any) -> Any:
        return x**3 if x > 2 else g(x + 2) * x

    g = hg.grad(f)
    for x in (1.0, 3.0, 1.5, 2.5, 1.0):
        expected = 3 * x**2 if x > 2 else 6 * (x + 2) * x + 3 * (x + 2) ** 2
        assert g(x) == pytest.approx(expected)


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_large_jacobians_are_traced_once(mode: Any) -> None:
    """The first call waits for native code, as the values on the way would take much memory."""

    def f(x: Any) -> Any:
        return np.sum(np.sin(x[:, None] + np.linspace(0.0, 1.0, 150_000)), axis=1)

    jacobian = hg.jacobian(f, mode=mode, backend="native")
    for scale in (1.0, 2.0, 3.0):
        x = scale * np.arange(4.0)
        wanted = np.diag(np.sum(np.cos(x[:, None] + np.linspace(0.0, 1.0, 150_000)), axis=1))
        np.testing.assert_allclose(jacobian(x), wanted, rtol=1e-9, atol=1e-9)
    assert traces(jacobian) == 1
    assert replayed(jacobian) == 3
    assert jacobian.kernels


# -- native code that cannot be made -----------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["simplify", "Program"])
@pytest.mark.parametrize("size", [3, 10**6])  # which waits for native code
def test_what_cannot_be_compiled_is_computed(monkeypatch: pytest.MonkeyPatch, broken: str, size: int) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise IndexError("out of range")

    x = np.linspace(0.0, 1.0, size)
    with hg.use_backend("native"):
        for transform, wanted in (
            (hg.grad(lambda x: np.sum(np.sin(x))), np.cos(x)),
            (hg.compile(np.sin), np.sin(x)),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(f"hopgrad.backend.{broken}", breaks)
                with pytest.warns(hg.NativeCodeWarning, match="IndexError: out of range"):
                    np.testing.assert_array_equal(transform(x), wanted)
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # it is told once
                np.testing.assert_array_equal(transform(x), wanted)
            assert "by NumPy: native code could not be made (IndexError" in transform.report()


def test_what_cannot_be_compiled_later_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """For arrays that lie otherwise in memory, or for the columns of a Jacobian."""

    def breaks(*_: Any, **__: Any) -> Any:
        raise IndexError("out of range")

    x = np.linspace(0.0, 1.0, 8)
    f = hg.compile(lambda x: np.exp(x) * x)
    jacobian = hg.jacobian(lambda x: np.exp(x) * x)
    with hg.use_backend("native"):
        np.testing.assert_allclose(f(x), np.exp(x) * x, 1e-15)
        monkeypatch.setattr("hopgrad.backend.Program", breaks)
        with pytest.warns(hg.NativeCodeWarning):
            np.testing.assert_allclose(f(x[::2]), (np.exp(x) * x)[::2], 1e-15)
        np.testing.assert_allclose(f(x), np.exp(x) * x, 1e-15)
        with pytest.warns(hg.NativeCodeWarning):
            np.testing.assert_allclose(jacobian(x), np.diag(np.exp(x) * (x + 1)), 1e-14)
        np.testing.assert_allclose(jacobian(x), np.diag(np.exp(x) * (x + 1)), 1e-14)
