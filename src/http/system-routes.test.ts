import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import type { SourceState, SourceStatus } from "../capture/source.ts";
import type { HookStatus } from "../capture/webhooks/hook-status.ts";
import { type Durability, defaultTopicSettings, type Engine, type TopicInfo } from "../engine/engine.ts";
import { MetricsRegistry } from "../observe/metrics.ts";
import type { ViewInfo, ViewState, Views } from "../views/view-info.ts";
import { ask, noHooks, openTestDoor, partial, testNode } from "./door-fixture.ts";

function source(state: SourceState): SourceStatus {
  return {
    name: "shop",
    type: "postgres",
    state,
    url: "postgres://shop@db/shop",
    tables: [],
    changes: 0,
    transactions: 0,
    position: null,
    lagBytes: null,
    lagMs: null,
    slot: null,
    reading: [],
    wal: null,
    orphans: [],
    warnings: [],
  };
}

function view(state: ViewState): ViewInfo {
  return {
    name: "cards",
    sql: "select 1",
    class: "linear",
    columns: [],
    key: [],
    hash: "",
    state,
    rowsEstimated: 0,
    changes: 0,
  };
}

const resnapshots: string[] = [];
const retryResult = { tried: 3, written: 1, superseded: 1, refused: 1, reasons: ["why"], more: false };
const asked: string[] = [];
const gone = new MillraceError("SOURCE_SLOT_LOST", "the slot is gone", { hint: "Take a new snapshot." });

function house(sourceState: SourceState, viewState: ViewState) {
  const all = [source(sourceState)];
  return {
    sources: {
      list: () => all,
      status: (name: string) => all.find((one) => one.name === name),
      end: async () => undefined,
      resnapshot(name: string) {
        resnapshots.push(name);
        return name === "shop";
      },
      async readTable(name: string, table: string) {
        if (table !== "public.orders") throw new MillraceError("TABLE_UNKNOWN", `no table "${table}"`);
        return name === "shop" && asked.push(`read ${name} ${table}`) > 0;
      },
      retry: async (name: string) => (name === "shop" ? retryResult : undefined),
      adopt: (name: string) => asked.push(`adopt ${name}`) > 0,
      async hold(name: string, kind: string, slot: string) {
        return name === "shop" && asked.push(`${kind} ${name} ${slot}`) > 0;
      },
      resume: async (name: string) => asked.push(`resume ${name}`) > 0,
    },
    views: partial<Views>("views", { list: () => [view(viewState)] }),
    engine: partial<Engine>("engine", { topics: () => [topic("clicks", "fsync")] }),
  };
}

function topic(name: string, durability: Durability): TopicInfo {
  return { name, id: name, settings: { ...defaultTopicSettings, durability }, readOnly: false, createdMs: 0 };
}

test("a process is ready when its store is up, no source has failed and every view is live", async () => {
  await using door = await openTestDoor(house({ kind: "streaming" }, { kind: "live" }));
  const answer = await ask(door, "/readyz");
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json(), { ready: true, reasons: [], warnings: [] });
});

test("a topic whose appends are not durable when they are answered is told of, and takes nothing away", async () => {
  const engine = partial<Engine>("engine", { topics: () => [topic("a", "fsync"), topic("b", "os")] });
  await using door = await openTestDoor({ ...house({ kind: "streaming" }, { kind: "live" }), engine });
  const answer = await ask(door, "/readyz");
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json(), {
    ready: true,
    reasons: [],
    warnings: [
      {
        part: "topic b",
        message: "its durability is os: an append is answered when it is written, and a power cut can lose it",
        hint: "millrace topics alter b --durability fsync",
      },
    ],
  });
});

test("a process that is not ready is 503 with every reason", async () => {
  await using door = await openTestDoor({
    ...house(
      { kind: "failed", error: gone },
      { kind: "building", reason: "first snapshot", rowsDone: 1, rowsEstimated: 9 },
    ),
    node: () => ({ ...testNode, store: { ...testNode.store, state: "down" } }),
  });
  const answer = await ask(door, "/readyz");
  assert.equal(answer.status, 503);
  assert.deepEqual(answer.json(), {
    ready: false,
    reasons: [
      { part: "store", code: "STORE_UNAVAILABLE", message: "PostgreSQL, where the views live, is down" },
      { part: "source shop", code: "SOURCE_SLOT_LOST", message: "the slot is gone", hint: "Take a new snapshot." },
      { part: "view cards", code: "VIEW_BUILDING", message: "being built: first snapshot" },
    ],
    warnings: [],
  });
});

