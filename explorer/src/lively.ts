// Numbers that follow the inputs, where the page can compute them; nothing where it cannot.

import { numbers as elements, type Data, type Model } from "./document";
import { Interpreter, type Numbers, type Value } from "./interpreter";

/** Values of inputs, by their nodes. */
export type Point = Map<number, number[]>;

export class Lively {
  /** Whether anything follows the inputs, and if not all does, why. */
  readonly live: boolean;
  readonly reason: string;
  /** The inputs that can be changed. */
  readonly inputs: number[];
  private readonly interpreter: Interpreter;
  private now: Numbers | null = null;
  private at: Point = new Map();

  constructor(private readonly model: Model) {
    this.interpreter = new Interpreter(model.doc);
    this.live = this.interpreter.live;
    this.reason = this.interpreter.reason;
    this.inputs = this.live ? this.interpreter.inputs.filter((id) => known(model.nodes[id].value)) : [];
  }

  /** Computes everything at other inputs, which are given by name; what is not given is as it was recorded. */
  update(inputs: Record<string, number[]>): void {
    this.at = new Map();
    for (const id of this.inputs) {
      const given = inputs[this.model.name(id)];
      if (given && given.length === this.recorded(id).length) this.at.set(id, given);
    }
    this.now = this.at.size ? this.interpreter.numbers(this.values(this.at)) : null;
  }

  recorded(id: number): number[] {
    const { value } = this.model.nodes[id];
    return value === undefined ? [] : elements(value);
  }

  /** The elements of an input as they are now. */
  input(id: number): number[] {
    return this.at.get(id) ?? this.recorded(id);
  }

  /** All inputs as they are now. */
  point(): Point {
    return new Map(this.inputs.map((id) => [id, this.input(id)]));
  }

  private values(point: Point): Map<number, Value> {
    return new Map([...point].map(([id, data]) => [id, { shape: this.model.nodes[id].shape, dtype: this.model.nodes[id].dtype, data }]));
  }

  value(id: number): Data | undefined {
    return plain(this.now?.values[id]);
  }

  adjoint(id: number): Data | undefined {
    return plain(this.now?.adjoints[id]);
  }

  local(use: number): Data | undefined {
    return plain(this.now?.locals[use]);
  }

  share(use: number): Data | undefined {
    return plain(this.now?.shares[use]);
  }

  /** Positions of the guards by which the code would take another branch now. */
  broken(): number[] {
    return (this.now?.holds ?? []).flatMap((holds, k) => (holds ? [] : [k]));
  }

  /** The result at a point, the sum of its elements if it has several; NaN where it cannot be computed. */
  result(point: Point): number {
    const found = this.interpreter.value(this.values(point));
    return found ? Array.from(found.data).reduce((sum, v) => sum + v, 0) : NaN;
  }

  /** The derivatives at a point by the inputs that are differentiated by. */
  gradient(point: Point): Point {
    const found = this.interpreter.gradient(this.values(point));
    return new Map(this.model.doc.wrt.flatMap((id, k) => (found[k] ? [[id, Array.from(found[k]!.data)] as const] : [])));
  }

  /** A value of the computation at a point. */
  inner(id: number, point: Point): number[] | undefined {
    const found = this.interpreter.node(id, this.values(point));
    return found && Array.from(found.data);
  }

  /** The derivative of the result by each of the first elements of an input, by differences of fourth order. */
  finite(id: number, most = 24): number[] | undefined {
    if (!this.inputs.includes(id) || !/^float/.test(this.model.nodes[id].dtype)) return undefined;
    const point = this.point();
    const here = this.input(id);
    const epsilon = this.model.nodes[id].dtype === "float64" ? 2 ** -52 : 2 ** -23;
    return here.slice(0, most).map((x, k) => {
      const step = (Math.max(1, Math.abs(x)) * epsilon ** 0.2) / 4;
      const along = (t: number): number => {
        const moved = [...here];
        moved[k] = x + t;
        return this.result(new Map(point).set(id, moved));
      };
      return (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step);
    });
  }
}

function known(data: Data | undefined): boolean {
  return data !== undefined && (typeof data !== "object" || data.data !== undefined);
}

function plain(value: Value | undefined): Data | undefined {
  if (!value) return undefined;
  if (!value.shape.length && value.dtype === "float64") return value.data[0];
  return { shape: [...value.shape], dtype: value.dtype, data: Array.from(value.data) };
}
