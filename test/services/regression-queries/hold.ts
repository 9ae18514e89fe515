/** One query of the suite, kept as a view over its tables while their rows come, change and go. */
import assert from "node:assert/strict";
import pg from "pg";
import { MillraceError } from "../../../src/base/errors.ts";
import type { Random } from "../../../src/base/random.ts";
import { mirrorName, quote, sql, type ViewDefinition, view } from "../../../src/catalog/definitions.ts";
import { compileViewSync } from "../../../src/views/compile.ts";
import { type CompiledView, hiddenKey, type ViewClass } from "../../../src/views/compiled-view.ts";
import { type LawChange, LawDriver, type LawRow } from "../../../src/views/law-driver.fixture.ts";
import type { SuiteTable } from "./tables.ts";

export type Outcome =
  | { readonly kind: "held"; readonly class: ViewClass }
  /** The compiler does not take it, and says so. */
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  /** The query itself cannot run on these rows, or answers otherwise each time. */
  | { readonly kind: "unfit"; readonly message: string };

const batches = process.env.MILLRACE_SOAK === "1" ? 4 : 3;
const batchSize = 12;
/** Two answers of one query, by other ways. */
const otherWays = [
  "set enable_hashagg = off",
  "set enable_sort = off",
  "set enable_seqscan = off",
  "set enable_hashjoin = on",
  "set enable_mergejoin = on",
  "set enable_nestloop = off",
];

export async function hold(
  client: pg.Client,
  text: string,
  columns: readonly string[],
  tables: readonly SuiteTable[],
  random: Random,
): Promise<Outcome> {
  const definition = definitionOf(text, columns);
  let compiled: CompiledView;
  try {
    compiled = compileViewSync({ view: definition, mirrors: tables.map(({ binding }) => binding), version: 1 });
  } catch (cause) {
    const { code, message } = MillraceError.from(cause);
    return { kind: "refused", code, message };
  }
  const used = tables.filter(({ binding }) => compiled.uses.some(({ mirrorId }) => mirrorId === binding.id));
  const driver = await LawDriver.create(
    client,
    used.map(({ binding }) => binding),
  );
  await driver.batch(used.flatMap(firstRows));
  try {
    await driver.define(definition);
    for (let i = 0; i < batches; i++) await driver.batch(someChanges(used, random));
    return { kind: "held", class: compiled.class };
  } catch (cause) {
    await client.query("rollback");
    const unfit = await unfitness(client, compiled.query, used, cause);
    if (unfit === null) throw new Error(`${text}\n${cause instanceof Error ? cause.message : cause}`, { cause });
    return { kind: "unfit", message: unfit };
  } finally {
    await client.query("discard temp");
    await client.query("drop schema if exists views, millrace, regress cascade");
  }
}

function definitionOf(text: string, columns: readonly string[]): ViewDefinition {
  const named = `select * from (${text}\n) q (${columns.join(", ")})`;
  return view("v", { ...sql``, text: named });
}

function firstRows({ binding, rows }: SuiteTable): LawChange[] {
  return rows.map(
    (row, i): LawChange => ({ op: "put", mirrorId: binding.id, row: withHidden(binding.shape.key, row, i) }),
  );
}

function withHidden(key: readonly string[] | null, row: LawRow, i: number): LawRow {
  return key === null ? { ...row, [hiddenKey]: String(i) } : row;
}

/** Rows that go, that come back, and that get values of other rows. */
function someChanges(tables: readonly SuiteTable[], random: Random): LawChange[] {
  const filled = tables.filter(({ rows }) => rows.length > 0);
  if (filled.length === 0) return [];
  return Array.from({ length: 1 + random.below(batchSize) }, () => {
    const { binding, rows } = filled[random.below(filled.length)] as SuiteTable;
    const { id, shape } = binding;
    const at = random.below(Math.min(rows.length, random.below(2) === 0 ? 12 : rows.length));
    const row = withHidden(shape.key, rows[at] as LawRow, at);
    const key = shape.key ?? [hiddenKey];
    if (random.below(3) === 0)
      return { op: "delete", mirrorId: id, key: Object.fromEntries(key.map((name) => [name, row[name] ?? null])) };
    const changed: Record<string, string | null> = { ...row };
    for (const { name, nullable } of shape.columns) {
      if (key.includes(name) || random.below(2) === 0) continue;
      const other = rows[random.below(rows.length)]?.[name] ?? null;
      changed[name] = nullable && random.below(10) === 0 ? null : other;
    }
    return { op: "put", mirrorId: id, row: changed };
  });
}

/** Why the query itself is to blame; null when it is not. */
async function unfitness(
  client: pg.Client,
  query: string,
  tables: readonly SuiteTable[],
  cause: unknown,
): Promise<string | null> {
  if (!(cause instanceof assert.AssertionError)) {
    // Rows that an expression refuses, which the view's statements meet before the query would, or an operator of the suite's own.
    if (cause instanceof pg.DatabaseError && /^2[12]/.test(cause.code ?? "")) return cause.message;
    const own = await client.query(query).then(
      () => null,
      (error: Error) => error.message,
    );
    return cause instanceof Error && own === cause.message ? own : null;
  }
  const answer = async () => {
    const { rows } = await client.query<{ row: string }>(`select q::text as row from (${query}\n) q order by 1`);
    return JSON.stringify(rows.map(({ row }) => row));
  };
  const first = await answer();
  for (const way of otherWays) {
    await client.query(way);
    if ((await answer()) !== first) return "its answer depends on the plan";
  }
  for (const salt of ["a", "b", "c"]) {
    for (const table of tables) await shuffle(client, table, salt);
    if ((await answer()) !== first) return "its answer depends on the order in which its rows are stored";
  }
  return null;
}

/** The same rows in another order. */
async function shuffle(client: pg.Client, { binding: { shape } }: SuiteTable, salt: string): Promise<void> {
  const table = `${quote(shape.source)}.${quote(mirrorName(shape.schema, shape.table))}`;
  await client.query(`create temp table shuffled as select * from ${table} t order by md5(t::text || '${salt}')`);
  await client.query(`delete from ${table}`);
  await client.query(`insert into ${table} select * from shuffled`);
  await client.query("drop table shuffled");
}
