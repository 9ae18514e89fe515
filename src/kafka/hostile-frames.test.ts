/**
 * Frames that no client would send. What must hold: a frame is read, or refused as REQUEST_MALFORMED; what was read has
 * no more elements than the frame has bytes. `MILLRACE_FUZZ_CASES` sets the number of cases, `MILLRACE_FUZZ_SEED` the
 * first seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { describeTopicPartitions } from "./apis/describe-topic-partitions.ts";
import { metadata } from "./apis/metadata.ts";
import { offsetCommit } from "./apis/offset-commit.ts";
import { apiByKey, apis } from "./apis.ts";
import type { Api, RequestInput, ResponseInput } from "./fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  frameLengthBytes,
  isServed,
  readRequestHeader,
} from "./frames.ts";
import { everyVersion, fullMessage } from "./message.fixture.ts";
import { elementsMax } from "./wire-reader.ts";

const cases = Number(process.env.MILLRACE_FUZZ_CASES ?? 20_000);
const firstSeed = Number(process.env.MILLRACE_FUZZ_SEED ?? 1);

interface Sample {
  readonly name: string;
  readonly frame: Buffer;
  readonly read: (frame: Buffer) => unknown;
}

const isMalformed = (error: unknown) => MillraceError.is(error, "REQUEST_MALFORMED");
const hex = (digits: string) => Buffer.from(digits.replaceAll(" ", ""), "hex");

/** As the door reads: by the key and version that the frame claims. */
function readRequest(frame: Buffer): unknown {
  const { apiKey, apiVersion, bodyPosition } = readRequestHeader(frame);
  const api = apiByKey(apiKey);
  return api && isServed(api, apiVersion) ? decodeRequest(api, apiVersion, frame, bodyPosition) : null;
}

const samples: readonly Sample[] = everyVersion(apis).flatMap(({ api, version, name }) => {
  const request = fullMessage(api.request, version) as RequestInput<Api>;
  const response = fullMessage(api.response, version) as ResponseInput<Api>;
  const asked = Buffer.concat(encodeRequestFrame(api, version, 7, "client", request));
  const answered = Buffer.concat(encodeResponseFrame(api, version, 7, response));
  return [
    { name: `request ${name}`, frame: asked.subarray(frameLengthBytes), read: readRequest },
    {
      name: `response ${name}`,
      frame: answered.subarray(frameLengthBytes),
      read: (frame) => decodeResponseFrame(api, version, frame),
    },
  ];
});

/** Values that are anything but an object, all the way down; characters of texts count too. */
function elementsIn(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + 1 + elementsIn(each), 0);
  if (Buffer.isBuffer(value) || typeof value !== "object" || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, each]) => (name.endsWith("Id") ? sum : sum + elementsIn(each)), 0);
}

function check({ name, read }: Sample, frame: Buffer, what: string): boolean {
  try {
    const elements = elementsIn(read(frame));
    assert.ok(elements <= frame.length, `${name}, ${what}: ${elements} elements in ${frame.length} bytes`);
    return true;
  } catch (error) {
    if (!isMalformed(error)) throw new Error(`${name}, ${what}: ${error}`, { cause: error });
    return false;
  }
}

const greedyNumbers = [0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffff, 0x00ffffff, 0x7fff0000].map((number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
});

/** One to three of: a byte or a bit, a number that asks for much, a cut, an end that is too long, a piece that stands twice. */
function mutate(random: Random, whole: Buffer): Buffer {
  let frame: Buffer = Buffer.from(whole);
  for (let left = 1 + random.below(3); left > 0 && frame.length > 0; left--) {
    const at = random.below(frame.length);
    const length = 1 + random.below(Math.min(8, frame.length - at));
    switch (random.below(7)) {
      case 0:
        frame[at] = random.below(256);
        break;
      case 1:
        frame[at] = (frame[at] as number) ^ (1 << random.below(8));
        break;
      case 2:
        greedyNumbers[random.below(greedyNumbers.length)]?.copy(frame, at);
        break;
      case 3:
        frame.fill(random.below(2) === 0 ? 0 : 0xff, at, at + length);
        break;
      case 4:
        frame = frame.subarray(0, at);
        break;
      case 5:
        frame = Buffer.concat([frame, random.bytes(length)]);
        break;
      default:
        frame = Buffer.concat([frame.subarray(0, at + length), frame.subarray(at)]);
    }
  }
  return frame;
}

