import assert from "node:assert/strict";
import { Agent, type IncomingMessage, request } from "node:http";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { encodeToken } from "../feeds/token.ts";
import type { PublicationInfo } from "../publish/publication-info.ts";
import type { RowQuery, ViewInfo, Views, WaitTarget } from "../views/view-info.ts";
import { ask, openTestDoor, partial } from "./door-fixture.ts";

const position = { generation: 2, batch: 41 };
const token = encodeToken({ kind: "group", ...position });

const orderCards: ViewInfo = {
  name: "order_cards",
  sql: "select 1",
  class: "linear",
  columns: [{ name: "id", type: "bigint", nullable: false }],
  key: ["id"],
  hash: "abc",
  state: { kind: "live" },
  rowsEstimated: 3,
  changes: 9,
};

function rowsOf(rows: readonly string[], next: string | null = null) {
  const asked: { view: string; query: RowQuery }[] = [];
  const views = partial<Views>("views", {
    rows: async (view, query) => {
      asked.push({ view, query });
      return { rows, next, position };
    },
  });
  return { views, asked };
}

test("views are listed with their states, and a failed one says why", async () => {
  const error = new MillraceError("VIEW_FAILED", "division by zero", { hint: "Look at the row." });
  const views = partial<Views>("views", {
    list: () => [
      { ...orderCards, references: [{ name: "customer", view: "people", on: [["a", "b"]] }] },
      { ...orderCards, name: "broken", state: { kind: "failed", error } },
    ],
  });
  await using door = await openTestDoor({ views });
  const list = (await ask(door, "/v1/views")).json() as { items: ViewInfo[]; next: null };
  assert.equal(list.next, null);
  const references = [{ name: "customer", view: "people", on: { a: "b" } }];
  assert.deepEqual(list.items[0], { ...orderCards, group: "main", references });
  assert.deepEqual(list.items[1]?.state, {
    kind: "failed",
    error: { code: "VIEW_FAILED", message: "division by zero", hint: "Look at the row.", action: "call-operator" },
  });
});

test("a view that is published says to which topic, how far it is, and what it waits for", async () => {
  const error = new MillraceError("RECORD_TOO_LARGE", "the row is too large", { hint: "Show less." });
  const publication: PublicationInfo = {
    view: orderCards.name,
    topic: "order-cards",
    state: { kind: "waiting", error, retryAtMs: 5 },
    position: { generation: 2, batch: 7 },
    behind: 3,
    batches: 4,
    records: 9,
  };
  const views = partial<Views>("views", { list: () => [orderCards, { ...orderCards, name: "other" }] });
  const of = (view: string) => (view === orderCards.name ? publication : undefined);
  await using door = await openTestDoor({ views, publications: { list: () => [publication], of } });
  const { items } = (await ask(door, "/v1/views")).json() as { items: { publishing?: unknown }[] };
  assert.deepEqual(
    items.map(({ publishing }) => publishing),
    [
      {
        topic: "order-cards",
        state: {
          kind: "waiting",
          error: {
            code: "RECORD_TOO_LARGE",
            message: "the row is too large",
            hint: "Show less.",
            action: "fix-request",
          },
          retryAtMs: 5,
        },
        position: "2.7",
        behind: 3,
        batches: 4,
        records: 9,
      },
      undefined,
    ],
  );
});

test("rows are a bare array, as their texts were made, with the token of what they are", async () => {
  const { views, asked } = rowsOf(['{"id":"12345678901234567890","total":1.10}', '{"id":"2","total":null}']);
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/order%20cards?total=gte.1&order=total.desc&limit=2");
  assert.equal(answer.status, 200);
  assert.equal(answer.text, '[{"id":"12345678901234567890","total":1.10},\n{"id":"2","total":null}]\n');
  assert.equal(answer.headers["millrace-token"], token);
  assert.equal(answer.headers["cache-control"], "no-cache");
  assert.equal(answer.headers.link, undefined);
  assert.deepEqual(asked, [
    {
      view: "order cards",
      query: {
        filter: { kind: "compare", column: "total", operator: "gte", values: ["1"], negated: false },
        order: [{ column: "total", descending: true, nulls: null }],
        select: null,
        limit: 2,
        offset: 0,
        cursor: null,
      },
    },
  ]);
});

