import assert from "node:assert/strict";
import { test } from "node:test";
import { Gate } from "./gate.ts";
import { nextTurn } from "./turn.ts";

test("no more are in the gate than may be, and those who wait go in as they came", async () => {
  const gate = new Gate(2);
  const order: string[] = [];
  const leave: (() => void)[] = [];
  const enter = (name: string) =>
    gate.run(() => {
      order.push(name);
      return new Promise<void>((resolve) => leave.push(resolve));
    });
  const all = ["a", "b", "c", "d"].map(enter);
  await nextTurn();
  assert.deepEqual(order, ["a", "b"]);
  leave[1]?.();
  await nextTurn();
  assert.deepEqual(order, ["a", "b", "c"]);
  for (const out of leave) out();
  await nextTurn();
  assert.deepEqual(order, ["a", "b", "c", "d"]);
  leave[3]?.();
  await Promise.all(all);
});

test("who fails inside lets the next one in", async () => {
  const gate = new Gate(1);
  await assert.rejects(
    gate.run(() => Promise.reject(new Error("broken"))),
    /broken/,
  );
  assert.equal(await gate.run(async () => 1), 1);
});
