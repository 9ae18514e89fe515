/**
 * A script of requests in the Kafka protocol, sent as frames, one after the other, to whoever serves it: a real Kafka, or
 * the door. What a later request needs from earlier answers (member ids, producer ids) it takes from them, so that the
 * same script makes sense on both.
 *
 * Always true: a connection has at most one request that is not answered; the next one on it waits for the answer.
 */
import { systemClock } from "../../../../src/base/clock.ts";
import type { DoorClient } from "../../../../src/broker/door.fixture.ts";
import { type Api, type RequestInput, type ResponseOf, zeroUuid } from "../../../../src/kafka/fields.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../../../../src/kafka/frames.ts";

export type Message = Readonly<Record<string, unknown>>;

export interface Step {
  /** A sentence, unique in its script. */
  readonly name: string;
  readonly api: Api;
  readonly version: number;
  /** The connection; those whose names begin with "sasl" go to the listener that wants SASL. */
  readonly on: string;
  /** The next step does not wait for the answer. */
  readonly isHeld: boolean;
  /** Asked again until the answer is so; what took time to be seen is then there. */
  readonly until: ((response: never) => boolean) | null;
  request(seen: Seen): unknown;
}

export interface StepOptions<A extends Api> {
  readonly on?: string;
  readonly held?: boolean;
  readonly until?: (response: ResponseOf<A>) => boolean;
}

export function step<A extends Api>(
  name: string,
  api: A,
  version: number,
  request: RequestInput<A> | ((seen: Seen) => RequestInput<A>),
  options: StepOptions<A> = {},
): Step {
  return {
    name,
    api,
    version,
    on: options.on ?? "main",
    isHeld: options.held ?? false,
    until: options.until ?? null,
    request: typeof request === "function" ? (request as (seen: Seen) => unknown) : () => request,
  };
}

export interface Exchange {
  readonly step: Step;
  /** Whole frames, with their length. */
  readonly request: Buffer;
  /** Null when the connection was closed in place of an answer. */
  readonly response: Buffer | null;
}

/** What was answered so far. */
export class Seen {
  readonly #answers = new Map<string, Message>();
  readonly #topicIds = new Map<string, string>();

  add(name: string, response: Message): void {
    this.#answers.set(name, response);
    this.#learnTopics(response);
  }

  /** A field of the answer to the step of this name; empty when there is none. */
  text(name: string, field: string): string {
    const value = this.#answers.get(name)?.[field];
    return typeof value === "string" ? value : "";
  }

  /** -1 when there is none. */
  number(name: string, field: string): number {
    const value = this.#answers.get(name)?.[field];
    return typeof value === "number" ? value : -1;
  }

  /** The last that was heard of; zero when there is none. */
  topicId(topic: string): string {
    return this.#topicIds.get(topic) ?? zeroUuid;
  }

  #learnTopics(value: unknown): void {
    if (Array.isArray(value)) for (const each of value) this.#learnTopics(each);
    else if (value !== null && typeof value === "object" && !Buffer.isBuffer(value)) {
      const { name, topicId } = value as Message;
      if (typeof name === "string" && typeof topicId === "string" && topicId !== zeroUuid)
        this.#topicIds.set(name, topicId);
      for (const each of Object.values(value)) this.#learnTopics(each);
    }
  }
}

/** Errors that say "not yet": COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, CONCURRENT_TRANSACTIONS. */
const passing: ReadonlySet<number> = new Set([14, 15, 16, 51]);
const patienceMs = 10_000;
const pauseMs = 5;

/** `connect` is asked once for each connection; the caller closes them. */
export async function runScript(
  steps: readonly Step[],
  connect: (connection: string) => Promise<DoorClient>,
): Promise<Exchange[]> {
  const seen = new Seen();
  const clients = new Map<string, DoorClient>();
  const held = new Map<string, Promise<void>>();
  const exchanges: (Exchange | undefined)[] = steps.map(() => undefined);
  for (const [index, one] of steps.entries()) {
    await held.get(one.on);
    held.delete(one.on);
    const client = clients.get(one.on) ?? (await connect(one.on));
    clients.set(one.on, client);
    const answered = ask(client, one, { index, seen }).then((exchange) => {
      exchanges[index] = exchange;
    });
    if (one.isHeld) held.set(one.on, answered);
    else await answered;
  }
  await Promise.all(held.values());
  return exchanges as Exchange[];
}

async function ask(
  client: DoorClient,
  one: Step,
  { index, seen }: { readonly index: number; readonly seen: Seen },
): Promise<Exchange> {
  const deadlineMs = systemClock.monotonicMs() + patienceMs;
  for (;;) {
    const content = one.request(seen) as RequestInput<Api>;
    const request = Buffer.concat(encodeRequestFrame(one.api, one.version, index + 1, "script", content));
    client.sendBytes(request);
    const frame = await client.frame().catch(() => null);
    if (frame === null) return { step: one, request, response: null };
    const response = decodeResponseFrame(one.api, one.version, frame).response as Message;
    const isLate = systemClock.monotonicMs() > deadlineMs;
    if (isLate && one.until !== null) throw new Error(`"${one.name}" was never so: ${JSON.stringify(response)}`);
    if (isLate || isGood(one, response)) {
      seen.add(one.name, response);
      const length = Buffer.alloc(4);
      length.writeInt32BE(frame.length);
      return { step: one, request, response: Buffer.concat([length, frame]) };
    }
    await systemClock.sleep(pauseMs);
  }
}

function isGood({ until }: Step, response: Message): boolean {
  if (until !== null) return until(response as never);
  return !errorCodesOf(response).some(({ code }) => passing.has(code));
}

export interface PlacedError {
  /** As in `topics[0].partitions[1]`. */
  readonly place: string;
  readonly code: number;
}

/** All fields whose names end in "errorCode", in the order of the message. */
export function errorCodesOf(value: unknown, place = ""): PlacedError[] {
  if (Array.isArray(value)) return value.flatMap((each, index) => errorCodesOf(each, `${place}[${index}]`));
  if (value === null || typeof value !== "object" || Buffer.isBuffer(value)) return [];
  return Object.entries(value).flatMap(([name, part]) => {
    const at = place === "" ? name : `${place}.${name}`;
    return /errorCode$/i.test(name) ? [{ place: at, code: part as number }] : errorCodesOf(part, at);
  });
}
