/**
 * Two captures of the same changes, event by event and field by field. What must differ between any two captures (times of
 * reading, Debezium's run) is left out; what differs between two servers (positions, numbers of transactions) only where
 * the two did not capture the same one.
 */
import { type JsonToken, readJson } from "../../../src/schema/json-token.ts";
import type { EventText } from "./engine.ts";

export interface Difference {
  readonly topic: string;
  /** `c`, `u`, … of a change, `BEGIN` and `END` of a transaction, `tombstone`. */
  readonly kind: string;
  /** `value.after.numeric(12,2)`, `key.id`, `key`, `header.__debezium.oldkey`, `event`: there is none. */
  readonly path: string;
  /** JSON text; null where the field or event is not there. */
  readonly debezium: string | null;
  readonly millrace: string | null;
}

/** What the kinds of comparison have in common is the shape of every field, also of those whose value is left out. */
export type Sameness =
  /** Both captured one server at the same time. */
  | "one-server"
  /** One of them was recorded at another time, elsewhere. */
  | "recorded";

export function compare(
  debezium: readonly EventText[],
  millrace: readonly EventText[],
  sameness: Sameness,
): Difference[] {
  const topics = new Set([...debezium, ...millrace].map(({ topic }) => topic));
  return [...topics].sort().flatMap((topic) => {
    const of = (events: readonly EventText[]) => events.filter((event) => event.topic === topic);
    return compareTopic(topic, of(debezium), of(millrace), sameness);
  });
}

function compareTopic(
  topic: string,
  debezium: readonly EventText[],
  millrace: readonly EventText[],
  sameness: Sameness,
): Difference[] {
  const differences: Difference[] = [];
  let i = 0;
  let j = 0;
  while (i < debezium.length || j < millrace.length) {
    const [theirs, ours] = [debezium[i], millrace[j]];
    const [a, b] = [theirs && kindOf(theirs), ours && kindOf(ours)];
    if (a === b && theirs !== undefined && ours !== undefined) {
      differences.push(...compareEvents(topic, a as string, flat(theirs, sameness), flat(ours, sameness)));
      i++;
      j++;
    } else if (theirs !== undefined && (ours === undefined || debezium.slice(i).some((event) => kindOf(event) === b))) {
      differences.push({ topic, kind: a as string, path: "event", debezium: theirs.key ?? "null", millrace: null });
      i++;
    } else {
      differences.push({ topic, kind: b as string, path: "event", debezium: null, millrace: ours?.key ?? "null" });
      j++;
    }
  }
  return differences;
}

function kindOf({ value }: EventText): string {
  if (value === null) return "tombstone";
  const { op, status } = JSON.parse(value) as { op?: string; status?: string };
  return op ?? status ?? "unknown";
}

function compareEvents(
  topic: string,
  kind: string,
  debezium: ReadonlyMap<string, string>,
  millrace: ReadonlyMap<string, string>,
): Difference[] {
  const paths = [...new Set([...debezium.keys(), ...millrace.keys()])];
  return paths.flatMap((path) => {
    const difference = {
      topic,
      kind,
      path,
      debezium: debezium.get(path) ?? null,
      millrace: millrace.get(path) ?? null,
    };
    return difference.debezium === difference.millrace ? [] : [difference];
  });
}

/** Objects whose members are fields of their own. */
const parts = new Set([
  "key",
  "value",
  "value.before",
  "value.after",
  "value.source",
  "value.transaction",
  "value.message",
]);

function flat({ key, value, headers }: EventText, sameness: Sameness): Map<string, string> {
  const fields = new Map<string, string>();
  const add = (path: string, token: JsonToken) => {
    if (token.kind !== "object" || !parts.has(path)) {
      // Debezium's order of the tables is that of a Java map, and where a message is among them it is by chance.
      const text = path === "value.data_collections" ? textOf(sorted(token)) : textOf(token);
      // Debezium prints an object of its program in the place of a name.
      fields.set(path, text.replace(/(LogicalDecodingMessageId)@[0-9a-f]+/g, "$1@"));
      return;
    }
    // Two keys are one only when their members stand in the same order.
    if (path === "key") fields.set(path, [...token.members.keys()].join(" "));
    for (const [name, member] of token.members) add(`${path}.${name}`, member);
  };
  add("key", readJson(key ?? "null"));
  add("value", readJson(value ?? "null"));
  for (const header of headers) fields.set(`header.${header.key}`, header.value ?? "null");
  const ofSnapshot = fields.get("value.op") === '"r"';
  for (const [path, text] of fields) {
    const other = isOfReading(path) || (isOfServer(path) && (sameness === "recorded" || ofSnapshot));
    if (other) fields.set(path, formOf(text));
  }
  return fields;
}

/** When it was read, and by what. */
function isOfReading(path: string): boolean {
  return /^value\.ts_|^header\.__debezium\.context\./.test(path);
}

/** What the server counts: positions, transactions, times of commits. */
function isOfServer(path: string): boolean {
  return /^value\.source\.(ts_..|lsn|txId|sequence|db)$|^value\.transaction\.id$|^(key|value)\.id$|^value\.lsn$/.test(
    path,
  );
}

/** The value without its digits; of an identifier nothing. */
function formOf(text: string): string {
  const identifier = /[0-9a-f]{8}-[0-9a-f-]{27}/;
  return text
    .replace(/test_[0-9a-f]+/, "database")
    .replace(identifier, "#")
    .replace(/[0-9]+/g, "#");
}

/** The same for numbers that are the same, and for every order of members. */
function textOf(token: JsonToken): string {
  switch (token.kind) {
    case "null":
      return "null";
    case "boolean":
      return String(token.value);
    case "string":
      return JSON.stringify(token.value);
    case "number":
      return numberText(token.text);
    case "array":
      return `[${token.items.map(textOf).join(",")}]`;
    case "object":
      return `{${[...token.members].map(([name, member]) => `${JSON.stringify(name)}:${textOf(member)}`).join(",")}}`;
  }
}

function sorted(token: JsonToken): JsonToken {
  if (token.kind !== "array") return token;
  const items = token.items.toSorted((a, b) => (textOf(a) < textOf(b) ? -1 : 1));
  return { kind: "array", items };
}

function numberText(text: string): string {
  if (/^-?\d+$/.test(text) && text.length < 30) return text;
  const value = Number(text);
  return Object.is(value, -0) ? "-0" : String(value);
}