test("a group beside main that is down is a warning, and its views are no reasons", async () => {
  const error = new MillraceError("STORE_UNAVAILABLE", 'group "reports": the store does not answer', { hint: "Look." });
  const [main] = testNode.groups;
  assert.ok(main);
  const reports = { ...main, name: "reports", state: "waiting", error, store: null } as const;
  const failed = { ...view({ kind: "failed", error }), name: "daily", group: "reports" };
  const views = partial<Views>("views", { list: () => [view({ kind: "live" }), failed] });
  const parts = { ...house({ kind: "streaming" }, { kind: "live" }), views };
  await using door = await openTestDoor({ ...parts, node: () => ({ ...testNode, groups: [main, reports] }) });
  const answer = await ask(door, "/readyz");
  assert.equal(answer.status, 200);
  const { warnings } = answer.json() as { warnings: object[] };
  assert.deepEqual(warnings, [
    { part: "group reports", message: 'group "reports": the store does not answer', hint: "Look." },
    ...warnings.slice(1),
  ]);
  const { items } = (await ask(door, "/v1/nodes")).json() as {
    items: { groups: { name: string; error: object | null }[] }[];
  };
  assert.deepEqual(
    items[0]?.groups.map(({ name, error }) => [name, error]),
    [
      ["main", null],
      ["reports", { code: "STORE_UNAVAILABLE", message: error.message, hint: "Look.", action: "wait" }],
    ],
  );

  await using other = await openTestDoor({
    ...parts,
    node: () => ({ ...testNode, groups: [main, { ...reports, state: "running", error: null, store: main.store }] }),
  });
  const unready = await ask(other, "/readyz");
  assert.equal(unready.status, 503, "of a group that is up they are");
});

test("a pause says what becomes of the slot, or is refused", async () => {
  await using door = await openTestDoor(
    house({ kind: "paused", slot: "kept", sinceMs: 5, error: gone }, { kind: "live" }),
  );
  const post = async (path: string) => await ask(door, `/v1/sources/${path}`, { method: "POST" });
  const paused = await post("shop/pause?slot=keep");
  assert.equal(paused.status, 202);
  const { state } = paused.json() as { state: Record<string, unknown> };
  assert.deepEqual(
    [state.kind, state.slot, state.sinceMs, (state.error as { code: string }).code],
    ["paused", "kept", 5, "SOURCE_SLOT_LOST"],
  );
  assert.equal((await post("shop/remove?slot=drop")).status, 202);
  assert.equal((await post("shop/resume")).status, 202);
  assert.equal((await post("shop/adopt")).status, 202);
  assert.deepEqual(asked.splice(0), ["paused shop keep", "removed shop drop", "resume shop", "adopt shop"]);
  assert.equal((await post("shop/remove?slot=keep&slot=drop")).status, 400);
  for (const path of ["shop/pause", "shop/pause?slot=perhaps"]) {
    const refused = await post(path);
    assert.equal(refused.status, 400, path);
    assert.match((refused.json() as { hint: string }).hint, /slot=keep.*slot=drop/);
  }
  assert.equal((await post("shob/pause?slot=keep")).status, 404);
  assert.deepEqual(asked.splice(0), []);
});

test("a source that a limit has paused is a reason not to be ready; one that somebody paused is none", async () => {
  for (const [state, ready] of [
    [{ kind: "paused", slot: "kept", sinceMs: 5, error: gone }, 503],
    [{ kind: "paused", slot: "kept", sinceMs: 5 }, 200],
  ] as const) {
    await using door = await openTestDoor(house(state, { kind: "live" }));
    assert.equal((await ask(door, "/readyz")).status, ready);
  }
});

test("a new snapshot of a source is asked for by name", async () => {
  await using door = await openTestDoor(house({ kind: "failed", error: gone }, { kind: "live" }));
  const answer = await ask(door, "/v1/sources/shop/resnapshot", { method: "POST" });
  assert.equal(answer.status, 202);
  assert.deepEqual(resnapshots.splice(0), ["shop"]);
  const unknown = await ask(door, "/v1/sources/shob/resnapshot", { method: "POST" });
  assert.equal(unknown.status, 404);
  assert.deepEqual(unknown.json(), {
    type: "about:blank",
    title: "Not Found",
    status: 404,
    code: "SOURCE_UNKNOWN",
    detail: 'there is no source "shob"',
    hint: 'Did you mean "shop"?',
    action: "fix-request",
  });
});

test("one table is read anew by its name, and an unknown one is refused", async () => {
  await using door = await openTestDoor(house({ kind: "streaming" }, { kind: "live" }));
  resnapshots.length = 0;
  const read = (source: string, table: string) =>
    ask(door, `/v1/sources/${source}/resnapshot?table=${encodeURIComponent(table)}`, { method: "POST" });
  assert.equal((await read("shop", "public.orders")).status, 202);
  assert.deepEqual([asked.splice(0), resnapshots], [["read shop public.orders"], []]);
  const unknown = await read("shop", "orders; drop table x");
  assert.deepEqual([unknown.status, (unknown.json() as { code: string }).code], [404, "TABLE_UNKNOWN"]);
  assert.equal((await read("shob", "public.orders")).status, 404);
});

test("a page of another site can ask nothing of a source", async () => {
  await using door = await openTestDoor(house({ kind: "streaming" }, { kind: "live" }));
  resnapshots.length = 0;
  const what = [
    "resnapshot",
    "resnapshot?table=public.orders",
    "adopt",
    "pause?slot=drop",
    "remove?slot=drop",
    "resume",
  ];
  for (const path of [...what, "retry"]) {
    for (const headers of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }]) {
      const answer = await ask(door, `/v1/sources/shop/${path}`, { method: "POST", headers });
      assert.equal(answer.status, 403, path);
    }
  }
  assert.deepEqual([asked, resnapshots], [[], []]);
});

