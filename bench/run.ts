/** `npm run bench -- <area>/<question> [--json] [--tiny]`: runs one benchmark; without a name it lists them. */
import { existsSync, globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Benchmark, formatReport, runBenchmark } from "./harness.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "boolean", default: false }, tiny: { type: "boolean", default: false } },
});
const [name] = positionals;
if (!name || !/^[a-z-]+\/[a-z-]+$/.test(name) || !existsSync(`${here}${name}.ts`)) {
  const known = globSync("*/*.ts", { cwd: here }).filter((file) => !file.endsWith(".test.ts"));
  process.stderr.write(`usage: npm run bench -- <area>/<question> [--json] [--tiny]\n\n`);
  for (const file of known.sort()) process.stderr.write(`  ${file.replace(/\.ts$/, "")}\n`);
  process.exitCode = 2;
} else {
  const { benchmark } = (await import(`./${name}.ts`)) as { readonly benchmark: Benchmark };
  const report = await runBenchmark(benchmark, values.tiny ? "tiny" : "full");
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : formatReport(report));
}
