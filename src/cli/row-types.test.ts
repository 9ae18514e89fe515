import assert from "node:assert/strict";
import { test } from "node:test";
import { topic } from "../catalog/definitions.ts";
import { topicTables } from "../catalog/topic-table.ts";
import type { SchemaFile } from "../schema/table-shape.ts";
import { rowTypes, valueType } from "./row-types.ts";
import { printSchema } from "./schema-file.ts";

const column = (name: string, storeType: string, nullable = false) => {
  return { name, sourceType: storeType, storeType, nullable, carriedAsText: false };
};

const schema: SchemaFile = {
  version: 1,
  tables: [
    {
      source: "shop",
      schema: "public",
      table: "orders",
      topic: "shop.public.orders",
      columns: [column("id", "bigint"), column("the note", "text", true), column("weight", "double precision")],
      key: ["id"],
      appendOnly: false,
    },
  ],
  views: [{ name: "cards", hash: "h", key: ["id"], columns: [{ name: "lines", type: "integer", nullable: false }] }],
};

test("tables by topic and views by name have the types that HTTP answers", () => {
  assert.equal(
    rowTypes(schema, []),
    `// Written by \`millrace dev\` and \`millrace types\` from millrace-schema.json: do not edit, but commit it.

/** Not a number and the infinities, which JSON lacks, are texts. */
export type Float = number | "NaN" | "Infinity" | "-Infinity";

/** Rows of captured tables, by topic, and of topics, by what views call them. */
export interface Tables {
  readonly "shop.public.orders": {
    readonly id: string;
    readonly "the note": string | null;
    readonly weight: Float;
  };
}

/** Rows of views, by name. */
export interface Views {
  readonly cards: {
    readonly lines: number;
  };
}
`,
  );
});

test("views have those that they refer to and those that refer to them, but none that is there in two ways", () => {
  const to = (name: string, view: string) => ({ name, view, on: [["a", "id"]] as const });
  const views = [
    { name: "orders", references: [to("customer", "customers"), to("the note", "notes")] },
    { name: "customers" },
    { name: "notes", references: [to("by", "customers"), to("for", "customers")] },
  ];
  const types = rowTypes({ version: 1, tables: [], views: [] }, [], views);
  assert.equal(
    types.slice(types.indexOf("export interface Relations")),
    `export interface Relations {
  readonly customers: {
    readonly orders: { readonly view: "orders"; readonly many: true };
  };
  readonly notes: {
    readonly by: { readonly view: "customers"; readonly many: false };
    readonly for: { readonly view: "customers"; readonly many: false };
    readonly orders: { readonly view: "orders"; readonly many: true };
  };
  readonly orders: {
    readonly "the note": { readonly view: "notes"; readonly many: false };
    readonly customer: { readonly view: "customers"; readonly many: false };
  };
}
`,
  );
});

test("topics have the columns that views read of them", () => {
  const properties = { amount: { type: "number" }, at: { type: "string", format: "date-time" } };
  const topics = topicTables({ topics: [topic("paid.v1", { schema: { properties } })], webhooks: [] });
  const types = rowTypes({ version: 1, tables: [], views: [] }, topics);
  const [, columns] = /readonly "topics\.paid\.v1": \{\n([^}]*) {2}\};/.exec(types) ?? [];
  assert.deepEqual(columns?.trim().split(/;\s*/), [
    "readonly _partition: number",
    "readonly _offset: string",
    "readonly _time: string | null",
    "readonly _key: string | null",
    "readonly _headers: unknown",
    "readonly _value: unknown | null",
    "readonly _problem: string | null",
    "readonly amount: string | null",
    "readonly at: string | null",
    "",
  ]);
});

test("int8, numeric and times are texts, json is unknown, arrays may hold nulls", () => {
  const expected: Readonly<Record<string, string>> = {
    bigint: "string",
    "numeric(12,2)": "string",
    "timestamp(3) with time zone": "string",
    "character varying(20)": "string",
    bytea: "string",
    smallint: "number",
    real: "Float",
    boolean: "boolean",
    jsonb: "unknown",
    "integer[]": "readonly (number | null)[]",
    "numeric(3,1)[]": "readonly (string | null)[]",
  };
  for (const [type, wanted] of Object.entries(expected)) assert.equal(valueType(type), wanted, type);
});

test("the schema file is the same text in whatever order the store gives back its fields", () => {
  const turned = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(turned);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .reverse()
        .map(([name, one]) => [name, turned(one)]),
    );
  };
  assert.equal(printSchema(turned(schema) as SchemaFile), printSchema(schema));
});
