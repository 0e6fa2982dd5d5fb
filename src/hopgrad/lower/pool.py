"""Threads that run parts of large steps, and the step that gives them work.

The pool is some words of memory: how many threads there are, whether somebody uses them, and the work at hand, which is
a table of pairs (function, parameters) like a program, in any order. Whoever has work says that a new round begins,
takes parts like everybody else, and waits until all parts are done; a thread that is late finds none left and delays
nobody. While the pool is in use, others do their work alone.

The next part is counted together with the round, so that a late thread cannot take a part of a later round for one of
its own: what it reads of the work counts only if the round is still the same after that (a sequence lock). Each thread
has a share of the parts and takes those first: the same places of the arrays, kernel after kernel. Threads
look out for a new round for some microseconds before they fall asleep, since kernels follow each other.

The threads are Python's own, which wait in native code, without the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import threading
from typing import Any

from hopgrad.lower.machine import Effort, Source, c_library, load

MOST = 32
"""How many threads there are at most, and how many parts of a step."""

LEAST, PART = 8_000, 4_000
"""How much work (in nanoseconds, about) a step is at least that is cut, and a part of it."""

# Words of the pool: its threads with the one that has the work, whether it is in use, slots, table, threads among which
# the work is divided, whether a part failed; in lines of their own the round, and how many parts are done. Each thread
# has a line with a word that says whether it sleeps, one with the semaphore that wakes it, and one with the next of its
# own parts and the one behind the last.
_PLACES = {
    "threads": 0, "busy": 1, "slots": 2, "table": 3, "shares": 4, "failed": 5, "round": 16, "done": 24,
}  # fmt: skip
_FIRST, _EACH, _SEMAPHORE, _NEXT = 32, 24, 8, 16
_WORDS = _FIRST + _EACH * MOST

_LOOKS = 1500
"""How often a thread looks for work before it sleeps: some 40 microseconds."""

_AT = "".join(f"  %{name}.at = getelementptr i64, ptr %pool, i64 {place}\n" for name, place in _PLACES.items())

_PAUSES = {
    **dict.fromkeys(("x86_64", "AMD64"), "llvm.x86.sse2.pause()"),
    **dict.fromkeys(("aarch64", "arm64"), "llvm.aarch64.hint(i32 1)"),
}
_PAUSE = _PAUSES.get(platform.machine(), "llvm.donothing()")
"""Tells the processor that it is waiting."""

_TAKE = f"""
  br label %shared
shared:
  br label %share
share:
  %turn = phi i64 [0, %shared], [%turn.next, %dry]
  %shares = load atomic i64, ptr %shares.at acquire, align 8
  %whose.far = add i64 %number, %turn
  %whose.near = sub i64 %whose.far, %shares
  %around = icmp sge i64 %whose.far, %shares
  %whose = select i1 %around, i64 %whose.near, i64 %whose.far
  %more.shares = icmp slt i64 %turn, %shares
  br i1 %more.shares, label %look.up, label %none
look.up:
  %whose.words = mul i64 %whose, {_EACH}
  %whose.first = add i64 %whose.words, {_FIRST + _NEXT}
  %next.at = getelementptr i64, ptr %pool, i64 %whose.first
  %end.at = getelementptr i64, ptr %next.at, i64 1
  br label %take
take:
  %ticket = atomicrmw add ptr %next.at, i64 1 seq_cst
  %ticket.round = lshr i64 %ticket, 32
  %k = and i64 %ticket, 4294967295
  %slots.now = load atomic ptr, ptr %slots.at acquire, align 8
  %table.now = load atomic ptr, ptr %table.at acquire, align 8
  %end.now = load atomic i64, ptr %end.at acquire, align 8
  %round.now = load atomic i64, ptr %round.at acquire, align 8
  %there = icmp ult i64 %k, %end.now
  %same = icmp eq i64 %ticket.round, %round.now
  %some = and i1 %there, %same
  br i1 %some, label %part, label %dry
part:
  %first = mul i64 %k, 2
  %pair = getelementptr ptr, ptr %table.now, i64 %first
  %function = load ptr, ptr %pair
  %second = getelementptr ptr, ptr %pair, i64 1
  %given = load ptr, ptr %second
  %wrong = call i32 %function(ptr %slots.now, ptr %given)
  %word = zext i32 %wrong to i64
  %before = atomicrmw or ptr %failed.at, i64 %word monotonic
  %ended = atomicrmw add ptr %done.at, i64 1 release
  br label %take
