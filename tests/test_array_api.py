"""Programs written for the array API standard, which ask their arguments for the namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import hopgrad as hg
import hopgrad.numpy
from hopgrad.errors import HopgradError

NAMES = """
__array_api_version__ __array_namespace_info__ abs acos acosh add all any arange argmax argmin argsort asarray asin
asinh astype atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
bool broadcast_arrays broadcast_shapes broadcast_to can_cast ceil clip complex128 complex64 concat conj copysign cos
cosh count_nonzero cumulative_prod cumulative_sum diff divide e empty empty_like equal exp expand_dims expm1 eye fft
finfo flip float32 float64 floor floor_divide from_dlpack full full_like greater greater_equal hypot iinfo imag inf
int16 int32 int64 int8 isdtype isfinite isin isinf isnan less less_equal linalg linspace log log10 log1p log2
logaddexp logical_and logical_not logical_or logical_xor matmul matrix_transpose max maximum mean meshgrid min minimum
moveaxis multiply nan negative newaxis nextafter nonzero not_equal ones ones_like permute_dims pi positive pow prod
real reciprocal remainder repeat reshape result_type roll round searchsorted sign signbit sin sinh sort sqrt square
squeeze stack std subtract sum take take_along_axis tan tanh tensordot tile tril triu trunc uint16 uint32 uint64 uint8
unique_all unique_counts unique_inverse unique_values unstack var vecdot where zeros zeros_like
"""
LINALG = """
cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer pinv
qr slogdet solve svd svdvals tensordot trace vecdot vector_norm
"""
FFT = "fft fftfreq fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftfreq rfftn"


def space(x: Any) -> Any:
    return x.__array_namespace__()


@pytest.mark.parametrize(("part", "names"), [("", NAMES), ("linalg", LINALG), ("fft", FFT)])
def test_the_standards_names_are_there(part: str, names: str) -> None:
    found: list[Any] = []
    hg.grad(lambda x: found.append(space(x)) or np.sum(x))(np.ones(2))  # type: ignore[func-returns-value]
    (xp,) = found
    assert xp is hopgrad.numpy
    home = getattr(xp, part) if part else xp
    missing = [name for name in names.split() if not hasattr(home, name)]
    newer = {"take_along_axis", "count_nonzero", "unstack", "cumulative_prod"}  # in the standard after NumPy 2.0
    assert not set(missing) - newer


# -- programs ----------------------------------------------------------------------------------------------------------


def softmax(x: Any) -> Any:
    xp = space(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def layer_norm(x: Any, gain: Any, shift: Any) -> Any:
    xp = space(x)
    middle = xp.mean(x, axis=-1, keepdims=True)
    spread = xp.sqrt(xp.var(x, axis=-1, keepdims=True, correction=0) + xp.asarray(1e-5, dtype=x.dtype))
    return (x - middle) / spread * gain + shift


def attention(q: Any, k: Any, v: Any) -> Any:
    xp = space(q)
    scores = xp.matmul(q, xp.matrix_transpose(k)) / xp.sqrt(xp.asarray(float(q.shape[-1]), dtype=q.dtype))
    mask = xp.tril(xp.ones(scores.shape, dtype=xp.bool))
    return xp.matmul(softmax(xp.where(mask, scores, -xp.inf)), v)


def ridge(a: Any, b: Any) -> Any:
    xp = space(a)
    gram = a.mT @ a + 0.1 * xp.eye(a.shape[1], dtype=a.dtype, device=a.device)
    return xp.linalg.solve(gram, a.mT @ b)


def conjugate_gradients(a: Any, b: Any) -> Any:
    xp = space(b)
    matrix = xp.permute_dims(a, (1, 0)) @ a + xp.eye(a.shape[1])
    x = xp.zeros_like(b)
    rest = direction = b
    square = xp.linalg.vecdot(rest, rest)
    while square > 1e-24:
        image = matrix @ direction
        step = square / xp.vecdot(direction, image)
        x, rest = x + step * direction, rest - step * image
        square, before = xp.vecdot(rest, rest), square
        direction = rest + square / before * direction
    return x


def mixture(x: Any, means: Any) -> Any:
    xp = space(x)
    distance = xp.linalg.vector_norm(xp.expand_dims(x, axis=1) - xp.expand_dims(means, axis=0), axis=-1)
    top = xp.min(distance, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(top - distance), axis=1)) - xp.squeeze(top, axis=1))


def convert(x: Any) -> Any:
    xp = space(x)
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError("not floating")
    parts = xp.unstack(xp.stack([x, 2 * x], axis=0))
    joined = xp.concat([xp.flip(parts[0]), xp.roll(parts[1], 1)], axis=0)
    return xp.astype(xp.cumulative_sum(xp.clip(joined, -1.0, 2.0)), xp.float64) * xp.pi


def filled(x: Any) -> Any:
    xp = space(x)
    out = xp.empty(2 * x.shape[0], dtype=x.dtype, device=x.device)
    out[: x.shape[0]] = x**2
    out[x.shape[0] :] = xp.full(x.shape, x[0])
    return xp.sort(xp.reshape(out, (2, -1)), axis=1)


draw = np.random.default_rng(3)
A, B, V = draw.normal(size=(4, 3)), draw.normal(size=(4, 3)), draw.normal(size=3)
PROGRAMS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (softmax, (A,)), (layer_norm, (A, V, B[0])), (attention, (A, B, A * 0.5)), (ridge, (A, B[:, 0])),
    (conjugate_gradients, (A, V)), (mixture, (A, B[:2])), (convert, (V,)), (filled, (V,)),
]  # fmt: skip


@pytest.mark.parametrize(("f", "args"), PROGRAMS, ids=lambda v: getattr(v, "__name__", ""))
def test_programs_trace_differentiate_and_replay(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    hg.check_grads(f, args)
    transform = hg.value_and_grad(lambda *values: np.sum(np.sin(f(*values))), tuple(range(len(args))))
    for scale in (1.0, 1.01, 1.02):
        scaled = tuple(v * scale for v in args)
        value, gradients = transform(*scaled)
        assert_allclose(value, np.sum(np.sin(f(*scaled))), rtol=1e-12)
        for gradient, arg in zip(gradients, scaled, strict=True):
            assert gradient.shape == arg.shape
    assert "anew" not in transform.report()


def test_array_api_compat_finds_the_namespace() -> None:
    compat = pytest.importorskip("scipy._lib.array_api_compat")

    def f(x: Any) -> Any:
        xp = compat.array_namespace(x, 2.0)
        assert compat.is_array_api_obj(x)
        assert xp is hopgrad.numpy
        return xp.sum(xp.exp(x)) * compat.size(x)

    transform = hg.grad(f)
    for x in (V, V * 2):
        assert_allclose(transform(x), 3 * np.exp(x))


# -- what arrays say of themselves -------------------------------------------------------------------------------------


def test_versions_and_devices_are_numpys() -> None:
    def f(x: Any) -> Any:
        assert x.device == np.ones(1).device
        assert x.to_device("cpu") is x
        assert x.__array_namespace__(api_version="2023.12") is hopgrad.numpy
        with pytest.raises(ValueError, match="Unsupported device"):
            x.to_device("gpu")
        with pytest.raises(ValueError, match=r"1999\.12"):
            x.__array_namespace__(api_version="1999.12")
        return np.sum(x * x)

    assert_allclose(hg.grad(f)(V), 2 * V)


def test_memory_is_not_handed_to_other_libraries() -> None:
    for f in (lambda x: np.sum(np.from_dlpack(x)), lambda x: np.sum(np.from_dlpack(x * 2))):
        with pytest.raises(HopgradError, match=r"DLPack.*gradient would be lost"):
            hg.grad(f)(V)

    def fine(x: Any) -> Any:
        assert x.__dlpack_device__() == np.ones(1).__dlpack_device__()
        assert not hasattr(x[0], "__dlpack__")
        assert not hasattr(float(1) * x[0].item(), "__dlpack__")
        return np.sum(x * np.from_dlpack(np.arange(3.0)))

    assert_allclose(hg.grad(fine)(V), [0.0, 1.0, 2.0])
