import assert from "node:assert/strict";
import { test } from "node:test";
import { json, problem, ScriptedServer } from "../test/scripted-server.ts";
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
        b: { fts: "cat&dog", wfts: { query: "cat -dog", config: "english" }, sl: "[1,5)", adj: "[5,6)" },
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
    server.asked.map(({ headers }) => headers["millrace-after"]),
    [undefined, "T1", "T2", undefined],
  );
  // A token of the caller's own is the caller's affair.
  assert.equal((await refusal(view("cards").rows({ after: "mine" }))).code, "TOKEN_INVALID");
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
