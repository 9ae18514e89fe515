import assert from "node:assert/strict";
import { test } from "node:test";
import { compileView } from "./compile.ts";
import type { ViewClass } from "./compiled-view.ts";
import { viewOf } from "./group-fixture.ts";
import { tableShape } from "./source-fixture.ts";
import { makeTables, stateIndexes } from "./versions-build.ts";

const shape = tableShape("shop", "orders", ["id integer", "status text", "amount integer"]);

/** `status` may be NULL, so that a key over it has a type of its own. */
const views: Readonly<Record<ViewClass, string>> = {
  linear: "select id, status from shop.orders",
  additive: "select status, count(*) as n from shop.orders group by status",
  keyed: "select status, max(amount) as most from shop.orders group by status",
  whole: "select id, status from shop.orders order by amount limit 3",
};

for (const [kind, text] of Object.entries(views)) {
  test(`a version of the class ${kind} gets its indexes when its rows are there, and all that it needs once`, async () => {
    const definition = { ...viewOf("v", text), ...(kind === "whole" ? { refreshMs: 1_000 } : {}) };
    const view = await compileView({ view: definition, mirrors: [{ id: 1, shape }], version: 2 });
    assert.equal(view.class, kind);
    const made = makeTables(view);
    const indexes = view.create.filter((sql) => /^create (unique )?index/.test(sql));
    assert.ok(indexes.some((sql) => sql.includes(view.stateTable)));
    assert.deepEqual(stateIndexes(view), indexes);
    assert.deepEqual(
      made.filter((sql) => view.create.includes(sql)),
      view.create.filter((sql) => !indexes.includes(sql)),
    );
  });
}
