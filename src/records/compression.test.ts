import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { batchHeaderBytes } from "./batch-header.ts";
import { codec, compressRecords, decompressRecords } from "./compression.ts";
import { readLz4, writeLz4 } from "./lz4-frames.ts";
import { recordedBatches, recordedContent, recordedFrames } from "./recorded-batches.fixture.ts";
import { writeSnappyBlock } from "./snappy-block.ts";
import { readSnappy, writeSnappy } from "./snappy-frames.ts";
import { xxhash32 } from "./xxhash32.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`compression: seed ${seed}`);
fc.configureGlobal({ seed });

const codecs = [codec.gzip, codec.snappy, codec.lz4, codec.zstd];

/** Bytes that repeat themselves near and far, and bytes that do not. */
function someContent(contentBytes: number, contentSeed: number): Buffer {
  const random = seededRandom(contentSeed);
  const content = random.bytes(contentBytes);
  for (let at = 0; at < contentBytes; ) {
    const count = 1 + random.below(random.below(8) === 0 ? 3000 : 40);
    if (at > 0 && random.below(3) > 0) {
      const from = random.below(4) === 0 ? Math.max(0, at - 1 - random.below(4)) : random.below(at);
      for (let i = 0; i < count && at + i < contentBytes; i++) content[at + i] = content[from + i] as number;
    }
    at += count;
  }
  return content;
}

function refusal(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    assert.ok(MillraceError.is(error), String(error));
    return error.code;
  }
}

test("xxHash32 has the values of its authors", () => {
  const vectors: readonly [string, number][] = [
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["abc", 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0xe2293b2f],
  ];
  for (const [text, hash] of vectors) assert.equal(xxhash32(Buffer.from(text)), hash, text);
});

test("what is compressed comes out as it went in, with every codec", () => {
  const sizes = fc.oneof(fc.nat(300), fc.nat(200_000), fc.constantFrom(0, 1, 32768, 32769, 65536, 131073));
  fc.assert(
    fc.property(fc.constantFrom(...codecs), sizes, fc.nat(), (codecNumber, contentBytes, contentSeed) => {
      const content = someContent(contentBytes, contentSeed);
      const compressed = compressRecords(content, codecNumber);
      // An empty lz4 or snappy stream is one too: its header.
      assert.ok(decompressRecords(compressed, codecNumber, Math.max(1, contentBytes)).equals(content));
    }),
  );
});

test("bytes that repeat become few, and bytes that do not stay about as many", () => {
  const random = seededRandom(1).bytes(300_000);
  for (const codecNumber of codecs) {
    assert.ok(compressRecords(Buffer.alloc(300_000, "abcdefgh"), codecNumber).length < 20_000, `codec ${codecNumber}`);
    assert.ok(compressRecords(random, codecNumber).length < 301_000, `codec ${codecNumber}`);
  }
});

test("LZ4 frames with linked blocks, large blocks, sizes and checksums are read", () => {
  for (const [name, frame] of Object.entries(recordedFrames)) {
    assert.ok(readLz4(Buffer.from(frame, "base64"), recordedContent.length).equals(recordedContent), name);
  }
});

test("LZ4 frames that follow each other are one content, and frames to be skipped are skipped", () => {
  const skipped = Buffer.from("502a4d18040000000badf00d", "hex");
  const frames = Buffer.concat([writeLz4(Buffer.from("one ")), skipped, writeLz4(Buffer.from("two"))]);
  assert.equal(String(readLz4(frames, 100)), "one two");
});

test("every checksum and size of an LZ4 frame is held against its bytes", () => {
  for (const name of ["linked-4mb-checks", "independent-256k-size"]) {
    const frame = Buffer.from(recordedFrames[name] as string, "base64");
    for (const at of name === "linked-4mb-checks" ? [6, frame.length - 1, frame.length - 9] : [6, 7, 14]) {
      const changed = Buffer.from(frame);
      changed[at] = (changed[at] as number) ^ 1;
      assert.equal(
        refusal(() => readLz4(changed, 1_000_000)),
        "BATCH_CORRUPT",
        `${name}, byte ${at}`,
      );
    }
  }
  // The size in the header made one larger, with a header checksum that says so.
  const frame = Buffer.from(recordedFrames["independent-256k-size"] as string, "base64");
  for (const contentBytes of [recordedContent.length + 1, recordedContent.length - 1, 2 ** 40, 0]) {
    frame.writeUIntLE(contentBytes, 6, 6);
    frame[14] = (xxhash32(frame, 4, 14) >>> 8) & 0xff;
    assert.equal(
      refusal(() => readLz4(frame, 1_000_000)),
      "BATCH_CORRUPT",
    );
  }
});

test("Snappy is read framed, framed more than once, and bare", () => {
  const content = someContent(100_000, 5);
  const framed = writeSnappy(content);
  assert.ok(readSnappy(framed, 100_000).equals(content));
  assert.ok(readSnappy(Buffer.concat([framed, framed]), 200_000).equals(Buffer.concat([content, content])));
  const bare = Buffer.alloc(200_000);
  const end = writeSnappyBlock(content, 0, content.length, bare, 0);
  assert.ok(readSnappy(bare.subarray(0, end), 100_000).equals(content));
  // Four-byte distances and long literals, as other writers make them: "abcd", then the same by each kind of copy.
  const kinds = Buffer.from("100c6162636401040e04000f04000000", "hex");
  assert.equal(String(readSnappy(kinds, 100)), "abcdabcdabcdabcd");
  assert.equal(String(readSnappy(Buffer.from("04fc0300000061626364", "hex"), 100)), "abcd");
});

