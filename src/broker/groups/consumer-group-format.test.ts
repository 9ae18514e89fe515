import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { GroupFixture, joinHeartbeat } from "./consumer-group.fixture.ts";
import { decodeConsumerGroup, encodeConsumerGroup } from "./consumer-group-format.ts";
import { detailKind, kindOfStored } from "./group-directory.ts";

/** One member lets go, one waits, one is away. */
function busyGroup() {
  const fixture = new GroupFixture({ a: 6, b: 1 });
  fixture.join("m1", ["a"], { rackId: "r", serverAssignor: "uniform" });
  fixture.join("ß", ["a", "nothing"], { instanceId: "i2" });
  fixture.send(joinHeartbeat("m3", null, { subscribedTopicRegex: "[ab]" }), new Map([["[ab]", ["a", "b"]]]));
  fixture.beat("m1", 2);
  fixture.beat("m1", 2, "a/0 a/1");
  fixture.beat("ß", 3, undefined, { instanceId: "i2" });
  fixture.beat("ß", -2, undefined, { instanceId: "i2" });
  return fixture.group.kept;
}

test("what is kept of a group comes back as it was", () => {
  const kept = busyGroup();
  const metadata = encodeConsumerGroup(kept, 7);
  assert.equal(metadata.protocolType, "consumer");
  assert.equal(metadata.memberCount, 3);
  assert.equal(metadata.emptySinceMs, null);
  assert.equal(metadata.generation, kept.epoch);
  assert.equal(kindOfStored(metadata), "consumer");
  assert.deepEqual(decodeConsumerGroup(metadata), kept);
});

test("of a group without members its epoch is kept, and since when it is empty", () => {
  const fixture = new GroupFixture({ a: 1 });
  fixture.join("m1", ["a"]);
  fixture.beat("m1", -1);
  const metadata = encodeConsumerGroup(fixture.group.kept, 7);
  assert.deepEqual([metadata.memberCount, metadata.emptySinceMs, metadata.generation], [0, 7, 3]);
  assert.equal(decodeConsumerGroup(metadata)?.epoch, 3);
});

test("what is damaged or newer is never taken for a group, and never throws", () => {
  const random = seededRandom(1);
  const metadata = encodeConsumerGroup(busyGroup(), 7);
  const detail = metadata.detail as Buffer;
  const changed = (change: (bytes: Buffer) => Buffer) => {
    return decodeConsumerGroup({ ...metadata, detail: change(Buffer.from(detail)) });
  };
  assert.equal(decodeConsumerGroup({ ...metadata, detail: null }), undefined);
  assert.equal(
    changed((bytes) => bytes.fill(2, 1, 2)),
    undefined,
  );
  assert.equal(
    changed((bytes) => bytes.fill(detailKind.classic, 0, 1)),
    undefined,
  );
  for (let length = 0; length < detail.length; length += 7) {
    assert.equal(
      changed((bytes) => bytes.subarray(0, length)),
      undefined,
    );
  }
  for (let i = 0; i < 2_000; i++) {
    // Some changes leave another group that is whole: it must not throw, and no partition may be two members'.
    const group = changed((bytes) =>
      bytes.fill(random.below(256), random.below(bytes.length)).subarray(0, bytes.length),
    );
    assert.equal(group, undefined);
    const one = changed((bytes) => {
      bytes[2 + random.below(bytes.length - 2)] = 0x20 + random.below(0x5f);
      return bytes;
    });
    const owned = (one?.members ?? []).flatMap(({ assigned, revoking }) =>
      [assigned, revoking].flatMap((places) =>
        [...places].flatMap(([id, all]) => [...all.keys()].map((partition) => `${id}/${partition}`)),
      ),
    );
    assert.equal(new Set(owned).size, owned.length);
  }
  assert.equal(decodeConsumerGroup({ ...metadata, generation: 1 }), undefined);
});
