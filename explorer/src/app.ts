// What all parts of the page share: the model, the state, the values that are shown now.

import { extent, isComplex, items, real, shapeOf, type Data, type Item, type Model } from "./document";
import type { Lively } from "./lively";
import { MAX_OPEN } from "./scene";
import { Scopes, type Group } from "./scopes";
import type { State, Store } from "./store";
import { Sweeps, type Step } from "./sweeps";

/** What belongs together: a value, the factors of its derivative, its line of code. */
export interface Related {
  nodes: Set<number>;
  uses: Set<number>;
  sites: Set<number>;
}

const MAX_RELATED = 2000; // values or uses that are marked together

export class App {
  readonly scopes: Scopes;
  readonly sweeps: Sweeps;
  private readonly opening: Set<number>;
  private readonly sitesNodes = new Map<number, number[]>();
  private changed: ((state: State, before: State) => void)[] = [];
  private polite: HTMLElement | null = null;
  /** Values that the search found. */
  matches = new Set<number>();
  /** Uses of the path that is looked at. */
  path: number[] | null = null;
  /** Numbers that were kept for comparison. */
  kept: { label: string; value(id: number): Data | undefined; adjoint(id: number): Data | undefined } | null = null;
  private troubles: { count: Int32Array; meant: Set<number>; at: Data | undefined } | null = null;

  constructor(
    readonly model: Model,
    readonly store: Store,
    readonly lively: Lively,
  ) {
    this.scopes = new Scopes(model);
    this.sweeps = new Sweeps(model);
    this.opening = this.scopes.opening(MAX_OPEN);
    for (const id of model.shown) {
      for (const site of sitesOf(model, id)) {
        const found = this.sitesNodes.get(site);
        if (found) found.push(id);
        else this.sitesNodes.set(site, [id]);
      }
    }
    lively.update(store.state.inputs);
    store.subscribe((state, before) => {
      if (state.inputs !== before.inputs) lively.update(state.inputs);
      this.change(before);
    });
  }

  // -- numbers --------------------------------------------------------------------------------------------------

  /** Whether numbers follow the inputs. */
  get live(): boolean {
    return this.lively.live;
  }

  /** The value of a node as it is shown now. */
  value(id: number): Data | undefined {
    const node = this.model.nodes[id];
    return node.constant ?? this.lively.value(id) ?? node.value;
  }

  /** The derivative of the result by a value, as it is shown now. */
  adjoint(id: number): Data | undefined {
    const recorded = this.model.nodes[id].adjoint;
    return recorded === undefined ? undefined : (this.lively.adjoint(id) ?? recorded);
  }

  /** The local derivative of a use. */
  local(use: number): Data | undefined {
    const recorded = this.model.uses[use].value;
    return recorded === undefined ? undefined : (this.lively.local(use) ?? recorded);
  }

  /** The local derivative as a formula, or by name where none is written. */
  localText(use: number): string {
    const { source, target, text } = this.model.uses[use];
    return text ?? `∂${this.model.name(target)}/∂${this.model.name(source)}`;
  }

  /** What a use adds to the adjoint of its source. */
  share(use: number): Data | undefined {
    return this.lively.share(use) ?? this.model.uses[use].share;
  }

  /** Whether a number that is not finite is among the values or adjoints from one position to another. */
  troubled(first: number, last: number): boolean {
    const { count } = this.troubling();
    return count[last] > count[first];
  }

  /** Whether a value is finite, or infinite because of an infinite constant in the code, such as the −∞ of a mask. */
  fine(id: number): boolean {
    return extent(this.value(id)).finite || this.troubling().meant.has(id);
  }

  private troubling(): { count: Int32Array; meant: Set<number> } {
    const { nodes, shown, doc } = this.model;
    const now = this.value(doc.output); // made anew whenever the inputs change
    if (this.troubles?.at !== now || !this.troubles) {
      const meant = new Set<number>();
      for (const { id, args, constant } of nodes) {
        const found = extent(constant ?? this.value(id));
        const given = constant !== undefined || args?.some((arg) => meant.has(arg));
        if (!found.finite && !found.nan && given) meant.add(id);
      }
      const count = new Int32Array(shown.length + 1);
      shown.forEach((id, k) => {
        const sick = !(extent(this.value(id)).finite || meant.has(id)) || !extent(this.adjoint(id)).finite;
        count[k + 1] = count[k] + (sick ? 1 : 0);
      });
      this.troubles = { count, meant, at: now };
    }
    return this.troubles;
  }

