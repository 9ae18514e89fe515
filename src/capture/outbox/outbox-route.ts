/** From a row of an outbox table to the record that it stands for. Pure. */
import { type OutboxTableDefinition, routedTopic } from "../../catalog/define/outbox-table.ts";
import type { OutboxRecord } from "../../catalog/outbox-message.ts";
import type { Header } from "../../records/record.ts";
import { type Cells, cellState } from "../../schema/cells.ts";
import type { TableShape } from "../../schema/table-shape.ts";

export class OutboxRoute {
  readonly #definition: OutboxTableDefinition;
  readonly #columns: Readonly<Record<string, { readonly index: number; readonly isBytes: boolean }>>;

  constructor(definition: OutboxTableDefinition, shape: TableShape) {
    this.#definition = definition;
    this.#columns = Object.fromEntries(
      shape.columns.map(({ name, storeType }, index) => [name, { index, isBytes: storeType === "bytea" }]),
    );
  }

  /** The record, or a sentence that says why there is none. The bytes are the caller's to keep. */
  record(row: Cells): OutboxRecord | string {
    const { columns, route, headers } = this.#definition;
    const missing = [...Object.values(columns), ...headers.map(({ column }) => column)].find(
      (name) => !this.#has(name),
    );
    if (missing !== undefined) return `the outbox has no column "${missing}"`;
    const by = this.#bytes(row, columns.by);
    if (by === null || by.length === 0) return `the row's "${columns.by}" is empty, so that it belongs to no topic`;
    return {
      topic: routedTopic(route, by.toString("utf8")),
      key: this.#bytes(row, columns.key),
      value: this.#bytes(row, columns.payload),
      headers: [
        { key: "id", value: this.#bytes(row, columns.id) },
        ...headers.map(({ name, column }): Header => ({ key: name, value: this.#bytes(row, column) })),
      ],
    };
  }

  /** The row's `id` as the server prints it; null where there is none. */
  id(row: Cells): string | null {
    return this.#has(this.#definition.columns.id)
      ? (this.#bytes(row, this.#definition.columns.id)?.toString("utf8") ?? null)
      : null;
  }

  #has(name: string): boolean {
    return Object.hasOwn(this.#columns, name);
  }

  /** A value's text, or the bytes themselves of a `bytea`. */
  #bytes(row: Cells, name: string): Buffer | null {
    const { index, isBytes } = this.#columns[name] as { readonly index: number; readonly isBytes: boolean };
    if (row.state[index] !== cellState.text) return null;
    const text = row.bytes.subarray(row.start[index], row.end[index]);
    return isBytes ? Buffer.from(text.toString("latin1").slice(2), "hex") : text;
  }
}
