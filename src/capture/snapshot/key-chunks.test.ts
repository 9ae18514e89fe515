import assert from "node:assert/strict";
import { test } from "node:test";
import type { TableShape } from "../../schema/table-shape.ts";
import { planCopies } from "./copy-plan.ts";
import { nextChunk, pageRange, type ReadTable, rowsOfKeys, wholeTable } from "./key-chunks.ts";

const shape: TableShape = {
  source: "shop",
  schema: "public",
  table: 'o"dd',
  topic: "shop.public.o_dd",
  columns: ["b", "a", "v"].map((name) => ({
    name,
    sourceType: "text",
    storeType: "text",
    nullable: false,
    carriedAsText: false,
  })),
  key: ["b", "a"],
  appendOnly: false,
};
const read: ReadTable = { shape, kind: "r", where: null, collations: { a: 'pg_catalog."C"' } };
const from = 'copy (select "b", "a", "v" from only "public"."o""dd"';

test("a chunk begins behind the last key, in the order of the index", () => {
  const order = ' order by "b", "a" collate pg_catalog."C" limit 10) to stdout';
  assert.equal(nextChunk(read, null, 10), `${from}${order}`);
  assert.equal(
    nextChunk(read, ["it's", "c:\\"], 10),
    `${from} where (("b", "a" collate pg_catalog."C") > ('it''s',  E'c:\\\\')\n)${order}`,
  );
});

test("a condition holds in every query, and its comments end with its line", () => {
  const some = { ...read, where: "v <> 'x' -- not these" };
  assert.equal(wholeTable(some), `${from} where (v <> 'x' -- not these\n)) to stdout`);
  assert.match(nextChunk(some, ["1", "2"], 5), /> \('1', '2'\)\n\) and \(v <> 'x' -- not these\n\) order by/);
  assert.match(rowsOfKeys(some, [["1", "2"]]), /\("b", "a"\) in \(\('1', '2'\)\)\n\) and \(v/);
  assert.match(pageRange(some, 10, 20), /ctid >= '\(10,0\)'::tid and ctid < '\(20,0\)'::tid\n\) and \(v/);
});

test("of a partitioned table the partitions are read, of any other its own rows only", () => {
  assert.match(wholeTable({ ...read, kind: "p" }), /from "public"/);
  assert.match(wholeTable(read), /from only "public"/);
});

test("parts of a first load leave no page out and read none twice, whatever the sizes; the last one is open", () => {
  for (const pages of [0, 1, 4_096, 4_097, 100_000]) {
    const parts = planCopies([{ read, heaps: [{ schema: "s", table: "t", pages }] }], 2);
    const bounds = parts
      .map(({ sql }) => [/>= '\((\d+),0\)'/.exec(sql)?.[1] ?? "0", /< '\((\d+),0\)'/.exec(sql)?.[1] ?? "open"] as const)
      .sort(([a], [b]) => Number(a) - Number(b));
    assert.equal(bounds[0]?.[0], "0");
    assert.equal(bounds.at(-1)?.[1], "open");
    bounds.slice(1).forEach(([begin], i) => {
      assert.equal(begin, bounds[i]?.[1]);
    });
    assert.equal(
      parts.reduce((sum, part) => sum + part.pages, 0),
      pages,
    );
  }
});

test("one connection reads each table in one piece, and so is a table whose partitions lie elsewhere", () => {
  const heaps = [{ schema: "s", table: "t", pages: 1_000_000 }];
  assert.equal(planCopies([{ read, heaps }], 1).length, 1);
  assert.deepEqual(planCopies([{ read, heaps: null }], 4), [{ table: 0, sql: wholeTable(read), pages: 0 }]);
});
