/** The option `refresh` of `view(…)`: the view is run again as a whole, so often at most. */
import { MillraceError } from "../../base/errors.ts";
import { parseDurationMs } from "../../base/units.ts";

const [refreshMsMin, refreshMsMax] = [1_000, 86_400_000];

/** In milliseconds. Throws `DEFINITION_INVALID`. */
export function refreshOption(view: string, refresh: string): number {
  const refreshMs = parsed(refresh);
  if (refreshMs !== null && refreshMs >= refreshMsMin && refreshMs <= refreshMsMax) return refreshMs;
  throw new MillraceError("DEFINITION_INVALID", `view "${view}": refresh is ${JSON.stringify(refresh)}`, {
    hint: 'It is a duration from 1s to 1d, such as "30s".',
    details: { view, option: "refresh" },
  });
}

function parsed(refresh: string): number | null {
  try {
    return parseDurationMs(refresh, "refresh");
  } catch {
    return null;
  }
}
