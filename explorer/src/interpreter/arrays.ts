/**
 * Small arrays as the interpreter computes with them, and how the explanation file writes them.
 *
 * Elements are JavaScript numbers in C order whatever the dtype: float32 ones are kept rounded (`rounder`), booleans are
 * 0 and 1, and integers are exact up to 2⁵³.
 */

/** What arithmetic does with the numbers of a dtype. */
export type Kind = "float64" | "float32" | "integer" | "boolean";

export interface Value {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: ArrayLike<number>;
}

/** A number as the file has it: JSON has no NaN and no infinities, so these are strings; complex ones are pairs. */
type Item = number | boolean | string | readonly [number | string, number | string];

/** A value in the file: a float64 scalar as it is, anything else with its shape and dtype. */
export type Written =
  | number
  | string
  | {
      readonly shape: readonly number[];
      readonly dtype: string;
      readonly data?: readonly Item[];
      readonly base64?: string;
      readonly summary?: unknown;
    };

/** The kind of a dtype; undefined for those that the interpreter does not compute with. */
export function kindOf(dtype: string): Kind | undefined {
  if (dtype === "float64" || dtype === "float32") return dtype;
  if (dtype === "bool") return "boolean";
  return /^u?int(8|16|32|64)$/.test(dtype) ? "integer" : undefined;
}

/** Rounds a result to the precision of its kind. */
export const rounder: Readonly<Record<Kind, (x: number) => number>> = {
  float64: (x) => x,
  float32: Math.fround,
  integer: (x) => x,
  boolean: (x) => x,
};

export function size(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** For each axis how far apart neighbours lie, in C order. */
export function strides(shape: readonly number[]): number[] {
  const found = new Array<number>(shape.length).fill(1);
  for (let k = shape.length - 2; k >= 0; k--) found[k] = found[k + 1] * shape[k + 1];
  return found;
}

export function scalar(x: number, dtype = "float64"): Value {
  return { shape: [], dtype, data: [x] };
}

/** The value that the file writes so; undefined where it keeps a summary only, or has a dtype unknown here. */
export function read(written: Written): Value | undefined {
  if (typeof written !== "object") return scalar(Number(written));
  const { shape, dtype } = written;
  if (kindOf(dtype) === undefined) return undefined;
  if (written.data !== undefined) return { shape, dtype, data: Float64Array.from(written.data, Number) };
  return written.base64 === undefined ? undefined : { shape, dtype, data: fromBytes(written.base64, dtype) };
}

const WIDTHS: Readonly<Record<string, [number, (view: DataView, at: number) => number]>> = {
  float64: [8, (view, at) => view.getFloat64(at, true)],
  float32: [4, (view, at) => view.getFloat32(at, true)],
  int64: [8, (view, at) => Number(view.getBigInt64(at, true))],
  uint64: [8, (view, at) => Number(view.getBigUint64(at, true))],
  int32: [4, (view, at) => view.getInt32(at, true)],
  uint32: [4, (view, at) => view.getUint32(at, true)],
  int16: [2, (view, at) => view.getInt16(at, true)],
  uint16: [2, (view, at) => view.getUint16(at, true)],
  int8: [1, (view, at) => view.getInt8(at)],
  uint8: [1, (view, at) => view.getUint8(at)],
  bool: [1, (view, at) => view.getUint8(at)],
};

function fromBytes(base64: string, dtype: string): Float64Array {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const [width, get] = WIDTHS[dtype];
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / width }, (_, k) => get(view, k * width));
}

/** The shape that all these broadcast to, as in NumPy. */
export function broadcastShape(shapes: readonly (readonly number[])[]): number[] {
  const found = new Array<number>(Math.max(0, ...shapes.map((s) => s.length))).fill(1);
  for (const shape of shapes) {
    const shift = found.length - shape.length;
    shape.forEach((n, k) => {
      if (n !== 1) found[k + shift] = n;
    });
  }
  return found;
}

/** For each element of `shape` the place of the operand's element that broadcasting puts there. */
export function places(operand: readonly number[], shape: readonly number[]): Int32Array {
  const own = strides(operand);
  const shift = shape.length - operand.length;
  const steps = shape.map((_, k) => (k < shift || operand[k - shift] === 1 ? 0 : own[k - shift]));
  return outer(shape.map((n, k) => Array.from({ length: n }, (_, i) => i * steps[k])));
}

/** All sums of one offset of each list, the last list running fastest. */
export function outer(lists: readonly ArrayLike<number>[]): Int32Array {
  let found = Int32Array.of(0);
  for (const list of lists) {
    const next = new Int32Array(found.length * list.length);
    for (let i = 0, at = 0; i < found.length; i++) {
      for (let j = 0; j < list.length; j++) next[at++] = found[i] + list[j];
    }
    found = next;
  }
  return found;
}
