"""Tracing: run the user's function on tracers, which take part in NumPy's own protocols and record hops."""

from hopgrad.trace import methods as methods  # completes the tracer's class
from hopgrad.trace import polynomials as polynomials
from hopgrad.trace import scimath as scimath
from hopgrad.trace import sets as sets
from hopgrad.trace import special as special  # adds to the functions that tracers know
