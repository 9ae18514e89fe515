/**
 * Sends a transcript to both brokers, step by step, and compares the answers to each. A join or a sync may wait for other
 * members: when neither answers at once the transcript goes on, and their answers are compared when they come.
 */
import { systemClock } from "../../../../../src/base/clock.ts";
import { fetch } from "../../../../../src/kafka/apis/fetch.ts";
import { initProducerId } from "../../../../../src/kafka/apis/init-producer-id.ts";
import { joinGroup } from "../../../../../src/kafka/apis/join-group.ts";
import { listGroups } from "../../../../../src/kafka/apis/list-groups.ts";
import { syncGroup } from "../../../../../src/kafka/apis/sync-group.ts";
import { type Difference, differencesBetween } from "../comparable.ts";
import type { Message, Step } from "../script.ts";
import { Side } from "./side.ts";

export interface Found extends Difference {
  readonly step: Step;
  readonly request: Message;
  /** Kafka's, whole; null when there was none. */
  readonly answer: Message | null;
}

export type Verdict = "known" | "ends" | "different";
/** What is to be thought of a difference. */
export type Judge = (found: Found) => Verdict;

export interface Outcome {
  /** Requests that were answered by both. */
  readonly asked: number;
  /** The step at which it ended before its time, and why: `found` when that was no known difference. */
  readonly endedAt: number | null;
  readonly found: readonly Found[];
}

export interface Ports {
  readonly ours: number;
  readonly kafka: number;
}

const heldMs = 60;
const patienceMs = 3_000;
/** What Kafka has changed may be seen a moment later. */
const lagMs = 25;
const lagTries = 20;
const reading =
  /^(Metadata|Describe|List|OffsetFetch|Fetch|ConsumerGroupDescribe|OffsetForLeaderEpoch|FindCoordinator)/;

interface Held {
  readonly step: Step;
  readonly index: number;
  readonly answers: readonly [Promise<Message | null>, Promise<Message | null>];
  readonly state: { ours: boolean; kafka: boolean };
}

/** Of the names in the steps all begin with `prefix`. */
export async function runTranscript(
  steps: readonly Step[],
  prefix: string,
  { ours, kafka }: Ports,
  judge: Judge,
): Promise<Outcome> {
  const run = new Run(new Side(ours, prefix), new Side(kafka, prefix), judge);
  try {
    return await run.all(steps);
  } finally {
    run.close();
  }
}

class Run {
  readonly #ours: Side;
  readonly #kafka: Side;
  readonly #judge: Judge;
  readonly #held = new Map<string, Held>();
  #asked = 0;

  constructor(ours: Side, kafka: Side, judge: Judge) {
    this.#ours = ours;
    this.#kafka = kafka;
    this.#judge = judge;
  }

  close(): void {
    this.#ours.close();
    this.#kafka.close();
  }

  async all(steps: readonly Step[]): Promise<Outcome> {
    for (const [index, step] of steps.entries()) {
      // Its connection still waits.
      if (this.#held.has(step.on)) continue;
      for (const problem of [await this.#take(step, index), await this.#takeHeld()])
        if (problem !== null) return { asked: this.#asked, ...problem };
    }
    return { asked: this.#asked, endedAt: null, found: [] };
  }

  async #take(step: Step, index: number): Promise<Omit<Outcome, "asked"> | null> {
    const state = { ours: false, kafka: false };
    const answers = [
      this.#ours.ask(step).finally(() => {
        state.ours = true;
      }),
      this.#kafka.ask(step).finally(() => {
        state.kafka = true;
      }),
    ] as const;
    const held: Held = { step, index, answers, state };
    const mayWait = step.api === joinGroup || step.api === syncGroup;
    if (mayWait) {
      await within(heldMs, Promise.race(answers));
      if (!state.ours && !state.kafka) {
        this.#held.set(step.on, held);
        return null;
      }
    }
    return await this.#compare(held);
  }

  async #takeHeld(): Promise<Omit<Outcome, "asked"> | null> {
    for (const held of this.#held.values()) {
      if (!held.state.ours && !held.state.kafka) continue;
      this.#held.delete(held.step.on);
      const problem = await this.#compare(held);
      if (problem !== null) return problem;
    }
    return null;
  }

  async #compare({ step, index, answers, state }: Held): Promise<Omit<Outcome, "asked"> | null> {
    await within(patienceMs, Promise.all(answers));
    const request = step.request(this.#ours.seen) as Message;
    if (!state.ours || !state.kafka) {
      const waits = (answered: boolean) => (answered ? "answers" : "waits");
      return this.#judged(index, [
        { step, request, answer: null, place: "", ours: waits(state.ours), kafkas: waits(state.kafka) },
      ]);
    }
    const [ours, kafkas] = await Promise.all(answers);
    this.#asked++;
    // Kafka tells ids of topics that it was only asked about, and forgets them.
    const isKept = request.validateOnly !== true;
    if (ours && isKept) this.#ours.seen.add(step.name, ours);
    if (kafkas && isKept) {
      this.#kafka.seen.add(step.name, kafkas);
      await this.#kafka.settle(step, kafkas);
    }
    // Kafka has done a part of it already (aborted what was open, gone on in the session) when it was asked again.
    const isHalf = step.api === initProducerId || step.api === fetch;
    if (isHalf && this.#kafka.asksOfLast > 1) return { endedAt: index, found: [] };
    const mine = shown(this.#ours, step, ours);
    let found = differencesBetween(mine, shown(this.#kafka, step, kafkas));
    // In a session the same request is another one the second time.
    const isRepeatable = reading.test(step.api.name) && !((request.sessionEpoch as number) > 0);
    for (let tries = 0; found.length > 0 && isRepeatable && tries < lagTries; tries++) {
      if (found.every((one) => this.#judge({ ...one, step, request, answer: kafkas }) === "known")) break;
      await systemClock.sleep(lagMs);
      found = differencesBetween(mine, shown(this.#kafka, step, await this.#kafka.ask(step)));
    }
    return this.#judged(
      index,
      found.map((one) => ({ ...one, step, request, answer: kafkas })),
    );
  }

  #judged(index: number, found: readonly Found[]): Omit<Outcome, "asked"> | null {
    const verdicts = found.map((one) => this.#judge(one));
    // The rest of such an answer follows from it.
    if (verdicts.includes("ends")) return { endedAt: index, found: [] };
    const bad = found.filter((_, at) => verdicts[at] === "different");
    return bad.length > 0 ? { endedAt: index, found: bad } : null;
  }
}

function shown(side: Side, step: Step, response: Message | null): unknown {
  if (response === null) return "closed";
  const own = step.api === listGroups ? ownGroups(side, response) : response;
  return side.comparable.message(step.api, own as never);
}

/** Those of other transcripts are left out. */
function ownGroups({ prefix }: Side, response: Message): Message {
  const groups = response.groups as readonly { readonly groupId: string }[];
  return { ...response, groups: groups.filter(({ groupId }) => groupId.startsWith(prefix)) };
}

async function within(limitMs: number, promise: Promise<unknown>): Promise<void> {
  let cancel = () => {};
  const over = new Promise<void>((resolve) => {
    const timer = systemClock.after(limitMs, resolve);
    cancel = () => timer.cancel();
  });
  await Promise.race([promise.catch(() => undefined), over]);
  cancel();
}
