"""Measures one case with all tools in this process, and writes what it found as JSON.

Run as ``python -m bench.worker CASE OUTPUT``, with the number of threads and HOPGRAD_CACHE_DIR set by the caller.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.case import Case, Size
from bench.cases import CASES
from bench.measure import arrays, disagreeing, measure
from bench.tools import TOOLS, Call, Tool, Unsupported

NO_FIRST_CALL = ("by hand", "C++", "JAX device")  # nothing to compile at the first call, and the same as JAX
STATUS = Path("/proc/self/status")


def problem(error: Exception) -> str:
    """One line about an exception."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"


def started(names: Sequence[str]) -> tuple[dict[str, Tool], dict[str, str]]:
    """The tools, imported and warmed up, and why others did not start."""
    tools: dict[str, Tool] = {}
    failures: dict[str, str] = {}
    for kind in TOOLS:
        if kind.name in names:
            try:
                tool = kind()
                tool.warm_up()
                tools[kind.name] = tool
            except Exception as error:
                failures[kind.name] = problem(error)
    return tools, failures


def first_calls(case: Case, tools: dict[str, Tool]) -> dict[str, float]:
    """Seconds from the function to its first derivative: tracing, differentiating, compiling, running."""
    size = first_size(case)
    seconds: dict[str, float] = {}
    for name, tool in tools.items():
        if name in NO_FIRST_CALL or case.excuse(name, size):
            continue
        args = case.arguments(size)
        try:
            tool.source(case)
            start = time.perf_counter()
            tool.prepare(case, args)()
            seconds[name] = time.perf_counter() - start
        except Exception:  # it fails in the table, too, which shows the message
            continue
    return seconds


def first_size(case: Case) -> Size:
    """The size at which the first call is timed."""
    return case.sizes[0] if case.first_size is None else case.first_size


def compared(case: Case, size: Size, tools: dict[str, Tool], budget: float) -> dict[str, Any]:
    """One row of the table: each tool's seconds, or why there are none."""
    args = case.arguments(size)
    found: dict[str, dict[str, Any]] = {}
    calls: dict[str, Call] = {}
    results: dict[str, list[np.ndarray[Any, Any]]] = {}
    for name, tool in tools.items():
        if excuse := case.excuse(name, size):
            found[name] = {"skipped": excuse}
            continue
        try:
            call = tool.prepare(case, args)
            results[name] = arrays(call())
            calls[name] = call
        except Unsupported as reason:
            found[name] = {"skipped": str(reason)}
        except Exception as error:
            found[name] = {"fails": problem(error)}
    for name, d in disagreeing(results).items():
        found[name] = {"differs": f"result differs from the others', {d:.2g} times the tolerance"}
        del calls[name]
    results.clear()
    alone = functions(case, args, {name: tool for name, tool in tools.items() if name in calls})
    calls.update({f"{name} function": call for name, call in alone.items()})
    if case.traffic:  # as many bytes as the gradient moves, so that both find them in the same caches
        calls["copy"] = Call(np.copy, (np.ones(case.traffic(size) // 2, np.uint8),))
    seconds = measure(calls, budget)
    row: dict[str, Any] = {"size": case.label(size), "tools": found}
    row["functions"] = {name: seconds.pop(f"{name} function") for name in alone}
    found.update({name: {"seconds": least} for name, least in seconds.items()})
    if case.traffic:
        row["bytes"] = {"hopgrad": case.traffic(size), "copy": case.traffic(size)}
    return row


def functions(case: Case, args: tuple[Any, ...], tools: dict[str, Tool]) -> dict[str, Call]:
    """The calls of the function alone, for tools that compile it."""
    calls: dict[str, Call] = {}
    for name, tool in tools.items():
        if case.want not in ("step", "training"):
            try:
                calls[name] = tool.function(case, args)
                calls[name]()
            except Unsupported:
                continue
    return calls


def memory_now(name: str) -> int:
    """Bytes by the name that Linux gives them: VmRSS what is resident, VmHWM the most that ever was."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found
    return 1024 * int(found[1])


def peak_memory(case: Case, tool: Tool, size: Size) -> int | None:
    """The most bytes that a size takes from the first call on, above what there was before; None if nobody can tell."""
    if not STATUS.exists():
        return None
    args = case.arguments(size)
    Path("/proc/self/clear_refs").write_text("5")  # begins the most that ever was anew
    before = memory_now("VmRSS")
    call = tool.prepare(case, args)
    for _ in range(3):
        call()
    return memory_now("VmHWM") - before


def main() -> None:
    """Measure the case named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tools", default=",".join(tool.name for tool in TOOLS))
    parser.add_argument("--memory", type=int, metavar="K", help="only the peak of memory, of one tool, at the size K")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds a size; 0: first calls only")
    parser.add_argument("--largest", action="store_true", help="the two largest sizes only, without first calls")
    options = parser.parse_args()
    case = CASES[options.case]
    warnings.simplefilter("ignore")  # what tools warn of is no result
    tools, failures = started(options.tools.split(","))
    if options.memory is not None:
        (tool,) = tools.values()
        options.output.write_text(json.dumps({"peak": peak_memory(case, tool, case.sizes[options.memory])}))
        return
    first = {} if options.largest else first_calls(case, tools)
    sizes = case.sizes[-2:] if options.largest else case.sizes
    rows = [compared(case, size, tools, options.budget) for size in sizes] if options.budget else []
    for row in rows:
        row["tools"].update({name: {"fails": text} for name, text in failures.items()})
    report = {
        "case": case.name,
        "rows": rows,
        "first_size": case.label(first_size(case)),
        "first_calls": first,
        "versions": {tool.package: tool.version for tool in tools.values()},
    }
    options.output.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
