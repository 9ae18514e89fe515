import assert from "node:assert/strict";
import { test } from "node:test";
import { json, problem, ScriptedServer, stream } from "../test/scripted-server.ts";
import { connect, MillraceClientError } from "./index.ts";

interface Views {
  readonly cards: { readonly id: string; readonly n: number; readonly note: string | null };
}

async function refusal(work: Promise<unknown>): Promise<MillraceClientError> {
  const error = await work.then(
    () => assert.fail("it was not refused"),
    (one: unknown) => one,
  );
  assert.ok(error instanceof MillraceClientError, String(error));
  return error;
}

test("rows are asked for in PostgREST's grammar, and answered with the cursor of the next page", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    json([{ id: "1", n: 2 }], 200, { link: '<?limit=1&cursor=abc>; rel="next"', "millrace-token": "T1" }),
    json([]),
  );
  const { view } = connect<{ views: Views }>(`${server.url}/`, { key: "secret" });
  const page = await view("cards").rows({
    where: { n: { gte: 1, lt: 9 }, note: null, id: { in: ["a,b", 'c"d'] } },
    filter: { or: "(n.eq.1,n.eq.2)" },
    select: ["id", "n"],
    order: ["n.desc", "id"],
    limit: 1,
  });
  const first: { id: string; n: number } | undefined = page[0];
  assert.deepEqual([...page], [{ id: "1", n: 2 }]);
  assert.equal(first?.n, 2);
  assert.equal(page.next, "abc");
  assert.equal(page.token, "T1");
  const asked = new URL(server.asked[0]?.url ?? "", server.url);
  assert.equal(asked.pathname, "/v1/views/cards");
  assert.deepEqual(
    [...asked.searchParams],
    [
      ["n", "gte.1"],
      ["n", "lt.9"],
      ["note", "is.null"],
      ["id", 'in.("a,b","c\\"d")'],
      ["or", "(n.eq.1,n.eq.2)"],
      ["select", "id,n"],
      ["order", "n.desc,id"],
      ["limit", "1"],
    ],
  );
  assert.equal(server.asked[0]?.headers.authorization, "Bearer secret");
  assert.equal((await view("cards").rows({ cursor: "abc" })).next, null);
});

test("a column that is called like a parameter is filtered all the same", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json([]));
  await connect(server.url)
    .view("odd")
    .rows({ where: { limit: 5, "a b": "x" } });
  assert.deepEqual(
    [...new URL(server.asked[0]?.url ?? "", server.url).searchParams],
    [
      ['"limit"', "eq.5"],
      ['"a b"', "eq.x"],
    ],
  );
});

test("every operator of the server can be said, with not, any and all", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json([]));
  await connect(server.url)
    .view("odd")
    .rows({
      where: {
        a: { match: "^x", imatch: "y$", isdistinct: 5, not: { in: [1, 2], like: "z*" } },
        b: {
          fts: "cat&dog",
          wfts: { query: "cat -dog", config: "english" },
          sl: "[1,5)",
          adj: "[5,6)",
          jsonpath: "$.a",
        },
        c: { cs: ["x", 'y,"z'], cd: "{a}", ov: { k: [1] }, any: { like: ["a*", "b}"] }, all: { gt: [1, 2] } },
      },
    });
  assert.deepEqual(
    [...new URL(server.asked[0]?.url ?? "", server.url).searchParams],
    [
      ["a", "match.^x"],
      ["a", "imatch.y$"],
      ["a", "isdistinct.5"],
      ["a", "not.like.z*"],
      ["a", 'not.in.("1","2")'],
      ["b", "sl.[1,5)"],
      ["b", "adj.[5,6)"],
      ["b", "jsonpath.$.a"],
      ["b", "fts.cat&dog"],
      ["b", "wfts(english).cat -dog"],
      ["c", 'cs.{"x","y,\\"z"}'],
      ["c", "cd.{a}"],
      ["c", 'ov.{"k":[1]}'],
      ["c", 'like(any).{"a*","b}"}'],
      ["c", 'gt(all).{"1","2"}'],
    ],
  );
});

