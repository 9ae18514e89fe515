/**
 * The main job on real input: pgbench writes, Millrace captures, is killed at random moments and restarted, and every
 * state that a live and a polling reader ever see keeps TPC-B's invariant. At the end everything is compared with the
 * source: views, topics (those that a view is published to as well), the slot.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { startDebianPostgres } from "../../support/debian-postgres.ts";
import { freePort } from "../../support/ports.ts";
import { readLog } from "./read-log.ts";
import { followLive } from "./readers.ts";

export interface MainJobOptions {
  readonly scale: number;
  readonly seconds: number;
  readonly seed: number;
  /** Kills come this many milliseconds apart, on average. */
  readonly killEveryMs: number;
  /** The address of a Kafka that is the log, in place of the embedded one. */
  readonly kafka?: string;
  readonly say: (line: string) => void;
}

export interface MainJobReport {
  readonly transactions: number;
  readonly kills: number;
  readonly liveStates: number;
  readonly pollingStates: number;
  readonly snapshotSeconds: number;
  readonly catchUpSeconds: number;
}

const app = new URL("./app.ts", import.meta.url).pathname;
const command = new URL("../../../src/cli/millrace.ts", import.meta.url).pathname;
const views = ["by_branch", "by_teller", "by_account", "overall"] as const;

/** All accounts are too many to be sent again after each kill: the filter lets through those that are out of balance. */
const liveFeeds = ["by_branch/live", "by_teller/live", "overall/live", "by_account/live?difference=neq.0"] as const;

export async function mainJob(options: MainJobOptions): Promise<MainJobReport> {
  const { scale, seconds, seed, killEveryMs, kafka, say } = options;
  const random = seededRandom(seed);
  const data = mkdtempSync(join(tmpdir(), "millrace-bank-"));
  const source = await startDebianPostgres({ synchronous_commit: "off", max_connections: "50" });
  const stop = new AbortController();
  const millrace = new Millrace({ data, sourceUrl: source.url, port: await freePort(), kafka, say });
  try {
    say(`seed ${seed}; source PostgreSQL ${source.version} on port ${source.port}`);
    execFileSync(
      join(source.binaries, "pgbench"),
      ["-i", "-q", "-s", String(scale), "-h", "127.0.0.1", "-p", String(source.port), "-U", "postgres", "postgres"],
      { stdio: "pipe" },
    );
    const snapshotBegan = systemClock.monotonicMs();
    await millrace.start();
    await millrace.live();
    const snapshotSeconds = (systemClock.monotonicMs() - snapshotBegan) / 1_000;
    say(`${scale * 100_000} accounts are in the views after ${snapshotSeconds.toFixed(1)} s`);

    const live = followLive(millrace, liveFeeds, stop.signal);
    const polling = poll(millrace, stop.signal);
    const writing = pgbench(source.binaries, source.port, seconds, seed);
    const kills = await killAtRandom(millrace, random, writing.done, killEveryMs);
    const transactions = await writing.transactions;
    say(`${transactions} transactions, ${kills} kills`);

    const catchUpBegan = systemClock.monotonicMs();
    await millrace.caughtUp(source.url);
    const catchUpSeconds = (systemClock.monotonicMs() - catchUpBegan) / 1_000;
    await compareViews(millrace, source.url);
    await millrace.published();
    await slotIsConfirmed(source.url);
    stop.abort();
    const liveStates = await live;
    const pollingStates = await polling;
    assert.ok(liveStates > 0 && pollingStates > 0, "the readers saw nothing");
    await millrace.stop();
    await readLog(kafka === undefined ? { directory: join(data, "log") } : { kafka }, source.url, transactions);
    return { transactions, kills, liveStates, pollingStates, snapshotSeconds, catchUpSeconds };
  } finally {
    stop.abort();
    await millrace.kill();
    await source.stop();
    rmSync(data, { recursive: true, force: true });
  }
}

/** The program as a user runs it: `millrace start app.ts`, in a process of its own. */
interface MillraceOptions {
  readonly data: string;
  readonly sourceUrl: string;
  readonly port: number;
  readonly kafka: string | undefined;
  readonly say: (line: string) => void;
}

