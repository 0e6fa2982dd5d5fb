// The picture as a page of PDF 1.4 (ISO 32000): lines, curves and text, made from the SVG that is saved as well.
//
// Readers of PDF bring the fonts Times and Symbol with them, which cover Latin and Greek letters and mathematics. Other
// characters are drawn as small masks of what the browser shows.

import { h } from "./dom";

const SCALE = 0.75; // points a pixel
const LARGEST = 14_400; // points; the most that readers must take
const FAMILY = { times: "Times-Roman", symbol: "Symbol" } as const;
const SMALL = 0.68; // a raised or lowered digit
const EM = 96; // pixels of a mask for the font's size
const RAISED: Record<string, string> = Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"].map((c, k) => [c, "0123456789−+"[k]]));
const LOWERED: Record<string, string> = Object.fromEntries([..."₀₁₂₃₄₅₆₇₈₉₋₊"].map((c, k) => [c, "0123456789−+"[k]]));

/** Widths of the characters from space to tilde, in thousandths of the size (Adobe's metrics of Times-Roman). */
const TIMES = [
  250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500, 500, 500, 500, 500, 500,
  500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889, 722, 722,
  556, 722, 667, 556, 611, 722, 722, 944, 722, 722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500, 444, 333, 500,
  500, 278, 278, 500, 278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541,
];
/** Characters of Symbol with their codes and widths. */
const SYMBOL: Record<string, [number, number]> = {};
const greek = "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ";
const greekWidths = [722, 667, 722, 612, 611, 763, 603, 722, 333, 631, 722, 686, 889, 722, 722, 768, 741, 556, 592, 611, 690, 439, 768, 645, 795, 611];
const small = "αβχδεφγηιϕκλμνοπθρστυϖωξψζ";
const smallWidths = [631, 549, 549, 494, 439, 521, 411, 603, 329, 603, 549, 549, 576, 521, 549, 549, 521, 549, 603, 439, 576, 713, 686, 493, 686, 494];
[...greek].forEach((c, k) => (SYMBOL[c] = [0x41 + k, greekWidths[k]]));
[...small].forEach((c, k) => (SYMBOL[c] = [0x61 + k, smallWidths[k]]));
const signs: [string, number, number][] = [
  ["−", 0x2d, 549], ["∂", 0xb6, 494], ["∑", 0xe5, 713], ["∏", 0xd5, 823], ["√", 0xd6, 549], ["∞", 0xa5, 713], ["≤", 0xa3, 549],
  ["≥", 0xb3, 549], ["≠", 0xb9, 549], ["≈", 0xbb, 549], ["→", 0xae, 987], ["←", 0xac, 987], ["∈", 0xce, 713], ["∫", 0xf2, 274],
  ["∇", 0xd1, 713], ["⊗", 0xc4, 768], ["⊕", 0xc5, 768], ["∧", 0xd9, 603], ["∨", 0xda, 603], ["′", 0xa2, 247], ["⌈", 0xe9, 384],
  ["⌊", 0xeb, 384], ["⌉", 0xf9, 384], ["⌋", 0xfb, 384], ["⋅", 0xd7, 250],
];
for (const [c, code, width] of signs) SYMBOL[c] = [code, width];

type Glyph =
  | { font: keyof typeof FAMILY; code: number; width: number }
  | { mask: string; width: number };

/** A character as pixels; all measures in units of the font's size, from its place on the line. */
interface Mask {
  name: string;
  object: Uint8Array;
  width: number;
  height: number;
  advance: number;
  left: number;
  up: number;
}

function glyph(c: string): Glyph {
  const code = c.codePointAt(0)!;
  if (code >= 0x20 && code < 0x7f) return { font: "times", code, width: TIMES[code - 0x20] };
  const symbol = SYMBOL[c];
  if (symbol) return { font: "symbol", code: symbol[0], width: symbol[1] };
  if (c === "…") return { font: "times", code: 0x85, width: 1000 };
  if (code >= 0xa0 && code <= 0xff) {
    const base = c.normalize("NFD").codePointAt(0)!; // an accent does not make a letter wider
    const known: Record<string, number> = { "·": 250, "×": 564, "÷": 564, "±": 564, "¬": 564, "°": 400 };
    return { font: "times", code, width: known[c] ?? (base < 0x7f ? TIMES[base - 0x20] : 500) };
  }
  return { mask: c, width: 0 };
}

const num = (x: number): string => String(Math.round(x * 100) / 100 || 0);

/** Writes one page, whose origin PDF has at the bottom. */
class Page {
  private readonly out: string[] = [];
  private readonly masks = new Map<string, Mask>();
  private readonly context = h("canvas").getContext("2d", { willReadFrequently: true })!;

  constructor(
    private readonly family: string,
    private readonly k: number,
    private readonly left: number,
    private readonly top: number,
    private readonly wide: number,
    private readonly high: number,
  ) {}

