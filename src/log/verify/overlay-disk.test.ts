import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { OverlayDisk } from "./overlay-disk.ts";
import { bytesOn } from "./verify.fixture.ts";

async function write(disk: SimulatedDisk | OverlayDisk, file: string, text: string, at = 0): Promise<void> {
  const handle = await disk.open(file, "create");
  await handle.write([Buffer.from(text)], at);
  await handle.close();
}

async function read(disk: SimulatedDisk | OverlayDisk, file: string): Promise<string> {
  const handle = await disk.open(file, "read");
  const bytes = Buffer.alloc(100);
  const count = await handle.read(bytes, 0);
  assert.equal(count, await handle.size());
  await handle.close();
  return bytes.toString("latin1", 0, count);
}

test("a reader of the overlay sees every change, and the disk below none", async () => {
  const below = new SimulatedDisk(seededRandom(1));
  await below.makeDirectory("/d");
  for (const [name, text] of Object.entries({ a: "aaaaaa", b: "bbbbbb", c: "cccccc" }))
    await write(below, `/d/${name}`, text);
  const before = await bytesOn(below);
  const { operations } = below;
  const disk = new OverlayDisk(below);
  await write(disk, "/d/a", "XX", 2);
  await write(disk, "/d/a", "Y", 8);
  assert.equal(await read(disk, "/d/a"), "aaXXaa\0\0Y");
  const b = await disk.open("/d/b", "write");
  await b.truncate(2);
  await b.write([Buffer.from("z")], 4);
  await b.close();
  assert.equal(await read(disk, "/d/b"), "bb\0\0z");
  await disk.rename("/d/b", "/d/moved");
  await disk.remove("/d/c");
  await write(disk, "/d/new", "new");
  assert.deepEqual(await disk.list("/d"), ["a", "moved", "new"]);
  assert.equal(await read(disk, "/d/moved"), "bb\0\0z");
  assert.equal(await disk.exists("/d/b"), false);
  assert.deepEqual([disk.hasRemoved("/d/c"), disk.writtenBytes("/d/a")], [true, 3]);
  await assert.rejects(disk.open("/d/c", "read"), { code: "ENOENT" });
  await assert.rejects(disk.open("/d/new", "exclusive"), { code: "EEXIST" });
  assert.deepEqual(await bytesOn(below), before);
  assert.equal(below.operations, operations);
  assert.equal(below.openFiles, 0);
});

test("the overlay does what the simulated disk does", async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const below = new SimulatedDisk(random);
    const twin = new SimulatedDisk(random);
    for (const disk of [below, twin]) {
      await disk.makeDirectory("/d");
      await write(disk, "/d/0", "0123456789");
      await write(disk, "/d/1", "abcdefghij");
    }
    const disk = new OverlayDisk(below);
    for (let i = 0; i < 12; i++) {
      const [file, other] = [`/d/${random.below(3)}`, `/d/${random.below(3)}`];
      const kind = random.below(4);
      const at = random.below(15);
      for (const one of [disk, twin]) {
        if (kind === 0) await write(one, file, `<${i}>`, at);
        else if (kind === 1) await one.remove(file);
        else if (!(await one.exists(file))) continue;
        else if (kind === 2 && file !== other) await one.rename(file, other);
        else if (kind === 3) {
          const handle = await one.open(file, "write");
          await handle.truncate(at);
          await handle.close();
        }
      }
      const names = await twin.list("/d");
      assert.deepEqual(await disk.list("/d"), names);
      for (const name of names)
        assert.equal(await read(disk, `/d/${name}`), await read(twin, `/d/${name}`), `seed ${seed}`);
    }
  }
});
