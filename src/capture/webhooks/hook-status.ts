/** What a source of webhooks tells of itself: the form of every source, and what was counted since the start. */
import { MillraceError } from "../../base/errors.ts";
import type { WebhookDefinition } from "../../catalog/definitions.ts";
import type { SourceStatus } from "../source.ts";
import type { HookFunction } from "./hook-event.ts";
import type { HookLog } from "./hook-log.ts";
import type { ReconcileStatus } from "./reconcile/reconcile-status.ts";

const reasons = [
  "signature",
  "size",
  "mediaType",
  "quota",
  "busy",
  "unavailable",
  "form",
  "method",
  "foreign",
] as const;

export type RefusalReason = (typeof reasons)[number];

export interface HookCounts {
  accepted: number;
  duplicates: number;
  challenges: number;
  lastEventMs: number | null;
  readonly refused: Record<RefusalReason, number>;
  readonly faults: Record<HookFunction, number>;
}

export interface HookStatus extends Omit<SourceStatus, "type"> {
  readonly type: "webhook";
  readonly hook: {
    readonly verifier: string;
    readonly topic: string;
    /** Since this process began, as all counts here. */
    readonly accepted: number;
    readonly duplicates: number;
    readonly challenges: number;
    readonly refused: Readonly<Record<RefusalReason, number>>;
    /** Functions of the definition that threw, or answered what cannot be used. */
    readonly faults: Readonly<Record<HookFunction, number>>;
    /** Events behind a later one of their key. */
    readonly late: number;
    readonly lastEventAt: string | null;
    readonly ids: {
      readonly held: number;
      readonly max: number;
      readonly bytes: number;
      /** Let go before their time, because there were too many. */
      readonly evicted: number;
    };
    /** Null where the definition has no list to ask. */
    readonly reconcile: ReconcileStatus | null;
  };
}

export function freshCounts(): HookCounts {
  return {
    accepted: 0,
    duplicates: 0,
    challenges: 0,
    lastEventMs: null,
    refused: Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<RefusalReason, number>,
    faults: { id: 0, key: 0, type: 0, sequence: 0 },
  };
}

export function reasonOf(thrown: unknown): RefusalReason {
  switch (MillraceError.from(thrown).code) {
    case "HOOK_SIGNATURE_INVALID":
      return "signature";
    case "REQUEST_TOO_LARGE":
    case "RECORD_TOO_LARGE":
      return "size";
    case "MEDIA_TYPE_UNSUPPORTED":
      return "mediaType";
    case "HOOK_QUOTA_EXCEEDED":
      return "quota";
    case "HOOK_BUSY":
      return "busy";
    case "REQUEST_INVALID":
    case "REQUEST_TIMEOUT":
      return "form";
    case "METHOD_NOT_ALLOWED":
      return "method";
    case "REQUEST_FORBIDDEN":
      return "foreign";
    default:
      return "unavailable";
  }
}

export function hookStatus(
  definition: WebhookDefinition,
  log: HookLog,
  counts: HookCounts,
  reconciler: { status(): ReconcileStatus; warnings(): readonly string[] } | undefined,
): HookStatus {
  const { evicted, late, ids } = log.counts;
  const { accepted, duplicates, challenges, refused, faults, lastEventMs } = counts;
  const reconcile = reconciler?.status() ?? null;
  const changes = accepted + (reconcile ? reconcile.missed + reconcile.corrected : 0);
  return {
    name: definition.name,
    type: "webhook",
    state: log.state,
    url: `/v1/hooks/${definition.name}`,
    tables: [],
    changes,
    transactions: changes,
    position: null,
    lagBytes: null,
    lagMs: null,
    reading: [],
    slot: null,
    wal: null,
    orphans: [],
    warnings: [...warningsOf(definition, evicted, counts), ...(reconciler?.warnings() ?? [])],
    hook: {
      verifier: definition.verify.name,
      topic: definition.name,
      accepted,
      duplicates,
      challenges,
      refused: { ...refused },
      faults: { ...faults },
      late,
      lastEventAt: lastEventMs === null ? null : new Date(lastEventMs).toISOString(),
      ids: { held: ids.held, max: definition.idsMax, bytes: ids.bytes, evicted },
      reconcile,
    },
  };
}

function warningsOf({ idsMax, verify }: WebhookDefinition, evicted: number, { faults }: HookCounts): readonly string[] {
  const warnings: string[] = [];
  if (!verify.verifies) warnings.push("calls are not verified: who finds the address can write events");
  if (evicted > 0) {
    warnings.push(`${evicted} ids had to go before their time: raise dedupe.idsMax, which is ${idsMax}`);
  }
  for (const [name, count] of Object.entries(faults)) {
    if (count > 0) warnings.push(`${name} of the definition failed for ${count} events, which were kept without it`);
  }
  return warnings;
}
