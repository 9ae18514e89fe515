import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { arrange, collectDefinitions } from "./collect.ts";
import { postgres, sql, topic, view, webhook } from "./definitions.ts";

const url = "postgres://shop@127.0.0.1/shop";
const shop = postgres("shop", { url, tables: ["orders", "audit.events", { name: "clicks", appendOnly: true }] });

function refused(code: string, message: RegExp, act: () => unknown): void {
  assert.throws(act, (error) => MillraceError.is(error) && error.code === code && message.test(error.message));
}

test("a source's tables are references that spell themselves in SQL", () => {
  const query = sql`select * from ${shop.orders} join ${shop["audit.events"]} using (id)`;
  assert.equal(query.text, 'select * from "shop"."orders" join "shop"."audit.events" using (id)');
  const second = query.references[1];
  assert.ok(second);
  assert.equal(query.text.slice(second.start, second.end), '"shop"."audit.events"');
});

const stripe = webhook("stripe", { verify: { kind: "verifier", keepHeaders: [] } as never });

test("topics and webhooks are references that spell themselves in SQL", () => {
  const payments = topic("payments.v1");
  const query = sql`select * from ${payments} p join ${stripe} s on s._key = p._key`;
  assert.equal(query.text, 'select * from topics."payments.v1" p join topics."stripe" s on s._key = p._key');
  assert.deepEqual(
    query.references.map(({ to, start, end }) => [to, query.text.slice(start, end)]),
    [
      [payments, 'topics."payments.v1"'],
      [stripe, 'topics."stripe"'],
    ],
  );
  refused("DEFINITION_INVALID", /its name is too long/, () => sql`select * from ${topic("a".repeat(64))}`);
});

test("a topic and a webhook that a view reads have to be exported, or be what a view is published to", () => {
  const payments = topic("payments");
  const reading = (to: typeof payments | typeof stripe) => view("paid", sql`select * from ${to}`);
  refused("DEFINITION_INVALID", /reads topic "payments", which the module does not export/, () =>
    arrange([reading(payments)]),
  );
  refused("DEFINITION_INVALID", /reads webhook "stripe", which/, () => arrange([reading(stripe), payments]));
  assert.equal(arrange([reading(payments), payments]).views.length, 1);
  assert.equal(arrange([reading(stripe), stripe]).views.length, 1);
  const published = view("open", sql`select 1`, { publish: "payments" });
  assert.equal(arrange([reading(payments), published]).views.length, 2);
});

test("a view may say that the store is the only copy of what it is made of", () => {
  assert.equal(view("paid", sql`select 1`, { history: "store" }).history, "store");
  assert.ok(!("history" in view("paid", sql`select 1`)));
  for (const history of [false, "log", null]) {
    refused("DEFINITION_INVALID", /history is/, () => view("paid", sql`select 1`, { history } as never));
  }
});

test("a table may be declared append-only", () => {
  assert.deepEqual(
    shop.tables.map((table) => [table.schema, table.table, table.appendOnly]),
    [
      ["public", "orders", false],
      ["audit", "events", false],
      ["public", "clicks", true],
    ],
  );
});

test("a value in SQL that is no reference is refused with its number", () => {
  refused("DEFINITION_INVALID", /number 1/, () => sql`select ${5 as never}`);
  refused(
    "DEFINITION_INVALID",
    /number 1/,
    () => sql`select * from ${(shop as never as Record<string, never>).missing as never}`,
  );
});

test("bad names, urls and tables are refused where they are written", () => {
  refused("DEFINITION_INVALID", /source name "Shop"/, () => postgres("Shop", { url, tables: ["a"] }));
  for (const name of ["views", "topics"]) {
    refused("DEFINITION_INVALID", /taken/, () => postgres(name, { url, tables: ["a"] }));
  }
  refused("DEFINITION_INVALID", /needs a url/, () => postgres("shop", { url: undefined as never, tables: ["a"] }));
  refused("DEFINITION_INVALID", /names no tables/, () => postgres("shop", { url, tables: [] }));
  refused("DEFINITION_DUPLICATE", /twice/, () => postgres("shop", { url, tables: ["a", "a"] }));
  refused("DEFINITION_INVALID", /view name/, () => view("a-b", sql`select 1`));
  refused("DEFINITION_INVALID", /needs its query/, () => view("a", "select 1" as never));
});

