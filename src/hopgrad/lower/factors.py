"""Factorizations with several results as native steps that call LAPACK: eigenvectors, singular vectors, Q and R.

As in the hops, all is computed in double precision, and each matrix is copied to scratch memory, stored by columns. A
step says with its answer that LAPACK found no result.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from math import prod as product
from typing import Any

from hopgrad.aval import Several, aval
from hopgrad.lower.blas import KINDS, LIMIT, Code, Kind, routine
from hopgrad.lower.fuse import Fuser
from hopgrad.lower.lapack import Matrices
from hopgrad.lower.lines import axes_of, folded, head, head_size, lines
from hopgrad.lower.machine import Source, Step
from hopgrad.lower.views import View

_CALLS = {
    "dsyevd": "job uplo n matrix m values work lwork iwork liwork info",
    "dgesdd": "job m n matrix m values left m right k work lwork iwork info",
    "dgeqrf": "m n matrix m values work lwork info",
    "dorgqr": "m k k matrix m values work lwork info",
}
"""The arguments of routines: words of the step and places in scratch memory."""

_ROUTINES = {"eigh": ["dsyevd"], "svd": ["dgesdd"], "singular_values": ["dgesdd"], "qr": ["dgeqrf", "dorgqr"]}
_JOBS = {"eigh": "V", "svd": "S", "singular_values": "N", "qr": "N"}

_PLACES = ("matrix", "values", "left", "right", "work", "iwork", "info")
"""Where these are in scratch memory."""

_WORDS = ("first", "second", "m", "n", "k", "job", "uplo", "lwork", "liwork", *_PLACES)
"""The step's words after those of its views; the first two are routines. Then come rows' and columns' strides."""


def place(fuser: Fuser, node: int) -> bool:
    """Have a factorization computed natively, if that is possible."""
    builder = fuser.builder
    hop, params = builder.hop(node).name, dict(builder.params(node))
    several = builder.avals[node]
    assert isinstance(several, Several)
    if hop not in _ROUTINES or len(several.avals) > 3:
        return False
    (a,) = builder.args(node)
    kind = KINDS.get(builder.avals[a].dtype)
    if kind is None or not builder.avals[a].size or not fuser.is_readable(a):
        return False
    view = fuser.store(a)
    results = {number: fuser.home(item) for number, item in sorted(fuser.items_of(node).items())}
    step = factorization(hop, kind, params, view, results)
    if step is None:
        return False
    scratch = fuser.temporary(aval((step.work,), "uint8"))
    step.use(scratch)
    writes = [*[result.buffer for result in results.values()], scratch]
    fuser.call(node, step, [view], writes, results, fuser.avail[a])
    return True


def factorization(
    hop: str, kind: Kind | None, params: Mapping[str, Any], a: View, results: Mapping[int, View]
) -> Step | None:
    """The step for those results of a factorization that are wanted, by number."""
    if kind is None or 0 in a.shape:
        return None
    m, n = a.shape[-2:]
    k = min(m, n)
    lower = bool(params.get("lower"))
    values: dict[str, int] = {"m": m, "n": n, "k": k, "job": ord(_JOBS[hop])}
    values["uplo"] = ord("L" if lower else "U")
    names = _ROUTINES[hop]
    values["first"], values["second"] = (routine("cython_lapack", name) for name in (names[0], names[-1]))
    asked = [_workspace(name, values) for name in names]
    values["lwork"], values["liwork"] = max(x for x, _ in asked), max(8 * k, *(x for _, x in asked))
    if max(m, n, values["lwork"], values["liwork"]) >= LIMIT:
        return None
    vectors = hop == "svd"
    sizes = {
        "matrix": m * n, "values": k, "left": m * k if vectors else 0, "right": k * n if vectors else 0,
        "work": values["lwork"], "iwork": values["liwork"], "info": 1,
    }  # fmt: skip
    work = 0
    for name in _PLACES:
        values[name] = work
        work += 8 * max(sizes[name], 1)
    views = [a, *results.values()]
    batch = folded(axes_of(views, range(len(a.shape) - 2)))
    words = head(views, [kind.size] * len(views), batch) + [values[name] for name in _WORDS]
    for view in views:
        words += [stride * kind.size for stride in (*view.strides[len(a.shape) - 2 :], 0)[:2]]
    times = product(axis[0] for axis in batch)
    note = f"{' '.join(names)} {''.join(f'{axis[0]}·' for axis in batch)}{m}x{n}"
    return Step(_source(hop, kind, tuple(results), len(batch)), words, times * _flops(hop, m, n), work, note)


def _workspace(name: str, values: Mapping[str, int]) -> tuple[int, int]:
    """How much work space a routine asks for: of numbers, and of integers."""
    given = {"lwork": -1, "liwork": -1, **values}
    words: dict[str, Any] = {word: ctypes.c_int64(given.get(word, 0)) for word in _CALLS[name].split()}
    numbers = (ctypes.c_double * 4)()
    words |= {place: numbers for place in ("matrix", "values", "left", "right", "work") if place in words}
    arguments = [ctypes.addressof(words[word]) for word in _CALLS[name].split()]
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arguments))(routine("cython_lapack", name))
    function(*arguments)
    return int(numbers[0]), words["iwork"].value if "iwork" in words else 0


@functools.cache
def _source(hop: str, kind: Kind, wanted: tuple[int, ...], rank: int) -> Source:
    """The step of a hop, for those of its results that are wanted."""
    code = Code()
    count = 1 + len(wanted)
    start = head_size(count, rank)
    index = {name: start + k for k, name in enumerate(_WORDS)}
    start += len(_WORDS)
    strides = [(code.word(start + 2 * k), code.word(start + 2 * k + 1)) for k in range(count)]
    scratch = code.slot(start + 2 * count)
    places = {name: code.at(scratch, code.word(index[name])) for name in _PLACES}
    m, n, k = (code.word(index[name]) for name in ("m", "n", "k"))
    matrices = Matrices(code, kind)

    def call(name: str, target: str) -> None:
        words = [places.get(word) or code.address(index[word]) for word in _CALLS[name].split()]
        code.line(f"call void {code.word(index[target], 'ptr')}({', '.join(f'ptr {word}' for word in words)})")
        info = code.new(f"load i32, ptr {places['info']}")
        code.leave_if(code.new(f"icmp ne i32 {info}, 0"))

    with lines(code, count, rank) as (a, *outs):
        to = dict(zip(wanted, zip(outs, strides[1:], strict=True), strict=True))
        matrices.read(a, strides[0], places["matrix"], m, n)
        call(_ROUTINES[hop][0], "first")
        if hop == "eigh":
            parts = {0: ("values", k, "1"), 1: ("matrix", n, n)}
        elif hop == "svd":
            parts = {0: ("left", m, k), 1: ("values", k, "1"), 2: ("right", k, n)}
        elif hop == "singular_values":
            parts = {0: ("values", k, "1")}
        else:
            parts = {0: ("matrix", m, k)}
            if 1 in to:
                matrices.write(places["matrix"], *to[1], k, n, side="-1", distance=m)
            if 0 in to:
                call("dorgqr", "second")
        for number, (name, rows, columns) in parts.items():
            if number in to:
                matrices.write(places[name], *to[number], rows, columns)
    return code.source()


def _flops(hop: str, m: int, n: int) -> int:
    """Operations, as LAPACK counts them to the highest order."""
    low, high = sorted((m, n))
    return {
        "eigh": 9 * n**3,
        "svd": 6 * high * low**2 + 20 * low**3,
        "singular_values": 4 * high * low**2,
        "qr": 4 * high * low**2,
    }[hop]
