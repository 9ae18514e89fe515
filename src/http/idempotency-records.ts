/** Records of `_millrace.idempotency` (docs/internals/formats/idempotency.md): how a request with an idempotency key was answered. */
import { MillraceError } from "../base/errors.ts";
import { idHeader } from "../capture/webhooks/hook-event.ts";
import type { PlacedBatch } from "../engine/engine.ts";
import { encodeBatch } from "../records/batch-builder.ts";

export const idempotencyTopic = "_millrace.idempotency";

/** Where a batch of the answer is. */
export type AnsweredPlace = Pick<PlacedBatch, "partition" | "baseOffset" | "lastOffset">;

export interface AnsweredRequest {
  readonly fingerprint: string;
  readonly places: readonly AnsweredPlace[];
}

/** A topic that is made anew under its name knows none of the keys of the one before. */
export function idOfRequest(topicId: string, key: string): string {
  return `${topicId}/${key}`;
}

export function encodeAnswered(id: string, { fingerprint, places }: AnsweredRequest, nowMs: number): Buffer {
  const content = {
    version: 1,
    fingerprint,
    places: places.map(({ partition, baseOffset, lastOffset }) => [partition, baseOffset, lastOffset]),
  };
  const headers = [{ key: idHeader, value: Buffer.from(id) }];
  return encodeBatch([{ key: null, value: Buffer.from(JSON.stringify(content)), headers }], nowMs);
}

/** Throws `LOG_FORMAT_NEWER`. */
export function decodeAnswered(value: Buffer): AnsweredRequest {
  const content = JSON.parse(value.toString()) as {
    readonly version: number;
    readonly fingerprint: string;
    readonly places: readonly [partition: number, baseOffset: number, lastOffset: number][];
  };
  if (content.version !== 1) {
    throw new MillraceError("LOG_FORMAT_NEWER", `a record of ${idempotencyTopic} has version ${content.version}`);
  }
  const places = content.places.map(([partition, baseOffset, lastOffset]) => ({ partition, baseOffset, lastOffset }));
  return { fingerprint: content.fingerprint, places };
}
