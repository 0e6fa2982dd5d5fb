"""docs/coverage.md, as it should be: made of the catalogue, and of the calls that tests compare with NumPy."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import calls
import numpy as np
import test_tracing

import hopgrad as hg
import hopgrad.numpy as drop_in
from hopgrad import tree
from hopgrad.graph.builder import catalogue
from hopgrad.graph.hop import DEFINITE, REAL, Hop, Interval
from hopgrad.hops.surface import refusals
from hopgrad.numpy._functions import Function
from hopgrad.numpy._state import SETTINGS

FILE = Path(__file__).parent.parent / "docs" / "coverage.md"

VERSION = ".".join(np.__version__.split(".")[:2])

INTRODUCTION = """\
# What is differentiated

Made of the catalogue of hops and of the calls that tests compare with NumPy {version}, by `tests/covering.py`;
`HOPGRAD_UPDATE_GOLDEN=1 python -m pytest tests/test_coverage.py` writes it anew.

Every ufunc and every function that NumPy dispatches is in one of the lists but the last. *Differentiated* means that
value, dtype and shape are NumPy's and that the derivatives agree with finite differences, in both modes, for the
arguments in the function's signature. *Flat* are integers, booleans and values that do not change between their
jumps: the derivative is 0. What is refused raises an error that names the function and the line, and says what to do
instead, so that a gradient is never lost in silence. Methods of arrays are the functions of the same name.
"""

REASONS = {
    "np.char": "text", "np.strings": "text", "np.lib.recfunctions": "structured arrays",
    "np.fft": "its results are complex",
    "np.fromfile": "read the file before", "np.isnat": "dates",
}  # fmt: skip
"""Why functions are refused that the catalogue does not know, and whole modules."""

UNDISPATCHED = {
    **drop_in._REFUSING, "ma.*": drop_in._MASKED, "from_dlpack": "the memory of a traced value is hopgrad's own",
    "frompyfunc": "use np.vectorize", "kaiser": "use scipy.special.i0",
}  # fmt: skip
"""The same of what NumPy does not dispatch."""


# -- functions ---------------------------------------------------------------------------------------------------------


REAL_AND_COMPLEX = ("float64", "complex128", "float", "complex")


def varies(f: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether a derivative passes through a call."""

    def total(*values: Any) -> Any:
        found = tree.flatten(f(*values))[0]
        leaves = [v for v in found if str(getattr(v, "dtype", type(v).__name__)) in REAL_AND_COMPLEX]
        parts = [np.real(v) + np.imag(v) if np.iscomplexobj(v) else v for v in leaves]
        return sum((np.nansum(v * (k + 0.7)) for k, v in enumerate(parts)), np.sum(np.real(values[0])) * 0.0)

    with np.errstate(all="ignore"):
        gradients = hg.grad(total, tuple(range(len(args))))(*args)
    return any(np.any(np.asarray(g) != 0) for g in gradients)


def is_the_call(text: str) -> bool:
    """Whether an expression is a function's result, or a part of it, and nothing is computed with that."""
    return not isinstance(ast.parse(text, mode="eval").body, ast.BinOp | ast.Compare)


def calls_by_name() -> dict[str, list[tuple[Callable[..., Any], Sequence[Any]]]]:
    """What the tests call, by the name of the function or ufunc."""
    found: dict[str, list[tuple[Callable[..., Any], Sequence[Any]]]] = {}
    for call in calls.ARRAY_CALLS:
        name = re.match(r"[\w.]+", call)[0]  # type: ignore[index]  # they all are calls
        if name.rpartition(".")[0].removeprefix("np.") not in calls.UFUNCS:
            found.setdefault(name, [])
            if is_the_call(call):
                found[name].append(test_tracing.function_of(call))
    for name, texts in test_tracing.MORE.items():
        found[f"np.{name}"] = [test_tracing.function_of(text) for text in texts]
    for name in test_tracing.ELEMENTWISE:

        def f(x: Any, n: str = name) -> Any:
            return calls.UFUNCS[n](*test_tracing.operands_for(n, x))

        found[f"np.{name}"] = [(f, [test_tracing.x3])]
    return found


