/**
 * One attempt at capturing: from connecting to the end of the stream. It ends by an error, by `stop`, or because the
 * tables changed in a way that needs a new snapshot; what comes then is up to `postgres.ts`.
 */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { invariant } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { PostgresDefinition } from "../catalog/definitions.ts";
import { EnvelopeWriter } from "../schema/envelope-writer.ts";
import { JsonBytes } from "../schema/json-bytes.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { CaptureLog, WriterSizes } from "./capture-log.ts";
import type { CapturedTable } from "./captured-table.ts";
import { describeAddedColumns, readCatalogue } from "./catalogue.ts";
import { ChangeRecorder, eventBytesMax } from "./change-recorder.ts";
import { closeConnection, connect } from "./connection.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn, printLsn } from "./lsn.ts";
import { slotName } from "./names.ts";
import type { Relation } from "./pgoutput.ts";
import { decideStart, type ServerPlace } from "./progress.ts";
import {
  checkServer,
  createSlot,
  dropSlot,
  ensurePublications,
  type Publications,
  readServerFacts,
  readServerPlace,
  type ServerFacts,
  takeSlot,
} from "./server-setup.ts";
import { takeSnapshot } from "./snapshot.ts";
import { SourceConnection } from "./source-connection.ts";
import { type SessionEnd, StreamSession } from "./stream-session.ts";
import { type CheckedTable, carriedAsTextWarning, checkTables, tablesDiffer } from "./table-checks.ts";
import { TransactionSpool } from "./transaction-spool.ts";

export interface CaptureSettings extends WriterSizes {
  readonly heartbeatMs: number;
  /** How often the source's catalogue is compared with what is captured. */
  readonly auditMs: number;
  readonly chunkBytes: number;
  /** What transactions that still run may take of memory. */
  readonly spoolBytes: number;
  /** A larger event is set aside. */
  readonly eventBytesMax: number;
}

export const defaultCaptureSettings: CaptureSettings = {
  heartbeatMs: 10_000,
  auditMs: 30_000,
  chunkBytes: 4 * 1024 * 1024,
  spoolBytes: 8 * 1024 * 1024,
  eventBytesMax,
  batchBytes: 512 * 1024,
  partBytes: 8 * 1024 * 1024,
};

export interface CaptureTools {
  readonly definition: PostgresDefinition;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly disk: Disk;
  readonly spillDirectory: string;
  readonly logId: string;
  readonly version: string;
  readonly settings: CaptureSettings;
}

/** What the status shows, told as it happens. */
export interface CaptureListener {
  snapshotting(rows: number, rowsEstimated: number): void;
  recording(recorder: ChangeRecorder): void;
  streaming(session: StreamSession, log: LogWriter): void;
  tables(tables: readonly TableShape[], warnings: readonly string[]): void;
  durable(position: number): void;
  rejected(reason: string, table: string | null): void;
}

export class CaptureRun {
  readonly #tools: CaptureTools;
  readonly #log: CaptureLog;
  readonly #listener: CaptureListener;
  readonly #slot: string;
  readonly #abort = new AbortController();
  readonly #json = new JsonBytes();
  #session: StreamSession | null = null;
  #connection: SourceConnection | null = null;
  #writer: LogWriter | null = null;
  #warnings: string[] = [];
  /** Set when the log failed: it cannot be written under this ownership any more. */
  logFailure: { readonly error: unknown } | null = null;

  constructor(tools: CaptureTools, log: CaptureLog, listener: CaptureListener) {
    this.#tools = tools;
    this.#log = log;
    this.#listener = listener;
    this.#slot = slotName(tools.definition.name, tools.logId);
  }

