/**
 * Definitions: plain immutable values that a module exports. Nothing registers itself; `collect.ts` gathers the
 * exports of a module. Names are checked here, where the caller's line is still on the stack.
 */
import { MillraceError } from "../base/errors.ts";

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
}

export interface PostgresDefinition {
  readonly kind: "source";
  readonly type: "postgres";
  readonly name: string;
  readonly url: string;
  readonly tables: readonly TableDefinition[];
  /** Keep the replication slot when `dev` stops cleanly (`start` always does). */
  readonly keepSlot: boolean;
}

export interface SqlText {
  readonly kind: "sql";
  readonly text: string;
  /** References in the order of their appearance, each with its place in `text`. */
  readonly references: readonly {
    readonly to: TableReference | ViewDefinition;
    readonly start: number;
    readonly end: number;
  }[];
}

export interface ViewDefinition {
  readonly kind: "view";
  readonly name: string;
  readonly sql: SqlText;
  /** Columns of the view; null when it is to be derived. */
  readonly key: readonly string[] | null;
}

export type SourceDefinition = PostgresDefinition;
export type Definition = SourceDefinition | ViewDefinition;

type TableInput = string | { readonly name: string; readonly appendOnly?: boolean; readonly topic?: string };
type TableName<T extends TableInput> = T extends string
  ? T
  : T extends { readonly name: infer N extends string }
    ? N
    : never;

export interface PostgresOptions<T extends readonly TableInput[]> {
  readonly url: string;
  /** `"orders"` is in schema public, `"audit.events"` in audit. */
  readonly tables: T;
  readonly keepSlot?: boolean;
}

const nameForm = /^[a-z][a-z0-9_]{0,47}$/;

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
  refuseUnknown(`source "${name}"`, options, ["url", "tables", "keepSlot"]);
  const tables = options.tables.map((input: TableInput) => tableDefinition(name, input));
  const references: Record<string, TableReference> = {};
  options.tables.forEach((input: TableInput, i: number) => {
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
    keepSlot: options.keepSlot ?? false,
  }) as never;
}

function tableDefinition(source: string, input: TableInput): TableDefinition {
  const spelled = typeof input === "string" ? input : input?.name;
  if (typeof spelled !== "string" || spelled === "") {
    throw new MillraceError("DEFINITION_INVALID", `source "${source}" has a table without a name`);
  }
  if (typeof input === "object") {
    refuseUnknown(`table "${spelled}" of source "${source}"`, input, ["name", "appendOnly", "topic"]);
  }
  const dot = spelled.indexOf(".");
  return Object.freeze({
    schema: dot < 0 ? "public" : spelled.slice(0, dot),
    table: dot < 0 ? spelled : spelled.slice(dot + 1),
    appendOnly: typeof input === "string" ? false : (input.appendOnly ?? false),
    topic: typeof input === "string" ? undefined : input.topic,
  });
}

/** SQL with references to tables and views; a value that is neither is refused, for a definition has no parameters. */
export function sql(strings: TemplateStringsArray, ...values: readonly (TableReference | ViewDefinition)[]): SqlText {
  let text = "";
  const references: { to: TableReference | ViewDefinition; start: number; end: number }[] = [];
  strings.forEach((piece, i) => {
    text += piece;
    if (i === values.length) return;
    const to = values[i];
    if (to === null || typeof to !== "object" || (to.kind !== "table" && to.kind !== "view")) {
      throw new MillraceError("DEFINITION_INVALID", `\${…} number ${i + 1} in sql\`…\` is neither a table nor a view`, {
        hint: "Write constants into the SQL itself; is the table named in the source's tables?",
      });
    }
    const spelled =
      to.kind === "view" ? `views.${quote(to.name)}` : `${quote(to.source)}.${quote(mirrorName(to.schema, to.table))}`;
    references.push({ to, start: text.length, end: text.length + spelled.length });
    text += spelled;
  });
  return Object.freeze({ kind: "sql", text, references: Object.freeze(references) });
}

export interface ViewOptions {
  /** Columns that identify a row; derived from primary keys and group keys when left out. */
  readonly key?: string | readonly string[];
}

/** A query that is kept up to date. */
export function view(name: string, query: SqlText, options: ViewOptions = {}): ViewDefinition {
  checkName("view", name);
  if (query?.kind !== "sql") {
    throw new MillraceError("DEFINITION_INVALID", `view "${name}" needs its query as sql\`select …\``);
  }
  refuseUnknown(`view "${name}"`, options, ["key"]);
  const key = options.key === undefined ? null : typeof options.key === "string" ? [options.key] : [...options.key];
  return Object.freeze({ kind: "view", name, sql: query, key });
}

/** How a mirror is called inside the schema of its source: `orders`, or `audit.events` when it is not in public. */
export function mirrorName(schema: string, table: string): string {
  return schema === "public" ? table : `${schema}.${table}`;
}

/** A quoted identifier. */
export function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}

/** A misspelt option would else be one that was left out. */
function refuseUnknown(named: string, options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find((option) => !known.includes(option));
  if (unknown === undefined) return;
  throw new MillraceError("DEFINITION_INVALID", `${named} has an option ${JSON.stringify(unknown)}, which is none`, {
    hint: `Options are ${known.join(", ")}.`,
  });
}

function checkName(noun: string, name: unknown): void {
  if (typeof name !== "string" || !nameForm.test(name)) {
    throw new MillraceError("DEFINITION_INVALID", `${noun} name ${JSON.stringify(name)} is not usable`, {
      hint: "Names begin with a small letter and have at most 48 of the characters a-z, 0-9 and _.",
    });
  }
  if (noun === "source" && ["views", "millrace", "public", "pg_catalog", "information_schema", "app"].includes(name)) {
    throw new MillraceError("DEFINITION_INVALID", `source name "${name}" is taken by a schema of the store`);
  }
}