test("a moment goes to rows and to one row as it is, and a history is a path like a view's", async () => {
  const { views, asked } = rowsOf([]);
  await using door = await openTestDoor({ views });
  const moment = "as_of=2026-03-01T12:00:00.000001Z";
  assert.equal((await ask(door, `/v1/views/rates?${moment}`)).status, 200);
  assert.equal((await ask(door, "/v1/views/rates.history?country=eq.AT")).status, 200);
  assert.deepEqual(
    asked.map(({ view, query }) => [view, query.asOfMicros]),
    [
      ["rates", Date.UTC(2026, 2, 1, 12) * 1_000 + 1],
      ["rates.history", undefined],
    ],
  );
  const refused = await ask(door, "/v1/views/rates?as_of=yesterday");
  assert.deepEqual([refused.status, (refused.json() as { code: string }).code], [400, "REQUEST_INVALID"]);
});

test("a view with a history says how its versions are read and how long they are kept", async () => {
  const versions = { name: "rates.history", keepMs: 400 * 86_400_000 };
  const list = () => [
    { ...orderCards, versions },
    { ...orderCards, versions: { ...versions, keepMs: null } },
  ];
  await using door = await openTestDoor({ views: partial<Views>("views", { list }) });
  const { items } = (await ask(door, "/v1/views")).json() as { items: { versions?: unknown }[] };
  assert.deepEqual(
    items.map((item) => item.versions),
    [
      { name: "rates.history", keep: "400d" },
      { name: "rates.history", keep: null },
    ],
  );
});

test("the next page is linked with the same filters and the cursor", async () => {
  const { views } = rowsOf(['{"id":1}'], "c-ü=&");
  await using door = await openTestDoor({ views });
  const answer = await ask(door, `/v1/views/order_cards?and=(a.eq."x,y")&limit=1&offset=3`);
  const link = /^<(\?[^>]*)>; rel="next"$/.exec(String(answer.headers.link))?.[1] ?? "";
  assert.deepEqual(
    [...new URLSearchParams(link)],
    [
      ["and", '(a.eq."x,y")'],
      ["limit", "1"],
      ["cursor", "c-ü=&"],
    ],
  );
});

test("behind a range the next page is as long", async () => {
  const { views } = rowsOf(['{"id":1}'], "next");
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/order_cards?limit=50", { headers: { range: "0-9" } });
  assert.equal(answer.headers.link, '<?limit=10&cursor=next>; rel="next"');
});

test("an answer that the client has already is 304, until the rows change", async () => {
  const rows = ['{"id":1}'];
  const { views } = rowsOf(rows);
  await using door = await openTestDoor({ views });
  const etag = String((await ask(door, "/v1/views/order_cards")).headers.etag);
  const same = await ask(door, "/v1/views/order_cards", { headers: { "if-none-match": `"x", ${etag}` } });
  assert.equal(same.status, 304);
  assert.equal(same.text, "");
  assert.equal(same.headers.etag, etag);
  assert.equal(same.headers["millrace-token"], token);
  rows[0] = '{"id":2}';
  assert.equal((await ask(door, "/v1/views/order_cards", { headers: { "if-none-match": etag } })).status, 200);
});

test("rows are answered in the form that Accept asks for, with an ETag of their own", async () => {
  const asked: RowQuery[] = [];
  const views = partial<Views>("views", {
    rows: async (_view, query) => {
      asked.push(query);
      if (query.form !== "cells") return { rows: ['{"id":1}'], next: null, position };
      return { rows: ['["1",null,"","a \\"b\\",\\nc"]'], columns: ["id", "n", "x,y", "z"], next: null, position };
    },
  });
  await using door = await openTestDoor({ views });
  const get = (accept: string) => ask(door, "/v1/views/order_cards?limit=9", { headers: { accept } });
  const answers = [
    ["application/json", "application/json", '[{"id":1}]\n'],
    ["text/html, */*;q=0.1", "application/json", '[{"id":1}]\n'],
    ["application/x-ndjson", "application/x-ndjson", '{"id":1}\n'],
    ["application/vnd.pgrst.object+json", "application/vnd.pgrst.object+json", '{"id":1}\n'],
    ["text/csv;q=0.9, application/json;q=0.8", "text/csv; charset=utf-8", 'id,n,"x,y",z\r\n1,,"","a ""b"",\nc"\r\n'],
  ] as const;
  const tags = new Set<unknown>();
  for (const [accept, type, body] of answers) {
    const answer = await get(accept);
    assert.deepEqual([answer.status, answer.headers["content-type"], answer.text], [200, type, body]);
    assert.equal(answer.headers.vary, "Accept, Prefer, Range");
    tags.add(answer.headers.etag);
  }
  assert.equal(tags.size, 4);
  assert.deepEqual(
    asked.map(({ limit, form }) => [limit, form]),
    [
      [9, undefined],
      [9, undefined],
      [9, undefined],
      [2, undefined],
      [9, "cells"],
    ],
  );
  const refused = await get("image/png, text/csv;q=0");
  assert.equal(refused.status, 406);
  assert.equal((refused.json() as { code: string }).code, "MEDIA_TYPE_UNACCEPTABLE");
  const origin = { accept: "text/csv", origin: "http://localhost:1", "accept-encoding": "gzip" };
  assert.equal(
    (await ask(door, "/v1/views/order_cards", { headers: origin })).headers.vary,
    "Accept, Prefer, Range, Origin",
  );
});

