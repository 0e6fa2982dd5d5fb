/**
 * A graph made ready to be evaluated: each hop a function, in an order in which operands stand before their use.
 *
 * What cannot be computed here (hops and dtypes that are not known, and all that depends on them) has no value:
 * `undefined` travels through the graph as NaN would.
 */

import { kindOf, places, read, rounder, size, type Value, type Written } from "./arrays";
import { HOPS, lines, type Compute, type Like, type Params } from "./hops";
import { compileLowering } from "./lowering";

/** A node of a graph, as the explanation file has it. */
export interface GraphNode {
  readonly hop: string;
  readonly args?: readonly number[];
  readonly params?: Params;
  readonly constant?: Written;
  readonly shape?: readonly number[];
  readonly dtype?: string;
  /** Of a hop with several results, in place of shape and dtype. */
  readonly results?: readonly Like[];
}

export interface GraphData {
  readonly nodes: readonly GraphNode[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** How one element is computed, or two are put together; see `lowering.ts`. */
export type Lowerings = Readonly<Record<string, string>>;

/** A value, the results of a loop, or undefined where there is none. */
type Slot = Value | readonly Value[] | undefined;

type Run = (args: readonly Slot[]) => Slot;

/** Steps that a while loop may take: what was dragged to may never end. */
const MAX_STEPS = 100_000;

export class Program {
  /** What keeps some values from being computed here: names of hops, and "numbers of" dtypes; each once. */
  readonly missing: readonly string[];
  private readonly runs: (Run | undefined)[];
  private readonly constants: Slot[];

  constructor(
    private readonly graph: GraphData,
    private readonly lowerings: Lowerings,
  ) {
    const missing = new Set<string>();
    this.constants = graph.nodes.map(({ constant }) => (constant === undefined ? undefined : read(constant)));
    this.runs = graph.nodes.map((node) => {
      if (node.hop === "input" || node.hop === "constant") return undefined;
      try {
        return this.prepared(node, missing);
      } catch (problem) {
        missing.add((problem as Error).message);
        return undefined;
      }
    });
    this.missing = [...missing];
  }

  /** The nodes that some of them need, operands first. */
  needed(outputs: readonly number[]): number[] {
    const marks = new Uint8Array(this.graph.nodes.length);
    for (const node of outputs) marks[node] = 1;
    for (let node = marks.length - 1; node >= 0; node--) {
      if (marks[node]) for (const arg of this.graph.nodes[node].args ?? []) marks[arg] = 1;
    }
    return [...marks.keys()].filter((node) => marks[node]);
  }

  /** The values of some nodes, listed as by `needed`, from those of the inputs, in their order; by the number of the node. */
  run(inputs: readonly (Value | undefined)[], nodes: readonly number[]): Slot[] {
    const values = this.constants.slice();
    this.graph.inputs.forEach((node, k) => {
      values[node] = inputs[k];
    });
    for (const node of nodes) {
      const run = this.runs[node];
      if (run === undefined) continue;
      const args = this.graph.nodes[node].args!.map((arg) => values[arg]);
      if (args.includes(undefined)) continue;
      try {
        values[node] = run(args);
      } catch (problem) {
        if (!(problem instanceof RangeError)) throw problem; // an index out of bounds, a loop without an end
      }
    }
    return values;
  }

  /** The values of the outputs. */
  call(inputs: readonly (Value | undefined)[]): Slot[] {
    const values = this.run(inputs, this.needed(this.graph.outputs));
    return this.graph.outputs.map((node) => values[node]);
  }

  private prepared(node: GraphNode, missing: Set<string>): Run {
    const params = node.params ?? {};
    if (node.hop === "item") return ([all]) => (all as Values)[params["index"] as number];
    if (node.hop === "ruled_all") return (args) => (args as Values).slice(0, node.results?.length);
    const loop = LOOPS[node.hop];
    if (loop !== undefined) {
      const callable = (param: unknown): Call => {
        const program = new Program((param as { graph: GraphData }).graph, this.lowerings);
        program.missing.forEach((one) => missing.add(one));
        return called(program);
      };
      return loop(params, callable) as Run;
    }
    if (node.shape === undefined || node.dtype === undefined) throw new Error(node.hop);
    const like: Like = { shape: node.shape, dtype: node.dtype };
    const kind = kindOf(like.dtype);
    if (kind === undefined) throw new Error(`numbers of ${like.dtype}`);
    if (size(like.shape) === 0) return () => ({ ...like, data: [] });
    const dtypes = node.args!.map((arg) => this.graph.nodes[arg].dtype ?? "several");
    const unknown = dtypes.find((dtype) => kindOf(dtype) === undefined);
    if (unknown !== undefined) throw new Error(`numbers of ${unknown}`);
    const lowering = this.lowerings[node.hop];
    const compute =
      HOPS[node.hop] ??
      (lowering === undefined
        ? undefined
        : "axes" in params
          ? reduction(lowering, params, like)
          : elementwise(lowering, dtypes, params, like));
    if (compute === undefined) throw new Error(node.hop);
    const round = rounder[kind];
    return (args) => {
      const data = compute(args as Value[], params, like);
      return { ...like, data: kind === "float32" ? Float64Array.from(data, round) : data };
    };
  }
}

function elementwise(text: string, dtypes: readonly string[], params: Params, like: Like): Compute {
  const compute = compileLowering(text, dtypes, params, like.dtype);
  return (args) => {
    const where = args.map((arg) => (arg.data.length === size(like.shape) ? undefined : places(arg.shape, like.shape)));
    const cells: number[] = [];
    return Float64Array.from({ length: size(like.shape) }, (_, k) => {
      args.forEach((arg, j) => {
        cells[j] = arg.data[where[j]?.[k] ?? k];
      });
      return compute(cells);
    });
  };
}

/** What all reductions have for lines without elements: the number that changes nothing. */
const NEUTRAL: Readonly<Record<string, number>> = { "a + b": 0, "a * b": 1, "a | b": 0, "a & b": 1 };

/** Elements put together two by two, from the first on. */
function reduction(text: string, params: Params, like: Like): Compute {
  const put = compileLowering(text, [like.dtype, like.dtype], {}, like.dtype);
  const truth = like.dtype === "bool";
  return ([x]) => {
    const { starts, steps } = lines(x.shape, params["axes"] as number[]);
    return Float64Array.from(starts, (start) => {
      if (steps.length === 0) return NEUTRAL[text] ?? NaN;
      const element = (k: number): number => {
        const found = x.data[start + steps[k]];
        return truth ? Number(found !== 0) : found;
      };
      let found = element(0);
      for (let k = 1; k < steps.length; k++) found = put([found, element(k)]);
      return found;
    });
  };
}

// -- hops that own graphs ----------------------------------------------------------------------------------------------

type Values = readonly Value[];
type Call = (inputs: Values) => Values;

/** A loop or branch: its parameters, with the graphs among them made callable, then its operands to its results. */
type Loop = (params: Params, callable: (param: unknown) => Call) => Call;

/** A graph that a hop calls: all of its outputs, or a RangeError where one cannot be computed. */
function called(program: Program): Call {
  return (inputs) => {
    const found = program.call(inputs);
    if (found.includes(undefined)) throw new RangeError("not computed here");
    return found as Values;
  };
}

/** The rows that there are, each a list of values, as columns: stacked along a new first axis, zeros where there is none. */
function columns(rows: readonly (Values | undefined)[], likes: readonly Like[]): Values {
  return likes.map(({ shape, dtype }, k) => ({
    shape: [rows.length, ...shape],
    dtype,
    data: Float64Array.from(rows.flatMap((row) => Array.from(row?.[k].data ?? new Float64Array(size(shape))))),
  }));
}

function row(x: Value, k: number): Value {
  const shape = x.shape.slice(1);
  return { shape, dtype: x.dtype, data: Array.from(x.data).slice(k * size(shape), (k + 1) * size(shape)) };
}

function nothing(length: number): (Values | undefined)[] {
  return new Array<Values | undefined>(length).fill(undefined);
}

const scan: Loop = (params, callable) => {
  const body = callable(params["body"]);
  const { nodes, outputs } = (params["body"] as { graph: GraphData }).graph;
  const [consts, carries, length] = [params["consts"], params["carries"], params["length"]] as [number, number, number];
  const likes = outputs.slice(carries).map((node) => nodes[node] as Like);
  return (args) => {
    const counted = params["counted"] ? 1 : 0;
    const count = counted ? Math.min(args[0].data[0], length) : length;
    const operands = args.slice(counted);
    const fixed = operands.slice(0, consts);
    const first = operands.slice(consts, consts + carries);
    const xs = operands.slice(consts + carries);
    const [before, results] = [nothing(length), nothing(length)];
    let state: Values = first;
    for (let k = 0; k < count; k++) {
      const at = params["reverse"] ? count - 1 - k : k;
      const found = body([...fixed, ...state, ...xs.map((x) => row(x, at))]);
      before[at] = state;
      results[at] = found.slice(carries);
      state = found.slice(0, carries);
    }
    return [...state, ...columns(results, likes), ...columns(before, first)];
  };
};

const whileLoop: Loop = (params, callable) => {
  const [body, condition] = [callable(params["body"]), callable(params["cond"])];
  const [consts, bound] = [params["consts"] as number, params["max_steps"] as number | null];
  return (args) => {
    const fixed = args.slice(0, consts);
    const first = args.slice(consts);
    const before: (Values | undefined)[] = [];
    let state: Values = first;
    while (condition([...fixed, ...state])[0].data[0]) {
      if (before.length === (bound ?? MAX_STEPS)) throw new RangeError("the loop does not end");
      before.push(state);
      state = body([...fixed, ...state]);
    }
    const count: Value = { shape: [], dtype: "int64", data: [before.length] };
    if (bound === null) return [...state, count];
    return [...state, count, ...columns([...before, ...nothing(bound - before.length)], first)];
  };
};

const switchBranch: Loop = (params, callable) => {
  const branches = (params["branches"] as unknown[]).map(callable);
  return ([index, ...args]) => branches[Math.min(Math.max(index.data[0], 0), branches.length - 1)](args);
};

export const LOOPS: Readonly<Record<string, Loop>> = { scan, switch: switchBranch, while_loop: whileLoop };