test("what a view is searched by is sent with the conditions, to a live view too", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json([{ id: "1", _distance: 12.5 }]), problem(400, "VIEW_OPTION_MISSING"));
  const { view } = connect<{ views: Views }>(server.url);
  const search = {
    where: { id: { similar: { text: "smith", threshold: 0.5 }, wordSimilar: "jo", not: { similar: "x" } } },
    search: "river mil*",
    near: { lat: 47.07, lon: -1e-7 },
    within: "5km",
    bbox: [170, -20, -170, -10.5],
  } as const;
  const page = await view("cards").rows({ ...search, highlight: ["status", "note"] });
  const metres: number | undefined = page[0]?._distance;
  assert.equal(metres, 12.5);
  const sent = [
    ["q", "river mil*"],
    ["near", "47.07,-0.0000001"],
    ["within", "5km"],
    ["bbox", "170,-20,-170,-10.5"],
    ["id", "similar(0.5).smith"],
    ["id", "word_similar.jo"],
    ["id", "not.similar.x"],
  ];
  assert.deepEqual(
    [...new URL(server.asked[0]?.url ?? "", server.url).searchParams],
    [...sent, ["highlight", "status,note"]],
  );
  const live = view("cards").live(search);
  await assert.rejects(live[Symbol.asyncIterator]().next(), { code: "VIEW_OPTION_MISSING" });
  assert.deepEqual([...new URL(server.asked[1]?.url ?? "", server.url).searchParams], sent);
});

test("a live view shows the columns that are selected, and nothing else has a type", async () => {
  await using server = await ScriptedServer.open();
  const frame = (rows: object[]) => stream([{ event: "snapshot", id: "1.1", data: { token: "t", key: ["id"], rows } }]);
  server.answers(frame([{ id: "1", n: 2 }]), frame([{ id: "1", town: "Graz" }]));
  const { view } = connect<{ views: Views }>(server.url);
  const live = view("cards").live({ select: ["n"], where: { n: { gt: 1 } } });
  for await (const { rows } of live) {
    const [row] = rows.values();
    const n: number | undefined = row?.n;
    // @ts-expect-error It is not selected.
    assert.equal(row?.note, undefined);
    assert.equal(n, 2);
    live.close();
  }
  const towns = view("cards").live<{ town: string }>({ select: "town:doc->>city" });
  for await (const { rows } of towns) {
    assert.deepEqual(
      [...rows.values()].map(({ town }) => town),
      ["Graz"],
    );
    towns.close();
  }
  assert.deepEqual(
    server.asked.map(({ url }) => url),
    ["/v1/views/cards/live?n=gt.1&select=n", "/v1/views/cards/live?select=town%3Adoc-%3E%3Ecity"],
  );
});

test("a view that failed is read as it was, and no later read goes on from there", async () => {
  await using server = await ScriptedServer.open();
  const since = "2026-11-29T10:00:00.000Z";
  const old = { "millrace-stale": since, "millrace-token": "old" };
  server.answers(
    json([], 200, { "millrace-token": "new" }),
    json([{ id: "1" }], 200, old),
    json({ id: "1" }, 200, old),
    json(
      {
        token: "old",
        results: [
          { rows: [], next: null, stale: since },
          { rows: [], next: null },
        ],
      },
      200,
      old,
    ),
    json([]),
  );
  const { view, read } = connect<{ views: Views }>(server.url);
  assert.equal((await view("cards").rows()).stale, null);
  const page = await view("cards").rows({ stale: true });
  assert.deepEqual([page.stale, page.token], [since, "old"]);
  assert.deepEqual(await view("cards").get("1", { stale: true }), { id: "1" });
  const { results } = await read([{ view: "cards" }, { view: "cards" }], { stale: true });
  assert.deepEqual(
    results.map((one) => one.stale),
    [since, null],
  );
  await view("cards").rows();
  assert.deepEqual(
    server.asked.map(({ url }) => url.replace("/v1/", "")),
    ["views/cards", "views/cards?stale=ok", "views/cards/1?stale=ok", "read", "views/cards"],
  );
  assert.equal(JSON.parse(server.asked[3]?.body ?? "").stale, "ok");
  assert.equal(server.asked[4]?.headers["millrace-seen"], "new");
});

test("a view is read as of a moment, its rows and one of them", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json([]), json({ id: "1" }), json({ token: "t", results: [{ rows: [], next: null }] }));
  const { view, read } = connect<{ views: Views }>(server.url);
  const asOf = new Date("2026-03-01T12:00:00Z");
  await view("cards").rows({ asOf });
  await view("cards").get("1", { asOf: "2026-03-01T14:00:00+02:00" });
  await read([{ view: "cards", asOf }]);
  assert.deepEqual(
    server.asked.map(({ url }) => url.replace("/v1/", "")),
    ["views/cards?as_of=2026-03-01T12%3A00%3A00.000Z", "views/cards/1?as_of=2026-03-01T14%3A00%3A00%2B02%3A00", "read"],
  );
  assert.match(server.asked[2]?.body ?? "", /"query":"as_of=2026-03-01T12%3A00%3A00\.000Z"/);
});