test("one object is answered when exactly one row matches, else 406", async () => {
  for (const rows of [[], ['{"id":1}', '{"id":2}']]) {
    await using door = await openTestDoor({ views: rowsOf(rows).views });
    const headers = { accept: "application/vnd.pgrst.object+json" };
    const answer = await ask(door, "/v1/views/order_cards", { headers });
    assert.equal(answer.status, 406);
    assert.equal((answer.json() as { code: string }).code, "ROW_NOT_SINGLE");
  }
});

test("a count is told in Content-Range, with 206 where there are more rows, also to HEAD", async () => {
  const asked: RowQuery[] = [];
  let total: number | undefined = 7;
  const views = partial<Views>("views", {
    rows: async (_view, query) => {
      asked.push(query);
      const rows = query.offset >= 7 ? [] : ['{"id":1}', '{"id":2}'];
      return { rows, next: null, position, ...(total === undefined ? {} : { total }) };
    },
  });
  await using door = await openTestDoor({ views });
  const get = async (path: string, headers: Record<string, string>, method = "GET") => {
    const { status, headers: answered } = await ask(door, `/v1/views/order_cards${path}`, { headers, method });
    return [status, answered["content-range"], answered["preference-applied"]];
  };
  assert.deepEqual(await get("?offset=3&limit=2", { prefer: "count=exact" }), [206, "3-4/7", "count=exact"]);
  assert.deepEqual(await get("", { prefer: "count=planned", range: "3-4" }, "HEAD"), [206, "3-4/7", "count=planned"]);
  assert.deepEqual(await get("?offset=7", { prefer: "count=exact" }), [200, "*/7", "count=exact"]);
  assert.deepEqual(await get("?offset=8", { prefer: "count=exact" }), [416, "*/7", undefined]);
  assert.deepEqual(await get("?cursor=x", { prefer: "count=exact" }), [200, "*/7", "count=exact"]);
  total = 2;
  assert.deepEqual(await get("", { prefer: "count=estimated, handling=strict" }), [
    200,
    "0-1/2",
    "count=estimated, handling=strict",
  ]);
  total = undefined;
  assert.deepEqual(await get("?offset=3", {}), [200, "3-4/*", undefined]);
  assert.deepEqual(
    asked.map((query) => query.count),
    ["exact", "planned", "exact", "exact", "exact", "estimated", undefined],
  );
  assert.deepEqual([asked[1]?.offset, asked[1]?.limit], [3, 2]);
  assert.deepEqual(await get("", { prefer: "count=all, return=minimal" }), [200, "0-1/*", undefined]);
  const strict = await ask(door, "/v1/views/order_cards", { headers: { prefer: "count=all, handling=strict" } });
  assert.equal(strict.status, 400);
  const problem = strict.json() as { code: string; detail: string };
  assert.equal(problem.code, "PREFERENCE_INVALID");
  assert.match(problem.detail, /"count=all"/);
});

test("one row is read by its key; parts of a composite key are percent-encoded each", async () => {
  const keys: (readonly string[])[] = [];
  const views = partial<Views>("views", {
    row: async (_view, key, select) => {
      keys.push(key);
      const body = `{"selected":${JSON.stringify(select)}}\n`;
      return { row: key[0] === "none" ? null : { body, bytes: body.length, tag: "1f" }, position };
    },
  });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/order_cards/a%2Cb,c%2Fd,?select=id,total");
  assert.equal(answer.text, '{"selected":["id","total"]}\n');
  assert.equal(answer.headers.etag, 'W/"1f"');
  assert.equal(answer.headers["millrace-token"], token);
  assert.deepEqual(keys[0], ["a,b", "c/d", ""]);
  const missing = await ask(door, "/v1/views/order_cards/none");
  assert.equal(missing.status, 404);
  assert.equal((missing.json() as { code: string }).code, "ROW_NOT_FOUND");
});

