/**
 * Brings the versions of the store to the definitions: which there are to be, and which go. Versions that are new are
 * built by `group-builds.ts`; those that nobody defines any more go or are kept.
 */

import { type FindOptions, quote } from "../catalog/definitions.ts";
import { forgetVersion, type VersionRow, writeMirrorState, writeVersion } from "./bookkeeping.ts";
import { type CompiledView, rowsRelation } from "./compiled-view.ts";
import { findRelation, type LiveFind } from "./find/find-columns.ts";
import { findSchemas } from "./find/find-extensions.ts";
import { type GroupContext, transact, tryOnce } from "./group-context.ts";
import { dropMirrorStatements, setMirror } from "./group-mirrors.ts";
import type { ViewEntry } from "./group-state.ts";
import { forgetHistoryOf } from "./history/group-histories.ts";
import { historyRelation, isHistory } from "./history/history-table.ts";
import type { ColumnIndex, LiveView } from "./live-view.ts";
import { livePolicy } from "./policy/live-policy.ts";
import { staleView } from "./stale-view.ts";
import { isOfTopic, skipRetired } from "./topic-places.ts";
import { type PlannedView, planVersions, viewFailed } from "./versions.ts";
import { dropVersion, listColumns, listIndexedColumns, publicName } from "./versions-build.ts";
import type { ViewColumn } from "./view-info.ts";

/** Everything as the definitions, the tables and the log say. Views of `anew` get a version although they are as they were. */
export async function planViews(context: GroupContext, anew: ReadonlySet<string> = new Set()): Promise<void> {
  const { state, settings } = context;
  const compiledLive = new Map(state.liveViews().map((view) => [`${view.name}/${view.version}/${view.hash}`, view]));
  const plan = await planVersions({
    definitions: context.definitions(),
    stored: state.versions,
    mirrors: state.mirrors.map(({ id, shape }) => ({ id, shape })),
    anew,
    compiledBefore: ({ name, version, hash }) => compiledLive.get(`${name}/${version}/${hash}`),
    removed: settings.removed,
    elsewhere: settings.elsewhere,
    sourcesUnknown: settings.sources.filter((source) => !state.sources.has(source)),
    compile: settings.compile,
  });
  const retired = state.versions
    .filter((row) => plan.drop.includes(row.name) && row.state !== "retired")
    .map((row): VersionRow => ({ ...row, state: "retired" }));
  const write = [...plan.write, ...retired];
  for (const view of plan.redefined)
    settings.diagnostics.info("a view's definition changed; it is built anew", { view });
  for (const view of plan.drop) settings.diagnostics.info("a view is not defined any more and is dropped", { view });
  if (write.length > 0 || plan.drop.length > 0) {
    await transact(context, [
      { sql: "set local lock_timeout = '5s'", fresh: true },
      ...plan.drop.map((name) => ({ sql: `drop view if exists ${publicName(name)} cascade`, fresh: true })),
      ...plan.drop.flatMap((name) => forgetHistoryOf(state, name)),
      ...write.map((row) => writeVersion(settings.name, row)),
    ]);
  }
  state.mirrors = state.mirrors.filter(({ shape }) => !plan.drop.includes(shape.history?.view ?? ""));
  state.replaceVersions(write);
  await takeBackGrants(context);
  const entries: ViewEntry[] = [];
  for (const planned of plan.views) entries.push(await entryOf(context, unlessBroken(context, planned, plan.views)));
  for (const { live } of entries) if (live !== null) await readReach(context, live.compiled);
  state.reaches.keep(entries.flatMap(({ live }) => live?.compiled ?? []));
  // In one turn: nobody sees a part of the views.
  state.views.clear();
  for (const entry of entries) state.views.set(entry.planned.definition.name, entry);
}

