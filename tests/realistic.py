"""Programs as people write them with NumPy: loops, branches, in-place work, helpers, classes, module constants.

Nothing here knows that it will be differentiated: the one import that counts is ``import numpy as np``. `cases` lists
the programs with their arguments.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import pairwise
from math import erf, exp
from typing import Any, NamedTuple

import numpy as np
from numpy import pi, zeros
from numpy.linalg import norm

Array = np.ndarray[Any, Any]


class Case(NamedTuple):
    """One program: `function` at `args`, to be differentiated by `argnums`."""

    function: Any
    args: tuple[Any, ...]
    argnums: int | tuple[int, ...] = 0
    others: tuple[tuple[Any, ...], ...] = ()
    """Further arguments: other shapes, other paths through the program."""
    smooth: bool = True
    """Whether the derivative of the program's steps is that of its result in second order too."""
    exact: bool = True
    """Whether NumPy alone does the arithmetic; Python's ``math`` may differ from it in the last bit."""
    writes: bool = False
    """Whether the program is meant to write into its arguments."""


# -- a Kalman filter ---------------------------------------------------------------------------------------------------

DT = 0.1
TRACK = np.array([0.0, 0.12, 0.19, np.nan, 0.41, 0.55, 0.57, 0.74, np.nan, 0.9, 1.07])


@dataclass
class LinearModel:
    """x' = F x + w, w ~ N(0, Q); y = H x + v, v ~ N(0, R)."""

    F: Array
    H: Array
    Q: Array
    R: Array
    x0: Array = field(default_factory=lambda: np.zeros(2))
    P0: Array = field(default_factory=lambda: np.eye(2))


def constant_velocity(log_q, log_r):
    """Position and velocity, of which the position is measured."""
    q, r = np.exp(log_q), np.exp(log_r)
    F = np.array([[1.0, DT], [0.0, 1.0]])
    Q = q * np.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]])
    return LinearModel(F, np.array([[1.0, 0.0]]), Q, np.array([[r]]))


def kalman_loglik(theta):
    """Log-likelihood of the track; missing measurements are skipped."""
    model = constant_velocity(theta[0], theta[1])
    x, P = model.x0.copy(), model.P0.copy()
    loglik = 0.0
    for y in TRACK:
        x = model.F @ x
        P = model.F @ P @ model.F.T + model.Q
        if np.isnan(y):
            continue
        innovation = y - model.H @ x
        S = model.H @ P @ model.H.T + model.R
        K = P @ model.H.T / S[0, 0]
        x = x + K @ innovation
        P = (np.eye(2) - K @ model.H) @ P
        P = 0.5 * (P + P.T)
        loglik -= 0.5 * (np.log(2 * np.pi * S[0, 0]) + innovation[0] ** 2 / S[0, 0])
    return loglik


# -- Newton's method ---------------------------------------------------------------------------------------------------

TOL = 1e-13


def kepler(mean_anomaly, eccentricity, tol=TOL):
    """Eccentric anomaly by Newton's method."""
    E = mean_anomaly if eccentricity < 0.8 else np.pi
    delta = 1.0
    iterations = 0
    while abs(delta) > tol:
        delta = (E - eccentricity * np.sin(E) - mean_anomaly) / (1 - eccentricity * np.cos(E))
        E = E - delta
        iterations += 1
        if iterations > 50:
            raise RuntimeError(f"no convergence: E = {E}, delta = {delta}")
    return E


def orbit_radius(a, e, M):
    """Distance from the focus after the mean anomaly M, and back to a plain float."""
    E = kepler(M % (2 * pi), e)
    return float(a * (1 - e * np.cos(E)))


def implied_volatility(price, spot=100.0, strike=105.0, rate=0.01, maturity=0.5):
    """Black-Scholes with Python's math module, solved for the volatility by Newton's method."""
    sigma, step = 0.3, 1.0
    while abs(step) > 1e-11:
        root = sigma * math.sqrt(maturity)
        d1 = (math.log(spot / strike) + (rate + 0.5 * sigma**2) * maturity) / root
        call = spot * _cdf(d1) - strike * exp(-rate * maturity) * _cdf(d1 - root)
        vega = spot * exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi) * math.sqrt(maturity)
        step = (call - price) / vega
        sigma -= step
    return sigma


def _cdf(d):
    return 0.5 * (1.0 + erf(d / math.sqrt(2.0)))


# -- matrices by hand --------------------------------------------------------------------------------------------------


