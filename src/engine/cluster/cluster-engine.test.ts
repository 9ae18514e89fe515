/** The engine against a cluster that behaves as the test says. What a real one does is in test/conformance. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { seededRandom } from "../../base/random.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { apiVersions } from "../../kafka/apis/api-versions.ts";
import { fetch } from "../../kafka/apis/fetch.ts";
import { metadata } from "../../kafka/apis/metadata.ts";
import { produce } from "../../kafka/apis/produce.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { readBatchHeader } from "../../records/batch-header.ts";
import { batchOf, nowMs, request, withCode } from "../engine.fixture.ts";
import type { Engine } from "../engine.ts";
import { decodeCommitted } from "../records.ts";
import { openClusterEngine, uuidOf } from "./cluster-engine.ts";
import { ScriptedCluster } from "./scripted-cluster.fixture.ts";

interface Opened extends AsyncDisposable {
  readonly cluster: ScriptedCluster;
  readonly clock: VirtualClock;
  readonly engine: Engine;
}

async function opened(nodes = 1): Promise<Opened> {
  const cluster = await ScriptedCluster.open(nodes);
  const clock = new VirtualClock(nowMs);
  const engine = await openOn(cluster, clock);
  return {
    cluster,
    clock,
    engine,
    async [Symbol.asyncDispose]() {
      await engine.close();
      await cluster.close();
    },
  };
}

function openOn(cluster: ScriptedCluster, clock = new VirtualClock(nowMs)): Promise<Engine> {
  const options = { clock, random: seededRandom(1), diagnostics: silentDiagnostics };
  return openClusterEngine({ ...options, brokers: cluster.brokers });
}

/** Time goes on until it is done. */
async function whileTimePasses<T>(clock: VirtualClock, work: Promise<T>, stepMs = 100): Promise<T> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  done.catch(() => {});
  for (let steps = 0; !isDone && steps < 5_000; steps++) {
    await clock.advance(stepMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return await done;
}

const append = (engine: Engine, ...values: string[]) =>
  engine.append({ topic: "t", partition: 0, batch: batchOf(...values) });

test("the log's id is the cluster's, as a UUID", async () => {
  assert.equal(uuidOf("MkU3OEVBNTcwNTJENDM2Qg"), "32453738-4541-3537-3035-324434333642");
  assert.match(uuidOf("named by hand"), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  await using one = await opened();
  assert.equal(one.engine.logId, uuidOf("scripted"));
});

test("a batch whose answer was lost is sent again under its number, and is there once", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  let answers = 0;
  cluster.script(({ api }, answer) => {
    const answered = answer();
    return api === produce && answers++ < 2 ? "close" : answered;
  });
  const placed = await whileTimePasses(clock, append(engine, "a", "b"));
  assert.deepEqual([placed.baseOffset, placed.lastOffset], [0, 1]);
  assert.equal(cluster.countOf(produce), 3);
  assert.equal(cluster.partitions.get("t")?.batches.length, 1);
});

test("an append on the condition of a key's last offset is refused by name, and nothing is sent", async () => {
  await using one = await opened();
  const expect = { key: Buffer.from("k"), offset: null } as const;
  const conditional = one.engine.append({ topic: "t", partition: 0, batch: batchOf("a"), expect });
  await assert.rejects(conditional, withCode("KEY_OFFSETS_UNSUPPORTED"));
  assert.equal(one.cluster.countOf(produce), 0);
});

test("a broker that does not lead any more is left for the one that does", async () => {
  await using one = await opened(2);
  const { cluster, clock, engine } = one;
  await append(engine, "a");
  Object.assign(cluster.partitions.get("t") ?? {}, { leader: 1, leaderEpoch: 1 });
  const placed = await whileTimePasses(clock, append(engine, "b"));
  assert.deepEqual([placed.baseOffset, placed.leaderEpoch], [1, 1]);
  const result = await whileTimePasses(clock, engine.read(request("t")));
  assert.deepEqual(
    decodeCommitted(result, 0).map(({ value }) => String(value)),
    ["a", "b"],
  );
});

test("an append waits for replicas that are not in sync, and is refused when its time is over", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  let refusals = 0;
  cluster.script(({ api, request: asked }, answer) => {
    if (api !== produce || refusals++ >= 5) return answer();
    const [topic] = (asked as { topicData: { topicId: string }[] }).topicData;
    const errorCode = kafkaErrors.NOT_ENOUGH_REPLICAS;
    const partitionResponses = [{ index: 0, errorCode, baseOffset: -1 }];
    return { responses: [{ topicId: topic?.topicId, name: "", partitionResponses }] };
  });
  assert.equal((await whileTimePasses(clock, append(engine, "patient"))).baseOffset, 0);
  refusals = Number.NEGATIVE_INFINITY;
  const startedMs = clock.monotonicMs();
  await assert.rejects(whileTimePasses(clock, append(engine, "late"), 1_000), (error: Error) => {
    withCode("CLUSTER_UNREACHABLE")(error);
    assert.match(error.message, /NOT_ENOUGH_REPLICAS.*are not there/);
    return true;
  });
  assert.ok(clock.monotonicMs() - startedMs >= 120_000);
  refusals = 5;
  assert.equal((await whileTimePasses(clock, append(engine, "next"))).baseOffset, 1);
});

