/**
 * Readers of this program that have not come to the end of what they read: retention leaves them what they are still to
 * read for as long again (`retention.ts`). Who is held back for, and who lost records in spite of that, is said once.
 */
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { RetentionPlan } from "./retention.ts";

export interface RetentionHolder {
  readonly name: string;
  /** The next offset that it reads; null where it does not read the partition. */
  nextOffset(topic: string, partition: number): number | null;
}

export class RetentionHolders {
  readonly #diagnostics: Diagnostics;
  readonly #holders = new Set<RetentionHolder>();
  /** Partitions of which it was said that they are held. */
  readonly #told = new Set<string>();

  constructor(diagnostics: Diagnostics) {
    this.#diagnostics = diagnostics;
  }

  /** Answers how to end it. */
  add(holder: RetentionHolder): () => void {
    this.#holders.add(holder);
    return () => this.#holders.delete(holder);
  }

  /** Null where nobody holds anything. */
  heldFrom(topic: string, partition: number): number | null {
    return this.#first(topic, partition)?.offset ?? null;
  }

  tell(topic: string, partition: number, { held, losesHeld }: RetentionPlan): void {
    const place = `${topic}/${partition}`;
    if (held === 0 && !losesHeld) {
      this.#told.delete(place);
      return;
    }
    const first = this.#first(topic, partition);
    if (first === null) return;
    const what = { topic, partition, reader: first.name, nextOffset: first.offset };
    if (losesHeld) this.#diagnostics.error("records were retired before their reader had read them", what);
    else if (!this.#told.has(place)) {
      this.#diagnostics.warn("records are kept beyond their retention, for a reader has not read them", what);
    }
    this.#told.add(place);
  }

  /** Who is furthest behind. */
  #first(topic: string, partition: number): { readonly name: string; readonly offset: number } | null {
    let first: { name: string; offset: number } | null = null;
    for (const holder of this.#holders) {
      const offset = holder.nextOffset(topic, partition);
      if (offset !== null && (first === null || offset < first.offset)) first = { name: holder.name, offset };
    }
    return first;
  }
}
