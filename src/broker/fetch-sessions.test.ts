import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { type FetchPlan, FetchSessions, type SessionRequest, type WantedPartition } from "./fetch-sessions.ts";

function wanted(topic: string, partition: number, fetchOffset = 0): WantedPartition {
  const known = { currentLeaderEpoch: -1, lastFetchedEpoch: -1, bytesMax: 1_000_000 };
  return { topic, topicId: "", partition, fetchOffset, ...known };
}

function request(given: Partial<SessionRequest>): SessionRequest {
  return { sessionId: 0, sessionEpoch: 0, usesIds: false, wanted: [], forgotten: [], ...given };
}

function open(bounds = { sessionsMax: 2, partitionsMax: 10 }) {
  const clock = new VirtualClock();
  return { clock, sessions: new FetchSessions({ clock, random: seededRandom(1) }, bounds) };
}

function planOf(sessions: FetchSessions, given: Partial<SessionRequest>): FetchPlan {
  const outcome = sessions.plan(request(given));
  assert.equal(outcome.kind, "plan");
  return (outcome as { readonly plan: FetchPlan }).plan;
}

function errorOf(sessions: FetchSessions, given: Partial<SessionRequest>): number {
  const outcome = sessions.plan(request(given));
  assert.equal(outcome.kind, "error");
  return (outcome as { readonly errorCode: number }).errorCode;
}

const nothingNew = { errorCode: 0, highWatermark: 5, logStart: 0, hasRecords: false };

function names({ partitions }: FetchPlan): string[] {
  return partitions.map(({ topic, partition, fetchOffset }) => `${topic}/${partition}@${fetchOffset}`);
}

describe("an incremental fetch session (KIP-227)", () => {
  test("is opened by a full fetch with epoch 0, and then needs to hear only what changes", () => {
    const { sessions } = open();
    const full = planOf(sessions, { wanted: [wanted("a", 0), wanted("a", 1), wanted("b", 0)] });
    assert.ok(full.sessionId > 0);
    const next = planOf(sessions, {
      sessionId: full.sessionId,
      sessionEpoch: 1,
      wanted: [wanted("a", 1, 7), wanted("c", 0)],
      forgotten: [{ topic: "b", topicId: "", partition: 0 }],
    });
    assert.deepEqual(names(next), ["a/0@0", "a/1@7", "c/0@0"]);
  });

  test("tells a partition again only when it has records, an error, or other ends", () => {
    const { sessions } = open();
    const all = [wanted("a", 0), wanted("a", 1)];
    const full = planOf(sessions, { wanted: all });
    for (const one of all) assert.ok(full.tells(one, nothingNew), "a full fetch tells all");
    const second = planOf(sessions, { sessionId: full.sessionId, sessionEpoch: 1 });
    assert.ok(!second.tells(all[0] as WantedPartition, nothingNew));
    assert.ok(second.tells(all[1] as WantedPartition, { ...nothingNew, highWatermark: 6 }));
    const third = planOf(sessions, { sessionId: full.sessionId, sessionEpoch: 2 });
    assert.ok(third.tells(all[0] as WantedPartition, { ...nothingNew, hasRecords: true }));
    assert.ok(third.tells(all[1] as WantedPartition, { ...nothingNew, errorCode: 3, highWatermark: -1 }));
    const fourth = planOf(sessions, { sessionId: full.sessionId, sessionEpoch: 3 });
    assert.deepEqual(names(fourth), ["a/1@0", "a/0@0"], "who had records comes last");
    assert.ok(
      fourth.tells(all[1] as WantedPartition, { ...nothingNew, highWatermark: 6 }),
      "the end of the error is told",
    );
  });

  test("is refused when it is not known, or its epoch is not the next one", () => {
    const { sessions } = open();
    assert.equal(errorOf(sessions, { sessionId: 77, sessionEpoch: 1 }), kafkaErrors.FETCH_SESSION_ID_NOT_FOUND);
    const { sessionId } = planOf(sessions, { wanted: [wanted("a", 0)] });
    assert.equal(errorOf(sessions, { sessionId, sessionEpoch: 2 }), kafkaErrors.INVALID_FETCH_SESSION_EPOCH);
    assert.equal(
      errorOf(sessions, { sessionId, sessionEpoch: 1, usesIds: true }),
      kafkaErrors.FETCH_SESSION_TOPIC_ID_ERROR,
    );
    planOf(sessions, { sessionId, sessionEpoch: 1 });
    assert.equal(errorOf(sessions, { sessionId, sessionEpoch: 1 }), kafkaErrors.INVALID_FETCH_SESSION_EPOCH);
  });

  test("ends with a fetch of epoch -1", () => {
    const { sessions } = open();
    const { sessionId } = planOf(sessions, { wanted: [wanted("a", 0)] });
    const last = planOf(sessions, { sessionId, sessionEpoch: -1, wanted: [wanted("a", 0)] });
    assert.equal(last.sessionId, 0);
    assert.equal(sessions.count, 0);
  });

  test("is not had where there is no room, and one that nobody has used makes room", () => {
    const { sessions, clock } = open();
    const first = planOf(sessions, { wanted: [wanted("a", 0)] });
    planOf(sessions, { wanted: [wanted("a", 0)] });
    assert.equal(planOf(sessions, { wanted: [wanted("a", 0)] }).sessionId, 0, "served without one");
    clock.advance(120_000);
    assert.ok(planOf(sessions, { wanted: [wanted("a", 0)] }).sessionId > 0);
    assert.equal(
      errorOf(sessions, { sessionId: first.sessionId, sessionEpoch: 1 }),
      kafkaErrors.FETCH_SESSION_ID_NOT_FOUND,
    );
  });

  test("partitions of all sessions together have a bound", () => {
    const { sessions } = open({ sessionsMax: 100, partitionsMax: 10 });
    const many = Array.from({ length: 11 }, (_, i) => wanted("a", i));
    assert.equal(planOf(sessions, { wanted: many }).sessionId, 0);
    assert.equal(planOf(sessions, { wanted: many }).partitions.length, 11);
    const { sessionId } = planOf(sessions, { wanted: many.slice(0, 6) });
    assert.equal(
      errorOf(sessions, { sessionId, sessionEpoch: 1, wanted: many.slice(0, 6) }),
      kafkaErrors.FETCH_SESSION_ID_NOT_FOUND,
      "a session cannot grow past it",
    );
    assert.equal(sessions.count, 0);
  });
});
