"""``scipy.integrate``: rules for samples, integrals and differential equations, by differences and closed forms."""

from __future__ import annotations

import inspect
import types
from typing import Any

import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import odeint, quad, solve_ivp
from scipy_calls import check_curvature, check_native, check_slopes, check_value, parametrize

import hopgrad as hg
from hopgrad.errors import LoopError, NotDifferentiableError, ShapeError, TraceError

MODULE = "scipy.integrate"

# -- samples -----------------------------------------------------------------------------------------------------------

CALLS = """
integrate.trapezoid(L)
integrate.trapezoid(L, np.cumsum(L**2), axis=0)
integrate.trapezoid(M, dx=s, axis=0)
integrate.trapezoid(M, np.cumsum(M**2, 1))
integrate.trapezoid(Z, dx=s)
integrate.cumulative_trapezoid(L, dx=s)
integrate.cumulative_trapezoid(M, np.cumsum(p.repeat(2)), initial=0)
integrate.cumulative_trapezoid(M, axis=0)
integrate.simpson(L)
integrate.simpson(L, np.cumsum(1 + L**2))
integrate.simpson(K, dx=s)
integrate.simpson(K, np.cumsum(1 + K**2))
integrate.simpson(M, axis=0, dx=s)
integrate.simpson(M, x=np.cumsum(1 + M**2, 1), axis=1)
integrate.simpson(x[:2], y[:2])
integrate.simpson(x)
integrate.romb(L, dx=s)
integrate.romb(M, axis=0)
integrate.romb(x[:2])
integrate.fixed_quad(lambda t: np.exp(-s * t) * x[0], 0.3 * s, 1.0 + s, n=7)[0]
integrate.fixed_quad(lambda t, a: a * t**2, 0.0, 2.0, args=(s,))[0]
"""


@parametrize(CALLS)
def test_values_are_scipys(text: str) -> None:
    check_value(text, MODULE)


@parametrize(CALLS)
def test_first_derivatives(text: str) -> None:
    check_slopes(text, MODULE)


@parametrize(CALLS)
def test_second_derivatives(text: str) -> None:
    check_curvature(text, MODULE)


@parametrize(CALLS)
def test_native_code_agrees(text: str) -> None:
    check_native(text, MODULE)


def test_samples_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="power of 2"):
        hg.grad(lambda y: scipy.integrate.romb(y))(np.ones(4))
    with pytest.raises(ValueError, match="length of x"):
        hg.grad(lambda y: scipy.integrate.simpson(y, np.arange(3.0)))(np.ones(4))
    with pytest.raises(ValueError, match="initial"):
        hg.grad(lambda y: np.sum(scipy.integrate.cumulative_trapezoid(y, initial=1.0)))(np.ones(4))
    assert_array_equal(hg.grad(lambda y: scipy.integrate.simpson(y))(np.ones(1)), [0.0])


# -- integrals ---------------------------------------------------------------------------------------------------------


def gaussian(a: Any) -> Any:
    """½ √(π/a)."""
    return quad(lambda t: np.exp(-a * t * t), 0.0, np.inf)[0]


def test_an_integral_by_a_parameter_to_the_third_order() -> None:
    for order, factor in enumerate([0.5, -0.25, 0.375, -0.9375]):
        f: Any = gaussian
        for _ in range(order):
            f = hg.grad(f)
        assert_allclose(f(2.0), factor * np.sqrt(np.pi) * 2.0 ** -(order + 0.5), rtol=1e-8)


def test_forward_and_mixed_modes() -> None:
    want = -0.25 * np.sqrt(np.pi) * 2.0**-1.5
    assert_allclose(hg.jvp(gaussian, (2.0,), (1.0,))[1], want, rtol=1e-8)
    assert_allclose(hg.hvp(gaussian)(2.0, 1.0), 0.375 * np.sqrt(np.pi) * 2.0**-2.5, rtol=1e-8)


