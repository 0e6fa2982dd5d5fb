// Where numbers go wrong: where NaN and infinity are born and what they poison, where adjoints vanish and explode.

import type { App } from "../app";
import { extent } from "../document";
import { clear, h } from "../dom";
import { counted, short } from "../format";

const MOST = 100;
const VANISHED = 1e-8;
const EXPLODED = 1e8;

export interface Problem {
  node: number;
  /** Said only of those that are listed: there may be very many. */
  says: () => string;
  kind: "born" | "poisoned" | "vanishing" | "exploding";
}

/** All problems, the births first; each in the order in which the sweeps meet it. */
export function problems(app: App): Problem[] {
  const { model } = app;
  const born: Problem[] = [];
  const poisoned: Problem[] = [];
  const faded: Problem[] = [];
  const fine = (id: number): boolean => app.fine(id);
  for (const id of model.shown) {
    if (fine(id)) continue;
    const sources = (model.into.get(id) ?? []).map((k) => model.uses[k].source);
    const word = extent(app.value(id)).nan ? "NaN" : "infinity";
    const given = model.nodes[id].input !== undefined;
    if (sources.every(fine)) born.push({ node: id, kind: "born", says: () => (given ? `${word} comes in with ${model.name(id)}` : `${word} is born in the value ${model.name(id)}`) });
    else poisoned.push({ node: id, kind: "poisoned", says: () => `${word} in the value ${model.name(id)}, from an operand` });
  }
  let most = 0;
  for (const id of model.shown) most = Math.max(most, extent(app.adjoint(id)).size);
  for (const id of [...model.shown].reverse()) {
    const adjoint = app.adjoint(id);
    if (adjoint === undefined) continue;
    const found = extent(adjoint);
    if (!found.finite) {
      const word = found.nan ? "NaN" : "infinity";
      const uses = model.flowing(id);
      const spoiled = uses.some((k) => !extent(app.adjoint(model.uses[k].target)).finite);
      if (!spoiled) {
        const at = uses.find((k) => !extent(app.share(k)).finite);
        const where = at === undefined ? "" : `: ${model.name(model.uses[at].target)} has the local derivative ${short(app.local(at))} by ${model.name(id)}`;
        born.push({ node: id, kind: "born", says: () => `${word} is born in the adjoint of ${model.name(id)}${where}` });
      } else poisoned.push({ node: id, kind: "poisoned", says: () => `${word} in the adjoint of ${model.name(id)}, from a use` });
    } else if (found.size > 0 && found.size < VANISHED && found.size < VANISHED * most) {
      faded.push({ node: id, kind: "vanishing", says: () => `the adjoint of ${model.name(id)} has all but vanished: ${short(app.adjoint(id), 3)}` });
    } else if (found.size > EXPLODED) {
      faded.push({ node: id, kind: "exploding", says: () => `the adjoint of ${model.name(id)} has exploded: ${short(app.adjoint(id), 3)}` });
    }
  }
  return [...born, ...poisoned, ...faded];
}

export class Health {
  readonly element = h("div", { class: "health" });
  private found: Problem[] = [];

  constructor(private readonly app: App) {
    app.onChange((state, before) => {
      if (state.inputs !== before.inputs) this.update();
      this.marks();
    });
    this.update();
  }

  get count(): number {
    return this.found.filter((p) => p.kind === "born").length;
  }

  /** Pins the next problem after the one that is pinned. */
  next(): void {
    if (!this.found.length) {
      this.app.announce("no problems");
      return;
    }
    const at = this.found.findIndex((p) => p.node === this.app.pinned);
    const problem = this.found[(at + 1) % this.found.length];
    this.app.pinNode(problem.node);
    this.app.announce(problem.says());
  }

  private update(): void {
    const { app } = this;
    this.found = problems(app);
    const counts = new Map<string, number>();
    for (const { kind } of this.found) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const says = this.found.length
      ? [...counts].map(([kind, n]) => `${n} ${kind}`).join(", ")
      : "Every value and every adjoint is finite, none has vanished or exploded.";
    const check = h("input", { type: "checkbox", change: () => app.store.set({ heat: check.checked }) });
    clear(
      this.element,
      h("p", {}, h("label", {}, check, " show what flows back as heat on the uses (key h)")),
      h("p", { class: this.found.length ? "bad" : "soft" }, says),
      this.found.length ? h("p", {}, h("button", { type: "button", click: () => this.next() }, "Next problem (key n)")) : null,
      h(
        "ol",
        { class: "links" },
        ...this.found.slice(0, MOST).map((p) =>
          h("li", { class: p.kind, "data-node": p.node }, h("button", { type: "button", class: "link", click: () => app.pinNode(p.node) }, p.says())),
        ),
      ),
      this.found.length > MOST ? h("p", { class: "soft" }, `… and ${counted(this.found.length - MOST, "more", "more")}`) : null,
    );
    this.marks();
  }

  private marks(): void {
    const box = this.element.querySelector("input");
    if (box) box.checked = this.app.store.state.heat;
    for (const row of this.element.querySelectorAll<HTMLElement>("[data-node]")) {
      row.classList.toggle("pinned", Number(row.dataset.node) === this.app.pinned);
    }
  }
}
