/** A graph in memory for tests: random ones with all that makes walks go wrong, and the plainest answers to every question. */
import type { Random } from "../../base/random.ts";
import type { Direction } from "./graph-query.ts";
import { type Edges, opposite, type Step } from "./walk.ts";

export interface ModelEdge {
  readonly from: string | null;
  readonly to: string | null;
  readonly weight: number | null;
}

/** With cycles, edges to themselves, several between the same nodes, and ends that are null. */
export function randomEdges(random: Random, nodes: number, edges: number): ModelEdge[] {
  const end = () => (random.below(20) === 0 ? null : String(1 + random.below(nodes)));
  return Array.from({ length: edges }, () => ({
    from: end(),
    to: end(),
    weight: random.below(15) === 0 ? null : random.below(6) === 0 ? 0 : random.below(20) / 2,
  }));
}

export class ModelGraph implements Edges {
  readonly #steps: Readonly<Record<"out" | "in", ReadonlyMap<string, readonly Required<Step>[]>>>;
  readonly #portion: number;
  portions = 0;

  /** With `weighted` only edges that have a weight. */
  constructor(edges: readonly ModelEdge[], { weighted = false, portion = 3 } = {}) {
    const steps = { out: new Map<string, Required<Step>[]>(), in: new Map<string, Required<Step>[]>() };
    for (const { from, to, weight } of edges) {
      if (from === null || to === null || (weighted && weight === null)) continue;
      steps.out.set(from, [...(steps.out.get(from) ?? []), { node: from, next: to, weight: weight ?? 0 }]);
      steps.in.set(to, [...(steps.in.get(to) ?? []), { node: to, next: from, weight: weight ?? 0 }]);
    }
    this.#steps = steps;
    this.#portion = portion;
  }

  async *of(nodes: readonly string[], direction: Direction): AsyncGenerator<readonly Step[], void> {
    const all = nodes.flatMap((node) => this.stepsFrom(node, direction));
    for (let at = 0; at < all.length; at += this.#portion) {
      this.portions++;
      yield all.slice(at, at + this.#portion);
    }
  }

  stepsFrom(node: string, direction: Direction): Required<Step>[] {
    const sides = direction === "both" ? (["out", "in"] as const) : [direction];
    return sides.flatMap((side) => this.#steps[side].get(node) ?? []);
  }

  /** Bellman and Ford's way: the least sums of `cost`, by node. */
  distances(start: string, direction: Direction, cost: (step: Required<Step>) => number): Map<string, number> {
    const least = new Map([[start, 0]]);
    for (let changed = true; changed; ) {
      changed = false;
      for (const [node, distance] of [...least]) {
        for (const step of this.stepsFrom(node, direction)) {
          const through = distance + cost(step);
          if (through >= (least.get(step.next) ?? Number.POSITIVE_INFINITY)) continue;
          least.set(step.next, through);
          changed = true;
        }
      }
    }
    return least;
  }

  /** What a path of these nodes costs at least; undefined when an edge of it is not there. */
  costOf(nodes: readonly string[], direction: Direction, cost: (step: Required<Step>) => number): number | undefined {
    let sum = 0;
    for (let i = 1; i < nodes.length; i++) {
      const between = this.stepsFrom(nodes[i - 1] ?? "", direction).filter(({ next }) => next === nodes[i]);
      if (between.length === 0) return undefined;
      const back = this.stepsFrom(nodes[i] ?? "", opposite(direction)).some(({ next }) => next === nodes[i - 1]);
      if (!back) return undefined;
      sum += Math.min(...between.map(cost));
    }
    return sum;
  }
}

export const directions: readonly Direction[] = ["out", "in", "both"];
