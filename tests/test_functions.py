"""Functions that native code writes out: as accurate as a library's over the whole range, in vectors of any length."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import hopgrad as hg
from hopgrad.lower import nest, scalar
from hopgrad.lower.functions import WRITTEN
from hopgrad.lower.machine import Source, load, machine
from hopgrad.lower.nest import Access, Compute, Load, Nest, Store

DTYPES = {"float": np.float32, "double": np.float64}
EXACT: dict[str, Callable[..., Any]] = {"exp": np.exp, "tanh": np.tanh, "erf": scipy.special.erf}
ULPS = {"exp": 1.1, "tanh": 2.7, "erf": 1.9}
CASES = [(name, kind, size) for name, kind in WRITTEN for size in (16, 32, 64) if size <= machine().width]


def vectorized(name: str, kind: str, lanes: int) -> Callable[[Any], Any]:
    """A function of arrays whose length is a multiple of the lanes."""
    code = scalar.Code()
    whole = f"<{lanes} x {kind}>"
    code.line(f"%x = load {whole}, ptr %from, align {scalar.SIZES[kind]}")
    y = scalar.call(code, name, scalar.Value("%x", kind, lanes))
    code.line(f"store {whole} {y.name}, ptr %to, align {scalar.SIZES[kind]}")
    text = "\n".join(
        [
            *code.declared.values(),
            "define void @NAME(ptr %x0, ptr %y0, i64 %count) {\nentry:\n  br label %again\nagain:",
            "  %k = phi i64 [0, %entry], [%next, %again]",
            f"  %from = getelementptr {whole}, ptr %x0, i64 %k",
            f"  %to = getelementptr {whole}, ptr %y0, i64 %k",
            *code.lines,
            "  %next = add i64 %k, 1\n  %more = icmp slt i64 %next, %count",
            "  br i1 %more, label %again, label %end\nend:\n  ret void\n}",
        ]
    )
    (loaded,) = load([Source(text)])
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.address)

    def call(x: Any) -> Any:
        assert len(x) % lanes == 0
        assert loaded.address
        y = np.empty_like(x)
        run(x.ctypes.data, y.ctypes.data, len(x) // lanes)
        return y

    return call


def everywhere(kind: str) -> Any:
    """Numbers of both signs and all magnitudes, more of them where functions change."""
    rng = np.random.default_rng(0)
    if kind == "float":
        bits = np.arange(0, 2**32, 4099, dtype=np.int64).astype(np.uint32)
        x = bits.view(np.float32)
    else:
        x = rng.integers(0, 2**64, 2**17, dtype=np.uint64).view(np.float64)
    near = np.concatenate([rng.uniform(-r, r, 2**15) for r in (0.01, 1, 4, 25, 110, 800)]).astype(DTYPES[kind])
    x = np.concatenate([x[~np.isnan(x)], near])
    return x[: len(x) // 64 * 64]


@pytest.mark.parametrize(("name", "kind", "size"), CASES)
def test_accurate_everywhere(name: str, kind: str, size: int) -> None:
    x = everywhere(kind)
    y = vectorized(name, kind, size // scalar.SIZES[kind])(x)
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.float64 if kind == "float" else np.longdouble))
        rounded = exact.astype(x.dtype)
        error = np.abs(y - exact) / np.spacing(np.abs(rounded)).astype(exact.dtype)
    large = np.isinf(rounded)
    np.testing.assert_array_equal(y[large], rounded[large])
    assert np.max(error[~large]) <= ULPS[name]
    assert np.all(np.signbit(y) == np.signbit(rounded))


@pytest.mark.parametrize(("name", "kind", "size"), CASES)
def test_ends_and_zeros(name: str, kind: str, size: int) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, np.finfo(DTYPES[kind]).smallest_subnormal] * 32, DTYPES[kind])
    y = vectorized(name, kind, size // scalar.SIZES[kind])(x)
    expected = EXACT[name](x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y[~np.isnan(y)]), np.signbit(expected[~np.isnan(y)]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponentials_become_subnormal_numbers(dtype: Any) -> None:
    low = np.log(np.finfo(dtype).smallest_subnormal)
    x = np.linspace(low, np.log(np.finfo(dtype).tiny), 64).astype(dtype)
    exact = np.exp(x.astype(np.longdouble))
    f = hg.compile(np.exp, backend="native")
    for _ in range(2):
        found = f(x)
        assert np.all(np.abs(found - exact) <= 1.5 * np.finfo(dtype).smallest_subnormal)
        assert np.any(found > 0)


def test_what_two_functions_have_in_common_is_computed_once() -> None:
    sigmoid = "e = exp(-fabs(x)); r = 1 / (1 + e); select(x < 0, e * r, r)"
    at, to = Access(0, "float", (1,)), Access(1, "float", (1,))
    values = [Load(at), Compute(sigmoid, (0,), "float"), Compute("-x", (0,), "float"), Compute(sigmoid, (2,), "float")]
    values.append(Compute("a * b", (1, 3), "float"))
    source, _ = nest.write(nest.arranged(Nest((20,), [*values], [Store(4, to)])))
    assert source.text.count("fdiv") == 1