test("what a source of webhooks cannot be asked says so", async () => {
  const hook = { ...source({ kind: "streaming" }), name: "stripe" } as unknown as HookStatus;
  const hooks = { ...noHooks, list: () => [hook], status: (name: string) => (name === "stripe" ? hook : undefined) };
  await using door = await openTestDoor({ hooks });
  const answer = await ask(door, "/v1/sources/stripe/pause?slot=keep", { method: "POST" });
  assert.equal(answer.status, 400);
  assert.match(answer.text, /takes webhooks/);
});

test("what was set aside is tried again by name, and the answer says what became of it", async () => {
  await using door = await openTestDoor(house({ kind: "streaming" }, { kind: "live" }));
  const answer = await ask(door, "/v1/sources/shop/retry", { method: "POST" });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json(), retryResult);
  assert.equal((await ask(door, "/v1/sources/shob/retry", { method: "POST" })).status, 404);
});

test("a source that waits for its database does not take the process away", async () => {
  const waiting = { kind: "waiting", error: gone, retryAtMs: 5 } as const;
  await using door = await openTestDoor(house(waiting, { kind: "live" }));
  assert.equal((await ask(door, "/readyz")).status, 200);
});

test("reasons are told to holders of the key only", async () => {
  const parts = house({ kind: "failed", error: gone }, { kind: "live" });
  await using door = await openTestDoor({ ...parts, settings: { key: "k" } });
  assert.deepEqual((await ask(door, "/readyz")).json(), { ready: false });
  const trusted = await ask(door, "/readyz", { headers: { authorization: "Bearer k" } });
  assert.match(trusted.text, /SOURCE_SLOT_LOST/);
});

test("sources are listed and shown, with an error's hint inside, and an unknown one is named", async () => {
  await using door = await openTestDoor(house({ kind: "waiting", error: gone, retryAtMs: 5 }, { kind: "live" }));
  const one = (await ask(door, "/v1/sources/shop")).json() as SourceStatus;
  assert.deepEqual(one.state, {
    kind: "waiting",
    retryAtMs: 5,
    error: {
      code: "SOURCE_SLOT_LOST",
      message: "the slot is gone",
      hint: "Take a new snapshot.",
      action: "call-operator",
    },
  });
  assert.deepEqual((await ask(door, "/v1/sources")).json(), { items: [one], next: null });
  const unknown = await ask(door, "/v1/sources/shp");
  assert.equal(unknown.status, 404);
  assert.equal((unknown.json() as { hint: string }).hint, 'Did you mean "shop"?');
});

test("the one process is listed", async () => {
  await using door = await openTestDoor();
  assert.deepEqual((await ask(door, "/v1/nodes")).json(), { items: [testNode], next: null });
});

test("requests are counted by route and status, never by path", async () => {
  const metrics = new MetricsRegistry();
  await using door = await openTestDoor({ metrics, renderMetrics: () => metrics.render() });
  await ask(door, "/v1/sources/nobody");
  await ask(door, "/v1/sources/somebody");
  await ask(door, "/no/such/path");
  const answer = await ask(door, "/metrics");
  assert.equal(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  assert.match(
    answer.text,
    /millrace_http_requests_total\{method="GET",route="\/v1\/sources\/\{source\}",status="404"\} 2\n/,
  );
  assert.match(answer.text, /millrace_http_requests_total\{method="GET",route="none",status="404"\} 1\n/);
  assert.match(
    answer.text,
    /millrace_http_request_seconds_count\{method="GET",route="\/v1\/sources\/\{source\}"\} 2\n/,
  );
  assert.match(answer.text, /millrace_http_connections [1-9]/);
  assert.doesNotMatch(answer.text, /nobody|no\/such/);
});

test("files of the console are served beside the interface, and nothing above their folder is asked for", async () => {
  const asked: string[] = [];
  const files = async (path: string) => {
    asked.push(path);
    if (path !== "/" && path !== "/a b.js") return undefined;
    return { type: "text/html", body: Buffer.from("<!doctype html>"), headers: { "content-security-policy": "x" } };
  };
  await using door = await openTestDoor({ files, settings: { key: "k" } });
  const page = await ask(door, "/?tab=views");
  assert.equal(page.status, 200);
  assert.equal(page.headers["content-security-policy"], "x");
  const again = await ask(door, "/", { headers: { "if-none-match": String(page.headers.etag) } });
  assert.equal(again.status, 304);
  assert.equal((await ask(door, "/a%20b.js")).status, 200);
  assert.equal((await ask(door, "/missing.js")).status, 404);
  for (const path of [
    "/..%2fsecret",
    "/%2e%2e/secret",
    "/a/../../b",
    "/.env",
    "/a//b",
    "/a%5c..%5cb",
    "/%ff",
    "/%00",
  ]) {
    assert.equal((await ask(door, path)).status, 404, path);
  }
  assert.deepEqual(asked, ["/", "/", "/a b.js", "/missing.js"]);
  assert.equal((await ask(door, "/v1/nodes")).status, 401);
});
