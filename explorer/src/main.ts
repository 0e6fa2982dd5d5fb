// The explorer: reads the explanation that stands in the page and builds the page from it.

import { App } from "./app";
import { Model } from "./document";
import { h } from "./dom";
import { valuesPanel } from "./panels/values";
import { Store } from "./store";

function start(): void {
  const app = new App(Model.fromPage(), new Store());
  const live = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
  app.speakInto(live);
  document.body.append(
    h("header", {}, h("h1", {}, app.model.doc.title)),
    h("main", {}, h("section", { "aria-label": "All values" }, valuesPanel(app))),
    live,
  );
  app.onChange(() => theme(app));
  theme(app);
}

function theme(app: App): void {
  document.documentElement.dataset.theme = app.store.state.theme;
}

start();
