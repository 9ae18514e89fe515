/** A source of webhooks for a terminal: what was kept, what was refused and why. */
import type { HookAnswer, SourceAnswer } from "./answers.ts";
import { printFacts } from "./facts.ts";
import { printBytes, printCount } from "./quantity.ts";
import type { Terminal } from "./terminal.ts";

export function printHook(terminal: Terminal, source: SourceAnswer, hook: HookAnswer): void {
  const error = "error" in source.state ? source.state.error : null;
  const { ids } = hook;
  printFacts(terminal, {
    source: `${source.name} (${source.type})`,
    path: source.url,
    state: source.state.kind,
    problem: error ? `${error.message} (${error.code})` : null,
    "what to do": error?.hint ?? null,
    verified: hook.verifier,
    topic: hook.topic,
    "last event": hook.lastEventAt ?? "none since the start",
    "since start": `${printCount(hook.accepted)} kept, ${printCount(hook.duplicates)} copies, ${printCount(hook.challenges)} challenges`,
    refused: countsOf(hook.refused),
    late: hook.late > 0 ? `${printCount(hook.late)} behind a later event of their key` : null,
    ids: `${printCount(ids.held)} of at most ${printCount(ids.max)}, in ${printBytes(ids.bytes)}`,
  });
  for (const warning of source.warnings) terminal.print(`${terminal.style("yellow", "warning")}  ${warning}`);
}

function countsOf(counts: Readonly<Record<string, number>>): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some.map(([reason, count]) => `${printCount(count)} ${reason}`).join(", ") || "none";
}