def functions() -> tuple[list[str], list[str], list[str], list[tuple[str, str]]]:
    """The names of what is differentiated, of what is flat, of what makes arrays, and of what is refused, and why."""
    slopes, flat, made = [], [], []
    known = calls_by_name()
    for name, tried in sorted(known.items()):
        if any("like=" in call for call in calls.ARRAY_CALLS if call.startswith(f"{name}(")):
            made.append(name)
            continue
        (slopes if any(varies(f, args) for f, args in tried) else flat).append(name)
    refused = []
    for function in calls.FUNCTIONS:
        name = calls.names_of(function)
        module = name.rpartition(".")[0]
        if name not in known:
            whole = module in calls.REFUSED_MODULES and module in REASONS
            reason = REASONS[module] if whole else refusals.get(function) or REASONS.get(name, "")
            refused.append((f"{module}.*" if whole else name, reason))
    refused += [(f"np.{name}", REASONS[f"np.{name}"]) for name in calls.REFUSED_UFUNCS if name[0] != "_"]
    refused += [(f"np.{name}", reason) for name, reason in UNDISPATCHED.items()]
    return slopes, flat, made, sorted(set(refused))


def others() -> tuple[list[str], list[str]]:
    """Public names that NumPy does not dispatch: those with a stand-in that takes traced values, and the rest."""
    dispatched = {id(f) for f in (*calls.FUNCTIONS, *calls.UFUNCS.values())}
    taken, rest = [], []
    for name in sorted(np.__all__, key=str.lower):
        plain = getattr(np, name)
        known = id(plain) in dispatched or name in UNDISPATCHED
        if known or name.startswith("__") or isinstance(plain, ModuleType):
            continue
        stand_in = getattr(drop_in, name)
        own = stand_in is not plain and type(stand_in) is not Function and name not in {**SETTINGS, **drop_in._EFFECTS}
        (taken if own else rest).append(f"np.{name}")
    return taken, rest


# -- points without a derivative ---------------------------------------------------------------------------------------


def formula(hop: Hop) -> str:
    """How the hop is written, as one word."""
    return f"`{hop.name}`" if hop.notation.symbol in ("", hop.name) else f"`{hop.name}` ({hop.notation.symbol})"


def told(domain: Sequence[Interval]) -> str:
    """Where tests draw the operands from; nothing where that is all real numbers."""
    if all(interval == REAL and interval is not DEFINITE for interval in domain):
        return ""
    return ", ".join(
        "positive definite" if interval is DEFINITE else "ℝ" if interval == REAL else f"({low:g}, {high:g})"
        for interval in domain
        for low, high in [interval]
    ).replace("inf", "∞")


def conventions() -> list[tuple[str, str, str]]:
    """Hop, domain, and what its derivative is at the points where there is none."""
    own = [hop for hop in catalogue.values() if hop.body.__module__.startswith("hopgrad.")]
    return sorted((formula(hop), told(hop.domain), hop.kink) for hop in own if hop.kink)


# -- the page ----------------------------------------------------------------------------------------------------------


def listed(names: Iterable[str]) -> str:
    """Names as running text."""
    return textwrap.fill(", ".join(f"`{name}`" for name in names), 120, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def page() -> str:
    """The whole file."""
    slopes, flat, made, refused = functions()
    taken, rest = others()
    parts = [
        INTRODUCTION.format(version=VERSION).rstrip(),
        f"## Differentiated: {len(slopes)}",
        listed(slopes),
        f"## Flat: {len(flat)}",
        listed(flat),
        f"## Making arrays: {len(made)}",
        "In traced functions `numpy` stands for `hopgrad.numpy`, so these take traced values for elements, and"
        "\nwhat they make can be filled with traced values.",
        listed(made),
        f"## Taken through `hopgrad.numpy` alone: {len(taken)}",
        "NumPy does not dispatch these. All of `np.polynomial` is taken as well.",
        listed(taken),
        f"## Refused: {len(refused)}",
        table(["function", "why, or what to do instead"], [(f"`{name}`", reason) for name, reason in refused]),
        "## The rest",
        "Constants, types, text, settings, and functions of plain arguments, which are NumPy's own.",
        listed(rest),
        "## Points without a derivative",
        "The rules are in `docs/design.md`. Each hop states what holds where it has a corner, a jump or an end of its"
        " domain;\nhops without an entry have none, or are flat.",
        table(["hop", "operands in tests", "derivative at the other points"], conventions()),
    ]
    return "\n\n".join(parts) + "\n"
