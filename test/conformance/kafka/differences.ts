/**
 * What is known to differ from Kafka, read from the table of `docs/reference/kafka-differences.md`: the page is right
 * as long as the tests pass, since what differs and does not stand there fails, and so does what stands there and no
 * longer differs.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "./client.ts";

/** A place in an outcome, and what stands there; the empty text where nothing does. */
export interface Difference {
  readonly where: string;
  readonly kafka: string;
  readonly millrace: string;
}

/** `*` in a cell stands for any text. */
export interface KnownDifference extends Difference {
  readonly step: string;
  readonly clients: readonly string[];
  readonly why: string;
}

export const differencesPage = "docs/reference/kafka-differences.md";

export function readKnownDifferences(
  page = readFileSync(join(import.meta.dirname, "..", "..", "..", differencesPage), "utf8"),
): KnownDifference[] {
  const [, table = ""] = /<!-- checked by test\/conformance\/kafka -->\n([\s\S]*?)<!-- end -->/.exec(page) ?? [];
  const rows = table.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) => {
    const cells = row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll("\\|", "|"));
    if (cells.length !== 6) throw new Error(`${differencesPage}: a row with ${cells.length} cells: ${row}`);
    const [step = "", clients = "", where = "", kafka = "", millrace = "", why = ""] = cells;
    const text = (cell: string) => cell.replace(/^`([\s\S]*)`$/, "$1");
    return {
      step,
      clients: clients.split(",").map((client) => client.trim()),
      where: text(where),
      kafka: text(kafka),
      millrace: text(millrace),
      why,
    };
  });
}

/** In the order of the outcome. Lists of texts are compared as lines are: what only one side has. */
export function differencesBetween(kafka: Json | undefined, millrace: Json | undefined, where = ""): Difference[] {
  if (isLines(kafka) && isLines(millrace) && where !== "") return lineDifferences(kafka, millrace, where);
  if (Array.isArray(kafka) && Array.isArray(millrace)) {
    const length = Math.max(kafka.length, millrace.length);
    return Array.from({ length }, (_, i) => differencesBetween(kafka[i], millrace[i], `${where}[${i}]`)).flat();
  }
  if (isRecord(kafka) && isRecord(millrace)) {
    const names = new Set([...Object.keys(kafka), ...Object.keys(millrace)]);
    return [...names].flatMap((name) =>
      differencesBetween(kafka[name], millrace[name], where === "" ? name : `${where}.${name}`),
    );
  }
  const [one, other] = [textOf(kafka), textOf(millrace)];
  return one === other ? [] : [{ where, kafka: one, millrace: other }];
}

/** The differences that no row knows, and the rows of this step and client that nothing differs in. */
export function judge(
  known: readonly KnownDifference[],
  step: string,
  client: string,
  found: readonly Difference[],
): { readonly unknown: readonly Difference[]; readonly gone: readonly KnownDifference[] } {
  const rows = known.filter((row) => row.step === step && row.clients.includes(client));
  const fits = (row: KnownDifference, difference: Difference) =>
    matches(row.where, difference.where) &&
    matches(row.kafka, difference.kafka) &&
    matches(row.millrace, difference.millrace);
  return {
    unknown: found.filter((difference) => !rows.some((row) => fits(row, difference))),
    gone: rows.filter((row) => !found.some((difference) => fits(row, difference))),
  };
}

function lineDifferences(kafka: readonly string[], millrace: readonly string[], where: string): Difference[] {
  const rest = [...millrace];
  const missing = kafka.filter((line) => {
    const at = rest.indexOf(line);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  if (missing.length === 0 && rest.length === 0 && kafka.join("\n") !== millrace.join("\n")) {
    return [{ where, kafka: kafka.join(" / "), millrace: millrace.join(" / ") }];
  }
  return Array.from({ length: Math.max(missing.length, rest.length) }, (_, i) => ({
    where,
    kafka: missing[i] ?? "",
    millrace: rest[i] ?? "",
  }));
}

function matches(pattern: string, text: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`).test(text);
}

function isLines(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isRecord(value: Json | undefined): value is { readonly [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: Json | undefined): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
