"""The page's interpreter against Python, on every hop that it computes, values and adjoints."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import realistic
from gallery import GALLERY
from sampling import HOPS, RESIZED_USES, USES, Program, Use, has_derivative, normal

import hopgrad as hg
from hopgrad.aval import Several, aval_of
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import Graph
from hopgrad.graph.hop import Elementwise
from hopgrad.graph.schema import array_to_data, graph_to_data, listed_nodes
from hopgrad.lower.expand import expanded_graph
from hopgrad.show.analysis import Analysis
from hopgrad.show.guards import known_guards
from hopgrad.show.live import lowerings

SCRIPT = Path(__file__).parents[1] / "explorer" / "test" / "evaluate.mjs"
NODE = shutil.which("node")

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _needs_node() -> None:
    if NODE is None:
        message = "node is missing: the page's interpreter was not tested"
        if os.environ.get("HOPGRAD_REQUIRE_NODE") == "1":
            pytest.fail(message)
        pytest.skip(message)


def evaluate(tasks: Sequence[Any]) -> list[Any]:
    """What the interpreter answers: see explorer/test/evaluate.ts."""
    assert NODE is not None
    done = subprocess.run(
        [NODE, str(SCRIPT)], input=json.dumps(tasks), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def array(data: Any) -> Any:
    """A value that the interpreter gives; None where it cannot compute it."""
    if data is None:
        return None
    numbers = np.array([float(x) for x in data["data"]], np.float64)
    return numbers.astype(data["dtype"]).reshape(data["shape"])


def task(builder: Builder, outputs: Sequence[Expr], given: dict[int, Any]) -> Any:
    graph = expanded_graph(Graph(builder, list(given), [e.id for e in outputs]))
    return {
        "graph": graph_to_data(graph, names={}, sites=False),
        "lowerings": dict(lowerings(graph)),
        "inputs": [array_to_data(v, full=True) for v in given.values()],
    }


@dataclass
class Case:
    """One evaluation: what to ask for, and what Python says."""

    title: str
    task: Any
    expected: list[Any]
    operands: Sequence[Any] = ()


def one_hop(use: Use, operands: Sequence[Array], title: str) -> Case:
    """A hop's value and, by a random cotangent, the adjoints of its operands."""
    program = Program(use, operands)
    wanted = [program.out]
    if has_derivative(use) and program.active:
        seed = program.input(normal(use.random("cotangent"), program.out.aval), "ct")
        wanted += program.pulled(program.out, seed)
    with warnings.catch_warnings(action="ignore"):  # no degrees of freedom, for instance
        expected = program.evaluate(*wanted)
    return Case(title, task(program.builder, wanted, program.given), expected)


def compared(cases: Iterable[Case], check: Callable[[Case, list[Any], list[str]], None]) -> None:
    cases = list(cases)
    wrong: list[str] = []
    for case, answer in zip(cases, evaluate([c.task for c in cases]), strict=True):
        found = len(wrong)
        if not answer["missing"]:
            check(case, [array(x) for x in answer["outputs"]], wrong)
        wrong[found:] = [f"{case.title}: {line} {answer['missing']}" for line in wrong[found:]]
    assert not wrong, "\n".join(wrong[:40])


def close(case: Case, found: list[Any], wrong: list[str]) -> None:
    """All numbers agree to 12 digits of the largest (5 in single precision): sums are added up in another order."""
    for k, (mine, theirs) in enumerate(zip(found, case.expected, strict=True)):
        theirs = np.asarray(theirs)
        if mine is None or mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            wrong.append(f"output {k} is {mine!r}, not {theirs!r}")
            continue
        if theirs.dtype.kind != "f":
            if not np.array_equal(mine, theirs):
                wrong.append(f"output {k} is {mine!r}, not {theirs!r}")
            continue
        scale = np.max(np.abs(theirs), initial=1.0, where=np.isfinite(theirs))
        tolerance = (1e-12 if theirs.dtype == np.float64 else 5e-6) * scale
        if not np.allclose(mine, theirs, rtol=0, atol=tolerance, equal_nan=True):
            wrong.append(f"output {k} is {mine!r}, not {theirs!r}")


def real(uses: Iterable[Use]) -> list[Use]:
    return [use for use in uses if not use.of_complex and use.hop.domain[0].__class__.__name__ != "Plane"]


@functools.cache
def missing() -> dict[str, set[str]]:
    """For each hop of the catalogue what the interpreter lacks for some of its uses, or for their derivatives."""
    cases = [one_hop(use, use.draw(), use.hop.name) for use in real(USES)]
    found: dict[str, set[str]] = {}
    for case, answer in zip(cases, evaluate([c.task for c in cases]), strict=True):
        found.setdefault(case.title, set()).update(answer["missing"])
    return found


