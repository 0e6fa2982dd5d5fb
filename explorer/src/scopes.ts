// The structure of a computation: function calls, layers of networks, turns of loops, and long stretches, as a tree over
// the order of values.
//
// Every group is a run of values that follow each other in the order of computation. So whatever is closed, uses run
// from earlier boxes to later ones, and the picture stays free of cycles.

import type { Model } from "./document";

export interface Group {
  id: number;
  label: string;
  kind: "all" | "call" | "loop" | "turn" | "stretch";
  /** Whether it is the call of a module, or of a function of hopgrad.nn. */
  layer: boolean;
  parent: Group | null;
  /** Positions among the shown values: from `first` up to but without `last`. */
  first: number;
  last: number;
  parts: Group[];
}

const MOST = 60; // parts and values side by side in a group; more of them are divided into stretches

export class Scopes {
  readonly groups: Group[] = [];
  readonly root: Group;
  /** The innermost group of each shown value, by position. */
  readonly inner: Group[];

  constructor(private readonly model: Model) {
    const count = model.shown.length;
    const paths = model.shown.map((id) => this.path(id));
    this.root = this.group("all of it", "all", null, 0, count);
    this.calls(this.root, paths, 0);
    this.inner = new Array<Group>(count).fill(this.root);
    const stack = [this.root];
    for (let group = stack.pop(); group; group = stack.pop()) {
      for (let k = group.first; k < group.last; k++) this.inner[k] = group;
      stack.push(...group.parts);
    }
  }

  private group(label: string, kind: Group["kind"], parent: Group | null, first: number, last: number): Group {
    const group: Group = { id: this.groups.length, label, kind, layer: false, parent, first, last, parts: [] };
    this.groups.push(group);
    parent?.parts.push(group);
    return group;
  }

  /** The sites of the calls that a value lies in, outermost first, and its own. */
  private path(id: number): number[] {
    const { sites } = this.model.doc.graph;
    const path: number[] = [];
    for (let at = this.model.nodes[id].site; at !== undefined; at = sites[at].caller) path.push(at);
    return path.reverse();
  }

  /** Divides a group into the calls that its values lie in, and the turns of loops. */
  private calls(top: Group, paths: number[][], level: number): void {
    const work: [Group, number][] = [[top, level]];
    for (let item = work.pop(); item; item = work.pop()) {
      const [group, depth] = item;
      const cuts = this.cuts(group, paths, depth);
      for (const loop of repeated(cuts.map((cut) => cut.key))) this.loop(group, cuts, loop, depth, work);
    }
  }

  /** A group's values as items: single ones, and calls with all values that lie in them one after the other. */
  private cuts(group: Group, paths: number[][], depth: number): Cut[] {
    const cuts: Cut[] = [];
    const { sites } = this.model.doc.graph;
    for (let k = group.first; k < group.last; k++) {
      const path = paths[k];
      const call = path.length > depth + 1 ? path[depth] : -1;
      const called = call >= 0 ? sites[path[depth + 1]] : undefined;
      const layer = called?.layer;
      const backward = layer && this.model.nodes[this.model.shown[k]].made_for ? ", backward" : "";
      const label = layer ? `${layer.name ? `${layer.name}: ` : ""}${layer.kind}${backward}` : (called?.function ?? "");
      const last = cuts[cuts.length - 1];
      if (last && (path.length ? call >= 0 && last.call === call && last.label === label : last.call >= 0)) {
        last.end = k + 1; // what comes from nowhere, such as a constant, goes along
        continue;
      }
      // One line of the library that calls all layers in turn is no loop, nor are constants of one line.
      const { args, input } = this.model.nodes[this.model.shown[k]];
      const at = call >= 0 ? call : path[path.length - 1];
      const once = !path.length || sites[at].library || (call < 0 && !args && input === undefined);
      const key = once ? `v${k}` : call >= 0 ? `c${call}:${layer ? label : ""}` : `s${this.place(at)}`;
      cuts.push({ key, call, label, layer: !!layer, start: k, end: k + 1 });
    }
    return cuts;
  }

