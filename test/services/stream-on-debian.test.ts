/** What the stream, the outbox and retries promise, on the operating system's PostgreSQL: an older protocol than the embedded server's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";
import { runTests } from "../support/run-tests.ts";

const files = ["messages", "outbox", "outbox-table", "retry", "pressure", "stream"].map(
  (name) => `src/capture/postgres-${name}.test.ts`,
);

const found = debianBinaries();
const missing = found === undefined ? "skipped: no PostgreSQL below /usr/lib/postgresql" : false;
const skip = process.env.MILLRACE_SOAK === "1" ? missing : "skipped: the long form only (npm run test:soak)";

test(`the tests of the stream hold on PostgreSQL ${found?.version ?? ""}`, { skip }, async () => {
  const server = await startDebianPostgres({
    wal_level: "logical",
    max_replication_slots: "40",
    max_wal_senders: "40",
    max_connections: "200",
    max_prepared_transactions: "10",
    fsync: "off",
  });
  try {
    const { code, output } = await runTests(files, { MILLRACE_TEST_POSTGRES: server.url });
    assert.equal(code, 0, output.slice(-8_000));
  } finally {
    await server.stop();
  }
});
