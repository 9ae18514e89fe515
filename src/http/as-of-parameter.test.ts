import assert from "node:assert/strict";
import { test } from "node:test";
import { parseQueryString } from "./query-string.ts";
import { parseRowOptions, parseRowQuery } from "./row-query.ts";

const query = (text: string) => parseRowQuery(parseQueryString(text), { rowsMax: 100 });

test("a moment is read to the microsecond, in any offset from UTC", () => {
  const noon = Date.UTC(2026, 2, 1, 12) * 1_000;
  for (const [text, micros] of [
    ["2026-03-01T12:00:00Z", noon],
    ["2026-03-01t12:00:00z", noon],
    ["2026-03-01T14:00:00%2B02:00", noon],
    ["2026-03-01T12:00:00.000001Z", noon + 1],
    ["2026-03-01T12:00:00.1234569Z", noon + 123_456],
    ["2024-02-29T00:00:00-05:00", Date.UTC(2024, 1, 29, 5) * 1_000],
  ] as const) {
    assert.equal(query(`as_of=${text}`).asOfMicros, micros, text);
    assert.equal(parseRowOptions(parseQueryString(`as_of=${text}`)).asOfMicros, micros, text);
  }
  assert.equal("asOfMicros" in query("limit=1"), false);
});

test("what is no moment is refused, and so is searching beside one", () => {
  for (const text of [
    "",
    "now",
    "2026-03-01",
    "2026-03-01T12:00:00",
    "2026-02-30T12:00:00Z",
    "2026-03-01T25:00:00Z",
    "2026-03-01T12:00:00+02:00",
    "9999-12-31T23:59:59Z'--",
    "1772366400000",
    "infinity",
  ]) {
    assert.throws(() => query(`as_of=${text}`), { code: "REQUEST_INVALID" }, text);
    assert.throws(() => parseRowOptions(parseQueryString(`as_of=${text}`)), { code: "REQUEST_INVALID" }, text);
  }
  assert.throws(() => query("as_of=2026-03-01T12:00:00Z&as_of=2026-03-01T12:00:00Z"), { code: "REQUEST_INVALID" });
  assert.throws(() => query("as_of=2026-03-01T12:00:00Z&q=river"), /"q" has no meaning beside as_of/);
  // A column of that name.
  assert.match(JSON.stringify(query("and=(as_of.eq.1)").filter), /"column":"as_of"/);
});
