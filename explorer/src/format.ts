// Numbers and arrays as short text.

import { type Data, type Item, isComplex, items, numbers, real } from "./document";

/** At most so many significant digits, a true minus sign, powers of ten as ×10ⁿ. */
export function digits(value: number, count = 6): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return Object.is(value, -0) ? "−0" : "0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 10 ** count) return signed(String(Number(value.toPrecision(count))));
  const [mantissa, power] = value.toExponential(count - 1).split("e");
  return `${signed(String(Number(mantissa)))}×10${raised(Number(power))}`;
}

function signed(text: string): string {
  return text.replace("-", "−");
}

export function raised(power: number): string {
  return [...String(power)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)])).join("");
}

/** An element of an array: a boolean, a real or a complex number. */
export function element(item: Item, count = 6): string {
  if (typeof item !== "object") return typeof item === "boolean" ? String(item) : digits(real(item), count);
  const [re, im] = item.map(real);
  const size = digits(Math.abs(im), count);
  const imaginary = Number.isNaN(im) || !Number.isFinite(im) ? `${size}·i` : size === "1" ? "i" : `${size}i`;
  if (im === 0) return digits(re, count);
  if (re === 0) return `${im < 0 ? "−" : ""}${imaginary}`;
  return `${digits(re, count)} ${im < 0 ? "−" : "+"} ${imaginary}`;
}

/** A value in one line: the number, a few elements, or the shape with the range. */
export function short(data: Data | undefined, count = 6): string {
  if (data === undefined) return "";
  if (typeof data !== "object") return digits(real(data), count);
  if (!data.shape.length) return element(items(data)[0], count);
  const sizes = `${data.shape.join("×")}${isComplex(data) ? ": |·|" : ":"}`;
  if (data.summary) {
    const { min, max } = data.summary;
    return `${sizes} ${digits(real(min), 4)} … ${digits(real(max), 4)}`;
  }
  const all = numbers(data);
  if (all.length <= 4 && data.shape.length === 1) return `[${items(data).map((item) => element(item, 4)).join(", ")}]`;
  if (!all.length) return `${data.shape.join("×")}: empty`;
  const finite = all.filter(Number.isFinite);
  const odd = finite.length < all.length ? `, ${all.length - finite.length} not finite` : "";
  if (!finite.length) return `${data.shape.join("×")}${odd}`;
  const [low, high] = range(finite);
  return `${sizes} ${low === high ? `all ${digits(low, 4)}` : `${digits(low, 4)} … ${digits(high, 4)}`}${odd}`;
}

export function range(values: Iterable<number>): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** A count: all its digits while they can be read, else rounded to a power of ten. */
export function counting(count: number | bigint): string {
  const words = count.toLocaleString("en");
  const all = String(count);
  return all.length <= 15 ? words : `≈ ${all[0]}.${all.slice(1, 4)}×10${raised(all.length - 1)}`;
}

export function counted(count: number | bigint, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 || count === 1n ? one : many}`;
}
