"""The graph: hops, the builder that interns them, provenance, the checker, the text form and the schema."""
