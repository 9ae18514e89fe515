import assert from "node:assert/strict";
import { test } from "node:test";
import type { Header } from "../records/record.ts";
import { eventJson } from "./event-json.ts";

function read(key: Buffer | string | null, value: Buffer | string | null, headers: Header[] = []) {
  const bytes = (one: Buffer | string | null) => (typeof one === "string" ? Buffer.from(one) : one);
  const text = eventJson(3, {
    offset: 17,
    timestamp: 1_700_000_000_123,
    key: bytes(key),
    value: bytes(value),
    headers,
  });
  assert.doesNotMatch(text, /[\r\n]/);
  return { text, event: JSON.parse(text) };
}

test("an event carries partition, offset, time in milliseconds, key, value and headers", () => {
  const { event } = read("order-1", '{"a": [1, null]}', [{ key: "trace", value: Buffer.from("abc") }]);
  assert.deepEqual(event, {
    partition: 3,
    offset: 17,
    timestamp: 1_700_000_000_123,
    key: "order-1",
    value: { a: [1, null] },
    headers: { trace: "abc" },
  });
});

test("a JSON value keeps its digits, and stands on one line however it was broken", () => {
  assert.match(read(null, "12345678901234567890.10").text, /"value":12345678901234567890\.10,/);
  assert.deepEqual(read(null, '{\r\n "a":\n1}').event.value, { a: 1 });
});

test("bytes that are no UTF-8 JSON read as base64, and a tombstone as null", () => {
  assert.deepEqual(read(null, Buffer.from([0xff, 0x00])).event.value, { base64: "/wA=" });
  assert.deepEqual(read(null, "plain").event.value, { base64: "cGxhaW4=" });
  assert.deepEqual(read(null, "").event.value, { base64: "" });
  assert.equal(read(null, null).event.value, null);
});

test("a key is a string, unless it is a JSON object or array", () => {
  assert.equal(read("12", null).event.key, "12");
  assert.equal(read('"x"', null).event.key, '"x"');
  assert.deepEqual(read('{"id":1}', null).event.key, { id: 1 });
  assert.equal(read("{broken", null).event.key, "{broken");
  assert.deepEqual(read(Buffer.from([0xc3]), null).event.key, { base64: "ww==" });
  assert.equal(read(null, null).event.key, null);
});

test("a header that appears more than once has an array, and any name is carried", () => {
  const { event, text } = read(null, null, [
    { key: "a", value: Buffer.from("1") },
    { key: "__proto__", value: null },
    { key: "a", value: Buffer.from([0xff]) },
  ]);
  assert.deepEqual(event.headers.a, ["1", { base64: "/w==" }]);
  assert.match(text, /"__proto__":null/);
});
