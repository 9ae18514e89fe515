/**
 * What a source keeps in `_millrace.progress`, and what it means at a start. The decision is the heart of capture: a
 * server that is not where we left it is refused, never taken up where it happens to be.
 */
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { parseLsn, printLsn } from "./lsn.ts";
import { followTimeline, type TimelineSwitch } from "./timeline.ts";

export interface CaptureProgress {
  readonly version: 1;
  /** `released`: the slot was given up on purpose; `snapshotting`: the slot may be there or not. */
  readonly state: "snapshotting" | "streaming" | "released";
  readonly systemId: string;
  readonly timeline: number;
  readonly database: string;
  readonly slot: string;
  /** The log has every whole transaction up to here. */
  readonly lsn: string;
  /** The server's numbers of the tables, by topic. */
  readonly oids: Readonly<Record<string, number>>;
  /** Offsets in the transaction topic: of the SNAPSHOT_BEGIN that holds, and of each SCHEMA and TABLE_BEGIN after it. */
  readonly shapesAt: readonly number[];
  /** Conditions that the tables were read and published with, by topic. */
  readonly wheres?: Readonly<Record<string, string>>;
  /** Tables that are read alone while the others stream, by topic: from their TABLE_BEGIN to their TABLE_END. */
  readonly reading?: Readonly<Record<string, TableReading>>;
  /** Where the slot's log began when it was looked at: the server saves that place before it counts, and never goes back. */
  readonly slotRestart?: string;
  /** Somebody stopped it, and nothing but somebody starts it again. */
  readonly hold?: SourceHold;
  /** Since the last snapshot a position was adopted: changes may be missing. */
  readonly gap?: PositionGap;
  /** Found once, and not to be seen any more when the server has gone on: stays until somebody decides. */
  readonly refused?: { readonly code: ErrorCode; readonly message: string };
}

/** How far the reading of a table is; committed with the rows that it tells of. */
export interface TableReading {
  /** Of its TABLE_BEGIN. */
  readonly id: string;
  readonly reason: string;
  /** The last key whose rows are in the log, as the source prints its columns; null before the first. */
  readonly after: readonly string[] | null;
  readonly rows: number;
  readonly rowsEstimated: number;
  /** It can only be begun anew: what is left to read is known to the process that read so far. */
  readonly restart?: boolean;
}

export interface SourceHold {
  /** `removed` is a pause that was meant for good: its publications are gone as well. */
  readonly kind: "paused" | "removed";
  readonly slot: "kept" | "dropped";
  /** Null when somebody asked for it. */
  readonly because: string | null;
  readonly atMs: number;
}

export interface PositionGap {
  readonly code: ErrorCode;
  /** What was captured went up to here … */
  readonly from: string;
  /** … and the stream went on from here; it may lie before `from` where the server was set back. */
  readonly to: string;
  readonly atMs: number;
}

export interface SlotFacts {
  readonly confirmed: number;
  /** Where the log begins that the server keeps for it; null when it keeps none. */
  readonly restart: number | null;
  /** Null for a physical slot. */
  readonly plugin: string | null;
  readonly database: string | null;
  /** The server gave up keeping log for it. */
  readonly lost: boolean;
  /** Why, in the server's word, where it says so. */
  readonly lostReason: string | null;
  readonly activePid: number | null;
}

export interface ServerPlace {
  readonly systemId: string;
  readonly timeline: number;
  readonly standby: boolean;
  /** How the server's timeline came from those before; empty on the first. */
  readonly history: readonly TimelineSwitch[];
  readonly database: string;
  readonly walEnd: number;
  readonly slot: SlotFacts | null;
}

/** What somebody has asked for. */
export interface StartWish {
  readonly resnapshot: boolean;
  /** Take the server as it is. */
  readonly adopt?: boolean;
}