  private x(x: number): string {
    return num((x - this.left) * this.k);
  }

  private y(y: number): string {
    return num(this.high - (y - this.top) * this.k);
  }

  private point(x: number, y: number): string {
    return `${this.x(x)} ${this.y(y)}`;
  }

  /** A colour of CSS as red, green and blue. */
  private rgb(colour: string): string {
    this.context.fillStyle = "#000000";
    this.context.fillStyle = colour;
    const hex = String(this.context.fillStyle);
    return [1, 3, 5].map((k) => num(Number.parseInt(hex.slice(k, k + 2), 16) / 255)).join(" ");
  }

  /** A shape, filled or drawn or both, as the attributes of an element say. */
  shape(from: Element, path: string): void {
    const value = (name: string): string | null => {
      const found = from.getAttribute(name);
      return found === null || found === "none" ? null : found;
    };
    const [fill, stroke] = [value("fill"), value("stroke")];
    if (fill) this.out.push(`${this.rgb(fill)} rg`);
    if (stroke) {
      const dash = (value("stroke-dasharray") ?? "").split(/[ ,]+/).filter(Boolean).map((d) => num(Number(d) * this.k));
      this.out.push(`${this.rgb(stroke)} RG ${num(Number(value("stroke-width") ?? 1) * this.k)} w [${dash.join(" ")}] 0 d`);
    }
    this.out.push(`${path} ${fill && stroke ? "B" : fill ? "f" : stroke ? "S" : "n"}`);
  }

  rectangle(x: number, y: number, width: number, height: number, round: number): string {
    const r = Math.min(round, width / 2, height / 2);
    if (!(r > 0)) return `${this.point(x, y + height)} ${num(width * this.k)} ${num(height * this.k)} re`;
    const c = r * 0.4477; // where the handles of a quarter of a circle end
    const [right, bottom] = [x + width, y + height];
    const arc = (a: [number, number], b: [number, number], end: [number, number]): string => `${this.point(...a)} ${this.point(...b)} ${this.point(...end)} c`;
    const to = (px: number, py: number): string => `${this.point(px, py)} l`;
    return [
      `${this.point(x + r, y)} m`,
      to(right - r, y), arc([right - c, y], [right, y + c], [right, y + r]),
      to(right, bottom - r), arc([right, bottom - c], [right - c, bottom], [right - r, bottom]),
      to(x + r, bottom), arc([x + c, bottom], [x, bottom - c], [x, bottom - r]),
      to(x, y + r), arc([x, y + c], [x + c, y], [x + r, y]), "h",
    ].join(" ");
  }

  /** A path of straight lines and curves, in SVG's letters M, L, C and Z. */
  path(data: string): string {
    return data.replace(/([MLCZ])([^MLCZ]*)/g, (_, letter: string, numbers: string) => {
      const at = (numbers.match(/-?[\d.]+/g) ?? []).map((v, k) => (k % 2 ? this.y(Number(v)) : this.x(Number(v))));
      return `${at.join(" ")} ${{ M: "m", L: "l", C: "c", Z: "h" }[letter]} `;
    });
  }

  /** Words around a middle; every character where the widths of those before it put it. */
  text(words: string, x: number, y: number, size: number, colour: string, bold: boolean): void {
    const runs: { glyph: Glyph; size: number; rise: number; at: number }[] = [];
    const bars: [number, number][] = [];
    let width = 0;
    // Letters as one character each, but a bar above one by itself.
    const separate = words.normalize("NFC").replace(/[^\0-\xff]/g, (c) => (c.normalize("NFD").endsWith("\u0304") ? c.normalize("NFD") : c));
    for (const c of separate) {
      if (c === "\u0304" || c === "\u0305") {
        if (runs.length) bars.push([runs[runs.length - 1].at, width]); // a line above the character before
        continue;
      }
      const plain = RAISED[c] ?? LOWERED[c] ?? c;
      const own = plain === c ? size : size * SMALL;
      const found = glyph(plain);
      runs.push({ glyph: found, size: own, rise: RAISED[c] ? size * 0.36 : LOWERED[c] ? -size * 0.14 : 0, at: width });
      width += "mask" in found ? this.mask(found.mask).advance * own : (found.width / 1000) * own;
    }
    const start = x - width / 2;
    this.out.push(`${this.rgb(colour)} rg ${this.rgb(colour)} RG ${num(size * 0.04 * this.k)} w [] 0 d`);
    for (const [from, to] of bars) this.out.push(`${this.point(start + from, y - size * 0.6)} m ${this.point(start + to, y - size * 0.6)} l S`);
    for (const run of runs) {
      const [px, py] = [start + run.at, y - run.rise];
      if ("mask" in run.glyph) {
        const { name, width: wide, height, left, up } = this.mask(run.glyph.mask);
        const corner = this.point(px - left * run.size, py + (height - up) * run.size);
        this.out.push(`q ${num(wide * run.size * this.k)} 0 0 ${num(height * run.size * this.k)} ${corner} cm /${name} Do Q`);
      } else {
        const code = run.glyph.code.toString(16).padStart(2, "0");
        this.out.push(`BT /${run.glyph.font === "times" ? "T" : "S"} ${num(run.size * this.k)} Tf ${bold ? 2 : 0} Tr ${this.point(px, py)} Td <${code}> Tj ET`);
      }
    }
  }

