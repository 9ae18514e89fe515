/** For tests of publishing: a group made by hand (`reader-fixture.ts`), a log on a simulated disk, and publishers between them. */
import assert from "node:assert/strict";
import pg from "pg";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { nextTurn } from "../base/turn.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { Publication } from "../catalog/publishing.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import { unitOfPublisher } from "../ownership/become-owner.ts";
import { ProgressTable } from "../ownership/progress-table.ts";
import type { StoredRecord } from "../records/record.ts";
import type { ReaderLimits } from "../views/reader.ts";
import { column, type FixtureRow, type GroupFixture } from "../views/reader-fixture.ts";
import type { GroupPosition, ViewsReader } from "../views/view-info.ts";
import type { PublicationInfo } from "./publication-info.ts";
import type { PublisherProgress } from "./published-topic.ts";
import type { PublisherOptions } from "./publisher.ts";
import { Publishers } from "./publishers.ts";
import { batchHeader } from "./topic-writer.ts";

export const cardColumns = [column("id", "integer"), column("text", "text", true)];

/** Puts something between a part and those who use it. */
export interface Wraps {
  readonly engine?: (engine: Engine) => Engine;
  readonly reader?: (reader: ViewsReader) => ViewsReader;
}

/** Rows by key, as JSON texts. */
export type Rows = ReadonlyMap<string, string>;

export class PublishHouse implements AsyncDisposable {
  readonly fixture: GroupFixture;
  disk: SimulatedDisk;
  engine: Engine;
  publishers: Publishers;
  readonly clock = new VirtualClock();
  progress: ProgressTable;
  readonly #reader: ViewsReader;
  readonly #wraps: Wraps;
  readonly #misfitOf: PublisherOptions["misfitOf"];

  private constructor(
    fixture: GroupFixture,
    reader: ViewsReader,
    options: HouseOptions,
    opened: Awaited<ReturnType<typeof openLog>>,
  ) {
    this.fixture = fixture;
    this.#reader = reader;
    this.#wraps = options.wraps ?? {};
    this.#misfitOf = options.misfitOf ?? (() => null);
    this.disk = opened.disk;
    this.engine = opened.engine;
    this.progress = opened.progress;
    this.publishers = this.#open();
  }

  static async open(fixture: GroupFixture, options: HouseOptions = {}): Promise<PublishHouse> {
    const reader = fixture.reader(options.limits);
    const disk = new SimulatedDisk(seededRandom(options.seed ?? 1));
    return new PublishHouse(fixture, reader, options, await openLog(disk));
  }

  /** The disk as a power cut leaves it, and everything opened again on it. */
  async restart(): Promise<void> {
    await this.publishers.close();
    await this.progress.close().catch(() => {});
    await this.engine.close().catch(() => {});
    const opened = await openLog(this.disk.survivor());
    this.disk = opened.disk;
    this.engine = opened.engine;
    this.progress = opened.progress;
    this.publishers = this.#open();
  }

  /** Until the topic has everything, or the disk is gone. Pauses cost no time. */
  async settled(view: string): Promise<PublicationInfo> {
    for (;;) {
      const info = this.infoOf(view);
      const at = info.position;
      const now = this.fixture.group.position();
      const isThere = at?.generation === now.generation && at.batch === now.batch;
      if ((isThere && info.state.kind === "publishing") || this.disk.isOff) return info;
      if (info.state.kind === "stopped") return info;
      if (info.state.kind === "waiting") await this.clock.advance(info.state.retryAtMs - this.clock.now());
      await nextTurn();
    }
  }

  /** Until it waits for something, or has stopped. */
  async refused(view: string): Promise<PublicationInfo> {
    for (;;) {
      const info = this.infoOf(view);
      if (info.state.kind === "waiting" || info.state.kind === "stopped") return info;
      await nextTurn();
    }
  }

  infoOf(view: string): PublicationInfo {
    return this.publishers.of(view) ?? assert.fail(`${view} is not published`);
  }

