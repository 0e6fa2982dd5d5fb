// The search: a field in the head of the page, and the list of what was found.

import type { App } from "../app";
import { clear, h } from "../dom";
import { counted, short } from "../format";
import { search } from "../query";

const MOST = 200;

export class Search {
  readonly field: HTMLInputElement;
  readonly element: HTMLElement;
  private readonly results = h("div", { class: "results", hidden: true });
  private found: number[] = [];

  constructor(private readonly app: App) {
    this.field = h("input", {
      type: "search", placeholder: "Search: name, op:sin, |adjoint| < 1e-8", "aria-label": "Search values", spellcheck: "false", autocomplete: "off",
      input: () => app.store.set({ search: this.field.value }),
      keydown: (event: KeyboardEvent) => {
        if (event.key === "Enter") this.next(event.shiftKey ? -1 : 1);
        if (event.key === "Escape") app.store.set({ search: "" });
      },
    });
    this.element = h("div", { class: "search", role: "search" }, this.field, this.results);
    app.onChange((state, before) => {
      if (state.search !== before.search || state.inputs !== before.inputs) this.update();
    });
    this.update(false);
  }

  /** To the next one found after the pinned value. */
  next(by: number): void {
    if (!this.found.length) return;
    const at = this.found.indexOf(this.app.pinned ?? -1);
    this.app.pinNode(this.found[(at + by + this.found.length) % this.found.length]);
  }

  private update(tell = true): void {
    const { app } = this;
    const { search: text } = app.store.state;
    if (this.field.value !== text) this.field.value = text;
    const { found, problem } = search(app, text);
    this.found = found;
    app.matches = new Set(found);
    this.results.hidden = !text.trim();
    const summary = problem || `${counted(found.length, "value")} found`;
    clear(
      this.results,
      h("p", { class: problem ? "bad" : "soft" }, summary),
      h(
        "ul",
        { class: "links" },
        ...found.slice(0, MOST).map((id) =>
          h(
            "li",
            {},
            h(
              "button",
              { type: "button", class: "link", mouseenter: () => app.store.setHover(`n${id}`), mouseleave: () => app.store.setHover(""), click: () => app.pinNode(id) },
              app.model.name(id),
            ),
            h("span", { class: "soft number" }, `  ${short(app.value(id))}`),
          ),
        ),
      ),
      found.length > MOST ? h("p", { class: "soft" }, `… and ${found.length - MOST} more: Enter goes from one to the next`) : null,
    );
    if (!tell) return;
    if (text) app.announce(summary);
    app.change();
  }
}
