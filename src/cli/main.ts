/** The process around the command line: its streams, its signals, its end. */
import { systemClock } from "../base/clock.ts";
import { readCaller, readSettings } from "../settings.ts";
import type { CommandContext } from "./command.ts";
import { runCommandLine } from "./command-line.ts";
import { watchLauncher } from "./launcher.ts";
import { openTerminal } from "./terminal.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function main(args: readonly string[]): Promise<never> {
  return inProcess((context) => runCommandLine(args, context));
}

/** Runs with this process's streams and signals, and ends it with the exit code that `run` resolves to. */
export async function inProcess(run: (context: CommandContext) => Promise<number>): Promise<never> {
  endWithReader();
  const terminal = openTerminal({ out: process.stdout, errors: process.stderr }, noColor);
  let exitCode = 0;
  const failed = await run({
    terminal,
    clock: systemClock,
    directory: process.cwd(),
    input: process.stdin,
    onSignal(handler) {
      for (const signal of signals) process.on(signal, handler);
      return () => {
        for (const signal of signals) process.off(signal, handler);
      };
    },
    onLauncherGone: (handler) => {
      watchLauncher(handler, { clock: systemClock, byPackageManager: readCaller().launched });
    },
    exit: (code) => process.exit(code),
    fail: (code) => {
      exitCode = code;
    },
  });
  await flush(process.stdout);
  await flush(process.stderr);
  process.exit(failed || exitCode);
}

/** A result that nobody reads any more (`| head`) is no failure. */
function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  process.stderr.on("error", () => {});
}

function noColor(): boolean {
  try {
    return readSettings(process.cwd()).noColor;
  } catch {
    // The command that needs the settings says what is wrong with them.
    return false;
  }
}

function flush(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
