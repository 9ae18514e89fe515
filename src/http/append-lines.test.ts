import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { over } from "../base/over.fixture.ts";
import type { AppendRequest, Engine } from "../engine/engine.ts";
import { type AppendHouse, codeOf, openAppendHouse, recordsOf, turn } from "./append-house.fixture.ts";
import { LineAppends } from "./append-lines.ts";
import { LineSplitter } from "./line-splitter.ts";

const ndjson = { "content-type": "application/x-ndjson" };
const loose = "?atomic=false";

interface Appended {
  readonly events: number;
  readonly lines: number;
  readonly offsets: readonly { partition: number; baseOffset: number; lastOffset: number }[];
  readonly token: string;
}

function linesOf(count: number, bytes = 20): string {
  return Array.from(
    { length: count },
    (_, i) => `{"value":${i},"partition":0,"headers":{"pad":"${"x".repeat(bytes)}"}}\n`,
  ).join("");
}

async function valuesOf(house: AppendHouse): Promise<number[]> {
  return (await recordsOf(house.engine)).map(({ value }) => Number(value));
}

test("lines are appended in their order as they arrive, however many, and counted", async () => {
  await using house = await openAppendHouse({}, { settings: { limits: { bodyBytesMax: 10_000 } } });
  const body = linesOf(3_000, 1_000);
  assert.equal(codeOf(await house.post(body, ndjson)), "413 REQUEST_TOO_LARGE");
  const answer = await house.post(`${body}\n{"value":3000,"partition":0}`, ndjson, loose);
  assert.equal(answer.status, 200, answer.text);
  const { events, lines, offsets, token } = answer.json() as Appended;
  assert.deepEqual({ events, lines }, { events: 3_001, lines: 3_002 });
  assert.equal(offsets.length, 1);
  assert.equal(answer.headers["millrace-token"], token);
  assert.deepEqual(await valuesOf(house), [...Array(3_001).keys()]);
});

test("a bad line is named, all before it are there, and none behind it", async () => {
  await using house = await openAppendHouse();
  const bad = ['{"valu":1}', "no json", "\xff", '{"value":1,"partition":7}', `{"value":"${"x".repeat(2_000_000)}"}`];
  for (const [i, line] of bad.entries()) {
    const body = Buffer.from(`${linesOf(50)}\n${line}\n${linesOf(50)}`, "latin1");
    const answer = await house.post(body, ndjson, loose);
    assert.ok(answer.status >= 400, answer.text);
    const problem = answer.json() as { line: number; detail: string; hint: string; appended: Appended };
    assert.match(problem.detail, /line 52/, line.slice(0, 40));
    assert.equal(problem.line, 52);
    assert.match(problem.hint, /All 50 events up to line 50 are there/);
    assert.deepEqual([problem.appended.events, problem.appended.lines], [50, 50]);
    assert.equal((await valuesOf(house)).length, 50 * (i + 1));
  }
  const first = (await house.post('{"valu":1}\n', ndjson, loose)).json() as { hint: string; appended: Appended };
  assert.match(first.hint, /Nothing was appended/);
  assert.deepEqual(first.appended.offsets, []);
});

test("a line that only the log refuses is named too", async () => {
  await using house = await openAppendHouse();
  await house.engine.alterTopic("t", { timestampBeforeMaxMs: 3_600_000 });
  const body = `${linesOf(37)}{"value":37,"timestamp":5}\n${linesOf(9)}`;
  const answer = await house.post(body, ndjson, loose);
  assert.equal(codeOf(answer), "400 RECORD_TIMESTAMP_INVALID");
  assert.deepEqual([(answer.json() as { line: number }).line, (await valuesOf(house)).length], [38, 37]);
});

test("lines that come compressed are read, and what is not compressed so is refused", async () => {
  await using house = await openAppendHouse();
  for (const [encoding, compress] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const) {
    const answer = await house.post(compress(linesOf(500)), { ...ndjson, "content-encoding": encoding }, loose);
    assert.deepEqual([answer.status, (answer.json() as Appended).events], [200, 500]);
  }
  assert.equal(codeOf(await house.post("{}", { ...ndjson, "content-encoding": "gzip" }, loose)), "400 REQUEST_INVALID");
  const unknown = await house.post("{}", { ...ndjson, "content-encoding": "lzma" }, loose);
  assert.equal(codeOf(unknown), "415 MEDIA_TYPE_UNSUPPORTED");
});

