"""The ``hopgrad`` command: explain a formula, or a function of a Python file, from the shell or in the browser.

Exit status: 0 if all went well; 1 for an error raised by the user's own code; 2 for bad input, told in one message;
130 after Ctrl-C. NumPy and the rest of hopgrad are loaded only once there is something to compute, so that
``--version``, ``--help`` and most complaints come at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import io
import json
import math
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TextIO

if TYPE_CHECKING:
    from hopgrad.show.explanation import Explanation

__all__ = ["main"]

FORMATS = ("txt", "md", "html", "svg", "tex", "tikz", "dot", "mmd", "json")
_SYNONYMS = {"latex": "tex", "markdown": "md", "text": "txt", "mermaid": "mmd", "gv": "dot", "htm": "html"}

# For each role the style in rich's words and as ANSI codes. These colours lie halfway between black and white: each has
# a contrast of about 4 or more with both. Formulas, the text to be read, keep the terminal's own colour.
_STYLES = {
    "title": ("bold color(63)", "1;38;5;63"),
    "value": ("color(28)", "38;5;28"),
    "note": ("color(243)", "38;5;243"),
    "bad": ("bold color(196)", "1;38;5;196"),
}

# Bigger files are no matter for a story; reading them as text would take long and say nothing meanwhile.
_MAX_TEXT_FILE = 64 * 2**20
# A second of work for a short formula; it grows exponentially.
_MAX_ORDER = 20

_DESCRIPTION = "Gradients of plain NumPy code that show every hop."
_EXAMPLES = """\
examples:
  hopgrad explain "sin((x+1)^2)" --at x=0.5
  hopgrad explain model.py:loss --at W=weights.npy "x=[1, 2, 3]" -o loss.html

  hopgrad play model.py:loss --at W=weights.npy "x=[1, 2, 3]"
  hopgrad gallery -o gallery

"hopgrad explain --help" tells more.
"""
_PLAY_DESCRIPTION = (
    "Serve the explorer on this machine: type a formula, or name a file's function; edits to the file reload it."
)
_EXPLAIN_DESCRIPTION = "Show how the value and the gradient of a formula, or of a Python function, come about."
_EXPLAIN_EXAMPLES = """\
formats:
  txt (the story as text), md (Markdown), html (a page that works offline), svg (the picture), tex (a LaTeX
  document), tikz (the picture for LaTeX), dot (for Graphviz), mmd (for Mermaid), json (all of it as data)

values:
  A VALUE is a number (0.5, 1e-3, nan, inf, pi/2), a nested list ("[[1, 2], [3, 4]]") or a file: .npy, .json,
  or .csv (numbers; a row of headings may come first). Whole numbers count as real. For a function they stay
  integers where its parameter is annotated "int" or has an integer as default, and where --integer says so.

examples:
  hopgrad explain "sin((x+1)^2)" --at x=0.5
  hopgrad explain "z = x*y; z + exp(z)" --at x=0.5 y=2 --wrt x
  hopgrad explain "x^3" --at x=2 --order 2
  hopgrad explain "sum((A@x - b)^2)" --at A=A.csv "x=[1, 2]" "b=[0, 0, 1]" -o fit.html
  hopgrad explain model.py:loss --at W=W.npy x=0.5 -o loss.svg --adjoints --direction down
  hopgrad explain "log(x)" --at x=2 --format tex > log.tex
