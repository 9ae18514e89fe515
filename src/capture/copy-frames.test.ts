import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { FrameSplitter, readFrames } from "./copy-frames.ts";

function frame(kind: string, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write(kind);
  bytes.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([bytes, body]);
}

test("however the bytes are cut, each frame comes whole and in order: data as its body, others as they are", () => {
  const frames = fc.array(fc.tuple(fc.constantFrom("d", "E", "Z", "c"), fc.uint8Array({ maxLength: 300 })));
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (all, cuts) => {
      const told: string[] = [];
      const splitter = new FrameSplitter(
        { data: (from, start, end) => told.push(`d ${from.toString("hex", start, end)}`) },
        (whole) => told.push(`other ${whole.toString("hex")}`),
      );
      const bytes = Buffer.concat(all.map(([kind, body]) => frame(kind, body)));
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const end = Math.min(bytes.length, at + (cuts[i % cuts.length] as number));
        splitter.push(bytes.subarray(at, end));
        at = end;
      }
      const expected = all.map(([kind, body]) =>
        kind === "d" ? `d ${Buffer.from(body).toString("hex")}` : `other ${frame(kind, body).toString("hex")}`,
      );
      assert.deepEqual(told, expected);
    }),
  );
});

test("bytes that are no frames are handed on, and nothing loops or is thrown", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (chunks) => {
      const splitter = new FrameSplitter({ data: () => {} }, () => {});
      for (const chunk of chunks) splitter.push(Buffer.from(chunk));
    }),
  );
});

test("the client's reader gets what is not data, and all of it again when the stream is over", () => {
  const stream = new PassThrough();
  const theirs: string[] = [];
  stream.on("data", (bytes: Buffer) => theirs.push(String(bytes)));
  const data: string[] = [];
  const giveBack = readFrames(stream, {
    data: (bytes, start, end) => data.push(bytes.toString("utf8", start, end)),
  });
  stream.emit("data", Buffer.concat([frame("d", Buffer.from("one")), frame("Z", Buffer.from("I"))]));
  giveBack();
  stream.emit("data", Buffer.from("plain"));
  assert.deepEqual(data, ["one"]);
  assert.deepEqual(theirs, [String(frame("Z", Buffer.from("I"))), "plain"]);
});

test("given back in the middle of a chunk, the client's reader gets the rest of it, also the beginning of a frame", () => {
  const stream = new PassThrough();
  const theirs: Buffer[] = [];
  stream.on("data", (bytes: Buffer) => {
    theirs.push(bytes);
    if (bytes[0] === 0x5a) giveBack();
  });
  const giveBack = readFrames(stream, { data: () => assert.fail("there is none") });
  const sent = Buffer.concat([
    frame("Z", Buffer.from("I")),
    frame("S", Buffer.from("a\0b\0")),
    frame("N", Buffer.from("note")),
  ]);
  stream.emit("data", sent.subarray(0, -2));
  stream.emit("data", sent.subarray(-2));
  assert.deepEqual(Buffer.concat(theirs), sent);
});
