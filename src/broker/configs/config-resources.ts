/** What has configs in Kafka's protocol, by the numbers that it gives the kinds, and who may see or alter them. */
import { clusterName, type NounKind } from "../../access/access-rules.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { nodeId } from "../broker-node.ts";
import type { RequestContext } from "../handler.ts";

export const resourceType = { topic: 2, broker: 4, brokerLogger: 8, clientMetrics: 16, group: 32 } as const;
const known: ReadonlySet<number> = new Set(Object.values(resourceType));

export interface ResourceFault {
  readonly errorCode: number;
  /** Null where Kafka's own words for the code are enough. */
  readonly errorMessage: string | null;
}

export function isResourceType(type: number): boolean {
  return known.has(type);
}

export function invalidRequest(errorMessage: string): ResourceFault {
  return { errorCode: kafkaErrors.INVALID_REQUEST, errorMessage };
}

export function invalidConfig(errorMessage: string): ResourceFault {
  return { errorCode: kafkaErrors.INVALID_CONFIG, errorMessage };
}

/** Undefined when the principal may. */
export function accessFault(
  context: Pick<RequestContext, "allows">,
  verb: "describe-configs" | "alter-configs",
  type: number,
  name: string,
): ResourceFault | undefined {
  const { kind, called, errorCode } = nounOf(type, name);
  return context.allows(verb, kind, called) ? undefined : { errorCode, errorMessage: null };
}

function nounOf(
  type: number,
  name: string,
): { readonly kind: NounKind; readonly called: string; readonly errorCode: number } {
  if (type === resourceType.topic) {
    return { kind: "topic", called: name, errorCode: kafkaErrors.TOPIC_AUTHORIZATION_FAILED };
  }
  if (type === resourceType.group) {
    return { kind: "group", called: name, errorCode: kafkaErrors.GROUP_AUTHORIZATION_FAILED };
  }
  return { kind: "cluster", called: clusterName, errorCode: kafkaErrors.CLUSTER_AUTHORIZATION_FAILED };
}

/** A broker's name is its number. */
export function brokerNameFault(name: string, orEmpty: boolean): ResourceFault | undefined {
  if (!/^[+-]?\d{1,10}$/.test(name)) return invalidRequest(`Broker id must be an integer, but it is: ${name}`);
  if (Number(name) === nodeId) return undefined;
  const expected = orEmpty ? `${nodeId} or empty string,` : `${nodeId},`;
  return invalidRequest(`Unexpected broker id, expected ${expected} but received ${name}`);
}
