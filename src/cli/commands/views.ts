import { MillraceError } from "../../base/errors.ts";
import { type FindOptions, mainGroup, type ReadOptions } from "../../catalog/definitions.ts";
import type { BuildProgress } from "../../views/view-info.ts";
import type { List, PublishingAnswer, ViewAnswer } from "../answers.ts";
import { segment } from "../answers.ts";
import { apiOf, type CommandModule, printJson } from "../command.ts";
import { printFacts } from "../facts.ts";
import { printCount } from "../quantity.ts";
import { printable, printTable } from "../table.ts";
import { viewQueryCommands } from "./view-queries.ts";
import { viewRebuildCommand } from "./view-rebuild.ts";

export const viewsCommand: CommandModule = (program, context) => {
  const { terminal } = context;
  const views = program
    .command("views")
    .description("queries that are kept up to date: list, show, explain, rebuild, query");
  views
    .command("list")
    .description("all views with their states")
    .option("--json", "as JSON")
    .action(async ({ json }: { json?: true }) => {
      const answer = await apiOf(context).get("/v1/views");
      if (json) return printJson(terminal, answer);
      const { items } = answer as List<ViewAnswer>;
      const isGrouped = items.some(({ group }) => group !== undefined && group !== mainGroup);
      const isPublished = items.some(({ publishing }) => publishing !== undefined);
      const isPoliced = items.some(({ policy }) => policy !== undefined);
      printTable(
        terminal,
        [
          { title: "view" },
          ...(isGrouped ? [{ title: "group" }] : []),
          { title: "class" },
          { title: "key" },
          { title: "rows (about)", align: "right" },
          { title: "changes", align: "right" },
          ...(isPublished ? [{ title: "topic" }] : []),
          ...(isPoliced ? [{ title: "shown to" }] : []),
          { title: "state" },
        ],
        items.map((view) => [
          view.name,
          ...(isGrouped ? [view.group ?? mainGroup] : []),
          view.class,
          view.key === null ? "–" : view.key.join(", ") || "one row",
          printCount(Math.max(0, view.rowsEstimated)),
          printCount(view.changes),
          ...(isPublished ? [topicOf(view.publishing)] : []),
          ...(isPoliced ? [view.policy === undefined ? "everybody" : "callers, not by SQL"] : []),
          stateOf(view),
        ]),
      );
    });
  views
    .command("show <view>")
    .description("one view: its columns, its key and its definition")
    .option("--json", "as JSON")
    .action(async (name: string, { json }: { json?: true }) => {
      const { items } = (await apiOf(context).get("/v1/views")) as List<ViewAnswer>;
      const view = items.find((one) => one.name === name);
      if (view === undefined) {
        throw new MillraceError("VIEW_UNKNOWN", `there is no view "${name}"`, {
          hint: `There are: ${items.map((one) => one.name).join(", ") || "none"}.`,
        });
      }
      if (json) return printJson(terminal, view);
      const error = "error" in view.state ? view.state.error : null;
      printFacts(terminal, {
        view: view.name,
        group: view.group === mainGroup ? null : (view.group ?? null),
        state: stateOf(view),
        problem: error && `${error.message} (${error.code})`,
        "what to do": error?.hint ?? null,
        class: view.class,
        key: view.key === null ? "none: rows may be equal" : view.key.join(", ") || "none: exactly one row",
        "searched by": searchedBy(view.find),
        "read as": readAs(view.reads),
        refresh:
          view.refresh === undefined ? null : `every ${view.refresh.every}${view.refresh.behind ? ", behind now" : ""}`,
        window: view.window === undefined ? null : windowOf(view.window),
        watermark: watermarksOf(view.watermarks),
        history: view.history === "store" ? "in the store: of what the log has let go it is the only copy" : null,
        versions: view.versions === undefined ? null : `in ${view.versions.name}, ${view.versions.keep ?? "for ever"}`,
        "published to": view.publishing?.topic ?? null,
        publishing: view.publishing === undefined ? null : publishingOf(view.publishing),
        "why it is not": whyNot(view.publishing),
        "shown to callers where": view.policy?.trim() ?? null,
        rows: `about ${printCount(Math.max(0, view.rowsEstimated))}`,
      });
      terminal.print("");
      printTable(
        terminal,
        [{ title: "column" }, { title: "type" }],
        view.columns.map((column) => [column.name, column.type + (column.nullable ? "" : " not null")]),
      );
      terminal.print(`\n${printable(view.sql.trim())}`);
    });
  views
    .command("explain <view>")
    .description("how a view is kept up to date: its class, statements and indexes")
    .action(async (name: string) => {
      const text = await apiOf(context).getText(`/v1/explain/${segment(name)}`);
      terminal.print(text.trimEnd());
    });
  viewRebuildCommand(views, context);
  viewQueryCommands(views, context);
};

