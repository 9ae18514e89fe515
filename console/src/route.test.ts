import assert from "node:assert/strict";
import { test } from "node:test";
import { readRoute } from "./route.ts";

test("a room and a name are read from the address, whatever the name has in it", () => {
  assert.deepEqual(readRoute(""), ["", ""]);
  assert.deepEqual(readRoute("#/topics"), ["topics", ""]);
  assert.deepEqual(readRoute("#/schemas/a%2Fb%20c-value"), ["schemas", "a/b c-value"]);
  assert.deepEqual(readRoute("#/topics/a/b"), ["topics", "a/b"]);
  assert.deepEqual(readRoute("#/topics/100%"), ["topics", "100%"]);
});
