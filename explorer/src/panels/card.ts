// The card of what is pinned: a value with its numbers, a use with its local derivative, a group with what is in it.

import type { App } from "../app";
import { isComplex, items, numbers, real, scalar, shapeOf, type Data, type Item } from "../document";
import { clear, h, math, s, scroller } from "../dom";
import { counted, digits, element, range, short } from "../format";

const BINS = 24;
const MAX_CELLS = 64;
const MAX_LINKS = 50;

export function cardPanel(app: App): HTMLElement {
  const body = h("div", { class: "card" });
  let drawn = "";
  const update = (): void => {
    const { state } = app.store;
    const key = `${state.pin} ${state.step} ${JSON.stringify(state.inputs)} ${state.toggled} ${app.kept?.label} ${state.theme}`;
    if (key === drawn) return;
    drawn = key;
    clear(body, ...content(app));
  };
  app.onChange(update);
  update();
  return body;
}

function content(app: App): (HTMLElement | null)[] {
  const { pin } = app.store.state;
  const group = app.group(pin);
  if (group) return groupCard(app, group.id);
  const number = Number(pin.slice(1));
  if (pin.startsWith("e") && app.model.uses[number]) return useCard(app, number);
  const id = app.pinned;
  if (id === undefined) return [h("p", { class: "soft" }, "Choose a value, a use or a group in the picture, the code or the list.")];
  return valueCard(app, id);
}

function valueCard(app: App, id: number): (HTMLElement | null)[] {
  const { model } = app;
  const node = model.nodes[id];
  const path = model.nodes[id].path;
  const title = h("h2", {}, path ? `${model.name(id)}, ${path}` : model.name(id));
  if (node.forms?.formula) title.append(" = ", math(node.forms.formula.mathml));
  const what = node.input !== undefined ? (model.wrt.has(id) ? "input" : "given") : node.args ? node.hop.replaceAll("_", " ") : "constant";
  const site = model.site(id);
  const facts = h(
    "dl",
    { class: "facts" },
    ...fact("made by", what),
    ...fact("shape", node.shape.length ? node.shape.join(" × ") : "a number"),
    ...fact("dtype", node.dtype),
    ...(site ? fact("where", `${site.file.split(/[\\/]/).pop()}:${site.line}${site.function ? ` in ${site.function}` : ""}`) : []),
    ...(node.zero !== undefined ? fact("derivative", `zero: ${node.zero}`) : []),
  );
  return [
    title,
    facts,
    numbersCard("Value", app.value(id), app.kept?.value(id)),
    node.adjoint === undefined ? null : numbersCard(`Adjoint: the derivative of ${model.name(model.doc.output)} by it`, app.adjoint(id), app.kept?.adjoint(id)),
    model.wrt.has(id) && node.adjoint !== undefined ? checkCard(app, id) : null,
    links(app, "Computed from", (model.into.get(id) ?? []).map((k) => [model.uses[k].source, k])),
    links(app, "Used by", (model.outof.get(id) ?? []).map((k) => [model.uses[k].target, k])),
  ];
}

function fact(name: string, text: string): HTMLElement[] {
  return [h("dt", {}, name), h("dd", {}, text)];
}

function useCard(app: App, k: number): HTMLElement[] {
  const { model } = app;
  const use = model.uses[k];
  const title = h("h2", {}, `${model.name(use.source)} → ${model.name(use.target)}`);
  const found: HTMLElement[] = [title, h("dl", { class: "facts" }, ...fact("rule", use.rule ?? "nothing flows back"), ...fact("operand", String(use.operand + 1)))];
  const others = app.together(k).filter((other) => other !== k);
  if (others.length) found.push(usesList(app, others));
  if (!use.active) return found;
  const formula = h("p", {});
  if (use.forms?.leibniz) formula.append(math(use.forms.leibniz.mathml));
  if (use.forms?.local) formula.append(" = ", math(use.forms.local.mathml));
  else if (use.forms?.share) formula.append(h("span", { class: "soft" }, "  adds "), math(use.forms.share.mathml));
  else formula.append(app.localText(k));
  found.push(formula);
  const local = app.local(k);
  if (local !== undefined) found.push(numbersCard("Local derivative", local, undefined));
  found.push(numbersCard(`Flows in: the adjoint of ${model.name(use.target)}`, app.adjoint(use.target), undefined));
  found.push(numbersCard(`Flows out: what it adds to the adjoint of ${model.name(use.source)}`, app.share(k), undefined));
  found.push(links(app, "Between", [[use.source, -1], [use.target, -1]])!);
  return found;
}

