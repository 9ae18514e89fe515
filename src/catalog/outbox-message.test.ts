import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeOutbox, encodeOutbox, type OutboxRecord, outboxBytesMax } from "./outbox-message.ts";

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 30 }).map((one) => Buffer.from(one)),
  fc.string({ unit: "binary" }).map((one) => Buffer.from(one.toWellFormed())),
  fc.constant(null),
);
const name = fc.string({ unit: "binary" }).map((one) => one.toWellFormed());

test("what is encoded is decoded to the same, byte for byte, whatever the bytes are", () => {
  fc.assert(
    fc.property(
      fc.record(
        {
          topic: name.map((one) => `t${one}`),
          key: bytes,
          value: bytes,
          headers: fc.array(fc.record({ key: name, value: bytes }, { noNullPrototype: true })),
        },
        { noNullPrototype: true },
      ),
      (record: OutboxRecord) => assert.deepEqual(decodeOutbox(Buffer.from(encodeOutbox(record))), record),
    ),
  );
});

test("anything else is answered with a sentence, and never an error", () => {
  const json = fc.json().map((text) => Buffer.from(text));
  const nearly = fc
    .record(
      {
        version: fc.constantFrom(1, 2, "1"),
        topic: fc.anything(),
        key: fc.anything(),
        value: fc.anything(),
        headers: fc.anything(),
      },
      { requiredKeys: [] },
    )
    .map((one) => {
      try {
        return Buffer.from(JSON.stringify(one) ?? "");
      } catch {
        return Buffer.alloc(0);
      }
    });
  fc.assert(
    fc.property(
      fc.oneof(
        json,
        nearly,
        fc.uint8Array().map((one) => Buffer.from(one)),
      ),
      (content) => {
        const decoded = decodeOutbox(content);
        if (typeof decoded !== "string") assert.ok(typeof decoded.topic === "string" && decoded.topic !== "");
        else assert.ok(decoded.length > 10);
      },
    ),
    { numRuns: 2000 },
  );
});

test("headers may be an object, as one writes them in SQL", () => {
  const content = '{"topic":"t","key":"k","value":"{}","headers":{"a":"b","c":null}}';
  assert.deepEqual(decodeOutbox(Buffer.from(content)), {
    topic: "t",
    key: Buffer.from("k"),
    value: Buffer.from("{}"),
    headers: [
      { key: "a", value: Buffer.from("b") },
      { key: "c", value: null },
    ],
  });
});

test("what is larger than the outbox takes is refused where it is written", () => {
  const value = Buffer.alloc(outboxBytesMax, "x");
  assert.throws(() => encodeOutbox({ topic: "t", key: null, value, headers: [] }), { code: "RECORD_TOO_LARGE" });
  assert.match(String(decodeOutbox(Buffer.alloc(outboxBytesMax + 1, " "))), /more than/);
});
