/**
 * What of a row those are shown who follow a view: all of it, or the members that they select, with the columns of the key
 * before them. Made of the row alone and of nothing that can fail, so that no row can end a feed.
 */
import { MillraceError } from "../base/errors.ts";
import { fieldName } from "./row-field.ts";
import type { Parameters } from "./row-filter.ts";
import { jsonMembers, jsonObject } from "./row-json.ts";
import { membersOf } from "./row-select.ts";
import type { Selected, ViewColumn } from "./view-info.ts";

interface FollowedView {
  readonly name: string;
  readonly columns: readonly ViewColumn[];
  readonly key: readonly string[] | null;
}

/** An expression of type text over the columns of `alias`. Throws `COLUMN_UNKNOWN`, `PATH_INVALID`, `REQUEST_INVALID`. */
export function shownRow(
  view: FollowedView,
  select: readonly Selected[] | null,
  alias: string,
  parameters: Parameters,
): string {
  if (select === null) return jsonObject(view.columns, alias);
  for (const one of select) {
    if (typeof one === "string" || "all" in one) continue;
    if ("relation" in one) throw refused(`rows of "${one.relation}"`);
    if ("aggregate" in one) throw refused(`${one.aggregate}()`);
    if (one.cast !== undefined) throw refused(`a cast of ${fieldName(one).slice(0, 80)}`);
  }
  const members = membersOf(view, [...(view.key ?? []), ...select], () => []);
  return jsonMembers(members.map(({ name, type, sql }) => ({ name, type, value: sql(alias, parameters) })));
}

function refused(what: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", `select has ${what}, which a live view does not show`, {
    hint: "It takes columns, renamed or not, *, and places in json: select=id,city:data->>city.",
  });
}
