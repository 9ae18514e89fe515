import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { catalogueTopicName } from "../catalog/catalogue-records.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { AppendRequest, Engine, ReadRequest } from "../engine/engine.ts";
import { decodeToken, encodeToken } from "../feeds/token.ts";
import { type Answer, type Ask, ask, type DoorOverrides, openTestDoor } from "./door-fixture.ts";
import type { HttpDoor } from "./http-door.ts";

interface House extends AsyncDisposable {
  readonly engine: Engine;
  readonly door: HttpDoor;
  get(path: string): Promise<Answer>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
}

interface Events {
  readonly events: readonly {
    partition: number;
    offset: number;
    timestamp: number;
    key: unknown;
    value: unknown;
    headers: unknown;
  }[];
  readonly next: string;
}

async function openHouse(overrides: DoorOverrides = {}): Promise<House> {
  const engine = await openEmbeddedEngine({
    disk: new SimulatedDisk(seededRandom(2)),
    directory: "/log",
    clock: systemClock,
    random: seededRandom(3),
    diagnostics: silentDiagnostics,
  });
  const door = await openTestDoor({ engine, ...overrides });
  const send = (path: string, options?: Ask) => ask(door, path, options);
  return {
    engine,
    door,
    get: (path) => send(path),
    post: (path, body, headers = {}) =>
      send(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
      }),
    async [Symbol.asyncDispose]() {
      await door.close();
      await engine.close();
    },
  };
}

async function eventsOf(answer: Promise<Answer>): Promise<Events> {
  const { status, text, json } = await answer;
  assert.equal(status, 200, text);
  return json();
}

async function refusal(answer: Promise<Answer>): Promise<string> {
  const { status, json } = await answer;
  const { code, status: told } = json() as { code: string; status: number };
  assert.equal(told, status);
  return `${status} ${code}`;
}

const patch = (door: HttpDoor, path: string, settings: unknown) =>
  ask(door, path, {
    method: "PATCH",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(settings),
  });

const put = (door: HttpDoor, path: string, settings?: unknown) =>
  ask(door, path, {
    method: "PUT",
    ...(settings === undefined
      ? {}
      : { headers: { "content-type": "application/json" }, body: JSON.stringify(settings) }),
  });

test("a topic is created with settings that people write, shown with them, and created again without a change", async () => {
  await using house = await openHouse();
  const settings = { partitions: 3, retention: "7d", retentionSize: "10GB", maxBatch: "512KB" };
  const created = await put(house.door, "/v1/topics/clicks", settings);
  assert.equal(created.status, 201);
  assert.equal(created.headers.location, "/v1/topics/clicks");
  const topic = created.json() as {
    name: string;
    readOnly: boolean;
    createdAt: string;
    settings: unknown;
    partitions: unknown[];
  };
  assert.equal(topic.name, "clicks");
  assert.equal(topic.readOnly, false);
  assert.ok(Date.parse(topic.createdAt) > 0);
  assert.deepEqual(topic.settings, {
    ...settings,
    cleanup: "delete",
    segment: "256MB",
    segmentAge: "7d",
    durability: "fsync",
    dirtyRatio: 0.5,
    tombstoneRetention: "1d",
    compactionLag: "0ms",
    compactionLagMax: "unlimited",
    timestampType: "create",
    timestampBehindMax: "unlimited",
    timestampAheadMax: "unlimited",
    compression: "producer",
    minInsyncReplicas: 1,
  });
  assert.deepEqual(topic.partitions[2], { partition: 2, logStart: 0, highWatermark: 0, lastStable: 0, leaderEpoch: 0 });
  assert.equal((await put(house.door, "/v1/topics/clicks", settings)).status, 200);
  assert.equal(await refusal(put(house.door, "/v1/topics/clicks", { ...settings, partitions: 4 })), "409 TOPIC_EXISTS");
  assert.deepEqual((await house.get("/v1/topics/clicks")).json(), topic);
  const { items } = (await house.get("/v1/topics")).json() as { items: { name: string }[] };
  assert.ok(items.some(({ name }) => name === "clicks"));
});

