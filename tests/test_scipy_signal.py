"""``scipy.signal``: values as SciPy's, derivatives of both orders against differences, bad input, what is refused."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
import scipy.signal
from numpy.testing import assert_allclose, assert_array_equal
from scipy_calls import check_curvature, check_native, check_slopes, check_value, parametrize

import hopgrad as hg
from hopgrad.errors import NotDifferentiableError, TraceError
from hopgrad.scipy import signal

MODULE = "scipy.signal"

CALLS = """
signal.convolve(L, K)
signal.convolve(L, K, "same")
signal.convolve(L, K, "valid")
signal.convolve(K, L, "valid")
signal.convolve(K, L, "same")
signal.convolve(L, K, method="fft")
signal.convolve(M, A)
signal.convolve(M, N, "same")
signal.convolve(M, N, "valid", "direct")
signal.convolve(N, M, "valid")
signal.convolve(M, np.outer(L, L), "full", "direct")
signal.convolve(Z, Z)
signal.convolve(L, [1, 2, 1])
signal.correlate(L, K)
signal.correlate(L, K, "same")
signal.correlate(K, L, "valid")
signal.correlate(M, N, "same", "fft")
signal.correlate(Z, Z, "same")
signal.fftconvolve(L, Q)
signal.fftconvolve(L, K, "same")
signal.fftconvolve(M, N, "valid")
signal.fftconvolve(M, M[:1, :3], axes=1)
signal.fftconvolve(M, M[:, :3], "valid", axes=1)
signal.fftconvolve(U, U, "same", axes=(0, 2))
signal.fftconvolve(Z, A)
signal.oaconvolve(L, K)
signal.oaconvolve(M, N, "same")
signal.convolve2d(M, A)
signal.convolve2d(M, N, "same")
signal.convolve2d(M, N, "valid")
signal.convolve2d(N, M, "valid")
signal.convolve2d(M, N, "same", "wrap")
signal.convolve2d(M, A, "full", "symm")
signal.convolve2d(M, N, "full", "fill", 1.5)
signal.correlate2d(M, A)
signal.correlate2d(M, N, "same")
signal.correlate2d(M, N, "same", "symm")
signal.correlate2d(N, M, "valid")
signal.correlate2d(M, N, "full", "wrap")
signal.correlate2d(Z, A, "same")
signal.lfilter(K, D, L)
signal.lfilter(K, 1.0, L)
signal.lfilter([0.5], D, M)
signal.lfilter(K, D, M, axis=0)
signal.lfilter(x, D, L, zi=y[:2])
signal.lfilter(K, D, M, axis=0, zi=0.5 * np.ones((3, 6)))
signal.lfilter(K, D, L[:2], zi=y)
signal.lfilter(Z[0], D, L)
signal.sosfilt(np.stack([np.concatenate([x, [1.0], D[1:]]), np.concatenate([y, [1.0], D[:2] / 3]),]), L)
signal.sosfilt([[0.2, 0.4, 0.2, 1.0, -0.3, 0.1]], M, axis=0)
signal.sosfilt([[0.2, 0.4, 0.2, 1.0, -0.3, 0.1]], L, zi=y[None, :2])
signal.lfilter_zi(K, D)
signal.sosfilt_zi(np.stack([np.concatenate([x, D]), np.concatenate([y, p])]))
signal.filtfilt([0.5, 0.2], [1.0, -0.3], L)
signal.filtfilt(0.3 * y, D, L, padlen=3, padtype="even")
signal.filtfilt([0.5, 0.2], [1.0, -0.3], M, axis=0, padtype=None)
signal.filtfilt([0.5, 0.2], [1.0, -0.3], M, padlen=2, padtype="constant")
signal.sosfiltfilt([[0.2, 0.4, 0.2, 1.0, -0.3, 0.1]], L, padlen=4)
signal.detrend(L)
signal.detrend(M, axis=0)
signal.detrend(M, type="constant")
signal.detrend(L, bp=[4])
signal.savgol_filter(L, 5, 2)
signal.savgol_filter(L, 4, 2, deriv=1, delta=0.5)
signal.savgol_filter(M, 5, 3, axis=0)
signal.savgol_filter(L, 5, 2, mode="mirror")
signal.savgol_filter(L, 5, 2, mode="nearest")
signal.savgol_filter(L, 5, 2, mode="wrap")
signal.savgol_filter(L, 4, 2, mode="constant", cval=0.5)
signal.hilbert(L)
signal.hilbert(M, 8, axis=0)
signal.upfirdn(K, L)
signal.upfirdn(K, L, 3, 2)
signal.upfirdn(K, M, 2, 3, axis=0)
signal.resample_poly(L, 3, 2)
signal.resample_poly(M, 2, 3, axis=1)
signal.resample_poly(L, 2, 3, window=K)
signal.resample_poly(L, 2, 3, padtype="mean")
signal.decimate(np.concatenate([L, L, L, L]), 2)
signal.decimate(np.concatenate([L, L]), 2, ftype="fir")
signal.decimate(L, 3, 3, zero_phase=False)
signal.decimate(L, 3, 4, ftype="fir", zero_phase=False)
signal.resample(L, 14)
signal.resample(L, 4)
signal.resample(M, 3, axis=1)
signal.resample(M, 8, axis=1)
signal.resample(Z, 2)
signal.resample(Z, 6, axis=1)
signal.resample(np.concatenate([Z, Z[:1]]), 6)
signal.resample(np.concatenate([Z, Z]), 4)
"""


@parametrize(CALLS)
def test_values_are_scipys(text: str) -> None:
    check_value(text, MODULE)


@parametrize(CALLS)
def test_first_derivatives(text: str) -> None:
    check_slopes(text, MODULE)


@parametrize(CALLS)
def test_second_derivatives(text: str) -> None:
    check_curvature(text, MODULE)


@parametrize(CALLS)
def test_native_code_agrees(text: str) -> None:
    check_native(text, MODULE)


# -- odd input ---------------------------------------------------------------------------------------------------------


def test_a_filter_of_a_long_signal() -> None:
    """A million samples: the gradient is the filter with the time turned round."""
    x = np.linspace(-1.0, 1.0, 1_000_000)
    got = hg.grad(lambda x: np.sum(signal.lfilter([0.1, 0.2], [1.0, -0.9], x)))(x)
    want = scipy.signal.lfilter([0.1, 0.2], [1.0, -0.9], np.ones_like(x))[::-1]
    assert_allclose(got, want, rtol=1e-12)


def test_coefficients_are_scaled_by_the_first() -> None:
    f = lambda a: np.sum(signal.lfilter([1.0], a, np.ones(4)))  # noqa: E731
    a = np.array([2.0, 0.5])
    assert_allclose(hg.grad(f)(a) @ a, -f(a), rtol=1e-12)  # it is homogeneous of degree −1


def test_empty_signals() -> None:
    assert hg.grad(lambda x: np.sum(signal.lfilter([1.0], [1.0, 0.5], x)))(np.zeros(0)).shape == (0,)
    assert hg.grad(lambda x: np.sum(signal.convolve(x, np.ones(3))) + 0 * np.sum(x))(np.zeros(0)).shape == (0,)


def test_single_precision_stays_single() -> None:
    x = np.linspace(0, 1, 8, dtype=np.float32)
    k = np.array([1, 2], np.float32)
    for call in (lambda x: signal.convolve(x, k), lambda x: signal.lfilter(k, k, x), lambda x: signal.hilbert(x).real,
                 lambda x: signal.fftconvolve(x, k), lambda x: signal.savgol_filter(x, 3, 1)):  # fmt: skip
        assert hg.grad(lambda x, call=call: np.sum(call(x) ** 2))(x).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: signal.convolve(x, np.ones((2, 2))), "same dimensionality"),
        (lambda x: signal.convolve(x, x, "most"), "mode"),
        (lambda x: signal.convolve(x, x, method="guess"), "method"),
        (lambda x: signal.lfilter([1.0], [1.0, 0.5], x, zi=np.zeros(3)), "zi"),
        (lambda x: signal.filtfilt([1.0], [1.0, 0.5], x, padtype="round"), "padtype"),
        (lambda x: signal.filtfilt([1.0], [1.0, 0.5], x, padlen=9), "padlen"),
        (lambda x: signal.sosfilt(np.ones((2, 5)), x), "sos"),
        (lambda x: signal.savgol_filter(x, 9, 2), "window_length"),
        (lambda x: signal.detrend(x, type="square"), "Trend"),
        (lambda x: signal.convolve2d(x, x), "2-D"),
        (lambda x: signal.hilbert(x, 0), "positive"),
    ],
)
def test_bad_input_raises_scipys_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hg.grad(lambda x: np.sum(np.abs(call(x))))(np.ones(4))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: signal.filtfilt([1.0], [1.0, 0.5], x, method="gust"), "filtfilt"),
        (lambda x: signal.resample(x, 3, window="hann"), "resample"),
        (lambda x: signal.upfirdn(x, x, mode="reflect"), "upfirdn"),
        (lambda x: signal.resample_poly(x, 2, 3, padtype="median"), "resample_poly"),
        (lambda x: signal.sosfiltfilt(np.reshape(x[:6], (1, 6)), x), "sosfiltfilt"),
    ],
)
def test_options_that_are_refused_are_named(call: Any, name: str) -> None:
    with pytest.raises(NotDifferentiableError, match=rf"scipy\.signal\.{name}"):
        hg.grad(lambda x: np.sum(call(x)))(np.ones(7))


# -- the namespace -----------------------------------------------------------------------------------------------------

NO_ARRAYS = {
    "bessel", "besselap", "buttap", "buttord", "cheb1ap", "cheb1ord", "cheb2ap", "cheb2ord", "cheby1", "cheby2",
    "butter", "check_COLA", "check_NOLA", "ellip", "ellipap", "ellipord", "firls", "firwin", "firwin2", "firwin_2d",
    "gammatone", "get_window", "iircomb", "iirdesign", "iirfilter", "iirnotch", "iirpeak", "kaiser_atten",
    "kaiser_beta", "kaiserord", "max_len_seq", "minimum_phase", "remez", "savgol_coeffs", "unit_impulse",
    "band_stop_obj", "dlti", "lti", "closest_STFT_dual_window", "czt_points", "findfreqs", "correlation_lags",
}  # fmt: skip
"""What designs filters and windows, of numbers and names, and what takes sizes only."""

SYSTEMS = {
    "abcd_normalize", "bilinear", "bilinear_zpk", "bode", "cont2discrete", "dbode", "dfreqresp", "dimpulse",
    "dlsim", "dstep", "freqresp", "impulse", "lsim", "step", "place_poles", "sos2tf", "sos2zpk", "ss2tf", "ss2zpk",
    "tf2sos", "tf2ss", "tf2zpk", "zpk2sos", "zpk2ss", "zpk2tf", "lp2bp", "lp2bp_zpk", "lp2bs", "lp2bs_zpk", "lp2hp",
    "lp2hp_zpk", "lp2lp", "lp2lp_zpk", "normalize", "residue", "residuez", "invres", "invresz", "unique_roots",
    "freqs", "freqs_zpk", "freqz", "freqz_sos", "freqz_zpk", "sosfreqz", "group_delay", "sweep_poly",
}  # fmt: skip
"""What takes descriptions of systems."""


@pytest.mark.parametrize("name", [
    name for name in scipy.signal.__all__
    if not isinstance(getattr(scipy.signal, name), (type, types.ModuleType))
])  # fmt: skip
def test_every_function_is_differentiated_or_refused_by_name(name: str) -> None:
    known = {part.split("(")[0] for line in CALLS.split("\n") for part in line.split("signal.")[1:]}
    if name in known | NO_ARRAYS:
        return
    args = 4 if name in SYSTEMS else 2
    with pytest.raises((NotDifferentiableError, TraceError), match=rf"scipy\.signal\.{name} "):
        hg.grad(lambda x: np.sum(np.abs(getattr(signal, name)(*[x] * args))))(np.eye(2))


def test_scipys_own_module_is_replaced_while_a_function_is_traced() -> None:
    assert_allclose(hg.grad(lambda x: np.sum(scipy.signal.detrend(x, type="constant") ** 2))(np.ones(3)), 0.0)
    assert_array_equal(signal.windows.boxcar(3), np.ones(3))
