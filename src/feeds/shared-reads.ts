/**
 * Reads of change rows for all hubs of the process. Hubs that ask for the changes of one view after one position while a
 * read waits for its turn are answered by one look at the store, in which each filter is evaluated once on each change.
 *
 * Always true: a hub gets what it would have got alone. What cannot be answered together (too much for one answer, or a
 * failure, which may be that of one filter) is read for each alone.
 */

import type { Caller } from "../views/policy/caller.ts";
import type { Slots } from "../views/reader-slots.ts";
import type { ChangesAnswer, GroupPosition, ViewsReader } from "../views/view-info.ts";
import type { FilterShape } from "./filter-shape.ts";

interface Asked {
  readonly shape: FilterShape;
  readonly caller: Caller;
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
  async changesSince(view: string, from: GroupPosition, shape: FilterShape, caller: Caller): Promise<ChangesAnswer> {
    if (shape.text.length > filterTextMax) return await this.alone(view, from, shape, caller);
    const asked: Asked = { shape, caller, answer: Promise.withResolvers() };
    // Rows of one answer are shown alike.
    const key = JSON.stringify([view, from.group, from.generation, from.batch, shape.select]);
    const waiting = this.#waiting.get(key);
    if (waiting) waiting.push(asked);
    else {
      this.#waiting.set(key, [asked]);
      void this.#read(key, view, from);
    }
    return await asked.answer.promise;
  }

  async alone(view: string, from: GroupPosition, shape: FilterShape, caller: Caller): Promise<ChangesAnswer> {
    const release = await this.#slots.acquire();
    try {
      return await this.#changesSince(view, from, shape, caller);
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
    const answers = asked.length === 1 ? null : await this.#each(asked, view, from);
    for (const [i, { shape, caller, answer }] of asked.entries()) {
      const own = answers?.[i];
      if (own) answer.resolve(own);
      else await this.#changesSince(view, from, shape, caller).then(answer.resolve, answer.reject);
    }
  }

  #changesSince(
    view: string,
    from: GroupPosition,
    { filter, select }: FilterShape,
    caller: Caller,
  ): Promise<ChangesAnswer> {
    const reader = caller.kind === "anyone" ? this.#reader : this.#reader.as(caller);
    return reader.changesSince(view, from, filter, select);
  }

  #each(asked: readonly Asked[], view: string, from: GroupPosition): Promise<readonly ChangesAnswer[] | null> {
    const filters = asked.map(({ shape }) => shape.filter);
    const callers = asked.map(({ caller }) => caller);
    const select = asked[0]?.shape.select ?? null;
    return this.#reader.changesSinceEach(view, from, filters, select, callers).catch(() => null);
  }
}
