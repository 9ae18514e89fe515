/** `postgres(…)`: a database whose tables are captured. */
import { MillraceError } from "../../base/errors.ts";
import { parseSizeBytes } from "../../base/units.ts";
import { type EventEncodingName, eventEncodings } from "../../schema/registry/event-encoding.ts";
import { checkName, refuseUnknown } from "./names.ts";
import type { SqlClient } from "./outbox.ts";
import { type OutboxTableDefinition, type OutboxTableOptions, outboxTable } from "./outbox-table.ts";
import { sourceToken } from "./source-token.ts";
import { isTablePattern, patternOf, splitName, type TablePattern, tablePattern } from "./table-pattern.ts";

/** A captured table, as it is referred to in a view's SQL: `${shop.orders}`. */
export interface TableReference {
  readonly kind: "table";
  readonly source: string;
  readonly schema: string;
  readonly table: string;
}

export interface TableDefinition {
  readonly schema: string;
  readonly table: string;
  /** No primary key, but rows are only ever inserted (or truncated): captured by a publication of its own. */
  readonly appendOnly: boolean;
  /** In place of `<source>.<schema>.<table>`. */
  readonly topic: string | undefined;
  /** Which of its columns are captured; absent: all. */
  readonly columns?: ColumnChoice;
  /** Only rows for which this SQL condition is true; absent: all. */
  readonly where?: string;
}

export interface ColumnChoice {
  readonly kind: "only" | "except";
  readonly names: readonly string[];
}

export interface PostgresDefinition {
  readonly kind: "source";
  readonly type: "postgres";
  readonly name: string;
  readonly url: string;
  /** Those that are named. */
  readonly tables: readonly TableDefinition[];
  /** What stands for tables that the database has, now or later. */
  readonly patterns: readonly TablePattern[];
  /** Keep the replication slot when `dev` stops cleanly (`start` always does). */
  readonly keepSlot: boolean;
  /** Past so much of the server's log held for the slot, `onWalFull` happens; null: no bound. */
  readonly walHeldBytesMax: number | null;
  readonly onWalFull: "pause" | "drop-slot";
  /** `none`: what the database has by replication from elsewhere is left out. */
  readonly origin: "any" | "none";
  /** How events of tables are written. */
  readonly encoding: EventEncodingName;
  /** The captured table whose rows are events for other topics; null: none. */
  readonly outbox: OutboxTableDefinition | null;
  readonly snapshot: SnapshotChoice;
  /**
   * After a commit in this database, over any connection to it: what a read takes as `after=` to see the commit. Throws
   * `OUTBOX_CLIENT_UNKNOWN`, and what the client throws.
   */
  token(client: SqlClient): Promise<string>;
  /** A table as a view's SQL refers to it, also one that a pattern stands for. Throws `DEFINITION_INVALID` where nothing does. */
  table(name: string): TableReference;
}

export interface SnapshotChoice {
  /** How many connections read at once in the first load; null: as many as are usual. */
  readonly connections: number | null;
}

interface TableOptions {
  readonly name: string;
  readonly appendOnly?: boolean;
  readonly topic?: string;
  /** `["id", "status"]`, or all but some: `{ except: ["password"] }`. Columns of the key cannot be left out. */
  readonly columns?: readonly string[] | { readonly except: readonly string[] };
  /** A condition in the source's SQL. A row that no longer fulfils it is deleted. */
  readonly where?: string;
}

type TableInput = string | TableOptions;
type Pattern = `!${string}` | `${string}*${string}` | `${string}?${string}`;
type Spelled<T extends TableInput> = T extends string
  ? T
  : T extends { readonly name: infer N extends string }
    ? N
    : never;
type TableName<T extends TableInput> = Exclude<Spelled<T>, Pattern>;

export interface PostgresOptions<T extends readonly TableInput[]> {
  readonly url: string;
  /**
   * `"orders"` is in schema public, `"audit.events"` in audit. `"audit.*"` and `"order_?"` stand for the tables that match,
   * also for those that are made later; `"!audit.tmp_*"` takes some of them away.
   */
  readonly tables: T;
  readonly keepSlot?: boolean;
  /** How much of its log the server may hold for the slot, `"20GB"`: past it the source pauses, and says so. */
  readonly walHeldBytesMax?: string;
  /** `"none"` leaves out what the database has by replication itself, so that two databases can feed each other. PostgreSQL 16 or later. */
  readonly origin?: "any" | "none";
  /**
   * How events of tables are written: `"json"` unless said; `"avro"` and `"json-schema"` in the wire format of registry
   * clients, with schemas that are registered below `<topic>-key` and `<topic>-value`.
   */
  readonly encoding?: EventEncodingName;
  /** A table in Debezium's outbox form: its rows are published to the topics that they name. */
  readonly outbox?: OutboxTableOptions;
  /** `"drop-slot"`: in place of the pause the slot is given up, and the source read anew. */
  readonly onWalFull?: "pause" | "drop-slot";
  /** How the first load reads: over 2 connections at once unless `connections` says 1 to 8. */
  readonly snapshot?: { readonly connections?: number };
}

