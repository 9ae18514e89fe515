/**
 * Deletes rows of an outbox table once the log has durably what they say. What a crash forgets stays in the table: it was
 * published, and is not published again.
 */
import type { Client } from "pg";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { OutboxTableDefinition } from "../../catalog/define/outbox-table.ts";
import { quote } from "../../catalog/definitions.ts";

export interface OutboxSweeperOptions {
  readonly source: string;
  readonly table: Pick<OutboxTableDefinition, "schema" | "table" | "columns">;
  /** As the server prints it: `uuid`. */
  readonly idType: string;
  readonly run: <T>(work: (client: Client) => Promise<T>) => Promise<T>;
  readonly diagnostics: Diagnostics;
  /** Rows that are remembered; more stay in the table. */
  readonly rowsMax?: number;
}

const rowsPerDelete = 1_000;

export class OutboxSweeper {
  readonly #options: OutboxSweeperOptions;
  readonly #rowsMax: number;
  /** Of the open transaction. */
  #open: string[] = [];
  /** In order of positions. */
  #waiting: { readonly position: number; readonly ids: readonly string[] }[] = [];
  #held = 0;
  #ready: string[] = [];
  #work: Promise<void> | null = null;
  #failed = false;

  constructor(options: OutboxSweeperOptions) {
    this.#options = options;
    this.#rowsMax = options.rowsMax ?? 100_000;
  }

  published(id: string): void {
    if (this.#held + this.#open.length < this.#rowsMax) this.#open.push(id);
  }

  /** The transaction has ended at this position. */
  ended(position: number): void {
    if (this.#open.length === 0) return;
    this.#held += this.#open.length;
    this.#waiting.push({ position, ids: this.#open });
    this.#open = [];
  }

  /** The log has everything up to here. */
  durable(position: number): void {
    while (this.#waiting[0] !== undefined && this.#waiting[0].position <= position) {
      this.#ready.push(...(this.#waiting.shift()?.ids ?? []));
    }
    if (this.#ready.length > 0) this.#work ??= this.#sweep();
  }

  async #sweep(): Promise<void> {
    const { table, idType, run, source, diagnostics } = this.#options;
    const id = quote(table.columns.id);
    const sql = `delete from ${quote(table.schema)}.${quote(table.table)} where ${id} = any (($1::text[])::${idType}[])`;
    while (this.#ready.length > 0) {
      const ids = this.#ready.splice(0, rowsPerDelete);
      this.#held -= ids.length;
      try {
        await run((client) => client.query(sql, [ids]));
      } catch (cause) {
        if (!this.#failed) {
          diagnostics.warn("rows of the outbox cannot be deleted, and stay in their table", {
            source,
            table: `${table.schema}.${table.table}`,
            cause: String(cause),
          });
        }
        this.#failed = true;
      }
    }
    this.#work = null;
  }
}
