// What is on screen, as files.

import type { App } from "./app";
import { h, s } from "./dom";
import { paint } from "./draw-canvas";
import { pathData } from "./draw-svg";
import { look } from "./look";
import { latexOf, texNumber } from "./panels/derivation";
import { FONT, LEADING, SIZES, arrowRows, boxRows, type Row, type Scene } from "./scene";

const MARGIN = 16;
const MAX_PIXELS = 16_000_000;

export const FORMATS = ["SVG", "PNG", "PDF", "TikZ", "DOT", "LaTeX", "JSON"] as const;
export type Format = (typeof FORMATS)[number];

export async function exported(app: App, scene: Scene, format: Format): Promise<{ name: string; blob: Blob }> {
  const title = app.model.doc.title.split(/[^\p{L}\p{N}]+/u).filter(Boolean)[0] ?? "graph";
  const text = (extension: string, type: string, words: string) => ({ name: `${title}.${extension}`, blob: new Blob([words], { type }) });
  switch (format) {
    case "SVG":
      return text("svg", "image/svg+xml", new XMLSerializer().serializeToString(svgOf(app, scene)));
    case "PNG":
      return { name: `${title}.png`, blob: (await picture(app, scene, "image/png")).blob };
    case "PDF":
      return { name: `${title}.pdf`, blob: await pdf(app, scene) };
    case "TikZ":
      return text("tikz", "text/x-tex", tikz(app, scene));
    case "DOT":
      return text("dot", "text/vnd.graphviz", dot(app, scene));
    case "LaTeX":
      return text("tex", "text/x-tex", `${latexOf(app)}\n`);
    case "JSON":
      return text("json", "application/json", json(app, scene));
  }
}

