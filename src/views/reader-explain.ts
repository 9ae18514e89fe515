/** A compiled view as text for people: class, key, indexes, and the statements that keep it. */
import { MillraceError } from "../base/errors.ts";
import type { CompiledView } from "./compiled-view.ts";
import { findIndexes, findTables } from "./find/find-columns.ts";
import { readIndexes } from "./read-indexes.ts";
import type { CountedRead } from "./unindexed-reads.ts";
import type { Upkeep } from "./upkeep.ts";
import type { ViewInfo } from "./view-info.ts";

/** `upkeep` is null while no version can be read, or why it is not known. */
export function explainView(
  info: ViewInfo,
  compiled: CompiledView | null,
  upkeep: Upkeep | MillraceError | null,
  unindexed: readonly CountedRead[] = [],
): string {
  const head = [
    `view ${info.name}`,
    `state: ${stateText(info)}`,
    `columns: ${info.columns.map((column) => `${column.name} ${column.type}`).join(", ")}`,
    section("definition", [info.sql.trim()]),
    ...(unindexed.length === 0
      ? []
      : [section("reads that no index served, the latest first", unindexed.map(readText))]),
  ];
  if (!compiled) return `${head.join("\n")}\n`;
  const indexes = compiled.mirrorIndexes.map((index) => `mirror ${index.mirrorId} (${index.columns.join(", ")})`);
  return `${[
    ...head,
    section("how it is kept", [compiled.explanation]),
    section("query over the mirrors", [compiled.query]),
    section("tables and indexes", compiled.create),
    ...(compiled.find === undefined
      ? []
      : [
          section(
            "what it is searched by",
            [...findTables(compiled, {}), ...findIndexes(compiled, {})].filter(isTable),
          ),
        ]),
    ...(compiled.reads === undefined ? [] : [section("what else it is read by", readIndexes(compiled, info.columns))]),
    section("indexes on mirrors", indexes),
    ...(compiled.clock?.terms ?? []).map((sql) => section("what time lets in and out: before any mirror", [sql])),
    ...compiled.terms.map((term) => {
      return section(`delta term: mirror ${term.mirrorId}, ${term.place} it takes the batch`, [term.sql]);
    }),
    ...(compiled.recompute.length === 0 ? [] : [section("the query for the keys that were found", compiled.recompute)]),
    section("merge", [compiled.merge("$batch")]),
    ...(compiled.whole === undefined
      ? []
      : [
          section("what is compared in one snapshot", compiled.whole.compare),
          section("and brought in", compiled.whole.bring("$batch")),
        ]),
    ...upkeepSections(info, upkeep),
  ].join("\n")}\n`;
}

/** The functions that they need are the same for all views. */
function isTable(sql: string): boolean {
  return !sql.includes(" function ");
}

function readText({ filtered, ordered, option, count }: CountedRead): string {
  const by = [
    ...(filtered.length === 0 ? [] : [`filtered by ${filtered.join(", ")}`]),
    ...(ordered.length === 0 ? [] : [`ordered by ${ordered.join(", ")}`]),
  ];
  return `${count.toLocaleString("en")} ${by.join(", ")}; ${option === null ? "no option helps" : `it would take ${option}`}`;
}

function upkeepSections(info: ViewInfo, upkeep: Upkeep | MillraceError | null): string[] {
  if (upkeep === null) return [];
  if (upkeep instanceof MillraceError) return [section("what it takes now", [`not known: ${upkeep.message}`])];
  const { stateBytes, changeBytes, plans } = upkeep;
  const rows = Math.max(0, info.rowsEstimated).toLocaleString("en");
  const whole = [...new Set(plans.flatMap((plan) => plan.readWhole))];
  return [
    section("what it takes now", [
      `about ${rows} rows, ${megabytes(stateBytes)} with their indexes; ${megabytes(changeBytes)} of change rows for readers`,
      ...(plans.length === 0 ? [] : ["a batch of a few changed rows runs as follows; costs are PostgreSQL's"]),
      ...whole.map((table) => `slow: each such batch reads ${table} from one end to the other`),
    ]),
    ...plans.map(({ about, lines }) => section(`plan of ${about}`, [lines.join("\n")])),
  ];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MB`;
}

function stateText(info: ViewInfo): string {
  switch (info.state.kind) {
    case "building":
      return `building (${info.state.reason})`;
    case "failed":
      return `failed (${info.state.error.code}: ${info.state.error.message})`;
    case "live":
      if (info.state.replacement) return `live (its next version ${info.state.replacement.reason})`;
      return info.refresh?.behind ? "live, behind what it reads" : "live";
    default:
      return info.state.kind;
  }
}

function section(title: string, texts: readonly string[]): string {
  const lines = texts.length === 0 ? ["none"] : texts.flatMap((text) => text.trim().split("\n"));
  return `\n${title}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
