/**
 * What must be true of the repository besides its tests: types, lint and form, floors, docs. All at once; prints only
 * what failed. `--write` repairs what can be repaired: form, and the tables of the reference.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkDocs } from "./check-docs.ts";
import { breachesIn } from "./floors.ts";

const root = join(import.meta.dirname, "..");
const write = process.argv.includes("--write");

interface Check {
  readonly name: string;
  /** What is wrong, for people; empty when all is well. */
  run(): Promise<string>;
}

const checks: readonly Check[] = [
  { name: "types", run: () => runNode(["node_modules/typescript/bin/tsc", "-p", "."]) },
  {
    name: "lint and format",
    run: () =>
      runNode([
        "node_modules/@biomejs/biome/bin/biome",
        "check",
        "--error-on-warnings",
        ...(write ? ["--write"] : []),
        ".",
      ]),
  },
  { name: "floors", run: async () => breachesIn(root).join("\n") },
  { name: "docs", run: async () => checkDocs(root, { write }).join("\n") },
];

const results = await Promise.all(
  checks.map(async ({ name, run }) => {
    const began = performance.now();
    const wrong = await run().catch((error: unknown) => String(error));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(wrong === "" ? `✔ ${name} (${seconds} s)` : `✖ ${name} (${seconds} s)\n${wrong.replace(/^/gm, "  ")}`);
    return { name, good: wrong === "" };
  }),
);
const failures = results.filter(({ good }) => !good).map(({ name }) => name);
const failed = failures.length;
console.log(failed === 0 ? "all checks pass" : `${failed} of ${results.length} checks failed`);
if (process.env.MILLRACE_TEST_COUNTS) {
  const counts = { passed: results.length - failed, failed, skipped: 0, failures };
  writeFileSync(process.env.MILLRACE_TEST_COUNTS, JSON.stringify(counts));
}
process.exit(failed === 0 ? 0 : 1);

/** What the program says when it fails, else nothing. */
function runNode(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    }
    child.on("error", reject);
    child.on("close", (code) => resolve(code === 0 ? "" : said.trim() || `ended with ${code}`));
  });
}
