// Layered drawing of an acyclic graph, with room for the labels of edges, fast enough for ten thousand boxes.
//
// After Sugiyama, Tagawa & Toda, "Methods for visual understanding of hierarchical system structures" (1981): layers,
// an order in each layer with few crossings, coordinates. Coordinates are found by least squares: each box wants to be
// where its neighbours are, boxes of a layer keep their order and distance, and the pool-adjacent-violators algorithm
// (Ayer et al., "An empirical distribution function for sampling with incomplete information", 1955) solves that exactly.
//
// A drawing grows along u, from operands to results; v is the coordinate along a layer.

export interface Size {
  width: number;
  height: number;
}

export interface Link {
  source: number;
  target: number;
  label?: Size;
}

export interface Point {
  x: number;
  y: number;
}

export interface Drawing {
  width: number;
  height: number;
  /** The centre of each box. */
  centers: Point[];
  /** Each link as cubic Bézier curves: a start, then three points for every curve. */
  paths: Point[][];
  labels: (Point | null)[];
}

export interface Options {
  direction: "right" | "down";
  /** Where boxes were before (along v), so that a new drawing looks like the old one. */
  before?: (number | undefined)[];
}

const LAYER_GAP = 26;
const NODE_GAP = 22;
const LINK_GAP = 10;
const MAX_VIRTUAL = 40_000;
const MAX_SPAN = 80; // a link over more layers is drawn straight: its virtual boxes would fill the drawing

interface Cell {
  layer: number;
  thick: number; // along u
  long: number; // along v
  real: boolean;
  v: number;
}

/** Boxes are numbered so that links go from lower to higher numbers. */
export function layout(sizes: Size[], links: Link[], options: Options): Drawing {
  const down = options.direction === "down";
  const labelled = links.some((link) => link.label);
  const step = labelled ? 2 : 1;
  const rank = ranks(sizes.length, links);
  const cells: Cell[] = sizes.map((size, k) => ({
    layer: rank[k] * step,
    thick: down ? size.height : size.width,
    long: down ? size.width : size.height,
    real: true,
    v: options.before?.[k] ?? NaN,
  }));

  // Each link is a chain of cells; segments join neighbours of adjacent layers.
  const chains: number[][] = [];
  let virtual = 0;
  for (const link of links) {
    const chain = [link.source];
    const from = cells[link.source].layer;
    const to = cells[link.target].layer;
    const split = to - from <= MAX_SPAN * step && virtual + to - from <= MAX_VIRTUAL;
    for (let layer = split ? from + 1 : to - 1; layer < to && (split || link.label); layer++) {
      const label = layer === to - 1 ? link.label : undefined;
      const thick = label ? (down ? label.height : label.width) : 0;
      const long = label ? (down ? label.width : label.height) : 0;
      chain.push(cells.length);
      cells.push({ layer, thick, long, real: false, v: NaN });
      virtual++;
    }
    chain.push(link.target);
    chains.push(chain);
  }
  const count = cells.reduce((most, cell) => Math.max(most, cell.layer + 1), 0);
  const up: number[][] = cells.map(() => []);
  const below: number[][] = cells.map(() => []);
  for (const chain of chains) {
    for (let k = 1; k < chain.length; k++) {
      if (cells[chain[k]].layer - cells[chain[k - 1]].layer > 1) continue; // drawn straight
      below[chain[k - 1]].push(chain[k]);
      up[chain[k]].push(chain[k - 1]);
    }
  }
  const layers: number[][] = Array.from({ length: count }, () => []);
  cells.forEach((cell, k) => layers[cell.layer].push(k));
  order(layers, cells, up, below);
  place(layers, cells, up, below);

  // u: each layer as thick as its thickest cell.
  const starts: number[] = [];
  const thicks = layers.map((layer) => layer.reduce((most, k) => Math.max(most, cells[k].thick), 0));
  // Links that go far along their layers need room between them, lest they lie on each other.
  const far = new Array<number>(count).fill(0);
  below.forEach((next, k) => {
    for (const i of next) far[cells[k].layer] = Math.max(far[cells[k].layer], Math.abs(cells[i].v - cells[k].v));
  });
  let u = 0;
  thicks.forEach((thick, k) => {
    starts.push(u);
    const gap = (labelled ? LAYER_GAP * 0.7 : LAYER_GAP * 1.6) + Math.min(70, Math.max(0, far[k] - 150) / 9);
    u += thick + (k < count - 1 ? gap : 0);
  });
  let low = Infinity;
  let high = -Infinity;
  for (const cell of cells) {
    low = Math.min(low, cell.v - cell.long / 2);
    high = Math.max(high, cell.v + cell.long / 2);
  }
  if (!cells.length) low = high = 0;
  const middle = (k: number): number => starts[cells[k].layer] + thicks[cells[k].layer] / 2;
  const at = (u: number, v: number): Point => (down ? { x: v - low, y: u } : { x: u, y: v - low });
  const ports = portsOf(cells, chains);
  return {
    width: down ? high - low : u,
    height: down ? u : high - low,
    centers: sizes.map((_, k) => at(middle(k), cells[k].v)),
    paths: chains.map((chain, k) => route(chain, cells, middle, thicks, starts, ports[k], at)),
    labels: links.map((link, k) => {
      const chain = chains[k];
      const cell = chain[chain.length - 2];
      return link.label && !cells[cell].real ? at(middle(cell), cells[cell].v) : null;
    }),
  };
}

