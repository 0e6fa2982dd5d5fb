// The structure of the computation as a tree: calls, loops and their turns, opened and closed in the picture.

import type { App } from "../app";
import { clear, h } from "../dom";
import type { Group } from "../scopes";

const MOST = 80; // parts of a group that are listed
const MOST_ROWS = 400; // in all: the others are found in the picture
const MOST_BOXES = 12_000; // that are opened at once

export function outlinePanel(app: App): HTMLElement {
  const tree = h("div", { class: "outline" });
  const { scopes } = app;
  let rows = 0;
  const part = (group: Group): HTMLElement => {
    rows++;
    const open = app.isOpen(group);
    const size = group.last - group.first;
    const row = h(
      "div",
      { class: app.store.state.pin === `g${group.id}` ? "row pinned" : "row" },
      h(
        "button",
        { type: "button", class: "link fold", "aria-expanded": open, "aria-label": `${open ? "Close" : "Open"} ${group.label}`, disabled: !group.parent, click: () => app.toggle(group) },
        open ? "▾" : "▸",
      ),
      h("button", { type: "button", class: "link", click: () => app.store.set({ pin: `g${group.id}` }) }, group.label),
      h("span", { class: "soft number" }, ` ${size.toLocaleString("en")}`),
    );
    if (!open || !group.parts.length) return h("li", {}, row);
    const listed: HTMLElement[] = [];
    for (const inner of group.parts.slice(0, MOST)) if (rows < MOST_ROWS) listed.push(part(inner));
    const rest = group.parts.length - listed.length;
    return h("li", {}, row, h("ul", {}, ...listed, rest > 0 ? h("li", { class: "soft" }, `… ${rest} more`) : null));
  };
  const update = (): void => {
    if (scopes.groups.length < 2) {
      clear(tree, h("p", { class: "soft" }, "This computation has no calls of functions and no loops to be folded."));
      return;
    }
    rows = 0;
    clear(tree, h("ul", {}, part(scopes.root)));
  };
  app.onChange((state, before) => {
    if (state.toggled !== before.toggled || state.pin !== before.pin) update();
  });
  update();
  const all = (open: boolean) => (): void => {
    const wanted = open ? scopes.opening(MOST_BOXES) : new Set([scopes.root.id]);
    app.toggle(...scopes.groups.filter((group) => group.parent && app.isOpen(group) !== wanted.has(group.id)));
  };
  return h(
    "div",
    {},
    h("div", { class: "bar" }, h("button", { type: "button", click: all(true) }, "Open all"), h("button", { type: "button", click: all(false) }, "Close all")),
    tree,
  );
}
