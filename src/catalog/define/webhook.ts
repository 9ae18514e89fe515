/**
 * `webhook(…)`: a topic that somebody else's HTTP calls are kept in. What a call is and how it is verified are
 * interfaces here, so that a definition names neither a vendor nor a secret; the verifiers stand in `capture/webhooks/`.
 */
import type { IncomingHttpHeaders } from "node:http";
import { MillraceError } from "../../base/errors.ts";
import { parseDurationMs, parseSizeBytes } from "../../base/units.ts";
import { checkName, refuseUnknown } from "./names.ts";
import { type ReconcileDefinition, type ReconcileOptions, reconcileOf } from "./reconcile.ts";

/** One call, as verifiers and the functions of a definition see it. */
export interface WebhookRequest {
  readonly method: string;
  /** The query as it was sent, without its question mark. */
  readonly search: string;
  /** Names in small letters. */
  readonly headers: IncomingHttpHeaders;
  /** As it was sent. Not to be written to. */
  readonly body: Buffer;
  readonly nowMs: number;
}

/** The body as a value, read when it is first asked for: JSON and forms; undefined for everything else. */
export type WebhookValue = () => unknown;

/** The reason is told to the caller: it names what is wrong with the call, never what would have been right. */
export type WebhookVerdict = { readonly ok: true } | { readonly ok: false; readonly reason: string };

export interface WebhookVerifier {
  readonly kind: "verifier";
  /** `stripe`; shown in the status. */
  readonly name: string;
  /** Media types that the vendor sends; null takes any. */
  readonly mediaTypes: readonly string[] | null;
  /** Headers that are kept beside the body, in small letters. */
  readonly keepHeaders: readonly string[];
  /** `none` answers without a body, for vendors that show or parse it. */
  readonly answer: "json" | "none";
  /** What `WWW-Authenticate` asks for; null where a signature cannot be asked for. */
  readonly authenticate: string | null;
  /** False only for `noVerification()`: then browsers and foreign host names are refused as at every other door. */
  readonly verifies: boolean;
  /** Pure; takes the same time whatever part of a signature is wrong. */
  verify(request: WebhookRequest): WebhookVerdict;
  /** The vendor's id of this event, undefined when there is none. */
  id(event: WebhookValue, request: WebhookRequest): unknown;
  readonly challenge?: WebhookChallenge;
}

export interface WebhookChallengeAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** A call that asks whether somebody listens. It is answered and not kept. */
export interface WebhookChallenge {
  /** `open` is asked before the body is read and without a signature; `verified` only of calls that were verified. */
  readonly at: "open" | "verified";
  /** Undefined for a call that is none. */
  answer(event: WebhookValue, request: WebhookRequest): WebhookChallengeAnswer | undefined;
}

/** From the event's value and the call: the parsed body of JSON and forms, undefined for everything else. */
// biome-ignore lint/suspicious/noExplicitAny: the vendor's form, which only the writer of the function knows
export type WebhookFunction<T> = (event: any, request: WebhookRequest) => T | null | undefined;

export interface WebhookOptions {
  readonly verify: WebhookVerifier;
  /** What tells two copies of one event; the vendor's own id when left out, and the hash of the body where there is none. */
  readonly id?: WebhookFunction<string | number> | "body";
  /** Events of one key keep the order in which they arrive. None: each goes where its id leads. */
  readonly key?: WebhookFunction<string | number | Buffer>;
  /** Kept as header `millrace.type`. */
  readonly type?: WebhookFunction<string>;
  /** The vendor's count per key: an event behind a later one of its key is marked `millrace.late`. */
  readonly sequence?: WebhookFunction<number>;
  /** Final once the topic exists; 1. */
  readonly partitions?: number;
  /** How long events are kept, at least as long as ids; `30d`, or `forever`. */
  readonly retention?: string;
  readonly dedupe?: {
    /** How long an id is remembered, at least `7d`. */
    readonly for?: string;
    /** How many ids are remembered at most, at 39 bytes; 2,000,000. */
    readonly idsMax?: number;
  };
  /** `1MB`. */
  readonly bodyMax?: string;
  /** Verified calls a second, twice as many at once; null for no quota. 2,000. */
  readonly ratePerSecond?: number | null;
  /** Headers that are kept beside those of the vendor. */
  readonly keepHeaders?: readonly string[];
  /** In place of those of the verifier; `"*"` is any. */
  readonly mediaTypes?: readonly string[];
  readonly challenge?: WebhookChallenge;
  /** Asks the vendor's list for what its calls did not bring. */
  readonly reconcile?: ReconcileOptions;
}

export interface WebhookDefinition {
  readonly kind: "webhook";
  readonly name: string;
  readonly verify: WebhookVerifier;
  readonly id: WebhookFunction<string | number> | "body" | undefined;
  readonly key: WebhookFunction<string | number | Buffer> | undefined;
  readonly type: WebhookFunction<string> | undefined;
  readonly sequence: WebhookFunction<number> | undefined;
  readonly partitions: number;
  /** Null: for ever. */
  readonly retentionMs: number | null;
  readonly dedupeMs: number;
  readonly idsMax: number;
  readonly bodyBytesMax: number;
  readonly ratePerSecond: number | null;
  /** The vendor's and those of the option. */
  readonly keepHeaders: readonly string[];
  readonly mediaTypes: readonly string[] | null;
  readonly challenge: WebhookChallenge | undefined;
  readonly reconcile: ReconcileDefinition | undefined;
}

const options = [
  "verify",
  "id",
  "key",
  "type",
  "sequence",
  "partitions",
  "retention",
  "dedupe",
  "bodyMax",
  "ratePerSecond",
  "keepHeaders",
  "mediaTypes",
  "challenge",
  "reconcile",
] as const;