def test_what_it_claims_is_what_is_tested() -> None:
    (named,) = evaluate(["hops"])
    swept = {hop.name for hop in HOPS if not missing().get(hop.name, True)}
    explained = set()
    for make in EXPLAINED.values():
        words = json.loads(make().json())
        explained |= {node["hop"] for node in words["live"]["graph"]["nodes"]}
    assert set(named) <= swept | explained
    # Whatever comes with a lowering is computed, unless its numbers or instructions are of a kind that is not known.
    for hop in HOPS:
        lacks = missing().get(hop.name, set())
        assert not hop.lowering or not any(line == hop.name for line in lacks), lacks
    assert len(swept) > 100


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_hop(dtype: Any) -> None:
    known = [use for use in real([*USES, *RESIZED_USES]) if not missing().get(use.hop.name)]
    assert len({use.hop.name for use in known}) > 100
    compared([one_hop(use, use.draw(dtype), f"{use} of {np.dtype(dtype)}") for use in known], close)


SPECIAL = [np.nan, 0.0, 1, np.inf, -np.inf, -0.0, -1, 0.5, -0.5, 2, -2, 2.5, -2.5, 3, 1e-8, -1e-8, 30, -30, 710, -750,
           1e300, -1e300]  # fmt: skip
SIDES = {1: len(SPECIAL), 2: len(SPECIAL), 3: 13}
"""By the number of operands, how many of these each one takes: all combinations are tried."""
UNSETTLED = {"digamma": -np.inf, "polygamma": -np.inf, "gammaln": -np.inf}
"""Beyond all poles there is no limit: libraries differ in what they give."""


def extreme(case: Case, found: list[Any], wrong: list[str]) -> None:
    """Each number by itself agrees to 12 digits, what is NaN or infinite exactly."""
    for k, (mine, theirs) in enumerate(zip(found, case.expected, strict=True)):
        near = np.isclose(mine, theirs, rtol=1e-12, atol=1e-300, equal_nan=True)
        if not near.all():
            place = np.flatnonzero(~near)[0]
            given = [np.asarray(v).flat[place] for v in case.operands]
            wrong.append(f"output {k} at {given} is {mine.flat[place]}, not {np.asarray(theirs).flat[place]}")


def test_nan_infinities_zeros_and_ties() -> None:
    cases = []
    for hop in HOPS:
        if not isinstance(hop, Elementwise) or missing().get(hop.name, True):
            continue
        numbers = [x for x in SPECIAL if x != UNSETTLED.get(hop.name)][: SIDES.get(len(hop.domain), 4)]
        grid = [np.array(line) for line in zip(*itertools.product(numbers, repeat=len(hop.domain)), strict=True)]
        if "select" in hop.traits:
            grid[0] = grid[0] > 0
        for params in {str(u.params): u.params for u in real(USES) if u.hop is hop}.values():
            use = Use(hop, tuple(x.shape for x in grid), params)
            cases.append(replace(one_hop(use, grid, f"{hop.name} {params}"), operands=grid))
    assert len(cases) > 80
    compared(cases, extreme)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "sum", "any", "all", "argsort", "cumsum"])
def test_lines_with_ties_and_nan(name: str) -> None:
    hop = catalogue[name]
    params = next(use.params for use in USES if use.hop is hop and use.params.get("axes", (1,)) == (1,))
    if "axis" in params:
        params = {**params, "axis": 1}
    lines = np.array([[1.0, 3, 3, 2], [np.nan, 1, np.nan, 0], [-0.0, 0.0, -np.inf, 0.0], [np.inf, -np.inf, 1, 1]])
    use = Use(hop, (lines.shape,), params)
    compared([one_hop(use, [lines], name)], close)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_])
def test_integers_and_booleans(dtype: Any) -> None:
    numbers = np.array([-7, -3, -2, -1, 0, 1, 2, 3, 7]).astype(dtype)
    a, b = (np.array(line, dtype) for line in zip(*itertools.product(numbers, repeat=2), strict=True))
    cases = []
    for name in ("add", "multiply", "negative", "absolute", "sign", "maximum", "minimum", "less", "equal", "clip",
                 "greater_equal", "logical_and", "logical_xor", "logical_not", "where", "floor", "fmod", "isnan",
                 "remainder", "floor_divide"):  # fmt: skip
        hop = catalogue[name]
        if dtype is np.bool_ and name in ("negative", "sign", "fmod", "remainder", "floor_divide", "floor"):
            continue  # NumPy has none, or gives integers of another kind
        builder = Builder()
        given = {builder.input(aval_of(v), "x").id: v for v in [a, b, b][: len(hop.domain)]}
        out = hop(*[builder.expr(n) for n in given])
        with np.errstate(all="ignore"):
            expected = [hop.function(*given.values())]
        cases.append(Case(name, task(builder, [out], given), expected))
    for target in ("float64", "float32", "int32", "bool"):
        builder = Builder()
        given = {builder.input(aval_of(a), "x").id: a}
        out = catalogue["convert"](builder.expr(next(iter(given))), dtype=np.dtype(target))
        cases.append(Case(f"to {target}", task(builder, [out], given), [a.astype(target)]))
    compared(cases, close)