  /** Throws `SOURCE_…` and what the log throws. */
  async run(asked: { readonly resnapshot: boolean }): Promise<SessionEnd> {
    try {
      return await this.#run(asked);
    } catch (error) {
      if (this.logFailure !== null) throw this.logFailure.error;
      if (this.#abort.signal.aborted) return { kind: "stopped" };
      throw error;
    } finally {
      await this.#session?.stop();
      await this.#writer?.close();
      await this.#connection?.close();
    }
  }

  /** Confirms what is durable and ends the run. */
  stop(): void {
    this.#abort.abort(new Error("the source is stopping"));
    void this.#session?.stop();
  }

  /**
   * Resolves when the log has everything up to this position (null: the server's end of now), or the stream is over.
   * A server that has not flushed its own end yet is given something to flush.
   */
  async catchUp(position: number | null): Promise<void> {
    const session = this.#session;
    const connection = this.#connection;
    if (session === null || connection === null) return;
    const target = position ?? (await connection.run(currentEnd));
    const nudge = this.#tools.clock.after(nudgeMs, () => {
      connection.run((client) => client.query(nudgeSql)).catch(() => undefined);
    });
    await session.catchUp(target).finally(() => nudge.cancel());
  }

  needSnapshot(reason: string): void {
    this.#session?.needSnapshot(reason);
  }

  async #run(asked: { readonly resnapshot: boolean }): Promise<SessionEnd> {
    const { definition } = this.#tools;
    const connection = await this.#opened(SourceConnection.open(definition), (opened) => opened.close());
    this.#connection = connection;
    const facts = await connection.run(readServerFacts);
    checkServer(definition.name, facts);
    const checked = await connection.run((client) => this.#check(client, facts));
    let replication = await this.#opened(connect(definition, "replication"), closeConnection);
    try {
      const place = await connection.run((client) => readServerPlace(replication, client, this.#slot));
      const decision = decideStart(definition.name, this.#log.progress, place, asked);
      if (decision.kind === "refuse") throw decision.error;
      const publications = await connection.run((client) =>
        ensurePublications(
          client,
          definition,
          this.#slot,
          checked.map(({ oid, kind, shape }) => ({ ...shape, oid, kind })),
        ),
      );
      let reason = decision.kind === "snapshot" ? decision.reason : null;
      let tables: CapturedTable[] = [];
      if (reason === null) {
        const resumed = await this.#resume(checked, publications);
        if (typeof resumed === "string") reason = resumed;
        else tables = resumed;
      }
      if (reason !== null) {
        tables = await this.#snapshot(connection, replication, place, facts, checked, reason);
        // The connection that exported the snapshot has served.
        await closeConnection(replication);
        replication = await this.#opened(connect(definition, "replication"), closeConnection);
      }
      return await this.#stream(connection, replication, facts, publications, tables);
    } finally {
      await closeConnection(replication);
    }
  }

  /** Rejects when the run is stopped, whatever becomes of the work. */
  async #orAbort<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#abort;
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([work, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** What is opened after all is closed again. */
  async #opened<T>(opening: Promise<T>, close: (opened: T) => Promise<void>): Promise<T> {
    try {
      return await this.#orAbort(opening);
    } catch (error) {
      opening.then(close, () => undefined);
      throw error;
    }
  }

  async #check(client: Client, facts: ServerFacts): Promise<CheckedTable[]> {
    const { definition } = this.#tools;
    const checked = checkTables(definition, facts.user, await readCatalogue(client, definition.tables));
    this.#warnings = checked.flatMap(({ warnings }) => warnings);
    if (facts.walKeepUnbounded) {
      this.#warnings.push(
        "max_slot_wal_keep_size is -1 in the source: while Millrace is away, the server keeps its log without bound",
      );
    }
    return checked;
  }

  /** The tables as the log knows them; or why they must be read anew. */
  async #resume(checked: readonly CheckedTable[], publications: Publications): Promise<CapturedTable[] | string> {
    const { progress } = this.#log;
    invariant(progress !== null, "a resume has progress");
    const known = (await this.#log.readShapes()).map((shape) => ({ oid: progress.oids[shape.topic] ?? 0, shape }));
    const differs = tablesDiffer(known, checked);
    if (differs !== null) return differs;
    if (publications.widened) return "its publication was missing, or published less than is captured";
    return checked.map((table) => {
      const before = known.find(({ shape }) => shape.topic === table.shape.topic);
      invariant(before !== undefined, "tables that do not differ are known");
      return this.#captured(table.oid, before.shape, table.types.slice(0, before.shape.columns.length));
    });
  }

  #captured(oid: number, shape: TableShape, types: CapturedTable["types"]): CapturedTable {
    const topic = this.#log.topics.findIndex(({ name }) => name === shape.topic);
    const { version } = this.#tools;
    const database = this.#log.progress?.database ?? "";
    return { oid, shape, types, topic, writer: new EnvelopeWriter(shape, { version, database }, this.#json) };
  }

  async #snapshot(
    connection: SourceConnection,
    replication: Client,
    place: ServerPlace,
    facts: ServerFacts,
    before: readonly CheckedTable[],
    reason: string,
  ): Promise<CapturedTable[]> {
    const { definition, clock, random, diagnostics, settings } = this.#tools;
    const id = `snapshot:${random.uuid()}`;
    diagnostics.info("a snapshot is taken", { source: definition.name, reason, snapshot: id });
    this.#listener.snapshotting(0, Math.round(before.reduce((sum, { rowsEstimated }) => sum + rowsEstimated, 0)));
    const { systemId, timeline, database, walEnd } = place;
    const progress = { version: 1, state: "snapshotting", systemId, timeline, database, slot: this.#slot } as const;
    // First the intention: a start after a crash from here on takes a new snapshot, whatever became of the slot.
    await this.#log.writeProgress({ ...progress, lsn: printLsn(walEnd), oids: {}, shapesAt: [] });
    await this.#orAbort(connection.run((client) => dropSlot(client, definition.name, this.#slot, clock)));
    const slow = clock.after(slowSlotMs, () =>
      diagnostics.warn("the slot waits for transactions that run in the source to end", { source: definition.name }),
    );
    const made = createSlot(replication, this.#slot, facts.version);
    const slot = await this.#orAbort(made).finally(() => slow.cancel());
    const client = await this.#opened(connect(definition, "query"), closeConnection);
    try {
      await client.query("set row_security = off");
      await client.query("begin isolation level repeatable read read only");
      await client.query(`set transaction snapshot '${slot.snapshotName}'`);
      const checked = await this.#check(client, facts);
      this.#log.progress = {
        ...progress,
        lsn: printLsn(slot.consistentPoint),
        oids: Object.fromEntries(checked.map(({ oid, shape }) => [shape.topic, oid])),
        shapesAt: [],
      };
      const tables = checked.map((table) => ({ ...table, ...this.#captured(table.oid, table.shape, table.types) }));
      this.#tell(tables);
      const log = await this.#openWriter();
      await takeSnapshot({
        id,
        client,
        clock,
        log,
        captureLog: this.#log,
        recorder: this.#recorder(log, facts),
        tables,
        position: slot.consistentPoint,
        chunkBytes: settings.chunkBytes,
        signal: this.#abort.signal,
        onRows: (rows, rowsEstimated) => this.#listener.snapshotting(rows, rowsEstimated),
      });
      await log.close();
      return tables.map(({ oid, shape, types }) => this.#captured(oid, shape, types));
    } finally {
      await closeConnection(client);
    }
  }

  async #stream(
    connection: SourceConnection,
    replication: Client,
    facts: ServerFacts,
    publications: Publications,
    tables: readonly CapturedTable[],
  ): Promise<SessionEnd> {
    const { definition, clock, disk, spillDirectory, settings, diagnostics } = this.#tools;
    const { progress } = this.#log;
    invariant(progress !== null, "a stream begins behind a snapshot");
    if ((await connection.run((client) => slotIsActive(client, this.#slot))) === true) {
      // Only who still owns the unit may take the slot from its reader.
      await this.#log.writeProgress(progress);
      await connection.run((client) => takeSlot(client, definition.name, this.#slot, clock));
    }
    const spool = await TransactionSpool.open(disk, `${spillDirectory}/${definition.name}`, settings.spoolBytes);
    const log = await this.#openWriter();
    const recorder = this.#recorder(log, facts);
    const names = publications.names.map((name) => `"${name}"`).join(",");
    const session = new StreamSession({
      client: replication,
      command: `START_REPLICATION SLOT "${this.#slot}" LOGICAL ${progress.lsn} (proto_version '2', streaming 'on', publication_names '${names}')`,
      position: parseLsn(progress.lsn),
      clock,
      log,
      recorder,
      spool,
      tables,
      heartbeatMs: settings.heartbeatMs,
      addColumns: (table, relation, from) => this.#addColumns(connection, log, table, relation, from),
    });
    this.#session = session;
    this.#tell(tables);
    this.#listener.streaming(session, log);
    diagnostics.info("the stream begins", { source: definition.name, position: progress.lsn, slot: this.#slot });
    this.#abort.signal.throwIfAborted();
    session.start();
    this.#scheduleAudit(connection, facts, session);
    try {
      return await session.ended;
    } finally {
      await session.stop();
      await spool.close();
    }
  }

  async #openWriter(): Promise<LogWriter> {
    this.#writer = await this.#log.openWriter(this.#tools.settings, {
      onDurable: (position) => {
        this.#session?.durable(position);
        this.#listener.durable(position);
      },
      onFailure: (error) => {
        this.logFailure ??= { error };
        this.#abort.abort(error);
        this.#session?.fail(error);
      },
    });
    return this.#writer;
  }

  #recorder(log: LogWriter, facts: ServerFacts): ChangeRecorder {
    const recorder = new ChangeRecorder({
      log,
      clock: this.#tools.clock,
      rejectedTopic: this.#log.rejectedTopic,
      eventBytesMax: this.#tools.settings.eventBytesMax,
      checkUtf8: facts.encoding === "SQL_ASCII",
      onRejected: (reason, table) => this.#listener.rejected(reason, table),
    });
    this.#listener.recording(recorder);
    return recorder;
  }

  #tell(tables: readonly { readonly shape: TableShape }[]): void {
    this.#listener.tables(
      tables.map(({ shape }) => shape),
      this.#warnings,
    );
  }

  async #addColumns(
    connection: SourceConnection,
    log: LogWriter,
    table: CapturedTable,
    relation: Relation,
    from: number,
  ): Promise<CapturedTable | string> {
    const { definition, clock, diagnostics } = this.#tools;
    const grown = await connection.run((client) => describeAddedColumns(client, table, relation, from));
    if (typeof grown === "string") return grown;
    const { shape, types } = grown;
    const added = shape.columns.slice(from);
    log.event(
      (frontier) => ({ status: "SCHEMA", id: `schema:${table.oid}`, ts_ms: clock.now(), table: shape, frontier }),
      (offset) => this.#log.shapePlaced("schema", offset),
    );
    for (const { name, sourceType, carriedAsText } of added) {
      if (carriedAsText) this.#warnings.push(carriedAsTextWarning(shape, name, sourceType));
    }
    diagnostics.info("columns were added", {
      source: definition.name,
      table: `${shape.schema}.${shape.table}`,
      columns: added.map(({ name }) => name),
    });
    const captured = this.#captured(table.oid, shape, types);
    const others = this.#session?.tables.filter(({ oid }) => oid !== table.oid) ?? [];
    this.#tell([...others, captured]);
    return captured;
  }

  /** Changes that the stream tells late or never: a table made anew, a column added with a default. */
  #scheduleAudit(connection: SourceConnection, facts: ServerFacts, session: StreamSession): void {
    const { clock, settings, definition } = this.#tools;
    const timer = clock.after(settings.auditMs, () => {
      connection
        .run(async (client) => checkTables(definition, facts.user, await readCatalogue(client, definition.tables)))
        .then(
          (now) => {
            const differs = tablesDiffer(session.tables, now);
            if (differs !== null) session.needSnapshot(differs);
            else this.#scheduleAudit(connection, facts, session);
          },
          (error) => session.fail(error),
        );
    });
    void session.ended.then(() => timer.cancel());
  }
}

/** A slot that takes longer to make is said to wait. */
const slowSlotMs = 5_000;

/** A server whose last write is not flushed is given something to flush after this. */
const nudgeMs = 200;
const nudgeSql = "select pg_logical_emit_message(true, 'millrace.heartbeat', '')";

async function currentEnd(client: Client): Promise<number> {
  const { rows } = await client.query<{ lsn: string }>("select pg_current_wal_insert_lsn()::text as lsn");
  return parseLsn(rows[0]?.lsn ?? "0/0");
}

async function slotIsActive(client: Client, slot: string): Promise<boolean> {
  const { rows } = await client.query<{ active: boolean }>(
    "select active from pg_replication_slots where slot_name = $1",
    [slot],
  );
  return rows[0]?.active ?? false;
}
