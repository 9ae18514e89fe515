/** The coordinator of KIP-848 groups on the real log, on a simulated disk that can fail. */
import assert from "node:assert/strict";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { nextTurn } from "../../base/turn.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import { type ConsumerCoordinatorSettings, ConsumerGroupCoordinator } from "./consumer-group-coordinator.ts";
import type { ConsumerErrorName, ConsumerHeartbeat, HeartbeatAnswer } from "./consumer-heartbeat.ts";
import { GroupDirectory } from "./group-directory.ts";

/** Small files, so that a start costs little. */
const limits = { journalFileBytes: 64 * 1024, diskReserveBytes: 0 };

export class CoordinatorFixture {
  readonly clock = new VirtualClock();
  /** One for all starts: a second topic would otherwise get the id of the first. */
  readonly #random = seededRandom(2);
  disk = new SimulatedDisk(seededRandom(1));
  readonly settings: Partial<ConsumerCoordinatorSettings>;
  engine!: EmbeddedEngine;
  directory!: GroupDirectory;
  coordinator!: ConsumerGroupCoordinator;
  /** Of groups into the log. */
  writes = 0;
  /** What a write of a group waits for, and may fail with. */
  beforeWrite: () => Promise<void> = async () => {};
  maySee: (topic: string) => boolean = () => true;

  private constructor(settings: Partial<ConsumerCoordinatorSettings>) {
    this.settings = { assignmentIntervalMs: 0, ...settings };
  }

  static async open(
    topics: Readonly<Record<string, number>>,
    settings: Partial<ConsumerCoordinatorSettings> = {},
  ): Promise<CoordinatorFixture> {
    const fixture = new CoordinatorFixture(settings);
    await fixture.start();
    for (const [name, partitions] of Object.entries(topics)) await fixture.engine.createTopic(name, { partitions });
    fixture.directory.topicsChanged();
    return fixture;
  }

  async start(): Promise<void> {
    const { clock, disk, settings } = this;
    const diagnostics = silentDiagnostics;
    this.engine = await openEmbeddedEngine({
      disk,
      directory: "/log",
      clock,
      random: this.#random,
      diagnostics,
      limits,
    });
    const { offsets } = this.engine.groups;
    const put = offsets.putMetadata.bind(offsets);
    offsets.putMetadata = async (group: string, metadata: GroupMetadata) => {
      this.writes++;
      await this.beforeWrite();
      await put(group, metadata);
    };
    this.directory = new GroupDirectory({ hasMembers: () => false });
    const { engine, directory } = this;
    this.coordinator = new ConsumerGroupCoordinator({
      engine,
      directory,
      clock,
      random: this.#random,
      diagnostics,
      settings,
    });
    await directory.load(offsets);
  }

  /** The power is cut: what was not durable is gone, and who waits for an answer waits for ever. */
  async cutPower(): Promise<void> {
    this.disk.cut();
    await this.coordinator.close();
    await this.engine.close().catch(() => {});
    this.disk = this.disk.survivor();
    await this.start();
  }

  /** In order. */
  async restart(): Promise<void> {
    await this.coordinator.close();
    await this.engine.close();
    await this.start();
  }

  async createTopic(name: string, partitions: number): Promise<void> {
    await this.engine.createTopic(name, { partitions });
    this.directory.topicsChanged();
  }

  async send(groupId: string, heartbeat: ConsumerHeartbeat, apiVersion = 1): Promise<HeartbeatAnswer> {
    const answer = await this.coordinator.heartbeat(groupId, heartbeat, apiVersion, this.maySee);
    return answer.outcome === "answered" ? answer : assert.fail(`${answer.error}: ${answer.message}`);
  }

  async refused(groupId: string, heartbeat: ConsumerHeartbeat): Promise<ConsumerErrorName> {
    const answer = await this.coordinator.heartbeat(groupId, heartbeat, 1, this.maySee);
    return answer.outcome === "refused" ? answer.error : assert.fail(`answered ${JSON.stringify(answer)}`);
  }

  /** `a/0 b/2`, with topics by name. */
  shown({ assignment }: HeartbeatAnswer): string | null {
    if (!assignment) return null;
    const all = [...assignment].flatMap(([topicId, list]) =>
      list.map((partition) => `${this.engine.topicById(topicId)?.name}/${partition}`),
    );
    return all.sort().join(" ");
  }

  /** Time passes, and what follows from it has its turns. */
  async advance(byMs: number): Promise<void> {
    await this.clock.advance(byMs);
    for (let i = 0; i < 10; i++) await nextTurn();
  }
}