test("batches of one partition go in the order of the calls, several at a time, also when some are lost", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  const random = seededRandom(3);
  cluster.script(({ api }, answer) => {
    if (api !== produce) return answer();
    const luck = random.next();
    if (luck < 0.1) return "close";
    const answered = answer();
    return luck < 0.2 ? "close" : answered;
  });
  const values = Array.from({ length: 200 }, (_, i) => `${i}`);
  const placed = await whileTimePasses(clock, Promise.all(values.map((value) => append(engine, value))));
  assert.deepEqual(
    placed.map(({ baseOffset }) => baseOffset),
    values.map((_, i) => i),
  );
});

test("a broker that does not answer is given up, and nothing waits for ever", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  cluster.script(() => "silence");
  const works = [
    append(engine, "a"),
    engine.read(request("t")),
    engine.createTopic("other"),
    Promise.resolve(engine.offsets("t", 0)),
  ];
  const outcomes = await whileTimePasses(clock, Promise.allSettled(works), 5_000);
  for (const outcome of outcomes) {
    assert.equal(outcome.status, "rejected");
    withCode("CLUSTER_UNREACHABLE")(outcome.status === "rejected" && outcome.reason);
  }
});

test("bytes that are no answer end the connection, and the next one is as good", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  const random = seededRandom(5);
  let left = 30;
  cluster.script((_asked, answer) => {
    if (left-- <= 0) return answer();
    const bytes = random.bytes(4 + random.below(60));
    // A length that can be, at times.
    if (random.next() < 0.7) bytes.writeInt32BE(bytes.length - 4, 0);
    return bytes;
  });
  const [placed] = await whileTimePasses(
    clock,
    Promise.all([append(engine, "a"), engine.read(request("t", { waitMs: 1 }))]),
  );
  assert.equal(placed.baseOffset, 0);
});

test("a cluster that is too old, or whose transactions can tear, is refused at once", async () => {
  const cluster = await ScriptedCluster.open();
  cluster.features.set("transaction.version", 1);
  await assert.rejects(openOn(cluster), withCode("CLUSTER_UNSUITABLE"));
  cluster.features.clear();
  await assert.rejects(openOn(cluster), withCode("CLUSTER_UNSUITABLE"));
  cluster.features.set("transaction.version", 2);
  cluster.versionsMax.set(metadata.key, 9);
  await assert.rejects(openOn(cluster), withCode("CLUSTER_UNSUITABLE"));
  cluster.script(({ api }, answer) => {
    return api === apiVersions ? { errorCode: kafkaErrors.UNSUPPORTED_VERSION, apiKeys: [] } : answer();
  });
  await assert.rejects(openOn(cluster), withCode("CLUSTER_UNSUITABLE"));
  await cluster.close();
});

