"""What is known about signs."""

from __future__ import annotations

import numpy as np

from hopgrad.simplify.draft import Draft

_ALWAYS = frozenset({"absolute", "exp", "exp2", "cosh", "norm", "var", "std", "softmax"})
_IF_ALL_OPERANDS_ARE = frozenset({
    "add", "multiply", "divide", "sqrt", "broadcast_to", "reshape", "transpose", "index", "concatenate", "sum", "mean",
    "max", "min", "maximum", "minimum", "matmul", "hypot",
})  # fmt: skip


def nonnegative(draft: Draft, node: int, depth: int = 4) -> bool:
    """Whether all elements are 0.0, positive, ∞ or NaN: never negative and never −0.0. False is always safe."""
    number = draft.number(node)
    if number is not None:
        return number.dtype.kind in "fiub" and not np.signbit(np.float64(number))
    data = draft.builder.constants.get(node)
    if data is not None:
        return draft.remembered(node, lambda: data.dtype.kind in "fiub" and not np.signbit(data.astype(float)).any())
    if draft.aval(node).dtype.kind != "f" or not depth:
        return False
    name, args = draft.name(node), draft.args(node)
    if name == "where":
        args = args[1:]
    elif name == "index":
        args = args[:1]
    elif name == "multiply" and args[0] == args[1]:
        return True
    elif name == "convert":
        return draft.aval(args[0]).dtype.kind in "bu" or nonnegative(draft, args[0], depth - 1)
    elif name not in _IF_ALL_OPERANDS_ARE:
        return name in _ALWAYS
    return all(nonnegative(draft, a, depth - 1) for a in args)
