/** Whether what references of views name is there: the other view, and columns that identify one of its rows. Pure. */
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition, ViewReference } from "../catalog/definitions.ts";
import type { CompiledView } from "./compiled-view.ts";
import { nearestName } from "./row-column.ts";

/** The first thing that is wrong, or null; a view that does not compile is left to its own error. */
export function referenceError(
  view: CompiledView,
  references: readonly ViewReference[],
  views: readonly ViewDefinition[],
  compiled: ReadonlyMap<string, CompiledView>,
): MillraceError | null {
  for (const reference of references) {
    const { name, view: to, on } = reference;
    if (!views.some((one) => one.name === to)) {
      const names = views.map((one) => one.name);
      return invalid(view, name, `names view "${to}", which is not defined`, nearestName(to, names), names);
    }
    if (view.publicColumns.includes(name)) {
      return invalid(view, name, "has the name of a column of the view", undefined, []);
    }
    const other = compiled.get(to);
    if (other === undefined) continue;
    const missing = on.find(([, theirs]) => !other.publicColumns.includes(theirs))?.[1];
    if (missing !== undefined) {
      const nearest = nearestName(missing, other.publicColumns);
      return invalid(view, name, `names "${missing}", which is no column of "${to}"`, nearest, other.publicColumns);
    }
    if (other.key === null) {
      return invalid(view, name, `does not lead to one row of "${to}", which has no key`, undefined, []);
    }
    const outside = other.key.find((column) => !on.some(([, theirs]) => theirs === column));
    if (outside !== undefined) {
      const why = `does not lead to one row of "${to}": it lacks the key's column "${outside}"`;
      return invalid(view, name, why, undefined, []);
    }
  }
  return null;
}

function invalid(
  view: CompiledView,
  reference: string,
  why: string,
  nearest: string | undefined,
  names: readonly string[],
): MillraceError {
  const hint = nearest !== undefined ? `Did you mean "${nearest}"?` : `There are ${names.slice(0, 20).join(", ")}.`;
  return new MillraceError("VIEW_OPTION_INVALID", `view "${view.name}": reference "${reference}" ${why}`, {
    ...(nearest === undefined && names.length === 0 ? {} : { hint }),
    details: { view: view.name, option: "references", reference },
  });
}
