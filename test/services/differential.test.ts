/** Random schemas and workloads on the system's PostgreSQL; see src/capture/differential.suite.ts. */
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { runHistory } from "../../src/capture/differential.suite.ts";
import { histories } from "../../src/capture/differential-history.fixture.ts";
import { PostgresFixture } from "../../src/capture/postgres-fixture.ts";
import { debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";
import { databaseOn } from "../support/postgres.ts";

const skip = debianBinaries() ? false : "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)";
const encodings = fc.constantFrom("json", "avro", "json-schema");
const long = process.env.MILLRACE_SOAK === "1";

describe("random schemas and workloads on the system's PostgreSQL", { skip }, () => {
  test("topics replayed are the source at the end of every transaction", async (t) => {
    const seed = Number(process.env.MILLRACE_TEST_SEED ?? randomBytes(4).readInt32LE());
    t.diagnostic(`MILLRACE_TEST_SEED=${seed}`);
    const server = await startDebianPostgres({ fsync: "off", max_replication_slots: "40", max_wal_senders: "40" });
    let boundaries = 0;
    try {
      await fc.assert(
        fc.asyncProperty(histories({ transactions: 40, shapes: 12 }), encodings, async (history, encoding) => {
          await using fixture = await PostgresFixture.open("", await databaseOn(server.url));
          fixture.encoding = encoding;
          boundaries += (await runHistory(fixture, history)).boundaries;
        }),
        { seed, numRuns: long ? 200 : 5, interruptAfterTimeLimit: 300_000, markInterruptAsFailure: !long },
      );
    } finally {
      await server.stop();
    }
    t.diagnostic(`${boundaries} ends of transactions were compared`);
  });
});
