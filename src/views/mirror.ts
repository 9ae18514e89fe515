/**
 * One mirror as SQL text: its table, its staging tables, and the statements of a batch. Pure.
 *
 * `pg_temp.s_N` takes what `StagedTable` netted: the mirror's columns, then `_millrace_del` and `_millrace_keep` (a
 * digit per column, 1 where the mirror's value stays). `pg_temp.d_N` has the images of what really changed, which the
 * views' terms read. Rows are compared by their binary image (`*<>`), so that 1.0 and 1.00 differ and json can be compared.
 */
import { isDeepStrictEqual } from "node:util";
import { mirrorName, quote } from "../catalog/definitions.ts";
import type { ColumnShape, TableShape } from "../schema/table-shape.ts";
import { hiddenKey, weightColumn } from "./compiled-view.ts";
import { type CarriedRow, mirrorKind } from "./staging.ts";

export interface Mirror {
  readonly id: number;
  readonly shape: TableShape;
}

const rowHashColumn = "_millrace_row";

export function mirrorTable(shape: TableShape): string {
  return `${quote(shape.source)}.${quote(mirrorName(shape.schema, shape.table))}`;
}

export function stageTable(id: number): string {
  return `pg_temp.s_${id}`;
}

export function deltaTable(id: number): string {
  return `pg_temp.d_${id}`;
}

/** Columns that come from the log; the store computes the others from them. */
function writtenColumns({ columns }: TableShape): TableShape["columns"] {
  return columns.filter((column) => column.generated === undefined);
}

/** Columns that a delta has, quoted: those of the shape, and the hidden key of a table without one. */
function deltaColumns(shape: TableShape): string[] {
  const columns = shape.columns.map((column) => quote(column.name));
  return shape.key === null ? [...columns, hiddenKey] : columns;
}

/** Those that a statement may give values to. */
function mirrorColumns(shape: TableShape): string[] {
  const columns = deltaColumns({ ...shape, columns: writtenColumns(shape) });
  return mirrorKind(shape) === "whole-row" ? [...columns, rowHashColumn] : columns;
}

function keyColumns(shape: TableShape): string[] {
  return shape.key === null ? [hiddenKey] : shape.key.map(quote);
}

function typedColumn({ name, storeType, generated }: ColumnShape): string {
  const type = `${quote(name)} ${storeType}`;
  return generated === undefined ? type : `${type} generated always as (${generated}) stored`;
}

function typedColumns(shape: TableShape): string[] {
  const columns = shape.columns.map(typedColumn);
  return shape.key === null ? [...columns, `${hiddenKey} bigint`] : columns;
}

/** Of images, which hold what the store has computed. */
function typedImages(shape: TableShape): string[] {
  return typedColumns({ ...shape, columns: shape.columns.map(({ generated, ...column }) => column) });
}

export function createMirror(shape: TableShape): string[] {
  const table = mirrorTable(shape);
  const wholeRow = mirrorKind(shape) === "whole-row";
  const columns = wholeRow ? [...typedColumns(shape), `${rowHashColumn} uuid not null`] : typedColumns(shape);
  const statements = [
    `create schema if not exists ${quote(shape.source)}`,
    `create table ${table} (${[...columns, `primary key (${keyColumns(shape).join(", ")})`].join(", ")}) with (fillfactor = 90)`,
  ];
  if (wholeRow) statements.push(`create index on ${table} (${rowHashColumn})`);
  return statements;
}

/** The same columns and key in another order, or with other names of types, count as different. */
export function sameTable(a: TableShape, b: TableShape): boolean {
  const facts = (shape: TableShape) => JSON.stringify([mirrorKind(shape), shape.key, typedColumns(shape)]);
  return facts(a) === facts(b);
}

/** Statements that bring the mirror from one shape to a later one with more columns; null when it cannot be done so. */
export function addColumns(from: TableShape, to: TableShape): string[] | null {
  const names = new Map(from.columns.map((column) => [column.name, column]));
  const kept = { ...to, columns: to.columns.filter((column) => names.has(column.name)) };
  if (!sameTable(from, kept)) return null;
  const added = to.columns.filter((column) => !names.has(column.name));
  return added.map((column) => `alter table ${mirrorTable(to)} add column ${typedColumn(column)}`);
}

