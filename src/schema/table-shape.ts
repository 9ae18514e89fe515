/** The shape of a captured table, as the log carries it and as views are bound against. */

export interface ColumnShape {
  readonly name: string;
  /** As `format_type` prints it in the source: `numeric(12,2)`, `timestamp with time zone`, `status_enum`, `integer[]`. */
  readonly sourceType: string;
  /** The type of the mirror's column, valid in the store without anything of the source's: enums and unknown types are `text`. */
  readonly storeType: string;
  readonly nullable: boolean;
  /** True when Millrace does not know the type and carries the server's text. */
  readonly carriedAsText: boolean;
}

export interface TableShape {
  readonly source: string;
  readonly schema: string;
  readonly table: string;
  readonly topic: string;
  readonly columns: readonly ColumnShape[];
  /** Columns that identify a row; null for a table without a key (replica identity full, or append-only). */
  readonly key: readonly string[] | null;
  readonly appendOnly: boolean;
}

/** What `dev` saves as `millrace-schema.json`, so that `check` and `types` need no database. */
export interface SchemaFile {
  readonly version: 1;
  readonly tables: readonly TableShape[];
  readonly views: readonly ViewShape[];
}

export interface ViewShape {
  readonly name: string;
  /** Of the view's definition; another hash means that the columns may be others by now. */
  readonly hash: string;
  /** Empty for a view of exactly one row; null where rows may be there several times. */
  readonly key: readonly string[] | null;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly nullable: boolean }[];
}
