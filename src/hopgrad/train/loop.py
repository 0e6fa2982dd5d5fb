"""The training loop: batches in, steps made, evaluated, shown, saved, and stopped in good order."""

from __future__ import annotations

import functools
import inspect
import math
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from hopgrad import random, tree
from hopgrad.optim import clip_by_global_norm, global_norm
from hopgrad.train.batches import Batch, Batches, batches
from hopgrad.train.checkpoints import Checkpoints, CheckpointWarning, Snapshot
from hopgrad.train.checks import integer
from hopgrad.train.diagnosis import diagnose
from hopgrad.train.history import Evaluation, History
from hopgrad.train.progress import display
from hopgrad.transforms import compile, value_and_grad

__all__ = ["Fit", "Moment", "Optimizer", "evaluate", "fit"]

Stopped = Literal["done", "patience", "callback", "interrupted", "data ended"]


class DataWarning(UserWarning):
    """Data ended before they should, or an evaluation on them gave NaN: the message says what came of it."""


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
        progress: Whether to show the progress: True, False, or None: in a terminal or a notebook only.

    Returns:
        The trained model with its history; see `Fit`. On Ctrl-C it is saved (if there are checkpoints) and returned as
        it is; a second Ctrl-C raises `KeyboardInterrupt` at once.

    Raises:
        NonFiniteError: The loss or its gradient became infinite or NaN. The message names the layer, the hop and the
            batch where that was born; the model as it was before is saved.
        FileError: Checkpoints are damaged or belong to another training. (One that cannot be written, since the disk is
            full, is a `CheckpointWarning`: the training goes on.)
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
    _check(loss, optimizer, epochs, steps, patience, max_norm, mode)
    dtype = _dtype(model)
    source = batches(data, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last, dtype=dtype)
    held = _held_out(validation, batch_size, dtype, metrics, validation_loss)
    evaluator = _Evaluator(validation_loss or loss, metrics or {}, held, state is not None)
    goal = _Goal(monitor or evaluator.names[-1 if held is None else 1], mode, patience, keep_best)
    goal.check(evaluator.names)
    settings = {**source.settings, "monitor": goal.monitor}
    start = Snapshot(model, optimizer.init(model), state, None, 0, 0, 0, History(), None, settings)
    saves = Checkpoints(checkpoints) if isinstance(checkpoints, (str, os.PathLike)) else checkpoints
    return _Trainer(
        loss=loss,
        step=_step_of(loss, optimizer, max_norm, state is not None),
        source=source,
        key=random.key(seed) if _takes_key(loss) else None,
        now=_beginning(start, saves, resume),
        epochs=_bound(epochs, steps, source),
        steps=steps,
        evaluate=evaluator,
        goal=goal,
        callbacks=[callbacks] if callable(callbacks) else list(callbacks),
        saves=saves,
    ).run(progress)


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
    keep_best: bool | None
    """None: if there is a patience."""

    def __post_init__(self) -> None:
        if self.keep_best is None:
            self.keep_best = self.patience is not None

    def check(self, known: Sequence[str]) -> None:
        """Raise `ValueError` unless the result is one of those that are known."""
        if self.monitor not in known:
            raise ValueError(f"monitor is {self.monitor!r}, but what is measured is {', '.join(known)}")

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

    @property
    def names(self) -> list[str]:
        """What is measured at the end of an epoch."""
        return ["loss", *(self._functions if self._source is not None else ())]

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


