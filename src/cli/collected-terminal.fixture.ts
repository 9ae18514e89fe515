/** For tests of commands: a terminal that keeps what it is told. */
import { Writable } from "node:stream";
import { openTerminal, type Terminal } from "./terminal.ts";

export interface Said {
  out: string;
  errors: string;
}

/** `screen`: somebody looks. */
export function collectedTerminal(screen = false): { readonly terminal: Terminal; readonly said: Said } {
  const said: Said = { out: "", errors: "" };
  const streamOf = (name: keyof Said) => {
    const write = (chunk: unknown, _encoding: string, done: () => void) => {
      said[name] += String(chunk);
      done();
    };
    return Object.assign(new Writable({ write }), { isTTY: screen });
  };
  return { terminal: openTerminal({ out: streamOf("out"), errors: streamOf("errors") }, () => true), said };
}
