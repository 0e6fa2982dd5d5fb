"""The report: what was measured, as JSON and as Markdown tables that read well in a terminal, too."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.tools import PEERS, TOOLS

RESULTS = Path(__file__).parent / "results"
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
TUNING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What would have OpenBLAS, and so some tools only, use the kernels of another processor."""


def environment(threads: int = 1) -> dict[str, str]:
    """What all tools are started with. XLA takes one thread, or as many as there are cores."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**counts, "XLA_FLAGS": ONE_THREAD if threads == 1 else "", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}


PEER_NAMES = [tool.name for tool in PEERS]
AHEAD_OF_TIME = "C++"  # compiled before it is called
THREADED = ("hopgrad", "JAX", "PyTorch")  # which are measured with two threads, too
MEASURED = ("hopgrad", "JAX", "PyTorch")  # whose memory is measured
COMPILING = "hopgrad, cold cache"  # and its memory where it makes its kernels first


def duration(seconds: float | None) -> str:
    """Seconds with three digits and a unit.

    >>> duration(5.04e-8), duration(0.0123), duration(2)
    ('50.4 ns', '12.3 ms', '2.00 s')
    """
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * scale:
            return f"{digits(seconds / scale)} {unit}"
    return f"{digits(seconds / 1e-9)} ns"


def digits(number: float) -> str:
    """Three digits.

    >>> digits(0.1234), digits(1.234), digits(12.34), digits(1234)
    ('0.123', '1.23', '12.3', '1234')
    """
    return f"{number:.{0 if number >= 99.95 else 1 if number >= 9.995 else 2 if number >= 0.9995 else 3}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """An aligned Markdown table; columns after the first `left` are flush right.

    >>> print(table(["case", "time"], [["a", "10 µs"], ["long", "2 µs"]]))
    | case |  time |
    |:-----|------:|
    | a    | 10 µs |
    | long |  2 µs |
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [f":{'-' * (w + 1)}" if i < left else f"{'-' * (w + 1)}:" for i, w in enumerate(widths)]
    return "\n".join([line(lines[0]), f"|{'|'.join(rule)}|", *map(line, lines[1:])])


def fastest(seconds: dict[str, float]) -> str | None:
    """The fastest peer that takes and returns NumPy arrays."""
    peers = [name for name in PEER_NAMES if name in seconds]
    return min(peers, key=lambda name: seconds[name], default=None)


def ratio(seconds: dict[str, float]) -> float | None:
    """How many times as fast as the fastest peer hopgrad is."""
    peer = fastest(seconds)
    return seconds[peer] / seconds["hopgrad"] if peer and "hopgrad" in seconds else None


def times(number: float | None) -> str:
    """A ratio in words."""
    return "" if number is None else f"{digits(number)}×"


def measured(row: dict[str, Any]) -> dict[str, float]:
    """The tools of a row that have a time."""
    return {name: found["seconds"] for name, found in row["tools"].items() if "seconds" in found}


def calls_table(results: Sequence[dict[str, Any]]) -> str:
    """All cases, sizes and tools."""
    names = [tool.name for tool in TOOLS]
    lines = []
    for result in results:
        for row in result["rows"]:
            seconds = measured(row)
            cells = [
                duration(seconds[n]) if n in seconds else next((k for k in ("fails", "differs") if k in found), "–")
                for n in names
                for found in [row["tools"].get(n, {})]
            ]
            lines.append([result["case"], row["size"], *cells, fastest(seconds) or "", times(ratio(seconds))])
    return table(["case", "size", *names, "fastest peer", "ratio"], lines, left=2)


def function_table(results: Sequence[dict[str, Any]]) -> str:
    """What is timed above by the function alone, compiled by the same tool."""
    lines = []
    for result in results:
        for row in result["rows"]:
            seconds, alone = measured(row), row.get("functions", {})
            if "hopgrad" in alone and "hopgrad" in seconds:
                cells: list[str] = []
                for name in ("hopgrad", "JAX"):
                    least = alone.get(name)
                    cells += [duration(least), times(seconds[name] / least if least else None)]
                lines.append([result["case"], row["size"], *cells])
    header = ["case", "size", "hopgrad, function", "gradient / function", "JAX, function", "gradient / function"]
    return table(header, lines, left=2) if lines else ""


def threads_table(results: Sequence[dict[str, Any]]) -> str:
    """The largest sizes with one and with two threads."""
    lines = []
    for result in results:
        for row in result.get("two_threads", []):
            one = next((measured(other) for other in result["rows"] if other["size"] == row["size"]), {})
            two = measured(row)
            if "hopgrad" in one and "hopgrad" in two:
                cells = [duration(one["hopgrad"]), duration(two["hopgrad"]), times(one["hopgrad"] / two["hopgrad"])]
                cells += [duration(two.get(name)) for name in THREADED[1:]]
                lines.append([result["case"], row["size"], *cells, times(ratio(two))])
    header = ["case", "size", "hopgrad, 1", "hopgrad, 2", "1 / 2", *[f"{n}, 2" for n in THREADED[1:]], "ratio, 2"]
    return table(header, lines, left=2) if lines else ""


