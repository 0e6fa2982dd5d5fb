// The chain rule as a sum of products: the paths from the result to an input, each a product of uses.

import type { App } from "./app";
import type { Model, Use } from "./document";
import { scalar } from "./document";

export const MAX_PATHS = 16;

/** The paths of the gradient from a value down to another, each as uses from the result on; at most so many. */
export function paths(model: Model, from: number, to: number, limit = MAX_PATHS): number[][] {
  const reaching = reach(model, to);
  const found: number[][] = [];
  type Link = { use: number; before: Link | null };
  const stack: { at: number; link: Link | null }[] = [{ at: from, link: null }];
  while (stack.length && found.length < limit) {
    const { at, link } = stack.pop()!;
    if (at === to) {
      const path: number[] = [];
      for (let l = link; l; l = l.before) path.push(l.use);
      found.push(path.reverse());
      continue;
    }
    const uses = (model.into.get(at) ?? []).filter((k) => model.uses[k].active && reaching.has(model.uses[k].source));
    for (const k of uses.reverse()) stack.push({ at: model.uses[k].source, link: { use: k, before: link } });
  }
  return found;
}

/** All values that a value's gradient comes through, itself included. */
function reach(model: Model, to: number): Set<number> {
  const found = new Set([to]);
  const stack = [to];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    for (const k of model.outof.get(at) ?? []) {
      const use = model.uses[k];
      if (use.active && !found.has(use.target)) {
        found.add(use.target);
        stack.push(use.target);
      }
    }
  }
  return found;
}

/** How many paths there are, the uses on all of them, and the uses on any of them, exactly. */
export function count(model: Model, from: number, to: number): { paths: bigint; naive: bigint; once: number } {
  const reaching = reach(model, to);
  const counts = new Map<number, [bigint, bigint]>([[from, [1n, 0n]]]);
  let once = 0;
  const order = [...reaching].sort((a, b) => b - a);
  for (const id of order) {
    const here = counts.get(id);
    if (!here || id === to) continue;
    for (const k of model.into.get(id) ?? []) {
      const use = model.uses[k];
      if (!use.active || !reaching.has(use.source)) continue;
      once++;
      const before = counts.get(use.source) ?? [0n, 0n];
      counts.set(use.source, [before[0] + here[0], before[1] + here[1] + here[0]]);
    }
  }
  const [total, naive] = counts.get(to) ?? [0n, 0n];
  return { paths: total, naive, once };
}

/** The product of the local derivatives along a path, where all are numbers. */
export function along(app: App, path: number[]): number | undefined {
  let product = 1;
  for (const k of path) {
    const local = scalar(app.local(k));
    if (local === undefined) return undefined;
    product *= local;
  }
  return product;
}

export function scalarUse(use: Use, model: Model): boolean {
  return !model.nodes[use.source].shape.length && !model.nodes[use.target].shape.length;
}

// -- elimination -------------------------------------------------------------------------------------------------

export interface Elimination {
  name: string;
  /** Each step: the value that is eliminated, the multiplications that it takes, and the edges that are left. */
  steps: { node: number; cost: number; edges: [number, number][] }[];
  total: number;
}

/**
 * Vertex elimination on the graph of local derivatives (Griewank & Reese, "On the calculation of Jacobian matrices by
 * the Markowitz rule", 1991): removing a value multiplies each derivative into it with each out of it. Backward order is
 * reverse mode, forward order is forward mode; the rule of least cost first is Markowitz's; the best of all orders is
 * searched for up to `EXACT` values.
 */
const EXACT = 9;
export const MAX_ELIMINATED = 400;

export function eliminations(model: Model, result: number): Elimination[] | null {
  const uses = model.uses.filter((use) => use.active);
  const ends = new Set([result, ...model.doc.wrt]);
  const edges = new Map<string, [number, number]>();
  for (const { source, target } of uses) edges.set(`${source}>${target}`, [source, target]);
  const inner = [...new Set(uses.flatMap((u) => [u.source, u.target]))].filter((id) => !ends.has(id)).sort((a, b) => a - b);
  if (inner.length > MAX_ELIMINATED) return null;
  const all = [...edges.values()];
  const found = [
    eliminated("forward", all, inner),
    eliminated("reverse", all, [...inner].reverse()),
    inner.length <= EXACT ? best(all, inner) : eliminated("Markowitz’s rule", all, null, inner),
  ];
  return found;
}

class Remaining {
  readonly ins = new Map<number, Set<number>>();
  readonly outs = new Map<number, Set<number>>();

  constructor(edges: [number, number][]) {
    for (const [a, b] of edges) this.join(a, b);
  }

  private join(a: number, b: number): void {
    if (!this.outs.has(a)) this.outs.set(a, new Set());
    if (!this.ins.has(b)) this.ins.set(b, new Set());
    this.outs.get(a)!.add(b);
    this.ins.get(b)!.add(a);
  }

  cost(node: number): number {
    return (this.ins.get(node)?.size ?? 0) * (this.outs.get(node)?.size ?? 0);
  }

  remove(node: number): void {
    const before = this.ins.get(node) ?? [];
    const after = this.outs.get(node) ?? [];
    for (const a of before) {
      this.outs.get(a)!.delete(node);
      for (const b of after) this.join(a, b);
    }
    for (const b of after) this.ins.get(b)!.delete(node);
    this.ins.delete(node);
    this.outs.delete(node);
  }

  edges(): [number, number][] {
    return [...this.outs].flatMap(([a, bs]) => [...bs].map((b): [number, number] => [a, b]));
  }
}

function eliminated(name: string, edges: [number, number][], order: number[] | null, inner: number[] = order!): Elimination {
  const graph = new Remaining(edges);
  const left = new Set(inner);
  const steps: Elimination["steps"] = [];
  let total = 0;
  const keep = inner.length <= 60; // the picture of every step
  for (let k = 0; k < inner.length; k++) {
    let node = order?.[k];
    if (node === undefined) {
      for (const id of left) if (node === undefined || graph.cost(id) < graph.cost(node)) node = id;
    }
    const cost = graph.cost(node!);
    graph.remove(node!);
    left.delete(node!);
    total += cost;
    steps.push({ node: node!, cost, edges: keep ? graph.edges() : [] });
  }
  return { name, steps, total };
}

/** The cheapest of all orders, by dynamic programming over the sets of eliminated values. */
function best(edges: [number, number][], inner: number[]): Elimination {
  // What is left after eliminating a set does not depend on the order, so each set needs to be looked at once.
  const known = new Map<number, { total: number; last: number }>([[0, { total: 0, last: -1 }]]);
  const count = 1 << inner.length;
  for (let set = 0; set < count; set++) {
    const here = known.get(set)!;
    const graph = new Remaining(edges);
    inner.forEach((node, k) => set & (1 << k) && graph.remove(node));
    inner.forEach((node, k) => {
      if (set & (1 << k)) return;
      const next = set | (1 << k);
      const total = here.total + graph.cost(node);
      const before = known.get(next);
      if (!before || total < before.total) known.set(next, { total, last: k });
    });
  }
  const order: number[] = [];
  for (let set = count - 1; set; ) {
    const { last } = known.get(set)!;
    order.unshift(inner[last]);
    set &= ~(1 << last);
  }
  return eliminated("best order", edges, order);
}
