import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../src/base/clock.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { decodeLog } from "../../support/log-decoder.ts";
import { LogReports } from "./log-reports.ts";

const long = process.env.MILLRACE_SOAK === "1";
/** Logs, and how many times each is killed. */
const logs = long ? 25 : 2;
const killsPerLog = long ? 10 : 4;
const root = new URL("../../../", import.meta.url).pathname;

type Mode = "write" | "stop" | "early";

/** One log that is written to, killed and judged, again and again. */
class KilledLog {
  readonly reports = new LogReports();
  readonly folder = mkdtempSync(join(tmpdir(), "millrace-log-kill-"));
  readonly #random: Random;
  #runs = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  get #directory(): string {
    return join(this.folder, "log");
  }

  /** Kills it at some moment while it writes, or while it starts. */
  async kill(mode: Mode = "write"): Promise<void> {
    // The first start makes the topics, which the judge expects.
    const whileStarting = this.#runs > 0 && this.#random.below(4) === 0;
    const child = this.#spawn(mode);
    const exit = once(child, "exit");
    if (!whileStarting) await Promise.race([once(child.stdout ?? child, "data"), exit]);
    await systemClock.sleep(this.#random.below(whileStarting ? 400 : 700));
    child.kill("SIGKILL");
    const [code] = await exit;
    await this.#judge(code);
  }

  async stop(): Promise<void> {
    const child = this.#spawn("stop");
    const [code] = await once(child, "exit");
    assert.equal(code, 0, "it did not stop");
    await this.#judge(null);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(mode: Mode): ChildProcess {
    const seed = this.#random.below(2 ** 31);
    const firstId = ++this.#runs * 1_000_000;
    writeFileSync(this.#reportsFile, "");
    const intentsFile = join(this.folder, "intents");
    return spawn(
      process.execPath,
      ["-C", "source", "--disable-warning=ExperimentalWarning", join(root, "test/crash/process/log-writers.ts")].concat(
        [this.#directory, this.#reportsFile, intentsFile, firstId, seed, mode].map(String),
      ),
      { cwd: root, stdio: ["pipe", "pipe", "inherit"] },
    );
  }

  get #reportsFile(): string {
    return join(this.folder, `reports-${this.#runs}`);
  }

  async #judge(code: number | null): Promise<void> {
    assert.equal(code, null, "it ended by itself");
    this.reports.hear(readFileSync(this.#reportsFile, "utf8"));
    this.reports.check(await decodeLog(realDisk, this.#directory));
  }
}

async function killed(random: Random, kills: number, mode: Mode, say: (words: string) => void): Promise<void> {
  const log = new KilledLog(random);
  let isRight = false;
  try {
    // On a slow machine more are needed until something has been written between them.
    const isEnough = () => log.reports.acknowledgedCount > 100 && log.reports.committedCount > 10;
    for (let kill = 0; kill < kills || (!isEnough() && kill < 10 * kills); kill++) await log.kill(mode);
    await log.stop();
    const { sentCount, acknowledgedCount, committedCount } = log.reports;
    say(`${sentCount} sent, ${acknowledgedCount} acknowledged, ${committedCount} transactions committed`);
    assert.ok(acknowledgedCount > 100 && committedCount > 10, "hardly anything was written");
    isRight = true;
  } finally {
    // What a long run has found is left for whoever looks into it.
    if (isRight || !long || mode === "early") log.remove();
    else say(`the log that is wrong is in ${log.folder}`);
  }
}

test("what was acknowledged is there once and in order after kill -9, transactions whole or not at all, and nothing else", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  for (let log = 0; log < logs; log++) await killed(random, killsPerLog, "write", (words) => t.diagnostic(words));
});

test("canary: a log that acknowledges too early is found out", async () => {
  await assert.rejects(
    killed(seededRandom(1), 10, "early", () => {}),
    /was acknowledged and is gone/,
  );
});
