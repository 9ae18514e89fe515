/**
 * Reads of rows: what their statements' answers mean, and several of them in one snapshot.
 *
 * Always true of several: their views are locked before the snapshot is taken. A version that takes another's place later
 * waits, and one that did so before is in the snapshot with all of its rows.
 */
import type { Pool, PoolClient } from "pg";
import { type RunStatement, suggestionsFor } from "./find/suggestions.ts";
import type { GroupViews } from "./live-view.ts";
import type { Caller } from "./policy/caller.ts";
import { claimsSettings } from "./policy/policed-view.ts";
import { errorOfRead, isAboutNames, readFailed, serverError } from "./reader-errors.ts";
import type { PositionRow } from "./reader-position.ts";
import { positionSqlOf, shownBy, viewsShown } from "./reader-reach.ts";
import { setLocally, withReader } from "./reader-session.ts";
import { encodeCursor } from "./row-cursor.ts";
import { type RelatedView, withRelations } from "./row-relations.ts";
import {
  countMax,
  plannedSql,
  type ReadableView,
  type RowsStatement,
  rowSql,
  rowsSql,
  type Statement,
} from "./row-sql.ts";
import { staleSince } from "./stale-view.ts";
import type { UnindexedReads } from "./unindexed-reads.ts";
import type { RowQuery, RowsAnswer, SnapshotRead, SnapshotResult } from "./view-info.ts";

export interface FoundRow extends PositionRow {
  readonly row: string | null;
  readonly place: readonly (string | null)[];
  /** The answer ends early, at its bound of bytes. */
  readonly cut: boolean;
  /** Of a query that counts. */
  readonly total?: string;
}

export interface PlanRow {
  readonly "QUERY PLAN": readonly [{ readonly Plan: { readonly "Plan Rows": number } }];
}

/** One row more than the limit says that there is a next page. */
export function pageOf(
  statement: RowsStatement,
  query: RowQuery,
  found: readonly FoundRow[],
): Pick<RowsAnswer, "rows" | "next"> {
  const matching = found.filter((one) => one.row !== null);
  const page = matching.slice(0, query.limit);
  const last = page.at(-1);
  const more = last !== undefined && (matching.length > page.length || last.cut);
  return {
    rows: page.map((one) => one.row ?? ""),
    next: more ? encodeCursor(statement.order, last.place) : null,
  };
}

/** How many rows match, if that was asked for; `counted` is what the rows' own statement has counted. */
export async function totalOf(
  view: ReadableView,
  query: RowQuery,
  counted: string | undefined,
  run: (statement: Statement) => Promise<readonly PlanRow[]>,
): Promise<number | undefined> {
  if (query.count === undefined) return undefined;
  if (counted !== undefined && (query.count === "exact" || Number(counted) <= countMax)) return Number(counted);
  const [plan] = await run(plannedSql(view, query));
  const planned = plan?.["QUERY PLAN"][0].Plan["Plan Rows"] ?? 0;
  return Math.max(Math.round(planned), Number(counted ?? 0));
}

/** The planner's estimate is made of all rows of the view: who is shown some of them has those counted. */
export function countedFor({ kind }: Caller, query: RowQuery): RowQuery {
  return kind === "bearer" && query.count !== undefined ? { ...query, count: "exact" } : query;
}

/** As a member of an answer that has no rows; none where nothing was asked. */
export async function suggestionsOf(
  view: ReadableView,
  query: RowQuery,
  found: readonly FoundRow[],
  run: RunStatement,
): Promise<{ readonly suggestions?: readonly string[] }> {
  if (
    query.find?.suggest === undefined ||
    query.cursor !== null ||
    query.offset > 0 ||
    found.some((one) => one.row !== null)
  )
    return {};
  return { suggestions: await suggestionsFor(view, query, run) };
}

/** A read bound to a version of its view; `locks` are all views that its statement names. */
export interface PlannedRead {
  readonly statement: Statement;
  readonly locks: ReadonlySet<string>;
  run(client: PoolClient): Promise<{ readonly head: PositionRow | undefined; readonly result: SnapshotResult }>;
}