test("settings and names that cannot be used are refused, each with its code", async () => {
  await using house = await openHouse();
  const bad: readonly unknown[] = [
    { partitions: 0 },
    { partitions: 1e9 },
    { partitions: "3" },
    { retention: 7 },
    { retention: "7" },
    { retention: "soon" },
    { maxBatch: "1B" },
    { cleanup: "burn" },
    { cleanup: "delete,compact" },
    { dirtyRatio: "0.5" },
    { dirtyRatio: 1.1 },
    { tombstoneRetention: 0 },
    { compactionLagMax: "never" },
    { segmentAge: "unlimited" },
    { retention: "0s" },
    { compactionLagMax: "0ms" },
    { timestampType: "LogAppendTime" },
    { timestampAheadMax: 5 },
    { compression: "brotli" },
    { minInsyncReplicas: 0 },
    { retention: "99999999999999d" },
    { partition: 3 },
    { __proto__: 1, constructor: 1 },
    [],
    null,
  ];
  for (const settings of bad) {
    assert.equal(
      await refusal(put(house.door, "/v1/topics/clicks", settings)),
      "400 REQUEST_INVALID",
      JSON.stringify(settings),
    );
  }
  for (const name of ["a%20b", "a%2Fb", "..", "%C3%A9", "a".repeat(250)]) {
    assert.equal(await refusal(put(house.door, `/v1/topics/${name}`)), "400 TOPIC_NAME_INVALID", name);
  }
  assert.equal(await refusal(put(house.door, "/v1/topics/_millrace.mine")), "403 TOPIC_READ_ONLY");
  assert.equal((await put(house.door, "/v1/topics/plain")).status, 201);
});

test("an event whose time is too far from now is refused, and one of a topic of append time has that time", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { timestampBehindMax: "1h" });
  assert.equal(
    await refusal(house.post("/v1/topics/clicks", { value: 1, timestamp: 5 })),
    "400 RECORD_TIMESTAMP_INVALID",
  );
  assert.equal((await house.post("/v1/topics/clicks", { value: 1 })).status, 200);
  await patch(house.door, "/v1/topics/clicks", { timestampType: "append" });
  assert.equal((await house.post("/v1/topics/clicks", { value: 2, timestamp: 5 })).status, 200);
});

test("PATCH changes the settings that are named and leaves the others, and adds partitions", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { partitions: 2, retention: "7d", maxBatch: "512KB" });
  await house.post("/v1/topics/clicks", { value: 1, partition: 1 });
  const before = (await house.get("/v1/topics/clicks")).json() as { id: string; settings: Record<string, unknown> };
  const wanted = {
    partitions: 3,
    cleanup: "compact,delete",
    retention: "1h",
    segmentAge: "1d",
    dirtyRatio: 0.1,
    tombstoneRetention: "2h",
    compactionLag: "1m",
    compactionLagMax: "12h",
    timestampType: "append",
    timestampAheadMax: "1h",
    compression: "zstd",
  };
  const answer = await patch(house.door, "/v1/topics/clicks", wanted);
  assert.equal(answer.status, 200, answer.text);
  const altered = answer.json() as typeof before;
  assert.deepEqual(altered.settings, { ...before.settings, ...wanted });
  assert.equal(altered.id, before.id);
  assert.deepEqual((await house.get("/v1/topics/clicks")).json(), altered);
  assert.equal((await house.post("/v1/topics/clicks", { key: "a", value: 2, partition: 2 })).status, 200);
  assert.deepEqual(
    (await eventsOf(house.get("/v1/topics/clicks/events"))).events.map(({ value }) => value),
    [1, 2],
  );
  assert.deepEqual(
    (await patch(house.door, "/v1/topics/clicks", {})).json(),
    (await house.get("/v1/topics/clicks")).json(),
  );
});

test("PATCH takes no fewer partitions, nothing that cannot be, and no topic that is Millrace's own", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { partitions: 2 });
  await house.engine.createTopic("shop.public.orders", {}, { readOnly: true });
  const before = (await house.get("/v1/topics/clicks")).json();
  const fewer = await patch(house.door, "/v1/topics/clicks", { partitions: 1, retention: "1h" });
  assert.equal(fewer.status, 400);
  assert.match((fewer.json() as { detail: string }).detail, /2 partitions/);
  for (const settings of [{ retention: "soon" }, { name: "x" }, { retention: "0s" }, [], null]) {
    assert.equal(await refusal(patch(house.door, "/v1/topics/clicks", settings)), "400 REQUEST_INVALID");
  }
  assert.deepEqual((await house.get("/v1/topics/clicks")).json(), before);
  assert.equal(await refusal(patch(house.door, "/v1/topics/click", {})), "404 TOPIC_UNKNOWN");
  for (const own of ["shop.public.orders", "_millrace.transactions"]) {
    assert.equal(await refusal(patch(house.door, `/v1/topics/${own}`, { retention: "1h" })), "403 TOPIC_READ_ONLY");
  }
});