  adjointName(id: number): string {
    const name = this.model.name(id);
    return this.model.nodes[id].forms?.adjoint?.text ?? ([...name].length === 1 ? `${name}\u0304` : `adjoint of ${name}`);
  }

  // -- the sweeps -----------------------------------------------------------------------------------------------

  get step(): Step | undefined {
    return this.sweeps.steps[this.store.state.step];
  }

  shownAt(id: number): { value: boolean; adjoint: boolean } {
    const { step } = this.store.state;
    if (step < 0) return { value: true, adjoint: true };
    return {
      value: step >= (this.sweeps.valueStep.get(id) ?? -1),
      adjoint: step >= (this.sweeps.adjointStep.get(id) ?? Infinity),
    };
  }

  /** The sum of an adjoint's shares so far, while some are missing. */
  partial(id: number): Data | undefined {
    const { step } = this.store.state;
    if (step < this.sweeps.forward || step >= (this.sweeps.adjointStep.get(id) ?? -1)) return undefined;
    const done = this.model.flowing(id).filter((k) => (this.sweeps.shareStep.get(k) ?? Infinity) <= step);
    return done.length ? total(done.map((k) => this.share(k))) : undefined;
  }

  // -- groups ---------------------------------------------------------------------------------------------------

  isOpen(group: Group): boolean {
    return !group.parent || this.opening.has(group.id) !== this.store.state.toggled.includes(group.id);
  }

  /** The group as which the value at a position is seen: the outermost closed one. */
  closedAround(position: number): Group | null {
    let closed: Group | null = null;
    for (let group: Group | null = this.scopes.inner[position]; group; group = group.parent) if (!this.isOpen(group)) closed = group;
    return closed;
  }

  /** The value that a group gives: the last one that is used outside of it; of a step of a loop, not its row of a stack. */
  resultOf(group: Group): number {
    const found = this.lastUsed(group);
    const { hop, args } = this.model.nodes[found];
    return this.scopes.isStep(group) && hop === "reshape" && args ? args[0] : found;
  }

  private lastUsed(group: Group): number {
    const { shown, rank, uses, outof, doc } = this.model;
    for (let k = group.last - 1; k >= group.first; k--) {
      const outside = (use: number): boolean => {
        const at = rank.get(uses[use].target) ?? -1;
        return at < group.first || at >= group.last;
      };
      if (shown[k] === doc.output || (outof.get(shown[k]) ?? []).some(outside)) return shown[k];
    }
    return shown[group.last - 1];
  }

  toggle(...groups: Group[]): void {
    const toggled = new Set(this.store.state.toggled);
    for (const { id } of groups) if (!toggled.delete(id)) toggled.add(id);
    this.store.set({ toggled: [...toggled] });
  }

  /** Opens what a value is hidden in. */
  reveal(id: number, change: Partial<State> = {}): void {
    const rank = this.model.rank.get(id);
    if (rank === undefined) return;
    const closed = this.scopes.ancestors(rank).filter((group) => !this.isOpen(group));
    const toggled = new Set(this.store.state.toggled);
    for (const group of closed) if (!toggled.delete(group.id)) toggled.add(group.id);
    this.store.set({ ...change, ...(closed.length ? { toggled: [...toggled] } : {}) });
  }

  pinNode(id: number): void {
    this.reveal(id, { pin: `n${id}` });
  }

  group(key: string): Group | undefined {
    return key.startsWith("g") ? this.scopes.groups[Number(key.slice(1))] : undefined;
  }

  /** The values within so many uses of what is pinned; null: all are shown. */
  neighbourhood(): Set<number> | null {
    const { near, pin } = this.store.state;
    const start = this.nodeOf(pin);
    if (near <= 0 || start === undefined) return null;
    const found = new Set([start]);
    let edge = [start];
    for (let k = 0; k < near; k++) {
      const next: number[] = [];
      for (const id of edge) {
        const into = (this.model.into.get(id) ?? []).map((u) => this.model.uses[u].source);
        const outof = (this.model.outof.get(id) ?? []).map((u) => this.model.uses[u].target);
        for (const other of [...into, ...outof]) {
          if (!found.has(other)) {
            found.add(other);
            next.push(other);
          }
        }
      }
      edge = next;
    }
    return found;
  }

