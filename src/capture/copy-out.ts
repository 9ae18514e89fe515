/** Rows of `COPY … TO STDOUT` as they come, over the client's connection; the reader pauses the socket. */
import type { Client, Connection } from "pg";
import { readFrames } from "./copy-frames.ts";

/** A line lies between `start` and `end`; the bytes are valid during the call only, and not to be written to. */
export type TakeLine = (bytes: Buffer, start: number, end: number) => void;

export class CopyOut {
  readonly done: Promise<void>;
  readonly #take: TakeLine;
  #connection: Connection | null = null;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #giveBack: () => void = () => {};
  readonly #sql: string;

  /** `take` gets each line, with its line feed. What it throws is thrown by `done`. */
  constructor(client: Client, sql: string, take: TakeLine) {
    this.#sql = sql;
    this.#take = take;
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
    this.#giveBack = readFrames(connection.stream, {
      data: (bytes, start, end) => this.#data(bytes, start, end),
    });
    connection.query(this.#sql);
  }

  handleError(error: Error): void {
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#giveBack();
    this.#resolve();
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}

  #data(bytes: Buffer, start: number, end: number): void {
    try {
      this.#take(bytes, start, end);
    } catch (error) {
      this.#reject(error);
    }
  }
}
