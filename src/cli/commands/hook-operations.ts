/** `sources reconcile` and `sources replay`: what is asked of a source of webhooks. */
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.ts";
import { AmountProgress } from "../amount-progress.ts";
import { type HookAnswer, type SourceAnswer, segment } from "../answers.ts";
import type { Api } from "../api.ts";
import { apiOf, type CommandContext, printJson } from "../command.ts";
import { printCount, printSpan } from "../quantity.ts";

export function hookOperationCommands(sources: Command, context: CommandContext): void {
  sources
    .command("reconcile <source>")
    .description("ask the vendor of a webhook source now for what its calls did not bring")
    .option("--since <time>", "everything since then, as far back as ids are known: 6d, or 2026-11-21T10:00:00Z")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ millrace sources reconcile stripe\n  $ millrace sources reconcile stripe --since 6d",
    )
    .action((name: string, options: ReconcileOptions) => reconcile(name, options, context));
  sources
    .command("replay <source>")
    .description("take kept events of a webhook source once more, into its own topic or another one")
    .requiredOption("--from <time>", "when they arrived: 1h, or 2026-11-21T10:00:00Z")
    .option("--to <time>", "the same; not included")
    .option("--into <topic>", "a topic that is there; the source's own when it is left out")
    .option("--id <id>", "only the event of this id")
    .option("--type <type>", "only events of this type")
    .option("--key <key>", "only events of this key")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ millrace sources replay stripe --from 1h --type invoice.paid --into invoices-test\n  $ millrace sources replay stripe --from 2026-11-21T10:00:00Z --to 2026-11-21T11:00:00Z",
    )
    .action((name: string, options: ReplayOptions) => replay(name, options, context));
}

interface ReconcileOptions {
  readonly since?: string;
  readonly json?: true;
}

type Reconciling = NonNullable<HookAnswer["reconcile"]>;

const lookMs = 200;

/** Waits until a pass that began later than this has ended, or failed. */
async function reconcile(name: string, { since, json }: ReconcileOptions, context: CommandContext): Promise<void> {
  const { terminal, clock } = context;
  const api = apiOf(context);
  const path = `/v1/sources/${segment(name)}`;
  const query = since === undefined ? "" : `?since=${encodeURIComponent(since)}`;
  const before = reconcilingOf((await api.get(path)) as SourceAnswer);
  await api.post(`${path}/reconcile${query}`, "application/json", "");
  const progress = new AmountProgress(terminal, "asked for", printSpan);
  let beganMs: number | undefined;
  try {
    for (;;) {
      const source = (await api.get(path)) as SourceAnswer;
      const now = reconcilingOf(source);
      if (now.window) {
        beganMs ??= Date.parse(now.window.since);
        progress.show(Math.max(0, Date.parse(now.window.since) - beganMs), Math.max(0, clock.now() - beganMs));
      }
      if (now.error && now.failures > before.failures) throw failureOf(now.error);
      if (now.passes > before.passes) {
        progress.close();
        if (json) return printJson(terminal, source);
        return terminal.print(foundSince(before, now));
      }
      await clock.sleep(lookMs);
    }
  } finally {
    progress.close();
  }
}

function reconcilingOf({ name, hook }: SourceAnswer): Reconciling {
  if (hook?.reconcile) return hook.reconcile;
  throw new MillraceError("RECONCILE_UNDEFINED", `source "${name}" has no list to ask`, {
    hint: "Add reconcile: { list: async ({ since, until, cursor, fetch }) => … } to its webhook.",
  });
}

function failureOf({ message, hint }: NonNullable<Reconciling["error"]>): MillraceError {
  return new MillraceError("RECONCILE_FAILED", message, hint === null ? {} : { hint });
}

function foundSince(before: Reconciling, now: Reconciling): string {
  const more = (name: "listed" | "missed" | "altered" | "corrected") => printCount(now[name] - before[name]);
  const corrected =
    now.corrected > before.corrected ? `, of which ${more("corrected")} were kept as the list has them` : "";
  return `${more("listed")} events are in the list up to ${now.completeTo}: ${more("missed")} were missed and are kept now, ${more("altered")} are otherwise than they were kept${corrected}`;
}

interface ReplayOptions {
  readonly from: string;
  readonly to?: string;
  readonly into?: string;
  readonly id?: string;
  readonly type?: string;
  readonly key?: string;
  readonly json?: true;
}

interface ReplayAnswer {
  readonly read: number;
  readonly replayed: number;
  readonly next: string | null;
}

/** Asks until the span is read; what was replayed is told also when it ends early. */
async function replay(
  name: string,
  { json, from, to, ...rest }: ReplayOptions,
  context: CommandContext,
): Promise<void> {
  const { terminal } = context;
  const api: Api = apiOf(context);
  const kept = Object.entries(rest).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const span: [string, string][] = [["from", from], ...(to === undefined ? [] : [["to", to] as [string, string]])];
  let query = new URLSearchParams([...kept, ...span]);
  let read = 0;
  let replayed = 0;
  const tell = () => `${printCount(replayed)} of ${printCount(read)} events were replayed into ${rest.into ?? name}`;
  try {
    for (;;) {
      const answer = (await api.post(
        `/v1/sources/${segment(name)}/replay?${query}`,
        "application/json",
        "",
      )) as ReplayAnswer;
      read += answer.read;
      replayed += answer.replayed;
      if (answer.next === null) break;
      if (terminal.interactive) terminal.errors.write(`\r${tell()}\u001b[K`);
      query = new URLSearchParams([...kept, ["cursor", answer.next]]);
    }
  } catch (error) {
    if (replayed > 0) terminal.note(`${tell()}, and then it stopped`);
    throw error;
  } finally {
    if (terminal.interactive) terminal.errors.write("\r\u001b[K");
  }
  if (json) printJson(terminal, { read, replayed });
  else terminal.print(tell());
}
