/** The outbox table of a source while it is captured: what its rows publish, and what becomes of them then. */
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { OutboxTableDefinition } from "../../catalog/define/outbox-table.ts";
import type { PostgresDefinition } from "../../catalog/definitions.ts";
import type { OutboxRecord } from "../../catalog/outbox-message.ts";
import type { Cells } from "../../schema/cells.ts";
import type { CapturedTable } from "../captured-table.ts";
import { topicName } from "../names.ts";
import type { CapturedTopic } from "../pending-group.ts";
import type { SourceConnection } from "../source-connection.ts";
import { OutboxRoute } from "./outbox-route.ts";
import { OutboxSweeper, type OutboxSweeperOptions } from "./outbox-sweeper.ts";

export interface OutboxTableSettings extends Pick<OutboxSweeperOptions, "source" | "run" | "diagnostics"> {
  readonly definition: OutboxTableDefinition;
  /** Its place among the topics of the source. */
  readonly topic: number;
}

export class OutboxTable {
  readonly topic: number;
  readonly #settings: OutboxTableSettings;
  #route: { readonly table: CapturedTable; readonly route: OutboxRoute } | null = null;
  #sweeper: OutboxSweeper | null = null;

  constructor(settings: OutboxTableSettings) {
    this.#settings = settings;
    this.topic = settings.topic;
  }

  /** Null for a source without one. */
  static of(
    { name, outbox, tables }: PostgresDefinition,
    topics: readonly CapturedTopic[],
    diagnostics: Diagnostics,
    connection: Pick<SourceConnection, "run">,
  ): OutboxTable | null {
    if (outbox === null) return null;
    const table = tables.find(({ schema, table }) => schema === outbox.schema && table === outbox.table);
    const topic = table === undefined ? -1 : topics.findIndex((one) => one.name === topicName(name, table));
    return new OutboxTable({
      definition: outbox,
      topic,
      source: name,
      diagnostics,
      run: (work) => connection.run(work),
    });
  }

  recordOf(table: CapturedTable, row: Cells): OutboxRecord | string {
    return this.#routeOf(table).record(row);
  }

  /** The record is in the open transaction of the log. */
  published(table: CapturedTable, row: Cells): void {
    const { definition, source, run, diagnostics } = this.#settings;
    if (!definition.deleteAfterCapture) return;
    const column = table.shape.columns.find(({ name }) => name === definition.columns.id);
    const id = this.#routeOf(table).id(row);
    if (column === undefined || id === null) return;
    this.#sweeper ??= new OutboxSweeper({ source, run, diagnostics, table: definition, idType: column.sourceType });
    this.#sweeper.published(id);
  }

  ended(position: number): void {
    this.#sweeper?.ended(position);
  }

  durable(position: number): void {
    this.#sweeper?.durable(position);
  }

  /** Made again when the table has other columns. */
  #routeOf(table: CapturedTable): OutboxRoute {
    if (this.#route?.table.shape !== table.shape) {
      this.#route = { table, route: new OutboxRoute(this.#settings.definition, table.shape) };
    }
    return this.#route.route;
  }
}
