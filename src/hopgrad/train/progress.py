"""How far a training is, told while it runs: a bar in a terminal, lines of text elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self

__all__ = ["Display", "display"]

QUIET = 10.0
"""Seconds after which a line is written even if no epoch has ended."""
REFRESH = 0.1
"""Seconds between two looks of the bar."""


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
    """What `wanted` and the terminal ask for.

    Args:
        wanted: True: a bar in a terminal, else lines; False: nothing; None: a bar in a terminal, else nothing.
        total: How many steps there will be, if that is known.
        epochs: How many epochs, if that is known.
        start: How many steps were made before.
    """
    terminal = sys.stderr.isatty()
    if wanted is False or (wanted is None and not terminal):
        return Silent()
    if terminal:
        try:
            return Bar(total, epochs, start)
        except ImportError:
            pass  # lines will do
    return Lines(total, epochs, start)


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
    """A line of text for each epoch, and now and then within a long one."""

    def __init__(self, total: int | None, epochs: int | None, start: int) -> None:
        self._total, self._epochs, self._start = total, epochs, start
        self._begun = self._last = time.monotonic()
        self._done = start

    def step(self, done: int, epoch: int, loss: float) -> None:
        self._done = done
        now = time.monotonic()
        if now - self._last >= QUIET:
            self._write(epoch, f"loss {loss:.6g}", now)

    def epoch(self, number: int, values: dict[str, float]) -> None:
        words = "  ".join(f"{name.replace('_', ' ')} {value:.6g}" for name, value in values.items())
        self._write(number, words, time.monotonic())

    def _write(self, epoch: int, words: str, now: float) -> None:
        self._last = now
        of_epochs = f"/{self._epochs}" if self._epochs else ""
        of_steps = f"/{self._total}" if self._total else ""
        rate = (self._done - self._start) / max(now - self._begun, 1e-9)
        left = f", {_duration((self._total - self._done) / rate)} left" if self._total and rate > 0 else ""
        sys.stderr.write(
            f"epoch {epoch + 1}{of_epochs}  step {self._done}{of_steps}  {words}  ({rate:.3g} steps/s{left})\n"
        )
        sys.stderr.flush()


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
        self._bar.update(self._task, completed=done, description=self._named(epoch), loss=loss, rate=rate)

    def epoch(self, number: int, values: dict[str, float]) -> None:
        words: Any = "  ".join(f"{name.replace('_', ' ')} {value:.6g}" for name, value in values.items())
        self._bar.console.print(f"{self._named(number)}  {words}", highlight=False, markup=False)

    def _named(self, epoch: int) -> str:
        return f"epoch {epoch + 1}" + (f"/{self._epochs}" if self._epochs else "")


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
