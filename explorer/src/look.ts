// How boxes and arrows look now: what both ways of drawing agree on.

import type { App } from "./app";
import { extent } from "./document";
import { heat, type Arrow, type Box, type Role, type Scene } from "./scene";

export interface Look {
  boxes: Set<string>[];
  arrows: Set<string>[];
  /** The arrow along which the sweep moves now. */
  active: number | undefined;
}

/** Heat in seven steps, cold to hot, by the power of ten of what flows back. */
export const HEAT_WIDTHS = [1.4, 1.5, 1.7, 2, 3.2, 4.6, 6.2];
export const HEAT_DASHES: number[][] = [[2, 6], [4, 4], [8, 3], [], [], [], []];
export const HEAT_NAMES = ["below 10⁻⁸", "10⁻⁸ to 10⁻⁴", "10⁻⁴ to 10⁻¹", "10⁻¹ to 10", "10 to 10⁴", "10⁴ to 10⁸", "above 10⁸"];

export function heatStep(power: number): number {
  const bounds = [-8, -4, -1, 1, 4, 8];
  let step = 0;
  while (step < bounds.length && power > bounds[step]) step++;
  return step;
}

/** The heat of an arrow: that of the largest share that it stands for. */
export function arrowHeat(app: App, arrow: Arrow): { step: number; odd: "" | "NaN" | "∞" | "0" } {
  let most = -Infinity;
  for (const use of arrow.uses) {
    const { power, odd } = heat(app.share(use));
    if (odd === "NaN" || odd === "∞") return { step: -1, odd };
    most = Math.max(most, power);
  }
  return { step: heatStep(most), odd: most <= -12 ? "0" : "" };
}

export function look(app: App, scene: Scene): Look {
  const { pin, step } = app.store.state;
  const boxes = scene.boxes.map((box) => new Set<string>([box.kind]));
  const arrows = scene.arrows.map((arrow) => new Set<string>([arrow.active ? "flow" : "idle"]));
  scene.boxes.forEach((box, k) => {
    if (box.result) boxes[k].add("result");
    if (sick(app, box)) boxes[k].add("sick");
    if (step >= 0 && !box.group && !app.shownAt(box.node).value) boxes[k].add("pending");
  });
  const mark = (key: string, name: string): void => {
    const { nodes, uses } = app.related(key);
    for (const id of nodes) {
      const box = scene.boxOf(id);
      if (box !== undefined) boxes[box].add(name);
    }
    for (const use of uses) {
      const arrow = scene.arrowOf.get(use);
      if (arrow !== undefined) arrows[arrow].add(name);
    }
    const whole = scene.index.get(key);
    if (whole !== undefined) boxes[whole].add(name);
  };
  if (pin) mark(pin, "pinned");
  if (app.store.hover) mark(app.store.hover, "hot");
  for (const id of app.matches) {
    const box = scene.boxOf(id);
    if (box !== undefined) boxes[box].add("match");
  }
  if (app.path) {
    for (const use of app.path) {
      const arrow = scene.arrowOf.get(use);
      if (arrow !== undefined) arrows[arrow].add("path");
    }
  }
  let active: number | undefined;
  const now = app.step;
  if (now?.kind === "share") {
    active = scene.arrowOf.get(now.use);
    if (active !== undefined) arrows[active].add("active");
    const box = scene.boxOf(app.model.uses[now.use].source);
    if (box !== undefined) boxes[box].add("active");
  } else if (now) {
    const box = scene.boxOf(now.node);
    if (box !== undefined) boxes[box].add("active");
    if (now.kind === "value") {
      for (const use of app.model.into.get(now.node) ?? []) {
        const arrow = scene.arrowOf.get(use);
        if (arrow !== undefined) arrows[arrow].add("feeding");
      }
    }
  }
  if (step >= 0) {
    scene.arrows.forEach((arrow, k) => {
      const done = arrow.uses.some((use) => (app.sweeps.shareStep.get(use) ?? Infinity) <= step);
      if (done) arrows[k].add("done");
    });
  }
  return { boxes, arrows, active };
}

/** A line: the name of its colour, its width, its dashes. */
export interface Stroke {
  colour: string;
  width: number;
  dash: number[];
}

/** How an arrow is drawn where no style sheet does it. */
export function arrowStroke(app: App, arrow: Arrow, marks: Set<string>): Stroke {
  const line = (colour: string, width: number, dash: number[] = []): Stroke => ({ colour, width, dash });
  if (marks.has("pinned") || marks.has("hot") || marks.has("active")) return line("mark-line", 3);
  if (app.store.state.heat && arrow.active) {
    const { step } = arrowHeat(app, arrow);
    return step < 0 ? line("bad", 4, [10, 3, 2, 3]) : line(`heat${step}`, HEAT_WIDTHS[step], HEAT_DASHES[step]);
  }
  if (marks.has("path")) return line("local", 3);
  if (marks.has("done")) return line("adjoint", 1.4);
  return line("line", 1.4, arrow.active ? [] : [2, 4]);
}

/** How a box is drawn where no style sheet does it: the name of its colour, and its border. */
export function boxPaint(box: Box, marks: Set<string>): { fill: string; border: Stroke } {
  const kind = box.result ? "result" : box.kind === "input" ? "input" : "";
  const hot = marks.has("pinned") || marks.has("hot");
  const sick = marks.has("sick");
  return {
    fill: marks.has("match") || marks.has("active") ? "mark" : kind || "box",
    border: {
      colour: hot ? "mark-line" : sick ? "bad" : kind ? `${kind}-line` : "line",
      width: hot ? 3.5 : sick ? 2.4 : 1.3,
      dash: box.kind === "given" || box.kind === "constant" ? [4, 3] : [],
    },
  };
}

/** The name of the colour of a line of text. */
export const INKS: Record<Role, string> = { name: "ink", value: "soft", number: "soft", soft: "soft", local: "local", adjoint: "adjoint", bad: "bad" };

/** The tip of an arrow of some width: its three corners. */
export function tip(path: { x: number; y: number }[], width: number): { x: number; y: number }[] {
  const end = path[path.length - 1];
  const before = path[path.length - 2];
  const angle = Math.atan2(end.y - before.y, end.x - before.x);
  const length = 7.5 * Math.max(1, width / 2.4);
  const corner = (side: number) => ({ x: end.x - length * Math.cos(angle + side * 0.42), y: end.y - length * Math.sin(angle + side * 0.42) });
  return [end, corner(-1), corner(1)];
}

function sick(app: App, box: Box): boolean {
  if (!box.group) return !app.fine(box.node) || !extent(app.adjoint(box.node)).finite;
  return app.troubled(box.group.first, box.group.last);
}
