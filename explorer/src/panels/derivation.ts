// The derivation at four levels, each factor linked with its use in the picture and its line of code.

import type { App } from "../app";
import { MAX_PATHS, count, paths, scalarUse } from "../chain";
import { push, scalar, type Form } from "../document";
import { clear, h, math } from "../dom";
import { fenced } from "../draw-svg";
import { counting, digits, short } from "../format";
import type { Group } from "../scopes";
import type { State } from "../store";

const LEVELS: [State["level"], string][] = [
  ["leibniz", "Leibniz"],
  ["spelled", "spelled out"],
  ["multiplied", "multiplied out"],
  ["numbers", "numbers"],
];
const MAX_INPUTS = 24;
const MAX_FACTORS = 40;
const MAX_ROWS = 400; // of a network; what is beyond them is seen when layers are closed

/** Words, perhaps as a formula; or a factor that is a use or the derivative of what a layer gives. */
type Part =
  | { words: string; latex: string; form?: Form | null }
  | { factor: number; form: Form | null; number?: string }
  | { layer: Group; form: Form };

export function derivationPanel(app: App): HTMLElement {
  const { store } = app;
  const body = h("div", { class: "derivation" });
  const choice = h("div", { class: "segments", role: "radiogroup", "aria-label": "Level of the derivation" });
  LEVELS.forEach(([level, words], k) => {
    const button = h(
      "button",
      {
        type: "button", role: "radio", "data-level": level,
        click: () => store.set({ level }),
        keydown: (event: KeyboardEvent) => {
          const by = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 0;
          if (!by) return;
          event.preventDefault();
          store.set({ level: LEVELS[(k + by + LEVELS.length) % LEVELS.length][0] });
          choice.querySelector<HTMLElement>("[aria-checked=true]")?.focus();
        },
      },
      words,
    );
    choice.append(button);
  });
  const copied = h("span", { class: "soft", role: "status" });
  const copy = h(
    "button",
    {
      type: "button",
      click: async () => {
        const words = latexOf(app);
        copied.textContent = (await copyText(words)) ? "copied" : "could not copy";
        setTimeout(() => (copied.textContent = ""), 2500);
      },
    },
    "Copy LaTeX",
  );
  let drawn = "";
  const update = (): void => {
    const { level } = store.state;
    for (const button of choice.querySelectorAll<HTMLElement>("[data-level]")) {
      const on = button.dataset.level === level;
      button.setAttribute("aria-checked", String(on));
      button.tabIndex = on ? 0 : -1;
    }
    const numbers = level === "numbers" || level === "multiplied";
    const shape = app.scopes.network ? store.state.toggled.join() : forms(app) ? "" : app.pinned;
    const key = `${level} ${numbers ? JSON.stringify(store.state.inputs) : ""} ${shape}`;
    if (key !== drawn) {
      drawn = key;
      const folded = body.contains(document.activeElement) ? document.activeElement?.getAttribute("data-fold") : null;
      clear(body, ...lines(app).map((line) => lineElement(app, line)));
      if (folded) body.querySelector<HTMLElement>(`[data-fold="${folded}"]`)?.focus();
    }
    marks();
  };
  const marks = (): void => {
    const pinned = app.related(store.state.pin).uses;
    const hot = store.hover ? app.related(store.hover).uses : new Set<number>();
    for (const factor of body.querySelectorAll<HTMLElement>("[data-layer]")) {
      const key = `g${factor.dataset.layer}`;
      factor.classList.toggle("pinned", store.state.pin === key);
      factor.classList.toggle("hot", store.hover === key);
    }
    for (const factor of body.querySelectorAll<HTMLElement>("[data-use]")) {
      const use = Number(factor.dataset.use);
      factor.classList.toggle("pinned", pinned.has(use));
      factor.classList.toggle("hot", hot.has(use));
      factor.classList.toggle("active", app.step?.kind === "share" && app.step.use === use);
    }
  };
  app.onChange(update);
  store.onHover(marks);
  update();
  return h("div", {}, h("div", { class: "bar" }, choice, copy, copied), body);
}

