// The picture with its surroundings: moving about in it, what is hovered and pinned, the small map, the way to here.

import type { App } from "./app";
import { Camera } from "./camera";
import { h, s, tool } from "./dom";
import { CanvasDrawer } from "./draw-canvas";
import { SvgDrawer, type Drawer } from "./draw-svg";
import { counted } from "./format";
import { HEAT_DASHES, HEAT_NAMES, HEAT_WIDTHS } from "./look";
import { MAX_SVG, describe, makeScene, type Box, type Scene } from "./scene";

export class Stage {
  readonly element: HTMLElement;
  readonly camera = new Camera();
  scene: Scene;
  private drawer: Drawer | null = null;
  private readonly holder = h("div", { class: "holder" });
  private readonly map = h("canvas", { class: "minimap", width: 150, height: 90, "aria-hidden": "true" });
  private readonly crumbs = h("nav", { class: "crumbs", "aria-label": "Where this value is computed" });
  private readonly legend: HTMLElement;
  private readonly count = h("p", { class: "soft count" });
  private mapped: HTMLCanvasElement | null = null;
  private fitted = false;
  private readonly narrow: HTMLSelectElement;

  constructor(private readonly app: App) {
    this.scene = makeScene(app, this.window());
    this.legend = this.makeLegend();
    this.narrow = h(
      "select",
      { "aria-label": "How much is shown", change: () => app.store.set({ near: Number(this.narrow.value) }) },
      ...["everything", "1 hop around", "2 hops around", "3 hops around", "5 hops around"].map((words, k) =>
        h("option", { value: [0, 1, 2, 3, 5][k] }, words),
      ),
    );
    const tools = h(
      "div",
      { class: "tools", role: "group", "aria-label": "View" },
      tool("Zoom in", "more", () => this.zoom(1.25)),
      tool("Zoom out", "less", () => this.zoom(0.8)),
      tool("Fit the picture", "fit", () => this.fit(true)),
      this.narrow,
    );
    this.holder.tabIndex = 0;
    this.holder.setAttribute("role", "application");
    this.holder.setAttribute("aria-roledescription", "computation graph");
    this.holder.setAttribute(
      "aria-label",
      "The computation graph. Arrow keys follow uses, Enter opens and closes groups, question mark lists all keys. The list of values tells the same.",
    );
    this.element = h("section", { class: "stage", "aria-label": "Picture" }, this.crumbs, this.holder, tools, this.map, this.legend, this.count);
    this.listen();
    app.onChange((state, before) => {
      const around = state.near !== before.near || (state.near > 0 && state.pin !== before.pin);
      if (state.toggled !== before.toggled || around) this.rebuild();
      else this.drawer?.refresh();
      if (state.theme !== before.theme) this.recolour();
      this.about();
      if (state.pin !== before.pin && state.pin) this.showPinned();
      if (state.step !== before.step) this.follow();
    });
    app.store.onHover(() => this.drawer?.mark());
    this.camera.onMove(() => this.drawMap());
    new ResizeObserver(() => {
      if (!this.fitted && this.holder.clientWidth > 0) this.fit(false);
      this.drawMap();
    }).observe(this.holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    this.present();
    this.about();
  }

  private present(): void {
    const wanted = this.scene.boxes.length > MAX_SVG ? CanvasDrawer : SvgDrawer;
    if (!(this.drawer instanceof wanted)) {
      this.drawer = new wanted(this.app, this.camera);
      this.holder.replaceChildren(this.drawer.element);
      this.camera.set(this.camera.view);
    }
    this.drawer!.draw(this.scene);
    this.mapped = null;
    this.drawMap();
  }

  /** Draws anew what is open now; what is pinned, or what was in the middle, stays where it was. */
  private rebuild(): void {
    const before = this.scene;
    const middle = this.middle();
    const anchor = this.boxOfKey(this.app.store.state.pin) ?? nearest(before, middle);
    this.scene = makeScene(this.app, this.window(), before);
    const node = anchor?.group ? this.app.model.shown[anchor.group.first] : anchor?.node;
    const after =
      anchor && (this.scene.boxes[this.scene.index.get(anchor.key) ?? -1] ?? this.scene.boxes[this.scene.boxOf(node!) ?? -1]);
    if (anchor && after) {
      const { x, y, k } = this.camera.view;
      this.camera.set({ x: x + after.x - anchor.x, y: y + after.y - anchor.y, k });
    } else this.fit(false);
    this.present();
  }

  private recolour(): void {
    this.drawer?.refresh();
    this.mapped = null;
    this.drawMap();
  }

  private middle(): { x: number; y: number } {
    const { x, y, k } = this.camera.view;
    return { x: x + this.holder.clientWidth / 2 / k, y: y + this.holder.clientHeight / 2 / k };
  }

  /** The room for the picture; before it is on the page, about what it will be. */
  private window(): { width: number; height: number } {
    const wide = innerWidth >= 1000 ? innerWidth * 0.6 : innerWidth;
    return { width: this.holder.clientWidth || wide, height: this.holder.clientHeight || innerHeight * 0.75 };
  }

  fit(whole: boolean): void {
    this.fitted = true;
    const { width, height, boxes } = this.scene;
    this.camera.fit(width, height, this.window(), boxes[0] ?? { x: 0, y: 0 }, whole);
  }

  private zoom(factor: number): void {
    this.camera.zoom(factor, { x: this.holder.clientWidth / 2, y: this.holder.clientHeight / 2 });
  }

  boxOfKey(key: string): Box | undefined {
    const found = this.scene.index.get(key) ?? this.scene.boxOf(this.app.nodeOf(key) ?? -1);
    if (found !== undefined) return this.scene.boxes[found];
    const group = this.app.group(key);
    return group && this.scene.boxes[this.scene.boxOf(this.app.model.shown[group.first]) ?? -1];
  }

  private showPinned(): void {
    const box = this.boxOfKey(this.app.store.state.pin);
    if (!box) return;
    this.bringInto(box);
    this.app.announce(describe(this.app, box));
  }

  /** Moves the picture, if need be, so that a box is in sight. */
  private bringInto(box: Box): void {
    const { x, y, k } = this.camera.view;
    const { clientWidth, clientHeight } = this.holder;
    if (!clientWidth) return;
    const left = (box.x - box.width / 2 - x) * k;
    const top = (box.y - box.height / 2 - y) * k;
    const margin = 24;
    const dx = left < margin ? margin - left : Math.min(0, clientWidth - margin - left - box.width * k);
    const dy = top < margin ? margin - top : Math.min(0, clientHeight - margin - top - box.height * k);
    if (dx || dy) this.camera.pan(dx, dy);
  }

  private follow(): void {
    const { step } = this.app;
    if (!step) return;
    const id = step.kind === "share" ? this.app.model.uses[step.use].source : step.node;
    const box = this.scene.boxes[this.scene.boxOf(id) ?? -1];
    if (box) this.bringInto(box);
  }

  // -- hand and keys --------------------------------------------------------------------------------------------

  private listen(): void {
    const { holder, camera } = this;
    const { store } = this.app;
    const fingers = new Map<number, { x: number; y: number }>();
    let moved = false;
    holder.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      moved = false;
    });
    holder.addEventListener("pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) {
        if (event.pointerType === "mouse") store.setHover(this.drawer!.hit(event));
        return;
      }
      const now = { x: event.clientX, y: event.clientY };
      const far = Math.hypot(now.x - last.x, now.y - last.y);
      if (!moved && far < 4) return;
      if (!moved) holder.setPointerCapture(event.pointerId);
      moved = true;
      if (fingers.size === 2) {
        const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
        const before = Math.hypot(last.x - other.x, last.y - other.y);
        const { left, top } = holder.getBoundingClientRect();
        camera.zoom(Math.hypot(now.x - other.x, now.y - other.y) / Math.max(before, 1), {
          x: (now.x + other.x) / 2 - left,
          y: (now.y + other.y) / 2 - top,
        });
      } else camera.pan(now.x - last.x, now.y - last.y);
      fingers.set(event.pointerId, now);
    });
    const up = (event: PointerEvent): void => void fingers.delete(event.pointerId);
    holder.addEventListener("pointerup", up);
    holder.addEventListener("pointercancel", up);
    holder.addEventListener("pointerleave", () => store.setHover(""));
    holder.addEventListener("click", (event) => {
      if (moved) return;
      const key = this.drawer!.hit(event);
      store.set({ pin: key === store.state.pin ? "" : key });
    });
    holder.addEventListener("dblclick", (event) => {
      const group = this.app.group(this.drawer!.hit(event));
      if (group) this.app.toggle(group);
    });
    holder.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const { left, top } = holder.getBoundingClientRect();
        if (event.ctrlKey || event.metaKey || !event.shiftKey) {
          camera.zoom(Math.exp(-event.deltaY * 0.0015), { x: event.clientX - left, y: event.clientY - top });
        } else camera.pan(-event.deltaX - event.deltaY, 0);
      },
      { passive: false },
    );
    holder.addEventListener("keydown", (event) => this.key(event));
    this.map.addEventListener("click", (event) => {
      const { left, top, width, height } = this.map.getBoundingClientRect();
      const scale = this.mapScale();
      const { k } = camera.view;
      camera.set({
        x: (event.clientX - left - width / 2) / scale + this.scene.width / 2 - holder.clientWidth / 2 / k,
        y: (event.clientY - top - height / 2) / scale + this.scene.height / 2 - holder.clientHeight / 2 / k,
        k,
      });
    });
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows: Record<string, [number, number]> = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    const way = arrows[event.key];
    if (way) {
      event.preventDefault();
      this.walk(...way);
    } else if (event.key === "Enter") {
      const group = this.app.group(this.app.store.state.pin);
      if (group) this.app.toggle(group);
      event.preventDefault();
    } else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit(true);
  }

  /** From a box along a use in a direction; across, to the neighbour in the layer. */
  private walk(dx: number, dy: number): void {
    const { scene } = this;
    const along = scene.direction === "right" ? dx : dy;
    const here = this.boxOfKey(this.app.store.state.pin);
    if (!here) {
      const first = scene.boxes[0];
      if (first) this.app.store.set({ pin: first.key });
      return;
    }
    const at = scene.boxes.indexOf(here);
    let next: Box[];
    if (along) {
      const arrows = scene.arrows.filter((arrow) => (along > 0 ? arrow.source : arrow.target) === at);
      next = arrows.map((arrow) => scene.boxes[along > 0 ? arrow.target : arrow.source]);
    } else {
      const [main, cross] = scene.direction === "right" ? (["x", "y"] as const) : (["y", "x"] as const);
      const way = dx || dy;
      next = scene.boxes.filter((box) => (box[cross] - here[cross]) * way > 1 && Math.abs(box[main] - here[main]) < 60 + here.width / 2);
    }
    const far = (box: Box): number => Math.hypot(box.x - here.x, box.y - here.y);
    const found = next.sort((a, b) => far(a) - far(b))[0];
    if (found) this.app.store.set({ pin: found.key });
    else this.app.announce("nothing further in this direction");
  }

  // -- around it ------------------------------------------------------------------------------------------------

  private mapScale(): number {
    return Math.min(150 / (this.scene.width + 40), 90 / (this.scene.height + 40));
  }

  private drawMap(): void {
    const { clientWidth, clientHeight } = this.holder;
    const { x, y, k } = this.camera.view;
    const { width, height, boxes } = this.scene;
    const all = x <= 1 && y <= 1 && x + clientWidth / k >= width - 1 && y + clientHeight / k >= height - 1;
    this.map.hidden = all || boxes.length < 3;
    if (this.map.hidden) return;
    const context = this.map.getContext("2d")!;
    const scale = this.mapScale();
    this.mapped ??= this.mapOfBoxes();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.mapped, 0, 0);
    context.setTransform(scale, 0, 0, scale, 75 - (width / 2) * scale, 45 - (height / 2) * scale);
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--result-line");
    context.lineWidth = 2 / scale;
    // The window reaches beyond the drawing; its frame is drawn within the map.
    const [left, top] = [Math.max(x, width / 2 - 73 / scale), Math.max(y, height / 2 - 43 / scale)];
    const right = Math.min(x + clientWidth / k, width / 2 + 73 / scale);
    const bottom = Math.min(y + clientHeight / k, height / 2 + 43 / scale);
    context.strokeRect(left, top, right - left, bottom - top);
  }

  /** All boxes, which stay the same while the picture is moved. */
  private mapOfBoxes(): HTMLCanvasElement {
    const { width, height, boxes } = this.scene;
    const canvas = h("canvas", { width: 150, height: 90 });
    const context = canvas.getContext("2d")!;
    const style = getComputedStyle(document.documentElement);
    const scale = this.mapScale();
    context.fillStyle = style.getPropertyValue("--paper");
    context.fillRect(0, 0, 150, 90);
    context.setTransform(scale, 0, 0, scale, 75 - (width / 2) * scale, 45 - (height / 2) * scale);
    context.fillStyle = style.getPropertyValue("--line");
    const least = 1.2 / scale;
    for (const box of boxes) {
      context.fillRect(box.x - box.width / 2, box.y - box.height / 2, Math.max(box.width, least), Math.max(box.height, least));
    }
    return canvas;
  }

  /** What stands around the picture: the way to the pinned value, how much is shown, the scale of the heat. */
  private about(): void {
    const { app } = this;
    const { state } = app.store;
    this.narrow.value = String(state.near);
    this.legend.hidden = !state.heat;
    const id = app.pinned;
    const group = app.group(state.pin);
    const position = group ? group.first : id === undefined ? -1 : app.model.rank.get(id)!;
    const ancestors = position < 0 ? [] : app.scopes.ancestors(position).filter((g) => !group || g.first < group.first || g.last > group.last);
    const parts: (Node | string)[] = [];
    if (position >= 0) {
      for (const scope of ancestors) {
        const open = app.isOpen(scope);
        parts.push(
          h(
            "button",
            { type: "button", class: "link", "aria-expanded": open, title: open ? "Close" : "Open", click: () => app.toggle(scope) },
            `${open ? "▾" : "▸"} ${scope.label}`,
          ),
          " › ",
        );
      }
      if (group) {
        const open = app.isOpen(group);
        parts.push(
          h("button", { type: "button", class: "link", "aria-expanded": open, click: () => app.toggle(group) }, `${open ? "▾" : "▸"} ${group.label}`),
        );
      } else parts.push(app.model.name(id!));
    }
    this.crumbs.replaceChildren(...parts);
    this.crumbs.hidden = !parts.length;
    const shown = this.scene.boxes.length;
    const all = app.model.shown.length;
    this.count.textContent = shown < all ? `${counted(shown, "box", "boxes")} for ${counted(all, "value")}` : "";
  }

  private makeLegend(): HTMLElement {
    const rows = HEAT_NAMES.map((name, k) =>
      h(
        "li",
        {},
        s(
          "svg",
          { width: 34, height: 10, "aria-hidden": "true" },
          s("line", { class: `swatch heat${k}`, x1: 1, y1: 5, x2: 33, y2: 5, "stroke-width": HEAT_WIDTHS[k], "stroke-dasharray": HEAT_DASHES[k].join(" ") }),
        ),
        name,
      ),
    );
    rows.push(
      h("li", {}, s("svg", { width: 34, height: 10, "aria-hidden": "true" }, s("line", { class: "swatch odd", x1: 1, y1: 5, x2: 33, y2: 5 })), "NaN or infinite"),
    );
    return h("div", { class: "legend" }, h("p", {}, "What flows back along a use"), h("ul", {}, ...rows));
  }
}

function nearest(scene: Scene, point: { x: number; y: number }): Box | undefined {
  let best: Box | undefined;
  let least = Infinity;
  for (const box of scene.boxes) {
    const far = Math.hypot(box.x - point.x, box.y - point.y);
    if (far < least) [best, least] = [box, far];
  }
  return best;
}
