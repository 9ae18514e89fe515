/** What does it cost to write a row as an event, decoded already and from the stream's message on? */
import { PgOutputDecoder, type PgOutputHandler } from "../../src/capture/pgoutput.ts";
import { Cells, cellState } from "../../src/schema/cells.ts";
import { EnvelopeWriter } from "../../src/schema/envelope-writer.ts";
import { JsonBytes } from "../../src/schema/json-bytes.ts";
import type { TableShape } from "../../src/schema/table-shape.ts";
import type { Benchmark, BenchmarkSize } from "../harness.ts";

const sizes = { full: { rounds: 5, rows: 400_000 }, tiny: { rounds: 1, rows: 200 } } as const;

/** Ten columns, as an application's tables have them. */
const columns: readonly (readonly [name: string, type: string, value: string])[] = [
  ["id", "bigint", "1234567890123"],
  ["customer_id", "integer", "48213"],
  ["status", "text", "shipped"],
  ["total", "numeric(12,2)", "1234.56"],
  ["currency", "character(3)", "EUR"],
  ["note", "text", 'please leave it at the door, and ring "twice"'],
  ["paid", "boolean", "t"],
  ["placed_at", "timestamp with time zone", "2026-11-28 12:34:56.789012+00"],
  ["reference", "uuid", "0b6f1e1e-0d5a-4c8e-9a57-2f0c8b9f6a11"],
  ["details", "jsonb", '{"lines": [{"sku": "A-1", "count": 2}], "gift": false}'],
];

const shape: TableShape = {
  source: "shop",
  schema: "public",
  table: "orders",
  topic: "shop.public.orders",
  columns: columns.map(([name, type]) => ({
    name,
    sourceType: type,
    storeType: type,
    nullable: false,
    carriedAsText: false,
  })),
  key: ["id"],
  appendOnly: false,
};

async function run(size: BenchmarkSize) {
  const { rounds, rows } = sizes[size];
  const row = cellsOf(columns.map(([, , value]) => value));
  const out = new JsonBytes();
  const writer = new EnvelopeWriter(shape, { version: "0.1.0", database: "shop" }, out);
  const written = { cpuMs: Number.POSITIVE_INFINITY, bytes: 0 };
  const decoded = { cpuMs: Number.POSITIVE_INFINITY, bytes: 0 };
  const copied = { cpuMs: Number.POSITIVE_INFINITY, bytes: 0 };
  for (let round = 0; round < rounds; round++) {
    keepBest(written, () => writeRows(writer, row, rows));
    keepBest(decoded, () => decodeRows(writer, rows));
    keepBest(copied, () => copyRows(writer, rows));
  }
  const perMillion = ({ cpuMs, bytes }: typeof written) => ({
    value: rows / (cpuMs / 1000),
    unit: "rows/s of CPU",
    details: { cpuSecondsPerMillion: cpuMs / 1000 / (rows / 1e6), bytesPerRow: bytes / rows },
  });
  return {
    results: [
      { name: "events written", ...perMillion(written) },
      { name: "messages decoded and events written", ...perMillion(decoded), bounds: ["the same bytes copied"] },
      { name: "the same bytes copied", ...perMillion(copied) },
    ],
    bound: "the same bytes copied",
  } as const;
}

/** A thousand rows to a transaction. */
function writeRows(writer: EnvelopeWriter, row: Cells, rows: number): number {
  let bytes = 0;
  for (let i = 0; i < rows; ) {
    const transaction = { id: `${i}:7`, txId: i, commitUs: 1.79e15, previousCommitLsn: i, nowMs: 1.79e12 };
    for (const end = Math.min(rows, i + 1000); i < end; i++) {
      writer.writeUpsert("c", row, null, transaction, 123456789012 + i * 100, (i % 1000) + 1, (i % 1000) + 1);
      bytes += writer.valueBytes + writer.keyBytes;
    }
  }
  return bytes;
}

/** The same from pgoutput's message of an insert on. */
function decodeRows(writer: EnvelopeWriter, rows: number): number {
  const message = insertMessage(columns.map(([, , value]) => value));
  let bytes = 0;
  let i = 0;
  let transaction = { id: "0:7", txId: 0, commitUs: 1.79e15, previousCommitLsn: 0, nowMs: 1.79e12 };
  const handler: Pick<PgOutputHandler, "insert"> = {
    insert(_oid, row) {
      writer.writeUpsert("c", row, null, transaction, 123456789012 + i * 100, (i % 1000) + 1, (i % 1000) + 1);
      bytes += writer.valueBytes + writer.keyBytes;
    },
  };
  const decoder = new PgOutputDecoder(handler as PgOutputHandler);
  for (; i < rows; i++) {
    if (i % 1000 === 0) transaction = { ...transaction, id: `${i}:7`, txId: i, previousCommitLsn: i };
    decoder.decode(message);
  }
  return bytes;
}

/** "Logical Replication Message Formats" of PostgreSQL's manual: Insert, with all values as text. */
function insertMessage(values: readonly string[]): Buffer {
  const head = Buffer.from([0x49, 0, 0, 0x40, 0, 0x4e, 0, values.length]);
  const cells = values.map((value) => {
    const cell = Buffer.alloc(5);
    cell[0] = 0x74;
    cell.writeInt32BE(Buffer.byteLength(value), 1);
    return Buffer.concat([cell, Buffer.from(value)]);
  });
  return Buffer.concat([head, ...cells]);
}

/** Of one row, as often. */
function copyRows(writer: EnvelopeWriter, rows: number): number {
  const event = Buffer.from(writer.bytes.subarray(0, writer.keyBytes + writer.valueBytes));
  const to = Buffer.allocUnsafe(event.length);
  let bytes = 0;
  for (let i = 0; i < rows; i++) bytes += event.copy(to);
  return bytes;
}

function keepBest(best: { cpuMs: number; bytes: number }, work: () => number): void {
  const began = process.cpuUsage();
  best.bytes = work();
  const { user, system } = process.cpuUsage(began);
  best.cpuMs = Math.min(best.cpuMs, (user + system) / 1000);
}

function cellsOf(values: readonly string[]): Cells {
  const cells = new Cells();
  const bytes = Buffer.from(values.join(""));
  cells.reset(bytes, values.length);
  let at = 0;
  values.forEach((value, i) => {
    cells.state[i] = cellState.text;
    cells.start[i] = at;
    at += Buffer.byteLength(value);
    cells.end[i] = at;
  });
  return cells;
}

export const benchmark: Benchmark = {
  question: "capture/envelope-writer: what does it cost to write a row of ten columns as an event?",
  method:
    "One row again and again, a thousand to a transaction, into the buffer that is used again: decoded already, and from pgoutput's message on; the least CPU time of the rounds; beside it the same bytes copied.",
  notMeasured: "The connection, batches, the log, other columns than these ten.",
  run,
};
