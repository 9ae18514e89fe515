import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { breachesIn, breachesOf } from "../tools/floors.ts";

test("every import of the house points down, or along a named edge", () => {
  assert.deepEqual(breachesIn(join(import.meta.dirname, "..")), []);
});

// Canaries: each is a breach that the scan must see, so that a scan that sees nothing cannot pass.
const breaches: readonly (readonly [what: string, path: string, text: string, target: string])[] = [
  ["upwards", "src/log/x.ts", 'import { Engine } from "../engine/engine.ts";', "src/engine/engine.ts"],
  ["upwards by type only", "src/base/x.ts", 'import type { R } from "../records/record.ts";', "src/records/record.ts"],
  ["upwards by export", "src/log/x.ts", 'export * from "../views/a.ts";', "src/views/a.ts"],
  ["upwards when called", "src/log/x.ts", 'const a = await import("../views/a.ts");', "src/views/a.ts"],
  ["sideways", "src/capture/x.ts", 'import { a } from "../views/a.ts";', "src/views/a.ts"],
  ["access past the catalogue", "src/access/x.ts", 'import { a } from "../engine/a.ts";', "src/engine/a.ts"],
  ["against an edge", "src/views/x.ts", 'import { a } from "../feeds/a.ts";', "src/feeds/a.ts"],
  ["to the programme", "src/http/x.ts", 'import { s } from "../settings.ts";', "src/settings.ts"],
  ["out of the house", "src/cli/x.ts", 'import { a } from "../../tools/a.ts";', "tools/a.ts (outside src/)"],
  ["to a test", "src/log/x.ts", 'import { a } from "./a.test.ts";', "src/log/a.test.ts (a test)"],
  ["base to a library", "src/base/x.ts", 'import pino from "pino";', "pino (base/ imports node: only)"],
  ["a folder without a floor", "src/utils/x.ts", "export {};", "src/utils/ (not in the table of floors)"],
  ["the clock", "src/log/x.ts", "const at = Date.now();", "Date.now"],
  ["the clock by another name", "src/log/x.ts", "const at = new Date();", "new Date() without a time"],
  ["spans", "src/log/x.ts", "const at = performance.now();", "performance"],
  ["chance", "src/log/x.ts", "const p = Math.random();", "Math.random"],
  ["ids", "src/http/x.ts", 'import { randomUUID } from "node:crypto";', "randomUUID"],
  ["timers", "src/log/x.ts", "setTimeout(() => {}, 5);", "a timer"],
  ["timers in a template", "src/log/x.ts", "const a = `${setTimeout(() => {}, 5)}`;", "a timer"],
  ["files", "src/log/x.ts", 'import { open } from "node:fs/promises";', "node:fs"],
  ["sockets", "src/log/x.ts", 'import net from "node:net";', "a socket"],
  ["sockets of a feature", "src/capture/x.ts", 'import net from "node:net";', "a socket"],
  ["processes", "src/http/x.ts", 'import { spawn } from "node:child_process";', "child_process"],
  ["the environment", "src/cli/x.ts", "const a = process.env.HOME;", "process.env"],
  ["the client's libraries", "client/src/x.ts", 'import pg from "pg";', "pg"],
  ["the client in the house", "client/src/x.ts", 'import { a } from "../../src/index.ts";', "../../src/index.ts"],
  ["the console's libraries", "console/src/x.ts", 'import react from "react";', "react"],
];

for (const [what, path, text, target] of breaches) {
  test(`a breach is named: ${what}`, () => {
    assert.deepEqual(breachesOf(path, text), [`${path} -> ${target}`]);
  });
}

const fine: readonly (readonly [what: string, path: string, text: string])[] = [
  ["down", "src/views/x.ts", 'import { a } from "../log/a.ts"; import { b } from "./b.ts"; import pg from "pg";'],
  ["along an edge", "src/feeds/x.ts", 'import type { Views } from "../views/view-info.ts";'],
  ["the catalogue over the log", "src/catalog/x.ts", 'import type { Engine } from "../engine/engine.ts";'],
  ["access over the catalogue", "src/access/x.ts", 'import { a } from "../catalog/catalogue-topic.ts";'],
  ["in base", "src/base/x.ts", 'import { open } from "node:fs/promises"; setTimeout(() => {}, Date.now());'],
  [
    "in the store",
    "src/store/x.ts",
    'import { spawn } from "node:child_process"; import "node:net"; import "node:fs";',
  ],
  ["the settings", "src/settings.ts", "export const home = process.env.HOME;"],
  ["in a comment", "src/log/x.ts", "// Date.now() and `\n/* import a from '../views/a.ts' */"],
  ["in a string", "src/log/x.ts", "const a = 'Date.now()' + `setTimeout(${a})` + \"process.env\";"],
  ["in an expression", "src/log/x.ts", "const a = b / 2 / 3; const c = /Date.now\\(\\)'/.test(a);"],
  ["a method of that name", "src/log/x.ts", "clock.performance.now(); this.setTimeout(5); new Date(5);"],
  ["a type of a socket", "src/views/x.ts", 'import type { Socket } from "node:net";'],
  ["a test", "src/log/x.test.ts", 'import { a } from "../views/a.ts"; setTimeout(() => {}, 5);'],
];

for (const [what, path, text] of fine) {
  test(`no breach: ${what}`, () => assert.deepEqual(breachesOf(path, text), []));
}
