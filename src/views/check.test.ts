import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { checkDefinitions } from "./check.ts";

const shapes: readonly TableShape[] = ["orders", "customers"].map((table) => ({
  source: "shop",
  schema: "public",
  table,
  topic: `shop.public.${table}`,
  columns: [
    { name: "id", sourceType: "integer", storeType: "integer", nullable: false, carriedAsText: false },
    { name: "place", sourceType: "mood", storeType: "text", nullable: true, carriedAsText: true },
  ],
  key: ["id"],
  appendOnly: false,
}));

function define(name: string, text: string) {
  return view(name, { ...sql``, text });
}

test("each definition is checked by itself: one that fails does not hide the others", async () => {
  const checked = await checkDefinitions(
    [define("good", "select id from orders"), define("bad", "select idd from orders"), define("worse", "selekt")],
    shapes,
  );
  assert.deepEqual(
    checked.map(({ view: { name }, compiled, error }) => [name, compiled?.class ?? null, error?.code ?? null]),
    [
      ["good", "linear", null],
      ["bad", null, "VIEW_UNKNOWN_COLUMN"],
      ["worse", null, "VIEW_SQL_INVALID"],
    ],
  );
});

test("views that read each other in a circle are refused, naming the circle", async () => {
  const checked = await checkDefinitions(
    [
      define("a", "select id from views.b"),
      define("b", "select id from (select id from views.c) x"),
      define("c", 'with w as (select id from "views"."a") select id from w'),
      define("self", "select id from views.self"),
      define("outside", "select id from views.a"),
    ],
    shapes,
  );
  assert.deepEqual(
    checked.map(({ error }) => error?.code),
    ["VIEW_CYCLE", "VIEW_CYCLE", "VIEW_CYCLE", "VIEW_CYCLE", "VIEW_CYCLE"],
  );
  assert.match(checked[1]?.error?.message ?? "", /"a" reads "b" reads "c" reads "a"/);
  assert.match(checked[3]?.error?.message ?? "", /"self" reads "self"/);
});

test("a reference is checked against the other view: its name, its columns and its key", async () => {
  const refer = (name: string, to: string, on: Record<string, string>, reference = "customer") =>
    view(name, { ...sql``, text: "select id, place from orders" }, { references: { [reference]: { view: to, on } } });
  const checked = await checkDefinitions(
    [
      define("people", "select id, place as city from customers"),
      refer("good", "people", { place: "id" }),
      refer("no_view", "peopel", { place: "id" }),
      refer("no_column", "people", { plaec: "id" }),
      refer("no_other", "people", { place: "citi" }),
      refer("no_key", "people", { place: "city" }),
      refer("taken", "people", { place: "id" }, "place"),
      refer("itself", "itself", { place: "id" }, "parent"),
      define("places", "select place from customers"),
      refer("keyless", "places", { place: "place" }),
    ],
    shapes,
  );
  const told = checked.map(({ error }) =>
    error === null ? null : `${error.code} ${error.message} ${error.hint ?? ""}`,
  );
  for (const [i, form] of [
    null,
    null,
    /"peopel".*"people"/,
    /"plaec".*"place"/,
    /"citi".*"city"/,
    /"id"/,
    /column/,
    null,
    null,
    /"places", which has no key/,
  ].entries()) {
    if (form === null) assert.equal(told[i], null);
    else assert.match(told[i] ?? "", new RegExp(`^VIEW_OPTION_INVALID .*${form.source}`, "s"));
  }
  assert.deepEqual(checked[1]?.compiled?.create.slice(-1), ['create index on millrace."good__1" ("place")']);
  assert.notEqual(
    checked[1]?.compiled?.hash,
    (await checkDefinitions([define("good", "select id, place from orders")], shapes))[0]?.compiled?.hash,
  );
});

test("a join without an index and a column carried as text are warned of", async () => {
  const [first] = await checkDefinitions(
    [define("v", "select o.id, c.id as c, o.place from orders o join customers c on c.id > o.id")],
    shapes,
  );
  assert.equal(first?.error, null);
  assert.match(first?.warnings.join("\n") ?? "", /a change of "shop\.orders" reads all of "shop\.customers"/);
  assert.match(first?.warnings.join("\n") ?? "", /"shop\.orders"\."place" \(mood\) is carried as text/);
});

test("a view that cannot be published as its definition says is refused", async () => {
  const publish = (name: string, text: string, topic: string) => view(name, { ...sql``, text }, { publish: topic });
  const checked = await checkDefinitions(
    [
      publish("keyless", "select place from orders", "keyless-topic"),
      publish("good", "select id, place from orders", "good-topic"),
      publish("round", "select o.id from orders o join views.between b on b.n = o.id", "round-topic"),
      define("between", `select count(*) as n from topics."round-topic"`),
    ],
    shapes,
  );
  assert.deepEqual(
    checked.slice(0, 3).map(({ error }) => error?.code),
    ["PUBLISH_KEY_MISSING", undefined, "PUBLISH_CYCLE"],
  );
});

test("a history is checked as the table that it will be, and none of a circle", async () => {
  const kept = view("kept", { ...sql``, text: "select id, place from orders" }, { history: true });
  const over = define("over", `select id, _valid_from, place from ${'views."kept.history"'}`);
  const sums = define("sums", 'select place, sum(id) as ids from views."kept.history" group by place');
  const columns = [
    { name: "id", type: "integer", nullable: false },
    { name: "place", type: "text", nullable: true },
  ];
  const typed = { name: "kept", hash: "", key: ["id"], columns };
  const self = view("self", { ...sql``, text: 'select id from views."self.history"' }, { history: true });
  const checked = await checkDefinitions([sums, over, kept, self], shapes, new Map(), [typed]);
  assert.deepEqual(
    checked.map(({ compiled, error }) => error?.code ?? [compiled?.class, compiled?.key]),
    [["additive", ["place"]], ["linear", ["id", "_valid_from"]], ["linear", ["id"]], "VIEW_CYCLE"],
  );
  const untyped = await checkDefinitions([sums, kept], shapes);
  assert.deepEqual([untyped[0]?.error, untyped[0]?.compiled], [null, null]);
  assert.match(untyped[0]?.warnings[0] ?? "", /not known before view "kept" is live/);
});
