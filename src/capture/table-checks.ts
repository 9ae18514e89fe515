/** Declared tables against the source's catalogue: what cannot be captured is refused, with the way out. */
import { MillraceError } from "../base/errors.ts";
import { type PostgresDefinition, quote, type TableDefinition } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { ColumnType } from "./captured-table.ts";
import type { CatalogueTable } from "./catalogue.ts";
import { topicName } from "./names.ts";
import type { ReadTable } from "./snapshot/key-chunks.ts";
import { compareMarks, type MarksNow } from "./table-marks.ts";

/** A table as the catalogue has it, ready to be captured. */
export interface CheckedTable {
  readonly oid: number;
  readonly kind: string;
  readonly shape: TableShape;
  readonly types: readonly ColumnType[];
  readonly rowsEstimated: number;
  /** How its rows are selected. */
  readonly read: ReadTable;
  /** The publication names its columns, from PostgreSQL 15 on: one that is added later is not in the stream before it does. */
  readonly listed: boolean;
  /** The stream tells the whole old row. */
  readonly identityFull: boolean;
  /** Names of columns whose rows got a value when they were added. */
  readonly filledByDefault: readonly string[];
  readonly warnings: readonly string[];
  /** Null where they were not read. */
  readonly marks: MarksNow | null;
}

const kinds: Readonly<Record<string, string>> = {
  v: "a view",
  m: "a materialized view",
  f: "a foreign table",
  S: "a sequence",
  i: "an index",
  c: "a composite type",
  t: "a TOAST table",
  I: "an index",
};

/** In the order of the definition. Throws `SOURCE_TABLE_UNKNOWN`, `SOURCE_NOT_PERMITTED`, `SOURCE_TABLE_WITHOUT_KEY`. */
export function checkTables(
  definition: PostgresDefinition,
  user: string,
  catalogue: readonly CatalogueTable[],
): CheckedTable[] {
  return definition.tables.map((declared) => {
    const found = catalogue.find(({ schema, table }) => schema === declared.schema && table === declared.table);
    const named = `"${declared.schema}.${declared.table}"`;
    refuseUncapturable(definition.name, declared, named, found);
    const table = found as CatalogueTable;
    if (!table.readable) {
      const { schema } = declared;
      throw new MillraceError(
        "SOURCE_NOT_PERMITTED",
        `source "${definition.name}": table ${named} cannot be read by "${user}"`,
        {
          hint: `Run: grant usage on schema ${quote(schema)} to ${quote(user)}; grant select on ${quote(schema)}.${quote(declared.table)} to ${quote(user)};`,
          details: { source: definition.name, table: named },
        },
      );
    }
    return checkedTable(definition.name, declared, table);
  });
}

function refuseUncapturable(
  source: string,
  declared: TableDefinition,
  named: string,
  table: CatalogueTable | undefined,
): void {
  const refuse = (what: string, hint: string) => {
    throw new MillraceError("SOURCE_TABLE_UNKNOWN", `source "${source}": ${what}`, {
      hint,
      details: { source, table: `${declared.schema}.${declared.table}` },
    });
  };
  if (table === undefined) {
    refuse(
      `there is no table ${named}`,
      "Check the name, its capitals and its schema, and that the role may use the schema.",
    );
  } else if (table.kind !== "r" && table.kind !== "p") {
    refuse(
      `${named} is ${kinds[table.kind] ?? "no table"}; only tables have changes that can be captured`,
      "Name the tables that it is made of, and write it as a view of Millrace.",
    );
  } else if (table.persistence !== "permanent") {
    refuse(
      `${named} is ${table.persistence}, and its changes are not in the server's log`,
      `Run: alter table ${quote(declared.schema)}.${quote(declared.table)} set logged;`,
    );
  }
}

function checkedTable(source: string, declared: TableDefinition, table: CatalogueTable): CheckedTable {
  const key = keyOf(source, declared, table);
  const columns = chosenColumns(source, declared, table, key);
  const named = `${declared.schema}.${declared.table}`;
  const warnings = columns
    .filter(({ shape }) => shape.carriedAsText)
    .map(({ name, shape }) => carriedAsTextWarning(declared, name, shape.sourceType));
  for (const { name, generated } of table.columns) {
    if (generated) warnings.push(`${named}.${name} is a generated column, which is left out`);
  }
  const shape: TableShape = {
    source,
    schema: declared.schema,
    table: declared.table,
    topic: topicName(source, declared),
    columns: columns.map((column) => column.shape),
    key,
    appendOnly: declared.appendOnly,
  };
  return {
    oid: table.oid,
    kind: table.kind,
    rowsEstimated: table.rowsEstimated,
    read: { shape, kind: table.kind, where: declared.where ?? null, collations: table.keyCollations },
    listed: declared.columns !== undefined,
    identityFull: table.identity === "full",
    types: columns.map(({ typeOid, typeModifier }) => ({ oid: typeOid, modifier: typeModifier })),
    filledByDefault: columns.filter(({ filledByDefault }) => filledByDefault).map(({ name }) => name),
    warnings,
    shape,
    marks: null,
  };
}

/**
 * The columns that are captured. Columns of the key cannot be left out, nor any where the whole old row is the identity:
 * the server would refuse the application's own updates.
 */
