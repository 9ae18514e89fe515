/**
 * How many bytes of bodies are held at one time, over all sources and by each: a flood at one leaves room for the others.
 * Bytes are counted as they arrive, so that who announces much and sends nothing takes nothing.
 */
import { MillraceError } from "../../base/errors.ts";

export interface BodyRoomLimits {
  readonly bytesMax: number;
  /** Of one source. */
  readonly sourceBytesMax: number;
}

export const defaultBodyRoom: BodyRoomLimits = {
  bytesMax: 256 * 1024 * 1024,
  sourceBytesMax: 128 * 1024 * 1024,
};

/** What one call holds. */
export interface HeldBytes {
  /** Throws `HOOK_BUSY` when there is no room. */
  take(bytes: number): void;
  release(): void;
}

export class BodyRoom {
  readonly #limits: BodyRoomLimits;
  readonly #bySource = new Map<string, number>();
  #bytes = 0;

  constructor(limits: BodyRoomLimits = defaultBodyRoom) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  hold(source: string): HeldBytes {
    let held = 0;
    return {
      take: (bytes) => {
        const ofSource = (this.#bySource.get(source) ?? 0) + bytes;
        if (ofSource > this.#limits.sourceBytesMax || this.#bytes + bytes > this.#limits.bytesMax) throw busy(source);
        held += bytes;
        this.#bytes += bytes;
        this.#bySource.set(source, ofSource);
      },
      release: () => {
        this.#bytes -= held;
        const left = (this.#bySource.get(source) ?? 0) - held;
        if (left > 0) this.#bySource.set(source, left);
        else this.#bySource.delete(source);
        held = 0;
      },
    };
  }
}

function busy(source: string): MillraceError {
  return new MillraceError("HOOK_BUSY", `more bytes of calls to "${source}" are on their way than may be held`, {
    hint: "It was not kept; send it again later.",
  });
}
