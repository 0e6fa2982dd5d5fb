// Live inputs: drag or type them; values, adjoints and the plot of the result with its tangent follow at once.

import type { App } from "../app";
import { numbers } from "../document";
import { clear, h, s } from "../dom";
import { digits, short } from "../format";
import { HEIGHT, WIDTH, axes, curve, frame, inside, seen, type Axes } from "../plot";

const MOST_FIELDS = 16;
const SAMPLES = 121;

export function inputsPanel(app: App): HTMLElement {
  const { model, store, lively } = app;
  if (!lively.live || !lively.inputs.length) {
    const why = lively.reason || "no input can be changed";
    return h("p", { class: "recorded" }, `The numbers of this page are those that were recorded: ${why}.`);
  }
  const filled = lively.inputs.filter((id) => lively.recorded(id).length > 0);
  if (!filled.length) return h("p", { class: "recorded" }, "The inputs have no elements, so there is nothing to change.");
  const updates: (() => void)[] = [];
  const set = (id: number, k: number, v: number): void => {
    if (!Number.isFinite(v)) return;
    const now = [...lively.input(id)];
    now[k] = v;
    store.set({ inputs: { ...store.state.inputs, [model.name(id)]: now } });
  };

  // One element of one input is plotted.
  let chosen = { id: filled.find((id) => model.wrt.has(id)) ?? filled[0], element: 0 };
  const groups = lively.inputs.map((id) => {
    const count = lively.recorded(id).length;
    const whole = /int|bool/.test(model.nodes[id].dtype);
    const rows: HTMLElement[] = [];
    for (let k = 0; k < Math.min(count, MOST_FIELDS); k++) {
      const name = count > 1 || model.nodes[id].shape.length ? `${model.name(id)}[${index(k, model.nodes[id].shape)}]` : model.name(id);
      const start = lively.recorded(id)[k];
      const reach = 2 * Math.max(1, Math.abs(start));
      const field = h("input", { type: "number", step: whole ? 1 : "any", "aria-label": `${name}, value`, input: () => set(id, k, field.valueAsNumber) });
      const slider = h("input", {
        type: "range", min: start - reach, max: start + reach, step: whole ? 1 : reach / 1000, "aria-label": `${name}, drag`,
        input: () => set(id, k, slider.valueAsNumber),
      });
      const choose = (): void => {
        chosen = { id, element: k };
        draw();
      };
      slider.addEventListener("focus", choose);
      field.addEventListener("focus", choose);
      const out = h("output", { class: "number adjoint" });
      rows.push(h("div", { class: "input-row" }, h("button", { type: "button", class: "link", title: "Plot over this", click: choose }, name), field, slider, out));
      updates.push(() => {
        const v = lively.input(id)[k];
        if (document.activeElement !== field) field.value = String(Number(v.toPrecision(8)));
        if (v < Number(slider.min)) slider.min = String(v - reach);
        if (v > Number(slider.max)) slider.max = String(v + reach);
        slider.value = String(v);
        const adjoint = app.adjoint(id);
        out.textContent = adjoint === undefined || !model.wrt.has(id) ? "" : `derivative ${digits(numbers(adjoint)[k], 5)}`;
      });
    }
    if (count > MOST_FIELDS) rows.push(h("p", { class: "soft" }, `${model.name(id)} has ${count - MOST_FIELDS} more elements; they stay as they were recorded`));
    const path = model.nodes[id].path;
    const legend = `${model.name(id)}${path ? `, ${path}` : ""}${model.wrt.has(id) ? "" : " (given)"}`;
    return h("fieldset", {}, h("legend", { class: count > 1 || !model.wrt.has(id) ? "" : "unseen" }, legend), ...rows);
  });

  const plot = s("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  let drawn: Axes | null = null;
  const words = h("p", { class: "number" });
  const warning = h("p", { class: "bad", role: "status" });
  const draw = (): void => {
    const { id, element } = chosen;
    const now = lively.input(id)[element];
    const start = lively.recorded(id)[element];
    const reach = Math.max(2 * Math.max(1, Math.abs(start)), Math.abs(now - start) * 1.2);
    const xs = Array.from({ length: SAMPLES }, (_, k) => start - reach + (2 * reach * k) / (SAMPLES - 1));
    const point = lively.point();
    const at = (x: number): number => {
      const moved = [...lively.input(id)];
      moved[element] = x;
      return lively.result(new Map(point).set(id, moved));
    };
    const ys = xs.map(at);
    const y = at(now);
    const adjoint = app.adjoint(id);
    const slope = adjoint === undefined ? 0 : numbers(adjoint)[element];
    const a = axes([xs[0], xs[SAMPLES - 1]], seen([...ys, y]));
    drawn = a;
    const shape = model.nodes[id].shape;
    const name = shape.length ? `${model.name(id)}[${index(element, shape)}]` : model.name(id);
    const result = model.nodes[model.doc.output].shape.length ? `Σ ${model.name(model.doc.output)}` : model.name(model.doc.output);
    const label = `${result} over ${name}: at ${digits(now)} it is ${digits(y)} with the slope ${digits(slope)}`;
    plot.setAttribute("aria-label", label);
    plot.replaceChildren(
      ...frame(a, { x: name, y: result }),
      inside(
        curve(a, xs, ys, "result"),
        ...(Number.isFinite(slope) && Number.isFinite(y) ? [curve(a, [a.x[0], a.x[1]], [y + slope * (a.x[0] - now), y + slope * (a.x[1] - now)], "tangent")] : []),
      ),
      ...(Number.isFinite(y) ? [s("circle", { class: "here", cx: a.toX(now), cy: Math.max(0, Math.min(HEIGHT, a.toY(y))), r: 5 })] : []),
    );
    words.textContent = `${result} = ${digits(y, 8)}, slope by ${name}: ${digits(slope, 8)}`;
  };
  const drag = (event: PointerEvent): void => {
    if (!drawn || !(event.buttons & 1)) return;
    const { left, width } = plot.getBoundingClientRect();
    const x = drawn.fromX(((event.clientX - left) / width) * WIDTH);
    set(chosen.id, chosen.element, Math.max(drawn.x[0], Math.min(drawn.x[1], x)));
  };
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    drag(event);
  });
  plot.addEventListener("pointermove", drag);

  const keep = h("button", { type: "button", click: () => keepNumbers(app) }, "Keep these numbers");
  const forget = h("button", { type: "button", click: () => { app.kept = null; app.change(); } }, "Forget them");
  const kept = h("div");
  const update = (): void => {
    for (const one of updates) one();
    draw();
    const broken = lively.broken().map((k) => model.doc.graph.guards![k].text);
    warning.textContent = broken.length ? `The code would take another branch here: no longer true is ${broken.join(", ")}. The numbers are those of the branch that was recorded.` : "";
    forget.hidden = !app.kept;
    clear(kept, ...comparison(app));
  };
  app.onChange(update);
  update();
  return h(
    "div",
    { class: "inputs" },
    lively.reason ? h("p", { class: "soft" }, lively.reason) : null,
    warning,
    ...groups,
    h("figure", {}, plot),
    words,
    h("div", { class: "bar" }, h("button", { type: "button", click: () => store.set({ inputs: {} }) }, "Back to what was recorded"), keep, forget),
    kept,
  );
}

