/**
 * DescribeAcls, CreateAcls and DeleteAcls over the rules of access. Who asks needs `describe` or `alter` on the
 * cluster; without authorization there is nothing to ask for, as in a Kafka without an authorizer.
 */
import type { Access } from "../../access/access.ts";
import { type AccessRule, clusterName } from "../../access/access-rules.ts";
import { MillraceError } from "../../base/errors.ts";
import { createAcls } from "../../kafka/apis/create-acls.ts";
import { deleteAcls } from "../../kafka/apis/delete-acls.ts";
import { describeAcls } from "../../kafka/apis/describe-acls.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type Answer, answers, type Handler, type RequestContext } from "../handler.ts";
import { codeOf, effectCodes, kindCodes, patternCodes, readCreation, readFilter, verbCodes } from "./acl-codes.ts";
import { type ItemError, itemErrorOf, noError, notAuthorized } from "./item-error.ts";

/** Kafka's bound for what one request removes. */
const removedMax = 10_000;

export function aclAnswers(access: Access): Answer[] {
  return [
    answers(describeAcls, describe(access)),
    answers(createAcls, create(access)),
    answers(deleteAcls, remove(access)),
  ];
}

function describe(access: Access): Handler<typeof describeAcls> {
  return (request, context) => {
    const fault = faultOf(access, context, "describe");
    if (fault) return { ...fault, resources: [] };
    const filter = readFilter(request);
    if (typeof filter === "string") {
      return { errorCode: kafkaErrors.INVALID_REQUEST, errorMessage: filter, resources: [] };
    }
    return { ...noError, resources: resourcesOf(access.find(filter)) };
  };
}

function create(access: Access): Handler<typeof createAcls> {
  return async ({ creations }, context) => {
    const fault = faultOf(access, context, "alter");
    if (fault) return { results: creations.map(() => fault) };
    const read = creations.map(readCreation);
    const rules = read.filter((rule) => typeof rule !== "string");
    const outcome = await done(() => access.add(rules));
    return {
      results: read.map((rule) =>
        typeof rule === "string" ? { errorCode: kafkaErrors.INVALID_REQUEST, errorMessage: rule } : outcome,
      ),
    };
  };
}

function remove(access: Access): Handler<typeof deleteAcls> {
  return async ({ filters }, context) => {
    const fault = faultOf(access, context, "alter");
    if (fault) return { filterResults: filters.map(() => ({ ...fault, matchingAcls: [] })) };
    const found = filters.map((each) => {
      const filter = readFilter(each);
      return typeof filter === "string" ? filter : access.find(filter);
    });
    const rules = new Set(found.flatMap((each) => (typeof each === "string" ? [] : each)));
    const outcome = await done(async () => {
      if (rules.size > removedMax) {
        throw new MillraceError(
          "REQUEST_INVALID",
          `Cannot remove more than ${removedMax} acls in a single delete operation.`,
        );
      }
      await access.remove([...rules]);
    });
    return {
      filterResults: found.map((each) => {
        if (typeof each === "string") {
          return { errorCode: kafkaErrors.INVALID_REQUEST, errorMessage: each, matchingAcls: [] };
        }
        return { ...outcome, matchingAcls: outcome.errorCode === 0 ? each.map(matchingAcl) : [] };
      }),
    };
  };
}

function faultOf(access: Access, context: RequestContext, verb: "describe" | "alter"): ItemError | undefined {
  if (!context.allows(verb, "cluster", clusterName)) return notAuthorized;
  if (access.isEnforced) return undefined;
  const errorMessage =
    verb === "describe" ? "No Authorizer is configured on the broker" : "No Authorizer is configured.";
  return { errorCode: kafkaErrors.SECURITY_DISABLED, errorMessage };
}

async function done(act: () => Promise<void>): Promise<ItemError> {
  try {
    await act();
    return noError;
  } catch (error) {
    return itemErrorOf(error, errorCodeOf(error));
  }
}

/** Rules of one pattern stand together. */
function resourcesOf(rules: readonly AccessRule[]) {
  const byPattern = new Map<string, AccessRule[]>();
  for (const rule of rules) {
    const pattern = JSON.stringify([rule.kind, rule.pattern, rule.name]);
    const same = byPattern.get(pattern);
    if (same) same.push(rule);
    else byPattern.set(pattern, [rule]);
  }
  return [...byPattern.values()].map((same) => {
    const { kind, pattern, name } = same[0] as AccessRule;
    return {
      resourceType: codeOf(kindCodes, kind),
      resourceName: name,
      patternType: codeOf(patternCodes, pattern),
      acls: same.map(entryOf),
    };
  });
}

function entryOf({ principal, host, verb, effect }: AccessRule) {
  return { principal, host, operation: codeOf(verbCodes, verb), permissionType: codeOf(effectCodes, effect) };
}

function matchingAcl(rule: AccessRule) {
  return {
    ...noError,
    resourceType: codeOf(kindCodes, rule.kind),
    resourceName: rule.name,
    patternType: codeOf(patternCodes, rule.pattern),
    ...entryOf(rule),
  };
}