test("other words for a search that found nothing are those of the answer", async () => {
  await using server = await ScriptedServer.open();
  const suggestion = '"a \\"b\\"", %"cr%c3%a8me %22x%22"';
  server.answers(
    json([], 200, { "millrace-suggestion": suggestion }),
    json([]),
    json({ token: "t", results: [{ rows: [], next: null, suggestions: ["river"] }] }),
  );
  const { view, read } = connect<{ views: Views }>(server.url);
  assert.deepEqual((await view("cards").rows({ search: "x", suggest: true })).suggestions, ['a "b"', 'crème "x"']);
  assert.equal(server.asked[0]?.url, "/v1/views/cards?q=x&suggest=true");
  assert.deepEqual((await view("cards").rows()).suggestions, []);
  const { results } = await read([{ view: "cards", search: "x", suggest: true }]);
  assert.deepEqual(results[0].suggestions, ["river"]);
});

test("a graph is asked for neighbours, for what can be reached, and for paths", async () => {
  await using server = await ScriptedServer.open();
  const path = { found: true, truncated: false, hops: 1, cost: "2", nodes: [1, 2], edges: [{ id: "1" }] };
  server.answers(json({ items: [{ node: 2, edges: 1 }], next: "x" }), json({ items: [], truncated: true }), json(path));
  const roads = connect<{ views: { roads: { id: string; from: number; km: string } } }>(server.url).view("roads");
  assert.equal((await roads.neighbours(1, { limit: 1, cursor: "c" })).next, "x");
  assert.equal((await roads.reach("a&b", { hops: 2, direction: "in", where: { from: { gt: 5 } } })).truncated, true);
  const found = await roads.path(1, 2, {
    by: "weight",
    nodes: 50,
    labels: ["a", "b"],
    filter: { or: "(km.lt.5,km.gt.9)" },
  });
  const id: string | undefined = found.edges[0]?.id;
  assert.equal(id, "1");
  const asked = server.asked.map(({ url }) => new URL(url, server.url));
  assert.deepEqual(
    asked.map(({ pathname, searchParams }) => [pathname.replace("/v1/views/roads/graph/", ""), [...searchParams]]),
    [
      [
        "neighbours",
        [
          ["of", "1"],
          ["limit", "1"],
          ["cursor", "c"],
        ],
      ],
      [
        "reach",
        [
          ["of", "a&b"],
          ["direction", "in"],
          ["hops", "2"],
          ['"from"', "gt.5"],
        ],
      ],
      [
        "path",
        [
          ["from", "1"],
          ["to", "2"],
          ["label", "a,b"],
          ["nodes", "50"],
          ["by", "weight"],
          ["or", "(km.lt.5,km.gt.9)"],
        ],
      ],
    ],
  );
});

test("a selection in the server's grammar is sent as it is, and a count is the page's total", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    json([{ day: "2026-01-02" }], 206, { "content-range": "0-0/12" }),
    json([], 200, { "content-range": "*/*" }),
  );
  const { view } = connect<{ views: Views }>(server.url);
  const page = await view("cards").rows<{ day: string }>({ select: "day:at::date", count: "exact" });
  const day: string | undefined = page[0]?.day;
  assert.equal(day, "2026-01-02");
  assert.equal(page.total, 12);
  assert.equal(server.asked[0]?.headers.prefer, "count=exact");
  assert.equal(new URL(server.asked[0]?.url ?? "", server.url).searchParams.get("select"), "day:at::date");
  assert.equal((await view("cards").rows()).total, null);
});

test("areas and tiles are conditions, cells are asked for", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json([{ id: "1", _geohash: "u2e", _tile: null }]));
  const polygon = {
    type: "Polygon",
    coordinates: [
      [
        [1, 2],
        [3, 4],
        [5, 6],
        [1, 2],
      ],
    ],
  } as const;
  const [row] = await connect<{ views: Views }>(server.url)
    .view("cards")
    .rows({ area: polygon, tile: { zoom: 3, x: 1, y: 2 }, geohash: 3, zoom: 4 });
  const hash: string | null | undefined = row?._geohash;
  assert.equal(hash, "u2e");
  assert.deepEqual(
    [...new URL(server.asked[0]?.url ?? "", server.url).searchParams],
    [
      ["area", JSON.stringify(polygon)],
      ["tile", "3/1/2"],
      ["geohash", "3"],
      ["zoom", "4"],
    ],
  );
});

