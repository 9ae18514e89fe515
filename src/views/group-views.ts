/**
 * Brings the views of the store to the definitions: new ones are built, changed ones are built anew and swapped in one
 * transaction, those that nobody defines any more go or are kept. While a view is being filled, its group waits.
 */

import { wholeTableSettings } from "./applier.ts";
import { classifyFailure } from "./applier-failure.ts";
import { forgetVersion, type StoredError, type VersionRow, writeMirrorState, writeVersion } from "./bookkeeping.ts";
import type { CompiledView } from "./compiled-view.ts";
import { attempt, failedVersion, type GroupContext, transact } from "./group-context.ts";
import { arrangeMirrors, dropStatements, dropUnusedIndexes, setLayout, setMirror } from "./group-mirrors.ts";
import type { LiveView } from "./live-view.ts";
import { type PlannedView, planVersions, viewFailed } from "./versions.ts";
import { buildStatements, dropVersion, listColumns, publicName } from "./versions-build.ts";
import type { ViewColumn } from "./view-info.ts";

/** Everything as the definitions, the tables and the log say. Ends with the layout set and whatever can be live, live. */
export async function arrangeViews(context: GroupContext): Promise<void> {
  await planViews(context);
  context.state.changed();
  await arrangeMirrors(context);
  await buildViews(context);
  await dropRetired(context);
  await dropUnusedIndexes(context);
  context.state.changed();
}

async function planViews(context: GroupContext): Promise<void> {
  const { state, settings } = context;
  const plan = await planVersions({
    definitions: context.definitions(),
    stored: state.versions,
    mirrors: state.mirrors.map(({ id, shape }) => ({ id, shape })),
    removed: settings.removed,
    sourcesUnknown: settings.sources.filter((source) => !state.sources.has(source)),
    compile: settings.compile,
  });
  const retired = state.versions
    .filter((row) => plan.drop.includes(row.name) && row.state !== "retired")
    .map((row): VersionRow => ({ ...row, state: "retired" }));
  const write = [...plan.write, ...retired];
  for (const view of plan.redefined) settings.diagnostics.info("a view's definition changed; it is rebuilt", { view });
  for (const view of plan.drop) settings.diagnostics.info("a view is not defined any more and is dropped", { view });
  if (write.length > 0 || plan.drop.length > 0) {
    await transact(context, [
      { sql: "set local lock_timeout = '5s'", fresh: true },
      ...plan.drop.map((name) => ({ sql: `drop view if exists ${publicName(name)} cascade`, fresh: true })),
      ...write.map((row) => writeVersion(settings.name, row)),
    ]);
  }
  replaceVersions(context, write);
  const lives: (LiveView | null)[] = [];
  for (const planned of plan.views) {
    lives.push(planned.state.kind === "live" ? await liveView(context, planned) : null);
  }
  // In one turn: nobody sees a part of the views.
  const before = new Map(state.views);
  state.views.clear();
  plan.views.forEach((planned, i) => {
    const { name } = planned.definition;
    const { changes = 0, rowsEstimated = 0 } = before.get(name) ?? {};
    state.views.set(name, { planned: unlessBroken(context, planned), live: lives[i] ?? null, changes, rowsEstimated });
  });
}

/** A view over a broken mirror cannot be built. */
function unlessBroken(context: GroupContext, planned: PlannedView): PlannedView {
  const { compiled } = planned;
  if (!compiled || planned.state.kind === "failed") return planned;
  const broken = context.state.mirrors.find(
    (mirror) => mirror.error !== null && compiled.uses.some((use) => use.mirrorId === mirror.id),
  );
  return broken?.error
    ? { ...planned, state: { kind: "failed", error: viewFailed(compiled.name, broken.error) } }
    : planned;
}

function replaceVersions({ state }: GroupContext, write: readonly VersionRow[]): void {
  const key = (row: VersionRow) => `${row.name}/${row.version}`;
  const rows = new Map([...state.versions, ...write].map((row) => [key(row), row]));
  state.versions = [...rows.values()].sort((a, b) =>
    a.name === b.name ? a.version - b.version : a.name < b.name ? -1 : 1,
  );
}

async function buildViews(context: GroupContext): Promise<void> {
  const { state } = context;
  let built = false;
  for (const { planned } of [...state.views.values()]) {
    const { compiled } = planned;
    const current = compiled && state.views.get(compiled.name)?.planned;
    if (!compiled || current?.state.kind !== "building") continue;
    if (!state.sourcesOf(compiled).every((source) => state.sources.get(source)?.snapshotComplete)) continue;
    if (state.readingFor(compiled).length > 0) continue;
    await buildView(context, planned, compiled);
    built = true;
    state.changed();
  }
  if (built) await setLayout(context);
}

