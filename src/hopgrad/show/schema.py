"""Placeholder being written."""

from hopgrad.show.analysis import Analysis


def to_json(analysis: Analysis, title: str) -> str:
    raise NotImplementedError
