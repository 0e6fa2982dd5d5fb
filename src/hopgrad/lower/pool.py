"""Threads that run parts of large kernels, and the step that gives them work.

The pool is a few words of memory: how many threads there are, whether somebody uses them, and the work at hand, which
is a table of pairs (function, parameters) like a program, in any order. Whoever has work posts a semaphore, takes parts
like everybody else, and waits until all have come to the end of the table. While the pool is in use, others do their
work alone. The parts are the same for any number of threads, so results do not depend on it.

The threads are Python's own, which wait in native code, without the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from typing import Any

from hopgrad.lower.machine import Effort, Source, load

# Words of the pool: its threads with the one that has the work, whether it is in use, the next part, whether one
# failed, slots, table, length of the table; then the semaphores that begin and end the work, each in a line of its own.
_WORDS = 32
_PLACES = {"threads": 0, "busy": 1, "next": 2, "failed": 3, "slots": 4, "table": 5, "count": 6, "begin": 8, "end": 16}


def _at(name: str) -> str:
    return f"%{name}.at = getelementptr i64, ptr %pool, i64 {_PLACES[name]}"


_TAKE = """
  %slots.now = load ptr, ptr %slots.at
  %table.now = load ptr, ptr %table.at
  %count.now = load i64, ptr %count.at
  br label %take
take:
  %k = atomicrmw add ptr %next.at, i64 1 acq_rel
  %some = icmp slt i64 %k, %count.now
  br i1 %some, label %part, label %none
part:
  %first = mul i64 %k, 2
  %pair = getelementptr ptr, ptr %table.now, i64 %first
  %function = load ptr, ptr %pair
  %second = getelementptr ptr, ptr %pair, i64 1
  %given = load ptr, ptr %second
  %wrong = call i32 %function(ptr %slots.now, ptr %given)
  %word = zext i32 %wrong to i64
  %before = atomicrmw or ptr %failed.at, i64 %word acq_rel
  br label %take
