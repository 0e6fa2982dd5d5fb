"""Loops over every second element, and backwards, which read and write by whole vectors."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
from hopgrad.lower import nest
from hopgrad.lower.machine import machine


def halves(x: Any) -> Any:
    return x[::2] * 2 + x[1::2], np.sqrt(np.abs(x[:-1][1::2]))


def largest_of_pairs(x: Any) -> Any:
    return np.sum(np.max(x.reshape(-1, 2), axis=-1) ** 2)


def in_gaps(x: Any) -> Any:
    y = np.full_like(x, 7.0)
    y[::2] = np.sqrt(np.abs(x[1::2]))
    return y


def backwards(x: Any) -> Any:
    return x[::-1] * 2 + x, np.sqrt(np.abs(x[:-1][::-1])), np.minimum(x[::-1], x)


def written_backwards(x: Any) -> Any:
    y = np.full_like(x, 7.0)
    y[1::][::-1] = np.sqrt(np.abs(x[1:]))
    return y


def both_ways(x: Any) -> Any:
    return np.sum(x[::-1] * np.abs(x) * x)


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_second_element(dtype: Any, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if width > machine().width:
        pytest.skip("this processor has shorter vectors")
    monkeypatch.setattr(machine(), "width", width)
    nest._written.cache_clear()
    functions = [hg.compile(halves), hg.grad(largest_of_pairs), hg.compile(in_gaps)]
    functions += [hg.compile(backwards), hg.compile(written_backwards), hg.grad(both_ways)]
    rng = np.random.default_rng(width)
    for size in (*range(1, 36), 63, 64, 65, 100, 1000):
        x = rng.normal(size=2 * size).astype(dtype)
        for f in functions:
            with hg.use_backend("numpy"):
                expected = hg.tree.flatten(f(x))[0]
            with hg.use_backend("native"):
                for _ in range(2):
                    found = hg.tree.flatten(f(x))[0]
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6 if dtype == np.float32 else 1e-14)
    nest._written.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages as Linux does")
def test_nothing_is_read_behind_the_last_element() -> None:
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 3 * page)
    whole = np.frombuffer(memory, np.float32)
    start = whole.__array_interface__["data"][0]
    libc = ctypes.CDLL(None, use_errno=True)
    for k in (0, 2):
        assert not libc.mprotect(ctypes.c_void_p(start + k * page), ctypes.c_size_t(page), 0)
    words = page // 4
    inside = whole[words : 2 * words]
    inside[:] = np.arange(words)
    f = hg.compile(lambda x: 2 * x)
    try:
        for size in (1, 2, 3, 15, 16, 17, 33, words // 2):
            for x in (inside[: 2 * size : 2], inside[words - 2 * size + 1 :: 2], inside[::-2][:size],
                      inside[:size][::-1], inside[::-1][:size]):  # fmt: skip
                with hg.use_backend("native"):
                    for _ in range(2):
                        np.testing.assert_array_equal(f(x), 2 * x)
    finally:
        for k in (0, 2):
            libc.mprotect(ctypes.c_void_p(start + k * page), ctypes.c_size_t(page), 3)
