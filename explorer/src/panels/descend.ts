// Gradient descent on the explained function: the loss over the steps, the way over the contours of two parameters, and
// the decision of a classifier of points in the plane.

import type { App } from "../app";
import { h, s } from "../dom";
import { digits, range } from "../format";
import type { Point } from "../lively";
import { HEIGHT, WIDTH, axes, curve, frame, inside, seen } from "../plot";

const GRID = 48;
const BANDS = 12;
const PLANE = 60;
const MOST_STEPS = 5_000;
const MAX_RUN = 24; // milliseconds of a frame

interface Method {
  name: string;
  rate: number;
  /** One step; `memory` is the method's own, by parameter. */
  step(x: number[], g: number[], rate: number, memory: number[][], t: number): number[];
}

/** Plain descent; momentum after Polyak (1964); Adam after Kingma & Ba, "Adam: a method for stochastic optimization" (2015). */
export const METHODS: Method[] = [
  { name: "gradient descent", rate: 0.1, step: (x, g, rate) => x.map((v, k) => v - rate * g[k]) },
  {
    name: "momentum", rate: 0.05,
    step: (x, g, rate, memory) => {
      const v = (memory[0] ??= x.map(() => 0));
      return x.map((old, k) => old - rate * (v[k] = 0.9 * v[k] + g[k]));
    },
  },
  {
    name: "Adam", rate: 0.1,
    step: (x, g, rate, memory, t) => {
      const m = (memory[0] ??= x.map(() => 0));
      const v = (memory[1] ??= x.map(() => 0));
      return x.map((old, k) => {
        m[k] = 0.9 * m[k] + 0.1 * g[k];
        v[k] = 0.999 * v[k] + 0.001 * g[k] ** 2;
        return old - (rate * (m[k] / (1 - 0.9 ** t))) / (Math.sqrt(v[k] / (1 - 0.999 ** t)) + 1e-8);
      });
    },
  },
];

