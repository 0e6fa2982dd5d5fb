"""Random numbers by counter and key."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

import hopgrad as hg
from hopgrad import random
from hopgrad.hops.random import philox


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0x00000000, 0x00000000), 0x00000000, (0xFF1DAE59, 0x6CD10DF2)),
        ((0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF, (0x2C3F628B, 0xAB4FD7AD)),
        ((0x243F6A88, 0x85A308D3), 0x13198A2E, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(counter: Any, key: int, expected: Any) -> None:
    """From the file kat_vectors of Random123."""
    found = philox(*map(np.uint64, counter), np.uint64(key))
    assert tuple(map(int, found)) == expected


@pytest.mark.parametrize("shape", [(), 0, 1, 7, (3, 0), (5, 4), (2, 3, 11), (40_000,)])
def test_native_numbers_are_numpys_to_the_last_bit(shape: Any) -> None:
    draws = [
        lambda k: random.bits(k, shape),
        lambda k: random.uniform(k, shape),
        lambda k: random.uniform(k, shape, np.float32),
        lambda k: random.bernoulli(k, 0.3, shape),
    ]
    for draw in draws:
        native = hg.compile(draw, backend="native")
        for seed in (0, 1, 2**63):
            key = random.key(seed)
            expected = draw(key)
            np.testing.assert_array_equal(native(key), expected)
            assert native(key).dtype == expected.dtype
        assert "for want of a native form" not in native.report()


def test_one_trace_serves_all_keys_and_steps() -> None:
    def f(x: Any, key: Any, step: Any) -> Any:
        return np.sum(x * random.uniform(random.fold_in(key, step), x.shape))

    gradient = hg.grad(f)
    x, key = np.ones(50), random.key(3)
    found = [gradient(x, key, np.int64(step)) for step in range(5)]
    for step, g in enumerate(found):
        np.testing.assert_array_equal(g, random.uniform(random.fold_in(key, step), 50))
    assert "1 trace kept" in gradient.report()
    assert len({g[0] for g in found}) == 5


def test_numbers_depend_on_place_and_key_alone() -> None:
    key = random.key(1)
    np.testing.assert_array_equal(random.bits(key, (4, 5)).ravel(), random.bits(key, 20))
    np.testing.assert_array_equal(random.bits(key, 20)[:7], random.bits(key, 7))
    seeds = [0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**64, 2**64 + 1, 2**200]
    assert len({int(random.key(s)) for s in seeds}) == len(seeds)
    keys = [random.fold_in(random.key(5), n) for n in range(1000)]
    assert len({int(k) for k in keys}) == 1000
    assert not set(map(int, keys)) & set(map(int, random.bits(random.key(5), 1000)))


@pytest.mark.parametrize("n", range(3))
def test_distributions(n: int) -> None:
    key = random.fold_in(random.key(11), n)
    u = random.uniform(key, 50_000)
    assert u.min() >= 0
    assert u.max() < 1
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(random.normal(key, 50_000), "norm").pvalue > 1e-3
    pairs = np.histogram2d(u[::2], u[1::2], bins=10)[0].ravel()
    assert scipy.stats.chisquare(pairs).pvalue > 1e-3
    other = random.uniform(random.fold_in(key, 1), 50_000)
    assert abs(np.corrcoef(u, other)[0, 1]) < 0.02
    share = random.bernoulli(key, 0.1, 50_000).mean()
    assert abs(share - 0.1) < 0.006


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: random.key(-1), ValueError, "a seed is an integer of 0 or more"),
        (lambda: random.key(1.5), ValueError, "a seed is an integer"),  # type: ignore[arg-type]
        (lambda: random.uniform(0.5, 3), hg.DtypeError, "a key must be an integer, not float"),
        (lambda: random.uniform(random.key(0), 3, int), hg.DtypeError, "float64 or float32, not int64"),
        (lambda: random.uniform(random.key(0), (2**20, 2**20)), ValueError, "more than 2³² elements"),
        (lambda: random.fold_in(random.key(0), 1.0), hg.DtypeError, "the number must be an integer"),
    ],
)
def test_bad_input_is_told(draw: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        draw()
