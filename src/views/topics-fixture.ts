/** For tests of views over topics: records in the log, and groups that have read them. */
import assert from "node:assert/strict";
import { topicTable } from "../catalog/topic-table.ts";
import { appendRecords } from "../engine/records.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Group } from "./group.ts";
import { until, type ViewsFixture } from "./group-fixture.ts";
import type { WaitTarget } from "./view-info.ts";

export function tableOf(definition: Parameters<typeof topicTable>[0]): TableShape {
  const shape = topicTable(definition);
  assert.ok(shape);
  return shape;
}

export interface Message {
  readonly key?: string;
  readonly value: unknown;
  readonly timestamp?: number;
}

export async function publish(fixture: ViewsFixture, to: string, ...messages: readonly Message[]) {
  const info = fixture.engine.topic(to) ?? (await fixture.engine.createTopic(to, {}));
  const records = messages.map(({ key = null, value, ...rest }, i) => ({
    ...rest,
    partition: i % info.settings.partitions,
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
  }));
  return appendRecords(fixture.engine, to, records);
}

/** Until the views have all that the topics have. */
export async function settled(fixture: ViewsFixture, group: Group, ...names: readonly string[]): Promise<void> {
  const isBuilding = () => group.list().some(({ state }) => state.kind === "building" || "replacement" in state);
  // What a group says that has just lost its connection may be of before.
  do {
    await until(group, () => !isBuilding());
    for (const name of names) await group.waitFor(await endOf(fixture, name), 20_000);
  } while (isBuilding());
  const failed = group.list().flatMap(({ name, state }) => (state.kind === "failed" ? [name, state.error] : []));
  assert.deepEqual(failed, []);
}

async function endOf(fixture: ViewsFixture, topic: string): Promise<WaitTarget> {
  const info = fixture.engine.topic(topic);
  assert.ok(info);
  const positions = [];
  for (let partition = 0; partition < info.settings.partitions; partition++) {
    const { lastStable } = await fixture.engine.offsets(topic, partition);
    positions.push({ partition, offset: lastStable });
  }
  return { kind: "topic", topic, topicId: info.id, positions };
}