  // -- what is selected -----------------------------------------------------------------------------------------

  /** The value that a key is about: of a use its target. */
  nodeOf(key: string): number | undefined {
    const number = Number(key.slice(1));
    if (key.startsWith("n") && this.model.rank.has(number)) return number;
    if (key.startsWith("e")) return this.model.uses[number]?.target;
    return undefined;
  }

  /** The pinned value, with which panels begin. */
  get pinned(): number | undefined {
    return this.nodeOf(this.store.state.pin);
  }

  related(key: string): Related {
    const found: Related = { nodes: new Set(), uses: new Set(), sites: new Set() };
    const number = Number(key.slice(1));
    const whole = (id: number): void => {
      found.nodes.add(id);
      for (const site of sitesOf(this.model, id)) found.sites.add(site);
    };
    const made = (id: number): void => {
      whole(id);
      for (const k of this.model.into.get(id) ?? []) if (this.model.uses[k].active) found.uses.add(k);
    };
    if (key.startsWith("n") && this.model.rank.has(number)) made(number);
    if (key.startsWith("e") && this.model.uses[number]) {
      for (const use of this.together(number).slice(0, MAX_RELATED)) {
        whole(this.model.uses[use].target);
        found.nodes.add(this.model.uses[use].source);
        found.uses.add(use);
      }
    }
    if (key.startsWith("s")) for (const id of this.sitesNodes.get(number) ?? []) made(id);
    const group = this.group(key);
    if (group && group.last - group.first <= MAX_RELATED) for (let k = group.first; k < group.last; k++) whole(this.model.shown[k]);
    return found;
  }

  /** The uses that are seen as one arrow with this one: all between the same two ends, if one is a closed group. */
  together(use: number): number[] {
    const { uses, rank } = this.model;
    const end = (id: number): [number, number] => {
      const at = rank.get(id) ?? -1;
      const closed = this.closedAround(at);
      return closed ? [closed.first, closed.last] : [at, at + 1];
    };
    const [from, to] = [end(uses[use].source), end(uses[use].target)];
    const values = from[1] - from[0] === 1 && to[1] - to[0] === 1;
    if (values || from[0] === to[0]) return [use];
    const lies = (id: number, [first, last]: [number, number]): boolean => {
      const at = rank.get(id) ?? -1;
      return first <= at && at < last;
    };
    return uses.flatMap(({ source, target }, k) => (lies(source, from) && lies(target, to) ? [k] : []));
  }

  nodesAt(site: number): number[] {
    return this.sitesNodes.get(site) ?? [];
  }

  // -- telling --------------------------------------------------------------------------------------------------

  /** Calls back when state or values are others. */
  onChange(listener: (state: State, before: State) => void): void {
    this.changed.push(listener);
  }

  change(before: State = this.store.state): void {
    for (const listener of this.changed) listener(this.store.state, before);
  }

  speakInto(region: HTMLElement): void {
    this.polite = region;
  }

  /** Says something to readers who do not see the page. */
  announce(words: string): void {
    if (this.polite) this.polite.textContent = words;
  }
}

function sitesOf(model: Model, id: number): number[] {
  const { site, also } = model.nodes[id];
  return site === undefined ? (also ?? []) : [site, ...(also ?? [])];
}

/** The sum of arrays of one shape; undefined where not all elements are known. */
export function total(parts: (Data | undefined)[]): Data | undefined {
  let sum: Item[] | undefined;
  let like: Data | undefined;
  for (const part of parts) {
    if (part === undefined || (typeof part === "object" && part.summary)) return undefined;
    const all = items(part);
    sum = sum ? sum.map((item, k) => plus(item, all[k])) : all;
    like = part;
  }
  if (!sum || like === undefined) return undefined;
  return typeof like === "object" && (shapeOf(like).length || isComplex(like)) ? { ...like, data: sum } : (sum[0] as number);
}

function plus(a: Item, b: Item): Item {
  if (typeof a === "object" && typeof b === "object") return [real(a[0]) + real(b[0]), real(a[1]) + real(b[1])];
  return real(a as number) + real(b as number);
}
