// What is on screen: boxes for values and for closed groups, arrows for uses, with their places.

import type { App } from "./app";
import { extent, push, scalar, shapeOf, type Data } from "./document";
import { short } from "./format";
import { layout, type Drawing, type Size } from "./layout";
import type { Group } from "./scopes";

export const MAX_SVG = 1000; // boxes; more are drawn on a canvas
export const MAX_OPEN = 300; // boxes that are open at first

export type Role = "name" | "value" | "adjoint" | "local" | "number" | "bad" | "soft";

export interface Row {
  text: string;
  role: Role;
}

export interface Box {
  key: string;
  kind: "input" | "given" | "constant" | "hop" | "group";
  result: boolean;
  /** The value, or −1 for a group. */
  node: number;
  group: Group | null;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Arrow {
  key: string;
  /** Positions among the boxes. */
  source: number;
  target: number;
  /** The uses that it stands for. */
  uses: number[];
  active: boolean;
  path: { x: number; y: number }[];
  label: { x: number; y: number; width: number; height: number } | null;
}

export interface Scene {
  boxes: Box[];
  arrows: Arrow[];
  width: number;
  height: number;
  direction: "right" | "down";
  /** Position of a box by key. */
  index: Map<string, number>;
  /** The box in which a value is seen. */
  boxOf(node: number): number | undefined;
  arrowOf: Map<number, number>;
}

export const SIZES: Record<Role, number> = {
  name: 15, value: 12.5, adjoint: 12.5, local: 12.5, number: 12.5, bad: 12.5, soft: 12.5,
};
export const FONT = '"STIX Two Text", Cambria, Georgia, "DejaVu Serif", serif';
export const LEADING = 1.38;
const PAD = 12;
const MAX_LABELS = 700;
const NARROW = 480; // a window in which hardly two boxes stand side by side
const GOOD = 0.9; // a size at which all is easy to read
const SHORT = 6; // layers that may fit from left to right

let ruler: CanvasRenderingContext2D | null = null;
const widths = new Map<string, number>();

export function measure(text: string, size: number): number {
  const key = `${size} ${text}`;
  let found = widths.get(key);
  if (found === undefined) {
    ruler ??= document.createElement("canvas").getContext("2d")!;
    ruler.font = `${size}px ${FONT}`;
    found = ruler.measureText(text).width;
    if (widths.size > 50_000) widths.clear();
    widths.set(key, found);
  }
  return found;
}

/** The lines of a box, as they are at this step of the sweeps, or `whole` as they are at the end. */
export function boxRows(app: App, box: Box, whole = false): Row[] {
  if (box.group) {
    const count = box.group.last - box.group.first;
    const name: Row = { text: box.group.label, role: "name" };
    if (box.group.layer) return [name, ...numberRows(app, app.resultOf(box.group), whole)];
    return [name, { text: `${count.toLocaleString("en")} values`, role: "soft" }];
  }
  const id = box.node;
  const rows: Row[] = [{ text: headline(app, id), role: "name" }];
  const path = app.model.nodes[id].path;
  if (path) rows.push({ text: path, role: "soft" });
  return [...rows, ...numberRows(app, id, whole)];
}

/** A value and its adjoint. */
function numberRows(app: App, id: number, whole: boolean): Row[] {
  const { model } = app;
  const shown = whole ? { value: true, adjoint: true } : app.shownAt(id);
  const value = app.value(id);
  const rows: Row[] = [];
  const bad = !extent(value).finite;
  rows.push({ text: shown.value ? short(value) : "·", role: bad && shown.value ? "bad" : "value" });
  if (model.nodes[id].adjoint !== undefined) {
    const partial = whole ? undefined : app.partial(id);
    const number = partial ?? app.adjoint(id);
    const words = `${app.adjointName(id)} = ${short(number, 5)}${partial === undefined ? "" : " + …"}`;
    rows.push({ text: shown.adjoint || partial !== undefined ? words : "·", role: "adjoint" });
  }
  return rows;
}

export function headline(app: App, id: number): string {
  const { model } = app;
  const node = model.nodes[id];
  const name = model.name(id);
  if (!node.args) return name;
  const formula = node.forms?.formula?.text ?? `${node.hop}(${node.args.map((a) => model.name(a)).join(", ")})`;
  return `${name} = ${formula.length <= 26 ? formula : `${node.hop.replaceAll("_", " ")}(…)`}`;
}

/** The lines on an arrow. */
export function arrowRows(app: App, arrow: Arrow): Row[] {
  const { model } = app;
  if (arrow.uses.length > 1) {
    return arrow.active ? [{ text: `${arrow.uses.length.toLocaleString("en")} uses`, role: "soft" }] : [];
  }
  const use = model.uses[arrow.uses[0]];
  if (!use.active) return [];
  const local = app.local(arrow.uses[0]);
  const rows: Row[] = [];
  const words = use.forms?.local?.text ?? "";
  const name = use.forms?.leibniz?.text ?? "";
  if (use.forms && !words) {
    const share = use.forms.share?.text ?? "";
    rows.push({ text: share.length <= 16 ? share : (use.rule ?? ""), role: "local" });
  } else if (name) {
    const plain = unfenced(words);
    const both = `${name} = ${plain}`;
    rows.push({ text: both.length <= 26 ? both : name.length <= 20 ? name : plain.length <= 20 ? plain : (use.rule ?? ""), role: "local" });
  } else rows.push({ text: use.text && use.text.length <= 20 ? use.text : (use.rule ?? ""), role: "local" });
  if (local !== undefined) {
    const number = short(local, 5);
    if (number !== unfenced(words)) rows.push({ text: `= ${number}`, role: extent(local).finite ? "number" : "bad" });
  }
  return rows.filter((row) => row.text);
}

/** Without parentheses around the whole, which a formula needs only as a factor. */
function unfenced(text: string): string {
  if (!text.startsWith("(") || !text.endsWith(")")) return text;
  let depth = 0;
  for (let k = 0; k < text.length - 1; k++) {
    depth += text[k] === "(" ? 1 : text[k] === ")" ? -1 : 0;
    if (!depth) return text;
  }
  return text.slice(1, -1);
}

function rowsSize(rows: Row[]): Size {
  let width = 0;
  let height = 0;
  for (const row of rows) {
    width = Math.max(width, measure(row.text, SIZES[row.role]));
    height += SIZES[row.role] * LEADING;
  }
  return { width, height };
}

/** Room for numbers that change: the widest that a number gets. */
function reserve(app: App, id: number): number {
  const value = app.value(id);
  if (!app.live || scalar(value) === undefined) return 0;
  return measure(`${app.adjointName(id)} = −0.0000×10⁻¹⁰`, SIZES.adjoint);
}

/**
 * The scene for the groups that are open, and for the neighbourhood of what is pinned if that alone is wanted. It grows
 * to the right if that fits into a window of this size, else in the direction in which it can be seen larger; from a
 * scene `before` it keeps direction and places as well as it can.
 */
export function makeScene(app: App, window: Size, before?: Scene): Scene {
  const { model } = app;
  const boxes: Box[] = [];
  const at = new Int32Array(model.shown.length).fill(-1);
  const near = app.neighbourhood();
  const blank = { x: 0, y: 0, width: 0, height: 0 };

  // The parameters of a closed layer are in its box.
  const inside = new Map<Group, number[]>();
  const layerOf = (id: number): Group | null => {
    if (!model.nodes[id].path) return null;
    const users = (model.outof.get(id) ?? []).map((use) => app.closedAround(model.rank.get(model.uses[use].target)!));
    return users.length && users[0]?.layer && users.every((user) => user === users[0]) ? users[0] : null;
  };

  // In the order of computation: a closed group is one box.
  const visit = (position: number): number => {
    const layer = near ? null : layerOf(model.shown[position]);
    if (layer) {
      push(inside, layer, position);
      return position + 1;
    }
    const closed = app.closedAround(position);
    const end = closed ? closed.last : position + 1;
    let wanted = !near;
    for (let k = position; k < end && !wanted; k++) wanted = near!.has(model.shown[k]);
    if (!wanted) return end;
    at.fill(boxes.length, position, end);
    if (closed) {
      for (const parameter of inside.get(closed) ?? []) at[parameter] = boxes.length;
      const result = model.rank.get(model.doc.output)!;
      boxes.push({
        ...blank, key: `g${closed.id}`, kind: "group", node: -1, group: closed,
        result: position <= result && result < end,
      });
    } else {
      const id = model.shown[position];
      const node = model.nodes[id];
      const kind = node.input !== undefined ? (model.wrt.has(id) ? "input" : "given") : node.args ? "hop" : "constant";
      boxes.push({ ...blank, key: `n${id}`, kind, node: id, group: null, result: id === model.doc.output });
    }
    return end;
  };
  for (let position = 0; position < model.shown.length; ) position = visit(position);

  const arrows: Arrow[] = [];
  const joined = new Map<number, number>();
  const arrowOf = new Map<number, number>();
  model.uses.forEach((use, k) => {
    const source = at[model.rank.get(use.source) ?? -1] ?? -1;
    const target = at[model.rank.get(use.target) ?? -1] ?? -1;
    if (source < 0 || target < 0 || source === target) return;
    if (boxes[source].group || boxes[target].group) {
      const pair = source * boxes.length + target;
      const found = joined.get(pair);
      if (found !== undefined) {
        arrows[found].uses.push(k);
        arrows[found].active ||= use.active;
        arrowOf.set(k, found);
        return;
      }
      joined.set(pair, arrows.length);
    }
    arrowOf.set(k, arrows.length);
    arrows.push({ key: `e${k}`, source, target, uses: [k], active: use.active, path: [], label: null });
  });

  const sizes = boxes.map((box) => {
    const { width, height } = rowsSize(boxRows(app, box, true));
    const rounded = box.kind === "input" || box.kind === "given";
    const needed = Math.max(width, box.group ? 0 : reserve(app, box.node));
    return { width: Math.max(46, needed + 2 * PAD + (rounded ? height * 0.3 : 0)), height: height + 14 };
  });
  const labels = arrows.length <= MAX_LABELS;
  const room = app.live ? measure("= −0.0000×10⁻¹⁰", SIZES.number) : 0;
  const links = arrows.map((arrow) => {
    const rows = labels ? arrowRows(app, arrow) : [];
    if (!rows.length) return { source: arrow.source, target: arrow.target };
    const { width, height } = rowsSize(rows);
    const scalarUse = scalar(app.local(arrow.uses[0])) !== undefined;
    return { source: arrow.source, target: arrow.target, label: { width: Math.max(width, scalarUse ? room : 0) + 8, height: height + 4 } };
  });
  const drawn = (direction: Scene["direction"]): Drawing =>
    layout(sizes, links, { direction, before: before?.direction === direction ? boxes.map((box) => oldPlace(before, box, app)) : undefined });
  const layers = depth(boxes.length, arrows);
  const across = before ? before.direction === "right" && layers <= 3 * SHORT : window.width >= NARROW && layers <= SHORT;
  let direction: Scene["direction"] = across ? "right" : "down";
  let drawing = drawn(direction);
  if (!before && direction === "right" && scale(drawing, window) < GOOD) {
    const down = drawn("down");
    if (scale(down, window) > 1.2 * scale(drawing, window)) [direction, drawing] = ["down", down];
  }
  boxes.forEach((box, k) => Object.assign(box, drawing.centers[k], sizes[k]));
  arrows.forEach((arrow, k) => {
    arrow.path = drawing.paths[k];
    const label = drawing.labels[k];
    if (label) arrow.label = { ...label, ...links[k].label! };
  });
  const index = new Map(boxes.map((box, k) => [box.key, k]));
  return {
    boxes, arrows, width: drawing.width, height: drawing.height, direction, index, arrowOf,
    boxOf: (node) => {
      const rank = model.rank.get(node);
      const found = rank === undefined ? -1 : at[rank];
      return found < 0 ? undefined : found;
    },
  };
}

/** How large a drawing is seen that fits into a window, as far as that makes it easier to read. */
function scale(drawing: Drawing, window: Size): number {
  return Math.min(window.width / drawing.width, window.height / drawing.height, 1);
}

/** Where a box was along its layer; a part of a group that was closed begins where that was. */
function oldPlace(before: Scene, box: Box, app: App): number | undefined {
  let found = before.index.get(box.key);
  if (found === undefined) {
    const node = box.group ? app.model.shown[box.group.first] : box.node;
    found = before.boxOf(node);
  }
  if (found === undefined) return undefined;
  return before.direction === "down" ? before.boxes[found].x : before.boxes[found].y;
}

function depth(count: number, arrows: Arrow[]): number {
  const deep = new Int32Array(count);
  let most = 0;
  for (const { source, target } of [...arrows].sort((a, b) => a.source - b.source)) {
    deep[target] = Math.max(deep[target], deep[source] + 1);
    most = Math.max(most, deep[target]);
  }
  return most;
}

/** The heat of an adjoint: its power of ten, between −12 and 12, or NaN where it is not finite. */
export function heat(data: Data | undefined): { power: number; odd: "" | "NaN" | "∞" | "0" } {
  const { size, finite, nan } = extent(data);
  if (!finite) return { power: NaN, odd: nan ? "NaN" : "∞" };
  if (size === 0) return { power: -12, odd: "0" };
  return { power: Math.max(-12, Math.min(12, Math.log10(size))), odd: "" };
}

export function describe(app: App, box: Box): string {
  if (box.group) return `${box.group.label}, ${box.group.last - box.group.first} values, closed`;
  const { model } = app;
  const parts = [headline(app, box.node), short(app.value(box.node))];
  const adjoint = app.adjoint(box.node);
  if (adjoint !== undefined) parts.push(`adjoint ${short(adjoint, 5)}`);
  if (shapeOf(app.value(box.node) ?? 0).length) parts.push(model.nodes[box.node].shape.join("×"));
  return parts.join(", ");
}