@dataclass
class _Trainer:
    """A training: the settings, and where it stands (`now`)."""

    loss: Callable[..., Any]
    step: Callable[..., Any]
    source: Batches
    key: Any
    now: Snapshot
    epochs: int | None
    steps: int | None
    evaluate: _Evaluator
    goal: _Goal
    callbacks: Sequence[Callable[[Moment], Any]]
    saves: Checkpoints | None
    stop: Stopped | None = None
    saved: int | None = None
    """At which step a checkpoint was written last."""
    fits: bool = False
    """Whether the loss is known to take the batches."""
    told: set[str] = field(default_factory=set)
    """The results of which it was said that they are NaN."""

    @property
    def is_stateful(self) -> bool:
        """Whether the loss hands on a state."""
        return self.now.state is not None

    def run(self, progress: bool | None) -> Fit:
        now = self.now
        total = self._total()
        if now.history.evaluations and self.goal.standing(now.history)[1]:
            self.stop = "patience"
        with display(progress, total, self.epochs, now.step) as self._shown, _interrupts() as self._interrupted:
            while self.stop is None and not self._is_done():
                self._epoch()
            if self.saves is not None and self.saved != now.step:
                self._save()
        keep = self.goal.keep_best and now.best is not None
        return Fit(
            now.best if keep else now.model,
            now.memory,
            now.state,
            now.history,
            self.stop or "done",
            now.epoch,
            now.step,
        )

    def _total(self) -> int | None:
        bounds = [self.steps] if self.steps is not None else []
        if self.epochs is not None and self.source.length is not None:
            bounds.append(self.epochs * self.source.length)
        return min(bounds, default=None)

    def _is_done(self) -> bool:
        now = self.now
        return (self.steps is not None and now.step >= self.steps) or (
            self.epochs is not None and now.epoch >= self.epochs
        )

    def _end_of_data(self) -> None:
        """An iterator can be read only once: less was made than was asked for."""
        self.stop = "data ended"
        asked = [f"{n} {what}" for n, what in ((self.steps, "steps"), (self.epochs, "epochs")) if n is not None]
        cure = ": an iterator can be read once; give a list, or a function that makes an iterator for each epoch"
        words = f"the data ended after {self.now.step} steps, before the {' or '.join(asked)} that were asked for"
        warnings.warn(words + cure * self.source.once, DataWarning, stacklevel=2)

    def _epoch(self) -> None:
        """The rest of the epoch that `now` is in."""
        now = self.now
        if self.source.once and now.epoch:
            self._end_of_data()
            return
        for batch in self.source.epoch(now.epoch, now.batch):
            self._make_step(batch)
            self._after_step()
            if self.stop is not None or (self.steps is not None and now.step >= self.steps):
                break
        else:
            if not now.batch:
                if not now.step:
                    raise ValueError("the data gave no batch")
                self._end_of_data()
                return
            self._end_epoch()
            return
        if now.batch == self.source.length:
            self._end_epoch()

    def _make_step(self, batch: Batch) -> None:
        now = self.now
        given = (now.state, *batch) if self.is_stateful else batch
        if not self.fits:
            _check_call(self.loss, 1 + len(given), len(batch), self.is_stateful, self.key is not None)
            self.fits = True
        with np.errstate(all="ignore"):  # it is told below
            drawn = None if self.key is None else (self.key, np.int64(now.step))
            value, norm, model, memory, state = self.step(now.model, now.memory, drawn, *given)
        value, norm = float(value), float(norm)
        if not (math.isfinite(value) and math.isfinite(norm)):
            if self.saves is not None and self.saved != now.step:
                self._save()
            self._blow_up(batch, given, value, norm)
        # Nothing comes between these, so that whatever is saved belongs together.
        now.model, now.memory, now.state = model, memory, state
        now.history.add(value, norm, _samples(batch))
        now.step += 1
        now.batch += 1
        now.score = None

    def _blow_up(self, batch: Batch, given: Sequence[Any], value: float, norm: float) -> None:
        now = self.now
        loss = self.loss
        if self.is_stateful or self.key is not None:
            more = {} if self.key is None else {"key": random.fold_in(self.key, now.step)}

            def loss(model: Any, *given: Any) -> Any:
                value = self.loss(model, *given, **more)
                return value[0] if self.is_stateful else value

        what = f"the loss is {value}" if not math.isfinite(value) else f"the norm of the gradient is {norm}"
        error = diagnose(loss, now.model, given, step=now.step, epoch=now.epoch, number=now.batch, what=what)
        error.data = batch
        raise error

    def _after_step(self) -> None:
        now = self.now
        self._shown.step(now.step, now.epoch, now.history.last)
        if self.callbacks:
            self._tell("step", {})
        if self._interrupted.is_set():
            self.stop = "interrupted"
        ends = now.batch == self.source.length  # then the checkpoint comes after the evaluation
        every = self.saves.every if self.saves is not None else None
        if every is not None and now.step % every == 0 and not ends:
            self._save()

    def _end_epoch(self) -> None:
        now = self.now
        values = {"loss": now.history.mean_loss(now.batch), **self.evaluate(now.model, now.state)}
        if unknown := [name for name, value in values.items() if math.isnan(value) and name not in self.told]:
            self.told.update(unknown)
            message = f"at the end of epoch {now.epoch + 1} {', '.join(unknown)} is NaN, which counts as the worst"
            warnings.warn(message, DataWarning, stacklevel=2)
        now.history.evaluations.append(Evaluation(now.epoch, now.step, values))
        self._shown.epoch(now.epoch, values)
        is_best, is_over = self.goal.standing(now.history)
        now.score = self.goal.score(values)
        if is_best and self.goal.keep_best:
            now.best = now.model
        epoch = now.epoch
        now.epoch, now.batch = now.epoch + 1, 0
        if is_over and self.stop is None:
            self.stop = "patience"
        if self.callbacks:
            self._tell("epoch", values, epoch)
        if self.saves is not None:
            self._save()

    def _tell(self, event: Literal["step", "epoch"], values: dict[str, float], epoch: int | None = None) -> None:
        now = self.now
        moment = Moment(
            event, now.epoch if epoch is None else epoch, now.step, now.history.last, now.model, values, now.history
        )
        for callback in self.callbacks:
            if callback(moment) and self.stop is None:
                self.stop = "callback"

    def _save(self) -> None:
        assert self.saves is not None
        try:
            self.saves.write(self.now)
        except OSError as error:  # a full disk, say: the files before it are whole
            message = f"no checkpoint of step {self.now.step}: {error}; the training goes on"
            warnings.warn(message, CheckpointWarning, stacklevel=2)
        else:
            self.saved = self.now.step


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


