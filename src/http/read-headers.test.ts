import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { encodeToken } from "../feeds/token.ts";
import type { RowsAnswer, SnapshotAnswer, Views } from "../views/view-info.ts";
import { ask, openTestDoor, partial } from "./door-fixture.ts";
import { structuredText, warningHeaders } from "./read-headers.ts";

const position = { generation: 2, batch: 41 };
const unindexed = { filtered: ["status", 'a "b"'], ordered: ["größe"], option: 'index: ["status"]' };
const rows = ['{"id":1}'];

test("an answer that no index served has a warning, which pages of other origins can read", async () => {
  const answers: readonly RowsAnswer[] = [
    { rows, next: null, position, unindexed },
    { rows, next: null, position },
  ];
  let next = 0;
  const views = partial<Views>("views", { rows: async () => answers[next++] as RowsAnswer });
  await using door = await openTestDoor({ views });
  const warned = await ask(door, "/v1/views/orders?status=eq.paid", { headers: { origin: "http://localhost:3000" } });
  assert.equal(
    warned.headers["millrace-warning"],
    'read-without-index;view="orders";filtered="status, a \\"b\\"";ordered=%"gr%c3%b6%c3%9fe";option="index: [\\"status\\"]"',
  );
  assert.match(String(warned.headers["access-control-expose-headers"]), /Millrace-Warning/);
  assert.equal((await ask(door, "/v1/views/orders")).headers["millrace-warning"], undefined);
});

test("of several reads a warning says which one it is of", async () => {
  const results: SnapshotAnswer["results"] = [
    { rows, next: null },
    { row: null },
    { rows, next: null, unindexed: { filtered: [], ordered: ["at"], option: null } },
  ];
  const views = partial<Views>("views", { readAll: async () => ({ position, results }) });
  await using door = await openTestDoor({ views });
  const reads = [{ view: "a" }, { view: "b", key: "1" }, { view: "c", query: "order=at" }];
  const answer = await ask(door, "/v1/read", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ reads }),
  });
  assert.equal(answer.headers["millrace-warning"], 'read-without-index;read=2;view="c";ordered="at"');
  assert.doesNotMatch(answer.text, /unindexed/);
});