test("events before a place are deleted, and a reader who asks for them is told so", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { partitions: 2 });
  const at = (i: number) => Date.UTC(2026, 0, 1, 0, 0, i);
  for (let i = 0; i < 6; i++) await house.post("/v1/topics/clicks", { value: i, partition: i % 2, timestamp: at(i) });
  const remove = (query: string) => ask(house.door, `/v1/topics/clicks/events?${query}`, { method: "DELETE" });
  const values = async (query = "") =>
    (await eventsOf(house.get(`/v1/topics/clicks/events?${query}`))).events.map(({ value }) => value);

  const one = await remove("partition=1&before=2");
  assert.deepEqual([one.status, one.json()], [200, { partitions: [{ partition: 1, logStart: 2 }] }]);
  assert.deepEqual(await values(), [0, 2, 4, 5]);
  assert.equal(await refusal(house.get("/v1/topics/clicks/events?partition=1&from=1")), "416 OFFSET_OUT_OF_RANGE");
  assert.equal((await remove("partition=1&before=0")).text, one.text);
  await remove("before=2026-01-01T00:00:02Z");
  assert.deepEqual(await values(), [2, 4, 5]);
  const all = await remove("before=latest");
  const starts = [0, 1].map((partition) => ({ partition, logStart: 3 }));
  assert.deepEqual(all.json(), { partitions: starts });
  assert.deepEqual(await values(), []);
  await house.post("/v1/topics/clicks", { value: "new", partition: 0 });
  assert.deepEqual(await values("partition=0&from=3"), ["new"]);
});

test("what is to be deleted must be said, and cannot lie past the end or in a topic that is Millrace's own", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  await house.engine.createTopic("shop.public.orders", {}, { readOnly: true });
  await house.post("/v1/topics/clicks", { value: 1 });
  const cases = [
    ["clicks/events", "400 REQUEST_INVALID"],
    ["clicks/events?partition=0", "400 REQUEST_INVALID"],
    ["clicks/events?before=1", "400 REQUEST_INVALID"],
    ["clicks/events?partition=0&before=2", "416 OFFSET_OUT_OF_RANGE"],
    ["clicks/events?partition=0&before=-1", "416 OFFSET_OUT_OF_RANGE"],
    ["clicks/events?partition=3&before=1", "404 PARTITION_UNKNOWN"],
    ["clicks/events?before=nonsense", "400 TOKEN_INVALID"],
    ["click/events?before=latest", "404 TOPIC_UNKNOWN"],
    ["shop.public.orders/events?before=latest", "403 TOPIC_READ_ONLY"],
  ] as const;
  for (const [path, expected] of cases) {
    assert.equal(await refusal(ask(house.door, `/v1/topics/${path}`, { method: "DELETE" })), expected, path);
  }
  assert.equal((await eventsOf(house.get("/v1/topics/clicks/events"))).events.length, 1);
});

test("a topic is deleted with its events; one of Millrace's own is not", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  await house.engine.createTopic("shop.public.orders", {}, { readOnly: true });
  const remove = (path: string) => ask(house.door, path, { method: "DELETE" });
  assert.equal((await remove("/v1/topics/clicks")).status, 204);
  assert.equal(await refusal(remove("/v1/topics/clicks")), "404 TOPIC_UNKNOWN");
  assert.equal(await refusal(remove("/v1/topics/shop.public.orders")), "403 TOPIC_READ_ONLY");
  assert.equal(await refusal(house.post("/v1/topics/shop.public.orders", { value: 1 })), "403 TOPIC_READ_ONLY");
});

