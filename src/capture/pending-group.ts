/** What gathers for one log transaction: row batches, and the transaction topic's records that are still without offsets. */
import { invariant } from "../base/errors.ts";
import type { Transaction } from "../engine/engine.ts";
import type { Frontier, Published, TransactionEvent } from "../schema/transaction-events.ts";

/** A partition that a source writes. */
export interface CapturedTopic {
  readonly name: string;
  /** 0 when it is left out. */
  readonly partition?: number;
  /** `schema.table`, as Debezium names it; null for a topic that no frontier names. */
  readonly collection: string | null;
  /** Of a topic that is an application's: others write to it as well, and its batches have a bound of their own. */
  readonly shared?: { readonly batchBytesMax: number };
}

/** Where the server of a source got a transaction from. */
export interface TransactionOrigin {
  readonly name: string;
  /** Its position there, printed; null where it is not known. */
  readonly lsn: string | null;
}

/** The end of a source transaction. */
export interface SourceTransaction {
  readonly id: string;
  readonly commitMs: number;
  /** The end of the commit record, printed. */
  readonly lsn: string;
  readonly origin?: TransactionOrigin | null;
}

/** The offset after the first `count` records of the group in a topic. */
export type OffsetOf = (topic: number, count: number) => number;

export interface PendingEvent {
  readonly records: (offsetOf: OffsetOf) => readonly { readonly key: string; readonly value: string }[];
  /** Learns the offset of the last of the records. */
  readonly onPlaced?: ((offset: number) => void) | undefined;
}

/** A batch of a shared topic: `from` records of the group lie before it. */
interface Placement {
  readonly from: number;
  readonly baseOffset: number;
}

export class PendingGroup {
  log: Transaction | null = null;
  batches: { readonly topic: number; readonly batch: Buffer; readonly records: number }[] = [];
  readonly events: PendingEvent[] = [];
  /** The offset of each topic's first record in this group; NaN while there is none. */
  base: Float64Array;
  count: Float64Array;
  /** `count` as it was at the last end of a source transaction. */
  boundary: Float64Array;
  /** By topic, of those that are shared: others' records lie between ours. */
  readonly placements = new Map<number, Placement[]>();
  bytes = 0;
  /** Of the last end of a source transaction; negative when there was none. */
  position = -1;
  openedMs = 0;

  constructor(topics: number) {
    this.base = new Float64Array(topics).fill(Number.NaN);
    this.count = new Float64Array(topics);
    this.boundary = new Float64Array(topics);
  }

  /** Room for topics that joined. */
  grow(topics: number): void {
    if (topics <= this.base.length) return;
    const grown = (from: Float64Array, rest: number) => {
      const to = new Float64Array(topics).fill(rest);
      to.set(from);
      return to;
    };
    this.base = grown(this.base, Number.NaN);
    this.count = grown(this.count, 0);
    this.boundary = grown(this.boundary, 0);
  }

  /** A batch of a shared topic has its place. */
  placed(topic: number, baseOffset: number, records: number): void {
    const list = this.placements.get(topic);
    const from = list === undefined ? 0 : (this.#placedRecords.get(topic) as number);
    this.#placedRecords.set(topic, from + records);
    if (list === undefined) this.placements.set(topic, [{ from, baseOffset }]);
    else list.push({ from, baseOffset });
  }

  /** The offset after the first `count` records of the group in a shared topic; `count` is 1 at least. */
  sharedOffset(topic: number, count: number): number {
    const batch = this.placements.get(topic)?.findLast(({ from }) => from < count);
    invariant(batch, "a record that was appended has its place");
    return batch.baseOffset + count - batch.from;
  }

  readonly #placedRecords = new Map<number, number>();
}

/** A source transaction that has ended: its events by topic, and what it published. */
export interface Counted {
  readonly touched: readonly number[];
  /** Of events, by place in `touched`. */
  readonly counts: readonly number[];
  /** The group's records in these topics after the transaction. */
  readonly ends: readonly number[];
  /** Shared topics, and the group's records in them after the transaction. */
  readonly published: readonly { readonly topic: number; readonly end: number }[];
}

/** What is written of a topic in every END that names it. */
export interface TopicText {
  readonly collection: string;
  readonly frontier: string;
}

export function topicText({ name, collection }: CapturedTopic): TopicText {
  return {
    collection: `{"data_collection":${JSON.stringify(collection)},"event_count":`,
    frontier: `${JSON.stringify(name)}:`,
  };
}

/** BEGIN and END of a transaction, whose id needs no escapes. Put together by hand: there may be one for each row. */
export function transactionRecords(
  { id, commitMs, lsn, origin }: SourceTransaction,
  topics: readonly CapturedTopic[],
  texts: readonly TopicText[],
  { touched, counts, ends, published }: Counted,
): PendingEvent {
  return {
    records(offsetOf) {
      let total = 0;
      let collections = "";
      let frontier = "";
      for (let i = 0; i < touched.length; i++) {
        const topic = touched[i] as number;
        const count = counts[i] as number;
        const text = texts[topic] as TopicText;
        const comma = i === 0 ? "" : ",";
        total += count;
        collections += `${comma}${text.collection}${count}}`;
        frontier += `${comma}${text.frontier}${offsetOf(topic, ends[i] as number)}`;
      }
      const more =
        (published.length === 0 ? "" : `,"published":${JSON.stringify(publishedOf(topics, published, offsetOf))}`) +
        (origin == null ? "" : `,"origin":${JSON.stringify(origin)}`);
      const key = `{"id":"${id}"}`;
      return [
        {
          key,
          value: `{"status":"BEGIN","id":"${id}","ts_ms":${commitMs},"event_count":null,"data_collections":null}`,
        },
        {
          key,
          value: `{"status":"END","id":"${id}","ts_ms":${commitMs},"event_count":${total},"data_collections":[${collections}],"frontier":{${frontier}},"lsn":"${lsn}"${more}}`,
        },
      ];
    },
  };
}

function publishedOf(topics: readonly CapturedTopic[], published: Counted["published"], offsetOf: OffsetOf): Published {
  const byTopic: Record<string, Record<string, number>> = {};
  for (const { topic, end } of published) {
    const { name, partition = 0 } = topics[topic] as CapturedTopic;
    byTopic[name] ??= {};
    byTopic[name][partition] = offsetOf(topic, end);
  }
  return byTopic;
}

/** Any other record; its frontier is over all topics, as they stood at the last end of a source transaction. */
export function singleRecord(
  topics: readonly CapturedTopic[],
  boundary: Float64Array,
  make: (frontier: Frontier) => TransactionEvent,
  onPlaced: ((offset: number) => void) | undefined,
): PendingEvent {
  const counts = boundary.slice();
  return {
    onPlaced,
    records(offsetOf) {
      const frontier: Record<string, number> = {};
      topics.forEach(({ name, collection }, topic) => {
        if (collection !== null) frontier[name] = offsetOf(topic, counts[topic] ?? 0);
      });
      const event = make(frontier);
      return [{ key: JSON.stringify({ id: event.id }), value: JSON.stringify(event) }];
    },
  };
}
