/**
 * Many statements and COPY data in one round trip: Parse, Bind and Execute of all of them, then one Sync (PostgreSQL's
 * extended query protocol, "Pipelining"). The server stops at the first statement that fails and skips the rest.
 *
 * A statement whose text was prepared on this connection before is executed by its name; `fresh` ones are planned anew.
 * Not here: transactions. A pipeline that fails between `begin` and `commit` leaves the transaction to be rolled back.
 */
import type { Client, Connection, Submittable } from "pg";

export interface PipelineStatement {
  readonly sql: string;
  readonly values?: readonly (string | number | null)[];
  /** Rows of `copy … from stdin` in the text format. */
  readonly copy?: Iterable<string>;
  /** Not kept as a prepared statement: DDL, and statements to be planned with the statistics of this moment. */
  readonly fresh?: boolean;
  /** Whose statement it is, for the one who treats a failure. */
  readonly owner?: string;
}

export interface StatementResult {
  /** Rows inserted, updated, deleted, merged, copied or selected. */
  readonly count: number;
  /** Values as PostgreSQL's text. */
  readonly rows: readonly (readonly (string | null)[])[];
}

/** What the server said about the statement at `index`. */
export class PipelineError extends Error {
  readonly sqlState: string;
  readonly index: number;
  readonly statement: PipelineStatement | undefined;
  readonly detail: string | undefined;

  constructor(cause: unknown, index: number, statement: PipelineStatement | undefined) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = "PipelineError";
    const field = (name: string) => {
      const value = (cause as Record<string, unknown> | null)?.[name];
      return typeof value === "string" ? value : undefined;
    };
    this.sqlState = field("code") ?? "";
    this.detail = field("detail");
    this.index = index;
    this.statement = statement;
  }
}

/** Prepared statements of one connection, by their text. Bounded: past `preparedMax` further texts are planned each time. */
export class PreparedNames {
  readonly #names = new Map<string, string>();
  #next = 0;

  /** The name, and whether the server has it already; null when there is no room. */
  of(sql: string): { readonly name: string; readonly known: boolean } | null {
    const name = this.#names.get(sql);
    if (name !== undefined) return { name, known: true };
    if (this.#names.size >= preparedMax) return null;
    const made = `m${++this.#next}`;
    this.#names.set(sql, made);
    return { name: made, known: false };
  }

  forget(sql: string): void {
    this.#names.delete(sql);
  }

  clear(): void {
    this.#names.clear();
  }
}

const preparedMax = 2_000;

/** Runs the statements in their order. Rejects with a `PipelineError`, or with the connection's error when it broke. */
export function runPipeline(
  client: Client,
  names: PreparedNames,
  statements: readonly PipelineStatement[],
): Promise<StatementResult[]> {
  if (statements.length === 0) return Promise.resolve([]);
  return new Promise((resolve, reject) => client.query(new Pipeline(names, statements, resolve, reject)));
}

/** The parts of pg's connection that a submittable uses; its types leave some of them out. */
interface Wire {
  readonly stream: { cork?(): void; uncork?(): void };
  parse(query: { name: string; text: string }): void;
  bind(config: { statement: string; values: readonly (string | null)[] }): void;
  execute(config: { rows: number }): void;
  sync(): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

const copyChunkCharacters = 64 * 1024;

class Pipeline implements Submittable {
  readonly #names: PreparedNames;
  readonly #statements: readonly PipelineStatement[];
  readonly #resolve: (results: StatementResult[]) => void;
  readonly #reject: (error: unknown) => void;
  readonly #results: StatementResult[] = [];
  /** Texts that this pipeline prepares: when it fails at one, that one and the later ones are not there. */
  readonly #preparing: { sql: string; index: number }[] = [];
  #rows: (string | null)[][] = [];

  constructor(
    names: PreparedNames,
    statements: readonly PipelineStatement[],
    resolve: (results: StatementResult[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.#names = names;
    this.#statements = statements;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: Connection): void {
    const wire = connection as unknown as Wire;
    wire.stream.cork?.();
    try {
      this.#statements.forEach((statement, index) => {
        this.#send(wire, statement, index);
      });
      wire.sync();
    } finally {
      wire.stream.uncork?.();
    }
  }

  #send(wire: Wire, statement: PipelineStatement, index: number): void {
    const prepared = statement.fresh ? null : this.#names.of(statement.sql);
    if (!prepared?.known) {
      wire.parse({ name: prepared?.name ?? "", text: statement.sql });
      if (prepared) this.#preparing.push({ sql: statement.sql, index });
    }
    const values = (statement.values ?? []).map((value) => (value === null ? null : String(value)));
    wire.bind({ statement: prepared?.name ?? "", values });
    wire.execute({ rows: 0 });
    if (statement.copy !== undefined) {
      sendCopy(wire, statement.copy);
      wire.endCopyFrom();
    }
  }

  handleDataRow(message: { fields: (string | null)[] }): void {
    this.#rows.push(message.fields);
  }

  handleCommandComplete(message: { text: string }): void {
    const count = /(\d+)$/.exec(message.text);
    this.#results.push({ count: count ? Number(count[1]) : 0, rows: this.#rows });
    this.#rows = [];
  }

  handleEmptyQuery(): void {
    this.#results.push({ count: 0, rows: [] });
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#results);
  }

  handleError(error: unknown): void {
    const index = this.#results.length;
    for (const made of this.#preparing) if (made.index >= index) this.#names.forget(made.sql);
    this.#reject(new PipelineError(error, index, this.#statements[index]));
  }

  handleRowDescription(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleCopyData(): void {}
}

function sendCopy(wire: Wire, rows: Iterable<string>): void {
  let chunk = "";
  for (const row of rows) {
    chunk += row;
    if (chunk.length >= copyChunkCharacters) {
      wire.sendCopyFromChunk(Buffer.from(chunk));
      chunk = "";
    }
  }
  if (chunk !== "") wire.sendCopyFromChunk(Buffer.from(chunk));
}
