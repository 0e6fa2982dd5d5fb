// The picture on a canvas: for more than a thousand boxes, and for saving it as an image.

import type { App } from "./app";
import type { Camera, View } from "./camera";
import type { Drawer } from "./draw-svg";
import { h } from "./dom";
import { INKS, arrowStroke, boxPaint, look, tip, type Look, type Stroke } from "./look";
import { FONT, LEADING, SIZES, arrowRows, boxRows, type Arrow, type Row, type Scene } from "./scene";

const LEGIBLE = 0.4; // pixels a unit: below that, text is not drawn
const MAX_LINES = 40_000; // arrows in one frame
const REACH = 6; // pixels from an arrow within which the mouse means it
const PIECES = 16; // straight lines that stand for a curve

interface Point {
  x: number;
  y: number;
}

export class CanvasDrawer implements Drawer {
  readonly element = h("canvas", { class: "picture", "aria-hidden": "true" });
  private scene: Scene | null = null;
  private found: Look | null = null;
  private asked = false;

  constructor(
    private readonly app: App,
    private readonly camera: Camera,
  ) {
    camera.onMove(() => this.ask());
    new ResizeObserver(() => this.ask()).observe(this.element);
  }

  draw(scene: Scene): void {
    this.scene = scene;
    this.refresh();
  }

  refresh(): void {
    if (this.scene) this.found = look(this.app, this.scene);
    this.ask();
  }

  mark(): void {
    this.refresh();
  }

  private ask(): void {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.frame();
    });
  }

  private frame(): void {
    if (!this.scene || !this.found || !this.element.isConnected) return;
    const { clientWidth, clientHeight } = this.element;
    const ratio = devicePixelRatio || 1;
    if (this.element.width !== clientWidth * ratio || this.element.height !== clientHeight * ratio) {
      this.element.width = clientWidth * ratio;
      this.element.height = clientHeight * ratio;
    }
    const context = this.element.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(context, this.app, this.scene, this.found, this.camera.view, { width: clientWidth, height: clientHeight });
  }

  hit(event: MouseEvent): string {
    if (!this.scene) return "";
    const { left, top } = this.element.getBoundingClientRect();
    const { x, y, k } = this.camera.view;
    const at = { x: x + (event.clientX - left) / k, y: y + (event.clientY - top) / k };
    const found = this.scene.boxes.find(
      (box) => Math.abs(at.x - box.x) <= box.width / 2 && Math.abs(at.y - box.y) <= box.height / 2,
    );
    return found?.key ?? this.arrowAt(at, REACH / k)?.key ?? "";
  }

  /** The arrow whose label or line is at a point, or the nearest within reach. */
  private arrowAt(at: Point, reach: number): Arrow | undefined {
    let nearest: Arrow | undefined;
    let least = reach;
    for (const arrow of this.scene!.arrows) {
      const { label, path } = arrow;
      if (label && Math.abs(at.x - label.x) <= label.width / 2 && Math.abs(at.y - label.y) <= label.height / 2) return arrow;
      const far = distance(at, path, least);
      if (far < least) [nearest, least] = [arrow, far];
    }
    return nearest;
  }
}

/** How far a point is from a path of Bézier curves, taken as short straight lines; at least `limit` if it is that far. */
function distance(at: Point, path: Point[], limit: number): number {
  let least = limit;
  for (let i = 0; i + 3 < path.length; i += 3) {
    const [a, b, c, d] = path.slice(i, i + 4);
    // A curve stays within the box of its four points.
    if (at.x < Math.min(a.x, b.x, c.x, d.x) - limit || at.x > Math.max(a.x, b.x, c.x, d.x) + limit) continue;
    if (at.y < Math.min(a.y, b.y, c.y, d.y) - limit || at.y > Math.max(a.y, b.y, c.y, d.y) + limit) continue;
    let from = a;
    for (let step = 1; step <= PIECES; step++) {
      const t = step / PIECES;
      const u = 1 - t;
      const [p, q, r, s] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
      const to = { x: p * a.x + q * b.x + r * c.x + s * d.x, y: p * a.y + q * b.y + r * c.y + s * d.y };
      const [dx, dy] = [to.x - from.x, to.y - from.y];
      const along = ((at.x - from.x) * dx + (at.y - from.y) * dy) / (dx * dx + dy * dy || 1);
      const part = Math.max(0, Math.min(1, along));
      least = Math.min(least, Math.hypot(at.x - from.x - part * dx, at.y - from.y - part * dy));
      from = to;
    }
  }
  return least;
}

