/**
 * The quotas of the catalogue, and which of them holds for a client.
 *
 * The order is Kafka's: of the levels below the first that has a value for the key holds, and clients share it as the
 * level says: one for a user is of all the user's clients together, one for a client id of all who call themselves so.
 */
import { MillraceError } from "../base/errors.ts";
import type { Catalogue } from "../catalog/catalogue-topic.ts";
import {
  entityKey,
  entityOfKey,
  type QuotaEntity,
  type QuotaKey,
  type QuotaValues,
  readQuotaValues,
} from "./quota-entities.ts";

const catalogueKind = "client-quota";

export interface QuotaChange {
  readonly entity: QuotaEntity;
  /** All that the entity has from now on; empty removes it. */
  readonly values: QuotaValues;
}

export interface FoundQuota {
  readonly value: number;
  /** Clients with the same one share the quota. */
  readonly scope: string;
}

interface Level {
  readonly entity: (user: string, clientId: string) => QuotaEntity;
  readonly shared: "user and client" | "user" | "client";
}

const levels: readonly Level[] = [
  { entity: (user, clientId) => ({ user, clientId }), shared: "user and client" },
  { entity: (user) => ({ user, clientId: null }), shared: "user and client" },
  { entity: (user) => ({ user }), shared: "user" },
  { entity: (_user, clientId) => ({ user: null, clientId }), shared: "user and client" },
  { entity: () => ({ user: null, clientId: null }), shared: "user and client" },
  { entity: () => ({ user: null }), shared: "user" },
  { entity: (_user, clientId) => ({ clientId }), shared: "client" },
  { entity: () => ({ clientId: null }), shared: "client" },
];

export class QuotaTable {
  readonly #catalogue: Catalogue;
  readonly #entitiesMax: number;
  readonly #quotas = new Map<string, { readonly entity: QuotaEntity; readonly values: QuotaValues }>();
  readonly #stop: () => void;
  #version = 0;

  constructor(catalogue: Catalogue, options: { readonly entitiesMax?: number } = {}) {
    this.#catalogue = catalogue;
    this.#entitiesMax = options.entitiesMax ?? 10_000;
    for (const [key, value] of catalogue.list(catalogueKind)) this.#follow(key, value);
    this.#stop = catalogue.onChange(catalogueKind, ({ key, value }) => this.#follow(key, value));
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#quotas.size;
  }

  /** Undefined when there is none. */
  valuesOf(entity: QuotaEntity): QuotaValues | undefined {
    return this.#quotas.get(entityKey(entity))?.values;
  }

  entries(): Iterable<{ readonly entity: QuotaEntity; readonly values: QuotaValues }> {
    return this.#quotas.values();
  }

  /** Undefined when nothing limits the client. */
  quotaFor(key: QuotaKey, user: string, clientId: string): FoundQuota | undefined {
    for (const { entity, shared } of levels) {
      const value = this.valuesOf(entity(user, clientId))?.[key];
      if (value === undefined) continue;
      const scope = { "user and client": [user, clientId], user: [user, null], client: [null, clientId] }[shared];
      return { value, scope: JSON.stringify(scope) };
    }
    return undefined;
  }

  /** Connections a second from an address. */
  connectionQuotaFor(address: string): FoundQuota | undefined {
    const own = this.valuesOf({ address }) ?? this.valuesOf({ address: null });
    const value = own?.connection_creation_rate;
    return value === undefined ? undefined : { value, scope: address };
  }

  /** All or none. Throws `REQUEST_INVALID` when there are too many. */
  async change(changes: readonly QuotaChange[]): Promise<void> {
    const isFresh = ({ entity, values }: QuotaChange) => !isEmpty(values) && !this.valuesOf(entity);
    const added = changes.filter(isFresh).length;
    if (added > 0 && this.#quotas.size + added > this.#entitiesMax) {
      throw new MillraceError("REQUEST_INVALID", `there can be ${this.#entitiesMax} quotas of clients`);
    }
    await this.#catalogue.change(
      changes.map(({ entity, values }) => ({
        kind: catalogueKind,
        key: entityKey(entity),
        value: isEmpty(values) ? undefined : values,
      })),
    );
  }

  close(): void {
    this.#stop();
  }

  #follow(key: string, value: unknown): void {
    const entity = entityOfKey(key);
    if (!entity) return;
    const values = value === undefined ? undefined : readQuotaValues(value);
    if (values) this.#quotas.set(key, { entity, values });
    else this.#quotas.delete(key);
    this.#version++;
  }
}

function isEmpty(values: QuotaValues): boolean {
  return Object.keys(values).length === 0;
}
