// The two sweeps, step by step: every value once, forward; then every share of an adjoint, backward.

import type { Model } from "./document";

export type Step = { kind: "value"; node: number } | { kind: "seed"; node: number } | { kind: "share"; use: number };

export class Sweeps {
  readonly steps: Step[] = [];
  /** The step at which a value or a share is computed, and at which an adjoint is complete. */
  readonly valueStep = new Map<number, number>();
  readonly shareStep = new Map<number, number>();
  readonly adjointStep = new Map<number, number>();
  /** Steps of the forward sweep. */
  readonly forward: number;

  constructor(model: Model) {
    for (const id of model.shown) {
      if (!model.nodes[id].args) continue; // given before anything is computed
      this.valueStep.set(id, this.steps.length);
      this.steps.push({ kind: "value", node: id });
    }
    this.forward = this.steps.length;
    if (model.nodes[model.doc.output].adjoint === undefined) return;
    this.adjointStep.set(model.doc.output, this.steps.length);
    this.steps.push({ kind: "seed", node: model.doc.output });
    const active = [...model.shown].reverse().flatMap((id) => (model.into.get(id) ?? []).filter((k) => model.uses[k].active));
    for (const k of active) {
      this.shareStep.set(k, this.steps.length);
      this.adjointStep.set(model.uses[k].source, this.steps.length);
      this.steps.push({ kind: "share", use: k });
    }
  }
}
