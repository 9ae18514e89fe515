/** The commands as one tree, and what a wrong call looks like: exit code 2 with a hint. */
import { Command, CommanderError } from "commander";
import type { CommandContext, CommandModule } from "./command.ts";
import { checkCommand } from "./commands/check.ts";
import { devCommand, startCommand } from "./commands/dev.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { initCommand } from "./commands/init.ts";
import { logCommand } from "./commands/log.ts";
import { publishCommand } from "./commands/publish.ts";
import { schemasCommand } from "./commands/schemas.ts";
import { sourcesCommand } from "./commands/sources.ts";
import { tailCommand } from "./commands/tail.ts";
import { topicsCommand } from "./commands/topics.ts";
import { typesCommand } from "./commands/types.ts";
import { versionCommand } from "./commands/version.ts";
import { viewsCommand } from "./commands/views.ts";
import { printFailure } from "./failure.ts";
import { packageVersion } from "./package-version.ts";

const commands: readonly CommandModule[] = [
  initCommand,
  devCommand,
  startCommand,
  checkCommand,
  typesCommand,
  doctorCommand,
  sourcesCommand,
  viewsCommand,
  topicsCommand,
  tailCommand,
  publishCommand,
  schemasCommand,
  logCommand,
  versionCommand,
];

const usageExit = 2;

/** Answers the exit code; never throws. */
export async function runCommandLine(args: readonly string[], context: CommandContext): Promise<number> {
  const program = new Command("millrace");
  program
    .description("Captures databases, keeps SQL views over them right, and tells whoever looks when they change.")
    .version(packageVersion(), "-V, --version", "print the version")
    .addHelpText("after", help)
    .configureOutput({
      writeOut: (text) => context.terminal.print(text.trimEnd()),
      writeErr: (text) => context.terminal.note(text.trimEnd()),
      outputError: (text, write) => write(inOurWords(text, context)),
    });
  for (const add of commands) add(program, context);
  for (const command of allOf(program)) {
    command
      .exitOverride()
      .copyInheritedSettings(program)
      .showHelpAfterError(`  Try ${pathOf(command)} --help.`);
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageExit;
    return printFailure(context.terminal, error);
  }
}

/** As other failures are printed: who speaks, the sentence, and below it what may have been meant. */
function inOurWords(text: string, { terminal }: CommandContext): string {
  return text.replace(/^error:/, terminal.styleNote("red", "millrace:")).replaceAll(/\n\((.*)\)/g, "\n  $1");
}

function allOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

const help = `
From nothing to a live view:
  $ npx millrace init --source postgres://user:password@host:5432/database
  $ npx millrace dev

Then, in a second terminal:
  $ npx millrace sources list
  $ npx millrace views query 'select * from views.order_cards limit 5'
  $ npx millrace tail shop.public.orders | jq -c .value

Exit codes: 0 done, 1 failed, 2 usage, 3 set-up, 4 wait and retry.`;
