import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Answer, problem, ScriptedServer, type Sent, stream } from "../test/scripted-server.ts";
import { connect, type LiveRows, type LiveStatus, type MillraceClientError, type Update } from "./index.ts";

interface Card {
  readonly id: number;
  readonly n: number;
}

/** Pauses are remembered and take no time. */
function follow(server: ScriptedServer, options: Parameters<typeof liveOf>[1] = {}, silenceMs = 5_000) {
  const pauses: number[] = [];
  const pace = {
    retryMs: 100,
    retryMsMax: 1_000,
    silenceMs,
    random: () => 1,
    sleep: async (ms: number) => void pauses.push(ms),
  };
  const client = connect<{ views: { cards: Card } }>(server.url, { pace });
  return { live: liveOf(client, options), pauses };
}

function liveOf(
  client: ReturnType<typeof connect<{ views: { cards: Card } }>>,
  options: NonNullable<Parameters<ReturnType<typeof client.view<"cards">>["live"]>[0]>,
): LiveRows<Card> {
  return client.view("cards").live(options);
}

const snapshot = (batch: number, rows: readonly Card[], more = false): Sent => ({
  event: "snapshot",
  ...(more ? {} : { id: `1.${batch}` }),
  data: { token: `t${batch}`, key: ["id"], rows, ...(more ? { more } : {}) },
});

const changes = (batch: number, list: readonly (Card | number)[], part: number | null = null): Sent => ({
  event: "changes",
  id: part === null ? `1.${batch}` : `1.${batch}.${part}`,
  data: {
    token: `t${batch}`,
    changes: list.map((one) =>
      typeof one === "number" ? { op: "delete", key: { id: one } } : { op: "upsert", key: { id: one.id }, row: one },
    ),
    ...(part === null ? {} : { more: true }),
  },
});

async function until(live: LiveRows<Card>, token: string): Promise<Update<Card>[]> {
  const updates: Update<Card>[] = [];
  for await (const update of live) {
    updates.push(update);
    if (update.token === token) return updates;
  }
  assert.fail("the feed ended");
}

function state(live: LiveRows<Card>): Record<number, number> {
  return Object.fromEntries([...live.rows.values()].map(({ id, n }) => [id, n]));
}

const lastEventIds = (server: ScriptedServer) => server.asked.map(({ headers }) => headers["last-event-id"]);

test("rows are kept as the server's: a snapshot, then each batch as a whole", async () => {
  await using server = await ScriptedServer.open();
  const seen: Record<number, number>[] = [];
  server.answers(
    stream([
      snapshot(1, [{ id: 1, n: 1 }], true),
      snapshot(1, [{ id: 2, n: 1 }]),
      changes(2, [{ id: 1, n: 2 }], 1),
      changes(2, [2, { id: 3, n: 2 }]),
      { event: "progress", id: "1.3", data: { token: "t3" } },
      changes(4, [1]),
    ]),
  );
  const { live } = follow(server, {
    where: { n: { gte: 1 } },
    onUpdate: ({ rows }) => seen.push(Object.fromEntries([...rows.values()].map(({ id, n }) => [id, n]))),
  });
  await until(live, "t4");
  assert.deepEqual(seen, [{ 1: 1, 2: 1 }, { 1: 2, 3: 2 }, { 3: 2 }]);
  assert.deepEqual(live.status, { kind: "live" });
  assert.equal(live.token, "t4");
  assert.deepEqual(live.rows.get(live.keyText({ id: 3 })), { id: 3, n: 2 });
  assert.equal(server.asked[0]?.url, "/v1/views/cards/live?n=gte.1");
  live.close();
  assert.equal((await live[Symbol.asyncIterator]().next()).done, true);
});

test("a stream that is cut is resumed with its last id, and a part of a batch goes on where it was cut", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    stream([snapshot(1, [{ id: 1, n: 1 }])], "cut"),
    stream([changes(2, [{ id: 2, n: 2 }], 1)], "end"),
    stream([changes(2, [{ id: 3, n: 2 }])]),
  );
  const { live, pauses } = follow(server);
  await until(live, "t2");
  assert.deepEqual(state(live), { 1: 1, 2: 2, 3: 2 });
  assert.deepEqual(lastEventIds(server), [undefined, "1.1", "1.2.1"]);
  assert.deepEqual(pauses, [100, 100]);
  live.close();
});

test("a snapshot that was cut shows nothing, and is begun again", async () => {
  await using server = await ScriptedServer.open();
  server.answers(stream([snapshot(1, [{ id: 1, n: 1 }], true)], "cut"), stream([snapshot(5, [{ id: 9, n: 9 }])]));
  const { live } = follow(server);
  await until(live, "t5");
  assert.deepEqual(state(live), { 9: 9 });
  live.close();
});

