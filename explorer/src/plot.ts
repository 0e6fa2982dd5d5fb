// Small plots in SVG: curves over axes with a few round numbers.

import { s } from "./dom";
import { digits, range } from "./format";

export const WIDTH = 420;
export const HEIGHT = 230;
const LEFT = 58;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 30;

export interface Axes {
  x: [number, number];
  y: [number, number];
  /** To the plot and back. */
  toX(x: number): number;
  toY(y: number): number;
  fromX(px: number): number;
}

export function axes(x: [number, number], y: [number, number]): Axes {
  if (!(y[1] > y[0])) y = [y[0] - 1, y[0] + 1];
  const [wide, high] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  return {
    x, y,
    toX: (v) => LEFT + ((v - x[0]) / (x[1] - x[0])) * wide,
    toY: (v) => TOP + (1 - (v - y[0]) / (y[1] - y[0])) * high,
    fromX: (px) => x[0] + ((px - LEFT) / wide) * (x[1] - x[0]),
  };
}

/** The range of values, without the most extreme ones that would flatten the rest, and a little room. */
export function seen(values: number[]): [number, number] {
  const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!finite.length) return [-1, 1];
  const cut = Math.floor(finite.length * 0.03);
  const [low, high] = range(finite.slice(cut, finite.length - cut));
  const room = (high - low) * 0.12 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Round numbers in a range: 1, 2 or 5 times a power of ten apart. */
export function ticks([low, high]: [number, number], count = 5): number[] {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= raw) ?? raw;
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9 && found.length < 20; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return found;
}

export function frame(a: Axes, labels: { x: string; y: string }, say: (v: number) => string = (v) => digits(v, 3)): SVGElement[] {
  const parts: SVGElement[] = [s("rect", { class: "frame", x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM })];
  for (const t of ticks(a.x)) {
    parts.push(s("line", { class: "grid", x1: a.toX(t), x2: a.toX(t), y1: TOP, y2: HEIGHT - BOTTOM }), s("text", { class: "tick", x: a.toX(t), y: HEIGHT - BOTTOM + 14 }, digits(t, 3)));
  }
  for (const t of ticks(a.y, 4)) {
    parts.push(s("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: a.toY(t), y2: a.toY(t) }), s("text", { class: "tick end", x: LEFT - 5, y: a.toY(t) + 4 }, say(t)));
  }
  parts.push(s("text", { class: "tick", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 3 }, labels.x), s("text", { class: "tick start", x: 2, y: 10 }, labels.y));
  return parts;
}

/** A curve through points; it is interrupted where a number is not finite. */
export function curve(a: Axes, xs: number[], ys: number[], name: string): SVGPathElement {
  let d = "";
  let pen = false;
  xs.forEach((x, k) => {
    const y = ys[k];
    if (!Number.isFinite(y)) {
      pen = false;
      return;
    }
    const py = Math.max(-1e4, Math.min(1e4, a.toY(y)));
    d += `${pen ? "L" : "M"}${a.toX(x).toFixed(1)} ${py.toFixed(1)}`;
    pen = true;
  });
  return s("path", { class: `curve ${name}`, d });
}

/** The curves, cut off at the frame. */
export function inside(...curves: SVGElement[]): SVGElement {
  const [width, height] = [WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  return s("svg", { x: LEFT, y: TOP, width, height, viewBox: `${LEFT} ${TOP} ${width} ${height}` }, ...curves);
}
