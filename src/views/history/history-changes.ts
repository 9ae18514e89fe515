/**
 * How a history follows its view: statements that find what changes in the versions' table, as images in its delta, and
 * that bring the table to it. Views that read the history have their terms between the two, as with every mirror. Pure.
 *
 * Always true: a version ends where the next one of its key begins; times of one history only grow.
 */
import { quote } from "../../catalog/definitions.ts";
import type { PipelineStatement } from "../applier-pipeline.ts";
import { validFrom, validTo } from "../compile/as-of.ts";
import { type CompiledView, hiddenKey, shownRows, weightColumn } from "../compiled-view.ts";
import { deltaTable, type Mirror } from "../mirror.ts";
import { changedAt, momentOf, movedTo } from "./history-store.ts";
import { hashOfKey, historyTable, keyHash, nextVersion, rowColumns } from "./history-table.ts";

/** Why versions change. */
export type HistoryChange =
  /** The view's change rows of this batch, which happened then. */
  | { readonly kind: "batch"; readonly batch: number; readonly atMs: number }
  /** Another version of the view takes the place of the one that is followed. */
  | { readonly kind: "swap"; readonly atMs: number }
  /** Versions that ended before this go, so many at most. */
  | { readonly kind: "expiry"; readonly beforeMs: number; readonly rowsMax: number };

/** A history with its view; the mirror is how other views know it. */
export interface Followed {
  readonly view: CompiledView;
  readonly mirror: Mirror;
}

/** Puts the images of what changes into the mirror's delta, which is empty. */
export function findChanges(followed: Followed, change: HistoryChange): PipelineStatement[] {
  const { view, mirror } = followed;
  if (change.kind === "expiry") {
    const values = [momentOf(change.beforeMs), change.rowsMax];
    return [{ sql: imagesOfExpiry(followed), values, fresh: true }];
  }
  const at = momentOf(change.atMs);
  const images =
    change.kind === "batch"
      ? [{ sql: imagesOfBatch(followed), values: [at, change.batch] }]
      : overWholeTables([{ sql: imagesOfSwap(followed), values: [at], fresh: true }]);
  return [...images, moveTime(view.name, at, `exists (select from ${deltaTable(mirror.id)})`)];
}

/** Brings the versions' table to the images. */
export function applyChanges({ view, mirror }: Followed): PipelineStatement[] {
  const table = historyTable(view.name);
  const delta = deltaTable(mirror.id);
  const columns = mirror.shape.columns.map(({ name }) => quote(name));
  const isThere = `exists (select from ${delta} n where n.${hiddenKey} = d.${hiddenKey} and n.${weightColumn} > 0)`;
  return [
    `delete from ${table} h using ${delta} d where d.${weightColumn} < 0 and h.${hiddenKey} = d.${hiddenKey} and not ${isThere}`,
    `update ${table} h set ${validTo} = d.${validTo} from ${delta} d where d.${weightColumn} > 0 and d.${validTo} is not null and h.${hiddenKey} = d.${hiddenKey}`,
    `insert into ${table} (${[hiddenKey, keyHash, ...columns].join(", ")}) ` +
      `select ${[`d.${hiddenKey}`, hashOfKey(view.key ?? [], "d"), ...columns.map((name) => `d.${name}`)].join(", ")} ` +
      `from ${delta} d where d.${weightColumn} > 0 and d.${validTo} is null`,
  ].map((sql) => ({ sql }));
}

/** The same at once, for a history that no view reads meanwhile; `atMs` is when what was there before has changed. */
export function bringToView({ view, mirror }: Followed, atMs: number | null): PipelineStatement[] {
  const table = historyTable(view.name);
  const key = view.key ?? [];
  const columns = rowColumns(mirror.shape).map(({ name }) => quote(name));
  const rows = rowsOf(view, columns);
  const same = sameRow(columns, "h", "s");
  const move = atMs === null ? [] : [moveTime(view.name, momentOf(atMs), "true")];
  const statements = [
    `update ${table} h set ${validTo} = ${changedAt(view.name)} where h.${validTo} is null and not exists ` +
      `(select from (${rows}) s where ${hashOfKey(key, "s")} = h.${keyHash} and ${same})`,
    `insert into ${table} (${[hiddenKey, keyHash, ...columns, validFrom].join(", ")}) ` +
      `select ${[nextVersion(view.name), hashOfKey(key, "s"), ...columns.map((name) => `s.${name}`), changedAt(view.name)].join(", ")} ` +
      `from (${rows}) s where not exists (select from ${table} h where h.${keyHash} = ${hashOfKey(key, "s")} and h.${validTo} is null)`,
    `analyze ${table}`,
  ].map((sql) => ({ sql, fresh: true }));
  return [...move, ...overWholeTables(statements)];
}