test("a gap is told, and the snapshot that follows replaces the rows", async () => {
  await using server = await ScriptedServer.open();
  const gaps: unknown[] = [];
  server.answers(
    stream([snapshot(1, [{ id: 1, n: 1 }])], "cut"),
    stream([
      { event: "gap", data: { from: "t1", to: "t9", reason: "no longer kept" } },
      snapshot(9, [{ id: 2, n: 2 }]),
    ]),
  );
  const { live } = follow(server, { onGap: (gap) => gaps.push(gap) });
  const updates = await until(live, "t9");
  assert.deepEqual(gaps, [{ from: "t1", to: "t9", reason: "no longer kept" }]);
  assert.deepEqual(state(live), { 2: 2 });
  assert.equal(updates.at(-1)?.snapshot, true);
  live.close();
});

test("an id that the server does not know any more is a gap, not an end", async () => {
  await using server = await ScriptedServer.open();
  const gaps: (string | null)[] = [];
  server.answers(
    stream([snapshot(1, [])], "end"),
    problem(400, "TOKEN_INVALID"),
    stream([snapshot(7, [{ id: 7, n: 7 }])]),
  );
  const { live } = follow(server, { onGap: ({ from }) => gaps.push(from) });
  await until(live, "t7");
  assert.deepEqual(gaps, ["t1"]);
  assert.deepEqual(lastEventIds(server), [undefined, "1.1", undefined]);
  live.close();
});

test("pauses grow while nothing comes, honour Retry-After, and begin anew after an event", async () => {
  await using server = await ScriptedServer.open();
  const html: Answer = (response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<p>");
  };
  server.answers(
    (response) => void response.destroy(),
    html,
    problem(503, "VIEW_BUILDING", { "retry-after": "7" }),
    stream([], "end"),
    stream(["retry: 50\n\n", snapshot(1, [])], "end"),
    stream([changes(2, [])]),
  );
  const { live, pauses } = follow(server);
  await until(live, "t2");
  assert.deepEqual(pauses, [100, 200, 7_000, 800, 50]);
  live.close();
});

test("garbage in the stream is not believed: the next connection resumes before it", async () => {
  await using server = await ScriptedServer.open();
  server.answers(
    stream([snapshot(1, [{ id: 1, n: 1 }]), "id: 1.5\nevent: changes\ndata: {broken\n\n", changes(6, [1])]),
    stream(["id: 1.6\ndata: 5\n\n"]),
    stream([changes(2, [{ id: 2, n: 2 }])]),
  );
  const { live } = follow(server);
  await until(live, "t2");
  assert.deepEqual(state(live), { 1: 1, 2: 2 });
  assert.deepEqual(lastEventIds(server), [undefined, "1.1", "1.1"]);
  live.close();
});

test("a server that goes silent is left, and asked again", async () => {
  await using server = await ScriptedServer.open();
  server.answers(stream([snapshot(1, [{ id: 1, n: 1 }])], "stay"), () => {}, stream([changes(2, [1])]));
  const { live } = follow(server, {}, 30);
  await until(live, "t2");
  assert.deepEqual(state(live), {});
  live.close();
});

test("what the server refuses for good ends the feed, for handlers and iterators alike", async () => {
  await using server = await ScriptedServer.open();
  server.answers(problem(400, "FILTER_INVALID"));
  const statuses: LiveStatus["kind"][] = [];
  const { live } = follow(server, { onStatus: ({ kind }) => statuses.push(kind) });
  await assert.rejects(until(live, "t1"), (error: MillraceClientError) => error.code === "FILTER_INVALID");
  await assert.rejects(until(live, "t1"), { code: "FILTER_INVALID" });
  live.close();
  assert.deepEqual(statuses, ["failed"]);
  assert.equal(server.asked.length, 1);
});

test("closing and signals end the feed and its connection", async () => {
  await using server = await ScriptedServer.open();
  let gone: () => void = () => {};
  const left = new Promise<void>((resolve) => {
    gone = resolve;
  });
  server.answers((response, asked) => {
    response.on("close", gone);
    return stream([snapshot(1, [])])(response, asked);
  });
  const closing = new AbortController();
  const { live } = follow(server, { signal: closing.signal });
  await until(live, "t1");
  const waiting = live[Symbol.asyncIterator]();
  await waiting.next();
  const next = waiting.next();
  closing.abort();
  assert.equal((await next).done, true);
  await left;
  assert.equal(live.status.kind, "closed");
});

test("an iterator that is slow gets several batches as one, and misses no key", async () => {
  await using server = await ScriptedServer.open();
  let batches = 0;
  server.answers(
    stream([
      snapshot(1, [
        { id: 1, n: 1 },
        { id: 2, n: 1 },
      ]),
      changes(2, [{ id: 1, n: 2 }]),
      changes(3, [2]),
      changes(4, [{ id: 1, n: 4 }]),
    ]),
  );
  const done = Promise.withResolvers<void>();
  const { live } = follow(server, { onUpdate: () => (++batches === 4 ? done.resolve() : undefined) });
  const iterator = live[Symbol.asyncIterator]();
  await done.promise;
  const { value } = await iterator.next();
  assert.equal(value.token, "t4");
  assert.deepEqual(value.changes, [{ op: "upsert", key: { id: 1 }, row: { id: 1, n: 4 } }]);
  assert.equal(value.snapshot, true);
  live.close();
});

