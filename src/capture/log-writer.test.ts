import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine, Transaction } from "../engine/engine.ts";
import { decodeCommitted } from "../engine/records.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import type { TransactionEvent } from "../schema/transaction-events.ts";
import { LogWriter } from "./log-writer.ts";

interface Opened {
  readonly engine: Engine;
  readonly disk: SimulatedDisk;
  readonly writer: LogWriter;
  readonly durable: number[];
  readonly failures: unknown[];
  /** How many log transactions were begun. */
  begun(): number;
  values(topic: string): Promise<string[]>;
  events(): Promise<TransactionEvent[]>;
}

async function open(sizes: { batchBytes?: number; partBytes?: number } = {}): Promise<Opened> {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const common = { clock, random: seededRandom(2), diagnostics: silentDiagnostics };
  const engine = await openEmbeddedEngine({ ...common, disk, directory: "/log" });
  for (const topic of ["a", "b", "transactions", "progress"]) await engine.createTopic(topic);
  const producer = await engine.initProducer("unit");
  let begun = 0;
  const begin = (): Transaction => {
    begun++;
    return producer.begin();
  };
  const durable: number[] = [];
  const failures: unknown[] = [];
  const writer = new LogWriter({
    clock,
    begin,
    transactionTopic: "transactions",
    topics: [
      { name: "a", collection: "public.a" },
      { name: "b", collection: "public.b" },
    ],
    ends: [0, 0],
    progress: (position) => ({
      topic: "progress",
      partition: 0,
      batch: encodeBatch([{ key: null, value: Buffer.from(String(position)) }], 0),
    }),
    onDurable: (position) => durable.push(position),
    onFailure: (error) => failures.push(error),
    ...sizes,
  });
  const values = async (topic: string) => {
    const read = { topic, partition: 0, offset: 0, isolation: "read_committed", bytesMax: 1e8 } as const;
    return decodeCommitted(await engine.read(read), 0).map(({ offset, value }) => `${offset} ${value}`);
  };
  return {
    engine,
    disk,
    writer,
    durable,
    failures,
    begun: () => begun,
    values,
    events: async () => (await values("transactions")).map((text) => JSON.parse(text.slice(text.indexOf(" ") + 1))),
  };
}

function row(writer: LogWriter, topic: number, value: string): void {
  writer.countEvent(topic);
  writer.add(topic, null, Buffer.from(value), 1);
}

const transaction = (id: number) => ({ id: `${id}`, commitMs: id, lsn: `0/${id}` });

test("source transactions that come while one is written ride the next log transaction together", async () => {
  const { writer, begun, values, durable, events, engine } = await open();
  for (let id = 1; id <= 50; id++) {
    row(writer, 0, `a${id}`);
    if (id % 2 === 0) row(writer, 1, `b${id}`);
    writer.endTransaction(transaction(id), id);
  }
  await writer.flushed();
  assert.equal(begun(), 2);
  assert.deepEqual(durable, [1, 50]);
  assert.equal((await values("progress")).length, 2);
  const a = await values("a");
  const b = await values("b");
  assert.equal(a.length, 50);
  for (const event of await events()) {
    if (event.status !== "END") continue;
    const id = Number(event.id);
    const upTo = (list: string[], end = 0) => list.filter((text) => Number.parseInt(text, 10) < end).length;
    assert.equal(upTo(a, event.frontier.a), id);
    if (id % 2 === 0) assert.equal(upTo(b, event.frontier.b), id / 2);
    else assert.equal(event.frontier.b, undefined, "a topic that was not touched is not named");
    assert.equal(event.event_count, id % 2 === 0 ? 2 : 1);
  }
  await engine.close();
});

test("a large source transaction is written in parts, is one log transaction, and is seen at its end only", async () => {
  const { writer, begun, values, events, engine } = await open({ batchBytes: 1024, partBytes: 4096 });
  for (let i = 0; i < 500; i++) {
    row(writer, i % 2, "x".repeat(100));
    if (writer.full) await writer.room();
  }
  assert.deepEqual(await values("a"), []);
  assert.equal((await engine.offsets("a", 0)).lastStable, 0);
  writer.endTransaction(transaction(1), 1);
  await writer.flushed();
  assert.equal(begun(), 1);
  assert.equal((await values("a")).length, 250);
  const end = (await events()).find(({ status }) => status === "END");
  assert.deepEqual(end?.status === "END" && end.frontier, { a: 250, b: 250 });
  await engine.close();
});

test("a record in front of the open transaction has the frontier from before it", async () => {
  const { writer, events, values, engine } = await open();
  row(writer, 0, "first");
  writer.endTransaction(transaction(1), 1);
  await writer.flushed();
  row(writer, 0, "second");
  writer.endTransaction(transaction(2), 2);
  row(writer, 0, "third, not ended");
  const placed: number[] = [];
  writer.event(
    (frontier) => ({ status: "SNAPSHOT_BEGIN", id: "s", ts_ms: 0, tables: [], frontier }),
    (offset) => placed.push(offset),
  );
  writer.endTransaction(transaction(3), 3);
  await writer.flushed();
  const told = await events();
  assert.deepEqual(told.map(({ status, id }) => `${status} ${id}`).slice(2), [
    "BEGIN 2",
    "END 2",
    "SNAPSHOT_BEGIN s",
    "BEGIN 3",
    "END 3",
  ]);
  const [, , , before, event, , after] = told;
  assert.ok(before?.status === "END" && event?.status === "SNAPSHOT_BEGIN" && after?.status === "END");
  const third = Number.parseInt((await values("a")).at(-1) ?? "", 10);
  assert.equal(event.frontier.a, third);
  assert.ok((before.frontier.a ?? 0) <= third);
  assert.equal(after.frontier.a, (event.frontier.a ?? 0) + 1);
  assert.equal(event.frontier.b, 0);
  assert.equal(placed.length, 1);
  await engine.close();
});

