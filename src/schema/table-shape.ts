/** The shape of a captured table, or of a topic read as one, as views are bound against it. */

export interface ColumnShape {
  readonly name: string;
  /** As `format_type` prints it in the source: `numeric(12,2)`, `timestamp with time zone`, `status_enum`, `integer[]`. */
  readonly sourceType: string;
  /** The type of the mirror's column, valid in the store without anything of the source's: enums and unknown types are `text`. */
  readonly storeType: string;
  readonly nullable: boolean;
  /** True when Millrace does not know the type and carries the server's text. */
  readonly carriedAsText: boolean;
  /** SQL over the columns that are written, by which the store computes this one; absent for those. */
  readonly generated?: string;
}

export interface WatermarkRule {
  /** As the JSON of a value names it. */
  readonly member: string;
  /** RFC 3339, or a count from 1970. */
  readonly form: "date-time" | "epoch-ms" | "epoch-us";
  readonly latenessMs: number;
  /** How long a partition may be quiet before the others go on without it; null for ever, 5 minutes when absent. */
  readonly idleMs?: number | null;
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
  /**
   * Of a topic that is no captured table's: each record a row (`stream`), or the last one of each key (`latest`). Absent
   * for captured tables.
   */
  readonly records?: "stream" | "latest";
  /** Of a stream: the member of its values that is the time of an event, and how much later than others one may come. */
  readonly watermark?: WatermarkRule;
  /** Of the versions of a view's rows: whose they are, and what identifies a row of it. A row of one key has one version at a time. */
  readonly history?: { readonly view: string; readonly key: readonly string[] };
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
