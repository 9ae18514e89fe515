/**
 * A source that is written to, and Millrace which captures it, while the source, Millrace and the network between them
 * are killed at random. At the end the log is judged by the source's own account of what happened.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import type { RunningFile } from "../../../src/running-file.ts";
import { judgeCapture, type Verdict } from "../../support/capture-judge.ts";
import { CuttingProxy } from "../../support/cutting-proxy.ts";
import { KillablePostgres } from "../../support/killable-postgres.ts";
import { eventually, type Program, runProgram } from "../../support/program.ts";
import { durableProgress, judgedLog, openLog } from "./log-reader.ts";
import { accountCount, balanceSum, judgedTables, makeSource, openAudit, printedRows } from "./source.ts";
import { endPrepared, type WriterReport, write, writeBulk } from "./writers.ts";

export interface KillLoopOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly bulkRows: number;
  /** The folder of the source's programs; those of the npm package when left out. */
  readonly binaries?: string;
  readonly say: (line: string) => void;
}

/** Of each of the three, however the dice fall. */
const strikesMin = 2;

export interface KillLoopReport {
  readonly millraceKills: number;
  readonly sourceKills: number;
  readonly networkFaults: number;
  readonly writers: WriterReport;
  /** States of the bank that a reader saw. */
  readonly states: number;
  readonly verdict: Omit<Verdict, "state">;
}

const app = new URL("./app.ts", import.meta.url).pathname;
/** A row that is written last: who has it has everything. */
const lastItem = 1_000_000;

const runsMax = 3;

/** PostgreSQL cannot decode its own log any more, whoever asks: nothing can be said of who follows it. */
class ServerAtFault extends Error {}

export async function killLoop(options: KillLoopOptions): Promise<KillLoopReport> {
  for (let run = 1; ; run++) {
    try {
      return await killOnce({ ...options, seed: options.seed + run - 1 });
    } catch (error) {
      if (!(error instanceof ServerAtFault) || run === runsMax) throw error;
      options.say(`${error.message}; another seed is taken`);
    }
  }
}

async function killOnce(options: KillLoopOptions): Promise<KillLoopReport> {
  const { say, seed } = options;
  await using source = await KillablePostgres.start({
    ...(options.binaries === undefined ? {} : { binaries: options.binaries }),
    settings: {
      logical_decoding_work_mem: "'64kB'",
      max_prepared_transactions: "20",
      checkpoint_timeout: "'30s'",
      wal_sender_timeout: "'10s'",
      max_connections: "50",
    },
  });
  const { port } = source;
  await using proxy = await CuttingProxy.listen({ target: { host: "127.0.0.1", port }, clock: systemClock });
  const data = mkdtempSync(join(tmpdir(), "millrace-fire-"));
  const fire = new Fire(source, proxy, data, options);
  try {
    await withClient(source.url, (client) => makeSource(client, 2_000));
    say(`seed ${seed}; source on port ${port}`);
    return await fire.run();
  } catch (error) {
    say(`seed ${seed}; the last words of Millrace:\n${fire.words()}`);
    throw error;
  } finally {
    await fire.end();
    rmSync(data, { recursive: true, force: true });
  }
}

interface SourceJson {
  readonly state: { readonly kind: string; readonly error?: { readonly code: string; readonly message: string } };
}

class Fire {
  readonly #source: KillablePostgres;
  readonly #proxy: CuttingProxy;
  readonly #data: string;
  readonly #options: KillLoopOptions;
  readonly #random: Random;
  readonly #stop = new AbortController();
  readonly #stopReading = new AbortController();
  #program: Program | null = null;
  #millraceKills = 0;
  #sourceKills = 0;
  #networkFaults = 0;
  /** A large transaction runs in the source, which is left alone until it has ended. */
  #sparing = false;

  constructor(source: KillablePostgres, proxy: CuttingProxy, data: string, options: KillLoopOptions) {
    this.#source = source;
    this.#proxy = proxy;
    this.#data = data;
    this.#options = options;
    this.#random = seededRandom(options.seed);
  }

  words(): string {
    return this.#program?.words() ?? "";
  }

  async end(): Promise<void> {
    this.#stop.abort();
    this.#stopReading.abort();
    await this.#program?.kill();
  }

