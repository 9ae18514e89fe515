/**
 * One run of the stream: from the position that the log has to the end of the connection. Decodes, records, confirms.
 *
 * Always true: the position that is confirmed to the server is durable in the log; transactions at or below the position
 * that the run began with are passed over, for a server sends them again after its own crash.
 *
 * Messages are decoded where they lie, as they come. When something must be waited for (room in the log, a spooled
 * transaction, the catalogue) the socket is paused, and the few messages that are already here are kept until then.
 */
import type { Client } from "pg";
import type { Clock, Timer } from "../base/clock.ts";
import type { Cells } from "../schema/cells.ts";
import { type CapturedTable, compareRelation } from "./captured-table.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import { CopyBothStream } from "./copy-both.ts";
import type { LogWriter } from "./log-writer.ts";
import { printLsn } from "./lsn.ts";
import { DecodeError, type OldRow, PgOutputDecoder, type PgOutputHandler, type Relation } from "./pgoutput.ts";
import type { TransactionSpool } from "./transaction-spool.ts";

export type SessionEnd =
  | { readonly kind: "stopped" }
  | { readonly kind: "failed"; readonly error: unknown }
  /** The tables changed in a way that the stream cannot tell. */
  | { readonly kind: "snapshot-needed"; readonly reason: string };

export interface SessionSettings {
  readonly client: Client;
  /** The START_REPLICATION command. */
  readonly command: string;
  readonly position: number;
  readonly clock: Clock;
  readonly log: LogWriter;
  readonly recorder: ChangeRecorder;
  readonly spool: TransactionSpool;
  readonly tables: readonly CapturedTable[];
  /** Answers the table with its new columns, recorded in the log; or why that cannot be. */
  readonly addColumns: (table: CapturedTable, relation: Relation, from: number) => Promise<CapturedTable | string>;
  readonly heartbeatMs: number;
}

type Kept =
  | { readonly kind: "message"; readonly lsn: number; readonly bytes: Buffer }
  | { readonly kind: "keepalive"; readonly end: number };

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
}