export type StartDecision =
  | { readonly kind: "snapshot"; readonly reason: string }
  | { readonly kind: "resume"; readonly position: number; readonly timeline: number }
  /** `slot` null: there is none that can be used, one must be made. */
  | { readonly kind: "adopt"; readonly code: ErrorCode; readonly reason: string; readonly slot: SlotFacts | null }
  | { readonly kind: "refuse"; readonly error: MillraceError };

/** Refusals that a new snapshot leads out of, and most of them an adoption. */
export const refusalCodes: readonly ErrorCode[] = [
  "SOURCE_SLOT_LOST",
  "SOURCE_SLOT_AHEAD",
  "SOURCE_SLOT_FOREIGN",
  "SOURCE_REPLACED",
  "SOURCE_RESTORED",
  "SOURCE_DIVERGED",
];

export function decideStart(
  source: string,
  progress: CaptureProgress | null,
  server: ServerPlace,
  asked: StartWish,
): StartDecision {
  if (progress === null) return { kind: "snapshot", reason: "nothing was captured yet" };
  if (asked.resnapshot) return { kind: "snapshot", reason: "it was asked for" };
  if (progress.state === "released") return { kind: "snapshot", reason: "the slot was given up at the last stop" };
  if (progress.state === "snapshotting") return { kind: "snapshot", reason: "the last snapshot was broken off" };
  const found = findFault(progress, server);
  if (found === null && progress.refused === undefined) {
    return { kind: "resume", position: parseLsn(progress.lsn), timeline: server.timeline };
  }
  // What was found once holds on: the server may have gone past our position since, on another way than we know.
  const fault: Fault = found ?? { ...rememberedFault(source, progress), adoptable: true };
  if (fault.adoptable && asked.adopt === true) {
    const usable = server.slot !== null && !server.slot.lost;
    return { kind: "adopt", code: fault.code, reason: fault.what, slot: usable ? server.slot : null };
  }
  return {
    kind: "refuse",
    error: new MillraceError(fault.code, `source "${source}": ${fault.what}`, {
      hint: fault.hint ?? wayOut(source, fault.adoptable),
      details: {
        source,
        position: progress.lsn,
        slot: progress.slot,
        ...(fault.passing === true && { passing: true }),
      },
    }),
  };
}

function rememberedFault(source: string, { refused }: CaptureProgress): Pick<Fault, "code" | "what"> {
  const { code, message } = refused ?? { code: "SOURCE_RESTORED" as const, message: "" };
  const before = `source "${source}": `;
  return { code, what: message.startsWith(before) ? message.slice(before.length) : message };
}

interface Fault {
  readonly code: ErrorCode;
  readonly what: string;
  readonly adoptable: boolean;
  /** In place of the ways out that every refusal has. */
  readonly hint?: string;
  /** It cannot be seen any more when the server has gone on. */
  readonly passing?: boolean;
}

/** The first thing that keeps the stream from going on at our position. Who the server is comes first. */
function findFault(progress: CaptureProgress, server: ServerPlace): Fault | null {
  const position = parseLsn(progress.lsn);
  if (server.systemId !== progress.systemId) {
    const what = `the server is another one (system ${server.systemId}) than was captured (system ${progress.systemId})`;
    return { code: "SOURCE_REPLACED", what, adoptable: false };
  }
  if (server.database !== progress.database) {
    const what = `the url names database "${server.database}", and "${progress.database}" was captured`;
    return { code: "SOURCE_REPLACED", what, adoptable: false };
  }
  const way = followTimeline(progress.timeline, position, server.timeline, server.history);
  if (way.kind === "older") {
    const what = `the server is on timeline ${server.timeline}, and timeline ${progress.timeline} was captured: it is a backup, or a standby that was left behind`;
    return { code: "SOURCE_RESTORED", what, adoptable: true };
  }
  if (way.kind === "other") {
    const left = way.leftAt === null ? "" : `, which left timeline ${progress.timeline} at ${printLsn(way.leftAt)}`;
    const what = `the server is on timeline ${server.timeline}${left}; what was captured goes up to ${progress.lsn} of timeline ${progress.timeline}, so that it holds changes that this server does not have (a failover, or a recovery to an earlier time)`;
    return { code: "SOURCE_DIVERGED", what, adoptable: true };
  }
  if (server.walEnd < position) {
    const place = `log ends at ${printLsn(server.walEnd)}, before what was captured (${progress.lsn})`;
    if (server.standby) {
      const hint = "It is tried again by itself, until the standby has replayed that far.";
      return { code: "SOURCE_STANDBY_BEHIND", what: `the standby's ${place}`, adoptable: false, hint };
    }
    return {
      code: "SOURCE_RESTORED",
      what: `the server's ${place}: it was restored from a backup`,
      adoptable: true,
      passing: true,
    };
  }
  return findSlotFault(progress, position, server);
}