# -- whole explanations ------------------------------------------------------------------------------------------------


def poly(x: Any, coefficients: Any) -> Any:
    def step(total: Any, c: Any) -> Any:
        return total * x + c, np.sin(total)

    total, waves = hg.scan(step, np.zeros_like(x), coefficients)
    return total + np.sum(waves)


def root(a: Any) -> Any:
    def step(state: Any) -> Any:
        x, _ = state
        return 0.5 * (x + a / x), x

    x, _ = hg.while_loop(lambda s: np.abs(s[0] - s[1]) > 1e-9, step, (a, a + 1.0), max_steps=40)
    return x


@hg.custom_vjp
def clipped(x: Any) -> Any:
    return x * x


clipped.defvjp(lambda x: (x * x, x), lambda x, ct: (np.clip(2 * x, -1.0, 1.0) * ct,))

EXPLAINED: dict[str, Callable[[], Any]] = {
    **GALLERY,
    "scan": lambda: hg.explain(poly)(0.7, np.array([1.0, -2.0, 0.5])),
    "scan without steps": lambda: hg.explain(poly)(0.7, np.zeros(0)),
    "while": lambda: hg.explain(root)(2.0),
    "branch": lambda: hg.explain(lambda x: hg.cond(x > 1, np.sin, np.cos, x))(1.5),
    "own rule": lambda: hg.explain(lambda x: clipped(x) + np.sin(x))(0.9),
    "single": lambda: hg.explain(lambda x: np.sum(np.tanh(x) ** 2))(np.linspace(-1, 1, 6, dtype=np.float32)),
    "sorted": lambda: hg.explain(lambda x: np.median(x) + np.sort(x)[0] ** 2)(np.array([3.0, 1.0, 2.0, 5.0])),
    "determinant": lambda: hg.explain(lambda A: np.linalg.det(A))(np.vander([1.0, 2.0, 0.5])),
    "stopped": lambda: hg.explain(lambda x: x * hg.stop_gradient(x))(3.0),
    "system": lambda: hg.explain(lambda A, b: np.sum(np.linalg.solve(A, b) ** 2))(np.eye(3) + 0.1, np.arange(3.0)),
}


def numbers(analysis: Any, inputs: dict[int, Any]) -> dict[str, list[Any]]:
    """What the interpreter should say at some inputs, for the nodes and uses that a file lists."""
    graph = Graph(analysis.graph.builder, analysis.graph.inputs, analysis.graph.outputs, known_guards(analysis.graph))
    nodes = listed_nodes(graph)
    moved = Analysis(analysis.graph, analysis.output, analysis.wrt, inputs, order=analysis.order)
    uses = [(edge.target, edge.number) for edge in moved.edges]
    return {
        "values": [None if isinstance(graph.builder.avals[n], Several) else moved.values.get(n) for n in nodes],
        "adjoints": [moved.adjoint(n) if n in moved.back.adjoints else None for n in nodes],
        "locals": [moved.local_value(edge) for edge in moved.edges],
        "shares": [moved.values[s.id] if s is not None else None for s in map(moved.back.shares.get, uses)],
        "gradient": [moved.adjoint(n) for n in moved.wrt],
        "value": [moved.value(moved.output)],
    }


def agree(mine: Any, theirs: Any) -> bool:
    if theirs is None:
        return True
    found = array(mine)
    tolerance = 1e-12 if np.asarray(theirs).dtype != np.float32 else 5e-6
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0, where=np.isfinite(theirs))))
    return found is not None and np.allclose(found, theirs, rtol=0, atol=tolerance * scale, equal_nan=True)


def moved(value: Any, by: float) -> Any:
    """Numbers not far from others, so that branches stay as they are."""
    array = np.asarray(value)
    return value if array.dtype.kind != "f" else (array * (1 + by) + by / 3).astype(array.dtype)[()]


