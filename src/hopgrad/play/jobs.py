"""Explanations computed in processes of their own, one at a time, each stopped when it takes too long."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_WAITING = 8
_LOADING = 60.0
"""Requests that may wait for their turn, and seconds that a process may take to load hopgrad."""


class TooManyError(Exception):
    """So many requests wait already that another one is refused."""


class Jobs:
    """Runs `hopgrad.play.worker`; the process for the next request is started beforehand.

    Args:
        folder: Where the processes run, and so where names of files begin.
        limit: Seconds for one explanation.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._spare: asyncio.subprocess.Process | None = None

    async def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the worker answers: ``page`` or ``error``, with ``printed`` and ``files``.

        Raises:
            TooManyError: if too many requests wait.
        """
        if self._waiting >= _WAITING:
            raise TooManyError
        self._waiting += 1
        try:
            async with self._turn:
                return await self._one(request)
        finally:
            self._waiting -= 1

    async def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        process, self._spare = self._spare, None
        if process is None or process.returncode is not None:
            process = await self._started()
        try:
            assert process.stdout is not None
            await asyncio.wait_for(process.stdout.readline(), _LOADING)  # until it is ready, or has ended
            asking = process.communicate(json.dumps(request).encode() + b"\n")
            words, complaints = await asyncio.wait_for(asking, self.limit)
        except TimeoutError:
            return {"error": f"stopped: it took longer than {self.limit:g} s (--limit allows more)"}
        finally:
            _kill(process)  # with all that it may have started
            if process.returncode is None:
                await process.wait()
            self._spare = await self._started()
        try:
            answer: dict[str, Any] = json.loads(words)
        except ValueError:
            last = complaints.decode(errors="replace").strip().rpartition("\n")[2]
            return {"error": f"the process ended (status {process.returncode})" + (f": {last}" if last else "")}
        return answer

    async def _started(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        # -P: a file of the user's named like a module, such as random.py, must not take that one's place.
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "hopgrad.play.worker",
            stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.folder, start_new_session=True,
        )  # fmt: skip

    async def warm(self) -> None:
        """Start the process for the first request."""
        self._spare = await self._started()

    async def close(self) -> None:
        """End the process that waits."""
        if self._spare is not None:
            _kill(self._spare)
            await self._spare.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
