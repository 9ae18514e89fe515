import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { errorCodes } from "./error-codes.ts";

test("a code is in one area, and every area is in the table", async () => {
  const folder = join(import.meta.dirname, "error-codes");
  const areas = await Promise.all(readdirSync(folder).map((file) => import(join(folder, file))));
  const codes = areas.flatMap((area) => Object.values(area).flatMap((table) => Object.keys(table as object)));
  assert.deepEqual([...codes].sort(), Object.keys(errorCodes).sort());
});
