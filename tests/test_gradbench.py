"""The tool of GradBench: its protocol, and its problems against the interpreter and finite differences."""

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.transform import Rotation

import hopgrad as hg
from bench.gradbench import ba, descent, det, gmm, ht, kmeans, llsq, lstm, ode, saddle, tool

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(31337)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape).tolist()


def gmm_input(d: int, k: int, n: int, m: int) -> dict[str, Any]:
    parameters = {"alpha": normal(k), "mu": normal(k, d), "q": normal(k, d), "l": normal(k, d * (d - 1) // 2)}
    return {"d": d, "k": k, "n": n, "x": normal(n, d), "m": m, "gamma": 1.5, **parameters}


def ba_input(n: int, m: int, p: int) -> dict[str, Any]:
    camera = [0.1, -0.2, 0.3, 0.5, 0.4, -2.0, 1.5, 0.1, -0.1, 0.02, -0.01]
    return {"n": n, "m": m, "p": p, "cam": camera, "x": [0.3, -0.2, 1.0], "w": 0.7, "feat": [0.2, 0.1]}


def kmeans_input(n: int, k: int, d: int) -> dict[str, Any]:
    points = normal(n, d)
    return {"points": points, "centroids": points[-k:]}


def ht_input(vertices: int, points: int, variant: str = "") -> dict[str, Any]:
    """A hand of 22 bones: a forearm, a wrist and five fingers. Bones at rest are moved and turned anyhow."""
    parents = [-1, 0, *[1 if k % 4 == 0 else k + 1 for k in range(20)]]
    relatives = np.tile(np.eye(4), (22, 1, 1))
    relatives[:, :3] += 0.2 * RNG.normal(size=(22, 3, 4))
    absolutes: list[Any] = []
    for k, parent in enumerate(parents):
        absolutes.append(relatives[k] if parent < 0 else absolutes[parent] @ relatives[k])
    model = {
        "bone_count": 22,
        "bone_names": [f"bone {k}" for k in range(22)],
        "parents": parents,
        "base_relatives": relatives.tolist(),
        "inverse_base_absolutes": np.linalg.inv(absolutes).tolist(),
        "base_positions": np.hstack([RNG.normal(size=(vertices, 3)), np.ones((vertices, 1))]).tolist(),
        "weights": RNG.dirichlet(np.ones(22), vertices).tolist(),
        "triangles": RNG.integers(vertices, size=(2 * vertices, 3)).tolist(),
        "is_mirrored": variant == "mirrored",
    }
    with_places = variant == "places"
    belongs = RNG.integers(2 * vertices if with_places else vertices, size=points).tolist()
    data = {"model": model, "correspondences": belongs, "points": normal(points, 3)}
    us = RNG.uniform(size=(points, 2)).tolist() if with_places else []
    return {"theta": (0.3 * RNG.normal(size=26)).tolist(), "data": data, "us": us}


INPUTS: dict[str, Any] = {
    "hello": 3.5,
    "lse": {"x": normal(50)},
    "llsq": {"x": normal(9), "n": 20},
    "gmm": gmm_input(3, 4, 30, 2),
    "ba": ba_input(2, 3, 5),
    "lstm": {
        "main_params": normal(4, 12),
        "extra_params": normal(3, 3),
        "state": normal(4, 3),
        "sequence": RNG.integers(2, size=(8, 3)).tolist(),
    },
}
INPUTS |= {
    "det": {"A": normal(16), "ell": 4},
    "ode": {"x": normal(7), "s": 12},
    "kmeans": kmeans_input(30, 4, 3),
    "ht": ht_input(8, 5, "places"),
    "saddle": {"start": [1.0, 1.0]},
    "particle": {"w": 0.0},
}
NESTED = ("saddle", "particle")
FUNCTIONS = [(module, function) for module in tool.MODULES for function in tool.problems(module)]
GRADIENTS = {"hello": "double", "kmeans": "dir", **dict.fromkeys(("lse", "llsq", "det", "ode"), "gradient")}


def called(module: str, function: str, given: Any) -> list[Any]:
    """Result of a function, as flat arrays."""
    problem = tool.problems(module)[function]
    result = problem.call(*problem.read(given))
    return [np.ravel(part) for part in (result if isinstance(result, tuple) else (result,))]


def test_each_module_has_a_value_and_a_derivative() -> None:
    assert set(INPUTS) == set(tool.MODULES)
    for module in tool.MODULES:
        if module in NESTED:
            assert set(tool.problems(module)) == {"ff", "fr", "rf", "rr"}
            continue
        assert len(tool.problems(module)) == 2
        assert GRADIENTS.get(module, "jacobian") in tool.problems(module)


@pytest.mark.parametrize(("module", "function"), [f for f in FUNCTIONS if f[0] not in NESTED])
def test_native_code_agrees_with_the_interpreter(module: str, function: str) -> None:
    with hg.use_backend("numpy"):
        expected = called(module, function, INPUTS[module])
    with hg.use_backend("native"):
        for _ in range(3):
            found = called(module, function, INPUTS[module])
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.max(np.abs(b)))


def differences(f: Callable[..., Any], args: tuple[Any, ...], argnums: tuple[int, ...]) -> list[Any]:
    """Jacobians by central differences, one for each argument: a row for each result."""
    found = []
    for argnum in argnums:
        columns = []
        for i in range(np.size(args[argnum])):
            values = []
            for step in (1e-6, -1e-6):
                moved = np.array(args[argnum], dtype=float)
                moved.ravel()[i] += step
                values.append(np.ravel(f(*args[:argnum], moved, *args[argnum + 1 :])))
            columns.append((values[0] - values[1]) / 2e-6)
        found.append(np.array(columns).T)
    return found


OF_OTHER_FORM = ("ba", "kmeans", "ht", *NESTED)


@pytest.mark.parametrize("module", [module for module in tool.MODULES if module not in OF_OTHER_FORM])
def test_gradients_agree_with_finite_differences(module: str) -> None:
    value, gradient = tool.problems(module)
    args = tool.problems(module)[value].read(INPUTS[module])
    function = ode.last if module == "ode" else getattr(importlib.import_module(f"bench.gradbench.{module}"), value)
    found = called(module, gradient, INPUTS[module])
    for a, b in zip(found, differences(function, args, tuple(range(len(found)))), strict=True):
        np.testing.assert_allclose(a, b[0], rtol=1e-6, atol=1e-7)


def ba_arguments() -> tuple[Any, ...]:
    """As of the input, but no two cameras, points, weights and features alike."""
    args = ba.read(INPUTS["ba"])
    return *(part + 0.05 * RNG.normal(size=part.shape) for part in args[:4]), *args[4:]


def test_sparse_jacobian_agrees_with_finite_differences() -> None:
    args = ba_arguments()
    begins, columns, values = ba.jacobian(*args)
    n, m, p = len(args[0]), len(args[1]), len(args[2])
    found = sparse.csr_matrix((values, columns, begins), shape=(3 * p, 11 * n + 3 * m + p))
    assert found.nnz == 2 * 15 * p + p
    everything = lambda *args: np.concatenate(ba.objective(*args))  # noqa: E731
    expected = np.concatenate(differences(everything, args, (0, 1, 2)), axis=1)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6, atol=1e-7)


