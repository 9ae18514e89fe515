import assert from "node:assert/strict";
import { test } from "node:test";
import { type EventTimes, passRecord } from "./watermark.ts";

const noonMs = Date.UTC(2026, 2, 1, 12);
const rule = { member: "at", form: "date-time", latenessMs: 30_000 } as const;

/** The watermark before each record, all written at noon. */
function watermarks(...values: readonly (string | null)[]): (string | null)[] {
  const times: EventTimes = { latestMs: null };
  return values.map((json) => passRecord(times, rule, { offset: 0, headers: [], timestamp: noonMs, json }));
}

const at = (time: string) => JSON.stringify({ at: `2026-03-01T${time}` });

test("a record's watermark is the latest time before it, less the lateness", () => {
  assert.deepEqual(
    watermarks(at("10:00:00Z"), at("11:00:00.5Z"), at("09:00:00Z"), at("11:30:00+01:00"), at("10:00:00Z")),
    [
      null,
      "2026-03-01T09:59:30.000Z",
      "2026-03-01T10:59:30.500Z",
      "2026-03-01T10:59:30.500Z",
      "2026-03-01T10:59:30.500Z",
    ],
  );
});

test("an event from the future is taken for one of when it was written", () => {
  assert.deepEqual(watermarks('{"at":"9999-12-31T23:59:59Z"}', "1"), [null, "2026-03-01T11:59:30.000Z"]);
});

test("what has no time moves nothing", () => {
  const without = [
    null,
    "null",
    "[]",
    '"at"',
    "{}",
    '{"at":7}',
    '{"at":"now"}',
    '{"at":"2026-13-01T00:00:00Z"}',
    '{"at":"2026-03-01"}',
  ];
  assert.deepEqual(watermarks(...without, "1"), new Array(without.length + 1).fill(null));
  assert.deepEqual(watermarks('{"__proto__":{"at":"2026-03-01T10:00:00Z"}}', "1"), [null, null]);
});

test("a count from 1970 is a time by the schema", () => {
  for (const [form, factor] of [
    ["epoch-ms", 1],
    ["epoch-us", 1_000],
  ] as const) {
    const times: EventTimes = { latestMs: null };
    const pass = (told: unknown) =>
      passRecord(
        times,
        { ...rule, form },
        { offset: 0, headers: [], timestamp: noonMs, json: JSON.stringify({ at: told }) },
      );
    pass((noonMs - 60_000) * factor);
    assert.equal(pass(String((noonMs - 30_000) * factor)), "2026-03-01T11:58:30.000Z");
    for (const told of ["9".repeat(20), 1e300, "soon", null]) assert.equal(pass(told), "2026-03-01T11:59:00.000Z");
  }
});

test("a record of a year that the store does not read moves nothing", () => {
  const times: EventTimes = { latestMs: null };
  const far = 8_640_000_000_000_000;
  const told = [{ key: "millrace-watermark", value: Buffer.from(String(far)) }];
  const record = { offset: 0, headers: told, timestamp: far, json: JSON.stringify({ at: far }) };
  assert.equal(passRecord(times, { ...rule, form: "epoch-ms" }, record), null);
  assert.equal(times.latestMs, null);
});

test("what a producer says of its watermark counts for the records behind, up to when it was written", () => {
  const told = [
    ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000Z"],
    [String(noonMs - 5), new Date(noonMs - 5).toISOString()],
    ["2126-01-01T00:00:00Z", new Date(noonMs).toISOString()],
    ["soon", null],
    ["1e3", null],
    ["", null],
  ] as const;
  for (const [value, wanted] of told) {
    const times: EventTimes = { latestMs: null };
    const headers = [{ key: "millrace-watermark", value: Buffer.from(value) }];
    passRecord(times, rule, { offset: 0, headers, timestamp: noonMs, json: null });
    assert.equal(passRecord(times, rule, { offset: 1, headers: [], timestamp: noonMs, json: null }), wanted, value);
  }
});

test("a mark counts for the records from its offset on", () => {
  const times: EventTimes = { latestMs: null };
  const marks = [
    { offset: 1, ms: noonMs - 60_000 },
    { offset: 3, ms: noonMs },
  ];
  const seen = [0, 1, 2, 3].map((offset) =>
    passRecord(times, rule, { offset, headers: [], timestamp: noonMs, json: null }, marks),
  );
  const [first, second] = marks.map(({ ms }) => new Date(ms).toISOString());
  assert.deepEqual(seen, [null, first, first, second]);
});
