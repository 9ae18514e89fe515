/** Rules of access and their filters as the protocol numbers them; names in messages are Kafka's own. */
import type { AccessFilter } from "../../access/access-filter.ts";
import type { AccessRule, Effect, NounKind, Pattern, Verb } from "../../access/access-rules.ts";
import { isPrincipal } from "../../access/principals.ts";

interface Code<Name> {
  readonly name: Name;
  /** As Kafka writes it. */
  readonly kafka: string;
}

type Codes<Name> = readonly (Code<Name> | undefined)[];

/** 0 is unknown, 1 any. */
export const kindCodes: Codes<NounKind> = [
  undefined,
  undefined,
  { name: "topic", kafka: "TOPIC" },
  { name: "group", kafka: "GROUP" },
  { name: "cluster", kafka: "CLUSTER" },
  { name: "transactional-id", kafka: "TRANSACTIONAL_ID" },
  { name: "delegation-token", kafka: "DELEGATION_TOKEN" },
  { name: "user", kafka: "USER" },
];

/** 2 is match. */
export const patternCodes: Codes<Pattern> = [
  undefined,
  undefined,
  undefined,
  { name: "literal", kafka: "LITERAL" },
  { name: "prefixed", kafka: "PREFIXED" },
];

export const verbCodes: Codes<Verb> = [
  undefined,
  undefined,
  { name: "all", kafka: "ALL" },
  { name: "read", kafka: "READ" },
  { name: "write", kafka: "WRITE" },
  { name: "create", kafka: "CREATE" },
  { name: "delete", kafka: "DELETE" },
  { name: "alter", kafka: "ALTER" },
  { name: "describe", kafka: "DESCRIBE" },
  { name: "cluster-action", kafka: "CLUSTER_ACTION" },
  { name: "describe-configs", kafka: "DESCRIBE_CONFIGS" },
  { name: "alter-configs", kafka: "ALTER_CONFIGS" },
  { name: "idempotent-write", kafka: "IDEMPOTENT_WRITE" },
  { name: "create-tokens", kafka: "CREATE_TOKENS" },
  { name: "describe-tokens", kafka: "DESCRIBE_TOKENS" },
  { name: "two-phase-commit", kafka: "TWO_PHASE_COMMIT" },
];

export const effectCodes: Codes<Effect> = [
  undefined,
  undefined,
  { name: "deny", kafka: "DENY" },
  { name: "allow", kafka: "ALLOW" },
];

const anyCode = 1;
const matchCode = 2;

export interface AclCreation {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly resourcePatternType: number;
  readonly principal: string;
  readonly host: string;
  readonly operation: number;
  readonly permissionType: number;
}

export interface AclFilter {
  readonly resourceTypeFilter: number;
  readonly resourceNameFilter: string | null;
  readonly patternTypeFilter: number;
  readonly principalFilter: string | null;
  readonly hostFilter: string | null;
  readonly operation: number;
  readonly permissionType: number;
}

/** The rule, or what is wrong with it. */
export function readCreation(acl: AclCreation): AccessRule | string {
  const kind = nameOf(kindCodes, acl.resourceType);
  if (kind === "cluster" && acl.resourceName !== "kafka-cluster") {
    return "The only valid name for the CLUSTER resource is kafka-cluster";
  }
  if (acl.resourceName === "") return "Invalid empty resource name";
  const pattern = nameOf(patternCodes, acl.resourcePatternType);
  const verb = nameOf(verbCodes, acl.operation);
  const effect = nameOf(effectCodes, acl.permissionType);
  if (!kind) return `Invalid resourceType ${invalidName(acl.resourceType)}`;
  if (!pattern) {
    return `Invalid patternType ${acl.resourcePatternType === matchCode ? "MATCH" : invalidName(acl.resourcePatternType)}`;
  }
  if (!verb) return `Invalid operation ${invalidName(acl.operation)}`;
  if (!effect) return `Invalid permissionType ${invalidName(acl.permissionType)}`;
  const { resourceName: name, principal, host } = acl;
  if (!isPrincipal(principal)) {
    return `Could not parse principal from \`${principal}\` (no colon is present separating the principal type from the principal name)`;
  }
  return { kind, pattern, name, principal, host, verb, effect };
}

/** The filter, or what is wrong with it. */
export function readFilter(acl: AclFilter): AccessFilter | string {
  const kind = filterOf(kindCodes, acl.resourceTypeFilter);
  const pattern = acl.patternTypeFilter === matchCode ? "match" : filterOf(patternCodes, acl.patternTypeFilter);
  if (kind === undefined || pattern === undefined) return "Unknown patternFilter.";
  const verb = filterOf(verbCodes, acl.operation);
  const effect = filterOf(effectCodes, acl.permissionType);
  if (verb === undefined || effect === undefined) return "Unknown entryFilter.";
  return {
    kind,
    pattern,
    name: acl.resourceNameFilter,
    principal: acl.principalFilter,
    host: acl.hostFilter,
    verb,
    effect,
  };
}

export function codeOf<Name>(codes: Codes<Name>, name: Name): number {
  return codes.findIndex((code) => code?.name === name);
}

function nameOf<Name>(codes: Codes<Name>, code: number): Name | undefined {
  return codes[code]?.name;
}

/** Null for any, undefined for unknown. */
function filterOf<Name>(codes: Codes<Name>, code: number): Name | null | undefined {
  return code === anyCode ? null : nameOf(codes, code);
}

function invalidName(code: number): string {
  return code === anyCode ? "ANY" : "UNKNOWN";
}
