/**
 * The hops that are no elementwise expressions, by their names in the catalogue.
 *
 * A hop computes the elements of its result in C order from its operands and parameters; shape and dtype of the result
 * stand in the file. Elementwise hops and reductions come with lowerings (`lowering.ts`) and are not here.
 */

import { kindOf, outer, places, size, strides, type Value } from "./arrays";
import { select, type Item } from "./indexing";
import { cholesky, determinant, inverse, pivots, solve, triangle, type Matrix } from "./linear";
import { digamma, polygamma } from "./special";

/** Parameters as the file writes them. */
export type Params = Readonly<Record<string, unknown>>;

/** What is known of a result beforehand. */
export interface Like {
  readonly shape: readonly number[];
  readonly dtype: string;
}

export type Compute = (args: readonly Value[], params: Params, like: Like) => ArrayLike<number>;

const numbers = (param: unknown): readonly number[] => param as readonly number[];

// -- selections and moves ----------------------------------------------------------------------------------------------

function taken(x: Value, where: ArrayLike<number>): Float64Array {
  return Float64Array.from(where, (place) => x.data[place]);
}

const same: Compute = ([x]) => x.data;

const transpose: Compute = ([x], { axes }) => {
  const steps = strides(x.shape);
  return taken(x, outer(numbers(axes).map((k) => Array.from({ length: x.shape[k] }, (_, i) => i * steps[k]))));
};

const broadcastTo: Compute = ([x], _, { shape }) => taken(x, places(x.shape, shape));

const concatenate: Compute = (xs, { axis }, { shape }) => {
  const found = new Float64Array(size(shape));
  const inner = size(shape.slice(axis as number));
  let start = 0;
  for (const x of xs) {
    const length = size(x.shape.slice(axis as number));
    for (let k = 0; k < x.data.length; k++) {
      found[Math.floor(k / length) * inner + start + (k % length)] = x.data[k];
    }
    start += length;
  }
  return found;
};

const index: Compute = ([x, ...arrays], { items }) => taken(x, select(x.shape, items as Item[], arrays).places);

const scatter: Compute = ([v, ...arrays], { items }, { shape, dtype }) => {
  const found = new Float64Array(size(shape));
  select(shape, items as Item[], arrays).places.forEach((place, k) => {
    found[place] = dtype === "bool" ? found[place] | v.data[k] : found[place] + v.data[k];
  });
  return found;
};

const put: Compute = ([x, v, ...arrays], { items }) => {
  const found = Float64Array.from(x.data);
  select(x.shape, items as Item[], arrays).places.forEach((place, k) => {
    found[place] = v.data[k];
  });
  return found;
};

const triangleOf: Compute = ([x], { k, lower }) => {
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  return Float64Array.from(x.data, (value, at) => {
    const above = (at % columns) - (Math.floor(at / columns) % rows) - (k as number);
    return (lower ? above <= 0 : above >= 0) ? value : 0;
  });
};

/** What a float becomes as an integer: cut off, and the smallest integer where there is none. */
function whole(x: number, dtype: string): number {
  const bits = Number(/\d+$/.exec(dtype)![0]);
  const [low, high] = dtype[0] === "u" ? [0, 2 ** bits] : [-(2 ** (bits - 1)), 2 ** (bits - 1)];
  const cut = Math.trunc(x);
  return cut >= low && cut < high ? cut + 0 : low;
}

const convert: Compute = ([x], _, { dtype }) => {
  const kind = kindOf(dtype);
  if (kind === "boolean") return Float64Array.from(x.data, (value) => Number(value !== 0));
  return kind === "integer" ? Float64Array.from(x.data, (value) => whole(value, dtype)) : x.data;
};

// -- along axes ----------------------------------------------------------------------------------------------------------

/** Where the lines along some axes begin, and how far their elements lie from there. */
export function lines(shape: readonly number[], axes: readonly number[]): { starts: Int32Array; steps: Int32Array } {
  const apart = strides(shape);
  const along = (wanted: boolean): Int32Array =>
    outer(
      shape.flatMap((n, k) =>
        axes.includes(k) === wanted ? [Array.from({ length: n }, (_, i) => i * apart[k])] : [],
      ),
    );
  return { starts: along(false), steps: along(true) };
}

const cumsum: Compute = ([x], { axis }, { dtype }) => {
  const found = Float64Array.from(x.data);
  const { starts, steps } = lines(x.shape, [axis as number]);
  const round = dtype === "float32" ? Math.fround : (sum: number) => sum;
  for (const start of starts) {
    for (let k = 1; k < steps.length; k++) {
      found[start + steps[k]] = round(found[start + steps[k - 1]] + found[start + steps[k]]);
    }
  }
  return found;
};