interface DerivationLine {
  left: Form | null;
  leftText: string;
  /** Between the left side and the terms, if that is not an equals sign. */
  sign?: string;
  terms: Part[][];
  value: string;
  note: string;
  /** The layer that begins with this line, which opens and closes by it. */
  layer?: Group;
  /** How many layers a line lies in. */
  depth?: number;
}

function forms(app: App): boolean {
  return app.model.nodes.some((node) => node.forms);
}

/** The lines at the chosen level. */
function lines(app: App): DerivationLine[] {
  const { model, store } = app;
  const { level } = store.state;
  const found: DerivationLine[] = [];
  if (app.scopes.network) return byLayers(app);
  if (!forms(app) && model.uses.length) return around(app);
  const numbers = level === "multiplied" || level === "numbers";
  const arrays = model.uses.some((use) => use.active && !scalarUse(use, model));
  if (numbers && arrays) return adjoints(app);
  for (const id of model.doc.wrt.slice(0, MAX_INPUTS)) {
    const left = model.nodes[id].forms?.derivative ?? null;
    const value = level === "numbers" ? short(app.adjoint(id), 10) : "";
    const base = { left, leftText: `d/d${model.name(id)}`, value };
    if (model.nodes[id].zero !== undefined || app.adjoint(id) === undefined) {
      found.push({ ...base, terms: [[words("0", "0")]], value: "", note: `zero: ${model.nodes[id].zero ?? "not used"}` });
      continue;
    }
    const all = count(model, model.doc.output, id);
    if (all.paths > BigInt(MAX_PATHS)) {
      found.push({ ...base, terms: firstStep(app, id), note: `${counting(all.paths)} paths; by the adjoints of its uses` });
      continue;
    }
    const terms = paths(model, model.doc.output, id).map((path) => product(app, path));
    const line = { ...base, terms: terms.map((term) => (term.length ? term : [words("1", "1")])), note: all.paths > 1n ? `sum over ${all.paths} paths` : "" };
    found.push(trivial(line) ? { ...line, left: null, leftText: "", note: "one hop" } : line);
  }
  const more = model.doc.wrt.length - MAX_INPUTS;
  if (more > 0) found.push({ left: null, leftText: "", terms: [], value: "", note: `… and the derivatives by ${more} more inputs` });
  return found;
}

/** Whether a line says that something is itself: of a single hop, the derivative of the whole is the local one. */
function trivial(line: DerivationLine): boolean {
  const [term] = line.terms;
  return line.terms.length === 1 && term.length === 1 && "factor" in term[0] && !!line.left && term[0].form?.latex === line.left.latex;
}

function words(text: string, latex: string): Part {
  return { words: text, latex };
}

/** The product of the factors along a path, with an ellipsis in the middle of a very long one. */
function product(app: App, path: number[]): Part[] {
  const ends = path.length > MAX_FACTORS ? [...path.slice(0, MAX_FACTORS / 2), -1, ...path.slice(-MAX_FACTORS / 2)] : path;
  const parts: Part[] = [];
  ends.forEach((use, k) => {
    if (k) parts.push(words(" · ", " \\cdot "));
    parts.push(use < 0 ? words("…", "\\dots") : factor(app, use));
  });
  return parts;
}

function factor(app: App, use: number): Part {
  const found = app.model.uses[use].forms;
  const { level } = app.store.state;
  if (level === "numbers") {
    const local = scalar(app.local(use));
    return { factor: use, form: null, number: local === undefined ? "?" : fenced(digits(local)) };
  }
  const form = level === "multiplied" ? found?.expanded : found?.[level];
  return { factor: use, form: form ?? found?.leibniz ?? null };
}

/** The adjoint of an input by those of the values that use it. */
function firstStep(app: App, id: number): Part[][] {
  const { model, store } = app;
  const uses = model.flowing(id);
  const terms = uses.slice(0, MAX_PATHS).map((k): Part[] => {
    const { target } = model.uses[k];
    const above = model.nodes[target].forms?.adjoint;
    const head =
      store.state.level === "numbers"
        ? words(fenced(short(app.adjoint(target))), digits(scalar(app.adjoint(target)) ?? NaN))
        : { words: above?.text ?? "", latex: above?.latex ?? "", form: above };
    return [head, words(" · ", " \\cdot "), factor(app, k)];
  });
  if (uses.length > MAX_PATHS) terms.push([words("…", "\\dots")]);
  return terms;
}

