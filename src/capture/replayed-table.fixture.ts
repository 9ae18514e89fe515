/** For tests: a table of the source against its topic, replayed. */
import assert from "node:assert/strict";
import type { PostgresFixture } from "./postgres-fixture.ts";
import { Replay, rowText } from "./replay.fixture.ts";
import { soon } from "./source.suite.ts";
import type { Source } from "./source.ts";

/** How many looks at the catalogue a change may take to be noticed. */
const looksMax = 150;

/** Resolves when the topic, replayed, is the table, whose columns may have changed meanwhile. */
export async function comesToEqual(fixture: PostgresFixture, source: Source, table = "t"): Promise<void> {
  let found: string[] | null = null;
  let wanted: string[] = [];
  for (let look = 0; look < looksMax; look++) {
    const { kind } = source.status().state;
    if (kind === "streaming") await source.catchUp();
    wanted = await rowsOf(fixture, table);
    found = await replayed(fixture, table);
    if (kind === "streaming" && JSON.stringify(found) === JSON.stringify(wanted)) return;
    for (let i = 0; i < 5; i++) await soon();
  }
  assert.deepEqual(found, wanted, `the source is ${JSON.stringify(source.status().state)}`);
}

async function rowsOf(fixture: PostgresFixture, table: string): Promise<string[]> {
  const columns = await fixture.sql(
    "select quote_ident(attname) as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum",
    [table],
  );
  const list = columns.map(({ name }) => `${name}::text`).join(", ");
  const rows = (await fixture.sql(`select ${list} from ${table}`)) as Record<string, string | null>[];
  return rows.map(rowText).sort();
}

/** Null while the table is read. */
async function replayed(fixture: PostgresFixture, table: string): Promise<string[] | null> {
  const topic = `shop.${table.includes(".") ? table : `public.${table}`}`;
  const replay = new Replay(new Map([[topic, await fixture.read(topic)]]));
  for (const event of await fixture.events()) replay.step(event);
  return replay.rowsOf(topic);
}