export class Millrace {
  readonly address: string;
  readonly #options: MillraceOptions;
  #process: ChildProcess | undefined;
  #words = "";

  constructor(options: MillraceOptions) {
    this.#options = options;
    this.address = `http://127.0.0.1:${options.port}`;
  }

  /** Resolves when the door answers; fails when the process ends before. */
  async start(): Promise<void> {
    const { data, sourceUrl, port, kafka } = this.#options;
    const child = spawn(
      process.execPath,
      ["-C", "source", "--disable-warning=ExperimentalWarning", command, "start", app],
      {
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          BANK_URL: sourceUrl,
          MILLRACE_DATA: data,
          MILLRACE_PORT: String(port),
          ...(kafka !== undefined && { MILLRACE_KAFKA: kafka }),
          MILLRACE_STORE_PORT: "0",
          MILLRACE_KAFKA_PORT: "0",
          MILLRACE_DIAGNOSTICS: "info",
          NO_COLOR: "1",
        },
      },
    );
    this.#process = child;
    const keep = (chunk: Buffer) => {
      this.#words = (this.#words + chunk).slice(-20_000);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`millrace start ended with ${child.exitCode ?? child.signalCode}:\n${this.#words}`);
      if (await this.answers()) return;
      await systemClock.sleep(100);
    }
  }

  async answers(): Promise<boolean> {
    try {
      return (await fetch(`${this.address}/healthz`)).ok;
    } catch {
      return false;
    }
  }

  /** Resolves when every view is live. */
  async live(): Promise<void> {
    for (;;) {
      const items = await this.json<{
        items: { name: string; state: { kind: string; error?: { message: string } } }[];
      }>("/v1/views");
      const failed = items?.items.find((view) => view.state.kind === "failed");
      if (failed) throw new Error(`view ${failed.name} failed: ${failed.state.error?.message}\n${this.#words}`);
      if (items?.items.length === views.length && items.items.every((view) => view.state.kind === "live")) return;
      await systemClock.sleep(200);
    }
  }

  /** Undefined when there was no answer, or a 503. */
  async json<T>(path: string): Promise<T | undefined> {
    let response: Response;
    try {
      response = await fetch(`${this.address}${path}`);
    } catch {
      return undefined;
    }
    if (response.status === 503) return undefined;
    try {
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    } catch (error) {
      if (await this.answers()) throw error;
      return undefined;
    }
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (!child) return;
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    const [code] = await gone;
    assert.equal(code, 0, `millrace start ended with ${code}:\n${this.#words}`);
    this.#options.say("stopped cleanly");
  }

  /** Resolves when the views show the source's end of now. */
  async caughtUp(sourceUrl: string): Promise<void> {
    const history = await one(sourceUrl, "select count(*)::text as n from pgbench_history");
    for (;;) {
      const rows = await this.json<{ n: string }[]>("/v1/views/by_branch?limit=10000");
      const branches = rows?.length ?? 0;
      if (rows && rows.reduce((sum, row) => sum + Number(row.n), 0) - branches === Number(history.n)) return;
      await systemClock.sleep(200);
    }
  }

  /** Resolves when the topics of views that are published lack nothing. */
  async published(): Promise<void> {
    for (;;) {
      const answer = await this.json<{ items: { publishing?: { behind: number | null } }[] }>("/v1/views");
      const topics = answer?.items.flatMap(({ publishing }) => publishing ?? []) ?? [];
      if (topics.length > 0 && topics.every(({ behind }) => behind === 0)) return;
      await systemClock.sleep(200);
    }
  }

  storeUrl(): string {
    const running = JSON.parse(readFileSync(join(this.#options.data, "running.json"), "utf8")) as {
      store: { host: string; port: number; database: string; user: string; password: string };
    };
    const { host, port, database, user, password } = running.store;
    return `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`;
  }
}

async function poll(millrace: Millrace, signal: AbortSignal): Promise<number> {
  let states = 0;
  const paths = ["/v1/views/by_branch?limit=10000", "/v1/views/by_teller?limit=10000", "/v1/views/overall"];
  while (!signal.aborted) {
    for (const path of paths) {
      const rows = await millrace.json<{ difference: string }[]>(path);
      if (!rows) continue;
      states++;
      const wrong = rows.find((row) => Number(row.difference) !== 0);
      assert.equal(wrong, undefined, `a polling reader saw ${JSON.stringify(wrong)} in ${path}`);
    }
    const unbalanced = await millrace.json<unknown[]>("/v1/views/by_account?difference=neq.0");
    if (unbalanced) {
      states++;
      assert.deepEqual(unbalanced, [], "a polling reader saw an account out of balance");
    }
    await systemClock.sleep(50);
  }
  return states;
}

function pgbench(
  binaries: string,
  port: number,
  seconds: number,
  seed: number,
): { done: Promise<void>; transactions: Promise<number> } {
  const child = spawn(join(binaries, "pgbench"), [
    "-n",
    "-c",
    "4",
    "-T",
    String(seconds),
    `--random-seed=${seed}`,
    "-h",
    "127.0.0.1",
    "-p",
    String(port),
    "-U",
    "postgres",
    "postgres",
  ]);
  let words = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (words += chunk));
  const ended = once(child, "close");
  return {
    done: ended.then(() => {}),
    transactions: ended.then(() => {
      const count = /number of transactions actually processed: (\d+)/.exec(words)?.[1];
      assert.ok(count, `pgbench: ${words}`);
      return Number(count);
    }),
  };
}

