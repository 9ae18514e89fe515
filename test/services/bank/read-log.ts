/** What the topics hold at the end: every change exactly once, in commit order, each balance by its own delta. */
import assert from "node:assert/strict";
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { parseBrokerAddresses } from "../../../src/engine/cluster/broker-address.ts";
import { openClusterEngine } from "../../../src/engine/cluster/cluster-engine.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { forEachCommitted, nextOffsetOf } from "../../../src/engine/records.ts";

interface Event {
  readonly op: string;
  readonly after: Readonly<Record<string, number | string>>;
  readonly transaction: { readonly id: string } | null;
}

const books = [
  { topic: "bank.public.pgbench_accounts", key: "aid", balance: "abalance" },
  { topic: "bank.public.pgbench_tellers", key: "tid", balance: "tbalance" },
  { topic: "bank.public.pgbench_branches", key: "bid", balance: "bbalance" },
] as const;

/** The log of the embedded engine in a folder, or of a Kafka at an address. */
export type LogPlace = { readonly directory: string } | { readonly kafka: string };

export async function readLog(place: LogPlace, sourceUrl: string, transactions: number): Promise<void> {
  const tools = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
  const engine =
    "kafka" in place
      ? await openClusterEngine({ ...tools, brokers: parseBrokerAddresses(place.kafka, "MILLRACE_KAFKA") })
      : await openEmbeddedEngine({ ...tools, disk: realDisk, directory: place.directory });
  const source = new pg.Client({ connectionString: sourceUrl });
  await source.connect();
  try {
    const order = await commitOrder(engine, transactions);
    const deltas = await history(engine, source, order);
    for (const book of books) await balances(engine, source, book, order, deltas);
    await published(engine, source);
  } finally {
    await source.end();
    await engine.close();
  }
}

/** Ids of the source's transactions in the order of their END records. */
async function commitOrder(engine: Engine, transactions: number): Promise<readonly string[]> {
  const order: string[] = [];
  let last = 0n;
  await each(engine, "bank.transaction", (value) => {
    const event = JSON.parse(value.toString());
    if (event.status !== "END" || event.event_count === 0) return;
    const lsn = BigInt(
      `0x${event.lsn
        .split("/")
        .map((part: string) => part.padStart(8, "0"))
        .join("")}`,
    );
    assert.ok(lsn > last, `transaction ${event.id} stands behind one that committed after it`);
    assert.equal(event.event_count, 4, `transaction ${event.id} has ${event.event_count} events`);
    last = lsn;
    order.push(event.id);
  });
  assert.equal(order.length, transactions, "the transaction topic has not as many transactions as were committed");
  assert.equal(new Set(order).size, order.length, "a transaction was captured twice");
  return order;
}

/** The delta of each transaction, checked against the source's own history. */
async function history(
  engine: Engine,
  source: pg.Client,
  order: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const deltas = new Map<string, number>();
  const captured: string[] = [];
  const ids: string[] = [];
  await each(engine, "bank.public.pgbench_history", (value) => {
    const { op, after, transaction } = JSON.parse(value.toString()) as Event;
    assert.equal(op, "c");
    assert.ok(transaction, "a row of the history came by the snapshot");
    ids.push(transaction.id);
    deltas.set(transaction.id, Number(after.delta));
    captured.push(`${after.tid} ${after.bid} ${after.aid} ${after.delta}`);
  });
  assert.deepEqual(ids, order, "the history's events are not in commit order, each once");
  const { rows } = await source.query("select concat_ws(' ', tid, bid, aid, delta) as line from pgbench_history");
  assert.deepEqual(captured.sort(), rows.map((row) => row.line).sort());
  return deltas;
}

async function balances(
  engine: Engine,
  source: pg.Client,
  book: (typeof books)[number],
  order: readonly string[],
  deltas: ReadonlyMap<string, number>,
): Promise<void> {
  const now = new Map<number, number>();
  const ids: string[] = [];
  await each(engine, book.topic, (value) => {
    const { op, after, transaction } = JSON.parse(value.toString()) as Event;
    const key = Number(after[book.key]);
    const balance = Number(after[book.balance]);
    if (op === "r") assert.ok(!now.has(key), `${book.topic}: the snapshot has key ${key} twice`);
    else {
      assert.ok(transaction);
      ids.push(transaction.id);
      assert.equal(
        balance - (now.get(key) ?? 0),
        deltas.get(transaction.id),
        `${book.topic}: transaction ${transaction.id} moved key ${key} by another amount`,
      );
    }
    now.set(key, balance);
  });
  assert.deepEqual(ids, order, `${book.topic}: events are not in commit order, each once`);
  const { rows } = await source.query(
    `select ${book.key} as key, ${book.balance} as balance from ${book.topic.slice("bank.public.".length)}`,
  );
  const table = rows.map((row): [number, number] => [row.key, row.balance]);
  assert.deepEqual(now, new Map(table), `${book.topic} does not end as the table`);
}

/** The tellers' view as it was published: always balanced, each count of a teller once and in order, at the end the source's. */
async function published(engine: Engine, source: pg.Client): Promise<void> {
  const counts = new Map<string, number>();
  for (let partition = 0; partition < 3; partition++) {
    const visit = (value: Buffer) => {
      const { tid, n, difference } = JSON.parse(value.toString());
      assert.equal(Number(difference), 0, `teller ${tid} was published out of balance`);
      assert.ok(Number(n) > (counts.get(String(tid)) ?? 0), `count ${n} of teller ${tid} was published twice, or late`);
      counts.set(String(tid), Number(n));
    };
    await each(engine, "teller-books", visit, partition);
  }
  const { rows } = await source.query(
    "select t.tid, 1 + (select count(*) from pgbench_history h where h.tid = t.tid) as n from pgbench_tellers t",
  );
  assert.deepEqual(counts, new Map(rows.map(({ tid, n }) => [String(tid), Number(n)])));
}

async function each(engine: Engine, topic: string, visit: (value: Buffer) => void, partition = 0): Promise<void> {
  const end = (await engine.offsets(topic, partition)).lastStable;
  for (let offset = 0; offset < end; ) {
    const result = await engine.read({
      topic,
      partition,
      offset,
      isolation: "read_committed",
      bytesMax: 4 * 1024 * 1024,
    });
    forEachCommitted(result, offset, (_offset, _timestamp, _key, value) => {
      if (value) visit(value);
    });
    offset = nextOffsetOf(result, offset);
  }
}
