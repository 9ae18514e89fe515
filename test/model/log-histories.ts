/** Runs generated histories one after the other, and says of one that fails which it was and how it went. */
import { type HistoryOptions, LogHistory } from "./log-history.ts";

/** The last steps that are printed. */
const linesMax = 40;

export async function runHistory(seed: number, options: HistoryOptions = {}): Promise<void> {
  const lines: string[] = [];
  const trace = (line: string) => {
    lines.push(line);
    if (lines.length > linesMax) lines.shift();
  };
  const history = new LogHistory(seed, { ...options, trace });
  try {
    await orHang(history.run());
  } catch (error) {
    const { message, stack } = error as Error;
    const at = /test\/model\/[^)\n]*/.exec(stack ?? "")?.[0] ?? "";
    throw new Error(`MILLRACE_TEST_SEED=${seed}: ${message} (${at})\n${lines.join("\n")}`, { cause: error });
  }
}

export async function runHistories(firstSeed: number, count: number, options: HistoryOptions = {}): Promise<void> {
  for (let seed = firstSeed; seed < firstSeed + count; seed++) await runHistory(seed, options);
}

/** What never ends has failed too: it leaves the event loop with nothing to do. */
async function orHang(running: Promise<void>): Promise<void> {
  const hung = Promise.withResolvers<never>();
  const isIdle = () => hung.reject(new Error("it does not end"));
  process.once("beforeExit", isIdle);
  try {
    await Promise.race([running, hung.promise]);
  } finally {
    process.off("beforeExit", isIdle);
  }
}