function index(k: number, shape: number[]): string {
  const found: number[] = [];
  for (const n of [...shape].reverse()) {
    found.unshift(k % n);
    k = Math.floor(k / n);
  }
  return found.join(", ");
}

/** Keeps all numbers, to be compared with those at other inputs. */
function keepNumbers(app: App): void {
  const { model, lively } = app;
  const values = new Map(model.shown.map((id) => [id, app.value(id)]));
  const adjoints = new Map(model.shown.map((id) => [id, app.adjoint(id)]));
  const label = lively.inputs.slice(0, 4).map((id) => `${model.name(id)} = ${short(app.value(id))}`).join(", ");
  app.kept = { label, value: (id) => values.get(id), adjoint: (id) => adjoints.get(id) };
  app.change();
}

function comparison(app: App): HTMLElement[] {
  const { kept, model } = app;
  if (!kept) return [];
  const rows = [...model.doc.wrt.slice(0, 20), model.doc.output].map((id) =>
    h("tr", {}, h("th", { scope: "row" }, model.name(id)), ...[kept.value(id), app.value(id), kept.adjoint(id), app.adjoint(id)].map((data) => h("td", { class: "number" }, short(data)))),
  );
  const heads = ["", "value kept", "now", "adjoint kept", "now"];
  return [
    h("p", { class: "kept" }, `Kept: the numbers at ${kept.label}`),
    h("table", { class: "compared" }, h("thead", {}, h("tr", {}, ...heads.map((t) => (t ? h("th", { scope: "col" }, t) : h("td"))))), h("tbody", {}, ...rows)),
  ];
}
