/** What gathers for one log transaction: row batches, and the transaction topic's records that are still without offsets. */
import type { Transaction } from "../engine/engine.ts";
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";

export interface CapturedTopic {
  readonly name: string;
  /** `schema.table`, as Debezium names it; null for a topic that no frontier names. */
  readonly collection: string | null;
}

/** The end of a source transaction. */
export interface SourceTransaction {
  readonly id: string;
  readonly commitMs: number;
  /** The end of the commit record, printed. */
  readonly lsn: string;
}

/** The offset after the first `count` records of the group in a topic. */
export type OffsetOf = (topic: number, count: number) => number;

export interface PendingEvent {
  readonly records: (offsetOf: OffsetOf) => readonly { readonly id: string; readonly value: string }[];
  /** Learns the offset of the last of the records. */
  readonly onPlaced?: ((offset: number) => void) | undefined;
}

export class PendingGroup {
  log: Transaction | null = null;
  batches: { readonly topic: number; readonly batch: Buffer }[] = [];
  readonly events: PendingEvent[] = [];
  /** The offset of each topic's first record in this group; NaN while there is none. */
  readonly base: Float64Array;
  readonly count: Float64Array;
  /** `count` as it was at the last end of a source transaction. */
  readonly boundary: Float64Array;
  bytes = 0;
  /** Of the last end of a source transaction; negative when there was none. */
  position = -1;
  openedMs = 0;

  constructor(topics: number) {
    this.base = new Float64Array(topics).fill(Number.NaN);
    this.count = new Float64Array(topics);
    this.boundary = new Float64Array(topics);
  }
}

/** BEGIN and END of a transaction; `counts` are its events by topic, `ends` the group's records by topic after it. */
export function transactionRecords(
  { id, commitMs, lsn }: SourceTransaction,
  topics: readonly CapturedTopic[],
  touched: readonly number[],
  counts: readonly number[],
  ends: readonly number[],
): PendingEvent {
  return {
    records(offsetOf) {
      let total = 0;
      let collections = "";
      let frontier = "";
      for (let i = 0; i < touched.length; i++) {
        const topic = touched[i] as number;
        const count = counts[i] as number;
        const { name, collection } = topics[topic] as CapturedTopic;
        const comma = i === 0 ? "" : ",";
        total += count;
        collections += `${comma}{"data_collection":${JSON.stringify(collection)},"event_count":${count}}`;
        frontier += `${comma}"${name}":${offsetOf(topic, ends[i] as number)}`;
      }
      return [
        {
          id,
          value: `{"status":"BEGIN","id":"${id}","ts_ms":${commitMs},"event_count":null,"data_collections":null}`,
        },
        {
          id,
          value: `{"status":"END","id":"${id}","ts_ms":${commitMs},"event_count":${total},"data_collections":[${collections}],"frontier":{${frontier}},"lsn":"${lsn}"}`,
        },
      ];
    },
  };
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
        if (collection !== null) frontier[name] = offsetOf(topic, counts[topic] as number);
      });
      const event = make(frontier);
      return [{ id: event.id, value: JSON.stringify(event) }];
    },
  };
}
