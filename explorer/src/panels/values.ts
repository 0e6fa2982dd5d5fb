// The table of all values, which is also the parallel list for readers who do not see the picture.

import type { App } from "../app";
import { h, math, scroller } from "../dom";
import { short } from "../format";
import { headline } from "../scene";

const MOST = 1000; // rows; the others are counted, and found by searching

export function valuesPanel(app: App): HTMLElement {
  const body = h("tbody");
  const rows = new Map<number, HTMLElement>();
  const { model, store } = app;
  const half = MOST / 2;
  const all = model.shown;
  const kept = all.length <= MOST ? all : [...all.slice(0, half), ...all.slice(-half)];
  kept.forEach((id, k) => {
    if (k === half && all.length > MOST) {
      const words = `… ${(all.length - MOST).toLocaleString("en")} more values: search finds them …`;
      body.append(h("tr", {}, h("td", { colspan: 4 }, words)));
    }
    const node = model.nodes[id];
    const forms = node.forms;
    const made = forms?.formula ? h("span", {}, " = ", math(forms.formula.mathml)) : null;
    const button = h(
      "button",
      { type: "button", class: "link", "aria-label": headline(app, id), click: () => app.pinNode(id) },
      forms?.name ? math(forms.name.mathml) : model.name(id),
      made,
    );
    const site = model.site(id);
    const row = h(
      "tr",
      {
        "data-node": id,
        mouseenter: () => store.setHover(`n${id}`),
        mouseleave: () => store.setHover(""),
      },
      h("td", {}, button),
      h("td", { class: "number" }),
      h("td", { class: "number" }),
      h("td", { class: "soft" }, site ? `${site.file.split(/[\\/]/).pop()}:${site.line}` : ""),
    );
    rows.set(id, row);
    body.append(row);
  });
  const update = (): void => {
    for (const [id, row] of rows) {
      row.children[1].textContent = short(app.value(id));
      row.children[2].textContent = short(app.adjoint(id));
      row.classList.toggle("pinned", store.state.pin === `n${id}`);
    }
  };
  app.onChange(update);
  update();
  return scroller(
    "All values",
    h(
      "table",
      { class: "values" },
      h("thead", {}, h("tr", {}, ...["value", "number", "adjoint", "where"].map((t) => h("th", { scope: "col" }, t)))),
      body,
    ),
  );
}
