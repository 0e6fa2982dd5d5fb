"""The command line: what it prints and writes, and what it says when something is wrong."""

import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hopgrad import __version__
from hopgrad.cli import FORMATS, main, wants_colour
from hopgrad.show.explanation import Explanation

MODEL = """\
import numpy as np
from helper import half

weights = 3


def loss(w, x):
    z = w * x
    return np.sum(np.tanh(z) ** 2)


def power(x, n: int):
    for _ in range(n):
        x = x * x
    return x


def power_plain(x, n):
    for _ in range(n):
        x = x * x
    return x


def scaled(x, /, y=2.0):
    return x * y


def talkative(x):
    print("hello")
    return half(x)


def broken(x):
    return inner(x)


def inner(x):
    raise ZeroDivisionError("oops")


def unnamed(*args):
    return args[0]


def options(**named):
    return named["x"] ** 2


def tree(params, x):
    return np.sum(params["W"] * x) + params["b"]


def quits(x):
    raise SystemExit(3)


def pair(x):
    return x, x


def branching(x, y=2.0):
    z = x * y
    if z > 3:
        return z * z
    return -z


class Model:
    @staticmethod
    def square(x):
        return x * x
"""


class Result(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command in this process, in an empty directory."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        status = main(words)
        return Result(status, *capsys.readouterr())

    return call


@pytest.fixture
def model(run: Run) -> Path:
    Path("helper.py").write_text("def half(x):\n    return x / 2\n", encoding="utf-8")
    path = Path("model.py")
    path.write_text(MODEL, encoding="utf-8")
    return path


def command(*words: str, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hopgrad", *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )


def complaint(result: Result, *parts: str, status: int = 2) -> None:
    """It failed with one message that contains `parts`, and printed nothing else."""
    assert result.status == status, result
    assert result.out == ""
    assert result.err.startswith("hopgrad: ")
    assert result.err.count("hopgrad: ") == 1
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err


# -- formulas ----------------------------------------------------------------------------------------------------------


def test_explains_a_formula(run: Run) -> None:
    result = run("explain", "sin((x+1)^2)", "--at", "x=0.5")
    assert result.status == 0
    assert result.err == ""
    assert result.out.startswith("f(x) = sin((x+1)²)   at x = 0.5\n")
    assert "dy/dx = 2(x+1) · cos((x+1)²)" in result.out
    assert "−1.88452" in result.out
    assert "\033" not in result.out


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("-0.5", "−0.5"),
        ("1e-3", "0.001"),
        ("2", "2"),
        ("nan", "NaN"),
        ("inf", "∞"),
        ("-inf", "−∞"),
        ("pi/2", "1.5708"),
        ("sqrt(2)", "1.41421"),
        ("[1, .5,nan,-inf]", "[1, 0.5, NaN, −∞]"),
        ("[[1, 2], [3, 4]]", "2×2: 1 … 4"),
        ("x.npy", "[1, 2]"),
        ("x.csv", "2×2: 1 … 4"),
        ("headed.csv", "2×2: 1 … 4"),
        ("x.json", "[0.5, 2]"),
    ],
)
def test_values(run: Run, value: str, shown: str) -> None:
    np.save("x.npy", np.array([1, 2]))
    Path("x.csv").write_text("1,2\n3,4\n", encoding="utf-8")
    Path("headed.csv").write_text("\ufeffa;b\n1;2\n3;4\n\n", encoding="utf-8")
    Path("x.json").write_text("[0.5, 2]", encoding="utf-8")
    result = run("explain", "sum(2*x)", "--at", f"x={value}")
    assert result.status == 0, result.err
    assert result.out.split("\n")[0].endswith(f"at x = {shown}")


def test_several_values_and_wrt(run: Run) -> None:
    point = ("--at", "b=0.5", "a=2", "--at", "c = 1")
    result = run("explain", "a*b + c", *point)
    assert result.status == 0
    assert result.out.startswith("f(a, b, c) = a · b + c   at a = 2, b = 0.5, c = 1")
    assert set(re.findall(r"∂y/∂([abc])", result.out)) == {"a", "b", "c"}
    result = run("explain", "a*b + c", *point, "--wrt", "c", "--wrt", "b")
    assert set(re.findall(r"∂y/∂([abc])", result.out)) == {"b", "c"}


def test_order(run: Run) -> None:
    result = run("explain", "x^3", "--at", "x=2", "--order", "2")
    assert result.status == 0
    assert re.search(r"= 12\b", result.out)


