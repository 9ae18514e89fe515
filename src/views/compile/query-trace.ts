/** What the columns of a query are made of, whichever class keeps it. */
import { MillraceError } from "../../base/errors.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import type { Bound } from "./bound.ts";
import { usedColumns } from "./contribution.ts";
import type { Binding } from "./from.ts";
import { isOpaque, Untraceable } from "./keyed/alternative.ts";
import { bindWhole, tablesUsed } from "./keyed/compile-keyed.ts";

import { makePlan } from "./make-plan.ts";
import type { Plan } from "./plan.ts";
import type { SourceText } from "./source-text.ts";
import type { QueryTrace } from "./window-end.ts";

/** Throws what compiling the query throws. */
export function traceQuery(mirrors: readonly MirrorBinding[], source: SourceText): QueryTrace {
  try {
    return ofPlan(makePlan({ source, mirrors, replacements: new Map() } satisfies Binding));
  } catch (cause) {
    if (!MillraceError.is(cause) || cause.code !== "VIEW_UNSUPPORTED") throw cause;
    return byKey(mirrors, source, cause);
  }
}

function ofPlan(plan: Plan): QueryTrace {
  return {
    names: plan.publics.map(({ name }) => name),
    parts: plan.branches.map(({ occurrences }, b) => ({
      occurrences,
      outputs: plan.publics.map(({ name, computed }) => {
        if (computed === null) return plan.groups.find((group) => group.column === name)?.perBranch[b] ?? null;
        return overColumns(computed, plan, b);
      }),
    })),
    columnsOf: (mirror) => {
      const used = plan.branches.flatMap(({ occurrences }, b) =>
        occurrences.filter((one) => one.mirror === mirror).flatMap((one) => usedColumns(plan, b, one)),
      );
      return mirror.shape.columns.map(({ name }) => name).filter((name) => used.includes(name));
    },
  };
}

/** An expression over groups, in terms of the columns of a branch; null where an aggregate is in it. */
function overColumns(computed: Bound, plan: Plan, b: number): Bound | null {
  const parts = computed.parts.flatMap((part) =>
    typeof part !== "string" && part.kind === "group" ? (plan.groups[part.index]?.perBranch[b]?.parts ?? []) : [part],
  );
  return parts.some((part) => typeof part !== "string" && part.kind === "aggregate") ? null : { ...computed, parts };
}

function byKey(mirrors: readonly MirrorBinding[], source: SourceText, refusal: MillraceError): QueryTrace {
  try {
    const { query, binding } = bindWhole({ source, mirrors });
    const uses = tablesUsed(query, binding);
    return {
      names: query.names,
      parts: query.alternatives
        .filter(({ occurrences }) => occurrences.length > 0)
        .map(({ occurrences, outputs }) => ({
          occurrences,
          outputs: outputs.map((one) => (isOpaque(one) ? null : one)),
        })),
      columnsOf: (mirror) => uses.find((use) => use.mirror === mirror)?.columns ?? [],
    };
  } catch (cause) {
    throw cause instanceof Untraceable ? refusal : cause;
  }
}
