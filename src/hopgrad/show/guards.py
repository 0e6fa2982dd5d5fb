"""What a gradient depends on besides its formulas: the branches that the user's code took, as conditions to read.

A traced function that asks for values (``if x > 0``, ``while``, ``int(k)``, ``x[x > 0]``) leaves guards in its graph.
Here they become a list of `Condition`, which the story, the pictures, the page and the files all show: each guard as a
formula over the names of the story, or, where one line of code asked many times, all its answers in one sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from hopgrad.graph.graph import Graph, Guard, reachable
from hopgrad.graph.names import split_name
from hopgrad.graph.sites import Location
from hopgrad.notation import (
    RELATION,
    SUM,
    Apply,
    Fence,
    Infix,
    Number,
    Prefix,
    Symbol,
    Term,
    Word,
    equation,
    fit,
    number,
    text,
    value_text,
    write,
)

if TYPE_CHECKING:
    from hopgrad.show.analysis import Analysis

MAX_CONDITIONS = 10
"""So many are told; the rest are counted."""
BOUNDARY = "at the boundary: the derivative may jump here"

HOLDS = "This gradient holds while"

_MAX_SYMBOLS = 30
_LONG = 12  # symbols; what is longer goes by the user's name for it, if there is one
_MAX_CODE = 60
_ALONE = 3  # a line that asked no more often than this has its answers told one by one
_MAX_RUNS = 4
_SHOWN_ELEMENTS = 8

# What holds where a comparison does not, unless one side is NaN.
_OPPOSITE = {
    "greater": ("≤", r"\leq"),
    "greater_equal": ("<", "<"),
    "less": ("≥", r"\geq"),
    "less_equal": (">", ">"),
    "equal": ("≠", r"\neq"),
    "not_equal": ("=", "="),
}
_ROUNDED = frozenset(("floor", "ceil", "trunc", "rint"))
_STEPS = _ROUNDED | {"sign", "heaviside", "floor_divide"}


@dataclass(frozen=True)
class Condition:
    """Something that must be so for the gradient to hold: a `formula`, or a sentence in `prose`.

    ``nodes`` are the values that were asked for, ``location`` is where, and ``boundary`` says that one of them lies at
    a jump of its answer.
    """

    nodes: tuple[int, ...]
    formula: Term | None
    prose: str
    location: Location | None
    boundary: bool

    @property
    def text(self) -> str:
        """The condition in one line of plain text."""
        return self.prose if self.formula is None else text(self.formula)

    @property
    def place(self) -> str:
        """Where it was asked, as in ``line 3: "if x > 0:"``, or ''."""
        if self.location is None or not self.location.line:
            return ""
        source = self.location.source
        return f"line {self.location.line}" + (f': "{_clipped(source)}"' if source else "")

    @property
    def note(self) -> str:
        """The remark that stands beside it."""
        place = self.place if self.formula is not None else ""
        return "; ".join(filter(None, (place, BOUNDARY if self.boundary else "")))


def conditions(analysis: Analysis) -> list[Condition]:
    """All conditions on the inputs that are differentiated by, in the order in which the code asked.

    Guards of one place in the code are told one by one while they are few, and else together.
    """
    writer = Writer(analysis)
    places: dict[object, list[Guard]] = {}
    for guard in relevant(analysis):
        place = analysis.graph.builder.sites.location(guard.site)
        key: object = tuple(place[:5]) if place and place.line else guard.node
        places.setdefault(key, []).append(guard)
    apart = {key: len(guards) <= _ALONE for key, guards in places.items()}
    if sum(len(guards) if apart[key] else 1 for key, guards in places.items()) > MAX_CONDITIONS:
        apart = {key: len(guards) == 1 for key, guards in places.items()}
    found: list[Condition] = []
    for key, guards in places.items():
        found += [writer.one(guard) for guard in guards] if apart[key] else [writer.together(guards)]
    return found


def kept(found: Sequence[Condition]) -> tuple[list[Condition], int]:
    """The conditions to tell, those at a boundary before others, in their order; and how many are left out."""
    if len(found) <= MAX_CONDITIONS:
        return list(found), 0
    chosen = sorted(range(len(found)), key=lambda k: (not found[k].boundary, k))[: MAX_CONDITIONS - 1]
    return [found[k] for k in sorted(chosen)], len(found) - len(chosen)


def known_guards(graph: Graph) -> list[Guard]:
    """The guards of which the values are known: all that depend on no inputs but those of the graph."""
    if not graph.guards:
        return []
    builder = graph.builder
    inputs = set(graph.inputs)
    unknown: set[int] = set()
    for node in reachable(builder, [guard.node for guard in graph.guards]):
        foreign = builder.hop(node).name == "input" and node not in inputs
        if foreign or not unknown.isdisjoint(builder.args(node)):
            unknown.add(node)
    return [guard for guard in graph.guards if guard.node not in unknown]


def relevant(analysis: Analysis) -> list[Guard]:
    """The guards that depend on inputs that are differentiated by."""
    builder = analysis.graph.builder
    found = known_guards(analysis.graph)
    depends = set(analysis.wrt)
    for node in reachable(builder, [guard.node for guard in found]):
        if not depends.isdisjoint(builder.args(node)):
            depends.add(node)
    told = [guard for guard in found if "certain" not in builder.hop(guard.node).traits]
    return [guard for guard in told if guard.node in depends]


# -- writing ---------------------------------------------------------------------------------------------------------


class Writer:
    """Writes guards over the names of a story."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.builder = analysis.graph.builder
        self.own: dict[str, int] = {}
        self.terms: dict[int, Term | None] = {}
        self.steady: set[int] = set()  # values that are not at a boundary

    @cached_property
    def taken(self) -> set[tuple[str, str]]:
        """The names of the story, which no other value may get."""
        return {split_name(name) for name in self.analysis.names.values()}

    def one(self, guard: Guard) -> Condition:
        """The condition of a single guard."""
        formula, prose = self.statement(guard)
        place = self.builder.sites.location(guard.site)
        if formula is None and not prose:
            return self.together([guard])
        if formula is None and place and place.line:
            prose = f"{prose} (line {place.line})"
        return Condition((guard.node,), formula, prose, place, self.at_boundary(guard.node))

    def together(self, guards: Sequence[Guard]) -> Condition:
        """The condition of all guards of one place."""
        place = self.builder.sites.location(guards[0].site)
        code = _code(place)
        if not code:
            first = self.statement(guards[0])[0]
            code = "a condition without source" if first is None else f"{text(first)}, and so on"
        line = f" (line {place.line})" if place and place.line else ""
        nodes = tuple(guard.node for guard in guards)
        boundary = any(self.at_boundary(node) for node in nodes)
        return Condition(nodes, None, f"{code}: {_answers([guard.value for guard in guards])}{line}", place, boundary)

    def statement(self, guard: Guard) -> tuple[Term | None, str]:
        """What was asked and answered as a formula; for a mask as a sentence; neither if it is too long to write."""
        node, value = guard.node, guard.value
        like = self.builder.avals[node]
        if like.dtype.kind == "b" and like.size == 1:
            return self.claim(node, bool(value)), ""
        term = self.spelled(node)
        if term is None:
            return None, ""
        if like.dtype.kind == "b":
            return None, f"the mask {text(term)} is {_mask_text(np.asarray(value))}"
        exact = not like.shape and np.isfinite(value)
        said = number(value.item(), 12) if exact else Word(value_text(value))
        return equation(fit(term, SUM), said), ""

    def claim(self, node: int, truth: bool) -> Term | None:
        """A boolean value and its answer in one formula: x > 0, or x ≤ 0 where that is false."""
        node = self._truth(node)
        hop, args = self.builder.hop(node), self.builder.args(node)
        whole = self.spelled(node)
        if whole is None:
            return None
        if hop.name == "logical_not":
            return self.claim(args[0], not truth)
        if hop.name == ("logical_and" if truth else "logical_or"):
            sides = [self.claim(a, truth) for a in args]
            parts = tuple(_inside_and(side) for side in sides if side is not None)
            return Infix("∧", r"\land", parts, RELATION) if len(parts) == len(sides) else None
        if truth:
            return whole
        if hop.name in _OPPOSITE and isinstance(whole, Infix):
            if not any(_is_nan(self.analysis.value(a)) for a in args):
                symbol, tex = _OPPOSITE[hop.name]
                return Infix(symbol, tex, whole.items, RELATION)
            return Prefix("not ", r"\text{not }", whole)
        return Prefix("not ", r"\text{not }", whole if isinstance(whole, (Symbol, Apply)) else fit(whole, SUM))

    def spelled(self, node: int) -> Term | None:
        """A value by its hop over its operands, even if it has a name; None if that is too long."""
        node = self._truth(node)
        if not self.builder.args(node):
            return self.term(node)
        for arg in self.builder.args(node):
            self.term(arg)
        return self._over(node)

    def _truth(self, node: int) -> int:
        """What is asked for where a truth is compared with 0: the truth."""
        builder = self.builder
        while builder.hop(node).name == "not_equal":
            left, right = builder.args(node)
            while builder.hop(left).name == "convert":
                (left,) = builder.args(left)
            zero = builder.constants.get(right)
            if builder.avals[left].dtype.kind != "b" or zero is None or zero.shape or zero:
                break
            node = left
        return node

    def term(self, top: int) -> Term | None:
        """A value by its name in the story, or, as only guards need it, by its hop; None if that is too long."""
        stack = [top]
        while stack:
            node = stack[-1]
            if node in self.terms:
                stack.pop()
            elif node in self.analysis.names or not self.builder.args(node):
                self.terms[node] = self._leaf(node)
            elif missing := [a for a in self.builder.args(node) if a not in self.terms]:
                stack.extend(missing)
            else:
                whole = self._over(node)
                long = whole is None or whole.size > _LONG
                self.terms[node] = (self._variable(node) if long else None) or whole
        return self.terms[top]

    def _leaf(self, node: int) -> Term:
        data = self.builder.constants.get(node)
        if node in self.analysis.names or data is None or not data.shape:
            return self.analysis.symbol(node)
        return Word(value_text(data) if data.size <= 6 and data.ndim == 1 else "c")

    def _over(self, node: int) -> Term | None:
        """A value by its hop over terms for its operands, which are known."""
        builder = self.builder
        hop, args = builder.hop(node), builder.args(node)
        parts = [part for part in map(self.terms.__getitem__, args) if part is not None]
        if len(parts) < len(args) or sum(part.size for part in parts) > _MAX_SYMBOLS:
            return None
        if hop.name == "convert":
            return _converted(parts[0], builder.hop(args[0]).name, builder.avals[args[0]].dtype.kind,
                              builder.avals[node].dtype.kind)  # fmt: skip
        term = write(hop, parts, dict(builder.params(node)), [builder.avals[a] for a in args])
        return term if term.size <= _MAX_SYMBOLS else None

    def _variable(self, node: int) -> Term | None:
        """The user's own name for a value that the story does not show, if no other value goes by it."""
        name = self.builder.sites.name(self.builder.site[node])
        if name is None or split_name(name) in self.taken or self.own.setdefault(name, node) != node:
            return None
        return Symbol(name)

    # -- boundaries --------------------------------------------------------------------------------------------------

    def at_boundary(self, top: int) -> bool:
        """Whether the answer would be another one for operands that differ by no more than rounding."""
        builder = self.builder
        stack, seen = [top], {top}
        while stack:
            node = stack.pop()
            hop, args = builder.hop(node), builder.args(node)
            if self._at_jump(node):
                return True
            numbers = hop.name == "convert" or hop.name in _OPPOSITE
            further = [a for a in args if builder.avals[a].dtype.kind in "iub" or (numbers and self._in_steps(a))]
            stack += [a for a in further if a not in seen and a not in self.steady]
            seen.update(further)
        self.steady |= seen
        return False

    def _at_jump(self, node: int) -> bool:
        """Whether a hop that makes booleans or whole numbers of real ones jumps at its operands."""
        builder, value = self.builder, self.analysis.value
        hop, args = builder.hop(node), builder.args(node)
        if hop.name in _OPPOSITE:
            varying = any(map(self._varies, args))
            return varying and _near(*map(value, args), self._scale(args[0]), self._scale(args[1]))
        if hop.name == "floor_divide":
            with np.errstate(all="ignore"):
                return _at_step("floor", np.divide(*map(value, args)))
        if hop.name in _STEPS:
            return _at_step(hop.name, value(args[0]))
        if hop.name in ("argmax", "argmin"):
            return _tied(hop.name, value(args[0]), dict(builder.params(node))["axes"])
        whole = hop.name == "convert" and builder.avals[node].dtype.kind in "iu"
        return whole and self._varies(args[0]) and _at_step("trunc", value(args[0]))

    def _in_steps(self, node: int) -> bool:
        return self.builder.hop(node).name in _STEPS

    def _varies(self, node: int) -> bool:
        """Whether a value is a real number that changes without steps."""
        real = self.builder.avals[node].dtype.kind == "f"
        return real and node not in self.builder.constants and not self._in_steps(node)

    def _scale(self, node: int) -> Any:
        """The size of the numbers that a value was computed from, where digits may have cancelled."""
        builder = self.builder
        while builder.hop(node).name in ("absolute", "negative", "convert"):
            (node,) = builder.args(node)
        nodes = (node, *(builder.args(node) if builder.hop(node).name in ("add", "subtract") else ()))
        sizes = [np.abs(np.asarray(self.analysis.value(n), float)) for n in nodes]
        return np.max(np.stack(np.broadcast_arrays(*sizes)), axis=0)


