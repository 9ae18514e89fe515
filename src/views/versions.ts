/**
 * Which version of each view there is to be: definitions of now against versions that the store has. It decides, and
 * changes nothing.
 *
 * Always true: a view has at most one version that can be read and one that is to take its place; another hash begins
 * the next version, and what made a version wrong retires it; versions are never used again.
 */
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { StoredError, StoredStale, VersionRow } from "./bookkeeping.ts";
import { viewsBelow } from "./compile/inlining.ts";
import { loadParser } from "./compile.ts";
import type { CompiledView, CompileRequest, MirrorBinding } from "./compiled-view.ts";
import { circlesAmong } from "./graph.ts";

export type PlannedState =
  | { readonly kind: "building" }
  | { readonly kind: "live" }
  | { readonly kind: "failed"; readonly error: MillraceError };

export interface PlannedView {
  readonly definition: ViewDefinition;
  /** False for one that is kept although nobody defines it any more. */
  readonly defined: boolean;
  /** Null when it does not compile: failed, or building while tables are not captured yet. */
  readonly compiled: CompiledView | null;
  readonly state: PlannedState;
  /** The live version that is read, and kept right, until this one is built. */
  readonly before: { readonly definition: ViewDefinition; readonly compiled: CompiledView } | null;
  /** The version with the last good state, where the view failed and none is live since. */
  readonly stale: {
    readonly definition: ViewDefinition;
    readonly compiled: CompiledView;
    readonly at: StoredStale;
  } | null;
}

export interface VersionPlan {
  readonly views: readonly PlannedView[];
  /** Rows to be written: new versions, and retired ones. */
  readonly write: readonly VersionRow[];
  /** Views that go with all their versions. */
  readonly drop: readonly string[];
  /** Names whose definition is another one than that of the version before. */
  readonly redefined: readonly string[];
}

export interface VersionRequest {
  readonly definitions: readonly ViewDefinition[];
  readonly stored: readonly VersionRow[];
  readonly mirrors: readonly MirrorBinding[];
  /** Views to be begun anew, although their definition is the same. */
  readonly anew: ReadonlySet<string>;
  /** A live version as it was compiled, which later shapes of its tables may not give again; undefined when not known. */
  compiledBefore(row: VersionRow): CompiledView | undefined;
  /** What happens to views that are not defined any more. */
  readonly removed: "drop" | "keep";
  /** Those that another group has by now go all the same. */
  readonly elsewhere?: (view: string) => boolean;
  /** Sources whose tables are not known yet: a view of an unknown table waits for them. */
  readonly sourcesUnknown: readonly string[];
  compile(request: CompileRequest): Promise<CompiledView>;
}

export async function planVersions(request: VersionRequest): Promise<VersionPlan> {
  const views: PlannedView[] = [];
  const write: VersionRow[] = [];
  const drop: string[] = [];
  const redefined: string[] = [];
  const byName = Map.groupBy(request.stored, (row) => row.name);
  const wanted = request.definitions.map((definition) => ({ definition, defined: true }));
  const names = new Set(request.definitions.map((definition) => definition.name));
  for (const [name, rows] of byName) {
    if (names.has(name)) continue;
    const latest = rows.findLast((row) => row.state !== "retired");
    if (request.removed === "keep" && latest && !request.elsewhere?.(name))
      wanted.push({ definition: latest.definition, defined: false });
    else drop.push(name);
  }
  await loadParser();
  const circles = circlesAmong(request.definitions);
  for (const { definition, defined } of wanted) {
    const rows = byName.get(definition.name) ?? [];
    const planned = await planView(request, definition, defined, rows, circles.get(definition.name));
    views.push(planned.view);
    write.push(...planned.write);
    if (planned.redefined) redefined.push(definition.name);
  }
  return { views, write, drop, redefined };
}

