import assert from "node:assert/strict";
import { test } from "node:test";
import { arrange, collectDefinitions } from "../collect.ts";
import { type GroupOptions, group, sql, type ViewOptions, view } from "../definitions.ts";

const query = sql`select 1`;

test("a group is a name, and where its views live if not beside the others", () => {
  assert.deepEqual(group("reports"), { kind: "group", name: "reports", store: null });
  assert.deepEqual(group("reports", { store: undefined }).store, null, "of an environment variable that is not set");
  const store = "postgres://app:secret@db:5432/reports";
  assert.equal(group("reports", { store }).store, store);
  for (const name of ["main", "Reports", "a-b", "", 'x"; drop', "x".repeat(49), 7]) {
    assert.throws(() => group(name as string), { code: "DEFINITION_INVALID" }, String(name));
  }
  for (const wrong of ["", "mysql://db/x", 7, null, {}]) {
    assert.throws(
      () => group("reports", { store: wrong as string }),
      (error: Error & { code: string }) => error.code === "DEFINITION_INVALID" && !error.message.includes("mysql"),
    );
  }
  assert.throws(() => group("reports", { url: store } as GroupOptions), { hint: "Options are store." });
});

test("a view names its group by the definition or by its name, and main by none", () => {
  const reports = group("reports");
  assert.equal(view("a", query, { group: reports }).group, "reports");
  assert.equal(view("a", query, { group: "reports" }).group, "reports");
  assert.ok(!("group" in view("a", query, { group: "main" })));
  assert.ok(!("group" in view("a", query)));
  for (const wrong of [7, null, {}, "Not a name", { kind: "view", name: "reports" }]) {
    assert.throws(() => view("a", query, { group: wrong } as unknown as ViewOptions), { code: "DEFINITION_INVALID" });
  }
});

test("groups are collected from the exports; a view of one that is not among them is refused", () => {
  const reports = group("reports");
  const daily = view("daily", query, { group: reports });
  const found = collectDefinitions({ reports, list: [daily, reports], other: { kind: "group" } });
  assert.deepEqual(found, [reports, daily]);
  assert.deepEqual(arrange(found).groups, [reports]);
  assert.throws(() => arrange([daily]), {
    code: "VIEW_GROUP_UNKNOWN",
    message: 'view "daily" is in group "reports", which the module does not export',
    hint: 'Write `export const reports = group("reports")`. There are main.',
  });
  assert.throws(() => arrange([reports, group("reports")]), { code: "DEFINITION_DUPLICATE" });
  const twins = [
    group("one", { store: "postgres://a:secret@b/c" }),
    group("two", { store: "postgres://a:secret@b/c" }),
  ];
  assert.throws(() => arrange(twins), { code: "DEFINITION_INVALID", message: 'groups "one" and "two" have one store' });
  arrange([group("one"), group("two")]);
  const twin = view("daily", query);
  assert.throws(
    () => arrange([reports, daily, twin]),
    { code: "DEFINITION_DUPLICATE" },
    "names are those of all groups",
  );
});