/** For arrays: each adjoint once, in the order computed. */
function adjoints(app: App): DerivationLine[] {
  const { uses } = app.model;
  const sources = [...new Set(uses.filter((use) => use.active).map((use) => use.source))].sort((a, b) => b - a);
  return sources.map((id) => adjoint(app, id));
}

/** The adjoint of a value as the sum of what its uses add to it. */
function adjoint(app: App, id: number): DerivationLine {
  const { model, store } = app;
  const uses = model.flowing(id);
  const numbers = store.state.level === "numbers";
  const share = (k: number): Form => model.uses[k].forms?.share ?? plain(app.localText(k), model.uses[k].latex);
  const terms = uses.slice(0, MAX_PATHS).map((k): Part[] => [
    numbers ? { factor: k, form: null, number: short(app.share(k), 5) } : { factor: k, form: share(k) },
  ]);
  if (uses.length > MAX_PATHS) terms.push([words(`… ${uses.length - MAX_PATHS} more`, "\\dots")]);
  const rule = uses.length === 1 ? (model.uses[uses[0]].rule ?? "") : `sum over ${uses.length} uses`;
  return {
    left: model.nodes[id].forms?.adjoint ?? null,
    leftText: app.adjointName(id),
    terms,
    value: numbers && uses.length > 1 ? short(app.adjoint(id)) : "",
    note: rule,
  };
}

// -- networks --------------------------------------------------------------------------------------------------------

/**
 * The chain rule of a network as it is seen, from the last layer to the first: of a closed layer the derivatives by what
 * goes into it and by its parameters; of an open one, what is in it. A derivative stands where it is complete.
 */
function byLayers(app: App): DerivationLine[] {
  const { model, scopes } = app;
  const found: DerivationLine[] = [];
  const at = (id: number): number => model.rank.get(id) ?? -1;
  /** Where that begins in which a value is seen: a closed layer, or itself. */
  const place = (id: number): number => app.closedAround(at(id))?.first ?? at(id);
  // The values whose derivatives come out of each place, those that are complete there first.
  const complete = new Map<number, number[]>();
  const passing = new Map<number, number[]>();
  for (const id of model.shown) {
    const places = [...new Set(model.flowing(id).map((k) => place(model.uses[k].target)))].filter((p) => p !== place(id));
    if (!places.length) continue;
    const first = Math.min(...places);
    push(complete, first, id);
    if (!model.nodes[id].path) for (const other of places) if (other !== first) push(passing, other, id);
  }
  const show = (position: number, depth: number, layer?: Group): void => {
    const lines = (complete.get(position) ?? []).sort(order).map((id) => derivative(app, id, place));
    for (const id of passing.get(position) ?? []) lines.push(derivative(app, id, place, position));
    if (layer && !lines.length) lines.push({ left: null, leftText: "", terms: [], value: "", note: "nothing flows back" });
    lines.forEach((line, k) => found.push({ ...line, depth: layer && k ? depth + 1 : depth, layer: k ? undefined : layer }));
  };
  /** First what goes in, then parameters. */
  const order = (a: number, b: number): number => Number(!!model.nodes[a].path) - Number(!!model.nodes[b].path) || b - a;
  const visit = (group: Group, depth: number): void => {
    for (let k = group.last - 1; k >= group.first; k--) {
      let part: Group | null = scopes.inner[k];
      while (part && part !== group && part.parent !== group) part = part.parent;
      if (!part || part === group) {
        show(k, depth);
        continue;
      }
      k = part.first;
      if (app.isOpen(part)) {
        found.push({ left: null, leftText: "", terms: [], value: "", note: "", layer: part, depth });
        visit(part, depth + 1);
      } else show(part.first, depth, part);
    }
  };
  visit(scopes.root, 0);
  if (found.length > MAX_ROWS) {
    const note = `… and ${counting(BigInt(found.length - MAX_ROWS))} more lines: close layers to see them`;
    found.splice(MAX_ROWS, Infinity, { left: null, leftText: "", terms: [], value: "", note });
  }
  return found;
}

