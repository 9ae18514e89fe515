/** A view as its history has it: its rows at a moment, or all versions of them as rows. */
import { MillraceError } from "../../base/errors.ts";
import { quote } from "../../catalog/definitions.ts";
import { validFrom, validTo } from "../compile/as-of.ts";
import { historyName } from "../compile/history-name.ts";
import type { LiveView } from "../live-view.ts";
import { historyRelation } from "./history-table.ts";

/** What a moment is given as: no text of a client reaches the SQL. */
export type Micros = number;

/** Throws `VIEW_OPTION_MISSING`. */
export function asOfView(live: LiveView, micros: Micros): LiveView {
  const relation = relationOf(live);
  const moment = `('epoch'::timestamptz + ${Math.trunc(micros)} * interval '1 microsecond')`;
  const columns = live.columns.map(({ name }) => `h.${quote(name)}`).join(", ");
  const rows =
    `(select ${columns} from ${relation} h where millrace.history_reaches('${live.name}', ${moment}) ` +
    `and h.${validFrom} <= ${moment} and (h.${validTo} is null or ${moment} < h.${validTo}))`;
  return { ...without(live), publicView: rows, lock: relation, past: true };
}

/** Throws `VIEW_OPTION_MISSING`. */
export function historyView(live: LiveView): LiveView {
  const relation = relationOf(live);
  const moment = "timestamp with time zone";
  const { reads: _, ...rest } = without(live);
  return {
    ...rest,
    name: historyName(live.name),
    publicView: relation,
    lock: relation,
    columns: [
      ...live.columns,
      { name: validFrom, type: moment, nullable: false },
      { name: validTo, type: moment, nullable: true },
    ],
    key: [...(live.key ?? []), validFrom],
    past: true,
  };
}

/** What stands in other relations is not of the past. */
function without({ find: _, ...live }: LiveView): LiveView {
  return { ...live, indexes: [] };
}

function relationOf({ name, compiled }: LiveView): string {
  if (compiled.history === true) return historyRelation(name);
  throw new MillraceError("VIEW_OPTION_MISSING", `view "${name}" keeps no history`, {
    hint: `Let it keep the versions of its rows: view("${name}", …, { history: true }).`,
    details: { view: name, option: "history" },
  });
}

/** Throws `REQUEST_INVALID`. */
export function refusePast({ name, past }: LiveView): void {
  if (past === undefined) return;
  throw new MillraceError("REQUEST_INVALID", `"${name}" is a history, which is not followed`, {
    hint: "Follow the view itself: each of its changes is a version that ends, and one that begins.",
    details: { view: name },
  });
}
