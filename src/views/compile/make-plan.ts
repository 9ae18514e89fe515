/** The plan of a query that is kept by adding and taking away, whatever its key. */
import { bindAdditive, isAdditive } from "./additive.ts";
import { distinctAsGroups } from "./distinct.ts";
import type { Binding } from "./from.ts";
import { bindLinear } from "./linear.ts";
import { type Plan, planAdditive, planLinear } from "./plan.ts";

/** Throws what binding throws; `VIEW_UNSUPPORTED` for queries that have to be kept otherwise. */
export function makePlan(binding: Binding): Plan {
  const statement = distinctAsGroups(binding.source.statement);
  const plan = isAdditive(statement)
    ? planAdditive(bindAdditive(statement, binding), binding)
    : planLinear(bindLinear(statement, binding), binding);
  if (plan.branches.every((branch) => branch.occurrences.length === 0)) {
    throw binding.source.refusal("VIEW_UNSUPPORTED", "it reads no table", { hint: "Name a captured table in FROM." });
  }
  return plan;
}
