import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Cells, cellState } from "../schema/cells.ts";
import { DecodeError, PgOutputDecoder, type PgOutputHandler } from "./pgoutput.ts";

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
  for (const passedOver of ["Y", "O", "M"]) decoder.decode(message(passedOver, u64(0)));
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
    ["commit", 256, 300, (postgresMs - 1000) * 1000],
  ]);
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
  const whole = [relation, insert, update, remove];
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
