import assert from "node:assert/strict";
import { test } from "node:test";
import type { TableShape } from "../../schema/table-shape.ts";
import { LoadProgress } from "./load-progress.ts";

const shape = (table: string) => ({ schema: "public", table }) as unknown as TableShape;
const tables = ["a", "b", "c"].map((name) => ({ shape: shape(name), rowsEstimated: name === "c" ? -1 : 100.4 }));

test("each table of a first load tells its rows, its rate and its rest until its last part is read", () => {
  const progress = new LoadProgress(tables, [{ table: 1 }, { table: 0 }, { table: 1 }, { table: 2 }], "it is new");
  const all = { reason: "it is new", rows: 0, rowsPerSecond: null, remainingMs: null };
  const waiting = (table: string, rowsEstimated: number) => ({ ...all, table, waiting: true, rowsEstimated });
  assert.deepEqual(progress.readings(0), [waiting("public.a", 100), waiting("public.b", 100), waiting("public.c", 0)]);
  progress.begin(1, 1_000).rows += 20;
  progress.begin(1, 1_500).rows += 30;
  assert.deepEqual(progress.readings(2_000), [
    { ...all, table: "public.b", waiting: false, rows: 50, rowsEstimated: 100, rowsPerSecond: 50, remainingMs: 1_000 },
    waiting("public.a", 100),
    waiting("public.c", 0),
  ]);
  progress.end(1);
  assert.equal(progress.readings(2_000)[0]?.table, "public.b");
  progress.end(1);
  assert.deepEqual(
    progress.readings(2_000).map(({ table }) => table),
    ["public.a", "public.c"],
  );
});
