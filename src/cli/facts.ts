import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** Names and what they are, one per line; what is null is left out. */
export function printFacts(terminal: Terminal, facts: Readonly<Record<string, string | null>>): void {
  const shown = Object.entries(facts).filter(([, value]) => value !== null);
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  for (const [name, value] of shown) {
    terminal.print(`${terminal.style("dim", name.padEnd(width))}  ${printable(value ?? "")}`);
  }
}
