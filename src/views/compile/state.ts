/** The view's tables and the statements that fill, empty and merge them. */
import { quote } from "../../catalog/definitions.ts";
import { rowsRelation } from "../compiled-view.ts";
import { groupBy, groupsByText, printContribution, selectGroup } from "./contribution.ts";
import type { Total } from "./groups.ts";
import { content, contentHash, copy, createMultiset } from "./multiset.ts";
import { hasRows, type Plan, printAbove, shownColumn } from "./plan.ts";

export interface StateNames {
  readonly view: string;
  readonly version: number;
}

export interface StateSql {
  readonly stateTable: string;
  readonly logTable: string;
  readonly deltaTable: string;
  /** The delta table with its columns, for INSERT. */
  readonly deltaTarget: string;
  readonly create: readonly string[];
  readonly drop: readonly string[];
  readonly publicView: string;
  readonly fill: string;
  readonly connect: readonly string[];
  readonly clear: readonly string[];
  readonly recompute: readonly string[];
  readonly merge: (batch: string) => string;
  readonly mergeRows?: (batch: string, rows: string) => string;
}

/** Names of the tables of a version, quoted; temporary ones are made by their bare name. */
export function stateTables({ view, version }: StateNames) {
  const own = `${view}__${version}`;
  const deltaName = quote(`dv_${own}`);
  return {
    stateTable: `millrace.${quote(own)}`,
    logTable: `millrace.${quote(`${own}_log`)}`,
    keyTable: `millrace.${quote(`${own}_key`)}`,
    deltaName,
    deltaTable: `pg_temp.${deltaName}`,
    dropRows: `drop view if exists ${rowsRelation({ name: view, version })}`,
  };
}

/** `key` are indexes of group columns. */
export function makeState(plan: Plan, key: readonly number[], names: StateNames): StateSql {
  const { stateTable, logTable, keyTable, deltaName, deltaTable, dropRows } = stateTables(names);
  const columns = [...groupNames(plan), ...slotNames(plan)];
  const publicNames = plan.publics.map((one) => quote(one.name));
  const nullable = key.some((index) => plan.groups[index]?.notNull !== true);
  const keyColumns = keyNames(plan, key);
  const shown = plan.having === null ? null : quote(shownColumn);
  const tables = { stateTable, logTable, keyTable, nullable };
  return {
    stateTable,
    logTable,
    deltaTable,
    deltaTarget: `${deltaTable} (${columns.join(", ")})`,
    create: createStatements(plan, { ...tables, keyColumns, publicNames, names }),
    drop: [
      ...(plan.multiset ? [dropRows] : []),
      `drop table if exists ${logTable}`,
      `drop table if exists ${stateTable}`,
      ...(nullable ? [`drop table if exists ${keyTable}`] : []),
    ],
    publicView: `create or replace view views.${quote(names.view)} as select ${publicNames.join(", ")} from ${stateTable}${shown === null ? "" : ` where ${shown}`}`,
    fill: `insert into ${stateTable} (${stateColumns(plan).join(", ")})\n${printState(plan)}`,
    connect: [
      `create temporary table if not exists ${deltaName} as select ${columns.join(", ")} from ${stateTable} with no data`,
    ],
    clear: [`delete from ${deltaTable}`],
    recompute: [],
    merge: (batch) => `with ${printMerge(plan, key, { ...tables, deltaTable }, batch)}`,
    mergeRows: (batch, rows) =>
      `with ${deltaRows(columns, rows)}${printMerge(plan, key, { ...tables, deltaTable: deltaRowsName }, batch)}`,
  };
}

/** Contributions that stand in no table. */
export const deltaRowsName = quote("_millrace_delta");

/** For the beginning of `with`; in the columns of the delta table. */
export function deltaRows(columns: readonly string[], rows: string): string {
  return `${deltaRowsName} (${columns.join(", ")}) as (${rows}),\n`;
}

function keyNames(plan: Plan, key: readonly number[]): string[] {
  return key.map((index) => quote(plan.groups[index]?.column ?? ""));
}

function groupNames(plan: Plan): string[] {
  return plan.groups.map((group) => quote(group.column));
}

function slotNames(plan: Plan): string[] {
  return plan.slots.map((slot) => quote(slot.column));
}

