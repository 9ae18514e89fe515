/** A folder for the files of one run, removed with all that is in it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Scratch extends AsyncDisposable {
  readonly directory: string;
}

/** Below `MILLRACE_BENCH_DIRECTORY` when it is set: which disk is measured is the caller's choice. */
export async function makeScratch(): Promise<Scratch> {
  const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
  return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}
