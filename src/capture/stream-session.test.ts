import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import type { Client } from "pg";
import { systemClock } from "../base/clock.ts";
import { postgres } from "../catalog/definitions.ts";
import { EnvelopeWriter } from "../schema/envelope-writer.ts";
import { JsonBytes } from "../schema/json-bytes.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { CaptureLog } from "./capture-log.ts";
import { ChangeRecorder } from "./change-recorder.ts";
import { closeConnection, connect } from "./connection.ts";
import type { CopyBothStream } from "./copy-both.ts";
import { parseLsn } from "./lsn.ts";
import { OutboxWriter } from "./outbox/outbox-writer.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import { StreamSession } from "./stream-session.ts";
import { TransactionSpool } from "./transaction-spool.ts";

/** A session on a log of its own; `position` is what the log has. */
async function open(
  fixture: PostgresFixture,
  client: Client,
  shape: TableShape,
  oid: number,
  command: string,
  position: number,
) {
  const definition = postgres("shop", { url: fixture.database.url, tables: ["t"] });
  const captureLog = await CaptureLog.own(fixture.engine, definition, systemClock, undefined);
  const sizes = { batchBytes: 64 * 1024, partBytes: 1024 * 1024 };
  const log = await captureLog.openWriter(sizes, { onDurable: (at) => session.durable(at), onFailure: assert.fail });
  const recorder = new ChangeRecorder({
    log,
    clock: systemClock,
    messageTopic: 1,
    messageOrigin: { version: "1", source: "shop", database: "x" },
    outbox: new OutboxWriter({ engine: fixture.engine, log }),
    rejectedTopic: 2,
    eventBytesMax: 1_000_000,
    checkUtf8: false,
    onRejected: assert.fail,
  });
  const writer = new EnvelopeWriter(shape, { version: "1", database: "x" }, new JsonBytes());
  const session = new StreamSession({
    client,
    command,
    position,
    clock: systemClock,
    log,
    recorder,
    spool: await TransactionSpool.open(fixture.disk, "/spill", 1_000),
    tables: [{ oid, shape, types: [{ oid: 23, modifier: -1 }], topic: 0, writer, encoding: null }],
    addColumns: () => assert.fail("nothing was added"),
    readAnew: () => assert.fail("nothing is read anew"),
    heartbeatMs: 0,
  });
  session.start();
  return session;
}

async function captured(fixture: PostgresFixture): Promise<{ shape: TableShape; slot: string; oid: number }> {
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const { tables, slot } = source.status();
  await source.stop();
  const oid = Number((await fixture.sql("select 't'::regclass::oid as oid"))[0]?.oid);
  const [shape] = tables;
  assert.ok(shape && slot);
  return { shape, slot, oid };
}

test("transactions that the log has are passed over when the server sends them again, and messages outside of any too", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  // Captured, stopped, and kept: slot, publication and topics are there.
  const { shape, slot, oid } = await captured(fixture);
  const end = async () => parseLsn((await fixture.sql("select pg_current_wal_lsn()::text as lsn"))[0]?.lsn as string);
  await fixture.sql("insert into t values (1)");
  await fixture.sql("insert into t values (2)");
  await fixture.sql("select pg_logical_emit_message(false, 'app', 'known')");
  const [now] = await fixture.sql("select pg_current_wal_insert_lsn()::text as lsn");
  const position = parseLsn(now?.lsn as string);
  await fixture.sql("select pg_logical_emit_message(false, 'app', 'new')");
  await fixture.sql("insert into t values (3)");
  const client = await connect({ name: "shop", url: fixture.database.url }, "replication");
  // From where the server was last told, not from where the log is.
  const command = `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '2', streaming 'on', messages 'true', publication_names '"${slot}"')`;
  const session = await open(fixture, client, shape, oid, command, position);
  await session.catchUp(await end());
  assert.equal((await fixture.values("shop.message")).length, 1);
  assert.deepEqual(
    (await fixture.values("shop.public.t")).map(({ after }) => after?.id),
    [3],
  );
  await session.stop();
  await closeConnection(client);
});

test("a keepalive in the middle of a transaction does not move the position past it", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { shape, oid } = await captured(fixture);
  const before = (await fixture.events()).length;
  const server = new FakeServer();
  const session = await open(fixture, server as unknown as Client, shape, oid, "", 100);
  server.message(200, Buffer.concat([Buffer.from("B"), u64(290), u64(0), u32(7)]));
  server.message(210, relation(oid));
  server.message(220, Buffer.concat([Buffer.from("I"), u32(oid), Buffer.from([0x4e, 0, 1, 0x74, 0, 0, 0, 1, 0x31])]));
  server.keepalive(1_000);
  server.message(290, Buffer.concat([Buffer.from([0x43, 0]), u64(290), u64(300), u64(0)]));
  server.keepalive(1_000);
  await session.catchUp(1_000);
  assert.deepEqual(
    (await fixture.events()).slice(before).map((event) => `${event.status} ${"lsn" in event ? event.lsn : ""}`),
    ["BEGIN ", "END 0/12C", "HEARTBEAT 0/3E8"],
  );
  await session.stop();
});

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: number) => Buffer.concat([u32(0), u32(value)]);

function relation(oid: number): Buffer {
  const column = [Buffer.from([1]), Buffer.from("id\0"), u32(23), u32(0xffffffff)];
  return Buffer.concat([Buffer.from("R"), u32(oid), Buffer.from("public\0t\0d"), Buffer.from([0, 1]), ...column]);
}

/** The server's side of a stream, by hand. */
class FakeServer {
  readonly #socket = new EventEmitter();

  query(stream: CopyBothStream): void {
    const nothing = () => {};
    const socket = Object.assign(this.#socket, { pause: nothing, resume: nothing });
    const connection = {
      query: nothing,
      sendCopyFromChunk: nothing,
      endCopyFrom: () => stream.handleReadyForQuery(),
      stream: socket,
    };
    stream.submit(connection as never);
  }

  message(lsn: number, payload: Buffer): void {
    const chunk = Buffer.concat([Buffer.from("w"), u64(lsn), u64(lsn), u64(0), payload]);
    this.#send(chunk);
  }

  keepalive(end: number): void {
    this.#send(Buffer.concat([Buffer.from("k"), u64(end), u64(0), Buffer.from([0])]));
  }

  #send(body: Buffer): void {
    this.#socket.emit("data", Buffer.concat([Buffer.from("d"), u32(body.length + 4), body]));
  }
}
