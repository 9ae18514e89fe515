/** Checks all definitions against the shapes of captured tables and topics, without any database. */
import { MillraceError } from "../base/errors.ts";
import { mirrorName, type ViewDefinition } from "../catalog/definitions.ts";
import { publishKeyMissing } from "../catalog/publishing.ts";
import type { TopicRetentions } from "../catalog/topic-retentions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { referenceError } from "./check-references.ts";
import { compileViewSync, loadParser } from "./compile.ts";
import type { CompiledView, MirrorBinding } from "./compiled-view.ts";
import { circlesAmong, publishCirclesAmong } from "./graph.ts";
import { retentionError } from "./topic-retention.ts";

export interface CheckedView {
  readonly view: ViewDefinition;
  /** Null when there is an error. */
  readonly compiled: CompiledView | null;
  readonly error: MillraceError | null;
  /** Sentences about what works and may not be what was meant. */
  readonly warnings: readonly string[];
}

/** One answer per view, in their order; a view in a circle has `VIEW_CYCLE` or `PUBLISH_CYCLE`. */
export async function checkDefinitions(
  views: readonly ViewDefinition[],
  shapes: readonly TableShape[],
  retentions: TopicRetentions = new Map(),
): Promise<CheckedView[]> {
  await loadParser();
  const mirrors = shapes.map((shape, i): MirrorBinding => ({ id: i + 1, shape }));
  const circles = new Map([...publishCirclesAmong(views), ...circlesAmong(views)]);
  const checked = views.map((view): CheckedView => {
    const refused = circles.get(view.name) ?? retentionError(view, retentions);
    if (refused) return { view, compiled: null, error: refused, warnings: [] };
    try {
      const compiled = compileViewSync({ view, mirrors, views, version: 1 });
      if (view.publish && compiled.key === null) throw publishKeyMissing(view.name, view.publish.topic);
      return {
        view,
        compiled,
        error: null,
        warnings: [...needless(view, compiled), ...warningsFor(compiled, mirrors)],
      };
    } catch (error) {
      return { view, compiled: null, error: MillraceError.from(error), warnings: [] };
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