/** Layers: after all operands; sources, and what is used more than it uses, as near to their uses as can be. */
function ranks(count: number, links: Link[]): number[] {
  const rank = new Array<number>(count).fill(0);
  const ins = new Array<number>(count).fill(0);
  const outs = new Array<number>(count).fill(0);
  const sorted = [...links].sort((a, b) => a.source - b.source);
  for (const { source, target } of sorted) {
    rank[target] = Math.max(rank[target], rank[source] + 1);
    outs[source]++;
    ins[target]++;
  }
  const nearest = new Array<number>(count).fill(Infinity);
  for (let k = sorted.length - 1, node = count - 1; node >= 0; node--) {
    for (; k >= 0 && sorted[k].source === node; k--) nearest[node] = Math.min(nearest[node], rank[sorted[k].target]);
    if (outs[node] > ins[node] && nearest[node] < Infinity) rank[node] = Math.max(rank[node], nearest[node] - 1);
  }
  return rank;
}

/** Orders layers by the means of neighbours' positions, swept both ways; the order with the fewest crossings stays. */
function order(layers: number[][], cells: Cell[], up: number[][], below: number[][]): void {
  const position = new Float64Array(cells.length);
  const known = cells.some((cell) => !Number.isNaN(cell.v));
  if (known) {
    // Virtual cells and new boxes go where their neighbours were.
    for (const layer of layers) {
      for (const k of layer) {
        if (Number.isNaN(cells[k].v)) cells[k].v = mean(up[k], (i) => cells[i].v) ?? 0;
      }
      layer.sort((a, b) => cells[a].v - cells[b].v || a - b);
    }
  }
  const number = (): void => layers.forEach((layer) => layer.forEach((k, i) => (position[k] = i - layer.length / 2)));
  number();
  const size = cells.length;
  const sweeps = known ? 2 : size < 2_000 ? 12 : size < 15_000 ? 6 : 3;
  let best = layers.map((layer) => [...layer]);
  let fewest = size < 15_000 ? crossings(layers, below, position) : Infinity;
  for (let sweep = 0; sweep < sweeps && fewest > 0; sweep++) {
    const forward = sweep % 2 === 0;
    for (let n = 0; n < layers.length; n++) {
      const layer = layers[forward ? n : layers.length - 1 - n];
      if (layer.length < 2) continue;
      const near = forward ? up : below;
      const wish = new Map(layer.map((k) => [k, mean(near[k], (i) => position[i]) ?? position[k]]));
      layer.sort((a, b) => wish.get(a)! - wish.get(b)! || position[a] - position[b]);
      layer.forEach((k, i) => (position[k] = i - layer.length / 2));
    }
    const found = size < 15_000 ? crossings(layers, below, position) : 0;
    if (found < fewest) {
      fewest = found;
      best = layers.map((layer) => [...layer]);
    }
  }
  best.forEach((layer, k) => (layers[k] = layer));
}

function mean(items: number[], value: (item: number) => number): number | undefined {
  if (!items.length) return undefined;
  let sum = 0;
  for (const item of items) sum += value(item);
  return sum / items.length;
}

/** Crossings of segments between adjacent layers, counted with a Fenwick tree. */
function crossings(layers: number[][], below: number[][], position: Float64Array): number {
  let total = 0;
  for (let n = 0; n + 1 < layers.length; n++) {
    const next = layers[n + 1];
    const shift = next.length / 2;
    const tree = new Int32Array(next.length + 1);
    let seen = 0;
    for (const k of layers[n]) {
      const ends = below[k].map((i) => Math.round(position[i] + shift));
      for (const end of ends) {
        let before = 0;
        for (let i = end + 1; i > 0; i -= i & -i) before += tree[i];
        total += seen - before;
      }
      for (const end of ends) for (let i = end + 1; i <= next.length; i += i & -i) tree[i]++;
      seen += ends.length;
    }
  }
  return total;
}

