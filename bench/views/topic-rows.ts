/** How many records a second do a topic's mirror and a view of it follow? */
import { seededRandom } from "../../src/base/random.ts";
import { topic } from "../../src/catalog/definitions.ts";
import { topicTable } from "../../src/catalog/topic-table.ts";
import { appendRecords } from "../../src/engine/records.ts";
import { PreparedNames, runPipeline } from "../../src/views/applier-pipeline.ts";
import { live, viewOf } from "../../src/views/group-fixture.ts";
import { copyToMirror, createMirror } from "../../src/views/mirror.ts";
import type { WaitTarget } from "../../src/views/view-info.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { changesPerSecond, GroupHouse, workedOff } from "./support/group-house.ts";

const sizes = {
  full: { records: 200_000, customers: 5_000, rounds: 2 },
  tiny: { records: 200, customers: 10, rounds: 1 },
} as const;

const recordsPerAppend = 1_000;
const rowsPerBatch = 10_000;

const text = { type: "string" };
const orders = topic("orders", {
  schema: {
    type: "object",
    properties: {
      id: { ...text, format: "uuid" },
      customer: text,
      status: text,
      amount: { type: "number" },
      quantity: { type: "integer" },
      at: { ...text, format: "date-time" },
    },
  },
});
const sums = viewOf(
  "sums",
  "select customer, count(*) as n, sum(amount) as amount from topics.orders where status <> 'void' group by customer",
);

/** Values of orders, as many as there are to be. */
function* values(count: number, customers: number): Generator<string> {
  const random = seededRandom(1);
  for (let i = 0; i < count; i++) {
    const status = ["new", "paid", "sent", "void"][random.below(4)];
    const amount = random.below(100_000) / 100;
    const at = new Date(1_700_000_000_000 + i * 10).toISOString();
    const customer = `customer ${random.below(customers)}`;
    yield JSON.stringify({ id: random.uuid(), customer, status, amount, quantity: 1 + random.below(9), at });
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { records, customers, rounds } = sizes[size];
  const shape = topicTable(orders);
  if (shape === null) throw new Error("the topic is no table");
  await using house = await GroupHouse.open([], []);
  const { engine } = house;
  const info = await engine.createTopic("orders", {});
  const all = [...values(records, customers)];
  const target = async (): Promise<WaitTarget> => {
    const { lastStable: offset } = await engine.offsets("orders", 0);
    return { kind: "topic", topic: "orders", topicId: info.id, positions: [{ partition: 0, offset }] };
  };
  const [ours, bound] = [workedOff(), workedOff()];
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`);
    const first = await house.group([sums], rowsPerBatch, [shape]);
    await first.waitFor(await target(), 1_800_000);
    await live(first);
    await first.close();
    for (let i = 0; i < all.length; i += recordsPerAppend) {
      const some = all
        .slice(i, i + recordsPerAppend)
        .map((value) => ({ partition: 0, key: null, value: Buffer.from(value) }));
      await appendRecords(engine, "orders", some);
    }
    const group = await house.group([sums], rowsPerBatch, [shape]);
    await house.workOff(group, records, ours, await target());
    await group.close();
    await copyAlone(house, all, bound);
  }
  const names = ["a topic's mirror and a view of sums", "COPY of the same rows into a table like the mirror"] as const;
  return { results: [changesPerSecond(names[0], ours), changesPerSecond(names[1], bound)], bound: names[1] } as const;
}

/** As many rows in each transaction. */
async function copyAlone({ store }: GroupHouse, all: readonly string[], into: ReturnType<typeof workedOff>) {
  const shape = topicTable({ ...orders, name: "plain" });
  if (shape === null) throw new Error("the topic is no table");
  const client = await store.connect("bench");
  try {
    await client.query(`drop table if exists topics.plain`);
    for (const statement of createMirror(shape)) await client.query(statement);
    const cell = (sql: string) => sql.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n");
    const time = new Date().toISOString();
    const lines = all.map((value, i) => `0\t${i}\t${time}\t\\N\t{}\t${cell(value)}\t\\N\n`);
    const names = new PreparedNames();
    const startedMs = performance.now();
    for (let i = 0; i < lines.length; i += rowsPerBatch) {
      const copy = lines.slice(i, i + rowsPerBatch);
      const beganMs = performance.now();
      await runPipeline(client, names, [{ sql: copyToMirror(shape), copy }]);
      into.batchesMs.push(performance.now() - beganMs);
    }
    into.elapsedMs += performance.now() - startedMs;
    into.changes += all.length;
  } finally {
    await client.end();
  }
}

export const benchmark: Benchmark = {
  question: "How many records a second do a topic's mirror and a view of it follow?",
  method:
    "200,000 records of 160 bytes, JSON with a schema of six members, that are in the log already; a view of sums by one of 5,000 customers; batches of 10,000 records; " +
    "against COPY of the same rows, in as large transactions, into a table with the mirror's columns and key, whose members the store computes as well; embedded PostgreSQL, synchronous commits",
  notMeasured: "appending; Avro and Protobuf; compacted topics; views that join",
  run,
};
