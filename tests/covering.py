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
CONVENTIONS_FILE = FILE.with_name("conventions.md")

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

CONVENTIONS = """\
# Points without a derivative, and other odd corners

What holds where there is no derivative, and where formulas that are right on paper go wrong in floating point. Made by
`tests/covering.py` from the catalogue of hops; `HOPGRAD_UPDATE_GOLDEN=1 python -m pytest tests/test_coverage.py`
writes it anew. The rules for single points follow those of PyTorch ("Gradients for non-differentiable functions" in
its notes on autograd) and ChainRules. Tests without a file are in `tests/test_conventions.py`.

## Rules
"""

RULES: list[tuple[str, ...]] = [
    (
        "1. Where the derivative exists it is the answer, removable singularities included: sinc at 0, products through"
        " zeros, x**1.0 at 0",
        "test_where_the_derivative_exists_it_is_the_answer",
        "test_removable_singularities_in_second_derivatives",
    ),
    (
        "2. Where the function is convex, the subgradient of least norm: abs, relu, norms, hypot and std at"
        " 0 have 0, ties in"
        " max share evenly, running maxima too",
        "test_where_it_is_convex_the_least_subgradient",
    ),
    (
        "3. Where it is concave, the supergradient of least norm: ties in min share evenly",
        "test_where_it_is_concave_the_least_supergradient",
    ),
    (
        "4. Where only one side is defined or finite, that side: sqrt and log at 0, log1p at −1 and arcsin at 1 have ∞",
        "test_where_one_side_is_finite_or_defined_that_side",
        "test_at_negative_zero_the_infinity_has_the_sign_that_division_gives",
    ),
    (
        "5. Rules hold for each hop at its own input: a composition that gives 0·∞ is NaN",
        "test_zero_times_infinity_is_nan",
        "test_zeros_by_value_do_not_hide_an_infinity",
        "test_a_value_that_is_nan_has_a_nan_derivative",
    ),
    ("6. Flat functions have 0", "test_flat_functions_have_derivative_zero"),
    ("clip passes inside and on the bound; outside it passes to the bound", "test_clip_passes_inside_and_on_the_bound"),
    (
        "Elements that were not taken or not used contribute an exact 0, whatever their derivative",
        "test_what_was_not_taken_contributes_nothing",
        "test_one_value_used_twice_joins_its_supports",
        "test_what_python_did_not_take_contributes_nothing",
    ),
    (
        "Derivatives do not overflow where they are finite",
        "test_derivatives_do_not_overflow_where_they_are_finite",
        "test_logistic_functions_written_out",
        "test_exponentials_under_a_fraction_bar",
    ),
    ("A fixed exponent needs no logarithm of the base", "test_a_fixed_exponent_needs_no_logarithm"),
    (
        "Distributions: outside the support the density's logarithm is −∞ with gradient 0; at a closed end"
        " the derivative"
        " from inside",
        "test_stats.py::test_ends_of_the_support_and_wrong_parameters",
    ),
    ("Each hop with such points states what holds there", "test_each_hop_with_a_convention_states_it"),
    (
        "What NumPy does not dispatch is right, or refused with its line and a cure; a refusal that was"
        " swallowed is raised"
        " at the end",
        "test_what_numpy_does_not_dispatch_is_right_in_plain_numpy",
        "test_what_cannot_be_right_is_refused_with_its_line",
        "test_a_swallowed_refusal_does_not_become_a_wrong_number",
        "test_what_looks_at_the_type_itself_raises_or_is_right",
    ),
    (
        "Every function that NumPy dispatches is differentiated, flat, or refused by name",
        "test_coverage.py::test_every_public_name_is_on_the_page",
        "test_coverage.py::test_whatever_is_refused_has_a_reason",
    ),
    (
        "`out=`, `+=` and writes to arguments are seen by all names of an array, and by the caller",
        "test_what_a_function_writes_is_there_afterwards",
        "test_the_gradient_of_a_function_that_writes",
        "test_views_of_a_captured_array_see_what_is_written_or_are_refused",
    ),
    ("A captured array counts as it was when it was used", "test_a_captured_array_counts_as_it_was_when_used"),
    (
        "float32 stays float32; Python's numbers are weak",
        "test_float32_and_weak_numbers",
        "test_a_float32_array_rounds_what_is_written_to_it",
    ),
    (
        "By a complex number z = x + iy the gradient of a real result is ∂f/∂x − i ∂f/∂y; vjp transposes without"
        " conjugating",
        "test_a_complex_argument_has_the_stated_gradient",
        "test_kinks_of_complex_numbers",
        "test_jacobians_of_complex_functions",
    ),
    (
        "A kept trace never gives a stale answer",
        "test_a_change_outside_is_never_missed",
        "test_nor_by_native_code",
        "test_changes_in_any_order",
        "test_other_arguments_are_never_taken_for_the_same",
    ),
    (
        "Floating-point warnings follow np.errstate where NumPy computes",
        "test_floating_point_warnings_follow_errstate",
        "test_errstate_inside_the_function_is_followed",
        "test_errors_that_errstate_raises_can_be_caught",
    ),
    (
        "Masked arrays, np.matrix and objects are refused by name; byte-swapped arrays are converted",
        "test_strange_arrays_are_converted_or_refused_by_name",
        "test_byte_swapped_arrays_are_converted",
        "test_objects_that_are_no_numbers_are_named",
    ),
]
"""Each rule, and the tests that fail if it is broken."""

REASONS = {
    "np.char": "text", "np.strings": "text", "np.lib.recfunctions": "structured arrays",
    "np.fft": "its results are complex",
    "np.fromfile": "read the file before", "np.isnat": "dates",
}  # fmt: skip
"""Why functions are refused that the catalogue does not know, and whole modules."""

UNDISPATCHED = {
    **drop_in._REFUSING, "ma.*": drop_in._MASKED, "from_dlpack": "the memory of a traced value is hopgrad's own",
    "frompyfunc": "use np.vectorize",
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
        "## Points without a derivative\n\nSee [conventions.md](conventions.md).",
    ]
    return "\n\n".join(parts) + "\n"


def conventions_page() -> str:
    """docs/conventions.md: the rules, the tests that hold them, and what each hop states."""
    parts = [
        CONVENTIONS.rstrip(),
        table(["rule", "tests"], [(rule, ", ".join(f"`{test}`" for test in tests)) for rule, *tests in RULES]),
        "## By hop",
        "Each hop states in its definition what holds where it has a corner, a jump or an end of its domain; hops"
        "\nwithout an entry have none, or are flat.",
        table(["hop", "operands in tests", "derivative at the other points"], conventions()),
    ]
    return "\n\n".join(parts) + "\n"
