import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import type { GroupMetadata } from "./group-records.ts";
import { groupsPartitions, groupsTopic, partitionOfGroup } from "./groups-log.ts";
import { type CommittedOffset, OffsetStore, type OffsetStoreSettings } from "./offset-store.ts";

const dayMs = 24 * 3_600_000;
/** Small files, so that a start costs little. */
const limits = { journalFileBytes: 64 * 1024, diskReserveBytes: 0 };

class Setting {
  readonly clock = new VirtualClock();
  readonly disk = new SimulatedDisk(seededRandom(1));
  engine!: EmbeddedEngine;
  store!: OffsetStore;

  static async open(settings: Partial<OffsetStoreSettings> = {}): Promise<Setting> {
    const setting = new Setting();
    await setting.start(settings);
    await setting.engine.createTopic("orders", { partitions: 3 });
    await setting.engine.createTopic("out");
    return setting;
  }

  async start(settings: Partial<OffsetStoreSettings> = {}): Promise<void> {
    const { disk, clock } = this;
    const random = seededRandom(2);
    this.engine = await openEmbeddedEngine({
      disk,
      directory: "/data/log",
      clock,
      random,
      diagnostics: silentDiagnostics,
      limits,
    });
    this.store = new OffsetStore({ log: this.engine, clock, diagnostics: silentDiagnostics, settings });
  }

  async restart(): Promise<void> {
    await this.engine.close();
    await this.start();
  }

  /** Of partition 0 of `orders`. */
  async offset(group: string, requireStable = false): Promise<number | undefined> {
    const [fetched] = await this.store.fetch(group, [{ topic: "orders", partition: 0 }], { requireStable });
    return fetched?.committed?.offset;
  }
}

const at = (offset: number, more: object = {}) => ({ topic: "orders", partition: 0, offset, ...more });

function withCode(code: ErrorCode) {
  return (error: unknown) => MillraceError.is(error, code) || assert.fail(`expected ${code}, not ${error}`);
}

const members = (memberCount: number, emptySinceMs: number | null): GroupMetadata => ({
  protocolType: "consumer",
  generation: 1,
  memberCount,
  emptySinceMs,
  detail: null,
});

test("a commit comes back with all that was said, also after a restart", async () => {
  const setting = await Setting.open();
  const metadata = "ß".repeat(2048);
  await setting.store.commit("g", [at(2 ** 52, { leaderEpoch: 4, metadata }), { ...at(7), partition: 2 }]);
  const committedMs = setting.clock.now();
  for (const restart of [false, true]) {
    if (restart) await setting.restart();
    const fetched = await setting.store.fetch("g");
    const expected: [number, CommittedOffset][] = [
      [0, { offset: 2 ** 52, leaderEpoch: 4, metadata, committedMs }],
      [2, { offset: 7, leaderEpoch: -1, metadata: "", committedMs }],
    ];
    assert.deepEqual(
      fetched,
      expected.map(([partition, committed]) => ({ topic: "orders", partition, committed, isUnstable: false })),
    );
  }
  assert.equal(setting.engine.topic(groupsTopic)?.settings.partitions, groupsPartitions);
  assert.equal(setting.engine.topic(groupsTopic)?.settings.cleanup, "compact");
  assert.equal(setting.engine.topic(groupsTopic)?.readOnly, true);
});

test("what was never committed has no offset, and an unknown group none at all", async () => {
  const { store } = await Setting.open();
  assert.deepEqual(await store.fetch("g"), []);
  assert.deepEqual(
    await store.fetch("g", [
      { topic: "orders", partition: 1 },
      { topic: "nothing", partition: 0 },
    ]),
    [
      { topic: "orders", partition: 1, committed: null, isUnstable: false },
      { topic: "nothing", partition: 0, committed: null, isUnstable: false },
    ],
  );
  assert.equal(await store.group("g"), undefined);
  await store.commit("g", []);
  assert.deepEqual(await store.groups(), []);
});

test("groups do not see each other's offsets, in whatever partition they are kept", async () => {
  const setting = await Setting.open();
  const groups = Array.from({ length: 20 }, (_, i) => `group-${i}`);
  assert.equal(new Set(groups.map(partitionOfGroup)).size, groupsPartitions);
  await Promise.all(groups.map((group, i) => setting.store.commit(group, [at(i)])));
  for (const [i, group] of groups.entries()) assert.equal(await setting.offset(group), i);
  await setting.restart();
  for (const [i, group] of groups.entries()) assert.equal(await setting.offset(group), i);
  assert.deepEqual((await setting.store.groups()).map(({ group }) => group).sort(), [...groups].sort());
});