def _inside_and(term: Term) -> Term:
    loose = isinstance(term, Infix) and term.operator in ("∨", "⊻", "=")
    return Fence(term) if loose else term


def _converted(term: Term, source: str, before: str, after: str) -> Term:
    """A conversion of dtype where it changes the value: int(x), or x ≠ 0 for a truth."""
    if after in "iu" and before == "f" and source not in _ROUNDED:
        return Apply("int", r"\operatorname{int}", (term,))
    if after == "b" and before != "b":
        return Infix("≠", r"\neq", (fit(term, SUM), Number("0")), RELATION)
    return term


def _is_nan(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind in "fc" and bool(np.isnan(array).any())


def _near(a: Any, b: Any, *scales: Any) -> bool:
    """Whether two numbers, or any two elements of arrays, are equal up to rounding of what they come from."""
    dtype = np.result_type(np.asarray(a).dtype, np.asarray(b).dtype)
    eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    with np.errstate(all="ignore"):
        apart = np.abs(np.subtract(a, b, dtype=float))
        bound = 4 * eps * np.maximum(*scales)
        return bool((apart <= np.where(np.isfinite(bound), bound, 0)).any())


def _at_step(name: str, value: Any) -> bool:
    """Whether a number, or any element, lies where a rounding jumps."""
    array = np.asarray(value, float)
    if name in ("sign", "heaviside"):
        return bool((array == 0).any())
    if name == "rint":
        array = array - 0.5
    whole = np.isfinite(array) & (array == np.rint(array))
    return bool((whole & (array != 0) if name == "trunc" else whole).any())


def _tied(name: str, value: Any, axes: tuple[int, ...]) -> bool:
    """Whether the largest or smallest element occurs twice."""
    array = np.asarray(value)
    if array.dtype.kind != "f" or not array.size:
        return False
    best = (np.max if name == "argmax" else np.min)(array, axis=axes, keepdims=True)
    return bool((np.sum(array == best, axis=axes) > 1).any())


# -- words -----------------------------------------------------------------------------------------------------------

_KEYWORD = re.compile(r"(while|if|elif|assert)\b")
_WHILE = re.compile(r"^(while|if|elif|assert) ")


def _clipped(code: str) -> str:
    code = " ".join("".join(c if c.isprintable() else "\ufffd" for c in code).split())
    return code if len(code) <= _MAX_CODE else code[: _MAX_CODE - 1] + "…"


def _code(place: Location | None) -> str:
    """The code that asked, as in ``while abs(x*x - a) > tol``, or ''."""
    if place is None or not place.line or not place.span:
        return ""
    keyword, source = _KEYWORD.match(place.source), place.source.rstrip(":")
    if place.span.strip() in (place.source, source):
        return _clipped(source)
    return _clipped(f"{keyword[1]} {place.span}" if keyword else place.span)


def _answers(values: Sequence[Any]) -> str:
    """The answers that one place got, in words.

    >>> _answers([True, True, True, False]), _answers([True, False] * 10)
    ('true 3 times, then false', 'true 10 times, false 10 times')
    """
    if all(np.asarray(value).dtype.kind == "b" and not np.ndim(value) for value in values):
        words = ["true" if value else "false" for value in values]
    else:
        words = [_mask_text(v) if v.dtype.kind == "b" else value_text(v) for v in map(np.asarray, values)]
    runs = [(word, len(list(run))) for word, run in groupby(words)]
    if len(runs) <= _MAX_RUNS:
        return ", then ".join(word if count == 1 else f"{word} {count} times" for word, count in runs)
    counts = Counter(words)
    if len(counts) <= _MAX_RUNS:
        return ", ".join(f"{word} {count:,} times" if count > 1 else f"{word} once" for word, count in counts.items())
    return f"{', '.join(words[:_MAX_RUNS])}, … ({len(words):,} answers)"


def _mask_text(mask: np.ndarray[Any, Any]) -> str:
    """A mask in short.

    >>> _mask_text(np.array([True, False])), _mask_text(np.eye(3) > 0)
    ('[T, F]', 'true at 3 of 3×3')
    """
    if not mask.ndim:
        return "true" if mask else "false"
    if mask.ndim == 1 and mask.size <= _SHOWN_ELEMENTS:
        return f"[{', '.join('T' if item else 'F' for item in mask)}]"
    return f"true at {int(mask.sum()):,} of {'×'.join(map(str, mask.shape))}"


def listed(found: Sequence[Condition], most: int = 4) -> list[Term]:
    """The conditions as terms for a caption, of many the first ones and a count; those at a boundary go first."""
    order = sorted(range(len(found)), key=lambda k: (not found[k].boundary, k))
    chosen = sorted(order if len(found) <= most else order[: most - 1])
    terms = [found[k].formula or Word(_WHILE.sub("", found[k].prose)) for k in chosen]
    more = len(found) - len(chosen)
    return [*terms, Word(f"{more:,} more conditions hold")] if more else terms


def sentence(found: Sequence[Condition]) -> str:
    """The conditions as one sentence of plain text, or '' if there are none.

    >>> sentence([])
    ''
    """
    if not found:
        return ""
    *others, last = map(text, listed(found))
    words = f"{', '.join(others)} and {last}" if others else last
    return f"{HOLDS} {words}" + (f" ({BOUNDARY})" if any(c.boundary for c in found) else "")
