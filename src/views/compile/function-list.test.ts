import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { listedFunctionNames } from "./function-list.ts";

test("the reference lists the functions that a view may call", () => {
  const page = readFileSync(new URL("../../../docs/reference/view-sql.md", import.meta.url), "utf8");
  const section = /<!-- functions -->([\s\S]*?)<!-- end -->/.exec(page)?.[1] ?? "";
  assert.deepEqual(section.match(/(?<=`)[a-z_0-9]+(?=`)/g), listedFunctionNames());
});
