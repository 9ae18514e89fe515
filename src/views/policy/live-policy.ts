/** The policy of a version as it stands in the store, bound to the types of its columns. */
import { MillraceError } from "../../base/errors.ts";
import { quote } from "../../catalog/definitions.ts";
import { loadParser } from "../compile/source-text.ts";
import type { LiveView } from "../live-view.ts";
import { type BoundPolicy, bindPolicy } from "./bind-policy.ts";
import type { LivePolicy } from "./policed-view.ts";

type Version = Pick<LiveView, "name" | "columns">;
type Policy = string | null | undefined;

/** Runs a statement for its error alone. */
type Attempt = (sql: string) => Promise<unknown>;

/**
 * `own` is that of the version, `wanted` that of the definition of now: while a version is read that another one is to replace,
 * both must hold. Undefined where there is none.
 */
export async function livePolicy(
  view: Version,
  { own, wanted }: { readonly own: Policy; readonly wanted: Policy },
  attempt: Attempt,
): Promise<LivePolicy | undefined> {
  const bound: BoundPolicy[] = [];
  try {
    if (typeof own === "string") bound.push(await boundTo(view, own, attempt));
  } catch (cause) {
    return { refusal: unfit(view.name, cause) };
  }
  try {
    if (typeof wanted === "string" && wanted !== own) bound.push(await boundTo(view, wanted, attempt));
  } catch (cause) {
    return { refusal: outlived(view.name, cause) };
  }
  if (bound.length === 0) return undefined;
  return {
    sql: (alias, claims) => bound.map((one) => `(${one.sql(alias, claims)})`).join(" and "),
    claims: bound.flatMap((one) => one.claims),
  };
}

async function boundTo({ name, columns }: Version, policy: string, attempt: Attempt): Promise<BoundPolicy> {
  await loadParser();
  const bound = bindPolicy(name, policy, columns);
  // Whether an operator is there for two types says the store alone.
  const row = columns.map((column) => `null::${column.type} as ${quote(column.name)}`).join(", ");
  await attempt(`explain select from (select ${row}) as p where ${bound.sql("p", "null::jsonb")}`);
  return bound;
}

function unfit(view: string, cause: unknown): MillraceError {
  const told = MillraceError.is(cause, "VIEW_POLICY_INVALID") ? cause : null;
  const message = told?.message ?? `view "${view}": its policy cannot be used: ${messageOf(cause)}`;
  return new MillraceError("VIEW_FAILED", message, {
    hint: told?.hint ?? "Compare columns with claims, or with what has their type.",
    details: { view, code: "VIEW_POLICY_INVALID" },
    cause,
  });
}

/** The version has not what the policy of now asks for: the next one will. */
function outlived(view: string, cause: unknown): MillraceError {
  return new MillraceError("VIEW_BUILDING", `view "${view}" is built anew for its policy`, {
    hint: "Ask again in a moment.",
    details: { view, rowsDone: 0, rowsEstimated: null },
    cause,
  });
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
