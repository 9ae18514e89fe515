/**
 * The streaming part of the replication protocol over the client's connection: "Streaming Replication Protocol" of
 * PostgreSQL's manual. Frames are handed on as they come; the socket is paused and resumed by who reads.
 *
 * While the socket is paused keepalives are not read, but feedback still goes out at an interval, and any feedback
 * counts as an answer: the server does not cut a reader who is slow.
 */
import type { Client, Connection } from "pg";
import type { Clock, Timer } from "../base/clock.ts";
import { readFrames } from "./copy-frames.ts";
import { readLsn, writeLsn, writeTimestampMs } from "./lsn.ts";

export interface CopyBothHandler {
  /** `bytes` are valid during the call only. `lsn` is the place of the change. */
  message(lsn: number, bytes: Buffer): void;
  /** Everything that was committed before `serverEnd` has been sent. */
  keepalive(serverEnd: number): void;
  /** The stream has ended, by an error or because the server ended it. Called once. */
  ended(error: Error | null): void;
}

/** The client's connection, with what its own COPY support is built on. */
type CopyConnection = Connection & { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void };

/** The least that PostgreSQL's operators set as `wal_sender_timeout` is 5 s. */
const feedbackIntervalMs = 1_000;
/** A server that has said nothing for so long is asked for a word. */
const silenceMsMax = 5_000;
/** A server in the middle of a large transaction ends the stream late; then the connection is cut. */
const stopMsMax = 1_000;

export class CopyBothStream {
  /** The server's end as it last said. */
  serverEnd = 0;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #handler: CopyBothHandler;
  readonly #command: string;
  #connection: CopyConnection | null = null;
  #confirmed: number;
  #timer: Timer | null = null;
  #ended = false;
  #heardMs: number;
  /** Something came since `heardMs`: reading a clock for each message would be felt. */
  #heard = false;
  #giveBack: (() => void) | null = null;
  #paused = false;
  readonly #over = Promise.withResolvers<void>();
  #stopping = false;

  /** `confirmed` is what the log has already. */
  constructor(client: Client, command: string, confirmed: number, clock: Clock, handler: CopyBothHandler) {
    this.#client = client;
    this.#command = command;
    this.#confirmed = confirmed;
    this.#clock = clock;
    this.#handler = handler;
    this.#heardMs = clock.monotonicMs();
  }

  /** For how long the server has said nothing; 0 while it is not listened to. */
  get silentMs(): number {
    return this.#paused || this.#ended || this.#heard ? 0 : this.#clock.monotonicMs() - this.#heardMs;
  }

  start(): void {
    this.#client.query(this as never);
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
    this.#connection?.stream.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#heardMs = this.#clock.monotonicMs();
    this.#connection?.stream.resume();
  }

  /** The log has everything up to here durably. */
  confirm(position: number): void {
    if (position <= this.#confirmed) return;
    this.#confirmed = position;
    this.#feedback(false);
  }

  /** Asks the server how far it is; the answer is a keepalive. */
  ask(): void {
    this.#feedback(true);
  }

  /** Tells the server the last position, and waits a moment for it to end the stream. */
  async stop(): Promise<void> {
    if (this.#ended || this.#stopping || this.#connection === null) return;
    this.#stopping = true;
    this.#feedback(false);
    this.#connection.endCopyFrom();
    this.resume();
    const late = Promise.withResolvers<void>();
    const timer = this.#clock.after(stopMsMax, late.resolve);
    await Promise.race([this.#over.promise, late.promise]);
    timer.cancel();
  }

  // What the client calls.

  submit(connection: CopyConnection): void {
    this.#connection = connection;
    this.#giveBack = readFrames(connection.stream, {
      data: (bytes, start, end) => this.#data(bytes, start, end),
    });
    connection.query(this.#command);
  }

  handleError(error: Error): void {
    this.#end(error);
  }

  handleReadyForQuery(): void {
    this.#end(null);
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}

  /** A frame that is shorter than its form is passed over. */
  #data(bytes: Buffer, start: number, end: number): void {
    if (this.#stopping) return;
    this.#heard = true;
    if (bytes[start] === 0x77 && end - start >= 25) {
      this.#handler.message(readLsn(bytes, start + 1), bytes.subarray(start + 25, end));
    } else if (bytes[start] === 0x6b && end - start >= 18) {
      const serverEnd = readLsn(bytes, start + 1);
      if (serverEnd > this.serverEnd) this.serverEnd = serverEnd;
      this.#handler.keepalive(serverEnd);
      if (bytes[start + 17] === 1) this.#feedback(false);
    }
  }

  #schedule(): void {
    this.#timer = this.#clock.after(feedbackIntervalMs, () => {
      if (this.#ended) return;
      if (this.#heard) this.#heardMs = this.#clock.monotonicMs();
      this.#heard = false;
      this.#feedback(this.silentMs > silenceMsMax);
      this.#schedule();
    });
  }

  #feedback(answer: boolean): void {
    if (this.#connection === null || this.#ended) return;
    const bytes = Buffer.alloc(34);
    bytes[0] = 0x72;
    writeLsn(bytes, this.#confirmed, 1);
    writeLsn(bytes, this.#confirmed, 9);
    writeLsn(bytes, this.#confirmed, 17);
    writeTimestampMs(bytes, this.#clock.now(), 25);
    bytes[33] = answer ? 1 : 0;
    this.#connection.sendCopyFromChunk(bytes);
  }

  #end(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#giveBack?.();
    this.#over.resolve();
    this.#handler.ended(error);
  }
}
