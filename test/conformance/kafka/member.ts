/** What a member of a group has got and not yet handed out, for clients that run in this process. */
import { systemClock } from "../../../src/base/clock.ts";
import type { Json } from "./client.ts";

export interface Received {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Without `at`. */
  readonly told: { readonly [name: string]: Json };
}

const patienceMs = 15_000;
/** Later timestamps are a clock's, and not told. */
export const explicitTimestampMax = 1_500_000_000_000;

export class Member {
  readonly #waiting: Received[] = [];
  readonly #taken = new Map<string, { topic: string; partition: number; offset: number }>();
  #assignment: readonly string[] = [];
  #failure: unknown;
  /** Whether a fetch was answered, so that all positions are known. */
  fetched = false;

  receive(records: readonly Received[]): void {
    this.#waiting.push(...records);
  }

  assign(assignment: ReadonlyMap<string, readonly number[]>): void {
    this.#assignment = [...assignment].flatMap(([topic, parts]) => parts.map((part) => `${topic}-${part}`)).sort();
  }

  fail(error: unknown): void {
    this.#failure ??= error;
  }

  /** The next offset of each partition of which something was taken. */
  get positions(): readonly { topic: string; partition: number; offset: number }[] {
    return [...this.#taken.values()];
  }

  async take(count: number): Promise<Json> {
    const enough = await this.#when(() => this.#waiting.length >= count);
    const got = this.#waiting.splice(0, count);
    for (const { topic, partition, offset } of got) {
      this.#taken.set(`${topic}-${partition}`, { topic, partition, offset: offset + 1 });
    }
    return enough ? tellAll(got) : { short: tellAll(got) };
  }

  async assigned(count: number): Promise<Json> {
    const there = await this.#when(() => this.#assignment.length === count);
    return there ? this.#assignment : { other: this.#assignment };
  }

  atEnd(): Promise<boolean> {
    return this.#when(() => this.fetched);
  }

  forget(topic: string, partition: number): void {
    const others = this.#waiting.filter((each) => each.topic !== topic || each.partition !== partition);
    this.#waiting.splice(0, this.#waiting.length, ...others);
  }

  /** False when it takes too long; what ended the member is thrown. */
  async #when(condition: () => boolean): Promise<boolean> {
    const deadline = systemClock.monotonicMs() + patienceMs;
    while (!condition()) {
      if (this.#failure !== undefined) throw this.#failure;
      if (systemClock.monotonicMs() > deadline) return false;
      await systemClock.sleep(10);
    }
    return true;
  }
}

export function tellAll(records: readonly Received[]): Json {
  const order = (a: Received, b: Received) =>
    a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition || a.offset - b.offset;
  return records
    .toSorted(order)
    .map(({ topic, partition, offset, told }) => ({ at: `${topic}-${partition}@${offset}`, ...told }));
}

export function tellText(bytes: Buffer | string | null | undefined): string | null {
  if (bytes === null || bytes === undefined) return null;
  return bytes.length > 200 ? `${bytes.length} bytes` : bytes.toString();
}
