import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { incompatibilities } from "../incompatibilities.ts";
import { parseSchema } from "../parse-schema.ts";
import type { JsonSchema } from "../parsed-schema.ts";
import { validatePayload } from "../payload.ts";
import { jsonDifferences } from "./json-differences.ts";

type Json = Readonly<Record<string, unknown>> | boolean;

function schema(value: Json): JsonSchema {
  return parseSchema("JSON", JSON.stringify(value)) as JsonSchema;
}

function object(properties: Record<string, Json>, more: Record<string, unknown> = {}): Json {
  return { type: "object", properties, ...more };
}

const closed = { additionalProperties: false };
const text = { type: "string" };
const number = { type: "number" };
const latest = { $schema: "https://json-schema.org/draft/2020-12/schema" };

/** Every difference, with `!` before those that stop a reader. */
const cases: [what: string, writer: Json, reader: Json, expected: string[]][] = [
  ["nothing changes", object({ a: text }), object({ a: text }), []],
  [
    "title and description",
    { title: "a", description: "b" },
    { title: "c" },
    ["TITLE_CHANGED #/", "DESCRIPTION_CHANGED #/"],
  ],
  ["anything may become the empty schema", text, {}, []],
  ["false allows nothing that could be lost", false, text, []],
  ["another type", text, { type: "array" }, ["!TYPE_CHANGED #/"]],
  ["integer to number", { type: "integer" }, number, ["TYPE_EXTENDED #/"]],
  ["number to integer", number, { type: "integer" }, ["!TYPE_NARROWED #/"]],
  ["a longer text", { ...text, maxLength: 5 }, { ...text, maxLength: 9 }, ["MAX_LENGTH_INCREASED #/maxLength"]],
  ["a shorter text", { ...text, maxLength: 9 }, { ...text, maxLength: 5 }, ["!MAX_LENGTH_DECREASED #/maxLength"]],
  ["a new limit", text, { ...text, minLength: 1 }, ["!MIN_LENGTH_ADDED #/minLength"]],
  ["a limit goes", { ...text, minLength: 1 }, text, ["MIN_LENGTH_REMOVED #/minLength"]],
  ["another pattern", { ...text, pattern: "a" }, { ...text, pattern: "b" }, ["!PATTERN_CHANGED #/pattern"]],
  [
    "a wider range",
    { ...number, maximum: 5, minimum: 1 },
    { ...number, maximum: 9 },
    ["MAXIMUM_INCREASED #/maximum", "MINIMUM_REMOVED #/minimum"],
  ],
  [
    "a narrower range",
    { ...number, exclusiveMinimum: 1 },
    { ...number, exclusiveMinimum: 2 },
    ["!EXCLUSIVE_MINIMUM_INCREASED #/exclusiveMinimum"],
  ],
  ["a smaller unit", { ...number, multipleOf: 10 }, { ...number, multipleOf: 5 }, ["MULTIPLE_OF_REDUCED #/multipleOf"]],
  [
    "a larger unit",
    { ...number, multipleOf: 0.1 },
    { ...number, multipleOf: 0.3 },
    ["!MULTIPLE_OF_EXPANDED #/multipleOf"],
  ],
  ["more values", { enum: ["a"] }, { enum: ["a", "b"] }, ["ENUM_ARRAY_EXTENDED #/enum"]],
  ["fewer values", { enum: ["a", "b"] }, { enum: ["a"] }, ["!ENUM_ARRAY_NARROWED #/enum"]],
  ["another constant", { const: 1 }, { const: 2 }, ["!ENUM_ARRAY_CHANGED #/const"]],
  [
    "required",
    object({ a: text }),
    object({ a: text }, { required: ["a"] }),
    ["!REQUIRED_ATTRIBUTE_ADDED #/required/a"],
  ],
  [
    "required with a default",
    object({ a: text }),
    object({ a: { ...text, default: "x" } }, { required: ["a"] }),
    ["REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED #/required/a", "DEFAULT_CHANGED #/properties/a"],
  ],
  [
    "no longer required",
    object({ a: text }, { required: ["a"] }),
    object({ a: text }),
    ["REQUIRED_ATTRIBUTE_REMOVED #/required/a"],
  ],
  [
    "a member is added to an open object",
    object({}),
    object({ a: text }),
    ["!OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member that may be anything is added to an open object",
    object({}),
    object({ a: true }),
    ["PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a required member is added to an open object",
    object({}),
    object({ a: text }, { required: ["a"] }),
    ["!REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member is added to a closed object",
    object({}, closed),
    object({ a: text }, closed),
    ["OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a required member is added to a closed object",
    object({}, closed),
    object({ a: text }, { ...closed, required: ["a"] }),
    ["!REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member is taken from an open object",
    object({ a: text }),
    object({}),
    ["PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member is taken from a closed object",
    object({ a: text }, closed),
    object({}, closed),
    ["!PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member that never was is taken from a closed object",
    object({ a: false }, closed),
    object({}, closed),
    ["PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member is covered by the rest",
    object({ a: text }, { additionalProperties: text }),
    object({}, { additionalProperties: text }),
    ["PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a member is not covered by the rest",
    object({ a: number }, { additionalProperties: text }),
    object({}, { additionalProperties: text }),
    ["!TYPE_CHANGED #/properties/a", "!PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/a"],
  ],
  [
    "a pattern covers an added member",
    object({}, { patternProperties: { "^a": text } }),
    object({ a: text }, { patternProperties: { "^a": text } }),
    [
      "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL #/properties/a",
      "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL #/properties/a",
    ],
  ],
  ["an object is closed", object({}), object({}, closed), ["!ADDITIONAL_PROPERTIES_REMOVED #/additionalProperties"]],
  ["an object is opened", object({}, closed), object({}), ["ADDITIONAL_PROPERTIES_ADDED #/additionalProperties"]],
  [
    "the rest gets a schema",
    object({}),
    object({}, { additionalProperties: text }),
    ["!ADDITIONAL_PROPERTIES_NARROWED #/additionalProperties"],
  ],
  [
    "unevaluated members are refused",
    { ...latest, type: "object" },
    { ...latest, type: "object", unevaluatedProperties: false },
    ["!UNEVALUATED_PROPERTIES_REMOVED #/unevaluatedProperties"],
  ],
  [
    "a dependency is added",
    { dependencies: {} },
    { dependencies: { a: ["b"] } },
    ["!DEPENDENCY_ARRAY_ADDED #/dependencies/a"],
  ],
  [
    "a dependency of 2019-09 is the same",
    { dependencies: { a: ["b"] } },
    { ...latest, dependentRequired: { a: ["b"] } },
    [],
  ],
  ["more items", { type: "array", maxItems: 3 }, { type: "array", maxItems: 4 }, ["MAX_ITEMS_INCREASED #/maxItems"]],
  [
    "items must be unique",
    { type: "array" },
    { type: "array", uniqueItems: true },
    ["!UNIQUE_ITEMS_ADDED #/uniqueItems"],
  ],
  ["items change", { type: "array", items: number }, { type: "array", items: text }, ["!TYPE_CHANGED #/items"]],
  [
    "an item with a place is added to an open array",
    { items: [text] },
    { items: [text, text] },
    ["!ITEM_ADDED_TO_OPEN_CONTENT_MODEL #/items/1"],
  ],
  [
    "an item with a place is added to a closed array",
    { items: [text], additionalItems: false },
    { items: [text, text], additionalItems: false },
    ["ITEM_ADDED_TO_CLOSED_CONTENT_MODEL #/items/1"],
  ],
  [
    "an item with a place is taken from a closed array",
    { ...latest, prefixItems: [text, text], items: false },
    { ...latest, prefixItems: [text], items: false },
    ["!ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL #/items/1"],
  ],
  ["an alternative is added", { oneOf: [text] }, { oneOf: [text, number] }, ["SUM_TYPE_EXTENDED #/"]],
  ["an alternative is taken away", { oneOf: [text, number] }, { oneOf: [text] }, ["!SUM_TYPE_NARROWED #/"]],
  ["a schema becomes one of alternatives", text, { anyOf: [number, text] }, ["SUM_TYPE_EXTENDED #/"]],
  ["a further demand", { allOf: [text] }, { allOf: [text, { maxLength: 3 }] }, ["!PRODUCT_TYPE_EXTENDED #/"]],
  ["oneOf to anyOf", { oneOf: [text, number] }, { anyOf: [text, number] }, ["COMBINED_TYPE_EXTENDED #/"]],
  ["anyOf to oneOf", { anyOf: [text, number] }, { oneOf: [text, number] }, ["!COMBINED_TYPE_CHANGED #/"]],
  [
    "alternatives that no longer match",
    { oneOf: [text, number] },
    { oneOf: [text, { type: "array" }] },
    ["!COMBINED_TYPE_SUBSCHEMAS_CHANGED #/"],
  ],
  [
    "a list of types is a choice",
    { type: ["string", "null"] },
    { type: ["null", "string", "number"] },
    ["SUM_TYPE_EXTENDED #/"],
  ],
  ["less is forbidden", { not: { type: ["string", "number"] } }, { not: text }, ["NOT_TYPE_NARROWED #/not"]],
  ["more is forbidden", { not: text }, { not: { type: ["string", "number"] } }, ["!NOT_TYPE_EXTENDED #/not"]],
  [
    "behind a $ref",
    { $ref: "#/definitions/a", definitions: { a: number } },
    { $ref: "#/definitions/b", definitions: { b: text } },
    ["!TYPE_CHANGED #/"],
  ],
  [
    "a limit of draft 4",
    { $schema: "http://json-schema.org/draft-04/schema#", type: "number", maximum: 5 },
    { $schema: "http://json-schema.org/draft-04/schema#", type: "number", maximum: 5, exclusiveMaximum: true },
    ["MAXIMUM_REMOVED #/maximum", "!EXCLUSIVE_MAXIMUM_ADDED #/exclusiveMaximum"],
  ],
];

for (const [what, writer, reader, expected] of cases) {
  test(`JSON Schema: ${what}: ${expected.join(", ") || "nothing"}`, () => {
    const [before, after] = [schema(writer), schema(reader)];
    const found = jsonDifferences(before.model, after.model).map(({ kind, path }) => `${kind} #/${path}`);
    assert.deepEqual(
      found,
      expected.map((one) => one.replace("!", "")),
    );
    const stopping = expected.filter((one) => one.startsWith("!")).map((one) => one.slice(1));
    assert.deepEqual(
      incompatibilities(after, before).map(({ kind, path }) => `${kind} ${path}`),
      stopping,
    );
  });
}

test("every incompatibility is told in a sentence", () => {
  for (const [, writer, reader] of cases) {
    for (const { message, kind } of incompatibilities(schema(reader), schema(writer))) {
      assert.ok(!message.includes(kind) && message.length > 10, message);
    }
  }
});

test("recursive schemas are compared to their end, and a fault behind the circle is found", () => {
  const tree = (leaf: Json) => ({
    definitions: { node: object({ leaf, children: { type: "array", items: { $ref: "#/definitions/node" } } }, closed) },
    $ref: "#/definitions/node",
  });
  assert.deepEqual(incompatibilities(schema(tree(number)), schema(tree({ type: "integer" }))), []);
  const found = incompatibilities(schema(tree(text)), schema(tree(number)));
  assert.deepEqual(
    found.map(({ kind, path }) => `${kind} ${path}`),
    ["TYPE_CHANGED #/properties/leaf"],
  );
});

test("alternatives that refer to each other do not multiply the work", () => {
  const names = Array.from({ length: 40 }, (_, i) => `s${i}`);
  const definitions = Object.fromEntries(
    names.map((name) => [
      name,
      object(
        Object.fromEntries(
          names.map((other) => [other, { anyOf: names.slice(0, 3).map((n) => ({ $ref: `#/definitions/${n}` })) }]),
        ),
        closed,
      ),
    ]),
  );
  const large = schema({ definitions, $ref: "#/definitions/s0" });
  assert.deepEqual(incompatibilities(large, schema({ definitions, $ref: "#/definitions/s0" })), []);
});

/** Schemas whose compatibility is decided exactly: no combinations, no defaults. */
function anySchema(): fc.Arbitrary<Json> {
  const { any } = fc.letrec<{ any: Json }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 2 },
      fc.record(
        { type: fc.constant("string"), maxLength: fc.nat(4), minLength: fc.nat(2) },
        { requiredKeys: ["type"] },
      ),
      fc.record(
        {
          type: fc.constantFrom("number", "integer"),
          maximum: fc.integer({ min: 0, max: 4 }),
          minimum: fc.integer({ min: -2, max: 2 }),
        },
        { requiredKeys: ["type"] },
      ),
      fc.record({ type: fc.constantFrom("boolean", "null") }),
      fc.record({ enum: fc.subarray(["a", 1, null, true], { minLength: 1 }) }),
      fc.record({ type: fc.constant("array"), items: tie("any"), maxItems: fc.nat(3) }, { requiredKeys: ["type"] }),
      fc.record(
        {
          type: fc.constant("object"),
          properties: fc.dictionary(fc.constantFrom("a", "b"), tie("any"), { noNullPrototype: true }),
          required: fc.subarray(["a", "b"]),
          additionalProperties: fc.constantFrom(false, { type: "string" }),
        },
        { requiredKeys: ["type", "properties"] },
      ),
    ),
  })) as { any: fc.Arbitrary<Json> };
  return any;
}

function anyValue(): fc.Arbitrary<unknown> {
  return fc
    .jsonValue({ maxDepth: 2 })
    .chain((value) =>
      fc.oneof(
        fc.constant(value),
        fc.constantFrom("", "a", "abc", 0, 1, 1.5, -1, 3, null, true, [], ["a"], [1, 2], {}),
        fc.record(
          { a: fc.constantFrom("a", "abc", 1, null, true, []), b: fc.constantFrom("x", 2, []) },
          { requiredKeys: [] },
        ),
      ),
    );
}

test("a member that is required and declared nowhere is found, though Confluent's rule passes it over", () => {
  const writer = schema({ type: "object", properties: {} });
  const reader = schema({ type: "object", properties: {}, required: ["b"] });
  assert.deepEqual(
    incompatibilities(reader, writer).map(({ kind }) => kind),
    ["REQUIRED_ATTRIBUTE_ADDED"],
  );
});

test("what is found compatible is read: no value of the writer's is refused by the reader's", () => {
  let compatible = 0;
  fc.assert(
    fc.property(anySchema(), anySchema(), fc.array(anyValue(), { minLength: 20, maxLength: 20 }), (a, b, values) => {
      const [writer, reader] = [schema(a), schema(b)];
      assert.deepEqual(incompatibilities(writer, schema(a)), [], "a schema reads its own data");
      if (incompatibilities(reader, writer).length > 0) return;
      compatible++;
      for (const value of values) {
        const bytes = Buffer.from(JSON.stringify(value));
        if (validatePayload(writer, bytes).length > 0) continue;
        assert.deepEqual(validatePayload(reader, bytes), [], JSON.stringify(value));
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(compatible > 10, `only ${compatible} pairs were compatible`);
});
