"""Placeholder being written."""

from hopgrad.show.analysis import Analysis


def dot(analysis: Analysis) -> str:
    raise NotImplementedError


def tikz(analysis: Analysis) -> str:
    raise NotImplementedError


def mermaid(analysis: Analysis) -> str:
    raise NotImplementedError
