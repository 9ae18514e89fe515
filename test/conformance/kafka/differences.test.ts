import assert from "node:assert/strict";
import { test } from "node:test";
import { differencesBetween, judge, readKnownDifferences } from "./differences.ts";

const page = `Words.

<!-- checked by test/conformance/kafka -->
| step | clients | where | Kafka | Millrace | why |
| --- | --- | --- | --- | --- | --- |
| a step | java, kcat | \`a.b\` | \`1 \\| 2\` | \`3*\` | because |
<!-- end -->
`;

test("a difference is known when a row of its step and client says the same", () => {
  const known = readKnownDifferences(page);
  const found = differencesBetween({ a: { b: "1 | 2" }, c: [1] }, { a: { b: "3, or so" }, c: [1] });
  assert.deepEqual(found, [{ where: "a.b", kafka: "1 | 2", millrace: "3, or so" }]);
  assert.deepEqual(judge(known, "a step", "java", found), { unknown: [], gone: [] });
  assert.equal(judge(known, "a step", "python", found).unknown.length, 1);
  assert.equal(judge(known, "another step", "java", found).unknown.length, 1);
  assert.equal(judge(known, "a step", "kcat", []).gone.length, 1);
});

test("lines, what is missing, and other shapes are found", () => {
  assert.deepEqual(differencesBetween({ said: ["a", "b"] }, { said: ["b", "c", "d"] }), [
    { where: "said", kafka: "a", millrace: "c" },
    { where: "said", kafka: "", millrace: "d" },
  ]);
  assert.equal(differencesBetween({ said: ["a", "b"] }, { said: ["b", "a"] }).length, 1);
  assert.deepEqual(differencesBetween([{ error: "X" }], [null]), [
    { where: "[0]", kafka: '{"error":"X"}', millrace: "null" },
  ]);
  assert.deepEqual(differencesBetween([1], [1, 2]), [{ where: "[1]", kafka: "", millrace: "2" }]);
  assert.deepEqual(differencesBetween({ a: [1, { b: null }] }, { a: [1, { b: null }] }), []);
});

test("every known difference has a reason, and is known once", () => {
  const known = readKnownDifferences();
  for (const row of known) assert.ok(row.why.length > 10, `${row.step}: ${row.where}`);
  const names = known.flatMap((row) => row.clients.map((client) => `${client} ${row.step} ${row.where} ${row.kafka}`));
  assert.equal(new Set(names).size, names.length);
});
