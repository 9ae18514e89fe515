/** What `doctor` finds: each thing that was looked at, with what to do where it is not well. */
import { MillraceError } from "../base/errors.ts";
import { printable, wrap } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface Finding {
  readonly what: string;
  readonly state: "ok" | "warning" | "failed";
  readonly message: string;
  readonly hint?: string;
  readonly code?: string;
}

export function ok(what: string, message: string): Finding {
  return { what, state: "ok", message };
}

export function warning(what: string, message: string, hint?: string): Finding {
  return { what, state: "warning", message, ...(hint === undefined ? {} : { hint }) };
}

export function failed(what: string, thrown: unknown): Finding {
  const error = MillraceError.from(thrown);
  const { code, message, hint } = error;
  return { what, state: "failed", message, code, ...(hint === undefined ? {} : { hint }) };
}

/** The finding that `look` makes, or the failure that it throws. */
export async function finding(what: string, look: () => Promise<Finding> | Finding): Promise<Finding> {
  try {
    return await look();
  } catch (error) {
    return failed(what, error);
  }
}

export function printFindings(terminal: Terminal, findings: readonly Finding[]): void {
  const width = Math.max(0, ...findings.map(({ what }) => what.length));
  const marks = {
    ok: terminal.style("green", "ok     "),
    warning: terminal.style("yellow", "warning"),
    failed: terminal.style("red", "failed "),
  };
  const indent = " ".repeat(width + 11);
  for (const { what, state, message, hint, code } of findings) {
    const [first = "", ...more] = [
      ...wrap(printable(message) + (code === undefined ? "" : ` (${code})`), terminal.columns, indent.length),
      ...(hint === undefined ? [] : wrap(printable(hint), terminal.columns, indent.length)),
    ];
    terminal.print(`${marks[state]}  ${what.padEnd(width)}  ${first}`);
    for (const line of more) terminal.print(indent + line);
  }
}
