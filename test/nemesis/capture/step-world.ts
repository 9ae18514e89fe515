/** A source in this process between a real server and a log on a simulated disk, with a network that can be cut. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type pg from "pg";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { seededRandom, systemRandom } from "../../../src/base/random.ts";
import { SimulatedDisk } from "../../../src/base/simulated-disk.ts";
import { openPostgresSource } from "../../../src/capture/postgres.ts";
import type { Source } from "../../../src/capture/source.ts";
import { postgres } from "../../../src/catalog/definitions.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { type JudgedTable, judgeCapture, type Verdict } from "../../support/capture-judge.ts";
import { CuttingProxy } from "../../support/cutting-proxy.ts";
import { KillablePostgres } from "../../support/killable-postgres.ts";
import { judgedLog } from "./log-reader.ts";
import { judgedTables, makeSource, openAudit, printedRows } from "./source.ts";

/** So small that a large transaction is streamed, spilled, and appended in many parts. */
const sizes = { chunkBytes: 16 * 1024, partBytes: 32 * 1024, batchBytes: 8 * 1024, spoolBytes: 32 * 1024 };

/** Pauses between tries pass at once. */
const fastClock: Clock = {
  ...systemClock,
  sleep: (delayMs, signal) => systemClock.sleep(Math.min(delayMs, 5), signal),
};

export const stepServer = (settings: Readonly<Record<string, string>> = {}): Promise<KillablePostgres> =>
  KillablePostgres.start({
    settings: { logical_decoding_work_mem: "'64kB'", max_replication_slots: "40", ...settings },
  });

export class StepWorld {
  readonly server: KillablePostgres;
  readonly proxy: CuttingProxy;
  readonly database: string;
  disk: SimulatedDisk;
  engine: Engine;
  source: Source | null = null;
  #logs = 0;

  private constructor(
    server: KillablePostgres,
    proxy: CuttingProxy,
    database: string,
    disk: SimulatedDisk,
    engine: Engine,
  ) {
    this.server = server;
    this.proxy = proxy;
    this.database = database;
    this.disk = disk;
    this.engine = engine;
  }

  /** With a database of its own on the server. */
  static async open(server: KillablePostgres, rows: number): Promise<StepWorld> {
    const name = `steps_${randomBytes(4).toString("hex")}`;
    await server.query(`create database ${name}`);
    const database = server.url.replace(/postgres$/, name);
    const target = { host: "127.0.0.1", port: server.port };
    const proxy = await CuttingProxy.listen({ target, clock: systemClock });
    const disk = new SimulatedDisk(seededRandom(5));
    const world = new StepWorld(server, proxy, database, disk, await openLog(disk));
    const client = await world.connect();
    await makeSource(client, rows);
    await client.end();
    return world;
  }

  connect(): Promise<pg.Client> {
    return this.server.connect(this.database);
  }

  /** Over a connection of its own; a transaction is one text. */
  async sql(text: string): Promise<void> {
    const client = await this.connect();
    try {
      await client.query(`begin; ${text}; commit`);
    } finally {
      await client.end();
    }
  }

  begin(tables: readonly string[] = judgedTables.map(({ name }) => name)): Source {
    this.source = openPostgresSource({
      definition: postgres("fire", { url: this.proxy.url(this.database), tables }),
      engine: this.engine,
      clock: fastClock,
      random: systemRandom,
      diagnostics: silentDiagnostics,
      disk: this.disk,
      spillDirectory: "/data/spill",
      mode: "start",
      settings: sizes,
    });
    this.source.start();
    return this.source;
  }

  /** Everything that was committed up to now is in the log. */
  async caughtUp(): Promise<void> {
    const client = await this.connect();
    const { rows } = await client.query<{ lsn: string }>("select pg_current_wal_insert_lsn()::text as lsn");
    await client.end();
    const lsn = rows[0]?.lsn ?? "";
    for (;;) {
      const { state, position } = (this.source as Source).status();
      if (state.kind === "failed") throw state.error;
      if (state.kind === "streaming" && position !== null && numberOf(position) >= numberOf(lsn)) return;
      if (state.kind === "streaming") await Promise.race([this.source?.catchUp(lsn), systemClock.sleep(100)]);
      await systemClock.sleep(2);
    }
  }

  /** The power is cut, if it is not yet: the program is gone, and the log is opened as it survived. */
  async cutPower(): Promise<void> {
    this.disk.cut();
    this.proxy.cut();
    await this.source?.stop();
    await this.engine.close().catch(() => {});
    this.disk = this.disk.survivor();
    this.engine = await openLog(this.disk);
  }

  /** A log that knows nothing, in place of the one that was; the slot of that one is dropped. */
  async newLog(): Promise<void> {
    await this.source?.stop();
    await this.engine.close().catch(() => {});
    for (;;) {
      const left = await this.server.query<{ active: boolean }>(
        `select case when active then pg_terminate_backend(active_pid) else pg_drop_replication_slot(slot_name) is null end as active
           from pg_replication_slots where slot_name like 'millrace_fire_%'`,
      );
      if (left.length === 0) break;
      await systemClock.sleep(10);
    }
    await this.sql(
      "do $$ declare p text; begin for p in select pubname from pg_publication loop execute format('drop publication %I', p); end loop; end $$",
    );
    this.disk = new SimulatedDisk(seededRandom(100 + this.#logs++));
    this.engine = await openLog(this.disk);
  }

  /** Throws what is not as promised. */
  async judge(): Promise<Verdict> {
    const client = await this.connect();
    try {
      const verdict = await judgeCapture(judgedTables, judgedLog(this.engine, "fire"), await openAudit(client));
      for (const table of judgedTables as readonly JudgedTable[]) {
        assert.deepEqual(verdict.state.get(table.name), await printedRows(client, table, table.name), table.name);
      }
      return verdict;
    } finally {
      await client.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source?.stop();
    await this.engine.close().catch(() => {});
    await this.proxy.close();
  }
}

function openLog(disk: SimulatedDisk): Promise<Engine> {
  return openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock: systemClock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
  });
}

function numberOf(lsn: string): number {
  const [high = "0", low = "0"] = lsn.split("/");
  return Number.parseInt(high, 16) * 2 ** 32 + Number.parseInt(low, 16);
}
