"""Showing the work: the story of a gradient, its picture, its page."""