/**
 * Statements that bring a mirror to other computed columns; null when what comes from the log is another. Columns whose
 * meaning stays keep their values and indexes.
 */
export function alterComputed(from: TableShape, to: TableShape): string[] | null {
  const written = (shape: TableShape): TableShape => ({ ...shape, columns: writtenColumns(shape) });
  const isSame = from.records === to.records && isDeepStrictEqual(cellRule(from), cellRule(to));
  if (!isSame || !sameTable(written(from), written(to))) return null;
  const before = new Set(typedColumns(from));
  const after = new Set(typedColumns(to));
  const gone = from.columns.filter((column) => !after.has(typedColumn(column)));
  const come = to.columns.filter((column) => !before.has(typedColumn(column)));
  const changes = [
    ...gone.map(({ name }) => `drop column ${quote(name)}`),
    ...come.map((column) => `add column ${typedColumn(column)}`),
  ];
  return changes.length === 0 ? [] : [`alter table ${mirrorTable(to)} ${changes.join(", ")}`];
}

/** What a record's watermark is computed by: nothing of it changes with when a partition is idle. */
function cellRule({ watermark }: TableShape) {
  return watermark && { ...watermark, idleMs: null };
}

/** Histories get their images from the store itself. */
export function createStaging({ id, shape }: Mirror): string[] {
  const wholeRow = mirrorKind(shape) === "whole-row" ? [`${rowHashColumn} uuid`, "_millrace_count integer"] : [];
  const flags = ["_millrace_del boolean not null", "_millrace_keep text"];
  const images = `create temp table d_${id} (${[`${weightColumn} integer not null`, ...typedImages(shape)].join(", ")})`;
  if (shape.history !== undefined) return [images];
  return [`create temp table s_${id} (${[...typedColumns(shape), ...wholeRow, ...flags].join(", ")})`, images];
}

/** The columns in the order of `StagedTable.lines`. */
export function copyToStage({ id, shape }: Mirror): string {
  const wholeRow = mirrorKind(shape) === "whole-row" ? ["_millrace_count"] : [];
  const columns = [...mirrorColumns(shape), ...wholeRow, "_millrace_del", "_millrace_keep"];
  return `copy ${stageTable(id)} (${columns.join(", ")}) from stdin`;
}

/** Straight into the mirror: only where every row is known to be new. */
export function copyToMirror(shape: TableShape): string {
  return `copy ${mirrorTable(shape)} (${mirrorColumns(shape).join(", ")}) from stdin`;
}

/** Fills cells that the source did not send from the mirror's row. */
export function keepCells({ id, shape }: Mirror): string {
  const key = keyColumns(shape);
  const sets = shape.columns.flatMap((column, i) => {
    const name = quote(column.name);
    if (key.includes(name)) return [];
    return [`${name} = case when substr(s._millrace_keep, ${i + 1}, 1) = '1' then m.${name} else s.${name} end`];
  });
  return `update ${stageTable(id)} s set ${sets.join(", ")} from ${mirrorTable(shape)} m where s._millrace_keep is not null and ${matches(shape)}`;
}

/** The same for a row that had another key before. */
export function carryCells({ id, shape }: Mirror, row: CarriedRow): { sql: string; values: (string | null)[] } {
  const key = keyColumns(shape);
  const columns = row.columns.map((i) => quote(shape.columns[i]?.name ?? ""));
  const from = key.map((name, i) => `m.${name} = $${i + 1}`).join(" and ");
  const to = key.map((name, i) => `s.${name} = $${key.length + i + 1}`).join(" and ");
  return {
    sql:
      `update ${stageTable(id)} s set ${columns.map((name) => `${name} = m.${name}`).join(", ")} ` +
      `from ${mirrorTable(shape)} m where ${from} and ${to}`,
    values: [...row.fromKey, ...row.toKey].map((cell) => cell ?? null),
  };
}

/** Turns removals of whole rows into removals by hidden key: of equal rows the oldest go. */
export function resolveWholeRows({ id, shape }: Mirror): string[] {
  const stage = stageTable(id);
  return [
    `insert into ${stage} (${hiddenKey}, _millrace_del) select m.${hiddenKey}, true from ${stage} s cross join lateral ` +
      `(select ${hiddenKey} from ${mirrorTable(shape)} where ${rowHashColumn} = s.${rowHashColumn} ` +
      `order by ${hiddenKey} limit s._millrace_count) m where s._millrace_count is not null`,
    `delete from ${stage} where _millrace_count is not null`,
  ];
}

