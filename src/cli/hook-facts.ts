/** A source of webhooks for a terminal: what was kept, what was refused and why. */
import type { HookAnswer, SourceAnswer } from "./answers.ts";
import { printFacts } from "./facts.ts";
import { printBytes, printCount } from "./quantity.ts";
import { printable } from "./table.ts";
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
  if (hook.reconcile) printReconciling(terminal, hook.reconcile);
  for (const warning of source.warnings) terminal.print(`${terminal.style("yellow", "warning")}  ${warning}`);
}

function printReconciling(terminal: Terminal, now: NonNullable<HookAnswer["reconcile"]>): void {
  const { completeTo, window, nextAt, error } = now;
  printFacts(terminal, {
    reconciled: completeTo === null ? "not yet" : `up to ${completeTo}`,
    asking: window && `for ${window.since} to ${window.until}, ${printCount(window.pages)} pages so far`,
    "next pass": nextAt,
    "list fails": error && `${error.message} (${error.code})`,
    found: `${printCount(now.listed)} listed, ${printCount(now.missed)} missed, ${printCount(now.altered)} altered, ${printCount(now.corrected)} corrected`,
  });
  for (const { kind, id, partition, offset, at } of now.recent) {
    terminal.print(`${terminal.style("cyan", kind)}  ${printable(id)} at ${partition}/${offset}, found ${at}`);
  }
}

function countsOf(counts: Readonly<Record<string, number>>): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some.map(([reason, count]) => `${printCount(count)} ${reason}`).join(", ") || "none";
}
