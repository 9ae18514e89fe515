import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SseParser } from "./sse-parser.ts";

function parse(chunks: readonly string[]) {
  const parser = new SseParser(1_000);
  return chunks.flatMap((chunk) => parser.push(chunk));
}

const text =
  '\uFEFF: a comment\r\nevent: changes\rid: 7\ndata: {"a":\ndata:1}\r\n\r\nretry: 50\n\ndata\n\nid\nevent:x\ndata: é😀\n\nevent: lost\n\nid: a\0b\ndata: z\n\ndata: unfinished';
const events = [
  { event: "changes", id: "7", data: '{"a":\n1}' },
  { event: "message", id: "7", data: "" },
  { event: "x", id: "", data: "é😀" },
  { event: "message", id: "", data: "z" },
];

test("a stream is parsed as the standard says", () => {
  assert.deepEqual(parse([text]), events);
});

test("however the stream is cut into chunks, its events are the same", () => {
  assert.deepEqual(parse([...text]), events);
  fc.assert(
    fc.property(fc.array(fc.nat({ max: text.length })), (cuts) => {
      const sorted = [0, ...cuts.sort((a, b) => a - b), text.length];
      assert.deepEqual(parse(sorted.slice(1).map((end, i) => text.slice(sorted[i], end))), events);
    }),
  );
});

test("the pause that the stream asks for is kept", () => {
  const parser = new SseParser(1_000);
  parser.push("retry: 1500\nretry: soon\n");
  assert.equal(parser.retryMs, 1500);
});

test("an event that is too large is refused, in one line and in many", () => {
  assert.throws(() => parse(["data: ", "x".repeat(1_001)]), RangeError);
  assert.throws(() => parse(Array.from({ length: 300 }, () => "data: 12345\n")), RangeError);
  assert.equal(parse(Array.from({ length: 300 }, () => "data: 12345\n\n")).length, 300);
});
