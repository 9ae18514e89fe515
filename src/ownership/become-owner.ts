/**
 * How a process becomes the one owner of a unit, and writes what the unit does together with its progress.
 *
 * Always true: what an earlier owner has not committed when a later one takes over is never readable; the later one
 * sees all that the earlier one has committed. The fence is in the log: no clock and no membership takes part.
 */
import { systemClock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { AppendRequest, Engine, Transaction, TransactionalProducer } from "../engine/engine.ts";
import { encodeProgressRecord, encodeProgressRecords, progressTopic } from "./progress-records.ts";
import { ProgressTable } from "./progress-table.ts";

export interface Ownership {
  readonly unit: string;
  /** The offset of the owner record. Grows with every owner of the unit. */
  readonly epoch: number;
  readonly producer: TransactionalProducer;
  /** What the last owner had committed when this one took over; undefined when there is none. A JSON value. */
  readonly progress: unknown;
  /** What was kept beside the progress; undefined when nothing was. */
  readonly beside: unknown;
  /** Throws `PRODUCER_FENCED` when there is a newer owner. */
  begin(): Transaction;
  /**
   * The batch that makes `value` (JSON) the unit's progress, to be appended in the transaction that brought it about.
   * `beside` is what changes seldom and is too large for every one of them; left out, it stays what it was.
   */
  progressBatch(value: unknown, beside?: unknown): AppendRequest;
}

/**
 * Takes the unit over: fences its owner and aborts that one's open transaction, appends an owner record, reads to the
 * end. `progress` is the process's open table; without one the whole topic is read.
 * Throws `PRODUCER_FENCED` when yet another one takes over meanwhile.
 */
export async function becomeOwner(
  engine: Engine,
  unit: string,
  options: { readonly progress?: ProgressTable } = {},
): Promise<Ownership> {
  const table = options.progress ?? (await ProgressTable.open({ engine, clock: systemClock }));
  const producer = await engine.initProducer(transactionalIdOf(unit));
  const epoch = await appendOwner(table, producer, unit);
  await table.readPast(epoch);
  const state = table.unit(unit);
  if (state.ownerEpoch !== epoch) {
    throw new MillraceError("PRODUCER_FENCED", `a newer owner has taken over ${unit}`, { details: { unit } });
  }
  return {
    unit,
    epoch,
    producer,
    progress: state.progress,
    beside: table.unit(besideOf(unit)).progress,
    begin: () => producer.begin(),
    progressBatch(value, beside) {
      table.noticed();
      const records = [{ kind: "progress", unit, epoch, value } as const];
      if (beside !== undefined) records.push({ kind: "progress", unit: besideOf(unit), epoch, value: beside });
      const batch = encodeProgressRecords(records, table.clock.now());
      return { topic: progressTopic, partition: 0, batch };
    },
  };
}

/**
 * Aborts what earlier owners of these units have open. Before the first of them is taken over: what one left open holds back
 * what another writes behind it.
 */
export async function fenceOwners(engine: Engine, units: readonly string[]): Promise<void> {
  await Promise.all(units.map((unit) => engine.initProducer(transactionalIdOf(unit))));
}

/** The unit of a group's applier. */
export function unitOfGroup(group: string): string {
  return `group.${group}`;
}

/** The unit of a source's capture. */
export function unitOfSource(source: string): string {
  return `source/${source}`;
}

/** The unit that decides which webhooks of a source are new. */
export function unitOfHook(source: string): string {
  return `hooks/${source}`;
}

/** The unit that decides which requests with an idempotency key are new. */
export const unitOfIdempotency = "idempotency";

/** The unit that asks the vendor of a source for what its webhooks missed. */
export function unitOfReconcile(source: string): string {
  return `reconcile/${source}`;
}

/** The unit that writes the topic that a view is published to: whatever view that is. */
export function unitOfPublisher(topic: string): string {
  return `publish/${topic}`;
}

/** Written by the unit's owner only, under its epoch. */
function besideOf(unit: string): string {
  return `${unit}/beside`;
}

function transactionalIdOf(unit: string): string {
  return `_millrace/${unit}`;
}

async function appendOwner(table: ProgressTable, producer: TransactionalProducer, unit: string): Promise<number> {
  const transaction = producer.begin();
  const batch = encodeProgressRecord({ kind: "owner", unit }, table.clock.now());
  const { baseOffset } = await transaction.append({ topic: progressTopic, partition: 0, batch });
  await transaction.commit();
  return baseOffset;
}
