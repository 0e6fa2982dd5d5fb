// The picture as SVG: for up to a thousand boxes.

import type { App } from "./app";
import type { Camera } from "./camera";
import { s } from "./dom";
import { short } from "./format";
import { arrowHeat, look, type Look } from "./look";
import { LEADING, SIZES, arrowRows, boxRows, measure, type Arrow, type Box, type Row, type Scene } from "./scene";

const BOLD = 1.1; // how much wider bold letters are

export interface Drawer {
  readonly element: HTMLElement | SVGElement;
  draw(scene: Scene): void;
  /** Numbers, marks and heat, on the same places. */
  refresh(): void;
  /** Marks and heat alone. */
  mark(): void;
  /** The key of what is at a point of the window. */
  hit(event: MouseEvent): string;
}

export function pathData(path: { x: number; y: number }[]): string {
  const [start, ...rest] = path;
  let data = `M${start.x.toFixed(1)} ${start.y.toFixed(1)}`;
  for (let k = 0; k + 2 < rest.length; k += 3) {
    data += `C${rest.slice(k, k + 3).map((p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join(" ")}`;
  }
  return data;
}

export class SvgDrawer implements Drawer {
  readonly element: SVGSVGElement;
  private readonly world = s("g");
  private scene: Scene | null = null;
  private found: Look | null = null;
  private boxes: Words[] = [];
  private arrows: { group: SVGGElement; label: Words | null }[] = [];
  private readonly over = s("g", { class: "over" });