def test_an_integral_by_its_limits() -> None:
    """Leibniz's rule, in both limits, of both orders, and with the parameter in all places."""
    f = lambda a, b: quad(np.cos, a, b)[0]  # noqa: E731
    assert_allclose(hg.grad(f, argnums=(0, 1))(0.3, 1.7), [-np.cos(0.3), np.cos(1.7)], rtol=1e-12)
    assert_allclose(hg.hessian(f, argnums=(0, 1))(0.3, 1.7), [[np.sin(0.3), 0.0], [0.0, -np.sin(1.7)]], atol=1e-12)
    g = lambda x: quad(lambda t: np.sin(x * t), x, x * x)[0]  # noqa: E731
    closed = lambda x: (np.cos(x * x) - np.cos(x**3)) / x  # noqa: E731
    assert_allclose(hg.grad(g)(1.3), hg.grad(closed)(1.3), rtol=1e-9)
    assert_allclose(hg.grad(hg.grad(g))(1.3), hg.grad(hg.grad(closed))(1.3), rtol=1e-8)
    assert_allclose(hg.jvp(g, (1.3,), (2.0,))[1], 2 * hg.grad(closed)(1.3), rtol=1e-9)


def test_arguments_arrays_and_points() -> None:
    w = np.array([1.0, -2.0, 0.5])
    f = lambda w, c: quad(lambda t, c: np.sum(w * t ** np.arange(3)) + c, 0.0, 2.0, args=(c,))[0]  # noqa: E731
    got = hg.grad(f, argnums=(0, 1))(w, 3.0)
    assert_allclose(got[0], [2.0, 2.0, 8.0 / 3.0], rtol=1e-10)
    assert_allclose(got[1], 2.0, rtol=1e-10)
    g = lambda a: quad(lambda t: a * np.abs(t - 1.0), 0.0, 2.0, points=[1.0])[0]  # noqa: E731
    assert_allclose(hg.value_and_grad(g)(3.0), (3.0, 1.0), rtol=1e-12)


def test_an_integral_of_an_integral() -> None:
    """∫₀¹ ∫₀ˣ a y dy dx = a/6."""
    f = lambda a: quad(lambda x: quad(lambda y: a * y, 0.0, x)[0], 0.0, 1.0)[0]  # noqa: E731
    assert_allclose(hg.value_and_grad(f)(3.0), (0.5, 1.0 / 6.0), rtol=1e-10)


def test_value_and_error_are_scipys_and_traces_are_kept() -> None:
    f = hg.value_and_grad(lambda a: quad(lambda t: np.exp(-a * t), 0.0, 1.0)[0])
    for a in (0.5, 3.0, 30.0, 300.0):  # each has its own division of the interval
        value, slope = f(a)
        assert value == quad(lambda t, a=a: np.exp(-a * t), 0.0, 1.0)[0]
        assert_allclose(slope, ((1 + a) * np.exp(-a) - 1) / a**2, rtol=1e-9)
    assert "traced anew" not in f.report()
    error = hg.grad(lambda a: quad(lambda t: np.exp(-a * t), 0.0, 1.0)[1])
    assert error(1.0) == 0.0


def test_an_integral_over_nothing_and_backwards() -> None:
    f = lambda a: quad(lambda t: a * t, 1.0, 1.0)[0]  # noqa: E731
    assert hg.value_and_grad(f)(2.0) == (0.0, 0.0)
    assert_allclose(hg.grad(lambda a: quad(lambda t: a * t, 1.0, 0.0)[0])(2.0), -0.5, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda a: quad(lambda t: a * t, 0, 1, full_output=1)[0], "full_output"),
        (lambda a: quad(lambda t: a * t, 0, 1, weight="cos", wvar=1.0)[0], "weight"),
        (lambda a: quad(lambda t: a * t, 0, 1, complex_func=True)[0], "complex_func"),
        (lambda a: quad(lambda t: t, 0, 1, epsabs=a)[0], "tolerances"),
    ],
)
def test_options_of_quad_that_are_refused_are_named(call: Any, name: str) -> None:
    with pytest.raises(NotDifferentiableError, match=rf"scipy\.integrate\.quad.*{name}"):
        hg.grad(call)(1.0)


def test_an_integrand_that_gives_an_array_is_refused_with_its_shape() -> None:
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        hg.grad(lambda a: quad(lambda t: a * np.ones(2), 0, 1)[0])(1.0)


# -- differential equations --------------------------------------------------------------------------------------------

FINE = {"rtol": 1e-10, "atol": 1e-12}
METHODS = ["RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA"]


def logistic(r: Any, y0: Any, t: Any) -> Any:
    """The solution of y′ = r y (1 − y)."""
    return 1.0 / (1.0 + (1.0 / y0 - 1.0) * np.exp(-r * t))


def by_solver(r: Any, y0: Any, t: Any, **options: Any) -> Any:
    return solve_ivp(lambda s, y: r * y * (1.0 - y), (0.0, t), [y0], t_eval=[0.5 * t, t], **options).y[0, -1]


