/** Settings of a read's transaction: the thresholds at which pg_trgm's operators, which its indexes serve, hold. */
import type { FindFilter } from "./find-query.ts";

export class FindSettings {
  readonly #thresholds = new Map<boolean, number[]>();

  /** Before any term is printed: all that the statement has. */
  expect(terms: readonly FindFilter[]): void {
    for (const term of terms) {
      if (term.kind !== "similar") continue;
      this.#thresholds.set(term.part, [...(this.#thresholds.get(term.part) ?? []), term.threshold]);
    }
  }

  /** True when the operator holds for this threshold and no lower one, so that nothing else is to be compared. */
  isOnly({ part, threshold }: Extract<FindFilter, { kind: "similar" }>): boolean {
    return (this.#thresholds.get(part) ?? []).every((one) => one === threshold);
  }

  /** Names and values, for `set_config(…, true)`. */
  get values(): [string, string][] {
    return [...this.#thresholds].map(([part, all]) => {
      // A similarity is a real: what is just at a threshold, rounded to a real, must not fall below it.
      const least = Math.min(...all.map((one) => Math.min(one, Math.fround(one))));
      return [`pg_trgm.${part ? "word_" : ""}similarity_threshold`, String(least)];
    });
  }
}
