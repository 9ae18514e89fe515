/** A step of the tour: what a user does with a client, and the outcome that is the same wherever it is done. */
import { systemClock } from "../../../src/base/clock.ts";
import { type Arguments, type Client, type Json, Refused, unsupported } from "./client.ts";

export interface Step {
  /** A sentence, and the step's name in the list of known differences. */
  readonly name: string;
  run(tour: Tour): Promise<Json>;
}

/** The answer to what this client has no operation for. */
export const cannot = "this client cannot";

const patienceMs = 5_000;

export class Tour {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** An error is an outcome too: `{ error: "its name" }`. */
  async ask(operation: string, args: Arguments = {}): Promise<Json> {
    try {
      return await this.#client.run(operation, args);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.error === unsupported) return cannot;
      if (process.env.MILLRACE_CONFORMANCE_WORDS) console.error(`  ${operation}: ${error.message}`);
      return { error: error.error };
    }
  }

  /** Several one after the other; the outcome is the list of their answers. */
  async all(...asked: readonly (readonly [operation: string, args?: Arguments])[]): Promise<Json[]> {
    const answers: Json[] = [];
    for (const [operation, args] of asked) answers.push(await this.ask(operation, args));
    return answers;
  }

  /** As `all`, but nothing is asked any more after what the client cannot. */
  async chain(...asked: readonly (readonly [operation: string, args?: Arguments])[]): Promise<Json[]> {
    const answers: Json[] = [];
    for (const [operation, args] of asked) {
      answers.push(await this.ask(operation, args));
      if (answers.at(-1) === cannot) break;
    }
    return answers;
  }

  /** Asks again until the answer is good, since what was changed may be seen a moment later; then the last answer. */
  async until(operation: string, args: Arguments, good: (answer: Json) => boolean): Promise<Json> {
    const deadline = systemClock.monotonicMs() + patienceMs;
    for (;;) {
      const answer = await this.ask(operation, args);
      if (answer === cannot || good(answer) || systemClock.monotonicMs() > deadline) return answer;
      await systemClock.sleep(25);
    }
  }

  /** A broker makes what groups and transactions need when it is first asked, and not every client waits for that. */
  async warmUp(): Promise<void> {
    const fine = (answer: Json) => errorOf(answer) === undefined;
    const topic = "warm";
    await this.makeTopic(topic);
    await this.until("consumerOpen", { name: "warm", group: "warm", topics: [topic] }, fine);
    await this.ask("consumerAssigned", { name: "warm", count: 1 });
    await this.ask("consumerClose", { name: "warm" });
    await this.until("deleteGroup", { group: "warm" }, fine);
    await this.ask("deleteTopic", { topic });
    await this.until("listTopics", {}, (answer) => !Array.isArray(answer) || !answer.includes(topic));
    await this.until("transactionOpen", { name: "warm", transactionalId: "warm" }, fine);
    await this.ask("transactionClose", { name: "warm" });
  }

  /** Resolves when the topic can be used. */
  async makeTopic(topic: string, more: Arguments = {}): Promise<Json> {
    const args = { topic, partitions: 1, replicationFactor: 1, ...more };
    const made = await this.ask("createTopic", { ...args, prepare: true });
    const partitions = (more.partitions as number | undefined) ?? 1;
    await this.until("describeTopic", { topic }, (answer) => partitionsOf(answer) === partitions);
    for (let partition = 0; partition < partitions; partition++) {
      const led = (answer: Json) => errorOf(answer) === undefined;
      await this.until("listOffset", { topic, partition, at: "latest" }, led);
    }
    return made;
  }
}

/** There was something that the client cannot, and no answer besides. */
export function saysNothing(outcome: Json): boolean {
  const parts = [outcome].flat(9) as Json[];
  return parts.includes(cannot) && parts.every((part) => part === cannot || part === null);
}

export function partitionsOf(answer: Json): number {
  const partitions = (answer as { partitions?: unknown } | null)?.partitions;
  return Array.isArray(partitions) ? partitions.length : 0;
}

export function errorOf(answer: Json): string | undefined {
  return (answer as { error?: string } | null)?.error;
}
