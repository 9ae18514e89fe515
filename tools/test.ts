/**
 * Runs the tests: `test.ts unit|services|soak|model [part of a file's name …]`.
 *
 * The runner is Node's own, in a process of its own, so that this one can say what hangs when the time is up: even a
 * test that blocks the event loop is seen from outside. With MILLRACE_TEST_COUNTS the counts are written to that file.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installServices } from "./services.ts";
import { readTestEvents, type TestCounts, type TestEvents } from "./test-events.ts";

interface Tier {
  /** Globs from the repository's root. */
  readonly files: readonly string[];
  readonly exclude: readonly string[];
  readonly arguments: readonly string[];
  /** For a tier whose runner does not make a process for each file: how many at once, and how many in all. */
  readonly runners?: { readonly atOnce: number; readonly all: number };
  readonly limitMs: number;
  readonly services: boolean;
  readonly environment: Readonly<Record<string, string>>;
  /** Again and again with other seeds, until a test fails or somebody ends it. */
  readonly repeats?: boolean;
}

const minuteMs = 60_000;
/** How long the runner may stay after its last test: longer than a test keeps it from telling that the next one has begun. */
const lingerMs = 60_000;
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const serviceFolders = ["services", "conformance", "e2e", "packaging", "nemesis"].map((name) => `test/${name}/`);
const processFolders = [...serviceFolders, "test/crash/process/", "test/soak/"];

const tiers: Readonly<Record<string, Tier>> = {
  unit: {
    files: [
      "src/**/*.test.ts",
      "client/**/*.test.ts",
      "console/**/*.test.ts",
      "tools/**/*.test.{ts,mjs}",
      "test/**/*.test.ts",
      "bench/**/*.test.ts",
    ],
    exclude: processFolders,
    // A process for each file would spend more time with its imports than with its tests.
    arguments: ["--test-isolation=none"],
    // More than there are at once, so that they end together.
    runners: { atOnce: 2, all: 8 },
    limitMs: 11 * minuteMs,
    services: false,
    environment: {},
  },
  services: {
    files: [...serviceFolders, "test/crash/process/"].map((folder) => `${folder}**/*.test.ts`),
    exclude: [],
    // Two at once: most of them wait for other programs most of the time. The time that one file may take.
    arguments: ["--test-isolation=process", "--test-concurrency=2", `--test-timeout=${8 * minuteMs}`],
    limitMs: 25 * minuteMs,
    services: true,
    environment: {},
  },
  // The long proofs: the same files, told to take their full length, and those that have no short form.
  soak: {
    files: [
      ...["test/soak/", "test/services/", "test/crash/process/", "test/nemesis/"].map(
        (folder) => `${folder}**/*.test.ts`,
      ),
      "test/conformance/kafka/transcripts.test.ts",
      "src/views/bounded-reads.test.ts",
    ],
    exclude: [],
    arguments: ["--test-isolation=process", "--test-concurrency=1"],
    limitMs: 6 * 60 * minuteMs,
    services: true,
    environment: { MILLRACE_SOAK: "1" },
  },
  // Generated histories without end.
  model: {
    files: ["src/**/*.model.test.ts", "test/model/**/*.test.ts"],
    exclude: [],
    arguments: ["--test-isolation=process", "--test-concurrency=1"],
    limitMs: 6 * 60 * minuteMs,
    services: false,
    environment: { MILLRACE_MODEL_RUNS: process.env.MILLRACE_MODEL_RUNS ?? "500" },
    repeats: true,
  },
};

