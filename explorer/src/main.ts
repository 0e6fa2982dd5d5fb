// The explorer: reads the explanation that stands in the page and builds the page from it.

import { App } from "./app";
import { Model } from "./document";
import { h } from "./dom";
import { FORMATS, exported, save, svgOf, type Format } from "./export";
import { Keys } from "./keys";
import { Lively } from "./lively";
import { cardPanel } from "./panels/card";
import { derivationPanel } from "./panels/derivation";
import { descendPanel } from "./panels/descend";
import { Health } from "./panels/health";
import { inputsPanel } from "./panels/inputs";
import { outlinePanel } from "./panels/outline";
import { pathsPanel } from "./panels/paths";
import { Search } from "./panels/search";
import { sourcePanel } from "./panels/source";
import { storyPanel } from "./panels/story";
import { valuesPanel } from "./panels/values";
import { Player } from "./player";
import { Stage } from "./stage";
import { Store, type State } from "./store";
import { Tabs } from "./tabs";

const THEMES: State["theme"][] = ["auto", "light", "dark"];
const LEVELS: State["level"][] = ["leibniz", "spelled", "multiplied", "numbers"];

function start(): void {
  const model = Model.fromPage();
  const store = new Store();
  const app = new App(model, store, new Lively(model));
  const live = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
  app.speakInto(live);
  const theme = (): void => void (document.documentElement.dataset.theme = store.state.theme);
  store.subscribe(theme);
  theme();

  const search = new Search(app);
  const health = new Health(app);
  const stage = new Stage(app);
  const player = new Player(app);
  const tabs = new Tabs(app, [
    ["derivation", "Derivation", () => derivationPanel(app)],
    ["code", "Code", () => sourcePanel(app)],
    ["card", "Value", () => cardPanel(app)],
    ["inputs", "Inputs", () => inputsPanel(app)],
    ["descend", "Descend", () => descendPanel(app)],
    ["paths", "Paths", () => pathsPanel(app)],
    ["health", health.count ? `Health (${health.count})` : "Health", () => health.element],
    ["outline", "Outline", () => outlinePanel(app)],
    ["values", "List", () => valuesPanel(app)],
    ["story", "Story", () => storyPanel(app)],
  ]);

  const next = <T>(all: T[], now: T): T => all[(all.indexOf(now) + 1) % all.length];
  const keys = new Keys([
    { keys: ["/"], says: "search", act: () => search.field.focus() },
    { keys: ["?"], says: "this list", act: () => keys.dialog.showModal() },
    { keys: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], says: "in the picture: follow uses, and to the neighbours" },
    { keys: ["Enter"], says: "in the picture: open or close a group" },
    { keys: ["["], says: "step back", act: () => player.move(-1) },
    { keys: ["]"], says: "step forward", act: () => player.move(1) },
    { keys: [" "], says: "play and pause", act: () => player.toggle() },
    { keys: ["l"], says: "next level of the derivation", act: () => store.set({ level: next(LEVELS, store.state.level), tab: "derivation" }) },
    { keys: ["n"], says: "next problem", act: () => health.next() },
    { keys: ["h"], says: "heat on the uses", act: () => store.set({ heat: !store.state.heat }) },
    { keys: ["c"], says: "close what the pinned value lies in", act: () => closeScope(app) },
    { keys: ["+", "-", "0"], says: "in the picture: zoom in, out, and fit" },
    { keys: ["t"], says: "light or dark", act: () => store.set({ theme: next(THEMES, store.state.theme) }) },
    { keys: ["Escape"], says: "unpin, and leave the sweeps", act: () => store.set({ pin: "", step: -1 }) },
  ]);

  const themes = h("select", { "aria-label": "Theme", change: () => store.set({ theme: themes.value as State["theme"] }) }, ...THEMES.map((name) => h("option", { value: name }, name === "auto" ? "theme" : name)));
  const files = h(
    "select",
    {
      "aria-label": "Save what is on screen",
      change: async () => {
        const format = files.value as Format;
        files.value = "";
        const { name, blob } = await exported(app, stage.scene, format);
        save(name, blob);
        app.announce(`saved ${name}`);
      },
    },
    h("option", { value: "" }, "save as …"),
    ...FORMATS.map((format) => h("option", { value: format }, format)),
  );
  const sync = (): void => void (themes.value = store.state.theme);
  app.onChange(sync);
  sync();

  document.body.append(
    h(
      "header",
      {},
      h("h1", { title: model.doc.title }, model.doc.title),
      search.element,
      h("div", { class: "actions" }, files, themes, h("button", { type: "button", click: () => keys.dialog.showModal() }, "Keys")),
    ),
    h("main", {}, h("div", { class: "left" }, stage.element, player.element), tabs.element),
    keys.dialog,
    live,
  );

  // On paper stand the picture and the whole story.
  const paper = h("div", { class: "print" });
  document.body.append(paper);
  addEventListener("beforeprint", () => paper.replaceChildren(svgOf(app, stage.scene), storyPanel(app)));
  addEventListener("afterprint", () => paper.replaceChildren());
}

/** Closes the innermost open group around what is pinned, and pins it. */
function closeScope(app: App): void {
  const { pin } = app.store.state;
  const group = app.group(pin)?.parent ?? undefined;
  const id = app.pinned;
  const around = group ? [group] : id === undefined ? [] : app.scopes.ancestors(app.model.rank.get(id)!);
  const inner = [...around].reverse().find((one) => one.parent && app.isOpen(one));
  if (!inner) return;
  app.store.set({ pin: `g${inner.id}` });
  app.toggle(inner);
}

start();