/** The other uses that the same arrow stands for. */
function usesList(app: App, uses: number[]): HTMLElement {
  const { model, store } = app;
  const one = (k: number): HTMLElement => {
    const { source, target } = model.uses[k];
    const words = `${model.name(source)} → ${model.name(target)}`;
    return h("li", {}, h("button", { type: "button", class: "link", click: () => store.set({ pin: `e${k}` }) }, words));
  };
  const more = uses.length - MAX_LINKS;
  return h(
    "section",
    {},
    h("h2", {}, `${counted(uses.length, "other use")} on the same arrow`),
    h("ul", { class: "links" }, ...uses.slice(0, MAX_LINKS).map(one), more > 0 ? h("li", {}, `… and ${more} more`) : null),
  );
}

function groupCard(app: App, id: number): HTMLElement[] {
  const { model, scopes } = app;
  const group = scopes.groups[id];
  const hops = new Map<string, number>();
  for (let k = group.first; k < group.last; k++) {
    const { hop } = model.nodes[model.shown[k]];
    hops.set(hop, (hops.get(hop) ?? 0) + 1);
  }
  const rows = [...hops].sort((a, b) => b[1] - a[1]).slice(0, 12);
  const open = app.isOpen(group);
  return [
    h("h2", {}, group.label),
    h("p", {}, `${counted(group.last - group.first, "value")}, ${counted(group.parts.length, "part")}. `),
    h("p", {}, h("button", { type: "button", click: () => app.toggle(group) }, open ? "Close" : "Open")),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "hop"), h("th", { scope: "col" }, "times"))), h("tbody", {}, ...rows.map(([hop, n]) => h("tr", {}, h("td", {}, hop.replaceAll("_", " ")), h("td", {}, String(n)))))),
  ];
}

/** A number, or the statistics, histogram and picture of an array. */
export function numbersCard(title: string, data: Data | undefined, kept: Data | undefined): HTMLElement {
  const card = h("section", { class: "numbers" }, h("h2", {}, title));
  if (data === undefined) {
    card.append(h("p", { class: "soft" }, "not known here"));
    return card;
  }
  const single = scalar(data);
  if (single !== undefined) {
    const bad = !Number.isFinite(single);
    card.append(h("p", { class: bad ? "number bad" : "number" }, digits(single, 12)));
  } else if (!shapeOf(data).length) card.append(...complexNumber(items(data)[0]));
  else card.append(...array(data));
  if (kept !== undefined) card.append(compared(data, kept));
  return card;
}

function complexNumber(item: Item): HTMLElement[] {
  const [re, im] = (item as [number, number]).map(real);
  const polar = [...fact("size", digits(Math.hypot(re, im))), ...fact("angle", digits(Math.atan2(im, re)))];
  return [h("p", { class: Number.isFinite(re) && Number.isFinite(im) ? "number" : "number bad" }, element(item, 12)), h("dl", { class: "facts" }, ...polar)];
}