test("stale=ok is handed on with each read, and an answer that is stale says since when", async () => {
  const asked: unknown[] = [];
  const staleSinceMs = Date.parse("2026-11-29T10:00:00Z");
  const views = partial<Views>("views", {
    rows: async (_view, query) => {
      asked.push(query.stale);
      return { rows, next: "more", position, staleSinceMs };
    },
    row: (_view, [key], _select, options) => {
      if (key === "9") return { row: null, position, staleSinceMs };
      asked.push(options?.stale);
      return { row: { body: "{}\n", bytes: 3, tag: "t" }, position, staleSinceMs };
    },
    readAll: async (reads) => {
      asked.push(...reads.map((read) => ("key" in read ? read.stale : read.query.stale)));
      return {
        position,
        results: [
          { rows, next: null, staleSinceMs: staleSinceMs + 1 },
          { row: null, staleSinceMs },
        ],
      };
    },
  });
  await using door = await openTestDoor({ views });
  const since = "2026-11-29T10:00:00.000Z";
  const page = await ask(door, "/v1/views/orders?stale=ok", { headers: { origin: "http://localhost:3000" } });
  assert.equal(page.headers["millrace-stale"], since);
  assert.equal(page.headers["millrace-token"], encodeToken({ kind: "group", ...position }));
  assert.match(String(page.headers["access-control-expose-headers"]), /Millrace-Stale/);
  assert.match(String(page.headers.link), /stale=ok/);
  assert.equal((await ask(door, "/v1/views/orders/1?stale=ok")).headers["millrace-stale"], since);
  assert.equal(((await ask(door, "/v1/views/orders/9?stale=ok")).json() as { stale: string }).stale, since);
  const post = (body: unknown) =>
    ask(door, "/v1/read", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const reads = [{ view: "a" }, { view: "b", key: "1" }];
  const many = await post({ reads, stale: "ok" });
  assert.equal(many.headers["millrace-stale"], since);
  assert.deepEqual((many.json() as { results: unknown }).results, [
    { rows: [{ id: 1 }], next: null, stale: "2026-11-29T10:00:00.001Z" },
    { row: null, stale: since },
  ]);
  assert.deepEqual(asked, [true, true, true, true]);
  for (const refused of [
    await ask(door, "/v1/views/orders?stale=eq.true"),
    await ask(door, "/v1/views/orders/1?stale="),
    await ask(door, "/v1/views/orders/live?stale=ok"),
    await post({ reads, stale: true }),
    await post({ reads: [{ view: "a", query: "stale=ok" }] }),
  ]) {
    assert.equal(refused.status, 400);
    assert.equal((refused.json() as { code: string }).code, "REQUEST_INVALID");
  }
  assert.equal(asked.length, 4);
});

test("a view that failed says since when its rows may be wrong, where they can be read", async () => {
  const error = new MillraceError("VIEW_FAILED", "division by zero");
  const state = { kind: "failed", error, staleSinceMs: 0 } as const;
  const info = { name: "v", sql: "", class: "linear", columns: [], key: [], hash: "", rowsEstimated: 0, changes: 0 };
  const views = partial<Views>("views", { list: () => [{ ...info, class: "linear", state }] });
  await using door = await openTestDoor({ views });
  const { items } = (await ask(door, "/v1/views")).json() as { items: { state: object }[] };
  assert.deepEqual(items[0]?.state, {
    kind: "failed",
    error: { code: "VIEW_FAILED", message: "division by zero", hint: null, action: "call-operator" },
    staleSince: "1970-01-01T00:00:00.000Z",
  });
});

test("suggest=true is handed on with q, and other words stand in a header, or beside the rows of several reads", async () => {
  const asked: unknown[] = [];
  const suggestions = ["river", 'crème "brûlée"'];
  const views = partial<Views>("views", {
    rows: async (_view, query) => {
      asked.push(query.find);
      return { rows: [], next: null, position, suggestions };
    },
    readAll: async () => ({ position, results: [{ rows: [], next: null, suggestions }] }),
  });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/books?q=rivr&suggest=true", { headers: { origin: "http://localhost:1" } });
  assert.equal(answer.headers["millrace-suggestion"], '"river", %"cr%c3%a8me %22br%c3%bbl%c3%a9e%22"');
  assert.match(String(answer.headers["access-control-expose-headers"]), /Millrace-Suggestion/);
  assert.deepEqual(asked, [{ search: "rivr", suggest: true }]);
  const many = await ask(door, "/v1/read", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ reads: [{ view: "books", query: "q=rivr&suggest=true" }] }),
  });
  assert.deepEqual((many.json() as { results: { suggestions: unknown }[] }).results[0]?.suggestions, suggestions);
  for (const query of ["?suggest=true", "?q=a&suggest=yes", "/live?q=a&suggest=true"]) {
    const refused = await ask(door, `/v1/views/books${query}`);
    assert.equal((refused.json() as { code: string }).code, "FILTER_INVALID", query);
  }
});

test("warnings of one answer are bounded", () => {
  const reads = Array.from({ length: 50 }, (_, read) => ({ view: "v", unindexed, read }));
  const header = warningHeaders(reads)["millrace-warning"] ?? "";
  assert.equal(header.split("read-without-index").length - 1, 8);
});

test("a text of a header is a string of RFC 9651, or a display string beyond ASCII", () => {
  assert.equal(structuredText('a "b" \\ c'), '"a \\"b\\" \\\\ c"');
  assert.equal(structuredText('é "%'), '%"%c3%a9 %22%25"');
  assert.equal(structuredText("a\nb"), '%"a%0ab"');
});
