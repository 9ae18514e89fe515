/**
 * Comparing two recursive schemas part by part. Each pair of parts is compared once. A pair that comes back to itself
 * is taken to be fine, which may turn out wrong after others have built on it: so the whole comparison is run again,
 * with what was found bad known from the start, until nothing further turns bad. Where a bad pair comes back to
 * itself it is said so by `seenAgain` alone, and not all over again.
 */

/** The kind of what stands for a bad pair inside itself; left out of what is told. */
export const seenAgain = "SEEN_AGAIN";

export class PairMemo<Part extends object, Result> {
  readonly #isBad: (result: Result) => boolean;
  readonly #fine: Result;
  readonly #again: Result;
  #known = new Map<Part, Map<Part, Result>>();
  #bad = new Map<Part, Set<Part>>();
  readonly #open = new Map<Part, Set<Part>>();
  #badCount = 0;
  #assumed = false;

  /** `fine` and `again` are the results of a pair inside itself, before and after it was found bad. */
  constructor(fine: Result, again: Result, isBad: (result: Result) => boolean) {
    this.#fine = fine;
    this.#again = again;
    this.#isBad = isBad;
  }

  /** `compare` goes through `visit` for every pair. */
  settle(compare: () => Result): Result {
    for (;;) {
      this.#known = new Map();
      this.#assumed = false;
      const before = this.#badCount;
      const result = compare();
      if (!this.#assumed || this.#badCount === before) return result;
    }
  }

  visit(a: Part, b: Part, compare: () => Result): Result {
    const before = this.#known.get(a)?.get(b);
    if (before !== undefined) return before;
    const open = this.#open.get(a);
    if (open?.has(b)) {
      if (this.#bad.get(a)?.has(b)) return this.#again;
      this.#assumed = true;
      return this.#fine;
    }
    if (open === undefined) this.#open.set(a, new Set([b]));
    else open.add(b);
    try {
      const result = compare();
      const known = this.#known.get(a);
      if (known === undefined) this.#known.set(a, new Map([[b, result]]));
      else known.set(b, result);
      if (this.#isBad(result)) this.#markBad(a, b);
      return result;
    } finally {
      this.#open.get(a)?.delete(b);
    }
  }

  #markBad(a: Part, b: Part): void {
    const bad = this.#bad.get(a);
    if (bad?.has(b)) return;
    this.#badCount++;
    if (bad === undefined) this.#bad.set(a, new Set([b]));
    else bad.add(b);
  }
}
