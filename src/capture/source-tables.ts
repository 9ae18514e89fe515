/**
 * The tables of a source during one attempt: checked against its catalogue, published, compared with what the log knows of
 * them, and looked at from time to time, for a stream tells some changes late or never.
 */
import type { Client } from "pg";
import { invariant, MillraceError } from "../base/errors.ts";
import { EnvelopeWriter } from "../schema/envelope-writer.ts";
import { JsonBytes } from "../schema/json-bytes.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { CaptureLog } from "./capture-log.ts";
import type { CaptureListener, CaptureTools } from "./capture-tools.ts";
import type { CapturedTable } from "./captured-table.ts";
import { describeAddedColumns } from "./catalogue.ts";
import type { LogWriter } from "./log-writer.ts";
import { appendOnlyPublication } from "./names.ts";
import type { Relation } from "./pgoutput.ts";
import { PresentTables } from "./present-tables.ts";
import type { TableReading } from "./progress.ts";
import { readMarks } from "./read-marks.ts";
import { ensurePublications, type Publications, type ServerFacts } from "./server-setup.ts";
import { checkFilters } from "./snapshot/check-filters.ts";
import { wholeRows } from "./snapshot/table-progress.ts";
import type { TableReads } from "./snapshot/table-reads.ts";
import { inOneMoment, type SourceConnection } from "./source-connection.ts";
import type { StreamSession } from "./stream-session.ts";
import { type CheckedTable, carriedAsTextWarning, readTableDiffers, tableDiffers } from "./table-checks.ts";
import { TableEncodings } from "./table-encodings.ts";
import { compareMarks, keptMarks, type MarksNow, type TableMarks } from "./table-marks.ts";

/** With what the stream begins. */
export interface StreamStart {
  readonly tables: readonly CapturedTable[];
  readonly read: readonly TableToRead[];
}

export interface TableToRead {
  readonly table: CheckedTable;
  readonly reason: string;
  /** Null to begin anew. */
  readonly resume: TableReading | null;
}

/** A table that nobody has named is not there any more, or not as one that can be captured: the stream begins anew without it. */
function leftPattern(source: string, { schema, table }: TableShape): MillraceError {
  return new MillraceError("SOURCE_TABLE_UNKNOWN", `source "${source}": table "${schema}.${table}" matches no more`, {
    hint: "Nothing need be done: what was captured of it stays as it was.",
    details: { source, table: `${schema}.${table}`, left: true },
  });
}

export function isLeftPattern(error: unknown): boolean {
  return MillraceError.is(error, "SOURCE_TABLE_UNKNOWN") && error.details.left === true;
}

/** Who narrows a publication again and again is left alone: the next look sees it. */
const publishLooksMax = 3;

export class SourceTables {
  readonly #tools: CaptureTools;
  readonly #slot: string;
  readonly #log: CaptureLog;
  readonly #listener: CaptureListener;
  readonly #json = new JsonBytes();
  readonly #encodings: TableEncodings;
  readonly #publications: readonly string[];
  readonly #present: PresentTables;
  /** What the log knows of tables that the stream does not. */
  #left: readonly { readonly shape: TableShape; readonly topic: number }[] = [];
  #warnings: string[] = [];
  #warningsTold = "";

  constructor(tools: CaptureTools, slot: string, log: CaptureLog, listener: CaptureListener) {
    this.#tools = tools;
    this.#encodings = new TableEncodings(tools.definition, tools.schemas);
    this.#slot = slot;
    this.#publications = [slot, appendOnlyPublication(slot)];
    this.#log = log;
    this.#listener = listener;
    this.#present = new PresentTables(tools, log, this.#publications);
  }