def lu_factor(A):
    """LU decomposition in place, with partial pivoting. Returns the packed factors, the permutation and its sign."""
    A = A.copy()
    n = A.shape[0]
    perm = np.arange(n)
    sign = 1.0
    for k in range(n):
        p = k + np.argmax(np.abs(A[k:, k]))
        if p != k:
            A[[k, p]] = A[[p, k]]
            perm[[k, p]] = perm[[p, k]]
            sign = -sign
        for i in range(k + 1, n):
            A[i, k] /= A[k, k]
            A[i, k + 1 :] -= A[i, k] * A[k, k + 1 :]
    return A, perm, sign


def lu_solve(lu, perm, b):
    """Solution of A x = b by the factors of `lu_factor`."""
    n = len(b)
    x = b[perm]
    for i in range(1, n):
        x[i] -= lu[i, :i] @ x[:i]
    for i in reversed(range(n)):
        if i < n - 1:
            x[i] -= lu[i, i + 1 :] @ x[i + 1 :]
        x[i] /= lu[i, i]
    return x


def lu_objective(A, b):
    """Something of the solution and of the determinant."""
    lu, perm, sign = lu_factor(A)
    x = lu_solve(lu, perm, b)
    return np.sum(np.sin(x)) + 0.01 * sign * np.prod(np.diag(lu))


def gauss_in_place(A, b):
    """Solves A x = b and overwrites both, A by its reduced form and b by x, as old Fortran does."""
    n = len(b)
    for k in range(n):
        pivot = k + int(np.argmax(np.abs(A[k:, k])))
        if pivot != k:
            A[[k, pivot]] = A[[pivot, k]]
            b[k], b[pivot] = b[pivot], b[k]
        for i in range(k + 1, n):
            factor = A[i, k] / A[k, k]
            A[i, k:] -= factor * A[k, k:]
            b[i] -= factor * b[k]
    for i in range(n - 1, -1, -1):
        b[i] = (b[i] - np.dot(A[i, i + 1 :], b[i + 1 :])) / A[i, i]
    return b @ b


def cholesky(A):
    """Lower Cholesky factor."""
    n = len(A)
    L = np.zeros_like(A)
    for j in range(n):
        s = A[j, j] - np.dot(L[j, :j], L[j, :j])
        if s <= 0:
            raise ValueError("matrix is not positive definite")
        L[j, j] = np.sqrt(s)
        for i in range(j + 1, n):
            L[i, j] = (A[i, j] - np.dot(L[i, :j], L[j, :j])) / L[j, j]
    return L


def forward_substitution(L, b):
    """Solution of L y = b."""
    y = np.empty_like(b)
    for i in range(len(b)):
        y[i] = (b[i] - L[i, :i] @ y[:i]) / L[i, i]
    return y


def cholesky_in_place(A):
    """The same, overwriting a copy of A from the left; the upper triangle is zeroed at the end."""
    L = np.array(A, dtype=float)
    n = L.shape[0]
    for k in range(n):
        L[k, k] = L[k, k] ** 0.5
        L[k + 1 :, k] /= L[k, k]
        for j in range(k + 1, n):
            L[j:, j] -= L[j:, k] * L[j, k]
    L[np.triu_indices(n, 1)] = 0.0
    return L


def normal_logpdf(x, mean, cov):
    """Log-density of the multivariate normal distribution."""
    L = cholesky_in_place(cov)
    z = forward_substitution(L, x - mean)
    half_logdet = sum(np.log(L[i, i]) for i in range(len(L)))
    return -0.5 * np.sum(z**2) - half_logdet - 0.5 * len(x) * np.log(2 * np.pi)


def levinson(r, order):
    """Levinson-Durbin recursion: coefficients of the linear predictor from autocorrelations, and the error's power."""
    a = np.zeros(order + 1)
    a[0] = 1.0
    error = r[0]
    for k in range(1, order + 1):
        reflection = -(r[k] + np.dot(a[1:k], r[k - 1 : 0 : -1])) / error
        previous = a.copy()
        for j in range(1, k):
            a[j] = previous[j] + reflection * previous[k - j]
        a[k] = reflection
        error *= 1.0 - reflection**2
    return a, error


def prediction_gain(signal, order=3):
    """Power of a signal over the power of what a linear predictor leaves, in decibels."""
    n = len(signal)
    r = np.array([np.sum(signal[: n - lag] * signal[lag:]) for lag in range(order + 1)])
    _, error = levinson(r, order)
    return 10 * np.log10(r[0] / error)


def gram_schmidt(A):
    """QR by modified Gram-Schmidt, in place."""
    Q = A.copy()
    n = Q.shape[1]
    R = np.zeros((n, n))
    for j in range(n):
        R[j, j] = norm(Q[:, j])
        Q[:, j] /= R[j, j]
        for k in range(j + 1, n):
            R[j, k] = Q[:, j] @ Q[:, k]
            Q[:, k] -= R[j, k] * Q[:, j]
    return Q, R


