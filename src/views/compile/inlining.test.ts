import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, type ViewDefinition, view } from "../../catalog/definitions.ts";
import { compileViewSync, loadParser } from "../compile.ts";
import { tableShape } from "../source-fixture.ts";

await loadParser();

const shape = tableShape("shop", "orders", ["id bigint", "status text", "customer_id bigint"], { key: ["id"] });
const mirrors = [{ id: 1, shape }];

function define(name: string, text: string): ViewDefinition {
  return view(name, { ...sql``, text });
}

test("a view that is read stands as its query where it is named; errors show the text as it was written", () => {
  const recent = define("recent", "select id, status, customer_id from orders -- all of them\n where id > 10;");
  const named = define("named", "select recent.id, views.recent.status from views.recent");
  const reads = (text: string, views = [recent, named]) =>
    compileViewSync({ view: define("v", text), mirrors, views, version: 1 });
  const compiled = reads("select n.id, n.status from views.named as n where n.status = 'paid'");
  assert.equal(compiled.class, "linear");
  assert.deepEqual(compiled.key, ["id"]);
  assert.match(compiled.explanation, /with the queries in their places of:\n {2}views\.named, views\.recent\n$/);
  assert.deepEqual(compiled.uses, [{ mirrorId: 1, columns: ["id", "status"] }]);
  assert.notEqual(
    compiled.hash,
    reads("select n.id, n.status from views.named as n where n.status = 'paid'", [
      define("recent", "select id, status, customer_id from orders where id > 11"),
      named,
    ]).hash,
  );
  const misplaced = () => reads("select n.id,\n  n.nothing\nfrom views.named n");
  assert.throws(misplaced, { code: "VIEW_UNKNOWN_COLUMN", message: /\nline 2: {3}n\.nothing\n {10}\^$/ });
  const behind = () => reads("select n.id from views.named n\nwhere n.nothing = 1");
  assert.throws(behind, { message: /\nline 2: where n\.nothing = 1\n {14}\^$/ });
  // What is wrong with the whole, in words of the view below, is shown where that one is read.
  const ranked = define("ranked", "select id, rank() over (partition by customer_id order by id) as r from orders");
  const within = () => reads("select max(r.r) as highest\nfrom views.ranked r", [ranked]);
  assert.throws(within, { code: "VIEW_UNSUPPORTED", message: /\nline 2: from views\.ranked r\n {13}\^$/ });
});

test("a view that cannot be read is named where it is read", () => {
  const bad = define("bad", "select id, nothing from orders");
  const free = define("free", "with orders as (select id from orders) select id from orders");
  const reads = (text: string) => () =>
    compileViewSync({ view: define("v", text), mirrors, views: [bad, free], version: 1 });
  assert.throws(reads("select id from views.fre"), { code: "VIEW_UNKNOWN_TABLE", hint: 'Did you mean "free"?' });
  assert.throws(reads("select b.id\nfrom views.bad b"), {
    code: "VIEW_UNKNOWN_COLUMN",
    message: /it reads view "bad", which cannot be kept: .*nothing.*\nline 2: from views\.bad b\n {13}\^$/,
  });
  // Its table would be the other's part.
  const captured = reads("with orders as (select 1 as id) select f.id from views.free f, orders where f.id > 0");
  assert.throws(captured, { code: "VIEW_UNSUPPORTED", message: /WITH names "orders"/ });
  reads("with others as (select id from orders) select f.id from views.free f join others using (id)")();
});

test("views that read each other twice, again and again, are refused before they fill the memory", () => {
  const views = [define("v0", "select id from orders")];
  for (let i = 1; i < 40; i++)
    views.push(define(`v${i}`, `select a.id from views.v${i - 1} a join views.v${i - 1} b using (id)`));
  const compileLast = () => compileViewSync({ view: views[39] as ViewDefinition, mirrors, views, version: 1 });
  assert.throws(compileLast, { code: "VIEW_UNSUPPORTED" });
});
