"""The README's example gives the output that it shows, and its picture is the one that hopgrad draws."""

import doctest
import sys
from pathlib import Path

import hopgrad as hg

ROOT = Path(__file__).parents[1]


def test_the_example_runs() -> None:
    flags = doctest.ELLIPSIS
    found = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=flags, encoding="utf-8")
    assert found.attempted >= 4
    assert not found.failed


def test_the_picture_is_current() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from gallery import chain

    # File and line of the example are in the tooltips: compare what is drawn, not where it was written.
    drawn = hg.explain(chain)(0.5).svg(adjoints=True)
    kept = (ROOT / "docs" / "sin.svg").read_text(encoding="utf-8")
    strip = [line.split("<title>")[0] for line in drawn.splitlines() if "hop" in line and 'class="node' in line]
    assert strip
    assert all(line in kept for line in strip)