/** Columns that are computed from groups and slots, with how, given where those stand. */
function computedColumns(
  plan: Plan,
  group: (index: number) => string,
  slot: (index: number) => string,
): { name: string; sql: string }[] {
  const at = { group, slot };
  const computed = plan.publics.flatMap((one) =>
    one.computed === null ? [] : [{ name: quote(one.name), sql: printAbove(one.computed, plan, at) }],
  );
  if (plan.multiset) {
    // A group has one row: what its columns are tells it from the others.
    const hash = contentHash(plan.groups.map((_, i) => group(i)));
    computed.push({ name: content, sql: hash }, { name: copy, sql: "1::bigint" });
  }
  if (plan.having === null) return computed;
  return [...computed, { name: quote(shownColumn), sql: `coalesce(${printAbove(plan.having, plan, at)}, false)` }];
}

function stateColumns(plan: Plan): string[] {
  const computed = computedColumns(
    plan,
    () => "",
    () => "",
  );
  return [...groupNames(plan), ...slotNames(plan), ...computed.map((one) => one.name)];
}

/** The state as a select over the mirrors. */
function printState(plan: Plan): string {
  const parts = plan.branches.map((_, b) => printContribution(plan, b, undefined, () => "mirror"));
  const union = parts.length === 1 ? (parts[0] ?? "") : parts.map((part) => `(${part})`).join("\nunion all\n");
  const summed =
    parts.length === 1 || plan.class === "linear"
      ? union
      : `select ${netColumns(plan, "u").join(", ")}\nfrom (${union}) u${groupBy(plan, "u")}`;
  const computed = computedColumns(
    plan,
    (index) => `s.${quote(plan.groups[index]?.column ?? "")}`,
    (index) => `s.${quote(plan.slots[index]?.column ?? "")}`,
  );
  const listed = [...groupNames(plan), ...slotNames(plan)].map((name) => `s.${name}`);
  return `select ${[...listed, ...computed.map((one) => `${one.sql} as ${one.name}`)].join(", ")}\nfrom (${summed}) s`;
}

/** Group columns, and slots added up. */
function netColumns(plan: Plan, alias: string): string[] {
  return [
    ...plan.groups.map((group) => `${selectGroup(plan, group, alias)} as ${quote(group.column)}`),
    ...plan.slots.map(
      (slot) => `sum(${alias}.${quote(slot.column)})::${slot.integer ? "bigint" : "numeric"} as ${quote(slot.column)}`,
    ),
  ];
}

export interface KeyTables {
  readonly stateTable: string;
  readonly keyTable: string;
  /** Whether a column of the key may be NULL. */
  readonly nullable: boolean;
}

interface Tables extends KeyTables {
  readonly logTable: string;
}

function createStatements(
  plan: Plan,
  tables: Tables & {
    readonly keyColumns: readonly string[];
    readonly publicNames: readonly string[];
    readonly names: StateNames;
  },
): string[] {
  const { stateTable, logTable, keyColumns, publicNames, names } = tables;
  const shown = plan.having === null ? null : quote(shownColumn);
  const required = [
    ...plan.groups.filter((group) => group.notNull).map((group) => quote(group.column)),
    ...slotNames(plan),
    ...(plan.multiset ? [content, copy] : []),
    ...(shown === null ? [] : [shown]),
  ];
  const rows = quote(plan.slots[0]?.column ?? "");
  // A linear view's row is there once, a group has rows, and what an aggregate over all rows counts may be nothing.
  const counted = hasRows(plan) ? `${rows} > 0` : `${rows} >= 0`;
  const rowsCheck = plan.class === "linear" ? `${rows} = 1` : counted;
  const counts = plan.slots.slice(1).filter((slot) => slot.kind !== "sum");
  const totals =
    plan.total === null
      ? []
      : [`(${rows} > 0 or ${quote(plan.groups[plan.total.group]?.column ?? "")} in (${plan.total.sets.join(", ")}))`];
  const checks = [rowsCheck, ...totals, ...counts.map((slot) => `${quote(slot.column)} >= 0`)].join(" and ");
  const statements = [
    `create table ${stateTable} with (fillfactor = 70) as\n${printState(plan)}\nwith no data`,
    `alter table ${stateTable} ${required.map((name) => `alter column ${name} set not null`).join(", ")}, add constraint rows_add_up check (${checks})`,
  ];
  if (plan.multiset) statements.push(...createMultiset({ ...names, stateTable, publicNames, shown }));
  statements.push(...keyIndexes(tables, keyColumns), ...createLog(stateTable, logTable, publicNames));
  return statements;
}