test("commits of one caller hold in the order in which they were made", async () => {
  const setting = await Setting.open();
  await Promise.all(Array.from({ length: 50 }, (_, i) => setting.store.commit("g", [at(i)])));
  assert.equal(await setting.offset("g"), 49);
});

test("names, offsets and metadata that cannot be are refused by name, and change nothing", async () => {
  const { store, engine } = await Setting.open();
  const refused = (group: unknown, offset: object, code: ErrorCode) =>
    assert.rejects(store.commit(group as string, [offset as ReturnType<typeof at>]), withCode(code));
  for (const name of ["", "x".repeat(256), "ä".repeat(128), "\ud800", 7, undefined, null, {}]) {
    await refused(name, at(1), "GROUP_NAME_INVALID");
    await assert.rejects(store.fetch(name as string), withCode("GROUP_NAME_INVALID"));
  }
  for (const offset of [-1, 0.5, 2 ** 53, Number.NaN, "1", undefined]) {
    await refused("g", at(offset as number), "GROUP_REQUEST_INVALID");
  }
  for (const leaderEpoch of [-2, 2 ** 31, 0.5, "1"])
    await refused("g", at(1, { leaderEpoch }), "GROUP_REQUEST_INVALID");
  for (const metadata of [7, "\udfff", null]) await refused("g", at(1, { metadata }), "GROUP_REQUEST_INVALID");
  for (const partition of [-1, 0.5, 2 ** 31, "0", Number.NaN])
    await refused("g", at(1, { partition }), "GROUP_REQUEST_INVALID");
  for (const topic of ["", 7, "x".repeat(250)]) await refused("g", at(1, { topic }), "GROUP_REQUEST_INVALID");
  await refused("g", at(1, { metadata: "x".repeat(4097) }), "GROUP_METADATA_TOO_LARGE");
  await refused("g", at(1, { metadata: "ß".repeat(2049) }), "GROUP_METADATA_TOO_LARGE");
  await refused("g", at(1, { topic: "nothing" }), "TOPIC_UNKNOWN");
  await refused("g", at(1, { partition: 3 }), "PARTITION_UNKNOWN");
  await assert.rejects(
    store.commit(
      "g",
      Array.from({ length: 10_001 }, () => at(1)),
    ),
    withCode("GROUP_REQUEST_INVALID"),
  );
  assert.deepEqual(await store.groups(), []);
  const end = engine.topic(groupsTopic) ? engine.offsets(groupsTopic, partitionOfGroup("g")).highWatermark : 0;
  assert.equal(end, 0);
});

test("a commit in a transaction can be fetched when the transaction is committed, not before", async () => {
  const setting = await Setting.open();
  await setting.store.commit("g", [at(1)]);
  const producer = await setting.engine.initProducer("copy");
  const transaction = producer.begin();
  await setting.store.commitIn(transaction, "g", [at(2)]);
  const [fetched] = await setting.store.fetch("g");
  assert.deepEqual([fetched?.committed?.offset, fetched?.isUnstable], [1, true]);
  assert.equal(await setting.offset("g", true), undefined);
  await transaction.commit();
  assert.equal(await setting.offset("g", true), 2);
  const aborted = producer.begin();
  await setting.store.commitIn(aborted, "g", [at(3)]);
  await aborted.abort();
  assert.equal(await setting.offset("g", true), 2);
  await setting.restart();
  assert.equal(await setting.offset("g", true), 2);
});

test("an open transaction makes unstable only what it commits", async () => {
  const setting = await Setting.open();
  const transaction = (await setting.engine.initProducer("copy")).begin();
  await setting.store.commit("g", [at(1), at(1, { partition: 1 })]);
  await setting.store.commitIn(transaction, "g", [at(2)]);
  const fetched = await setting.store.fetch("g", undefined, { requireStable: true });
  assert.deepEqual(
    fetched.map(({ partition, committed, isUnstable }) => [partition, committed?.offset, isUnstable]),
    [
      [0, undefined, true],
      [1, 1, false],
    ],
  );
});

test("a transaction behind an open one is seen as soon as it is committed", async () => {
  const setting = await Setting.open();
  const open = (await setting.engine.initProducer("open")).begin();
  await setting.store.commitIn(open, "g", [at(1, { partition: 1 })]);
  const transaction = (await setting.engine.initProducer("copy")).begin();
  await setting.store.commitIn(transaction, "g", [at(2)]);
  await transaction.commit();
  assert.equal(await setting.offset("g", true), 2);
});