function chosenColumns(
  source: string,
  declared: TableDefinition,
  table: CatalogueTable,
  key: readonly string[] | null,
): CatalogueTable["columns"] {
  const all = table.columns.filter(({ generated }) => !generated);
  const choice = declared.columns;
  if (choice === undefined) return all;
  const named = `"${declared.schema}.${declared.table}"`;
  const refuse = (what: string, hint: string) =>
    new MillraceError("SOURCE_FILTER_REFUSED", `source "${source}": table ${named} ${what}`, {
      hint,
      details: { source, table: `${declared.schema}.${declared.table}` },
    });
  const unknown = choice.names.find((name) => !all.some((column) => column.name === name));
  if (unknown !== undefined) {
    throw refuse(
      `has no column "${unknown}" that can be captured`,
      `Its columns are: ${all.map(({ name }) => name).join(", ")}.`,
    );
  }
  const chosen = all.filter(({ name }) => choice.names.includes(name) === (choice.kind === "only"));
  const missing = key?.find((name) => !chosen.some((column) => column.name === name));
  if (missing !== undefined) {
    throw refuse(`is declared without column "${missing}", which is in its key`, `Add "${missing}" to its columns.`);
  }
  if (table.identity === "full" && !declared.appendOnly && chosen.length < all.length) {
    throw refuse(
      "has replica identity full, with which no column can be left out",
      `Run in the source: alter table ${quote(declared.schema)}.${quote(declared.table)} replica identity default; (it needs a primary key).`,
    );
  }
  return chosen;
}

export function carriedAsTextWarning(
  table: { readonly schema: string; readonly table: string },
  column: string,
  type: string,
): string {
  return `${table.schema}.${table.table}.${column} is of type ${type}, which is carried as text`;
}

/** What identifies a row in the stream. */
function keyOf(source: string, declared: TableDefinition, table: CatalogueTable): string[] | null {
  const primary = table.columns.filter(({ primaryKey }) => primaryKey).map(({ name }) => name);
  const orNull = (names: string[]) => (names.length > 0 ? names : null);
  if (declared.appendOnly || table.identity === "full") return orNull(primary);
  if (table.identity !== "nothing") {
    const identity = table.columns.filter((column) => column.identity).map(({ name }) => name);
    if (identity.length > 0) return identity;
  }
  const name = `${quote(declared.schema)}.${quote(declared.table)}`;
  const toDefault = primary.length > 0 ? `alter table ${name} replica identity default; or ` : "";
  const noKey = table.deferrableKey
    ? "has a primary key that is deferrable, which cannot tell rows apart while a statement runs, and no replica identity full"
    : "has no primary key and no replica identity full";
  const why = table.identity === "nothing" ? "has replica identity nothing" : noKey;
  throw new MillraceError(
    "SOURCE_TABLE_WITHOUT_KEY",
    `source "${source}": table "${declared.schema}.${declared.table}" ${why}`,
    {
      hint:
        `Run in the source: ${toDefault}alter table ${name} replica identity full; or: alter table ${name} add primary key (…); ` +
        `or, if its rows are only ever inserted, declare it as { name: "${declared.schema === "public" ? "" : `${declared.schema}.`}${declared.table}", appendOnly: true }.`,
      details: { source, table: `${declared.schema}.${declared.table}` },
    },
  );
}

/** A table as it is known: by the log, or by the session that captures it. */
export interface KnownTable {
  readonly oid: number;
  readonly shape: TableShape;
}

/**
 * Why the stream cannot lead from what is known of a table to what the catalogue has; null when it can. Columns that were
 * added without a default are left to the stream, which tells them in their place.
 */
export function tableDiffers(known: readonly KnownTable[], table: CheckedTable): string | null {
  const { shape } = table;
  const named = `table "${shape.schema}.${shape.table}"`;
  const before = known.find((one) => one.shape.schema === shape.schema && one.shape.table === shape.table);
  if (before === undefined) return `${named} is new`;
  if (before.oid !== table.oid) return `${named} was made anew`;
  if (before.shape.topic !== shape.topic) return `${named} has another topic`;
  if (before.shape.appendOnly !== shape.appendOnly) return `${named} is declared append-only, or not any more`;
  if (JSON.stringify(before.shape.key) !== JSON.stringify(shape.key)) return `${named} has another key`;
  for (const [i, column] of before.shape.columns.entries()) {
    const current = shape.columns[i];
    if (current?.name !== column.name) return `${named}: column "${column.name}" was dropped or renamed`;
    if (current.sourceType !== column.sourceType || current.storeType !== column.storeType) {
      return `${named}: column "${column.name}" has another type`;
    }
  }
  const filled = shape.columns
    .slice(before.shape.columns.length)
    .find(({ name }) => table.filledByDefault.includes(name));
  if (filled !== undefined) return `${named}: column "${filled.name}" was added with a default`;
  const unseen = table.listed ? shape.columns[before.shape.columns.length] : undefined;
  return unseen === undefined ? null : `${named}: column "${unseen.name}" is captured by now`;
}

/** The same while the table is read, when a column that was added says nothing of the rows that were read before. */
export function readTableDiffers(known: KnownTable & Pick<CheckedTable, "marks">, table: CheckedTable): string | null {
  const reason = tableDiffers([known], table);
  if (reason !== null) return reason;
  const named = `table "${table.shape.schema}.${table.shape.table}"`;
  if (table.shape.columns.length > known.shape.columns.length) return `${named}: a column was added while it was read`;
  if (known.marks === null || table.marks === null) return null;
  const change = compareMarks(known.marks, table.marks);
  return change.kind === "again" ? `${named}: ${change.reason}` : null;
}