/** Throws what `readable` and the making of the statement throw. */
export function planRead(
  group: Pick<GroupViews, "positionSql" | "readable" | "relations">,
  read: SnapshotRead,
  bytesMax: number,
  unindexed: Pick<UnindexedReads, "look">,
): PlannedRead {
  const locks = new Set<string>();
  const live = group.readable(read.view);
  const view = recorded(withRelations(group, live), locks);
  const shown = viewsShown(group, shownBy(read));
  const positionSql = positionSqlOf(group, shown);
  const stale = staleSince(shown);
  if ("key" in read) {
    const statement = rowSql(view, read.key, read.select, positionSql);
    return {
      statement,
      locks,
      async run(client) {
        const [head] = await runWithin<FoundRow>(client, statement);
        return { head, result: { row: head?.row ?? null, ...stale } };
      },
    };
  }
  const { query } = read;
  const statement = rowsSql(view, query, positionSql, bytesMax);
  return {
    statement,
    locks,
    async run(client) {
      const found = await runWithin<FoundRow>(client, statement);
      const [head] = found;
      const total = await totalOf(view, query, head?.total, (planned) => runWithin<PlanRow>(client, planned));
      const suggestions = await suggestionsOf(view, query, found, (one) => runWithin(client, one));
      return {
        head,
        result: {
          ...pageOf(statement, query, found),
          ...(total === undefined ? {} : { total }),
          ...stale,
          ...suggestions,
          ...(live.past ? {} : unindexed.look(live, query)),
        },
      };
    },
  };
}

export interface ReadAllOptions {
  readonly plan: (read: SnapshotRead) => PlannedRead;
  readonly pool: Pool;
  /** Of who reads; asked when all reads are planned. */
  readonly claims: () => string | null;
  /** The connection of a transaction that takes longer is ended by the server. */
  readonly transactionMs: number;
  /** An error of a statement in words of the request. */
  readonly explain: (error: unknown, statement: Statement) => Promise<unknown>;
}

/** All reads in one snapshot. An error of one of them names it; a view that is being swapped is the server's own error. */
export async function readAll(
  reads: readonly SnapshotRead[],
  { plan, pool, claims, transactionMs, explain }: ReadAllOptions,
): Promise<{ readonly head: PositionRow | undefined; readonly results: readonly SnapshotResult[] }> {
  const plans: PlannedRead[] = [];
  const results: SnapshotResult[] = [];
  let head: PositionRow | undefined;
  let running: PlannedRead | undefined;
  try {
    for (const read of reads) plans.push(plan(read));
  } catch (error) {
    throw ofRead(error, plans.length);
  }
  const locks = new Set(plans.flatMap((one) => [...one.locks]));
  try {
    await withReader(pool, (client) =>
      inTransaction(client, { locks, transactionMs, claims: claims() }, async () => {
        for (const one of plans) {
          running = one;
          const answer = await one.run(client);
          head = earlier(head, answer.head);
          results.push(answer.result);
        }
        running = undefined;
      }),
    );
  } catch (error) {
    if (running === undefined) throw error;
    throw ofRead(await explain(error, running.statement), results.length);
  }
  return { head, results };
}

/** A view that is behind the others says what all results show. */
function earlier(a: PositionRow | undefined, b: PositionRow | undefined): PositionRow | undefined {
  return a === undefined || (b !== undefined && Number(b.batch) < Number(a.batch)) ? b : a;
}

export interface ReadTransaction {
  readonly locks: Iterable<string>;
  readonly transactionMs: number;
  /** Of who reads, where a view has a policy. */
  readonly claims: string | null;
}

/** Runs what reads several times in one snapshot, which is taken when the views stand still. */
export async function inTransaction<T>(
  client: PoolClient,
  { locks, transactionMs, claims }: ReadTransaction,
  work: () => Promise<T>,
): Promise<T> {
  await client.query("begin isolation level repeatable read read only");
  try {
    // Neither of the two takes the snapshot, as a setting by `set_config` would.
    await client.query(`set local transaction_timeout = ${Math.max(1, Math.floor(transactionMs))}`);
    await client.query(`lock table ${[...locks].sort().join(", ")} in access share mode`);
    await setLocally(client, claimsSettings(claims));
    const result = await work();
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}

/** Each statement that depends on a setting sets it. */
export async function runWithin<Row extends object>(
  client: PoolClient,
  { text, parameters }: Statement,
): Promise<Row[]> {
  await setLocally(client, parameters.settings.values);
  return (await client.query<Row>({ text, values: [...parameters.values] })).rows;
}

function ofRead(error: unknown, read: number): unknown {
  const server = serverError(error);
  return server && isAboutNames(server) ? error : errorOfRead(readFailed(error), read);
}

/** The view, noting its name and those of the views that are reached through it. */
function recorded<View extends RelatedView>(view: View, names: Set<string>): View {
  names.add(view.lock ?? view.publicView);
  return {
    ...view,
    related: (name) => {
      const { relation, view: other } = view.related(name);
      return { relation, view: recorded(other, names) };
    },
  };
}
