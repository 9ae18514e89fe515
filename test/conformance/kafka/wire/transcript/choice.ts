/** Choices of a generator, from a seed. */
import type { Random } from "../../../../../src/base/random.ts";

export class Choice {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** One of them. */
  of<T>(values: readonly [T, ...T[]]): T {
    return values[this.#random.below(values.length)] as T;
  }

  /** One of them, or nothing where there is none. */
  maybe<T>(values: readonly T[]): T | undefined {
    return values[this.#random.below(values.length)];
  }

  /** From one to `most` of them; one may come more than once. */
  some<T>(values: readonly [T, ...T[]], most: number): T[] {
    return Array.from({ length: 1 + this.#random.below(most) }, () => this.of(values));
  }

  chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  below(limit: number): number {
    return this.#random.below(limit);
  }

  /** The usual one mostly, else one of the others. */
  usually<T>(usual: T, others: readonly [T, ...T[]], probability = 0.8): T {
    return this.chance(probability) ? usual : this.of(others);
  }
}
