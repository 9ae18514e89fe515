/**
 * What all benchmarks share: a question, how it is answered, and a report as a table or as one JSON object. The first
 * result is ours; the one that `bound` names is the simple upper bound that was measured in the same run, and the ratio of
 * the two is what may be quoted. Where several cases are measured, each result names its own bounds.
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
  /** The names of the results that this one is compared with. */
  readonly bounds?: readonly string[];
}

export interface ReportedMeasurement extends Measurement {
  /** This value over that of each of its bounds, by the bound's name, three digits. */
  readonly ratios?: Readonly<Record<string, number>>;
}

export interface BenchmarkOutcome {
  readonly results: readonly [Measurement, ...Measurement[]];
  /** The name of the result that is the first one's bound; null when there is none. */
  readonly bound: string | null;
  /** What the reader of these figures must know: parts that this machine does not have. */
  readonly notes?: readonly string[];
}

/** Says what goes on in a run that takes long. */
export type Progress = (sentence: string) => void;

export interface Benchmark {
  readonly question: string;
  readonly method: string;
  readonly notMeasured: string;
  run(size: BenchmarkSize, progress: Progress): Promise<BenchmarkOutcome>;
}

export interface BenchmarkReport {
  readonly question: string;
  readonly method: string;
  readonly notMeasured: string;
  readonly results: readonly ReportedMeasurement[];
  /** The first result over its bound, three digits; null without a bound. */
  readonly ratio: number | null;
  /** Left out when there are none. */
  readonly notes?: readonly string[];
  readonly machine: string;
  readonly commit: string;
}

/** Progress goes to standard error, and nowhere when the run is tiny. */
export async function runBenchmark(benchmark: Benchmark, size: BenchmarkSize): Promise<BenchmarkReport> {
  const progress: Progress = size === "tiny" ? () => {} : (sentence) => process.stderr.write(`${sentence}\n`);
  const { results, bound, notes = [] } = await benchmark.run(size, progress);
  const [first] = results;
  const ratio = bound === null ? null : ratioTo(results, first, bound);
  const { question, method, notMeasured } = benchmark;
  const reported = results.map((result) => withRatios(results, result));
  const noted = notes.length > 0 ? { notes } : {};
  return { question, method, notMeasured, results: reported, ratio, ...noted, machine: machine(), commit: commit() };
}

function withRatios(results: readonly Measurement[], result: Measurement): ReportedMeasurement {
  if (!result.bounds) return result;
  const ratios = result.bounds.map((bound) => [bound, ratioTo(results, result, bound)] as const);
  return { ...result, ratios: Object.fromEntries(ratios) };
}

function ratioTo(results: readonly Measurement[], { value }: Measurement, bound: string): number {
  const limit = results.find(({ name }) => name === bound);
  if (!limit) throw new Error(`there is no result named ${bound}`);
  return Number((value / limit.value).toPrecision(3));
}

/** For a terminal. */
export function formatReport(report: BenchmarkReport): string {
  const width = Math.max(...report.results.map(({ name }) => name.length));
  const lines = report.results.flatMap(({ name, value, unit, details, ratios }) => {
    const more = Object.entries(details ?? {}).map(([key, figure]) => `${key} ${round(figure)}`);
    const line = `  ${name.padEnd(width)}  ${round(value).padStart(10)} ${unit}${more.length > 0 ? `   (${more.join(", ")})` : ""}`;
    const compared = Object.entries(ratios ?? {}).map(
      ([bound, ratio]) => `${" ".repeat(width + 4)}${ratio} of ${bound}`,
    );
    return [line, ...compared];
  });
  const ratio = report.ratio === null ? [] : ["", `  ratio ${report.ratio}`];
  const notes = (report.notes ?? []).map((note) => `  note          ${note}`);
  const about = [`  method        ${report.method}`, `  not measured  ${report.notMeasured}`, ...notes];
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
