import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { realDisk } from "../base/real-disk.ts";
import { lockDirectory } from "./directory-lock.ts";

const root = await mkdtemp(join(tmpdir(), "millrace-lock-"));
after(() => rm(root, { recursive: true }));

const lock = (directory: string, waitMs = 0) =>
  lockDirectory({ directory, disk: realDisk, clock: systemClock, waitMs });

const holder = `
  import { systemClock } from ${JSON.stringify(new URL("../base/clock.ts", import.meta.url).href)};
  import { realDisk } from ${JSON.stringify(new URL("../base/real-disk.ts", import.meta.url).href)};
  import { lockDirectory } from ${JSON.stringify(new URL("./directory-lock.ts", import.meta.url).href)};
  await lockDirectory({ directory: process.argv[1], disk: realDisk, clock: systemClock });
  process.stdout.write("held");
  setInterval(() => {}, 1000);
`;

async function holdElsewhere(directory: string) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", holder, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}

test("a second process is refused with the holder's process id", async () => {
  const directory = join(root, "two");
  const child = await holdElsewhere(directory);
  await assert.rejects(lock(directory), (error) => {
    assert.ok(MillraceError.is(error, "DATA_DIRECTORY_LOCKED"));
    assert.equal(error.details.pid, child.pid);
    return true;
  });
  child.kill("SIGKILL");
  await once(child, "exit");
});

test("a holder that is killed leaves the directory free, and one who waits gets it", async () => {
  const directory = join(root, "killed");
  const child = await holdElsewhere(directory);
  const waiting = lock(directory, 60_000);
  child.kill("SIGKILL");
  const held = await waiting;
  await held.release();
});

test("the lock is one's own until it is released, also within a process", async () => {
  const directory = join(root, "own");
  const held = await lock(directory);
  await assert.rejects(lock(directory), (error) => MillraceError.is(error, "DATA_DIRECTORY_LOCKED"));
  await held.release();
  await (await lock(directory)).release();
});

test("a folder that cannot be one is refused", async () => {
  const file = join(root, "file");
  await writeFile(file, "");
  await assert.rejects(lock(join(file, "data")), (error) => MillraceError.is(error, "DATA_DIRECTORY_UNUSABLE"));
});