def test_gradient_of_the_squares_is_the_jacobian_by_the_residuals() -> None:
    args = ba_arguments()
    begins, columns, values = ba.jacobian(*args)
    jacobian = sparse.csr_matrix((values, columns, begins))
    gradient = np.concatenate([np.ravel(part) for part in hg.grad(ba.squares, (0, 1, 2))(*args)])
    np.testing.assert_allclose(jacobian.T @ np.concatenate(ba.objective(*args)), gradient, rtol=1e-9)


def test_a_camera_that_does_not_turn() -> None:
    x, still = RNG.normal(size=(3, 4)), np.zeros((3, 4))
    np.testing.assert_allclose(ba.rotated(still, x), x)
    gradient = hg.grad(lambda r: np.sum(ba.rotated(r, x)[0]))(still)
    np.testing.assert_allclose(gradient, [np.zeros(4), x[2], -x[1]])


def test_objectives_are_what_their_definitions_say() -> None:
    alpha, mu, q, l, x, gamma, m = gmm.read(INPUTS["gmm"])  # noqa: E741
    (n, d), k = x.shape, len(alpha)
    freedom = d + m + 1
    log_gamma = np.log(np.pi) * d * (d - 1) / 4 + sum(gmm.special.gammaln((freedom - j) / 2) for j in range(d))
    total = -n * (d / 2 * np.log(2 * np.pi) + np.log(np.sum(np.exp(alpha))))
    total += k * (freedom * d * (np.log(gamma) - np.log(2) / 2) - log_gamma) + m * np.sum(q)
    total -= gamma**2 / 2 * (np.sum(np.exp(q) ** 2) + np.sum(l**2))
    for point in x:
        likelihood = 0.0
        for c in range(k):
            Q, below = np.diag(np.exp(q[c])), iter(l[c])
            for column in range(d):
                for row in range(column + 1, d):
                    Q[row, column] = next(below)
            length = np.sum((Q @ (point - mu[c])) ** 2)
            likelihood += np.exp(alpha[c] - 0.5 * length + np.sum(q[c]))
        total += np.log(likelihood)
    np.testing.assert_allclose(gmm.objective(alpha, mu, q, l, x, gamma, m), total, rtol=1e-12)

    coefficients, n = llsq.read(INPUTS["llsq"])
    t = -1 + 2 * np.arange(n) / (n - 1)
    fit = t[:, None] ** np.arange(len(coefficients)) @ coefficients
    np.testing.assert_allclose(llsq.primal(coefficients, n), 0.5 * np.sum((np.sign(t) - fit) ** 2), rtol=1e-12)