export function save(name: string, blob: Blob): void {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function colours(): (name: string) => string {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

/** The picture with all colours written at its elements, so that it needs no style sheet. */
export function svgOf(app: App, scene: Scene): SVGSVGElement {
  const colour = colours();
  const found = look(app, scene);
  const root = s("svg", {
    xmlns: "http://www.w3.org/2000/svg",
    viewBox: `${-MARGIN} ${-MARGIN} ${scene.width + 2 * MARGIN} ${scene.height + 2 * MARGIN}`,
    width: Math.ceil(scene.width + 2 * MARGIN),
    height: Math.ceil(scene.height + 2 * MARGIN),
    "font-family": FONT,
    "text-anchor": "middle",
  });
  root.append(
    s("title", {}, app.model.doc.title),
    s("rect", { x: -MARGIN, y: -MARGIN, width: scene.width + 2 * MARGIN, height: scene.height + 2 * MARGIN, fill: colour("paper") }),
    s("defs", {}, s("marker", { id: "tip", viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" }, s("path", { d: "M0 0.8L10 5L0 9.2z", fill: colour("line") }))),
  );
  const rows = (list: Row[], x: number, y: number): SVGTextElement[] => {
    let top = y - list.reduce((sum, row) => sum + SIZES[row.role] * LEADING, 0) / 2;
    return list.map((row) => {
      const size = SIZES[row.role];
      const text = s("text", { x: x.toFixed(1), y: (top + size * (LEADING / 2 + 0.34)).toFixed(1), "font-size": size, fill: colour(inkOf(row)) }, row.text);
      top += size * LEADING;
      return text;
    });
  };
  for (const arrow of scene.arrows) {
    root.append(s("path", { d: pathData(arrow.path), fill: "none", stroke: colour("line"), "stroke-width": 1.4, "stroke-dasharray": arrow.active ? undefined : "2 4", "marker-end": "url(#tip)" }));
  }
  for (const arrow of scene.arrows) {
    const { label } = arrow;
    if (!label) continue;
    root.append(s("rect", { x: label.x - label.width / 2, y: label.y - label.height / 2, width: label.width, height: label.height, fill: colour("paper") }));
    root.append(...rows(arrowRows(app, arrow), label.x, label.y));
  }
  scene.boxes.forEach((box, k) => {
    const round = box.kind === "input" || box.kind === "given";
    const kind = box.result ? "result" : box.kind === "input" ? "input" : "";
    const pinned = found.boxes[k].has("pinned");
    root.append(
      s("rect", {
        x: box.x - box.width / 2, y: box.y - box.height / 2, width: box.width, height: box.height, rx: round ? box.height / 2 : 6,
        fill: colour(kind || "box"), stroke: colour(pinned ? "mark-line" : kind ? `${kind}-line` : "line"), "stroke-width": pinned ? 3.5 : 1.4,
        "stroke-dasharray": box.kind === "given" || box.kind === "constant" ? "4 3" : undefined,
      }),
      ...rows(boxRows(app, box), box.x, box.y),
    );
  });
  return root;
}

function inkOf(row: Row): string {
  return { name: "ink", value: "soft", number: "soft", soft: "soft", local: "local", adjoint: "adjoint", bad: "bad" }[row.role];
}

async function picture(app: App, scene: Scene, type: string): Promise<{ blob: Blob; width: number; height: number }> {
  const width = scene.width + 2 * MARGIN;
  const height = scene.height + 2 * MARGIN;
  const k = Math.min(2, Math.sqrt(MAX_PIXELS / (width * height)), 32_000 / Math.max(width, height));
  const canvas = h("canvas", { width: Math.ceil(width * k), height: Math.ceil(height * k) });
  const context = canvas.getContext("2d")!;
  paint(context, app, scene, look(app, scene), { x: -MARGIN, y: -MARGIN, k }, { width: canvas.width, height: canvas.height });
  const { width: wide, height: high } = canvas;
  return new Promise((resolve, reject) => {
    const made = (blob: Blob | null): void => (blob ? resolve({ blob, width: wide, height: high }) : reject(new Error("the picture is too large")));
    canvas.toBlob(made, type, 0.95);
  });
}

/** One page with the picture, in the form of PDF 1.4 (ISO 32000): a JPEG is what both browsers and PDF know. */
async function pdf(app: App, scene: Scene): Promise<Blob> {
  const size = await picture(app, scene, "image/jpeg");
  const image = new Uint8Array(await size.blob.arrayBuffer());
  const scale = Math.min(0.75, 14_000 / Math.max(scene.width, scene.height));
  const wide = ((scene.width + 2 * MARGIN) * scale).toFixed(2);
  const high = ((scene.height + 2 * MARGIN) * scale).toFixed(2);
  const content = `q ${wide} 0 0 ${high} 0 0 cm /I Do Q`;
  const objects: (string | Uint8Array)[][] = [
    ["<</Type/Catalog/Pages 2 0 R>>"],
    ["<</Type/Pages/Kids[3 0 R]/Count 1>>"],
    [`<</Type/Page/Parent 2 0 R/MediaBox[0 0 ${wide} ${high}]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>`],
    [`<</Length ${content.length}>>\nstream\n${content}\nendstream`],
    [
      `<</Type/XObject/Subtype/Image/Width ${size.width}/Height ${size.height}/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode/Length ${image.length}>>\nstream\n`,
      image,
      "\nendstream",
    ],
  ];
  const parts: (string | Uint8Array)[] = ["%PDF-1.4\n"];
  let at = parts[0].length;
  const starts: number[] = [];
  objects.forEach((object, k) => {
    starts.push(at);
    for (const part of [`${k + 1} 0 obj\n`, ...object, "\nendobj\n"]) {
      parts.push(part);
      at += part.length;
    }
  });
  const table = starts.map((start) => `${String(start).padStart(10, "0")} 00000 n \n`).join("");
  parts.push(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer\n<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${at}\n%%EOF\n`);
  return new Blob(parts as BlobPart[], { type: "application/pdf" });
}

/** TeX for plain text: letters that TeX reads otherwise are written as commands. */
function tex(words: string): string {
  const commands: Record<string, string> = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
  return words.replace(/[\\~^]/g, (c) => commands[c]).replace(/[#$%&_{}]/g, (c) => (c === "{" || c === "}" ? c : `\\${c}`));
}

function tikz(app: App, scene: Scene): string {
  const { model } = app;
  const cm = (v: number): string => (v / 28).toFixed(2);
  const out = ["\\begin{tikzpicture}[every node/.style={font=\\small}, box/.style={draw, rounded corners=2pt, align=center}, input/.style={box, rounded corners=8pt}, result/.style={box, double}, >=stealth]"];
  scene.boxes.forEach((box, k) => {
    const lines = [];
    const forms = box.node >= 0 ? model.nodes[box.node].forms : undefined;
    if (box.group) lines.push(...boxRows(app, box).map((row) => tex(row.text)));
    else {
      const formula = forms?.formula && forms.formula.latex.length < 80 ? ` = ${forms.formula.latex}` : "";
      lines.push(forms?.name ? `$${forms.name.latex}${formula}$` : tex(boxRows(app, box)[0].text));
      lines.push(`$${texNumber(boxRows(app, box)[1].text)}$`);
    }
    const style = box.result ? "result" : box.kind === "input" || box.kind === "given" ? "input" : "box";
    out.push(`  \\node[${style}] (n${k}) at (${cm(box.x)}, ${cm(-box.y)}) {${lines.join("\\\\")}};`);
  });
  for (const arrow of scene.arrows) {
    const use = model.uses[arrow.uses[0]];
    const factor = arrow.uses.length === 1 && use.active ? (use.forms?.local?.latex ?? use.forms?.share?.latex ?? use.latex ?? "") : "";
    const label = factor && factor.length < 80 ? ` node[midway, fill=white, inner sep=1pt, font=\\scriptsize] {$${factor}$}` : "";
    out.push(`  \\draw[->${arrow.active ? "" : ", dotted"}] (n${arrow.source}) --${label} (n${arrow.target});`);
  }
  return [...out, "\\end{tikzpicture}", ""].join("\n");
}

function dot(app: App, scene: Scene): string {
  const quoted = (words: string): string => `"${words.replace(/[\\"]/g, "\\$&").replace(/\n/g, "\\n")}"`;
  const out = ["digraph {", `  rankdir=${scene.direction === "right" ? "LR" : "TB"};`, "  node [shape=box, style=rounded];"];
  scene.boxes.forEach((box, k) => out.push(`  n${k} [label=${quoted(boxRows(app, box).map((row) => row.text).join("\n"))}${box.result ? ", peripheries=2" : ""}];`));
  for (const arrow of scene.arrows) {
    const label = arrowRows(app, arrow).map((row) => row.text).join("\n");
    out.push(`  n${arrow.source} -> n${arrow.target} [label=${quoted(label)}${arrow.active ? "" : ", style=dotted"}];`);
  }
  return [...out, "}", ""].join("\n");
}

/** The boxes and arrows on screen with their numbers, and the state from which the page shows them again. */
function json(app: App, scene: Scene): string {
  const boxes = scene.boxes.map((box) => ({
    key: box.key,
    ...(box.group
      ? { group: box.group.label, values: app.model.shown.slice(box.group.first, box.group.last) }
      : { node: box.node, name: app.model.name(box.node), hop: app.model.nodes[box.node].hop, value: app.value(box.node), adjoint: app.adjoint(box.node) }),
    x: box.x, y: box.y, width: box.width, height: box.height,
  }));
  const arrows = scene.arrows.map((arrow) => ({ source: scene.boxes[arrow.source].key, target: scene.boxes[arrow.target].key, uses: arrow.uses, active: arrow.active }));
  const written = (_: string, value: unknown): unknown => (typeof value === "number" && !Number.isFinite(value) ? (Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity") : value);
  return JSON.stringify({ title: app.model.doc.title, state: app.store.state, boxes, arrows }, written, 1);
}