  /** Every table that is to be captured, as `PresentTables` finds them. */
  async check(client: Client, facts: ServerFacts, gone: "left-out" | "refused"): Promise<CheckedTable[]> {
    const checked = await this.#present.look(client, facts, gone);
    this.#listener.counted(new Map(checked.map(({ shape, rowsEstimated }) => [shape.topic, wholeRows(rowsEstimated)])));
    this.#warnings = [...checked.flatMap(({ warnings }) => warnings), ...this.#present.warnings];
    if (facts.walKeepUnbounded) {
      this.#warnings.push(
        "max_slot_wal_keep_size is -1 in the source: while Millrace is away, the server keeps its log without bound",
      );
    }
    return checked;
  }

  /** As a snapshot has them. A table that nobody has named is in it when it was published before: else the next look finds it. */
  async checkLoaded(client: Client, facts: ServerFacts, published: readonly CheckedTable[]): Promise<CheckedTable[]> {
    const checked = (await this.check(client, facts, "refused")).filter(
      ({ oid, shape }) => !this.#present.byPattern(shape) || published.some((table) => table.oid === oid),
    );
    return this.marked(client, checked);
  }

  /** Tables as the catalogue has them, with their marks of the same moment. */
  #look(client: Client, check: () => Promise<CheckedTable[]>): Promise<CheckedTable[]> {
    return inOneMoment(client, async () => this.marked(client, await check()));
  }

  /** With the marks that the catalogue has of them; in the transaction in which they were checked. */
  async marked(client: Client, checked: readonly CheckedTable[]): Promise<CheckedTable[]> {
    const marks = await readMarks(client, checked, this.#publications, (topic) => this.#log.marksOf(topic));
    return checked.map((table) => ({ ...table, marks: marks.get(table.oid) ?? null }));
  }

  /**
   * What the snapshot reads is in the state that these marks tell of. The publications are those of before the slot was made,
   * when they were right: it may have been waited for long.
   */
  keepMarks(tables: readonly CheckedTable[], published: readonly CheckedTable[]): void {
    const kept = tables.flatMap(({ oid, shape, marks }): [string, TableMarks][] => {
      const before = published.find((one) => one.oid === oid)?.marks ?? marks;
      return marks === null ? [] : [[shape.topic, { ...keptMarks(marks), published: before?.published ?? null }]];
    });
    this.#log.setMarks(Object.fromEntries(kept));
  }

  /**
   * The tables as the log knows them, and those that must be read, anew or for the first time or to their end. `checked`
   * has marks.
   */
  async resume(checked: readonly CheckedTable[], publications: Publications): Promise<StreamStart> {
    const { progress } = this.#log;
    invariant(progress !== null, "a resume has progress");
    const known = (await this.#log.readShapes()).map((shape) => ({ oid: progress.oids[shape.topic] ?? 0, shape }));
    const tables: CapturedTable[] = [];
    const read: TableToRead[] = [];
    for (const table of checked) {
      const { topic } = table.shape;
      const reading = progress.reading?.[topic];
      const before = known.find(({ shape }) => shape.topic === topic);
      const missed = publications.missed.includes(table.oid) ? "it was not published, or not as it is declared" : null;
      const reason =
        tableDiffers(known, table) ??
        missed ??
        (reading === undefined ? this.#marksDiffer(table, { keep: true }) : null);
      if (reason !== null || before === undefined) read.push({ table, reason: reason ?? "it is new", resume: null });
      else if (reading !== undefined) {
        // At its end it is compared with what it was at its beginning, wherever that was.
        const begun = { ...before, marks: this.#begunMarks(table) };
        const goesOn = reading.restart !== true && readTableDiffers(begun, table) === null;
        read.push({
          table: goesOn ? { ...table, marks: begun.marks } : table,
          reason: reading.reason,
          resume: goesOn ? reading : null,
        });
      } else {
        await this.prepare([before]);
        tables.push(this.captured(table.oid, before.shape, table.types.slice(0, before.shape.columns.length)));
      }
    }
    await this.prepare(read.map(({ table }) => table));
    for (const { shape } of known) if (this.#present.byPattern(shape)) await this.#log.addTable(shape);
    this.#left = known.flatMap(({ shape }) => {
      const topic = this.#log.numberOf(shape.topic);
      return topic < 0 || checked.some((table) => table.shape.topic === shape.topic) ? [] : [{ shape, topic }];
    });
    // What the stream tells of them is passed over from here on: under whatever number they come back, they are read anew.
    const unknown = this.#left.map(({ shape }) => [shape.topic, 0]);
    this.#log.progress = { ...progress, oids: { ...progress.oids, ...Object.fromEntries(unknown) } };
    return { tables, read };
  }

  /** Before tables are captured in the shapes that they have now. Throws `SOURCE_SCHEMA_UNREGISTERED`. */
  prepare(tables: readonly Pick<CheckedTable, "shape">[]): Promise<void> {
    return this.#encodings.prepare(tables.map(({ shape }) => shape));
  }

  /** In a shape that was prepared. */
  captured(oid: number, shape: TableShape, types: CapturedTable["types"]): CapturedTable {
    const topic = this.#log.numberOf(shape.topic);
    const { version } = this.#tools;
    const database = this.#log.progress?.database ?? "";
    const writer = new EnvelopeWriter(shape, { version, database }, this.#json);
    return { oid, shape, types, topic, writer, encoding: this.#encodings.of(shape) };
  }

  /** A table as the catalogue has it now; the publications have it too by then. */
  async published(client: Client, facts: ServerFacts, { shape }: CapturedTable): Promise<CheckedTable> {
    const { tables } = await this.publishMarked(client, facts, await this.check(client, facts, "left-out"));
    const same = (table: CheckedTable) => table.shape.schema === shape.schema && table.shape.table === shape.table;
    // Where it is gone, that is what is told.
    const found = tables.find(same) ?? (await this.check(client, facts, "refused")).find(same);
    if (found === undefined) throw leftPattern(this.#tools.definition.name, shape);
    await this.prepare([found]);
    return found;
  }

  /**
   * Publishes the tables, and reads their marks while the publications are right: whoever narrows one after that leaves
   * other marks than these.
   */
  async publishMarked(
    client: Client,
    facts: ServerFacts,
    checked: readonly CheckedTable[],
  ): Promise<{ readonly publications: Publications; readonly tables: readonly CheckedTable[] }> {
    let publications = await this.publish(client, facts, checked);
    for (let looks = 1; ; looks++) {
      const tables = await this.#look(client, () => this.check(client, facts, "left-out"));
      const { altered, missed } = await this.publish(client, facts, tables);
      publications = { ...publications, missed: [...publications.missed, ...missed] };
      if (!altered || looks === publishLooksMax) return { publications, tables };
    }
  }

  /** Why its rows must be read again; null when nothing of that was seen. Where `keep`, what concerns no rows counts from here on. */
  #marksDiffer(
    { shape, marks }: Pick<CheckedTable, "shape" | "marks">,
    { keep }: { readonly keep: boolean },
  ): string | null {
    if (marks === null) return null;
    const before = this.#log.marksOf(shape.topic);
    const change = before === null ? ({ kind: "moved" } as const) : compareMarks(before, marks);
    if (keep && change.kind === "moved") this.#log.setMarks({ [shape.topic]: keptMarks(marks) });
    return change.kind === "again" ? `table "${shape.schema}.${shape.table}": ${change.reason}` : null;
  }

  #begunMarks({ shape, marks }: CheckedTable): MarksNow | null {
    const begun = this.#log.marksOf(shape.topic);
    return begun === null || marks === null ? marks : { ...begun, labelsNow: marks.labelsNow, partitionsFilled: [] };
  }

  async publish(client: Client, facts: ServerFacts, checked: readonly CheckedTable[]): Promise<Publications> {
    const { definition } = this.#tools;
    await checkFilters(client, definition.name, facts, checked);
    const wheres = this.#log.progress?.wheres ?? {};
    const oids = this.#log.progress?.oids ?? {};
    const tables = checked.map(({ oid, kind, shape, listed, read: { where } }) => ({
      ...{
        ...shape,
        oid,
        kind,
        where,
        whereChanged: shape.topic in oids ? (wheres[shape.topic] ?? null) !== where : null,
      },
      listed: listed ? shape.columns.map(({ name }) => name) : null,
    }));
    const patterns = definition.patterns.filter(({ excludes }) => !excludes);
    // A stream names its publications when it begins, and a table may be matched later.
    const meant = [false, true].filter((kind) => patterns.some(({ appendOnly }) => appendOnly === kind));
    return ensurePublications(client, definition, this.#slot, tables, meant);
  }

  tell(tables: readonly { readonly shape: TableShape; readonly topic: number }[]): void {
    // What was captured of a table that is gone can be read as ever.
    const left = this.#left.filter(({ topic }) => tables.every((table) => table.topic !== topic));
    this.#warningsTold = this.#warnings.join("\n");
    const inOrder = [...tables, ...left].toSorted((a, b) => a.topic - b.topic);
    this.#listener.tables(
      inOrder.map(({ shape }) => shape),
      this.#warnings,
    );
  }

  async addColumns(
    connection: SourceConnection,
    log: LogWriter,
    session: () => StreamSession | null,
    reads: () => TableReads | null,
    table: CapturedTable,
    relation: Relation,
    from: number,
  ): Promise<CapturedTable | string> {
    const { definition, clock, diagnostics } = this.#tools;
    const grown = await connection.run((client) =>
      inOneMoment(client, async () => {
        const described = await describeAddedColumns(client, table, relation, from);
        if (typeof described === "string") return described;
        // The same change may have filled them in another way.
        const { shape } = described;
        const known = () => this.#log.marksOf(shape.topic);
        const marks = await readMarks(client, [{ oid: table.oid, shape }], this.#publications, known);
        // The catalogue may be ahead of the shape that is told here, so that its marks count from the next look only.
        return this.#marksDiffer({ shape, marks: marks.get(table.oid) ?? null }, { keep: false }) ?? described;
      }),
    );
    if (typeof grown === "string") return grown;
    await this.prepare([grown]);
    // Rows that were read before say nothing of the column.
    if (reads()?.readings.some((one) => one.table.topic === table.topic)) return "a column was added while it was read";
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
    const captured = this.captured(table.oid, shape, types);
    const others = session()?.tables.filter(({ oid }) => oid !== table.oid) ?? [];
    this.tell([...others, captured]);
    return captured;
  }

  /** Changes that the stream tells late or never: a table made anew, a column added with a default, one that is named anew. */
  scheduleAudit(connection: SourceConnection, facts: ServerFacts, session: StreamSession, reads: TableReads): void {
    const { clock, settings } = this.#tools;
    const timer = clock.after(settings.auditMs, () => {
      connection
        .run((client) => this.#look(client, () => this.check(client, facts, "left-out")))
        .then(async (now) => {
          await this.#audit(session, reads, now);
          this.scheduleAudit(connection, facts, session, reads);
        })
        .catch((error) => session.fail(error));
    });
    void session.ended.then(() => timer.cancel());
  }

  /** A table that is being read is compared at its end. */
  async #audit(session: StreamSession, reads: TableReads, now: readonly CheckedTable[]): Promise<void> {
    if (this.#warnings.join("\n") !== this.#warningsTold) this.tell(session.tables);
    const left = session.tables.find(
      ({ shape }) => this.#present.byPattern(shape) && !now.some((table) => table.shape.topic === shape.topic),
    );
    if (left !== undefined) throw leftPattern(this.#tools.definition.name, left.shape);
    for (const table of now) {
      const { topic } = table.shape;
      // One that was gone when the stream began is there again.
      let known = session.tables.find(({ shape }) => shape.topic === topic);
      if (known === undefined) {
        await this.prepare([table]);
        known = this.captured(table.oid, table.shape, table.types);
      }
      if (reads.readings.some((one) => one.table.shape.topic === topic)) continue;
      const reason = tableDiffers(session.tables, table) ?? this.#marksDiffer(table, { keep: true });
      if (reason !== null) await reads.again(known, reason, { atEnd: true });
    }
  }
}
