"""Rules as data: what a rule looks at, and the table of all of them.

A rule is a function ``rule(draft, call, *operands, **params)`` that gives the new value that stands for a hop, or None
if it does not apply. Its decorator says what it is for:

    @rule("multiply", ANY, "number")
    def times_one(draft, call, x, c): ...

is offered every product in which one operand is a constant without axes. Operands are patterns: the name of the hop
that makes it (or a tuple of names), "number" or "constant" (a constant without, and with axes), `ANY`, or `SAME` (as
the operand before). There may be more operands than patterns. Of commutative hops both orders are tried. Without
patterns, the rule is offered every hop of the name; with ``among``, those with an operand of such a kind at any place.
In place of a name there may be several, or a predicate on hops, which reads traits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, TypeVar

from hopgrad.graph.hop import Elementwise, General, Hop, Multilinear, Reduction, Structural
from hopgrad.hops.custom import Identity

ANY = "any"
SAME = "same"

Function = Callable[..., int | None]
F = TypeVar("F", bound=Function)
Pattern = str | tuple[str, ...]
Which = str | tuple[str, ...] | Callable[[Hop], bool]


@dataclass(frozen=True)
class Rule:
    """One rule: its function, the hops that it is for, and what their operands have to be."""

    function: Function
    which: Which
    operands: tuple[Pattern, ...]
    among: tuple[str, ...] = ()
    """Names of hops one of which has to make an operand, whichever."""

    @property
    def name(self) -> str:
        """As in ``passes``: the function's name in words."""
        return self.function.__name__.strip("_").replace("_", " ")

    @property
    def text(self) -> str:
        """What the rule does and why that is right."""
        return self.function.__doc__ or ""

    def fits(self, hop: Hop) -> bool:
        """Whether the rule is for this hop."""
        if callable(self.which):
            return self.which(hop)
        return hop.name == self.which if isinstance(self.which, str) else hop.name in self.which


def ruled(hop: Hop) -> bool:
    """Whether a hop is of the catalogue's own: those of users may do more than compute, and are left alone."""
    classes = (Elementwise, General, Multilinear, Reduction, Structural)
    return isinstance(hop, classes) and hop.__module__.startswith("hopgrad.hops.") and not isinstance(hop, Identity)


table: list[Rule] = []
"""All rules, in the order in which they are tried."""


def rule(which: Which, *operands: Pattern, among: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Put a function into the table."""

    def decorate(function: F) -> F:
        table.append(Rule(function, which, operands, among))
        return function

    return decorate


class Trial(NamedTuple):
    """A rule as it is tried on a hop: with its operands in order, or exchanged."""

    rule: Rule
    exchanged: bool

    def matches(self, names: list[str], args: tuple[int, ...]) -> bool:
        """Whether operands, and the hops by which they are made, are what the rule asks for."""
        previous = -1
        for pattern, name, arg in zip(self.rule.operands, names, args, strict=False):
            if pattern is SAME:
                if arg != previous:
                    return False
            elif pattern is not ANY and pattern != name and (isinstance(pattern, str) or name not in pattern):
                return False
            previous = arg
        return True


def plan_of(hop: Hop) -> Plan | None:
    """The plan of a hop, if it is of the catalogue's own. Hops of users are not kept alive by it."""
    return _planned(hop) if ruled(hop) else None


@cache
def _planned(hop: Hop) -> Plan:
    return Plan(hop)


class Plan:
    """The rules for one hop, by what has to be among its operands before it is worth while to look closer."""

    def __init__(self, hop: Hop) -> None:
        # Of zeros of both signs max takes the one that comes first or last, and products of complex numbers round
        # differently in one order and the other where they are compiled to fused operations.
        self.exchangeable = "commutative" in hop.traits and hop.name not in ("maximum", "minimum", "fmax", "fmin")
        self.always: list[Trial] = []
        self.same: list[Trial] = []
        self.by_operand: dict[str, list[Trial]] = {}
        for found in table:
            if found.fits(hop):
                trials = [Trial(found, False)]
                # Numbers stand last where operands are put in order.
                ordered = self.exchangeable and found.operands == (ANY, "number")
                if "commutative" in hop.traits and len({*found.operands, SAME}) == 3 and not ordered:
                    trials.append(Trial(found, True))
                for chosen in self._lists(found):
                    chosen += trials
        self.foldable = hop.name != "broadcast_to"  # which is small as it is

    def _lists(self, found: Rule) -> list[list[Trial]]:
        if found.among:
            return [self.by_operand.setdefault(name, []) for name in found.among]
        for pattern in found.operands:
            if pattern is SAME:
                return [self.same]
            if pattern is not ANY:
                names = (pattern,) if isinstance(pattern, str) else pattern
                return [self.by_operand.setdefault(name, []) for name in names]
        return [self.always]
