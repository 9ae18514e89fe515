/**
 * What becomes of a page of the vendor's list: each event goes the way of a call that was verified, so that one id stays one
 * event; what is there already is compared with what was kept.
 */
import type { ListedEvent } from "../../../catalog/define/reconcile.ts";
import type { WebhookDefinition, WebhookRequest } from "../../../catalog/definitions.ts";
import type { Engine } from "../../../engine/engine.ts";
import type { Accepted } from "../acceptor.ts";
import {
  correctsHeader,
  type HookEvent,
  hashOfId,
  hookEventOf,
  idHeader,
  originHeader,
  readValue,
} from "../hook-event.ts";
import type { IdPlace } from "../id-table.ts";
import { contentDigest, digestsOfKept, placeName } from "./same-event.ts";

export interface PageTools {
  readonly definition: WebhookDefinition;
  readonly engine: Engine;
  readonly nowMs: number;
  accept(event: HookEvent): Promise<Accepted> | Accepted;
}

export interface Finding extends IdPlace {
  readonly kind: "missed" | "altered";
  readonly id: string;
  /** Of the vendor's content, so that one alteration is told once. */
  readonly digest: string;
}

/** Events of the list that cannot be kept, by reason. */
export interface Unusable {
  readonly form: number;
  readonly size: number;
  readonly id: number;
}

export interface PageOutcome {
  readonly listed: number;
  readonly findings: readonly Finding[];
  readonly corrected: number;
  readonly unusable: Unusable;
  /** Events that `compare` failed for. */
  readonly uncompared: number;
}

interface Listed {
  readonly id: string;
  readonly event: HookEvent;
  readonly request: WebhookRequest;
}

/** Events that wait for the log together. */
const groupEvents = 256;
const groupBytes = 1024 * 1024;

/** Resolves when everything is durable; throws what `accept` throws, and may then be called again with the same page. */
export async function takePage(events: readonly ListedEvent[], tools: PageTools): Promise<PageOutcome> {
  const unusable = { form: 0, size: 0, id: 0 };
  const listed: Listed[] = [];
  for (const one of events) {
    const read = readListed(one, tools);
    if (typeof read === "string") unusable[read]++;
    else listed.push(read);
  }
  // A list begins with the newest as often as with the oldest; where the vendor counts, events come in that order.
  listed.sort((a, b) => (a.event.sequence ?? 0) - (b.event.sequence ?? 0));
  const places = await keepAll(listed, tools);
  const findings: Finding[] = [];
  const known: { readonly listed: Listed; readonly place: Accepted }[] = [];
  for (const [i, place] of places.entries()) {
    const { id } = listed[i] as Listed;
    if (place.duplicate) known.push({ listed: listed[i] as Listed, place });
    else findings.push({ kind: "missed", id, partition: place.partition, offset: place.offset, digest: "" });
  }
  const { altered, uncompared } = await compareAll(known, tools);
  findings.push(...altered.map(({ finding }) => finding));
  let corrected = 0;
  if (tools.definition.reconcile?.altered === "append") {
    const corrections = altered.map(({ listed: one, finding }) => correctionOf(one, finding.digest));
    for (const { duplicate } of await keepAll(corrections, tools)) if (!duplicate) corrected++;
  }
  return { listed: events.length, findings, corrected, unusable, uncompared };
}

/** The event as its call would have brought it, or why it cannot be one. */
function readListed(one: ListedEvent, { definition, nowMs }: PageTools): Listed | keyof Unusable {
  if (typeof one !== "object" || one === null) return "form";
  const body = bodyOf(one.body);
  const given = one.headers ?? {};
  if (!body || typeof given !== "object") return "form";
  if (body.length > definition.bodyBytesMax) return "size";
  const headers: Record<string, string> = { "content-type": "application/json" };
  for (const [name, value] of Object.entries(given)) {
    if (typeof value !== "string") return "form";
    headers[name.toLowerCase()] = value;
  }
  const mediaType = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const request: WebhookRequest = { method: "POST", search: "", headers, body, nowMs };
  const event = hookEventOf(definition, readValue(mediaType, body), request);
  // Told from its copies by its bytes alone it would be kept beside the one that a call brought.
  if (!event.hasId) return "id";
  const id = event.headers[0]?.value?.toString() ?? "";
  const withOrigin = [...event.headers, { key: originHeader, value: Buffer.from("reconcile") }];
  return { id, event: { ...event, headers: withOrigin }, request };
}

function bodyOf(given: unknown): Buffer | undefined {
  if (Buffer.isBuffer(given)) return given;
  if (given instanceof Uint8Array) return Buffer.from(given);
  if (typeof given === "string") return Buffer.from(given);
  try {
    const text: string | undefined = JSON.stringify(given);
    return text === undefined ? undefined : Buffer.from(text);
  } catch {
    return undefined;
  }
}

/** In order; a group at a time, so that what waits for the log is bounded. */
async function keepAll(listed: readonly Listed[], { accept }: PageTools): Promise<Accepted[]> {
  const places: Accepted[] = [];
  for (let from = 0; from < listed.length; ) {
    const group: Listed[] = [];
    for (let bytes = 0; from < listed.length && group.length < groupEvents && bytes < groupBytes; from++) {
      const one = listed[from] as Listed;
      bytes += one.event.value.length;
      group.push(one);
    }
    places.push(...(await Promise.all(group.map(async ({ event }) => await accept(event)))));
  }
  return places;
}

async function compareAll(
  known: readonly { readonly listed: Listed; readonly place: Accepted }[],
  { definition, engine, nowMs }: PageTools,
) {
  const compare = definition.reconcile?.compare;
  const altered: { readonly listed: Listed; readonly finding: Finding }[] = [];
  let uncompared = 0;
  if (compare === null || known.length === 0) return { altered, uncompared };
  const places = known.map(({ place }) => place);
  const kept = await digestsOfKept(engine, definition.name, places, (one) => contentDigest(one, compare, nowMs));
  for (const { listed, place } of known) {
    if (!kept.has(placeName(place))) continue;
    const theirs = contentDigest(listed.request, compare, nowMs);
    const ours = kept.get(placeName(place));
    if (theirs === undefined || ours === undefined) uncompared++;
    else if (theirs !== ours) {
      const { partition, offset } = place;
      altered.push({ listed, finding: { kind: "altered", id: listed.id, partition, offset, digest: theirs } });
    }
  }
  return { altered, uncompared };
}

/** An event of its own, whose id is made of what it corrects and how: the next pass finds it there. */
function correctionOf({ id, event, request }: Listed, digest: string): Listed {
  const correction = `${id}~${digest.slice(0, 32)}`;
  const headers = event.headers.map((header) =>
    header.key === idHeader ? { key: idHeader, value: Buffer.from(correction) } : header,
  );
  headers.push({ key: correctsHeader, value: Buffer.from(id) });
  return { id: correction, request, event: { ...event, headers, idHash: hashOfId(correction) } };
}
