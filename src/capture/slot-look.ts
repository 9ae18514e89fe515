/**
 * Other people's disks: what the source's server keeps for us, how long it will go on doing so, and what earlier
 * Millraces have left behind there. Looks only; what follows from it is decided here and done by `postgres.ts`.
 */
import type { Client } from "pg";
import { quote } from "../catalog/definitions.ts";
import { appendOnlyPublication } from "./names.ts";

/** What the server keeps for the slot. */
export interface SlotWal {
  /** From the slot's beginning to the server's end. */
  readonly heldBytes: number;
  /** What can still be written before the slot is lost; null where the server sets no bound. */
  readonly safeBytes: number | null;
  /** `max_slot_wal_keep_size`; null where there is none. */
  readonly limitBytes: number | null;
  readonly status: "reserved" | "extended" | "unreserved" | "lost" | "unknown";
}

/** Something that is called like ours, and that nobody uses. */
export interface Orphan {
  readonly kind: "slot" | "publication";
  readonly name: string;
  /** What the server keeps for it. */
  readonly heldBytes: number | null;
  readonly sql: string;
}

export interface SlotLook {
  /** Null when there is no slot. */
  readonly wal: SlotWal | null;
  /** Where the slot's log begins. */
  readonly restart: string | null;
  readonly orphans: readonly Orphan[];
  /** 0: the server waits for ever. */
  readonly walSenderTimeoutMs: number;
  /** Sentences of the server's settings. */
  readonly advice: readonly string[];
}

const orphansMax = 20;

interface Row {
  readonly held: number | null;
  readonly safe: number | null;
  readonly status: string | null;
  readonly restart: string | null;
  readonly found: boolean;
  readonly limit: number | null;
  readonly sender: number | null;
  readonly idle: number | null;
  readonly standby: boolean;
  readonly feedback: boolean;
  readonly waiting: string | null;
  readonly orphans: { readonly name: string; readonly held: number | null }[] | null;
  readonly publications: string[] | null;
}

export async function lookAtSlot(client: Client, slot: string): Promise<SlotLook> {
  const { rows } = await client.query<Row>(
    `with place as (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn),
          mine as (select * from pg_replication_slots where slot_name = $1),
          setting as (select name, setting from pg_settings)
     select (select greatest(0, pg_wal_lsn_diff(lsn, restart_lsn))::float8 from mine, place) as held,
            (select safe_wal_size::float8 from mine) as safe,
            (select wal_status from mine) as status,
            (select restart_lsn::text from mine) as restart,
            exists (select from mine) as found,
            (select setting::float8 * 1048576 from setting where name = 'max_slot_wal_keep_size' and setting <> '-1') as "limit",
            (select setting::float8 from setting where name = 'wal_sender_timeout') as sender,
            (select setting::float8 from setting where name = 'idle_replication_slot_timeout') as idle,
            pg_is_in_recovery() as standby,
            current_setting('hot_standby_feedback') = 'on' as feedback,
            (select string_agg(trim(n), ', ') from unnest(string_to_array(nullif(current_setting('synchronized_standby_slots', true), ''), ',')) n
              where not exists (select from pg_replication_slots s where s.slot_name = trim(n) and s.active)) as waiting,
            (select json_agg(json_build_object('name', slot_name, 'held', greatest(0, pg_wal_lsn_diff(lsn, restart_lsn))::float8))
               from (select * from pg_replication_slots where starts_with(slot_name, 'millrace_') and slot_name <> $1
                       and not active and database = current_database() order by slot_name limit ${orphansMax}) s, place) as orphans,
            (select json_agg(pubname)
               from (select pubname from pg_publication p where starts_with(pubname, 'millrace_') and pubname <> all ($2)
                       and not exists (select from pg_replication_slots s where s.active and p.pubname in (s.slot_name, s.slot_name || '_append'))
                      order by pubname limit ${orphansMax}) p) as publications`,
    [slot, [slot, appendOnlyPublication(slot)]],
  );
  const row = rows[0] as Row;
  return {
    wal: row.found
      ? {
          heldBytes: row.held ?? 0,
          safeBytes: row.safe,
          limitBytes: row.limit,
          status: statuses.find((one) => one === row.status) ?? "unknown",
        }
      : null,
    restart: row.restart,
    orphans: [
      ...(row.orphans ?? []).map(({ name, held }) => ({
        kind: "slot" as const,
        name,
        heldBytes: held,
        sql: `select pg_drop_replication_slot('${name.replaceAll("'", "''")}');`,
      })),
      ...(row.publications ?? []).map((name) => ({
        kind: "publication" as const,
        name,
        heldBytes: null,
        sql: `drop publication ${quote(name)};`,
      })),
    ],
    walSenderTimeoutMs: row.sender ?? 0,
    advice: adviceOf(row),
  };
}

