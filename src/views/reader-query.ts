/**
 * One statement of a person's, with the shared role, read-only, in a connection that is thrown away after it: nothing
 * that it sets, prepares or locks outlives it. Its time, its rows and the bytes of its answer are bounded.
 */
import type { Socket } from "node:net";
import type { Pool, PoolClient, QueryArrayConfig, QueryArrayResult } from "pg";
import { MillraceError } from "../base/errors.ts";
import { readFailed, serverError } from "./reader-errors.ts";
import { acquireReader } from "./reader-session.ts";

export interface QueryLimits {
  readonly rowsMax: number;
  readonly timeoutMs: number;
}

export interface QueryAnswer {
  readonly columns: string[];
  readonly rows: unknown[][];
  /** There are more rows than were asked for. */
  readonly more?: true;
}

/** A larger answer is cut off before it is in memory. */
const answerBytesMax = 16 * 1024 * 1024;

/** Throws `QUERY_INVALID` with PostgreSQL's message and position, `QUERY_TIMEOUT`, `STORE_UNAVAILABLE`. */
export async function runQuery(
  pool: Pool,
  sql: string,
  limits: QueryLimits,
  signal?: AbortSignal,
): Promise<QueryAnswer> {
  if (sql.includes("\0")) throw new MillraceError("QUERY_INVALID", "the query contains a NUL character");
  const first = withoutComments(sql);
  if (first === "" || first === ";") throw new MillraceError("QUERY_INVALID", "the query is empty");
  const client = await acquireReader(pool);
  const bound = boundAnswer(client);
  const abort = () => bound.end();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    signal?.throwIfAborted();
    await client.query("begin read only");
    await client.query(`set local statement_timeout = ${Math.max(1, Math.floor(limits.timeoutMs))}`);
    // A cursor bounds the rows; what else is readable (`show`, `explain`) is small.
    const cursor = /^(?:select|with|values|table)\b|^\(/i.test(first);
    const prefix = cursor ? "declare query no scroll cursor for " : "";
    const direct = await statement(client, prefix + sql).catch((error) => {
      throw refusal(error, sql, prefix.length);
    });
    const result = cursor
      ? await statement(client, `fetch ${Math.max(0, Math.floor(limits.rowsMax)) + 1} from query`).catch((error) => {
          throw refusal(error, sql, null);
        })
      : direct;
    const more = result.rows.length > limits.rowsMax;
    return {
      columns: result.fields.map((field) => field.name),
      rows: result.rows.slice(0, limits.rowsMax),
      ...(more ? { more } : {}),
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (bound.exceeded()) {
      throw new MillraceError("QUERY_INVALID", `the answer is larger than ${answerBytesMax / 2 ** 20} MB`, {
        hint: "Select fewer columns, or add a limit.",
      });
    }
    throw readFailed(error);
  } finally {
    signal?.removeEventListener("abort", abort);
    client.release(true);
  }
}

/** The extended protocol, which takes one statement only. */
function statement(client: PoolClient, text: string): Promise<QueryArrayResult<unknown[]>> {
  const config: QueryArrayConfig & { queryMode: "extended" } = {
    text,
    rowMode: "array",
    queryMode: "extended",
    types: { getTypeParser: (oid: number) => parserOf(oid) },
  };
  return client.query<unknown[]>(config);
}

/** From the first word on. */
function withoutComments(sql: string): string {
  return sql.replace(/^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, "").trimEnd();
}

function refusal(error: unknown, sql: string, prefixLength: number | null): unknown {
  const server = serverError(error);
  if (!server || /^(08|53|57|58)/.test(server.sqlState)) return error;
  const at = server.position === null || prefixLength === null ? 0 : server.position - prefixLength;
  const position = at >= 1 && at <= sql.length + 1 ? at : null;
  return new MillraceError("QUERY_INVALID", server.message, {
    cause: error,
    ...hintFor(server.sqlState),
    details: { sqlState: server.sqlState, ...(position === null ? {} : { position }) },
  });
}

/** For what somebody who writes a first query runs into. */
function hintFor(sqlState: string): { hint: string } | undefined {
  switch (sqlState) {
    case "42P01":
    case "3F000":
      return {
        hint: 'Views are views.<name>. A captured table is <source>.<table> (<source>."<schema>.<table>" when it is not in public), while a view reads it.',
      };
    case "42501":
    case "25006":
      return {
        hint: "Views that have no policy, and captured tables, can be read, and nothing can be written: change the source.",
      };
    default:
      return undefined;
  }
}

/**
 * Ends the connection when more than the bound has come in, before the driver has put one value together; or when nobody
 * waits any more, which the server notices within a second.
 */
function boundAnswer(client: PoolClient): { exceeded(): boolean; end(): void } {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > answerBytesMax) stream.destroy(new Error("the answer is too large"));
  });
  return { exceeded: () => bytes > answerBytesMax, end: () => stream.destroy(new Error("nobody waits any more")) };
}

const oid = { bool: 16, bytea: 17, int2: 21, int4: 23, json: 114, float4: 700, float8: 701, timestamp: 1114 } as const;
const oidTimestamptz = 1184;
const oidJsonb = 3802;

/** The forms of rows: what JavaScript's number holds exactly is a number, instants are RFC 3339, the rest is text. */
function parserOf(type: number): (text: string) => unknown {
  switch (type) {
    case oid.bool:
      return (text) => text === "t";
    case oid.int2:
    case oid.int4:
      return Number;
    case oid.float4:
    case oid.float8:
      return (text) => (Number.isFinite(Number(text)) ? Number(text) : text);
    case oid.json:
    case oidJsonb:
      return JSON.parse;
    case oid.bytea:
      return (text) => Buffer.from(text.slice(2), "hex").toString("base64");
    case oid.timestamp:
      return (text) => text.replace(" ", "T");
    case oidTimestamptz:
      return instant;
    default:
      return (text) => text;
  }
}

function instant(text: string): string {
  const match = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/.exec(text);
  return match ? `${match[1]}T${match[2]}.${(match[3] ?? "").padEnd(6, "0")}Z` : text;
}