test("a first load reads over one to eight connections", () => {
  const of = (snapshot: object) =>
    postgres("shop", { url, tables: ["a"], snapshot: snapshot as never }).snapshot.connections;
  assert.deepEqual([of({ connections: 1 }), of({ connections: 8 }), of({})], [1, 8, null]);
  assert.equal(shop.snapshot.connections, null);
  for (const connections of [0, 9, 1.5, "2", null, true]) {
    const given = connections === null ? (null as never) : { connections };
    refused("DEFINITION_INVALID", /source "shop" has the snapshot/, () => of(given));
  }
  refused("DEFINITION_INVALID", /snapshot of source "shop" .*"conections"/, () => of({ conections: 2 }));
});

test("an option that does not exist is refused with those that do", () => {
  const clicks = { name: "clicks", apendOnly: true };
  refused("DEFINITION_INVALID", /table "clicks" .*"apendOnly"/, () => postgres("shop", { url, tables: [clicks] }));
  const slotted = { url, tables: ["a"], keepslot: true };
  refused("DEFINITION_INVALID", /source "shop" .*"keepslot"/, () => postgres("shop", slotted));
  for (const references of [
    { customer: { view: "customers" } },
    { customer: { view: "customers", on: {} } },
    { customer: { view: 5, on: { a: "b" } } },
    { customer: { view: "customers", on: { a: 1 } } },
    { customer: { view: "customers", on: { a: "b" }, inner: true } },
    { "Cust omer": { view: "customers", on: { a: "b" } } },
    { customer: null },
  ]) {
    refused("DEFINITION_INVALID", /view "a"/, () => view("a", sql`select 1`, { references } as never));
  }
  const bad: Record<string, RegExp> = {
    '{"search": []}': /search cannot be used: it names no column/,
    '{"search": "title"}': /search cannot be used: it takes columns/,
    '{"search": {"columns": ["a"], "langage": "english"}}': /"langage", which is none/,
    '{"search": {"columns": ["a"], "language": "klingon"}}': /language "klingon", which is none/,
    '{"search": {"columns": ["a"], "synonyms": {}}}': /synonyms are lists/,
    '{"search": {"columns": ["a"], "synonyms": [["tv"]]}}': /synonyms are lists/,
    '{"search": {"columns": ["a"], "synonyms": [["tv", "tele vision"]]}}': /"tele vision" is no word/,
    '{"search": {"columns": ["a"], "synonyms": [["tv", "a-b"]]}}': /is no word/,
    '{"search": {"columns": ["a"], "synonyms": [["tv", "a"], ["TV", "b"]]}}': /have "tv" twice/,
    '{"search": [{"column": "a", "weight": "E"}]}': /a weight is A, B, C or D/,
    '{"search": ["a", "a"]}': /names a column twice/,
    '{"fuzzy": [5]}': /a column is named by a text/,
    '{"fuzzy": "a"}': /names no column/,
    '{"geo": {"lat": "a"}}': /a column is named by a text/,
    '{"geo": {"lat": "a", "lng": "b"}}': /"lng", which is none/,
    '{"geo": null}': /geo cannot be used/,
    '{"tree": []}': /tree cannot be used: it names no column/,
    '{"tree": [5]}': /a column is named by a text/,
    '{"tree": ["a", "a"]}': /names a column twice/,
    '{"tree": null}': /tree cannot be used/,
  };
  for (const [options, message] of Object.entries(bad)) {
    refused("DEFINITION_INVALID", message, () => view("a", sql`select 1`, JSON.parse(options)));
  }
  refused("DEFINITION_INVALID", /view "a" .*"kye"/, () => view("a", sql`select 1`, { kye: "id" } as never));
});

test("the exports of a module are collected once each, arrays included", () => {
  const cards = view("cards", sql`select * from ${shop.orders}`);
  const found = collectDefinitions({ shop, cards, again: cards, list: [shop], other: 5, nothing: null });
  assert.deepEqual(new Set(found), new Set([shop, cards]));
});

test("two definitions of one name, and a source that is not exported, are refused", () => {
  const cards = view("cards", sql`select * from ${shop.orders}`);
  refused("DEFINITION_DUPLICATE", /two views are called "cards"/, () =>
    arrange([shop, cards, view("cards", sql`select 1`)]),
  );
  refused("DEFINITION_DUPLICATE", /two sources/, () => arrange([shop, postgres("shop", { url, tables: ["x"] })]));
  refused("DEFINITION_INVALID", /does not export/, () => arrange([cards]));
  refused("DEFINITION_DUPLICATE", /"public.orders" twice/, () =>
    arrange([postgres("s", { url, tables: ["orders", "public.orders"] })]),
  );
});
