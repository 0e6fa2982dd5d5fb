// ../../work/wt/xq/explorer/test/evaluate.ts
import { stdin, stdout } from "node:process";

// ../../work/wt/xq/explorer/src/interpreter/arrays.ts
function kindOf(dtype) {
  if (dtype === "float64" || dtype === "float32") return dtype;
  if (dtype === "bool") return "boolean";
  return /^u?int(8|16|32|64)$/.test(dtype) ? "integer" : void 0;
}
var rounder = {
  float64: (x) => x,
  float32: Math.fround,
  integer: (x) => x,
  boolean: (x) => x
};
function size(shape) {
  return shape.reduce((product, n) => product * n, 1);
}
function strides(shape) {
  const found = new Array(shape.length).fill(1);
  for (let k = shape.length - 2; k >= 0; k--) found[k] = found[k + 1] * shape[k + 1];
  return found;
}
function scalar(x, dtype = "float64") {
  return { shape: [], dtype, data: [x] };
}
function read(written2) {
  if (typeof written2 !== "object") return scalar(Number(written2));
  const { shape, dtype } = written2;
  if (kindOf(dtype) === void 0) return void 0;
  if (written2.data !== void 0) return { shape, dtype, data: Float64Array.from(written2.data, Number) };
  return written2.base64 === void 0 ? void 0 : { shape, dtype, data: fromBytes(written2.base64, dtype) };
}
var WIDTHS = {
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
  bool: [1, (view, at) => view.getUint8(at)]
};
function fromBytes(base64, dtype) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const [width, get] = WIDTHS[dtype];
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / width }, (_, k) => get(view, k * width));
}
function broadcastShape(shapes) {
  const found = new Array(Math.max(0, ...shapes.map((s) => s.length))).fill(1);
  for (const shape of shapes) {
    const shift = found.length - shape.length;
    shape.forEach((n, k) => {
      if (n !== 1) found[k + shift] = n;
    });
  }
  return found;
}
function places(operand, shape) {
  const own = strides(operand);
  const shift = shape.length - operand.length;
  const steps = shape.map((_, k) => k < shift || operand[k - shift] === 1 ? 0 : own[k - shift]);
  return outer(shape.map((n, k) => Array.from({ length: n }, (_, i) => i * steps[k])));
}
function outer(lists) {
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

// ../../work/wt/xq/explorer/src/interpreter/indexing.ts
function select(shape, items, arrays) {
  const steps = strides(shape);
  const axes = [];
  const gathered = [];
  let [axis, first, apart] = [0, -1, false];
  const advanced = items.some((item) => isType(item, "Operand"));
  for (const item of items) {
    const value = isType(item, "Operand") ? arrays[item.items[0]] : numbered(item);
    if (value !== void 0 && (advanced || typeof item !== "number")) {
      if (gathered.length === 0) first = axes.length;
      else if (axes.length > first) apart = true;
      gathered.push({ value, axis: axis++ });
    } else if (value !== void 0) {
      axes.push({ lengths: [], offsets: [wrapped(item, shape[axis]) * steps[axis++]] });
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
    for (const { value, axis: axis2 } of gathered) {
      places(value.shape, common).forEach((place, k) => {
        offsets[k] += wrapped(value.data[place], shape[axis2]) * steps[axis2];
      });
    }
    axes.splice(apart ? 0 : first, 0, { lengths: common, offsets });
  }
  return { shape: axes.flatMap(({ lengths }) => lengths), places: outer(axes.map(({ offsets }) => offsets)) };
}
function isType(item, type) {
  return typeof item === "object" && item !== null && item.type === type;
}
function numbered(item) {
  return typeof item === "number" ? { shape: [], dtype: "int64", data: [item] } : void 0;
}
function wrapped(k, length) {
  const found = k < 0 ? k + length : k;
  if (!(found >= 0 && found < length)) throw new RangeError(`index ${k} is out of bounds for a length of ${length}`);
  return found;
}
function sliced([start, stop, by], length) {
  const step = by ?? 1;
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const bound = (given, otherwise) => given == null ? otherwise : Math.min(Math.max(given < 0 ? given + length : given, low), high);
  const found = [];
  const end = bound(stop, step > 0 ? high : low);
  for (let k = bound(start, step > 0 ? low : high); step > 0 ? k < end : k > end; k += step) found.push(k);
  return found;
}

// ../../work/wt/xq/explorer/src/interpreter/linear.ts
function eliminated(a, b) {
  const n = a.length;
  const [upper, right] = [a, b].map((m) => m.map((row2) => [...row2]));
  let sign = 1;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(upper[i][k]) > Math.abs(upper[pivot][k])) pivot = i;
    if (pivot !== k) {
      sign = -sign;
      for (const m of [upper, right]) [m[k], m[pivot]] = [m[pivot], m[k]];
    }
    if (upper[k][k] === 0) continue;
    for (let i = k + 1; i < n; i++) {
      const factor = upper[i][k] / upper[k][k];
      for (let j = k; j < n; j++) upper[i][j] -= factor * upper[k][j];
      right[i] = right[i].map((x, j) => x - factor * right[k][j]);
    }
  }
  return { upper, right, sign };
}
function solve(a, b) {
  const { upper, right } = eliminated(a, b);
  if (upper.some((row2, k) => row2[k] === 0)) return right.map((row2) => row2.map(() => NaN));
  for (let k = right.length - 1; k >= 0; k--) {
    right[k] = right[k].map((x, j) => {
      let rest = x;
      for (let i = k + 1; i < right.length; i++) rest -= upper[k][i] * right[i][j];
      return rest / upper[k][k];
    });
  }
  return right;
}
function inverse(a) {
  return solve(a, identity(a.length));
}
function identity(n) {
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_2, j) => Number(i === j)));
}
function triangle(a, lower, unit) {
  return a.map((row2, i) => row2.map((x, j) => i === j && unit ? 1 : (lower ? j <= i : j >= i) ? x : 0));
}
function pivots(a) {
  const { upper, sign } = eliminated(a, a.map(() => []));
  return { pivots: upper.map((row2, k) => row2[k]), sign };
}
function cholesky(a, upper) {
  const found = a.map((row2) => row2.map(() => 0));
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = upper ? a[j][i] : a[i][j];
      for (let k = 0; k < j; k++) rest -= found[i][k] * found[j][k];
      found[i][j] = i === j ? Math.sqrt(rest) : rest / found[j][j];
    }
  }
  return upper ? found.map((_, i) => found.map((row2) => row2[i])) : found;
}
function cofactors(a) {
  const without = (list, k) => list.filter((_, i) => i !== k);
  return a.map(
    (row2, i) => row2.map((_, j) => ((i + j) % 2 ? -1 : 1) * determinant(without(a, i).map((line) => without(line, j))))
  );
}
function determinant(a) {
  const { pivots: found, sign } = pivots(a);
  return found.reduce((product, p) => product * p, sign);
}

