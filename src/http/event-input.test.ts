import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { eventJson } from "../feeds/event-json.ts";
import { parseEventLines, parseEvents } from "./event-input.ts";
import { elementTexts, memberTexts } from "./member-text.ts";

test("members and elements are found in any JSON text, as they were written", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue()),
      fc.constantFrom(undefined, 1, "\t"),
      (object, space) => {
        const text = ` ${JSON.stringify(object, null, space)}\n`;
        const members = memberTexts(text);
        assert.deepEqual([...members.keys()].sort(), Object.keys(JSON.parse(text)).sort());
        for (const [name, one] of members) {
          assert.equal(one, one.trim());
          assert.deepEqual(JSON.parse(one), JSON.parse(text)[name]);
        }
      },
    ),
  );
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 2), (array, space) => {
      const text = JSON.stringify(array, null, space);
      assert.deepEqual(
        elementTexts(text).map((one) => JSON.parse(one)),
        JSON.parse(text),
      );
    }),
  );
  assert.deepEqual(memberTexts('{"value":1, "value" : 1.50 }').get("value"), "1.50");
});

test("any text is events, or refused with REQUEST_INVALID or RECORD_INVALID", () => {
  const pieces = fc.constantFrom(
    ...'{}[],:"\\\n ',
    '"value"',
    '"key"',
    '"headers"',
    '"timestamp"',
    '"partition"',
    '"base64"',
    "1e400",
    "-0",
    "null",
    "1",
    '"a"',
  );
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.array(pieces, { maxLength: 30 }).map((all) => all.join("")),
  );
  fc.assert(
    fc.property(text, fc.boolean(), (one, lines) => {
      try {
        if (lines) parseEventLines(one);
        else parseEvents(one);
      } catch (error) {
        if (!MillraceError.is(error, "REQUEST_INVALID") && !MillraceError.is(error, "RECORD_INVALID")) throw error;
      }
    }),
    { numRuns: 2_000 },
  );
});

// The JSON text null reads as a tombstone does, and {"base64": …} as bytes: these two are left out.
test("an event that was read is the same bytes when it is sent again", () => {
  const bytes = fc.oneof(
    fc.uint8Array().map((one) => Buffer.from(one)),
    fc.json().map((one) => Buffer.from(one)),
    fc.string({ unit: "grapheme" }).map((one) => Buffer.from(one)),
  );
  const record = fc.record({
    key: fc.option(
      fc
        .string({ unit: "grapheme" })
        .map((one) => Buffer.from(one))
        .filter((one) => one[0] !== 0x7b && one[0] !== 0x5b),
    ),
    value: fc.option(
      bytes.filter(
        (one) =>
          one.toString().trim() !== "null" && !one.toString().includes("base64") && !/[\r\n]/.test(one.toString()),
      ),
    ),
    headers: fc.uniqueArray(
      fc.record({ key: fc.string({ minLength: 1 }).filter((one) => one !== "__proto__"), value: fc.option(bytes) }),
      { selector: (one) => one.key },
    ),
    timestamp: fc.integer({ min: 0, max: 2e12 }),
  });
  fc.assert(
    fc.property(record, (one) => {
      const stored = { ...one, offset: 5 };
      const [event] = parseEvents(eventJson(3, stored));
      assert.equal(event?.partition, 3);
      assert.equal(event?.timestamp, one.timestamp);
      assert.deepEqual(event?.key, one.key);
      // White space around JSON is no part of it.
      const value = one.value;
      const isJson = value !== null && canParse(value);
      assert.equal(
        event?.value?.toString("latin1") ?? null,
        isJson ? value.toString("latin1").replace(/^[ \t]+|[ \t]+$/g, "") : (value?.toString("latin1") ?? null),
      );
      assert.deepEqual(
        new Map(event?.headers?.map(({ key, value: text }) => [key, text?.toString("latin1")])),
        new Map(one.headers.map(({ key, value: text }) => [key, text?.toString("latin1")])),
      );
    }),
  );
});

function canParse(bytes: Buffer): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}