const dayMs = 86_400_000;
const dedupeMsMin = 7 * dayMs;
const bodyBytesLimit = 32 * 1024 * 1024;
/** These carry what a reader of the topic could log in with. */
const secretHeaders = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/** Calls of somebody else's server, verified, deduplicated and kept in the topic of this name. */
export function webhook(name: string, given: WebhookOptions): WebhookDefinition {
  checkName("source", name);
  const named = `webhook "${name}"`;
  if (typeof given !== "object" || given === null || given.verify?.kind !== "verifier") {
    throw new MillraceError("DEFINITION_INVALID", `${named} does not say how calls are verified`, {
      hint: "Add verify: stripeSignature(…), or another verifier; verify: noVerification() takes what anybody sends.",
    });
  }
  refuseUnknown(named, given, options);
  refuseUnknown(`dedupe of ${named}`, given.dedupe ?? {}, ["for", "idsMax"]);
  for (const option of ["id", "key", "type", "sequence"] as const) checkFunction(named, option, given[option]);
  const dedupeMs = duration(named, "dedupe.for", given.dedupe?.for ?? "7d", dedupeMsMin);
  return Object.freeze({
    kind: "webhook",
    name,
    verify: given.verify,
    id: given.id,
    key: given.key,
    type: given.type,
    sequence: given.sequence,
    partitions: count(named, "partitions", given.partitions ?? 1, 1_000),
    // Ids are read back from the topic: what is gone from it cannot be told from what never came.
    retentionMs:
      given.retention === "forever" ? null : duration(named, "retention", given.retention ?? "30d", dedupeMs),
    dedupeMs,
    idsMax: count(named, "dedupe.idsMax", given.dedupe?.idsMax ?? 2_000_000, 1_000_000_000),
    bodyBytesMax: bodyBytes(named, given.bodyMax ?? "1MB"),
    ratePerSecond: given.ratePerSecond === null ? null : rate(named, given.ratePerSecond ?? 2_000),
    keepHeaders: keptHeaders(named, [...given.verify.keepHeaders, ...list(named, "keepHeaders", given.keepHeaders)]),
    mediaTypes: mediaTypesOf(named, given),
    challenge: challengeOf(named, given.challenge) ?? given.verify.challenge,
    reconcile: reconcileOf(named, given.reconcile, { dedupeMs, id: given.id }),
  });
}

function checkFunction(named: string, option: string, given: unknown): void {
  if (given === undefined || typeof given === "function" || (option === "id" && given === "body")) return;
  throw invalid(named, `${option} is no function`, `Write ${option}: (event, request) => … .`);
}

function challengeOf(named: string, given: WebhookChallenge | undefined): WebhookChallenge | undefined {
  if (given === undefined || (typeof given?.answer === "function" && /^(open|verified)$/.test(given.at))) return given;
  throw invalid(named, "challenge is none", "Write challenge: metaChallenge(…), or another one of its kind.");
}

function duration(named: string, option: string, text: unknown, minMs: number): number {
  let spanMs: number;
  try {
    spanMs = parseDurationMs(text, option);
  } catch (cause) {
    throw invalid(named, (cause as Error).message, "Write it as 7d or 36h.");
  }
  if (spanMs >= minMs && spanMs <= 3_650 * dayMs) return spanMs;
  const days = minMs / dayMs;
  throw invalid(named, `${option} is ${JSON.stringify(text)}`, `It is from ${days}d to 3650d: an id has to be found.`);
}

function bodyBytes(named: string, text: unknown): number {
  let bytes: number;
  try {
    bytes = parseSizeBytes(text, "bodyMax");
  } catch (cause) {
    throw invalid(named, (cause as Error).message, "Write it as 256KB or 5MB.");
  }
  if (bytes >= 1 && bytes <= bodyBytesLimit) return bytes;
  throw invalid(named, `bodyMax is ${JSON.stringify(text)}`, "It is from 1B to 32MB.");
}

function count(named: string, option: string, given: unknown, max: number): number {
  if (Number.isSafeInteger(given) && (given as number) >= 1 && (given as number) <= max) return given as number;
  throw invalid(named, `${option} is ${JSON.stringify(given)}`, `It is a whole number from 1 to ${max}.`);
}

function rate(named: string, given: unknown): number {
  if (typeof given === "number" && given > 0 && given <= 1_000_000) return given;
  throw invalid(
    named,
    `ratePerSecond is ${JSON.stringify(given)}`,
    "It is a number up to 1,000,000, or null for none.",
  );
}

function list(named: string, option: string, given: unknown): readonly string[] {
  if (given === undefined) return [];
  if (Array.isArray(given) && given.length <= 50 && given.every((one) => typeof one === "string")) return given;
  throw invalid(named, `${option} is no list of at most 50 texts`, `Write ${option}: ["…"].`);
}

function keptHeaders(named: string, given: readonly string[]): readonly string[] {
  const names = [...new Set(given.map((name) => name.toLowerCase()))];
  for (const name of names) {
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]{1,100}$/.test(name)) {
      throw invalid(named, `keepHeaders has ${JSON.stringify(name.slice(0, 100))}`, "That is no name of a header.");
    }
    if (!secretHeaders.includes(name)) continue;
    throw invalid(named, `keepHeaders has ${name}`, "Who reads the topic could log in with it.");
  }
  return Object.freeze(names);
}

function mediaTypesOf(named: string, given: WebhookOptions): readonly string[] | null {
  if (given.mediaTypes === undefined) return given.verify.mediaTypes;
  const types = list(named, "mediaTypes", given.mediaTypes).map((type) => type.toLowerCase());
  return types.includes("*") ? null : Object.freeze(types);
}

function invalid(named: string, what: string, hint: string): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `${named}: ${what}`, { hint });
}
