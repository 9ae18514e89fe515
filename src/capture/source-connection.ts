/** One ordinary connection to a source, used for one thing at a time. */
import type { Client } from "pg";
import { closeConnection, connect, type SourceAddress } from "./connection.ts";

/** What the work asks of the catalogue is of one moment. Nothing is written. */
export async function inOneMoment<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query("begin isolation level repeatable read read only");
  try {
    return await work();
  } finally {
    await client.query("rollback").catch(() => undefined);
  }
}

export class SourceConnection {
  readonly #client: Client;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(client: Client) {
    this.#client = client;
  }

  static async open(source: SourceAddress): Promise<SourceConnection> {
    return new SourceConnection(await connect(source, "query"));
  }

  /** Runs when what was asked before is done. */
  run<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const done = this.#last.then(() => work(this.#client));
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Never throws. */
  close(): Promise<void> {
    return closeConnection(this.#client);
  }
}
