import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { after, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { realDisk } from "../base/real-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { lockDirectory } from "../log/directory-lock.ts";
import { Log } from "../log/log.ts";
import { laterTopicSettings } from "../log/topic-catalogue.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { runCommandLine } from "./command-line.ts";
import { openTerminal } from "./terminal.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-log-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;

interface Said {
  readonly exitCode: number;
  readonly out: string;
  readonly errors: string;
}

async function millrace(args: readonly string[], { input = "", screen = false } = {}): Promise<Said> {
  let out = "";
  let errors = "";
  let failed = 0;
  const writable = (take: (text: string) => void) => {
    return new Writable({
      write(chunk, _encoding, done) {
        take(String(chunk));
        done();
      },
    });
  };
  const outStream = writable((text) => {
    out += text;
  });
  const errorStream = writable((text) => {
    errors += text;
  });
  const terminal = openTerminal(
    { out: outStream, errors: Object.assign(errorStream, screen ? { isTTY: true } : {}) },
    () => true,
  );
  const code = await runCommandLine(args, {
    terminal,
    clock: new VirtualClock(),
    directory: folder,
    input: (async function* () {
      if (input !== "") yield Buffer.from(input);
    })(),
    onSignal: () => () => undefined,
    onLauncherGone() {},
    exit() {},
    fail: (exitCode) => {
      failed = exitCode;
    },
  });
  return { exitCode: code || failed, out, errors };
}

/** Topic `orders` with 30 records in several segments. Answers the data directory and the segments. */
async function makeData(): Promise<{ data: string; segments: string[] }> {
  const data = join(folder, `data${++made}`);
  const log = await Log.open({
    disk: realDisk,
    directory: join(data, "log"),
    clock: systemClock,
    random: seededRandom(made),
    diagnostics: silentDiagnostics,
    limits: { diskReserveBytes: 0, journalFileBytes: 64 * 1024, directBytesMin: 1 },
  });
  const settings = {
    ...laterTopicSettings,
    partitions: 1,
    retentionMs: null,
    retentionBytes: null,
    cleanup: "delete",
    batchBytesMax: 1024 * 1024,
    segmentBytesMax: 1000,
    durability: "fsync",
  } as const;
  await log.createTopic("orders", settings, false);
  for (let i = 0; i < 30; i++) {
    await log.append("orders", 0, encodeBatch([{ key: null, value: Buffer.from(`order ${i}`) }], 1000));
  }
  const { directory } = log.partition("orders", 0).place;
  await log.close();
  const names = readdirSync(directory).filter((name) => name.endsWith(".log"));
  return { data, segments: names.map((name) => join(directory, name)) };
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ 0xff;
  writeFileSync(file, bytes);
}

test("verify says that all is well, exit 0, with what it looked at", async () => {
  const { data } = await makeData();
  const said = await millrace(["log", "verify", "--data", data]);
  assert.equal(said.exitCode, 0);
  assert.match(said.out, /looked at 2 topics, 2 partitions, \d+ segments, 30 batches, 30 records/);
  assert.match(said.out, /ok {2}nothing is damaged/);
  assert.match(said.errors, /^read .* of /);
});

test("verify names the damage with its place and the way out, exit 1, and --json has the same as data", async () => {
  const { data, segments } = await makeData();
  flip(segments[1] as string, 150);
  const said = await millrace(["log", "verify", "--data", data]);
  assert.equal(said.exitCode, 1);
  assert.match(said.out, /damage {2}topic orders, partition 0, offset \d+ \(BATCH_DAMAGED\)/);
  assert.match(said.out, /topics\/.*\.log, byte \d+\n/);
  assert.match(said.out, /millrace log repair/);
  const json = await millrace(["log", "verify", "--data", data, "--topic", "orders", "--json"]);
  assert.equal(json.exitCode, 1);
  const { items, totals } = JSON.parse(json.out);
  assert.equal(items[0].code, "BATCH_DAMAGED");
  assert.equal(items[0].lostRecords, 1);
  assert.equal(totals.topics, 1);
});

test("repair prints what it would do, exit 4, and changes nothing without a yes", async () => {
  const { data, segments } = await makeData();
  flip(segments[1] as string, 120);
  const before = readFileSync(segments[1] as string);
  for (const options of [[], ["--json"]]) {
    const said = await millrace(["log", "repair", "--data", data, ...options]);
    assert.equal(said.exitCode, 4);
    assert.match(said.out, /orders\/0: write .*\.log anew as .*\.1\.log/);
  }
  const asked = await millrace(["log", "repair", "--data", data], { screen: true, input: "n\n" });
  assert.equal(asked.exitCode, 4);
  assert.match(asked.errors, /Do it\? \[y\/N\]/);
  assert.deepEqual(readFileSync(segments[1] as string), before);
  assert.ok(!existsSync(join(data, "log", "repaired")));
});

test("repair does it with --yes, or when it is told so, and all is well then", async () => {
  for (const [args, how] of [
    [["--yes"], {}],
    [[], { screen: true, input: "yes\n" }],
    [["--topic", "orders", "--partition", "0", "--yes", "--json"], {}],
  ] as const) {
    const { data, segments } = await makeData();
    flip(segments[1] as string, 120);
    const said = await millrace(["log", "repair", "--data", data, ...args], how);
    assert.equal(said.exitCode, 0, said.errors);
    assert.match(said.out, /repaired/);
    assert.ok(existsSync(join(data, "log", "repaired", "0001", "manifest.json")));
    assert.equal((await millrace(["log", "verify", "--data", data])).exitCode, 0);
    const again = await millrace(["log", "repair", "--data", data, "--yes"]);
    assert.equal(again.exitCode, 0);
    assert.match(again.out, /nothing to repair/);
  }
});

test("a data directory that is in use is refused, exit 3, and its files are not touched", async () => {
  const { data } = await makeData();
  const lock = await lockDirectory({ directory: data, disk: realDisk, clock: systemClock });
  for (const verb of ["verify", "repair"]) {
    const said = await millrace(["log", verb, "--data", data]);
    assert.equal(said.exitCode, 3);
    assert.match(said.errors, /DATA_DIRECTORY_LOCKED/);
  }
  await lock.release();
});

test("a damaged catalogue is not repaired: the way out is a backup", async () => {
  const { data } = await makeData();
  flip(join(data, "log", "catalogue"), 60);
  assert.equal((await millrace(["log", "verify", "--data", data])).exitCode, 1);
  const said = await millrace(["log", "repair", "--data", data, "--yes"]);
  assert.equal(said.exitCode, 3);
  assert.match(said.errors, /Restore the file from a backup[\s\S]*LOG_DAMAGED/);
});

test("wrong calls exit 2: no log there, a partition without a topic", async () => {
  const nowhere = await millrace(["log", "verify", "--data", join(folder, "none")]);
  assert.equal(nowhere.exitCode, 2);
  assert.match(nowhere.errors, /there is no log in .*none\n {2}Name the data directory/);
  const { data } = await makeData();
  assert.equal((await millrace(["log", "repair", "--data", data, "--partition", "0"])).exitCode, 2);
  assert.equal((await millrace(["log", "verify", "--data", data, "--topic", "none"])).exitCode, 1);
});
