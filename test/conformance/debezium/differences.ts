/**
 * The ways in which Millrace's events differ from Debezium's, each with what it explains. The same list stands in
 * docs/reference/envelope.md, with the reasons; a difference that none of them explains fails the tests.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type JsonToken, readJson } from "../../../src/schema/json-token.ts";
import type { Difference, Sameness } from "./compare.ts";

interface Rule {
  readonly id: string;
  readonly explains: (difference: Difference) => boolean;
  /** It needs one server that both captured. */
  readonly oneServer?: boolean;
}

const placeholder = "__debezium_unavailable_value";

/** Both have a value in this column, and it fits. */
function column(
  names: readonly string[],
  fits: (debezium: string, millrace: string) => boolean = () => true,
): Rule["explains"] {
  return ({ path, debezium, millrace }) => {
    const name = /^value\.(?:before|after)\.(.*)$/s.exec(path)?.[1];
    return (
      name !== undefined && names.includes(name) && debezium !== null && millrace !== null && fits(debezium, millrace)
    );
  };
}

export const rules: readonly Rule[] = [
  {
    id: "unchanged",
    explains: ({ path, debezium, millrace }) =>
      path === "header.millrace.unchanged" ||
      (path.startsWith("value.after.") && millrace === null && (debezium?.includes(placeholder) ?? false)),
  },
  {
    id: "delete-before",
    explains: ({ kind, path, debezium, millrace }) =>
      kind === "d" && path.startsWith("value.before.") && debezium === "null" && millrace === null,
  },
  {
    id: "keyless-tombstone",
    explains: ({ kind, path, debezium }) => kind === "tombstone" && path === "event" && debezium === "null",
  },
  {
    id: "transaction-id",
    oneServer: true,
    explains: ({ kind, path }) =>
      path === "value.transaction.id" ||
      ((kind === "BEGIN" || kind === "END") && (path === "key.id" || path === "value.id")),
  },
  {
    id: "end",
    explains: ({ kind, path, debezium }) => kind === "END" && path.startsWith("value.") && debezium === null,
  },
  {
    id: "other-records",
    explains: ({ topic, path, kind, debezium }) =>
      topic === "shop.transaction" && path === "event" && debezium === null && kind !== "BEGIN" && kind !== "END",
  },
  {
    id: "message-outside",
    explains: ({ topic, kind, path }) =>
      (kind === "m" && /^value\.source\.(sequence|ts_..)$/.test(path)) ||
      // The transaction behind it.
      (topic === "shop.public.ending" && path === "value.source.sequence"),
  },
  {
    id: "message-count",
    explains: ({ kind, path, debezium }) =>
      kind === "END" && path === "value.data_collections" && (debezium?.includes("LogicalDecodingMessageId@") ?? false),
  },
  {
    id: "context-headers",
    explains: ({ path, millrace }) => /^header\.__debezium\.context\./.test(path) && millrace === null,
  },
  { id: "version", explains: ({ path }) => path === "value.source.version" },
  {
    id: "snapshot-edges",
    explains: ({ kind, path, millrace }) => kind === "r" && path === "value.source.snapshot" && millrace === '"true"',
  },
  {
    id: "snapshot-txid",
    explains: ({ kind, path, millrace }) => kind === "r" && path === "value.source.txId" && millrace === "null",
  },
  { id: "numeric-nan", explains: column(["numeric", "numeric(12,2)"], (a, b) => a === '"NAN"' && b === '"NaN"') },
  {
    id: "money",
    explains: column(["money"], (a, b) => Number(JSON.parse(a)) === Number(JSON.parse(b).replace(/[$,]/g, ""))),
  },
  { id: "bit", explains: column(["bit"], (a, b) => (a === "true" && b === '"1"') || (a === "false" && b === '"0"')) },
  { id: "bits", explains: column(["bit(10)", "bit varying(5)"], (a, b) => bitsOf(a, b.length - 2) === b) },
  { id: "interval", explains: column(["interval"], (a, b) => sameInterval(JSON.parse(a), JSON.parse(b))) },
  { id: "timetz", explains: column(["time with time zone"], (a) => a.endsWith('Z"')) },
  {
    id: "timestamptz-digits",
    explains: column(
      ["timestamp with time zone", "timestamp with time zone[]"],
      (a, b) => a.replace(/\.?0+Z/g, "Z") === b.replace(/(\.\d*[1-9])0*Z/g, "$1Z"),
    ),
  },
  {
    id: "infinity",
    explains: column(["timestamp without time zone"], (a, b) => a.startsWith('"+294247') && b === '"infinity"'),
  },
  { id: "years", explains: column(["date"], (_, b) => /BC|^"\d{5}/.test(b)) },
  {
    id: "point",
    explains: column(["point"], (a, b) => b === `"(${["x", "y"].map((name) => member(a, name)).join(",")})"`),
  },
  { id: "hstore", explains: column(["hstore"], (a) => a.startsWith('"{')) },
  { id: "enum-arrays", explains: column(["mood[]"], (a) => a === "null") },
  { id: "name", explains: column(["name"], (a) => a === "null") },
  {
    id: "unknown-types",
    explains: ({ path, debezium }) =>
      debezium === null &&
      /^value\.(before|after)\.(int4multirange|tsquery|pg_lsn|address|interval\[\]|point\[\])$/.test(path),
  },
  {
    id: "key-order",
    explains: ({ path, debezium, millrace }) =>
      /^(key|header\.__debezium\.(new|old)key)$/.test(path) &&
      debezium !== null &&
      millrace !== null &&
      sorted(debezium) === sorted(millrace),
  },
];

/** Base64, the lowest bit first. */
function bitsOf(base64: string, length: number): string {
  const bytes = Buffer.from(JSON.parse(base64), "base64");
  const bits = Array.from({ length }, (_, i) => ((bytes[i >> 3] ?? 0) >> (i & 7)) & 1);
  return `"${bits.reverse().join("")}"`;
}

/** Debezium writes every part, and years apart from months. */
function sameInterval(debezium: string, millrace: string): boolean {
  const parts = (text: string) => {
    const [, date = "", time = ""] = /^P([^T]*)T?(.*)$/.exec(text) ?? [];
    const of = (from: string, unit: string) => Number(new RegExp(`(-?[\\d.]+)${unit}`).exec(from)?.[1] ?? 0);
    const seconds = of(time, "H") * 3600 + of(time, "M") * 60 + of(time, "S");
    return [of(date, "Y") * 12 + of(date, "M"), of(date, "D"), Math.round(seconds * 1e6)].join(" ");
  };
  return parts(debezium) === parts(millrace);
}

function member(json: string, name: string): string {
  const token: JsonToken = readJson(json);
  const value = token.kind === "object" ? token.members.get(name) : undefined;
  return value?.kind === "number" ? String(Number(value.text)) : "";
}

function sorted(text: string): string {
  return text
    .split(/[ ,{}]/)
    .sort()
    .join(" ")
    .trim();
}

export interface Explained {
  /** Each as one line. */
  readonly unexplained: readonly string[];
  /** Rules that explained something. */
  readonly used: readonly string[];
}

export function explain(differences: readonly Difference[]): Explained {
  const used = new Set<string>();
  const unexplained: string[] = [];
  for (const difference of differences) {
    const found = rules.filter(({ explains }) => explains(difference));
    for (const { id } of found) used.add(id);
    if (found.length !== 1)
      unexplained.push(`${found.map(({ id }) => id).join(" and ")}: ${JSON.stringify(difference)}`);
  }
  return { unexplained, used: [...used].sort() };
}

/** Rules that must have explained something. */
export function expectedRules(sameness: Sameness): string[] {
  return rules
    .filter(({ oneServer }) => sameness === "one-server" || oneServer !== true)
    .map(({ id }) => id)
    .sort();
}

/** The first column of the table of differences in the reference. */
export function documentedRules(): string[] {
  const page = readFileSync(join(import.meta.dirname, "..", "..", "..", "docs", "reference", "envelope.md"), "utf8");
  const section = page.slice(page.indexOf("## Differences from Debezium"));
  return [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, id]) => id as string).sort();
}
