/**
 * What clients have used of their quotas, and for how long each is to be left waiting. Nobody is refused, but for
 * changes of topics: those are refused while there is a debt (KIP-599).
 *
 * The arithmetic is that of `log/quotas.ts`: a bucket that holds ten seconds' worth, and a debt that is paid off at the
 * quota's rate. Buckets are made when a client under a quota is first seen, and the longest unseen is forgotten.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { ClientQuotas as Buckets, clientIdLengthMax, type QuotaKind } from "../log/quotas.ts";
import { userOf } from "./principals.ts";
import type { QuotaKey } from "./quota-entities.ts";
import type { FoundQuota, QuotaTable } from "./quota-table.ts";

/** `request` is counted in milliseconds of work, `mutation` in partitions made and deleted. */
export type Usage = "produce" | "fetch" | "request" | "mutation";

export interface ClientQuotaLimits {
  /** Clients under a quota that are remembered, per usage. */
  readonly clientsMax: number;
  readonly windowMs: number;
}

const defaultLimits: ClientQuotaLimits = { clientsMax: 10_000, windowMs: 10_000 };

/** Kafka lets a client wait for its share of the processor one window at most. */
const requestThrottleMsMax = 1_000;
const foundMax = 10_000;

const keys: Readonly<Record<Usage, QuotaKey>> = {
  produce: "producer_byte_rate",
  fetch: "consumer_byte_rate",
  request: "request_percentage",
  mutation: "controller_mutation_rate",
};

export class ClientQuotas {
  readonly #table: QuotaTable;
  readonly #usages: Readonly<Record<Usage, TrackedBuckets>>;
  readonly #connections: TrackedBuckets;
  /** What was found for a usage, user and client; forgotten when a quota changes. */
  readonly #found = new Map<string, FoundQuota | null>();
  #foundVersion = -1;

  constructor(table: QuotaTable, clock: Clock, limits: Partial<ClientQuotaLimits> = {}) {
    const { clientsMax, windowMs } = { ...defaultLimits, ...limits };
    const bucketLimits = { windowMs, clientsMax, quotasMax: clientsMax + 1 };
    const bytes = new Buckets(clock, bucketLimits);
    const counts = new Buckets(clock, bucketLimits);
    const requests = new Buckets(clock, { ...bucketLimits, windowMs: 1_000, throttleMsMax: requestThrottleMsMax });
    this.#table = table;
    this.#usages = {
      produce: new TrackedBuckets(bytes, "produce", clientsMax),
      fetch: new TrackedBuckets(bytes, "fetch", clientsMax),
      request: new TrackedBuckets(requests, "produce", clientsMax),
      mutation: new TrackedBuckets(counts, "produce", clientsMax),
    };
    this.#connections = new TrackedBuckets(counts, "fetch", clientsMax);
  }

  /** The quota of the client in its own unit; undefined when there is none. */
  quotaFor(usage: Usage, principal: string, clientId: string | null): number | undefined {
    return this.#find(usage, principal, clientId)?.value;
  }

  /** Counts what was used, and answers for how many whole milliseconds the client is to wait; 0 within its quota. */
  record(usage: Usage, principal: string, clientId: string | null, amount: number): number {
    if (this.#table.size === 0) return 0;
    return this.#usages[usage].record(this.#find(usage, principal, clientId), amount, perSecond(usage));
  }

  /** The same without anything used; before a change of topics, which is refused unless it is 0. */
  throttleMs(usage: Usage, principal: string, clientId: string | null): number {
    return this.record(usage, principal, clientId, 0);
  }

  /** What a client may fetch at most in one answer; infinity without a quota. */
  fetchBytesMax(principal: string, clientId: string | null): number {
    if (this.#table.size === 0) return Number.POSITIVE_INFINITY;
    return this.#usages.fetch.windowAmount(this.#find("fetch", principal, clientId));
  }

  /** A connection from this address; answers how long it is to be left waiting. */
  recordConnection(address: string): number {
    if (this.#table.size === 0) return 0;
    return this.#connections.record(this.#table.connectionQuotaFor(address), 1, 1);
  }

  #find(usage: Usage, principal: string, clientId: string | null): FoundQuota | undefined {
    if (this.#foundVersion !== this.#table.version || this.#found.size >= foundMax) {
      this.#found.clear();
      this.#foundVersion = this.#table.version;
    }
    const id = `${usage}\0${principal}\0${clientId ?? ""}`;
    let found = this.#found.get(id);
    if (found === undefined) {
      found = this.#table.quotaFor(keys[usage], userOf(principal) ?? principal, clientId ?? "") ?? null;
      this.#found.set(id, found);
    }
    return found ?? undefined;
  }
}

/** A percentage is that of one second of one processor's time. */
function perSecond(usage: Usage): number {
  return usage === "request" ? 10 : 1;
}

/** Buckets whose quota is set when they are used, and taken away from the one that was longest unused. */
class TrackedBuckets {
  readonly #buckets: Buckets;
  readonly #kind: QuotaKind;
  readonly #clientsMax: number;
  /** The rate that was set, by scope. */
  readonly #rates = new Map<string, number>();

  constructor(buckets: Buckets, kind: QuotaKind, clientsMax: number) {
    this.#buckets = buckets;
    this.#kind = kind;
    this.#clientsMax = clientsMax;
  }

  record(found: FoundQuota | undefined, amount: number, unitsPerSecond: number): number {
    const rate = found && found.value * unitsPerSecond;
    if (!found || rate === undefined || rate >= 2 ** 53) return 0;
    const name = nameOf(found.scope);
    this.#set(name, rate);
    return this.#buckets.record(this.#kind, name, amount);
  }

  windowAmount(found: FoundQuota | undefined): number {
    if (!found || found.value >= 2 ** 53) return Number.POSITIVE_INFINITY;
    const name = nameOf(found.scope);
    this.#set(name, found.value);
    return this.#buckets.windowBytes(this.#kind, name);
  }

  #set(name: string, rate: number): void {
    const known = this.#rates.get(name);
    this.#rates.delete(name);
    this.#rates.set(name, rate);
    if (known === rate) return;
    this.#buckets.set(this.#kind, name, rate);
    for (const oldest of this.#rates.keys()) {
      if (this.#rates.size <= this.#clientsMax) break;
      this.#rates.delete(oldest);
      this.#buckets.remove(this.#kind, oldest);
    }
  }
}

function nameOf(scope: string): string {
  return scope.length <= clientIdLengthMax ? scope : createHash("sha256").update(scope).digest("base64");
}
