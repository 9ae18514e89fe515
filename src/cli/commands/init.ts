import { spawn } from "node:child_process";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { readCaller } from "../../settings.ts";
import type { CommandContext, CommandModule } from "../command.ts";
import { printFindings } from "../findings.ts";
import { appModule, environmentLine, type InitPlan, ignored, packageJson, planInit } from "../init-files.ts";
import { packageVersion } from "../package-version.ts";
import { printNumber } from "../quantity.ts";
import { readText } from "../schema-file.ts";
import { nameOf, readTables, withSource } from "../source-look.ts";
import { examine } from "./doctor.ts";

interface InitOptions {
  readonly source?: string;
  readonly force?: true;
  readonly install: boolean;
  readonly package?: string;
}

const setUpExit = 3;

export const initCommand: CommandModule = (program, context) => {
  program
    .command("init")
    .description("write package.json, app.ts and .env for a database, into this folder")
    .requiredOption("--source <url>", "the database: postgres://user:password@host:5432/database")
    .option("--force", "overwrite files that are there")
    .option("--no-install", "do not run the package manager")
    .option("--package <spec>", "what to depend on in place of the released version: a tarball, a folder")
    .addHelpText(
      "after",
      `
Reads the schema, and changes nothing in the database. The address goes into .env, which git ignores.

Example:
  $ npx millrace init --source postgres://shop:secret@127.0.0.1:5432/shop`,
    )
    .action((options: InitOptions) => init(options, context));
};

async function init(options: InitOptions, context: CommandContext): Promise<void> {
  const { terminal, directory } = context;
  const url = options.source ?? "";
  const plan = await withSource(url, async (client) => planInit(client.database ?? "source", await readTables(client)));
  if (plan.captured.length === 0) {
    throw new MillraceError("SOURCE_TABLE_UNKNOWN", "the database has no table that can be captured", {
      hint: plan.left.length === 0 ? "Is it the right database?" : `For ${reasons(plan)}.`,
    });
  }
  const app = join(directory, "app.ts");
  if (existsSync(app) && !options.force) {
    throw new MillraceError("USAGE_INVALID", `${app} is there already`, {
      hint: "Run millrace init in an empty folder, or with --force to overwrite app.ts.",
    });
  }
  writeProject(options, plan, url, context);
  say(context, plan);
  if (options.install) await install(context);
  // Without an installation the module cannot be loaded, but its database can be looked at.
  const findings = options.install ? await examine("app.ts", null, context) : await examine(undefined, url, context);
  printFindings(terminal, findings);
  const failed = findings.some(({ state }) => state === "failed");
  if (failed) context.fail(setUpExit);
  terminal.print(failed ? "\nRepair what failed, then run: npx millrace dev" : "\nNow run: npx millrace dev");
}

function writeProject(
  { force, package: spec }: InitOptions,
  plan: InitPlan,
  url: string,
  context: CommandContext,
): void {
  const { directory, terminal } = context;
  const write = (name: string, text: string, mode = 0o644): void => {
    writeFileSync(join(directory, name), text, { mode });
    terminal.print(`wrote ${name}`);
  };
  write("app.ts", appModule(plan));
  if (!existsSync(join(directory, "package.json")) || force) {
    write("package.json", packageJson(basename(directory), spec ?? `^${packageVersion()}`));
  } else {
    terminal.print("kept package.json");
  }
  const environment = readText(join(directory, ".env")) ?? "";
  if (new RegExp(`^\\s*(export\\s+)?${plan.variable}\\s*=`, "m").test(environment) && !force) {
    terminal.print(`kept ${plan.variable} in .env`);
  } else {
    write(".env", withLine(withoutVariable(environment, plan.variable), environmentLine(plan.variable, url)), 0o600);
    // The mode counts only for a file that is made.
    chmodSync(join(directory, ".env"), 0o600);
  }
  const ignoring = readText(join(directory, ".gitignore")) ?? "";
  const missing = ignored.filter((line) => !ignoring.split(/\r?\n/).some((one) => one.replace(/^\//, "") === line));
  if (missing.length > 0) write(".gitignore", withLine(ignoring, `${missing.join("\n")}\n`));
}

function withLine(text: string, line: string): string {
  return text === "" || text.endsWith("\n") ? text + line : `${text}\n${line}`;
}

function withoutVariable(text: string, variable: string): string {
  return text.replaceAll(new RegExp(`^\\s*(export\\s+)?${variable}\\s*=.*\\n?`, "gm"), "");
}

function say({ terminal }: CommandContext, { captured, left, sample }: InitPlan): void {
  terminal.print(`  captures ${captured.map(nameOf).join(", ")}`);
  if (left.length > 0)
    terminal.print(`  leaves ${printNumber(left.length, "table")}, listed in app.ts with the reason`);
  if (sample === null) terminal.print("  no sample view: no table has a primary key");
}

function reasons({ left }: InitPlan): string {
  return left
    .slice(0, 5)
    .map(({ table, reason }) => `${nameOf(table)}: ${reason}`)
    .join("; ");
}

/** With the package manager that called us; its failure is told, and what was written stays. */
async function install({ directory, terminal }: CommandContext): Promise<void> {
  const manager = readCaller().packageManager ?? "npm";
  terminal.print(`installing with ${manager}`);
  const code = await new Promise<number | null>((resolve, reject) => {
    // None of our dependencies needs its install script, and pnpm makes a failure of one that it does not run.
    const quiet = manager === "npm" ? ["--no-audit", "--no-fund"] : [];
    const child = spawn(manager, ["install", "--ignore-scripts", ...quiet], {
      cwd: directory,
      stdio: ["ignore", 2, 2],
    });
    child.on("error", reject);
    child.on("exit", resolve);
  }).catch((cause: Error) => {
    terminal.note(cause.message);
    return null;
  });
  if (code !== 0) {
    throw new MillraceError("MODULE_UNREADABLE", `${manager} install failed; its words are above`, {
      hint: `Repair it, run ${manager} install, then npx millrace doctor.`,
    });
  }
}