test("an event is appended, answered with its place and a token, and read back as it was sent", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  const body =
    '{ "key": "u1", "value": {"n": 12345678901234567890, "x": 1.0},\n"headers": {"trace": "t1"}, "timestamp": "2026-01-02T03:04:05Z"}';
  const answer = await house.post("/v1/topics/clicks", body);
  assert.equal(answer.status, 200);
  const { offsets, token } = answer.json() as { offsets: unknown; token: string };
  assert.deepEqual(offsets, [{ partition: 0, baseOffset: 0, lastOffset: 0 }]);
  assert.equal(answer.headers["millrace-token"], token);
  const decoded = decodeToken(token);
  assert.deepEqual(decoded.kind === "topic" && decoded.positions, [{ partition: 0, offset: 1 }]);
  const page = await house.get("/v1/topics/clicks/events");
  assert.match(page.text, /"value":\{"n": 12345678901234567890, "x": 1\.0\}/);
  assert.deepEqual((page.json() as Events).events[0], {
    partition: 0,
    offset: 0,
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5),
    key: "u1",
    value: { n: Number("12345678901234567890"), x: 1 },
    headers: { trace: "t1" },
  });
});

test("arrays and lines are one append each; what was read can be sent again", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  await put(house.door, "/v1/topics/copy");
  const array = await house.post("/v1/topics/clicks", [
    { value: null, key: "gone" },
    { value: { base64: "AP8=" }, key: { base64: "/w==" } },
    { value: "text", headers: { a: null, b: ["1", "2"] } },
  ]);
  assert.deepEqual((array.json() as { offsets: unknown }).offsets, [{ partition: 0, baseOffset: 0, lastOffset: 2 }]);
  const { events } = await eventsOf(house.get("/v1/topics/clicks/events"));
  assert.deepEqual(
    events.map(({ key, value }) => [key, value]),
    [
      ["gone", null],
      [{ base64: "/w==" }, { base64: "AP8=" }],
      [null, "text"],
    ],
  );
  const lines = `${events.map((event) => JSON.stringify(event)).join("\r\n\n")}\n`;
  const copied = await house.post("/v1/topics/copy", lines, { "content-type": "application/x-ndjson" });
  assert.equal(copied.status, 200, copied.text);
  assert.deepEqual((await eventsOf(house.get("/v1/topics/copy/events"))).events, events);
});

test("raw bytes go in without base64, with their key in Millrace-Key", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { partitions: 2 });
  const bytes = Buffer.from([0, 1, 2, 255]);
  const raw = (path: string, headers = {}) =>
    house.post(path, bytes, { "content-type": "application/octet-stream", ...headers });
  assert.equal((await raw("/v1/topics/clicks?partition=1", { "millrace-key": "k" })).status, 200);
  const { events } = await eventsOf(house.get("/v1/topics/clicks/events"));
  assert.deepEqual(
    [events[0]?.partition, events[0]?.key, events[0]?.value],
    [1, "k", { base64: bytes.toString("base64") }],
  );
  assert.equal(await refusal(raw("/v1/topics/clicks?partition=2")), "404 PARTITION_UNKNOWN");
  assert.equal(await refusal(house.post("/v1/topics/clicks?partition=1", { value: 1 })), "400 REQUEST_INVALID");
});

test("a body may come compressed", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  for (const [encoding, compress] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const) {
    const answer = await house.post("/v1/topics/clicks", compress(Buffer.from('{"value":1}')), {
      "content-encoding": encoding,
    });
    assert.equal(answer.status, 200, encoding);
  }
  assert.equal((await eventsOf(house.get("/v1/topics/clicks/events"))).events.length, 2);
});

