"""``scipy.linalg``: values as SciPy's, derivatives of both orders against differences, bad input, what is refused."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal
from sampling import slope
from scipy_calls import VARIABLES, check_curvature, check_native, check_slopes, check_value, parametrize

import hopgrad as hg
from hopgrad.errors import NotDifferentiableError, TraceError
from hopgrad.scipy import linalg

MODULE = "scipy.linalg"

CALLS = """
linalg.solve(A, x)
linalg.solve(A, B)
linalg.solve(S, x, assume_a="pos")
linalg.solve(S, B, lower=True, assume_a="pos")
linalg.solve(S, x, assume_a="sym", lower=True)
linalg.solve(S, x, assume_a="her")
linalg.solve(A, x, transposed=True)
linalg.solve(S, x, assume_a="diagonal")
linalg.solve(S, x, assume_a="upper triangular")
linalg.solve(S, x, assume_a="lower triangular", transposed=True)
linalg.solve(S, x, assume_a="tridiagonal")
linalg.solve(T, R)
linalg.solve(Z, x)
linalg.inv(A)
linalg.inv(T)
linalg.det(A)
linalg.det(T)
linalg.solve_triangular(S, x)
linalg.solve_triangular(S, B, lower=True)
linalg.solve_triangular(S, x, trans=1)
linalg.solve_triangular(S, x, trans="T", lower=True, unit_diagonal=True)
linalg.solve_triangular(Z, x, trans=2)
linalg.solve_triangular(T, R, lower=True)
linalg.solve_banded((1, 1), np.stack([0.1 * x, p, 0.3 * y]), x)
linalg.solve_banded((1, 1), np.abs(A) + np.array([[0.0], [4.0], [0.0]]), B)
linalg.solve_banded((0, 2), np.stack([x, y, p]), x)
linalg.solveh_banded(np.stack([0.1 * x, p]), y)
linalg.solveh_banded(np.stack([p + 1, 0.3 * x]), B, lower=True)
linalg.solve_toeplitz(p + np.array([3.0, 0.0, 0.0]), x)
linalg.solve_toeplitz((p + np.array([3.0, 0.0, 0.0]), y), B)
linalg.matmul_toeplitz(p, x)
linalg.matmul_toeplitz((L, x), B)
linalg.solve_circulant(p, x)
linalg.norm(A)
linalg.norm(A, "nuc")
linalg.norm(x, 3)
linalg.norm(A, 2, axis=(0, 1), keepdims=True)
linalg.pinv(A)
linalg.pinv(B)
linalg.pinv(C)
linalg.pinvh(S)
linalg.lstsq(B, x)[0]
linalg.lstsq(B, x)
linalg.lstsq(C, R[0])[0]
linalg.lstsq(A, B)[0]
linalg.cholesky(S)
linalg.cholesky(S, lower=True)
linalg.cholesky(T)
linalg.cho_factor(S)
linalg.cho_factor(S, lower=True)
linalg.cho_solve(linalg.cho_factor(S), x)
linalg.cho_solve(linalg.cho_factor(S, lower=True), B)
linalg.lu(A)
linalg.lu(B)
linalg.lu(C)
linalg.lu(T, permute_l=True)
linalg.lu(A, p_indices=True)
linalg.lu_factor(A)[0]
linalg.lu_factor(B)[0]
linalg.lu_solve(linalg.lu_factor(A), x)
linalg.lu_solve(linalg.lu_factor(A), B, trans=1)
linalg.lu_solve(linalg.lu_factor(Z), x, trans=2)
linalg.qr(A)
linalg.qr(B, mode="economic")
linalg.qr(C)
linalg.qr(B, mode="r")
linalg.qr(A, pivoting=True)
linalg.qr(T)
linalg.eigh(S)[1] ** 2
linalg.eigh(S, lower=False, driver="evd")[1] ** 2
linalg.eigh(S, eigvals_only=True)
linalg.eigh(S, subset_by_index=(1, 2))[1] ** 2
linalg.eigh(E + E.T, S)
linalg.eigh(E + E.T, S, type=2)
linalg.eigh(E + E.T, S, type=3, lower=False)
linalg.eigh(E + E.T, S, eigvals_only=True)
linalg.eigvalsh(S)
linalg.eigvalsh(E + E.T, S, subset_by_index=(0, 1))
linalg.eig(S)
linalg.eig(A)
linalg.eigvals(A)
linalg.eigvalsh_tridiagonal(p, y[:2])
linalg.eigvalsh_tridiagonal(p, y[:2], select="i", select_range=(1, 2))
linalg.svd(A)
linalg.svd(B, full_matrices=False)
linalg.svd(C, compute_uv=False)
linalg.svdvals(B)
linalg.diagsvd(x[:2], 2, 3)
linalg.polar(A)
linalg.polar(B)
linalg.polar(C)
linalg.polar(A, side="left")
linalg.polar(B, side="left")
linalg.orthogonal_procrustes(B, np.sin(B) + 0.1)
linalg.expm(A)
linalg.expm(20.0 * A)
linalg.expm(T)
linalg.expm(Z)
linalg.expm_frechet(A, E)
linalg.expm_frechet(A, E, compute_expm=False)
linalg.sqrtm(S)
linalg.sqrtm(A)
linalg.sqrtm(T)
linalg.logm(S)
linalg.logm(A)
linalg.cosm(A)
linalg.sinm(A)
linalg.tanm(0.3 * A)
linalg.coshm(A)
linalg.sinhm(A)
linalg.tanhm(A)
linalg.cosm(Z)
linalg.sinm(Z)
linalg.signm(A)
linalg.fractional_matrix_power(S, 0.4)
linalg.fractional_matrix_power(S, -1.7)
linalg.fractional_matrix_power(A, 3)
linalg.fractional_matrix_power(A, 0.5)
linalg.solve_sylvester(A, S, E)
linalg.solve_sylvester(S, R, B)
linalg.solve_continuous_lyapunov(A, E)
linalg.solve_continuous_lyapunov(S, S)
linalg.solve_discrete_lyapunov(0.3 * A, E)
linalg.solve_discrete_lyapunov(0.3 * A, E, method="bilinear")
linalg.block_diag(A, x, B)
linalg.toeplitz(x)
linalg.toeplitz(x, K)
linalg.circulant(L)
linalg.hankel(x)
linalg.hankel(x, K)
linalg.leslie(x, y[:2])
linalg.convolution_matrix(x, 5, mode="same")
linalg.companion(p)
linalg.fiedler_companion(K + 3.0)
linalg.fiedler(x)
linalg.khatri_rao(A, C)
"""

SYMMETRIC = """
linalg.solve_continuous_are(A, B, S, R)
"""
DISCRETE = "linalg.solve_discrete_are(0.5 * A, B, S, R)"


@parametrize(CALLS + SYMMETRIC + DISCRETE)
def test_values_are_scipys(text: str) -> None:
    check_value(text, MODULE)


@parametrize(CALLS)
def test_first_derivatives(text: str) -> None:
    check_slopes(text, MODULE)


@parametrize(CALLS)
def test_second_derivatives(text: str) -> None:
    check_curvature(text, MODULE)


@parametrize(SYMMETRIC)
def test_derivatives_along_symmetric_matrices(text: str) -> None:
    check_slopes(text, MODULE, symmetric=True)
    check_curvature(text, MODULE, symmetric=True)


@pytest.mark.parametrize("second", [False, True])
def test_the_discrete_riccati_equation_of_numbers(second: bool) -> None:
    """It is a quadratic equation: x = a² x r / (r + x) + q with b = 1."""

    def solution(a: Any, q: Any, r: Any) -> Any:
        half = (q - r + a * a * r) / 2
        return half + np.sqrt(half * half + q * r)

    def by_scipy(a: Any, q: Any, r: Any) -> Any:
        one = np.eye(1)
        return linalg.solve_discrete_are(a * one, one, q * one, r * one)[0, 0]

    order = hg.hessian if second else hg.grad
    got, want = (order(f, argnums=(0, 1, 2))(0.9, 1.3, 0.7) for f in (by_scipy, solution))
    assert_allclose(np.array(got), np.array(want), rtol=1e-9)


def test_the_discrete_riccati_equation_of_matrices() -> None:
    """The derivative solves the derivative of the equation."""
    a, b, q, r = 0.5 * VARIABLES["A"], VARIABLES["B"], VARIABLES["S"], VARIABLES["R"]
    ways = [np.cos(np.arange(v.size)).reshape(v.shape) for v in (a, b)] + [np.eye(3), np.ones((2, 2))]

    def rest(x: Any, a: Any, b: Any, q: Any, r: Any) -> Any:
        cross = b.T @ x @ a
        return a.T @ x @ a - x - cross.T @ np.linalg.solve(r + b.T @ x @ b, cross) + q

    x, change = hg.jvp(linalg.solve_discrete_are, (a, b, q, r), tuple(ways))
    assert_allclose(hg.jvp(rest, (x, a, b, q, r), (change, *ways))[1], np.zeros((3, 3)), atol=1e-9)
    back = hg.vjp(linalg.solve_discrete_are, a, b, q, r)[1](np.eye(3))
    assert_allclose(sum(np.sum(u * v) for u, v in zip(back, ways, strict=True)), np.trace(change), rtol=1e-9)


@parametrize(CALLS)
def test_native_code_agrees(text: str) -> None:
    check_native(text, MODULE)


# -- odd input ---------------------------------------------------------------------------------------------------------


def test_equal_eigenvalues_do_no_harm_to_functions_of_matrices() -> None:
    """Of a multiple of the identity the derivative is f′ times the direction."""
    direction = np.arange(9.0).reshape(3, 3)
    for function, factor in [(linalg.expm, np.exp(2.0)), (linalg.sqrtm, 0.5 / np.sqrt(2.0)), (linalg.logm, 0.5)]:
        got = hg.jvp(function, (2.0 * np.eye(3),), (direction,))[1]
        assert_allclose(got, factor * direction, rtol=1e-12, atol=1e-12)
    got = hg.jvp(lambda a: linalg.polar(a)[0], (2.0 * np.eye(3),), (direction,))[1]
    assert_allclose(got, (direction - direction.T) / 4, rtol=1e-12, atol=1e-12)


def test_a_defective_matrix_has_a_derivative() -> None:
    """exp([[1, t], [0, 1]]) = e [[1, t], [0, 1]]: two equal eigenvalues with one eigenvector."""
    derivative = hg.jacobian(lambda t: linalg.expm(np.array([[1.0, t], [0.0, 1.0]])))(0.7)
    assert_allclose(derivative, [[0.0, np.e], [0.0, 0.0]], atol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_any_order(order: int) -> None:
    """Of exp(t J), whose first row is (cos t, sin t)."""
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    f: Any = lambda t: linalg.expm(t * turn)[0, 0]  # noqa: E731
    for _ in range(order):
        f = hg.grad(f)
    assert_allclose(f(0.3), np.cos(0.3 + order * np.pi / 2), rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: linalg.solve(x, np.ones(2)),
        lambda x: linalg.inv(x),
        lambda x: linalg.solve_triangular(x, np.ones(2)),
        lambda x: linalg.cholesky(x),
        lambda x: linalg.solve(x, np.ones(2), assume_a="pos"),
    ],
)
def test_singular_matrices_raise_as_in_scipy(call: Any) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        hg.grad(lambda x: np.sum(call(x)))(np.array([[1.0, 2.0], [0.0, 0.0]]))


def test_a_banded_system_that_is_singular_raises() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        hg.grad(lambda ab: np.sum(linalg.solve_banded((1, 1), ab, np.ones(3))))(np.zeros((3, 3)))
    with pytest.raises(np.linalg.LinAlgError):
        hg.grad(lambda ab: np.sum(linalg.solveh_banded(ab, np.ones(3))))(np.array([[0.0, 1, 1], [1, -1, 1]]))


def test_a_large_banded_system() -> None:
    """Of 10⁵ unknowns, of which nobody could write down the matrix."""
    n = 100_000
    band = np.stack([np.full(n, -1.0), np.full(n, 2.5), np.full(n, -1.0)])
    got = hg.grad(lambda b: np.sum(linalg.solve_banded((1, 1), band, b)))(np.ones(n))
    assert_allclose(got, scipy.linalg.solve_banded((1, 1), band, np.ones(n)), rtol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: linalg.expm(x), lambda x: linalg.inv(x), lambda x: linalg.cholesky(x), lambda x: linalg.lu(x)[1],
        lambda x: linalg.sqrtm(x), lambda x: linalg.solve(x, x), lambda x: linalg.polar(x)[0],
    ],
)  # fmt: skip
def test_empty_matrices_and_single_elements(call: Any) -> None:
    assert hg.grad(lambda x: np.sum(call(x)))(np.zeros((0, 0))).shape == (0, 0)
    f = lambda x: np.sum(call(np.reshape(x, (1, 1))))  # noqa: E731
    assert_allclose(hg.grad(f)(2.0), slope(lambda t: np.asarray(f(2.0 + t))), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["expm", "inv", "cholesky", "sqrtm", "sinm"])
def test_single_precision_stays_single(name: str) -> None:
    x = np.array([[2.0, 0.5], [0.5, 1.5]], np.float32)
    got = hg.grad(lambda x: np.sum(getattr(linalg, name)(x)))(x)
    assert got.dtype == np.float32
    want = hg.grad(lambda x: np.sum(getattr(linalg, name)(x)))(x.astype(np.float64))
    assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_an_untaken_branch_does_no_harm() -> None:
    """The square root of the zero matrix has no derivative, and nobody uses it."""
    f = lambda x: np.sum(np.where(False, linalg.sqrtm(x), x))  # noqa: E731
    assert_array_equal(hg.grad(f)(np.zeros((2, 2))), np.ones((2, 2)))


def test_shapes_that_do_not_fit_raise_scipys_errors() -> None:
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="square"):
        hg.grad(lambda x: np.sum(linalg.inv(x)))(x)
    with pytest.raises(ValueError, match="incompatible"):
        hg.grad(lambda x: np.sum(linalg.solve(np.eye(2), x[0])))(x)
    with pytest.raises(ValueError, match="structure"):
        hg.grad(lambda x: np.sum(linalg.solve(np.eye(2), x, assume_a="round")))(x)


def test_the_rank_decides_what_is_traced() -> None:
    f = lambda a: np.sum(linalg.lstsq(a, np.ones(3))[0])  # noqa: E731
    with pytest.raises(NotDifferentiableError, match="rank"):
        hg.grad(f)(np.ones((3, 2)))
    full = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert np.isfinite(hg.grad(f)(full)).all()


def test_a_real_matrix_whose_root_is_complex() -> None:
    """SciPy gives complex numbers then, and so does the trace, which is another one."""
    f = hg.grad(lambda a: np.sum(np.abs(linalg.sqrtm(a)) ** 2))
    assert_allclose(f(np.diag([4.0, 9.0])), np.diag([1.0, 1.0]) + 0.0, atol=1e-12)
    assert_allclose(np.diag(f(np.diag([-4.0, 9.0]))), [-1.0, 1.0], atol=1e-12)
    g = lambda a: np.sum(np.imag(linalg.logm(a)) * a)  # noqa: E731
    assert_allclose(g(np.diag([-4.0, 9.0])), -4 * np.pi)
    assert_allclose(hg.grad(g)(np.diag([-4.0, 9.0]))[0, 0], np.pi, rtol=1e-12)


# -- the namespace -----------------------------------------------------------------------------------------------------

NO_ARRAYS = {
    "dft", "hadamard", "helmert", "hilbert", "invhilbert", "invpascal", "pascal", "find_best_blas_type",
    "get_blas_funcs", "get_lapack_funcs",
}  # fmt: skip
"""What takes sizes and names only."""


def functions_of(module: Any) -> list[str]:
    return [
        name
        for name in module.__all__
        if not isinstance(getattr(module, name), (type, types.ModuleType)) and callable(getattr(module, name))
    ]


@pytest.mark.parametrize("name", functions_of(scipy.linalg))
def test_every_function_is_differentiated_or_refused_by_name(name: str) -> None:
    known = {
        part.split("(")[0] for line in (CALLS + SYMMETRIC + DISCRETE).split("\n") for part in line.split("linalg.")[1:]
    }
    if name in known or name in NO_ARRAYS | {"solve_lyapunov"}:
        return
    with pytest.raises((NotDifferentiableError, TraceError), match=rf"scipy\.linalg\.{name} "):
        hg.grad(lambda x: np.sum(np.abs(getattr(linalg, name)(x, x))))(np.eye(2))


def test_scipys_own_module_is_replaced_while_a_function_is_traced() -> None:
    assert_allclose(hg.grad(lambda x: scipy.linalg.det(x))(np.eye(2)), np.eye(2))
    assert hg.jacobian(scipy.linalg.circulant)(np.ones(3)).shape == (3, 3, 3)
    assert linalg.LinAlgError is np.linalg.LinAlgError
    assert_array_equal(linalg.inv(2 * np.eye(2)), 0.5 * np.eye(2))
