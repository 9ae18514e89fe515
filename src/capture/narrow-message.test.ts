import assert from "node:assert/strict";
import { test } from "node:test";
import type { TableDefinition } from "../catalog/definitions.ts";
import { type Cells, cellState } from "../schema/cells.ts";
import { MessageNarrower } from "./narrow-message.ts";
import { PgOutputDecoder, type PgOutputHandler, type Relation } from "./pgoutput.ts";

const text = (value: string) => Buffer.concat([Buffer.from(value), Buffer.from([0])]);
const int = (value: number, bytes: 2 | 4) => {
  const all = Buffer.alloc(bytes);
  all.writeUIntBE(value, 0, bytes);
  return all;
};
const column = (name: string, key = 0) =>
  Buffer.concat([Buffer.from([key]), text(name), int(25, 4), int(0xffffffff, 4)]);
const columns = [column("id", 1), column("secret"), column("v")];
const relation = (oid: number, table: string) =>
  Buffer.concat([Buffer.from("R"), int(oid, 4), text("public"), text(table), Buffer.from("d"), int(3, 2), ...columns]);
const cell = (value: string | null) =>
  value === null
    ? Buffer.from("n")
    : value === "?"
      ? Buffer.from("u")
      : Buffer.concat([Buffer.from("t"), int(value.length, 4), Buffer.from(value)]);
const row = (kind: string, ...values: (string | null)[]) =>
  Buffer.concat([Buffer.from(kind), int(values.length, 2), ...values.map(cell)]);
const change = (kind: string, oid: number, ...rows: Buffer[]) =>
  Buffer.concat([Buffer.from(kind), int(oid, 4), ...rows]);

const declared = (table: string, kind: "only" | "except", ...names: string[]): TableDefinition => ({
  ...{ schema: "public", table, appendOnly: false, topic: undefined },
  columns: { kind, names },
});

function decoded(narrower: MessageNarrower, messages: readonly Buffer[]): string[] {
  const seen: string[] = [];
  const print = (cells: Cells) =>
    Array.from({ length: cells.count }, (_, i) =>
      cells.state[i] === cellState.text
        ? cells.bytes.toString("utf8", cells.start[i], cells.end[i])
        : cells.state[i] === cellState.null
          ? "null"
          : "unchanged",
    ).join("|");
  const handler: Partial<PgOutputHandler> = {
    relation: ({ table, columns }: Relation) =>
      void seen.push(`${table}: ${columns.map(({ name }) => name).join("|")}`),
    insert: (_, cells) => void seen.push(`insert ${print(cells)}`),
    update: (_, kind, old, cells) => void seen.push(`update ${kind === "none" ? kind : print(old)} > ${print(cells)}`),
    delete: (_, _kind, old) => void seen.push(`delete ${print(old)}`),
  };
  const decoder = new PgOutputDecoder(handler as PgOutputHandler, (message, at) => narrower.narrow(message, at));
  for (const message of messages) decoder.decode(message);
  return seen;
}

test("columns that are left out are in no message; those of other tables are", () => {
  const narrower = MessageNarrower.of([declared("t", "except", "secret"), declared("u", "only", "id", "v")], 140_000);
  assert.ok(narrower);
  for (const table of ["t", "u"]) {
    assert.deepEqual(
      decoded(narrower, [
        relation(1, table),
        change("I", 1, row("N", "1", "hidden", "a")),
        change("U", 1, row("N", "1", "?", null)),
        change("U", 1, row("K", "1", null, null), row("N", "2", "hidden", "?")),
        change("U", 1, row("O", "2", "hidden", "b"), row("N", "3", "hidden", "")),
        change("D", 1, row("K", "3", null, null)),
      ]),
      [
        `${table}: id|v`,
        "insert 1|a",
        "update none > 1|null",
        "update 1|null > 2|unchanged",
        "update 2|b > 3|",
        "delete 3|null",
      ],
    );
  }
  assert.deepEqual(decoded(narrower, [relation(2, "other"), change("I", 2, row("N", "1", "shown", "a"))]), [
    "other: id|secret|v",
    "insert 1|shown|a",
  ]);
});

test("a table that takes another's number keeps none of its columns", () => {
  const narrower = MessageNarrower.of([declared("t", "except", "secret")], 140_000);
  assert.ok(narrower);
  assert.deepEqual(
    decoded(narrower, [relation(1, "t"), relation(1, "u"), change("I", 1, row("N", "1", "shown", "a"))]),
    ["t: id|v", "u: id|secret|v", "insert 1|shown|a"],
  );
});

test("a server that leaves columns out itself is left alone, and so is one where all are captured", () => {
  assert.equal(MessageNarrower.of([declared("t", "except", "secret")], 150_000), null);
  assert.equal(
    MessageNarrower.of([{ schema: "public", table: "t", appendOnly: false, topic: undefined }], 140_000),
    null,
  );
});
