"""Products of matrices, and einsum."""

from __future__ import annotations

from hopgrad.simplify.draft import Call, Draft
from hopgrad.simplify.rules import rule


@rule("matmul")
def product_of_column_and_row(draft: Draft, call: Call, a: int, b: int) -> int | None:
    """A column times a row has one product in each element: that of an elementwise multiplication."""
    first, second = draft.shape(a), draft.shape(b)
    if first[-1] != 1 or call.kind not in "fiu":
        return None
    # NumPy's rules for vectors: a row from the left, a column from the right.
    column = a if len(first) > 1 else draft.reshape(a, (1, 1))
    row = b if len(second) > 1 else draft.reshape(b, (1, 1))
    return draft.reshape(draft.make("multiply", column, row), call.shape)
