import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Diagnostics } from "../base/diagnostics.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { Views } from "../views/view-info.ts";
import { ask, hasCode, openTestDoor, partial, raw } from "./door-fixture.ts";

const noViews = partial<Views>("views", { list: () => [] });

test("a healthy process says so, and the answer to HEAD has the same head without a body", async () => {
  await using door = await openTestDoor();
  const get = await ask(door, "/healthz");
  assert.equal(get.status, 200);
  assert.deepEqual(get.json(), { status: "ok" });
  assert.equal(get.headers["x-content-type-options"], "nosniff");
  const head = await ask(door, "/healthz", { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.headers["content-length"], get.headers["content-length"]);
  assert.equal(head.text, "");
});

test("an unknown path is a problem document that names the nearest one", async () => {
  await using door = await openTestDoor();
  const answer = await ask(door, "/v1/topic/clicks/events");
  assert.equal(answer.status, 404);
  assert.equal(answer.headers["content-type"], "application/problem+json");
  assert.deepEqual(answer.json(), {
    type: "about:blank",
    title: "Not Found",
    status: 404,
    code: "ROUTE_UNKNOWN",
    detail: "there is nothing at /v1/topic/clicks/events",
    hint: "Did you mean /v1/topics/{topic}/events?",
    action: "fix-request",
  });
});

test("a method that a path does not have is 405 with the ones that it has", async () => {
  await using door = await openTestDoor();
  const answer = await ask(door, "/v1/topics/clicks", { method: "TRACE" });
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.allow, "GET, PUT, PATCH, DELETE, POST, HEAD, OPTIONS");
  const options = await ask(door, "/v1/views", { method: "OPTIONS" });
  assert.equal(options.status, 204);
  assert.equal(options.headers.allow, "GET, HEAD, OPTIONS");
});

test("malformed percent-encoding in a path or a query is 400", async () => {
  await using door = await openTestDoor({ views: noViews });
  for (const path of ["/v1/sources/%zz", "/v1/views?a=%ff", "/v1/sources/%00", "/v1/topics?%"]) {
    const answer = await ask(door, path);
    assert.equal(answer.status, 400, path);
    assert.equal((answer.json() as { code: string }).code, "REQUEST_INVALID", path);
  }
});

test("a parameter that a path does not know is refused with the one that was meant", async () => {
  await using door = await openTestDoor();
  const answer = await ask(door, "/v1/topics/clicks/events?limt=5");
  assert.equal(answer.status, 400);
  assert.equal((answer.json() as { hint: string }).hint, "Did you mean limit?");
});

test("an error that nobody foresaw is told with a reference, kept in the diagnostics, and stops nothing else", async () => {
  const errors: unknown[] = [];
  const diagnostics: Diagnostics = { ...silentDiagnostics, error: (_message, fields) => errors.push(fields) };
  const views = partial<Views>("views", {
    list() {
      throw new TypeError("secret of the house");
    },
  });
  await using door = await openTestDoor({ views, diagnostics });
  const answer = await ask(door, "/v1/views");
  assert.equal(answer.status, 500);
  assert.doesNotMatch(answer.text, /secret/);
  const { code, reference } = answer.json() as { code: string; reference: string };
  assert.equal(code, "INTERNAL_ERROR");
  assert.equal((errors[0] as { reference: string }).reference, reference);
  assert.equal((await ask(door, "/healthz")).status, 200);
});

test("a busy part is 503 with Retry-After", async () => {
  const views = partial<Views>("views", {
    list() {
      throw new MillraceError("STORE_UNAVAILABLE", "PostgreSQL does not answer");
    },
  });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views");
  assert.equal(answer.status, 503);
  assert.match(String(answer.headers["retry-after"]), /^[1-9]$/);
});

test("headers that are too large are 431, too many are 431, and what is no HTTP is 400", async () => {
  await using door = await openTestDoor();
  const large = await raw(door, `GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"a".repeat(40_000)}\r\n\r\n`);
  assert.match(large, /^HTTP\/1\.1 431 .*"code":"REQUEST_HEADERS_TOO_LARGE"/s);
  const flood = Array.from({ length: 150 }, (_, i) => `x-${i}: 1\r\n`).join("");
  const many = await raw(door, `GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${flood}\r\n`);
  assert.match(many, /^HTTP\/1\.1 431 .*"code":"REQUEST_HEADERS_TOO_LARGE"/s);
  assert.match(await raw(door, "nonsense\r\n\r\n"), /^HTTP\/1\.1 400 .*"code":"REQUEST_INVALID"/s);
  assert.match(await raw(door, "GET / HTTP/1.1\r\n\r\n"), /^HTTP\/1\.1 400/);
  assert.equal((await ask(door, "/healthz")).status, 200);
});

