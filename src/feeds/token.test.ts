import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { decodeFeedId, decodeToken, encodeFeedId, encodeToken, type Token } from "./token.ts";

const plain = { noNullPrototype: true } as const;
const position = fc.maxSafeNat();
const token: fc.Arbitrary<Token> = fc.oneof(
  fc.record({ kind: fc.constant("group" as const), generation: position, batch: position }, plain),
  fc.record({ kind: fc.constant("group" as const), group: fc.string(), generation: position, batch: position }, plain),
  fc.record(
    {
      kind: fc.constant("topic" as const),
      topic: fc.string({ unit: "grapheme" }),
      topicId: fc.uuid(),
      positions: fc
        .uniqueArray(fc.record({ partition: fc.nat(), offset: position }, plain), { selector: (one) => one.partition })
        .map((all) => all.sort((a, b) => a.partition - b.partition)),
    },
    plain,
  ),
  fc.record({ kind: fc.constant("source" as const), source: fc.string(), lsn: fc.string() }, plain),
);

function isTokenInvalid(error: unknown): boolean {
  return MillraceError.is(error, "TOKEN_INVALID");
}

test("every token reads back as what was written", () => {
  fc.assert(fc.property(token, (one) => assert.deepEqual(decodeToken(encodeToken(one)), one)));
});

test("any text is the one spelling of a token, or TOKEN_INVALID", () => {
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "grapheme" }),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("base64url")),
    // Behind a right beginning, so that the fields are reached.
    fc
      .tuple(fc.integer({ min: 1, max: 5 }), fc.uint8Array({ maxLength: 30 }))
      .map(([kind, bytes]) => Buffer.from([1, kind, ...bytes]).toString("base64url")),
  );
  fc.assert(
    fc.property(text, (one) => {
      try {
        assert.equal(encodeToken(decodeToken(one)), one);
      } catch (error) {
        if (!isTokenInvalid(error)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

test("a token that was cut, lengthened, padded or is of another version is TOKEN_INVALID", () => {
  const good = encodeToken({ kind: "group", generation: 3, batch: 4711 });
  const bytes = Buffer.from(good, "base64url");
  const bad = [
    "",
    good.slice(0, -1),
    `${good}A`,
    `${good}=`,
    ` ${good}`,
    Buffer.from([2, ...bytes.subarray(1)]).toString("base64url"),
    Buffer.from([1, 9, 0, 0]).toString("base64url"),
    Buffer.from([1, 1, 0x80, 0x00, 0]).toString("base64url"),
    "A".repeat(100_000),
  ];
  for (const one of bad) assert.throws(() => decodeToken(one), isTokenInvalid, JSON.stringify(one.slice(0, 50)));
});

test("a feed's id reads back as what was written", () => {
  const members = {
    generation: position,
    batch: position,
    frame: fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: null }),
  };
  const id = fc.oneof(
    fc.record(members, plain),
    fc.record({ ...members, group: fc.stringMatching(/^[a-z][a-z0-9_]{0,47}$/) }, plain),
  );
  fc.assert(fc.property(id, (one) => assert.deepEqual(decodeFeedId(encodeFeedId(one)), one)));
  assert.equal(encodeFeedId({ generation: 2, batch: 17, frame: null }), "2.17");
  assert.equal(encodeFeedId({ generation: 2, batch: 17, frame: 3 }), "2.17.3");
  assert.equal(encodeFeedId({ group: "reports", generation: 2, batch: 17, frame: 3 }), "reports:2.17.3");
});

test("a foreign Last-Event-ID is TOKEN_INVALID", () => {
  for (const one of [
    "",
    "x",
    "1",
    "1.",
    "1.2.0",
    "1.2.3.4",
    "01.2",
    "1.-2",
    "1.2.3 ",
    "9007199254740993.1",
    "1e3.1",
    ":1.2",
    "R:1.2",
  ]) {
    assert.throws(() => decodeFeedId(one), isTokenInvalid, one);
  }
});
