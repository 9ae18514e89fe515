/** The option `policy` of `view(…)`: which rows a caller is shown. */
import { MillraceError } from "../../base/errors.ts";

/** A longer condition is a view of its own. */
const policyBytesMax = 8 * 1024;

/** A condition, or null for none by the author's word. Throws `DEFINITION_INVALID`; what the condition says is the compiler's question. */
export function policyOption(view: string, policy: unknown): string | null {
  if (policy === null) return null;
  if (typeof policy === "string" && policy.trim() !== "" && Buffer.byteLength(policy) <= policyBytesMax) return policy;
  throw new MillraceError("DEFINITION_INVALID", `view "${view}": policy is no condition`, {
    hint: `Write a condition over its columns of at most ${policyBytesMax} bytes, "customer_id = claim('sub')", or null for a view that is to have none.`,
    details: { view, option: "policy" },
  });
}
