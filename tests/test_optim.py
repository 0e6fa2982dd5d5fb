"""Gradient descent, and how the transforms fit SciPy's optimizers."""

import io
import math
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import hopgrad as hg
from hopgrad.optim import Descent, DivergenceError, descend

A = np.array([[3.0, 1.0], [1.0, 2.0]])
b = np.array([1.0, -1.0])


def bowl(x: Any) -> Any:
    return 0.5 * (x @ A @ x) - b @ x


def test_finds_the_minimum_of_a_bowl() -> None:
    found = descend(bowl, np.zeros(2), steps=200, learning_rate=0.3)
    np.testing.assert_allclose(found.params, np.linalg.solve(A, b), atol=1e-12)
    assert found.steps == 200
    assert found.losses.shape == found.gradient_norms.shape == (201,)
    assert found.losses[0] == 0.0
    assert (np.diff(found.losses) <= 1e-15).all()
    assert found.gradient_norms[-1] < 1e-12


def test_history_belongs_to_the_points_before_each_step() -> None:
    seen: list[Any] = []
    found = descend(bowl, np.ones(2), steps=3, callback=lambda step, loss, params: seen.append((step, loss, params)))
    assert [step for step, _, _ in seen] == [0, 1, 2]
    for step, loss, params in seen:
        assert loss == found.losses[step] == bowl(params)
        assert found.gradient_norms[step] == pytest.approx(np.linalg.norm(A @ params - b), rel=1e-14)
    assert found.losses[-1] == bowl(found.params)


def test_step_and_momentum_are_those_of_polyak() -> None:
    x, v = np.ones(2), np.zeros(2)
    for _ in range(5):
        v = 0.9 * v - 0.1 * (A @ x - b)
        x = x + v
    np.testing.assert_allclose(descend(bowl, np.ones(2), 5, momentum=0.9).params, x, rtol=1e-14)


def test_takes_nested_parameters_and_leaves_them_alone() -> None:
    start = {"w": [np.ones(2), 3.0], "b": (np.float32(2.0),)}

    def loss(p: Any) -> Any:
        return np.sum(p["w"][0] ** 2) + p["w"][1] ** 2 + p["b"][0] ** 2

    found = descend(loss, start, steps=100, learning_rate=0.25)
    assert start == {"w": [start["w"][0], 3.0], "b": (np.float32(2.0),)}
    np.testing.assert_array_equal(start["w"][0], [1.0, 1.0])
    np.testing.assert_allclose(found.params["w"][0], 0, atol=1e-12)
    assert type(found.params["w"][1]) is float
    assert found.params["b"][0].dtype == np.float32
    assert abs(found.params["b"][0]) < 1e-6


def test_a_schedule_gives_the_learning_rate_of_each_step() -> None:
    rates = [0.5, 0.25]
    found = descend(lambda x: x * x, 1.0, steps=2, learning_rate=lambda step: rates[step])
    assert found.params == (1 - 2 * 0.5) * (1 - 2 * 0.25)


def test_callback_ends_the_descent() -> None:
    found = descend(bowl, np.ones(2), steps=100, callback=lambda step, loss, params: step == 7)
    assert found.steps == 7
    assert found.losses.shape == (8,)


def test_no_steps_still_tells_the_loss() -> None:
    found = descend(lambda x: x**2, 3.0, steps=0)
    assert (found.params, found.steps, found.losses.tolist(), found.gradient_norms.tolist()) == (3.0, 0, [9.0], [6.0])


def test_divergence_names_the_step_and_keeps_the_last_good_parameters() -> None:
    with pytest.raises(
        DivergenceError, match=r"at step \d+, after .* at step \d+: try a smaller learning_rate"
    ) as caught:
        descend(lambda x: x**4, 10.0, steps=100, learning_rate=1.0)
    result = caught.value.result
    assert isinstance(result, Descent)
    assert caught.value.step == result.steps + 1
    assert math.isfinite(result.params)
    assert result.losses[-1] == result.params**4
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), DivergenceError)


def test_a_bad_start_has_no_last_good_parameters() -> None:
    with pytest.raises(DivergenceError, match="the loss is nan at the starting point") as caught:
        descend(lambda x: np.sqrt(x), -1.0, steps=3)
    assert caught.value.result is None
    with np.errstate(divide="ignore"), pytest.raises(DivergenceError, match="the gradient's norm is inf at the start"):
        descend(lambda x: np.sqrt(x), 0.0, steps=3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": -1}, ValueError, "steps must not be negative"),
        ({"steps": 2.0}, TypeError, "steps must be an integer, not float"),
        ({"steps": True}, TypeError, "steps must be an integer, not bool"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be a positive number, but is 0.0"),
        ({"learning_rate": math.inf}, ValueError, "learning_rate must be a positive number"),
        ({"learning_rate": "0.1"}, ValueError, "learning_rate must be a positive number"),
        ({"learning_rate": lambda step: -1.0}, ValueError, "but is -1.0 at step 0"),
        ({"momentum": 1.0}, ValueError, "momentum must be at least 0 and less than 1"),
        ({"momentum": -0.1}, ValueError, "momentum must be at least 0"),
        ({"loss": 3.0}, TypeError, "loss must be a function of the parameters, not float"),
    ],
)
def test_checks_its_input(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"loss": bowl, "params": np.ones(2), "steps": 1, **options}
    with pytest.raises(error, match=message):
        descend(**given)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_goes_to_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        descend(bowl, np.ones(2), steps=5, progress=True)
        assert ("step 5/5  loss" in stream.getvalue()) is shown
    monkeypatch.setattr(sys, "stderr", Terminal())
    descend(bowl, np.ones(2), steps=5)
    assert sys.stderr.getvalue() == ""