test("a bad event is refused with its line or place, and nothing of its request is there", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  const ndjson = { "content-type": "application/x-ndjson" };
  const cases: readonly (readonly [
    body: string,
    status: number,
    code: string,
    detail: RegExp,
    headers?: typeof ndjson,
  ])[] = [
    ['{"value":1}\n\n{"value":', 400, "REQUEST_INVALID", /^line 3 is not JSON/, ndjson],
    ['{"value":1}\n{"valu":2}', 400, "RECORD_INVALID", /^line 2 has a member "valu"/, ndjson],
    ['{"value":1}\n7', 400, "RECORD_INVALID", /^line 2 is no JSON object/, ndjson],
    ['[{"value":1},{"key":"a"}]', 400, "RECORD_INVALID", /^event 2 has no value/],
    ['{"value":1,"partition":-1}', 400, "RECORD_INVALID", /partition -1/],
    ['{"value":1,"timestamp":1e99}', 400, "RECORD_INVALID", /timestamp/],
    ['{"value":1,"timestamp":"yesterday"}', 400, "RECORD_INVALID", /timestamp "yesterday"/],
    ['{"value":1,"headers":{"a":5}}', 400, "RECORD_INVALID", /header "a"/],
    ['{"value":{"base64":"***"}}', 400, "RECORD_INVALID", /base64/],
    ['[{"value":1},{"value":1,"partition":9}]', 404, "PARTITION_UNKNOWN", /partition 9/],
    ["[]", 400, "REQUEST_INVALID", /no event/],
    ["", 400, "REQUEST_INVALID", /not JSON/],
    ["\n\n", 400, "REQUEST_INVALID", /no event/, ndjson],
  ];
  for (const [body, status, code, detail, headers] of cases) {
    const answer = await house.post("/v1/topics/clicks", body, headers);
    const problem = answer.json() as { code: string; detail: string };
    assert.deepEqual([answer.status, problem.code], [status, code], body);
    assert.match(problem.detail, detail);
  }
  assert.equal(
    await refusal(house.post("/v1/topics/clicks", '{"value":1}', { "content-type": "text/plain" })),
    "415 MEDIA_TYPE_UNSUPPORTED",
  );
  assert.deepEqual((await eventsOf(house.get("/v1/topics/clicks/events"))).events, []);
});

test("an event larger than the topic takes is 413, and the events beside it are not there either", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/small", { maxBatch: "2KB" });
  const large = [{ value: 1 }, { value: "a".repeat(3_000) }];
  assert.equal(await refusal(house.post("/v1/topics/small", large)), "413 RECORD_TOO_LARGE");
  assert.deepEqual((await eventsOf(house.get("/v1/topics/small/events"))).events, []);
});

test("a topic that does not exist is named with the nearest one, and an append never creates it", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  const answer = await house.post("/v1/topics/click", { value: 1 });
  assert.equal(answer.status, 404);
  assert.equal((answer.json() as { hint: string }).hint, 'Did you mean "clicks"?');
  for (const path of ["/v1/topics/click", "/v1/topics/click/events", "/v1/topics/click/live"]) {
    assert.equal(await refusal(house.get(path)), "404 TOPIC_UNKNOWN");
  }
});

test("a request of many batches keeps the order of each key, beside others of its kind", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/wide", { partitions: 4, maxBatch: "2KB" });
  const senders = 32;
  const eventsOfSender = (sender: number) =>
    Array.from({ length: 60 }, (_, i) => ({ key: `k${i % 7}`, value: { i, sender, pad: "x".repeat(100) } }));
  const sent = await Promise.all(
    Array.from({ length: senders }, (_, sender) => house.post("/v1/topics/wide", eventsOfSender(sender))),
  );
  for (const answer of sent) assert.equal(answer.status, 200, answer.text);
  const { offsets } = (sent[0] as Answer).json() as { offsets: unknown[] };
  assert.ok(offsets.length > 4);
  const seen: { key: unknown; value: { i: number; sender: number } }[] = [];
  let next = "earliest";
  for (;;) {
    const page = await eventsOf(house.get(`/v1/topics/wide/events?from=${next}&limit=50`));
    if (page.events.length === 0) break;
    seen.push(...(page.events as unknown as typeof seen));
    next = page.next;
  }
  assert.equal(seen.length, senders * 60);
  // Each key kept the order in which it was sent; requests that came at the same time may lie between each other.
  for (let sender = 0; sender < senders; sender++) {
    const ofOneKey = seen.filter(({ key, value }) => key === "k3" && value.sender === sender);
    assert.deepEqual(
      ofOneKey.map(({ value }) => value.i),
      [3, 10, 17, 24, 31, 38, 45, 52, 59],
    );
  }
});