export function descendPanel(app: App): HTMLElement {
  const { model, lively, store } = app;
  const wrt = model.doc.wrt.filter((id) => lively.inputs.includes(id) && /^float/.test(model.nodes[id].dtype));
  if (!lively.live || !wrt.length || model.nodes[model.doc.output].shape.length) {
    const why = model.nodes[model.doc.output].shape.length ? "its result is an array, not one number" : lively.reason || "no input is differentiated by that the page can change";
    return h("p", { class: "recorded" }, `Descent is not possible here: ${why}.`);
  }
  const count = wrt.reduce((sum, id) => sum + lively.recorded(id).length, 0);
  let method = METHODS[0];
  let memories = new Map<number, number[][]>();
  let losses: number[] = [];
  let way: number[][] = [];
  let timer = 0;
  let time = 0;

  const rate = h("input", { type: "number", min: 0, step: "any", "aria-label": "Rate" });
  const choice = h(
    "select",
    { "aria-label": "Method", change: () => { method = METHODS[Number(choice.value)]; reset(); } },
    ...METHODS.map(({ name }, k) => h("option", { value: k }, name)),
  );
  const words = h("p", { class: "number", role: "status" });
  const lossPlot = s("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  const contour = count === 2 ? new Contours(app, wrt) : null;
  const plane = Plane.of(app);

  const point = (): Point => lively.point();
  const flat = (): number[] => wrt.flatMap((id) => lively.input(id));
  const note = (): void => {
    losses.push(lively.result(point()));
    if (count === 2) way.push(flat());
  };
  /** One step. False where it leads nowhere: the loss is not finite, or nothing changes. */
  const step = (): boolean => {
    if (losses.length > MOST_STEPS) return false;
    if (!losses.length) note();
    const here = point();
    const gradient = lively.gradient(here);
    time++;
    const inputs: Record<string, number[]> = { ...store.state.inputs };
    let moved = false;
    for (const id of wrt) {
      const x = lively.input(id);
      const memory = memories.get(id) ?? [];
      memories.set(id, memory);
      const g = gradient.get(id);
      if (!g) continue;
      const next = method.step(x, g, Number(rate.value), memory, time);
      if (!next.every(Number.isFinite)) return stopped("a parameter is no longer finite: a smaller rate may help");
      moved ||= next.some((v, k) => v !== x[k]);
      inputs[model.name(id)] = next;
    }
    if (!moved) return stopped("nothing changes any more");
    lively.update(inputs);
    if (!Number.isFinite(lively.result(point()))) {
      lively.update(pending ?? store.state.inputs);
      return stopped("the next loss would not be finite: a smaller rate may help");
    }
    note();
    pending = inputs;
    return true;
  };
  let pending: Record<string, number[]> | null = null;
  const show = (): void => {
    if (pending) store.set({ inputs: pending });
    pending = null;
    draw();
  };
  const stopped = (why: string): boolean => {
    reason = why;
    return false;
  };
  let reason = "";
  const run = h("button", { type: "button", click: () => (timer ? stop() : start()) }, "Run");
  const start = (): void => {
    reason = "";
    run.textContent = "Pause";
    const frameOfSteps = (): void => {
      const began = performance.now();
      let goes = true;
      let steps = 0;
      while (goes && steps < 4 && performance.now() - began < MAX_RUN) {
        goes = step();
        steps++;
      }
      show();
      if (goes) timer = requestAnimationFrame(frameOfSteps);
      else stop();
    };
    timer = requestAnimationFrame(frameOfSteps);
  };
  const stop = (): void => {
    cancelAnimationFrame(timer);
    timer = 0;
    run.textContent = "Run";
    draw();
  };
  const reset = (): void => {
    stop();
    memories = new Map();
    losses = [];
    way = [];
    time = 0;
    reason = "";
    store.set({ inputs: {} });
    rate.value = String(sensible());
    draw();
  };
  /** The method's own rate, halved until a first step goes down. */
  const sensible = (): number => {
    const start = point();
    const [loss, gradient] = [lively.result(start), lively.gradient(start)];
    let found = method.rate;
    for (let k = 0; k < 30; k++, found /= 2) {
      const next = new Map(start);
      for (const [id, g] of gradient) if (next.has(id)) next.set(id, method.step(next.get(id)!, g, found, [], 1));
      if (lively.result(next) <= loss) break;
    }
    return Number(found.toPrecision(3));
  };
  const draw = (): void => {
    const shown = losses.length ? losses : [lively.result(point())];
    const log = shown.length > 1 && shown.every((v) => v > 0);
    const ys = log ? shown.map(Math.log10) : shown;
    const a = axes([0, Math.max(10, shown.length - 1)], log ? [range(ys)[0] - 0.1, range(ys)[1] + 0.1] : seen(ys));
    lossPlot.setAttribute("aria-label", `The loss over ${shown.length - 1} steps, from ${digits(shown[0])} to ${digits(shown[shown.length - 1])}`);
    lossPlot.replaceChildren(
      ...frame(a, { x: "step", y: log ? "loss (log scale)" : "loss" }, log ? (v) => digits(10 ** v, 2) : undefined),
      inside(curve(a, shown.map((_, k) => k), ys, "result")),
    );
    words.textContent = `step ${Math.max(0, losses.length - 1)}: loss ${digits(shown[shown.length - 1], 8)}${reason ? `; ${reason}` : ""}`;
    contour?.draw(way.length ? way : [flat()]);
    plane?.draw();
  };
  rate.value = String(sensible());
  draw();
  return h(
    "div",
    { class: "descend" },
    h("div", { class: "bar" }, choice, h("label", {}, "rate ", rate)),
    h("div", { class: "bar" }, run, h("button", { type: "button", click: () => { reason = ""; stop(); step(); show(); } }, "One step"), h("button", { type: "button", click: reset }, "From the beginning")),
    words,
    h("figure", {}, lossPlot),
    contour?.element ?? null,
    plane?.element ?? null,
  );
}

/** The loss over two parameters in bands of equal height, and the way of the descent. */
class Contours {
  readonly element: HTMLElement;
  private readonly canvas = h("canvas", { class: "contours", width: 420, height: 320, role: "img" });
  private window: { x: [number, number]; y: [number, number] } | null = null;
  private grid: number[] = [];
  private readonly names: string[];

  constructor(
    private readonly app: App,
    private readonly wrt: number[],
  ) {
    const { model } = app;
    this.names = wrt.flatMap((id) => (model.nodes[id].shape.length ? app.lively.recorded(id).map((_, k) => `${model.name(id)}[${k}]`) : [model.name(id)]));
    this.element = h("figure", {}, this.canvas, h("figcaption", { class: "soft" }, `the loss over ${this.names[0]} (across) and ${this.names[1]} (up): darker is lower`));
  }

  draw(way: number[][]): void {
    const [xs, ys] = [way.map((p) => p[0]), way.map((p) => p[1])];
    const { window } = this;
    const outside = !window || xs.some((x) => x < window.x[0] || x > window.x[1]) || ys.some((y) => y < window.y[0] || y > window.y[1]);
    if (outside) this.sample(xs, ys);
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d")!;
    const style = getComputedStyle(document.documentElement);
    const image = context.createImageData(width, height);
    const finite = this.grid.filter(Number.isFinite).sort((a, b) => a - b);
    const bounds = Array.from({ length: BANDS }, (_, k) => finite[Math.floor(((k + 1) / (BANDS + 1)) * finite.length)] ?? 0);
    const band = (v: number): number => (Number.isFinite(v) ? bounds.filter((b) => v > b).length : -1);
    let above: number[] = [];
    for (let py = 0; py < height; py++) {
      const row: number[] = [];
      for (let px = 0; px < width; px++) {
        const here = band(this.between((px / (width - 1)) * (GRID - 1), (1 - py / (height - 1)) * (GRID - 1)));
        row.push(here);
        const edge = (px && row[px - 1] !== here) || (py && above[px] !== here);
        const t = here / BANDS;
        const colour = here < 0 ? [90, 90, 90] : edge ? [70, 80, 95] : [40 + 205 * t, 90 + 145 * t, 140 + 95 * t];
        image.data.set([...colour, 255], 4 * (py * width + px));
      }
      above = row;
    }
    context.putImageData(image, 0, 0);
    const { x, y } = this.window!;
    const toX = (v: number): number => ((v - x[0]) / (x[1] - x[0])) * width;
    const toY = (v: number): number => (1 - (v - y[0]) / (y[1] - y[0])) * height;
    for (const [line, colour] of [[4.5, "#ffffff"], [2, "#b84c00"]] as const) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.beginPath();
      way.forEach((p, k) => (k ? context.lineTo(toX(p[0]), toY(p[1])) : context.moveTo(toX(p[0]), toY(p[1]))));
      context.stroke();
    }
    const last = way[way.length - 1];
    context.fillStyle = style.getPropertyValue("--mark-line");
    context.beginPath();
    context.arc(toX(last[0]), toY(last[1]), 6, 0, 7);
    context.fill();
    context.strokeStyle = "#ffffff";
    context.stroke();
    this.canvas.setAttribute("aria-label", `Contours of the loss over ${this.names.join(" and ")}; the way leads from ${point(way[0])} to ${point(last)}`);
  }

  private between(u: number, v: number): number {
    const [i, j] = [Math.min(GRID - 2, Math.floor(u)), Math.min(GRID - 2, Math.floor(v))];
    const [a, b] = [u - i, v - j];
    const at = (di: number, dj: number): number => this.grid[(j + dj) * GRID + i + di];
    return (1 - b) * ((1 - a) * at(0, 0) + a * at(1, 0)) + b * ((1 - a) * at(0, 1) + a * at(1, 1));
  }

  private sample(xs: number[], ys: number[]): void {
    const wide = (values: number[]): [number, number] => {
      const [low, high] = range(values.filter(Number.isFinite));
      const room = Math.max(high - low, Math.abs(values[0]), 1) * 0.8;
      return [low - room, high + room];
    };
    const x = wide(xs);
    const y = wide(ys);
    this.window = { x, y };
    const { lively } = this.app;
    const base = lively.point();
    this.grid = Array.from({ length: GRID * GRID }, (_, k) => {
      const values = [x[0] + ((x[1] - x[0]) * (k % GRID)) / (GRID - 1), y[0] + ((y[1] - y[0]) * Math.floor(k / GRID)) / (GRID - 1)];
      const at = new Map(base);
      for (const id of this.wrt) at.set(id, values.splice(0, lively.recorded(id).length));
      return lively.result(at);
    });
  }
}

