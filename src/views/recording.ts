/**
 * What a version misses while it is filled, kept for it: the contributions of each batch since the fill's snapshot go
 * to a table of their own instead of the state. `query(snapshot) + what is recorded = query(now)`, for contributions
 * are exact differences, and for a class that notes the keys which changed, merging recomputes those keys as they are.
 *
 * Always true: a step holds what the terms made of one run through all mirrors, so that after any number of whole steps
 * the contributions are those of a state that was; a chunk to be merged is whole steps, oldest first.
 * Not here: when to merge (`group-builds.ts`). Nothing of it outlives a session: the table is unlogged.
 */
import { quote } from "../catalog/definitions.ts";
import { ownerOf } from "./applier-batch.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import type { CompiledView } from "./compiled-view.ts";

/** Of a chunk, unless a single step has more. */
export const chunkRowsMax = 10_000;

const stepColumn = "_millrace_step";

/** Steps from the one after `from` up to `to`. */
export interface Chunk {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

export class Recording {
  readonly view: CompiledView;
  readonly #pendingTable: string;
  readonly #columns: string;
  /** Oldest first, each whole steps; neighbours together have more rows than a chunk is to have. */
  readonly #chunks: { to: number; rows: number }[] = [];
  #mergedTo = -1;
  #rowsRecorded = 0;
  #rowsMerged = 0;

  /** `columns` are those of the view's delta table, quoted, with commas between them. */
  constructor(view: CompiledView, columns: string) {
    this.view = view;
    this.#pendingTable = pendingTable(view);
    this.#columns = columns;
  }

  get rowsRecorded(): number {
    return this.#rowsRecorded;
  }

  get rowsMerged(): number {
    return this.#rowsMerged;
  }

  /** Stands where a live view's merge stands; what it inserts is to be told to `took` when it is committed. */
  record(step: number): PipelineStatement {
    return {
      sql: `insert into ${this.#pendingTable} (${this.#columns}, ${stepColumn}) select ${this.#columns}, $1::bigint from ${this.view.deltaTable}`,
      values: [step],
      owner: ownerOf.build(this.view.name),
    };
  }

  /** Steps come in their order. */
  took(step: number, rows: number): void {
    if (rows === 0) return;
    this.#rowsRecorded += rows;
    const last = this.#chunks.at(-1);
    if (last && last.rows + rows <= chunkRowsMax) {
      last.to = step;
      last.rows += rows;
    } else this.#chunks.push({ to: step, rows });
  }

  /** What is to be merged next; null when nothing is left. */
  get next(): Chunk | null {
    const first = this.#chunks[0];
    return first ? { from: this.#mergedTo, to: first.to, rows: first.rows } : null;
  }

  /** Whether everything that is left is one chunk, or nothing. */
  get fitsOne(): boolean {
    return this.#chunks.length <= 1;
  }

  /** Puts the chunk's contributions where `merge` finds them. */
  move({ from, to }: Chunk): PipelineStatement {
    return {
      sql: `insert into ${this.view.deltaTable} (${this.#columns}) select ${this.#columns} from ${this.#pendingTable} where ${stepColumn} > $1::bigint and ${stepColumn} <= $2::bigint`,
      values: [from, to],
      owner: ownerOf.build(this.view.name),
      fresh: true,
    };
  }

  /** The chunk that was `next` is committed into the state. */
  merged({ to, rows }: Chunk): void {
    this.#mergedTo = to;
    this.#rowsMerged += rows;
    this.#chunks.shift();
  }
}

export function pendingTable({ name, version }: CompiledView): string {
  return `millrace.${quote(`${name}__${version}_pending`)}`;
}

/** Makes the table, from the delta table of the connection that runs it. */
export function createPending(view: CompiledView): string[] {
  const table = pendingTable(view);
  return [
    `create unlogged table ${table} as select * from ${view.deltaTable} with no data`,
    `alter table ${table} add column ${stepColumn} bigint not null`,
    `create index on ${table} (${stepColumn})`,
  ];
}

/** The columns of a delta table, as the constructor takes them. */
export const listDeltaColumns =
  "select string_agg(quote_ident(attname), ', ' order by attnum) as columns from pg_attribute " +
  "where attrelid = to_regclass($1) and attnum > 0 and not attisdropped";
