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
import { outboxPrefix } from "../catalog/outbox-message.ts";
import type { Cells } from "../schema/cells.ts";
import type { CapturedTable } from "./captured-table.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import { CopyBothStream } from "./copy-both.ts";
import type { LogWriter } from "./log-writer.ts";
import { printLsn } from "./lsn.ts";
import type { MessageNarrower } from "./narrow-message.ts";
import {
  DecodeError,
  type EmittedMessage,
  type OldRow,
  PgOutputDecoder,
  type PgOutputHandler,
  type Relation,
  type TwoPhaseStep,
} from "./pgoutput.ts";
import { PlaceWaits } from "./place-waits.ts";
import { preparedRefused, sessionOver } from "./stream-errors.ts";
import { StreamTables, type TableChange } from "./stream-tables.ts";
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
  /**
   * The stream cannot lead from the table as it was to what it is: gives the session the table that is read in its place,
   * by `replaceTable`.
   */
  readonly readAnew: (table: CapturedTable, reason: string) => Promise<void>;
  readonly heartbeatMs: number;
  /** Takes out what the server cannot leave out itself; null where nothing is. */
  readonly narrower?: MessageNarrower | null;
  /** A message of Millrace's own, in its place: `name` is what stands behind `millrace.`. */
  readonly onSignal?: (name: string, message: EmittedMessage) => void;
}

/** Messages with these prefixes are ours, and no events. */
const ownPrefix = "millrace.";

/** A message, or a keepalive, which has no bytes. */
interface Kept {
  readonly lsn: number;
  readonly bytes: Buffer | null;
}

/** How often a server is asked that has not passed a place. */
const askMs = 5;

