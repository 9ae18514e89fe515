import { resolve } from "node:path";
import { MillraceError } from "../../base/errors.ts";
import { type CommandContext, type CommandModule, settingsIn } from "../command.ts";
import { importFirst } from "../load-module.ts";
import { runProgram } from "../run.ts";

interface ModuleOptions {
  readonly import?: string;
}

interface StartOptions extends ModuleOptions {
  readonly resnapshot?: readonly string[];
  readonly adopt?: readonly string[];
}

export const devCommand: CommandModule = (program, context) => {
  program
    .command("dev [app.ts]")
    .description("run the definitions of a module, and follow its edits")
    .option("--import <module>", "import this first: tsx, for what Node.js does not strip")
    .addHelpText(
      "after",
      `
Reloads when app.ts, or a file that it imports, is saved; a broken edit is told, and the definitions from before go on.
Views that are not defined any more are dropped; replication slots are given up at a clean stop. Writes
millrace-schema.json and millrace-env.d.ts beside app.ts.

Examples:
  $ millrace dev
  $ MILLRACE_PORT=8080 millrace dev services/shop/app.ts`,
    )
    .action((file: string | undefined, options: ModuleOptions) => run("dev", file, options, context));
};

export const startCommand: CommandModule = (program, context) => {
  program
    .command("start [app.ts]")
    .description("run the definitions of a module as a service")
    .option("--import <module>", "import this first: tsx, for what Node.js does not strip")
    .option("--resnapshot <source>", "where a source's database is not where it was left: read it anew", several)
    .option("--adopt <source>", "where a source's database is not where it was left: take it as it is", several)
    .addHelpText(
      "after",
      `
Watches nothing, drops nothing, keeps replication slots. Ends at SIGTERM when everything is on disk, and with the code
of the refusal when a source's database is not where it was left: its slot is gone or was made anew, it was restored from
a backup. --resnapshot and --adopt answer such a refusal; where there is none they do nothing.

Examples:
  $ millrace start app.ts
  $ millrace start app.ts --resnapshot shop`,
    )
    .action((file: string | undefined, options: StartOptions) => run("start", file, options, context));
};

async function run(
  mode: "dev" | "start",
  file: string | undefined,
  options: StartOptions,
  context: CommandContext,
): Promise<void> {
  const module = resolve(context.directory, file ?? "app.ts");
  if (options.import !== undefined) {
    settingsIn(resolve(module, ".."));
    await importFirst(options.import, context.directory);
  }
  await runProgram({ module, mode, whenRefused: answersOf(options) }, context);
}

/** An option that can be given more than once. */
function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** Throws `USAGE_INVALID` for a source that is named for both. */
function answersOf({ resnapshot = [], adopt = [] }: StartOptions): Map<string, "resnapshot" | "adopt"> {
  const both = resnapshot.find((name) => adopt.includes(name));
  if (both !== undefined)
    throw new MillraceError("USAGE_INVALID", `"${both}" is to be read anew, or adopted: not both`);
  return new Map([
    ...resnapshot.map((name) => [name, "resnapshot"] as const),
    ...adopt.map((name) => [name, "adopt"] as const),
  ]);
}
