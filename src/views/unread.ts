/**
 * What groups of views have not read of the log, while their stores are away or they are behind: the log holds it for them
 * (`Engine.holdRetention`), and before it is retired all the same, which a cluster does without asking, people are told.
 */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Engine, RetentionHolder } from "../engine/engine.ts";
import { forEachCommitted } from "../engine/records.ts";
import type { TableShape } from "../schema/table-shape.ts";

export interface UnreadOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}

/** A group that is open; null before. */
type Reading = Pick<RetentionHolder, "nextOffset"> | null;

interface Held {
  readonly topics: () => readonly TableShape[];
  readonly letGo: () => void;
}

const lookMs = 60_000;
const hourMs = 3_600_000;

export class Unread {
  readonly #options: UnreadOptions;
  readonly #holders = new Map<RetentionHolder, Held>();
  /** Of whom it was said that they are late, and where. */
  readonly #told = new Set<string>();
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;

  constructor(options: UnreadOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  /** Nothing is held any more. */
  async close(): Promise<void> {
    for (const { letGo } of this.#holders.values()) letGo();
    this.#closing.abort();
    await this.#loop;
  }

  /** Answers how to end it. */
  hold(group: string, reading: () => Reading, topics: () => readonly TableShape[]): () => void {
    const holder: RetentionHolder = {
      name: `views of group "${group}"`,
      nextOffset(topic, partition) {
        const open = reading();
        if (open) return open.nextOffset(topic, partition);
        // Where it has come to is in its store, which was not there yet.
        return topics().some((shape) => shape.topic === topic) ? 0 : null;
      },
    };
    const letGo = this.#options.engine.holdRetention(holder);
    this.#holders.set(holder, { topics, letGo });
    return () => {
      this.#holders.delete(holder);
      letGo();
    };
  }

  async #run(): Promise<void> {
    const { clock, diagnostics } = this.#options;
    for (;;) {
      await clock.sleep(lookMs, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted) return;
      await this.look().catch((cause: Error) => {
        diagnostics.debug("how far views are behind cannot be seen", { cause: cause.message });
      });
    }
  }

  /** Tells of those whose next record has half of its time behind it. */
  async look(): Promise<void> {
    const { engine } = this.#options;
    for (const [holder, { topics }] of this.#holders) {
      for (const { topic } of topics()) {
        const { retentionMs = null, partitions = 0 } = engine.topic(topic)?.settings ?? {};
        for (let partition = 0; retentionMs !== null && partition < partitions; partition++) {
          await this.#lookAt(holder, { topic, partition }, retentionMs);
        }
      }
    }
  }

  async #lookAt(
    { name: reader, nextOffset }: RetentionHolder,
    place: { readonly topic: string; readonly partition: number },
    retentionMs: number,
  ): Promise<void> {
    const { clock, diagnostics } = this.#options;
    const { topic, partition } = place;
    const id = `${reader} ${topic}/${partition}`;
    const next = nextOffset(topic, partition);
    const writtenMs = next === null ? null : await this.#timeOf(place, next);
    const leftMs = writtenMs === null ? retentionMs : writtenMs + retentionMs - clock.now();
    if (leftMs > retentionMs / 2) {
      this.#told.delete(id);
      return;
    }
    if (this.#told.has(id)) return;
    this.#told.add(id);
    diagnostics.warn("records will be retired before their reader has read them, if it does not go on", {
      ...place,
      reader,
      nextOffset: next,
      hoursLeft: Number((Math.max(0, leftMs) / hourMs).toFixed(1)),
    });
  }

  /** When the first record from an offset on was written; null where there is none. */
  async #timeOf(place: { readonly topic: string; readonly partition: number }, from: number): Promise<number | null> {
    const { engine } = this.#options;
    const { logStart, lastStable } = await engine.offsets(place.topic, place.partition);
    const offset = Math.max(from, logStart);
    if (offset >= lastStable) return null;
    const read = await engine.read({ ...place, offset, isolation: "read_committed", bytesMax: 1, waitMs: 0 });
    let writtenMs: number | null = null;
    forEachCommitted(read, offset, (_, timestamp) => {
      writtenMs ??= timestamp;
    });
    return writtenMs;
  }
}