test("a request that fails after a part was written leaves nothing behind, and the next one is served", async () => {
  await using plain = await openHouse();
  let failures = 1;
  const engine: Engine = Object.assign(Object.create(plain.engine) as Engine, {
    topic: (name: string) => plain.engine.topic(name),
    topics: () => plain.engine.topics(),
    offsets: (topic: string, partition: number) => plain.engine.offsets(topic, partition),
    sizeBytes: (topic: string) => plain.engine.sizeBytes(topic),
    read: (request: ReadRequest) => plain.engine.read(request),
    initProducer: async (id: string) => {
      const producer = await plain.engine.initProducer(id);
      return {
        begin() {
          const transaction = producer.begin();
          let appends = 0;
          return {
            append(request: AppendRequest) {
              if (++appends === 2 && failures-- > 0) throw new MillraceError("DISK_LOW", "the disk is full");
              return transaction.append(request);
            },
            commit: () => transaction.commit(),
            abort: () => transaction.abort(),
          };
        },
      };
    },
  });
  await plain.engine.createTopic("wide", { partitions: 2 });
  await using door = await openTestDoor({ engine });
  const body = JSON.stringify([0, 1].map((partition) => ({ value: partition, partition })));
  const post = () =>
    ask(door, "/v1/topics/wide", { method: "POST", headers: { "content-type": "application/json" }, body });
  assert.equal(await refusal(post()), "507 DISK_LOW");
  assert.deepEqual((await eventsOf(ask(door, "/v1/topics/wide/events"))).events, []);
  assert.equal((await post()).status, 200);
  const { events } = await eventsOf(ask(door, "/v1/topics/wide/events"));
  assert.deepEqual(
    events.map(({ value }) => value),
    [0, 1],
  );
});

test("a page reads from earliest, latest, an offset, a time or a cursor", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  const at = (i: number) => Date.UTC(2026, 0, 1, 0, 0, i);
  for (let i = 0; i < 5; i++) await house.post("/v1/topics/clicks", { value: i, timestamp: at(i) });
  const values = async (query: string) =>
    (await eventsOf(house.get(`/v1/topics/clicks/events?${query}`))).events.map(({ value }) => value);
  assert.deepEqual(await values(""), [0, 1, 2, 3, 4]);
  assert.deepEqual(await values("from=latest"), []);
  assert.deepEqual(await values("from=3&partition=0"), [3, 4]);
  assert.deepEqual(await values("from=2026-01-01T00:00:02Z"), [2, 3, 4]);
  assert.deepEqual(await values("from=2030-01-01T00:00:00Z"), []);
  const { events, next } = await eventsOf(house.get("/v1/topics/clicks/events?limit=2"));
  assert.equal(events.length, 2);
  assert.deepEqual(await values(`from=${next}`), [2, 3, 4]);
});

test("offsets that cannot be are refused, each with its code", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  await put(house.door, "/v1/topics/other");
  await house.post("/v1/topics/clicks", { value: 1 });
  const other = ((await house.post("/v1/topics/other", { value: 1 })).json() as { token: string }).token;
  const group = encodeToken({ kind: "group", generation: 1, batch: 1 });
  const cases = [
    ["from=5&partition=0", "416 OFFSET_OUT_OF_RANGE"],
    ["from=-1&partition=0", "416 OFFSET_OUT_OF_RANGE"],
    ["from=99999999999999999999&partition=0", "416 OFFSET_OUT_OF_RANGE"],
    ["from=9007199254740991&partition=0", "416 OFFSET_OUT_OF_RANGE"],
    ["from=0", "400 REQUEST_INVALID"],
    ["partition=1", "404 PARTITION_UNKNOWN"],
    ["partition=-1", "400 REQUEST_INVALID"],
    ["partition=99999999999", "400 REQUEST_INVALID"],
    ["from=nonsense", "400 TOKEN_INVALID"],
    ["from=", "400 TOKEN_INVALID"],
    [`from=${other}`, "409 TOKEN_FOREIGN"],
    [`from=${group}`, "409 TOKEN_FOREIGN"],
    [`after=${group}`, "409 TOKEN_FOREIGN"],
    ["limit=0", "400 REQUEST_INVALID"],
    ["limit=10001", "400 REQUEST_INVALID"],
    ["wait=5", "400 REQUEST_INVALID"],
    ["wait=-5s", "400 REQUEST_INVALID"],
  ] as const;
  for (const [query, expected] of cases) {
    assert.equal(await refusal(house.get(`/v1/topics/clicks/events?${query}`)), expected, query);
  }
  assert.equal((await eventsOf(house.get("/v1/topics/clicks/events"))).events.length, 1);
});

test("a long poll answers when an event comes, in any partition", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { partitions: 3 });
  const { next } = await eventsOf(house.get("/v1/topics/clicks/events"));
  const polled = eventsOf(house.get(`/v1/topics/clicks/events?from=${next}&wait=60s`));
  await house.post("/v1/topics/clicks", { value: "here", partition: 2 });
  const { events, next: after } = await polled;
  assert.deepEqual(
    events.map(({ value }) => value),
    ["here"],
  );
  const empty = await eventsOf(house.get(`/v1/topics/clicks/events?from=${after}&wait=1ms`));
  assert.deepEqual(empty, { events: [], next: after });
});

