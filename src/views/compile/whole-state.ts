/**
 * The tables of a view that is recomputed whole, and its statements. A batch only notes that something was changed that
 * the view reads; what its query gives is compared with its rows in one snapshot, and the differences are brought in later.
 *
 * Always true: `batch` of the reach is NULL while nothing that the view reads has changed since its rows were computed;
 * otherwise the view is its query of right after that batch. Change rows carry the batch of the snapshot.
 */
import { quote } from "../../catalog/definitions.ts";
import type { WholeRefresh } from "../compiled-view.ts";
import { content, copy, createMultiset, numbered } from "./multiset.ts";
import { hiddenPrefix } from "./plan.ts";
import {
  createLog,
  type KeyTables,
  keyIndexes,
  type StateNames,
  type StateSql,
  sameKey,
  stateTables,
} from "./state.ts";

export interface WholePlan {
  readonly names: readonly string[];
  /** Columns of the query that are never NULL. */
  readonly required: readonly string[];
  /** Over the mirrors. */
  readonly query: string;
  /** Null where equal rows are told apart by a number. */
  readonly rowKey: readonly string[] | null;
  readonly everyMs: number;
}

/** How often a row came (or went, below zero) from one computation to the next. */
const weight = quote(`${hiddenPrefix}w`);

export function makeWholeState(plan: WholePlan, names: StateNames): StateSql & { readonly whole: WholeRefresh } {
  const { stateTable, logTable, keyTable, deltaName, deltaTable, dropRows } = stateTables(names);
  const own = `${names.view}__${names.version}`;
  const reachTable = `millrace.${quote(`${own}_reach`)}`;
  const nextTable = `millrace.${quote(`${own}_next`)}`;
  const shown = plan.names.map(quote);
  const multiset = plan.rowKey === null;
  const columns = multiset ? [...shown, content, copy] : shown;
  const rowKey = plan.rowKey?.map(quote) ?? [content, copy];
  const nullable = plan.rowKey?.every((name) => plan.required.includes(name)) === false;
  const tables: KeyTables = { stateTable, keyTable, nullable };
  const selected = `select * from (${plan.query}) q (${shown.join(", ")})`;
  const rows = multiset ? numbered(selected, shown) : selected;
  const required = [...plan.required.map(quote), ...(multiset ? [content, copy] : [])].map(
    (name) => `alter column ${name} set not null`,
  );
  const list = columns.join(", ");
  return {
    stateTable,
    logTable,
    deltaTable,
    deltaTarget: deltaTable,
    create: [
      `create table ${stateTable} with (fillfactor = 70) as\n${rows}\nwith no data`,
      ...(required.length === 0 ? [] : [`alter table ${stateTable} ${required.join(", ")}`]),
      ...(multiset
        ? createMultiset({ ...names, stateTable, publicNames: shown, shown: null })
        : keyIndexes(tables, rowKey)),
      ...createLog(stateTable, logTable, shown),
      `create table ${reachTable} (batch bigint, changed bigint, oldest bigint not null, runs bigint not null) with (fillfactor = 30)`,
      `insert into ${reachTable} values (0, null, 1, 0)`,
      // What a lost server leaves of it is of no use.
      `create unlogged table ${nextTable} as select 0 as ${weight}, s.* from ${stateTable} s with no data`,
    ],
    drop: [
      ...(multiset ? [dropRows] : []),
      `drop table if exists ${logTable}, ${nextTable}, ${reachTable}, ${stateTable}`,
      ...(nullable ? [`drop table if exists ${keyTable}`] : []),
    ],
    publicView: `create or replace view views.${quote(names.view)} as select ${shown.join(", ")} from ${stateTable}`,
    fill: `insert into ${stateTable} (${list})\n${rows}`,
    connect: [`create temporary table if not exists ${deltaName} (changed boolean)`],
    clear: [`delete from ${deltaTable}`],
    recompute: [],
    merge: (batch) =>
      `update ${reachTable} set batch = coalesce(batch, ${batch} - 1), changed = ${batch} where exists (select from ${deltaTable})`,
    whole: {
      everyMs: plan.everyMs,
      reachTable,
      filled: (batch) => `update ${reachTable} set batch = ${batch}`,
      readable: `update ${reachTable} set batch = case when changed > batch then batch end`,
      compare: [`truncate ${nextTable}`, compare(columns, rows, stateTable, nextTable)],
      bring: (batch) => [
        `delete from ${stateTable} v using ${nextTable} s where s.${weight} < 0 and ${sameKey("v", "s", rowKey, tables)}`,
        // A row that came twice meets the unique index of its key.
        `insert into ${stateTable} (${list}) select ${columns.map((name) => `s.${name}`).join(", ")} from ${nextTable} s, generate_series(1, s.${weight})`,
        `insert into ${logTable} (batch, w, ${shown.join(", ")}) select ${batch}, s.${weight}, ${shown.map((name) => `s.${name}`).join(", ")} from ${nextTable} s`,
        `truncate ${nextTable}`,
      ],
      brought: (batch, runs) =>
        `update ${reachTable} set batch = case when changed > ${batch} then ${batch} end, runs = runs + 1 where runs = ${runs}`,
      forget: (batch) =>
        `with gone as (delete from ${logTable} where batch <= ${batch} returning batch) ` +
        `update ${reachTable} set oldest = ${batch} + 1 where exists (select from gone)`,
    },
  };
}

/** By the rows' texts: each type has one, and 1.0 and 1.00 are two. */
function compare(columns: readonly string[], rows: string, stateTable: string, nextTable: string): string {
  const list = columns.join(", ");
  const image = (alias: string) => `row(${columns.map((name) => `${alias}.${name}`).join(", ")})::text`;
  const side = (w: number, alias: string, from: string) =>
    `select ${w} as w, ${image(alias)} as _millrace_image, ${columns.map((name) => `${alias}.${name}`).join(", ")} from ${from} ${alias}`;
  return [
    `insert into ${nextTable} (${weight}, ${list})`,
    `select sum(b.w)::integer, ${columns.map((name) => `any_value(b.${name})`).join(", ")}`,
    `from (${side(1, "q", `(${rows})`)}\nunion all\n${side(-1, "v", stateTable)}) b`,
    "group by b._millrace_image having sum(b.w) <> 0",
  ].join("\n");
}