  async run(): Promise<KillLoopReport> {
    const { seconds, say, bulkRows } = this.#options;
    await this.#start();
    const reading = this.#readBank();
    reading.catch(() => {});
    const writer = (n: number) => ({
      url: this.#source.url,
      random: seededRandom(this.#options.seed + n),
      bulkRows,
      signal: this.#stop.signal,
    });
    const onLarge = (running: boolean) => {
      this.#sparing = running;
    };
    const writing = Promise.all([
      write(writer(1)),
      write(writer(2)),
      write(writer(3)),
      writeBulk({ ...writer(4), onLarge }),
    ]);
    // A part of the time is for the snapshot, which ends when it is left alone for a moment.
    await this.#strikeFor(seconds / 6);
    await this.#streams();
    await this.#strikeFor((seconds * 5) / 6);
    await this.#strikeWhatWasSpared();
    this.#stop.abort();
    const reports = await writing;
    const writers = reports.reduce(sumOf);
    say(
      `${this.#millraceKills} kills of Millrace, ${this.#sourceKills} of the source, ${this.#networkFaults} of the network`,
    );
    say(`written: ${JSON.stringify(writers)}`);
    await withClient(this.#source.url, async (client) => {
      await endPrepared(client, this.#random);
      await client.query("insert into items values ($1, 1, 'the last')", [lastItem]);
    });
    await this.#mirrorsAreTheSource();
    this.#stopReading.abort();
    const states = await reading;
    await this.#expectConfirmedIsDurable("at the end");
    const exitCode = await this.#program?.stop();
    assert.equal(exitCode, 0, `millrace start ended with ${exitCode}`);
    const { state: _, ...verdict } = await this.#judge();
    return {
      millraceKills: this.#millraceKills,
      sourceKills: this.#sourceKills,
      networkFaults: this.#networkFaults,
      writers,
      states,
      verdict,
    };
  }

  async #start(): Promise<void> {
    this.#program = await runProgram({
      script: ["src/cli/millrace.ts", "start", app],
      data: this.#data,
      env: { FIRE_URL: this.#proxy.url(this.#source.url), MILLRACE_DIAGNOSTICS: "info" },
    });
  }

  async #strikeFor(seconds: number): Promise<void> {
    const endMs = systemClock.monotonicMs() + seconds * 1_000;
    while (systemClock.monotonicMs() < endMs) {
      await systemClock.sleep(200 + this.#random.below(1_200));
      await this.#strike();
    }
  }

  async #streams(): Promise<void> {
    await eventually(async () => {
      const source = await this.#json<SourceJson>("/v1/sources/fire");
      await this.#askTheServer(source);
      return source?.state.kind === "streaming" ? true : undefined;
    });
  }

  /** Throws when Millrace says that the server cannot decode its log: `ServerAtFault` where that says the same to somebody else. */
  async #askTheServer(source: SourceJson | undefined): Promise<void> {
    const error = source?.state.error;
    if (error?.code !== "SOURCE_UNDECODABLE") return;
    await this.#program?.kill();
    const [slot] = await this.#source.query<{ name: string; publication: string }>(
      "select slot_name as name, (select pubname from pg_publication) as publication from pg_replication_slots",
    );
    const peek =
      "select from pg_logical_slot_peek_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)";
    const alike = await eventually(() =>
      this.#source.query(peek, [slot?.name, slot?.publication]).then(
        () => "it can be decoded",
        // The slot is held until the server has noticed that its reader is gone.
        ({ code, message }: pg.DatabaseError) => (code === "55006" ? undefined : message),
      ),
    );
    assert.match(error.message, new RegExp(alike.replace(/[^\w ]/g, "\\$&")), `the server says otherwise: ${alike}`);
    throw new ServerAtFault(`the server says by itself: ${alike}`);
  }

  /** One of the three is hit, and after a while put right. */
  async #strike(): Promise<void> {
    const dice = this.#random.below(100);
    if (dice < 35) await this.#killMillrace();
    else if (dice < 60 && !this.#sparing) await this.#killSource();
    else await this.#disturbNetwork();
  }

  /** On a slow machine large transactions fill the time, and chance may pass one of the three over. */
  async #strikeWhatWasSpared(): Promise<void> {
    while (this.#millraceKills < strikesMin) await this.#killMillrace();
    while (this.#sourceKills < strikesMin) await this.#killSource();
    while (this.#networkFaults < strikesMin) await this.#disturbNetwork();
  }

  async #killMillrace(): Promise<void> {
    await this.#program?.kill();
    this.#millraceKills++;
    await this.#expectConfirmedIsDurable(`after kill ${this.#millraceKills}`);
    // Sometimes the source or the network is away while it starts.
    const worse = this.#random.below(4);
    if (worse === 0 && !this.#sparing) await this.#killSource();
    else if (worse === 1) this.#proxy.refuse();
    await this.#start();
    this.#proxy.resume();
  }

  async #disturbNetwork(): Promise<void> {
    const fault = this.#proxy.misbehave(this.#random);
    this.#networkFaults++;
    await systemClock.sleep(100 + this.#random.below(1_500));
    this.#proxy.resume();
    // What nobody would notice for a long time, and now and then what would have gone on.
    if (fault === "half-open" || fault === "mute" || this.#random.below(4) === 0) this.#proxy.cut();
  }

  async #killSource(): Promise<void> {
    await this.#source.kill();
    this.#sourceKills++;
    await systemClock.sleep(this.#random.below(400));
    await this.#source.start();
  }

  /** What the source was told is done is in the log; asked while Millrace is dead, or has nothing more to say. */
  async #expectConfirmedIsDurable(when: string): Promise<void> {
    const [slot] = await this.#source.query<{ confirmed: string }>(
      "select confirmed_flush_lsn::text as confirmed from pg_replication_slots where slot_name like 'millrace_fire_%'",
    );
    if (!slot?.confirmed) return;
    const durable = await durableProgress(this.#data, "fire");
    if (durable?.state === "snapshotting") return;
    const [row] = await this.#source.query<{ behind: boolean }>("select $1::pg_lsn <= $2::pg_lsn as behind", [
      slot.confirmed,
      durable?.lsn,
    ]);
    assert.ok(row?.behind, `${when} the source believes in ${slot.confirmed}, and the log has ${durable?.lsn}`);
  }

  /** Resolves to how many states were seen, all of them balanced. */
  async #readBank(): Promise<number> {
    let states = 0;
    while (!this.#stopReading.signal.aborted) {
      const rows = await this.#json<{ n: string; sum: string | null }[]>("/v1/views/total");
      const row = rows?.[0];
      if (row && Number(row.n) > 0) {
        assert.deepEqual([Number(row.n), Number(row.sum)], [accountCount, balanceSum], "a reader saw money on its way");
        states++;
      }
      await systemClock.sleep(50);
    }
    return states;
  }

  /** Undefined when there was no answer. */
  async #json<T>(path: string): Promise<T | undefined> {
    try {
      const response = await fetch(`${this.#program?.address}${path}`);
      return response.ok ? ((await response.json()) as T) : undefined;
    } catch {
      return undefined;
    }
  }

  async #mirrorsAreTheSource(): Promise<void> {
    const path = join(this.#data, "running.json");
    const { host, port, database, user, password } = (JSON.parse(readFileSync(path, "utf8")) as RunningFile).store;
    const store = `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`;
    await eventually(async () => {
      const views = await this.#json<{ items: { name: string; state: { kind: string } }[] }>("/v1/views");
      const failed = views?.items.find(({ state }) => state.kind === "failed");
      assert.equal(failed, undefined, `a view failed: ${JSON.stringify(failed)}`);
      return views?.items.length === 4 && views.items.every(({ state }) => state.kind === "live") ? true : undefined;
    });
    await withClient(store, async (client) => {
      await eventually(async () => {
        const source = await this.#json<SourceJson>("/v1/sources/fire");
        await this.#askTheServer(source);
        const { rows } = await client.query(`select 1 from fire.items where id = ${lastItem}`);
        return rows.length > 0 ? true : undefined;
      });
      await withClient(this.#source.url, async (origin) => {
        for (const table of judgedTables) {
          assert.deepEqual(
            await printedRows(client, table, `fire.${table.name}`),
            await printedRows(origin, table, table.name),
            `the mirror of ${table.name} differs from its table`,
          );
        }
      });
    });
  }

  async #judge(): Promise<Verdict> {
    const engine = await openLog(this.#data);
    try {
      return await withClient(this.#source.url, async (client) => {
        const verdict = await judgeCapture(
          judgedTables,
          judgedLog(engine, "fire"),
          await openAudit(client),
          (rows, touched) => {
            if (!touched.has("accounts")) return;
            let sum = 0;
            for (const { balance } of rows("accounts").values()) sum += Number(balance);
            assert.equal(sum, balanceSum, "a frontier lies inside a transfer");
          },
        );
        for (const table of judgedTables) {
          const replayed = verdict.state.get(table.name);
          assert.deepEqual(replayed, await printedRows(client, table, table.name), `${table.name}, replayed`);
        }
        return verdict;
      });
    } finally {
      await engine.close();
    }
  }
}

function sumOf(a: WriterReport, b: WriterReport): WriterReport {
  return {
    committed: a.committed + b.committed,
    failed: a.failed + b.failed,
    prepared: a.prepared + b.prepared,
    bulk: a.bulk + b.bulk,
    truncates: a.truncates + b.truncates,
  };
}

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
