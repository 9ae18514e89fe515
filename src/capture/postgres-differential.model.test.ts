/**
 * Random schemas and workloads against a real source; see differential.suite.ts. With MILLRACE_MODEL_RUNS more of them,
 * with MILLRACE_MODEL_SEED the same again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Evidence, judge, runHistory } from "./differential.suite.ts";
import { type History, histories } from "./differential-history.fixture.ts";
import { PostgresFixture } from "./postgres-fixture.ts";

const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 3);
/** Of a short run: a failing history is shrunk so long. */
const limits = runs > 10 ? {} : { interruptAfterTimeLimit: 120_000, markInterruptAsFailure: true };
const seed = Number(
  process.env.MILLRACE_MODEL_SEED ?? process.env.MILLRACE_TEST_SEED ?? Math.floor(performance.now() * 1e6) % 1e9,
);

test("topics replayed are the source at the end of every transaction, whatever was done to rows and tables", async (t) => {
  t.diagnostic(`MILLRACE_MODEL_SEED=${seed} MILLRACE_MODEL_RUNS=${runs}`);
  let boundaries = 0;
  await fc.assert(
    fc.asyncProperty(histories({ transactions: 24, shapes: 12 }), async (history) => {
      await using fixture = await PostgresFixture.open();
      boundaries += (await runHistory(fixture, history)).boundaries;
    }),
    { seed, numRuns: runs, ...limits },
  );
  t.diagnostic(`${boundaries} ends of transactions were compared`);
});

/** Each event of it matters. */
const plain: History = {
  schemas: [[0, 1, 2], [3], [1, 5]],
  transactions: [
    {
      operations: [
        { kind: "insert", table: 0, n: 10 },
        { kind: "insert", table: 2, n: 11 },
      ],
      end: "commit",
      quiet: true,
    },
    {
      operations: [
        { kind: "update", table: 0, n: 10 },
        { kind: "update", table: 1, n: 1 },
      ],
      end: "commit",
      quiet: false,
    },
    {
      operations: [
        { kind: "move", table: 0, n: 10 },
        { kind: "update", table: 2, n: 11 },
      ],
      end: "commit",
      quiet: false,
    },
    {
      operations: [
        { kind: "delete", table: 0, n: 1 },
        { kind: "truncate", table: 1 },
      ],
      end: "commit",
      quiet: false,
    },
    {
      operations: [
        { kind: "delete", table: 2, n: 4 },
        { kind: "insert", table: 1, n: 5 },
      ],
      end: "commit",
      quiet: false,
    },
  ],
};

test("a recorder that loses, doubles or swaps an event is caught, whichever event it is", async () => {
  await using fixture = await PostgresFixture.open();
  const evidence = await runHistory(fixture, plain);
  let broken = 0;
  for (const topic of ["shop.public.t0", "shop.public.t1", "shop.public.t2"]) {
    const records = evidence.records.get(topic) ?? [];
    for (const [i, record] of records.entries()) {
      if (record.value === null) continue;
      const { op, before, after } = JSON.parse(String(record.value));
      // An update that changed nothing may be lost.
      if (JSON.stringify(before) === JSON.stringify(after)) continue;
      const lost = records.filter((_, j) => j !== i);
      assert.throws(() => judge(withRecords(evidence, topic, lost)), `${topic} without its ${op} at ${record.offset}`);
      broken++;
      const other = records[i + 1];
      if (
        other?.value == null ||
        op === "r" ||
        (topic === "shop.public.t2" && op === JSON.parse(String(other.value)).op)
      )
        continue;
      // Of the same row, so that the order matters.
      if (String(other.key) !== String(record.key)) continue;
      const swapped = records.map((one, j) =>
        j === i ? { ...other, offset: one.offset } : j === i + 1 ? { ...record, offset: one.offset } : one,
      );
      assert.throws(
        () => judge(withRecords(evidence, topic, swapped)),
        `${topic} with ${record.offset} behind its next`,
      );
      broken++;
    }
  }
  assert.ok(broken >= 20, `only ${broken} were tried`);
  const transactions = evidence.records.get("shop.transaction") ?? [];
  const ends = transactions.filter(({ value }) => JSON.parse(String(value)).status === "END");
  assert.throws(() =>
    judge(
      withRecords(
        evidence,
        "shop.transaction",
        transactions.filter((one) => one !== ends.at(-1)),
      ),
    ),
  );
});

function withRecords(
  evidence: Evidence,
  topic: string,
  records: NonNullable<ReturnType<Evidence["records"]["get"]>>,
): Evidence {
  return { ...evidence, records: new Map(evidence.records).set(topic, records) };
}
