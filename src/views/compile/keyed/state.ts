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
import type { Among } from "./gathered.ts";

export interface KeyedPlan {
  readonly names: readonly string[];
  /** Those of them that the view shows; others are there to be traced by. */
  readonly shown: readonly string[];
  /** Columns of the query that are never NULL. */
  readonly required: readonly string[];
  /** The query over the mirrors, its whole or the parts that `except` keeps the planner from reaching into. */
  readonly query: KeyedQuery;
  /** Null where equal rows are told apart by a number. */
  readonly rowKey: readonly string[] | null;
  readonly traceKey: readonly { readonly name: string; readonly nullable: boolean }[];
}

export type KeyedQuery =
  | {
      readonly kind: "text";
      readonly text: string;
      readonly columns: readonly string[];
      /** The same with the keys inside of what gathers rows. */
      readonly restricted: (among: Among) => string;
    }
  | { readonly kind: "set"; readonly operation: string; readonly parts: readonly [KeyedQuery, KeyedQuery] };

export function makeKeyedState(plan: KeyedPlan, names: StateNames): StateSql {
  const { stateTable, logTable, keyTable, deltaName, deltaTable, dropRows } = stateTables(names);
  const freshName = quote(`fr_${names.view}__${names.version}`);
  const freshTable = `pg_temp.${freshName}`;
  const queried = plan.names.map(quote);
  const multiset = plan.rowKey === null;
  const columns = multiset ? [...queried, content, copy] : queried;
  const shown = plan.shown.map(quote);
  const rowKey = plan.rowKey?.map(quote) ?? [content, copy];
  const traced = plan.traceKey.map((one) => quote(one.name));
  const nullable = plan.rowKey?.every((name) => plan.required.includes(name)) === false;
  const tables: KeyTables = { stateTable, keyTable, nullable };
  // Equal rows have the same trace key, and so are numbered in the same slice.
  const rowsOf = (query: string) => (multiset ? numbered(query, queried) : query);
  const whole = rowsOf(`select * from (${printQuery(plan.query, null)}) q`);
  const required = [...plan.required.map(quote), ...(multiset ? [content, copy] : [])].map(
    (name) => `alter column ${name} set not null`,
  );
  const byTrace = traced.every((name, i) => rowKey[i] === name)
    ? []
    : [`create index on ${stateTable} (${traced.join(", ")})`];
  return {
    stateTable,
    logTable,
    deltaTable,
    deltaTarget: `${deltaTable} (${traced.join(", ")})`,
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
    recompute: slicesOf(plan, deltaTable).map((slice, i) => {
      const query = i === 0 ? restrictedQuery(plan, slice, deltaTable) : printQuery(plan.query, slice);
      return `insert into ${freshTable}\n${rowsOf(`select * from (${query}) q where ${slice("q")}`)}`;
    }),
    merge: (batch) => printMerge(plan, tables, { logTable, deltaTable, freshTable, columns, shown, rowKey }, batch),
  };
}

interface MergeNames {
  readonly logTable: string;
  readonly deltaTable: string;
  readonly freshTable: string;
  readonly columns: readonly string[];
  readonly shown: readonly string[];
  readonly rowKey: readonly string[];
}

function printMerge(plan: KeyedPlan, tables: KeyTables, names: MergeNames, batch: string): string {
  const { columns, shown, rowKey, deltaTable, freshTable } = names;
  const { stateTable } = tables;
  const list = columns.join(", ");
  const slices = slicesOf(plan, deltaTable);
  const stale = slices.map((slice) => `select ${list} from ${stateTable} v where ${slice("v")}`);
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

/**
 * The conditions under which a row has one of the keys in `dv`, as the planner can push them down to the tables: first
 * for keys without NULLs, then (only when there are such) for those with. No row meets two of them. They may let in keys
 * that are not in `dv`, of which then both sides, the query's rows and the state's, are taken.
 */
function slicesOf(plan: KeyedPlan, deltaTable: string): ((alias: string) => string)[] {
  const values = (name: string) => valuesOf(name, deltaTable);
  const all = (alias: string) =>
    plan.traceKey.map(({ name }) => `${alias}.${quote(name)} = ${values(quote(name))}`).join(" and ");
  const lacking = plan.traceKey.filter((one) => one.nullable).map((one) => quote(one.name));
  if (lacking.length === 0) return [all];
  const some = (alias: string) => {
    const columns = plan.traceKey.map((one) => {
      const name = `${alias}.${quote(one.name)}`;
      const among = `${name} = ${values(quote(one.name))}`;
      if (!one.nullable) return among;
      return plan.traceKey.length === 1 ? `${name} is null` : `(${name} is null or ${among})`;
    });
    const present = `(select exists (select from ${deltaTable} where ${lacking.map((name) => `${name} is null`).join(" or ")}))`;
    const lacks = lacking.map((name) => `${alias}.${name} is null`).join(" or ");
    return [present, ...(plan.traceKey.length === 1 ? [] : [`(${lacks})`]), ...columns].join(" and ");
  };
  return [all, some];
}

function valuesOf(name: string, deltaTable: string): string {
  return `any (array(select distinct ${name} from ${deltaTable} where ${name} is not null))`;
}

/** For keys without NULLs, which is what equalities in the query are about. */
function restrictedQuery(plan: KeyedPlan, slice: (alias: string) => string, deltaTable: string): string {
  if (plan.query.kind !== "text") return printQuery(plan.query, slice);
  return plan.query.restricted((value, column) => {
    const name = quote(plan.traceKey[column]?.name ?? "");
    return `${value} = ${valuesOf(name, deltaTable)}`;
  });
}

/** With the slice inside each part of EXCEPT, which the planner does not push it through. */
function printQuery(query: KeyedQuery, slice: ((alias: string) => string) | null): string {
  if (query.kind === "text") return query.text;
  const [left, right] = query.parts.map((part) => printPart(part, slice));
  return `(${left})\n${query.operation}\n(${right})`;
}

function printPart(query: KeyedQuery, slice: ((alias: string) => string) | null): string {
  if (query.kind === "set" || slice === null) return printQuery(query, slice);
  return `select * from (${query.text}) p (${query.columns.map(quote).join(", ")}) where ${slice("p")}`;
}
