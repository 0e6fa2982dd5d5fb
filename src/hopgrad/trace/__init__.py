"""Tracing: run the user's function on tracers, which take part in NumPy's own protocols and record hops."""
