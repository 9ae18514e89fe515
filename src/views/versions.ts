/**
 * Which version of each view there is to be: definitions of now against versions that the store has. It decides, and
 * changes nothing.
 *
 * Always true: a view has at most one version that is not retired; another hash, and whatever made a version wrong,
 * retires it and begins the next one; versions are never used again.
 */
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { StoredError, VersionRow } from "./bookkeeping.ts";
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
  /** What happens to views that are not defined any more. */
  readonly removed: "drop" | "keep";
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
    if (request.removed === "keep" && latest) wanted.push({ definition: latest.definition, defined: false });
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
  const current = rows.findLast((row) => row.state !== "retired");
  const next = Math.max(0, ...rows.map((row) => row.version)) + 1;
  const compile = (version: number) => request.compile({ view: definition, mirrors: request.mirrors, version });
  const retire = rows.filter((row) => row.state !== "retired").map((row): VersionRow => ({ ...row, state: "retired" }));
  let compiled: CompiledView;
  try {
    if (circle) throw circle;
    compiled = await compile(current?.version ?? next);
    if (current && current.hash !== compiled.hash) compiled = await compile(next);
  } catch (cause) {
    const state = stateWithout(MillraceError.from(cause), request.sourcesUnknown);
    return { view: { definition, defined, compiled: null, state }, write: retire, redefined: false };
  }
  if (current && compiled.version === current.version) {
    return { view: { definition, defined, compiled, state: stateOf(current) }, write: [], redefined: false };
  }
  const { name, version, hash } = compiled;
  const row: VersionRow = { name, version, hash, definition, state: "building", error: null };
  const view: PlannedView = { definition, defined, compiled, state: { kind: "building" } };
  return { view, write: [...retire, row], redefined: current !== undefined };
}

/** A table that nobody knows may be one that its source has not told of yet. */
function stateWithout(error: MillraceError, sourcesUnknown: readonly string[]): PlannedState {
  const waits = error.code === "VIEW_UNKNOWN_TABLE" && sourcesUnknown.length > 0;
  return waits ? { kind: "building" } : { kind: "failed", error };
}

function stateOf(row: VersionRow): PlannedState {
  if (row.state === "failed") return { kind: "failed", error: viewFailed(row.name, row.error) };
  return row.state === "live" ? { kind: "live" } : { kind: "building" };
}

export function viewFailed(view: string, error: StoredError | null): MillraceError {
  return new MillraceError("VIEW_FAILED", `view "${view}" failed: ${error?.message ?? "the reason is not known"}`, {
    hint: `Correct the definition or the data, then run millrace views rebuild ${view}.`,
    details: { view, sqlState: error?.sqlState ?? null },
  });
}
