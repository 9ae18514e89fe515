/** What is said of a query whose rows cannot be found again when a table changes: why, and what would help. */
import type { FuncCall, SelectStmt, WindowDef } from "@pgsql/types";
import type { MillraceError } from "../../base/errors.ts";
import { locationOf } from "./clauses.ts";
import { functionName } from "./expression.ts";
import { walk } from "./inlining.ts";
import { holdsAggregate } from "./keyed/functions.ts";
import { groupedSubquery, windowFunctions } from "./refusals.ts";
import type { SourceText } from "./source-text.ts";

/** `refusal` says what of it cannot be kept by adding and taking away; it stays where that is neither groups nor windows. */
export function untraced(source: SourceText, refusal: MillraceError): MillraceError {
  const isOf = (what: string) => refusal.message.includes(what);
  if (!isOf(groupedSubquery) && !isOf(windowFunctions)) return refusal;
  const { statement } = source;
  const { targetList = [], groupClause } = statement;
  const no = (message: string, at: number | undefined, hint: string) =>
    source.refusal("VIEW_UNSUPPORTED", message, { at, hint });
  const ranked = windowOverAll(statement);
  if (ranked !== undefined) {
    const name = functionName(ranked);
    const message = `each of its rows may be another when one changes: ${name}() goes over all of them`;
    const hint = "Partition it, or keep the rows as a view and order them when reading.";
    return no(message, ranked.location, hint);
  }
  if (!isOf(groupedSubquery)) return refusal;
  const total = targetList.find(holdsAggregate);
  if (groupClause === undefined && total !== undefined) {
    const hint = "Group by a column, or keep the groups as a view and ask for it when reading: select=amount.max().";
    return no("what it computes of all groups cannot be kept with each change", locationOf(total), hint);
  }
  return no(
    "no column of its result tells which of its rows a change reaches",
    locationOf(groupClause?.[0] ?? targetList[0]),
    "Select what the subquery groups by, or the key of a table. Or let what else it reads stand inside of the subquery, and group over that alone: its rows are then kept beneath the view.",
  );
}

/** A window function of the select list that has no PARTITION BY. */
function windowOverAll({ targetList, windowClause = [] }: SelectStmt): FuncCall | undefined {
  const named = windowClause.flatMap((one) => ("WindowDef" in one ? [one.WindowDef] : []));
  const isOverAll = ({ name, refname, partitionClause }: WindowDef): boolean => {
    const base = named.find((one) => one.name === (name ?? refname));
    return partitionClause === undefined && (base === undefined || base.partitionClause === undefined);
  };
  let found: FuncCall | undefined;
  walk(targetList, (node) => {
    if (!("FuncCall" in node)) return;
    const call = node.FuncCall as FuncCall;
    if (call.over !== undefined && isOverAll(call.over)) found ??= call;
  });
  return found;
}
