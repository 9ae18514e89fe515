import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { sql, view } from "../catalog/definitions.ts";
import { compileViewSync, loadParser } from "./compile.ts";
import { makeQuery, makeTables } from "./law-generator.fixture.ts";
import { pick } from "./law-pieces.fixture.ts";

await loadParser();

test("damaged definitions are refused with a code, never with a crash", () => {
  const seed = 3;
  const random = seededRandom(seed);
  const tables = makeTables(random);
  let compiled = 0;
  for (let i = 0; i < 1500; i++) {
    const words = makeQuery(random, tables).text.split(/(?<=\W)|(?=\W)/);
    for (let edits = random.below(3); edits > 0; edits--) {
      const at = random.below(words.length);
      const other = pick(random, [
        ...words,
        "(",
        ")",
        "*",
        "'",
        ",",
        "null",
        "select",
        "union all",
        "over ()",
        "::text",
        "[1]",
        "--",
        "/*",
        "$1",
        "é",
        "distinct",
      ]);
      words.splice(at, random.below(2), ...(random.below(3) === 0 ? [] : [other]));
    }
    try {
      compileViewSync({ view: view("v", { ...sql``, text: words.join("") }), mirrors: tables, version: 1 });
      compiled++;
    } catch (error) {
      assert.ok(MillraceError.is(error) && error.code.startsWith("VIEW_"), `seed ${seed}: ${words.join("")}\n${error}`);
    }
  }
  assert.ok(compiled > 300, `only ${compiled} compiled`);
});
