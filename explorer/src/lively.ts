// Numbers that follow the inputs, where the page can compute them; nothing where it cannot.

import type { Data, Model } from "./document";

export class Lively {
  readonly live = false;
  readonly reason: string = "";

  constructor(readonly model: Model) {}

  update(_inputs: Record<string, number[]>): void {}

  value(_id: number): Data | undefined {
    return undefined;
  }

  adjoint(_id: number): Data | undefined {
    return undefined;
  }

  local(_use: number): Data | undefined {
    return undefined;
  }

  share(_use: number): Data | undefined {
    return undefined;
  }

  /** The derivative of the result by each element of an input, by central differences. */
  finite(_id: number): number[] | undefined {
    return undefined;
  }
}
