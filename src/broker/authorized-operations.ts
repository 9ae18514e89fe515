/** What a principal may do with a thing, as a field of bits: 1 shifted by Kafka's AclOperation code. */
import type { NounKind, Verb } from "../access/access-rules.ts";
import type { RequestContext } from "./handler.ts";

const operationCodes: Partial<Record<Verb, number>> = {
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  alter: 7,
  describe: 8,
  "cluster-action": 9,
  "describe-configs": 10,
  "alter-configs": 11,
  "idempotent-write": 12,
};

const supported = {
  topic: ["read", "write", "create", "delete", "alter", "describe", "describe-configs", "alter-configs"],
  group: ["read", "delete", "describe", "describe-configs", "alter-configs"],
  cluster: ["create", "alter", "describe", "cluster-action", "describe-configs", "alter-configs", "idempotent-write"],
} as const satisfies Partial<Record<NounKind, readonly Verb[]>>;

export function authorizedOperations(
  context: Pick<RequestContext, "allows">,
  kind: keyof typeof supported,
  name: string,
): number {
  let bits = 0;
  for (const verb of supported[kind]) {
    if (context.allows(verb, kind, name)) bits |= 1 << (operationCodes[verb] ?? 0);
  }
  return bits;
}
