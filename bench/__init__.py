"""Benchmarks: hopgrad beside JAX, PyTorch, autograd, CasADi and NumPy by hand, on the same problems.

``make bench`` runs them all, ``make bench ONLY=name`` those whose name contains it, ``make bench QUICK=1`` a fast pass.
The problems are in `bench.cases`, one file a family; `bench.tools` says how each tool is called, `bench.worker` how one
case is measured, `bench.report` how the table is written. docs/performance.md explains the method.

Importing any module of this package needs NumPy and SciPy only.
"""
