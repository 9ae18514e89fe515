/**
 * The path with the least sum of weights, which are none of them negative: Dijkstra's algorithm from both ends (I. Pohl,
 * "Bi-directional search", 1971). It ends when the two least distances that are not settled come to no less than the best path
 * that was found. Edges are read ahead for nodes that stand to be settled soon.
 */
import type { Direction } from "./graph-query.ts";
import { type Edges, type FoundPath, joined, opposite, type WalkBounds } from "./walk.ts";

interface Reach {
  readonly node: string;
  readonly distance: number;
}

interface End {
  readonly direction: Direction;
  readonly distances: Map<string, number>;
  readonly before: Map<string, string | null>;
  readonly settled: Set<string>;
  readonly waiting: Heap;
  /** Edges of nodes that are not settled. */
  readonly read: Map<string, { readonly next: string; readonly weight: number }[]>;
  ahead: number;
}

const aheadMax = 512;

export async function cheapestPath(
  edges: Edges,
  from: string,
  to: string,
  direction: Direction,
  { nodesMax, edgesMax }: Pick<WalkBounds, "nodesMax" | "edgesMax">,
): Promise<FoundPath> {
  if (from === to) return { nodes: [from], truncated: false };
  const ends: readonly [End, End] = [endAt(from, direction), endAt(to, opposite(direction))];
  let best: { readonly middle: string; readonly cost: number } | null = null;
  let edgesRead = 0;
  for (;;) {
    const nearest = [nearestOf(ends[0]), nearestOf(ends[1])] as const;
    const [first, second] = nearest;
    if (!first || !second || first.distance + second.distance >= (best?.cost ?? Number.POSITIVE_INFINITY)) {
      return { nodes: best === null ? null : joined(ends, best.middle), truncated: false };
    }
    const [end, other, { node, distance }] =
      first.distance <= second.distance ? [ends[0], ends[1], first] : [ends[1], ends[0], second];
    if (!end.read.has(node)) {
      edgesRead += await readAhead(edges, end, node, edgesMax - edgesRead);
      if (edgesRead > edgesMax) return { nodes: null, truncated: true };
    }
    end.waiting.take();
    end.settled.add(node);
    for (const { next, weight } of end.read.get(node) ?? []) {
      const through = distance + weight;
      if (through >= (end.distances.get(next) ?? Number.POSITIVE_INFINITY)) continue;
      end.distances.set(next, through);
      end.before.set(next, node);
      end.waiting.add({ node: next, distance: through });
      const cost = through + (other.distances.get(next) ?? Number.POSITIVE_INFINITY);
      if (cost < (best?.cost ?? Number.POSITIVE_INFINITY)) best = { middle: next, cost };
    }
    end.read.delete(node);
    if (ends[0].distances.size + ends[1].distances.size > nodesMax) return { nodes: null, truncated: true };
  }
}

function endAt(node: string, direction: Direction): End {
  const waiting = new Heap();
  waiting.add({ node, distance: 0 });
  return {
    direction,
    distances: new Map([[node, 0]]),
    before: new Map([[node, null]]),
    settled: new Set(),
    waiting,
    read: new Map(),
    ahead: 8,
  };
}

/** What is to be settled next; what a shorter way has made out of date goes. */
function nearestOf({ waiting, settled }: End): Reach | undefined {
  for (let top = waiting.top(); top !== undefined; top = waiting.top()) {
    if (!settled.has(top.node)) return top;
    waiting.take();
  }
  return undefined;
}

/** Reads the edges of the node, and of others that are near: how many there were. */
async function readAhead(edges: Edges, end: End, node: string, edgesMax: number): Promise<number> {
  const wanted = new Set([node]);
  for (const { node: near } of end.waiting.first(end.ahead)) {
    if (!end.settled.has(near) && !end.read.has(near)) wanted.add(near);
  }
  end.ahead = Math.min(aheadMax, end.ahead * 2);
  for (const one of wanted) end.read.set(one, []);
  let count = 0;
  for await (const steps of edges.of([...wanted], end.direction)) {
    count += steps.length;
    if (count > edgesMax) break;
    for (const { node: at, next, weight = 0 } of steps) end.read.get(at)?.push({ next, weight });
  }
  return count;
}

/** A binary heap, the least distance on top. */
class Heap {
  readonly #items: Reach[] = [];

  top(): Reach | undefined {
    return this.#items[0];
  }

  /** Of the nearest ones, about. */
  first(count: number): readonly Reach[] {
    return this.#items.slice(0, count);
  }

  add(item: Reach): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = items[parent] as Reach;
      if (above.distance <= item.distance) break;
      items[at] = above;
      at = parent;
    }
    items[at] = item;
  }

  take(): void {
    const items = this.#items;
    const last = items.pop();
    if (last === undefined || items.length === 0) return;
    let at = 0;
    for (let child = 1; child < items.length; child = 2 * at + 1) {
      const right = items[child + 1];
      if (right !== undefined && right.distance < (items[child] as Reach).distance) child++;
      const least = items[child] as Reach;
      if (least.distance >= last.distance) break;
      items[at] = least;
      at = child;
    }
    items[at] = last;
  }
}
