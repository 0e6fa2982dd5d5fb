"""Products and linear algebra as native steps, against NumPy: layouts, batches, sizes; nothing else is touched."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopgrad.graph.builder import catalogue
from hopgrad.hops import linalg as _hops  # noqa: F401 - fills the catalogue
from hopgrad.lower import blas, lapack
from hopgrad.lower.machine import Step, load
from hopgrad.lower.views import View

DTYPES = [np.float64, np.float32]
FLOATS = pytest.mark.parametrize("dtype", DTYPES)
GUARD = 7.25e30


def memory_of(view: np.ndarray) -> np.ndarray:
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


def as_view(slot: int, x: np.ndarray) -> View:
    start = x.__array_interface__["data"][0] - memory_of(x).__array_interface__["data"][0]
    return View(slot, x.shape, tuple(s // x.itemsize for s in x.strides), start // x.itemsize)


def laid_out(
    values: Any, order: Sequence[int] | None = None, steps: Sequence[int] | None = None, pad: int = 1
) -> np.ndarray:
    """The values as a view of larger memory: axes in any order, with steps, among numbers that must not matter."""
    values = np.asarray(values)
    order = range(values.ndim) if order is None else order
    steps = [1] * values.ndim if steps is None else steps
    lengths = [values.shape[k] * abs(steps[k]) + 2 * pad for k in order]
    memory = np.full((3, *lengths), GUARD if values.dtype.kind == "f" else 77, values.dtype)
    cut = tuple(slice(pad, n - pad, abs(steps[k])) for k, n in zip(order, lengths, strict=True))
    view = memory[1, ..., *cut].transpose(np.argsort(order))
    view = view[..., *(slice(None, None, -1 if s < 0 else 1) for s in steps)]
    view[...] = values
    return view


def run(step: Step, arrays: Sequence[np.ndarray]) -> int:
    """Run a step over arrays in slots 0, 1, …; and check that it writes to no memory but the last one's elements."""
    memories = [memory_of(x) for x in arrays]
    before = [memory.copy() for memory in memories]
    work = np.full(step.work + 128, 0xA5, np.uint8)
    addresses = [memory.__array_interface__["data"][0] for memory in memories]
    slots = (ctypes.c_void_p * (len(arrays) + 1))(*addresses, work[64:].ctypes.data)
    words = step.params + ([len(arrays)] if step.work else [])
    params = (ctypes.c_uint64 * len(words))(*[word % 2**64 for word in words])
    kept = list(params)
    (function,) = load([step.source])
    answer: int = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(function.address)(slots, params)
    assert list(params) == kept
    assert (work[:64] == 0xA5).all()
    assert (work[64 + step.work :] == 0xA5).all()
    out, place = arrays[-1], as_view(0, arrays[-1])
    np.ndarray(out.shape, out.dtype, before[-1], place.offset * out.itemsize, out.strides)[...] = out
    for memory, old in zip(memories, before, strict=True):
        np.testing.assert_array_equal(memory, old)
    return answer


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def close(found: np.ndarray, want: np.ndarray, terms: int) -> None:
    eps = np.finfo(found.dtype).eps
    np.testing.assert_allclose(found, want, rtol=0, atol=8 * eps * max(terms, 1) * max(1.0, abs(want).max(initial=0)))


def check_product(
    a: np.ndarray, b: np.ndarray, out: np.ndarray, alpha: float = 1.0, beta: float = 0.0, native: bool = True
) -> Step | None:
    """The step, run, gives what NumPy gives."""
    step = blas.matmul(a.dtype, as_view(0, a), as_view(1, b), as_view(2, out), alpha=alpha, beta=beta)
    if step is None:
        assert not native
        return None
    want = alpha * np.matmul(a.astype(np.float64), b.astype(np.float64))
    if beta:
        want = want + beta * out
    else:
        out[...] = np.nan  # it must not be read
    assert run(step, [a, b, out]) == 0
    close(out, want, a.shape[-1])
    assert step.flops == 2 * np.prod(want.shape, dtype=int) * a.shape[-1]
    return step


