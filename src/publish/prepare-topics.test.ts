import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { arrange } from "../catalog/collect.ts";
import { type Definition, group, sql, topic, view } from "../catalog/definitions.ts";
import { becomeOwner, unitOfGroup, unitOfPublisher } from "../ownership/become-owner.ts";
import { ProgressTable } from "../ownership/progress-table.ts";
import { openRegistry } from "../registry/registry.fixture.ts";
import { ownGroup } from "../views/group-owner.ts";
import { prepareTopics } from "./prepare-topics.ts";
import { newestPublished, ownTopic, progressAt } from "./published-topic.ts";

const query = sql`select 1 as id`;
const cards = view("cards", query, { key: "id", publish: topic("cards-topic", { partitions: 3 }) });
const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

async function openTopics() {
  const open = await openRegistry();
  const { engine, registry } = open;
  const progress = await ProgressTable.open({ engine, clock: new VirtualClock() });
  const tools = { engine, registry, progress, diagnostics: silentDiagnostics };
  const prepare = (...definitions: Definition[]) => prepareTopics(tools, arrange(definitions));
  /** As a publisher does once the topic equals the view. */
  const publish = async (batch: number, publication = arrange([cards]).published[0] ?? assert.fail()) => {
    const owner = await becomeOwner(engine, unitOfPublisher(publication.topic), { progress });
    const owned = await ownTopic(engine, owner, publication);
    const transaction = owner.begin();
    await transaction.append(owner.progressBatch(progressAt(publication, owned, { generation: 2, batch })));
    await transaction.commit();
    return owned;
  };
  return { ...open, progress, prepare, publish, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}

test("topics to publish to are there, compacted and closed to others, before anything reads them", async () => {
  await using open = await openTopics();
  await open.prepare(cards);
  const { settings, readOnly } = open.engine.topic("cards-topic") ?? assert.fail();
  assert.deepEqual([settings.cleanup, settings.partitions, readOnly], ["compact", 3, true]);
  await open.prepare(cards);
  assert.equal((await open.publish(5)).position, null);
  assert.deepEqual((await open.publish(6)).position, { generation: 2, batch: 5 });
});

test("a topic that nothing is published to any more is anybody's, with what it has; published to again it is compared", async () => {
  await using open = await openTopics();
  await open.prepare(cards);
  await open.publish(5);
  // With a definition of its own, which a topic of Millrace could not have.
  await open.prepare(topic("cards-topic", { retention: "1d" }));
  assert.equal(open.engine.topic("cards-topic")?.readOnly, false);
  await open.prepare(cards);
  const { info, position } = await open.publish(7);
  assert.deepEqual([info.readOnly, position], [true, null]);
});

test("a topic of somebody else that came to have the name is not handed back", async () => {
  await using open = await openTopics();
  await open.prepare(cards);
  await open.publish(5);
  await open.engine.deleteTopic("cards-topic");
  await open.engine.createTopic("cards-topic", {}, { readOnly: true });
  await open.prepare();
  assert.equal(open.engine.topic("cards-topic")?.readOnly, true);
});

test("a topic that was there and not durable is from now on", async () => {
  await using open = await openTopics();
  await open.engine.createTopic("cards-topic", { cleanup: "compact", durability: "os", partitions: 3 });
  await open.prepare(cards);
  await open.publish(5);
  const { settings, readOnly } = open.engine.topic("cards-topic") ?? assert.fail();
  assert.deepEqual([settings.durability, readOnly], ["fsync", true]);
});

test("a topic of another view than before is compared", async () => {
  await using open = await openTopics();
  await open.prepare(cards);
  await open.publish(5);
  const [other = assert.fail()] = arrange([view("others", query, { key: "id", publish: "cards-topic" })]).published;
  assert.equal((await open.publish(6, other)).position, null);
});

test("a topic of a view that moved to another group is compared, and its positions are that group's", async () => {
  await using open = await openTopics();
  const reports = group("reports");
  const options = { key: "id", publish: topic("cards-topic", { partitions: 3 }), group: reports };
  const [moved = assert.fail()] = arrange([reports, view("cards", query, options)]).published;
  await open.prepare(cards);
  await open.publish(5);
  assert.equal((await open.publish(6, moved)).position, null);
  assert.deepEqual((await open.publish(7, moved)).position, { group: "reports", generation: 2, batch: 6 });
  await open.progress.readToEnd();
  assert.deepEqual(newestPublished(open.progress, "reports"), { generation: 2, batch: 7 });
  assert.equal(newestPublished(open.progress), null, "main goes behind nothing of it");
});

test("views that are published in a circle are refused before anything is written", async () => {
  await using open = await openTopics();
  const a = view("a", sql`select _key as id from topics."to-b"`, { key: "id", publish: "to-a" });
  const b = view("b", sql`select id from ${a} join topics."to-a" on true`, { key: "id", publish: "to-b" });
  await assert.rejects(open.prepare(a, b), hasCode("PUBLISH_CYCLE"));
  assert.deepEqual(
    open.engine.topics().filter(({ name }) => name.startsWith("to-")),
    [],
  );
});

test("a group does not go back behind what a topic's readers have seen", async () => {
  await using open = await openTopics();
  const { engine, progress } = open;
  assert.equal(newestPublished(progress), null);
  const group = await becomeOwner(engine, unitOfGroup("main"), { progress });
  const transaction = group.begin();
  await transaction.append(group.progressBatch({ generation: 2, batch: 10 }));
  await transaction.commit();
  await open.publish(20);
  await progress.readToEnd();
  const told = newestPublished(progress);
  assert.deepEqual(told, { generation: 2, batch: 20 });
  assert.deepEqual((await ownGroup(engine, "main", { progress, told })).noted, told);
  const earlier = { generation: 2, batch: 9 };
  assert.deepEqual((await ownGroup(engine, "main", { progress, told: earlier })).noted, { generation: 2, batch: 10 });
});
