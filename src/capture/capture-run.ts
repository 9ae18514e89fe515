/**
 * One attempt at capturing: from connecting to the end of the stream. It ends by an error, by `stop`, or because the
 * tables changed in a way that needs a new snapshot; what comes then is up to `postgres.ts`.
 */
import type { Client } from "pg";
import { invariant } from "../base/errors.ts";
import { plainReader } from "../schema/registry/wire-reader.ts";
import { adoptPosition } from "./adopt.ts";
import type { CaptureLog } from "./capture-log.ts";
import type { CaptureListener, CaptureTools } from "./capture-tools.ts";
import { type CapturedTable, tableNamed } from "./captured-table.ts";
import { ChangeRecorder } from "./change-recorder.ts";
import { closeConnection, connect } from "./connection.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn, printLsn } from "./lsn.ts";
import { slotName } from "./names.ts";
import { MessageNarrower } from "./narrow-message.ts";
import { OutboxTable } from "./outbox/outbox-table.ts";
import { OutboxWriter } from "./outbox/outbox-writer.ts";
import { streamOptions } from "./pgoutput.ts";
import { decideStart, type ServerPlace, type StartWish } from "./progress.ts";
import { type RetryResult, retryRejected } from "./retry.ts";
import {
  checkServer,
  createSlot,
  dropSlot,
  type Publications,
  readServerFacts,
  readServerPlace,
  type ServerFacts,
  takeSlot,
} from "./server-setup.ts";
import { ChunkReader } from "./snapshot/chunk-reader.ts";
import { firstLoad } from "./snapshot/first-load.ts";
import { holdTables } from "./snapshot/hold-tables.ts";
import { tableProgress } from "./snapshot/table-progress.ts";
import { TableReads } from "./snapshot/table-reads.ts";
import { SourceConnection } from "./source-connection.ts";
import { notAnswering } from "./source-error.ts";
import { isLeftPattern, SourceTables, type StreamStart } from "./source-tables.ts";
import { type SessionEnd, StreamSession } from "./stream-session.ts";
import { type CheckedTable, readTableDiffers } from "./table-checks.ts";
import { TransactionSpool } from "./transaction-spool.ts";

export class CaptureRun {
  readonly #tools: CaptureTools;
  readonly #log: CaptureLog;
  readonly #listener: CaptureListener;
  readonly #slot: string;
  readonly #abort = new AbortController();
  #session: StreamSession | null = null;
  #connection: SourceConnection | null = null;
  #writer: LogWriter | null = null;
  #reads: TableReads | null = null;
  #outboxTable: OutboxTable | null = null;
  readonly #tables: SourceTables;
  /** Set when the log failed: it cannot be written under this ownership any more. */
  logFailure: { readonly error: unknown } | null = null;

  constructor(tools: CaptureTools, log: CaptureLog, listener: CaptureListener) {
    this.#tools = tools;
    this.#log = log;
    this.#listener = listener;
    this.#slot = slotName(tools.definition.name, tools.logId);
    this.#tables = new SourceTables(tools, this.#slot, log, listener);
  }

