/**
 * What a source keeps in `_millrace.progress`, and what it means at a start. The decision is the heart of capture: a
 * server that is not where we left it is refused, never taken up where it happens to be.
 */
import { MillraceError } from "../base/errors.ts";
import { resnapshotHint } from "./connection.ts";
import { parseLsn, printLsn } from "./lsn.ts";

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
  /** Offsets in the transaction topic: of the SNAPSHOT_BEGIN that holds, and of each SCHEMA after it. */
  readonly shapesAt: readonly number[];
}

export interface SlotFacts {
  readonly confirmed: number;
  readonly plugin: string;
  readonly database: string;
  /** The server gave up keeping log for it. */
  readonly lost: boolean;
  readonly activePid: number | null;
}

export interface ServerPlace {
  readonly systemId: string;
  readonly timeline: number;
  readonly database: string;
  readonly walEnd: number;
  readonly slot: SlotFacts | null;
}

export type StartDecision =
  | { readonly kind: "snapshot"; readonly reason: string }
  | { readonly kind: "resume"; readonly position: number }
  | { readonly kind: "refuse"; readonly error: MillraceError };

export function decideStart(
  source: string,
  progress: CaptureProgress | null,
  server: ServerPlace,
  asked: { readonly resnapshot: boolean },
): StartDecision {
  if (progress === null) return { kind: "snapshot", reason: "nothing was captured yet" };
  if (asked.resnapshot) return { kind: "snapshot", reason: "it was asked for" };
  if (progress.state === "released") return { kind: "snapshot", reason: "the slot was given up at the last stop" };
  if (progress.state === "snapshotting") return { kind: "snapshot", reason: "the last snapshot was broken off" };
  const position = parseLsn(progress.lsn);
  const refuse = (code: "SOURCE_REPLACED" | "SOURCE_SLOT_LOST" | "SOURCE_SLOT_AHEAD", what: string): StartDecision => ({
    kind: "refuse",
    error: new MillraceError(code, `source "${source}": ${what}`, {
      hint: resnapshotHint(source),
      details: { source, position: progress.lsn, slot: progress.slot },
    }),
  });
  if (server.systemId !== progress.systemId) {
    return refuse(
      "SOURCE_REPLACED",
      `the server is another one (system ${server.systemId}) than was captured (system ${progress.systemId})`,
    );
  }
  if (server.database !== progress.database) {
    return refuse(
      "SOURCE_REPLACED",
      `the url names database "${server.database}", and "${progress.database}" was captured`,
    );
  }
  if (server.timeline !== progress.timeline) {
    return refuse(
      "SOURCE_REPLACED",
      `the server is on timeline ${server.timeline} (after a failover or a restore), and timeline ${progress.timeline} was captured`,
    );
  }
  if (server.walEnd < position) {
    return refuse(
      "SOURCE_REPLACED",
      `the server's log ends at ${printLsn(server.walEnd)}, before what was captured (${progress.lsn}): it was restored from a backup`,
    );
  }
  const { slot } = server;
  if (slot === null) return refuse("SOURCE_SLOT_LOST", `replication slot "${progress.slot}" is gone`);
  if (slot.plugin !== "pgoutput" || slot.database !== progress.database) {
    return refuse("SOURCE_SLOT_LOST", `replication slot "${progress.slot}" is not the one that was made`);
  }
  if (slot.lost) {
    return refuse(
      "SOURCE_SLOT_LOST",
      `replication slot "${progress.slot}" was invalidated by the server, which no longer has the log that it needs`,
    );
  }
  if (slot.confirmed > position) {
    return refuse(
      "SOURCE_SLOT_AHEAD",
      `replication slot "${progress.slot}" is at ${printLsn(slot.confirmed)}, past what was captured (${progress.lsn}): it was made anew or advanced by somebody else`,
    );
  }
  return { kind: "resume", position };
}

/** Null for anything that this version did not write. */
export function readProgress(value: unknown): CaptureProgress | null {
  if (typeof value !== "object" || value === null) return null;
  const progress = value as CaptureProgress;
  return progress.version === 1 ? progress : null;
}
