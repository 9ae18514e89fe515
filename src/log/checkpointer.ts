/**
 * Writes the log's checkpoint: everything that was appended is synced in segments first, so that the next start begins
 * there and the journal's files are free.
 */
import type { Journal, JournalPosition } from "./journal.ts";
import { type LogCheckpoint, type TransactionsCheckpoint, writeLogCheckpoint } from "./log-checkpoint.ts";
import type { LogContext } from "./log-context.ts";
import type { Partition } from "./partition.ts";
import type { PartitionCheckpoint } from "./partition-recovery.ts";
import type { TransactionCoordinator } from "./transaction-coordinator.ts";

/** Partitions that are synced at the same time: while others append, the journal's own sync must not wait behind them. */
const syncedAtOnce = 2;
const syncedAtOnceClosing = 8;

export class Checkpointer {
  readonly #context: LogContext;
  readonly #directory: string;
  readonly #logId: string;
  #last: LogCheckpoint | undefined;

  constructor(context: LogContext, directory: string, logId: string, last: LogCheckpoint | undefined) {
    this.#context = context;
    this.#directory = directory;
    this.#logId = logId;
    this.#last = last;
  }

  get last(): LogCheckpoint | undefined {
    return this.#last;
  }

  /** Says that the journal's content is in the segments, as recovery left it; points stay where they were. */
  async seal(journal: Journal, all: readonly Partition[], held: readonly number[]): Promise<void> {
    const { transactionsOffset, producers, nextProducerId } = this.#last ?? nothingDecided;
    await this.#store({ transactionsOffset, producers, nextProducerId }, journal.position, all, held);
  }

  /** `held` are files of the journal that the next start needs, beside those that the journal itself knows. */
  async write(
    coordinator: TransactionCoordinator,
    journal: Journal,
    all: readonly Partition[],
    held: readonly number[],
    isClosing: boolean,
  ): Promise<void> {
    // Before the syncs: what was applied up to here has its markers appended, and what was journaled is synced by them.
    const applied = coordinator.snapshot();
    const position = journal.position;
    const changed = all.filter((partition) => !partition.failure && !partition.isUnchanged);
    const syncNext = async () => {
      for (let next = changed.pop(); next; next = changed.pop()) await next.checkpoint().catch(() => undefined);
    };
    await Promise.all(Array.from({ length: isClosing ? syncedAtOnceClosing : syncedAtOnce }, syncNext));
    await this.#store(transactionsOf(applied, this.#last, all), position, all, [...held, ...journal.held]);
  }

  async #store(
    transactions: TransactionsCheckpoint,
    journal: JournalPosition,
    all: readonly Partition[],
    held: readonly number[],
  ): Promise<void> {
    const partitions = new Map<string, PartitionCheckpoint>();
    for (const { place, lastCheckpoint } of all) {
      if (lastCheckpoint) partitions.set(`${place.topicId}/${place.partition}`, lastCheckpoint);
    }
    const heldJournalFiles = [...new Set(held)];
    const checkpoint = { logId: this.#logId, ...transactions, journal, heldJournalFiles, partitions };
    await writeLogCheckpoint(this.#context.disk, this.#directory, checkpoint);
    this.#last = checkpoint;
  }
}

const nothingDecided: TransactionsCheckpoint = { transactionsOffset: 0, producers: [], nextProducerId: 1 };

/** A partition that does not serve may need older decisions when it is read back. */
function transactionsOf(
  applied: TransactionsCheckpoint,
  before: TransactionsCheckpoint | undefined,
  all: readonly Partition[],
): TransactionsCheckpoint {
  if (all.every(({ failure }) => !failure)) return applied;
  const { transactionsOffset, producers } = before ?? nothingDecided;
  return { transactionsOffset, producers, nextProducerId: applied.nextProducerId };
}