/** The unique index over the key, and what finds rows by a key with NULLs in it. */
export function keyIndexes({ stateTable, keyTable, nullable }: KeyTables, keyColumns: readonly string[]): string[] {
  if (keyColumns.length === 0) return [`create unique index on ${stateTable} ((true))`];
  if (!nullable) return [`create unique index on ${stateTable} (${keyColumns.join(", ")})`];
  return [
    `create unique index on ${stateTable} (${keyColumns.join(", ")}) nulls not distinct`,
    // NULLs are equal in a value of a row type: the merge finds its rows by this index.
    `create table ${keyTable} as select ${keyColumns.join(", ")} from ${stateTable} with no data`,
    `create index on ${stateTable} ((row(${keyColumns.join(", ")})::${keyTable}))`,
  ];
}

export function createLog(stateTable: string, logTable: string, publicNames: readonly string[]): string[] {
  return [
    `create table ${logTable} as select 0::bigint as batch, 0::smallint as w, ${publicNames.map((name) => `s.${name}`).join(", ")} from ${stateTable} s with no data`,
    `alter table ${logTable} alter column batch set not null, alter column w set not null`,
    `create index on ${logTable} (batch)`,
  ];
}

const arrived = quote("_millrace_arrived");

/** What follows `with`. */
function printMerge(
  plan: Plan,
  key: readonly number[],
  tables: Tables & { readonly deltaTable: string },
  batch: string,
): string {
  // What describes a row, and a key that can be written otherwise, may change in place.
  const described = plan.groups.flatMap((group, i) => (key.includes(i) && !groupsByText(plan, group) ? [] : [i]));
  const update = mergeUpdate(plan, described);
  const empty = plan.slots.map((slot) => `v.${quote(slot.column)} + d.${quote(slot.column)} = 0`);
  const gone = [...empty, ...(plan.total === null ? [] : [`not ${isTotal(plan, plan.total, "v")}`])].join(" and ");
  const inserted = stateColumns(plan);
  const computed = computedColumns(
    plan,
    (index) => `d.${quote(plan.groups[index]?.column ?? "")}`,
    (index) => `d.${quote(plan.slots[index]?.column ?? "")}`,
  );
  const values = [
    ...[...groupNames(plan), ...slotNames(plan)].map((name) => `d.${name}`),
    ...computed.map((one) => one.sql),
  ];
  const images = plan.publics.flatMap((one, i) => [
    `old.${quote(one.name)} as o${i}`,
    `new.${quote(one.name)} as n${i}`,
  ]);
  const shown =
    plan.having === null ? [] : [`old.${quote(shownColumn)} as oshown`, `new.${quote(shownColumn)} as nshown`];
  return [
    `${printNet(plan, key, described, tables.deltaTable)},`,
    `changed as (merge into ${tables.stateTable} v using net d on ${sameKey("v", "d", keyNames(plan, key), tables)}`,
    ...(plan.grouped ? [`when matched and ${gone} then delete`] : []),
    `when matched then update set ${update.map(({ name, sql }) => `${name} = ${sql}`).join(", ")}`,
    `when not matched then insert (${inserted.join(", ")}) values (${values.join(", ")})`,
    `returning merge_action() as act, ${[...images, ...shown].join(", ")})`,
    insertChanges(
      plan.publics.map((one) => quote(one.name)),
      plan.having !== null,
      tables.logTable,
      batch,
    ),
  ].join("\n");
}

/** Whether a row is that of all rows, which stays when there are none. */
function isTotal(plan: Plan, total: Total, alias: string): string {
  return `${alias}.${quote(plan.groups[total.group]?.column ?? "")} in (${total.sets.join(", ")})`;
}

