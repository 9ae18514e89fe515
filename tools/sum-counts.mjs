/** Prints the end of a CI run: what failed, and the sum of the counts that its parts left. A part that left none has failed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, ...parts] = process.argv.slice(2);
const sum = { passed: 0, failed: 0, skipped: 0 };
for (const part of parts) {
  const { failures, ...counts } = countsOf(part);
  for (const failure of failures) console.log(`failed: ${part}: ${failure}`);
  for (const [what, count] of Object.entries(counts)) sum[what] += count;
}
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode = sum.failed === 0 ? 0 : 1;

function countsOf(part) {
  try {
    return JSON.parse(readFileSync(join(folder, `${part}.json`), "utf8"));
  } catch {
    return { passed: 0, failed: 1, skipped: 0, failures: ["it ended before it had counted"] };
  }
}
