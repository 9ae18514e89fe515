/**
 * What can be asked of a source in its state, and what follows from it: said before it is done, because most of it costs
 * another server disk or reading. Pure.
 */
import { bytes, count, plural } from "./format.ts";
import type { Retried, SourceStatus, SourceTable } from "./source-status.ts";

export type ActionKind = "pause" | "resume" | "resnapshot" | "adopt" | "retry" | "remove";

/** One way of doing it. */
export interface Way {
  /** Below `/v1/sources/{source}/`. */
  readonly path: string;
  /** On the button that does it. */
  readonly does: string;
  /** What follows, a sentence each. */
  readonly says: readonly string[];
  /** Something is lost, or read for long. */
  readonly heavy?: true;
}

export interface Plan {
  readonly title: string;
  readonly says: readonly string[];
  readonly ways: readonly Way[];
}

export const actionNames: Readonly<Record<ActionKind, string>> = {
  pause: "Pause",
  resume: "Resume",
  resnapshot: "Read anew",
  adopt: "Adopt the server's position",
  retry: "Retry rows set aside",
  remove: "Remove",
};

/** Refusals that going on from the server's position answers; of others it would hide the cause. */
const adoptable = ["SOURCE_SLOT_LOST", "SOURCE_SLOT_AHEAD", "SOURCE_RESTORED", "SOURCE_DIVERGED"];

export function actionsOf({ type, state }: Pick<SourceStatus, "type" | "state">): readonly ActionKind[] {
  if (type === "webhook") return [];
  switch (state.kind) {
    case "streaming":
      return ["pause", "resnapshot", "retry"];
    case "paused":
    case "removed":
      return ["resume", "resnapshot"];
    case "failed":
      return adoptable.includes(state.error?.code ?? "") ? ["resnapshot", "adopt", "pause"] : ["pause", "resnapshot"];
    case "left":
      return ["remove"];
    case "stopped":
      return [];
    default:
      return ["pause", "resnapshot"];
  }
}

export function planAction(kind: ActionKind, source: SourceStatus): Plan {
  const { name, state, position, wal } = source;
  switch (kind) {
    case "pause":
      return {
        title: `Pause ${name}`,
        says: ["It stands still until somebody resumes it, through restarts. Views stay readable, and grow old."],
        ways: [
          { path: "pause?slot=keep", does: "Pause, keep the slot", says: keptSlot(source) },
          {
            path: "pause?slot=drop",
            does: "Pause, drop the slot",
            says: [
              "The server keeps nothing, and its disk is safe.",
              `A resume reads ${rowsOf(source.tables)} anew, and builds the views again; changes in between are no events.`,
            ],
            heavy: true,
          },
        ],
      };
    case "resume": {
      const held = wal === null ? "" : `: ${bytes(wal.heldBytes)} of the server's log flow off`;
      const dropped = state.slot === "dropped";
      const says = dropped
        ? `Its slot was dropped: ${rowsOf(source.tables)} are read anew, and views that read them answer VIEW_BUILDING until then.`
        : `It goes on where it stood, and nothing is missing${held}.`;
      return { title: `Resume ${name}`, says: [says], ways: [{ path: "resume", does: "Resume", says: [] }] };
    }
    case "resnapshot":
      return {
        title: `Read ${name} anew`,
        says: [
          `${capital(rowsOf(source.tables))} are read again. Mirrors are emptied, and views that read them answer VIEW_BUILDING until the last table is whole.`,
          "Until then ALTER TABLE and TRUNCATE of these tables wait in the source, and so does what comes behind them.",
        ],
        ways: [{ path: "resnapshot", does: "Read everything anew", says: [], heavy: true }],
      };
    case "adopt":
      return {
        title: `Adopt the position of ${name}'s server`,
        says: [
          `It goes on from where the server is and reads nothing. Changes between ${position ?? "the last position"} and there may be missing for good.`,
          "Rows changed meanwhile stay as they were in the mirrors until they change again. A GAP record says so in the log.",
          "Reading the source anew is the way that is always right.",
        ],
        ways: [{ path: "adopt", does: "Adopt, changes may be missing", says: [], heavy: true }],
      };
    case "remove":
      return {
        title: `Remove ${name}`,
        says: [
          "It is in the module no more, and its slot holds its server's log without end. Its topics and mirrors stay.",
        ],
        ways: [
          {
            path: "remove?slot=drop",
            does: "Drop its slot",
            says: [
              "Slot and publications go. The address is that of another source of the same database; without one this is refused, with the command that names it.",
            ],
            heavy: true,
          },
          {
            path: "remove?slot=keep",
            does: "Leave the server alone",
            says: ["For a server that is gone, or whose slot somebody drops there. It is not warned of any more."],
            heavy: true,
          },
        ],
      };
    case "retry":
      return {
        title: `Retry what ${name} has set aside`,
        says: [
          `What stands in ${name}.rejected is tried once more, oldest first, a thousand at a time, while the stream is held back for a moment.`,
          "A row whose key has a newer event is left as it is.",
        ],
        ways: [{ path: "retry", does: "Retry", says: [] }],
      };
  }
}

