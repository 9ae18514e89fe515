import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDurationMs, parseSizeBytes, printDuration, printSize } from "../base/units.ts";
import { defaultTopicSettings, type TopicSettings } from "../engine/engine.ts";
import { hasCode } from "./door-fixture.ts";
import { parseTopicSettings, printTopicSettings } from "./topic-settings.ts";

test("what is printed reads back as itself", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (ms) =>
      assert.equal(parseDurationMs(printDuration(ms), "x"), ms),
    ),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (bytes) =>
      assert.equal(parseSizeBytes(printSize(bytes), "x"), bytes),
    ),
  );
  assert.deepEqual(parseTopicSettings(printTopicSettings(defaultTopicSettings)), defaultTopicSettings);
  const bounded: TopicSettings = {
    ...defaultTopicSettings,
    cleanup: "compact,delete",
    retentionMs: 1,
    retentionBytes: 1,
    tombstoneRetentionMs: 0,
    dirtyRatioMin: 0.015,
    compactionLagMaxMs: 90_000,
    timestampType: "append",
    timestampBeforeMaxMs: 0,
    timestampAfterMaxMs: 3_600_000,
    compression: "lz4",
    minInsyncReplicas: 2,
  };
  assert.deepEqual(parseTopicSettings(printTopicSettings(bounded)), bounded);
  assert.equal(printDuration(604_800_000), "7d");
  assert.equal(printSize(10 * 1024 ** 2), "10MB");
});

test("any JSON is settings or REQUEST_INVALID", () => {
  const names = fc.constantFrom(
    "partitions",
    "retention",
    "retentionSize",
    "cleanup",
    "maxBatch",
    "segment",
    "segmentAge",
    "durability",
    "dirtyRatio",
    "tombstoneRetention",
    "compactionLag",
    "compactionLagMax",
    "timestampType",
    "timestampBehindMax",
    "timestampAheadMax",
    "compression",
    "minInsyncReplicas",
    "x",
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.jsonValue(), fc.dictionary(names, fc.oneof(fc.jsonValue(), fc.constantFrom("1d", "1MB", "forever")))),
      (body) => {
        try {
          parseTopicSettings(body);
        } catch (error) {
          assert.ok(hasCode("REQUEST_INVALID")(error), String(error));
        }
      },
    ),
  );
});
