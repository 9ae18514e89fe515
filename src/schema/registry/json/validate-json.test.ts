import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../../../base/errors.ts";
import { parseSchema } from "../parse-schema.ts";
import type { SchemaReference } from "../parsed-schema.ts";
import { validatePayload } from "../payload.ts";

type Json = Readonly<Record<string, unknown>> | boolean;

const drafts = {
  4: "http://json-schema.org/draft-04/schema#",
  6: "http://json-schema.org/draft-06/schema#",
  7: "http://json-schema.org/draft-07/schema#",
  2019: "https://json-schema.org/draft/2019-09/schema",
  2020: "https://json-schema.org/draft/2020-12/schema",
};

function told(schema: Json, value: unknown, references: readonly SchemaReference[] = []): string[] {
  const parsed = parseSchema("JSON", JSON.stringify(schema), references);
  return validatePayload(parsed, Buffer.from(JSON.stringify(value))).map(({ path, message }) => `${path} ${message}`);
}

function of(draft: keyof typeof drafts, schema: Record<string, unknown>): Json {
  return { $schema: drafts[draft], ...schema };
}

/** One that fits and one that does not, for what the drafts say differently or libraries get wrong. */
const cases: [what: string, schema: Json, good: unknown, bad: unknown][] = [
  ["integer is a number without a fraction", { type: "integer" }, 1.0, 1.5],
  ["const compares numbers, not their text", { const: 1 }, 1.0, "1"],
  ["enum compares objects by members", { enum: [{ a: 1, b: 2 }] }, { b: 2, a: 1 }, { a: 1 }],
  ["multipleOf is exact", { multipleOf: 0.01 }, 4.02, 4.025],
  ["lengths are in code points", { maxLength: 1 }, "😀", "ab"],
  ["limits in draft 4 are exclusive by a boolean", of(4, { maximum: 3, exclusiveMaximum: true }), 2, 3],
  ["limits since draft 6 are exclusive by a number", of(6, { exclusiveMaximum: 3 }), 2, 3],
  ["const is not a keyword of draft 4", of(4, { const: 1, type: "string" }), "x", 1],
  // biome-ignore lint/suspicious/noThenProperty: the keyword's name
  ["if, then and else", { if: { type: "string" }, then: { minLength: 2 }, else: { minimum: 5 } }, 6, "a"],
  ["contains", { contains: { type: "number" } }, ["a", 1], ["a"]],
  ["minContains of 0 since 2019-09", of(2019, { contains: { const: 1 }, minContains: 0, maxContains: 1 }), [], [1, 1]],
  [
    "items as a list, and the rest",
    { items: [{ type: "string" }], additionalItems: { type: "number" } },
    ["a", 1],
    ["a", "b"],
  ],
  [
    "prefixItems, and the rest",
    of(2020, { prefixItems: [{ type: "string" }], items: { type: "number" } }),
    ["a", 1],
    ["a", "b"],
  ],
  [
    "uniqueItems",
    { uniqueItems: true },
    [1, true, "1"],
    [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
    ],
  ],
  ["propertyNames", { propertyNames: { maxLength: 1 } }, { a: 1 }, { ab: 1 }],
  [
    "patternProperties leave the rest to additionalProperties",
    { patternProperties: { "^a": { type: "number" } }, additionalProperties: false },
    { ab: 1 },
    { b: 1 },
  ],
  ["dependencies", { dependencies: { a: ["b"], c: { required: ["d"] } } }, { a: 1, b: 1 }, { c: 1 }],
  ["dependentRequired", of(2019, { dependentRequired: { a: ["b"] } }), { b: 1 }, { a: 1 }],
  ["oneOf is exactly one", { oneOf: [{ type: "number" }, { minimum: 5 }] }, 1, 6],
  ["not", { not: { type: "string" } }, 1, "a"],
  [
    "unevaluatedProperties look into allOf",
    of(2020, { allOf: [{ properties: { a: true } }], unevaluatedProperties: false }),
    { a: 1 },
    { b: 1 },
  ],
  [
    "unevaluatedItems look into contains",
    of(2020, { contains: { type: "string" }, unevaluatedItems: false }),
    ["a"],
    ["a", 1],
  ],
  [
    "unevaluatedItems come after prefixItems",
    of(2020, { prefixItems: [{ type: "string" }], unevaluatedItems: false }),
    ["a"],
    ["a", 1],
  ],
  [
    "unevaluatedItems look behind a $ref",
    of(2020, {
      $ref: "#/$defs/a",
      prefixItems: [true],
      unevaluatedItems: false,
      $defs: { a: { prefixItems: [true, true] } },
    }),
    [1, 2],
    [1, 2, 3],
  ],
  [
    "a recursive $ref",
    { type: "object", properties: { next: { $ref: "#" } }, additionalProperties: false },
    { next: { next: {} } },
    { next: { x: 1 } },
  ],
  [
    "nothing stands beside $ref up to draft 7",
    { $ref: "#/definitions/a", maxLength: 1, definitions: { a: { type: "string" } } },
    "abc",
    1,
  ],
  [
    "things stand beside $ref since 2019-09",
    of(2019, { $ref: "#/$defs/a", maxLength: 1, $defs: { a: { type: "string" } } }),
    "a",
    "abc",
  ],
  ["$anchor", of(2020, { $ref: "#text", $defs: { a: { $anchor: "text", type: "string" } } }), "a", 1],
  [
    "$id within",
    of(2020, { $id: "http://x/root", $ref: "item", $defs: { a: { $id: "item", type: "string" } } }),
    "a",
    1,
  ],
  [
    "$dynamicRef",
    of(2020, {
      $id: "http://x/strict",
      $dynamicAnchor: "node",
      $ref: "tree",
      unevaluatedProperties: false,
      $defs: { tree: { $id: "tree", $dynamicAnchor: "node", properties: { child: { $dynamicRef: "#node" } } } },
    }),
    { child: {} },
    { child: { x: 1 } },
  ],
  [
    "names of JavaScript's own are names like others",
    { properties: { __proto__: true, toString: { type: "string" } }, required: ["toString"] },
    { toString: "x" },
    {},
  ],
  ["true and false", { properties: { a: true, b: false } }, { a: 1 }, { b: 1 }],
];

