import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeClassicGroup, encodeClassicGroup } from "./classic-group-format.ts";
import type { KeptGroup } from "./classic-state.ts";

const nowMs = Date.UTC(2026, 0, 1);

const kept: KeptGroup = {
  generation: 7,
  protocolType: "consumer",
  protocol: "range",
  leaderId: "m1",
  members: [
    {
      memberId: "m1",
      instanceId: "ï",
      clientId: "c",
      clientHost: "/127.0.0.1",
      rebalanceTimeoutMs: 300_000,
      sessionTimeoutMs: 45_000,
      protocols: [
        { name: "sticky", metadata: Buffer.from("not kept") },
        { name: "range", metadata: Buffer.from("kept") },
      ],
      assignment: Buffer.from([1, 2, 3]),
    },
    {
      memberId: "m2",
      instanceId: null,
      clientId: "",
      clientHost: "",
      rebalanceTimeoutMs: 0,
      sessionTimeoutMs: 6_000,
      protocols: [{ name: "range", metadata: Buffer.alloc(0) }],
      assignment: Buffer.alloc(0),
    },
  ],
};

test("what is kept of a group comes back, with the metadata of the protocol in use", () => {
  const metadata = encodeClassicGroup(kept, nowMs);
  assert.deepEqual([metadata.memberCount, metadata.generation, metadata.emptySinceMs], [2, 7, null]);
  const back = decodeClassicGroup(metadata);
  const [first, ...others] = kept.members;
  assert.ok(first && back);
  const expected = { ...kept, members: [{ ...first, protocols: first.protocols.slice(1) }, ...others] };
  assert.deepEqual(JSON.parse(JSON.stringify(back)), JSON.parse(JSON.stringify(expected)));
});

test("an empty group keeps since when it is empty", () => {
  const metadata = encodeClassicGroup({ ...kept, protocol: null, leaderId: null, members: [] }, nowMs);
  assert.deepEqual([metadata.memberCount, metadata.emptySinceMs], [0, nowMs]);
  assert.deepEqual(decodeClassicGroup(metadata)?.members, []);
});

test("the bytes are those of the format's page", () => {
  const { detail } = encodeClassicGroup({ ...kept, leaderId: null, protocol: "p", members: [] }, nowMs);
  assert.equal(detail?.toString("hex"), "0101" + "0000000170" + "ffffffff" + "00000000");
});

test("what was cut off, or is of another version or kind, is not taken for a group", () => {
  const metadata = encodeClassicGroup(kept, nowMs);
  const detail = metadata.detail as Buffer;
  for (let length = 0; length < detail.length; length++) {
    assert.equal(decodeClassicGroup({ ...metadata, detail: detail.subarray(0, length) }), undefined);
  }
  assert.equal(decodeClassicGroup({ ...metadata, detail: null }), undefined);
  assert.equal(decodeClassicGroup({ ...metadata, detail: Buffer.concat([detail, Buffer.alloc(1)]) }), undefined);
  for (const at of [0, 1]) {
    const other = Buffer.from(detail);
    other[at] = 9;
    assert.equal(decodeClassicGroup({ ...metadata, detail: other }), undefined);
  }
});

test("no bytes make reading fail, or take long", () => {
  const metadata = encodeClassicGroup(kept, nowMs);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeClassicGroup({ ...metadata, detail: Buffer.concat([Buffer.from([1, 1]), bytes]) });
    }),
  );
  const many = Buffer.concat([Buffer.from([1, 1]), Buffer.alloc(8, 0), Buffer.alloc(4, 0xff)]);
  assert.equal(decodeClassicGroup({ ...metadata, detail: many }), undefined);
});
