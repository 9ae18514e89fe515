import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { Feed, Frame } from "../feeds/feed.ts";
import { openFeeds } from "../feeds/feeds.ts";
import { engineWithoutTopics } from "../feeds/feeds-fixture.ts";
import { column, GroupFixture } from "../views/reader-fixture.ts";
import { bearer, testTokenRules } from "./caller-tokens.fixture.ts";
import { type Answer, ask, type DoorOverrides, openTestDoor } from "./door-fixture.ts";
import { expiringFeed } from "./expiring-feed.ts";
import type { HttpDoor } from "./http-door.ts";

interface House extends AsyncDisposable {
  readonly fixture: GroupFixture;
  readonly door: HttpDoor;
}

const order = (id: number, customer_id: number) => {
  return { id, customer_id, title: `order ${id}`, next: id + 1, place: `all.${id}` };
};

/** Orders 1 and 3 are customer 7's, order 2 is customer 8's. */
async function open(overrides: DoorOverrides = {}, policy = "customer_id = claim('sub')"): Promise<House> {
  const fixture = await GroupFixture.open();
  const columns = [
    column("id", "integer"),
    column("customer_id", "integer"),
    column("title", "text"),
    column("next", "integer"),
    column("place", "text"),
  ];
  await fixture.createView("orders", {
    columns,
    key: ["id"],
    policy,
    reads: { graph: { from: "id", to: "next" } },
    find: { search: null, fuzzy: [], geo: null, tree: ["place"] },
  });
  await fixture.createView("public", { columns: [column("id", "integer")], key: ["id"] });
  await fixture.commit("orders", { upsert: [order(1, 7), order(2, 8), order(3, 7)] });
  const views = fixture.reader();
  const feeds = openFeeds({ views, engine: engineWithoutTopics, clock: fixture.clock });
  const door = await openTestDoor({ views, feeds, tokens: testTokenRules(overrides.clock), ...overrides });
  return {
    fixture,
    door,
    async [Symbol.asyncDispose]() {
      await feeds.close();
      await door.close();
      views.close();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

const seven = bearer({ sub: "7" });
const eight = bearer({ sub: "8" });
const all = { "millrace-rows": "all" };

/** The first frames of a feed, up to `until`, as text. */
async function follow(door: HttpDoor, path: string, headers: Record<string, string>, until: RegExp): Promise<string> {
  const stop = new AbortController();
  const answer = await fetch(`${door.url}${path}`, { headers, signal: stop.signal });
  let text = "";
  if (!answer.ok) return await answer.text();
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    if (until.test(text)) break;
  }
  stop.abort();
  return text;
}

/** Every path that shows rows, and how it is asked. */
const rowPaths: Readonly<Record<string, (door: HttpDoor, headers: Record<string, string>) => Promise<string>>> = {
  "GET /v1/views/{view}": async (door, headers) => (await ask(door, "/v1/views/orders", { headers })).text,
  "GET /v1/views/{view}/{key}": async (door, headers) => {
    const rows = ["1", "2", "3"].map((id) => ask(door, `/v1/views/orders/${id}`, { headers }));
    return (await Promise.all(rows)).map(({ text }) => text).join("");
  },
  "GET /v1/views/{view}/live": (door, headers) =>
    follow(door, "/v1/views/orders/live", headers, /event: snapshot\n.*\ndata: .*\n\n/),
  "GET /v1/views/{view}/graph/neighbours": (door, headers) => graph(door, headers, "neighbours?of=2"),
  "GET /v1/views/{view}/graph/reach": (door, headers) => graph(door, headers, "reach?of=2"),
  "GET /v1/views/{view}/graph/path": (door, headers) => graph(door, headers, "path?from=2&to=3"),
  "GET /v1/views/{view}/tree/{path}": (door, headers) => tree(door, headers, "all"),
  "GET /v1/views/{view}/tree/{path}/children": (door, headers) => tree(door, headers, "all/children"),
  "GET /v1/views/{view}/tree/{path}/ancestors": async (door, headers) =>
    (await tree(door, headers, "all.1.a/ancestors")) + (await tree(door, headers, "all.2.a/ancestors")),
  "POST /v1/read": async (door, headers) => {
    const body = JSON.stringify({ reads: [{ view: "orders" }, { view: "orders", key: 2 }] });
    return (
      await ask(door, "/v1/read", { method: "POST", body, headers: { "content-type": "application/json", ...headers } })
    ).text;
  },
};

async function graph(door: HttpDoor, headers: Record<string, string>, query: string): Promise<string> {
  return (await ask(door, `/v1/views/orders/graph/${query}`, { headers })).text;
}

async function tree(door: HttpDoor, headers: Record<string, string>, path: string): Promise<string> {
  return (await ask(door, `/v1/views/orders/tree/${path}`, { headers })).text;
}

/** What is in an answer that shows an order of customer 8's. */
const others = /order 2|"node":3|"found":true/;

/** Paths about views that show no rows of them: descriptions, and statements of a role that has no right to views with a policy. */
const otherPaths = ["GET /v1/views", "GET /v1/explain/{view}", "POST /v1/views/{view}/rebuild", "POST /v1/query"];

test("each path that shows rows shows a caller its own and nobody else's, and whoever does not say who asks none", async () => {
  await using house = await open();
  const { paths } = (await ask(house.door, "/openapi.json")).json() as { paths: Record<string, object> };
  const known = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const ofViews = known.filter((path) => / \/v1\/(views|explain|query|read)/.test(path));
  const told = [...Object.keys(rowPaths), ...otherPaths];
  assert.deepEqual(
    ofViews.filter((path) => !told.includes(path)),
    [],
    "a new path belongs to this test",
  );
  for (const [path, read] of Object.entries(rowPaths)) {
    assert.match(await read(house.door, {}), /"code":"CALLER_UNKNOWN"/, path);
    assert.match(await read(house.door, all), others, path);
    const own = await read(house.door, seven);
    assert.doesNotMatch(own, others, path);
    assert.match(own, path.includes("graph") ? /"items":\[\]|"found":false/ : /order 1/, path);
  }
});

test("a canary: with a policy that lets everything through, each path is seen to show it", async () => {
  await using house = await open({}, "true");
  for (const [path, read] of Object.entries(rowPaths)) assert.match(await read(house.door, seven), others, path);
});

test("no answer to one caller is taken for one to another: it is private, and its tag is of its own rows", async () => {
  await using house = await open();
  const get = (headers: Record<string, string>, path = "/v1/views/orders") => ask(house.door, path, { headers });
  const answer = await get(seven);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["cache-control"], "private, no-cache");
  assert.match(String(answer.headers.vary), /Authorization, Millrace-Rows/);
  const tag = { "if-none-match": String(answer.headers.etag) };
  assert.equal((await get({ ...seven, ...tag })).status, 304);
  const others = await get({ ...eight, ...tag });
  assert.deepEqual([others.status, JSON.parse(others.text)[0].id], [200, 2]);
  assert.match(String((await get(all)).headers["cache-control"]), /private/);
  assert.equal((await get({}, "/v1/views/public")).headers["cache-control"], "no-cache");
  // That there is a row of somebody else's is not told either.
  const [hidden, missing] = [await get(seven, "/v1/views/orders/2"), await get(seven, "/v1/views/orders/9")];
  assert.equal(hidden.status, 404);
  assert.equal(hidden.text.replaceAll("2", "9"), missing.text.replaceAll("2", "9"));
  // A row that was read for all of them is in no memory that a caller is answered from.
  await get(all, "/v1/views/orders/2");
  assert.equal((await get(seven, "/v1/views/orders/2")).status, 404);
  // The planner's estimates are of all rows.
  const counted = await get({ ...seven, prefer: "count=planned" });
  assert.equal(counted.headers["content-range"], "0-1/2");
});

test("a token that is not signed by the keys, holds no longer, or is for another view is refused with a reason", async () => {
  await using house = await open();
  const codeOf = async (headers: Record<string, string>, path = "/v1/views/orders") => {
    const { status, json } = await ask(house.door, path, { headers });
    return [status, (json() as { code: string }).code];
  };
  const text = seven.authorization;
  const changed = `${text.slice(0, -4)}AAAA`;
  const [head, , signature] = text.split(".");
  const forged = Buffer.from(JSON.stringify({ sub: "8", exp: 4e9 })).toString("base64url");
  for (const authorization of [changed, `${head}.${forged}.${signature}`, "Bearer a.b.c"]) {
    assert.deepEqual(await codeOf({ authorization }), [401, "CALLER_TOKEN_INVALID"], authorization);
  }
  const late = await ask(house.door, "/v1/views/orders", { headers: bearer({ sub: "7", exp: 1 }) });
  assert.deepEqual([late.status, late.headers["www-authenticate"]], [401, 'Bearer realm="millrace"']);
  assert.match(late.text, /"detail":"the caller's token is not taken: it has expired"/);
  assert.deepEqual(await codeOf(seven, "/v1/views/public"), [403, "CALLER_REFUSED"]);
  assert.deepEqual(await codeOf({ ...seven, ...all }), [403, "CALLER_REFUSED"]);
  assert.deepEqual(await codeOf({ "millrace-rows": "some" }), [400, "REQUEST_INVALID"]);
  assert.deepEqual(await codeOf({ authorization: "Bearer abc" }), [401, "CALLER_UNKNOWN"]);
  // Which views there are, a token does not tell.
  for (const path of ["/v1/views/order", "/v1/views/order/1", "/v1/views/order/live"]) {
    const { text } = await ask(house.door, path, { headers: seven });
    assert.match(text, /"code":"VIEW_UNKNOWN"/, path);
    assert.doesNotMatch(text, /orders|public/, path);
  }
});

test("where a key is set, a token is one for rows alone, and all rows are for who holds the key and asks for them", async () => {
  const key = "a-key-of-sixteen-characters";
  await using house = await open({ settings: { key } });
  const statusOf = async (path: string, headers: Record<string, string>) =>
    (await ask(house.door, path, { headers })).status;
  const held = { authorization: `Bearer ${key}` };
  assert.equal(await statusOf("/v1/views/orders", seven), 200);
  for (const path of ["/v1/views", "/v1/explain/orders", "/v1/topics", "/metrics", "/v1/nodes"]) {
    assert.equal(await statusOf(path, seven), 401, path);
  }
  assert.equal(await statusOf("/v1/views/orders", {}), 401);
  assert.equal(await statusOf("/v1/views/orders", all), 401);
  assert.equal(await statusOf("/v1/views/public", held), 200);
  const code = async (headers: Record<string, string>) => (await ask(house.door, "/v1/views/orders", { headers })).text;
  assert.match(await code(held), /CALLER_UNKNOWN/);
  assert.match(await code({ ...held, ...all }), /order 2/);
});

test("without keys for tokens nobody is known by one", async () => {
  await using house = await open({ tokens: null });
  const answer: Answer = await ask(house.door, "/v1/views/orders", { headers: seven });
  assert.equal((answer.json() as { code: string }).code, "CALLER_UNKNOWN");
  assert.equal((await ask(house.door, "/v1/views/public", { headers: seven })).status, 200);
});

test("a live feed tells what comes to be the caller's own, and what ceases to be", async () => {
  await using house = await open();
  const stop = new AbortController();
  const answer = await fetch(`${house.door.url}/v1/views/orders/live?select=title`, {
    headers: seven,
    signal: stop.signal,
  });
  let text = "";
  let changed = false;
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    if (!changed && text.includes("event: snapshot")) {
      changed = true;
      await house.fixture.commit("orders", { upsert: [order(1, 8), order(2, 7), { ...order(3, 7), title: "third" }] });
    }
    if (/event: changes\n.*\ndata: .*\n\n/.test(text)) break;
  }
  stop.abort();
  const frames = [...text.matchAll(/^data: (.*)$/gm)].map(([, data = ""]) => JSON.parse(data));
  assert.deepEqual(frames[0].rows, [
    { id: 1, title: "order 1" },
    { id: 3, title: "order 3" },
  ]);
  assert.deepEqual(frames[1].changes, [
    { op: "delete", key: { id: 1 } },
    { op: "upsert", key: { id: 2 }, row: { id: 2, title: "order 2" } },
    { op: "upsert", key: { id: 3 }, row: { id: 3, title: "third" } },
  ]);
});

