// What is on screen, as files.

import type { App } from "./app";
import type { Explanation } from "./document";
import { h, s } from "./dom";
import { paint } from "./draw-canvas";
import { pathData } from "./draw-svg";
import { INKS, arrowStroke, boxPaint, look, tip, type Stroke } from "./look";
import { pdfOf } from "./pdf";
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
      return { name: `${title}.png`, blob: await picture(app, scene) };
    case "PDF":
      return { name: `${title}.pdf`, blob: pdfOf(svgOf(app, scene)) };
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

/** Text as it may stand in XML, which has no control characters. */
function xml(words: string): string {
  return words.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "\ufffd");
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
    s("title", {}, xml(app.model.doc.title)),
    s("rect", { x: -MARGIN, y: -MARGIN, width: scene.width + 2 * MARGIN, height: scene.height + 2 * MARGIN, fill: colour("paper") }),
  );
  const rows = (list: Row[], x: number, y: number): SVGTextElement[] => {
    let top = y - list.reduce((sum, row) => sum + SIZES[row.role] * LEADING, 0) / 2;
    return list.map((row) => {
      const size = SIZES[row.role];
      const text = s("text", { x: x.toFixed(1), y: (top + size * (LEADING / 2 + 0.34)).toFixed(1), "font-size": size, "font-weight": row.role === "bad" ? "bold" : undefined, fill: colour(INKS[row.role]) }, xml(row.text));
      top += size * LEADING;
      return text;
    });
  };
  const line = (from: Stroke) => ({ stroke: colour(from.colour), "stroke-width": from.width, "stroke-dasharray": from.dash.join(" ") || undefined });
  scene.arrows.forEach((arrow, k) => {
    const stroke = arrowStroke(app, arrow, found.arrows[k]);
    const corners = tip(arrow.path, stroke.width).map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`);
    root.append(s("path", { d: pathData(arrow.path), fill: "none", ...line(stroke) }), s("path", { d: `M${corners.join("L")}Z`, fill: colour(stroke.colour) }));
  });
  for (const arrow of scene.arrows) {
    const { label } = arrow;
    if (!label) continue;
    root.append(s("rect", { x: label.x - label.width / 2, y: label.y - label.height / 2, width: label.width, height: label.height, fill: colour("paper") }));
    root.append(...rows(arrowRows(app, arrow), label.x, label.y));
  }
  scene.boxes.forEach((box, k) => {
    const { fill, border } = boxPaint(box, found.boxes[k]);
    const { width, height } = box;
    const [x, y] = [box.x - width / 2, box.y - height / 2];
    const rx = box.kind === "input" || box.kind === "given" ? height / 2 : 6;
    // A closed group is a stack of sheets, and the result has a second rim.
    for (const shift of box.group ? [6, 3] : []) root.append(s("rect", { x: x + shift, y: y - shift, width, height, rx, fill: colour("box"), ...line(border) }));
    root.append(s("rect", { x, y, width, height, rx, fill: colour(fill), ...line(border) }));
    if (box.result) root.append(s("rect", { x: x + 3, y: y + 3, width: width - 6, height: height - 6, rx: Math.max(rx - 3, 3), fill: "none", ...line(border) }));
    root.append(...rows(boxRows(app, box), box.x, box.y));
  });
  return root;
}

async function picture(app: App, scene: Scene): Promise<Blob> {
  const width = scene.width + 2 * MARGIN;
  const height = scene.height + 2 * MARGIN;
  const k = Math.min(2, Math.sqrt(MAX_PIXELS / (width * height)), 32_000 / Math.max(width, height));
  const canvas = h("canvas", { width: Math.ceil(width * k), height: Math.ceil(height * k) });
  const context = canvas.getContext("2d")!;
  paint(context, app, scene, look(app, scene), { x: -MARGIN, y: -MARGIN, k }, { width: canvas.width, height: canvas.height });
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/png");
  });
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

/**
 * The explanation, in the form of docs/schema.md, with the numbers as they are now, and in an entry of its own what is on
 * screen: boxes, arrows, and the state from which the page shows them again.
 */
function json(app: App, scene: Scene): string {
  const boxes = scene.boxes.map(({ key, node, group, x, y, width, height }) => ({
    key,
    ...(group ? { group: group.label, values: app.model.shown.slice(group.first, group.last) } : { node }),
    x, y, width, height,
  }));
  const arrows = scene.arrows.map((arrow) => ({ source: scene.boxes[arrow.source].key, target: scene.boxes[arrow.target].key, uses: arrow.uses, active: arrow.active }));
  const screen = { state: app.store.state, direction: scene.direction, width: scene.width, height: scene.height, boxes, arrows };
  // As it was written: a script's numbers do not hold all digits of a 64-bit integer.
  const words = Object.keys(app.store.state.inputs).length ? JSON.stringify(now(app), written) : app.model.text;
  return `${words.trimEnd().slice(0, -1)},"screen":${JSON.stringify(screen)}}`;
}

/** The explanation with the numbers at the inputs that were chosen; what was checked and told are other numbers. */
function now(app: App): Explanation {
  const { doc } = app.model;
  const nodes = doc.graph.nodes.map((node) => ({
    ...node,
    ...(node.value === undefined ? {} : { value: app.value(node.id) }),
    ...(node.adjoint === undefined ? {} : { adjoint: app.adjoint(node.id) }),
    check: undefined,
  }));
  const uses = doc.uses.map((use, k) => ({
    ...use,
    ...(use.value === undefined ? {} : { value: app.local(k) }),
    ...(use.share === undefined ? {} : { share: app.share(k) }),
  }));
  return { ...doc, graph: { ...doc.graph, nodes }, uses, sections: [] };
}

/** JSON has no NaN and no infinities. */
function written(_: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}
