import assert from "node:assert/strict";
import { test } from "node:test";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { VersionRow, VersionState } from "./bookkeeping.ts";
import { compileView } from "./compile.ts";
import { viewOf } from "./group-fixture.ts";
import { tableShape } from "./source-fixture.ts";
import { planVersions } from "./versions.ts";

const shape = tableShape("shop", "orders", ["id integer", "status text", "amount integer"]);
const mirrors = [{ id: 1, shape }];
const ids = viewOf("v", "select id from shop.orders", "id");
const statuses = viewOf("v", "select id, status from shop.orders", "id");
const amounts = viewOf("v", "select id, amount from shop.orders", "id");

async function row(definition: ViewDefinition, version: number, state: VersionState): Promise<VersionRow> {
  const { hash } = await compileView({ view: definition, mirrors, version });
  return { name: "v", version, hash, definition, reads: [], state, error: null };
}

/** The version that there is to be, the one that is read until then, and what is written. */
async function planned(definition: ViewDefinition, stored: readonly VersionRow[], options: { anew?: string } = {}) {
  const { views, write } = await planVersions({
    definitions: [definition],
    stored,
    mirrors,
    anew: new Set(options.anew === undefined ? [] : [options.anew]),
    compiledBefore: () => undefined,
    removed: "keep",
    sourcesUnknown: [],
    compile: compileView,
  });
  const [view] = views;
  return [
    `${view?.compiled?.version} ${view?.state.kind}`,
    view?.before?.compiled.version ?? null,
    write.map(({ version, state }) => `${version} ${state}`).join(", "),
  ];
}

test("a new definition begins the next version, and the live one is read until then", async () => {
  assert.deepEqual(await planned(ids, []), ["1 building", null, "1 building"]);
  assert.deepEqual(await planned(ids, [await row(ids, 1, "live")]), ["1 live", null, ""]);
  assert.deepEqual(await planned(statuses, [await row(ids, 1, "live")]), ["2 building", 1, "2 building"]);
});

test("of one live version and one to replace it, the next definition keeps what fits and retires the other", async () => {
  const both = [await row(ids, 1, "live"), await row(statuses, 2, "building")];
  assert.deepEqual(await planned(statuses, both), ["2 building", 1, ""]);
  assert.deepEqual(await planned(ids, both), ["1 live", null, "2 retired"]);
  assert.deepEqual(await planned(amounts, both), ["3 building", 1, "2 retired, 3 building"]);
});

test("a rebuild begins a version of the same definition; a failed one is not read meanwhile", async () => {
  const live = [await row(ids, 1, "live")];
  assert.deepEqual(await planned(ids, live, { anew: "v" }), ["2 building", 1, "2 building"]);
  const failed = [await row(ids, 4, "failed")];
  assert.deepEqual(await planned(ids, failed), ["4 failed", null, ""]);
  assert.deepEqual(await planned(ids, failed, { anew: "v" }), ["5 building", null, "4 retired, 5 building"]);
});

test("a live version whose tables are others now cannot be kept", async () => {
  const before = await row(ids, 1, "live");
  const other = { ...before, hash: "of another shape" };
  assert.deepEqual(await planned(statuses, [other]), ["2 building", null, "1 retired, 2 building"]);
});

test("a view above one that changes is begun anew, and the version before is kept as it was, also after a restart", async () => {
  const below = (text: string) => viewOf("below", text);
  const upper = viewOf("v", "select id from views.below b", "id");
  const plan = (lower: ViewDefinition, stored: readonly VersionRow[]) =>
    planVersions({
      definitions: [lower, upper],
      stored,
      mirrors,
      anew: new Set(),
      compiledBefore: () => undefined,
      removed: "keep",
      sourcesUnknown: [],
      compile: compileView,
    });
  const first = await plan(below("select id from orders"), []);
  const stored = first.write.map((row): VersionRow => ({ ...row, state: "live" }));
  assert.deepEqual(
    stored.find(({ name }) => name === "v")?.reads.map(({ name }) => name),
    ["below"],
  );
  const second = await plan(below("select id from orders where status = 'paid'"), stored);
  const again = second.views.find(({ definition }) => definition.name === "v");
  assert.deepEqual([again?.compiled?.version, again?.before?.compiled.version], [2, 1]);
});
