// The chain rule as paths: each with its product and share; their number against dynamic programming; orders of elimination.

import type { App } from "../app";
import { MAX_ELIMINATED, MAX_PATHS, along, count, eliminations, paths, type Elimination } from "../chain";
import { scalar } from "../document";
import { clear, h, s, scroller } from "../dom";
import { fenced } from "../draw-svg";
import { counted, counting, digits } from "../format";

export function pathsPanel(app: App): HTMLElement {
  const { model, store } = app;
  const choice = (label: string, ids: number[], act: (id: number) => void): HTMLSelectElement => {
    const select = h("select", { "aria-label": label, change: () => act(Number(select.value)) }, ...ids.map((id) => h("option", { value: id }, model.name(id))));
    return select;
  };
  const active = model.shown.filter((id) => model.nodes[id].adjoint !== undefined);
  const some = active.length <= 500 ? active : [...active.slice(0, 250), ...active.slice(-250)];
  const inputs = [...new Set([...model.doc.wrt.filter((id) => model.nodes[id].adjoint !== undefined), ...some])].slice(0, 500);
  const outputs = [...some].reverse();
  if (!inputs.length || !outputs.length) return h("p", { class: "soft" }, "No gradient flows in this computation.");
  if (!outputs.includes(model.doc.output)) outputs.unshift(model.doc.output);
  const from = choice("From the input", inputs, (id) => store.set({ from: id }));
  const to = choice("to the value", outputs, (id) => store.set({ to: id }));
  const list = h("div");
  let drawn = "";
  const update = (): void => {
    const { state } = store;
    const low = inputs.includes(state.from) ? state.from : inputs[0];
    const high = outputs.includes(state.to) ? state.to : model.doc.output;
    from.value = String(low);
    to.value = String(high);
    const key = `${low} ${high} ${JSON.stringify(state.inputs)}`;
    if (key === drawn) return;
    drawn = key;
    clear(list, ...table(app, high, low));
  };
  app.onChange(update);
  update();
  return h(
    "div",
    {},
    h("div", { class: "bar" }, h("label", {}, "from ", from), h("label", {}, "to ", to)),
    list,
    h("h2", {}, "Orders of elimination"),
    eliminationPanel(app),
  );
}

