// The state of the page in one place. It lives in the URL's hash, so that a link shows what its sender saw.

export interface State {
  /** What is pinned: "n3" a value, "e5" a use, "g…" a group; empty: nothing. */
  pin: string;
  /** Position in the sweeps; −1: none is shown. */
  step: number;
  /** How far the derivation is written out. */
  level: "leibniz" | "spelled" | "multiplied" | "numbers";
  tab: string;
  theme: "auto" | "light" | "dark";
  heat: boolean;
  /** Groups that are not as they were at first: opened or closed since. */
  toggled: number[];
  /** Values typed for the inputs, by name. */
  inputs: Record<string, number[]>;
  search: string;
  /** Ids of the input and of the value whose paths are listed; -1: the first input, the result. */
  from: number;
  to: number;
  /** Hops around the pinned value that are shown; 0: everything. */
  near: number;
}

export const INITIAL: State = {
  pin: "",
  step: -1,
  level: "leibniz",
  tab: "derivation",
  theme: "auto",
  heat: false,
  toggled: [],
  inputs: {},
  search: "",
  from: -1,
  to: -1,
  near: 0,
};

/** In hopgrad play one page follows another in a frame, whose name outlives them: the next begins with the same panel. */
const framed = window.parent !== window;

type Listener = (state: State, before: State) => void;

export class Store {
  private listeners: Listener[] = [];
  state: State;
  /** What is hovered: in the same form as `pin`, but not worth keeping in a link. */
  hover = "";
  private hoverers: (() => void)[] = [];
  private writing = 0;

  constructor() {
    this.state = { ...INITIAL, ...(framed ? fromHash(window.name) : {}), ...fromHash(location.hash) };
    addEventListener("hashchange", () => {
      if (location.hash.slice(1) !== toHash(this.state)) this.set({ ...INITIAL, ...fromHash(location.hash) });
    });
  }

  set(change: Partial<State>): void {
    const before = this.state;
    this.state = { ...before, ...change };
    // Browsers count how often a page writes its address: while something is dragged, a few times a second must do.
    this.writing ||= window.setTimeout(() => this.write(), 60);
    for (const listener of this.listeners) listener(this.state, before);
  }

  private write(): void {
    this.writing = 0;
    const { tab, level, theme, heat } = this.state;
    if (framed) window.name = toHash({ ...INITIAL, tab, level, theme, heat });
    const hash = toHash(this.state);
    try {
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    } catch {
      // A document without an address of its own (a notebook's frame) keeps its state to itself.
    }
  }

  setHover(key: string): void {
    if (key === this.hover) return;
    this.hover = key;
    for (const hoverer of this.hoverers) hoverer();
  }

  subscribe(listener: Listener): void {
    this.listeners.push(listener);
  }

  onHover(hoverer: () => void): void {
    this.hoverers.push(hoverer);
  }
}

/** What differs from the initial state, as `key=value&…`. */
export function toHash(state: State): string {
  const parts = new URLSearchParams();
  for (const key of Object.keys(INITIAL) as (keyof State)[]) {
    const value = JSON.stringify(state[key]);
    if (value === JSON.stringify(INITIAL[key])) continue;
    if (key === "toggled") parts.set(key, ranges(state.toggled));
    else parts.set(key, typeof state[key] === "string" ? (state[key] as string) : value);
  }
  return parts.toString();
}

/** The state again. What is not of the kind that it must be is left out: a link may come from anywhere. */
export function fromHash(hash: string): Partial<State> {
  const found: Record<string, unknown> = {};
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!Object.hasOwn(INITIAL, key)) continue;
    const like = INITIAL[key as keyof State];
    const value = key === "toggled" ? fromRanges(text) : typeof like === "string" ? text : parsed(text);
    if (fits(key as keyof State, value, like)) found[key] = value;
  }
  return found as Partial<State>;
}

const CHOICES: Partial<Record<keyof State, string[]>> = {
  level: ["leibniz", "spelled", "multiplied", "numbers"],
  theme: ["auto", "light", "dark"],
};

function fits(key: keyof State, value: unknown, like: unknown): boolean {
  if (key === "toggled") return Array.isArray(value);
  if (key === "inputs") {
    const lists = value && typeof value === "object" && !Array.isArray(value) ? Object.values(value) : null;
    return !!lists && lists.every((list) => Array.isArray(list) && list.every((x) => typeof x === "number"));
  }
  const choices = CHOICES[key];
  return typeof value === typeof like && (!choices || choices.includes(value as string));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const MOST_TOGGLED = 1_000_000;

/** Whole numbers as "3-170,172": there may be thousands of them. */
function ranges(numbers: number[]): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  const parts: [number, number][] = [];
  for (const n of sorted) {
    const last = parts[parts.length - 1];
    if (last && n === last[1] + 1) last[1] = n;
    else parts.push([n, n]);
  }
  return parts.map(([a, b]) => (a === b ? String(a) : `${a}-${b}`)).join(",");
}

function fromRanges(text: string): number[] | undefined {
  const found: number[] = [];
  for (const part of text.split(",")) {
    const ends = /^([0-9]{1,9})(?:-([0-9]{1,9}))?$/.exec(part);
    if (!ends) return undefined;
    const [a, b] = [Number(ends[1]), Number(ends[2] ?? ends[1])];
    if (b - a + found.length > MOST_TOGGLED) return undefined;
    for (let n = a; n <= b; n++) found.push(n);
  }
  return found;
}
