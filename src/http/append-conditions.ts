/** What a request expects of the last event of its key: `If-Match: "17"`, `If-Match: *`, `If-None-Match: *` (RFC 9110, 13.1). */
import type { IncomingHttpHeaders } from "node:http";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { Engine, KeyExpectation } from "../engine/engine.ts";
import type { EventInput } from "./event-input.ts";

/** Undefined when nothing is expected. Throws `REQUEST_INVALID`. */
export function expectedOffsetOf(headers: IncomingHttpHeaders): KeyExpectation["offset"] | undefined {
  const match = headers["if-match"]?.trim();
  const noneMatch = headers["if-none-match"]?.trim();
  if (match !== undefined && noneMatch !== undefined) throw invalid("If-Match and If-None-Match are both given");
  if (noneMatch !== undefined) {
    if (noneMatch === "*") return null;
    throw invalid(`If-None-Match is ${JSON.stringify(noneMatch.slice(0, 60))}`);
  }
  if (match === undefined) return undefined;
  if (match === "*") return "any";
  const offset = Number(/^"(\d{1,16})"$/.exec(match)?.[1] ?? Number.NaN);
  if (Number.isSafeInteger(offset)) return offset;
  throw invalid(`If-Match is ${JSON.stringify(match.slice(0, 60))}`);
}

/** The one key that all events have. Throws `REQUEST_INVALID`. */
export function oneKeyOf(events: readonly EventInput[]): Buffer {
  const [first] = events;
  const key = first?.key;
  const isOne = events.every((event) => key && event.key?.equals(key) && event.partition === first.partition);
  if (key && isOne) return key;
  throw new MillraceError("REQUEST_INVALID", "If-Match and If-None-Match are for events of one key", {
    hint: "Send the events of each key in a request of its own.",
  });
}

/** Tries again when a transaction that had the key has ended; after `waitMs` its `KEY_OFFSET_UNDECIDED` is thrown. */
export async function whenDecided<T>(
  { engine, clock }: { readonly engine: Engine; readonly clock: Clock },
  attempt: () => Promise<T>,
  { waitMs, signal }: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<T> {
  const untilMs = clock.monotonicMs() + waitMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const leftMs = untilMs - clock.monotonicMs();
      if (!MillraceError.is(error, "KEY_OFFSET_UNDECIDED") || leftMs <= 0) throw error;
      const { topic, partition, offset } = error.details as { topic: string; partition: number; offset: number };
      const { logStart, highWatermark } = await engine.offsets(topic, partition);
      const place = { topic, partition, offset: Math.max(logStart, Math.min(offset, highWatermark)) };
      await engine.read({ ...place, isolation: "read_committed", bytesMax: 1, waitMs: leftMs, signal });
    }
  }
}

function invalid(message: string): MillraceError {
  return new MillraceError("REQUEST_INVALID", message, {
    hint: 'Write If-Match: "17" for the offset of the key\'s last event, If-Match: * for any, If-None-Match: * for none.',
  });
}
