// The sweeps, played: buttons, a slider, and what the step says.

import type { App } from "./app";
import { face, h, math, tool } from "./dom";
import { fenced } from "./draw-svg";
import { counting, short } from "./format";
import type { Step } from "./sweeps";

const PACE = 900; // milliseconds a step

export class Player {
  readonly element: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly words = h("div", { class: "step", id: "step-words" });
  private readonly play: HTMLButtonElement;
  private readonly title = h("span", { class: "soft phase" });
  private timer = 0;

  constructor(private readonly app: App) {
    const { steps } = app.sweeps;
    this.slider = h("input", {
      type: "range", min: -1, max: steps.length - 1, value: -1, step: 1,
      "aria-label": "Step of the sweeps", "aria-describedby": "step-words",
      input: () => this.go(Number(this.slider.value)),
    });
    this.play = tool("Play", "play", () => this.toggle());
    this.element = h(
      "section",
      { class: "player", "aria-label": "Sweeps" },
      h(
        "div",
        { class: "controls" },
        tool("To the beginning", "first", () => this.go(0)),
        tool("Step back", "back", () => this.move(-1)),
        this.play,
        tool("Step forward", "forward", () => this.move(1)),
        tool("To the backward sweep", "last", () => this.go(app.sweeps.forward)),
        tool("Leave the sweeps", "leave", () => this.go(-1)),
        this.slider,
        this.title,
      ),
      this.words,
    );
    app.onChange((state, before) => {
      this.show();
      if (state.step !== before.step && app.step) app.announce(spoken(app, app.step));
    });
    this.show();
  }

  move(by: number): void {
    const { state } = this.app.store;
    this.go(Math.max(0, Math.min(this.app.sweeps.steps.length - 1, state.step + by)));
  }

  go(step: number): void {
    this.stop();
    this.app.store.set({ step });
  }

  toggle(): void {
    if (this.timer) {
      this.stop();
      return;
    }
    const { steps } = this.app.sweeps;
    if (this.app.store.state.step >= steps.length - 1) this.app.store.set({ step: -1 });
    const next = (): void => {
      const { step } = this.app.store.state;
      if (step >= steps.length - 1) this.stop();
      else this.app.store.set({ step: step + 1 });
    };
    this.timer = window.setInterval(next, PACE);
    this.face(true);
    next();
  }

  private stop(): void {
    if (this.timer) clearInterval(this.timer);
    this.timer = 0;
    this.face(false);
  }

  private face(playing: boolean): void {
    face(this.play, playing ? "Pause" : "Play", playing ? "pause" : "play");
  }

  private show(): void {
    const { app } = this;
    const { step } = app.store.state;
    const { forward, steps } = app.sweeps;
    this.slider.value = String(step);
    const now = app.step;
    if (!now) {
      this.title.textContent = steps.length ? "step through how it is computed" : "nothing is computed";
      this.words.replaceChildren();
      this.words.hidden = true;
      return;
    }
    this.title.textContent = step < forward ? `forward ${counting(step + 1)} of ${counting(forward)}` : `backward ${counting(step - forward + 1)} of ${counting(steps.length - forward)}`;
    this.slider.setAttribute("aria-valuetext", this.title.textContent);
    this.words.hidden = false;
    this.words.replaceChildren(...told(app, now));
  }
}

/** What a step says: formula, numbers in it, result. */
function told(app: App, step: Step): (Node | string)[] {
  const { model } = app;
  if (step.kind === "seed") {
    return [h("p", {}, name(app, step.node, true), " = 1, the derivative of the result by itself")];
  }
  if (step.kind === "value") {
    const node = model.nodes[step.node];
    const parts: (Node | string)[] = [name(app, step.node), " = "];
    if (node.forms?.formula) parts.push(math(node.forms.formula.mathml), " ");
    else parts.push(`${node.hop}(${(node.args ?? []).map((a) => model.name(a)).join(", ")}) `);
    const operands = [...new Set(model.into.get(step.node) ?? [])].map((k) => model.uses[k].source);
    const given = [...new Set(operands)].map((id) => `${model.name(id)} = ${short(app.value(id), 5)}`);
    parts.push(h("strong", { class: "number" }, `= ${short(app.value(step.node))}`));
    return [h("p", {}, ...parts), given.length ? h("p", { class: "soft" }, `with ${given.join(", ")}`) : ""];
  }
  const use = model.uses[step.use];
  const local = app.local(step.use);
  const incoming = short(app.adjoint(use.target), 5);
  const outgoing = short(app.share(step.use), 5);
  const rule = use.rule ? h("span", { class: "soft" }, `  ${use.rule}`) : null;
  const words = h("p", {}, name(app, use.source, true), " += ");
  if (use.forms?.local) words.append(math(use.forms.local.mathml), " · ", name(app, use.target, true));
  else if (use.forms?.share) words.append(math(use.forms.share.mathml));
  else words.append(app.localText(step.use));
  if (rule) words.append(rule);
  const count = h("p", { class: "number" });
  if (local !== undefined) count.append(h("span", { class: "local" }, short(local, 5)), " × ", h("span", { class: "adjoint" }, fenced(incoming)), " = ");
  else count.append("from ", h("span", { class: "adjoint" }, incoming), " comes ");
  count.append(h("strong", { class: "adjoint" }, outgoing));
  return [words, count, sums(app, step.use)];
}

/** The sum over the uses of a value, term by term: those that have been added, and how many are to come. */
function sums(app: App, use: number): HTMLElement | string {
  const { model } = app;
  const { source } = model.uses[use];
  const uses = model.flowing(source);
  if (uses.length < 2) return "";
  const { step } = app.store.state;
  const done = uses.filter((k) => (app.sweeps.shareStep.get(k) ?? Infinity) <= step);
  const terms = done.slice(-8).map((k, i) => (i ? ` + ${fenced(short(app.share(k), 5))}` : short(app.share(k), 5)));
  const left = uses.length - done.length;
  const partial = app.partial(source) ?? (left ? undefined : app.adjoint(source));
  return h(
    "p",
    { class: "sum" },
    name(app, source, true),
    ` = ${done.length > 8 ? "… + " : ""}${terms.join("")}`,
    left ? ` + ${left === 1 ? "one term" : `${left} terms`} to come` : "",
    partial === undefined ? "" : h("strong", { class: "adjoint number" }, `  ${left ? "so far" : "="} ${short(partial)}`),
  );
}

function name(app: App, id: number, adjoint = false): Element {
  const form = app.model.nodes[id].forms?.[adjoint ? "adjoint" : "name"];
  return form ? math(form.mathml) : h("i", {}, adjoint ? app.adjointName(id) : app.model.name(id));
}

function spoken(app: App, step: Step): string {
  const { model } = app;
  if (step.kind === "seed") return `Backward: the adjoint of ${model.name(step.node)} is 1`;
  if (step.kind === "value") return `Forward: ${model.name(step.node)} is ${short(app.value(step.node))}`;
  const use = model.uses[step.use];
  const local = app.local(step.use);
  const factor = local === undefined ? "" : `${short(local, 5)} times `;
  return `Backward: ${model.name(use.target)} gives ${model.name(use.source)} ${factor}${short(app.adjoint(use.target), 5)}, that is ${short(app.share(step.use), 5)}`;
}