  private place(site: number): string {
    const { file, line, column, column_end } = this.model.doc.graph.sites[site];
    return `${file}:${line}:${column}:${column_end}`;
  }

  private loop(group: Group, cuts: Cut[], found: Repeated, depth: number, work: [Group, number][]): void {
    if (found.turns.length === 1) {
      this.division(group, cuts, found.turns[0], depth, work);
      return;
    }
    const start = cuts[found.turns[0][0].at].start;
    const end = ending(cuts, found.turns[found.turns.length - 1]);
    const single = found.turns[0].length === 1 ? cuts[found.turns[0][0].at].label : "";
    const whole = start === group.first && end === group.last && group.kind !== "all";
    const loop = whole ? group : this.group("", "loop", group, start, end);
    const name = single || (loop === group ? group.label : "loop");
    loop.label = `${name} × ${found.turns.length}`;
    const turns = found.turns.map((turn) => [cuts[turn[0].at].start, ending(cuts, turn)] as const);
    this.halved(loop, "turns ", turns, 0, turns.length, (parent, k) => {
      const [first, last] = turns[k];
      const label = `${name === "loop" ? "turn" : name} ${k + 1} of ${turns.length}`;
      if (last - first === 1) return;
      const turn = this.group(label, "turn", parent, first, last);
      const cut = found.turns[k].length === 1 && !found.turns[k][0].loop ? cuts[found.turns[k][0].at] : undefined;
      if (cut && cut.call >= 0) work.push([turn, depth + 1]);
      else this.division(turn, cuts, found.turns[k], depth, work);
    });
  }

  private division(group: Group, cuts: Cut[], items: Item[], depth: number, work: [Group, number][]): void {
    const spans = items.map((item) => [cuts[item.at].start, ending(cuts, [item])] as const);
    this.halved(group, "steps ", spans, 0, spans.length, (parent, k) => {
      const item = items[k];
      const cut = cuts[item.at];
      if (item.loop) this.loop(parent, cuts, item.loop, depth, work);
      else if (cut.call >= 0 && cut.end - cut.start > 1) {
        const whole = parent === group && cut.start === group.first && cut.end === group.last && group.kind === "call";
        const call = whole ? group : this.group(cut.label || "call", "call", parent, cut.start, cut.end);
        if (cut.layer && !call.layer) Object.assign(call, { label: cut.label, layer: true });
        work.push([call, depth + 1]);
      }
    });
  }

  /** Calls back for each of many items, within stretches if they are more than can stand side by side. */
  private halved(
    group: Group,
    what: string,
    spans: readonly (readonly [number, number])[],
    from: number,
    to: number,
    each: (parent: Group, k: number) => void,
  ): void {
    const count = to - from;
    if (count <= MOST) {
      for (let k = from; k < to; k++) each(group, k);
      return;
    }
    const size = MOST ** Math.floor(Math.log(count - 1) / Math.log(MOST));
    for (let k = from; k < to; k += size) {
      const end = Math.min(k + size, to);
      const label = `${what}${(k + 1).toLocaleString("en")} to ${end.toLocaleString("en")}`;
      const stretch = this.group(label, "stretch", group, spans[k][0], spans[end - 1][1]);
      this.halved(stretch, what, spans, k, end, each);
    }
  }

  size(group: Group): number {
    return group.last - group.first;
  }

  /** Whether a group is a step of a loop that was written out: no class has such a name. */
  isStep(group: Group): boolean {
    return group.layer && /^steps? \d/.test(group.label);
  }

  /** Whether this is a network: there are calls of modules. */
  get network(): boolean {
    return this.model.doc.graph.sites.some((site) => site.layer?.name);
  }

  /** From the outermost group inward, without the root. */
  ancestors(position: number): Group[] {
    const found: Group[] = [];
    for (let group: Group | null = this.inner[position]; group?.parent; group = group.parent) found.push(group);
    return found.reverse();
  }

