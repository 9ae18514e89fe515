/**
 * The law: after every batch a view equals its query run plainly over the mirrors, values and text, and its change
 * rows replayed are the view. Run with MILLRACE_MODEL_RUNS for more, MILLRACE_MODEL_SEED for one seed again.
 */
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { seededRandom } from "../base/random.ts";
import { sql, view } from "../catalog/definitions.ts";
import { LawDriver } from "./law-driver.ts";
import { makeBatch, makeQuery, makeTables } from "./law-generator.ts";

const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 4);
const firstSeed = Number(process.env.MILLRACE_MODEL_SEED ?? 1);

function definition(name: string, text: string, key?: readonly string[]) {
  return view(name, { ...sql``, text }, key === undefined ? {} : { key });
}

test("a generated view equals its query after every batch of a generated history", async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) await onSeed(client, seed);
  } finally {
    await client.end();
  }
});

async function onSeed(client: pg.Client, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const mirrors = makeTables(random);
  const driver = await LawDriver.create(client, mirrors);
  const views = [];
  let doing = "";
  try {
    await driver.batch(makeBatch(random, mirrors, 30));
    for (let i = 0; i < 4; i++) {
      const query = makeQuery(random, mirrors);
      doing = query.text;
      views.push(await driver.define(definition(`v${i}`, query.text)));
    }
    doing = views.map((one) => one.query).join("\n");
    for (let i = 0; i < 8; i++) await driver.batch(makeBatch(random, mirrors, i % 3 === 0 ? 3 : 25));
    for (const one of views) await driver.drop(one);
  } catch (cause) {
    throw new Error(`MILLRACE_MODEL_SEED=${seed} MILLRACE_MODEL_RUNS=1\n${doing}`, { cause });
  }
}
