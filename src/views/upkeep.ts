/**
 * What it takes to keep a view: its size in the store, and how PostgreSQL runs its statements for a batch of a few changed
 * rows, with the tables as they are now. The statements see temporary tables of a transaction that is rolled back; of the view's own tables nothing is written.
 */
import type { Client } from "pg";
import { quote } from "../catalog/definitions.ts";
import { connectionSettings } from "./applier.ts";
import { type CompiledView, weightColumn } from "./compiled-view.ts";
import { createStaging, deltaTable, type Mirror, mirrorTable } from "./mirror.ts";

export interface Upkeep {
  /** Of its rows, of those that it keeps for itself, and of their indexes. */
  readonly stateBytes: number;
  /** Of the change rows that are kept for readers. */
  readonly changeBytes: number;
  /** In their order; none of a view that is recomputed whole. */
  readonly plans: readonly StatementPlan[];
}

export interface StatementPlan {
  readonly about: string;
  /** As EXPLAIN prints it. */
  readonly lines: readonly string[];
  /** Tables of 1,000 rows or more that it reads from one end to the other. */
  readonly readWhole: readonly string[];
}

/** Rows of each mirror that are taken for changed. */
const sampleRows = 10;
/** Below this the planner rightly prefers to read a table whole. */
const smallRows = 1_000;
const timeoutMs = 10_000;

/** Throws what the store says; the connection is left as it was found. */
export async function upkeepOf(client: Client, view: CompiledView, mirrors: readonly Mirror[]): Promise<Upkeep> {
  const { rows } = await client.query<{ state: string; changes: string }>(
    "select (select sum(pg_total_relation_size(name::regclass)) from unnest($1::text[]) name) as state, pg_total_relation_size($2::regclass) as changes",
    [[view.stateTable, ...(view.innerTables ?? [])], view.logTable],
  );
  const [sizes] = rows;
  return {
    stateBytes: Number(sizes?.state ?? 0),
    changeBytes: Number(sizes?.changes ?? 0),
    plans: view.whole === undefined ? await statementPlans(client, view, mirrors) : [],
  };
}

async function statementPlans(
  client: Client,
  view: CompiledView,
  mirrors: readonly Mirror[],
): Promise<StatementPlan[]> {
  const used = mirrors.filter(({ id }) => view.uses.some((use) => use.mirrorId === id));
  await client.query("begin");
  try {
    const settings = { ...connectionSettings, statement_timeout: String(timeoutMs) };
    for (const [name, value] of Object.entries(settings))
      await client.query("select set_config($1, $2, true)", [name, value]);
    for (const sql of [...used.flatMap(createStaging), ...view.connect]) await client.query(sql);
    for (const mirror of used) await client.query(sample(mirror));
    const plans: StatementPlan[] = [];
    for (const sql of view.clock?.terms ?? []) plans.push(await planOf(client, "what time lets in and out", sql));
    for (const { mirrorId, place, sql } of view.terms) {
      const shape = used.find((mirror) => mirror.id === mirrorId)?.shape;
      const about = `a change of ${shape ? mirrorTable(shape) : mirrorId}, ${place} the mirror is written`;
      plans.push(await planOf(client, about, sql));
      await client.query(sql);
    }
    await ownJoins(client, true);
    for (const sql of view.recompute) {
      const own = view.innerTables?.find((table) => writes(sql, table));
      const about = own === undefined ? "the query for the keys that were found" : `what is kept beneath it, ${own}`;
      plans.push(await planOf(client, about, sql));
      if (own === undefined) await client.query(sql);
    }
    await ownJoins(client, false);
    plans.push(await planOf(client, "merge", view.merge("0::bigint")));
    return plans;
  } finally {
    await client.query("rollback");
  }
}

function sample({ id, shape }: Mirror): string {
  const columns = shape.columns.map((column) => quote(column.name)).join(", ");
  return `insert into ${deltaTable(id)} (${weightColumn}, ${columns}) select -1, ${columns} from ${mirrorTable(shape)} limit ${sampleRows}`;
}

function writes(sql: string, table: string): boolean {
  return sql.startsWith(`insert into ${table} `) || sql.startsWith(`delete from ${table} `);
}

async function ownJoins(client: Client, on: boolean): Promise<void> {
  const settings = { join_collapse_limit: on ? "8" : "1", enable_hashjoin: String(on), enable_mergejoin: String(on) };
  for (const [name, value] of Object.entries(settings))
    await client.query("select set_config($1, $2, true)", [name, value]);
}

async function planOf(client: Client, about: string, sql: string): Promise<StatementPlan> {
  const text = await client.query<{ "QUERY PLAN": string }>(`explain ${sql}`);
  const tree = await client.query<{ "QUERY PLAN": readonly { readonly Plan: PlanNode }[] }>(
    `explain (verbose, format json) ${sql}`,
  );
  const root = tree.rows[0]?.["QUERY PLAN"][0]?.Plan;
  const scanned = root === undefined ? [] : nodesOf(root).flatMap(scannedTable);
  const large = await client.query<{ name: string }>(
    "select name from unnest($1::text[]) name join pg_class c on c.oid = name::regclass where c.reltuples >= $2",
    [[...new Set(scanned)], smallRows],
  );
  return {
    about,
    lines: text.rows.map((row) => row["QUERY PLAN"]),
    readWhole: large.rows.map(({ name }) => name),
  };
}

interface PlanNode {
  readonly "Node Type": string;
  readonly Schema?: string;
  readonly "Relation Name"?: string;
  readonly Plans?: readonly PlanNode[];
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

function scannedTable(node: PlanNode): string[] {
  const { Schema: schema = "", "Relation Name": name = "" } = node;
  if (node["Node Type"] !== "Seq Scan" || schema.startsWith("pg_temp")) return [];
  return [`${quote(schema)}.${quote(name)}`];
}