SHAPES = [
    ((3,), (3,)), ((40,), (40,)), ((0,), (0,)), ((1,), (1,)),
    ((2, 3), (3,)), ((40, 50), (50,)), ((1, 50), (50,)), ((50, 1), (1,)), ((0, 3), (3,)), ((3, 0), (0,)),
    ((3,), (3, 2)), ((50,), (50, 40)), ((1,), (1, 50)), ((0,), (0, 50)),
    ((2, 3), (3, 4)), ((16, 16), (16, 16)), ((17, 5), (5, 9)), ((70, 90), (90, 80)), ((100, 1), (1, 100)),
    ((1, 90), (90, 80)), ((90, 80), (80, 1)), ((0, 3), (3, 2)), ((3, 0), (0, 2)), ((40, 0), (0, 50)), ((3, 2), (2, 0)),
    ((5, 2, 3), (3, 4)), ((5, 70, 90), (90, 80)), ((2, 3), (5, 3, 4)), ((70, 90), (2, 90, 80)),
    ((5, 2, 3), (5, 3, 4)), ((2, 70, 90), (2, 90, 80)), ((2, 1, 3, 4), (3, 4, 2)), ((1, 2, 3), (4, 3, 2)),
    ((5, 2, 3), (3,)), ((5, 40, 50), (50,)), ((3,), (5, 3, 2)), ((0, 2, 3), (3, 4)), ((5, 1, 60), (5, 60, 1)),
]  # fmt: skip


@FLOATS
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_all_layouts_of_matrices(dtype: Any, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = numbers(left, dtype), numbers(right, dtype, 1)
    shape = np.matmul(a, b).shape
    layouts = [(False, True) if len(s) > 1 else (False,) for s in (left, right)]
    # The last two axes of a result are a matrix only if neither operand is a vector.
    layouts.append((False, True) if len(left) > 1 and len(right) > 1 else (False,))

    def placed(x: np.ndarray, turned: bool, pad: int) -> np.ndarray:
        last = (x.ndim - 1, x.ndim - 2) if turned else (x.ndim - 2, x.ndim - 1)
        return laid_out(x, (*range(x.ndim - 2), *last) if x.ndim > 1 else None, pad=pad)

    for *turned, pad, beta in itertools.product(*layouts, (0, 1), (0.0, 1.0)):
        x, y, z = (placed(v, t, pad) for v, t in zip((a, b, numbers(shape, dtype, 2)), turned, strict=True))
        check_product(x, y, z, beta=beta)


@FLOATS
def test_scales(dtype: Any) -> None:
    for left, right in [((9, 7), (7, 11)), ((70, 90), (90, 80)), ((40, 50), (50,)), ((40,), (40,))]:
        a, b = numbers(left, dtype), numbers(right, dtype, 1)
        for alpha, beta in itertools.product((1.0, -0.5, 0.0), (0.0, 1.0, 2.5)):
            check_product(a, b, laid_out(numbers(np.matmul(a, b).shape, dtype, 2)), alpha, beta)


@FLOATS
@pytest.mark.parametrize("size", [*range(1, 36), 47, 63, 64, 65, 100])
def test_all_sizes_of_blocks(dtype: Any, size: int) -> None:
    for m, k, n in ((size, 5, 6), (6, 5, size), (5, size, 6), (size, size, size)):
        check_product(
            laid_out(numbers((m, k), dtype)), laid_out(numbers((k, n), dtype)), laid_out(numbers((m, n), dtype))
        )


@FLOATS
@pytest.mark.parametrize("size", [*range(1, 36), 47, 64])
def test_all_sizes_of_a_matrix_that_lies_column_by_column(dtype: Any, size: int) -> None:
    for m, k, n in ((5, size, 6), (5, 6, size), (5, size, size), (5, 17, size)):
        b = laid_out(numbers((k, n), dtype), (1, 0))
        step = check_product(laid_out(numbers((m, k), dtype)), b, laid_out(numbers((m, n), dtype)))
        assert step is not None


@FLOATS
@pytest.mark.parametrize(("left", "right", "note"), [
    ((64, 100), (100, 192), "blocks 64x100x192"), ((33, 300), (300, 97), "blocks 33x300x97"),
    ((512, 16), (16, 128), "blocks 512x16x128"), ((600, 600), (600, 45), "blocks 600x600x45"),
    ((3, 40, 90), (3, 90, 160), "blocks 3·40x90x160"), ((31, 200), (200, 640), "31x200x640"),
    ((257, 513), (513, 129), "blocks 257x513x129"),
])  # fmt: skip
def test_products_in_blocks_of_a_kernel_of_our_own(
    dtype: Any, left: Any, right: Any, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "vector_bytes", lambda: 64)

    def turned(x: np.ndarray) -> np.ndarray:
        return laid_out(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))

    a, b = numbers(left, dtype), numbers(right, dtype, 1)
    for beta, x, y in itertools.product((0.0, 0.5), (laid_out(a), turned(a)), (laid_out(b), turned(b))):
        step = check_product(x, y, laid_out(np.ones((*left[:-1], right[-1]), dtype)), 1.5, beta)
        assert step is not None
        assert step.note.endswith(note) or y.strides[-1] == y.itemsize


