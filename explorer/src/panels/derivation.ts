// The derivation at four levels, each factor linked with its use in the picture and its line of code.

import type { App } from "../app";
import { MAX_PATHS, count, paths, scalarUse } from "../chain";
import { scalar, type Form } from "../document";
import { clear, h, math } from "../dom";
import { fenced } from "../draw-svg";
import { counting, digits, short } from "../format";
import type { State } from "../store";

const LEVELS: [State["level"], string][] = [
  ["leibniz", "Leibniz"],
  ["spelled", "spelled out"],
  ["multiplied", "multiplied out"],
  ["numbers", "numbers"],
];
const MAX_INPUTS = 24;
const MAX_FACTORS = 40;

type Part = { words: string; latex: string } | { factor: number; form: Form | null; number?: string };

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
    const key = `${level} ${numbers ? JSON.stringify(store.state.inputs) : ""} ${forms(app) ? "" : app.pinned}`;
    if (key !== drawn) {
      drawn = key;
      clear(body, ...lines(app).map((line) => lineElement(app, line)));
    }
    marks();
  };
  const marks = (): void => {
    const pinned = app.related(store.state.pin).uses;
    const hot = store.hover ? app.related(store.hover).uses : new Set<number>();
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
  terms: Part[][];
  value: string;
  note: string;
}

function forms(app: App): boolean {
  return app.model.nodes.some((node) => node.forms);
}

/** The lines at the chosen level. */
function lines(app: App): DerivationLine[] {
  const { model, store } = app;
  const { level } = store.state;
  const found: DerivationLine[] = [];
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
  const { model, store } = app;
  const sources = [...new Set(model.uses.filter((use) => use.active).map((use) => use.source))].sort((a, b) => b - a);
  return sources.map((id) => {
    const uses = model.flowing(id);
    const numbers = store.state.level === "numbers";
    const terms = uses.slice(0, MAX_PATHS).map((k): Part[] => [
      numbers ? { factor: k, form: null, number: short(app.share(k), 5) } : { factor: k, form: model.uses[k].forms?.share ?? null },
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
  });
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
  const { store } = app;
  const row = h("p", { class: "line" });
  if (line.left) row.append(math(line.left.mathml));
  else if (line.leftText) row.append(line.leftText);
  line.terms.forEach((term, k) => {
    if (k || line.left || line.leftText) row.append(k ? " + " : " = ");
    for (const part of term) {
      if ("words" in part) {
        const { form } = part as { form?: Form };
        row.append(form ? math(form.mathml) : part.words);
        continue;
      }
      const key = `e${part.factor}`;
      row.append(
        h(
          "button",
          {
            type: "button", class: "factor", "data-use": part.factor,
            title: app.model.uses[part.factor].rule ?? "",
            "aria-label": `${part.form?.text ?? part.number ?? ""}, ${app.model.uses[part.factor].rule ?? ""}`,
            mouseenter: () => store.setHover(key),
            mouseleave: () => store.setHover(""),
            focus: () => store.setHover(key),
            blur: () => store.setHover(""),
            click: () => store.set({ pin: store.state.pin === key ? "" : key }),
          },
          part.form?.mathml ? math(part.form.mathml) : (part.form?.text ?? part.number ?? ""),
        ),
      );
    }
  });
  if (line.value) row.append(" = ", h("strong", { class: "number" }, line.value));
  if (line.note) row.append(h("span", { class: "soft note" }, line.note));
  return row;
}

/** The lines as LaTeX. */
export function latexOf(app: App): string {
  const rows = lines(app)
    .filter((line) => line.terms.length)
    .map((line) => {
      const left = line.left?.latex ?? line.leftText;
      const equals = left ? "&= " : "& ";
      const right = line.terms.map((term) => term.map((part) => ("words" in part ? part.latex : (part.form?.latex ?? texNumber(part.number ?? "")))).join(""));
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
