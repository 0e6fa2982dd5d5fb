// The panels beside the picture, one of them shown. A panel is made when it is first looked at.

import type { App } from "./app";
import { h } from "./dom";

export type Panel = [key: string, title: string, make: () => HTMLElement];

export class Tabs {
  readonly element: HTMLElement;
  private readonly bodies = new Map<string, HTMLElement>();
  private readonly buttons = new Map<string, HTMLElement>();
  private readonly list = h("div", { class: "tabs", role: "tablist", "aria-label": "Panels" });

  constructor(
    private readonly app: App,
    private readonly panels: Panel[],
  ) {
    this.element = h("section", { class: "side", "aria-label": "Panels" }, this.list);
    panels.forEach(([key, title], k) => {
      const button = h(
        "button",
        {
          type: "button", role: "tab", id: `tab-${key}`, "aria-controls": `panel-${key}`,
          click: () => app.store.set({ tab: key }),
          keydown: (event: KeyboardEvent) => {
            const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
            if (!by) return;
            event.preventDefault();
            const next = panels[(k + by + panels.length) % panels.length][0];
            app.store.set({ tab: next });
            this.buttons.get(next)!.focus();
          },
        },
        title,
      );
      const body = h("div", { class: `panel panel-${key}`, role: "tabpanel", id: `panel-${key}`, "aria-labelledby": `tab-${key}`, tabindex: 0, hidden: true });
      this.list.append(button);
      this.element.append(body);
      this.buttons.set(key, button);
      this.bodies.set(key, body);
    });
    app.onChange((state, before) => state.tab !== before.tab && this.show());
    this.show();
  }

  private show(): void {
    const wanted = this.bodies.has(this.app.store.state.tab) ? this.app.store.state.tab : this.panels[0][0];
    for (const [key, , make] of this.panels) {
      const on = key === wanted;
      const body = this.bodies.get(key)!;
      const button = this.buttons.get(key)!;
      body.hidden = !on;
      button.setAttribute("aria-selected", String(on));
      button.tabIndex = on ? 0 : -1;
      if (on && !body.firstChild) body.append(make());
    }
  }
}