/** A PostgreSQL database whose tables are captured: a snapshot, then every committed transaction. */
export function postgres<const T extends readonly TableInput[]>(
  name: string,
  options: PostgresOptions<T>,
): PostgresDefinition & { readonly [K in TableName<T[number]>]: TableReference } {
  checkName("source", name);
  if (typeof options?.url !== "string" || !/^postgres(ql)?:\/\//.test(options.url)) {
    throw new MillraceError(
      "DEFINITION_INVALID",
      `source "${name}" needs a url like postgres://user:password@host:5432/database`,
      {
        hint: `Is the environment variable set? The url is ${options?.url === undefined ? "undefined" : String(options.url) === "" ? "empty" : "not a postgres:// address"}.`,
      },
    );
  }
  if (!Array.isArray(options.tables) || options.tables.length === 0) {
    throw new MillraceError("DEFINITION_INVALID", `source "${name}" names no tables`, {
      hint: 'Add tables: ["orders"].',
    });
  }
  refuseUnknown(`source "${name}"`, options, [
    "url",
    "tables",
    "keepSlot",
    "walHeldBytesMax",
    "onWalFull",
    "outbox",
    "origin",
    "encoding",
    "snapshot",
  ]);
  const { origin = "any" } = options;
  if (origin !== "any" && origin !== "none") {
    throw new MillraceError("DEFINITION_INVALID", `source "${name}" has the origin ${JSON.stringify(origin)}`, {
      hint: 'It is "any" or "none".',
    });
  }
  const outbox = options.outbox === undefined ? null : outboxTable(name, options.outbox);
  const { named, patterns } = sorted(name, options.tables);
  const tables = named.map((input) => tableDefinition(name, input));
  const listed = tables.some(({ schema, table }) => schema === outbox?.schema && table === outbox.table);
  if (outbox !== null && !listed) tables.push(tableDefinition(name, `${outbox.schema}.${outbox.table}`));
  const references: Record<string, TableReference> = {};
  named.forEach((input, i) => {
    const spelled = typeof input === "string" ? input : input.name;
    const { schema, table } = tables[i] as TableDefinition;
    if (Object.hasOwn(references, spelled)) {
      throw new MillraceError("DEFINITION_DUPLICATE", `source "${name}" names table "${spelled}" twice`);
    }
    references[spelled] = Object.freeze({ kind: "table", source: name, schema, table });
  });
  // A table may be called like a property of the definition: the definition wins, the SQL can name the table in full.
  return Object.freeze({
    ...references,
    kind: "source",
    type: "postgres",
    name,
    url: options.url,
    tables: Object.freeze(tables),
    patterns: Object.freeze(patterns),
    keepSlot: options.keepSlot ?? false,
    ...walLimit(name, options),
    origin,
    encoding: encodingOf(name, options.encoding),
    outbox,
    snapshot: snapshotChoice(name, options.snapshot),
    token: (client: SqlClient) => sourceToken(name, client),
    table: (spelled: string) => references[spelled] ?? matchedReference(name, patterns, spelled),
  }) as never;
}

function spelledOf(source: string, input: TableInput): string {
  const spelled = typeof input === "string" ? input : input?.name;
  if (typeof spelled === "string" && spelled !== "") return spelled;
  throw new MillraceError("DEFINITION_INVALID", `source "${source}" has a table without a name`);
}

/** Tables that are named, and patterns. */
function sorted(source: string, inputs: readonly TableInput[]): { named: TableInput[]; patterns: TablePattern[] } {
  const named: TableInput[] = [];
  const patterns: TablePattern[] = [];
  for (const input of inputs) {
    const spelled = spelledOf(source, input);
    if (!isTablePattern(spelled)) {
      named.push(input);
      continue;
    }
    const more = typeof input === "string" ? { name: spelled } : input;
    refuseUnknown(`pattern "${spelled}" of source "${source}"`, more, [
      "name",
      ...(spelled[0] === "!" ? [] : ["appendOnly"]),
    ]);
    patterns.push(tablePattern(source, spelled, more.appendOnly ?? false));
  }
  if (named.length === 0 && patterns.every(({ excludes }) => excludes)) {
    throw new MillraceError("DEFINITION_INVALID", `source "${source}" names no tables`, {
      hint: 'Patterns that begin with "!" take away from others: add tables: ["orders"], or "audit.*".',
    });
  }
  return { named, patterns };
}