export class StreamSession implements PgOutputHandler {
  readonly ended: Promise<SessionEnd>;
  transactions = 0;
  readonly #settings: SessionSettings;
  readonly #stream: CopyBothStream;
  readonly #decoder: PgOutputDecoder;
  readonly #tables: StreamTables;
  /** Up to here everything has been given to the log. */
  #position: number;
  /** And up to here readers of the log are told so. */
  #told: number;
  #durable: number;
  #inTransaction = false;
  #skipping = false;
  #keepaliveEnd = 0;
  #heartbeatMs: number;
  #timer: Timer | null = null;
  #work: Promise<void> | null = null;
  #blocked = false;
  #kept: Kept[] = [];
  /** For a place to be durable in the log, and for one to be given to it. */
  readonly #waiters = new PlaceWaits();
  readonly #places = new PlaceWaits();
  #between: (() => Promise<void>)[] = [];
  #asking: Timer | null = null;
  #stopped: Promise<void> | null = null;
  #end: ((end: SessionEnd) => void) | null = null;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#position = this.#durable = this.#told = settings.position;
    this.#tables = new StreamTables(settings.tables);
    settings.recorder.relationOf = (oid) => this.#tables.relation(oid);
    this.#heartbeatMs = settings.clock.monotonicMs();
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const { narrower = null, recorder } = settings;
    this.#decoder = new PgOutputDecoder(this, (message, at) => {
      if (narrower === null) return message;
      const narrow = narrower.narrow(message, at);
      recorder.messageAt(narrow);
      return narrow;
    });
    this.#stream = new CopyBothStream(settings.client, settings.command, settings.position, settings.clock, {
      message: (lsn, bytes) => this.#takeMessage(lsn, bytes),
      keepalive: (end) => this.#takeKeepalive(end),
      ended: (error) => this.#finish(error === null ? { kind: "stopped" } : { kind: "failed", error }),
    });
  }

  /** The end of the server's log as it last said; 0 when it said nothing yet. */
  get serverEnd(): number {
    return this.#stream.serverEnd;
  }

  /** For how long the server has said nothing, although it was listened to. */
  get silentMs(): number {
    return this.#stream.silentMs;
  }

  get recorder(): ChangeRecorder {
    return this.#settings.recorder;
  }

  get tables(): readonly CapturedTable[] {
    return this.#tables.list();
  }

  /** Up to here everything has been given to the log. */
  get position(): number {
    return this.#position;
  }

  start(): void {
    this.#stream.start();
    this.#tick();
  }

  /**
   * Resolves when everything before this place has been given to the log, durable or not, and rejects when the session is
   * over before. The server is asked to hurry.
   */
  passed(position: number): Promise<void> {
    if (this.#end === null) return Promise.reject(sessionOver());
    const passed = this.#places.add(position);
    this.#tellPlaces();
    this.#hurry();
    return passed;
  }

  /**
   * The table is read anew in this shape. What the stream tells of it in another one lies before that shape, and is passed
   * over until `openGate`.
   */
  replaceTable(table: CapturedTable): void {
    this.#tables.replace(table);
  }

  /** All that lies before the shape has been passed. Answers whether the stream tells another one: then it is a newer one. */
  openGate(table: CapturedTable): boolean {
    return this.#tables.openGate(table);
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
    this.#waiters.reached(position);
    if (!this.#waiters.empty) this.#stream.ask();
  }

  /** Resolves when the log has everything up to here durably, or the session is over. Asks the server to hurry. */
  catchUp(position: number): Promise<void> {
    if (position <= this.#durable || this.#end === null) return Promise.resolve();
    const reached = this.#waiters.add(position);
    this.#stream.ask();
    return reached;
  }

  /**
   * Does the work while no transaction is open, and holds the stream back until it is done. Rejects when the session is
   * over before.
   */
  between<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#end === null) return reject(sessionOver());
      this.#between.push(async () => {
        if (this.#end === null) return reject(sessionOver());
        await work().then(resolve, reject);
      });
      if (!this.#blocked) this.#blockIfNeeded();
    });
  }

  #finish(end: SessionEnd): void {
    if (this.#end === null) return;
    this.#timer?.cancel();
    this.#kept = [];
    this.#waiters.end(null);
    this.#asking?.cancel();
    this.#places.end(sessionOver());
    this.#end(end);
    this.#end = null;
    for (const work of this.#between.splice(0)) void work();
  }

  // Order of work.

  #takeMessage(lsn: number, bytes: Buffer): void {
    if (this.#end === null) return;
    if (this.#blocked) {
      this.#kept.push({ lsn, bytes: Buffer.from(bytes) });
      return;
    }
    this.#decode(lsn, bytes, false);
    this.#blockIfNeeded();
  }

  #takeKeepalive(end: number): void {
    if (this.#end === null) return;
    if (this.#blocked) {
      this.#kept.push({ lsn: end, bytes: null });
      return;
    }
    this.#keepalive(end);
    this.#blockIfNeeded();
  }

  #keepalive(end: number): void {
    this.#keepaliveEnd = Math.max(this.#keepaliveEnd, end);
    this.#tellPlaces();
    this.#heartbeat();
  }

  /** A message that cannot be decoded is set aside; any other error ends the session. */
  #decode(lsn: number, bytes: Buffer, streamed: boolean): void {
    const { recorder } = this.#settings;
    recorder.lsn = lsn;
    recorder.messageAt(bytes);
    recorder.streamed = streamed;
    try {
      if (streamed) this.#decoder.decodeStreamed(bytes);
      else this.#decoder.decode(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) this.fail(error);
      else if (!this.#skipping) {
        const table = error.relationOid === null ? undefined : this.#tables.get(error.relationOid);
        recorder.reject(error.message, table ?? null);
      }
    }
  }

  #blockIfNeeded(): void {
    const { log, spool } = this.#settings;
    if (this.#work === null && log.full) this.#work = log.room();
    if (this.#work === null && spool.full) this.#work = spool.spill();
    if (this.#work === null && !this.#inTransaction) this.#work = this.#between.shift()?.() ?? null;
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
        if (!this.#inTransaction && this.#between.length > 0) {
          this.#work = this.#between.shift()?.() ?? null;
          continue;
        }
        const next = this.#kept.shift();
        if (next === undefined || this.#end === null) break;
        if (next.bytes === null) this.#keepalive(next.lsn);
        else this.#decode(next.lsn, next.bytes, false);
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

  /**
   * Writes the server's position, or that of transactions without an event, when nothing is under way: at an interval,
   * and at once when somebody waits for it.
   */
  #heartbeat(): void {
    const { log, clock, heartbeatMs } = this.#settings;
    const end = Math.max(this.#keepaliveEnd, this.#position);
    if (this.#inTransaction || end <= this.#told) return;
    const nowMs = clock.monotonicMs();
    const wanted = this.#waiters.beyond(this.#told);
    if (!wanted && nowMs - this.#heartbeatMs < heartbeatMs) return;
    this.#heartbeatMs = nowMs;
    this.#position = this.#told = end;
    const lsn = printLsn(end);
    const tsMs = clock.now();
    log.eventAtEnd(() => ({ status: "HEARTBEAT", id: `heartbeat:${end}`, ts_ms: tsMs, lsn }), end);
  }

  // Places.

  /** A keepalive between transactions says that everything before it was sent. */
  #tellPlaces(): void {
    if (!this.#inTransaction) this.#places.reached(Math.max(this.#position, this.#keepaliveEnd));
  }

  #hurry(): void {
    if (this.#places.empty || this.#asking !== null) return;
    if (!this.#blocked) this.#stream.ask();
    this.#asking = this.#settings.clock.after(askMs, () => {
      this.#asking = null;
      this.#hurry();
    });
  }

  // What the decoder calls.

  begin(xid: number, commitLsn: number, commitUs: number): void {
    this.#inTransaction = true;
    this.#skipping = commitLsn < this.#position;
    if (this.#skipping) return;
    this.#settings.recorder.begin(xid, commitLsn, commitUs);
    this.#checkRelations();
  }

  commit(_commitLsn: number, endLsn: number): void {
    this.#inTransaction = false;
    if (this.#skipping) {
      this.#skipping = false;
      return;
    }
    this.#position = endLsn;
    this.transactions++;
    if (this.#settings.recorder.end(endLsn)) this.#told = endLsn;
    else this.#heartbeat();
    this.#tellPlaces();
  }

  relation(relation: Relation): void {
    this.#tables.told(relation);
    if (this.#inTransaction && !this.#skipping) this.#checkRelations();
  }

  insert(oid: number, row: Cells): void {
    const table = this.#tableOf(oid);
    if (table === null) return;
    this.#settings.recorder.insert(table, row);
    this.#settings.recorder.publishRow(table, row);
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

  message(message: EmittedMessage): void {
    const { recorder, log, onSignal } = this.#settings;
    if (message.transactional ? this.#skipping : message.lsn <= this.#position) return;
    const { prefix } = message;
    if (prefix === outboxPrefix) recorder.publish(message);
    else if (prefix.startsWith(ownPrefix)) onSignal?.(prefix.slice(ownPrefix.length), message);
    else recorder.emitted(message);
    if (message.transactional) return;
    // Its place is the end of its record, where the next one begins, a commit for one.
    this.#position = message.lsn;
    log.moveTo(this.#position);
  }

  origin(originLsn: number, name: string): void {
    if (this.#skipping) return;
    this.#settings.recorder.origin({ name, lsn: originLsn === 0 ? null : printLsn(originLsn) });
  }

  /** Types are read from the catalogue, which knows more of them. */
  type(): void {}

  /**
   * Our slots are made without two-phase decoding: then a prepared transaction comes whole at its COMMIT PREPARED, like
   * any other, and until then the server keeps it. One that comes at its PREPARE would have to be kept here from before
   * the position that is confirmed, so that a slot that was altered is refused before anything is confirmed.
   */
  twoPhase(step: TwoPhaseStep): void {
    this.fail(preparedRefused(step));
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
    const { spool, log } = this.#settings;
    this.begin(xid, commitLsn, commitUs);
    await this.#pendingWork();
    await spool.replay(xid, (lsn, message) => {
      if (this.#end === null) return undefined;
      this.#decode(lsn, message, true);
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

  /** Null for a table that is passed over, or in a transaction that the log has. */
  #tableOf(oid: number): CapturedTable | null {
    return this.#skipping ? null : this.#tables.ofChange(oid);
  }

  #checkRelations(): void {
    for (const found of this.#tables.changes()) {
      const before = Promise.resolve(this.#work);
      this.#work = before.then(() => this.#follow(found));
    }
  }

  async #follow({ table, relation, change }: TableChange): Promise<void> {
    if (change.kind === "other") return this.#settings.readAnew(table, change.reason);
    const added = await this.#settings.addColumns(table, relation, change.from);
    if (typeof added === "string") await this.#settings.readAnew(table, added);
    else this.#tables.set(added);
  }
}
