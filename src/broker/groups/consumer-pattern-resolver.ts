/**
 * Finds the topics that patterns match. It runs in short pieces, one call after the other, so that no expression and no number
 * of topics keeps the process from its other work; an expression that takes too long in all is refused.
 */
import { nextTurn } from "../../base/turn.ts";
import { TopicPattern } from "./consumer-pattern-program.ts";

/** Of a pattern's program, before others have a turn. */
const stepsPerTurn = 100_000;

export const defaultPatternStepsMax = 50_000_000;

export interface PatternResolverOptions {
  /** Names of all topics that can be subscribed to. */
  readonly topicNames: () => readonly string[];
  /** Of one pattern over all topics. */
  readonly stepsMax?: number;
}

export type ResolvedPattern = readonly string[] | { readonly fault: string };

export class PatternResolver {
  readonly #options: PatternResolverOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: PatternResolverOptions) {
    this.#options = options;
  }

  /**
   * For each pattern the names, sorted, that match it whole and that may be seen. `patterns` is asked when it is this
   * call's turn.
   */
  resolve(
    patterns: () => readonly string[],
    maySee: (name: string) => boolean,
  ): Promise<ReadonlyMap<string, ResolvedPattern>> {
    const resolved = this.#last.then(async () => {
      const found = new Map<string, ResolvedPattern>();
      for (const pattern of patterns()) found.set(pattern, await this.#namesOf(pattern, maySee));
      return found;
    });
    this.#last = resolved.catch(() => {});
    return resolved;
  }

  async #namesOf(source: string, maySee: (name: string) => boolean): Promise<ResolvedPattern> {
    const pattern = TopicPattern.compile(source);
    if ("fault" in pattern) return pattern;
    const { topicNames, stepsMax = defaultPatternStepsMax } = this.#options;
    const found: string[] = [];
    let turnSteps = 0;
    for (const name of topicNames()) {
      if (pattern.steps - turnSteps > stepsPerTurn) {
        turnSteps = pattern.steps;
        if (turnSteps > stepsMax) return { fault: "it takes too long to match" };
        await nextTurn();
      }
      if (pattern.matches(name) && maySee(name)) found.push(name);
    }
    return found.sort();
  }
}