/** The derivative by a value, by those of what uses it: layers and hops. With `only`, what the one that begins there adds. */
function derivative(app: App, id: number, place: (id: number) => number, only?: number): DerivationLine {
  const { model, store } = app;
  const { level } = store.state;
  const users = new Map<number, number[]>();
  for (const k of model.flowing(id)) {
    const target = place(model.uses[k].target);
    if (target !== place(id)) push(users, target, k);
  }
  const hops = ![...users.keys()].some((position) => app.closedAround(position));
  if (hops && (level === "multiplied" || level === "numbers") && only === undefined) return adjoint(app, id);
  const terms: Part[][] = [];
  for (const [position, uses] of users) {
    if (only !== undefined && position !== only) continue;
    const layer = app.closedAround(position);
    for (const k of layer ? uses.slice(0, 1) : uses) {
      const result = layer ? app.resultOf(layer) : model.uses[k].target;
      const form = layer ? fraction(app, result, id) : (factorForm(app, k) ?? fraction(app, result, id));
      const local: Part = layer ? { layer, form } : { factor: k, form };
      if (result === model.doc.output) terms.push([local]);
      else terms.push([{ ...formed(fraction(app, model.doc.output, result)) }, words(" · ", " \\cdot "), local]);
    }
  }
  if (terms.length > MAX_PATHS) terms.splice(MAX_PATHS, Infinity, [words(`… ${terms.length - MAX_PATHS} more`, "\\dots")]);
  const left = fraction(app, model.doc.output, id);
  const same = only === undefined && terms.length === 1 && terms[0].length === 1;
  const value = level === "numbers" && only === undefined ? short(app.adjoint(id)) : "";
  const note = only === undefined ? (model.nodes[id].path ?? "") : "a term of the sum below";
  // Of the last layer or hop, the derivative is its own.
  if (same) return { left: null, leftText: "", terms, value, note };
  return { left, leftText: "", sign: only === undefined ? undefined : " += ", terms, value, note };
}

function factorForm(app: App, use: number): Form | null {
  const found = app.model.uses[use].forms;
  return (app.store.state.level === "spelled" ? found?.spelled : found?.leibniz) ?? null;
}

function formed(form: Form): Part {
  return { words: form.text, latex: form.latex, form };
}

/** A formula of which only the text is known. */
function plain(text: string, latex = text): Form {
  return { text, latex, mathml: "" };
}

/** ∂a/∂b. */
function fraction(app: App, a: number, b: number): Form {
  const [top, bottom] = [a, b].map((id) => app.model.nodes[id].forms?.name ?? plain(app.model.name(id)));
  const text = `∂${top.text}/∂${bottom.text}`;
  if (!top.mathml || !bottom.mathml) return plain(text);
  const inner = ({ mathml }: Form): string => `<mrow><mo>∂</mo>${mathml.replace(/^<math[^>]*>|<\/math>$/g, "")}</mrow>`;
  return {
    text,
    latex: `\\frac{\\partial ${top.latex}}{\\partial ${bottom.latex}}`,
    mathml: `<math><mfrac>${inner(top)}${inner(bottom)}</mfrac></math>`,
  };
}

/** Of a computation too large to be written out: the adjoint of the pinned value. */
function around(app: App): DerivationLine[] {
  const { model } = app;
  const id = app.pinned;
  const note = "This computation is too large to be written out as a whole. Choose a value to see its own step of the chain rule.";
  if (id === undefined || !model.flowing(id).length) return [{ left: null, leftText: "", terms: [], value: "", note }];
  const numbers = app.store.state.level === "numbers";
  const terms = model.flowing(id).slice(0, MAX_PATHS).map((k): Part[] => {
    const use = model.uses[k];
    const local = app.localText(k);
    if (numbers) return [words(fenced(short(app.adjoint(use.target), 5)), ""), words(" · ", " \\cdot "), { factor: k, form: null, number: short(app.local(k), 5) }];
    return [words(app.adjointName(use.target), app.adjointName(use.target)), words(" · ", " \\cdot "), { factor: k, form: { text: local, latex: use.latex ?? local, mathml: "" } }];
  });
  return [{ left: null, leftText: app.adjointName(id), terms, value: short(app.adjoint(id)), note: "" }];
}

