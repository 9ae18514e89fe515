/** Readers who wait until the group has reached what their token names. */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { GroupPosition, WaitTarget } from "./view-info.ts";

export interface Reached {
  readonly position: GroupPosition;
  /** The newest position of a source that is applied. */
  lsn(source: string): string | null;
  /** Where the next record of a partition is read; null where nothing reads the topic, and so nothing is missing of it. */
  offset(topic: string, partition: number): number | null;
}

interface Waiter {
  readonly target: WaitTarget;
  /** What is to reach it. */
  readonly reached: Reached;
  /** The view that is to be read; null for all. */
  readonly view: string | null;
  readonly settle: (error?: unknown) => void;
}

export class Waits {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Until `reached`, which is that of a view or the group's, has the target. Throws `TOKEN_TIMEOUT`, or the signal's reason. */
  wait(
    target: WaitTarget,
    reached: Reached,
    waitMs: number,
    signal?: AbortSignal,
    view: string | null = null,
  ): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (isReached(target, reached)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const aborted = () => waiter.settle(signal?.reason);
      const waiter: Waiter = {
        target,
        reached,
        view,
        settle: (error) => {
          this.#waiters.delete(waiter);
          timer.cancel();
          signal?.removeEventListener("abort", aborted);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const timer = this.#clock.after(waitMs, () => waiter.settle(timeout(target, waitMs)));
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waiters.add(waiter);
    });
  }

  wake(): void {
    for (const waiter of [...this.#waiters]) if (isReached(waiter.target, waiter.reached)) waiter.settle();
  }

  /** Whether somebody waits for a view alone, because the group has what they wait for. */
  areFor(view: string, group: Reached): boolean {
    return [...this.#waiters].some((waiter) => waiter.view === view && isReached(waiter.target, group));
  }

  fail(error: unknown): void {
    for (const waiter of [...this.#waiters]) waiter.settle(error);
  }
}

function isReached(target: WaitTarget, reached: Reached): boolean {
  if (target.kind === "group") {
    const { generation, batch } = reached.position;
    return generation >= target.position.generation && batch >= target.position.batch;
  }
  if (target.kind === "topic") {
    return target.positions.every(({ partition, offset }) => {
      const next = reached.offset(target.topic, partition);
      return next === null || next >= offset;
    });
  }
  const lsn = reached.lsn(target.source);
  return lsn !== null && compareLsn(lsn, target.lsn) >= 0;
}

function timeout(target: WaitTarget, waitMs: number): MillraceError {
  return new MillraceError("TOKEN_TIMEOUT", `the views did not reach ${printTarget(target)} within ${waitMs} ms`, {
    hint: "Ask again with the same token; millrace sources list shows how far behind the sources are.",
  });
}

function printTarget(target: WaitTarget): string {
  switch (target.kind) {
    case "group":
      return "what the token names";
    case "source":
      return `position ${target.lsn} of source ${target.source}`;
    case "topic":
      return target.positions.map((at) => `offset ${at.offset} of ${target.topic}/${at.partition}`).join(", ");
  }
}

/** Positions as PostgreSQL prints them, `16/B374D848`. Throws `TOKEN_INVALID`. */
export function compareLsn(a: string, b: string): number {
  const [x, y] = [parseLsn(a), parseLsn(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

function parseLsn(lsn: string): bigint {
  const parts = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(lsn);
  if (!parts) throw new MillraceError("TOKEN_INVALID", `${JSON.stringify(lsn)} is no position of a PostgreSQL source`);
  return (BigInt(`0x${parts[1]}`) << 32n) | BigInt(`0x${parts[2]}`);
}
