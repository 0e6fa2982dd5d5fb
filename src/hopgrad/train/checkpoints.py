"""Checkpoints: everything that a training needs to go on, in one file that is whole or not there.

A file holds the model, the optimizer's state, the history, the place in the data and the states of the global random
generators, in the format safetensors. It carries a checksum of its arrays; a damaged one is passed over for the one
before it.
"""

from __future__ import annotations

import json
import os
import random
import re
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.files import FileError, Stored, listed, load, named, opened, read_metadata, save
from hopgrad.train.checks import integer
from hopgrad.train.history import History

__all__ = ["CheckpointWarning", "Checkpoints", "Snapshot"]

VERSION = 1
_KEY = "hopgrad.train"
_NAME = re.compile(r"step-(\d{9,})\.safetensors")
_LEFT_OVER = re.compile(r"\.step-\d{9,}\.safetensors\..*")


class CheckpointWarning(UserWarning):
    """A checkpoint cannot be used, or cannot be written: the message says which one, and what is done instead."""


@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a training is saved, and how many files are kept.

    Attributes:
        folder: Made if it is missing. It should hold the checkpoints of one training only.
        every: After how many steps a file is written; None: at the end of each epoch only.
        last: How many of the latest files are kept, 1 or more.
        best: How many of the best ones, as `hopgrad.train.fit` measures them at the ends of epochs, are kept as well.
    """

    folder: str | os.PathLike[str]
    every: int | None = None
    last: int = 1
    best: int = 1

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("last", 1), ("best", 0)):
            if getattr(self, name) is not None or name != "every":
                integer(getattr(self, name), name, least)

    @property
    def files(self) -> list[Path]:
        """The files that there are, the oldest first.

        >>> Checkpoints("no such folder").files
        []
        """
        folder = Path(self.folder)
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
        return sorted(found, key=_step_of)

    def prepare(self) -> None:
        """Make the folder, and remove what a killed process left half written."""
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if _LEFT_OVER.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def write(self, snapshot: Snapshot) -> Path:
        """Save, and remove the files that need not be kept any more."""
        path = Path(self.folder) / f"step-{snapshot.step:09d}.safetensors"
        snapshot.save(path)
        self._prune()
        return path

    def _prune(self) -> None:
        files = self.files
        kept = set(files[-self.last :])
        if self.best and len(files) > len(kept):
            scores = [(score, path) for path in files if (score := _score(path)) is not None]
            kept.update(path for _, path in sorted(scores)[: self.best])
        for path in files:
            if path not in kept:
                path.unlink(missing_ok=True)

    def latest(self, like: Snapshot) -> Snapshot | None:
        """What the last file that is whole holds; None if there are no files.

        Raises:
            FileError: All files are damaged, or the last whole one belongs to another training.
        """
        files = self.files
        for k in range(len(files) - 1, -1, -1):
            try:
                check(files[k])
            except FileError as error:
                if k == 0:
                    raise
                warnings.warn(f"{error}; going on from {files[k - 1].name} instead", CheckpointWarning, stacklevel=4)
                files[k].rename(f"{files[k]}.damaged")  # else it would count as the latest one from now on
                continue
            return like.loaded(files[k])
        return None

    def best_file(self) -> Path | None:
        """The file with the best score, if any has one."""
        scores = [(score, path) for path in self.files if (score := _score(path)) is not None]
        return min(scores)[1] if scores else None


@dataclass
class Snapshot:
    """A training between two steps.

    Attributes:
        model, memory, state: The model, the optimizer's state, and what the loss hands on from step to step.
        best: The best model so far, or None.
        epoch, batch: Which batch comes next.
        step: How many steps were made.
        history: Their course.
        score: How good the model is, if that was just measured; less is better.
        settings: What has to be the same when the training goes on.
    """

    model: Any
    memory: Any
    state: Any
    best: Any
    epoch: int
    batch: int
    step: int
    history: History
    score: float | None
    settings: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write everything."""
        (kind, keys, *rest) = np.random.get_state(legacy=True)
        parts = {
            "model": self.model,
            "optimizer": self.memory,
            "state": self.state,
            "best": self.best,
            "history": self.history.arrays(),
            "random": np.asarray(keys),
        }
        about = {
            "version": VERSION,
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "score": self.score,
            "has_best": self.best is not None,
            "settings": self.settings,
            "evaluations": self.history.listed(),
            "structures": {name: tree.flatten(parts[name])[1].text for name in ("model", "optimizer", "state")},
            "numpy random": [kind, *rest],
            "python random": random.getstate(),
            "checksum": _checksum(named(parts)),
        }
        save(path, parts, {_KEY: json.dumps(about)})

    def loaded(self, path: Path) -> Snapshot:
        """What a file holds, for a training with the model, optimizer and settings of this one.

        The global random generators are set, too.

        Raises:
            FileError: It belongs to another training; the message names each difference.
        """
        about = _about(path)
        faults = [
            f"{name} was {about['settings'].get(name)!r}, is now {value!r}"
            for name, value in self.settings.items()
            if about["settings"].get(name) != value
        ]
        if faults:
            raise FileError(f"{path} is of a training with other settings:\n{listed(faults)}")
        found = {
            name: load(path, like, prefix=name + ".")
            for name, like in (
                ("model", self.model),
                ("optimizer", self.memory),
                ("state", self.state),
                ("best", self.model if about["has_best"] else None),
            )
        }
        with opened(path) as stored:
            course = {name: stored[f"history.{name}"].read() for name in self.history.arrays()}
            keys = stored["random"].read()
        kind, *rest = about["numpy random"]
        np.random.set_state((kind, keys, *rest))
        version, internal, gauss = about["python random"]
        random.setstate((version, tuple(internal), gauss))
        return Snapshot(
            found["model"],
            found["optimizer"],
            found["state"],
            found["best"],
            about["epoch"],
            about["batch"],
            about["step"],
            History.restored(course, about["evaluations"]),
            about["score"],
            self.settings,
        )


def _step_of(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])


def _about(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    words = read_metadata(path).get(_KEY)
    if words is None:
        raise FileError(f"{path} is no checkpoint of a training")
    try:
        about: dict[str, Any] = json.loads(words)
        version = about["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileError(f"{path} is damaged: {error}") from None
    if version != VERSION:
        raise FileError(f"{path} has version {version}; this is hopgrad for version {VERSION}")
    return about


def _score(path: Path) -> float | None:
    """The score of a file, None also if it cannot be read: then others are kept."""
    try:
        score: float | None = _about(path).get("score")
    except (FileError, OSError):
        return None
    return score


def check(path: Path) -> None:
    """Read everything once.

    Raises:
        FileError: The file is damaged.
    """
    about = _about(path)
    with opened(path) as stored:
        found = _checksum(stored)
    if about.get("checksum") != found:
        raise FileError(f"{path} is damaged: its arrays do not have the checksum that they had")


def _checksum(arrays: Mapping[str, Any]) -> int:
    """A CRC of names and bits, in the order of the names."""
    found = 0
    for name, value in sorted(arrays.items()):
        array = np.asarray(value.read() if isinstance(value, Stored) else value, order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        found = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), found)
        found = zlib.crc32(array.reshape(-1).view(np.uint8).data, found)
    return found
