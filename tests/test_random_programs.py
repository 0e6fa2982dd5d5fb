"""Random programs, as people write them, give NumPy's values and the right gradients, or a refusal that is listed here.

The reference is the same source text run by plain NumPy: its result, what it leaves in the arguments and in captured
arrays, and its finite differences. Each program is called several times, with captured state that changes, and
compared with a transform that is made anew for each call.

``HOPGRAD_EXAMPLES=20000 pytest tests/test_random_programs.py`` looks for longer than the tests usually do.
"""

from __future__ import annotations

import functools
import itertools
import linecache
import os
import re
import types
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import Program, program

import hopgrad as hg
from hopgrad.errors import DtypeError, HopgradError
from hopgrad.trace.tracer import Tracer

EXAMPLES = int(os.environ.get("HOPGRAD_EXAMPLES", "1000"))

REFUSALS = {
    # Two arguments, or an argument and a captured array, have the same memory, and it is written to.
    "overlap": r"has elements in common|function that is differentiated inside(, which assigned to it| has it as an)",
    # A value of a function that is differentiated inside, kept outside of it and used there.
    "leak": "an input has no value here",
    # Views of arrays whose strides are not known, and copies between overlapping parts in an order of NumPy's own.
    "layout": "depends on its memory layout, which is not known",
    "flat": "the order in which NumPy copies",
    # An array that NumPy made out of sight (of a scalar that hopgrad did not see, say) is to hold a traced value.
    "plain array": "cannot be written into a plain NumPy array|cannot be written into an array that plain NumPy",
    "plain value": "a plain (NumPy array|float|number) of a traced value is needed",
}
"""What hopgrad may refuse, by patterns of the messages."""

OFTEN = {"overlap": 0.05}
"""How large a part of all programs may be refused for a reason; for each of the others it is one in two hundred."""


@dataclass
class Outcome:
    """What became of a program: "right", "refused", "invalid" (NumPy raises the same) or "wrong", and why."""

    kind: str
    detail: str = ""
    rough: int = 0
    """Derivatives that could not be compared, as finite differences did not settle."""
    smooth: int = 0


# -- running ---------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def compiled(source: str) -> Any:
    """The code, whose lines error messages can show."""
    name = "<random program>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec", dont_inherit=True)


def module(source: str) -> types.ModuleType:
    """The source text as a module of its own."""
    made = types.ModuleType("program")
    exec(compiled(source), made.__dict__)
    return made


def arguments(texts: tuple[str, ...], apart: bool = False) -> list[Any]:
    """Values of arguments; with `apart` they share no memory."""
    found: list[Any] = []
    for text in texts:
        value = eval(text, {"np": np, "first": found[0] if found else None})
        found.append(value.copy() if apart and text.startswith("first") else value)
    return found


def state(made: types.ModuleType) -> dict[str, Any]:
    """Captured arrays and numbers, by how they are reached."""
    found: dict[str, Any] = {}

    def visit(name: str, value: Any) -> None:
        if type(value) is Tracer:  # which says of itself that it is an array
            found[name] = Tracer
        elif isinstance(value, dict):
            for key, item in value.items():
                visit(f"{name}[{key!r}]", item)
        elif isinstance(value, list | tuple):
            for k, item in enumerate(value):
                visit(f"{name}[{k}]", item)
        elif isinstance(value, types.SimpleNamespace) or type(value).__module__ == "program":
            visit(name, vars(value))
        elif isinstance(value, np.ndarray | np.generic | float | int):
            found[name] = value
        elif not isinstance(value, types.FunctionType | types.ModuleType | type | str | np.ufunc):
            found[name] = type(value)

    for name, value in vars(made).items():
        if name.isupper():
            visit(name, value)
    visit("f", vars(made.f))
    if hasattr(made, "Layer"):
        visit("Layer.gain", made.Layer.gain)
    for name, cell in zip(made.f.__code__.co_freevars, made.f.__closure__ or (), strict=True):
        visit(name, cell.cell_contents)
    return found


def leaves(value: Any) -> dict[Any, Any]:
    """The items of a dict, by their keys; anything else by None."""
    return value if isinstance(value, dict) else {None: value}


def agree(found: Any, wanted: Any, single: bool) -> bool:
    """Equal up to the rounding of another order of evaluation."""
    if isinstance(found, type) or isinstance(wanted, type):
        return found is wanted
    one, other = np.asarray(found), np.asarray(wanted)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    digits = 2e-4 if single else 1e-9
    scale = np.max(np.abs(other), initial=1.0, where=np.isfinite(other)) if other.dtype.kind in "fiub" else 1.0
    return bool(np.allclose(one, other, digits, digits * scale, equal_nan=True))


def sharing(values: dict[str, Any]) -> set[tuple[str, str]]:
    """Which of the arrays have memory in common."""
    arrays = [(name, v) for name, v in values.items() if type(v) is np.ndarray and v.size]
    return {(a, b) for (a, v), (b, w) in itertools.combinations(arrays, 2) if np.shares_memory(v, w)}