test("a connection that ends in the middle leaves the whole lines that came, and not the one that was cut", async () => {
  await using house = await openAppendHouse();
  const socket = connect(house.door.port, "127.0.0.1");
  const head = `POST /v1/topics/t${loose} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n`;
  socket.write(`${head}content-length: 100000\r\n\r\n${linesOf(20)}{"value":20}`);
  while ((await house.engine.offsets("t", 0)).highWatermark === 0) await turn();
  socket.destroy();
  await house.post('{"value":21,"partition":0}', {});
  while ((await valuesOf(house)).length < 21) await turn();
  assert.deepEqual(
    (await valuesOf(house)).filter((value) => value >= 20),
    [21],
  );
});

test("a body of which nothing more comes is refused in time, with what is there", async () => {
  await using house = await openAppendHouse({}, { settings: { limits: { bodyMs: 50 } } });
  const socket = connect(house.door.port, "127.0.0.1");
  let received = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => {
    received += chunk;
  });
  const head = `POST /v1/topics/t${loose} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n`;
  socket.write(`${head}content-length: 100000\r\n\r\n${linesOf(20)}`);
  await new Promise((resolve) => socket.on("close", resolve));
  assert.match(received, /^HTTP\/1\.1 408 /);
  assert.match(received, /"code":"REQUEST_TIMEOUT"/);
  assert.match(received, /"events":20/);
});

test("only lines without keys and conditions of the request are taken piece by piece", async () => {
  await using house = await openAppendHouse();
  const lines = '{"value":1}\n';
  assert.equal(codeOf(await house.post(lines, {}, loose)), "400 REQUEST_INVALID");
  assert.equal(codeOf(await house.post(lines, { ...ndjson, "if-none-match": "*" }, loose)), "400 REQUEST_INVALID");
  assert.equal(codeOf(await house.post(lines, ndjson, "?atomic=no")), "400 REQUEST_INVALID");
  const keyed = await house.post(lines, { ...ndjson, "idempotency-key": "k" }, loose);
  assert.equal(codeOf(keyed), "400 IDEMPOTENCY_KEY_INVALID");
  assert.equal((await house.post(lines, ndjson, "?atomic=true")).status, 200);
});

test("while a log takes nothing, the door reads no more than its piece", async () => {
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const wrap = (engine: Engine): Engine =>
    over(engine, {
      async append(request: AppendRequest) {
        if (request.topic === "t") await gate;
        return await engine.append(request);
      },
    });
  await using house = await openAppendHouse({ wrap });
  const socket = connect(house.door.port, "127.0.0.1");
  const piece = linesOf(1_000, 1_000);
  const bytes = 24 * 1024 * 1024;
  const pieces = Math.ceil(bytes / piece.length);
  const head = `POST /v1/topics/t${loose} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n`;
  socket.write(`${head}content-length: ${pieces * piece.length}\r\nconnection: close\r\n\r\n`);
  let sent = 0;
  // What the sockets of both sides hold, and one piece.
  while (sent < pieces && socket.writableLength < 4 * piece.length) {
    socket.write(piece);
    sent++;
    for (let i = 0; i < 20; i++) await turn();
  }
  assert.ok(sent < pieces / 2, `${sent} of ${pieces} pieces were taken`);
  letGo();
  for (; sent < pieces; sent++) if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve));
  let received = "";
  for await (const chunk of socket) received += chunk;
  assert.match(received, new RegExp(`"events":${pieces * 1_000}`));
});

test("lines are the same however the text is cut", () => {
  const text = Buffer.from("a\n\nbb\r\nccc\n\nd");
  for (let cut = 1; cut <= text.length; cut++) {
    const splitter = new LineSplitter(10);
    const lines: string[] = [];
    for (let at = 0; at < text.length; at += cut) {
      for (const line of splitter.push(text.subarray(at, at + cut))) lines.push(String(line));
    }
    for (const line of splitter.end()) lines.push(String(line));
    assert.deepEqual(lines, ["a", "", "bb\r", "ccc", "", "d"]);
    assert.equal(splitter.number, 6);
  }
  const splitter = new LineSplitter(4);
  assert.throws(() => [...splitter.push(Buffer.from("1234\n12345"))], { code: "RECORD_TOO_LARGE", message: /line 2/ });
});

test("what the log cannot take ends the lines, and nothing is tried again", async () => {
  let tries = 0;
  const lines = new LineAppends({
    append: async () => {
      tries++;
      throw new Error("the disk is gone");
    },
    parse: (line) => ({ value: line, key: null, partition: 0 }),
  });
  await lines.add(Buffer.from("a"), 1);
  await assert.rejects(lines.end(), { code: "INTERNAL_ERROR" });
  await assert.rejects(lines.add(Buffer.from("b"), 2), { code: "INTERNAL_ERROR" });
  assert.deepEqual([tries, lines.appended], [1, { events: 0, lines: 0, places: [] }]);
});