test("a request whose headers stop halfway is 408", async () => {
  await using door = await openTestDoor({ settings: { limits: { headersMs: 40 } } });
  assert.match(await raw(door, "GET /healthz HTTP/1.1\r\nHost: loc"), /^HTTP\/1\.1 408 .*"code":"REQUEST_TIMEOUT"/s);
});

test("a body that stops halfway is 408, and the connection ends", async () => {
  await using door = await openTestDoor({ settings: { limits: { bodyMs: 40 } } });
  const half = await raw(
    door,
    'POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"sql":',
  );
  assert.match(half, /^HTTP\/1\.1 408 .*"code":"REQUEST_TIMEOUT"/s);
});

test("a body that nobody asked for is not read: its connection ends with the answer", async () => {
  await using door = await openTestDoor();
  const endless = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
  const answer = await raw(door, endless);
  assert.match(answer, /^HTTP\/1\.1 200 OK.*\{"status":"ok"\}$/s);
});

test("a client that goes away in the middle of its body disturbs nobody", async () => {
  await using door = await openTestDoor();
  const socket = connect(door.port, "127.0.0.1", () => {
    socket.write(
      "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    );
    socket.destroy();
  });
  await new Promise((resolve) => socket.on("close", resolve));
  assert.equal((await ask(door, "/healthz")).status, 200);
});

test("a body over the limit is 413, by its length, by its bytes, and when decompressed", async () => {
  await using door = await openTestDoor({ settings: { limits: { bodyBytesMax: 1_000 } } });
  const headers = { "content-type": "application/json" };
  const body = "a".repeat(2_000);
  const query = { method: "POST", headers, body };
  assert.equal((await ask(door, "/v1/query", query)).status, 413);
  const chunked = `POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n${body}\r\n0\r\n\r\n`;
  assert.match(await raw(door, chunked), /^HTTP\/1\.1 413 .*"code":"REQUEST_TOO_LARGE"/s);
  const bomb = gzipSync(Buffer.alloc(1_000_000));
  assert.ok(bomb.length > 900);
  const small = gzipSync(Buffer.alloc(100_000));
  assert.ok(small.length < 1_000);
  const packed = { ...query, headers: { ...headers, "content-encoding": "gzip" } };
  assert.equal((await ask(door, "/v1/query", { ...packed, body: small })).status, 413);
});

test("an encoding or a type that is not read is 415 with those that are", async () => {
  await using door = await openTestDoor();
  const body = '{"sql":"select 1"}';
  const odd = await ask(door, "/v1/query", {
    method: "POST",
    headers: { "content-type": "application/json", "content-encoding": "compress" },
    body,
  });
  assert.equal(odd.status, 415);
  assert.equal(odd.headers["accept-encoding"], "gzip, deflate, br, zstd");
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]) {
    const answer = await ask(door, "/v1/query", { method: "POST", headers: { "content-type": type }, body });
    assert.equal(answer.status, 415, type);
  }
});

test("a body that is not JSON, not UTF-8, or not what its encoding says is 400", async () => {
  await using door = await openTestDoor();
  const post = (body: string | Buffer, headers = {}) =>
    ask(door, "/v1/query", { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
  for (const body of ["{", "", "[]", "null", '{"sql":5}', '{"sql":"select 1","limit":0}', Buffer.from([0xff, 0xfe])]) {
    const answer = await post(body);
    assert.equal(answer.status, 400, String(body));
    assert.equal((answer.json() as { code: string }).code, "REQUEST_INVALID");
  }
  assert.equal((await post("plain", { "content-encoding": "gzip" })).status, 400);
});

test("a query's body may be compressed", async () => {
  const views = partial<Views>("views", { query: async (sql) => ({ columns: ["sql"], rows: [[sql]] }) });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/query", {
    method: "POST",
    headers: { "content-type": "application/json; charset=utf-8", "content-encoding": "gzip" },
    body: gzipSync('{"sql":"select 1"}'),
  });
  assert.deepEqual(answer.json(), { columns: ["sql"], rows: [["select 1"]] });
});