/** Each of these has an index. */
export function searchedBy(find: FindOptions | undefined): string | null {
  if (find === undefined) return null;
  const { search, fuzzy, geo, tree } = find;
  const words = search?.columns.map(({ column, weight }) => `${column} (${weight})`).join(", ");
  return [
    ...(search ? [`words of ${words}, ${search.language}`] : []),
    ...(fuzzy.length > 0 ? [`what resembles ${fuzzy.join(", ")}`] : []),
    ...(geo ? [`the place (${geo.lat}, ${geo.lon})`] : []),
    ...(tree ? [`paths in ${tree.join(", ")}`] : []),
  ].join("; ");
}

export function windowOf({ ends, grace, session, emit }: NonNullable<ViewAnswer["window"]>): string {
  const sessions = session === undefined ? "" : `sessions by ${session.by.join(", ")} with gaps of ${session.gap}; `;
  return `${sessions}ends by ${ends}${grace === "0ms" ? "" : `, ${grace} of grace`}; rows are shown ${emit === "final" ? "when it is over" : "from the first event on"}`;
}

function watermarksOf(watermarks: ViewAnswer["watermarks"] = []): string | null {
  const told = watermarks.map(({ topic, at }) => `${topic} ${at ?? "not known yet"}`);
  return told.length === 0 ? null : told.join(", ");
}

/** What its rows are, beside rows. */
export function readAs(reads: ReadOptions | undefined): string | null {
  if (reads === undefined) return null;
  const { graph, series } = reads;
  const edges = graph && [
    `edges from ${graph.from} to ${graph.to}`,
    ...(graph.label === undefined ? [] : [`labels in ${graph.label}`]),
    ...(graph.weight === undefined ? [] : [`weights in ${graph.weight}`]),
  ];
  const values = series && [
    `values at ${series.time}`,
    ...(series.by.length === 0 ? [] : [`by ${series.by.join(", ")}`]),
  ];
  const told = [edges, values].flatMap((one) => (one === undefined ? [] : [one.join(", ")]));
  return told.length === 0 ? null : told.join("; ");
}

/** In a list: that something is the matter is seen there, what it is in `show`. */
export function topicOf(publishing: PublishingAnswer | undefined): string {
  if (publishing === undefined) return "–";
  const { topic, state } = publishing;
  return "error" in state ? `${topic} (${state.kind}: ${state.error.code})` : topic;
}

export function publishingOf({ state, position, behind, batches, records }: PublishingAnswer): string {
  const written = `${printCount(records)} records of ${printCount(batches)} batches since the start`;
  const kind = "error" in state && state.kind === "waiting" ? "waits, and tries again" : state.kind;
  if (position === null) return `${kind}; ${written}`;
  return `${kind}, at ${position}${behind === null ? "" : `, ${printCount(behind)} batches behind`}; ${written}`;
}

function whyNot(publishing: PublishingAnswer | undefined): string | null {
  if (publishing === undefined || !("error" in publishing.state)) return null;
  const { code, message, hint } = publishing.state.error;
  return `${message} (${code})${hint === null ? "" : `. ${hint}`}`;
}

function stateOf({ state }: ViewAnswer): string {
  if (state.kind === "building") return `building, ${progressOf(state)}`;
  if (state.kind === "live" && state.replacement) return `live; its next version: ${progressOf(state.replacement)}`;
  return "error" in state ? `failed: ${state.error.code}` : state.kind;
}

function progressOf({ reason, rowsDone, rowsEstimated }: BuildProgress): string {
  const of = rowsEstimated === null ? "" : ` of about ${printCount(Math.max(rowsDone, rowsEstimated))}`;
  return `${printCount(rowsDone)}${of} rows: ${reason}`;
}