def _step_of(loss: Callable[..., Any], optimizer: Optimizer, max_norm: float | None, stateful: bool) -> Any:
    """The step, one that was made before if there is."""
    try:
        return _kept_step(loss, optimizer, max_norm, stateful)
    except TypeError:  # not hashable
        return _compiled_step(loss, optimizer, max_norm, stateful)


def _check_call(loss: Callable[..., Any], arguments: int, arrays: int, stateful: bool, keyed: bool) -> None:
    """Raise `TypeError` if a loss cannot be called with a model and a batch: Python's own words would tell neither."""
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*[None] * arguments, **({"key": None} if keyed else {}))
    except TypeError as error:
        form = f"loss(model, {'state, ' if stateful else ''}{', '.join(['…'] * arrays)})"
        raise TypeError(
            f"the loss takes {signature}, but a batch has {arrays} part{'s' * (arrays > 1)}, so that it is called as"
            f" {form}: {error}"
        ) from None


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


def _bound(epochs: int | None, steps: int | None, source: Batches) -> int | None:
    """How many epochs there are at most: of an iterator one."""
    if epochs is None and steps is None:
        if not source.once:
            raise ValueError("how long to train? Give epochs=, or steps=")
        return 1
    return epochs


def _held_out(validation: Any, size: int, dtype: Any, metrics: Any, validation_loss: Any) -> Batches | None:
    """The batches to evaluate on."""
    if validation is None:
        if metrics or validation_loss:
            raise ValueError("metrics and validation_loss are evaluated on validation data: give validation=")
        return None
    held = batches(validation, size, shuffle=False, dtype=dtype)
    if held.once:
        raise ValueError("validation is read again in each epoch: give arrays, a list or a function, no iterator")
    return held


def _beginning(start: Snapshot, saves: Checkpoints | None, resume: bool) -> Snapshot:
    """Where the training begins: at `start`, or where the last checkpoint was written."""
    if saves is None:
        if resume:
            raise ValueError("resume=True needs checkpoints=, the folder to go on from")
        return start
    saves.prepare()
    if resume:
        return saves.latest(start) or start
    if saves.files:
        raise ValueError(
            f"{saves.folder} holds checkpoints: say resume=True to go on from them, or choose another folder"
        )
    return start


def _check(loss: Any, optimizer: Any, epochs: Any, steps: Any, patience: Any, max_norm: Any, mode: Any) -> None:
    if not callable(loss):
        raise TypeError(f"loss must be a function, not {type(loss).__name__}")
    if isinstance(optimizer, type) or not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
        found = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else type(optimizer).__name__
        raise TypeError(f"optimizer must be one with init and update, such as optim.Adam(lr=1e-3), not {found}")
    for name, value, least in (("epochs", epochs, 0), ("steps", steps, 0), ("patience", patience, 1)):
        if value is not None:
            integer(value, name, least)
    if max_norm is not None and not 0 < max_norm < math.inf:
        raise ValueError(f"max_norm must be a positive number, but is {max_norm!r}")
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', but is {mode!r}")
