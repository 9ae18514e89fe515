import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { errorCodes } from "../src/base/error-codes.ts";
import { checkDocs } from "./check-docs.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "millrace-docs-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const check = () => checkDocs(root, { write: false });

test("a link that leads nowhere is named with its line; anchors, folders and the web are known", () => {
  write("docs/a.md", "# A page: of `code`\n\n## Two words\n");
  write(
    "README.md",
    "[a](docs/a.md) [b](docs/a.md#two-words) [c](docs/) [d](https://x.example/y)\n`[no](link)`\n[e](docs/b.md)\n[f](docs/a.md#three)\n",
  );
  assert.deepEqual(check(), ["README.md:3: nothing is at docs/b.md", "README.md:4: no heading for docs/a.md#three"]);
});

test("a block that is marked must stand in its file, in pieces too", () => {
  write("examples/app.ts", "const a = 1;\nconst b = 2;\nconst c = 3;\n");
  write("README.md", "<!-- from examples/app.ts -->\n```ts\nconst a = 1;\n// …\nconst c = 3;\n```\n");
  assert.deepEqual(check(), []);
  write("README.md", "<!-- from examples/app.ts -->\n```ts\nconst a = 5;\n```\n");
  assert.deepEqual(check(), ['README.md:1: this code is not in examples/app.ts: "const a = 5;"']);
  write("README.md", "<!-- from examples/other.ts -->\n```ts\n1\n```\n");
  assert.match(check()[0] ?? "", /other\.ts, which the code is taken from, is not there/);
});

test("a table of the reference is that of the code, and can be written again", () => {
  write("docs/errors.md", "before\n<!-- table: errors -->\n| old |\n<!-- end -->\nafter\n");
  assert.deepEqual(check(), ["docs/errors.md:1: a table is out of date: npm run check -- --write"]);
  assert.deepEqual(checkDocs(root, { write: true }), []);
  assert.deepEqual(check(), []);
  const text = readFileSync(join(root, "docs/errors.md"), "utf8");
  for (const code of Object.keys(errorCodes)) assert.ok(text.includes(`| \`${code}\` |`), code);
  assert.match(text, /^before\n[\s\S]*\nafter\n$/);
});