function array(data: Data): HTMLElement[] {
  if (typeof data !== "object") return [];
  const all = numbers(data);
  const { summary } = data;
  const finite = all.filter(Number.isFinite);
  const size = data.shape.reduce((a, b) => a * b, 1);
  const nan = summary ? summary.nan : all.filter(Number.isNaN).length;
  const infinite = summary ? summary.infinite : all.length - finite.length - nan;
  const [low, high] = summary ? [real(summary.min), real(summary.max)] : range(finite);
  const mean = summary ? real(summary.mean) : finite.reduce((a, b) => a + b, 0) / finite.length;
  const found: HTMLElement[] = [
    h(
      "dl",
      { class: "facts" },
      ...fact("elements", size.toLocaleString("en")),
      ...(finite.length || summary ? [...fact(isComplex(data) ? "sizes" : "range", `${digits(low)} … ${digits(high)}`), ...fact(isComplex(data) ? "mean size" : "mean", digits(mean))] : []),
      ...fact("NaN", String(nan)),
      ...fact("infinite", String(infinite)),
    ),
  ];
  const counts = summary?.histogram ?? histogram(finite, low, high);
  if (counts.length && size > 1) found.push(bars(counts, low, high));
  found.push(...slices(data));
  if (size <= 12) found.push(h("p", { class: "number elements" }, items(data).map((item) => element(item)).join(", ")));
  return found;
}

function histogram(values: number[], low: number, high: number): number[] {
  if (!values.length) return [];
  const counts = new Array<number>(BINS).fill(0);
  for (const v of values) {
    const share = (v / 2 - low / 2) / (high / 2 - low / 2 || 1);
    counts[Math.min(BINS - 1, Math.floor(share * BINS))]++;
  }
  return counts;
}

