import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import type { JoinedRecord } from "../records/record.ts";
import { Cells } from "../schema/cells.ts";
import { EnvelopeWriter } from "../schema/envelope-writer.ts";
import { JsonBytes } from "../schema/json-bytes.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { ChangeRecorder, type ChangeWatch } from "./change-recorder.ts";
import { readCopyRow } from "./copy-row.ts";
import type { LogWriter } from "./log-writer.ts";
import type { OutboxWriter } from "./outbox/outbox-writer.ts";

const column = { storeType: "text", nullable: true, carriedAsText: false };
const shape: TableShape = {
  source: "shop",
  schema: "public",
  table: "t",
  topic: "shop.public.t",
  columns: [
    { ...column, name: "id", sourceType: "integer", storeType: "integer", nullable: false },
    { ...column, name: "v", sourceType: "text" },
  ],
  key: ["id"],
  appendOnly: false,
};

function row(line: string): Cells {
  const cells = new Cells();
  readCopyRow(Buffer.from(line), 0, Buffer.byteLength(line), shape.columns.length, cells);
  return cells;
}

test("a row that gets another key, and is too large under it, is gone for who reads its table meanwhile", () => {
  const written: string[] = [];
  const rejected: string[] = [];
  const recorder = new ChangeRecorder({
    log: {
      add: (topic: number, key: Buffer | null) => {
        if (topic === 0) written.push(`${key}: tombstone`);
      },
      addJoined: (_topic: number, { bytes, keyBytes, valueBytes }: JoinedRecord) => {
        const key = bytes.toString("utf8", 0, keyBytes);
        written.push(`${key}: ${JSON.parse(bytes.toString("utf8", keyBytes, keyBytes + valueBytes)).op}`);
      },
      countEvent: () => {},
      eventsOf: () => 0,
    } as unknown as LogWriter,
    clock: systemClock,
    messageTopic: 1,
    messageOrigin: { version: "1", source: "shop", database: "x" },
    outbox: {} as OutboxWriter,
    rejectedTopic: 2,
    eventBytesMax: 2_000,
    checkUtf8: false,
    onRejected: (reason) => rejected.push(reason),
  });
  const told: string[] = [];
  const watch: ChangeWatch = {
    passesOver: () => false,
    upserted: (xid, key) => told.push(`upserted ${xid} ${key}`),
    moved: (xid, from, to) => told.push(`moved ${xid} ${from} ${to}`),
    removed: (xid, key) => told.push(`removed ${xid} ${key}`),
    truncated: () => {},
  };
  recorder.watches.set(0, watch);
  const writer = new EnvelopeWriter(shape, { version: "1", database: "x" }, new JsonBytes());
  const table = { oid: 1, shape, types: [], topic: 0, writer, encoding: null };
  recorder.begin(7, 100, 1_700_000_000_000_000);
  recorder.update(table, "key", row("1\t\\N"), row(`2\t${"x".repeat(3_000)}`));
  assert.deepEqual(rejected, ["the event is larger than 2000 bytes"]);
  assert.deepEqual(written, ['{"id":1}: d', '{"id":1}: tombstone']);
  assert.deepEqual(told, ['removed 7 {"id":1}']);
  recorder.update(table, "key", row("3\t\\N"), row("4\ta"));
  assert.deepEqual(told.slice(1), ['moved 7 {"id":3} {"id":4}']);
});
