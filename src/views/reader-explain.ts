/** A compiled view as text for people: class, key, indexes, and the statements that keep it. */
import type { CompiledView } from "./compiled-view.ts";
import { findIndexes, findTables } from "./find/find-columns.ts";
import type { ViewInfo } from "./view-info.ts";

export function explainView(info: ViewInfo, compiled: CompiledView | null): string {
  const head = [
    `view ${info.name}`,
    `state: ${stateText(info)}`,
    `columns: ${info.columns.map((column) => `${column.name} ${column.type}`).join(", ")}`,
    section("definition", [info.sql.trim()]),
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
    section("indexes on mirrors", indexes),
    ...compiled.terms.map((term) => {
      return section(`delta term: mirror ${term.mirrorId}, ${term.place} it takes the batch`, [term.sql]);
    }),
    ...(compiled.recompute.length === 0 ? [] : [section("the query for the keys that were found", compiled.recompute)]),
    section("merge", [compiled.merge("$batch")]),
  ].join("\n")}\n`;
}

/** The functions that they need are the same for all views. */
function isTable(sql: string): boolean {
  return !sql.includes(" function ");
}

function stateText(info: ViewInfo): string {
  switch (info.state.kind) {
    case "building":
      return `building (${info.state.reason})`;
    case "failed":
      return `failed (${info.state.error.code}: ${info.state.error.message})`;
    case "live":
      return info.state.replacement ? `live (its next version ${info.state.replacement.reason})` : "live";
    default:
      return info.state.kind;
  }
}

function section(title: string, texts: readonly string[]): string {
  const lines = texts.length === 0 ? ["none"] : texts.flatMap((text) => text.trim().split("\n"));
  return `\n${title}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