def test_a_formula_may_begin_with_a_minus(run: Run) -> None:
    for words in (("-x^2", "--at", "x=1"), ("--at", "x=1", "-x^2"), ("--at", "x=1", "--", "-x^2")):
        assert run("explain", *words).out.startswith("f(x) = −x²")
    assert run("explain", "-omega^2", "--at", "omega=1").status == 0


def test_the_options_may_come_first(run: Run) -> None:
    assert run("explain", "--at", "x=1", "x^2").out.startswith("f(x) = x²")


def test_slashes_make_no_file_name(run: Run) -> None:
    assert run("explain", "a/b", "--at", "a=1", "b=2").status == 0


def test_shows_where_nan_is_born(run: Run) -> None:
    result = run("explain", "log(x-1)", "--at", "x=0.5")
    assert result.status == 0
    assert "Where it breaks" in result.out
    assert "NaN is born at y = log(z)" in result.out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["nothing to explain", "--at x=0.5"]),
        (["__import__('os')"], ["text in quotes is not allowed"]),
        (["x.real", "--at", "x=1"], ["attribute access"]),
        (["", "--at", "x=1"], ["empty"]),
        (["(" * 100_000], ["100000 characters"]),
        (["(" * 500 + "x" + ")" * 499], ["nested too deeply"]),
        (["sin(x"], ["( is never closed"]),
        (["1 + 1"], ["no variable"]),
        (["x*y*z", "--at", "x=1"], ["needs values for y, z", "--at y=… z=…"]),
        (["alpha", "--at", "alpha=1", "alhpa=1"], ["no variable alhpa", "did you mean alpha?"]),
        (["x*y", "--at", "x=1", "y=2", "--wrt", "z"], ["--wrt z", "choose from x, y"]),
        (["x*y", "--at", "x=1", "y=2", "--order", "2"], ["choose one of x, y with --wrt"]),
        (["x", "--at", "x=1", "--order", "0"], ["the order is 1 or more, not 0"]),
        (["x", "--at", "x=1", "--order", "1000"], ["at most 20"]),
        (["x", "--at", "x=1", "--order", "two"], ["'two' is not a whole number"]),
        (["x", "--at", "x=1", "--integer", "x"], ["--integer is for functions"]),
        (["A@x", "--at", "A=[[1,2],[3,4]]", "x=[1,2,3]"], ["(2, 2) and (3,)"]),
        (["x", "--at", "x=1", "x=2"], ["x has a value already"]),
        (["x", "--at", "x"], ["write NAME=VALUE"]),
        (["x", "--at", "=1"], ["write NAME=VALUE"]),
        (["x", "--at", "x="], ["write NAME=VALUE"]),
        (["x", "--at", "2x=1"], ["write NAME=VALUE"]),
        (["x", "--at"], ["--at"]),
        (["x", "--at", "x=1", "--frobnicate"], ["--frobnicate"]),
        (["x", "--at", "x=1", "--format", "svgg"], ["unknown format 'svgg'", "did you mean svg?"]),
        (["x", "--at", "x=1", "-o", "x.xyz"], ["unknown format .xyz", ".svg"]),
        (["x", "--at", "x=1", "-o", "plain"], ["no suffix"]),
        (["x", "--at", "x=1", "-o", "no/such/x.svg"], ["no directory no/such"]),
        (["x", "--at", "x=1", "-o", "."], ["directory"]),
        (["x", "--at", "x=1", "-o", "a.svg", "-o", "b.md", "--format", "md"], ["--format with several -o"]),
        (["x", "--at", "x=1", "--theme", "dark"], ["--theme is for the picture"]),
        (["x", "--at", "x=1", "--adjoints", "-o", "x.md"], ["--adjoints is for the picture"]),
        (["model:loss", "--at", "x=1"], ["write file.py:function"]),
        (["notes.txt", "--at", "x=1"], ["functions are read from .py files"]),
    ],
)
def test_bad_input(run: Run, words: list[str], parts: list[str]) -> None:
    Path("notes.txt").touch()
    before = sorted(Path().iterdir())
    complaint(run("explain", *words), *parts)
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("abc", "no number, list or file"),
        ("1,2", "no number, list or file"),
        ("x.txt", "no number, list or file"),
        ("1e999", "too large"),
        ("9" * 10_000, "too large"),
        ("[1, abc]", "'abc' in the list is no number"),
        ("[1, 1e999]", "too large"),
        ("[1, [2]]", "rows differ in length"),
        ("[1, 2", "brackets and commas do not fit"),
        ("[" * 100_000, "nested too deeply"),
        ('"text"', "not str"),
        ("{}", "not dict"),
        ('{"a"', "Expecting"),
        ("missing.csv", "no such file"),
        ("missing.npy", "no such file"),
        ("missing.json", "no such file"),
        ("words.csv", "could not convert"),
        ("ragged.csv", "columns"),
        ("empty.csv", "no numbers"),
        ("headings.csv", "no numbers below"),
        ("binary.csv", "UTF-8"),
        ("huge.csv", "64"),
        ("folder.csv", "not a file"),
        ("bad.json", "not JSON"),
        ("deep.json", "nested too deeply"),
        ("objects.npy", "no .npy file of numbers"),
        ("complex.npy", "not real numbers"),
        ("words.npy", "no .npy file of numbers"),
        ("archive.npy", ".npz archive"),
        ("empty.npy", "No data"),
    ],
)
def test_bad_values(run: Run, value: str, part: str) -> None:
    Path("words.csv").write_text("1,2\n3,x\n", encoding="utf-8")
    Path("ragged.csv").write_text("1,2\n3\n", encoding="utf-8")
    Path("empty.csv").write_text("\n", encoding="utf-8")
    Path("headings.csv").write_text("a,b\n", encoding="utf-8")
    Path("binary.csv").write_bytes(b"\xff\xfe\xfd")
    with Path("huge.csv").open("wb") as file:
        file.truncate(2**30)  # takes no space on the disk
    Path("folder.csv").mkdir()
    Path("bad.json").write_text("[1, 2", encoding="utf-8")
    Path("deep.json").write_text("[" * 100_000, encoding="utf-8")
    np.save("objects.npy", np.array([None]), allow_pickle=True)
    np.save("complex.npy", np.array([1j]))
    Path("words.npy").write_text("words", encoding="utf-8")
    with Path("archive.npy").open("wb") as file:
        np.savez(file, a=1.0)
    Path("empty.npy").touch()
    complaint(run("explain", "sum(x)", "--at", f"x={value}"), part, "x")


