import { resolve } from "node:path";
import { type CommandContext, type CommandModule, settingsIn } from "../command.ts";
import { importFirst } from "../load-module.ts";
import { runProgram } from "../run.ts";

interface ModuleOptions {
  readonly import?: string;
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
    .addHelpText(
      "after",
      `
Watches nothing, drops nothing, keeps replication slots. Ends at SIGTERM when everything is on disk.

Example:
  $ millrace start app.ts`,
    )
    .action((file: string | undefined, options: ModuleOptions) => run("start", file, options, context));
};

async function run(
  mode: "dev" | "start",
  file: string | undefined,
  options: ModuleOptions,
  context: CommandContext,
): Promise<void> {
  const module = resolve(context.directory, file ?? "app.ts");
  if (options.import !== undefined) {
    settingsIn(resolve(module, ".."));
    await importFirst(options.import, context.directory);
  }
  await runProgram({ module, mode }, context);
}