test("a long poll that the door's end interrupts answers where to go on", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  await house.post("/v1/topics/clicks", { value: 1 });
  const polled = eventsOf(house.get("/v1/topics/clicks/events?from=latest&wait=60s"));
  await house.get("/healthz");
  await house.door.close();
  const { events, next } = await polled;
  assert.deepEqual(events, []);
  const token = decodeToken(next);
  assert.deepEqual(token.kind === "topic" && token.positions, [{ partition: 0, offset: 1 }]);
});

test("a busy partition leaves room for the others in every page", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks", { partitions: 2 });
  await house.post(
    "/v1/topics/clicks",
    Array.from({ length: 100 }, (_, i) => ({ value: i, partition: 0 })),
  );
  await house.post("/v1/topics/clicks", [{ value: "rare", partition: 1 }]);
  const { events } = await eventsOf(house.get("/v1/topics/clicks/events?limit=10"));
  assert.equal(events.length, 10);
  assert.ok(events.some(({ value }) => value === "rare"));
});

test("a page is bounded in bytes, and its cursor goes on where it ended", async () => {
  await using house = await openHouse({ settings: { limits: { eventsBytesMax: 3_000 } } });
  await put(house.door, "/v1/topics/clicks");
  await house.post(
    "/v1/topics/clicks",
    Array.from({ length: 10 }, (_, i) => ({ value: `${i}${"a".repeat(1_000)}` })),
  );
  const offsets: number[] = [];
  for (let next = "earliest"; offsets.length < 10; ) {
    const page = await eventsOf(house.get(`/v1/topics/clicks/events?from=${next}`));
    assert.ok(page.events.length > 0 && page.events.length <= 3);
    offsets.push(...page.events.map(({ offset }) => offset));
    next = page.next;
  }
  assert.deepEqual(offsets, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a reader with an append's token sees that append, and one that cannot be reached is 503", async () => {
  await using house = await openHouse({ settings: { limits: { tokenWaitMs: 20 } } });
  await put(house.door, "/v1/topics/clicks");
  const { token } = (await house.post("/v1/topics/clicks", { value: 1 })).json() as { token: string };
  assert.equal((await eventsOf(house.get(`/v1/topics/clicks/events?after=${token}`))).events.length, 1);
  const { id } = (await house.get("/v1/topics/clicks")).json() as { id: string };
  const ahead = encodeToken({ kind: "topic", topic: "clicks", topicId: id, positions: [{ partition: 0, offset: 2 }] });
  assert.equal(await refusal(house.get(`/v1/topics/clicks/events?after=${ahead}`)), "503 TOKEN_TIMEOUT");
  const nowhere = encodeToken({
    kind: "topic",
    topic: "clicks",
    topicId: id,
    positions: [{ partition: 9, offset: 2 }],
  });
  assert.equal(await refusal(house.get(`/v1/topics/clicks/events?after=${nowhere}`)), "404 PARTITION_UNKNOWN");
});

test("the cursor of a topic that was made again is foreign to it", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/clicks");
  const { next } = await eventsOf(house.get("/v1/topics/clicks/events"));
  await ask(house.door, "/v1/topics/clicks", { method: "DELETE" });
  await put(house.door, "/v1/topics/clicks");
  assert.equal(await refusal(house.get(`/v1/topics/clicks/events?from=${next}`)), "409 TOKEN_FOREIGN");
});

test("a compacted topic takes no event without a key", async () => {
  await using house = await openHouse();
  await put(house.door, "/v1/topics/latest", { cleanup: "compact" });
  assert.equal(await refusal(house.post("/v1/topics/latest", { value: 1 })), "400 RECORD_INVALID");
  assert.equal((await house.post("/v1/topics/latest", { value: 1, key: "a" })).status, 200);
});

test("the topic that credentials are checked with is handed out to nobody", async () => {
  await using house = await openHouse();
  await house.engine.createTopic(catalogueTopicName, {}, { readOnly: true });
  assert.equal(await refusal(house.get(`/v1/topics/${catalogueTopicName}/events`)), "403 TOPIC_SECRET");
});
