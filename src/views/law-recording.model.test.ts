/**
 * The law for views that are built while batches go on: their state as it was, and then what was recorded since, merged
 * in any number of goes, is their query. `MILLRACE_MODEL_RUNS` for more, `MILLRACE_MODEL_SEED` for one seed again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { seededRandom } from "../base/random.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { CompiledView } from "./compiled-view.ts";
import { viewOf } from "./group-fixture.ts";
import { LawDriver } from "./law-driver.fixture.ts";
import { features, keyedFeatures, multisetFeatures } from "./law-features.fixture.ts";
import { makeBatch, makeQuery, makeTables } from "./law-generator.fixture.ts";

const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 3);
const firstSeed = Number(process.env.MILLRACE_MODEL_SEED ?? 1);

/** Batches pass while the views only record; then they catch up, and go on with the next batch. */
async function recorded(seed: number, definitions: readonly ViewDefinition[], forget?: number): Promise<void> {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    const random = seededRandom(seed);
    const mirrors = makeTables(random);
    const driver = await LawDriver.create(client, mirrors);
    await driver.batch(makeBatch(random, mirrors, 40));
    const views: CompiledView[] = [];
    for (const view of definitions) views.push(await driver.define(view));
    for (const view of views) await driver.record(view);
    for (let i = 0; i < 5; i++) {
      const mirrorId = mirrors[random.below(mirrors.length)]?.id ?? 0;
      await driver.batch([
        ...makeBatch(random, mirrors, 25),
        ...(i === 2 ? [{ op: "truncate" as const, mirrorId }] : []),
      ]);
    }
    for (const view of views) await driver.catchUp(view, random, forget);
    await driver.batch(makeBatch(random, mirrors, 25));
  } finally {
    await client.end();
  }
}

test("each feature is its query once what was recorded is merged", async () => {
  const all = [...features, ...keyedFeatures, ...multisetFeatures].map(({ text, key }, i) =>
    viewOf(`v${i}`, text, key),
  );
  for (let i = 0; i < all.length; i += 12) await recorded(7 + i, all.slice(i, i + 12));
});

test("a generated view is its query once what was recorded is merged", async (t) => {
  t.diagnostic(`seeds ${firstSeed} to ${firstSeed + runs - 1}`);
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    const random = seededRandom(seed);
    const tables = makeTables(random);
    const texts = Array.from({ length: 4 }, () => makeQuery(random, tables).text);
    await recorded(
      seed,
      texts.map((text, i) => viewOf(`v${i}`, text)),
    ).catch((cause) => {
      throw new Error(`MILLRACE_MODEL_SEED=${seed} MILLRACE_MODEL_RUNS=1\n${texts.join("\n")}`, { cause });
    });
  }
});

test("the law notices a batch that was not recorded", async () => {
  const views = [viewOf("v", "select a, count(*) as n, sum(n) as s from t3 group by a")];
  await recorded(3, views);
  await assert.rejects(recorded(3, views, 1));
});