test("a row that is in memory is answered by its tag and its position, and the connection stays open", async () => {
  const body = '{"id":7}\n';
  let reads = 0;
  const views = partial<Views>("views", {
    row: (_view, key) => {
      reads++;
      const row = key[0] === "7" ? { body, bytes: body.length, tag: "7f" } : null;
      return { row, position };
    },
  });
  await using door = await openTestDoor({ views });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const get = async (path: string, headers: Record<string, string> = {}) => {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        request({ port: door.port, path, headers, agent }, resolve).on("error", reject).end();
      });
      const chunks: Buffer[] = [];
      for await (const chunk of answer) chunks.push(chunk as Buffer);
      return { status: answer.statusCode, headers: answer.headers, text: Buffer.concat(chunks).toString() };
    };
    const first = await get("/v1/views/order_cards/7");
    assert.deepEqual([first.status, first.text, first.headers["millrace-token"]], [200, body, token]);
    const again = await get("/v1/views/order_cards/7", { "if-none-match": String(first.headers.etag) });
    assert.deepEqual([again.status, again.text, again.headers["millrace-token"]], [304, "", token]);
    const none = await get("/v1/views/order_cards/8");
    assert.equal(none.status, 404);
    for (const one of [first, again, none]) assert.equal(one.headers.connection, "keep-alive");
    assert.equal(reads, 3);
  } finally {
    agent.destroy();
  }
});

test("a read with a token waits until the group has it, by parameter or by header", async () => {
  const waits: { target: WaitTarget; waitMs: number }[] = [];
  const { views, asked } = rowsOf([]);
  const waiting = partial<Views>("views", {
    rows: views.rows,
    waitFor: async (target, waitMs) => {
      assert.equal(asked.length, waits.length);
      waits.push({ target, waitMs });
    },
  });
  await using door = await openTestDoor({ views: waiting, settings: { limits: { tokenWaitMs: 750 } } });
  assert.equal((await ask(door, `/v1/views/order_cards?after=${token}`)).status, 200);
  const ofSource = encodeToken({ kind: "source", source: "shop", lsn: "0/16B3748" });
  const answer = await ask(door, "/v1/views/order_cards", { headers: { "millrace-after": ofSource } });
  assert.equal(answer.status, 200);
  assert.deepEqual(waits, [
    { target: { kind: "group", position }, waitMs: 750 },
    { target: { kind: "source", source: "shop", lsn: "0/16B3748" }, waitMs: 750 },
  ]);
});

test("a token that is not reached in time is 503, one that is none is 400, one of another topic is 409", async () => {
  const waited: WaitTarget[] = [];
  const views = partial<Views>("views", {
    waitFor: async (target) => {
      waited.push(target);
      if (target.kind === "topic") throw new MillraceError("TOKEN_FOREIGN", "not of the topic as it is now");
      throw new MillraceError("TOKEN_TIMEOUT", "not reached");
    },
  });
  await using door = await openTestDoor({ views });
  const late = await ask(door, `/v1/views/order_cards?after=${token}`);
  assert.equal(late.status, 503);
  assert.ok(late.headers["retry-after"]);
  assert.equal((await ask(door, "/v1/views/order_cards?after=nonsense")).status, 400);
  const ofTopic = { kind: "topic", topic: "a", topicId: "b", positions: [{ partition: 1, offset: 7 }] } as const;
  assert.equal((await ask(door, `/v1/views/order_cards?after=${encodeToken(ofTopic)}`)).status, 409);
  assert.deepEqual(waited.at(-1), ofTopic);
});

test("what views refuse is answered with its status and its hint", async () => {
  const refusal = new MillraceError("COLUMN_UNKNOWN", 'view "order_cards" has no column "totl"', {
    hint: 'Did you mean "total"?',
  });
  const views = partial<Views>("views", {
    rows: async () => {
      throw refusal;
    },
  });
  await using door = await openTestDoor({ views });
  const answer = await ask(door, "/v1/views/order_cards?totl=eq.1");
  assert.equal(answer.status, 400);
  const problem = answer.json() as { code: string; hint: string };
  assert.equal(problem.code, "COLUMN_UNKNOWN");
  assert.equal(problem.hint, 'Did you mean "total"?');
  const grammar = await ask(door, "/v1/views/order_cards?total=greater.1");
  assert.equal((grammar.json() as { code: string }).code, "FILTER_INVALID");
});

