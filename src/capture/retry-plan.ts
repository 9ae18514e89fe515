/** What trying one thing again that was set aside would do, or why it cannot be tried. Pure. */
import { Cells } from "../schema/cells.ts";
import type { CapturedTable } from "./captured-table.ts";
import type { ChangeRecorder } from "./change-recorder.ts";
import { readCopyRow } from "./copy-row.ts";
import { DecodeError, type OldRow, PgOutputDecoder, type PgOutputHandler } from "./pgoutput.ts";
import type { RejectedJson } from "./rejected.ts";

interface Write {
  readonly message: Buffer;
  /** Throws `DecodeError`, and `RangeError` for a row that cannot be read. */
  readonly write: (recorder: ChangeRecorder) => void;
}

export type RetryPlan =
  | (Write & {
      readonly kind: "row";
      readonly table: CapturedTable;
      /** Of the old and the new row, as latin-1 text; a table without a key has none. */
      readonly keys: readonly string[];
      /** The snapshot, or the table's reading, that the row is of; null for a row of the stream. */
      readonly snapshot: string | null;
    })
  /** A logical message: one of the outbox, or an event. */
  | (Write & { readonly kind: "message" })
  | { readonly kind: "refused"; readonly reason: string };

export const readAnew = "the table can be read anew: millrace sources resnapshot";

export function planRetry(rejected: Partial<RejectedJson>, tables: readonly CapturedTable[]): RetryPlan {
  const refused = (reason: string): RetryPlan => ({ kind: "refused", reason });
  const { table: name, bytes, columns } = rejected;
  if (typeof bytes !== "string") return refused(`the row was too large to be kept; ${readAnew}`);
  const message = Buffer.from(bytes, "base64");
  const decoding = (handlerFor: (recorder: ChangeRecorder) => PgOutputHandler): Write => {
    return { message, write: (recorder) => new PgOutputDecoder(handlerFor(recorder)).decode(message) };
  };
  if (name === null || name === undefined) {
    if (message[0] === messageKind) return { kind: "message", ...decoding(messageHandler) };
    return refused("it belongs to no table that is captured");
  }
  const table = tables.find(({ shape }) => `${shape.schema}.${shape.table}` === name);
  if (table === undefined) return refused(`table "${name}" is not captured`);
  if (columns === undefined) return refused(`it is a row of a snapshot of table "${name}"; ${readAnew}`);
  const same =
    columns.length === table.shape.columns.length &&
    columns.every(
      ([column, type, modifier], i) =>
        table.shape.columns[i]?.name === column &&
        table.types[i]?.oid === type &&
        table.types[i]?.modifier === modifier,
    );
  if (!same) return refused(`table "${name}" has other columns now; ${readAnew}`);
  if (rejected.of === "outbox") {
    return { kind: "message", ...decoding((recorder) => outboxHandler(recorder, table)) };
  }
  const { snapshot = null } = rejected;
  let keys: readonly string[];
  try {
    keys = snapshot === null ? keysOf(message, table) : copyKeysOf(message, table);
  } catch (error) {
    if (error instanceof DecodeError || error instanceof RangeError) return refused(error.message);
    throw error;
  }
  const inserts = snapshot !== null || message[0] === insertKind;
  if (keys.length === 0 && !(inserts && table.shape.appendOnly)) {
    return refused(`table "${name}" has no key by which its order could be told; ${readAnew}`);
  }
  if (snapshot === null) {
    return { kind: "row", table, keys, snapshot, ...decoding((recorder) => rowHandler(recorder, table)) };
  }
  const write = (recorder: ChangeRecorder) => recorder.retryRow(table, copiedRow(message, table));
  return { kind: "row", table, keys, snapshot, message, write };
}

const messageKind = 0x4d;
const insertKind = 0x49;

/** Throws `DecodeError`, and `RangeError` where the key cannot be read. */
function keysOf(message: Buffer, table: CapturedTable): readonly string[] {
  const keys = new Set<string>();
  if (table.shape.key === null) return [];
  const add = (row: Cells) => keys.add(table.writer.keyOf(row).toString("latin1"));
  new PgOutputDecoder({
    ...nothing,
    insert: (_, row) => add(row),
    update: (_, kind, old, row) => {
      if (kind !== "none") add(old);
      add(row);
    },
    delete: (_, _kind, old) => add(old),
  }).decode(message);
  return [...keys];
}

/** Throws `RangeError`. */
function copiedRow(line: Buffer, { shape }: CapturedTable): Cells {
  const cells = new Cells();
  readCopyRow(line, 0, line.length, shape.columns.length, cells);
  return cells;
}

/** Throws `RangeError` where the row or its key cannot be read. */
function copyKeysOf(line: Buffer, table: CapturedTable): readonly string[] {
  return table.shape.key === null ? [] : [table.writer.keyOf(copiedRow(line, table)).toString("latin1")];
}

function rowHandler(recorder: ChangeRecorder, table: CapturedTable): PgOutputHandler {
  return {
    ...nothing,
    insert: (_, row) => recorder.insert(table, row),
    update: (_, kind: OldRow, old, row) => recorder.update(table, kind, old, row),
    delete: (_, kind: OldRow, old) => recorder.delete(table, kind, old),
    truncate: () => recorder.truncate(table),
  };
}

/** The row has its event already: only what it publishes is tried. */
function outboxHandler(recorder: ChangeRecorder, table: CapturedTable): PgOutputHandler {
  return { ...nothing, insert: (_, row) => recorder.publishRow(table, row) };
}

function messageHandler(recorder: ChangeRecorder): PgOutputHandler {
  return { ...nothing, message: (message) => recorder.retryMessage(message) };
}

/** What was set aside is one message: others have no meaning here. */
const pass = (): void => {};
const nothing: PgOutputHandler = {
  begin: pass,
  commit: pass,
  relation: pass,
  insert: pass,
  update: pass,
  delete: pass,
  truncate: pass,
  streamed: pass,
  streamCommit: pass,
  streamAbort: pass,
  message: pass,
  origin: pass,
  type: pass,
  twoPhase: pass,
};