dry:
  %turn.next = add i64 %turn, 1
  br label %share
none:
"""
"""Parts of the work, as long as there are some: one's own first, so that what a thread computed for a kernel is in its
cache for the next one, and then those of others who come late."""

_DECLARED = f"""
declare void @{_PAUSE.replace("i32 1", "i32")}
declare i32 @sem_wait(ptr)
declare i32 @sem_post(ptr)
declare i32 @sched_yield()
"""

_WORKER = f"""{_DECLARED}
define void @NAME(ptr %pool, i64 %number) {{
entry:
{_AT}  %line.words = mul i64 %number, {_EACH}
  %line.first = add i64 %line.words, {_FIRST}
  %sleeps.at = getelementptr i64, ptr %pool, i64 %line.first
  %semaphore = getelementptr i64, ptr %sleeps.at, i64 {_SEMAPHORE}
  %begin = load atomic i64, ptr %round.at seq_cst, align 8
  br label %idle
idle:
  %seen = phi i64 [%begin, %entry], [%found, %none], [%seen, %woken]
  br label %look
look:
  %looks = phi i64 [0, %idle], [%looks.next, %again]
  %looked = load atomic i64, ptr %round.at acquire, align 8
  %new = icmp ne i64 %looked, %seen
  br i1 %new, label %work, label %wait
wait:
  call void @{_PAUSE}
  %looks.next = add i64 %looks, 1
  %tired = icmp sge i64 %looks.next, {_LOOKS}
  br i1 %tired, label %sleep, label %again
again:
  br label %look
sleep:
  store atomic i64 1, ptr %sleeps.at seq_cst, align 8
  %last = load atomic i64, ptr %round.at seq_cst, align 8
  %missed = icmp ne i64 %last, %seen
  br i1 %missed, label %up, label %rest
rest:
  %ignored = call i32 @sem_wait(ptr %semaphore)
  br label %woken
woken:
  store atomic i64 0, ptr %sleeps.at seq_cst, align 8
  br label %idle
up:
  store atomic i64 0, ptr %sleeps.at seq_cst, align 8
  br label %work
work:
  %found = phi i64 [%looked, %look], [%last, %up]
  %wanted = load atomic i64, ptr %threads.at acquire, align 8
  %invited = icmp slt i64 %number, %wanted
  br i1 %invited, label %start, label %none
start:
{_TAKE}
  br label %idle
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
  %number = add i64 0, 0
{_AT}  %threads = load atomic i64, ptr %threads.at monotonic, align 8
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %ask, label %single
ask:
  %got = cmpxchg ptr %busy.at, i64 0, i64 1 acq_rel monotonic
  %ours = extractvalue {{ i64, i1 }} %got, 1
  br i1 %ours, label %set, label %alone
set:
  %round.last = load atomic i64, ptr %round.at monotonic, align 8
  %round.more = add i64 %round.last, 1
  %round.this = and i64 %round.more, 2147483647
  store atomic i64 %round.this, ptr %round.at seq_cst, align 8
  store atomic ptr %slots, ptr %slots.at release, align 8
  store atomic ptr %table, ptr %table.at release, align 8
  store atomic i64 %threads, ptr %shares.at release, align 8
  store atomic i64 0, ptr %failed.at release, align 8
  store atomic i64 0, ptr %done.at release, align 8
  %round.high = shl i64 %round.this, 32
  br label %deal
deal:
  %dealt = phi i64 [0, %set], [%dealt.next, %deal]
  %dealt.next = add i64 %dealt, 1
  %from.many = mul i64 %dealt, %count
  %from = udiv i64 %from.many, %threads
  %to.many = mul i64 %dealt.next, %count
  %to = udiv i64 %to.many, %threads
  %deal.words = mul i64 %dealt, {_EACH}
  %deal.first = add i64 %deal.words, {_FIRST + _NEXT}
  %deal.at = getelementptr i64, ptr %pool, i64 %deal.first
  %deal.end.at = getelementptr i64, ptr %deal.at, i64 1
  store atomic i64 %to, ptr %deal.end.at release, align 8
  %ticket.first = or i64 %round.high, %from
  store atomic i64 %ticket.first, ptr %deal.at seq_cst, align 8
  %deal.more = icmp slt i64 %dealt.next, %threads
  br i1 %deal.more, label %deal, label %call
call:
  %called = phi i64 [1, %deal], [%more, %next.call]
  %enough = icmp sge i64 %called, %threads
  br i1 %enough, label %work, label %see
see:
  %line.words = mul i64 %called, {_EACH}
  %line.first = add i64 %line.words, {_FIRST}
  %sleeps.at = getelementptr i64, ptr %pool, i64 %line.first
  %sleeps = load atomic i64, ptr %sleeps.at seq_cst, align 8
  %asleep = icmp ne i64 %sleeps, 0
  br i1 %asleep, label %wake, label %next.call
wake:
  %semaphore = getelementptr i64, ptr %sleeps.at, i64 {_SEMAPHORE}
  %posted = call i32 @sem_post(ptr %semaphore)
  br label %next.call
next.call:
  %more = add i64 %called, 1
  br label %call
work:
{_TAKE}
  br label %join
join:
  %looks = phi i64 [0, %none], [%looks.next, %rest], [%looks.next, %idle]
  %ready = load atomic i64, ptr %done.at acquire, align 8
  %all = icmp sge i64 %ready, %count
  br i1 %all, label %finish, label %wait
wait:
  %looks.next = add i64 %looks, 1
  %tired = icmp sge i64 %looks.next, {_LOOKS}
  br i1 %tired, label %idle, label %rest
rest:
  call void @{_PAUSE}
  br label %join
idle:
  %yielded = call i32 @sched_yield()
  br label %join
finish:
  %failed = load atomic i64, ptr %failed.at monotonic, align 8
  store atomic i64 0, ptr %busy.at release, align 8
  %answer = trunc i64 %failed to i32
  ret i32 %answer
single:
  %param.3 = getelementptr i64, ptr %params, i64 3
  %single.table = load ptr, ptr %param.3
  %param.4 = getelementptr i64, ptr %params, i64 4
  %single.count = load i64, ptr %param.4
  br label %alone
alone:
  %alone.table = phi ptr [%table, %ask], [%single.table, %single]
  %alone.count = phi i64 [%count, %ask], [%single.count, %single]
  br label %head
head:
  %i = phi i64 [0, %alone], [%i.next, %step]
  %bad = phi i32 [0, %alone], [%bad.next, %step]
  %left = icmp slt i64 %i, %alone.count
  br i1 %left, label %step, label %end
step:
  %i.first = mul i64 %i, 2
  %i.pair = getelementptr ptr, ptr %alone.table, i64 %i.first
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
"""The step. Its words: the address of the pool; the table of the parts, and how many there are; the table that is run
if there is but one thread, and how many there are in it. Who finds the pool in use does the parts, too: with several
threads, results do not depend on what else is going on."""


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
        if c_library() is not None:
            for number in range(MOST):
                place = _FIRST + _EACH * number + _SEMAPHORE
                c_library().sem_init(ctypes.c_void_p(self.address + 8 * place), 0, 0)

    def _forked(self) -> None:
        """A child has no threads but the one that forked; others start when there is work again."""
        self._lock = threading.Lock()
        self._reset()

    def start(self) -> None:
        """Have as many threads as are wanted."""
        if c_library() is None:
            return
        with self._lock:
            count = min(self.wanted, MOST)
            while self._started < count:
                given = (self.address, self._started)
                threading.Thread(target=_worker(), args=given, daemon=True, name="hopgrad").start()
                self._started += 1
            self._words[0] = count


def _default() -> int:
    for name in ("HOPGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    return processors()


def processors() -> int:
    """How many processors this process may use."""
    found: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return found


@functools.cache
def _worker() -> Any:
    (loaded,) = load([Source(_WORKER, Effort.NONE)])
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(loaded.address)
    run.loaded = loaded  # type: ignore[attr-defined]  # the code lives as long as the process
    return run


@functools.cache
def pool() -> Pool:
    """The pool of this process."""
    return Pool()


def set_num_threads(count: int) -> None:
    """Say how many threads large loops and products of matrices of native code may use, the calling one included.

    The default is HOPGRAD_NUM_THREADS or OMP_NUM_THREADS from the environment, else the number of processors. Results
    are the same from run to run; those of loops do not depend on the number of threads, to the last bit, those of
    products may in the last digits. Factorizations of matrices use the threads of the BLAS library, which has settings
    of its own (OPENBLAS_NUM_THREADS), and so do products where SciPy comes with another library than OpenBLAS.

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
    """How many threads large loops and products of native code may use."""
    return pool().wanted
