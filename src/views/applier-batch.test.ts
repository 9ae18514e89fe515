/** Which joins the planner may take, statement by statement: a few rows drive them by indexes, many are joined as whole tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../catalog/definitions.ts";
import { planBatch } from "./applier-batch.ts";
import { compileView } from "./compile.ts";
import { mirrorTable } from "./mirror.ts";
import { tableShape } from "./source-fixture.ts";
import { StagedTable } from "./staging.ts";

const shape = tableShape("shop", "parts", ["id integer", "parent integer"]);
const mirror = { id: 1, shape };

const queries = {
  linear:
    "select a.id, b.id as other, c.id as third from parts a join parts b on b.parent = a.parent join parts c on c.parent = b.parent",
  keyed:
    "select a.id, count(b.id) as n, max(b.id) as most from parts a left join parts b on b.parent = a.parent group by a.id",
};

/** For each statement whether it may hash whole tables. */
async function hashing(query: string, rows: number, fresh: boolean): Promise<Map<string, boolean>> {
  const compiled = await compileView({ view: view("v", { ...sql``, text: query }), mirrors: [mirror], version: 1 });
  const table = new StagedTable(shape);
  for (let i = 0; i < rows; i++) {
    const row = [String(i), "1"];
    table.apply(i, { op: "upsert", debeziumOp: "u", row, before: null, oldKey: null });
  }
  const layout = { mirrors: new Map([[1, mirror]]), views: [compiled], recording: [] };
  const options = { step: 1, sweep: false, straight: false, fresh };
  let on = false;
  const seen = new Map<string, boolean>();
  for (const { sql: statement } of planBatch(layout, new Map([[1, table]]), 7, options)) {
    const set = /enable_hashjoin = (on|off)/.exec(statement)?.[1];
    if (set !== undefined) on = set === "on";
    else seen.set(statement, on);
  }
  assert.equal(on, false, "what follows a batch finds the connection as it was");
  return seen;
}

test("a table's changes are joined with themselves by hashing where they are many, and other statements are as they were", async () => {
  for (const query of Object.values(queries)) {
    const self = (statement: string) => /union all select/.test(statement) && /into pg_temp\."dv_/.test(statement);
    const few = await hashing(query, 5, false);
    const some = await hashing(query, 60, false);
    const many = await hashing(query, 600, true);
    assert.ok([...few.keys()].some(self), query);
    for (const [statement, on] of few) if (self(statement)) assert.equal(on, false, statement);
    for (const [statement, on] of some) if (self(statement)) assert.equal(on, true, statement);
    const merges = (of: ReadonlyMap<string, boolean>) =>
      [...of].filter(([statement]) => statement.startsWith(`merge into ${mirrorTable(shape)}`)).map(([, on]) => on);
    assert.ok(merges(some).every((on) => !on));
    assert.ok(merges(many).every((on) => on));
  }
});

test("what one term alone finds is merged in one statement, and what several find is gathered", async () => {
  const tables = [
    { id: 1, shape },
    { id: 2, shape: tableShape("shop", "kinds", ["id integer", "name text"]) },
  ];
  const text = "select p.id, k.name from parts p join kinds k on k.id = p.parent";
  const compiled = await compileView({ view: view("v", { ...sql``, text }), mirrors: tables, version: 1 });
  const layout = { mirrors: new Map(tables.map((one) => [one.id, one])), views: [compiled], recording: [] };
  const options = { step: 1, sweep: false, straight: false, fresh: false };
  const staged = (...ids: readonly number[]) =>
    new Map(
      ids.map((id) => {
        const table = new StagedTable(tables[id - 1]?.shape ?? shape);
        table.apply(0, { op: "upsert", debeziumOp: "u", row: ["1", "1"], before: null, oldKey: null });
        return [id, table];
      }),
    );
  const ofView = (...ids: readonly number[]) =>
    planBatch(layout, staged(...ids), 7, options).filter(({ owner }) => owner === "view v");
  for (const id of [1, 2]) {
    const [only, ...others] = ofView(id);
    assert.deepEqual([only?.values, others], [[7], []]);
    assert.doesNotMatch(only?.sql ?? "", /"dv_/);
  }
  assert.equal(ofView(1, 2).length, compiled.clear.length + compiled.terms.length + 1);
});
