/** NumPy's indexing, as places in the flat array: for reading, adding and writing alike. */

import { broadcastShape, outer, places, size, strides, type Value } from "./arrays";

/** An item of an index: a number, a new axis, a slice, an index array, or `...` where it stands for no axis. */
export type Item = number | null | { readonly type: string; readonly items: readonly (number | null)[] };

export interface Selected {
  readonly shape: number[];
  readonly places: Int32Array;
}

interface Axis {
  readonly lengths: number[];
  readonly offsets: ArrayLike<number>;
}

/** Where the elements lie that an index takes from an array of a shape. */
export function select(shape: readonly number[], items: readonly Item[], arrays: readonly Value[]): Selected {
  const steps = strides(shape);
  const axes: Axis[] = [];
  const gathered: { readonly value: Value; readonly axis: number }[] = [];
  let [axis, first, apart] = [0, -1, false];
  // Beside index arrays, plain numbers count as such.
  const advanced = items.some((item) => isType(item, "Operand"));
  for (const item of items) {
    const value = isType(item, "Operand") ? arrays[item.items[0]!] : numbered(item);
    if (value !== undefined && (advanced || typeof item !== "number")) {
      if (gathered.length === 0) first = axes.length;
      else if (axes.length > first) apart = true;
      gathered.push({ value, axis: axis++ });
    } else if (value !== undefined) {
      axes.push({ lengths: [], offsets: [wrapped(item as number, shape[axis]) * steps[axis++]] });
    } else if (item === null) {
      axes.push({ lengths: [1], offsets: [0] });
    } else if (isType(item, "Slice")) {
      const found = sliced(item.items, shape[axis]);
      axes.push({ lengths: [found.length], offsets: found.map((k) => k * steps[axis]) });
      axis++;
    } else if (gathered.length > 0) {
      apart = true;
    }
  }
  for (; axis < shape.length; axis++) {
    const step = steps[axis];
    axes.push({ lengths: [shape[axis]], offsets: Array.from({ length: shape[axis] }, (_, k) => k * step) });
  }
  if (gathered.length > 0) {
    const common = broadcastShape(gathered.map(({ value }) => value.shape));
    const offsets = new Int32Array(size(common));
    for (const { value, axis } of gathered) {
      places(value.shape, common).forEach((place, k) => {
        offsets[k] += wrapped(value.data[place], shape[axis]) * steps[axis];
      });
    }
    axes.splice(apart ? 0 : first, 0, { lengths: common, offsets });
  }
  return { shape: axes.flatMap(({ lengths }) => lengths), places: outer(axes.map(({ offsets }) => offsets)) };
}

function isType(item: Item, type: string): item is Exclude<Item, number | null> {
  return typeof item === "object" && item !== null && item.type === type;
}

function numbered(item: Item): Value | undefined {
  return typeof item === "number" ? { shape: [], dtype: "int64", data: [item] } : undefined;
}

function wrapped(k: number, length: number): number {
  const found = k < 0 ? k + length : k;
  if (!(found >= 0 && found < length)) throw new RangeError(`index ${k} is out of bounds for a length of ${length}`);
  return found;
}

/** The places of a slice along an axis, by Python's rules. */
function sliced([start, stop, by]: readonly (number | null)[], length: number): number[] {
  const step = by ?? 1;
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const bound = (given: number | null | undefined, otherwise: number): number =>
    given == null ? otherwise : Math.min(Math.max(given < 0 ? given + length : given, low), high);
  const found: number[] = [];
  const end = bound(stop, step > 0 ? high : low);
  for (let k = bound(start, step > 0 ? low : high); step > 0 ? k < end : k > end; k += step) found.push(k);
  return found;
}