/** The batch's contributions per key; descriptions come from the group that has more rows than before. */
function printNet(plan: Plan, key: readonly number[], described: readonly number[], deltaTable: string): string {
  const nonzero = plan.slots.map((slot) => `sum(c.${quote(slot.column)}) <> 0`).join(" or ");
  const perGroup = `select ${netColumns(plan, "c").join(", ")} from ${deltaTable} c${groupBy(plan, "c")} having ${nonzero}`;
  if (described.length === 0) return `net as (${perGroup})`;
  const rows = `g.${quote(plan.slots[0]?.column ?? "")}`;
  const columns = plan.groups.map((group, i) => {
    const column = `g.${quote(group.column)}`;
    if (!described.includes(i)) return column;
    const arriving = `any_value(${column}) filter (where ${rows} > 0)`;
    return `${key.includes(i) ? `coalesce(${arriving}, ${column})` : arriving} as ${quote(group.column)}`;
  });
  const slots = plan.slots.map(
    (slot) => `sum(g.${quote(slot.column)})::${slot.integer ? "bigint" : "numeric"} as ${quote(slot.column)}`,
  );
  const grouped = key.map((i) => `g.${quote(plan.groups[i]?.column ?? "")}`).join(", ");
  const count = `count(*) filter (where ${rows} > 0) as ${arrived}`;
  // Rows that are grouped by constants alone are one group, where there are any.
  const by = grouped === "" ? "having count(*) > 0" : `group by ${grouped}`;
  return `per_group as (${perGroup}),\nnet as (select ${[...columns, ...slots, count].join(", ")} from per_group g ${by})`;
}

/** Rows `a` and `b` have the same key, as the indexes of `keyIndexes` find it. */
export function sameKey(a: string, b: string, keyColumns: readonly string[], tables: KeyTables): string {
  if (keyColumns.length === 0) return "true";
  if (!tables.nullable) return keyColumns.map((name) => `${a}.${name} = ${b}.${name}`).join(" and ");
  const row = (alias: string) => `row(${keyColumns.map((name) => `${alias}.${name}`).join(", ")})::${tables.keyTable}`;
  return `${row(a)} = ${row(b)}`;
}

function mergeUpdate(plan: Plan, described: readonly number[]): { name: string; sql: string }[] {
  const slot = (index: number) => {
    const name = quote(plan.slots[index]?.column ?? "");
    return `(v.${name} + d.${name})`;
  };
  const group = (index: number) => {
    const name = quote(plan.groups[index]?.column ?? "");
    return described.includes(index) ? `(case when d.${arrived} > 0 then d.${name} else v.${name} end)` : `v.${name}`;
  };
  const slots = plan.slots.map((one, i) => {
    // Two descriptions for one key cannot be: the check on the table stops the batch.
    const sql = i === 0 && described.length > 0 ? `case when d.${arrived} > 1 then -1 else ${slot(i)} end` : slot(i);
    return { name: quote(one.column), sql };
  });
  const groups = described.map((index) => ({ name: quote(plan.groups[index]?.column ?? ""), sql: group(index) }));
  return [...groups, ...slots, ...computedColumns(plan, group, slot)];
}

/**
 * One change row for what is gone and one for what is there, when they differ and a reader sees them. Reads `changed`:
 * `act`, old and new images as `o0…` and `n0…`, and with `shown` whether each was seen (`oshown`, `nshown`).
 */
export function insertChanges(publicNames: readonly string[], shown: boolean, logTable: string, batch: string): string {
  const image = (letter: "o" | "n") => publicNames.map((_, i) => `${letter}${i}`);
  // By their bytes: 1.0 and 1.00 are two texts, and json has no equality.
  const same = `row(${image("o").join(", ")})::record *= row(${image("n").join(", ")})::record`;
  const side = (letter: "o" | "n", w: number, not: string) => {
    const seen = shown ? ` and ${letter}shown` : "";
    const other = shown ? ` and ${letter === "o" ? "n" : "o"}shown` : "";
    return `select ${batch}, ${w}, ${image(letter).join(", ")} from changed where act <> '${not}'${seen} and not (act = 'UPDATE'${other} and ${same})`;
  };
  return `insert into ${logTable} (batch, w, ${publicNames.join(", ")})\n${side("o", -1, "INSERT")}\nunion all\n${side("n", 1, "DELETE")}`;
}