test("a client that asks before it sends its body is told to go on, or gets its refusal at once", async () => {
  const views = partial<Views>("views", { query: async () => ({ columns: [], rows: [] }) });
  await using door = await openTestDoor({ views });
  const head = (host: string) =>
    `POST /v1/query HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 18\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
  const accepted = await raw(door, `${head("localhost")}{"sql":"select 1"}`);
  assert.match(accepted, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  assert.match(await raw(door, head("evil.example")), /^HTTP\/1\.1 403 /);
});

test("pipelined requests are answered in their order, one at a time", async () => {
  const seen: string[] = [];
  const views = partial<Views>("views", {
    query: async (sql) => {
      seen.push(`begin ${sql}`);
      for (let i = 0; i < 5 - Number(sql); i++) await new Promise((resolve) => setImmediate(resolve));
      seen.push(`end ${sql}`);
      return { columns: [], rows: [[sql]] };
    },
  });
  await using door = await openTestDoor({ views });
  const post = (sql: string, last = false) =>
    `POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${sql.length + 10}\r\n${last ? "Connection: close\r\n" : ""}\r\n{"sql":"${sql}"}`;
  const answers = await raw(door, post("1") + post("2") + post("3", true));
  assert.deepEqual(answers.match(/"rows":\[\["\d"\]\]/g), ['"rows":[["1"]]', '"rows":[["2"]]', '"rows":[["3"]]']);
  assert.deepEqual(seen, ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]);
});

test("what is answered at once stands behind what was sent before it and takes longer", async () => {
  const views = partial<Views>("views", {
    query: async () => {
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      return { columns: [], rows: [] };
    },
  });
  await using door = await openTestDoor({ views });
  const slow =
    'POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"sql":"select 1"}';
  const quick = (last = "") => `GET /healthz HTTP/1.1\r\nHost: localhost\r\n${last}\r\n`;
  const answers = await raw(door, quick() + slow + quick() + slow + quick("Connection: close\r\n"));
  assert.deepEqual(answers.match(/"(status|rows)"/g), ['"status"', '"rows"', '"status"', '"rows"', '"status"']);
});

test("no answer names a header twice, and one that ends its connection says so", async () => {
  const refused = new MillraceError("STORE_UNAVAILABLE", "it is away");
  const views = partial<Views>("views", { list: () => [], query: () => Promise.reject(refused) });
  await using door = await openTestDoor({ views });
  const from = "Host: localhost\r\nOrigin: http://localhost:3000\r\n";
  const asked = [
    [`GET /v1/views HTTP/1.1\r\n${from}Connection: close\r\n\r\n`, 200],
    [`OPTIONS /v1/views HTTP/1.1\r\n${from}Connection: close\r\n\r\n`, 204],
    [`BREW /v1/views HTTP/1.1\r\n${from}Connection: close\r\n\r\n`, 400],
    [`TRACE /v1/views HTTP/1.1\r\n${from}Connection: close\r\n\r\n`, 405],
    [`GET /v1/viewz HTTP/1.1\r\n${from}Connection: close\r\n\r\n`, 404],
    [`GET /registry/subjectz HTTP/1.1\r\n${from}Connection: close\r\n\r\n`, 404],
    [
      `POST /v1/query HTTP/1.1\r\n${from}Connection: close\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"sql":"select 1"}`,
      503,
    ],
    [`POST /v1/query HTTP/1.1\r\n${from}Content-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n`, 415],
  ] as const;
  for (const [request, status] of asked) {
    const head = (await raw(door, request)).split("\r\n\r\n", 1)[0] ?? "";
    const [first, ...lines] = head.split("\r\n");
    assert.match(first ?? "", new RegExp(`^HTTP/1.1 ${status} `));
    const names = lines.map((line) => line.slice(0, line.indexOf(":")).toLowerCase());
    assert.deepEqual(names, [...new Set(names)], request);
    assert.match(head, /\r\nconnection: close(\r\n|$)/i, request);
  }
});

test("a connection that pipelines more than its share is closed, and the next one is served", async () => {
  const views = partial<Views>("views", { list: () => [], query: () => new Promise(() => {}) });
  await using door = await openTestDoor({ views, settings: { limits: { pipelinedMax: 8, drainMs: 20 } } });
  const stuck =
    'POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"sql":"select 1"}';
  assert.equal(await raw(door, stuck + "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20)), "");
  assert.equal((await ask(door, "/healthz")).status, 200);
});

test("past the limit of connections a new one is told 503", async () => {
  await using door = await openTestDoor({ settings: { limits: { connectionsMax: 2 } } });
  const held = [connect(door.port, "127.0.0.1"), connect(door.port, "127.0.0.1")];
  await Promise.all(held.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
  const refused = await raw(door, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert.match(refused, /^HTTP\/1\.1 503 .*"code":"CONNECTIONS_EXHAUSTED"/s);
  for (const socket of held) socket.destroy();
});

test("a large answer is compressed for a client that is not on this machine", async () => {
  const columns = Array.from({ length: 500 }, (_, i) => `column_${i}`);
  const views = partial<Views>("views", { query: async () => ({ columns, rows: [] }) });
  await using door = await openTestDoor({ views });
  const post = (headers: Record<string, string>) =>
    ask(door, "/v1/query", {
      method: "POST",
      headers: { "content-type": "application/json", "accept-encoding": "br, gzip;q=0.8", ...headers },
      body: '{"sql":"select 1"}',
    });
  const local = await post({});
  assert.equal(local.headers["content-encoding"], undefined);
  const remote = await post({ "x-forwarded-for": "192.0.2.7" });
  assert.equal(remote.headers["content-encoding"], "gzip");
  assert.match(String(remote.headers.vary), /Accept-Encoding/);
  assert.ok(remote.bytes.length < local.bytes.length / 2);
  const refused = await post({ "x-forwarded-for": "192.0.2.7", "accept-encoding": "gzip;q=0" });
  assert.equal(refused.headers["content-encoding"], undefined);
});

test("a port that was asked for and is taken is PORT_TAKEN; without a wish it is the next free one", async () => {
  await using first = await openTestDoor();
  await assert.rejects(openTestDoor({ settings: { port: first.port } }), hasCode("PORT_TAKEN"));
  const holder = createServer();
  // 4400 may be in use on this machine already: either way the door must find another one.
  await new Promise<void>((resolve) => holder.once("error", () => resolve()).listen(4400, "127.0.0.1", resolve));
  await using second = await openTestDoor({ settings: { port: null } });
  assert.ok(second.port > 4400 && second.port < 4500, `port ${second.port}`);
  assert.equal(second.url, `http://127.0.0.1:${second.port}`);
  holder.close();
});

