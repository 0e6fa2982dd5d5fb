"""The gallery: examples to explore, and the pages that are made of them. ``hopgrad gallery`` writes them."""

from hopgrad.gallery.examples import EXAMPLES, Example
from hopgrad.gallery.pages import write

__all__ = ["EXAMPLES", "Example", "write"]
