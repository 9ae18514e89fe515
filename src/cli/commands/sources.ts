import type { List, SourceAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import { apiOf, type CommandModule, printJson } from "../command.ts";
import { printFacts } from "../facts.ts";
import { printBytes, printCount, printSpan } from "../quantity.ts";
import { printTable } from "../table.ts";

export const sourcesCommand: CommandModule = (program, context) => {
  const { terminal } = context;
  const sources = program.command("sources").description("databases that are captured: list, show, resnapshot");
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
    });
  sources
    .command("show <source>")
    .description("one source: its tables with their columns, its position, its warnings")
    .option("--json", "as JSON")
    .action(async (name: string, { json }: { json?: true }) => {
      const answer = await apiOf(context).get(`/v1/sources/${segment(name)}`);
      if (json) return printJson(terminal, answer);
      const source = answer as SourceAnswer;
      const error = "error" in source.state ? source.state.error : null;
      printFacts(terminal, {
        source: `${source.name} (${source.type})`,
        database: source.url,
        state: stateOf(source),
        problem: error && `${error.message} (${error.code})`,
        "what to do": error?.hint ?? null,
        position: source.position,
        lag: lagOf(source),
        slot: source.slot,
        "since start": `${printCount(source.changes)} changes in ${printCount(source.transactions)} transactions`,
      });
      for (const warning of source.warnings) terminal.print(`${terminal.style("yellow", "warning")}  ${warning}`);
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
  sources
    .command("resnapshot <source>")
    .description("read a source anew, where changes were lost: its views are built again from the new snapshot")
    .option("--json", "as JSON")
    .action(async (name: string, { json }: { json?: true }) => {
      const answer = await apiOf(context).post(`/v1/sources/${segment(name)}/resnapshot`, "application/json", "");
      if (json) return printJson(terminal, answer);
      terminal.print(`a new snapshot of ${name} begins; follow it with millrace sources show ${name}`);
    });
};

function stateOf({ state }: SourceAnswer): string {
  if (state.kind === "snapshotting") {
    return `snapshot ${printCount(state.rows)} of about ${printCount(Math.max(state.rows, state.rowsEstimated))} rows`;
  }
  return "error" in state ? `${state.kind}: ${state.error.code}` : state.kind;
}

function lagOf({ lagMs, lagBytes }: SourceAnswer): string {
  const parts = [lagMs === null ? null : printSpan(lagMs), lagBytes === null ? null : printBytes(lagBytes)];
  return parts.filter((part) => part !== null).join(", ") || "unknown";
}
