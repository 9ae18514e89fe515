import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, refused, table } from "./compile-fixture.ts";

const orders = table(1, "orders", ["id bigint", "customer_id bigint", "status text", "doc json?"], ["id"]);
const customers = table(2, "customers", ["customer_id bigint", "name text", "region text?"], ["customer_id"]);
const vips = table(3, "vips", ["customer_id bigint", "since date"], ["customer_id"]);
const events = table(4, "events", ["kind text?", "at date?"], null);
const mirrors = [orders, customers, vips, events];

test("a natural join is by the columns that both sides show, which stand first and once", () => {
  const joined = compiled("select * from orders natural join customers natural left join vips", mirrors);
  const columns = ["customer_id", "id", "status", "doc", "name", "region", "since"];
  assert.deepEqual([joined.publicColumns, joined.class, joined.key], [columns, "keyed", ["id"]]);
  const inner = compiled("select customer_id, name, since from customers natural join vips", mirrors);
  assert.deepEqual([inner.class, inner.key], ["linear", ["customer_id"]]);
  assert.deepEqual(inner.scans, []);
  const nothingInCommon = compiled(
    "select id, kind, count(*) as n from orders natural join events group by id, kind",
    mirrors,
  );
  assert.equal(nothingInCommon.scans.length, 2);
});

test("hidden columns of mirrors do not meet", () => {
  const keyless = compiled("select kind, count(*) as n from events natural join events e group by kind", mirrors);
  const pinned = '(select "kind", "at" from "shop"."events")';
  assert.ok(keyless.query.includes(`from ${pinned} as "events" natural join ${pinned} e`), keyless.query);
});

test("a column that both tables come to have is joined by, and makes another version", () => {
  const text = "select customer_id, region, since from customers natural join vips";
  const grown = table(3, "vips", ["customer_id bigint", "since date", "region text?"], ["customer_id"]);
  const [before, after] = [compiled(text, mirrors), compiled(text, [orders, customers, grown, events])];
  assert.notEqual(after.hash, before.hash);
  assert.deepEqual(after.uses.find((one) => one.mirrorId === 3)?.columns, ["customer_id", "since", "region"]);
});

test("a natural join by columns that do not compare, or stand there twice, is refused", () => {
  const fails = (text: string, says: RegExp, code: "VIEW_SQL_INVALID" | "VIEW_COLUMN_AMBIGUOUS") =>
    refused(code, text, says, mirrors);
  const texts = "(select customer_id::text as customer_id, name from customers) c";
  for (const kind of ["natural join", "natural left join"]) {
    fails(`select id from orders ${kind} ${texts}`, /types int8 and text[\s\S]*using/, "VIEW_SQL_INVALID");
    fails(`select x.id from orders x ${kind} (select id, doc from orders) y`, /type json/, "VIEW_SQL_INVALID");
    const twice = `select id from orders o join vips v on v.customer_id = o.id ${kind} customers`;
    fails(twice, /"customer_id" of a natural join is more than once/, "VIEW_COLUMN_AMBIGUOUS");
  }
  refused("VIEW_UNSUPPORTED", "select id from orders natural join only customers", /Leave ONLY out/, mirrors);
});
