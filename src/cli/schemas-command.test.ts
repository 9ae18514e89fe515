import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, before, test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openTestDoor } from "../http/door-fixture.ts";
import type { HttpDoor } from "../http/http-door.ts";
import { avro, type OpenRegistry, openRegistry } from "../registry/registry.fixture.ts";
import { runCommandLine } from "./command-line.ts";
import { openTerminal } from "./terminal.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-schemas-"));
let open: OpenRegistry;
let door: HttpDoor;

before(async () => {
  open = await openRegistry();
  door = await openTestDoor({ registry: open.registry, engine: open.engine });
  mkdirSync(join(folder, ".millrace"));
  writeFileSync(join(folder, ".millrace", "running.json"), JSON.stringify({ addresses: { http: door.url } }));
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await door.close();
  await open[Symbol.asyncDispose]();
});

async function millrace(args: readonly string[], input = "") {
  let [out, errors, failed] = ["", "", 0];
  const writable = (take: (text: string) => void) =>
    new Writable({
      write(chunk, _encoding, done) {
        take(String(chunk));
        done();
      },
    });
  const streams = {
    out: writable((text) => {
      out += text;
    }),
    errors: writable((text) => {
      errors += text;
    }),
  };
  const code = await runCommandLine(["schemas", ...args], {
    terminal: openTerminal(streams as never, () => true),
    clock: new VirtualClock(),
    directory: folder,
    input: (async function* () {
      if (input !== "") yield Buffer.from(input);
    })(),
    onSignal: () => () => undefined,
    onLauncherGone() {},
    exit() {},
    fail(exitCode) {
      failed = exitCode;
    },
  });
  return { exitCode: code || failed, out, errors };
}

test("schemas are registered from a file or stdin, listed, shown, checked and deleted", async () => {
  const file = join(folder, "order.avsc");
  writeFileSync(file, avro("id").text);
  assert.match((await millrace(["register", "orders-value", "order.avsc"])).out, /id 1/);
  assert.match((await millrace(["register", "orders-value"], avro("id", "name?").text)).out, /id 2/);
  const asked = await millrace(["register", "a/b", "--type", "json", "--json"], '{"type":"object"}');
  assert.deepEqual(JSON.parse(asked.out), { id: 3 });
  const { out } = await millrace(["list"]);
  assert.match(out, /a\/b +1 +3 +JSON/);
  assert.match(out, /orders-value +2 +2 +AVRO/);
  assert.equal(JSON.parse((await millrace(["list", "--json"])).out).length, 2);
  const shown = await millrace(["show", "orders-value", "--at", "1"]);
  assert.match(shown.out, /version +1/);
  assert.match(shown.out, /"name": "Order"/);
  const good = await millrace(["check", "orders-value"], avro("id", "name?", "more?").text);
  assert.equal(good.exitCode, 0);
  const bad = await millrace(["check", "orders-value"], avro("id", "more").text);
  assert.equal(bad.exitCode, 1);
  assert.match(bad.out, /READER_FIELD_MISSING_DEFAULT_VALUE/);
  assert.match((await millrace(["delete", "orders-value", "--at", "1"])).out, /deleted of orders-value: version 1/);
  assert.match((await millrace(["delete", "orders-value"])).out, /version 2/);
  assert.match((await millrace(["list", "--deleted"])).out, /orders-value \(deleted\)/);
  assert.match((await millrace(["delete", "orders-value", "--permanent"])).out, /erased of orders-value: version 1, 2/);
});

test("schemas are built on others", async () => {
  await millrace(["register", "base", "--type", "json"], '{"type":"string"}');
  const reference = ["--reference", "base.json=base:1"];
  const done = await millrace(["register", "user", "--type", "json", ...reference], '{"$ref":"base.json"}');
  assert.equal(done.exitCode, 0, done.errors);
  assert.match((await millrace(["show", "user"])).out, /built on +base\.json \(base, 1\)/);
  assert.match((await millrace(["delete", "base"])).errors, /SCHEMA_REFERENCED/);
});

test("what is refused is told with its code", async () => {
  assert.match((await millrace(["show", "nobody"])).errors, /SUBJECT_UNKNOWN/);
  assert.match((await millrace(["register", "x"], "{")).errors, /SCHEMA_INVALID/);
  assert.match((await millrace(["register", "x", "none.avsc"])).errors, /cannot be read/);
  assert.match((await millrace(["register", "x", "--reference", "y"], "1")).errors, /no reference/);
});
