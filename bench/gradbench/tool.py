"""A tool of GradBench: reads messages as lines of JSON, and answers each with a line.

Run as ``python bench/gradbench/tool.py`` or ``python -m bench.gradbench.tool``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__" and not __package__:
    sys.path[0] = str(Path(__file__).parents[2])  # so that problems are found, whoever starts the file

if TYPE_CHECKING:
    from bench.gradbench.problem import Problem

MODULES = ("hello", "lse", "llsq", "gmm", "ba", "lstm", "det", "ode", "kmeans", "ht", "saddle", "particle")
PREPARED = 2  # calls: the first one is traced and computed by NumPy, the second one compiled


def problems(module: str) -> dict[str, Problem]:
    """The functions of a module by name; none of an unknown one."""
    return importlib.import_module(f"bench.gradbench.{module}").CALLS if module in MODULES else {}


def timed(problem: Problem, args: tuple[Any, ...]) -> tuple[Any, int]:
    """A result, and the nanoseconds that it took."""
    start = time.perf_counter_ns()
    result = problem.call(*args)
    return result, time.perf_counter_ns() - start


def evaluate(problem: Problem, given: Any) -> dict[str, Any]:
    """The function's output for an input, and the time of each call."""
    args = problem.read(given)
    runs, seconds = (given.get(name, 0) if isinstance(given, dict) else 0 for name in ("min_runs", "min_seconds"))
    timings = [{"name": "prepare", "nanoseconds": sum(timed(problem, args)[1] for _ in range(PREPARED))}]
    done, spent = 0, 0
    while done == 0 or done < runs or spent < 1e9 * seconds:
        result, elapsed = timed(problem, args)
        timings.append({"name": "evaluate", "nanoseconds": elapsed})
        done, spent = done + 1, spent + elapsed
    return {"success": True, "output": problem.write(result), "timings": timings}


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """What is said to a message, apart from its id."""
    match message["kind"]:
        case "start":
            return {"tool": "hopgrad"}
        case "define":
            return {"success": bool(problems(message["module"]))}
        case "evaluate":
            try:
                return evaluate(problems(message["module"])[message["function"]], message["input"])
            except Exception as error:  # the benchmark goes on with the next message
                return {"success": False, "error": f"{type(error).__name__}: {error}"}
        case _:
            return {}


def answers(lines: Iterator[str]) -> Iterator[str]:
    """An answer to each line."""
    for line in lines:
        message = json.loads(line)
        yield json.dumps({"id": message["id"], **answer(message)})


if __name__ == "__main__":
    for line in answers(iter(sys.stdin.readline, "")):
        print(line, flush=True)
