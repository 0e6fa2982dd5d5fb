// The user's code, each piece linked with the values that it computes.

import type { App } from "../app";
import type { Site, Source } from "../document";
import { h } from "../dom";

export function sourcePanel(app: App): HTMLElement {
  const { model, store } = app;
  const { sites } = model.doc.graph;
  const sources = model.doc.sources;
  if (!sources.length) return h("p", { class: "soft" }, "The code of this function could not be read.");
  const panel = h("div", { class: "sources" });
  const spans: { element: HTMLElement; site: number }[] = [];
  const rows: { element: HTMLElement; sites: number[] }[] = [];
  const bySource = new Map<Source, number[]>();
  sites.forEach((site, k) => {
    if (!app.nodesAt(k).length) return;
    const source = sources.find((s) => s.file === site.file && s.function === site.function && site.line >= s.line && site.line < s.line + s.lines.length);
    if (source) bySource.set(source, [...(bySource.get(source) ?? []), k]);
  });
  for (const source of sources) {
    const here = bySource.get(source) ?? [];
    const indent = Math.min(...source.lines.filter((line) => line.trim()).map((line) => line.length - line.trimStart().length), 40);
    const list = h("ol", { class: "code" });
    source.lines.forEach((line, k) => {
      const number = source.line + k;
      const own = here.filter((site) => sites[site].line <= number && sites[site].line_end >= number);
      const starting = here.filter((site) => sites[site].line === number);
      const label = `line ${number}: ${line.trim()}`;
      const go = h(
        "button",
        { type: "button", class: "lineno", "aria-label": label, disabled: !starting.length, click: () => cycle(app, starting) },
        String(number),
      );
      const text = h("code");
      marked(line.slice(Number.isFinite(indent) ? indent : 0), Number.isFinite(indent) ? indent : 0, starting.filter((site) => sites[site].line_end === number), sites, (site, element) => {
        element.addEventListener("mouseenter", () => store.setHover(`s${site}`));
        element.addEventListener("mouseleave", () => store.setHover(""));
        element.addEventListener("click", (event) => {
          event.stopPropagation();
          cycle(app, [site]);
        });
        spans.push({ element, site });
      }).forEach((part) => text.append(part));
      const row = h("li", { "data-line": number }, go, text);
      rows.push({ element: row, sites: own });
      list.append(row);
    });
    const file = source.file.split(/[\\/]/).pop()!;
    panel.append(h("h2", {}, source.function ? `${source.function} — ${file}` : file), list);
  }
  const marks = (): void => {
    const pinned = app.related(store.state.pin).sites;
    const hot = store.hover ? app.related(store.hover).sites : new Set<number>();
    const now = app.step && (app.step.kind === "share" ? model.uses[app.step.use].target : app.step.node);
    const active = now === undefined ? undefined : model.nodes[now].site;
    for (const { element, site } of spans) {
      element.classList.toggle("pinned", pinned.has(site));
      element.classList.toggle("hot", hot.has(site));
      element.classList.toggle("active", site === active);
    }
    for (const { element, sites: own } of rows) {
      element.classList.toggle("pinned", own.some((site) => pinned.has(site)));
      element.classList.toggle("hot", own.some((site) => hot.has(site)));
      element.classList.toggle("active", active !== undefined && own.includes(active));
    }
  };
  app.onChange((state, before) => {
    marks();
    if (state.pin !== before.pin) panel.querySelector("li.pinned")?.scrollIntoView({ block: "nearest" });
  });
  store.onHover(marks);
  marks();
  return panel;
}

/** Pins the value that a place computes; again, the next one that it computes. */
function cycle(app: App, places: number[]): void {
  const nodes = [...new Set(places.flatMap((site) => app.nodesAt(site)))].sort((a, b) => a - b);
  if (!nodes.length) return;
  const at = nodes.indexOf(app.pinned ?? -1);
  app.pinNode(nodes[(at + 1) % nodes.length]);
}

/** A line with its sites as nested elements. Columns count bytes of UTF-8. */
function marked(line: string, indent: number, here: number[], sites: Site[], mark: (site: number, element: HTMLElement) => void): (HTMLElement | string)[] {
  const starts = byteColumns(line);
  const place = (column: number): number => {
    const found = starts.indexOf(column - indent);
    return found < 0 ? line.length : found;
  };
  const seen = new Set<string>();
  const pieces = here
    .map((site) => ({ site, start: place(sites[site].column), end: place(sites[site].column_end) }))
    .filter(({ start, end }) => end > start && !seen.has(`${start} ${end}`) && seen.add(`${start} ${end}`))
    .sort((a, b) => a.start - b.start || b.end - a.end);
  const build = (from: number, to: number): (HTMLElement | string)[] => {
    const out: (HTMLElement | string)[] = [];
    let at = from;
    while (pieces.length && pieces[0].start < to) {
      const piece = pieces.shift()!;
      if (piece.start < at) continue; // crosses the one before
      if (piece.start > at) out.push(line.slice(at, piece.start));
      const end = Math.min(piece.end, to);
      const element = h("span", { class: "span", "data-site": piece.site }, ...build(piece.start, end));
      mark(piece.site, element);
      out.push(element);
      at = end;
    }
    if (at < to) out.push(line.slice(at, to));
    return out;
  };
  return build(0, line.length);
}

/** For each character the byte at which it begins, and the length. */
function byteColumns(line: string): number[] {
  const starts: number[] = [];
  let bytes = 0;
  for (const c of line) {
    for (let k = 0; k < c.length; k++) starts.push(k ? -1 : bytes);
    const code = c.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return [...starts, bytes];
}