  /** Which groups to open at first: from the outermost inward, all parts of a group or none, while they fit. Of a network,
   * layers are seen, not the values in them. */
  opening(most: number): Set<number> {
    const modules = this.network;
    const closed = (group: Group): boolean => {
      const inside = group.parts.filter((part) => part.layer && part.label.includes(": "));
      return modules && group.layer && (!inside.length || this.boxes(group) > 2 * group.parts.length);
    };
    const open = new Set([this.root.id]);
    let shown = this.boxes(this.root);
    let queue = [this.root];
    while (queue.length) {
      const parts = (group: Group): Group[] => group.parts.filter((part) => !closed(part));
      const more = (group: Group): number => parts(group).reduce((sum, part) => sum + this.boxes(part) - 1, 0);
      queue.sort((a, b) => more(a) - more(b));
      const next: Group[] = [];
      for (const group of queue) {
        if (shown + more(group) > most) continue;
        shown += more(group);
        for (const part of parts(group)) open.add(part.id);
        next.push(...parts(group));
      }
      queue = next;
    }
    return open;
  }

  /** Boxes that a group shows when it is open and its parts are closed. */
  private boxes(group: Group): number {
    let count = this.size(group);
    for (const part of group.parts) count -= this.size(part) - 1;
    return count;
  }
}

interface Cut {
  key: string;
  call: number;
  label: string;
  layer: boolean;
  start: number;
  end: number;
}

/** An item of a run: a cut, or a loop of several turns, each a list of items. */
interface Item {
  key: string;
  at: number;
  end: number;
  loop?: Repeated;
}

interface Repeated {
  turns: Item[][];
}

function ending(cuts: Cut[], items: Item[]): number {
  return cuts[items[items.length - 1].end - 1].end;
}

/**
 * The loops of a run of keys: where a key comes again, what stands between is a turn. A loop goes on while keys are
 * those of its first turn, and its turns may hold loops. The result is one list of items, wrapped as one turn.
 */
export function repeated(keys: string[]): Repeated[] {
  interface Frame {
    items: Item[];
    places: Map<string, number>;
    head: string | null;
    known: Set<string>;
    turns: Item[][];
  }
  const fresh = (head: string | null, known: Set<string>, turns: Item[][]): Frame => ({
    items: [], places: new Map(), head, known, turns,
  });
  const stack: Frame[] = [fresh(null, new Set(), [])];
  const put = (frame: Frame, item: Item): void => {
    if (!frame.places.has(item.key)) frame.places.set(item.key, frame.items.length);
    frame.items.push(item);
  };
  const close = (): void => {
    const frame = stack.pop()!;
    const turns = [...frame.turns, frame.items];
    const last = turns[turns.length - 1];
    put(stack[stack.length - 1], { key: frame.head!, at: turns[0][0].at, end: last[last.length - 1].end, loop: { turns } });
  };
  keys.forEach((key, k) => {
    while (stack.length > 1 && !stack[stack.length - 1].known.has(key)) close();
    let frame = stack[stack.length - 1];
    const item: Item = { key, at: k, end: k + 1 };
    if (key === frame.head) {
      frame.turns.push(frame.items);
      frame.items = [];
      frame.places = new Map();
    } else {
      const before = frame.places.get(key);
      if (before !== undefined) {
        const turn = frame.items.splice(before);
        frame.places = new Map();
        frame.items.forEach((old, i) => !frame.places.has(old.key) && frame.places.set(old.key, i));
        frame = fresh(key, keysOf(turn), [turn]);
        stack.push(frame);
      }
    }
    put(frame, item);
  });
  while (stack.length > 1) close();
  return [{ turns: [stack[0].items] }];
}

function keysOf(items: Item[]): Set<string> {
  const found = new Set<string>();
  const work = [...items];
  for (let item = work.pop(); item; item = work.pop()) {
    found.add(item.key);
    for (const turn of item.loop?.turns ?? []) work.push(...turn);
  }
  return found;
}