@FLOATS
@pytest.mark.parametrize(("left", "right"), [
    ((256, 64), (64, 256)), ((4, 2, 64, 80), (4, 2, 80, 64)), ((64, 500), (500, 96)), ((48, 300), (300, 320)),
])  # fmt: skip
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_parts_of_products(dtype: Any, left: Any, right: Any, order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order they give what the whole gives, each with scratch memory of its own."""
    monkeypatch.setattr(blas, "vector_bytes", lambda: 64)
    monkeypatch.setattr(blas, "processors", lambda: 4)
    last = [len(right) - 2 + k for k in order]
    a, b = numbers(left, dtype), laid_out(numbers(right, dtype, 1), (*range(len(right) - 2), *last))
    out = np.zeros((*left[:-1], right[-1]), dtype)
    whole = check_product(a, b, out)
    assert whole is not None
    assert whole.parts
    wanted = np.zeros_like(out)
    run(whole, [a, b, wanted])
    found = np.full_like(out, np.nan)
    for params in reversed(whole.parts):
        run(Step(whole.source, params, 0, whole.work), [a, b, found])
    close(found, wanted, left[-1])


@st.composite
def arrays(draw: Any, shape: tuple[int, ...], dtype: Any, seed: int, strides: bool = True) -> np.ndarray:
    order = draw(st.permutations(range(len(shape))))
    steps = draw(st.tuples(*[st.sampled_from([1, 1, 1, 2, -1, -2] if strides else [1]) for _ in shape]))
    return laid_out(numbers(shape, dtype, seed), order, steps, draw(st.integers(0, 2)))


@st.composite
def products(draw: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    dtype = draw(st.sampled_from(DTYPES))
    length = st.sampled_from([0, 1, 2, 3, 5, 8, 17, 33, 70])
    m, n, k = (draw(length) for _ in range(3))
    batch = draw(st.lists(st.sampled_from([1, 2, 3]), max_size=2))
    left, right = ([draw(st.sampled_from([1, size])) for size in batch[draw(st.integers(0, len(batch))) :]]
                   for _ in range(2))  # fmt: skip
    a = draw(arrays((*left, *((m,) if left or draw(st.booleans()) else ()), k), dtype, 0))
    vector = not right and draw(st.booleans())
    b = draw(arrays((k,) if vector else (*right, k, n), dtype, 1))
    out = draw(arrays(np.matmul(a, b).shape, dtype, 2))
    return a, b, out, draw(st.sampled_from([0.0, 1.0]))


@settings(max_examples=400, deadline=None)
@given(products())
def test_any_strides(case: tuple[np.ndarray, np.ndarray, np.ndarray, float]) -> None:
    a, b, out, beta = case
    check_product(a, b, out, beta=beta, native=False)


@FLOATS
def test_operands_without_memory_of_their_own(dtype: Any) -> None:
    row = numbers((70,), dtype)
    square = numbers((70, 70), dtype, 1)
    repeated = np.broadcast_to(row, (70, 70))
    for a, b in [(repeated, square), (square, repeated), (repeated, repeated), (repeated.T, square), (square, square)]:
        check_product(a, b, laid_out(np.zeros((70, 70), dtype)), native=False)
    windows = np.lib.stride_tricks.sliding_window_view(row, 8)
    check_product(windows, row[:8], laid_out(np.zeros(63, dtype)), native=False)
    check_product(windows, windows.T, laid_out(np.zeros((63, 63), dtype)), native=False)


def test_what_has_no_native_form() -> None:
    a, b, out = np.ones((70, 70)), np.ones((70, 70)), np.zeros((70, 70))
    views = [as_view(k, x) for k, x in enumerate((a, b, out))]
    assert blas.matmul(np.dtype(complex), *views) is None
    assert blas.matmul(np.dtype(int), *views) is None
    far = View(0, (70, 70), (140, 2))
    assert blas.matmul(np.dtype(float), far, *views[1:]) is None
    assert blas.matmul(np.dtype(float), views[0], views[1], View(2, (70, 70), (0, 1))) is None
    huge = 2**31
    vectors = View(0, (huge,), (1,)), View(1, (huge,), (1,)), View(2, (), ())
    assert blas.matmul(np.dtype(float), *vectors) is None


@FLOATS
def test_batches_fold(dtype: Any) -> None:
    a, b = numbers((3, 4, 50, 60), dtype), numbers((60, 70), dtype, 1)
    step = check_product(a, b, np.zeros((3, 4, 50, 70), dtype))
    assert step is not None
    assert step.note.endswith(" 600x60x70")
    step = check_product(laid_out(a), b, np.zeros((3, 4, 50, 70), dtype))
    assert step is not None
    assert "·" in step.note


@FLOATS
@pytest.mark.parametrize(("left", "right", "block"), [
    ((32, 128), (128, 512), "32x128x128"), ((32, 512), (512, 128), "32x512x32"),
    ((3, 32, 300), (3, 300, 640), "32x300x80"),
    ((256, 256), (256, 32), "64x256x32"), ((288, 64), (64, 256), "48x64x256"), ((64, 288), (288, 8192), "64x288x8192"),
    ((32, 300), (300, 601), "32x300x601"), ((65, 300), (300, 640), "65x300x640"), ((32, 600), (600, 64), "2·32x300x64"),
    ((9, 43264), (43264, 16), "8·9x5408x16"), ((32, 2048), (2048, 256), "32·32x64x256"),
    ((10, 4096), (4096, 32), "2·10x2048x32"),
    ((7, 300), (300, 640), "7x300x320"), ((47, 61), (61, 800), "47x61x160"),
])  # fmt: skip
def test_products_with_a_short_axis_are_computed_in_blocks(
    dtype: Any, left: Any, right: Any, block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "vector_bytes", lambda: 64)
    a, b = numbers(left, dtype), numbers(right, dtype, 1)
    turned = laid_out(a, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))
    for x in (a, turned):
        for beta, out in itertools.product((0.0, 0.5), (np.zeros((*left[:-1], right[-1]), dtype),
                                                      laid_out(np.ones((*left[:-1], right[-1]), dtype)))):  # fmt: skip
            step = check_product(x, b, out, beta=beta)
            assert step is not None
            if x is a and out.flags.c_contiguous:
                assert step.note.endswith(block) or x.ndim > 2
    turned = laid_out(b, (*range(b.ndim - 2), b.ndim - 1, b.ndim - 2))
    check_product(a, turned, np.zeros((*left[:-1], right[-1]), dtype))


def test_structure_alone_makes_code() -> None:
    first, second = (
        blas.matmul(np.dtype(float), View(3, (n, 90), (100, 1)), View(1, (90, 80), (1, 95)), View(0, (n, 80), (80, 1)))
        for n in (30, 31)
    )  # fmt: skip
    assert first is not None
    assert second is not None
    assert first.source is second.source
    assert first.note == "dgemm T N 30x90x80"
    small = blas.matmul(np.dtype(float), View(0, (9, 8), (8, 1)), View(1, (8, 7), (7, 1)), View(2, (9, 7), (7, 1)))
    assert small is not None
    assert small.note == "d kernel 9x8x7"


CONTRACTIONS = [
    ("ij,jk->ik", (5, 6), (6, 7)), ("ij,jk->ki", (5, 6), (6, 7)), ("ij,jk->ki", (65, 66), (66, 67)),
    ("ji,jk->ik", (6, 5), (6, 7)), ("bij,bjk->bik", (3, 5, 6), (3, 6, 7)), ("bij,bkj->bik", (3, 65, 66), (3, 67, 66)),
    ("bti,btj->ij", (3, 4, 5), (3, 4, 6)), ("bti,btj->ij", (3, 40, 65), (3, 40, 66)), ("bi,bi->b", (3, 50), (3, 50)),
    ("i,i->", (50,), (50,)), ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ("ij,j->i", (65, 66), (66,)), ("i,ij->j", (65,), (65, 66)), ("abc,cd->abd", (3, 4, 5), (5, 6)),
    ("abc,bd->acd", (3, 4, 5), (4, 6)), ("abcd,cd->ab", (3, 4, 5, 6), (5, 6)), ("iij,jk->ik", (4, 4, 5), (5, 6)),
    ("bij,bj->bi", (3, 50, 60), (3, 60)), ("ij,ij->", (5, 6), (5, 6)), ("ij,jk->ik", (5, 1), (6, 7)),
    ("ij,jk->ik", (0, 6), (6, 7)),
    ("ij,jk->ik", (5, 0), (0, 7)), ("abi,cbi->bac", (3, 4, 5), (6, 4, 5)),
]  # fmt: skip


@FLOATS
@pytest.mark.parametrize(("subscripts", "left", "right"), CONTRACTIONS)
def test_contractions(dtype: Any, subscripts: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = numbers(left, dtype), numbers(right, dtype, 1)
    want = np.einsum(subscripts, a.astype(float), b.astype(float))
    out = laid_out(np.full(want.shape, np.nan, dtype))
    step = blas.einsum(a.dtype, subscripts, [as_view(0, a), as_view(1, b)], as_view(2, out))
    assert step is not None
    assert run(step, [a, b, out]) == 0
    close(out, want, a.size)


def test_contractions_that_are_no_products_of_matrices() -> None:
    def made(subscripts: str, *shapes: tuple[int, ...]) -> Step | None:
        views = [as_view(k, np.ones(shape)) for k, shape in enumerate(shapes)]
        return blas.einsum(np.dtype(float), subscripts, views[:-1], views[-1])

    assert made("i,j->ij", (3,), (4,), (3, 4)) is None
    assert made("ij,ij->ij", (3, 4), (3, 4), (3, 4)) is None
    assert made("ij,k->k", (3, 4), (5,), (5,)) is None
    assert made("ij,jk,kl->il", (3, 4), (4, 5), (5, 6), (3, 6)) is None
    assert made("ii->i", (3, 3), (3,)) is None
    assert made("ij,ji->", (3, 4), (4, 3), ()) is None


def test_loading_routines_leaves_scipy_as_it_is() -> None:
    program = """
import sys
from hopgrad.graph.builder import catalogue
from hopgrad.hops import linalg as _hops  # noqa: F401 - fills the catalogue
from hopgrad.lower import blas, lapack
assert blas.routine("cython_blas", "dgemm")
assert "scipy.linalg" not in sys.modules
import scipy.linalg, scipy.linalg.cython_blas, scipy.linalg.cython_lapack
import numpy as np
assert np.allclose(scipy.linalg.blas.dgemm(1.0, np.eye(2), np.ones((2, 2))), 1)
assert scipy.linalg.cython_blas.__pyx_capi__
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# -- LAPACK ----------------------------------------------------------------------------------------------------------


def definite(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    x = numbers(shape, np.float64, seed)
    return (x @ x.swapaxes(-1, -2) / max(shape[-1], 1) + np.eye(shape[-1])).astype(dtype)


HOPS: list[tuple[str, dict[str, Any]]] = [
    ("inv", {"strict": True}), ("inv", {"strict": False}), ("det", {}), ("sign_det", {}), ("log_det", {}),
    ("cholesky", {"upper": False}), ("cholesky", {"upper": True}),
    ("eigvalsh", {"lower": True}), ("eigvalsh", {"lower": False}), ("solve", {}),
    *(("triangular_solve", {"lower": lower, "unit": unit, "strict": strict})
      for lower in (False, True) for unit in (False, True) for strict in (False, True)),
]  # fmt: skip
SQUARES = [(0, 0), (1, 1), (2, 2), (3, 3), (40, 40), (4, 3, 3), (2, 3, 5, 5), (0, 3, 3), (3, 0, 0)]


def lowered(hop: str, params: dict[str, Any], operands: Sequence[np.ndarray], out: np.ndarray) -> Step | None:
    views = [as_view(k, x) for k, x in enumerate(operands)]
    return lapack.lower(hop, params, views, as_view(len(views), out), [x.dtype for x in operands])


def check_hop(
    hop: str, params: dict[str, Any], operands: Sequence[np.ndarray], order: Sequence[int] | None = None
) -> Step:
    """The step gives what the hop gives."""
    function: Any = catalogue[hop].function
    want = np.asarray(function(*operands, **params))
    out = laid_out(np.zeros(want.shape, operands[0].dtype), order if order and len(order) == want.ndim else None)
    step = lowered(hop, params, operands, out)
    assert step is not None
    assert run(step, [*operands, out]) == 0
    eps = np.finfo(out.dtype).eps
    np.testing.assert_allclose(
        out, want, rtol=100 * eps, atol=100 * eps * np.abs(want).max(initial=0, where=np.isfinite(want))
    )
    return step


@FLOATS
@pytest.mark.parametrize("shape", SQUARES)
@pytest.mark.parametrize(("hop", "params"), HOPS)
def test_linear_algebra(hop: str, params: dict[str, Any], shape: tuple[int, ...], dtype: Any) -> None:
    a = definite(shape, dtype)
    if hop not in ("cholesky", "eigvalsh"):
        a = a - (numbers(shape, float, 3) / max(shape[-1], 1)).astype(dtype)
        a = a[..., [1, 0, *range(2, shape[-1])], :] if shape[-1] > 1 and "tri" not in hop else a  # rows are exchanged
    orders = [None, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)]
    rights = [()]
    if hop in ("solve", "triangular_solve"):
        n = shape[-1]
        rights = [(n,), (n, 2), (2, *(1 for _ in shape[:-2]), n, 3), (*shape[:-2], n, 0)]
    for order, right in itertools.product(orders, rights):
        operands = [laid_out(a, order), *([laid_out(numbers(right, dtype, 4))] if right else [])]
        check_hop(hop, params, operands, order)


def test_what_does_not_count_is_not_read() -> None:
    whole = definite((5, 5), float)
    half = np.where(np.tri(5, dtype=bool), whole, np.nan)
    for turned in (False, True):
        x = half.T if turned else half
        check_hop("cholesky", {"upper": turned}, [laid_out(x)])
        check_hop("eigvalsh", {"lower": not turned}, [laid_out(x)])
        given = {"lower": not turned, "unit": False, "strict": True}
        out = laid_out(np.zeros(5))
        step = lowered("triangular_solve", given, [laid_out(x), np.ones(5)], out)
        assert step is not None
        assert run(step, [laid_out(x), np.ones(5), out]) == 0
        np.testing.assert_allclose(np.nan_to_num(x) @ out, np.ones(5))


@FLOATS
def test_singular_matrices(dtype: Any) -> None:
    good, bad = np.eye(2, dtype=dtype), np.array([[1, 2], [2, 4]], dtype)
    stack = np.stack([good, bad, good])
    for hop in ("det", "sign_det", "log_det"):
        check_hop(hop, {}, [stack])
    check_hop("inv", {"strict": False}, [stack])
    upper = np.stack([good, np.array([[1, 2], [0, 0]], dtype)])
    given = {"lower": False, "unit": False}
    check_hop("triangular_solve", {**given, "strict": False}, [upper, np.ones((2, 1), dtype)])
    check_hop("triangular_solve", {"lower": False, "unit": True, "strict": True}, [upper, np.ones((2, 1), dtype)])
    for hop, params, operands in [
        ("inv", {"strict": True}, [stack]),
        ("solve", {}, [stack, np.ones((2, 1), dtype)]),
        ("triangular_solve", {**given, "strict": True}, [upper, np.ones((2, 1), dtype)]),
        ("cholesky", {"upper": False}, [-stack]),
    ]:  # fmt: skip
        function: Any = catalogue[hop].function
        with pytest.raises(np.linalg.LinAlgError):
            function(*operands, **params)
        out = np.zeros((*operands[0].shape[:-1], operands[-1].shape[-1]), dtype)
        step = lowered(hop, params, operands, out)
        assert step is not None
        assert run(step, [*operands, out]) == 1


def test_sizes_of_determinants() -> None:
    for scale in (1e-200, 1e200):
        check_hop("det", {}, [np.diag([scale, 1 / scale, scale, 1 / scale, -2.0])])
    for found in (np.full((2, 2), np.nan), np.zeros((2, 2)), -np.eye(3)):
        for hop in ("det", "sign_det", "log_det"):
            with np.errstate(invalid="ignore"):
                check_hop(hop, {}, [found])


def test_linear_algebra_without_native_form() -> None:
    x = np.eye(2)
    assert lowered("eigh", {"lower": True}, [x], x) is None
    assert lowered("inv", {"strict": True}, [x.astype(complex)], x.astype(complex)) is None
    assert lowered("solve", {}, [x, x.astype(np.float32)], x) is None
    step = lowered("solve", {}, [x, np.ones((2, 3))], np.zeros((2, 3)))
    assert step is not None
    assert step.note == "dgesv 2x2 3"
    assert step.flops == 2 * 8 // 3 + 2 * 4 * 3