def test_other_commands(run: Run) -> None:
    complaint(run("sin(x)", "--at", "x=1"), "there is no command", "hopgrad explain 'sin(x)'")


# -- functions of files ------------------------------------------------------------------------------------------------


def test_explains_a_function_of_a_file(run: Run, model: Path) -> None:
    result = run("explain", "model.py:loss", "--at", "x=0.5", "--at", "w=[1,2,3]")
    assert result.status == 0, result.err
    assert result.out.startswith("loss(w, x)")
    assert "∂y/∂w" in result.out
    assert "∂y/∂x" in result.out
    assert not list(Path().glob("**/__pycache__/model*"))


def test_loading_leaves_no_trace(run: Run, model: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    Path("random.py").write_text("import sys\ndef f(x):\n    return x * x\n", encoding="utf-8")
    assert run("explain", "random.py", "--at", "x=2").status == 0
    assert sys.path == path
    assert not {name for name in set(sys.modules) - modules if "random" in name or "model" in name}


def test_the_branches_that_a_function_took_are_shown(run: Run, model: Path) -> None:
    found = run("explain", "model.py:branching", "--at", "x=2", "y=2")
    assert found.status == 0
    assert "Where it holds\n  This gradient holds while\n  z > 3  line " in found.out
    assert '"if z > 3:"' in found.out
    edge = run("explain", "model.py:branching", "--at", "x=1.5", "y=2", "--format", "md")
    assert "$z \\leq 3$" in edge.out
    assert "at the boundary: the derivative may jump here" in edge.out
    document = json.loads(run("explain", "model.py:branching", "--at", "x=2", "y=2", "--format", "json").out)
    assert [guard["text"] for guard in document["graph"]["guards"]] == ["z > 3"]


def test_a_file_with_one_function(run: Run) -> None:
    source = "import math\ndef _hidden(x):\n    return x\ndef f(x):\n    return _hidden(x) ** 2\n"
    Path("one.py").write_text(source, encoding="utf-8")
    assert run("explain", "one.py", "--at", "x=3").out.startswith("f(x) = x²")
    assert run("explain", "one.py:", "--at", "x=3").status == 0
    assert run("explain", "one.py:_hidden", "--at", "x=3").status == 0


def test_a_file_elsewhere(run: Run, model: Path) -> None:
    path = model.absolute()
    os.chdir(path.parent.parent)
    result = run("explain", f"{path}:talkative", "--at", "x=3")
    assert result.status == 0
    assert result.out.startswith("talkative(x) = x/2")


def test_kinds_of_parameters(run: Run, model: Path) -> None:
    assert run("explain", "model.py:scaled", "--at", "x=3").out.startswith("scaled(x) = 2x")
    assert run("explain", "model.py:scaled", "--at", "y=3", "x=1").status == 0
    assert run("explain", "model.py:options", "--at", "x=3").out.startswith("options(x) = x²")
    assert run("explain", "model.py:Model.square", "--at", "x=3").status == 0
    Path("p.json").write_text('{"W": [1, 2], "b": 0.5}', encoding="utf-8")
    result = run("explain", "model.py:tree", "--at", "params=p.json", "x=2")
    assert result.out.startswith("tree(W, b, x)")
    complaint(run("explain", "model.py:unnamed", "--at", "x=1"), "no variable")


def test_a_formula_from_standard_input() -> None:
    command = [sys.executable, "-m", "hopgrad", "explain", "-", "--at", "x=0.5"]
    found = subprocess.run(command, input="sin((x+1)^2)\n", capture_output=True, text=True, check=True)
    assert "dy/dx = dy/dh · dh/dz · dz/dx" in found.stdout
    deep = "(" * 100_000 + "x" + ")" * 100_000
    found = subprocess.run(command, input=deep, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.count("\n") < 5


def test_integers_of_functions(run: Run, model: Path) -> None:
    assert run("explain", "model.py:power", "--at", "x=2", "n=3").status == 0
    failed = run("explain", "model.py:power_plain", "--at", "x=2", "n=3")
    complaint(failed, "in power_plain: for _ in range(n):", "--integer n keeps the integer")
    assert run("explain", "model.py:power_plain", "--at", "x=2", "n=3", "--integer", "n").status == 0
    np.save("w.npy", np.array([1, 2]))
    assert run("explain", "model.py:loss", "--at", "w=w.npy", "x=2").out.startswith("loss(x)")
    assert run("explain", "model.py:loss", "--at", "w=w.npy", "x=2", "--wrt", "w").out.startswith("loss(w, x)")


def test_what_the_function_prints_stays_out_of_documents(run: Run, model: Path) -> None:
    result = run("explain", "model.py:talkative", "--at", "x=3", "--format", "svg")
    ET.fromstring(result.out)
    assert "hello" in result.err


@pytest.mark.parametrize(
    ("target", "values", "parts"),
    [
        ("modle.py:loss", [], ["no file modle.py", "did you mean model.py?"]),
        ("folder.py:f", [], ["is a directory"]),
        ("model.py:lss", [], ["no function lss", "did you mean loss?"]),
        ("model.py:Model.cube", [], ["no function cube"]),
        ("model.py:a-b", [], ["no name of a function"]),
        ("model.py:weights", [], ["model.py:weights is no function but an int"]),
        ("model.py", [], ["several functions", "model.py:loss"]),
        ("none.py", [], ["no function"]),
        ("model.py:loss", ["w=1"], ["loss needs a value for x", "--at x=…"]),
        ("model.py:loss", ["w=1", "x=1", "weight=1"], ["loss has no variable weight"]),
        ("model.py:loss", ["w=1", "x=1", "--wrt", "y"], ["--wrt y", "choose from w, x"]),
        ("model.py:scaled", ["x=1", "--wrt", "y"], ["y needs a value"]),
        ("model.py:loss", ["w=1", "x=1", "--order", "2"], ["choose one of w, x with --wrt"]),
        ("model.py:pair", ["x=1"], ["one result"]),
        ("syntax.py:f", ["x=1"], ["syntax.py:1", "never closed", "def f(x:"]),
        ("nested.py:f", ["x=1"], ["nested.py"]),
        ("null.py:f", ["x=1"], ["null.py"]),
        ("encoding.py:f", ["x=1"], ["encoding.py"]),
    ],
)
def test_bad_functions(run: Run, model: Path, target: str, values: list[str], parts: list[str]) -> None:
    Path("folder.py").mkdir()
    Path("none.py").write_text("x = 1\n", encoding="utf-8")
    Path("syntax.py").write_text("def f(x:\n    return x\n", encoding="utf-8")
    Path("nested.py").write_text("f = " + "(" * 100_000, encoding="utf-8")
    Path("null.py").write_bytes(b"x = 1\0")
    Path("encoding.py").write_bytes(b"x = '\xff'")
    complaint(run("explain", target, *(["--at", *values] if values else [])), *parts)


def test_errors_of_the_users_code(run: Run, model: Path) -> None:
    line = MODEL.splitlines().index('    raise ZeroDivisionError("oops")') + 1
    raised = f'model.py:{line} in inner: raise ZeroDivisionError("oops")'
    complaint(run("explain", "model.py:broken", "--at", "x=1"), "ZeroDivisionError: oops", raised, status=1)
    complaint(run("explain", "model.py:quits", "--at", "x=1"), "ended the program (exit status 3)", status=1)
    mismatch = run("explain", "model.py:loss", "--at", "w=[1,2]", "x=[1,2,3]")
    complaint(mismatch, "(2,)", "(3,)", "model.py:8 in loss: z = w * x")
    Path("importing.py").write_text("\nimport no_such_module\n", encoding="utf-8")
    missing = "ModuleNotFoundError: No module named 'no_such_module'\n  at importing.py:2: import no_such_module\n"
    complaint(run("explain", "importing.py:f", "--at", "x=1"), missing, status=1)


def test_debug_shows_the_traceback(run: Run, model: Path) -> None:
    result = run("explain", "model.py:broken", "--at", "x=1", "--debug")
    assert result.status == 1
    assert "Traceback" in result.err
    assert "hopgrad: ZeroDivisionError: oops" in result.err


# -- output ------------------------------------------------------------------------------------------------------------


def test_the_formats_are_those_of_explanations(run: Run) -> None:
    assert {f".{name}" for name in FORMATS} == Explanation._FORMATS.keys()


@pytest.mark.parametrize("form", FORMATS)
def test_writes_every_format(run: Run, form: str) -> None:
    result = run("explain", "x^2", "--at", "x=3", "-o", f"story.{form}")
    assert result == Result(0, f"wrote story.{form}\n", "")
    written = Path(f"story.{form}").read_text(encoding="utf-8")
    assert run("explain", "x^2", "--at", "x=3", "--format", form).out == written
    assert run("explain", "x^2", "--at", "x=3", "--format", form, "-o", "anything").status == 0
    assert Path("anything").read_text(encoding="utf-8") == written
    assert sorted(path.name for path in Path().iterdir()) == ["anything", f"story.{form}"]
    if form == "svg":
        ET.fromstring(written)
    if form == "json":
        json.loads(written)


def test_writes_several_files(run: Run) -> None:
    result = run("explain", "x^2", "--at", "x=3", "-o", "a.svg", "-o", "b.md", "-o", "-")
    assert result.status == 0
    assert result.out.startswith("f(x) = x²")
    assert result.err == "wrote a.svg\nwrote b.md\n"


def test_the_picture_has_options(run: Run) -> None:
    pictures = {
        run("explain", "sin(x)^2", "--at", "x=3", "--format", "svg", *words).out
        for words in ([], ["--adjoints"], ["--direction", "down"], ["--theme", "dark"], ["--theme", "light"])
    }
    assert len(pictures) == 5
    for picture in pictures:
        ET.fromstring(picture)


def test_writing_replaces_a_file_and_keeps_links(run: Run) -> None:
    Path("real.txt").write_text("old", encoding="utf-8")
    Path("link.txt").symlink_to("real.txt")
    assert run("explain", "x^2", "--at", "x=3", "-o", "link.txt").status == 0
    assert Path("link.txt").is_symlink()
    assert Path("real.txt").read_text(encoding="utf-8").startswith("f(x) = x²")


def test_writes_into_devices(run: Run) -> None:
    assert run("explain", "x^2", "--at", "x=3", "-o", os.devnull, "--format", "svg").status == 0
    assert not Path(os.devnull).is_file()


def test_a_file_that_cannot_be_written(run: Run) -> None:
    complaint(run("explain", "x^2", "--at", "x=3", "-o", "/proc/x.svg"), "cannot write /proc/x.svg")


def test_a_failing_write_leaves_the_old_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.txt").write_text("old", encoding="utf-8")

    def fails(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    complaint(run("explain", "x^2", "--at", "x=3", "-o", "x.txt"), "No space left")
    assert [path.read_text(encoding="utf-8") for path in Path().iterdir()] == ["old"]


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def wanted(stream: io.StringIO, **variables: str) -> bool:
        for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return wants_colour(stream)

    assert wanted(Terminal())
    assert wanted(Terminal(), NO_COLOR="")
    assert not wanted(Terminal(), NO_COLOR="1")
    assert not wanted(Terminal(), NO_COLOR="1", FORCE_COLOR="1")
    assert not wanted(Terminal(), FORCE_COLOR="0")
    assert not wanted(Terminal(), TERM="dumb")
    assert not wanted(io.StringIO())
    assert wanted(io.StringIO(), FORCE_COLOR="1")


@pytest.mark.parametrize("rich", [True, False])
def test_colours(run: Run, monkeypatch: pytest.MonkeyPatch, rich: bool) -> None:
    words = ("explain", "x^2", "--at", "x=3")
    plain = run(*words).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    coloured = run(*words).out
    assert "\033[1;38;5;63mThe steps\033[0m\n" in coloured
    assert "\033[38;5;28m9\033[0m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == plain


def test_help_has_examples_that_run(run: Run) -> None:
    assert "hopgrad explain" in run("--help").out
    assert run().out == run("--help").out
    words = run("explain", "--help").out
    for form in FORMATS:
        assert f"{form} (" in words
    example = next(line for line in words.splitlines() if "z = x*y" in line)
    assert example == '  hopgrad explain "z = x*y; z + exp(z)" --at x=0.5 y=2 --wrt x'
    assert run("explain", "z = x*y; z + exp(z)", "--at", "x=0.5", "y=2", "--wrt", "x").status == 0


# -- the process -------------------------------------------------------------------------------------------------------


def test_version_comes_without_numpy() -> None:
    code = (
        "import sys, hopgrad.cli as cli; status = cli.main(['--version']);"
        "sys.exit(status or 'numpy' in sys.modules or 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hopgrad {__version__}\n", "")


def test_runs_as_a_module() -> None:
    done = command("explain", "x^2", "--at", "x=3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("f(x) = x²")
    done = command("explain", "x^", "--at", "x=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hopgrad: ")


def test_a_terminal_without_the_characters() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = command("explain", "x^2", "--at", "x=3", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("f(x) = x?")
    done = command("explain", "x^2", "--at", "x=3", "--format", "md", env=environment)
    assert "f(x) = x²" in done.stdout


def test_a_reader_that_stops_reading() -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "hopgrad", "explain", "x^2", "--at", "x=3"]
    done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk() -> None:
    words = [sys.executable, "-m", "hopgrad", "explain", "x^2", "--at", "x=3"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (2, "hopgrad: cannot write: No space left on device\n")


def test_interrupted(tmp_path: Path) -> None:
    source = "import time\ndef f(x):\n    print('ready', flush=True)\n    time.sleep(60)\n    return x\n"
    (tmp_path / "slow.py").write_text(source, encoding="utf-8")
    words = [sys.executable, "-m", "hopgrad", "explain", f"{tmp_path}/slow.py", "--at", "x=1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_real_terminal() -> None:
    """Colours, and lines no wider than the window where they can be folded."""
    master, slave = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "COLORTERM")}
    environment["TERM"] = "xterm-256color"
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    words = [sys.executable, "-m", "hopgrad", "explain", "sin(x*y)^2 + exp(x*y)", "--at", "x=3", "y=1"]
    with subprocess.Popen(words, stdout=slave, stderr=subprocess.PIPE, env=environment) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not chunk:
                break
            shown += chunk
        assert process.wait(timeout=60) == 0
    os.close(master)
    text = shown.decode()
    assert "\033[1;38;5;63mThe steps\033[0m" in text
    prose = text.partition("each adjoint once")[2].split("\r\n")[1:4]
    assert max(map(len, prose)) <= 70


def test_complaints_come_at_once() -> None:
    start = time.perf_counter()
    done = command("explain", "x", "--at", "x=1", "--format", "nonsense")
    assert done.returncode == 2
    assert time.perf_counter() - start < 5  # far less, but machines may be busy


# -- play --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["play", "--port", "99999"], "'99999' is not a port"),
        (["play", "--limit", "0"], "'0' is no number of seconds"),
        (["play", "x=1"], "values come after --at"),
        (["play", "x", "--at", "1"], "write NAME=VALUE"),
    ],
)
def test_play_refuses_bad_options(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_play_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "hopgrad.play.server", raising=False)
    assert main(["play", "x"]) == 2
    assert "pip install 'hopgrad[play]'" in capsys.readouterr().err


def test_play_tells_that_a_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["play", "x", "--port", str(other.getsockname()[1]), "--no-browser"]) == 2
    assert "choose another with --port" in capsys.readouterr().err
