import assert from "node:assert/strict";
import { test } from "node:test";
import { freshCounts } from "../../src/capture/webhooks/hook-status.ts";
import { refusals } from "./hook-reasons.ts";

test("what was refused is told by reason, the most frequent first", () => {
  const told = refusals({ quota: 1, signature: 4, size: 0, later: 2 });
  assert.deepEqual(
    told.map(({ reason, calls }) => [reason, calls]),
    [
      ["signature", 4],
      ["later", 2],
      ["quota", 1],
    ],
  );
});

test("every reason that the program counts has its words", () => {
  const counts = Object.fromEntries(Object.keys(freshCounts().refused).map((reason) => [reason, 1]));
  for (const { reason, about } of refusals(counts)) assert.notEqual(about, "", reason);
});
