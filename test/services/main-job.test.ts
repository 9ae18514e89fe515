import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { debianBinaries } from "../support/debian-postgres.ts";
import { kafkaMissing, startKafka } from "../support/kafka.ts";
import { mainJob } from "./bank/main-job.ts";

const skip = debianBinaries() ? false : "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)";

describe("pgbench on a PostgreSQL of its own, Millrace killed at random", { skip }, () => {
  const long = process.env.MILLRACE_SOAK === "1";
  const { scale, seconds, killEveryMs } = long
    ? { scale: 10, seconds: 60, killEveryMs: 8_000 }
    : { scale: 1, seconds: 18, killEveryMs: 3_500 };
  for (let run = 1; run <= (long ? 10 : 1); run++) {
    test(`run ${run}: every state that readers see is balanced, and at the end views, topics and slot agree with the source`, async (t) => {
      const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
      const report = await mainJob({ scale, seconds, seed, killEveryMs, say: (line) => t.diagnostic(line) });
      t.diagnostic(JSON.stringify(report));
      assert.ok(report.kills >= 2, `only ${report.kills} kills`);
    });
  }
});

describe("the same on a real Kafka", { skip: skip || (kafkaMissing() ?? false) }, () => {
  const long = process.env.MILLRACE_SOAK === "1";
  const { scale, seconds, killEveryMs } = long
    ? { scale: 10, seconds: 60, killEveryMs: 8_000 }
    : { scale: 1, seconds: 18, killEveryMs: 3_000 };

  test("every state that readers see is balanced, and at the end views, topics and slot agree with the source", async (t) => {
    await using kafka = await startKafka();
    const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
    const say = (line: string) => t.diagnostic(line);
    const report = await mainJob({ scale, seconds, seed, killEveryMs, kafka: kafka.bootstrap, say });
    t.diagnostic(JSON.stringify(report));
    assert.ok(report.kills >= 2, `only ${report.kills} kills`);
  });
});