test("a log that can settle a partition is asked to, and nothing is written for it", async () => {
  const setting = await Setting.open();
  const transaction = (await setting.engine.initProducer("copy")).begin();
  let settled = 0;
  const { engine, clock } = setting;
  const log = {
    topic: engine.topic.bind(engine),
    createTopic: engine.createTopic.bind(engine),
    offsets: engine.offsets.bind(engine),
    append: engine.append.bind(engine),
    read: engine.read.bind(engine),
    async settle() {
      settled++;
    },
  };
  const store = new OffsetStore({ log, clock, diagnostics: silentDiagnostics });
  await store.commitIn(transaction, "g", [at(2)]);
  const before = engine.offsets(groupsTopic, partitionOfGroup("g")).highWatermark;
  assert.equal((await store.fetch("g"))[0]?.isUnstable, true);
  assert.equal(settled, 1);
  assert.equal(engine.offsets(groupsTopic, partitionOfGroup("g")).highWatermark, before);
});

test("a transaction that was refused its append leaves nothing unstable", async () => {
  const setting = await Setting.open();
  const transaction = (await setting.engine.initProducer("copy")).begin();
  await setting.engine.initProducer("copy");
  await assert.rejects(setting.store.commitIn(transaction, "g", [at(2)]), withCode("PRODUCER_FENCED"));
  assert.deepEqual(await setting.store.fetch("g"), []);
  assert.equal(setting.store.sizeBytes, 0);
});

test("offsets are removed one by one, or with their group", async () => {
  const setting = await Setting.open();
  const { store } = setting;
  await store.commit("g", [at(1), at(2, { partition: 1 }), at(3, { partition: 2 })]);
  await store.deleteOffsets("g", [
    { topic: "orders", partition: 1 },
    { topic: "orders", partition: 9 },
  ]);
  assert.deepEqual(
    (await store.fetch("g")).map(({ partition }) => partition),
    [0, 2],
  );
  await store.putMetadata("g", members(1, null));
  await assert.rejects(store.deleteGroup("g"), withCode("GROUP_NOT_EMPTY"));
  await store.putMetadata("g", members(0, setting.clock.now()));
  await store.deleteGroup("g");
  await assert.rejects(store.deleteGroup("g"), withCode("GROUP_UNKNOWN"));
  await assert.rejects(store.deleteOffsets("g", []), withCode("GROUP_UNKNOWN"));
  await setting.restart();
  assert.deepEqual(await setting.store.groups(), []);
  assert.equal(setting.store.sizeBytes, 0);
});

test("a deleted group's offsets stay gone when a transaction that had committed some ends later", async () => {
  const setting = await Setting.open();
  const transaction = (await setting.engine.initProducer("copy")).begin();
  await setting.store.commitIn(transaction, "g", [at(2)]);
  await setting.store.deleteGroup("g");
  await transaction.commit();
  assert.deepEqual(await setting.store.fetch("g"), []);
  await setting.restart();
  assert.deepEqual(await setting.store.fetch("g"), []);
});

test("offsets of a deleted topic are gone, also for a topic of its name that is made later", async () => {
  const setting = await Setting.open();
  const { engine, store } = setting;
  await store.commit("g", [at(5), { topic: "out", partition: 0, offset: 1 }]);
  await engine.deleteTopic("orders");
  assert.equal(await setting.offset("g"), undefined);
  await engine.createTopic("orders", { partitions: 3 });
  assert.equal(await setting.offset("g"), undefined);
  await store.commit("h", [at(7)]);
  await store.forgetTopic("orders");
  assert.equal(await setting.offset("h"), 7);
  assert.deepEqual((await store.groups()).map(({ group, offsetCount }) => [group, offsetCount]).sort(), [
    ["g", 1],
    ["h", 1],
  ]);
});

test("what is kept about a group comes back after a restart", async () => {
  const setting = await Setting.open();
  const metadata = { ...members(2, null), detail: Buffer.from("opaque") };
  await setting.store.putMetadata("g", metadata);
  await setting.restart();
  assert.deepEqual(await setting.store.group("g"), { group: "g", metadata, offsetCount: 0 });
});

test("offsets expire 7 days after their group became empty, and the group with them", async () => {
  const setting = await Setting.open();
  const { store, clock } = setting;
  await store.commit("g", [at(1)]);
  await store.putMetadata("g", members(1, null));
  clock.jump(30 * dayMs);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 0, groups: 0 });
  await store.putMetadata("g", members(0, clock.now()));
  clock.jump(7 * dayMs - 1);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 0, groups: 0 });
  clock.jump(1);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 1, groups: 1 });
  assert.deepEqual(await store.groups(), []);
  await setting.restart();
  assert.deepEqual(await setting.store.groups(), []);
});

