import assert from "node:assert/strict";
import { test } from "node:test";
import { compatibilityLevels } from "../../src/schema/registry/compatibility.ts";
import { levelSentence, levels } from "./compatibility-levels.ts";

test("every level that the registry knows can be chosen, and has its words", () => {
  assert.deepEqual([...levels].sort(), [...compatibilityLevels].sort());
  for (const level of levels) assert.notEqual(levelSentence(level), "");
});
