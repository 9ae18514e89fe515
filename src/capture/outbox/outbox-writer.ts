/**
 * Publishes what applications wrote into their transactions: each record goes into the log transaction that carries the
 * rest of the source's transaction, at its place. What cannot be published is answered with the reason.
 */
import { decodeOutbox, type OutboxRecord } from "../../catalog/outbox-message.ts";
import type { Engine, TopicInfo } from "../../engine/engine.ts";
import type { LogWriter } from "../log-writer.ts";
import { publishTarget } from "./publish-target.ts";

/** Says why a topic does not take a record (its schema, for one); null when it does. */
export type Admission = (topic: TopicInfo, record: OutboxRecord) => string | null;

export interface OutboxWriterOptions {
  readonly engine: Pick<Engine, "topic">;
  readonly log: LogWriter;
  readonly admit?: Admission;
}

interface Lane {
  /** Of the log writer. */
  readonly number: number;
  /** The writer looks at it for each batch: the topic may be altered. */
  readonly bound: { batchBytesMax: number };
}

export class OutboxWriter {
  readonly #engine: Pick<Engine, "topic">;
  readonly #log: LogWriter;
  readonly #admit: Admission | undefined;
  readonly #lanes = new Map<string, Lane>();

  constructor({ engine, log, admit }: OutboxWriterOptions) {
    this.#engine = engine;
    this.#log = log;
    this.#admit = admit;
  }

  /** The content of a message; answers the reason when nothing is published. */
  message(content: Buffer, turn: number, nowMs: number): string | null {
    const record = decodeOutbox(content);
    return typeof record === "string" ? record : this.record(record, turn, nowMs);
  }

  record(record: OutboxRecord, turn: number, nowMs: number): string | null {
    const topic = this.#engine.topic(record.topic);
    const target = publishTarget(topic, record, turn);
    if (target.kind === "refused") return target.reason;
    const refused = this.#admit?.(topic as TopicInfo, record) ?? null;
    if (refused !== null) return refused;
    const lane = this.#lane(topic as TopicInfo, target.partition);
    this.#log.publish(lane, record.key, record.value, nowMs, record.headers);
    return null;
  }

  #lane({ name, settings: { batchBytesMax } }: TopicInfo, partition: number): number {
    const key = `${name}/${partition}`;
    const known = this.#lanes.get(key);
    if (known !== undefined) {
      known.bound.batchBytesMax = batchBytesMax;
      return known.number;
    }
    const bound = { batchBytesMax };
    const number = this.#log.join({ name, partition, collection: null, shared: bound });
    this.#lanes.set(key, { number, bound });
    return number;
  }
}
