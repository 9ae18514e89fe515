/**
 * The tables of a view that is recomputed by key, and its statements. `dv` takes the keys that a batch reaches; the
 * merge runs the query for those keys and brings the rows of the state that have them to what came out.
 */
import { quote } from "../../../catalog/definitions.ts";
import { content, copy, createMultiset, numbered } from "../multiset.ts";
import {
  createLog,
  insertChanges,
  type KeyTables,
  keyIndexes,
  type StateNames,
  type StateSql,
  sameKey,
  stateTables,
} from "../state.ts";
import type { TracedRows } from "./trace-rows.ts";

export interface KeyedPlan {
  readonly rows: TracedRows;
  /** The columns that the view shows; others are there to be traced by. */
  readonly shown: readonly string[];
  /** Null where equal rows are told apart by a number. */
  readonly rowKey: readonly string[] | null;
}

/** As its statements name them; temporary ones are made by their bare name. */
export function keyedTables(names: StateNames) {
  const tables = stateTables(names);
  const freshName = quote(`fr_${names.view}__${names.version}`);
  return { ...tables, freshName, freshTable: `pg_temp.${freshName}` };
}

export function makeKeyedState(plan: KeyedPlan, names: StateNames): Omit<StateSql, "deltaTarget"> {
  const { rows } = plan;
  const { stateTable, logTable, keyTable, deltaName, deltaTable, dropRows, freshName, freshTable } = keyedTables(names);
  const queried = rows.columns.map(quote);
  const multiset = plan.rowKey === null;
  const columns = multiset ? [...queried, content, copy] : queried;
  const shown = plan.shown.map(quote);
  const rowKey = plan.rowKey?.map(quote) ?? [content, copy];
  const traced = rows.traceKey.map(quote);
  const nullable = plan.rowKey?.every((name) => rows.required.includes(name)) === false;
  const tables: KeyTables = { stateTable, keyTable, nullable };
  // Equal rows have the same trace key, and so are numbered in the same slice.
  const rowsOf = (query: string) => (multiset ? numbered(query, queried) : query);
  const whole = rowsOf(`select * from (${rows.whole}) q`);
  const required = [...rows.required.map(quote), ...(multiset ? [content, copy] : [])].map(
    (name) => `alter column ${name} set not null`,
  );
  const byTrace = traced.every((name, i) => rowKey[i] === name)
    ? []
    : [`create index on ${stateTable} (${traced.join(", ")})`];
  return {
    stateTable,
    logTable,
    deltaTable,
    create: [
      `create table ${stateTable} with (fillfactor = 70) as\n${whole}\nwith no data`,
      ...(required.length === 0 ? [] : [`alter table ${stateTable} ${required.join(", ")}`]),
      ...(multiset
        ? createMultiset({ ...names, stateTable, publicNames: shown, shown: null })
        : keyIndexes(tables, rowKey)),
      ...byTrace,
      ...createLog(stateTable, logTable, shown),
    ],
    drop: [
      ...(multiset ? [dropRows] : []),
      `drop table if exists ${logTable}`,
      `drop table if exists ${stateTable}`,
      ...(nullable ? [`drop table if exists ${keyTable}`] : []),
    ],
    publicView: `create or replace view views.${quote(names.view)} as select ${shown.join(", ")} from ${stateTable}`,
    fill: `insert into ${stateTable} (${columns.join(", ")})\n${whole}`,
    connect: [
      `create temporary table if not exists ${deltaName} as select ${traced.join(", ")} from ${stateTable} with no data`,
      `create temporary table if not exists ${freshName} as select ${columns.join(", ")} from ${stateTable} with no data`,
    ],
    clear: [`delete from ${deltaTable}`, `delete from ${freshTable}`],
    recompute: rowsAnew(rows).map((query) => `insert into ${freshTable}\n${rowsOf(query)}`),
    merge: (batch) => printMerge(rows, tables, { logTable, freshTable, columns, shown, rowKey }, batch),
  };
}

/** Selects of what was reached as it is now, to be run in their order. */
export function rowsAnew({ columns, slices, totals }: TracedRows): string[] {
  const listed = columns.map(quote).join(", ");
  const queries = slices.flatMap(({ query, where }) =>
    query === null ? [] : [`select * from (${query}) q (${listed}) where ${where("q")}`],
  );
  return totals === null ? queries : [...queries, totals];
}

interface MergeNames {
  readonly logTable: string;
  readonly freshTable: string;
  readonly columns: readonly string[];
  readonly shown: readonly string[];
  readonly rowKey: readonly string[];
}

function printMerge({ slices }: TracedRows, tables: KeyTables, names: MergeNames, batch: string): string {
  const { columns, shown, rowKey, freshTable } = names;
  const { stateTable } = tables;
  const list = columns.join(", ");
  const stale = slices.map(({ where }) => `select ${list} from ${stateTable} v where ${where("v")}`);
  const row = (alias: string) => `row(${columns.map((name) => `${alias}.${name}`).join(", ")})::record`;
  const images = shown.flatMap((name, i) => [`old.${name} as o${i}`, `new.${name} as n${i}`]);
  const [first, order] =
    rowKey.length === 0
      ? ["", "_millrace_gone limit 1"]
      : [`distinct on (${rowKey.join(", ")})`, `${rowKey.join(", ")}, _millrace_gone`];
  return [
    // Of the rows with one key the fresh one, by sorting: a join of the two would be a nested loop.
    `with source as (select ${first} * from (select f.*, false as _millrace_gone from ${freshTable} f`,
    `union all select o.*, true from (${stale.join(" union all ")}) o (${list})) u order by ${order}),`,
    `changed as (merge into ${stateTable} v using source s on ${sameKey("v", "s", rowKey, tables)}`,
    "when matched and s._millrace_gone then delete",
    `when matched and ${row("v")} *<> ${row("s")} then update set ${columns.map((name) => `${name} = s.${name}`).join(", ")}`,
    `when not matched and not s._millrace_gone then insert (${list}) values (${columns.map((name) => `s.${name}`).join(", ")})`,
    `returning merge_action() as act, ${images.join(", ")})`,
    insertChanges(shown, false, names.logTable, batch),
  ].join("\n");
}