test("a live feed ends with its caller's token, and says so", async () => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  await using house = await open({ clock });
  const headers = bearer({ sub: "7", exp: clock.now() / 1_000 + 60 }, clock);
  const answer = await fetch(`${house.door.url}/v1/views/orders/live`, { headers });
  let text = "";
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    if (text.includes("event: snapshot") && !text.includes("event: end")) await clock.advance(90_000);
  }
  assert.match(text, /event: end\ndata: \{"code":"CALLER_TOKEN_EXPIRED",/);
  const again = await ask(house.door, "/v1/views/orders/live", { headers });
  assert.equal((again.json() as { code: string }).code, "CALLER_TOKEN_INVALID");
});

test("a feed that is to end in more than a timer counts to goes on until then, and its end is its own", async () => {
  const clock = new VirtualClock();
  const frame = (data: string): Frame => ({ event: "progress", id: data, data });
  let wake = (_: IteratorResult<Frame, undefined>) => {};
  let returned = 0;
  const source: Feed = {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => new Promise((resolve) => (wake = resolve)),
    async return() {
      returned++;
      return { done: true, value: undefined };
    },
  };
  const day = 86_400_000;
  const feed = expiringFeed(source, clock.now() + 60 * day, clock);
  const first = feed.next();
  await clock.advance(30 * day);
  wake({ done: false, value: frame("a") });
  assert.equal((await first).value?.data, "a");
  const last = feed.next();
  await clock.advance(30 * day);
  assert.equal((await last).value?.event, "end");
  assert.deepEqual(await feed.next(), { done: true, value: undefined });
  assert.equal(returned, 1);
  // One that ends before is not told an end by the clock.
  const other = expiringFeed(source, clock.now() + day, clock);
  const end = other.next();
  wake({ done: true, value: undefined });
  assert.equal((await end).done, true);
  await clock.advance(2 * day);
  assert.equal((await other.next()).done, true);
});
