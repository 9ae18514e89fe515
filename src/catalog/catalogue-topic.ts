/**
 * The catalogue: what is defined, as a keyed table over the compacted topic `_millrace.catalog`.
 *
 * Always true: the table is a fold of the topic and nothing else; it is whole when `open` resolves, and follows the
 * topic from then on, whoever writes to it. What was put is durable, and in this table, when `put` resolves. Several
 * changes of one call are there together or not at all.
 * Not here: what entries mean. Their values are JSON, checked by those who read them; their number is bounded by
 * those who write them.
 */
import type { Clock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Engine } from "../engine/engine.ts";
import { TopicTail } from "../engine/topic-tail.ts";
import {
  type CatalogueChange,
  catalogueTopicName,
  decodeCatalogueRecord,
  encodeCatalogueChanges,
} from "./catalogue-records.ts";

/** What one call may change. */
const batchBytesMax = 8 * 1024 * 1024;

export type CatalogueListener = (change: CatalogueChange) => void;

/** What a part sees that does not write. Values are not to be changed. */
export interface CatalogueReader {
  get(kind: string, key: string): unknown;
  /** Entries in the order in which they first came about. */
  list(kind: string): ReadonlyMap<string, unknown>;
  /** Called for each change, after the table has it. Answers what ends it. */
  onChange(kind: string, listener: CatalogueListener): () => void;
}

export interface Catalogue extends CatalogueReader {
  put(kind: string, key: string, value: unknown): Promise<void>;
  remove(kind: string, key: string): Promise<void>;
  /** All or none. Throws what an append throws: `RECORD_TOO_LARGE` when they do not fit into one batch, `DISK_LOW`. */
  change(changes: readonly CatalogueChange[]): Promise<void>;
}

export interface CatalogueTopicOptions {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics?: Diagnostics;
}

const none: ReadonlyMap<string, unknown> = new Map();

export class CatalogueTopic implements Catalogue {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #diagnostics: Diagnostics;
  readonly #kinds = new Map<string, Map<string, unknown>>();
  readonly #listeners = new Map<string, Set<CatalogueListener>>();
  readonly #tail: TopicTail;

  private constructor(options: CatalogueTopicOptions) {
    this.#engine = options.engine;
    this.#clock = options.clock;
    this.#diagnostics = options.diagnostics ?? silentDiagnostics;
    this.#tail = new TopicTail({
      engine: options.engine,
      clock: options.clock,
      diagnostics: this.#diagnostics,
      topic: catalogueTopicName,
      what: "the catalogue",
      take: (key, value) => this.#fold(key, value),
    });
  }

  /** Makes the topic when it is missing, and reads up to its end. Throws what reading throws. */
  static async open(options: CatalogueTopicOptions): Promise<CatalogueTopic> {
    const settings = { partitions: 1, cleanup: "compact", segmentBytesMax: 64 * 1024 * 1024, batchBytesMax } as const;
    await options.engine.createTopic(catalogueTopicName, settings, { readOnly: true });
    const catalogue = new CatalogueTopic(options);
    await catalogue.readToEnd();
    catalogue.#tail.follow();
    return catalogue;
  }

  get(kind: string, key: string): unknown {
    return this.#kinds.get(kind)?.get(key);
  }

  list(kind: string): ReadonlyMap<string, unknown> {
    return this.#kinds.get(kind) ?? none;
  }

  onChange(kind: string, listener: CatalogueListener): () => void {
    let listeners = this.#listeners.get(kind);
    if (!listeners) {
      listeners = new Set();
      this.#listeners.set(kind, listeners);
    }
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  put(kind: string, key: string, value: unknown): Promise<void> {
    return this.change([{ kind, key, value }]);
  }

  remove(kind: string, key: string): Promise<void> {
    return this.change([{ kind, key, value: undefined }]);
  }

  async change(changes: readonly CatalogueChange[]): Promise<void> {
    if (changes.length === 0) return;
    for (const { kind, key } of changes) checkPlace(kind, key);
    const batch = encodeCatalogueChanges(changes, this.#clock.now());
    await this.#engine.append({ topic: catalogueTopicName, partition: 0, batch });
    await this.readToEnd();
  }

  /** Reads everything committed so far. */
  readToEnd(): Promise<void> {
    return this.#tail.readToEnd();
  }

  /** Before the engine is closed. */
  close(): Promise<void> {
    return this.#tail.close();
  }

  #fold(key: Buffer | null, value: Buffer | null): void {
    const change = decodeCatalogueRecord(key, value);
    if (!change) return;
    const { kind } = change;
    let entries = this.#kinds.get(kind);
    if (change.value === undefined) entries?.delete(change.key);
    else {
      if (!entries) {
        entries = new Map();
        this.#kinds.set(kind, entries);
      }
      entries.set(change.key, change.value);
    }
    for (const listener of this.#listeners.get(kind) ?? []) {
      try {
        listener(change);
      } catch (cause) {
        // One that fails must not keep the table, and the others, from what is so now.
        this.#diagnostics.error("a part failed on a change of the catalogue", { kind, cause: String(cause) });
      }
    }
  }
}

function checkPlace(kind: string, key: string): void {
  if (/^[a-z][a-z0-9-]*$/.test(kind) && key.isWellFormed()) return;
  throw new MillraceError("REQUEST_INVALID", `${JSON.stringify(`${kind}/${key}`)} cannot be an entry of the catalogue`);
}
