import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Disk } from "./disk.ts";
import { seededRandom } from "./random.ts";
import { realDisk } from "./real-disk.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const withCode = (code: string) => (error: unknown) => (error as NodeJS.ErrnoException).code === code;

async function contents(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  await file.close();
  return bytes.toString();
}

async function put(disk: Disk, path: string, text: string, sync = false): Promise<void> {
  const file = await disk.open(path, "create");
  await file.write([Buffer.from(text)], 0);
  if (sync) await file.datasync();
  await file.close();
}

const temporary = await mkdtemp(join(tmpdir(), "millrace-disk-"));
after(() => rm(temporary, { recursive: true }));

const disks: readonly [string, Disk, string][] = [
  ["real", realDisk, temporary],
  ["simulated", new SimulatedDisk(seededRandom(1)), "/data"],
];

for (const [name, disk, root] of disks) {
  describe(`the ${name} disk`, () => {
    test("reads what was written, wherever and in however many buffers", async () => {
      const folder = join(root, "a", "b");
      await disk.makeDirectory(folder);
      await disk.makeDirectory(folder);
      const file = await disk.open(join(folder, "f"), "exclusive");
      const many = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i};`));
      await file.write(many, 10);
      await file.datasync();
      const whole = Buffer.concat(many);
      const bytes = Buffer.alloc(whole.length + 50);
      assert.equal(await file.read(bytes, 10), whole.length);
      assert.deepEqual(bytes.subarray(0, whole.length), whole);
      assert.equal(await file.read(bytes, whole.length + 10), 0);
      assert.equal(await file.size(), whole.length + 10);
      await file.truncate(12);
      assert.equal(await file.size(), 12);
      await file.truncate(14);
      await file.close();
      assert.equal(await contents(disk, join(folder, "f")), `${"\0".repeat(10)}0;\0\0`);
    });

    test("names can be listed, changed and removed", async () => {
      const folder = join(root, "names");
      await disk.makeDirectory(folder);
      await put(disk, join(folder, "b"), "one");
      await put(disk, join(folder, "a"), "two");
      assert.deepEqual(await disk.list(folder), ["a", "b"]);
      await disk.rename(join(folder, "b"), join(folder, "a"));
      await disk.syncDirectory(folder);
      assert.deepEqual(await disk.list(folder), ["a"]);
      assert.equal(await contents(disk, join(folder, "a")), "one");
      assert.equal(await disk.exists(join(folder, "b")), false);
      await disk.remove(join(folder, "a"));
      await disk.remove(join(folder, "a"));
      await disk.removeDirectory(folder);
      await disk.removeDirectory(folder);
      assert.equal(await disk.exists(folder), false);
    });

    test("says what is wrong in Node's codes", async () => {
      await disk.makeDirectory(join(root, "codes"));
      const path = join(root, "codes", "f");
      await assert.rejects(disk.open(path, "read"), withCode("ENOENT"));
      await assert.rejects(disk.open(path, "write"), withCode("ENOENT"));
      await put(disk, path, "x");
      await assert.rejects(disk.open(path, "exclusive"), withCode("EEXIST"));
      await assert.rejects(disk.makeDirectory(join(path, "below")), withCode("ENOTDIR"));
      await assert.rejects(disk.list(join(root, "missing")), withCode("ENOENT"));
      assert.ok((await disk.freeBytes(root)) > 0);
    });
  });
}

/** What is left of a file after a cut, over many seeds. */
async function survivors(before: (disk: SimulatedDisk) => Promise<void>, path: string): Promise<Set<string>> {
  const found = new Set<string>();
  for (let seed = 0; seed < 300; seed++) {
    const disk = new SimulatedDisk(seededRandom(seed));
    await disk.makeDirectory("/d");
    await disk.syncDirectory("/");
    await before(disk);
    const after = disk.survivor();
    found.add((await after.exists(path)) ? await contents(after, path) : "(missing)");
  }
  return found;
}

test("a power cut keeps what was synced", async () => {
  const found = await survivors(async (disk) => {
    await put(disk, "/d/f", "synced", true);
    await disk.syncDirectory("/d");
  }, "/d/f");
  assert.deepEqual([...found], ["synced"]);
});

test("a power cut may lose a name that was not synced, and bytes that were not", async () => {
  assert.deepEqual(await survivors((disk) => put(disk, "/d/f", "x", true), "/d/f"), new Set(["(missing)", "x"]));
  const bytes = await survivors(async (disk) => {
    await put(disk, "/d/f", "");
    await disk.syncDirectory("/d");
    await put(disk, "/d/f", "x");
  }, "/d/f");
  assert.deepEqual(bytes, new Set(["", "x"]));
});

test("a power cut may tear a write at its sectors, and keep a later one without an earlier", async () => {
  const [a, b] = ["a".repeat(512), "b".repeat(512)];
  const found = await survivors(async (disk) => {
    await put(disk, "/d/f", "");
    await disk.syncDirectory("/d");
    const file = await disk.open("/d/f", "write");
    await file.write([Buffer.from(a + b)], 0);
  }, "/d/f");
  assert.deepEqual(found, new Set(["", a, a + b, "\0".repeat(512) + b]));
});

test("a rename happens or does not, and its content follows its own sync", async () => {
  const found = await survivors(async (disk) => {
    await put(disk, "/d/f", "old", true);
    await put(disk, "/d/f.new", "new", true);
    await disk.syncDirectory("/d");
    await disk.rename("/d/f.new", "/d/f");
  }, "/d/f");
  assert.deepEqual(found, new Set(["old", "new"]));
  const unsynced = await survivors(async (disk) => {
    await put(disk, "/d/f", "old", true);
    await put(disk, "/d/f.new", "new");
    await disk.syncDirectory("/d");
    await disk.rename("/d/f.new", "/d/f");
    await disk.syncDirectory("/d");
  }, "/d/f");
  assert.deepEqual(unsynced, new Set(["", "new"]));
});

test("after the cut nothing works, and the operation in its middle may or may not have happened", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  disk.cutAfter(1);
  await disk.makeDirectory("/d");
  await assert.rejects(disk.open("/d/f", "create"), withCode("EIO"));
  await assert.rejects(disk.exists("/d"), withCode("EIO"));
  assert.equal(disk.isOff, true);
});

test("a process that dies without a power cut loses nothing of what it wrote, but it is not synced", async () => {
  const disk = new SimulatedDisk(seededRandom(3));
  await put(disk, "/f", "x");
  const after = disk.afterKill();
  await assert.rejects(disk.exists("/f"), withCode("EIO"));
  assert.equal(await contents(after, "/f"), "x");
});

test("an injected error hits one operation and changes nothing", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  disk.failAt(2, "ENOSPC");
  const file = await disk.open("/f", "create");
  await assert.rejects(file.write([Buffer.from("x")], 0), withCode("ENOSPC"));
  assert.equal(await file.size(), 0);
  await file.write([Buffer.from("y")], 0);
  assert.equal(await contents(disk, "/f"), "y");
});
