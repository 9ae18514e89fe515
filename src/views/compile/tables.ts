/** Which mirror a name in FROM means. */
import type { RangeVar } from "@pgsql/types";
import { mirrorName, quote } from "../../catalog/definitions.ts";
import { topicsSource } from "../../catalog/topic-table.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { historyName, viewOfHistory } from "./history-name.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import type { SourceText } from "./source-text.ts";

export interface NamedTable {
  readonly mirror: MirrorBinding;
  /** What its columns are reached by when it has no alias. */
  readonly alias: string;
  readonly path: readonly string[];
}

/** As messages name a table: `shop.orders`, `shop.audit.events`, `views.rates.history`. */
export function tableLabel(mirror: MirrorBinding): string {
  if (mirror.kept !== undefined) return mirror.kept.label;
  if (mirror.shape.history !== undefined) return `views.${historyName(mirror.shape.history.view)}`;
  return `${mirror.shape.source}.${mirrorName(mirror.shape.schema, mirror.shape.table)}`;
}

/** Quoted and qualified. */
export function mirrorTable(mirror: MirrorBinding): string {
  if (mirror.kept !== undefined) return mirror.kept.rows;
  return `${quote(mirror.shape.source)}.${quote(mirrorName(mirror.shape.schema, mirror.shape.table))}`;
}

/** Throws `VIEW_UNKNOWN_TABLE`, `VIEW_UNSUPPORTED`, `VIEW_SQL_INVALID`. */
export function resolveTable(name: RangeVar, mirrors: readonly MirrorBinding[], source: SourceText): NamedTable {
  const parts = [name.catalogname, name.schemaname, name.relname].filter((part) => part !== undefined);
  const at = name.location;
  const relation = parts.at(-1) ?? "";
  const found = mirrors.filter((mirror) => means(parts, mirror));
  if (found.length > 1) {
    const labels = found.map(tableLabel);
    throw source.refusal("VIEW_UNKNOWN_TABLE", `"${parts.join(".")}" can mean ${labels.join(" or ")}`, {
      at,
      hint: `Write ${labels[0]}.`,
    });
  }
  const [mirror] = found;
  if (mirror === undefined) throw unknownTable(parts, mirrors, source, at);
  return { mirror, alias: relation, path: parts.slice(0, -1) };
}

function means(parts: readonly string[], { shape }: MirrorBinding): boolean {
  const [a, b, c] = parts;
  if (shape.history !== undefined) return parts.length === 2 && a === "views" && b === historyName(shape.history.view);
  if (parts.length === 3) return a === shape.source && b === shape.schema && c === shape.table;
  if (parts.length === 2) {
    return (
      (a === shape.source && b === mirrorName(shape.schema, shape.table)) ||
      (a === shape.schema && a !== "public" && b === shape.table)
    );
  }
  // Else a new topic could make the names of a view ambiguous that was there before.
  if (shape.records !== undefined) return false;
  return a === shape.table || a === mirrorName(shape.schema, shape.table);
}

function unknownTable(
  parts: readonly string[],
  mirrors: readonly MirrorBinding[],
  source: SourceText,
  at: number | undefined,
) {
  const written = parts.join(".");
  if (parts.length > 1 && parts[0] === topicsSource) return unknownTopic(parts.slice(1).join("."), mirrors, source, at);
  const viewRead = parts.length === 2 && parts[0] === "views" ? viewOfHistory(parts[1] ?? "") : null;
  if (viewRead !== null) {
    return source.refusal("VIEW_UNKNOWN_TABLE", `the history of view "${viewRead}" is not known yet`, {
      at,
      hint: `It begins when view "${viewRead}" is live for the first time.`,
      details: { table: written, history: viewRead },
    });
  }
  const captured = mirrors.filter(({ shape }) => shape.records === undefined && shape.history === undefined);
  const labels = captured.map(tableLabel);
  const spellings = parts.length > 1 ? labels : captured.map(({ shape }) => shape.table);
  const topic = mirrors.find(({ shape }) => shape.records !== undefined && shape.table === written);
  const nearest = topic ? tableLabel(topic) : nearestName(written, [...spellings, ...mirrors.map(tableLabel)]);
  const sources = new Set(captured.map(({ shape }) => shape.source));
  const uncaptured = parts.length > 1 && sources.has(parts[0] ?? "");
  const hint =
    nearest !== null
      ? `Did you mean "${nearest}"?`
      : uncaptured
        ? `Add it to the tables of source "${parts[0]}"; captured are ${shortList(labels)}.`
        : labels.length === 0
          ? "No table is captured."
          : `Captured are ${shortList(labels)}.`;
  return source.refusal("VIEW_UNKNOWN_TABLE", `no source captures a table "${written}"`, {
    at,
    hint,
    details: { table: written, ...(nearest === null ? {} : { nearest }) },
  });
}

function unknownTopic(name: string, mirrors: readonly MirrorBinding[], source: SourceText, at: number | undefined) {
  const topics = mirrors.filter(({ shape }) => shape.records !== undefined).map(({ shape }) => shape.table);
  const nearest = nearestName(name, topics);
  const hint =
    nearest !== null
      ? `Did you mean ${topicsSource}.${quote(nearest)}?`
      : topics.length === 0
        ? "Views read the topics and webhooks that the module exports; it exports none."
        : `Views read the topics and webhooks that the module exports, ${shortList(topics)}, if their names have at most 63 bytes.`;
  return source.refusal("VIEW_UNKNOWN_TABLE", `no topic "${name}" is defined`, {
    at,
    hint,
    details: { table: `${topicsSource}.${name}`, ...(nearest === null ? {} : { nearest }) },
  });
}
