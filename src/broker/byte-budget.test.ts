import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ByteBudget } from "./byte-budget.ts";

describe("a budget of bytes", () => {
  test("gives what fits, and what does not fit when it is free again, in turn", () => {
    const budget = new ByteBudget(100);
    assert.ok(budget.take(60));
    assert.ok(!budget.take(50));
    const order: string[] = [];
    budget.whenFree(50, () => order.push("first"));
    budget.whenFree(10, () => order.push("second"));
    assert.ok(!budget.take(10), "nobody overtakes those who wait");
    budget.giveBack(20);
    assert.deepEqual(order, ["first", "second"]);
    assert.equal(budget.heldBytes, 100);
  });

  test("lets one pass that is larger than all when nothing else is held", () => {
    const budget = new ByteBudget(100);
    assert.ok(budget.take(500));
    assert.equal(budget.freeBytes, 0);
    assert.ok(!budget.take(1));
    budget.giveBack(500);
    assert.equal(budget.freeBytes, 100);
  });

  test("a wish that is taken back lets those behind it through", () => {
    const budget = new ByteBudget(100);
    budget.take(60);
    const order: string[] = [];
    const takeBack = budget.whenFree(90, () => order.push("large"));
    budget.whenFree(10, () => order.push("small"));
    assert.deepEqual(order, []);
    takeBack();
    assert.deepEqual(order, ["small"]);
    takeBack();
    budget.giveBack(70);
    assert.deepEqual(order, ["small"]);
  });
});
