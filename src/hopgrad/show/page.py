"""Placeholder being written."""

from hopgrad.show.analysis import Analysis


def page(analysis: Analysis, title: str, sections: object) -> str:
    raise NotImplementedError
