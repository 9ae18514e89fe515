import assert from "node:assert/strict";
import { test } from "node:test";
import { realDisk } from "../base/real-disk.ts";
import { openConsoleFiles } from "./console-files.ts";

const files = openConsoleFiles(realDisk);

test("everything that the console's page imports is served, as JavaScript", async () => {
  const page = await files("/");
  assert.equal(page?.type, "text/html; charset=utf-8");
  const seen = new Set<string>();
  const waiting = [...(page?.body.toString().matchAll(/"(\/console\/[^"]+)"/g) ?? [])].map((match) => match[1] ?? "");
  assert.ok(waiting.length >= 8);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const file = await files(path);
    assert.ok(file, path);
    if (!path.startsWith("/console/src/")) continue;
    assert.doesNotMatch(file.body.toString(), /^import type/m);
    for (const match of file.body.toString().matchAll(/from "\.\/([^"]+)"/g)) waiting.push(`/console/src/${match[1]}`);
  }
  assert.ok(seen.has("/console/src/overview.ts"));
});

test("the page's policy lets only our own files run", async () => {
  const policy = (await files("/"))?.headers?.["content-security-policy"] ?? "";
  assert.match(policy, /script-src 'self' 'sha256-[A-Za-z0-9+/=]{44}'/);
  assert.doesNotMatch(policy, /unsafe/);
});

test("nothing else is served", async () => {
  for (const path of [
    "/console/",
    "/console/package.json",
    "/console/src/../package.json",
    "/console/lib/pg.js",
    "/x",
  ]) {
    assert.equal(await files(path), undefined, path);
  }
});
