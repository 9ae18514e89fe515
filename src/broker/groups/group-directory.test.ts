import assert from "node:assert/strict";
import { test } from "node:test";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { OffsetStore } from "../../log/groups/offset-store.ts";
import { detailKind, GroupDirectory, type GroupKind, type GroupKindHooks, kindOfStored } from "./group-directory.ts";

function hooks(kind: GroupKind, said: string[]): GroupKindHooks {
  return {
    list: () => [{ groupId: kind, protocolType: "consumer", state: "Stable", type: kind }],
    isEmpty: () => false,
    commitCheck: () => "NONE",
    fetchCheck: () => "NONE",
    deleteCheck: () => "NONE",
    subscribed: () => new Set([kind]),
    kept: async () => {},
    load: (groupId) => void said.push(`${kind} ${groupId}`),
    topicsChanged: () => void said.push(`${kind} topics`),
  };
}

function open(inProcess: readonly string[] = []) {
  const said: string[] = [];
  const directory = new GroupDirectory({ hasMembers: (groupId) => inProcess.includes(groupId) });
  for (const kind of ["classic", "consumer"] as const) directory.register(kind, hooks(kind, said));
  return { directory, said };
}

const metadata = (more: Partial<GroupMetadata>): GroupMetadata => {
  return { protocolType: "consumer", generation: 1, memberCount: 1, emptySinceMs: null, detail: null, ...more };
};

test("a group is of one kind at a time, and of another when it was released", () => {
  const { directory } = open();
  assert.equal(directory.claim("g", "classic"), true);
  assert.equal(directory.claim("g", "classic"), true);
  assert.equal(directory.claim("g", "consumer"), false);
  assert.equal(directory.kindOf("g"), "classic");
  directory.release("g", "consumer");
  assert.equal(directory.isClaimed("g"), true);
  directory.release("g", "classic");
  assert.deepEqual([directory.kindOf("g"), directory.isClaimed("g")], [undefined, false]);
  assert.equal(directory.claim("g", "consumer"), true);
  assert.deepEqual(directory.subscribed("g"), new Set(["consumer"]));
});

test("a group that has members in this process is nobody else's", () => {
  const { directory } = open(["mine"]);
  assert.equal(directory.kindOf("mine"), "millrace");
  assert.equal(directory.claim("mine", "classic"), false);
  assert.equal(directory.hooksOf("mine"), undefined);
});

test("at the start groups with members go to the kind that has kept them", async () => {
  const { directory, said } = open();
  const stored = {
    a: metadata({ detail: Buffer.from([detailKind.classic]) }),
    b: metadata({ detail: Buffer.from([detailKind.consumer]) }),
    empty: metadata({ memberCount: 0, detail: Buffer.from([detailKind.classic]) }),
    mine: metadata({ protocolType: "millrace" }),
    newer: metadata({ detail: Buffer.from([9]) }),
    none: null,
  };
  const groups = Object.entries(stored).map(([group, one]) => ({ group, metadata: one, offsetCount: 0 }));
  await directory.load({ groups: async () => groups } as unknown as OffsetStore);
  assert.deepEqual(said, ["classic a", "consumer b"]);
  assert.deepEqual(
    [directory.kindOf("a"), directory.kindOf("b"), directory.kindOf("empty")],
    ["classic", "consumer", undefined],
  );
  assert.deepEqual(Object.values(stored).map(kindOfStored), [
    "classic",
    "consumer",
    "classic",
    undefined,
    undefined,
    undefined,
  ]);
});

test("all kinds are listed, and hear of topics", () => {
  const { directory, said } = open();
  assert.deepEqual(
    directory.list().map(({ groupId }) => groupId),
    ["classic", "consumer"],
  );
  directory.topicsChanged();
  assert.deepEqual(said, ["classic topics", "consumer topics"]);
});
