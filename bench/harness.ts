/**
 * What all benchmarks share: a question, how it is answered, and a report as a table or as one JSON object. The first
 * result is ours; the one that `bound` names is the simple upper bound that was measured in the same run, and the ratio of
 * the two is what may be quoted.
 *
 * `tiny` runs everything on next to nothing: tests run it, so that no benchmark rots. Its figures mean nothing.
 */
import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

export type BenchmarkSize = "full" | "tiny";

export interface Measurement {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What else was seen, by name with its unit: `{ p50Ms: 0.3 }`. */
  readonly details?: Readonly<Record<string, number>>;
}

export interface BenchmarkOutcome {
  readonly results: readonly [Measurement, ...Measurement[]];
  /** The name of the result that is the bound; null when there is none. */
  readonly bound: string | null;
}

export interface Benchmark {
  readonly question: string;
  readonly method: string;
  readonly notMeasured: string;
  run(size: BenchmarkSize): Promise<BenchmarkOutcome>;
}

export interface BenchmarkReport {
  readonly question: string;
  readonly method: string;
  readonly notMeasured: string;
  readonly results: readonly Measurement[];
  /** The first result over its bound, three digits; null without a bound. */
  readonly ratio: number | null;
  readonly machine: string;
  readonly commit: string;
}

export async function runBenchmark(benchmark: Benchmark, size: BenchmarkSize): Promise<BenchmarkReport> {
  const { results, bound } = await benchmark.run(size);
  const limit = results.find(({ name }) => name === bound);
  if (bound !== null && !limit) throw new Error(`there is no result named ${bound}`);
  const ratio = limit ? Number((results[0].value / limit.value).toPrecision(3)) : null;
  const { question, method, notMeasured } = benchmark;
  return { question, method, notMeasured, results, ratio, machine: machine(), commit: commit() };
}

/** For a terminal. */
export function formatReport(report: BenchmarkReport): string {
  const width = Math.max(...report.results.map(({ name }) => name.length));
  const lines = report.results.map(({ name, value, unit, details }) => {
    const more = Object.entries(details ?? {}).map(([key, figure]) => `${key} ${round(figure)}`);
    return `  ${name.padEnd(width)}  ${round(value).padStart(10)} ${unit}${more.length > 0 ? `   (${more.join(", ")})` : ""}`;
  });
  const ratio = report.ratio === null ? [] : ["", `  ratio ${report.ratio}`];
  const about = [`  method        ${report.method}`, `  not measured  ${report.notMeasured}`];
  return [report.question, "", ...lines, ...ratio, "", ...about, `  ${report.machine}, ${report.commit}`, ""].join(
    "\n",
  );
}

/** The value below which a share of the samples lies; sorts the samples in place. */
export function percentile(samples: number[], share: number): number {
  samples.sort((a, b) => a - b);
  return samples[Math.min(samples.length - 1, Math.floor(samples.length * share))] ?? Number.NaN;
}

function round(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function machine(): string {
  const [first] = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  return `${cpus().length} x ${first?.model.trim() || "unknown processor"}, ${memory} GiB, ${process.platform}, Node ${process.version}`;
}

function commit(): string {
  const cwd = fileURLToPath(new URL("..", import.meta.url));
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no").trim() !== "";
    return git("rev-parse", "--short", "HEAD").trim() + (changed ? " with changes" : "");
  } catch {
    return "unknown commit";
  }
}