/** One table, while the others go on. */
export function planTable(table: SourceTable, views: readonly string[]): Plan {
  const name = `${table.schema}.${table.table}`;
  const reads =
    table.key === null
      ? "It has no key, so that it is read at once, and the source's other tables wait for it."
      : "The other tables go on.";
  const readers =
    views.length === 0 ? "Views that read it answer" : `${views.join(", ")} and views that read it otherwise answer`;
  return {
    title: `Read ${name} anew`,
    says: [
      `${capital(rowsOf([table]))} are read again. ${reads}`,
      `${readers} VIEW_BUILDING until it is whole; all others stay as fresh as ever.`,
    ],
    ways: [
      { path: `resnapshot?table=${encodeURIComponent(name)}`, does: "Read this table anew", says: [], heavy: true },
    ],
  };
}

export function retriedSentence({ tried, written, superseded, refused, more }: Retried): string {
  if (tried === 0) return "Nothing was set aside.";
  const rest = more ? " There are more: retry again." : "";
  return `Of ${count(tried)} set aside, ${count(written)} were written, ${count(superseded)} have a newer event, and ${count(refused)} stay.${rest}`;
}

/** `about 1,200 rows of 3 tables`, or all of them where nobody has counted. */
export function rowsOf(tables: readonly Pick<SourceTable, "rowsEstimated">[]): string {
  const of = tables.length === 1 ? "" : ` of ${plural(tables.length, "table")}`;
  const known = tables.flatMap(({ rowsEstimated }) => (rowsEstimated === null ? [] : [rowsEstimated]));
  if (known.length < tables.length || tables.length === 0) return `all rows${of}`;
  return `about ${plural(
    known.reduce((sum, n) => sum + n, 0),
    "row",
  )}${of}`;
}

function keptSlot({ wal, walAllowance }: SourceStatus): string[] {
  const now = wal === null ? "" : `, ${bytes(wal.heldBytes)} by now`;
  const says = [`Nothing is lost. The server keeps its log for the slot${now}, and its disk fills until the resume.`];
  if (walAllowance?.whenFull === "drop-slot") {
    says.push(`Past ${bytes(walAllowance.heldBytesMax)} (walHeldBytesMax) Millrace drops the slot after all.`);
  }
  if (wal?.limitBytes != null) {
    const safe = wal.safeBytes === null ? "" : ` after another ${bytes(Math.max(0, wal.safeBytes))}`;
    says.push(`The server gives the slot up${safe} (max_slot_wal_keep_size), and the source must be read anew.`);
  } else if (wal !== null && walAllowance?.whenFull !== "drop-slot") {
    says.push("Nothing bounds it: max_slot_wal_keep_size is not set in the source.");
  }
  return says;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