test("explain is text, and a query answers columns and rows", async () => {
  const limits: unknown[] = [];
  const views = partial<Views>("views", {
    explain: async (view) => `${view} is linear\n`,
    query: async (sql, bounds) => {
      limits.push(bounds);
      return { columns: ["a"], rows: [[sql]] };
    },
  });
  await using door = await openTestDoor({ views });
  const explained = await ask(door, "/v1/explain/order_cards");
  assert.equal(explained.headers["content-type"], "text/plain; charset=utf-8");
  assert.equal(explained.text, "order_cards is linear\n");
  const body = '{"sql":"select 1","limit":7}';
  const answer = await ask(door, "/v1/query", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  assert.deepEqual(answer.json(), { columns: ["a"], rows: [["select 1"]] });
  assert.deepEqual(limits, [{ rowsMax: 7, timeoutMs: 30_000 }]);
});

test("a query asks the group that is named", async () => {
  const asked: unknown[] = [];
  const views = partial<Views>("views", {
    query: async (_sql, _limits, _signal, group) => {
      asked.push(group);
      return { columns: [], rows: [] };
    },
  });
  await using door = await openTestDoor({ views });
  const headers = { "content-type": "application/json" };
  const post = (body: object) => ask(door, "/v1/query", { method: "POST", headers, body: JSON.stringify(body) });
  await post({ sql: "select 1", group: "reports" });
  await post({ sql: "select 1" });
  assert.deepEqual(asked, ["reports", undefined]);
  assert.equal((await post({ sql: "select 1", group: 7 })).status, 400);
});

test("a query whose client has gone away is ended", async () => {
  let begun = () => {};
  const running = new Promise<void>((resolve) => {
    begun = resolve;
  });
  let ended = () => {};
  const aborted = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const views = partial<Views>("views", {
    query: (_sql, _limits, signal) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => {
          ended();
          reject(signal.reason);
        });
        begun();
      }),
  });
  await using door = await openTestDoor({ views });
  const headers = { "content-type": "application/json" };
  const leaving = request({
    host: "127.0.0.1",
    port: door.port,
    path: "/v1/query",
    method: "POST",
    agent: false,
    headers,
  });
  leaving.on("error", () => {});
  leaving.end('{"sql": "select pg_sleep(60)"}');
  await running;
  leaving.destroy();
  await aborted;
});

test("a view that is recomputed whole says how often, as a duration, and whether it is behind", async () => {
  const whole: ViewInfo = { ...orderCards, class: "whole", refresh: { everyMs: 90_000, behind: true } };
  await using door = await openTestDoor({ views: partial<Views>("views", { list: () => [whole, orderCards] }) });
  const { items } = (await ask(door, "/v1/views")).json() as { items: { refresh?: unknown }[] };
  assert.deepEqual(
    items.map(({ refresh }) => refresh),
    [{ every: "90s", behind: true }, undefined],
  );
});

test("a read waits for the views whose rows it shows", async () => {
  const waited: unknown[] = [];
  const views = partial<Views>("views", {
    waitFor: async (...wait) => void waited.push(wait[3]),
    rows: async () => ({ rows: [], next: null, position: { generation: 1, batch: 1 } }),
    row: async () => ({ row: { body: "{}\n", bytes: 3, tag: "t" }, position: { generation: 1, batch: 1 } }),
  });
  await using door = await openTestDoor({ views });
  const after = encodeToken({ kind: "group", generation: 1, batch: 1 });
  await ask(door, `/v1/views/order_cards?select=id,best(*)&after=${after}`);
  await ask(door, `/v1/views/order_cards/7?after=${after}`);
  const [rows, row] = waited as { view: string; select: { relation?: string }[] | null }[][];
  assert.deepEqual([rows?.[0]?.view, rows?.[0]?.select?.[1]?.relation], ["order_cards", "best"]);
  assert.deepEqual([row?.[0]?.view, row?.[0]?.select], ["order_cards", null]);
});

test("a view is built anew when that is asked for, and answered as it is then", async () => {
  const asked: string[] = [];
  const building = { kind: "building", reason: "waits for its turn", rowsDone: 0, rowsEstimated: null } as const;
  const info = { name: "order cards", sql: "", class: "linear", columns: [], key: ["id"], hash: "" } as const;
  const views = partial<Views>("views", {
    info: () => ({ ...info, state: building, rowsEstimated: 0, changes: 0 }),
  });
  const rebuildView = async (view: string) => {
    asked.push(view);
    if (view === "x") throw new MillraceError("VIEW_UNKNOWN", 'there is no view "x"');
  };
  await using door = await openTestDoor({ views, rebuildView });
  const answer = await ask(door, "/v1/views/order%20cards/rebuild", { method: "POST" });
  assert.equal(answer.status, 202);
  assert.deepEqual((answer.json() as { state: unknown }).state, building);
  assert.equal((await ask(door, "/v1/views/x/rebuild", { method: "POST" })).status, 404);
  assert.deepEqual(asked, ["order cards", "x"]);
});
