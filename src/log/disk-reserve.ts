/** Refuses appends while the disk is nearly full, so that what shares it with the log can still write. */
import { MillraceError } from "../base/errors.ts";
import type { LogContext } from "./log-context.ts";

/** How much may be appended, and how long may pass while it is low, before the disk is asked again. */
const recheckBytes = 32 * 1024 * 1024;
const recheckMs = 1000;

export class DiskReserve {
  readonly #context: LogContext;
  readonly #directory: string;
  #freeBytes = Number.POSITIVE_INFINITY;
  #sinceCheckBytes = 0;
  #checkedAtMs = 0;
  #checking: Promise<void> | undefined;

  constructor(context: LogContext, directory: string) {
    this.#context = context;
    this.#directory = directory;
  }

  get isLow(): boolean {
    return this.#freeBytes - this.#sinceCheckBytes < this.#context.limits.diskReserveBytes;
  }

  /** Throws `DISK_LOW`. What it knows is at most 32 MiB of appends old. */
  admit(bytes: number): void {
    this.#sinceCheckBytes += bytes;
    const { isLow } = this;
    const due = isLow
      ? this.#context.clock.monotonicMs() - this.#checkedAtMs >= recheckMs
      : this.#sinceCheckBytes >= recheckBytes;
    if (due) void this.check();
    if (!isLow) return;
    const reserve = this.#context.limits.diskReserveBytes;
    throw new MillraceError("DISK_LOW", `fewer than ${reserve} bytes are free on the disk of ${this.#directory}`, {
      hint: "Free space on the disk, or delete topics that nobody needs.",
      details: { freeBytes: this.#freeBytes, reserveBytes: reserve },
    });
  }

  check(): Promise<void> {
    this.#checking ??= this.#ask().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #ask(): Promise<void> {
    const before = this.#sinceCheckBytes;
    try {
      this.#freeBytes = await this.#context.disk.freeBytes(this.#directory);
      this.#sinceCheckBytes -= before;
    } catch (cause) {
      this.#context.diagnostics.warn("the free space of the log's disk cannot be read", { cause: String(cause) });
    }
    this.#checkedAtMs = this.#context.clock.monotonicMs();
  }
}