/** Draws what of a scene lies in the window. */
export function paint(
  context: CanvasRenderingContext2D,
  app: App,
  scene: Scene,
  found: Look,
  view: View,
  window: { width: number; height: number },
): void {
  const style = getComputedStyle(document.documentElement);
  const colours = new Map<string, string>();
  const colour = (name: string): string => {
    let value = colours.get(name);
    if (value === undefined) colours.set(name, (value = style.getPropertyValue(`--${name}`).trim()));
    return value;
  };
  context.fillStyle = colour("paper");
  context.fillRect(0, 0, window.width, window.height);
  context.save();
  context.scale(view.k, view.k);
  context.translate(-view.x, -view.y);
  const seen = { left: view.x, top: view.y, right: view.x + window.width / view.k, bottom: view.y + window.height / view.k };
  const legible = view.k >= LEGIBLE;

  // Arrows of one look are one path.
  const batches = new Map<string, { stroke: Stroke; arrows: Arrow[] }>();
  let lines = 0;
  for (let k = 0; k < scene.arrows.length && lines < MAX_LINES; k++) {
    const { path } = scene.arrows[k];
    const a = path[0];
    const b = path[path.length - 1];
    if (Math.max(a.x, b.x) < seen.left || Math.min(a.x, b.x) > seen.right) continue;
    if (Math.max(a.y, b.y) < seen.top || Math.min(a.y, b.y) > seen.bottom) continue;
    lines++;
    const stroke = arrowStroke(app, scene.arrows[k], found.arrows[k]);
    const key = `${stroke.colour} ${stroke.width} ${stroke.dash}`;
    const batch = batches.get(key);
    if (batch) batch.arrows.push(scene.arrows[k]);
    else batches.set(key, { stroke, arrows: [scene.arrows[k]] });
  }
  for (const { stroke, arrows } of batches.values()) {
    context.beginPath();
    for (const { path } of arrows) {
      context.moveTo(path[0].x, path[0].y);
      if (view.k < 0.08) context.lineTo(path[path.length - 1].x, path[path.length - 1].y);
      else for (let i = 1; i + 2 < path.length; i += 3) {
        context.bezierCurveTo(path[i].x, path[i].y, path[i + 1].x, path[i + 1].y, path[i + 2].x, path[i + 2].y);
      }
    }
    context.lineWidth = stroke.width;
    context.setLineDash(stroke.dash);
    context.strokeStyle = colour(stroke.colour);
    context.stroke();
    context.setLineDash([]);
    if (view.k > 0.25) {
      context.fillStyle = context.strokeStyle;
      for (const { path } of arrows) {
        context.beginPath();
        for (const { x, y } of tip(path, stroke.width)) context.lineTo(x, y);
        context.fill();
      }
    }
  }
  context.textAlign = "center";
  if (legible) {
    for (const arrow of scene.arrows) {
      const label = arrow.label;
      if (!label || label.x + label.width < seen.left || label.x - label.width > seen.right || label.y + label.height < seen.top || label.y - label.height > seen.bottom) continue;
      context.fillStyle = colour("paper");
      context.fillRect(label.x - label.width / 2, label.y - label.height / 2, label.width, label.height);
      words(context, arrowRows(app, arrow), label.x, label.y, label.width, colour);
    }
  }
  scene.boxes.forEach((box, k) => {
    const left = box.x - box.width / 2;
    const top = box.y - box.height / 2;
    if (left > seen.right || left + box.width < seen.left || top > seen.bottom || top + box.height < seen.top) return;
    const { fill, border } = boxPaint(box, found.boxes[k]);
    context.fillStyle = colour(fill);
    context.strokeStyle = colour(border.colour);
    context.lineWidth = border.width;
    context.setLineDash(border.dash);
    context.beginPath();
    if (view.k < 0.08) context.rect(left, top, box.width, box.height);
    else context.roundRect(left, top, box.width, box.height, box.kind === "input" || box.kind === "given" ? box.height / 2 : 6);
    context.fill();
    context.stroke();
    context.setLineDash([]);
    if (box.group && view.k >= 0.08) {
      context.strokeRect(left + 4, top - 4, box.width, 0.01);
    }
    if (legible) words(context, boxRows(app, box), box.x, box.y, box.width - 10, colour);
  });
  context.restore();
}

function words(
  context: CanvasRenderingContext2D,
  rows: Row[],
  x: number,
  y: number,
  room: number,
  colour: (name: string) => string,
): void {
  const total = rows.reduce((sum, row) => sum + SIZES[row.role] * LEADING, 0);
  let top = y - total / 2;
  for (const row of rows) {
    const size = SIZES[row.role];
    context.font = `${row.role === "bad" ? "bold " : ""}${size}px ${FONT}`;
    context.fillStyle = colour(INKS[row.role]);
    context.fillText(row.text, x, top + size * (LEADING / 2 + 0.34), room);
    top += size * LEADING;
  }
}
