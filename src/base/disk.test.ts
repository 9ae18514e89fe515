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

test("what was not synced survives in any combination, over files and names", async () => {
  const found = new Set<string>();
  for (let seed = 0; seed < 300; seed++) {
    const disk = new SimulatedDisk(seededRandom(seed));
    await put(disk, "/a", "", true);
    await put(disk, "/b", "", true);
    await disk.makeDirectory("/d");
    await disk.syncDirectory("/");
    await put(disk, "/a", "a");
    await put(disk, "/b", "b");
    await put(disk, "/d/c", "c", true);
    await put(disk, "/e", "e", true);
    const after = disk.survivor();
    const names = [(await after.exists("/d/c")) ? "c" : "", (await after.exists("/e")) ? "e" : ""];
    found.add([await contents(after, "/a"), await contents(after, "/b"), ...names].join(""));
  }
  assert.equal(found.size, 16);
});

test("a file is what a plain array of bytes is, and a survivor shares nothing with the disk before", async () => {
  const random = seededRandom(5);
  let disk = new SimulatedDisk(random);
  let model = Buffer.alloc(0);
  await put(disk, "/f", "", true);
  await disk.syncDirectory("/");
  for (let i = 0; i < 400; i++) {
    const file = await disk.open("/f", "write");
    const at = random.below(20_000);
    const kind = random.below(8);
    if (kind === 0) {
      await file.truncate(at);
      model = Buffer.concat([model, Buffer.alloc(20_000)], at);
    } else if (kind < 6) {
      const bytes = kind === 1 ? Buffer.alloc(random.below(9000)) : random.bytes(random.below(6000));
      await file.write([bytes.subarray(0, 100), bytes.subarray(100)], at);
      if (bytes.length > 0) {
        model = Buffer.concat([model, Buffer.alloc(29_000)], Math.max(model.length, at + bytes.length));
        bytes.copy(model, at);
      }
    } else if (kind === 6) {
      const target = Buffer.alloc(random.below(9000), 1);
      const count = await file.read(target, at);
      assert.deepEqual(target.subarray(0, count), model.subarray(at, at + target.length));
    } else {
      await file.datasync();
      const before = disk;
      disk = disk.survivor();
      await put(disk, "/f", "x".repeat(5000));
      assert.deepEqual(before.contents("/f"), model);
      disk = before.survivor();
    }
    assert.deepEqual(disk.contents("/f"), model);
  }
});

/** A disk with two durable files of 2,000 bytes. */
async function twoFiles(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk(seededRandom(1));
  await put(disk, "/a", "a".repeat(2000), true);
  await put(disk, "/b", "b".repeat(2000), true);
  await disk.syncDirectory("/");
  return disk;
}

test("the bytes of a lost sync are seen until the machine goes down, and a later sync does not bring them back", async () => {
  const disk = await twoFiles();
  disk.loseNextSync("/a");
  const file = await disk.open("/a", "write");
  await file.write([Buffer.from("lost")], 0);
  await file.datasync();
  await file.write([Buffer.from("kept")], 10);
  await file.datasync();
  assert.equal((await contents(disk, "/a")).slice(0, 14), "lostaaaaaakept");
  const killed = disk.afterKill();
  assert.equal((await contents(killed, "/a")).slice(0, 14), "lostaaaaaakept");
  assert.equal((await contents(killed.survivor(), "/a")).slice(0, 14), "aaaaaaaaaakept");
});

test("after a failed sync the bytes count as clean: some are on the platter, and no later sync takes the others there", async () => {
  const found = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const disk = new SimulatedDisk(seededRandom(seed));
    await put(disk, "/f", "old", true);
    await disk.syncDirectory("/");
    disk.failNextSync((path) => path.endsWith("f"));
    const file = await disk.open("/f", "write");
    await file.write([Buffer.from("new")], 0);
    await assert.rejects(file.datasync(), withCode("EIO"));
    assert.equal(await contents(disk, "/f"), "new");
    await file.datasync();
    found.add(await contents(disk.survivor(), "/f"));
  }
  assert.deepEqual(found, new Set(["old", "new"]));
});

test("an ignored sync makes nothing durable, after the crash too", async () => {
  const found = await survivors(async (disk) => {
    disk.ignoreSyncs((operation, path) => operation === "datasync" && path === "/d/f");
    await put(disk, "/d/f", "x", true);
    await disk.syncDirectory("/d");
  }, "/d/f");
  assert.deepEqual(found, new Set(["", "x"]));
  const names = await survivors(async (disk) => {
    disk.ignoreSyncs((operation) => operation === "syncDirectory");
    await put(disk, "/d/f", "x", true);
    await disk.syncDirectory("/d");
  }, "/d/f");
  assert.deepEqual(names, new Set(["(missing)", "x"]));
});

