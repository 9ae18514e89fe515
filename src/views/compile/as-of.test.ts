import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../../catalog/definitions.ts";
import { compileViewSync } from "../compile.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { historyShape } from "../history/history-table.ts";
import { refused, table } from "./compile-fixture.ts";

const rates = view("rates", sql`select country, rate from shop.rates`, { history: true });
const sales = table(
  1,
  "sales",
  ["id integer", "country text", "amount integer", "at timestamptz", "paid timestamptz?"],
  ["id"],
);
const history: MirrorBinding = {
  id: 2,
  shape: historyShape(
    "rates",
    ["country"],
    [
      { name: "country", type: "text" },
      { name: "rate", type: "numeric" },
    ],
  ),
};
const mirrors = [sales, history];

const compiled = (text: string, key?: string) =>
  compileViewSync({
    view: view("v", { ...sql``, text }, key === undefined ? {} : { key }),
    mirrors,
    views: [rates],
    version: 1,
  });

const joined = (on: string, kind = "join") =>
  `select s.id, r.rate from shop.sales s ${kind} views."rates.history" r on r.country = s.country and ${on}`;

test("a version that was valid at a moment is known by its key and the moment, in every order of words", () => {
  for (const on of [
    "r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)",
    "s.at >= r._valid_from and (s.at < r._valid_to or r._valid_to is null)",
    "(r._valid_to > s.at or r._valid_to is null) and r._valid_from <= s.at",
    "r._valid_from <= '2026-03-01Z' and (r._valid_to is null or r._valid_to > '2026-03-01Z')",
  ]) {
    assert.deepEqual(compiled(joined(on), "id").key, ["id"], on);
    assert.deepEqual(
      [compiled(joined(on, "left join"), "id").key, compiled(joined(on, "left join"), "id").class],
      [["id"], "keyed"],
    );
  }
});

test("what may be two versions of a row has no such key", () => {
  for (const on of [
    "r._valid_from <= s.at",
    "r._valid_to is null or s.at < r._valid_to",
    "r._valid_from < s.at and (r._valid_to is null or s.at < r._valid_to)",
    "r._valid_from <= s.at and (r._valid_to is null or s.at <= r._valid_to)",
    "r._valid_from <= s.at and (r._valid_to is null or s.paid < r._valid_to)",
    "r._valid_from <= s.at or (r._valid_to is null or s.at < r._valid_to)",
  ]) {
    for (const kind of ["join", "left join"])
      refused("VIEW_KEY_NOT_UNIQUE", joined(on, kind), /not known/, mirrors, ["id"], [rates]);
  }
  // All versions are there, whatever the condition says of those that meet a sale.
  const kept = `select s.id, r.country, r._valid_from from views."rates.history" r left join shop.sales s
    on r.country = s.country and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)`;
  refused("VIEW_KEY_NOT_UNIQUE", kept, /not known/, mirrors, ["country"], [rates]);
  assert.deepEqual(compiled('select country, _valid_from, rate from views."rates.history"').key, [
    "country",
    "_valid_from",
  ]);
});

test("the join is served by indexes that have the moment", () => {
  const { mirrorIndexes, scans } = compiled(
    joined("r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)"),
    "id",
  );
  assert.deepEqual(mirrorIndexes, [
    { mirrorId: 1, columns: ["country", "at"] },
    { mirrorId: 2, columns: ["country", "_valid_from"] },
  ]);
  assert.deepEqual(scans, []);
});

test("a history is read by its own name, of a view that keeps one", () => {
  const read = (name: string) => `select country from views."${name}.history"`;
  refused("VIEW_UNKNOWN_TABLE", read("rate"), /no view is called "rate"[\s\S]*Did you mean "rates"/, mirrors, null, [
    rates,
  ]);
  refused(
    "VIEW_UNKNOWN_TABLE",
    read("rates"),
    /is not known yet[\s\S]*It begins when view "rates" is live/,
    [sales],
    null,
    [rates],
  );
  const plain = view("rates", rates.sql);
  refused("VIEW_UNKNOWN_TABLE", read("rates"), /keeps no history[\s\S]*history: true/, mirrors, null, [plain]);
  assert.equal(sql`select country from ${rates.history}`.text, 'select country from views."rates.history"');
});

test("what has no key, or is run again as a whole, has no history", () => {
  const kept = (text: string, refresh = {}) =>
    compileViewSync({
      view: view("v", { ...sql``, text }, { history: true, ...refresh }),
      mirrors,
      views: [],
      version: 1,
    });
  assert.throws(() => kept("select country from shop.sales"), { code: "VIEW_OPTION_INVALID" });
  assert.throws(() => kept("select id, at as _valid_to from shop.sales"), { code: "VIEW_OPTION_INVALID" });
  const whole = "select id, row_number() over (order by at) as n from shop.sales";
  assert.throws(() => kept(whole, { refresh: "30s" }), { code: "VIEW_UNSUPPORTED" });
  assert.equal(kept("select id from shop.sales").history, true);
});