  constructor(
    private readonly app: App,
    private readonly camera: Camera,
  ) {
    const marker = (id: string): SVGMarkerElement =>
      s(
        "marker",
        { id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 7.5, markerHeight: 7.5, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" },
        s("path", { class: id, d: "M0 0.8L10 5L0 9.2z" }),
      );
    this.element = s("svg", { class: "picture", "aria-hidden": "true" }, s("defs", {}, marker("head"), marker("headhot"), marker("headback")), this.world);
    camera.onMove(() => {
      const { x, y, k } = camera.view;
      this.world.setAttribute("transform", `scale(${k}) translate(${-x} ${-y})`);
      if (this.found?.active !== undefined) this.moving(this.found);
    });
  }

  draw(scene: Scene): void {
    this.scene = scene;
    const lines = s("g");
    const labels = s("g");
    const nodes = s("g");
    this.arrows = scene.arrows.map((arrow) => {
      const d = pathData(arrow.path);
      const group = s("g", { "data-key": arrow.key }, s("path", { class: "wide", d }), s("path", { class: "line", d }));
      lines.append(group);
      const label = arrow.label ? this.label(arrow) : null;
      if (label) labels.append(label.group);
      return { group, label };
    });
    this.boxes = scene.boxes.map((box) => {
      const made = this.box(box);
      nodes.append(made.group);
      return made;
    });
    this.world.replaceChildren(lines, labels, nodes, this.over);
    this.refresh();
  }

  private label(arrow: Arrow): Words {
    const { x, y, width, height } = arrow.label!;
    const plate = s("rect", { class: "plate", x: x - width / 2, y: y - height / 2, width, height, rx: 3 });
    return { group: s("g", { class: "label", "data-key": arrow.key }, plate), texts: [], shown: "" };
  }

  private box(box: Box): Words {
    const { x, y, width, height } = box;
    const left = x - width / 2;
    const top = y - height / 2;
    const round = box.kind === "input" || box.kind === "given" ? height / 2 : 6;
    const group = s("g", { "data-key": box.key });
    if (box.group) {
      // A closed group is a stack of sheets.
      for (const shift of [6, 3]) {
        group.append(s("rect", { class: "sheet", x: left + shift, y: top - shift, width, height, rx: round }));
      }
    }
    group.append(s("rect", { class: "body", x: left, y: top, width, height, rx: round }));
    if (box.result) group.append(s("rect", { class: "rim", x: left + 3, y: top + 3, width: width - 6, height: height - 6, rx: Math.max(round - 3, 3) }));
    const texts = boxRows(this.app, box).map((row) => s("text", { class: row.role, x }));
    group.append(...texts);
    return { group, texts, shown: "" };
  }

  refresh(): void {
    if (!this.scene) return;
    const { scene, app } = this;
    this.mark();
    scene.boxes.forEach((box, k) => {
      const rows = boxRows(app, box);
      const round = box.kind === "input" || box.kind === "given";
      const made = this.boxes[k];
      if (changed(made, rows)) write(made.texts, rows, box.x, box.y, box.width - (round ? 22 : 10));
    });
    scene.arrows.forEach((arrow, k) => {
      const { label } = this.arrows[k];
      if (!label) return;
      const rows = arrowRows(app, arrow);
      if (!changed(label, rows)) return;
      while (label.texts.length < rows.length) {
        const text = s("text");
        label.group.append(text);
        label.texts.push(text);
      }
      for (const text of label.texts.splice(rows.length)) text.remove();
      const { x, y, width } = arrow.label!;
      write(label.texts, rows, x, y, width);
      // The plate hides no more of the line than the words need.
      const needed = Math.min(width, 6 + Math.max(0, ...rows.map((row) => measure(row.text, SIZES[row.role]))));
      const plate = label.group.firstElementChild!;
      plate.setAttribute("x", (x - needed / 2).toFixed(1));
      plate.setAttribute("width", needed.toFixed(1));
    });
  }

  mark(): void {
    if (!this.scene) return;
    const { scene, app } = this;
    const found = (this.found = look(app, scene));
    const warm = app.store.state.heat;
    scene.boxes.forEach((_, k) => classed(this.boxes[k].group, `node ${[...found.boxes[k]].join(" ")}`));
    scene.arrows.forEach((arrow, k) => {
      const { group, label } = this.arrows[k];
      const marks = [...found.arrows[k]];
      if (warm && arrow.active) {
        const { step, odd } = arrowHeat(app, arrow);
        marks.push(step < 0 ? "odd" : `heat${step}`, odd ? "strange" : "");
      }
      const classes = marks.join(" ");
      classed(group, `edge ${classes}`);
      if (label) classed(label.group, `label ${classes}`);
    });
    this.moving(found);
  }

  /** The step of the backward sweep on its arrow: local × incoming = outgoing. */
  private moving(found: Look): void {
    this.over.replaceChildren();
    const step = this.app.step;
    if (found.active === undefined || step?.kind !== "share" || !this.scene) return;
    const arrow = this.scene.arrows[found.active];
    if (arrow.uses.length > 1) return;
    const words = product(this.app, step.use);
    const width = words.length * 7.4 + 14;
    const ends = [this.scene.boxes[arrow.source], this.scene.boxes[arrow.target]];
    const middle = arrow.label ?? arrow.path[Math.floor(arrow.path.length / 2)];
    // Where no box of the arrow is in the way, and within the window if there is room.
    let { x, y } = middle;
    if (this.scene.direction === "right") y = Math.max(...ends.map((box) => box.y + box.height / 2)) + 18;
    else {
      const { view } = this.camera;
      const [left, right] = [view.x + width / 2, view.x + this.element.clientWidth / view.k - width / 2];
      const beside = (arrow.label?.width ?? 0) / 2 + width / 2 + 6;
      if (x + beside <= right || left > right) x += beside;
      else if (x - beside >= left) x -= beside;
      else [x, y] = [Math.max(left, Math.min(right, x)), y + (arrow.label?.height ?? 0) / 2 + 14];
    }
    this.over.append(
      s("rect", { class: "ticket", x: x - width / 2, y: y - 12, width, height: 23, rx: 5 }),
      s("text", { class: "adjoint", x, y: y + 4.5, "font-size": 13 }, words),
    );
  }

  hit(event: MouseEvent): string {
    return (event.target as Element).closest?.("[data-key]")?.getAttribute("data-key") ?? "";
  }
}

/** Lines of text that are written anew only where they are others: the mouse passes over a thousand of them. */
interface Words {
  group: SVGGElement;
  texts: SVGTextElement[];
  shown: string;
}

function changed(words: Words, rows: Row[]): boolean {
  const now = rows.map(({ role, text }) => `${role} ${text}`).join("\n");
  if (now === words.shown) return false;
  words.shown = now;
  return true;
}

function classed(element: Element, classes: string): void {
  if (element.getAttribute("class") !== classes) element.setAttribute("class", classes);
}

/** Local × incoming = outgoing, in numbers. */
export function product(app: App, use: number): string {
  const local = app.local(use);
  const incoming = short(app.adjoint(app.model.uses[use].target), 5);
  const outgoing = short(app.share(use), 5);
  return local === undefined ? `${incoming} → ${outgoing}` : `${short(local, 5)} × ${fenced(incoming)} = ${outgoing}`;
}

export function fenced(number: string): string {
  return number.startsWith("−") ? `(${number})` : number;
}

function write(texts: SVGTextElement[], rows: Row[], x: number, y: number, room: number): void {
  const total = rows.reduce((sum, row) => sum + SIZES[row.role] * LEADING, 0);
  let top = y - total / 2;
  texts.forEach((text, k) => {
    const row = rows[k];
    if (!row) {
      text.textContent = "";
      return;
    }
    const size = SIZES[row.role];
    text.setAttribute("class", row.role);
    text.setAttribute("x", x.toFixed(1));
    text.setAttribute("y", (top + size * (LEADING / 2 + 0.34)).toFixed(1));
    text.setAttribute("font-size", String(size));
    text.textContent = row.text;
    // A number that grew is squeezed into its box. (Asking the browser how wide it is would lay out the page each time.)
    const width = measure(row.text, size) * (row.role === "bad" ? BOLD : 1);
    if (width > room && room > 0) {
      text.setAttribute("textLength", room.toFixed(1));
      text.setAttribute("lengthAdjust", "spacingAndGlyphs");
    } else text.removeAttribute("textLength");
    top += size * LEADING;
  });
}
