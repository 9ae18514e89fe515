/** The answers about groups on a real log on a simulated disk: requests and responses go through their bytes. */
import assert from "node:assert/strict";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { nextTurn } from "../../base/turn.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { joinGroup } from "../../kafka/apis/join-group.ts";
import { syncGroup } from "../../kafka/apis/sync-group.ts";
import type { Api, RequestInput, ResponseOf } from "../../kafka/fields.ts";
import {
  decodeRequest,
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  readRequestHeader,
} from "../../kafka/frames.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { Answer, RequestContext } from "../handler.ts";
import { openSession } from "../session.ts";
import { groupAnswers } from "./group-answers.ts";
import { GroupCoordinator } from "./group-coordinator.ts";
import { GroupDirectory } from "./group-directory.ts";

/** Small files, so that a start costs little. */
const limits = { journalFileBytes: 64 * 1024, diskReserveBytes: 0 };

export class GroupBench {
  clock = new VirtualClock();
  disk = new SimulatedDisk(seededRandom(1));
  engine!: EmbeddedEngine;
  directory!: GroupDirectory;
  coordinator!: GroupCoordinator;
  /** `read group g`: what is not allowed. */
  readonly forbidden = new Set<string>();
  #answers: Answer[] = [];
  #correlationId = 0;

  /** With the topic `orders` of three partitions. */
  static async open(): Promise<GroupBench> {
    const bench = new GroupBench();
    await bench.#start();
    await bench.engine.createTopic("orders", { partitions: 3 });
    return bench;
  }

  async restart(): Promise<void> {
    await this.close();
    await this.#start();
  }

  /** What was not durable is gone, and nobody is told. */
  async cutPower(): Promise<void> {
    this.disk = this.disk.survivor();
    // The timers of those that are gone go with their clock.
    this.clock = new VirtualClock(this.clock.now());
    await this.#start();
  }

  async close(): Promise<void> {
    await this.coordinator.close();
    await this.engine.close();
  }

  async advance(byMs: number): Promise<void> {
    await this.clock.advance(byMs);
    // The log's own turns.
    for (let i = 0; i < 10; i++) await nextTurn();
  }

  async ask<A extends Api>(api: A, version: number, request: RequestInput<A>): Promise<ResponseOf<A>> {
    const correlationId = ++this.#correlationId;
    const frame = Buffer.concat(encodeRequestFrame(api, version, correlationId, "client", request)).subarray(4);
    const header = readRequestHeader(frame);
    const answer = this.#answers.find((one) => one.api.key === api.key) ?? assert.fail(`nobody answers ${api.name}`);
    const decoded = decodeRequest(api, header.apiVersion, frame, header.bodyPosition);
    const response = await answer.handle(decoded, this.#contextOf(header.apiVersion, correlationId));
    // What is kept of a request must not be a view of its frame.
    frame.fill(0xee);
    const answered = Buffer.concat(encodeResponseFrame(api, version, correlationId, response as never)).subarray(4);
    return decodeResponseFrame(api, version, answered).response;
  }

  /** Members that join together: the last of the answers has come when it resolves. */
  async joined(groupId: string, members: readonly Partial<RequestInput<typeof joinGroup>>[], version = 5) {
    const asked = members.map((member) => this.join(groupId, member, version));
    for (let i = 0; i < 4; i++) await this.advance(3_000);
    return await Promise.all(asked);
  }

  /** Joins again with the id that it is told to. */
  async join(groupId: string, member: Partial<RequestInput<typeof joinGroup>> = {}, version = 5) {
    const request = {
      groupId,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 30_000,
      memberId: "",
      protocolType: "consumer",
      protocols: [{ name: "range", metadata: subscription("orders") }],
      ...member,
    };
    const answer = await this.ask(joinGroup, version, request);
    if (answer.errorCode !== kafkaErrors.MEMBER_ID_REQUIRED) return answer;
    return await this.ask(joinGroup, version, { ...request, memberId: answer.memberId });
  }

  /** A stable group of so many members; each has its own id as its assignment. */
  async stable(
    groupId: string,
    members: readonly Partial<RequestInput<typeof joinGroup>>[] = [{}],
  ): Promise<{ readonly generationId: number; readonly ids: readonly string[] }> {
    const answers = await this.joined(groupId, members);
    const generationId = answers[0]?.generationId ?? -1;
    const ids = answers.map(({ memberId }) => memberId);
    const leaderId = answers[0]?.leader ?? "";
    await Promise.all(
      ids.map(async (memberId) => {
        const assignments =
          memberId === leaderId ? ids.map((id) => ({ memberId: id, assignment: Buffer.from(id) })) : [];
        const { errorCode, assignment } = await this.ask(syncGroup, 3, {
          groupId,
          generationId,
          memberId,
          assignments,
        });
        assert.deepEqual([errorCode, assignment.toString()], [0, memberId]);
      }),
    );
    return { generationId, ids };
  }

  async #start(): Promise<void> {
    const { clock, disk } = this;
    const tools = { clock, random: seededRandom(2), diagnostics: silentDiagnostics };
    this.engine = await openEmbeddedEngine({ ...tools, disk, directory: "/data/log", limits });
    const { groups } = this.engine;
    this.directory = new GroupDirectory(groups);
    this.coordinator = new GroupCoordinator({ ...tools, offsets: groups.offsets, directory: this.directory });
    await this.directory.load(groups.offsets);
    this.#answers = groupAnswers({
      engine: this.engine,
      node: { endpoint: () => ({ host: "broker", port: 9092 }) },
      coordinator: this.coordinator,
      directory: this.directory,
    });
  }

  #contextOf(apiVersion: number, correlationId: number): RequestContext {
    return {
      apiVersion,
      correlationId,
      clientId: "client",
      principal: "User:ANONYMOUS",
      address: "127.0.0.1",
      listener: "PLAINTEXT",
      localAddress: "127.0.0.1",
      signal: new AbortController().signal,
      session: openSession("User:ANONYMOUS"),
      allows: (verb: string, kind: string, name: string) => !this.forbidden.has(`${verb} ${kind} ${name}`),
      afterSent: () => undefined,
      throttle: () => undefined,
      closeAfter: () => undefined,
    } as RequestContext;
  }
}

/** As consumers write theirs, version 1. */
export function subscription(...topics: string[]): Buffer {
  const parts = [Buffer.from([0, 1]), int32(topics.length)];
  for (const topic of topics) parts.push(Buffer.from([0, topic.length]), Buffer.from(topic));
  return Buffer.concat([...parts, int32(-1), int32(0)]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
