import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { JsonCursor, type JsonToken, readJson } from "./json-token.ts";

function plain(token: JsonToken): unknown {
  switch (token.kind) {
    case "null":
      return null;
    case "number":
      return Number(token.text);
    case "array":
      return token.items.map(plain);
    case "object":
      return Object.fromEntries([...token.members].map(([name, value]) => [name, plain(value)]));
    default:
      return token.value;
  }
}

test("JSON reads as JSON.parse reads it, and a skipped value ends where it ends", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.nat(2), (value, space) => {
      if (JSON.stringify(value).includes("__proto__")) return;
      const text = JSON.stringify(value, null, space);
      assert.deepEqual(plain(readJson(text)), JSON.parse(text));
      const cursor = new JsonCursor(`${text},`);
      cursor.skip();
      assert.equal(cursor.position, text.length);
    }),
  );
});

test("numbers keep their digits", () => {
  assert.deepEqual(readJson("9223372036854775807"), { kind: "number", text: "9223372036854775807" });
});

test("what is no JSON is refused", () => {
  for (const text of ["", "{", '{"a"}', '{"a":}', "[1,]", '"a', "[1] 2", "tru", '{"a":1,}']) {
    assert.throws(() => readJson(text), SyntaxError, text);
  }
});