function matchedReference(source: string, patterns: readonly TablePattern[], spelled: string): TableReference {
  const table = splitName(spelled);
  if (patternOf(patterns, table) === null) {
    throw new MillraceError("DEFINITION_INVALID", `source "${source}" neither names nor matches a table "${spelled}"`, {
      hint: `Add "${spelled}" to its tables.`,
    });
  }
  return Object.freeze({ kind: "table", source, ...table });
}

const connectionsMax = 8;

function snapshotChoice(name: string, given: PostgresOptions<readonly TableInput[]>["snapshot"]): SnapshotChoice {
  if (given === undefined) return { connections: null };
  const { connections = null } = given ?? {};
  const possible = Number.isInteger(connections) && Number(connections) >= 1 && Number(connections) <= connectionsMax;
  if (given === null || typeof given !== "object" || (connections !== null && !possible)) {
    throw new MillraceError("DEFINITION_INVALID", `source "${name}" has the snapshot ${JSON.stringify(given)}`, {
      hint: `snapshot: { connections: 4 }: from 1 to ${connectionsMax} connections read at once.`,
    });
  }
  refuseUnknown(`snapshot of source "${name}"`, given, ["connections"]);
  return { connections };
}

function encodingOf(name: string, encoding: EventEncodingName = "json"): EventEncodingName {
  if (eventEncodings.includes(encoding)) return encoding;
  throw new MillraceError("DEFINITION_INVALID", `source "${name}" has the encoding ${JSON.stringify(encoding)}`, {
    hint: `It is one of ${eventEncodings.map((one) => `"${one}"`).join(", ")}.`,
  });
}

function walLimit(
  name: string,
  { walHeldBytesMax, onWalFull }: Pick<PostgresOptions<readonly TableInput[]>, "walHeldBytesMax" | "onWalFull">,
): Pick<PostgresDefinition, "walHeldBytesMax" | "onWalFull"> {
  const refuse = (message: string, hint: string) =>
    new MillraceError("DEFINITION_INVALID", `source "${name}": ${message}`, { hint });
  if (onWalFull !== undefined && onWalFull !== "pause" && onWalFull !== "drop-slot") {
    throw refuse(`onWalFull is ${JSON.stringify(onWalFull)}`, 'It is "pause" or "drop-slot".');
  }
  if (walHeldBytesMax === undefined) {
    if (onWalFull !== undefined)
      throw refuse("onWalFull has no walHeldBytesMax", 'Say how much: walHeldBytesMax: "20GB".');
    return { walHeldBytesMax: null, onWalFull: "pause" };
  }
  try {
    return { walHeldBytesMax: parseSizeBytes(walHeldBytesMax, "walHeldBytesMax"), onWalFull: onWalFull ?? "pause" };
  } catch {
    throw refuse(
      `walHeldBytesMax is ${JSON.stringify(walHeldBytesMax)}, which is no size`,
      "Write it as 20GB or 500MB.",
    );
  }
}

function tableDefinition(source: string, input: TableInput): TableDefinition {
  const spelled = spelledOf(source, input);
  if (typeof input === "object") {
    refuseUnknown(`table "${spelled}" of source "${source}"`, input, [
      "name",
      "appendOnly",
      "topic",
      "columns",
      "where",
    ]);
  }
  return Object.freeze({
    ...splitName(spelled),
    appendOnly: typeof input === "string" ? false : (input.appendOnly ?? false),
    topic: typeof input === "string" ? undefined : input.topic,
    ...(typeof input === "string" ? {} : choiceOf(`table "${spelled}" of source "${source}"`, input)),
  });
}

function choiceOf(what: string, { columns, where }: TableOptions): Pick<TableDefinition, "columns" | "where"> {
  const invalid = (reason: string, hint: string) =>
    new MillraceError("DEFINITION_INVALID", `${what} ${reason}`, { hint });
  if (where !== undefined && (typeof where !== "string" || where.trim() === "" || where.includes("\0"))) {
    throw invalid("has a condition that is empty, or no text", "where: \"status <> 'draft'\"");
  }
  if (columns === undefined) return where === undefined ? {} : { where };
  const except = !Array.isArray(columns);
  const names: unknown = Array.isArray(columns) ? columns : (columns as { except?: unknown } | null)?.except;
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== "string" || name === "")) {
    throw invalid("names no columns", 'columns: ["id", "status"], or columns: { except: ["password"] }');
  }
  const choice: ColumnChoice = Object.freeze({ kind: except ? "except" : "only", names: Object.freeze([...names]) });
  return where === undefined ? { columns: choice } : { columns: choice, where };
}
