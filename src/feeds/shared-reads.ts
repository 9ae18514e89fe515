/**
 * Reads of change rows for all hubs of the process. Hubs that ask for the changes of one view after one position while a
 * read waits for its turn are answered by one look at the store, in which each filter is evaluated once on each change.
 *
 * Always true: a hub gets what it would have got alone. What cannot be answered together (too much for one answer, or a
 * failure, which may be that of one filter) is read for each alone.
 */
import type { Slots } from "../views/reader-slots.ts";
import type { ChangesAnswer, Filter, GroupPosition, ViewsReader } from "../views/view-info.ts";
import type { FilterShape } from "./filter-shape.ts";

interface Asked {
  readonly filter: Filter | null;
  readonly answer: PromiseWithResolvers<ChangesAnswer>;
}

/** Of one statement. */
const filtersMax = 128;
/** A filter with a longer text is read alone. */
const filterTextMax = 2_000;

export class SharedReads {
  readonly #reader: ViewsReader;
  readonly #slots: Slots;
  readonly #waiting = new Map<string, Asked[]>();

  constructor(reader: ViewsReader, slots: Slots) {
    this.#reader = reader;
    this.#slots = slots;
  }

  /** For a filter that the store has taken before: a wrong one is to fail alone. Throws what the reader throws. */
  async changesSince(view: string, from: GroupPosition, shape: FilterShape): Promise<ChangesAnswer> {
    if (shape.text.length > filterTextMax) return await this.alone(view, from, shape.filter);
    const asked: Asked = { filter: shape.filter, answer: Promise.withResolvers() };
    const key = JSON.stringify([view, from.generation, from.batch]);
    const waiting = this.#waiting.get(key);
    if (waiting) waiting.push(asked);
    else {
      this.#waiting.set(key, [asked]);
      void this.#read(key, view, from);
    }
    return await asked.answer.promise;
  }

  async alone(view: string, from: GroupPosition, filter: Filter | null): Promise<ChangesAnswer> {
    const release = await this.#slots.acquire();
    try {
      return await this.#reader.changesSince(view, from, filter);
    } finally {
      release();
    }
  }

  /** Never rejects. */
  async #read(key: string, view: string, from: GroupPosition): Promise<void> {
    const release = await this.#slots.acquire();
    const all = this.#waiting.get(key) ?? [];
    this.#waiting.delete(key);
    try {
      for (let first = 0; first < all.length; first += filtersMax) {
        await this.#answer(all.slice(first, first + filtersMax), view, from);
      }
    } finally {
      release();
    }
  }

  async #answer(asked: readonly Asked[], view: string, from: GroupPosition): Promise<void> {
    const filters = asked.map(({ filter }) => filter);
    const answers = asked.length === 1 ? null : await this.#each(view, from, filters);
    for (const [i, { filter, answer }] of asked.entries()) {
      const own = answers?.[i];
      if (own) answer.resolve(own);
      else await this.#reader.changesSince(view, from, filter).then(answer.resolve, answer.reject);
    }
  }

  #each(
    view: string,
    from: GroupPosition,
    filters: readonly (Filter | null)[],
  ): Promise<readonly ChangesAnswer[] | null> {
    return this.#reader.changesSinceEach(view, from, filters).catch(() => null);
  }
}