def test_minors_and_slopes_are_what_their_definitions_say() -> None:
    (A,) = det.read(INPUTS["det"])
    np.testing.assert_allclose(det.primal(A), np.linalg.det(A), rtol=1e-12)
    np.testing.assert_allclose(det.gradient(A), np.linalg.det(A) * np.linalg.inv(A).T, rtol=1e-10)
    x, _ = ode.read(INPUTS["ode"])
    exact = np.cumprod(x) * ode.END ** np.arange(1, 8) / [math.factorial(k) for k in range(1, 8)]
    np.testing.assert_allclose(ode.primal(x, 12)[:4], exact[:4], rtol=1e-12)  # polynomials of degree 4 at most
    np.testing.assert_allclose(ode.primal(x, 300), exact, rtol=1e-7)


def test_newtons_step_moves_each_centre_to_the_mean_of_its_points() -> None:
    centres, points = kmeans.read(INPUTS["kmeans"])
    apart = np.sum((points[:, None] - centres) ** 2, axis=2)
    np.testing.assert_allclose(kmeans.cost(centres, points), np.sum(np.min(apart, axis=1)), rtol=1e-12)
    nearest = np.argmin(apart, axis=1)
    means = [np.mean(points[nearest == k], axis=0) for k in range(len(centres))]
    np.testing.assert_allclose(centres - hg.compile(kmeans.direction)(centres, points), means, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("variant", ["", "places", "mirrored"])
def test_jacobian_of_a_hand_agrees_with_finite_differences(variant: str) -> None:
    theta, us, *rest = ht.read(ht_input(7, 6, variant))
    (expected,) = differences(lambda theta: ht.objective(theta, us, *rest), (theta,), (0,))
    if variant == "places":
        moved = lambda shift: ht.moved_objective(shift, theta, us, *rest)  # noqa: E731
        expected = np.hstack([*differences(moved, (np.zeros(2),), (0,)), expected])
    for _ in range(2):
        np.testing.assert_allclose(ht.jacobian(theta, us, *rest), expected, rtol=1e-6, atol=1e-7)


def test_a_hand_is_where_its_bones_are() -> None:
    """Vertices that hang on one bone move with it and all bones before it."""
    theta, us, hand, belongs, points = ht.read(ht_input(5, 5))
    angles = ht.angles(theta, 22)
    for bone in (0, 5, 21):
        hand = hand._replace(weights=np.eye(22)[[bone] * 5])
        path, frame = [bone], np.eye(4)
        while hand.parents[path[0]] >= 0:
            path.insert(0, hand.parents[path[0]])
        for one in path:
            x, z, y = angles[one]
            joint = np.eye(4)
            joint[:3, :3] = Rotation.from_euler("xyz", [x, y, z]).as_matrix()
            frame = frame @ hand.relatives[one] @ joint
        moved = (frame @ hand.inverses[bone] @ hand.positions.T)[:3].T
        expected = Rotation.from_rotvec(theta[:3]).apply(moved) + theta[3:6]
        np.testing.assert_allclose(ht.skin(theta, hand), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        ht.objective(theta, us, hand, belongs, points), np.ravel(points - ht.skin(theta, hand)[belongs])
    )


def by_python(f: Callable[..., Any], gradient: Callable[..., Any], x: Any) -> Any:
    """Descent as GradBench defines it, by a plain loop."""
    height, slope, rate, count = f(x), gradient(x), 1e-5, 0
    while np.linalg.norm(slope) > 1e-5:
        if count == 10:
            rate, count = 2 * rate, 0
            continue
        new = x - rate * slope
        if np.linalg.norm(x - new) <= 1e-5:
            break
        if f(new) < height:
            x, height, slope, count = new, f(new), gradient(new), count + 1
        else:
            rate, count = rate / 2, 0
    return x


def test_descent_that_is_traced_once_is_the_same_descent() -> None:
    f, gradient = lambda x: np.sum(np.cosh(x - 2) * [1.0, 5.0]), lambda x: np.sinh(x - 2) * [1.0, 5.0]
    start = np.array([1.0, 2.5])
    found = hg.compile(lambda x: descent.lowest(f, gradient, x))(start)
    np.testing.assert_allclose(found, by_python(f, gradient, start), rtol=1e-10)
    with hg.use_backend("numpy"):
        np.testing.assert_allclose(descent.lowest(f, gradient, start), found, rtol=1e-10)


@pytest.mark.parametrize("variant", descent.VARIANTS)
def test_nested_descents_end_where_those_of_gradbench_do(variant: str) -> None:
    """The numbers are those that GradBench compares with (evals/saddle, evals/particle)."""
    for module, expected in (("saddle", [8.246324826140356e-06] * 4), ("particle", [0.2071918746486116])):
        with hg.use_backend("native"):
            np.testing.assert_allclose(called(module, variant, INPUTS[module])[0], expected, rtol=1e-9)


def test_the_height_of_the_best_answer_is_differentiated_by_its_question() -> None:
    """max f(x, y) over y is x₁² + x₂² up to what the descent leaves, in both modes."""
    start = np.array([1.0, 1.0])
    for derivative in descent.MODES.values():

        def highest(x: Any, derivative: Any = derivative) -> Any:
            depth = lambda y: -saddle.height(x, y)  # noqa: E731
            return saddle.height(x, descent.lowest(depth, derivative(depth), start))

        for outer in descent.MODES.values():
            np.testing.assert_allclose(outer(highest)(np.array([0.3, -2.0])), [0.6, -4.0], rtol=1e-12)


def test_a_loop_that_is_traced_once_is_the_same_loop() -> None:
    args = lstm.read(INPUTS["lstm"])
    np.testing.assert_allclose(lstm.objective(*args), lstm.objective_by_python(*args), rtol=1e-12)


def test_the_protocol() -> None:
    given = {"x": [0.0, 0.0], "min_runs": 3, "min_seconds": 0.001}
    messages = [
        {"id": 0, "kind": "start", "eval": "lse"},
        {"id": 1, "kind": "define", "module": "lse"},
        {"id": 2, "kind": "define", "module": "linpack"},
        {"id": 3, "kind": "evaluate", "module": "lse", "function": "gradient", "input": given},
        {"id": 4, "kind": "analysis", "of": 3, "valid": True},
        {"id": 5, "kind": "evaluate", "module": "lse", "function": "hessian", "input": given},
        {"id": 6, "kind": "evaluate", "module": "hello", "function": "double", "input": 3.0},
        {"id": 7, "kind": "evaluate", "module": "ba", "function": "jacobian", "input": INPUTS["ba"]},
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "gradbench" / "tool.py"],
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == list(range(8))
    assert answers[0] == {"id": 0, "tool": "hopgrad"}
    assert answers[1:3] == [{"id": 1, "success": True}, {"id": 2, "success": False}]
    assert answers[3]["output"] == [0.5, 0.5]
    names = [timing["name"] for timing in answers[3]["timings"]]
    assert names[0] == "prepare"
    assert set(names[1:]) == {"evaluate"}
    assert len(names) >= 4
    assert all(timing["nanoseconds"] > 0 for timing in answers[3]["timings"])
    assert answers[4] == {"id": 4}
    assert answers[5] == {"id": 5, "success": False, "error": "KeyError: 'hessian'"}
    assert answers[6]["output"] == 6.0
    assert answers[7]["output"]["rows"][:3] == [0, 15, 30]
    assert answers[7]["output"]["rows"][-1] == 31 * 5
    assert len(answers[7]["output"]["vals"]) == 31
