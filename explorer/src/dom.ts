// Elements, made without any markup in strings: text is only ever text.

type Child = globalThis.Node | string | null | undefined | false;
type Attributes = Record<string, string | number | boolean | undefined | ((event: never) => void)>;

function fill<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value as EventListener);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child): child is globalThis.Node | string => !!child || child === ""));
  return element;
}

/** An HTML element; a function among the attributes is a listener for the event of that name. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** What may be wider than its place: it scrolls by itself, by keys as well. */
export function scroller(label: string, ...children: Child[]): HTMLElement {
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, ...children);
}

const ICONS = {
  first: "M3 3v10M13 3L6 8l7 5z",
  back: "M11 3L4 8l7 5z",
  play: "M4 2.5L13 8l-9 5.5z",
  pause: "M5 3v10M11 3v10",
  forward: "M5 3l7 5-7 5z",
  last: "M13 3v10M3 3l7 5-7 5z",
  leave: "M4 4l8 8M12 4l-8 8",
  fit: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  more: "M8 3v10M3 8h10",
  less: "M3 8h10",
};

export type Icon = keyof typeof ICONS;

/** A button that shows an icon and has its name for those who hear it. */
export function tool(name: string, icon: Icon, act: () => void): HTMLButtonElement {
  const button = h("button", { type: "button", class: "tool", click: act });
  face(button, name, icon);
  return button;
}

export function face(button: HTMLElement, name: string, icon: Icon): void {
  button.setAttribute("aria-label", name);
  button.title = name;
  button.replaceChildren(s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[icon] })));
}

const MATH = "http://www.w3.org/1998/Math/MathML";
const MATH_ATTRIBUTES = new Set(["mathvariant", "stretchy", "form", "width", "class"]);

/** A formula: the MathML of the document, copied element by element, so that nothing else can come in with it. */
export function math(markup: string): Element {
  const parsed = new DOMParser().parseFromString(markup.replace("<math", `<math xmlns="${MATH}"`), "application/xml");
  return copied(parsed.documentElement);
}

function copied(from: Element): Element {
  if (from.namespaceURI !== MATH) return h("code", {}, from.textContent ?? "");
  const to = document.createElementNS(MATH, from.localName);
  for (const { name, value } of from.attributes) if (MATH_ATTRIBUTES.has(name)) to.setAttribute(name, value);
  for (const child of from.childNodes) {
    if (child instanceof Element) to.append(copied(child));
    else if (child.nodeType === globalThis.Node.TEXT_NODE) to.append(child.textContent ?? "");
  }
  return to;
}

export function clear(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((c): c is globalThis.Node | string => !!c));
}
