/**
 * The view compiler: a definition and the shapes of captured tables in, SQL out. Pure: no database, no clock. Stages:
 * parse (PostgreSQL's own parser), bind to branches over mirrors, plan (groups and sums), choose the key, print.
 */

import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import { probedAsOf } from "./compile/as-of.ts";
import { usedColumns } from "./compile/contribution.ts";
import { explainPlan } from "./compile/explain.ts";
import { withFind, withReads } from "./compile/find-columns.ts";
import type { Binding } from "./compile/from.ts";
import { viewHash } from "./compile/hash.ts";
import { withHistory } from "./compile/history-option.ts";
import { Inlining, viewsRead } from "./compile/inlining.ts";
import { type CompileOuter, compileOverInner } from "./compile/inner/compile-over.ts";
import { joinOrder } from "./compile/join-order.ts";
import { chooseKey, groupKey } from "./compile/key.ts";
import { Untraceable } from "./compile/keyed/alternative.ts";
import { compileKeyed } from "./compile/keyed/compile-keyed.ts";
import type { ProbedIndex } from "./compile/keyed/trace-rows.ts";
import { makePlan } from "./compile/make-plan.ts";
import { makeMultisetState } from "./compile/multiset-state.ts";
import { type Plan, withKey } from "./compile/plan.ts";
import { refuseWithoutPolicy, withPolicy } from "./compile/policy.ts";
import { withReferences } from "./compile/references.ts";
import { loadParser, type SourceText } from "./compile/source-text.ts";
import { makeState } from "./compile/state.ts";
import { tableLabel } from "./compile/tables.ts";
import { clockOf, indexesByTime } from "./compile/temporal.ts";
import { makeClockTerms, makeTerms, type Term } from "./compile/terms.ts";
import { untraced } from "./compile/untraced.ts";
import { compileWhole } from "./compile/whole.ts";
import { withWindow, withWindowWords } from "./compile/window.ts";
import type { CompiledView, CompileRequest } from "./compiled-view.ts";

export { loadParser } from "./compile/source-text.ts";

/**
 * Throws `VIEW_SQL_INVALID`, `VIEW_UNKNOWN_TABLE`, `VIEW_UNKNOWN_COLUMN`, `VIEW_COLUMN_AMBIGUOUS`, `VIEW_KEY_INVALID`,
 * `VIEW_KEY_NOT_UNIQUE`, `VIEW_CYCLE`, `VIEW_OPTION_INVALID`, `VIEW_POLICY_INVALID`, `VIEW_POLICY_MISSING`, `VIEW_WINDOW_INVALID`, `VIEW_UNSUPPORTED`; where a place in the SQL is meant, the
 * message shows it with a caret and `details` has `line` and `character`.
 */
export async function compileView(request: CompileRequest): Promise<CompiledView> {
  await loadParser();
  return compileViewSync(request);
}

/** As `compileView`, once `loadParser` has resolved. */
export function compileViewSync(request: CompileRequest): CompiledView {
  refuseWithoutPolicy(request.view, request.views ?? []);
  const whole: string[] = [];
  const inlining = new Inlining(
    request.views ?? [],
    (view, source) => {
      if (compileSource({ ...request, view }, source, whole).class === "whole") whole.push(view.name);
    },
    (view, source) => withWindow(view, source, request.mirrors),
  );
  const source = inlining.sourceOf(request.view);
  const found = withFind(compileSource(request, source, whole), request.view, source);
  const compiled = withReads(found, request.view, source);
  const referring = withReferences(withNames(compiled, inlining.names), request.view, source);
  const policed = withPolicy(referring, request.view);
  return withHistory(withWindowWords(policed, request.view), request.view, source);
}

function withNames(compiled: CompiledView, inlined: readonly string[]): CompiledView {
  if (inlined.length === 0) return compiled;
  const views = inlined.map((name) => `views.${name}`).join(", ");
  return { ...compiled, explanation: `${compiled.explanation}with the queries in their places of:\n  ${views}\n` };
}

