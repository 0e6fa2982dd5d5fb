"""Runs the cases, each in a process of its own, and prints and saves the report."""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.cases import CASES
from bench.report import (
    COMPILING,
    MEASURED,
    THREADED,
    TUNING,
    environment,
    machine,
    markdown,
    memory_table,
    save,
    stamp,
)

ROOT = Path(__file__).parent.parent
TIMEOUT = 900  # seconds a process, which takes some ten, but minutes with torch.compile


def confine(count: int) -> None:
    """Keep a process to so many processors: XLA takes all there are, whatever it is told."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-count:])


def worker(case: str, cache: Path, *options: str, threads: int = 1) -> dict[str, Any]:
    """What `bench.worker` found, or an account of its end."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        command = [sys.executable, "-m", "bench.worker", case, str(output), *options]
        own = {name: value for name, value in os.environ.items() if name not in TUNING}
        given = {**own, **environment(threads), "HOPGRAD_CACHE_DIR": str(cache)}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=given, timeout=TIMEOUT, capture_output=True, text=True, check=False,
                preexec_fn=functools.partial(confine, threads),
            )  # fmt: skip
            broken = f"exit status {done.returncode}: {' '.join(done.stderr.split())[-300:]}"
        except subprocess.TimeoutExpired:
            broken = f"stopped after {TIMEOUT} s"
        if output.exists():
            return json.loads(output.read_text())
        return {"case": case, "rows": [], "first_size": "", "first_calls": {}, "versions": {}, "broken": broken}


def run_case(name: str, budget: float, repeats: int) -> dict[str, Any]:
    """One case: all tools side by side, then hopgrad's first call with empty and with filled caches, then memory."""
    with tempfile.TemporaryDirectory() as folder:
        result = worker(name, Path(folder) / "main", "--budget", str(budget))
        cold: list[float] = []
        warm: list[float] = []
        for i in range(repeats):
            for kept in (cold, warm):
                found = worker(name, Path(folder) / f"{i}", "--budget", "0", "--tools", "hopgrad")
                kept += [found["first_calls"][tool] for tool in found["first_calls"]]
        if cold and warm:
            result["first_calls"]["hopgrad"] = min(cold)
            result["first_call_warm"] = min(warm)
        again = ("--budget", str(budget / 2), "--largest", "--tools", ",".join(THREADED))
        result["two_threads"] = worker(name, Path(folder) / "main", *again, threads=2)["rows"]
        result["peaks"] = peaks(name)
        return result


def peaks(name: str) -> list[dict[str, Any]]:
    """The memory that tools take at the largest size that each of them runs, each in a process of its own."""
    case = CASES[name]
    largest = {tool: [k for k, size in enumerate(case.sizes) if not case.excuse(tool, size)][-1:] for tool in MEASURED}
    rows = []
    for k in sorted({k for found in largest.values() for k in found}):
        row: dict[str, Any] = {"size": case.label(case.sizes[k]), "bytes": {}}
        for tool in MEASURED:
            if not case.excuse(tool, case.sizes[k]):
                with tempfile.TemporaryDirectory() as folder:
                    for column in (COMPILING, tool) if tool == "hopgrad" else (tool,):
                        peak = worker(name, Path(folder), "--memory", str(k), "--tools", tool).get("peak")
                        if peak is not None:
                            row["bytes"][column] = peak
        rows.append(row)
    return rows


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAME", help="cases whose name contains NAME")
    parser.add_argument("--quick", action="store_true", help="a fast pass with coarse figures")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="for a size, all tools together (default: %(default)s)"
    )
    parser.add_argument("--memory", action="store_true", help="measure memory only, print its table and end")
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    options = parser.parse_args()
    names = [name for name in CASES if options.only in name]
    if options.list or not names:
        print("\n".join(names or [f"no case has {options.only!r} in its name; there are:", *CASES]))
        sys.exit(not names)
    if options.memory:
        print(memory_table([{"case": name, "peaks": peaks(name)} for name in names]))
        return
    budget, repeats = (0.5, 1) if options.quick else (options.seconds, 2)
    start, load = time.perf_counter(), os.getloadavg()[0]
    results = []
    for i, name in enumerate(names, 1):
        print(f"[{i}/{len(names)}] {name}", end="", file=sys.stderr, flush=True)
        began = time.perf_counter()
        results.append(run_case(name, budget, repeats))
        print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr)
    versions: dict[str, str] = {}
    for result in results:
        versions.update(result.pop("versions"))
    run = {
        "date": datetime.now().strftime("%Y-%m-%d %H:%M"),
        "machine": machine(),
        "versions": versions,
        "environment": environment(),
        "load": [load, os.getloadavg()[0]],
        "quick": options.quick,
        "seconds": round(time.perf_counter() - start),
        "results": results,
    }
    print(markdown(run))
    whole = not (options.only or options.quick)
    for name in (stamp(), "latest") if whole else (stamp(),):
        print(f"saved {save(run, name).relative_to(ROOT)} and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