test("buckets of time are asked for, and columns that are called like their parameters are filtered all the same", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json([{ _bucket: "2026-01-01T00:00:00.000000Z", avg: 2.5 }]));
  const query = { select: "value.avg()", bucket: "1d", fill: "linear", timeZone: "Europe/Vienna" } as const;
  const rows = await connect(server.url)
    .view("readings")
    .rows<{ _bucket: string; avg: number | null }>({ ...query, where: { tz: "x" } });
  const mean: number | null | undefined = rows[0]?.avg;
  assert.equal(mean, 2.5);
  assert.deepEqual(
    [...new URL(server.asked[0]?.url ?? "", server.url).searchParams],
    [
      ['"tz"', "eq.x"],
      ["select", "value.avg()"],
      ["bucket", "1d"],
      ["fill", "linear"],
      ["tz", "Europe/Vienna"],
    ],
  );
});

test("a row is found by its key, part by part, and one that is not there is undefined", async () => {
  await using server = await ScriptedServer.open();
  server.answers(json({ id: "1" }), problem(404, "ROW_NOT_FOUND"), json({}), json([{ n: 1 }]));
  const { view } = connect(server.url);
  assert.deepEqual(await view("cards").get("1"), { id: "1" });
  assert.equal(await view("cards").get(["a,b/ü", 2]), undefined);
  await view("cards").get("live");
  assert.deepEqual(await view("totals").get([]), { n: 1 });
  assert.deepEqual(
    server.asked.map(({ url }) => url),
    ["/v1/views/cards/1", "/v1/views/cards/a%2Cb%2F%C3%BC,2", "/v1/views/cards/%6Cive", "/v1/views/totals?limit=1"],
  );
});

test("what was read is seen by the next read, and a token that the server does not know any more is dropped", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    json([], 200, { "millrace-token": "T1" }),
    json([], 200, { "millrace-token": "T2" }),
    problem(409, "TOKEN_FOREIGN"),
    json([]),
    problem(400, "TOKEN_INVALID"),
  );
  const { view } = connect(server.url);
  for (let i = 0; i < 3; i++) await view("cards").rows();
  assert.deepEqual(
    server.asked.map(({ headers }) => headers["millrace-seen"]),
    [undefined, "T1", "T2", undefined],
  );
  assert.ok(server.asked.every(({ headers }) => headers["millrace-after"] === undefined));
  // A token of the caller's own is the caller's affair.
  assert.equal((await refusal(view("cards").rows({ after: "mine" }))).code, "TOKEN_INVALID");
  assert.equal(server.asked.at(-1)?.headers["millrace-after"], "mine");
});

test("events are published once, and the read that follows carries the write's token", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    json({ token: "W1" }, 200, { "millrace-token": "W1" }),
    json({ events: [], next: "c" }),
    (response) => {
      response.destroy();
    },
  );
  const topic = connect<{ topics: { clicks: { at: number } } }>(server.url).topic("clicks");
  assert.equal((await topic.publish([{ value: { at: 1 }, key: "k" }])).token, "W1");
  await topic.events({ from: "earliest", limit: 5, wait: "1s" });
  assert.equal(server.asked[0]?.body, '[{"value":{"at":1},"key":"k"}]');
  assert.equal(server.asked[1]?.url, "/v1/topics/clicks/events?from=earliest&limit=5&wait=1s");
  assert.equal(server.asked[1]?.headers["millrace-after"], "W1");
  assert.equal((await refusal(topic.publish({ value: { at: 2 } }))).code, "UNREACHABLE");
  assert.equal(server.asked.length, 3);
});

test("the next read of a view is to see what was published before it, and those after that need not ask", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    json({ token: "W1" }, 200, { "millrace-token": "W1" }),
    json({ token: "W2" }, 200, { "millrace-token": "W2" }),
    json([], 200, { "millrace-token": "V1" }),
    json([], 200, { "millrace-token": "V2" }),
    json({ token: "W3" }, 200, { "millrace-token": "W3" }),
    json({ code: "TOKEN_FOREIGN", detail: "another topic" }, 409),
    json([]),
  );
  const { topic, view } = connect(server.url);
  for (const name of ["clicks", "calls"]) await topic(name).publish({ value: 1 });
  const page = view("cards");
  await page.rows();
  await page.rows();
  await topic("clicks").publish({ value: 2 });
  await page.rows();
  const asked = server.asked.filter(({ url }) => url.startsWith("/v1/views"));
  assert.deepEqual(
    asked.map(({ headers }) => [headers["millrace-after"], headers["millrace-seen"]]),
    [
      ["W1,W2", undefined],
      [undefined, "V1"],
      ["W3", "V2"],
      [undefined, undefined],
    ],
  );
});