/** For each line what a function makes of its elements. */
function each(x: Value, axes: readonly number[], compute: (line: number[]) => number): Float64Array {
  const { starts, steps } = lines(x.shape, axes);
  return Float64Array.from(starts, (start) => compute(Array.from(steps, (step) => x.data[start + step])));
}

/** The place of the first element that is beyond all others; NaN is beyond everything. */
function extremePlace(beyond: (a: number, b: number) => boolean): Compute {
  return ([x], { axes }) =>
    each(x, numbers(axes), (line) => {
      let found = 0;
      for (let k = 1; k < line.length && !Number.isNaN(line[found]); k++) {
        if (beyond(line[k], line[found]) || Number.isNaN(line[k])) found = k;
      }
      return found;
    });
}

/** A sum rounded once, as far as two float64 numbers hold it: Neumaier's compensated sum (1974). */
function exactSum(line: readonly number[]): number {
  let [sum, rest] = [0, 0];
  for (const x of line) {
    const next = sum + x;
    rest += Math.abs(sum) >= Math.abs(x) ? sum - next + x : x - next + sum;
    sum = next;
  }
  return Number.isFinite(sum) ? sum + rest : sum;
}

/** Whether a comes before b in NumPy's order, which has NaN last. */
function before(a: number, b: number): boolean {
  return a < b || (Number.isNaN(b) && !Number.isNaN(a));
}

const argsort: Compute = ([x], { axis }) => {
  const found = new Float64Array(x.data.length);
  const { starts, steps } = lines(x.shape, [axis as number]);
  for (const start of starts) {
    const line = Array.from(steps, (step) => x.data[start + step]);
    const order = line.map((_, k) => k).sort((i, j) => Number(before(line[j], line[i])) - Number(before(line[i], line[j])));
    order.forEach((place, k) => {
      found[start + steps[k]] = place;
    });
  }
  return found;
};

const searchsorted: Compute = ([a, v], { side }) =>
  Float64Array.from(v.data, (wanted) => {
    let found = 0;
    while (found < a.data.length) {
      const here = a.data[found];
      if (side === "left" ? !before(here, wanted) : before(wanted, here)) break;
      found++;
    }
    return found;
  });

// -- products ------------------------------------------------------------------------------------------------------------

/** Einstein's sum: axes with the same label run together, those that the result lacks are summed over. */
function contract(operands: readonly Value[], labels: readonly (readonly string[])[], result: readonly string[]): Float64Array {
  const lengths = new Map<string, number>();
  operands.forEach((operand, k) => {
    operand.shape.forEach((n, axis) => {
      const label = labels[k][axis];
      if (lengths.get(label) === undefined || n !== 1) lengths.set(label, n);
    });
  });
  const summed = [...lengths.keys()].filter((label) => !result.includes(label));
  const offsets = operands.map((operand, k) => {
    const apart = strides(operand.shape);
    const along = (wanted: readonly string[]): Int32Array =>
      outer(
        wanted.map((label) => {
          const step = labels[k].reduce((sum, l, axis) => (l === label && operand.shape[axis] !== 1 ? sum + apart[axis] : sum), 0);
          return Array.from({ length: lengths.get(label)! }, (_, i) => i * step);
        }),
      );
    return { starts: along(result), steps: along(summed), data: operand.data };
  });
  const { starts, steps } = offsets[0];
  return Float64Array.from(starts, (_, at) => {
    let sum = 0;
    for (let k = 0; k < steps.length; k++) {
      sum += offsets.reduce((product, o) => product * o.data[o.starts[at] + o.steps[k]], 1);
    }
    return sum;
  });
}

const einsum: Compute = (operands, { subscripts }) => {
  const [left, right] = (subscripts as string).split("->") as [string, string];
  return contract(operands, left.split(",").map((term) => [...term]), [...right]);
};

const matmul: Compute = ([a, b]) => {
  const batch = (x: Value): string[] => x.shape.slice(0, -2).map((_, k, all) => `batch ${all.length - k}`);
  const [rows, columns] = [a.shape.length > 1 ? ["row"] : [], b.shape.length > 1 ? ["column"] : []];
  const longest = a.shape.length > b.shape.length ? a : b;
  return contract(
    [a, b],
    [[...batch(a), ...rows, "inner"], [...batch(b), "inner", ...columns]],
    [...batch(longest), ...rows, ...columns],
  );
};

const convolve: Compute = ([a, v], { start, length }) =>
  Float64Array.from({ length: length as number }, (_, at) => {
    const k = at + (start as number);
    let sum = 0;
    for (let i = Math.max(k - v.data.length + 1, 0); i <= Math.min(k, a.data.length - 1); i++) {
      sum += a.data[i] * v.data[k - i];
    }
    return sum;
  });

