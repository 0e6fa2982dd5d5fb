"""The demonstration that `make demo` runs."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


def demo(*words: str, cwd: Path) -> str:
    """What it prints when run in this directory with warnings as errors."""
    words = (sys.executable, "-W", "error", str(DEMO), *words)
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class Balanced(HTMLParser):
    """Fails at an end tag that does not fit."""

    VOID = ("meta", "link", "br", "hr", "img", "input", "col", "wbr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    """Run as users do, except for the directory: all steps, which take a second or two."""
    return demo("--out", "new/out", cwd=folder)


def test_explains_the_function_by_its_own_names(printed: str) -> None:
    assert "f(x) = sin((x+1)²)   at x = 0.5" in printed
    assert "dy/dx = dy/dh · dh/dz · dz/dx" in printed
    assert "−1.88452" in printed


def test_explains_the_network_in_short(printed: str) -> None:
    part = printed.partition("2. A neural network")[2].partition("training on")[0]
    assert "z = " in part
    assert "h = tanh(z)" in part
    assert "W̄₁ = Xᵀ @" in part
    assert "more sections are on the page" in part
    assert part.count("\n") < 70


def test_the_network_learns(printed: str) -> None:
    after, before = re.findall(r"([\d.]+)%", printed.partition("accuracy")[2])
    assert float(before) < 30
    assert float(after) > 95
    first, last = re.findall(r"loss +([\d.]+) [▁-█]{60} ([\d.]+)", printed)[0]
    assert 2 < float(first) < 4
    assert float(last) < 0.1


def test_writes_pictures_and_pages(printed: str, folder: Path) -> None:
    out = folder / "new" / "out"
    names = ["network.html", "network.svg", "sine.html", "sine.svg"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        assert f"wrote {Path('new', 'out', name)}\n" in printed
        words = (out / name).read_text(encoding="utf-8")
        if name.endswith(".svg"):
            assert ET.fromstring(words).tag.endswith("svg")
        else:
            page = Balanced()
            page.feed(words)
            page.close()
            assert not page.open
            assert words.startswith("<!DOCTYPE html>")


def test_is_deterministic(tmp_path: Path) -> None:
    timeless = [
        re.sub(r"in [\d.]+ s", "", demo("--steps", "3", "--out", str(tmp_path), cwd=tmp_path)) for _ in range(2)
    ]
    assert timeless[0] == timeless[1]
    assert "3 steps" in timeless[0]


def test_refuses_no_steps(tmp_path: Path) -> None:
    words = [sys.executable, str(DEMO), "--steps", "0", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "--steps is 1 or more" in done.stderr
    assert not (tmp_path / "out").exists()
