/**
 * Walks over a graph whose edges are read as they are needed: what can be reached, and a path of the fewest edges. Breadth
 * first; a path is looked for from both ends, always on from the end that has fewer nodes to go on from.
 *
 * Always true: no more nodes and edges are held than the bounds say, and a walk that a bound has ended says so.
 */
import type { Direction } from "./graph-query.ts";

/** An edge as a walk takes it: from a node that was asked for to the next one. */
export interface Step {
  readonly node: string;
  readonly next: string;
  /** Absent where nobody asked for weights. */
  readonly weight?: number;
}

export interface Edges {
  /** Those that lead on from the nodes, by pages. */
  of(nodes: readonly string[], direction: Direction): AsyncIterable<readonly Step[]>;
}

export interface WalkBounds {
  readonly nodesMax: number;
  readonly edgesMax: number;
  /** Whether the caller asked for no more hops: then their end is none of the walk's. */
  readonly hops: { readonly max: number; readonly asked: boolean };
}

export interface Reached {
  readonly items: readonly { readonly node: string; readonly hops: number }[];
  readonly truncated: boolean;
}

/** A path's nodes, or null: there is none, or a bound has ended the walk. */
export interface FoundPath {
  readonly nodes: readonly string[] | null;
  readonly truncated: boolean;
}

export async function reach(
  edges: Edges,
  start: string,
  direction: Direction,
  { nodesMax, edgesMax, hops }: WalkBounds,
): Promise<Reached> {
  const items: { node: string; hops: number }[] = [];
  const met = new Set([start]);
  let level: readonly string[] = [start];
  let edgesRead = 0;
  for (let far = 1; level.length > 0; far++) {
    if (far > hops.max) return { items, truncated: !hops.asked };
    const next: string[] = [];
    for await (const steps of edges.of(level, direction)) {
      for (const { next: node } of steps) {
        if (met.has(node)) continue;
        if (items.length === nodesMax) return { items, truncated: true };
        met.add(node);
        next.push(node);
        items.push({ node, hops: far });
      }
      edgesRead += steps.length;
      if (edgesRead > edgesMax) return { items, truncated: true };
    }
    level = next;
  }
  return { items, truncated: false };
}

interface End {
  readonly direction: Direction;
  /** Each node that was met, with the one before it on the way from this end. */
  readonly before: Map<string, string | null>;
  level: readonly string[];
}

/** One of the paths with the fewest edges. */
export async function shortestPath(
  edges: Edges,
  from: string,
  to: string,
  direction: Direction,
  { nodesMax, edgesMax, hops }: WalkBounds,
): Promise<FoundPath> {
  if (from === to) return { nodes: [from], truncated: false };
  const ends: readonly [End, End] = [
    { direction, before: new Map([[from, null]]), level: [from] },
    { direction: opposite(direction), before: new Map([[to, null]]), level: [to] },
  ];
  let edgesRead = 0;
  for (let length = 1; ends.every(({ level }) => level.length > 0); length++) {
    if (length > hops.max) return { nodes: null, truncated: !hops.asked };
    const [end, other] = isSmaller(ends[0], ends[1]) ? ends : [ends[1], ends[0]];
    const next: string[] = [];
    for await (const steps of edges.of(end.level, end.direction)) {
      for (const step of steps) {
        if (end.before.has(step.next)) continue;
        end.before.set(step.next, step.node);
        // The first node that both have met: every shorter path would have been found by a step before.
        if (other.before.has(step.next)) return { nodes: joined(ends, step.next), truncated: false };
        if (ends[0].before.size + ends[1].before.size > nodesMax) return { nodes: null, truncated: true };
        next.push(step.next);
      }
      edgesRead += steps.length;
      if (edgesRead > edgesMax) return { nodes: null, truncated: true };
    }
    end.level = next;
  }
  return { nodes: null, truncated: false };
}

/** Among equal ones the end that has met fewer nodes, so that they take turns. */
function isSmaller(a: End, b: End): boolean {
  return a.level.length < b.level.length || (a.level.length === b.level.length && a.before.size <= b.before.size);
}

/** From the first end to the second through a node that both have met. */
export function joined(
  [first, second]: readonly { readonly before: ReadonlyMap<string, string | null> }[],
  middle: string,
): string[] {
  return [...back(first?.before, middle).reverse(), ...back(second?.before, middle).slice(1)];
}

function back(before: ReadonlyMap<string, string | null> | undefined, node: string): string[] {
  const nodes: string[] = [];
  for (let at: string | null = node; at !== null; at = before?.get(at) ?? null) nodes.push(at);
  return nodes;
}

export function opposite(direction: Direction): Direction {
  return direction === "both" ? "both" : direction === "out" ? "in" : "out";
}
