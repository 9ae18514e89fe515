import assert from "node:assert/strict";
import { test } from "node:test";
import type { TableShape } from "../schema/table-shape.ts";
import { compareRelation } from "./captured-table.ts";
import type { Relation } from "./pgoutput.ts";

const column = (name: string) => ({
  name,
  sourceType: "integer",
  storeType: "integer",
  nullable: true,
  carriedAsText: false,
});
const shape: TableShape = {
  source: "shop",
  schema: "public",
  table: "t",
  topic: "shop.public.t",
  columns: [column("id"), column("v")],
  key: ["id"],
  appendOnly: false,
};
const table = {
  shape,
  types: [
    { oid: 23, modifier: -1 },
    { oid: 23, modifier: -1 },
  ],
};
const told = (name: string, more: Partial<Relation["columns"][number]> = {}) => ({
  name,
  typeOid: 23,
  typeModifier: -1,
  identity: name === "id",
  ...more,
});
const relation: Relation = {
  oid: 1,
  schema: "public",
  table: "t",
  identity: "default",
  columns: [told("id"), told("v")],
};

function kind(more: Partial<Relation>): string {
  const change = compareRelation(table, { ...relation, ...more });
  return change.kind === "other" ? change.reason.replace(/^.*?: /, "") : change.kind;
}

test("what the stream tells of a table is the same, grown, or something else with a reason", () => {
  assert.equal(kind({}), "same");
  assert.equal(kind({ columns: [...relation.columns, told("w")] }), "columns-added");
  assert.equal(kind({ columns: [told("id")] }), 'column "v" is gone');
  assert.equal(kind({ columns: [told("id"), told("w")] }), 'column "w" stands where "v" was');
  assert.equal(kind({ columns: [told("id"), told("v", { typeOid: 25 })] }), 'column "v" has another type');
  assert.equal(kind({ columns: [told("id"), told("v", { typeModifier: 5 })] }), 'column "v" has another type');
  assert.equal(
    kind({ columns: [told("id", { identity: false }), told("v", { identity: true })] }),
    "its key is another one",
  );
  assert.equal(kind({ table: "u" }), 'it is called "public.u" now');
});

test("under replica identity full the stream does not tell the key, and it is taken as it was", () => {
  const columns = relation.columns.map((one) => ({ ...one, identity: true }));
  assert.equal(kind({ identity: "full", columns }), "same");
});
