// What is typed into the search: words for names, and conditions such as `op:sin`, `shape:3x4`, `line:12`, `|adjoint| < 1e-8`.

import type { App } from "./app";
import { numbers, type Data } from "./document";

type Test = (app: App, id: number) => boolean;

const CONDITION = /(\|)?\s*(value|adjoint|local|size)\s*\|?\s*(<=|>=|<|>|=)\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?|inf|nan)/gi;

export interface Query {
  tests: Test[];
  /** What could not be understood. */
  problem: string;
}

export function parse(text: string): Query {
  const tests: Test[] = [];
  let problem = "";
  const rest = text.replace(CONDITION, (_, bar: string | undefined, what: string, sign: string, word: string) => {
    tests.push(comparison(what.toLowerCase(), !!bar, sign, word.toLowerCase()));
    return " ";
  });
  for (const word of rest.split(/\s+/).filter(Boolean)) {
    const [key, value] = word.split(/:(.*)/s);
    const test = value === undefined ? plain(word) : keyed(key.toLowerCase(), value.toLowerCase());
    if (test) tests.push(test);
    else problem = `“${word}” is not understood`;
  }
  return { tests, problem };
}

function plain(word: string): Test | null {
  const low = word.toLowerCase();
  if (low === "nan") return (app, id) => some(app.value(id), Number.isNaN) || some(app.adjoint(id), Number.isNaN);
  if (low === "inf") return (app, id) => some(app.value(id), infinite) || some(app.adjoint(id), infinite);
  if (/[<>|=]/.test(word)) return null;
  return (app, id) => {
    const node = app.model.nodes[id];
    const found = [app.model.name(id), node.forms?.formula?.text ?? "", node.hop.replaceAll("_", " ")];
    return found.some((part) => part.toLowerCase().includes(low));
  };
}

function infinite(v: number): boolean {
  return v === Infinity || v === -Infinity;
}

function keyed(key: string, value: string): Test | null {
  switch (key) {
    case "op":
    case "hop":
      return (app, id) => app.model.nodes[id].hop.replaceAll("_", " ").includes(value.replaceAll("_", " "));
    case "name":
      return (app, id) => app.model.name(id).toLowerCase().includes(value);
    case "shape": {
      const wanted = value.split(/[x×,]/).filter(Boolean).map(Number);
      return (app, id) => JSON.stringify(app.model.nodes[id].shape) === JSON.stringify(wanted);
    }
    case "line":
      return (app, id) => {
        const site = app.model.site(id);
        return !!site && site.line <= Number(value) && Number(value) <= site.line_end;
      };
    case "dtype":
      return (app, id) => app.model.nodes[id].dtype.includes(value);
    case "in":
      return (app, id) => !!app.model.site(id)?.scope.some((name) => name.toLowerCase().includes(value));
    default:
      return null;
  }
}

function comparison(what: string, absolute: boolean, sign: string, word: string): Test {
  const bound = word === "inf" ? Infinity : word === "nan" ? NaN : Number(word);
  const holds = (v: number): boolean => {
    const x = absolute ? Math.abs(v) : v;
    return sign === "<" ? x < bound : sign === ">" ? x > bound : sign === "<=" ? x <= bound : sign === ">=" ? x >= bound : x === bound || (Number.isNaN(x) && Number.isNaN(bound));
  };
  return (app, id) => {
    if (what === "size") return holds(app.model.nodes[id].shape.reduce((a, b) => a * b, 1));
    if (what === "value") return every(app.value(id), holds, sign);
    if (what === "adjoint") return every(app.adjoint(id), holds, sign);
    return (app.model.into.get(id) ?? []).some((k) => every(app.local(k), holds, sign));
  };
}

function some(data: Data | undefined, test: (v: number) => boolean): boolean {
  if (data === undefined) return false;
  if (typeof data === "object" && data.summary && ((data.summary.nan && test(NaN)) || (data.summary.infinite && test(Infinity)))) return true;
  return numbers(data).some(test);
}

/** "Below" is meant of all elements, "above" of any: what is looked for are small arrays and large elements. */
function every(data: Data | undefined, test: (v: number) => boolean, sign: string): boolean {
  if (data === undefined) return false;
  const all = typeof data === "object" && data.summary ? [...numbers(data), Number(data.summary.min), Number(data.summary.max)] : numbers(data);
  return all.length > 0 && (sign.startsWith("<") ? all.every(test) : all.some(test));
}

export function search(app: App, text: string): { found: number[]; problem: string } {
  const { tests, problem } = parse(text);
  if (!tests.length) return { found: [], problem };
  return { found: app.model.shown.filter((id) => tests.every((test) => test(app, id))), problem };
}