@pytest.mark.parametrize("method", METHODS)
def test_first_derivatives_by_each_method(method: str) -> None:
    at = 1.3, 0.2, 2.0
    given = {"method": method, "rtol": 1e-8, "atol": 1e-10}
    f = lambda *args: by_solver(*args, **given)  # noqa: E731
    want = hg.grad(logistic, argnums=(0, 1, 2))(*at)
    assert_allclose(hg.grad(f, argnums=(0, 1, 2))(*at), want, rtol=3e-6)
    assert_allclose(hg.jvp(f, at, (0.3, 0.2, 0.5))[1], np.dot(want, (0.3, 0.2, 0.5)), rtol=3e-6)


def test_second_derivatives_of_a_solution() -> None:
    at = 1.3, 0.2, 2.0
    f = lambda *args: by_solver(*args, method="DOP853", **FINE)  # noqa: E731
    got = np.array(hg.hessian(f, argnums=(0, 1, 2))(*at))
    want = np.array(hg.hessian(logistic, argnums=(0, 1, 2))(*at))
    assert_allclose(got, want, rtol=1e-7)
    again = hg.hvp(lambda v: f(v[0], v[1], v[2]))(np.array(at), np.array([1.0, 0.5, -0.3]))
    assert_allclose(again, want @ [1.0, 0.5, -0.3], rtol=1e-7)


def test_a_tolerance_says_how_accurate_the_derivative_is() -> None:
    want = hg.grad(logistic)(1.3, 0.2, 2.0)
    errors = [
        abs(hg.grad(lambda r, e=e: by_solver(r, 0.2, 2.0, rtol=e, atol=e))(1.3) - want) for e in (1e-3, 1e-6, 1e-9)
    ]
    assert errors[0] < 1e-2
    assert errors[1] < 1e-5
    assert errors[2] < 1e-8


