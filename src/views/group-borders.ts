/**
 * Views that read, or refer to, views of another group: no snapshot shows both, and they may be in different servers. Found
 * from definitions alone.
 */
import { MillraceError } from "../base/errors.ts";
import { mainGroup, type ViewDefinition } from "../catalog/definitions.ts";
import { historiesRead, viewsRead } from "./compile/inlining.ts";
import { loadParser } from "./compile/source-text.ts";

/** Throws `VIEW_OF_ANOTHER_GROUP` for the first view that has it. */
export async function refuseAcrossGroups(views: readonly ViewDefinition[]): Promise<void> {
  await loadParser();
  const [first] = bordersCrossed(views).values();
  if (first) throw first;
}

/** The error of each view that does, by name. `loadParser` must have resolved. */
export function bordersCrossed(views: readonly ViewDefinition[]): ReadonlyMap<string, MillraceError> {
  const byName = new Map(views.map((view) => [view.name, view]));
  const errors = new Map<string, MillraceError>();
  for (const view of views) {
    const foreign = (name: string) => {
      const other = byName.get(ownerOf(name));
      return other !== undefined && groupOf(other) !== groupOf(view) ? other : undefined;
    };
    const read = readsIfParsed(view).map(foreign).find(Boolean);
    const referred = view.references?.map((reference) => foreign(reference.view)).find(Boolean);
    if (read) errors.set(view.name, crossed(view, read, "reads"));
    else if (referred) errors.set(view.name, crossed(view, referred, "refers to"));
  }
  return errors;
}

/** What belongs to a view (`daily.late`, `rates.history`) is where that is: no view has a dot in its own name. */
export function ownerOf(name: string): string {
  return name.split(".", 1)[0] ?? name;
}

export function groupOf({ group }: Pick<ViewDefinition, "group">): string {
  return group ?? mainGroup;
}

/** One whose SQL does not parse reads nothing here: compiling it says why. */
function readsIfParsed(view: ViewDefinition): string[] {
  try {
    return [...viewsRead(view), ...historiesRead(view)];
  } catch {
    return [];
  }
}

function crossed(view: ViewDefinition, other: ViewDefinition, does: "reads" | "refers to"): MillraceError {
  const topic = other.publish?.topic;
  const read = `read that topic in a view of group "${groupOf(view)}": topics."${topic ?? other.name}"`;
  return new MillraceError(
    "VIEW_OF_ANOTHER_GROUP",
    `view "${view.name}" of group "${groupOf(view)}" ${does} view "${other.name}" of group "${groupOf(other)}"`,
    {
      hint:
        topic === undefined
          ? `Publish the other one, view("${other.name}", …, { publish: "${other.name}" }), and ${read}. Or put both into one group.`
          : `View "${other.name}" is published: ${read}. Or put both into one group.`,
      details: { view: view.name, group: groupOf(view), other: other.name, otherGroup: groupOf(other) },
    },
  );
}
