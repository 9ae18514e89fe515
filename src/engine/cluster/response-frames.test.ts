import assert from "node:assert/strict";
import { test } from "node:test";
import { ResponseFrames } from "./response-frames.ts";

function framed(...texts: string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const length = Buffer.alloc(4);
      length.writeInt32BE(text.length);
      return [length, Buffer.from(text)];
    }),
  );
}

test("frames are found however the bytes are cut", () => {
  const bytes = framed("a", "", "bcd", "e".repeat(1000));
  for (const size of [1, 2, 3, 5, 7, 64, 1000, bytes.length]) {
    const found: string[] = [];
    const frames = new ResponseFrames((frame) => found.push(frame.toString()));
    for (let at = 0; at < bytes.length; at += size) frames.add(bytes.subarray(at, at + size));
    assert.deepEqual(found, ["a", "", "bcd", "e".repeat(1000)], `pieces of ${size}`);
  }
});

test("a length that cannot be is refused before memory is taken for it", () => {
  for (const length of [0x7fffffff, 0xffffffff]) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(length);
    assert.throws(() => new ResponseFrames(() => assert.fail()).add(bytes), { code: "CLUSTER_UNREACHABLE" });
  }
});