test("frames that were changed are read or refused", () => {
  let read = 0;
  for (let index = 0; index < cases; index++) {
    const seed = firstSeed + index;
    const random = seededRandom(seed);
    const sample = samples[random.below(samples.length)] as Sample;
    if (check(sample, mutate(random, sample.frame), `seed ${seed}`)) read++;
  }
  // Were all refused, or none, nothing would be tested.
  assert.ok(read > cases / 20 && read < cases - cases / 20, `${read} of ${cases} were read`);
});

test("a frame that is cut anywhere is refused", () => {
  for (const { name, frame, read } of samples)
    for (let length = 0; length < frame.length; length++)
      assert.throws(() => read(frame.subarray(0, length)), isMalformed, `${name} cut to ${length} bytes`);
});

test("bytes of chance are read or refused", () => {
  const random = seededRandom(firstSeed);
  for (const sample of samples) {
    for (let time = 0; time < 4; time++) {
      const frame = random.bytes(random.below(200));
      sample.frame.copy(frame, 0, 0, 8);
      check(sample, frame, `time ${time}`);
    }
  }
});

test("no count is believed before its elements are there", () => {
  // Metadata v1: 2^31 - 1 topics, each of two bytes or more.
  assert.throws(() => decodeRequest(metadata, 1, hex("7fffffff"), 0), /an array of 2147483647 does not fit/);
  // v12: the same in a compact length.
  assert.throws(() => decodeRequest(metadata, 12, hex("8080808008"), 0), /an array of 2147483647 does not fit/);
  // Ten topics of 18 bytes or more.
  assert.throws(() => decodeRequest(metadata, 12, Buffer.alloc(170, 11), 0), /an array of 10 does not fit/);
});

test("a message has a bounded number of elements, however long its frame is", () => {
  const frame = Buffer.alloc(4 + elementsMax * 2 + 4);
  frame.writeInt32BE(elementsMax);
  assert.equal(decodeRequest(metadata, 1, frame, 0).topics?.length, elementsMax);
  frame.writeInt32BE(elementsMax + 1);
  assert.throws(() => decodeRequest(metadata, 1, frame, 0), /more than 1000000 elements/);
});

test("lengths that lie are refused: too long, negative, and in too many bytes", () => {
  // OffsetCommit v2: group id.
  for (const groupId of ["7fff 61", "ffff", "8000", "0002 61"])
    assert.throws(() => decodeRequest(offsetCommit, 2, hex(groupId), 0), isMalformed, groupId);
  // v8: the same, compact.
  for (const groupId of ["00", "03 61", "8080808010", "8080808080", "ffffffffff01", "ffff03"])
    assert.throws(() => decodeRequest(offsetCommit, 8, hex(groupId), 0), isMalformed, groupId);
});

test("negative lengths are null where null is allowed", () => {
  for (const length of ["ffffffff", "fffffffe", "80000000"])
    assert.equal(decodeRequest(metadata, 1, hex(length), 0).topics, null);
});

test("a struct that may be null is so when its first byte is negative", () => {
  const page = (cursor: string) => decodeRequest(describeTopicPartitions, 0, hex(`01 000007d0 ${cursor} 00`), 0).cursor;
  assert.equal(page("ff"), null);
  assert.equal(page("80"), null);
  assert.deepEqual(page("01 02 74 00000005 00"), { topicName: "t", partitionIndex: 5 });
});

test("tagged fields whose size or number lies are refused", () => {
  // Metadata v12 for all topics, with what follows as its tagged fields.
  const withTagged = (fields: string) => () => decodeRequest(metadata, 12, hex(`00 01 00 ${fields}`), 0);
  assert.equal(withTagged("01 05 01 aa")().topics, null);
  for (const fields of ["", "01", "01 05", "01 05 02 aa", "ffffffff0f", "02 05 00", "01 05 ffffffff0f"])
    assert.throws(withTagged(fields), isMalformed, fields);
});

test("a known tagged field has to fill its size", () => {
  const { frame } = samples.find(({ name }) => name === "response ApiVersions v3") as Sample;
  const api = apiByKey(18) as Api;
  // The tag of the features' epoch, and its size of eight bytes.
  const at = frame.indexOf(hex("01 08"), 20);
  assert.ok(at > 0);
  frame[at + 1] = 7;
  assert.throws(() => decodeResponseFrame(api, 3, frame), /finalizedFeaturesEpoch has another size/);
});

test("bytes that are not UTF-8 are read as replacement characters", () => {
  const request = decodeRequest(metadata, 1, hex("00000001 0003 61ff62"), 0);
  assert.deepEqual(
    request.topics?.map(({ name }) => name),
    ["a\ufffdb"],
  );
});
