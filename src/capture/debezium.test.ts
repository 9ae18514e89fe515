/** Our events against those that a real Debezium made of the same changes (test/conformance/debezium/). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { captureWithMillrace, openWorkload } from "../../test/conformance/debezium/capture.ts";
import { compare } from "../../test/conformance/debezium/compare.ts";
import { documentedRules, expectedRules, explain, rules } from "../../test/conformance/debezium/differences.ts";
import type { EventText } from "../../test/conformance/debezium/engine.ts";
import { readRecordedEvents } from "../../test/conformance/debezium/recorded.ts";
import { PostgresFixture } from "./postgres-fixture.ts";

let captured: Promise<EventText[]> | undefined;

/** Once for all tests. */
function ours(): Promise<EventText[]> {
  captured ??= (async () => {
    await using fixture = await PostgresFixture.open();
    await openWorkload(fixture);
    return await captureWithMillrace(fixture);
  })();
  return captured;
}

test("events are Debezium's, field by field, but for differences that are documented", async () => {
  const { unexplained, used } = explain(compare(readRecordedEvents(), await ours(), "recorded"));
  assert.deepEqual(unexplained, []);
  assert.deepEqual(used, expectedRules("recorded"));
});

test("the reference has each difference, and none that is not there", () => {
  assert.deepEqual(documentedRules(), rules.map(({ id }) => id).sort());
});

test("a field that changes, a field that is lost and an event that is lost are each noticed", async () => {
  const events = await ours();
  const at = events.findIndex(({ value }) => value?.includes('"op":"u"') ?? false);
  const changed = (value: (text: string) => string) =>
    events.map((event, i) => (i === at ? { ...event, value: value(event.value as string) } : event));
  for (const broken of [
    changed((text) => text.replace('"op":"u"', '"op":"c"')),
    changed((text) => text.replace('"data_collection_order":', '"data_collection_order":1')),
    changed((text) => text.replace('"connector":"postgresql",', "")),
    changed((text) => text.replace('"xmin":null', '"xmin":0')),
    events.filter((_, i) => i !== at),
    [...events.slice(0, at), events[at] as EventText, ...events.slice(at)],
    events.map((event, i) => (i === at ? { ...event, key: '{"id":1}' } : event)),
  ]) {
    assert.notDeepEqual(explain(compare(readRecordedEvents(), broken, "recorded")).unexplained, []);
  }
});