/** Rows of the view and versions are compared by hashing: by loops it would take their square. */
function overWholeTables(statements: readonly PipelineStatement[]): PipelineStatement[] {
  const joins = (on: boolean) => ["hashjoin", "mergejoin"].map((one) => ({ sql: `set local enable_${one} = ${on}` }));
  return [...joins(true), ...statements, ...joins(false)];
}

/** What a transaction changes has one moment, which is after all moments before it. */
function nextMoment(view: string): string {
  return `(select greatest($1::timestamptz, at + interval '1 microsecond') from millrace.histories where view = '${view}')`;
}

function moveTime(view: string, at: string, where: string): PipelineStatement {
  return {
    sql: `update millrace.histories set ${movedTo("greatest($1::timestamptz, at + interval '1 microsecond')")} where view = '${view}' and ${where}`,
    values: [at],
  };
}

function imagesOfBatch({ view, mirror }: Followed): string {
  const { target, columns } = images(mirror);
  const log = (w: string) => `from ${view.logTable} l where l.batch = $2::bigint and l.w ${w} 0`;
  const gone = `(select ${hashOfKey(view.key ?? [], "l")} as hash ${log("<")}) g`;
  return (
    `insert into ${target} ${ended(view, columns, `${gone} join ${historyTable(view.name)} h on h.${keyHash} = g.hash and h.${validTo} is null`)} ` +
    `union all select 1, ${nextVersion(view.name)}, ${columns.map((name) => `l.${name}`).join(", ")}, ${nextMoment(view.name)}, null ${log(">")}`
  );
}

/** Each key once: what was, what is of it, and what comes. */
function imagesOfSwap({ view, mirror }: Followed): string {
  const { target, columns } = images(mirror);
  const state = `(select s.*, ${hashOfKey(view.key ?? [], "s")} as ${keyHash} from (${rowsOf(view, columns)}) s)`;
  const open = `(select * from ${historyTable(view.name)} where ${validTo} is null)`;
  const moment = nextMoment(view.name);
  const picked = columns.map((name) => `case when e.n < 3 then h.${name} else s.${name} end`);
  return (
    `insert into ${target} select case when e.n = 1 then -1 else 1 end, case when e.n < 3 then h.${hiddenKey} else ${nextVersion(view.name)} end, ` +
    `${[...picked, `case when e.n < 3 then h.${validFrom} else ${moment} end`, `case when e.n = 2 then ${moment} end`].join(", ")} ` +
    `from ${open} h full join ${state} s on s.${keyHash} = h.${keyHash} ` +
    `join (values (1), (2), (3)) e(n) on case when e.n < 3 then h.${hiddenKey} is not null else s.${keyHash} is not null end ` +
    `where h.${hiddenKey} is null or s.${keyHash} is null or not ${sameRow(columns, "h", "s")}`
  );
}

function imagesOfExpiry({ view, mirror }: Followed): string {
  const { target, columns } = images(mirror);
  const listed = [hiddenKey, ...columns, validFrom, validTo].map((name) => `h.${name}`).join(", ");
  return (
    `insert into ${target} select -1, ${listed} from ${historyTable(view.name)} h ` +
    `where h.${validTo} <= $1::timestamptz order by h.${validTo} limit $2::bigint`
  );
}

/** A version that ends: as it was, and with its end. */
function ended(view: CompiledView, columns: readonly string[], from: string, where = ""): string {
  const row = [hiddenKey, ...columns, validFrom].map((name) => `h.${name}`).join(", ");
  return (
    `select e.w, ${row}, case when e.w > 0 then ${nextMoment(view.name)} end ` +
    `from ${from} cross join (values (-1), (1)) e(w) ${where}`
  );
}

function images({ id, shape }: Mirror): { readonly target: string; readonly columns: readonly string[] } {
  const columns = rowColumns(shape).map(({ name }) => quote(name));
  const listed = [weightColumn, hiddenKey, ...columns, validFrom, validTo].join(", ");
  return { target: `${deltaTable(id)} (${listed})`, columns };
}

/** What the version of the view shows. */
export function rowsOf(view: CompiledView, columns: readonly string[]): string {
  return `select ${columns.map((name) => `r.${name}`).join(", ")} from (${shownRows(view)}) r`;
}

/** By their binary images, as rows of mirrors are compared. */
function sameRow(columns: readonly string[], a: string, b: string): string {
  const row = (alias: string) => `row(${columns.map((name) => `${alias}.${name}`).join(", ")})::record`;
  return `(${row(a)} *= ${row(b)})`;
}
