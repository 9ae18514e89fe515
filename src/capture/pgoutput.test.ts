import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Cells, cellState } from "../schema/cells.ts";
import { DecodeError, PgOutputDecoder, type PgOutputHandler, streamOptions } from "./pgoutput.ts";

function text(row: Cells): (string | null | undefined)[] {
  return Array.from({ length: row.count }, (_, i) => {
    if (row.state[i] === cellState.text) return row.bytes.toString("utf8", row.start[i], row.end[i]);
    return row.state[i] === cellState.null ? null : undefined;
  });
}

function recording(): { told: unknown[][]; decoder: PgOutputDecoder } {
  const told: unknown[][] = [];
  const handler: PgOutputHandler = {
    begin: (...facts) => void told.push(["begin", ...facts]),
    commit: (...facts) => void told.push(["commit", ...facts]),
    relation: (relation) => void told.push(["relation", relation]),
    insert: (oid, row) => void told.push(["insert", oid, text(row)]),
    update: (oid, kind, old, row) => void told.push(["update", oid, kind, kind === "none" ? [] : text(old), text(row)]),
    delete: (oid, kind, old) => void told.push(["delete", oid, kind, text(old)]),
    truncate: (oids) => void told.push(["truncate", oids]),
    streamed: (top, xid, message) => void told.push(["streamed", top, xid, String.fromCharCode(message[0] ?? 0)]),
    streamCommit: (...facts) => void told.push(["streamCommit", ...facts]),
    streamAbort: (...facts) => void told.push(["streamAbort", ...facts]),
    message: ({ content, ...facts }) => void told.push(["message", { ...facts, content: String(content) }]),
    origin: (...facts) => void told.push(["origin", ...facts]),
    type: (...facts) => void told.push(["type", ...facts]),
    twoPhase: (step) => void told.push(["twoPhase", step]),
  };
  return { told, decoder: new PgOutputDecoder(handler) };
}

type Part =
  | string
  | { readonly u8: number }
  | { readonly u16: number }
  | { readonly u32: number }
  | { readonly u64: number };
const u8 = (value: number) => ({ u8: value });
const u16 = (value: number) => ({ u16: value });
const u32 = (value: number) => ({ u32: value });
const u64 = (value: number) => ({ u64: value });

/** Strings as they are; write "\0" where one ends. */
function message(...parts: Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(part);
      const bytes = Buffer.alloc("u8" in part ? 1 : "u16" in part ? 2 : "u32" in part ? 4 : 8);
      if ("u8" in part) bytes.writeUInt8(part.u8);
      else if ("u16" in part) bytes.writeUInt16BE(part.u16);
      else if ("u32" in part) bytes.writeUInt32BE(part.u32);
      else bytes.writeBigInt64BE(BigInt(part.u64));
      return bytes;
    }),
  );
}

const cell = (value: string): Part[] => ["t", u32(Buffer.byteLength(value)), value];
const postgresMs = 946_684_800_000;
const relation = message(
  "R",
  u32(4_000_000_000),
  "\0",
  "t\0",
  "f",
  u16(2),
  u8(1),
  "id\0",
  u32(23),
  u32(0xffffffff),
  u8(0),
  "v\0",
  u32(1043),
  u32(9),
);
const insert = message("I", u32(7), "N", u16(3), ...cell("1"), "n", ...cell("é"));
const update = message("U", u32(7), "O", u16(1), ...cell("old"), "N", u16(2), ...cell("new"), "u");
const emitted = message("M", u8(1), u64(300), "p\0", u32(4), "tell");
const remove = message("D", u32(7), "K", u16(2), ...cell("1"), "n");

test("each kind of message comes out as the manual says", () => {
  const { told, decoder } = recording();
  decoder.decode(message("B", u64(256), u64(1_000_000), u32(4_000_000_000)));
  decoder.decode(relation);
  decoder.decode(insert);
  decoder.decode(message("U", u32(7), "N", u16(1), ...cell("")));
  decoder.decode(update);
  decoder.decode(remove);
  decoder.decode(message("T", u32(2), u8(1), u32(7), u32(8)));
  decoder.decode(message("Y", u32(9), "\0", "mood\0"));
  decoder.decode(message("O", u64(77), "elsewhere\0"));
  decoder.decode(emitted);
  decoder.decode(message("C", u8(0), u64(256), u64(300), u64(-1_000_000)));
  assert.deepEqual(told, [
    ["begin", 4_000_000_000, 256, (postgresMs + 1000) * 1000],
    [
      "relation",
      {
        oid: 4_000_000_000,
        schema: "pg_catalog",
        table: "t",
        identity: "full",
        columns: [
          { name: "id", typeOid: 23, typeModifier: -1, identity: true },
          { name: "v", typeOid: 1043, typeModifier: 9, identity: false },
        ],
      },
    ],
    ["insert", 7, ["1", null, "é"]],
    ["update", 7, "none", [], [""]],
    ["update", 7, "full", ["old"], ["new", undefined]],
    ["delete", 7, "key", ["1", null]],
    ["truncate", [7, 8]],
    ["type", 9, "pg_catalog", "mood"],
    ["origin", 77, "elsewhere"],
    ["message", { transactional: true, lsn: 300, prefix: "p", content: "tell" }],
    ["commit", 256, 300, (postgresMs - 1000) * 1000],
  ]);
});