/**
 * Brings the mirror to the staged rows and puts the images into `d_N`, in one statement. With `truncated` the mirror's
 * rows that are not staged go. Images of an update are left out when none of the `used` columns changed.
 */
export function applyWithImages(mirror: Mirror, used: readonly string[], truncated: boolean): string {
  const columns = deltaColumns(mirror.shape);
  const old = columns.map((name, i) => `old.${name} as o${i}`);
  const now = columns.map((name, i) => `new.${name} as n${i}`);
  const list = (prefix: string) => columns.map((_, i) => `${prefix}${i}`).join(", ");
  const usedIndexes = columns.flatMap((name, i) => (used.some((u) => quote(u) === name) ? [i] : []));
  const visible =
    usedIndexes.length === 0
      ? "a <> 'UPDATE'"
      : `(a <> 'UPDATE' or ${differ(
          usedIndexes.map((i) => `o${i}`),
          usedIndexes.map((i) => `n${i}`),
        )})`;
  return (
    `with applied as (${merge(mirror, truncated)} returning merge_action() as a, ${[...old, ...now].join(", ")}) ` +
    `insert into ${deltaTable(mirror.id)} (${weightColumn}, ${columns.join(", ")}) ` +
    `select -1, ${list("o")} from applied where a <> 'INSERT' and ${visible} ` +
    `union all select 1, ${list("n")} from applied where a <> 'DELETE' and ${visible}`
  );
}

/** Only the images, for terms that must see the mirror as it was; `apply` follows. */
export function images(mirror: Mirror, used: readonly string[], truncated: boolean): string {
  const { id, shape } = mirror;
  const columns = deltaColumns(shape);
  const key = keyColumns(shape)[0] ?? hiddenKey;
  const list = (prefix: string) => columns.map((name) => `${prefix}.${name}`).join(", ");
  const seen = columns.filter((name) => used.some((u) => quote(u) === name));
  const differs = seen.length === 0 ? "false" : differ(of("m", seen), of("s", seen));
  const stage = stageTable(id);
  const table = mirrorTable(shape);
  const gone = truncated
    ? `select -1, ${list("m")} from ${table} m left join ${stage} s on ${matches(shape)} where s._millrace_del is null or s._millrace_del or ${differs}`
    : `select -1, ${list("m")} from ${stage} s join ${table} m on ${matches(shape)} where s._millrace_del or ${differs}`;
  return (
    `insert into ${deltaTable(id)} (${weightColumn}, ${columns.join(", ")}) ${gone} ` +
    `union all select 1, ${list("s")} from ${stage} s left join ${table} m on ${matches(shape)} ` +
    `where not s._millrace_del and (m.${key} is null or ${differs})`
  );
}

export function apply(mirror: Mirror, truncated: boolean): string {
  return merge(mirror, truncated);
}

function merge({ id, shape }: Mirror, truncated: boolean): string {
  const columns = mirrorColumns(shape);
  return (
    `merge into ${mirrorTable(shape)} m using ${stageTable(id)} s on ${matches(shape)} ` +
    "when matched and s._millrace_del then delete " +
    `when matched and ${differ(of("m", columns), of("s", columns))} then update set ${columns.map((name) => `${name} = s.${name}`).join(", ")} ` +
    `when not matched and not s._millrace_del then insert (${columns.join(", ")}) values (${of("s", columns).join(", ")})` +
    (truncated ? " when not matched by source then delete" : "")
  );
}

function matches(shape: TableShape): string {
  return keyColumns(shape)
    .map((name) => `m.${name} = s.${name}`)
    .join(" and ");
}

function of(prefix: string, columns: readonly string[]): string[] {
  return columns.map((name) => `${prefix}.${name}`);
}

/** By binary image: a plain comparison of rows would ask each type for an operator, and json has none. */
function differ(a: readonly string[], b: readonly string[]): string {
  return `row(${a.join(", ")})::record *<> row(${b.join(", ")})::record`;
}
