/** Prints the last line of a CI run: the sum of the counts that its parts left. A part that left none has failed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, ...parts] = process.argv.slice(2);
const sum = { passed: 0, failed: 0, skipped: 0 };
for (const part of parts) {
  for (const [what, count] of Object.entries(countsOf(part))) sum[what] += count;
}
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed === 0 ? 0 : 1;

function countsOf(part) {
  try {
    return JSON.parse(readFileSync(join(folder, `${part}.json`), "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
}
