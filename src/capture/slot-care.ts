/**
 * Looks at what the source's server keeps for us, at an interval, for as long as an attempt runs. A look that is not
 * answered in time says that the server is out of reach, which a connection that only waits may learn very late.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { SlotLook } from "./slot-look.ts";

export interface SlotCareOptions {
  readonly source: string;
  readonly clock: Clock;
  readonly everyMs: number;
  /** Null while there is nobody to ask. `begun` is called when its turn has come on the connection. */
  readonly ask: (begun: () => void) => Promise<SlotLook> | null;
  readonly onLook: (look: SlotLook) => void;
  /** What a look threw, or `SOURCE_SILENT`. */
  readonly onFault: (error: unknown) => void;
}

const answerMsMax = 20_000;
/** What else is asked on the connection may wait for a lock of the source's. */
const turnMsMax = 120_000;
const notYetMs = 500;

export class SlotCare {
  readonly #options: SlotCareOptions;
  #timer: Timer | null = null;
  #stopped = false;

  /** The first look is taken at once. */
  constructor(options: SlotCareOptions) {
    this.#options = options;
    this.#after(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #after(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(delayMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { source, clock, everyMs, ask, onLook, onFault } = this.#options;
    const late = Promise.withResolvers<never>();
    const silent = () => late.reject(new MillraceError("SOURCE_SILENT", `source "${source}" does not answer any more`));
    let timer = clock.after(turnMsMax, silent);
    const asked = ask(() => {
      timer.cancel();
      timer = clock.after(answerMsMax, silent);
    });
    if (asked === null) {
      timer.cancel();
      return this.#after(Math.min(everyMs, notYetMs));
    }
    try {
      const look = await Promise.race([asked, late.promise]);
      if (!this.#stopped) onLook(look);
    } catch (error) {
      if (!this.#stopped) onFault(error);
    } finally {
      timer.cancel();
    }
    this.#after(everyMs);
  }
}

const graceMs = 10_000;

/**
 * A stream that has been silent for longer than a server may be: it is asked for a word every few seconds, and owes one
 * within half of its own timeout. 0: it waits for ever, and owes nothing.
 */
export function silenceFault(source: string, silentMs: number, walSenderTimeoutMs: number): MillraceError | null {
  if (walSenderTimeoutMs === 0 || silentMs <= 2 * walSenderTimeoutMs + graceMs) return null;
  const words = `the stream of source "${source}" has been silent for ${Math.round(silentMs / 1000)} s`;
  return new MillraceError("SOURCE_SILENT", words, { details: { source } });
}
