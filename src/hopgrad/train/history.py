"""What happened in a training: the loss at every step, evaluations after every epoch, and their picture."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hopgrad.files import replacing

__all__ = ["Evaluation", "History"]

POINTS = 200
"""A curve of more points is drawn by the means of that many stretches, with the range of each."""

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 26, 40
# Colours that people who see few colours tell apart (Okabe and Ito 2008), and dashes as a second mark.
_LINES = (("#0072b2", ""), ("#d55e00", "6 3"), ("#009e73", "2 3"), ("#cc79a7", "8 3 2 3"), ("#8c6d00", "1 3"))


@dataclass(frozen=True)
class Evaluation:
    """How things stood at the end of an epoch.

    Attributes:
        epoch: Its number, from 0.
        step: How many steps had been made.
        values: By name: "loss", the mean over the epoch's steps weighted by their samples; "validation_loss" and the
            metrics, where there is validation data.
    """

    epoch: int
    step: int
    values: dict[str, float]


@dataclass
class History:
    """The course of a training. It shows itself as a picture in a notebook.

    >>> history = History()
    >>> for step in range(3):
    ...     history.add(2.0**-step, 1.0, samples=32)
    >>> history.loss
    array([1.  , 0.5 , 0.25])
    >>> history.svg().startswith("<svg")
    True
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    _loss: array[float] = field(default_factory=lambda: array("d"), repr=False)
    _norm: array[float] = field(default_factory=lambda: array("d"), repr=False)
    _samples: array[int] = field(default_factory=lambda: array("q"), repr=False)

    def add(self, loss: float, gradient_norm: float, samples: int) -> None:
        """Note a step on a batch of so many samples."""
        self._loss.append(loss)
        self._norm.append(gradient_norm)
        self._samples.append(samples)

    @property
    def last(self) -> float:
        """The loss of the last step; NaN before the first one."""
        return self._loss[-1] if self._loss else math.nan

    def mean_loss(self, steps: int) -> float:
        """The mean over the samples of the last so many steps."""
        losses, samples = np.array(self._loss[-steps:]), np.array(self._samples[-steps:])
        return float(np.sum(losses * samples) / np.sum(samples))

    @property
    def loss(self) -> NDArray[np.float64]:
        """The loss of each step's batch, before the step: float64 of shape (steps,)."""
        return np.array(self._loss)

    @property
    def gradient_norm(self) -> NDArray[np.float64]:
        """The Euclidean norm of each step's gradient: float64 of shape (steps,)."""
        return np.array(self._norm)

    def values(self, name: str) -> NDArray[np.float64]:
        """What the evaluations say of "loss", "validation_loss" or a metric, NaN where they say nothing."""
        return np.array([e.values.get(name, math.nan) for e in self.evaluations])

    def __len__(self) -> int:
        return len(self._loss)

    # -- in and out of checkpoints -------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, Any]:
        """The course by step, for files."""
        return {"loss": self.loss, "gradient_norm": self.gradient_norm, "samples": np.array(self._samples)}

    def listed(self) -> list[Any]:
        """The evaluations as plain data, for files."""
        return [[e.epoch, e.step, e.values] for e in self.evaluations]

    @staticmethod
    def restored(arrays: dict[str, Any], listed: Sequence[Any]) -> History:
        """The history that `arrays` and `listed` were of."""
        evaluations = [Evaluation(epoch, step, dict(values)) for epoch, step, values in listed]
        made = History(evaluations)
        made._loss.extend(arrays["loss"].tolist())
        made._norm.extend(arrays["gradient_norm"].tolist())
        made._samples.extend(arrays["samples"].tolist())
        return made

    # -- the picture ---------------------------------------------------------------------------------------------------

    def svg(self) -> str:
        """The losses over the steps, and below them the metrics and the norm of the gradient."""
        steps = [float(e.step) for e in self.evaluations]
        names = list(dict.fromkeys(name for e in self.evaluations for name in e.values))
        losses = [("batches", np.arange(1.0, len(self) + 1), self.loss)]
        called = {"loss": "mean of epoch", "validation_loss": "validation"}
        losses += [(called[n], np.array(steps), self.values(n)) for n in names if n in called]
        panels = [("loss", losses)]
        metrics = [(n, np.array(steps), self.values(n)) for n in names if n not in called]
        if metrics:
            panels.append(("metrics", metrics))
        panels.append(("gradient norm", [("batches", np.arange(1.0, len(self) + 1), self.gradient_norm)]))
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {len(panels) * _HEIGHT}" width="{_WIDTH}"'
            f' height="{len(panels) * _HEIGHT}" role="img" aria-label="{escape(self._summary())}">',
            "<style>text{font:12px system-ui,sans-serif;fill:#333}.axis{stroke:#b8bec6}.grid{stroke:#e3e6ea}"
            "path{fill:none}.range{stroke:none;fill-opacity:.18}.paper{fill:#fff}"
            "@media (prefers-color-scheme:dark){text{fill:#ddd}.paper{fill:#16191d}.grid{stroke:#2c333a}}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
        ]
        for k, (title, curves) in enumerate(panels):
            parts.append(f'<g transform="translate(0 {k * _HEIGHT})">{_panel(title, curves, max(len(self), 1))}</g>')
        return "\n".join([*parts, "</svg>"])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture (``.svg``), or the numbers by step (``.csv``)."""
        target = Path(path)
        if target.suffix == ".svg":
            words = self.svg()
        elif target.suffix == ".csv":
            rows = [f"{k + 1},{a!r},{b!r}" for k, (a, b) in enumerate(zip(self._loss, self._norm, strict=True))]
            words = "\n".join(["step,loss,gradient_norm", *rows, ""])
        else:
            raise ValueError(f"{target.name}: the suffix says what to write; known are .svg and .csv")
        with replacing(target, durable=False) as fresh:
            fresh.write_text(words, encoding="utf-8")
        return target

    def _summary(self) -> str:
        if not len(self):
            return "no steps"
        return f"{len(self)} steps, loss {self._loss[0]:.6g} → {self._loss[-1]:.6g}"

    def __repr__(self) -> str:
        last = self.evaluations[-1].values if self.evaluations else {}
        return f"<History: {', '.join([self._summary(), *[f'{n} {v:.6g}' for n, v in last.items()]])}>"

    def _repr_svg_(self) -> str:
        return self.svg()


Curve = tuple[str, NDArray[np.float64], NDArray[np.float64]]


def _panel(title: str, curves: Sequence[Curve], steps: int) -> str:
    """Axes with some curves; the vertical axis is logarithmic where all values are positive and far apart."""
    everything = np.concatenate([y for _, _, y in curves])
    finite = everything[np.isfinite(everything)]
    parts = [f'<text x="{_LEFT}" y="16" font-weight="600">{escape(title)}</text>']
    if not finite.size:
        return "".join([*parts, f'<text x="{_LEFT}" y="40">nothing to show</text>'])
    low, high = float(finite.min()), float(finite.max())
    logarithmic = low > 0 and high > 20 * low
    ticks = _decades(low, high) if logarithmic else _round_steps(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    scale = np.log if logarithmic else np.asarray
    bottom, top = float(scale(low)), float(scale(high))
    right, floor = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(x: Any) -> Any:
        return _LEFT + (right - _LEFT) * (x - 1) / max(steps - 1, 1)

    def up(y: Any) -> Any:
        return floor - (floor - _TOP) * (scale(y) - bottom) / ((top - bottom) or 1.0)

    for tick in ticks:
        height = float(up(tick))
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    parts += [
        f'<text x="{across(step):.1f}" y="{floor + 18}" text-anchor="middle">{step}</text>'
        for step in sorted({1, (steps + 1) // 2, steps})
    ]
    parts.append(f'<text x="{right}" y="{floor + 34}" text-anchor="end">step</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{right}"/>')
    for k, (name, *points) in enumerate(curves):
        colour, dash = _LINES[k % len(_LINES)]
        x, y, least, most = _thinned(*points)
        if least is not None and most is not None:
            band = [*zip(across(x), up(least), strict=True), *zip(across(x)[::-1], up(most)[::-1], strict=True)]
            parts.append(f'<path class="range" fill="{colour}" style="fill:{colour}" d="{_path(band)}"/>')
        parts.append(
            f'<path stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"'
            f' d="{_path([*zip(across(x), up(y), strict=True)])}"><title>{escape(name)}</title></path>'
        )
        if len(x) == 1:
            parts.append(f'<circle cx="{float(across(x)[0]):.1f}" cy="{float(up(y)[0]):.1f}" r="3" fill="{colour}"/>')
        line = 20 + 18 * k
        parts.append(
            f'<path stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}" d="M{right + 12} {line}h24"/>'
            f'<text x="{right + 42}" y="{line + 4}">{escape(name)}</text>'
        )
    return "".join(parts)


def _path(points: Sequence[tuple[Any, Any]]) -> str:
    """A line through the points, broken where one is not finite."""
    words, pen = [], "M"
    for x, y in points:
        if not math.isfinite(y):
            pen = "M"
            continue
        words.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    return "".join(words)


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Any, Any, Any, Any]:
    """Few enough points, with the least and the most value of what each stands for; NaN is left out."""
    keep = np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= POINTS:
        return x, y, None, None
    begins = np.linspace(0, len(x), POINTS + 1).astype(int)[:-1]
    counts = np.diff([*begins, len(x)])
    mean_x, mean_y = (np.add.reduceat(v, begins) / counts for v in (x, y))
    return mean_x, mean_y, np.minimum.reduceat(y, begins), np.maximum.reduceat(y, begins)


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**k for k in range(first, last + 1, max(1, (last - first) // 6))]


def _round_steps(low: float, high: float) -> list[float]:
    """About five round numbers from below `low` to above `high`."""
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 5))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m * 5 >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [k * step for k in range(first, last + 1)]
