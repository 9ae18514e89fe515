import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { loadDefinitions, loadModule } from "./load-module.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-module-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const library = new URL("../index.ts", import.meta.url).pathname;

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function failure(path: string): Promise<MillraceError> {
  const loaded = await loadModule(path, systemClock);
  assert.ok("error" in loaded);
  assert.ok(MillraceError.is(loaded.error));
  return loaded.error;
}

test("a module's definitions are its exports, and its files are what it imports by relative paths", async () => {
  const deeper = write("deeper.ts", "export const table: string = 'orders';");
  const tables = write("tables.ts", "export { table } from './deeper.ts';");
  const app = write(
    "app.ts",
    `import { postgres } from ${JSON.stringify(library)};
     import { basename } from "node:path";
     import { table } from "./tables.ts";
     export const shop = postgres("shop", { url: "postgres://h/d", tables: [table] });
     export const other = basename("x");`,
  );
  const loaded = await loadModule(app, systemClock);
  assert.ok("definitions" in loaded);
  assert.deepEqual(
    loaded.definitions.map((one) => one.name),
    ["shop"],
  );
  for (const file of [app, tables, deeper]) assert.ok(loaded.files.includes(file), file);
});

test("each load takes the files as they are then, imported ones too", async () => {
  const app = write(
    "edited.ts",
    `import { postgres } from ${JSON.stringify(library)};
     import { name } from "./name.ts";
     export const one = postgres(name, { url: "postgres://h/d", tables: ["a"] });`,
  );
  for (const name of ["first", "second"]) {
    write("name.ts", `export const name = "${name}";`);
    assert.deepEqual(
      (await loadDefinitions(app, systemClock)).map((one) => one.name),
      [name],
    );
  }
});

const unreadable: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ["throws", "const a = 1;\nthrow new Error('no luck');\n", /broken-0\.ts:2: no luck/],
  ["throws no error", "throw 'words';", /it throws "words"/],
  ["throws inside a function", "function f() {\n  throw new TypeError('deep');\n}\n\nf();", /broken-2\.ts:2: deep/],
  ["does not parse", "const a = 1;\nconst = 2;\n", /broken-3\.ts:2/],
  ["is no JavaScript when parsed", "const a = 1;\nconst a = 2;\n", /broken-4\.ts:2/],
  ["cannot be stripped", "export enum Colour { Red }\n", /broken-5\.ts:1/],
  ["imports what is not there", 'import "./nowhere.ts";', /nowhere\.ts/],
  ["imports a package that is not installed", 'import "no-such-package";', /no-such-package/],
  ["imports a name that is not exported", 'import { nothing } from "node:path";', /broken-8\.ts:1/],
];

unreadable.forEach(([what, text, message], i) => {
  test(`a module that ${what} is MODULE_UNREADABLE with its place`, async () => {
    const error = await failure(write(`broken-${i}.ts`, text));
    assert.equal(error.code, "MODULE_UNREADABLE");
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /millrace-generation/);
  });
});

test("a module in a package of CommonJS is told how to make it one of modules", async () => {
  mkdirSync(join(folder, "commonjs"));
  write("commonjs/package.json", '{ "type": "commonjs" }');
  const error = await failure(write("commonjs/app.ts", 'import "node:path";'));
  assert.equal(error.code, "MODULE_UNREADABLE");
  assert.match(error.hint ?? "", /npm pkg set type=module/);
});

test("a module that is not there is MODULE_UNREADABLE with its path", async () => {
  const error = await failure(join(folder, "missing.ts"));
  assert.equal(error.code, "MODULE_UNREADABLE");
  assert.match(error.message, /^there is no \/.*missing\.ts$/);
  assert.match(error.hint ?? "", /millrace init/);
});

test("a broken import is told at its own place, and both files are known", async () => {
  const part = write("part.ts", "export const a = 1;\n\nthrow new Error('part');");
  const app = write("whole.ts", 'import "./part.ts";');
  const loaded = await loadModule(app, systemClock);
  assert.ok("error" in loaded);
  assert.match(loaded.error.message, /part\.ts:3: part/);
  assert.deepEqual(new Set(loaded.files), new Set([app, part]));
});

test("a definition that is refused keeps its code and gets its place", async () => {
  const app = write(
    "refused.ts",
    `import { postgres } from ${JSON.stringify(library)};\n\nexport const s = postgres("Shop", { url: "postgres://h/d", tables: ["a"] });`,
  );
  const error = await failure(app);
  assert.equal(error.code, "DEFINITION_INVALID");
  assert.match(error.message, new RegExp(`${basename(app)}:3: source name "Shop"`));
});

test("a module that never ends loading is given up", async () => {
  const clock = new VirtualClock();
  const loading = loadModule(write("endless.ts", "await new Promise(() => setTimeout(() => {}, 0).unref());"), clock);
  await clock.advance(30_000);
  const loaded = await loading;
  assert.ok("error" in loaded);
  assert.match(loaded.error.message, /endless\.ts was not loaded within 30 s/);
});
