/** What the stream, the outbox and retries promise, on the operating system's PostgreSQL: an older protocol than the embedded server's. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";

const files = ["messages", "outbox", "outbox-table", "retry", "pressure", "stream"].map(
  (name) => `src/capture/postgres-${name}.test.ts`,
);

const found = debianBinaries();
const skip = found === undefined ? "skipped: no PostgreSQL below /usr/lib/postgresql" : false;

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
    const { code, output } = await runTests({ ...process.env, MILLRACE_TEST_POSTGRES: server.url });
    assert.equal(code, 0, output.slice(-8_000));
  } finally {
    await server.stop();
  }
});

async function runTests(env: NodeJS.ProcessEnv): Promise<{ readonly code: number | null; readonly output: string }> {
  // The runner tells its children that they are tests of its own.
  const { NODE_TEST_CONTEXT: _, ...plain } = env;
  const child = spawn(process.execPath, ["-C", "source", "--test", "--test-isolation=none", ...files], { env: plain });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-200_000);
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { code, output };
}
