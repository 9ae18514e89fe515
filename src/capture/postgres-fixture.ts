/** For tests: a PostgreSQL database, a log on a simulated disk, and sources between the two. */
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { type Diagnostics, silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom, systemRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { type PostgresOptions, postgres } from "../catalog/definitions.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import type { StoredRecord } from "../records/record.ts";
import type { EventEncodingName } from "../schema/registry/event-encoding.ts";
import type { TransactionEvent } from "../schema/transaction-events.ts";
import { openPostgresSource, type PostgresSourceOptions } from "./postgres.ts";
import { SchemaHouseFixture } from "./schema-house.fixture.ts";
import { soon } from "./source.suite.ts";
import type { Source } from "./source.ts";

type Tables =
  | PostgresOptions<readonly string[]>["tables"]
  | readonly { name: string; appendOnly?: boolean; topic?: string }[];

interface Given {
  readonly url?: string;
  readonly encoding?: EventEncodingName;
}

export class PostgresFixture {
  readonly database: TestDatabase;
  /** For changes from outside. */
  readonly client: pg.Client;
  /** Of sources whose events are not JSON. */
  readonly house = new SchemaHouseFixture();
  /** Of its sources, unless they say another. */
  encoding: EventEncodingName = "json";
  disk: SimulatedDisk;
  engine: Engine;
  readonly #sources: Source[] = [];
  readonly #clients: pg.Client[] = [];

  private constructor(database: TestDatabase, client: pg.Client, disk: SimulatedDisk, engine: Engine) {
    this.database = database;
    this.client = client;
    this.disk = disk;
    this.engine = engine;
  }

  static async open(sql = "", given?: TestDatabase): Promise<PostgresFixture> {
    const database = given ?? (await testDatabase());
    const client = await connectTo(database.url);
    if (sql !== "") await client.query(sql);
    const disk = new SimulatedDisk(seededRandom(11));
    return new PostgresFixture(database, client, disk, await openLog(disk));
  }

  async sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]> {
    return (await this.client.query(text, values)).rows;
  }

  /** One more connection, closed with the fixture. */
  async connect(url = this.database.url): Promise<pg.Client> {
    const client = await connectTo(url);
    this.#clients.push(client);
    return client;
  }

  /** Started. */
  source(tables: Tables, more: Partial<PostgresSourceOptions> & Given = {}): Source {
    const { url = this.database.url, encoding = this.encoding } = more;
    const definition = postgres("shop", { url, encoding, tables: tables as readonly string[] });
    const source = openPostgresSource({
      definition,
      engine: this.engine,
      clock: fastClock,
      random: systemRandom,
      diagnostics: silentDiagnostics,
      disk: this.disk,
      spillDirectory: "/data/spill",
      mode: "dev",
      schemas: this.house,
      ...more,
    });
    this.#sources.push(source);
    source.start();
    return source;
  }

  /** Keys and values as JSON, whatever the source's encoding. */
  async read(topic: string, partition = 0): Promise<StoredRecord[]> {
    const inJson = (bytes: Buffer | null) => {
      const reading = bytes && this.house.wire.read(bytes);
      if (reading?.ok === false) throw new Error(reading.reason);
      return reading ? Buffer.from(reading.json) : bytes;
    };
    return (await this.stored(topic, partition)).map((record) => {
      return { ...record, key: inJson(record.key), value: inJson(record.value) };
    });
  }

  async stored(topic: string, partition = 0): Promise<StoredRecord[]> {
    const all: StoredRecord[] = [];
    for (let offset = 0; ; ) {
      const result = await this.engine.read({
        topic,
        partition,
        offset,
        isolation: "read_committed",
        bytesMax: 1024 * 1024,
      });
      if (result.batches.length === 0) return all;
      all.push(...decodeCommitted(result, offset));
      offset = nextOffsetOf(result, offset);
    }
  }

  async events(): Promise<TransactionEvent[]> {
    return (await this.read("shop.transaction")).map(({ value }) => JSON.parse(String(value)) as TransactionEvent);
  }

  /** The values of a topic as JSON; null for tombstones. */
  async values(topic: string): Promise<Envelope[]> {
    return (await this.read(topic)).map(({ value }) =>
      value === null ? null : JSON.parse(String(value)),
    ) as Envelope[];
  }

  /** A source that has captured what was committed up to now. */
  async running(tables: Tables, more: Partial<PostgresSourceOptions> & Given = {}): Promise<Source> {
    const source = this.source(tables, more);
    await this.caughtUp(source);
    return source;
  }

  /** Everything that was committed up to now is in the log, and no table is being read. */
  async caughtUp(source: Source): Promise<void> {
    await until(source, (state) => state === "streaming");
    await source.catchUp();
    while (source.status().reading.length > 0) {
      await soon();
      await until(source, (state) => state === "streaming");
    }
  }

  /** The power is cut; the log is opened again as it survived. */
  async cutPower(): Promise<void> {
    this.disk.cut();
    await Promise.all(this.#sources.splice(0).map((source) => source.stop()));
    await this.engine.close().catch(() => {});
    this.disk = this.disk.survivor();
    this.engine = await openLog(this.disk);
  }

  /** The log is closed and opened again. */
  async restart(): Promise<void> {
    await Promise.all(this.#sources.splice(0).map((source) => source.stop()));
    await this.engine.close();
    this.engine = await openLog(this.disk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sources.splice(0).map((source) => source.stop()));
    await this.engine.close().catch(() => {});
    for (const client of [this.client, ...this.#clients]) await client.end().catch(() => {});
    await this.database[Symbol.asyncDispose]();
  }
}

export interface Envelope {
  readonly op: string;
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly source: Record<string, unknown>;
  readonly transaction: Record<string, unknown> | null;
}

/** Pauses between tries pass at once; nothing else waits. */
const fastClock: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) => systemClock.sleep(Math.min(delayMs, 5), signal),
};

/** Resolves when the state is as wanted. Throws the error of a state that nothing leads out of, unless it is wanted. */
export async function until(source: Source, wanted: (state: string) => boolean): Promise<Source> {
  for (;;) {
    const { state } = source.status();
    if (wanted(state.kind)) return source;
    if (state.kind === "failed") throw state.error;
    await soon();
  }
}

/** The error that the source fails with. */
export async function failure(
  source: Source,
): Promise<Extract<ReturnType<Source["status"]>["state"], { kind: "failed" }>["error"]> {
  await until(source, (state) => state === "failed" || state === "streaming");
  const { state } = source.status();
  if (state.kind !== "failed") throw new Error("the source streams");
  return state.error;
}

/** Resolves when a source that had failed streams. */
export async function recovered(source: Source): Promise<void> {
  while (source.status().state.kind !== "streaming") await soon();
}

export function remembering(): { diagnostics: Diagnostics; said: string[] } {
  const said: string[] = [];
  const say = (message: string, fields?: Readonly<Record<string, unknown>>) => {
    said.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  const diagnostics: Diagnostics = { debug: say, info: say, warn: say, error: say, child: () => diagnostics };
  return { diagnostics, said };
}

async function connectTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  return client;
}

function openLog(disk: SimulatedDisk): Promise<Engine> {
  return openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock: systemClock,
    random: seededRandom(12),
    diagnostics: silentDiagnostics,
  });
}
