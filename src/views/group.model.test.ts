import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { LawWatch } from "./builds-fixture.ts";
import { assertChanges, type Seen } from "./changes-fixture.ts";
import { live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { accounts, History, historyViews, journal, lines, tables, tags } from "./history-fixture.ts";
import { mirrorTable } from "./mirror.ts";
import type { FixtureChange, SourceFixture } from "./source-fixture.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(performance.now() * 1e6) % 1e9);
const views = historyViews.map(([name, query, key]) => viewOf(name, query, key));
const names = historyViews.map(([name]) => name);
/** The same rows by other words: to be built anew. */
const otherViews = historyViews.map(([name, query, key]) => {
  return viewOf(name, /count\(|max\(/.test(query) ? `${query} having true` : `${query} where true`, key);
});

/** A mirror's rows as text, in order. */
async function mirrorRows(fixture: ViewsFixture, table: (typeof tables)[number]): Promise<string[]> {
  const columns = table.columns.map((column) => `"${column.name}"`).join(", ");
  const { rows } = await fixture.pool.query(
    `select row(${columns})::text as row from ${mirrorTable(table)} order by 1`,
  );
  return rows.map(({ row }) => row);
}

/** The same of rows in memory, made by PostgreSQL. */
async function modelRows(
  fixture: ViewsFixture,
  table: (typeof tables)[number],
  rows: readonly (readonly (string | null)[])[],
) {
  const casts = table.columns.map((column, i) => `(r->>${i})::${column.storeType}`).join(", ");
  const answer = await fixture.pool.query(
    `select row(${casts})::text as row from jsonb_array_elements($1::jsonb) r order by 1`,
    [JSON.stringify(rows)],
  );
  return answer.rows.map(({ row }) => row);
}

async function assertRight(fixture: ViewsFixture, history: History): Promise<void> {
  const model: [(typeof tables)[number], readonly (readonly (string | null)[])[]][] = [
    [accounts, [...history.accounts.values()]],
    [lines, [...history.lines.values()]],
    [journal, history.journal],
    [tags, history.tags],
  ];
  for (const [table, rows] of model) {
    assert.deepEqual(await mirrorRows(fixture, table), await modelRows(fixture, table, rows), table.table);
  }
  for (const [name, query] of historyViews) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
  }
}

/** One table alone, in chunks of rows as they are by then, with transactions between them where every change tells the whole row. */
async function readAgain(
  source: SourceFixture,
  history: History,
  random: ReturnType<typeof seededRandom>,
  table = tables[random.below(tables.length)] as (typeof tables)[number],
): Promise<void> {
  const keyOf = (change: FixtureChange) =>
    JSON.stringify("insert" in change ? table.key?.map((_, i) => change.insert[i]) : null);
  const id = await source.beginTable(table);
  const rowsMax = table.key === null ? Number.POSITIVE_INFINITY : 1 + random.below(8);
  for (let last = ""; ; ) {
    const left = history
      .rows()
      .filter((change) => change.table === table && (table.key === null || keyOf(change) > last))
      .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
    const chunk = left.slice(0, rowsMax);
    await source.tableChunk(id, chunk);
    if (chunk.length === left.length) break;
    last = keyOf(chunk.at(-1) as FixtureChange);
    const changes = table === lines ? history.transaction() : [];
    if (changes.length > 0) await source.commit(...changes);
  }
  if (random.below(4) > 0) await source.endTable(id);
  else await readAgain(source, history, random, table);
}

test("mirrors equal the source and views equal their queries, however batches are cut and whatever breaks between them", async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  await using fixture = await ViewsFixture.open();
  const source: SourceFixture = await fixture.source("bank", tables);
  const history = new History(random);
  const seen = new Map<string, Seen>();
  for (let i = 0; i < 10; i++) history.transaction();
  const open = (defined = views) =>
    fixture.group(defined, { bound: { changesMax: 1 + random.below(40), bytesMax: 1 << 20 } });
  let group = await open(views.slice(0, 3));
  await using watch = await LawWatch.open(fixture);
  await source.snapshot(history.rows(), 1 + random.below(10));
  await live(group);
  // The others are made in the midst of what follows.
  await group.reload(views);
  for (let round = 0; round < 30; round++) {
    const transactions = Array.from({ length: 1 + random.below(8) }, () => history.transaction());
    await source.commitTogether(transactions.filter((changes) => changes.length > 0));
    const dice = random.below(20);
    if (dice === 0) {
      await fixture.kill(group);
      group = await open();
    } else if (dice === 1) {
      await fixture.cutConnections();
    } else if (dice === 2) {
      await group.rebuild("by_owner");
    } else if (dice >= 12 && dice < 16) {
      await group.reload(definitions(random));
    } else if (dice === 3) {
      await source.snapshot(history.rows(), 1 + random.below(10));
    } else if (dice === 18 || dice === 19) {
      await readAgain(source, history, random);
    } else if (dice < 8) {
      await fixture.settled(group);
      await live(group);
      await assertRight(fixture, history);
      await assertChanges(fixture, group, names, seen);
    }
  }
  await fixture.settled(group);
  await live(group);
  await assertRight(fixture, history);
  await assertChanges(fixture, group, names, seen);
  await watch.end();
  t.diagnostic(`${watch.looks} looks at ${watch.seen.size} versions`);
});

/** All views in any order, some of them by other words. */
function definitions(random: ReturnType<typeof seededRandom>): typeof views {
  const chosen = views.map((view, i) => (random.below(3) === 0 ? (otherViews[i] ?? view) : view));
  return chosen.sort(() => random.below(3) - 1);
}
