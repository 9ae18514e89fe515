import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { crc32c } from "../records/crc32c.ts";
import { AbortedIndex } from "./aborted-index.ts";
import type { AbortedRange } from "./producer-table.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`aborted index: seed ${seed}`);

const crcPosition = 8;

function withRightChecksum(bytes: Buffer): Buffer {
  if (bytes.length < 12) return bytes;
  bytes.writeUInt32BE(crc32c(Buffer.concat([bytes.subarray(0, crcPosition), bytes.subarray(12)])), crcPosition);
  return bytes;
}

function overlapping(index: AbortedIndex, from: number, end: number) {
  const found: AbortedRange[] = [];
  const isComplete = index.overlapping(from, end, found);
  return { found, isComplete };
}

/** Producer 1 aborted [100, 110], producer 2 [105, 120], both while nothing else was open behind. */
function two(): AbortedIndex {
  const index = new AbortedIndex(100, 40);
  index.add({ producerId: 1, firstOffset: 100, lastOffset: 110 }, 105);
  index.add({ producerId: 2, firstOffset: 105, lastOffset: 120 }, 121);
  index.endBytes = 5000;
  return index;
}

test("aborted transactions with records in the range are found, and no others", () => {
  const index = two();
  const [one, other] = index.ranges();
  assert.deepEqual(overlapping(index, 100, 105).found, [one]);
  assert.deepEqual(overlapping(index, 100, 106).found, [one, other]);
  assert.deepEqual(overlapping(index, 110, 200).found, [one, other]);
  assert.deepEqual(overlapping(index, 111, 200).found, [other]);
  assert.deepEqual(overlapping(index, 121, 200).found, []);
  assert.deepEqual(overlapping(index, 50, 100).found, []);
});

test("a search stops where no transaction that ended later can reach", () => {
  const index = two();
  assert.equal(overlapping(index, 100, 105).isComplete, true);
  assert.equal(overlapping(index, 100, 121).isComplete, true);
  assert.equal(overlapping(index, 100, 122).isComplete, false);
  assert.equal(overlapping(new AbortedIndex(0, 40), 0, 10).isComplete, false);
});

test("an entry out of order is a bug of the caller", () => {
  const index = two();
  assert.throws(() => index.add({ producerId: 3, firstOffset: 1, lastOffset: 120 }, 121), RangeError);
  assert.equal(index.length, 2);
});

test("a last stable offset behind that of the entry before counts as that one", () => {
  const index = two();
  index.add({ producerId: 3, firstOffset: 1, lastOffset: 130 }, 7);
  assert.equal(overlapping(index, 100, 121).isComplete, true);
  const decoded = AbortedIndex.decode(index.encode(), 100, "x");
  assert.deepEqual(decoded?.ranges(), index.ranges());
});

test("an index comes back from its bytes, and not from damaged or foreign ones", () => {
  const index = two();
  const bytes = index.encode();
  const again = AbortedIndex.decode(bytes, 100, "x");
  assert.equal(again?.endBytes, 5000);
  assert.deepEqual(again.ranges(), index.ranges());
  assert.deepEqual(overlapping(again, 0, 105), overlapping(index, 0, 105));
  again.add({ producerId: 3, firstOffset: 125, lastOffset: 130 }, 131);
  assert.equal(again.length, 3);
  assert.equal(AbortedIndex.decode(bytes, 101, "x"), undefined);
  for (let end = 0; end < bytes.length; end++) {
    assert.equal(AbortedIndex.decode(bytes.subarray(0, end), 100, "x"), undefined);
  }
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.equal(AbortedIndex.decode(damaged, 100, "x"), undefined, `bit ${bit}`);
  }
});

test("a segment without aborted transactions has an index of its header alone", () => {
  const bytes = new AbortedIndex(7, 40).encode();
  assert.equal(bytes.length, 36);
  assert.equal(AbortedIndex.decode(bytes, 7, "x")?.length, 0);
});

test("a newer format is refused, an unknown older one is not used", () => {
  const bytes = two().encode();
  bytes.writeUInt32BE(2, 4);
  assert.equal(AbortedIndex.decode(bytes, 100, "x"), undefined, "damaged, since its checksum is wrong");
  assert.throws(() => AbortedIndex.decode(withRightChecksum(bytes), 100, "x"), { code: "LOG_FORMAT_NEWER" });
  bytes.writeUInt32BE(0, 4);
  assert.equal(AbortedIndex.decode(withRightChecksum(bytes), 100, "x"), undefined);
});

