/** `outbox:` of a source: a table in Debezium's outbox form, whose rows are events for other topics. */
import { MillraceError } from "../../base/errors.ts";
import { refuseUnknown } from "./names.ts";

export interface OutboxTableOptions {
  /** `"outbox"` is in schema public, `"app.outbox"` in app. */
  readonly table: string;
  /** The topic of a row; `${routedByValue}` is what the column `by` says. `outbox.event.${routedByValue}` when left out. */
  readonly route?: string;
  /** Columns, where they are called otherwise: `id`, `by` (aggregatetype), `key` (aggregateid), `payload`. */
  readonly columns?: Partial<OutboxColumns>;
  /** More headers: the name of each, and the column that it comes from. `id` is always one. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Rows are deleted once what they say is durable in the log. */
  readonly deleteAfterCapture?: boolean;
}

export interface OutboxColumns {
  readonly id: string;
  readonly by: string;
  readonly key: string;
  readonly payload: string;
}

export interface OutboxTableDefinition {
  readonly schema: string;
  readonly table: string;
  readonly route: string;
  readonly columns: OutboxColumns;
  readonly headers: readonly { readonly name: string; readonly column: string }[];
  readonly deleteAfterCapture: boolean;
}

const routeValue = "${routedByValue}";
/** Debezium's defaults. */
const defaultColumns: OutboxColumns = { id: "id", by: "aggregatetype", key: "aggregateid", payload: "payload" };

/** Throws `DEFINITION_INVALID`. */
export function outboxTable(source: string, options: OutboxTableOptions): OutboxTableDefinition {
  const named = `the outbox of source "${source}"`;
  refuseUnknown(named, options, ["table", "route", "columns", "headers", "deleteAfterCapture"]);
  const {
    table,
    route = `outbox.event.${routeValue}`,
    columns = {},
    headers = {},
    deleteAfterCapture = false,
  } = options;
  if (typeof table !== "string" || table === "") {
    throw new MillraceError("DEFINITION_INVALID", `${named} names no table`, {
      hint: 'Write outbox: { table: "outbox" }.',
    });
  }
  if (typeof route !== "string" || !/^[A-Za-z0-9._-]+$/.test(route.replaceAll(routeValue, "x"))) {
    throw new MillraceError("DEFINITION_INVALID", `${named} has the route ${JSON.stringify(route)}`, {
      hint: `It is a topic's name, in which ${routeValue} stands for the value of a row's column.`,
    });
  }
  refuseUnknown(`${named}, columns:`, columns, Object.keys(defaultColumns));
  const dot = table.indexOf(".");
  return Object.freeze({
    schema: dot < 0 ? "public" : table.slice(0, dot),
    table: dot < 0 ? table : table.slice(dot + 1),
    route,
    columns: Object.freeze({ ...defaultColumns, ...columns }),
    headers: Object.freeze(Object.entries(headers).map(([name, column]) => Object.freeze({ name, column }))),
    deleteAfterCapture: deleteAfterCapture === true,
  });
}

/** The topic that a route leads to. */
export function routedTopic(route: string, value: string): string {
  return route.replaceAll(routeValue, value);
}
