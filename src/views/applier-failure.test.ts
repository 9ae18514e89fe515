import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { MillraceError } from "../base/errors.ts";
import { storeTrouble } from "./applier-failure.ts";
import { PipelineError } from "./applier-pipeline.ts";

function serverSays(code: string, message: string): Error {
  return Object.assign(new pg.DatabaseError(message, 0, "error"), { code, severity: "ERROR" });
}

test("why a group is opened again is told by the code of what is the matter", () => {
  const full = serverSays("53100", "could not extend file: No space left on device");
  const causes: readonly [Error, string][] = [
    [new PipelineError(full, 3, undefined), "STORE_DISK_FULL"],
    [full, "STORE_DISK_FULL"],
    [new PipelineError(new Error("Connection terminated unexpectedly"), 0, undefined), "STORE_UNAVAILABLE"],
    [serverSays("57P03", "the database system is starting up"), "STORE_UNAVAILABLE"],
    [serverSays("53200", "out of memory"), "STORE_UNAVAILABLE"],
    [serverSays("57014", "canceling statement due to statement timeout"), "QUERY_TIMEOUT"],
    [new MillraceError("STORE_AHEAD_OF_LOG", "ahead"), "STORE_AHEAD_OF_LOG"],
    [new TypeError("a bug"), "INTERNAL_ERROR"],
  ];
  for (const [cause, code] of causes) assert.equal(storeTrouble(cause).code, code, cause.message);
});
