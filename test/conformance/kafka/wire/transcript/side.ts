/** One of the two brokers that a transcript is sent to. */
import { systemClock } from "../../../../../src/base/clock.ts";
import { DoorClient } from "../../../../../src/broker/door.fixture.ts";
import { createPartitions } from "../../../../../src/kafka/apis/create-partitions.ts";
import { createTopics } from "../../../../../src/kafka/apis/create-topics.ts";
import { deleteTopics } from "../../../../../src/kafka/apis/delete-topics.ts";
import { findCoordinator } from "../../../../../src/kafka/apis/find-coordinator.ts";
import { initProducerId } from "../../../../../src/kafka/apis/init-producer-id.ts";
import { metadata } from "../../../../../src/kafka/apis/metadata.ts";
import { type Api, type RequestInput, zeroUuid } from "../../../../../src/kafka/fields.ts";
import { decodeResponseFrame, encodeRequestFrame } from "../../../../../src/kafka/frames.ts";
import { Comparable } from "../comparable.ts";
import { errorCodesOf, type Message, Seen, type Step } from "../script.ts";

/**
 * NOT_LEADER_OR_FOLLOWER, COORDINATOR_…, NOT_COORDINATOR, NOT_ENOUGH_REPLICAS (to old producers, of a transaction that is
 * still ending) and CONCURRENT_TRANSACTIONS: "not yet".
 */
const passing: ReadonlySet<number> = new Set([6, 14, 15, 16, 19, 51]);
const patienceMs = 4_000;
const pauseMs = 3;
/** Coordinators hear of topics after everybody else. */
const coordinatorLagMs = 30;

export class Side {
  /** Of all names in the transcript. */
  readonly prefix: string;
  readonly seen = new Seen();
  readonly comparable = new Comparable();
  /** How often the last request was made until it was answered. */
  asksOfLast = 0;
  readonly #port: number;
  readonly #clients = new Map<string, DoorClient>();
  #correlationId = 0;

  constructor(port: number, prefix: string) {
    this.#port = port;
    this.prefix = prefix;
  }

  /** Null when the connection was closed in place of an answer. */
  async ask(step: Step): Promise<Message | null> {
    const content = step.request(this.seen);
    const untilMs = systemClock.monotonicMs() + patienceMs;
    this.asksOfLast = 0;
    for (;;) {
      this.asksOfLast++;
      const response = await this.#once(step, content);
      const isPassing = response !== null && errorCodesOf(response).some(({ code }) => passing.has(code));
      if (!isPassing || systemClock.monotonicMs() > untilMs) return response;
      await systemClock.sleep(pauseMs);
    }
  }

  async #once({ api, version, on }: Step, content: unknown): Promise<Message | null> {
    const client = this.#clients.get(on) ?? (await DoorClient.connect(this.#port));
    this.#clients.set(on, client);
    const request = encodeRequestFrame(api, version, ++this.#correlationId, "transcript", content as RequestInput<Api>);
    client.sendBytes(Buffer.concat(request));
    const frame = await client.frame().catch(() => null);
    if (frame !== null) return decodeResponseFrame(api, version, frame).response as Message;
    this.#clients.delete(on);
    return null;
  }

  /** Resolves when what the step has changed about topics is seen by who asks. Only Kafka takes time for it. */
  async settle(step: Step, response: Message): Promise<void> {
    const done = (name: string) =>
      ((response.topics ?? response.results ?? response.responses) as Message[] | undefined)?.some(
        (one) => one.name === name && one.errorCode === 0,
      );
    const request = step.request(this.seen) as Message;
    if (step.api === createTopics && request.validateOnly !== true) {
      for (const { name } of request.topics as { name: string }[])
        if (done(name)) await this.#until(name, (count) => count > 0);
    }
    if (step.api === createPartitions && request.validateOnly !== true) {
      for (const { name, count } of request.topics as { name: string; count: number }[])
        if (done(name)) await this.#until(name, (partitions) => partitions === count);
    }
    if (step.api === deleteTopics) {
      for (const { name, errorCode } of response.responses as { name: string | null; errorCode: number }[])
        if (name && errorCode === 0) await this.#until(name, (count) => count === 0);
    }
  }

  async #until(name: string, isSo: (partitions: number) => boolean): Promise<void> {
    const client = this.#clients.get("main");
    const untilMs = systemClock.monotonicMs() + patienceMs;
    while (client && systemClock.monotonicMs() < untilMs) {
      const wanted = { topics: [{ name, topicId: zeroUuid }], allowAutoTopicCreation: false };
      const frames = encodeRequestFrame(metadata, 12, ++this.#correlationId, "transcript", wanted);
      client.sendBytes(Buffer.concat(frames));
      const { response } = decodeResponseFrame(metadata, 12, await client.frame());
      if (isSo(response.topics?.[0]?.partitions.length ?? 0)) break;
      await systemClock.sleep(pauseMs);
    }
    await systemClock.sleep(coordinatorLagMs);
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }
}

/** Resolves when Kafka's coordinators work, and its first producer id, 0, which also stands for none, is gone. */
export async function readyKafka(port: number): Promise<void> {
  const client = await DoorClient.connect(port);
  const untilGood = async (ask: () => Promise<{ readonly errorCode: number }>) => {
    while ((await ask()).errorCode !== 0) await systemClock.sleep(25);
  };
  for (const keyType of [0, 1]) await untilGood(() => client.ask(findCoordinator, 3, { key: "ready", keyType }));
  const producer = { transactionTimeoutMs: 60_000 };
  await untilGood(() => client.ask(initProducerId, 4, { ...producer, transactionalId: null }));
  await untilGood(() => client.ask(initProducerId, 4, { ...producer, transactionalId: "ready" }));
  client.close();
}
