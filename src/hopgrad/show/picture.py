"""Placeholder being written."""

from typing import Literal

from hopgrad.show.analysis import Analysis

Direction = Literal["right", "down"]


def svg(analysis: Analysis, title: str, direction: Direction, adjoints: bool, theme: str) -> str:
    raise NotImplementedError