def least_squares(A, y):
    """Squared residual of the best fit."""
    Q, R = gram_schmidt(A)
    c = Q.T @ y
    for i in range(len(c) - 1, -1, -1):
        for j in range(i + 1, len(c)):
            c[i] -= R[i, j] * c[j]
        c[i] /= R[i, i]
    residual = y - A @ c
    return residual @ residual + c.sum()


def conjugate_gradients(A, b, tol=1e-12):
    """A x = b for positive definite A."""
    x = np.zeros_like(b)
    r = b.copy()
    p = r.copy()
    rs = r @ r
    for _ in range(10 * len(b)):
        if np.sqrt(rs) < tol:
            break
        Ap = A @ p
        alpha = rs / (p @ Ap)
        x += alpha * p
        r -= alpha * Ap
        rs, old = r @ r, rs
        p *= rs / old
        p += r
    return x


STIFFNESS = np.diag(np.full(5, 2.0)) - np.diag(np.ones(4), 1) - np.diag(np.ones(4), -1)


def compliance(thickness):
    """Work of the loads on a chain of springs."""
    load = np.linspace(0.2, 1.0, 5)
    return load @ conjugate_gradients(STIFFNESS + np.diag(thickness), load)


# -- sequences ---------------------------------------------------------------------------------------------------------

OBSERVED = [0, 2, 1, 1, 0, 2, 2, 0]


def softmax(z, axis=-1):
    """Rows to probabilities."""
    z = z - z.max(axis=axis, keepdims=True)
    e = np.exp(z)
    e /= e.sum(axis=axis, keepdims=True)
    return e


def hmm_loglik(params):
    """The forward algorithm with scaling."""
    pi0 = softmax(params["start"])
    A = softmax(params["transition"], axis=1)
    B = softmax(params["emission"], axis=1)
    loglik = 0.0
    alpha = None
    for t, symbol in enumerate(OBSERVED):
        alpha = pi0 * B[:, symbol] if t == 0 else (alpha @ A) * B[:, symbol]
        scale = alpha.sum()
        alpha /= scale
        loglik += np.log(scale)
    return loglik


