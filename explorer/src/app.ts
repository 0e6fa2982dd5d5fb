// What all parts of the page share: the model, the state, the values that are shown now.

import type { Data, Model } from "./document";
import type { Store } from "./store";

export class App {
  private changed: (() => void)[] = [];
  private polite: HTMLElement | null = null;

  constructor(
    readonly model: Model,
    readonly store: Store,
  ) {
    store.subscribe(() => this.change());
  }

  /** The value of a node as it is shown now. */
  value(id: number): Data | undefined {
    const node = this.model.nodes[id];
    return node.constant ?? node.value;
  }

  /** The derivative of the result by a value, as it is shown now. */
  adjoint(id: number): Data | undefined {
    return this.model.nodes[id].adjoint;
  }

  /** Calls back when state or values are others. */
  onChange(listener: () => void): void {
    this.changed.push(listener);
  }

  change(): void {
    for (const listener of this.changed) listener();
  }

  speakInto(region: HTMLElement): void {
    this.polite = region;
  }

  /** Says something to readers who do not see the page. */
  announce(words: string): void {
    if (this.polite) this.polite.textContent = words;
  }
}