/** `below` are views that it may read and that are run again as a whole. */
function compileSource(request: CompileRequest, source: SourceText, below: readonly string[]): CompiledView {
  const { view } = request;
  try {
    return withoutNeed(compileByChanges(request, source), view);
  } catch (cause) {
    if (!MillraceError.is(cause) || cause.code !== "VIEW_UNSUPPORTED" || view.window !== undefined) throw cause;
    if (view.refreshMs !== undefined) return compileAsWhole(request, source, view.refreshMs, cause);
    throw withWayOut(cause, request, source, below);
  }
}

/** Who says `refresh` without need gets a view that is fresher than that. */
function withoutNeed(compiled: CompiledView, { refreshMs }: ViewDefinition): CompiledView {
  if (refreshMs === undefined) return compiled;
  return { ...compiled, explanation: `${compiled.explanation}refresh is not needed: it is kept with each change\n` };
}

function compileAsWhole(
  { view, mirrors, version }: CompileRequest,
  source: SourceText,
  everyMs: number,
  refusal: MillraceError,
): CompiledView {
  try {
    return compileWhole({ view, version, source, mirrors, everyMs });
  } catch (cause) {
    throw cause instanceof Untraceable ? refusal : cause;
  }
}

/** The refusal, with `refresh` in its hint where that would do. */
function withWayOut(
  refusal: MillraceError,
  request: CompileRequest,
  source: SourceText,
  below: readonly string[],
): MillraceError {
  try {
    compileAsWhole(request, source, 1_000, refusal);
  } catch {
    return refusal;
  }
  const { view } = request;
  const read = below.filter((name) => name !== view.name && viewsRead(view).includes(name));
  const option = `{ refresh: "30s" }`;
  const way =
    read.length === 0
      ? `Or let it be run again as a whole: view("${view.name}", …, ${option}).`
      : `It reads ${read.map((name) => `views.${name}`).join(", ")}, which is run again as a whole, and so needs a refresh of its own: view("${view.name}", …, ${option}).`;
  return new MillraceError(refusal.code, refusal.message, {
    hint: refusal.hint === undefined ? way : `${refusal.hint} ${way}`,
    details: refusal.details,
    cause: refusal,
  });
}

function compileByChanges(request: CompileRequest, source: SourceText): CompiledView {
  try {
    return compilePlanned(request, source);
  } catch (cause) {
    if (!MillraceError.is(cause) || cause.code !== "VIEW_UNSUPPORTED") throw cause;
    return compileByKey(request, source, cause);
  }
}

/** What cannot be kept by adding and taking away may still be recomputed by key; `refusal` says why it cannot be kept. */
function compileByKey(
  { view, mirrors, version }: CompileRequest,
  source: SourceText,
  refusal: MillraceError,
): CompiledView {
  const request = { view, mirrors, version };
  let compiled: CompiledView;
  try {
    compiled = compileKeyed({ ...request, source });
  } catch (cause) {
    if (!(cause instanceof Untraceable)) throw cause;
    return compileOver(request, source, untraced(source, refusal));
  }
  const bounded = compiled.scans.length === 0 ? null : compileBounded(request, source, refusal);
  return bounded ?? { ...compiled, mirrorIndexes: withoutPrefixes(compiled.mirrorIndexes) };
}

/** What reads all of something at each change may not with rows kept beneath it. */
function compileBounded(request: CompileRequest, source: SourceText, refusal: MillraceError): CompiledView | null {
  try {
    const compiled = compileOver(request, source, refusal);
    return compiled.scans.length === 0 ? compiled : null;
  } catch {
    return null;
  }
}

/** What cannot be traced to tables may be to the rows of a subquery. */
function compileOver(request: CompileRequest, source: SourceText, refusal: MillraceError): CompiledView {
  const outer: CompileOuter = ({ source: over, ...rest }) => {
    try {
      return compilePlanned(rest, over);
    } catch (cause) {
      if (!MillraceError.is(cause) || cause.code !== "VIEW_UNSUPPORTED") throw cause;
      return compileKeyed({ ...rest, source: over });
    }
  };
  try {
    const compiled = compileOverInner({ ...request, source }, outer);
    return { ...compiled, mirrorIndexes: withoutPrefixes(compiled.mirrorIndexes) };
  } catch (cause) {
    if (!MillraceError.is(cause)) throw cause instanceof Untraceable ? refusal : cause;
    // What is run again as a whole may have a key that nothing proves.
    throw /^VIEW_KEY_/.test(cause.code) && request.view.refreshMs === undefined ? cause : refusal;
  }
}