test("where nobody listens the start says so when its patience is over", async () => {
  const cluster = await ScriptedCluster.open();
  const { brokers } = cluster;
  await cluster.close();
  const clock = new VirtualClock(nowMs);
  const options = { clock, random: seededRandom(1), diagnostics: silentDiagnostics, brokers };
  await assert.rejects(whileTimePasses(clock, openClusterEngine(options), 1_000), withCode("CLUSTER_UNREACHABLE"));
});

test("readers of one place share one request, each cut to what it asked for", async () => {
  await using one = await opened();
  const { cluster, engine } = one;
  for (const value of ["a", "b", "c"]) await append(engine, value);
  const before = cluster.countOf(fetch);
  const all = await Promise.all(
    [1, 1_000_000, 1, 1_000_000].map((bytesMax) => engine.read(request("t", { bytesMax }))),
  );
  assert.equal(cluster.countOf(fetch) - before, 1);
  assert.deepEqual(
    all.map(({ batches }) => batches.length),
    [1, 3, 1, 3],
  );
});

test("long polls of many readers hold up nobody, and are ended one by one", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  await append(engine, "a");
  let held = 0;
  cluster.script(({ api, request: asked }, answer) => {
    if (api !== fetch || (asked as { maxWaitMs: number }).maxWaitMs === 0) return answer();
    held++;
    return "silence";
  });
  const aborters = Array.from({ length: 50 }, () => new AbortController());
  const polls = aborters.map(({ signal }) => engine.read(request("t", { offset: 1, waitMs: 60_000, signal })));
  for (const poll of polls) poll.catch(() => {});
  while (held === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await append(engine, "b")).baseOffset, 1);
  assert.equal((await engine.read(request("t", { offset: 1 }))).batches.length, 1);
  assert.ok(held <= 4, `${held} polls`);
  for (const aborter of aborters) aborter.abort(new Error("gone"));
  for (const poll of polls) await assert.rejects(poll, /gone/);
  await clock.advance(1);
});

test("what the engine appends for others is numbered by a producer of its own", async () => {
  await using one = await opened();
  const { cluster, engine } = one;
  await append(engine, "a", "b");
  await append(engine, "c");
  const headers = (cluster.partitions.get("t")?.batches ?? []).map((batch) => readBatchHeader(batch));
  assert.deepEqual(
    headers.map(({ producerEpoch, baseSequence }) => [producerEpoch, baseSequence]),
    [
      [0, 0],
      [0, 2],
    ],
  );
  assert.ok(headers.every(({ producerId }) => producerId === headers[0]?.producerId && producerId >= 0));
});

test("a topic that was out of sight for a while is written to as before", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  await append(engine, "a");
  const partition = cluster.partitions.get("t");
  assert.ok(partition);
  cluster.partitions.delete("t");
  while (engine.topic("t") !== undefined) {
    await clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  cluster.partitions.set("t", partition);
  assert.equal((await whileTimePasses(clock, append(engine, "b"))).baseOffset, 1);
  assert.equal((await whileTimePasses(clock, append(engine, "c"))).baseOffset, 2);
});

test("one answer that leaves a topic out takes nothing away", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  let answers = 0;
  cluster.script(({ api }, answer) => {
    const answered = answer() as { topics: unknown[] };
    return api === metadata && answers++ === 0 ? { ...answered, topics: [] } : answered;
  });
  while (answers < 1) {
    await clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal((await append(engine, "a")).baseOffset, 0);
});

test("a topic that others delete is unknown to its readers and writers", async () => {
  await using one = await opened();
  const { cluster, clock, engine } = one;
  const waiting = engine.read(request("t", { waitMs: 60_000 }));
  waiting.catch(() => {});
  await append(engine, "a").then(() => waiting);
  cluster.partitions.delete("t");
  await assert.rejects(whileTimePasses(clock, append(engine, "b")), withCode("TOPIC_UNKNOWN"));
  await assert.rejects(whileTimePasses(clock, engine.read(request("t"))), withCode("TOPIC_UNKNOWN"));
});
