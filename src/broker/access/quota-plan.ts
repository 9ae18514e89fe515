/**
 * What requests for quotas come to (KIP-546): which entities a filter means, and what an alteration changes, with Kafka's
 * words for what is wrong.
 */
import { isIP } from "node:net";
import {
  entityKey,
  type QuotaEntity,
  type QuotaKey,
  type QuotaValues,
  quotaKeys,
} from "../../access/quota-entities.ts";
import type { QuotaChange } from "../../access/quota-table.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type ItemError, invalidRequest } from "./item-error.ts";

export interface EntityPart {
  readonly entityType: string;
  readonly entityName: string | null;
}

export interface QuotaOperation {
  readonly key: string;
  readonly value: number;
  readonly remove: boolean;
}

export interface QuotaAlteration {
  readonly entity: readonly EntityPart[];
  readonly ops: readonly QuotaOperation[];
}

export interface FilterComponent {
  readonly entityType: string;
  readonly matchType: number;
  readonly match: string | null;
}

type Fields = { -readonly [Name in keyof QuotaEntity]: QuotaEntity[Name] };

const fieldOf: ReadonlyMap<string, keyof QuotaEntity> = new Map([
  ["user", "user"],
  ["client-id", "clientId"],
  ["ip", "address"],
]);

/** Names that are memory are bounded; a client id or user on the wire is not longer. */
const nameLengthMax = 32_767;

const integral: ReadonlySet<QuotaKey> = new Set([
  "producer_byte_rate",
  "consumer_byte_rate",
  "connection_creation_rate",
]);
const integerMax = 2 ** 31 - 1;

/** In the order in which the wire has them. */
export function partsOf({ user, clientId, address }: QuotaEntity): EntityPart[] {
  const parts: EntityPart[] = [];
  if (user !== undefined) parts.push({ entityType: "user", entityName: user });
  if (clientId !== undefined) parts.push({ entityType: "client-id", entityName: clientId });
  if (address !== undefined) parts.push({ entityType: "ip", entityName: address });
  return parts;
}

export interface PlannedAlteration {
  readonly entity: readonly EntityPart[];
  /** Undefined when it can be done. */
  readonly error: ItemError | undefined;
}

/** What can be done is done although other entities of the request are wrong; of one that comes twice the first counts. */
export function planQuotaChanges(
  alterations: readonly QuotaAlteration[],
  valuesOf: (entity: QuotaEntity) => QuotaValues | undefined,
): { readonly changes: QuotaChange[]; readonly planned: PlannedAlteration[] } {
  const changes = new Map<string, QuotaChange>();
  const planned = new Map<string, PlannedAlteration>();
  for (const { entity: parts, ops } of alterations) {
    const entity = readEntity(parts);
    if (!("entity" in entity)) {
      planned.set(JSON.stringify(parts), { entity: parts, error: entity });
      continue;
    }
    const key = entityKey(entity.entity);
    const values = planned.has(key)
      ? invalidRequest(`Ignoring duplicate entity ${describeEntity(parts)}`)
      : planValues(entity.entity, ops, valuesOf(entity.entity) ?? {}, describeEntity(parts));
    if ("values" in values) {
      changes.set(key, { entity: entity.entity, values: values.values });
      planned.set(key, { entity: partsOf(entity.entity), error: undefined });
    } else planned.set(key, { entity: partsOf(entity.entity), error: values });
  }
  return { changes: [...changes.values()], planned: [...planned.values()] };
}

function readEntity(parts: readonly EntityPart[]): { readonly entity: QuotaEntity } | ItemError {
  const entity: Fields = {};
  for (const { entityType, entityName } of parts) {
    const field = fieldOf.get(entityType);
    if (!field) return invalidRequest(`Unhandled client quota entity type: ${entityType}`);
    if (entityName === "") return invalidRequest(`Empty ${entityType} not supported`);
    if ((entityName?.length ?? 0) > nameLengthMax) return invalidRequest(`The name of a ${entityType} is too long`);
    entity[field] = entityName;
  }
  const { user, clientId, address } = entity;
  if (address === undefined) {
    return user === undefined && clientId === undefined
      ? invalidRequest("Invalid empty client quota entity")
      : { entity };
  }
  if (user !== undefined || clientId !== undefined) {
    return invalidRequest("Invalid quota entity combination, IP entity should not be combined with User or ClientId");
  }
  if (address === null || isIP(address) !== 0) return { entity };
  return invalidRequest(`${address} is not a valid IP or resolvable host.`);
}

