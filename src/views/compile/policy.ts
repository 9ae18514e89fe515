/** Whether a view's policy is a condition over it, and whether it may do without one. */
import { MillraceError } from "../../base/errors.ts";
import type { ViewDefinition } from "../../catalog/definitions.ts";
import type { CompiledView } from "../compiled-view.ts";
import { bindPolicy } from "../policy/bind-policy.ts";
import { viewsBelow } from "./inlining.ts";

/** The view with its policy. Throws `VIEW_POLICY_INVALID`; types are known to the store only. */
export function withPolicy(compiled: CompiledView, { name, policy }: ViewDefinition): CompiledView {
  if (typeof policy !== "string") return compiled;
  const columns = compiled.publicColumns.map((column) => ({ name: column, type: null }));
  const { equalities } = bindPolicy(name, policy, columns);
  return {
    ...compiled,
    policy: { text: policy, equalities },
    explanation: `${compiled.explanation}shown to callers where ${policy.trim()}\n`,
  };
}

/**
 * Throws `VIEW_POLICY_MISSING` where a view would show what it reads of one with a policy, or of its history, to everybody
 * without its author's word.
 */
export function refuseWithoutPolicy(view: ViewDefinition, views: readonly ViewDefinition[]): void {
  const hidden = views.filter(({ policy }) => typeof policy === "string");
  if (view.policy !== undefined || hidden.length === 0) return;
  const read = readBy(view, views).find((one) => hidden.includes(one));
  if (read === undefined) return;
  const { name } = view;
  throw new MillraceError(
    "VIEW_POLICY_MISSING",
    `view "${name}" reads view "${read.name}", which has a policy, and does not say which rows callers are shown`,
    {
      hint: `Give it a policy of its own, or policy: null if what it shows may be seen by everybody: view("${name}", …, { policy: null }).`,
      details: { view: name, reads: read.name, option: "policy" },
    },
  );
}

/** None where one of them does not parse: compiling says so. */
function readBy(view: ViewDefinition, views: readonly ViewDefinition[]): ViewDefinition[] {
  try {
    return viewsBelow(view, views);
  } catch {
    return [];
  }
}
