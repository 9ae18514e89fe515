import { MillraceError } from "../../base/errors.ts";
import type { List, ReadAnswer, SourceAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import { apiOf, type CommandModule, printJson } from "../command.ts";
import { printFacts } from "../facts.ts";
import { printHook } from "../hook-facts.ts";
import { printBytes, printCount, printSpan } from "../quantity.ts";
import { printTable } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { grantSqlCommand } from "./grant-sql.ts";
import { hookOperationCommands } from "./hook-operations.ts";

export const sourcesCommand: CommandModule = (program, context) => {
  const { terminal } = context;
  const sources = program
    .command("sources")
    .description("databases that are captured: list, show, pause, resnapshot, …");
  sources
    .command("list")
    .description("all sources with their states and lags")
    .option("--json", "as JSON")
    .action(async ({ json }: { json?: true }) => {
      const answer = await apiOf(context).get("/v1/sources");
      if (json) return printJson(terminal, answer);
      const rows = (answer as List<SourceAnswer>).items.map((source) => {
        return [source.name, stateOf(source), lagOf(source), printCount(source.changes), source.url];
      });
      printTable(
        terminal,
        [
          { title: "source" },
          { title: "state" },
          { title: "lag" },
          { title: "changes", align: "right" },
          { title: "database" },
        ],
        rows,
      );
      for (const source of (answer as List<SourceAnswer>).items) {
        if (source.state.kind === "left")
          terminal.print(`${terminal.style("yellow", "warning")}  ${source.warnings.join(" ")}`);
        printOrphans(terminal, source);
      }
    });
  sources
    .command("show <source>")
    .description("one source: its tables with their columns, its position, its warnings")
    .option("--json", "as JSON")
    .action(async (name: string, { json }: { json?: true }) => {
      const answer = await apiOf(context).get(`/v1/sources/${segment(name)}`);
      if (json) return printJson(terminal, answer);
      const source = answer as SourceAnswer;
      if (source.hook) return printHook(terminal, source, source.hook);
      const error = "error" in source.state ? source.state.error : null;
      printFacts(terminal, {
        source: `${source.name} (${source.type})`,
        database: source.url,
        state: stateOf(source),
        problem: error ? `${error.message} (${error.code})` : null,
        "what to do": error?.hint ?? null,
        position: source.position,
        lag: lagOf(source),
        slot: source.slot,
        "log held": heldOf(source),
        "since start": `${printCount(source.changes)} changes in ${printCount(source.transactions)} transactions`,
      });
      printReading(terminal, source);
      for (const warning of source.warnings) terminal.print(`${terminal.style("yellow", "warning")}  ${warning}`);
      printOrphans(terminal, source);
      for (const table of source.tables) {
        terminal.print("");
        terminal.print(`${terminal.style("bold", `${table.schema}.${table.table}`)} → topic ${table.topic}`);
        printTable(
          terminal,
          [{ title: "column" }, { title: "type" }, { title: "key" }, { title: "remark" }],
          table.columns.map((column) => [
            column.name,
            column.sourceType + (column.nullable ? "" : " not null"),
            table.key?.includes(column.name) ? "key" : "",
            column.carriedAsText ? "carried as PostgreSQL's text" : "",
          ]),
        );
      }
    });
  const post = async (name: string, what: string, done: string, json: true | undefined, body = ""): Promise<void> => {
    const answer = await apiOf(context).post(`/v1/sources/${segment(name)}/${what}`, "application/json", body);
    if (json) return printJson(terminal, answer);
    terminal.print(`${done}; follow it with millrace sources show ${name}`);
  };
  sources
    .command("resnapshot <source>")
    .description("read a source anew, where changes were lost: its views are built again from the new snapshot")
    .option("--table <table>", "only this one, as schema.table, while the others go on")
    .option("--json", "as JSON")
    .action((name: string, { table, json }: { table?: string; json?: true }) => {
      if (table === undefined) return post(name, "resnapshot", `a new snapshot of ${name} begins`, json);
      return post(name, `resnapshot?table=${encodeURIComponent(table)}`, `${table} of ${name} is read anew`, json);
    });
  sources
    .command("adopt <source>")
    .description("go on from where a refused source's server is; the log says that changes may be missing")
    .option("--json", "as JSON")
    .action((name: string, { json }: { json?: true }) =>
      post(name, "adopt", `${name} is tried again, from where its server is`, json),
    );
  for (const [what, about, done] of [
    ["pause", "stop a source until it is resumed, through restarts", "stands still"],
    ["remove", "stop a source for good, before it is taken out of the module", "is removed"],
  ] as const) {
    const command = sources
      .command(`${what} <source>`)
      .description(about)
      .option("--keep-slot", "nothing is lost, and the source's server keeps its log until the source is resumed")
      .option("--drop-slot", "the server keeps nothing, and a resume takes a new snapshot")
      .option("--json", "as JSON")
      .action((name: string, options: HoldOptions) => {
        const body = options.source === undefined ? "" : JSON.stringify({ url: options.source });
        return post(name, `${what}?slot=${slotOf(what, options)}`, `${name} ${done}`, options.json, body);
      });
    if (what === "remove") command.option("--source <url>", "the database of one that is in app.ts no more");
  }
  sources
    .command("resume <source>")
    .description("end a pause, or a removal; a source whose slot was dropped is read anew")
    .option("--json", "as JSON")
    .action((name: string, { json }: { json?: true }) => post(name, "resume", `${name} goes on`, json));
  sources
    .command("retry <source>")
    .description("try what was set aside once more: rows that could not be read, records whose topic was missing")
    .option("--json", "as JSON")
    .action(async (name: string, { json }: { json?: true }) => {
      const answer = await apiOf(context).post(`/v1/sources/${segment(name)}/retry`, "application/json", "");
      if (json) return printJson(terminal, answer);
      const { tried, written, superseded, refused, reasons, more } = answer as RetryAnswer;
      terminal.print(
        `of ${printCount(tried)} set aside, ${printCount(written)} were written, ${printCount(superseded)} have a newer event, and ${printCount(refused)} stay`,
      );
      for (const reason of reasons) terminal.print(`  ${reason}`);
      if (more) terminal.print(`there are more: run millrace sources retry ${name} again`);
    });
  hookOperationCommands(sources, context);
  grantSqlCommand(sources, context);
};

interface RetryAnswer {
  readonly tried: number;
  readonly written: number;
  readonly superseded: number;
  readonly refused: number;
  readonly reasons: readonly string[];
  readonly more: boolean;
}

interface HoldOptions {
  readonly keepSlot?: true;
  readonly dropSlot?: true;
  readonly source?: string;
  readonly json?: true;
}

/** Neither is harmless, so that it must be said. */
function slotOf(what: string, { keepSlot, dropSlot }: HoldOptions): "keep" | "drop" {
  if (keepSlot !== dropSlot) return keepSlot ? "keep" : "drop";
  throw new MillraceError("USAGE_INVALID", `millrace sources ${what} needs --keep-slot or --drop-slot`, {
    hint: "A slot that is kept fills the source's disk with its log; one that is dropped costs a new snapshot.",
  });
}

/** Of those that wait only the first are named: the first load of a large database has hundreds. */
function printReading(terminal: Terminal, { reading = [] }: SourceAnswer): void {
  const shown = reading.filter(({ waiting }, i) => !waiting || i < readingMax);
  for (const { table, reason, waiting, ...read } of shown) {
    const how = waiting ? "waits for its turn" : printRead(read);
    terminal.print(`${terminal.style("cyan", "reading")}  ${table}: ${how} (${reason})`);
  }
  const more = reading.length - shown.length;
  if (more > 0) terminal.print(`${terminal.style("cyan", "reading")}  ${printCount(more)} more wait for their turn`);
}

const readingMax = 10;

function printOrphans(terminal: Terminal, { name, orphans }: SourceAnswer): void {
  if (orphans.length === 0) return;
  terminal.print("");
  terminal.print(
    `${terminal.style("yellow", "left behind")} in the database of ${name}, by Millraces that do not use it now:`,
  );
  for (const { kind, name: called, heldBytes, sql } of orphans) {
    const held = heldBytes === null ? "" : ` holds ${printBytes(heldBytes)} of its log`;
    terminal.print(`  ${kind} ${called}${held}; when nobody needs it: ${sql}`);
  }
}

function heldOf({ wal }: SourceAnswer): string | null {
  if (wal === null) return null;
  return `${printBytes(wal.heldBytes)}${wal.safeBytes === null ? "" : `, lost after another ${printBytes(wal.safeBytes)}`}`;
}

function stateOf({ state }: SourceAnswer): string {
  if (state.kind === "snapshotting") {
    return `snapshot ${printRead(state)}`;
  }
  if (state.kind === "paused" || state.kind === "removed") {
    return `${state.kind}, slot ${state.slot}${state.error === undefined ? "" : `: ${state.error.code}`}`;
  }
  if (state.kind === "left") return "not in app.ts, slot kept";
  return "error" in state ? `${state.kind}: ${state.error.code}` : state.kind;
}

function lagOf({ lagMs, lagBytes }: SourceAnswer): string {
  const parts = [lagMs === null ? null : printSpan(lagMs), lagBytes === null ? null : printBytes(lagBytes)];
  return parts.filter((part) => part !== null).join(", ") || "unknown";
}

function printRead({ rows, rowsEstimated, rowsPerSecond, remainingMs }: ReadAnswer): string {
  const amount = `${printCount(rows)} of about ${printCount(Math.max(rows, rowsEstimated))} rows`;
  const rate = rowsPerSecond === null ? "" : `, ${printCount(rowsPerSecond)}/s`;
  return `${amount}${rate}${remainingMs === null ? "" : `, about ${printSpan(remainingMs)} left`}`;
}
