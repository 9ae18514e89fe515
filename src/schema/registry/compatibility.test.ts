import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { anySchema, changedSchema } from "./avro/avro.fixture.ts";
import { type CompatibilityLevel, checkCompatibility, compatibilityLevels } from "./compatibility.ts";
import { incompatibilities } from "./incompatibilities.ts";
import { parseSchema } from "./parse-schema.ts";

const avro = (...fields: unknown[]) => parseSchema("AVRO", JSON.stringify({ type: "record", name: "R", fields }));

const one = avro({ name: "a", type: "int" });
const plain = avro({ name: "a", type: "int" }, { name: "b", type: "int" });
const filled = avro({ name: "a", type: "int" }, { name: "b", type: "int", default: 0 });
const text = avro({ name: "a", type: "string" });

const cases: [CompatibilityLevel, earlier: (typeof one)[], now: typeof one, expected: number[]][] = [
  ["NONE", [one], text, []],
  ["BACKWARD", [], text, []],
  ["BACKWARD", [one], plain, [0]],
  ["BACKWARD", [one], filled, []],
  ["BACKWARD", [plain], one, []],
  ["BACKWARD", [text, one], filled, []],
  ["BACKWARD_TRANSITIVE", [text, one], filled, [0]],
  ["FORWARD", [one], plain, []],
  ["FORWARD", [plain], one, [0]],
  ["FORWARD_TRANSITIVE", [plain, one], one, [0]],
  ["FULL", [one], filled, []],
  ["FULL", [filled], one, []],
  ["FULL", [one], plain, [0]],
  ["FULL", [plain], one, [0]],
  ["FULL_TRANSITIVE", [text, filled], one, [0, 0]],
];

for (const [level, earlier, now, expected] of cases) {
  test(`${level}: ${earlier.length} earlier, problems with ${expected.join(" and ") || "none"}`, () => {
    const verdict = checkCompatibility(level, now, earlier);
    assert.deepEqual(
      verdict.problems.map((problem) => problem.earlier),
      expected,
    );
    assert.equal(verdict.compatible, expected.length === 0);
  });
}

test("a problem says who cannot read whom", () => {
  const [problem] = checkCompatibility("BACKWARD", plain, [one]).problems;
  assert.deepEqual(problem, {
    earlier: 0,
    kind: "READER_FIELD_MISSING_DEFAULT_VALUE",
    path: "/fields/1",
    message:
      'the new schema cannot read the earlier one\'s data: the field "b" of the reader\'s "R" is missing in the writer\'s and has no default',
  });
});

test("a schema of another type is never compatible", () => {
  const json = parseSchema("JSON", "{}");
  for (const level of compatibilityLevels) {
    const verdict = checkCompatibility(level, json, [one]);
    assert.equal(verdict.compatible, level === "NONE");
    for (const { kind } of verdict.problems) assert.equal(kind, "SCHEMA_TYPE_CHANGED");
  }
});

test("backward from one to the other is forward from the other to the one, and full is both", () => {
  const pair = anySchema().chain((schema) =>
    fc.tuple(fc.constant(schema), fc.oneof(changedSchema(schema), anySchema())),
  );
  fc.assert(
    fc.property(pair, (schemas) => {
      const [a, b] = schemas.map((schema) => parseSchema("AVRO", JSON.stringify(schema)));
      if (a === undefined || b === undefined) return;
      const told = (level: CompatibilityLevel, now: typeof a, before: typeof a) =>
        checkCompatibility(level, now, [before]).problems.map(({ path, kind }) => `${path} ${kind}`);
      assert.deepEqual(told("BACKWARD", a, b), told("FORWARD", b, a));
      assert.deepEqual(told("FULL", a, b), [...told("BACKWARD", a, b), ...told("FORWARD", a, b)]);
    }),
  );
});

test("comparing that takes more work than is granted counts as incompatible", () => {
  const parts = Array.from({ length: 1000 }, (_, i) => ({ const: i }));
  const large = parseSchema("JSON", JSON.stringify({ oneOf: parts }));
  const other = parseSchema("JSON", JSON.stringify({ oneOf: parts.map(({ const: i }) => ({ const: -i - 1 })) }));
  assert.deepEqual(
    incompatibilities(large, other).map(({ kind }) => kind),
    ["COMPARISON_TOO_COSTLY"],
  );
});