function table(app: App, high: number, low: number): HTMLElement[] {
  const { model } = app;
  if (high === low) return [h("p", {}, "A value’s derivative by itself is 1: one path without a use.")];
  const all = count(model, high, low);
  if (all.paths === 0n) return [h("p", { class: "soft" }, `No gradient flows from ${model.name(high)} to ${model.name(low)}.`)];
  const found = paths(model, high, low);
  const products = found.map((path) => along(app, path));
  const complete = BigInt(found.length) === all.paths && products.every((p) => p !== undefined);
  const sum = complete ? products.reduce<number>((a, b) => a + b!, 0) : undefined;
  const size = products.reduce<number>((a, b) => a + Math.abs(b ?? 0), 0);
  const rows = found.map((path, k) => {
    const product = products[k];
    const names = [model.name(high), ...path.map((use) => model.name(model.uses[use].source))];
    const shownNames = names.length > 14 ? [...names.slice(0, 7), "…", ...names.slice(-6)] : names;
    const locals = path.map((use) => scalar(app.local(use)));
    const factors = product === undefined || path.length > 12 ? "" : `${locals.map((v) => fenced(digits(v!, 4))).join(" · ")} = `;
    const share = product === undefined || !size ? "" : `${digits((100 * Math.abs(product)) / size, 3)} %`;
    const light = (on: boolean): void => {
      app.path = on ? path : null;
      app.change();
    };
    return h(
      "tr",
      { "data-path": k, mouseenter: () => light(true), mouseleave: () => light(false) },
      h("td", {}, h("button", { type: "button", class: "link", focus: () => light(true), blur: () => light(false), click: () => app.pinNode(model.uses[path[Math.floor(path.length / 2)]].source) }, shownNames.join(" ← "))),
      h("td", { class: "number" }, factors, product === undefined ? "—" : h("strong", {}, digits(product, 6))),
      h("td", { class: "number" }, share),
    );
  });
  const heads = ["path", "product", "share"].map((t) => h("th", { scope: "col" }, t));
  const parts = [scroller("Paths", h("table", { class: "paths" }, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...rows)))];
  if (all.paths > BigInt(found.length)) parts.push(h("div", { class: "soft" }, `… and ${counting(all.paths - BigInt(found.length))} more paths (the first ${MAX_PATHS} are listed)`));
  if (sum !== undefined) parts.push(h("div", { class: "number" }, `sum over the paths: ${digits(sum, 10)}`));
  if (products.some((p) => p === undefined)) parts.push(h("div", { class: "soft" }, "Where arrays or complex numbers are on the way, the product of a path is a product of matrices: it is not written as one number."));
  parts.push(
    h(
      "table",
      { class: "counts" },
      h(
        "tbody",
        {},
        ...(
          [
            ["paths", all.paths],
            ["multiplications, path by path", all.naive],
            ["multiplications, each use once (dynamic programming)", BigInt(all.once)],
          ] as const
        ).map(([name, n]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number", title: n.toLocaleString("en") }, counting(n)))),
      ),
    ),
  );
  return parts;
}

/** The orders side by side, step by step. */
function eliminationPanel(app: App): HTMLElement {
  const { model } = app;
  const found = eliminations(model, model.doc.output);
  if (!found) return h("p", { class: "soft" }, `More than ${MAX_ELIMINATED} values lie between: orders are compared up to that.`);
  const steps = Math.max(...found.map((order) => order.steps.length));
  if (!steps) return h("p", { class: "soft" }, "No value lies between the inputs and the result: there is nothing to eliminate.");
  const columns = found.map((order) => {
    const picture = s("svg", { class: "elimination", role: "img" });
    const words = h("p", { class: "number" });
    return { order, picture, words };
  });
  const places = positions(app);
  const show = (k: number): void => {
    for (const { order, picture, words } of columns) {
      const done = order.steps.slice(0, k);
      const spent = done.reduce((sum, step) => sum + step.cost, 0);
      const last = done[done.length - 1];
      words.textContent = `${last ? `${model.name(last.node)} removed: ${counted(last.cost, "multiplication")}; ` : ""}${spent} of ${order.total}`;
      draw(app, picture, order, k, places);
    }
    slider.setAttribute("aria-valuetext", `${k} of ${steps} values eliminated`);
  };
  const slider = h("input", { type: "range", min: 0, max: steps, value: 0, "aria-label": "Values eliminated", input: () => show(Number(slider.value)) });
  const note =
    "Eliminating a value multiplies each derivative into it with each out of it. From the inputs on this is forward mode, from the result on reverse mode.";
  const element = h(
    "div",
    {},
    h("p", { class: "soft" }, note),
    h("label", { class: "bar" }, "play ", slider),
    h(
      "div",
      { class: "orders" },
      ...columns.map(({ order, picture, words }) => h("figure", {}, h("figcaption", {}, `${order.name}: ${counted(order.total, "multiplication")}`), picture, words)),
    ),
  );
  show(0);
  return element;
}

function positions(app: App): Map<number, [number, number]> {
  const { model } = app;
  const depth = new Map<number, number>();
  for (const id of model.shown) {
    const before = (model.into.get(id) ?? []).map((k) => depth.get(model.uses[k].source) ?? 0);
    depth.set(id, before.length ? Math.max(...before) + 1 : 0);
  }
  const rows = new Map<number, number>();
  const places = new Map<number, [number, number]>();
  for (const id of model.shown) {
    if (model.nodes[id].adjoint === undefined) continue;
    const d = depth.get(id)!;
    const row = rows.get(d) ?? 0;
    rows.set(d, row + 1);
    places.set(id, [d, row + (d % 2) * 0.35]);
  }
  return places;
}

function draw(app: App, picture: SVGSVGElement, order: Elimination, k: number, places: Map<number, [number, number]>): void {
  const { model } = app;
  const start: [number, number][] = model.uses.filter((use) => use.active).map((use) => [use.source, use.target]);
  const edges = k ? order.steps[Math.min(k, order.steps.length) - 1].edges : start;
  const gone = new Set(order.steps.slice(0, k).map((step) => step.node));
  const all = [...places];
  if (all.length > 60) {
    picture.setAttribute("hidden", "");
    return;
  }
  const wide = Math.max(...all.map(([, [x]]) => x), 1);
  const high = Math.max(...all.map(([, [, y]]) => y), 1);
  const tall = 40 + 22 * Math.min(high, 5);
  const at = (id: number): [number, number] => {
    const [x, y] = places.get(id)!;
    return [12 + (x / wide) * 176, 22 + (y / high) * (tall - 32)];
  };
  picture.setAttribute("viewBox", `0 0 200 ${tall}`);
  picture.setAttribute("aria-label", `${order.name}: ${edges.length} derivatives left after ${k} steps`);
  picture.replaceChildren(
    ...edges.map(([a, b]) => {
      const [x1, y1] = at(a);
      const [x2, y2] = at(b);
      const bend = Math.abs(places.get(b)![0] - places.get(a)![0]) > 1 ? 14 : 0;
      return s("path", { class: "wire", d: `M${x1} ${y1}Q${(x1 + x2) / 2} ${(y1 + y2) / 2 - bend} ${x2} ${y2}` });
    }),
    ...all.map(([id]) => {
      const [x, y] = at(id);
      return s("circle", { class: gone.has(id) ? "gone" : "left", cx: x, cy: y, r: gone.has(id) ? 2 : 4.5 }, s("title", {}, model.name(id)));
    }),
  );
}