def test_a_system_with_parameters_in_all_places() -> None:
    """Lotka and Volterra's, with args, an array that is captured, and the start; against differences."""
    c = np.array([0.9, 0.5])

    def final(a: Any, c: Any, y0: Any) -> Any:
        def f(t: Any, y: Any, a: Any) -> Any:
            return [a * y[0] - c[1] * y[0] * y[1], -c[0] * y[1] + c[1] * y[0] * y[1]]

        return solve_ivp(f, (0.0, 3.0), y0, t_eval=np.linspace(0.0, 3.0, 5), args=(a,), method="DOP853", **FINE).y

    weights = np.cos(np.arange(10.0)).reshape(2, 5)
    loss = lambda *args: np.sum(weights * final(*args))  # noqa: E731
    at = (1.1, c, np.array([1.5, 0.7]))
    got = hg.grad(loss, argnums=(0, 1, 2))(*at)
    h = 1e-5
    for k, way in enumerate(
        [(1.0, 0 * c, 0 * c), (0.0, np.array([1.0, 2.0]), 0 * c), (0.0, 0 * c, np.array([1.0, -1]))]
    ):
        up, down = (loss(*[v + e * w for v, w in zip(at, way, strict=True)]) for e in (h, -h))
        along = np.sum(got[k] * way[k])
        assert_allclose(along, (up - down) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_a_stiff_problem(method: str) -> None:
    """y′ = −λ (y − cos t), of which backwards integration would grow by exp(λ t)."""

    def f(rate: Any, y0: Any) -> Any:
        found = solve_ivp(
            lambda t, y: -rate * (y - np.cos(t)), (0.0, 1.0), [y0], method, t_eval=[1.0], rtol=1e-8, atol=1e-10
        )
        return found.y[0, 0]

    def closed(rate: Any, y0: Any) -> Any:
        def forced(t: Any) -> Any:
            return rate * (rate * np.cos(t) + np.sin(t)) / (1.0 + rate**2)

        return forced(1.0) + (y0 - forced(0.0)) * np.exp(-rate)

    assert_allclose(hg.grad(f)(1e3, 2.0), hg.grad(closed)(1e3, 2.0), rtol=1e-4)
    assert_allclose(hg.grad(f, argnums=1)(1e3, 2.0), 0.0, atol=1e-9)


def test_the_times_of_the_solvers_own_steps() -> None:
    def f(r: Any, end: Any) -> Any:
        found = solve_ivp(lambda t, y: -r * y, (0.0, end), [1.0], **FINE)
        return found.y[0, -1] + 0.0 * found.t[-1]

    plain = solve_ivp(lambda t, y: -1.3 * y, (0.0, 2.0), [1.0], **FINE)
    got = hg.vjp(lambda r: (lambda s: (s.t, s.y))(solve_ivp(lambda t, y: -r * y, (0.0, 2.0), [1.0], **FINE)), 1.3)[0]
    assert_array_equal(got[0], plain.t)
    assert_allclose(got[1], plain.y, rtol=1e-9)
    assert_allclose(hg.grad(f, argnums=(0, 1))(1.3, 2.0), [-2 * np.exp(-2.6), -1.3 * np.exp(-2.6)], rtol=1e-8)
    g = hg.grad(f)
    for r in (0.1, 1.0, 5.0):  # another number of steps each time
        assert_allclose(g(r, 2.0), -2 * np.exp(-2 * r), rtol=1e-7)


def test_odeint_is_scipys() -> None:
    t = np.linspace(0.0, 2.0, 4)
    f = lambda r, y0: odeint(lambda y, t, r: r * y * (1.0 - y), y0, t, args=(r,), **FINE)  # noqa: E731
    value, back = hg.vjp(f, 1.3, 0.2)
    assert value.shape == (4, 1)
    assert_allclose(value[:, 0], logistic(1.3, 0.2, t), rtol=1e-8)
    assert_allclose(value, f(1.3, 0.2), rtol=1e-12)
    weights = np.array([[0.3], [1.0], [-2.0], [0.5]])
    want = hg.grad(lambda r, y0: np.sum(weights[:, 0] * logistic(r, y0, t)), argnums=(0, 1))(1.3, 0.2)
    assert_allclose(back(weights), want, rtol=1e-6)
    first = hg.grad(lambda y0: odeint(lambda t, y: -y, y0, [0.0, 1.0], tfirst=True, **FINE)[1, 0])
    assert_allclose(first(2.0), np.exp(-1.0), rtol=1e-7)
    by_time = hg.grad(lambda t: odeint(lambda y, s: -y, 1.0, [0.0, t], **FINE)[1, 0])
    assert_allclose(by_time(1.0), -np.exp(-1.0), rtol=1e-7)


def test_the_start_of_time_counts_as_well() -> None:
    f = lambda t0: solve_ivp(lambda t, y: t * y, (t0, 2.0), [1.0], t_eval=[2.0], **FINE).y[0, 0]  # noqa: E731
    closed = lambda t0: np.exp(2.0 - t0 * t0 / 2)  # noqa: E731
    assert_allclose(hg.grad(f)(0.5), hg.grad(closed)(0.5), rtol=1e-8)
    assert_allclose(hg.jvp(f, (0.5,), (1.0,))[1], hg.grad(closed)(0.5), rtol=1e-8)


@pytest.mark.parametrize("method", [*METHODS, "odeint"])
def test_many_components_by_the_adjoint(method: str) -> None:
    """Heat on a rod, exact by the exponential of a matrix; by the start, the conductivity and the time."""
    n = 70
    matrix = np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    start, weights = np.sin(np.arange(n)), np.cos(np.arange(2.0 * n)).reshape(n, 2)
    w, v = np.linalg.eigh(matrix)

    def solved(k: Any, y: Any, t: Any) -> Any:
        if method == "odeint":
            times = np.stack([0.0 * t, 0.5 * t, t])
            return odeint(lambda y, s: k * (matrix @ y), y, times, rtol=1e-9, atol=1e-11)[1:].T
        times = np.stack([0.5 * t, t])
        return solve_ivp(lambda s, y: k * (matrix @ y), (0.0, t), y, method, t_eval=times, rtol=1e-7, atol=1e-9).y

    def closed(k: Any, y: Any, t: Any) -> Any:
        return np.stack([v @ (np.exp(k * w * s) * (v.T @ y)) for s in (0.5 * t, t)], -1)

    at = 0.7, start, 1.3
    got, want = (hg.grad(lambda *a, f=f: np.sum(weights * f(*a)), argnums=(0, 1, 2))(*at) for f in (solved, closed))
    for one, other in zip(got, want, strict=True):
        assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    forward = hg.jvp(lambda k: solved(k, start, 1.3), (0.7,), (1.0,))[1]
    assert_allclose(np.sum(weights * forward), want[0], rtol=1e-4)


def test_second_derivatives_of_many_components_are_refused_with_a_cure() -> None:
    f = lambda k: np.sum(solve_ivp(lambda t, y: -k * y, (0.0, 1.0), np.ones(80), t_eval=[1.0]).y)  # noqa: E731
    with pytest.raises(NotDifferentiableError, match="forward mode"):
        hg.grad(hg.grad(f))(2.0)


def test_a_stiff_problem_of_many_components() -> None:
    """Which backwards integration of the solution would blow up."""
    rates = np.linspace(1.0, 1e3, 70)
    f = lambda y: np.sum(  # noqa: E731
        solve_ivp(lambda t, y: -rates * y, (0.0, 1.0), y, "BDF", t_eval=[1.0], rtol=1e-8, atol=1e-10).y
    )
    assert_allclose(hg.grad(f)(np.ones(70)), np.exp(-rates), rtol=1e-5, atol=1e-7)


def test_a_solver_that_fails_says_so() -> None:
    with pytest.raises(LoopError, match="solve_ivp"):
        hg.grad(lambda y: solve_ivp(lambda t, y: y * y, (0.0, 2.0), [y], t_eval=[2.0]).y[0, 0])(1.0)


def test_no_times_and_no_components() -> None:
    f = lambda y: np.sum(solve_ivp(lambda t, y: -y, (0.0, 1.0), y, t_eval=[]).y) + np.sum(y)  # noqa: E731
    assert_array_equal(hg.grad(f)(np.ones(2)), np.ones(2))


def test_single_precision_parameters_get_single_precision_gradients() -> None:
    f = lambda y: np.sum(solve_ivp(lambda t, y: -y, (0.0, 1.0), y, t_eval=[1.0]).y)  # noqa: E731
    got = hg.grad(f)(np.ones(2, np.float32))
    assert got.dtype == np.float32
    assert_allclose(got, np.exp(-1.0), rtol=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: solve_ivp(lambda t, y: -k * y, (0, 1), [1.0], events=lambda t, y: y[0]), NotDifferentiableError,
         r"scipy\.integrate\.solve_ivp\(events"),
        (lambda k: solve_ivp(lambda t, y: -k * y, (0, 1), [1.0], dense_output=True), NotDifferentiableError,
         r"scipy\.integrate\.solve_ivp\(dense_output"),
        (lambda k: solve_ivp(lambda t, y: -k * y, (0, 1), [1.0], rtol=k), NotDifferentiableError, "rtol"),
        (lambda k: solve_ivp(lambda t, y: -k * y, (0, 1), [1.0], "Euler"), ValueError, "method"),
        (lambda k: solve_ivp(lambda t, y: k * np.ones(3), (0, 1), [1.0]), ShapeError, "right-hand side"),
        (lambda k: solve_ivp(lambda t, y: -k * y, (0, 1), np.ones((2, 2))), ValueError, "1-dimensional"),
        (lambda k: odeint(lambda y, t: -k * y, 1.0, [0, 1], full_output=1), NotDifferentiableError,
         r"scipy\.integrate\.odeint\(full_output"),
    ],
)  # fmt: skip
def test_what_is_refused_and_bad_input(call: Any, error: Any, message: str) -> None:
    def f(k: Any) -> Any:
        call(k)
        return k

    with pytest.raises(error, match=message):
        hg.grad(f)(1.0)