  /** A character as the browser draws it, one bit a pixel; measures in units of the font's size. */
  private mask(c: string): Mask {
    const known = this.masks.get(c);
    if (known) return known;
    const { context } = this;
    const font = `${EM}px ${this.family}`;
    context.font = font;
    const measured = context.measureText(c);
    const left = Math.ceil(Math.max(0, measured.actualBoundingBoxLeft)) + 1;
    const up = Math.ceil(Math.max(0, measured.actualBoundingBoxAscent)) + 1;
    const width = Math.max(1, left + Math.ceil(Math.max(measured.actualBoundingBoxRight, 0)) + 1);
    const height = Math.max(1, up + Math.ceil(Math.max(measured.actualBoundingBoxDescent, 0)) + 1);
    context.canvas.width = width;
    context.canvas.height = height;
    context.font = font;
    context.fillStyle = "#000000";
    context.fillText(c, left, up);
    const { data } = context.getImageData(0, 0, width, height);
    const row = Math.ceil(width / 8);
    const object = new Uint8Array(row * height).fill(255); // a one is left out
    for (let py = 0; py < height; py++) {
      for (let px = 0; px < width; px++) if (data[4 * (py * width + px) + 3] > 127) object[py * row + (px >> 3)] &= ~(0x80 >> (px & 7));
    }
    const made = { name: `G${this.masks.size}`, object, width: width / EM, height: height / EM, advance: measured.width / EM, left: left / EM, up: up / EM };
    this.masks.set(c, made);
    return made;
  }

  /** The whole file. */
  file(): Blob {
    const fonts = `/T<</Type/Font/Subtype/Type1/BaseFont/${FAMILY.times}/Encoding/WinAnsiEncoding>>/S<</Type/Font/Subtype/Type1/BaseFont/${FAMILY.symbol}>>`;
    const masks = [...this.masks.values()];
    const images = masks.map(({ name }, k) => `/${name} ${5 + k} 0 R`).join("");
    const content = this.out.join("\n");
    const stream = (head: string, body: string | Uint8Array): (string | Uint8Array)[] => [`<<${head}/Length ${body.length}>>\nstream\n`, body, "\nendstream"];
    const objects: (string | Uint8Array)[][] = [
      ["<</Type/Catalog/Pages 2 0 R>>"],
      ["<</Type/Pages/Kids[3 0 R]/Count 1>>"],
      [`<</Type/Page/Parent 2 0 R/MediaBox[0 0 ${num(this.wide)} ${num(this.high)}]/Contents 4 0 R/Resources<</Font<<${fonts}>>/XObject<<${images}>>>>>>`],
      stream("", content),
      ...masks.map(({ object, width, height }) =>
        stream(`/Type/XObject/Subtype/Image/Width ${Math.round(width * EM)}/Height ${Math.round(height * EM)}/ImageMask true/BitsPerComponent 1`, object),
      ),
    ];
    const parts: (string | Uint8Array)[] = ["%PDF-1.4\n"];
    let at = parts[0].length;
    const starts: number[] = [];
    objects.forEach((object, k) => {
      starts.push(at);
      for (const part of [`${k + 1} 0 obj\n`, ...object, "\nendobj\n"]) {
        parts.push(part);
        at += part.length; // all text in it is ASCII
      }
    });
    const table = starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`).join("");
    parts.push(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer\n<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${at}\n%%EOF\n`);
    return new Blob(parts as BlobPart[], { type: "application/pdf" });
  }
}

/** The page for a picture of rectangles, paths and texts around their middles, all colours at the elements. */
export function pdfOf(picture: SVGSVGElement): Blob {
  const [left, top, width, height] = picture.getAttribute("viewBox")!.split(" ").map(Number);
  const k = Math.min(SCALE, LARGEST / Math.max(width, height));
  const page = new Page(picture.getAttribute("font-family")!, k, left, top, width * k, height * k);
  for (const element of picture.children) {
    const number = (name: string): number => Number(element.getAttribute(name) ?? 0);
    if (element.localName === "rect") {
      page.shape(element, page.rectangle(number("x"), number("y"), number("width"), number("height"), number("rx")));
    } else if (element.localName === "path") {
      page.shape(element, page.path(element.getAttribute("d")!));
    } else if (element.localName === "text") {
      page.text(element.textContent!, number("x"), number("y"), number("font-size"), element.getAttribute("fill")!, element.getAttribute("font-weight") === "bold");
    }
  }
  return page.file();
}
