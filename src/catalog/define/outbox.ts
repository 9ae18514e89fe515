/**
 * `{ via: tx }`: publishing inside an application's own PostgreSQL transaction. The record is one logical message in the
 * server's log (`pg_logical_emit_message`): it needs no table and no right of its own, appears with the transaction's
 * commit and never without it.
 *
 * Transactions are told by their form, so that no client is needed here: pg, postgres.js, Drizzle, Kysely, Prisma.
 */
import { MillraceError } from "../../base/errors.ts";
import { encodeOutbox, outboxPrefix } from "../outbox-message.ts";

type Loose = (...values: never[]) => unknown;

/**
 * What can carry a statement: pg's client, a `sql` of postgres.js inside `begin`, the `tx` of Drizzle, of Kysely or of
 * Prisma's `$transaction`.
 */
export type SqlClient =
  | { query: Loose }
  | { unsafe: Loose }
  | { execute: Loose }
  | { executeQuery: Loose }
  | { $queryRawUnsafe: Loose };

export interface PublishOptions {
  /** The transaction that the record belongs to. */
  readonly via: SqlClient;
  /** Decides the partition; records of one key keep their order. */
  readonly key?: string | Uint8Array | null;
  /** A trace context goes here: `{ traceparent }`. */
  readonly headers?: Readonly<Record<string, string | Uint8Array | null>>;
}

/**
 * Publishes to a topic with the transaction's commit. A value is written as JSON; a `Uint8Array` as it is, null is a
 * tombstone. Resolves when the statement has run: the topic has the record only once the transaction is committed and
 * captured. Throws `OUTBOX_CLIENT_UNKNOWN`, `RECORD_INVALID`, `RECORD_TOO_LARGE`, and what the client throws.
 */
export async function publishVia(topic: string, value: unknown, options: PublishOptions): Promise<void> {
  const { via, key = null, headers = {} } = options;
  const content = encodeOutbox({
    topic,
    key: bytesOf(key, `the key of an event for topic "${topic}"`),
    value: valueBytes(topic, value),
    headers: Object.entries(headers).map(([name, header]) => ({
      key: name,
      value: bytesOf(header, `header "${name}" of an event for topic "${topic}"`),
    })),
  });
  refuseOutside(via);
  await runSql(via, emitSql, [outboxPrefix, content]);
}

const emitSql = "select pg_logical_emit_message(true, $1::text, $2::text)::text as position";

/** Rows of a statement by whatever client it is. Values are texts. Throws `OUTBOX_CLIENT_UNKNOWN`, and what the client throws. */
export async function runSql(
  client: SqlClient,
  sql: string,
  values: readonly string[] = [],
): Promise<Record<string, unknown>[]> {
  if (has(client, "$queryRawUnsafe")) return rowsOf(await client.$queryRawUnsafe(sql, ...values));
  if (has(client, "executeQuery")) return rowsOf(await client.executeQuery(kyselyQuery(sql, values)));
  if (has(client, "unsafe")) return rowsOf(await client.unsafe(sql, [...values]));
  if (has(client, "query")) return rowsOf(await client.query(sql, [...values]));
  if (has(client, "execute")) return rowsOf(await client.execute(withLiterals(sql, values)));
  throw new MillraceError("OUTBOX_CLIENT_UNKNOWN", "the client that was handed in can run no SQL that is known here", {
    hint: "Hand in the transaction of pg, postgres.js, Drizzle, Kysely or Prisma, or anything with query(text, values).",
  });
}

type Method = (...values: unknown[]) => unknown;

/** Classes and callables alike. */
function has<N extends string>(client: unknown, name: N): client is Record<N, Method> {
  const known = (typeof client === "object" && client !== null) || typeof client === "function";
  return known && typeof (client as Record<string, unknown>)[name] === "function";
}

/** What lies outside of a transaction would publish by itself, whatever became of the rest. Throws `OUTBOX_CLIENT_UNKNOWN`. */
function refuseOutside(client: SqlClient): void {
  const facts = client as unknown as Readonly<Record<string, unknown>>;
  const found = outsides.find(({ isOutside }) => isOutside(facts));
  if (found === undefined) return;
  throw new MillraceError("OUTBOX_CLIENT_UNKNOWN", `via is ${found.what}, which is not in a transaction`, {
    hint: found.hint,
  });
}

const outsides: readonly {
  readonly what: string;
  readonly hint: string;
  readonly isOutside: (facts: Readonly<Record<string, unknown>>) => boolean;
}[] = [
  {
    what: "a pool of pg",
    hint: "Take a client with pool.connect(), begin there, and hand that client in.",
    isOutside: (facts) => typeof facts.idleCount === "number" && typeof facts.connect === "function",
  },
  {
    what: "the sql of postgres.js",
    hint: "Use sql.begin(async (tx) => …) and hand tx in.",
    isOutside: (facts) => typeof facts.unsafe === "function" && typeof facts.begin === "function",
  },
  {
    what: "a database of Kysely",
    hint: "Use db.transaction().execute(async (tx) => …) and hand tx in.",
    isOutside: (facts) => typeof facts.executeQuery === "function" && facts.isTransaction === false,
  },
  {
    what: "a client of Prisma",
    hint: "Use prisma.$transaction(async (tx) => …) and hand tx in.",
    isOutside: (facts) => typeof facts.$queryRawUnsafe === "function" && typeof facts.$connect === "function",
  },
  {
    what: "a database of Drizzle",
    hint: "Use db.transaction(async (tx) => …) and hand tx in.",
    isOutside: (facts) =>
      typeof facts.execute === "function" &&
      typeof facts.query !== "function" &&
      typeof facts.transaction === "function" &&
      typeof facts.rollback !== "function",
  },
];

/** pg answers `{rows}`, as Kysely and some of Drizzle's drivers do; the others an array. */
function rowsOf(answer: unknown): Record<string, unknown>[] {
  const rows = Array.isArray(answer) ? answer : (answer as { readonly rows?: unknown } | null)?.rows;
  return Array.isArray(rows) ? [...rows] : [];
}

/** What `CompiledQuery.raw` makes. */
function kyselyQuery(sql: string, parameters: readonly string[]): object {
  const query = { kind: "RawNode", sqlFragments: [sql], parameters: [] };
  return { sql, parameters, query, queryId: { queryId: "millrace" } };
}

/** For a client that takes no values beside a text: hexadecimal digits, in which nothing can hide. */
function withLiterals(sql: string, values: readonly string[]): string {
  return sql.replace(/\$(\d+)::text/g, (_, number: string) => {
    const hex = Buffer.from(values[Number(number) - 1] ?? "").toString("hex");
    return `convert_from(decode('${hex}', 'hex'), 'UTF8')`;
  });
}

function valueBytes(topic: string, value: unknown): Buffer | null {
  if (value === null) return null;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const text = JSON.stringify(value) as string | undefined;
  if (text !== undefined) return Buffer.from(text);
  throw new MillraceError("RECORD_INVALID", `an event for topic "${topic}" has a value that JSON cannot say`, {
    hint: "null is a tombstone.",
  });
}

function bytesOf(value: unknown, what: string): Buffer | null {
  if (value === null) return null;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (typeof value === "string" && value.isWellFormed()) return Buffer.from(value);
  throw new MillraceError("RECORD_INVALID", `${what} is neither text nor bytes`, { hint: "Write a number as text." });
}
