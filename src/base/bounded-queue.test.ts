import assert from "node:assert/strict";
import { test } from "node:test";
import { BoundedQueue } from "./bounded-queue.ts";
import { nextTurn } from "./turn.ts";

test("what is pushed comes out in order, and a full queue lets its writers wait in turn", async () => {
  const queue = new BoundedQueue<number>(2);
  const pushed: number[] = [];
  const pushes = [1, 2, 3, 4].map((item) => queue.push(item).then(() => pushed.push(item)));
  await nextTurn();
  assert.deepEqual(pushed, [1, 2]);
  assert.equal(queue.offer(5), false);
  assert.equal(await queue.shift(), 1);
  await nextTurn();
  assert.deepEqual(pushed, [1, 2, 3]);
  assert.deepEqual([await queue.shift(), await queue.shift(), await queue.shift()], [2, 3, 4]);
  await Promise.all(pushes);
  assert.equal(queue.length, 0);
});

test("readers of an empty queue wait in turn", async () => {
  const queue = new BoundedQueue<string>(1);
  const taken = Promise.all([queue.shift(), queue.shift()]);
  await queue.push("a");
  await queue.push("b");
  assert.deepEqual(await taken, ["a", "b"]);
});

test("the bound counts sizes, and one item larger than it passes alone", async () => {
  const queue = new BoundedQueue<string>(10, (item) => item.length);
  assert.ok(queue.offer("x".repeat(50)));
  assert.equal(queue.offer("y"), false);
  await queue.shift();
  assert.ok(queue.offer("123456"));
  assert.ok(queue.offer("1234"));
  assert.equal(queue.offer("1"), false);
  assert.equal(queue.size, 10);
});

test("a closed queue gives out what it has, then ends, and refuses writers", async () => {
  const queue = new BoundedQueue<number>(1);
  await queue.push(1);
  const waiting = queue.push(2);
  queue.close(new Error("over"));
  await assert.rejects(waiting, /over/);
  await assert.rejects(queue.push(3), /over/);
  assert.equal(await queue.shift(), 1);
  assert.equal(await queue.shift(), undefined);
});

test("a long queue does not keep what was taken", async () => {
  const queue = new BoundedQueue<number>(10_000);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 5_000; i++) queue.offer(i);
    for (let i = 0; i < 5_000; i++) assert.equal(await queue.shift(), i);
  }
  assert.equal(queue.size, 0);
});
