import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCodeEntry, errorCodes } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { errorCodeOf, kafkaErrors } from "./kafka-errors.ts";

test("the errors are numbered from -1 to 133 without a gap", () => {
  assert.deepEqual(
    Object.values(kafkaErrors),
    Array.from({ length: 135 }, (_, index) => index - 1),
  );
});

test("every Kafka error that our table of errors names exists", () => {
  const names = Object.values(errorCodes).flatMap(({ kafka }: ErrorCodeEntry) => kafka ?? []);
  assert.ok(names.length > 10);
  for (const name of names) assert.ok(Object.hasOwn(kafkaErrors, name), name);
});

test("a failure has the code that its entry names, and everything else is an unknown server error", () => {
  assert.equal(errorCodeOf(new MillraceError("TOPIC_UNKNOWN", "")), 3);
  assert.equal(errorCodeOf(new MillraceError("REQUEST_MALFORMED", "")), 42);
  assert.equal(errorCodeOf(new MillraceError("REQUEST_TIMEOUT", "")), -1);
  for (const other of [new Error("x"), new TypeError("x"), "TOPIC_UNKNOWN", null, undefined, { code: "TOPIC_UNKNOWN" }])
    assert.equal(errorCodeOf(other), -1);
});