test("without members ever, each partition's offset expires after its own last commit", async () => {
  const setting = await Setting.open({ retentionMs: dayMs });
  const { store, clock } = setting;
  await store.commit("g", [at(1), at(1, { partition: 1 })]);
  clock.jump(dayMs / 2);
  await store.commit("g", [at(2)]);
  clock.jump(dayMs / 2);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 1, groups: 0 });
  assert.deepEqual(
    (await store.fetch("g")).map(({ partition }) => partition),
    [0],
  );
  clock.jump(dayMs / 2);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 1, groups: 1 });
});

test("of a group with members only topics that nobody subscribes to expire", async () => {
  const setting = await Setting.open();
  const { store, clock } = setting;
  await store.commit("g", [at(1), { topic: "out", partition: 0, offset: 1 }]);
  await store.putMetadata("g", members(1, null));
  clock.jump(8 * dayMs);
  const subscribed = () => new Set(["orders"]);
  assert.deepEqual(await store.expire(clock.now(), subscribed), { offsets: 1, groups: 0 });
  assert.deepEqual(
    (await store.fetch("g")).map(({ topic }) => topic),
    ["orders"],
  );
});

test("what an open transaction may commit does not expire", async () => {
  const setting = await Setting.open();
  const { store, clock, engine } = setting;
  await store.commit("g", [at(1)]);
  const transaction = (await engine.initProducer("copy")).begin();
  await store.commitIn(transaction, "g", [at(2)]);
  clock.jump(8 * dayMs);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 0, groups: 0 });
  await transaction.abort();
  await store.commit("other", [at(1)]);
  assert.equal(await setting.offset("g", true), 1);
  assert.deepEqual(await store.expire(clock.now()), { offsets: 1, groups: 1 });
});

test("when offsets take as much memory as they may, new ones are refused and known ones go on", async () => {
  const { store } = await Setting.open({ stateBytesMax: 5_000 });
  let made = 0;
  await assert.rejects(async () => {
    for (; made < 100; made++) await store.commit(`group-${made}`, [at(1)]);
  }, withCode("GROUP_STATE_FULL"));
  assert.ok(made > 3 && made < 20, `${made}`);
  await store.commit("group-0", [at(2)]);
  await assert.rejects(store.commit("group-0", [at(2, { metadata: "x" })]), withCode("GROUP_STATE_FULL"));
  await assert.rejects(store.putMetadata("fresh", members(1, null)), withCode("GROUP_STATE_FULL"));
  await store.deleteGroup("group-1");
  await store.commit("fresh", [at(1)]);
});

test("a commit of thousands of partitions with much beside them is one batch", async () => {
  const setting = await Setting.open();
  await setting.engine.createTopic("wide", { partitions: 1500 });
  const metadata = "x".repeat(4000);
  const offsets = Array.from({ length: 1500 }, (_, partition) => ({ topic: "wide", partition, offset: 1, metadata }));
  await setting.store.commit("g", offsets);
  const partition = partitionOfGroup("g");
  const { batches } = await setting.engine.read({
    topic: groupsTopic,
    partition,
    offset: 0,
    isolation: "read_committed",
    bytesMax: 1,
  });
  assert.equal(batches.length, 1);
  assert.equal((await setting.store.fetch("g")).length, 1500);
});

test("records of a newer version are passed over, and said", async () => {
  const setting = await Setting.open();
  await setting.store.commit("g", [at(1)]);
  const partition = partitionOfGroup("g");
  const batch = encodeBatch([{ key: Buffer.from([9, 9]), value: Buffer.from("?") }], 0);
  await setting.engine.append({ topic: groupsTopic, partition, batch });
  const warnings: string[] = [];
  const diagnostics = { ...silentDiagnostics, warn: (message: string) => void warnings.push(message) };
  const store = new OffsetStore({ log: setting.engine, clock: setting.clock, diagnostics });
  assert.equal((await store.fetch("g")).length, 1);
  assert.equal(warnings.length, 1);
});

test("many who read an unread store at once see one state", async () => {
  const setting = await Setting.open();
  await setting.store.commit("g", [at(1)]);
  await setting.restart();
  const { store } = setting;
  const seen = await Promise.all([
    setting.offset("g"),
    store.commit("g", [at(2)]),
    setting.offset("g"),
    store.groups(),
  ]);
  assert.equal(seen[0], 1);
  assert.equal(await setting.offset("g"), 2);
});

test("a topic of groups that was deleted is begun anew", async () => {
  const setting = await Setting.open();
  await setting.store.commit("g", [at(1)]);
  await setting.engine.deleteTopic(groupsTopic);
  assert.deepEqual(await setting.store.fetch("g"), []);
  await setting.store.commit("h", [at(2)]);
  assert.equal(await setting.offset("h"), 2);
  assert.equal(await setting.offset("g"), undefined);
});