function planValues(
  entity: QuotaEntity,
  ops: readonly QuotaOperation[],
  before: QuotaValues,
  described: string,
): { readonly values: QuotaValues } | ItemError {
  const values: Partial<Record<QuotaKey, number>> = { ...before };
  const seen = new Set<string>();
  for (const { key: name, value, remove } of ops) {
    if (seen.has(name)) {
      return invalidRequest(`Duplicate quota key ${name} not updating quota for this entity ${described}`);
    }
    seen.add(name);
    const key = quotaKeys.find((known) => known === name);
    const isOfEntity = (key === "connection_creation_rate") === (entity.address !== undefined);
    if (remove) {
      if (key) delete values[key];
      continue;
    }
    if (!key || !isOfEntity) return invalidRequest(`Invalid configuration key ${name}`);
    const fault = faultOfValue(key, value);
    if (fault) return invalidRequest(fault);
    values[key] = value;
  }
  return { values };
}

function faultOfValue(key: QuotaKey, value: number): string | undefined {
  if (!(value > 0)) return `Quota ${key} must be greater than 0`;
  if (!Number.isFinite(value)) return `Proposed value for ${key} is too large for a LONG.`;
  if (!integral.has(key)) return undefined;
  if (key === "connection_creation_rate" && value > integerMax) {
    return `Proposed value for ${key} is too large for an INT.`;
  }
  if (value > 2 ** 63) return `Proposed value for ${key} is too large for a LONG.`;
  return value % 1 > 1e-6 ? `${key} cannot be a fractional value.` : undefined;
}

function describeEntity(parts: readonly EntityPart[]): string {
  return `ClientQuotaEntity(entries={${parts.map(({ entityType, entityName }) => `${entityType}=${entityName}`).join(", ")}})`;
}

export type QuotaFilter = (entity: QuotaEntity) => boolean;

/** Match types are 0 exactly this name, 1 the default, 2 any. A strict filter means entities without other parts. */
export function readQuotaFilter(components: readonly FilterComponent[], strict: boolean): QuotaFilter | ItemError {
  const wanted = new Map<keyof QuotaEntity, { readonly name: string | null } | "any">();
  for (const { entityType, matchType, match } of components) {
    if (entityType === "") return invalidRequest("Invalid empty entity type.");
    const field = fieldOf.get(entityType);
    if (field && wanted.has(field)) {
      return invalidRequest(`Entity type ${entityType} cannot appear more than once in the filter.`);
    }
    if (!field) {
      return { errorCode: kafkaErrors.UNSUPPORTED_VERSION, errorMessage: `Unsupported entity type ${entityType}` };
    }
    if (matchType === 0) {
      if (match === null) return invalidRequest("Request specified MATCH_TYPE_EXACT, but set match string to null.");
      wanted.set(field, { name: match });
    } else if (matchType === 1 || matchType === 2) {
      const name = matchType === 1 ? "MATCH_TYPE_DEFAULT" : "MATCH_TYPE_SPECIFIED";
      if (match !== null) return invalidRequest(`Request specified ${name}, but also specified a match string.`);
      wanted.set(field, matchType === 1 ? { name: null } : "any");
    } else return invalidRequest(`Unknown match type ${matchType}`);
  }
  if (wanted.has("address") && wanted.size > 1) {
    return invalidRequest(
      "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.",
    );
  }
  return (entity) => {
    if (strict && partsOf(entity).length !== wanted.size) return false;
    for (const [field, want] of wanted) {
      const name = entity[field];
      if (name === undefined || (want !== "any" && want.name !== name)) return false;
    }
    return true;
  };
}
