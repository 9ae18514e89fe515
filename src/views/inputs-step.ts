/**
 * What to take next from a source's transaction topic. Pure: events in, a step out.
 *
 * Always true: a step ends at the end of a source transaction; the beginnings and ends of snapshots and of the reading of
 * a table, and changes of a table's shape, are steps of their own. Rows are found by frontiers, and never counted.
 */
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";

export interface InputEvent {
  readonly event: TransactionEvent;
  /** In the transaction topic: the offset behind the event. */
  readonly next: number;
}

/** Events that the group treats one at a time, between batches. */
export type LifeEvent = Extract<
  TransactionEvent,
  { status: "SNAPSHOT_BEGIN" | "SNAPSHOT_END" | "TABLE_BEGIN" | "TABLE_END" | "SCHEMA" }
>;

export type Step =
  | { readonly kind: "none" }
  | { readonly kind: "life"; readonly event: LifeEvent; readonly next: number; readonly events: 1 }
  | {
      readonly kind: "rows";
      /** How many events of the queue the step takes. */
      readonly events: number;
      readonly next: number;
      /** Rows below it, topic by topic, belong to the step. */
      readonly frontier: Frontier;
      /** The newest position of the source that the step reaches; null when it names none. */
      readonly lsn: string | null;
      /** Of a snapshot or a table under way, when the step has a part of it. */
      readonly progress: { readonly rows: number; readonly rowsEstimated: number } | null;
      /** Offsets between the positions and the frontier in topics that are read: the rows, and what lies between them. */
      readonly offsets: number;
      /** When the latest of its transactions was committed; null where none says so. */
      readonly changedMs: number | null;
      /** One transaction, which no other is to ride with. */
      readonly alone: boolean;
    };

/** A step of one tail, whatever it reads. */
export type TailStep =
  | { readonly kind: "none" }
  | (TailReach & { readonly kind: "life"; readonly source: string; readonly event: LifeEvent })
  | (TailReach & {
      readonly kind: "rows";
      /** Null for a topic's records. */
      readonly source: string | null;
      readonly lsn: string | null;
      readonly progress: { readonly rows: number; readonly rowsEstimated: number } | null;
      readonly changedMs: number | null;
      readonly alone: boolean;
    });

export interface TailReach {
  /** How many events of a source's queue it takes. */
  readonly events: number;
  readonly offsets: number;
  /** Next offsets by place (`positions.ts`). */
  readonly reached: ReadonlyMap<string, number>;
}

/**
 * `readFrom` answers where a topic is to be read from, or undefined when nobody reads it. At least one transaction is
 * taken, however large; no further one that would bring the step over `offsetsMax`. A transaction with rows of a topic
 * of `alone` is a step of its own.
 */
export function planStep(
  queue: readonly InputEvent[],
  readFrom: (topic: string) => number | undefined,
  offsetsMax: number,
  alone: ReadonlySet<string> = noTopics,
): Step {
  const frontier: Record<string, number> = {};
  let taken = 0;
  let next = 0;
  let lsn: string | null = null;
  let progress: { rows: number; rowsEstimated: number } | null = null;
  let offsets = 0;
  let changedMs: number | null = null;
  let isAlone = false;
  for (const { event, next: behind } of queue) {
    if (isAlone) break;
    if (isLife(event)) {
      if (taken === 0) return { kind: "life", event, next: behind, events: 1 };
      break;
    }
    const chunk = event.status === "SNAPSHOT_CHUNK" || event.status === "TABLE_CHUNK";
    if (event.status === "END" || chunk) {
      const more = offsetsTo(event.frontier, frontier, readFrom);
      isAlone = Object.keys(event.frontier).some(
        (topic) => alone.has(topic) && offsetsTo({ [topic]: event.frontier[topic] ?? 0 }, frontier, readFrom) > 0,
      );
      if (offsets > 0 && (isAlone || offsets + more > offsetsMax)) {
        isAlone = false;
        break;
      }
      offsets += more;
      const ms = Number.isFinite(event.ts_ms) ? event.ts_ms : null;
      changedMs = isAlone || changedMs === null || ms === null ? (ms ?? changedMs) : Math.max(changedMs, ms);
      for (const [topic, offset] of Object.entries(event.frontier)) {
        frontier[topic] = Math.max(frontier[topic] ?? 0, offset);
      }
    }
    if (event.status === "END" || event.status === "HEARTBEAT" || event.status === "GAP") lsn = event.lsn;
    if (chunk) progress = { rows: event.rows, rowsEstimated: event.rowsEstimated };
    taken++;
    next = behind;
  }
  if (taken === 0) return { kind: "none" };
  return { kind: "rows", events: taken, next, frontier, lsn, progress, offsets, changedMs, alone: isAlone };
}

const noTopics: ReadonlySet<string> = new Set();

function isLife(event: TransactionEvent): event is LifeEvent {
  const { status } = event;
  return status === "SCHEMA" || /^(SNAPSHOT|TABLE)_(BEGIN|END)$/.test(status);
}

function offsetsTo(to: Frontier, from: Frontier, readFrom: (topic: string) => number | undefined): number {
  let offsets = 0;
  for (const [topic, offset] of Object.entries(to)) {
    const position = readFrom(topic);
    if (position !== undefined) offsets += Math.max(0, offset - Math.max(position, from[topic] ?? 0));
  }
  return offsets;
}