# -- the namespace -----------------------------------------------------------------------------------------------------

KNOWN = {
    "odeint",
    "quad",
    "solve_ivp",
    *[line.split("integrate.")[1].split("(")[0] for line in CALLS.split("\n") if line],
}
NO_ARRAYS = {"lebedev_rule", "newton_cotes"}


@pytest.mark.parametrize("name", [
    name for name in scipy.integrate.__all__
    if not isinstance(getattr(scipy.integrate, name), (type, types.ModuleType))
])  # fmt: skip
def test_every_function_is_differentiated_or_refused_by_name(name: str) -> None:
    if name in KNOWN | NO_ARRAYS:
        return
    parameters = inspect.signature(getattr(scipy.integrate, name)).parameters.values()
    count = sum(p.default is p.empty and p.kind is not p.KEYWORD_ONLY for p in parameters)
    with pytest.raises((NotDifferentiableError, TraceError), match=rf"scipy\.integrate\.{name} "):
        hg.grad(lambda x: np.sum(getattr(scipy.integrate, name)(*[x] * count)))(np.ones(3))


def test_outside_of_traces_it_is_scipy() -> None:
    from hopgrad.scipy import integrate

    assert integrate.quad(np.cos, 0, 1) == quad(np.cos, 0, 1)
    assert integrate.solve_ivp(lambda t, y: -y, (0, 1), [1.0], dense_output=True).sol is not None
