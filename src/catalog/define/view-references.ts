/** The option `references` of `view(…)`: which rows of other views belong to a row, so that a read can embed them. */
import { MillraceError } from "../../base/errors.ts";
import { checkName, refuseUnknown } from "./names.ts";

export interface ViewReferenceInput {
  /** The other view, or its name. */
  readonly view: string | { readonly kind: "view"; readonly name: string };
  /** Columns of this view, each with the column of the other view's key that it equals. */
  readonly on: Readonly<Record<string, string>>;
}

export interface ViewReference {
  readonly name: string;
  readonly view: string;
  readonly on: readonly (readonly [own: string, other: string])[];
}

const referencesMax = 32;
const columnsMax = 16;

/** Throws `DEFINITION_INVALID`; whether the view and its columns exist is known when all views are. */
export function viewReferences(
  view: string,
  references: Readonly<Record<string, ViewReferenceInput>>,
): readonly ViewReference[] {
  if (references === null || typeof references !== "object" || Object.keys(references).length > referencesMax) {
    throw invalid(view, `references are up to ${referencesMax} names with a view and columns`);
  }
  return Object.freeze(
    Object.entries(references).map(([name, reference]) => {
      checkName(`view "${view}": reference`, name);
      if (reference === null || typeof reference !== "object") throw invalid(view, form(name));
      refuseUnknown(`reference "${name}" of view "${view}"`, reference, ["view", "on"]);
      const to = typeof reference.view === "string" ? reference.view : reference.view?.name;
      const on = Object.entries(reference.on ?? {});
      if (typeof to !== "string" || on.length === 0 || on.length > columnsMax) throw invalid(view, form(name));
      if (!on.every(([own, other]) => own !== "" && typeof other === "string" && other !== "")) {
        throw invalid(view, form(name));
      }
      return { name, view: to, on };
    }),
  );
}

function form(name: string): string {
  return `reference ${JSON.stringify(name)} is written { view: "customers", on: { customer_id: "id" } }`;
}

function invalid(view: string, why: string): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `view "${view}": ${why}`);
}