function point(values: number[]): string {
  return `(${values.map((v) => digits(v, 4)).join(", ")})`;
}

/** Points in the plane as an input, and what the computation says of each place: the sign, or the largest of several. */
class Plane {
  readonly element: HTMLElement;
  private readonly canvas = h("canvas", { class: "contours", width: 420, height: 320, role: "img" });

  private constructor(
    private readonly app: App,
    private readonly points: number,
    private scores: number,
    candidates: number[],
    /** Between the two labels that scores are subtracted from, if there are such. */
    private readonly between: { scores: number; middle: number } | null,
  ) {
    const { model } = app;
    const choice = h("select", { change: () => { this.scores = Number(choice.value); this.draw(); } }, ...candidates.map((id) => h("option", { value: id, selected: id === scores }, model.name(id))));
    this.element = h("figure", {}, this.canvas, h("figcaption", { class: "soft" }, h("label", {}, "what ", choice, ` says of each place; the points are ${model.name(points)}`)));
  }

  /** If an input of n points in the plane is given, and values with an entry for each of them come from it alone. */
  static of(app: App): Plane | null {
    const { model, lively } = app;
    const given = lively.inputs.find((id) => !model.wrt.has(id) && model.nodes[id].shape.length === 2 && model.nodes[id].shape[1] === 2 && model.nodes[id].shape[0] > 2);
    if (given === undefined) return null;
    const count = model.nodes[given].shape[0];
    const others = new Set(model.doc.graph.inputs.filter((id) => id !== given && !model.wrt.has(id)));
    const from = new Map<number, boolean>(); // whether a value comes from the points, and from nothing else that is given
    const candidates: number[] = [];
    let scores: number | undefined;
    let between: { scores: number; middle: number } | null = null;
    for (const id of model.shown) {
      const sources = (model.into.get(id) ?? []).map((k) => model.uses[k].source);
      if (others.has(id) || sources.some((k) => !from.has(k))) {
        // What meets something else that is given, such as labels, is what the points are judged by.
        if (scores === undefined) {
          scores = sources.find((k) => candidates.includes(k));
          if (scores !== undefined && model.nodes[id].hop === "subtract") {
            const labels = new Set(sources.filter((k) => others.has(k)).flatMap((k) => lively.recorded(k)));
            if (labels.size === 2) between = { scores, middle: (Math.min(...labels) + Math.max(...labels)) / 2 };
          }
        }
        continue;
      }
      from.set(id, id === given || sources.some((k) => from.get(k)));
      const { shape } = model.nodes[id];
      if (from.get(id) && id !== given && shape[0] === count && shape.length <= 2) candidates.push(id);
    }
    if (!candidates.length) return null;
    return new Plane(app, given, scores ?? candidates[candidates.length - 1], candidates, between);
  }