  async rows(view: string): Promise<Rows> {
    const { pages } = await this.#reader.snapshot(view, null);
    const rows = new Map<string, string>();
    for await (const page of pages) for (const row of page) rows.set(String(JSON.parse(row).id), row);
    return rows;
  }

  /** What a reader of committed records finds, by partition. */
  async records(topic: string): Promise<StoredRecord[][]> {
    const partitions = this.engine.topic(topic)?.settings.partitions ?? assert.fail(`there is no topic ${topic}`);
    return await Promise.all(Array.from({ length: partitions }, (_, i) => recordsOf(this.engine, topic, i)));
  }

  /** The last value of each key, less those that are gone. */
  async folded(topic: string): Promise<Rows> {
    const rows = new Map<string, string>();
    for (const { key, value } of (await this.records(topic)).flat()) {
      if (value === null) rows.delete(String(key));
      else rows.set(String(key), String(value));
    }
    return rows;
  }

  /** As the log has it by now. */
  async positionOf(topic: string): Promise<(GroupPosition & PublisherProgress) | null> {
    await this.progress.readToEnd();
    const { progress } = this.progress.unit(unitOfPublisher(topic));
    const isOne = typeof progress === "object" && progress !== null && "batch" in progress;
    return isOne ? (progress as PublisherProgress) : null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publishers.close();
    this.#reader.close();
    await this.engine.close().catch(() => {});
  }

  #open(): Publishers {
    const { engine = (one: Engine) => one, reader = (one: ViewsReader) => one } = this.#wraps;
    return new Publishers({
      engine: engine(this.engine),
      clock: this.clock,
      diagnostics: silentDiagnostics,
      progress: this.progress,
      reader: reader(this.#reader),
      store: { connect: () => connect(this.fixture) },
      misfitOf: this.#misfitOf,
    });
  }
}

export interface HouseOptions {
  readonly seed?: number;
  readonly limits?: Partial<ReaderLimits>;
  readonly wraps?: Wraps;
  readonly misfitOf?: PublisherOptions["misfitOf"];
}

export function publication(view: string, topic: string, settings: Publication["settings"] = {}): Publication {
  return { view, topic, settings: { cleanup: "compact", ...settings } };
}

export function card(id: number, text: string | null = `card ${id}`): FixtureRow {
  return { id, text };
}

/** The batch that a record names. */
export function batchOf({ headers }: StoredRecord): string {
  return String(headers.find(({ key }) => key === batchHeader)?.value);
}

/** Another object with some members in place of its own. */
export function proxied<T extends object>(target: T, members: object): T {
  return new Proxy(target, {
    get(of, name) {
      const value = Reflect.get(name in members ? members : of, name);
      return typeof value === "function" && !(name in members) ? value.bind(of) : value;
    },
  });
}

async function openLog(disk: SimulatedDisk) {
  const random = seededRandom(3);
  const clock = new VirtualClock();
  const engine = await openEmbeddedEngine({
    disk,
    directory: "/log",
    clock,
    random,
    diagnostics: silentDiagnostics,
  });
  return { disk, engine, progress: await ProgressTable.open({ engine, clock }) };
}

async function connect({ pool }: GroupFixture): Promise<pg.Client> {
  const client = new pg.Client(pool.options);
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function recordsOf(engine: Engine, topic: string, partition: number): Promise<StoredRecord[]> {
  const { logStart, lastStable } = await engine.offsets(topic, partition);
  const records: StoredRecord[] = [];
  for (let offset = logStart; offset < lastStable; ) {
    const place = { topic, partition, offset, isolation: "read_committed", bytesMax: 1 << 20 } as const;
    const result = await engine.read(place);
    // The bytes are the log's only until the next read.
    for (const { key, value, ...record } of decodeCommitted(result, offset)) {
      records.push({ ...record, key: key && Buffer.from(key), value: value && Buffer.from(value) });
    }
    offset = nextOffsetOf(result, offset);
  }
  return records;
}
