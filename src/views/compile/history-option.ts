/** What the option `history` asks of a view: rows that can be told apart, and whose changes are known one by one. */
import { type ViewDefinition, versionsOf } from "../../catalog/definitions.ts";
import type { CompiledView } from "../compiled-view.ts";
import { validFrom, validTo } from "./as-of.ts";
import { shortList } from "./scope.ts";
import type { SourceText } from "./source-text.ts";

/** Throws `VIEW_OPTION_INVALID`, `VIEW_UNSUPPORTED`. */
export function withHistory(compiled: CompiledView, view: ViewDefinition, source: SourceText): CompiledView {
  if (versionsOf(view) === null) return compiled;
  const details = { option: "history" };
  if (compiled.whole !== undefined) {
    throw source.refusal("VIEW_UNSUPPORTED", "it is run again as a whole, and so has no history", {
      hint: "Changes between two runs are not seen: keep the history of a view that is kept with each change.",
      details,
    });
  }
  if (compiled.key === null) {
    throw source.refusal("VIEW_OPTION_INVALID", "a history is of rows that a key identifies, and it has none", {
      hint: "Select the primary keys of its tables, or group by columns and add count(*).",
      details,
    });
  }
  const taken = [validFrom, validTo].filter((name) => compiled.publicColumns.includes(name));
  if (taken.length > 0) {
    throw source.refusal("VIEW_OPTION_INVALID", `its history has columns of its own called ${shortList(taken)}`, {
      hint: "Give that column another name.",
      details,
    });
  }
  return { ...compiled, history: true };
}
