/**
 * The page's interpreter: the numbers of an explanation at other inputs.
 *
 * It evaluates graphs that hopgrad has derived, values and derivatives alike (the entry `live` of the explanation file,
 * see docs/schema.md). So no derivative is known here, and elementwise hops are computed by the very text that
 * hopgrad compiles.
 */

import { read, size, type Value, type Written } from "./arrays";
import { Program, type GraphData, type Lowerings } from "./program";

export type { Value, Written } from "./arrays";
export { scalar } from "./arrays";
export { Program } from "./program";

/** The entry `live` of the file. */
export type Live =
  | { readonly recorded: string }
  | {
      readonly graph: GraphData;
      readonly lowerings: Lowerings;
      /** For each input of `graph` the node of the document that it stands for. */
      readonly inputs: readonly number[];
      /** For each node of the document the node of `graph` that is its value; null where there is none. */
      readonly values: readonly (number | null)[];
      readonly adjoints: readonly (number | null)[];
      /** For each use the node of `graph` that is its local derivative, and what it adds to the source's adjoint. */
      readonly locals: readonly (number | null)[];
      readonly shares: readonly (number | null)[];
    };

/** What the interpreter reads of an explanation file. */
export interface Explanation {
  readonly graph: {
    readonly nodes: readonly { readonly value?: Written; readonly shape?: readonly number[]; readonly dtype?: string }[];
    readonly guards?: readonly { readonly node: number; readonly value: Written }[];
  };
  readonly output: number;
  readonly wrt: readonly number[];
  readonly live?: Live;
}

/** All numbers at some inputs, as the file lists them: by node and by use. Undefined is what cannot be computed here. */
export interface Numbers {
  readonly values: readonly (Value | undefined)[];
  readonly adjoints: readonly (Value | undefined)[];
  readonly locals: readonly (Value | undefined)[];
  readonly shares: readonly (Value | undefined)[];
  /** For each guard whether the code would take the same branch at these inputs; if not, the numbers are of no use. */
  readonly holds: readonly boolean[];
}

/** Values of inputs by their nodes in the document; the others keep those that were recorded. */
export type Inputs = ReadonlyMap<number, Value>;

type Columns = Exclude<Live, { recorded: string }>;

export class Interpreter {
  /** Why numbers are recorded only, in words; empty where all of them follow the inputs. */
  readonly reason: string;
  /** Whether anything follows the inputs. */
  readonly live: boolean;
  /** The nodes of the document that are inputs and can be changed. */
  readonly inputs: readonly number[];
  private readonly program: Program | undefined;
  private readonly columns: Columns | undefined;
  private readonly recorded: readonly (Value | undefined)[] = [];
  private readonly orders = new Map<string, number[]>();

  constructor(private readonly explanation: Explanation) {
    const live = explanation.live ?? { recorded: "the file holds no graph of the derivatives" };
    if ("recorded" in live) {
      [this.reason, this.live, this.inputs] = [live.recorded, false, []];
      return;
    }
    this.columns = live;
    this.program = new Program(live.graph, live.lowerings);
    this.inputs = live.inputs;
    this.recorded = live.inputs.map((node) => {
      const written = explanation.graph.nodes[node].value;
      return written === undefined ? undefined : read(written);
    });
    const { missing } = this.program;
    this.reason = missing.length > 0 ? `the page does not compute ${missing.join(", ")}` : "";
    this.live = this.value(new Map()) !== undefined;
  }

  /** All numbers at some inputs. */
  numbers(inputs: Inputs): Numbers {
    if (this.columns === undefined) return { values: [], adjoints: [], locals: [], shares: [], holds: [] };
    const { values, adjoints, locals, shares } = this.columns;
    const wanted = [values, adjoints, locals, shares].flat();
    const found = this.computed("numbers", wanted, inputs);
    const pick = (column: readonly (number | null)[]): (Value | undefined)[] =>
      column.map((node) => (node === null ? undefined : (found[node] as Value | undefined)));
    const own = pick(values);
    return {
      values: own,
      adjoints: pick(adjoints),
      locals: pick(locals),
      shares: pick(shares),
      holds: (this.explanation.graph.guards ?? []).map(({ node, value }) => same(own[node], read(value))),
    };
  }

  /** The result at some inputs, computed without the derivatives. */
  value(inputs: Inputs): Value | undefined {
    return this.node(this.explanation.output, inputs);
  }

  /** The value of a node at some inputs, computed without whatever it does not need. */
  node(id: number, inputs: Inputs): Value | undefined {
    return this.some(`node ${id}`, this.columns?.values ?? [], [id], inputs)[0];
  }

  /** The derivatives of the result by the chosen inputs, in the order of the file's `wrt`: zeros where nothing flows. */
  gradient(inputs: Inputs): (Value | undefined)[] {
    const { wrt, graph } = this.explanation;
    const found = this.some("gradient", this.columns?.adjoints ?? [], wrt, inputs);
    return wrt.map((node, k) => {
      if (this.columns === undefined || this.columns.adjoints[node] !== null) return found[k];
      const { shape = [], dtype = "float64" } = graph.nodes[node];
      return { shape, dtype, data: new Float64Array(size(shape)) };
    });
  }

  private some(key: string, column: readonly (number | null)[], nodes: readonly number[], inputs: Inputs): (Value | undefined)[] {
    const wanted = nodes.map((node) => column[node] ?? null);
    const found = this.computed(key, wanted, inputs);
    return wanted.map((node) => (node === null ? undefined : (found[node] as Value | undefined)));
  }

  private computed(key: string, wanted: readonly (number | null)[], inputs: Inputs): ReturnType<Program["run"]> {
    if (this.program === undefined) return [];
    let order = this.orders.get(key);
    if (order === undefined) {
      order = this.program.needed(wanted.filter((node) => node !== null));
      this.orders.set(key, order);
    }
    return this.program.run(
      this.inputs.map((node, k) => inputs.get(node) ?? this.recorded[k]),
      order,
    );
  }
}

function same(a: Value | undefined, b: Value | undefined): boolean {
  return a !== undefined && b !== undefined && Array.from(a.data).every((x, k) => Object.is(x + 0, b.data[k] + 0));
}