test("an index that cannot be of any segment is not used, though its checksum is right", () => {
  const wrong: Record<string, (copy: Buffer) => void> = {
    "more entries than bytes": (copy) => copy.writeUInt32BE(0xffffffff, 32),
    "a producer id below 0": (copy) => copy.writeBigInt64BE(-1n, 36),
    "an offset beyond 2^53": (copy) => copy.writeBigInt64BE(2n ** 60n, 36 + 8),
    "a transaction that ends before it begins": (copy) => copy.writeBigInt64BE(110n, 36 + 8),
    "a marker of another segment": (copy) => copy.writeBigInt64BE(99n, 36 + 16),
    "markers out of order": (copy) => copy.writeBigInt64BE(120n, 36 + 16),
    "a last stable offset behind the marker": (copy) => copy.writeBigInt64BE(122n, 36 + 32 + 24),
    "a last stable offset that went back": (copy) => copy.writeBigInt64BE(104n, 36 + 32 + 24),
  };
  for (const [what, change] of Object.entries(wrong)) {
    const copy = two().encode();
    change(copy);
    assert.equal(AbortedIndex.decode(withRightChecksum(copy), 100, "x"), undefined, what);
  }
});

const mutation = fc.record({ at: fc.nat(), value: fc.nat(255), bytes: fc.constantFrom(1, 1, 2, 4, 8) });

test("bytes from anywhere are an index or are not used, and cost no more memory than themselves", () => {
  const bytes = two().encode();
  let used = 0;
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 1, maxLength: 6 }), fc.nat(40), (mutations, cut) => {
      const copy = Buffer.from(cut > 30 ? bytes.subarray(0, bytes.length - cut) : bytes);
      for (const { at, value, bytes: width } of mutations)
        copy.fill(value, at % copy.length, Math.min((at % copy.length) + width, copy.length));
      try {
        const found = AbortedIndex.decode(withRightChecksum(copy), 100, "x");
        if (!found) return;
        used++;
        assert.deepEqual(found.encode(), copy);
        overlapping(found, 0, 1000);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "LOG_FORMAT_NEWER");
      }
    }),
    { seed, numRuns: 2000 },
  );
  assert.ok(used > 0);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300, size: "max" }), (noise) => {
      AbortedIndex.decode(Buffer.from(noise), 100, "x");
      AbortedIndex.decode(withRightChecksum(Buffer.concat([bytes.subarray(0, 32), Buffer.from(noise)])), 100, "x");
    }),
    { seed, numRuns: 1000 },
  );
});

const step = fc.record({ kind: fc.constantFrom("data", "data", "abort", "commit", "roll"), producerId: fc.nat(5) });

test("a search over segments finds what a list of all aborted transactions has, and stops rightly", () => {
  let stops = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const segments = [new AbortedIndex(0, 40)];
      const all: AbortedRange[] = [];
      const open = new Map<number, number>();
      let offset = 0;
      for (const { kind, producerId } of steps) {
        const firstOffset = open.get(producerId);
        if (kind === "roll") {
          if (segments.at(-1)?.baseOffset !== offset) segments.push(new AbortedIndex(offset, 40));
        } else if (kind === "data") {
          if (firstOffset === undefined) open.set(producerId, offset);
          offset++;
        } else if (firstOffset !== undefined) {
          open.delete(producerId);
          if (kind === "abort") {
            const range = { producerId, firstOffset, lastOffset: offset };
            all.push(range);
            segments.at(-1)?.add(range, Math.min(offset + 1, ...open.values()));
          }
          offset++;
        }
      }
      const stored = segments.map(
        (index) => AbortedIndex.decode(index.encode(), index.baseOffset, "x") as AbortedIndex,
      );
      for (let from = 0; from < offset; from += 3) {
        for (const end of [from + 1, from + 5, offset]) {
          const found: AbortedRange[] = [];
          const first = stored.findLastIndex(({ baseOffset }) => baseOffset <= from);
          for (const index of stored.slice(first)) {
            if (!index.overlapping(from, end, found)) continue;
            stops++;
            break;
          }
          assert.deepEqual(
            found,
            all.filter((range) => range.lastOffset >= from && range.firstOffset < end),
          );
        }
      }
    }),
    { seed, numRuns: 200 },
  );
  assert.ok(stops > 0);
});

test("the example of the format's page is what it says", () => {
  const page = readFileSync(new URL("../../docs/internals/formats/aborted-index.md", import.meta.url), "utf8");
  const block = /```hex\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  const bytes = Buffer.from(block.replaceAll(/#.*$/gm, "").replaceAll(/\s/g, ""), "hex");
  const index = AbortedIndex.decode(bytes, 1000, "x");
  assert.equal(index?.endBytes, 123_456);
  assert.deepEqual(index.ranges(), [
    { producerId: 5, firstOffset: 990, lastOffset: 1010 },
    { producerId: 4, firstOffset: 1003, lastOffset: 1020 },
  ]);
  assert.equal(overlapping(index, 1000, 1003).isComplete, true);
  assert.equal(overlapping(index, 1000, 1022).isComplete, false);
  assert.equal(index.encode().toString("hex"), bytes.toString("hex"));
});
