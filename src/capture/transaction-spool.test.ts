import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { TransactionSpool } from "./transaction-spool.ts";

const directory = "/spill/shop";

async function replayed(spool: TransactionSpool, xid: number): Promise<string[]> {
  const told: string[] = [];
  await spool.replay(xid, (lsn, message) => {
    told.push(`${lsn} ${message}`);
    return undefined;
  });
  return told;
}

test("what was spooled comes back in order, from memory and from the disk, and leaves nothing", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const random = seededRandom(2);
  const spool = await TransactionSpool.open(disk, directory, 10_000);
  const expected = new Map<number, string[]>([
    [1, []],
    [2, []],
    [3, []],
  ]);
  for (let i = 0; i < 3000; i++) {
    const xid = 1 + random.below(3);
    const text = `I${i}-${"x".repeat(random.below(100) === 0 ? 3_000_000 : random.below(200))}`;
    spool.add(xid, xid, i * 2 ** 30, Buffer.from(text));
    expected.get(xid)?.push(`${i * 2 ** 30} ${text}`);
    while (spool.full) await spool.spill();
  }
  assert.ok((await disk.list(directory)).length > 0);
  for (const [xid, texts] of expected) assert.deepEqual(await replayed(spool, xid), texts);
  assert.ok(spool.empty);
  assert.deepEqual(await disk.list(directory), []);
});

test("subtransactions that were rolled back are cut out, descriptions of tables are not", async () => {
  const spool = await TransactionSpool.open(new SimulatedDisk(seededRandom(1)), directory, 10_000);
  spool.add(1, 1, 0, Buffer.from("I kept"));
  spool.add(1, 2, 0, Buffer.from("R described"));
  spool.add(1, 2, 0, Buffer.from("I rolled back"));
  await spool.abort(1, 2);
  spool.add(1, 3, 0, Buffer.from("I too"));
  assert.deepEqual(await replayed(spool, 1), ["0 I kept", "0 R described", "0 I too"]);
});

test("a transaction that was rolled back leaves nothing, and one that is not known is nothing", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const spool = await TransactionSpool.open(disk, directory, 1);
  spool.add(1, 1, 0, Buffer.from("I"));
  await spool.spill();
  await spool.abort(1, 1);
  assert.deepEqual(await disk.list(directory), []);
  assert.deepEqual(await replayed(spool, 1), []);
  await spool.abort(9, 9);
});

test("what a crash left behind is removed at the next opening", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const first = await TransactionSpool.open(disk, directory, 1);
  first.add(1, 1, 0, Buffer.from("I"));
  await first.spill();
  await TransactionSpool.open(disk, directory, 1);
  assert.equal(await disk.exists(directory), false);
});

test("a file that somebody has cut or written over ends the replay with an error", async () => {
  for (const harm of ["cut", "cut within a head", "a length past the end"]) {
    const disk = new SimulatedDisk(seededRandom(1));
    const spool = await TransactionSpool.open(disk, directory, 1);
    spool.add(1, 1, 0, Buffer.from("I first"));
    spool.add(1, 1, 0, Buffer.from("I second"));
    await spool.spill();
    const [name = ""] = await disk.list(directory);
    const file = await disk.open(`${directory}/${name}`, "write");
    if (harm === "cut") await file.truncate((await file.size()) - 1);
    else if (harm === "cut within a head") await file.truncate(3);
    else await file.write([Buffer.from([0xff, 0xff, 0xff, 0xff])], 0);
    await file.close();
    await assert.rejects(replayed(spool, 1), (error) => MillraceError.is(error, "SOURCE_FAILED"), harm);
    await spool.close();
    assert.equal(await disk.exists(directory), false);
  }
});