// -- linear algebra --------------------------------------------------------------------------------------------------------

/** The matrices that an array is a stack of. */
function matrices(x: Value): Matrix[] {
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  return Array.from({ length: size(x.shape.slice(0, -2)) }, (_, k) =>
    Array.from({ length: rows }, (_, i) =>
      Array.from({ length: columns }, (_, j) => x.data[(k * rows + i) * columns + j]),
    ),
  );
}

/** What a factorization gives, or unless that is asked to be `strict` NaN where it fails. */
function unless(strict: boolean, compute: () => Matrix, like: Matrix): Matrix {
  try {
    return compute();
  } catch (problem) {
    if (strict || !(problem instanceof RangeError)) throw problem;
    return like.map((row) => row.map(() => NaN));
  }
}

function stacked(compute: (a: Matrix, params: Params) => readonly number[]): Compute {
  return ([a], params) => Float64Array.from(matrices(a).flatMap((m) => compute(m, params)));
}

/** Of each system of two stacks that broadcast the solution. A vector is one column. */
function systems(change: (a: Matrix, params: Params) => Matrix): Compute {
  return ([a, b], params, { shape }) => {
    const right = b.shape.length === 1 ? { ...b, shape: [b.shape[0], 1] } : b;
    const whole = b.shape.length === 1 ? [...shape, 1] : shape;
    const [left, sides] = [matrices(a), matrices(right)];
    const stack = whole.slice(0, -2);
    const [first, second] = [places(a.shape.slice(0, -2), stack), places(right.shape.slice(0, -2), stack)];
    return Float64Array.from(
      Array.from(first, (place, k) => {
        const side = sides[second[k]];
        return unless(params["strict"] !== false, () => solve(change(left[place], params), side), side);
      }).flat(2),
    );
  };
}

// -- floating-point numbers ------------------------------------------------------------------------------------------------

/** How far it is from |x| to the next larger number. */
function spacing(x: number, dtype: string): number {
  if (!Number.isFinite(x)) return NaN;
  const [digits, least] = dtype === "float32" ? [23, -149] : [52, -1074];
  const gap = x === 0 ? 2 ** least : 2 ** Math.max(exponentOf(x) - 1 - digits, least);
  return x < 0 ? -gap : gap;
}

/** The exponent e with |x| between 2ᵉ⁻¹ and 2ᵉ; 0 of 0, infinity and NaN. */
function exponentOf(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return 0;
  let found = Math.floor(Math.log2(Math.abs(x)));
  // The logarithm may be rounded up to the next whole number, or down.
  if (2 ** found > Math.abs(x)) found--;
  if (Math.abs(x) / 2 ** found >= 2) found++;
  return found + 1;
}

function elementwise(compute: (x: number, params: Params, dtype: string) => number): Compute {
  return ([x], params) => Float64Array.from(x.data, (value) => compute(value, params, x.dtype));
}

export const HOPS: Readonly<Record<string, Compute>> = {
  argmax: extremePlace((a, b) => a > b),
  argmin: extremePlace((a, b) => a < b),
  argsort,
  broadcast_to: broadcastTo,
  cholesky: stacked((a, { upper }) => cholesky(a, upper as boolean).flat()),
  concatenate,
  convert,
  convolve,
  cumsum,
  det: stacked((a) => [determinant(a)]),
  digamma: elementwise(digamma),
  einsum,
  enter: same,
  exists: () => [1], // what has no value is undefined here, and all that depends on it
  exponent: elementwise(exponentOf),
  fsum: ([x], { axes }) => each(x, numbers(axes), exactSum),
  index,
  inv: stacked((a, { strict }) => unless(strict as boolean, () => inverse(a), a).flat()),
  log_det: stacked((a) => [pivots(a).pivots.reduce((sum, p) => sum + Math.log(Math.abs(p)), 0)]),
  matmul,
  polygamma: elementwise((x, { order }) => polygamma(order as number, x)),
  put,
  reshape: same,
  ruled: same, // the result itself comes before what its rule needs
  scatter,
  searchsorted,
  sign_det: stacked((a) => {
    const { pivots: found, sign } = pivots(a);
    return [found.reduce((product, p) => product * Math.sign(p), sign)];
  }),
  solve: systems((a) => a),
  spacing: elementwise((x, _, dtype) => spacing(x, dtype)),
  transpose,
  triangle: triangleOf,
  triangular_solve: systems((a, { lower, unit }) => triangle(a, lower as boolean, unit as boolean)),
};
