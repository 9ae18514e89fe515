/**
 * Rows that a version keeps for itself: those of a subquery, as a table and, in each batch, the changes of it. A row is told
 * from others by what is in it, and from equal ones by a number (`multiset.ts`): a row that changes goes and comes.
 *
 * Always true: when the statements of `recompute` that stand before `apply` have run, the changes are what brings the table
 * to the query; when all have, it is the query.
 */
import { quote } from "../../../catalog/definitions.ts";
import { type MirrorBinding, weightColumn } from "../../compiled-view.ts";
import { rowsAnew } from "../keyed/state.ts";
import type { RowsTables, TracedRows } from "../keyed/trace-rows.ts";
import { content, copy, numbered } from "../multiset.ts";
import { isText, type SqlType, unknownType } from "../sql-type.ts";
import type { StateNames } from "../state.ts";

/** What it is made of may be one itself; the lowest one has the highest level. */
export const levelsMax = 3;

/** As statements name them; temporary ones are made by their bare name. */
export interface InnerTables extends RowsTables {
  readonly table: string;
  readonly deltaName: string;
  readonly freshName: string;
  readonly changesName: string;
  readonly changesTable: string;
}

export function innerTables({ view, version }: StateNames, level: number): InnerTables {
  const table = `${view}__${version}_inner${level}`;
  const temporary = (prefix: string) => quote(`${prefix}${level}_${view}__${version}`);
  const [deltaName, freshName, changesName] = [temporary("dv"), temporary("fr"), temporary("dl")];
  return {
    table,
    stateTable: `millrace.${quote(table)}`,
    deltaName,
    deltaTable: `pg_temp.${deltaName}`,
    freshName,
    freshTable: `pg_temp.${freshName}`,
    changesName,
    changesTable: `pg_temp.${changesName}`,
  };
}

/** What the rows are called where they are filled from, in one statement with what is made of them. */
export function filledName(level: number): string {
  return quote(`_millrace_inner${level}`);
}

/** The rows as a table that queries read. */
export function innerMirror(rows: TracedRows, { table, stateTable, changesTable }: InnerTables, label: string) {
  const columns = rows.columns.map((name, i) => {
    const storeType = typeName(typeOf(rows, i));
    return { name, sourceType: storeType, storeType, nullable: !rows.required.includes(name), carriedAsText: false };
  });
  const key = rows.rowKey?.map((i) => rows.columns[i] ?? "") ?? null;
  const mirror: MirrorBinding = {
    id: 1,
    shape: { source: "millrace", schema: "public", table, topic: "", columns, key, appendOnly: false },
    kept: { rows: stateTable, changes: changesTable, label },
  };
  return mirror;
}

function typeOf({ query }: TracedRows, column: number): SqlType {
  const types = query.alternatives.map(({ outputs }) => outputs[column]?.type ?? unknownType);
  return types.find(({ name }) => name !== unknownType.name) ?? unknownType;
}

function typeName({ name, modifier, array }: SqlType): string {
  if (name === "literal") return "text";
  return `${name}${modifier === null ? "" : `(${modifier})`}${array ? "[]" : ""}`;
}

export interface InnerState {
  readonly create: readonly string[];
  readonly drop: readonly string[];
  readonly connect: readonly string[];
  readonly clear: readonly string[];
  /** The statement that fills it and yields its rows. */
  readonly fill: string;
  /** Brings it to what the keys in its delta table are now; with terms over its changes, before and after it takes them. */
  readonly recompute: (before: readonly string[], after: readonly string[]) => string[];
}

export function makeInnerState(rows: TracedRows, tables: InnerTables): InnerState {
  const { stateTable, freshTable, changesTable } = tables;
  const queried = rows.columns.map(quote);
  const all = [...queried, content, copy];
  const listed = all.join(", ");
  const whole = numbered(`select * from (${rows.whole}) q (${queried.join(", ")})`, queried);
  const required = [...rows.required.map(quote), content, copy].map((name) => `alter column ${name} set not null`);
  const stale = rows.slices.map(({ where }) => `select ${listed} from ${stateTable} v where ${where("v")}`);
  const same = (a: string, b: string) => `${a}.${content} = ${b}.${content} and ${a}.${copy} = ${b}.${copy}`;
  const temporary = (name: string, columns: string) =>
    `create temporary table if not exists ${name} as select ${columns} from ${stateTable} with no data`;
  return {
    create: [
      `create table ${stateTable} as\n${whole}\nwith no data`,
      `alter table ${stateTable} ${required.join(", ")}`,
      `create unique index on ${stateTable} (${content}, ${copy})`,
      innerIndex(rows, tables, rows.traceKey),
    ],
    drop: [`drop table if exists ${stateTable}`],
    connect: [
      temporary(tables.deltaName, rows.traceKey.map(quote).join(", ")),
      temporary(tables.freshName, listed),
      temporary(tables.changesName, `0 as ${quote(weightColumn)}, ${listed}`),
    ],
    clear: [tables.deltaTable, freshTable, changesTable].map((table) => `delete from ${table}`),
    fill: `insert into ${stateTable} (${listed})\n${whole}\nreturning ${queried.join(", ")}`,
    recompute: (before, after) => [
      ...rowsAnew(rows).map((query) => `insert into ${freshTable} (${listed})\n${numbered(query, queried)}`),
      `with stale as (${stale.join("\nunion all ")})\ninsert into ${changesTable} (${quote(weightColumn)}, ${listed})\n` +
        `select -1, ${listed} from stale s where not exists (select from ${freshTable} f where ${same("f", "s")})\n` +
        `union all select 1, ${listed} from ${freshTable} f where not exists (select from stale s where ${same("s", "f")})`,
      ...before,
      `delete from ${stateTable} v using ${changesTable} d where d.${quote(weightColumn)} = -1 and ${same("v", "d")}`,
      `insert into ${stateTable} (${listed}) select ${listed} from ${changesTable} where ${quote(weightColumn)} = 1`,
      ...after,
    ],
  };
}

const bounded = new Set("bool int2 int4 int8 float4 float8 date time timestamp timestamptz interval uuid".split(" "));

/** By which rows are found by `=`, however long a value is. */
export function innerIndex(rows: TracedRows, { stateTable }: InnerTables, columns: readonly string[]): string {
  const parts = columns.map((name) => ({ name: quote(name), type: typeOf(rows, rows.columns.indexOf(name)) }));
  const end = parts.findIndex(({ type }) => type.array || !bounded.has(type.name));
  const ordered = end < 0 ? parts : parts.slice(0, end);
  if (ordered.length > 0) return `create index on ${stateTable} (${ordered.map(({ name }) => name).join(", ")})`;
  const [first] = parts;
  // Equal values share a chain of a hash index, which is searched for room by each insertion; texts have a tree.
  const method = first !== undefined && isText(first.type) && first.type.name !== "bpchar" ? "spgist" : "hash";
  return `create index on ${stateTable} using ${method} (${first?.name})`;
}
