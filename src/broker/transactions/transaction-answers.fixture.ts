/** The answers about transactions on a real log on a simulated disk; requests and answers go through their bytes. */
import assert from "node:assert/strict";
import type { NounKind, Verb } from "../../access/access-rules.ts";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { producerBatch } from "../../engine/engine.fixture.ts";
import type { ProducerIdentity, TransactionVersion } from "../../engine/engine.ts";
import type { Api, RequestInput, ResponseInput, ResponseOf } from "../../kafka/fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  frameLengthBytes,
  readRequestHeader,
} from "../../kafka/frames.ts";
import type { Answer, RequestContext } from "../handler.ts";
import { transactionAnswers } from "./transaction-answers.ts";

type Allows = (verb: Verb, kind: NounKind, name: string) => boolean;

export class TransactionAsker {
  readonly engine: EmbeddedEngine;
  readonly clock: VirtualClock;
  allows: Allows = () => true;
  readonly #answers: ReadonlyMap<number, Answer>;

  private constructor(engine: EmbeddedEngine, clock: VirtualClock) {
    this.engine = engine;
    this.clock = clock;
    this.#answers = new Map(transactionAnswers({ engine, clock }).map((answer) => [answer.api.key, answer]));
  }

  static async open(): Promise<TransactionAsker> {
    const random = seededRandom(1);
    const clock = new VirtualClock();
    const disk = new SimulatedDisk(random);
    const tools = { disk, directory: "/log", clock, random, diagnostics: silentDiagnostics };
    const asker = new TransactionAsker(await openEmbeddedEngine(tools), clock);
    await asker.engine.createTopic("t", { partitions: 3 });
    return asker;
  }

  async ask<A extends Api>(api: A, version: number, request: RequestInput<A>): Promise<ResponseOf<A>> {
    const answer = this.#answers.get(api.key);
    assert.ok(answer);
    const frame = Buffer.concat(encodeRequestFrame(api, version, 1, "test", request)).subarray(frameLengthBytes);
    const decoded = decodeRequest(api, version, frame, readRequestHeader(frame).bodyPosition);
    const context = { apiVersion: version, allows: (...args: Parameters<Allows>) => this.allows(...args) };
    const response = (await answer.handle(decoded, context as RequestContext)) as ResponseInput<A>;
    const bytes = Buffer.concat(encodeResponseFrame(api, version, 1, response)).subarray(frameLengthBytes);
    return decodeResponseFrame(api, version, bytes).response;
  }

  async send(producer: ProducerIdentity, sequence: number, partition = 0, version: TransactionVersion = 2) {
    const batch = producerBatch({ ...producer, sequence, transactional: true }, `${partition} ${sequence}`);
    return await this.engine.append({ topic: "t", partition, batch, transactionVersion: version });
  }
}

/** What everybody may do, but for these. */
export function allBut(...refused: readonly `${Verb} ${NounKind} ${string}`[]): Allows {
  return (verb, kind, name) => !refused.some((rule) => rule === `${verb} ${kind} ${name}`);
}
