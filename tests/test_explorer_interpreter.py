"""The page's interpreter against Python, on every hop that it computes, values and adjoints."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gallery import GALLERY
from sampling import HOPS, RESIZED_USES, USES, Program, Use, has_derivative, normal

import hopgrad as hg
from hopgrad.aval import aval_of
from hopgrad.graph.builder import Builder, Expr, catalogue
from hopgrad.graph.graph import Graph
from hopgrad.graph.hop import Elementwise, Reduction
from hopgrad.graph.schema import array_to_data, graph_to_data
from hopgrad.lower.expand import expanded_graph
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
    exact: bool = False


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


def test_dump() -> None:
    for name, lacks in missing().items():
        if lacks:
            print(name, lacks)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_hop(dtype: Any) -> None:
    known = [use for use in real([*USES, *RESIZED_USES]) if not missing().get(use.hop.name)]
    compared([one_hop(use, use.draw(dtype), f"{use} of {np.dtype(dtype)}") for use in known], close)
