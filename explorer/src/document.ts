// The explanation as the page knows it: the JSON document of docs/schema.md, and look-ups made from it once.

import type { Live } from "./interpreter";

export interface Form {
  text: string;
  latex: string;
  mathml: string;
}

export type Real = number | "NaN" | "Infinity" | "-Infinity";

export interface Summary {
  min: Real;
  max: Real;
  mean: Real;
  nan: number;
  infinite: number;
  first: Item[];
  histogram?: number[];
  picture?: { rows: number[]; columns: number[]; data: Real[] };
}

/** An element of an array: a complex one by its real and imaginary part. */
export type Item = Real | boolean | [Real, Real];

/** A number, or an array with all its elements or a summary of them. */
export type Data =
  | Real
  | { shape: number[]; dtype: string; data?: Item[]; base64?: string; summary?: Summary };

export interface Node {
  id: number;
  hop: string;
  args?: number[];
  params?: Record<string, unknown>;
  input?: string;
  constant?: Data;
  shape: number[];
  dtype: string;
  name?: string;
  value?: Data;
  adjoint?: Data;
  zero?: string;
  check?: { exact: Real; numeric: Real; direction: string };
  site?: number;
  also?: number[];
  made_for?: { stage: string; node: number | null };
  /** Of a part of an argument, how the user reaches it. */
  path?: string;
  forms?: Partial<Record<"name" | "adjoint" | "formula" | "derivative", Form>>;
}

export interface Use {
  source: number;
  target: number;
  operand: number;
  active: boolean;
  text?: string;
  latex?: string;
  rule?: string;
  value?: Data;
  share?: Data;
  forms?: Partial<Record<"leibniz" | "spelled" | "local" | "expanded" | "share", Form>>;
}

export interface Site {
  file: string;
  line: number;
  line_end: number;
  column: number;
  column_end: number;
  function: string;
  scope: string[];
  variable?: string;
  caller?: number;
  /** The part of a network whose code this is in: how the module is reached ("" if that is not known), and its kind. */
  layer?: { name: string; kind: string };
  /** Whether this is a file of hopgrad itself. */
  library?: boolean;
}

export interface Guard {
  node: number;
  value: Data;
  site?: number;
  text: string;
  latex: string;
  boundary?: boolean;
}

export interface Line {
  text?: string;
  latex?: string;
  mathml?: string;
  prose?: string;
  value?: string;
  note?: string;
  node?: number;
}

export interface Section {
  key: string;
  title: string;
  intro: string;
  lines: Line[];
}

export interface Source {
  file: string;
  function: string;
  line: number;
  lines: string[];
}

export interface Explanation {
  schema: string;
  version: number;
  title: string;
  order: number;
  graph: { nodes: Node[]; inputs: number[]; outputs: number[]; sites: Site[]; guards?: Guard[] };
  output: number;
  wrt: number[];
  shown: number[];
  uses: Use[];
  sources: Source[];
  sections: Section[];
  cost: { paths: string; naive: string; done: string };
  live?: Live;
}

/** The document with its look-ups: uses by their ends, positions of shown values. */
export class Model {
  readonly nodes: Node[];
  readonly uses: Use[];
  readonly shown: number[];
  /** Position among the shown values, by id. */
  readonly rank = new Map<number, number>();
  /** Uses by which a value is computed, and uses of it: positions in `uses`. */
  readonly into = new Map<number, number[]>();
  readonly outof = new Map<number, number[]>();
  readonly wrt: Set<number>;

  constructor(
    readonly doc: Explanation,
    /** The document as it was written. */
    readonly text: string,
  ) {
    if (doc.schema !== "hopgrad.explanation" || doc.version !== 1) {
      throw new Error(`this page cannot read ${doc.schema} ${doc.version}`);
    }
    this.nodes = doc.graph.nodes;
    this.uses = doc.uses;
    this.shown = doc.shown;
    this.wrt = new Set(doc.wrt);
    doc.shown.forEach((id, k) => this.rank.set(id, k));
    doc.uses.forEach((use, k) => {
      push(this.into, use.target, k);
      push(this.outof, use.source, k);
    });
  }

  static fromPage(): Model {
    const text = document.getElementById("explanation")!.textContent!;
    return new Model(JSON.parse(text) as Explanation, text);
  }

  name(id: number): string {
    const node = this.nodes[id];
    return node.name ?? (node.constant !== undefined ? numbers(node.constant).map(String).join(", ") : `%${id}`);
  }

  site(id: number): Site | undefined {
    const site = this.nodes[id].site;
    return site === undefined ? undefined : this.doc.graph.sites[site];
  }

  /** Uses along which the gradient flows into a value's adjoint, in the order of the backward sweep. */
  flowing(source: number): number[] {
    return (this.outof.get(source) ?? []).filter((k) => this.uses[k].active).sort((a, b) => this.sweep(a, b));
  }

  private sweep(a: number, b: number): number {
    return this.uses[b].target - this.uses[a].target || this.uses[a].operand - this.uses[b].operand;
  }
}

export function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const found = map.get(key);
  if (found) found.push(value);
  else map.set(key, [value]);
}

export function real(value: Real | boolean): number {
  return Number(value); // "NaN" and "Infinity" are what Number reads them as
}

/** The elements that are known: all of them, or the first of a summary. Complex ones, which have no order, by their sizes. */
export function numbers(data: Data): number[] {
  return items(data).map((item) => (typeof item === "object" ? Math.hypot(real(item[0]), real(item[1])) : real(item)));
}

/** The elements that are known, as they are. */
export function items(data: Data): Item[] {
  if (typeof data !== "object") return [data];
  return data.data ?? data.summary?.first ?? [];
}

export function isComplex(data: Data | undefined): boolean {
  return typeof data === "object" && data.dtype.startsWith("complex");
}

export function shapeOf(data: Data): number[] {
  return typeof data === "object" ? data.shape : [];
}

/** The number, if it is a real one. */
export function scalar(data: Data | undefined): number | undefined {
  if (data === undefined || shapeOf(data).length || isComplex(data)) return undefined;
  const all = numbers(data);
  return all.length === 1 ? all[0] : undefined;
}

/** The largest size of any finite element, and whether there are any that are not finite. */
export function extent(data: Data | undefined): { size: number; finite: boolean; nan: boolean } {
  if (data === undefined) return { size: 0, finite: true, nan: false };
  if (typeof data !== "object") {
    const x = real(data);
    return Number.isFinite(x) ? { size: Math.abs(x), finite: true, nan: false } : { size: 0, finite: false, nan: Number.isNaN(x) };
  }
  if (data.summary) {
    const { min, max, nan, infinite } = data.summary;
    const size = Math.max(Math.abs(real(min)), Math.abs(real(max)));
    return { size, finite: nan + infinite === 0, nan: nan > 0 };
  }
  let size = 0;
  let finite = true;
  let nan = false;
  for (const item of numbers(data)) {
    if (Number.isFinite(item)) size = Math.max(size, Math.abs(item));
    else finite = false;
    nan ||= Number.isNaN(item);
  }
  return { size, finite, nan };
}
