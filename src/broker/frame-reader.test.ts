import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FrameReader } from "./frame-reader.ts";

function framed(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length, 0);
  return Buffer.concat([length, body]);
}

function readAll(reader: FrameReader, chunks: readonly Buffer[]): Buffer[] {
  const frames: Buffer[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let step = reader.next(); step.kind !== "more"; step = reader.next()) {
      assert.equal(step.kind, "frame");
      if (step.kind === "frame") frames.push(step.frame);
    }
  }
  return frames;
}

describe("frames of a connection", () => {
  test("come out as they went in, however the bytes are cut into chunks", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1, maxLength: 30 }),
        (bodies, cuts) => {
          const stream = Buffer.concat(bodies.map((body) => framed(Buffer.from(body))));
          const chunks: Buffer[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = cuts[i % cuts.length] as number;
            chunks.push(stream.subarray(at, at + size));
            at += size;
          }
          const frames = readAll(new FrameReader(1024), chunks);
          assert.deepEqual(
            frames.map((frame) => frame.toString("hex")),
            bodies.map((body) => Buffer.from(body).toString("hex")),
          );
        },
      ),
    );
  });

  test("a frame that came in one chunk is a view of it", () => {
    const chunk = framed(Buffer.from("hello"));
    const [frame] = readAll(new FrameReader(1024), [chunk]);
    assert.equal(frame?.buffer, chunk.buffer);
  });

  test("an announced length takes no memory until its bytes come", () => {
    const reader = new FrameReader(100 * 1024 * 1024);
    const head = Buffer.alloc(14);
    head.writeInt32BE(100 * 1024 * 1024, 0);
    reader.feed(head);
    assert.equal(reader.next().kind, "more");
    assert.ok(reader.isInside);
    assert.equal(reader.heldBytes, 10);
  });

  for (const length of [-1, -(2 ** 31), 1025, 2 ** 31 - 1]) {
    test(`a length of ${length} where 1024 is the most ends the reading`, () => {
      const reader = new FrameReader(1024);
      const bytes = Buffer.alloc(8);
      bytes.writeInt32BE(length, 0);
      reader.feed(bytes);
      assert.deepEqual(reader.next(), { kind: "invalid", length });
      assert.deepEqual(reader.next(), { kind: "invalid", length }, "and stays ended");
    });
  }

  test("an empty frame is a frame", () => {
    assert.deepEqual(readAll(new FrameReader(1024), [Buffer.alloc(4)]), [Buffer.alloc(0)]);
  });
});