none:
"""
"""Parts of the work, as long as there are some."""

_DECLARED = """
declare i32 @sem_wait(ptr)
declare i32 @sem_post(ptr)
"""

_WORKER = f"""{_DECLARED}
define void @NAME(ptr %pool) {{
entry:
  {"".join(f"{_at(name)}{chr(10)}  " for name in _PLACES if name not in ("threads", "busy"))}br label %sleep
sleep:
  %woken = call i32 @sem_wait(ptr %begin.at)
  %awake = icmp eq i32 %woken, 0
  br i1 %awake, label %work, label %sleep
work:
{_TAKE}
  %told = call i32 @sem_post(ptr %end.at)
  br label %sleep
}}
"""

_SPLIT = f"""{_DECLARED}
define i32 @NAME(ptr %slots, ptr %params) {{
entry:
  %pool = load ptr, ptr %params
  %param.1 = getelementptr i64, ptr %params, i64 1
  %table = load ptr, ptr %param.1
  %param.2 = getelementptr i64, ptr %params, i64 2
  %count = load i64, ptr %param.2
  {"".join(f"{_at(name)}{chr(10)}  " for name in _PLACES)}
  %threads = load atomic i64, ptr %threads.at monotonic, align 8
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %ask, label %alone
ask:
  %got = cmpxchg ptr %busy.at, i64 0, i64 1 acq_rel monotonic
  %ours = extractvalue {{ i64, i1 }} %got, 1
  br i1 %ours, label %set, label %alone
set:
  store ptr %slots, ptr %slots.at
  store ptr %table, ptr %table.at
  store i64 %count, ptr %count.at
  store i64 0, ptr %failed.at
  store atomic i64 0, ptr %next.at release, align 8
  br label %call
call:
  %called = phi i64 [1, %set], [%more, %post]
  %enough = icmp sge i64 %called, %threads
  br i1 %enough, label %work, label %post
post:
  %posted = call i32 @sem_post(ptr %begin.at)
  %more = add i64 %called, 1
  br label %call
work:
{_TAKE}
  br label %join
join:
  %joined = phi i64 [1, %none], [%joined, %wait], [%next.joined, %one]
  %all = icmp sge i64 %joined, %threads
  br i1 %all, label %finish, label %wait
wait:
  %woken = call i32 @sem_wait(ptr %end.at)
  %came = icmp eq i32 %woken, 0
  br i1 %came, label %one, label %join
one:
  %next.joined = add i64 %joined, 1
  br label %join
finish:
  %failed = load i64, ptr %failed.at
  store atomic i64 0, ptr %busy.at release, align 8
  %answer = trunc i64 %failed to i32
  ret i32 %answer
alone:
  br label %head
head:
  %i = phi i64 [0, %alone], [%i.next, %step]
  %bad = phi i32 [0, %alone], [%bad.next, %step]
  %left = icmp slt i64 %i, %count
  br i1 %left, label %step, label %end
step:
  %i.first = mul i64 %i, 2
  %i.pair = getelementptr ptr, ptr %table, i64 %i.first
  %i.function = load ptr, ptr %i.pair
  %i.second = getelementptr ptr, ptr %i.pair, i64 1
  %i.params = load ptr, ptr %i.second
  %i.bad = call i32 %i.function(ptr %slots, ptr %i.params)
  %bad.next = or i32 %bad, %i.bad
  %i.next = add i64 %i, 1
  br label %head
end:
  ret i32 %bad
}}
"""

SPLIT = Source(_SPLIT, Effort.NONE)
"""The step: its words are the addresses of the pool and of the table, and how many parts there are."""


class Pool:
    """The threads of this process; `wanted` is how many there are to be, with the one that calls."""

    def __init__(self) -> None:
        self._words = (ctypes.c_int64 * _WORDS)()
        self.address = ctypes.addressof(self._words)
        self.wanted = _default()
        self._started = 1
        self._lock = threading.Lock()
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _reset(self) -> None:
        ctypes.memset(self._words, 0, ctypes.sizeof(self._words))
        self._words[0] = self._started = 1
        if _semaphores() is not None:
            for name in ("begin", "end"):
                _semaphores().sem_init(ctypes.c_void_p(self.address + 8 * _PLACES[name]), 0, 0)

    def _forked(self) -> None:
        """A child has no threads but the one that forked; others start when there is work again."""
        self._lock = threading.Lock()
        self._reset()

    def start(self) -> None:
        """Have as many threads as are wanted."""
        if _semaphores() is None:
            return
        with self._lock:
            while self._started < self.wanted:
                thread = threading.Thread(target=_worker(), args=(self.address,), daemon=True, name="hopgrad")
                thread.start()
                self._started += 1
            self._words[0] = self.wanted


def _default() -> int:
    for name in ("HOPGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    found: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return found


@functools.cache
def _semaphores() -> Any:
    """The C library, if it has semaphores in memory of the user's own; macOS has not."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


@functools.cache
def _worker() -> Any:
    (loaded,) = load([Source(_WORKER, Effort.NONE)])
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loaded.address)
    run.loaded = loaded  # type: ignore[attr-defined]  # the code lives as long as the process
    return run


@functools.cache
def pool() -> Pool:
    """The pool of this process."""
    return Pool()


def set_num_threads(count: int) -> None:
    """Say how many threads large loops of native code may use, the calling one included.

    The default is HOPGRAD_NUM_THREADS or OMP_NUM_THREADS from the environment, else the number of processors. Results
    do not depend on it, to the last bit. Products of matrices and linear algebra use the threads of the BLAS library,
    which has settings of its own (OPENBLAS_NUM_THREADS).

    Raises:
        ValueError: it is not a positive integer.

    >>> import hopgrad as hg
    >>> before = hg.get_num_threads()
    >>> hg.set_num_threads(1)
    >>> hg.get_num_threads()
    1
    >>> hg.set_num_threads(before)
    """
    if type(count) is not int or count < 1:
        raise ValueError(f"the number of threads is a positive integer, not {count!r}")
    pool().wanted = count
    pool().start()


def get_num_threads() -> int:
    """How many threads large loops of native code may use."""
    return pool().wanted
