"""Selection, comparisons and truth."""

from __future__ import annotations

from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import ANY, SAME, rule

_OPPOSITE = {
    "equal": "not_equal", "not_equal": "equal", "less": "greater_equal", "greater_equal": "less",
    "greater": "less_equal", "less_equal": "greater",
}  # fmt: skip

# -- where -----------------------------------------------------------------------------------------------------------


@rule("where", ANY, ANY, SAME)
def the_same_either_way(draft: Draft, call: Call, mask: int, a: int, b: int) -> int:
    """where(m, a, a) → a."""
    return draft.broadcast(a, call.shape)


@rule("where", "number")
def fixed_choice(draft: Draft, call: Call, mask: int, a: int, b: int) -> int:
    """where(True, a, b) → a. What was not taken does not count, whatever it holds."""
    return draft.broadcast(a if draft.number(mask) else b, call.shape)


@rule("where", "logical_not")
def choice_turned_round(draft: Draft, call: Call, mask: int, a: int, b: int) -> int | None:
    """where(not m, a, b) → where(m, b, a)."""
    (inner,) = draft.args(mask)
    return draft.make("where", inner, b, a) if draft.aval(inner).dtype.kind == "b" else None


@rule("where", ANY, "where")
def choice_within_its_first_branch(draft: Draft, call: Call, mask: int, a: int, b: int) -> int | None:
    """where(m, where(m, x, y), b) → where(m, x, b): y is never taken."""
    inner, x, _ = draft.args(a)
    return draft.broadcast(draft.make("where", mask, x, b), call.shape) if inner == mask else None


@rule("where", ANY, ANY, "where")
def choice_within_its_second_branch(draft: Draft, call: Call, mask: int, a: int, b: int) -> int | None:
    """where(m, a, where(m, x, y)) → where(m, a, y): x is never taken."""
    inner, _, y = draft.args(b)
    return draft.broadcast(draft.make("where", mask, a, y), call.shape) if inner == mask else None


@rule("where", ANY, "number", "number")
def choice_of_truth(draft: Draft, call: Call, mask: int, a: int, b: int) -> int | None:
    """where(m, True, False) → m, and the other way round → not m."""
    first, second = draft.number(a), draft.number(b)
    if call.kind != "b" or draft.aval(mask).dtype.kind != "b" or bool(first) is bool(second):
        return None
    return mask if first else draft.make("logical_not", mask)


# -- and, or, not ----------------------------------------------------------------------------------------------------


@rule("logical_not", "logical_not")
def not_not(draft: Draft, call: Call, x: int) -> int | None:
    """not not x → x, for truth values."""
    (inner,) = draft.args(x)
    return inner if draft.aval(inner).dtype.kind == "b" else None


@rule("logical_not", tuple(_OPPOSITE))
def opposite(draft: Draft, call: Call, x: int) -> int | None:
    """not (a = b) → a ≠ b, also for NaN; not (a < b) → a ≥ b for integers only, since NaN is neither."""
    name, operands = draft.name(x), draft.args(x)
    if name not in ("equal", "not_equal") and draft.aval(operands[0]).dtype.kind not in "biu":
        return None
    return draft.make(_OPPOSITE[name], *operands)


@rule(("logical_and", "logical_or", "logical_xor"), ANY, "number")
def truth_with_a_constant(draft: Draft, call: Call, x: int, c: int) -> int | None:
    """x and True → x, x and False → False, x or False → x, x or True → True, x xor False → x, x xor True → not x."""
    truth = bool(draft.number(c))
    if call.hop.name == "logical_xor":
        if truth:
            return draft.make("logical_not", x)
    elif truth is (call.hop.name == "logical_or"):
        return draft.fill(truth, call.aval)
    return x if draft.aval(x).dtype.kind == "b" else draft.make("not_equal", x, draft.constant(0, draft.aval(x).dtype))


@rule(("logical_and", "logical_or", "maximum", "minimum", "fmax", "fmin"), ANY, SAME)
def with_itself(draft: Draft, call: Call, x: int, _: int) -> int | None:
    """x and x → x, max(x, x) → x, and so on."""
    return x if draft.aval(x) is call.aval else None


@rule("logical_xor", ANY, SAME)
def differing_from_itself(draft: Draft, call: Call, x: int, _: int) -> int:
    """x xor x → False."""
    return draft.fill(False, call.aval)


# -- comparisons -----------------------------------------------------------------------------------------------------


@rule(("less", "greater"), ANY, SAME)
def less_than_itself(draft: Draft, call: Call, x: int, _: int) -> int:
    """x < x → False, NaN included."""
    return draft.fill(False, call.aval)


@rule(("equal", "not_equal", "less_equal", "greater_equal"), ANY, SAME)
def equal_to_itself(draft: Draft, call: Call, x: int, _: int) -> int | None:
    """x = x → True for integers; a float may be NaN."""
    if draft.aval(x).dtype.kind not in "biu":
        return None
    return draft.fill(call.hop.name != "not_equal", call.aval)


@rule(("isnan", "isinf", "isfinite"))
def asked_of_integers(draft: Draft, call: Call, x: int) -> int | None:
    """Integers and truth values are finite."""
    return draft.fill(call.hop.name == "isfinite", call.aval) if draft.aval(x).dtype.kind in "biu" else None
