"""Object code on disk, so that a second process starts at once.

One file an entry, named by a hash of everything that it was made from (the text, the processor's features, LLVM's
version). It begins with a hash of its own contents: a file that is cut off or changed is ignored and written again.
Files are written beside and then renamed, so that no process reads half of one. Only a directory that belongs to the
user, and that nobody else may write to, is read from at all: object code is code.

``HOPGRAD_CACHE_DIR`` names the directory (default: ``hopgrad`` in the user's cache directory, ``XDG_CACHE_HOME`` or
``~/.cache``); empty, nothing is kept. ``HOPGRAD_CACHE_SIZE`` bounds it, in bytes (default 256 MiB): beyond that the
entries that were not used for longest go.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import random
import stat
import tempfile
from pathlib import Path

SIZE = 256 << 20
"""The default of ``HOPGRAD_CACHE_SIZE``."""

_SUFFIX = ".o"
_DIGEST = hashlib.sha256().digest_size


def key(*parts: str) -> str:
    """The name of an entry that is made from these texts."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode()
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()


def directory() -> Path | None:
    """Where entries are kept, made if it is missing; None where there is no safe place."""
    given = os.environ.get("HOPGRAD_CACHE_DIR")
    if given == "":
        return None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return _safe(given or os.path.join(home, "hopgrad"))


@functools.lru_cache(maxsize=16)
def _safe(name: str) -> Path | None:
    path = Path(name)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError:
        return None
    if os.name == "posix" and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        return None
    return path


def load(name: str) -> bytes | None:
    """The object code of an entry, or None."""
    place = directory()
    if place is None:
        return None
    path = place / (name + _SUFFIX)
    try:
        data = path.read_bytes()
    except OSError:
        return None
    image = data[_DIGEST:]
    if hashlib.sha256(name.encode() + image).digest() != data[:_DIGEST]:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return image


def store(name: str, image: bytes) -> None:
    """Keep an entry. Failing to is no error."""
    place = directory()
    if place is None:
        return
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(name.encode() + image).digest() + image)
        os.replace(temporary, place / (name + _SUFFIX))
    except OSError:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return
    if random.random() < 1 / 64:  # now and then is enough
        _trim(place)


def _trim(place: Path) -> None:
    try:
        limit = int(os.environ["HOPGRAD_CACHE_SIZE"])
    except (KeyError, ValueError):
        limit = SIZE
    found = []
    with contextlib.suppress(OSError), os.scandir(place) as files:
        for file in files:
            with contextlib.suppress(OSError):
                status = file.stat()
                # What a process left behind that was killed goes first.
                found.append((status.st_atime if file.name.endswith(_SUFFIX) else 0.0, status.st_size, file.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