test("without a key equal rows are there as often as they came, and who reads slowly is told what all of it came to", async () => {
  await using server = await ScriptedServer.open();
  const [one, two] = [
    { id: 1, n: 0 },
    { id: 2, n: 0 },
  ];
  const rows = { event: "snapshot", id: "1.1", data: { token: "t1", key: null, rows: [one, one, two] } };
  const batch = (n: number, list: readonly unknown[]): Sent => ({
    event: "changes",
    id: `1.${n}`,
    data: { token: `t${n}`, changes: list },
  });
  server.answers(
    stream([
      rows,
      batch(2, [
        { op: "insert", row: one, count: 2 },
        { op: "delete", row: two, count: 1 },
      ]),
      batch(3, [{ op: "delete", row: one, count: 3 }]),
      batch(4, [
        { op: "delete", row: one, count: 1 },
        { op: "insert", row: two, count: 1 },
      ]),
    ]),
  );
  const seen: string[] = [];
  const done = Promise.withResolvers<void>();
  const { live } = follow(server, {
    onUpdate: ({ rows, token }) => {
      seen.push([...rows.values()].map(({ id }) => id).join(""));
      if (token === "t2") assert.deepEqual(rows.get(`${live.keyText(one)} 4`), one);
      if (token === "t4") done.resolve();
    },
  });
  const iterator = live[Symbol.asyncIterator]();
  await done.promise;
  assert.deepEqual(seen, ["112", "1111", "1", "2"]);
  const { value } = await iterator.next();
  assert.deepEqual(value.changes, [{ op: "insert", key: two, row: two, count: 1 }]);
  const late = await live[Symbol.asyncIterator]().next();
  assert.deepEqual(late.value.changes, [{ op: "insert", key: two, row: two, count: 1 }]);
  live.close();
});

test("wherever connections are cut, no state is shown that the view did not have", async () => {
  // A view whose rows always sum to 0; each batch moves an amount in two frames.
  const history: Sent[] = [snapshot(0, [{ id: 1, n: 0 }], true), snapshot(0, [{ id: 2, n: 0 }])];
  for (let batch = 1; batch <= 6; batch++) {
    history.push(changes(batch, [{ id: 1, n: batch }], 1), changes(batch, [{ id: 2, n: -batch }]));
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 4 }), { maxLength: 12 }),
      fc.integer({ min: 1, max: 200 }),
      async (cuts, pieceBytes) => {
        await using server = await ScriptedServer.open();
        const script = [...cuts];
        const resume: Answer = (response, asked) => {
          const id = asked.headers["last-event-id"];
          const from = id === undefined ? 0 : history.findIndex((one) => one.id === id) + 1;
          const count = script.shift();
          const part = count === undefined ? history.slice(from) : history.slice(from, from + count);
          return stream(
            part,
            count === undefined ? "stay" : count % 2 === 0 ? "end" : "cut",
            pieceBytes,
          )(response, asked);
        };
        server.answers(...Array.from({ length: cuts.length + 1 }, () => resume));
        const seen: string[] = [];
        const { live } = follow(server, {
          onUpdate: ({ rows, token }) => {
            const values = [...rows.values()].map(({ n }) => n);
            assert.equal(values.length, 2);
            assert.equal(
              values.reduce((sum, n) => sum + n, 0),
              0,
            );
            seen.push(token);
          },
        });
        await until(live, "t6");
        live.close();
        // No batch twice, none left out.
        assert.deepEqual(seen, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
      },
    ),
    { numRuns: 30 },
  );
});

test("a feed that ends with its caller's token goes on with a new one where it was", async () => {
  await using server = await ScriptedServer.open();
  const end: Sent = {
    event: "end",
    data: { code: "CALLER_TOKEN_EXPIRED", message: "the caller's token holds no longer" },
  };
  server.answers(stream([snapshot(1, [{ id: 1, n: 1 }]), end], "end"), stream([changes(2, [{ id: 1, n: 2 }])]));
  let tokens = 0;
  const pace = { sleep: async () => {} };
  const client = connect<{ views: { cards: Card } }>(server.url, { key: async () => `token ${++tokens}`, pace });
  const live = liveOf(client, {});
  await until(live, "t2");
  assert.deepEqual(state(live), { 1: 2 });
  assert.deepEqual(
    server.asked.map(({ headers }) => [headers.authorization, headers["last-event-id"]]),
    [
      ["Bearer token 1", undefined],
      ["Bearer token 2", "1.1"],
    ],
  );
  live.close();
});