test("an address that is not of this machine is SETTING_INVALID", async () => {
  await assert.rejects(openTestDoor({ settings: { host: "192.0.2.1", key: "k" } }), hasCode("SETTING_INVALID"));
});

test("closing lets a request finish, refuses new ones, and closes idle connections", async () => {
  let finish: () => void = () => {};
  let began: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  const views = partial<Views>("views", {
    query: () => {
      began();
      return new Promise((resolve) => {
        finish = () => resolve({ columns: ["a"], rows: [] });
      });
    },
  });
  const door = await openTestDoor({ views });
  const idle = connect(door.port, "127.0.0.1");
  await new Promise((resolve) => idle.once("connect", resolve));
  const idleClosed = new Promise((resolve) => idle.once("close", resolve));
  // `raw` ends only when the door ends the connection, which this client would keep.
  const running = raw(
    door,
    'POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"sql":"select 1"}',
  );
  await begun;
  const closed = door.close();
  await idleClosed;
  await assert.rejects(ask(door, "/healthz"), /ECONNREFUSED/);
  finish();
  assert.match(await running, /^HTTP\/1\.1 200 OK.*\{"columns":\["a"\],"rows":\[\]\}$/s);
  await closed;
});

test("a request that does not finish is cut off when the drain is over", async () => {
  let began: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  const views = partial<Views>("views", {
    query: () => {
      began();
      return new Promise(() => {});
    },
  });
  const door = await openTestDoor({ views, settings: { limits: { drainMs: 20 } } });
  const running = ask(door, "/v1/query", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"sql":"select 1"}',
  });
  await begun;
  await Promise.all([door.close(), assert.rejects(running)]);
});
