"""One explanation in a process of its own: read a request, write the page or the complaint, end.

Started beforehand, the process has everything loaded when the request comes; an empty line says so. Whatever the user's
code does (print, change directories, leave threads) ends with it, and edited files are read anew by the next one.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hopgrad.cli import Point, ProblemError, explained
from hopgrad.show import explanation as _loaded  # noqa: F401 - loads what explaining needs before there is a request

_MEMORY = 8 * 2**30
_PRINTED = 10_000
"""Bounds: bytes of address space, and letters of what the user's code prints that are passed on."""


def main() -> None:
    """Answer the request on the standard input on what was the standard output at the start."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what user code writes must not get between
    _bound()
    print(file=answers, flush=True)
    request = json.loads(sys.stdin.readline())
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        answer = _answer(request)
    answer["printed"] = printed.getvalue()[-_PRINTED:]
    json.dump(answer, answers)
    answers.flush()
    os._exit(0)  # threads of the user's code may not hold the answer up


def _bound() -> None:
    try:
        import resource
    except ImportError:  # where there is none, time alone is bounded
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    try:
        point = Point(request["at"], request["wrt"], request["integer"], request["order"])
        answer["page"] = explained(request["target"], point).html()
    except ProblemError as problem:
        answer["error"] = str(problem)
    except MemoryError:
        answer["error"] = "not enough memory"
    except Exception as error:
        answer["error"] = f"{type(error).__name__}: {error}"
    answer["files"] = _files(Path.cwd())
    return answer


def _files(folder: Path) -> list[str]:
    """The files of the user's own that were imported: those below the folder, installed packages excepted."""
    found = {Path(file) for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))}
    return sorted(str(f) for f in found if f.is_relative_to(folder) and "site-packages" not in f.parts)


if __name__ == "__main__":
    main()
