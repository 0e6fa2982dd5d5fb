// Keys that work everywhere on the page, and the dialog that lists them.

import { h, scroller } from "./dom";

export interface Key {
  keys: string[];
  says: string;
  act?: () => void;
}

/** Listens for single keys, unless something is being typed or the reader has turned them off. */
export class Keys {
  readonly dialog: HTMLDialogElement;
  private on = true;

  constructor(private readonly keys: Key[]) {
    const check = h("input", { type: "checkbox", change: () => (this.on = check.checked) });
    check.checked = true;
    this.dialog = h(
      "dialog",
      { class: "help", "aria-labelledby": "help-title" },
      h("h2", { id: "help-title" }, "Keys"),
      scroller(
        "List of keys",
        h(
          "table",
          {},
          h("tbody", {}, ...keys.map(({ keys: names, says }) => h("tr", {}, h("th", { scope: "row" }, ...names.map((name) => h("kbd", {}, label(name)))), h("td", {}, says)))),
        ),
      ),
      h("p", {}, h("label", {}, check, " single keys work everywhere on the page")),
      h("p", {}, h("button", { type: "button", click: () => this.dialog.close() }, "Close")),
    );
    addEventListener("keydown", (event) => this.press(event));
  }

  private press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as HTMLElement;
    const typing = target.closest?.("input, select, textarea");
    if (typing || this.dialog.open) return;
    if (event.key !== "Escape" && !this.on) return;
    if (event.key === " " && target.closest?.("button")) return;
    const found = this.keys.find(({ keys, act }) => act && keys.includes(event.key));
    if (!found) return;
    event.preventDefault();
    found.act!();
  }
}

function label(key: string): string {
  return key === " " ? "space" : ({ ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" }[key] ?? key);
}
