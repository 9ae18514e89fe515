/**
 * Debezium's own engine and connector beside ours, on one server and over the same changes. What it told once is recorded
 * (`debezium/recorded-events.jsonl`), and held against ours in `npm test` as well (src/capture/debezium.test.ts).
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PostgresFixture } from "../../src/capture/postgres-fixture.ts";
import { debeziumMissing } from "../../tools/debezium-parts.ts";
import { debianBinaries, startDebianPostgres } from "../support/debian-postgres.ts";
import { captureWithBoth, openWorkload } from "./debezium/capture.ts";
import { compare } from "./debezium/compare.ts";
import { expectedRules, explain } from "./debezium/differences.ts";
import type { EventText } from "./debezium/engine.ts";
import { readRecordedEvents } from "./debezium/recorded.ts";

function assertExplained(debezium: readonly EventText[], millrace: readonly EventText[]): void {
  const { unexplained, used } = explain(compare(debezium, millrace, "one-server"));
  assert.deepEqual(unexplained, []);
  assert.deepEqual(used, expectedRules("one-server"));
}

describe("a real Debezium", { skip: debeziumMissing() ?? false }, () => {
  test("on PostgreSQL 18: our events are its events, field by field, but for the differences of the reference", async () => {
    await using fixture = await PostgresFixture.open();
    await openWorkload(fixture);
    const { debezium, millrace } = await captureWithBoth(fixture);
    assertExplained(debezium, millrace);
    assert.deepEqual(compare(readRecordedEvents(), debezium, "recorded"), [], "what was recorded is out of date");
  });

  const skip = debianBinaries()
    ? false
    : "skipped: no PostgreSQL below /usr/lib/postgresql (apt-get install postgresql)";
  test("on the system's PostgreSQL: the same", { skip }, async () => {
    const server = await startDebianPostgres();
    try {
      const database = { name: "postgres", url: server.url, [Symbol.asyncDispose]: async () => {} };
      await using fixture = await PostgresFixture.open("", database);
      await openWorkload(fixture);
      const { debezium, millrace } = await captureWithBoth(fixture);
      assertExplained(debezium, millrace);
    } finally {
      await server.stop();
    }
  });
});