/** Views that have a policy by now are not for people's tools, although a version may be read that was granted to them. */
async function takeBackGrants({ applier, settings, ...context }: GroupContext): Promise<void> {
  const policed = context
    .definitions()
    .flatMap(({ name, policy }) => (typeof policy === "string" ? [publicName(name), historyRelation(name)] : []));
  if (policed.length === 0) return;
  const granted = await applier.query(
    "select t.name from unnest($1::text[]) as t(name) join pg_class c on c.oid = to_regclass(t.name) " +
      "where exists (select from aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee where r.rolname = $2)",
    [policed, settings.readerRole],
  );
  for (const { name } of granted) await applier.query(`revoke all on ${name} from ${quote(settings.readerRole)}`);
}

async function entryOf(context: GroupContext, planned: PlannedView): Promise<ViewEntry> {
  const { definition, compiled, before } = planned;
  const { changes = 0, rowsEstimated = 0 } = context.state.views.get(definition.name) ?? {};
  const readable = planned.state.kind === "live" ? { definition, compiled } : before;
  const live = readable?.compiled ? await liveView(context, readable.definition, readable.compiled) : null;
  const stale = live === null && planned.stale !== null ? await lastGood(context, planned.stale) : null;
  return { planned, live, stale, changes, rowsEstimated };
}

/** Null when its table is gone. */
async function lastGood(
  context: GroupContext,
  { definition, compiled, at }: NonNullable<PlannedView["stale"]>,
): Promise<LiveView | null> {
  const live = await liveView(context, definition, compiled);
  return live.columns.length === 0 ? null : staleView(live, at);
}

/** How far a view is that is recomputed whole, as the store has it. */
export async function readReach({ applier, state }: GroupContext, view: CompiledView): Promise<void> {
  if (view.whole === undefined) return;
  const [row] = await applier.query(`select batch::text as batch from ${view.whole.reachTable}`);
  state.reaches.stored(view, row?.batch === null || row === undefined ? null : Number(row.batch));
}

function historiesOf({ state }: GroupContext, { uses }: CompiledView): string[] {
  const read = state.mirrors.filter(({ id }) => uses.some((use) => use.mirrorId === id));
  return read.flatMap(({ shape }) => shape.history?.view ?? []);
}

/** A view over a broken mirror cannot be built, nor one over the history of a view that failed. */
function unlessBroken(context: GroupContext, planned: PlannedView, all: readonly PlannedView[]): PlannedView {
  const { compiled } = planned;
  if (!compiled || planned.state.kind === "failed") return planned;
  const broken = context.state.mirrors.find(
    (mirror) => mirror.error !== null && compiled.uses.some((use) => use.mirrorId === mirror.id),
  );
  const still = historiesOf(context, compiled).find((name) =>
    all.some(({ definition, state }) => definition.name === name && state.kind === "failed"),
  );
  if (still !== undefined) {
    const message = `it reads the history of view "${still}", which failed`;
    return {
      ...planned,
      state: { kind: "failed", error: viewFailed(compiled.name, { code: "VIEW_FAILED", message }) },
    };
  }
  return broken?.error
    ? { ...planned, state: { kind: "failed", error: viewFailed(compiled.name, broken.error) } }
    : planned;
}

/** A version as readers are to know it, once its public view is in place. */
export async function liveView(
  context: GroupContext,
  definition: PlannedView["definition"],
  compiled: LiveView["compiled"],
): Promise<LiveView> {
  const { applier } = context;
  const columns = await applier.query(listColumns, [publicName(compiled.name), compiled.stateTable]);
  const indexes = await applier.query(listIndexedColumns, [compiled.stateTable]);
  const wanted = context.definitions().find(({ name }) => name === compiled.name);
  const policy = await livePolicy(
    { name: compiled.name, columns: columns as unknown as ViewColumn[] },
    { own: definition.policy, wanted: wanted?.policy },
    (sql) => applier.query(sql),
  );
  return {
    name: compiled.name,
    version: compiled.version,
    hash: compiled.hash,
    sql: definition.sql.text,
    publicView: compiled.key === null ? rowsRelation(compiled) : publicName(compiled.name),
    stateTable: compiled.stateTable,
    logTable: compiled.logTable,
    columns: columns as unknown as ViewColumn[],
    key: compiled.key,
    indexes: indexes as unknown as ColumnIndex[],
    compiled,
    ...(compiled.reads === undefined ? {} : { reads: compiled.reads }),
    ...(policy === undefined ? {} : { policy }),
    ...(compiled.find === undefined ? {} : { find: await liveFind(applier, compiled, compiled.find) }),
  };
}

