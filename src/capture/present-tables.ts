/**
 * Which tables a source has to capture at the moment: those that are named, less those that were captured and are gone,
 * and those that its patterns stand for.
 */
import type { Client } from "pg";
import { patternOf, type TableDefinition } from "../catalog/definitions.ts";
import type { CaptureLog } from "./capture-log.ts";
import type { CaptureTools } from "./capture-tools.ts";
import { readCatalogue } from "./catalogue.ts";
import { type MatchedTables, matchedTables, noMatches } from "./matched-tables.ts";
import { topicName } from "./names.ts";
import type { ServerFacts } from "./server-setup.ts";
import { type CheckedTable, checkTables } from "./table-checks.ts";

export class PresentTables {
  readonly #tools: CaptureTools;
  readonly #log: CaptureLog;
  readonly #publications: readonly string[];
  /** Named and captured once, and not in the source any more. */
  #gone: readonly TableDefinition[] = [];
  #matched: MatchedTables = noMatches;

  constructor(tools: CaptureTools, log: CaptureLog, publications: readonly string[]) {
    this.#tools = tools;
    this.#log = log;
    this.#publications = publications;
  }

  /** Of the last look. */
  get warnings(): string[] {
    return [...this.#gone.map(goneWarning), ...this.#matched.warnings];
  }

  /** Nobody has named it: it may come and go. */
  byPattern({ schema, table }: Pick<TableDefinition, "schema" | "table">): boolean {
    const { tables, patterns } = this.#tools.definition;
    const named = tables.some((one) => one.schema === schema && one.table === table);
    return !named && patternOf(patterns, { schema, table }) !== null;
  }

  /**
   * Where the stream goes on, named tables that are gone from the source are left out and said, so that they hold back no
   * others. The topics of all are there by then.
   */
  async look(client: Client, facts: ServerFacts, gone: "left-out" | "refused"): Promise<CheckedTable[]> {
    const named = await this.#named(client, facts, gone);
    this.#matched = await matchedTables(client, this.#tools.definition, facts, this.#publications);
    for (const { shape } of this.#matched.checked) await this.#log.addTable(shape);
    // Older servers publish all columns of a table, so that a new one is in the stream at once.
    const lists = facts.version >= 150_000;
    return [...named, ...this.#matched.checked].map((table) => ({ ...table, listed: table.listed && lists }));
  }

  async #named(client: Client, facts: ServerFacts, gone: "left-out" | "refused"): Promise<CheckedTable[]> {
    const { definition, diagnostics } = this.#tools;
    const catalogue = await readCatalogue(client, definition.tables);
    const there = definition.tables.filter((declared) =>
      catalogue.some(({ schema, table }) => schema === declared.schema && table === declared.table),
    );
    const absent = definition.tables.filter((declared) => !there.includes(declared));
    const { progress } = this.#log;
    const captured = absent.every((table) => topicName(definition.name, table) in (progress?.oids ?? {}));
    const none = there.length === 0 && definition.patterns.length === 0;
    if (gone === "refused" || progress?.state !== "streaming" || none || !captured) {
      return checkTables(definition, facts.user, catalogue);
    }
    for (const table of absent) {
      if (this.#gone.some((one) => goneWarning(one) === goneWarning(table))) continue;
      diagnostics.warn("a captured table is gone", { source: definition.name, table: goneWarning(table) });
    }
    this.#gone = absent;
    return checkTables({ ...definition, tables: there }, facts.user, catalogue);
  }
}

function goneWarning({ schema, table }: TableDefinition): string {
  return `table "${schema}.${table}" is gone from the source: what was captured of it stays as it was, and it is read when it is there again`;
}
