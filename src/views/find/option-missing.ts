/** What a read says of a view without the option that it needs. */
import { MillraceError } from "../../base/errors.ts";

/** `VIEW_OPTION_MISSING`; `what` follows the view's name, `example` is what the option would be. */
export function optionMissing(view: string, what: string, option: string, example: string): MillraceError {
  return new MillraceError("VIEW_OPTION_MISSING", `view "${view}" ${what}`, {
    hint: `Add the option ${option} to its definition: view("${view}", …, { ${option}: ${example} }).`,
    details: { view, option },
  });
}
