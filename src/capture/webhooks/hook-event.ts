/**
 * What is kept of a verified call: the body as it was sent, and beside it what the definition reads out of it. Functions
 * of a definition are somebody's code: whatever they throw or answer, the event is kept, and the fault is told.
 */
import { hash as hashOf } from "node:crypto";
import type { WebhookDefinition, WebhookRequest, WebhookValue } from "../../catalog/definitions.ts";
import type { Header } from "../../records/record.ts";

export const idHashBytes = 16;

export const idHeader = "millrace.id";
export const typeHeader = "millrace.type";
export const sequenceHeader = "millrace.sequence";
export const lateHeader = "millrace.late";
/** Names of the functions that failed, with commas between. */
export const faultsHeader = "millrace.faults";
/** `reconcile` where the vendor's list brought it; absent where a call did. */
export const originHeader = "millrace.origin";
/** The id of the event that the vendor's list has otherwise. */
export const correctsHeader = "millrace.corrects";

export type HookFunction = "id" | "key" | "type" | "sequence";

export interface HookEvent {
  /** The first 16 bytes of the id's SHA-256. */
  readonly idHash: Buffer;
  readonly key: Buffer | null;
  readonly value: Buffer;
  readonly headers: readonly Header[];
  readonly sequence: number | undefined;
  /** False when there was no id, and the body's hash took its place. */
  readonly hasId: boolean;
  /** Functions whose answer could not be used. */
  readonly faults: readonly HookFunction[];
}

/** Ids and types are kept as they are up to here, in bytes; a longer id is kept as its hash. */
const idBytesMax = 512;
const typeBytesMax = 512;
const keyBytesMax = 1_024;

/**
 * The body as a value: JSON and forms (a name that comes twice has its last value); undefined for everything else, and
 * for JSON that is none.
 */
export function readValue(mediaType: string, body: Buffer): WebhookValue {
  let value: { readonly of: unknown } | undefined;
  return () => {
    value ??= { of: parsed(mediaType, body) };
    return value.of;
  };
}

function parsed(mediaType: string, body: Buffer): unknown {
  try {
    if (mediaType === "application/json" || mediaType.endsWith("+json")) return JSON.parse(body.toString());
    if (mediaType === "application/x-www-form-urlencoded") {
      return Object.fromEntries(new URLSearchParams(body.toString()));
    }
  } catch {
    // Kept all the same: what it should have been is for whoever reads it.
  }
  return undefined;
}

/** Decides what is kept. Never throws. */
export function hookEventOf(definition: WebhookDefinition, event: WebhookValue, request: WebhookRequest): HookEvent {
  const faults: HookFunction[] = [];
  const given = idOf(definition, event, request, faults);
  const id = given ?? `sha256:${hashOf("sha256", request.body, "hex")}`;
  const key = definition.key ? keyBytes(call(definition.key, event(), request), faults) : null;
  const type = definition.type ? typeText(call(definition.type, event(), request), faults) : undefined;
  const sequence = definition.sequence ? sequenceOf(call(definition.sequence, event(), request), faults) : undefined;
  const headers: Header[] = [{ key: idHeader, value: Buffer.from(id) }];
  if (type !== undefined) headers.push({ key: typeHeader, value: Buffer.from(type) });
  if (sequence !== undefined) headers.push({ key: sequenceHeader, value: Buffer.from(String(sequence)) });
  if (faults.length > 0) headers.push({ key: faultsHeader, value: Buffer.from(faults.join(",")) });
  keepHeaders(definition, request, headers);
  return { idHash: hashOfId(id), key, value: request.body, headers, sequence, hasId: given !== undefined, faults };
}

/** Of the id as it stands in the record's header. */
export function hashOfId(id: string | Buffer): Buffer {
  return hashOf("sha256", id, "buffer").subarray(0, idHashBytes);
}

function idOf(
  { id, verify }: WebhookDefinition,
  event: WebhookValue,
  request: WebhookRequest,
  faults: HookFunction[],
): string | undefined {
  if (id === "body") return undefined;
  const given = id === undefined ? call(verify.id, event, request) : call(id, event(), request);
  const text = idText(given);
  // A vendor that sends no id with this event is no fault; a function that was written for it is.
  if (text === undefined && (id !== undefined || given === failed)) faults.push("id");
  return text;
}

function idText(given: unknown): string | undefined {
  const text = typeof given === "number" && Number.isSafeInteger(given) ? String(given) : given;
  if (typeof text !== "string" || text === "") return undefined;
  if (text.length <= idBytesMax && Buffer.byteLength(text) <= idBytesMax && text.isWellFormed()) return text;
  return `sha256:${hashOf("sha256", text, "hex")}`;
}

/** None is no fault: not every event has to have one. */
function keyBytes(given: unknown, faults: HookFunction[]): Buffer | null {
  if (given === undefined || given === null) return null;
  const bytes =
    typeof given === "string" || (typeof given === "number" && Number.isFinite(given))
      ? Buffer.from(String(given))
      : Buffer.isBuffer(given)
        ? given
        : undefined;
  if (bytes && bytes.length > 0 && bytes.length <= keyBytesMax) return bytes;
  faults.push("key");
  return null;
}

function typeText(given: unknown, faults: HookFunction[]): string | undefined {
  if (given === undefined || given === null) return undefined;
  if (typeof given === "string" && Buffer.byteLength(given) <= typeBytesMax) return given;
  faults.push("type");
  return undefined;
}

function sequenceOf(given: unknown, faults: HookFunction[]): number | undefined {
  if (given === undefined || given === null) return undefined;
  if (typeof given === "number" && Number.isFinite(given)) return given;
  faults.push("sequence");
  return undefined;
}

function keepHeaders({ keepHeaders }: WebhookDefinition, { headers }: WebhookRequest, into: Header[]): void {
  const type = headers["content-type"];
  if (type !== undefined) into.push({ key: "content-type", value: Buffer.from(type, "latin1") });
  for (const name of keepHeaders) {
    const value = headers[name];
    // Node reads header bytes as latin1, so that this gives back the bytes that were sent.
    if (value !== undefined) into.push({ key: name, value: Buffer.from(String(value), "latin1") });
  }
}

/** What a function that threw answers. */
const failed = Symbol("failed");

function call<Event>(
  fn: (event: Event, request: WebhookRequest) => unknown,
  event: Event,
  request: WebhookRequest,
): unknown {
  try {
    const answer = fn(event, request);
    if (typeof answer !== "object" || answer === null || Buffer.isBuffer(answer)) return answer;
    // Nobody waits for a promise here, and one that rejects unheard would end the process.
    if (typeof (answer as { then?: unknown }).then === "function") Promise.resolve(answer).catch(() => {});
    return failed;
  } catch {
    return failed;
  }
}