def test_result_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        descend(bowl, np.ones(2), steps=1).steps = 3  # type: ignore[misc]


# -- SciPy's optimizers ----------------------------------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    """Rosenbrock, "An automatic method for finding the greatest or least value of a function" (1960)."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


START = np.array([1.3, 0.7, 0.8, 1.9])


def test_value_and_grad_fits_minimize() -> None:
    found = scipy.optimize.minimize(hg.value_and_grad(rosenbrock), START, jac=True, method="BFGS")
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    assert scipy.optimize.check_grad(rosenbrock, hg.grad(rosenbrock), START) < 1e-4


@pytest.mark.parametrize("method", ["trust-ncg", "Newton-CG", "trust-krylov"])
def test_hvp_fits_hessp(method: str) -> None:
    found = scipy.optimize.minimize(
        hg.value_and_grad(rosenbrock), START, jac=True, hessp=hg.hvp(rosenbrock), method=method, tol=1e-8
    )
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)


def test_hessian_fits_hess() -> None:
    found = scipy.optimize.minimize(
        rosenbrock, START, jac=hg.grad(rosenbrock), hess=hg.hessian(rosenbrock), method="trust-exact", tol=1e-8
    )
    np.testing.assert_allclose(found.x, 1.0, atol=1e-8)


def test_parameters_with_further_arguments() -> None:
    found = scipy.optimize.minimize(
        hg.value_and_grad(lambda x, target: np.sum((x - target) ** 2)), np.zeros(3), args=(np.arange(3.0),), jac=True
    )
    np.testing.assert_allclose(found.x, [0, 1, 2], atol=1e-8)


# -- optimizers and schedules that PyTorch does not have; the others are in test_networks.py ---------------------------


def test_lion_is_the_algorithm_of_its_paper() -> None:
    optimizer = hg.optim.Lion(lr=0.01, betas=(0.8, 0.9), weight_decay=0.1)
    x, m = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    params, state = {"x": x.copy()}, optimizer.init({"x": x})
    for k in range(6):
        g = np.sin(x + k)
        params, state = optimizer.update({"x": g.copy()}, state, params)
        x = x - 0.01 * (np.sign(0.8 * m + (1 - 0.8) * g) + 0.1 * x)
        m = 0.9 * m + (1 - 0.9) * g
        np.testing.assert_allclose(params["x"], x, rtol=1e-14)
        np.testing.assert_allclose(state.slots["mean"]["x"], m, rtol=1e-14)
    assert int(state.count) == 6


def test_warmup_and_piecewise_schedules_go_on_where_they_should() -> None:
    s = hg.optim.schedules
    rate = s.warmup(s.linear(1.0, 10), 4)
    np.testing.assert_allclose([float(rate(k)) for k in range(6)], [0.25, 0.5, 0.75, 1.0, 1.0, 0.9], rtol=1e-14)
    parts = s.piecewise([0.5, s.exponential(1.0, 0.5), 0.1], [2, 4])
    np.testing.assert_allclose([float(parts(k)) for k in range(6)], [0.5, 0.5, 1.0, 0.5, 0.1, 0.1], rtol=1e-14)
    compiled = hg.compile(lambda count: rate(count) + parts(count))
    for k in range(6):
        assert compiled(np.int64(k)) == pytest.approx(float(rate(k)) + float(parts(k)), rel=1e-14)
    assert "1 trace kept" in compiled.report()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hg.optim.SGD(-0.1), "lr must be finite and not negative"),
        (lambda: hg.optim.Adam(betas=(0.9, 1.0)), "betas must be less than 1"),
        (lambda: hg.optim.SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: hg.optim.LBFGS(history_size=0), "history_size must be a positive integer"),
        (lambda: hg.optim.clip_by_value({}, 0.0), "limit must be positive"),
        (lambda: hg.optim.schedules.cosine(0.1, 0), "steps must be a positive integer"),
        (lambda: hg.optim.schedules.piecewise([0.1, 0.2], [3, 4]), "need one start less"),
    ],
)
def test_optimizers_check_their_options(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_gradient_of_another_structure_is_told() -> None:
    optimizer = hg.optim.Adam()
    params = {"w": np.ones(2), "b": np.ones(1)}
    with pytest.raises(hg.ShapeError, match="nesting differs at gradient"):
        optimizer.update({"w": np.ones(2)}, optimizer.init(params), params)
