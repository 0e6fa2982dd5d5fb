/**
 * Functions of C's and SciPy's libraries that JavaScript's `Math` lacks.
 *
 * Formulas are those of the NIST Digital Library of Mathematical Functions (DLMF, https://dlmf.nist.gov), numbered as
 * there. Relative errors are below 10⁻¹²; of ln Γ near its zeros 1 and 2 that is so as well.
 */

const SQRT_PI = Math.sqrt(Math.PI);

/** The series 7.6.2, whose terms are all positive. Good to about |x| = 3. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return ((2 / SQRT_PI) * Math.exp(-x * x) * sum);
}

/** The continued fraction 7.9.2 for x > 0, from its far end. */
function erfcFraction(x: number): number {
  let tail = x;
  for (let k = 120; k > 0; k--) tail = x + k / 2 / tail;
  return gaussian(x) / SQRT_PI / tail;
}

/** exp(−x²): the rounding error of x² is made good, since a large exponent would multiply it. */
function gaussian(x: number): number {
  const high = Math.fround(x);
  const low = x - high;
  return Math.exp(-high * high) * Math.exp(-low * (x + high));
}

export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) < 2) return x === 0 ? x : erfSeries(x);
  return Math.sign(x) * (1 - erfc(Math.abs(x)));
}

export function erfc(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x < 2) return x < -6 ? 2 : 1 - (x === 0 ? 0 : x < -2 ? -(1 - erfcFraction(-x)) : erfSeries(x));
  return x > 28 ? 0 : erfcFraction(x);
}

/** Coefficients of Stirling's series 5.11.1: B₂ₖ / (2k (2k − 1)). */
const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156];

/** Bernoulli numbers B₂, B₄, … */
const BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798];

const EULER = 0.5772156649015329;

/** ζ(k) by its first terms and the Euler–Maclaurin formula. */
function zeta(k: number): number {
  return hurwitz(k, 1);
}

/** Hurwitz's zeta function Σ (a + n)⁻ˢ for s > 1 and a > 0: 25.11.43, with the terms below 12 added one by one. */
function hurwitz(s: number, a: number): number {
  let sum = 0;
  let at = a;
  for (; at < 12; at++) sum += at ** -s;
  let rise = s;
  let power = at ** (-s - 1);
  let tail = at ** (1 - s) / (s - 1) + at ** -s / 2;
  BERNOULLI.forEach((b, k) => {
    tail += (b * rise * power) / FACTORIALS[2 * k + 2];
    rise *= (s + 2 * k + 1) * (s + 2 * k + 2);
    power /= at * at;
  });
  return sum + tail;
}

const FACTORIALS = Array.from({ length: 40 }, (_, n) => Array.from({ length: n }, (_, k) => k + 1).reduce((a, b) => a * b, 1));

const ZETA = Array.from({ length: 50 }, (_, k) => (k < 2 ? NaN : zeta(k)));

/** ln Γ(1 + t) for |t| ≤ ½, by 5.7.3, which keeps its digits at the zero t = 0. */
function lgammaNearOne(t: number): number {
  let sum = -Math.log1p(t) + t * (1 - EULER);
  let power = t;
  for (let k = 2; k < ZETA.length; k++) {
    power *= -t;
    sum -= (power * (ZETA[k] - 1)) / k;
  }
  return sum;
}

/** ln |Γ(x)|. */
export function lgamma(x: number): number {
  if (Number.isNaN(x)) return x;
  if (!Number.isFinite(x)) return Infinity;
  if (x <= 0) {
    if (Number.isInteger(x)) return Infinity;
    return x > -0.5 ? lgammaNearOne(x) - Math.log(-x) : Math.log(Math.PI / Math.abs(sinpi(x))) - lgamma(1 - x);
  }
  if (x <= 0.5) return lgammaNearOne(x) - Math.log(x);
  if (x <= 1.5) return lgammaNearOne(x - 1);
  if (x <= 2.5) return lgammaNearOne(x - 2) + Math.log1p(x - 2);
  let product = 1;
  let at = x;
  for (; at < 10; at++) product *= at;
  return stirling(at) - Math.log(product);
}

function stirling(x: number): number {
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + correction(x);
}

function correction(x: number): number {
  return STIRLING.reduceRight((sum, c) => sum / (x * x) + c, 0) / x;
}

/** sin(πx), exactly 0 at integers. */
function sinpi(x: number): number {
  const rest = x - 2 * Math.round(x / 2);
  const folded = Math.abs(rest) > 0.5 ? Math.sign(rest) * (1 - Math.abs(rest)) : rest;
  return Math.sin(Math.PI * folded);
}

/** Γ(x); at the poles NaN, as SciPy has it (at ±0 ±∞). */
export function tgamma(x: number): number {
  if (x === 0) return 1 / x;
  if (x === -Infinity || (x < 0 && Number.isInteger(x))) return NaN;
  if (Number.isInteger(x) && x <= 22) return FACTORIALS[x - 1];
  if (x < 0.5) return Math.PI / (sinpi(x) * tgamma(1 - x));
  if (x > 172) return Infinity;
  let product = 1;
  let at = x;
  for (; at < 10; at++) product *= at;
  // The power in two halves, since it overflows before Γ does.
  const half = at ** ((at - 0.5) / 2);
  return ((half * Math.exp(-at)) * half * Math.sqrt(2 * Math.PI) * Math.exp(correction(at))) / product;
}

/** ψ(x), from 5.11.2 after steps upwards by 5.5.2; the reflection 5.5.4 for negative x. */
export function digamma(x: number): number {
  if (x === 0) return -1 / x;
  if (x < 0) return Number.isInteger(x) || x === -Infinity ? NaN : digamma(1 - x) - (Math.PI * Math.cos(Math.PI * x)) / sinpi(x);
  if (Math.abs(x - ROOT) < 0.4) {
    // Around the zero Taylor's series, whose coefficients are Hurwitz's zeta functions there.
    const t = x - ROOT - ROOT_REST;
    return ROOT_SERIES.reduceRight((sum, c) => (sum + c) * t, 0);
  }
  let sum = 0;
  let at = x;
  for (; at < 10; at++) sum -= 1 / at;
  let power = 1;
  BERNOULLI.forEach((b, k) => {
    power /= at * at;
    sum -= (b * power) / (2 * k + 2);
  });
  return at === Infinity ? Infinity : sum + Math.log(at) - 0.5 / at;
}

/** The positive zero of ψ, in two parts. */
const ROOT = 1.4616321449683622;
const ROOT_REST = 9.549995429965697e-17;
const ROOT_SERIES = Array.from({ length: 60 }, (_, k) => (k % 2 ? -1 : 1) * hurwitz(k + 2, ROOT));

/** ψ⁽ⁿ⁾(x) for n ≥ 1: 5.15.1. Far below 0, where poles crowd, NaN. */
export function polygamma(n: number, x: number): number {
  if (Number.isNaN(x)) return x;
  if (x === Infinity) return 0;
  const sign = n % 2 ? 1 : -1;
  if (x > 0) return sign * FACTORIALS[n] * hurwitz(n + 1, x);
  if (Number.isInteger(x)) return sign * Infinity;
  if (x < -1000) return NaN;
  let sum = 0;
  let at = x;
  for (; at < 0; at++) sum += at ** (-n - 1);
  return sign * FACTORIALS[n] * (sum + hurwitz(n + 1, at));
}
