/** DescribeUserScramCredentials and AlterUserScramCredentials (KIP-554). Nothing of a credential but its iterations is told. */
import { clusterName } from "../../access/access-rules.ts";
import type { ScramCredentials } from "../../access/scram-credentials.ts";
import { alterUserScramCredentials } from "../../kafka/apis/alter-user-scram-credentials.ts";
import { describeUserScramCredentials } from "../../kafka/apis/describe-user-scram-credentials.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type Answer, answers, type Handler } from "../handler.ts";
import { itemErrorOf, noError, notAuthorized } from "./item-error.ts";
import { mechanismCodes, planScramChanges } from "./scram-plan.ts";

export function scramAnswers(credentials: ScramCredentials): Answer[] {
  return [
    answers(describeUserScramCredentials, describe(credentials)),
    answers(alterUserScramCredentials, alter(credentials)),
  ];
}

function describe(credentials: ScramCredentials): Handler<typeof describeUserScramCredentials> {
  return ({ users }, context) => {
    if (!context.allows("describe", "cluster", clusterName)) return { ...notAuthorized, results: [] };
    const named = users && users.length > 0 ? users.map(({ name }) => name) : credentials.users();
    const counts = new Map<string, number>();
    for (const user of named) counts.set(user, (counts.get(user) ?? 0) + 1);
    return {
      ...noError,
      results: [...counts].map(([user, count]) => ({ user, ...describeUser(credentials, user, count) })),
    };
  };
}

function describeUser(credentials: ScramCredentials, user: string, count: number) {
  if (count > 1) {
    return {
      errorCode: kafkaErrors.DUPLICATE_RESOURCE,
      errorMessage: `Cannot describe SCRAM credentials for the same user twice in a single request: ${user}`,
      credentialInfos: [],
    };
  }
  const found = credentials.describe(user);
  if (found.length === 0) {
    return {
      errorCode: kafkaErrors.RESOURCE_NOT_FOUND,
      errorMessage: `Attempt to describe a user credential that does not exist: ${user}`,
      credentialInfos: [],
    };
  }
  const credentialInfos = found.map(({ mechanism, iterations }) => ({
    mechanism: mechanismCodes[mechanism],
    iterations,
  }));
  return { ...noError, credentialInfos };
}

function alter(credentials: ScramCredentials): Handler<typeof alterUserScramCredentials> {
  return async ({ deletions, upsertions }, context) => {
    if (!context.allows("alter", "cluster", clusterName)) {
      const users = new Set([...deletions, ...upsertions].map(({ name }) => name));
      return { results: [...users].map((user) => ({ user, ...notAuthorized })) };
    }
    const plans = planScramChanges(deletions, upsertions, (user, mechanism) => {
      return credentials.find(user, mechanism) !== undefined;
    });
    let outcome = noError;
    try {
      await credentials.change([...plans.values()].flatMap((plan) => ("change" in plan ? [plan.change] : [])));
    } catch (error) {
      outcome = itemErrorOf(error, errorCodeOf(error));
    }
    return { results: [...plans].map(([user, plan]) => ({ user, ...("error" in plan ? plan.error : outcome) })) };
  };
}