async function killAtRandom(
  millrace: Millrace,
  random: Random,
  until: Promise<void>,
  everyMs: number,
): Promise<number> {
  let over = false;
  const end = until.then(() => {
    over = true;
  });
  for (let kills = 0; ; kills++) {
    await Promise.race([end, systemClock.sleep(everyMs / 2 + random.below(everyMs))]);
    if (over) return kills;
    await millrace.kill();
    await millrace.start();
  }
}

const balances: Readonly<Record<(typeof views)[number], string>> = {
  by_branch:
    "select bid, count(*) as n, sum(v) as difference from (select bid, bbalance as v from pgbench_branches union all select bid, -delta from pgbench_history) x group by bid",
  by_teller:
    "select tid, count(*) as n, sum(v) as difference from (select tid, tbalance as v from pgbench_tellers union all select tid, -delta from pgbench_history) x group by tid",
  by_account:
    "select aid, count(*) as n, sum(v) as difference from (select aid, abalance as v from pgbench_accounts union all select aid, -delta from pgbench_history) x group by aid",
  overall:
    "select count(*) as n, sum(v) as difference from (select abalance as v from pgbench_accounts union all select -tbalance from pgbench_tellers) x",
};

async function compareViews(millrace: Millrace, sourceUrl: string): Promise<void> {
  const digest = (from: string) =>
    `select count(*)::text as rows, coalesce(md5(string_agg(x::text, ',' order by x::text collate "C")), '') as digest from (${from}) x`;
  for (const view of views) {
    const wanted = await one(sourceUrl, digest(balances[view]));
    const found = await one(millrace.storeUrl(), digest(`select * from views.${view}`));
    assert.deepEqual(found, wanted, `view ${view} differs from its query on the source`);
  }
}

async function slotIsConfirmed(sourceUrl: string): Promise<void> {
  const end = await one(sourceUrl, "select pg_current_wal_lsn()::text as lsn");
  for (;;) {
    const slot = await one(
      sourceUrl,
      `select confirmed_flush_lsn >= '${end.lsn}'::pg_lsn as confirmed from pg_replication_slots where slot_name like 'millrace_bank_%'`,
    );
    if (slot.confirmed) return;
    await systemClock.sleep(200);
  }
}

async function one(url: string, text: string): Promise<Record<string, unknown>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query(text);
    assert.equal(rows.length, 1, text);
    return rows[0];
  } finally {
    await client.end();
  }
}