async function buildView(context: GroupContext, planned: PlannedView, compiled: CompiledView): Promise<void> {
  const { state, settings, owner, applier } = context;
  const row = state.versions.find((one) => one.name === compiled.name && one.version === compiled.version);
  if (!row) return;
  const live: VersionRow = { ...row, state: "live", error: null };
  const mirrors = new Map(state.mirrors.map((mirror) => [mirror.id, mirror]));
  const generation = state.row.generation + 1;
  const startedMs = settings.clock.monotonicMs();
  await owner.note({ generation, batch: state.row.batch });
  let error: StoredError | null = null;
  for (const replace of [false, true]) {
    const outcome = await attempt(context, () =>
      applier.transact(
        [
          ...buildStatements(compiled, { readerRole: settings.readerRole, mirrors, replace }),
          writeVersion(settings.name, live),
        ],
        { generation },
        [...wholeTableSettings, "set local lock_timeout = '10s'"],
      ),
    );
    error = "failure" in outcome ? outcome.failure.error : null;
    // A public view with other columns, or other types of them, is not replaced but made anew.
    if (error?.sqlState !== "42P16") break;
  }
  if (error) {
    await transact(context, failedVersion(context, compiled, error));
    return;
  }
  replaceVersions(context, [live]);
  const done: PlannedView = { ...planned, state: { kind: "live" } };
  const { changes = 0 } = state.views.get(compiled.name) ?? {};
  state.views.set(compiled.name, { planned: done, live: await liveView(context, done), changes, rowsEstimated: 0 });
  await estimateRows(context);
  const tookMs = Math.round(settings.clock.monotonicMs() - startedMs);
  settings.diagnostics.info("a view is live", { view: compiled.name, version: compiled.version, tookMs });
}

async function liveView({ applier }: GroupContext, { definition, compiled }: PlannedView): Promise<LiveView | null> {
  if (!compiled) return null;
  const columns = await applier.query(listColumns, [publicName(compiled.name), compiled.stateTable]);
  return {
    name: compiled.name,
    version: compiled.version,
    hash: compiled.hash,
    sql: definition.sql.text,
    publicView: publicName(compiled.name),
    stateTable: compiled.stateTable,
    logTable: compiled.logTable,
    columns: columns as unknown as ViewColumn[],
    key: compiled.key,
    compiled,
  };
}

/** PostgreSQL's own estimates of how many rows the views have. */
export async function estimateRows({ applier, state }: GroupContext): Promise<void> {
  const live = [...state.views.values()].filter((entry) => entry.live !== null);
  const rows = await applier.query(
    // The counter follows each batch but begins at nothing after a crash; reltuples is as old as the last analyze.
    "select case when s.n_live_tup > 0 then s.n_live_tup else greatest(c.reltuples, 0)::bigint end as rows " +
      "from unnest($1::text[]) with ordinality as t(name, n) left join pg_class c on c.oid = to_regclass(t.name) " +
      "left join pg_stat_user_tables s on s.relid = c.oid order by n",
    [live.map((entry) => entry.live?.stateTable)],
  );
  live.forEach((entry, i) => {
    entry.rowsEstimated = Number(rows[i]?.rows ?? 0);
  });
}

/** Tables of versions that nothing reads any more. One that somebody still holds on to goes another time. */
async function dropRetired(context: GroupContext): Promise<void> {
  const { state, settings } = context;
  for (const row of state.versions.filter((version) => version.state === "retired")) {
    const inUse = state.versions.some((other) => other.name === row.name && other.state === "building");
    if (inUse) continue; // its public view still shows the rows of before
    try {
      await context.applier.transact([
        { sql: "set local lock_timeout = '1s'", fresh: true },
        ...dropVersion(row.name, row.version).map((sql) => ({ sql, fresh: true })),
        forgetVersion(settings.name, row.name, row.version),
      ]);
      state.row = context.applier.row;
      state.versions = state.versions.filter((version) => version !== row);
    } catch (error) {
      if (classifyFailure(error).kind !== "again") throw error;
    }
  }
}

/** The versions of these views are wrong: they are retired, and `arrangeViews` begins the next ones. */
export async function retireViews(context: GroupContext, names: ReadonlySet<string>): Promise<void> {
  const { state, settings } = context;
  const retired = state.versions
    .filter((row) => names.has(row.name) && row.state !== "retired")
    .map((row): VersionRow => ({ ...row, state: "retired" }));
  const broken = state.mirrors.filter(
    (mirror) =>
      mirror.state === "broken" &&
      [...names].some((name) =>
        state.views.get(name)?.planned.compiled?.uses.some((use) => use.mirrorId === mirror.id),
      ),
  );
  await transact(context, [
    ...retired.map((row) => writeVersion(settings.name, row)),
    ...broken.flatMap((mirror) => [...dropStatements(mirror), writeMirrorState(mirror.id, "absent", null)]),
  ]);
  replaceVersions(context, retired);
  for (const mirror of broken) setMirror(context, { ...mirror, state: "absent", error: null });
}
