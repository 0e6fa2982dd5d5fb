"""A tool of GradBench: `bench.gradbench.tool` speaks its protocol, the other modules are its problems, one each.

A problem is plain NumPy. Its functions have the names of the protocol; `CALLS` says how their input and output are read
from and written to JSON. https://gradben.ch describes the benchmark.
"""