test("content beyond the limit is refused before it takes more memory than the limit", () => {
  const bomb = Buffer.alloc(32 * 1024 * 1024);
  for (const codecNumber of codecs) {
    const compressed = compressRecords(bomb, codecNumber);
    assert.equal(
      refusal(() => decompressRecords(compressed, codecNumber, 1024 * 1024)),
      "RECORD_TOO_LARGE",
      `codec ${codecNumber}`,
    );
    const small = compressRecords(Buffer.alloc(1000, "x"), codecNumber);
    assert.equal(
      refusal(() => decompressRecords(small, codecNumber, 999)),
      "RECORD_TOO_LARGE",
    );
  }
});

test("a declared size that the bytes cannot hold takes no memory", () => {
  const cases: readonly [string, number, string][] = [
    ["a bare block of 4 GiB", codec.snappy, "ffffffff0f00"],
    ["a framed block of 4 GiB", codec.snappy, "82534e4150505900000000010000000100000006ffffffff0f00"],
    ["a block length beyond the end", codec.snappy, "82534e41505059000000000100000001ffffffff00"],
    ["a frame of one block of 2 GiB", codec.lz4, "04224d186040 82 ffffff7f".replaceAll(" ", "")],
    ["a window of 1 GiB", codec.zstd, "28b52ffd00a00100ff"],
  ];
  for (const [name, codecNumber, hex] of cases) {
    assert.equal(
      refusal(() => decompressRecords(Buffer.from(hex, "hex"), codecNumber)),
      "BATCH_CORRUPT",
      name,
    );
  }
});

test("compressed bytes that end too early or go on too long are refused", () => {
  const content = someContent(5_000, 9);
  for (const codecNumber of codecs) {
    const compressed = compressRecords(content, codecNumber);
    for (let end = 0; end < compressed.length; end += end < 40 ? 1 : 97) {
      const cut = refusal(() => decompressRecords(compressed.subarray(0, end), codecNumber, 100_000));
      // A Snappy stream may end behind its header: then it has no content.
      if (codecNumber === codec.snappy && end === 16) assert.equal(cut, undefined);
      else assert.equal(cut, "BATCH_CORRUPT", `codec ${codecNumber}, cut at ${end}`);
    }
    for (const more of [Buffer.from([0]), Buffer.alloc(9), Buffer.from("behind the end")]) {
      assert.equal(
        refusal(() => decompressRecords(Buffer.concat([compressed, more]), codecNumber, 100_000)),
        "BATCH_CORRUPT",
        `codec ${codecNumber}`,
      );
    }
  }
});

test("whatever compressed bytes are, reading them only ever answers or refuses", () => {
  const allowed = new Set([undefined, "BATCH_CORRUPT", "RECORD_TOO_LARGE"]);
  const random = seededRandom(seed);
  const inputs: [number, Buffer][] = Object.values(recordedBatches).map((recorded) => {
    const batch = Buffer.from(recorded, "base64");
    return [(batch[22] as number) & 7, batch.subarray(batchHeaderBytes)];
  });
  for (const frame of Object.values(recordedFrames)) inputs.push([codec.lz4, Buffer.from(frame, "base64")]);
  for (const codecNumber of codecs) inputs.push([codecNumber, compressRecords(someContent(900, 3), codecNumber)]);
  inputs.push([codec.gzip, Buffer.concat([gzipSync("a"), gzipSync("b")])]);
  inputs.push([codec.zstd, Buffer.concat([zstdCompressSync("a"), zstdCompressSync("b")])]);
  for (let round = 0; round < 6_000; round++) {
    const [codecNumber, input] = inputs[random.below(inputs.length)] as [number, Buffer];
    const changed = Buffer.from(input.subarray(0, random.below(5) === 0 ? random.below(input.length + 1) : undefined));
    // Most of what is worth changing stands at the beginning.
    const reach = random.below(2) === 0 ? Math.min(40, changed.length) : changed.length;
    for (let i = 0; i <= random.below(4); i++) if (reach > 0) changed[random.below(reach)] = random.below(256);
    const limit = random.below(3) === 0 ? 1 + random.below(2_000) : 300_000;
    assert.ok(allowed.has(refusal(() => decompressRecords(changed, codecNumber, limit))));
  }
  fc.assert(
    fc.property(fc.constantFrom(...codecs), fc.uint8Array({ maxLength: 200 }), (codecNumber, input) =>
      allowed.has(refusal(() => decompressRecords(Buffer.from(input), codecNumber, 100_000))),
    ),
  );
});

test("a codec that is not known is refused", () => {
  for (const codecNumber of [5, 6, 7]) {
    assert.equal(
      refusal(() => decompressRecords(Buffer.alloc(9), codecNumber)),
      "RECORD_INVALID",
    );
    assert.equal(
      refusal(() => compressRecords(Buffer.alloc(9), codecNumber)),
      "RECORD_INVALID",
    );
  }
});
