/**
 * Lowerings: how one element of an elementwise hop is computed, as a small expression that hopgrad's own definition of the
 * hop gives. The same text is compiled to machine code by hopgrad and to closures here, so that a hop is defined once.
 *
 * An expression has Python's syntax and precedence: parts with names, separated by semicolons, then the result.
 */

import { kindOf, rounder, type Kind } from "./arrays";
import { ARITHMETIC, COMPARISONS, FUNCTIONS, LOGICAL, OF_BOOLEANS, OF_INTEGERS, PREDICATES } from "./scalar";

/** Computes a part from the operands' elements, which are followed by the parts that have names. */
type Compute = (cells: number[]) => number;

/** A compiled part. Numbers written in the text have no kind: they take that of their partner. */
interface Part {
  readonly kind: Kind | undefined;
  readonly compute: Compute;
}

const TOKEN = /\s*(?:(\d+\.?\d*(?:e[+-]?\d+)?)|([A-Za-z_]\w*)|(<=|>=|==|!=|[-+*\/&|^~<>(),;=]))/y;

/** From the loosest to the tightest: comparisons, or, xor, and, sums, products. */
const LEVELS = [["<", "<=", ">", ">=", "==", "!="], ["|"], ["^"], ["&"], ["+", "-"], ["*", "/"]];

const LETTERS = "abcdefgh";

/**
 * Compile a lowering for operands of some dtypes.
 *
 * Throws an Error for an instruction that is not known here.
 */
export function compileLowering(
  text: string,
  dtypes: readonly string[],
  params: Readonly<Record<string, unknown>>,
  result: string,
): (cells: number[]) => number {
  return new Compiler(text, dtypes, params, result).program();
}

class Compiler {
  private readonly tokens: string[] = [];
  private at = 0;
  private readonly names = new Map<string, Part>();
  private readonly kind: Kind;
  private cells: number;

  constructor(text: string, dtypes: readonly string[], params: Readonly<Record<string, unknown>>, result: string) {
    TOKEN.lastIndex = 0;
    for (let end = 0; end < text.length; end = TOKEN.lastIndex) {
      const found = TOKEN.exec(text);
      if (found === null) throw new Error(`cannot read the lowering ${text}`);
      this.tokens.push(found[0].trim());
    }
    this.names.set("inf", { kind: undefined, compute: () => Infinity });
    for (const [name, value] of Object.entries(params)) {
      const number = typeof value === "number" ? value : Number((value as { float?: string } | null)?.float ?? NaN);
      this.names.set(name, { kind: undefined, compute: () => number });
    }
    dtypes.forEach((dtype, k) => {
      const part: Part = { kind: kindOf(dtype), compute: (cells) => cells[k] };
      this.names.set(LETTERS[k], part);
      if (dtypes.length === 1) this.names.set("x", part);
    });
    this.cells = dtypes.length;
    // Numbers in conditions and the like take the operands' kind.
    this.kind = kindOf(result === "bool" ? (dtypes[dtypes.length - 1] ?? result) : result)!;
  }

  program(): Compute {
    const named: [number, Compute][] = [];
    while (this.tokens[this.at + 1] === "=") {
      const name = this.next();
      this.next();
      const part = this.expression(0);
      const cell = this.cells++;
      named.push([cell, part.compute]);
      this.names.set(name, { kind: part.kind, compute: (cells) => cells[cell] });
      this.next();
    }
    const last = this.expression(0).compute;
    if (this.at < this.tokens.length) throw new Error(`cannot read the lowering from ${this.tokens[this.at]} on`);
    if (named.length === 0) return last;
    return (cells) => {
      for (const [cell, compute] of named) cells[cell] = compute(cells);
      return last(cells);
    };
  }

  private next(): string {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new Error("the lowering ends too early");
    return token;
  }

  private expression(level: number): Part {
    const symbols = LEVELS[level];
    if (symbols === undefined) return this.unary();
    let left = this.expression(level + 1);
    while (symbols.includes(this.tokens[this.at] ?? "")) {
      left = this.binary(this.next(), left, this.expression(level + 1));
    }
    return left;
  }

  private unary(): Part {
    const token = this.next();
    if (token === "-") {
      const { kind, compute } = this.unary();
      return { kind, compute: kind === "integer" ? (cells) => 0 - compute(cells) : (cells) => -compute(cells) };
    }
    if (token === "~") {
      const { compute } = this.unary();
      return { kind: "boolean", compute: (cells) => 1 - compute(cells) };
    }
    if (token === "(") {
      const inner = this.expression(0);
      this.next();
      return inner;
    }
    if (/^\d/.test(token)) {
      const number = Number(token);
      return { kind: undefined, compute: () => number };
    }
    if (this.tokens[this.at] === "(") return this.called(token);
    const found = this.names.get(token);
    if (found === undefined) throw new Error(`the instruction ${token}`);
    return found;
  }

  private binary(symbol: string, left: Part, right: Part): Part {
    const kind = left.kind ?? right.kind ?? this.kind;
    const [a, b] = [this.as(left, kind), this.as(right, kind)];
    const compare = COMPARISONS[symbol];
    if (compare !== undefined) return { kind: "boolean", compute: (cells) => Number(compare(a(cells), b(cells))) };
    const logical = LOGICAL[symbol];
    if (logical !== undefined) return { kind: "boolean", compute: (cells) => logical(a(cells), b(cells)) };
    const special = kind === "integer" ? OF_INTEGERS[symbol] : kind === "boolean" ? OF_BOOLEANS[symbol] : undefined;
    const compute = special ?? ARITHMETIC[symbol];
    return this.rounded(kind, (cells) => compute(a(cells), b(cells)));
  }

  private called(name: string): Part {
    const args: Part[] = [];
    do {
      this.next();
      args.push(this.expression(0));
    } while (this.tokens[this.at] === ",");
    this.next();
    if (name === "select") {
      const [condition, yes, no] = args as [Part, Part, Part];
      const kind = yes.kind ?? no.kind ?? this.kind;
      const [a, b, chosen] = [this.as(yes, kind), this.as(no, kind), condition.compute];
      return { kind, compute: (cells) => (chosen(cells) ? a(cells) : b(cells)) };
    }
    const kind = args.find((part) => part.kind !== undefined)?.kind ?? this.kind;
    const [first, second] = args.map((part) => this.as(part, kind));
    const predicate = PREDICATES[name];
    if (predicate !== undefined) return { kind: "boolean", compute: (cells) => Number(predicate(first!(cells))) };
    const compute = (kind === "integer" ? OF_INTEGERS[name] : undefined) ?? FUNCTIONS[name];
    if (compute === undefined) throw new Error(`the instruction ${name}`);
    return this.rounded(
      kind,
      second === undefined ? (cells) => compute(first!(cells)) : (cells) => compute(first!(cells), second(cells)),
    );
  }

  /** A part as a number of some kind: numbers of the text are rounded to it. */
  private as(part: Part, kind: Kind): Compute {
    if (part.kind !== undefined) return part.compute;
    const number = rounder[kind](part.compute([]));
    return () => number;
  }

  private rounded(kind: Kind, compute: Compute): Part {
    return { kind, compute: kind === "float32" ? (cells) => Math.fround(compute(cells)) : compute };
  }
}
