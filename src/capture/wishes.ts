/** What somebody, or a limit, has asked of a source: kept in order, and done between two attempts of it. */
import { MillraceError } from "../base/errors.ts";
import type { SourceHold } from "./progress.ts";

export type Wish =
  | { readonly kind: "hold"; readonly hold: SourceHold }
  | { readonly kind: "resume" }
  /** The slot goes, and a new snapshot is taken. */
  | { readonly kind: "give-up"; readonly because: string };

interface Asked {
  readonly wish: Wish;
  readonly done: PromiseWithResolvers<void>;
}

export class Wishes {
  readonly #source: string;
  #asked: Asked[] = [];
  #closed = false;

  constructor(source: string) {
    this.#source = source;
  }

  get waiting(): boolean {
    return this.#asked.length > 0;
  }

  /** Resolves when it is done. Throws what doing it throws, and when nobody does anything any more. */
  ask(wish: Wish): Promise<void> {
    const done = Promise.withResolvers<void>();
    if (this.#closed) done.reject(this.#stopped());
    else this.#asked.push({ wish, done });
    return done.promise;
  }

  /** One after the other; the first that fails fails this as well. */
  async obey(perform: (wish: Wish) => Promise<void>): Promise<void> {
    for (;;) {
      const [next] = this.#asked;
      if (next === undefined) return;
      try {
        await perform(next.wish);
        next.done.resolve();
      } catch (error) {
        next.done.reject(error);
        throw error;
      } finally {
        this.#asked.shift();
      }
    }
  }

  close(): void {
    this.#closed = true;
    for (const { done } of this.#asked.splice(0)) done.reject(this.#stopped());
  }

  #stopped(): MillraceError {
    return new MillraceError("SOURCE_FAILED", `source "${this.#source}" has stopped in this process`, {
      hint: "It is owned by another process by now, or this one is going down.",
    });
  }
}
