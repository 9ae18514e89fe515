/** Checks all definitions against the shapes of captured tables and topics, without any database. */
import { MillraceError } from "../base/errors.ts";
import { mirrorName, type ViewDefinition } from "../catalog/definitions.ts";
import { publishKeyMissing } from "../catalog/publishing.ts";
import type { TopicRetentions } from "../catalog/topic-retentions.ts";
import type { TableShape, ViewShape } from "../schema/table-shape.ts";
import { referenceError } from "./check-references.ts";
import { compileViewSync, loadParser } from "./compile.ts";
import type { CompiledView, MirrorBinding } from "./compiled-view.ts";
import { circlesAmong, publishCirclesAmong } from "./graph.ts";
import { bordersCrossed } from "./group-borders.ts";
import { notCheckedYet, withHistories } from "./history/check-histories.ts";
import { retentionError } from "./topic-retention.ts";

export interface CheckedView {
  readonly view: ViewDefinition;
  /** Null when there is an error, and while it reads a history that is not known yet. */
  readonly compiled: CompiledView | null;
  readonly error: MillraceError | null;
  /** Sentences about what works and may not be what was meant. */
  readonly warnings: readonly string[];
}

/** `known` are columns of views as the store has them. One answer per view, in their order; a view in a circle has `VIEW_CYCLE` or `PUBLISH_CYCLE`, one that crosses groups `VIEW_OF_ANOTHER_GROUP`. */
export async function checkDefinitions(
  views: readonly ViewDefinition[],
  shapes: readonly TableShape[],
  retentions: TopicRetentions = new Map(),
  known: readonly ViewShape[] = [],
): Promise<CheckedView[]> {
  await loadParser();
  const tables = shapes.map((shape, i): MirrorBinding => ({ id: i + 1, shape }));
  const mirrors = withHistories(views, tables, known);
  const refusals = new Map([...publishCirclesAmong(views), ...circlesAmong(views), ...bordersCrossed(views)]);
  const checked = views.map((view): CheckedView => {
    const refused = refusals.get(view.name) ?? retentionError(view, retentions);
    if (refused) return { view, compiled: null, error: refused, warnings: [] };
    try {
      const compiled = compileViewSync({ view, mirrors, views, version: 1 });
      if (view.publish && compiled.key === null) throw publishKeyMissing(view.name, view.publish.topic);
      return {
        view,
        compiled,
        error: null,
        warnings: [...needless(view, compiled), ...unindexedPolicy(compiled), ...warningsFor(compiled, mirrors)],
      };
    } catch (error) {
      const refusal = MillraceError.from(error);
      const unchecked = notCheckedYet(refusal);
      if (unchecked !== null) return { view, compiled: null, error: null, warnings: [unchecked] };
      return { view, compiled: null, error: refusal, warnings: [] };
    }
  });
  const compiled = new Map(checked.flatMap((one) => (one.compiled ? [[one.view.name, one.compiled]] : [])));
  return checked.map((one) => {
    const { view, error } = one;
    if (!one.compiled || error !== null || view.references === undefined) return one;
    const wrong = referenceError(one.compiled, view.references, views, compiled);
    return wrong === null ? one : { ...one, compiled: null, error: wrong };
  });
}

function needless({ refreshMs }: ViewDefinition, { class: is }: CompiledView): string[] {
  return refreshMs === undefined || is === "whole" ? [] : ["refresh is not needed: it is kept with each change"];
}

function unindexedPolicy({ policy, key, reads }: CompiledView): string[] {
  const firsts = (reads?.indexes ?? []).map((one) => ("gin" in one ? null : one.fields[0]));
  const isServed = (column: string) =>
    key?.[0] === column || firsts.some((first) => first?.column === column && first.steps.length === 0);
  return (policy?.equalities ?? [])
    .filter((column) => !isServed(column))
    .slice(0, 1)
    .map((column) => `its policy looks for rows by "${column}", which no index begins with: add index: ["${column}"]`);
}

function warningsFor(compiled: CompiledView, mirrors: readonly MirrorBinding[]): string[] {
  const warnings: string[] = [];
  for (const scan of compiled.scans) {
    warnings.push(
      scan.read.startsWith("the subquery")
        ? `a change of "${scan.changed}" computes ${scan.read} whole: no column of it equals one by which the view is kept`
        : `a change of "${scan.changed}" reads all of "${scan.read}": no equality joins them that an index could serve`,
    );
  }
  for (const { mirrorId, columns } of compiled.uses) {
    const shape = mirrors.find((mirror) => mirror.id === mirrorId)?.shape;
    const carried = shape?.columns.filter((column) => column.carriedAsText && columns.includes(column.name)) ?? [];
    for (const column of carried) {
      const label = `${shape?.source}.${mirrorName(shape?.schema ?? "", shape?.table ?? "")}`;
      warnings.push(
        `"${label}"."${column.name}" (${column.sourceType}) is carried as text: it compares and sorts as text`,
      );
    }
  }
  return warnings;
}
