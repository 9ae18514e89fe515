import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, seededRandom } from "../base/random.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Group } from "./group.ts";
import { until, ViewsFixture, viewOf } from "./group-fixture.ts";
import type { SourceFixture } from "./source-fixture.ts";
import { tableShape } from "./source-fixture.ts";

const notes = withNulls(
  ["note", "size", "doc", "tags"],
  tableShape("shop", "notes", ["id integer", "team text", "note text", "size numeric", "doc jsonb", "tags text[]"]),
);
const teams = tableShape("shop", "teams", ["id integer", "team text", "lead text"]);

function withNulls(names: readonly string[], shape: TableShape): TableShape {
  return { ...shape, columns: shape.columns.map((one) => ({ ...one, nullable: names.includes(one.name) })) };
}

/** Every class, and keys of one column and of several, with and without NULLs in them. */
const views: readonly ViewDefinition[] = [
  viewOf("plain", "select id, note from shop.notes"),
  viewOf("per_team", "select team, count(*) as n from shop.notes group by team"),
  viewOf("per_note", "select note, count(*) as n, sum(size) as size from shop.notes group by note"),
  viewOf("per_both", "select team, id % 3 as third, count(*) as n from shop.notes group by 1, 2"),
  viewOf("per_all", "select note, team, size, doc, tags, count(*) as n from shop.notes group by 1, 2, 3, 4, 5"),
  viewOf("latest", "select note, max(id) as latest from shop.notes group by note"),
  viewOf("ranks", "select id, team, rank() over (partition by team, doc order by size) as r from shop.notes"),
  viewOf("leads", "select n.id, t.lead from shop.notes n join shop.teams t on t.team = n.team"),
  viewOf("shown", "select distinct team, note from shop.notes"),
  {
    ...viewOf("traced", "select team, max(id) as latest from shop.notes group by team"),
    history: { kind: "history", view: "traced", keepMs: null, store: false },
  },
  {
    ...viewOf("top", "select team, count(*) as n from shop.notes group by team order by 2 desc, 1 limit 5"),
    refreshMs: 1,
  },
  {
    ...viewOf("listed", "select id, team, note from shop.notes"),
    reads: {
      indexes: [
        {
          fields: [
            { column: "team", steps: [], text: false },
            { column: "note", steps: [], text: false },
          ],
        },
      ],
    },
  },
];

/** Of some thousand random digits, which no compression makes small. */
function long(random: Random): string {
  return random.bytes(5_000).toString("base64");
}

class Notes {
  readonly random: Random;
  readonly shop: SourceFixture;
  readonly texts: readonly string[];
  readonly teams = new Set<string | null>();
  readonly ids = new Set<number>();

  constructor(shop: SourceFixture, seed: number) {
    this.random = seededRandom(seed);
    this.shop = shop;
    this.texts = ["", "a", "b", long(this.random), long(this.random)];
  }

  /** One transaction; no text longer than a few bytes where `short`. */
  async change(short: boolean): Promise<void> {
    const id = String(this.random.below(12));
    const known = this.ids.has(Number(id));
    if (known && this.random.below(3) === 0) {
      this.ids.delete(Number(id));
      await this.shop.commit({ table: notes, delete: [id] });
      return;
    }
    this.ids.add(Number(id));
    const cells = this.#cells(id, short ? 3 : this.texts.length);
    await this.shop.commit(known ? { table: notes, update: cells } : { table: notes, insert: cells });
    const [, team = null, lead = null] = cells;
    if (this.teams.has(team)) return;
    this.teams.add(team);
    await this.shop.commit({ table: teams, insert: [String(this.teams.size), team, lead] });
  }

  #cells(id: string, textsMax: number): (string | null)[] {
    const text = () => this.texts[this.random.below(textsMax)] ?? "";
    const some = (cell: string) => (this.random.below(4) === 0 ? null : cell);
    const digits = `1${text().replaceAll(/[^0-9]/g, "")}`;
    return [id, text(), some(text()), some(digits), some(JSON.stringify([text()])), some(`{"${text()}"}`)];
  }
}

async function settled(fixture: ViewsFixture, group: Group): Promise<void> {
  await until(group, () => !group.list().some(({ state }) => state.kind === "building" || "replacement" in state));
  await fixture.settled(group);
  await group.waitFor({ kind: "group", position: group.position() }, 20_000, undefined, ["top"]);
  const failed = group
    .list()
    .flatMap(({ name, state }) => (state.kind === "failed" ? [name, state.error.message] : []));
  assert.deepEqual(failed, []);
}

async function equal(fixture: ViewsFixture): Promise<void> {
  for (const { name, sql } of views) {
    const [is, ought] = [await fixture.rows(`select * from views.${name}`), await fixture.rows(sql.text)];
    assert.ok(is.length === ought.length && is.every((row, i) => row === ought[i]), `${name} is not its query`);
  }
}

const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
const seeds = Array.from({ length: Number(process.env.MILLRACE_MODEL_RUNS ?? 1) }, (_, i) => firstSeed + i);

for (const seed of seeds) {
  test(`keys of any length are kept like short ones, before and after a rebuild (seed ${seed})`, async () => {
    await using fixture = await ViewsFixture.open();
    const shop = await fixture.source("shop", [notes, teams]);
    const group = await fixture.group(views);
    const history = new Notes(shop, seed);
    await shop.snapshot([]);
    for (let i = 0; i < 6; i++) await history.change(true);
    await settled(fixture, group);
    for (let i = 0; i < 12; i++) await history.change(false);
    await settled(fixture, group);
    await equal(fixture);
    for (const { name } of views) await group.rebuild(name);
    for (let i = 0; i < 12; i++) await history.change(false);
    await settled(fixture, group);
    await equal(fixture);
  });
}

test("an index that was widened is still used, and still keeps keys apart", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [notes, teams]);
  const group = await fixture.group(views);
  const text = long(seededRandom(3));
  await shop.snapshot([{ table: notes, insert: ["1", text, null, "1", null, null] }]);
  await settled(fixture, group);
  const client = await fixture.pool.connect();
  try {
    await client.query("set enable_seqscan = off");
    const plan = async (sql: string) => {
      const { rows } = await client.query<{ "QUERY PLAN": string }>(`explain (costs off) ${sql}`);
      return rows.map((row) => row["QUERY PLAN"]).join("\n");
    };
    for (const [view, column] of Object.entries({
      per_team: "team",
      per_both: "team",
      per_note: "note",
      listed: "team",
    })) {
      const { rows } = await client.query<{ version: number }>(
        "select version from millrace.view_versions where name = $1 and state = 'live'",
        [view],
      );
      const table = `millrace."${view}__${rows[0]?.version}"`;
      assert.match(await plan(`select * from views.${view} where ${column} = 'x'`), /Index/, view);
      const twice = client.query(`insert into ${table} select * from ${table}`);
      await assert.rejects(twice, /duplicate key|conflicting key/, view);
    }
    assert.match(await plan("select * from shop.notes where team = 'x'"), /Index/);
    assert.match(await plan(`select * from views."traced.history" where team = 'x'`), /Index/);
  } finally {
    client.release();
  }
});