async function planView(
  request: VersionRequest,
  definition: ViewDefinition,
  defined: boolean,
  rows: readonly VersionRow[],
  circle: MillraceError | undefined,
): Promise<{ view: PlannedView; write: VersionRow[]; redefined: boolean }> {
  const standing = rows.filter((row) => row.state !== "retired");
  const latest = standing.at(-1);
  const live = standing.findLast((row) => row.state === "live");
  const next = Math.max(0, ...rows.map((row) => row.version)) + 1;
  const { mirrors } = request;
  // One that nobody defines any more stays what it was.
  const views = defined ? request.definitions : (latest?.reads ?? []);
  const compile = (version: number) => request.compile({ view: definition, mirrors, views, version });
  const retire = (kept: readonly (number | undefined)[]) =>
    standing.filter((row) => !kept.includes(row.version)).map((row): VersionRow => ({ ...row, state: "retired" }));
  let compiled: CompiledView;
  let current: VersionRow | undefined;
  try {
    if (circle) throw circle;
    compiled = await compile(latest?.version ?? next);
    const { hash } = compiled;
    // A definition that went back to what is read already needs no building.
    current = request.anew.has(definition.name) ? undefined : [latest, live].find((row) => row?.hash === hash);
    const version = current?.version ?? next;
    if (version !== compiled.version) compiled = await compile(version);
  } catch (cause) {
    const state = stateWithout(MillraceError.from(cause), request.sourcesUnknown);
    const view: PlannedView = { definition, defined, compiled: null, state, before: null, stale: null };
    return { view, write: retire([]), redefined: false };
  }
  const { name, version, hash } = compiled;
  const before = live && live !== current ? await recompile(request, live) : null;
  const write = retire([version, before?.compiled.version]);
  const state: PlannedState = current ? stateOf(current) : { kind: "building" };
  const stale = live === undefined ? await staleVersion(request, rows) : null;
  const view: PlannedView = { definition, defined, compiled, state, before, stale };
  if (current) return { view, write, redefined: false };
  const reads = viewsBelow(definition, views);
  const row: VersionRow = { name, version, hash, definition, reads, state: "building", error: null };
  return { view, write: [...write, row], redefined: latest !== undefined && latest.hash !== hash };
}

async function staleVersion(request: VersionRequest, rows: readonly VersionRow[]): Promise<PlannedView["stale"]> {
  const at = rows.findLast((row) => row.error?.stale !== undefined)?.error?.stale;
  const row = at && rows.find((one) => one.version === at.version);
  const kept = row ? await recompile(request, row) : null;
  return at && kept ? { ...kept, at } : null;
}

/** The version that is live, as it is kept; null when it cannot be kept any more: its tables are others now. */
async function recompile(request: VersionRequest, row: VersionRow): Promise<PlannedView["before"]> {
  const { definition, version, hash, reads } = row;
  const known = request.compiledBefore(row);
  if (known) return { definition, compiled: known };
  try {
    const compiled = await request.compile({ view: definition, mirrors: request.mirrors, views: reads, version });
    return compiled.hash === hash ? { definition, compiled } : null;
  } catch {
    return null;
  }
}

/** A table that nobody knows may be one that its source has not told of yet. */
function stateWithout(error: MillraceError, sourcesUnknown: readonly string[]): PlannedState {
  // So may a history, which begins when its view is live.
  const isAwaited = sourcesUnknown.length > 0 || error.details.history !== undefined;
  const waits = error.code === "VIEW_UNKNOWN_TABLE" && isAwaited;
  return waits ? { kind: "building" } : { kind: "failed", error };
}

function stateOf(row: VersionRow): PlannedState {
  if (row.state === "failed") return { kind: "failed", error: viewFailed(row.name, row.error) };
  return row.state === "live" ? { kind: "live" } : { kind: "building" };
}

export function viewFailed(view: string, error: StoredError | null): MillraceError {
  // What is wrong with the set-up has said so itself.
  if (error?.code === "VIEW_OPTION_INVALID" || error?.code === "STORE_EXTENSION_MISSING") {
    return new MillraceError(error.code, error.message, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      details: { view },
    });
  }
  return new MillraceError("VIEW_FAILED", `view "${view}" failed: ${error?.message ?? "the reason is not known"}`, {
    hint:
      `Correct the definition or the data, then run millrace views rebuild ${view}.` +
      (error?.stale === undefined ? "" : " Until then stale=ok reads it as it was."),
    details: { view, sqlState: error?.sqlState ?? null },
  });
}
