/**
 * What quotas are set for (KIP-546): a user, a client id, both, or an address; the name null is the default for all
 * that have none of their own.
 */
export const quotaKeys = [
  "producer_byte_rate",
  "consumer_byte_rate",
  "request_percentage",
  "controller_mutation_rate",
  "connection_creation_rate",
] as const;

export type QuotaKey = (typeof quotaKeys)[number];

export interface QuotaEntity {
  /** Undefined when the quota is not for users; null for the default. */
  readonly user?: string | null;
  readonly clientId?: string | null;
  readonly address?: string | null;
}

export type QuotaValues = Readonly<Partial<Record<QuotaKey, number>>>;

/** The same for the same entity. */
export function entityKey({ user, clientId, address }: QuotaEntity): string {
  const parts: [string, string | null][] = [];
  if (user !== undefined) parts.push(["user", user]);
  if (clientId !== undefined) parts.push(["client-id", clientId]);
  if (address !== undefined) parts.push(["ip", address]);
  return JSON.stringify(parts);
}

/** Undefined for text that is no entity's. */
export function entityOfKey(text: string): QuotaEntity | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || parts.length === 0) return undefined;
  const entity: { user?: string | null; clientId?: string | null; address?: string | null } = {};
  for (const part of parts) {
    const [kind, name] = Array.isArray(part) ? part : [];
    if (name !== null && typeof name !== "string") return undefined;
    if (kind === "user") entity.user = name;
    else if (kind === "client-id") entity.clientId = name;
    else if (kind === "ip") entity.address = name;
    else return undefined;
  }
  return entity;
}

/** Undefined for what is no set of quotas. */
export function readQuotaValues(value: unknown): QuotaValues | undefined {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  const values: Partial<Record<QuotaKey, number>> = {};
  for (const key of quotaKeys) {
    const quota = (value as Record<string, unknown>)[key];
    if (quota === undefined) continue;
    if (typeof quota !== "number" || !(quota > 0)) return undefined;
    values[key] = quota;
  }
  return values;
}
