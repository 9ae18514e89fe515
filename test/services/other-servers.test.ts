/** What capture promises, on servers of every older major version: snapshot, stream, positions, filters, standbys. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type OtherMajor, otherMajors, otherPostgresMissing } from "../../tools/postgres-parts.ts";
import { EmbeddedServers } from "../support/embedded-postgres.ts";
import { runTests, type TestRun } from "../support/run-tests.ts";

const long = process.env.MILLRACE_SOAK === "1";
const named = (names: readonly string[]) => names.map((name) => `src/capture/${name}.test.ts`);
const short = named(["postgres", "snapshot/filters", "snapshot/partitions"]);
const whole = [...short, ...named(["postgres-stream", "postgres-setup", "postgres-differential.model"])];

const positions = "test/services/source-positions.test.ts";

/** Standbys can be captured from 16 on, and hand slots on from 17 on. */
function positionTests(major: OtherMajor): string {
  const since16 = long ? "standby" : "a standby can be captured";
  const more = major >= 17 ? [since16, "a standby that has our slot"] : major >= 16 ? [since16] : [];
  return [...(long ? ["gave up"] : []), "set back", ...more].join("|");
}

/** In the short form the oldest server has the core, and the newest but ours the positions. */
const coreOn: readonly OtherMajor[] = long ? otherMajors : [14];
const positionsOn: readonly OtherMajor[] = long ? otherMajors : [17];

for (const major of otherMajors) {
  const skip = otherPostgresMissing(major) ?? false;
  if (coreOn.includes(major)) {
    test(`snapshots, the stream and filters of PostgreSQL ${major}`, { skip }, async () => {
      const servers = await EmbeddedServers.open(String(major));
      try {
        const { url } = await servers.create({
          max_replication_slots: 40,
          max_wal_senders: 40,
          max_connections: 200,
          max_prepared_transactions: 10,
        });
        passed(await runTests(long ? whole : short, { MILLRACE_TEST_POSTGRES: url }));
      } finally {
        await servers[Symbol.asyncDispose]();
      }
    });
  }
  if (positionsOn.includes(major)) {
    test(`positions and standbys of PostgreSQL ${major}`, { skip }, async () => {
      passed(await runTests([positions], { MILLRACE_TEST_POSTGRES_MAJOR: String(major) }, positionTests(major)));
    });
  }
}

function passed({ code, output }: TestRun): void {
  assert.equal(code, 0, output.slice(-8_000));
}
