/** Which views read which: found from definitions alone, so that a circle is named before anything is compiled. */
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import { publishCycles } from "../catalog/publishing.ts";
import { historiesRead, viewsBelow, viewsRead } from "./compile/inlining.ts";
import { SourceText } from "./compile/source-text.ts";
import { topicsNamed } from "./compile/topic-names.ts";

/** The error of each view that stands in a circle, by name. `loadParser` must have resolved. */
export function circlesAmong(views: readonly ViewDefinition[]): ReadonlyMap<string, MillraceError> {
  const reads = new Map(views.map((view) => [view.name, readsIfParsed(view)]));
  return new Map(findCycles(reads).flatMap((cycle) => cycle.map((name) => [name, cycleError(cycle)])));
}

/** The error of each view that reads what it is published to, by name. `loadParser` must have resolved. */
export function publishCirclesAmong(views: readonly ViewDefinition[]): ReadonlyMap<string, MillraceError> {
  return publishCycles(views, (view) => {
    try {
      return [view, ...viewsBelow(view, views)].flatMap(({ name, sql }) =>
        topicsNamed(new SourceText(name, sql.text).statement).map((topic) => topic.name),
      );
    } catch {
      return [];
    }
  });
}

/** A view whose SQL does not parse reads nothing here: compiling it says why. */
function readsIfParsed(view: ViewDefinition): string[] {
  try {
    return [...viewsRead(view), ...historiesRead(view)];
  } catch {
    return [];
  }
}

/** Each circle once, from its first view by name: `["a", "b"]` when a reads b and b reads a. */
export function findCycles(reads: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const done = new Set<string>();
  for (const start of [...reads.keys()].sort()) walk(start, []);
  return cycles;

  function walk(name: string, path: readonly string[]): void {
    const at = path.indexOf(name);
    if (at >= 0) {
      cycles.push(path.slice(at));
      return;
    }
    if (done.has(name)) return;
    for (const next of reads.get(name) ?? []) if (reads.has(next)) walk(next, [...path, name]);
    done.add(name);
  }
}

export function cycleError(cycle: readonly string[]): MillraceError {
  const circle = [...cycle, cycle[0]].map((name) => `"${name}"`).join(" reads ");
  return new MillraceError("VIEW_CYCLE", `views read each other in a circle: ${circle}`, {
    hint: "Let one of them read the tables instead.",
    details: { cycle },
  });
}