function compilePlanned({ view, mirrors, version }: CompileRequest, source: SourceText): CompiledView {
  const binding: Binding = { source, mirrors, replacements: new Map() };
  const unkeyed = makePlan(binding);
  const key = chooseKey(unkeyed, view, binding);
  const identity = key ?? (unkeyed.class === "additive" ? groupKey(unkeyed) : null);
  const plan = withKey(unkeyed, identity, key === null);
  const names = { view: view.name, version };
  const { deltaTarget, ...state } =
    identity === null ? makeMultisetState(plan, names) : makeState(plan, identity, names);
  const terms = makeTerms(plan, deltaTarget);
  const clock = clockOf(
    plan.branches.flatMap(({ conjuncts }) => conjuncts),
    () => makeClockTerms(plan, deltaTarget),
  );
  const uses = tablesUsed(plan);
  const keyNames = key?.map((index) => plan.groups[index]?.column ?? "") ?? null;
  return {
    name: view.name,
    version,
    hash: viewHash(view, source, uses),
    class: plan.class,
    query: source.rewritten(binding.replacements),
    key: keyNames,
    publicColumns: plan.publics.map((column) => column.name),
    uses: uses.map(({ mirror, columns }) => ({ mirrorId: mirror.id, columns })),
    ...state,
    terms: terms.map(({ branch: _branch, occurrence: _occurrence, ...term }) => term),
    ...clock,
    mirrorIndexes: indexesProbed(plan, terms),
    scans: tablesScanned(plan, terms),
    explanation: explainPlan(plan, keyNames, terms),
  };
}

function tablesUsed(plan: Plan) {
  const mirrors = new Map(
    plan.branches.flatMap((branch) => branch.occurrences).map(({ mirror }) => [mirror.id, mirror]),
  );
  return [...mirrors.values()]
    .sort((a, b) => a.id - b.id)
    .map((mirror) => {
      const used = new Set(
        plan.branches.flatMap((branch, b) =>
          branch.occurrences.filter((one) => one.mirror.id === mirror.id).flatMap((one) => usedColumns(plan, b, one)),
        ),
      );
      return { mirror, columns: mirror.shape.columns.map((column) => column.name).filter((name) => used.has(name)) };
    });
}

/** An index per set of columns that a term probes and the primary key does not serve. */
function indexesProbed(plan: Plan, terms: readonly Term[]): ProbedIndex[] {
  const found: ProbedIndex[] = plan.branches.flatMap(({ conjuncts }) => indexesByTime(conjuncts));
  for (const term of terms) {
    const branch = plan.branches[term.branch];
    if (branch === undefined) continue;
    for (const step of joinOrder(branch, term.occurrence)) {
      if (step.probes.length > 0 && !step.byPrimaryKey)
        found.push({
          mirrorId: step.occurrence.mirror.id,
          columns: probedAsOf(step.occurrence, step.probes, branch.conjuncts),
        });
    }
  }
  return withoutPrefixes(found);
}

/** None that begins another. */
function withoutPrefixes(found: readonly ProbedIndex[]): ProbedIndex[] {
  const longestFirst = [...found].sort((a, b) => a.mirrorId - b.mirrorId || b.columns.length - a.columns.length);
  return longestFirst.filter(
    (one, i) =>
      !longestFirst
        .slice(0, i)
        .some(
          (other) => other.mirrorId === one.mirrorId && one.columns.every((column, c) => other.columns[c] === column),
        ),
  );
}

function tablesScanned(plan: Plan, terms: readonly Term[]): { changed: string; read: string }[] {
  const found = new Map<string, { changed: string; read: string }>();
  for (const term of terms) {
    const branch = plan.branches[term.branch];
    if (branch === undefined) continue;
    const changed = tableLabel(term.occurrence.mirror);
    for (const step of joinOrder(branch, term.occurrence)) {
      const read = tableLabel(step.occurrence.mirror);
      if (step.probes.length === 0) found.set(`${changed} ${read}`, { changed, read });
    }
  }
  return [...found.values()];
}