  draw(): void {
    const { lively, model } = this.app;
    const data = lively.input(this.points);
    const [px, py] = [data.filter((_, k) => k % 2 === 0), data.filter((_, k) => k % 2 === 1)];
    const wide = (values: number[]): [number, number] => {
      const [low, high] = range(values);
      const room = (high - low || 1) * 0.15;
      return [low - room, high + room];
    };
    const [x, y] = [wide(px), wide(py)];
    const places = Array.from({ length: PLANE * PLANE }, (_, k) => [x[0] + ((x[1] - x[0]) * ((k % PLANE) + 0.5)) / PLANE, y[0] + ((y[1] - y[0]) * (Math.floor(k / PLANE) + 0.5)) / PLANE]);
    const classes = this.classes(places);
    const { width, height } = this.canvas;
    const context = this.canvas.getContext("2d")!;
    const fills = ["#cfe3f2", "#fbdcc4", "#d8ecd2", "#e8d5ea", "#f3ecc0"];
    classes.forEach((c, k) => {
      context.fillStyle = c < 0 ? "#888888" : fills[c % fills.length];
      const [i, j] = [k % PLANE, Math.floor(k / PLANE)];
      context.fillRect((i * width) / PLANE, height - ((j + 1) * height) / PLANE, width / PLANE + 1, height / PLANE + 1);
    });
    // What is said of each point itself, by colour and by shape.
    const own = this.classes(px.map((v, k) => [v, py[k]]));
    const inks = ["#005a8c", "#b84c00", "#2c6b1f", "#8f2d6b", "#6b5a00"];
    px.forEach((v, k) => {
      const [cx, cy] = [((v - x[0]) / (x[1] - x[0])) * width, (1 - (py[k] - y[0]) / (y[1] - y[0])) * height];
      context.fillStyle = inks[Math.max(0, own[k]) % inks.length];
      context.beginPath();
      if (own[k] % 2) context.rect(cx - 4, cy - 4, 8, 8);
      else context.arc(cx, cy, 4.5, 0, 7);
      context.fill();
    });
    const kinds = new Set(classes).size;
    this.canvas.setAttribute("aria-label", `The plane divided by ${model.name(this.scores)} into ${kinds} kinds of places`);
  }

  private classes(places: number[][]): number[] {
    const { lively, model } = this.app;
    const [count] = model.nodes[this.points].shape;
    const { shape } = model.nodes[this.scores];
    const many = shape.length === 2 ? shape[1] : 1;
    const base = lively.point();
    const scores: number[][] = [];
    for (let k = 0; k < places.length; k += count) {
      const batch = places.slice(k, k + count);
      const filled = [...batch, ...Array.from({ length: count - batch.length }, () => batch[0])];
      const found = lively.inner(this.scores, new Map(base).set(this.points, filled.flat())) ?? [];
      batch.forEach((_, i) => scores.push(found.slice(i * many, (i + 1) * many)));
    }
    const all = scores.flat();
    // What is to be near one of two labels is divided between them, probabilities at one half, other scores at zero.
    const half = this.between?.scores === this.scores ? this.between.middle : all.every((v) => v >= 0 && v <= 1) ? 0.5 : 0;
    return scores.map((s) => (many > 1 ? s.indexOf(Math.max(...s)) : Number.isNaN(s[0]) ? -1 : s[0] > half ? 1 : 0));
  }
}
