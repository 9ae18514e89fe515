/**
 * A logical message (`pg_logical_emit_message`) as an event in Debezium's form: `op` is `m`, the topic is
 * `<source>.message`, and `message` holds the prefix and the content in base64. The key is the prefix.
 */
import { printLsn } from "./lsn.ts";
import type { EmittedMessage } from "./pgoutput.ts";

/** What Debezium calls the messages where it calls tables by their names. */
export const messageCollection = "LOGICAL_DECODING_MESSAGE";

export interface MessageOrigin {
  /** Of Millrace. */
  readonly version: string;
  readonly source: string;
  readonly database: string;
}

/** The transaction that wrote it, and its number among the events of it. */
export interface MessagePlace {
  readonly id: string;
  /** Null for one that was tried again. */
  readonly txId: number | null;
  readonly commitUs: number;
  readonly previousCommitLsn: number | null;
  readonly order: number;
  readonly collectionOrder: number;
}

export function messageEvent(
  { prefix, content, lsn }: EmittedMessage,
  origin: MessageOrigin,
  place: MessagePlace | null,
  nowMs: number,
): { readonly key: Buffer; readonly value: Buffer } {
  // A message outside of transactions has no time of its own.
  const us = place?.commitUs ?? nowMs * 1000;
  const previous = place?.previousCommitLsn ?? null;
  const source = {
    version: origin.version,
    connector: "postgresql",
    name: origin.source,
    ts_ms: Math.floor(us / 1000),
    snapshot: "false",
    db: origin.database,
    sequence: JSON.stringify([previous === null ? null : String(previous), String(lsn)]),
    ts_us: us,
    schema: "",
    table: "",
    txId: place?.txId ?? null,
    lsn,
    xmin: null,
    origin: null,
    origin_lsn: null,
  };
  // Nanoseconds are past what a number holds: they are the microseconds with three digits more.
  const sourceJson = JSON.stringify(source).replace(`"ts_us":${us},`, `"ts_us":${us},"ts_ns":${us}000,`);
  const transaction =
    place === null ? null : { id: place.id, total_order: place.order, data_collection_order: place.collectionOrder };
  const message = { prefix, content: content.toString("base64") };
  return {
    key: Buffer.from(JSON.stringify({ prefix })),
    value: Buffer.from(
      `{"op":"m","ts_ms":${nowMs},"source":${sourceJson},"message":${JSON.stringify(message)},"transaction":${JSON.stringify(transaction)}}`,
    ),
  };
}

/** The same in one line, for a reason. */
export function messageName({ prefix, lsn }: EmittedMessage): string {
  return `message ${JSON.stringify(prefix.slice(0, 100))} at ${printLsn(lsn)}`;
}