"""


class ProblemError(Exception):
    """What ends the program with a message instead of a traceback."""

    status = 2


class UserCodeError(ProblemError):
    """The user's own code raised an error."""

    status = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (None: those of the process). Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ∂ shows ? there, rather than an error
    try:
        try:
            status = _run(words)
        except SystemExit as stop:  # argparse has printed the help or the version
            status = stop.code if isinstance(stop.code, int) else 0
        sys.stdout.flush()
        return status
    except OSError as error:
        # What is left in the buffer must go nowhere when Python flushes it at the end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            return 0
        _complain(f"cannot write: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        return 130
    except ProblemError as problem:
        if debug:
            traceback.print_exception(problem.__cause__ or problem)
        _complain(str(problem))
        return problem.status
    except MemoryError:
        _complain("not enough memory")
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        hint = "" if debug else "\n  This is a fault of hopgrad; with --debug it shows where."
        _complain(f"{type(error).__name__}: {error}{hint}")
        return 1


def _complain(message: str) -> None:
    with suppress(OSError):
        print(f"hopgrad: {message}", file=sys.stderr)


def _library() -> Any:
    """The package, whose names load when first used.

    By its name: an import at the top of this module would load NumPy, for ``--version`` as well.
    """
    return importlib.import_module(__name__.partition(".")[0])


# -- arguments ---------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ProblemError(f"{message}\n  ({self.prog} --help shows how it is meant)")


class _Version(argparse.Action):
    def __call__(self, *rest: Any) -> NoReturn:
        print(f"hopgrad {_library().__version__}")
        sys.exit(0)


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = _Parser("hopgrad", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=shape, allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")
    explain = commands.add_parser(
        "explain",
        help="show how a value and its gradient come about",
        description=_EXPLAIN_DESCRIPTION,
        epilog=_EXPLAIN_EXAMPLES,
        formatter_class=shape,
        allow_abbrev=False,
    )
    add = explain.add_argument
    add(
        "target",
        metavar="WHAT",
        nargs="?",
        help='a formula such as "sin((x+1)^2)" (- reads it from standard input), or path/to/file.py:function',
    )
    add("--at", metavar="NAME=VALUE", nargs="+", action="extend", default=[], help="the point: a value for each name")
    add(
        "--wrt",
        metavar="NAME",
        action="append",
        default=[],
        help="differentiate by this; may be repeated (default: all)",
    )
    add(
        "--integer", metavar="NAME", action="append", default=[], help="keep this an integer: a count, an index, labels"
    )
    add("--order", type=_order, default=1, metavar="N", help="2 explains the second derivative, and so on (default: 1)")
    add("-o", "--output", metavar="FILE", action="append", default=[], help="write a file; its suffix is the format")
    add("--format", metavar="FORMAT", type=_format, help=f"{', '.join(FORMATS)} (default: txt, or as the suffix says)")
    add("--adjoints", action="store_true", help="svg: draw the adjoints that flow back, too")
    add(
        "--direction",
        choices=["right", "down"],
        help="svg: where the computation runs to (default: down if it is long)",
    )
    add("--theme", choices=["auto", "light", "dark"], help="svg: the colours (default: auto, as the reader has set)")
    add("--debug", action="store_true", help="show the traceback of an error, too")
    play = commands.add_parser("play", help="explore in the browser", description=_PLAY_DESCRIPTION, allow_abbrev=False)
    play.add_argument(
        "target", metavar="WHAT", nargs="?", default="", help="what to begin with (default: sin((x+1)^2))"
    )
    play.add_argument(
        "--at", metavar="NAME=VALUE", nargs="+", action="extend", default=[], help="the point to begin at"
    )
    play.add_argument("--port", type=_port, default=0, help="the port on 127.0.0.1 (default: any that is free)")
    play.add_argument(
        "--limit", type=_seconds, default=10.0, metavar="SECONDS", help="stop what takes longer (default: 10)"
    )
    play.add_argument("--no-browser", action="store_true", help="print the address only")
    gallery = commands.add_parser(
        "gallery",
        help="write examples to explore",
        description="Write an index and a page for each example.",
        allow_abbrev=False,
    )
    gallery.add_argument("-o", "--output", metavar="DIR", default="gallery", help="where to (default: gallery)")
    for command in (play, gallery):
        command.add_argument("--debug", action="store_true", help="show the traceback of an error, too")
    return parser


def _port(word: str) -> int:
    if not re.fullmatch(r"\d{1,5}", word) or int(word) > 65535:
        raise argparse.ArgumentTypeError(f"{word!r} is not a port: a number up to 65535")
    return int(word)


def _seconds(word: str) -> float:
    try:
        found = float(word)
    except ValueError:
        found = math.nan
    if not 0 < found <= 3600:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of seconds between 0 and 3600")
    return found


def _order(word: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", word):
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number")
    if int(word) < 1:
        raise argparse.ArgumentTypeError(f"the order is 1 or more, not {word}")
    if int(word) > _MAX_ORDER:
        raise argparse.ArgumentTypeError(f"the order is at most {_MAX_ORDER}: each one more takes far more work")
    return int(word)


def _format(word: str) -> str:
    name = word.lower().lstrip(".")
    name = _SYNONYMS.get(name, name)
    if name not in FORMATS:
        raise argparse.ArgumentTypeError(f"unknown format {word!r}{_one_of(name, FORMATS)}")
    return name


def _one_of(name: str, known: Iterable[str]) -> str:
    """What an error message says after an unknown name: which one may be meant, and which there are."""
    choices = list(known)
    if not choices:
        return ""
    close = difflib.get_close_matches(name[:80], choices, 1)
    listed = ", ".join(choices[:20]) + (", …" if len(choices) > 20 else "")
    return f": did you mean {close[0]}? (known: {listed})" if close else f": choose from {listed}"


def _dashed(words: Sequence[str]) -> Iterator[str]:
    """The arguments, with a blank before each formula that begins with a minus: argparse would take it for options."""
    for word in words:
        known = word in ("-", "-h", "-o") or re.fullmatch(rf"-o.*\.({'|'.join([*FORMATS, *_SYNONYMS])})", word)
        yield word if not re.match(r"-[^-]", word) or known else f" {word}"


def _run(words: Sequence[str]) -> int:
    parser = _parser()
    if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
        what = shlex.quote(_clipped(words[0]))
        raise ProblemError(f"there is no command {what}; to explain a formula or a function: hopgrad explain {what} …")
    options = parser.parse_args(list(_dashed(words)))
    if options.command is None:
        parser.print_help()
        return 0
    _COMMANDS[options.command](options)
    return 0


# -- hopgrad play, hopgrad gallery -------------------------------------------------------------------------------------


def _play(options: argparse.Namespace) -> None:
    try:
        # The server's packages are an extra. It starts this module's functions in a process of their own.
        server = importlib.import_module("hopgrad.play.server")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("starlette", "uvicorn"):
            raise
        raise ProblemError(f"hopgrad play needs {package}: pip install 'hopgrad[play]'") from error
    if "=" in options.target:
        raise ProblemError(f"{_clipped(options.target)}: values come after --at")
    server.serve(options.target, _pairs(options.at), options.port, options.limit, not options.no_browser)


def _gallery(options: argparse.Namespace) -> None:
    pages = importlib.import_module("hopgrad.gallery")
    folder = Path(options.output)
    if folder.exists() and not folder.is_dir():
        raise ProblemError(f"-o {folder}: this is not a directory")
    try:
        print(f"wrote {pages.write(folder)}")
    except OSError as error:
        raise ProblemError(f"cannot write to {folder}: {error.strerror or error}") from error


# -- hopgrad explain ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """Where to explain, and by what to differentiate: the text of each value by its name, and what options name."""

    at: dict[str, str]
    wrt: list[str]
    integer: list[str]
    order: int


def _explain(options: argparse.Namespace) -> None:
    # What can be wrong with the words alone is told before anything is loaded, read or computed.
    if options.target is None and options.at and "=" not in options.at[-1]:
        options.target = options.at.pop()  # --at has swallowed it, as in: explain --at x=0.5 "sin(x)"
    if options.target is None:
        raise ProblemError('nothing to explain: write a formula or file.py:function, as in\n'
                           '  hopgrad explain "sin((x+1)^2)" --at x=0.5')  # fmt: skip
    if options.target == "-":
        options.target = sys.stdin.read(1_000_000)  # bounded; a formula's own bounds are far below
    target = options.target.strip()
    outputs = _outputs(options)
    wrt, integer = ([*dict.fromkeys(map(_name, words))] for words in (options.wrt, options.integer))
    point = Point(_pairs(options.at), wrt, integer, options.order)
    explanation = explained(target, point)
    for path, form in outputs:
        if path is None:
            _show(explanation, form, options)
        else:
            _write(path, _rendered(explanation, form, options))
            # Beside a document on the standard output the message would become a part of it.
            print(f"wrote {path}", file=sys.stderr if (None in dict(outputs)) else sys.stdout)


def explained(target: str, point: Point) -> Explanation:
    """The explanation of a formula, or of a function given as ``path/to/file.py:function``.

    Raises:
        ProblemError: for whatever is wrong with the target, the point or the user's code, with its place.
    """
    source = file_of(target)
    if source is None:
        return _explain_formula(target, point)
    return _explain_file(*source, point)


def file_of(target: str) -> tuple[Path, str] | None:
    """The file and the name of the function in it (or ""), if a target is no formula."""
    source = re.fullmatch(r"(?P<file>.*\.py)(?::(?P<function>.*))?", target, re.DOTALL)
    return None if source is None else (Path(source["file"]), source["function"] or "")


def _outputs(options: argparse.Namespace) -> list[tuple[Path | None, str]]:
    """Where to write, with the format; None is the standard output."""
    outputs: list[tuple[Path | None, str]] = []
    for word in options.output:
        path = Path(word)
        form = options.format
        if path.is_dir():
            raise ProblemError(f"-o {word}: this is a directory; add a file name")
        if word != "-" and form is None:
            suffix = path.suffix or path.name
            try:
                form = _format(suffix)
            except argparse.ArgumentTypeError as error:
                known = ", ".join(f".{name}" for name in FORMATS)
                wrong = f"unknown format {path.suffix}" if path.suffix else "no suffix says the format"
                raise ProblemError(f"-o {word}: {wrong}; write one of {known}, or add --format") from error
        if not path.parent.is_dir():
            raise ProblemError(f"-o {word}: there is no directory {path.parent}")
        outputs.append((None if word == "-" else path, form or "txt"))
    if not outputs:
        outputs = [(None, options.format or "txt")]
    if options.format and len(outputs) > 1:
        raise ProblemError("--format with several -o: leave it out, the suffixes say the formats")
    for flag in ("adjoints", "direction", "theme"):
        if getattr(options, flag) and all(form != "svg" for _, form in outputs):
            raise ProblemError(f"--{flag} is for the picture: add -o FILE.svg or --format svg")
    return outputs


def _rendered(explanation: Explanation, form: str, options: argparse.Namespace) -> str:
    if form == "svg":
        direction: Literal["right", "down"] | None = options.direction
        theme: Literal["auto", "light", "dark"] = options.theme or "auto"
        return explanation.svg(direction=direction, adjoints=options.adjoints, theme=theme)
    words = explanation.render(form)
    return words if words.endswith("\n") else words + "\n"


def _show(explanation: Explanation, form: str, options: argparse.Namespace) -> None:
    """Print it: coloured and as wide as the terminal if there is one."""
    stream = sys.stdout
    if form == "txt":
        words = explanation.text(paint=painter(stream), columns=max(shutil.get_terminal_size((110, 24)).columns, 40))
    else:
        words = _rendered(explanation, form, options)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # as the document says, whatever the terminal has
    stream.write(words)


def _write(path: Path, words: str) -> None:
    """Write a file whole or not at all, through links, and into devices such as /dev/null as they are."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_text(words, encoding="utf-8")
            return
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".hopgrad.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(words)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)  # mkstemp's own mode keeps others out
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ProblemError(f"cannot write {path}: {error.strerror or error}") from error


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour what goes to `stream`: NO_COLOR says no, FORCE_COLOR yes, else it depends on the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    force = os.environ.get("FORCE_COLOR", "")
    if force:
        return force.lower() not in ("0", "false")
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def painter(stream: TextIO) -> Callable[[str, str], str]:
    """Colours by role for `stream`. Rich, where it is installed, knows what each terminal can do."""
    if not wants_colour(stream):
        return lambda words, role: words
    try:
        from rich.console import Console
    except ImportError:
        return lambda words, role: f"\033[{_STYLES[role][1]}m{words}\033[0m" if words and role in _STYLES else words
    console = Console(file=stream, force_terminal=True)

    def paint(words: str, role: str) -> str:
        if not words or role not in _STYLES:
            return words
        with console.capture() as shown:
            console.out(words, style=_STYLES[role][0], highlight=False, end="")
        return shown.get()

    return paint


# -- values ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """A value from the command line. `typed`: its file says the type, so that integers in it are meant as such."""

    value: Any
    typed: bool = False


def _name(word: str) -> str:
    return unicodedata.normalize("NFKC", word.strip())  # as Python and formulas do


def _clipped(word: str) -> str:
    return word if len(word) <= 60 else f"{word[:40]}…"


def _pairs(items: Sequence[str]) -> dict[str, str]:
    """The text of each value by its name."""
    pairs: dict[str, str] = {}
    for item in items:
        name, equals, text = item.partition("=")
        name = _name(name)
        if not equals or not text.strip() or not name.isidentifier():
            raise ProblemError(f"--at {_clipped(item.strip())}: write NAME=VALUE in one word, such as --at x=0.5")
        if name in pairs:
            raise ProblemError(f"--at {_clipped(item)}: {name} has a value already")
        pairs[name] = text.strip()
    return pairs


def _read(name: str, text: str) -> Given:
    """The value that a text after ``NAME=`` stands for."""
    reader = _READERS.get(Path(text).suffix.lower())
    try:
        if reader is not None:
            return reader(Path(text))
        if text.startswith("["):
            return Given(_arrays(_list(text)))
        if text[0] in '{"' or text in ("true", "false", "null"):
            return Given(_arrays(json.loads(text)))
        return Given(_scalar(text))
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
    except RecursionError:
        reason = "it is nested too deeply"
    except MemoryError:
        reason = "it does not fit into memory"
    except (ValueError, EOFError) as error:
        reason = str(error)
    raise ProblemError(f"--at {name}={_clipped(text)}: {reason}")


def _number(word: str) -> int | float:
    with suppress(ValueError):  # int refuses thousands of digits; float then finds them too large
        if abs(whole := int(word)) < 2**53:
            return whole
    value = float(word)
    if math.isinf(value) and "inf" not in word.lower():
        raise OverflowError
    return value


def _scalar(text: str) -> int | float:
    """A number, or a formula without variables such as ``pi/2``."""
    try:
        return _number(text)
    except OverflowError:
        raise ValueError("this number is too large") from None
    except ValueError:
        pass
    parse = importlib.import_module("hopgrad.show.expression").parse
    wrong = "this is no number, list or file (files end in .npy, .csv or .json)"
    try:
        formula = parse(text)
        value = formula.evaluate({}) if not formula.names else None
    except _library().ExpressionError:
        raise ValueError(wrong) from None
    if not isinstance(value, (int, float)):
        raise ValueError(wrong)
    return value


def _list(text: str) -> Any:
    """A nested list in brackets: as in JSON, with numbers as in Python (``.5``, ``nan``, ``-inf``)."""
    word = ""

    def as_json(match: re.Match[str]) -> str:
        nonlocal word
        word = match[0]
        return json.dumps(_number(word))

    try:
        words = re.sub(r"[^\s,\[\]]+", as_json, text)
    except (ValueError, OverflowError) as error:
        wrong = "is too large" if isinstance(error, OverflowError) else "is no number"
        raise ValueError(f"{_clipped(word)!r} in the list {wrong}") from None
    try:
        return json.loads(words)
    except json.JSONDecodeError:
        raise ValueError("brackets and commas do not fit; write lists as in [[1, 2], [3, 4]]") from None


def _arrays(value: Any) -> Any:
    """Nested data as JSON has it, with an array for each list of numbers."""
    import numpy as np

    if isinstance(value, dict):
        return {key: _arrays(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    todo, plain = list(value), True
    while todo and plain:
        item = todo.pop()
        plain = isinstance(item, (int, float, list))
        todo += item if isinstance(item, list) else []
    if not plain:
        return [_arrays(inner) for inner in value]
    try:
        array = np.array(value)
    except ValueError:
        raise ValueError("its rows differ in length, or it is nested too deeply: an array needs equal rows") from None
    if array.dtype.kind not in "fiub":
        raise ValueError("a number in it is too large")
    return array


def _text_of(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("this is not a file")
    if status.st_size > _MAX_TEXT_FILE:
        limit = _MAX_TEXT_FILE // 2**20
        raise ValueError(f"it has {status.st_size / 2**20:,.0f} MiB, at most {limit} are read as text; use .npy")
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets put a byte-order mark first
    except UnicodeDecodeError:
        raise ValueError("this is not a text file in UTF-8") from None


def _read_json(path: Path) -> Given:
    words = _text_of(path)
    try:
        return Given(_arrays(json.loads(words)))
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON: {error}") from None


def _read_csv(path: Path) -> Given:
    import numpy as np

    rows = [row for row in _text_of(path).splitlines() if row.strip(" \t,;")]
    if not rows:
        raise ValueError("the file has no numbers")
    separator = next((s for s in ",;\t" if s in rows[0]), ",")
    try:
        for cell in rows[0].split(separator):
            float(cell)
    except ValueError:
        rows = rows[1:]  # headings; where they are not, the next line complains about the same
        if not rows:
            raise ValueError("the file has no numbers below its first row") from None
    array = np.loadtxt(rows, delimiter=separator, comments=None)
    return Given(array if array.ndim else array.item())


def _read_npy(path: Path) -> Given:
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError("this is no .npy file of numbers") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("this is an .npz archive; save the array alone with np.save")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"it holds {array.dtype}, not real numbers")
    return Given(array if array.ndim else array[()], typed=True)


_READERS: dict[str, Callable[[Path], Given]] = {".npy": _read_npy, ".csv": _read_csv, ".json": _read_json}


def _real(value: Any) -> Any:
    """The same with floating-point numbers in place of integers."""
    import numpy as np

    if isinstance(value, dict):
        return {key: _real(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_real(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "iu":
        return value.astype(float)
    return float(value) if type(value) is int else value


def _kind(value: Any) -> str:
    """The kind of its dtype, as NumPy abbreviates it; "" for what is no array."""
    return getattr(getattr(value, "dtype", None), "kind", "")


# -- a formula ---------------------------------------------------------------------------------------------------------


def _explain_formula(formula: str, point: Point) -> Explanation:
    library = _library()
    try:
        names = importlib.import_module("hopgrad.show.expression").parse(formula).names
    except library.ExpressionError as error:
        hint = ""
        if os.path.isfile(formula):
            hint = "\n  This is the name of a file, but functions are read from .py files only: file.py:function"
        elif re.search(r"[\w/]:\w+$", formula):
            hint = "\n  To explain a function of a file, write file.py:function"
        raise ProblemError(f"{error}{hint}") from error
    if not names:
        raise ProblemError("the formula has no variable to differentiate by")
    _check_names("the formula", names, names, point)
    if point.integer:
        raise ProblemError("--integer is for functions: the numbers of a formula are real")
    values = {name: _read(name, point.at[name]).value for name in names}
    _check_order(point, names)
    try:
        explanation: Explanation = library.explain(formula, wrt=point.wrt or None, order=point.order, **values)
    except library.HopgradError as error:
        # A formula is no line of a file: the place that is added for functions would be that of this program.
        message = "\n".join(row for row in str(error).split("\n") if not row.startswith("  at "))
        raise ProblemError(message) from error
    return explanation


def _check_names(what: str, known: Sequence[str], needed: Sequence[str], point: Point) -> None:
    """Complain about names that are missing, and about those that nobody knows."""
    for name in point.at:
        if name not in known:
            raise ProblemError(f"--at {name}=…: {what} has no variable {name}{_one_of(name, known)}")
    missing = [name for name in needed if name not in point.at]
    if missing:
        verb = "needs a value for" if len(missing) == 1 else "needs values for"
        raise ProblemError(f"{what} {verb} {', '.join(missing)}: add --at {' '.join(f'{name}=…' for name in missing)}")
    for option, names in (("--wrt", point.wrt), ("--integer", point.integer)):
        for name in names:
            if name not in known:
                raise ProblemError(f"{option} {name}: {what} has no variable {name}{_one_of(name, known)}")
            if name not in point.at:
                raise ProblemError(f"{option} {name}: {name} needs a value: add --at {name}=…")


def _check_order(point: Point, varying: Sequence[str]) -> None:
    names = point.wrt or varying
    if point.order > 1 and len(names) > 1:
        raise ProblemError(
            f"--order {point.order} differentiates by one variable: choose one of {', '.join(names)} with --wrt"
        )


# -- a function of a file ----------------------------------------------------------------------------------------------


def _explain_file(path: Path, function: str, point: Point) -> Explanation:
    if path.is_dir():
        raise ProblemError(f"{path} is a directory")
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, near, 1)
        raise ProblemError(f"there is no file {path}" + (f": did you mean {path.parent / close[0]}?" if close else ""))
    if function and not all(part.isidentifier() for part in function.split(".")):
        raise ProblemError(f"{_clipped(function)!r} is no name of a function: write {path}:function")
    library = _library()  # before the file's directory goes on the path, where a file may be named like a module
    load = library.explain
    with _loaded(path) as module:
        f, title = _found(module, path, function)
        args, keywords, whole = _arguments(f, title, point)
        # The function's own output must not end up within a picture or page.
        with redirect_stdout(sys.stderr), _blamed(path, whole):
            explanation: Explanation = load(f, wrt=point.wrt or None, order=point.order)(*args, **keywords)
    return explanation


@contextmanager
def _loaded(path: Path) -> Iterator[ModuleType]:
    """The file run as a module, its directory on the path, as Python does with a script."""
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names or not name.isidentifier():
        name = f"file:{name}"  # a file named random.py must not take the place of the real one
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path.absolute(), loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.path.insert(0, str(path.absolute().parent))
    sys.modules[name] = module
    try:
        try:
            # Compiled here rather than by the loader, which would leave a __pycache__ beside the user's file.
            code = loader.source_to_code(path.read_bytes(), str(path))
        except SyntaxError as error:
            at = f"{path}:{error.lineno}" if error.lineno else str(path)
            shown = traceback.format_exception_only(error)[1:-1]  # the line, and the caret below it
            raise ProblemError(f"{at}: {error.msg}\n{''.join(shown)}".rstrip()) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise ProblemError(f"{path} cannot be compiled: {str(error) or 'it is nested too deeply'}") from error
        except OSError as error:
            raise ProblemError(f"cannot read {path}: {error.strerror or error}") from error
        with redirect_stdout(sys.stderr), _blamed(path, []):
            exec(code, module.__dict__)
        yield module
    finally:
        sys.path[:] = before
        sys.modules.pop(name, None)


def _found(module: ModuleType, path: Path, function: str) -> tuple[Callable[..., Any], str]:
    """The function to explain, with its name."""
    functions = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    if not function:
        if len(functions) != 1:
            several = f"has several functions; write one of {', '.join(f'{path}:{name}' for name in functions[:12])}"
            raise ProblemError(f"{path} {several if functions else 'has no function to explain'}")
        function = functions[0]
    value: Any = module
    for part in function.split("."):
        if not hasattr(value, part):
            names = functions if value is module else [n for n in dir(value) if not n.startswith("_")]
            owner = path if value is module else f"{path}:{function.partition('.')[0]}"
            raise ProblemError(f"{owner} has no function {part}{_one_of(part, names)}")
        value = getattr(value, part)
    if not callable(value):
        raise ProblemError(f"{path}:{function} is no function but {_article(type(value).__name__)}")
    return value, function


def _article(word: str) -> str:
    return f"an {word}" if word[:1].lower() in "aeiou" else f"a {word}"


def _arguments(f: Callable[..., Any], title: str, point: Point) -> tuple[list[Any], dict[str, Any], list[str]]:
    """The arguments for `f`, by position and by name, and the names of whole numbers that were made real."""
    kinds = inspect.Parameter
    try:
        parameters = dict(inspect.signature(f).parameters)
    except (TypeError, ValueError):  # ufuncs and builtins: they take the values in the order given
        parameters = {name: kinds(name, kinds.POSITIONAL_ONLY) for name in point.at}
    named = {n: p for n, p in parameters.items() if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)}
    known = list(named)
    if any(p.kind is kinds.VAR_KEYWORD for p in parameters.values()):
        known += [name for name in point.at if name not in named]
    if not known:
        raise ProblemError(f"{title} has no variable to differentiate by")
    _check_names(title, known, [n for n, p in named.items() if p.default is kinds.empty], point)

    values: dict[str, Any] = {}
    whole = []
    for name in [name for name in known if name in point.at]:  # the explanation lists them in this order
        item = _read(name, point.at[name])
        keep = name in point.integer or item.typed or _wants_integer(named.get(name))
        values[name] = item.value if keep and name not in point.wrt else _real(item.value)
        if type(values[name]) is not type(item.value) or _kind(values[name]) != _kind(item.value):
            whole.append(name)
    _check_order(point, [name for name, value in values.items() if type(value) is float or _kind(value) == "f"])

    # Those that can only be given by position, up to the last one with a value.
    first = [n for n, p in named.items() if p.kind is kinds.POSITIONAL_ONLY]
    while first and first[-1] not in values:
        first.pop()
    args = [values.pop(n, named[n].default) for n in first]
    return args, values, whole


def _wants_integer(parameter: inspect.Parameter | None) -> bool:
    """Whether a parameter is made for integers: by its annotation, or by its default."""
    if parameter is None:
        return False
    note = "" if parameter.annotation is inspect.Parameter.empty else inspect.formatannotation(parameter.annotation)
    says = re.search(r"\b(u?int\d*|bool)\b", note) is not None and "float" not in note
    return says or isinstance(parameter.default, int)


@contextmanager
def _blamed(path: Path, whole: list[str]) -> Iterator[None]:
    """Tell errors of the user's code, with their place in it, from errors about what was asked for."""
    library = _library()
    try:
        yield
    except (KeyboardInterrupt, ProblemError):
        raise
    except BaseException as error:
        place = _place(error, path)
        if place is None and not isinstance(error, (library.HopgradError, ValueError, TypeError)):
            raise
        message = str(error)
        if isinstance(error, SystemExit):
            message = f"the code ended the program (exit status {error.code})"
        elif not isinstance(error, library.HopgradError) and place is not None:
            message = "".join(traceback.format_exception_only(error)).strip()
        if place is not None and "\n  at " not in message:
            message += f"\n  at {place}"
        if whole and isinstance(error, (TypeError, IndexError)):
            flags = " ".join(f"--integer {name}" for name in whole)
            message += f"\n  ({', '.join(whole)} counted as real; {flags} keeps the integer)"
        # What hopgrad refuses, such as shapes that do not fit, is bad input wherever it was met.
        fault = place is not None and not isinstance(error, library.HopgradError)
        raise (UserCodeError if fault else ProblemError)(message) from error


def _place(error: BaseException, path: Path) -> str | None:
    """Where in the user's own files the error comes from: the innermost such line."""
    own = str(path.absolute().parent) + os.sep
    package = str(Path(__file__).parent) + os.sep
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        file = os.path.abspath(frame.filename)
        if file.startswith(own) and not file.startswith(package) and "site-packages" not in file:
            source = f": {frame.line}" if frame.line else ""
            inside = "" if frame.name == "<module>" else f" in {frame.name}"
            found = f"{frame.filename}:{frame.lineno}{inside}{source}"
    return found


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {"explain": _explain, "gallery": _gallery, "play": _play}
