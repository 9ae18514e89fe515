/**
 * Taking the server as it is, where somebody has said so: the slot's position becomes ours, and the log says that between
 * what was captured and there changes may be missing. Where there is no slot that can be used, one is made.
 */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { CaptureLog } from "./capture-log.ts";
import type { LogWriter } from "./log-writer.ts";
import { parseLsn, printLsn } from "./lsn.ts";
import type { CaptureProgress, ServerPlace, StartDecision } from "./progress.ts";
import { createSlot, dropSlot, type ServerFacts } from "./server-setup.ts";

type Adoption = Extract<StartDecision, { kind: "adopt" }>;

export interface AdoptionTools {
  readonly source: string;
  readonly slot: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: CaptureLog;
  readonly facts: ServerFacts;
  /** An ordinary connection, and one that replicates. */
  readonly client: Client;
  readonly replication: Client;
  readonly openWriter: () => Promise<LogWriter>;
}

/** Resolves when the new position and the event that tells of the gap are durable, in one log transaction. */
export async function adoptPosition(adoption: Adoption, place: ServerPlace, tools: AdoptionTools): Promise<void> {
  const { log, clock, random } = tools;
  const before = log.progress as CaptureProgress;
  const position = adoption.slot?.confirmed ?? (await makeSlot(tools));
  const gap = { code: adoption.code, from: before.lsn, to: printLsn(position), atMs: clock.now() };
  const { refused: _, slotRestart: __, ...rest } = before;
  log.progress = { ...rest, systemId: place.systemId, timeline: place.timeline, lsn: gap.to, gap };
  const writer = await tools.openWriter();
  try {
    const id = `gap:${random.uuid()}`;
    const { code, from, to, atMs } = gap;
    writer.eventAtEnd(
      () => ({ status: "GAP", id, ts_ms: atMs, code, reason: adoption.reason, from, lsn: to }),
      parseLsn(to),
    );
    await writer.flushed();
  } finally {
    await writer.close();
  }
}

async function makeSlot({ client, replication, source, slot, clock, facts }: AdoptionTools): Promise<number> {
  await dropSlot(client, source, slot, clock);
  return (await createSlot(replication, slot, facts, "nothing")).consistentPoint;
}
