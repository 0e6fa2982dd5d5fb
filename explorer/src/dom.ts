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
