/** `view(…)` and the `sql` that it is made of. */
import { MillraceError } from "../../base/errors.ts";
import { type FindOptions, type FindOptionsInput, findOptionNames, findOptions } from "./find-options.ts";
import { checkName, mirrorName, quote, refuseUnknown } from "./names.ts";
import type { TableReference } from "./postgres.ts";
import { type ReadOptions, type ReadOptionsInput, readOptionNames, readOptions } from "./read-options.ts";
import { refreshOption } from "./refresh-option.ts";
import { type ViewReference, type ViewReferenceInput, viewReferences } from "./view-references.ts";

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
  /** Absent when the view has none of these options. */
  readonly find?: FindOptions;
  /** Absent when it is read as rows only. */
  readonly reads?: ReadOptions;
  /** Absent when the view refers to no other. */
  readonly references?: readonly ViewReference[];
  /** Absent when it is only to be kept with each change. */
  readonly refreshMs?: number;
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

export interface ViewOptions extends FindOptionsInput, ReadOptionsInput {
  /** Columns that identify a row; derived from primary keys and group keys when left out. */
  readonly key?: string | readonly string[];
  /**
   * For a query that cannot be kept change by change: it is run again as a whole once it is so old (`"30s"`, from 1s to 1d)
   * and something that it reads has changed, and at once for who waits for a token. A query that can be kept is.
   */
  readonly refresh?: string;
  /**
   * Rows of other views that belong to a row, by name: `{ customer: { view: "customers", on: { customer_id: "id" } } }`.
   * Reads embed them (`?select=id,customer(name)`), and from the other side (`customers?select=id,orders(id)`).
   */
  readonly references?: Readonly<Record<string, ViewReferenceInput>>;
}

/** A query that is kept up to date. */
export function view(name: string, query: SqlText, options: ViewOptions = {}): ViewDefinition {
  checkName("view", name);
  if (query?.kind !== "sql") {
    throw new MillraceError("DEFINITION_INVALID", `view "${name}" needs its query as sql\`select …\``);
  }
  refuseUnknown(`view "${name}"`, options, ["key", "references", "refresh", ...findOptionNames, ...readOptionNames]);
  const key = options.key === undefined ? null : typeof options.key === "string" ? [options.key] : [...options.key];
  const find = findOptions(name, options);
  const reads = readOptions(name, options);
  return Object.freeze({
    kind: "view",
    name,
    sql: query,
    key,
    ...(find === null ? {} : { find }),
    ...(reads === null ? {} : { reads }),
    ...(options.references === undefined ? {} : { references: viewReferences(name, options.references) }),
    ...(options.refresh === undefined ? {} : { refreshMs: refreshOption(name, options.refresh) }),
  });
}