test("a transaction without events moves the position, and writes nothing for readers", async () => {
  const { writer, durable, events, engine } = await open();
  writer.endTransaction(transaction(1), 77);
  await writer.flushed();
  assert.deepEqual(durable, [77]);
  assert.deepEqual(await events(), []);
  assert.ok(writer.idle);
  await engine.close();
});

test("when the log fails, nothing is durable and whoever waits is told", async () => {
  const { writer, disk, durable, failures } = await open();
  disk.cut();
  row(writer, 0, "x");
  writer.endTransaction(transaction(1), 1);
  await assert.rejects(writer.flushed());
  await assert.rejects(writer.room());
  assert.deepEqual(durable, []);
  assert.equal(failures.length, 1);
  await writer.close();
});

test("what has not ended is given up by closing", async () => {
  const { writer, values, engine } = await open({ batchBytes: 64, partBytes: 64 });
  row(writer, 0, "y".repeat(200));
  await writer.close();
  assert.deepEqual(await values("a"), []);
  await engine.close();
});

test("records for a topic that others write to stand in the same log transaction, and END says where they end", async () => {
  const { writer, engine, values, events, begun } = await open({ batchBytes: 2_000, partBytes: 4_000 });
  const lanes = [0, 1].map((partition) =>
    writer.join({ name: "clicks", partition, collection: null, shared: { batchBytesMax: 700 } }),
  );
  await engine.createTopic("clicks", { partitions: 2, batchBytesMax: 700 });
  const others = async (partition: number, count: number) => {
    const batch = encodeBatch(
      Array.from({ length: count }, () => ({ key: null, value: Buffer.from("theirs") })),
      0,
    );
    await engine.append({ topic: "clicks", partition, batch });
  };
  await others(0, 3);
  for (let i = 0; i < 30; i++)
    writer.publish(lanes[i % 2] as number, null, Buffer.from(`first ${"x".repeat(100)}`), 1, []);
  row(writer, 0, "a row");
  assert.equal(writer.endTransaction(transaction(1), 1), true);
  await writer.flushed();
  await others(1, 5);
  writer.publish(lanes[1] as number, Buffer.from("k"), null, 1, [{ key: "h", value: null }]);
  assert.equal(writer.endTransaction(transaction(2), 2), true);
  assert.equal(writer.endTransaction(transaction(3), 3), false);
  await writer.flushed();
  assert.equal(begun(), 3);
  assert.deepEqual(await values("a"), ["0 a row"]);
  const told = (await events()).filter((event) => event.status === "END");
  assert.deepEqual(
    told.map(({ event_count, frontier, published }) => [event_count, frontier, published]),
    [
      [1, { a: 1 }, { clicks: { 0: 18, 1: 15 } }],
      // The commit of the first transaction is an offset as well, and others wrote five.
      [0, {}, { clicks: { 1: 15 + 1 + 5 + 1 } }],
    ],
  );
  await engine.close();
});

test("a topic that joins while a large transaction is written has its place in it", async () => {
  const { writer, engine, values, events, begun } = await open({ batchBytes: 64, partBytes: 128 });
  for (let i = 0; i < 5; i++) row(writer, 0, "y".repeat(100));
  await writer.room();
  await engine.createTopic("late");
  const late = writer.join({ name: "late", collection: "public.late" });
  row(writer, late, "here");
  writer.endTransaction(transaction(1), 1);
  await writer.flushed();
  assert.equal(begun(), 1);
  assert.deepEqual(await values("late"), ["0 here"]);
  const end = (await events()).find((event) => event.status === "END");
  assert.deepEqual(end?.frontier, { a: 5, late: 1 });
  await engine.close();
});

test("a table's topic that joins while a log transaction is written has whole offsets in its frontier", async () => {
  const { writer, engine, events } = await open();
  await engine.createTopic("c");
  row(writer, 0, "a row");
  writer.endTransaction(transaction(1), 1);
  const chunk = { status: "SNAPSHOT_CHUNK", id: "s", ts_ms: 0, rows: 1, rowsEstimated: 1 } as const;
  row(writer, 0, "another");
  writer.eventAtEnd((frontier) => ({ ...chunk, frontier }), 2);
  await writer.flushed();
  row(writer, 0, "a third");
  writer.eventAtEnd((frontier) => ({ ...chunk, frontier }), 3);
  // The transaction is being written by now.
  const joined = writer.join({ name: "c", collection: "public.c" }, 0);
  row(writer, joined, "of the new one");
  writer.eventAtEnd((frontier) => ({ ...chunk, frontier }), 4);
  await writer.flushed();
  assert.deepEqual(
    (await events()).flatMap((event) => (event.status === "SNAPSHOT_CHUNK" ? [event.frontier] : [])),
    [
      { a: 3, b: 0 },
      { a: 5, b: 0, c: 0 },
      { a: 5, b: 0, c: 1 },
    ],
  );
  await engine.close();
});