function bars(counts: number[], low: number, high: number): HTMLElement {
  const most = Math.max(...counts, 1);
  const label = `Histogram from ${digits(low)} to ${digits(high)}: the fullest of ${counts.length} bars has ${most}`;
  return h(
    "figure",
    { class: "histogram" },
    s(
      "svg",
      { viewBox: `0 0 ${counts.length * 10} 60`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
      ...counts.map((n, k) => s("rect", { x: k * 10 + 0.5, y: 60 - (n / most) * 58, width: 9, height: (n / most) * 58 })),
    ),
    h("figcaption", {}, h("span", {}, digits(low, 4)), h("span", {}, digits(high, 4))),
  );
}

/** A heat map of a slice along the last two axes, and sliders for the axes before. */
function slices(data: Data): HTMLElement[] {
  if (typeof data !== "object" || !data.shape.length || data.shape.some((n) => n === 0)) return [];
  const { shape, summary } = data;
  if (summary?.picture) {
    const { rows, columns } = summary.picture;
    const note = `${rows.length} of ${shape.length > 1 ? shape[shape.length - 2] : 1} rows and ${columns.length} of ${shape[shape.length - 1]} columns of the first slice`;
    return [heatMap(summary.picture.data.map(real), rows.length, columns.length), h("p", { class: "soft" }, note)];
  }
  const all = numbers(data);
  const columns = shape[shape.length - 1];
  const rows = shape.length > 1 ? shape[shape.length - 2] : 1;
  if (rows * columns < 2) return [];
  const leading = shape.slice(0, -2);
  const at = leading.map(() => 0);
  const holder = h("div");
  const draw = (): void => {
    const index = leading.reduce((sum, n, k) => sum * n + at[k], 0);
    const start = index * rows * columns;
    clear(holder, heatMap(all.slice(start, start + rows * columns), rows, columns));
  };
  draw();
  const sliders = leading.map((n, k) =>
    h("label", {}, `axis ${k}: `, h("input", { type: "range", min: 0, max: n - 1, value: 0, input: (event: Event) => { at[k] = Number((event.target as HTMLInputElement).value); draw(); } })),
  );
  return [holder, ...sliders];
}

function heatMap(values: number[], rows: number, columns: number): HTMLElement {
  const canvas = h("canvas", { class: "heatmap", width: columns, height: rows, role: "img" });
  const finite = values.filter(Number.isFinite);
  const most = finite.reduce((m, v) => Math.max(m, Math.abs(v)), 0) || 1;
  canvas.setAttribute("aria-label", `Heat map of ${rows} × ${columns} elements, from −${digits(most, 3)} (blue) over 0 (white) to ${digits(most, 3)} (orange)`);
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(columns, rows);
  values.forEach((v, k) => image.data.set(shade(v / most), 4 * k));
  context.putImageData(image, 0, 0);
  const size = Math.max(rows, columns) > MAX_CELLS ? 3 : Math.max(4, Math.min(20, Math.floor(260 / Math.max(rows, columns))));
  canvas.style.width = `${columns * size}px`;
  canvas.style.height = `${rows * size}px`;
  return h("figure", {}, scroller("Heat map", canvas), h("figcaption", { class: "soft" }, `−${digits(most, 3)} `, h("span", { class: "ramp" }), ` ${digits(most, 3)}; black is NaN or infinite`));
}

/** Blue over white to orange, which colour-blind readers can tell apart; black where not finite. */
function shade(share: number): [number, number, number, number] {
  if (!Number.isFinite(share)) return [0, 0, 0, 255];
  const [r, g, b] = share < 0 ? [0, 95, 170] : [213, 94, 0];
  const t = Math.min(1, Math.abs(share));
  return [255 + (r - 255) * t, 255 + (g - 255) * t, 255 + (b - 255) * t, 255].map(Math.round) as [number, number, number, number];
}

/** The difference from the numbers that were kept. */
function compared(now: Data, kept: Data): HTMLElement {
  const one = scalar(now);
  const other = scalar(kept);
  if (one !== undefined && other !== undefined) {
    return h("p", { class: "kept" }, `kept: ${digits(other, 12)}, difference ${digits(one - other)}`);
  }
  const [a, b] = [numbers(now), numbers(kept)];
  const most = a.reduce((m, v, k) => Math.max(m, Math.abs(v - b[k])), 0);
  return h("p", { class: "kept" }, `kept: ${short(kept)}; the largest difference is ${digits(most)}`);
}

/** The derivative by an input, from the chain rule and from finite differences. */
function checkCard(app: App, id: number): HTMLElement | null {
  const live = app.lively.finite(id);
  const { check } = app.model.nodes[id];
  const card = h("section", { class: "numbers check" }, h("h2", {}, "Checked by finite differences"));
  const row = (name: string, exact: number, numeric: number): HTMLElement => {
    const error = Math.abs(exact - numeric) / Math.max(Math.abs(exact), Math.abs(numeric), 1e-300);
    return h("tr", {}, h("th", { scope: "row" }, name), ...[digits(exact, 9), digits(numeric, 9), exact === numeric ? "0" : digits(error, 2)].map((text) => h("td", { class: "number" }, text)));
  };
  const rows: HTMLElement[] = [];
  const adjoint = app.adjoint(id);
  if (live && adjoint !== undefined) {
    const exact = numbers(adjoint);
    live.slice(0, 24).forEach((numeric, k) => rows.push(row(shapeOf(adjoint).length ? `element ${k}` : app.model.name(id), exact[k], numeric)));
  } else if (check) rows.push(row(check.direction ? `along ${check.direction}` : app.model.name(id), real(check.exact), real(check.numeric)));
  if (!rows.length) return null;
  card.append(
    scroller("Differences", h("table", {}, h("thead", {}, h("tr", {}, ...["by", "chain rule", "differences", "relative"].map((t) => h("th", { scope: "col" }, t)))), h("tbody", {}, ...rows))),
  );
  return card;
}

function links(app: App, title: string, ends: [number, number][]): HTMLElement | null {
  if (!ends.length) return null;
  const { model, store } = app;
  return h(
    "section",
    {},
    h("h2", {}, title),
    h(
      "ul",
      { class: "links" },
      ...ends.slice(0, MAX_LINKS).map(([id, use]) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button", class: "link",
              mouseenter: () => store.setHover(use >= 0 ? `e${use}` : `n${id}`),
              mouseleave: () => store.setHover(""),
              click: () => app.pinNode(id),
            },
            model.name(id),
          ),
          h("span", { class: "soft number" }, `  ${short(app.value(id))}`),
        ),
      ),
      ends.length > MAX_LINKS ? h("li", {}, `… and ${ends.length - MAX_LINKS} more`) : null,
    ),
  );
}
