/**
 * Queries of PostgreSQL's own regression suite, kept as views: each that the compiler takes is its query after every
 * batch of changes. The long form takes every script, and more seeds.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import pg from "pg";
import { seededRandom } from "../../src/base/random.ts";
import { loadParser } from "../../src/views/compile.ts";
import { findRegressionSuite, regressionSuiteMissing } from "../../tools/postgres-sources.ts";
import { testDatabase } from "../support/postgres.ts";
import type { Outcome } from "./regression-queries/hold.ts";
import { runSuite } from "./regression-queries/run.ts";

const long = process.env.MILLRACE_SOAK === "1";
const short = ["select", "union", "join", "aggregates", "subselect", "with", "window", "groupingsets"];
const seeds = long ? [1, 2, 3] : [Number(process.env.MILLRACE_TEST_SEED ?? 1)];
/** Scripts that are about other things than queries, and those that mean to take long. */
const without = /^(test_setup|.*privileges|.*_parallel|vacuum.*|stats.*|infinite_recurse|tablespace|largeobject)$/;
/** How many of the short form's queries are kept, so that they do not grow fewer without anybody's notice. */
const heldMin = 290;

test("queries of PostgreSQL's regression suite are kept as views", {
  skip: regressionSuiteMissing() ?? false,
}, async (t) => {
  await loadParser();
  const suite = findRegressionSuite() ?? "";
  const all = readdirSync(join(suite, "sql")).map((name) => name.replace(/\.sql$/, ""));
  const files = long ? all.filter((name) => !without.test(name)) : short;
  for (const seed of seeds) {
    const counts = new Map<string, number>();
    const onQuery = (_: string, __: string, outcome: Outcome) => {
      const kind = outcome.kind === "held" ? `${outcome.kind} ${outcome.class}` : outcome.kind;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    };
    await run(suite, files, seed, onQuery);
    t.diagnostic(`seed ${seed}: ${[...counts].map(([kind, count]) => `${count} ${kind}`).join(", ")}`);
    const held = [...counts].reduce((sum, [kind, count]) => sum + (kind.startsWith("held") ? count : 0), 0);
    assert.ok(held >= heldMin, `${held} queries are kept, of at least ${heldMin}`);
  }
});

async function run(
  suite: string,
  files: readonly string[],
  seed: number,
  onQuery: (file: string, text: string, outcome: Outcome) => void,
): Promise<void> {
  await using scripts = await testDatabase();
  await using views = await testDatabase();
  const source = new pg.Client({ connectionString: scripts.url });
  const store = new pg.Client({ connectionString: views.url });
  await Promise.all([source.connect(), store.connect()]);
  try {
    await runSuite({ suite, files, source, store, random: seededRandom(seed), onQuery });
  } catch (cause) {
    throw new Error(`MILLRACE_TEST_SEED=${seed}\n${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    await Promise.all([source.end(), store.end()]);
  }
}
