// How boxes and arrows look now: what both ways of drawing agree on.

import type { App } from "./app";
import { extent } from "./document";
import { heat, type Arrow, type Box, type Scene } from "./scene";

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

function sick(app: App, box: Box): boolean {
  if (!box.group) return !app.fine(box.node) || !extent(app.adjoint(box.node)).finite;
  return app.troubled(box.group.first, box.group.last);
}
