/** `postgres(…)`: a database whose tables are captured. */
import { MillraceError } from "../../base/errors.ts";
import { checkName, refuseUnknown } from "./names.ts";

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
