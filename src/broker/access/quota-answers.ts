/** DescribeClientQuotas and AlterClientQuotas (KIP-546). */
import { clusterName } from "../../access/access-rules.ts";
import type { QuotaTable } from "../../access/quota-table.ts";
import { alterClientQuotas } from "../../kafka/apis/alter-client-quotas.ts";
import { describeClientQuotas } from "../../kafka/apis/describe-client-quotas.ts";
import { errorCodeOf } from "../../kafka/kafka-errors.ts";
import { type Answer, answers, type Handler } from "../handler.ts";
import { itemErrorOf, noError, notAuthorized } from "./item-error.ts";
import { partsOf, planQuotaChanges, readQuotaFilter } from "./quota-plan.ts";

export function quotaAnswers(quotas: QuotaTable): Answer[] {
  return [answers(describeClientQuotas, describe(quotas)), answers(alterClientQuotas, alter(quotas))];
}

function describe(quotas: QuotaTable): Handler<typeof describeClientQuotas> {
  return ({ components, strict }, context) => {
    if (!context.allows("describe-configs", "cluster", clusterName)) return { ...notAuthorized, entries: null };
    const filter = readQuotaFilter(components, strict);
    if (typeof filter !== "function") return { ...filter, entries: null };
    const entries = [...quotas.entries()].filter(({ entity }) => filter(entity));
    return {
      ...noError,
      entries: entries.map(({ entity, values }) => ({
        entity: partsOf(entity),
        values: Object.entries(values).map(([key, value]) => ({ key, value })),
      })),
    };
  };
}

function alter(quotas: QuotaTable): Handler<typeof alterClientQuotas> {
  return async ({ entries, validateOnly }, context) => {
    if (!context.allows("alter-configs", "cluster", clusterName)) {
      return { entries: entries.map(({ entity }) => ({ ...notAuthorized, entity })) };
    }
    const { changes, planned } = planQuotaChanges(entries, (entity) => quotas.valuesOf(entity));
    let outcome = noError;
    try {
      if (!validateOnly) await quotas.change(changes);
    } catch (error) {
      outcome = itemErrorOf(error, errorCodeOf(error));
    }
    return { entries: planned.map(({ entity, error }) => ({ ...(error ?? outcome), entity })) };
  };
}
