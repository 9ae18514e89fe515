/**
 * Where a command's words go: results on stdout, everything else on stderr. A reader of stdout that has gone away
 * (`millrace tail orders | head`) ends the command quietly.
 */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { styleText } from "node:util";

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

export interface Terminal {
  /** A line of the result. */
  print(line: string): void;
  /** Part of a result that may be long; resolves when there is room for more. */
  write(text: string): Promise<void>;
  /** A line for the person at the screen. */
  note(line: string): void;
  /** Text in a style where stdout shows one. */
  style(style: Style, text: string): string;
  /** As `style`, for what goes to stderr. */
  styleNote(style: Style, text: string): string;
  /** Whether somebody looks at stderr: progress is drawn there, else told in lines. */
  readonly interactive: boolean;
  /** The width of stdout; undefined when it is no terminal. */
  readonly columns: number | undefined;
  readonly errors: Writable;
}

export interface TerminalStreams {
  readonly out: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly errors: Writable & { readonly isTTY?: boolean };
}

export function openTerminal({ out, errors }: TerminalStreams, noColor: () => boolean): Terminal {
  const paint = (style: Style, text: string, isTerminal: boolean | undefined): string => {
    return isTerminal && !noColor() ? styleText(style, text, { validateStream: false }) : text;
  };
  return {
    print: (line) => void out.write(`${line}\n`),
    async write(text) {
      if (!out.write(text)) await once(out, "drain");
    },
    note: (line) => void errors.write(`${line}\n`),
    style: (style, text) => paint(style, text, out.isTTY),
    styleNote: (style, text) => paint(style, text, errors.isTTY),
    interactive: errors.isTTY === true,
    columns: out.isTTY ? out.columns : undefined,
    errors,
  };
}