for (const [what, schema, good, bad] of cases) {
  test(`JSON Schema: ${what}`, () => {
    assert.deepEqual(told(schema, good), []);
    assert.equal(told(schema, bad).length > 0, true);
  });
}

test("problems name their places and say what is wanted", () => {
  const schema = {
    type: "object",
    properties: {
      lines: {
        type: "array",
        items: { type: "object", properties: { "a/b": { type: "integer", minimum: 1 } }, required: ["sku"] },
      },
    },
    required: ["id"],
    additionalProperties: false,
  };
  assert.deepEqual(told(schema, { lines: [{ sku: "x", "a/b": 0 }, {}], more: 1 }), [
    ' the member "id" is missing',
    "/lines/0/a~1b 0 is below the minimum 1",
    '/lines/1 the member "sku" is missing',
    "/more the schema does not know this member",
  ]);
});

test("of alternatives, the one of the value's type tells its problems", () => {
  const schema = { anyOf: [{ type: "null" }, { type: "object", required: ["id"] }] };
  assert.deepEqual(told(schema, {}), [' the member "id" is missing']);
  assert.deepEqual(told(schema, 5), [" 5 fits none of the 2 alternatives of anyOf"]);
});

test("a $ref leads into a reference by its name, and into what that refers to", () => {
  const reference = (name: string, schema: Json): SchemaReference => {
    return { name, subject: name, version: 1, schema: JSON.stringify(schema), type: "JSON" };
  };
  const references = [
    reference("sku.json", { type: "string", pattern: "^[A-Z]+$" }),
    reference("line.json", { type: "object", properties: { sku: { $ref: "sku.json" } } }),
  ];
  const schema = { type: "array", items: { $ref: "line.json" } };
  assert.deepEqual(told(schema, [{ sku: "ABC" }], references), []);
  assert.deepEqual(told(schema, [{ sku: "abc" }], references), ["/0/sku the text does not match the pattern ^[A-Z]+$"]);
});

for (const [what, text, reason] of [
  ["no JSON", "{", /not JSON/],
  ["no schema", "5", /a schema is an object/],
  ["an unknown type", '{"type":"strin"}', /"strin" does not exist/],
  ["a wrong keyword deep down", '{"properties":{"a":{"maxLength":-1}}}', /#\/properties\/a: "maxLength"/],
  ["a $ref to nowhere", '{"$ref":"#/definitions/a"}', /leads nowhere/],
  ["a $ref to the network", '{"$ref":"http://example.com/schema.json"}', /leads nowhere/],
  ["a pattern that is none", '{"pattern":"("}', /pattern/],
  ["too deep", `${'{"not":'.repeat(500)}{}${"}".repeat(500)}`, /nested deeper/],
] as const) {
  test(`a JSON Schema that has ${what} is refused`, () => {
    assert.throws(
      () => parseSchema("JSON", text),
      (error) => MillraceError.is(error, "SCHEMA_INVALID") && reason.test(error.message),
    );
  });
}

test("a schema that multiplies work, and one that leads back to itself, end in a problem", () => {
  const definitions: Record<string, Json> = { d0: { type: "string" } };
  for (let i = 1; i < 40; i++)
    definitions[`d${i}`] = { anyOf: [{ $ref: `#/definitions/d${i - 1}` }, { $ref: `#/definitions/d${i - 1}` }] };
  const [problem] = told({ definitions, $ref: "#/definitions/d39" }, 5);
  assert.match(problem ?? "", /more work than is granted/);
  assert.match(told({ $ref: "#" }, 5)[0] ?? "", /more work/);
  assert.match(told({ allOf: [{ $ref: "#" }] }, 5)[0] ?? "", /more work/);
});

test("any bytes end in a value or in problems", () => {
  const parsed = parseSchema("JSON", JSON.stringify({ type: "object", properties: { a: { pattern: "^(a+)+$" } } }));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), fc.json()), (bytes) => {
      assert.ok(Array.isArray(validatePayload(parsed, Buffer.from(bytes as string))));
    }),
  );
  const deep = Buffer.from("[".repeat(100_000) + "]".repeat(100_000));
  assert.match(validatePayload(parsed, deep)[0]?.message ?? "", /nested deeper/);
});