const type = message("Y", u32(9), "public\0", "mood\0");
const origin = message("O", u64(77), "elsewhere\0");
const truncate = message("T", u32(2), u8(1), u32(7), u32(8));
const streamAbort = message("A", u32(100), u32(101), u64(900), u64(0));
const times = [u64(256), u64(300), u64(1_000_000)];
const twoPhase = [
  message("b", ...times, u32(5), "gid\0"),
  message("P", u8(0), ...times, u32(5), "gid\0"),
  message("K", u8(0), ...times, u32(5), "gid\0"),
  message("r", u8(0), ...times, u64(2_000_000), u32(5), "gid\0"),
  message("p", u8(0), ...times, u32(5), "gid\0"),
];

test("the steps of a prepared transaction come out with its name and its places", () => {
  const { told, decoder } = recording();
  for (const step of twoPhase) decoder.decode(step);
  const facts = { xid: 5, gid: "gid", lsn: 256, endLsn: 300 };
  const atUs = (postgresMs + 1000) * 1000;
  assert.deepEqual(told, [
    ["twoPhase", { kind: "begin-prepare", ...facts, atUs }],
    ["twoPhase", { kind: "prepare", ...facts, atUs }],
    ["twoPhase", { kind: "commit-prepared", ...facts, atUs }],
    ["twoPhase", { kind: "rollback-prepared", ...facts, atUs: (postgresMs + 2000) * 1000 }],
    ["twoPhase", { kind: "stream-prepare", ...facts, atUs }],
  ]);
});

test("in a stream block, messages and types have their subtransaction, the origin has none; a prepare ends outside", () => {
  const { told, decoder } = recording();
  decoder.decode(message("S", u32(100), u8(1)));
  const inside = [
    origin,
    message("Y", u32(101), u32(9), "public\0", "mood\0"),
    message("M", u32(101), u8(1), u64(300), "p\0", u32(4), "tell"),
    message("T", u32(101), u32(1), u8(0), u32(7)),
  ];
  for (const each of inside) decoder.decode(each);
  decoder.decode(message("E"));
  decoder.decode(streamAbort);
  assert.deepEqual(told, [
    ["streamed", 100, 100, "O"],
    ["streamed", 100, 101, "Y"],
    ["streamed", 100, 101, "M"],
    ["streamed", 100, 101, "T"],
    ["streamAbort", 100, 101],
  ]);
  told.length = 0;
  for (const each of inside) decoder.decodeStreamed(each);
  assert.deepEqual(told, [
    ["origin", 77, "elsewhere"],
    ["type", 9, "public", "mood"],
    ["message", { transactional: true, lsn: 300, prefix: "p", content: "tell" }],
    ["truncate", [7]],
  ]);
});

test("a message of random bytes is decoded or told to be broken, in a block and outside of one, and nothing else", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 20 }),
      fc.boolean(),
      (all, block) => {
        const { decoder } = recording();
        if (block) decoder.decode(message("S", u32(100), u8(1)));
        for (const bytes of all) {
          // Mostly kinds that exist.
          const kinds = "BCRIUDTSEcAMOYbPKrp";
          const first = bytes[0] as number;
          bytes[0] = first < 200 ? kinds.charCodeAt(first % kinds.length) : first;
          for (const decode of ["decode", "decodeStreamed"] as const) {
            try {
              decoder[decode](Buffer.from(bytes));
            } catch (error) {
              assert.ok(error instanceof DecodeError, String(error));
            }
          }
        }
      },
    ),
    { numRuns: 3000 },
  );
});

const texts = fc.string({ unit: "binary" }).map((text) => text.toWellFormed().replaceAll("\0", "0"));
const numbers = fc.nat(2 ** 32 - 1);

