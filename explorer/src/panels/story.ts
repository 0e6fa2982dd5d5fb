// The whole story in sections, as it is printed.

import type { App } from "../app";
import { h, math } from "../dom";

export function storyPanel(app: App): HTMLElement {
  const { model, store } = app;
  return h(
    "div",
    { class: "story" },
    ...model.doc.sections.map((section) =>
      h(
        "section",
        {},
        h("h2", { class: section.key === "health" ? "bad" : "" }, section.title),
        section.intro ? h("p", {}, section.intro) : null,
        ...section.lines.map((line) => {
          const row = h("p", { class: "told" });
          const { node } = line;
          if (line.mathml) row.append(math(line.mathml));
          else row.append(line.text ?? line.prose ?? "…");
          if (line.value) row.append(h("span", { class: "number" }, ` = ${line.value}`));
          if (line.note) row.append(h("span", { class: "soft note" }, line.note));
          if (node !== undefined && model.rank.has(node)) {
            row.addEventListener("mouseenter", () => store.setHover(`n${node}`));
            row.addEventListener("mouseleave", () => store.setHover(""));
          }
          return row;
        }),
      ),
    ),
  );
}