def memory_table(results: Sequence[dict[str, Any]]) -> str:
    """The most memory that the largest sizes took."""
    lines = []
    for result in results:
        for row in result.get("peaks", []):
            found = row["bytes"]
            cells = [f"{found[name] / 1e6:,.1f} MB" if name in found else "–" for name in (COMPILING, *MEASURED)]
            peers = [found[name] for name in MEASURED[1:] if name in found]
            against = min(peers) / found["hopgrad"] if peers and found.get("hopgrad") else None
            lines.append([result["case"], row["size"], *cells, times(against)])
    return table(["case", "size", COMPILING, *MEASURED, "least peer / hopgrad"], lines, left=2) if lines else ""


def bandwidth_table(results: Sequence[dict[str, Any]]) -> str:
    """Cases bound by memory: bytes moved a second, against a plain copy."""
    lines = []
    for result in results:
        for row in result["rows"]:
            seconds = measured(row)
            if "bytes" in row and "hopgrad" in seconds:
                speeds = [row["bytes"][name] / seconds[name] / 1e9 for name in ("hopgrad", "copy")]
                share = f"{100 * speeds[0] / speeds[1]:.0f} %"
                lines.append([result["case"], row["size"], *(f"{digits(s)} GB/s" for s in speeds), share])
    return table(["case", "size", "hopgrad", "plain copy", "share"], lines, left=2) if lines else ""


def first_call_table(results: Sequence[dict[str, Any]]) -> str:
    """First calls, hopgrad's with an empty and with a filled cache of kernels."""
    lines = []
    peers = [name for name in PEER_NAMES if name != AHEAD_OF_TIME]
    for result in results:
        first, warm = result["first_calls"], result.get("first_call_warm")
        cells = [duration(s) for s in (first.get("hopgrad"), warm, *(first.get(name) for name in peers))]
        against = first["JAX"] / first["hopgrad"] if {"JAX", "hopgrad"} <= first.keys() else None
        lines.append([result["case"], result["first_size"], *cells, times(against)])
    header = ["case", "size", "hopgrad, cold cache", "hopgrad, warm cache", *peers, "JAX / hopgrad cold"]
    return table(header, lines, left=2)


def problems(results: Sequence[dict[str, Any]]) -> list[str]:
    """Every tool that failed or disagreed, then why others were left out."""
    lines = [f"- {result['case']}: {result['broken']}" for result in results if "broken" in result]
    omitted: dict[str, list[str]] = {}
    for result in results:
        for row in result["rows"]:
            for name, found in row["tools"].items():
                for kind, text in found.items():
                    if kind == "skipped":
                        omitted.setdefault(f"{name}: {text}", []).append(result["case"])
                    elif kind != "seconds":
                        lines.append(f"- {result['case']} ({row['size']}), {name} {kind}: {text}")
    return lines + [f"- {reason} ({', '.join(dict.fromkeys(cases))})" for reason, cases in omitted.items()]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def markdown(run: dict[str, Any]) -> str:
    """The whole report."""
    results, about = run["results"], run["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    load = " to ".join(f"{x:.1f}" for x in run["load"])
    parts = [
        "# Benchmark",
        f"{run['date']}; {about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}; "
        f"{versions}. One thread for each tool. Load average of the machine {load}: machines are noisy, so ratios "
        "count, and small differences do not." + (" Quick pass: short budgets, coarse figures." * run["quick"]),
        "## Calls",
        "The least time of one call. All tools take and return NumPy arrays but for *JAX device*, whose arrays stay on "
        "the device. *by hand* is NumPy with a gradient derived by hand, *C++* plain loops of such a gradient. The "
        "ratio is the fastest peer's time (C++, JAX, PyTorch, autograd, CasADi) by hopgrad's: above 1× hopgrad is "
        "faster. – means left out, for a reason below.",
        calls_table(results),
        "## First calls",
        "From the function to its first derivative (trace, differentiate, compile, run), imports excluded; hopgrad "
        "with an empty cache of kernels on disk, and in a new process with the cache that this left.",
        first_call_table(results),
    ]
    if alone := function_table(results):
        parts += [
            "## Derivatives and functions",
            "The function alone, compiled by the same tool, and how many times as long what is timed above takes.",
            alone,
        ]
    if threads := threads_table(results):
        parts += [
            "## Two threads",
            "The two largest sizes again, in processes that may take two threads (XLA: all cores).",
            threads,
        ]
    if memory := memory_table(results):
        parts += [
            "## Memory",
            "The most resident memory of a process of its own that calls the largest size thrice, above what it had "
            "after the imports, a first derivative of something else, and making the arguments: copies of parameters "
            "that a tool keeps, tracing, compiling (hopgrad once with an empty cache of kernels, and in a new process "
            "with the cache that this left, which the ratio is of), values on the way and results. PyTorch is eager. "
            "Where a tool does not run the largest size, there is a row for the largest that it runs, too.",
            memory,
        ]
    if bandwidth := bandwidth_table(results):
        parts += [
            "## Bandwidth",
            "Bytes that an ideal gradient must move, by its time; beside it `np.copy` that moves as many.",
            bandwidth,
        ]
    if found := problems(results):
        parts += ["## Failures and omissions", "\n".join(found)]
    return "\n\n".join(parts) + "\n"


def save(run: dict[str, Any], name: str) -> Path:
    """Write NAME.json and NAME.md in the results folder; returns the latter's path."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    path = RESULTS / f"{name}.md"
    path.write_text(markdown(run))
    return path


def stamp() -> str:
    """Date and time, fit for a file name."""
    return datetime.now().strftime("%Y-%m-%d-%H%M%S")