test("a refusal carries the problem's code, hint and details", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    problem(503, "VIEW_BUILDING", { "retry-after": "3" }),
    (response) => {
      void response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>");
    },
    (response) => {
      void response.writeHead(200).end("[{");
    },
  );
  const { view } = connect(server.url);
  const building = await refusal(view("cards").rows());
  assert.deepEqual(
    [building.code, building.status, building.message, building.hint, building.action, building.retryAfterMs],
    ["VIEW_BUILDING", 503, "refused: VIEW_BUILDING", "do this", "wait", 3_000],
  );
  assert.deepEqual(building.details, { column: "x" });
  const proxy = await refusal(view("cards").rows());
  assert.deepEqual([proxy.code, proxy.status], ["ANSWER_INVALID", 502]);
  assert.equal((await refusal(view("cards").rows())).code, "ANSWER_INVALID");
});

test("a server that is not there is UNREACHABLE, a signal rejects with its reason, and a bad url is refused at once", async () => {
  const server = await ScriptedServer.open();
  const { url } = server;
  await server[Symbol.asyncDispose]();
  assert.equal((await refusal(connect(url).view("cards").rows())).code, "UNREACHABLE");
  const reason = new Error("enough");
  await assert.rejects(
    connect(url)
      .view("cards")
      .rows({ signal: AbortSignal.abort(reason) }),
    reason,
  );
  assert.throws(() => connect("nowhere"), { code: "URL_INVALID" });
});

test("the types of the app reach the rows", () => {
  const client = connect<{ views: Views }>("http://127.0.0.1:1");
  // @ts-expect-error there is no such view
  client.view("crads");
  // @ts-expect-error there is no such column
  const misspelled = () => client.view("cards").rows({ select: ["nn"] });
  // @ts-expect-error n is a number
  const mistyped = () => client.view("cards").rows({ where: { n: "x" } });
  const typed = async () => {
    const note: string | null | undefined = (await client.view("cards").get("1"))?.note;
    return note;
  };
  for (const one of [misspelled, mistyped, typed]) assert.equal(typeof one, "function");
});

test("several reads are one request, whose results have the types of their views", async () => {
  await using server = await ScriptedServer.open();
  const results = [
    { rows: [{ id: "1", n: 2 }], next: "abc", total: 9 },
    { row: { id: "7", n: 1, note: null } },
    { row: null },
    { rows: [{ day: "2026-01-01" }], next: null },
  ];
  server.answers(json({ token: "T2", results }, 200, { "millrace-token": "T2" }), json([]));
  const app = connect<{ views: Views }>(server.url);
  const snapshot = await app.read(
    [
      { view: "cards", where: { n: { gte: 1 } }, select: ["id", "n"], limit: 1 },
      { view: "cards", key: "7" },
      { view: "cards", key: ["8"] },
      { view: "cards", select: "day:placed_at::date" },
    ],
    { count: "exact", after: "T1" },
  );
  const [page, found, missing, days] = snapshot.results;
  const first: { id: string; n: number } | undefined = page[0];
  const row: Views["cards"] | undefined = found;
  const day: unknown = days[0]?.day;
  assert.deepEqual([first?.n, page.next, page.total, page.token], [2, "abc", 9, "T2"]);
  assert.deepEqual([row?.id, missing, day, days.total], ["7", undefined, "2026-01-01", null]);
  assert.equal(snapshot.token, "T2");
  const [asked] = server.asked;
  assert.equal(`${asked?.method} ${asked?.url}`, "POST /v1/read");
  assert.equal(asked?.headers.prefer, "count=exact");
  assert.equal(asked?.headers["millrace-after"], "T1");
  assert.deepEqual(JSON.parse(asked?.body ?? ""), {
    reads: [
      { view: "cards", query: "n=gte.1&select=id%2Cn&limit=1" },
      { view: "cards", key: "7" },
      { view: "cards", key: ["8"] },
      { view: "cards", query: "select=day%3Aplaced_at%3A%3Adate" },
    ],
  });
  // What was read so is not gone behind by a later read.
  await app.view("cards").rows();
  assert.equal(server.asked[1]?.headers["millrace-seen"], "T2");
});

test("a read of several that is refused fails all of them, and an answer that is none is said so", async () => {
  await using server = await ScriptedServer.open();
  server.answers(problem(404, "VIEW_UNKNOWN"), json({ token: "T", results: [] }));
  const app = connect<{ views: Views }>(server.url);
  assert.equal((await refusal(app.read([{ view: "cards" }]))).code, "VIEW_UNKNOWN");
  assert.equal((await refusal(app.read([{ view: "cards" }]))).code, "ANSWER_INVALID");
});