@pytest.mark.parametrize("name", EXPLAINED)
def test_explanations_at_their_inputs_and_at_others(name: str) -> None:
    explanation = EXPLAINED[name]()
    analysis = explanation._analysis
    words = json.loads(explanation.json())
    points = [dict(analysis.inputs)]
    if name not in ("boundary", "infinite"):
        points.append({n: moved(v, 0.01) for n, v in analysis.inputs.items()})
    ids = [str(k) for k in words["live"]["inputs"]]
    tasks = [
        {"explanation": words, "inputs": {k: array_to_data(v, full=True) for k, v in zip(ids, p.values(), strict=True)}}
        for p in points
    ]
    for point, answer in zip(points, evaluate(tasks), strict=True):
        assert answer["live"], answer["reason"]
        assert answer["reason"] == ""
        expected = numbers(analysis, point)
        answer["value"] = [answer["value"]]
        for key, theirs in expected.items():
            assert len(answer[key]) == len(theirs)
            wrong = [k for k, pair in enumerate(zip(answer[key], theirs, strict=True)) if not agree(*pair)]
            assert not wrong, (key, wrong, answer[key][wrong[0]], theirs[wrong[0]])


def test_programs_as_people_write_them() -> None:
    found = {name: hg.explain(c.function, wrt=c.argnums)(*c.args) for name, c in realistic.cases().items()}
    tasks = [{"explanation": json.loads(explanation.json()), "inputs": {}} for explanation in found.values()]
    for (name, explanation), answer in zip(found.items(), evaluate(tasks), strict=True):
        assert answer["reason"] == "", name
        assert all(answer["holds"]), name
        answer["value"] = [answer["value"]]
        for key, theirs in numbers(explanation._analysis, dict(explanation._analysis.inputs)).items():
            wrong = [k for k, pair in enumerate(zip(answer[key], theirs, strict=True)) if not agree(*pair)]
            assert not wrong, (name, key, wrong[:5])


def test_every_number_of_a_document_is_live() -> None:
    words = json.loads(EXPLAINED["network"]().json())
    (answer,) = evaluate([{"explanation": words, "inputs": {}}])
    for k, node in enumerate(words["graph"]["nodes"]):
        assert answer["values"][k] is not None
        assert (answer["adjoints"][k] is not None) == ("adjoint" in node)
    for k, use in enumerate(words["uses"]):
        assert (answer["locals"][k] is not None) == ("value" in use)
        assert (answer["shares"][k] is not None) == use["active"]


def test_a_branch_that_would_be_another_is_noticed() -> None:
    words = json.loads(hg.explain(lambda x: x * x if x > 0 else -x)(2.0).json())
    answers = evaluate([{"explanation": words, "inputs": {"0": x}} for x in (1.0, -1.0)])
    assert [answer["holds"] for answer in answers] == [[True], [False]]


def test_what_raises_in_python_has_no_value() -> None:
    words = json.loads(hg.explain(lambda A: np.sum(np.linalg.solve(A, np.ones(2))))(np.eye(2)).json())
    singular = array_to_data(np.ones((2, 2)))
    regular, broken = evaluate(
        [{"explanation": words, "inputs": {}}, {"explanation": words, "inputs": {"0": singular}}]
    )
    assert array(regular["value"]) == 2
    assert broken["value"] is None
    assert broken["holds"] == [False]


def test_an_input_without_influence_has_a_gradient_of_zeros() -> None:
    words = json.loads(hg.explain(lambda x, y: x * x + 0 * np.floor(y).sum())(2.0, np.ones(3)).json())
    (answer,) = evaluate([{"explanation": words, "inputs": {}}])
    assert [array(g).tolist() for g in answer["gradient"]] == [4.0, [0.0, 0.0, 0.0]]


def test_what_it_does_not_know_is_recorded_only() -> None:
    words = json.loads(hg.explain(lambda x: np.sum(np.linalg.eigvalsh(x)) + np.sum(x * x))(np.eye(2)).json())
    (answer,) = evaluate([{"explanation": words, "inputs": {}}])
    assert not answer["live"]
    assert "the page does not compute eigvalsh" in answer["reason"]
    known = {words["graph"]["nodes"][k]["hop"] for k, v in enumerate(answer["values"]) if v is not None}
    assert "multiply" in known
    words = json.loads(hg.explain(lambda x: np.sum(x.astype(np.float16)))(np.ones(3)).json())
    (answer,) = evaluate([{"explanation": words, "inputs": {}}])
    assert (answer["live"], answer["reason"]) == (False, "the page does not compute numbers of float16")


def test_large_graphs_say_why_they_are_recorded_only() -> None:
    def long(x: Any) -> Any:
        for _ in range(3000):
            x = np.sin(x)
        return x

    for f, x in ((long, 0.5), (lambda x: np.sum(x**2), np.zeros(2000))):
        words = json.loads(hg.explain(f)(x).json())
        (answer,) = evaluate([{"explanation": words, "inputs": {}}])
        assert not answer["live"]
        assert answer["reason"] == words["live"]["recorded"] != ""