const statuses = ["reserved", "extended", "unreserved", "lost"] as const;

function adviceOf({ standby, feedback, idle, waiting }: Row): string[] {
  const advice: string[] = [];
  if (waiting !== null && !standby) {
    advice.push(
      `synchronized_standby_slots names ${waiting}, which no standby reads: the server sends nothing until one does`,
    );
  }
  if (standby && !feedback) {
    advice.push(
      "hot_standby_feedback is off in the standby: its primary may remove what the slot needs, and the slot is lost",
    );
  }
  if (idle !== null && idle > 0) {
    advice.push(
      `idle_replication_slot_timeout is ${idle}s in the source: when Millrace is away for longer, the slot is lost and the source must be read anew`,
    );
  }
  return advice;
}

const quietBytes = 1024 ** 3;

/** What to tell of the server's disk; empty while all is well. */
export function slotWarnings(
  { wal, advice }: Pick<SlotLook, "wal" | "advice">,
  walHeldBytesMax: number | null,
): string[] {
  if (wal === null) return [...advice];
  return [...advice, ...diskWarning(wal, walHeldBytesMax)];
}

function diskWarning({ heldBytes, safeBytes, limitBytes, status }: SlotWal, ownLimit: number | null): string[] {
  const held = `the slot holds ${mebibytes(heldBytes)} of the source's log`;
  if (status === "lost") return [`${held}, and the server has given it up: the source must be read anew`];
  if (status === "unreserved") {
    return [`${held}, more than max_slot_wal_keep_size: the server gives it up at its next checkpoint`];
  }
  if (limitBytes !== null && safeBytes !== null && safeBytes < limitBytes / 2) {
    return [
      `${held}; after another ${mebibytes(Math.max(0, safeBytes))} the server gives it up (max_slot_wal_keep_size)`,
    ];
  }
  if (ownLimit !== null && heldBytes > ownLimit / 2) return [`${held}, and walHeldBytesMax is ${mebibytes(ownLimit)}`];
  return limitBytes === null && ownLimit === null && heldBytes > quietBytes
    ? [`${held}, and nothing bounds it: max_slot_wal_keep_size is -1 in the source`]
    : [];
}

function mebibytes(bytes: number): string {
  return bytes >= 10 * 1024 ** 3 ? `${Math.round(bytes / 1024 ** 3)} GiB` : `${Math.round(bytes / 1024 ** 2)} MiB`;
}

/** What the definition allows the source's server to keep for us. */
export interface WalAllowance {
  readonly heldBytesMax: number;
  /** What is done past it. */
  readonly whenFull: "pause" | "drop-slot";
}

export interface WalLimit {
  readonly walHeldBytesMax: number | null;
  readonly onWalFull: "pause" | "drop-slot";
}

/** The limit as the status tells it. */
export function walAllowance({ walHeldBytesMax, onWalFull }: WalLimit): { readonly walAllowance?: WalAllowance } {
  return walHeldBytesMax === null ? {} : { walAllowance: { heldBytesMax: walHeldBytesMax, whenFull: onWalFull } };
}

/**
 * What the definition's limit asks for. `armed` is false after a snapshot and after somebody has said to go on, until
 * the server has held less than the limit once: what has gathered meanwhile must be given the time to flow off.
 */
export function decideWal(
  wal: SlotWal | null,
  limit: WalLimit,
  armed: boolean,
): { readonly armed: boolean; readonly act: "nothing" | "pause" | "drop-slot" } {
  if (wal === null || limit.walHeldBytesMax === null) return { armed, act: "nothing" };
  if (wal.heldBytes <= limit.walHeldBytesMax) return { armed: true, act: "nothing" };
  return armed ? { armed: false, act: limit.onWalFull } : { armed, act: "nothing" };
}
