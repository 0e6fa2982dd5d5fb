"""How far a training is, told while it runs.

A bar in a terminal, a line that is replaced in a notebook, and now and then a line in a file.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

__all__ = ["Display", "display"]

QUIET = 10.0
"""Seconds between two lines in a file."""
REFRESH = 0.1
"""Seconds between two looks of a bar, or of a line that is replaced."""


class Display(Protocol):
    """Shows the progress; `step` is called after every step, so it has to return at once most of the time."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def step(self, done: int, epoch: int, loss: float) -> None:
        """A step has been made: how many there are, in which epoch, and its loss."""

    def epoch(self, number: int, values: dict[str, float]) -> None:
        """An epoch has ended, with these results."""


def display(wanted: bool | None, total: int | None, epochs: int | None, start: int) -> Display:
    """What `wanted` and the place ask for.

    Args:
        wanted: True: a bar in a terminal, one line that is replaced in a notebook, else lines; False: nothing; None: as
            True where somebody looks on, in a terminal or notebook, else nothing.
        total: How many steps there will be, if that is known.
        epochs: How many epochs, if that is known.
        start: How many steps were made before.
    """
    if wanted is False:
        return Silent()
    if sys.stderr.isatty():
        try:
            return Bar(total, epochs, start)
        except ImportError:
            return Lines(total, epochs, start, _over_itself, REFRESH)
    in_cell = _in_cell()
    if in_cell is not None:
        return Lines(total, epochs, start, in_cell, REFRESH)
    return Lines(total, epochs, start, _below, QUIET) if wanted else Silent()


def _below(line: str, last: bool) -> None:
    """Write a line below the others, in a file."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _over_itself(line: str, last: bool) -> None:
    """Write a line over the one before, in a terminal."""
    columns = shutil.get_terminal_size().columns - 1
    sys.stderr.write("\r" + line[:columns].ljust(columns) + ("\n" if last else ""))
    sys.stderr.flush()


def _in_cell() -> Callable[[str, bool], None] | None:
    """What shows a line in a cell of a notebook, in the place of the one before; None outside of notebooks."""
    display = sys.modules.get("IPython.display")  # a notebook's kernel has loaded it
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if display is None or getattr(shell, "kernel", None) is None:
        return None
    handle = display.DisplayHandle()
    shown = False

    def show(line: str, last: bool) -> None:
        nonlocal shown
        (handle.update if shown else handle.display)({"text/plain": line}, raw=True)
        shown = True

    return show


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def step(self, done: int, epoch: int, loss: float) -> None:
        pass

    def epoch(self, number: int, values: dict[str, float]) -> None:
        pass


class Lines(Silent):
    """How far it is in a line: at the end of the first epoch, every so many seconds, and at the end of all.

    Args:
        show: Gets a line, and whether it is the last one.
        every: Seconds between two lines.
    """

    def __init__(
        self, total: int | None, epochs: int | None, start: int, show: Callable[[str, bool], None], every: float
    ) -> None:
        self._total, self._epochs, self._start = total, epochs, start
        self._show, self._every = show, every
        self._begun = time.monotonic()
        self._next = self._begun + every
        self._step: tuple[int, int, float] | None = None
        self._ended: tuple[int, str] | None = None

    def __exit__(self, *error: object) -> None:
        if self._step is not None:
            self._say(last=True)

    def step(self, done: int, epoch: int, loss: float) -> None:
        self._step = done, epoch, loss
        if time.monotonic() >= self._next:
            self._say()

    def epoch(self, number: int, values: dict[str, float]) -> None:
        first = self._ended is None and number + 1 != self._epochs
        self._ended = number, _results(values)
        if first or time.monotonic() >= self._next:
            self._say()

    def _say(self, last: bool = False) -> None:
        assert self._step is not None
        done, epoch, loss = self._step
        now = time.monotonic()
        self._next = now + self._every
        rate = (done - self._start) / max(now - self._begun, 1e-9)
        of_steps = f"/{self._total}" if self._total else ""
        left = f", {_duration((self._total - done) / rate)} left" if self._total and rate > 0 and not last else ""
        words, before = f"loss {loss:.6g}", ""
        if self._ended is not None:
            number, results = self._ended
            words, before = (results, "") if number == epoch else (words, f"  epoch {number + 1}: {results}")
        head = f"{_named(epoch, self._epochs)}  step {done}{of_steps}"
        self._show(f"{head}  {words}  ({rate:.3g} steps/s{left}){before}", last)


class Bar(Silent):
    """A bar with the loss, the rate and the time left, by rich; a line for each epoch stays above it."""

    def __init__(self, total: int | None, epochs: int | None, start: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._epochs, self._start = epochs, start
        self._begun = time.monotonic()
        self._next = 0.0
        self._state = start, 0, float("nan")
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.5g}  {task.fields[rate]:.3g} steps/s"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
        )
        self._task = self._bar.add_task("training", total=total, completed=start, loss=float("nan"), rate=0.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._show()
        self._bar.stop()

    def step(self, done: int, epoch: int, loss: float) -> None:
        self._state = done, epoch, loss
        now = time.monotonic()
        if now >= self._next:
            self._next = now + REFRESH
            self._show()

    def _show(self) -> None:
        done, epoch, loss = self._state
        rate = (done - self._start) / max(time.monotonic() - self._begun, 1e-9)
        self._bar.update(self._task, completed=done, description=_named(epoch, self._epochs), loss=loss, rate=rate)

    def epoch(self, number: int, values: dict[str, float]) -> None:
        words = f"{_named(number, self._epochs)}  {_results(values)}"
        self._bar.console.print(words, highlight=False, markup=False)


def _named(epoch: int, epochs: int | None) -> str:
    return f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "")


def _results(values: dict[str, float]) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {value:.6g}" for name, value in values.items())


def _duration(seconds: float) -> str:
    """A time in the two largest units that matter.

    >>> _duration(4.2), _duration(75.0), _duration(7300.0)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
