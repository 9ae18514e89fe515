import assert from "node:assert/strict";
import { test } from "node:test";
import { Copies } from "./copies.ts";

test("equal rows come behind each other and go from the last one, whatever others do", () => {
  const copies = new Copies();
  const ids = [copies.add("a"), copies.add("b"), copies.add("a"), copies.add("a")];
  assert.deepEqual(ids, ["a 1", "b 1", "a 2", "a 3"]);
  assert.deepEqual([copies.remove("a"), copies.remove("b"), copies.remove("a")], ["a 3", "b 1", "a 2"]);
  assert.deepEqual([copies.add("b"), copies.add("a")], ["b 1", "a 2"]);
  copies.clear();
  assert.equal(copies.add("a"), "a 1");
});