async function liveFind(applier: GroupContext["applier"], view: CompiledView, options: FindOptions): Promise<LiveFind> {
  const query = (sql: string, values: readonly unknown[]) => applier.query(sql, values);
  return { options, relation: findRelation(view), schemas: await findSchemas(query, options) };
}

/** PostgreSQL's own estimates of how many rows the views have, or one of them. */
export async function estimateRows({ applier, state }: GroupContext, only?: string): Promise<void> {
  const live = [...state.views].flatMap(([name, entry]) =>
    entry.live !== null && (only === undefined || name === only) ? [entry] : [],
  );
  const rows = await applier.query(
    // The counter follows each batch but begins at nothing after a crash; reltuples is as old as the last analyze.
    "select case when counted > 0 then counted else greatest(c.reltuples, 0)::bigint end as rows " +
      "from unnest($1::text[]) with ordinality as t(name, n) left join pg_class c on c.oid = to_regclass(t.name) " +
      "cross join lateral (select pg_stat_get_live_tuples(c.oid) as counted) s order by n",
    [live.map((entry) => entry.live?.stateTable)],
  );
  live.forEach((entry, i) => {
    entry.rowsEstimated = Number(rows[i]?.rows ?? 0);
  });
}

/** Tables of versions that nothing reads any more. False when somebody still holds on to one, which goes another time. */
export async function dropRetired(context: GroupContext): Promise<boolean> {
  const { state, settings } = context;
  let gone = true;
  for (const row of state.versions.filter((version) => version.state === "retired")) {
    // A view that is built and cannot be read through us still shows its rows of before in SQL.
    const shown = state.versions.some((other) => other.name === row.name && other.state === "building");
    if (shown && state.views.get(row.name)?.live === null) continue;
    const { stale } = state.versions.find((other) => other.name === row.name && other.state === "failed")?.error ?? {};
    if (stale?.version === row.version) continue;
    const statements = dropVersion(row.name, row.version).map((sql) => ({ sql, fresh: true }));
    const outcome = await tryOnce(context, (applier) =>
      applier.transact([...statements, forgetVersion(settings.name, row.name, row.version)], {}, [
        "set local lock_timeout = '200ms'",
      ]),
    );
    if ("done" in outcome) state.versions = state.versions.filter((version) => version !== row);
    else gone = false;
  }
  return gone;
}

/**
 * Mirrors that these views cannot do with any more are filled again from the log, for the views are to be built anew. One of
 * a topic keeps its rows, which the log may not have any more, and goes on behind them.
 */
export async function releaseBroken(context: GroupContext, names: ReadonlySet<string>): Promise<void> {
  const { state, settings } = context;
  const broken = state.mirrors.filter(
    (mirror) =>
      mirror.state === "broken" &&
      !isHistory(mirror) &&
      [...names].some((name) =>
        state.views.get(name)?.planned.compiled?.uses.some((use) => use.mirrorId === mirror.id),
      ),
  );
  for (const mirror of broken) {
    const kept = isOfTopic(mirror);
    if (kept) await skipRetired(context, mirror);
    const next = kept ? "filled" : "absent";
    const leave = kept ? [writeMirrorState(mirror.id, next, null)] : dropMirrorStatements(settings.name, mirror);
    await transact(context, leave);
    setMirror(context, { ...mirror, state: next, error: null });
  }
}