/** A process of its own for a file, and those that it starts, would compile the same modules each time. */
const compileCache = { NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") };

const root = join(import.meta.dirname, "..");

async function main([name = "unit", ...patterns]: readonly string[]): Promise<number> {
  const tier = tiers[name];
  if (tier === undefined) {
    console.error(`test: no tier is called "${name}"; there are ${Object.keys(tiers).join(", ")}`);
    return 2;
  }
  const files = testFiles(tier, patterns);
  if (files.length === 0) {
    leaveCounts({ passed: 0, failed: 0, skipped: 0, failures: [] });
    console.error(
      patterns.length === 0 ? "test: there are no test files" : `test: no file's name has ${patterns.join(" or ")}`,
    );
    return patterns.length === 0 ? 0 : 2;
  }
  if (tier.services) installServices();
  let seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000_000);
  for (;;) {
    const environment = tier.repeats ? seedOf(seed) : {};
    const results = await runShares(tier, files, environment);
    const code = results.find((result) => result.code !== 0)?.code ?? 0;
    const counts = addCounts(results.map((result) => result.counts));
    if (results.length > 1)
      console.log(`test: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    leaveCounts(counts);
    if (!tier.repeats || code !== 0) return code;
    seed += 1_000_000;
  }
}

interface RunResult {
  readonly code: number;
  readonly counts: TestCounts;
}

async function runShares(
  tier: Tier,
  files: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<RunResult[]> {
  const { atOnce, all } = tier.runners ?? { atOnce: 1, all: 1 };
  const waiting = shareOut(files, all);
  const results: RunResult[] = [];
  const giveUp = (): void => void waiting.splice(0);
  for (const signal of forwarded) process.on(signal, giveUp);
  const work = async (): Promise<void> => {
    for (let share = waiting.shift(); share !== undefined; share = waiting.shift())
      results.push(await runNodeTests(tier, share, environment));
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  for (const signal of forwarded) process.off(signal, giveUp);
  return results;
}

/** In turn, for neighbours are alike. */
function shareOut(files: readonly string[], count: number): string[][] {
  const shares = Array.from({ length: Math.min(count, files.length) }, (): string[] => []);
  for (const [i, file] of files.entries()) shares[i % shares.length]?.push(file);
  return shares;
}

function addCounts(all: readonly TestCounts[]): TestCounts {
  const sum = (of: (counts: TestCounts) => number): number => all.reduce((total, counts) => total + of(counts), 0);
  return {
    passed: sum((each) => each.passed),
    failed: sum((each) => each.failed),
    skipped: sum((each) => each.skipped),
    failures: all.flatMap((each) => each.failures),
  };
}

function seedOf(seed: number): Readonly<Record<string, string>> {
  console.log(`test: the seed of this round is ${seed}`);
  return { MILLRACE_TEST_SEED: String(seed), MILLRACE_MODEL_SEED: String(seed) };
}

function leaveCounts(counts: TestCounts): void {
  const path = process.env.MILLRACE_TEST_COUNTS;
  if (path) writeFileSync(path, JSON.stringify(counts));
}

function testFiles(tier: Tier, patterns: readonly string[]): string[] {
  const found = new Set<string>();
  for (const glob of tier.files) {
    for (const path of findFiles(glob)) {
      if (tier.exclude.some((folder) => path.startsWith(folder))) continue;
      if (patterns.length > 0 && !patterns.some((pattern) => path.includes(pattern))) continue;
      found.add(path);
    }
  }
  return [...found].sort();
}

function findFiles(glob: string): string[] {
  return globSync(glob, { cwd: root, exclude: (path) => /(^|\/)(node_modules|dist|\.millrace)(\/|$)/.test(path) });
}

async function runNodeTests(
  tier: Tier,
  files: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-test-"));
  const eventsFile = join(folder, "events.ndjson");
  writeFileSync(eventsFile, "");
  const child = spawn(
    process.execPath,
    ["-C", "source", "--test", ...tier.arguments, "--test-reporter=./tools/test-reporter.ts", ...files],
    {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...compileCache, ...tier.environment, ...environment, MILLRACE_TEST_EVENTS: eventsFile },
    },
  );
  try {
    const { code, complaint } = await watch(child, () => readTestEvents(eventsFile), tier.limitMs);
    const { counts } = readTestEvents(eventsFile);
    if (complaint !== undefined) console.error(`\ntest: ${complaint}`);
    // A runner that hung, or died before its summary, has failed, whatever it had counted.
    const bad = complaint !== undefined || (code !== 0 && counts.failed === 0);
    if (!bad) return { code, counts };
    const failures = [...counts.failures, complaint ?? `the runner ended with ${code}, and no test had failed`];
    return { code: code || 1, counts: { ...counts, failed: counts.failed + 1, failures } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits for the runner; ends it, with a complaint, when the time is up or when it stays after its last test. */
function watch(
  child: ChildProcess,
  read: () => TestEvents,
  limitMs: number,
): Promise<{ code: number; complaint?: string }> {
  return new Promise((resolve) => {
    const began = performance.now();
    let complaint: string | undefined;
    let idleSince: number | undefined;
    const end = (why: string): void => {
      complaint = why;
      clearInterval(timer);
      // The reporter prints what keeps its process alive.
      child.kill("SIGUSR2");
      setTimeout(() => child.kill("SIGTERM"), 1_000).unref();
      setTimeout(() => child.kill("SIGKILL"), 15_000).unref();
    };
    const timer = setInterval(() => {
      const events = read();
      // The runner gives its summary only when nothing keeps its process alive any more.
      idleSince = events.begun && events.running.length === 0 ? (idleSince ?? performance.now()) : undefined;
      if (idleSince !== undefined && performance.now() - idleSince > lingerMs) {
        end("all tests are done, but something keeps the process alive");
      } else if (performance.now() - began > limitMs) {
        const running = events.running.map(({ name, place }) => `  ${name} (${place})`);
        end(`the limit of ${limitMs / minuteMs} minutes is over; what had begun and not ended:\n${running.join("\n")}`);
      }
    }, 500);
    const forward = (signal: NodeJS.Signals) => void child.kill(signal);
    const disconnected = () => void child.kill("SIGTERM");
    for (const signal of forwarded) process.on(signal, forward);
    process.on("disconnect", disconnected);
    child.on("exit", (code, signal) => {
      clearInterval(timer);
      for (const each of forwarded) process.off(each, forward);
      process.off("disconnect", disconnected);
      if (signal !== null) complaint ??= `the runner was ended by ${signal}`;
      resolve({ code: code ?? 1, ...(complaint === undefined ? {} : { complaint }) });
    });
  });
}

process.exit(await main(process.argv.slice(2)));