def differences(one: list[Any], other: list[Any], before: dict[str, Any], after: dict[str, Any], single: bool) -> str:
    """What differs in the arguments, or in captured state, from what NumPy leaves there, or ''."""
    for k, (a, b) in enumerate(zip(one, other, strict=True)):
        mine, theirs = leaves(a), leaves(b)
        if mine.keys() != theirs.keys() or not all(agree(v, theirs[key], single) for key, v in mine.items()):
            return f"argument {k} is left as\n{a!r}\ninstead of\n{b!r}"
    if before.keys() != after.keys():
        return f"captured state {sorted(before)} instead of {sorted(after)}"
    for name, value in before.items():
        if not agree(value, after[name], single):
            return f"captured {name} is left as\n{value!r}\ninstead of\n{after[name]!r}"
    for values, state_of in ((one, before), (other, after)):
        for k, value in enumerate(values):
            state_of.update({f"argument {k} {key or ''}": item for key, item in leaves(value).items()})
    mine, theirs = sharing(before), sharing(after)
    return "" if mine == theirs else f"memory is shared by {mine} instead of {theirs}"


def alike(one: Exception, other: Exception) -> bool:
    """Whether the same ``except`` of built-in exceptions catches both."""
    usual = (TypeError, IndexError, KeyError, ValueError, AttributeError, ArithmeticError, RuntimeError)
    return type(one) is type(other) or any(isinstance(one, kind) and isinstance(other, kind) for kind in usual)


def refusal(error: Exception) -> str:
    """The name of a documented refusal, or ''."""
    if isinstance(error, HopgradError):
        for name, pattern in REFUSALS.items():
            if re.search(pattern, str(error)):
                return name
    return ""


def of_reference_error(error: HopgradError) -> Outcome:
    """A gradient inside the function, which is an outermost one in the reference, was refused there."""
    if isinstance(error, DtypeError):
        return Outcome("invalid", f"reference: {error}")
    known = refusal(error)
    return Outcome("refused" if known else "wrong", known or f"the reference raises {error}")


# -- derivatives -----------------------------------------------------------------------------------------------------


class Reference:
    """The function in plain NumPy, in double precision, near the first arguments."""

    def __init__(self, program: Program) -> None:
        self.texts = program.arguments
        self.source = program.source.replace("np.float32", "np.float64")

    def at(self, k: int, key: Any, index: tuple[int, ...], step: float) -> float:
        values = arguments(self.texts, apart=True)
        place = values[k][key] if key else values[k]
        if isinstance(place, np.ndarray):
            place[index] += step
        else:
            values[k] += step
        try:
            return float(module(self.source).f(*values))
        except Exception:
            return float("nan")

    def slope(self, k: int, key: Any, index: tuple[int, ...], step: float) -> float:
        return (self.at(k, key, index, step) - self.at(k, key, index, -step)) / (2 * step)

    def is_sure(self, k: int, key: Any, index: tuple[int, ...], slope: float, mine: float) -> bool:
        """Whether difference quotients of all kinds agree much better with each other than with `mine`."""
        middle = self.at(k, key, index, 0.0)
        both, sided = [], []
        for step in (1e-4, 1e-5, 1e-6):
            up, down = self.at(k, key, index, step), self.at(k, key, index, -step)
            both.append((up - down) / (2 * step))
            sided += [(up - middle) / step, (middle - down) / step]
        if not np.isfinite(sided).all():
            return False
        error = 1.0 if np.isnan(mine) else abs(slope - mine)
        return bool(np.ptp(both) < 0.1 * error and np.ptp(sided) < 0.5 * max(error, 0.02 * (1.0 + abs(slope))))


def compare(reference: Reference, program: Program, gradients: Any, outcome: Outcome, size: float) -> None:
    """Compare gradients with finite differences."""
    values = arguments(program.arguments)
    single = "float32" in program.source
    for k, gradient in zip(program.argnums, gradients, strict=True):
        if leaves(gradient).keys() != leaves(values[k]).keys():
            outcome.kind, outcome.detail = "wrong", f"gradient by argument {k} is {gradient!r}"
            return
        for key, g in leaves(gradient).items():
            if np.shape(g) != np.shape(leaves(values[k])[key]):
                outcome.kind, outcome.detail = "wrong", f"gradient by argument {k} has shape {np.shape(g)}"
                return
            for index in np.ndindex(np.shape(g)):
                mine = float(np.asarray(g)[index])
                slope = reference.slope(k, key, index, 1e-5)
                scale = 1.0 + abs(size) + abs(slope)
                if abs(mine - slope) < (1e-3 if single else 1e-5) * scale:
                    outcome.smooth += 1
                elif reference.is_sure(k, key, index, slope, mine):
                    outcome.kind = "wrong"
                    place = f"argument {k}{key or ''}{list(index)}"
                    outcome.detail = f"gradient by {place}: {mine}, finite differences say {slope}"
                    return
                else:
                    outcome.rough += 1


