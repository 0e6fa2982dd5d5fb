"""The catalogue: one definition an operation. Importing this package defines them all."""

from hopgrad.hops import elementwise, functions, products, reduce, shape, special

__all__ = ["elementwise", "functions", "products", "reduce", "shape", "special"]
