/**
 * The instructions of lowerings: what stands for what is said here once, as `hopgrad.lower.scalar` says it for LLVM.
 */

import { digamma, erf, erfc, lgamma, tgamma } from "./special";

/** −0 counts as negative. */
function isNegative(x: number): boolean {
  return x < 0 || Object.is(x, -0);
}

/** To the nearest integer, halves to even ones, the sign of zero kept. */
function rint(x: number): number {
  const whole = Math.round(x);
  return whole - x === 0.5 && whole % 2 !== 0 ? whole - 1 : whole;
}

/** C's pow: 1 to whatever power is 1, and so is −1 to an infinite one. */
export function pow(x: number, y: number): number {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
}

/** The functions of C's library, and processors' instructions, by their names in lowerings. */
export const FUNCTIONS: Readonly<Record<string, (...args: number[]) => number>> = {
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atan2: Math.atan2,
  atanh: Math.atanh,
  cbrt: Math.cbrt,
  ceil: Math.ceil,
  copysign: (a: number, b: number) => (isNegative(a) === isNegative(b) ? a : -a),
  cos: Math.cos,
  cosh: Math.cosh,
  digamma,
  erf,
  erfc,
  exp: Math.exp,
  exp2: (x: number) => 2 ** x,
  expm1: Math.expm1,
  fabs: Math.abs,
  floor: Math.floor,
  fmod: (a: number, b: number) => a % b,
  hypot: Math.hypot,
  lgamma,
  log: Math.log,
  log10: Math.log10,
  log1p: Math.log1p,
  log2: Math.log2,
  maximum: (a: number, b: number) => (a >= b || Number.isNaN(a) ? a : b),
  minimum: (a: number, b: number) => (a <= b || Number.isNaN(a) ? a : b),
  pow,
  power: (x: number, exponent: number) => (exponent === 0.5 ? Math.sqrt(x) : pow(x, exponent)),
  rint,
  sin: Math.sin,
  sinh: Math.sinh,
  sqrt: Math.sqrt,
  tan: Math.tan,
  tanh: Math.tanh,
  tgamma,
  trunc: Math.trunc,
};

/** Functions that answer yes or no. */
export const PREDICATES: Readonly<Record<string, (x: number) => boolean>> = {
  isnan: Number.isNaN,
  truth: (x: number) => x !== 0,
};

/** Of whole numbers: without what is behind the point, as in C; divided by 0, 0. */
function quotient(a: number, b: number): number {
  return b === 0 ? 0 : Math.trunc(a / b);
}

function remainder(a: number, b: number): number {
  return b === 0 ? 0 : a % b;
}

/** What whole numbers need other instructions for. */
export const OF_INTEGERS: Readonly<Record<string, (a: number, b: number) => number>> = {
  "/": quotient,
  fmod: remainder,
  copysign: (a) => a,
};

/** Arithmetic of truth values: the sum is "or", the product "and", as in NumPy. */
export const OF_BOOLEANS: Readonly<Record<string, (a: number, b: number) => number>> = {
  "+": (a, b) => a | b,
  "-": (a, b) => a ^ b,
  "*": (a, b) => a & b,
};

export const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
};

export const LOGICAL: Readonly<Record<string, (a: number, b: number) => number>> = {
  "&": (a, b) => a & b,
  "|": (a, b) => a | b,
  "^": (a, b) => a ^ b,
};

export const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};