test("what is encoded by the manual is decoded to the same: rows, relations, messages", () => {
  const cells = fc.array(fc.oneof(texts, fc.constant(null), fc.constant(undefined)), { maxLength: 70 });
  const tuple = (row: readonly (string | null | undefined)[]): Part[] => [
    u16(row.length),
    ...row.flatMap((one): Part[] => (one === null ? ["n"] : one === undefined ? ["u"] : cell(one))),
  ];
  fc.assert(
    fc.property(numbers, cells, cells, fc.constantFrom("K", "O"), (oid, old, row, kind) => {
      const { told, decoder } = recording();
      decoder.decode(message("I", u32(oid), "N", ...tuple(row)));
      decoder.decode(message("U", u32(oid), kind, ...tuple(old), "N", ...tuple(row)));
      decoder.decode(message("D", u32(oid), kind, ...tuple(old)));
      const named = kind === "K" ? "key" : "full";
      assert.deepEqual(told, [
        ["insert", oid, row],
        ["update", oid, named, old, row],
        ["delete", oid, named, old],
      ]);
    }),
  );
  const members = { name: texts, typeOid: numbers, typeModifier: fc.integer(), identity: fc.boolean() };
  const column = fc.record(members, { noNullPrototype: true });
  fc.assert(
    fc.property(numbers, texts, texts, fc.array(column), (oid, schema, table, columns) => {
      const { told, decoder } = recording();
      const parts = columns.flatMap((one): Part[] => [
        u8(one.identity ? 1 : 0),
        `${one.name}\0`,
        u32(one.typeOid),
        u32(one.typeModifier >>> 0),
      ]);
      decoder.decode(message("R", u32(oid), `${schema}\0`, `${table}\0`, "i", u16(columns.length), ...parts));
      const identity = "index";
      assert.deepEqual(told, [["relation", { oid, schema: schema || "pg_catalog", table, identity, columns }]]);
    }),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.nat(2 ** 50), texts, texts, (transactional, lsn, prefix, content) => {
      const { told, decoder } = recording();
      const bytes = Buffer.byteLength(content);
      decoder.decode(message("M", u8(transactional ? 1 : 0), u64(lsn), `${prefix}\0`, u32(bytes), content));
      assert.deepEqual(told, [["message", { transactional, lsn, prefix, content }]]);
    }),
  );
});

test("each server is asked for the newest protocol that it speaks, and none for two-phase decoding", () => {
  assert.match(
    streamOptions(140_000, '"p"'),
    /^proto_version '2', streaming 'on', messages 'true', publication_names '"p"'$/,
  );
  assert.match(streamOptions(150_018, '"p"'), /^proto_version '3', streaming 'on'/);
  assert.match(streamOptions(180_004, '"p"'), /^proto_version '4', streaming 'parallel'/);
  assert.match(streamOptions(180_004, '"p"', "none"), /, origin 'none'$/);
  for (const version of [140_000, 150_000, 180_000]) assert.doesNotMatch(streamOptions(version, ""), /two_phase/);
});

test("inside a stream block messages are handed on whole with their subtransaction, and decode later", () => {
  const { told, decoder } = recording();
  decoder.decode(message("S", u32(100), u8(1)));
  const streamed = message("I", u32(101), u32(7), "N", u16(1), ...cell("x"));
  decoder.decode(streamed);
  decoder.decode(message("E"));
  decoder.decode(message("A", u32(100), u32(101)));
  decoder.decode(message("c", u32(100), u8(0), u64(256), u64(300), u64(0)));
  decoder.decodeStreamed(streamed);
  decoder.decode(insert);
  assert.deepEqual(told, [
    ["streamed", 100, 101, "I"],
    ["streamAbort", 100, 101],
    ["streamCommit", 100, 256, 300, postgresMs * 1000],
    ["insert", 7, ["x"]],
    ["insert", 7, ["1", null, "é"]],
  ]);
});

test("a message that is cut or garbled is told as such, with its table where it can be read, and nothing else happens", () => {
  const whole = [relation, insert, update, remove, emitted, ...twoPhase, type, origin, truncate, streamAbort];
  fc.assert(
    fc.property(
      fc.constantFrom(...whole),
      fc.nat(),
      fc.option(fc.tuple(fc.nat(), fc.nat(255)), { nil: null }),
      (of, cut, flip) => {
        const bytes = Buffer.from(of.subarray(0, flip === null ? cut % of.length : of.length));
        if (flip !== null) bytes[flip[0] % bytes.length] = flip[1];
        const { decoder } = recording();
        try {
          decoder.decode(bytes);
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error));
          if (bytes[0] === 0x49 && bytes.length >= 5) assert.equal(error.relationOid, bytes.readUInt32BE(1));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test("an error of the handler is not taken for a broken message", () => {
  const { decoder } = (() => {
    const handler = { insert: () => assert.fail("a bug") } as unknown as PgOutputHandler;
    return { decoder: new PgOutputDecoder(handler) };
  })();
  assert.throws(() => decoder.decode(insert), /a bug/);
});
