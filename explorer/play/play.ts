/**
 * The page of `hopgrad play`: a form, and a frame with the explanation. What is typed is explained after a pause, and so
 * is everything once more when a file has changed. What is asked stands in the address, so that reloading keeps it.
 */

interface Asked {
  readonly target: string;
  readonly at: Readonly<Record<string, string>>;
  readonly wrt: readonly string[];
  readonly order: number;
}

interface Answer {
  readonly page?: string;
  readonly error?: string;
  readonly printed?: string;
  readonly at?: Readonly<Record<string, string>>;
  readonly state?: string;
}

/** How long after the last key something is explained, and how often files are looked at; in milliseconds. */
const PAUSE = 400;
const LOOK = 700;

function find<T extends Element>(selector: string): T {
  return document.querySelector<T>(selector)!;
}

const form = find<HTMLFormElement>("form");
const [target, at, wrt, order] = ["target", "at", "wrt", "order"].map(
  (name) => form.elements.namedItem(name) as HTMLInputElement,
);
const status = find<HTMLElement>(".status");
const problem = find<HTMLElement>(".error");
const frame = find<HTMLIFrameElement>("iframe");
const token = new URLSearchParams(location.search).get("token") ?? "";

let state: string | undefined;
let shown: string | undefined;
let round = 0;

/** Name=value pairs: values may be lists or objects with blanks inside, so they end where the next name begins. */
function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const part of text.trim().split(/[\s,;]+(?=[^\s=,;[\]{}()]+\s*=)/)) {
    if (part === "") continue;
    const [name, ...value] = part.split("=");
    found[name.trim()] = value.join("=").trim();
  }
  return found;
}

function written(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}

function asked(): Asked {
  const names = wrt.value.split(/[\s,]+/).filter((name) => name !== "");
  return { target: target.value, at: pairs(at.value), wrt: names, order: Number(order.value) };
}

async function request(path: string, body?: Asked): Promise<Answer> {
  const found = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "X-Hopgrad-Token": token, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (await found.json()) as Answer;
}

/** Whether the file's function can be meant already: half a name need not be run. */
function isFile(text: string): boolean {
  return /\.py(:|$)/.test(text.trim());
}

async function explain(): Promise<void> {
  const mine = ++round;
  const question = asked();
  if (question.target.trim() === "") return;
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(question))}`);
  status.textContent = "computing …";
  let answer: Answer;
  try {
    answer = await request("explain", question);
  } catch {
    answer = { error: "the server does not answer: is hopgrad play still running?" };
  }
  if (mine !== round) return; // something else was asked in the meantime
  state = answer.state ?? state;
  if (answer.at !== undefined && document.activeElement !== at) at.value = written(answer.at);
  problem.hidden = answer.error === undefined;
  problem.textContent = answer.error ?? "";
  status.textContent = answer.error !== undefined ? "" : (answer.printed?.trim() ?? "");
  if (answer.page !== undefined) {
    shown = answer.page;
    frame.src = `page/${shown}`;
    frame.hidden = false;
  } else {
    // What was explained before no longer answers the question.
    frame.hidden = true;
  }
}

let timer: number | undefined;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  void explain();
});

form.addEventListener("input", () => {
  clearTimeout(timer);
  if (!isFile(target.value)) timer = window.setTimeout(() => void explain(), PAUSE);
});

async function look(): Promise<void> {
  if (state !== undefined && !document.hidden) {
    try {
      const answer = await request("changed");
      if (answer.state !== undefined && answer.state !== state) {
        state = answer.state;
        await explain();
      }
    } catch {
      // The server has ended; the next question says so.
    }
  }
  window.setTimeout(() => void look(), LOOK);
}

function begin(): void {
  let first = JSON.parse(find<HTMLElement>("#first").textContent ?? "{}") as Partial<Asked>;
  try {
    if (location.hash.length > 1) first = JSON.parse(decodeURIComponent(location.hash.slice(1))) as Partial<Asked>;
  } catch {
    // An address that was changed by hand: begin as if without.
  }
  target.value = first.target ?? "";
  at.value = written(first.at ?? {});
  wrt.value = (first.wrt ?? []).join(" ");
  order.value = String(first.order ?? 1);
  void explain();
  void look();
}

begin();

export {};