/** Coordinates along the layers. */
function place(layers: number[][], cells: Cell[], up: number[][], below: number[][]): void {
  for (const layer of layers) {
    let at = 0;
    layer.forEach((k, i) => {
      if (i) at += apart(cells[layer[i - 1]], cells[k]);
      cells[k].v = at;
    });
    const half = at / 2;
    for (const k of layer) cells[k].v -= half;
  }
  const rounds = cells.length < 600 ? 80 : cells.length < 3_000 ? 24 : cells.length < 20_000 ? 10 : 4;
  for (let round = 0; round < rounds; round++) {
    const forward = round % 2 === 0;
    const last = round >= rounds / 2;
    for (let n = 0; n < layers.length; n++) {
      const layer = layers[forward ? n : layers.length - 1 - n];
      const wishes = layer.map((k) => {
        const near = last ? [...up[k], ...below[k]] : forward ? up[k] : below[k];
        let sum = 0;
        let weight = 0;
        for (const i of near) {
          // Long links shall be straight: virtual cells pull each other strongest.
          const w = cells[i].real && cells[k].real ? 1 : cells[i].real || cells[k].real ? 2 : 8;
          sum += w * cells[i].v;
          weight += w;
        }
        return weight ? { v: sum / weight, weight } : { v: cells[k].v, weight: 0.01 };
      });
      spread(layer, cells, wishes);
    }
  }
}

function apart(a: Cell, b: Cell): number {
  return (a.long + b.long) / 2 + (a.real && b.real ? NODE_GAP : LINK_GAP);
}

/** The least squares positions of a layer's cells near their wishes, in order and apart: pools of cells that touch. */
function spread(layer: number[], cells: Cell[], wishes: { v: number; weight: number }[]): void {
  const offsets = [0];
  for (let i = 1; i < layer.length; i++) offsets.push(offsets[i - 1] + apart(cells[layer[i - 1]], cells[layer[i]]));
  const pools: { sum: number; weight: number; count: number }[] = [];
  layer.forEach((_, i) => {
    let pool = { sum: (wishes[i].v - offsets[i]) * wishes[i].weight, weight: wishes[i].weight, count: 1 };
    while (pools.length) {
      const before = pools[pools.length - 1];
      if (before.sum / before.weight < pool.sum / pool.weight) break;
      pools.pop();
      pool = { sum: pool.sum + before.sum, weight: pool.weight + before.weight, count: pool.count + before.count };
    }
    pools.push(pool);
  });
  let i = 0;
  for (const pool of pools) {
    const base = pool.sum / pool.weight;
    for (let n = 0; n < pool.count; n++, i++) cells[layer[i]].v = base + offsets[i];
  }
}

/** Where links meet their boxes: spread over the side in the order of what they lead to. */
function portsOf(cells: Cell[], chains: number[][]): [number, number][] {
  const ports: [number, number][] = chains.map(() => [0, 0]);
  const sides: Map<number, number[]>[] = [new Map(), new Map()];
  chains.forEach((chain, k) => {
    [chain[0], chain[chain.length - 1]].forEach((cell, end) => {
      const found = sides[end].get(cell);
      if (found) found.push(k);
      else sides[end].set(cell, [k]);
    });
  });
  sides.forEach((side, end) => {
    const next = (k: number): number => cells[chains[k][end ? chains[k].length - 2 : 1]].v;
    for (const [cell, found] of side) {
      if (found.length < 2) continue;
      found.sort((a, b) => next(a) - next(b));
      const room = Math.min(cells[cell].long * 0.6, 14 * (found.length - 1));
      found.forEach((k, i) => (ports[k][end] = (i / (found.length - 1) - 0.5) * room));
    }
  });
  return ports;
}

function route(
  chain: number[],
  cells: Cell[],
  middle: (k: number) => number,
  thicks: number[],
  starts: number[],
  port: [number, number],
  at: (u: number, v: number) => Point,
): Point[] {
  const first = chain[0];
  const last = chain[chain.length - 1];
  let u = middle(first) + cells[first].thick / 2;
  let v = cells[first].v + port[0];
  const points = [at(u, v)];
  const to = (nextU: number, nextV: number): void => {
    const bend = (nextU - u) / 2;
    points.push(at(u + bend, v), at(nextU - bend, nextV), at(nextU, nextV));
    u = nextU;
    v = nextV;
  };
  for (const k of chain.slice(1, -1)) {
    const layer = cells[k].layer;
    to(starts[layer], cells[k].v);
    if (thicks[layer] > 0) to(starts[layer] + thicks[layer], cells[k].v);
  }
  to(middle(last) - cells[last].thick / 2, cells[last].v + port[1]);
  return points;
}