function lineElement(app: App, line: DerivationLine): HTMLElement {
  const row = h("p", { class: line.layer ? "line layer" : "line" });
  row.style.setProperty("--depth", String(line.depth ?? 0));
  if (line.layer) row.append(...layerButtons(app, line.layer));
  if (line.left) row.append(formula(line.left));
  else if (line.leftText) row.append(line.leftText);
  line.terms.forEach((term, k) => {
    if (k || line.left || line.leftText) row.append(k ? " + " : (line.sign ?? " = "));
    for (const part of term) {
      if ("words" in part) row.append(part.form ? formula(part.form) : part.words);
      else row.append(factorButton(app, part));
    }
  });
  if (line.value) row.append(" = ", h("strong", { class: "number" }, line.value));
  if (line.note) row.append(h("span", { class: "soft note" }, line.note));
  return row;
}

function formula(form: Form): Element | string {
  return form.mathml ? math(form.mathml) : form.text;
}

/** What opens and closes a layer, and what selects it. */
function layerButtons(app: App, layer: Group): HTMLElement[] {
  const open = app.isOpen(layer);
  const key = `g${layer.id}`;
  return [
    h(
      "button",
      {
        type: "button", class: "link fold", "data-fold": layer.id, "aria-expanded": open,
        "aria-label": `${open ? "Close" : "Open"} ${layer.label}`, click: () => app.toggle(layer),
      },
      open ? "▾" : "▸",
    ),
    h("button", { type: "button", class: "link title", ...pinning(app, key) }, layer.label),
  ];
}

/** What a factor does: it marks what it is about, and keeps it marked. */
function pinning(app: App, key: string): Record<string, () => void> {
  const { store } = app;
  return {
    mouseenter: () => store.setHover(key),
    mouseleave: () => store.setHover(""),
    focus: () => store.setHover(key),
    blur: () => store.setHover(""),
    click: () => store.set({ pin: store.state.pin === key ? "" : key }),
  };
}

function factorButton(app: App, part: Exclude<Part, { words: string }>): HTMLElement {
  const attributes = { type: "button", class: "factor" };
  if ("layer" in part) {
    const { layer, form } = part;
    const more = { "data-layer": layer.id, title: layer.label, "aria-label": `${form.text}, ${layer.label}` };
    return h("button", { ...attributes, ...more, ...pinning(app, `g${layer.id}`) }, formula(form));
  }
  const rule = app.model.uses[part.factor].rule ?? "";
  const more = { "data-use": part.factor, title: rule, "aria-label": `${part.form?.text ?? part.number ?? ""}, ${rule}` };
  return h("button", { ...attributes, ...more, ...pinning(app, `e${part.factor}`) }, part.form ? formula(part.form) : (part.number ?? ""));
}

/** The lines as LaTeX. */
export function latexOf(app: App): string {
  const rows = lines(app)
    .filter((line) => line.terms.length)
    .map((line) => {
      const left = line.left?.latex ?? line.leftText;
      const equals = left ? (line.sign ? "&\\mathrel{+}= " : "&= ") : "& ";
      const texOf = (part: Part): string =>
        "words" in part ? part.latex : "layer" in part ? part.form.latex : (part.form?.latex ?? texNumber(part.number ?? ""));
      const right = line.terms.map((term) => term.map(texOf).join(""));
      return `${left} ${equals}${right.join(" + ")}${line.value ? ` = ${texNumber(line.value)}` : ""}`;
    });
  return `\\begin{align*}\n${rows.join(" \\\\\n")}\n\\end{align*}`;
}

export function texNumber(words: string): string {
  const power = (_: string, digits: string): string =>
    ` \\cdot 10^{${[...digits].map((c) => (c === "⁻" ? "-" : "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(c))).join("")}}`;
  return words
    .replace(/×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/g, power)
    .replaceAll("−", "-")
    .replaceAll("∞", "\\infty ")
    .replaceAll("×", "\\times ")
    .replaceAll("…", "\\dots ")
    .replace("NaN", "\\mathrm{NaN}");
}

export async function copyText(words: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    // Pages without a secure origin have only the old way.
    const area = h("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = words;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
