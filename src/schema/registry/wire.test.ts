import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeWire, readMessageIndexes, readWire } from "./wire.ts";

test("the wire format is a zero, the id with the highest byte first, and the payload", () => {
  const bytes = encodeWire(0x0102, Buffer.from("x"));
  assert.deepEqual(bytes, Buffer.from([0, 0, 0, 1, 2, 0x78]));
  assert.deepEqual(readWire(bytes), { id: 0x0102, payload: Buffer.from("x") });
});

for (const [what, indexes, bytes] of [
  ["the first message is a zero", [0], [0]],
  ["the second message", [1], [2, 2]],
  ["a nested message", [1, 0], [4, 2, 0]],
] as const) {
  test(`message indexes: ${what}`, () => {
    const { payload } = readWire(encodeWire(1, Buffer.from("x"), indexes)) ?? assert.fail();
    assert.deepEqual(payload, Buffer.from([...bytes, 0x78]));
    assert.deepEqual(readMessageIndexes(payload), { indexes: [...indexes], payload: Buffer.from("x") });
  });
}

test("what was framed is read again, and any other bytes are null or read", () => {
  const indexes = fc.array(fc.nat(1000), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(fc.nat(), fc.uint8Array(), indexes, (id, payload, way) => {
      const read = readWire(encodeWire(id, Buffer.from(payload), way));
      assert.equal(read?.id, id);
      assert.deepEqual(readMessageIndexes(read?.payload ?? Buffer.alloc(0)), {
        indexes: way,
        payload: Buffer.from(payload),
      });
      readMessageIndexes(Buffer.from(payload));
      readWire(Buffer.from(payload));
    }),
  );
  assert.equal(readWire(Buffer.from([0, 0, 0, 0])), null);
  assert.equal(readWire(Buffer.from([1, 0, 0, 0, 1])), null);
  assert.equal(readWire(Buffer.from([0, 255, 255, 255, 255])), null);
  assert.equal(readMessageIndexes(Buffer.alloc(0)), null);
  assert.equal(readMessageIndexes(Buffer.from([0xfe, 0xff, 0xff, 0x7f])), null, "a count that is too large");
  assert.equal(readMessageIndexes(Buffer.from([2, 1])), null, "a negative index");
  assert.throws(() => encodeWire(-1, Buffer.alloc(0)), RangeError);
});
