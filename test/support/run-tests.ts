/** Runs test files in a process of their own, in another environment. */
import { spawn } from "node:child_process";

export interface TestRun {
  readonly code: number | null;
  /** Its end, where there is much. */
  readonly output: string;
}

/** With a pattern, only the tests whose names have it. */
export async function runTests(
  files: readonly string[],
  environment: Readonly<Record<string, string>>,
  pattern?: string,
): Promise<TestRun> {
  // The runner tells its children that they are tests of its own.
  const { NODE_TEST_CONTEXT: _, ...plain } = process.env;
  const names = pattern === undefined ? [] : ["--test-name-pattern", pattern];
  const child = spawn(process.execPath, ["-C", "source", "--test", "--test-isolation=none", ...names, ...files], {
    env: { ...plain, ...environment },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-200_000);
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { code, output };
}
