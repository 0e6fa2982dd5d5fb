"""The catalogue: one definition an operation, and NumPy's functions made of them. Importing this defines them all."""

from hopgrad.hops import (
    arrange,
    control,
    custom,
    elementwise,
    exact,
    fit,
    functions,
    linalg,
    linalg_functions,
    order,
    products,
    queries,
    reduce,
    shape,
    special,
    statistics,
)

__all__ = [
    "arrange",
    "control",
    "custom",
    "elementwise",
    "exact",
    "fit",
    "functions",
    "linalg",
    "linalg_functions",
    "order",
    "products",
    "queries",
    "reduce",
    "shape",
    "special",
    "statistics",
]
