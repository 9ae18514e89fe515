/**
 * The versions of a view's rows as a table: what it is called, what it has, and how it is made. A version is a row with the
 * time from which on it was valid, and up to which (NULL for the one that is valid now). Pure.
 *
 * Always true: of one key at most one version is valid at a time, and exactly the rows of the view have one now. The
 * table outlives the versions of the view; beside it stands a row of `millrace.histories`.
 */
import { quote } from "../../catalog/definitions.ts";
import type { TableShape } from "../../schema/table-shape.ts";
import { validFrom, validTo } from "../compile/as-of.ts";
import { historyName } from "../compile/history-name.ts";
import { contentHash } from "../compile/multiset.ts";
import { type CompiledView, hiddenKey } from "../compiled-view.ts";
import type { ViewColumn } from "../view-info.ts";

/** Of the row's key, whatever its types and sizes. */
export const keyHash = "_millrace_key";

const moment = "timestamp with time zone";

export function historyTable(view: string): string {
  return `millrace.${quote(`${view}__history`)}`;
}

/** What people and readers select from. */
export function historyRelation(view: string): string {
  return `views.${quote(historyName(view))}`;
}

function sequence(view: string): string {
  return `millrace.${quote(`${view}__history_seq`)}`;
}

/** The number of a version that is new. */
export function nextVersion(view: string): string {
  return `nextval('${sequence(view)}')`;
}

export function hashOfKey(key: readonly string[], alias: string): string {
  return contentHash(key.map((name) => `${alias}.${quote(name)}`));
}

/**
 * What the versions' table is for views that read it: a table without a primary key. `columns` are those of the view; versions
 * of before may lack a value where the view has one now.
 */
export function historyShape(
  view: string,
  key: readonly string[],
  columns: readonly Pick<ViewColumn, "name" | "type">[],
): TableShape {
  const own = [
    ...columns.map(({ name, type }) => ({ name, type, nullable: true })),
    { name: validFrom, type: moment, nullable: false },
    { name: validTo, type: moment, nullable: true },
  ];
  return {
    source: "millrace",
    schema: "public",
    table: `${view}__history`,
    topic: "",
    columns: own.map(({ name, type, nullable }) => ({
      name,
      sourceType: type,
      storeType: type,
      nullable,
      carriedAsText: false,
    })),
    key: null,
    appendOnly: true,
    history: { view, key },
  };
}

export function isHistory({ shape }: { readonly shape: TableShape }): boolean {
  return shape.history !== undefined;
}

/** The view's own columns. */
export function rowColumns({ columns }: TableShape): TableShape["columns"] {
  return columns.filter(({ name }) => name !== validFrom && name !== validTo);
}

export function createHistory(shape: TableShape, view: string, key: readonly string[]): string[] {
  const table = historyTable(view);
  const columns = rowColumns(shape).map(({ name, storeType }) => `${quote(name)} ${storeType}`);
  return [
    ...dropHistory(view),
    `create sequence ${sequence(view)}`,
    `create table ${table} (${[`${hiddenKey} bigint primary key`, ...columns, `${validFrom} ${moment} not null`, `${validTo} ${moment}`, `${keyHash} bytea not null`].join(", ")}, ` +
      `constraint later check (${validTo} > ${validFrom})) with (fillfactor = 90)`,
    `create unique index on ${table} (${keyHash}) where ${validTo} is null`,
    `create index on ${table} ${keyIndex(shape, key)}`,
    `create index on ${table} (${validTo})`,
    showHistory(shape, view),
  ];
}

function showHistory(shape: TableShape, view: string): string {
  const names = shape.columns.map(({ name }) => quote(name)).join(", ");
  return `create view ${historyRelation(view)} as select ${names} from ${historyTable(view)}`;
}

/** People's tools see what they see of the view: where that has a policy, nothing. */
export function grantHistory({ name, policy }: CompiledView, readerRole: string): string {
  const [may, to] = policy === undefined ? ["grant select", "to"] : ["revoke all", "from"];
  return `${may} on ${historyRelation(name)} ${to} ${quote(readerRole)}`;
}

/** Dependents of the shown relation, which are not ours, go as those of a view do. */
export function dropHistory(view: string): string[] {
  return [
    `drop view if exists ${historyRelation(view)} cascade`,
    `drop table if exists ${historyTable(view)} cascade`,
    `drop sequence if exists ${sequence(view)}`,
  ];
}

/** Made in the transaction that fills it, where none could be widened: a key that may be of any length has an index for that from the start. */
function keyIndex({ columns }: TableShape, key: readonly string[]): string {
  const typeOf = (name: string) => columns.find((one) => one.name === name)?.storeType ?? "";
  const wide = key.find((name) => !boundedTypes.test(typeOf(name)));
  if (wide === undefined) return `(${[...key.map(quote), validFrom].join(", ")})`;
  return `using ${typeOf(wide) === "text" ? "spgist" : "hash"} (${quote(wide)})`;
}

const boundedTypes =
  /^(smallint|integer|bigint|real|double precision|boolean|uuid|date|time|timestamp|interval|numeric\(|character(?: varying)?\(\d{1,2}\))/;

/** Versions stay while the view has the same key and, with the same types, at least the columns that it had. */
export function addedColumns(from: TableShape, to: TableShape): readonly string[] | null {
  const sameKey = JSON.stringify(from.history?.key) === JSON.stringify(to.history?.key);
  const known = new Map(rowColumns(from).map(({ name, storeType }) => [name, storeType]));
  const now = new Map(rowColumns(to).map(({ name, storeType }) => [name, storeType]));
  if (!sameKey || [...known].some(([name, type]) => now.get(name) !== type)) return null;
  return [...now.keys()].filter((name) => !known.has(name));
}

/** Versions of before have NULL in what is new. */
export function growHistory(shape: TableShape, view: string, added: readonly string[]): string[] {
  const types = new Map(shape.columns.map(({ name, storeType }) => [name, storeType]));
  return [
    `drop view if exists ${historyRelation(view)} cascade`,
    ...added.map((name) => `alter table ${historyTable(view)} add column ${quote(name)} ${types.get(name)}`),
    showHistory(shape, view),
  ];
}