test("a misdirected write is seen where it belongs, and lies elsewhere after a crash", async () => {
  for (const to of ["/a", "/b"]) {
    const disk = await twoFiles();
    disk.misdirectNextWrite("/a", to, 512);
    const file = await disk.open("/a", "write");
    await file.write([Buffer.from("first")], 1024);
    await file.write([Buffer.from("second")], 1536);
    await file.datasync();
    assert.equal((await contents(disk, "/a")).slice(1024, 1030), "firsta");
    const after = disk.survivor();
    assert.equal((await contents(after, "/a")).slice(1024, 1030), "aaaaaa");
    assert.equal((await contents(after, to)).slice(512, 517), "first");
    assert.equal((await contents(after, "/a")).slice(1536, 1542), "second");
  }
});

test("a platter may turn bytes around, forget a range, a file's end, or what was written last", async () => {
  const disk = await twoFiles();
  const image = disk.imageOf("/a");
  await put(disk, "/a", "A".repeat(3000), true);
  disk.corrupt("/a", 0, 1);
  disk.punchHole("/a", 100, 200);
  disk.restore("/a", image, { fromBytes: 1000, toBytes: 1100 });
  disk.cutShort("/a", 2500);
  const expected = `@${"A".repeat(99)}${"\0".repeat(100)}${"A".repeat(800)}${"a".repeat(100)}${"A".repeat(1400)}`;
  assert.equal(await contents(disk, "/a"), expected);
  const after = disk.survivor();
  assert.equal(await contents(after, "/a"), expected);
  after.restore("/a", image);
  assert.equal(await contents(after.survivor(), "/a"), "a".repeat(2000));
});

test("two files may change places", async () => {
  const disk = await twoFiles();
  disk.swap("/a", "/b");
  assert.equal(await contents(disk, "/a"), "b".repeat(2000));
  assert.equal(await contents(disk.survivor(), "/b"), "a".repeat(2000));
});

test("a range that cannot be read fails with EIO, also after a crash and under another name, until it is healed", async () => {
  const disk = await twoFiles();
  disk.failReads("/a", 512, 1024);
  await disk.rename("/a", "/c");
  await disk.syncDirectory("/");
  const after = disk.survivor();
  const file = await after.open("/c", "read");
  assert.equal(await file.read(Buffer.alloc(512), 0), 512);
  await assert.rejects(file.read(Buffer.alloc(2), 511), withCode("EIO"));
  await assert.rejects(file.read(Buffer.alloc(1), 1023), withCode("EIO"));
  assert.equal(await file.read(Buffer.alloc(1), 1024), 1);
  after.healReads("/c");
  assert.equal(await contents(after, "/c"), "a".repeat(2000));
});

test("a full disk takes what fits, refuses the rest with ENOSPC, and takes more when a file is removed", async () => {
  const disk = await twoFiles();
  assert.equal(disk.usedBytes, 8192);
  disk.setCapacityBytes(16_384);
  assert.equal(await disk.freeBytes(), 8192);
  const file = await disk.open("/c", "create");
  await file.truncate(100_000);
  assert.equal(await disk.freeBytes(), 8192);
  await assert.rejects(file.write([Buffer.alloc(10_000, 1)], 1000), withCode("ENOSPC"));
  assert.equal(disk.contents("/c").indexOf(0, 1000), 8192);
  await file.write([Buffer.from("there was room before")], 0);
  await assert.rejects(put(disk, "/d", "x"), withCode("ENOSPC"));
  await disk.remove("/b");
  await put(disk, "/d", "x");
  const after = disk.afterKill();
  await assert.rejects(put(after, "/e", "x"), withCode("ENOSPC"));
  await after.remove("/a");
  await put(after, "/e", "x");
});

test("who makes the same folder or file at the same moment gets the same one", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  await Promise.all([disk.makeDirectory("/d/x"), disk.makeDirectory("/d/y")]);
  assert.deepEqual(await disk.list("/d"), ["x", "y"]);
  const opening = await Promise.allSettled([disk.open("/f", "exclusive"), disk.open("/f", "exclusive")]);
  assert.deepEqual(opening.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const [one, two] = await Promise.all([disk.open("/g", "create"), disk.open("/g", "create")]);
  await one.write([Buffer.from("x")], 0);
  assert.equal(await two.size(), 1);
});