def dtw(a, b, window=None):
    """Dynamic time warping: the cost of the cheapest path."""
    n, m = len(a), len(b)
    window = max(window, abs(n - m)) if window is not None else max(n, m)
    D = np.full((n + 1, m + 1), np.inf)
    D[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(max(1, i - window), min(m, i + window) + 1):
            cost = (a[i - 1] - b[j - 1]) ** 2
            D[i, j] = cost + min(D[i - 1, j], D[i, j - 1], D[i - 1, j - 1])
    return D[n, m]


def stationary(P, tol=1e-14):
    """Stationary distribution by iteration until it stands still."""
    p = np.ones(len(P)) / len(P)
    while True:
        new = p @ P
        new /= new.sum()
        if np.max(np.abs(new - p)) < tol:
            return new
        p = new


def mean_waiting_time(rates):
    """Of a Markov chain whose rows are made to sum to 1."""
    P = np.abs(rates)
    P /= P.sum(axis=1, keepdims=True)
    p = stationary(P)
    return sum(k * pk for k, pk in enumerate(p)) - np.sum(p * np.log(p))


class Welford:
    """Running mean and variance."""

    def __init__(self):
        self.count = 0
        self.mean = 0.0
        self.m2 = 0.0

    def push(self, x):
        """Takes one more number."""
        self.count += 1
        delta = x - self.mean
        self.mean += delta / self.count
        self.m2 += delta * (x - self.mean)

    @property
    def variance(self):
        """Unbiased."""
        return self.m2 / (self.count - 1) if self.count > 1 else 0.0


def sharpe_ratio(prices):
    """Of the daily returns."""
    stats = Welford()
    for today, tomorrow in zip(prices, prices[1:]):  # noqa: B905, RUF007 - as most write it
        stats.push(tomorrow / today - 1)
    if stats.variance == 0:
        return 0.0
    return np.sqrt(252) * stats.mean / np.sqrt(stats.variance)


# -- physics -----------------------------------------------------------------------------------------------------------


class RungeKutta4:
    """The classical integrator with a fixed step."""

    def __init__(self, rhs, dt):
        self.rhs = rhs
        self.dt = dt

    def step(self, t, y):
        """One step."""
        f, h = self.rhs, self.dt
        k1 = f(t, y)
        k2 = f(t + h / 2, y + h / 2 * k1)
        k3 = f(t + h / 2, y + h / 2 * k2)
        k4 = f(t + h, y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def solve(self, y0, steps):
        """The whole trajectory."""
        path = np.empty((steps + 1, len(y0)))
        path[0] = y0
        for n in range(steps):
            path[n + 1] = self.step(n * self.dt, path[n])
        return path


HARES = np.array([1.0, 1.28, 1.66, 2.1, 2.4])


def lotka_volterra_misfit(rates, y0):
    """Squared distance between the solution and the counted hares."""
    alpha, beta, gamma, delta = rates

    def rhs(t, y):
        hares, lynxes = y
        return np.array([alpha * hares - beta * hares * lynxes, delta * hares * lynxes - gamma * lynxes])

    path = RungeKutta4(rhs, 0.25).solve(y0, len(HARES) - 1)
    return np.mean((path[:, 0] - HARES) ** 2)


G = 1.0
SOFTENING = 1e-3


def accelerations(positions, masses):
    """By Newton's law of gravity, pair by pair."""
    acc = np.zeros_like(positions)
    for i in range(len(masses)):
        for j in range(i + 1, len(masses)):
            d = positions[j] - positions[i]
            r = np.sqrt(np.sum(d * d) + SOFTENING)
            acc[i] += G * masses[j] * d / r**3
            acc[j] -= G * masses[i] * d / r**3
    return acc


def nbody(positions, velocities, masses, steps=4, dt=0.05):
    """Leapfrog; the final spread."""
    x, v = positions.copy(), velocities.copy()
    a = accelerations(x, masses)
    for _ in range(steps):
        v += 0.5 * dt * a
        x += dt * v
        a = accelerations(x, masses)
        v += 0.5 * dt * a
    centre = np.average(x, axis=0, weights=masses)
    return np.sum((x - centre) ** 2) + 0.5 * np.sum(masses[:, None] * v**2)


PROFILE = np.sin(np.linspace(0.0, np.pi, 12))
FINAL = np.zeros(12)
FINAL[3:8] = 0.4


def heat(kappa, left, right, steps=25):
    """Explicit heat equation on a rod with given ends, against a wanted final temperature."""
    u = PROFILE.copy()
    dx = 1.0 / (len(u) - 1)
    dt = 0.4 * dx**2
    for _ in range(steps):
        u[0], u[-1] = left, right
        u[1:-1] += kappa * dt / dx**2 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return 0.5 * dx * np.sum((u - FINAL) ** 2)


def cool(u, r, steps=3):
    """The same rod, changed in place as the caller wants it."""
    for _ in range(steps):
        u[1:-1] += r * (u[2:] - 2 * u[1:-1] + u[:-2])
    return np.sum(u**2)


# -- learning ----------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
BLOBS = np.concatenate([RNG.normal(c, 0.3, (6, 2)) for c in ((0, 0), (2, 0), (0, 2))])


def kmeans_objective(centers):
    """Squared distance of each point to its nearest centre, cluster by cluster."""
    distances = ((BLOBS[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2)
    labels = np.argmin(distances, axis=1)
    total = 0.0
    for k in range(len(centers)):
        members = BLOBS[labels == k]
        if len(members) == 0:
            continue
        total += np.sum((members - centers[k]) ** 2)
    return total / len(BLOBS)


def lloyd(centers, iterations=3):
    """A few of Lloyd's iterations, then the objective."""
    centers = centers.copy()
    for _ in range(iterations):
        groups = defaultdict(list)
        for point in BLOBS:
            nearest = min(range(len(centers)), key=lambda k: np.sum((point - centers[k]) ** 2))
            groups[nearest].append(point)
        for k, points in groups.items():
            centers[k] = 0.5 * centers[k] + 0.5 * np.mean(points, axis=0)
    return kmeans_objective(centers)


TRAIN_X = np.linspace(-2, 2, 8)
TRAIN_Y = np.sin(1.5 * TRAIN_X) + 0.1 * np.cos(9 * TRAIN_X)


def rbf(xa, xb, amplitude, length):
    """Squared-exponential kernel."""
    d = xa[:, None] - xb[None, :]
    return amplitude**2 * np.exp(-0.5 * (d / length) ** 2)


def gp_neg_loglik(theta):
    """Negative log marginal likelihood of a Gaussian process."""
    amplitude, length, noise = np.exp(theta)
    K = rbf(TRAIN_X, TRAIN_X, amplitude, length)
    K[np.diag_indices_from(K)] += noise**2
    L = cholesky(K)
    alpha = forward_substitution(L, TRAIN_Y)
    return 0.5 * alpha @ alpha + np.log(np.diag(L)).sum() + 0.5 * len(TRAIN_X) * np.log(2 * np.pi)


class LogisticRegression:
    """Two classes, fitted by gradient descent."""

    def __init__(self, l2=0.1, lr=0.5, fit_intercept=True):
        self.l2 = l2
        self.lr = lr
        self.fit_intercept = fit_intercept
        self.history = []

    def _design(self, X):
        X = np.asarray(X, dtype=float)
        if self.fit_intercept:
            X = np.hstack([np.ones((X.shape[0], 1)), X])
        return X

    def loss(self, w, X, y):
        """Penalized mean negative log-likelihood."""
        X = self._design(X)
        z = X @ w
        penalty = w[1:] if self.fit_intercept else w
        return np.mean(np.logaddexp(0, z) - y * z) + 0.5 * self.l2 * np.dot(penalty, penalty)

    def fit(self, X, y, steps=5):
        """Plain gradient descent by a gradient derived by hand."""
        design = self._design(X)
        w = np.zeros(design.shape[1])
        for _ in range(steps):
            p = 1 / (1 + np.exp(-(design @ w)))
            g = design.T @ (p - y) / len(y)
            g[1:] += self.l2 * w[1:]
            w -= self.lr * g
            self.history.append(norm(g))
        self.w = w
        return self

    def score(self, X, y):
        """Mean squared error of the probabilities."""
        p = 1 / (1 + np.exp(-(self._design(X) @ self.w)))
        return np.mean((p - y) ** 2)


FLOWERS = RNG.normal(size=(10, 2))
KINDS = (FLOWERS @ [1.0, -2.0] + 0.3 > 0).astype(float)


def logistic_loss(w):
    """Loss by the weights."""
    return LogisticRegression(l2=0.05).loss(w, FLOWERS, KINDS)


def tuned(l2, lr):
    """Validation error by the hyperparameters, through the training."""
    model = LogisticRegression(l2=l2, lr=lr).fit(FLOWERS[:6], KINDS[:6])
    return model.score(FLOWERS[6:], KINDS[6:])


# -- signals and pictures ----------------------------------------------------------------------------------------------


def thomas(lower, diag, upper, rhs):
    """Tridiagonal solve; works on copies of diag and rhs in place."""
    d, x = diag.copy(), rhs.copy()
    n = len(x)
    for i in range(1, n):
        w = lower[i - 1] / d[i - 1]
        d[i] -= w * upper[i - 1]
        x[i] -= w * x[i - 1]
    x[-1] /= d[-1]
    for i in range(n - 2, -1, -1):
        x[i] = (x[i] - upper[i] * x[i + 1]) / d[i]
    return x


class NaturalSpline:
    """Natural cubic spline through given points."""

    def __init__(self, t, y):
        h = np.diff(t)
        slopes = np.diff(y) / h
        self.t, self.y, self.h = t, y, h
        self.m = np.zeros_like(y)
        self.m[1:-1] = thomas(h[1:-1], 2 * (h[:-1] + h[1:]), h[1:-1], 6 * np.diff(slopes))

    def __call__(self, s):
        i = min(max(np.searchsorted(self.t, s) - 1, 0), len(self.h) - 1)
        h, left, right = self.h[i], self.t[i + 1] - s, s - self.t[i]
        curve = (self.m[i] * left**3 + self.m[i + 1] * right**3) / (6 * h)
        line = (self.y[i] / h - self.m[i] * h / 6) * left + (self.y[i + 1] / h - self.m[i + 1] * h / 6) * right
        return curve + line


KNOTS = np.array([0.0, 0.7, 1.1, 2.0, 3.2, 4.0])


def spline_energy(y):
    """Mean square of the spline at many places."""
    spline = NaturalSpline(KNOTS, y)
    return np.mean([spline(s) ** 2 for s in np.linspace(0.1, 3.9, 9)])


def fir_lowpass(cutoff, taps=15):
    """Windowed-sinc low-pass filter, gain 1 at frequency 0."""
    n = np.arange(taps) - (taps - 1) / 2
    h = 2 * cutoff * np.sinc(2 * cutoff * n) * np.hamming(taps)
    h /= h.sum()
    return h


def design_error(cutoff, pass_edge=0.1, stop_edge=0.25):
    """Squared error of the response in both bands, and the ripple of a filtered step."""
    h = fir_lowpass(cutoff)
    n = np.arange(len(h)) - (len(h) - 1) / 2
    error = 0.0
    for f in np.linspace(0, 0.5, 21):
        response = np.sum(h * np.cos(2 * np.pi * f * n))
        if f <= pass_edge:
            error += (response - 1) ** 2
        elif f >= stop_edge:
            error += response**2
    step = (np.arange(24) >= 4) * 1.0
    out = np.zeros(24)
    for i in range(24):
        for k in range(min(i + 1, len(h))):
            out[i] += h[k] * step[i - k]
    return error + 0.1 * (np.max(out) - 1.0) ** 2


@dataclass
class Ball:
    """A sphere of one grey."""

    center: Array
    radius: Any
    albedo: float = 0.8


LIGHT = np.array([0.6, 0.8, -0.5])
LIGHT /= np.sqrt((LIGHT**2).sum())


def hit(ball, origin, direction):
    """Distance along the ray to the ball, or None."""
    oc = origin - ball.center
    b = oc @ direction
    c = oc @ oc - ball.radius**2
    disc = b * b - c
    if disc < 0:
        return None
    t = -b - np.sqrt(disc)
    return t if t > 1e-6 else None


def trace_ray(balls, origin, direction):
    """Brightness of what the ray hits first."""
    nearest, best = None, float("inf")
    for ball in balls:
        t = hit(ball, origin, direction)
        if t is not None and t < best:
            nearest, best = ball, t
    if nearest is None:
        return 0.1 + 0.1 * direction[1]
    point = origin + best * direction
    normal = (point - nearest.center) / nearest.radius
    shade = max(0.0, normal @ LIGHT)
    for other in balls:
        if other is not nearest and hit(other, point, LIGHT) is not None:
            shade = 0.0
    return nearest.albedo * (0.1 + 0.9 * shade)


def render(x, y, radius, size=6):
    """Mean brightness of a small picture of two balls."""
    balls = [Ball(np.array([x, y, 3.0]), radius), Ball(np.array([0.5, -0.3, 4.0]), 1.0, albedo=0.5)]
    image = np.zeros((size, size))
    eye = np.zeros(3)
    for row in range(size):
        for col in range(size):
            d = np.array([(col + 0.5) / size - 0.5, 0.5 - (row + 0.5) / size, 1.0])
            image[row, col] = trace_ray(balls, eye, d / norm(d))
    return image.mean()


def conv2d(image, kernel, bias=0.0, stride=1):
    """Valid 2-D correlation by loops."""
    kh, kw = kernel.shape
    rows = (image.shape[0] - kh) // stride + 1
    cols = (image.shape[1] - kw) // stride + 1
    out = np.empty((rows, cols))
    for i in range(rows):
        for j in range(cols):
            patch = image[i * stride : i * stride + kh, j * stride : j * stride + kw]
            out[i, j] = np.sum(patch * kernel) + bias
    return out


def max_pool(x, size=2):
    """Maximum of each block."""
    h, w = x.shape[0] // size, x.shape[1] // size
    return np.array(
        [[x[i * size : (i + 1) * size, j * size : (j + 1) * size].max() for j in range(w)] for i in range(h)]
    )


def convnet(image, layers):
    """Two convolutions, rectifiers, pooling."""
    x = image
    for kernel, bias in layers:
        x = np.maximum(conv2d(x, kernel, bias), 0)
    return max_pool(x).sum()


PHOTO = np.cos(np.add.outer(np.arange(8.0) ** 1.3, np.arange(8.0) ** 1.2))
PHOTO.setflags(write=False)


def bilinear(image, y, x):
    """Value between pixels; beyond the border the border's."""
    y = np.clip(y, 0, image.shape[0] - 1)
    x = np.clip(x, 0, image.shape[1] - 1)
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    y1, x1 = min(y0 + 1, image.shape[0] - 1), min(x0 + 1, image.shape[1] - 1)
    fy, fx = y - y0, x - x0
    top = (1 - fx) * image[y0, x0] + fx * image[y0, x1]
    bottom = (1 - fx) * image[y1, x0] + fx * image[y1, x1]
    return (1 - fy) * top + fy * bottom


def warp(angle, shift, image=PHOTO):
    """Mismatch between an image and itself, turned about its centre and shifted."""
    c, s = np.cos(angle), np.sin(angle)
    h, w = image.shape
    cy, cx = (h - 1) / 2, (w - 1) / 2
    out = np.zeros_like(image)
    for i in range(h):
        for j in range(w):
            dy, dx = i - cy, j - cx
            out[i, j] = bilinear(image, cy + c * dy + s * dx + shift[0], cx - s * dy + c * dx + shift[1])
    return np.mean((out - image) ** 2)


# -- money and chance --------------------------------------------------------------------------------------------------


def american_put(spot, strike, rate, sigma, maturity=1.0, steps=8):
    """Binomial lattice with early exercise, backward in place."""
    dt = maturity / steps
    up = np.exp(sigma * np.sqrt(dt))
    down = 1 / up
    p = (np.exp(rate * dt) - down) / (up - down)
    if not 0 < p < 1:
        raise ValueError(f"no arbitrage-free lattice: p = {p:.3f}")
    discount = np.exp(-rate * dt)
    prices = spot * up ** np.arange(steps, -1, -1) * down ** np.arange(steps + 1)
    values = np.maximum(strike - prices, 0.0)
    for step in range(steps - 1, -1, -1):
        prices = prices[:-1] * down
        values[: step + 1] = discount * (p * values[: step + 1] + (1 - p) * values[1 : step + 2])
        values[: step + 1] = np.maximum(values[: step + 1], strike - prices)
    return values[0]


BRACKETS = [(0.0, 10_000.0, 0.1), (10_000.0, 40_000.0, 0.2), (40_000.0, math.inf, 0.4)]


def income_tax(income, deduction=1_000.0):
    """By brackets, with an early return."""
    taxable = income - deduction
    if taxable <= 0:
        return 0.0 * income
    tax = 0.0
    for low, high, rate in BRACKETS:
        if taxable <= low:
            break
        tax += rate * (min(taxable, high) - low)
    return tax


def asian_option(spot, sigma, seed=11, paths=6, steps=5):
    """Monte Carlo with common random numbers."""
    rng = np.random.default_rng(seed)
    dt = 1.0 / steps
    payoff = []
    for _ in range(paths):
        s, total = spot, 0.0
        for z in rng.standard_normal(steps):
            s *= np.exp(-0.5 * sigma**2 * dt + sigma * np.sqrt(dt) * z)
            total += s
        payoff.append(max(total / steps - 100.0, 0.0))
    return np.mean(payoff)


def horner(coefficients, x):
    """A polynomial, highest power first."""
    return reduce(lambda acc, c: acc * x + c, coefficients, 0.0)


def smallest_root_gap(coefficients):
    """Distance between two roots found by bisection."""

    def root(low, high):
        f = partial(horner, coefficients)
        if f(low) * f(high) > 0:
            return None
        for _ in range(60):
            middle = 0.5 * (low + high)
            if f(low) * f(middle) <= 0:
                high = middle
            else:
                low = middle
        slope = horner([c * k for k, c in zip(range(len(coefficients) - 1, 0, -1), coefficients, strict=False)], middle)
        return middle - f(middle) / slope

    grid = np.linspace(-3, 3, 8)
    roots = [r for r in map(root, grid[:-1], grid[1:]) if r is not None]
    if len(roots) < 2:
        return 0.0 * coefficients[0]
    return min(b - a for a, b in pairwise(roots))


def histogram_entropy(x, bins=4):
    """Soft histogram filled place by place."""
    weights = zeros(bins)
    width = 1.0 / bins
    for value in x:
        position = min(max(value / width - 0.5, 0.0), bins - 1.000001)
        k = int(position)
        weights[k] += 1 - (position - k)
        weights[k + 1] += position - k
    p = weights / weights.sum()
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


# -- all of them -------------------------------------------------------------------------------------------------------


def cases() -> dict[str, Case]:
    """The programs by name."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4, 4))
    rolled = np.roll(matrix, 1, axis=0)
    cov = matrix @ matrix.T + 2 * np.eye(4)
    vector = rng.normal(size=4)
    hmm = {"start": rng.normal(size=2), "transition": rng.normal(size=(2, 2)), "emission": rng.normal(size=(2, 3))}
    hmm3 = {"start": rng.normal(size=3), "transition": rng.normal(size=(3, 3)), "emission": rng.normal(size=(3, 3))}
    signal = np.sin(0.9 * np.arange(14)) + 0.3 * np.cos(2.1 * np.arange(14))
    bodies = np.array([[1.0, 0.1], [-0.9, 0.3], [0.2, -1.2]])
    speeds = 0.3 * rng.normal(size=(3, 2))
    tall = rng.normal(size=(6, 3))
    picture = rng.normal(size=(7, 7))
    layers = [(rng.normal(size=(2, 2)), 0.3), (rng.normal(size=(3, 3)), 0.1)]
    near = np.array([[0.1, 0.2], [1.7, 0.1], [0.3, 1.8]])
    both = (0, 1)
    return {
        "kalman filter": Case(kalman_loglik, (np.array([-1.0, -4.0]),), 0, ((np.array([0.5, -2.0]),),)),
        "kepler by newton": Case(kepler, (1.2, 0.3), both, ((2.9, 0.3), (0.4, 0.9))),
        "orbit": Case(orbit_radius, (1.5, 0.4, 7.1), (0, 1, 2), ((1.5, 0.85, 7.1), (1.0, 0.1, 0.2))),
        "implied volatility": Case(implied_volatility, (6.0,), 0, ((9.0,), (3.0,)), exact=False),
        "lu with pivoting": Case(lu_objective, (matrix, vector), both, ((rolled, vector), (cov, vector))),
        "gauss in place": Case(gauss_in_place, (matrix, vector), both, ((rolled, vector),), writes=True),
        "cholesky in place": Case(normal_logpdf, (vector, np.ones(4), cov), (0, 1, 2), ((vector, -vector, 2 * cov),)),
        "levinson": Case(prediction_gain, (signal,), 0, ((signal[:9],), (signal[::-1], 2))),
        "gram schmidt": Case(least_squares, (tall, tall[:, 0] ** 2), both, ((tall[:5], tall[:5, 1] ** 2),)),
        "conjugate gradients": Case(compliance, (np.linspace(0.5, 1.5, 5),), 0, ((np.full(5, 1.0),),)),
        "hidden markov model": Case(hmm_loglik, (hmm,), 0, ((hmm3,),)),
        "time warping": Case(
            dtw, (signal[:6], signal[2:9] * 1.1), both, ((signal[3:9], signal[:5]), (signal[:5], signal[4:9], 1))
        ),
        "markov chain": Case(mean_waiting_time, (np.exp(matrix),), 0, ((np.exp(matrix[:3, :3]),), (-np.exp(rolled),))),
        "running statistics": Case(sharpe_ratio, (10 + signal,), 0, ((10 + signal[:5],), (signal[:2],))),
        "runge kutta": Case(
            lotka_volterra_misfit, (np.array([1.1, 0.4, 0.4, 0.1]), np.array([1.0, 0.5])), both,
            (([0.9, 0.5, 0.3, 0.2], np.array([1.2, 0.4])),),
        ),
        "n bodies": Case(
            nbody, (bodies, speeds, np.array([1.0, 2.0, 0.5])), (0, 1, 2),
            ((bodies[:2], speeds[:2], np.array([1.0, 2.0])), (bodies, speeds, np.array([1.0, 2.0, 0.5]), 2)),
        ),
        "heat equation": Case(heat, (0.9, 0.1, -0.2), (0, 1, 2), ((0.9, 0.1, -0.2, 4), (0.5, 0.0, 1.0))),
        "cooling in place": Case(cool, (signal.copy(), 0.2), both, ((signal[:6].copy(), 0.1, 5),), writes=True),
        "k means": Case(kmeans_objective, (near,), 0, ((near[:2],), (near + np.array([[0, 0], [9, 9], [0, 0]]),))),
        "lloyd": Case(lloyd, (near,), 0, ((near[:2],), (near[::-1] + 0.4,))),
        "gaussian process": Case(gp_neg_loglik, (np.array([0.1, -0.2, -1.5]),), 0, ((np.array([0.5, 0.3, -0.5]),),)),
        "logistic regression": Case(logistic_loss, (np.array([0.1, 0.5, -0.7]),), 0, ((np.array([2.0, 0.0, 1.0]),),)),
        "hyperparameters": Case(tuned, (0.1, 0.5), both, ((0.0, 1.5),)),
        "cubic spline": Case(spline_energy, (np.array([0.3, 1.0, -0.4, 0.8, 0.1, 0.6]),), 0, ((KNOTS,),)),
        "fir filter": Case(design_error, (0.17,), 0, ((0.08,), (0.2, 0.15, 0.3))),
        "ray tracer": Case(render, (-0.35, 0.2, 0.7), (0, 1, 2), ((0.5, -0.3, 0.3), (9.0, 9.0, 0.5))),
        "convolution": Case(convnet, (picture, layers), both, ((-picture[:6, :6], layers[:1]),), smooth=False),
        "image warping": Case(warp, (0.2, np.array([0.3, -0.4])), both, ((-0.5, np.array([2.3, 0.6])),)),
        "american put": Case(
            american_put, (100.0, 105.0, 0.03, 0.25), (0, 1, 2, 3),
            ((60.0, 105.0, 0.1, 0.15), (140.0, 105.0, 0.01, 0.3)),
        ),
        "income tax": Case(income_tax, (52_000.0,), 0, ((12_345.0,), (500.0,), (9_000.0, 2_000.0)), smooth=False),
        "asian option": Case(asian_option, (101.0, 0.2), both, ((101.0, 0.2, 5), (60.0, 0.2), (101.0, 0.1, 11, 3, 8))),
        "roots by bisection": Case(
            smallest_root_gap, (np.array([1.0, 0.3, -4.1, 0.2]),), 0,
            ((np.array([1.0, 0.0, 2.0, 0.1]),), ([0.9, 0.35, -3.0, 0.2],)), smooth=False,
        ),
        "soft histogram": Case(histogram_entropy, (np.array([0.1, 0.35, 0.4, 0.77, 0.93]),), 0, ((np.full(3, 0.6),),)),
    }  # fmt: skip
