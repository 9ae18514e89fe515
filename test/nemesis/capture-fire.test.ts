import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { debianBinaries } from "../support/debian-postgres.ts";
import { killLoop } from "./capture/kill-loop.ts";

const long = process.env.MILLRACE_SOAK === "1";
const { seconds, bulkRows } = long ? { seconds: 600, bulkRows: 1_000_000 } : { seconds: 14, bulkRows: 12_000 };
const given = process.env.MILLRACE_TEST_SEED;

describe("source, Millrace and the network between them are killed at random", () => {
  const run = async (binaries: string | undefined, say: (line: string) => void) => {
    const seed = Number(given ?? Math.floor(Math.random() * 2 ** 31));
    const report = await killLoop({ seconds, bulkRows, seed, say, ...(binaries === undefined ? {} : { binaries }) });
    say(JSON.stringify(report));
    assert.ok(report.states > 0, "nobody saw the bank");
  };

  test("the topics hold what the source's own audit trigger saw, each change once, whole and in order; mirrors and replay equal the source", async (t) => {
    await run(undefined, (line) => t.diagnostic(line));
  });

  const debian = debianBinaries();
  const skip = !debian
    ? "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)"
    : long
      ? false
      : "skipped: the long form only (npm run test:soak)";
  test(`the same with PostgreSQL ${debian?.version ?? ""} of the operating system`, { skip }, async (t) => {
    await run(debian?.path, (line) => t.diagnostic(line));
  });
});
