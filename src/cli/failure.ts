/** How a failure ends a command: its sentence, its hint and its code on stderr, and the exit code of the table. */
import { errorCodes } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Answers the exit code. */
export function printFailure(terminal: Terminal, value: unknown): number {
  const error = MillraceError.from(value);
  terminal.note(`${terminal.styleNote("red", "millrace:")} ${printable(error.message).replaceAll("\n", "\n  ")}`);
  if (error.hint !== undefined) terminal.note(`  ${printable(error.hint)}`);
  for (const reason of causesOf(error)) terminal.note(terminal.styleNote("dim", `  because: ${printable(reason)}`));
  terminal.note(terminal.styleNote("dim", `  ${error.code}`));
  if (error.code === "INTERNAL_ERROR" && error.cause instanceof Error) terminal.note(error.cause.stack ?? "");
  return errorCodes[error.code].exit;
}

/** What is not said by the error itself. */
function causesOf(error: MillraceError): string[] {
  if (error.code === "INTERNAL_ERROR") return [];
  const reasons: string[] = [];
  for (let cause = error.cause; cause instanceof Error && reasons.length < 4; cause = cause.cause) {
    const said = [error.message, ...reasons].some((text) => text.includes((cause as Error).message));
    if (!said) reasons.push(cause.message);
  }
  return reasons;
}