export class StreamSession implements PgOutputHandler {
  readonly ended: Promise<SessionEnd>;
  transactions = 0;
  readonly #settings: SessionSettings;
  readonly #stream: CopyBothStream;
  readonly #decoder: PgOutputDecoder;
  readonly #tables = new Map<number, CapturedTable>();
  /** As the server told them in this connection. */
  readonly #relations = new Map<number, Relation>();
  /** Told, and not yet compared with what is known. */
  readonly #unchecked = new Set<number>();
  /** Up to here everything has been given to the log. */
  #position: number;
  #durable: number;
  #inTransaction = false;
  #skipping = false;
  #keepaliveEnd = 0;
  #heartbeatMs: number;
  #timer: Timer | null = null;
  #work: Promise<void> | null = null;
  #blocked = false;
  #kept: Kept[] = [];
  #waiters: Waiter[] = [];
  #stopped: Promise<void> | null = null;
  #end: ((end: SessionEnd) => void) | null = null;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#position = this.#durable = settings.position;
    this.#heartbeatMs = settings.clock.monotonicMs();
    for (const table of settings.tables) this.#tables.set(table.oid, table);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#decoder = new PgOutputDecoder(this);
    this.#stream = new CopyBothStream(settings.client, settings.command, settings.position, settings.clock, {
      message: (lsn, bytes) => this.#take({ kind: "message", lsn, bytes }),
      keepalive: (end) => this.#take({ kind: "keepalive", end }),
      ended: (error) => this.#finish(error === null ? { kind: "stopped" } : { kind: "failed", error }),
    });
  }

  /** The end of the server's log as it last said; 0 when it said nothing yet. */
  get serverEnd(): number {
    return this.#stream.serverEnd;
  }

  get tables(): readonly CapturedTable[] {
    return [...this.#tables.values()];
  }

  start(): void {
    this.#stream.start();
    this.#tick();
  }

  /** Confirms what is durable and ends; what has not ended in the log is given up. */
  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      this.#finish({ kind: "stopped" });
      await this.#settings.log.close();
      await this.#stream.stop();
    })();
    return this.#stopped;
  }

  fail(error: unknown): void {
    this.#finish({ kind: "failed", error });
  }

  needSnapshot(reason: string): void {
    this.#finish({ kind: "snapshot-needed", reason });
  }

  /** The log made this position durable. */
  durable(position: number): void {
    this.#durable = position;
    this.#stream.confirm(position);
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.position <= position) waiter.resolve();
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
    if (waiting.length > 0) this.#stream.ask();
  }

  /** Resolves when the log has everything up to here durably, or the session is over. Asks the server to hurry. */
  catchUp(position: number): Promise<void> {
    if (position <= this.#durable || this.#end === null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ position, resolve });
      this.#stream.ask();
    });
  }

  #finish(end: SessionEnd): void {
    if (this.#end === null) return;
    this.#timer?.cancel();
    this.#kept = [];
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
    this.#end(end);
    this.#end = null;
  }

  // Order of work.

  #take(item: Kept): void {
    if (this.#end === null) return;
    if (this.#blocked) {
      this.#kept.push(item.kind === "message" ? { ...item, bytes: Buffer.from(item.bytes) } : item);
      return;
    }
    this.#process(item);
    this.#blockIfNeeded();
  }

  #process(item: Kept): void {
    if (item.kind === "keepalive") {
      this.#keepaliveEnd = Math.max(this.#keepaliveEnd, item.end);
      this.#heartbeat();
      return;
    }
    const { recorder } = this.#settings;
    recorder.lsn = item.lsn;
    recorder.message = item.bytes;
    this.#guard(() => this.#decoder.decode(item.bytes));
  }

  /** A message that cannot be decoded is set aside; any other error ends the session. */
  #guard(decode: () => void): void {
    try {
      decode();
    } catch (error) {
      if (!(error instanceof DecodeError)) this.fail(error);
      else if (!this.#skipping) {
        const table = error.relationOid === null ? undefined : this.#tables.get(error.relationOid);
        this.#settings.recorder.reject(error.message, table ?? null);
      }
    }
  }

  #blockIfNeeded(): void {
    const { log, spool } = this.#settings;
    if (this.#work === null && log.full) this.#work = log.room();
    if (this.#work === null && spool.full) this.#work = spool.spill();
    if (this.#work === null) return;
    this.#blocked = true;
    this.#stream.pause();
    void this.#unblock();
  }

  async #unblock(): Promise<void> {
    const { log, spool } = this.#settings;
    try {
      for (;;) {
        while (this.#work !== null) {
          const work = this.#work;
          this.#work = null;
          await work;
        }
        if (log.full) await log.room();
        if (spool.full) await spool.spill();
        const next = this.#kept.shift();
        if (next === undefined || this.#end === null) break;
        this.#process(next);
      }
    } catch (error) {
      this.fail(error);
    }
    this.#blocked = false;
    this.#stream.resume();
  }

  // Heartbeats.

  #tick(): void {
    this.#timer = this.#settings.clock.after(Math.min(1_000, this.#settings.heartbeatMs), () => {
      if (this.#end === null) return;
      if (!this.#blocked) this.#heartbeat();
      this.#tick();
    });
  }

  /** Writes the server's position when nothing is under way: at an interval, and at once when somebody waits for it. */
  #heartbeat(): void {
    const { log, clock, heartbeatMs } = this.#settings;
    const end = this.#keepaliveEnd;
    if (this.#inTransaction || end <= this.#position) return;
    const nowMs = clock.monotonicMs();
    const wanted = this.#waiters.some(({ position }) => position > this.#position);
    if (!wanted && nowMs - this.#heartbeatMs < heartbeatMs) return;
    this.#heartbeatMs = nowMs;
    this.#position = end;
    const lsn = printLsn(end);
    const tsMs = clock.now();
    log.eventAtEnd(() => ({ status: "HEARTBEAT", id: `heartbeat:${end}`, ts_ms: tsMs, lsn }), end);
  }

  // What the decoder calls.

  begin(xid: number, commitLsn: number, commitUs: number): void {
    this.#inTransaction = true;
    this.#skipping = commitLsn < this.#position;
    if (this.#skipping) return;
    this.#settings.recorder.begin(xid, commitLsn, commitUs);
    this.#checkRelations();
  }

  commit(commitLsn: number, endLsn: number): void {
    this.#inTransaction = false;
    if (this.#skipping) {
      this.#skipping = false;
      return;
    }
    this.#position = endLsn;
    this.transactions++;
    this.#settings.recorder.end(commitLsn, endLsn);
  }

  relation(relation: Relation): void {
    this.#relations.set(relation.oid, relation);
    this.#unchecked.add(relation.oid);
    if (this.#inTransaction && !this.#skipping) this.#checkRelations();
  }

  insert(oid: number, row: Cells): void {
    const table = this.#tableOf(oid);
    if (table !== null) this.#settings.recorder.insert(table, row);
  }

  update(oid: number, oldRow: OldRow, old: Cells, row: Cells): void {
    const table = this.#tableOf(oid);
    if (table !== null) this.#settings.recorder.update(table, oldRow, old, row);
  }

  delete(oid: number, oldRow: OldRow, old: Cells): void {
    const table = this.#tableOf(oid);
    if (table !== null) this.#settings.recorder.delete(table, oldRow, old);
  }

  truncate(oids: readonly number[]): void {
    for (const oid of oids) {
      const table = this.#tableOf(oid);
      if (table !== null) this.#settings.recorder.truncate(table);
    }
  }

  streamed(topXid: number, xid: number, message: Buffer): void {
    this.#settings.spool.add(topXid, xid, this.#settings.recorder.lsn, message);
  }

  streamAbort(topXid: number, xid: number): void {
    this.#work = this.#settings.spool.abort(topXid, xid);
  }

  streamCommit(xid: number, commitLsn: number, endLsn: number, commitUs: number): void {
    this.#work = this.#replay(xid, commitLsn, endLsn, commitUs);
  }

  async #replay(xid: number, commitLsn: number, endLsn: number, commitUs: number): Promise<void> {
    const { spool, recorder, log } = this.#settings;
    this.begin(xid, commitLsn, commitUs);
    await this.#pendingWork();
    await spool.replay(xid, (lsn, message) => {
      if (this.#end === null) return undefined;
      recorder.lsn = lsn;
      recorder.message = message;
      this.#guard(() => this.#decoder.decodeStreamed(message));
      return this.#work !== null || log.full ? this.#pendingWork() : undefined;
    });
    if (this.#end !== null) this.commit(commitLsn, endLsn);
  }

  async #pendingWork(): Promise<void> {
    const work = this.#work;
    this.#work = null;
    await work;
    if (this.#settings.log.full) await this.#settings.log.room();
  }

  /** Null for a table that is passed over: one that is not captured, or in a transaction that the log has. */
  #tableOf(oid: number): CapturedTable | null {
    if (this.#skipping) return null;
    const table = this.#tables.get(oid);
    if (table !== undefined) return table;
    if (!this.#relations.has(oid)) throw new DecodeError("a change names a relation that was not described", oid);
    return null;
  }

  #checkRelations(): void {
    for (const oid of this.#unchecked) {
      this.#unchecked.delete(oid);
      const relation = this.#relations.get(oid);
      const table = this.#tables.get(oid);
      if (relation === undefined || table === undefined) continue;
      const change = compareRelation(table, relation);
      if (change.kind === "same") continue;
      if (change.kind === "other") this.needSnapshot(change.reason);
      else {
        const before = this.#work;
        this.#work = Promise.resolve(before).then(() => this.#addColumns(table, relation, change.from));
      }
    }
  }

  async #addColumns(table: CapturedTable, relation: Relation, from: number): Promise<void> {
    const added = await this.#settings.addColumns(table, relation, from);
    if (typeof added === "string") this.needSnapshot(added);
    else this.#tables.set(table.oid, added);
  }
}
