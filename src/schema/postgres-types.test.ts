import assert from "node:assert/strict";
import { test } from "node:test";
import { type PostgresType, printStoreType, storeTypeOf } from "./postgres-types.ts";

const base = { schema: "pg_catalog", type: "base", element: 0, base: 0, baseModifier: -1, notNull: false } as const;
const own = { ...base, schema: "public" } as const;
const types = new Map<number, PostgresType>(
  (
    [
      { ...base, oid: 1, name: "int4" },
      { ...base, oid: 2, name: "_int4", element: 1 },
      { ...own, oid: 3, name: "status", type: "enum" },
      { ...own, oid: 4, name: "_status", element: 3 },
      { ...own, oid: 5, name: "money_amount", type: "domain", base: 7, baseModifier: 9, notNull: true },
      { ...own, oid: 6, name: "_money_amount", element: 5 },
      { ...base, oid: 7, name: "numeric" },
      { ...own, oid: 8, name: "address", type: "composite" },
      { ...own, oid: 9, name: "int4" },
      { ...base, oid: 10, name: "point", element: 11 },
      { ...own, oid: 12, name: "numbers", type: "domain", base: 2 },
      { ...own, oid: 13, name: "_address", element: 8 },
      { ...own, oid: 14, name: "_numbers", element: 12 },
    ] as PostgresType[]
  ).map((type) => [type.oid, type]),
);

function printed(oid: number, modifier = -1): string {
  const type = storeTypeOf(oid, modifier, types);
  const text = printStoreType(type, type.print ? `${type.print.oid}/${type.print.modifier}` : "");
  return `${text}${type.carriedAsText ? " carried" : ""}${type.notNull ? " not null" : ""}`;
}

test("types that every PostgreSQL has stay what they are, with their modifier", () => {
  assert.equal(printed(7, 20), "7/20");
  assert.equal(printed(2), "1/-1[]");
});

test("enums are text, domains are what they are made of, also in arrays", () => {
  assert.equal(printed(3), "text");
  assert.equal(printed(4), "text[]");
  assert.equal(printed(5), "7/9 not null");
  assert.equal(printed(6), "7/9[]");
  assert.equal(printed(12), "1/-1[]");
});

test("what is not known is carried as text and said so", () => {
  for (const oid of [8, 9, 99]) assert.equal(printed(oid), "text carried");
  for (const oid of [10, 13, 14]) assert.equal(printed(oid), "text[] carried");
});