// ../../work/wt/xq/explorer/src/interpreter/special.ts
var SQRT_PI = Math.sqrt(Math.PI);
function erfSeries(x) {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / SQRT_PI * Math.exp(-x * x) * sum;
}
function erfcFraction(x) {
  let tail = x;
  for (let k = 120; k > 0; k--) tail = x + k / 2 / tail;
  return gaussian(x) / SQRT_PI / tail;
}
function gaussian(x) {
  const high = Math.fround(x);
  const low = x - high;
  return Math.exp(-high * high) * Math.exp(-low * (x + high));
}
function erf(x) {
  if (Number.isNaN(x)) return x;
  if (Math.abs(x) < 2) return x === 0 ? x : erfSeries(x);
  return Math.sign(x) * (1 - erfc(Math.abs(x)));
}
function erfc(x) {
  if (Number.isNaN(x)) return x;
  if (x < 2) return x < -6 ? 2 : 1 - (x === 0 ? 0 : x < -2 ? -(1 - erfcFraction(-x)) : erfSeries(x));
  return x > 28 ? 0 : erfcFraction(x);
}
var STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156];
var BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798];
var EULER = 0.5772156649015329;
function zeta(k) {
  return hurwitz(k, 1);
}
function hurwitz(s, a) {
  let sum = 0;
  let at = a;
  for (; at < 12; at++) sum += at ** -s;
  let rise = s;
  let power = at ** (-s - 1);
  let tail = at ** (1 - s) / (s - 1) + at ** -s / 2;
  BERNOULLI.forEach((b, k) => {
    tail += b * rise * power / FACTORIALS[2 * k + 2];
    rise *= (s + 2 * k + 1) * (s + 2 * k + 2);
    power /= at * at;
  });
  return sum + tail;
}
var FACTORIALS = Array.from({ length: 40 }, (_, n) => Array.from({ length: n }, (_2, k) => k + 1).reduce((a, b) => a * b, 1));
var ZETA = Array.from({ length: 50 }, (_, k) => k < 2 ? NaN : zeta(k));
function lgammaNearOne(t) {
  let sum = -Math.log1p(t) + t * (1 - EULER);
  let power = t;
  for (let k = 2; k < ZETA.length; k++) {
    power *= -t;
    sum -= power * (ZETA[k] - 1) / k;
  }
  return sum;
}
function lgamma(x) {
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
function stirling(x) {
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + correction(x);
}
function correction(x) {
  return STIRLING.reduceRight((sum, c) => sum / (x * x) + c, 0) / x;
}
function sinpi(x) {
  const rest = x - 2 * Math.round(x / 2);
  const folded = Math.abs(rest) > 0.5 ? Math.sign(rest) * (1 - Math.abs(rest)) : rest;
  return Math.sin(Math.PI * folded);
}
function tgamma(x) {
  if (x === 0) return 1 / x;
  if (x === -Infinity || x < 0 && Number.isInteger(x)) return NaN;
  if (Number.isInteger(x) && x <= 22) return FACTORIALS[x - 1];
  if (x < 0.5) return Math.PI / (sinpi(x) * tgamma(1 - x));
  if (x > 172) return Infinity;
  let product = 1;
  let at = x;
  for (; at < 10; at++) product *= at;
  const half = at ** ((at - 0.5) / 2);
  return half * Math.exp(-at) * half * Math.sqrt(2 * Math.PI) * Math.exp(correction(at)) / product;
}
function digamma(x) {
  if (x === 0) return -1 / x;
  if (x < 0) return Number.isInteger(x) || x === -Infinity ? NaN : digamma(1 - x) - Math.PI * Math.cos(Math.PI * x) / sinpi(x);
  if (Math.abs(x - ROOT) < 0.4) {
    const t = x - ROOT - ROOT_REST;
    return ROOT_SERIES.reduceRight((sum2, c) => (sum2 + c) * t, 0);
  }
  let sum = 0;
  let at = x;
  for (; at < 10; at++) sum -= 1 / at;
  let power = 1;
  BERNOULLI.forEach((b, k) => {
    power /= at * at;
    sum -= b * power / (2 * k + 2);
  });
  return at === Infinity ? Infinity : sum + Math.log(at) - 0.5 / at;
}
var ROOT = 1.4616321449683622;
var ROOT_REST = 9549995429965697e-32;
var ROOT_SERIES = Array.from({ length: 60 }, (_, k) => (k % 2 ? -1 : 1) * hurwitz(k + 2, ROOT));
function polygamma(n, x) {
  if (Number.isNaN(x)) return x;
  if (x === Infinity) return 0;
  const sign = n % 2 ? 1 : -1;
  if (x > 0) return sign * FACTORIALS[n] * hurwitz(n + 1, x);
  if (Number.isInteger(x)) return Infinity;
  if (x < -1e3) return NaN;
  let sum = 0;
  let at = x;
  for (; at < 0; at++) sum += at ** (-n - 1);
  return sign * FACTORIALS[n] * (sum + hurwitz(n + 1, at));
}

// ../../work/wt/xq/explorer/src/interpreter/hops.ts
var numbers = (param) => param;
function taken(x, where) {
  return Float64Array.from(where, (place) => x.data[place]);
}
var same = ([x]) => x.data;
var transpose = ([x], { axes }) => {
  const steps = strides(x.shape);
  return taken(x, outer(numbers(axes).map((k) => Array.from({ length: x.shape[k] }, (_, i) => i * steps[k]))));
};
var broadcastTo = ([x], _, { shape }) => taken(x, places(x.shape, shape));
var concatenate = (xs, { axis }, { shape }) => {
  const found = new Float64Array(size(shape));
  const inner = size(shape.slice(axis));
  let start = 0;
  for (const x of xs) {
    const length = size(x.shape.slice(axis));
    for (let k = 0; k < x.data.length; k++) {
      found[Math.floor(k / length) * inner + start + k % length] = x.data[k];
    }
    start += length;
  }
  return found;
};
var index = ([x, ...arrays], { items }) => taken(x, select(x.shape, items, arrays).places);
var scatter = ([v, ...arrays], { items }, { shape, dtype }) => {
  const found = new Float64Array(size(shape));
  select(shape, items, arrays).places.forEach((place, k) => {
    found[place] = dtype === "bool" ? found[place] | v.data[k] : found[place] + v.data[k];
  });
  return found;
};
var put = ([x, v, ...arrays], { items }) => {
  const found = Float64Array.from(x.data);
  select(x.shape, items, arrays).places.forEach((place, k) => {
    found[place] = v.data[k];
  });
  return found;
};
var triangleOf = ([x], { k, lower }) => {
  const [rows, columns2] = x.shape.slice(-2);
  return Float64Array.from(x.data, (value, at) => {
    const above = at % columns2 - Math.floor(at / columns2) % rows - k;
    return (lower ? above <= 0 : above >= 0) ? value : 0;
  });
};
function whole(x, dtype) {
  const bits = Number(/\d+$/.exec(dtype)[0]);
  const [low, high] = dtype[0] === "u" ? [0, 2 ** bits] : [-(2 ** (bits - 1)), 2 ** (bits - 1)];
  const cut = Math.trunc(x);
  return cut >= low && cut < high ? cut + 0 : low;
}
var convert = ([x], _, { dtype }) => {
  const kind = kindOf(dtype);
  if (kind === "boolean") return Float64Array.from(x.data, (value) => Number(value !== 0));
  return kind === "integer" ? Float64Array.from(x.data, (value) => whole(value, dtype)) : x.data;
};
function lines(shape, axes) {
  const apart = strides(shape);
  const along = (wanted) => outer(
    shape.flatMap(
      (n, k) => axes.includes(k) === wanted ? [Array.from({ length: n }, (_, i) => i * apart[k])] : []
    )
  );
  return { starts: along(false), steps: along(true) };
}
var cumsum = ([x], { axis }, { dtype }) => {
  const found = Float64Array.from(x.data);
  const { starts, steps } = lines(x.shape, [axis]);
  const round = dtype === "float32" ? Math.fround : (sum) => sum;
  for (const start of starts) {
    for (let k = 1; k < steps.length; k++) {
      found[start + steps[k]] = round(found[start + steps[k - 1]] + found[start + steps[k]]);
    }
  }
  return found;
};
function each(x, axes, compute) {
  const { starts, steps } = lines(x.shape, axes);
  return Float64Array.from(starts, (start) => compute(Array.from(steps, (step) => x.data[start + step])));
}
function extremePlace(beyond) {
  return ([x], { axes }) => each(x, numbers(axes), (line) => {
    let found = 0;
    for (let k = 1; k < line.length && !Number.isNaN(line[found]); k++) {
      if (beyond(line[k], line[found]) || Number.isNaN(line[k])) found = k;
    }
    return found;
  });
}
function exactSum(line) {
  let [sum, rest] = [0, 0];
  for (const x of line) {
    const next = sum + x;
    rest += Math.abs(sum) >= Math.abs(x) ? sum - next + x : x - next + sum;
    sum = next;
  }
  return Number.isFinite(sum) ? sum + rest : sum;
}
function before(a, b) {
  return a < b || Number.isNaN(b) && !Number.isNaN(a);
}
var argsort = ([x], { axis }) => {
  const found = new Float64Array(x.data.length);
  const { starts, steps } = lines(x.shape, [axis]);
  for (const start of starts) {
    const line = Array.from(steps, (step) => x.data[start + step]);
    const order = line.map((_, k) => k).sort((i, j) => Number(before(line[j], line[i])) - Number(before(line[i], line[j])));
    order.forEach((place, k) => {
      found[start + steps[k]] = place;
    });
  }
  return found;
};
var searchsorted = ([a, v], { side }) => Float64Array.from(v.data, (wanted) => {
  let found = 0;
  while (found < a.data.length) {
    const here = a.data[found];
    if (side === "left" ? !before(here, wanted) : before(wanted, here)) break;
    found++;
  }
  return found;
});
function contract(operands, labels, result) {
  const lengths = /* @__PURE__ */ new Map();
  operands.forEach((operand, k) => {
    operand.shape.forEach((n, axis) => {
      const label = labels[k][axis];
      if (lengths.get(label) === void 0 || n !== 1) lengths.set(label, n);
    });
  });
  const summed = [...lengths.keys()].filter((label) => !result.includes(label));
  const offsets = operands.map((operand, k) => {
    const apart = strides(operand.shape);
    const along = (wanted) => outer(
      wanted.map((label) => {
        const step = labels[k].reduce((sum, l, axis) => l === label && operand.shape[axis] !== 1 ? sum + apart[axis] : sum, 0);
        return Array.from({ length: lengths.get(label) }, (_, i) => i * step);
      })
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
var einsum = (operands, { subscripts }) => {
  const [left, right] = subscripts.split("->");
  return contract(operands, left.split(",").map((term) => [...term]), [...right]);
};
var matmul = ([a, b]) => {
  const batch = (x) => x.shape.slice(0, -2).map((_, k, all) => `batch ${all.length - k}`);
  const [rows, columns2] = [a.shape.length > 1 ? ["row"] : [], b.shape.length > 1 ? ["column"] : []];
  const longest = a.shape.length > b.shape.length ? a : b;
  return contract(
    [a, b],
    [[...batch(a), ...rows, "inner"], [...batch(b), "inner", ...columns2]],
    [...batch(longest), ...rows, ...columns2]
  );
};
var convolve = ([a, v], { start, length }) => Float64Array.from({ length }, (_, at) => {
  const k = at + start;
  let sum = 0;
  for (let i = Math.max(k - v.data.length + 1, 0); i <= Math.min(k, a.data.length - 1); i++) {
    sum += a.data[i] * v.data[k - i];
  }
  return sum;
});
function matrices(x) {
  const [rows, columns2] = x.shape.slice(-2);
  return Array.from(
    { length: size(x.shape.slice(0, -2)) },
    (_, k) => Array.from(
      { length: rows },
      (_2, i) => Array.from({ length: columns2 }, (_3, j) => x.data[(k * rows + i) * columns2 + j])
    )
  );
}
function stacked(compute) {
  return ([a], params) => Float64Array.from(matrices(a).flatMap((m) => compute(m, params)));
}
function systems(change) {
  return ([a, b], params, { shape }) => {
    const right = b.shape.length === 1 ? { ...b, shape: [b.shape[0], 1] } : b;
    const whole2 = b.shape.length === 1 ? [...shape, 1] : shape;
    const [left, sides] = [matrices(a), matrices(right)];
    const stack = whole2.slice(0, -2);
    const [first, second] = [places(a.shape.slice(0, -2), stack), places(right.shape.slice(0, -2), stack)];
    return Float64Array.from(
      Array.from(first, (place, k) => solve(change(left[place], params), sides[second[k]])).flat(2)
    );
  };
}
function spacing(x, dtype) {
  if (!Number.isFinite(x)) return NaN;
  const [digits, least] = dtype === "float32" ? [23, -149] : [52, -1074];
  const gap = 2 ** Math.max(exponentOf(x) - 1 - digits, least);
  return x < 0 ? -gap : gap;
}
function exponentOf(x) {
  if (x === 0 || !Number.isFinite(x)) return 0;
  let found = Math.floor(Math.log2(Math.abs(x)));
  if (2 ** found > Math.abs(x)) found--;
  if (Math.abs(x) / 2 ** found >= 2) found++;
  return found + 1;
}
function elementwise(compute) {
  return ([x], params) => Float64Array.from(x.data, (value) => compute(value, params, x.dtype));
}
var HOPS = {
  argmax: extremePlace((a, b) => a > b),
  argmin: extremePlace((a, b) => a < b),
  argsort,
  broadcast_to: broadcastTo,
  cholesky: stacked((a, { upper }) => cholesky(a, upper).flat()),
  cofactors: stacked((a) => cofactors(a).flat()),
  concatenate,
  convert,
  convolve,
  cumsum,
  det: stacked((a) => [determinant(a)]),
  digamma: elementwise(digamma),
  einsum,
  enter: same,
  exponent: elementwise(exponentOf),
  fsum: ([x], { axes }) => each(x, numbers(axes), exactSum),
  index,
  inv: stacked((a) => inverse(a).flat()),
  log_det: stacked((a) => [pivots(a).pivots.reduce((sum, p) => sum + Math.log(Math.abs(p)), 0)]),
  matmul,
  polygamma: elementwise((x, { order }) => polygamma(order, x)),
  put,
  reshape: same,
  scatter,
  searchsorted,
  sign_det: stacked((a) => {
    const { pivots: found, sign } = pivots(a);
    return [found.reduce((product, p) => product * Math.sign(p), sign)];
  }),
  solve: systems((a) => a),
  spacing: elementwise((x, _, dtype) => spacing(x, dtype)),
  stop_gradient: same,
  transpose,
  triangle: triangleOf,
  triangular_solve: systems((a, { lower, unit }) => triangle(a, lower, unit))
};

// ../../work/wt/xq/explorer/src/interpreter/scalar.ts
function isNegative(x) {
  return x < 0 || Object.is(x, -0);
}
function rint(x) {
  const whole2 = Math.round(x);
  return whole2 - x === 0.5 && whole2 % 2 !== 0 ? whole2 - 1 : whole2;
}
function pow(x, y) {
  return x === 1 || x === -1 && Math.abs(y) === Infinity ? 1 : x ** y;
}
var FUNCTIONS = {
  acos: Math.acos,
  acosh: Math.acosh,
  asin: Math.asin,
  asinh: Math.asinh,
  atan: Math.atan,
  atan2: Math.atan2,
  atanh: Math.atanh,
  cbrt: Math.cbrt,
  ceil: Math.ceil,
  copysign: (a, b) => isNegative(a) === isNegative(b) ? a : -a,
  cos: Math.cos,
  cosh: Math.cosh,
  digamma,
  erf,
  erfc,
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  fabs: Math.abs,
  floor: Math.floor,
  fmod: (a, b) => a % b,
  hypot: Math.hypot,
  lgamma,
  log: Math.log,
  log10: Math.log10,
  log1p: Math.log1p,
  log2: Math.log2,
  maximum: (a, b) => a >= b || Number.isNaN(a) ? a : b,
  minimum: (a, b) => a <= b || Number.isNaN(a) ? a : b,
  pow,
  power: pow,
  rint,
  sin: Math.sin,
  sinh: Math.sinh,
  sqrt: Math.sqrt,
  tan: Math.tan,
  tanh: Math.tanh,
  tgamma,
  trunc: Math.trunc
};
var PREDICATES = {
  isnan: Number.isNaN,
  truth: (x) => x !== 0
};
function quotient(a, b) {
  return b === 0 ? 0 : Math.trunc(a / b);
}
function remainder(a, b) {
  return b === 0 ? 0 : a % b;
}
var OF_INTEGERS = {
  "/": quotient,
  fmod: remainder,
  copysign: (a) => a
};
var OF_BOOLEANS = {
  "+": (a, b) => a | b,
  "-": (a, b) => a ^ b,
  "*": (a, b) => a & b
};
var ARITHMETIC = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b
};
var LOGICAL = {
  "&": (a, b) => a & b,
  "|": (a, b) => a | b,
  "^": (a, b) => a ^ b
};
var COMPARISONS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b
};

// ../../work/wt/xq/explorer/src/interpreter/lowering.ts
var TOKEN = /\s*(?:(\d+\.?\d*(?:e[+-]?\d+)?)|([A-Za-z_]\w*)|(<=|>=|==|!=|[-+*\/&|^~<>(),;=]))/y;
var LEVELS = [["<", "<=", ">", ">=", "==", "!="], ["|"], ["^"], ["&"], ["+", "-"], ["*", "/"]];
var LETTERS = "abcdefgh";
function compileLowering(text2, dtypes, params, result) {
  return new Compiler(text2, dtypes, params, result).program();
}
var Compiler = class {
  tokens = [];
  at = 0;
  names = /* @__PURE__ */ new Map();
  kind;
  cells;
  constructor(text2, dtypes, params, result) {
    TOKEN.lastIndex = 0;
    for (let end = 0; end < text2.length; end = TOKEN.lastIndex) {
      const found = TOKEN.exec(text2);
      if (found === null) throw new Error(`cannot read the lowering ${text2}`);
      this.tokens.push(found[0].trim());
    }
    this.names.set("inf", { kind: void 0, compute: () => Infinity });
    for (const [name, value] of Object.entries(params)) {
      const number2 = typeof value === "number" ? value : Number(value?.float ?? NaN);
      this.names.set(name, { kind: void 0, compute: () => number2 });
    }
    dtypes.forEach((dtype, k) => {
      const part = { kind: kindOf(dtype), compute: (cells) => cells[k] };
      this.names.set(LETTERS[k], part);
      if (dtypes.length === 1) this.names.set("x", part);
    });
    this.cells = dtypes.length;
    this.kind = kindOf(result === "bool" ? dtypes[dtypes.length - 1] ?? result : result);
  }
  program() {
    const named = [];
    while (this.tokens[this.at + 1] === "=") {
      const name = this.next();
      this.next();
      const part = this.expression(0);
      const cell = this.cells++;
      named.push([cell, part.compute]);
      this.names.set(name, { kind: part.kind, compute: (cells) => cells[cell] });
      this.next();
    }
    const last = this.expression(0).compute;
    if (this.at < this.tokens.length) throw new Error(`cannot read the lowering from ${this.tokens[this.at]} on`);
    if (named.length === 0) return last;
    return (cells) => {
      for (const [cell, compute] of named) cells[cell] = compute(cells);
      return last(cells);
    };
  }
  next() {
    const token = this.tokens[this.at++];
    if (token === void 0) throw new Error("the lowering ends too early");
    return token;
  }
  expression(level) {
    const symbols = LEVELS[level];
    if (symbols === void 0) return this.unary();
    let left = this.expression(level + 1);
    while (symbols.includes(this.tokens[this.at] ?? "")) {
      left = this.binary(this.next(), left, this.expression(level + 1));
    }
    return left;
  }
  unary() {
    const token = this.next();
    if (token === "-") {
      const { kind, compute } = this.unary();
      return { kind, compute: kind === "integer" ? (cells) => 0 - compute(cells) : (cells) => -compute(cells) };
    }
    if (token === "~") {
      const { compute } = this.unary();
      return { kind: "boolean", compute: (cells) => 1 - compute(cells) };
    }
    if (token === "(") {
      const inner = this.expression(0);
      this.next();
      return inner;
    }
    if (/^\d/.test(token)) {
      const number2 = Number(token);
      return { kind: void 0, compute: () => number2 };
    }
    if (this.tokens[this.at] === "(") return this.called(token);
    const found = this.names.get(token);
    if (found === void 0) throw new Error(`the lowering has no ${token}`);
    return found;
  }
  binary(symbol, left, right) {
    const kind = left.kind ?? right.kind ?? this.kind;
    const [a, b] = [this.as(left, kind), this.as(right, kind)];
    const compare = COMPARISONS[symbol];
    if (compare !== void 0) return { kind: "boolean", compute: (cells) => Number(compare(a(cells), b(cells))) };
    const logical = LOGICAL[symbol];
    if (logical !== void 0) return { kind: "boolean", compute: (cells) => logical(a(cells), b(cells)) };
    const special = kind === "integer" ? OF_INTEGERS[symbol] : kind === "boolean" ? OF_BOOLEANS[symbol] : void 0;
    const compute = special ?? ARITHMETIC[symbol];
    return this.rounded(kind, (cells) => compute(a(cells), b(cells)));
  }
  called(name) {
    const args = [];
    do {
      this.next();
      args.push(this.expression(0));
    } while (this.tokens[this.at] === ",");
    this.next();
    if (name === "select") {
      const [condition, yes, no] = args;
      const kind2 = yes.kind ?? no.kind ?? this.kind;
      const [a, b, chosen] = [this.as(yes, kind2), this.as(no, kind2), condition.compute];
      return { kind: kind2, compute: (cells) => chosen(cells) ? a(cells) : b(cells) };
    }
    const kind = args.find((part) => part.kind !== void 0)?.kind ?? this.kind;
    const [first, second] = args.map((part) => this.as(part, kind));
    const predicate = PREDICATES[name];
    if (predicate !== void 0) return { kind: "boolean", compute: (cells) => Number(predicate(first(cells))) };
    const compute = (kind === "integer" ? OF_INTEGERS[name] : void 0) ?? FUNCTIONS[name];
    if (compute === void 0) throw new Error(`the instruction ${name} is not known here`);
    return this.rounded(
      kind,
      second === void 0 ? (cells) => compute(first(cells)) : (cells) => compute(first(cells), second(cells))
    );
  }
  /** A part as a number of some kind: numbers of the text are rounded to it. */
  as(part, kind) {
    if (part.kind !== void 0) return part.compute;
    const number2 = rounder[kind](part.compute([]));
    return () => number2;
  }
  rounded(kind, compute) {
    return { kind, compute: kind === "float32" ? (cells) => Math.fround(compute(cells)) : compute };
  }
};

// ../../work/wt/xq/explorer/src/interpreter/program.ts
var MAX_STEPS = 1e5;
var Program = class _Program {
  constructor(graph, lowerings) {
    this.graph = graph;
    this.lowerings = lowerings;
    const missing = /* @__PURE__ */ new Set();
    this.constants = graph.nodes.map(({ constant }) => constant === void 0 ? void 0 : read(constant));
    this.runs = graph.nodes.map((node) => {
      if (node.hop === "input" || node.hop === "constant") return void 0;
      try {
        return this.prepared(node, missing);
      } catch (problem) {
        missing.add(`${node.hop}: ${problem.message}`);
        return void 0;
      }
    });
    this.missing = [...missing];
  }
  /** What keeps some values from being computed here: hops and dtypes, each once. */
  missing;
  runs;
  constants;
  /** The nodes that some of them need, operands first. */
  needed(outputs) {
    const marks = new Uint8Array(this.graph.nodes.length);
    for (const node of outputs) marks[node] = 1;
    for (let node = marks.length - 1; node >= 0; node--) {
      if (marks[node]) for (const arg of this.graph.nodes[node].args ?? []) marks[arg] = 1;
    }
    return [...marks.keys()].filter((node) => marks[node]);
  }
  /** The values of some nodes, listed as by `needed`, from those of the inputs, in their order; by the number of the node. */
  run(inputs, nodes) {
    const values = this.constants.slice();
    this.graph.inputs.forEach((node, k) => {
      values[node] = inputs[k];
    });
    for (const node of nodes) {
      const run = this.runs[node];
      if (run === void 0) continue;
      const args = this.graph.nodes[node].args.map((arg) => values[arg]);
      if (args.includes(void 0)) continue;
      try {
        values[node] = run(args);
      } catch (problem) {
        if (!(problem instanceof RangeError)) throw problem;
      }
    }
    return values;
  }
  /** The values of the outputs. */
  call(inputs) {
    const values = this.run(inputs, this.needed(this.graph.outputs));
    return this.graph.outputs.map((node) => values[node]);
  }
  prepared(node, missing) {
    const params = node.params ?? {};
    if (node.hop === "item") return ([all]) => all[params["index"]];
    const loop = LOOPS[node.hop];
    if (loop !== void 0) {
      const callable = (param) => {
        const program = new _Program(param.graph, this.lowerings);
        program.missing.forEach((one) => missing.add(one));
        return called(program);
      };
      return loop(params, callable);
    }
    if (node.shape === void 0 || node.dtype === void 0) throw new Error("not computed here");
    const like = { shape: node.shape, dtype: node.dtype };
    const kind = kindOf(like.dtype);
    if (kind === void 0) throw new Error(`numbers of ${like.dtype} are not computed with here`);
    const dtypes = node.args.map((arg) => this.graph.nodes[arg].dtype ?? "several");
    const unknown = dtypes.find((dtype) => kindOf(dtype) === void 0);
    if (unknown !== void 0) throw new Error(`numbers of ${unknown} are not computed with here`);
    const lowering = this.lowerings[node.hop];
    const compute = HOPS[node.hop] ?? (lowering === void 0 ? void 0 : "axes" in params ? reduction(lowering, params, like) : elementwise2(lowering, dtypes, params, like));
    if (compute === void 0) throw new Error("not computed here");
    const round = rounder[kind];
    return (args) => {
      const data = compute(args, params, like);
      return { ...like, data: kind === "float32" ? Float64Array.from(data, round) : data };
    };
  }
};
function elementwise2(text2, dtypes, params, like) {
  const compute = compileLowering(text2, dtypes, params, like.dtype);
  return (args) => {
    const where = args.map((arg) => arg.data.length === size(like.shape) ? void 0 : places(arg.shape, like.shape));
    const cells = [];
    return Float64Array.from({ length: size(like.shape) }, (_, k) => {
      args.forEach((arg, j) => {
        cells[j] = arg.data[where[j]?.[k] ?? k];
      });
      return compute(cells);
    });
  };
}
var NEUTRAL = { "a + b": 0, "a * b": 1, "a | b": 0, "a & b": 1 };
function reduction(text2, params, like) {
  const put2 = compileLowering(text2, [like.dtype, like.dtype], {}, like.dtype);
  const truth = like.dtype === "bool";
  return ([x]) => {
    const { starts, steps } = lines(x.shape, params["axes"]);
    return Float64Array.from(starts, (start) => {
      if (steps.length === 0) return NEUTRAL[text2] ?? NaN;
      const element = (k) => {
        const found2 = x.data[start + steps[k]];
        return truth ? Number(found2 !== 0) : found2;
      };
      let found = element(0);
      for (let k = 1; k < steps.length; k++) found = put2([found, element(k)]);
      return found;
    });
  };
}
function called(program) {
  return (inputs) => {
    const found = program.call(inputs);
    if (found.includes(void 0)) throw new RangeError("not computed here");
    return found;
  };
}
function columns(rows, likes) {
  return likes.map(({ shape, dtype }, k) => ({
    shape: [rows.length, ...shape],
    dtype,
    data: Float64Array.from(rows.flatMap((row2) => Array.from(row2?.[k].data ?? new Float64Array(size(shape)))))
  }));
}
function row(x, k) {
  const shape = x.shape.slice(1);
  return { shape, dtype: x.dtype, data: Array.from(x.data).slice(k * size(shape), (k + 1) * size(shape)) };
}
function nothing(length) {
  return new Array(length).fill(void 0);
}
var scan = (params, callable) => {
  const body = callable(params["body"]);
  const { nodes, outputs } = params["body"].graph;
  const [consts, carries, length] = [params["consts"], params["carries"], params["length"]];
  const likes = outputs.slice(carries).map((node) => nodes[node]);
  return (args) => {
    const counted = params["counted"] ? 1 : 0;
    const count = counted ? Math.min(args[0].data[0], length) : length;
    const operands = args.slice(counted);
    const fixed = operands.slice(0, consts);
    const first = operands.slice(consts, consts + carries);
    const xs = operands.slice(consts + carries);
    const [before2, results] = [nothing(length), nothing(length)];
    let state = first;
    for (let k = 0; k < count; k++) {
      const at = params["reverse"] ? count - 1 - k : k;
      const found = body([...fixed, ...state, ...xs.map((x) => row(x, at))]);
      before2[at] = state;
      results[at] = found.slice(carries);
      state = found.slice(0, carries);
    }
    return [...state, ...columns(results, likes), ...columns(before2, first)];
  };
};
var whileLoop = (params, callable) => {
  const [body, condition] = [callable(params["body"]), callable(params["cond"])];
  const [consts, bound] = [params["consts"], params["max_steps"]];
  return (args) => {
    const fixed = args.slice(0, consts);
    const first = args.slice(consts);
    const before2 = [];
    let state = first;
    while (condition([...fixed, ...state])[0].data[0]) {
      if (before2.length === (bound ?? MAX_STEPS)) throw new RangeError("the loop does not end");
      before2.push(state);
      state = body([...fixed, ...state]);
    }
    const count = { shape: [], dtype: "int64", data: [before2.length] };
    if (bound === null) return [...state, count];
    return [...state, count, ...columns([...before2, ...nothing(bound - before2.length)], first)];
  };
};
var switchBranch = (params, callable) => {
  const branches = params["branches"].map(callable);
  return ([index2, ...args]) => branches[Math.min(Math.max(index2.data[0], 0), branches.length - 1)](args);
};
var LOOPS = { scan, switch: switchBranch, while_loop: whileLoop };

// ../../work/wt/xq/explorer/src/interpreter/index.ts
var Interpreter = class {
  constructor(explanation) {
    this.explanation = explanation;
    const live = explanation.live ?? { recorded: "the file holds no graph of the derivatives" };
    if ("recorded" in live) {
      [this.reason, this.live, this.inputs] = [live.recorded, false, []];
      return;
    }
    this.columns = live;
    this.program = new Program(live.graph, live.lowerings);
    this.inputs = live.inputs;
    this.recorded = live.inputs.map((node) => {
      const written2 = explanation.graph.nodes[node].value;
      return written2 === void 0 ? void 0 : read(written2);
    });
    this.reason = this.program.missing.map((one) => `recorded only: ${one}`).join("; ");
    this.live = this.value(/* @__PURE__ */ new Map()) !== void 0;
  }
  /** Why numbers are recorded only, in words; empty where all of them follow the inputs. */
  reason;
  /** Whether anything follows the inputs. */
  live;
  /** The nodes of the document that are inputs and can be changed. */
  inputs;
  program;
  columns;
  recorded = [];
  orders = /* @__PURE__ */ new Map();
  /** All numbers at some inputs. */
  numbers(inputs) {
    if (this.columns === void 0) return { values: [], adjoints: [], locals: [], shares: [], holds: [] };
    const { values, adjoints, locals, shares } = this.columns;
    const wanted = [values, adjoints, locals, shares].flat();
    const found = this.computed("numbers", wanted, inputs);
    const pick = (column) => column.map((node) => node === null ? void 0 : found[node]);
    const own = pick(values);
    return {
      values: own,
      adjoints: pick(adjoints),
      locals: pick(locals),
      shares: pick(shares),
      holds: (this.explanation.graph.guards ?? []).map(({ node, value }) => same2(own[node], read(value)))
    };
  }
  /** The result at some inputs, computed without the derivatives. */
  value(inputs) {
    return this.some("value", this.columns?.values ?? [], [this.explanation.output], inputs)[0];
  }
  /** The derivatives of the result by the chosen inputs, in the order of the file's `wrt`: zeros where nothing flows. */
  gradient(inputs) {
    const { wrt, graph } = this.explanation;
    const found = this.some("gradient", this.columns?.adjoints ?? [], wrt, inputs);
    return wrt.map((node, k) => {
      if (this.columns === void 0 || this.columns.adjoints[node] !== null) return found[k];
      const { shape = [], dtype = "float64" } = graph.nodes[node];
      return { shape, dtype, data: new Float64Array(size(shape)) };
    });
  }
  some(key, column, nodes, inputs) {
    const wanted = nodes.map((node) => column[node] ?? null);
    const found = this.computed(key, wanted, inputs);
    return wanted.map((node) => node === null ? void 0 : found[node]);
  }
  computed(key, wanted, inputs) {
    if (this.program === void 0) return [];
    let order = this.orders.get(key);
    if (order === void 0) {
      order = this.program.needed(wanted.filter((node) => node !== null));
      this.orders.set(key, order);
    }
    return this.program.run(
      this.inputs.map((node, k) => inputs.get(node) ?? this.recorded[k]),
      order
    );
  }
};
function same2(a, b) {
  return a !== void 0 && b !== void 0 && Array.from(a.data).every((x, k) => Object.is(x + 0, b.data[k] + 0));
}

// ../../work/wt/xq/explorer/test/evaluate.ts
function number(x) {
  return Object.is(x, -0) ? "-0.0" : Number.isFinite(x) ? x : String(x);
}
function written(value) {
  const found = value;
  return found === void 0 ? null : { ...found, data: Array.from(found.data, number) };
}
function answer(task) {
  if ("graph" in task) {
    const program = new Program(task.graph, task.lowerings);
    return { missing: program.missing, outputs: program.call(task.inputs.map(read)).map(written) };
  }
  const interpreter = new Interpreter(task.explanation);
  const inputs = new Map(Object.entries(task.inputs).map(([node, value]) => [Number(node), read(value)]));
  const { values, adjoints, locals, shares, holds } = interpreter.numbers(inputs);
  return {
    live: interpreter.live,
    reason: interpreter.reason,
    value: written(interpreter.value(inputs)),
    gradient: interpreter.gradient(inputs).map(written),
    values: values.map(written),
    adjoints: adjoints.map(written),
    locals: locals.map(written),
    shares: shares.map(written),
    holds
  };
}
var text = "";
for await (const part of stdin.setEncoding("utf8")) text += part;
stdout.write(JSON.stringify(JSON.parse(text).map(answer)));
