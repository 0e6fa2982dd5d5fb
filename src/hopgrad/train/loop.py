"""The training loop: batches in, steps made, evaluated, shown, saved, and stopped in good order."""

from __future__ import annotations

import functools
import inspect
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from hopgrad import random, tree
from hopgrad.optim import clip_by_global_norm, global_norm
from hopgrad.train.batches import Batch, Batches, batches
from hopgrad.train.checkpoints import Checkpoints, Snapshot
from hopgrad.train.checks import integer
from hopgrad.train.diagnosis import diagnose
from hopgrad.train.history import Evaluation, History
from hopgrad.train.progress import display
from hopgrad.transforms import compile, value_and_grad

__all__ = ["Fit", "Moment", "Optimizer", "evaluate", "fit"]

Stopped = Literal["done", "patience", "callback", "interrupted", "data ended"]


class Optimizer(Protocol):
    """What `fit` asks of an optimizer, as those of `hopgrad.optim` answer it."""

    def init(self, params: Any) -> Any:
        """The first state for these parameters."""

    def update(self, gradient: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """``(params, state)`` after a step."""


@dataclass(frozen=True)
class Moment:
    """What callbacks are told.

    Attributes:
        event: "step" after each step, "epoch" after each epoch and its evaluation.
        epoch: The epoch, from 0.
        step: How many steps have been made.
        loss: Of the last step's batch.
        model: As it is now; it must not be changed.
        values: At the end of an epoch, its `Evaluation`'s values; else empty.
        history: What happened so far.
    """

    event: Literal["step", "epoch"]
    epoch: int
    step: int
    loss: float
    model: Any
    values: dict[str, float]
    history: History


@dataclass(frozen=True)
class Fit:
    """What `fit` found.

    Attributes:
        model: The trained model; the best one if that was asked for.
        optimizer_state: The optimizer's state after the last step.
        state: What the loss handed on last, if it was given a state.
        history: The course of the training.
        stopped: Why it ended: "done", "patience", "callback", "interrupted" (Ctrl-C) or "data ended".
        epochs, steps: How many whole epochs and steps were made, those before it was resumed included.
    """

    model: Any
    optimizer_state: Any
    state: Any
    history: History
    stopped: Stopped
    epochs: int
    steps: int

    def __repr__(self) -> str:
        return f"<Fit: {self.epochs} epochs, {self.stopped}; {self.history!r}>"


def fit(
    model: Any,
    loss: Callable[..., Any],
    data: Any,
    *,
    optimizer: Optimizer,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
    state: Any = None,
    max_norm: float | None = None,
    validation: Any = None,
    validation_loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    monitor: str | None = None,
    mode: Literal["min", "max"] = "min",
    patience: int | None = None,
    keep_best: bool | None = None,
    callbacks: Callable[[Moment], Any] | Sequence[Callable[[Moment], Any]] = (),
    checkpoints: str | os.PathLike[str] | Checkpoints | None = None,
    resume: bool = False,
    progress: bool | None = None,
) -> Fit:
    """Train a model: make steps down the gradient of a loss, batch by batch.

    A step (the loss, its gradient, the optimizer's update) is compiled as one native function. The same arguments
    give the same numbers, bit for bit, also if the training is interrupted and resumed.

    Args:
        model: Arrays in any nested structure: a module, a dict, a list. It is not changed.
        loss: ``loss(model, *batch)``, a scalar; with `state`, ``loss(model, state, *batch)``, a pair of the scalar and
            the next state. If it has a parameter ``key``, it is given a key for each step (`hopgrad.random`), made of
            `seed`, by which to drop out elements or add noise; without one, as in evaluations, ``key`` needs a default.
        data: What the batches are made of; see `batches`. Floating-point arrays are converted to the dtype of the
            model, if all of its arrays have the same one.
        optimizer: Such as ``hopgrad.optim.Adam(lr=1e-3)``.
        epochs: How many times to go through the data.
        steps: How many steps to make at most; of `epochs` and `steps` one has to be given, but for an iterator that
            can be used only once.
        batch_size: Samples in a batch of arrays.
        shuffle: Whether arrays are taken in a new order in each epoch.
        seed: Decides about that order, and the keys.
        drop_last: Whether to leave out a last batch that is smaller.
        state: Arrays that the loss hands on from step to step without differentiating (running means, say).
        max_norm: The gradient is shortened to this Euclidean norm where it is longer.
        validation: Data to evaluate on at the end of each epoch, in the same form as `data`.
        validation_loss: As `loss`; None: that itself. It may leave out what only training needs, such as dropout.
        metrics: By name, functions ``metric(model, *batch)``, with `state` ``metric(model, state, *batch)``, whose
            mean over the validation data is told, each batch weighted by its samples.
        monitor: Which result says how good the model is; None: the loss on the validation data if there are such, else
            that of the training.
        mode: Whether the result should be small ("min") or large ("max").
        patience: After how many epochs in a row without a better result to stop; None: never.
        keep_best: Whether the model of the best result is returned, not the last one; None: if there is a patience.
        callbacks: Functions of a `Moment`, called after each step and each epoch; a true result stops the training.
        checkpoints: A folder, or `Checkpoints`, to save to (needs the package safetensors).
        resume: Whether to go on from the last checkpoint, if there is one. Without it a folder with checkpoints is
            refused.
        progress: Whether to show the progress: True, False, or None: in a terminal only.

    Returns:
        The trained model with its history; see `Fit`. On Ctrl-C it is saved (if there are checkpoints) and returned as
        it is; a second Ctrl-C raises `KeyboardInterrupt` at once.

    Raises:
        NonFiniteError: The loss or its gradient became infinite or NaN. The message names the layer, the hop and the
            batch where that was born; the model as it was before is saved.
        FileError: Checkpoints are damaged or belong to another training.
        ValueError: An option is out of its range.

    >>> import numpy as np
    >>> from hopgrad import optim
    >>> x = np.linspace(-1, 1, 64)
    >>> line = {"slope": np.zeros(()), "offset": np.zeros(())}
    >>> def loss(line, x, y):
    ...     return np.mean((line["slope"] * x + line["offset"] - y) ** 2)
    >>> found = fit(line, loss, (x, 3 * x - 1), optimizer=optim.SGD(lr=0.5), epochs=20)
    >>> round(float(found.model["slope"]), 3), round(float(found.model["offset"]), 3)
    (3.0, -1.0)
    >>> found.steps, found.stopped
    (40, 'done')
    """
    _check(loss, epochs, steps, patience, max_norm, mode)
    dtype = _dtype(model)
    source = batches(data, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last, dtype=dtype)
    if epochs is None and steps is None:
        if not source.once:
            raise ValueError("how long to train? Give epochs=, or steps=")
        epochs = 1
    held = None
    if validation is not None:
        held = batches(validation, batch_size, shuffle=False, dtype=dtype)
        if held.once:
            raise ValueError("validation is read again in each epoch: give arrays, a list or a function, no iterator")
    elif metrics or validation_loss:
        raise ValueError("metrics and validation_loss are evaluated on validation data: give validation=")
    saves = checkpoints if checkpoints is None or isinstance(checkpoints, Checkpoints) else Checkpoints(checkpoints)
    monitor = monitor or ("loss" if held is None else "validation_loss")
    known = ["loss", *(["validation_loss", *(metrics or {})] if held is not None else [])]
    if monitor not in known:
        raise ValueError(f"monitor is {monitor!r}, but what is measured is {', '.join(known)}")
    keep_best = patience is not None if keep_best is None else keep_best
    now = Snapshot(
        model, optimizer.init(model), state, None, 0, 0, 0, History(), None, {**source.settings, "monitor": monitor}
    )
    if saves is not None:
        saves.prepare()
        if resume:
            now = saves.latest(now) or now
        elif saves.files:
            raise ValueError(
                f"{saves.folder} holds checkpoints: say resume=True to go on from them, or choose another folder"
            )
    elif resume:
        raise ValueError("resume=True needs checkpoints=, the folder to go on from")
    trainer = _Trainer(
        loss,
        optimizer,
        source,
        random.key(seed) if _takes_key(loss) else None,
        now,
        epochs,
        steps,
        max_norm,
        _Evaluator(validation_loss or loss, metrics or {}, held, state is not None),
        _Goal(monitor, mode, patience, keep_best),
        [callbacks] if callable(callbacks) else list(callbacks),
        saves,
    )
    return trainer.run(progress)


def evaluate(
    model: Any,
    functions: Mapping[str, Callable[..., Any]],
    data: Any,
    *,
    batch_size: int = 256,
    state: Any = None,
) -> dict[str, float]:
    """The means over some data of losses and metrics, each batch weighted by its samples.

    Args:
        model: As for `fit`.
        functions: By name, ``function(model, *batch)``, with a `state` ``function(model, state, *batch)``: a number,
            or a pair of which it is the first.
        data: As for `fit`.
        batch_size: Samples in a batch of arrays.
        state: What the functions get besides.

    >>> evaluate({"w": 2.0}, {"error": lambda model, x: np.mean(np.abs(model["w"] * x))}, np.arange(5.0), batch_size=2)
    {'error': 4.0}
    """
    source = batches(data, batch_size, shuffle=False, dtype=_dtype(model))
    return _Evaluator(None, functions, source, state is not None)(model, state)


@dataclass
class _Goal:
    """When a model is better than the ones before, and when to give up."""

    monitor: str
    mode: Literal["min", "max"]
    patience: int | None
    keep_best: bool

    def score(self, values: Mapping[str, float]) -> float | None:
        """How good a result is; less is better; None if it is NaN."""
        value = values[self.monitor] if self.mode == "min" else -values[self.monitor]
        return None if math.isnan(value) else value

    def standing(self, history: History) -> tuple[bool, bool]:
        """(whether the last evaluation is the best one, whether patience is at its end)."""
        scores = [self.score(e.values) for e in history.evaluations]
        ranked = [math.inf if score is None else score for score in scores]
        best = ranked.index(min(ranked))
        last = len(ranked) - 1
        return best == last, self.patience is not None and last - best >= self.patience


class _Evaluator:
    """Means over the validation data."""

    def __init__(
        self,
        loss: Callable[..., Any] | None,
        metrics: Mapping[str, Callable[..., Any]],
        source: Batches | None,
        stateful: bool,
    ) -> None:
        functions = {**({"validation_loss": loss} if loss is not None else {}), **metrics}
        for name, function in functions.items():
            if not callable(function):
                raise TypeError(f"metric {name!r} must be a function, not {type(function).__name__}")
        self._functions = {name: compile(function, steady=True) for name, function in functions.items()}
        self._source, self._stateful = source, stateful

    def __call__(self, model: Any, state: Any) -> dict[str, float]:
        if self._source is None:
            return {}
        sums = dict.fromkeys(self._functions, 0.0)
        total = 0
        given = (model, state) if self._stateful else (model,)
        for batch in self._source.epoch(0):
            count = _samples(batch)
            total += count
            for name, function in self._functions.items():
                value = function(*given, *batch)
                value = value[0] if isinstance(value, tuple) else value
                if np.size(value) != 1:
                    raise ValueError(f"metric {name!r} gave an array of shape {np.shape(value)}; one number is needed")
                sums[name] += count * float(np.asarray(value).reshape(()))
        if not total:
            raise ValueError("the validation data gave no batch")
        return {name: value / total for name, value in sums.items()}


class _Trainer:
    """A training: the settings, and where it stands."""

    def __init__(
        self,
        loss: Callable[..., Any],
        optimizer: Optimizer,
        source: Batches,
        key: Any,
        now: Snapshot,
        epochs: int | None,
        steps: int | None,
        max_norm: float | None,
        evaluator: _Evaluator,
        goal: _Goal,
        callbacks: Sequence[Callable[[Moment], Any]],
        saves: Checkpoints | None,
    ) -> None:
        self._loss, self._source, self._key, self._now = loss, source, key, now
        self._stateful = now.state is not None
        try:
            self._step = _kept_step(loss, optimizer, max_norm, self._stateful)
        except TypeError:  # not hashable
            self._step = _compiled_step(loss, optimizer, max_norm, self._stateful)
        self._epochs, self._steps = epochs, steps
        self._evaluate, self._goal, self._callbacks, self._saves = evaluator, goal, callbacks, saves
        self._stop: Stopped | None = None
        self._saved: int | None = None
        """At which step a checkpoint was written last."""

    def run(self, progress: bool | None) -> Fit:
        now = self._now
        total = self._total()
        if now.history.evaluations and self._goal.standing(now.history)[1]:
            self._stop = "patience"
        with display(progress, total, self._epochs, now.step) as self._shown, _interrupts() as self._interrupted:
            while self._stop is None and not self._is_done():
                self._epoch()
            if self._saves is not None and self._saved != now.step:
                self._save()
        keep = self._goal.keep_best and now.best is not None
        return Fit(
            now.best if keep else now.model,
            now.memory,
            now.state,
            now.history,
            self._stop or "done",
            now.epoch,
            now.step,
        )

    def _total(self) -> int | None:
        bounds = [self._steps] if self._steps is not None else []
        if self._epochs is not None and self._source.length is not None:
            bounds.append(self._epochs * self._source.length)
        return min(bounds, default=None)

    def _is_done(self) -> bool:
        now = self._now
        return (self._steps is not None and now.step >= self._steps) or (
            self._epochs is not None and now.epoch >= self._epochs
        )

    def _epoch(self) -> None:
        """The rest of the epoch that `now` is in."""
        now = self._now
        if self._source.once and now.epoch:
            self._stop = "data ended"
            return
        for batch in self._source.epoch(now.epoch, now.batch):
            self._make_step(batch)
            self._after_step()
            if self._stop is not None or (self._steps is not None and now.step >= self._steps):
                break
        else:
            if not now.batch:
                self._stop = "data ended"
                if not now.step:
                    raise ValueError("the data gave no batch")
                return
            self._end_epoch()
            return
        if now.batch == self._source.length:
            self._end_epoch()

    def _make_step(self, batch: Batch) -> None:
        now = self._now
        given = (now.state, *batch) if self._stateful else batch
        with np.errstate(all="ignore"):  # it is told below
            drawn = None if self._key is None else (self._key, np.int64(now.step))
            value, norm, model, memory, state = self._step(now.model, now.memory, drawn, *given)
        value, norm = float(value), float(norm)
        if not (math.isfinite(value) and math.isfinite(norm)):
            if self._saves is not None and self._saved != now.step:
                self._save()
            self._blow_up(batch, given, value, norm)
        # Nothing comes between these, so that whatever is saved belongs together.
        now.model, now.memory, now.state = model, memory, state
        now.history.add(value, norm, _samples(batch))
        now.step += 1
        now.batch += 1
        now.score = None

    def _blow_up(self, batch: Batch, given: Sequence[Any], value: float, norm: float) -> None:
        now = self._now
        loss = self._loss
        if self._stateful or self._key is not None:
            more = {} if self._key is None else {"key": random.fold_in(self._key, now.step)}

            def loss(model: Any, *given: Any) -> Any:
                value = self._loss(model, *given, **more)
                return value[0] if self._stateful else value

        what = f"the loss is {value}" if not math.isfinite(value) else f"the norm of the gradient is {norm}"
        error = diagnose(loss, now.model, given, step=now.step, epoch=now.epoch, number=now.batch, what=what)
        error.data = batch
        raise error

    def _after_step(self) -> None:
        now = self._now
        self._shown.step(now.step, now.epoch, now.history.last)
        if self._callbacks:
            self._tell("step", {})
        if self._interrupted.is_set():
            self._stop = "interrupted"
        ends = now.batch == self._source.length  # then the checkpoint comes after the evaluation
        every = self._saves.every if self._saves is not None else None
        if every is not None and now.step % every == 0 and not ends:
            self._save()

    def _end_epoch(self) -> None:
        now = self._now
        values = {"loss": now.history.mean_loss(now.batch), **self._evaluate(now.model, now.state)}
        now.history.evaluations.append(Evaluation(now.epoch, now.step, values))
        self._shown.epoch(now.epoch, values)
        is_best, is_over = self._goal.standing(now.history)
        now.score = self._goal.score(values)
        if is_best and self._goal.keep_best:
            now.best = now.model
        epoch = now.epoch
        now.epoch, now.batch = now.epoch + 1, 0
        if is_over and self._stop is None:
            self._stop = "patience"
        if self._callbacks:
            self._tell("epoch", values, epoch)
        if self._saves is not None:
            self._save()

    def _tell(self, event: Literal["step", "epoch"], values: dict[str, float], epoch: int | None = None) -> None:
        now = self._now
        moment = Moment(
            event, now.epoch if epoch is None else epoch, now.step, now.history.last, now.model, values, now.history
        )
        for callback in self._callbacks:
            if callback(moment) and self._stop is None:
                self._stop = "callback"

    def _save(self) -> None:
        assert self._saves is not None
        self._saves.write(self._now)
        self._saved = self._now.step


def _compiled_step(
    loss: Callable[..., Any], optimizer: Optimizer, max_norm: float | None, stateful: bool
) -> Callable[..., Any]:
    """A step: from model, optimizer's state and batch to loss, norm of the gradient, and the next of all these.

    Before the batch it takes None, or the training's key and the number of the step, of which its own key is made.
    """
    both = value_and_grad(loss, has_aux=stateful)

    def step(model: Any, memory: Any, drawn: Any, *given: Any) -> tuple[Any, ...]:
        value, gradient = both(model, *given, **({} if drawn is None else {"key": random.fold_in(*drawn)}))
        value, state = value if stateful else (value, None)
        if max_norm is None:
            norm = global_norm(gradient)
        else:
            gradient, norm = clip_by_global_norm(gradient, max_norm)
        model, memory = optimizer.update(gradient, memory, model)
        return value, norm, model, memory, state

    return compile(step, steady=True)


_kept_step: Callable[..., Any] = functools.lru_cache(maxsize=16)(_compiled_step)
"""For trainings that are repeated, as in cross-validation: the same loss and optimizer need no new trace."""


class _Flag:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True


@contextmanager
def _interrupts() -> Iterator[_Flag]:
    """Within this block the first Ctrl-C is noted; the second interrupts as usual."""
    flag = _Flag()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield flag
        return

    def note(number: int, frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _takes_key(loss: Callable[..., Any]) -> bool:
    """Whether a function has a parameter for a key."""
    try:
        return "key" in inspect.signature(loss).parameters
    except (TypeError, ValueError):  # of callables without a signature
        return False


def _samples(batch: Batch) -> int:
    """How many samples a batch has: the length of its first array."""
    for leaf in tree.flatten(batch)[0]:
        if np.ndim(leaf):
            return len(leaf)
    return 1


def _dtype(model: Any) -> np.dtype[Any] | None:
    """The floating-point dtype of a model's arrays, if they have one in common."""
    found = {leaf.dtype for leaf in tree.flatten(model)[0] if hasattr(leaf, "dtype") and leaf.dtype.kind == "f"}
    return found.pop() if len(found) == 1 else None


def _check(loss: Any, epochs: Any, steps: Any, patience: Any, max_norm: Any, mode: Any) -> None:
    if not callable(loss):
        raise TypeError(f"loss must be a function, not {type(loss).__name__}")
    for name, value, least in (("epochs", epochs, 0), ("steps", steps, 0), ("patience", patience, 1)):
        if value is not None:
            integer(value, name, least)
    if max_norm is not None and not 0 < max_norm < math.inf:
        raise ValueError(f"max_norm must be a positive number, but is {max_norm!r}")
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', but is {mode!r}")