function findSlotFault(
  progress: CaptureProgress,
  position: number,
  { slot, timeline }: Pick<ServerPlace, "slot" | "timeline">,
): Fault | null {
  const named = `replication slot "${progress.slot}"`;
  if (slot === null) return { code: "SOURCE_SLOT_LOST", what: `${named} is gone`, adoptable: true };
  if (slot.plugin !== "pgoutput" || slot.database !== progress.database) {
    const kind =
      slot.plugin === null
        ? "is a physical one"
        : slot.plugin !== "pgoutput"
          ? `belongs to the plugin ${slot.plugin}`
          : `belongs to database "${slot.database}"`;
    const what = `${named} ${kind}: somebody has taken the name`;
    return { code: "SOURCE_SLOT_FOREIGN", what, adoptable: false };
  }
  if (slot.lost) {
    const why = slot.lostReason === null ? "" : ` (${slot.lostReason})`;
    const what = `${named} was invalidated by the server${why}, which no longer has the log that it needs`;
    return { code: "SOURCE_SLOT_LOST", what, adoptable: true };
  }
  if (slot.confirmed > position) {
    const what = `${named} is at ${printLsn(slot.confirmed)}, past what was captured (${progress.lsn}): it was made anew or advanced by somebody else`;
    return { code: "SOURCE_SLOT_AHEAD", what, adoptable: true };
  }
  // A promoted standby's copy of the slot is as old as its last look at the primary's.
  const isWitness = progress.slotRestart !== undefined && timeline === progress.timeline;
  const seen = isWitness ? parseLsn(progress.slotRestart) : 0;
  if (slot.restart !== null && slot.restart < seen) {
    const what = `${named} begins at ${printLsn(slot.restart)}, and once began at ${progress.slotRestart}: the server was set back to an earlier state`;
    return { code: "SOURCE_RESTORED", what, adoptable: true };
  }
  return null;
}

/** With where the slot was seen to begin; never with an earlier place than before. */
export function witnessed(progress: CaptureProgress, slotRestart: string): CaptureProgress {
  const before = progress.slotRestart;
  return before !== undefined && parseLsn(slotRestart) <= parseLsn(before) ? progress : { ...progress, slotRestart };
}

/** What can be done about a server that is not where it was left. */
export function wayOut(source: string, adoptable: boolean): string {
  const anew = `Changes may be missing, so the source must be read anew: millrace sources resnapshot ${source} (or, where no Millrace runs, millrace start --resnapshot ${source}). Its views are built again from the new snapshot.`;
  if (!adoptable) return anew;
  return `${anew} Where you know that nothing that matters is missing: millrace sources adopt ${source} goes on from the server's position, and says so in the log.`;
}

/** Null for anything that this version did not write. */
export function readProgress(value: unknown): CaptureProgress | null {
  if (typeof value !== "object" || value === null) return null;
  const progress = value as CaptureProgress;
  return progress.version === 1 ? progress : null;
}

/** Of a source that was never captured: a start takes a snapshot, whatever else stands in it. */
export function blankProgress(slot: string): CaptureProgress {
  return {
    version: 1,
    state: "snapshotting",
    systemId: "",
    timeline: 0,
    database: "",
    slot,
    lsn: "0/0",
    oids: {},
    shapesAt: [],
  };
}