def forward(program: Program, gradients: Any) -> str:
    """Compare the derivative in a direction, in forward mode, with the gradient; what differs, or ''."""
    values = arguments(program.arguments, apart=True)
    if len(program.argnums) < len(values):
        return ""
    rng = np.random.default_rng(7)
    tangents = [{key: rng.normal(size=np.shape(v)) for key, v in leaves(value).items()} for value in values]
    directions = [
        t if None not in t else np.asarray(t[None]) if isinstance(v, np.ndarray) else float(t[None])
        for t, v in zip(tangents, values, strict=True)
    ]
    _, slope = hg.jvp(module(program.source).f, values, directions)
    wanted, size = 0.0, 1.0
    for t, gradient in zip(tangents, gradients, strict=True):
        for key, g in leaves(gradient).items():
            wanted += np.sum(t[key] * g)
            size += np.sum(np.abs(g))
    digits = 1e-3 if "float32" in program.source else 1e-8
    return "" if abs(slope - wanted) <= digits * size else f"forward mode gives {slope}, the gradient {wanted}"


# -- the check -------------------------------------------------------------------------------------------------------


def check(program: Program) -> Outcome:
    """Run a program in plain NumPy and differentiated, call by call, and compare everything."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", hg.NativeCodeWarning)
        return _check(program)


def _check(program: Program) -> Outcome:
    single = "float32" in program.source
    try:
        plain = module(program.source)
    except SyntaxError as error:
        return Outcome("invalid", f"{type(error).__name__}: {error}")
    traced, anew = module(program.source), module(program.source)
    kept = hg.value_and_grad(traced.f, program.argnums)
    outcome = Outcome("right")
    for number, (change, texts) in enumerate([("", program.arguments), *program.later]):
        for made in (plain, traced, anew):
            exec(change, made.__dict__)
        wanted_error: Exception | None = None
        mine, fresh, theirs = arguments(texts), arguments(texts), arguments(texts)
        try:
            wanted = plain.f(*theirs)
        except Exception as error:
            wanted_error = error
        try:
            value, gradients = kept(*mine)
        except Exception as error:
            known = refusal(error)
            if known:
                return Outcome("refused", known)
            if isinstance(wanted_error, HopgradError):
                return of_reference_error(wanted_error)
            if wanted_error is not None and alike(error, wanted_error):
                return Outcome("invalid", f"{type(error).__name__}: {error}")
            instead = "" if wanted_error is None else f" and NumPy {type(wanted_error).__name__}: {wanted_error}"
            return Outcome("wrong", f"call {number} raises {type(error).__name__}{instead}: {error}")
        if isinstance(wanted_error, HopgradError):
            return of_reference_error(wanted_error)
        if wanted_error is not None:
            return Outcome("wrong", f"call {number}: NumPy raises {type(wanted_error).__name__}: {wanted_error}")
        if not agree(value, wanted, single):
            return Outcome("wrong", f"value of call {number}: {value!r} instead of {wanted!r}")
        changed = differences(mine, theirs, state(traced), state(plain), single)
        if changed:
            return Outcome("wrong", f"call {number}: {changed}")
        if not np.isfinite(wanted) or abs(wanted) > 1e6:
            return Outcome("invalid", "large numbers")
        if number:
            try:
                again, others = hg.value_and_grad(anew.f, program.argnums)(*fresh)
            except Exception as error:
                return Outcome("wrong", f"call {number} with a new transform raises {type(error).__name__}: {error}")
            if not agree(value, again, single):
                return Outcome("wrong", f"call {number}: value {value!r} kept, {again!r} anew")
            for one, other in zip(gradients, others, strict=True):
                if not all(agree(g, leaves(other)[key], single) for key, g in leaves(one).items()):
                    return Outcome("wrong", f"call {number}: gradient {one!r} kept, {other!r} anew")
        else:
            anew.f(*fresh)
            compare(Reference(program), program, gradients, outcome, float(wanted))
            if outcome.kind == "wrong":
                return outcome
            try:
                wrong = forward(program, gradients)
            except Exception as error:
                if refusal(error):
                    return Outcome("refused", refusal(error))
                wrong = f"forward mode raises {type(error).__name__}: {error}"
            if wrong:
                return Outcome("wrong", wrong)
    return outcome


@st.composite
def programs(draw: st.DrawFn) -> Program:
    def choose(n: int) -> int:
        return draw(st.integers(0, n - 1))

    return program(choose, 2 + choose(14))


def test_random_programs_are_right_or_refused_for_a_reason_that_is_listed() -> None:
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES <= 1000,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def run(program: Program) -> None:
        outcome = check(program)
        counts.update([outcome.kind], smooth=outcome.smooth, rough=outcome.rough)
        if outcome.kind == "refused":
            refused.update([outcome.detail])
        assert outcome.kind != "wrong", f"{outcome.detail}\n\n{program}"

    run()
    print(dict(counts), dict(refused))
    total = counts["right"] + counts["refused"] + counts["invalid"]
    for reason, count in refused.items():
        assert count <= OFTEN.get(reason, 0.005) * total, f"{reason}: {count} of {total} programs refused"
    assert counts["invalid"] < 0.04 * total
    assert counts["rough"] < 0.01 * counts["smooth"]
