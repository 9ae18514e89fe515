/** Rows of `COPY … TO STDOUT` as they come, over the client's connection; the reader pauses the socket. */
import type { Client, Connection } from "pg";

export class CopyOut {
  readonly done: Promise<void>;
  readonly #row: (line: Buffer) => void;
  #connection: Connection | null = null;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  readonly #sql: string;

  /** `row` gets each line; its bytes are valid during the call only. What it throws is thrown by `done`. */
  constructor(client: Client, sql: string, row: (line: Buffer) => void) {
    this.#sql = sql;
    this.#row = row;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    client.query(this as never);
  }

  pause(): void {
    this.#connection?.stream.pause();
  }

  resume(): void {
    this.#connection?.stream.resume();
  }

  // What the client calls.

  submit(connection: Connection): void {
    this.#connection = connection;
    connection.query(this.#sql);
  }

  handleCopyData(message: { readonly chunk: Buffer }): void {
    try {
      this.#row(message.chunk);
    } catch (error) {
      this.#reject(error);
    }
  }

  handleError(error: Error): void {
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#resolve();
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}
