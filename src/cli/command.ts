/** What every command is given, and how it is hung into the command line. */
import type { Command } from "commander";
import type { Clock } from "../base/clock.ts";
import { loadEnvironment, readSettings, type Settings } from "../settings.ts";
import { type Api, openApi } from "./api.ts";
import type { Terminal } from "./terminal.ts";

export interface CommandContext {
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** Where the command was called. */
  readonly directory: string;
  readonly input: AsyncIterable<Uint8Array>;
  /** Answers how to take the handler off again. */
  onSignal(handler: (signal: NodeJS.Signals) => void): () => void;
  /** The end of the one who started this process and asked to be minded; never called when nobody did. */
  onLauncherGone(handler: () => void): void;
  /** Ends the process at once. */
  exit(exitCode: number): void;
  /** Sets the exit code of a command that is done but has not succeeded. */
  fail(exitCode: number): void;
}

export type CommandModule = (program: Command, context: CommandContext) => void;

/** With what `.env` of the folder says. Throws `SETTING_INVALID`. */
export function settingsIn(directory: string): Settings {
  loadEnvironment(directory);
  return readSettings(directory);
}

export function apiOf(context: CommandContext): Api {
  return openApi(settingsIn(context.directory));
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.print(JSON.stringify(value, null, 2));
}