  /** Throws `SOURCE_…` and what the log throws. */
  async run(asked: StartWish): Promise<SessionEnd> {
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

  /** Undefined while nothing streams. */
  end(): Promise<string> | undefined {
    const asked = this.#connection?.run(currentEnd);
    if (asked === undefined) return undefined;
    const late = Promise.withResolvers<never>();
    const timer = this.#tools.clock.after(endMs, () => late.reject(notAnswering(this.#tools.definition.name, endMs)));
    return Promise.race([asked.then(printLsn), late.promise]).finally(() => timer.cancel());
  }

  needSnapshot(reason: string): void {
    this.#session?.needSnapshot(reason);
  }

  /** Runs on the ordinary connection; null while there is none. */
  ask<T>(work: (client: Client) => Promise<T>): Promise<T> | null {
    return this.#connection?.run(work) ?? null;
  }

  /** Begins to read one table anew; undefined while nothing streams. Throws `TABLE_UNKNOWN` and what the server throws. */
  readTable(named: string): Promise<void> | undefined {
    const [session, reads] = [this.#session, this.#reads];
    if (session === null || reads === null) return undefined;
    return reads.again(tableNamed(named, session.tables), "it was asked for", { atEnd: true });
  }

  /** Tries what was set aside once more; undefined while nothing streams. */
  retry(): Promise<RetryResult> | undefined {
    const [session, log, recorder] = [this.#session, this.#writer, this.#session?.recorder];
    if (session === null || log === null || recorder === undefined) return undefined;
    const begun = () => this.#log.readBegun();
    const { definition, engine, schemas } = this.#tools;
    const { wire } = schemas ?? { wire: plainReader };
    return retryRejected({ source: definition.name, engine, session, log, recorder, begun, wire });
  }

  /** Ends the attempt: what it depends on does not answer. */
  fail(error: unknown): void {
    this.#session?.fail(error);
  }

  async #run(asked: StartWish): Promise<SessionEnd> {
    const { definition } = this.#tools;
    const connection = await this.#opened(SourceConnection.open(definition), (opened) => opened.close());
    this.#connection = connection;
    this.#outboxTable = OutboxTable.of(definition, this.#log.topics, this.#tools.diagnostics, connection);
    const facts = await connection.run(readServerFacts);
    checkServer(definition.name, facts, definition.origin);
    const checked = await connection.run((client) => this.#tables.check(client, facts, "left-out"));
    let replication = await this.#opened(connect(definition, "replication"), closeConnection);
    try {
      const place = await connection.run((client) =>
        readServerPlace(replication, client, this.#slot, this.#log.progress),
      );
      const decision = decideStart(definition.name, this.#log.progress, place, asked);
      if (decision.kind === "refuse") throw decision.error;
      const published = await connection.run((client) => this.#tables.publishMarked(client, facts, checked));
      const { publications } = published;
      if (decision.kind === "resume") this.#log.followed(decision.timeline);
      if (decision.kind === "adopt") {
        await connection.run((client) =>
          adoptPosition(decision, place, {
            ...this.#tools,
            source: definition.name,
            slot: this.#slot,
            log: this.#log,
            facts,
            client,
            replication,
            openWriter: () => this.#openWriter(),
          }),
        );
        this.#listener.adopted();
      }
      const unpublished = publications.created ? "its publication was missing" : null;
      const reason = decision.kind === "snapshot" ? decision.reason : unpublished;
      let tables: CapturedTable[] = [];
      if (reason !== null) {
        await connection.run((client) => this.#tables.check(client, facts, "refused"));
        const loaded = await this.#snapshot(connection, replication, place, facts, published.tables, reason);
        if (typeof loaded === "string") return { kind: "snapshot-needed", reason: loaded };
        tables = loaded;
        // The connection that exported the snapshot has served.
        await closeConnection(replication);
        replication = await this.#opened(connect(definition, "replication"), closeConnection);
      }
      const resumed = () => this.#tables.resume(published.tables, publications);
      const start = reason === null ? await resumed() : { tables, read: [] };
      return await this.#stream(connection, replication, facts, publications, start);
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

  /** Answers why it must be begun anew, when a table has left it before it could be read. */
  async #snapshot(
    connection: SourceConnection,
    replication: Client,
    place: ServerPlace,
    facts: ServerFacts,
    before: readonly CheckedTable[],
    reason: string,
  ): Promise<CapturedTable[] | string> {
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
    const made = createSlot(replication, this.#slot, facts);
    const slot = await this.#orAbort(made).finally(() => slow.cancel());
    const clients: Client[] = [];
    try {
      const connections = definition.snapshot.connections ?? settings.loadConnections;
      for (let n = 0; n < connections; n++) {
        const client = await this.#opened(connect(definition, "query"), closeConnection);
        clients.push(client);
        await client.query("set row_security = off");
        await client.query("begin isolation level repeatable read read only");
        await client.query(`set transaction snapshot '${slot.snapshotName}'`);
      }
      const client = clients[0] as Client;
      const checked = await this.#tables.checkLoaded(client, facts, before);
      const moved = await this.#orAbort(holdTables(client, checked));
      if (moved !== null) return moved;
      this.#tables.keepMarks(checked, before);
      this.#log.progress = {
        ...progress,
        lsn: printLsn(slot.consistentPoint),
        oids: Object.fromEntries(checked.map(({ oid, shape }) => [shape.topic, oid])),
        shapesAt: [],
        wheres: Object.fromEntries(
          checked.flatMap(({ shape, read }) => (read.where === null ? [] : [[shape.topic, read.where]])),
        ),
      };
      await this.#tables.prepare(checked);
      const tables = checked.map((table) => ({
        ...table,
        ...this.#tables.captured(table.oid, table.shape, table.types),
      }));
      this.#tables.tell(tables);
      const log = await this.#openWriter();
      await firstLoad({
        id,
        clients,
        clock,
        log,
        captureLog: this.#log,
        recorder: this.#recorder(log, facts),
        tables,
        position: slot.consistentPoint,
        chunkBytes: settings.chunkBytes,
        signal: this.#abort.signal,
        onRows: (rows, rowsEstimated) => this.#listener.snapshotting(rows, rowsEstimated),
        reason,
        onProgress: (progress) => this.#listener.reading(() => progress.readings(clock.monotonicMs())),
      });
      await log.close();
      return tables.map(({ oid, shape, types }) => this.#tables.captured(oid, shape, types));
    } finally {
      await Promise.all(clients.map(closeConnection));
    }
  }

  async #stream(
    connection: SourceConnection,
    replication: Client,
    facts: ServerFacts,
    publications: Publications,
    { tables, read }: StreamStart,
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
      command: `START_REPLICATION SLOT "${this.#slot}" LOGICAL ${progress.lsn} (${streamOptions(facts.version, names, definition.origin)})`,
      position: parseLsn(progress.lsn),
      clock,
      log,
      recorder,
      spool,
      tables,
      heartbeatMs: settings.heartbeatMs,
      narrower: MessageNarrower.of(definition.tables, facts.version),
      addColumns: (table, relation, from) =>
        this.#tables.addColumns(
          connection,
          log,
          () => this.#session,
          () => this.#reads,
          table,
          relation,
          from,
        ),
      readAnew: async (table, why) => this.#reads?.again(table, why, { atEnd: false }),
    });
    this.#session = session;
    const reads = this.#openReads(connection, facts, log, recorder, session);
    this.#reads = reads;
    for (const { table, reason, resume } of read) {
      if (resume === null) reads.begin(table, reason, { atEnd: true });
      else reads.resume(table, resume);
    }
    this.#tables.tell(session.tables);
    this.#listener.streaming(session, log);
    diagnostics.info("the stream begins", { source: definition.name, position: progress.lsn, slot: this.#slot });
    this.#abort.signal.throwIfAborted();
    session.start();
    this.#tables.scheduleAudit(connection, facts, session, reads);
    try {
      const end = await session.ended;
      return end.kind === "failed" && isLeftPattern(end.error) ? { kind: "stopped" } : end;
    } finally {
      this.#abort.abort(new Error("the stream is over"));
      await session.stop();
      await reads.close();
      await spool.close();
    }
  }

  #openReads(
    connection: SourceConnection,
    facts: ServerFacts,
    log: LogWriter,
    recorder: ChangeRecorder,
    session: StreamSession,
  ): TableReads {
    const { definition, clock, random, diagnostics, settings } = this.#tools;
    const { signal } = this.#abort;
    const reads = new TableReads({
      ...{ source: definition.name, clock, random, diagnostics, captureLog: this.#log, log, recorder, signal },
      stream: session,
      chunkBytes: settings.chunkBytes / 2,
      chunked: facts.encoding !== "SQL_ASCII",
      openReader: () => this.#opened(ChunkReader.open(definition, clock, signal), (reader) => reader.close()),
      describe: (table) => connection.run((client) => this.#tables.published(client, facts, table)),
      differs: readTableDiffers,
      captured: ({ oid, shape, types }) => this.#tables.captured(oid, shape, types),
      onChange: () => this.#tables.tell(session.tables),
    });
    this.#listener.reading(() => reads.readings.map((one) => tableProgress(one, clock.monotonicMs())));
    return reads;
  }

  async #openWriter(): Promise<LogWriter> {
    this.#writer = await this.#log.openWriter(this.#tools.settings, {
      onDurable: (position) => {
        this.#session?.durable(position);
        this.#outboxTable?.durable(position);
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
      messageTopic: this.#log.messageTopic,
      messageOrigin: {
        version: this.#tools.version,
        source: this.#tools.definition.name,
        database: this.#log.progress?.database ?? facts.database,
      },
      outbox: new OutboxWriter({ ...this.#tools, log }),
      outboxTable: this.#outboxTable,
      eventBytesMax: this.#tools.settings.eventBytesMax,
      checkUtf8: facts.encoding === "SQL_ASCII",
      onRejected: (reason, table) => this.#listener.rejected(reason, table),
    });
    this.#listener.recording(recorder);
    return recorder;
  }
}

/** So long a reader waits for the server to say where it is. */
const endMs = 5_000;

/** A slot that takes longer to make is said to wait. */
const slowSlotMs = 5_000;

/** A server whose last write is not flushed is given something to flush after this. */
const nudgeMs = 200;
const nudgeSql = "select pg_logical_emit_message(true, 'millrace.heartbeat', '')";

async function currentEnd(client: Client): Promise<number> {
  const { rows } = await client.query<{ lsn: string }>(
    "select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end)::text as lsn",
  );
  return parseLsn(rows[0]?.lsn ?? "0/0");
}

async function slotIsActive(client: Client, slot: string): Promise<boolean> {
  const { rows } = await client.query<{ active: boolean }>(
    "select active from pg_replication_slots where slot_name = $1",
    [slot],
  );
  return rows[0]?.active ?? false;
}
