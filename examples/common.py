"""What the examples have in common: their options."""

from __future__ import annotations

import argparse
from pathlib import Path


def options(doc: str | None, **defaults: int) -> argparse.Namespace:
    """The options of a script: its own numbers, and where to write to."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n\n")[0])
    out = Path(__file__).resolve().parents[1] / "out"
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help="where to write (default: out)")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    found = parser.parse_args()
    found.out.mkdir(parents=True, exist_ok=True)
    return found
