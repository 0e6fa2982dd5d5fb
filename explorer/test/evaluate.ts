/**
 * The interpreter for tests: reads a list of tasks from standard input, writes a list of answers.
 *
 * A task is "hops", for the names of those computed without a lowering, a graph with the values of its inputs, or a whole explanation with values for some of its inputs; values are
 * written as in the explanation file.
 */

import { Interpreter, Program, type Explanation, type Value } from "../src/interpreter";
import { read, type Written } from "../src/interpreter/arrays";
import { HOPS } from "../src/interpreter/hops";
import { LOOPS, type GraphData, type Lowerings } from "../src/interpreter/program";

/** Of node's process what is used here. */
declare const process: {
  readonly stdin: AsyncIterable<string> & { setEncoding(encoding: string): void };
  readonly stdout: { write(text: string): void };
};

type Task =
  | "hops"
  | { readonly graph: GraphData; readonly lowerings: Lowerings; readonly inputs: readonly Written[] }
  | { readonly explanation: Explanation; readonly inputs: Readonly<Record<string, Written>> };

/** JSON has no NaN, no infinities and, as JavaScript writes it, no −0. */
function number(x: number): number | string {
  return Object.is(x, -0) ? "-0.0" : Number.isFinite(x) ? x : String(x);
}

function written(value: unknown): unknown {
  const found = value as Value | undefined;
  return found === undefined ? null : { ...found, data: Array.from(found.data, number) };
}

function answer(task: Task): unknown {
  if (task === "hops") return [...Object.keys(HOPS), ...Object.keys(LOOPS)];
  if ("graph" in task) {
    const program = new Program(task.graph, task.lowerings);
    return { missing: program.missing, outputs: program.call(task.inputs.map(read)).map(written) };
  }
  const interpreter = new Interpreter(task.explanation);
  const inputs = new Map(Object.entries(task.inputs).map(([node, value]) => [Number(node), read(value) as Value]));
  const { values, adjoints, locals, shares, holds } = interpreter.numbers(inputs);
  return {
    live: interpreter.live,
    reason: interpreter.reason,
    value: written(interpreter.value(inputs)),
    gradient: interpreter.gradient(inputs).map(written),
    values: values.map(written),
    adjoints: adjoints.map(written),
    locals: locals.map(written),
    shares: shares.map(written),
    holds,
  };
}

let text = "";
process.stdin.setEncoding("utf8");
for await (const part of process.stdin) text += part;
process.stdout.write(JSON.stringify((JSON.parse(text) as Task[]).map(answer)));

export {};
